/** What a policy says of itself in words, and which of its numbers contradict each other. */

import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as AdaptiveConcurrency from "@holdfast/core/AdaptiveConcurrency"
import * as AttemptTimeout from "@holdfast/core/AttemptTimeout"
import * as Backoff from "@holdfast/core/Backoff"
import * as Bulkhead from "@holdfast/core/Bulkhead"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Hedge from "@holdfast/core/Hedge"
import type { Mode } from "@holdfast/core/Mode"
import * as RateLimit from "@holdfast/core/RateLimit"
import * as RetryBudget from "@holdfast/core/RetryBudget"
import * as Throttle from "@holdfast/core/Throttle"
import type { CallPolicy, Finding, HttpPolicy, RedirectPolicy, RetryPolicy } from "./policyModel.ts"

// what a policy is in words, and what its numbers say together; both read the checked policy and nothing else

const words = (given: Duration.Input): string => Duration.format(Duration.fromInputUnsafe(given))

const percent = (share: number): string => `${Number((share * 100).toFixed(1))}%`

const stage = (text: string, mode: Mode | undefined): string | undefined =>
  mode === "off" ? undefined : mode === "observe" ? `${text} (observed)` : text

const backoffInWords = (backoff: RetryPolicy["backoff"]): string => {
  if (backoff === "own schedule") return backoff
  const {
    base = Backoff.defaults.base,
    cap = Backoff.defaults.cap,
    jitter = Backoff.defaults.jitter,
    shape = "exponential"
  } = backoff
  const growth = shape === "constant" ? `constant ${words(base)}` : `${shape} from ${words(base)} to ${words(cap)}`
  return `${growth}, ${jitter === "none" ? "no" : jitter} jitter`
}

const retryInWords = (retry: RetryPolicy, budget: RetryBudget.Options | undefined): string | undefined => {
  if (retry.loop.maxAttempts === 1) return undefined
  const { minimumPerSecond = RetryBudget.defaults.minimumPerSecond, ratio = RetryBudget.defaults.ratio } = budget ?? {}
  const paid = budget === undefined ? "no budget" : `budget ${percent(ratio)} + ${minimumPerSecond}/s`
  const unsafe = retry.nonIdempotent === "never" ? "" : `, not idempotent: ${retry.nonIdempotent}`
  const refused = retry.refusals === "fail" ? "" : ", refusals waited for"
  return `retry ${retry.loop.maxAttempts} attempts, ${backoffInWords(retry.backoff)}, ${paid}${unsafe}${refused}`
}

const hedgeInWords = (hedge: NonNullable<HttpPolicy["hedge"]>): string => {
  const { delay, maximumExtraLoad = Hedge.defaults.maximumExtraLoad, maxHedges = Hedge.defaults.maxHedges } = hedge
  const when = delay === undefined ? `p${Number(((1 - maximumExtraLoad) * 100).toFixed(1))}` : words(delay)
  return `hedge ${maxHedges === 1 ? "" : `${maxHedges} times `}after ${when}, at most ${percent(maximumExtraLoad)} more`
}

const tripInWords = (rule: CircuitBreaker.TripRule): string => {
  if (rule._tag === "ConsecutiveFailures") return `${rule.failures} in a row`
  const rates = [
    rule.failureRate === undefined && rule.slowCallRate !== undefined ? [] : [percent(rule.failureRate ?? 0.5)],
    rule.slowCallRate === undefined ? [] : [`${percent(rule.slowCallRate)} slow`]
  ].flat()
  const minimum = minimumCalls(rule)
  const window = rule._tag === "CountWindow" ? `the last ${rule.size}` : words(rule.duration)
  return `${rates.join(" or ")} of ${minimum} in ${window}`
}

const minimumCalls = (rule: Exclude<CircuitBreaker.TripRule, { readonly _tag: "ConsecutiveFailures" }>): number =>
  rule.minimumCalls ?? (rule._tag === "CountWindow" ? Math.min(20, rule.size) : 20)

const openTimeInWords = (
  openTime: NonNullable<CircuitBreaker.Options["openTime"]>
): readonly [first: Duration.Input, growth: string] => {
  if (Predicate.hasProperty(openTime, "doubling")) return [openTime.doubling, " doubling"]
  return typeof openTime === "function" ? [openTime(1), " at first"] : [openTime, ""]
}

const breakerInWords = (breaker: CircuitBreaker.Options): string => {
  const { openTime = CircuitBreaker.defaults.openTime, rampTime, trip = CircuitBreaker.defaults.trip } = breaker
  const [first, growth] = openTimeInWords(openTime)
  const ramp = rampTime === undefined || Duration.toMillis(rampTime) === 0 ? "" : `, back within ${words(rampTime)}`
  return `breaker ${trip.map(tripInWords).join(" or ")}, open ${words(first)}${growth}${ramp}`
}

const attemptTimeoutInWords = (policy: HttpPolicy): string | undefined => {
  const adaptive = policy.adaptiveTimeout
  if (adaptive === undefined) {
    return policy.call.attemptTimeout === undefined ? undefined : `attempt timeout ${words(policy.call.attemptTimeout)}`
  }
  const {
    factor = AttemptTimeout.adaptiveDefaults.factor,
    limit,
    quantile = AttemptTimeout.adaptiveDefaults.quantile
  } = adaptive
  return stage(
    `attempt timeout ${factor} × p${Number((quantile * 100).toFixed(1))}, ${words(limit)} at first`,
    adaptive.mode
  )
}

const redirectsInWords = ({ insecure, max, traceHeaders }: RedirectPolicy): string =>
  `${max} ${max === 1 ? "redirect" : "redirects"}` +
  (insecure === "follow" ? ", from https to http as well" : "") +
  (traceHeaders === "keep" ? ", with trace headers" : "")

/** The stages in the order in which they run. */
export const describe = (policy: HttpPolicy): string => {
  const { adaptiveConcurrency, breaker, bulkhead, hedge, rateLimit, singleFlight, throttle } = policy
  const { deadline, retry } = policy.call
  const stages: ReadonlyArray<string | undefined> = [
    singleFlight && stage("equal reads share one", singleFlight.mode),
    rateLimit &&
      stage(`rate limit ${rateLimit.limit} in ${words(rateLimit.window ?? RateLimit.defaults.window)}`, rateLimit.mode),
    deadline && `deadline ${words(deadline)}`,
    retry && retryInWords(retry, policy.budget),
    hedge && stage(hedgeInWords(hedge), hedge.mode),
    breaker && stage(breakerInWords(breaker), breaker.mode),
    throttle &&
      stage(`throttle above ${throttle.multiplier ?? Throttle.defaults.multiplier} × accepted`, throttle.mode),
    bulkhead &&
      stage(
        `bulkhead ${bulkhead.maxConcurrent ?? Bulkhead.defaults.maxConcurrent} + ${bulkhead.maxQueue ?? Bulkhead.defaults.maxQueue} waiting`,
        bulkhead.mode
      ),
    adaptiveConcurrency &&
      stage(
        `adaptive concurrency ${adaptiveConcurrency.algorithm ?? AdaptiveConcurrency.defaults.algorithm}, ` +
          `${adaptiveConcurrency.minimumLimit ?? AdaptiveConcurrency.defaults.minimumLimit} to ` +
          `${adaptiveConcurrency.maximumLimit ?? AdaptiveConcurrency.defaults.maximumLimit}`,
        adaptiveConcurrency.mode
      ),
    attemptTimeoutInWords(policy),
    policy.call.redirects && redirectsInWords(policy.call.redirects),
    policy.operations.size === 0
      ? undefined
      : `${policy.operations.size} ${policy.operations.size === 1 ? "operation" : "operations"} with settings of their own`
  ]
  const present = stages.filter((text) => text !== undefined)
  return present.length === 0 ? "no policy" : present.join(" → ")
}

// ---------------------------------------------------------------------------------------------------------------------
// what the numbers say together
// ---------------------------------------------------------------------------------------------------------------------

/** The longest that all back-offs of a call can take; `undefined` for a schedule that only its code knows. */
const longestWaits = (retry: RetryPolicy): number | undefined => {
  if (retry.backoff === "own schedule") return undefined
  const { shape = "exponential" } = retry.backoff
  const base = Duration.toMillis(Duration.fromInputUnsafe(retry.backoff.base ?? Backoff.defaults.base))
  const cap = Duration.toMillis(Duration.fromInputUnsafe(retry.backoff.cap ?? Backoff.defaults.cap))
  const factor = retry.backoff.factor ?? Backoff.defaults.factor
  let sum = 0
  let [previous, fibonacci] = [0, base]
  for (let wait = 0; wait < Math.min(retry.loop.maxAttempts, 1000) - 1; wait++) {
    const grown =
      retry.backoff.jitter === "decorrelated"
        ? base * 3 ** (wait + 1)
        : shape === "exponential"
          ? base * factor ** wait
          : shape === "linear"
            ? base * (wait + 1)
            : shape === "constant"
              ? base
              : fibonacci
    ;[previous, fibonacci] = [fibonacci, previous + fibonacci]
    sum += Math.min(shape === "constant" ? base : cap, grown)
  }
  return sum
}

const inSeconds = (millis: number): string =>
  millis < 1000 ? `${Math.round(millis)}ms` : `${Number((millis / 1000).toFixed(1))}s`

const longestAttempt = (policy: HttpPolicy, call: CallPolicy): Duration.Duration | undefined =>
  call.learnsTimeout && policy.adaptiveTimeout !== undefined
    ? Duration.fromInputUnsafe(policy.adaptiveTimeout.ceiling ?? policy.adaptiveTimeout.limit)
    : call.attemptTimeout

const callFindings = (policy: HttpPolicy, call: CallPolicy, prefix: string): ReadonlyArray<Finding> => {
  const found: Array<Finding> = []
  const { deadline, retry } = call
  const attempt = longestAttempt(policy, call)
  if (deadline !== undefined && attempt !== undefined && Duration.isGreaterThan(attempt, deadline)) {
    found.push({
      severity: "error",
      text:
        `${prefix}an attemptTimeout of ${words(attempt)} can never be reached within a deadline of ${words(deadline)}; ` +
        "make it shorter, or the deadline longer"
    })
  }
  if (retry !== undefined && attempt !== undefined && deadline !== undefined && retry.loop.maxAttempts > 1) {
    const waits = longestWaits(retry)
    const worst = Duration.toMillis(attempt) * retry.loop.maxAttempts + (waits ?? 0)
    if (waits !== undefined && worst > Duration.toMillis(deadline) * 1.05) {
      found.push({
        severity: "warning",
        text:
          `${prefix}${retry.loop.maxAttempts} attempts of ${words(attempt)} with waits of up to ${inSeconds(waits)} between them take up to ` +
          `${inSeconds(worst)}, and the deadline ends the call after ${words(deadline)}`
      })
    }
  }
  if (deadline === undefined && attempt === undefined) {
    found.push({ severity: "warning", text: `${prefix}nothing bounds a call but its caller's own deadline` })
  }
  if (call.redirects?.insecure === "follow") {
    found.push({
      severity: "warning",
      text: `${prefix}redirects from https to http are followed; whoever is on the way can read and change what is sent then`
    })
  }
  if (retry?.nonIdempotent === "always") {
    found.push({
      severity: "warning",
      text: `${prefix}requests that are not idempotent are sent again, whatever became of them; an idempotency key is safer`
    })
  }
  return found
}

const outlasts = (
  name: string,
  wait: Duration.Input,
  deadline: Duration.Duration | undefined
): ReadonlyArray<Finding> =>
  deadline !== undefined && Duration.isGreaterThan(Duration.fromInputUnsafe(wait), deadline)
    ? [
        {
          severity: "warning",
          text: `a ${name} of ${words(wait)} outlasts the deadline of ${words(deadline)}, which ends the wait first`
        }
      ]
    : []

const hedgeFindings = (policy: HttpPolicy): ReadonlyArray<Finding> => {
  const delay = policy.hedge?.delay
  const attempt = longestAttempt(policy, policy.call) ?? policy.call.deadline
  if (delay === undefined || attempt === undefined) return []
  return Duration.isLessThan(Duration.fromInputUnsafe(delay), attempt)
    ? []
    : [
        {
          severity: "error",
          text: `a hedge after ${words(delay)} can never be sent: an attempt is over after ${words(attempt)}`
        }
      ]
}

const breakerFindings = (policy: HttpPolicy): ReadonlyArray<Finding> => {
  const limit = policy.rateLimit
  const perSecond =
    limit === undefined || limit.mode === "off" || limit.mode === "observe"
      ? undefined
      : limit.limit / Duration.toSeconds(Duration.fromInputUnsafe(limit.window ?? RateLimit.defaults.window))
  if (perSecond === undefined || policy.breaker?.trip === undefined) return []
  return policy.breaker.trip.flatMap((rule): ReadonlyArray<Finding> => {
    if (rule._tag !== "TimeWindow") return []
    const reachable = perSecond * Duration.toSeconds(Duration.fromInputUnsafe(rule.duration))
    return minimumCalls(rule) <= reachable
      ? []
      : [
          {
            severity: "error",
            text:
              `the breaker waits for ${minimumCalls(rule)} calls in ${words(rule.duration)}, and the rate limit lets only ` +
              `${Number(reachable.toFixed(1))} through`
          }
        ]
  })
}

export const findings = (policy: HttpPolicy): ReadonlyArray<Finding> => [
  ...callFindings(policy, policy.call, ""),
  ...[...policy.operations].flatMap(([operation, call]) => callFindings(policy, call, `${operation}: `)),
  ...hedgeFindings(policy),
  ...breakerFindings(policy),
  ...(policy.bulkhead === undefined
    ? []
    : outlasts("bulkhead maxWait", policy.bulkhead.maxWait ?? Bulkhead.defaults.maxWait, policy.call.deadline)),
  ...(policy.rateLimit === undefined
    ? []
    : outlasts("rateLimit maxWait", policy.rateLimit.maxWait ?? RateLimit.defaults.maxWait, policy.call.deadline))
]

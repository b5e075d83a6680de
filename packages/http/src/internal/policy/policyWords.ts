/** A policy in words, and the numbers of it that contradict each other. */

import * as Duration from "effect/Duration"
import * as Backoff from "@holdfast/core/Backoff"
import * as Bulkhead from "@holdfast/core/Bulkhead"
import type { Mode } from "@holdfast/core/Mode"
import * as RateLimit from "@holdfast/core/RateLimit"
import { optionsOf, rowOf, type StageName, stageNames } from "../call/order.ts"
import type { CallPolicy, Finding, HttpPolicy, RetryPolicy } from "./policyModel.ts"
import type * as Time from "@holdfast/core/Time"
import * as Words from "./stageWords.ts"

// a policy in words, and contradictions between its numbers; both read the checked policy and nothing else

const inMode = (text: string, mode: Mode | undefined): string | undefined =>
  mode === "off" ? undefined : mode === "observe" ? `${text} (observed)` : text

/** The words of a stage that keeps state. */
const stageInWords = (policy: HttpPolicy, name: StageName): string | undefined => {
  const row = rowOf(name)
  const options = row && optionsOf(policy, name)
  return row?.words === undefined || options === undefined ? undefined : inMode(row.words(options), options.mode)
}

/** The words of the stages that keep no state, and of the limit in time that is not learned. */
const plainWords: { readonly [K in StageName]?: (policy: HttpPolicy) => string | undefined } = {
  deadline: ({ call }) => call.deadline && Words.deadline(call.deadline),
  retry: ({ budget, call }) => call.retry && Words.retry(call.retry, budget),
  attemptTimeout: ({ call }) => call.attemptTimeout && Words.fixedTimeout(call.attemptTimeout),
  redirects: ({ call }) => call.redirects && Words.redirects(call.redirects)
}

/** The stages in the order in which they run. */
export const describe = (policy: HttpPolicy): string => {
  const stages = stageNames.map((name) => stageInWords(policy, name) ?? plainWords[name]?.(policy))
  const operations = policy.operations.size
  const present = [
    ...stages,
    operations === 0
      ? undefined
      : `${operations} ${operations === 1 ? "operation" : "operations"} with settings of their own`
  ].filter((text) => text !== undefined)
  return present.length === 0 ? "no policy" : present.join(" → ")
}

// ---------------------------------------------------------------------------------------------------------------------
// contradictions between the numbers
// ---------------------------------------------------------------------------------------------------------------------

/** The longest that all back-offs of a call can take; `undefined` for a schedule that only its code knows. */
const longestWaits = (retry: RetryPolicy): number | undefined => {
  if (retry.backoff === "own schedule") return undefined
  const { shape = "exponential" } = retry.backoff
  const base = Duration.toMillis(Words.timeOf(retry.backoff.base ?? Backoff.defaults.base))
  const cap = Duration.toMillis(Words.timeOf(retry.backoff.cap ?? Backoff.defaults.cap))
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
  call.learnsTimeout && policy.attemptTimeout !== undefined
    ? Words.timeOf(policy.attemptTimeout.ceiling ?? policy.attemptTimeout.limit)
    : call.attemptTimeout

const callFindings = (policy: HttpPolicy, call: CallPolicy, prefix: string): ReadonlyArray<Finding> => {
  const found: Array<Finding> = []
  const { deadline, retry } = call
  const attempt = longestAttempt(policy, call)
  if (deadline !== undefined && attempt !== undefined && Duration.isGreaterThan(attempt, deadline)) {
    found.push({
      severity: "error",
      text:
        `${prefix}an attemptTimeout of ${Words.inTime(attempt)} can never be reached within a deadline of ${Words.inTime(deadline)}; ` +
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
          `${prefix}${retry.loop.maxAttempts} attempts of ${Words.inTime(attempt)} with waits of up to ${inSeconds(waits)} between them take up to ` +
          `${inSeconds(worst)}, and the deadline ends the call after ${Words.inTime(deadline)}`
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

const outlasts = (name: string, wait: Time.Input, deadline: Duration.Duration | undefined): ReadonlyArray<Finding> =>
  deadline !== undefined && Duration.isGreaterThan(Words.timeOf(wait), deadline)
    ? [
        {
          severity: "warning",
          text: `a ${name} of ${Words.inTime(wait)} outlasts the deadline of ${Words.inTime(deadline)}, which ends the wait first`
        }
      ]
    : []

const hedgeFindings = (policy: HttpPolicy): ReadonlyArray<Finding> => {
  const delay = policy.hedge?.delay
  const attempt = longestAttempt(policy, policy.call) ?? policy.call.deadline
  if (delay === undefined || attempt === undefined) return []
  return Duration.isLessThan(Words.timeOf(delay), attempt)
    ? []
    : [
        {
          severity: "error",
          text: `a hedge after ${Words.inTime(delay)} can never be sent: an attempt is over after ${Words.inTime(attempt)}`
        }
      ]
}

const breakerFindings = (policy: HttpPolicy): ReadonlyArray<Finding> => {
  const limit = policy.rateLimit
  const perSecond =
    limit === undefined || limit.mode === "off" || limit.mode === "observe"
      ? undefined
      : limit.limit / Duration.toSeconds(Words.timeOf(limit.window ?? RateLimit.defaults.window))
  if (perSecond === undefined || policy.breaker?.trip === undefined) return []
  return policy.breaker.trip.flatMap((rule): ReadonlyArray<Finding> => {
    if (rule._tag !== "TimeWindow") return []
    const reachable = perSecond * Duration.toSeconds(Words.timeOf(rule.duration))
    return Words.minimumCalls(rule) <= reachable
      ? []
      : [
          {
            severity: "error",
            text:
              `the breaker waits for ${Words.minimumCalls(rule)} calls in ${Words.inTime(rule.duration)}, and the rate limit lets only ` +
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

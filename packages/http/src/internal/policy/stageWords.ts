/** Each stage's work in words, by its options: the parts of `HttpPolicy.describe`. */

import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as AdaptiveConcurrency from "@holdfast/core/AdaptiveConcurrency"
import * as AttemptTimeout from "@holdfast/core/AttemptTimeout"
import * as Backoff from "@holdfast/core/Backoff"
import * as Bulkhead from "@holdfast/core/Bulkhead"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Hedge from "@holdfast/core/Hedge"
import * as RateLimit from "@holdfast/core/RateLimit"
import * as RetryBudget from "@holdfast/core/RetryBudget"
import * as Throttle from "@holdfast/core/Throttle"
import * as Time from "@holdfast/core/Time"
import type { AdaptiveTimeoutOptions, HedgeOptions, RedirectPolicy, RetryPolicy } from "./policyModel.ts"
import type * as SingleFlight from "@holdfast/core/SingleFlight"

/** A time of a policy, which was checked when the policy was made. */
export const timeOf = (given: Time.Input): Duration.Duration => Time.of("HttpPolicy", given)

export const inTime = (given: Time.Input): string => Duration.format(timeOf(given))

const percent = (share: number): string => `${Number((share * 100).toFixed(1))}%`

const backoffInWords = (backoff: RetryPolicy["backoff"]): string => {
  if (backoff === "own schedule") return backoff
  const {
    base = Backoff.defaults.base,
    cap = Backoff.defaults.cap,
    jitter = Backoff.defaults.jitter,
    shape = "exponential"
  } = backoff
  const growth = shape === "constant" ? `constant ${inTime(base)}` : `${shape} from ${inTime(base)} to ${inTime(cap)}`
  return `${growth}, ${jitter === "none" ? "no" : jitter} jitter`
}

export const retry = (retry: RetryPolicy, budget: RetryBudget.Options | undefined): string | undefined => {
  if (retry.loop.maxAttempts === 1) return undefined
  const { minimumPerSecond = RetryBudget.defaults.minimumPerSecond, ratio = RetryBudget.defaults.ratio } = budget ?? {}
  const paid = budget === undefined ? "no budget" : `budget ${percent(ratio)} + ${minimumPerSecond}/s`
  const unsafe = retry.nonIdempotent === "never" ? "" : `, not idempotent: ${retry.nonIdempotent}`
  const refused = retry.refusals === "fail" ? "" : ", refusals waited for"
  return `retry ${retry.loop.maxAttempts} attempts, ${backoffInWords(retry.backoff)}, ${paid}${unsafe}${refused}`
}

export const hedge = (options: HedgeOptions): string => {
  const { delay, maximumExtraLoad = Hedge.defaults.maximumExtraLoad, maxHedges = Hedge.defaults.maxHedges } = options
  const when = delay === undefined ? `p${Number(((1 - maximumExtraLoad) * 100).toFixed(1))}` : inTime(delay)
  return `hedge ${maxHedges === 1 ? "" : `${maxHedges} times `}after ${when}, at most ${percent(maximumExtraLoad)} more`
}

const tripInWords = (rule: CircuitBreaker.TripRule): string => {
  if (rule._tag === "ConsecutiveFailures") return `${rule.failures} in a row`
  const rates = [
    rule.failureRate === undefined && rule.slowCallRate !== undefined ? [] : [percent(rule.failureRate ?? 0.5)],
    rule.slowCallRate === undefined ? [] : [`${percent(rule.slowCallRate)} slow`]
  ].flat()
  const minimum = minimumCalls(rule)
  const window = rule._tag === "CountWindow" ? `the last ${rule.size}` : inTime(rule.duration)
  return `${rates.join(" or ")} of ${minimum} in ${window}`
}

/** How many calls a window must hold before it judges. */
export const minimumCalls = (
  rule: Exclude<CircuitBreaker.TripRule, { readonly _tag: "ConsecutiveFailures" }>
): number => rule.minimumCalls ?? (rule._tag === "CountWindow" ? Math.min(20, rule.size) : 20)

const openTimeInWords = (
  openTime: NonNullable<CircuitBreaker.Options["openTime"]>
): readonly [first: Time.Input, growth: string] => {
  if (Predicate.hasProperty(openTime, "doubling")) return [openTime.doubling, " doubling"]
  return typeof openTime === "function" ? [openTime(1), " at first"] : [openTime, ""]
}

export const breaker = (options: CircuitBreaker.Options): string => {
  const { openTime = CircuitBreaker.defaults.openTime, rampTime, trip = CircuitBreaker.defaults.trip } = options
  const [first, growth] = openTimeInWords(openTime)
  const ramp =
    rampTime === undefined || Duration.toMillis(timeOf(rampTime)) === 0 ? "" : `, back within ${inTime(rampTime)}`
  return `breaker ${trip.map(tripInWords).join(" or ")}, open ${inTime(first)}${growth}${ramp}`
}

export const attemptTimeout = (options: AdaptiveTimeoutOptions): string => {
  const {
    factor = AttemptTimeout.adaptiveDefaults.factor,
    limit,
    quantile = AttemptTimeout.adaptiveDefaults.quantile
  } = options
  return `attempt timeout ${factor} × p${Number((quantile * 100).toFixed(1))}, ${inTime(limit)} at first`
}

export const fixedTimeout = (limit: Duration.Duration): string => `attempt timeout ${inTime(limit)}`

export const deadline = (deadline: Duration.Duration): string => `deadline ${inTime(deadline)}`

export const singleFlight = (_: SingleFlight.Options): string => "equal reads share one"

export const rateLimit = ({ limit, window = RateLimit.defaults.window }: RateLimit.Options): string =>
  `rate limit ${limit} in ${inTime(window)}`

export const throttle = ({ multiplier = Throttle.defaults.multiplier }: Throttle.Options): string =>
  `throttle above ${multiplier} × accepted`

export const bulkhead = (options: Bulkhead.Options): string => {
  const { maxConcurrent = Bulkhead.defaults.maxConcurrent, maxQueue = Bulkhead.defaults.maxQueue } = options
  return `bulkhead ${maxConcurrent} + ${maxQueue} waiting`
}

export const adaptiveConcurrency = (options: AdaptiveConcurrency.Options): string => {
  const {
    algorithm = AdaptiveConcurrency.defaults.algorithm,
    maximumLimit = AdaptiveConcurrency.defaults.maximumLimit,
    minimumLimit = AdaptiveConcurrency.defaults.minimumLimit
  } = options
  return `adaptive concurrency ${algorithm}, ${minimumLimit} to ${maximumLimit}`
}

export const redirects = ({ insecure, max, traceHeaders }: RedirectPolicy): string =>
  `${max} ${max === 1 ? "redirect" : "redirects"}` +
  (insecure === "follow" ? ", from https to http as well" : "") +
  (traceHeaders === "keep" ? ", with trace headers" : "")

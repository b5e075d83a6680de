/** Which stages an upstream and each of its endpoints have, and which outlive a reload. */

import * as AdaptiveConcurrency from "@holdfast/core/AdaptiveConcurrency"
import * as AttemptTimeout from "@holdfast/core/AttemptTimeout"
import * as Bulkhead from "@holdfast/core/Bulkhead"
import type { CallError } from "@holdfast/core/CallError"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Hedge from "@holdfast/core/Hedge"
import * as LatencyTracker from "@holdfast/core/LatencyTracker"
import type { Mode } from "@holdfast/core/Mode"
import * as RateLimit from "@holdfast/core/RateLimit"
import * as RetryBudget from "@holdfast/core/RetryBudget"
import * as SingleFlight from "@holdfast/core/SingleFlight"
import * as Throttle from "@holdfast/core/Throttle"
import * as Effect from "effect/Effect"
import type { HttpPolicy } from "../policy/policyModel.ts"
import { sameOptions } from "../policy/sameOptions.ts"

/** What an upstream remembers of its calls. */
export interface UpstreamStages {
  readonly budget: RetryBudget.RetryBudget | undefined
  readonly rateLimit: RateLimit.RateLimit | undefined
  readonly singleFlight: SingleFlight.SingleFlight<string, unknown, CallError> | undefined
}

/** What an upstream remembers of the attempts at one of its endpoints. */
export interface EndpointStages {
  readonly hedge: Hedge.Hedge | undefined
  readonly breaker: CircuitBreaker.CircuitBreaker | undefined
  readonly throttle: Throttle.Throttle | undefined
  readonly bulkhead: Bulkhead.Bulkhead | undefined
  readonly adaptiveConcurrency: AdaptiveConcurrency.AdaptiveConcurrency | undefined
  readonly adaptiveTimeout: AttemptTimeout.AttemptTimeout | undefined
  /** How long an attempt may take before a caller who gives up says something of the endpoint; it outlives every change of options. */
  readonly fairShare: AttemptTimeout.FairShare
  /**
   * The endpoint's latencies; they outlive a change of the options that are reckoned with them. None as long as nobody asked:
   * 22 KB for each endpoint would be the most of what it takes.
   */
  readonly latencies: LatencyTracker.LatencyTracker | undefined
  /** Whether an attempt has to ask any stage before it is sent. */
  readonly isGuarded: boolean
}

/** The options of a stage that is there, in whatever mode but off. */
const present = <O extends { readonly mode?: Mode | undefined }>(options: O | undefined): O | undefined =>
  options?.mode === "off" ? undefined : options

/**
 * The stage that was, if its options are the same; otherwise one that takes over what that one remembers. What was only watched is no
 * past of one that acts, but for `isOfEveryMode`: what is in flight, or what the server said, is so in any mode.
 */
const kept = <O extends { readonly mode?: Mode | undefined }, S>(
  was: { readonly options: O | undefined; readonly state: S | undefined } | undefined,
  options: O | undefined,
  make: (options: O, living?: S) => S,
  isOfEveryMode = false
): S | undefined => {
  if (options === undefined) return undefined
  if (was?.state === undefined) return make(options)
  if (sameOptions(was.options, options)) return was.state
  const isSameMode = (was.options?.mode ?? "enforce") === (options.mode ?? "enforce")
  return isSameMode || isOfEveryMode ? make(options, was.state) : make(options)
}

/** What a stage of a living upstream was. */
const was = <P, S, K extends keyof P & keyof S>(
  policy: P | undefined,
  stages: S | undefined,
  name: K
): { readonly options: P[K] | undefined; readonly state: S[K] | undefined } => ({
  options: policy?.[name],
  state: stages?.[name]
})

/** The stages of an upstream; those of a living one whose options did not change stay as they are. */
export const upstreamStages = (
  policy: HttpPolicy,
  before?: { readonly policy: HttpPolicy; readonly stages: UpstreamStages }
): UpstreamStages => ({
  budget: kept(was(before?.policy, before?.stages, "budget"), policy.budget, RetryBudget.make),
  rateLimit: kept(was(before?.policy, before?.stages, "rateLimit"), present(policy.rateLimit), RateLimit.make, true),
  singleFlight: kept(
    was(before?.policy, before?.stages, "singleFlight"),
    present(policy.singleFlight),
    SingleFlight.make<string, unknown, CallError>
  )
})

/** The stages of an endpoint; those of a living one whose options did not change stay as they are. */
export const endpointStages = (
  policy: HttpPolicy,
  budget: RetryBudget.RetryBudget | undefined,
  before?: {
    readonly policy: HttpPolicy
    readonly stages: EndpointStages
    readonly budget: RetryBudget.RetryBudget | undefined
  }
): EndpointStages => {
  const latencies =
    before?.stages.latencies ?? (policy.adaptiveTimeout === undefined ? undefined : LatencyTracker.make())
  const breaker = kept(was(before?.policy, before?.stages, "breaker"), present(policy.breaker), (options, living) =>
    forcedLike(before?.stages.breaker, CircuitBreaker.make(options, living))
  )
  const bulkhead = resized(before, present(policy.bulkhead))
  const adaptiveConcurrency = kept(
    was(before?.policy, before?.stages, "adaptiveConcurrency"),
    present(policy.adaptiveConcurrency),
    AdaptiveConcurrency.make,
    true
  )
  const throttle = kept(was(before?.policy, before?.stages, "throttle"), present(policy.throttle), Throttle.make)
  const asked = { breaker, bulkhead, adaptiveConcurrency }
  const hedge = hedgeOf(before, present(policy.hedge), asked, budget)
  return {
    hedge,
    breaker,
    throttle,
    bulkhead,
    adaptiveConcurrency,
    adaptiveTimeout: kept(was(before?.policy, before?.stages, "adaptiveTimeout"), policy.adaptiveTimeout, (options) =>
      AttemptTimeout.adaptive({ ...options, tracker: latencies })
    ),
    fairShare: before?.stages.fairShare ?? AttemptTimeout.makeFairShare(),
    latencies,
    isGuarded: (breaker ?? throttle ?? bulkhead ?? adaptiveConcurrency) !== undefined
  }
}

type Asked = Pick<EndpointStages, "breaker" | "bulkhead" | "adaptiveConcurrency">

const sameStages = (one: Asked, other: Asked): boolean =>
  one.breaker === other.breaker &&
  one.bulkhead === other.bulkhead &&
  one.adaptiveConcurrency === other.adaptiveConcurrency

/** A hedge asks the stages beside it, and pays from the budget: with one of them it is another, which has learned the same. */
const hedgeOf = (
  before:
    | {
        readonly policy: HttpPolicy
        readonly stages: EndpointStages
        readonly budget: RetryBudget.RetryBudget | undefined
      }
    | undefined,
  options: HttpPolicy["hedge"],
  asked: Asked,
  budget: RetryBudget.RetryBudget | undefined
): Hedge.Hedge | undefined => {
  if (options === undefined) return undefined
  const living = before?.stages.hedge
  const isSame = before !== undefined && sameStages(before.stages, asked) && before.budget === budget
  if (living !== undefined && isSame && sameOptions(before?.policy.hedge, options)) return living
  const isSameMode = living?.mode === (options.mode ?? "enforce")
  return Hedge.make({ ...options, budget, mayStart: () => hasRoom(asked) }, isSameMode ? living : undefined)
}

/** What an operator forced stays forced, until an operator ends it: a file that changes is no such word. */
const forcedLike = (
  living: CircuitBreaker.CircuitBreaker | undefined,
  next: CircuitBreaker.CircuitBreaker
): CircuitBreaker.CircuitBreaker => {
  const state = living === undefined ? undefined : Effect.runSync(living.snapshot).state
  if (state === "ForcedOpen") Effect.runSync(next.forceOpen)
  if (state === "ForcedClosed") Effect.runSync(next.forceClosed)
  return next
}

/** Whether the endpoint can take more. Asked when a hedge is due, which is seldom. */
const hasRoom = ({ adaptiveConcurrency, breaker, bulkhead }: Asked): boolean => {
  if (breaker !== undefined && !Effect.runSync(breaker.snapshot).state.endsWith("Closed")) return false
  for (const limit of [bulkhead, adaptiveConcurrency]) {
    if (limit === undefined) continue
    const held = Effect.runSync<{ readonly inFlight: number; readonly limit: number }, never>(limit.snapshot)
    if (held.inFlight >= held.limit) return false
  }
  return true
}

/** A bulkhead in use is made larger or smaller, so that nobody who holds or awaits a place is forgotten. */
const resized = (
  before: { readonly policy: HttpPolicy; readonly stages: EndpointStages } | undefined,
  options: Bulkhead.Options | undefined
): Bulkhead.Bulkhead | undefined => {
  const living = before?.stages.bulkhead
  if (options === undefined || living === undefined) return options && Bulkhead.make(options)
  const had = before?.policy.bulkhead
  if (had?.mode !== options.mode || !sameOptions(had?.maxWait, options.maxWait)) return Bulkhead.make(options, living)
  living.resize({
    maxConcurrent: options.maxConcurrent ?? Bulkhead.defaults.maxConcurrent,
    maxQueue: options.maxQueue ?? Bulkhead.defaults.maxQueue
  })
  return living
}

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
  readonly hedge: Hedge.Hedge | undefined
}

/** What an upstream remembers of the attempts at one of its endpoints. */
export interface EndpointStages {
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
): UpstreamStages => {
  const budget = kept(was(before?.policy, before?.stages, "budget"), policy.budget, RetryBudget.make)
  return {
    budget,
    rateLimit: kept(was(before?.policy, before?.stages, "rateLimit"), present(policy.rateLimit), RateLimit.make, true),
    singleFlight: kept(
      was(before?.policy, before?.stages, "singleFlight"),
      present(policy.singleFlight),
      SingleFlight.make<string, unknown, CallError>
    ),
    hedge: hedgeStage(policy, budget, before)
  }
}

/** Of no endpoint. */
export const noStages: EndpointStages = {
  breaker: undefined,
  throttle: undefined,
  bulkhead: undefined,
  adaptiveConcurrency: undefined,
  adaptiveTimeout: undefined,
  fairShare: AttemptTimeout.makeFairShare(),
  latencies: undefined,
  isGuarded: false
}

/** The stages of an endpoint; those of a living one whose options did not change stay as they are. */
export const endpointStages = (
  policy: HttpPolicy,
  before?: { readonly policy: HttpPolicy; readonly stages: EndpointStages }
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
  return {
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

/** A hedge pays from the budget: with another budget it is another, which has learned the same. */
export const hedgeStage = (
  policy: HttpPolicy,
  budget: RetryBudget.RetryBudget | undefined,
  before?: { readonly policy: HttpPolicy; readonly stages: UpstreamStages }
): Hedge.Hedge | undefined => {
  const options = present(policy.hedge)
  if (options === undefined) return undefined
  const living = before?.stages.hedge
  const isSame = before?.stages.budget === budget && sameOptions(before?.policy.hedge, options)
  if (living !== undefined && isSame) return living
  const isSameMode = living?.mode === (options.mode ?? "enforce")
  return Hedge.make({ ...options, budget }, isSameMode ? living : undefined)
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

/** Whether an attempt would be let through now. Asking changes nothing. */
export const hasRoom = (stages: EndpointStages, nowMillis: number): boolean =>
  (stages.breaker?.hasRoom(nowMillis) ?? true) &&
  (stages.bulkhead?.hasRoom() ?? true) &&
  (stages.adaptiveConcurrency?.hasRoom() ?? true)

/** Whether an endpoint is well enough for a hedge, which is no probe of a circuit. Asked when one is due, which is seldom. */
export const hasRoomForHedge = (stages: EndpointStages, nowMillis: number): boolean =>
  hasRoom(stages, nowMillis) &&
  (stages.breaker === undefined || Effect.runSync(stages.breaker.snapshot).state.endsWith("Closed"))

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

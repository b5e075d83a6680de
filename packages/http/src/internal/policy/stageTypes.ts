/**
 * The types of the stages that remember something: the options of each, and its state. The options of a policy, the checked policy, the
 * stages of an upstream and their snapshots are made of them.
 */

import type * as AdaptiveConcurrency from "@holdfast/core/AdaptiveConcurrency"
import type * as AttemptTimeout from "@holdfast/core/AttemptTimeout"
import type * as Bulkhead from "@holdfast/core/Bulkhead"
import type { CallError } from "@holdfast/core/CallError"
import type * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import type * as Hedge from "@holdfast/core/Hedge"
import type * as RateLimit from "@holdfast/core/RateLimit"
import type * as RetryBudget from "@holdfast/core/RetryBudget"
import type * as SingleFlight from "@holdfast/core/SingleFlight"
import type * as Throttle from "@holdfast/core/Throttle"
import type * as Effect from "effect/Effect"

/**
 * A learned attempt timeout: {@link AttemptTimeout.AdaptiveOptions}, whose latencies are kept for each endpoint.
 *
 * @category models
 * @since 0.1.0
 */
export type AdaptiveTimeoutOptions = Omit<AttemptTimeout.AdaptiveOptions, "tracker">

/**
 * How calls are hedged. The budget and the state of the upstream are given by the call.
 *
 * @category models
 * @since 0.1.0
 */
export type HedgeOptions = Omit<Hedge.Options, "budget" | "mayStart">

/** The stages of an upstream: their options, and what they remember. */
export interface UpstreamStageTypes {
  /** Concurrent equal reads share one. Default: off. */
  readonly singleFlight: {
    readonly options: SingleFlight.Options
    readonly state: SingleFlight.SingleFlight<string, unknown, CallError>
  }
  /** So many calls in so much time; the server's own figures slow it down further. Default: off. */
  readonly rateLimit: { readonly options: RateLimit.Options; readonly state: RateLimit.RateLimit }
  /** The budget that pays for retries and hedges. */
  readonly budget: { readonly options: RetryBudget.Options; readonly state: RetryBudget.RetryBudget }
  /** A second attempt beside a slow first one. Default: off. */
  readonly hedge: { readonly options: HedgeOptions; readonly state: Hedge.Hedge }
}

/** The stages of the attempts at one endpoint. */
export interface EndpointStageTypes {
  /** Stops asking an upstream that fails. One for each endpoint. */
  readonly breaker: { readonly options: CircuitBreaker.Options; readonly state: CircuitBreaker.CircuitBreaker }
  /** Sheds, on this side, attempts that the upstream would refuse. One for each endpoint. Default: off. */
  readonly throttle: { readonly options: Throttle.Options; readonly state: Throttle.Throttle }
  /** So many attempts at once, and so many waiting. One for each endpoint. Default: off. */
  readonly bulkhead: { readonly options: Bulkhead.Options; readonly state: Bulkhead.Bulkhead }
  /** Attempts at once, learned. One for each endpoint. Default: off. */
  readonly adaptiveConcurrency: {
    readonly options: AdaptiveConcurrency.Options
    readonly state: AdaptiveConcurrency.AdaptiveConcurrency
  }
  /** The limit of an attempt in time, learned. */
  readonly attemptTimeout: { readonly options: AdaptiveTimeoutOptions; readonly state: AttemptTimeout.AttemptTimeout }
}

/** A stage. */
export interface Types {
  readonly options: unknown
  readonly state: unknown
}

/** The state of stages, by their names; a stage that the policy does not have is `undefined`. */
export type States<T> = { readonly [K in keyof T]: T[K] extends Types ? T[K]["state"] | undefined : never }

/** The snapshots of stages at one instant. */
export type Snapshots<T> = {
  readonly [K in keyof T]?: (T[K] extends Types ? SnapshotOf<T[K]["state"]> : never) | undefined
}

/** The snapshot of a state. */
export type SnapshotOf<S> = S extends { readonly snapshot: Effect.Effect<infer A> } ? A : unknown

/** The options of stages; a stage that the policy does not have is `undefined`. */
export type OptionsOf<T> = { readonly [K in keyof T]: T[K] extends Types ? T[K]["options"] | undefined : never }

/** The options of stages as a policy is declared with them; a stage that is `false` is off. */
export type Declared<T> = {
  readonly [K in keyof T]?: (T[K] extends Types ? T[K]["options"] : never) | false | undefined
}

/** The stages whose options stand under their own names: the budget is an option of the retry, and a limit in time may be fixed. */
export type NamedUpstreamStages = {
  readonly [K in keyof UpstreamStageTypes as Exclude<K, "budget">]: UpstreamStageTypes[K]
}
export type NamedEndpointStages = {
  readonly [K in keyof EndpointStageTypes as Exclude<K, "attemptTimeout">]: EndpointStageTypes[K]
}

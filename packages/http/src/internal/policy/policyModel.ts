/**
 * The parts of a policy, as types. They are here, below both the module that makes policies and the one that puts them
 * in words; users know them as `HttpPolicy`'s.
 */

import type * as Backoff from "@holdfast/core/Backoff"
import type * as Retry from "@holdfast/core/Retry"
import type * as RetryBudget from "@holdfast/core/RetryBudget"
import type * as Duration from "effect/Duration"
import type * as Transport from "../../Transport.ts"
import type {
  AdaptiveTimeoutOptions,
  Declared,
  EndpointStageTypes,
  NamedEndpointStages,
  NamedUpstreamStages,
  OptionsOf,
  UpstreamStageTypes
} from "./stageTypes.ts"

export type { AdaptiveTimeoutOptions, HedgeOptions } from "./stageTypes.ts"
import type * as Time from "@holdfast/core/Time"

/**
 * Which requests that are not idempotent (`POST`, `PATCH`) may be sent again.
 *
 * - `never`: nothing, unless it has an idempotency key
 * - `unsent`: what certainly did not reach the upstream: no connection was made, or a policy on this side refused it
 * - `always`: everything. Say so only of an upstream whose operations are all idempotent
 *
 * A request that HTTP itself vouches for was not tried at all, and is sent whatever this says: the server said that it did nothing with
 * it (a refused stream), or nothing of it left before its connection ended.
 *
 * @category models
 * @since 0.1.0
 */
export type NonIdempotent = "never" | "unsent" | "always"

/**
 * How the waits between attempts grow.
 *
 * @category models
 * @since 0.1.0
 */
export interface BackoffOptions {
  /** Default `exponential`. */
  readonly shape?: "exponential" | "linear" | "fibonacci" | "constant" | undefined
  /** The first delay before jitter; the only one of `constant`. Default 100 ms. */
  readonly base?: Time.Input | undefined
  /** `exponential` only: the factor from each delay to the next. Default 2. */
  readonly factor?: number | undefined
  /** The longest delay. Default 10 s. */
  readonly cap?: Time.Input | undefined
  /** Default `full`; `decorrelated` for `exponential` only. */
  readonly jitter?: Backoff.Jitter | undefined
}

/**
 * How calls are retried.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryOptions extends Retry.Options {
  /** How long to wait between attempts, as data. `schedule` is the same as code; give one of them. */
  readonly backoff?: BackoffOptions | undefined
  /** The budget that retries and hedges are paid from, shared by all calls of the upstream; `false` for none. */
  readonly budget?: RetryBudget.Options | false | undefined
  /** Which requests that are not idempotent may be sent again. Default `never`. */
  readonly nonIdempotent?: NonIdempotent | undefined
  /**
   * The end of an attempt that this side refused (an open circuit, a full bulkhead or pool, a shed call): `fail` ends the
   * call at once, which is what a refusal is for; `wait` tries again when the refusal says, if that is before the deadline.
   * Default `fail`.
   */
  readonly refusals?: "fail" | "wait" | undefined
}

/**
 * How much of a response is read.
 *
 * @category models
 * @since 0.1.0
 */
export interface LimitOptions {
  /** Largest body of a successful response, in bytes. Default 16 MiB. */
  readonly responseBytes?: number | undefined
  /** How much of an error's body is kept, in bytes. Default 16 KiB. */
  readonly errorBytes?: number | undefined
  /** Longest error body that is read to its end so that its connection can be used again, in bytes. Default 256 KiB. */
  readonly drainBytes?: number | undefined
  /** How long reading an error body may take. Default 1 s. */
  readonly drainTime?: Time.Input | undefined
}

/**
 * How redirects are followed: 301, 302, 303, 307 and 308, within the attempt and its timeout.
 *
 * @category models
 * @since 0.1.0
 */
export interface RedirectOptions {
  /** How many are followed one after the other; the next one fails the attempt. At least 1; default 5. */
  readonly max?: number | undefined
  /** The treatment of one that leads from `https` to `http`. Default `refuse`: the attempt fails. */
  readonly insecure?: "refuse" | "follow" | undefined
  /**
   * Whether another origin is told the trace (`traceparent`, `tracestate`, `baggage`, `b3`). Default `drop`. Headers that carry secrets are
   * dropped in any case.
   */
  readonly traceHeaders?: "drop" | "keep" | undefined
}

/**
 * A checked way to follow redirects.
 *
 * @category models
 * @since 0.1.0
 */
export interface RedirectPolicy {
  readonly max: number
  readonly insecure: "refuse" | "follow"
  readonly traceHeaders: "drop" | "keep"
}

/**
 * The overrides of a policy for one operation, or for one call. Stages that keep state (budget, breaker, limits) are the
 * upstream's and stay.
 *
 * @category models
 * @since 0.1.0
 */
export interface Overrides {
  /** The whole call; `false` for none. */
  readonly deadline?: Time.Input | false | undefined
  /** One attempt; `false` for none. A fixed limit takes the place of a learned one. */
  readonly attemptTimeout?: Time.Input | false | undefined
  /** Attempts, waits and what may be sent twice; `false` for one attempt. */
  readonly retry?: Omit<RetryOptions, "budget"> | false | undefined
  /** `false` sends no hedge. */
  readonly hedge?: false | undefined
  /** `false` shares no run. */
  readonly singleFlight?: false | undefined
  /** How much of a response is read. */
  readonly limits?: LimitOptions | undefined
  /** Which redirects are followed; `false` for none. Of calls of an upstream alone. */
  readonly redirects?: RedirectOptions | false | undefined
}

/**
 * The options of a policy. A stage that is `false` is off. The stages run in this order, outermost first.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Declared<NamedUpstreamStages>, Declared<NamedEndpointStages> {
  /** The whole call, with its attempts and waits. Default 30 s. A tighter ambient deadline wins. */
  readonly deadline?: Time.Input | false | undefined
  /**
   * Header that tells the upstream how many milliseconds an attempt has left, worked out anew for each: `x-request-timeout-ms`,
   * or what the upstream knows. Default: none is sent.
   */
  readonly deadlineHeader?: string | false | undefined
  /** Default: 3 attempts, full jitter from 100 ms, a budget of 20 %. */
  readonly retry?: RetryOptions | false | undefined
  /** One attempt, from the wait for a connection to the decoded answer: a time, or a limit that is learned. Default 10 s. */
  readonly attemptTimeout?: Time.Input | AdaptiveTimeoutOptions | false | undefined
  /** Redirects that are followed within an attempt. Default: none, and a redirect is a failure. */
  readonly redirects?: RedirectOptions | false | undefined
  /** How much of a response is read. */
  readonly limits?: LimitOptions | undefined
  /** The overrides for single operations: `{ "POST /charges": { retry: false } }`. */
  readonly operations?: { readonly [operation: string]: Overrides } | undefined
}

/**
 * A checked way to retry.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryPolicy {
  readonly loop: Retry.Retry
  readonly nonIdempotent: NonIdempotent
  readonly refusals: "fail" | "wait"
  /** The options that were asked for, to print them. */
  readonly backoff: BackoffOptions | "own schedule"
}

/**
 * The policy of one call, once the overrides of its operation are taken into account.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallPolicy {
  readonly deadline: Duration.Duration | undefined
  /** A fixed limit; `undefined` when there is none, or when it is learned. */
  readonly attemptTimeout: Duration.Duration | undefined
  /** Whether the endpoint's learned limit is in force. */
  readonly learnsTimeout: boolean
  readonly retry: RetryPolicy | undefined
  readonly hedge: boolean
  readonly singleFlight: boolean
  readonly limits: Transport.Limits
  readonly redirects: RedirectPolicy | undefined
}

/**
 * A checked policy. It holds no state: what stages remember is made for each upstream and endpoint.
 *
 * @category models
 * @since 0.1.0
 */
export interface HttpPolicy extends OptionsOf<UpstreamStageTypes>, OptionsOf<EndpointStageTypes> {
  /** The options that it was made of, presets included. */
  readonly options: Options
  /** The policy of calls whose operation has no overrides. */
  readonly call: CallPolicy
  readonly operations: ReadonlyMap<string, CallPolicy>
  readonly deadlineHeader: string | undefined
}

/**
 * Something that the numbers of a policy say together. An `error` is a contradiction, which {@link make} refuses; a `warning`
 * is legal, and probably not what was meant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Finding {
  readonly severity: "error" | "warning"
  readonly text: string
}

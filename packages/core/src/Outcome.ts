/**
 * The judgement on a finished attempt. One classifier says it once; retry, budget, breaker, limiter and every
 * other stage read it, so that they never disagree.
 *
 * **When to use**: to tell a policy which exits of your own effects count as failures.
 *
 * **Gotchas**: an interruption is `Ignored`: it is neither a success nor a failure of the upstream.
 *
 * @since 0.1.0
 */

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { Nature } from "./ErrorCatalog.ts"
import * as ErrorCatalog from "./ErrorCatalog.ts"
import type { Reason } from "./Reason.ts"

/**
 * Why an attempt failed, as far as policies need to know. It decides the price of a retry.
 *
 * `stale` is a connection that had answered others and ended before a byte of this answer came. It says nothing of the upstream:
 * no stage counts it. If the request may be sent again, it is sent again at once, on a new connection, outside of the budget.
 *
 * @category models
 * @since 0.1.0
 */
export type FailureCause = "transient" | "throttle" | "timeout" | "refused" | "permanent" | "stale"

/**
 * The upstream did its work.
 *
 * @category models
 * @since 0.1.0
 */
export interface Success {
  readonly _tag: "Success"
}

/**
 * The attempt failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Failure {
  readonly _tag: "Failure"
  readonly cause: FailureCause
  /** Whether the same request may succeed later. */
  readonly retryable: boolean
  /** Whether the upstream may have acted on the request. */
  readonly applied: "no" | "maybe"
  /** How long the server asked to wait; a retry is never made sooner. */
  readonly retryAfter: Duration.Duration | undefined
}

/**
 * Says nothing about the upstream: the caller went away, or asked something wrong.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ignored {
  readonly _tag: "Ignored"
}

/**
 * The judgement on a finished attempt.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = Success | Failure | Ignored

/**
 * The outcome of an attempt that went well.
 *
 * @category constructors
 * @since 0.1.0
 */
export const success: Outcome = { _tag: "Success" }

/**
 * The outcome of an attempt that says nothing about the upstream.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ignored: Outcome = { _tag: "Ignored" }

/**
 * The outcome of a failed attempt.
 *
 * @category constructors
 * @since 0.1.0
 */
export const failure = (options: {
  readonly cause: FailureCause
  /** Default: whether `cause` is anything but `permanent`. */
  readonly retryable?: boolean | undefined
  /** Default `maybe`. */
  readonly applied?: "no" | "maybe" | undefined
  readonly retryAfter?: Duration.Duration | undefined
}): Failure => ({
  _tag: "Failure",
  cause: options.cause,
  retryable: options.retryable ?? options.cause !== "permanent",
  applied: options.applied ?? "maybe",
  retryAfter: options.retryAfter
})

/**
 * The outcome of an attempt over a connection that was made for it: such a connection has not been used before, so a transport
 * that calls it stale all the same is not believed, and the failure is one that may pass, like any other.
 *
 * ```ts
 * import { Outcome } from "holdfast"
 *
 * console.log(Outcome.onFreshConnection(Outcome.failure({ cause: "stale" })).cause) // => transient
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const onFreshConnection = (outcome: Failure): Failure =>
  outcome.cause === "stale" ? { ...outcome, cause: "transient" } : outcome

const known: ReadonlySet<unknown> = new Set<FailureCause>([
  "transient",
  "throttle",
  "timeout",
  "refused",
  "permanent",
  "stale"
])

/** The fault of an outcome, in words; `undefined` for one that is right. */
const flawOf = (value: unknown): string | undefined => {
  if (value === success || value === ignored) return undefined
  if (!Predicate.isObject(value)) return value === null || value === undefined ? String(value) : `a ${typeof value}`
  if (Predicate.isPromise(value)) return "a promise"
  // an exit is an effect, and has the tags of an outcome
  if (Effect.isEffect(value)) return "an effect"
  if (!("_tag" in value)) return "an object without _tag"
  if (value._tag === "Success" || value._tag === "Ignored") return undefined
  if (value._tag !== "Failure") return `an object with the _tag ${shown(value._tag)}`
  const { applied, cause, retryable, retryAfter }: { readonly [name: string]: unknown } = { ...value }
  if (!known.has(cause)) return `a failure with the cause ${shown(cause)}`
  if (typeof retryable !== "boolean") return `a failure with retryable ${shown(retryable)}`
  if (applied !== "no" && applied !== "maybe") return `a failure with applied ${shown(applied)}`
  if (retryAfter !== undefined && !Duration.isDuration(retryAfter)) {
    return `a failure with retryAfter ${shown(retryAfter)}, which is no Duration`
  }
  return undefined
}

/** Words are shown, anything else is only named: it may hold a secret. */
const shown = (value: unknown): string =>
  typeof value === "string"
    ? JSON.stringify(value.slice(0, 40))
    : Predicate.isObject(value)
      ? "an object"
      : String(value)

/**
 * Gives back a classifier's result, if it is an outcome. Throws a `TypeError` that says what was got instead: for a caller
 * that holds something while it runs a classifier of somebody else's.
 *
 * ```ts
 * import { Outcome } from "holdfast"
 *
 * try {
 *   Outcome.checked("Queue", Promise.resolve())
 * } catch (error) {
 *   console.log(String(error)) // => TypeError: Queue: the classifier must give an Outcome, got a promise
 * }
 * ```
 *
 * @category guards
 * @since 0.1.0
 */
export const checked = (who: string, value: unknown): Outcome => {
  const flaw = flawOf(value)
  if (flaw !== undefined) throw new TypeError(`${who}: the classifier must give an Outcome, got ${flaw}`)
  // nothing else is without a flaw
  return value as Outcome
}

/**
 * {@link checked}, of the judgement of a failure: neither a success nor `ignored` will do.
 *
 * @category guards
 * @since 0.1.0
 */
export const checkedFailure = (who: string, value: unknown): Failure => {
  const outcome = checked(who, value)
  if (outcome._tag === "Failure") return outcome
  throw new TypeError(`${who}: the classifier must give a Failure for what failed, got ${outcome._tag}`)
}

const causes: { readonly [N in Nature]: FailureCause } = {
  transient: "transient",
  throttle: "throttle",
  timeout: "timeout",
  refusal: "refused",
  caller: "permanent",
  permanent: "permanent"
}

/**
 * The catalogue's judgement on a reason.
 *
 * ```ts
 * import { Outcome, Reason } from "holdfast"
 *
 * const outcome = Outcome.fromReason(new Reason.ConnectionRefused({ endpoint: "localhost:1", phase: "connect" }))
 * console.log(outcome.cause, outcome.retryable, outcome.applied) // => transient true no
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromReason = (reason: Reason): Failure => {
  const entry = ErrorCatalog.of(reason)
  return {
    _tag: "Failure",
    cause: "stale" in reason && reason.stale === true ? "stale" : causes[entry.nature],
    retryable: entry.retryable,
    applied: entry.applied,
    retryAfter: "retryAfter" in reason ? reason.retryAfter : undefined
  }
}

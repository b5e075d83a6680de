/**
 * Gives a second-best answer when there is no best one, and says so. A fallback that nobody can tell from the real answer
 * hides outages: {@link Fallback.runResult} puts `degraded` and the error into the type, {@link Fallback.run} into an event, the
 * snapshot and the current span.
 *
 * **When to use**: where less is better than nothing: the last known value, an empty list of recommendations, another
 * upstream.
 *
 * **What it is not**: a way to ignore errors. It answers typed failures that the upstream is to blame for; a request that is wrong, a defect
 * and an interruption pass through. Nor a retry: that comes first, and the fallback sees the failure that it gave up with.
 *
 * **Gotchas**: a fallback is code that runs on the worst day only. Keep it simpler than the answer it replaces, and
 * without the same dependency. It runs under the caller's deadline: a first choice that may use all of it leaves the
 * second none.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Fallback, Reason } from "holdfast"
 *
 * const fallback = Fallback.make({ value: ["bestsellers"] })
 * const recommendations = Effect.fail(new Reason.CircuitOpen({}))
 *
 * const result = await Effect.runPromise(fallback.runResult(recommendations))
 * console.log(result.value, result.degraded && result.error._tag) // => [ 'bestsellers' ] CircuitOpen
 * ```
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as EffectResult from "effect/Result"
import * as ErrorCatalog from "./ErrorCatalog.ts"
import { reasonOf } from "./internal/outcome/failureOutcome.ts"
import { checkEffect, checkOptions, dataFirst } from "./internal/options/given.ts"
import type { Mode } from "./Mode.ts"
import * as PolicyEvents from "./PolicyEvents.ts"
import type * as Reason from "./Reason.ts"

/**
 * When to fall back, to any kind of answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface WhenOptions<in E> {
  /**
   * The failures to answer, by their reasons (of a `CallError`, or as the error itself) or by a function. Default:
   * {@link isUpstreamsFault}.
   */
  readonly when?: ReadonlyArray<Reason.Tag> | ((error: E) => boolean) | undefined
  /** `observe` counts and reports the fallbacks that it would have made, and lets the failure pass. Default `enforce`. */
  readonly mode?: Mode | undefined
}

/**
 * Falls back to a value.
 *
 * @category models
 * @since 0.1.0
 */
export interface ValueOptions<in E, out B> extends WhenOptions<E> {
  /** The answer. */
  readonly value: B
  readonly orElse?: undefined
}

/**
 * Falls back to an effect: a cache, a computation, another upstream.
 *
 * @category models
 * @since 0.1.0
 */
export interface EffectOptions<in E, out B, out E2, out R2> extends WhenOptions<E> {
  /** Makes the answer, from the failure that it stands in for. */
  readonly orElse: (error: E) => Effect.Effect<B, E2, R2>
  readonly value?: undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  mode: "enforce"
} as const satisfies WhenOptions<unknown>

/**
 * The real answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fresh<out A> {
  readonly degraded: false
  readonly value: A
}

/**
 * The answer of a fallback, and the failure that it replaces.
 *
 * @category models
 * @since 0.1.0
 */
export interface Degraded<out B, out E> {
  readonly degraded: true
  readonly value: B
  readonly error: E
}

/**
 * An answer that says whether it is the real one.
 *
 * @category models
 * @since 0.1.0
 */
export type Result<A, E, B = A> = Fresh<A> | Degraded<B, E>

/**
 * An event of a fallback.
 *
 * - `FellBack`: a failure was answered; `observed` when it only would have been
 * - `FallbackFailed`: it would have been, but the fallback failed too
 *
 * @category models
 * @since 0.1.0
 */
export type Event<E> =
  | { readonly _tag: "FellBack"; readonly error: E; readonly observed: boolean }
  | { readonly _tag: "FallbackFailed"; readonly error: E; readonly cause: Cause.Cause<unknown> }

/**
 * The counts of a fallback since it was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** Failures that were answered; in `observe`, that would have been. */
  readonly fellBack: number
  /** Failures that the fallback could not answer because it failed itself. */
  readonly failed: number
  /** Failures that were none of its business. */
  readonly passed: number
}

/**
 * A fallback that calls share.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fallback<in out E, out B, out E2, out R2> {
  readonly mode: Mode
  /** Whether this failure would be answered. */
  readonly handles: (error: E) => boolean
  /** Runs an effect, and gives the value of whichever answered. */
  readonly run: <A, E1 extends E, R>(self: Effect.Effect<A, E1, R>) => Effect.Effect<A | B, E1 | E2, R | R2>
  /** Runs an effect, and gives an answer that says whether it is the real one. */
  readonly runResult: <A, E1 extends E, R>(
    self: Effect.Effect<A, E1, R>
  ) => Effect.Effect<Result<A, E1, B>, E1 | E2, R | R2>
  /** The counts so far. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
  readonly events: PolicyEvents.PolicyEvents<Event<E>>
}

/**
 * The failure that a fallback was to answer when it died itself: an annotation of the defect's cause.
 *
 * ```ts
 * import { Cause, Context, Effect, Exit } from "effect"
 * import { Fallback } from "holdfast"
 *
 * const fallback = Fallback.make({ orElse: () => Effect.die("bug") })
 * const exit = await Effect.runPromiseExit(fallback.run(Effect.fail("upstream is down")))
 *
 * if (Exit.isFailure(exit)) {
 *   console.log(Context.getOrUndefined(Cause.annotations(exit.cause), Fallback.Original)) // => upstream is down
 * }
 * ```
 *
 * @category annotations
 * @since 0.1.0
 */
export class Original extends Context.Service<Original, unknown>()("@holdfast/core/Fallback/Original") {}

/**
 * Whether a failure is anything but the caller's own mistake. By the catalogue, when it is a `CallError` or a reason: a
 * `404` or a rejected order is an answer, and to replace it would be to lie. Any other error is taken for the upstream's fault.
 *
 * ```ts
 * import { Fallback, Reason } from "holdfast"
 *
 * console.log(Fallback.isUpstreamsFault(new Reason.CircuitOpen({}))) // => true
 * console.log(Fallback.isUpstreamsFault(new Reason.RequestEncodeFailed({ path: "json", issue: "not a number" }))) // => false
 * console.log(Fallback.isUpstreamsFault("anything else")) // => true
 * ```
 *
 * @category guards
 * @since 0.1.0
 */
export const isUpstreamsFault = (error: unknown): boolean => {
  const reason = reasonOf(error)
  return reason === undefined || ErrorCatalog.of(reason).nature !== "caller"
}

const predicateOf = <E>(when: WhenOptions<E>["when"]): ((error: E) => boolean) => {
  if (when === undefined) return isUpstreamsFault
  if (typeof when === "function") return when
  if (when.length === 0) throw new RangeError("Fallback: when must name at least one reason, got none")
  const tags: ReadonlySet<string> = new Set(when)
  return (error) => {
    const reason = reasonOf(error)
    return reason !== undefined && tags.has(reason._tag)
  }
}

/**
 * Makes a fallback. Throws a `RangeError` for an empty list of reasons.
 *
 * When the fallback fails too, its caller gets the failure that it was to answer, and beside it, in the same `Cause`, its own.
 * When it dies, the defect is the exit, annotated with {@link Original}.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Fallback } from "holdfast"
 *
 * // only for some failures, to another upstream
 * const fallback = Fallback.make({
 *   when: (error: string) => error !== "no such user",
 *   orElse: (error) => Effect.succeed(`from the replica, because ${error}`)
 * })
 *
 * console.log(await Effect.runPromise(fallback.run(Effect.fail("primary is down")))) // => from the replica, because primary is down
 * console.log(await Effect.runPromise(Effect.flip(fallback.run(Effect.fail("no such user"))))) // => no such user
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <B, E2 = never, R2 = never, E = unknown>(
  options: ValueOptions<E, B> | EffectOptions<E, B, E2, R2>
): Fallback<E, B, E2, R2> => {
  checkOptions("Fallback.make", options, "{ value: [] }")
  const { emit, events, isHeard } = PolicyEvents.make<Event<E>>()
  const mode = options.mode ?? defaults.mode
  const handles = predicateOf(options.when)
  const orElse: (error: E) => Effect.Effect<B, E2, R2> =
    options.orElse === undefined ? () => Effect.succeed(options.value) : options.orElse
  let fellBack = 0
  let failed = 0
  let passed = 0

  const afterFailure = <E1 extends E, C>(
    cause: Cause.Cause<E1>,
    answer: (value: B, error: E1) => C
  ): Effect.Effect<C, E1 | E2, R2> => {
    // both end the call, beside any other failure
    if (Cause.hasInterrupts(cause) || Cause.hasDies(cause)) return Effect.failCause(cause)
    const found = Cause.findError(cause)
    if (EffectResult.isFailure(found)) return Effect.failCause(found.failure)
    const error = found.success
    if (!handles(error)) {
      passed++
      return Effect.failCause(cause)
    }
    if (mode === "observe") {
      fellBack++
      if (isHeard()) emit({ _tag: "FellBack", error, observed: true })
      return Effect.failCause(cause)
    }
    return Effect.withFiber((fiber) =>
      Effect.matchCauseEffect(
        Effect.suspend(() => orElse(error)),
        {
          onSuccess: (value) => {
            fellBack++
            annotateSpan(fiber)
            if (isHeard()) emit({ _tag: "FellBack", error, observed: false })
            return Effect.succeed(answer(value, error))
          },
          onFailure: (second): Effect.Effect<never, E1 | E2> => {
            if (Cause.hasInterrupts(second)) return Effect.failCause(second)
            failed++
            if (isHeard()) emit({ _tag: "FallbackFailed", error, cause: second })
            // beside a failure, a defect would be lost as soon as a handler recovered from the failure
            if (Cause.hasDies(second)) return Effect.failCause(Cause.annotate(second, Context.make(Original, error)))
            // the first failure of a cause is the one that handlers see
            return Effect.failCause(Cause.fromReasons<E1 | E2>([...cause.reasons, ...second.reasons]))
          }
        }
      )
    )
  }

  return {
    mode,
    handles,
    run: (self) => {
      checkEffect("Fallback", self)
      return mode === "off" ? self : Effect.catchCause(self, (cause) => afterFailure(cause, (value) => value))
    },
    runResult: <A, E1 extends E, R>(self: Effect.Effect<A, E1, R>) => {
      const fresh = Effect.map(self, (value): Result<A, E1, B> => ({ degraded: false, value }))
      if (mode === "off") return fresh
      return Effect.catchCause(fresh, (cause) =>
        afterFailure(cause, (value, error): Result<A, E1, B> => ({ degraded: true, value, error }))
      )
    },
    snapshot: Effect.sync(() => ({ fellBack, failed, passed })),
    events
  }
}

const annotateSpan = (fiber: Fiber.Fiber<unknown, unknown>): void => {
  const span = fiber.cache.span
  if (span?._tag === "Span") span.attribute("holdfast.degraded", true)
}

/**
 * Runs an effect, and gives the value of whichever answered: see {@link Fallback.run}.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Fallback } from "holdfast"
 *
 * const empty = Fallback.make({ value: [] })
 * const items = Effect.fail("down").pipe(Fallback.run(empty))
 *
 * console.log(await Effect.runPromise(items)) // => []
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: {
  <E, B, E2, R2>(
    fallback: Fallback<E, B, E2, R2>
  ): <A, E1 extends E, R>(self: Effect.Effect<A, E1, R>) => Effect.Effect<A | B, E1 | E2, R | R2>
  <A, E1 extends E, R, E, B, E2, R2>(
    self: Effect.Effect<A, E1, R>,
    fallback: Fallback<E, B, E2, R2>
  ): Effect.Effect<A | B, E1 | E2, R | R2>
} = dual(
  dataFirst("Fallback.run"),
  <A, E1 extends E, R, E, B, E2, R2>(
    self: Effect.Effect<A, E1, R>,
    fallback: Fallback<E, B, E2, R2>
  ): Effect.Effect<A | B, E1 | E2, R | R2> => fallback.run(self)
)

/**
 * Runs an effect, and gives an answer that says whether it is the real one: see {@link Fallback.runResult}.
 *
 * @category combinators
 * @since 0.1.0
 */
export const runResult: {
  <E, B, E2, R2>(
    fallback: Fallback<E, B, E2, R2>
  ): <A, E1 extends E, R>(self: Effect.Effect<A, E1, R>) => Effect.Effect<Result<A, E1, B>, E1 | E2, R | R2>
  <A, E1 extends E, R, E, B, E2, R2>(
    self: Effect.Effect<A, E1, R>,
    fallback: Fallback<E, B, E2, R2>
  ): Effect.Effect<Result<A, E1, B>, E1 | E2, R | R2>
} = dual(
  dataFirst("Fallback.runResult"),
  <A, E1 extends E, R, E, B, E2, R2>(
    self: Effect.Effect<A, E1, R>,
    fallback: Fallback<E, B, E2, R2>
  ): Effect.Effect<Result<A, E1, B>, E1 | E2, R | R2> => fallback.runResult(self)
)

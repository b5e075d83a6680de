/**
 * Bounds one attempt in time: by its own limit, or by what is left of the deadline when that is less.
 *
 * **When to use**: inside a retry, around what one attempt does from its first byte to its decoded answer.
 *
 * **What it is not**: a bound on the whole call with its retries and waits; that is `Deadline`.
 *
 * **Gotchas**: what is timed out is interrupted, and its finalizers are waited for.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Deadline from "./Deadline.ts"
import { stackless } from "./Stackless.ts"
import { startTimer } from "./internal/timer.ts"
import { AttemptTimeout, DeadlineExceeded } from "./Reason.ts"

/**
 * Interrupts an effect that takes too long.
 *
 * - `limit`: the longest that the attempt may take; left out, only the deadline bounds it
 * - `deadline`: when the caller no longer wants the answer; default: the ambient `Deadline.Current`
 *
 * Fails with `AttemptTimeout` when the limit passed, with `DeadlineExceeded` when the deadline did; at once, without
 * running the effect, when no time is left.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { AttemptTimeout } from "holdfast"
 *
 * const program = Effect.never.pipe(AttemptTimeout.within({ limit: "10 millis" }), Effect.flip)
 * console.log((await Effect.runPromise(program)).message) // => the attempt was not finished within 10ms
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const within = (options: {
  readonly limit?: Duration.Input | undefined
  readonly deadline?: Deadline.Deadline | undefined
}): (<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | AttemptTimeout | DeadlineExceeded, R>) => {
  const limitMillis =
    options.limit === undefined ? Infinity : Duration.toMillis(Duration.fromInputUnsafe(options.limit))
  if (!(limitMillis > 0)) {
    throw new RangeError(`AttemptTimeout: limit must be longer than zero, got ${String(options.limit)}`)
  }
  return (self) => bounded(self, limitMillis, options.deadline)
}

/**
 * {@link within}, for a limit that was checked before: in milliseconds, `Infinity` for none.
 *
 * @category combinators
 * @since 0.1.0
 */
export const bounded = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  limitMillis: number,
  given: Deadline.Deadline | undefined
): Effect.Effect<A, E | AttemptTimeout | DeadlineExceeded, R> =>
  Effect.withFiber((parent) => {
    const deadline = given ?? parent.getRef(Deadline.Current)
    const remainingMillis =
      deadline === undefined ? Infinity : deadline.atMillis - Deadline.nowMillisUnsafe(parent.getRef(Clock.Clock))
    const exceeded = (): AttemptTimeout | DeadlineExceeded =>
      stackless(() =>
        deadline !== undefined && remainingMillis <= limitMillis
          ? new DeadlineExceeded({ budget: Duration.millis(deadline.budgetMillis) })
          : new AttemptTimeout({ limit: Duration.millis(limitMillis) })
      )
    if (remainingMillis <= 0) return Effect.fail(exceeded())
    const millis = Math.min(limitMillis, remainingMillis)
    if (millis === Infinity) return self
    return Effect.callback<A, E | AttemptTimeout | DeadlineExceeded, R>((resume) => {
      let timedOut = false
      // one fork and one timer; a race would fork both sides
      const child = Effect.runForkWith(
        // the parent holds what `self` requires, or `self` could not have been run in its place
        parent.context as Context.Context<R>
      )(self)
      const cancel = startTimer(parent, millis, () => {
        timedOut = true
        child.interruptUnsafe(parent.id)
      })
      child.addObserver((exit) => {
        cancel()
        resume(timedOut && exit._tag === "Failure" ? Effect.fail(exceeded()) : exit)
      })
      return Effect.suspend(() => {
        cancel()
        return Fiber.interrupt(child)
      })
    })
  })

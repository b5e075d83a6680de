/**
 * The instant after which a caller no longer wants the answer. It is a value in the fiber's context, not a timer: a
 * wait asks how much is left, and never lasts longer.
 *
 * **When to use**: at the edge of a service, around everything that one incoming request causes. Calls below it take the
 * tighter of this deadline and their policy's own.
 *
 * **What it is not**: a timeout. {@link within} does not interrupt the effect in it; the waits inside (attempts,
 * back-offs) end themselves. Put `Effect.timeout` around code that does not know deadlines.
 *
 * **Gotchas**: a deadline only ever gets tighter. An inner `within` that asks for more than is left changes nothing.
 *
 * ```ts
 * import { Deadline } from "holdfast"
 * import { Duration, Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const left = yield* Deadline.remaining
 *   console.log(left === undefined ? "no deadline" : Duration.toSeconds(left) > 1.9)
 * })
 *
 * // the inner one asks for more than is left, and does not get it
 * await Effect.runPromise(program.pipe(Deadline.within("10 seconds"), Deadline.within("2 seconds")))
 * // => true
 * ```
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Time from "./Time.ts"

/**
 * A deadline: the instant, and how long there was when it was set (which an error tells the user).
 *
 * @category models
 * @since 0.1.0
 */
export interface Deadline {
  /** On the monotonic clock, in milliseconds: comparable within this process only. */
  readonly atMillis: number
  /** The time that there was when it was set. */
  readonly budgetMillis: number
}

/**
 * The deadline in force, if any.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<Deadline | undefined> = Context.Reference<Deadline | undefined>(
  "@holdfast/core/Deadline/Current",
  { defaultValue: () => undefined }
)

/**
 * The monotonic time in milliseconds, by the fiber's `Clock`.
 *
 * @category getters
 * @since 0.1.0
 */
export const nowMillisUnsafe = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/**
 * The tighter of a deadline and a time from now.
 *
 * @category combinators
 * @since 0.1.0
 */
export const tighten = (
  current: Deadline | undefined,
  nowMillis: number,
  budgetMillis: number | undefined
): Deadline | undefined => {
  if (budgetMillis === undefined || !Number.isFinite(budgetMillis)) return current
  const atMillis = nowMillis + budgetMillis
  return current !== undefined && current.atMillis <= atMillis ? current : { atMillis, budgetMillis }
}

/**
 * Runs an effect under a deadline, unless a tighter one is already in force.
 *
 * @category combinators
 * @since 0.1.0
 */
export const within: {
  (budget: Time.Input): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, budget: Time.Input): Effect.Effect<A, E, R>
} = dual(2, <A, E, R>(self: Effect.Effect<A, E, R>, budget: Time.Input): Effect.Effect<A, E, R> => {
  const budgetMillis = Time.millis("Deadline.within: the budget", budget)
  if (!(budgetMillis > 0)) {
    throw new RangeError(`Deadline.within: the budget must be longer than zero, got ${String(budget)}`)
  }
  return Effect.withFiber((fiber) =>
    Effect.provideService(
      self,
      Current,
      tighten(fiber.getRef(Current), nowMillisUnsafe(fiber.getRef(Clock.Clock)), budgetMillis)
    )
  )
})

/**
 * Runs an effect without the deadline that is in force: for work that is begun by a request and outlives it on purpose, as a notice that is
 * sent after the answer. Give it one of its own with {@link within}, or nothing ends its waits.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Deadline } from "holdfast"
 *
 * const left = Effect.map(Deadline.remaining, (left) => (left === undefined ? "no deadline" : "some time"))
 *
 * const request = Effect.all([left, Deadline.none(left)])
 * console.log(await Effect.runPromise(request.pipe(Deadline.within("1 second"))))
 * // => [ 'some time', 'no deadline' ]
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const none = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(self, Current, undefined)

/**
 * The time that is left, never below zero; `undefined` when there is no deadline.
 *
 * @category getters
 * @since 0.1.0
 */
export const remaining: Effect.Effect<Duration.Duration | undefined> = Effect.withFiber((fiber) => {
  const deadline = fiber.getRef(Current)
  return Effect.succeed(
    deadline === undefined
      ? undefined
      : Duration.millis(Math.max(0, deadline.atMillis - nowMillisUnsafe(fiber.getRef(Clock.Clock))))
  )
})

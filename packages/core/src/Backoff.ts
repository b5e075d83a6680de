/**
 * Back-off schedules with the jitter that Effect's own do not have: full, equal and decorrelated. Delays grow exponentially,
 * linearly, as Fibonacci's numbers, or not at all.
 *
 * **When to use**: as the `schedule` of a retry, here or in `Effect.retry`; they compose with every other `Schedule`.
 *
 * **What it is not**: a bound on the number of retries. Say that with `maxAttempts`, or with `Schedule.recurs`.
 *
 * **Gotchas**: `Schedule.jittered` spreads by ±20 % only, and over the cap. The cap here keeps its jitter.
 *
 * @since 0.1.0
 */

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import {
  backoffDelayMillis,
  type BackoffShape,
  type Growth,
  initialBackoff,
  type Jitter,
  nextBackoff
} from "./internal/retry/backoffDelay.ts"
import * as Time from "./Time.ts"

export type {
  /**
   * How a delay `d` is spread: `none` (exactly `d`), `full` (anything below `d`; the least total work), `equal` (between
   * half of `d` and `d`), `decorrelated` (between the base and three times the previous delay).
   *
   * @category models
   * @since 0.1.0
   */
  Jitter
}

/**
 * The shape of a back-off.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The first delay before jitter. Default 100 ms. */
  readonly base?: Time.Input | undefined
  /** The factor between one delay and the next. Default 2. Not used by `decorrelated`. */
  readonly factor?: number | undefined
  /** The longest delay. Default 10 s. */
  readonly cap?: Time.Input | undefined
  /** Default `full`. */
  readonly jitter?: Jitter | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  base: Duration.millis(100),
  factor: 2,
  cap: Duration.seconds(10),
  jitter: "full"
} as const satisfies Options

/**
 * The shape of a back-off that does not grow exponentially. Its jitter is any but `decorrelated`, which has a growth of its
 * own.
 *
 * @category models
 * @since 0.1.0
 */
export interface SteadyOptions {
  /** The first delay before jitter. Default 100 ms. */
  readonly base?: Time.Input | undefined
  /** The longest delay. Default 10 s. */
  readonly cap?: Time.Input | undefined
  /** Default `full`. */
  readonly jitter?: Exclude<Jitter, "decorrelated"> | undefined
}

/**
 * The shape of a linear back-off.
 *
 * @category models
 * @since 0.1.0
 */
export interface LinearOptions extends SteadyOptions {
  /** The time added for each retry. Longer than zero; default the base. */
  readonly increment?: Time.Input | undefined
}

const shapeOf = (growth: Growth, options: Options): BackoffShape => {
  const baseMillis = Time.millis("Backoff: base", options.base ?? defaults.base)
  const capMillis = Time.millis("Backoff: cap", options.cap ?? defaults.cap)
  const factor = options.factor ?? defaults.factor
  if (!(baseMillis > 0 && Number.isFinite(baseMillis))) {
    const name = growth === "constant" ? "delay" : "base"
    throw new RangeError(`Backoff: ${name} must be longer than zero and finite, got ${String(options.base)}`)
  }
  if (!(capMillis >= baseMillis && Number.isFinite(capMillis))) {
    throw new RangeError(`Backoff: cap must be finite and at least the base of ${baseMillis}ms, got ${capMillis}ms`)
  }
  if (!(factor >= 1)) throw new RangeError(`Backoff: factor must be at least 1, got ${factor}`)
  const jitter = options.jitter ?? defaults.jitter
  // the types say so too, but the value may come from a configuration
  if (jitter === "decorrelated" && growth !== "exponential") {
    throw new RangeError(
      `Backoff: jitter must be none, full or equal for a ${growth} back-off, got decorrelated, which has a growth of its own`
    )
  }
  return { growth, baseMillis, factor, capMillis, jitter }
}

const scheduleOf = (shape: BackoffShape): Schedule.Schedule<Duration.Duration> =>
  Schedule.fromStep(
    Effect.sync(() => {
      let state = initialBackoff(shape)
      return () =>
        Effect.map(Random.next, (random): [Duration.Duration, Duration.Duration] => {
          const delayMillis = backoffDelayMillis(shape, state, random)
          state = nextBackoff(state, delayMillis)
          const delay = Duration.millis(delayMillis)
          return [delay, delay]
        })
    })
  )

/**
 * Exponential back-off with jitter; its output is the delay. It never ends by itself.
 *
 * Throws a `RangeError` for a base that is not longer than zero, a cap below the base, or a factor below 1.
 *
 * ```ts
 * import { Effect, Random, Schedule } from "effect"
 * import { Backoff } from "holdfast"
 *
 * const delays = Effect.gen(function*() {
 *   const step = yield* Schedule.toStep(Backoff.exponential({ base: "100 millis", cap: "1 second", jitter: "none" }))
 *   for (let retry = 0; retry < 5; retry++) console.log(String((yield* step(0, undefined))[1]))
 * })
 *
 * await Effect.runPromise(delays.pipe(Random.withSeed("fixed"), Effect.orDie))
 * // => 100 millis
 * // => 200 millis
 * // => 400 millis
 * // => 800 millis
 * // => 1000 millis
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const exponential = (options: Options = {}): Schedule.Schedule<Duration.Duration> =>
  scheduleOf(shapeOf("exponential", options))

/**
 * Linear back-off with jitter: each delay is longer than the one before by `increment`. Its output is the delay; it never ends
 * by itself.
 *
 * **When to use**: against contention rather than overload, where waiting twice as long does not help twice as much.
 *
 * Throws a `RangeError` for a base or an increment that is not longer than zero, or a cap below the base.
 *
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { Backoff } from "holdfast"
 *
 * const delays = Effect.gen(function*() {
 *   const step = yield* Schedule.toStep(Backoff.linear({ base: "1 second", increment: "500 millis", jitter: "none" }))
 *   for (let retry = 0; retry < 3; retry++) console.log(String((yield* step(0, undefined))[1]))
 * })
 *
 * await Effect.runPromise(Effect.orDie(delays))
 * // => 1000 millis
 * // => 1500 millis
 * // => 2000 millis
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const linear = (options: LinearOptions = {}): Schedule.Schedule<Duration.Duration> => {
  const shape = shapeOf("linear", { base: options.base, cap: options.cap, jitter: options.jitter })
  if (options.increment === undefined) return scheduleOf({ ...shape, factor: 1 })
  const incrementMillis = Time.millis("Backoff: increment", options.increment)
  if (!(incrementMillis > 0 && Number.isFinite(incrementMillis))) {
    throw new RangeError(`Backoff: increment must be longer than zero and finite, got ${String(options.increment)}`)
  }
  return scheduleOf({ ...shape, factor: incrementMillis / shape.baseMillis })
}

/**
 * Fibonacci back-off with jitter: 1, 1, 2, 3, 5, 8 times the base. It grows by a factor of 1.6 in the end, and slower than that at
 * first. Its output is the delay; it never ends by itself.
 *
 * Throws a `RangeError` for a base that is not longer than zero, or a cap below the base.
 *
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { Backoff } from "holdfast"
 *
 * const delays = Effect.gen(function*() {
 *   const step = yield* Schedule.toStep(Backoff.fibonacci({ base: "1 second", cap: "4 seconds", jitter: "none" }))
 *   for (let retry = 0; retry < 5; retry++) console.log(String((yield* step(0, undefined))[1]))
 * })
 *
 * await Effect.runPromise(Effect.orDie(delays))
 * // => 1000 millis
 * // => 1000 millis
 * // => 2000 millis
 * // => 3000 millis
 * // => 4000 millis
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fibonacci = (options: SteadyOptions = {}): Schedule.Schedule<Duration.Duration> =>
  scheduleOf(shapeOf("fibonacci", options))

/**
 * The same delay each time, with jitter. Its output is the delay; it never ends by itself.
 *
 * **When to use**: to poll for something that takes a known time. Against an upstream in trouble it keeps up the pressure:
 * prefer one that grows.
 *
 * Throws a `RangeError` for a delay that is not longer than zero.
 *
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { Backoff } from "holdfast"
 *
 * const delays = Effect.gen(function*() {
 *   const step = yield* Schedule.toStep(Backoff.constant({ delay: "1 second", jitter: "none" }))
 *   for (let retry = 0; retry < 2; retry++) console.log(String((yield* step(0, undefined))[1]))
 * })
 *
 * await Effect.runPromise(Effect.orDie(delays))
 * // => 1000 millis
 * // => 1000 millis
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const constant = (
  options: {
    /** The delay before jitter. Default 100 ms. */
    readonly delay?: Time.Input | undefined
    /** Default `full`: anything below the delay. */
    readonly jitter?: Exclude<Jitter, "decorrelated"> | undefined
  } = {}
): Schedule.Schedule<Duration.Duration> => {
  const delay = options.delay ?? defaults.base
  return scheduleOf(shapeOf("constant", { base: delay, cap: delay, jitter: options.jitter }))
}

/**
 * Back-off schedules with the jitter that Effect's own do not have: full, equal and decorrelated.
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
  initialBackoff,
  type Jitter,
  nextBackoff
} from "./internal/backoffDelay.ts"

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
 * What a back-off is made of.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The first delay before jitter. Default 100 ms. */
  readonly base?: Duration.Input | undefined
  /** What each delay is multiplied by. Default 2. Not used by `decorrelated`. */
  readonly factor?: number | undefined
  /** The longest delay. Default 10 s. */
  readonly cap?: Duration.Input | undefined
  /** Default `full`. */
  readonly jitter?: Jitter | undefined
}

/**
 * What an option left out means.
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

const shapeOf = (options: Options): BackoffShape => {
  const baseMillis = Duration.toMillis(Duration.fromInputUnsafe(options.base ?? defaults.base))
  const capMillis = Duration.toMillis(Duration.fromInputUnsafe(options.cap ?? defaults.cap))
  const factor = options.factor ?? defaults.factor
  if (!(baseMillis > 0 && Number.isFinite(baseMillis))) {
    throw new RangeError(`Backoff: base must be longer than zero and finite, got ${String(options.base)}`)
  }
  if (!(capMillis >= baseMillis && Number.isFinite(capMillis))) {
    throw new RangeError(`Backoff: cap must be finite and at least the base of ${baseMillis}ms, got ${capMillis}ms`)
  }
  if (!(factor >= 1)) throw new RangeError(`Backoff: factor must be at least 1, got ${factor}`)
  return { baseMillis, factor, capMillis, jitter: options.jitter ?? defaults.jitter }
}

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
export const exponential = (options: Options = {}): Schedule.Schedule<Duration.Duration> => {
  const shape = shapeOf(options)
  return Schedule.fromStep(
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
}

/**
 * Remembers how long the calls of the last while took, and answers any quantile of it. An adaptive `AttemptTimeout`
 * learns from it; one tracker can serve everything that needs the same upstream's latency.
 *
 * **When to use**: to derive a delay or a limit from an upstream's own latency.
 *
 * **What it is not**: a metric. It forgets after its window, and has no buckets to export.
 *
 * A log-linear histogram of 32 buckets for each power of two (HdrHistogram's layout): a quantile is within 1.6 % of the
 * true one, from 1 µs to 71 minutes. The window is a ring of five slices, so that old samples fade a fifth at a time. A
 * tracker takes some 22 KB, however much is recorded.
 *
 * **Gotchas**: it is as good as its samples. Recording fast failures makes an upstream look fast, and leaving out attempts
 * that were cut off makes it look faster still: record such an attempt with the time that it had.
 *
 * ```ts
 * import { LatencyTracker } from "holdfast"
 *
 * const tracker = LatencyTracker.make({ window: "30 seconds" })
 * for (let millis = 1; millis <= 100; millis++) tracker.record(0, millis)
 *
 * console.log(Math.round(tracker.quantileMillis(0, 0.5) ?? 0)) // => 50
 * console.log(tracker.count(0)) // => 100
 * console.log(tracker.quantileMillis(30_000, 0.5)) // => undefined
 * ```
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Deadline from "./Deadline.ts"
import * as Time from "./Time.ts"
import * as State from "./internal/time/latencyHistogram.ts"

/**
 * The memory of a tracker.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How long a sample counts. Between 1 s and 1 h; default 30 s. */
  readonly window?: Time.Input | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  window: Duration.seconds(30)
} as const satisfies Options

/**
 * The state of a tracker at one instant; the durations are zero without samples.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** Samples in the window. */
  readonly count: number
  readonly p50: Duration.Duration
  readonly p90: Duration.Duration
  readonly p99: Duration.Duration
  readonly slowest: Duration.Duration
}

/**
 * The state of a tracker at one instant, for more than one question.
 *
 * @category models
 * @since 0.1.0
 */
export interface View {
  readonly count: number
  readonly quantileMillis: (quantile: number) => number | undefined
}

/**
 * The latencies of the last while. Its methods are synchronous and take the monotonic time in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface LatencyTracker {
  /** Adds a sample. A negative duration measures nothing, and is dropped. */
  readonly record: (nowMillis: number, durationMillis: number) => void
  /**
   * The duration that `quantile` (between 0 and 1) of the samples did not exceed; `undefined` without samples. About 60 ns:
   * cheap enough to ask for each attempt.
   */
  readonly quantileMillis: (nowMillis: number, quantile: number) => number | undefined
  /** Samples in the window. */
  readonly count: (nowMillis: number) => number
  /** The tracker's state at a time, copied: reading it changes nothing. For a snapshot, not for a hot path. */
  readonly at: (nowMillis: number) => View
  /** The present state of the tracker. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
}

/**
 * Makes a tracker. Throws a `RangeError` that names the option which is out of range.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): LatencyTracker => {
  const windowMillis = Time.millis("LatencyTracker: window", options.window ?? defaults.window)
  if (!(windowMillis >= 1000 && windowMillis <= 3_600_000)) {
    throw new RangeError(`LatencyTracker: window (milliseconds) must be between 1000 and 3600000, got ${windowMillis}`)
  }
  const state = State.makeWindowState(windowMillis)
  const at = (nowMillis: number): View => {
    const total = State.totalAt(state, nowMillis)
    return { count: total.count, quantileMillis: (quantile) => State.quantileMillis(total, quantile) }
  }
  return {
    record: (nowMillis, durationMillis) => State.record(state, nowMillis, durationMillis),
    quantileMillis: (nowMillis, quantile) => {
      State.advance(state, nowMillis)
      return State.quantileMillis(state.total, quantile)
    },
    count: (nowMillis) => {
      State.advance(state, nowMillis)
      return state.total.count
    },
    at,
    snapshot: Effect.map(Clock.Clock, (clock): Snapshot => {
      const { count, quantileMillis } = at(Deadline.nowMillisUnsafe(clock))
      const duration = (quantile: number): Duration.Duration => Duration.millis(quantileMillis(quantile) ?? 0)
      return { count, p50: duration(0.5), p90: duration(0.9), p99: duration(0.99), slowest: duration(1) }
    })
  }
}

/**
 * How the calls of the last 10 seconds, minute and five minutes went: how many, how many failed, how long they took. For each
 * upstream and each of its operations, calls and attempts apart.
 *
 * **When to use**: where a program decides or shows something by the calls of just now: a status page, a canary, a burn rate.
 *
 * **What it is not**: a metric. It forgets after five minutes, and is of this process alone; give metrics to Prometheus or
 * OTLP for anything longer.
 *
 * A window is a ring of slices: `last10Seconds` of 2 s, `lastMinute` of 10 s, `last5Minutes` of 60 s. The current slice is only
 * partly full, so a window covers between its length less one slice and its whole length; rates are of the time that is
 * `covered`. Durations are kept in log-linear buckets: a percentile is within 5 % of the true one between 16 µs and 268 s.
 *
 * **Gotchas**: provide {@link layer} once, below the layers of upstreams or beside them. Series
 * are bounded: beyond `maxSeries` the one that was not used for longest is forgotten. A series takes 31 KiB at most: 16 slices
 * of 247 counters, for calls and for attempts. A call is counted when it ends, and one that is under way is in no window.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Upstream } from "holdfast"
 * import { Windows } from "holdfast/telemetry"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}
 *
 * const transport = ScriptedTransport.layer({
 *   "GET /items": [ScriptedTransport.status(503), ScriptedTransport.json([]), ScriptedTransport.status(404)]
 * })
 *
 * const program = Effect.gen(function*() {
 *   const stock = yield* Stock
 *   yield* stock.get("/items")
 *   yield* Effect.ignore(stock.get("/items"))
 *   const series = yield* Windows.read("stock", "GET /items")
 *   const calls = series?.calls.lastMinute
 *   console.log(calls?.count, calls?.failed, calls?.rejected, calls?.errorRatio) // => 2 1 1 0
 *   const attempts = series?.attempts.lastMinute
 *   console.log(attempts?.count, attempts?.errorRatio?.toFixed(2)) // => 3 0.33
 * })
 *
 * const main = Stock.layer.pipe(Layer.provide(transport), Layer.provideMerge(Windows.layer()))
 * await Effect.runPromise(program.pipe(Effect.provide(main)))
 * ```
 *
 * @since 0.1.0
 */

import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import * as Deadline from "@holdfast/core/Deadline"
import type { Reason } from "@holdfast/core/Reason"
import * as CallObserver from "@holdfast/http/CallObserver"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as State from "./internal/windows/callWindows.ts"
import { quantileMillis } from "./internal/metrics/durationBuckets.ts"
import { type TimeSlices, totalAt, type WindowName } from "./internal/windows/timeSlices.ts"

/**
 * How much is remembered.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Series at most: one for each upstream, and one for each of its operations. Each takes 31 KiB at most. A whole number of at
   * least 2; default 256, which is 8 MiB.
   */
  readonly maxSeries?: number | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = { maxSeries: 256 } as const satisfies Options

/**
 * How long calls or attempts took: half of them, 95 % and 99 % did not exceed these.
 *
 * @category models
 * @since 0.1.0
 */
export interface Latency {
  readonly p50: Duration.Duration
  readonly p95: Duration.Duration
  readonly p99: Duration.Duration
}

/**
 * The calls, or the attempts, that ended in a window.
 *
 * @category models
 * @since 0.1.0
 */
export interface Window {
  /** How far back it goes; less than its name says while its last slice is not full, and after the start. */
  readonly covered: Duration.Duration
  /** All that ended: `succeeded`, `failed` and `interrupted`. */
  readonly count: number
  readonly succeeded: number
  /** For any reason, those of `rejected` and `refused` included. */
  readonly failed: number
  /** Of the failures: the request was wrong, says the catalogue (nature `caller`): `404`, a business error. */
  readonly rejected: number
  /** Of the failures: a policy on this side said no (nature `refusal`). Attempts are not made then. */
  readonly refused: number
  /** Its caller went away, or another attempt was faster. */
  readonly interrupted: number
  /** `count` for each second that is covered; of at least one second, so that the first call makes no burst. */
  readonly ratePerSecond: number
  /**
   * Failures that were not `rejected`, of all successes and failures, between 0 and 1; `undefined` without any. An upstream
   * that answers that a thing does not exist is working.
   */
  readonly errorRatio: number | undefined
  /** Of successes and failures that were not `refused`; `undefined` without any. Time-outs count as long as they took. */
  readonly latency: Latency | undefined
}

/**
 * The three windows, the shorter ones contained in the longer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Windowed {
  readonly last10Seconds: Window
  readonly lastMinute: Window
  readonly last5Minutes: Window
}

/**
 * How the calls of an upstream, or of one of its operations, went.
 *
 * @category models
 * @since 0.1.0
 */
export interface Series {
  readonly upstream: string
  /** `undefined` for all operations of the upstream together. */
  readonly operation: string | undefined
  /** The results that callers got. */
  readonly calls: Windowed
  /** The requests sent, retries and hedges included. */
  readonly attempts: Windowed
}

/**
 * Reads the windows. Reading changes nothing.
 *
 * @category services
 * @since 0.1.0
 */
export class Windows extends Context.Service<
  Windows,
  {
    /** Of an upstream, or of one of its operations (`GET /items/{sku}`); `undefined` when none of its calls is remembered. */
    readonly read: (upstream: string, operation?: string) => Effect.Effect<Series | undefined>
    /** Of every upstream, each followed by its operations, in the order in which they were first called. */
    readonly all: Effect.Effect<ReadonlyArray<Series>>
  }
>()("@holdfast/telemetry/Windows") {}

/**
 * The windows of an upstream, or of one of its operations; `undefined` when none of its calls is remembered.
 *
 * @category getters
 * @since 0.1.0
 */
export const read = (upstream: string, operation?: string): Effect.Effect<Series | undefined, never, Windows> =>
  Effect.flatMap(Windows, (windows) => windows.read(upstream, operation))

/**
 * The windows of every upstream, each followed by its operations.
 *
 * @category getters
 * @since 0.1.0
 */
export const all: Effect.Effect<ReadonlyArray<Series>, never, Windows> = Effect.flatMap(
  Windows,
  (windows) => windows.all
)

const endingOf = (outcome: "success" | "failure" | "interrupted", reason: Reason | undefined): State.Ending => {
  if (outcome === "success") return "succeeded"
  if (outcome === "interrupted") return "interrupted"
  if (reason === undefined) return "failed"
  const { nature } = ErrorCatalog.of(reason)
  return nature === "caller" ? "rejected" : nature === "refusal" ? "refused" : "failed"
}

const windowOf = (slices: TimeSlices, name: WindowName, sinceMillis: number, nowMillis: number): Window => {
  const { counters, coveredMillis } = totalAt(slices, name, nowMillis)
  const number = (ending: State.Ending): number => counters[State.Ending[ending]] ?? 0
  const covered = Math.max(0, Math.min(coveredMillis, nowMillis - sinceMillis))
  const [succeeded, rejected, refused, interrupted] = [
    number("succeeded"),
    number("rejected"),
    number("refused"),
    number("interrupted")
  ]
  const blamed = number("failed") + refused
  const failed = blamed + rejected
  const count = succeeded + failed + interrupted
  const quantile = (share: number): Duration.Duration =>
    Duration.millis(quantileMillis(counters, State.firstBucket, share) ?? 0)
  return {
    covered: Duration.millis(covered),
    count,
    succeeded,
    failed,
    rejected,
    refused,
    interrupted,
    ratePerSecond: count / Math.max(1, covered / 1000),
    errorRatio: succeeded + failed === 0 ? undefined : blamed / (succeeded + failed),
    latency:
      succeeded + failed === refused ? undefined : { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99) }
  }
}

const windowedOf = (slices: TimeSlices, sinceMillis: number, nowMillis: number): Windowed => ({
  last10Seconds: windowOf(slices, "last10Seconds", sinceMillis, nowMillis),
  lastMinute: windowOf(slices, "lastMinute", sinceMillis, nowMillis),
  last5Minutes: windowOf(slices, "last5Minutes", sinceMillis, nowMillis)
})

const make = (maxSeries: number, clock: Clock.Clock) => {
  const now = (): number => Deadline.nowMillisUnsafe(clock)
  const state = State.makeCallWindows(maxSeries, now())
  const observer: CallObserver.CallObserver = {
    callEnded: (call, { durationMillis, error, outcome }) =>
      State.record(
        state,
        "calls",
        call.upstream,
        call.operation,
        endingOf(outcome, error?.reason),
        durationMillis,
        now()
      ),
    attemptEnded: (call, { durationMillis, outcome, reason }) =>
      State.record(state, "attempts", call.upstream, call.operation, endingOf(outcome, reason), durationMillis, now())
  }
  const shown = (upstream: string, operation: string | undefined, series: State.Series, nowMillis: number): Series => ({
    upstream,
    operation,
    calls: windowedOf(series.calls, series.sinceMillis, nowMillis),
    attempts: windowedOf(series.attempts, series.sinceMillis, nowMillis)
  })
  const service = Windows.of({
    read: (upstream, operation) =>
      Effect.sync(() => {
        const found = state.upstreams.get(upstream)
        const series = operation === undefined ? found?.total : found?.operations.get(operation)
        return series === undefined ? undefined : shown(upstream, operation, series, now())
      }),
    all: Effect.sync(() => {
      const nowMillis = now()
      return [...state.upstreams].flatMap(([upstream, { operations, total }]) => [
        shown(upstream, undefined, total, nowMillis),
        ...[...operations].map(([operation, series]) => shown(upstream, operation, series, nowMillis))
      ])
    })
  })
  return { observer, service }
}

/**
 * Keeps windows of the calls of all upstreams above it, and gives the service that reads them. Throws a `RangeError` for a
 * `maxSeries` that is out of range.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Windows> => {
  const maxSeries = options.maxSeries ?? defaults.maxSeries
  if (!(Number.isInteger(maxSeries) && maxSeries >= 2)) {
    throw new RangeError(`Windows: maxSeries must be a whole number of at least 2, got ${maxSeries}`)
  }
  return Layer.unwrap(
    Effect.map(Clock.Clock, (clock) => {
      const { observer, service } = make(maxSeries, clock)
      return Layer.merge(Layer.succeed(Windows, service), CallObserver.layer(observer))
    })
  )
}

/**
 * Figures of every call and every upstream, in Effect's metric registry: from there any exporter takes them, `Prometheus` of this
 * package or Effect's OTLP exporter. HTTP metrics have the names, units, buckets and attributes of OpenTelemetry's conventions;
 * the toolkit's own begin with `holdfast.`. {@link catalogue} lists them all.
 *
 * **When to use**: in every program that somebody runs for others. Provide {@link layer} once: below the layers of upstreams, beside
 * them, or around the program. Below them is best, since figures of an upstream are then there before its first call.
 *
 * **What it is not**: an exporter. Without one the figures stay in the process, where `Metric.snapshot` shows them.
 *
 * **Gotchas**: the number of series is bounded. Anything beyond a bound is counted all the same, in series with the attribute
 * `otel.metric.overflow`: an operation too many loses its name, and nothing else. A gauge beyond the bound is not shown, since the
 * values of many make no value of one. A program whose series overflow should name its
 * operations by templates.
 *
 * The metrics of an upstream that has left are removed, once the exporters have had time to take the last of them; one that comes back
 * before goes on counting where it was. An upstream
 * is known to have left by the registry that this layer found: provide another `UpstreamRegistry` below this layer, not above, or what
 * stages remember of the upstreams in it is not shown.
 *
 * Of two of these layers that record into one metric registry, a call is recorded by the one that its upstream was built with, and the
 * series of the upstream are that one's; of two below the upstream, by the one below the other.
 *
 * @since 0.1.0
 */

import * as Deadline from "@holdfast/core/Deadline"
import * as PolicyRegistry from "@holdfast/core/PolicyRegistry"
import * as CallObserver from "@holdfast/http/CallObserver"
import * as UpstreamRegistry from "@holdfast/http/UpstreamRegistry"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Catalogue from "./internal/metrics/catalogue.ts"
import { makePolicyRecorder } from "./internal/metrics/policyRecorder.ts"
import { makeOverlooked } from "./internal/metrics/overlooked.ts"
import { makeRecorder } from "./internal/metrics/recorder.ts"
import { makeTable } from "./internal/metrics/series.ts"
import { makeUpstreamGauges, type UpstreamGauges } from "./internal/metrics/upstreamGauges.ts"
import * as Time from "@holdfast/core/Time"

/**
 * The bounds of the number of series.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Series of one metric at most, the one for the rest among them. A whole number of at least 2; default 2000, which is what
   * OpenTelemetry's SDK allows.
   */
  readonly maxSeries?: number | undefined
  /**
   * Operations of one upstream that have series of their own; later ones share one for each method. A whole number;
   * default 100. No more than `maxSeries` in any case.
   */
  readonly maxOperations?: number | undefined
  /**
   * Endpoints of one upstream that have series of their own at a time. When a further one comes, the one that was idle longest leaves
   * with its series, and begins anew should it come back. A whole number of at least 1; default 100. No more than `maxSeries` in any
   * case.
   */
  readonly maxEndpoints?: number | undefined
  /**
   * Whether the sizes of bodies are measured, which takes two histograms for each operation and status: more series than all others
   * together. Default `false`.
   */
  readonly bodySizes?: boolean | undefined
  /**
   * How long the metrics of an upstream that has left can still be read, so that the last export has them. Longer than exports
   * are apart. Default 1 minute.
   */
  readonly keepFor?: Time.Input | undefined
}

/**
 * The default of each option.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  maxSeries: 2000,
  maxOperations: 100,
  maxEndpoints: 100,
  bodySizes: false,
  keepFor: Duration.minutes(1)
} as const satisfies Options

/**
 * The definition of one metric.
 *
 * @category models
 * @since 0.1.0
 */
export interface Definition extends Catalogue.Definition {}

/**
 * Name of a metric.
 *
 * @category models
 * @since 0.1.0
 */
export type Name = Catalogue.MetricName

/**
 * Every metric of the toolkit, by name. Those with the source `pools` are there when `NodeTransport` is.
 *
 * ```ts
 * import { Metrics } from "holdfast/telemetry"
 *
 * const { boundaries, kind, unit } = Metrics.catalogue["http.client.request.duration"]
 * console.log(kind, unit, boundaries.length) // => histogram s 14
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const catalogue: typeof Catalogue.catalogue = Catalogue.catalogue

/**
 * The meaning of each attribute of the metrics, by name.
 *
 * @category getters
 * @since 0.1.0
 */
export const attributes: typeof Catalogue.attributes = Catalogue.attributes

const whole = (name: string, value: number, minimum: number): number => {
  if (!(Number.isInteger(value) && value >= minimum)) {
    throw new RangeError(`Metrics: ${name} must be a whole number of at least ${minimum}, got ${value}`)
  }
  return value
}

const millis = (name: string, given: Time.Input): number => {
  const value = Time.millis(`Metrics: ${name}`, given)
  if (!(value >= 0 && value < Infinity)) throw new RangeError(`Metrics: ${name} must be finite, got ${value}ms`)
  return value
}

/**
 * Upstreams come, by being made above this layer or by a call of theirs that is heard, and leave. Where another of these layers records
 * the calls of one, into the same place, its series are that layer's.
 */
const makeVisitors = (
  outer: UpstreamRegistry.UpstreamRegistry,
  records: (observers: ReadonlyArray<CallObserver.CallObserver>) => boolean,
  gauges: UpstreamGauges,
  seen: { readonly arrived: (upstream: string) => void; readonly left: (upstream: string) => void }
) => {
  const names = new Map<UpstreamRegistry.Registered, ReadonlyArray<string>>()
  const came = (upstream: UpstreamRegistry.Registered): void => {
    if (names.has(upstream) || !outer.has(upstream)) return
    const found = gauges.add(upstream)
    names.set(upstream, found)
    for (const name of found) seen.arrived(name)
  }
  const left = (upstream: UpstreamRegistry.Registered): void => {
    const found = names.get(upstream)
    if (found === undefined) return
    names.delete(upstream)
    gauges.remove(upstream)
    for (const name of found) seen.left(name)
  }
  const registry: UpstreamRegistry.UpstreamRegistry = {
    ...outer,
    register: (upstream) =>
      Effect.andThen(
        outer.register(upstream),
        Effect.map(CallObserver.all, (observers) => {
          if (records(observers)) came(upstream)
        })
      )
  }
  return { came, stop: outer.onLeft(left), registry }
}

/**
 * Records metrics of the upstreams that are made above it, and of all calls of fibers that have it, in the metric registry that is in
 * force where it is provided. Throws a `RangeError` when an option makes no sense.
 *
 * A layer that hears of no call says so in a warning: after a minute, or when it is released, if calls were made meanwhile that nobody
 * observes.
 *
 * ```ts
 * import { Effect, Layer, Metric } from "effect"
 * import { Upstream } from "holdfast"
 * import { Metrics } from "holdfast/telemetry"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}
 *
 * const program = Effect.gen(function*() {
 *   const figures = yield* Metric.snapshot
 *   console.log(figures.find(({ id }) => id === "holdfast.circuit.share")?.state)
 * })
 *
 * const transport = ScriptedTransport.layer({ "*": [ScriptedTransport.json({})] })
 * const stock = Stock.layer.pipe(Layer.provide([transport, Metrics.layer()]))
 * await Effect.runPromise(program.pipe(Effect.provide(stock))) // => { value: 1 }
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<never> => {
  const maxSeries = whole("maxSeries", options.maxSeries ?? defaults.maxSeries, 2)
  const maxOperations = whole("maxOperations", options.maxOperations ?? defaults.maxOperations, 0)
  const maxEndpoints = whole("maxEndpoints", options.maxEndpoints ?? defaults.maxEndpoints, 1)
  const keepMillis = millis("keepFor", options.keepFor ?? defaults.keepFor)
  return Layer.effectContext(
    Effect.gen(function* () {
      const context = yield* Effect.context<never>()
      const clock = yield* Clock.Clock
      const nowMillis = () => Deadline.nowMillisUnsafe(clock)
      const table = makeTable(context, maxSeries, () => gauges.look())
      const gauges = makeUpstreamGauges(context, { maxSeries, roomOf: table.room, keepMillis, nowMillis })
      const recorder = makeRecorder(table, {
        maxOperations: Math.min(maxOperations, maxSeries),
        maxEndpoints: Math.min(maxEndpoints, maxSeries),
        maxUpstreams: maxSeries,
        bodySizes: options.bodySizes ?? defaults.bodySizes,
        keepMillis,
        nowMillis,
        epochMillis: () => clock.currentTimeMillisUnsafe(),
        onMet: (upstream) => visitors.came(upstream)
      })
      const sink = yield* Metric.MetricRegistry
      const observer: CallObserver.CallObserver = { ...recorder.observer, sink }
      // of several with one sink the first is told of calls
      const records = (observers: ReadonlyArray<CallObserver.CallObserver>): boolean =>
        (observers.find((found) => found.sink === sink) ?? observer) === observer
      const visitors = makeVisitors(yield* UpstreamRegistry.Current, records, gauges, recorder)
      const policies = makePolicyRecorder(table, { keepMillis, nowMillis })
      const overlooked = makeOverlooked(recorder.hasHeard, nowMillis)
      yield* Effect.addFinalizer(() =>
        Effect.suspend(() => {
          visitors.stop()
          policies.close()
          gauges.close()
          table.close()
          return warned(overlooked.atEnd())
        })
      )
      yield* (yield* PolicyRegistry.Current).watch({
        arrived: (registered) => {
          gauges.addPolicies(registered)
          policies.arrived(registered)
        },
        left: (registered) => {
          gauges.removePolicies(registered)
          policies.left(registered)
        }
      })
      yield* CallObserver.onUnobserved((call) => {
        const warning = overlooked.passed(call)
        if (warning !== undefined) Effect.runForkWith(context)(warned(warning))
      })
      return (yield* CallObserver.context(observer)).pipe(Context.add(UpstreamRegistry.Current, visitors.registry))
    })
  )
}

const warned = (warning: string | undefined): Effect.Effect<void> =>
  warning === undefined ? Effect.void : Effect.logWarning(warning)

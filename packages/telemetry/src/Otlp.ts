/**
 * Exports spans, metrics and logs by OTLP over HTTP, to a collector or any other OTLP receiver, without ever making a call wait:
 * items that the receiver does not take are dropped, oldest first, and counted.
 *
 * **When to use**: in production, wherever nothing else exports already. {@link layerFetch} needs nothing else; {@link layer} sends
 * through the `HttpClient` of the program.
 *
 * **What it is not**: a store. Items that could not be sent within the bounds of memory and time are lost. It is no OpenTelemetry SDK
 * either: a program that has one gives it the spans with `@effect/opentelemetry` (see `docs/telemetry.md`).
 *
 * Effect's own tracer, logger and metric reader make the batches. The difference comes after them: a bounded queue for each
 * signal, one sender for each, and OTLP's own table of batches that may be sent again (429, 502, 503 and 504, no answer, and no
 * connection), with back-off, jitter and the receiver's `Retry-After`.
 *
 * **Gotchas**: a batch that was answered too late is sent again, so a receiver may see a span twice. Warnings about drops go to the
 * loggers that are below this layer, never to the receiver that they are about. A span that ends after the layer was closed is lost
 * and not counted. Metrics are cumulative: a lost export of them loses no count.
 *
 * @since 0.1.0
 */

import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as OtlpExporter from "effect/observability/OtlpExporter"
import * as OtlpLogger from "effect/observability/OtlpLogger"
import * as OtlpMetrics from "effect/observability/OtlpMetrics"
import { OtlpSerialization } from "effect/observability/OtlpSerialization"
import * as OtlpTracer from "effect/observability/OtlpTracer"
import type { DropReason } from "./internal/otlp/deliveryQueue.ts"
import { pendingItems } from "./internal/otlp/deliveryQueue.ts"
import type { Delivery, Settings } from "./internal/otlp/otlpDelivery.ts"
import { makeDeliveries } from "./internal/otlp/otlpDelivery.ts"
import * as OtlpData from "./internal/otlp/otlpData.ts"
import * as Json from "./internal/otlp/otlpJson.ts"
import * as Protobuf from "./internal/otlp/otlpProtobuf.ts"
import { resourceOf } from "./internal/otlp/otlpResource.ts"
import * as Time from "@holdfast/core/Time"

export type {
  /**
   * Why items never arrived.
   *
   * - `overflow`: the queue was full, and they were the oldest in it; or there was no room beside the batch that was being sent
   * - `oversized`: one alone was more than the queue holds
   * - `refused`: the receiver answered with a status that must not be tried again
   * - `exhausted`: they were tried for as long as `giveUpAfter`
   * - `partial`: the receiver took the others of their batch, and said that it did not take them
   * - `unencodable`: they could not be encoded
   * - `shutdown`: they were left when `shutdownTimeout` was over
   *
   * @category models
   * @since 0.1.0
   */
  DropReason
} from "./internal/otlp/deliveryQueue.ts"

/**
 * The signals, and how they are exported.
 *
 * @category models
 * @since 0.1.0
 */
export type Signal = "traces" | "metrics" | "logs"

/**
 * Where to, and how much of memory and time it may take.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The base url: `/v1/traces`, `/v1/metrics` and `/v1/logs` are below it. `http://localhost:4318` is a local collector. */
  readonly url: string
  /** Sent with every export. Give secrets as `Redacted`. Default: none. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
  /**
   * The origin of all signals. Attributes that are left out come from `OTEL_SERVICE_NAME`, `OTEL_SERVICE_VERSION` and
   * `OTEL_RESOURCE_ATTRIBUTES`; an unreadable one is passed over with one warning; a name that is nowhere is `unknown_service`.
   * `service.instance.id` is a random UUID, the same for as long as the process lives, where the attributes have none: without it a
   * store takes two replicas for one.
   */
  readonly resource?:
    | {
        readonly serviceName?: string | undefined
        readonly serviceVersion?: string | undefined
        readonly attributes?: Readonly<Record<string, unknown>> | undefined
      }
    | undefined
  /** How it is encoded. Default `protobuf`. */
  readonly protocol?: "protobuf" | "json" | undefined
  /** The signals; a receiver like Jaeger takes traces only. Default: all three. */
  readonly signals?: ReadonlyArray<Signal> | undefined
  /** Whether bodies of more than 1 KB are compressed, where the platform can. Default `none`. */
  readonly compression?: "gzip" | "none" | undefined
  /** How often the gathered items are handed over. Default: traces 5 s, metrics 10 s, logs 1 s. */
  readonly exportIntervals?: { readonly [S in Signal]?: Time.Input | undefined } | undefined
  /** Spans or log records that are handed over without waiting for the interval. At least 1; default 512. */
  readonly maxBatchItems?: number | undefined
  /** Encoded bytes of each signal that wait or are being sent. At least 1; default 4 MiB. */
  readonly maxQueueBytes?: number | undefined
  /** Batches of each signal that wait or are being sent. At least 1; default 256. */
  readonly maxQueueBatches?: number | undefined
  /** How long one attempt may take. Default 10 s. */
  readonly timeout?: Time.Input | undefined
  /** How long a batch is tried before it is dropped. Default 1 minute. */
  readonly giveUpAfter?: Time.Input | undefined
  /** How long a closing layer sends the rest; zero drops it. Default 3 s. */
  readonly shutdownTimeout?: Time.Input | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  protocol: "protobuf",
  signals: ["traces", "metrics", "logs"],
  compression: "none",
  exportIntervals: { traces: Duration.seconds(5), metrics: Duration.seconds(10), logs: Duration.seconds(1) },
  maxBatchItems: 512,
  maxQueueBytes: 4 * 2 ** 20,
  maxQueueBatches: 256,
  timeout: Duration.seconds(10),
  giveUpAfter: Duration.minutes(1),
  shutdownTimeout: Duration.seconds(3)
} as const satisfies Omit<Options, "url">

/**
 * The counts of one signal: `offered` is `arrived`, all of `dropped`, and `pending`.
 *
 * @category models
 * @since 0.1.0
 */
export interface SignalStats {
  /** Spans, metric points or log records that were handed over. Items that wait for their export interval are not yet. */
  readonly offered: number
  /** Of those, the items that the receiver has taken. */
  readonly arrived: number
  readonly dropped: { readonly [R in DropReason]: number }
  /** Of those, the items that wait or are being sent. */
  readonly pending: number
  readonly pendingBatches: number
  readonly pendingBytes: number
  /** Requests that were sent, the repeated ones included. */
  readonly requests: number
  /** Why the last request that failed did. */
  readonly lastFailure: string | undefined
}

/**
 * The counts, by signal. A signal that is not exported has zeros.
 *
 * @category models
 * @since 0.1.0
 */
export type Stats = { readonly [S in Signal]: SignalStats }

/**
 * The exporter of a program.
 *
 * @category services
 * @since 0.1.0
 */
export class Exporter extends Context.Service<
  Exporter,
  {
    /** The counts so far. Reading it changes nothing. */
    readonly stats: Effect.Effect<Stats>
    /**
     * Hands over the items that wait for their interval, ends a back-off that the receiver did not ask for, and succeeds
     * when all of them have arrived or were dropped. It has no bound of its own but `giveUpAfter`: put
     * `Effect.timeoutOption` around it.
     */
    readonly flush: Effect.Effect<void>
  }
>()("@holdfast/telemetry/Otlp/Exporter") {}

/**
 * The counts so far.
 *
 * @category accessors
 * @since 0.1.0
 */
export const stats: Effect.Effect<Stats, never, Exporter> = Effect.flatMap(Exporter, (exporter) => exporter.stats)

/**
 * Sends the present items, and waits until they have arrived or were dropped. Closing the layer does the same, for
 * `shutdownTimeout` at most.
 *
 * @category accessors
 * @since 0.1.0
 */
export const flush: Effect.Effect<void, never, Exporter> = Effect.flatMap(Exporter, (exporter) => exporter.flush)

const whole = (name: string, value: number): number => {
  if (!(Number.isInteger(value) && value >= 1)) {
    throw new RangeError(`Otlp: ${name} must be a whole number of at least 1, got ${value}`)
  }
  return value
}

const millis = (name: string, given: Time.Input, isZeroFine = false): number => {
  const value = Time.millis(`Otlp: ${name}`, given)
  if (!(value > 0 || (isZeroFine && value === 0))) {
    throw new RangeError(`Otlp: ${name} must ${isZeroFine ? "not be negative" : "be longer than zero"}, got ${value}ms`)
  }
  return value
}

/** Longest wait of a platform timer; a longer one would fire at once. */
const longestTimer = 2 ** 31 - 1

const urlOf = (base: string, signal: Signal): URL => {
  const url = URL.canParse(base) ? new URL(base) : undefined
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new RangeError(`Otlp: url must be an http or https url, got ${url === undefined ? "none" : url.protocol}`)
  }
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/v1/${signal}`
  return url
}

const signalsOf = (given: ReadonlyArray<Signal>): ReadonlyArray<Signal> => {
  const unknown = given.find((signal) => !defaults.signals.includes(signal))
  if (unknown !== undefined) {
    throw new RangeError(`Otlp: signals must be of ${defaults.signals.join(", ")}, got ${String(unknown)}`)
  }
  return [...new Set(given)]
}

interface Checked {
  readonly deliveries: ReadonlyArray<Settings>
  readonly maxBatchItems: number
  readonly shutdownMillis: number
  readonly intervals: { readonly [S in Signal]: number }
}

/** The options with their defaults filled in, checked. */
const check = (options: Options): Checked => {
  const headers = Object.fromEntries(
    Object.entries(options.headers ?? {}).map(([name, value]) => [
      name.toLowerCase(),
      Redacted.isRedacted(value) ? Redacted.value(value) : value
    ])
  )
  const interval = (signal: Signal): number =>
    millis(`exportIntervals.${signal}`, options.exportIntervals?.[signal] ?? defaults.exportIntervals[signal])
  const shared = {
    headers,
    gzip: (options.compression ?? defaults.compression) === "gzip",
    timeoutMillis: Math.min(longestTimer, millis("timeout", options.timeout ?? defaults.timeout)),
    giveUpMillis: millis("giveUpAfter", options.giveUpAfter ?? defaults.giveUpAfter),
    maxBytes: whole("maxQueueBytes", options.maxQueueBytes ?? defaults.maxQueueBytes),
    maxBatches: whole("maxQueueBatches", options.maxQueueBatches ?? defaults.maxQueueBatches)
  }
  return {
    deliveries: signalsOf(options.signals ?? defaults.signals).map((signal) => ({
      ...shared,
      signal,
      url: urlOf(options.url, signal)
    })),
    maxBatchItems: whole("maxBatchItems", options.maxBatchItems ?? defaults.maxBatchItems),
    shutdownMillis: Math.min(
      longestTimer,
      millis("shutdownTimeout", options.shutdownTimeout ?? defaults.shutdownTimeout, true)
    ),
    intervals: { traces: interval("traces"), metrics: interval("metrics"), logs: interval("logs") }
  }
}

/**
 * Effect's exporters read the environment themselves, and fail where they cannot: here it has been read, and is empty for them.
 */
const withoutEnvironment = Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({}))

/** Encodes for a delivery, which then knows of how many items a body is made. */
const serializationFor = (delivery: Delivery, protocol: "protobuf" | "json"): OtlpSerialization["Service"] => {
  const contentType = protocol === "json" ? "application/json" : "application/x-protobuf"
  const { encodeLogs, encodeMetrics, encodeTraces } = protocol === "json" ? Json : Protobuf
  const metricsOf = OtlpData.metricsData()
  const { countPoints, countRecords, countSpans, fineMetrics, fineRecords, fineSpans } = OtlpData
  const traces = { contentType, count: countSpans, encode: encodeTraces, fine: fineSpans }
  const metrics = { contentType, count: countPoints, encode: encodeMetrics, fine: fineMetrics }
  const logs = { contentType, count: countRecords, encode: encodeLogs, fine: fineRecords }
  return {
    traces: (data) => delivery.encode(OtlpData.tracesOf(data), traces),
    metrics: (data) => delivery.encode(metricsOf(data), metrics),
    logs: (data) => delivery.encode(OtlpData.logsOf(data), logs)
  }
}

const nothing: SignalStats = {
  offered: 0,
  arrived: 0,
  dropped: { overflow: 0, oversized: 0, refused: 0, exhausted: 0, partial: 0, unencodable: 0, shutdown: 0 },
  pending: 0,
  pendingBatches: 0,
  pendingBytes: 0,
  requests: 0,
  lastFailure: undefined
}

const statsOf = (deliveries: ReadonlyArray<Delivery>, signal: Signal): SignalStats => {
  const delivery = deliveries.find(({ settings }) => settings.signal === signal)
  if (delivery === undefined) return nothing
  const { lastFailure, queue, requests } = delivery
  return {
    offered: queue.offered,
    arrived: queue.arrived,
    dropped: { ...queue.dropped },
    pending: pendingItems(queue),
    pendingBatches: queue.waiting.length + (queue.sending === undefined ? 0 : 1),
    pendingBytes: queue.bytes,
    requests,
    lastFailure
  }
}

const build = (
  options: Options,
  checked: Checked
): Effect.Effect<Context.Context<Exporter>, never, HttpClient.HttpClient | OtlpExporter.Flusher | Scope.Scope> =>
  Effect.gen(function* () {
    // before Effect's exporters, so that it is closed after they have handed over the rest
    const deliveries = yield* makeDeliveries(checked.deliveries, checked.shutdownMillis)
    const resource = yield* resourceOf(options.resource)
    const flusher = yield* OtlpExporter.Flusher
    let context: Context.Context<Exporter> = Context.make(Exporter, {
      stats: Effect.sync(() => ({
        traces: statsOf(deliveries, "traces"),
        metrics: statsOf(deliveries, "metrics"),
        logs: statsOf(deliveries, "logs")
      })),
      flush: Effect.andThen(
        flusher.flush,
        Effect.forEach(deliveries, ({ settled }) => settled, { concurrency: "unbounded", discard: true })
      )
    })
    for (const delivery of deliveries) {
      const { signal, url } = delivery.settings
      const common = {
        url: url.href,
        resource,
        exportInterval: Duration.millis(checked.intervals[signal]),
        maxBatchSize: checked.maxBatchItems,
        // each hands over without waiting for anybody; the deliveries have their own bound
        shutdownTimeout: Duration.seconds(1)
      }
      const forDelivery = <A, R>(effect: Effect.Effect<A, never, R>) =>
        effect.pipe(
          Effect.provideService(HttpClient.HttpClient, delivery.client),
          Effect.provideService(OtlpSerialization, serializationFor(delivery, options.protocol ?? defaults.protocol)),
          withoutEnvironment
        )
      switch (signal) {
        case "traces":
          context = Context.add(context, Tracer.Tracer, yield* forDelivery(OtlpTracer.make(common)))
          break
        case "metrics":
          yield* forDelivery(OtlpMetrics.make(common))
          break
        case "logs": {
          const logger = yield* forDelivery(OtlpLogger.make(common))
          const loggers = yield* Logger.CurrentLoggers
          context = Context.add(context, Logger.CurrentLoggers, new Set([...loggers, logger]))
          break
        }
      }
    }
    return context
  })

/**
 * Exports through the `HttpClient` of the program. Its own requests make no spans and carry no trace context. The loggers that
 * there are go on. Throws a `RangeError` that names the option which is out of range.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Exporter, never, HttpClient.HttpClient> => {
  const checked = check(options)
  return Layer.effectContext(build(options, checked)).pipe(
    // fresh, so that a flush here is not a flush of other exporters
    Layer.provide(Layer.fresh(OtlpExporter.layerFlusher))
  )
}

/**
 * Exports with `fetch`, which Node, Bun, Deno and browsers have.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Otlp } from "holdfast/telemetry"
 * import { OtlpReceiver } from "holdfast/testing"
 *
 * const program = Effect.gen(function* () {
 *   const receiver = yield* OtlpReceiver.start
 *   const exporter = Otlp.layerFetch({ url: receiver.url, resource: { serviceName: "shop" } })
 *   yield* Effect.gen(function* () {
 *     yield* Effect.withSpan(Effect.void, "checkout")
 *     yield* Otlp.flush
 *     const { traces } = yield* Otlp.stats
 *     console.log(traces.arrived, "arrived,", traces.pending, "pending")
 *   }).pipe(Effect.provide(exporter))
 *   console.log((yield* receiver.spans).map(({ name, resource }) => `${name} of ${resource["service.name"]}`))
 * })
 *
 * await Effect.runPromise(Effect.scoped(program))
 * // => 1 arrived, 0 pending
 * // => [ 'checkout of shop' ]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFetch = (options: Options): Layer.Layer<Exporter> =>
  Layer.provide(layer(options), FetchHttpClient.layer)

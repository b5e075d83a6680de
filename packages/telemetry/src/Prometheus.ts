/**
 * The page that Prometheus scrapes: everything in Effect's metric registry as text, the metrics of this toolkit among it.
 *
 * **When to use**: where something comes to fetch metrics: Prometheus, its agent, a collector's Prometheus receiver. Mount
 * {@link layer} on the router that the program has, or on one of its own at another port.
 *
 * **What it is not**: a push exporter, and no server. Access to the page shows the names of upstreams and operations.
 *
 * Names follow OpenTelemetry's specification for Prometheus, so that queries do not care which way the metrics came:
 * `http.client.request.duration` in `s` is `http_client_request_duration_seconds`, a counter ends in `_total`, a gauge of unit `1`
 * in `_ratio`, dots in names of attributes become `_`. An attribute without a name is left out, and so is a metric whose name has
 * neither a letter nor a digit.
 *
 * The page is made and sent in pieces, so that a large one does not hold up the calls of the process. A scraper that asks for OpenMetrics
 * 1.0 gets it, with units, and with the trace of the last call in each bucket of a duration where that is kept; creation times are not on
 * it, because a Prometheus that does not know them stores each as one more series.
 *
 * **Gotchas**: Effect's own `PrometheusMetrics` does not do that: it leaves names as they are, without unit and `_total`, and calls
 * a value that goes up and down a counter. Mount one of the two.
 *
 * ```ts
 * import { Effect, Metric } from "effect"
 * import { Prometheus } from "holdfast/telemetry"
 *
 * const program = Effect.gen(function*() {
 *   yield* Metric.update(Metric.counter("cups", { description: "Cups of tea", incremental: true }), 2)
 *   console.log((yield* Prometheus.page).trimEnd())
 * })
 *
 * await Effect.runPromise(Effect.provideService(program, Metric.MetricRegistry, new Map()))
 * // => # HELP cups_total Cups of tea
 * // => # TYPE cups_total counter
 * // => cups_total 2
 * ```
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Metrics from "./Metrics.ts"
import { catalogue } from "./internal/metrics/catalogue.ts"
import { contentTypes, formatFor, takesGzip } from "./internal/prometheus/prometheusAccept.ts"
import { prometheusName } from "./internal/prometheus/prometheusNames.ts"
import { pagePieces, wholePage } from "./internal/prometheus/prometheusPage.ts"

/**
 * Where the page is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Default `/metrics`. */
  readonly path?: HttpRouter.PathInput | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = { path: "/metrics" } as const satisfies Options

/**
 * The name of a metric of the toolkit on the page. A histogram's series end in `_bucket`, `_sum` and `_count`.
 *
 * ```ts
 * import { Prometheus } from "holdfast/telemetry"
 *
 * console.log(Prometheus.nameOf("holdfast.calls")) // => holdfast_calls_total
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const nameOf = (name: Metrics.Name): string => {
  const { kind, unit } = catalogue[name]
  return prometheusName(name, kind, unit)
}

/**
 * The metrics of the registry in force, in Prometheus' text format, as one text.
 *
 * @category getters
 * @since 0.1.0
 */
export const page: Effect.Effect<string> = wholePage("text")

/**
 * The page as an answer, for a route of one's own. It is sent while it is made. Where there is a request, it is in the format that the
 * request asks for, OpenMetrics 1.0 or Prometheus' own, and compressed with gzip if that is accepted.
 *
 * @category getters
 * @since 0.1.0
 */
export const response: Effect.Effect<HttpServerResponse.HttpServerResponse> = Effect.gen(function* () {
  const request = Option.getOrUndefined(yield* Effect.serviceOption(HttpServerRequest.HttpServerRequest))
  const format = formatFor(request?.headers["accept"])
  const isGzip = typeof CompressionStream !== "undefined" && takesGzip(request?.headers["accept-encoding"])
  const context = yield* Effect.context<never>()
  // the registry that is in force here, even if another is where the stream is read
  const page = Stream.encodeText(Stream.provideContext(pagePieces(format), context))
  return HttpServerResponse.stream(isGzip ? gzipped(page) : page, {
    contentType: contentTypes[format],
    headers: { vary: "Accept, Accept-Encoding", ...(isGzip ? { "content-encoding": "gzip" } : undefined) }
  })
})

const gzipped = (plain: Stream.Stream<Uint8Array>): Stream.Stream<Uint8Array> =>
  Stream.fromReadableStream({
    // the types of the two streams differ in the buffer of their bytes
    evaluate: () => Stream.toReadableStream(plain).pipeThrough(new CompressionStream("gzip") as unknown as GzipStream),
    onError: (cause) => cause
  }).pipe(Stream.orDie)

type GzipStream = ReadableWritablePair<Uint8Array, Uint8Array>

/**
 * Puts the page on a router. It shows the registry that is in force where this layer is provided, not that of the request.
 *
 * ```ts
 * import { Effect, Layer, Metric } from "effect"
 * import { HttpRouter } from "effect/http"
 * import { Prometheus } from "holdfast/telemetry"
 *
 * // a server of the platform, such as NodeHttpServer.layer, takes the place of toWebHandler
 * const { handler, dispose } = HttpRouter.toWebHandler(Prometheus.layer(), { disableLogger: true })
 * const response = await handler(new Request("http://127.0.0.1/metrics"))
 * console.log(response.status, response.headers.get("content-type"))
 * // => 200 text/plain; version=0.0.4; charset=utf-8
 * await dispose()
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<never, never, HttpRouter.HttpRouter> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const router = yield* HttpRouter.HttpRouter
      const registry = yield* Metric.MetricRegistry
      yield* router.add(
        "GET",
        options.path ?? defaults.path,
        Effect.provideService(response, Metric.MetricRegistry, registry)
      )
    })
  )

/**
 * A collector for tests: receives OTLP over HTTP on 127.0.0.1 and keeps the spans as plain records, from any exporter, as
 * JSON or protobuf. Metrics and logs are accepted and counted.
 *
 * **When to use**: to test a program's traces by the spans that its exporter really sent.
 *
 * **What it is not**: a collector for production. It keeps everything that it gets.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { Otlp } from "effect/observability"
 * import { OtlpReceiver } from "holdfast/testing"
 *
 * const program = Effect.gen(function*() {
 *   const receiver = yield* OtlpReceiver.start
 *   const tracing = Otlp.layerJson({ baseUrl: receiver.url, resource: { serviceName: "shop" } })
 *   yield* Effect.void.pipe(
 *     Effect.withSpan("checkout"),
 *     Effect.provide(tracing.pipe(Layer.provide(FetchHttpClient.layer)))
 *   )
 *   console.log((yield* receiver.spans).map((span) => span.name))
 * })
 *
 * await Effect.runPromise(Effect.scoped(program)) // => [ 'checkout' ]
 * ```
 *
 * @since 0.1.0
 */

import * as http from "node:http"
import { gunzipSync } from "node:zlib"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { SpanRecord } from "./internal/otlpDecode.ts"
import { decodeJson, decodeProtobuf } from "./internal/otlpDecode.ts"

export type { Attributes, AttributeValue, SpanEvent, SpanKind, SpanLink, SpanRecord } from "./internal/otlpDecode.ts"

/**
 * One request of an exporter.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReceivedExport {
  /** `/v1/traces`, `/v1/metrics` or `/v1/logs`, as it was asked for. */
  readonly path: string
  readonly contentType: string
  readonly bytes: number
  /** Why it was answered with 400. */
  readonly rejected: string | undefined
}

/**
 * A number of spans, or a predicate that must hold of them.
 *
 * @category models
 * @since 0.1.0
 */
export type Until = number | ((spans: ReadonlyArray<SpanRecord>) => boolean)

/**
 * A running receiver.
 *
 * @category models
 * @since 0.1.0
 */
export interface OtlpReceiver {
  /** The base url of exporters: without `/v1/traces`. */
  readonly url: string
  readonly tracesUrl: string
  /** All spans so far, in the order of arrival. */
  readonly spans: Effect.Effect<ReadonlyArray<SpanRecord>>
  readonly exports: Effect.Effect<ReadonlyArray<ReceivedExport>>
  /**
   * All spans, as soon as there are so many or the predicate holds; dies, after 5 seconds unless told otherwise, with the
   * names of the spans that came.
   */
  readonly awaitSpans: (
    until: Until,
    options?: { readonly withinMillis?: number }
  ) => Effect.Effect<ReadonlyArray<SpanRecord>>
  /** Forgets the received spans. */
  readonly clear: Effect.Effect<void>
}

const host = "127.0.0.1"
const awaitMillis = 5_000
const largestBody = 67_108_864

interface State {
  spans: Array<SpanRecord>
  exports: Array<ReceivedExport>
  readonly arrived: Set<() => void>
}

const decode = (contentType: string, body: Buffer): ReadonlyArray<SpanRecord> => {
  if (contentType.startsWith("application/x-protobuf")) return decodeProtobuf(body)
  if (contentType.startsWith("application/json")) return decodeJson(body)
  throw new Error(`content-type ${contentType} is no OTLP`)
}

const receive = (state: State, path: string, headers: http.IncomingHttpHeaders, body: Buffer): number => {
  if (path !== "/v1/traces" && path !== "/v1/metrics" && path !== "/v1/logs") return 404
  const contentType = headers["content-type"] ?? ""
  let rejected: string | undefined
  try {
    const plain = headers["content-encoding"] === "gzip" ? gunzipSync(body, { maxOutputLength: largestBody }) : body
    if (path === "/v1/traces") state.spans.push(...decode(contentType, plain))
  } catch (error) {
    rejected = error instanceof Error ? error.message : String(error)
  }
  state.exports.push({ path, contentType, bytes: body.length, rejected })
  for (const notify of [...state.arrived]) notify()
  return rejected === undefined ? 200 : 400
}

const makeServer = (state: State): http.Server =>
  http.createServer((request, response) => {
    const chunks: Array<Buffer> = []
    let size = 0
    request.on("data", (chunk: Buffer) => {
      size += chunk.length
      if (size > largestBody) request.destroy()
      chunks.push(chunk)
    })
    request.on("error", () => {})
    request.on("end", () => {
      response.statusCode = receive(state, request.url ?? "", request.headers, Buffer.concat(chunks))
      // An empty message is a full success, in protobuf and in JSON; in JSON it is written `{}`.
      const isJson = (request.headers["content-type"] ?? "").startsWith("application/json")
      response.setHeader("content-type", isJson ? "application/json" : "application/x-protobuf")
      response.end(isJson ? "{}" : "")
    })
  })

const listen = (server: http.Server): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen({ host, port: 0 }, () => {
      const address = server.address()
      if (address === null || typeof address === "string") return reject(new Error("no TCP address"))
      resolve(address.port)
    })
  })

const close = (server: http.Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })

/** Bounded by real time, on purpose: exporters may run on real timers while a test holds its own clock. */
const awaitSpans = (state: State, until: Until, withinMillis: number): Effect.Effect<ReadonlyArray<SpanRecord>> =>
  Effect.callback<ReadonlyArray<SpanRecord>>((resume) => {
    const isMet = typeof until === "number" ? () => state.spans.length >= until : () => until([...state.spans])
    const stop = (): void => {
      clearTimeout(timer)
      state.arrived.delete(check)
    }
    const check = (): void => {
      if (!isMet()) return
      stop()
      resume(Effect.succeed([...state.spans]))
    }
    const timer = setTimeout(() => {
      stop()
      const wanted = typeof until === "number" ? `${until} spans` : "spans that satisfy the predicate"
      const names = state.spans.map((span) => span.name).join(", ")
      const rejected = state.exports.flatMap((received) => received.rejected ?? [])
      resume(
        Effect.die(
          new Error(
            `OtlpReceiver: waited ${withinMillis} ms for ${wanted}, got ${state.spans.length} (${names}) ` +
              `in ${state.exports.length} exports` +
              (rejected.length === 0 ? "" : `, rejected: ${rejected.join("; ")}`)
          )
        )
      )
    }, withinMillis)
    state.arrived.add(check)
    check()
    return Effect.sync(stop)
  })

/**
 * Starts a receiver on an ephemeral port; it is closed, and its connections with it, when the scope is.
 *
 * @category constructors
 * @since 0.1.0
 */
export const start: Effect.Effect<OtlpReceiver, never, Scope.Scope> = Effect.gen(function* () {
  const state: State = { spans: [], exports: [], arrived: new Set() }
  const { port } = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const server = makeServer(state)
      return { server, port: await listen(server) }
    }),
    ({ server }) => Effect.promise(() => close(server))
  )
  const url = `http://${host}:${port}`
  return {
    url,
    tracesUrl: `${url}/v1/traces`,
    spans: Effect.sync(() => [...state.spans]),
    exports: Effect.sync(() => [...state.exports]),
    awaitSpans: (until, options) => awaitSpans(state, until, options?.withinMillis ?? awaitMillis),
    clear: Effect.sync(() => {
      state.spans = []
      state.exports = []
    })
  }
})

/**
 * An upstream as an Effect `HttpClient`, so that code for Effect's client runs through the upstream's whole policy, on its transport:
 * generated clients, other people's code.
 *
 * **When to use**: {@link make} where a client is asked for; {@link layer} under a program that takes the `HttpClient` from its context.
 * For an `HttpApi` there is `UpstreamApi`, which decodes within the attempt.
 *
 * **What it is not**: the shortest way to call an upstream, which is its own `get` and `post`. A client ends with a response, so the
 * steps after it, decoding above all, are outside of the policy. `ResilientClient` is the other way round: a policy over the
 * transport of a client that is there already.
 *
 * **Gotchas**
 *
 * - A URL is a path below the upstream's base URL, or an absolute one of its origin. Another origin is refused, and so are credentials and
 *   the segments `.` and `..`, with which a path would leave its place.
 * - A body of an announced length up to `bufferBytes` is read within the attempt, and one that is cut off is retried; any other is bounded
 *   by `limits.responseBytes` and by the deadline. A body that is left unread holds its connection until then, or until the response is
 *   forgotten: `HttpClient.withScope` above the client does not end it.
 * - A request's body is sent again as long as it can be: text, bytes, URL parameters and `FormData` always; a `Stream`, or a `ReadableStream` as a
 *   raw body, only while nobody has begun to read it, even where running it again would give the same. Read one that is short into bytes
 *   first. Any other raw body is refused.
 * - When retries end on an error status, the last response is given as it is; `failOnStatus` changes that.
 * - The policy's `singleFlight` does not apply: a response can be read once.
 * - `UpstreamVersions` has no client: the result of `current` is no upstream of its own.
 *
 * @since 0.1.0
 */

import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { CallError } from "@holdfast/core/CallError"
import { wireBody } from "./internal/client/clientBody.ts"
import { execute } from "./internal/client/clientExchange.ts"
import { clientError } from "./internal/client/clientResponse.ts"
import { propagating } from "./internal/client/clientTracing.ts"
import { absolute, pathOf } from "./internal/client/clientUrl.ts"
import { encodeMade } from "./internal/request/encodeRequest.ts"
import type { Runtime } from "./internal/call/runtime.ts"
import { runtimes } from "./internal/call/runtimes.ts"
import * as HttpPolicy from "./HttpPolicy.ts"
import type { Upstream } from "./Upstream.ts"

/**
 * How a client calls its upstream.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Names the operation of a request, of low cardinality. Default: its method. A policy's overrides for an operation are found by it, if
   * it is a method and a path: `GET /items/{id}`.
   */
  readonly operation?: ((request: HttpClientRequest.HttpClientRequest) => string) | undefined
  /** Longest body that is read within the attempt, in bytes, when its length is announced. Default 1 MiB; 0 for none. */
  readonly bufferBytes?: number | undefined
  /** Whether an error status that retries did not mend fails with a `CallError`. Default `false`: it is given as the response it is. */
  readonly failOnStatus?: boolean | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = { bufferBytes: 1024 * 1024, failOnStatus: false } as const satisfies Options

/**
 * A client of an upstream. Throws a `RangeError` for an upstream that `Upstream.make` did not make.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Upstream } from "holdfast"
 * import { UpstreamClient } from "holdfast/client"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal/v1" }) {}
 *
 * const program = Effect.gen(function*() {
 *   const client = UpstreamClient.make(yield* Stock)
 *   const response = yield* client.get("/items/A-7")
 *   console.log(response.status, yield* response.json)
 * })
 *
 * const transport = ScriptedTransport.layer({
 *   "*": [ScriptedTransport.status(503), ScriptedTransport.json({ sku: "A-7", left: 3 })]
 * })
 * await Effect.runPromise(program.pipe(Effect.provide(Stock.layer.pipe(Layer.provide(transport)))))
 * // => 200 { sku: 'A-7', left: 3 }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (upstream: Upstream, options: Options = {}): HttpClient.HttpClient.With<CallError> => {
  const runtime = runtimes.get(upstream)
  if (runtime === undefined) {
    throw new RangeError(`UpstreamClient: ${upstream.name} was not made by Upstream.make or Upstream.Service`)
  }
  return HttpClient.makeWith(
    (request: Effect.Effect<HttpClientRequest.HttpClientRequest, CallError>) =>
      Effect.flatMap(request, (request) => run(runtime, request, options)),
    Effect.succeed
  )
}

const run = (runtime: Runtime, asked: HttpClientRequest.HttpClientRequest, options: Options) =>
  Effect.withFiber((fiber) => {
    const operation = options.operation?.(asked) ?? asked.method
    const request = absolute(runtime, asked)
    const policy = HttpPolicy.callPolicy(runtime.live.policy, operation, fiber.getRef(HttpPolicy.CurrentOverrides))
    return execute<never, never>({
      runtime: propagating(runtime, fiber),
      request,
      operation,
      encode: (call) => {
        const path = pathOf(runtime, request)
        return typeof path === "string" ? encodeMade(call, path, wireBody(request.body), call.given) : path
      },
      open: runtime.transport.open,
      below: () => undefined,
      bufferBytes: options.bufferBytes ?? defaults.bufferBytes,
      failOnStatus: options.failOnStatus ?? defaults.failOnStatus,
      isFollowed: policy.redirects !== undefined
    })
  })

/**
 * The same with the error type of every client: a call error is carried as the cause of a `TransportError`, and
 * `ResilientClient.callError` gets it back. For `HttpApiClient.make` and other code that takes a plain client.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makePlain = (upstream: Upstream, options: Options = {}): HttpClient.HttpClient => {
  const client = make(upstream, options)
  return HttpClient.makeWith<HttpClientError, never, HttpClientError, never>(
    (request) =>
      Effect.flatMap(request, (request) =>
        Effect.mapError(client.execute(request), (error) => clientError(request, error))
      ),
    Effect.succeed
  )
}

/**
 * The `HttpClient` of a program, by way of an upstream.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { HttpClient } from "effect/http"
 * import { Upstream } from "holdfast"
 * import { UpstreamClient } from "holdfast/client"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * // a program that knows nothing of Holdfast
 * const program = Effect.gen(function*() {
 *   const response = yield* HttpClient.get("/items")
 *   console.log(response.status)
 * })
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}
 *
 * const client = UpstreamClient.layer(Stock).pipe(
 *   Layer.provide(Stock.layer),
 *   Layer.provide(ScriptedTransport.layer({ "*": [ScriptedTransport.json([])] }))
 * )
 * await Effect.runPromise(program.pipe(Effect.provide(client)))
 * // => 200
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <Self>(
  upstream: Context.Key<Self, Upstream>,
  options: Options = {}
): Layer.Layer<HttpClient.HttpClient, never, Self> =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(upstream, (upstream) => makePlain(upstream, options))
  )

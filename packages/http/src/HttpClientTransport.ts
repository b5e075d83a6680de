/**
 * Any Effect `HttpClient` as a transport: fetch in a browser or on Bun, Node's own `http`, a client that a team has already.
 *
 * **When to use**: where undici is not at hand, or when a program's own `HttpClient` must carry everything.
 *
 * **What it is not**: the fast way on Node, which is `NodeTransport`.
 *
 * **Gotchas**: an `HttpClient` does not tell connecting from sending, so a failure before the response is reported in phase
 * `wait` unless its code says otherwise. The client's own spans and trace headers are switched off: the pipeline makes them. Cookies
 * are those that the client could read, written anew, and trailers are not told. `fetch` sends no `host` header, and no body with a
 * `GET`.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Cookies from "effect/http/Cookies"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import type { HttpMethod } from "effect/http/HttpMethod"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as FailureClassifier from "./FailureClassifier.ts"
import { hasNoBody, readBounded, readErrorBody } from "./internal/boundedBody.ts"
import * as Transport from "./Transport.ts"

const toRequest = (request: Transport.Request): HttpClientRequest.HttpClientRequest => {
  // the pipeline sends the methods of `Upstream` only, which are all among Effect's
  const made = HttpClientRequest.make(request.method as HttpMethod)(`${request.origin}${request.path}`)
  const body = request.body
  const contentType = request.headers["content-type"]
  const withBody =
    body === undefined
      ? made
      : typeof body === "string"
        ? HttpClientRequest.bodyText(made, body, contentType)
        : body instanceof Uint8Array
          ? HttpClientRequest.bodyUint8Array(made, body, contentType)
          : HttpClientRequest.bodyStream(made, body, contentType === undefined ? {} : { contentType })
  return HttpClientRequest.setHeaders(withBody, request.headers)
}

/** A client gives the headers of a response without repeated ones, and its cookies taken apart. */
const headersOf = (response: HttpClientResponse): Pick<Transport.Response, "headers" | "setCookies"> => {
  if (response.headers["set-cookie"] === undefined) return { headers: response.headers }
  const { "set-cookie": _, ...headers } = response.headers
  return { headers, setCookies: Cookies.toSetCookieHeaders(response.cookies) }
}

const readBody = (
  request: Transport.Request,
  endpoint: string,
  response: HttpClientResponse
): Effect.Effect<Transport.Response, Reason.TransportReason> => {
  const answered = (bytes: Uint8Array, complete: boolean): Transport.Response => ({
    status: response.status,
    ...headersOf(response),
    body: bytes,
    bodyComplete: complete
  })
  if (request.method === "HEAD") return Effect.succeed(answered(new Uint8Array(0), true))
  if (!Transport.isExpected(request, response.status)) {
    return Effect.map(readErrorBody(response, request.limits), (read) => answered(read.bytes, read.complete))
  }
  const limit = request.limits.responseBytes
  return Effect.matchEffect(readBounded(response, limit, limit), {
    onFailure: (error: HttpClientError) =>
      Effect.fail(stackless(() => FailureClassifier.classify(error, { endpoint, phase: "receive" }))),
    onSuccess: (read) =>
      read.size > limit
        ? Effect.fail(stackless(() => new Reason.ResponseTooLarge({ endpoint, limit, size: read.size })))
        : Effect.succeed(answered(read.bytes, true))
  })
}

/** Sends, and gives the response with its headers. */
const execute = <E extends HttpClientError, R>(
  client: HttpClient.HttpClient.With<E, R>,
  request: Transport.Request,
  endpoint: string
): Effect.Effect<HttpClientResponse, Reason.TransportReason, R> =>
  client.execute(toRequest(request)).pipe(
    Effect.mapError((error) => stackless(() => FailureClassifier.classify(error, { endpoint, phase: "wait" }))),
    Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
    // fetch would follow redirects by itself, and take the request's secrets along; other clients do not read this
    Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" })
  )

/** The body as it comes. Whatever way its scope is closed, a body that was not read is aborted. */
const openBody = (
  request: Transport.Request,
  endpoint: string,
  response: HttpClientResponse
): Effect.Effect<Transport.OpenResponse, Reason.TransportReason, Scope.Scope> => {
  const limit = request.limits.responseBytes
  const announced = request.method === "HEAD" ? 0 : Number(response.headers["content-length"] ?? 0)
  if (announced > limit) {
    return Effect.fail(stackless(() => new Reason.ResponseTooLarge({ endpoint, limit, size: announced })))
  }
  let isBegun = false
  const bytes = Stream.suspend(() => {
    isBegun = true
    return response.stream.pipe(
      Stream.catchIf(hasNoBody, () => Stream.empty),
      Stream.mapError((error) => stackless(() => FailureClassifier.classify(error, { endpoint, phase: "receive" })))
    )
  })
  // to begin a stream and leave it is how a body is given up that nobody has read
  const givenUp = Effect.suspend(() => (isBegun ? Effect.void : Effect.scoped(Stream.toPull(bytes))))
  return Effect.as(
    Effect.addFinalizer(() => givenUp),
    {
      status: response.status,
      ...headersOf(response),
      stream: request.method === "HEAD" ? Stream.empty : bytes
    }
  )
}

/**
 * Makes a transport of a client.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (client: HttpClient.HttpClient): Transport.Transport["Service"] => ({
  send: (request) => {
    const endpoint = Transport.endpointOf(request.origin)
    return Effect.flatMap(execute(client, request, endpoint), (response) => readBody(request, endpoint, response))
  },
  open: (request) => {
    const endpoint = Transport.endpointOf(request.origin)
    // the scope aborts the request, also while its response is on the way to who opened it
    const answered = execute(HttpClient.withScope(client), request, endpoint)
    return Effect.flatMap(answered, (response): ReturnType<Transport.Transport["Service"]["open"]> =>
      Transport.isExpected(request, response.status)
        ? openBody(request, endpoint, response)
        : readBody(request, endpoint, response)
    )
  }
})

/**
 * A transport over the `HttpClient` in the context.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 * import { HttpClientTransport, Upstream } from "holdfast"
 *
 * class Greeter extends Upstream.Service<Greeter>()("greeter", { baseUrl: "https://greeter.internal" }) {}
 *
 * const client = HttpClient.make((request) =>
 *   Effect.succeed(HttpClientResponse.fromWeb(request, new Response("hello from a client of your own")))
 * )
 * const transport = HttpClientTransport.layer.pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, client)))
 *
 * const program = Effect.gen(function*() {
 *   const greeter = yield* Greeter
 *   console.log((yield* greeter.get("/")).text)
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(Greeter.layer.pipe(Layer.provide(transport)))))
 * // => hello from a client of your own
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Transport.Transport, never, HttpClient.HttpClient> = Layer.effect(
  Transport.Transport,
  Effect.map(HttpClient.HttpClient, make)
)

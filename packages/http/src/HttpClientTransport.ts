/**
 * Any Effect `HttpClient` as a transport: fetch in a browser or on Bun, Node's own `http`, a client that a team has already.
 *
 * **When to use**: where undici is not at hand, or when a program's own `HttpClient` must carry everything.
 *
 * **What it is not**: the fast way on Node, which is `NodeTransport`.
 *
 * **Gotchas**: an `HttpClient` does not tell connecting from sending, so a failure before the response is reported in phase
 * `wait` unless its code says otherwise. The client's own spans and trace headers are switched off: the pipeline makes them. Cookies
 * are the ones that the client could read, written anew, and trailers are not told. `fetch` sends no `host` header, and no body with
 * a `GET`.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpMethod } from "effect/http/HttpMethod"
import type * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as FailureClassifier from "./FailureClassifier.ts"
import { openBody, readBody } from "./internal/client/clientBodies.ts"
import { type Executed, executed } from "./internal/client/clientExecution.ts"
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

/** Sends, and gives the response with its headers. Every error of a client is the wire's, or the request's. */
const sent = <R>(
  client: HttpClient.HttpClient.With<HttpClientError, R>,
  request: Transport.Request,
  endpoint: string
): Effect.Effect<Executed, Reason.TransportReason, R> =>
  executed(client.execute(toRequest(request)), endpoint, false, (error) =>
    Effect.fail(stackless(() => FailureClassifier.classify(error, { endpoint, phase: "wait" })))
  )

/**
 * Makes a transport of a client.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (client: HttpClient.HttpClient): Transport.Transport["Service"] => ({
  send: (request) => {
    const endpoint = Transport.endpointOf(request.origin)
    return Effect.flatMap(sent(client, request, endpoint), ({ response }) => readBody(request, endpoint, response))
  },
  open: (request) => {
    const endpoint = Transport.endpointOf(request.origin)
    // the scope aborts the request, also while its response is on the way to the caller
    const answered = sent(HttpClient.withScope(client), request, endpoint)
    return Effect.flatMap(answered, ({ response }): ReturnType<Transport.Transport["Service"]["open"]> =>
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
 * import { Upstream } from "holdfast"
 * import { HttpClientTransport } from "holdfast/client"
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

/**
 * The edge of a service that Effect's HTTP server answers for: it takes over the identity of a request by `RequestIdentity.edge`, the
 * handler works with it, and the answer names it in `x-request-id`.
 *
 * **When to use**: with {@link layer}, for all routes of an `HttpRouter`; with {@link middleware}, for `HttpServer.serve`.
 *
 * **What it is not**: a part of `holdfast` itself. It is in `holdfast/server`, because a program that only calls should not load a server.
 *
 * **Gotchas**: `HttpRouter.serve` logs each access outside of the layer. Give it {@link middleware} as its option `middleware` where the
 * access log is to bear the identifier too.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as HttpEffect from "effect/http/HttpEffect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Layer from "effect/Layer"
import { identityAttributes } from "./internal/watch/identityAttributes.ts"
import * as RequestIdentity from "./RequestIdentity.ts"

/**
 * Runs the handler of a server with the identity of its request, and answers with the identifier in `x-request-id`, errors
 * included. For `HttpServer.serve`, and the `middleware` option of `HttpRouter.serve`, where it covers the access log too.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { HttpEffect, HttpServerResponse } from "effect/http"
 * import { RequestIdentity } from "holdfast"
 * import { RequestEdge } from "holdfast/server"
 *
 * const identified = RequestEdge.middleware(RequestIdentity.edge())
 * const handler = HttpEffect.toWebHandler(identified(Effect.succeed(HttpServerResponse.text("done"))))
 * const response = await handler(new Request("http://localhost/", { headers: { "x-request-id": "order-4711" } }))
 * console.log(response.headers.get("x-request-id"), await response.text()) // => order-4711 done
 * ```
 *
 * @category middleware
 * @since 0.1.0
 */
export const middleware =
  (edge: RequestIdentity.Edge) =>
  <E, R>(
    handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest> =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
      Effect.flatMap(edge.fromHeaders(request.headers), (identity) =>
        Effect.withFiber((fiber) => {
          // a handler's failure becomes an answer above any middleware; only this hook runs after that
          HttpEffect.appendPreResponseHandlerUnsafe(fiber.context, (_, response) =>
            Effect.succeed(HttpServerResponse.setHeader(response, "x-request-id", identity.id))
          )
          const span = fiber.cache.span
          if (span?._tag === "Span") {
            for (const [name, value] of Object.entries(identityAttributes(identity))) span.attribute(name, value)
          }
          return RequestIdentity.provide(handler, identity)
        })
      )
    )

/**
 * The same for all routes of an `HttpRouter`.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { HttpRouter, HttpServerResponse } from "effect/http"
 * import { RequestIdentity } from "holdfast"
 * import { RequestEdge } from "holdfast/server"
 *
 * const edge = RequestEdge.layer(RequestIdentity.edge({ tags: ["x-gray-tag"] }))
 * const hello = HttpRouter.add("GET", "/", Effect.map(RequestIdentity.tags, (tags) => HttpServerResponse.text(JSON.stringify(tags))))
 *
 * const { dispose, handler } = HttpRouter.toWebHandler(Layer.mergeAll(hello, edge), { disableLogger: true })
 * const headers = { "x-request-id": "order-4711", "x-gray-tag": "canary" }
 * const response = await handler(new Request("http://localhost/", { headers }))
 * console.log(response.headers.get("x-request-id"), await response.text()) // => order-4711 {"x-gray-tag":"canary"}
 * await dispose()
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (edge: RequestIdentity.Edge): Layer.Layer<never, never, HttpRouter.HttpRouter> =>
  HttpRouter.middleware(middleware(edge), { global: true })

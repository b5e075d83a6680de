/**
 * Code around a whole call of an upstream: a cache, a copy of the traffic, a gate. It sees the request as it was encoded, and the
 * answer before it is decoded; an answer of its own costs neither a place, nor a turn, nor a retry.
 *
 * **When to use**: to answer, refuse or watch a call as a whole, outside of retries and circuits.
 *
 * **What it is not**: a place for values that must be new at every attempt, which is `AttemptLayer`. Nor a stage: it has no mode and no
 * snapshot.
 *
 * **Gotchas**: layers run in the order in which they are written, the first outermost. They are within the call's deadline. The body of an
 * answer that its caller streams is not in memory, and `body` is `undefined` then: such a response is given on as it is, or another one
 * with a body in its place. A copy of it without a body is a defect, because the stream would be lost. Calls of `next` take turns, also
 * where a layer makes them at once. They end with the call: work that goes on in the background is a call of its own.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { CallLayer, Upstream } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * // a tiny cache: what was answered once is answered again
 * const remembering = Effect.sync((): CallLayer.CallLayer => {
 *   const known = new Map<string, CallLayer.Response>()
 *   return {
 *     name: "remembering",
 *     around: ({ operation, request }, next) => {
 *       const found = known.get(`${operation} ${request.path}`)
 *       if (found !== undefined) return Effect.succeed(found)
 *       return Effect.tap(next(request), (response) =>
 *         Effect.sync(() => {
 *           // what is streamed is not in memory
 *           if (response.body !== undefined) known.set(`${operation} ${request.path}`, response)
 *         })
 *       )
 *     }
 *   }
 * })
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal", call: [remembering] }) {}
 *
 * const program = Effect.gen(function*() {
 *   const stock = yield* Stock
 *   const texts = [(yield* stock.get("/items")).text, (yield* stock.get("/items")).text]
 *   const { requests } = yield* ScriptedTransport.seen
 *   console.log(texts, requests.length)
 * })
 *
 * const transport = ScriptedTransport.layer({ "*": [ScriptedTransport.json(["A-7"])] })
 * await Effect.runPromise(program.pipe(Effect.provide(Stock.layer.pipe(Layer.provideMerge(transport)))))
 * // => [ '["A-7"]', '["A-7"]' ] 1
 * ```
 *
 * @since 0.1.0
 */

import type * as Effect from "effect/Effect"
import type { CallError } from "@holdfast/core/CallError"
import type * as Deadline from "@holdfast/core/Deadline"
import type { Reason } from "@holdfast/core/Reason"
import type * as Transport from "./Transport.ts"

/**
 * The request of a call: the part of it that is the same for every attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface Request {
  /** Path and query, encoded, the base URL's path included. */
  readonly path: string
  /** Names in lower case. */
  readonly headers: Transport.Headers
  readonly body: Transport.Body | undefined
}

/**
 * The part of a request that a layer may change. The body stays as it is: it is encoded, and whether it may be sent again has been decided.
 *
 * @category models
 * @since 0.1.0
 */
export type Onward = Pick<Request, "headers" | "path">

/**
 * The call, as a layer sees it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly upstream: string
  /** Method and path template. */
  readonly operation: string
  readonly method: string
  readonly requestId: string
  readonly request: Request
  /** When its caller no longer wants the answer. */
  readonly deadline: Deadline.Deadline | undefined
}

/**
 * The answer of a call, before it is decoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface Response {
  readonly status: number
  /** Names in lower case. Without `set-cookie`, whose values cannot be joined. */
  readonly headers: Transport.Headers
  readonly setCookies?: ReadonlyArray<string> | undefined
  /** All of it; `undefined` of an answer that is streamed. */
  readonly body: Uint8Array | undefined
  readonly trailers?: Transport.Headers | undefined
}

/**
 * A layer around each call. It may change the headers and the path of the request, and call `next` once, again or not at all. It
 * gives a response of `next`, or one of its own with a body, which is decoded like any other. It may fail with the error that `next`
 * gave, or with a reason of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallLayer {
  /** Shown on the span of the call. */
  readonly name: string
  readonly around: (
    call: Call,
    next: (request: Onward) => Effect.Effect<Response, CallError>
  ) => Effect.Effect<Response, CallError | Reason>
}

/**
 * An entry of an upstream's declaration: a layer, or an effect that makes one when the upstream is built. The services and errors of
 * that effect are in the type of the upstream's layer.
 *
 * @category models
 * @since 0.1.0
 */
export type Declared<E = unknown, R = unknown> = CallLayer | Effect.Effect<CallLayer, E, R>

/**
 * Code around each attempt of an upstream, between its stages and the wire: a token, a signature, an injected fault. It sees the
 * request as it goes out and the head of the response, may change the request by an effect, and may fail, or try once more, because of
 * the response.
 *
 * **When to use**: for a value that belongs to an attempt and not to the call, because it must be new, or checked anew, when a request
 * is sent again.
 *
 * **What it is not**: a place to answer a call as a whole, or to count its cost (a cache, a copy of the traffic), which is `CallLayer`.
 * It is no stage either: an attempt that a circuit or a limit refuses never gets to it, and its time counts as the attempt's.
 *
 * **Gotchas**: layers run in the order in which they are written, the first outermost, so that the last one sees the request as it is
 * sent. A request that a redirect leads to another origin passes no layer: it would take the upstream's credentials along. Headers, path
 * and body may be changed; the origin and the method stay, because the stages and the retry have judged by them. {@link Next} may be
 * called again, for one more try within the attempt: the response before is released then, and a body that can be sent once must not be
 * sent twice ({@link Attempt.isReplayable}). After a try that may have been applied, a failure of the attempt never says that nothing
 * was applied.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { AttemptLayer, Upstream } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * let made = 0
 * const nonce = AttemptLayer.headers("nonce", () => Effect.sync(() => ({ "x-nonce": `n-${++made}` })))
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal", attempt: [nonce] }) {}
 *
 * const program = Effect.gen(function*() {
 *   const stock = yield* Stock
 *   yield* stock.get("/items")
 *   const { requests } = yield* ScriptedTransport.seen
 *   console.log(requests.map(({ headers }) => headers["x-nonce"]))
 * })
 *
 * const transport = ScriptedTransport.layer({ "*": [ScriptedTransport.status(503), ScriptedTransport.json([])] })
 * await Effect.runPromise(program.pipe(Effect.provide(Stock.layer.pipe(Layer.provideMerge(transport)))))
 * // => [ 'n-1', 'n-2' ]
 * ```
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import type { Reason } from "@holdfast/core/Reason"
import type * as Transport from "./Transport.ts"

/**
 * An attempt, as a layer sees it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  /** The request as it would go out: with the headers of the layers around this one. */
  readonly request: Transport.Request
  /** Identifies the call among its attempts. */
  readonly requestId: string
  /** Whether the body can be sent once more. */
  readonly isReplayable: () => boolean
}

/**
 * A response as a layer sees it: its body is read, or left open, once the layers have let it through.
 *
 * @category models
 * @since 0.1.0
 */
export interface Head {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Transport.Headers
}

/**
 * Sends a request through the layers within, and gives the response.
 *
 * @category models
 * @since 0.1.0
 */
export type Next<A extends Head> = (request: Transport.Request) => Effect.Effect<A, Reason>

/**
 * A layer around each attempt. It gives on a response of `next`: no layer can make one up. A failure is the attempt's, and is
 * judged, counted and tried again as the catalogue says of its reason.
 *
 * @category models
 * @since 0.1.0
 */
export interface AttemptLayer {
  /** Shown on the span of the call. */
  readonly name: string
  /**
   * Whether its effect may depend on the caller. Callers of an upstream with such a layer share no answer by `singleFlight`: the
   * token of one would fetch the answer that another is given. Say `false` of a layer that does the same for all. Default
   * `true`.
   */
  readonly perCaller?: boolean | undefined
  readonly around: <A extends Head>(attempt: Attempt, next: Next<A>) => Effect.Effect<A, Reason>
}

/**
 * An entry of an upstream's declaration: a layer, or an effect that makes one when the upstream is built. The services and errors of
 * that effect are in the type of the upstream's layer.
 *
 * @category models
 * @since 0.1.0
 */
export type Declared<E = unknown, R = unknown> = AttemptLayer | Effect.Effect<AttemptLayer, E, R>

/**
 * A layer that changes the request of each attempt.
 *
 * @category constructors
 * @since 0.1.0
 */
export const mapRequest = (
  name: string,
  change: (attempt: Attempt) => Effect.Effect<Transport.Request, Reason>
): AttemptLayer => ({
  name,
  around: (attempt, next) => Effect.flatMap(change(attempt), next)
})

/**
 * A layer that adds headers to the request of each attempt, made by an effect. Names in lower case; one that is there already is
 * replaced.
 *
 * @category constructors
 * @since 0.1.0
 */
export const headers = (
  name: string,
  made: (attempt: Attempt) => Effect.Effect<{ readonly [name: string]: string }, Reason>
): AttemptLayer =>
  mapRequest(name, (attempt) =>
    Effect.map(made(attempt), (added) => ({ ...attempt.request, headers: { ...attempt.request.headers, ...added } }))
  )

/**
 * Where the attempts of an upstream go, when it is at several places. An `Endpoints` chooses for each attempt, knows what the call has
 * tried, and hears how the attempt ended. Circuit, throttle, bulkhead, adaptive limit and learned timeout are each endpoint's own; the
 * retry budget, the rate limit and the hedge are the upstream's.
 *
 * **When to use**: {@link list} for origins that are known and equal. Write an {@link Endpoints} for another way to choose: by weight,
 * by latency, by a key of the request.
 *
 * **What it is not**: a load balancer's list of machines behind one name. The addresses of a name are the transport's business
 * (`NameResolver`); an endpoint is an origin that a URL can name.
 *
 * **Gotchas**
 *
 * - An attempt that the stages of one endpoint refuse (an open circuit, a full bulkhead) goes on to the next that the call has not tried.
 *   It costs nothing of the budget, because nothing was sent.
 * - A retry goes to another endpoint if it can, and a hedge is sent nowhere else.
 * - An attempt goes on to eight endpoints at most, and to none once it has waited in a queue.
 * - The state of an endpoint's stages is kept as long as the endpoint is listed, and for ten minutes or so after its last attempt.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Endpoints, Upstream } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", {
 *   endpoints: Endpoints.list(["https://a.stock.internal", "https://b.stock.internal"])
 * }) {}
 *
 * const program = Effect.gen(function*() {
 *   const stock = yield* Stock
 *   yield* stock.get("/items")
 *   const { requests } = yield* ScriptedTransport.seen
 *   console.log(requests.map(({ origin }) => origin))
 * })
 *
 * // the first attempt fails, and the second one goes elsewhere
 * const transport = ScriptedTransport.layer({ "*": [ScriptedTransport.status(503), ScriptedTransport.json([])] })
 * await Effect.runPromise(program.pipe(Effect.provide(Stock.layer.pipe(Layer.provideMerge(transport)))))
 * // => [ 'https://a.stock.internal', 'https://b.stock.internal' ]
 * ```
 *
 * @since 0.1.0
 */

import type { Outcome } from "@holdfast/core/Outcome"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { basePathOf, parseBaseUrl } from "./internal/request/baseUrl.ts"
import type * as Transport from "./Transport.ts"

/**
 * One origin of an upstream. An `Endpoints` may keep more with it: a weight, a zone, a latency.
 *
 * @category models
 * @since 0.1.0
 */
export interface Endpoint {
  /** Scheme, host, and port if it is not the scheme's own: `https://a.payments.internal`. */
  readonly origin: string
}

/**
 * An attempt that is to go somewhere.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  /** Method and path template: `POST /charges/{id}`. */
  readonly operation: string
  readonly method: string
  /** Identifies the call among its attempts. */
  readonly requestId: string
  /** The headers of the call, their names in lower case, before attempt layers have added theirs. */
  readonly headers: Transport.Headers
  /** Whether it is sent beside an attempt that still runs: it should go elsewhere, or nowhere. */
  readonly isHedge: boolean
  /**
   * The endpoints to which this call has gone, and the ones that refused it, the last one at the end. Compare them by their origin: a list may
   * be made anew.
   */
  readonly tried: ReadonlyArray<Endpoint>
  /** In milliseconds on a clock that only goes forward: only differences mean anything. */
  readonly nowMillis: number
  /** The services of the fiber that called: tags, the identity of the request. */
  readonly context: Context.Context<never>
  /** A number of at least 0 and below 1, of the fiber's `Random`. */
  readonly random: () => number
  /** Whether the stages of an endpoint would let an attempt through now. Asking changes nothing. */
  readonly hasRoom: (endpoint: Endpoint) => boolean
}

/**
 * Where an attempt goes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Choice {
  readonly endpoint: Endpoint
  /**
   * Called once, when the attempt is over, with the time at which it was and what it says of the endpoint: `Ignored` if it was not sent,
   * or was interrupted. An answer that is streamed is over when its body is; the time is that of its headers.
   */
  readonly settle?: ((nowMillis: number, outcome: Outcome) => void) | undefined
}

/**
 * Chooses the endpoint of each attempt. All functions are synchronous: they stand in the way of every attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface Endpoints {
  /** Names it in spans and errors. */
  readonly name: string
  /** The path that all operations begin with, the same at every endpoint: `/v1`, or nothing. */
  readonly basePath: string
  /** The endpoints that there are now. */
  readonly list: () => ReadonlyArray<Endpoint>
  /** Where an attempt goes, or why it can go nowhere: mostly `NoEndpointAvailable`. */
  readonly choose: (attempt: Attempt) => Choice | Reason.PolicyReason
}

/**
 * Endpoints as an upstream declares them: as they are, or as an effect that makes them when the upstream is built. The effect's needs, and
 * its errors, are in the type of the upstream's layer.
 *
 * @category models
 * @since 0.1.0
 */
export type Declared<E = unknown, R = unknown> = Endpoints | Effect.Effect<Endpoints, E, R>

/**
 * A fixed list of base URLs, which take turns. An attempt goes to the next one that has room and that its call has not tried; if there is
 * none, to one that was tried and has room. Each upstream that is built of it has turns of its own.
 *
 * Throws a `RangeError` for an empty list, for a URL that is no base URL, for one that is there twice, and for paths that differ.
 *
 * @category constructors
 * @since 0.1.0
 */
export const list = (baseUrls: ReadonlyArray<string | URL>): Effect.Effect<Endpoints> => {
  if (!Array.isArray(baseUrls)) {
    throw new RangeError(
      `Endpoints: list needs an array of base URLs, such as Endpoints.list(["https://a.payments.internal"]), got ${typeof baseUrls}`
    )
  }
  if (baseUrls.length === 0) {
    throw new RangeError('Endpoints: list needs at least one base URL: Endpoints.list(["https://a.payments.internal"])')
  }
  const urls = baseUrls.map((baseUrl: string | URL, index) => parseBaseUrl(`Endpoints: list[${index}]`, baseUrl))
  const [basePath = "", ...others] = urls.map(basePathOf)
  const differing = others.find((path) => path !== basePath)
  if (differing !== undefined) {
    throw new RangeError(
      `Endpoints: all base URLs of a list must have the same path, got ${shownPath(basePath)} and ${shownPath(differing)}`
    )
  }
  const origins = urls.map(({ origin }) => origin)
  const twice = origins.find((origin, index) => origins.indexOf(origin) !== index)
  if (twice !== undefined) throw new RangeError(`Endpoints: ${twice} is in the list twice`)
  return Effect.sync(() => takingTurns(basePath, origins))
}

const shownPath = (path: string): string => (path === "" ? "none" : path)

const takingTurns = (basePath: string, origins: ReadonlyArray<string>): Endpoints => {
  const endpoints = origins.map((origin): Endpoint => ({ origin }))
  const choices = endpoints.map((endpoint): Choice => ({ endpoint }))
  let turn = 0
  /** The first choice from the turn on that is as it should be. */
  const next = (isRight: (endpoint: Endpoint) => boolean): Choice | undefined => {
    for (let step = 0; step < choices.length; step++) {
      const index = (turn + step) % choices.length
      const choice = choices[index]
      if (choice === undefined || !isRight(choice.endpoint)) continue
      turn = index + 1
      return choice
    }
    return undefined
  }
  return {
    name: "list",
    basePath,
    list: () => endpoints,
    choose: ({ hasRoom, isHedge, tried }) => {
      const isNew = (endpoint: Endpoint) => !tried.includes(endpoint)
      const last = tried.at(-1)
      const found =
        next((endpoint) => isNew(endpoint) && hasRoom(endpoint)) ??
        (isHedge
          ? undefined
          : (next((endpoint) => endpoint !== last && hasRoom(endpoint)) ??
            next(hasRoom) ??
            next(isNew) ??
            next(() => true)))
      return found ?? stackless(() => new Reason.NoEndpointAvailable({ detail: "each was tried, or has no room" }))
    }
  }
}

/** Which exchanges a transport begins, and how it closes when they are done. */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as Transport from "@holdfast/http/Transport"
import type * as Proxy from "../../Proxy.ts"
import { connect, type Means, routeOf } from "../connect/connect.ts"
import type { Answer, Exchange } from "../exchange/exchange.ts"
import { noLongerMade, Pool, type PoolOptions } from "./pool.ts"
import { Pools } from "./pools.ts"
import { requestHeadBytes } from "../exchange/requestHead.ts"
import type { ReadyBody } from "../exchange/upload.ts"

export interface Settings extends Omit<
  PoolOptions,
  "origin" | "terms" | "connect" | "onReleased" | "onConnectionClosed"
> {
  readonly drainMillis: number
  readonly phases: PoolOptions["terms"]["phases"]
  readonly decompress: boolean
  /** Whether HTTP/2 is spoken without TLS, and without asking whether the server can. */
  readonly priorKnowledge: boolean
  readonly proxies: Proxy.Settings | undefined
}

/** Every exchange of a transport: it makes them in the pools, counts them, and closes when they are done. */
export class Exchanges {
  readonly pools: Pools
  readonly #settings: Settings
  #running = 0
  #closing = false
  #onIdle: (() => void) | undefined

  constructor(context: Context.Context<never>, settings: Settings, means: Means) {
    this.#settings = settings
    this.pools = new Pools(context, (origin, onConnectionClosed) => {
      const endpoint = Transport.endpointOf(origin)
      const route = routeOf(origin, endpoint, settings.proxies)
      const making = connect(means, route)
      return new Pool({
        ...settings,
        origin,
        terms: {
          endpoint,
          phases: settings.phases,
          decompress: settings.decompress,
          headerBytes: settings.headerBytes,
          proxy: route.scheme === "http" ? route.proxy : undefined
        },
        connect: (done) => {
          const fiber = Effect.runForkWith(forWhomAsks(context))(making, { uninterruptible: true })
          // later, because one that fails at once has failed by now
          fiber.addObserver((exit) => queueMicrotask(() => done(exit)))
          return () => fiber.interruptUnsafe()
        },
        onReleased: () => this.#released(),
        onConnectionClosed
      })
    })
  }

  /** One exchange, its body read whole. */
  send(request: Transport.Request): Effect.Effect<Transport.Response, Reason.TransportReason> {
    return withBody(request, (body) =>
      Effect.callback<Transport.Response, Reason.TransportReason>((resume) => {
        const exchange = this.#begin(request, body, false, (exit) => {
          // only one that is opened hands a body on
          resume(exit as Exit.Exit<Transport.Response, Reason.TransportReason>)
        })
        return exchange === undefined ? undefined : Effect.sync(() => exchange.leave())
      })
    )
  }

  /** One exchange whose body is left to be read for as long as the scope is open. */
  open(request: Transport.Request): Effect.Effect<Answer, Reason.TransportReason, Scope.Scope> {
    return withBody(request, (body) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(Effect.scope, (scope) => {
          let exchange: Exchange | undefined
          const answer = Effect.callback<Answer, Reason.TransportReason>((resume) => {
            exchange = this.#begin(request, body, true, resume)
            return exchange === undefined ? undefined : Effect.sync(() => exchange?.leave())
          })
          return Effect.tap(restore(answer), () =>
            Scope.addFinalizer(
              scope,
              Effect.sync(() => exchange?.leave())
            )
          )
        })
      )
    )
  }

  /** Lets exchanges in flight finish, within the bound; then cuts them. */
  get close(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      this.#closing = true
      const cut = (): void => {
        clearTimeout(timer)
        this.#onIdle = undefined
        void this.pools.destroy().then(() => resume(Effect.void))
      }
      const timer = setTimeout(cut, this.#settings.drainMillis)
      this.#onIdle = cut
      if (this.#running === 0) cut()
    })
  }

  #released(): void {
    this.#running--
    if (this.#running === 0) this.#onIdle?.()
  }

  #begin(
    request: Transport.Request,
    body: ReadyBody,
    opens: boolean,
    resume: (exit: Exit.Exit<Answer, Reason.TransportReason>) => void
  ): Exchange | undefined {
    if (this.#closing) {
      resume(Exit.fail(noLongerMade(Transport.endpointOf(request.origin))))
      return undefined
    }
    const { headerBytes } = this.#settings
    const size = requestHeadBytes(request)
    if (size > headerBytes) {
      const endpoint = Transport.endpointOf(request.origin)
      resume(
        Exit.fail(stackless(() => new Reason.HeadersTooLarge({ endpoint, of: "request", limit: headerBytes, size })))
      )
      return undefined
    }
    this.#running++
    return this.pools.of(request).begin(request, body, opens, resume)
  }
}

/** A connection outlives the call that asks for it, but its first stack would name that call. */
const forWhomAsks = (context: Context.Context<never>): Context.Context<never> =>
  Context.add(context, References.CurrentStackFrame, Fiber.getCurrent()?.cache.stackFrame)

/** Runs with the body of the request, ready to be sent: a stream gets the context that it runs in. */
const withBody = <A, R>(
  request: Transport.Request,
  run: (body: ReadyBody) => Effect.Effect<A, Reason.TransportReason, R>
): Effect.Effect<A, Reason.TransportReason, R> => {
  const body = request.body
  return Stream.isStream(body) ? Effect.flatMap(Stream.toAsyncIterableEffect(body), run) : run(body)
}

/**
 * The transport on Node: undici, with a pool of connections that lives as long as its layer.
 *
 * **When to use**: under every upstream of a program on Node: `Effect.provide(NodeTransport.layer())`.
 *
 * **What it is not**: a policy. It makes one exchange at a time for whoever asks, within the limits of each phase.
 *
 * **Gotchas**: `layer(options)` gives a new layer each time it is called, and each layer is a pool of its own. Bind it to a
 * constant where several upstreams are to share one. Phase limits run on real time: a `TestClock` moves no socket; use
 * `ScriptedTransport` to test without one.
 *
 * @since 0.1.0
 */

import type { ConnectionOptions } from "node:tls"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Agent } from "undici"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as Transport from "@holdfast/http/Transport"
import { type Connector, makeConnector } from "./internal/connector.ts"
import { Exchange, type PhaseLimits, type ReadyBody } from "./internal/exchange.ts"

/**
 * What the transport is made of.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Connections to each endpoint at most. Default 64. */
  readonly connections?: number | undefined
  /** Exchanges that may wait for a connection to an endpoint; one more fails with `PoolExhausted`. Default 1024. */
  readonly maxQueue?: number | undefined
  /** How long an unused connection is kept. Default 4 s: below the 5 s after which Node's servers close theirs. */
  readonly keepAlive?: Duration.Input | undefined
  /** Name resolution, TCP and TLS together. Default 5 s. */
  readonly connectTimeout?: Duration.Input | undefined
  /** From the request sent to the response's headers. Default 30 s. */
  readonly headersTimeout?: Duration.Input | undefined
  /** Between two chunks of a response's body. Default 30 s. */
  readonly bodyTimeout?: Duration.Input | undefined
  /** How long a closing layer waits for exchanges in flight before it destroys their connections. Default 5 s. */
  readonly drainTimeout?: Duration.Input | undefined
  /** Trusted roots, client certificate, lowest version: Node's own TLS options. */
  readonly tls?:
    | Pick<
        ConnectionOptions,
        "ca" | "cert" | "key" | "passphrase" | "pfx" | "minVersion" | "maxVersion" | "ciphers" | "servername"
      >
    | undefined
}

/**
 * What an option left out means.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  connections: 64,
  maxQueue: 1024,
  keepAlive: Duration.seconds(4),
  connectTimeout: Duration.seconds(5),
  headersTimeout: Duration.seconds(30),
  bodyTimeout: Duration.seconds(30),
  drainTimeout: Duration.seconds(5)
} as const satisfies Options

const whole = (name: string, value: number, minimum: number): number => {
  if (!(Number.isInteger(value) && value >= minimum)) {
    throw new RangeError(`NodeTransport: ${name} must be a whole number of at least ${minimum}, got ${value}`)
  }
  return value
}

/** The longest wait of a platform timer; a longer one would fire at once. */
const longestMillis = 2 ** 31 - 1

const millis = (name: string, given: Duration.Input): number => {
  const value = Duration.toMillis(Duration.fromInputUnsafe(given))
  if (!(value > 0)) {
    throw new RangeError(`NodeTransport: ${name} must be longer than zero, got ${value}ms`)
  }
  return Math.min(value, longestMillis)
}

/**
 * Makes the transport. Its connections are closed with the scope: exchanges in flight may finish within `drainTimeout`, then
 * they are cut.
 *
 * Throws a `RangeError` that names the option which is out of range.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<Transport.Transport["Service"], never, Scope.Scope> => {
  const connections = whole("connections", options.connections ?? defaults.connections, 1)
  const maxQueue = whole("maxQueue", options.maxQueue ?? defaults.maxQueue, 0)
  const phases = {
    headersMillis: millis("headersTimeout", options.headersTimeout ?? defaults.headersTimeout),
    bodyMillis: millis("bodyTimeout", options.bodyTimeout ?? defaults.bodyTimeout)
  }
  const connectMillis = millis("connectTimeout", options.connectTimeout ?? defaults.connectTimeout)
  const keepAliveMillis = millis("keepAlive", options.keepAlive ?? defaults.keepAlive)
  const drainMillis = millis("drainTimeout", options.drainTimeout ?? defaults.drainTimeout)

  const acquire = Effect.sync(() => {
    const connector = makeConnector({ ...options.tls, allowH2: false }, connectMillis)
    const agent = new Agent({
      connections,
      pipelining: 1,
      keepAliveTimeout: keepAliveMillis,
      keepAliveMaxTimeout: keepAliveMillis,
      // the phases have timers of their own: undici's are up to a second late
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: connector.connect
    })
    return makePool(agent, connector, phases, connections, maxQueue)
  })
  return Effect.map(
    Effect.acquireRelease(acquire, (pool) => pool.close(drainMillis)),
    (pool) => Transport.fromSend(pool.send)
  )
}

interface Pool {
  readonly send: Transport.Transport["Service"]["send"]
  /** Lets what is in flight finish, within the bound; then cuts it. */
  readonly close: (drainMillis: number) => Effect.Effect<void>
}

const makePool = (
  agent: Agent,
  connector: Connector,
  phases: PhaseLimits,
  connections: number,
  maxQueue: number
): Pool => {
  /** Exchanges at each origin that have not ended; an origin without any is not in it. */
  const inFlight = new Map<string, number>()
  let closing = false
  let onIdle: (() => void) | undefined
  const leave = (origin: string): void => {
    const left = (inFlight.get(origin) ?? 1) - 1
    if (left > 0) inFlight.set(origin, left)
    else inFlight.delete(origin)
    if (inFlight.size === 0) onIdle?.()
  }
  const exchange = (
    request: Transport.Request,
    body: ReadyBody
  ): Effect.Effect<Transport.Response, Reason.TransportReason> =>
    Effect.callback<Transport.Response, Reason.TransportReason>((resume) => {
      const endpoint = Transport.endpointOf(request.origin)
      const taken = inFlight.get(request.origin) ?? 0
      const refusal = closing
        ? stackless(() => new Reason.ConnectionClosed({ endpoint, phase: "connect", code: "UND_ERR_CLOSED" }))
        : taken >= connections + maxQueue
          ? stackless(() => new Reason.PoolExhausted({ endpoint, connections, queued: taken - connections }))
          : undefined
      if (refusal !== undefined) {
        resume(Effect.fail(refusal))
        return undefined
      }
      inFlight.set(request.origin, taken + 1)
      const running = new Exchange(request, phases, endpoint, (exit) => {
        // A fiber goes on at once, and its next call would enter undici from undici's own callback, in the middle of its
        // bookkeeping: it asserts that nobody does, and a failed assertion there ends the process.
        queueMicrotask(() => {
          leave(request.origin)
          resume(exit)
        })
      })
      running.start(agent, body)
      return Effect.sync(() => {
        if (running.abort()) leave(request.origin)
      })
    })
  return {
    send: (request) => {
      const body = request.body
      return Stream.isStream(body)
        ? Effect.flatMap(Stream.toAsyncIterableEffect(body), (source) => exchange(request, source))
        : exchange(request, body)
    },
    close: (drainMillis) =>
      Effect.callback<void>((resume) => {
        closing = true
        const cut = (): void => {
          clearTimeout(timer)
          onIdle = undefined
          connector.close()
          // not `agent.close()`: it waits for requests whose callers are gone, and nothing can be cut after it
          const done = (): void => resume(Effect.void)
          agent.destroy().then(done, done)
        }
        const timer = setTimeout(cut, drainMillis)
        onIdle = cut
        if (inFlight.size === 0) cut()
      })
  }
}

/**
 * A transport with a pool of its own, closed with the layer's scope.
 *
 * ```ts
 * import { createServer } from "node:http"
 * import { once } from "node:events"
 * import { Effect, Layer } from "effect"
 * import { Upstream } from "holdfast"
 * import { NodeTransport } from "holdfast/node"
 *
 * const server = createServer((_, response) => response.end("hello")).listen(0, "127.0.0.1")
 * await once(server, "listening")
 * const address = server.address()
 * const port = typeof address === "object" && address !== null ? address.port : 0
 *
 * class Greeter extends Upstream.Service<Greeter>()("greeter", { baseUrl: `http://127.0.0.1:${port}` }) {}
 *
 * const program = Effect.gen(function*() {
 *   const greeter = yield* Greeter
 *   return (yield* greeter.get("/")).text
 * })
 *
 * const main = program.pipe(Effect.provide(Greeter.layer.pipe(Layer.provide(NodeTransport.layer({ connections: 8 })))))
 * console.log(await Effect.runPromise(main)) // => hello
 * server.close()
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Transport.Transport> =>
  Layer.effect(Transport.Transport, make(options))

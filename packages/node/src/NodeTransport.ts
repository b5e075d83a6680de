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
import { Agent } from "undici"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as Transport from "@holdfast/http/Transport"
import { makeConnector } from "./internal/connector.ts"
import { dispatchBody, Exchange } from "./internal/exchange.ts"

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

const millis = (name: string, given: Duration.Input): number => {
  const value = Duration.toMillis(Duration.fromInputUnsafe(given))
  if (!(value > 0)) {
    throw new RangeError(`NodeTransport: ${name} must be longer than zero, got ${value}ms`)
  }
  return value
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

  const acquire = Effect.sync(
    () =>
      new Agent({
        connections,
        pipelining: 1,
        keepAliveTimeout: keepAliveMillis,
        keepAliveMaxTimeout: keepAliveMillis,
        // the phases have timers of their own: undici's are up to a second late
        headersTimeout: 0,
        bodyTimeout: 0,
        connect: makeConnector({ ...options.tls, allowH2: false }, connectMillis)
      })
  )
  return Effect.map(
    Effect.acquireRelease(acquire, (agent) => close(agent, drainMillis)),
    (agent) => Transport.Transport.of({ send: sender(agent, phases, connections, maxQueue) })
  )
}

/** Lets what is in flight finish, within the bound; then cuts it. */
const close = (agent: Agent, drainMillis: number): Effect.Effect<void> =>
  Effect.promise(
    () =>
      new Promise<void>((resolve) => {
        const timer = setTimeout(() => void agent.destroy().then(resolve, resolve), drainMillis)
        agent.close().then(
          () => {
            clearTimeout(timer)
            resolve()
          },
          // closed twice, which is closed
          () => resolve()
        )
      })
  )

const sender = (
  agent: Agent,
  phases: { readonly headersMillis: number; readonly bodyMillis: number },
  connections: number,
  maxQueue: number
): Transport.Transport["Service"]["send"] => {
  /** Exchanges at each origin that have not ended; an origin without any is not in it. */
  const inFlight = new Map<string, number>()
  const leave = (origin: string): void => {
    const left = (inFlight.get(origin) ?? 1) - 1
    if (left === 0) inFlight.delete(origin)
    else inFlight.set(origin, left)
  }
  return (request) =>
    Effect.flatMap(dispatchBody(request.body), (body) =>
      Effect.callback<Transport.Response, Reason.TransportReason>((resume) => {
        const endpoint = Transport.endpointOf(request.origin)
        const taken = inFlight.get(request.origin) ?? 0
        if (taken >= connections + maxQueue) {
          resume(
            Effect.fail(
              stackless(() => new Reason.PoolExhausted({ endpoint, connections, queued: taken - connections }))
            )
          )
          return undefined
        }
        inFlight.set(request.origin, taken + 1)
        const exchange = new Exchange(request, phases, endpoint, (exit) => {
          leave(request.origin)
          // A fiber goes on at once, and its next call would enter undici from undici's own callback, in the middle of its
          // bookkeeping: it asserts that nobody does, and a failed assertion there ends the process.
          queueMicrotask(() => resume(exit))
        })
        try {
          agent.dispatch(
            { origin: request.origin, path: request.path, method: request.method, headers: request.headers, body },
            exchange
          )
        } catch (error) {
          // a closed agent throws instead of calling the handler
          exchange.fail(error)
        }
        return Effect.sync(() => {
          if (exchange.abort()) leave(request.origin)
        })
      })
    )
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

/**
 * The transport on Node: HTTP/1.1 by undici and HTTP/2 by Node, over a pool of connections that lives as long as its layer.
 *
 * **When to use**: under every upstream of a program on Node: `Effect.provide(NodeTransport.layer())`.
 *
 * **What it is not**: a policy. It makes one exchange for each call of `send` or `open`, within the limits of each phase.
 *
 * **Gotchas**: `layer(options)` gives a new layer each time it is called, and each layer is a pool of its own. Bind it to a
 * constant where several upstreams are to share one. Phase limits run on real time: a `TestClock` moves no socket; use
 * `ScriptedTransport` to test without one.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Transport from "@holdfast/http/Transport"
import type * as AddressPolicy from "./AddressPolicy.ts"
import { ConnectionPools } from "./ConnectionPools.ts"
import type { Means } from "./internal/connect/connect.ts"
import { longestMillis } from "./internal/exchange/http1Wire.ts"
import { Exchanges, type Settings } from "./internal/pool/exchanges.ts"
import { makeTlsClient } from "./internal/tls/tlsClient.ts"
import * as NameResolver from "./NameResolver.ts"
import type * as Proxy from "./Proxy.ts"
import type * as Tls from "./Tls.ts"
import * as Time from "@holdfast/core/Time"

/**
 * The options of the transport.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<out E = never> {
  /** Connections to each endpoint of an upstream at most. Default 64. */
  readonly connections?: number | undefined
  /** Exchanges that may wait for a connection that others use; one more fails with `PoolExhausted`. Default 1024. */
  readonly maxQueue?: number | undefined
  /** How long an exchange waits for a connection that others use, before it fails with `PoolExhausted`. Default 5 s. */
  readonly maxWait?: Time.Input | undefined
  /** How long an unused connection is kept. Default 4 s: below the 5 s after which Node's servers close theirs. */
  readonly keepAlive?: Time.Input | undefined
  /** How long a connection takes new exchanges, less up to 10 %, so that not all end together. Default 10 minutes. */
  readonly maxAge?: Time.Input | undefined
  /** How many exchanges a connection carries, before another takes its place. Default: no bound. */
  readonly maxRequests?: number | undefined
  /** Name resolution, TCP and TLS together. Default 5 s. */
  readonly connectTimeout?: Time.Input | undefined
  /** Without the server taking a further byte of the request. Default 30 s. */
  readonly sendTimeout?: Time.Input | undefined
  /** From the request sent to the response's headers. Default 30 s. */
  readonly headersTimeout?: Time.Input | undefined
  /** Between two chunks of a response's body, while somebody reads it. Default 30 s. */
  readonly bodyTimeout?: Time.Input | undefined
  /** From the response's headers to the end of its body. Default: no bound but that of the call. */
  readonly transferTimeout?: Time.Input | undefined
  /** How long a closing layer waits for exchanges in flight before it destroys their connections. Default 5 s. */
  readonly drainTimeout?: Time.Input | undefined
  /** Whether `gzip`, `br` and `zstd` are asked for and undone; the bounds of a body count decoded bytes. Default `true`. */
  readonly decompress?: boolean | undefined
  /**
   * The most bytes of the head of a request, and of a response: names and values, and 32 for each field, as HTTP/2 counts. A larger
   * one is `HeadersTooLarge`; a request's is refused before anything is sent. At least 1024; default 64 KiB.
   */
  readonly headerBytes?: number | undefined
  /**
   * Whether HTTP/2 is spoken over TLS with a server that can, with at most so many exchanges on one connection: 100, or the number in
   * `streams`. With `priorKnowledge` it is spoken without TLS, too, and without asking (RFC 9113 §3.3): to a server that cannot,
   * every call fails. Default `false`.
   */
  readonly http2?:
    | boolean
    | { readonly streams?: number | undefined; readonly priorKnowledge?: boolean | undefined }
    | undefined
  /** Trusted roots, own certificate, pins, lowest version: see `Tls`. Default: the roots that Node trusts, TLS 1.2 or later. */
  readonly tls?: Tls.Options<E> | undefined
  /** Which addresses may be called: see `AddressPolicy`. Default: any. */
  readonly addresses?: AddressPolicy.AddressPolicy | undefined
  /** How names are resolved, unless a `NameResolver` is provided. */
  readonly names?: NameResolver.Options | undefined
  /** The proxy that requests go through: see `Proxy`. Default: none, also if the environment names one. */
  readonly proxy?: Proxy.Settings | undefined
  /**
   * Path of a Unix socket, which is connected to in place of every host: no name is resolved, and no address judged. Not beside a
   * proxy. Default: none.
   */
  readonly socketPath?: string | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  connections: 64,
  maxQueue: 1024,
  maxWait: Duration.seconds(5),
  keepAlive: Duration.seconds(4),
  maxAge: Duration.minutes(10),
  maxRequests: Infinity,
  connectTimeout: Duration.seconds(5),
  sendTimeout: Duration.seconds(30),
  headersTimeout: Duration.seconds(30),
  bodyTimeout: Duration.seconds(30),
  transferTimeout: Duration.infinity,
  drainTimeout: Duration.seconds(5),
  decompress: true,
  headerBytes: 65_536,
  http2: false
} as const satisfies Options

/** Without types it may be a text, whose quotes say what is wrong with it. */
const shown = (given: unknown): string => (typeof given === "string" ? JSON.stringify(given) : String(given))

const whole = (name: string, value: number, minimum: number): number => {
  if (!(Number.isInteger(value) && value >= minimum)) {
    throw new RangeError(`NodeTransport: ${name} must be a whole number of at least ${minimum}, got ${shown(value)}`)
  }
  return value
}

const positiveMillis = (name: string, given: Time.Input): number => {
  const value = Time.millis(`NodeTransport: ${name}`, given)
  if (!(value > 0)) {
    throw new RangeError(`NodeTransport: ${name} must be longer than zero, got ${value}ms`)
  }
  return value
}

/** As long as a platform's timer can be, at most. */
const timerMillis = (name: string, given: Time.Input): number => Math.min(positiveMillis(name, given), longestMillis)

/** Exchanges at once on a connection that carries many. */
const defaultStreams = 100

const unbounded = (millis: number): number => (millis === longestMillis ? Infinity : millis)

/** The options with their defaults filled in, checked. */
const settingsOf = (options: Options<unknown>): Settings => {
  // the proxy's credentials are not for listeners to the socket
  if (options.socketPath !== undefined && options.proxy !== undefined) {
    throw new RangeError("NodeTransport: socketPath and proxy must not both be given, got both")
  }
  if (options.socketPath === "") throw new RangeError("NodeTransport: socketPath must be a path, got an empty one")
  const http2 = options.http2 ?? defaults.http2
  const maxRequests = options.maxRequests ?? defaults.maxRequests
  return {
    connections: whole("connections", options.connections ?? defaults.connections, 1),
    maxQueue: whole("maxQueue", options.maxQueue ?? defaults.maxQueue, 0),
    waitMillis: timerMillis("maxWait", options.maxWait ?? defaults.maxWait),
    keepAliveMillis: timerMillis("keepAlive", options.keepAlive ?? defaults.keepAlive),
    maxAgeMillis: positiveMillis("maxAge", options.maxAge ?? defaults.maxAge),
    maxRequests: maxRequests === Infinity ? Infinity : whole("maxRequests", maxRequests, 1),
    connectMillis: timerMillis("connectTimeout", options.connectTimeout ?? defaults.connectTimeout),
    drainMillis: timerMillis("drainTimeout", options.drainTimeout ?? defaults.drainTimeout),
    mayMultiplex: http2 !== false,
    streams: typeof http2 === "object" ? whole("http2.streams", http2.streams ?? defaultStreams, 1) : defaultStreams,
    priorKnowledge: typeof http2 === "object" && http2.priorKnowledge === true,
    headerBytes: whole("headerBytes", options.headerBytes ?? defaults.headerBytes, 1024),
    decompress: options.decompress ?? defaults.decompress,
    phases: {
      sendMillis: timerMillis("sendTimeout", options.sendTimeout ?? defaults.sendTimeout),
      headersMillis: timerMillis("headersTimeout", options.headersTimeout ?? defaults.headersTimeout),
      bodyMillis: timerMillis("bodyTimeout", options.bodyTimeout ?? defaults.bodyTimeout),
      transferMillis: unbounded(timerMillis("transferTimeout", options.transferTimeout ?? defaults.transferTimeout))
    },
    proxies: options.proxy
  }
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
export const make = <E = never>(
  options: Options<E> = {}
): Effect.Effect<
  { readonly transport: Transport.Transport["Service"]; readonly pools: ConnectionPools["Service"] },
  E,
  Scope.Scope
> => {
  const settings = settingsOf(options)
  const { addresses, names, socketPath, tls } = options
  const makingTls = makeTlsClient(tls)
  const makingProxyTls = usesTls(options.proxy) ? makeTlsClient(pick(tls)) : undefined
  const makingResolver = NameResolver.make(names)
  return Effect.gen(function* () {
    const tlsClient = yield* makingTls
    const means: Means = {
      resolver: (yield* NameResolver.Current) ?? (yield* makingResolver),
      addresses,
      tls: tlsClient,
      proxyTls: makingProxyTls === undefined ? tlsClient : yield* makingProxyTls,
      socketPath,
      applicationProtocols: settings.mayMultiplex ? ["h2", "http/1.1"] : ["http/1.1"],
      priorKnowledge: settings.priorKnowledge
    }
    const context = yield* Effect.context<never>()
    const exchanges = yield* Effect.acquireRelease(
      Effect.sync(() => new Exchanges(context, settings, means)),
      (exchanges) => exchanges.close
    )
    // calls that come from now on are made with the new certificate; those in flight finish with the old one
    const stop = means.tls.credentials.onChange(() => exchanges.pools.renew())
    yield* Effect.addFinalizer(() => Effect.sync(stop))
    return {
      transport: Transport.Transport.of({
        send: (request) => exchanges.send(request),
        open: (request) => exchanges.open(request)
      }),
      pools: ConnectionPools.of({
        snapshot: Effect.sync(() => exchanges.pools.snapshot()),
        renew: Effect.sync(() => exchanges.pools.renew())
      })
    }
  })
}

/** Whether a proxy is itself spoken to with TLS. */
const usesTls = (proxies: Proxy.Settings | undefined): boolean =>
  proxies?.http?.scheme === "https" || proxies?.https?.scheme === "https"

/** The options of TLS that hold for any peer. */
const pick = ({ ca, ciphers, maxVersion, minVersion, systemCa }: Tls.Options<unknown> = {}): Tls.Options => ({
  ca,
  ciphers,
  maxVersion,
  minVersion,
  systemCa
})

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
export const layer = <E = never>(options: Options<E> = {}): Layer.Layer<Transport.Transport | ConnectionPools, E> =>
  Layer.effectContext(
    Effect.map(make(options), ({ pools, transport }) =>
      Context.make(Transport.Transport, transport).pipe(Context.add(ConnectionPools, pools))
    )
  )

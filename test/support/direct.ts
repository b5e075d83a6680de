/**
 * The transport without a policy around it, and servers of the test's own process for what the test upstream does not do: HTTP/2,
 * coded bodies, and bodies that are written as the test says.
 */
import * as http from "node:http"
import * as http2 from "node:http2"
import { type AddressInfo, createServer, type Server, type Socket } from "node:net"
import { Duration, Effect } from "effect"
import type { Scope } from "effect"
import type { Transport } from "holdfast"
import { type ConnectionPools, NodeTransport } from "holdfast/node"
import { outOfTheWay } from "./calling.ts"
import { certificates } from "./certificates.ts"

export type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void

export interface Serving {
  readonly origin: string
  /** Connections that were opened. */
  readonly connections: () => number
}

const listening = (server: Server, scheme: "http" | "https"): Effect.Effect<Serving, never, Scope.Scope> => {
  let connections = 0
  const open = new Set<{ destroy: () => void }>()
  server.on("connection", (socket) => {
    connections++
    open.add(socket)
    socket.on("error", () => {})
    socket.once("close", () => open.delete(socket))
  })
  return Effect.acquireRelease(
    Effect.callback<Serving>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        // a server that listens on TCP has such an address
        const { port } = server.address() as AddressInfo
        const host = scheme === "https" ? "localhost" : "127.0.0.1"
        resume(Effect.succeed({ origin: `${scheme}://${host}:${port}`, connections: () => connections }))
      })
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of open) socket.destroy()
      })
  )
}

/** HTTP/1.1 without TLS. */
export const serve = (handler: Handler): Effect.Effect<Serving, never, Scope.Scope> =>
  Effect.suspend(() => listening(http.createServer(handler), "http"))

/** Bytes, as the test writes them. It hears of each piece that comes. */
export const serveBytes = (
  onBytes: (socket: Socket, bytes: Buffer, connection: number) => void,
  onConnection: (socket: Socket, connection: number) => void = () => {}
): Effect.Effect<Serving, never, Scope.Scope> =>
  Effect.suspend(() => {
    let connections = 0
    const server = createServer((socket) => {
      const connection = ++connections
      socket.on("data", (bytes) => onBytes(socket, bytes, connection))
      onConnection(socket, connection)
    })
    return listening(server, "http")
  })

export type StreamHandler = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void

/** HTTP/2 without TLS, for a client that knows of it. */
export const serveStreams = (
  handler: StreamHandler,
  options: http2.ServerOptions = {}
): Effect.Effect<Serving, never, Scope.Scope> =>
  Effect.suspend(() => {
    const server = http2.createServer(options)
    server.on("sessionError", () => {})
    server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
      stream.on("error", () => {})
      handler(stream, headers)
    })
    return listening(server, "http")
  })

/** HTTP/2 over TLS, and HTTP/1.1 with who cannot. */
export const serveHttp2 = (
  handler: Handler,
  options: http2.SecureServerOptions = {},
  onSession: (session: http2.ServerHttp2Session) => void = () => {}
): Effect.Effect<Serving, never, Scope.Scope> =>
  Effect.flatMap(certificates, ({ servers }) => {
    const server = http2.createSecureServer({ ...servers.good, allowHTTP1: true, ...options })
    server.on("sessionError", () => {})
    server.on("session", onSession)
    // Node's compatibility layer gives what an HTTP/1.1 handler takes, though its types differ
    server.on("request", handler as never)
    return listening(server, "https")
  })

export interface Direct {
  readonly send: (
    origin: string,
    request?: Partial<Transport.Request>
  ) => Effect.Effect<Transport.Response, Effect.Error<ReturnType<Transport.Transport["Service"]["send"]>>>
  readonly open: (
    origin: string,
    request?: Partial<Transport.Request>
  ) => ReturnType<Transport.Transport["Service"]["open"]>
  readonly pools: Effect.Effect<ReadonlyArray<ConnectionPools.Snapshot>>
  readonly renew: Effect.Effect<void>
}

const requestTo = (origin: string, given: Partial<Transport.Request>): Transport.Request => ({
  upstream: "payments",
  operation: "GET /",
  resend: 0,
  method: "GET",
  origin,
  path: "/",
  headers: {},
  body: undefined,
  expectedStatus: [],
  limits: { responseBytes: 16_777_216, errorBytes: 16_384, drainBytes: 262_144, drainTime: Duration.seconds(1) },
  ...given
})

/** A transport as the upstream's own code uses it, closed with the scope. */
export const direct = (options: NodeTransport.Options = {}): Effect.Effect<Direct, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { trustedRoot } = yield* certificates
    const { pools, transport } = yield* NodeTransport.make({
      ...outOfTheWay,
      drainTimeout: "50 millis",
      tls: { ca: trustedRoot },
      ...options
    })
    return {
      send: (origin, request = {}) => transport.send(requestTo(origin, request)),
      open: (origin, request = {}) => transport.open(requestTo(origin, request)),
      pools: pools.snapshot,
      renew: pools.renew
    }
  })

/** What a pool does besides counting what it did. */
export const busy = ({ idle, inFlight, open, opening, retiring, waiting }: ConnectionPools.Snapshot) => ({
  open,
  idle,
  opening,
  retiring,
  inFlight,
  waiting
})

/** Tries again until it holds, in real time; the caller bounds it. */
export const eventually = <A, E>(read: Effect.Effect<A, E>, holds: (value: A) => boolean): Effect.Effect<A, E> =>
  Effect.flatMap(read, (value) =>
    holds(value) ? Effect.succeed(value) : Effect.andThen(Effect.sleep(Duration.millis(5)), eventually(read, holds))
  )

/** A TLS server of this process, and what it saw. It reads what it is sent and answers with nothing. */
import { connect as connectTcp, createServer, type Server, type Socket } from "node:net"
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls"
import { Effect, Logger } from "effect"
import type { Scope } from "effect"

export interface Handshake {
  readonly isResumed: boolean
  /** The name that was asked for. */
  readonly servername: string | false
  readonly protocol: string | false
  readonly version: string | null
  /** Fingerprint of the client's certificate. */
  readonly client: string | undefined
}

export interface TestServer {
  readonly port: number
  /** The handshakes that the server was content with. */
  readonly handshakes: ReadonlyArray<Handshake>
  /** Bytes that came out of the encryption. */
  readonly receivedBytes: () => number
  readonly openConnections: () => number
  readonly connections: () => number
}

const listening = (server: Server): Effect.Effect<number> =>
  Effect.callback((resume) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

/** Makes a server that is closed, with its connections, when the scope is. */
export const tlsServer = (options: TlsOptions): Effect.Effect<TestServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const handshakes: Array<Handshake> = []
    const open = new Set<Socket>()
    let receivedBytes = 0
    let connections = 0
    const server = createTlsServer(options, (tls: TLSSocket) => {
      handshakes.push({
        isResumed: tls.isSessionReused(),
        // node gives it to servers too, though its type does not say so
        servername: "servername" in tls && typeof tls.servername === "string" ? tls.servername : false,
        protocol: tls.alpnProtocol ?? false,
        version: tls.getProtocol(),
        client: tls.getPeerX509Certificate()?.fingerprint256
      })
      tls.on("error", () => {})
      tls.on("data", (data: Buffer) => (receivedBytes += data.length))
    })
    server.on("connection", (socket: Socket) => {
      connections++
      open.add(socket)
      socket.once("close", () => open.delete(socket))
    })
    server.on("tlsClientError", () => {})
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        server.close()
        for (const socket of open) socket.destroy()
      })
    )
    const port = yield* listening(server)
    return {
      port,
      handshakes,
      receivedBytes: () => receivedBytes,
      openConnections: () => open.size,
      connections: () => connections
    }
  })

/** A server that treats each connection as it is told. */
export const plainServer = (serve: (socket: Socket) => void): Effect.Effect<TestServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const open = new Set<Socket>()
    let receivedBytes = 0
    let connections = 0
    const server = createServer((socket) => {
      connections++
      open.add(socket)
      socket.once("close", () => open.delete(socket))
      socket.on("error", () => {})
      socket.on("data", (data) => (receivedBytes += data.length))
      serve(socket)
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        server.close()
        for (const socket of open) socket.destroy()
      })
    )
    return {
      port: yield* listening(server),
      handshakes: [],
      receivedBytes: () => receivedBytes,
      openConnections: () => open.size,
      connections: () => connections
    }
  })

/** A connected TCP socket, destroyed with the scope. */
export const tcpTo = (port: number): Effect.Effect<Socket, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Socket>((resume) => {
      const socket = connectTcp(port, "127.0.0.1", () => resume(Effect.succeed(socket)))
      socket.once("error", (error) => resume(Effect.die(error)))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** Waits in real time, whatever the clock of the test is, until something holds; dies when it never does. */
export const eventually = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.promise(async () => {
    const endMillis = performance.now() + 30_000
    while (!holds()) {
      if (performance.now() > endMillis) throw new Error(`it never came to be that ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })

/** A moment of real time, for what must not happen. */
export const aMoment: Effect.Effect<void> = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 60)))

/** Collects what is logged, a line each. */
export const logged = (lines: Array<string>) =>
  Logger.layer([Logger.make(({ logLevel, message }) => void lines.push(`${logLevel}: ${String(message)}`))])

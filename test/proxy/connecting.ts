/**
 * What stands on both sides of a proxy in these tests: upstreams of this machine, and sockets that are connected to it.
 */
import { createServer as createHttpServer, request } from "node:http"
import type { RequestListener } from "node:http"
import { createServer as createHttpsServer } from "node:https"
import { connect } from "node:net"
import type { Server, Socket } from "node:net"
import { connect as connectTls } from "node:tls"
import { Effect } from "effect"
import type { Scope } from "effect"
import type { Certificates, KeyAndChain } from "../support/certificates.ts"

/** A server on a free port of the loopback, until the scope ends. */
export const listen = (make: () => Server): Effect.Effect<number, never, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<Socket>()
    const server = yield* Effect.acquireRelease(
      Effect.callback<Server>((resume) => {
        const server = make()
        server.on("connection", (socket: Socket) => {
          sockets.add(socket)
          // whatever a client does to its connection is no failure of this server
          socket.on("error", () => undefined)
          socket.once("close", () => sockets.delete(socket))
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    const address = server.address()
    if (address === null || typeof address === "string") throw new Error("a port was expected")
    return address.port
  })

const describing: RequestListener = (incoming, response) =>
  void response.end(JSON.stringify({ url: incoming.url, headers: incoming.headers }))

/** Says in JSON what it was asked. */
export const plainUpstream: Effect.Effect<number, never, Scope.Scope> = listen(() => createHttpServer(describing))

export const tlsUpstream = (identity: KeyAndChain): Effect.Effect<number, never, Scope.Scope> =>
  listen(() => createHttpsServer(identity, describing))

/** A socket that is connected to a proxy; to one that speaks TLS, when certificates are given. */
export const connectTo = (
  port: number,
  trusted?: Certificates
): Effect.Effect<Socket, NodeJS.ErrnoException, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Socket, NodeJS.ErrnoException>((resume) => {
      const ready = (): void => {
        socket.off("error", failed)
        resume(Effect.succeed(socket))
      }
      const failed = (error: NodeJS.ErrnoException): void => resume(Effect.fail(error))
      const socket: Socket =
        trusted === undefined
          ? connect(port, "127.0.0.1", ready)
          : connectTls({ port, host: "127.0.0.1", servername: "localhost", ca: trusted.trustedRoot }, ready)
      socket.once("error", failed)
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** A TLS connection to `localhost`, over a socket that leads there. */
export const secured = (socket: Socket, { trustedRoot }: Certificates): Effect.Effect<Socket, NodeJS.ErrnoException> =>
  Effect.callback((resume) => {
    const over = connectTls({ socket, servername: "localhost", ca: trustedRoot }, () => resume(Effect.succeed(over)))
    over.once("error", (error) => resume(Effect.fail(error)))
  })

export interface Heard {
  readonly status: number
  readonly body: string
}

/** One GET over a socket. */
export const get = (
  socket: Socket,
  path: string,
  headers: Record<string, string>
): Effect.Effect<Heard, NodeJS.ErrnoException> =>
  Effect.callback((resume) => {
    const sent = request({ createConnection: () => socket, path, headers, setHost: false }, (response) => {
      let body = ""
      response.setEncoding("utf8")
      response.on("data", (chunk: string) => (body += chunk))
      response.once("end", () => resume(Effect.succeed({ status: response.statusCode ?? 0, body })))
    })
    sent.once("error", (error) => resume(Effect.fail(error)))
    sent.end()
  })

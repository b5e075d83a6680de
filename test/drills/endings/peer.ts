/** The servers of the drill: sockets that are written to as a case says, one server for each case. */
import { createServer } from "node:net"
import type { Server, Socket } from "node:net"
import * as tls from "node:tls"
import { Effect } from "effect"
import type { Scope } from "effect"
import type { Certificates } from "../../support/certificates.ts"
import type { Case } from "./cases.ts"
import { isHttp2, isTls } from "./cases.ts"
import { speakHttp1 } from "./http1Peer.ts"
import { speakHttp2 } from "./http2Peer.ts"
import { lineOf } from "./line.ts"

export interface Peer {
  readonly url: string
  readonly connections: () => number
  readonly open: () => number
  /** Requests that it has seen, and could answer. */
  readonly requests: () => number
}

export const peerOf = (given: Case, certificates: Certificates): Effect.Effect<Peer, never, Scope.Scope> => {
  const open = new Set<Socket>()
  const counts = { connections: 0, requests: 0 }
  const secureContext = isTls(given.protocol) ? tls.createSecureContext(certificates.servers.good) : undefined
  const isFirst = (): boolean => counts.requests++ === 0
  const speak = isHttp2(given.protocol) ? speakHttp2 : speakHttp1
  const server: Server = createServer({ noDelay: true }, (socket) => {
    counts.connections++
    open.add(socket)
    socket.once("close", () => open.delete(socket))
    socket.on("error", () => {})
    if (secureContext === undefined) {
      speak(lineOf(given, socket, socket, isFirst))
      return
    }
    const secure = new tls.TLSSocket(socket, {
      isServer: true,
      secureContext,
      ALPNProtocols: [isHttp2(given.protocol) ? "h2" : "http/1.1"]
    })
    secure.on("error", () => {})
    secure.once("secure", () => speak(lineOf(given, socket, secure, isFirst)))
  })
  return Effect.acquireRelease(
    Effect.callback<Peer>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(
          Effect.succeed({
            url: secureContext === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`,
            connections: () => counts.connections,
            open: () => open.size,
            requests: () => counts.requests
          })
        )
      })
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of open) socket.destroy()
      })
  )
}

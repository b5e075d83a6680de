/** Servers at chosen addresses of the loopback, and names that stand for them. */
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { Effect, Layer } from "effect"
import type { Scope } from "effect"
import type { HttpPolicy, Upstream } from "holdfast"
import { NameResolver, type NodeTransport } from "holdfast/node"
import { callingThrough, nodeTransport } from "./calling.ts"

export interface Addressed {
  readonly port: number
  /** The address of each connection that was opened, in this order. */
  readonly connections: ReadonlyArray<string>
  /** The address that each request came to. */
  readonly requests: ReadonlyArray<string>
  readonly open: () => number
}

/** Servers on one port at each of these addresses; each says which it is, unless it is told otherwise. */
export const serversAt = (
  addresses: ReadonlyArray<string>,
  handler?: RequestListener,
  /** Default: any that is free. */
  wantedPort = 0
): Effect.Effect<Addressed, never, Scope.Scope> =>
  Effect.gen(function* () {
    const connections: Array<string> = []
    const requests: Array<string> = []
    const sockets = new Set<Socket>()
    let port = wantedPort
    for (const address of addresses) {
      port = yield* Effect.acquireRelease(
        Effect.callback<{ readonly port: number; readonly close: Effect.Effect<void> }>((resume) => {
          const server = createServer((request, response) => {
            requests.push(address)
            if (handler === undefined) response.end(address)
            else handler(request, response)
          })
          server.on("connection", (socket) => {
            connections.push(address)
            sockets.add(socket)
            socket.on("error", () => {})
            socket.once("close", () => sockets.delete(socket))
          })
          server.once("error", (error) => resume(Effect.die(error)))
          server.listen(port, address, () => {
            // a server that listens on TCP has such an address
            const { port } = server.address() as AddressInfo
            const close = Effect.callback<void>((resume) => {
              server.close(() => resume(Effect.void))
              server.closeAllConnections()
            })
            resume(Effect.succeed({ port, close }))
          })
        }),
        ({ close }) => close
      ).pipe(Effect.map(({ port }) => port))
    }
    return { port, connections, requests, open: () => sockets.size }
  })

/** One attempt, and no bound but those of the transport. */
export const once: HttpPolicy.Options = { retry: false, attemptTimeout: false, deadline: false, breaker: false }

/** An upstream whose names are these. */
export const callingWith = (
  names: Layer.Layer<never>,
  url: string,
  transport: NodeTransport.Options = {},
  policy: HttpPolicy.Options = once
): Effect.Effect<Upstream.Upstream, never, Scope.Scope> =>
  callingThrough(Layer.provide(nodeTransport({ url }, transport), names), { url }, { policy })

/** No names at all. */
export const noNames: Layer.Layer<never> = NameResolver.layerStatic({})

import type { Socket } from "node:net"
import { buildConnector } from "undici"
import type { Connected } from "./connection.ts"
import { endWithAlert, isItself, refused, SelfConnectionError } from "./connector.ts"
import type { Connect } from "./pool.ts"
import { TLSSocket } from "node:tls"

export const makeConnect = (
  origin: string,
  settings: { readonly tls: object | undefined; readonly mayMultiplex: boolean }
): Connect => {
  const url = new URL(origin)
  const open = buildConnector({ ...settings.tls, allowH2: settings.mayMultiplex, timeout: 0 })
  return (done) => {
    const begun = performance.now()
    let socket: Socket | undefined
    const later = (error: unknown, connected: Connected | undefined): void =>
      queueMicrotask(() => done(error, connected))
    try {
      socket = open(
        { hostname: url.hostname.replace(/^\[|\]$/g, ""), host: url.host, protocol: url.protocol, port: url.port },
        (...[error, socket]) => {
          if (error !== null) done(refused(error), undefined)
          else if (isItself(socket)) {
            socket.destroy()
            done(new SelfConnectionError(), undefined)
          } else {
            if (socket instanceof TLSSocket) endWithAlert(socket)
            done(undefined, {
              socket,
              protocol: "alpnProtocol" in socket && socket.alpnProtocol === "h2" ? "http/2" : "http/1.1",
              peer: `${socket.remoteAddress}:${socket.remotePort}`,
              dnsMillis: undefined,
              connectMillis: performance.now() - begun,
              tlsMillis: undefined
            })
          }
        }
      ) as unknown as Socket
    } catch (error) {
      later(error, undefined)
    }
    return { leave: () => void socket?.destroy() }
  }
}

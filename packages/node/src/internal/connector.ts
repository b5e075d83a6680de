import type { Socket } from "node:net"
import { TLSSocket } from "node:tls"
import { buildConnector } from "undici"

/** The connection was not made within the limit. */
export class ConnectTimeoutError extends Error {
  readonly limitMillis: number
  constructor(limitMillis: number) {
    super(`no connection within ${limitMillis}ms`)
    this.limitMillis = limitMillis
  }
}

/** The server ended the handshake when it had seen what the client shows of itself. */
export class ClientRefusedError extends Error {
  readonly code: string
  constructor(cause: NodeJS.ErrnoException) {
    super("the server ended the handshake after its own part of it", { cause })
    this.code = cause.code ?? "ERR_SSL_HANDSHAKE_FAILURE"
  }
}

/** Nothing listens, and the operating system joined the socket to itself. */
export class SelfConnectionError extends Error {
  readonly code = "ECONNREFUSED"
  constructor() {
    super("nothing listens at that port; the connection is to itself")
  }
}

export interface Connector {
  readonly connect: buildConnector.connector
  /** Leaves every connection that is not made yet. Nobody is told: whoever waited for one is gone. */
  readonly close: () => void
}

/**
 * undici's connector, with a timer of our own over name resolution, TCP and TLS together: undici's is up to a second late.
 */
export const makeConnector = (options: buildConnector.BuildOptions, limitMillis: number): Connector => {
  const open = buildConnector({ ...options, timeout: 0 })
  const connecting = new Set<() => void>()
  return {
    connect: (target, callback) => {
      const socket = opened(
        open(target, (...[error, connected]) => {
          // false when it was left in the meantime
          if (!connecting.delete(leave)) return
          clearTimeout(timer)
          if (error !== null) {
            callback(refusesClient(error, socket) ? new ClientRefusedError(error) : error, null)
            return
          }
          if (isItself(connected)) {
            connected.destroy()
            callback(new SelfConnectionError(), null)
            return
          }
          if (connected instanceof TLSSocket) endWithAlert(connected)
          callback(null, connected)
        })
      )
      // after `open`, which throws for a certificate that cannot be read, and tells nobody else
      const leave = (): void => {
        clearTimeout(timer)
        connecting.delete(leave)
        socket.destroy()
      }
      const timer = setTimeout(() => {
        leave()
        callback(new ConnectTimeoutError(limitMillis), null)
      }, limitMillis)
      connecting.add(leave)
    },
    close: () => {
      for (const leave of connecting) leave()
    }
  }
}

/** undici's connector gives the socket that it opens, though its type does not say so. */
const opened = (socket: unknown): Socket => socket as Socket

/**
 * A port that the kernel also gives to clients may be given to the very client that calls it: where nothing listens, TCP
 * then connects the socket to itself (simultaneous open, RFC 9293 §3.5), and the request comes back as the response.
 */
export const isItself = (socket: Socket): boolean =>
  socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress

/**
 * Up to TLS 1.2 a server that misses the client's certificate says `handshake_failure` (RFC 5246 §7.4.6), which is also what
 * it says when there is no common cipher. Once it has shown its own certificate, version and cipher were agreed upon.
 */
const refusesClient = (error: Error, socket: Socket): boolean =>
  /\bSSL alert number 40\b/.test(error.message) &&
  socket instanceof TLSSocket &&
  socket.getPeerX509Certificate() !== undefined

/**
 * In TLS 1.3 a server judges the client's certificate after the client's handshake is done. Its alert then comes as an
 * `error` of a socket that stays open, and what undici reports is the end of the connection a moment later. A socket that
 * is destroyed with the alert has no later error, so that the alert is what is reported.
 */
export const endWithAlert = (socket: TLSSocket): void => {
  socket.once("error", (alert) => socket.destroy(alert))
}

export const refused = (e: Error) => e

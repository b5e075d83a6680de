/** How a proxy is asked for a tunnel, and what its refusal means. */

import { request, STATUS_CODES } from "node:http"
import type { Socket } from "node:net"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as FailureClassifier from "@holdfast/http/FailureClassifier"
import { NameResolutionError } from "../../NameResolver.ts"
import type { ProxyTarget } from "../../Proxy.ts"

/**
 * The proxy did not let us through: with the `status` that it answered, with the `cause` why it could not be reached or
 * understood, or with neither when it closed the connection without an answer.
 */
export class ProxyError extends Data.TaggedError("ProxyError")<{
  /** Host and port of the proxy. */
  readonly proxy: string
  readonly status?: number
  readonly cause?: unknown
}> {
  override get message() {
    return `${this.proxy} ${whatHappened(this)}`
  }
}

export interface TunnelOptions {
  readonly proxy: ProxyTarget
  /** Host and port behind the proxy, an IPv6 address in brackets: `payments.internal:443`. */
  readonly target: string
}

/**
 * Asks a proxy for a tunnel, over a socket that is connected to it and that nobody reads, and gives the same socket back: from
 * now on it carries the target's bytes. Any failure, and an interruption, destroys it.
 *
 * It has no limit in time: its caller has one, and interrupts.
 *
 * The socket comes back without a listener. The receiver must listen to its errors in the same turn: an `error` that
 * nobody hears ends the process.
 */
export const tunnel = (socket: Socket, { proxy, target }: TunnelOptions): Effect.Effect<Socket, ProxyError> =>
  Effect.callback((resume) => {
    const fail = (why: { readonly status?: number; readonly cause?: unknown }): void => {
      socket.destroy()
      resume(Effect.fail(stackless(() => new ProxyError({ proxy: proxy.endpoint, ...why }))))
    }
    // one that has closed says so once, and `request` would wait for it
    if (socket.destroyed) {
      fail({})
      return undefined
    }
    const connect = request({
      method: "CONNECT",
      path: target,
      // RFC 9112 §3.2.3: the target is also the Host
      headers: { host: target, ...proxyHeaders(proxy) },
      setHost: false,
      // given instead of an agent, which would keep the socket
      createConnection: () => socket
    })
    // `close` is Node's word for want of an agent, and a proxy may take it at its word when it has answered
    connect.removeHeader("connection")
    connect.once("connect", (response, _, head: Buffer) => {
      const status = response.statusCode ?? 0
      // RFC 9110 §9.3.6: any success is a tunnel
      if (status < 200 || status > 299) {
        fail({ status })
        return
      }
      if (head.length > 0) socket.unshift(head)
      resume(Effect.succeed(socket))
    })
    // it also hears of the request's end by an interruption, and nobody waits for that
    connect.on("error", (cause) => fail(isHangUp(cause) ? {} : { cause: withoutPacket(cause) }))
    connect.end()
    return Effect.sync(() => socket.destroy())
  })

/**
 * The target of a request that a proxy is to make, rather than pass on (RFC 9112 §3.2.2): the whole URL. Its `host` header is
 * the origin's, as it would be without a proxy.
 */
export const absoluteForm = (origin: string, path: string): string => {
  // `OPTIONS *` asks about the server as a whole; through a proxy that is its URL without a path (RFC 9112 §3.2.4)
  if (path === "*") return origin
  return path.startsWith("/") ? origin + path : `${origin}/${path}`
}

/** Further headers for a proxy, in the clear; names in lower case. */
export const proxyHeaders = (proxy: ProxyTarget): Record<string, string> => {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(proxy.headers)) headers[name] = Redacted.value(value)
  return headers
}

/** The reason when a proxy did not let the call through to `endpoint`. */
export const proxyReason = (error: ProxyError, endpoint: string): Reason.ProxyFailed => {
  const code = error.status === undefined ? codeOf(error.cause) : String(error.status)
  return stackless(
    () =>
      new Reason.ProxyFailed({
        endpoint,
        phase: "connect",
        detail: error.message,
        ...(code === undefined ? {} : { code })
      })
  )
}

const whatHappened = (error: {
  readonly status?: number
  readonly cause?: unknown
  readonly proxy: string
}): string => {
  if (error.status !== undefined) {
    // our phrase, not the proxy's: that may hold anything
    const phrase = STATUS_CODES[error.status]
    return `answered ${error.status}${phrase === undefined ? "" : ` ${phrase}`}`
  }
  if (error.cause === undefined) return "closed the connection before it answered"
  if (codeOf(error.cause) === "HPE_HEADER_OVERFLOW") return "answered with a head that is too long"
  if (error.cause instanceof NameResolutionError) return "could not be resolved"
  const { _tag } = FailureClassifier.classify(error.cause, { endpoint: error.proxy, phase: "connect" })
  switch (_tag) {
    case "NameResolutionFailed":
      return "could not be resolved"
    case "ConnectionRefused":
      return "refused the connection"
    case "ConnectionTimedOut":
      return "did not take the connection"
    case "ConnectionReset":
      return "reset the connection"
    case "ConnectionClosed":
      return "closed the connection before it answered"
    case "NetworkUnreachable":
      return "cannot be reached"
    case "MalformedResponse":
      return "answered in something that is not HTTP"
    default:
      return `failed with ${_tag}`
  }
}

const codeOf = (cause: unknown): string | undefined =>
  Predicate.isObject(cause) && "code" in cause && Predicate.isString(cause.code) ? cause.code : undefined

/** Node gives a connection that has ended the code of one that was reset; only the system's own error names its call. */
const isHangUp = (cause: Error): boolean => codeOf(cause) === "ECONNRESET" && !("syscall" in cause)

/** Node's parser adds the text that it could not read, in which a proxy may have repeated a header that it was sent. */
const withoutPacket = (cause: Error): Error => {
  if (!("rawPacket" in cause)) return cause
  const { message } = cause
  return Object.assign(
    stackless(() => new Error(message)),
    { code: codeOf(cause) }
  )
}

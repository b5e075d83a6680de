/**
 * Carries one attempt: undici (`NodeTransport`), any Effect `HttpClient` (`HttpClientTransport`), or a test's script
 * (`ScriptedTransport`). It is the one service that a test swaps, and the pipeline above never knows which it has.
 *
 * **When to use**: to give upstreams their way to the network, and to write a transport of your own.
 *
 * **What it is not**: a policy. A transport makes exactly one exchange, reads the body within its bounds, and says how it
 * went. It neither retries nor follows redirects.
 *
 * **Gotchas**: an interrupted `send` must abort the exchange on the wire, and a response that is not read to its end must
 * be aborted too: that is how a pool stays alive.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { TransportReason } from "@holdfast/core/Reason"

/**
 * The body to send: text (UTF-8), bytes, or a stream that is run anew for every attempt.
 *
 * @category models
 * @since 0.1.0
 */
export type Body = string | Uint8Array | Stream.Stream<Uint8Array, unknown>

/**
 * How much of a response is read.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limits {
  /** A successful response with more bytes than this fails with `ResponseTooLarge`. Default 16 MiB. */
  readonly responseBytes: number
  /** How many bytes of the body of an error status are kept. Default 16 KiB. */
  readonly errorBytes: number
  /**
   * An error body longer than this is aborted, which costs its connection; a shorter one is read to its end, so that the
   * connection can be used again. Default 256 KiB.
   */
  readonly drainBytes: number
  /** An error body that takes longer than this is aborted. Default 1 s. */
  readonly drainTime: Duration.Duration
}

/**
 * One attempt, ready to be sent.
 *
 * @category models
 * @since 0.1.0
 */
export interface Request {
  /** Name of the upstream. */
  readonly upstream: string
  /** Method and path template. */
  readonly operation: string
  /** 0 for the first attempt of a call, 1 for the first retry. */
  readonly resend: number
  readonly method: string
  /** Scheme, host and port: `https://payments.internal:8443`. */
  readonly origin: string
  /** Path and query, encoded. */
  readonly path: string
  /** Names in lower case. */
  readonly headers: { readonly [name: string]: string }
  readonly body: Body | undefined
  /** Statuses below 300, `304` and these are expected: their body is read whole. Of any other, its beginning is kept. */
  readonly expectedStatus: ReadonlyArray<number>
  readonly limits: Limits
  /**
   * Whether it must go over a connection that was made for it: the one that it went over before was stale (see `stale` of the
   * reasons). Default: over any that is free.
   */
  readonly freshConnection?: boolean | undefined
  /** Hears once, when the exchange has ended in any way, how long its phases took. Left out, nothing is measured. */
  readonly onTimings?: ((timings: PhaseTimings) => void) | undefined
}

/**
 * How long the phases of one exchange took, in milliseconds with a fraction. A phase that was not reached, or that a
 * transport cannot tell, is left out.
 *
 * @category models
 * @since 0.1.0
 */
export interface PhaseTimings {
  /** Whether the connection was made for this exchange, or had served another before. Left out when it never got one. */
  readonly connection?: "new" | "reused" | undefined
  /** The protocol on it. */
  readonly protocol?: "http/1.1" | "http/2" | undefined
  /** Address and port of the peer, which is the proxy's where one is used: `10.0.0.7:443`. */
  readonly peer?: string | undefined
  /** Waiting for a connection: in the queue of the pool, and for the phases of a new one. */
  readonly queueMillis?: number | undefined
  /** Resolving the name; only of a new connection, like the next two. */
  readonly dnsMillis?: number | undefined
  /** Connecting: TCP, and the tunnel through a proxy. */
  readonly connectMillis?: number | undefined
  /** The TLS handshake. */
  readonly tlsMillis?: number | undefined
  /** Sending the request, its body included. */
  readonly sendMillis?: number | undefined
  /** From the end of the request to the headers of the response. */
  readonly waitMillis?: number | undefined
  /** From the headers to the end of the body. */
  readonly receiveMillis?: number | undefined
}

/**
 * Headers by their names in lower case.
 *
 * @category models
 * @since 0.1.0
 */
export interface Headers {
  readonly [name: string]: string
}

/**
 * The response of an exchange.
 *
 * @category models
 * @since 0.1.0
 */
export interface Response {
  readonly status: number
  /** Names in lower case; values of a repeated header joined by `, `. Without `set-cookie`, whose values cannot be joined. */
  readonly headers: Headers
  /** Each `set-cookie` as it came. Left out where there is none. */
  readonly setCookies?: ReadonlyArray<string> | undefined
  readonly body: Uint8Array
  /** Whether `body` is the whole of it; an error status may keep only its beginning. */
  readonly bodyComplete: boolean
  /** Headers that came behind the body. Left out where there are none. */
  readonly trailers?: Headers | undefined
}

/**
 * A response whose body has not been read.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenResponse {
  readonly status: number
  /** Names in lower case; values of a repeated header joined by `, `. Without `set-cookie`, whose values cannot be joined. */
  readonly headers: Headers
  /** Each `set-cookie` as it came. Left out where there is none. */
  readonly setCookies?: ReadonlyArray<string> | undefined
  /** Headers that came behind the body, once its stream has ended. Left out by a transport that does not tell. */
  readonly trailers?: (() => Headers | undefined) | undefined
  /** The body, which can be read once, and comes no faster than it is read. Leaving it early aborts the exchange. */
  readonly stream: Stream.Stream<Uint8Array, TransportReason>
}

/**
 * The service. `send` makes one exchange; any status is a success of it. `open` makes one whose body is left to be read as
 * a stream for as long as the scope is open, and aborted with it; a status that is not expected comes whole, as from `send`.
 *
 * @category services
 * @since 0.1.0
 */
export class Transport extends Context.Service<
  Transport,
  {
    readonly send: (request: Request) => Effect.Effect<Response, TransportReason>
    readonly open: (request: Request) => Effect.Effect<Response | OpenResponse, TransportReason, Scope.Scope>
  }
>()("@holdfast/http/Transport") {}

/**
 * Makes a transport of a `send` that reads bodies whole, for a script or a client without streams: `open` then reads the
 * body, within the same limits, before it gives it.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Transport } from "holdfast"
 *
 * const hello = Transport.fromSend(() =>
 *   Effect.succeed({ status: 200, headers: {}, body: new TextEncoder().encode("hello"), bodyComplete: true })
 * )
 * console.log(Object.keys(hello)) // => [ 'send', 'open' ]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromSend = (
  send: (request: Request) => Effect.Effect<Response, TransportReason>
): Transport["Service"] => ({
  send,
  open: (request) =>
    Effect.map(send(request), (response) =>
      isExpected(request, response.status)
        ? {
            status: response.status,
            headers: response.headers,
            setCookies: response.setCookies,
            trailers: () => response.trailers,
            stream: Stream.succeed(response.body)
          }
        : response
    )
})

/**
 * Whether the body of a response with this status is wanted whole.
 *
 * @category getters
 * @since 0.1.0
 */
export const isExpected = (request: Pick<Request, "expectedStatus">, status: number): boolean =>
  status < 300 || status === 304 || request.expectedStatus.includes(status)

/**
 * Host and port of an origin, as errors name it: `payments.internal:443`.
 *
 * ```ts
 * import { Transport } from "holdfast"
 *
 * console.log(Transport.endpointOf("https://payments.internal")) // => payments.internal:443
 * console.log(Transport.endpointOf("http://127.0.0.1:8080")) // => 127.0.0.1:8080
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const endpointOf = (origin: string): string => {
  const start = origin.indexOf("://") + 3
  const host = origin.slice(start)
  if (/:\d+$/.test(host)) return host
  return `${host}:${origin.startsWith("https:") ? 443 : 80}`
}

/**
 * Where an origin leads.
 *
 * @category models
 * @since 0.1.0
 */
export interface Server {
  readonly scheme: "http" | "https"
  /** Name or address; an IPv6 address without brackets. */
  readonly host: string
  /** The scheme's own, where the origin names none. */
  readonly port: number
}

/**
 * An origin taken apart, as name servers, sockets and the attributes of telemetry have it.
 *
 * ```ts
 * import { Transport } from "holdfast"
 *
 * console.log(Transport.serverOf("https://[2001:db8::1]")) // => { scheme: 'https', host: '2001:db8::1', port: 443 }
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const serverOf = (origin: string): Server => {
  const { hostname, port, protocol } = new URL(origin)
  const scheme = protocol === "https:" ? "https" : "http"
  return {
    scheme,
    host: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? (scheme === "https" ? 443 : 80) : Number(port)
  }
}

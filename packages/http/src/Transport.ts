/**
 * What carries one attempt: undici (`NodeTransport`), any Effect `HttpClient` (`HttpClientTransport`), or a test's script
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
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { TransportReason } from "@holdfast/core/Reason"

/**
 * What is sent as the body: text (UTF-8), bytes, or a stream that is run anew for every attempt.
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
  /** Statuses below 400 and these are successes: their body is read whole. */
  readonly expectedStatus: ReadonlyArray<number>
  readonly limits: Limits
}

/**
 * What came back.
 *
 * @category models
 * @since 0.1.0
 */
export interface Response {
  readonly status: number
  /** Names in lower case; values of a repeated header joined by `, `. */
  readonly headers: { readonly [name: string]: string }
  readonly body: Uint8Array
  /** Whether `body` is the whole of it; an error status may keep only its beginning. */
  readonly bodyComplete: boolean
}

/**
 * The service. `send` makes one exchange; any status is a success of it.
 *
 * @category services
 * @since 0.1.0
 */
export class Transport extends Context.Service<
  Transport,
  {
    readonly send: (request: Request) => Effect.Effect<Response, TransportReason>
  }
>()("@holdfast/http/Transport") {}

/**
 * Whether the body of a response with this status is wanted whole.
 *
 * @category getters
 * @since 0.1.0
 */
export const isExpected = (request: Pick<Request, "expectedStatus">, status: number): boolean =>
  status < 400 || request.expectedStatus.includes(status)

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

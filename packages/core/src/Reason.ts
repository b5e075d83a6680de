/**
 * The reasons why a call can fail, one Schema class each.
 *
 * A `CallError` holds exactly one of them in its `reason`, so `Effect.catchReason("CallError", "NotFound", …)` picks one
 * out, and every one encodes, decodes and prints in one line.
 *
 * **When to use**: to recover from one kind of failure, or to build one in a test. **What it is not**: the judgement on a
 * reason (is it worth another try? may the request have been applied?) is data, in `ErrorCatalog`.
 *
 * **Gotchas**: reasons and `CallError` carry no stack: they are made on hot paths, and the frames would be this
 * library's. Where a call was made is said by its operation, and by the spans of `Effect.fn`.
 *
 * @since 0.1.0
 */

import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { Entry } from "./internal/outcome/errorEntry.ts"
import { nothingSent } from "./internal/outcome/nothingSent.ts"
import { type Problem, type ProblemEncoded, problemSchema } from "./internal/outcome/problemSchema.ts"
import * as Nesting from "./Nesting.ts"
import { oneLine } from "./OneLine.ts"

/**
 * How far an attempt had come: `connect` covers name resolution, TCP and TLS, so nothing of the request was sent;
 * `send` that part of the request may have left; `wait` that all of it had; `receive` that the response had begun.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Phase = Schema.Literals(["connect", "send", "wait", "receive"])

/**
 * How far an attempt had come.
 *
 * @category models
 * @since 0.1.0
 */
export type Phase = typeof Phase.Type

const transportFields = {
  /** Host and port that was called, without path or credentials: `payments.internal:443`. */
  endpoint: Schema.String,
  /** How far the attempt had come. */
  phase: Phase,
  /** The code that the platform gave: `ECONNREFUSED`, `CERT_HAS_EXPIRED`. */
  code: Schema.optionalKey(Schema.String),
  /** Anything else that the platform said, when it is known to hold no secret. */
  detail: Schema.optionalKey(Schema.String),
  /**
   * True when the connection had answered others before and ended before a byte of this answer came: it was stale. That says
   * nothing of the upstream, which may end a connection that it does not use.
   */
  stale: Schema.optionalKey(Schema.Boolean),
  /** True when it is certain that the server did nothing with the request, though part of it may have been sent. */
  unprocessed: Schema.optionalKey(Schema.Boolean)
}

const transportLine = (
  reason: {
    readonly endpoint: string
    readonly phase: Phase
    readonly code?: string
    readonly detail?: string
    readonly stale?: boolean
    readonly unprocessed?: boolean
  },
  what: string
): string => {
  const code = reason.code === undefined ? "" : ` [${reason.code}]`
  const detail = reason.detail === undefined ? "" : ` (${reason.detail})`
  const stale = reason.stale === true ? ", on a connection that had been used before" : ""
  const unprocessed = reason.unprocessed === true ? "; the server did nothing with the request" : ""
  return oneLine(`${reason.endpoint}: ${what}${code}${detail}, in phase ${reason.phase}${stale}${unprocessed}`)
}

const endedFields = {
  ...transportFields,
  /** True when the head of the response had begun, and was not whole. */
  inHead: Schema.optionalKey(Schema.Boolean)
}

const refusalFields = {
  /** When another try may be let through, when that is known. */
  retryAfter: Schema.optionalKey(Schema.DurationFromMillis),
  /** The figures behind the refusal, in words: `24 of 25 attempts failed in the last 10s`. */
  detail: Schema.optionalKey(Schema.String)
}

const refusalLine = (
  reason: { readonly retryAfter?: Duration.Duration; readonly detail?: string },
  what: string
): string => {
  const detail = reason.detail === undefined ? "" : ` (${reason.detail})`
  const next = reason.retryAfter === undefined ? "" : `; next try in ${Duration.format(reason.retryAfter)}`
  return oneLine(`${what}${detail}${next}${nothingSent}`)
}

/** Data of others within an error: as deep as an error carries it, so that it can be encoded and printed wherever it came from. */
const Carried: Schema.Codec<unknown> = Schema.Unknown.pipe(
  Schema.decodeTo(
    Schema.Unknown,
    SchemaTransformation.transform({
      decode: (value: unknown) => Nesting.cut(value),
      encode: (value: unknown) => Nesting.cut(value)
    })
  )
)

/** The members as {@link Carried}; the standard's own members have no depth. */
const carriedProblem = <P extends Problem>(problem: P): P =>
  // cutting changes extensions only, whose type is unknown
  Nesting.cut(problem) as P

const CarriedProblem: Schema.Codec<Problem, ProblemEncoded> = problemSchema.pipe(
  Schema.decodeTo(
    Schema.toType(problemSchema),
    SchemaTransformation.transform({ decode: carriedProblem, encode: carriedProblem })
  )
)

const statusFields = {
  /** Host and port that answered. */
  endpoint: Schema.String,
  /** Response headers, lower-case names; headers that carry secrets are redacted. */
  headers: Schema.Record(Schema.String, Schema.String),
  /** The body, or its beginning: see `bodyComplete`. */
  body: Schema.String,
  /** Whether `body` is the whole of it. */
  bodyComplete: Schema.Boolean,
  /** The body as problem details (RFC 9457), when it is such. Encoded, no deeper than `Nesting.maxCarriedLevels`. */
  problem: Schema.optionalKey(CarriedProblem),
  /** How long the server asked to wait before the next try. */
  retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
}

/** The most characters of a text of others that a line repeats; the whole of it is in the field. */
const longestQuoted = 1000

const bounded = (text: string): string => (text.length <= longestQuoted ? text : `${text.slice(0, longestQuoted)}…`)

const statusLine = (reason: {
  readonly _tag: string
  readonly endpoint: string
  readonly status: number
  readonly problem?: Problem
  readonly retryAfter?: Duration.Duration
}): string => {
  const said = reason.problem?.detail ?? reason.problem?.title
  const quoted = said === undefined ? "" : `: "${bounded(said)}"`
  const wait = reason.retryAfter === undefined ? "" : ` (asked to wait ${Duration.format(reason.retryAfter)})`
  const name = reason._tag.endsWith("ErrorStatus") ? "" : ` ${reason._tag}`
  return oneLine(`${reason.endpoint} answered ${reason.status}${name}${quoted}${wait}`)
}

/**
 * Network: the name could not be resolved.
 *
 * @category errors
 * @since 0.1.0
 */
export class NameResolutionFailed extends Schema.TaggedError<NameResolutionFailed>()(
  "NameResolutionFailed",
  transportFields
) {
  override get message() {
    return transportLine(this, "the name could not be resolved")
  }
}

/**
 * Network: nothing listens at that address, or a firewall refuses.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionRefused extends Schema.TaggedError<ConnectionRefused>()("ConnectionRefused", transportFields) {
  override get message() {
    return transportLine(this, "connection refused")
  }
}

/**
 * Network: the operating system gave up on the connection (ETIMEDOUT).
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionTimedOut extends Schema.TaggedError<ConnectionTimedOut>()(
  "ConnectionTimedOut",
  transportFields
) {
  override get message() {
    return transportLine(this, "the operating system gave up on the connection")
  }
}

/**
 * Network: the peer reset the connection.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionReset extends Schema.TaggedError<ConnectionReset>()("ConnectionReset", endedFields) {
  override get message() {
    return transportLine(
      this,
      this.inHead === true ? "connection reset within the head of the response" : "connection reset"
    )
  }
}

/**
 * Network: the peer closed the connection before the response began, or within its head.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionClosed extends Schema.TaggedError<ConnectionClosed>()("ConnectionClosed", endedFields) {
  override get message() {
    const where = this.inHead === true ? "within the head of the response" : "before the response began"
    return transportLine(this, `connection closed ${where}`)
  }
}

/**
 * Network: there is no route to the address.
 *
 * @category errors
 * @since 0.1.0
 */
export class NetworkUnreachable extends Schema.TaggedError<NetworkUnreachable>()(
  "NetworkUnreachable",
  transportFields
) {
  override get message() {
    return transportLine(this, "there is no route to the address")
  }
}

/**
 * Network: the proxy refused or failed to open the connection.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProxyFailed extends Schema.TaggedError<ProxyFailed>()("ProxyFailed", transportFields) {
  override get message() {
    return transportLine(this, "the proxy refused or failed to open the connection")
  }
}

/**
 * Network: the transport failed with an error that no other reason describes.
 *
 * @category errors
 * @since 0.1.0
 */
export class TransportFailed extends Schema.TaggedError<TransportFailed>()("TransportFailed", transportFields) {
  override get message() {
    return transportLine(this, "the transport failed in an unknown way")
  }
}

/**
 * Network: every connection is in use and the queue for one is full.
 *
 * @category errors
 * @since 0.1.0
 */
export class PoolExhausted extends Schema.TaggedError<PoolExhausted>()("PoolExhausted", {
  endpoint: Schema.String,
  /** Connections that the pool may open to this endpoint. */
  connections: Schema.Int,
  /** Calls that were waiting for one. */
  queued: Schema.Int,
  /** How long this call had waited for one; left out when it was refused at once. */
  waited: Schema.optionalKey(Schema.DurationFromMillis)
}) {
  override get message() {
    const waited = this.waited === undefined ? "" : `no connection came free within ${Duration.format(this.waited)}: `
    return oneLine(
      `${this.endpoint}: ${waited}all ${this.connections} connections are in use and ${this.queued} calls wait for one`
    )
  }
}

/**
 * Network: the addresses that may be called do not include this one. Nothing was sent to it.
 *
 * @category errors
 * @since 0.1.0
 */
export class AddressDenied extends Schema.TaggedError<AddressDenied>()("AddressDenied", {
  endpoint: Schema.String,
  /** The refused address: the one that the name stood for, or the endpoint itself. */
  address: Schema.String,
  /** The rule that refuses it, in words: `loopback is denied`. */
  rule: Schema.String
}) {
  override get message() {
    return oneLine(`${this.endpoint}: ${this.address} may not be called (${this.rule})${nothingSent}`)
  }
}

/**
 * TLS: a certificate of the server's chain has expired.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificateExpired extends Schema.TaggedError<CertificateExpired>()(
  "CertificateExpired",
  transportFields
) {
  override get message() {
    return transportLine(this, "a certificate of the server's chain has expired")
  }
}

/**
 * TLS: a certificate of the server's chain is not valid yet.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificateNotYetValid extends Schema.TaggedError<CertificateNotYetValid>()(
  "CertificateNotYetValid",
  transportFields
) {
  override get message() {
    return transportLine(this, "a certificate of the server's chain is not valid yet")
  }
}

/**
 * TLS: the server's certificate is for another host.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificateHostMismatch extends Schema.TaggedError<CertificateHostMismatch>()(
  "CertificateHostMismatch",
  transportFields
) {
  override get message() {
    return transportLine(this, "the server's certificate is for another host")
  }
}

/**
 * TLS: the server's certificate does not lead to a trusted root.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificateUntrusted extends Schema.TaggedError<CertificateUntrusted>()(
  "CertificateUntrusted",
  transportFields
) {
  override get message() {
    return transportLine(this, "the server's certificate does not lead to a trusted root")
  }
}

/**
 * TLS: a certificate of the server's chain is revoked.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificateRevoked extends Schema.TaggedError<CertificateRevoked>()(
  "CertificateRevoked",
  transportFields
) {
  override get message() {
    return transportLine(this, "a certificate of the server's chain is revoked")
  }
}

/**
 * TLS: the server's public key is none of the pinned ones.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificatePinMismatch extends Schema.TaggedError<CertificatePinMismatch>()(
  "CertificatePinMismatch",
  transportFields
) {
  override get message() {
    return transportLine(this, "the server's public key is none of the pinned ones")
  }
}

/**
 * TLS: the server wants a client certificate, or refuses the one it got.
 *
 * @category errors
 * @since 0.1.0
 */
export class ClientCertificateRequired extends Schema.TaggedError<ClientCertificateRequired>()(
  "ClientCertificateRequired",
  transportFields
) {
  override get message() {
    return transportLine(this, "the server wants a client certificate, or refuses the one it got")
  }
}

/**
 * TLS: client and server share no TLS version.
 *
 * @category errors
 * @since 0.1.0
 */
export class TlsVersionMismatch extends Schema.TaggedError<TlsVersionMismatch>()(
  "TlsVersionMismatch",
  transportFields
) {
  override get message() {
    return transportLine(this, "client and server share no TLS version")
  }
}

/**
 * TLS: the TLS handshake failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class TlsHandshakeFailed extends Schema.TaggedError<TlsHandshakeFailed>()(
  "TlsHandshakeFailed",
  transportFields
) {
  override get message() {
    return transportLine(this, "the TLS handshake failed")
  }
}

/**
 * The `code` of a `MalformedResponse` that is a part of a body where the whole was wanted.
 *
 * @category constants
 * @since 0.1.0
 */
export const partialContent = "PARTIAL_CONTENT"

/**
 * The `code` of a `MalformedResponse` whose peer does not speak the version of HTTP that the request was sent in.
 *
 * @category constants
 * @since 0.1.0
 */
export const otherVersion = "OTHER_HTTP_VERSION"

/** The fault of a response that is HTTP all the same. */
const malformedInWords: ReadonlyMap<string | undefined, string> = new Map([
  [partialContent, "the response is a part of a body, and the whole of it was wanted"],
  [otherVersion, "the peer does not speak the version of HTTP that it was spoken to in"]
])

/**
 * Protocol: the response is not HTTP, or is HTTP that the request cannot be answered with: another version, a part of a body.
 *
 * @category errors
 * @since 0.1.0
 */
export class MalformedResponse extends Schema.TaggedError<MalformedResponse>()("MalformedResponse", transportFields) {
  override get message() {
    return transportLine(this, malformedInWords.get(this.code) ?? "the response is not HTTP")
  }
}

/**
 * Protocol: the response was cut off before its end.
 *
 * @category errors
 * @since 0.1.0
 */
export class ResponseTruncated extends Schema.TaggedError<ResponseTruncated>()("ResponseTruncated", transportFields) {
  override get message() {
    return transportLine(this, "the response was cut off before its end")
  }
}

/**
 * Protocol: the response is larger than the policy accepts.
 *
 * @category errors
 * @since 0.1.0
 */
export class ResponseTooLarge extends Schema.TaggedError<ResponseTooLarge>()("ResponseTooLarge", {
  endpoint: Schema.String,
  /** The bound, in bytes. */
  limit: Schema.Int,
  /** The bytes that the response had announced, or delivered when it was cut. */
  size: Schema.Int
}) {
  override get message() {
    return oneLine(`${this.endpoint}: the response of at least ${this.size} bytes is over the limit of ${this.limit}`)
  }
}

/**
 * Protocol: the headers of a request or of its response are larger than the transport allows. A request is refused before
 * anything of it is sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class HeadersTooLarge extends Schema.TaggedError<HeadersTooLarge>()("HeadersTooLarge", {
  endpoint: Schema.String,
  /** The subject of the headers. */
  of: Schema.Literals(["request", "response"]),
  /** The bound, in bytes, where that is known. */
  limit: Schema.optionalKey(Schema.Int),
  /** Bytes of the headers, where that is known. */
  size: Schema.optionalKey(Schema.Int)
}) {
  override get message() {
    const size = this.size === undefined ? "" : ` of ${this.size} bytes`
    const limit = this.limit === undefined ? "" : ` of ${this.limit}`
    const sent = this.of === "request" ? nothingSent : ""
    return oneLine(`${this.endpoint}: the headers of the ${this.of}${size} are over the limit${limit}${sent}`)
  }
}

/**
 * Protocol: the redirects led on past the bound, or were not to be followed.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManyRedirects extends Schema.TaggedError<TooManyRedirects>()("TooManyRedirects", {
  endpoint: Schema.String,
  /** Status of the redirect that was not followed. */
  status: Schema.Int,
  /** Redirects followed before it. */
  followed: Schema.Int,
  /** Origin that the redirect points to. Path and query are left out: they may carry secrets. */
  location: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const target = this.location === undefined ? "" : ` to ${this.location}`
    const before = this.followed === 0 ? "" : ` after ${this.followed} others`
    return oneLine(`${this.endpoint} redirects (${this.status})${target}, which was not followed${before}`)
  }
}

/**
 * Time: no connection within the phase's own limit (name resolution, TCP and TLS together).
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectTimeout extends Schema.TaggedError<ConnectTimeout>()("ConnectTimeout", {
  endpoint: Schema.String,
  /** The limit that passed. */
  limit: Schema.DurationFromMillis
}) {
  override get message() {
    return oneLine(`${this.endpoint}: no connection within ${Duration.format(this.limit)}`)
  }
}

/**
 * Time: the server took no further byte of the request within the phase's own limit.
 *
 * @category errors
 * @since 0.1.0
 */
export class SendTimeout extends Schema.TaggedError<SendTimeout>()("SendTimeout", {
  endpoint: Schema.String,
  /** The limit that passed. */
  limit: Schema.DurationFromMillis
}) {
  override get message() {
    return oneLine(`${this.endpoint}: no further byte of the request was taken within ${Duration.format(this.limit)}`)
  }
}

/**
 * Time: no response headers within the phase's own limit (from the request sent to the headers received).
 *
 * @category errors
 * @since 0.1.0
 */
export class HeadersTimeout extends Schema.TaggedError<HeadersTimeout>()("HeadersTimeout", {
  endpoint: Schema.String,
  /** The limit that passed. */
  limit: Schema.DurationFromMillis
}) {
  override get message() {
    return oneLine(`${this.endpoint}: no response headers within ${Duration.format(this.limit)}`)
  }
}

/**
 * Time: no further byte of the body within the phase's own limit (between two chunks of a body).
 *
 * @category errors
 * @since 0.1.0
 */
export class BodyTimeout extends Schema.TaggedError<BodyTimeout>()("BodyTimeout", {
  endpoint: Schema.String,
  /** The limit that passed. */
  limit: Schema.DurationFromMillis
}) {
  override get message() {
    return oneLine(`${this.endpoint}: no further byte of the body within ${Duration.format(this.limit)}`)
  }
}

/**
 * Time: the whole body did not arrive within the phase's own limit (from the headers to the body's end).
 *
 * @category errors
 * @since 0.1.0
 */
export class TransferTimeout extends Schema.TaggedError<TransferTimeout>()("TransferTimeout", {
  endpoint: Schema.String,
  /** The limit that passed. */
  limit: Schema.DurationFromMillis
}) {
  override get message() {
    return oneLine(`${this.endpoint}: the body was not whole within ${Duration.format(this.limit)}`)
  }
}

/**
 * Time: one attempt took longer than the policy's attempt timeout.
 *
 * @category errors
 * @since 0.1.0
 */
export class AttemptTimeout extends Schema.TaggedError<AttemptTimeout>()("AttemptTimeout", {
  /** The limit that passed. */
  limit: Schema.DurationFromMillis
}) {
  override get message() {
    return `the attempt was not finished within ${Duration.format(this.limit)}`
  }
}

/**
 * Time: the caller's deadline passed.
 *
 * @category errors
 * @since 0.1.0
 */
export class DeadlineExceeded extends Schema.TaggedError<DeadlineExceeded>()("DeadlineExceeded", {
  /** The time that the call had when it began. */
  budget: Schema.DurationFromMillis,
  /**
   * True when an attempt was cut, or not made, before the upstream had its fair share of time: then it says nothing of the upstream.
   */
  cutShort: Schema.optionalKey(Schema.Boolean)
}) {
  override get message() {
    return `the deadline of ${Duration.format(this.budget)} passed`
  }
}

/**
 * Policy: the circuit is open; nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitOpen extends Schema.TaggedError<CircuitOpen>()("CircuitOpen", refusalFields) {
  override get message() {
    return refusalLine(this, "the circuit is open")
  }
}

/**
 * Policy: the client's own rate limit has no permit left; nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", refusalFields) {
  override get message() {
    return refusalLine(this, "the client's own rate limit has no permit left")
  }
}

/**
 * Policy: the bulkhead and its queue are full; nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class BulkheadFull extends Schema.TaggedError<BulkheadFull>()("BulkheadFull", refusalFields) {
  override get message() {
    return refusalLine(this, "the bulkhead and its queue are full")
  }
}

/**
 * Policy: the adaptive concurrency limit is reached; nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConcurrencyLimited extends Schema.TaggedError<ConcurrencyLimited>()("ConcurrencyLimited", refusalFields) {
  override get message() {
    return refusalLine(this, "the adaptive concurrency limit is reached")
  }
}

/**
 * Policy: client-side throttling shed the call; nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class Throttled extends Schema.TaggedError<Throttled>()("Throttled", refusalFields) {
  override get message() {
    return refusalLine(this, "the call was shed: the upstream refuses too much of what it is sent")
  }
}

/**
 * Policy: no endpoint of the upstream can be used; nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoEndpointAvailable extends Schema.TaggedError<NoEndpointAvailable>()(
  "NoEndpointAvailable",
  refusalFields
) {
  override get message() {
    return refusalLine(this, "no endpoint can be used")
  }
}

/**
 * Status: the upstream answered 400.
 *
 * @category errors
 * @since 0.1.0
 */
export class BadRequest extends Schema.TaggedError<BadRequest>()("BadRequest", {
  status: Schema.tag(400),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 401.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {
  status: Schema.tag(401),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 402.
 *
 * @category errors
 * @since 0.1.0
 */
export class PaymentRequired extends Schema.TaggedError<PaymentRequired>()("PaymentRequired", {
  status: Schema.tag(402),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 403.
 *
 * @category errors
 * @since 0.1.0
 */
export class Forbidden extends Schema.TaggedError<Forbidden>()("Forbidden", {
  status: Schema.tag(403),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 404.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {
  status: Schema.tag(404),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 405.
 *
 * @category errors
 * @since 0.1.0
 */
export class MethodNotAllowed extends Schema.TaggedError<MethodNotAllowed>()("MethodNotAllowed", {
  status: Schema.tag(405),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 406.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAcceptable extends Schema.TaggedError<NotAcceptable>()("NotAcceptable", {
  status: Schema.tag(406),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 408.
 *
 * @category errors
 * @since 0.1.0
 */
export class RequestTimeout extends Schema.TaggedError<RequestTimeout>()("RequestTimeout", {
  status: Schema.tag(408),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 409.
 *
 * @category errors
 * @since 0.1.0
 */
export class Conflict extends Schema.TaggedError<Conflict>()("Conflict", {
  status: Schema.tag(409),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 410.
 *
 * @category errors
 * @since 0.1.0
 */
export class Gone extends Schema.TaggedError<Gone>()("Gone", {
  status: Schema.tag(410),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 412.
 *
 * @category errors
 * @since 0.1.0
 */
export class PreconditionFailed extends Schema.TaggedError<PreconditionFailed>()("PreconditionFailed", {
  status: Schema.tag(412),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 413.
 *
 * @category errors
 * @since 0.1.0
 */
export class ContentTooLarge extends Schema.TaggedError<ContentTooLarge>()("ContentTooLarge", {
  status: Schema.tag(413),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 415.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedMediaType extends Schema.TaggedError<UnsupportedMediaType>()("UnsupportedMediaType", {
  status: Schema.tag(415),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 421.
 *
 * @category errors
 * @since 0.1.0
 */
export class MisdirectedRequest extends Schema.TaggedError<MisdirectedRequest>()("MisdirectedRequest", {
  status: Schema.tag(421),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 422.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnprocessableContent extends Schema.TaggedError<UnprocessableContent>()("UnprocessableContent", {
  status: Schema.tag(422),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 423.
 *
 * @category errors
 * @since 0.1.0
 */
export class Locked extends Schema.TaggedError<Locked>()("Locked", {
  status: Schema.tag(423),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 425.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooEarly extends Schema.TaggedError<TooEarly>()("TooEarly", {
  status: Schema.tag(425),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 426.
 *
 * @category errors
 * @since 0.1.0
 */
export class UpgradeRequired extends Schema.TaggedError<UpgradeRequired>()("UpgradeRequired", {
  status: Schema.tag(426),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 428.
 *
 * @category errors
 * @since 0.1.0
 */
export class PreconditionRequired extends Schema.TaggedError<PreconditionRequired>()("PreconditionRequired", {
  status: Schema.tag(428),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 429.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManyRequests extends Schema.TaggedError<TooManyRequests>()("TooManyRequests", {
  status: Schema.tag(429),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 451.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnavailableForLegalReasons extends Schema.TaggedError<UnavailableForLegalReasons>()(
  "UnavailableForLegalReasons",
  {
    status: Schema.tag(451),
    ...statusFields
  }
) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 500.
 *
 * @category errors
 * @since 0.1.0
 */
export class InternalServerError extends Schema.TaggedError<InternalServerError>()("InternalServerError", {
  status: Schema.tag(500),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 501.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotImplemented extends Schema.TaggedError<NotImplemented>()("NotImplemented", {
  status: Schema.tag(501),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 502.
 *
 * @category errors
 * @since 0.1.0
 */
export class BadGateway extends Schema.TaggedError<BadGateway>()("BadGateway", {
  status: Schema.tag(502),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 503.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServiceUnavailable extends Schema.TaggedError<ServiceUnavailable>()("ServiceUnavailable", {
  status: Schema.tag(503),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 504.
 *
 * @category errors
 * @since 0.1.0
 */
export class GatewayTimeout extends Schema.TaggedError<GatewayTimeout>()("GatewayTimeout", {
  status: Schema.tag(504),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered any other 4xx.
 *
 * @category errors
 * @since 0.1.0
 */
export class ClientErrorStatus extends Schema.TaggedError<ClientErrorStatus>()("ClientErrorStatus", {
  status: Schema.Int,
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered any other 5xx.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServerErrorStatus extends Schema.TaggedError<ServerErrorStatus>()("ServerErrorStatus", {
  status: Schema.Int,
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Business: the response is one of the business errors that the call declared, at any status.
 *
 * @category errors
 * @since 0.1.0
 */
export class BusinessRejected extends Schema.TaggedError<BusinessRejected>()("BusinessRejected", {
  /** The entry of the catalogue that the response matched: its code, summary, nature and the status to answer with. */
  entry: Entry,
  /** Status of the response; `200` when the error came in an envelope. */
  status: Schema.Int,
  /** The decoded business error. Encoded, no deeper than `Nesting.maxCarriedLevels`. */
  error: Carried
}) {
  override get message() {
    return oneLine(`${this.entry.summary} (${this.entry.code}, status ${this.status})`)
  }
}

/**
 * Codec: the request could not be built from the caller's input, and nothing was sent; or its body failed, or had another length
 * than it said, while it was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class RequestEncodeFailed extends Schema.TaggedError<RequestEncodeFailed>()("RequestEncodeFailed", {
  /** The fault, and how to put it right. */
  issue: Schema.String,
  /** Where in the request: `params.id`, `json.amount`. */
  path: Schema.String,
  /** True when part of the request may have left before it was known. */
  sent: Schema.optionalKey(Schema.Boolean)
}) {
  override get message() {
    const what = this.sent === true ? "the request could not be sent whole" : "the request could not be built"
    return oneLine(`${what}: ${this.path}: ${this.issue}`)
  }
}

/**
 * Codec: the response arrived whole and does not decode.
 *
 * @category errors
 * @since 0.1.0
 */
export class ResponseDecodeFailed extends Schema.TaggedError<ResponseDecodeFailed>()("ResponseDecodeFailed", {
  /** Host and port that answered. */
  endpoint: Schema.String,
  status: Schema.Int,
  contentType: Schema.optionalKey(Schema.String),
  /** The expectation that was not met. */
  issue: Schema.String,
  /** Where in the body: `items[0].price`; empty for the whole of it. */
  path: Schema.String,
  /** The beginning of the body, bounded. */
  excerpt: Schema.String
}) {
  override get message() {
    const where = this.path === "" ? "" : ` at ${this.path}`
    return oneLine(`${this.endpoint}: the ${this.status} response does not decode${where}: ${this.issue}`)
  }
}

/**
 * Auth: no token could be had.
 *
 * @category errors
 * @since 0.1.0
 */
export class TokenUnavailable extends Schema.TaggedError<TokenUnavailable>()("TokenUnavailable", {
  detail: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return oneLine(this.detail === undefined ? "no token could be had" : `no token could be had: ${this.detail}`)
  }
}

/**
 * Auth: the authorization server refused to refresh the token.
 *
 * @category errors
 * @since 0.1.0
 */
export class TokenRefreshRejected extends Schema.TaggedError<TokenRefreshRejected>()("TokenRefreshRejected", {
  detail: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return oneLine(
      this.detail === undefined
        ? "the authorization server refused to refresh the token"
        : `the authorization server refused to refresh the token: ${this.detail}`
    )
  }
}

/**
 * Auth: the request could not be signed.
 *
 * @category errors
 * @since 0.1.0
 */
export class SignatureFailed extends Schema.TaggedError<SignatureFailed>()("SignatureFailed", {
  detail: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return oneLine(
      this.detail === undefined ? "the request could not be signed" : `the request could not be signed: ${this.detail}`
    )
  }
}

/**
 * Every reason of the network domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const NetworkReason = Schema.Union([
  NameResolutionFailed,
  ConnectionRefused,
  ConnectionTimedOut,
  ConnectionReset,
  ConnectionClosed,
  NetworkUnreachable,
  ProxyFailed,
  TransportFailed,
  PoolExhausted,
  AddressDenied
])

/**
 * Every reason of the network domain.
 *
 * @category models
 * @since 0.1.0
 */
export type NetworkReason = typeof NetworkReason.Type

/**
 * Every reason of the tls domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TlsReason = Schema.Union([
  CertificateExpired,
  CertificateNotYetValid,
  CertificateHostMismatch,
  CertificateUntrusted,
  CertificateRevoked,
  CertificatePinMismatch,
  ClientCertificateRequired,
  TlsVersionMismatch,
  TlsHandshakeFailed
])

/**
 * Every reason of the tls domain.
 *
 * @category models
 * @since 0.1.0
 */
export type TlsReason = typeof TlsReason.Type

/**
 * Every reason of the protocol domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ProtocolReason = Schema.Union([
  MalformedResponse,
  ResponseTruncated,
  ResponseTooLarge,
  HeadersTooLarge,
  TooManyRedirects
])

/**
 * Every reason of the protocol domain.
 *
 * @category models
 * @since 0.1.0
 */
export type ProtocolReason = typeof ProtocolReason.Type

/**
 * Every reason of the time domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TimeReason = Schema.Union([
  ConnectTimeout,
  SendTimeout,
  HeadersTimeout,
  BodyTimeout,
  TransferTimeout,
  AttemptTimeout,
  DeadlineExceeded
])

/**
 * Every reason of the time domain.
 *
 * @category models
 * @since 0.1.0
 */
export type TimeReason = typeof TimeReason.Type

/**
 * Every reason of the policy domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const PolicyReason = Schema.Union([
  CircuitOpen,
  RateLimited,
  BulkheadFull,
  ConcurrencyLimited,
  Throttled,
  NoEndpointAvailable
])

/**
 * Every reason of the policy domain.
 *
 * @category models
 * @since 0.1.0
 */
export type PolicyReason = typeof PolicyReason.Type

/**
 * Every reason of the status domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const StatusReason = Schema.Union([
  BadRequest,
  Unauthorized,
  PaymentRequired,
  Forbidden,
  NotFound,
  MethodNotAllowed,
  NotAcceptable,
  RequestTimeout,
  Conflict,
  Gone,
  PreconditionFailed,
  ContentTooLarge,
  UnsupportedMediaType,
  MisdirectedRequest,
  UnprocessableContent,
  Locked,
  TooEarly,
  UpgradeRequired,
  PreconditionRequired,
  TooManyRequests,
  UnavailableForLegalReasons,
  InternalServerError,
  NotImplemented,
  BadGateway,
  ServiceUnavailable,
  GatewayTimeout,
  ClientErrorStatus,
  ServerErrorStatus
])

/**
 * Every reason of the status domain.
 *
 * @category models
 * @since 0.1.0
 */
export type StatusReason = typeof StatusReason.Type

/**
 * Every reason of the codec domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const CodecReason = Schema.Union([RequestEncodeFailed, ResponseDecodeFailed])

/**
 * Every reason of the codec domain.
 *
 * @category models
 * @since 0.1.0
 */
export type CodecReason = typeof CodecReason.Type

/**
 * Every reason of the auth domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AuthReason = Schema.Union([TokenUnavailable, TokenRefreshRejected, SignatureFailed])

/**
 * Every reason of the auth domain.
 *
 * @category models
 * @since 0.1.0
 */
export type AuthReason = typeof AuthReason.Type

/**
 * Every reason why a call can fail; the union is closed, so a `switch` over `_tag` is checked for completeness.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  ...NetworkReason.members,
  ...TlsReason.members,
  ...ProtocolReason.members,
  ...TimeReason.members,
  ...PolicyReason.members,
  ...StatusReason.members,
  BusinessRejected,
  ...CodecReason.members,
  ...AuthReason.members
])

/**
 * Every reason why a call can fail.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * The name of a reason.
 *
 * @category models
 * @since 0.1.0
 */
export type Tag = Reason["_tag"]

/**
 * The failures of a transport: everything below HTTP semantics.
 *
 * @category models
 * @since 0.1.0
 */
export type TransportReason =
  | NetworkReason
  | TlsReason
  | ProtocolReason
  | Exclude<TimeReason, AttemptTimeout | DeadlineExceeded>

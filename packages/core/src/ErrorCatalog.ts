/**
 * The facts about every reason, as data: its semantic code, where it belongs, how bad it is, whether another try can
 * help, whether the request may have been applied, and the status with which a server in the middle should answer.
 *
 * **When to use**: to decide on a failure without naming every reason (`ErrorCatalog.of(error.reason).nature`), to label
 * metrics and alerts with a stable code, and to add a domain of your own with {@link make}.
 *
 * **What it is not**: the outcome of an attempt. A policy may think otherwise about a reason than the catalogue does (a
 * `404` may be expected); the classifier decides, and starts from here.
 *
 * **Gotchas**: `retryable` says that the same request *may* succeed later. Whether it *may be sent again* depends on the
 * method and on `applied`, which is another question.
 *
 * @since 0.1.0
 */

import type * as EntrySchema from "./internal/outcome/errorEntry.ts"
import type { Reason, Tag } from "./Reason.ts"

/**
 * Where a reason belongs.
 *
 * @category models
 * @since 0.1.0
 */
export type Domain = "network" | "tls" | "protocol" | "time" | "policy" | "status" | "business" | "codec" | "auth"

/**
 * The kind of trouble that a reason is.
 *
 * - `transient`: likely to pass by itself
 * - `throttle`: the upstream asks for less
 * - `timeout`: nobody knows how it ended
 * - `refusal`: a policy on this side said no, nothing was sent
 * - `caller`: the request itself is wrong and will stay so
 * - `permanent`: the upstream or its set-up is wrong and will stay so until somebody mends it
 *
 * @category models
 * @since 0.1.0
 */
export type Nature = (typeof EntrySchema.Entry.Type)["nature"]

/**
 * One row of the catalogue.
 *
 * - `code`: semantic, and stable across versions: `ERR_NETWORK_CONNECTION_REFUSED`
 * - `domain`: where it belongs; a user's own catalogue has its own name here
 * - `layer`: which part of the way failed
 * - `nature`: the kind of trouble
 * - `severity`: how much an operator should care about a single one
 * - `retryable`: whether the same request may succeed later
 * - `applied`: whether the upstream may have acted on the request
 * - `answerStatus`: with which a server in the middle should answer its own caller
 * - `summary`: the event, in a few words
 * - `advice`: the response to it
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry extends EntryFields {}

type EntryFields = typeof EntrySchema.Entry.Type

const screamingSnake = (name: string): string => name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toUpperCase()

type Row = readonly [
  layer: Entry["layer"],
  nature: Nature,
  severity: Entry["severity"],
  retry: "retry" | "final",
  applied: Entry["applied"],
  answerStatus: number,
  summary: string,
  advice: string
]

const rows = <Tags extends Tag>(domain: Domain, table: Record<Tags, Row>): Record<Tags, Entry> => {
  const entries = {} as Record<Tags, Entry>
  for (const tag of Object.keys(table) as Array<Tags>) {
    const [layer, nature, severity, retry, applied, answerStatus, summary, advice] = table[tag]
    entries[tag] = {
      code: `ERR_${domain.toUpperCase()}_${screamingSnake(tag)}`,
      domain,
      layer,
      nature,
      severity,
      retryable: retry === "retry",
      applied,
      answerStatus,
      summary,
      advice
    }
  }
  return entries
}

// oxfmt-ignore
const network = rows("network", {
  NameResolutionFailed: ["name", "transient", "error", "retry", "no", 502, "the name could not be resolved", "check the host name and the resolver"],
  ConnectionRefused: ["connection", "transient", "error", "retry", "no", 502, "nothing accepted the connection", "check that the upstream runs and listens on that port"],
  ConnectionTimedOut: ["connection", "timeout", "error", "retry", "maybe", 504, "the operating system gave up on the connection", "check the route and the firewalls between"],
  ConnectionReset: ["connection", "transient", "warning", "retry", "maybe", 502, "the peer reset the connection", "look for a crash, a restart or an idle timeout shorter than the client's keep-alive"],
  ConnectionClosed: ["connection", "transient", "warning", "retry", "maybe", 502, "the peer closed the connection before it answered", "look for a restart, or plain HTTP sent to a TLS port"],
  NetworkUnreachable: ["connection", "transient", "error", "retry", "no", 502, "there is no route to the address", "check the routes and the network of this host"],
  ProxyFailed: ["connection", "transient", "error", "retry", "no", 502, "the proxy did not open the connection", "check the proxy's address, credentials and rules"],
  PoolExhausted: ["client", "refusal", "warning", "retry", "no", 503, "all connections are in use and the queue is full", "raise the pool's connections, or send less at once"],
  AddressDenied: ["client", "refusal", "error", "final", "no", 502, "the address policy forbids that address", "call another address, or allow this one"],
  TransportFailed: ["connection", "transient", "error", "retry", "maybe", 502, "the transport failed in a way that no other reason describes", "read its code and detail"]
})

// oxfmt-ignore
const tls = rows("tls", {
  CertificateExpired: ["tls", "permanent", "critical", "final", "no", 502, "a certificate of the server has expired", "renew it, and check this host's clock"],
  CertificateNotYetValid: ["tls", "permanent", "critical", "final", "no", 502, "a certificate of the server is not valid yet", "check this host's clock and the certificate's dates"],
  CertificateHostMismatch: ["tls", "permanent", "critical", "final", "no", 502, "the server's certificate is for another host", "check the base URL, and the names in the certificate"],
  CertificateUntrusted: ["tls", "permanent", "critical", "final", "no", 502, "the certificate does not lead to a trusted root", "add the authority to the transport's trusted roots, or have the server send its intermediate"],
  CertificateRevoked: ["tls", "permanent", "critical", "final", "no", 502, "a certificate of the server is revoked", "have the server's certificate replaced"],
  CertificatePinMismatch: ["tls", "permanent", "critical", "final", "no", 502, "the server's key is none of the pinned ones", "check for a rotated key or an intercepted connection"],
  ClientCertificateRequired: ["tls", "permanent", "error", "final", "no", 502, "the server wants a client certificate that it accepts", "configure the transport's client certificate, or renew it"],
  TlsVersionMismatch: ["tls", "permanent", "error", "final", "no", 502, "client and server share no TLS version", "raise the server's TLS version"],
  TlsHandshakeFailed: ["tls", "permanent", "error", "final", "no", 502, "the TLS handshake failed", "check that the port speaks TLS, and the ciphers on both sides"]
})

// oxfmt-ignore
const protocol = rows("protocol", {
  MalformedResponse: ["http", "permanent", "error", "final", "maybe", 502, "the response is not HTTP, or not the HTTP that was asked for", "check that the port speaks HTTP, which version of it, and what stands between"],
  ResponseTruncated: ["http", "transient", "warning", "retry", "maybe", 502, "the response was cut off", "look for crashes and proxy limits on the way"],
  ResponseTooLarge: ["http", "permanent", "error", "final", "maybe", 502, "the response is over the size limit", "ask for less, or raise the limit"],
  HeadersTooLarge: ["http", "permanent", "error", "final", "maybe", 502, "the headers are over the size limit", "send or ask for fewer headers, or raise the transport's limit"],
  TooManyRedirects: ["http", "permanent", "error", "final", "maybe", 502, "a redirect was not followed", "check the base URL, or allow more redirects"]
})

// oxfmt-ignore
const time = rows("time", {
  ConnectTimeout: ["connection", "timeout", "error", "retry", "no", 504, "no connection within the limit", "check that the upstream accepts connections, and the route"],
  HeadersTimeout: ["http", "timeout", "warning", "retry", "maybe", 504, "no response headers within the limit", "look at the upstream's latency"],
  SendTimeout: ["http", "timeout", "warning", "retry", "maybe", 504, "the server stopped taking the request", "look at the upstream's load and at the size of what is sent"],
  BodyTimeout: ["http", "timeout", "warning", "retry", "maybe", 504, "the response stalled", "look at the upstream's latency and the proxies between"],
  TransferTimeout: ["http", "timeout", "warning", "retry", "maybe", 504, "the response took too long to arrive", "raise the limit, or ask for less at once"],
  AttemptTimeout: ["client", "timeout", "warning", "retry", "maybe", 504, "the attempt took longer than the policy allows", "look at the upstream's latency, or allow more"],
  DeadlineExceeded: ["client", "timeout", "warning", "final", "maybe", 504, "the caller's deadline passed", "look at the upstream's latency, or give the call more time"]
})

// oxfmt-ignore
const policy = rows("policy", {
  CircuitOpen: ["client", "refusal", "warning", "retry", "no", 503, "the circuit is open", "look at the failures that opened it"],
  RateLimited: ["client", "refusal", "info", "retry", "no", 429, "the client's own rate limit is used up", "send less, or raise the limit"],
  BulkheadFull: ["client", "refusal", "warning", "retry", "no", 503, "the bulkhead and its queue are full", "look at the upstream's latency, or raise the limit"],
  ConcurrencyLimited: ["client", "refusal", "warning", "retry", "no", 503, "the adaptive concurrency limit is reached", "look at the upstream's latency"],
  Throttled: ["client", "refusal", "warning", "retry", "no", 503, "the call was shed on this side", "look at why the upstream refuses"],
  NoEndpointAvailable: ["client", "refusal", "critical", "retry", "no", 503, "no endpoint can be used", "look at the health of the upstream's endpoints"]
})

// oxfmt-ignore
const status = rows("status", {
  BadRequest: ["application", "caller", "error", "final", "no", 500, "the request is wrong", "compare it with the upstream's contract"],
  Unauthorized: ["application", "caller", "error", "final", "no", 502, "the credentials are missing or not accepted", "check the credentials of this service"],
  PaymentRequired: ["application", "caller", "error", "final", "no", 502, "the upstream wants payment", "check the account with the upstream"],
  Forbidden: ["application", "caller", "error", "final", "no", 502, "the credentials do not allow this", "check the rights of this service"],
  NotFound: ["application", "caller", "info", "final", "no", 404, "there is no such thing", "check the identifier and the path"],
  MethodNotAllowed: ["application", "caller", "error", "final", "no", 500, "the method is not allowed there", "compare it with the upstream's contract"],
  NotAcceptable: ["application", "caller", "error", "final", "no", 500, "the upstream cannot answer in an accepted form", "check the accept headers"],
  RequestTimeout: ["http", "timeout", "warning", "retry", "no", 504, "the upstream waited too long for the request", "look at the network, and the size of the request"],
  Conflict: ["application", "caller", "info", "final", "no", 409, "the request conflicts with the present state", "read the state again, then decide"],
  Gone: ["application", "caller", "info", "final", "no", 410, "the thing is gone for good", "forget the identifier"],
  PreconditionFailed: ["application", "caller", "info", "final", "no", 412, "a precondition of the request does not hold", "read the state again, then decide"],
  ContentTooLarge: ["application", "caller", "error", "final", "no", 500, "the request is too large for the upstream", "send less at once"],
  UnsupportedMediaType: ["application", "caller", "error", "final", "no", 500, "the upstream does not take that content type", "compare it with the upstream's contract"],
  MisdirectedRequest: ["http", "transient", "warning", "retry", "no", 502, "the connection is not for this host", "check connection reuse across hosts"],
  UnprocessableContent: ["application", "caller", "error", "final", "no", 500, "the content makes no sense to the upstream", "compare it with the upstream's contract"],
  Locked: ["application", "caller", "info", "final", "no", 423, "the thing is locked", "try again when it is free"],
  TooEarly: ["http", "transient", "warning", "retry", "no", 503, "the upstream will not risk a replayed request", "send it again without early data"],
  UpgradeRequired: ["http", "permanent", "error", "final", "no", 502, "the upstream wants another protocol", "check the protocol versions"],
  PreconditionRequired: ["application", "caller", "error", "final", "no", 500, "the upstream wants a conditional request", "send an If-Match"],
  TooManyRequests: ["application", "throttle", "warning", "retry", "no", 429, "the upstream's rate limit is used up", "send less, or ask for a higher limit"],
  UnavailableForLegalReasons: ["application", "permanent", "error", "final", "no", 451, "refused for legal reasons", "read the response"],
  InternalServerError: ["application", "transient", "error", "retry", "maybe", 502, "the upstream failed", "look at the upstream's logs"],
  NotImplemented: ["application", "permanent", "error", "final", "no", 502, "the upstream does not do that", "compare it with the upstream's contract"],
  BadGateway: ["application", "transient", "error", "retry", "maybe", 502, "something behind the upstream failed", "look at the upstream's dependencies"],
  ServiceUnavailable: ["application", "transient", "error", "retry", "maybe", 503, "the upstream is not available", "look at the upstream's load and health"],
  GatewayTimeout: ["application", "timeout", "error", "retry", "maybe", 504, "something behind the upstream was too slow", "look at the upstream's dependencies"],
  ClientErrorStatus: ["application", "caller", "error", "final", "no", 500, "the request was refused", "compare it with the upstream's contract"],
  ServerErrorStatus: ["application", "transient", "error", "retry", "maybe", 502, "the upstream failed", "look at the upstream's logs"]
})

// oxfmt-ignore
const business = rows("business", {
  BusinessRejected: ["application", "caller", "info", "final", "no", 422, "a declared business error", "handle it by its code"]
})

// oxfmt-ignore
const codec = rows("codec", {
  RequestEncodeFailed: ["client", "caller", "error", "final", "no", 500, "the request could not be built, or not be sent whole", "mend the call"],
  ResponseDecodeFailed: ["application", "permanent", "error", "final", "maybe", 502, "the response does not decode", "compare the schema with what the upstream sends"]
})

// oxfmt-ignore
const auth = rows("auth", {
  TokenUnavailable: ["client", "transient", "error", "retry", "no", 502, "no token could be had", "look at the authorization server"],
  TokenRefreshRejected: ["client", "permanent", "critical", "final", "no", 502, "the token refresh was refused", "authorise this service anew"],
  SignatureFailed: ["client", "permanent", "critical", "final", "no", 500, "the request could not be signed", "check the signing key"]
})

/**
 * The whole table: every reason's entry by its tag.
 *
 * ```ts
 * import { ErrorCatalog } from "holdfast"
 *
 * console.log(ErrorCatalog.table.ConnectionRefused.code) // => ERR_NETWORK_CONNECTION_REFUSED
 * console.log(ErrorCatalog.table.TooManyRequests.nature) // => throttle
 * ```
 *
 * @category table
 * @since 0.1.0
 */
export const table: { readonly [K in Tag]: Entry } = {
  ...network,
  ...tls,
  ...protocol,
  ...time,
  ...policy,
  ...status,
  ...business,
  ...codec,
  ...auth
}

/**
 * The entry of a reason. A `BusinessRejected` brings its own, from the user's catalogue.
 *
 * A connection that failed before the request was sent cannot have applied it, and neither can a server that said that it did nothing with
 * it, so `applied` is `no` there, although the row says otherwise in general. A request whose body failed while it was sent may have been
 * applied. A proxy that answered `401`, `403` or `407` will answer so again until somebody mends its rules or our credentials: such a
 * `ProxyFailed` is `permanent`, and not worth another try.
 *
 * ```ts
 * import { ErrorCatalog, Reason } from "holdfast"
 *
 * const endpoint = "payments.internal:443"
 * const reset = (phase: Reason.Phase) => new Reason.ConnectionReset({ endpoint, phase })
 * const proxy = (code: string) => new Reason.ProxyFailed({ endpoint, phase: "connect", code })
 *
 * console.log(ErrorCatalog.of(reset("receive")).applied) // => maybe
 * console.log(ErrorCatalog.of(reset("connect")).applied) // => no
 * console.log(ErrorCatalog.of(proxy("502")).retryable) // => true
 * console.log(ErrorCatalog.of(proxy("407")).retryable) // => false
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const of = (reason: Reason): Entry => {
  if (reason._tag === "BusinessRejected") return reason.entry
  if (reason._tag === "ProxyFailed" && refusingProxyCodes.has(reason.code)) return refusedByProxy
  const entry = table[reason._tag]
  if (reason._tag === "RequestEncodeFailed" && reason.sent === true) return { ...entry, applied: "maybe" }
  return entry.applied === "maybe" && isUnprocessed(reason) ? { ...entry, applied: "no" } : entry
}

/** Whether it is certain that the server did nothing with the request. */
const isUnprocessed = (reason: Reason): boolean => {
  if (reason._tag === "HeadersTooLarge") return reason.of === "request"
  return "phase" in reason && (reason.phase === "connect" || reason.unprocessed === true)
}

/** The proxy refuses our credentials, or the place that we want to reach: that does not pass by itself. */
const refusingProxyCodes: ReadonlySet<string | undefined> = new Set(["401", "403", "407"])

const refusedByProxy: Entry = { ...table.ProxyFailed, nature: "permanent", retryable: false }

/**
 * Whether the upstream is in trouble, or too busy, or out of reach. From such a failure a caller recovers with a default, a
 * cached value or a later try; any other must be mended by somebody.
 *
 * ```ts
 * import { Duration } from "effect"
 * import { ErrorCatalog, Reason } from "holdfast"
 *
 * console.log(ErrorCatalog.isOutage(new Reason.DeadlineExceeded({ budget: Duration.seconds(2) }))) // => true
 * console.log(ErrorCatalog.isOutage(new Reason.TokenRefreshRejected({}))) // => false
 * ```
 *
 * @category guards
 * @since 0.1.0
 */
export const isOutage = (reason: Reason): boolean => {
  const { nature } = of(reason)
  return nature !== "caller" && nature !== "permanent"
}

/**
 * A user's description of one business error. Everything but the summary has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Definition {
  /** The event, in a few words. */
  readonly summary: string
  /** The response to it. Default: nothing said. */
  readonly advice?: string | undefined
  /** Default `caller`. */
  readonly nature?: Nature | undefined
  /** Default `info`: a business error is an answer, not a fault. */
  readonly severity?: Entry["severity"] | undefined
  /** Whether the same request may succeed later. Default `false`. */
  readonly retryable?: boolean | undefined
  /** Status with which a server in the middle should answer. Default `422`. */
  readonly answerStatus?: number | undefined
}

/**
 * A catalogue of a user's own: entries by the names they were given.
 *
 * @category models
 * @since 0.1.0
 */
export type Catalog<Domain extends string, Names extends string> = {
  readonly [N in Names]: Entry & { readonly code: `ERR_${Uppercase<Domain>}_${N}` }
}

/**
 * Makes a catalogue for a domain of your own. Names are written as in the code that results, `UPPER_SNAKE_CASE`.
 *
 * Throws a `RangeError` for a domain that the toolkit has already, and for a name that would not read well in a code.
 *
 * ```ts
 * import { ErrorCatalog } from "holdfast"
 *
 * const payments = ErrorCatalog.make("payments", {
 *   INSUFFICIENT_BALANCE: { summary: "the account has too little money", answerStatus: 402 },
 *   LEDGER_BUSY: { summary: "the ledger is being closed", retryable: true }
 * })
 *
 * console.log(payments.INSUFFICIENT_BALANCE.code) // => ERR_PAYMENTS_INSUFFICIENT_BALANCE
 * console.log(payments.LEDGER_BUSY.retryable) // => true
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const Domain extends string, const Names extends string>(
  domain: Domain,
  definitions: { readonly [N in Names]: string extends N ? Definition : N extends Uppercase<N> ? Definition : never }
): Catalog<Domain, Names> => {
  if (!/^[a-z][a-z0-9]*$/.test(domain)) {
    throw new RangeError(
      `ErrorCatalog.make: a domain must be lower-case letters and digits, got ${JSON.stringify(domain)}`
    )
  }
  if (Object.values(table).some((entry) => entry.domain === domain)) {
    throw new RangeError(
      `ErrorCatalog.make: the domain ${JSON.stringify(domain)} belongs to the toolkit; choose another`
    )
  }
  const entries: Record<string, Entry> = {}
  for (const [name, definition] of Object.entries<Definition>(definitions)) {
    if (!/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/.test(name)) {
      throw new RangeError(
        `ErrorCatalog.make: a name must be UPPER_SNAKE_CASE, got ${JSON.stringify(name)} in the domain ${domain}`
      )
    }
    entries[name] = {
      code: `ERR_${domain.toUpperCase()}_${name}`,
      domain,
      layer: "application",
      nature: definition.nature ?? "caller",
      severity: definition.severity ?? "info",
      retryable: definition.retryable ?? false,
      applied: "no",
      answerStatus: definition.answerStatus ?? 422,
      summary: definition.summary,
      advice: definition.advice ?? ""
    }
  }
  // every name of `definitions` was given its entry by the loop above
  return entries as Catalog<Domain, Names>
}

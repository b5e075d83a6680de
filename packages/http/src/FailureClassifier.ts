/**
 * Names the error that a transport threw. It walks the chain of causes (an error, its `cause`, the `errors` of an aggregate) and goes
 * by codes and TLS alert numbers, because messages change between versions and codes seldom do.
 *
 * **When to use**: in a transport, to turn an unknown failure into a reason.
 *
 * **Gotchas**: OpenSSL 3.5 renamed its codes (some now hold a slash), and Node's `https` hides them behind `EPROTO`; the
 * alert number in the message is the one thing that is the same everywhere. A few failures have no code of their own and are
 * told by their class or by the one phrase that Node or undici has for them; each says so below.
 *
 * @since 0.1.0
 */

import * as Predicate from "effect/Predicate"
import * as Reason from "@holdfast/core/Reason"

/**
 * Where a failure happened.
 *
 * @category models
 * @since 0.1.0
 */
export interface Circumstances {
  /** Host and port that was called. */
  readonly endpoint: string
  /** How far the attempt had come. */
  readonly phase: Reason.Phase
}

/** Deepest cause that is looked at. */
const maximumDepth = 8

interface Link {
  readonly code: string | undefined
  readonly name: string
  readonly message: string
}

const chainOf = (error: unknown): ReadonlyArray<Link> => {
  const links: Array<Link> = []
  // a chain may be a ring, and an aggregate that holds itself twice would double with every step down
  const seen = new Set<object>()
  const visit = (value: unknown, depth: number): void => {
    if (depth > maximumDepth || !Predicate.isObject(value) || seen.has(value)) return
    seen.add(value)
    const code = "code" in value && Predicate.isString(value.code) ? value.code : undefined
    const name = "name" in value && Predicate.isString(value.name) ? value.name : "Error"
    const message = "message" in value && Predicate.isString(value.message) ? value.message : ""
    links.push({ code, name, message })
    if ("cause" in value) visit(value.cause, depth + 1)
    if ("errors" in value && Array.isArray(value.errors)) for (const inner of value.errors) visit(inner, depth + 1)
  }
  visit(error, 0)
  return links
}

type TransportTag = Extract<
  Reason.TransportReason["_tag"],
  | Exclude<(Reason.NetworkReason | Reason.TlsReason)["_tag"], "PoolExhausted" | "AddressDenied">
  | "MalformedResponse"
  | "ResponseTruncated"
  | "HeadersTooLarge"
>

const byCode: { readonly [code: string]: TransportTag } = {
  ENOTFOUND: "NameResolutionFailed",
  EAI_AGAIN: "NameResolutionFailed",
  EAI_FAIL: "NameResolutionFailed",
  EAI_NODATA: "NameResolutionFailed",
  ENODATA: "NameResolutionFailed",
  ESERVFAIL: "NameResolutionFailed",
  ECONNREFUSED: "ConnectionRefused",
  ENOENT: "ConnectionRefused", // a unix socket that is not there
  ETIMEDOUT: "ConnectionTimedOut",
  ECONNRESET: "ConnectionReset",
  EPIPE: "ConnectionReset",
  ECONNABORTED: "ConnectionReset",
  UND_ERR_SOCKET: "ConnectionClosed",
  UND_ERR_CLOSED: "ConnectionClosed",
  UND_ERR_DESTROYED: "ConnectionClosed",
  ENETUNREACH: "NetworkUnreachable",
  EHOSTUNREACH: "NetworkUnreachable",
  ENETDOWN: "NetworkUnreachable",
  EHOSTDOWN: "NetworkUnreachable",
  EADDRNOTAVAIL: "NetworkUnreachable",
  UND_ERR_PRX_TLS: "ProxyFailed",
  CERT_HAS_EXPIRED: "CertificateExpired",
  CERT_NOT_YET_VALID: "CertificateNotYetValid",
  ERR_TLS_CERT_ALTNAME_INVALID: "CertificateHostMismatch",
  HOSTNAME_MISMATCH: "CertificateHostMismatch",
  DEPTH_ZERO_SELF_SIGNED_CERT: "CertificateUntrusted",
  SELF_SIGNED_CERT_IN_CHAIN: "CertificateUntrusted",
  UNABLE_TO_GET_ISSUER_CERT: "CertificateUntrusted",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "CertificateUntrusted",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "CertificateUntrusted",
  CERT_UNTRUSTED: "CertificateUntrusted",
  CERT_SIGNATURE_FAILURE: "CertificateUntrusted",
  CERT_CHAIN_TOO_LONG: "CertificateUntrusted",
  CERT_REJECTED: "CertificateUntrusted",
  INVALID_CA: "CertificateUntrusted",
  INVALID_PURPOSE: "CertificateUntrusted",
  PATH_LENGTH_EXCEEDED: "CertificateUntrusted",
  CERT_REVOKED: "CertificateRevoked",
  UNABLE_TO_GET_CRL: "CertificateRevoked",
  CRL_HAS_EXPIRED: "CertificateRevoked",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "ResponseTruncated",
  // the end of a connection within a chunked body
  HPE_INVALID_EOF_STATE: "ResponseTruncated",
  UND_ERR_HEADERS_OVERFLOW: "HeadersTooLarge",
  HPE_HEADER_OVERFLOW: "HeadersTooLarge",
  ERR_HTTP2_ERROR: "MalformedResponse",
  ERR_HTTP2_SESSION_ERROR: "ConnectionReset",
  ERR_HTTP2_STREAM_ERROR: "ConnectionReset",
  ERR_HTTP2_STREAM_CANCEL: "ConnectionReset",
  ERR_HTTP2_INVALID_SESSION: "ConnectionClosed",
  ERR_HTTP2_GOAWAY_SESSION: "ConnectionClosed"
}

/** TLS alerts (RFC 8446 §6.2) that a client gets from a server. */
const byAlert: { readonly [alert: number]: TransportTag } = {
  42: "ClientCertificateRequired", // bad_certificate
  43: "ClientCertificateRequired", // unsupported_certificate
  44: "ClientCertificateRequired", // certificate_revoked
  45: "ClientCertificateRequired", // certificate_expired
  46: "ClientCertificateRequired", // certificate_unknown
  48: "ClientCertificateRequired", // unknown_ca
  49: "ClientCertificateRequired", // access_denied
  116: "ClientCertificateRequired", // certificate_required
  70: "TlsVersionMismatch" // protocol_version
}

/** How a stream of HTTP/2 ends whose server does not keep to the rules. */
const brokenRules: ReadonlySet<string> = new Set([
  "NGHTTP2_PROTOCOL_ERROR",
  "NGHTTP2_FLOW_CONTROL_ERROR",
  "NGHTTP2_FRAME_SIZE_ERROR",
  "NGHTTP2_COMPRESSION_ERROR"
])

/** A specific sign wins over a general one: `ECONNRESET` behind a certificate error is the certificate's. */
const general: ReadonlySet<TransportTag> = new Set(["ConnectionReset", "ConnectionClosed", "TlsHandshakeFailed"])

const tagOf = (link: Link): TransportTag | undefined => {
  const alert = /\bSSL alert number (\d+)/.exec(link.message)
  if (alert !== null) return byAlert[Number(alert[1])] ?? "TlsHandshakeFailed"
  if (link.code !== undefined) {
    // with TLS, ECONNRESET by this one phrase is a peer that left in the middle of the handshake; Node gives it no code
    if (link.code === "ECONNRESET" && link.message.includes("before secure TLS connection was established")) {
      return "ConnectionClosed"
    }
    // undici judges the response itself, and reports that by the code of a closed connection
    if (link.code === "UND_ERR_SOCKET" && (link.message === "bad response" || link.message === "bad upgrade")) {
      return "MalformedResponse"
    }
    const known = byCode[link.code]
    if (known !== undefined) return known
    if (link.code === "ERR_SSL_UNSUPPORTED_PROTOCOL" || link.code === "ERR_SSL_VERSION_TOO_LOW") {
      return "TlsVersionMismatch"
    }
    if (link.code.startsWith("ERR_SSL_") || link.code === "EPROTO" || link.code === "ERR_TLS_HANDSHAKE_TIMEOUT") {
      return "TlsHandshakeFailed"
    }
    if (link.code.startsWith("HPE_")) return "MalformedResponse"
    if (link.code.startsWith("NGHTTP2_")) return brokenRules.has(link.code) ? "MalformedResponse" : "ConnectionReset"
    // OpenSSL verify errors that Node has no name for: weak keys, weak digests, name constraints
    if (link.code === "UNSPECIFIED") return "CertificateUntrusted"
  }
  // undici's parser error has its llhttp code in `code` for most, and none for some
  if (link.name === "HTTPParserError") {
    // a chunked body whose connection ends within it; undici has no code for it
    return link.message.includes("(Invalid EOF state)") ? "ResponseTruncated" : "MalformedResponse"
  }
  return undefined
}

/**
 * The reason that an unknown failure stands for.
 *
 * A connection that ends after the response began is `ResponseTruncated`; one that ends in the handshake or before the
 * response is `ConnectionReset` or `ConnectionClosed`, with the phase.
 *
 * ```ts
 * import { FailureClassifier } from "holdfast"
 *
 * const thrown = new TypeError("fetch failed", {
 *   cause: Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:9"), { code: "ECONNREFUSED" })
 * })
 * const reason = FailureClassifier.classify(thrown, { endpoint: "127.0.0.1:9", phase: "connect" })
 * console.log(reason._tag) // => ConnectionRefused
 * ```
 *
 * @category classification
 * @since 0.1.0
 */
export const classify = (error: unknown, circumstances: Circumstances): Reason.TransportReason => {
  let found: { readonly tag: TransportTag; readonly code: string | undefined } | undefined
  let firstCode: string | undefined
  for (const link of chainOf(error)) {
    firstCode ??= link.code
    const tag = tagOf(link)
    if (tag === undefined) continue
    if (found === undefined || (general.has(found.tag) && !general.has(tag))) found = { tag, code: link.code }
    else if (found.tag === "ConnectionClosed" && tag === "ConnectionReset") found = { tag, code: link.code }
  }
  if (found === undefined) {
    const name = Predicate.isError(error) ? error.name : typeof error
    // the name of a thrown error holds no secret; its message may
    return new Reason.TransportFailed({
      ...circumstances,
      detail: name,
      ...(firstCode === undefined ? {} : { code: firstCode })
    })
  }
  // undici's mismatch of lengths, before the response began, is a head that contradicts itself
  if (circumstances.phase !== "receive" && found.tag === "ResponseTruncated") {
    return make("MalformedResponse", found.code, circumstances)
  }
  if (circumstances.phase === "receive" && (found.tag === "ConnectionClosed" || found.tag === "ConnectionReset")) {
    return make("ResponseTruncated", found.code, circumstances)
  }
  return make(found.tag, found.code, circumstances)
}

/** Failures that can happen in any phase. */
const keepsPhase: ReadonlySet<TransportTag> = new Set<TransportTag>([
  "ConnectionReset",
  "ConnectionClosed",
  "ResponseTruncated",
  "MalformedResponse",
  "TransportFailed",
  "ConnectionTimedOut"
])

const make = (
  tag: TransportTag,
  code: string | undefined,
  { endpoint, phase }: Circumstances
): Reason.TransportReason => {
  if (tag === "HeadersTooLarge") return new Reason.HeadersTooLarge({ endpoint, of: "response" })
  // TLS and name failures happen while connecting, whenever the platform reports them; a client certificate that TLS 1.3
  // refuses late still means that the server read nothing of the request
  return new Reason[tag]({
    endpoint,
    phase: keepsPhase.has(tag) ? phase : "connect",
    ...(code === undefined ? {} : { code })
  })
}

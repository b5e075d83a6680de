import { assert, describe, it } from "@effect/vitest"
import type * as Reason from "@holdfast/core/Reason"
import * as FailureClassifier from "../src/FailureClassifier.ts"

const coded = (code: string, message = "no words", cause?: unknown): Error =>
  Object.assign(new Error(message, cause === undefined ? {} : { cause }), { code })

const classify = (error: unknown, phase: Reason.Phase = "wait") =>
  FailureClassifier.classify(error, { endpoint: "payments.internal:443", phase })

/** Every code, what it is, and whether it can only happen before anything was sent. */
const table: { readonly [tag: string]: readonly [when: "early" | "any", ...codes: ReadonlyArray<string>] } = {
  NameResolutionFailed: ["early", "ENOTFOUND", "EAI_AGAIN", "EAI_FAIL", "EAI_NODATA", "ENODATA", "ESERVFAIL"],
  ConnectionRefused: ["early", "ECONNREFUSED", "ENOENT"],
  ConnectionTimedOut: ["any", "ETIMEDOUT"],
  ConnectionReset: ["any", "ECONNRESET", "EPIPE", "ECONNABORTED"],
  ConnectionClosed: ["any", "UND_ERR_SOCKET", "UND_ERR_CLOSED", "UND_ERR_DESTROYED"],
  NetworkUnreachable: ["early", "ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EHOSTDOWN", "EADDRNOTAVAIL"],
  ProxyFailed: ["early", "UND_ERR_PRX_TLS"],
  CertificateExpired: ["early", "CERT_HAS_EXPIRED"],
  CertificateNotYetValid: ["early", "CERT_NOT_YET_VALID"],
  CertificateHostMismatch: ["early", "ERR_TLS_CERT_ALTNAME_INVALID", "HOSTNAME_MISMATCH"],
  CertificateUntrusted: [
    "early",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "SELF_SIGNED_CERT_IN_CHAIN",
    "UNABLE_TO_GET_ISSUER_CERT",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "CERT_UNTRUSTED",
    "CERT_SIGNATURE_FAILURE",
    "CERT_CHAIN_TOO_LONG",
    "CERT_REJECTED",
    "INVALID_CA",
    "INVALID_PURPOSE",
    "PATH_LENGTH_EXCEEDED",
    "UNSPECIFIED"
  ],
  CertificateRevoked: ["early", "CERT_REVOKED", "UNABLE_TO_GET_CRL", "CRL_HAS_EXPIRED"],
  TlsVersionMismatch: ["early", "ERR_SSL_UNSUPPORTED_PROTOCOL", "ERR_SSL_VERSION_TOO_LOW"],
  TlsHandshakeFailed: ["early", "EPROTO", "ERR_TLS_HANDSHAKE_TIMEOUT", "ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_A/B"],
  MalformedResponse: ["any", "HPE_INVALID_CONSTANT", "HPE_INVALID_CHUNK_SIZE"]
}

describe("FailureClassifier", () => {
  for (const [tag, [when, ...codes]] of Object.entries(table)) {
    for (const code of codes) {
      it(`${code} is ${tag}, in phase ${when === "early" ? "connect whatever the platform says" : "as it was"}`, () => {
        const reason = classify(coded(code), "send")
        const phase = when === "early" ? "connect" : "send"
        assert.strictEqual(reason._tag, tag)
        assert.deepInclude({ ...reason }, { code, endpoint: "payments.internal:443", phase })
      })
    }
  }

  it.each(["UND_ERR_HEADERS_OVERFLOW", "HPE_HEADER_OVERFLOW"])("%s is HeadersTooLarge, of the response", (code) => {
    assert.deepInclude(classify(coded(code), "wait"), { _tag: "HeadersTooLarge", of: "response" })
  })

  for (const [alert, tag] of [
    [42, "ClientCertificateRequired"],
    [43, "ClientCertificateRequired"],
    [44, "ClientCertificateRequired"],
    [45, "ClientCertificateRequired"],
    [46, "ClientCertificateRequired"],
    [48, "ClientCertificateRequired"],
    [49, "ClientCertificateRequired"],
    [116, "ClientCertificateRequired"],
    [70, "TlsVersionMismatch"],
    [40, "TlsHandshakeFailed"],
    [80, "TlsHandshakeFailed"]
  ] as const) {
    it(`TLS alert ${alert} is ${tag}, whatever its code is called`, () => {
      for (const code of ["EPROTO", "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", "ECONNRESET"]) {
        const reason = classify(coded(code, `…:SSL routines:ssl3_read_bytes:alert:SSL alert number ${alert}\n`))
        assert.deepInclude(reason, { _tag: tag, code, phase: "connect" })
      }
    })
  }

  it("a peer that leaves in the middle of the handshake has closed the connection", () => {
    const message = "Client network socket disconnected before secure TLS connection was established"
    assert.strictEqual(classify(coded("ECONNRESET", message), "connect")._tag, "ConnectionClosed")
  })

  it("a connection that ends after the response began cut the response off", () => {
    for (const code of ["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"]) {
      assert.deepInclude(classify(coded(code), "receive"), { _tag: "ResponseTruncated", code, phase: "receive" })
    }
    assert.strictEqual(classify(coded("ETIMEDOUT"), "receive")._tag, "ConnectionTimedOut")
  })

  it("a length that does not match cut the response off; before the response began its head contradicts itself", () => {
    const mismatch = coded("UND_ERR_RES_CONTENT_LENGTH_MISMATCH")
    assert.deepInclude(classify(mismatch, "receive"), { _tag: "ResponseTruncated", phase: "receive" })
    assert.deepInclude(classify(mismatch, "wait"), { _tag: "MalformedResponse", phase: "wait" })
  })

  it("undici's own verdict on a response is no closed connection, though it has that code", () => {
    assert.strictEqual(classify(coded("UND_ERR_SOCKET", "bad response"))._tag, "MalformedResponse")
    assert.strictEqual(classify(coded("UND_ERR_SOCKET", "bad upgrade"))._tag, "MalformedResponse")
    assert.strictEqual(classify(coded("UND_ERR_SOCKET", "other side closed"))._tag, "ConnectionClosed")
  })

  it("undici's parser error is a malformed response, with a code or without", () => {
    const error = Object.assign(new Error("Parse Error"), { name: "HTTPParserError" })
    assert.strictEqual(classify(error)._tag, "MalformedResponse")
  })

  it("a failure is found behind those that wrap it", () => {
    const wrapped = new TypeError("fetch failed", { cause: new Error("socket", { cause: coded("ECONNREFUSED") }) })
    assert.deepInclude(classify(wrapped), { _tag: "ConnectionRefused", code: "ECONNREFUSED" })
  })

  it("a failure is found among those of an aggregate: every address of a name was tried", () => {
    const error = new AggregateError([coded("X_UNKNOWN"), coded("ECONNREFUSED"), coded("ENETUNREACH")])
    assert.strictEqual(classify(error)._tag, "ConnectionRefused")
    assert.strictEqual(classify(new TypeError("fetch failed", { cause: error }))._tag, "ConnectionRefused")
  })

  it("what is specific wins over what is general, in whatever order they come", () => {
    const certificate = () => coded("CERT_HAS_EXPIRED")
    assert.strictEqual(classify(coded("ECONNRESET", "", certificate()))._tag, "CertificateExpired")
    assert.strictEqual(
      classify(Object.assign(certificate(), { cause: coded("ECONNRESET") }))._tag,
      "CertificateExpired"
    )
    assert.strictEqual(classify(coded("EPROTO", "", certificate()))._tag, "CertificateExpired")
    assert.strictEqual(classify(coded("UND_ERR_SOCKET", "", coded("ECONNRESET")))._tag, "ConnectionReset")
    assert.strictEqual(classify(coded("ECONNRESET", "", coded("UND_ERR_SOCKET")))._tag, "ConnectionReset")
  })

  it("what has no name keeps its first code, and its message stays here", () => {
    const reason = classify(coded("X_OUTER", "password=s3cret", coded("X_INNER")))
    assert.deepInclude(reason, { _tag: "TransportFailed", code: "X_OUTER", phase: "wait" })
    assert.notInclude(reason.message, "s3cret")
    assert.notProperty(classify(new Error("no code")), "code")
  })

  it("what is thrown that is no error is a failure of the transport", () => {
    for (const thrown of [undefined, null, "text", 7, Symbol("s"), () => 1, {}, { code: 7, message: 7, cause: 7 }]) {
      assert.strictEqual(classify(thrown)._tag, "TransportFailed")
    }
  })

  it("a chain that is a ring comes to an end", () => {
    const one = new Error("one")
    const other = new Error("other", { cause: one })
    one.cause = other
    assert.strictEqual(classify(one)._tag, "TransportFailed")
    const aggregate = new AggregateError([])
    aggregate.errors.push(aggregate, aggregate)
    assert.strictEqual(classify(aggregate)._tag, "TransportFailed")
  })

  it("a chain is followed eight causes deep, and no further", () => {
    const deep = (depth: number): Error =>
      depth === 0 ? coded("ECONNREFUSED") : new Error("wrapper", { cause: deep(depth - 1) })
    assert.strictEqual(classify(deep(8))._tag, "ConnectionRefused")
    assert.strictEqual(classify(deep(9))._tag, "TransportFailed")
    assert.strictEqual(classify(deep(5000))._tag, "TransportFailed")
  })

  it("each cause is looked at once: an aggregate that holds itself does not multiply with every step down", () => {
    let looks = 0
    const aggregate = new AggregateError([])
    Object.defineProperty(aggregate, "code", { get: () => ++looks })
    for (let width = 0; width < 4; width++) aggregate.errors.push(aggregate)
    assert.strictEqual(classify(aggregate)._tag, "TransportFailed")
    // reading the code once may read the property twice
    assert.isAtMost(looks, 2)
  })
})

import { AssertionError } from "node:assert"
import { assert, describe, it } from "@effect/vitest"
import * as Reason from "@holdfast/core/Reason"
import {
  type Cut,
  isHeadOverflow,
  isUntouched,
  reasonOf,
  reasonOfBroken,
  reasonOfCut,
  saysStale
} from "../src/internal/exchange/exchangeReasons.ts"
import {
  BodyError,
  ConnectionEndedError,
  NotBegunError,
  NotHttp2Error,
  StreamEndedError,
  UnprocessedError
} from "../src/internal/exchange/wire.ts"

const coded = (code: string, more: object = {}) => Object.assign(new Error("no"), { code, ...more })

const endpoint = "stock.test:443"

/** A reason as it is encoded, without where it was. */
const facts = ({ endpoint: at, ...reason }: Reason.TransportReason): { readonly [field: string]: unknown } => {
  assert.strictEqual(at, endpoint)
  return { ...reason }
}

describe("the reason of an exchange that its connection failed", () => {
  const cut = (given: Partial<Cut>): Cut => ({
    endpoint,
    phase: "wait",
    error: coded("ECONNRESET"),
    isShort: false,
    isStale: false,
    isUntouched: false,
    inHead: false,
    ...given
  })

  const said = (given: Partial<Cut>) => facts(reasonOfCut(cut(given)))

  it("is that it was reset or closed, and says what is known of how far the request came", () => {
    const reset = { _tag: "ConnectionReset", code: "ECONNRESET", phase: "wait" }
    assert.deepStrictEqual(said({}), reset)
    assert.deepStrictEqual(said({ isStale: true }), { ...reset, stale: true })
    assert.deepStrictEqual(said({ inHead: true }), { ...reset, inHead: true })
    assert.deepStrictEqual(said({ isUntouched: true }), { ...reset, unprocessed: true })
    assert.deepStrictEqual(said({ isStale: true, isUntouched: true, inHead: true }), {
      ...reset,
      stale: true,
      unprocessed: true,
      inHead: true
    })
    assert.deepStrictEqual(said({ error: new ConnectionEndedError(), isStale: true }), {
      _tag: "ConnectionClosed",
      code: "UND_ERR_SOCKET",
      phase: "wait",
      stale: true
    })
  })

  it("says nothing of what was not sent before a connection was made", () => {
    assert.deepStrictEqual(said({ phase: "connect", isUntouched: true }), {
      _tag: "ConnectionReset",
      code: "ECONNRESET",
      phase: "connect"
    })
  })

  it("is that the response is cut short where less came than was announced, and the parser has no other name for it", () => {
    const broken = { error: coded("HPE_INVALID_CONSTANT"), phase: "receive" } as const
    assert.strictEqual(said(broken)["_tag"], "MalformedResponse")
    assert.deepStrictEqual(said({ ...broken, isShort: true }), {
      _tag: "ResponseTruncated",
      code: "HPE_INVALID_CONSTANT",
      phase: "receive"
    })
  })

  it("says that a connection was stale only where it does", () => {
    assert.isTrue(saysStale(reasonOfCut(cut({ isStale: true }))))
    assert.isFalse(saysStale(reasonOfCut(cut({ inHead: true }))))
    assert.isFalse(saysStale(reasonOfCut(cut({ error: new NotHttp2Error(), isStale: true }))))
  })
})

describe("what an error stands for", () => {
  const at = (error: unknown, phase: Reason.Phase = "wait") => facts(reasonOf(error, { endpoint, phase }))

  it("is a response that is none where undici's own assertion fails", () => {
    assert.deepStrictEqual(at(new AssertionError({ message: "status" })), {
      _tag: "MalformedResponse",
      phase: "wait",
      code: "ERR_ASSERTION",
      detail: "the status is none that it can have"
    })
  })

  it("is another version of HTTP, with what to set", () => {
    const other = { _tag: "MalformedResponse", phase: "wait", code: Reason.otherVersion }
    assert.deepStrictEqual(at(new NotHttp2Error()), {
      ...other,
      detail: "its first bytes are not HTTP/2; for HTTP/1.1 set http2: false, or true to let TLS decide"
    })
    const settings = (data: string) => at(coded("HPE_INVALID_CONSTANT", { data }))
    assert.deepStrictEqual(settings("\0\0\u0012\u0004\0\0\0\0\0\0\u0003"), {
      ...other,
      detail:
        "it speaks HTTP/2 and was spoken to in HTTP/1.1; set http2: true over TLS, and http2: { priorKnowledge: true } without"
    })
    for (const data of [
      "",
      "HTTP/1.1",
      "\0\0\u0012\u0003\0\0\0\0\0",
      "\u0001\0\u0012\u0004\0\0\0\0\0",
      "\0\0\u0012\u0004\0\0\0\0\u0001"
    ]) {
      assert.notStrictEqual(settings(data)["code"], Reason.otherVersion, JSON.stringify(data))
    }
    const noError = reasonOf({ data: "\0\0\u0012\u0004\0\0\0\0\0" }, { endpoint, phase: "wait" })
    assert.notStrictEqual(noError._tag, "MalformedResponse")
    assert.notStrictEqual(at(coded("HPE_INVALID_CONSTANT", { data: 1 }))["code"], Reason.otherVersion)
  })

  it("is the caller's body where that failed, without what it says of itself", () => {
    const detail = "the body of the request failed"
    assert.deepStrictEqual(at(new BodyError("secret"), "send"), { _tag: "TransportFailed", phase: "send", detail })
    assert.deepStrictEqual(at(new BodyError("secret", "ERR_LENGTH"), "send"), {
      _tag: "TransportFailed",
      phase: "send",
      code: "ERR_LENGTH",
      detail
    })
  })

  it("is a damaged record where TLS breaks, for the handshake is done", () => {
    assert.deepStrictEqual(at(coded("ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC")), {
      _tag: "MalformedResponse",
      phase: "wait",
      code: "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
      detail: "a record of TLS is damaged"
    })
  })

  it("is what the classifier says of any other", () => {
    assert.strictEqual(at(coded("ECONNRESET"))["_tag"], "ConnectionReset")
  })

  it("is, of a coding, that it is cut short or broken", () => {
    const said = (isCut: boolean, code: string | undefined) => facts(reasonOfBroken({ isCut, code }, endpoint, "gzip"))
    assert.deepStrictEqual(said(true, "Z_BUF_ERROR"), {
      _tag: "ResponseTruncated",
      phase: "receive",
      code: "Z_BUF_ERROR",
      detail: "its gzip coding is cut short"
    })
    assert.deepStrictEqual(said(false, undefined), {
      _tag: "MalformedResponse",
      phase: "receive",
      detail: "its gzip coding is broken"
    })
  })

  it("is a head that is too long by undici's code alone", () => {
    assert.isTrue(isHeadOverflow(coded("UND_ERR_HEADERS_OVERFLOW")))
    assert.isFalse(isHeadOverflow(coded("UND_ERR_HEADERS_TIMEOUT")))
  })
})

describe("whether the server did nothing with a request", () => {
  const write = coded("EPIPE", { syscall: "write" })

  it("is certain before it was begun, and where the server says so", () => {
    for (const phase of ["send", "wait"] as const) {
      assert.isTrue(isUntouched(new NotBegunError(), phase, false))
      assert.isTrue(isUntouched(new UnprocessedError("NGHTTP2_REFUSED_STREAM", false), phase, false))
      assert.isFalse(isUntouched(new StreamEndedError("NGHTTP2_CANCEL"), phase, false))
      assert.isFalse(isUntouched(coded("ECONNRESET"), phase, true))
    }
    assert.isTrue(isUntouched(coded("ECONNRESET"), "connect", false))
  })

  it("is certain where its only write failed", () => {
    assert.isTrue(isUntouched(write, "send", true))
    assert.isTrue(isUntouched(write, "wait", true))
    assert.isFalse(isUntouched(write, "wait", false))
    assert.isFalse(isUntouched(coded("ECONNRESET", { syscall: "read" }), "wait", true))
  })

  it("is certain of nothing once the response has begun", () => {
    for (const error of [new NotBegunError(), new UnprocessedError("NGHTTP2_REFUSED_STREAM", true), write]) {
      assert.isFalse(isUntouched(error, "receive", true))
    }
  })
})

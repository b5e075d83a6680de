import { Duration } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as Reason from "@holdfast/core/Reason"
import { statusReason } from "../src/internal/response/statusReason.ts"
import type * as Transport from "../src/Transport.ts"

const response = (
  status: number,
  headers: Record<string, string> = {},
  body: string | Uint8Array = ""
): Transport.Response => ({
  status,
  headers,
  body: typeof body === "string" ? new TextEncoder().encode(body) : body,
  bodyComplete: true
})

const reasonOf = (...given: Parameters<typeof response>) => statusReason("a.internal:443", response(...given), 0)

const problemOf = (contentType: string | undefined, body: unknown) => {
  const text = typeof body === "string" ? body : JSON.stringify(body)
  const reason = reasonOf(422, contentType === undefined ? {} : { "content-type": contentType }, text)
  return "problem" in reason ? reason.problem : undefined
}

const named: { readonly [status: number]: string } = {
  400: "BadRequest",
  401: "Unauthorized",
  402: "PaymentRequired",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  406: "NotAcceptable",
  408: "RequestTimeout",
  409: "Conflict",
  410: "Gone",
  412: "PreconditionFailed",
  413: "ContentTooLarge",
  415: "UnsupportedMediaType",
  421: "MisdirectedRequest",
  422: "UnprocessableContent",
  423: "Locked",
  425: "TooEarly",
  426: "UpgradeRequired",
  428: "PreconditionRequired",
  429: "TooManyRequests",
  431: "ClientErrorStatus",
  451: "UnavailableForLegalReasons",
  500: "InternalServerError",
  501: "NotImplemented",
  502: "BadGateway",
  503: "ServiceUnavailable",
  504: "GatewayTimeout"
}

describe("statusReason", () => {
  it("every status from 400 to 599 is its own class if it has one, and its hundred's otherwise", () => {
    for (let status = 400; status < 600; status++) {
      const reason = reasonOf(status)
      const expected = named[status] ?? (status < 500 ? "ClientErrorStatus" : "ServerErrorStatus")
      assert.strictEqual(reason._tag, expected, String(status))
      assert.deepInclude(reason, { status, endpoint: "a.internal:443" })
    }
  })

  it("every named class of the status domain is reached by its status", () => {
    const reached = new Set(Array.from({ length: 200 }, (_, index): string => reasonOf(400 + index)._tag))
    assert.deepStrictEqual(
      [...reached].toSorted(),
      Reason.StatusReason.members.map((member) => member.identifier).toSorted()
    )
  })

  it("a status beyond 599 is the server's error, and no crash", () => {
    assert.deepInclude(reasonOf(600), { _tag: "ServerErrorStatus", status: 600 })
    assert.deepInclude(reasonOf(999), { _tag: "ServerErrorStatus", status: 999 })
  })

  it("every status below 400 that is an error is a redirect, the last one too", () => {
    assert.deepStrictEqual(
      [300, 399, 400].map((status) => reasonOf(status)._tag),
      ["TooManyRedirects", "TooManyRedirects", "BadRequest"]
    )
  })

  it("a redirect names the origin that it points to, and nothing of its path", () => {
    assert.deepStrictEqual(
      reasonOf(302, { location: "https://login.example/cb?code=s3cret" }),
      new Reason.TooManyRedirects({
        endpoint: "a.internal:443",
        status: 302,
        followed: 0,
        location: "https://login.example"
      })
    )
  })

  it("a redirect that points nowhere names no origin", () => {
    assert.notProperty(reasonOf(300), "location")
    assert.notProperty(reasonOf(301, { location: "http://[" }), "location")
  })

  it("the body is kept as text, with a mark if it is not the whole of it", () => {
    assert.deepInclude(reasonOf(500, {}, "no luck"), { body: "no luck", bodyComplete: true })
    const cut = statusReason("a:80", { ...response(500, {}, "no l"), bodyComplete: false }, 0)
    assert.deepInclude(cut, { body: "no l", bodyComplete: false })
  })

  it("a body that is not UTF-8 is no failure", () => {
    assert.deepInclude(reasonOf(500, {}, Uint8Array.of(0x61, 0xff, 0x62)), { body: "a\ufffdb" })
  })

  it("secret headers are hidden, the others are shown", () => {
    assert.deepInclude(reasonOf(403, { "set-cookie": "sid=s3cret", server: "nginx" }), {
      headers: { "set-cookie": "REDACTED", server: "nginx" }
    })
  })

  it("the wait that the server asks for is read from its headers", () => {
    const reason = reasonOf(503, { "retry-after": "7" })
    assert.isTrue("retryAfter" in reason && Duration.equals(reason.retryAfter ?? Duration.zero, Duration.seconds(7)))
    assert.notProperty(reasonOf(503, { "retry-after": "soon" }), "retryAfter")
  })

  it("what is declared to be problem details is read as such, with its extensions", () => {
    const body = { type: "https://errors/x", title: "Out of stock", status: 422, sku: "A-7" }
    assert.deepStrictEqual<unknown>({ ...problemOf("application/problem+json", body) }, body)
    assert.deepStrictEqual(
      { ...problemOf("application/problem+json; charset=utf-8", { sku: 1 }) },
      {
        type: "about:blank",
        sku: 1
      }
    )
  })

  it("media types are told whatever their case", () => {
    assert.deepStrictEqual({ ...problemOf("Application/Problem+JSON", { sku: 1 }) }, { type: "about:blank", sku: 1 })
  })

  it("a JSON error that has the members of a problem is one, though its media type does not say so", () => {
    assert.deepInclude(problemOf("application/json", { title: "Out" }), { title: "Out" })
    assert.deepInclude(problemOf("application/vnd.api+json", { type: "urn:x", detail: "Out" }), { detail: "Out" })
  })

  it("any other JSON error is none", () => {
    assert.isUndefined(problemOf("application/json", { error: "nope" }))
    assert.isUndefined(problemOf("application/json", { detail: "a Django error, not a problem" }))
    assert.isUndefined(problemOf("application/json", [1]))
    assert.isUndefined(problemOf("application/json", "{ cut off"))
    assert.isUndefined(problemOf("text/html", { title: "Out" }))
    assert.isUndefined(problemOf(undefined, { title: "Out" }))
    assert.isUndefined(problemOf("application/jsonp", { title: "Out" }))
  })
})

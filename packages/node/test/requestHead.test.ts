import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { fieldsToSend, requestHeadBytes } from "../src/internal/exchange/requestHead.ts"
import * as Proxy from "../src/Proxy.ts"

const proxy = Proxy.fixed({ url: "http://user:secret@proxy.test:3128", noProxy: [] }).http

describe("the head of a request", () => {
  it("has the caller's fields in their order, and asks for the codings that are undone", () => {
    assert.deepStrictEqual(fieldsToSend({ b: "1", a: "2" }, false, undefined), ["b", "1", "a", "2"])
    assert.deepStrictEqual(fieldsToSend({ b: "1" }, true, undefined), ["b", "1", "accept-encoding", "gzip, br, zstd"])
  })

  it("asks for no coding where the caller says which, and of a range", () => {
    for (const headers of [{ "accept-encoding": "identity" }, { "accept-encoding": "" }, { range: "bytes=0-1" }]) {
      assert.deepStrictEqual(fieldsToSend(headers, true, undefined), Object.entries(headers).flat())
    }
  })

  it("has the credentials of the proxy that is asked for the whole URL", () => {
    assert.deepStrictEqual(fieldsToSend({ a: "1" }, false, proxy), [
      "a",
      "1",
      "proxy-authorization",
      `Basic ${Buffer.from("user:secret").toString("base64")}`
    ])
  })

  it("weighs its path, and each field as HTTP/2 counts it", () => {
    const weight = (path: string, headers: { readonly [name: string]: string }) =>
      requestHeadBytes({
        upstream: "stock",
        operation: "GET /",
        resend: 0,
        method: "GET",
        origin: "http://stock.test",
        path,
        headers,
        body: undefined,
        expectedStatus: [],
        limits: { responseBytes: 1, errorBytes: 1, drainBytes: 1, drainTime: Duration.seconds(1) }
      })
    assert.strictEqual(weight("/", {}), 1)
    assert.strictEqual(weight("/abc", { a: "12", bc: "" }), 4 + (1 + 2 + 32) + (2 + 0 + 32))
  })
})

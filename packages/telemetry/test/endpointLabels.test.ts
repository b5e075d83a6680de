import { assert, describe, it } from "@effect/vitest"
import { endpointLabels } from "../src/internal/metrics/endpointLabels.ts"

describe("the labels of an endpoint", () => {
  it("are the server's name, its port and the scheme, with the scheme's own port where none is written", () => {
    for (const [origin, address, port, scheme] of [
      ["https://stock.internal", "stock.internal", "443", "https"],
      ["http://stock.internal", "stock.internal", "80", "http"],
      ["https://stock.internal:8443", "stock.internal", "8443", "https"]
    ] as const) {
      assert.deepStrictEqual(endpointLabels(origin), {
        "server.address": address,
        "server.port": port,
        "url.scheme": scheme
      })
    }
  })

  it("of an origin that is no URL are that text, at the port of HTTP", () => {
    assert.deepStrictEqual(endpointLabels("a test's own client"), {
      "server.address": "a test's own client",
      "server.port": "80",
      "url.scheme": "http"
    })
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as Transport from "../src/Transport.ts"
import * as Upstream from "../src/Upstream.ts"
import * as UpstreamClient from "../src/UpstreamClient.ts"

/** A client of an upstream at `/v1`, and the paths that were asked for. */
const client = Effect.gen(function* () {
  const paths: Array<string> = []
  const transport = Transport.fromSend(({ path }) =>
    Effect.sync(() => {
      paths.push(path)
      const [status, headers] = path === "/v1/moved" ? [302, { location: "there?a=1" }] : [200, {}]
      return { status, headers, body: new Uint8Array(0), bodyComplete: true }
    })
  )
  const stock = yield* Effect.provideService(
    Upstream.make("stock", { baseUrl: "https://stock.internal/v1", policy: HttpPolicy.make({}) }),
    Transport.Transport,
    transport
  )
  return { client: UpstreamClient.make(stock), paths }
})

describe("UpstreamClient", () => {
  it.effect("a URL is a path below the base URL, or an absolute one of its origin", () =>
    Effect.gen(function* () {
      const { client: stock, paths } = yield* client
      for (const url of [
        "/items",
        "items",
        "?left=3",
        "#top",
        "",
        "https://STOCK.internal:443/other?a=1#b",
        "/a%20b"
      ]) {
        yield* stock.execute(HttpClientRequest.get(url))
      }
      yield* stock.execute(HttpClientRequest.get("?left=3", { urlParams: { sku: "A 7" } }))
      assert.deepStrictEqual(paths, [
        "/v1/items",
        "/v1/items",
        "/v1?left=3",
        "/v1",
        "/v1",
        "/other?a=1",
        "/v1/a%20b",
        "/v1?left=3&sku=A+7"
      ])
    }).pipe(Effect.scoped)
  )

  it.effect("a response shows the whole URL of its request, so that a redirect can be followed above", () =>
    Effect.gen(function* () {
      const { client: stock, paths } = yield* client
      const response = yield* HttpClient.followRedirects(stock).get("moved")
      assert.deepStrictEqual(paths, ["/v1/moved", "/v1/there?a=1"])
      assert.deepStrictEqual(
        [response.url, response.request.url],
        ["https://stock.internal/v1/there?a=1", "https://stock.internal/v1/there?a=1"]
      )
    }).pipe(Effect.scoped)
  )

  const refused: ReadonlyArray<readonly [what: string, url: string]> = [
    ["another origin", "https://elsewhere.internal/items"],
    ["a scheme that is not http", "items:batch"],
    ["a segment that leaves the base URL", "/../admin"],
    ["an encoded one", "/items/%2e%2E/admin"],
    ["one at the end", "items/.."],
    ["one of an absolute URL", "https://stock.internal/v1/../admin"],
    ["a backslash, which URLs take for a slash", "/items\\..\\admin"],
    ["a line break, which URLs leave out", "/it\nems"],
    ["credentials", "https://user:password@stock.internal/v1/items"]
  ]
  for (const [what, url] of refused) {
    it.effect(`${what} is refused, and nothing is sent`, () =>
      Effect.gen(function* () {
        const { client: stock, paths } = yield* client
        const { attempts, message, reason } = yield* Effect.flip(stock.execute(HttpClientRequest.get(url)))
        assert.deepStrictEqual([reason._tag, attempts, paths], ["RequestEncodeFailed", 0, []])
        assert.notInclude(message, "password")
      }).pipe(Effect.scoped)
    )
  }

  it.effect("two dots are none where they are a part of a segment, or of the query", () =>
    Effect.gen(function* () {
      const { client: stock, paths } = yield* client
      for (const url of ["/items/a..b", "/items?from=/../b", "/...", "/.well-known"]) {
        yield* stock.execute(HttpClientRequest.get(url))
      }
      assert.deepStrictEqual(paths, ["/v1/items/a..b", "/v1/items?from=/../b", "/v1/...", "/v1/.well-known"])
    }).pipe(Effect.scoped)
  )
})

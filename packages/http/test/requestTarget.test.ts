import { Effect } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as Transport from "../src/Transport.ts"
import type * as Upstream from "../src/Upstream.ts"
import { upstream } from "./support/stock.ts"

/** What is asked of which origin, of the request that a call makes. */
const asked = <E>(
  call: (api: Upstream.Upstream) => Effect.Effect<unknown, E>,
  options: Partial<Upstream.Options> = {}
): Effect.Effect<string | undefined, E> =>
  upstream(
    { "*": [ScriptedTransport.status(200)] },
    {},
    options
  )((api) =>
    Effect.gen(function* () {
      yield* call(api)
      const { requests } = yield* ScriptedTransport.seen
      return requests.map(({ origin, path }) => origin + path)[0]
    })
  )

const refused = (path: string) =>
  upstream(
    { "*": [ScriptedTransport.status(200)] },
    { retry: {} }
  )((api) =>
    Effect.gen(function* () {
      const { attempts, reason } = yield* Effect.flip(api.get<string>(path))
      assert.deepStrictEqual([attempts, (yield* ScriptedTransport.seen).requests.length], [0, 0])
      return reason._tag === "RequestEncodeFailed" ? reason : assert.fail(reason._tag)
    })
  )

const origin = "https://stock.internal"

describe("the path of a request", () => {
  it.effect.each([
    ["/items", "/items"],
    ["/", "/"],
    ["//items", "//items"],
    ["/items/", "/items/"],
    ["/na\u00efve/\u{1f600}", "/na%C3%AFve/%F0%9F%98%80"],
    ["/caf%C3%A9/a%2Fb", "/caf%C3%A9/a%2Fb"],
    ["/a-._~!$&'()*+,;=:@b", "/a-._~!$&'()*+,;=:@b"],
    ['/a"<>^`|[b]', "/a%22%3C%3E%5E%60%7C%5Bb%5D"],
    ["/.well-known/a..b/...", "/.well-known/a..b/..."],
    ["/items?limit=10&q=\u00e9/?", "/items?limit=10&q=%C3%A9/?"],
    ["/items?at=..", "/items?at=.."],
    ["/items?", "/items?"]
  ] as const)("%s is sent by RFC 3986 as %s", ([path, sent]) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* asked((api) => api.get<string>(path)), origin + sent)
      // whoever parses it finds what was sent
      const url = new URL(origin + sent)
      assert.strictEqual(url.href.replace("|", "%7C"), origin + sent)
    })
  )

  it.effect.each([
    ["/reports/annual 2026", /blank/],
    ["/a\tb", /control character/],
    ["/a\r\nx-injected: 1", /control character/],
    ["/a\u0000b", /control character/],
    ["/a\u007fb", /control character/],
    ["/a\u0085b", /control character/],
    ["/items?q=a b", /blank/],
    ["/items#part", /fragment/],
    ["/items?q=1#part", /fragment/],
    ["/a\\b", /backslash/],
    ["/100%", /%25/],
    ["/a%2", /%25/],
    ["/a%zz", /%25/],
    ["/a{b", /brace/],
    ["/a}b", /brace/],
    ["/a/../b", /segment/],
    ["/..", /segment/],
    ["/./a", /segment/],
    ["/a/%2e%2E/b", /segment/],
    ["/a/.%2e?x", /segment/],
    ["/a\ud800", /surrogate/],
    ["items", /begins with a slash/],
    ["", /begins with a slash/],
    ["https://other.internal/items", /got a whole URL; write what comes after the baseUrl/]
  ] as const)("%j is refused before anything is sent, and the error says why", ([path, why]) =>
    Effect.map(refused(path), (reason) => {
      assert.strictEqual(reason.path, "path")
      assert.match(reason.issue, why)
    })
  )

  it.effect("a query of its own is asked together with the query of the call", () =>
    Effect.gen(function* () {
      const query = { page: 2, tag: ["a", "b"] }
      const target = (path: string) => asked((api) => api.get<string>(path, { query }))
      assert.strictEqual(yield* target("/items"), `${origin}/items?page=2&tag=a&tag=b`)
      assert.strictEqual(yield* target("/items?limit=10"), `${origin}/items?limit=10&page=2&tag=a&tag=b`)
      assert.strictEqual(yield* target("/items?"), `${origin}/items?page=2&tag=a&tag=b`)
      assert.strictEqual(yield* target("/items?limit=10&"), `${origin}/items?limit=10&page=2&tag=a&tag=b`)
      assert.strictEqual(yield* asked((api) => api.get("/items?limit=10", { query: {} })), `${origin}/items?limit=10`)
    })
  )

  it.effect("a place in its query takes any value, and one in its path no value that names another resource", () =>
    Effect.gen(function* () {
      for (const [value, sent] of [
        ["", ""],
        [".", "."],
        ["..", ".."],
        ["a/b?c#d&e=f%g", "a%2Fb%3Fc%23d%26e%3Df%25g"]
      ] as const) {
        const target = asked((api) => api.get("/items?q={q}", { params: { q: value } }))
        assert.strictEqual(yield* target, `${origin}/items?q=${sent}`)
      }
    })
  )

  it.effect("places that make a segment of dots only together are refused", () =>
    Effect.gen(function* () {
      const target = (one: string, two: string) => asked((api) => api.get("/a/{one}{two}/b", { params: { one, two } }))
      assert.strictEqual(yield* target("x", "y"), `${origin}/a/xy/b`)
      // each of the two is a segment of its own, which no place may be
      for (const call of [target(".", "."), asked((api) => api.get("/a/.{one}", { params: { one: "." } }))]) {
        assert.strictEqual((yield* Effect.flip(call)).reason._tag, "RequestEncodeFailed")
      }
    })
  )
})

describe("the base URL of an upstream", () => {
  it.effect.each([
    ["https://stock.internal", "https://stock.internal/a?b=1", "stock.internal:443"],
    ["https://stock.internal/", "https://stock.internal/a?b=1", "stock.internal:443"],
    ["https://stock.internal/v1", "https://stock.internal/v1/a?b=1", "stock.internal:443"],
    ["https://stock.internal/v1//", "https://stock.internal/v1/a?b=1", "stock.internal:443"],
    ["https://stock.internal/x/../v1/", "https://stock.internal/v1/a?b=1", "stock.internal:443"],
    ["https://stock.internal/na\u00efve", "https://stock.internal/na%C3%AFve/a?b=1", "stock.internal:443"],
    ["HTTPS://Stock.Internal:443/V1", "https://stock.internal/V1/a?b=1", "stock.internal:443"],
    ["http://stock.internal:80", "http://stock.internal/a?b=1", "stock.internal:80"],
    ["http://stock.internal:443", "http://stock.internal:443/a?b=1", "stock.internal:443"],
    ["http://[2001:DB8:0::1]", "http://[2001:db8::1]/a?b=1", "[2001:db8::1]:80"],
    ["https://[::1]:8443/", "https://[::1]:8443/a?b=1", "[::1]:8443"],
    ["https://b\u00fccher.example", "https://xn--bcher-kva.example/a?b=1", "xn--bcher-kva.example:443"]
  ] as const)("%s leads to %s", ([baseUrl, target, endpoint]) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* asked((api) => api.get("/a", { query: { b: 1 } }), { baseUrl }), target)
      assert.strictEqual(Transport.endpointOf(new URL(target).origin), endpoint)
    })
  )
})

import { Effect, Layer, Option, Schema, Stream } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { Cookies, HttpClient, HttpClientResponse } from "effect/http"
import type { CallError } from "@holdfast/core/CallError"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import type * as AttemptLayer from "../src/AttemptLayer.ts"
import * as HttpClientTransport from "../src/HttpClientTransport.ts"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as ResilientClient from "../src/ResilientClient.ts"
import * as Transport from "../src/Transport.ts"
import * as Upstream from "../src/Upstream.ts"
import { upstream } from "./support/stock.ts"

const { json, status, stream } = ScriptedTransport

const secret = "c4n4ry"

const cookies = [`sid=${secret}; Path=/; HttpOnly`, "theme=dark; Expires=Wed, 21 Oct 2026 07:28:00 GMT"]

const fields = {
  headers: { "Set-Cookie": cookies, Vary: ["accept", "origin"], "content-length": ["4", "4"] },
  trailers: { "Content-Digest": "sha-256=:abc:", "server-timing": ["a", "b"] }
}

describe.each(["whole", "streamed"] as const)("a %s answer", (kind) => {
  const asked = (api: Upstream.Upstream) =>
    kind === "whole"
      ? Effect.map(api.get("/items"), ({ headers, setCookies, text, trailers }) => ({
          headers,
          setCookies,
          early: {},
          text,
          trailers
        }))
      : Effect.gen(function* () {
          const { headers, setCookies, stream, trailers } = yield* api.streaming.get("/items")
          const early = yield* trailers
          const text = yield* Stream.mkString(Stream.decodeText(stream))
          return { headers, setCookies, early, text, trailers: yield* trailers }
        })

  it.effect.each([
    ["whole", status(200, { ...fields, body: "four" })],
    ["in parts", stream(["fo", "ur"], fields)]
  ] as const)("has each cookie by itself, and the headers behind its body once that has ended: %s", ([, reply]) =>
    upstream(
      { "*": [reply] },
      {}
    )((api) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* asked(api), {
          headers: { vary: "accept, origin", "content-length": "4" },
          setCookies: cookies,
          early: {},
          text: "four",
          trailers: { "content-digest": "sha-256=:abc:", "server-timing": "a, b" }
        })
      })
    )
  )

  it.effect("has none of them where there were none", () =>
    upstream(
      { "*": [status(200)] },
      {}
    )((api) =>
      Effect.gen(function* () {
        assert.deepInclude(yield* asked(api), { headers: {}, setCookies: [], trailers: {} })
      })
    )
  )

  it.effect("has them through a transport that only reads bodies whole", () =>
    Effect.gen(function* () {
      const transport = Transport.fromSend(() =>
        Effect.succeed({
          status: 200,
          headers: {},
          setCookies: cookies,
          body: new TextEncoder().encode("four"),
          bodyComplete: true,
          trailers: { a: "1" }
        })
      )
      const api = yield* Upstream.make("stock", { baseUrl: "https://stock.internal" }).pipe(
        Effect.provideService(Transport.Transport, transport)
      )
      const { setCookies, trailers } = yield* asked(api)
      assert.deepStrictEqual([setCookies, trailers], [cookies, { a: "1" }])
    }).pipe(Effect.scoped)
  )

  it.effect("has the cookies of a client, whose headers have no room for two", () =>
    Effect.gen(function* () {
      const headers = new Headers([
        ["vary", "accept"],
        ...cookies.map((cookie) => ["set-cookie", cookie] as [string, string])
      ])
      const client = HttpClient.make((request) =>
        Effect.succeed(HttpClientResponse.fromWeb(request, new Response("four", { headers })))
      )
      const api = yield* Upstream.make("stock", { baseUrl: "https://stock.internal" }).pipe(
        Effect.provide(HttpClientTransport.layer.pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, client))))
      )
      const answer = yield* asked(api)
      assert.deepInclude(answer.headers, { vary: "accept" })
      assert.notProperty(answer.headers, "set-cookie")
      assert.deepStrictEqual(answer.setCookies, cookies)
    }).pipe(Effect.scoped)
  )

  it.effect("that is an error has no cookie in it", () =>
    upstream(
      { "*": [status(404, { headers: { "set-cookie": cookies }, trailers: { "x-session": secret } })] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(asked(api))
        assert.strictEqual(error.reason._tag, "NotFound")
        assert.notInclude(JSON.stringify(error) + error.message, secret)
      })
    )
  )
})

describe("a part of a body", () => {
  const part = status(206, { headers: { "content-range": "bytes 5-14/1000" }, body: '": "half o' })

  it.effect("is the answer to a request with a range", () =>
    upstream(
      { "*": [part] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const answer = yield* api.get("/items", { headers: { range: "bytes=5-14" } })
        assert.deepInclude(answer, { status: 206, text: '": "half o' })
        assert.strictEqual(answer.headers["content-range"], "bytes 5-14/1000")
      })
    )
  )

  it.effect(
    "is the answer to what a layer asks for, whole and streamed, and no longer where a layer takes the range away",
    () =>
      Effect.gen(function* () {
        const around = (range: string | undefined): AttemptLayer.AttemptLayer => ({
          name: "ranged",
          around: ({ request }, next) => {
            const { range: _, ...headers } = request.headers
            return next({ ...request, headers: range === undefined ? headers : { ...headers, range } })
          }
        })
        const statuses = yield* upstream(
          { "*": [part] },
          {},
          { attempt: [around("bytes=5-14")] }
        )((api) =>
          Effect.all([
            Effect.map(api.get("/items"), ({ status }) => status),
            Effect.map(api.streaming.get("/items"), ({ status }) => status)
          ])
        )
        assert.deepStrictEqual(statuses, [206, 206])
        const { reason } = yield* upstream(
          { "*": [part] },
          {},
          { attempt: [around(undefined)] }
        )((api) => Effect.flip(api.get("/items", { headers: { range: "bytes=5-14" } })))
        assert.strictEqual(reason._tag, "MalformedResponse")
      })
  )

  it.effect("is not decoded, though it decodes, and the error says how it is asked for", () =>
    upstream(
      { "*": [status(206, { headers: { "content-range": "bytes 0-1/9" }, body: "12" })] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const ranged = { headers: { range: "bytes=0-1" }, decode: Schema.Int }
        const { message, reason } = yield* Effect.flip(api.get("/items", ranged))
        assert.strictEqual(reason._tag, "MalformedResponse")
        assert.include(message, "a 206 holds a part of a body, which is asked for without decode")
      })
    )
  )

  it.effect("that nobody asked for is no answer, whole, decoded or streamed", () =>
    upstream(
      { "*": [status(206, { headers: { "content-range": "bytes 0-1/9" }, body: "12" })] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const { streaming } = api
        const calls: ReadonlyArray<Effect.Effect<unknown, CallError>> = [
          api.get("/items"),
          api.get("/items", { decode: Schema.Int }),
          Effect.scoped(streaming.get("/items"))
        ]
        for (const call of calls) {
          const { message, reason } = yield* Effect.flip(call)
          assert.strictEqual(reason._tag, "MalformedResponse")
          assert.include(message, "the response is a part of a body, and the whole of it was wanted")
          assert.include(message, "a 206, partial content, though the request has no range")
        }
      })
    )
  )

  it.effect("is streamed to who asked for it, be it with a header of the upstream", () =>
    upstream(
      { "*": [stream(["12"], { status: 206 })] },
      {},
      { headers: { Range: "bytes=0-1" } }
    )((api) =>
      Effect.gen(function* () {
        const { status } = yield* Effect.scoped(api.streaming.get("/items"))
        assert.strictEqual(status, 206)
      })
    )
  )
})

describe("a client with a policy", () => {
  const asked = (response: () => Response) => {
    const client = HttpClient.make((request) => Effect.sync(() => HttpClientResponse.fromWeb(request, response())))
    return client.pipe(ResilientClient.withPolicy({ policy: HttpPolicy.make({}) })).get("https://stock.internal/items")
  }

  it.effect("gives every cookie of a response whose body it has read", () =>
    Effect.gen(function* () {
      const headers = new Headers([
        ["content-length", "4"],
        ...cookies.map((cookie) => ["set-cookie", cookie] as [string, string])
      ])
      const response = yield* asked(() => new Response("four", { headers }))
      assert.deepStrictEqual(Cookies.toSetCookieHeaders(response.cookies), cookies)
      assert.strictEqual(Option.getOrUndefined(Cookies.get(response.cookies, "theme"))?.value, "dark")
      assert.strictEqual(yield* response.text, "four")
    })
  )

  it.effect("gives a response whose status has no body, whatever its length says", () =>
    Effect.gen(function* () {
      for (const status of [204, 205, 304]) {
        const response = yield* asked(() => new Response(null, { status, headers: { "content-length": "4" } }))
        assert.strictEqual(response.status, status)
      }
    })
  )
})

describe("a script", () => {
  it.effect("says of its JSON, too, what comes more than once", () =>
    upstream(
      { "*": [json({ ok: true }, { headers: { vary: ["a", "b"] }, trailers: { "x-end": "1" } })] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const { headers, trailers } = yield* api.get("/items")
        assert.deepStrictEqual(
          [headers, trailers],
          [{ "content-type": "application/json", vary: "a, b" }, { "x-end": "1" }]
        )
      })
    )
  )
})

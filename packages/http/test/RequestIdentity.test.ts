import { Context, Effect, Fiber, Layer, Logger, References, Schema, Tracer } from "effect"
import { HttpEffect, HttpMiddleware, HttpRouter, HttpServerResponse } from "effect/http"
import { assert, describe, it } from "@effect/vitest"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as RequestEdge from "../src/RequestEdge.ts"
import * as RequestIdentity from "../src/RequestIdentity.ts"
import type * as Transport from "../src/Transport.ts"
import * as Upstream from "../src/Upstream.ts"

/** An upstream that keeps the requests which it gets. */
const recording = (options: Partial<Upstream.Options> = {}) =>
  Effect.gen(function* () {
    const requests: Array<Transport.Request> = []
    const transport = ScriptedTransport.layer({
      "*": (request) => {
        requests.push(request)
        return ScriptedTransport.after("10 millis", ScriptedTransport.json({}))
      }
    })
    const upstream = yield* Effect.flatMap(Layer.build(transport), (context) =>
      Upstream.make("stock", {
        baseUrl: "https://stock.internal",
        policy: HttpPolicy.make({ deadline: "5 seconds" }),
        ...options
      }).pipe(Effect.provide(context))
    )
    return { upstream, requests, headers: (name: string) => requests.map(({ headers }) => headers[name]) }
  })

const generated = /^[0-9a-f]{16}$/

describe("RequestIdentity", () => {
  describe("what an edge takes over", () => {
    const id = (value: string | undefined, options?: RequestIdentity.Options) =>
      Effect.map(RequestIdentity.edge(options).fromHeaders({ "x-request-id": value }), (identity) => identity.id)

    it.effect("an identifier of a form that is in use stays as it is", () =>
      Effect.gen(function* () {
        for (const value of [
          "0d6f1c2ab3e94f75",
          "6b2c1f0e-8f43-4f3a-9d57-0b6a7d0a4f11",
          "01ARZ3NDEKTSV4RRFFQ69G5FAV",
          "aGVsbG8+Zm9vYmFy/w==",
          "urn:order:4711~a.b@c_d",
          "x".repeat(128)
        ]) {
          assert.strictEqual(yield* id(value), value)
        }
      })
    )

    it.effect("an identifier that is too long or could forge a line is replaced whole, never cut", () =>
      Effect.gen(function* () {
        for (const value of [undefined, "", "x".repeat(129), "a b", "a\nb", 'a"b', "a,b", "a;b", "ü", "\u2028"]) {
          const given = yield* id(value)
          assert.match(given, generated, JSON.stringify(value))
        }
        assert.match(yield* id("x".repeat(9), { maxIdLength: 8 }), generated)
        assert.strictEqual(yield* id("x".repeat(8), { maxIdLength: 8 }), "x".repeat(8))
        assert.match(yield* id("order-4711", { takeOverId: false }), generated)
      })
    )

    it.effect(
      "only declared tags are taken over, whatever their name's case, and none that is not plain or too long",
      () =>
        Effect.gen(function* () {
          const edge = RequestIdentity.edge({ tags: ["X-Gray-Tag", "x-tenant", "x-cell"], maxTagLength: 8 })
          const { tags } = yield* edge.fromHeaders({
            "x-gray-tag": "canary",
            "x-tenant": "a b",
            "x-cell": "123456789",
            "x-other": "1"
          })
          assert.deepStrictEqual(tags, { "x-gray-tag": "canary" })
        })
    )

    it("a name that carries a secret, or that HTTP or tracing uses, is no tag", () => {
      for (const name of [
        "authorization",
        "Cookie",
        "x-api-key",
        "content-length",
        "traceparent",
        "x-request-id",
        "a b"
      ]) {
        assert.throws(() => RequestIdentity.edge({ tags: [name] }), RangeError, JSON.stringify(name.toLowerCase()))
        assert.throws(
          () => Upstream.make("stock", { baseUrl: "https://stock.internal", propagateTags: [name] }),
          RangeError,
          "Upstream stock: propagateTags"
        )
      }
      assert.throws(
        () => RequestIdentity.edge({ tags: Array.from({ length: 17 }, (_, index) => `x-tag-${index}`) }),
        "tags may name 16 tags at most, got 17"
      )
    })

    it("a length out of range is refused in words", () => {
      for (const length of [0, 1025, 1.5, Number.NaN]) {
        assert.throws(() => RequestIdentity.edge({ maxIdLength: length }), `maxIdLength must be a whole number`)
        assert.throws(() => RequestIdentity.edge({ maxTagLength: length }), `got ${length}`)
      }
    })

    it.effect("an identity that is made bears what it was given, or dies of what none may have", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* RequestIdentity.make({ id: "job-17", tags: { "X-Cell": "b" } }), {
          id: "job-17",
          tags: { "x-cell": "b" }
        })
        assert.match((yield* RequestIdentity.make()).id, generated)
        for (const wrong of [{ id: "" }, { id: "a\nb" }, { tags: { cookie: "a" } }, { tags: { "x-cell": "a b" } }]) {
          const exit = yield* Effect.exit(RequestIdentity.make(wrong))
          assert.strictEqual(exit._tag, "Failure", JSON.stringify(wrong))
        }
      })
    )
  })

  describe("what a call takes from it", () => {
    it.live("every call of a request has the request's identifier, in its header and in its error", () =>
      Effect.gen(function* () {
        const { headers, upstream } = yield* recording()
        const identity = yield* RequestIdentity.make({ id: "order-4711" })
        yield* RequestIdentity.provide(
          Effect.gen(function* () {
            yield* upstream.get("/items")
            const error = yield* Effect.flip(upstream.get("/items", { decode: Schema.Struct({ sku: Schema.String }) }))
            assert.strictEqual(error.requestId, "order-4711")
            yield* Fiber.join(yield* Effect.forkChild(upstream.get("/items")))
          }),
          identity
        )
        assert.deepStrictEqual(headers("x-request-id"), ["order-4711", "order-4711", "order-4711"])
      })
    )

    it.live("without a request, every call has an identifier of its own", () =>
      Effect.gen(function* () {
        const { headers, upstream } = yield* recording()
        yield* upstream.get("/items")
        yield* upstream.get("/items")
        const [first, second] = headers("x-request-id")
        assert.match(first ?? "", generated)
        assert.match(second ?? "", generated)
        assert.notStrictEqual(first, second)
      })
    )

    it.live("a call's own header wins over the request's identifier", () =>
      Effect.gen(function* () {
        const { headers, upstream } = yield* recording()
        const own = upstream.get("/items", { headers: { "X-Request-Id": "own" } })
        yield* RequestIdentity.provide(own, yield* RequestIdentity.make({ id: "order-4711" }))
        assert.deepStrictEqual(headers("x-request-id"), ["own"])
      })
    )

    it.live("an upstream that is not to know the identifier is not told, and its errors still have it", () =>
      Effect.gen(function* () {
        const { headers, upstream } = yield* recording({ propagateRequestId: false })
        const call = upstream.get("/items", { decode: Schema.Struct({ sku: Schema.String }) })
        const identity = yield* RequestIdentity.make({ id: "order-4711" })
        const error = yield* Effect.flip(RequestIdentity.provide(call, identity))
        yield* upstream.get("/items", { headers: { "x-request-id": "own" } })
        assert.deepStrictEqual(headers("x-request-id"), [undefined, "own"])
        assert.strictEqual(error.requestId, "order-4711")
      })
    )

    it.live("an upstream is told the tags that it asks for, and no others", () =>
      Effect.gen(function* () {
        const asks = yield* recording({
          propagateTags: ["X-Gray-Tag"],
          headers: { "x-gray-tag": "stable" }
        })
        const other = yield* recording()
        const identity = yield* RequestIdentity.make({ tags: { "x-gray-tag": "canary", "x-tenant": "acme" } })
        yield* Effect.gen(function* () {
          yield* asks.upstream.get("/items")
          yield* asks.upstream.get("/items", { headers: { "x-gray-tag": "own" } })
          yield* other.upstream.get("/items")
        }).pipe(RequestIdentity.provide(identity))
        yield* asks.upstream.get("/items")
        assert.deepStrictEqual(asks.headers("x-gray-tag"), ["canary", "own", "stable"])
        assert.deepStrictEqual(asks.headers("x-tenant"), [undefined, undefined, undefined])
        assert.deepStrictEqual(other.headers("x-gray-tag"), [undefined])
      })
    )

    it.live("equal reads of two requests are still one, unless their tags tell the upstream them apart", () =>
      Effect.gen(function* () {
        const { requests, upstream } = yield* recording({
          policy: HttpPolicy.make({ deadline: "5 seconds", singleFlight: {} }),
          propagateTags: ["x-gray-tag"]
        })
        const read = (id: string, tags: RequestIdentity.Tags) =>
          Effect.flatMap(RequestIdentity.make({ id, tags }), (identity) =>
            RequestIdentity.provide(upstream.get("/items"), identity)
          )
        yield* Effect.all([read("a", {}), read("b", {}), read("c", { "x-gray-tag": "canary" })], {
          concurrency: "unbounded"
        })
        assert.strictEqual(requests.length, 2)
      })
    )
  })

  describe("what is logged", () => {
    it.effect("lines within have the identifier and the tags, beside what they had, and lines after have not", () =>
      Effect.gen(function* () {
        const lines: Array<unknown> = []
        const keeping = Logger.make(({ fiber }) => {
          lines.push(fiber.getRef(References.CurrentLogAnnotations))
        })
        yield* Effect.gen(function* () {
          const identity = yield* RequestIdentity.make({ id: "order-4711", tags: { "x-cell": "b" } })
          yield* Effect.log("in").pipe(RequestIdentity.provide(identity))
          yield* Effect.log("after")
        }).pipe(Effect.annotateLogs("job", "nightly"), Effect.provide(Logger.layer([keeping])))
        assert.deepStrictEqual(lines, [
          { job: "nightly", "holdfast.request_id": "order-4711", "holdfast.tag.x-cell": "b" },
          { job: "nightly" }
        ])
      })
    )
  })

  describe("a server", () => {
    const edge = RequestIdentity.edge({ tags: ["x-gray-tag"] })
    const show = Effect.map(RequestIdentity.Current, (identity) => HttpServerResponse.jsonUnsafe(identity ?? null))

    const answers = <E, R>(app: Layer.Layer<never, E, R | HttpRouter.HttpRouter>) =>
      Effect.acquireRelease(
        Effect.sync(() =>
          // what the routes need beyond the router is nothing here
          HttpRouter.toWebHandler(app as Layer.Layer<never, E, HttpRouter.HttpRouter>, { disableLogger: true })
        ),
        ({ dispose }) => Effect.promise(dispose)
      ).pipe(
        Effect.map(
          ({ handler }) =>
            (path: string, headers: Record<string, string>) =>
              Effect.promise(() => handler(new Request(`http://localhost${path}`, { headers })))
        )
      )

    it.live("a handler works for the request's identity, and the answer names it", () =>
      Effect.gen(function* () {
        const get = yield* answers(Layer.mergeAll(HttpRouter.add("GET", "/", show), RequestEdge.layer(edge)))
        const response = yield* get("/", { "X-Request-Id": "order-4711", "x-gray-tag": "canary", "x-other": "1" })
        assert.strictEqual(response.headers.get("x-request-id"), "order-4711")
        assert.deepStrictEqual(yield* Effect.promise(() => response.json()), {
          id: "order-4711",
          tags: { "x-gray-tag": "canary" }
        })
        const made = yield* get("/", { "x-request-id": "not an identifier" })
        const { id } = (yield* Effect.promise(() => made.json())) as { readonly id: string }
        assert.match(id, generated)
        assert.strictEqual(made.headers.get("x-request-id"), id)
      })
    )

    it.live("an answer made of a failure, a defect or a missing route names it too", () =>
      Effect.gen(function* () {
        const get = yield* answers(
          Layer.mergeAll(
            HttpRouter.add("GET", "/fails", Effect.fail("no")),
            HttpRouter.add("GET", "/dies", Effect.die("bug")),
            RequestEdge.layer(edge)
          )
        )
        for (const [path, status] of [
          ["/fails", 500],
          ["/dies", 500],
          ["/missing", 404]
        ] as const) {
          const response = yield* get(path, { "x-request-id": "order-4711" })
          assert.deepStrictEqual([response.status, response.headers.get("x-request-id")], [status, "order-4711"], path)
        }
      })
    )

    it.live("around a whole server, the access log has the identifier, and so has the server's span", () =>
      Effect.gen(function* () {
        const lines: Array<unknown> = []
        const spans: Array<Tracer.Span> = []
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            spans.push(span)
            return span
          }
        })
        const keeping = Logger.make(({ fiber, message }) => {
          lines.push([message, fiber.getRef(References.CurrentLogAnnotations)["holdfast.request_id"]])
        })
        const context = Context.make(References.CurrentLoggers, new Set([keeping])).pipe(
          Context.add(Tracer.Tracer, tracer)
        )
        const handler = HttpEffect.toWebHandlerWith(context)(show, (app) =>
          RequestEdge.middleware(edge)(HttpMiddleware.logger(app))
        )
        yield* Effect.promise(() =>
          handler(new Request("http://localhost/", { headers: { "x-request-id": "order-4711", "x-gray-tag": "b" } }))
        )
        assert.deepStrictEqual(lines, [[["Sent HTTP response"], "order-4711"]])
        assert.deepStrictEqual(
          spans.map(({ attributes }) => [
            attributes.get("holdfast.request_id"),
            attributes.get("holdfast.tag.x-gray-tag")
          ]),
          [["order-4711", "b"]]
        )
      })
    )
  })
})

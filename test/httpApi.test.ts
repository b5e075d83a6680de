/** An `HttpApi` as a client of an upstream, against the server that Effect builds of the same declaration, on real sockets. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { createServer } from "node:http"
import { Effect, FileSystem, Layer, Redacted, Schema, Stream } from "effect"
import { HttpClientRequest, HttpRouter, HttpServer, Multipart } from "effect/http"
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiMiddleware,
  HttpApiSchema,
  HttpApiSecurity
} from "effect/http-api"
import { HttpPolicy, Upstream } from "holdfast"
import { UpstreamApi } from "holdfast/client"
import { NodeTransport } from "holdfast/node"
import { bounded } from "./support/calling.ts"

class NoSuchItem extends Schema.TaggedError<NoSuchItem>()(
  "NoSuchItem",
  { sku: Schema.String },
  { httpApiStatus: 404 }
) {}

class Closed extends Schema.TaggedError<Closed>()("Closed", { until: Schema.String }, { httpApiStatus: 503 }) {}

class Denied extends Schema.TaggedError<Denied>()("Denied", {}, { httpApiStatus: 401 }) {}

class Auth extends HttpApiMiddleware.Service<Auth>()("Auth", {
  error: Denied,
  requiredForClient: true,
  security: { bearer: HttpApiSecurity.bearer }
}) {}

const Item = Schema.Struct({ sku: Schema.String, added: Schema.DateFromString })

const params = { sku: Schema.String }

const Api = HttpApi.make("stock").add(
  HttpApiGroup.make("items")
    .add(
      HttpApiEndpoint.get("find", "/items/:sku", {
        params,
        query: { times: Schema.optionalKey(Schema.FiniteFromString) },
        headers: { "x-shop": Schema.String },
        success: Schema.Struct({ item: Item, times: Schema.Int, shop: Schema.String }),
        error: NoSuchItem
      }),
      HttpApiEndpoint.put("flaky", "/flaky/:sku", { params, payload: Item, success: Item, error: Closed }),
      HttpApiEndpoint.post("add", "/items", {
        payload: Item,
        success: Schema.Struct({ id: Schema.Int }).pipe(HttpApiSchema.status(201))
      }),
      HttpApiEndpoint.post("search", "/search", {
        payload: Schema.Struct({ q: Schema.String }).pipe(HttpApiSchema.asFormUrlEncoded()),
        success: Schema.String.pipe(HttpApiSchema.asText())
      }),
      HttpApiEndpoint.post("upload", "/upload", {
        payload: Schema.Struct({ picture: Multipart.SingleFileSchema }).pipe(HttpApiSchema.asMultipart()),
        success: Schema.Struct({ name: Schema.String, bytes: Schema.Int })
      }),
      HttpApiEndpoint.get("export", "/export", { success: HttpApiSchema.StreamNdjson({ schema: Item }) }),
      HttpApiEndpoint.post("import", "/import", {
        payload: HttpApiSchema.StreamUint8Array(),
        success: Schema.Int
      }),
      HttpApiEndpoint.delete("remove", "/items/:sku", { params, success: HttpApiSchema.NoContent })
    )
    .middleware(Auth)
)

const added = new Date("2026-01-02T03:04:05.000Z")

/** A server of the API, which counts what it was asked. */
const serving = Effect.gen(function* () {
  const asked: Record<string, number> = {}
  const times = (name: string) => (asked[name] = (asked[name] ?? 0) + 1)
  const items = HttpApiBuilder.group(Api, "items", (handlers) =>
    handlers
      .handle("find", ({ headers, params: { sku }, query }) => {
        times("find")
        if (sku === "gone") return Effect.fail(new NoSuchItem({ sku }))
        return Effect.succeed({ item: { sku, added }, times: query.times ?? 0, shop: headers["x-shop"] })
      })
      .handle("flaky", ({ params: { sku }, payload }) =>
        times(sku) < (sku === "never" ? Infinity : 3)
          ? Effect.fail(new Closed({ until: "noon" }))
          : Effect.succeed(payload)
      )
      .handle("add", () => Effect.succeed({ id: times("add") }))
      .handle("search", ({ payload: { q } }) => Effect.succeed(`found ${q}`))
      .handle("upload", ({ payload: { picture } }) =>
        Effect.gen(function* () {
          const { size } = yield* Effect.orDie((yield* FileSystem.FileSystem).stat(picture.path))
          return { name: picture.name, bytes: Number(size) }
        })
      )
      .handle("export", () => Effect.succeed(Stream.fromIterable(["A", "B", "C"].map((sku) => ({ sku, added })))))
      .handle("import", ({ payload }) =>
        Effect.orDie(
          Stream.runFold(
            payload,
            () => 0,
            (sum, bytes) => sum + bytes.length
          )
        )
      )
      .handle("remove", () => Effect.void)
  )
  const auth = Layer.succeed(Auth, {
    bearer: (handle, { credential }) => (Redacted.value(credential) === "t-1" ? handle : Effect.fail(new Denied()))
  })
  const server = HttpRouter.serve(HttpApiBuilder.layer(Api).pipe(Layer.provide(items), Layer.provide(auth)), {
    disableListenLog: true,
    disableLogger: true
  }).pipe(Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })))
  const context = yield* Layer.build(server)
  const { address } = yield* Effect.provideContext(HttpServer.HttpServer, context)
  return { origin: HttpServer.formatAddress(address), asked }
})

const withToken = (token: string) =>
  HttpApiMiddleware.layerClient(Auth, ({ next, request }) => next(HttpClientRequest.bearerToken(request, token)))

const retry: HttpPolicy.RetryOptions = {
  maxAttempts: 3,
  backoff: { shape: "constant", base: "5 millis", jitter: "none" },
  budget: false
}

const client = (token = "t-1", policy = HttpPolicy.make({ deadline: "10 seconds", retry })) =>
  Effect.gen(function* () {
    const { asked, origin } = yield* serving
    const transport = yield* Layer.build(NodeTransport.layer({ connections: 4 }))
    const stock = yield* Effect.provideContext(Upstream.make("stock", { baseUrl: origin, policy }), transport)
    const { items } = yield* Effect.provide(UpstreamApi.make(stock, Api), withToken(token))
    return { items, asked }
  })

const headers = { "x-shop": "north" }

describe("an API as a client of an upstream", () => {
  it.live("params, query, headers and values go there and back by the schemas of both sides", () =>
    Effect.gen(function* () {
      const { items } = yield* client()
      const found = yield* bounded(items.find({ params: { sku: "A 7/b" }, query: { times: 2 }, headers }))
      assert.deepStrictEqual(found, { item: { sku: "A 7/b", added }, times: 2, shop: "north" })
      assert.isUndefined(yield* bounded(items.remove({ params: { sku: "A-7" } })))
    })
  )

  it.live("bodies of every kind: JSON, a form, parts with a file, a stream", () =>
    Effect.gen(function* () {
      const { items } = yield* client()
      assert.deepStrictEqual(yield* bounded(items.add({ payload: { sku: "A-7", added } })), { id: 1 })
      assert.strictEqual(yield* bounded(items.search({ payload: { q: "two words" } })), "found two words")
      const form = new FormData()
      form.append("picture", new Blob(["0123456789"]), "a.png")
      assert.deepStrictEqual(yield* bounded(items.upload({ payload: form })), { name: "a.png", bytes: 10 })
      const payload = Stream.make(new Uint8Array(1000), new Uint8Array(24))
      assert.strictEqual(yield* bounded(items.import({ payload })), 1024)
    })
  )

  it.live("a declared 404 is an answer, and is given once", () =>
    Effect.gen(function* () {
      const { asked, items } = yield* client()
      const error = yield* Effect.flip(bounded(items.find({ params: { sku: "gone" }, query: {}, headers })))
      assert.instanceOf(error, NoSuchItem)
      assert.deepStrictEqual([error.sku, asked["find"]], ["gone", 1])
    })
  )

  it.live("a declared 503 is tried again, and is what the last attempt was answered", () =>
    Effect.gen(function* () {
      const { asked, items } = yield* client()
      const payload = { sku: "A-7", added }
      assert.deepStrictEqual(yield* bounded(items.flaky({ params: { sku: "later" }, payload })), payload)
      const error = yield* Effect.flip(bounded(items.flaky({ params: { sku: "never" }, payload })))
      assert.instanceOf(error, Closed)
      assert.deepStrictEqual([error.until, asked["never"]], ["noon", 3])
    })
  )

  it.live("an error of the middleware is one of the endpoint", () =>
    Effect.gen(function* () {
      const { items } = yield* client("wrong")
      assert.instanceOf(yield* Effect.flip(bounded(items.add({ payload: { sku: "A-7", added } }))), Denied)
    })
  )

  it.live("a stream comes element by element", () =>
    Effect.gen(function* () {
      const { items } = yield* client()
      const skus = yield* bounded(Effect.flatMap(items.export(), Stream.runCollect))
      assert.deepStrictEqual(
        skus.map(({ added, sku }) => [sku, added.getTime()]),
        ["A", "B", "C"].map((sku) => [sku, added.getTime()])
      )
    })
  )
})

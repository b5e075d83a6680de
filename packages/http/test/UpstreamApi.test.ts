import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Redacted, Schema, SchemaTransformation, type Scope, Stream, Tracer } from "effect"
import { HttpClientRequest, HttpClientResponse, Multipart } from "effect/http"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiMiddleware, HttpApiSchema } from "effect/http-api"
import { TestClock } from "effect/testing"
import * as CallError from "@holdfast/core/CallError"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import type * as HttpPolicy from "../src/HttpPolicy.ts"
import * as Rejection from "../src/Rejection.ts"
import type * as Transport from "../src/Transport.ts"
import type * as Upstream from "../src/Upstream.ts"
import * as UpstreamApi from "../src/UpstreamApi.ts"
import { sent, upstream } from "./support/stock.ts"

const { json, reset, status } = ScriptedTransport

class NoSuchItem extends Schema.TaggedError<NoSuchItem>()(
  "NoSuchItem",
  { sku: Schema.String },
  { httpApiStatus: 404 }
) {}

class Closed extends Schema.TaggedError<Closed>()("Closed", { until: Schema.String }, { httpApiStatus: 503 }) {}

class Busy extends Schema.TaggedError<Busy>()("Busy", {}, { httpApiStatus: 200 }) {}

const Item = Schema.Struct({ sku: Schema.String, left: Schema.FiniteFromString })

const sku = { sku: Schema.String }

const StockApi = HttpApi.make("stock")
  .add(
    HttpApiGroup.make("items")
      .add(
        HttpApiEndpoint.get("find", "/items/:sku", {
          params: sku,
          query: { at: Schema.optionalKey(Schema.FiniteFromString) },
          headers: { "x-shop": Schema.optionalKey(Schema.String) },
          success: Item,
          error: [NoSuchItem, Closed]
        })
      )
      .add(
        HttpApiEndpoint.put("replace", "/items/:sku", { params: sku, payload: Item, success: HttpApiSchema.NoContent })
      )
      .add(
        HttpApiEndpoint.post("add", "/items", {
          payload: Item,
          success: Schema.Struct({ id: Schema.Int }).pipe(HttpApiSchema.status(201))
        })
      )
      .add(
        HttpApiEndpoint.post("search", "/items/search", {
          payload: Schema.Struct({ q: Schema.String }).pipe(HttpApiSchema.asFormUrlEncoded()),
          success: Schema.Array(Schema.String)
        })
      )
      .add(
        HttpApiEndpoint.post("upload", "/items/:sku/picture", {
          params: sku,
          payload: Schema.Struct({ picture: Multipart.SingleFileSchema }).pipe(HttpApiSchema.asMultipart()),
          success: HttpApiSchema.NoContent
        })
      )
      .add(
        HttpApiEndpoint.get("export", "/export", {
          success: HttpApiSchema.StreamNdjson({ schema: Item }),
          error: NoSuchItem
        })
      )
  )
  .add(
    HttpApiGroup.make("health", { topLevel: true }).add(
      HttpApiEndpoint.get("ping", "/ping", { success: Schema.String })
    )
  )

const pens = { sku: "A-7", left: "3" }

const retry: HttpPolicy.RetryOptions = { backoff: { shape: "constant", base: "5 millis", jitter: "none" } }

const scripted =
  (script: ScriptedTransport.Script, policy: HttpPolicy.Options = {}, options: Partial<Upstream.Options> = {}) =>
  <A, E>(
    use: (
      client: UpstreamApi.ForApi<typeof StockApi>,
      stock: Upstream.Upstream
    ) => Effect.Effect<A, E, ScriptedTransport.ScriptedRequests | Scope.Scope>
  ) =>
    upstream(
      script,
      policy,
      options
    )((stock) => Effect.flatMap(UpstreamApi.make(stock, StockApi), (client) => use(client, stock)))

/** Gives the call the time that its retries wait for. */
const inTime = <A, E, R>(run: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(run)
    yield* TestClock.adjust("1 second")
    return yield* Fiber.join(fiber)
  })

const requests = Effect.map(ScriptedTransport.seen, ({ requests }) => requests)

const text = (body: Transport.Body | undefined): string =>
  body instanceof Uint8Array ? new TextDecoder().decode(body) : String(body)

describe("UpstreamApi", () => {
  it.effect(
    "encodes params, query, headers and payload by the endpoint's schemas, under the operation of its template",
    () =>
      scripted({ "GET /items/{sku}": [json(pens)], "PUT /items/{sku}": [status(204)] })((client) =>
        Effect.gen(function* () {
          const found = yield* client.items.find({
            params: { sku: "A 7/b" },
            query: { at: 4 },
            headers: { "x-shop": "north" }
          })
          assert.deepStrictEqual(found, { sku: "A-7", left: 3 })
          assert.isUndefined(yield* client.items.replace({ params: { sku: "A-7" }, payload: { sku: "A-7", left: 2 } }))
          const [first, second] = yield* requests
          assert.deepStrictEqual(
            [first?.operation, first?.path, first?.headers["x-shop"]],
            ["GET /items/{sku}", "/items/A%207%2Fb?at=4", "north"]
          )
          assert.deepStrictEqual(
            [second?.method, text(second?.body), second?.headers["content-type"]],
            ["PUT", '{"sku":"A-7","left":"2"}', "application/json"]
          )
        })
      )
  )

  it.effect("sends a form, and the parts of one", () =>
    scripted({ "POST /items/search": [json(["A-7"])], "POST /items/{sku}/picture": [status(204)] })((client) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* client.items.search({ payload: { q: "a b" } }), ["A-7"])
        const form = new FormData()
        form.append("picture", new Blob(["bytes"]), "a.png")
        yield* client.items.upload({ params: { sku: "A-7" }, payload: form })
        const [search, upload] = yield* requests
        assert.deepStrictEqual(
          [text(search?.body), search?.headers["content-type"]],
          ["q=a+b", "application/x-www-form-urlencoded"]
        )
        assert.match(upload?.headers["content-type"] ?? "", /^multipart\/form-data; ?boundary=/)
        assert.include(text(upload?.body), 'name="picture"; filename="a.png"')
      })
    )
  )

  it.effect("endpoints of a top-level group stand beside the groups; one group and one endpoint can be had alone", () =>
    upstream(
      { "*": [json("pong"), json(pens), json(pens)] },
      {}
    )((stock) =>
      Effect.gen(function* () {
        const client = yield* UpstreamApi.make(stock, StockApi)
        assert.deepStrictEqual(Object.keys(client), ["items", "ping"])
        assert.strictEqual(yield* client.ping(), "pong")
        const items = yield* UpstreamApi.group(stock, StockApi, { group: "items" })
        const find = yield* UpstreamApi.endpoint(stock, StockApi, { group: "items", endpoint: "find" })
        for (const one of [items.find, find]) {
          assert.strictEqual((yield* one({ params: { sku: "A-7" }, query: {}, headers: {} })).left, 3)
        }
      })
    )
  )

  const find = { params: { sku: "A-7" }, query: {}, headers: {} }

  it.effect(
    "a response that does not decode is a failure within the attempt, which a classifier may have tried again",
    () =>
      scripted(
        { "*": [json({ sku: "A-7" }), json(pens)] },
        { retry },
        {
          classify: (reason, usual) => (reason._tag === "ResponseDecodeFailed" ? { ...usual, retryable: true } : usual)
        }
      )((client) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* inTime(client.items.find(find)), { sku: "A-7", left: 3 })
          assert.strictEqual(yield* sent, 2)
        })
      )
  )

  it.effect("and says what did not decode, and where", () =>
    scripted({ "*": [json({ sku: "A-7", left: "many" })] })((client) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(client.items.find(find))
        if (error._tag !== "CallError" || error.reason._tag !== "ResponseDecodeFailed") return assert.fail(error._tag)
        assert.deepStrictEqual([error.reason.path, error.reason.status, error.attempts], ["left", 200, 1])
        assert.include(error.reason.excerpt, "many")
      })
    )
  )

  it.effect("a declared error comes as itself; one whose status is an answer is sent once, and opens no circuit", () =>
    scripted(
      {
        "*": [
          status(404, { headers: { "content-type": "application/json" }, body: '{"_tag":"NoSuchItem","sku":"A-7"}' })
        ]
      },
      {
        retry,
        breaker: { trip: [CircuitBreaker.consecutiveFailures(2)] }
      }
    )((client, stock) =>
      Effect.gen(function* () {
        for (let call = 0; call < 4; call++) {
          const error = yield* Effect.flip(client.items.find(find))
          assert.instanceOf(error, NoSuchItem)
          assert.strictEqual(error.sku, "A-7")
        }
        const [endpoint] = (yield* stock.snapshot).endpoints
        assert.deepStrictEqual([yield* sent, endpoint?.breaker?.state], [4, "Closed"])
      })
    )
  )

  const closed = json({ _tag: "Closed", until: "noon" }, { status: 503 })

  it.effect("one whose status is a failure is tried again, and counts; the last one is what the call fails with", () =>
    scripted(
      { "*": [closed, json(pens), closed, closed, closed] },
      {
        retry: { ...retry, maxAttempts: 2, budget: false },
        breaker: { trip: [CircuitBreaker.consecutiveFailures(3)], openTime: "1 minute", maxOpenTime: "1 minute" }
      }
    )((client) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* inTime(client.items.find(find))).left, 3)
        const error = yield* Effect.flip(inTime(client.items.find(find)))
        assert.instanceOf(error, Closed)
        assert.strictEqual(yield* sent, 4)
        yield* Effect.flip(inTime(client.items.find(find)))
        const refused = yield* Effect.flip(client.items.find(find))
        assert.isTrue(refused._tag === "CallError" && refused.reason._tag === "CircuitOpen")
      })
    )
  )

  it.effect("an error of a declared status that is not what was declared is the CallError of its status", () =>
    scripted({
      "*": [
        status(404, { headers: { "content-type": "text/html" }, body: "<h1>no such route</h1>" }),
        status(404, { headers: { "content-type": "application/json" }, body: '{"_tag":"NoSuchItem"}' }),
        status(409),
        status(202, { headers: { "content-type": "application/json" }, body: "{}" })
      ]
    })((client) =>
      Effect.gen(function* () {
        const tags: Array<string> = []
        for (let call = 0; call < 4; call++) {
          const error = yield* Effect.flip(client.items.find(find))
          tags.push(error._tag === "CallError" ? error.reason._tag : error._tag)
        }
        assert.deepStrictEqual(tags, ["NotFound", "NotFound", "Conflict", "ResponseDecodeFailed"])
      })
    )
  )

  it.effect("a declared error with a status of success is a business error, which is an answer", () =>
    Effect.gen(function* () {
      const Api = HttpApi.make("stock").add(
        HttpApiGroup.make("items").add(
          HttpApiEndpoint.post("add", "/items", { success: HttpApiSchema.NoContent, error: Busy })
        )
      )
      const error = yield* upstream(
        { "*": [json({ _tag: "Busy" })] },
        { retry }
      )((stock) =>
        Effect.gen(function* () {
          const { items } = yield* UpstreamApi.make(stock, Api)
          const error = yield* Effect.flip(items.add(undefined, { idempotencyKey: true }))
          assert.strictEqual(yield* sent, 1)
          return error
        })
      )
      assert.instanceOf(error, Busy)
    })
  )

  it.effect("one that shares its status with a success is told apart by its body, and is the same answer", () =>
    Effect.gen(function* () {
      const Api = HttpApi.make("stock").add(
        HttpApiGroup.make("items").add(HttpApiEndpoint.get("find", "/items", { success: Item, error: Busy }))
      )
      yield* upstream(
        { "*": [json({ _tag: "Busy" }), json(pens), json({ _tag: "Other" })] },
        { retry, breaker: { trip: [CircuitBreaker.consecutiveFailures(1)] } }
      )((stock) =>
        Effect.gen(function* () {
          const { items } = yield* UpstreamApi.make(stock, Api)
          assert.instanceOf(yield* Effect.flip(items.find()), Busy)
          assert.strictEqual((yield* items.find()).left, 3)
          const neither = yield* Effect.flip(items.find())
          assert.isTrue(neither._tag === "CallError" && neither.reason._tag === "ResponseDecodeFailed")
          // of the success that it was expected to be
          assert.include(neither.message, "sku")
          assert.strictEqual(yield* sent, 3)
        })
      )
    })
  )

  it.effect("the upstream's own rejections, and those of the call, hold here", () =>
    Effect.gen(function* () {
      const { SOLD_OUT } = ErrorCatalog.make("shop", { SOLD_OUT: { summary: "sold out" } })
      const soldOut = Rejection.make(SOLD_OUT, Schema.Struct({ soldOut: Schema.Literal(true) }))
      const reasonOf = (error: { readonly _tag: string }) =>
        error instanceof CallError.CallError ? error.reason._tag : error._tag
      yield* scripted(
        { "*": [json({ soldOut: true })] },
        {},
        { rejections: [soldOut] }
      )((client) =>
        Effect.map(Effect.flip(client.items.find(find)), (error) =>
          assert.strictEqual(reasonOf(error), "BusinessRejected")
        )
      )
      yield* scripted({ "*": [json({ soldOut: true })] })((client) =>
        Effect.map(Effect.flip(client.items.find(find, { rejections: [soldOut] })), (error) =>
          assert.strictEqual(reasonOf(error), "BusinessRejected")
        )
      )
    })
  )

  it.effect("a POST is sent once, and again with a key, which is the same at every attempt", () =>
    scripted(
      { "*": [reset, status(201), reset, json({ id: 7 }, { status: 201 })] },
      { retry }
    )((client) =>
      Effect.gen(function* () {
        const payload = { sku: "A-7", left: 1 }
        const once = yield* Effect.flip(inTime(client.items.add({ payload })))
        assert.isTrue(once._tag === "CallError" && once.retryStopped === "not-replayable")
        yield* Effect.exit(client.items.add({ payload }))
        const options = { idempotencyKey: "k-1", headers: { "X-Shop": "south" } }
        assert.deepStrictEqual(yield* inTime(client.items.add({ payload }, options)), { id: 7 })
        const keys = (yield* requests).slice(2).map(({ headers }) => [headers["idempotency-key"], headers["x-shop"]])
        assert.deepStrictEqual(keys, [
          ['"k-1"', "south"],
          ['"k-1"', "south"]
        ])
      })
    )
  )

  it.effect.each([
    ["params", { params: { sku: 7 } }, "params.sku"],
    ["an empty place", { params: { sku: "" } }, "params.sku"],
    ["a place that leaves its path", { params: { sku: ".." } }, "params.sku"],
    ["half of a character", { params: { sku: "\ud800" } }, "params.sku"],
    ["the query", { query: { at: "soon" } }, "query.at"],
    ["headers", { headers: { "x-shop": 4 } }, "headers.x-shop"],
    ["a mode that is none here", { responseMode: "response-only" }, "responseMode"]
  ] as const)("what its schemas do not encode is refused with its place, and nothing is sent: %s", ([, wrong, path]) =>
    scripted({})((client) =>
      Effect.gen(function* () {
        // for those who come without types
        const error = yield* Effect.flip(client.items.find({ ...find, ...wrong } as unknown as typeof find))
        if (error._tag !== "CallError" || error.reason._tag !== "RequestEncodeFailed") return assert.fail(error._tag)
        assert.deepStrictEqual([error.reason.path, error.attempts], [path, 0])
      })
    )
  )

  it.effect.each(["", ".", "..", "\ud800"])("a place is judged by what its schema makes of a value: %j", (sku) =>
    Effect.gen(function* () {
      const Api = HttpApi.make("stock").add(
        HttpApiGroup.make("items").add(
          HttpApiEndpoint.delete("remove", "/items/:sku", {
            params: { sku: Schema.RedactedFromValue(Schema.String) },
            success: HttpApiSchema.NoContent
          })
        )
      )
      yield* upstream(
        { "*": [status(204)] },
        {}
      )((stock) =>
        Effect.gen(function* () {
          const { items } = yield* UpstreamApi.make(stock, Api)
          const error = yield* Effect.flip(items.remove({ params: { sku: Redacted.make(sku) } }))
          assert.isTrue(
            error.reason._tag === "RequestEncodeFailed" && error.reason.path === "params.sku",
            error.message
          )
          yield* items.remove({ params: { sku: Redacted.make("A-7") } })
          assert.deepStrictEqual(
            (yield* requests).map(({ path }) => path),
            ["/items/A-7"]
          )
        })
      )
    })
  )

  it.effect("a payload that does not encode is refused with its place", () =>
    scripted({})((client) =>
      Effect.gen(function* () {
        const payload = { sku: 7, left: 1 } as unknown as { sku: string; left: number }
        const error = yield* Effect.flip(client.items.add({ payload }))
        assert.isTrue(error._tag === "CallError" && error.reason._tag === "RequestEncodeFailed")
        assert.include(error.message, "payload.sku")
      })
    )
  )

  it.effect("a bug in a schema stays a defect, of the request as of the response", () =>
    Effect.gen(function* () {
      const broken = (): string => {
        throw new Error("a bug")
      }
      const Broken = Schema.String.pipe(
        Schema.decodeTo(Schema.String, SchemaTransformation.transform({ decode: broken, encode: broken }))
      )
      const Api = HttpApi.make("stock").add(
        HttpApiGroup.make("items")
          .add(HttpApiEndpoint.post("add", "/items", { payload: Broken, success: HttpApiSchema.NoContent }))
          .add(HttpApiEndpoint.get("list", "/items", { success: Broken }))
          .add(HttpApiEndpoint.get("find", "/item", { success: Item, error: Broken.pipe(HttpApiSchema.status(404)) }))
      )
      yield* upstream(
        { "GET /items": [json("A-7")], "GET /item": [json("gone", { status: 404 })] },
        {}
      )((stock) =>
        Effect.gen(function* () {
          const { items } = yield* UpstreamApi.make(stock, Api)
          for (const run of [items.add({ payload: "A-7" }), items.list(), items.find()]) {
            const exit = yield* Effect.exit(run)
            assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause) && !Cause.hasFails(exit.cause))
            assert.include(String(exit), "a bug")
          }
        })
      )
    })
  )

  it.effect("gives the response beside the value, where it is asked for", () =>
    scripted({ "*": [json(pens, { headers: { etag: '"1"', "set-cookie": ["a=1", "b=2"] } })] })((client) =>
      Effect.gen(function* () {
        const [item, response] = yield* client.items.find({ ...find, responseMode: "decoded-and-response" })
        assert.deepStrictEqual([item.left, response.status, response.headers["etag"]], [3, 200, '"1"'])
        assert.deepStrictEqual(Object.keys(response.cookies.cookies), ["a", "b"])
        assert.strictEqual(response.url, "https://stock.internal/items/A-7")
        assert.deepStrictEqual(yield* response.json, pens)
      })
    )
  )

  it.effect("equal reads share one answer, and a declared error too", () =>
    scripted(
      {
        "*": [
          ScriptedTransport.after("10 millis", json(pens)),
          ScriptedTransport.after("10 millis", json({ _tag: "NoSuchItem", sku: "A-7" }, { status: 404 }))
        ]
      },
      {
        singleFlight: {}
      }
    )((client) =>
      Effect.gen(function* () {
        const twice = Effect.all([Effect.exit(client.items.find(find)), Effect.exit(client.items.find(find))], {
          concurrency: 2
        })
        const found = yield* inTime(twice)
        assert.isTrue(found.every(Exit.isSuccess))
        const missing = yield* inTime(twice)
        for (const exit of missing) {
          assert.isTrue(
            Exit.isFailure(exit) &&
              exit.cause.reasons.some((one) => Cause.isFailReason(one) && one.error instanceof NoSuchItem)
          )
        }
        assert.strictEqual(yield* sent, 2)
      })
    )
  )

  it.effect("a declared error is what its status stands for in the spans", () =>
    scripted({ "*": [json({ _tag: "NoSuchItem", sku: "A-7" }, { status: 404 })] })((client) =>
      Effect.gen(function* () {
        const spans: Array<Tracer.Span> = []
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            spans.push(span)
            return span
          }
        })
        yield* Effect.flip(Effect.provideService(client.items.find(find), Tracer.Tracer, tracer))
        assert.deepStrictEqual(
          spans.map(({ attributes, name }) => [name, attributes.get("error.type")]),
          [
            ["stock GET /items/{sku}", "ERR_STATUS_NOT_FOUND"],
            ["GET /items/{sku}", "404"]
          ]
        )
      })
    )
  )

  it.effect("a body that is too deep is a failure, and not the end of the fiber", () =>
    Effect.gen(function* () {
      const Api = HttpApi.make("stock").add(
        HttpApiGroup.make("items").add(HttpApiEndpoint.get("list", "/items", { success: Schema.Unknown }))
      )
      const body = "[".repeat(100_000) + "]".repeat(100_000)
      yield* upstream(
        { "*": [status(200, { headers: { "content-type": "application/json" }, body })] },
        {}
      )((stock) =>
        Effect.gen(function* () {
          const { items } = yield* UpstreamApi.make(stock, Api)
          const error = yield* Effect.flip(items.list())
          assert.include(error.message, "nested more than 128 levels")
        })
      )
    })
  )

  describe("streams", () => {
    const line = (left: string) => `${JSON.stringify({ sku: "A-7", left })}\n`
    const ndjson = (...parts: ReadonlyArray<ScriptedTransport.Part>) =>
      ScriptedTransport.stream(parts, { headers: { "content-type": "application/x-ndjson" } })

    it.effect("an endpoint's elements come as they are decoded, after an attempt that failed", () =>
      scripted(
        { "GET /export": [status(503), ndjson(line("1"), line("2"))] },
        { retry }
      )((client) =>
        Effect.gen(function* () {
          const items = yield* inTime(client.items.export())
          assert.deepStrictEqual(
            (yield* Stream.runCollect(items)).map(({ left }) => left),
            [1, 2]
          )
        }).pipe(Effect.scoped)
      )
    )

    it.effect("an element that does not decode, or a body that is cut off, fails the stream with a CallError", () =>
      scripted({
        "GET /export": [
          ndjson(line("1"), line("many")),
          ScriptedTransport.stream([line("1")], {
            headers: { "content-type": "application/x-ndjson" },
            end: "truncated"
          })
        ]
      })((client) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(Stream.runDrain(yield* client.items.export()))
          assert.isTrue(error._tag === "CallError" && error.reason._tag === "ResponseDecodeFailed")
          assert.include(error.message, "left")
          const cut = yield* Effect.flip(Stream.runDrain(yield* client.items.export()))
          assert.isTrue(cut._tag === "CallError" && cut.reason._tag === "ResponseTruncated")
        }).pipe(Effect.scoped)
      )
    )

    it.effect("lines before one that does not decode are given; events are, where they came in an earlier piece", () =>
      Effect.gen(function* () {
        const seen: Array<string> = []
        const Api = HttpApi.make("stock").add(
          HttpApiGroup.make("items").add(
            HttpApiEndpoint.get("watch", "/watch", { success: HttpApiSchema.StreamSse({ data: Item }) })
          )
        )
        const event = (left: string) => `data: ${line(left)}\n`
        const pause = ScriptedTransport.pause("1 milli")
        const parts = [event("1"), pause, event("2") + event("many")]
        yield* upstream(
          { "*": [ScriptedTransport.stream(parts, { headers: { "content-type": "text/event-stream" } })] },
          {}
        )((stock) =>
          Effect.gen(function* () {
            const { items } = yield* UpstreamApi.make(stock, Api)
            const events = yield* items.watch()
            yield* inTime(
              Effect.exit(Stream.runForEach(events, ({ left }) => Effect.sync(() => seen.push(`event ${left}`))))
            )
          })
        )
        yield* scripted({ "GET /export": [ndjson(line("1") + line("2") + line("many"))] })((client) =>
          Effect.gen(function* () {
            const items = yield* client.items.export()
            yield* Effect.exit(Stream.runForEach(items, ({ left }) => Effect.sync(() => seen.push(`line ${left}`))))
          })
        )
        assert.deepStrictEqual(seen, ["event 1", "line 1", "line 2"])
      }).pipe(Effect.scoped)
    )

    it.effect("its declared errors are its own, and a success that was not declared is none", () =>
      scripted({
        "GET /export": [json({ _tag: "NoSuchItem", sku: "*" }, { status: 404 }), json(pens, { status: 201 })]
      })((client) =>
        Effect.gen(function* () {
          assert.instanceOf(yield* Effect.flip(client.items.export()), NoSuchItem)
          const error = yield* Effect.flip(client.items.export())
          assert.isTrue(error._tag === "CallError" && error.reason._tag === "ResponseDecodeFailed", error.message)
        }).pipe(Effect.scoped)
      )
    )
  })

  describe("client middleware", () => {
    class Denied extends Schema.TaggedError<Denied>()("Denied", {}, { httpApiStatus: 401 }) {}

    class NoToken extends Schema.TaggedError<NoToken>()("NoToken", {}) {}

    class Auth extends HttpApiMiddleware.Service<Auth, { clientError: NoToken }>()("Auth", {
      error: Denied,
      requiredForClient: true
    }) {}

    const Api = HttpApi.make("stock").add(
      HttpApiGroup.make("items")
        .add(HttpApiEndpoint.get("find", "/items/:sku", { params: sku, success: Item }))
        .add(HttpApiEndpoint.post("add", "/items", { payload: Item, success: HttpApiSchema.NoContent }))
        .add(
          HttpApiEndpoint.get("export", "/export", {
            success: HttpApiSchema.StreamNdjson({ schema: Item }),
            error: NoSuchItem
          })
        )
        .middleware(Auth)
    )

    const withAuth =
      (
        script: ScriptedTransport.Script,
        around: HttpApiMiddleware.HttpApiMiddlewareClient<Denied, NoToken, never>,
        policy: HttpPolicy.Options = { retry }
      ) =>
      <A, E>(
        use: (
          client: UpstreamApi.ForApi<typeof Api>
        ) => Effect.Effect<A, E, ScriptedTransport.ScriptedRequests | Scope.Scope>
      ) =>
        upstream(
          script,
          policy
        )((stock) =>
          UpstreamApi.make(stock, Api).pipe(
            Effect.provide(HttpApiMiddleware.layerClient(Auth, around)),
            Effect.flatMap(use)
          )
        )

    it.effect("changes the request, once for all attempts", () => {
      let asked = 0
      return withAuth({ "*": [status(503), json(pens)] }, ({ next, request }) => {
        asked++
        return next(HttpClientRequest.bearerToken(request, "t-1"))
      })((client) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* inTime(client.items.find({ params: { sku: "A-7" } }))).left, 3)
          const seen = (yield* requests).map(({ headers }) => headers["authorization"])
          assert.deepStrictEqual([asked, seen], [1, ["Bearer t-1", "Bearer t-1"]])
        })
      )
    })

    it.effect("sees an error status as the response that it is, and may ask again", () =>
      withAuth(
        { "*": [json({ _tag: "Denied" }, { status: 401 }), json(pens), json({ _tag: "Denied" }, { status: 401 })] },
        ({ next, request }) =>
          Effect.flatMap(next(HttpClientRequest.bearerToken(request, "old")), (response) =>
            response.status === 401 ? next(HttpClientRequest.bearerToken(request, "new")) : Effect.succeed(response)
          )
      )((client) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* client.items.find({ params: { sku: "A-7" } })).left, 3)
          assert.deepStrictEqual(
            (yield* requests).map(({ headers }) => headers["authorization"]),
            ["Bearer old", "Bearer new"]
          )
          // given on as it is, it is the declared error
          assert.instanceOf(yield* Effect.flip(client.items.find({ params: { sku: "A-7" } })), Denied)
        })
      )
    )

    it.effect("may answer itself, and fail with an error of its own", () =>
      Effect.gen(function* () {
        yield* withAuth({}, ({ request }) =>
          Effect.succeed(HttpClientResponse.fromWeb(request, Response.json({ sku: "A-7", left: "9" })))
        )((client) =>
          Effect.map(client.items.find({ params: { sku: "A-7" } }), ({ left }) => assert.strictEqual(left, 9))
        )
        const error = yield* withAuth({}, () => Effect.fail(new NoToken()))((client) =>
          Effect.flip(client.items.find({ params: { sku: "A-7" } }))
        )
        assert.instanceOf(error, NoToken)
      })
    )

    it.effect("may give another answer in place of a declared error, of a stream's as of a whole one's", () =>
      withAuth({ "*": [json({ data: { _tag: "NoSuchItem", sku: "*" } }, { status: 404 })] }, ({ next, request }) =>
        Effect.flatMap(next(request), (response) =>
          Effect.map(response.json, (wrapped) => {
            const { data } = Schema.decodeUnknownSync(Schema.Struct({ data: Schema.Unknown }))(wrapped)
            return HttpClientResponse.fromWeb(request, Response.json(data, { status: response.status }))
          })
        )
      )((client) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(Effect.scoped(client.items.export()))
          assert.instanceOf(error, NoSuchItem)
          assert.strictEqual(error.sku, "*")
        })
      )
    )

    it.effect(
      "sees all headers of the call, may take any of them out, and decides by a key whether it is sent again",
      () => {
        const signed: Array<ReadonlyArray<string>> = []
        return withAuth({ "*": [reset, status(204)] }, ({ next, request }) => {
          const names = Object.keys(request.headers).toSorted()
          signed.push(names)
          const kept = names.includes("x-keep") ? request : HttpClientRequest.removeHeader(request, "idempotency-key")
          return next(HttpClientRequest.setHeader(kept, "x-signed", names.join(" ")))
        })((client) =>
          Effect.gen(function* () {
            const add = { payload: { sku: "A-7", left: 1 } }
            const without = client.items.add(add, { idempotencyKey: "k-1", headers: { "X-Shop": "north" } })
            const once = yield* Effect.flip(inTime(without))
            assert.isTrue(once._tag === "CallError" && once.retryStopped === "not-replayable")
            yield* inTime(client.items.add(add, { idempotencyKey: "k-1", headers: { "X-Keep": "1" } }))
            const [first, second] = yield* requests
            assert.isUndefined(first?.headers["idempotency-key"])
            assert.deepStrictEqual([first?.headers["x-shop"], second?.headers["idempotency-key"]], ["north", '"k-1"'])
            for (const [index, request] of [first, second].entries()) {
              const taken = index === 0 ? ["idempotency-key"] : []
              const sent = Object.keys(request?.headers ?? {}).filter(
                (name) => name !== "x-signed" && name !== "traceparent"
              )
              assert.deepStrictEqual([...sent, ...taken].toSorted(), signed[index])
            }
          })
        )
      }
    )

    it.effect("what it may not change is refused, and what the call comes to is a CallError through it", () =>
      Effect.gen(function* () {
        const error = yield* withAuth({}, ({ next, request }) => next(HttpClientRequest.bodyText(request, "other")))(
          (client) => Effect.flip(client.items.add({ payload: { sku: "A-7", left: 1 } }))
        )
        assert.isTrue(error._tag === "CallError" && error.reason._tag === "RequestEncodeFailed")
        assert.include(error.message, "body: must stay as the endpoint made it")
        const failed = yield* withAuth(
          { "*": [reset] },
          ({ next, request }) => next(request),
          {}
        )((client) => Effect.flip(client.items.find({ params: { sku: "A-7" } })))
        assert.isTrue(failed._tag === "CallError" && failed.reason._tag === "ConnectionReset")
      })
    )
  })

  describe("what cannot be made", () => {
    it.effect("an endpoint that upgrades, and a group that is not there, are refused in words", () =>
      upstream(
        {},
        {}
      )((stock) =>
        Effect.gen(function* () {
          const Api = HttpApi.make("docker").add(
            HttpApiGroup.make("exec").add(
              HttpApiEndpoint.post("start", "/exec", { success: HttpApiSchema.Upgrade({ protocol: "tcp" }) })
            )
          )
          const upgraded = yield* Effect.exit(UpstreamApi.make(stock, Api))
          assert.include(String(upgraded), "exec.start upgrades its connection")
          const missing = yield* Effect.exit(UpstreamApi.group(stock, StockApi, { group: "itms" as "items" }))
          assert.include(String(missing), 'stock has no group "itms"; it has "items", "health"')
          const none = yield* Effect.exit(
            UpstreamApi.endpoint(stock, StockApi, { group: "items", endpoint: "fnd" as "find" })
          )
          assert.include(String(none), 'stock has no endpoint "fnd"; it has "find"')
        })
      )
    )

    it("an upstream that was not made here is refused", () => {
      assert.throws(
        () => UpstreamApi.make({ name: "made up" } as Upstream.Upstream, StockApi),
        /was not made by Upstream.make/
      )
    })
  })
})

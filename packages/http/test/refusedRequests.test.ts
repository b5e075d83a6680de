import { Context, Effect, Redacted, Schema, Stream, Tracer } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import type { HttpMethod } from "effect/http/HttpMethod"
import { CallError } from "@holdfast/core/CallError"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as Baggage from "../src/Baggage.ts"
import * as CallObserver from "../src/CallObserver.ts"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import type { RequestOptions } from "../src/Request.ts"
import * as RequestIdentity from "../src/RequestIdentity.ts"
import * as ResilientClient from "../src/ResilientClient.ts"
import * as TraceContext from "../src/TraceContext.ts"
import * as Upstream from "../src/Upstream.ts"
import { upstream } from "./support/stock.ts"
import { keeping } from "./support/tracing.ts"

const secret = "c4n4ry"

/** A policy with every stage that could count a call. */
const policy: HttpPolicy.Options = {
  retry: {},
  rateLimit: { limit: 100, window: "1 second" },
  breaker: {},
  throttle: {},
  bulkhead: { maxConcurrent: 1 }
}

const scripted = { "*": [ScriptedTransport.status(200)] }

/** The issue of a request that is refused, of which no stage and no transport heard. */
const refusal = (
  given: RequestOptions,
  options: Partial<Upstream.Options> = {},
  within: <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = (call) => call
) =>
  upstream(
    scripted,
    policy,
    options
  )((api) =>
    Effect.gen(function* () {
      const before = yield* api.snapshot
      const error = yield* Effect.flip(within(api.post("/items", given)))
      assert.deepInclude(error, { attempts: 0, retryStopped: "not-retryable" })
      assert.notInclude(error.message + JSON.stringify(error), secret)
      assert.deepStrictEqual((yield* ScriptedTransport.seen).requests, [])
      assert.deepStrictEqual(yield* api.snapshot, before)
      return error.reason._tag === "RequestEncodeFailed" ? error.reason : assert.fail(error.reason._tag)
    })
  )

const sentHeaders = (
  given: RequestOptions,
  options: Partial<Upstream.Options> = {},
  within: <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = (call) => call
) =>
  upstream(
    scripted,
    {},
    { propagateRequestId: false, ...options }
  )((api) =>
    Effect.gen(function* () {
      yield* within(api.post("/items", given))
      return (yield* ScriptedTransport.seen).requests[0]?.headers
    })
  )

const ofTheConnection = [
  ["connection", "close"],
  ["Keep-Alive", "timeout=5"],
  ["proxy-connection", "keep-alive"],
  ["Transfer-Encoding", "chunked"],
  ["upgrade", "h2c"],
  ["HTTP2-Settings", "AAMAAABkAAQAAP__"],
  ["te", "gzip"],
  ["te", "trailers, deflate"],
  ["trailer", "digest"],
  ["Expect", "100-continue"]
] as const

const malformed = [
  [":path", "/other", "headers"],
  [":authority", "other.internal", "headers"],
  ["", "x", "headers"],
  ["x y", "1", "headers"],
  ["x\r\ny", "1", "headers"],
  ["n\u00e4me", "1", "headers"],
  [`${secret} in the wrong place`, "1", "headers"],
  ["x-a", `${secret}\r\nx-b: 1`, "headers.x-a"],
  ["x-a", `${secret}\u0000`, "headers.x-a"],
  ["x-a", `${secret}\u007f`, "headers.x-a"],
  ["x-a", `${secret}\u{1f600}`, "headers.x-a"],
  ["x-a", ` ${secret}`, "headers.x-a"],
  ["x-a", `${secret}\t`, "headers.x-a"]
] as const

describe("a header that a request may not have", () => {
  it.effect.each(ofTheConnection)("is refused, since it belongs to the connection: %s: %s", ([name, value]) =>
    Effect.gen(function* () {
      const { issue, path } = yield* refusal({ headers: { [name]: value } })
      assert.strictEqual(path, `headers.${name.toLowerCase()}`)
      assert.match(issue, /not for a request to say/)
    })
  )

  it.each(ofTheConnection)("is found where the upstream is made: %s: %s", (name, value) => {
    assert.throws(
      () => Upstream.make("stock", { baseUrl: "https://stock.internal", headers: { [name]: value } }),
      RangeError,
      `Upstream stock: headers.${name.toLowerCase()}: it is not for a request to say`
    )
  })

  it.effect.each(malformed)("is refused, since no protocol carries it: %j: %j", ([name, value, place]) =>
    Effect.gen(function* () {
      assert.strictEqual((yield* refusal({ headers: { [name]: Redacted.make(value) } })).path, place)
      assert.throws(
        () => Upstream.make("stock", { baseUrl: "https://stock.internal", headers: { [name]: value } }),
        RangeError,
        `Upstream stock: ${place}: `
      )
    })
  )

  it.effect("is refused when it is given twice, in two ways of writing its name", () =>
    Effect.gen(function* () {
      const headers = { "X-Tenant": "a", "x-tenant": "a" }
      assert.deepInclude(yield* refusal({ headers }), {
        path: "headers.x-tenant",
        issue: "it is given twice, as X-Tenant and as x-tenant"
      })
      assert.throws(() => Upstream.make("stock", { baseUrl: "https://stock.internal", headers }), /given twice/)
    })
  )

  it.effect("is refused in every other place that a header comes from", () =>
    Effect.gen(function* () {
      const hostile = `${secret}\r\nx: 1`
      const identity = { id: "job-1", tags: { "x-tag": hostile } }
      assert.strictEqual((yield* refusal({ text: "a", contentType: hostile })).path, "contentType")
      assert.strictEqual((yield* refusal({ idempotencyKey: hostile })).path, "idempotencyKey")
      assert.strictEqual(
        (yield* refusal({}, { propagateTags: ["x-tag"] }, Effect.provideService(RequestIdentity.Current, identity)))
          .path,
        "tags.x-tag"
      )
      const id = { id: "a b\r\nx: 1", tags: {} }
      assert.strictEqual(
        (yield* refusal({}, {}, Effect.provideService(RequestIdentity.Current, id))).path,
        "headers.x-request-id"
      )
    })
  )

  it("is none for the time that is left, either", () => {
    for (const deadlineHeader of ["Content-Length", "connection", "host", "te"]) {
      assert.throws(() => HttpPolicy.make({ deadlineHeader }), /must not be a header that HTTP itself uses/)
    }
  })

  it("is none for a tag", () => {
    for (const name of ["connection", "http2-settings", "content-length", "te", "proxy-connection"]) {
      const make = () => Upstream.make("stock", { baseUrl: "https://stock.internal", propagateTags: [name] })
      assert.throws(make, /must not name headers that HTTP or tracing uses/)
    }
  })
})

describe("a header that a request may have", () => {
  it.effect("is sent as it is, in small letters", () =>
    Effect.gen(function* () {
      const headers = {
        TE: "trailers",
        "X-Empty": "",
        "x-latin": "caf\u00e9",
        "x-tab": "a\tb",
        "x!#$%&'*+-.^_`|~1": "ok"
      }
      assert.deepStrictEqual(yield* sentHeaders({ headers }), {
        te: "trailers",
        "x-empty": "",
        "x-latin": "caf\u00e9",
        "x-tab": "a\tb",
        "x!#$%&'*+-.^_`|~1": "ok"
      })
    })
  )

  it.effect.each(["shop.example", "shop.example:8080", "127.0.0.1", "[::1]:8443", "xn--bcher-kva.example"])(
    "names a virtual host: %s",
    (host) => Effect.map(sentHeaders({ headers: { Host: host } }), (sent) => assert.deepStrictEqual(sent, { host }))
  )

  it.effect.each([
    "",
    "shop.example/path",
    "user@shop.example",
    "a b",
    "shop.example:port",
    "[::1",
    "b\u00fccher.example"
  ])("names no host: %j", (host) =>
    Effect.map(refusal({ headers: { host } }), ({ path }) => assert.strictEqual(path, "headers.host"))
  )

  it.effect("leaves out what a trace or a baggage has that no header carries, and the call is made", () =>
    Effect.gen(function* () {
      const parent = Tracer.externalSpan({
        traceId: "0af7651916cd43dd8448eb211c80319c",
        spanId: "b7ad6b7169203331",
        annotations: Context.make(TraceContext.TraceState, `a=${secret}\r\nx: 1`)
      })
      const traced = yield* sentHeaders({}, {}, (call) =>
        call.pipe(Effect.withParentSpan(parent), Effect.provideService(Tracer.Tracer, keeping().tracer))
      )
      assert.match(traced?.["traceparent"] ?? "", /^00-0af7651916cd43dd8448eb211c80319c-/)
      assert.notProperty(traced, "tracestate")
      const baggage = new Map([
        ["a", { value: "1", properties: " ttl=30\t" }],
        ["b\r\n", { value: "1" }],
        ["c", { value: "1", properties: "x\r\ny" }]
      ])
      const carried = yield* sentHeaders(
        {},
        { propagateTrace: { baggage: true } },
        Effect.provideService(Baggage.Current, baggage)
      )
      assert.deepInclude(carried, { baggage: "a=1;ttl=30" })
    })
  )
})

describe("the length that a request declares", () => {
  const bodies: ReadonlyArray<readonly [RequestOptions, string]> = [
    [{ text: "h\u00e9llo" }, "6"],
    [{ json: { a: "\u{1f600}" } }, "12"],
    [{ form: { a: "1" } }, "3"],
    [{ bytes: Uint8Array.of(1, 2) }, "2"],
    [{ stream: Stream.make(Uint8Array.of(1, 2)) }, "2"],
    [{}, "0"]
  ]

  it.effect("is sent when it is that of the body, or of a stream that nobody has counted", () =>
    Effect.gen(function* () {
      for (const [body, length] of bodies) {
        const sent = yield* sentHeaders({ ...body, headers: { "content-length": length } })
        assert.strictEqual(sent?.["content-length"], length)
      }
    })
  )

  it.effect("is refused when it is another, or no number of bytes", () =>
    Effect.gen(function* () {
      for (const [body, length] of bodies) {
        const wrong = body.stream === undefined ? [String(Number(length) + 1)] : []
        for (const declared of [...wrong, "", "-1", "1.5", "0x2", "2, 2", "9".repeat(30)]) {
          const { path } = yield* refusal({ ...body, headers: { "Content-Length": declared } })
          assert.strictEqual(path, "headers.content-length", declared)
        }
      }
      assert.throws(
        () => Upstream.make("stock", { baseUrl: "https://stock.internal", headers: { "content-length": "2" } }),
        /of one body/
      )
    })
  )

  it.effect("is that of the encoded body where a schema encodes it", () =>
    Effect.gen(function* () {
      const given = { json: 5, encode: Schema.NumberFromString, headers: { "content-length": "9" } }
      assert.strictEqual((yield* refusal(given)).path, "headers.content-length")
    })
  )
})

describe("text that is not Unicode", () => {
  const half = "\ud800"
  it.effect.each([
    ["text", { text: `a${half}` }],
    ["json", { json: { a: [`${half}b`] } }],
    ["json", { json: { [`a\udc00`]: 1 } }],
    ["form.a", { form: { a: half } }],
    ["form.a\ufffd", { form: { [`a${half}`]: "1" } }],
    ["query.a", { query: { a: half } }]
  ] as const)("is refused, for what would be sent is another: %s", ([place, given]) =>
    Effect.map(refusal(given), ({ issue, path }) => {
      assert.strictEqual(path, place)
      assert.match(issue, /well-formed Unicode/)
    })
  )

  it.effect("is not what only looks like it in JSON", () =>
    Effect.gen(function* () {
      for (const json of ["\\ud800", "\u{1f600}", "\\\\ud800", "C:\\users\\udder"]) {
        assert.isDefined(yield* sentHeaders({ json }))
      }
    })
  )
})

describe("a client with a policy", () => {
  const asked = (request: HttpClientRequest.HttpClientRequest) =>
    Effect.gen(function* () {
      let sent = 0
      const client = HttpClient.make((request) =>
        Effect.sync(() => {
          sent++
          return HttpClientResponse.fromWeb(request, new Response("ok"))
        })
      ).pipe(ResilientClient.withPolicy({ policy: HttpPolicy.standard() }))
      const exit = yield* Effect.result(client.execute(request))
      return { sent, error: exit._tag === "Failure" ? exit.failure : undefined }
    })

  const request = HttpClientRequest.get("https://stock.internal/items")

  it.effect.each([
    ["headers.x-a", HttpClientRequest.setHeader(request, "x-a", `${secret}\r\nx: 1`)],
    ["headers", HttpClientRequest.setHeader(request, "x a", "1")],
    ["method", HttpClientRequest.make("CONNECT" as HttpMethod)("https://stock.internal/items")],
    ["method", HttpClientRequest.make("GET /other" as HttpMethod)("https://stock.internal/items")]
  ] as const)("makes no attempt of what no client can send: %s", ([place, wrong]) =>
    Effect.gen(function* () {
      const { error, sent } = yield* asked(wrong)
      if (!(error instanceof CallError) || HttpClientError.isHttpClientError(error)) return assert.fail(String(error))
      assert.deepStrictEqual([sent, error.attempts], [0, 0])
      assert.deepInclude(error.reason, { _tag: "RequestEncodeFailed", path: place })
      assert.notInclude(error.message, secret)
    })
  )

  it.effect("leaves it to the client what a connection is asked", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* asked(HttpClientRequest.setHeader(request, "connection", "close"))).sent, 1)
    })
  )
})

describe("a path that is refused", () => {
  it.effect.each<readonly [path: string, told: string]>([
    [`token=${secret}1`, "token=…"],
    [`${secret}1`, "…"],
    [`/items?token=${secret} x`, "/items?…"],
    [`/hooks/${secret}1\n`, "/hooks/…"],
    [`/hooks/${secret}1\n/calls/{id}`, "/hooks/…/calls/{id}"],
    [`https://user:${secret}1@other.internal/v1/items`, "…//…/v1/items"],
    [`/v1/items/../${secret}1`, "/v1/items/../…"],
    ["items/{id}", "items/{id}"]
  ])("%j is told without what may be a secret: to errors, spans and observers", ([path, told]) => {
    const heard: Array<string> = []
    const observer: CallObserver.CallObserver = {
      callStarted: ({ operation, template }) => void heard.push(operation, template),
      callEnded: ({ operation, template }, { error }) => void heard.push(operation, template, error?.operation ?? "")
    }
    return upstream(
      scripted,
      policy
    )((api) =>
      Effect.gen(function* () {
        const { spans, tracer } = keeping()
        const asked = Effect.flip(api.get<string>(path)).pipe(Effect.provideService(Tracer.Tracer, tracer))
        const error = yield* asked
        assert.strictEqual(error.operation, `GET ${told}`)
        const shown = spans.map(({ attributes, name }) => [name, [...attributes]])
        const all = JSON.stringify([error, error.message, shown, heard])
        assert.notInclude(all, secret)
        assert.strictEqual(heard[1], told)
        assert.strictEqual(spans[0]?.name, `stock GET ${told}`)
        const streamed = yield* Effect.flip(Effect.scoped(api.streaming.get<string>(path)))
        assert.strictEqual(streamed.operation, error.operation)
      })
    ).pipe(Effect.provide(CallObserver.layer(observer)))
  })
})

describe("an option of a request that there is not", () => {
  const calls = {
    whole: (api: Upstream.Upstream, path: string, given: object) => Effect.asVoid(api.post(path, given)),
    streamed: (api: Upstream.Upstream, path: string, given: object) =>
      Effect.asVoid(Effect.scoped(api.streaming.post(path, given)))
  }
  for (const [kind, call] of Object.entries(calls)) {
    for (const [path, given, issue] of [
      ["/items", { body: { a: 1 } }, "body: is not an option of a request; did you mean json?"],
      ["/items", { jsn: { a: 1 } }, "jsn: is not an option of a request; did you mean json?"],
      ["/items", { searchParams: { a: 1 } }, "searchParams: is not an option of a request; did you mean query?"],
      ["/items", { wibble: 1 }, "wibble: is not an option of a request; there are params, query, headers"],
      [
        "/items/:sku",
        { params: { sku: "A" } },
        "params.sku: the path /items/:sku has no place for it; a place is written {sku}"
      ]
    ] as const) {
      it.effect(`is refused, and nothing is sent without it: ${Object.keys(given).join()}, ${kind}`, () =>
        upstream(
          scripted,
          policy
        )((api) =>
          Effect.gen(function* () {
            const error = yield* Effect.flip(call(api, path, given))
            assert.deepInclude(error, { attempts: 0, applied: "no" })
            assert.strictEqual(error.reason._tag, "RequestEncodeFailed")
            assert.include(error.message, issue)
            assert.deepStrictEqual((yield* ScriptedTransport.seen).requests, [])
          })
        )
      )
    }
  }
})

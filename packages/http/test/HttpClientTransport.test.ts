import { Context, Effect, Exit, Fiber, Layer, Option, Queue, Redacted, Stream, Tracer } from "effect"
import { FetchHttpClient, HttpClient, HttpClientError, type HttpClientRequest, HttpClientResponse } from "effect/http"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as HttpClientTransport from "../src/HttpClientTransport.ts"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import type * as Transport from "../src/Transport.ts"
import * as Upstream from "../src/Upstream.ts"

const fork = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.tap(Effect.forkChild(self), () => TestClock.adjust(0))

const request = (given: Partial<Transport.Request> = {}): Transport.Request => ({
  upstream: "stock",
  operation: "GET /items",
  resend: 0,
  method: "GET",
  origin: "https://stock.internal:8443",
  path: "/items?page=1",
  headers: { "x-request-id": "7" },
  body: undefined,
  expectedStatus: [],
  limits: HttpPolicy.defaults.limits,
  ...given
})

/** A client that gives one response, and keeps what it was asked. */
const answering = (response: (request: HttpClientRequest.HttpClientRequest) => Response) => {
  const requests: Array<HttpClientRequest.HttpClientRequest> = []
  const client = HttpClient.make((request) =>
    Effect.sync(() => {
      requests.push(request)
      return HttpClientResponse.fromWeb(request, response(request))
    })
  )
  return { requests, transport: HttpClientTransport.make(client) }
}

const failing = (make: (request: HttpClientRequest.HttpClientRequest) => unknown) =>
  HttpClientTransport.make(
    HttpClient.make((request) =>
      Effect.fail(
        new HttpClientError.HttpClientError({
          reason: new HttpClientError.TransportError({ request, cause: make(request) })
        })
      )
    )
  )

/** A body in chunks, which says whether it was read to its end or left. */
const chunked = (chunks: ReadonlyArray<string | Error>, ended: Array<string>, everyMillis = 0) =>
  Stream.toReadableStream(
    Stream.fromIterable(chunks).pipe(
      Stream.mapEffect((chunk) =>
        Effect.delay(
          chunk instanceof Error ? Effect.fail(chunk) : Effect.succeed(new TextEncoder().encode(chunk)),
          everyMillis
        )
      ),
      Stream.onExit((exit) => Effect.sync(() => void ended.push(Exit.isSuccess(exit) ? "read" : "left")))
    )
  )

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

describe("HttpClientTransport", () => {
  describe("the request", () => {
    it.effect("goes to its origin and path, with its method and headers, without a body of its own making", () =>
      Effect.gen(function* () {
        const { requests, transport } = answering(() => new Response(null, { status: 204 }))
        for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]) {
          yield* transport.send(request({ method }))
        }
        assert.deepStrictEqual(
          requests.map(({ body, headers, method, url }) => [method, url, headers["x-request-id"], body._tag]),
          ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].map((method) => [
            method,
            "https://stock.internal:8443/items?page=1",
            "7",
            "Empty"
          ])
        )
      })
    )

    it.effect("sends text, bytes and streams as they are, with the media type that the headers say", () =>
      Effect.gen(function* () {
        const { requests, transport } = answering(() => new Response(null, { status: 204 }))
        const headers = { "content-type": "application/vnd.a+json" }
        const stream = Stream.make(new TextEncoder().encode("streamed"))
        for (const body of ['{"a":1}', new Uint8Array([1, 2]), stream]) {
          yield* transport.send(request({ method: "POST", headers, body }))
        }
        assert.deepStrictEqual(
          requests.map(({ body, headers }) => [body._tag, headers["content-type"]]),
          [
            ["Uint8Array", "application/vnd.a+json"],
            ["Uint8Array", "application/vnd.a+json"],
            ["Stream", "application/vnd.a+json"]
          ]
        )
        const sent = requests.map(({ body }) => (body._tag === "Uint8Array" ? text(body.body) : body._tag))
        assert.deepStrictEqual(sent, ['{"a":1}', "\u0001\u0002", "Stream"])
      })
    )

    it.effect("asks fetch not to follow redirects: they would take its secrets along", () =>
      Effect.gen(function* () {
        let init: RequestInit | undefined
        const client = HttpClient.make((request, _url, _signal, fiber) =>
          Effect.sync(() => {
            init = Option.getOrUndefined(Context.getOption(fiber.context, FetchHttpClient.RequestInit))
            return HttpClientResponse.fromWeb(request, new Response(null, { status: 302 }))
          })
        )
        const { status } = yield* HttpClientTransport.make(client).send(request())
        assert.deepStrictEqual([status, init?.redirect], [302, "manual"])
      })
    )

    it.effect("makes no spans and sends no trace headers of the client's own", () =>
      Effect.gen(function* () {
        const spans: Array<string> = []
        const tracer = Tracer.make({
          span: (options) => {
            spans.push(options.name)
            return new Tracer.NativeSpan(options)
          }
        })
        const { requests, transport } = answering(() => new Response("ok"))
        yield* transport.send(request()).pipe(Effect.withSpan("outer"), Effect.provideService(Tracer.Tracer, tracer))
        assert.deepStrictEqual(spans, ["outer"])
        assert.notProperty(requests[0]?.headers, "traceparent")
        assert.notProperty(requests[0]?.headers, "b3")
      })
    )
  })

  describe("the response", () => {
    it.effect("is read whole, with its status and headers", () =>
      Effect.gen(function* () {
        const ended: Array<string> = []
        const { transport } = answering(
          () => new Response(chunked(["3 ", "left"], ended), { status: 201, headers: { ETag: '"1"' } })
        )
        const response = yield* transport.send(request())
        assert.deepInclude(response, { status: 201, bodyComplete: true })
        assert.strictEqual(response.headers["etag"], '"1"')
        assert.strictEqual(text(response.body), "3 left")
        assert.deepStrictEqual(ended, ["read"])
      })
    )

    it.effect("without any body is a whole one of no bytes: 204, 304, an error status", () =>
      Effect.gen(function* () {
        for (const status of [200, 204, 304, 404, 503]) {
          const { transport } = answering(() => new Response(null, { status }))
          const response = yield* transport.send(request())
          assert.deepInclude(response, { status, bodyComplete: true })
          assert.strictEqual(response.body.length, 0)
        }
      })
    )

    it.effect("of a HEAD has no body, whatever its headers announce", () =>
      Effect.gen(function* () {
        const { transport } = answering(() => new Response(null, { headers: { "content-length": "1000" } }))
        const response = yield* transport.send(request({ method: "HEAD" }))
        assert.deepStrictEqual([response.body.length, response.bodyComplete], [0, true])
      })
    )

    it.effect("that is too long is refused with its limit, and left", () =>
      Effect.gen(function* () {
        const limits = { ...HttpPolicy.defaults.limits, responseBytes: 8 }
        const ended: Array<string> = []
        const exactly = answering(() => new Response(chunked(["1234", "5678"], ended)))
        assert.strictEqual(text((yield* exactly.transport.send(request({ limits }))).body), "12345678")
        const more = answering(() => new Response(chunked(["1234", "5678", "9", ..."more".repeat(99)], ended)))
        const reason = yield* Effect.flip(more.transport.send(request({ limits })))
        assert.deepInclude(reason, { _tag: "ResponseTooLarge", limit: 8, endpoint: "stock.internal:8443" })
        assert.deepStrictEqual(ended, ["read", "left"])
      })
    )

    it.effect("of an error status keeps the beginning of its body, and is read on so that its connection lives", () =>
      Effect.gen(function* () {
        const limits = { ...HttpPolicy.defaults.limits, errorBytes: 6, drainBytes: 100 }
        const ended: Array<string> = []
        const { transport } = answering(() => new Response(chunked(["1234", "5678", "90"], ended), { status: 500 }))
        const response = yield* transport.send(request({ limits }))
        assert.deepInclude(response, { status: 500, bodyComplete: false })
        assert.strictEqual(text(response.body), "123456")
        assert.deepStrictEqual(ended, ["read"])
        const short = answering(() => new Response("1234", { status: 404 }))
        assert.isTrue((yield* short.transport.send(request({ limits }))).bodyComplete)
      })
    )

    it.effect("of an error status that is too long or too slow is left", () =>
      Effect.gen(function* () {
        const ended: Array<string> = []
        const long = answering(() => new Response(chunked(Array(99).fill("1234"), ended), { status: 500 }))
        const limits = { ...HttpPolicy.defaults.limits, drainBytes: 10 }
        assert.isFalse((yield* long.transport.send(request({ limits }))).bodyComplete)
        assert.deepStrictEqual(ended, ["left"])
        const slow = answering(() => new Response(new ReadableStream({}), { status: 500 }))
        const call = yield* fork(slow.transport.send(request()))
        yield* TestClock.adjust("999 millis")
        assert.isUndefined(call.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.deepInclude(yield* Fiber.join(call), { status: 500, bodyComplete: false })
      })
    )

    it.effect("of an error status that is expected is read whole, like a success", () =>
      Effect.gen(function* () {
        const limits = { ...HttpPolicy.defaults.limits, errorBytes: 2 }
        const { transport } = answering(() => new Response("not there", { status: 404 }))
        const expected = yield* transport.send(request({ limits, expectedStatus: [404] }))
        assert.strictEqual(text(expected.body), "not there")
        assert.strictEqual(text((yield* transport.send(request({ limits }))).body), "no")
      })
    )

    it.effect("that breaks in its body is a failure of receiving; of an error status, an answer cut short", () =>
      Effect.gen(function* () {
        const broken = () => Object.assign(new Error("aborted"), { code: "ECONNRESET" })
        const success = answering(() => new Response(chunked(["1234", broken()], [])))
        assert.deepInclude(yield* Effect.flip(success.transport.send(request())), { phase: "receive" })
        const failure = answering(() => new Response(chunked(["1234", broken()], []), { status: 503 }))
        assert.deepInclude(yield* failure.transport.send(request()), { status: 503, bodyComplete: false })
      })
    )
  })

  describe("the response that is opened", () => {
    const streamed = (answer: Transport.Response | Transport.OpenResponse) =>
      "stream" in answer ? answer : assert.fail("the answer is whole")

    it.effect("is given with its headers, before its body has come, and read as it comes", () =>
      Effect.gen(function* () {
        let send: ReadableStreamDefaultController<Uint8Array> | undefined
        const body = new ReadableStream<Uint8Array>({
          start: (controller) => {
            send = controller
          }
        })
        const { transport } = answering(() => new Response(body, { status: 206, headers: { etag: "7" } }))
        const answer = streamed(yield* transport.open(request()))
        assert.deepStrictEqual([answer.status, answer.headers["etag"]], [206, "7"])
        const read = yield* Queue.unbounded<string>()
        const reading = yield* fork(Stream.runForEach(answer.stream, (bytes) => Queue.offer(read, text(bytes))))
        for (const chunk of ["12", "34"]) {
          send?.enqueue(new TextEncoder().encode(chunk))
          assert.strictEqual(yield* Queue.take(read), chunk)
        }
        assert.isUndefined(reading.pollUnsafe())
        send?.close()
        yield* Fiber.join(reading)
      }).pipe(Effect.scoped)
    )

    it.effect("is aborted by a reader who leaves, and by its scope when nobody reads", () =>
      Effect.gen(function* () {
        const ended: Array<string> = []
        const signals: Array<AbortSignal> = []
        const client = HttpClient.make((request, _url, signal) =>
          Effect.sync(() => {
            signals.push(signal)
            return HttpClientResponse.fromWeb(request, new Response(chunked(["12", "34", "56"], ended)))
          })
        )
        const transport = HttpClientTransport.make(client)
        const left = streamed(yield* transport.open(request()))
        assert.deepStrictEqual((yield* Stream.runCollect(Stream.take(left.stream, 1))).map(text), ["12"])
        assert.deepStrictEqual(ended, ["left"])
        yield* Effect.scoped(transport.open(request()))
        assert.deepStrictEqual(ended, ["left", "left"])
        assert.deepStrictEqual(
          signals.map(({ aborted }) => aborted),
          [false, true]
        )
      }).pipe(Effect.scoped)
    )

    it.effect("aborts the client's request when its caller goes before the headers", () =>
      Effect.gen(function* () {
        let aborted = false
        const client = HttpClient.make((_request, _url, signal) => {
          signal.addEventListener("abort", () => {
            aborted = true
          })
          return Effect.never
        })
        const call = yield* fork(Effect.scoped(HttpClientTransport.make(client).open(request())))
        yield* Fiber.interrupt(call)
        assert.isTrue(aborted)
      })
    )

    it.effect("without any body is an empty stream: 204, 304, HEAD", () =>
      Effect.gen(function* () {
        const { transport } = answering(() => new Response(null, { status: 204, headers: { "content-length": "99" } }))
        for (const method of ["GET", "HEAD"]) {
          const answer = streamed(yield* transport.open(request({ method })))
          assert.deepStrictEqual(yield* Stream.runCollect(answer.stream), [])
        }
      }).pipe(Effect.scoped)
    )

    it.effect("that breaks in its body is a failure of receiving", () =>
      Effect.gen(function* () {
        const broken = Object.assign(new Error("terminated"), { code: "ECONNRESET" })
        const { transport } = answering(() => new Response(chunked(["12", broken], [])))
        const answer = streamed(yield* transport.open(request()))
        const reason = yield* Effect.flip(Stream.runDrain(answer.stream))
        assert.deepInclude(reason, { endpoint: "stock.internal:8443", phase: "receive" })
      }).pipe(Effect.scoped)
    )

    it.effect("that announces more than it may have is refused, and left", () =>
      Effect.gen(function* () {
        const ended: Array<string> = []
        const signals: Array<AbortSignal> = []
        const client = HttpClient.make((request, _url, signal) =>
          Effect.sync(() => {
            signals.push(signal)
            return HttpClientResponse.fromWeb(
              request,
              new Response(chunked(["123456"], ended), { headers: { "content-length": "6" } })
            )
          })
        )
        const limits = { ...HttpPolicy.defaults.limits, responseBytes: 5 }
        const reason = yield* Effect.flip(Effect.scoped(HttpClientTransport.make(client).open(request({ limits }))))
        assert.deepInclude(reason, { _tag: "ResponseTooLarge", limit: 5, size: 6 })
        assert.isTrue(signals[0]?.aborted)
      })
    )

    it.effect("with an error status comes whole, or what is kept of it; an expected one is a stream", () =>
      Effect.gen(function* () {
        const { transport } = answering(() => new Response("none", { status: 404 }))
        const whole = yield* transport.open(request())
        assert.strictEqual("body" in whole && text(whole.body), "none")
        const answer = streamed(yield* transport.open(request({ expectedStatus: [404] })))
        assert.deepStrictEqual((yield* Stream.runCollect(answer.stream)).map(text), ["none"])
      }).pipe(Effect.scoped)
    )
  })

  describe("failures", () => {
    for (const [code, tag, phase] of [
      ["ECONNREFUSED", "ConnectionRefused", "connect"],
      ["ENOTFOUND", "NameResolutionFailed", "connect"],
      ["ECONNRESET", "ConnectionReset", "wait"],
      ["CERT_HAS_EXPIRED", "CertificateExpired", "connect"]
    ] as const) {
      it.effect(`${code} is ${tag}, at the endpoint that was called`, () =>
        Effect.gen(function* () {
          const inner = Object.assign(new Error(code), { code })
          const transport = failing(() => new TypeError("fetch failed", { cause: inner }))
          const reason = yield* Effect.flip(transport.send(request()))
          assert.deepInclude(reason, { _tag: tag, endpoint: "stock.internal:8443" })
          if ("phase" in reason) assert.strictEqual(reason.phase, phase)
        })
      )
    }

    it.effect("an interruption aborts the client's request", () =>
      Effect.gen(function* () {
        let aborted = false
        const client = HttpClient.make((_request, _url, signal) => {
          signal.addEventListener("abort", () => {
            aborted = true
          })
          return Effect.never
        })
        const call = yield* fork(HttpClientTransport.make(client).send(request()))
        yield* Fiber.interrupt(call)
        assert.isTrue(aborted)
      })
    )

    it.effect("an interruption while the body is read leaves the body", () =>
      Effect.gen(function* () {
        const ended: Array<string> = []
        let cancelled = false
        const body = new ReadableStream({
          start: (controller) => controller.enqueue(new TextEncoder().encode("1234")),
          cancel: () => {
            cancelled = true
            ended.push("left")
          }
        })
        const { transport } = answering(() => new Response(body))
        const call = yield* fork(transport.send(request()))
        yield* Fiber.interrupt(call)
        assert.isTrue(cancelled)
        assert.deepStrictEqual(ended, ["left"])
      })
    )
  })

  it.effect("the layer carries an upstream's calls, retries and all", () =>
    Effect.gen(function* () {
      const requests: Array<HttpClientRequest.HttpClientRequest> = []
      const client = HttpClient.make((request) =>
        Effect.sync(() => {
          requests.push(request)
          return HttpClientResponse.fromWeb(
            request,
            new Response("3 left", { status: requests.length < 3 ? 503 : 200 })
          )
        })
      )
      const transport = HttpClientTransport.layer.pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, client)))
      const stock = yield* Upstream.make("stock", {
        baseUrl: "https://stock.internal/v1",
        headers: { authorization: Redacted.make("Bearer s3cret") }
      }).pipe(Effect.provide(transport))
      const call = yield* fork(stock.get("/items/{sku}", { params: { sku: "A 7" } }))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(call)).text, "3 left")
      assert.deepStrictEqual(
        requests.map(({ headers, url }) => [url, headers["authorization"]]),
        [1, 2, 3].map(() => ["https://stock.internal/v1/items/A%207", "Bearer s3cret"])
      )
    }).pipe(Effect.scoped)
  )
})

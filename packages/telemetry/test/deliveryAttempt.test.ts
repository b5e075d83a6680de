import { gunzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Tracer } from "effect"
import {
  FetchHttpClient,
  HttpBody,
  HttpClient,
  HttpClientError,
  HttpClientRequest,
  HttpClientResponse
} from "effect/http"
import { attempt, type AttemptSettings, prepared, shownUrl } from "../src/internal/otlp/deliveryAttempt.ts"

const settings: AttemptSettings = {
  url: new URL("https://user:secret@collector.test:4318/v1/traces?key=secret"),
  headers: { authorization: "Bearer token" },
  gzip: false,
  timeoutMillis: 10_000
}

const spans = "spans ".repeat(1000)

const content = HttpClientRequest.post("https://collector.test:4318/v1/traces").pipe(
  HttpClientRequest.setBody(HttpBody.uint8Array(new TextEncoder().encode(spans), "application/json"))
)

/** What becomes of an attempt whose request is answered so. */
const attempted = <E, R = never>(
  answer: (
    request: HttpClientRequest.HttpClientRequest
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, E | HttpClientError.HttpClientError, R>,
  given: Partial<AttemptSettings> = {}
) =>
  Effect.clockWith((clock) =>
    attempt(
      { ...settings, ...given },
      // a client of somebody else's may fail with anything
      HttpClient.make((request) => answer(request) as Effect.Effect<HttpClientResponse.HttpClientResponse>),
      clock,
      content
    )
  )

const answered = (status: number, headers: Record<string, string> = {}, body: BodyInit | null = null) =>
  attempted((request) => Effect.succeed(HttpClientResponse.fromWeb(request, new Response(body, { status, headers }))))

const failed = (reason: (request: HttpClientRequest.HttpClientRequest) => HttpClientError.HttpClientError["reason"]) =>
  attempted((request) => Effect.fail(new HttpClientError.HttpClientError({ reason: reason(request) })))

describe("a request of the exporter", () => {
  it.effect("has the headers that the receiver is told", () =>
    Effect.gen(function* () {
      const { body, headers } = yield* prepared(settings, content)
      assert.strictEqual(headers["authorization"], "Bearer token")
      assert.isFalse("content-encoding" in headers)
      assert.strictEqual(body, content.body)
    })
  )

  it.effect("is compressed where that is asked for", () =>
    Effect.gen(function* () {
      const { body, headers } = yield* prepared({ ...settings, gzip: true }, content)
      assert.deepInclude(headers, { authorization: "Bearer token", "content-encoding": "gzip" })
      if (body._tag !== "Uint8Array") throw new Error(`no bytes: ${body._tag}`)
      assert.strictEqual(gunzipSync(body.body).toString(), spans)
    })
  )

  it.effect("is sent as it is where it cannot be compressed", () =>
    Effect.gen(function* () {
      const { CompressionStream: known } = globalThis
      yield* Effect.addFinalizer(() => Effect.sync(() => void Object.assign(globalThis, { CompressionStream: known })))
      for (const broken of [
        undefined,
        class {
          constructor() {
            throw new Error("no compression")
          }
        }
      ]) {
        Object.assign(globalThis, { CompressionStream: broken })
        const { body, headers } = yield* prepared({ ...settings, gzip: true }, content)
        assert.deepStrictEqual([body, headers["authorization"]], [content.body, "Bearer token"])
        assert.isFalse("content-encoding" in headers)
      }
    })
  )

  it("is shown without credentials and query", () => {
    assert.strictEqual(shownUrl(settings.url), "https://collector.test:4318/v1/traces")
  })
})

describe("what becomes of an attempt", () => {
  it.effect("is what the answer says, with the wait that it asks for", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* answered(200), [{ _tag: "Arrived", rejected: 0, message: "" }, undefined])
      assert.deepStrictEqual(yield* answered(503, { "retry-after": "7" }), [{ _tag: "Retry", why: "status 503" }, 7000])
      const partial = JSON.stringify({ partialSuccess: { rejectedSpans: 3, errorMessage: "old" } })
      assert.deepStrictEqual(yield* answered(200, { "content-type": "application/json" }, partial), [
        { _tag: "Arrived", rejected: 3, message: "old" },
        undefined
      ])
      // without a type it is not read
      assert.deepStrictEqual((yield* answered(413, {}, new Uint8Array([1])))[0], {
        _tag: "TooLarge",
        why: "status 413"
      })
    })
  )

  it.effect("is read from the first 64 KiB of the answer, in as many pieces as it comes, and the rest is left", () =>
    Effect.gen(function* () {
      const partial = JSON.stringify({ partialSuccess: { rejectedSpans: 3 } })
      const pieces = (...sizes: ReadonlyArray<number>) => {
        let pulled = 0
        const bytes = new TextEncoder().encode(partial.padEnd(sizes.reduce((sum, size) => sum + size, 0)))
        let at = 0
        const body = new ReadableStream<Uint8Array<ArrayBuffer>>(
          {
            pull: (controller) => {
              const size = sizes[pulled++]
              if (size === undefined) controller.close()
              else controller.enqueue(bytes.slice(at, (at += size)))
            }
          },
          { highWaterMark: 0 }
        )
        return Effect.map(
          answered(200, { "content-type": "application/json" }, body),
          ([verdict]) => [verdict, pulled] as const
        )
      }
      const three = { _tag: "Arrived", rejected: 3, message: "" } as const
      assert.deepStrictEqual(yield* pieces(10, 20, 40), [three, 4])
      assert.deepStrictEqual(yield* pieces(40_000, 25_535, 1, 10), [three, 3])
      assert.deepStrictEqual(yield* pieces(65_535, 1, 1), [three, 2])
      assert.deepStrictEqual(yield* pieces(65_536, 1), [three, 1])
      assert.deepStrictEqual(yield* pieces(70_000, 1), [three, 1])
    })
  )

  it.effect("is decided by its status where the body breaks", () =>
    Effect.gen(function* () {
      const body = new ReadableStream({ pull: (controller) => controller.error(new Error("cut")) })
      assert.deepStrictEqual((yield* answered(200, {}, body))[0], { _tag: "Arrived", rejected: 0, message: "" })
    })
  )

  it.effect("is that the request cannot be made, ever", () =>
    Effect.gen(function* () {
      const cause = new Error("secret")
      assert.deepStrictEqual(yield* failed((request) => new HttpClientError.EncodeError({ request, cause })), [
        { _tag: "Refused", why: "the request cannot be made (EncodeError)" },
        undefined
      ])
      assert.deepStrictEqual(yield* failed((request) => new HttpClientError.InvalidUrlError({ request, cause })), [
        { _tag: "Refused", why: "the request cannot be made (InvalidUrlError)" },
        undefined
      ])
    })
  )

  it.effect("is to be tried again, whatever else goes wrong", () =>
    Effect.gen(function* () {
      const cause = Object.assign(new Error("secret"), { code: "ECONNREFUSED" })
      assert.deepStrictEqual(yield* failed((request) => new HttpClientError.TransportError({ request, cause })), [
        { _tag: "Retry", why: "ERR_NETWORK_CONNECTION_REFUSED" },
        undefined
      ])
      assert.deepStrictEqual(yield* attempted(() => Effect.die(new Error("secret"))), [
        { _tag: "Retry", why: "the client that carries it broke" },
        undefined
      ])
      assert.deepStrictEqual(yield* attempted(() => Effect.fail("secret")), [
        { _tag: "Retry", why: "the client that carries it failed" },
        undefined
      ])
    })
  )

  it.live("is that no answer came in time, on real time, and the request is given up", () =>
    Effect.gen(function* () {
      let isGivenUp = false
      const never = Effect.onInterrupt(Effect.never, () =>
        Effect.sync(() => {
          isGivenUp = true
        })
      )
      const stopped = yield* Effect.forkChild(attempted(() => never, { timeoutMillis: 20 }))
      assert.deepStrictEqual(yield* Fiber.join(stopped), [{ _tag: "Retry", why: "no answer within 20ms" }, undefined])
      assert.isTrue(isGivenUp)
    })
  )

  it.effect("leaves no timer behind", () =>
    Effect.gen(function* () {
      const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length
      const before = timers()
      for (let count = 0; count < 10; count++) yield* answered(200)
      assert.isAtMost(timers(), before)
    })
  )

  it.effect("is asked for without spans, without the headers of a trace, and without following redirects", () =>
    Effect.gen(function* () {
      let spans = 0
      const tracer = Tracer.make({
        span: (options) => {
          spans++
          return new Tracer.NativeSpan(options)
        }
      })
      const seen: Array<unknown> = []
      yield* attempted((request) =>
        Effect.gen(function* () {
          const disabled = yield* HttpClient.TracerDisabledWhen
          const { redirect } = yield* FetchHttpClient.RequestInit
          seen.push(disabled(request), redirect)
          return HttpClientResponse.fromWeb(request, new Response(null))
        }).pipe(Effect.withSpan("of the client"))
      ).pipe(Effect.provideService(Tracer.Tracer, tracer))
      assert.deepStrictEqual([seen, spans], [[true, "manual"], 0])
    })
  )
})

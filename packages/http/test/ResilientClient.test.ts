import { Cause, Data, type Duration, Effect, Exit, Fiber, Layer, Option, Stream, Tracer } from "effect"
import { HttpBody, HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import { CallError } from "@holdfast/core/CallError"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Deadline from "@holdfast/core/Deadline"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as ResilientClient from "../src/ResilientClient.ts"
import * as UpstreamRegistry from "../src/UpstreamRegistry.ts"
import { fork } from "./support/stock.ts"

const everySecond: HttpPolicy.RetryOptions = { backoff: { shape: "constant", base: "1 second", jitter: "none" } }

/** What a request meets: a response, an error of the wire, or nothing at all. */
type Step =
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string | Body }
  | "broken"
  | "hangs"

/** A body that says what became of it: read to its end, or left early. */
interface Body {
  readonly chunks: number
  /** Whether nothing of it ever comes. */
  readonly isStuck?: boolean
}

/** A client that answers from a list, of which the last repeats, and keeps a record. */
const fake = (steps: ReadonlyArray<Step>, delay: Duration.Input = 0) => {
  const requests: Array<HttpClientRequest.HttpClientRequest> = []
  const bodies: Array<string> = []
  let interrupted = 0
  const client = HttpClient.make((request) =>
    Effect.suspend(() => {
      const number = requests.length
      const step = steps[Math.min(number, steps.length - 1)] ?? "hangs"
      requests.push(request)
      return Effect.delay(answered(request, step, number), delay)
    }).pipe(Effect.onInterrupt(() => Effect.sync(() => void interrupted++)))
  )
  const answered = (
    request: HttpClientRequest.HttpClientRequest,
    step: Step,
    number: number
  ): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError> => {
    if (step === "hangs") return Effect.never
    if (step === "broken") {
      const cause = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" })
      return Effect.fail(
        new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
      )
    }
    const { body = "", headers = {}, status } = step
    const content = typeof body !== "string" ? stream(body, number) : body === "" ? null : body
    return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(content, { status, headers })))
  }
  const stream = (body: Body, number: number) =>
    Stream.toReadableStream(
      Stream.range(1, body.chunks).pipe(
        Stream.mapEffect((chunk): Effect.Effect<Uint8Array> =>
          body.isStuck === true ? Effect.never : Effect.succeed(new TextEncoder().encode(`chunk ${chunk};`))
        ),
        Stream.onExit((exit) =>
          Effect.sync(() => void bodies.push(`${number} ${Exit.isSuccess(exit) ? "read" : "left"}`))
        )
      )
    )
  return { client, requests, bodies, interrupted: () => interrupted }
}

const resilient = (
  steps: ReadonlyArray<Step>,
  policy: HttpPolicy.Options,
  options: ResilientClient.Options & { readonly delay?: Duration.Input } = {}
) => {
  const { delay, ...rest } = options
  const seen = fake(steps, delay)
  return {
    ...seen,
    client: seen.client.pipe(ResilientClient.withPolicy({ policy: HttpPolicy.make(policy), ...rest }))
  }
}

const error = <A, E, R>(call: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(call), (failure) =>
    failure instanceof CallError ? failure : assert.fail(`not a call error: ${String(failure)}`)
  )

describe("ResilientClient", () => {
  describe("stages", () => {
    const breaker: CircuitBreaker.Options = {
      trip: [CircuitBreaker.consecutiveFailures(2)],
      openTime: "10 seconds",
      probes: 1,
      successThreshold: 1
    }

    it.effect("the circuit is the origin's: one that fails is refused, without a request, and another is called", () =>
      Effect.gen(function* () {
        const { client, requests } = resilient([{ status: 503 }], { breaker })
        for (const path of ["/a", "/b"]) {
          assert.strictEqual((yield* client.get(`https://one.internal${path}`)).status, 503)
        }
        const refused = yield* error(client.get("https://one.internal/c"))
        assert.deepInclude(refused, {
          upstream: "one.internal:443",
          operation: "GET",
          attempts: 0,
          retryStopped: "not-retryable"
        })
        assert.strictEqual(refused.reason._tag, "CircuitOpen")
        assert.strictEqual((yield* client.get("https://one.internal:8443/c")).status, 503)
        assert.strictEqual((yield* client.get("https://two.internal/c")).status, 503)
        assert.strictEqual(requests.length, 4)
      })
    )

    it.effect("the circuit half-opens and closes again; a 404 does not open it", () =>
      Effect.gen(function* () {
        const { client, requests } = resilient(
          [...Array.from({ length: 5 }, () => ({ status: 404 })), { status: 503 }, { status: 503 }, { status: 200 }],
          { breaker }
        )
        for (let call = 0; call < 7; call++) yield* client.get("https://one.internal/a")
        yield* error(client.get("https://one.internal/a"))
        yield* TestClock.adjust("10 seconds")
        yield* client.get("https://one.internal/a")
        yield* client.get("https://one.internal/a")
        assert.strictEqual(requests.length, 9)
      })
    )

    it.effect("a call that opens the circuit says how many attempts were sent, and numbers them so", () =>
      Effect.gen(function* () {
        const resends: Array<unknown> = []
        const { client, requests } = resilient([{ status: 503 }, { status: 503 }, { status: 200 }], {
          breaker,
          retry: { ...everySecond, maxAttempts: 5 }
        })
        const call = yield* fork(error(client.get("https://one.internal/a")))
        yield* TestClock.adjust("1 minute")
        assert.deepInclude(yield* Fiber.join(call), { attempts: 2, retryStopped: "not-retryable" })
        const waiting = resilient([{ status: 503 }, { status: 503 }, { status: 200 }], {
          breaker,
          retry: { ...everySecond, maxAttempts: 5, refusals: "wait" }
        })
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            const attribute = span.attribute.bind(span)
            span.attribute = (name, value) => {
              if (name === "http.request.resend_count") resends.push(value)
              attribute(name, value)
            }
            return span
          }
        })
        const patient = yield* fork(
          waiting.client.get("https://one.internal/a").pipe(Effect.provideService(Tracer.Tracer, tracer))
        )
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* Fiber.join(patient)).status, 200)
        assert.deepStrictEqual([requests.length, waiting.requests.length], [2, 3])
        assert.deepStrictEqual(resends, [1, 2])
      })
    )

    it.effect("a bulkhead for each origin makes calls wait, refuses beyond its queue, and gives permits back", () =>
      Effect.gen(function* () {
        const { client, requests } = resilient(
          [{ status: 200 }],
          { bulkhead: { maxConcurrent: 1, maxQueue: 1, maxWait: "1 minute" } },
          { delay: "1 second" }
        )
        const one = client.get("https://one.internal/a")
        const calls = [yield* fork(one), yield* fork(one)]
        const refused = yield* error(one)
        assert.strictEqual(refused.reason._tag, "BulkheadFull")
        assert.strictEqual(refused.attempts, 0)
        yield* fork(client.get("https://two.internal/a"))
        yield* TestClock.adjust("500 millis")
        yield* Effect.forEach(calls.slice(0, 1), Fiber.interrupt)
        yield* TestClock.adjust("1 second")
        yield* Effect.forEach(calls.slice(1), Fiber.join)
        assert.strictEqual(requests.length, 3)
        for (let millis = 0; millis <= 1000; millis += 100) {
          const call = yield* Effect.forkChild(one)
          yield* TestClock.adjust(millis)
          yield* Fiber.interrupt(call)
        }
        const last = yield* fork(one)
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* Fiber.join(last)).status, 200)
      })
    )

    it.effect("the rate limit is all calls' together, within the deadline", () =>
      Effect.gen(function* () {
        const { client, requests } = resilient([{ status: 200 }], {
          rateLimit: { limit: 1, window: "1 second", maxWait: "1 minute" }
        })
        yield* client.get("https://one.internal/a")
        const refused = yield* error(client.get("https://two.internal/a").pipe(Deadline.within("500 millis")))
        assert.strictEqual(refused.reason._tag, "RateLimited")
        assert.strictEqual(refused.attempts, 0)
        const waiting = yield* fork(client.get("https://two.internal/a"))
        assert.strictEqual(requests.length, 1)
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(waiting)
        assert.strictEqual(requests.length, 2)
      })
    )

    it.effect("throttle and adaptive limit act as they do for an upstream", () =>
      Effect.gen(function* () {
        const { client, requests } = resilient(
          [{ status: 503 }],
          { adaptiveConcurrency: { initialLimit: 2, minimumLimit: 1 } },
          { delay: "1 second" }
        )
        const calls = [yield* fork(client.get("https://a.internal/")), yield* fork(client.get("https://a.internal/"))]
        assert.strictEqual((yield* error(client.get("https://a.internal/"))).reason._tag, "ConcurrencyLimited")
        yield* TestClock.adjust("1 second")
        yield* Effect.forEach(calls, Fiber.join)
        assert.strictEqual(requests.length, 2)
        const throttled = resilient([{ status: 503 }], {
          throttle: { multiplier: 1, minimumPerSecond: 0, minimumRequests: 1 }
        })
        const ends = yield* Effect.forEach(Array.from({ length: 200 }), () =>
          Effect.exit(throttled.client.get("https://a.internal/"))
        )
        const shed = ends.filter(Exit.isFailure).length
        assert.isAbove(shed, 0)
        assert.strictEqual(throttled.requests.length, 200 - shed)
      })
    )

    it.effect("a stage that only observes refuses nothing", () =>
      Effect.gen(function* () {
        const { client, requests } = resilient([{ status: 503 }], {
          breaker: { ...breaker, mode: "observe" },
          bulkhead: { maxConcurrent: 1, maxQueue: 0, mode: "observe" },
          rateLimit: { limit: 1, window: "1 hour", mode: "observe" }
        })
        const all = Effect.all(
          Array.from({ length: 20 }, () => client.get("https://a.internal/")),
          { concurrency: "unbounded" }
        )
        assert.strictEqual((yield* all).length, 20)
        assert.strictEqual(requests.length, 20)
      })
    )

    it.effect("the budget is all calls' together", () =>
      Effect.gen(function* () {
        const { client, requests } = resilient([{ status: 503 }], {
          retry: { ...everySecond, budget: { ratio: 0, minimumPerSecond: 0.1 } }
        })
        const calls = [yield* fork(client.get("https://a.internal/")), yield* fork(client.get("https://b.internal/"))]
        yield* TestClock.adjust("10 seconds")
        yield* Effect.forEach(calls, Fiber.join)
        assert.strictEqual(requests.length, 3)
      })
    )

    it.effect("an attempt's time begins when it leaves the queue, and a learned limit is the origin's", () =>
      Effect.gen(function* () {
        const { client, interrupted } = resilient(
          [{ status: 200 }],
          { attemptTimeout: "1 second", bulkhead: { maxConcurrent: 1, maxWait: "1 minute" } },
          { delay: "900 millis" }
        )
        const calls = yield* Effect.forEach([1, 2, 3], () => fork(client.get("https://a.internal/")))
        yield* TestClock.adjust("2700 millis")
        yield* Effect.forEach(calls, Fiber.join)
        assert.strictEqual(interrupted(), 0)
        const learning = resilient(
          [...Array.from({ length: 20 }, () => ({ status: 200 })), "hangs" as const],
          { attemptTimeout: { limit: "5 seconds", minimumSamples: 10 } },
          { delay: "200 millis" }
        )
        yield* Effect.forEach(Array.from({ length: 20 }), () => fork(learning.client.get("https://a.internal/")))
        yield* TestClock.adjust("200 millis")
        const cut = yield* fork(error(learning.client.get("https://a.internal/")))
        yield* TestClock.adjust("500 millis")
        assert.strictEqual((yield* Fiber.join(cut)).reason._tag, "AttemptTimeout")
        const other = yield* fork(error(learning.client.get("https://b.internal/")))
        yield* TestClock.adjust("4999 millis")
        assert.isUndefined(other.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.strictEqual((yield* Fiber.join(other)).reason._tag, "AttemptTimeout")
      })
    )

    it("a stage that a client cannot have is refused in words, where the client is made", () => {
      const message =
        "ResilientClient: singleFlight cannot be had over a client: one response cannot be read twice; use an Upstream"
      const made = { policy: HttpPolicy.make({ deadline: "1 second", singleFlight: {} }) }
      for (const make of [ResilientClient.withPolicy, ResilientClient.transformClient, ResilientClient.layer]) {
        assert.throws(() => make(made), RangeError, message)
      }
    })
  })

  describe("retries", () => {
    it.effect("a response that is thrown away is read to its end, and one that is too long is left", () =>
      Effect.gen(function* () {
        const { bodies, client } = resilient(
          [
            { status: 503, body: { chunks: 3 } },
            { status: 503, body: { chunks: 1000 } },
            { status: 200, body: "ok" }
          ],
          { retry: everySecond, limits: { drainBytes: 100 } }
        )
        const call = yield* fork(client.get("https://a.internal/"))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* (yield* Fiber.join(call)).text, "ok")
        assert.deepStrictEqual(bodies, ["0 read", "1 left"])
      })
    )

    it.effect("one that takes too long to read is left, so that the retry is not held up", () =>
      Effect.gen(function* () {
        const { client, requests } = resilient(
          [{ status: 503, body: { chunks: 100, isStuck: true } }, { status: 200 }],
          { retry: everySecond, limits: { drainTime: "500 millis" } }
        )
        const call = yield* fork(client.get("https://a.internal/"))
        yield* TestClock.adjust("1499 millis")
        assert.strictEqual(requests.length, 1)
        yield* TestClock.adjust("1 millis")
        assert.strictEqual((yield* Fiber.join(call)).status, 200)
      })
    )

    it.effect("what the server says of its limit slows the client down, a 429 as well", () =>
      Effect.gen(function* () {
        for (const step of [
          { status: 200, headers: { ratelimit: '"default";r=0;t=5' } },
          { status: 429, headers: { "retry-after": "5" } }
        ]) {
          const { client, requests } = resilient([step, { status: 200 }], { rateLimit: { limit: 100 } })
          yield* client.get("https://a.internal/")
          const next = yield* fork(client.get("https://a.internal/"))
          yield* TestClock.adjust("4900 millis")
          assert.strictEqual(requests.length, 1)
          yield* TestClock.adjust("200 millis")
          assert.strictEqual((yield* Fiber.join(next)).status, 200)
        }
      })
    )

    it.effect("the last response is given as it is, unread; failOnStatus makes it an error and discards it", () =>
      Effect.gen(function* () {
        const steps = [{ status: 500, body: { chunks: 2 } }]
        const plain = resilient(steps, {})
        const response = yield* plain.client.get("https://a.internal/")
        assert.deepStrictEqual([response.status, plain.bodies], [500, []])
        assert.strictEqual(yield* response.text, "chunk 1;chunk 2;")
        const strict = resilient(steps, {}, { failOnStatus: true, name: "stock", operation: () => "GET /items" })
        const failure = yield* error(strict.client.get("https://a.internal/items/7"))
        assert.deepInclude(failure, {
          upstream: "stock",
          operation: "GET /items",
          attempts: 1,
          retryStopped: "attempts"
        })
        assert.strictEqual(failure.reason._tag, "InternalServerError")
        assert.deepStrictEqual(strict.bodies, ["0 read"])
      })
    )

    it.effect("an error of the wire is a call error with its reason, after all attempts", () =>
      Effect.gen(function* () {
        const { client, requests } = resilient(["broken"], { retry: everySecond })
        const call = yield* fork(error(client.get("https://a.internal/")))
        yield* TestClock.adjust("1 minute")
        const failure = yield* Fiber.join(call)
        assert.deepInclude(failure, { attempts: 3, retryStopped: "attempts" })
        assert.strictEqual(failure.reason._tag, "ConnectionReset")
        assert.strictEqual(requests.length, 3)
      })
    )

    it.effect("a request that may not be sent twice is sent once, with an idempotency key again", () =>
      Effect.gen(function* () {
        const { client, requests } = resilient([{ status: 503 }], { retry: { ...everySecond, maxAttempts: 2 } })
        yield* client.post("https://a.internal/")
        assert.strictEqual(requests.length, 1)
        const call = yield* fork(client.post("https://a.internal/", { headers: { "idempotency-key": '"k"' } }))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(call)
        assert.strictEqual(requests.length, 3)
      })
    )

    it.effect("a body that can be read once is sent once, whatever the method", () =>
      Effect.gen(function* () {
        const { client, requests } = resilient([{ status: 503 }], { retry: everySecond })
        const once = HttpBody.raw(new ReadableStream({ start: (controller) => controller.close() }))
        yield* client.execute(HttpClientRequest.setBody(HttpClientRequest.put("https://a.internal/"), once))
        assert.strictEqual(requests.length, 1)
      })
    )

    it.effect("the program's own errors go through as they are, once, and are nobody's failure", () =>
      Effect.gen(function* () {
        class OutOfInk extends Data.TaggedError("OutOfInk")<{ readonly page: number }> {}
        let runs = 0
        const own = HttpClient.mapRequestEffect(fake([{ status: 200 }]).client, () =>
          Effect.suspend(() => Effect.fail(new OutOfInk({ page: ++runs })))
        )
        const client = own.pipe(
          ResilientClient.withPolicy({
            policy: HttpPolicy.make({ retry: {}, breaker: { trip: [CircuitBreaker.consecutiveFailures(1)] } })
          })
        )
        for (const page of [1, 2, 3]) {
          const failure = yield* Effect.flip(client.get("https://a.internal/"))
          assert.deepInclude(failure, { _tag: "OutOfInk", page })
        }
      })
    )

    it.effect("a body of an announced length is read within the attempt, a longer one is not", () =>
      Effect.gen(function* () {
        const headers = { "content-length": "16" }
        const short = resilient([{ status: 200, headers, body: { chunks: 2 } }], {})
        const response = yield* short.client.get("https://a.internal/")
        assert.deepStrictEqual(short.bodies, ["0 read"])
        assert.deepStrictEqual([yield* response.text, yield* response.text], Array(2).fill("chunk 1;chunk 2;"))
        const long = resilient([{ status: 200, headers, body: { chunks: 2 } }], {}, { bufferBytes: 15 })
        yield* long.client.get("https://a.internal/")
        assert.deepStrictEqual(long.bodies, [])
      })
    )
  })

  describe("time and interruption", () => {
    it.effect("the deadline ends the call in the middle of an attempt, which is interrupted", () =>
      Effect.gen(function* () {
        const { client, interrupted } = resilient(["hangs"], { deadline: "2 seconds" })
        const call = yield* fork(error(client.get("https://a.internal/")))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* Fiber.join(call)).reason._tag, "DeadlineExceeded")
        assert.strictEqual(interrupted(), 1)
      })
    )

    it.effect("a caller that goes away interrupts the attempt, and no error is made of it", () =>
      Effect.gen(function* () {
        const { client, interrupted } = resilient(["hangs"], { retry: everySecond, breaker: {} })
        const call = yield* fork(client.get("https://a.internal/"))
        yield* Fiber.interrupt(call)
        const exit = yield* Fiber.await(call)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
        assert.strictEqual(interrupted(), 1)
      })
    )
  })

  describe("requests", () => {
    it.effect("a URL that only the client knows goes to it, and has a name in the registry", () =>
      Effect.gen(function* () {
        const { client, requests } = fake([{ status: 200 }])
        const registry = UpstreamRegistry.make()
        const policed = ResilientClient.layer({ policy: HttpPolicy.make({ breaker: {} }) }).pipe(
          Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
        )
        const spans: Array<Tracer.Span> = []
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            spans.push(span)
            return span
          }
        })
        yield* Effect.gen(function* () {
          const sent = HttpClient.get("app://key:secret@stock/items")
          assert.strictEqual((yield* Effect.provideService(sent, Tracer.Tracer, tracer)).status, 200)
          // where its secrets are, nobody knows
          assert.strictEqual(spans[1]?.attributes.get("url.full"), "unknown/REDACTED")
          assert.deepStrictEqual(
            (yield* registry.list).map(({ endpoints, name }) => [name, endpoints.length]),
            [["unknown", 1]]
          )
        }).pipe(Effect.provide(policed), Effect.provideService(UpstreamRegistry.Current, registry))
        assert.strictEqual(requests[0]?.url, "app://key:secret@stock/items")
      })
    )

    it.effect(
      "what `mapRequest` adds is made once a call, and what a client below does to its requests for every attempt",
      () =>
        Effect.gen(function* () {
          const made = { key: 0, signature: 0 }
          const { client: sender, requests } = fake([{ status: 503 }, { status: 200 }])
          const signing = HttpClient.make((request) =>
            sender.execute(HttpClientRequest.setHeader(request, "signature", `${++made.signature}`))
          )
          const keyed = (client: HttpClient.HttpClient) =>
            HttpClient.mapRequest(client, (request) => {
              made.key++
              return HttpClientRequest.setHeader(request, "idempotency-key", `${made.key}`)
            })
          const policy = HttpPolicy.make({ retry: everySecond })
          for (const client of [
            signing.pipe(keyed, ResilientClient.transformClient({ policy })),
            signing.pipe(ResilientClient.transformClient({ policy }), keyed)
          ]) {
            requests.length = 0
            Object.assign(made, { key: 0, signature: 0 })
            const fiber = yield* fork(client.post("https://a.internal/items"))
            yield* TestClock.adjust("1 minute")
            yield* Fiber.join(fiber)
            assert.deepStrictEqual(
              requests.map(({ headers }) => [headers["idempotency-key"], headers["signature"]]),
              [
                ["1", "1"],
                ["1", "2"]
              ]
            )
          }
        })
    )

    it.effect("a policy over another has spans of its own, and its program's word on spans reaches both", () =>
      Effect.gen(function* () {
        const names: Array<string> = []
        const tracer = Tracer.make({
          span: (options) => {
            names.push(options.name)
            return new Tracer.NativeSpan(options)
          }
        })
        const policy = HttpPolicy.make({})
        const client = fake([{ status: 200 }]).client.pipe(
          ResilientClient.transformClient({ name: "inner", policy }),
          ResilientClient.transformClient({ name: "outer", policy })
        )
        const call = Effect.provideService(client.get("https://a.internal/"), Tracer.Tracer, tracer)
        yield* call
        assert.deepStrictEqual(names, ["outer GET", "GET", "inner GET", "GET"])
        yield* Effect.provideService(call, HttpClient.TracerDisabledWhen, () => true)
        assert.strictEqual(names.length, 4)
      })
    )
  })

  describe("overrides", () => {
    it.effect("those of an operation are found by the name that the client gives it, and a call's go before them", () =>
      Effect.gen(function* () {
        const { client, requests } = resilient(
          [{ status: 503 }],
          { retry: { ...everySecond, maxAttempts: 4 }, operations: { "GET /items": { retry: false } } },
          { operation: (request) => `${request.method} ${request.url.includes("/items") ? "/items" : "/other"}` }
        )
        const attempts = (call: Effect.Effect<unknown, unknown>) =>
          Effect.gen(function* () {
            const before = requests.length
            const fiber = yield* fork(call)
            yield* TestClock.adjust("1 minute")
            yield* Fiber.join(fiber)
            return requests.length - before
          })
        assert.strictEqual(yield* attempts(client.get("https://a.internal/items/7")), 1)
        assert.strictEqual(yield* attempts(client.get("https://a.internal/orders")), 4)
        const twice = HttpPolicy.override({ retry: { ...everySecond, maxAttempts: 2 } })
        assert.strictEqual(yield* attempts(twice(client.get("https://a.internal/items/7"))), 2)
      })
    )
  })

  describe("transformClient and layer", () => {
    it.effect("keep the client's error type: the call error is inside, and can be got back", () =>
      Effect.gen(function* () {
        const { client } = fake(["broken"])
        const program = Effect.flip(HttpClient.get("https://a.internal/"))
        const policed = ResilientClient.layer({ policy: HttpPolicy.none, name: "stock" }).pipe(
          Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
        )
        const failure = yield* program.pipe(Effect.provide(policed))
        assert.strictEqual(failure.reason._tag, "TransportError")
        const inner = Option.getOrThrow(ResilientClient.callError(failure))
        assert.deepInclude(inner, { upstream: "stock", attempts: 1 })
        assert.strictEqual(inner.reason._tag, "ConnectionReset")
      })
    )

    it.effect("an error that carries no call error has none", () =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(fake(["broken"]).client.get("https://a.internal/"))
        assert.isTrue(Option.isNone(ResilientClient.callError(failure)))
      })
    )

    it.effect("one policed client over another judges the inner one's reason, not its wrapping", () =>
      Effect.gen(function* () {
        const inner = ResilientClient.transformClient({ policy: HttpPolicy.none })(fake(["broken"]).client)
        const outer = ResilientClient.withPolicy({ policy: HttpPolicy.none })(inner)
        assert.strictEqual((yield* error(outer.get("https://a.internal/"))).reason._tag, "ConnectionReset")
      })
    )
  })
})

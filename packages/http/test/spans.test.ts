import { Cause, Effect, Exit, Fiber, Layer, Redacted, Schema, Stream, Tracer } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import * as Reason from "@holdfast/core/Reason"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as Rejection from "../src/Rejection.ts"
import * as ResilientClient from "../src/ResilientClient.ts"
import * as Transport from "../src/Transport.ts"
import * as Upstream from "../src/Upstream.ts"
import { methodShown } from "../src/internal/watch/spans.ts"
import { fork, stage, upstream } from "./support/stock.ts"
import { keeping, shown, traced } from "./support/tracing.ts"

const { after, fail, hang, json, status, stream } = ScriptedTransport

const ok = status(200)

const everySecond: HttpPolicy.RetryOptions = {
  backoff: { shape: "constant", base: "1 second", jitter: "none" },
  serverWaitJitter: 0
}

/** The call's span, which comes first. */
const callOf = (spans: ReadonlyArray<ReturnType<typeof shown>>) => spans[0] ?? assert.fail("no span")

const eventsOf = (spans: ReadonlyArray<ReturnType<typeof shown>>) => callOf(spans).events

describe("what a call's span tells", () => {
  it.effect("that a retry follows, why and when, and what the server asked for", () =>
    upstream(
      { "*": [status(503), status(429, { headers: { "retry-after": "7" } }), ok] },
      { retry: everySecond }
    )((api) =>
      Effect.gen(function* () {
        const run = yield* fork(traced(api.get("/a")))
        yield* TestClock.adjust("8 seconds")
        assert.deepStrictEqual(eventsOf(yield* Fiber.join(run)), [
          [
            "holdfast.retry",
            0,
            {
              "holdfast.retry.attempt": 1,
              "holdfast.retry.delay": 1,
              "error.type": "ERR_STATUS_SERVICE_UNAVAILABLE"
            }
          ],
          [
            "holdfast.retry",
            1000,
            {
              "holdfast.retry.attempt": 2,
              "holdfast.retry.delay": 7,
              "holdfast.retry.asked": 7,
              "error.type": "ERR_STATUS_TOO_MANY_REQUESTS"
            }
          ]
        ])
      })
    )
  )

  it.effect("why no further attempt was made, the empty budget among the reasons", () =>
    Effect.gen(function* () {
      const stops: ReadonlyArray<readonly [string, HttpPolicy.RetryOptions, "get" | "post", number]> = [
        ["attempts", { ...everySecond, maxAttempts: 1 }, "get", 503],
        ["not-retryable", everySecond, "get", 404],
        ["not-replayable", everySecond, "post", 503],
        ["budget", { ...everySecond, budget: { ratio: 0, minimumPerSecond: 0 } }, "get", 503]
      ]
      for (const [stopped, retry, method, code] of stops) {
        yield* upstream(
          { "*": [status(code)] },
          { retry }
        )((api) =>
          Effect.gen(function* () {
            const spans = yield* traced(api[method]("/a"))
            const type = code === 404 ? "ERR_STATUS_NOT_FOUND" : "ERR_STATUS_SERVICE_UNAVAILABLE"
            assert.deepStrictEqual(eventsOf(spans), [
              ["holdfast.give_up", 0, { "holdfast.retry_stopped": stopped, "error.type": type }]
            ])
            assert.deepInclude(callOf(spans).attributes, { "holdfast.retry_stopped": stopped, "error.type": type })
          })
        )
      }
    })
  )

  it.effect("which stage refused, when to come again, and its figures", () =>
    upstream(
      { "*": [ok, status(503)] },
      { breaker: { trip: [CircuitBreaker.consecutiveFailures(1)], openTime: "10 seconds" } }
    )((api) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(eventsOf(yield* traced(api.get("/a"))), [])
        const opened = yield* traced(api.get("/a"))
        assert.deepStrictEqual(
          eventsOf(opened).map(([name, , attributes]) => [name, attributes["holdfast.circuit.state"]]),
          [
            ["holdfast.circuit", "Open"],
            ["holdfast.give_up", undefined]
          ]
        )
        const spans = yield* traced(api.get("/a"))
        assert.strictEqual(spans.length, 1)
        const [refused] = eventsOf(spans)
        assert.deepStrictEqual(refused, [
          "holdfast.refused",
          0,
          {
            "holdfast.stage": "breaker",
            "holdfast.retry_after": 10,
            "holdfast.detail": refused?.[2]["holdfast.detail"],
            "error.type": "ERR_POLICY_CIRCUIT_OPEN"
          }
        ])
        assert.include(String(refused?.[2]["holdfast.detail"]), "an attempt failed")
      })
    )
  )

  it.effect("each stage by its own name", () =>
    Effect.gen(function* () {
      const policies: ReadonlyArray<readonly [string, HttpPolicy.Options]> = [
        ["rateLimit", { rateLimit: { limit: 1, window: "1 hour", onLimit: "refuse" } }],
        ["bulkhead", { bulkhead: { maxConcurrent: 1, maxQueue: 0 } }],
        ["adaptiveConcurrency", { adaptiveConcurrency: { initialLimit: 1, minimumLimit: 1 } }],
        ["singleFlight", { singleFlight: { maxCallers: 1 } }]
      ]
      for (const [name, policy] of policies) {
        yield* upstream(
          { "*": [hang] },
          policy
        )((api) =>
          Effect.gen(function* () {
            yield* fork(api.get("/a"))
            const [refused] = eventsOf(yield* traced(api.get("/a")))
            assert.deepStrictEqual([refused?.[0], refused?.[2]["holdfast.stage"]], ["holdfast.refused", name])
          })
        )
      }
    })
  )

  it.effect("how long it waited in a queue, when that is over", () =>
    upstream(
      { "*": [after("300 millis", ok)] },
      { bulkhead: { maxConcurrent: 1 }, rateLimit: { limit: 2, burst: 2, window: "1 second" } }
    )((api) =>
      Effect.gen(function* () {
        yield* fork(api.get("/a"))
        const second = yield* fork(traced(api.get("/a")))
        const third = yield* fork(traced(api.get("/a")))
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual(eventsOf(yield* Fiber.join(second)), [
          ["holdfast.waited", 300, { "holdfast.stage": "bulkhead", "holdfast.wait": 0.3 }]
        ])
        assert.deepStrictEqual(eventsOf(yield* Fiber.join(third)), [
          ["holdfast.waited", 500, { "holdfast.stage": "rateLimit", "holdfast.wait": 0.5 }],
          ["holdfast.waited", 600, { "holdfast.stage": "bulkhead", "holdfast.wait": 0.1 }]
        ])
      })
    )
  )

  it.effect("that a hedge was started, and that it won; the loser is no error", () =>
    upstream(
      { "*": [hang, after("50 millis", ok)] },
      { hedge: { delay: "100 millis" } }
    )((api) =>
      Effect.gen(function* () {
        const run = yield* fork(traced(api.get("/a")))
        yield* TestClock.adjust("150 millis")
        const [call, loser, winner] = yield* Fiber.join(run)
        assert.deepStrictEqual(call?.events, [
          ["holdfast.hedge", 100, { "holdfast.hedge.ordinal": 1, "holdfast.hedge.after": 0.1 }],
          ["holdfast.hedge_settled", 150, { "holdfast.hedge.ordinal": 1, "holdfast.hedge.won": true }]
        ])
        assert.deepStrictEqual([loser?.exit, loser?.millis, winner?.exit], ["interrupted", 150, "success"])
        assert.notProperty(loser?.attributes, "error.type")
        assert.strictEqual(loser?.attributes["holdfast.interrupted"], true)
        assert.deepInclude(winner?.attributes, { "http.request.resend_count": 1, "holdfast.hedge": true })
        assert.notProperty(loser?.attributes, "holdfast.hedge")
      })
    )
  )

  it.effect("that a hedge was due and not started, and why", () =>
    upstream(
      { "*": [after("150 millis", ok)] },
      { hedge: { delay: "100 millis" }, bulkhead: { maxConcurrent: 1 } }
    )((api) =>
      Effect.gen(function* () {
        const run = yield* fork(traced(api.get("/a")))
        yield* TestClock.adjust("150 millis")
        assert.deepStrictEqual(eventsOf(yield* Fiber.join(run)), [
          ["holdfast.hedge_denied", 100, { "holdfast.hedge.denied": "upstream", "holdfast.hedge.after": 0.1 }]
        ])
      })
    )
  )

  it.effect("that it joined another call, whose span it links to, and how long it waited for that", () =>
    upstream(
      { "*": [after("200 millis", ok)] },
      { singleFlight: {} }
    )((api) =>
      Effect.gen(function* () {
        const { spans, tracer } = keeping()
        const call = api.get("/a").pipe(Effect.provideService(Tracer.Tracer, tracer))
        const first = yield* fork(call)
        yield* TestClock.adjust("50 millis")
        const second = yield* fork(call)
        yield* TestClock.adjust("150 millis")
        yield* Effect.forEach([first, second], Fiber.join)
        const [one, attempt, other] = spans.map(shown)
        if (one === undefined) return assert.fail("no span")
        assert.deepStrictEqual([one.events, attempt?.parent], [[], one.spanId])
        assert.deepStrictEqual(other?.events, [
          ["holdfast.joined", 0, {}],
          ["holdfast.waited", 150, { "holdfast.stage": "singleFlight", "holdfast.wait": 0.15 }]
        ])
        assert.deepStrictEqual(other?.links, [[one.spanId, { "holdfast.link": "joined" }]])
      })
    )
  )

  it.effect("nothing more once it has ended, although others wait for what it began", () =>
    upstream(
      { "*": [after("100 millis", status(503)), ok] },
      { singleFlight: {}, retry: everySecond }
    )((api) =>
      Effect.gen(function* () {
        const { late, spans, tracer } = keeping()
        const call = api.get("/a").pipe(Effect.provideService(Tracer.Tracer, tracer))
        const first = yield* fork(call)
        const second = yield* fork(call)
        yield* Fiber.interrupt(first)
        yield* TestClock.adjust("1100 millis")
        yield* Fiber.join(second)
        assert.deepStrictEqual(late, [])
        const [one] = spans.map(shown)
        assert.deepStrictEqual(
          [one?.exit, one?.millis, one?.attributes["holdfast.interrupted"]],
          ["interrupted", 0, true]
        )
        assert.strictEqual(spans.length, 4)
      })
    )
  )

  it.effect("of a client with a policy, the same, and that an error response is a failure", () =>
    Effect.gen(function* () {
      let requests = 0
      const client = HttpClient.make((request) =>
        Effect.sync(() =>
          HttpClientResponse.fromWeb(request, new Response(null, { status: requests++ === 0 ? 503 : 404 }))
        )
      ).pipe(
        ResilientClient.withPolicy({
          name: "stock",
          policy: HttpPolicy.make({ retry: everySecond })
        })
      )
      const run = yield* fork(traced(client.get("https://stock.internal/")))
      yield* TestClock.adjust("1 second")
      const call = (yield* Fiber.join(run)).find(({ kind }) => kind === "internal")
      assert.deepStrictEqual(
        call?.events.map(([name, at]) => [name, at]),
        [
          ["holdfast.retry", 0],
          ["holdfast.give_up", 1000]
        ]
      )
      assert.deepInclude(call?.attributes, { "error.type": "ERR_STATUS_NOT_FOUND", "holdfast.attempts": 2 })
      assert.match(call?.exit ?? "", /^CallError: ERR_STATUS_NOT_FOUND: stock.internal:443 answered 404/)
    })
  )
})

describe("what an attempt's span tells", () => {
  const timings: Transport.PhaseTimings = {
    connection: "new",
    protocol: "http/1.1",
    peer: "10.0.0.7:8443",
    queueMillis: 40,
    dnsMillis: 5,
    connectMillis: 10,
    tlsMillis: 25,
    sendMillis: 2,
    waitMillis: 30,
    receiveMillis: 8
  }

  /** Takes as long as its phases, and says so. */
  const measured = (timings: Transport.PhaseTimings, millis: number) =>
    Layer.succeed(
      Transport.Transport,
      Transport.fromSend(({ onTimings }) =>
        Effect.sync(() => {
          onTimings?.(timings)
          return { status: 200, headers: {}, body: new Uint8Array(0), bodyComplete: true }
        }).pipe(Effect.delay(`${millis} millis`))
      )
    )

  const attemptWith = (timings: Transport.PhaseTimings, millis = 80) =>
    Effect.gen(function* () {
      const api = yield* Upstream.make("stock", { baseUrl: "https://stock.internal" })
      const run = yield* fork(traced(api.get("/a")))
      yield* TestClock.adjust(`${millis} millis`)
      return (yield* Fiber.join(run))[1] ?? assert.fail("no attempt")
    }).pipe(Effect.scoped, Effect.provide(measured(timings, millis)))

  it.effect("the connection and the phases of the exchange, at the instants at which they ended", () =>
    Effect.gen(function* () {
      const { attributes, events } = yield* attemptWith(timings)
      assert.deepStrictEqual(events, [
        [
          "holdfast.connection",
          40,
          {
            "holdfast.connection.state": "new",
            "holdfast.phase.queue": 0.04,
            "holdfast.phase.dns": 0.005,
            "holdfast.phase.connect": 0.01,
            "holdfast.phase.tls": 0.025
          }
        ],
        ["holdfast.headers", 72, {}],
        [
          "holdfast.exchange",
          80,
          { "holdfast.phase.send": 0.002, "holdfast.phase.wait": 0.03, "holdfast.phase.receive": 0.008 }
        ]
      ])
      assert.deepInclude(attributes, {
        "network.peer.address": "10.0.0.7",
        "network.peer.port": 8443,
        "network.protocol.version": "1.1"
      })
    })
  )

  it.effect("that a connection was used again, and a peer by whatever address it has", () =>
    Effect.gen(function* () {
      const six = yield* attemptWith({ connection: "reused", protocol: "http/2", peer: "[::1]:443", queueMillis: 0 })
      assert.deepStrictEqual(six.events, [
        ["holdfast.connection", 0, { "holdfast.connection.state": "reused", "holdfast.phase.queue": 0 }]
      ])
      assert.deepInclude(six.attributes, {
        "network.peer.address": "::1",
        "network.peer.port": 443,
        "network.protocol.version": "2"
      })
      const unix = yield* attemptWith({ connection: "new", peer: "/run/stock.sock" })
      assert.strictEqual(unix.attributes["network.peer.address"], "/run/stock.sock")
      assert.notProperty(unix.attributes, "network.peer.port")
      assert.notProperty(unix.attributes, "network.protocol.version")
    })
  )

  it.effect("that it never got a connection, and how long it waited for one", () =>
    Effect.gen(function* () {
      const { attributes, events } = yield* attemptWith({ queueMillis: 80 })
      assert.deepStrictEqual(events, [
        ["holdfast.connection", 80, { "holdfast.connection.state": "none", "holdfast.phase.queue": 0.08 }]
      ])
      assert.notProperty(attributes, "network.peer.address")
    })
  )

  it.effect("the headers of a streamed answer once, when they come", () =>
    Effect.gen(function* () {
      const transport = Layer.succeed(Transport.Transport, {
        send: () => Effect.die("not asked for"),
        open: ({ onTimings }) =>
          Effect.succeed({
            status: 200,
            headers: {},
            stream: Stream.make(new Uint8Array(1)).pipe(
              Stream.tap(() => Effect.sleep("2 seconds")),
              Stream.onExit(() => Effect.sync(() => onTimings?.({ ...timings, receiveMillis: 2000 })))
            )
          }).pipe(Effect.delay("72 millis"))
      })
      const api = yield* Upstream.make("stock", { baseUrl: "https://stock.internal" }).pipe(Effect.provide(transport))
      const reading = Effect.scoped(Effect.flatMap(api.streaming.get("/a"), (answer) => Stream.runDrain(answer.stream)))
      const run = yield* fork(traced(reading))
      yield* TestClock.adjust("72 millis")
      yield* TestClock.adjust("2 seconds")
      const [, attempt] = yield* Fiber.join(run)
      assert.deepStrictEqual(
        attempt?.events.map(([name, at]) => [name, at]),
        [
          ["holdfast.headers", 72],
          ["holdfast.connection", 40],
          ["holdfast.exchange", 2072]
        ]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("the headers once of an answer that came whole although it was to be streamed", () =>
    Effect.gen(function* () {
      const transport = Transport.fromSend(({ onTimings }) =>
        Effect.sync(() => {
          onTimings?.(timings)
          return { status: 404, headers: {}, body: new Uint8Array(3), bodyComplete: true }
        })
      )
      const api = yield* Upstream.make("stock", { baseUrl: "https://stock.internal" }).pipe(
        Effect.provideService(Transport.Transport, { ...transport, open: transport.send })
      )
      const [, attempt] = yield* traced(Effect.scoped(api.streaming.get("/a", { expectedStatus: [404] })))
      assert.deepStrictEqual(
        attempt?.events.map(([name]) => name),
        ["holdfast.connection", "holdfast.headers", "holdfast.exchange"]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("the exchange that a redirect leads to, from when it began", () =>
    Effect.gen(function* () {
      const transport = Transport.fromSend(({ onTimings, path }) =>
        Effect.sync(() => {
          onTimings?.({ connection: "reused", queueMillis: 10, waitMillis: 90, receiveMillis: 0 })
          const isThere = path === "/there"
          const headers: Record<string, string> = isThere ? {} : { location: "/there" }
          return { status: isThere ? 200 : 307, headers, body: new Uint8Array(0), bodyComplete: true }
        }).pipe(Effect.delay("100 millis"))
      )
      const api = yield* Upstream.make("stock", {
        baseUrl: "https://stock.internal",
        policy: HttpPolicy.make({ redirects: {} })
      }).pipe(Effect.provideService(Transport.Transport, transport))
      const run = yield* fork(traced(api.get("/here")))
      yield* TestClock.adjust("100 millis")
      yield* TestClock.adjust("100 millis")
      const [, attempt] = yield* Fiber.join(run)
      assert.deepStrictEqual(
        attempt?.events.map(([name, at]) => [name, at]),
        [
          ["holdfast.connection", 10],
          ["holdfast.headers", 100],
          ["holdfast.exchange", 100],
          ["holdfast.redirect", 100],
          ["holdfast.connection", 110],
          ["holdfast.headers", 200],
          ["holdfast.exchange", 200]
        ]
      )
    }).pipe(Effect.scoped)
  )

  it("a method that the conventions do not know, without making names of it", () => {
    assert.deepStrictEqual(methodShown("PATCH"), { name: "PATCH", attributes: { "http.request.method": "PATCH" } })
    for (const method of ["PURGE", "get"]) {
      assert.deepStrictEqual(methodShown(method), {
        name: "HTTP",
        attributes: { "http.request.method": "_OTHER", "http.request.method_original": method }
      })
    }
  })
})

describe("what spans keep to themselves", () => {
  const secret = "s3cret"

  const everything = (spans: ReadonlyArray<unknown>) => JSON.stringify(spans)

  it.effect("what a server says of an error, in a problem, a body or a header", () =>
    upstream(
      {
        "*": [
          json(
            { title: `no ${secret}`, detail: `account ${secret} is closed`, status: 403 },
            { status: 403, headers: { "content-type": "application/problem+json", "x-who": secret } }
          )
        ]
      },
      {}
    )((api) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(api.get("/a"))
        assert.include(error.message, secret)
        const spans = yield* traced(api.get("/a"))
        assert.notInclude(everything(spans), secret)
        assert.deepStrictEqual(
          spans.map(({ exit }) => exit),
          [`CallError: ERR_STATUS_FORBIDDEN: ${forbidden}`, `Forbidden: ${forbidden}`]
        )
      })
    )
  )
  const forbidden = `stock.internal:443 answered 403: ${ErrorCatalog.table.Forbidden.summary}`

  it.effect("what did not decode, and what could not be sent", () =>
    upstream(
      { "*": [json({ [secret]: "one" })] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const decode = Schema.Record(Schema.String, Schema.Int)
        assert.include((yield* Effect.flip(api.get("/a", { decode }))).message, secret)
        const decoding = yield* traced(api.get("/a", { decode }))
        assert.notInclude(everything(decoding), secret)
        assert.strictEqual(
          decoding[1]?.exit,
          `ResponseDecodeFailed: stock.internal:443 answered 200: ${ErrorCatalog.table.ResponseDecodeFailed.summary}`
        )
        const encode = decode
        assert.include((yield* Effect.flip(api.post("/a", { json: { [secret]: "one" }, encode }))).message, secret)
        const encoding = yield* traced(api.post("/a", { json: { [secret]: "one" }, encode }))
        assert.strictEqual(
          encoding[0]?.exit,
          `CallError: ERR_CODEC_REQUEST_ENCODE_FAILED: ${ErrorCatalog.table.RequestEncodeFailed.summary}`
        )
        assert.notInclude(everything(encoding), secret)
      })
    )
  )

  it.effect("a business error's own words", () => {
    const entries = ErrorCatalog.make("payments", {
      INSUFFICIENT_BALANCE: { summary: "the account has too little money", answerStatus: 402 }
    })
    const rejection = Rejection.make(entries.INSUFFICIENT_BALANCE, Schema.Struct({ account: Schema.String }))
    return upstream(
      { "*": [json({ account: secret })] },
      {},
      { rejections: [rejection] }
    )((api) =>
      Effect.gen(function* () {
        const spans = yield* traced(api.get("/a"))
        assert.notInclude(everything(spans), secret)
        assert.strictEqual(spans[1]?.exit, "BusinessRejected: the account has too little money (status 200)")
      })
    )
  })

  it.effect("declared path values, and every query value that is not declared harmless, wherever it was written", () =>
    upstream(
      { "*": [ok] },
      {},
      { visibleQuery: ["page"] }
    )((api) =>
      Effect.gen(function* () {
        const [, attempt] = yield* traced(
          api.get("/items/{id}", { params: { id: Redacted.make(secret) }, query: { page: 2, sig: secret } })
        )
        assert.strictEqual(attempt?.attributes["url.full"], "https://stock.internal/items/REDACTED?page=2&sig=REDACTED")
        const [, other] = yield* traced(api.get(`/items?sig=${secret}`))
        assert.strictEqual(other?.attributes["url.full"], "https://stock.internal/items?sig=REDACTED")
      })
    )
  )

  it.effect("the answer itself: a span is kept for longer than it", () =>
    upstream(
      { "*": [json({ id: 7 })] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const { spans, tracer } = keeping()
        yield* api.get("/a").pipe(Effect.provideService(Tracer.Tracer, tracer))
        assert.deepStrictEqual(
          spans.map(({ status }) => (status._tag === "Ended" ? status.exit : undefined)),
          [Exit.void, Exit.void]
        )
      })
    )
  )

  it.effect("but not the endpoint, the code and the phase of what the network did", () =>
    upstream(
      {
        "*": [fail(new Reason.ConnectionReset({ endpoint: "stock.internal:443", phase: "wait", code: "ECONNRESET" }))]
      },
      {}
    )((api) =>
      Effect.gen(function* () {
        const spans = yield* traced(api.get("/a"))
        assert.strictEqual(
          spans[1]?.exit,
          "ConnectionReset: stock.internal:443: connection reset [ECONNRESET], in phase wait"
        )
        assert.strictEqual(spans[1]?.attributes["error.type"], "ERR_NETWORK_CONNECTION_RESET")
      })
    )
  )

  it.effect("and a bug stays one, with its own words", () =>
    upstream(
      { "*": () => assert.fail("a bug of the transport") },
      {}
    )((api) =>
      Effect.gen(function* () {
        const { spans, tracer } = keeping()
        yield* Effect.exit(api.get("/a").pipe(Effect.provideService(Tracer.Tracer, tracer)))
        for (const { attributes, status } of spans) {
          assert.isTrue(status._tag === "Ended" && Exit.isFailure(status.exit) && Cause.hasDies(status.exit.cause))
          assert.isFalse(attributes.has("error.type"))
        }
        assert.strictEqual(spans.length, 2)
      })
    )
  )

  it.effect("what fails while a caller leaves, which makes an error of nothing", () =>
    Effect.gen(function* () {
      const { spans, tracer } = keeping()
      const clumsy = Transport.fromSend(() => Effect.onInterrupt(Effect.never, () => Effect.die("cannot be closed")))
      const api = yield* Upstream.make("stock", { baseUrl: "https://stock.internal", policy: HttpPolicy.none }).pipe(
        Effect.provideService(Transport.Transport, clumsy)
      )
      const call = yield* fork(api.get("/a").pipe(Effect.provideService(Tracer.Tracer, tracer)))
      yield* Fiber.interrupt(call)
      assert.deepStrictEqual(
        spans.map(shown).map(({ exit }) => exit),
        ["interrupted", "interrupted"]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("nothing of a caller who leaves, whether he waits in a queue or for an answer", () =>
    upstream(
      { "*": [hang], "GET /s": [stream(["1"], { end: "hang" })] },
      { bulkhead: { maxConcurrent: 1 } }
    )((api) =>
      Effect.gen(function* () {
        const { spans, tracer } = keeping()
        const call = yield* fork(api.get("/a").pipe(Effect.provideService(Tracer.Tracer, tracer)))
        const queued = yield* fork(api.get("/a").pipe(Effect.provideService(Tracer.Tracer, tracer)))
        assert.deepInclude(yield* stage(api.stages.bulkhead).snapshot, { queued: 1 })
        yield* TestClock.adjust("100 millis")
        yield* Fiber.interrupt(queued)
        yield* Fiber.interrupt(call)
        const all = spans.map(shown)
        assert.deepStrictEqual(
          all.map(({ attributes, exit }) => [exit, attributes["holdfast.interrupted"], attributes["error.type"]]),
          all.map(() => ["interrupted", true, undefined])
        )
        assert.deepStrictEqual(all.at(-1)?.events, [
          ["holdfast.waited", 100, { "holdfast.stage": "bulkhead", "holdfast.wait": 0.1 }]
        ])
      })
    )
  )
})

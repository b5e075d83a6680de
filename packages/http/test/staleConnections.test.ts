import { Effect, Fiber, Layer, Schedule } from "effect"
import { HttpClient, HttpClientError } from "effect/http"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import type { CallError } from "@holdfast/core/CallError"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Reason from "@holdfast/core/Reason"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as CallObserver from "../src/CallObserver.ts"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as ResilientClient from "../src/ResilientClient.ts"
import type * as Transport from "../src/Transport.ts"
import * as Upstream from "../src/Upstream.ts"
import { fork, forkAll, sent, stage, upstream } from "./support/stock.ts"
import { traced } from "./support/tracing.ts"

const { after, fail, hang, status, stream } = ScriptedTransport

const ok = status(200)

/** A connection that had answered others, and ended before a byte of this answer came. */
const stale = (given: { readonly unprocessed?: boolean; readonly phase?: Reason.Phase } = {}) =>
  fail(
    new Reason.ConnectionClosed({
      endpoint: "stock.internal:443",
      phase: given.phase ?? "wait",
      stale: true,
      ...(given.unprocessed === true ? { unprocessed: true } : {})
    })
  )

/** The server has refused the stream. */
const refusedStream = fail(
  new Reason.ConnectionReset({ endpoint: "stock.internal:443", phase: "wait", unprocessed: true })
)

const fresh = Effect.map(ScriptedTransport.seen, ({ requests }) =>
  requests.map(({ freshConnection, resend }) => [resend, freshConnection === true] as const)
)

/** Stale as often as it is asked over a connection that was used before. */
const staleUnlessFresh =
  (then: ScriptedTransport.Step) =>
  ({ freshConnection }: Transport.Request): ScriptedTransport.Step =>
    freshConnection === true ? then : stale()

const everything: HttpPolicy.Options = {
  retry: {},
  breaker: { trip: [CircuitBreaker.consecutiveFailures(1)] },
  throttle: {},
  bulkhead: {},
  adaptiveConcurrency: { algorithm: "aimd" },
  attemptTimeout: { limit: "5 seconds", minimumSamples: 10 }
}

describe("an attempt whose connection was stale", () => {
  it.effect("is made again at once, on a connection of its own", () =>
    upstream(
      { "*": staleUnlessFresh(ok) },
      { retry: { schedule: Schedule.spaced("1 hour") } }
    )((api) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* api.get("/a")).status, 200)
        assert.deepStrictEqual(yield* fresh, [
          [0, false],
          [1, true]
        ])
      })
    )
  )

  it.effect(
    "is made again where nothing is retried, and once: a fresh connection that is called stale is not believed",
    () =>
      Effect.gen(function* () {
        for (const policy of [{}, { retry: { maxAttempts: 1 } }] as const) {
          yield* upstream(
            { "*": [stale()] },
            policy
          )((api) =>
            Effect.gen(function* () {
              const error = yield* Effect.flip(api.get("/a"))
              assert.deepInclude(error, { attempts: 2, retryStopped: "attempts" })
              assert.strictEqual(yield* sent, 2)
            })
          )
        }
      })
  )

  it.effect("is none of the attempts that are counted, and takes nothing from the budget", () =>
    upstream(
      { "*": ({ freshConnection }) => (freshConnection === true ? status(503) : stale()) },
      { retry: { maxAttempts: 3, schedule: Schedule.spaced("1 second") } }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(Effect.flip(api.get("/a")))
        yield* TestClock.adjust("1 minute")
        assert.deepInclude(yield* Fiber.join(call), { attempts: 6, retryStopped: "attempts" })
        assert.deepStrictEqual(
          (yield* fresh).map(([, isFresh]) => isFresh),
          [false, true, false, true, false, true]
        )
        assert.deepInclude(yield* stage(api.stages.budget).snapshot, {
          granted: 2,
          refused: 0,
          retriesInFlight: 0,
          callsInFlight: 0
        })
      })
    )
  )

  it.effect("counts in no stage: fifty that fail at once leave every one as it was", () =>
    upstream(
      {
        "GET /warm": [after("20 millis", ok)],
        "*": ({ freshConnection }) => (freshConnection === true ? hang : after("200 millis", stale()))
      },
      everything
    )((api) =>
      Effect.gen(function* () {
        const warm = yield* forkAll(15, api.get("/warm"))
        yield* TestClock.adjust("20 millis")
        yield* Effect.forEach(warm, Fiber.join)
        const { adaptiveConcurrency, attemptTimeout, breaker, bulkhead, throttle } = api.stages
        const limit = (yield* stage(adaptiveConcurrency).snapshot).limit
        const learned = yield* stage(attemptTimeout).snapshot
        const calls = yield* forkAll(10, api.get("/a"))
        assert.deepInclude(yield* stage(bulkhead).snapshot, { inFlight: 10 })
        yield* TestClock.adjust("200 millis")
        assert.strictEqual(yield* sent, 35, "each is sent again, at once")
        assert.deepInclude(yield* stage(breaker).snapshot, { state: "Closed", succeeded: 15, failed: 0, ignored: 10 })
        assert.deepInclude(yield* stage(throttle).snapshot, { accepts: 15 })
        assert.deepInclude(yield* stage(adaptiveConcurrency).snapshot, { limit, dropped: 0, inFlight: 10 })
        assert.deepInclude(yield* stage(attemptTimeout).snapshot, { samples: learned.samples, timedOut: 0 })
        yield* Effect.forEach(calls, Fiber.interrupt)
        assert.deepInclude(yield* stage(bulkhead).snapshot, { inFlight: 0 })
      })
    )
  )

  it.effect("gives a probe's place back, and neither closes nor opens the circuit", () =>
    upstream(
      { "*": [status(503), stale(), ok, ok] },
      { breaker: { trip: [CircuitBreaker.consecutiveFailures(1)], probes: 1 } }
    )((api) =>
      Effect.gen(function* () {
        yield* Effect.flip(api.get("/a"))
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* api.get("/a")).status, 200)
        assert.deepInclude(yield* stage(api.stages.breaker).snapshot, {
          state: "HalfOpen",
          probesOut: 0,
          probeSuccesses: 1
        })
        yield* api.get("/a")
        assert.deepInclude(yield* stage(api.stages.breaker).snapshot, { state: "Closed" })
      })
    )
  )

  it.effect("on a connection of its own it is a failure like any other, to every stage", () =>
    upstream(
      { "*": [stale()] },
      { breaker: { trip: [CircuitBreaker.consecutiveFailures(1)] } }
    )((api) =>
      Effect.gen(function* () {
        yield* Effect.flip(api.get("/a"))
        assert.deepInclude(yield* stage(api.stages.breaker).snapshot, { state: "Open", failed: 1, ignored: 1 })
      })
    )
  )

  it.effect("is one of the attempts that are seen, and an event says why", () =>
    Effect.gen(function* () {
      const heard: Array<unknown> = []
      const observer = CallObserver.layer({
        attemptStarted: (_, { resend }) => void heard.push(["started", resend]),
        retryScheduled: (_, { delayMillis, isFresh, reason, resend }) =>
          void heard.push(["again", reason._tag, delayMillis, resend, isFresh])
      })
      const program = Effect.gen(function* () {
        const api = yield* Upstream.make("stock", {
          baseUrl: "https://stock.internal",
          policy: HttpPolicy.make({ retry: {} })
        })
        return yield* traced(api.get("/a"))
      })
      const transport = ScriptedTransport.layer({ "*": staleUnlessFresh(ok) })
      const spans = yield* program.pipe(Effect.scoped, Effect.provide(Layer.mergeAll(transport, observer)))
      assert.deepStrictEqual(heard, [
        ["started", 0],
        ["again", "ConnectionClosed", 0, 1, true],
        ["started", 1]
      ])
      const [call, first, second] = spans
      assert.deepStrictEqual(call?.events, [
        [
          "holdfast.retry",
          0,
          {
            "holdfast.retry.attempt": 1,
            "holdfast.retry.delay": 0,
            "holdfast.retry.stale": true,
            "error.type": "ERR_NETWORK_CONNECTION_CLOSED"
          }
        ]
      ])
      assert.strictEqual(first?.attributes["error.type"], "ERR_NETWORK_CONNECTION_CLOSED")
      assert.strictEqual(second?.attributes["http.request.resend_count"], 1)
    })
  )

  it.effect("is made again when its answer is to be streamed", () =>
    upstream(
      { "*": staleUnlessFresh(stream(["a", "b"])) },
      everything
    )((api) =>
      Effect.gen(function* () {
        const answer = yield* Effect.scoped(api.streaming.get("/a"))
        assert.strictEqual(answer.status, 200)
        assert.deepStrictEqual(yield* fresh, [
          [0, false],
          [1, true]
        ])
      })
    )
  )
})

describe("a stale connection beside a hedge", () => {
  const hedged = (options: HttpPolicy.HedgeOptions = {}): HttpPolicy.Options => ({
    retry: { schedule: Schedule.spaced("1 hour") },
    hedge: { delay: "100 millis", maximumExtraLoad: 1, ...options }
  })

  it.effect("leaves the answer to the hedge", () =>
    upstream(
      { "*": [after("150 millis", stale()), after("100 millis", ok)] },
      hedged()
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a"))
        yield* TestClock.adjust("200 millis")
        assert.strictEqual((yield* Fiber.join(call)).status, 200)
        assert.strictEqual(yield* sent, 2)
      })
    )
  )

  it.effect("of both is made again once, at once", () =>
    upstream(
      { "*": ({ freshConnection }) => (freshConnection === true ? ok : after("150 millis", stale())) },
      hedged()
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a"))
        yield* TestClock.adjust("250 millis")
        assert.strictEqual((yield* Fiber.join(call)).status, 200)
        assert.deepStrictEqual(yield* fresh, [
          [0, false],
          [1, false],
          [2, true]
        ])
      })
    )
  )

  it.effect("does not hide what the other attempt failed with", () =>
    upstream(
      { "*": [after("150 millis", stale()), after("100 millis", status(503))] },
      { ...hedged(), retry: { maxAttempts: 1 } }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(Effect.flip(api.get("/a")))
        yield* TestClock.adjust("200 millis")
        assert.deepInclude(yield* Fiber.join(call), { attempts: 2 })
        assert.strictEqual((yield* Fiber.join(call)).reason._tag, "ServiceUnavailable")
      })
    )
  )
})

describe("a POST", () => {
  const post = (api: Upstream.Upstream) => api.post("/charges", { json: {} })

  const posting = (
    steps: ReadonlyArray<ScriptedTransport.Step>,
    retry: HttpPolicy.RetryOptions = {}
  ): Effect.Effect<{ readonly answer: number | CallError; readonly sent: number }> =>
    upstream(
      { "*": [...steps, status(201)] },
      { ...HttpPolicy.standard().options, retry: { schedule: Schedule.spaced("1 second"), ...retry } }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(
          Effect.match(post(api), { onSuccess: ({ status }) => status, onFailure: (error) => error })
        )
        yield* TestClock.adjust("10 seconds")
        return { answer: yield* Fiber.join(call), sent: yield* sent }
      })
    )

  it.effect("that never left its stale connection is sent, whatever the policy says of trying again", () =>
    Effect.gen(function* () {
      for (const step of [stale({ unprocessed: true }), stale({ phase: "connect" })]) {
        assert.deepStrictEqual(yield* posting([step]), { answer: 201, sent: 2 })
        assert.deepStrictEqual(yield* posting([step], { maxAttempts: 1 }), { answer: 201, sent: 2 })
      }
    })
  )

  it.effect("that the server did nothing with is sent again, and is a retry like any other", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* posting([refusedStream]), { answer: 201, sent: 2 })
      const { answer, sent } = yield* posting([refusedStream], { maxAttempts: 1 })
      assert.deepInclude(answer, { attempts: 1, retryStopped: "attempts" })
      assert.strictEqual(sent, 1)
    })
  )

  it.effect("that may have been applied is not sent again, and the reason why is the true one", () =>
    Effect.gen(function* () {
      for (const step of [stale(), stale({ phase: "send" }), ScriptedTransport.reset, ScriptedTransport.refused]) {
        const { answer, sent } = yield* posting([step])
        assert.deepInclude(answer, { attempts: 1, retryStopped: "not-replayable" })
        assert.strictEqual(sent, 1)
      }
    })
  )

  it.effect("that may have been applied is sent again where the policy says so, or where it has a key", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* posting([stale()], { nonIdempotent: "always" }), { answer: 201, sent: 2 })
      yield* upstream(
        { "*": staleUnlessFresh(status(201)) },
        {}
      )((api) =>
        Effect.map(api.post("/charges", { json: {}, idempotencyKey: true }), ({ status }) =>
          assert.strictEqual(status, 201)
        )
      )
    })
  )
})

describe("a client that was made resilient", () => {
  it.effect("sends again at once what its classifier calls stale", () =>
    Effect.gen(function* () {
      let requests = 0
      const broken = HttpClient.make((request) =>
        Effect.suspend(() => {
          requests++
          return Effect.fail(
            new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request }) })
          )
        })
      )
      const client = broken.pipe(
        ResilientClient.withPolicy({
          policy: HttpPolicy.make({ breaker: { trip: [CircuitBreaker.consecutiveFailures(2)] } }),
          classify: (_, usual) => ({ ...usual, cause: "stale" })
        })
      )
      const error = yield* Effect.flip(client.get("https://stock.internal/a"))
      assert.deepInclude(error, { attempts: 2 })
      assert.strictEqual(requests, 2)
      yield* Effect.flip(client.get("https://stock.internal/a"))
      const refused = yield* Effect.flip(client.get("https://stock.internal/a"))
      assert.deepInclude(refused, { attempts: 0 })
    })
  )
})

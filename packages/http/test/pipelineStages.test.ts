import { Cause, Duration, Effect, Exit, Fiber, Random, Schedule, Schema, SchemaGetter, Stream } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import { CallError } from "@holdfast/core/CallError"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Criticality from "@holdfast/core/Criticality"
import * as Deadline from "@holdfast/core/Deadline"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as Rejection from "../src/Rejection.ts"
import * as Upstream from "../src/Upstream.ts"
import { fork, forkAll, sent, stage, upstream } from "./support/stock.ts"

const { after, hang, json, status } = ScriptedTransport

const ok = status(200)

const inOneSecond = after("1 second", ok)

const everySecond: HttpPolicy.RetryOptions = {
  backoff: { shape: "constant", base: "1 second", jitter: "none" },
  serverWaitJitter: 0
}

const failure = <A>(call: Effect.Effect<A, CallError>) =>
  Effect.map(Effect.flip(call), ({ attempts, reason, retryStopped }) => ({
    reason: reason._tag,
    attempts,
    retryStopped
  }))

const paths = Effect.map(ScriptedTransport.seen, ({ requests }) => requests.map(({ path }) => path))

/** How a fiber has ended so far. */
const state = <A, E>(fiber: Fiber.Fiber<A, E>): string => {
  const exit = fiber.pollUnsafe()
  if (exit === undefined) return "runs"
  if (Exit.isSuccess(exit)) return "succeeded"
  const error = exit.cause.reasons.find(Cause.isFailReason)?.error
  return error instanceof CallError ? error.reason._tag : "interrupted"
}

const chance = (value: number) =>
  Effect.provideService(Random.Random, { nextDoubleUnsafe: () => value, nextIntUnsafe: () => 7 })

describe("breaker", () => {
  const breaker: CircuitBreaker.Options = {
    trip: [CircuitBreaker.consecutiveFailures(2)],
    openTime: "10 seconds",
    probes: 1,
    successThreshold: 1
  }

  it.effect(
    "opens after failures and refuses without a request, half-opens after its time, and closes on a success",
    () =>
      upstream(
        { "*": [status(503), status(503), ok] },
        { breaker }
      )((api) =>
        Effect.gen(function* () {
          const circuit = Effect.map(stage(api.stages.breaker).snapshot, ({ state }) => state)
          for (const _ of [1, 2]) {
            assert.deepStrictEqual(yield* failure(api.get("/a")), {
              reason: "ServiceUnavailable",
              attempts: 1,
              retryStopped: "attempts"
            })
          }
          assert.strictEqual(yield* circuit, "Open")
          assert.deepStrictEqual(yield* failure(api.get("/a")), {
            reason: "CircuitOpen",
            attempts: 0,
            retryStopped: "not-retryable"
          })
          assert.strictEqual(yield* sent, 2)
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* circuit, "HalfOpen")
          yield* api.get("/a")
          assert.strictEqual(yield* circuit, "Closed")
          assert.strictEqual(yield* sent, 3)
        })
      )
  )

  it.effect("half-open, it lets its probes through and refuses what comes beside them", () =>
    upstream(
      { "*": [status(503), status(503), inOneSecond] },
      { breaker }
    )((api) =>
      Effect.gen(function* () {
        yield* Effect.flip(api.get("/a"))
        yield* Effect.flip(api.get("/a"))
        yield* TestClock.adjust("10 seconds")
        const probe = yield* fork(api.get("/a"))
        assert.deepInclude(yield* failure(api.get("/a")), { reason: "CircuitOpen", attempts: 0 })
        yield* TestClock.adjust("1 second")
        assert.strictEqual(state(probe), "succeeded")
        assert.strictEqual((yield* stage(api.stages.breaker).snapshot).state, "Closed")
      })
    )
  )

  it.effect("a probe that is interrupted gives its place back, and neither closes nor reopens the circuit", () =>
    upstream(
      { "*": [status(503), status(503), hang] },
      { breaker }
    )((api) =>
      Effect.gen(function* () {
        yield* Effect.flip(api.get("/a"))
        yield* Effect.flip(api.get("/a"))
        yield* TestClock.adjust("10 seconds")
        const probe = yield* fork(api.get("/a"))
        assert.deepInclude(yield* stage(api.stages.breaker).snapshot, { state: "HalfOpen", probesOut: 1 })
        yield* Fiber.interrupt(probe)
        assert.deepInclude(yield* stage(api.stages.breaker).snapshot, { state: "HalfOpen", probesOut: 0 })
      })
    )
  )

  for (const [what, step] of [
    ["the caller's own fault (404)", status(404)],
    ["an upstream that wants less (429)", status(429)],
    ["an answer that does not decode", json({ id: 1 })]
  ] as const) {
    it.effect(`${what} does not open it`, () =>
      upstream(
        { "*": [step] },
        { breaker }
      )((api) =>
        Effect.gen(function* () {
          const decode = Schema.Struct({ id: Schema.String })
          for (let call = 0; call < 10; call++) yield* Effect.flip(api.get("/a", { decode }))
          assert.deepInclude(yield* stage(api.stages.breaker).snapshot, { state: "Closed", failed: 0, ignored: 10 })
        })
      )
    )
  }

  it.effect("callers that go away do not open it", () =>
    upstream(
      { "*": [hang] },
      { breaker }
    )((api) =>
      Effect.gen(function* () {
        const calls = yield* forkAll(10, api.get("/a"))
        yield* Fiber.interruptAll(calls)
        assert.deepInclude(yield* stage(api.stages.breaker).snapshot, {
          state: "Closed",
          admitted: 10,
          failed: 0,
          ignored: 10
        })
      })
    )
  )

  it.effect("attempts that take too long open it", () =>
    upstream(
      { "*": [hang] },
      { breaker, attemptTimeout: "1 second" }
    )((api) =>
      Effect.gen(function* () {
        for (const circuit of ["Closed", "Open"]) {
          const calls = yield* forkAll(2, api.get("/a"))
          yield* TestClock.adjust("1 second")
          assert.deepStrictEqual(calls.map(state), ["AttemptTimeout", "AttemptTimeout"])
          assert.strictEqual((yield* stage(api.stages.breaker).snapshot).state, circuit)
        }
      })
    )
  )

  it.effect("the upstream's own classifier says what a failure is to it, too", () =>
    Effect.gen(function* () {
      const api = yield* Upstream.make("stock", {
        baseUrl: "https://stock.internal",
        policy: HttpPolicy.make({ breaker }),
        classify: (reason, usual) => (reason._tag === "NotFound" ? { ...usual, cause: "transient" } : usual)
      })
      yield* Effect.flip(api.get("/a"))
      yield* Effect.flip(api.get("/a"))
      assert.strictEqual((yield* stage(api.stages.breaker).snapshot).state, "Open")
    }).pipe(Effect.scoped, Effect.provide(ScriptedTransport.layer({ "*": [status(404)] })))
  )

  it.effect("a call whose own failures opened it ends at once, and counts what was sent", () =>
    upstream(
      { "*": [status(503)] },
      { breaker, retry: { ...everySecond, maxAttempts: 5 } }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(failure(api.get("/a")))
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual(yield* Fiber.join(call), {
          reason: "CircuitOpen",
          attempts: 2,
          retryStopped: "not-retryable"
        })
        assert.strictEqual(yield* sent, 2)
      })
    )
  )

  it.effect("where refusals are waited for, the next attempt is the probe, and numbered as what was sent", () =>
    upstream(
      { "*": [status(503), status(503), ok] },
      { breaker, retry: { ...everySecond, maxAttempts: 5, refusals: "wait" } }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a"))
        yield* TestClock.adjust("10999 millis")
        assert.strictEqual(state(call), "runs")
        yield* TestClock.adjust("1 second")
        assert.strictEqual(state(call), "succeeded")
        const { requests } = yield* ScriptedTransport.seen
        assert.deepStrictEqual(
          requests.map(({ resend }) => resend),
          [0, 1, 2]
        )
      })
    )
  )

  it.effect("where refusals are waited for, one that outlasts the deadline ends the call at once", () =>
    upstream(
      { "*": [status(503)] },
      {
        breaker,
        deadline: "8 seconds",
        attemptTimeout: "1 second",
        retry: { ...everySecond, maxAttempts: 5, refusals: "wait" }
      }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(failure(api.get("/a")))
        yield* TestClock.adjust("2 seconds")
        const ended = yield* Fiber.join(call)
        assert.deepStrictEqual(ended, { reason: "CircuitOpen", attempts: 2, retryStopped: "server-wait" })
      })
    )
  )
})

describe("throttle", () => {
  it.effect("sheds what the upstream would refuse, before anything is sent", () =>
    upstream(
      { "*": [status(503)] },
      { throttle: { multiplier: 1, minimumPerSecond: 0, minimumRequests: 1 } }
    )((api) =>
      Effect.gen(function* () {
        for (let call = 0; call < 9; call++) yield* chance(1)(Effect.flip(api.get("/a")))
        assert.deepStrictEqual(yield* chance(0)(failure(api.get("/a"))), {
          reason: "Throttled",
          attempts: 0,
          retryStopped: "not-retryable"
        })
        assert.strictEqual(yield* sent, 9)
        assert.deepInclude(yield* stage(api.stages.throttle).snapshot, { shed: 1, accepts: 0, requests: 10 })
      })
    )
  )

  it.effect("sheds what matters least first", () =>
    upstream(
      { "GET /bad": [status(503)], "*": [ok] },
      { throttle: { minimumPerSecond: 0, minimumRequests: 1 } }
    )((api) =>
      Effect.gen(function* () {
        for (let call = 0; call < 10; call++) yield* chance(1)(Effect.exit(api.get(call < 6 ? "/bad" : "/a")))
        const { probability } = yield* stage(api.stages.throttle).snapshot
        assert.isAbove(probability.sheddable, probability["critical-plus"])
        const between = (probability.sheddable + probability["critical-plus"]) / 2
        const call = chance(between)(Effect.exit(api.get("/a")))
        assert.isTrue(Exit.isSuccess(yield* Criticality.withLevel("critical-plus")(call)))
        assert.isTrue(Exit.isFailure(yield* Criticality.withLevel("sheddable")(call)))
      })
    )
  )

  it.effect("a 404 is an answer that was accepted, and an interruption is no answer", () =>
    upstream(
      { "GET /none": [status(404)], "*": [hang] },
      { throttle: {} }
    )((api) =>
      Effect.gen(function* () {
        yield* Effect.flip(api.get("/none"))
        yield* Fiber.interrupt(yield* fork(api.get("/hang")))
        assert.deepInclude(yield* stage(api.stages.throttle).snapshot, { requests: 1, accepts: 1, shed: 0 })
      })
    )
  )
})

describe("bulkhead", () => {
  const idle = (api: Upstream.Upstream) =>
    Effect.map(stage(api.stages.bulkhead).snapshot, (snapshot) =>
      assert.deepInclude(snapshot, { inFlight: 0, queued: 0 })
    )

  it.effect("what is beyond it waits for its turn, and what is beyond the queue is refused without a request", () =>
    upstream(
      { "*": [inOneSecond] },
      { bulkhead: { maxConcurrent: 2, maxQueue: 1, maxWait: "1 minute" } }
    )((api) =>
      Effect.gen(function* () {
        const calls = yield* forkAll(3, api.get("/a"))
        assert.deepStrictEqual(yield* failure(api.get("/a")), {
          reason: "BulkheadFull",
          attempts: 0,
          retryStopped: "not-retryable"
        })
        assert.strictEqual(yield* sent, 2)
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(calls.map(state), ["succeeded", "succeeded", "runs"])
        assert.strictEqual(yield* sent, 3)
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(calls.map(state), ["succeeded", "succeeded", "succeeded"])
        yield* idle(api)
      })
    )
  )

  it.effect("who matters more goes first, and takes the place of who matters less", () =>
    upstream(
      { "*": [inOneSecond] },
      { bulkhead: { maxConcurrent: 1, maxQueue: 2, maxWait: "1 minute" } }
    )((api) =>
      Effect.gen(function* () {
        const levels = ["critical", "sheddable", "sheddable-plus", "critical-plus"] as const
        const calls = yield* Effect.forEach(levels, (level) =>
          fork(api.get("/{level}", { params: { level } }).pipe(Criticality.withLevel(level)))
        )
        assert.deepStrictEqual(calls.map(state), ["runs", "BulkheadFull", "runs", "runs"])
        yield* TestClock.adjust("3 seconds")
        assert.deepStrictEqual(yield* paths, ["/critical", "/critical-plus", "/sheddable-plus"])
        yield* idle(api)
      })
    )
  )

  it.effect("nobody waits beyond his deadline, nor beyond the longest wait", () =>
    upstream(
      { "*": [hang] },
      { bulkhead: { maxConcurrent: 1, maxQueue: 9, maxWait: "5 seconds" } }
    )((api) =>
      Effect.gen(function* () {
        const [running, hurried, patient] = yield* Effect.all([
          fork(api.get("/a")),
          fork(api.get("/a").pipe(Deadline.within("2 seconds"))),
          fork(api.get("/a"))
        ])
        yield* TestClock.adjust("1999 millis")
        assert.deepStrictEqual([hurried, patient].map(state), ["runs", "runs"])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual([hurried, patient].map(state), ["BulkheadFull", "runs"])
        yield* TestClock.adjust("3 seconds")
        assert.deepStrictEqual([running, patient].map(state), ["runs", "BulkheadFull"])
        yield* Fiber.interrupt(running)
        yield* idle(api)
        assert.strictEqual(yield* sent, 1)
      })
    )
  )

  it.effect("a permit comes back at whatever instant a call is interrupted, in the queue or after it", () =>
    upstream(
      { "*": [after("3 millis", status(503)), after("3 millis", ok)] },
      { bulkhead: { maxConcurrent: 1, maxQueue: 1 }, retry: { backoff: { shape: "constant", base: "2 millis" } } }
    )((api) =>
      Effect.gen(function* () {
        for (let first = 0; first <= 10; first++) {
          for (let second = 0; second <= 10; second++) {
            const one = yield* Effect.forkChild(api.get("/a"))
            const two = yield* Effect.forkChild(api.get("/a"))
            yield* TestClock.adjust(Math.min(first, second))
            yield* Fiber.interrupt(first < second ? one : two)
            yield* TestClock.adjust(Math.abs(first - second))
            yield* Fiber.interruptAll([one, two])
            yield* idle(api)
          }
        }
        yield* api
          .get("/a")
          .pipe(Effect.forkChild, Effect.tap(TestClock.adjust("1 second")), Effect.flatMap(Fiber.join))
      })
    )
  )
})

describe("adaptive concurrency", () => {
  it.effect("refuses what is beyond its limit, loses room with failures, and grows back with successes", () =>
    upstream(
      { "GET /bad": [after("1 second", status(503))], "*": [inOneSecond] },
      { adaptiveConcurrency: { algorithm: "aimd", initialLimit: 4, minimumLimit: 1, backoffRatio: 0.5 } }
    )((api) =>
      Effect.gen(function* () {
        const limit = Effect.map(stage(api.stages.adaptiveConcurrency).snapshot, ({ limit }) => limit)
        const bad = yield* forkAll(4, api.get("/bad"))
        assert.deepStrictEqual(yield* failure(api.get("/a")), {
          reason: "ConcurrencyLimited",
          attempts: 0,
          retryStopped: "not-retryable"
        })
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(new Set(bad.map(state)), new Set(["ServiceUnavailable"]))
        assert.strictEqual(yield* limit, 4, "a few failures are no reason")
        yield* forkAll(4, api.get("/bad"))
        yield* TestClock.adjust("1 second")
        const cut = yield* limit
        assert.isBelow(cut, 4)
        for (let round = 0; round < 20; round++) {
          yield* forkAll(yield* limit, api.get("/a"))
          yield* TestClock.adjust("1 second")
        }
        assert.isAbove(yield* limit, cut)
        assert.strictEqual((yield* stage(api.stages.adaptiveConcurrency).snapshot).inFlight, 0)
      })
    )
  )

  it.effect("an interrupted call gives its place back and is no drop", () =>
    upstream(
      { "*": [hang] },
      { adaptiveConcurrency: { initialLimit: 3, minimumLimit: 1 } }
    )((api) =>
      Effect.gen(function* () {
        const calls = yield* forkAll(3, api.get("/a"))
        yield* Fiber.interruptAll(calls)
        assert.deepInclude(yield* stage(api.stages.adaptiveConcurrency).snapshot, { inFlight: 0, dropped: 0 })
      })
    )
  )

  it.effect("a call that waits in the bulkhead's queue is no load to it, and its wait no latency", () =>
    upstream(
      { "*": [inOneSecond] },
      {
        bulkhead: { maxConcurrent: 1, maxQueue: 2, maxWait: "1 minute" },
        adaptiveConcurrency: { initialLimit: 5, slowAfter: "1500 millis" }
      }
    )((api) =>
      Effect.gen(function* () {
        const calls = yield* forkAll(3, api.get("/a"))
        assert.strictEqual((yield* stage(api.stages.adaptiveConcurrency).snapshot).inFlight, 1)
        yield* TestClock.adjust("3 seconds")
        assert.deepStrictEqual(calls.map(state), ["succeeded", "succeeded", "succeeded"])
        assert.deepInclude(yield* stage(api.stages.adaptiveConcurrency).snapshot, { inFlight: 0, dropped: 0, limit: 5 })
      })
    )
  )
})

describe("rate limit", () => {
  it.effect("calls beyond it wait for their time, whatever becomes of them", () =>
    upstream(
      { "*": [ok] },
      { rateLimit: { limit: 2, window: "1 second" } }
    )((api) =>
      Effect.gen(function* () {
        const calls = yield* forkAll(4, api.get("/a"))
        assert.deepStrictEqual([yield* sent, calls.map(state)], [2, ["succeeded", "succeeded", "runs", "runs"]])
        yield* TestClock.adjust("500 millis")
        assert.strictEqual(yield* sent, 3)
        yield* TestClock.adjust("500 millis")
        assert.strictEqual(yield* sent, 4)
        assert.deepInclude(yield* stage(api.stages.rateLimit).snapshot, { waiting: 0, admitted: 4, delayed: 2 })
      })
    )
  )

  it.effect("retries take their turn in it as well, and the next calls wait behind them", () =>
    upstream(
      { "*": [status(503), ok] },
      { rateLimit: { limit: 1, window: "3 seconds", maxWait: "1 minute" }, retry: everySecond }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a"))
        yield* TestClock.adjust("2 seconds")
        const next = yield* fork(api.get("/a"))
        yield* TestClock.adjust("999 millis")
        assert.deepStrictEqual([state(call), yield* sent], ["runs", 1])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual([state(call), state(next), yield* sent], ["succeeded", "runs", 2])
        yield* TestClock.adjust("3 seconds")
        assert.deepStrictEqual([state(next), yield* sent], ["succeeded", 3])
        assert.deepInclude(yield* stage(api.stages.rateLimit).snapshot, { admitted: 3, waiting: 0 })
      })
    )
  )

  for (const algorithm of ["token-bucket", "sliding-window"] as const) {
    it.effect(`no second has more requests than it says, whatever is retried (${algorithm})`, () => {
      const at: Array<number> = []
      let nowMillis = 0
      const answer = () => {
        at.push(nowMillis)
        return status(at.length % 3 === 0 ? 503 : 200)
      }
      return upstream(
        { "*": answer },
        { rateLimit: { limit: 50, algorithm, ...(algorithm === "token-bucket" && { burst: 1 }) }, retry: {} }
      )((api) =>
        Effect.gen(function* () {
          for (; nowMillis < 5000; nowMillis += 5) {
            if (nowMillis % 20 === 0) yield* Effect.forkChild(Effect.exit(api.get("/a")))
            yield* TestClock.adjust("5 millis")
          }
          const most = Math.max(
            ...at.map((from) => at.filter((moment) => moment >= from && moment < from + 1000 - 5).length)
          )
          assert.isTrue(most <= 50 && most >= 45, `${most} in a second`)
        })
      )
    })
  }

  it.effect("a retry that it leaves no room for ends the call with the failure that it had", () =>
    upstream(
      { "*": [status(503)] },
      { rateLimit: { limit: 1, window: "1 hour" }, retry: everySecond }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(failure(api.get("/a")))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* Fiber.join(call), {
          reason: "ServiceUnavailable",
          attempts: 1,
          retryStopped: "rate-limit"
        })
      })
    )
  )

  it.effect("where refusals are waited for, the failure is still the upstream's", () =>
    upstream(
      { "*": [status(503)] },
      { rateLimit: { limit: 1, window: "1 hour" }, retry: { ...everySecond, refusals: "wait" } }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(failure(api.get("/a")))
        yield* TestClock.adjust("1 minute")
        assert.deepInclude(yield* Fiber.join(call), { reason: "ServiceUnavailable", attempts: 1 })
      })
    )
  )

  it.effect("a hedge that it leaves no room for is not started, and one that it does takes its turn", () =>
    upstream(
      { "*": [inOneSecond] },
      { rateLimit: { limit: 3, window: "1 hour" }, hedge: { delay: "100 millis", maximumExtraLoad: 1 }, retry: false }
    )((api) =>
      Effect.gen(function* () {
        const calls = yield* forkAll(2, api.get("/a"))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual([calls.map(state), yield* sent], [["succeeded", "succeeded"], 3])
        assert.deepInclude((yield* stage(api.stages.hedge).snapshot).denied, { upstream: 1 })
      })
    )
  )

  it.effect("a redirect that is followed to the same server is one more request", () =>
    upstream(
      { "*": [status(302, { headers: { location: "/b" } }), ok] },
      { rateLimit: { limit: 2, window: "2 seconds" }, redirects: {} }
    )((api) =>
      Effect.gen(function* () {
        yield* api.get("/a")
        const next = yield* fork(api.get("/a"))
        yield* TestClock.adjust("999 millis")
        assert.strictEqual(state(next), "runs")
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(state(next), "succeeded")
      })
    )
  )

  it.effect("a wait that is too long, or reaches the deadline, is refused at once", () =>
    upstream(
      { "*": [ok] },
      { rateLimit: { limit: 1, window: "10 seconds", maxWait: "15 seconds" } }
    )((api) =>
      Effect.gen(function* () {
        yield* api.get("/a")
        assert.deepStrictEqual(yield* failure(api.get("/a").pipe(Deadline.within("9 seconds"))), {
          reason: "RateLimited",
          attempts: 0,
          retryStopped: "not-retryable"
        })
        const waiting = yield* fork(api.get("/a"))
        assert.deepInclude(yield* failure(api.get("/a")), { reason: "RateLimited", attempts: 0 })
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(state(waiting), "succeeded")
      })
    )
  )

  it.effect("a call that is interrupted while it waits gives its time to the next", () =>
    upstream(
      { "*": [ok] },
      { rateLimit: { limit: 1, window: "10 seconds", maxWait: "1 minute" } }
    )((api) =>
      Effect.gen(function* () {
        yield* api.get("/a")
        const [first, second] = yield* Effect.all([fork(api.get("/a")), fork(api.get("/a"))])
        yield* Fiber.interrupt(first)
        yield* Fiber.interrupt(second)
        const next = yield* fork(api.get("/a"))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(state(next), "succeeded")
        assert.strictEqual((yield* stage(api.stages.rateLimit).snapshot).waiting, 0)
      })
    )
  )

  it.effect("what the server says of its own limit paces the calls that follow", () =>
    upstream(
      { "*": [status(200, { headers: { ratelimit: '"default";r=0;t=4' } }), ok] },
      { rateLimit: { limit: 100, maxWait: "1 minute" } }
    )((api) =>
      Effect.gen(function* () {
        yield* api.get("/a")
        const next = yield* fork(api.get("/a"))
        yield* TestClock.adjust("3999 millis")
        assert.deepStrictEqual([state(next), yield* sent], ["runs", 1])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual([state(next), yield* sent], ["succeeded", 2])
      })
    )
  )

  for (const [unit, reset] of [
    ["epoch seconds", (untilMillis: number) => untilMillis / 1000],
    ["epoch milliseconds", (untilMillis: number) => untilMillis],
    ["seconds from now", (untilMillis: number, nowMillis: number) => Math.ceil((untilMillis - nowMillis) / 1000)],
    ["milliseconds from now", (untilMillis: number, nowMillis: number) => untilMillis - nowMillis]
  ] as const) {
    it.effect(`a limit that is far from used up stops nobody, when its reset is in ${unit}`, () => {
      let [nowMillis, startMillis, left] = [Date.UTC(2026, 9, 21), Date.UTC(2026, 9, 21), 1000]
      const told = () => {
        if (nowMillis >= startMillis + 10_000) [startMillis, left] = [nowMillis, 1000]
        left--
        const headers = {
          date: new Date(nowMillis).toUTCString(),
          "x-ratelimit-remaining": String(left),
          "x-ratelimit-reset": String(reset(startMillis + 10_000, nowMillis))
        }
        return status(200, { headers })
      }
      return upstream(
        { "*": told },
        { rateLimit: { limit: 100 } }
      )((api) =>
        Effect.gen(function* () {
          yield* TestClock.setTime(nowMillis)
          const calls: Array<Fiber.Fiber<unknown, CallError>> = []
          for (let call = 0; call < 1000; call++) {
            calls.push(yield* Effect.forkChild(api.get("/a")))
            nowMillis += 25
            yield* TestClock.adjust("25 millis")
          }
          assert.deepStrictEqual([...new Set(calls.map(state))], ["succeeded"])
        })
      )
    })
  }

  it.effect("a 429 with Retry-After holds the other calls back as well", () =>
    upstream(
      { "*": [status(429, { headers: { "retry-after": "3" } }), ok] },
      { rateLimit: { limit: 100, maxWait: "1 minute" }, retry: everySecond }
    )((api) =>
      Effect.gen(function* () {
        const first = yield* fork(api.get("/first"))
        const second = yield* fork(api.get("/second"))
        yield* TestClock.adjust("2999 millis")
        assert.deepStrictEqual(yield* paths, ["/first"])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual([first, second].map(state), ["succeeded", "succeeded"])
      })
    )
  )
})

describe("hedge", () => {
  const hedge: HttpPolicy.HedgeOptions = { delay: "100 millis", maximumExtraLoad: 1 }

  it.effect("a second attempt is sent after the delay, the first success wins, and the loser is interrupted", () =>
    upstream(
      { "*": [after("1 second", json({ by: 0 })), after("50 millis", json({ by: 1 }))] },
      { hedge }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a", { decode: Schema.Struct({ by: Schema.Int }) }))
        yield* TestClock.adjust("99 millis")
        assert.strictEqual(yield* sent, 1)
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* sent, 2)
        yield* TestClock.adjust("50 millis")
        assert.deepStrictEqual(yield* Fiber.join(call), { by: 1 })
        const { interrupted, requests } = yield* ScriptedTransport.seen
        assert.deepStrictEqual(
          [requests, interrupted].map((those) => those.map(({ resend }) => resend)),
          [[0, 1], [0]]
        )
        assert.deepInclude(yield* stage(api.stages.hedge).snapshot, { hedges: 1, won: 1, hedgesInFlight: 0 })
      })
    )
  )

  it.effect("the first attempt that answers after all wins, and its hedge is interrupted", () =>
    upstream(
      { "*": [after("120 millis", json({ by: 0 })), hang] },
      { hedge }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a"))
        yield* TestClock.adjust("120 millis")
        assert.strictEqual((yield* Fiber.join(call)).text, '{"by":0}')
        const { interrupted } = yield* ScriptedTransport.seen
        assert.deepStrictEqual(
          interrupted.map(({ resend }) => resend),
          [1]
        )
      })
    )
  )

  it.effect("what may not be sent twice is not hedged; with an idempotency key it is, with the same key", () =>
    upstream(
      { "*": [inOneSecond] },
      { hedge }
    )((api) =>
      Effect.gen(function* () {
        for (const verb of ["post", "patch"] as const) {
          const call = yield* fork(api[verb]("/a", { json: {} }))
          yield* TestClock.adjust("1 second")
          assert.strictEqual(state(call), "succeeded")
        }
        assert.strictEqual(yield* sent, 2)
        yield* fork(api.post("/a", { json: {}, idempotencyKey: true }))
        yield* TestClock.adjust("1 second")
        const { requests } = yield* ScriptedTransport.seen
        const keys = requests.slice(2).map(({ headers }) => headers["idempotency-key"])
        assert.strictEqual(keys.length, 2)
        assert.strictEqual(keys[0], keys[1])
      })
    )
  )

  it.effect("nothing is hedged while the circuit is not closed, or the bulkhead has no room", () =>
    upstream(
      { "GET /bad": [status(503)], "*": [inOneSecond] },
      {
        hedge,
        breaker: { trip: [CircuitBreaker.consecutiveFailures(1)], openTime: "1 second" },
        bulkhead: { maxConcurrent: 2 }
      }
    )((api) =>
      Effect.gen(function* () {
        yield* Effect.flip(api.get("/bad"))
        yield* TestClock.adjust("1 second")
        const probe = yield* fork(api.get("/a"))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(state(probe), "succeeded")
        assert.strictEqual(yield* sent, 2)
        yield* stage(api.stages.breaker).reset
        yield* forkAll(2, api.get("/a"))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* sent, 4)
        assert.deepInclude((yield* stage(api.stages.hedge).snapshot).denied, { upstream: 3 })
      })
    )
  )

  it.effect("hedges and retries are paid from one budget", () =>
    upstream(
      { "*": [hang] },
      { hedge, retry: { budget: { ratio: 0, minimumPerSecond: 0.1 } } }
    )((api) =>
      Effect.gen(function* () {
        const calls = yield* forkAll(2, api.get("/a"))
        yield* TestClock.adjust("1 second")
        assert.deepInclude(yield* stage(api.stages.budget).snapshot, { granted: 1, refused: 1, retriesInFlight: 1 })
        assert.deepInclude((yield* stage(api.stages.hedge).snapshot).denied, { budget: 1 })
        assert.strictEqual(yield* sent, 3)
        yield* Fiber.interruptAll(calls)
        assert.deepInclude(yield* stage(api.stages.budget).snapshot, { retriesInFlight: 0, callsInFlight: 0 })
      })
    )
  )

  it.effect("retries and hedges are numbered in one row", () =>
    upstream(
      { "*": [after("150 millis", status(503)), after("150 millis", status(503)), ok] },
      { hedge, retry: everySecond }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a"))
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(state(call), "succeeded")
        const { requests } = yield* ScriptedTransport.seen
        assert.deepStrictEqual(
          requests.map(({ resend }) => resend),
          [0, 1, 2]
        )
      })
    )
  )

  it.effect("a call whose attempts all fail says how many were sent, hedges included", () =>
    upstream(
      { "*": [after("150 millis", status(503))] },
      { hedge }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(failure(api.get("/a")))
        yield* TestClock.adjust("5 seconds")
        assert.deepInclude(yield* Fiber.join(call), { reason: "ServiceUnavailable", attempts: 2 })
      })
    )
  )

  it.effect("a caller that goes away interrupts all of its attempts", () =>
    upstream(
      { "*": [hang] },
      { hedge }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a"))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(call)
        const { interrupted } = yield* ScriptedTransport.seen
        assert.strictEqual(interrupted.length, 2)
      })
    )
  )
})

describe("single flight", () => {
  const policy: HttpPolicy.Options = { singleFlight: {} }

  const Item = Schema.Struct({ left: Schema.Int })

  it.effect("equal reads share one, and each gets its answer", () =>
    upstream(
      { "*": [after("1 second", json({ left: 3 }))] },
      policy
    )((api) =>
      Effect.gen(function* () {
        const calls = yield* forkAll(10, api.get("/a", { query: { page: 1 }, decode: Item }))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(
          yield* Effect.forEach(calls, Fiber.join),
          Array.from({ length: 10 }, () => ({ left: 3 }))
        )
        assert.strictEqual(yield* sent, 1)
        yield* forkAll(1, api.get("/a", { query: { page: 1 }, decode: Item }))
        assert.strictEqual(yield* sent, 2, "a run that has ended is not joined")
      })
    )
  )

  it.effect("reads that differ in method, path, query, headers, schema, statuses or rejections are not shared", () =>
    upstream(
      { "*": [inOneSecond] },
      policy
    )((api) =>
      Effect.gen(function* () {
        const catalog = ErrorCatalog.make("stock", { GONE: { summary: "gone" }, BUSY: { summary: "busy" } })
        const gone = Rejection.make(catalog.GONE, Schema.Struct({ error: Schema.Literal("gone") }))
        const busy = Rejection.make(catalog.BUSY, Schema.Struct({ error: Schema.Literal("busy") }))
        const Other = Schema.Struct({ left: Schema.Int })
        const different: ReadonlyArray<Effect.Effect<unknown, CallError>> = [
          api.get("/a"),
          api.head("/a"),
          api.get("/b"),
          api.get("/a", { query: { page: 1 } }),
          api.get("/a", { headers: { "x-tenant": "1" } }),
          api.get("/a", { headers: { "x-tenant": "2" } }),
          api.get("/a", { decode: Item }),
          api.get("/a", { decode: Other }),
          api.get("/a", { expectedStatus: [404] }),
          api.get("/a", { rejections: [gone] }),
          api.get("/a", { rejections: [busy] }),
          api.get("/a").pipe(HttpPolicy.override({ retry: false })),
          // the same request, as another operation
          api.get("/{name}", { params: { name: "a" } }),
          api.get("/a").pipe(Criticality.withLevel("sheddable"))
        ]
        const byOverride = 11
        yield* Effect.forEach(different, (call) => fork(Effect.exit(call)))
        assert.strictEqual(yield* sent, different.length)
        const equal = different.filter((_, index) => index !== byOverride)
        yield* Effect.forEach(equal, (call) => fork(Effect.exit(call)))
        assert.strictEqual(yield* sent, different.length)
      })
    )
  )

  it.effect("whoever a refusal would have spared goes on, when the first of a flight is refused", () =>
    upstream(
      { "GET /busy": [after("3 seconds", ok)], "*": [inOneSecond] },
      { ...policy, bulkhead: { maxConcurrent: 1, maxQueue: 1, maxWait: "2 seconds" } }
    )((api) =>
      Effect.gen(function* () {
        const busy = yield* fork(api.get("/busy"))
        const first = yield* fork(api.get("/a"))
        yield* TestClock.adjust("1500 millis")
        const [second, third] = yield* forkAll(2, api.get("/a"))
        yield* TestClock.adjust("500 millis")
        assert.deepStrictEqual(
          [first, second, third].map((call) => call && state(call)),
          ["BulkheadFull", "runs", "runs"]
        )
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual(
          [busy, second, third].map((call) => call && state(call)),
          ["succeeded", "succeeded", "succeeded"]
        )
        assert.deepStrictEqual(yield* paths, ["/busy", "/a"])
      })
    )
  )

  it.effect("who matters more is not displaced with one who matters less", () =>
    upstream(
      { "*": [inOneSecond] },
      { ...policy, bulkhead: { maxConcurrent: 1, maxQueue: 1, maxWait: "10 seconds" } }
    )((api) =>
      Effect.gen(function* () {
        const as = (level: Criticality.Criticality, path: "/a" | "/busy") =>
          fork(api.get(path).pipe(Criticality.withLevel(level)))
        yield* as("critical", "/busy")
        const sheddable = yield* as("sheddable", "/a")
        const most = yield* as("critical-plus", "/a")
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual([sheddable, most].map(state), ["BulkheadFull", "succeeded"])
      })
    )
  )

  it.effect("who joined late is not out of time with the first, and waits no longer than its own deadline", () =>
    upstream(
      { "*": [hang, after("6 seconds", ok), after("3 seconds", ok)] },
      { ...policy, deadline: "10 seconds" }
    )((api) =>
      Effect.gen(function* () {
        const first = yield* fork(api.get("/a"))
        yield* TestClock.adjust("5 seconds")
        const early = yield* fork(api.get("/a"))
        yield* TestClock.adjust("4 seconds")
        const late = yield* fork(api.get("/a"))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual([first, early, late].map(state), ["DeadlineExceeded", "runs", "runs"])
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual([early, late].map(state), ["DeadlineExceeded", "runs"])
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(state(late), "succeeded")
      })
    )
  )

  it.effect("what changes something is never shared", () =>
    upstream(
      { "*": [inOneSecond] },
      policy
    )((api) =>
      Effect.gen(function* () {
        for (const verb of ["post", "put", "patch", "delete"] as const) yield* forkAll(2, api[verb]("/a"))
        assert.strictEqual(yield* sent, 8)
      })
    )
  )

  it.effect("a caller that leaves hurts nobody, and the last one to leave interrupts the run", () =>
    upstream(
      { "*": [hang] },
      policy
    )((api) =>
      Effect.gen(function* () {
        const [first, second] = yield* Effect.all([fork(api.get("/a")), fork(api.get("/a"))])
        yield* Fiber.interrupt(first)
        assert.strictEqual((yield* ScriptedTransport.seen).interrupted.length, 0)
        assert.strictEqual(state(second), "runs")
        yield* Fiber.interrupt(second)
        assert.strictEqual((yield* ScriptedTransport.seen).interrupted.length, 1)
        assert.deepInclude(yield* stage(api.stages.singleFlight).snapshot, { inFlight: 0, waiting: 0 })
      })
    )
  )

  it.effect("a caller with little time ends its own wait, and not the run of those with more", () =>
    upstream(
      { "*": [after("3 seconds", ok)] },
      { ...policy, deadline: "10 seconds" }
    )((api) =>
      Effect.gen(function* () {
        const hurried = yield* fork(api.get("/a").pipe(Deadline.within("1 second")))
        const patient = yield* fork(api.get("/a"))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual([hurried, patient].map(state), ["DeadlineExceeded", "runs"])
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(state(patient), "succeeded")
        assert.strictEqual(yield* sent, 1)
      })
    )
  )

  it.effect("a run that nobody hurries ends at the policy's deadline all the same", () =>
    upstream(
      { "*": [hang] },
      { ...policy, deadline: "10 seconds" }
    )((api) =>
      Effect.gen(function* () {
        const calls = yield* forkAll(2, api.get("/a"))
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(calls.map(state), ["DeadlineExceeded", "DeadlineExceeded"])
        assert.strictEqual((yield* ScriptedTransport.seen).interrupted.length, 1)
      })
    )
  )

  it.effect("callers of one run take one place of the stages below it", () =>
    upstream(
      { "*": [inOneSecond] },
      { ...policy, bulkhead: { maxConcurrent: 1, maxQueue: 0 }, rateLimit: { limit: 1 } }
    )((api) =>
      Effect.gen(function* () {
        const calls = yield* forkAll(5, api.get("/a"))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(new Set(calls.map(state)), new Set(["succeeded"]))
      })
    )
  )
})

describe("deadline header", () => {
  const left = Effect.map(ScriptedTransport.seen, ({ requests }) =>
    requests.map(({ headers }) => headers["x-time-left"])
  )

  it.effect(
    "each attempt tells the upstream what it has left itself: the attempt's limit, or what is left of the call",
    () =>
      upstream(
        { "*": [after("1 second", status(503))] },
        { deadlineHeader: "X-Time-Left", deadline: "5 seconds", attemptTimeout: "2 seconds", retry: everySecond }
      )((api) =>
        Effect.gen(function* () {
          yield* fork(Effect.flip(api.get("/a")))
          yield* TestClock.adjust("5 seconds")
          assert.deepStrictEqual(yield* left, ["2000", "2000", "1000"])
        })
      )
  )

  it.effect("the time in a queue is not there any more when the attempt is sent", () =>
    upstream(
      { "*": [inOneSecond] },
      { deadlineHeader: "x-time-left", deadline: "5 seconds", bulkhead: { maxConcurrent: 1, maxWait: "1 minute" } }
    )((api) =>
      Effect.gen(function* () {
        yield* forkAll(2, api.get("/a"))
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual(yield* left, ["5000", "4000"])
      })
    )
  )

  it.effect("a hedge has what is left when it is sent", () =>
    upstream(
      { "*": [inOneSecond] },
      { deadlineHeader: "x-time-left", deadline: "5 seconds", hedge: { delay: "100 millis", maximumExtraLoad: 1 } }
    )((api) =>
      Effect.gen(function* () {
        yield* fork(api.get("/a"))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* left, ["5000", "4900"])
      })
    )
  )

  it.effect("a part of a millisecond is told as one, and not as none", () =>
    upstream(
      { "*": [ok] },
      { deadlineHeader: "x-time-left" }
    )((api) =>
      Effect.gen(function* () {
        yield* api.get("/a").pipe(Deadline.within("500 micros"))
        const { requests } = yield* ScriptedTransport.seen
        assert.deepStrictEqual(
          requests.map(({ headers }) => headers["x-time-left"]),
          ["1"]
        )
      })
    )
  )

  it.effect("without a limit there is nothing to tell", () =>
    upstream(
      { "*": [ok] },
      { deadlineHeader: "x-time-left" }
    )((api) =>
      Effect.gen(function* () {
        yield* api.get("/a")
        assert.deepStrictEqual(yield* left, [undefined])
      })
    )
  )
})

describe("learned attempt timeout", () => {
  it.effect("attempts are cut at what the upstream's own latencies taught, and at the given limit until then", () =>
    upstream(
      { "GET /slow": [hang], "*": [after("100 millis", ok)] },
      { attemptTimeout: { limit: "5 seconds", minimumSamples: 10, factor: 3 } }
    )((api) =>
      Effect.gen(function* () {
        const early = yield* fork(api.get("/slow"))
        yield* TestClock.adjust("4999 millis")
        assert.strictEqual(state(early), "runs")
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(state(early), "AttemptTimeout")
        yield* forkAll(1000, api.get("/a"))
        yield* TestClock.adjust("100 millis")
        const learned = stage(api.stages.attemptTimeout)
        const limit = Duration.toMillis((yield* learned.snapshot).limit)
        assert.closeTo(limit, 300, 10)
        const late = yield* fork(api.get("/slow"))
        yield* TestClock.adjust("280 millis")
        assert.strictEqual(state(late), "runs")
        yield* TestClock.adjust("30 millis")
        assert.strictEqual(state(late), "AttemptTimeout")
      })
    )
  )

  it.effect("an operation with a limit of its own keeps to it", () =>
    upstream(
      { "GET /slow": [hang], "*": [after("100 millis", ok)] },
      {
        attemptTimeout: { limit: "5 seconds", minimumSamples: 10 },
        operations: { "GET /slow": { attemptTimeout: "2 seconds" } }
      }
    )((api) =>
      Effect.gen(function* () {
        yield* forkAll(100, api.get("/a"))
        yield* TestClock.adjust("100 millis")
        const slow = yield* fork(api.get("/slow"))
        yield* TestClock.adjust("1999 millis")
        assert.strictEqual(state(slow), "runs")
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(state(slow), "AttemptTimeout")
      })
    )
  )
})

describe("overrides", () => {
  const policy: HttpPolicy.Options = {
    deadline: "30 seconds",
    retry: everySecond,
    operations: { "GET /once": { retry: false }, "GET /quick/{id}": { deadline: "500 millis", attemptTimeout: false } }
  }

  it.effect("those of an operation are for calls of that operation", () =>
    upstream(
      { "GET /quick/{id}": [hang], "*": [status(503)] },
      policy
    )((api) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* failure(api.get("/once"))).attempts, 1)
        const quick = yield* fork(api.get("/quick/{id}", { params: { id: 7 } }))
        yield* TestClock.adjust("500 millis")
        assert.strictEqual(state(quick), "DeadlineExceeded")
        const other = yield* fork(failure(api.get("/other")))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* Fiber.join(other)).attempts, 3)
      })
    )
  )

  it.effect("those of a call go before those of its operation, and an inner one before an outer one", () =>
    upstream(
      { "*": [status(503)] },
      policy
    )((api) =>
      Effect.gen(function* () {
        const attempts = (call: Effect.Effect<unknown, CallError>) =>
          Effect.gen(function* () {
            const fiber = yield* fork(failure(call))
            yield* TestClock.adjust("1 minute")
            return (yield* Fiber.join(fiber)).attempts
          })
        const twice = HttpPolicy.override({ retry: { ...everySecond, maxAttempts: 2 } })
        assert.strictEqual(yield* attempts(twice(api.get("/once"))), 2)
        assert.strictEqual(yield* attempts(HttpPolicy.override({ retry: false })(api.get("/a"))), 1)
        assert.strictEqual(yield* attempts(HttpPolicy.override({ retry: false })(twice(api.get("/a")))), 2)
        assert.strictEqual(yield* attempts(twice(HttpPolicy.override({ deadline: "1 hour" })(api.get("/a")))), 2)
        assert.strictEqual(yield* attempts(api.get("/a")), 3)
      })
    )
  )

  it.effect("a call can do without hedge and single flight", () =>
    upstream(
      { "*": [inOneSecond] },
      { singleFlight: {}, hedge: { delay: "100 millis", maximumExtraLoad: 1 } }
    )((api) =>
      Effect.gen(function* () {
        yield* forkAll(2, api.get("/a").pipe(HttpPolicy.override({ hedge: false, singleFlight: false })))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* sent, 2)
      })
    )
  )
})

describe("the deadline", () => {
  const never = <A>(schema: Schema.Codec<A, A>, side: "encode" | "decode") =>
    schema.pipe(
      Schema.decode({
        decode: side === "decode" ? SchemaGetter.transformEffect(() => Effect.never) : SchemaGetter.passthrough(),
        encode: side === "encode" ? SchemaGetter.transformEffect(() => Effect.never) : SchemaGetter.passthrough()
      })
    )
  const endless: ReadonlyArray<
    readonly [what: string, policy: HttpPolicy.Options, (api: Upstream.Upstream) => Effect.Effect<unknown, CallError>]
  > = [
    ["the encoding", {}, (api) => api.post("/a", { json: "a", encode: never(Schema.String, "encode") })],
    [
      "the encoding of a streamed call",
      {},
      (api) => Effect.scoped(api.streaming.post("/a", { json: "a", encode: never(Schema.String, "encode") }))
    ],
    ["the decoding", {}, (api) => api.get("/text", { decode: never(Schema.String, "decode") })],
    ["the request's body", {}, (api) => api.put("/a", { stream: Stream.never })],
    ["the wait for a retry", { retry: { backoff: { base: "1 hour", cap: "1 hour" } } }, (api) => api.get("/bad")],
    [
      "a schedule of one's own",
      { retry: { schedule: Schedule.modifyDelay(Schedule.forever, () => Effect.never) } },
      (api) => api.get("/bad")
    ],
    [
      "the wait in the bulkhead",
      { bulkhead: { maxConcurrent: 1, maxQueue: 9, maxWait: "1 hour" } },
      (api) => api.get("/a")
    ],
    [
      "the wait in the rate limit",
      { rateLimit: { limit: 1, window: "1 hour", maxWait: "1 hour" } },
      (api) => api.get("/a")
    ],
    ["the wait for another's run", { singleFlight: {} }, (api) => api.get("/hang")],
    ["redirects", { redirects: {} }, (api) => api.get("/away")],
    ["the upstream", {}, (api) => api.get("/hang")]
  ]
  for (const [what, policy, call] of endless) {
    it.effect(`bounds ${what}`, () =>
      upstream(
        {
          "GET /text": [json("a")],
          "GET /bad": [status(503)],
          "GET /away": [status(302, { headers: { location: "/hang" } }), hang],
          "GET /hang": [hang],
          "PUT /a": [hang],
          "*": [after("1 hour", ok)]
        },
        { deadline: "5 seconds", ...policy }
      )((api) =>
        Effect.gen(function* () {
          const before = yield* fork(api.get("/hang"))
          const run = yield* fork(call(api))
          yield* TestClock.adjust("5 seconds")
          assert.include(
            ["DeadlineExceeded", "ServiceUnavailable", "RateLimited", "BulkheadFull"],
            state(run),
            "it has not ended"
          )
          yield* Fiber.interrupt(before)
        })
      )
    )
  }
})

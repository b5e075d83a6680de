import { Duration, Effect, Fiber } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as Bulkhead from "@holdfast/core/Bulkhead"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import type * as Upstream from "../src/Upstream.ts"
import { fork, sent, stage, upstream } from "./support/stock.ts"

const { after, hang, status } = ScriptedTransport

const ok = status(200)

const everySecond: HttpPolicy.RetryOptions = { backoff: { shape: "constant", base: "1 second", jitter: "none" } }

const everything = {
  singleFlight: {},
  rateLimit: { limit: 100 },
  deadline: "30 seconds",
  retry: everySecond,
  hedge: { delay: "5 seconds" },
  breaker: { trip: [CircuitBreaker.consecutiveFailures(3)], openTime: "1 minute" },
  throttle: { window: "1 minute" },
  bulkhead: { maxConcurrent: 4 },
  adaptiveConcurrency: { initialLimit: 10 },
  attemptTimeout: { limit: "10 seconds" }
} as const satisfies HttpPolicy.Options

type StageName = keyof Upstream.Stages

const names: ReadonlyArray<StageName> = [
  "budget",
  "rateLimit",
  "singleFlight",
  "hedge",
  "breaker",
  "throttle",
  "bulkhead",
  "adaptiveConcurrency",
  "attemptTimeout"
]

/** The stages that are other objects than they were: what they remembered is gone. */
const renewed = (before: Upstream.Stages, now: Upstream.Stages) => names.filter((name) => before[name] !== now[name])

describe("reload", () => {
  it.effect("the policy that is put in force is the one that is described, and that new calls have", () =>
    upstream(
      { "*": [status(503)] },
      { retry: everySecond }
    )((api) =>
      Effect.gen(function* () {
        const next = HttpPolicy.make({ deadline: "7 seconds" })
        yield* api.reload(next)
        assert.strictEqual(api.policy, next)
        assert.strictEqual((yield* api.snapshot).policy, "deadline 7s")
        assert.strictEqual((yield* Effect.flip(api.get("/a"))).attempts, 1)
      })
    )
  )

  it.effect("a call under way ends as it began", () =>
    upstream(
      { "*": [status(503)] },
      { retry: everySecond, deadline: "30 seconds" }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(Effect.flip(api.get("/a")))
        yield* api.reload(HttpPolicy.make({ deadline: "500 millis" }))
        yield* TestClock.adjust("2 seconds")
        assert.deepInclude(yield* Fiber.join(call), { attempts: 3, retryStopped: "attempts" })
      })
    )
  )

  it.effect("a call belongs to the policy that is in force when it is run, not when it was made", () =>
    upstream(
      { "*": [status(503)] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const call = Effect.flip(api.get("/a"))
        yield* api.reload(HttpPolicy.make({ retry: { backoff: { base: "1 millis" } } }))
        const fiber = yield* fork(call)
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* Fiber.join(fiber)).attempts, 3)
      })
    )
  )

  it.effect("a reload to a policy that says the same forgets nothing", () =>
    upstream(
      { "*": [ok] },
      everything
    )((api) =>
      Effect.gen(function* () {
        yield* api.get("/a")
        const before = api.stages
        const snapshot = yield* api.snapshot
        yield* api.reload(HttpPolicy.make(JSON.parse(JSON.stringify(everything))))
        assert.deepStrictEqual(renewed(before, api.stages), [])
        assert.deepStrictEqual(yield* api.snapshot, snapshot)
      })
    )
  )

  for (const [changed, renews] of [
    [{ rateLimit: { limit: 50 } }, ["rateLimit"]],
    [{ singleFlight: { maxCallers: 5 } }, ["singleFlight"]],
    [{ hedge: { delay: "6 seconds" } }, ["hedge"]],
    [{ throttle: { window: "2 minutes" } }, ["throttle"]],
    [{ breaker: { openTime: "2 minutes" } }, ["breaker"]],
    [{ adaptiveConcurrency: { initialLimit: 20 } }, ["adaptiveConcurrency"]],
    // a hedge pays from the budget
    [{ retry: { ...everySecond, budget: { ratio: 0.1 } } }, ["budget", "hedge"]],
    [{ attemptTimeout: { limit: "9 seconds" } }, ["attemptTimeout"]],
    [{ bulkhead: { maxConcurrent: 8 } }, []],
    [{ deadline: "20 seconds" }, []],
    [{ retry: { ...everySecond, maxAttempts: 2 } }, []],
    [{ deadlineHeader: "x-time-left" }, []],
    [{ operations: { "GET /a": { retry: false } } }, []]
  ] as ReadonlyArray<readonly [HttpPolicy.Options, ReadonlyArray<StageName>]>) {
    it.effect(`${JSON.stringify(changed)} renews ${renews.join(" and ") || "nothing"}`, () =>
      upstream(
        { "*": [ok] },
        everything
      )((api) =>
        Effect.gen(function* () {
          const before = api.stages
          yield* api.reload(HttpPolicy.make({ ...everything, ...changed }))
          assert.deepStrictEqual(renewed(before, api.stages), renews)
        })
      )
    )
  }

  it.effect("an open circuit stays open", () =>
    upstream(
      { "*": [status(503)] },
      { breaker: everything.breaker }
    )((api) =>
      Effect.gen(function* () {
        for (let call = 0; call < 3; call++) yield* Effect.flip(api.get("/a"))
        yield* api.reload(HttpPolicy.make({ breaker: { ...everything.breaker }, deadline: "5 seconds" }))
        assert.strictEqual((yield* Effect.flip(api.get("/a"))).reason._tag, "CircuitOpen")
        assert.strictEqual(yield* sent, 3)
      })
    )
  )

  it.effect("a bulkhead that grows lets in who waits, and one that shrinks lets finish who runs", () =>
    upstream(
      { "*": [after("1 second", ok)] },
      { bulkhead: { maxConcurrent: 2, maxQueue: 5, maxWait: "1 minute" } }
    )((api) =>
      Effect.gen(function* () {
        const calls = yield* Effect.forEach([1, 2, 3, 4, 5], () => fork(api.get("/a")))
        assert.strictEqual(yield* sent, 2)
        yield* api.reload(HttpPolicy.make({ bulkhead: { maxConcurrent: 4, maxQueue: 5, maxWait: "60 seconds" } }))
        yield* TestClock.adjust(0)
        assert.strictEqual(yield* sent, 4)
        yield* api.reload(HttpPolicy.make({ bulkhead: { maxConcurrent: 1, maxQueue: 5, maxWait: "1 minute" } }))
        assert.deepInclude(yield* stage(api.stages.bulkhead).snapshot, { limit: 1, inFlight: 4, queued: 1 })
        yield* TestClock.adjust("2 seconds")
        yield* Effect.forEach(calls, Fiber.join)
        assert.deepInclude(yield* stage(api.stages.bulkhead).snapshot, { limit: 1, inFlight: 0, queued: 0 })
      })
    )
  )

  it.effect("a bulkhead that is given a longer queue has it at once", () =>
    upstream(
      { "*": [after("1 second", ok)] },
      { bulkhead: { maxConcurrent: 1, maxQueue: 0 } }
    )((api) =>
      Effect.gen(function* () {
        const first = yield* fork(api.get("/a"))
        assert.strictEqual((yield* Effect.flip(api.get("/a"))).reason._tag, "BulkheadFull")
        yield* api.reload(HttpPolicy.make({ bulkhead: { maxConcurrent: 1, maxQueue: 1 } }))
        const second = yield* fork(api.get("/a"))
        assert.strictEqual((yield* Effect.flip(api.get("/a"))).reason._tag, "BulkheadFull")
        assert.deepInclude(yield* stage(api.stages.bulkhead).snapshot, { inFlight: 1, queued: 1 })
        yield* TestClock.adjust("2 seconds")
        yield* Effect.forEach([first, second], Fiber.join)
      })
    )
  )

  it.effect("a bulkhead of which no more is said than that it is there has the bounds of any such bulkhead", () =>
    upstream(
      { "*": [after("1 second", ok)] },
      { bulkhead: { maxConcurrent: 1, maxQueue: 0 } }
    )((api) =>
      Effect.gen(function* () {
        const living = api.stages.bulkhead
        yield* api.reload(HttpPolicy.make({ bulkhead: {} }))
        assert.strictEqual(api.stages.bulkhead, living)
        const { maxConcurrent, maxQueue } = Bulkhead.defaults
        const calls = yield* Effect.forEach(Array.from({ length: maxConcurrent + maxQueue }), () => fork(api.get("/a")))
        assert.strictEqual((yield* Effect.flip(api.get("/a"))).reason._tag, "BulkheadFull")
        assert.deepInclude(yield* stage(api.stages.bulkhead).snapshot, {
          limit: maxConcurrent,
          inFlight: maxConcurrent,
          queued: maxQueue
        })
        yield* TestClock.adjust("1 minute")
        yield* Effect.forEach(calls, Fiber.await)
      })
    )
  )

  it.effect("who is in flight is so in the stages of before and after, and gives its places back once", () =>
    upstream(
      { "*": [hang] },
      everything
    )((api) =>
      Effect.gen(function* () {
        const before = api.stages
        const old = yield* fork(api.get("/a"))
        yield* api.reload(
          HttpPolicy.make({
            ...everything,
            bulkhead: { maxConcurrent: 4, maxWait: "3 seconds" },
            adaptiveConcurrency: { initialLimit: 7 }
          })
        )
        const next = yield* fork(api.get("/b"))
        const inFlight = Effect.map(
          Effect.all(
            [before, api.stages].flatMap(({ adaptiveConcurrency, bulkhead }) => [
              stage(bulkhead).snapshot,
              stage(adaptiveConcurrency).snapshot
            ])
          ),
          (snapshots) => snapshots.map((snapshot) => snapshot.inFlight)
        )
        assert.deepStrictEqual(yield* inFlight, [2, 2, 2, 2])
        yield* Fiber.interrupt(old)
        assert.deepStrictEqual(yield* inFlight, [1, 1, 1, 1])
        yield* Fiber.interrupt(next)
        assert.deepStrictEqual(yield* inFlight, [0, 0, 0, 0])
      })
    )
  )

  describe("what a stage remembers outlives a change of any of its options", () => {
    const bulkhead = { maxConcurrent: 2, maxQueue: 5, maxWait: "10 seconds" } as const
    for (const changed of [
      { maxConcurrent: 1 },
      { maxQueue: 1 },
      { maxWait: "20 seconds" },
      { maxWait: "20 seconds", maxQueue: 3 },
      { mode: "observe" }
    ] as const) {
      it.effect(`who is in the bulkhead and its queue: ${JSON.stringify(changed)}`, () =>
        upstream(
          { "*": [hang] },
          { bulkhead }
        )((api) =>
          Effect.gen(function* () {
            yield* Effect.forEach([1, 2, 3], () => fork(api.get("/a")))
            yield* api.reload(HttpPolicy.make({ bulkhead: { ...bulkhead, ...changed } }))
            yield* Effect.forEach([1, 2], () => fork(Effect.exit(api.get("/a"))))
            assert.strictEqual(yield* sent, "mode" in changed ? 4 : 2)
            assert.strictEqual((yield* stage(api.stages.bulkhead).snapshot).inFlight, "mode" in changed ? 4 : 2)
          })
        )
      )
    }

    const rateLimit = { limit: 10, window: "10 seconds", maxWait: "1 second" } as const
    for (const changed of [
      { limit: 20 },
      { limit: 5 },
      { window: "20 seconds" },
      { algorithm: "sliding-window" },
      { burst: 3 },
      { onLimit: "refuse" },
      { maxWait: "2 seconds" },
      { maxServerWait: "55 seconds" },
      { mode: "observe" }
    ] as const) {
      it.effect(`what the server said and what the rate limit has let through: ${JSON.stringify(changed)}`, () =>
        upstream(
          { "*": [ok, ok, ok, status(200, { headers: { ratelimit: '"d";r=0;t=50' } })] },
          { rateLimit }
        )((api) =>
          Effect.gen(function* () {
            yield* Effect.forEach([1, 2, 3, 4], () => api.get("/a"))
            yield* api.reload(HttpPolicy.make({ rateLimit: { ...rateLimit, ...changed } }))
            const { limit, remaining, server } = yield* stage(api.stages.rateLimit).snapshot
            const burst = "burst" in changed ? changed.burst : limit
            assert.closeTo(remaining, Math.max(0, burst - 4), 1e-6)
            assert.strictEqual(server && Duration.toSeconds(server.until), 50)
            if ("mode" in changed) return
            const refused = yield* Effect.flip(api.get("/a"))
            assert.strictEqual(refused.reason._tag, "RateLimited")
            assert.strictEqual(yield* sent, 4)
          })
        )
      )
    }

    for (const changed of [
      { openTime: "2 minutes" },
      { maxOpenTime: "10 minutes" },
      { probes: 2 },
      { successThreshold: 4 },
      { probeLease: "1 minute" },
      { rampTime: "1 minute" },
      { slowCallDuration: "2 seconds" },
      { counts: { throttle: "failure" } },
      { trip: [CircuitBreaker.consecutiveFailures(9)] }
    ] as const satisfies ReadonlyArray<CircuitBreaker.Options>) {
      it.effect(`an open circuit: ${JSON.stringify(changed)}`, () =>
        upstream(
          { "*": [status(503)] },
          { breaker: everything.breaker }
        )((api) =>
          Effect.gen(function* () {
            for (let call = 0; call < 3; call++) yield* Effect.flip(api.get("/a"))
            yield* TestClock.adjust("10 seconds")
            yield* api.reload(HttpPolicy.make({ breaker: { ...everything.breaker, ...changed } }))
            const { openTimeLeft, state } = yield* stage(api.stages.breaker).snapshot
            assert.deepStrictEqual([state, Duration.toSeconds(openTimeLeft)], ["Open", 50])
            assert.strictEqual((yield* Effect.flip(api.get("/a"))).reason._tag, "CircuitOpen")
            yield* TestClock.adjust("50 seconds")
            yield* Effect.flip(api.get("/a"))
            assert.strictEqual(yield* sent, 4, "its probe is sent when the time is over")
          })
        )
      )
    }

    it.effect("what the window of a rule has counted, as long as the rule is the same", () =>
      upstream(
        { "*": [status(503)] },
        { breaker: { trip: [CircuitBreaker.countWindow({ size: 10, minimumCalls: 4 })] } }
      )((api) =>
        Effect.gen(function* () {
          for (let call = 0; call < 3; call++) yield* Effect.flip(api.get("/a"))
          const trip = [CircuitBreaker.countWindow({ size: 10, minimumCalls: 4 })]
          yield* api.reload(HttpPolicy.make({ breaker: { trip, probes: 2 } }))
          yield* Effect.flip(api.get("/a"))
          assert.strictEqual((yield* stage(api.stages.breaker).snapshot).state, "Open")
        })
      )
    )

    for (const changed of [
      { window: "30 seconds" },
      { window: "10 minutes" },
      { multiplier: 3 },
      { minimumPerSecond: 2 },
      { minimumRequests: 5 },
      { rejections: ["throttle"] }
    ] as const) {
      it.effect(`what the throttle has counted: ${JSON.stringify(changed)}`, () =>
        upstream(
          { "*": [status(503)] },
          { throttle: {} }
        )((api) =>
          Effect.gen(function* () {
            yield* TestClock.adjust("1 hour")
            for (let call = 0; call < 5; call++) yield* Effect.flip(api.get("/a"))
            yield* api.reload(HttpPolicy.make({ throttle: changed }))
            yield* TestClock.adjust("5 seconds")
            assert.deepInclude(yield* stage(api.stages.throttle).snapshot, { requests: 5, accepts: 0 })
            yield* TestClock.adjust("11 minutes")
            assert.deepInclude(yield* stage(api.stages.throttle).snapshot, { requests: 0 })
          })
        )
      )
    }

    const budget = { ratio: 0.2, minimumPerSecond: 1, ttl: "10 seconds" } as const
    for (const changed of [
      { ratio: 0.1 },
      { ttl: "20 seconds", minimumPerSecond: 0.5 },
      { ttl: "5 seconds", minimumPerSecond: 2 },
      { inFlightRatio: 0.1 },
      { minimumInFlight: 2 },
      { costs: { timeout: 3 } }
    ] as const) {
      it.effect(`what the budget has spent, and who is in flight: ${JSON.stringify(changed)}`, () =>
        upstream(
          { "GET /hang": [hang], "*": [status(503)] },
          { retry: { ...everySecond, maxAttempts: 2, budget } }
        )((api) =>
          Effect.gen(function* () {
            yield* TestClock.adjust("1 hour")
            yield* fork(api.get("/hang"))
            yield* Effect.forEach(Array.from({ length: 8 }), () => fork(Effect.exit(api.get("/a"))))
            yield* TestClock.adjust("1 second")
            const spent = yield* stage(api.stages.budget).snapshot
            yield* api.reload(HttpPolicy.make({ retry: { ...everySecond, budget: { ...budget, ...changed } } }))
            assert.deepInclude(yield* stage(api.stages.budget).snapshot, {
              balance: spent.balance,
              callsInFlight: 1,
              retriesInFlight: 0
            })
            assert.isBelow(spent.balance, 10)
          })
        )
      )
    }

    for (const changed of [
      { algorithm: "gradient" },
      { initialLimit: 50 },
      { minimumLimit: 2 },
      { maximumLimit: 300 },
      { backoffRatio: 0.8 },
      { slowAfter: "1 minute" }
    ] as const) {
      it.effect(`the limit that was found, and who is in flight: ${JSON.stringify(changed)}`, () =>
        upstream(
          { "GET /hang": [hang], "*": [status(503)] },
          { adaptiveConcurrency: { algorithm: "aimd" } }
        )((api) =>
          Effect.gen(function* () {
            yield* fork(api.get("/hang"))
            for (let call = 0; call < 12; call++) yield* Effect.flip(api.get("/a"))
            const { limit } = yield* stage(api.stages.adaptiveConcurrency).snapshot
            assert.isBelow(limit, 20)
            yield* api.reload(HttpPolicy.make({ adaptiveConcurrency: { algorithm: "aimd", ...changed } }))
            assert.deepInclude(yield* stage(api.stages.adaptiveConcurrency).snapshot, { limit, inFlight: 1 })
          })
        )
      )
    }

    it.effect("the runs that are shared, though others may share them", () =>
      upstream(
        { "*": [after("1 second", ok)] },
        { singleFlight: {} }
      )((api) =>
        Effect.gen(function* () {
          yield* fork(api.get("/a"))
          yield* api.reload(HttpPolicy.make({ singleFlight: { maxCallers: 5 } }))
          const { inFlight, waiting } = yield* stage(api.stages.singleFlight).snapshot
          assert.deepStrictEqual([inFlight, waiting], [1, 1])
        })
      )
    )

    it.effect("what the hedge has saved up and learned", () =>
      upstream(
        { "*": [after("100 millis", ok)] },
        { hedge: { delay: "50 millis", maximumExtraLoad: 0.1, burst: 2 } }
      )((api) =>
        Effect.gen(function* () {
          yield* Effect.forEach([1, 2, 3], () => fork(api.get("/a")))
          yield* TestClock.adjust("1 second")
          const { samples, saved } = yield* stage(api.stages.hedge).snapshot
          assert.isBelow(saved, 2)
          yield* api.reload(
            HttpPolicy.make({ hedge: { delay: "60 millis", maximumExtraLoad: 0.1, burst: 2 }, breaker: {} })
          )
          assert.deepInclude(yield* stage(api.stages.hedge).snapshot, { samples, saved })
        })
      )
    )
  })

  it.effect("what the latencies taught stays, though the limit that is reckoned with them changes", () =>
    upstream(
      { "*": [after("100 millis", ok)] },
      { attemptTimeout: { limit: "5 seconds", minimumSamples: 10 } }
    )((api) =>
      Effect.gen(function* () {
        yield* Effect.forEach(Array.from({ length: 20 }), () => fork(api.get("/a")))
        yield* TestClock.adjust("100 millis")
        yield* api.reload(HttpPolicy.make({ attemptTimeout: { limit: "4 seconds", minimumSamples: 10 } }))
        assert.strictEqual((yield* stage(api.stages.attemptTimeout).snapshot).samples, 20)
        yield* api.reload(HttpPolicy.make({}))
        assert.isUndefined(api.stages.attemptTimeout)
      })
    )
  )

  it.effect("a stage that is taken out is gone, and one that comes begins anew", () =>
    upstream(
      { "*": [status(503)] },
      { breaker: everything.breaker }
    )((api) =>
      Effect.gen(function* () {
        for (let call = 0; call < 3; call++) yield* Effect.flip(api.get("/a"))
        yield* api.reload(HttpPolicy.none)
        assert.isTrue(Object.values(api.stages).every((gone) => gone === undefined))
        assert.strictEqual((yield* Effect.flip(api.get("/a"))).reason._tag, "ServiceUnavailable")
        yield* api.reload(HttpPolicy.make({ breaker: everything.breaker }))
        assert.strictEqual((yield* stage(api.stages.breaker).snapshot).state, "Closed")
      })
    )
  )

  it.effect("from observe to enforce is a new stage: what was only watched refuses nobody for the past", () =>
    upstream(
      { "*": [status(503)] },
      { breaker: { ...everything.breaker, mode: "observe" } }
    )((api) =>
      Effect.gen(function* () {
        for (let call = 0; call < 5; call++) yield* Effect.flip(api.get("/a"))
        assert.strictEqual((yield* stage(api.stages.breaker).snapshot).state, "Open")
        yield* api.reload(HttpPolicy.make({ breaker: everything.breaker }))
        assert.strictEqual((yield* Effect.flip(api.get("/a"))).reason._tag, "ServiceUnavailable")
      })
    )
  )

  it.effect(
    "a circuit that was forced by hand stays forced when its options change, and one that was not does not",
    () =>
      upstream(
        { "*": [ok] },
        { breaker: {} }
      )((api) =>
        Effect.gen(function* () {
          const state = Effect.suspend(() => Effect.map(stage(api.stages.breaker).snapshot, ({ state }) => state))
          yield* stage(api.stages.breaker).forceOpen
          yield* api.reload(HttpPolicy.make({ breaker: { probes: 2 } }))
          assert.strictEqual(yield* state, "ForcedOpen")
          assert.strictEqual((yield* Effect.flip(api.get("/a"))).reason._tag, "CircuitOpen")
          yield* stage(api.stages.breaker).forceClosed
          yield* api.reload(HttpPolicy.make({ breaker: { probes: 4 } }))
          assert.strictEqual(yield* state, "ForcedClosed")
          yield* stage(api.stages.breaker).reset
          yield* api.reload(HttpPolicy.make({ breaker: { probes: 5 } }))
          assert.strictEqual(yield* state, "Closed")
        })
      )
  )
})

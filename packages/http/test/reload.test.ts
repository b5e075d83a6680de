import { Effect, Fiber } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
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
    // a hedge asks these before it is sent, and pays from the budget
    [{ breaker: { openTime: "2 minutes" } }, ["hedge", "breaker"]],
    [{ adaptiveConcurrency: { initialLimit: 20 } }, ["hedge", "adaptiveConcurrency"]],
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

  it.effect("a call gives its places back to the stages that it took them from", () =>
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
        const inFlight = (stages: Upstream.Stages) =>
          Effect.map(
            Effect.all([stage(stages.bulkhead).snapshot, stage(stages.adaptiveConcurrency).snapshot]),
            (snapshots) => snapshots.map((snapshot) => snapshot.inFlight)
          )
        assert.deepStrictEqual(
          [yield* inFlight(before), yield* inFlight(api.stages)],
          [
            [1, 1],
            [1, 1]
          ]
        )
        yield* Fiber.interrupt(old)
        assert.deepStrictEqual(
          [yield* inFlight(before), yield* inFlight(api.stages)],
          [
            [0, 0],
            [1, 1]
          ]
        )
        yield* Fiber.interrupt(next)
        assert.deepStrictEqual(
          [yield* inFlight(before), yield* inFlight(api.stages)],
          [
            [0, 0],
            [0, 0]
          ]
        )
      })
    )
  )

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

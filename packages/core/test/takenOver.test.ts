import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as AdaptiveConcurrency from "../src/AdaptiveConcurrency.ts"
import * as Bulkhead from "../src/Bulkhead.ts"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import * as Hedge from "../src/Hedge.ts"
import * as Outcome from "../src/Outcome.ts"
import * as RateLimit from "../src/RateLimit.ts"
import * as RetryBudget from "../src/RetryBudget.ts"
import * as Throttle from "../src/Throttle.ts"

const failed = Outcome.failure({ cause: "transient" })

const permitted = <P extends { readonly _tag: string }>(decided: P): Extract<P, { readonly _tag: "Permit" }> => {
  if (decided._tag !== "Permit") throw new Error(`${decided._tag}: it was to be let through`)
  // its tag says so
  return decided as Extract<P, { readonly _tag: "Permit" }>
}

describe("made of a living one", () => {
  it.effect("a bulkhead has who is in it and who waits for it, and its new bounds count at once", () =>
    Effect.gen(function* () {
      const living = Bulkhead.make({ maxConcurrent: 1, maxQueue: 2, maxWait: "1 minute" })
      const call = Effect.sleep("1 second")
      const first = yield* Effect.forkChild(living.run(call), { startImmediately: true })
      const second = yield* Effect.forkChild(living.run(call), { startImmediately: true })
      assert.deepInclude(yield* living.snapshot, { inFlight: 1, queued: 1 })
      const next = Bulkhead.make({ maxConcurrent: 2, maxQueue: 0, maxWait: "1 minute" }, living)
      assert.deepInclude(yield* next.snapshot, { limit: 2, maxQueue: 0, inFlight: 2, queued: 0, admitted: 2 })
      assert.strictEqual((yield* Effect.flip(next.run(call)))._tag, "BulkheadFull")
      yield* TestClock.adjust("1 second")
      yield* Fiber.joinAll([first, second])
      assert.deepInclude(yield* next.snapshot, { inFlight: 0, refused: 1 })
    })
  )

  it.effect.each(["token-bucket", "sliding-window"] as const)(
    "a rate limit knows what the other let through, and what the server said (%s)",
    (algorithm) =>
      Effect.gen(function* () {
        const living = RateLimit.make({ limit: 3, window: "1 second", algorithm })
        for (let call = 0; call < 2; call++) permitted(living.admit(0))
        const next = RateLimit.make({ limit: 3, window: "1 second", algorithm, onLimit: "refuse" }, living)
        const { admitted, remaining } = yield* next.snapshot
        assert.closeTo(remaining, 1, 1e-9)
        assert.strictEqual(admitted, 2)
        permitted(next.admit(0))
        assert.strictEqual(next.admit(0)._tag, "RateLimited")
        const fresh = RateLimit.make({ limit: 3, window: "1 second", algorithm })
        assert.deepInclude(yield* fresh.snapshot, { remaining: 3, admitted: 0, server: undefined })
        fresh.adjustUnsafe(0, { remaining: 0, resetAfter: Duration.seconds(5) })
        const paced = RateLimit.make({ limit: 100, window: "1 second", algorithm, onLimit: "refuse" }, fresh)
        assert.strictEqual((yield* paced.snapshot).server?.remaining, 0)
        assert.strictEqual(paced.admit(0)._tag, "RateLimited")
      })
  )

  it.effect("a budget has what the other saved up and spent, and who is in flight", () =>
    Effect.gen(function* () {
      const living = RetryBudget.make({ ratio: 0.5, minimumPerSecond: 0, minimumInFlight: 1 })
      for (let call = 0; call < 4; call++) living.callStarted(0)
      assert.isTrue(living.tryRetry(0, "transient"))
      living.retryStarted()
      const next = RetryBudget.make({ ratio: 0.5, minimumPerSecond: 0, minimumInFlight: 1 }, living)
      assert.deepInclude(yield* next.snapshot, { balance: 1, callsInFlight: 4, retriesInFlight: 1 })
      assert.isFalse(next.tryRetry(0, "transient"), "one is in flight")
      living.retryEnded()
      assert.isTrue(next.tryRetry(0, "transient"))
      assert.deepInclude(yield* RetryBudget.make({ minimumPerSecond: 0 }).snapshot, { balance: 0, callsInFlight: 0 })
    })
  )

  it.effect("a throttle has what the other counted", () =>
    Effect.gen(function* () {
      const never = { nextDoubleUnsafe: () => 0.999_999 }
      const living = Throttle.make({ minimumRequests: 1 })
      for (let call = 0; call < 20; call++) permitted(living.admit(0, "critical", never)).settle(0, failed)
      const next = Throttle.make({ minimumRequests: 5, multiplier: 1.5, window: "5 minutes" }, living)
      assert.deepInclude(yield* next.snapshot, { requests: 20, accepts: 0 })
      assert.strictEqual(next.admit(0, "critical", { nextDoubleUnsafe: () => 0 })._tag, "Throttled")
      assert.deepInclude(yield* Throttle.make().snapshot, { requests: 0 })
    })
  )

  it.effect("a circuit is as open as the other was", () =>
    Effect.gen(function* () {
      const rules = { trip: [CircuitBreaker.consecutiveFailures(2)] }
      const living = CircuitBreaker.make({ ...rules, openTime: "1 minute" })
      for (let call = 0; call < 2; call++) yield* Effect.flip(CircuitBreaker.run(living)(Effect.fail("no")))
      const next = CircuitBreaker.make({ ...rules, openTime: "2 minutes" }, living)
      assert.strictEqual((yield* next.snapshot).state, "Open")
      const closed = CircuitBreaker.make(rules)
      yield* Effect.flip(CircuitBreaker.run(closed)(Effect.fail("no")))
      assert.strictEqual((yield* CircuitBreaker.make(rules, closed).snapshot).state, "Closed")
    })
  )

  it.effect("an adaptive limit is where the other was, and knows who is in flight", () =>
    Effect.gen(function* () {
      const living = AdaptiveConcurrency.make({ algorithm: "aimd", initialLimit: 10 })
      const many = Array.from({ length: 10 }, () => permitted(living.admit(0)))
      for (const permit of many) permit.settle(10, Outcome.failure({ cause: "throttle" }))
      const { limit } = yield* living.snapshot
      assert.isBelow(limit, 10)
      const held = permitted(living.admit(10))
      const next = AdaptiveConcurrency.make({ algorithm: "aimd", initialLimit: 10, maximumLimit: 50 }, living)
      assert.deepInclude(yield* next.snapshot, { limit, inFlight: 1 })
      held.settle(20, Outcome.success)
      assert.deepInclude(yield* next.snapshot, { inFlight: 0 })
      assert.deepInclude(yield* AdaptiveConcurrency.make({ initialLimit: 10 }).snapshot, { limit: 10, inFlight: 0 })
    })
  )

  it.effect("a hedge has what the other learned over the same window, and has saved up, to its own bound", () =>
    Effect.gen(function* () {
      const living = Hedge.make({ window: "1 minute" })
      yield* living.run(() => Effect.succeed("answer"))
      const { samples, saved } = yield* living.snapshot
      assert.strictEqual(samples, 1)
      const next = Hedge.make({ window: "1 minute", minimumSamples: 500 }, living)
      assert.deepInclude(yield* next.snapshot, { samples: 1, saved })
      const other = Hedge.make({ window: "2 minutes" }, living)
      assert.deepInclude(yield* other.snapshot, { samples: 0, saved })
    })
  )
})

import { Cause, Duration, Effect, Exit, Fiber } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as AdaptiveConcurrency from "../src/AdaptiveConcurrency.ts"
import * as Outcome from "../src/Outcome.ts"
import * as Reason from "../src/Reason.ts"
import { atEveryStep } from "../../../test/support/atEveryStep.ts"

const exactly = (message: string) => new RegExp(`^${message.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`)

/** Takes a place that must be there. */
const taken = (limiter: AdaptiveConcurrency.AdaptiveConcurrency, nowMillis = 0): AdaptiveConcurrency.Permit => {
  const decided = limiter.admit(nowMillis)
  if (decided._tag === "Permit") return decided
  return assert.fail(decided.message)
}

const limitOf = (limiter: AdaptiveConcurrency.AdaptiveConcurrency) =>
  Effect.map(limiter.snapshot, (snapshot) => snapshot.limit)

const dropBy = Outcome.failure

describe("AdaptiveConcurrency", () => {
  it.effect("what is left out is the gradient, from 20", () =>
    Effect.gen(function* () {
      const limiter = AdaptiveConcurrency.make()
      assert.deepStrictEqual(yield* limiter.snapshot, {
        algorithm: "gradient",
        limit: 20,
        inFlight: 0,
        admitted: 0,
        refused: 0,
        dropped: 0,
        recent: undefined,
        baseline: undefined
      })
    })
  )

  it.effect("the limit stays between 5 and 200 where nothing else is said", () =>
    Effect.gen(function* () {
      const limiter = AdaptiveConcurrency.make({ algorithm: "aimd" })
      for (let drop = 0; drop < 200; drop++) taken(limiter).settle(0, dropBy({ cause: "transient" }))
      assert.strictEqual(yield* limitOf(limiter), 5)
      for (let round = 0; round < 300; round++) {
        const permits: Array<AdaptiveConcurrency.Permit> = []
        for (let next = limiter.admit(0); next._tag === "Permit"; next = limiter.admit(0)) permits.push(next)
        for (const permit of permits) permit.settle(0, Outcome.success)
      }
      assert.strictEqual(yield* limitOf(limiter), 200)
    })
  )

  it.effect("beyond the limit a call fails at once, is not run, and says how many there are", () =>
    Effect.gen(function* () {
      const limiter = AdaptiveConcurrency.make({ initialLimit: 2, minimumLimit: 1 })
      const running = [
        yield* Effect.forkChild(limiter.run(Effect.never)),
        yield* Effect.forkChild(limiter.run(Effect.never))
      ]
      yield* TestClock.adjust(0)
      let runs = 0
      const refusal = yield* Effect.flip(limiter.run(Effect.sync(() => ++runs)))
      assert.strictEqual(runs, 0)
      assert.strictEqual(
        refusal.message,
        "the adaptive concurrency limit is reached (2 of 2 in flight); nothing was sent"
      )
      assert.deepInclude(yield* limiter.snapshot, { inFlight: 2, admitted: 2, refused: 1 })
      yield* Fiber.interruptAll(running)
      assert.deepInclude(yield* limiter.snapshot, { limit: 2, inFlight: 0 })
      assert.strictEqual(yield* limiter.run(Effect.sync(() => ++runs)), 1)
    })
  )

  for (const [cause, isDrop] of [
    ["transient", true],
    ["throttle", true],
    ["timeout", true],
    ["permanent", false],
    ["refused", false]
  ] as const) {
    it.effect(`a failure that is ${cause} ${isDrop ? "is a drop" : "only gives its place back"}`, () =>
      Effect.gen(function* () {
        const limiter = AdaptiveConcurrency.make({ algorithm: "aimd" })
        const failing = limiter.run(Effect.fail("no"), { classify: () => dropBy({ cause }) })
        yield* Effect.repeat(Effect.exit(failing), { times: 9 })
        assert.deepInclude(yield* limiter.snapshot, {
          limit: isDrop ? 18 : 20,
          dropped: isDrop ? 10 : 0,
          inFlight: 0
        })
      })
    )
  }

  it.effect("left to itself it takes failures and defects for drops, and refusals and interruptions for nothing", () =>
    Effect.gen(function* () {
      const limitAfter = (effect: Effect.Effect<unknown, unknown>) =>
        Effect.gen(function* () {
          const limiter = AdaptiveConcurrency.make({ algorithm: "aimd" })
          yield* Effect.repeat(Effect.exit(limiter.run(effect)), { times: 9 })
          assert.strictEqual((yield* limiter.snapshot).inFlight, 0)
          return yield* limitOf(limiter)
        })
      assert.strictEqual(yield* limitAfter(Effect.fail("no")), 18)
      assert.strictEqual(yield* limitAfter(Effect.die("bug")), 18)
      assert.strictEqual(yield* limitAfter(Effect.fail(new Reason.AttemptTimeout({ limit: Duration.seconds(1) }))), 18)
      assert.strictEqual(yield* limitAfter(Effect.fail(new Reason.CircuitOpen({}))), 20)
      assert.strictEqual(yield* limitAfter(Effect.interrupt), 20)
      assert.strictEqual(yield* limitAfter(Effect.failCause(Cause.combine(Cause.fail("no"), Cause.interrupt()))), 20)
    })
  )

  it.effect("the classifier is not asked about an interruption", () =>
    Effect.gen(function* () {
      const limiter = AdaptiveConcurrency.make()
      const fiber = yield* Effect.forkChild(
        limiter.run(Effect.never, { classify: () => dropBy({ cause: "transient" }) })
      )
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(fiber)
      assert.deepInclude(yield* limiter.snapshot, { limit: 20, dropped: 0, inFlight: 0 })
    })
  )

  it.effect("a success grows the limit only while at least half of it was in flight", () =>
    Effect.gen(function* () {
      const limiter = AdaptiveConcurrency.make({ algorithm: "aimd", initialLimit: 4, minimumLimit: 1 })
      yield* limiter.run(Effect.void)
      assert.strictEqual(yield* limitOf(limiter), 4)
      const one = taken(limiter)
      taken(limiter).settle(0, Outcome.success)
      assert.strictEqual(yield* limitOf(limiter), 5)
      one.settle(0, Outcome.ignored)
    })
  )

  it.effect("successes that took longer than slowAfter are drops, by the fiber's clock", () =>
    Effect.gen(function* () {
      const limiter = AdaptiveConcurrency.make({ algorithm: "aimd", slowAfter: "2 seconds" })
      const fibers = yield* Effect.forEach(Array.from({ length: 10 }), () =>
        Effect.forkChild(limiter.run(Effect.sleep("2001 millis")))
      )
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.joinAll(fibers)
      assert.deepInclude(yield* limiter.snapshot, { limit: 18, dropped: 10 })
    })
  )

  it.effect("the gradient learns the latency, and says what it learnt", () =>
    Effect.gen(function* () {
      const limiter = AdaptiveConcurrency.make({ algorithm: "gradient", minimumSamples: 10 })
      for (let call = 0; call <= 20; call++) {
        const others = Array.from({ length: 19 }, () => taken(limiter, call * 100))
        taken(limiter, call * 100).settle(call * 100 + 12, Outcome.success)
        for (const other of others) other.settle(call * 100 + 12, Outcome.ignored)
      }
      const { algorithm, baseline, limit, recent } = yield* limiter.snapshot
      assert.strictEqual(algorithm, "gradient")
      assert.isTrue(limit > 20)
      assert.closeTo(recent === undefined ? 0 : Duration.toMillis(recent), 12, 12 / 64)
      assert.closeTo(baseline === undefined ? 0 : Duration.toMillis(baseline), 12, 12 / 64)
    })
  )

  it.effect("the gradient too is cut by too many drops, once for all that were in flight together", () =>
    Effect.gen(function* () {
      const limiter = AdaptiveConcurrency.make({ algorithm: "gradient" })
      const events: Array<AdaptiveConcurrency.Event> = []
      limiter.events.subscribe((event) => events.push(event))
      const permits = Array.from({ length: 20 }, () => taken(limiter))
      for (const permit of permits) permit.settle(5, dropBy({ cause: "throttle" }))
      assert.deepInclude(yield* limiter.snapshot, { limit: 18, dropped: 20, inFlight: 0 })
      assert.deepStrictEqual(events, [{ _tag: "LimitChanged", from: 20, to: 18, cause: "drop" }])
    })
  )

  it("a permit that is settled twice gives its place back once", () => {
    const limiter = AdaptiveConcurrency.make({ algorithm: "aimd", initialLimit: 1, minimumLimit: 1 })
    const permit = taken(limiter)
    permit.settle(0, Outcome.ignored)
    permit.settle(0, Outcome.ignored)
    taken(limiter)
    assert.strictEqual(limiter.admit(0)._tag, "ConcurrencyLimited")
  })

  it.effect("a classifier that throws is a defect of the call, and its place comes back", () =>
    Effect.gen(function* () {
      const limiter = AdaptiveConcurrency.make()
      const exit = yield* Effect.exit(
        limiter.run(Effect.void, {
          classify: () => {
            throw new Error("bug")
          }
        })
      )
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.deepInclude(yield* limiter.snapshot, { inFlight: 0, limit: 20 })
    })
  )

  for (const algorithm of ["aimd", "gradient"] as const) {
    it.effect(`wherever a call is interrupted, its place comes back and the limit does not move (${algorithm})`, () =>
      Effect.gen(function* () {
        let interrupted = 0
        yield* atEveryStep(({ fork, name }) =>
          Effect.gen(function* () {
            const limiter = AdaptiveConcurrency.make({ algorithm, initialLimit: 5 })
            const work = Effect.andThen(Effect.void, Effect.andThen(Effect.yieldNow, Effect.void))
            const exit = yield* Fiber.await(yield* fork(limiter.run(work)))
            if (Exit.isFailure(exit)) interrupted++
            assert.deepInclude(yield* limiter.snapshot, { inFlight: 0, limit: 5, dropped: 0 }, name)
          })
        )
        assert.isAtLeast(interrupted, 12)
      })
    )
  }

  it.effect("observe counts and reports what it would refuse, refuses nothing, and finds the limit all the same", () =>
    Effect.gen(function* () {
      const limiter = AdaptiveConcurrency.make({ algorithm: "aimd", initialLimit: 1, minimumLimit: 1, mode: "observe" })
      const events: Array<AdaptiveConcurrency.Event> = []
      limiter.events.subscribe((event) => events.push(event))
      const first = taken(limiter)
      const second = taken(limiter)
      assert.deepInclude(yield* limiter.snapshot, { admitted: 2, refused: 1, inFlight: 2 })
      second.settle(0, Outcome.success)
      first.settle(0, dropBy({ cause: "timeout" }))
      for (let call = 0; call < 9; call++) taken(limiter).settle(0, dropBy({ cause: "timeout" }))
      assert.deepStrictEqual(events, [
        { _tag: "CallRefused", limit: 1, inFlight: 1, observed: true },
        { _tag: "LimitChanged", from: 1, to: 2, cause: "growth" },
        { _tag: "LimitChanged", from: 2, to: 1, cause: "drop" }
      ])
    })
  )

  it.effect("off lets everything through and knows nothing", () =>
    Effect.gen(function* () {
      const limiter = AdaptiveConcurrency.make({ initialLimit: 1, minimumLimit: 1, mode: "off" })
      taken(limiter)
      taken(limiter).settle(0, dropBy({ cause: "timeout" }))
      yield* Effect.exit(limiter.run(Effect.fail("no")))
      assert.deepInclude(yield* limiter.snapshot, { limit: 1, inFlight: 0, admitted: 0, refused: 0, dropped: 0 })
    })
  )

  it("a refusal and a change of the limit are told to who listens, an unchanged limit is not", () => {
    const limiter = AdaptiveConcurrency.make({ algorithm: "aimd", initialLimit: 2, minimumLimit: 2, maximumLimit: 3 })
    const events: Array<AdaptiveConcurrency.Event> = []
    const stop = limiter.events.subscribe((event) => events.push(event))
    const permits = [taken(limiter), taken(limiter)]
    limiter.admit(0)
    permits[0]?.settle(0, dropBy({ cause: "transient" }))
    permits[1]?.settle(0, Outcome.success)
    stop()
    limiter.admit(0)
    assert.deepStrictEqual(events, [
      { _tag: "CallRefused", limit: 2, inFlight: 2, observed: false },
      { _tag: "LimitChanged", from: 2, to: 3, cause: "growth" }
    ])
  })

  it.effect("reading the snapshot changes nothing", () =>
    Effect.gen(function* () {
      const limiter = AdaptiveConcurrency.make({ algorithm: "gradient" })
      taken(limiter)
      const before = yield* limiter.snapshot
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* limiter.snapshot, before)
    })
  )

  it("an option out of range is refused, by its name and with what was got", () => {
    const refused = (options: AdaptiveConcurrency.Options, message: string) =>
      assert.throws(() => AdaptiveConcurrency.make(options), RangeError, exactly(`AdaptiveConcurrency: ${message}`))
    refused({ maximumLimit: 0 }, "maximumLimit must be a whole number between 1 and 100000, got 0")
    refused({ minimumLimit: 0 }, "minimumLimit must be a whole number between 1 and 200, got 0")
    refused({ minimumLimit: 2.5 }, "minimumLimit must be a whole number between 1 and 200, got 2.5")
    refused({ minimumLimit: 11, maximumLimit: 10 }, "minimumLimit must be a whole number between 1 and 10, got 11")
    refused({ initialLimit: 4 }, "initialLimit must be a whole number between 5 and 200, got 4")
    refused({ initialLimit: 201 }, "initialLimit must be a whole number between 5 and 200, got 201")
    refused({ backoffRatio: 1 }, "backoffRatio must be at least 0.5 and below 1, got 1")
    refused({ backoffRatio: 0.4 }, "backoffRatio must be at least 0.5 and below 1, got 0.4")
    refused({ slowAfter: 0 }, "slowAfter must be longer than zero, got 0")
    refused({ quantile: 0.4 }, "quantile must be between 0.5 and 1, got 0.4")
    refused({ minimumSamples: 9 }, "minimumSamples must be a whole number between 10 and 100000, got 9")
    refused({ shortestWindow: 0 }, "shortestWindow (milliseconds) must be between 1 and 30000, got 0")
    refused({ longestWindow: "11 minutes" }, "longestWindow (milliseconds) must be between 1 and 600000, got 660000")
    refused({ headroom: 1 }, "headroom must be between 2 and 1000, got 1")
    assert.doesNotThrow(() => AdaptiveConcurrency.make({ maximumLimit: 3, longestWindow: "500 millis" }))
  })
})

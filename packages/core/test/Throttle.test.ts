import { Cause, Context, Effect, Exit, Fiber, Random } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as Criticality from "../src/Criticality.ts"
import * as Outcome from "../src/Outcome.ts"
import * as Reason from "../src/Reason.ts"
import * as Throttle from "../src/Throttle.ts"
import { atEveryStep } from "../../../test/support/atEveryStep.ts"

const exactly = (message: string) => new RegExp(`^${message.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`)

const draws = (value: number) => ({ nextDoubleUnsafe: () => value })

/** The ambient chance, which always says the same. */
const chance = (value: number) =>
  Effect.provideService(Random.Random, { nextDoubleUnsafe: () => value, nextIntUnsafe: () => 0 })

/** Sends calls one after another. */
const send = (
  throttle: Throttle.Throttle,
  count: number,
  outcome: Outcome.Outcome,
  criticality: Criticality.Criticality = "critical"
): void => {
  for (let call = 0; call < count; call++) {
    const decided = throttle.admit(0, criticality, draws(0.999_999))
    if (decided._tag === "Throttled") assert.fail(decided.message)
    else decided.settle(0, outcome)
  }
}

const rejected = Outcome.failure({ cause: "throttle" })

describe("Throttle", () => {
  it.effect("before there were ten requests nothing is shed, however many of them failed", () =>
    Effect.gen(function* () {
      const throttle = Throttle.make()
      const always = { nextDoubleUnsafe: () => 0, nextIntUnsafe: () => 0 }
      for (let call = 0; call < 10; call++) {
        const decided = throttle.admit(0, "critical", always)
        if (decided._tag === "Throttled") return assert.fail(`call ${call} was shed`)
        decided.settle(0, Outcome.failure({ cause: "transient" }))
      }
      assert.strictEqual(throttle.admit(0, "critical", always)._tag, "Throttled")
    })
  )

  it.effect("what is left out is K = 2 over two minutes", () =>
    Effect.gen(function* () {
      const throttle = Throttle.make({ minimumRequests: 1 })
      send(throttle, 40, Outcome.success)
      send(throttle, 60, rejected)
      const { accepts, probability, requests } = yield* throttle.snapshot
      assert.deepStrictEqual([requests, accepts], [100, 40])
      assert.closeTo(probability.critical, 0.198, 0.0005)
      yield* TestClock.adjust("119 seconds")
      assert.strictEqual((yield* throttle.snapshot).requests, 100)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* throttle.snapshot, { requests: 0, accepts: 0, admitted: 100 })
    })
  )

  it.effect("a call that is shed fails at once, is not run, counts as a request, and says why", () =>
    Effect.gen(function* () {
      const throttle = Throttle.make({ minimumRequests: 1 })
      send(throttle, 10, Outcome.success)
      send(throttle, 90, rejected)
      let runs = 0
      const refusal = yield* throttle.run(Effect.sync(() => ++runs)).pipe(chance(0.79), Effect.flip)
      assert.strictEqual(runs, 0)
      assert.strictEqual(
        refusal.message,
        "the call was shed: the upstream refuses too much of what it is sent " +
          "(10 of 100 calls accepted in the last 2m, this one is critical); nothing was sent"
      )
      assert.deepInclude(yield* throttle.snapshot, { requests: 101, accepts: 10, shed: 1, admitted: 100 })
      assert.strictEqual(yield* throttle.run(Effect.sync(() => ++runs)).pipe(chance(0.8)), 1)
      assert.deepInclude(yield* throttle.snapshot, { requests: 102, accepts: 11, admitted: 101 })
    })
  )

  for (const [cause, requests, accepts] of [
    ["throttle", 1, 0],
    ["transient", 1, 0],
    ["timeout", 1, 0],
    ["permanent", 1, 1],
    ["refused", 0, 0]
  ] as const) {
    it.effect(`a failure that is ${cause} adds ${requests} to the requests and ${accepts} to the accepted`, () =>
      Effect.gen(function* () {
        const throttle = Throttle.make({ minimumRequests: 1 })
        yield* Effect.exit(throttle.run(Effect.fail("no"), { classify: () => Outcome.failure({ cause }) }))
        assert.deepInclude(yield* throttle.snapshot, { requests, accepts })
      })
    )
  }

  it.effect("which failures are rejections can be said", () =>
    Effect.gen(function* () {
      const throttle = Throttle.make({ minimumRequests: 1, rejections: ["throttle"] })
      send(throttle, 1, Outcome.failure({ cause: "transient" }))
      send(throttle, 1, Outcome.failure({ cause: "timeout" }))
      assert.deepInclude(yield* throttle.snapshot, { requests: 2, accepts: 2 })
      send(throttle, 1, rejected)
      assert.deepInclude(yield* throttle.snapshot, { requests: 3, accepts: 2 })
    })
  )

  it.effect(
    "left to itself it takes failures and defects for rejections, and refusals and interruptions for nothing",
    () =>
      Effect.gen(function* () {
        const booksAfter = (effect: Effect.Effect<unknown, unknown>) =>
          Effect.gen(function* () {
            const throttle = Throttle.make({ minimumRequests: 1 })
            yield* Effect.exit(throttle.run(effect))
            const { accepts, requests } = yield* throttle.snapshot
            return [requests, accepts]
          })
        assert.deepStrictEqual(yield* booksAfter(Effect.void), [1, 1])
        assert.deepStrictEqual(yield* booksAfter(Effect.fail("no")), [1, 0])
        assert.deepStrictEqual(yield* booksAfter(Effect.die("bug")), [1, 0])
        assert.deepStrictEqual(yield* booksAfter(Effect.fail(new Reason.BulkheadFull({}))), [0, 0])
        assert.deepStrictEqual(yield* booksAfter(Effect.interrupt), [0, 0])
      })
  )

  it.effect("the ambient criticality decides who is shed first, and a given one goes before it", () =>
    Effect.gen(function* () {
      const throttle = Throttle.make({ minimumRequests: 1 })
      send(throttle, 40, rejected, "sheddable")
      send(throttle, 60, Outcome.success, "critical-plus")
      send(throttle, 40, rejected, "critical-plus")
      const { probability } = yield* throttle.snapshot
      assert.deepStrictEqual(probability, {
        "critical-plus": 0,
        critical: 0,
        "sheddable-plus": 0,
        sheddable: 20 / 41
      })
      const call = throttle.run(Effect.void)
      const shed = call.pipe(Criticality.withLevel("sheddable"), chance(0.4), Effect.flip)
      assert.strictEqual((yield* shed)._tag, "Throttled")
      yield* call.pipe(Criticality.withLevel("critical-plus"), chance(0))
      yield* throttle.run(Effect.void, { criticality: "critical" }).pipe(Criticality.withLevel("sheddable"), chance(0))
    })
  )

  it.effect("each criticality is a level of its own: what matters less is shed for those that matter more", () =>
    Effect.gen(function* () {
      const levels = ["sheddable", "sheddable-plus", "critical", "critical-plus"] as const
      const throttle = Throttle.make()
      for (const level of levels) send(throttle, 25, Outcome.success, level)
      for (const level of levels) send(throttle, 75, rejected, level)
      // 100 of 400 were accepted, so that half of them is beyond twice that: the two lower levels, and all of both
      const { probability } = yield* throttle.snapshot
      for (const level of ["critical", "critical-plus"] as const) assert.strictEqual(probability[level], 0, level)
      for (const level of ["sheddable", "sheddable-plus"] as const) assert.isAbove(probability[level], 0.9, level)
      // one level more, and a half of the third is beyond
      send(throttle, 100, rejected, "critical-plus")
      const after = (yield* throttle.snapshot).probability
      assert.strictEqual(after["critical-plus"], 0)
      assert.isAbove(after.critical, 0.4)
      assert.isAtLeast(after["sheddable-plus"], after.critical)
      assert.isAtLeast(after.sheddable, after["sheddable-plus"])
    })
  )

  it.effect("where all is shed, one call a second is let through to see", () =>
    Effect.gen(function* () {
      const throttle = Throttle.make({ minimumRequests: 1, window: "1 hour" })
      const probed: Array<Throttle.Event> = []
      throttle.events.subscribe((event) => event._tag === "CallProbed" && probed.push(event))
      send(throttle, 1000, rejected)
      const failing = Effect.exit(throttle.run(Effect.fail("503"))).pipe(chance(0))
      for (let tenth = 0; tenth < 100; tenth++) {
        yield* TestClock.adjust("100 millis")
        yield* failing
      }
      const { admitted, probes, shed } = yield* throttle.snapshot
      assert.deepStrictEqual([admitted - 1000, probes, shed], [10, 10, 90])
      assert.deepStrictEqual(probed.length, 10)
      assert.deepStrictEqual(probed[0], { _tag: "CallProbed", criticality: "critical" })
    })
  )

  it.effect("without a floor nothing is let through", () =>
    Effect.gen(function* () {
      const throttle = Throttle.make({ minimumRequests: 1, window: "1 hour", minimumPerSecond: 0 })
      send(throttle, 10, rejected)
      yield* TestClock.adjust("30 minutes")
      assert.strictEqual((yield* throttle.run(Effect.void).pipe(chance(0), Effect.flip))._tag, "Throttled")
    })
  )

  it.effect("observe counts and reports what it would shed, sheds nothing, and counts each call once", () =>
    Effect.gen(function* () {
      const throttle = Throttle.make({ minimumRequests: 1, mode: "observe" })
      const events: Array<Throttle.Event> = []
      throttle.events.subscribe((event) => events.push(event))
      send(throttle, 1, rejected)
      const exit = yield* Effect.exit(throttle.run(Effect.succeed("sent"))).pipe(chance(0))
      assert.deepStrictEqual(exit, Exit.succeed("sent"))
      assert.deepInclude(yield* throttle.snapshot, { requests: 2, accepts: 1, shed: 1, admitted: 2 })
      assert.deepStrictEqual(events, [
        { _tag: "CallShed", criticality: "critical", requests: 1, accepts: 0, observed: true }
      ])
    })
  )

  it.effect("off lets everything through and knows nothing", () =>
    Effect.gen(function* () {
      const throttle = Throttle.make({ mode: "off" })
      send(throttle, 10, rejected)
      yield* Effect.exit(throttle.run(Effect.fail("503")))
      assert.deepInclude(yield* throttle.snapshot, { requests: 0, accepts: 0, admitted: 0, shed: 0 })
    })
  )

  it.effect("a call that is shed is told to who listens", () =>
    Effect.gen(function* () {
      const throttle = Throttle.make({ minimumRequests: 1 })
      const events: Array<Throttle.Event> = []
      const stop = throttle.events.subscribe((event) => events.push(event))
      send(throttle, 2, rejected, "sheddable")
      throttle.admit(0, "sheddable", draws(0))
      stop()
      throttle.admit(0, "sheddable", draws(0))
      assert.deepStrictEqual(events, [
        { _tag: "CallShed", criticality: "sheddable", requests: 2, accepts: 0, observed: false }
      ])
      assert.strictEqual((yield* throttle.snapshot).shed, 2)
    })
  )

  it.effect("wherever a call is interrupted, it is neither accepted nor rejected", () =>
    Effect.gen(function* () {
      let interrupted = 0
      yield* atEveryStep(({ fork, name }) =>
        Effect.gen(function* () {
          const throttle = Throttle.make({ minimumRequests: 1 })
          const work = Effect.andThen(Effect.void, Effect.andThen(Effect.yieldNow, Effect.void))
          const exit = yield* Fiber.await(yield* fork(throttle.run(work)))
          const { accepts, requests } = yield* throttle.snapshot
          // an interruption that came when all was done changes nothing any more
          if (Exit.isFailure(exit) && requests === 0) interrupted++
          else assert.deepStrictEqual([requests, accepts], [1, 1], name)
        })
      )
      assert.isAtLeast(interrupted, 10)
    })
  )

  it.effect("a classifier that throws is a defect of the call", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(
        Throttle.make({ minimumRequests: 1 }).run(Effect.void, {
          classify: () => {
            throw new Error("bug")
          }
        })
      )
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    })
  )

  it.effect("reading the snapshot, however late, changes nothing", () =>
    Effect.gen(function* () {
      const throttle = Throttle.make({ minimumRequests: 1 })
      send(throttle, 3, rejected)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* throttle.snapshot).requests, 0)
      // had the window been moved on by the reading, the three would be gone at time zero too
      assert.strictEqual(throttle.admit(0, "critical", draws(0))._tag, "Throttled")
    })
  )

  it.effect("services of the caller are seen inside", () =>
    Effect.gen(function* () {
      class Greeting extends Context.Service<Greeting, string>()("test/Throttle/Greeting") {}
      const greeting = Throttle.make({ minimumRequests: 1 }).run(Effect.map(Greeting, (text) => text))
      assert.strictEqual(yield* Effect.provideService(greeting, Greeting, "hello"), "hello")
    })
  )

  it("an option out of range is refused, by its name and with what was got", () => {
    const refused = (options: Throttle.Options, message: string) =>
      assert.throws(() => Throttle.make(options), RangeError, exactly(`Throttle: ${message}`))
    refused({ window: "999 millis" }, "window (milliseconds) must be between 1000 and 3600000, got 999")
    refused({ window: "61 minutes" }, "window (milliseconds) must be between 1000 and 3600000, got 3660000")
    refused({ multiplier: 0.9 }, "multiplier must be between 1 and 100, got 0.9")
    refused({ multiplier: Number.NaN }, "multiplier must be between 1 and 100, got NaN")
    refused({ minimumPerSecond: -1 }, "minimumPerSecond must be between 0 and 1000, got -1")
  })
})

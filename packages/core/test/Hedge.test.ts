import { Cause, Clock, Context, Deferred, Duration, Effect, Exit, Fiber } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as Deadline from "../src/Deadline.ts"
import * as Hedge from "../src/Hedge.ts"
import * as Outcome from "../src/Outcome.ts"
import * as RetryBudget from "../src/RetryBudget.ts"
import { countingClock, sleepers } from "./support/countingClock.ts"

const answer = (millis: number, value: string) => Effect.delay(Effect.succeed(value), millis)
const failure = (millis: number, error: string) => Effect.delay(Effect.fail(error), millis)

/** Attempts by their ordinals, and what became of them. */
const playing = (...steps: ReadonlyArray<Effect.Effect<string, string>>) => {
  const log: Array<string> = []
  const attempt = (ordinal: number) =>
    Effect.onExit(
      Effect.suspend(() => {
        log.push(`start ${ordinal}`)
        return steps[ordinal] ?? Effect.die(`no attempt ${ordinal}`)
      }),
      (exit) =>
        Effect.sync(() => {
          const interrupted = Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause)
          log.push(`${interrupted ? "interrupted" : exit._tag.toLowerCase()} ${ordinal}`)
        })
    )
  return { attempt, log }
}

/** Runs to its end, and says when that was. */
const timed = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const start = yield* Clock.currentTimeMillis
    let end = Number.NaN
    const fiber = yield* Effect.forkChild(
      Effect.onExit(effect, () => Effect.map(Clock.currentTimeMillis, (now) => void (end = now - start)))
    )
    yield* TestClock.adjust("1 minute")
    return { exit: yield* Fiber.await(fiber), millis: end }
  })

const listening = (hedge: Hedge.Hedge) => {
  const events: Array<Hedge.Event> = []
  hedge.events.subscribe((event) => events.push(event))
  return events
}

const final = (exit: Exit.Exit<string, string>): Outcome.Outcome => {
  if (Exit.isSuccess(exit)) return Outcome.success
  return Outcome.failure({ cause: Cause.squash(exit.cause) === "no such thing" ? "permanent" : "transient" })
}

class Greeting extends Context.Service<Greeting, string>()("test/Greeting") {}

describe("Hedge", () => {
  it.effect("a first attempt that is fast is the only one", () =>
    Effect.gen(function* () {
      const { attempt, log } = playing(answer(99, "first"))
      const { exit, millis } = yield* timed(Hedge.make({ delay: 100 }).run(attempt))
      assert.deepStrictEqual(exit, Exit.succeed("first"))
      assert.strictEqual(millis, 99)
      assert.deepStrictEqual(log, ["start 0", "success 0"])
    })
  )

  it.effect(
    "a slow first attempt is hedged after the delay; the first success wins, and the loser is interrupted",
    () =>
      Effect.gen(function* () {
        const { attempt, log } = playing(answer(1000, "first"), answer(30, "second"))
        const hedge = Hedge.make({ delay: 100 })
        const { exit, millis } = yield* timed(hedge.run(attempt))
        assert.deepStrictEqual(exit, Exit.succeed("second"))
        assert.strictEqual(millis, 130)
        assert.deepStrictEqual(log, ["start 0", "start 1", "success 1", "interrupted 0"])
        assert.deepInclude(yield* hedge.snapshot, { calls: 1, hedges: 1, won: 1, hedgesInFlight: 0 })
      })
  )

  it.effect("a first attempt that wins after all interrupts its hedge", () =>
    Effect.gen(function* () {
      const { attempt, log } = playing(answer(150, "first"), answer(100, "second"))
      const hedge = Hedge.make({ delay: 100 })
      const { exit, millis } = yield* timed(hedge.run(attempt))
      assert.deepStrictEqual(exit, Exit.succeed("first"))
      assert.strictEqual(millis, 150)
      assert.deepStrictEqual(log, ["start 0", "start 1", "success 0", "interrupted 1"])
      assert.deepInclude(yield* hedge.snapshot, { hedges: 1, won: 0, hedgesInFlight: 0 })
    })
  )

  it.effect("a first attempt that fails before it is hedged is for the retry: no hedge is sent", () =>
    Effect.gen(function* () {
      const { attempt, log } = playing(failure(50, "down"), answer(1, "second"))
      const { exit, millis } = yield* timed(Hedge.make({ delay: 100 }).run(attempt))
      assert.deepStrictEqual(exit, Exit.fail("down"))
      assert.strictEqual(millis, 50)
      assert.deepStrictEqual(log, ["start 0", "failure 0"])
    })
  )

  it.effect("a failure waits for the attempt that still runs", () =>
    Effect.gen(function* () {
      const first = playing(failure(120, "down"), answer(50, "second"))
      assert.deepStrictEqual((yield* timed(Hedge.make({ delay: 100 }).run(first.attempt))).exit, Exit.succeed("second"))
      const second = playing(answer(200, "first"), failure(10, "down"))
      assert.deepStrictEqual((yield* timed(Hedge.make({ delay: 100 }).run(second.attempt))).exit, Exit.succeed("first"))
    })
  )

  it.effect("when all have failed the first attempt's failure is the answer, whichever failed last", () =>
    Effect.gen(function* () {
      const last = playing(failure(300, "first"), failure(10, "second"))
      assert.deepStrictEqual((yield* timed(Hedge.make({ delay: 100 }).run(last.attempt))).exit, Exit.fail("first"))
      const early = playing(failure(120, "first"), failure(100, "second"))
      const { exit, millis } = yield* timed(Hedge.make({ delay: 100 }).run(early.attempt))
      assert.deepStrictEqual(exit, Exit.fail("first"))
      assert.strictEqual(millis, 200)
    })
  )

  it.effect("a final failure ends the call at once, from whichever attempt it comes", () =>
    Effect.gen(function* () {
      const { attempt, log } = playing(answer(500, "first"), failure(10, "no such thing"))
      const { exit, millis } = yield* timed(Hedge.make({ delay: 100 }).run(attempt, { classify: final }))
      assert.deepStrictEqual(exit, Exit.fail("no such thing"))
      assert.strictEqual(millis, 110)
      assert.include(log, "interrupted 0")
    })
  )

  it.effect("a hedge that is refused on this side does not end the attempt that is under way", () =>
    Effect.gen(function* () {
      const { attempt } = playing(answer(500, "first"), failure(0, "bulkhead full"))
      const classify = (exit: Exit.Exit<string, string>) =>
        Exit.isSuccess(exit) ? Outcome.success : Outcome.failure({ cause: "refused", retryable: false, applied: "no" })
      const { exit } = yield* timed(Hedge.make({ delay: 100 }).run(attempt, { classify }))
      assert.deepStrictEqual(exit, Exit.succeed("first"))
    })
  )

  it.effect("a success that the classifier calls a failure waits too", () =>
    Effect.gen(function* () {
      const { attempt } = playing(answer(500, "200"), answer(10, "503"))
      const classify = (exit: Exit.Exit<string, string>) =>
        Exit.isSuccess(exit) && exit.value === "200" ? Outcome.success : Outcome.failure({ cause: "transient" })
      const { exit, millis } = yield* timed(Hedge.make({ delay: 100 }).run(attempt, { classify }))
      assert.deepStrictEqual(exit, Exit.succeed("200"))
      assert.strictEqual(millis, 500)
    })
  )

  it.effect("a defect and an interruption from inside end the call, and the classifier is not asked", () =>
    Effect.gen(function* () {
      const classify = () => assert.fail("asked")
      const bug = playing(answer(500, "first"), Effect.delay(Effect.die("bug"), 10))
      const died = yield* timed(Hedge.make({ delay: 100 }).run(bug.attempt, { classify }))
      assert.deepStrictEqual(died.exit, Exit.die("bug"))
      assert.strictEqual(died.millis, 110)
      const gone = playing(answer(500, "first"), Effect.delay(Effect.interrupt, 10))
      const { exit } = yield* timed(Hedge.make({ delay: 100 }).run(gone.attempt, { classify }))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.include(gone.log, "interrupted 0")
    })
  )

  it.effect("each further hedge waits for the delay once more, up to maxHedges", () =>
    Effect.gen(function* () {
      const { attempt, log } = playing(Effect.never, Effect.never, answer(10, "third"), answer(1, "fourth"))
      const { exit, millis } = yield* timed(Hedge.make({ delay: 100, maxHedges: 3 }).run(attempt))
      assert.deepStrictEqual(exit, Exit.succeed("third"))
      assert.strictEqual(millis, 210)
      assert.sameMembers(log, ["start 0", "start 1", "start 2", "success 2", "interrupted 0", "interrupted 1"])
      const two = playing(answer(1000, "first"), Effect.never, Effect.never)
      yield* timed(Hedge.make({ delay: 100, maxHedges: 2 }).run(two.attempt))
      assert.deepStrictEqual(
        two.log.filter((line) => line.startsWith("start")),
        ["start 0", "start 1", "start 2"]
      )
    })
  )

  it.effect("an upstream that throttles gets no further hedge", () =>
    Effect.gen(function* () {
      const { attempt, log } = playing(answer(1000, "first"), failure(10, "throttled"), answer(1, "third"))
      const classify = (exit: Exit.Exit<string, string>) =>
        Exit.isSuccess(exit) ? Outcome.success : Outcome.failure({ cause: "throttle" })
      const { exit } = yield* timed(Hedge.make({ delay: 100, maxHedges: 2 }).run(attempt, { classify }))
      assert.deepStrictEqual(exit, Exit.succeed("first"))
      assert.notInclude(log, "start 2")
    })
  )

  it.effect("an outer interruption interrupts every attempt and waits for their finalizers", () =>
    Effect.gen(function* () {
      const closing = yield* Deferred.make<void>()
      let closed = 0
      const attempt = () =>
        Effect.onInterrupt(Effect.never, () =>
          Effect.andThen(
            Deferred.await(closing),
            Effect.sync(() => closed++)
          )
        )
      const hedge = Hedge.make({ delay: 100 })
      const events = listening(hedge)
      const fiber = yield* Effect.forkChild(hedge.run(attempt))
      yield* TestClock.adjust("150 millis")
      assert.strictEqual((yield* hedge.snapshot).hedgesInFlight, 1)
      const interruption = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* TestClock.adjust(0)
      assert.isUndefined(interruption.pollUnsafe(), "it did not wait for the finalizers")
      yield* Deferred.succeed(closing, undefined)
      yield* Fiber.join(interruption)
      assert.strictEqual(closed, 2)
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.deepInclude(yield* hedge.snapshot, { won: 0, hedgesInFlight: 0 })
      assert.deepInclude(events.at(-1), { _tag: "HedgeSettled", winner: undefined })
    })
  )

  it.effect("a hedge whose first step ends the call is interrupted too", () =>
    Effect.gen(function* () {
      const late = yield* Deferred.make<string>()
      const { attempt, log } = playing(
        Deferred.await(late),
        Effect.andThen(Deferred.succeed(late, "first after all"), Effect.never)
      )
      const { exit, millis } = yield* timed(Hedge.make({ delay: 100 }).run(attempt))
      assert.deepStrictEqual(exit, Exit.succeed("first after all"))
      assert.strictEqual(millis, 100)
      assert.include(log, "interrupted 1")
    })
  )

  it.effect("a loser is not judged, and one that cannot be interrupted is waited for", () =>
    Effect.gen(function* () {
      const judged: Array<string> = []
      const classify = (exit: Exit.Exit<string, string>) => {
        judged.push(Exit.isSuccess(exit) ? exit.value : "failure")
        return Outcome.success
      }
      const { attempt } = playing(Effect.uninterruptible(answer(300, "first")), answer(10, "second"))
      const { exit, millis } = yield* timed(Hedge.make({ delay: 100 }).run(attempt, { classify }))
      assert.deepStrictEqual(exit, Exit.succeed("second"))
      assert.strictEqual(millis, 300)
      assert.deepStrictEqual(judged, ["second"])
    })
  )

  it.effect("the loser's finalizers are waited for before the answer is given", () =>
    Effect.gen(function* () {
      let closed = false
      const slow = Effect.onInterrupt(Effect.never, () =>
        Effect.delay(
          Effect.sync(() => void (closed = true)),
          70
        )
      )
      const { attempt } = playing(slow, answer(10, "second"))
      const { millis } = yield* timed(Hedge.make({ delay: 100 }).run(attempt))
      assert.isTrue(closed)
      assert.strictEqual(millis, 180)
    })
  )

  it.effect("whenever it is interrupted, no timer, no attempt and no place in the budget is left", () =>
    Effect.gen(function* () {
      for (const at of [0, 1, 50, 99, 100, 101, 150, 199, 200, 250, 320]) {
        sleepers.now = 0
        let running = 0
        const budget = RetryBudget.make()
        const hedge = Hedge.make({ delay: 100, maxHedges: 2, budget })
        const attempt = () =>
          Effect.acquireUseRelease(
            Effect.sync(() => ++running),
            () => answer(300, "done"),
            () => Effect.sync(() => --running)
          )
        const fiber = yield* Effect.forkChild(hedge.run(attempt))
        yield* TestClock.adjust(at)
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(running, 0, `attempts at ${at}`)
        assert.strictEqual(sleepers.now, 0, `timers at ${at}`)
        assert.strictEqual((yield* hedge.snapshot).hedgesInFlight, 0)
        assert.strictEqual((yield* budget.snapshot).retriesInFlight, 0)
      }
    }).pipe(Effect.provide(countingClock))
  )

  it.effect("no timer is left by an attempt that answers at once, fails, or is overtaken", () =>
    Effect.gen(function* () {
      sleepers.now = 0
      const hedge = Hedge.make({ delay: 100 })
      yield* hedge.run(() => Effect.succeed("at once"))
      assert.strictEqual(sleepers.now, 0)
      yield* timed(hedge.run(() => failure(50, "down")))
      yield* timed(hedge.run((ordinal) => (ordinal === 0 ? Effect.never : Effect.succeed("hedge"))))
      assert.strictEqual(sleepers.now, 0)
    }).pipe(Effect.provide(countingClock))
  )

  it.effect("what may not be sent twice is not", () =>
    Effect.gen(function* () {
      const hedge = Hedge.make({ delay: 100 })
      const never = playing(answer(500, "first"))
      assert.deepStrictEqual(
        (yield* timed(hedge.run(never.attempt, { repeatable: false }))).exit,
        Exit.succeed("first")
      )
      assert.strictEqual((yield* hedge.snapshot).calls, 0)
      const later = playing(answer(500, "first"))
      yield* timed(hedge.run(later.attempt, { repeatable: () => false }))
      assert.deepStrictEqual(later.log, ["start 0", "success 0"])
      assert.strictEqual((yield* hedge.snapshot).denied["not-repeatable"], 1)
    })
  )

  it.effect("no hedge is started while the upstream may not be sent more", () =>
    Effect.gen(function* () {
      let room = false
      const hedge = Hedge.make({ delay: 100, mayStart: () => room })
      const slow = () => playing(answer(500, "first"), answer(10, "second")).attempt
      assert.deepStrictEqual((yield* timed(hedge.run(slow()))).exit, Exit.succeed("first"))
      room = true
      assert.deepStrictEqual((yield* timed(hedge.run(slow()))).exit, Exit.succeed("second"))
      assert.deepInclude((yield* hedge.snapshot).denied, { upstream: 1 })
    })
  )

  it.effect("a question that throws is the call's defect, and interrupts its attempts", () =>
    Effect.gen(function* () {
      const mayStart = (): boolean => {
        throw new Error("broken")
      }
      const { attempt, log } = playing(answer(500, "first"))
      const { exit } = yield* timed(Hedge.make({ delay: 100, mayStart }).run(attempt))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.deepStrictEqual(log, ["start 0", "interrupted 0"])
      const thrown = yield* timed(
        Hedge.make({ delay: 100 }).run(() => {
          throw new Error("no effect")
        })
      )
      assert.isTrue(Exit.isFailure(thrown.exit) && Cause.hasDies(thrown.exit.cause))
    })
  )

  it.effect("hedges are never more than the extra load that calls pay for, and what was saved up", () =>
    Effect.gen(function* () {
      const hedge = Hedge.make({ delay: 100, maximumExtraLoad: 0.1, burst: 2 })
      for (let call = 0; call < 50; call++) {
        yield* timed(hedge.run(playing(answer(200, "first"), answer(10, "second")).attempt))
      }
      const { denied, hedges, saved } = yield* hedge.snapshot
      // 2 saved up, then one for ten calls; the first deposit finds the savings full
      assert.strictEqual(hedges, 6)
      assert.strictEqual(denied["extra-load"], 44)
      assert.isTrue(saved < 1)
    })
  )

  it.effect("a hedge is paid from the retry budget, held while it runs, and given back", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make({ minimumInFlight: 1, minimumPerSecond: 1, ratio: 0 })
      const hedge = Hedge.make({ delay: 100, maximumExtraLoad: 1, budget })
      const slow = (loser: Effect.Effect<string> = Effect.never) =>
        hedge.run(playing(answer(500, "first"), loser).attempt)
      const fiber = yield* Effect.forkChild(slow())
      yield* TestClock.adjust("100 millis")
      assert.deepInclude(yield* budget.snapshot, { retriesInFlight: 1, granted: 1 })
      // the only place is taken
      const second = yield* Effect.forkChild(slow())
      yield* TestClock.adjust("100 millis")
      assert.deepInclude((yield* hedge.snapshot).denied, { budget: 1 })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      yield* Fiber.join(second)
      assert.deepInclude(yield* budget.snapshot, { retriesInFlight: 0, granted: 1, refused: 1 })
    })
  )

  it.effect("a denial by the extra load takes nothing from the retry budget", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make()
      const hedge = Hedge.make({ delay: 100, maximumExtraLoad: 0.001, burst: 1, budget })
      for (let call = 0; call < 3; call++) yield* timed(hedge.run(playing(answer(500, "first"), Effect.never).attempt))
      assert.deepInclude(yield* budget.snapshot, { granted: 1, refused: 0 })
    })
  )

  it.effect("no hedge is planned beyond the deadline, ambient or given", () =>
    Effect.gen(function* () {
      const hedge = Hedge.make({ delay: 100 })
      const { attempt, log } = playing(answer(500, "first"), answer(1, "second"))
      yield* timed(hedge.run(attempt).pipe(Deadline.within("100 millis")))
      assert.deepStrictEqual(log, ["start 0", "success 0"])
      const given = playing(answer(500, "first"), answer(1, "second"))
      const now = yield* Effect.map(Clock.Clock, Deadline.nowMillisUnsafe)
      yield* timed(hedge.run(given.attempt, { deadline: { atMillis: now + 50, budgetMillis: 50 } }))
      assert.deepStrictEqual(given.log, ["start 0", "success 0"])
    })
  )

  it.effect("a learned delay is what most calls take, and calls are hedged from then on", () =>
    Effect.gen(function* () {
      const hedge = Hedge.make({ maximumExtraLoad: 0.1, minimumSamples: 10 })
      for (let call = 1; call <= 10; call++) {
        assert.isUndefined((yield* hedge.snapshot).delay)
        const fiber = yield* Effect.forkChild(hedge.run(() => answer(call * 10, "first")))
        yield* TestClock.adjust(call * 10)
        yield* Fiber.join(fiber)
      }
      const { attempt } = playing(Effect.never, answer(1, "second"))
      assert.deepStrictEqual((yield* timed(hedge.run(attempt))).exit, Exit.succeed("second"))
      const { delay } = yield* hedge.snapshot
      const millis = delay === undefined ? Number.NaN : Duration.toMillis(delay)
      assert.isTrue(millis >= 90 && millis <= 94, `${millis}`)
    })
  )

  it.effect("a call that its caller leaves after the delay still counts as a slow one", () =>
    Effect.gen(function* () {
      const hedge = Hedge.make({ maximumExtraLoad: 0.5, minimumSamples: 2 })
      for (let call = 0; call < 2; call++) {
        const fiber = yield* Effect.forkChild(hedge.run(() => answer(10, "first")))
        yield* TestClock.adjust(10)
        yield* Fiber.join(fiber)
      }
      const early = yield* Effect.forkChild(hedge.run(() => Effect.never))
      yield* TestClock.adjust(5)
      yield* Fiber.interrupt(early)
      assert.strictEqual((yield* hedge.snapshot).samples, 2)
      const late = yield* Effect.forkChild(hedge.run(() => Effect.never))
      yield* TestClock.adjust(50)
      yield* Fiber.interrupt(late)
      assert.strictEqual((yield* hedge.snapshot).samples, 3)
    })
  )

  it.effect("observe counts and tells what it would have sent, and sends nothing", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make()
      const hedge = Hedge.make({ delay: 100, mode: "observe", budget })
      const events = listening(hedge)
      const { attempt, log } = playing(answer(500, "first"), answer(1, "second"))
      const { exit, millis } = yield* timed(hedge.run(attempt))
      assert.deepStrictEqual(exit, Exit.succeed("first"))
      assert.strictEqual(millis, 500)
      assert.deepStrictEqual(log, ["start 0", "success 0"])
      assert.deepInclude(yield* hedge.snapshot, { calls: 1, hedges: 1, won: 0, hedgesInFlight: 0 })
      assert.deepInclude(yield* budget.snapshot, { granted: 0 })
      assert.deepStrictEqual(events, [
        { _tag: "HedgeStarted", ordinal: 1, after: Duration.millis(100), observed: true }
      ])
    })
  )

  it.effect("off is not there", () =>
    Effect.gen(function* () {
      const hedge = Hedge.make({ delay: 100, mode: "off" })
      const { attempt, log } = playing(answer(500, "first"), answer(1, "second"))
      yield* timed(hedge.run(attempt))
      assert.deepStrictEqual(log, ["start 0", "success 0"])
      assert.strictEqual((yield* hedge.snapshot).calls, 0)
    })
  )

  it.effect("events tell of a start, a denial and the end", () =>
    Effect.gen(function* () {
      const hedge = Hedge.make({ delay: 100, maximumExtraLoad: 0.001, burst: 1 })
      const events = listening(hedge)
      yield* timed(hedge.run(playing(Effect.never, answer(20, "second")).attempt))
      yield* timed(hedge.run(playing(answer(200, "first"), Effect.never).attempt))
      assert.deepStrictEqual(events, [
        { _tag: "HedgeStarted", ordinal: 1, after: Duration.millis(100), observed: false },
        { _tag: "HedgeSettled", winner: 1, hedges: 1, elapsed: Duration.millis(120) },
        { _tag: "HedgeDenied", why: "extra-load", after: Duration.millis(100) }
      ])
    })
  )

  it.effect("reading the snapshot changes nothing", () =>
    Effect.gen(function* () {
      const hedge = Hedge.make()
      yield* hedge.run(() => Effect.succeed("done"))
      const before = yield* hedge.snapshot
      assert.deepStrictEqual(yield* hedge.snapshot, before)
      assert.deepInclude(before, { calls: 1, samples: 1, saved: 10, delay: undefined })
    })
  )

  it.effect("services of the caller are seen by every attempt", () =>
    Effect.gen(function* () {
      const attempt = (ordinal: number) =>
        ordinal === 0 ? Effect.never : Effect.map(Greeting, (text) => `${text} ${ordinal}`)
      const { exit } = yield* timed(
        Hedge.make({ delay: 100 }).run(attempt).pipe(Effect.provideService(Greeting, "hello"))
      )
      assert.deepStrictEqual(exit, Exit.succeed("hello 1"))
    })
  )

  it.live("under the platform's clock it hedges too", () =>
    Effect.gen(function* () {
      const hedge = Hedge.make({ delay: "2 millis" })
      assert.strictEqual(yield* hedge.run((ordinal) => (ordinal === 0 ? Effect.never : Effect.succeed(ordinal))), 1)
    })
  )

  it("an option out of range is refused, by its name and with what was got", () => {
    const refused = (options: Hedge.Options, message: string) =>
      assert.throws(() => Hedge.make(options), RangeError, message)
    refused({ delay: 0 }, "Hedge: delay must be longer than zero and finite, got 0")
    refused({ delay: Infinity }, "Hedge: delay must be longer than zero and finite, got Infinity")
    refused({ maximumExtraLoad: 0 }, "Hedge: maximumExtraLoad must be between 0.001 and 1, got 0")
    refused({ maximumExtraLoad: 1.1 }, "Hedge: maximumExtraLoad must be between 0.001 and 1, got 1.1")
    refused({ burst: 0.5 }, "Hedge: burst must be between 1 and 1000000, got 0.5")
    refused({ maxHedges: 0 }, "Hedge: maxHedges must be a whole number between 1 and 10, got 0")
    refused({ maxHedges: 1.5 }, "Hedge: maxHedges must be a whole number between 1 and 10, got 1.5")
    refused({ minimumSamples: 0 }, "Hedge: minimumSamples must be a whole number between 1 and 1000000, got 0")
    refused({ window: "10 millis" }, "Hedge: window (milliseconds) must be between 1000 and 3600000, got 10")
    refused({ refresh: 0 }, "Hedge: refresh must be longer than zero and finite, got 0")
    refused({ minimumDelay: 0 }, "Hedge: minimumDelay (milliseconds) must be between 1 and 60000, got 0")
    refused(
      { maximumExtraLoad: 0.01, minimumSamples: 99 },
      "Hedge: 99 samples cannot tell the quantile 0.99 from the maximum; minimumSamples must be at least 100 for a maximumExtraLoad of 0.01"
    )
    assert.doesNotThrow(() => Hedge.make({ maximumExtraLoad: 0.001 }))
    assert.doesNotThrow(() => Hedge.make({ delay: 5, maximumExtraLoad: 0.01, minimumSamples: 1 }))
  })
})

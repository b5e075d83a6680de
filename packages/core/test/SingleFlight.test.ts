import { Cause, Clock, Context, Deferred, Duration, Effect, Exit, Fiber } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as Deadline from "../src/Deadline.ts"
import * as Reason from "../src/Reason.ts"
import * as SingleFlight from "../src/SingleFlight.ts"
import { countingClock, sleepers } from "./support/countingClock.ts"

/** A run of 100 ms, and how often it was started, ended and interrupted. */
const counted = (result: Effect.Effect<string, string> = Effect.succeed("answer")) => {
  const counts = { started: 0, ended: 0, interrupted: 0 }
  const effect = Effect.suspend(() => {
    counts.started++
    return Effect.delay(result, 100)
  }).pipe(
    Effect.onExit((exit) =>
      Effect.sync(
        () => void (Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause) ? counts.interrupted++ : counts.ended++)
      )
    )
  )
  return { counts, effect }
}

const make = (options?: SingleFlight.Options) => SingleFlight.make<string, string, string>(options)

const listening = (flights: SingleFlight.SingleFlight<string, string, string>) => {
  const events: Array<SingleFlight.Event<string>> = []
  flights.events.subscribe((event) => events.push(event))
  return events
}

const nothing = { inFlight: 0, waiting: 0 }

class Greeting extends Context.Service<Greeting, string>()("test/Greeting") {}

describe("SingleFlight", () => {
  it.effect("concurrent calls with one key share one run; other keys have their own", () =>
    Effect.gen(function* () {
      const flights = make()
      const { counts, effect } = counted()
      const fibers = yield* Effect.forEach(["a", "a", "b", "a"], (key) =>
        Effect.forkChild(flights.run(effect, { key }))
      )
      yield* TestClock.adjust("50 millis")
      assert.deepInclude(yield* flights.snapshot, { inFlight: 2, waiting: 4, runs: 2, joined: 2 })
      yield* TestClock.adjust("50 millis")
      assert.deepStrictEqual(yield* Fiber.joinAll(fibers), ["answer", "answer", "answer", "answer"])
      assert.deepStrictEqual(counts, { started: 2, ended: 2, interrupted: 0 })
      assert.deepInclude(yield* flights.snapshot, nothing)
    })
  )

  it.effect.each([
    { from: "enforce", to: "enforce", runs: 1 },
    { from: "enforce", to: "observe", runs: 2 },
    { from: "observe", to: "enforce", runs: 2 }
  ] as const)("made of a living one, from $from to $to, a call that it has makes $runs", ({ from, runs, to }) =>
    Effect.gen(function* () {
      const living = make({ mode: from, maxCallers: 1 })
      const { counts, effect } = counted()
      const first = yield* Effect.forkChild(living.run(effect, { key: "key" }))
      yield* TestClock.adjust("50 millis")
      // the new one's bound counts
      const next = SingleFlight.make<string, string, string>({ mode: to, maxCallers: 2 }, living)
      const second = yield* Effect.forkChild(next.run(effect, { key: "key" }))
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(yield* Fiber.joinAll([first, second]), ["answer", "answer"])
      assert.strictEqual(counts.started, runs)
      assert.deepInclude(yield* next.snapshot, nothing)
    })
  )

  it.effect("nothing is kept after the end: the next call runs anew, after a success and after a failure", () =>
    Effect.gen(function* () {
      const flights = make()
      for (const result of [Effect.succeed("answer"), Effect.fail("down")]) {
        const { counts, effect } = counted(result)
        for (let call = 0; call < 2; call++) {
          const fiber = yield* Effect.forkChild(Effect.exit(flights.run(effect, { key: "key" })))
          yield* TestClock.adjust("100 millis")
          yield* Fiber.join(fiber)
        }
        assert.strictEqual(counts.started, 2)
      }
      assert.deepInclude(yield* flights.snapshot, nothing)
    })
  )

  it.effect("a failure, a defect and an interruption from inside reach every caller", () =>
    Effect.gen(function* () {
      const flights = make()
      for (const result of [Effect.fail("down"), Effect.die("bug"), Effect.interrupt]) {
        const { effect } = counted(result)
        const fibers = yield* Effect.forEach([1, 2], () => Effect.forkChild(flights.run(effect, { key: "key" })))
        yield* TestClock.adjust("100 millis")
        const expected = yield* Effect.exit(result)
        for (const fiber of fibers) {
          const exit = yield* Fiber.await(fiber)
          if (result === Effect.interrupt) assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
          else assert.deepStrictEqual(exit, expected)
        }
        assert.deepInclude(yield* flights.snapshot, nothing)
      }
      assert.strictEqual((yield* flights.snapshot).abandoned, 0)
    })
  )

  it.effect("what this side refused is for the first caller alone: each other starts anew or joins who does", () =>
    Effect.gen(function* () {
      for (const refusal of [
        new Reason.BulkheadFull({ detail: "full" }),
        new Reason.PoolExhausted({ endpoint: "stock:443", connections: 1, queued: 0 }),
        new Reason.DeadlineExceeded({ budget: Duration.seconds(1) })
      ]) {
        const flights = SingleFlight.make<string, string, Reason.Reason>()
        let runs = 0
        const run = Effect.suspend(() =>
          Effect.delay(++runs <= 2 ? Effect.fail(refusal) : Effect.succeed("answer"), "1 second")
        )
        const fibers = yield* Effect.forEach([1, 2, 3, 4], () =>
          Effect.forkChild(
            Effect.match(flights.run(run, { key: "key" }), { onFailure: ({ _tag }) => _tag, onSuccess: String })
          )
        )
        yield* TestClock.adjust("3 seconds")
        assert.deepStrictEqual(yield* Fiber.joinAll(fibers), [refusal._tag, refusal._tag, "answer", "answer"])
        assert.strictEqual(runs, 3)
        assert.deepInclude(yield* flights.snapshot, nothing)
      }
    })
  )

  it.effect("a joined deadline bounds those who join, and not the one who starts the run", () =>
    Effect.gen(function* () {
      const flights = SingleFlight.make<string, string>()
      const joinedDeadline = { atMillis: Deadline.nowMillisUnsafe(yield* Clock.Clock) + 50, budgetMillis: 50 }
      const call = Effect.exit(flights.run(Effect.delay(Effect.succeed("answer"), 100), { key: "key", joinedDeadline }))
      const first = yield* Effect.forkChild(call)
      const second = yield* Effect.forkChild(call)
      yield* TestClock.adjust("100 millis")
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(first)))
      assert.isTrue(Exit.isFailure(yield* Fiber.join(second)))
    })
  )

  it.effect("a caller that is interrupted hurts nobody, the first one neither", () =>
    Effect.gen(function* () {
      const flights = make()
      const { counts, effect } = counted()
      const first = yield* Effect.forkChild(flights.run(effect, { key: "key" }))
      yield* TestClock.adjust("10 millis")
      const second = yield* Effect.forkChild(flights.run(effect, { key: "key" }))
      yield* TestClock.adjust("10 millis")
      yield* Fiber.interrupt(first)
      assert.deepInclude(yield* flights.snapshot, { inFlight: 1, waiting: 1 })
      yield* TestClock.adjust("80 millis")
      assert.strictEqual(yield* Fiber.join(second), "answer")
      assert.deepStrictEqual(counts, { started: 1, ended: 1, interrupted: 0 })
    })
  )

  it.effect("the last caller to leave interrupts the run, and waits for its finalizers", () =>
    Effect.gen(function* () {
      const flights = make()
      const closing = yield* Deferred.make<void>()
      const effect = Effect.onInterrupt(Effect.never, () => Deferred.await(closing))
      const first = yield* Effect.forkChild(flights.run(effect, { key: "key" }))
      const second = yield* Effect.forkChild(flights.run(effect, { key: "key" }))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(second)
      const interruption = yield* Effect.forkChild(Fiber.interrupt(first))
      yield* TestClock.adjust(0)
      assert.isUndefined(interruption.pollUnsafe(), "it did not wait for the finalizer")
      assert.deepInclude(yield* flights.snapshot, { ...nothing, abandoned: 1 })
      yield* Deferred.succeed(closing, undefined)
      yield* Fiber.join(interruption)
    })
  )

  it.effect("who comes while an abandoned run is being interrupted starts anew", () =>
    Effect.gen(function* () {
      const flights = make()
      const closing = yield* Deferred.make<void>()
      const first = yield* Effect.forkChild(
        flights.run(
          Effect.onInterrupt(Effect.never, () => Deferred.await(closing)),
          { key: "key" }
        )
      )
      yield* TestClock.adjust(0)
      const interruption = yield* Effect.forkChild(Fiber.interrupt(first))
      yield* TestClock.adjust(0)
      const next = yield* Effect.forkChild(flights.run(counted().effect, { key: "key" }))
      yield* TestClock.adjust("50 millis")
      yield* Deferred.succeed(closing, undefined)
      yield* Fiber.join(interruption)
      // the end of the old run must not have taken the new one away
      assert.deepInclude(yield* flights.snapshot, { inFlight: 1, waiting: 1, runs: 2 })
      yield* TestClock.adjust("50 millis")
      assert.strictEqual(yield* Fiber.join(next), "answer")
    })
  )

  it.effect("whenever callers are interrupted, no run and no timer is left", () =>
    Effect.gen(function* () {
      for (const [firstAt, secondAt] of [
        [0, 0],
        [0, 10],
        [10, 0],
        [50, 100],
        [100, 50],
        [99, 99]
      ] as const) {
        sleepers.now = 0
        const flights = make()
        const { counts, effect } = counted()
        const bounded = flights.run(effect, { key: "key" }).pipe(Deadline.within("1 second"))
        const leaving = (at: number) => Effect.forkChild(Effect.timeoutOption(bounded, at))
        const first = yield* leaving(firstAt)
        const second = yield* leaving(secondAt)
        yield* TestClock.adjust("200 millis")
        yield* Fiber.await(first)
        yield* Fiber.await(second)
        assert.strictEqual(counts.started, counts.ended + counts.interrupted)
        assert.strictEqual(sleepers.now, 0)
        assert.deepInclude(yield* flights.snapshot, nothing)
      }
    }).pipe(Effect.provide(countingClock))
  )

  it.effect("each caller waits within its own deadline; the run has none", () =>
    Effect.gen(function* () {
      const flights = SingleFlight.make<string, string>()
      const seen: Array<Duration.Duration | undefined> = []
      const effect = Effect.gen(function* () {
        seen.push(yield* Deadline.remaining)
        return yield* Effect.delay(Effect.succeed("answer"), 100)
      })
      const hurried = yield* Effect.forkChild(
        Effect.flip(flights.run(effect, { key: "key" })).pipe(Deadline.within("30 millis"))
      )
      const patient = yield* Effect.forkChild(flights.run(effect, { key: "key" }).pipe(Deadline.within("1 second")))
      yield* TestClock.adjust("30 millis")
      assert.deepStrictEqual(yield* Fiber.join(hurried), new Reason.DeadlineExceeded({ budget: Duration.millis(30) }))
      yield* TestClock.adjust("70 millis")
      assert.strictEqual(yield* Fiber.join(patient), "answer")
      assert.deepStrictEqual(seen, [undefined])
    })
  )

  it.effect("the last caller whose deadline passes ends the run", () =>
    Effect.gen(function* () {
      const flights = make()
      const { counts, effect } = counted()
      const fiber = yield* Effect.forkChild(
        Effect.flip(flights.run(effect, { key: "key" })).pipe(Deadline.within("30 millis"))
      )
      yield* TestClock.adjust("30 millis")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(counts, { started: 1, ended: 0, interrupted: 1 })
      assert.deepInclude(yield* flights.snapshot, { ...nothing, abandoned: 1 })
    })
  )

  it.effect("with no time left nothing is started or joined", () =>
    Effect.gen(function* () {
      const flights = make()
      const { counts, effect } = counted()
      const late = Effect.andThen(Effect.sleep("1 second"), Effect.flip(flights.run(effect, { key: "key" })))
      const fiber = yield* Effect.forkChild(late.pipe(Deadline.within("1 second")))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(fiber), new Reason.DeadlineExceeded({ budget: Duration.seconds(1) }))
      assert.strictEqual(counts.started, 0)
      assert.deepInclude(yield* flights.snapshot, { ...nothing, runs: 0, joined: 0 })
    })
  )

  it.effect("the run has the first caller's services", () =>
    Effect.gen(function* () {
      const flights = make()
      const effect = Effect.delay(Greeting, 100)
      const first = yield* Effect.forkChild(
        Effect.provideService(flights.run(effect, { key: "key" }), Greeting, "first")
      )
      const second = yield* Effect.forkChild(
        Effect.provideService(flights.run(effect, { key: "key" }), Greeting, "second")
      )
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], ["first", "first"])
    })
  )

  it.effect("one caller more than may wait is refused, and changes nothing for those who do", () =>
    Effect.gen(function* () {
      const flights = make({ maxCallers: 2 })
      const { counts, effect } = counted()
      const fibers = yield* Effect.forEach([1, 2], () => Effect.forkChild(flights.run(effect, { key: "key" })))
      yield* TestClock.adjust("10 millis")
      const refusal = yield* Effect.flip(flights.run(effect, { key: "key" }))
      assert.deepStrictEqual(refusal, new Reason.BulkheadFull({ detail: "2 callers wait for the same run already" }))
      yield* TestClock.adjust("90 millis")
      yield* Fiber.joinAll(fibers)
      assert.strictEqual(counts.started, 1)
      assert.deepInclude(yield* flights.snapshot, { ...nothing, refused: 1 })
    })
  )

  it.effect("a call from inside the run, also from a fiber of it, does not wait for itself", () =>
    Effect.gen(function* () {
      const flights = SingleFlight.make<string, string, Reason.DeadlineExceeded | Reason.BulkheadFull>()
      const inner = flights.run(Effect.succeed("inner"), { key: "key" })
      assert.strictEqual(yield* flights.run(inner, { key: "key" }), "inner")
      const forked = Effect.flatMap(Effect.forkChild(inner), Fiber.join)
      assert.strictEqual(yield* flights.run(forked, { key: "key" }), "inner")
      const between = flights.run(inner, { key: "other" })
      assert.strictEqual(yield* flights.run(between, { key: "key" }), "inner")
      assert.deepInclude(yield* flights.snapshot, nothing)
    })
  )

  it.effect("a run that ends at once leaves nothing, and a thrown error is its defect", () =>
    Effect.gen(function* () {
      const flights = make()
      assert.strictEqual(yield* flights.run(Effect.succeed("now"), { key: "key" }), "now")
      const exit = yield* Effect.exit(
        flights.run(
          Effect.suspend((): Effect.Effect<string> => {
            throw new Error("bug")
          }),
          { key: "key" }
        )
      )
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.deepInclude(yield* flights.snapshot, nothing)
    })
  )

  it.effect("events tell who started, who joined, who was refused, and how it ended", () =>
    Effect.gen(function* () {
      const flights = make({ maxCallers: 2 })
      const events = listening(flights)
      const { effect } = counted()
      const first = yield* Effect.forkChild(flights.run(effect, { key: "key" }))
      const second = yield* Effect.forkChild(flights.run(effect, { key: "key" }))
      yield* TestClock.adjust(0)
      yield* Effect.flip(flights.run(effect, { key: "key" }))
      yield* TestClock.adjust("100 millis")
      yield* Fiber.joinAll([first, second])
      yield* Effect.flip(flights.run(Effect.fail("down"), { key: "key" }))
      const left = yield* Effect.forkChild(flights.run(Effect.never, { key: "key" }))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(left)
      assert.deepStrictEqual(events, [
        { _tag: "RunStarted", key: "key" },
        { _tag: "CallerJoined", key: "key", callers: 2 },
        { _tag: "CallerRefused", key: "key", callers: 2 },
        { _tag: "RunEnded", key: "key", callers: 2, end: "success" },
        { _tag: "RunStarted", key: "key" },
        { _tag: "RunEnded", key: "key", callers: 1, end: "failure" },
        { _tag: "RunStarted", key: "key" },
        { _tag: "RunEnded", key: "key", callers: 0, end: "interrupted" }
      ])
    })
  )

  it.effect("observe counts what would be shared, and lets every call run by itself", () =>
    Effect.gen(function* () {
      const flights = make({ mode: "observe", maxCallers: 1 })
      const events = listening(flights)
      const { counts, effect } = counted()
      const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(flights.run(effect, { key: "key" })))
      yield* TestClock.adjust("50 millis")
      assert.deepInclude(yield* flights.snapshot, { inFlight: 1, waiting: 3, runs: 1, joined: 2, refused: 0 })
      yield* TestClock.adjust("50 millis")
      yield* Fiber.joinAll(fibers)
      assert.strictEqual(counts.started, 3)
      assert.deepInclude(yield* flights.snapshot, nothing)
      assert.strictEqual(events.at(-1)?._tag, "RunEnded")
      const left = yield* Effect.forkChild(flights.run(effect, { key: "key" }))
      yield* TestClock.adjust("50 millis")
      yield* Fiber.interrupt(left)
      assert.deepInclude(yield* flights.snapshot, { ...nothing, abandoned: 1 })
    })
  )

  it.effect("off is not there, and a snapshot changes nothing", () =>
    Effect.gen(function* () {
      const flights = make({ mode: "off" })
      const { counts, effect } = counted()
      const fibers = yield* Effect.forEach([1, 2], () => Effect.forkChild(flights.run(effect, { key: "key" })))
      yield* TestClock.adjust("100 millis")
      yield* Fiber.joinAll(fibers)
      assert.strictEqual(counts.started, 2)
      const before = yield* flights.snapshot
      assert.deepStrictEqual(before, { ...nothing, runs: 0, joined: 0, abandoned: 0, refused: 0 })
      assert.deepStrictEqual(yield* flights.snapshot, before)
    })
  )

  it("an option out of range is refused, by its name and with what was got", () => {
    for (const maxCallers of [0, 1.5, -1, Number.NaN]) {
      assert.throws(
        () => make({ maxCallers }),
        RangeError,
        `SingleFlight: maxCallers must be a whole number of at least 1, got ${maxCallers}`
      )
    }
    assert.doesNotThrow(() => make({ maxCallers: 1 }))
  })
})

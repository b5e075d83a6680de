import { Cause, Clock, Context, Deferred, Duration, Effect, Exit, Fiber } from "effect"
import { assert, describe, it, vi } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as AttemptTimeout from "../src/AttemptTimeout.ts"
import * as Deadline from "../src/Deadline.ts"
import * as Reason from "../src/Reason.ts"
import { countingClock, sleepers } from "./support/countingClock.ts"

class Greeting extends Context.Service<Greeting, string>()("test/Greeting") {}

describe("AttemptTimeout", () => {
  it.effect("an attempt that takes longer than its limit fails at the limit, and names it", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.never.pipe(
        AttemptTimeout.run(AttemptTimeout.make({ limit: "2 seconds" })),
        Effect.flip,
        Effect.forkChild
      )
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(fiber), new Reason.AttemptTimeout({ limit: Duration.seconds(2) }))
    })
  )

  it.effect("a deadline that comes before the limit is what is named, with the time that there was", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.delay(
        Effect.flip(AttemptTimeout.run(AttemptTimeout.make({ limit: "4 seconds" }))(Effect.never)),
        "1 second"
      ).pipe(Deadline.within("3 seconds"), Effect.forkChild)
      yield* TestClock.adjust("2999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(fiber), new Reason.DeadlineExceeded({ budget: Duration.seconds(3) }))
    })
  )

  it.effect("when limit and deadline come together it is the deadline: another try would not help", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.never.pipe(
        AttemptTimeout.run(AttemptTimeout.make({ limit: "2 seconds" })),
        Deadline.within("2 seconds"),
        Effect.flip,
        Effect.forkChild
      )
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "DeadlineExceeded")
    })
  )

  it.effect("a limit before the deadline is the attempt's timeout", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.never.pipe(
        AttemptTimeout.run(AttemptTimeout.make({ limit: "2 seconds" })),
        Deadline.within("2001 millis"),
        Effect.flip,
        Effect.forkChild
      )
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "AttemptTimeout")
    })
  )

  it.effect("a deadline that is given goes before the ambient one", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.never.pipe(
        AttemptTimeout.run(AttemptTimeout.make(), { deadline: { atMillis: 5000, budgetMillis: 5000 } }),
        Deadline.within("1 second"),
        Effect.flip,
        Effect.forkChild
      )
      yield* TestClock.adjust("4 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "DeadlineExceeded")
    })
  )

  it.effect("with no time left the effect is not run", () =>
    Effect.gen(function* () {
      let runs = 0
      const attempt = AttemptTimeout.run(AttemptTimeout.make({ limit: "2 seconds" }))(Effect.sync(() => ++runs))
      const late = Effect.andThen(Effect.sleep("1 second"), Effect.flip(attempt))
      const fiber = yield* Effect.forkChild(late.pipe(Deadline.within("1 second")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "DeadlineExceeded")
      assert.strictEqual(runs, 0)
    })
  )

  it.effect("without a limit and a deadline the effect is run as it is", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(
        AttemptTimeout.run(AttemptTimeout.make())(Effect.delay(Effect.succeed("done"), "100 days"))
      )
      yield* TestClock.adjust("100 days")
      assert.strictEqual(yield* Fiber.join(fiber), "done")
    })
  )

  it.effect("what is timed out is interrupted, and its finalizer is waited for", () =>
    Effect.gen(function* () {
      const events: Array<string> = []
      const attempt = Effect.never.pipe(
        Effect.onInterrupt(() =>
          Effect.delay(
            Effect.sync(() => events.push("closed")),
            "3 seconds"
          )
        )
      )
      const fiber = yield* Effect.forkChild(
        Effect.flip(AttemptTimeout.run(AttemptTimeout.make({ limit: "1 second" }))(attempt))
      )
      yield* TestClock.adjust("3999 millis")
      assert.deepStrictEqual(events, [])
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(events, ["closed"])
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "AttemptTimeout")
    })
  )

  it.effect(
    "an interruption from outside interrupts the effect, waits for its finalizer, and stays an interruption",
    () =>
      Effect.gen(function* () {
        const events: Array<string> = []
        const closing = yield* Deferred.make<void>()
        const attempt = Effect.never.pipe(
          Effect.onInterrupt(() =>
            Effect.andThen(
              Deferred.await(closing),
              Effect.sync(() => events.push("closed"))
            )
          )
        )
        const fiber = yield* Effect.forkChild(AttemptTimeout.run(AttemptTimeout.make({ limit: "1 second" }))(attempt))
        yield* TestClock.adjust(0)
        const interruption = yield* Effect.forkChild(Fiber.interrupt(fiber))
        yield* TestClock.adjust(0)
        assert.isUndefined(interruption.pollUnsafe(), "it did not wait for the finalizer")
        yield* Deferred.succeed(closing, undefined)
        yield* Fiber.join(interruption)
        assert.deepStrictEqual(events, ["closed"])
        const exit = yield* Fiber.await(fiber)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      })
  )

  it.effect("a success just before the limit is a success, and leaves no timer", () =>
    Effect.gen(function* () {
      sleepers.now = 0
      const attempt = Effect.delay(Effect.succeed("done"), "1999 millis")
      const fiber = yield* Effect.forkChild(AttemptTimeout.run(AttemptTimeout.make({ limit: "2 seconds" }))(attempt))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(sleepers.now, 2, "the attempt and its limit")
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "done")
      assert.strictEqual(sleepers.now, 0)
    }).pipe(Effect.provide(countingClock))
  )

  it.effect("no timer is left by a failure, an immediate success, an interruption, nor by a timeout", () =>
    Effect.gen(function* () {
      sleepers.now = 0
      const within = AttemptTimeout.run(AttemptTimeout.make({ limit: "2 seconds" }))
      yield* within(Effect.succeed("done"))
      assert.strictEqual(sleepers.now, 0)
      yield* Effect.flip(within(Effect.fail("no")))
      assert.strictEqual(sleepers.now, 0)
      const interrupted = yield* Effect.forkChild(within(Effect.never))
      yield* TestClock.adjust(0)
      assert.strictEqual(sleepers.now, 1)
      yield* Fiber.interrupt(interrupted)
      assert.strictEqual(sleepers.now, 0)
      const late = yield* Effect.forkChild(Effect.flip(within(Effect.never)))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(late)
      assert.strictEqual(sleepers.now, 0)
    }).pipe(Effect.provide(countingClock))
  )

  it.effect("an interruption stops the timer at once, however long the effect's finalizer takes", () =>
    Effect.gen(function* () {
      sleepers.now = 0
      const closing = yield* Deferred.make<void>()
      const attempt = Effect.onInterrupt(Effect.never, () => Deferred.await(closing))
      const fiber = yield* Effect.forkChild(AttemptTimeout.run(AttemptTimeout.make({ limit: "2 seconds" }))(attempt))
      yield* TestClock.adjust(0)
      const interruption = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* TestClock.adjust(0)
      assert.strictEqual(sleepers.now, 0)
      yield* Deferred.succeed(closing, undefined)
      yield* Fiber.join(interruption)
    }).pipe(Effect.provide(countingClock))
  )

  it.effect("a failure and a defect of the effect pass through unchanged", () =>
    Effect.gen(function* () {
      const within = AttemptTimeout.run(AttemptTimeout.make({ limit: "2 seconds" }))
      const failure = { reason: "mine" }
      assert.strictEqual(yield* Effect.flip(within(Effect.fail(failure))), failure)
      assert.deepStrictEqual(yield* Effect.exit(within(Effect.die("bug"))), Exit.die("bug"))
    })
  )

  it.effect("services and references of the caller are seen inside", () =>
    Effect.gen(function* () {
      const inside = Effect.all({ greeting: Greeting, left: Deadline.remaining })
      const { greeting, left } = yield* inside.pipe(
        AttemptTimeout.run(AttemptTimeout.make({ limit: "2 seconds" })),
        Effect.provideService(Greeting, "hello"),
        Deadline.within("7 seconds")
      )
      assert.strictEqual(greeting, "hello")
      assert.strictEqual(left === undefined ? undefined : Duration.toSeconds(left), 7)
    })
  )

  it.live("under the platform's clock the limit is kept too", () =>
    Effect.gen(function* () {
      const reason = yield* Effect.flip(AttemptTimeout.run(AttemptTimeout.make({ limit: "5 millis" }))(Effect.never))
      assert.strictEqual(reason.message, "the attempt was not finished within 5ms")
    })
  )

  it.live("under the platform's clock a limit is a bare timer, and no fiber that sleeps", () =>
    Effect.gen(function* () {
      const sleep = vi.spyOn(yield* Clock.Clock, "sleep")
      yield* Effect.flip(AttemptTimeout.run(AttemptTimeout.make({ limit: "5 millis" }))(Effect.never))
      const sleeps = sleep.mock.calls.length
      sleep.mockRestore()
      assert.strictEqual(sleeps, 0)
    })
  )

  it.live("a limit longer than a platform timer can wait does not fire at once", () =>
    Effect.gen(function* () {
      const within = AttemptTimeout.run(AttemptTimeout.make({ limit: "30 days" }))
      assert.strictEqual(yield* within(Effect.delay(Effect.succeed("done"), "5 millis")), "done")
    })
  )

  it.effect("a fixed limit tells what it cut; in observe, what it would have, and it cuts nothing", () =>
    Effect.gen(function* () {
      const limit = Duration.seconds(2)
      for (const mode of ["enforce", "observe", "off"] as const) {
        const timeout = AttemptTimeout.make({ limit, mode })
        const events: Array<AttemptTimeout.Event> = []
        timeout.events.subscribe((event) => events.push(event))
        const fast = yield* Effect.forkChild(Effect.sleep("1 second").pipe(AttemptTimeout.run(timeout)))
        const slow = yield* Effect.forkChild(Effect.exit(Effect.sleep("3 seconds").pipe(AttemptTimeout.run(timeout))))
        yield* TestClock.adjust("3 seconds")
        yield* Fiber.join(fast)
        assert.strictEqual((yield* Fiber.join(slow))._tag, mode === "enforce" ? "Failure" : "Success")
        assert.deepStrictEqual(
          events,
          mode === "off"
            ? []
            : [
                mode === "enforce"
                  ? { _tag: "TimedOut", limit, elapsed: limit, observed: false }
                  : { _tag: "TimedOut", limit, elapsed: Duration.seconds(3), observed: true }
              ]
        )
        assert.deepStrictEqual(yield* timeout.snapshot, {
          limit: mode === "enforce" ? limit : Duration.infinity,
          learned: undefined,
          samples: 0,
          timedOut: events.length
        })
      }
    })
  )

  it("a limit that is not longer than zero is refused", () => {
    assert.throws(
      () => AttemptTimeout.make({ limit: 0 }),
      RangeError,
      "AttemptTimeout: limit must be longer than zero, got 0"
    )
    assert.throws(
      () => AttemptTimeout.make({ limit: Number.NaN }),
      RangeError,
      'AttemptTimeout: limit must be a time, such as "2 seconds", got NaN'
    )
  })

  it.effect("a deadline is met at its instant, whatever fraction of a millisecond the attempt began at", () =>
    Effect.gen(function* () {
      for (let round = 1; round < 1000; round++) {
        const waits = [(round * 0.713) % 97, (round * 1.377) % 197, (round * 0.0931) % 7]
        const call = Effect.andThen(
          Effect.forEach(waits, (wait) => Effect.sleep(wait)),
          Effect.never.pipe(AttemptTimeout.run(AttemptTimeout.make()))
        ).pipe(Deadline.within("1 second"))
        const fiber = yield* Effect.forkChild(Effect.exit(call))
        yield* TestClock.adjust("1 second")
        assert.isDefined(fiber.pollUnsafe(), `begun after ${waits.join(" + ")} ms`)
      }
    })
  )
})

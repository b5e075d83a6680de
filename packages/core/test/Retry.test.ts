import { Arbitrary, Cause, Clock, Deferred, Duration, Effect, Exit, Fiber, Random, Schedule, Schema } from "effect"
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as Deadline from "../src/Deadline.ts"
import * as Outcome from "../src/Outcome.ts"
import * as Reason from "../src/Reason.ts"
import * as Retry from "../src/Retry.ts"
import * as RetryBudget from "../src/RetryBudget.ts"

interface Trouble {
  readonly name: string
  readonly outcome: Outcome.Failure
}

const transient = Outcome.failure({ cause: "transient" })

const trouble = (name: string, outcome: Outcome.Failure = transient): Trouble => ({ name, outcome })

const failing = (name: string, outcome?: Outcome.Failure) => Effect.fail(trouble(name, outcome))

interface Given extends Retry.Options {
  readonly budget?: RetryBudget.RetryBudget
  readonly replayable?: (outcome: Outcome.Failure) => boolean
  readonly onRetry?: (error: Trouble, scheduled: Retry.Scheduled) => Effect.Effect<unknown>
}

/** A loop over attempts that are given one by one (the last repeats), and the instants at which they were made. */
const playing = (steps: ReadonlyArray<Effect.Effect<string, Trouble>>, given: Given = {}) => {
  const madeAt: Array<number> = []
  const { budget, onRetry, replayable, ...options } = given
  const run = Retry.loop({
    retry: Retry.make({ schedule: Schedule.spaced("1 second"), ...options }),
    budget,
    replayable,
    onRetry,
    attempt: (resend) =>
      Effect.gen(function* () {
        assert.strictEqual(resend, madeAt.length)
        madeAt.push(yield* Clock.currentTimeMillis)
        return yield* steps[Math.min(resend, steps.length - 1)] ?? Effect.die("no step")
      }),
    classify: (error) => error.outcome,
    onGiveUp: (error, { attempts, outcome, stopped }) => {
      assert.strictEqual(outcome, error.outcome)
      return Effect.fail({ name: error.name, attempts, stopped })
    }
  })
  return { run, madeAt }
}

/** Runs to the end, with all the time that it wants. */
const finished = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect)
    yield* TestClock.adjust("1 hour")
    const exit = fiber.pollUnsafe()
    assert.isDefined(exit, "still running after an hour")
    return yield* Effect.flatten(Effect.succeed(exit ?? Exit.die("unreachable")))
  })

const constantly = (value: number) =>
  Effect.provideService(Random.Random, { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => value })

describe("Retry.loop", () => {
  it.effect("a success at first try is made once, and waits for nothing", () =>
    Effect.gen(function* () {
      const { madeAt, run } = playing([Effect.succeed("done")])
      assert.strictEqual(yield* run, "done")
      assert.deepStrictEqual(madeAt, [0])
    })
  )

  it.effect("attempts are counted once, whatever way they failed", () =>
    Effect.gen(function* () {
      const { madeAt, run } = playing(
        [
          failing("answered 503"),
          failing("timed out", Outcome.failure({ cause: "timeout" })),
          failing("answered 429", Outcome.failure({ cause: "throttle" })),
          failing("refused here", Outcome.failure({ cause: "refused", applied: "no" }))
        ],
        { maxAttempts: 4 }
      )
      assert.deepStrictEqual(yield* Effect.flip(finished(run)), {
        name: "refused here",
        attempts: 4,
        stopped: "attempts"
      })
      assert.deepStrictEqual(madeAt, [0, 1000, 2000, 3000])
    })
  )

  it.effect("three attempts are made when nothing is said", () =>
    Effect.gen(function* () {
      const { madeAt, run } = playing([failing("down")])
      assert.deepInclude(yield* Effect.flip(finished(run)), { attempts: 3, stopped: "attempts" })
      assert.strictEqual(madeAt.length, 3)
    })
  )

  const stale = Outcome.failure({ cause: "stale" })

  it.effect("a stale attempt is made again at once: unpaid, not counted, and fresh", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make({ ratio: 0, minimumPerSecond: 0 })
      const told: Array<unknown> = []
      const asked: Array<boolean> = []
      const run = Retry.loop({
        retry: Retry.make({ maxAttempts: 1, schedule: Schedule.spaced("1 hour") }),
        budget,
        attempt: (resend, isFresh) => {
          asked.push(isFresh)
          return resend === 0 ? failing("ended", stale) : Effect.succeed(`resend ${resend}`)
        },
        classify: (error) => error.outcome,
        onRetry: (_, { attempts, delay, isFresh }) =>
          Effect.sync(() => void told.push([attempts, Duration.toMillis(delay), isFresh])),
        onGiveUp: (error) => Effect.fail(error)
      })
      assert.strictEqual(yield* run, "resend 1")
      assert.deepStrictEqual(asked, [false, true])
      assert.deepStrictEqual(told, [[1, 0, true]])
      assert.deepInclude(yield* budget.snapshot, { granted: 0, refused: 0, callsInFlight: 0, retriesInFlight: 0 })
    })
  )

  it.effect("a fresh attempt that is called stale all the same is a transient failure", () =>
    Effect.gen(function* () {
      const seen: Array<Outcome.FailureCause> = []
      const schedule = Schedule.spaced("1 second").pipe(
        Schedule.setInputType<Outcome.Failure>(),
        Schedule.tap(({ input }) => Effect.sync(() => seen.push(input.cause)))
      )
      const run = Retry.loop({
        retry: Retry.make({ maxAttempts: 2, schedule }),
        attempt: () => failing("ended", stale),
        classify: (error) => error.outcome,
        onGiveUp: (_, { attempts, outcome, stopped }) => Effect.fail([attempts, outcome.cause, stopped])
      })
      assert.deepStrictEqual(yield* Effect.flip(finished(run)), [4, "transient", "attempts"])
      assert.deepStrictEqual(seen, ["transient"])
    })
  )

  it.effect("a stale attempt is not made again when it may not be, or when its deadline has passed", () =>
    Effect.gen(function* () {
      const once = playing([failing("ended", stale)], { replayable: () => false })
      assert.deepInclude(yield* Effect.flip(once.run), { attempts: 1, stopped: "not-replayable" })
      const final = playing([failing("ended", { ...stale, retryable: false })])
      assert.deepInclude(yield* Effect.flip(final.run), { attempts: 1, stopped: "not-retryable" })
      const slow = playing([Effect.delay(failing("ended", stale), "2 seconds")])
      assert.deepInclude(yield* Effect.flip(finished(slow.run.pipe(Deadline.within("2 seconds")))), {
        attempts: 1,
        stopped: "deadline"
      })
    })
  )

  it.effect("what replaces a stale retry keeps the retry's place in the budget, and no more", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make()
      const steps = [failing("down"), failing("ended", stale), Effect.never]
      const { madeAt, run } = playing(steps, { budget })
      const fiber = yield* Effect.forkChild(run)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(madeAt, [0, 1000, 1000])
      assert.deepInclude(yield* budget.snapshot, { granted: 1, retriesInFlight: 1 })
      yield* Fiber.interrupt(fiber)
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0 })
    })
  )

  it.effect("a classifier that gives no failure is a bug that is told, and nothing is kept", () =>
    Effect.gen(function* () {
      const flawed: ReadonlyArray<readonly [unknown, string]> = [
        [undefined, "got undefined"],
        [Promise.resolve(), "got a promise"],
        [{ cause: "transient" }, "got an object without _tag"],
        [{ ...transient, cause: "sulking" }, 'the cause "sulking"'],
        [{ ...transient, retryable: "yes" }, 'retryable "yes"'],
        [{ ...transient, applied: undefined }, "applied undefined"],
        [{ ...transient, retryAfter: 5 }, "retryAfter 5"],
        [Outcome.success, "got Success"]
      ]
      for (const [given, said] of flawed) {
        const budget = RetryBudget.make()
        const run = Retry.loop({
          retry: Retry.make(),
          budget,
          attempt: () => Effect.fail("down"),
          // what a program without types may give
          classify: () => given as Outcome.Failure,
          onGiveUp: () => Effect.fail("gave up")
        })
        const exit = yield* Effect.exit(run)
        assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", said)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0 })
      }
    })
  )

  it.effect("the end of the schedule is the end of the attempts", () =>
    Effect.gen(function* () {
      const { madeAt, run } = playing([failing("first"), failing("second")], {
        maxAttempts: 10,
        schedule: Schedule.recurs(1)
      })
      assert.deepStrictEqual(yield* Effect.flip(finished(run)), { name: "second", attempts: 2, stopped: "attempts" })
      assert.strictEqual(madeAt.length, 2)
    })
  )

  it.effect("the schedule sees the outcome of each failed attempt, and starts anew for each call", () =>
    Effect.gen(function* () {
      const seen: Array<Outcome.FailureCause> = []
      const schedule = Schedule.spaced("1 second").pipe(
        Schedule.setInputType<Outcome.Failure>(),
        Schedule.tap(({ input }) => Effect.sync(() => seen.push(input.cause))),
        Schedule.upTo({ times: 2 })
      )
      const given = { maxAttempts: 5, schedule }
      const steps = [failing("busy", Outcome.failure({ cause: "throttle" })), failing("down")]
      assert.deepInclude(yield* Effect.flip(finished(playing(steps, given).run)), { attempts: 3 })
      assert.deepStrictEqual(seen.slice(0, 2), ["throttle", "transient"])
      assert.deepInclude(yield* Effect.flip(finished(playing(steps, given).run)), { attempts: 3 })
    })
  )

  it.effect("a failure that is not retryable ends at once, before what cannot be replayed", () =>
    Effect.gen(function* () {
      const final = failing("wrong", Outcome.failure({ cause: "permanent" }))
      assert.deepStrictEqual(yield* Effect.flip(playing([final], { replayable: () => false }).run), {
        name: "wrong",
        attempts: 1,
        stopped: "not-retryable"
      })
    })
  )

  it.effect("what cannot be replayed ends at once, and is asked after each attempt anew", () =>
    Effect.gen(function* () {
      const asked: Array<Outcome.Failure> = []
      const { madeAt, run } = playing([failing("first"), failing("second")], {
        maxAttempts: 5,
        replayable: (outcome) => asked.push(outcome) < 2
      })
      assert.deepInclude(yield* Effect.flip(finished(run)), { name: "second", attempts: 2, stopped: "not-replayable" })
      assert.strictEqual(madeAt.length, 2)
    })
  )

  it.effect("a defect is a bug: it ends the loop at once, as it is", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make()
      const { madeAt, run } = playing([Effect.die("bug")], { budget })
      const exit = yield* Effect.exit(run)
      assert.deepStrictEqual(exit, Exit.die("bug"))
      assert.strictEqual(madeAt.length, 1)
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0, granted: 0, refused: 0 })
    })
  )

  it.effect("a defect beside a failure is a bug all the same: the loop does not hide it behind a retry", () =>
    Effect.gen(function* () {
      const both = Cause.combine(Cause.fail(trouble("down")), Cause.die("bug"))
      const { madeAt, run } = playing([Effect.failCause(both)])
      const exit = yield* Effect.exit(finished(run))
      assert.strictEqual(madeAt.length, 1)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    })
  )

  it.effect("an attempt that interrupts itself ends the loop as an interruption", () =>
    Effect.gen(function* () {
      const { madeAt, run } = playing([Effect.interrupt])
      const exit = yield* Effect.exit(run)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.strictEqual(madeAt.length, 1)
    })
  )

  it.effect(
    "an interruption beside a failure is the caller's will: it is all that is left, and nothing is retried",
    () =>
      Effect.gen(function* () {
        const both = Cause.combine(Cause.fail(trouble("down")), Cause.interrupt(7))
        const { madeAt, run } = playing([Effect.failCause(both)])
        const exit = yield* Effect.exit(finished(run))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
        assert.strictEqual(madeAt.length, 1)
      })
  )

  it.effect("interrupted in an attempt, no further attempt is made, and the places in the budget are given back", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make()
      const { madeAt, run } = playing([failing("down"), Effect.never], { budget })
      const fiber = yield* Effect.forkChild(run)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 1, retriesInFlight: 1 })
      yield* Fiber.interrupt(fiber)
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0 })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(madeAt.length, 2)
    })
  )

  it.effect("interrupted in the back-off, it returns at once, makes no further attempt, and gives its place back", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make()
      const { madeAt, run } = playing([failing("down")], { budget, schedule: Schedule.spaced("1 minute") })
      const fiber = yield* Effect.forkChild(run)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 1, granted: 1 })
      // no time passes here: an interruption that waited for the sleep would hang
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0 })
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(madeAt, [0])
    })
  )

  it.effect("the budget is asked before the sleep, and the last failure is what is left when it says no", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make({ ratio: 0, minimumPerSecond: 0.1 })
      const { madeAt, run } = playing([failing("first"), failing("second")], { budget, maxAttempts: 5 })
      const fiber = yield* Effect.forkChild(Effect.flip(run))
      yield* TestClock.adjust("1 second")
      // the one retry that the budget holds was made; the second was refused without a sleep
      assert.deepStrictEqual(yield* Fiber.join(fiber), { name: "second", attempts: 2, stopped: "budget" })
      assert.deepStrictEqual(madeAt, [0, 1000])
      assert.deepInclude(yield* budget.snapshot, { granted: 1, refused: 1, callsInFlight: 0, retriesInFlight: 0 })
    })
  )

  it.effect("what is stopped for another reason takes nothing from the budget", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make()
      const asked = Outcome.failure({ cause: "throttle", retryAfter: Duration.minutes(2) })
      yield* Effect.flip(playing([failing("x", Outcome.failure({ cause: "permanent" }))], { budget }).run)
      yield* Effect.flip(playing([failing("x")], { budget, replayable: () => false }).run)
      yield* Effect.flip(playing([failing("x")], { budget, maxAttempts: 1 }).run)
      yield* Effect.flip(playing([failing("x", asked)], { budget }).run)
      yield* Effect.flip(playing([failing("x")], { budget }).run.pipe(Deadline.within("1 second")))
      assert.deepInclude(yield* budget.snapshot, { granted: 0, refused: 0, callsInFlight: 0, retriesInFlight: 0 })
    })
  )

  it.effect("the cause of a failure decides what its retry costs", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make({ ratio: 0, minimumPerSecond: 1, costs: { throttle: 4 } })
      const throttled = failing("busy", Outcome.failure({ cause: "throttle" }))
      yield* Effect.flip(finished(playing([throttled, throttled, failing("down")], { budget }).run))
      assert.deepInclude(yield* budget.snapshot, { granted: 2 })
      const spent = RetryBudget.make({ ratio: 0, minimumPerSecond: 0.3, costs: { throttle: 4 } })
      assert.deepInclude(yield* Effect.flip(playing([throttled], { budget: spent }).run), { stopped: "budget" })
    })
  )

  it.effect("never sleeps into the deadline: with less left than the wait it stops at once", () =>
    Effect.gen(function* () {
      const { madeAt, run } = playing([failing("first"), failing("second")], { maxAttempts: 9 })
      const fiber = yield* run.pipe(Deadline.within("1500 millis"), Effect.flip, Effect.forkChild)
      yield* TestClock.adjust("1 second")
      // half a second is left, and the next wait is one second: nothing is waited for
      assert.deepStrictEqual(yield* Fiber.join(fiber), { name: "second", attempts: 2, stopped: "deadline" })
      assert.deepStrictEqual(madeAt, [0, 1000])
    })
  )

  it.effect("a deadline that passed during an attempt is named as such", () =>
    Effect.gen(function* () {
      const { run } = playing([Effect.delay(failing("late"), "3 seconds")])
      const outcome = yield* Effect.flip(finished(run.pipe(Deadline.within("2 seconds"))))
      assert.deepStrictEqual(outcome, { name: "late", attempts: 1, stopped: "deadline" })
    })
  )

  it.effect("a deadline of the loop's own goes before the ambient one", () =>
    Effect.gen(function* () {
      const run = Retry.loop({
        retry: Retry.make({ schedule: Schedule.spaced("1 second") }),
        deadline: { atMillis: 500, budgetMillis: 500 },
        attempt: () => failing("down"),
        classify: (error) => error.outcome,
        onGiveUp: (_, { stopped }) => Effect.succeed(stopped)
      })
      assert.strictEqual(yield* run.pipe(Deadline.within("1 hour")), "deadline")
    })
  )

  const asking = (wait: Duration.Input) =>
    failing("busy", Outcome.failure({ cause: "throttle", retryAfter: Duration.fromInputUnsafe(wait) }))

  it.effect("a server that asks for more than is granted ends the retrying at once", () =>
    Effect.gen(function* () {
      const { madeAt, run } = playing([asking("61 seconds")])
      assert.deepStrictEqual(yield* Effect.flip(run), { name: "busy", attempts: 1, stopped: "server-wait" })
      assert.deepInclude(yield* Effect.flip(playing([asking("3 seconds")], { maxServerWait: "2 seconds" }).run), {
        stopped: "server-wait"
      })
      assert.deepStrictEqual(madeAt, [0])
    })
  )

  it.effect("a server that asks for more than the deadline leaves ends the retrying at once", () =>
    Effect.gen(function* () {
      const { run } = playing([asking("5 seconds")])
      assert.deepInclude(yield* Effect.flip(run.pipe(Deadline.within("5 seconds"))), { stopped: "server-wait" })
    })
  )

  it.effect(
    "a server's wait goes before a shorter one of the schedule, and a longer one of the schedule before it",
    () =>
      Effect.gen(function* () {
        const { madeAt, run } = playing([asking("5 seconds"), asking("100 millis"), Effect.succeed("done")], {
          serverWaitJitter: 0
        })
        assert.strictEqual(yield* finished(run), "done")
        assert.deepStrictEqual(madeAt, [0, 5000, 6000])
      })
  )

  it.effect.prop(
    "a retry is never earlier than the server asked, and later by a tenth at most",
    [Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1000, maximum: 60_000 }))), Schema.Int],
    ([millis, seed]) =>
      Effect.gen(function* () {
        const { madeAt, run } = playing([asking(Duration.millis(millis)), Effect.succeed("done")])
        assert.strictEqual(yield* finished(run), "done")
        const waited = madeAt[1] ?? Number.NaN
        assert.isTrue(waited >= millis && waited <= millis * 1.1, `${waited} for ${millis}`)
      }).pipe(Random.withSeed(seed))
  )

  it.effect("a server's wait is spread, so that the clients it sent away do not come back together", () =>
    Effect.gen(function* () {
      const waited = (random: number) =>
        Effect.gen(function* () {
          const { madeAt, run } = playing([asking("10 seconds"), Effect.succeed("done")])
          const start = yield* Clock.currentTimeMillis
          yield* finished(run).pipe(constantly(random))
          return (madeAt[1] ?? Number.NaN) - start
        })
      assert.strictEqual(yield* waited(0), 10_000)
      assert.strictEqual(yield* waited(0.5), 10_500)
    })
  )

  it.effect("observers hear of a retry before its sleep, with the failure, the count and the wait", () =>
    Effect.gen(function* () {
      const heard: Array<unknown> = []
      const { run } = playing([failing("first"), failing("second"), Effect.succeed("done")], {
        onRetry: ({ name }, { attempts, delay, outcome }) =>
          Effect.map(Clock.currentTimeMillis, (now) =>
            heard.push([name, attempts, Duration.toMillis(delay), outcome.cause, now])
          )
      })
      yield* finished(run)
      assert.deepStrictEqual(heard, [
        ["first", 1, 1000, "transient", 0],
        ["second", 2, 1000, "transient", 1000]
      ])
    })
  )

  it.effect("a schedule that dies is a bug of whoever wrote it, and surfaces as the defect", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make()
      const schedule = Schedule.fromStep(Effect.succeed(() => Effect.die("bad schedule")))
      const exit = yield* Effect.exit(playing([failing("down")], { budget, schedule }).run)
      assert.deepStrictEqual(exit, Exit.die("bad schedule"))
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0 })
    })
  )

  const plan = Schema.Struct({
    failures: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 })),
    attemptMillis: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3000 })),
    startMillis: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3000 })),
    interruptMillis: Schema.UndefinedOr(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 8000 })))
  })

  it.effect.prop(
    "a hundred calls at once, some interrupted at any moment, leave the budget's books in order",
    [Arbitrary.array(Arbitrary.schema(plan), { minLength: 100, maxLength: 100 })],
    ([plans]) =>
      Effect.gen(function* () {
        const budget = RetryBudget.make({ minimumInFlight: 4, minimumPerSecond: 10 })
        const fibers = yield* Effect.forEach(plans, ({ attemptMillis, failures, interruptMillis, startMillis }) =>
          Effect.gen(function* () {
            const attempt = (resend: number) =>
              Effect.delay(resend < failures ? failing("down") : Effect.succeed("done"), Duration.millis(attemptMillis))
            const run = Retry.loop({
              retry: Retry.make({ schedule: Schedule.spaced("700 millis") }),
              budget,
              attempt,
              classify: (error) => error.outcome,
              onGiveUp: (_, { stopped }) => Effect.succeed(stopped)
            })
            const call = yield* Effect.forkChild(Effect.delay(run, Duration.millis(startMillis)))
            if (interruptMillis !== undefined) {
              yield* Effect.forkChild(Effect.delay(Fiber.interrupt(call), Duration.millis(interruptMillis)))
            }
            return call
          })
        )
        for (let step = 0; step < 12; step++) {
          const { callsInFlight, retriesInFlight } = yield* budget.snapshot
          const running = fibers.filter((fiber) => fiber.pollUnsafe() === undefined).length
          assert.isTrue(callsInFlight >= 0 && callsInFlight <= running, `${callsInFlight} calls of ${running}`)
          assert.isTrue(retriesInFlight >= 0 && retriesInFlight <= callsInFlight)
          yield* TestClock.adjust("250 millis")
        }
        yield* TestClock.adjust("1 minute")
        for (const fiber of fibers) assert.isDefined(fiber.pollUnsafe())
        assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0 })
      }),
    { arbitrary: { runs: 15 }, timeout: 20_000 }
  )

  it.effect("a call counts as in flight from its beginning to its end", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make()
      const gate = yield* Deferred.make<string>()
      const fiber = yield* Effect.forkChild(playing([Deferred.await(gate)], { budget }).run)
      yield* TestClock.adjust(0)
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 1, balance: 20.2 })
      yield* Deferred.succeed(gate, "done")
      assert.strictEqual(yield* Fiber.join(fiber), "done")
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0 })
    })
  )
})

describe("Retry.run", () => {
  /** An effect that fails with these one after another, and then succeeds; and how often it was run. */
  const failingWith = <E>(...failures: ReadonlyArray<E>) => {
    const seen = { runs: 0 }
    const effect = Effect.suspend((): Effect.Effect<string, E> => {
      const failure = failures[seen.runs++]
      return failure === undefined ? Effect.succeed("done") : Effect.fail(failure)
    })
    return { effect, seen }
  }

  it.effect("an effect is retried with nothing said but the effect itself, and fails with its last failure", () =>
    Effect.gen(function* () {
      const twice = failingWith("first", "second")
      assert.strictEqual(yield* finished(twice.effect.pipe(Retry.retry())), "done")
      const often = failingWith("first", "second", "third", "fourth")
      assert.strictEqual(yield* finished(Effect.flip(Retry.retry(often.effect))), "third")
      assert.strictEqual(often.seen.runs, 3)
    })
  )

  it.effect("what is said replaces its default and nothing else, first or in a pipe", () =>
    Effect.gen(function* () {
      const failures = ["first", "second", "third"]
      const policy = Retry.make({ maxAttempts: 2 })
      for (const retried of [
        Retry.retry({ maxAttempts: 2 }),
        (self: Effect.Effect<string, string>) => Retry.retry(self, { maxAttempts: 2 }),
        Retry.run(policy),
        (self: Effect.Effect<string, string>) => Retry.run(self, policy),
        policy.run
      ]) {
        const { effect, seen } = failingWith(...failures)
        assert.strictEqual(yield* finished(Effect.flip(retried(effect))), "second")
        assert.strictEqual(seen.runs, 2)
      }
    })
  )

  it.effect("a reason is judged by the catalogue, in the error of a call too; any other failure may pass", () =>
    Effect.gen(function* () {
      const runs = <E>(error: E) =>
        Effect.gen(function* () {
          const { effect, seen } = failingWith(error, error, error)
          yield* finished(Effect.exit(Retry.retry(effect)))
          return seen.runs
        })
      const encoding = new Reason.RequestEncodeFailed({ path: "json", issue: "not a number" })
      assert.strictEqual(yield* runs(encoding), 1)
      assert.strictEqual(yield* runs({ reason: encoding }), 1)
      assert.strictEqual(yield* runs(new Reason.CircuitOpen({})), 3)
      assert.strictEqual(yield* runs({ reason: "busy" }), 3)
    })
  )

  it.effect(
    "a stale connection under an effect is an attempt like any other: the effect cannot be told to take a new one",
    () =>
      Effect.gen(function* () {
        const stale = new Reason.ConnectionClosed({ endpoint: "a:443", phase: "wait", code: "CLOSED", stale: true })
        const { effect, seen } = failingWith(stale, stale, stale, stale)
        yield* finished(Effect.exit(Retry.retry(effect)))
        assert.strictEqual(seen.runs, 3)
      })
  )

  it.effect("its options are asked and told: the judge, the budget, whether it may be repeated, and who listens", () =>
    Effect.gen(function* () {
      const told: Array<string> = []
      const listeners = {
        onRetry: (error: string, { attempts }: Retry.Scheduled) =>
          Effect.sync(() => told.push(`${error}, ${attempts}`)),
        onGiveUp: (error: string, { stopped }: Retry.GivenUp) => Effect.sync(() => told.push(`${error}: ${stopped}`))
      }
      const { effect } = failingWith("busy", "wrong")
      const classify = (error: string) => Outcome.failure({ cause: error === "busy" ? "transient" : "permanent" })
      yield* finished(Effect.flip(Retry.retry(effect, { classify, ...listeners })))
      const empty = RetryBudget.make({ ratio: 0, minimumPerSecond: 0 })
      yield* finished(Effect.flip(Retry.retry(failingWith("unpaid").effect, { budget: empty, ...listeners })))
      const once = { replayable: () => false, ...listeners }
      yield* finished(Effect.flip(failingWith("sent").effect.pipe(Retry.retry(once))))
      const deadline = { atMillis: 0, budgetMillis: 1 }
      yield* finished(Effect.flip(failingWith("late").effect.pipe(Retry.retry({ deadline, ...listeners }))))
      assert.deepStrictEqual(told, [
        "busy, 1",
        "wrong: not-retryable",
        "unpaid: budget",
        "sent: not-replayable",
        "late: deadline"
      ])
    })
  )

  it("the failures stay what they were, and a judge knows those of the effect in front of it", () => {
    const { effect } = failingWith("busy")
    expectTypeOf(effect.pipe(Retry.retry())).toEqualTypeOf<Effect.Effect<string, string>>()
    expectTypeOf(effect.pipe(Retry.retry({ maxAttempts: 5 }))).toEqualTypeOf<Effect.Effect<string, string>>()
    const judged = Retry.retry(effect, {
      classify: (error) => {
        expectTypeOf(error).toEqualTypeOf<string>()
        return transient
      }
    })
    expectTypeOf(judged).toEqualTypeOf<Effect.Effect<string, string>>()
    // @ts-expect-error a misspelt option
    assert.isDefined(Retry.retry(effect, { maxAttempt: 5 }))
  })
})

describe("Retry.make", () => {
  it("what is left out is 3 attempts, full jitter, waits of a server up to a minute, spread by a tenth", () => {
    const retry = Retry.make()
    assert.strictEqual(retry.maxAttempts, 3)
    assert.strictEqual(retry.schedule, Retry.defaults.schedule)
    assert.strictEqual(Duration.toSeconds(retry.maxServerWait), 60)
    assert.strictEqual(retry.serverWaitJitter, 0.1)
  })

  it("an option out of range is refused, by its name and with what was got", () => {
    for (const maxAttempts of [0, -1, 1.5, Number.NaN, Infinity]) {
      assert.throws(
        () => Retry.make({ maxAttempts }),
        RangeError,
        `Retry: maxAttempts must be a whole number of at least 1, got ${maxAttempts}`
      )
    }
    for (const serverWaitJitter of [-0.1, 1.1, Number.NaN]) {
      assert.throws(
        () => Retry.make({ serverWaitJitter }),
        RangeError,
        `Retry: serverWaitJitter must be between 0 and 1, got ${serverWaitJitter}`
      )
    }
    assert.throws(
      () => Retry.make({ maxServerWait: "-1 seconds" }),
      RangeError,
      "Retry: maxServerWait must not be negative, got -1 seconds"
    )
  })
})

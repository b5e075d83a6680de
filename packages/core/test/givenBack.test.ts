import { Cause, Effect, Exit, Fiber, Random, Schedule } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as AdaptiveConcurrency from "../src/AdaptiveConcurrency.ts"
import * as AttemptTimeout from "../src/AttemptTimeout.ts"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import * as Hedge from "../src/Hedge.ts"
import * as Outcome from "../src/Outcome.ts"
import * as Retry from "../src/Retry.ts"
import * as RetryBudget from "../src/RetryBudget.ts"
import * as Throttle from "../src/Throttle.ts"

const bug = (): never => {
  throw new Error("a bug of the user's")
}

/** What a program without types may give for an outcome. */
const nonsense: ReadonlyArray<readonly [given: () => unknown, says: string]> = [
  [bug, "a bug of the user's"],
  [() => undefined, "got undefined"],
  [() => null, "got null"],
  [() => Promise.resolve(Outcome.success), "got a promise"],
  [() => Effect.succeed(Outcome.success), "got an effect"],
  [() => "success", "got a string"],
  [() => ({ _tag: "Maybe" }), 'the _tag "Maybe"'],
  [() => ({ ...Outcome.failure({ cause: "transient" }), cause: null }), "the cause null"]
]

const defectOf = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isFailure(exit) && Cause.hasDies(exit.cause) ? Cause.pretty(exit.cause) : assert.fail("no defect")

describe("a classifier that gives nonsense dies as the bug that it is, and keeps nothing:", () => {
  const ends: { readonly [how: string]: Effect.Effect<string, string> } = {
    success: Effect.succeed("done"),
    failure: Effect.fail("down")
  }
  for (const [how, self] of Object.entries(ends)) {
    for (const [given, says] of nonsense) {
      it.effect(`of a ${how}, ${says}`, () =>
        Effect.gen(function* () {
          const classify = () => given() as Outcome.Outcome
          const breaker = CircuitBreaker.make({ trip: [CircuitBreaker.consecutiveFailures(1)], probes: 1 })
          yield* Effect.exit(CircuitBreaker.run(breaker)(Effect.fail("down")))
          yield* TestClock.adjust("1 second")
          const limiter = AdaptiveConcurrency.make({ initialLimit: 1, minimumLimit: 1 })
          const policies: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
            CircuitBreaker.run(breaker, { classify })(self),
            limiter.run(self, { classify }),
            Throttle.make().run(self, { classify }),
            AttemptTimeout.adaptive({ limit: "1 second" }).run(self, { classify }),
            Hedge.make({ delay: "1 second" }).run(() => self, { classify })
          ]
          for (const policy of policies) {
            for (let call = 0; call < 2; call++) assert.include(defectOf(yield* Effect.exit(policy)), says)
          }
          assert.deepInclude(yield* breaker.snapshot, { state: "HalfOpen", probesOut: 0 })
          assert.deepInclude(yield* limiter.snapshot, { inFlight: 0 })
        })
      )
    }
  }
})

describe("a hedge gives its hedges back", () => {
  const hedged = (
    attempt: (ordinal: number) => Effect.Effect<string, string>,
    given: Hedge.RunOptions<string, string>,
    mayStart?: () => boolean
  ) =>
    Effect.gen(function* () {
      const budget = RetryBudget.make()
      const hedge = Hedge.make({ delay: "1 second", budget, mayStart })
      let running = 0
      const counted = (ordinal: number) =>
        Effect.suspend(() => {
          running++
          return Effect.ensuring(
            Effect.suspend(() => attempt(ordinal)),
            Effect.sync(() => running--)
          )
        })
      const call = yield* Effect.forkChild(Effect.exit(hedge.run(counted, given)))
      yield* TestClock.adjust("1 minute")
      const exit = yield* Fiber.join(call)
      assert.strictEqual(running, 0)
      assert.deepInclude(yield* hedge.snapshot, { hedgesInFlight: 0 })
      assert.deepInclude(yield* budget.snapshot, { retriesInFlight: 0 })
      return exit
    })

  const slow = (ordinal: number) =>
    ordinal === 0 ? Effect.delay(Effect.succeed("late"), "5 seconds") : Effect.fail("down")

  it.effect("whatever is wrong with those whom it asks", () =>
    Effect.gen(function* () {
      assert.include(defectOf(yield* hedged(slow, { classify: bug })), "a bug of the user's")
      assert.include(defectOf(yield* hedged(slow, { repeatable: bug })), "a bug of the user's")
      assert.include(defectOf(yield* hedged(slow, {}, bug)), "a bug of the user's")
      assert.include(defectOf(yield* hedged((ordinal) => (ordinal === 0 ? slow(0) : bug()), {})), "a bug of the user's")
      // a listener cannot break what it hears of
      assert.deepStrictEqual(yield* hedged(slow, { onEvent: bug }), Exit.succeed("late"))
    })
  )
})

describe("a retry gives its places in the budget back", () => {
  const loop = (
    given: Partial<Retry.Loop<string, string, never, never, string, never>>,
    schedule?: Schedule.Schedule<unknown, Outcome.Failure>
  ) =>
    Effect.gen(function* () {
      const budget = RetryBudget.make()
      const run = Retry.loop({
        retry: Retry.make({ maxAttempts: 3, ...(schedule === undefined ? {} : { schedule }) }),
        budget,
        attempt: () => Effect.fail("down"),
        classify: () => Outcome.failure({ cause: "transient" }),
        onGiveUp: (error: string) => Effect.fail(error),
        ...given
      })
      const fiber = yield* Effect.forkChild(Effect.exit(run))
      yield* TestClock.adjust("1 minute")
      const exit = yield* Fiber.join(fiber)
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0 })
      return exit
    })

  it.effect("whatever is wrong with those whom it asks", () =>
    Effect.gen(function* () {
      for (const given of [
        { attempt: bug },
        { attempt: (resend: number) => (resend === 0 ? Effect.fail("down") : bug()) },
        { classify: bug },
        { replayable: bug },
        { onRetry: bug },
        { onRetry: () => Effect.sync(bug) },
        { onGiveUp: bug }
      ]) {
        assert.include(defectOf(yield* loop(given)), "a bug of the user's")
      }
      assert.include(defectOf(yield* loop({}, Schedule.fromStep(Effect.sync(bug)))), "a bug of the user's")
      assert.include(
        defectOf(yield* loop({}, Schedule.fromStep(Effect.succeed(() => Effect.sync(bug))))),
        "a bug of the user's"
      )
    })
  )

  it.effect("when its jitter is no number", () =>
    Effect.gen(function* () {
      const random = { nextDoubleUnsafe: () => NaN, nextIntUnsafe: () => 0 }
      const exit = yield* Effect.provideService(loop({}), Random.Random, random)
      assert.deepStrictEqual(exit, Exit.fail("down"))
    })
  )
})

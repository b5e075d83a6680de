import { Duration, Effect, Exit, Schedule } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker as CircuitStore, RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"
import * as AttemptTimeout from "../src/AttemptTimeout.ts"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import * as Hedge from "../src/Hedge.ts"
import * as Outcome from "../src/Outcome.ts"
import * as RateLimit from "../src/RateLimit.ts"
import * as Retry from "../src/Retry.ts"
import * as RetryBudget from "../src/RetryBudget.ts"
import * as SharedCircuitBreaker from "../src/SharedCircuitBreaker.ts"
import * as SharedRateLimit from "../src/SharedRateLimit.ts"
import * as SingleFlight from "../src/SingleFlight.ts"
import { atEveryStep, ended, type Run } from "../../../test/support/atEveryStep.ts"
import { countingClock, sleepers } from "./support/countingClock.ts"

/** Work that holds something for a few steps and some time, and how many hold it. */
const makeWork = (millis: number) => {
  const counts = { started: 0, held: 0, done: 0 }
  const work = Effect.acquireUseRelease(
    Effect.sync(() => {
      counts.started++
      counts.held++
    }),
    () =>
      Effect.andThen(
        millis === 0 ? Effect.yieldNow : Effect.sleep(millis),
        Effect.sync(() => {
          counts.done++
          return "done"
        })
      ),
    () => Effect.sync(() => void counts.held--)
  )
  return { counts, work }
}

/** Runs a scenario at every step, after which no fiber of it may run and no timer; gives how often the call was interrupted. */
const interruptedAtEveryStep = <E, R>(scenario: (run: Run) => Effect.Effect<Exit.Exit<unknown, unknown>, E, R>) =>
  Effect.gen(function* () {
    let interrupted = 0
    const runs = yield* atEveryStep((run) =>
      Effect.gen(function* () {
        sleepers.now = 0
        if (Exit.hasInterrupts(yield* scenario(run))) interrupted++
        assert.strictEqual(run.running(), 0, run.name)
        assert.strictEqual(sleepers.now, 0, run.name)
      })
    )
    assert.isTrue(interrupted >= 8 && interrupted <= runs, `${interrupted} of ${runs}`)
    return interrupted
  }).pipe(Effect.provide(countingClock))

describe("a call that is interrupted, at whichever of its steps,", { timeout: 20_000 }, () => {
  for (const algorithm of ["token-bucket", "sliding-window"] as const) {
    it.effect(`gives the time back that it waited for (${algorithm})`, () =>
      Effect.gen(function* () {
        const given: Array<number> = []
        yield* interruptedAtEveryStep(({ fork, name }) =>
          Effect.gen(function* () {
            const limiter = RateLimit.make({ limit: 1, algorithm, window: "1 second" })
            yield* limiter.run(Effect.void)
            const { counts, work } = makeWork(0)
            const call = yield* fork(limiter.run(work))
            const exit = yield* ended(call, name, 1000)
            const { abandoned, admitted, delayed, waiting } = yield* limiter.snapshot
            assert.strictEqual(waiting, 0, name)
            // one whose time had come was neither admitted nor gave up anything
            assert.isTrue(admitted + abandoned <= 1 + delayed, name)
            assert.isTrue(counts.started <= admitted - 1 && counts.held === 0, name)
            given.push(abandoned)
            // its time is another's
            const next = yield* Effect.forkChild(limiter.run(Effect.void))
            assert.isTrue(Exit.isSuccess(yield* ended(next, name, 1000)), name)
            return exit
          })
        )
        assert.includeMembers(given, [0, 1])
      })
    )
  }

  it.effect("gives the tokens of a shared rate limit back", () =>
    Effect.gen(function* () {
      const given: Array<number> = []
      yield* interruptedAtEveryStep(({ fork, name }) =>
        Effect.gen(function* () {
          const limiter = yield* SharedRateLimit.make({
            key: "payments",
            limit: 1,
            window: "10 seconds",
            maxWait: "1 minute"
          })
          yield* limiter.run(Effect.void)
          const { counts, work } = makeWork(0)
          const call = yield* fork(limiter.run(work))
          const exit = yield* ended(call, name, 10_000)
          const { abandoned, admitted, delayed, waiting } = yield* limiter.snapshot
          assert.strictEqual(waiting, 0, name)
          assert.strictEqual(admitted + abandoned, 1 + delayed, name)
          assert.strictEqual(counts.held, 0, name)
          given.push(abandoned)
          // had its token not come back, this would have to wait for longer
          const next = yield* Effect.forkChild(limiter.run(Effect.void))
          assert.isTrue(Exit.isSuccess(yield* ended(next, name, 10_000)), name)
          return exit
        }).pipe(Effect.provide(RateLimiter.layerStoreMemory))
      )
      assert.includeMembers(given, [0, 1])
    })
  )

  it.effect("leaves the place of a shared circuit's probe free", () =>
    Effect.gen(function* () {
      yield* interruptedAtEveryStep(({ fork, name }) =>
        Effect.gen(function* () {
          const breaker = yield* SharedCircuitBreaker.make({
            trip: [CircuitBreaker.consecutiveFailures(1)],
            openTime: "1 second"
          })
          const run = SharedCircuitBreaker.run(breaker, { key: "payments" })
          yield* Effect.exit(run(Effect.fail("down")))
          yield* TestClock.adjust("1 second")
          const { counts, work } = makeWork(0)
          const call = yield* fork(run(work))
          const exit = yield* ended(call, name)
          assert.strictEqual((yield* breaker.snapshot("payments")).probesOut, 0, name)
          assert.strictEqual(counts.held, 0, name)
          yield* run(Effect.void)
          return exit
        }).pipe(Effect.scoped, Effect.provide(CircuitStore.layerStoreMemory()))
      )
    })
  )

  it.effect("ends a run that nobody else waits for", () =>
    Effect.gen(function* () {
      yield* interruptedAtEveryStep(({ fork, name }) =>
        Effect.gen(function* () {
          const flights = SingleFlight.make<string, string>()
          const { counts, work } = makeWork(100)
          const call = yield* fork(flights.run(work, { key: "key" }))
          const exit = yield* ended(call, name, 100)
          assert.strictEqual(counts.held, 0, name)
          assert.deepInclude(yield* flights.snapshot, { inFlight: 0, waiting: 0 }, name)
          return exit
        })
      )
    })
  )

  it.effect("leaves its run to those who wait for it too, and who comes to a run may leave it", () =>
    Effect.gen(function* () {
      for (const isFirst of [true, false]) {
        yield* interruptedAtEveryStep(({ fork, name }) =>
          Effect.gen(function* () {
            const flights = SingleFlight.make<string, string>()
            const { counts, work } = makeWork(100)
            const run = flights.run(work, { key: "key" })
            const forked = isFirst ? yield* fork(run) : undefined
            const other = yield* Effect.forkChild(run)
            const call = forked ?? (yield* fork(run))
            const exit = yield* ended(call, name, 100)
            assert.deepStrictEqual(yield* ended(other, name, 100), Exit.succeed("done"), name)
            assert.strictEqual(counts.done, 1, name)
            assert.strictEqual(counts.held, 0, name)
            assert.deepInclude(yield* flights.snapshot, { inFlight: 0, waiting: 0 }, name)
            return exit
          })
        )
      }
    })
  )

  it.effect("leaves no attempt, no timer and no place in the budget of a hedge", () =>
    Effect.gen(function* () {
      const hedges: Array<number> = []
      for (const mode of ["enforce", "observe"] as const) {
        yield* interruptedAtEveryStep(({ fork, name }) =>
          Effect.gen(function* () {
            const budget = RetryBudget.make()
            const hedge = Hedge.make({ delay: "50 millis", budget, mode })
            const { counts, work } = makeWork(100)
            const call = yield* fork(hedge.run(() => work))
            const exit = yield* ended(call, name, 50, 50)
            assert.strictEqual(counts.held, 0, name)
            const snapshot = yield* hedge.snapshot
            assert.strictEqual(snapshot.hedgesInFlight, 0, name)
            assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0 }, name)
            hedges.push(snapshot.hedges)
            return exit
          })
        )
      }
      assert.includeMembers(hedges, [0, 1])
    })
  )

  it.effect("leaves no attempt behind its timeout, and no timer", () =>
    Effect.gen(function* () {
      for (const limitMillis of [50, 200]) {
        yield* interruptedAtEveryStep(({ fork, name }) =>
          Effect.gen(function* () {
            const { counts, work } = makeWork(100)
            const call = yield* fork(AttemptTimeout.adaptive({ limit: limitMillis }).run(work))
            const exit = yield* ended(call, name, 50, 50)
            assert.strictEqual(counts.held, 0, name)
            return exit
          })
        )
      }
    })
  )

  it.effect("gives its places in the retry budget back", () =>
    Effect.gen(function* () {
      const resends: Array<number> = []
      yield* interruptedAtEveryStep(({ fork, name }) =>
        Effect.gen(function* () {
          const budget = RetryBudget.make()
          const { counts, work } = makeWork(0)
          const call = yield* fork(
            Retry.loop({
              retry: Retry.make({ maxAttempts: 3, schedule: Schedule.spaced(Duration.seconds(1)) }),
              budget,
              attempt: (resend) => (resend < 2 ? Effect.andThen(work, Effect.fail("down")) : work),
              classify: () => Outcome.failure({ cause: "transient" }),
              onGiveUp: Effect.fail
            })
          )
          const exit = yield* ended(call, name, 1000, 1000)
          assert.strictEqual(counts.held, 0, name)
          assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0 }, name)
          resends.push(counts.started)
          return exit
        })
      )
      assert.includeMembers(resends, [0, 1, 2, 3])
    })
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Random, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import * as Outcome from "../src/Outcome.ts"
import * as Reason from "../src/Reason.ts"
import { atEveryStep } from "../../../test/support/atEveryStep.ts"

const exactly = (message: string) => new RegExp(`^${message.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`)

const { consecutiveFailures, countWindow, timeWindow } = CircuitBreaker

/** Opens with one failure; one success closes it. */
const eager = (options: CircuitBreaker.Options = {}) =>
  CircuitBreaker.make({
    trip: [consecutiveFailures(1)],
    openTime: "10 seconds",
    probes: 1,
    successThreshold: 1,
    ...options
  })

const fail = (breaker: CircuitBreaker.CircuitBreaker, error: unknown = "down") =>
  Effect.exit(CircuitBreaker.run(breaker)(Effect.fail(error)))

const succeed = (breaker: CircuitBreaker.CircuitBreaker) => Effect.exit(CircuitBreaker.run(breaker)(Effect.void))

const stateOf = (breaker: CircuitBreaker.CircuitBreaker) => Effect.map(breaker.snapshot, ({ state }) => state)

/** Why a call is refused; it must be. */
const refusalOf = (breaker: CircuitBreaker.CircuitBreaker): Effect.Effect<Reason.CircuitOpen> =>
  Effect.map(Effect.exit(CircuitBreaker.run(breaker)(Effect.void)), (exit) => {
    const error = Exit.isFailure(exit) ? exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error : undefined
    return error instanceof Reason.CircuitOpen ? error : assert.fail("it was let through")
  })

const listen = (breaker: CircuitBreaker.CircuitBreaker): ReadonlyArray<CircuitBreaker.Event> => {
  const heard: Array<CircuitBreaker.Event> = []
  breaker.events.subscribe((event) => heard.push(event))
  return heard
}

/** A `Random` that always gives the same number. */
const always = (number: number): Random.Random => ({
  nextDoubleUnsafe: () => number,
  nextIntUnsafe: () => 0
})

describe("CircuitBreaker", () => {
  it.effect("it opens, refuses for its open time with the figures and the time left, probes, and closes", () =>
    Effect.gen(function* () {
      const breaker = eager({ trip: [countWindow({ size: 4, failureRate: 0.75 })], successThreshold: 2 })
      yield* succeed(breaker)
      for (let index = 0; index < 3; index++) yield* fail(breaker)
      yield* TestClock.adjust("2500 millis")
      const refusal = yield* refusalOf(breaker)
      assert.strictEqual(
        refusal.message,
        "the circuit is open (3 of the last 4 attempts failed); next try in 7s 500ms; nothing was sent"
      )
      assert.isTrue(Duration.equals(refusal.retryAfter ?? Duration.zero, Duration.millis(7500)))
      yield* TestClock.adjust("7500 millis")
      assert.strictEqual(yield* stateOf(breaker), "HalfOpen", "before any call")
      yield* succeed(breaker)
      assert.strictEqual(yield* stateOf(breaker), "HalfOpen")
      yield* succeed(breaker)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    })
  )

  it.effect("what is refused is not run", () =>
    Effect.gen(function* () {
      const breaker = eager()
      yield* fail(breaker)
      let runs = 0
      const call = CircuitBreaker.run(breaker)(Effect.sync(() => runs++))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(call)))
      assert.strictEqual(runs, 0)
      yield* TestClock.adjust("10 seconds")
      yield* call
      assert.strictEqual(runs, 1)
    })
  )

  it.effect("results, failures and defects pass through as they are", () =>
    Effect.gen(function* () {
      const breaker = CircuitBreaker.make()
      const guard = CircuitBreaker.run(breaker)
      assert.strictEqual(yield* guard(Effect.succeed(42)), 42)
      assert.strictEqual(yield* Effect.flip(guard(Effect.fail("no"))), "no")
      assert.deepStrictEqual(yield* Effect.exit(guard(Effect.die("bug"))), Exit.die("bug"))
    })
  )

  it.effect("what is left out is 10 failures in a row, or half of 20 calls in 30 s; a second open, however often", () =>
    Effect.gen(function* () {
      const inARow = CircuitBreaker.make()
      for (let index = 0; index < 9; index++) yield* fail(inARow)
      assert.strictEqual(yield* stateOf(inARow), "Closed")
      yield* fail(inARow)
      assert.strictEqual((yield* refusalOf(inARow)).detail, "10 attempts in a row failed")
      const times: Array<number> = []
      for (let opening = 0; opening < 8; opening++) {
        const { openTimeLeft } = yield* inARow.snapshot
        times.push(Duration.toSeconds(openTimeLeft))
        yield* TestClock.adjust(openTimeLeft)
        yield* fail(inARow)
      }
      assert.deepStrictEqual(times, [1, 1, 1, 1, 1, 1, 1, 1])
      const byRate = CircuitBreaker.make()
      for (let index = 0; index < 9; index++) yield* Effect.andThen(succeed(byRate), fail(byRate))
      yield* succeed(byRate)
      assert.strictEqual(yield* stateOf(byRate), "Closed")
      yield* fail(byRate)
      assert.strictEqual((yield* refusalOf(byRate)).detail, "10 of 20 attempts failed in the last 30s")
      // three probes at once, which keep their places for a second, and two successes
      yield* TestClock.adjust("1 second")
      const probe = Effect.forkChild(CircuitBreaker.run(byRate)(Effect.sleep("1 second")), { startImmediately: true })
      yield* Effect.all([probe, probe, probe])
      yield* refusalOf(byRate)
      yield* TestClock.adjust("999 millis")
      assert.deepInclude(yield* byRate.snapshot, { state: "HalfOpen", probesOut: 3 })
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(yield* byRate.snapshot, { state: "Closed", share: 1 })
    })
  )

  it.effect("slow calls open it, though all succeed", () =>
    Effect.gen(function* () {
      const breaker = eager({
        trip: [timeWindow({ duration: "10 seconds", slowCallRate: 0.5, minimumCalls: 2 })],
        slowCallDuration: "1 second"
      })
      const call = (duration: Duration.Input) =>
        Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(CircuitBreaker.run(breaker)(Effect.sleep(duration)), {
            startImmediately: true
          })
          yield* TestClock.adjust(duration)
          yield* Fiber.join(fiber)
        })
      yield* call("1 second")
      assert.deepInclude((yield* breaker.snapshot).windows[0], { ok: 1, slowOk: 0 })
      yield* call("1001 millis")
      assert.strictEqual((yield* refusalOf(breaker)).detail, "1 of 2 attempts took longer than 1s in the last 10s")
    })
  )

  describe("what counts", () => {
    const classify = (outcome: Outcome.Outcome) => ({ classify: () => outcome })
    const settled = (options: CircuitBreaker.Options, outcome: Outcome.Outcome) =>
      Effect.gen(function* () {
        const breaker = eager(options)
        yield* Effect.exit(CircuitBreaker.run(breaker, classify(outcome))(Effect.fail("x")))
        const { failed, ignored, succeeded } = yield* breaker.snapshot
        return { failed, ignored, succeeded }
      })

    it.effect("transient failures and timeouts count; throttled, refused and permanent ones are ignored", () =>
      Effect.gen(function* () {
        for (const cause of ["transient", "timeout"] as const) {
          const counted = yield* settled({}, Outcome.failure({ cause }))
          assert.deepStrictEqual(counted, { failed: 1, ignored: 0, succeeded: 0 })
        }
        for (const cause of ["throttle", "refused", "permanent"] as const) {
          const counted = yield* settled({}, Outcome.failure({ cause }))
          assert.deepStrictEqual(counted, { failed: 0, ignored: 1, succeeded: 0 }, cause)
        }
      })
    )

    it.effect("what a cause counts as can be said, one by one", () =>
      Effect.gen(function* () {
        const counts = { permanent: "success", throttle: "failure", transient: "ignored" } as const
        const of = (cause: Outcome.FailureCause) => settled({ counts }, Outcome.failure({ cause }))
        assert.deepStrictEqual(yield* of("permanent"), { failed: 0, ignored: 0, succeeded: 1 })
        assert.deepStrictEqual(yield* of("throttle"), { failed: 1, ignored: 0, succeeded: 0 })
        assert.deepStrictEqual(yield* of("transient"), { failed: 0, ignored: 1, succeeded: 0 })
        assert.deepStrictEqual(yield* of("timeout"), { failed: 1, ignored: 0, succeeded: 0 })
      })
    )

    it.effect("a 404 opens no circuit, a connection that is refused does", () =>
      Effect.gen(function* () {
        const breaker = eager()
        const guard = CircuitBreaker.run(breaker, {
          classify: (exit: Exit.Exit<unknown, Reason.Reason>) =>
            Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail"
              ? Outcome.fromReason(exit.cause.reasons[0].error)
              : Outcome.success
        })
        const notFound = new Reason.NotFound({
          endpoint: "a:1",
          headers: {},
          body: "",
          bodyComplete: true,
          status: 404
        })
        for (let index = 0; index < 20; index++) yield* Effect.exit(guard(Effect.fail(notFound)))
        assert.strictEqual(yield* stateOf(breaker), "Closed")
        yield* Effect.exit(guard(Effect.fail(new Reason.ConnectionRefused({ endpoint: "a:1", phase: "connect" }))))
        assert.strictEqual(yield* stateOf(breaker), "Open")
      })
    )

    it.effect("without a classifier: typed failures and defects count, another policy's refusal does not", () =>
      Effect.gen(function* () {
        const of = (effect: Effect.Effect<void, unknown>) =>
          Effect.gen(function* () {
            const breaker = eager()
            yield* Effect.exit(CircuitBreaker.run(breaker)(effect))
            return yield* stateOf(breaker)
          })
        assert.strictEqual(yield* of(Effect.fail("x")), "Open")
        assert.strictEqual(yield* of(Effect.die("x")), "Open")
        assert.strictEqual(yield* of(Effect.void), "Closed")
        assert.strictEqual(yield* of(Effect.fail(new Reason.BulkheadFull({}))), "Closed")
        assert.strictEqual(yield* of(Effect.fail(new Reason.CircuitOpen({}))), "Closed")
      })
    )

    it.effect("without a classifier: a limit of time counts as a timeout", () =>
      Effect.gen(function* () {
        const breaker = eager({ counts: { timeout: "success" } })
        const late = new Reason.AttemptTimeout({ limit: Duration.seconds(1) })
        yield* Effect.exit(CircuitBreaker.run(breaker)(Effect.fail(late)))
        assert.strictEqual((yield* breaker.snapshot).succeeded, 1)
      })
    )

    it.effect("the circuit is never open for less than the server asked, up to maxOpenTime", () =>
      Effect.gen(function* () {
        const asks = (seconds: number) =>
          Effect.gen(function* () {
            const breaker = eager({ maxOpenTime: "1 minute" })
            const outcome = Outcome.failure({ cause: "transient", retryAfter: Duration.seconds(seconds) })
            yield* Effect.exit(CircuitBreaker.run(breaker, classify(outcome))(Effect.void))
            return Duration.toSeconds((yield* breaker.snapshot).openTimeLeft)
          })
        assert.strictEqual(yield* asks(3), 10)
        assert.strictEqual(yield* asks(42), 42)
        assert.strictEqual(yield* asks(1_000_000), 60)
      })
    )

    it.effect("a classifier that throws dies, counts as nothing and keeps no probe's place", () =>
      Effect.gen(function* () {
        const breaker = eager()
        yield* fail(breaker)
        yield* TestClock.adjust("10 seconds")
        const guard = CircuitBreaker.run(breaker, {
          classify: () => {
            throw new Error("bug")
          }
        })
        const exit = yield* Effect.exit(guard(Effect.void))
        assert.isTrue(Exit.isFailure(exit) && exit.cause.reasons.some(({ _tag }) => _tag === "Die"))
        assert.deepInclude(yield* breaker.snapshot, { state: "HalfOpen", probesOut: 0, ignored: 1 })
      })
    )
  })

  describe("interruption", () => {
    it.effect("an interrupted call is neither a success nor a failure, and the classifier is not asked", () =>
      Effect.gen(function* () {
        const breaker = eager()
        let asked = 0
        const guard = CircuitBreaker.run(breaker, {
          classify: () => {
            asked++
            return Outcome.failure({ cause: "transient" })
          }
        })
        const fiber = yield* Effect.forkChild(guard(Effect.never), { startImmediately: true })
        yield* Fiber.interrupt(fiber)
        const timedOut = yield* Effect.forkChild(Effect.timeout(guard(Effect.never), "1 second"), {
          startImmediately: true
        })
        yield* TestClock.adjust("1 second")
        yield* Fiber.await(timedOut)
        assert.deepInclude(yield* breaker.snapshot, { state: "Closed", ignored: 2, failed: 0, succeeded: 0 })
        assert.strictEqual(asked, 0)
      })
    )

    it.effect("an interruption whose finalizer fails is still an interruption", () =>
      Effect.gen(function* () {
        const breaker = eager()
        const call = CircuitBreaker.run(breaker)(Effect.onExit(Effect.never, () => Effect.fail("finalizer")))
        const fiber = yield* Effect.forkChild(call, { startImmediately: true })
        yield* Fiber.interrupt(fiber)
        assert.deepInclude(yield* breaker.snapshot, { state: "Closed", ignored: 1, failed: 0 })
      })
    )

    it.effect("an interrupted probe neither closes nor reopens the circuit, and its place is free at once", () =>
      Effect.gen(function* () {
        const breaker = eager()
        yield* fail(breaker)
        yield* TestClock.adjust("10 seconds")
        const probe = yield* Effect.forkChild(CircuitBreaker.run(breaker)(Effect.never), { startImmediately: true })
        assert.deepInclude(yield* breaker.snapshot, { state: "HalfOpen", probesOut: 1 })
        yield* refusalOf(breaker)
        yield* Fiber.interrupt(probe)
        assert.deepInclude(yield* breaker.snapshot, { state: "HalfOpen", probesOut: 0 })
        yield* succeed(breaker)
        assert.strictEqual(yield* stateOf(breaker), "Closed")
      })
    )

    it.effect("a probe that is interrupted between any two operations leaks no place", () =>
      Effect.gen(function* () {
        const ends: Array<string> = []
        yield* atEveryStep(({ fork, name }) =>
          Effect.gen(function* () {
            const breaker = eager()
            yield* fail(breaker)
            yield* TestClock.adjust("10 seconds")
            const probe = yield* fork(CircuitBreaker.run(breaker)(Effect.andThen(Effect.yieldNow, Effect.yieldNow)))
            const exit = yield* Fiber.await(probe)
            const { admitted, ignored, probesOut, state, succeeded } = yield* breaker.snapshot
            assert.strictEqual(probesOut, 0, name)
            // the failure that opened it, and then the probe if it came that far
            assert.strictEqual(ignored + succeeded, admitted - 1, name)
            assert.strictEqual(state, succeeded === 1 ? "Closed" : "HalfOpen", name)
            ends.push(Exit.isSuccess(exit) ? "done" : admitted === 1 ? "before" : succeeded === 1 ? "after" : "within")
          })
        )
        assert.includeMembers(ends, ["before", "within", "done"])
      })
    )
  })

  describe("half-open", () => {
    it.effect("a probe that never ends does not keep the circuit half-open: its lease does end", () =>
      Effect.gen(function* () {
        const breaker = eager({ probeLease: "20 seconds" })
        yield* fail(breaker)
        yield* TestClock.adjust("10 seconds")
        const hung = yield* Effect.forkChild(CircuitBreaker.run(breaker)(Effect.never), { startImmediately: true })
        yield* TestClock.adjust("19 seconds")
        assert.strictEqual(Duration.toMillis((yield* refusalOf(breaker)).retryAfter ?? Duration.zero), 1000)
        yield* TestClock.adjust("1 second")
        yield* succeed(breaker)
        assert.strictEqual(yield* stateOf(breaker), "Closed")
        yield* Fiber.interrupt(hung)
        assert.deepInclude(yield* breaker.snapshot, { state: "Closed", late: 1 })
      })
    )

    it.effect("a call that began before the circuit opened closes nothing", () =>
      Effect.gen(function* () {
        const breaker = eager()
        const gate = yield* Deferred.make<void>()
        const old = yield* Effect.forkChild(CircuitBreaker.run(breaker)(Deferred.await(gate)), {
          startImmediately: true
        })
        yield* fail(breaker)
        yield* TestClock.adjust("10 seconds")
        yield* Effect.forkChild(CircuitBreaker.run(breaker)(Effect.never), { startImmediately: true })
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(old)
        assert.deepInclude(yield* breaker.snapshot, { state: "HalfOpen", succeeded: 0, late: 1 })
      })
    )
  })

  describe("the ramp", () => {
    const recovered = Effect.gen(function* () {
      const breaker = eager({ rampTime: "20 seconds" })
      yield* fail(breaker)
      yield* TestClock.adjust("10 seconds")
      yield* succeed(breaker)
      yield* TestClock.adjust("5 seconds")
      return breaker
    })

    it.effect("after a close the fiber's Random lets a growing share of calls through", () =>
      Effect.gen(function* () {
        const breaker = yield* recovered
        assert.deepInclude(yield* breaker.snapshot, { state: "Closed", share: 0.25 })
        const passes = (random: number) =>
          Effect.map(Effect.provideService(succeed(breaker), Random.Random, always(random)), Exit.isSuccess)
        assert.isTrue(yield* passes(0.2499))
        assert.isFalse(yield* passes(0.25))
        yield* TestClock.adjust("5 seconds")
        assert.isTrue(yield* passes(0.4999))
        assert.isFalse(yield* passes(0.5))
        yield* TestClock.adjust("10 seconds")
        assert.isTrue(yield* passes(0.9999))
      })
    )

    it.effect("who is refused by the ramp is told to come back within it, spread over it", () =>
      Effect.gen(function* () {
        const breaker = yield* recovered
        const refused = (random: number) => Effect.provideService(refusalOf(breaker), Random.Random, always(random))
        const early = yield* refused(0.3)
        assert.strictEqual(
          early.message,
          "the circuit is open (recovering: 25% of the attempts are let through); next try in 1s; nothing was sent"
        )
        assert.strictEqual(Duration.toMillis((yield* refused(0.9)).retryAfter ?? Duration.zero), 13_000)
      })
    )
  })

  describe("by hand", () => {
    it.effect("forced open it refuses all, without a time, and in words", () =>
      Effect.gen(function* () {
        const breaker = eager()
        yield* breaker.forceOpen
        const refusal = yield* refusalOf(breaker)
        assert.strictEqual(
          refusal.message,
          "the circuit is open (forced open by hand, until it is forced closed or reset); nothing was sent"
        )
        yield* TestClock.adjust("100 days")
        yield* refusalOf(breaker)
        assert.deepInclude(yield* breaker.snapshot, { state: "ForcedOpen", share: 0, refused: 2 })
        yield* breaker.reset
        assert.isTrue(Exit.isSuccess(yield* succeed(breaker)))
      })
    )

    it.effect("forced closed it lets all through and counts them; reset, it judges anew", () =>
      Effect.gen(function* () {
        const breaker = eager()
        yield* fail(breaker)
        yield* breaker.forceClosed
        for (let index = 0; index < 5; index++) yield* fail(breaker)
        assert.deepInclude(yield* breaker.snapshot, { state: "ForcedClosed", share: 1, refused: 0, failed: 6 })
        yield* breaker.reset
        assert.deepInclude(yield* breaker.snapshot, { state: "Closed", consecutiveFailures: 0, consecutiveOpenings: 0 })
        yield* fail(breaker)
        assert.strictEqual(yield* stateOf(breaker), "Open")
      })
    )
  })

  describe("modes", () => {
    /** The same calls through two breakers: failing for 20 s, then not. */
    const badMinute = (breaker: CircuitBreaker.CircuitBreaker) =>
      Effect.gen(function* () {
        const states: Array<string> = []
        for (let second = 0; second < 60; second++) {
          yield* second < 20 ? fail(breaker) : succeed(breaker)
          states.push(yield* stateOf(breaker))
          yield* TestClock.adjust("1 second")
        }
        return { states, snapshot: yield* breaker.snapshot }
      })

    it.effect("observe decides, counts and reports as enforce would, and refuses nothing", () =>
      Effect.gen(function* () {
        const options = { trip: [consecutiveFailures(3)], openTime: CircuitBreaker.doubling("2 seconds") }
        const enforced = yield* badMinute(eager(options))
        const watched = eager({ ...options, mode: "observe" })
        const heard = listen(watched)
        let runs = 0
        const observed = yield* badMinute(watched)
        assert.deepStrictEqual(observed, enforced)
        yield* watched.forceOpen
        yield* CircuitBreaker.run(watched)(Effect.sync(() => runs++))
        assert.strictEqual(runs, 1)
        const refused = heard.flatMap((event) => (event._tag === "Refused" ? [event] : []))
        assert.isAbove(observed.snapshot.refused, 5)
        assert.lengthOf(refused, observed.snapshot.refused + 1)
        assert.isTrue(refused.every(({ enforced, reason }) => !enforced && reason.detail !== undefined))
      })
    )

    it.effect("off, it is not there", () =>
      Effect.gen(function* () {
        const breaker = eager({ mode: "off" })
        for (let index = 0; index < 5; index++) yield* fail(breaker)
        const call = Effect.succeed(1)
        assert.strictEqual(CircuitBreaker.run(breaker)(call), call)
        assert.deepInclude(yield* breaker.snapshot, { state: "Closed", admitted: 0, failed: 0 })
        yield* breaker.forceOpen
        yield* Effect.withFiber((fiber) => {
          const permit = breaker.admit(0, fiber)
          assert.strictEqual(permit._tag, "Permit")
          if (permit._tag === "Permit") breaker.settle(permit, Outcome.success, 0, 0)
          return Effect.void
        })
        assert.deepInclude(yield* breaker.snapshot, { admitted: 0, succeeded: 0, late: 0 })
      })
    )
  })

  describe("events and snapshot", () => {
    it.effect("every change of state is told once, with its figures, and every refusal", () =>
      Effect.gen(function* () {
        const breaker = eager({ openTime: CircuitBreaker.doubling("10 seconds") })
        const heard = listen(breaker)
        yield* fail(breaker)
        yield* refusalOf(breaker)
        yield* TestClock.adjust("10 seconds")
        yield* fail(breaker)
        yield* TestClock.adjust("20 seconds")
        yield* succeed(breaker)
        yield* breaker.forceOpen
        yield* breaker.forceOpen
        yield* breaker.forceClosed
        yield* breaker.reset
        assert.deepStrictEqual(
          heard.map((event) => (event._tag === "Refused" ? { ...event, reason: event.reason.detail } : event)),
          [
            {
              _tag: "Opened",
              from: "Closed",
              openTime: Duration.seconds(10),
              consecutiveOpenings: 1,
              detail: "an attempt failed"
            },
            { _tag: "Refused", reason: "an attempt failed", enforced: true },
            { _tag: "HalfOpened" },
            {
              _tag: "Opened",
              from: "HalfOpen",
              openTime: Duration.seconds(20),
              consecutiveOpenings: 2,
              detail: "a probe failed; opened 2 times in a row"
            },
            { _tag: "HalfOpened" },
            { _tag: "Closed" },
            { _tag: "ForcedOpen" },
            { _tag: "ForcedClosed" },
            { _tag: "Reset" }
          ]
        )
      })
    )

    it.effect("the events can be read as a stream", () =>
      Effect.gen(function* () {
        const breaker = eager()
        const reader = yield* breaker.events.stream.pipe(Stream.take(2), Stream.runCollect, Effect.forkChild)
        yield* Effect.yieldNow
        yield* fail(breaker)
        yield* breaker.reset
        const tags = (yield* Fiber.join(reader)).map(({ _tag }) => _tag)
        assert.deepStrictEqual([...tags], ["Opened", "Reset"])
      })
    )

    it.effect("the snapshot says what is in the windows, by the four cells", () =>
      Effect.gen(function* () {
        const breaker = CircuitBreaker.make({
          trip: [
            consecutiveFailures(9),
            countWindow({ size: 50, minimumCalls: 4, failureRate: 0.6 }),
            timeWindow({ duration: "1 minute", minimumCalls: 5 })
          ],
          slowCallDuration: "1 second"
        })
        const settle = (outcome: Outcome.Outcome, millis: number) =>
          Effect.withFiber((fiber) => {
            const permit = breaker.admit(0, fiber)
            if (permit._tag === "Permit") breaker.settle(permit, outcome, millis, millis)
            return Effect.void
          })
        const failure = Outcome.failure({ cause: "timeout" })
        for (const [outcome, millis] of [
          [Outcome.success, 10],
          [Outcome.success, 2000],
          [failure, 2000],
          [failure, 3000],
          [Outcome.ignored, 9000]
        ] as const) {
          yield* settle(outcome, millis)
        }
        const cells = { calls: 4, ok: 1, slowOk: 1, failed: 0, slowFailed: 2 }
        const expected: CircuitBreaker.Snapshot = {
          state: "Closed",
          entered: { Closed: 0, Open: 0, HalfOpen: 0, ForcedOpen: 0, ForcedClosed: 0 },
          share: 1,
          openTimeLeft: Duration.zero,
          consecutiveOpenings: 0,
          consecutiveFailures: 2,
          windows: [
            { window: "the last 50 attempts", ...cells, failureRate: 0.5, slowCallRate: 0.75 },
            { window: "1m", ...cells, failureRate: undefined, slowCallRate: undefined }
          ],
          probesOut: 0,
          probeSuccesses: 0,
          admitted: 5,
          refused: 0,
          succeeded: 2,
          failed: 2,
          ignored: 1,
          late: 0
        }
        assert.deepStrictEqual(yield* breaker.snapshot, expected)
        assert.deepStrictEqual(yield* breaker.snapshot, expected, "reading it changed nothing")
      })
    )

    it.effect("reading the snapshot of a circuit whose open time is over takes no probe's place", () =>
      Effect.gen(function* () {
        const breaker = eager()
        const heard = listen(breaker)
        yield* fail(breaker)
        yield* TestClock.adjust("10 seconds")
        for (let index = 0; index < 3; index++) assert.strictEqual(yield* stateOf(breaker), "HalfOpen")
        assert.lengthOf(heard, 1)
        yield* succeed(breaker)
        assert.strictEqual(yield* stateOf(breaker), "Closed")
      })
    )

    it.effect("refusals of one moment are one object, without a stack, and a later one shows the time left then", () =>
      Effect.gen(function* () {
        const breaker = eager()
        yield* fail(breaker)
        const first = yield* refusalOf(breaker)
        assert.strictEqual(yield* refusalOf(breaker), first)
        assert.notInclude(first.stack ?? "", "    at ")
        yield* TestClock.adjust("4 seconds")
        assert.strictEqual(Duration.toMillis((yield* refusalOf(breaker)).retryAfter ?? Duration.zero), 6000)
        yield* TestClock.adjust("6 seconds")
        yield* fail(breaker)
        const again = yield* refusalOf(breaker)
        assert.strictEqual(again.detail, "a probe failed; opened 2 times in a row")
      })
    )
  })

  it("two circuit breakers share nothing", () => {
    const one = eager()
    const other = eager()
    return Effect.runPromise(
      Effect.gen(function* () {
        yield* fail(one)
        assert.deepStrictEqual([yield* stateOf(one), yield* stateOf(other)], ["Open", "Closed"])
      })
    )
  })

  it("an option out of range is refused, by its name and with what was got", () => {
    const refused = (options: CircuitBreaker.Options, message: string) =>
      assert.throws(() => CircuitBreaker.make(options), RangeError, exactly(`CircuitBreaker: ${message}`))
    refused({ trip: [] }, "trip must have at least one rule, got none")
    refused(
      { trip: [consecutiveFailures(0)] },
      "consecutiveFailures must be a whole number between 1 and 1000000, got 0"
    )
    refused({ trip: [countWindow({ size: 0 })] }, "countWindow.size must be a whole number between 1 and 100000, got 0")
    refused(
      { trip: [countWindow({ size: 10, minimumCalls: 11 })] },
      "minimumCalls must be a whole number between 1 and 10, got 11"
    )
    refused(
      { trip: [timeWindow({ duration: "1 second", minimumCalls: 0 })] },
      "minimumCalls must be a whole number between 1 and 1000000, got 0"
    )
    for (const duration of [99, 86_400_001]) {
      refused(
        { trip: [timeWindow({ duration })] },
        `timeWindow.duration must be between 100 milliseconds and 24 hours, got ${duration}ms`
      )
    }
    for (const rate of [0, -0.1, 1.1, Number.NaN]) {
      const window = { size: 10, failureRate: rate }
      refused({ trip: [countWindow(window)] }, `failureRate must be above 0 and at most 1, got ${rate}`)
      refused(
        { trip: [countWindow({ size: 10, slowCallRate: rate })], slowCallDuration: 1 },
        `slowCallRate must be above 0 and at most 1, got ${rate}`
      )
    }
    refused(
      { trip: [countWindow({ size: 10, slowCallRate: 0.5 })] },
      "slowCallRate needs slowCallDuration, which says what a slow call is"
    )
    refused({ slowCallDuration: 0 }, "slowCallDuration must be longer than zero and finite, got 0")
    refused({ openTime: 0 }, "openTime must be longer than zero and finite, got 0")
    refused({ openTime: () => Number.NaN }, 'openTime must be a time, such as "2 seconds", got NaN')
    refused({ maxOpenTime: "Infinity" }, "maxOpenTime must be longer than zero and finite, got Infinity")
    refused({ openTime: "6 minutes" }, "openTime must be at most maxOpenTime, 300000ms, got 360000ms")
    refused({ probes: 0 }, "probes must be a whole number between 1 and 1000, got 0")
    refused({ probes: 1.5 }, "probes must be a whole number between 1 and 1000, got 1.5")
    refused({ successThreshold: 0 }, "successThreshold must be a whole number between 1 and 1000000, got 0")
    refused({ probeLease: 0 }, "probeLease must be longer than zero and finite, got 0")
    refused({ rampTime: -1 }, "rampTime must be at least zero and finite, got -1ms")
    assert.doesNotThrow(() =>
      CircuitBreaker.make({ trip: [countWindow({ size: 1 })], openTime: 1, maxOpenTime: 1, rampTime: 0, probes: 1000 })
    )
  })
})

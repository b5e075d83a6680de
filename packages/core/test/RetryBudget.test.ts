import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Schedule } from "effect"
import { TestClock } from "effect/testing"
import type { FailureCause } from "../src/Outcome.ts"
import * as Reason from "../src/Reason.ts"
import * as RetryBudget from "../src/RetryBudget.ts"

const exactly = (message: string) => new RegExp(`^${message.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`)

/** Asks for a retry, and makes it at once. */
const retried = (budget: RetryBudget.RetryBudget, cause: FailureCause): boolean => {
  const granted = budget.tryRetry(0, cause)
  if (granted) budget.retryStarted()
  return granted
}

describe("RetryBudget", () => {
  it.effect("the snapshot says what is left, in flight, granted and refused", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make({ minimumPerSecond: 1, minimumInFlight: 1 })
      assert.deepStrictEqual(yield* budget.snapshot, {
        balance: 10,
        callsInFlight: 0,
        retriesInFlight: 0,
        granted: 0,
        refused: 0
      })
      budget.callStarted(0)
      budget.callStarted(0)
      assert.isTrue(budget.tryRetry(0, "transient"))
      assert.strictEqual((yield* budget.snapshot).retriesInFlight, 0, "it waits for its back-off")
      budget.retryStarted()
      assert.isFalse(budget.tryRetry(0, "transient"), "one retry may be in flight")
      assert.deepStrictEqual(yield* budget.snapshot, {
        balance: 9.4,
        callsInFlight: 2,
        retriesInFlight: 1,
        granted: 1,
        refused: 1
      })
      budget.retryEnded()
      budget.callEnded()
      budget.callEnded()
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0 })
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* budget.snapshot, { balance: 10, granted: 1, refused: 1 })
    })
  )

  it.effect("what is left out is 20 % of the calls and 2 retries a second over 10 s", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make()
      assert.strictEqual((yield* budget.snapshot).balance, 20)
      for (let call = 0; call < 10; call++) budget.callStarted(0)
      assert.strictEqual((yield* budget.snapshot).balance, 22)
      // 3 are always allowed in flight; a fifth of 10 calls is fewer
      const granted = [1, 2, 3, 4].map(() => retried(budget, "timeout"))
      assert.deepStrictEqual(granted, [true, true, true, false])
    })
  )

  it("retries in flight grow with the calls in flight", () => {
    const budget = RetryBudget.make({ ratio: 10, inFlightRatio: 0.5, minimumInFlight: 1 })
    for (let call = 0; call < 9; call++) budget.callStarted(0)
    const granted = Array.from({ length: 6 }, () => retried(budget, "transient"))
    assert.deepStrictEqual(granted, [true, true, true, true, false, false])
    budget.callStarted(0)
    assert.isTrue(budget.tryRetry(0, "transient"))
  })

  it("a retry costs what its cause costs", () => {
    const spent = (cause: "transient" | "throttle" | "refused") => {
      const budget = RetryBudget.make({
        ratio: 1,
        minimumPerSecond: 0,
        minimumInFlight: 100,
        costs: { throttle: 2.5, refused: 0 }
      })
      for (let call = 0; call < 10; call++) budget.callStarted(0)
      let granted = 0
      while (granted < 50 && budget.tryRetry(0, cause)) granted++
      return granted
    }
    assert.strictEqual(spent("transient"), 10)
    assert.strictEqual(spent("throttle"), 4)
    assert.strictEqual(spent("refused"), 50)
  })

  // tower 0.5.3 computes (1 / ratio) as a whole number: 0.6 and 0.7 gave a retry for each call, and 0.3 a third
  for (const [ratio, retries] of [
    [0.6, 600],
    [0.7, 700],
    [0.3, 300],
    [0.9, 900],
    // 1.005 · 1000 is 1004.9999999999999
    [1.005, 1005]
  ] as const) {
    it(`a ratio of ${ratio} gives ${retries} retries for 1000 calls, and is not cut to 1/n`, () => {
      const budget = RetryBudget.make({ ratio, minimumPerSecond: 0, minimumInFlight: 1e6 })
      for (let call = 0; call < 1000; call++) budget.callStarted(0)
      let granted = 0
      while (granted < 2000 && budget.tryRetry(0, "transient")) granted++
      assert.strictEqual(granted, retries)
    })
  }

  it("two budgets share nothing", () => {
    const one = RetryBudget.make({ minimumPerSecond: 0, ratio: 1 })
    const other = RetryBudget.make({ minimumPerSecond: 0, ratio: 1 })
    one.callStarted(0)
    assert.isFalse(other.tryRetry(0, "transient"))
    assert.isTrue(one.tryRetry(0, "transient"))
  })

  it("an option out of range is refused, by its name and with what was got", () => {
    const refused = (options: RetryBudget.Options, message: string) =>
      assert.throws(() => RetryBudget.make(options), RangeError, exactly(`RetryBudget: ${message}`))
    refused({ ttl: "999 millis" }, "ttl (milliseconds) must be between 1000 and 60000, got 999")
    refused({ ttl: "61 seconds" }, "ttl (milliseconds) must be between 1000 and 60000, got 61000")
    refused({ ratio: -0.1 }, "ratio must be between 0 and 10, got -0.1")
    refused({ ratio: 10.1 }, "ratio must be between 0 and 10, got 10.1")
    refused({ ratio: Number.NaN }, "ratio must be between 0 and 10, got NaN")
    refused({ minimumPerSecond: -1 }, "minimumPerSecond must be between 0 and 1000000, got -1")
    refused({ inFlightRatio: 1.1 }, "inFlightRatio must be between 0 and 1, got 1.1")
    refused({ minimumInFlight: 0 }, "minimumInFlight must be between 1 and 1000000, got 0")
    refused({ costs: { throttle: -1 } }, "costs.throttle must be between 0 and 1000, got -1")
    assert.doesNotThrow(() => RetryBudget.make({ ttl: 1000, ratio: 0, minimumPerSecond: 0, inFlightRatio: 0 }))
  })

  it("a budget that observes grants what it would refuse, counts it, and says so", () => {
    const seen: Array<string> = []
    const budget = RetryBudget.make({ ratio: 0.5, minimumPerSecond: 0, mode: "observe" })
    budget.events.subscribe((event) =>
      seen.push(
        event._tag === "RetryRefused" ? `refused ${event.balance} ${event.observed}` : `granted ${event.balance}`
      )
    )
    budget.callStarted(0)
    budget.callStarted(0)
    assert.deepStrictEqual([budget.tryRetry(0, "transient"), budget.tryRetry(0, "timeout")], [true, true])
    assert.deepStrictEqual(seen, ["granted 0", "refused 0 true"])
  })

  it.effect("a budget that is off grants all and counts nothing", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make({ ratio: 0, minimumPerSecond: 0, mode: "off" })
      assert.isTrue(budget.tryRetry(0, "transient"))
      assert.deepInclude(yield* budget.snapshot, { granted: 0, refused: 0 })
    })
  )
})

describe("RetryBudget.paidFrom", () => {
  const everySecond = Schedule.spaced("1 second")

  /** A call of Effect's own retry that never succeeds, and how often it was tried. */
  const failingCall = (budget: RetryBudget.RetryBudget, options?: RetryBudget.PaidFromOptions<string>) => {
    const seen = { tries: 0 }
    const call = Effect.suspend(() => Effect.fail(`try ${++seen.tries}`)).pipe(
      Effect.retry(RetryBudget.paidFrom(everySecond, budget, options)),
      RetryBudget.run(budget)
    )
    return { call, seen }
  }

  it.effect("retries of Effect's own retry end when the budget is spent, with the last failure", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make({ ratio: 2, minimumPerSecond: 0, ttl: "1 minute" })
      const { call, seen } = failingCall(budget)
      const fiber = yield* Effect.forkChild(Effect.flip(call))
      yield* TestClock.adjust("1999 millis")
      assert.strictEqual(seen.tries, 2)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "try 3")
      assert.deepInclude(yield* budget.snapshot, { granted: 2, refused: 1, callsInFlight: 0, retriesInFlight: 0 })
    })
  )

  it.effect("a retry counts as in flight until the next failure or the end of its call, an interruption included", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make({ ratio: 10, minimumInFlight: 1, inFlightRatio: 0 })
      const first = yield* Effect.forkChild(failingCall(budget).call)
      yield* TestClock.adjust(0)
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 1, retriesInFlight: 1 })
      // the one that may be in flight is
      assert.strictEqual(yield* Effect.flip(failingCall(budget).call), "try 1")
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 1, retriesInFlight: 1, granted: 11, refused: 1 })
      yield* Fiber.interrupt(first)
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0 })
    })
  )

  it.effect("a call that succeeds pays for the retries of others, and gives its own places back", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make({ ratio: 0.5, minimumPerSecond: 0 })
      yield* RetryBudget.run(Effect.void, budget)
      let tries = 0
      const call = Effect.suspend(() => (++tries < 2 ? Effect.fail("no") : Effect.succeed("done"))).pipe(
        Effect.retry(everySecond.pipe(RetryBudget.paidFrom(budget))),
        RetryBudget.run(budget)
      )
      const fiber = yield* Effect.forkChild(call)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), "done")
      assert.deepInclude(yield* budget.snapshot, { balance: 0, callsInFlight: 0, retriesInFlight: 0, granted: 1 })
    })
  )

  it.effect("what a retry costs goes by the failure before it", () =>
    Effect.gen(function* () {
      const causes: Array<FailureCause> = []
      const budget = RetryBudget.make({ ratio: 0, minimumPerSecond: 0 })
      budget.events.subscribe(({ cause }) => causes.push(cause))
      yield* Effect.flip(failingCall(budget).call)
      yield* Effect.flip(failingCall(budget, { causeOf: (error) => (error === "try 1" ? "throttle" : "timeout") }).call)
      const timeout = new Reason.AttemptTimeout({ limit: Duration.seconds(1) })
      yield* Effect.fail(timeout).pipe(Effect.retry(everySecond.pipe(RetryBudget.paidFrom(budget))), Effect.flip)
      assert.deepStrictEqual(causes, ["transient", "throttle", "timeout"])
    })
  )

  it.effect("of nested calls with budgets of their own, each pays its own", () =>
    Effect.gen(function* () {
      const outer = RetryBudget.make({ ratio: 1, minimumPerSecond: 0 })
      const inner = RetryBudget.make({ ratio: 0, minimumPerSecond: 0 })
      const call = Effect.fail("no").pipe(
        Effect.retry(everySecond.pipe(RetryBudget.paidFrom(outer))),
        RetryBudget.run(inner),
        RetryBudget.run(outer)
      )
      const fiber = yield* Effect.forkChild(Effect.flip(call))
      yield* TestClock.adjust(0)
      assert.deepInclude(yield* outer.snapshot, { callsInFlight: 1, retriesInFlight: 1 })
      assert.deepInclude(yield* inner.snapshot, { callsInFlight: 1, retriesInFlight: 0 })
      yield* Fiber.interrupt(fiber)
      assert.deepInclude(yield* outer.snapshot, { callsInFlight: 0, retriesInFlight: 0 })
      assert.deepInclude(yield* inner.snapshot, { callsInFlight: 0, retriesInFlight: 0 })
    })
  )

  it.effect("a schedule that ends by itself ends as it did, and takes nothing more", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make()
      const twice = Schedule.recurs(2).pipe(RetryBudget.paidFrom(budget))
      yield* Effect.fail("no").pipe(Effect.retry(twice), Effect.flip)
      assert.deepInclude(yield* budget.snapshot, { granted: 2, refused: 0 })
    })
  )

  it.effect("what goes on behind a call that has ended holds nothing in flight, and gives nothing back twice", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make({ ratio: 10, minimumPerSecond: 10 })
      const inFlight = Effect.map(budget.snapshot, ({ callsInFlight, retriesInFlight }) => [
        callsInFlight,
        retriesInFlight
      ])
      // begun within the call, and left behind by it while a retry of it waits
      const behind = Effect.fail("no").pipe(Effect.retry(everySecond.pipe(RetryBudget.paidFrom(budget))))
      const fiber = yield* RetryBudget.run(Effect.tap(Effect.forkDetach(behind), Effect.yieldNow), budget)
      assert.strictEqual((yield* budget.snapshot).granted, 1, "it had begun")
      assert.deepStrictEqual(yield* inFlight, [0, 0])
      const { call } = failingCall(budget)
      const other = yield* Effect.forkChild(call)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* inFlight, [1, 1])
      // retries behind the ended call are paid, and take no place of the call that runs
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* inFlight, [1, 1])
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* inFlight, [1, 1])
      yield* Fiber.interrupt(other)
      assert.deepStrictEqual(yield* inFlight, [0, 0])
      assert.isAbove((yield* budget.snapshot).granted, 5)
    })
  )

  it.effect("within a call that has ended, the retries count for the one around it that has not", () =>
    Effect.gen(function* () {
      const budget = RetryBudget.make({ ratio: 10 })
      const behind = Effect.fail("no").pipe(Effect.retry(everySecond.pipe(RetryBudget.paidFrom(budget))))
      const inner = RetryBudget.run(Effect.forkChild(behind), budget)
      const outer = RetryBudget.run(Effect.andThen(inner, Effect.sleep("90 seconds")), budget)
      const fiber = yield* Effect.forkChild(outer)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 1, retriesInFlight: 1 })
      yield* Fiber.interrupt(fiber)
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0 })
    })
  )

  it.effect("a cause that there is not is a bug of whoever gave it, and is named with those that there are", () =>
    Effect.gen(function* () {
      const said =
        "RetryBudget: cause must be one of transient, throttle, timeout, refused, permanent, stale, got overload"
      const budget = RetryBudget.make()
      // code without types may say anything
      const overload = "overload" as FailureCause
      assert.throws(() => budget.tryRetry(0, overload), TypeError, exactly(said))
      const exit = yield* Effect.exit(failingCall(budget, { causeOf: () => overload }).call)
      const [reason] = exit._tag === "Failure" ? exit.cause.reasons : []
      assert.match(reason?._tag === "Die" ? String(reason.defect) : "", exactly(`TypeError: ${said}`))
      assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0, granted: 0, refused: 0 })
      // what is off judges nothing
      assert.isTrue(RetryBudget.make({ mode: "off" }).tryRetry(0, overload))
    })
  )
})

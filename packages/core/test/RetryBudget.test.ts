import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import type { FailureCause } from "../src/Outcome.ts"
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

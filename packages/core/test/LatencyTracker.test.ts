import { Duration, Effect } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as LatencyTracker from "../src/LatencyTracker.ts"

describe("LatencyTracker", () => {
  it("a quantile is of the window's samples, and forgets them when the window is over", () => {
    const tracker = LatencyTracker.make({ window: "10 seconds" })
    for (let millis = 1; millis <= 100; millis++) tracker.record(1000, millis)
    assert.closeTo(tracker.quantileMillis(1000, 0.9) ?? 0, 90, 90 / 64)
    assert.strictEqual(tracker.count(9999), 100)
    assert.strictEqual(tracker.count(10_000), 0)
    assert.isUndefined(tracker.quantileMillis(10_000, 0.9))
  })

  it.effect("the snapshot says how many samples there are and how long they took", () =>
    Effect.gen(function* () {
      const tracker = LatencyTracker.make()
      assert.deepStrictEqual(yield* tracker.snapshot, {
        count: 0,
        p50: Duration.zero,
        p90: Duration.zero,
        p99: Duration.zero,
        slowest: Duration.zero
      })
      for (let sample = 0; sample < 99; sample++) tracker.record(0, 0.02)
      tracker.record(0, 0.03)
      // up to 31 µs every microsecond has its own bucket
      assert.deepStrictEqual(yield* tracker.snapshot, {
        count: 100,
        p50: Duration.millis(0.02),
        p90: Duration.millis(0.02),
        p99: Duration.millis(0.02),
        slowest: Duration.millis(0.03)
      })
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* tracker.snapshot).count, 0)
    })
  )

  it.effect("reading the snapshot late does not make it forget", () =>
    Effect.gen(function* () {
      const tracker = LatencyTracker.make()
      tracker.record(0, 5)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* tracker.snapshot).count, 0)
      assert.strictEqual(tracker.count(0), 1)
    })
  )

  it("a window out of range is refused", () => {
    assert.throws(
      () => LatencyTracker.make({ window: "999 millis" }),
      RangeError,
      /^LatencyTracker: window \(milliseconds\) must be between 1000 and 3600000, got 999$/
    )
    assert.throws(() => LatencyTracker.make({ window: "2 hours" }), RangeError, /got 7200000$/)
  })
})

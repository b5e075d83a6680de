import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import * as Share from "../src/internal/time/fairShare.ts"

const bounds = { floorMillis: 250, unknownMillis: 3000 }

/** The share after successes that took so long. */
const after = (...durations: ReadonlyArray<number>): number => {
  const state = Share.makeFairShareState()
  for (const duration of durations) Share.succeeded(state, duration)
  return Share.millis(state, bounds)
}

const duration = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 60_000 })))

describe("an upstream's fair share of time", () => {
  it("is the unknown one before anything has succeeded", () => {
    assert.strictEqual(after(), 3000)
  })

  it("is twice RFC 6298's bound: of the first success its time and four halves of it, then smoothed by 1/8 and 1/4", () => {
    assert.strictEqual(after(100), 2 * (100 + 4 * 50))
    // a mean of 110, and a deviation of 57.5
    assert.strictEqual(after(100, 180), 2 * (110 + 4 * 57.5))
    // a shorter one takes the mean down, and counts as far from it as a longer one
    assert.strictEqual(after(100, 20), 2 * (90 + 4 * 57.5))
  })

  it("is never shorter than the floor, and not cut at the unknown one", () => {
    assert.strictEqual(after(1), 250)
    assert.strictEqual(after(0), 250)
    assert.strictEqual(after(10_000), 60_000)
  })

  it("learns nothing from what is no duration", () => {
    assert.strictEqual(after(Number.NaN), 3000)
    assert.strictEqual(after(-1), 3000)
    assert.strictEqual(after(100, Number.NaN, -5), after(100))
  })

  it.prop("of an upstream that always takes as long, it comes to twice that", [duration], ([millis]) => {
    assert.closeTo(after(...Array.from({ length: 200 }, () => millis)), Math.max(250, 2 * millis), 1e-6)
  })
})

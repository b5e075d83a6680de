import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as Histogram from "../src/internal/time/latencyHistogram.ts"

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

/** Of every magnitude alike. */
const micros = Arbitrary.map(
  Arbitrary.all({ value: int(0, 2 ** 32 - 1), shift: int(0, 31) }),
  ({ shift, value }) => value >>> shift
)

const samples = Arbitrary.array(micros, { minLength: 1, maxLength: 300 })

/** The time jumps, also back, and a sample is recorded. */
const records = Arbitrary.array(Arbitrary.all({ jump: int(-8000, 15_000), millis: int(0, 10_000) }), { maxLength: 150 })

const windowMillis = 30_000
const sliceMillis = windowMillis / Histogram.sliceCount

const nearestRank = (values: ReadonlyArray<number>, quantile: number): number => {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)] ?? Number.NaN
}

const isNear = (got: number | undefined, expected: number): boolean =>
  got !== undefined && Math.abs(got - expected) <= expected / 64 + 1e-9

describe("the latency histogram", () => {
  it.prop("the middle of a bucket is within 1/64 of everything in it", [micros], ([value]) => {
    const bucket = Histogram.bucketOf(value)
    assert.isTrue(bucket >= 0 && bucket < Histogram.bucketCount)
    assert.isTrue(isNear(Histogram.middleOf(bucket), value), `${value} → ${Histogram.middleOf(bucket)}`)
  })

  it("buckets touch each other: none is skipped and none overlaps", () => {
    let last = -1
    for (let value = 0; value < 100_000; value++) {
      const bucket = Histogram.bucketOf(value)
      assert.isTrue(bucket === last || bucket === last + 1, `at ${value}`)
      last = bucket
    }
    assert.strictEqual(Histogram.bucketOf(2 ** 32 - 1), Histogram.bucketCount - 1)
  })

  it.prop(
    "a quantile is the nearest-rank quantile of the samples, within 1/64",
    [samples, int(0, 1000)],
    ([values, thousandths]) => {
      const histogram = Histogram.makeHistogram()
      for (const value of values) Histogram.add(histogram, value / 1000)
      const quantile = thousandths / 1000
      const got = Histogram.quantileMillis(histogram, quantile)
      assert.isTrue(isNear(got, nearestRank(values, quantile) / 1000), `${quantile}: ${got}`)
    },
    { arbitrary: { runs: 300 } }
  )

  it("a histogram without samples has no quantile, and one that was cleared has none", () => {
    const histogram = Histogram.makeHistogram()
    assert.isUndefined(Histogram.quantileMillis(histogram, 0.5))
    Histogram.add(histogram, 7)
    Histogram.clear(histogram)
    assert.isUndefined(Histogram.quantileMillis(histogram, 0.5))
  })

  it("what is no duration is not recorded; what is longer than 71 minutes counts as that", () => {
    const histogram = Histogram.makeHistogram()
    Histogram.add(histogram, -1)
    Histogram.add(histogram, Number.NaN)
    assert.strictEqual(histogram.count, 0)
    Histogram.add(histogram, Infinity)
    assert.isTrue(isNear(Histogram.quantileMillis(histogram, 1), (2 ** 32 - 1) / 1000))
    Histogram.add(histogram, 72 * 60_000)
    assert.strictEqual(histogram.buckets.at(-1), 2)
    const state = Histogram.makeWindowState(windowMillis)
    Histogram.record(state, 0, -1)
    Histogram.record(state, 0, Number.NaN)
    assert.strictEqual(state.total.count, 0)
  })

  it("up to 63 microseconds every one has a bucket of its own, and is its middle", () => {
    for (let value = 0; value < 64; value++) {
      assert.strictEqual(Histogram.bucketOf(value), value)
      assert.strictEqual(Histogram.middleOf(value), value)
    }
  })

  it("what comes late in a fifth of the window leaves with the whole fifth", () => {
    const state = Histogram.makeWindowState(5000)
    Histogram.record(state, 1000, 7)
    assert.strictEqual(Histogram.totalAt(state, 5999).count, 1)
    assert.strictEqual(Histogram.totalAt(state, 6000).count, 0)
  })

  it.prop(
    "a window holds what came in its last five slices, under any clock",
    [records],
    ([events]) => {
      const state = Histogram.makeWindowState(windowMillis)
      let now = 1e9
      let slice = 0
      const kept: Array<{ readonly slice: number; readonly micros: number }> = []
      for (const { jump, millis } of events) {
        now = Math.max(0, now + jump)
        slice = Math.max(slice, Math.floor(now / sliceMillis))
        Histogram.record(state, now, millis)
        kept.push({ slice, micros: millis * 1000 })
        const inWindow = kept.filter((sample) => sample.slice > slice - Histogram.sliceCount)
        assert.strictEqual(state.total.count, inWindow.length)
        const expected = nearestRank(
          inWindow.map((sample) => sample.micros),
          0.9
        )
        assert.isTrue(isNear(Histogram.quantileMillis(state.total, 0.9), expected / 1000))
      }
    },
    { arbitrary: { runs: 200 } }
  )

  it.prop(
    "looking at a later time changes nothing, and sees what the window will hold then",
    [records, int(0, 60_000)],
    ([events, later]) => {
      const state = Histogram.makeWindowState(windowMillis)
      let now = 1e9
      for (const { jump, millis } of events) Histogram.record(state, (now += Math.abs(jump)), millis)
      const before = structuredClone(state)
      const seen = Histogram.totalAt(state, now + later)
      assert.deepStrictEqual(state, before)
      Histogram.advance(state, now + later)
      assert.deepStrictEqual(seen, state.total)
    }
  )
})

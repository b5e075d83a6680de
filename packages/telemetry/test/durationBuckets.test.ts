import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { bucketCount, bucketOf, quantileMillis, shownMillis } from "../src/internal/metrics/durationBuckets.ts"

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

/** Milliseconds of every magnitude between 16 µs and 268 s alike. */
const millis = Arbitrary.map(
  Arbitrary.all({ octave: int(4, 27), fraction: int(0, 999_999) }),
  ({ fraction, octave }) => (2 ** octave * (1 + fraction / 1_000_000)) / 1000
)

const samples = Arbitrary.array(millis, { minLength: 1, maxLength: 300 })

const nearestRank = (values: ReadonlyArray<number>, quantile: number): number => {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)] ?? Number.NaN
}

describe("the buckets of durations", () => {
  it.prop(
    "a quantile is the nearest-rank quantile of the samples, within 5 %",
    [samples, int(0, 1000)],
    ([values, of]) => {
      const offset = 3
      const counters = new Uint32Array(offset + bucketCount)
      for (const value of values) {
        const bucket = bucketOf(value)
        counters[offset + bucket] = (counters[offset + bucket] ?? 0) + 1
      }
      const exact = nearestRank(values, of / 1000)
      const got = quantileMillis(counters, offset, of / 1000) ?? Number.NaN
      assert.isTrue(Math.abs(got - exact) <= 0.05 * exact, `${got} for ${exact}`)
    }
  )

  it("buckets touch each other: none is skipped and none overlaps", () => {
    let last = 0
    for (let micros = 1; micros < 2 ** 28; micros *= 1.004) {
      const bucket = bucketOf(micros / 1000)
      assert.isTrue(bucket === last || bucket === last + 1, `at ${micros}`)
      last = bucket
    }
    assert.strictEqual(last, bucketCount - 2)
  })

  it("what is out of range, and what is no duration, is in the first and last bucket", () => {
    for (const short of [0, 0.001, 0.0159, -1, Number.NaN]) assert.strictEqual(bucketOf(short), 0, String(short))
    for (const long of [2 ** 28 / 1000, 1e9, Number.POSITIVE_INFINITY]) {
      assert.strictEqual(bucketOf(long), bucketCount - 1, String(long))
    }
    assert.strictEqual(shownMillis(0), 0.008)
    assert.strictEqual(shownMillis(bucketCount - 1), 268_435.456)
  })

  it("there is no quantile of nothing, whatever stands beside it", () => {
    assert.isUndefined(quantileMillis(new Uint32Array(bucketCount), 0, 0.5))
    const beside = new Uint32Array(bucketCount + 2).fill(9, 0, 1).fill(9, bucketCount + 1)
    assert.isUndefined(quantileMillis(beside, 1, 0.5))
  })

  it("each power of two from 16 µs to 268 s is cut into ten equal buckets, which begin where the last ended", () => {
    for (let bucket = 1; bucket < bucketCount - 1; bucket++) {
      const base = 2 ** (4 + Math.floor((bucket - 1) / 10))
      const from = base + (base * ((bucket - 1) % 10)) / 10
      const width = base / 10
      for (const share of [0.001, 0.5, 0.999]) {
        assert.strictEqual(bucketOf((from + share * width) / 1000), bucket, `${from} + ${share} µs`)
      }
      const shown = shownMillis(bucket) * 1000
      const error = Math.max(shown / from - 1, 1 - shown / (from + width))
      assert.isAtMost(error, width / (2 * from + width) + 1e-9, `bucket ${bucket} as ${shown} µs`)
    }
    assert.strictEqual(bucketOf(0.016), 1)
    assert.strictEqual(bucketCount, 242)
  })

  it("a quantile is taken of the first bucket and of the last as of any other, and 0 is the shortest", () => {
    const offset = 1
    // what stands before and after belongs to others
    const counters = new Uint32Array(bucketCount + 2).fill(1000)
    counters.fill(0, offset, offset + bucketCount)
    for (const millis of [0.001, 0.001, 1e9, 1e9]) {
      const bucket = offset + bucketOf(millis)
      counters[bucket] = (counters[bucket] ?? 0) + 1
    }
    const shown = [0, 0.25, 0.5, 0.51, 1].map((quantile) => quantileMillis(counters, offset, quantile))
    assert.deepStrictEqual(shown, [0.008, 0.008, 0.008, 268_435.456, 268_435.456])
  })
})

import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { countersAt, makeTimeSlices, sliceCount, totalAt, type WindowName } from "../src/internal/windows/timeSlices.ts"

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

/** Short steps mostly, long pauses sometimes, and a clock that goes back. */
const jump = Arbitrary.map(Arbitrary.all({ kind: int(0, 9), of: int(0, 1_000_000) }), ({ kind, of }) => {
  if (kind < 6) return of % 3000
  if (kind < 8) return of % 40_000
  return kind === 8 ? of : -(of % 5000)
})

const steps = Arbitrary.array(Arbitrary.all({ jump, counter: int(0, 2) }), { maxLength: 200 })

const windows = [
  { name: "last10Seconds", sliceMillis: 2000, places: 5 },
  { name: "lastMinute", sliceMillis: 10_000, places: 6 },
  { name: "last5Minutes", sliceMillis: 60_000, places: 5 }
] as const satisfies ReadonlyArray<{ readonly name: WindowName; readonly sliceMillis: number; readonly places: number }>

describe("the slices of time", () => {
  it.prop(
    "a window holds what was counted in its slices, each count once, however time goes",
    [steps, int(0, 400_000)],
    ([steps, later]) => {
      const slices = makeTimeSlices(3)
      const counted: Array<{ readonly millis: number; readonly counter: number }> = []
      let nowMillis = 0
      let youngestMillis = 0
      const check = (readMillis: number): void => {
        const instant = Math.max(readMillis, youngestMillis)
        for (const { name, places, sliceMillis } of windows) {
          const first = (Math.floor(instant / sliceMillis) - places + 1) * sliceMillis
          const expected = [0, 0, 0]
          for (const { counter, millis } of counted) {
            if (millis >= first) expected[counter] = (expected[counter] ?? 0) + 1
          }
          const { counters, coveredMillis } = totalAt(slices, name, readMillis)
          assert.deepStrictEqual([...counters], expected, `${name} at ${readMillis}`)
          assert.strictEqual(coveredMillis, instant - first)
          assert.isTrue(coveredMillis >= (places - 1) * sliceMillis && coveredMillis < places * sliceMillis)
        }
      }
      for (const { counter, jump } of steps) {
        nowMillis = Math.max(0, nowMillis + jump)
        const counters = countersAt(slices, nowMillis)
        counters[counter] = (counters[counter] ?? 0) + 1
        // a clock that went back counts in the youngest slice
        youngestMillis = Math.max(youngestMillis, Math.floor(nowMillis / 2000) * 2000)
        counted.push({ millis: Math.max(nowMillis, youngestMillis), counter })
        check(nowMillis)
      }
      // twice: reading changes nothing
      check(nowMillis + later)
      check(nowMillis + later)
      check(nowMillis)
    },
    { arbitrary: { runs: 300 } }
  )

  it("a slice that is pushed out late, after younger ones of its place were, does not take their place", () => {
    const slices = makeTimeSlices(1)
    const countAt = (number: number): void => {
      const counters = countersAt(slices, number * 2000)
      counters[0] = (counters[0] ?? 0) + 1
    }
    // 101 stays in its place of the first ring until 226 wants it; 220 has come into the same place of the next one by then
    for (const number of [101, 220, 225, 226]) countAt(number)
    assert.deepStrictEqual([...totalAt(slices, "lastMinute", 226 * 2000).counters], [3])
    assert.deepStrictEqual([...totalAt(slices, "last5Minutes", 226 * 2000).counters], [4])
    // 101 is of the fourth minute, which the window of the ninth has not
    assert.deepStrictEqual([...totalAt(slices, "last5Minutes", 8 * 60_000).counters], [3])
    assert.deepStrictEqual([...totalAt(slices, "last5Minutes", 300 * 2000).counters], [3])
  })

  it("there are as many slices as are said, and each is made when it is first used", () => {
    const slices = makeTimeSlices(2)
    const made = () => slices.rings.flat().filter(({ counters }) => counters !== undefined).length
    assert.strictEqual(made(), 0)
    countersAt(slices, 5000)
    assert.strictEqual(made(), 1)
    for (let second = 0; second < 3600; second++) countersAt(slices, second * 1000)
    assert.strictEqual(made(), sliceCount)
    assert.strictEqual(sliceCount, 16)
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import * as Windows from "../src/internal/circuit/window.ts"

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const call = Schema.Struct({
  failed: Schema.Boolean,
  slow: Schema.Boolean,
  afterMillis: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1500 }))
})

type Call = typeof call.Type

const calls = Arbitrary.array(Arbitrary.schema(call), { maxLength: 150 })

/** The four cells, counted the slow way. */
const counted = (of: ReadonlyArray<Call>): Windows.Counts => ({
  ok: of.filter(({ failed, slow }) => !failed && !slow).length,
  slowOk: of.filter(({ failed, slow }) => !failed && slow).length,
  failed: of.filter(({ failed, slow }) => failed && !slow).length,
  slowFailed: of.filter(({ failed, slow }) => failed && slow).length
})

describe("windows over finished calls", () => {
  it.prop("a count window holds the last calls, and no other", [int(1, 40), calls], ([size, all]) => {
    const window = Windows.makeCountWindow(size)
    for (const [index, { failed, slow }] of all.entries()) {
      Windows.record(window, Windows.cellOf(failed, slow), 0)
      assert.deepStrictEqual(window.counts, counted(all.slice(Math.max(0, index + 1 - size), index + 1)))
    }
    assert.deepStrictEqual(Windows.read(window, 0), counted(all.slice(-size)))
  })

  it.prop(
    "a time window holds the calls of the bucket that time is in and of the nine before it",
    [int(100, 5000), calls, int(0, 6000)],
    ([millis, all, later]) => {
      const window = Windows.makeTimeWindow(millis)
      const bucketOf = (at: number) => Math.floor((at * 10) / millis)
      const seen: Array<Call & { readonly at: number }> = []
      const held = (at: number) => counted(seen.filter((one) => bucketOf(one.at) > bucketOf(at) - 10))
      let at = 0
      for (const one of all) {
        at += one.afterMillis
        seen.push({ ...one, at })
        Windows.record(window, Windows.cellOf(one.failed, one.slow), at)
        assert.deepStrictEqual(window.counts, held(at))
      }
      const before = structuredClone(window)
      assert.deepStrictEqual(Windows.read(window, at + later), held(at + later))
      assert.deepStrictEqual(window, before, "reading changes nothing")
    }
  )

  it.prop("a cleared window holds nothing, and counts anew", [int(1, 40), calls], ([size, all]) => {
    for (const window of [Windows.makeCountWindow(size), Windows.makeTimeWindow(1000)]) {
      for (const { failed, slow } of all) Windows.record(window, Windows.cellOf(failed, slow), 500)
      Windows.clear(window)
      assert.deepStrictEqual(Windows.read(window, 500), Windows.noCounts())
      Windows.record(window, 3, 510)
      assert.deepStrictEqual(Windows.read(window, 510), { ok: 0, slowOk: 0, failed: 0, slowFailed: 1 })
      for (let index = 0; index < size; index++) Windows.record(window, 0, 520)
      const kept = window._tag === "Time" ? 1 : 0
      assert.deepStrictEqual(Windows.read(window, 520), { ok: size, slowOk: 0, failed: 0, slowFailed: kept })
      if (window._tag === "Time") assert.deepStrictEqual(Windows.read(window, 1700), Windows.noCounts())
    }
  })

  it("the rates read the same four cells: a slow failure is in both", () => {
    const counts = { ok: 1, slowOk: 2, failed: 4, slowFailed: 8 }
    assert.strictEqual(Windows.totalOf(counts), 15)
    assert.strictEqual(Windows.failedOf(counts), 12)
    assert.strictEqual(Windows.slowOf(counts), 10)
    assert.deepStrictEqual(
      [
        Windows.cellOf(false, false),
        Windows.cellOf(false, true),
        Windows.cellOf(true, false),
        Windows.cellOf(true, true)
      ],
      [0, 1, 2, 3]
    )
  })
})

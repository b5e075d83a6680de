import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as SlidingWindow from "../src/internal/limits/slidingWindow.ts"
import { at, int, kind, playOn, waitsOn } from "./support/slots.ts"

const windowMillis = 1000

const limit = Arbitrary.schema(int(1, 6))

const happening = Schema.Struct({
  event: kind,
  jumpMillis: Schema.Union([int(-300, 500), Schema.Literals([0, 0.25, 1])]),
  cost: Schema.Literals([0.25, 1, 1, 1, 2, 6]),
  notBeforeMillis: int(-100, 800),
  who: int(0, 1000)
})

const happenings = Arbitrary.array(Arbitrary.schema(happening), { maxLength: 80 })

const play = playOn(SlidingWindow)

const entries = (state: SlidingWindow.WindowState): number => {
  let count = 0
  for (let slot = state.first; slot !== undefined; slot = slot.next) count++
  return count
}

const makeWindow = (limit: number) => SlidingWindow.makeWindowState({ limit, windowMillis })

const waits = waitsOn(SlidingWindow)

describe("the sliding window", () => {
  it.prop(
    "in no interval as long as the window, wherever it begins, does more go than the limit",
    [limit, happenings],
    ([limit, events]) => {
      const { gone } = play(makeWindow(limit), events)
      for (const from of gone) {
        const end = at(from) + windowMillis
        const sum = gone
          .filter((to) => at(to) >= at(from) && at(to) < end - 1e-6)
          .reduce((total, { cost }) => total + cost, 0)
        assert.isTrue(sum <= limit + 1e-9, `${sum} from ${at(from)}`)
      }
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop("nobody goes before who came before", [limit, happenings], ([limit, events]) => {
    play(makeWindow(limit), events, (gone) => {
      for (const [index, later] of gone.entries()) {
        const earlier = gone[index - 1]
        if (earlier !== undefined) assert.isTrue(at(earlier) <= at(later) + 1e-6)
      }
    })
  })

  it.prop("the log's total is the sum of its entries", [limit, happenings], ([limit, events]) => {
    const state = makeWindow(limit)
    play(state, events, () => {
      let sum = 0
      for (let slot = state.first; slot !== undefined; slot = slot.next) sum += slot.cost
      assert.strictEqual(state.total, sum)
    })
  })

  it.prop(
    "asking, and reading what is left and who waits, change nothing",
    [limit, happenings, Arbitrary.schema(int(-500, 5000))],
    ([limit, events, later]) => {
      const state = makeWindow(limit)
      const { latest } = play(state, events)
      const before = structuredClone(state)
      SlidingWindow.waitFor(state, latest + later, 1, latest + 700)
      SlidingWindow.remaining(state, latest + later)
      SlidingWindow.waiting(state, latest + later)
      assert.deepStrictEqual(state, before)
    }
  )

  it.prop(
    "when everyone who waits gives up, in any order, the window is as if they had not come",
    [limit, happenings, Arbitrary.array(Arbitrary.schema(int(0, 1000)), { minLength: 8, maxLength: 8 })],
    ([limit, events, order]) => {
      const state = makeWindow(limit)
      const { gone, latest } = play(state, events)
      for (const { slot } of gone) if (slot !== undefined) SlidingWindow.giveBack(state, latest, slot)
      assert.strictEqual(SlidingWindow.waiting(state, latest), 0)
      // nobody waits: this does nothing but tell the time
      SlidingWindow.postpone(state, latest, latest)
      const before = structuredClone(state)
      const slots = order.map((key) => {
        const wait = SlidingWindow.waitFor(state, latest, 1, latest + 5)
        return { key, slot: SlidingWindow.take(state, latest, 1, wait) }
      })
      assert.strictEqual(SlidingWindow.waiting(state, latest), order.length)
      for (const { slot } of slots.toSorted((one, other) => one.key - other.key)) {
        if (slot !== undefined) assert.isTrue(SlidingWindow.giveBack(state, latest, slot))
      }
      assert.deepStrictEqual(state, before)
    }
  )

  it("a whole window passes at once, and each of them makes room a window later", () => {
    const state = makeWindow(2)
    assert.deepStrictEqual(waits(state, 1, 0), [0])
    assert.deepStrictEqual(waits(state, 3, 400), [0, 600, 1000])
    assert.strictEqual(SlidingWindow.waitFor(state, 400, 1, -Infinity), 1600)
  })

  it("a slot's time has come at its very instant, and it cannot be given back", () => {
    const state = makeWindow(1)
    waits(state, 1, 0)
    const slot = SlidingWindow.take(state, 0, 1, SlidingWindow.waitFor(state, 0, 1, 0))
    if (slot === undefined) return assert.fail()
    assert.isFalse(SlidingWindow.giveBack(state, slot.atMillis, slot))
  })

  it("what left the window is forgotten", () => {
    const state = makeWindow(3)
    waits(state, 3, 0)
    assert.strictEqual(SlidingWindow.remaining(state, 999), 0)
    assert.strictEqual(SlidingWindow.remaining(state, 1000), 3)
    waits(state, 1, 5000)
    assert.strictEqual(entries(state), 1)
  })

  it("twice the limit never passes around the edge of a window", () => {
    const state = makeWindow(10)
    assert.deepStrictEqual(new Set(waits(state, 10, 990)), new Set([0]))
    assert.strictEqual(SlidingWindow.waitFor(state, 1010, 1, -Infinity), 980)
  })

  it("a call that costs more waits for as much room; what costs more than the limit never goes", () => {
    const state = makeWindow(3)
    waits(state, 1, 0)
    waits(state, 1, 100)
    waits(state, 1, 200)
    assert.strictEqual(SlidingWindow.waitFor(state, 300, 2, -Infinity), 800)
    assert.strictEqual(SlidingWindow.waitFor(state, 300, 3, -Infinity), 900)
    assert.strictEqual(SlidingWindow.waitFor(state, 300, 3.5, -Infinity), Infinity)
  })

  it("the log of a high limit stays short, and nothing passes that should not", () => {
    const state = makeWindow(10_000)
    const passed: Array<number> = []
    for (let step = 0; step < 60_000; step++) {
      const now = step / 20
      if (SlidingWindow.waitFor(state, now, 1, -Infinity) !== 0) continue
      SlidingWindow.take(state, now, 1, 0)
      passed.push(now)
    }
    assert.isTrue(passed.length > 29_900 && passed.length <= 30_000, `${passed.length} passed`)
    for (const [index, now] of passed.entries()) {
      const whole = passed[index + 10_000]
      if (whole !== undefined) assert.isTrue(whole - now >= windowMillis)
    }
    assert.isBelow(entries(state), 1010)
  })

  it("a clock that goes back lets nothing fall out of the window", () => {
    const state = makeWindow(2)
    waits(state, 2, 10_000)
    for (const back of [1, 500, 9000]) {
      assert.strictEqual(SlidingWindow.remaining(state, 10_000 - back), 0)
      assert.strictEqual(SlidingWindow.waitFor(state, 10_000 - back, 1, -Infinity), 1000)
    }
  })

  it("a call that went at this very instant is not postponed", () => {
    const state = makeWindow(5)
    assert.isUndefined(SlidingWindow.take(state, 10, 1, 0))
    SlidingWindow.postpone(state, 10, 5000)
    assert.strictEqual(SlidingWindow.waiting(state, 10), 0)
    assert.strictEqual(state.last?.atMillis, 10)
  })

  it("who waits is moved together, at the distances that they had", () => {
    const state = makeWindow(1)
    waits(state, 1, 0)
    const slots = [1, 2].map(() => SlidingWindow.take(state, 0, 1, SlidingWindow.waitFor(state, 0, 1, 0)))
    SlidingWindow.postpone(state, 50, 5000)
    assert.deepStrictEqual(
      slots.map((slot) => slot && SlidingWindow.waitOf(state, 50, slot)),
      [4950, 5950]
    )
    SlidingWindow.postpone(state, 50, 100)
    assert.strictEqual(SlidingWindow.waitFor(state, 50, 1, 0), 6950, "never to an earlier time")
  })

  it.prop(
    "a window that follows another lets through what the other would have let through",
    [limit, happenings],
    ([limit, events]) => {
      const before = makeWindow(limit)
      const { latest } = play(before, events)
      // whoever waits there has gone
      const now = latest + 10 * windowMillis
      for (const cost of [1, 1, limit]) {
        SlidingWindow.take(before, now, cost, SlidingWindow.waitFor(before, now, cost, -Infinity))
      }
      const next = makeWindow(limit)
      SlidingWindow.follow(next, SlidingWindow.used(before))
      for (const later of [0, 1, 500, 999, 1000, 2500]) {
        for (const cost of [0.25, 1, limit]) {
          assert.strictEqual(
            SlidingWindow.waitFor(next, now + later, cost, -Infinity),
            SlidingWindow.waitFor(before, now + later, cost, -Infinity)
          )
        }
        assert.strictEqual(SlidingWindow.remaining(next, now + later), SlidingWindow.remaining(before, now + later))
        assert.strictEqual(SlidingWindow.waiting(next, now + later), SlidingWindow.waiting(before, now + later))
      }
    }
  )

  it("a window that follows another holds what comes to what went over the other, entry by entry", () => {
    const before = makeWindow(3)
    for (const nowMillis of [100, 200, 300]) SlidingWindow.take(before, nowMillis, 1, 0)
    const next = makeWindow(3)
    SlidingWindow.follow(next, SlidingWindow.used(before))
    assert.deepStrictEqual(SlidingWindow.used(next), [
      { atMillis: 100, cost: 1 },
      { atMillis: 200, cost: 1 },
      { atMillis: 300, cost: 1 }
    ])
    assert.deepStrictEqual(waits(next, 3, 300), [800, 900, 1000])
  })
})

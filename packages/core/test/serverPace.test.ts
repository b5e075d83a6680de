import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as Pace from "../src/internal/limits/serverPace.ts"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const word = (remaining: number, resetAfterMillis: number): Pace.Word => ({
  remaining,
  resetAfterMillis,
  paceMillis: resetAfterMillis / Math.max(1, remaining)
})

/** When calls would go that come at the same time, one after the other. */
const times = (state: Pace.PaceState, count: number, now: number) =>
  Array.from({ length: count }, () => {
    const at = Math.max(now, Pace.notBefore(state, now, 1))
    Pace.count(state, now, 1, at - now)
    return at
  })

describe("the server's pace", () => {
  it("until the server says something, nobody waits for it", () => {
    assert.strictEqual(Pace.notBefore(Pace.makePaceState(60_000), 0, 1), -Infinity)
  })

  it("half of what is left goes at once, the rest is spread, and what is beyond it goes when the time is over", () => {
    const state = Pace.makePaceState(60_000)
    Pace.hear(state, 1000, word(4, 400))
    assert.deepStrictEqual(times(state, 6, 1000), [1000, 1000, 1100, 1200, 1400, 1400])
    assert.isTrue(Pace.isInForce(state, 1399))
    assert.isFalse(Pace.isInForce(state, 1400))
    assert.strictEqual(Pace.notBefore(state, 1400, 1), -Infinity)
  })

  it("any time above 0 is one, and any pace from 0", () => {
    const state = Pace.makePaceState(60_000)
    assert.isTrue(Pace.hear(state, 0, { remaining: 5, resetAfterMillis: 0.5, paceMillis: 0 }))
    assert.isFalse(Pace.hear(state, 0, { remaining: 5, resetAfterMillis: 0, paceMillis: 0 }))
    assert.isFalse(Pace.hear(state, 0, { remaining: -0.5, resetAfterMillis: 1, paceMillis: 0 }))
    assert.isFalse(Pace.hear(state, 0, { remaining: 5, resetAfterMillis: 1, paceMillis: -0.5 }))
  })

  it("a word that comes when the one before it is over begins anew: half of it goes at once", () => {
    const state = Pace.makePaceState(60_000)
    Pace.hear(state, 1000, word(4, 400))
    times(state, 4, 1000)
    Pace.hear(state, 1400, word(8, 4000))
    assert.deepStrictEqual(times(state, 5, 1400), [1400, 1400, 1400, 1400, 1900])
  })

  it("of two calls one goes at once, and in time means now", () => {
    const state = Pace.makePaceState(60_000)
    Pace.hear(state, 1000, word(2, 200))
    assert.strictEqual(Pace.notBefore(state, 1000, 1), -Infinity)
    Pace.count(state, 1000, 1, 0)
    assert.strictEqual(Pace.notBefore(state, 1000, 1), 1100)
    assert.strictEqual(Pace.notBefore(state, 1100, 1), -Infinity)
  })

  it("a call that goes when the word is over is not counted, nor is one under a clock that went back", () => {
    const state = Pace.makePaceState(60_000)
    Pace.hear(state, 1000, word(4, 400))
    Pace.count(state, 1000, 1, 400)
    Pace.count(state, 100, 1, 500)
    assert.strictEqual(state.remaining, 4)
    Pace.count(state, 1000, 1, 399)
    assert.strictEqual(state.remaining, 3)
  })

  it("a word that is heard when the clock went back holds from the latest time that was seen", () => {
    const state = Pace.makePaceState(60_000)
    Pace.hear(state, 1000, word(4, 400))
    Pace.hear(state, 500, word(4, 400))
    assert.strictEqual(state.untilMillis, 1400)
    assert.isTrue(Pace.isInForce(state, 1399))
  })

  it("with nothing left, one call is more than was said before", () => {
    const state = Pace.makePaceState(60_000)
    Pace.hear(state, 0, word(0, 2000))
    assert.isFalse(Pace.hear(state, 10, word(1, 2000)))
  })

  it("with nothing left everybody waits", () => {
    const state = Pace.makePaceState(60_000)
    Pace.hear(state, 1000, word(0, 2000))
    assert.deepStrictEqual(times(state, 2, 1500), [3000, 3000])
  })

  it("a hostile reset stops nobody longer than what is believed (the draft's 8.5 names t=36400)", () => {
    const state = Pace.makePaceState(60_000)
    Pace.hear(state, 0, word(0, 36_400_000))
    assert.strictEqual(Pace.notBefore(state, 0, 1), 60_000)
    const slow = Pace.makePaceState(60_000)
    Pace.hear(slow, 0, word(1, 36_400_000))
    assert.deepStrictEqual(times(slow, 2, 0), [0, 60_000])
  })

  it("while nothing is left, an older answer that allows more is not believed, and a longer wait is", () => {
    const state = Pace.makePaceState(60_000)
    Pace.hear(state, 0, word(0, 2000))
    assert.isFalse(Pace.hear(state, 10, word(5, 2000)))
    assert.strictEqual(Pace.notBefore(state, 10, 1), 2000)
    assert.isTrue(Pace.hear(state, 20, word(0, 1000)))
    assert.strictEqual(Pace.notBefore(state, 20, 1), 2000, "the slowest counts")
    assert.isTrue(Pace.hear(state, 30, word(0, 5000)))
    assert.strictEqual(Pace.notBefore(state, 30, 1), 5030)
    assert.isTrue(Pace.hear(state, 5030, word(5, 2000)))
    assert.strictEqual(Pace.notBefore(state, 5030, 1), -Infinity)
  })

  it("a word that follows another changes the pace, and does not let a burst pass again", () => {
    const state = Pace.makePaceState(60_000)
    Pace.hear(state, 0, word(10, 1000))
    assert.deepStrictEqual(times(state, 5, 0), [0, 0, 0, 0, 0])
    Pace.hear(state, 1, word(5, 1000))
    const [next = 0] = times(state, 1, 1)
    assert.isAbove(next, 100)
  })

  it("what makes no sense is not taken", () => {
    const state = Pace.makePaceState(60_000)
    for (const nonsense of [word(-1, 10), word(Number.NaN, 10), word(1, 0), word(1, -5), word(1, Number.NaN)]) {
      assert.isFalse(Pace.hear(state, 0, nonsense))
    }
    assert.isFalse(Pace.isInForce(state, 0))
  })

  it.prop(
    "nobody is ever told to wait longer than what is believed, nor beyond the end of the server's word",
    [
      Arbitrary.array(
        Arbitrary.schema(
          Schema.Struct({
            jumpMillis: int(-500, 2000),
            remaining: int(0, 5),
            resetAfterMillis: int(0, 100_000),
            isHeard: Schema.Boolean,
            cost: int(1, 3)
          })
        ),
        { maxLength: 50 }
      )
    ],
    ([events]) => {
      const state = Pace.makePaceState(3000)
      let now = 1e6
      let latest = now
      for (const { cost, isHeard, jumpMillis, remaining, resetAfterMillis } of events) {
        now += jumpMillis
        latest = Math.max(latest, now)
        if (isHeard) Pace.hear(state, now, word(remaining, resetAfterMillis))
        const notBefore = Pace.notBefore(state, now, cost)
        assert.isTrue(notBefore <= latest + 3000)
        assert.isTrue(notBefore === -Infinity || notBefore <= state.untilMillis)
        Pace.count(state, now, cost, Math.max(0, notBefore - latest))
        assert.isTrue(state.remaining >= 0)
      }
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop(
    "of calls that the server has not answered yet, no more go within its time than it left",
    [
      Arbitrary.schema(int(0, 20)),
      Arbitrary.schema(int(1, 5000)),
      Arbitrary.array(Arbitrary.schema(int(0, 300)), { maxLength: 40 })
    ],
    ([remaining, resetAfterMillis, jumps]) => {
      const state = Pace.makePaceState(60_000)
      Pace.hear(state, 0, word(remaining, resetAfterMillis))
      let now = 0
      let within = 0
      for (const jump of jumps) {
        now += jump
        const [at = 0] = times(state, 1, now)
        if (at < resetAfterMillis) within++
      }
      assert.isTrue(within <= remaining)
    }
  )
})

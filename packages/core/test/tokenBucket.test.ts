import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as TokenBucket from "../src/internal/limits/tokenBucket.ts"
import { at, int, kind, playOn, waitsOn } from "./support/slots.ts"

const shape = Arbitrary.all({
  capacity: Arbitrary.schema(int(1, 5)),
  intervalMillis: Arbitrary.schema(Schema.Literals([1, 10, 100 / 3, 1000]))
})

const happening = Schema.Struct({
  event: kind,
  jumpMillis: int(-200, 300),
  cost: Schema.Literals([0.5, 1, 1, 1, 2, 5]),
  notBeforeMillis: int(-100, 500),
  who: int(0, 1000)
})

const happenings = Arbitrary.array(Arbitrary.schema(happening), { maxLength: 60 })

const play = playOn(TokenBucket)

const bucket = (capacity: number, intervalMillis: number) => TokenBucket.makeBucketState({ capacity, intervalMillis })

const waits = waitsOn(TokenBucket)

describe("the token bucket", () => {
  it.prop(
    "in no interval do more tokens go than the bucket holds and the interval brings",
    [shape, happenings],
    ([of, events]) => {
      const { gone } = play(TokenBucket.makeBucketState(of), events)
      const byTime = gone.toSorted((one, other) => at(one) - at(other))
      for (const [index, from] of byTime.entries()) {
        let sum = 0
        for (const to of byTime.slice(index)) {
          sum += to.cost
          const brought = (at(to) - at(from)) / of.intervalMillis
          assert.isTrue(sum <= of.capacity + brought + 0.01, `${sum} in ${at(to) - at(from)} ms`)
        }
      }
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop("nobody goes before who came before", [shape, happenings], ([of, events]) => {
    play(TokenBucket.makeBucketState(of), events, (gone) => {
      for (const [index, later] of gone.entries()) {
        const earlier = gone[index - 1]
        if (earlier !== undefined) assert.isTrue(at(earlier) <= at(later) + 1e-6)
      }
    })
  })

  it.prop(
    "asking, and reading what is left and who waits, change nothing",
    [shape, happenings, Arbitrary.schema(int(-500, 5000))],
    ([of, events, later]) => {
      const state = TokenBucket.makeBucketState(of)
      const { latest } = play(state, events)
      const before = structuredClone(state)
      TokenBucket.waitFor(state, latest + later, 1, latest + 700)
      TokenBucket.remaining(state, latest + later)
      TokenBucket.waiting(state, latest + later)
      assert.deepStrictEqual(state, before)
    }
  )

  it.prop(
    "when everyone who waits gives up, in any order, the bucket is as if they had not come",
    [shape, happenings, Arbitrary.array(Arbitrary.schema(int(0, 1000)), { minLength: 8, maxLength: 8 })],
    ([of, events, order]) => {
      const state = TokenBucket.makeBucketState(of)
      const { gone, latest } = play(state, events)
      for (const { slot } of gone) if (slot !== undefined) TokenBucket.giveBack(state, latest, slot)
      assert.strictEqual(TokenBucket.waiting(state, latest), 0)
      const emptyAtMillis = state.emptyAtMillis
      const slots = order.map((key) => {
        const wait = TokenBucket.waitFor(state, latest, 1, latest + 5)
        return { key, slot: TokenBucket.take(state, latest, 1, wait) }
      })
      assert.strictEqual(TokenBucket.waiting(state, latest), order.length)
      for (const { slot } of slots.toSorted((one, other) => one.key - other.key)) {
        if (slot !== undefined) assert.isTrue(TokenBucket.giveBack(state, latest, slot))
      }
      assert.strictEqual(state.emptyAtMillis, emptyAtMillis)
      assert.isUndefined(state.first)
      assert.isUndefined(state.last)
    }
  )

  it.prop("a clock that goes back refills nothing", [shape, Arbitrary.schema(int(0, 100_000))], ([of, back]) => {
    const state = TokenBucket.makeBucketState(of)
    waits(state, of.capacity, 1e6)
    assert.strictEqual(TokenBucket.remaining(state, 1e6 - back), 0)
    assert.closeTo(TokenBucket.waitFor(state, 1e6 - back, 1, -Infinity), of.intervalMillis, 1e-3)
  })

  it("a full bucket lets its capacity pass at once, then one each interval", () => {
    assert.deepStrictEqual(waits(bucket(3, 100), 6, 5000), [0, 0, 0, 100, 200, 300])
  })

  it("smooth: a bucket of one spaces calls evenly (failsafe-go's smooth rate limiter, 500 ms)", () => {
    const state = bucket(1, 500)
    assert.deepStrictEqual(waits(state, 3, 0), [0, 500, 1000])
    assert.strictEqual(TokenBucket.waitFor(state, 1100, 1, -Infinity), 400)
    assert.strictEqual(TokenBucket.waitFor(state, 1500, 1, -Infinity), 0)
  })

  it("who need not wait has no slot, who waits a millisecond has one, and a microsecond is no wait", () => {
    const state = TokenBucket.makeBucketState({ capacity: 1, intervalMillis: 1 })
    assert.isUndefined(TokenBucket.take(state, 0, 1, TokenBucket.waitFor(state, 0, 1, 0)))
    assert.strictEqual(TokenBucket.waitFor(state, 0, 1, 0), 1)
    assert.isDefined(TokenBucket.take(state, 0, 1, 1))
    const fast = TokenBucket.makeBucketState({ capacity: 1, intervalMillis: 1e-3 })
    TokenBucket.take(fast, 0, 1, 0)
    assert.strictEqual(TokenBucket.waitFor(fast, 0, 1, 0), 0)
  })

  it("an interval that no number holds exactly makes nobody wait for its rounding", () => {
    for (const limit of [3, 7, 9, 30, 333]) {
      const state = bucket(limit, 1000 / limit)
      assert.deepStrictEqual(new Set(waits(state, limit, 123_456.789)), new Set([0]))
      assert.isAbove(TokenBucket.waitFor(state, 123_456.789, 1, -Infinity), 1)
    }
  })

  it("it fills up to its capacity and not beyond, however long nothing comes", () => {
    const state = bucket(4, 100)
    waits(state, 4, 0)
    assert.strictEqual(TokenBucket.remaining(state, 250), 2.5)
    assert.strictEqual(TokenBucket.remaining(state, 1e9), 4)
    assert.deepStrictEqual(waits(state, 5, 1e9), [0, 0, 0, 0, 100])
  })

  it("what costs more than the bucket holds never goes", () => {
    assert.strictEqual(TokenBucket.waitFor(bucket(4, 100), 0, 4.5, -Infinity), Infinity)
    assert.strictEqual(TokenBucket.waitFor(bucket(4, 100), 0, 4, -Infinity), 0)
  })

  it("what is given back in the middle is free once nobody waits behind it, and not before", () => {
    const state = bucket(1, 100)
    waits(state, 1, 0)
    const [, middle, last] = [1, 2, 3].map(() => TokenBucket.take(state, 0, 1, TokenBucket.waitFor(state, 0, 1, 0)))
    if (middle === undefined || last === undefined) return assert.fail()
    assert.isTrue(TokenBucket.giveBack(state, 0, middle))
    assert.isFalse(TokenBucket.giveBack(state, 0, middle), "twice is once")
    assert.strictEqual(TokenBucket.waitFor(state, 0, 1, 0), 400)
    assert.isTrue(TokenBucket.giveBack(state, 0, last))
    assert.strictEqual(TokenBucket.waitFor(state, 0, 1, 0), 200)
    assert.strictEqual(TokenBucket.waiting(state, 0), 1)
  })

  it("a slot's time has come at its very instant: it is not waited for, and cannot be given back", () => {
    const state = bucket(1, 100)
    waits(state, 1, 0)
    const slot = TokenBucket.take(state, 0, 1, TokenBucket.waitFor(state, 0, 1, 0))
    if (slot === undefined) return assert.fail()
    assert.strictEqual(TokenBucket.waiting(state, slot.atMillis), 0)
    assert.isFalse(TokenBucket.giveBack(state, slot.atMillis, slot))
  })

  it("who waits is moved together, at the distances that they had", () => {
    const state = bucket(1, 100)
    waits(state, 1, 0)
    const slots = [1, 2, 3].map(() => TokenBucket.take(state, 0, 1, TokenBucket.waitFor(state, 0, 1, 0)))
    TokenBucket.postpone(state, 50, 1000)
    assert.deepStrictEqual(
      slots.map((slot) => slot && TokenBucket.waitOf(state, 50, slot)),
      [950, 1050, 1150]
    )
    assert.strictEqual(TokenBucket.waitFor(state, 50, 1, 0), 1250)
    TokenBucket.postpone(state, 50, 500)
    assert.strictEqual(TokenBucket.waitFor(state, 50, 1, 0), 1250, "never to an earlier time")
  })

  it("what was given back is not moved with the others: its time is free", () => {
    const state = bucket(1, 100)
    waits(state, 1, 0)
    const [, last] = [1, 2].map(() => TokenBucket.take(state, 0, 1, TokenBucket.waitFor(state, 0, 1, 0)))
    if (last === undefined) return assert.fail()
    assert.isTrue(TokenBucket.giveBack(state, 0, last))
    TokenBucket.postpone(state, 0, 1000)
    assert.strictEqual(TokenBucket.waitFor(state, 0, 1, 0), 1100)
  })

  it.prop(
    "a bucket that follows another, in which nobody gave a time back, gives what the other would have given",
    [shape, happenings],
    ([of, all]) => {
      const before = TokenBucket.makeBucketState(of)
      const events = all.filter(({ event }) => event !== "giveBack")
      const { latest } = play(before, events)
      const next = TokenBucket.makeBucketState(of)
      TokenBucket.follow(next, TokenBucket.used(before))
      // whoever waits there has his time; what comes after him is asked
      const now = Math.max(latest, before.last?.atMillis ?? 0)
      for (const later of [0, 1, 50, 10_000]) {
        for (const tokens of [0.5, of.capacity]) {
          assert.closeTo(
            TokenBucket.waitFor(next, now + later, tokens, -Infinity),
            TokenBucket.waitFor(before, now + later, tokens, -Infinity),
            0.01
          )
        }
      }
    }
  )

  it("a bucket that follows a larger one is empty at most, and one that follows a smaller lacks what was taken", () => {
    const large = bucket(5, 100)
    for (let count = 0; count < 5; count++) TokenBucket.take(large, 1000, 1, 0)
    const small = bucket(2, 100)
    TokenBucket.follow(small, TokenBucket.used(large))
    assert.strictEqual(TokenBucket.waitFor(small, 1000, 1, -Infinity), 100)
    const larger = bucket(7, 100)
    TokenBucket.follow(larger, TokenBucket.used(large))
    assert.strictEqual(TokenBucket.remaining(larger, 1000), 2)
    assert.deepStrictEqual(TokenBucket.used(bucket(5, 100)), [])
    // half of what was taken has come back
    TokenBucket.waitFor(large, 1250, 1, -Infinity)
    TokenBucket.take(large, 1250, 0, 0)
    assert.deepStrictEqual(TokenBucket.used(large), [{ atMillis: 1250, cost: 2.5 }])
  })
})

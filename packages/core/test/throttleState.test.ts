import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as State from "../src/internal/limits/throttleState.ts"

const windowMillis = 120_000
const critical = 1

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const never = { nextDoubleUnsafe: (): number => assert.fail("chance was asked for nothing") }
const draws = (value: number) => ({ nextDoubleUnsafe: () => value })

/** Numbers in [0, 1), the same in each run (a linear congruential generator, Numerical Recipes). */
const seeded = (seed: number) => {
  let state = seed
  return {
    nextDoubleUnsafe: () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return state / 2 ** 32
    }
  }
}

const make = (options: Partial<State.ThrottleShape> = {}): State.ThrottleState =>
  State.makeThrottleState({ windowMillis, multiplier: 2, leastRequests: 0, probeAfterMillis: Infinity, ...options })

const fill = (state: State.ThrottleState, requests: number, accepts: number, level = critical): void => {
  for (let call = 0; call < requests; call++) State.answered(state, 0, level, call < accepts)
}

const probability = (state: State.ThrottleState, level = critical, nowMillis = 0): number =>
  State.peek(state, nowMillis).probabilities[level] ?? Number.NaN

const happening = Arbitrary.all({
  event: Arbitrary.schema(Schema.Literals(["call", "accepted", "rejected", "gone"])),
  level: int(0, 3),
  jump: int(-20_000, 40_000),
  draw: int(0, 99)
})

const happenings = Arbitrary.array(happening, { maxLength: 200 })

describe("the throttle's state machine", () => {
  // SRE book, chapter "Handling Overload", with K = 2: requests, accepts, probability
  for (const [requests, accepts, expected] of [
    [100, 50, 0],
    [100, 40, 0.198],
    [100, 10, 0.792],
    [100, 0, 0.99],
    [1, 0, 0.5],
    [0, 0, 0]
  ] as const) {
    it(`Google's formula: ${accepts} accepted of ${requests} sheds with probability ${expected}`, () => {
      const state = make()
      fill(state, requests, accepts)
      assert.closeTo(probability(state), expected, 0.0005)
    })
  }

  it("no probability is below zero, however little room is left", () => {
    const state = make({ multiplier: 1.1 })
    fill(state, 5, 5)
    assert.strictEqual(probability(state), 0)
  })

  it("a call is shed exactly if chance is below the probability, and chance is not asked at zero", () => {
    const state = make()
    assert.strictEqual(State.decide(state, 0, critical, never), "send")
    fill(state, 1, 0)
    assert.strictEqual(State.decide(state, 0, critical, draws(0.499)), "shed")
    assert.strictEqual(State.decide(state, 0, critical, draws(0.5)), "send")
  })

  it("what was shed here counts among the requests", () => {
    const state = make()
    fill(state, 10, 5)
    assert.strictEqual(probability(state), 0)
    for (let call = 0; call < 10; call++) State.shed(state, 0, critical)
    assert.strictEqual(probability(state), 10 / 21)
  })

  it("a burst of first calls is not taken for rejections: nothing is counted before it is over", () => {
    const state = make()
    for (let call = 0; call < 1000; call++) {
      assert.strictEqual(State.decide(state, 0, critical, never), "send")
      State.sent(state, 0)
    }
  })

  it("a call counts for the window, less at most a slice, and no longer", () => {
    const state = make()
    fill(state, 100, 0)
    assert.strictEqual(State.peek(state, windowMillis - 1).requests, 100)
    assert.strictEqual(State.peek(state, windowMillis).requests, 0)
    assert.strictEqual(State.decide(state, windowMillis, critical, never), "send")
  })

  it("what is too much is taken from the least critical calls first", () => {
    const state = make()
    // 40 too many: all 30 sheddable ones, and 10 of the 20 sheddable-plus ones
    fill(state, 30, 0, 3)
    fill(state, 20, 0, 2)
    fill(state, 30, 20, 1)
    fill(state, 20, 10, 0)
    assert.deepStrictEqual(State.peek(state, 0).probabilities, [0, 0, 10 / 21, 1])
  })

  it("the most critical calls are shed too when there is nothing else to shed", () => {
    const state = make()
    fill(state, 100, 0, 0)
    assert.closeTo(probability(state, 0), 0.99, 0.0005)
    assert.strictEqual(probability(state, 3), 1, "a level that was not seen yet is below it")
  })

  it("when nothing was sent for long enough, one call is a probe", () => {
    const state = make({ probeAfterMillis: 1000 })
    fill(state, 100, 0)
    State.sent(state, 0)
    assert.strictEqual(State.decide(state, 999, critical, draws(0)), "shed")
    assert.strictEqual(State.decide(state, 1000, critical, draws(0)), "probe")
    State.sent(state, 1000)
    assert.strictEqual(State.decide(state, 1999, critical, draws(0)), "shed")
    assert.strictEqual(State.decide(state, 2000, critical, draws(0)), "probe")
  })

  it("a clock that went back does not hold the next probe off until it has caught up", () => {
    const state = make({ probeAfterMillis: 1000 })
    fill(state, 100, 0)
    State.sent(state, 3_600_000)
    fill(state, 100, 0)
    State.answered(state, 3_600_000, critical, false)
    assert.strictEqual(State.decide(state, 5000, critical, draws(0)), "shed")
    assert.strictEqual(State.decide(state, 6000, critical, draws(0)), "probe")
  })

  it.prop(
    "by the books of its window and under any clock, a call is shed as the formula says, and the levels shed by it together",
    [happenings],
    ([events]) => {
      const state = make()
      const sliceMillis = windowMillis / State.sliceCount
      const books: Array<{ readonly slice: number; readonly level: number; readonly accepted: boolean }> = []
      let now = 1e9
      let latest = 0
      for (const { draw, event, jump, level } of events) {
        now = Math.max(0, now + jump)
        if (event === "gone") continue
        latest = Math.max(latest, Math.floor(now / sliceMillis))
        const inWindow = books.filter((entry) => entry.slice > latest - State.sliceCount)
        const accepts = inWindow.filter((entry) => entry.accepted).length
        const excess = Math.max(0, inWindow.length - 2 * accepts)
        if (event === "call") {
          const below = inWindow.filter((entry) => entry.level > level).length
          const same = inWindow.filter((entry) => entry.level === level).length
          const expected = Math.min(1, Math.max(0, (excess - below) / (same + 1)))
          const decision = State.decide(state, now, level, draws(draw / 100))
          assert.strictEqual(decision, draw / 100 < expected ? "shed" : "send")
          if (decision === "send") continue
          State.shed(state, now, level)
          books.push({ slice: latest, level, accepted: false })
        } else {
          State.answered(state, now, level, event === "accepted")
          books.push({ slice: latest, level, accepted: event === "accepted" })
        }
        const seen = State.peek(state, now)
        const kept = books.filter((entry) => entry.slice > latest - State.sliceCount)
        assert.strictEqual(seen.requests, kept.length)
        assert.strictEqual(seen.accepts, kept.filter((entry) => entry.accepted).length)
      }
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop("reading changes nothing, at any time", [happenings, int(-100_000, 300_000)], ([events, later]) => {
    const read = make()
    const unread = make()
    let now = 1e9
    for (const { event, jump, level } of events) {
      now = Math.max(0, now + jump)
      State.peek(read, now + later)
      for (const state of [read, unread]) {
        if (event === "call") State.shed(state, now, level)
        else State.answered(state, now, level, event === "accepted")
      }
    }
    assert.deepStrictEqual(read, unread)
  })

  describe("100 calls a second to an upstream that takes C of them, for ten minutes", () => {
    /** Calls a second of each level that were sent, and accepted, in the last five minutes. */
    const simulate = (
      options: Partial<State.ThrottleShape>,
      capacity: (second: number) => number,
      levelOf: (call: number) => number = () => critical
    ) => {
      const state = make(options)
      const chance = seeded(20_261_120)
      const sent = [0, 0, 0, 0]
      const perSecond: Array<number> = []
      for (let second = 0; second < 900; second++) {
        let accepted = 0
        let sentNow = 0
        for (let call = 0; call < 100; call++) {
          const now = second * 1000 + call * 10
          const level = levelOf(call)
          if (State.decide(state, now, level, chance) === "shed") {
            State.shed(state, now, level)
            continue
          }
          State.sent(state, now)
          sentNow++
          if (second >= 300 && second < 600) sent[level] = (sent[level] ?? 0) + 1 / 300
          const isAccepted = accepted < capacity(second)
          if (isAccepted) accepted++
          State.answered(state, now, level, isAccepted)
        }
        perSecond.push(sentNow)
      }
      return { sent, perSecond, total: sent.reduce((sum, of) => sum + of, 0) }
    }

    // the row "SRE, K = 2, counting local rejects" of the measured table
    for (const [capacity, expected] of [
      [50, 100],
      [20, 40],
      [5, 9.9],
      [0, 0]
    ] as const) {
      it(`C = ${capacity}: about ${expected} a second are sent`, () => {
        assert.closeTo(simulate({}, () => capacity).total, expected, 1)
      })
    }

    it("C = 0: one a second is sent where that is the floor", () => {
      assert.closeTo(simulate({ probeAfterMillis: 1000 }, () => 0).total, 1, 0.05)
    })

    it("C = 40, a third of the calls sheddable: the others are all sent, and what may be sent beside them", () => {
      const third = (call: number) => (call % 3 === 0 ? 3 : critical)
      const { sent, total } = simulate({}, () => 40, third)
      // 80 may be sent: 66 critical ones, and 14 of the 34 sheddable ones
      assert.closeTo(total, 80, 2)
      assert.closeTo(sent[critical] ?? 0, 66, 0.5)
    })

    it("after five minutes without any, full load is back within seven; with a window of 30 s within two", () => {
      const recovered = (options: Partial<State.ThrottleShape>): number => {
        const { perSecond } = simulate({ probeAfterMillis: 1000, ...options }, (second) => (second < 300 ? 0 : 100))
        return perSecond.findIndex((sent, second) => second >= 300 && sent >= 95) - 300
      }
      assert.isTrue(recovered({}) > 0 && recovered({}) < 420, `${recovered({})} s`)
      const short = recovered({ windowMillis: 30_000 })
      assert.isTrue(short > 0 && short < 120, `${short} s`)
    })
  })

  it("where nothing was ever sent, the first probe is due after the same time, from the clock's zero", () => {
    const state = make({ probeAfterMillis: 1000 })
    for (let call = 0; call < 100; call++) State.shed(state, 0, critical)
    assert.strictEqual(State.decide(state, 999, critical, draws(0)), "shed")
    assert.strictEqual(State.decide(state, 1000, critical, draws(0)), "probe")
  })

  it("what is shed or answered counts for the time at which it is", () => {
    for (const count of [
      (state: State.ThrottleState, now: number) => State.shed(state, now, 0),
      (state: State.ThrottleState, now: number) => State.answered(state, now, 0, true)
    ]) {
      const state = State.makeThrottleState({
        windowMillis: 1000,
        multiplier: 2,
        leastRequests: 0,
        probeAfterMillis: Infinity
      })
      count(state, 0)
      count(state, 5000)
      assert.strictEqual(State.peek(state, 5000).requests, 1)
    }
  })

  describe("that gets another window", () => {
    const startMillis = 1_000_000
    const filled = (): State.ThrottleState => {
      const state = make()
      for (let call = 0; call < 10; call++) State.answered(state, startMillis, call % 4, call < 2)
      return state
    }
    const counted = (state: State.ThrottleState, nowMillis: number) => {
      const { accepts, requests } = State.peek(state, nowMillis)
      return [requests, accepts]
    }

    it.each([12_345, 70_000, 240_000])(
      "of %i ms remembers what it has counted for that long, and no longer",
      (other) => {
        const state = filled()
        const before = State.peek(state, startMillis)
        State.reshape(state, { ...state.shape, windowMillis: other })
        assert.deepStrictEqual(State.peek(state, startMillis), before)
        assert.deepStrictEqual(counted(state, startMillis + 0.9 * other), [10, 2])
        // what was counted counts for the end of the slice in which the time was
        const endMillis = startMillis + windowMillis / State.sliceCount
        assert.deepStrictEqual(counted(state, endMillis + other), [0, 0])
        assert.deepStrictEqual(State.peek(state, endMillis + other).probabilities, [0, 0, 0, 0])
      }
    )

    it("counts what comes then beside it", () => {
      const state = filled()
      State.reshape(state, { ...state.shape, windowMillis: 240_000, multiplier: 3 })
      State.answered(state, startMillis + 120_000, critical, true)
      assert.deepStrictEqual(counted(state, startMillis + 120_000), [11, 3])
      assert.deepStrictEqual(counted(state, startMillis + 250_000), [1, 1])
      assert.strictEqual(state.shape.multiplier, 3)
    })
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import * as State from "../src/internal/exchange/exchangeState.ts"

const { act } = State

/** What can happen to an exchange, in any order that a wire, a decoder, a limit and a caller may come to. */
const events = {
  granted: (state: State.ExchangeState) => {
    if (state.wire === "queued" && state.caller !== "gone") State.granted(state)
    return 0
  },
  begun: (state: State.ExchangeState) => {
    State.begun(state)
    return 0
  },
  sent: (state: State.ExchangeState) => {
    State.sent(state)
    return 0
  },
  again: (state: State.ExchangeState) => State.again(state),
  "head of a whole answer": (state: State.ExchangeState) =>
    State.head(state, { isWanted: true, isOpened: false, isCoded: false }),
  "head of a coded answer": (state: State.ExchangeState) =>
    State.head(state, { isWanted: true, isOpened: false, isCoded: true }),
  "head of an open answer": (state: State.ExchangeState) =>
    State.head(state, { isWanted: true, isOpened: true, isCoded: false }),
  "head of an open coded answer": (state: State.ExchangeState) =>
    State.head(state, { isWanted: true, isOpened: true, isCoded: true }),
  "head of an error": (state: State.ExchangeState) =>
    State.head(state, { isWanted: false, isOpened: true, isCoded: false }),
  "head of a coded error": (state: State.ExchangeState) =>
    State.head(state, { isWanted: false, isOpened: false, isCoded: true }),
  ended: (state: State.ExchangeState) => State.ended(state),
  cut: (state: State.ExchangeState) => State.cut(state),
  decoded: (state: State.ExchangeState) => State.decoded(state),
  broken: (state: State.ExchangeState) => State.broken(state),
  enough: (state: State.ExchangeState) => State.enough(state),
  drainedEnough: (state: State.ExchangeState) => State.drainedEnough(state),
  fail: (state: State.ExchangeState) => State.fail(state),
  left: (state: State.ExchangeState) => State.left(state)
} satisfies Record<string, (state: State.ExchangeState) => State.Acts>

type Event = keyof typeof events
// the keys of an object that is made here are its own
const names = Object.keys(events) as ReadonlyArray<Event>

const script = Arbitrary.array(Arbitrary.schema(Schema.Literals(names)), { maxLength: 40 })

const has = (acts: State.Acts, one: number): boolean => (acts & one) !== 0

/** Most orders at random end an exchange at once: this one takes it some way first. */
const begin = ["granted", "begun", "sent"] as const
const beginnings: ReadonlyArray<ReadonlyArray<Event>> = [
  [],
  ["granted"],
  begin,
  [...begin, "head of a whole answer"],
  [...begin, "head of a coded answer"],
  [...begin, "head of an open answer"],
  [...begin, "head of an open coded answer"],
  [...begin, "head of an error"],
  [...begin, "head of a coded error"],
  [...begin, "head of a coded answer", "ended"],
  [...begin, "head of a coded error", "cut"]
]

const beginning = Arbitrary.schema(Schema.Literals(beginnings.map((_, index) => index)))

/** Runs the events one after the other, and shows each what came before it and of it. */
const run = (
  index: number,
  then: ReadonlyArray<Event>,
  see: (event: Event, before: State.ExchangeState, acts: State.Acts, after: State.ExchangeState) => void = () => {}
): State.ExchangeState => {
  const state = State.makeExchangeState()
  for (const event of [...(beginnings[index] ?? []), ...then]) {
    const before = { ...state }
    const acts = events[event](state)
    // an assertion for each of millions would take minutes
    if (typeof acts !== "number") assert.fail(`${event} says nothing`)
    see(event, before, acts, { ...state })
  }
  return state
}

/** Promises that hold whatever happens, in whatever order. */
const promises: Readonly<Record<string, (index: number, then: ReadonlyArray<Event>) => void>> = {
  "a connection that was granted is given back exactly once, when it is needed no more": (index, then) => {
    let isHeld = false
    const state = run(index, then, (event, before, acts) => {
      if (event === "granted" && before.wire === "queued" && before.caller !== "gone") isHeld = true
      if (!has(acts, act.giveBack)) return
      assert.isTrue(isHeld, `${event} gives back what it does not hold`)
      isHeld = false
    })
    assert.strictEqual(isHeld, State.isGranted(state))
  },

  "a connection is told to stop only when it is given back, and a place in the queue is left only from it": (
    index,
    then
  ) => {
    run(index, then, (event, before, acts) => {
      if (has(acts, act.abort)) assert.isTrue(has(acts, act.giveBack), event)
      if (!has(acts, act.leaveQueue)) return
      assert.strictEqual(before.wire, "queued", event)
      assert.isFalse(has(acts, act.giveBack | act.abort), event)
    })
  },

  "the caller is told once how it ended, and nothing when it has left; nothing is told after either": (index, then) => {
    let isOver = false
    let isOpened = false
    const state = run(index, then, (event, before, acts) => {
      const tells = has(acts, act.succeed) || has(acts, act.fail)
      assert.isFalse(has(acts, act.succeed) && has(acts, act.fail), event)
      if (isOver) assert.isFalse(tells || has(acts, act.open), `${event} tells something after the end`)
      if (has(acts, act.open)) {
        assert.isFalse(isOpened, `${event} opens a second body`)
        isOpened = true
      }
      if (event === "left" && before.caller !== "gone") assert.isFalse(tells, event)
      isOver ||= tells || event === "left"
    })
    assert.strictEqual(isOver, state.caller === "gone")
  },

  "a caller that waits is told when the wire, and then the decoder, have come to their ends": (index, then) => {
    let told = 0
    let hasLeft = false
    const closing: ReadonlyArray<Event> = ["granted", "begun", "sent", "cut", "decoded"]
    const state = run(index, [...then, ...closing], (event, before, acts) => {
      if (event === "left" && before.caller !== "gone") hasLeft = true
      if (has(acts, act.succeed) || has(acts, act.fail)) told++
    })
    assert.strictEqual(told, hasLeft ? 0 : 1)
    assert.strictEqual(state.caller, "gone")
    assert.isFalse(State.isGranted(state))
  },

  "success is told when all of an answer has come and is decoded, or enough of an error": (index, then) => {
    run(index, then, (event, _, acts, after) => {
      if (!has(acts, act.succeed)) return
      assert.deepStrictEqual([after.wire, after.body], ["off", "ended"], event)
      if (after.isWanted) assert.isFalse(after.isCutShort, `${event} tells a cut answer as whole`)
    })
  },

  "an answer that is cut fails, and an error that has begun keeps its status and is known to be cut": (index, then) => {
    run(index, then, (event, before, acts, after) => {
      if (event !== "cut" || before.caller === "gone" || !State.isGranted(before)) return
      if (before.wire === "receiving" && !before.isWanted) {
        assert.isFalse(has(acts, act.fail))
        if (before.body !== "ended") assert.isTrue(after.isCutShort)
      } else assert.isTrue(has(acts, act.fail))
    })
  },

  "a decoder is told the end of its input when the wire is off, once, and stopped where nobody waits for it": (
    index,
    then
  ) => {
    let isDecoding = false
    let isFed = false
    run(index, then, (event, before, acts, after) => {
      if (before.body !== "coded" && after.body === "coded") isDecoding = isFed = true
      if (has(acts, act.endDecoder)) {
        assert.isTrue(isDecoding && isFed, event)
        isFed = false
      }
      // it has come to its own end
      if ((event === "decoded" || event === "broken") && after.body !== "coded") isDecoding = false
      else if (has(acts, act.stopDecoder)) {
        assert.isTrue(isDecoding, event)
        isDecoding = false
      }
      assert.strictEqual(isDecoding, after.body === "coded", event)
      if (isDecoding && after.wire === "off") assert.isFalse(isFed, event)
    })
  }
}

describe("the state of an exchange", () => {
  it("whose coding is broken fails where it was wanted, and has what came of it where it is an error", () => {
    const broken = (isWanted: boolean) => {
      const state = State.makeExchangeState()
      State.granted(state)
      State.begun(state)
      State.sent(state)
      State.head(state, { isWanted, isOpened: false, isCoded: true })
      const acts = State.broken(state)
      return { acts, state }
    }
    const wanted = broken(true)
    assert.strictEqual(wanted.acts, act.abort | act.giveBack | act.fail | act.stopDecoder)
    assert.strictEqual(wanted.state.caller, "gone")
    const error = broken(false)
    assert.strictEqual(error.acts, act.stopDecoder)
    assert.deepInclude(error.state, { caller: "waits", wire: "receiving", isCutShort: true })
    assert.strictEqual(State.ended(error.state), act.giveBack | act.succeed)
  })

  for (const [promise, check] of Object.entries(promises)) {
    it(`${promise}: in every order of three events`, () => {
      for (const index of beginnings.keys()) {
        for (const first of names) {
          for (const second of names) for (const third of names) check(index, [first, second, third])
        }
      }
    })

    it.prop(`${promise}: in any order`, [beginning, script], ([index, then]) => check(index, then))
  }

  it("an exchange whose answer has begun goes to no other connection", () => {
    for (const index of beginnings.keys()) {
      const state = run(index, [])
      if (state.wire !== "receiving") continue
      assert.strictEqual(State.again(state), 0)
      assert.strictEqual(state.wire, "receiving")
    }
  })

  it("a request is sent once, after it was begun, and begun once, after it got a connection", () => {
    const state = run(0, [])
    assert.isFalse(State.begun(state))
    assert.isFalse(State.sent(state))
    State.granted(state)
    assert.isFalse(State.sent(state))
    assert.isTrue(State.begun(state))
    assert.isFalse(State.begun(state))
    assert.isTrue(State.sent(state))
    assert.isFalse(State.sent(state))
  })

  it("an exchange says how far it has come, and whether it holds a connection", () => {
    const said = beginnings.slice(0, 4).map((_, index) => {
      const state = run(index, [])
      return [State.phaseOf(state), State.isGranted(state)]
    })
    assert.deepStrictEqual(said, [
      ["connect", false],
      ["connect", true],
      ["wait", true],
      ["receive", true]
    ])
    assert.strictEqual(State.phaseOf(run(0, ["granted", "begun"])), "send")
  })

  it("whoever has left before its request is begun, never begins it", () => {
    const state = run(1, ["left"])
    assert.isFalse(State.begun(state))
  })
})

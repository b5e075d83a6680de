import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as State from "../src/internal/limits/aimdLimit.ts"

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const make = (options: Partial<State.AimdShape> = {}): State.AimdState =>
  State.makeAimdState({
    initialLimit: 20,
    minimumLimit: 1,
    maximumLimit: 200,
    backoffRatio: 0.9,
    slowAfterMillis: 5000,
    ...options
  })

const samples = Arbitrary.array(
  Arbitrary.all({
    event: Arbitrary.schema(Schema.Literals(["success", "drop"])),
    inFlight: int(1, 300),
    millis: int(-1000, 8000)
  }),
  { maxLength: 200 }
)

describe("the AIMD limit", () => {
  const drop = (state: State.AimdState, times: number): void => {
    for (let call = 0; call < times; call++) State.dropped(state)
  }

  it("too many drops take a tenth, cut to a whole number, and the next cut needs as many again", () => {
    const state = make()
    const limits = Array.from({ length: 6 }, () => {
      drop(state, 10)
      return state.limit
    })
    assert.deepStrictEqual(limits, [18, 16, 14, 12, 10, 9])
  })

  it("a few drops take nothing, however long they go on and however few calls use the limit", () => {
    for (const every of [500, 100, 20]) {
      const state = make()
      for (let call = 1; call <= 10_000; call++) {
        if (call % every === 0) State.dropped(state)
        else State.succeeded(state, 1, 10)
      }
      assert.strictEqual(state.limit, 20, `one in ${every}`)
    }
  })

  it("after a cut it grows when ten calls have told that it may, back to where it began without load", () => {
    const state = make()
    drop(state, 5)
    assert.strictEqual(state.limit, 18)
    for (let call = 0; call < 9; call++) State.succeeded(state, 1, 10)
    assert.strictEqual(state.limit, 18)
    for (let call = 0; call < 20; call++) State.succeeded(state, 1, 10)
    assert.strictEqual(state.limit, 20)
  })

  it("Netflix's AIMDLimit: a success adds one if at least half of the limit was in flight", () => {
    const state = make()
    State.succeeded(state, 9, 10)
    assert.strictEqual(state.limit, 20)
    State.succeeded(state, 10, 10)
    assert.strictEqual(state.limit, 21)
    State.succeeded(state, 10, 10)
    assert.strictEqual(state.limit, 21, "10 is less than half of 21")
  })

  it("Netflix's AIMDLimit: a success that took longer than the timeout is a drop", () => {
    const state = make()
    for (let call = 0; call < 9; call++) assert.strictEqual(State.succeeded(state, 20, 5001), "slow")
    assert.strictEqual(state.limit, 18)
    assert.strictEqual(State.succeeded(make(), 20, 5000), "growth")
  })

  it.prop(
    "the limit is a whole number between its bounds, grows by one at most, and only under load",
    [samples, int(1, 20), int(20, 60)],
    ([events, minimumLimit, maximumLimit]) => {
      const state = make({ minimumLimit, maximumLimit })
      for (const { event, inFlight, millis } of events) {
        const before = state.limit
        if (event === "drop") State.dropped(state)
        else State.succeeded(state, inFlight, millis)
        assert.isTrue(Number.isInteger(state.limit))
        assert.isTrue(state.limit >= minimumLimit && state.limit <= maximumLimit)
        assert.isTrue(state.limit <= before + 1)
        const isUsed = inFlight * 2 >= before || before < 20
        if (state.limit > before) assert.isTrue(event === "success" && isUsed && millis <= 5000)
        if (event === "drop") assert.isTrue(state.limit <= before)
      }
    }
  )

  it("against an upstream that serves 50 at once and refuses what is beyond, the limit stays about there", () => {
    const state = make()
    const seen: Array<number> = []
    /** Calls served, by when they were sent; the first is the first to end. */
    const served: Array<number> = []
    for (let moment = 0; moment < 20_000; moment++) {
      const oldest = served.shift()
      if (oldest !== undefined) State.succeeded(state, oldest, 10)
      // there is always more to send
      while (served.length < state.limit) {
        if (served.length < 50) served.push(served.length + 1)
        else State.dropped(state)
      }
      if (moment > 1000) seen.push(state.limit)
    }
    assert.isTrue(Math.min(...seen) >= 45 && Math.max(...seen) <= 65, `${Math.min(...seen)} to ${Math.max(...seen)}`)
  })
})

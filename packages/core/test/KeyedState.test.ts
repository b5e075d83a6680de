import { Arbitrary, Effect, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as KeyedState from "../src/KeyedState.ts"

const idleMillis = 1000

/** States that know their key and how many were made before them. */
const counting = () => {
  let made = 0
  const state = KeyedState.make({ idleTimeToLive: idleMillis, create: (key: string) => ({ key, number: made++ }) })
  return { state, made: () => made }
}

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const uses = Arbitrary.array(
  Arbitrary.schema(Schema.Struct({ key: Schema.Literals(["a", "b", "c", "d"]), passMillis: int(0, 700) })),
  { maxLength: 100 }
)

describe("KeyedState", () => {
  it("a key has a state of its own, made when it is first met", () => {
    const { made, state } = counting()
    const a = state.get("a", 0)
    assert.deepStrictEqual([a, state.get("b", 0), made()], [{ key: "a", number: 0 }, { key: "b", number: 1 }, 2])
    assert.strictEqual(state.get("a", 0), a)
    assert.strictEqual(made(), 2)
  })

  it("left out, a key may be idle for ten minutes", () => {
    const state = KeyedState.make({ create: () => ({}) })
    const a = state.get("a", 0)
    assert.strictEqual(state.get("a", 10 * 60_000 - 1), a)
    assert.strictEqual(state.get("a", 20 * 60_000 - 2), a)
    assert.notStrictEqual(state.get("a", 40 * 60_000), a)
  })

  it("a time to live that is none, endless or no number is refused by its name", () => {
    for (const [idleTimeToLive, got] of [
      [0, 0],
      [Infinity, Infinity],
      [-5, -5]
    ] as const) {
      assert.throws(
        () => KeyedState.make({ idleTimeToLive, create: () => 0 }),
        RangeError,
        `KeyedState: idleTimeToLive must be longer than zero and finite, got ${got}ms`
      )
    }
  })

  it("a key that was idle for less than the time is kept, and one that was for twice the time is gone, to the millisecond", () => {
    for (const [useMillis, laterMillis, isKept] of [
      [0, idleMillis - 1, true],
      [0, 2 * idleMillis, false],
      [1, idleMillis, true],
      [idleMillis - 1, 2 * idleMillis - 2, true],
      [idleMillis - 1, 3 * idleMillis - 1, false]
    ] as const) {
      const { state } = counting()
      // the map's own time begins with its first use
      state.get("first", 0)
      const used = state.get("a", useMillis)
      const found = state.get("a", laterMillis)
      assert.strictEqual(found === used, isKept, `used at ${useMillis}, asked for at ${laterMillis}`)
    }
  })

  it("what is idle goes in the order in which it was last used, half a life apart at most", () => {
    const { state } = counting()
    const names = () => state.entries().map(([key]) => key)
    state.get("a", 0)
    state.get("b", idleMillis - 1)
    state.get("c", idleMillis)
    assert.deepStrictEqual(names(), ["a", "b", "c"])
    // `b` is used again in time and stays with `c`; `a` is not
    state.get("b", 2 * idleMillis - 1)
    assert.sameMembers(names(), ["a", "b", "c"])
    state.get("d", 2 * idleMillis)
    assert.sameMembers(names(), ["b", "c", "d"])
    state.get("d", 3 * idleMillis)
    assert.deepStrictEqual(names(), ["d"])
  })

  it("looking at the entries is no use of them", () => {
    const { state } = counting()
    state.get("a", 0)
    for (let now = 0; now < 10 * idleMillis; now += 100) assert.strictEqual(state.entries().length, 1)
    state.get("b", 2 * idleMillis)
    assert.deepStrictEqual(
      state.entries().map(([key]) => key),
      ["b"]
    )
  })

  it("every state is replaced in one step, old and young, and none is forgotten or made by it", () => {
    const { made, state } = counting()
    state.get("old", 0)
    state.get("young", idleMillis)
    state.replaceAll(({ number }, key) => ({ key: `new ${key}`, number: number + 10 }))
    assert.deepStrictEqual(
      new Map(state.entries()),
      new Map([
        ["old", { key: "new old", number: 10 }],
        ["young", { key: "new young", number: 11 }]
      ])
    )
    assert.deepStrictEqual(state.get("old", idleMillis), { key: "new old", number: 10 })
    assert.strictEqual(made(), 2)
  })

  it("a clock that went back loses nothing", () => {
    const { made, state } = counting()
    const a = state.get("a", 5000)
    assert.strictEqual(state.get("a", 0), a)
    assert.strictEqual(state.get("a", 5000 + idleMillis - 1), a)
    assert.strictEqual(made(), 1)
  })

  it.effect.prop(
    "a key that was used within the time to live is never forgotten; one that was idle for twice the time always is",
    [uses],
    ([events]) =>
      Effect.sync(() => {
        const { state } = counting()
        const lastUse = new Map<string, { readonly at: number; readonly state: object }>()
        let now = 1e6
        for (const { key, passMillis } of events) {
          now += passMillis
          const before = lastUse.get(key)
          const found = state.get(key, now)
          assert.strictEqual(found.key, key)
          if (before !== undefined) {
            const idle = now - before.at
            if (idle < idleMillis) assert.strictEqual(found, before.state)
            if (idle >= 2 * idleMillis) assert.notStrictEqual(found, before.state)
          }
          lastUse.set(key, { at: now, state: found })
          const kept = state.entries()
          assert.strictEqual(new Set(kept.map(([name]) => name)).size, kept.length, "a key is there once")
          for (const [name, value] of kept) {
            const use = lastUse.get(name)
            assert.strictEqual(value, use?.state)
            assert.isBelow(now - (use?.at ?? 0), 2 * idleMillis)
          }
        }
      }),
    { arbitrary: { runs: 300 } }
  )

  it("keys that come once and never again do not pile up", () => {
    const { state } = counting()
    let most = 0
    for (let number = 0; number < 20_000; number++) {
      state.get(`key ${number}`, number)
      most = Math.max(most, state.entries().length * (number % 500 === 0 ? 1 : 0))
    }
    assert.isAtMost(most, 2 * idleMillis)
  })

  it("is looked at without being used", () => {
    const { made, state } = counting()
    assert.isUndefined(state.peek("a"))
    assert.strictEqual(made(), 0)
    const a = state.get("a", 0)
    assert.strictEqual(state.peek("a"), a)
    // a look is no use: the key is as idle as it was
    state.get("b", idleMillis)
    assert.strictEqual(state.peek("a"), a)
    state.get("b", 2 * idleMillis)
    assert.isUndefined(state.peek("a"))
  })

  it("a key that is to be kept is, however long it is idle, and no other", () => {
    const state = KeyedState.make({
      idleTimeToLive: idleMillis,
      create: (key: string) => ({ key }),
      kept: () => ["a", "new"]
    })
    const [a] = [state.get("a", 0), state.get("b", 0)]
    for (const now of [idleMillis, 2 * idleMillis, 3 * idleMillis, 10 * idleMillis, 100 * idleMillis])
      state.get("c", now)
    assert.strictEqual(state.peek("a"), a)
    assert.deepStrictEqual(
      state
        .entries()
        .map(([key]) => key)
        .toSorted(),
      ["a", "c"]
    )
  })

  it("keeps all of them where it cannot be said which, and forgets when it can be again", () => {
    let isKnown = false
    const state = KeyedState.make({
      idleTimeToLive: idleMillis,
      create: (key: string) => ({ key }),
      kept: () => {
        if (!isKnown) throw new Error("no list")
        return []
      }
    })
    const a = state.get("a", 0)
    for (const now of [idleMillis, 2 * idleMillis, 20 * idleMillis, 21 * idleMillis]) state.get("c", now)
    assert.strictEqual(state.peek("a"), a)
    isKnown = true
    for (const now of [40, 80]) state.get("c", now * idleMillis)
    assert.isUndefined(state.peek("a"))
  })

  it("a copy has states of its own, as old as those that it was made of", () => {
    const { state } = counting()
    state.get("a", 0)
    state.get("b", idleMillis - 1)
    state.get("c", idleMillis)
    const copy = state.copied({ create: (key) => ({ key, number: -1 }) }, ({ number }, key) => ({
      key,
      number: number + 100
    }))
    assert.deepStrictEqual(copy.entries(), [
      ["a", { key: "a", number: 100 }],
      ["b", { key: "b", number: 101 }],
      ["c", { key: "c", number: 102 }]
    ])
    assert.deepStrictEqual(state.peek("a"), { key: "a", number: 0 })
    copy.get("c", 2 * idleMillis)
    assert.isUndefined(copy.peek("a"))
    assert.deepStrictEqual(copy.get("new", 2 * idleMillis), { key: "new", number: -1 })
    assert.isUndefined(state.peek("new"))
  })
})

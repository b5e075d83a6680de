import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { type Address, distinct, interleaved, turned } from "../src/internal/connect/addressOrder.ts"
import * as Cache from "../src/internal/names/nameCache.ts"

const happening = Schema.Struct({
  event: Schema.Literals(["ask", "ask", "ask", "answered", "missing", "failed", "overdue"]),
  host: Schema.Literals(["a", "b", "c", "d"]),
  lifeMillis: Schema.UndefinedOr(Schema.Literals([0, 5, 50, 500])),
  jumpMillis: Schema.Literals([0, 1, 9, 40, 200, -30])
})

const happenings = Arbitrary.array(Arbitrary.schema(happening), { maxLength: 120 })

const limitsOf = (maxEntries: number): Cache.Limits => ({
  maxEntries,
  minTimeToLiveMillis: 10,
  maxTimeToLiveMillis: 100,
  timeToLiveMillis: 30,
  negativeTimeToLiveMillis: 20,
  staleForMillis: 150,
  recheckMillis: 25,
  refreshAheadMillis: 8
})

const one: ReadonlyArray<Address> = [{ address: "10.0.0.1", family: 4 }]

const lifeOf = (given: number | undefined): number => (given === undefined ? 30 : Math.min(Math.max(given, 10), 100))

/** What the test itself remembers of a host. */
interface Memory {
  readonly kind: "addresses" | "missing"
  readonly expiresAtMillis: number
  readonly goneAtMillis: number
  isDown: boolean
}

describe("nameCache", () => {
  for (const maxEntries of [1, 2, 100]) {
    it.prop(
      `with room for ${maxEntries}: given is what was said last, within its time or while the resolver is down, one look-up a host at a time`,
      [happenings],
      ([events]) => {
        const state = Cache.makeNameCacheState(limitsOf(maxEntries))
        const memories = new Map<string, Memory>()
        const looking = new Set<string>()
        let nowMillis = 1000
        let asks = 0
        for (const { event, host, jumpMillis, lifeMillis } of events) {
          nowMillis += jumpMillis
          const memory = memories.get(host)
          if (event === "ask") {
            asks++
            const decision = Cache.ask(state, host, nowMillis)
            if (decision.lookUp) {
              assert.isFalse(looking.has(host), "a second look-up")
              looking.add(host)
            }
            const isUsable =
              memory !== undefined &&
              nowMillis < memory.goneAtMillis &&
              (nowMillis < memory.expiresAtMillis || memory.isDown)
            if (decision._tag === "Known") {
              assert.isTrue(isUsable)
              assert.strictEqual("addresses" in decision.entry.known, memory?.kind === "addresses")
            } else {
              assert.isTrue(looking.has(host), "waits for nothing")
              // what was put out is not known, however fresh
              if (maxEntries === 100) assert.isFalse(isUsable)
            }
            // found to be over it is put out, and stays so though the clock should go back
            if (memory !== undefined && nowMillis >= memory.goneAtMillis) memories.delete(host)
          } else if (event === "overdue") {
            Cache.overdue(state, host, nowMillis)
            if (memory !== undefined) memory.isDown = true
          } else if (looking.delete(host)) {
            if (event === "failed") {
              Cache.failed(state, host, nowMillis)
              if (memory !== undefined) memory.isDown = true
            } else {
              const life = event === "missing" ? 20 : lifeOf(lifeMillis)
              if (event === "missing") Cache.missing(state, host, "ENOTFOUND", nowMillis)
              else Cache.answered(state, host, one, lifeMillis, nowMillis)
              memories.set(host, {
                kind: event === "missing" ? "missing" : "addresses",
                expiresAtMillis: nowMillis + life,
                goneAtMillis: nowMillis + life + (event === "missing" ? 0 : 150),
                isDown: false
              })
              // at the bound, too: a new host is never turned away
              assert.isTrue(state.entries.has(host))
            }
          }
          assert.isAtMost(state.entries.size, maxEntries)
          assert.deepStrictEqual(new Set(state.lookingUp.keys()), looking)
          assert.strictEqual(state.hits + state.misses, asks)
        }
      },
      { arbitrary: { runs: 400 } }
    )
  }

  it("turns no addresses into none", () => {
    for (const turn of [0, 1, 2]) assert.deepStrictEqual(turned([], turn), [])
  })

  const known = (state: Cache.NameCacheState, host: string, nowMillis: number): boolean =>
    Cache.ask(state, host, nowMillis)._tag === "Known"

  it("counts for each host who was answered at once and who waited, whatever became of the look-up", () => {
    const state = Cache.makeNameCacheState(limitsOf(9))
    const ask = (host: string, count: number, nowMillis: number): void => {
      for (let asked = 0; asked < count; asked++) Cache.ask(state, host, nowMillis)
    }
    ask("a", 3, 0)
    ask("b", 1, 0)
    const a = Cache.answered(state, "a", one, undefined, 0)
    assert.deepInclude(a, { hits: 0, misses: 3 })
    assert.deepInclude(Cache.missing(state, "b", "ENOTFOUND", 0), { hits: 0, misses: 1 })
    ask("a", 4, 1)
    assert.deepInclude(a, { hits: 4, misses: 3 })
    // over, and nobody waits in vain for one that fails
    ask("a", 2, 40)
    Cache.failed(state, "a", 40)
    assert.deepInclude(a, { hits: 4, misses: 5 })
    // nobody waited for these
    Cache.failed(state, "a", 40)
    assert.deepInclude(a, { hits: 4, misses: 5 })
    assert.deepInclude(Cache.answered(state, "a", one, undefined, 41), { hits: 4, misses: 5 })
    assert.deepInclude(Cache.answered(state, "c", one, undefined, 41), { hits: 0, misses: 0 })
    assert.deepStrictEqual([state.hits, state.misses], [4, 6])
  })

  it("at the bound the host that was not asked for the longest makes room", () => {
    const state = Cache.makeNameCacheState(limitsOf(2))
    Cache.answered(state, "a", one, undefined, 0)
    Cache.answered(state, "b", one, undefined, 0)
    assert.isTrue(known(state, "a", 1))
    Cache.answered(state, "c", one, undefined, 2)
    assert.deepStrictEqual([...state.entries.keys()], ["a", "c"])
    assert.strictEqual(state.evictions, 1)
  })

  it("a host that is answered anew was used last, and one that has no address takes a place as any other", () => {
    const state = Cache.makeNameCacheState(limitsOf(2))
    for (const host of ["a", "b", "a"]) Cache.answered(state, host, one, undefined, 0)
    assert.strictEqual(state.evictions, 0)
    Cache.missing(state, "c", "ENOTFOUND", 1)
    assert.deepStrictEqual([...state.entries.keys()], ["a", "c"])
    Cache.missing(state, "a", "ENOTFOUND", 2)
    Cache.answered(state, "d", one, undefined, 3)
    assert.deepStrictEqual([...state.entries.keys()], ["a", "d"])
    assert.strictEqual(state.evictions, 2)
  })

  it("who has to wait for a name has not used it: only what is given counts", () => {
    const state = Cache.makeNameCacheState(limitsOf(2))
    Cache.answered(state, "a", one, undefined, 0)
    Cache.answered(state, "b", one, undefined, 0)
    assert.propertyVal(Cache.fallback(state, "a", 1), "host", "a")
    Cache.answered(state, "c", one, undefined, 2)
    assert.deepStrictEqual([...state.entries.keys()], ["b", "c"])
  })

  it("the answer's own time to live is kept within floor and ceiling, an answer without one is kept as told", () => {
    const state = Cache.makeNameCacheState(limitsOf(9))
    for (const [given, expires] of [
      [0, 10],
      [55, 55],
      [9999, 100],
      [undefined, 30]
    ] as const) {
      assert.strictEqual(Cache.answered(state, "a", one, given, 0).expiresAtMillis, expires)
    }
  })

  it("shortly before its end a name is given and looked up anew, at most half of its time before, and once", () => {
    const state = Cache.makeNameCacheState(limitsOf(9))
    Cache.answered(state, "a", one, 10, 0)
    assert.propertyVal(Cache.ask(state, "a", 4.9), "lookUp", false)
    assert.propertyVal(Cache.ask(state, "a", 5), "lookUp", true)
    assert.propertyVal(Cache.ask(state, "a", 6), "lookUp", false)
    Cache.answered(state, "a", one, 50, 7)
    assert.propertyVal(Cache.ask(state, "a", 48), "lookUp", false)
    assert.propertyVal(Cache.ask(state, "a", 49), "lookUp", true)
  })

  it("while the resolver is down, who asks is given the old answer at once, and the resolver is asked at its interval", () => {
    const state = Cache.makeNameCacheState(limitsOf(9))
    Cache.answered(state, "a", one, undefined, 0)
    assert.deepStrictEqual(Cache.ask(state, "a", 30), { _tag: "Unknown", lookUp: true })
    Cache.failed(state, "a", 31)
    assert.propertyVal(Cache.ask(state, "a", 32), "_tag", "Known")
    assert.propertyVal(Cache.ask(state, "a", 55), "lookUp", false)
    assert.propertyVal(Cache.ask(state, "a", 56), "lookUp", true)
    Cache.failed(state, "a", 57)
    assert.propertyVal(Cache.ask(state, "a", 81), "lookUp", false)
    assert.deepStrictEqual(Cache.ask(state, "a", 180), { _tag: "Unknown", lookUp: true })
  })

  it("a resolver that answers again is trusted again: its next answer is given for its time only", () => {
    const state = Cache.makeNameCacheState(limitsOf(9))
    Cache.answered(state, "a", one, undefined, 0)
    Cache.ask(state, "a", 30)
    Cache.failed(state, "a", 31)
    assert.propertyVal(Cache.ask(state, "a", 56), "lookUp", true)
    Cache.answered(state, "a", one, undefined, 57)
    assert.propertyVal(Cache.ask(state, "a", 86), "_tag", "Known")
    assert.propertyVal(Cache.ask(state, "a", 87), "_tag", "Unknown")
  })

  it("a new answer goes on where the last one stopped taking turns", () => {
    const state = Cache.makeNameCacheState(limitsOf(9))
    const two: ReadonlyArray<Address> = [...one, { address: "10.0.0.2", family: 4 }]
    const firsts = [0, 30, 60, 90].map(
      (nowMillis) => Cache.take(Cache.answered(state, "a", two, 0, nowMillis))[0]?.address
    )
    assert.deepStrictEqual(firsts, ["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.2"])
  })

  it("a name that is gone is no longer given from an old answer", () => {
    const state = Cache.makeNameCacheState(limitsOf(9))
    Cache.answered(state, "a", one, undefined, 0)
    Cache.ask(state, "a", 30)
    Cache.missing(state, "a", "ENOTFOUND", 31)
    assert.isUndefined(Cache.fallback(state, "a", 32))
    Cache.ask(state, "a", 51)
    Cache.failed(state, "a", 52)
    assert.propertyVal(Cache.ask(state, "a", 53), "_tag", "Unknown")
  })

  it("who waits for a look-up counts as a miss of the host, who does not as a hit", () => {
    const state = Cache.makeNameCacheState(limitsOf(9))
    Cache.ask(state, "a", 0)
    Cache.ask(state, "a", 1)
    const entry = Cache.answered(state, "a", one, undefined, 2)
    Cache.ask(state, "a", 3)
    assert.deepInclude(entry, { hits: 1, misses: 2 })
    Cache.ask(state, "a", 40)
    Cache.failed(state, "a", 41)
    assert.deepInclude(entry, { hits: 1, misses: 3 })
  })
})

const address = Schema.Struct({ address: Schema.String, family: Schema.Literals([4, 6]) })
const addresses = Arbitrary.map(Arbitrary.array(Arbitrary.schema(address), { maxLength: 8 }), distinct)

describe("addressOrder", () => {
  it.prop(
    "interleaving keeps every address, the first in its place, the order of each family, and takes turns while it can",
    [addresses],
    ([given]) => {
      const result = interleaved(given)
      assert.strictEqual(result[0], given[0])
      for (const family of [4, 6]) {
        const of = (list: ReadonlyArray<Address>) => list.filter((each) => each.family === family)
        assert.deepStrictEqual(of(result), of(given))
      }
      assert.strictEqual(result.length, given.length)
      const fewer = Math.min(...[4, 6].map((family) => given.filter((each) => each.family === family).length))
      for (let index = 1; index < 2 * fewer; index++) {
        assert.notStrictEqual(result[index]?.family, result[index - 1]?.family)
      }
      assert.deepStrictEqual(interleaved(result), result)
    }
  )

  it.prop(
    "over as many turns as a family has addresses each of them is the first of it once",
    [addresses],
    ([given]) => {
      const family = given[0]?.family
      const ofFirst = given.filter((each) => each.family === family)
      const firsts = ofFirst.map((_, turn) => turned(given, turn)[0])
      assert.deepStrictEqual(firsts, ofFirst)
      for (const [turn] of given.entries()) {
        assert.sameMembers([...turned(given, turn)], [...given])
      }
    }
  )

  it("each address is once in the list, where it came first", () => {
    const a = { address: "10.0.0.1", family: 4 } as const
    const b = { address: "::1", family: 6 } as const
    assert.deepStrictEqual(distinct([a, b, { ...a }]), [a, b])
  })
})

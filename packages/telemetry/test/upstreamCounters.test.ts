import { assert, describe, it } from "@effect/vitest"
import { UpstreamCounters } from "../src/internal/metrics/upstreamCounters.ts"

const upstream = (): object => ({})

/** Counts of one name, and what a reader is told when some upstreams say some numbers. */
const counting = (keepMillis: number) => {
  const counters = new UpstreamCounters(keepMillis)
  const read = (nowMillis: number, said: ReadonlyMap<object, number>): number | undefined => {
    for (const [upstream, value] of said) {
      counters.note("stock", upstream, { name: "holdfast.body.forgotten", labels: {}, value })
    }
    return counters.readings(nowMillis, (_, upstream) => said.has(upstream)).get("stock")?.value
  }
  return { counters, read }
}

const nobody = new Map<object, number>()

describe("the counts of upstreams", () => {
  it("are what an upstream says, and stay as they are while it says the same", () => {
    const { read } = counting(1000)
    const stock = upstream()
    assert.deepStrictEqual(
      [0, 5, 5, 6, 6].map((value) => read(0, new Map([[stock, value]]))),
      [0, 5, 5, 6, 6]
    )
  })

  it("go on from where they were, each time an upstream begins to count anew", () => {
    const { read } = counting(1000)
    const stock = upstream()
    assert.deepStrictEqual(
      [5, 2, 3, 1, 1].map((value) => read(0, new Map([[stock, value]]))),
      [5, 7, 8, 9, 9]
    )
  })

  it("of two upstreams of one name are their sum, of which the part of one that left stays", () => {
    const { read } = counting(1000)
    const [one, other] = [upstream(), upstream()]
    const both = new Map([
      [one, 3],
      [other, 4]
    ])
    assert.strictEqual(read(0, both), 7)
    assert.strictEqual(read(0, new Map([[other, 5]])), 8)
    assert.strictEqual(read(0, new Map([[other, 5]])), 8)
    // it counts from nothing when it comes back
    assert.strictEqual(read(0, both.set(one, 1).set(other, 5)), 9)
  })

  it("are kept for as long as is asked after the last upstream left, and then forgotten", () => {
    const { counters, read } = counting(1000)
    const stock = upstream()
    assert.isFalse(counters.has("stock"))
    read(0, new Map([[stock, 3]]))
    assert.deepStrictEqual(
      [500, 1499].map((nowMillis) => read(nowMillis, nobody)),
      [3, 3]
    )
    assert.isTrue(counters.has("stock"))
    assert.isUndefined(read(1500, nobody), "kept from the first look that did not find it")
    assert.isFalse(counters.has("stock"))
    assert.strictEqual(read(1500, new Map([[upstream(), 2]])), 2, "what is forgotten begins anew")
  })

  it("are kept as long again after an upstream that came back has left again", () => {
    const { read } = counting(1000)
    read(0, new Map([[upstream(), 3]]))
    read(500, nobody)
    assert.strictEqual(read(900, new Map([[upstream(), 1]])), 4)
    assert.strictEqual(read(1600, nobody), 4)
    assert.strictEqual(read(2599, nobody), 4)
    assert.isUndefined(read(2600, nobody))
  })

  it("of names that are not kept leave with the look that finds nobody counting", () => {
    const { read } = counting(0)
    assert.strictEqual(read(0, new Map([[upstream(), 3]])), 3)
    assert.isUndefined(read(0, nobody))
  })
})

import { assert, describe, it } from "@effect/vitest"
import { makeSessionCache } from "../src/internal/tls/sessionCache.ts"

const session = (name: string, untilMillis = 1000) => ({ ticket: Buffer.from(name), untilMillis })

describe("the cache of sessions", () => {
  it("keeps as many as it may, and lets go of the one that was not used for longest", () => {
    const cache = makeSessionCache(2)
    cache.set("a", session("a"))
    cache.set("b", session("b"))
    assert.strictEqual(cache.get("a", 0)?.ticket.toString(), "a")
    cache.set("c", session("c"))
    assert.deepStrictEqual(
      ["a", "b", "c"].map((key) => cache.get(key, 0)?.ticket.toString()),
      ["a", undefined, "c"]
    )
    assert.strictEqual(cache.size(), 2)
  })

  it("gives the newest session of a key, and none at or after its end", () => {
    const cache = makeSessionCache(2)
    cache.set("a", session("old"))
    cache.set("a", session("new"))
    assert.strictEqual(cache.get("a", 999)?.ticket.toString(), "new")
    assert.isUndefined(cache.get("a", 1000))
    assert.strictEqual(cache.size(), 0)
  })

  it("a session that is put again is used again: another goes for the next", () => {
    const cache = makeSessionCache(2)
    for (const key of ["a", "b", "a", "c"]) cache.set(key, session(key))
    assert.deepStrictEqual(
      ["a", "b", "c"].map((key) => cache.get(key, 0) !== undefined),
      [true, false, true]
    )
  })

  it("of many keys keeps those that were used last, each use counting, and never more than it may", () => {
    const cache = makeSessionCache(3)
    for (const key of ["a", "b", "c"]) cache.set(key, session(key))
    for (const key of ["c", "a", "b"]) cache.get(key, 0)
    for (const [key, left] of [
      ["d", ["a", "b", "d"]],
      ["e", ["b", "d", "e"]],
      ["f", ["d", "e", "f"]]
    ] as const) {
      cache.set(key, session(key))
      assert.strictEqual(cache.size(), 3)
      // asked in the order in which they were put, which leaves that order as it is
      const all = ["a", "b", "c", "d", "e", "f"]
      assert.deepStrictEqual(
        all.filter((name) => cache.get(name, 0) !== undefined),
        [...left]
      )
    }
  })

  it("gives nothing for a key that was forgotten", () => {
    const cache = makeSessionCache(2)
    cache.set("a", session("a"))
    cache.delete("a")
    assert.isUndefined(cache.get("a", 0))
  })
})

import { assert, describe, it } from "@effect/vitest"
import { makeSessionCache } from "../src/internal/sessionCache.ts"

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

  it("gives nothing for a key that was forgotten", () => {
    const cache = makeSessionCache(2)
    cache.set("a", session("a"))
    cache.delete("a")
    assert.isUndefined(cache.get("a", 0))
  })
})

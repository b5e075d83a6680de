import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { type AbruptPeer, closedUnused, makeAbruptPeer, restMillis, usedAgain } from "../src/internal/abruptPeer.ts"

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

/** Closes connections so often, each so long after its answer, and a second apart. */
const shown = (closes: number, unusedMillis: number): AbruptPeer => {
  const peer = makeAbruptPeer()
  for (let count = 1; count <= closes; count++) closedUnused(peer, unusedMillis, count * 1000)
  return peer
}

/** Longer than any peer takes that closes a connection without a word. */
const idleMillis = 1000

describe("a peer that closes connections without a word", () => {
  it.prop(
    "is shown by several closes one after the other, and its connections rest for longer than it took",
    [int(0, 20)],
    ([unusedMillis]) => {
      assert.strictEqual(restMillis(shown(2, unusedMillis)), 0)
      assert.isAbove(restMillis(shown(3, unusedMillis)), unusedMillis)
    }
  )

  it("is not shown by many closes at one moment, which a server that reloads makes", () => {
    const peer = makeAbruptPeer()
    for (let count = 0; count < 100; count++) closedUnused(peer, 1, 5000 + count / 10)
    assert.strictEqual(restMillis(peer), 0)
  })

  it("is not shown by closes of what was unused for long", () => {
    assert.strictEqual(restMillis(shown(100, idleMillis)), 0)
  })

  it.prop(
    "is cleared by connections that are used again, and not by a few once it has shown itself",
    [int(3, 9), int(0, 20)],
    ([closes, unusedMillis]) => {
      const peer = shown(closes, unusedMillis)
      usedAgain(peer)
      assert.isAbove(restMillis(peer), 0)
      for (let count = 0; count < 100; count++) usedAgain(peer)
      assert.strictEqual(restMillis(peer), 0)
      // all is to be shown anew
      closedUnused(peer, unusedMillis, 1e6)
      closedUnused(peer, unusedMillis, 1e6 + 1000)
      assert.strictEqual(restMillis(peer), 0)
    }
  )

  it.prop(
    "whatever happens: a rest is no time, or one that is longer than none and bounded by what was seen",
    [Arbitrary.array(int(0, 99), { maxLength: 60 })],
    ([steps]) => {
      const peer = makeAbruptPeer()
      let longest = 0
      steps.forEach((step, index) => {
        if (step < 30) usedAgain(peer)
        else {
          closedUnused(peer, step - 30, index * 7)
          longest = Math.max(longest, step - 30)
        }
        const rest = restMillis(peer)
        assert.isTrue(rest === 0 || (rest >= 2 && rest <= 2 * longest + 2), String(rest))
      })
    }
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import {
  type AbruptPeer,
  closedUnused,
  makeAbruptPeer,
  restMillis,
  usedAgain
} from "../src/internal/pool/abruptPeer.ts"

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

  it("is shown by closes within 50 ms of an answer, at least 20 ms apart", () => {
    const at = (unusedMillis: number, apartMillis: number): number => {
      const peer = makeAbruptPeer()
      for (let count = 0; count < 3; count++) closedUnused(peer, unusedMillis, 1000 + count * apartMillis)
      return restMillis(peer)
    }
    assert.isAbove(at(50, 20), 0)
    assert.strictEqual(at(50.1, 20), 0)
    assert.strictEqual(at(50, 19.9), 0)
    assert.isAbove(at(0, 20), 0)
  })

  it("has its connections rest for 2 ms and twice as long as it took at most, 50 ms in all", () => {
    assert.deepStrictEqual(
      [0, 0.3, 1, 10, 23, 24, 25, 50].map((millis) => restMillis(shown(3, millis))),
      [2, 3, 4, 22, 48, 50, 50, 50]
    )
    const peer = shown(2, 9)
    closedUnused(peer, 1, 9000)
    assert.strictEqual(restMillis(peer), 20, "the longest time counts")
  })

  it("is cleared by sixteen connections in a row that are used again, or by four when it is only suspected", () => {
    const cleared = (closes: number): number => {
      const peer = shown(closes, 10)
      let count = 0
      for (; peer.closes > 0 && count < 100; count++) usedAgain(peer)
      return count
    }
    assert.deepStrictEqual([1, 2, 3, 9].map(cleared), [4, 4, 16, 16])
  })

  it("is not cleared by connections that are used again, when one of them is closed in between", () => {
    const peer = shown(3, 10)
    for (let round = 1; round < 5; round++) {
      for (let count = 0; count < 15; count++) usedAgain(peer)
      // even at the very moment of the last one
      closedUnused(peer, 1, 3000)
    }
    assert.strictEqual(restMillis(peer), 22)
  })

  it("that was cleared is shown by closes of its own time alone", () => {
    const peer = shown(3, 20)
    for (let count = 0; count < 16; count++) usedAgain(peer)
    for (let count = 0; count < 3; count++) closedUnused(peer, 1, 10_000 + count * 1000)
    assert.strictEqual(restMillis(peer), 4)
    for (let count = 0; count < 15; count++) usedAgain(peer)
    assert.strictEqual(restMillis(peer), 4)
    usedAgain(peer)
    assert.strictEqual(restMillis(peer), 0)
  })

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

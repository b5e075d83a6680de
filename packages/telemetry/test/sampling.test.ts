import { assert, describe, it } from "@effect/vitest"
import { fractionOf, isKept } from "../src/internal/metrics/sampling.ts"

describe("the share of a text", () => {
  // reckoned by another program: every process, of whatever version, is to keep the same
  it.each([
    ["", 2_872_998_923],
    ["a", 444_641_715],
    ["0af7651916cd43dd8448eb211c80319c", 342_580_911]
  ] as const)("of %j is %i of 2 ** 32", (text, of) => {
    assert.strictEqual(fractionOf(text), of / 2 ** 32)
  })

  it("is spread evenly, also of texts that differ in their last character alone", () => {
    const counts = Array.from({ length: 10 }, () => 0)
    for (let index = 0; index < 10_000; index++) {
      const place = Math.floor(fractionOf(`request-${index}`) * 10)
      counts[place] = (counts[place] ?? 0) + 1
    }
    for (const count of counts) assert.closeTo(count, 1000, 150)
  })
})

describe("what is kept at a ratio", () => {
  it("is all at 1, nothing at 0, and what has no name at any other", () => {
    for (const name of ["a", "b", undefined]) {
      assert.isTrue(isKept(1, name))
      assert.isFalse(isKept(0, name))
    }
    assert.isTrue(isKept(0.001, undefined))
  })

  it("is kept at every higher ratio, and by its share alone", () => {
    const share = fractionOf("a")
    assert.isFalse(isKept(share, "a"))
    assert.isTrue(isKept(share + 1e-9, "a"))
    assert.isFalse(isKept(share - 1e-9, "a"))
  })
})

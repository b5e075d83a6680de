import { assert, describe, it } from "@effect/vitest"
import { learnUnit, makeResetUnit } from "../src/internal/response/resetUnit.ts"

/** What is known after each of these answers: when it came, and the reset that it said. */
const learned = (...answers: ReadonlyArray<readonly [nowMillis: number, reset: number]>) => {
  const unit = makeResetUnit()
  return answers.map(([nowMillis, reset]) => learnUnit(unit, nowMillis, { "x-ratelimit-reset": String(reset) }))
}

const start = 1_000_000

describe("the unit of a server's reset", () => {
  it("is milliseconds when it goes down as they do, twice in a row, and stays that", () => {
    assert.deepStrictEqual(
      learned([start, 10_000], [start + 100, 9900], [start + 200, 9800], [start + 300, 9799], [start + 400, 60_000]),
      [undefined, undefined, "milliseconds", "milliseconds", "milliseconds"]
    )
  })

  it("may be off by half or by twice, because answers come late", () => {
    const after = (first: number, second: number) =>
      learned([start, 10_000], [start + 100, 10_000 - first], [start + 200, 10_000 - first - second]).at(-1)
    assert.strictEqual(after(50, 200), "milliseconds")
    assert.isUndefined(after(49, 100))
    assert.isUndefined(after(100, 201))
  })

  it("is not told by one that goes down as seconds do", () => {
    const answers = Array.from({ length: 50 }, (_, index) => [start + index * 1000, 3600 - index] as const)
    assert.deepStrictEqual(new Set(learned(...answers)), new Set([undefined]))
    // nor by steps of several seconds
    const slow = Array.from({ length: 50 }, (_, index) => [start + index * 10_000, 3600 - 10 * index] as const)
    assert.deepStrictEqual(new Set(learned(...slow)), new Set([undefined]))
  })

  it("is not told by two steps between which one is none", () => {
    assert.deepStrictEqual(
      learned([start, 10_000], [start + 100, 9900], [start + 200, 5000], [start + 300, 4900], [start + 400, 4800]),
      [undefined, undefined, undefined, undefined, "milliseconds"]
    )
  })

  it("is told of answers that come together as of one, and a new window begins anew", () => {
    assert.deepStrictEqual(
      learned([start, 10_000], [start + 2, 9998], [start + 4, 9996], [start + 6, 9994], [start + 12, 9988]).slice(0, 4),
      [undefined, undefined, undefined, undefined]
    )
    assert.deepStrictEqual(learned([start, 50], [start + 100, 10_000], [start + 200, 9900], [start + 300, 9800]), [
      undefined,
      undefined,
      undefined,
      "milliseconds"
    ])
  })

  it("a step of five is the least that tells", () => {
    assert.strictEqual(learned([start, 1000], [start + 5, 995], [start + 10, 990]).at(-1), "milliseconds")
    assert.isUndefined(learned([start, 1000], [start + 4, 996], [start + 8, 992]).at(-1))
  })
})

import { assert, describe, it } from "vitest"
import type { Told } from "./load.ts"
import type { Row, Rows } from "./verdict.ts"
import { broken, rowOf, tableOf } from "./verdict.ts"

const well: Told = { calls: { GET: 2, POST: 2 }, failed: [], hanging: 0, retries: 0, uncaught: [] }

const once = [
  ["1 GET", 1],
  ["2 POST", 1],
  ["3 GET", 1],
  ["4 POST", 1]
] as const

const row = (differing: Partial<Row> = {}): Row => ({ ...rowOf(well, once), ...differing })

const beside = (holdfast: Partial<Row>, node: Partial<Row> = {}): Rows => ({
  holdfast: row(holdfast),
  undici: row(),
  node: row(node)
})

const load = { callers: 1, clients: 1, workMillis: 5, bound: { millis: 20, calls: 1_000 } }

describe("the servers drill's verdict", () => {
  it("tells a POST that failed and was applied from one that was not", () => {
    const failed = [
      { method: "POST", id: "2 POST", why: "ConnectionReset", isRefusal: false },
      { method: "POST", id: "6 POST", why: "CircuitOpen", isRefusal: true },
      { method: "GET", id: "1 GET", why: "CircuitOpen", isRefusal: true }
    ] as const
    const { answered, failedThoughApplied, getsFailed, postsFailed, refused, why } = rowOf(
      { ...well, calls: { GET: 2, POST: 3 }, failed },
      once
    )
    assert.deepStrictEqual([answered, getsFailed, postsFailed, failedThoughApplied, refused], [2, 1, 2, 1, 2])
    assert.strictEqual(why, "1 POST ConnectionReset, 1 POST CircuitOpen, 1 GET CircuitOpen")
  })

  it("counts a POST that came twice, and no GET", () => {
    assert.strictEqual(rowOf(well, [...once.slice(2), ["1 GET", 2], ["2 POST", 2]]).doubled, 1)
  })

  it("is content with calls that were all answered", () => {
    assert.deepStrictEqual(broken(beside({}), { load }), [])
  })

  it.each([
    [{ getsFailed: 1 }, "1 GETs were lost"],
    [{ refused: 1 }, "1 calls were refused"],
    [{ doubled: 1 }, "1 POSTs were applied twice"],
    [{ failedThoughApplied: 1 }, "1 POSTs were applied and told as failed, of bare node's 0"],
    [{ hanging: 1 }, "1 calls did not end"],
    [{ uncaught: 1 }, "1 errors reached the process"],
    [{ answered: 1 }, "1 calls were answered, fewer than half of a bare client's 4"]
  ] satisfies ReadonlyArray<[Partial<Row>, string]>)("holds against Holdfast: %o", (differing, said) => {
    assert.deepStrictEqual(broken(beside(differing), { load }), [said])
  })

  it("holds nothing against Holdfast that bare node could not avoid either", () => {
    assert.deepStrictEqual(broken(beside({ failedThoughApplied: 3 }, { failedThoughApplied: 3 }), { load }), [])
    const rows = beside({ failedThoughApplied: 16 }, { failedThoughApplied: 3 })
    assert.strictEqual(broken(rows, { load }).length, 1)
    assert.deepStrictEqual(broken(rows, { load, abandons: true }), [])
    assert.strictEqual(
      broken(beside({ failedThoughApplied: 17 }, { failedThoughApplied: 3 }), { load, abandons: true }).length,
      1
    )
  })

  it("asks for half of a peer's answers where the peer had half of what is possible, and for none where the processor is short", () => {
    assert.deepStrictEqual(broken(beside({ answered: 2 }), { load }), [])
    const of9 = { ...load, callers: 2, bound: { millis: 22, calls: 1_000 } }
    assert.deepStrictEqual(broken(beside({ answered: 1 }), { load: of9 }), [])
    const ofRounds = { ...of9, rounds: { pauseMillis: [0, 1] } } as const
    assert.lengthOf(broken(beside({ answered: 1 }), { load: ofRounds }), 1)
    assert.deepStrictEqual(broken(beside({ answered: 1 }), { load: { ...load, workMillis: 0 } }), [])
  })

  it("shows every client of a scenario, line by line", () => {
    const [heading, ...lines] = tableOf([
      [["nginx", "reload", "2"], beside({ getsFailed: 7, why: "7 GET 502" })]
    ]).split("\n")
    assert.match(heading ?? "", /^server +scenario +HTTP +client +calls +GET failed/)
    assert.match(lines[0] ?? "", /^nginx +reload +2 +holdfast +4 +7 +0 .* 7 GET 502$/)
    assert.match(lines[2] ?? "", /^nginx +reload +2 +node +4 +0 +0/)
    assert.lengthOf(lines, 3)
  })
})

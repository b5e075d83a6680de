import { assert, describe, it } from "@effect/vitest"
import {
  counted,
  type Example,
  type Failure,
  makeFailureGroups,
  record
} from "../src/internal/windows/failureGroups.ts"
import { totalAt } from "../src/internal/windows/timeSlices.ts"

/** Of a calendar: a time since 1970, and not since the test began. */
const begin = 1_700_000_000_000

/** Groups, and failures that say what is their own. */
const groupsOf = (maxGroups = 10) => {
  const groups = makeFailureGroups<"warning">(maxGroups, 0)
  let examples = 0
  const fail = (passedMillis: number, given: Partial<Failure<"warning">> = {}): void => {
    const of = given.of ?? "call"
    const example = (): Example => {
      examples++
      return {
        of,
        message: `${of} ${passedMillis}`,
        requestId: "",
        traceId: undefined,
        spanId: undefined,
        atMillis: begin + passedMillis
      }
    }
    const failure = { of, upstream: "stock", operation: "GET", code: "ERR", severity: "warning" as const, example }
    record(groups, { ...failure, ...given }, passedMillis, begin + passedMillis)
  }
  const only = () => {
    const [group] = groups.groups.values()
    return group ?? assert.fail("there is no group")
  }
  return { groups, fail, only, examples: () => examples }
}

describe("groups of failures", () => {
  it("count calls and attempts apart, in all and lately", () => {
    const { fail, only } = groupsOf()
    for (const of of ["call", "attempt", "attempt", "attempt", "call"] as const) fail(1000, { of })
    assert.deepInclude(only(), { calls: 2, attempts: 3 })
    const { counters } = totalAt(only().slices, "lastMinute", 1000)
    assert.deepStrictEqual([counters[counted.calls], counters[counted.attempts]], [2, 3])
  })

  it("show an example for a second at least, and make none meanwhile", () => {
    const { examples, fail, only } = groupsOf()
    const shown = [0, 999, 1000, 1500, 1999, 2000].map((passedMillis) => {
      fail(passedMillis)
      return only().example.message
    })
    assert.deepStrictEqual(shown, ["call 0", "call 0", "call 1000", "call 1000", "call 1000", "call 2000"])
    assert.strictEqual(examples(), 3)
  })

  it("show a new example when the calendar was set back", () => {
    const { fail, only } = groupsOf()
    fail(5000)
    fail(4001)
    assert.strictEqual(only().example.message, "call 5000")
    fail(4000)
    assert.strictEqual(only().example.message, "call 4000")
  })

  it("show a call's example in place of an attempt's at once, and never the other way round", () => {
    const { fail, only } = groupsOf()
    fail(0, { of: "attempt" })
    fail(1, { of: "call" })
    assert.strictEqual(only().example.message, "call 1")
    fail(60_000, { of: "attempt" })
    assert.strictEqual(only().example.message, "call 1")
  })

  it("are told apart by upstream, operation and code, and say when each was first and last met", () => {
    const { fail, groups } = groupsOf()
    fail(0)
    fail(10, { upstream: "orders" })
    fail(20, { operation: "POST" })
    fail(30, { code: "ERR_OTHER" })
    fail(40)
    assert.deepStrictEqual(
      [...groups.groups.values()].map(({ code, firstMillis, lastMillis, operation, upstream }) => [
        `${upstream} ${operation} ${code}`,
        firstMillis - begin,
        lastMillis - begin
      ]),
      [
        ["orders GET ERR", 10, 10],
        ["stock POST ERR", 20, 20],
        ["stock GET ERR_OTHER", 30, 30],
        ["stock GET ERR", 0, 40]
      ]
    )
  })

  it("are no more than may be: the one that was not met for longest is forgotten, and what is new is counted from then on", () => {
    const { fail, groups } = groupsOf(2)
    fail(0, { code: "A" })
    fail(1, { code: "B" })
    assert.strictEqual(groups.forgotten, 0)
    fail(2, { code: "A" })
    fail(3, { code: "C" })
    assert.deepStrictEqual(
      [...groups.groups.values()].map(({ calls, code, sinceMillis }) => [code, calls, sinceMillis]),
      [
        ["A", 2, 0],
        ["C", 1, 3]
      ]
    )
    assert.strictEqual(groups.forgotten, 1)
  })
})

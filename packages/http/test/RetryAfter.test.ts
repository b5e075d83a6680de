import { Duration, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as RetryAfter from "../src/RetryAfter.ts"

const date = "Wed, 21 Oct 2026 07:28:00 GMT"
const now = Date.parse(date)

const seconds = (headers: { readonly [name: string]: string }, at = now): number | undefined => {
  const wait = RetryAfter.fromHeaders(headers, at)
  return wait === undefined ? undefined : Duration.toSeconds(wait)
}

describe("RetryAfter", () => {
  it("whole seconds are a wait, zero included", () => {
    assert.strictEqual(seconds({ "retry-after": "120" }), 120)
    assert.strictEqual(seconds({ "retry-after": " 7 " }), 7)
    assert.strictEqual(seconds({ "retry-after": "0" }), 0)
  })

  it.prop(
    "any whole number of seconds is that wait",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))],
    ([given]) => {
      assert.strictEqual(seconds({ "retry-after": String(given), date }), given)
    }
  )

  it("a date is read in each of the three forms of RFC 9110", () => {
    assert.strictEqual(seconds({ "retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", date }), 30)
    assert.strictEqual(seconds({ "retry-after": "Wednesday, 21-Oct-26 07:28:30 GMT", date }), 30)
    assert.strictEqual(seconds({ "retry-after": "Wed Oct 21 07:28:30 2026", date }), 30)
    assert.strictEqual(seconds({ "retry-after": "Sun Nov  1 07:28:00 2026", date: "Sun, 01 Nov 2026 07:27:59 GMT" }), 1)
  })

  it("a date is compared with the response's own, whatever this host's clock says", () => {
    for (const wrong of [0, now - 3_600_000, now + 3_600_000, 4e12]) {
      assert.strictEqual(seconds({ "retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", date }, wrong), 30)
    }
  })

  it("without a date of the response, or with one that can't be read, this host's clock decides", () => {
    const asked = { "retry-after": "Wed, 21 Oct 2026 07:28:30 GMT" }
    assert.strictEqual(seconds(asked, now - 10_000), 40)
    assert.strictEqual(seconds({ ...asked, date: "yesterday" }, now - 10_000), 40)
  })

  it("a date that has passed is no time to wait, and not a negative one", () => {
    assert.strictEqual(seconds({ "retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", date }), 0)
  })

  it("given more than once, the longest counts, in whatever forms", () => {
    assert.strictEqual(seconds({ "retry-after": "2, 2" }), 2)
    assert.strictEqual(seconds({ "retry-after": "1, 30,5" }), 30)
    assert.strictEqual(seconds({ "retry-after": "soon, 7" }), 7)
    const later = "Wed, 21 Oct 2026 07:29:00 GMT"
    assert.strictEqual(seconds({ "retry-after": `5, ${later}`, date }), 60)
    assert.strictEqual(seconds({ "retry-after": `${date}, ${later}`, date }), 60)
    assert.strictEqual(seconds({ "retry-after": "Wednesday, 21-Oct-26 07:28:30 GMT, 3", date }), 30)
  })

  it("milliseconds say it more exactly, and do not shorten it", () => {
    assert.strictEqual(seconds({ "retry-after-ms": "250" }), 0.25)
    assert.strictEqual(seconds({ "x-ms-retry-after-ms": "1500", "retry-after": "2" }), 1.5)
    assert.strictEqual(seconds({ "retry-after-ms": "250", "retry-after": "20" }), 20)
    assert.strictEqual(seconds({ "retry-after-ms": "30000", "retry-after": "20" }), 30)
    assert.strictEqual(seconds({ "retry-after-ms": "soon", "retry-after": "20" }), 20)
  })

  it("what a cache kept the answer for has passed already", () => {
    assert.strictEqual(seconds({ "retry-after": "60", age: "50" }), 10)
    assert.strictEqual(seconds({ "retry-after": "60", age: "70" }), 0)
    assert.strictEqual(seconds({ "retry-after-ms": "60000", age: "50" }), 10)
    const until = "Wed, 21 Oct 2026 07:29:00 GMT"
    assert.strictEqual(seconds({ "retry-after": until, date, age: "50" }), 10)
    assert.strictEqual(seconds({ "retry-after": until, age: "50" }), 60, "this host's clock knows of no age")
    for (const age of ["", "old", "-5", "1e3"]) assert.strictEqual(seconds({ "retry-after": "60", age }), 60, age)
  })

  it("a number that is too large for a wait is an instant", () => {
    for (const unit of [1, 1000, 1e6]) {
      assert.strictEqual(seconds({ "retry-after": String((now / 1000 + 30) * unit), date }), 30)
    }
    assert.isUndefined(seconds({ "retry-after": "999999999999" }))
    assert.isUndefined(seconds({ "retry-after": "9".repeat(30) }))
  })

  it("what no RFC knows is no wait", () => {
    for (const value of [
      "",
      " ",
      "soon",
      "-1",
      "1.",
      "1e3",
      "+5",
      "0x10",
      "5s",
      "Wed, 32 Oct 2026 07:28:30 GMT",
      date.slice(5)
    ]) {
      assert.isUndefined(seconds({ "retry-after": value, date }), value)
    }
    assert.isUndefined(seconds({ date }))
  })

  it.prop(
    "nothing that a server can say is a failure, nor a negative or unreadable wait",
    [Schema.String],
    ([value]) => {
      const wait = seconds({ "retry-after": value, date: value })
      assert.isTrue(wait === undefined || wait >= 0)
    }
  )
})

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

  it("what no RFC knows is no wait", () => {
    for (const value of [
      "",
      " ",
      "soon",
      "-1",
      "1.5",
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

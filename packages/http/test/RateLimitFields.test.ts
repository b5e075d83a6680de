import { Duration, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as RateLimitFields from "../src/RateLimitFields.ts"

const date = "Wed, 21 Oct 2026 07:28:00 GMT"
const now = Date.parse(date)

const read = (headers: { readonly [name: string]: string }, options?: { readonly legacy?: boolean }) => {
  const hint = RateLimitFields.fromHeaders(headers, now, options)
  if (hint === undefined) return undefined
  return [hint.remaining, Duration.toSeconds(hint.resetAfter), Duration.toSeconds(hint.pace)]
}

describe("RateLimitFields", () => {
  it("the draft's own examples are read (draft-ietf-httpapi-ratelimit-headers-10, 4.2 and 7)", () => {
    assert.deepStrictEqual(read({ ratelimit: '"default";r=50;t=30' }), [50, 30, 0.6])
    assert.deepStrictEqual(read({ ratelimit: '"default";r=1;t=7' }), [1, 7, 7])
    assert.deepStrictEqual(read({ ratelimit: '"problemPolicy";r=0;t=10' }), [0, 10, 10])
    assert.deepStrictEqual(read({ ratelimit: '"default";r=300000000;t=60;pk=:QXBwLTk5OQ==:' }), [3e8, 60, 2e-7])
    assert.isUndefined(read({ ratelimit: '"default";r=999;pk=:dHJpYWwxMjEzMjM=:' }), "no window: nothing to go by")
  })

  it("of several rules the slowest counts, and one with nothing left is slower than any", () => {
    assert.deepStrictEqual(read({ ratelimit: '"burst";r=50;t=30, "daily";r=100;t=3600' }), [100, 3600, 36])
    assert.deepStrictEqual(read({ ratelimit: '"daily";r=1;t=3600,"burst";r=0;t=2' }), [0, 2, 2])
    assert.deepStrictEqual(read({ ratelimit: '"a";r=0;t=2,"b";r=0;t=5,"c";r=0;t=3' }), [0, 5, 5])
  })

  it("a window that is not said is the policy's", () => {
    const headers = { ratelimit: '"permin";r=20', "ratelimit-policy": '"permin";q=50;w=60,"perhr";q=1000;w=3600' }
    assert.deepStrictEqual(read(headers), [20, 60, 3])
  })

  it("what is left of bytes or of concurrent requests is not left of calls", () => {
    for (const unit of ["content-bytes", "concurrent-requests"]) {
      const headers = {
        ratelimit: '"u";r=1;t=60',
        "ratelimit-policy": `"u";q=65535;qu="${unit}";w=10;pk=:sdfjLJUOUH==:`
      }
      assert.isUndefined(read(headers), unit)
    }
    assert.isDefined(read({ ratelimit: '"u";r=1;t=60', "ratelimit-policy": '"u";q=10;qu="requests"' }))
  })

  it("a field of which anything is malformed is ignored as a whole", () => {
    for (const field of [
      "",
      "50",
      "default;r=50;t=30",
      '"default"',
      '"default";r=-1;t=30',
      '"default";r=50;t=-30',
      '"default";r="50";t=30',
      '"default";r=50.5;t=30',
      '"default";r=50;t=30;pk="key"',
      '"default";r=50;t=30,',
      '"default";r=50;t=30, broken;r=1;t=1',
      '("default");r=50;t=30',
      '"default";r=50;t=30 x',
      '"default";r=1234567890123456;t=30',
      '"default;r=50;t=30',
      '"default";R=50;t=30'
    ]) {
      assert.isUndefined(read({ ratelimit: field }), field)
    }
  })

  it("a malformed policy is ignored, and the limit stands", () => {
    for (const policy of ['"d";q=-1', '"d"', '"d";q=1;w=0', '"d";q=1;qu=bytes', "?"]) {
      assert.deepStrictEqual(read({ ratelimit: '"d";r=5;t=10', "ratelimit-policy": policy }), [5, 10, 2], policy)
    }
  })

  it("unknown parameters are comments", () => {
    assert.deepStrictEqual(read({ ratelimit: '"d";r=5;t=10;acme-burst=7;x' }), [5, 10, 2])
  })

  it("Retry-After goes before the reset, and leaves nothing", () => {
    assert.deepStrictEqual(read({ ratelimit: '"d";r=5;t=10', "retry-after": "3" }), [0, 3, 3])
    assert.deepStrictEqual(read({ ratelimit: '"d";r=0;t=10', "retry-after": "30" }), [0, 30, 30])
    assert.deepStrictEqual(read({ ratelimit: '"d";r=0;t=10', "retry-after": "soon" }), [0, 10, 10])
    assert.isUndefined(read({ "retry-after": "3" }))
  })

  it("an absurd reset is a day at most", () => {
    assert.deepStrictEqual(read({ ratelimit: '"d";r=0;t=999999999999999' }), [0, 86_400, 86_400])
    assert.deepStrictEqual(
      read({ "x-ratelimit-remaining": "0", "x-ratelimit-reset": "999999999999999" }),
      [0, 86_400, 86_400]
    )
  })

  it("so is an absurd Retry-After (the draft's 8.5 names 1000000)", () => {
    assert.deepStrictEqual(read({ ratelimit: '"d";r=0;t=1', "retry-after": "1000000" }), [0, 86_400, 86_400])
  })

  it("a reset of no time at all is no rule", () => {
    assert.isUndefined(read({ ratelimit: '"d";r=0;t=0' }))
    assert.isUndefined(read({ "x-ratelimit-remaining": "0", "x-ratelimit-reset": "0" }))
  })

  it("the older fields are read: a reset up to 10⁹ is seconds, above it a date, by the response's own clock", () => {
    const older = (remaining: string, reset: string, more = {}) =>
      read({ "x-ratelimit-limit": "100", "x-ratelimit-remaining": remaining, "x-ratelimit-reset": reset, ...more })
    assert.deepStrictEqual(older("10", "60"), [10, 60, 6])
    assert.deepStrictEqual(older("0", "1.5"), [0, 1.5, 1.5])
    assert.deepStrictEqual(older("10", String(now / 1000 + 60)), [10, 60, 6])
    const wrongClock = { date: "Wed, 21 Oct 2026 08:28:00 GMT" }
    assert.deepStrictEqual(older("10", String(now / 1000 + 3600 + 60), wrongClock), [10, 60, 6])
    assert.isUndefined(older("10", String(now / 1000 - 60)), "a date that has passed")
    for (const bad of ["", "soon", "-1", "1e3", "60, soon", "0x10"]) assert.isUndefined(older("10", bad), bad)
    for (const bad of ["", "many", "-1"]) assert.isUndefined(older(bad, "60"), bad)
    assert.isUndefined(read({ "x-ratelimit-remaining": "1" }))
    assert.deepStrictEqual(read({ "ratelimit-remaining": "10", "ratelimit-reset": "20" }), [10, 20, 2])
  })

  describe("a reset of the older fields is read in every form", () => {
    const epoch = now / 1000 + 60
    for (const [reset, what] of [
      ["60", "seconds"],
      ["60.0", "a fraction"],
      ["1m0s", "a time with units"],
      ["60000ms", "milliseconds with their unit"],
      [String(epoch), "epoch seconds"],
      [`${epoch}.000`, "epoch seconds with a fraction"],
      [String(epoch * 1000), "epoch milliseconds"],
      [String(epoch * 1e6), "epoch microseconds"],
      [`${epoch}000000000`, "epoch nanoseconds"],
      ["2026-10-21T07:29:00Z", "a date of RFC 3339"],
      ["2026-10-21T07:29:00.000Z", "one with a fraction"],
      ["2026-10-21T09:29:00+02:00", "one with a zone"],
      ["2026-10-21T07:29Z", "one without seconds"],
      ["2026-10-21T07:29:00", "one without a zone"],
      ["Wed, 21 Oct 2026 07:29:00 GMT", "a date of HTTP"],
      ["60, 30", "one that is there twice: the later"]
    ] as const) {
      it(what, () => {
        for (const said of [{}, { date }]) {
          assert.deepStrictEqual(
            read({ ...said, "x-ratelimit-remaining": "10", "x-ratelimit-reset": reset }),
            [10, 60, 6]
          )
        }
        const old = { date, age: "50", "x-ratelimit-remaining": "10", "x-ratelimit-reset": reset }
        assert.deepStrictEqual(read(old), [10, 10, 1], "what a cache kept it for has passed")
      })
    }

    it("milliseconds, where they are known or are more than a day of seconds", () => {
      const headers = { "x-ratelimit-remaining": "10", "x-ratelimit-reset": "60000" }
      const hint = RateLimitFields.fromHeaders(headers, now, { unit: "milliseconds" })
      assert.strictEqual(hint && Duration.toSeconds(hint.resetAfter), 60)
      assert.deepStrictEqual(read({ ...headers, "x-ratelimit-reset": "100000" }), [10, 100, 10])
    })
  })

  it("the fields' other names are read", () => {
    for (const [left, until, reset] of [
      ["x-rate-limit-remaining", "x-rate-limit-reset", String(now / 1000 + 60)],
      ["x-ratelimit-remaining", "x-ratelimit-reset-after", "60.00"],
      ["ratelimit-remaining", "ratelimit-reset", "60"],
      ["x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "1m0s"],
      ["anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset", "2026-10-21T07:29:00Z"]
    ] as const) {
      assert.deepStrictEqual(read({ [left]: "10", [until]: reset }), [10, 60, 6], left)
    }
    assert.deepStrictEqual(read({ ratelimit: "limit=100, remaining=10, reset=60" }), [10, 60, 6])
  })

  it("a reset that is nonsense is not what calls are spread over; but with nothing left they wait, a day at most", () => {
    for (const reset of ["999999999999", "4102444800", "253402300799000", "9".repeat(20), "2100-01-01T00:00:00Z"]) {
      assert.isUndefined(read({ "x-ratelimit-remaining": "10", "x-ratelimit-reset": reset }), reset)
      const none = read({ "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset })
      assert.deepStrictEqual(none, [0, 86_400, 86_400], reset)
    }
  })

  it("what a cache kept the answer for has passed of a RateLimit, too", () => {
    assert.deepStrictEqual(read({ ratelimit: '"d";r=5;t=60', age: "50" }), [5, 10, 2])
    assert.isUndefined(read({ ratelimit: '"d";r=5;t=60', age: "60" }))
  })

  it("the older fields count only where there is no RateLimit, and not when they are not wanted", () => {
    const older = { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "60" }
    assert.deepStrictEqual(read({ ...older, ratelimit: '"d";r=5;t=10' }), [5, 10, 2])
    assert.deepStrictEqual(read({ ...older, ratelimit: "broken;" }), [0, 60, 60])
    assert.isUndefined(read(older, { legacy: false }))
    assert.isUndefined(read({}))
  })

  it.prop(
    "nothing that a server can say is a failure, nor a hint without bounds",
    [Schema.String, Schema.String],
    ([one, other]) => {
      const said = [
        { ratelimit: one, "ratelimit-policy": other, "retry-after": other },
        { "x-ratelimit-remaining": one, "x-ratelimit-reset": other, date: one },
        { ratelimit: `"d";r=${one};t=${other}` }
      ]
      for (const headers of said) {
        const hint = read(headers)
        assert.isTrue(hint === undefined || hint.every((value) => Number.isFinite(value) && value >= 0))
      }
    }
  )

  it.prop(
    "any rule of whole numbers is that rule",
    [
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e6 })),
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 86_400 }))
    ],
    ([remaining, seconds]) => {
      const hint = read({ ratelimit: `"any";r=${remaining};t=${seconds}` })
      assert.deepStrictEqual(hint?.slice(0, 2), [remaining, seconds])
      assert.closeTo(hint?.[2] ?? Number.NaN, seconds / Math.max(1, remaining), 1e-6)
    }
  )
})

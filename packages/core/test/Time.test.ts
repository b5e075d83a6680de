import { Duration, Option, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as Bulkhead from "../src/Bulkhead.ts"
import * as RateLimit from "../src/RateLimit.ts"
import * as Retry from "../src/Retry.ts"
import * as Time from "../src/Time.ts"

const refused = (given: unknown, message: string) =>
  // whoever writes no TypeScript can give anything
  assert.throws(() => Time.of("Poller: every", given as Time.Input), RangeError, message)

describe("Time", () => {
  it("what Effect takes for a time is one, Infinity by its name included", () => {
    for (const [given, millis] of [
      ["2 seconds", 2000],
      [1.5, 1.5],
      [0, 0],
      ["-1 seconds", -1000],
      [Duration.minutes(1), 60_000],
      [{ seconds: 2 }, 2000],
      ["Infinity", Infinity],
      [Infinity, Infinity],
      [Duration.infinity, Infinity]
    ] as const) {
      assert.strictEqual(Time.millis("Poller: every", given), millis)
    }
  })

  it("what is no time is refused, by its name and with what was got", () => {
    const no = 'Poller: every must be a time, such as "2 seconds", got '
    refused("soon", `${no}"soon"`)
    refused("5x", `${no}"5x"`)
    refused("Infinity seconds", `${no}"Infinity seconds"`)
    refused("Infinityd", `${no}"Infinityd"`)
    refused("1e400 seconds", `${no}"1e400 seconds"`)
    refused(NaN, `${no}NaN`)
    refused({ seconds: NaN }, no)
    refused([NaN, 1], no)
    refused(null, `${no}null`)
    refused(true, `${no}true`)
  })

  it("so are the ways in which Go, Kubernetes and ISO 8601 write one, to the nanosecond", () => {
    const seconds = { "0": 0, "5s": 5, "250ms": 0.25, "1m": 60, "1h": 3600, "2d": 172_800, "1.5h": 5400, "0.5s": 0.5 }
    const parts = {
      "2m 30s": 150,
      "1h30m": 5400,
      "1h 30m 5s 250ms": 5405.25,
      "2 minutes 30 seconds": 150,
      "-1m 5s": -65
    }
    const iso = { PT5S: 5, PT1H30M: 5400, "PT0.25S": 0.25, P2D: 172_800, P1W: 604_800, P1DT12H: 129_600, "-PT5S": -5 }
    for (const [text, expected] of Object.entries({ ...seconds, ...parts, ...iso })) {
      const found = Time.of("Poller: every", text as Time.Text)
      assert.strictEqual(Duration.toMillis(found), expected * 1000, text)
      assert.match(text, Time.pattern)
    }
    const nanos = (text: string) => Option.flatMap(Time.fromInput(text as Time.Text), Duration.toNanos)
    assert.deepStrictEqual(nanos("1us 500ns"), Option.some(1500n))
    assert.deepStrictEqual(nanos("1.000000001s"), Option.some(1_000_000_001n))
  })

  it("and what only looks like one is not", () => {
    const order = ["5s 2m", "5s 5s", "2m 30"]
    const iso = ["P", "PT", "PT5", "P1Y", "P1M", "pt5s", "P1DT", "PT1.5H1M", "P1.5D"]
    const others = [
      "",
      " ",
      "s",
      "5 s ",
      " 5s",
      "5S",
      "1e3s",
      "5,5s",
      ".5s",
      "5.s",
      "--5s",
      "5sec",
      "1",
      `${"1".repeat(200)}s`
    ]
    for (const text of [...order, ...iso, ...others])
      assert.isTrue(Option.isNone(Time.fromInput(text as Time.Text)), text)
  })

  it.prop(
    "whatever Effect prints of a time can be read back",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9e15 })), Schema.Boolean],
    ([count, areMillis]) => {
      // nanoseconds of up to a hundred days, and milliseconds of up to three years
      const time = areMillis ? Duration.millis(count % 1e11) : Duration.nanos(BigInt(count))
      const printed = Duration.format(time)
      assert.isTrue(Duration.equals(Time.of("Poller: every", printed as Time.Text), time), printed)
      assert.match(printed, Time.pattern)
    }
  )

  it("more than a hundred years is refused, a number that is too large for one as well", () => {
    const no = "Poller: every must be 100 years at most, or Infinity, got "
    refused("1000000 weeks", `${no}"1000000 weeks"`)
    refused(`${"9".repeat(400)} seconds`, `${no}"999`)
    refused(1e300, `${no}1e+300`)
    refused("-1000000 weeks", no)
  })

  it("policies say which of their options it is", () => {
    assert.throws(() => Bulkhead.make({ maxWait: NaN }), RangeError, "Bulkhead: maxWait must be a time")
    assert.throws(() => RateLimit.make({ limit: 1, maxWait: NaN }), RangeError, "RateLimit: maxWait must be a time")
    assert.throws(() => Retry.make({ maxServerWait: NaN }), RangeError, "Retry: maxServerWait must be a time")
  })
})

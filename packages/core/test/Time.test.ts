import { Duration } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as Bulkhead from "../src/Bulkhead.ts"
import * as RateLimit from "../src/RateLimit.ts"
import * as Retry from "../src/Retry.ts"
import * as Time from "../src/Time.ts"

const refused = (given: unknown, message: string) =>
  // whoever writes no TypeScript can give anything
  assert.throws(() => Time.of("Poller: every", given as Duration.Input), RangeError, message)

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
    refused("5s", `${no}"5s"`)
    refused("Infinity seconds", `${no}"Infinity seconds"`)
    refused("Infinityd", `${no}"Infinityd"`)
    refused("1e400 seconds", `${no}"1e400 seconds"`)
    refused(NaN, `${no}NaN`)
    refused({ seconds: NaN }, no)
    refused([NaN, 1], no)
    refused(null, `${no}null`)
    refused(true, `${no}true`)
  })

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

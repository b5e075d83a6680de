import { assert, describe, it } from "@effect/vitest"
import { shownValue } from "../src/internal/traces/recordedSpan.ts"

describe("the value of an attribute in a trace", () => {
  it("is text as it is, a fraction in three digits, what has parts as JSON, and all else as the language writes it", () => {
    for (const [value, text] of [
      ["", ""],
      ["a b", "a b"],
      [12, "12"],
      [123_456, "123456"],
      [0.123_456, "0.123"],
      [1234.5, "1230"],
      [Number.NaN, "NaN"],
      [true, "true"],
      [12n, "12"],
      [undefined, "undefined"],
      [null, "null"],
      [[1, "a"], '[1,"a"]'],
      [{ a: 1 }, '{"a":1}']
    ] as const) {
      assert.strictEqual(shownValue(value), text)
    }
  })

  it("is a question mark where JSON has nothing to say of it, or cannot", () => {
    const circle: Record<string, unknown> = {}
    circle["self"] = circle
    assert.strictEqual(shownValue(circle), "?")
    assert.strictEqual(shownValue({ toJSON: () => undefined }), "?")
  })
})

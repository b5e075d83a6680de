import { assert, describe, it } from "@effect/vitest"
import { elapsedText } from "../src/internal/shown/elapsedText.ts"
import { shownMillis } from "../src/internal/shown/shownMillis.ts"

describe("a duration in a trace", () => {
  it("has as many digits as a glance needs, and never rounds up to what the next unit would say", () => {
    for (const [millis, text] of [
      [0, "0.0 ms"],
      [0.04, "0.0 ms"],
      [9.94, "9.9 ms"],
      [9.95, "10 ms"],
      [999.4, "999 ms"],
      [999.5, "1.00 s"],
      [1240, "1.24 s"],
      [59_994, "59.99 s"],
      [59_995, "1 min 0 s"],
      [61_400, "1 min 1 s"],
      [119_600, "2 min 0 s"],
      [3_725_000, "62 min 5 s"]
    ] as const) {
      assert.strictEqual(shownMillis(millis), text, String(millis))
    }
  })
})

describe("a duration in a line", () => {
  it("reads as in a CallError", () => {
    for (const [millis, text] of [
      [0, "0ms"],
      [0.44, "0.4ms"],
      [9.94, "9.9ms"],
      [10.4, "10ms"],
      [12, "12ms"],
      [999.4, "999ms"],
      [1000, "1.00s"],
      [1240, "1.24s"],
      [59_994, "59.99s"]
    ] as const) {
      assert.strictEqual(elapsedText(millis), text, String(millis))
    }
  })
})

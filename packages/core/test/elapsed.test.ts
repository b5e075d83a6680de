import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { elapsed } from "../src/internal/time/elapsed.ts"

describe("a measured time", () => {
  it("is read at a glance: tenths below ten milliseconds, whole ones below a second, then hundredths of seconds", () => {
    for (const [millis, text] of [
      [0.44, "0.4ms"],
      [9.44, "9.4ms"],
      [10.4, "10ms"],
      [12.6, "13ms"],
      [999, "999ms"],
      [1000, "1.00s"],
      [1236, "1.24s"]
    ] as const) {
      assert.strictEqual(elapsed(Duration.millis(millis)), text)
    }
  })
})

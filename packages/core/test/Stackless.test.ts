import { assert, describe, it } from "@effect/vitest"
import { stackless } from "../src/Stackless.ts"

describe("stackless", () => {
  it("makes an error without frames, and leaves those of all others as they were", () => {
    const before = Error.stackTraceLimit
    const error = stackless(() => new TypeError("no room"))
    assert.strictEqual(error.stack, "TypeError: no room")
    assert.strictEqual(Error.stackTraceLimit, before)
    assert.include(new Error("after").stack ?? "", "\n")
  })

  it("gives back what it found when what it runs throws, whatever limit that was", () => {
    const before = Error.stackTraceLimit
    try {
      Error.stackTraceLimit = 3
      assert.throws(() =>
        stackless(() => {
          throw new RangeError("thrown")
        })
      )
      assert.strictEqual(Error.stackTraceLimit, 3)
    } finally {
      Error.stackTraceLimit = before
    }
  })
})

import { assert, describe, it } from "@effect/vitest"
import { type CallSite, callSite, framesOf } from "../src/internal/streaming/callSite.ts"

/** The public function, whose callers are asked for. */
const get = (): CallSite => callSite(get)

const asking = (): CallSite => get()

const deep = (further: number): CallSite => (further === 0 ? get() : deep(further - 1))

describe("where a call was made", () => {
  it("begins with who called the function that is asked about", () => {
    const [first = "", second = ""] = framesOf(asking()).split("\n")
    assert.match(first, /asking .*callSite\.test\.ts/)
    assert.match(second, /callSite\.test\.ts/)
  })

  it("has eight frames, however deep the program is and whatever the program's own limit", () => {
    const before = Error.stackTraceLimit
    try {
      for (const limit of [0, 3, 50]) {
        Error.stackTraceLimit = limit
        const lines = framesOf(deep(30)).split("\n")
        assert.strictEqual(Error.stackTraceLimit, limit)
        assert.strictEqual(lines.length, 8)
        for (const line of lines) assert.match(line, /^ +at deep /)
      }
    } finally {
      Error.stackTraceLimit = before
    }
  })

  it("leaves out the frames of the runtime and of the platform, and the line before the first", () => {
    const site = {
      stack: [
        "Error",
        "    at charge (/app/src/payments.ts:10:3)",
        "    at run (/app/node_modules/effect/src/internal/effect.ts:1:1)",
        "    at run (C:\\app\\node_modules\\effect\\src\\internal\\effect.ts:1:1)",
        "    at process.tick (node:internal/process/task_queues:1:1)",
        "    at Array.map (<anonymous>)",
        "    at main (/app/src/main.ts:2:1)"
      ].join("\n")
    }
    assert.strictEqual(framesOf(site), "    at charge (/app/src/payments.ts:10:3)\n    at main (/app/src/main.ts:2:1)")
    assert.strictEqual(framesOf({}), "")
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Exit, Option } from "effect"
import { endingOf, outcomeOf, RecordedSpan } from "../src/internal/traces/recordedSpan.ts"

/** A tracer's keeper, and the names of the spans that it was told of. */
const keeping = () => {
  const ended: Array<string> = []
  return { ended, keeper: { ended: ({ name }: RecordedSpan) => void ended.push(name) } }
}

const span = (name: string, { keeper }: ReturnType<typeof keeping>, parent?: RecordedSpan): RecordedSpan =>
  new RecordedSpan(
    {
      name,
      parent: Option.fromUndefinedOr(parent),
      annotations: Context.empty(),
      links: [],
      startTime: 0n,
      kind: "internal",
      sampled: true
    },
    keeper
  )

describe("a span that is recorded", () => {
  it("ends once: a second end is neither told nor in what is kept", () => {
    const tracer = keeping()
    const call = span("call", tracer)
    assert.deepStrictEqual(tracer.ended, [])
    call.end(1n, Exit.void)
    call.end(2n, Exit.fail("late"))
    assert.deepStrictEqual(tracer.ended, ["call"])
    assert.deepInclude(call.status, { _tag: "Ended", endTime: 1n, exit: Exit.void })
    assert.strictEqual(outcomeOf(call), "ok")
  })

  it("knows the span above it of the same tracer alone", () => {
    const tracer = keeping()
    const root = span("root", tracer)
    assert.isUndefined(root.above)
    assert.strictEqual(span("child", tracer, root).above, root)
    assert.isUndefined(span("child", keeping(), root).above)
  })
})

describe("the end of a span, in a word", () => {
  const ended = (exit: Exit.Exit<unknown, unknown>, attributes: Record<string, unknown> = {}) => {
    const made = span("call", keeping())
    for (const [name, value] of Object.entries(attributes)) made.attribute(name, value)
    made.end(1n, exit)
    return made
  }

  it("is the first line of the error's message, and its name where the message is empty", () => {
    const ending = (error: Error) => endingOf(ended(Exit.die(error)))
    assert.deepStrictEqual(ending(new Error("no\nstock")), { status: "error", message: "no" })
    assert.deepStrictEqual(ending(new RangeError("")), { status: "error", message: "RangeError" })
    assert.deepStrictEqual(endingOf(ended(Exit.failCause(Cause.empty))), { status: "error", message: "failed" })
  })

  it("has the status of the response, and the type of the error where that says more", () => {
    const outcome = (attributes: Record<string, unknown>) => outcomeOf(ended(Exit.fail("no"), attributes))
    assert.strictEqual(outcome({}), "no")
    assert.strictEqual(outcome({ "http.response.status_code": 503 }), "503, no")
    assert.strictEqual(outcome({ "http.response.status_code": 503, "error.type": "503" }), "503")
    assert.strictEqual(outcome({ "http.response.status_code": 200, "error.type": "ERR_BODY" }), "200, ERR_BODY")
    assert.strictEqual(outcome({ "error.type": "ERR_BODY" }), "ERR_BODY")
  })

  it("is that it runs still or was interrupted, beside what is known of it", () => {
    const open = span("call", keeping())
    assert.strictEqual(outcomeOf(open), "still running")
    open.attribute("http.response.status_code", 200)
    assert.strictEqual(outcomeOf(open), "200, still running")
    assert.strictEqual(outcomeOf(ended(Exit.interrupt(1))), "interrupted")
    assert.strictEqual(outcomeOf(ended(Exit.interrupt(1), { "error.type": "ERR_X" })), "ERR_X, interrupted")
    assert.strictEqual(outcomeOf(ended(Exit.void, { "http.response.status_code": 204 })), "204")
  })
})

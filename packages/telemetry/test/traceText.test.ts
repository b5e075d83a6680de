import { assert, describe, it } from "@effect/vitest"
import { drawTrace, type Look } from "../src/internal/traces/traceText.ts"
import type { Line } from "../src/internal/traces/traceTree.ts"

const line = (given: Partial<Line>): Line => ({
  kind: "span",
  label: "call",
  fromMillis: 0,
  toMillis: 80,
  outcome: "ok",
  tone: "good",
  below: [],
  ...given
})

/** Heading and lines, with colours as `<code:text>`. */
const drawn = (root: Line, look: Partial<Look> = {}): ReadonlyArray<string> =>
  drawTrace("trace", root, { width: undefined, colours: false, ...look })
    .replaceAll("\u001b[0m", ">")
    .split("\u001b[")
    .map((text, index) => (index === 0 ? text : `<${text.replace("m", ":")}`))
    .join("")
    .split("\n")

/** The narrowest that there is: a label of sixteen columns, a bar of eight, a time of nine. */
const narrow = { width: 1 }

describe("a trace as text", () => {
  it("has the root in bold, events dim, and every bar and outcome in the colour of how it ended", () => {
    const event = line({ kind: "event", label: "retry", fromMillis: 40, toMillis: 40, tone: "plain", outcome: "again" })
    const failed = line({ label: "one", toMillis: 40, outcome: "503", tone: "bad" })
    const stopped = line({ label: "two", fromMillis: 40, outcome: "interrupted", tone: "cut" })
    assert.deepStrictEqual(drawn(line({ below: [failed, event, stopped] }), { ...narrow, colours: true }), [
      "<2:trace>",
      "<1:call            >  <32:━━━━━━━━>      80 ms  <32:ok>",
      "<2:├─ >one            <31:━━━━>          40 ms  <31:503>",
      "<2:│ ><2:◆ retry       >      <2:◆>     <2:   +40 ms>  <2:again>",
      "<2:└─ >two                <33:━━━━>      40 ms  <33:interrupt…>"
    ])
  })

  it("cuts outcomes to the width, but for the one of the root", () => {
    const outcome = "x".repeat(30)
    const lines = drawn(line({ outcome, below: [line({ label: "one", outcome })] }), narrow)
    assert.deepStrictEqual(
      lines.slice(1).map((text) => text.slice(text.indexOf("x"))),
      [outcome, `${"x".repeat(9)}…`]
    )
    const [, root, child] = drawn(line({ outcome, below: [line({ label: "one", outcome })] }))
    for (const text of [root, child]) assert.isTrue(text?.endsWith(outcome), "where no width is given, none is cut")
  })

  it("shows when an event was, how long a span took, and of one that runs still no time", () => {
    const below = [
      line({ kind: "event", fromMillis: 30, toMillis: 30 }),
      line({ fromMillis: 30, toMillis: 50 }),
      line({ kind: "running", fromMillis: 30 })
    ]
    const times = drawn(line({ below }), narrow).slice(1)
    assert.deepStrictEqual(
      times.map((text) => text.trim().split(/ {2,}/).at(-2)),
      ["80 ms", "+30 ms", "20 ms", "…"]
    )
  })

  it("has a bar of one column at least for what took no time, within the bar of the root", () => {
    const at = (fromMillis: number, toMillis: number, kind: Line["kind"] = "span"): string => {
      const [, , text = ""] = drawn(line({ below: [line({ fromMillis, toMillis, kind, label: "" })] }), narrow)
      return text.slice(18, 26)
    }
    assert.strictEqual(at(0, 0), "━       ")
    assert.strictEqual(at(80, 80), "       ━")
    assert.strictEqual(at(80, 80, "event"), "       ◆")
    assert.strictEqual(at(35, 45), "   ━━   ")
    const [, nothing = ""] = drawn(line({ toMillis: 0 }), narrow)
    assert.strictEqual(nothing.slice(18, 26), "━       ")
  })
})

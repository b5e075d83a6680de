import { assert, describe, it } from "@effect/vitest"
import { Context, Exit, Option } from "effect"
import { RecordedSpan } from "../src/internal/traces/recordedSpan.ts"
import { type Line, lineOf } from "../src/internal/traces/traceTree.ts"

const keeper = { ended: () => {} }

/** When a trace began, in nanoseconds: the times of its lines are told from there. */
const begin = 5_000_000_000n

const at = (millis: number): bigint => begin + BigInt(millis * 1e6)

const spanAt = (name: string, millis: number, parent?: RecordedSpan): RecordedSpan =>
  new RecordedSpan(
    {
      name,
      parent: parent === undefined ? Option.none() : Option.some(parent),
      annotations: Context.empty(),
      links: [],
      startTime: at(millis),
      kind: "internal",
      sampled: true
    },
    keeper
  )

/** A tree as text: each line with its begin and its end. */
const drawn = ({ below, fromMillis, kind, label, toMillis }: Line, depth = 0): ReadonlyArray<string> => [
  `${"  ".repeat(depth)}${kind} ${label} ${fromMillis}-${toMillis}`,
  ...below.flatMap((line) => drawn(line, depth + 1))
]

describe("the tree of a trace", () => {
  it("has what is below each span, spans and events, in the order in which they began, in milliseconds from the root's begin", () => {
    const root = spanAt("call", 0)
    const first = spanAt("attempt", 10, root)
    const second = spanAt("attempt", 200_000, root)
    const inner = spanAt("connect", 12, first)
    root.event("holdfast.retry", at(150_000.5))
    inner.end(at(14), Exit.void)
    first.end(at(100_000), Exit.void)
    second.end(at(3_000_000), Exit.void)
    root.end(at(3_000_001), Exit.void)
    assert.deepStrictEqual(drawn(lineOf(root, [root, first, inner, second], [])), [
      "span call 0-3000001",
      "  span attempt 10-100000",
      "    span connect 12-14",
      "  event retry 150000.5-150000.5",
      "  span attempt 200000-3000000"
    ])
  })

  it("goes, where a span runs still, to the latest instant that is known: a begin, an end or an event of any span", () => {
    const latest = (last: (root: RecordedSpan) => ReadonlyArray<RecordedSpan>): number => {
      const root = spanAt("call", 0)
      return lineOf(root, [root, ...last(root)], []).toMillis
    }
    assert.strictEqual(
      latest(() => []),
      0
    )
    assert.strictEqual(
      latest((root) => [spanAt("attempt", 30, root), spanAt("attempt", 20, root)]),
      30
    )
    const ended = (root: RecordedSpan, millis: number) => {
      const span = spanAt("attempt", 5, root)
      span.end(at(millis), Exit.void)
      return span
    }
    assert.strictEqual(
      latest((root) => [ended(root, 50), ended(root, 40)]),
      50
    )
    assert.strictEqual(
      latest((root) => {
        root.event("later", at(70))
        root.event("sooner", at(60))
        return [ended(root, 50)]
      }),
      70
    )
  })

  it("begins at a span whose parent is of another trace, and has that one's spans not", () => {
    const other = spanAt("other", 0)
    const root = spanAt("call", 1, other)
    const child = spanAt("attempt", 2, root)
    for (const span of [child, root, other]) span.end(at(3), Exit.void)
    assert.deepStrictEqual(drawn(lineOf(root, [root, child], [])), ["span call 0-2", "  span attempt 1-2"])
  })

  it("shows the delay of an event as a duration, and other numbers as they are", () => {
    const root = spanAt("call", 0)
    root.event("holdfast.retry", at(1), {
      "holdfast.retry.delay": 9,
      "holdfast.outcome": "failure",
      delayed: 2,
      "error.type": "503"
    })
    const [event] = lineOf(root, [root], []).below
    assert.deepInclude(event, {
      label: "retry",
      outcome: "503, delay 9.00 s, outcome failure, delayed 2",
      tone: "plain"
    })
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Context, Exit, Option } from "effect"
import { OpenTraces } from "../src/internal/traces/openTraces.ts"
import { RecordedSpan } from "../src/internal/traces/recordedSpan.ts"

/** Traces, spans of which begin and end by name, and what left, as `why: names of its spans`. */
const watching = (maxTraces: number, maxSpans: number) => {
  const left: Array<string> = []
  const traces = new OpenTraces(maxTraces, maxSpans, ({ spans }, why) => {
    left.push(`${why}: ${spans.map(({ name }) => name).join(" ")}`)
  })
  const keeper = { ended: (span: RecordedSpan) => traces.ended(span) }
  const begin = (name: string, parent?: RecordedSpan): RecordedSpan => {
    const span = new RecordedSpan(
      {
        name,
        parent: parent === undefined ? Option.none() : Option.some(parent),
        annotations: Context.empty(),
        links: [],
        startTime: 0n,
        kind: "internal",
        sampled: true
      },
      keeper
    )
    traces.began(span)
    return span
  }
  return { traces, left, begin, end: (span: RecordedSpan) => span.end(1n, Exit.void) }
}

describe("the traces under way", () => {
  it("a trace leaves when the last of its spans has ended, whichever that is, and once", () => {
    const { begin, end, left } = watching(10, 10)
    const root = begin("root")
    const child = begin("child", root)
    const late = begin("late", child)
    end(root)
    end(child)
    assert.deepStrictEqual(left, [])
    end(late)
    end(late)
    assert.deepStrictEqual(left, ["ended: root child late"])
  })

  it("one that has as many spans as it may leaves at once, and what begins below it begins anew", () => {
    const { begin, end, left } = watching(10, 3)
    const root = begin("root")
    const child = begin("child", root)
    assert.deepStrictEqual(left, [])
    begin("third", root)
    assert.deepStrictEqual(left, ["too-long: root child third"])
    end(begin("after", child))
    end(root)
    assert.deepStrictEqual(left, ["too-long: root child third", "ended: after"])
  })

  it("where too many are under way the one that began first leaves, and its spans are forgotten", () => {
    const { begin, end, left } = watching(2, 10)
    const first = begin("first")
    const second = begin("second")
    assert.deepStrictEqual(left, [])
    begin("third")
    assert.deepStrictEqual(left, ["too-many: first"])
    end(first)
    end(second)
    assert.deepStrictEqual(left, ["too-many: first", "ended: second"])
  })

  it("all leave when they are closed, and no span of theirs is heard of after that", () => {
    const { begin, end, left, traces } = watching(10, 10)
    const one = begin("one")
    begin("below", one)
    begin("other")
    traces.close()
    assert.deepStrictEqual(left, ["closed: one below", "closed: other"])
    end(one)
    traces.close()
    assert.lengthOf(left, 2)
  })
})

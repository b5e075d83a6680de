import { Context, Option } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as TraceContext from "../src/TraceContext.ts"

const traceId = "0af7651916cd43dd8448eb211c80319c"
const spanId = "b7ad6b7169203331"

const read = (traceparent: string | undefined, tracestate?: string) =>
  Option.getOrUndefined(TraceContext.fromHeaders({ traceparent, tracestate }))

const stateOf = (tracestate: string): string => {
  const span = read(`00-${traceId}-${spanId}-01`, tracestate)
  return span === undefined ? assert.fail("no span") : Context.get(span.annotations, TraceContext.TraceState)
}

describe("TraceContext", () => {
  it("reads a parent, and whether it is recorded", () => {
    for (const [flags, sampled] of [
      ["01", true],
      ["00", false],
      ["03", true],
      ["02", false]
    ] as const) {
      const { annotations: _, ...span } = read(`00-${traceId}-${spanId}-${flags}`) ?? assert.fail(flags)
      assert.deepStrictEqual(span, { _tag: "ExternalSpan", traceId, spanId, sampled })
    }
  })

  it("reads whether the trace's id is random", () => {
    for (const [flags, isRandom] of [
      ["00", false],
      ["01", false],
      ["02", true],
      ["03", true],
      ["ff", true]
    ] as const) {
      const span = read(`00-${traceId}-${spanId}-${flags}`) ?? assert.fail(flags)
      assert.strictEqual(Context.get(span.annotations, TraceContext.IsRandom), isRandom, flags)
    }
  })

  it("reads of a later version what this one has", () => {
    assert.strictEqual(read(`cc-${traceId}-${spanId}-01-what-the-future-will-be-like`)?.spanId, spanId)
    assert.strictEqual(read(`cc-${traceId}-${spanId}-01`)?.spanId, spanId)
    assert.isUndefined(read(`cc-${traceId}-${spanId}-01.what`))
  })

  it("takes nothing broken for a parent", () => {
    for (const broken of [
      undefined,
      "",
      `ff-${traceId}-${spanId}-01`,
      `00-${traceId}-${spanId}-01-more`,
      `00-${traceId}-${spanId}`,
      `00-${"0".repeat(32)}-${spanId}-01`,
      `00-${traceId}-${"0".repeat(16)}-01`,
      `00-${traceId.toUpperCase()}-${spanId}-01`,
      `00-${traceId.slice(1)}-${spanId}-01`,
      "00-0000000000000000000000000000noop-noop-00"
    ]) {
      assert.isUndefined(read(broken), broken)
    }
  })

  it("keeps the state as it came, without what is empty", () => {
    assert.strictEqual(stateOf("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"), "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert.strictEqual(stateOf(" a=1 ,\t, fw529a3039@dt=FfffffffB "), "a=1,fw529a3039@dt=FfffffffB")
    assert.strictEqual(stateOf(""), "")
  })

  it("takes no state with a broken member, nor one with too many", () => {
    for (const broken of [
      "a",
      "A=1",
      "a=1=2",
      "=1",
      "a=",
      "a=1,b=\u0001",
      `a=${"x".repeat(257)}`,
      `${"a".repeat(257)}=1`
    ]) {
      assert.strictEqual(stateOf(broken), "", broken)
    }
    const members = (count: number) => Array.from({ length: count }, (_, at) => `k${at}=1`).join(",")
    assert.strictEqual(stateOf(members(32)), members(32))
    assert.strictEqual(stateOf(members(33)), "")
  })

  it("shortens a long state by whole members: those that are long, then those at the end", () => {
    const long = (key: string, length: number) => `${key}=${"x".repeat(length - 2)}`
    const short = [long("a", 100), long("b", 100), long("c", 100), long("d", 100)]
    assert.strictEqual(stateOf([long("z", 200), ...short].join(",")), short.join(","))
    assert.strictEqual(
      stateOf([...short, long("e", 100), long("f", 100)].join(",")),
      [...short, long("e", 100)].join(",")
    )
    // no more than needed
    assert.strictEqual(
      stateOf([long("y", 140), long("a", 100), long("z", 140), long("b", 100), long("c", 100)].join(",")),
      [long("y", 140), long("a", 100), long("b", 100), long("c", 100)].join(",")
    )
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { MetricsData } from "effect/observability/OtlpMetrics"
import type { TraceData } from "effect/observability/OtlpTracer"
import * as Json from "../src/internal/otlp/otlpJson.ts"
import * as Protobuf from "../src/internal/otlp/otlpProtobuf.ts"
import { cuts, sliceable } from "../src/internal/otlp/otlpSlice.ts"

const attributes = [{ key: "zone", value: { stringValue: "b" } }]
const resource = { attributes, droppedAttributesCount: 0 }

const span = (name: string): TraceData["resourceSpans"][number]["scopeSpans"][number]["spans"][number] => ({
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  parentSpanId: undefined,
  name,
  kind: 3,
  startTimeUnixNano: "1",
  endTimeUnixNano: "2",
  attributes,
  droppedAttributesCount: 0,
  events: [],
  droppedEventsCount: 0,
  status: { code: 0 },
  links: [],
  droppedLinksCount: 0
})

/** Spans of two scopes. */
const traces = (first: ReadonlyArray<string>, second: ReadonlyArray<string>): TraceData => ({
  resourceSpans: [
    {
      resource,
      scopeSpans: [
        ...(first.length === 0
          ? []
          : [{ scope: { name: "one", version: "1" }, spans: first.map(span), schemaUrl: "https://schema" }]),
        ...(second.length === 0 ? [] : [{ scope: { name: "two" }, spans: second.map(span) }])
      ]
    }
  ]
})

const point = (value: number) => ({ attributes, startTimeUnixNano: "1", timeUnixNano: "2", asDouble: value })

/** Points of a sum, and of a gauge. */
const metrics = (sum: ReadonlyArray<number>, gauge: ReadonlyArray<number>): MetricsData => ({
  resourceMetrics: [
    {
      resource,
      scopeMetrics: [
        {
          scope: { name: "one" },
          metrics: [
            ...(sum.length === 0
              ? []
              : [
                  {
                    name: "sum",
                    description: "a sum",
                    unit: "1",
                    sum: { dataPoints: sum.map(point), aggregationTemporality: 2 as const, isMonotonic: true }
                  }
                ]),
            ...(gauge.length === 0
              ? []
              : [{ name: "gauge", description: "a gauge", unit: "1", gauge: { dataPoints: gauge.map(point) } }])
          ]
        }
      ]
    }
  ]
})

const encodings = [
  ["protobuf", "application/x-protobuf", Protobuf],
  ["json", "application/json", Json]
] as const

describe.each(encodings)("an export in %s", (_, contentType, { encodeMetrics, encodeTraces }) => {
  it("is cut between spans, with all that stands around them in every piece", () => {
    const whole = sliceable("traces", contentType, encodeTraces(traces(["a", "b", "c"], ["d", "e"]), 5))
    assert.lengthOf(whole.sizes, 5)
    assert.deepStrictEqual(whole.slice(0, 5), encodeTraces(traces(["a", "b", "c"], ["d", "e"]), 5))
    assert.deepStrictEqual(whole.slice(1, 4), encodeTraces(traces(["b", "c"], ["d"]), 3))
    assert.deepStrictEqual(whole.slice(3, 5), encodeTraces(traces([], ["d", "e"]), 2))
  })

  it("has pieces without an item, which are empty", () => {
    const whole = sliceable("traces", contentType, encodeTraces(traces(["a"], ["b"]), 2))
    const empty = contentType === "application/json" ? "{}" : ""
    assert.deepStrictEqual(whole.slice(1, 1), new TextEncoder().encode(empty))
    assert.deepStrictEqual(whole.slice(2, 9), new TextEncoder().encode(empty))
  })

  it("is cut between the points of a metric", () => {
    const whole = sliceable("metrics", contentType, encodeMetrics(metrics([1, 2, 3], [4, 5]), 5))
    assert.lengthOf(whole.sizes, 5)
    assert.deepStrictEqual(whole.slice(0, 2), encodeMetrics(metrics([1, 2], []), 2))
    assert.deepStrictEqual(whole.slice(2, 4), encodeMetrics(metrics([3], [4]), 2))
  })
})

describe("an export in protobuf", () => {
  it("keeps fields of every wire type that it does not know, and finds the items behind them", () => {
    const bytes = Protobuf.encodeTraces(traces(["a", "b"], []), 2)
    // of field 9: eight bytes, four bytes, and a number of two bytes
    const unknown = [73, 1, 10, 2, 10, 3, 10, 4, 10, 77, 10, 1, 10, 2, 72, 150, 1]
    const { sizes, slice } = sliceable("traces", "application/x-protobuf", Buffer.concat([Buffer.from(unknown), bytes]))
    const plain = sliceable("traces", "application/x-protobuf", bytes)
    assert.deepStrictEqual(sizes, plain.sizes)
    assert.deepStrictEqual([...slice(1, 2)], [...unknown, ...plain.slice(1, 2)])
  })
})

describe("cuts", () => {
  it.prop(
    "leave no piece that is too large and could be smaller, and no item out",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })))],
    ([sizes]) => {
      const beginnings = cuts(sizes, 5, 50)
      assert.strictEqual(beginnings[0], sizes.length === 0 ? undefined : 0)
      beginnings.forEach((from, index) => {
        const piece = sizes.slice(from, beginnings[index + 1])
        assert.isAbove(piece.length, 0)
        const bytes = piece.reduce((sum, size) => sum + size + 8, 5)
        if (piece.length > 1) assert.isAtMost(bytes, 50)
      })
    }
  )
})

describe("the points of a metric in protobuf", () => {
  const message = (field: number, ...contents: ReadonlyArray<Uint8Array>): Uint8Array => {
    const length = contents.reduce((sum, content) => sum + content.length, 0)
    return Uint8Array.from([field * 8 + 2, length, ...contents.flatMap((content) => [...content])])
  }

  it.each([
    ["a gauge", 5],
    ["a sum", 7],
    ["a histogram", 9],
    ["an exponential histogram", 10],
    ["a summary", 11]
  ] as const)("are those of %s", (_, kind) => {
    const points = [message(1, Uint8Array.of(8, 1)), message(1, Uint8Array.of(8, 2))]
    const exported = (...kept: ReadonlyArray<Uint8Array>) => message(1, message(2, message(2, message(kind, ...kept))))
    const { sizes, slice } = sliceable("metrics", "application/x-protobuf", exported(...points))
    assert.lengthOf(sizes, 2)
    for (const [index, point] of points.entries()) {
      assert.deepStrictEqual([...slice(index, index + 1)], [...exported(point)])
    }
  })

  it("are in no other field", () => {
    for (const other of [4, 6, 8, 12]) {
      const bytes = message(1, message(2, message(2, message(other, message(1, Uint8Array.of(8, 1))))))
      assert.deepStrictEqual(sliceable("metrics", "application/x-protobuf", bytes).sizes, [])
    }
  })
})

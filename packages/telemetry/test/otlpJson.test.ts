import { assert, describe, it } from "@effect/vitest"
import type { MetricsData } from "effect/observability/OtlpMetrics"
import { encodeMetrics } from "../src/internal/otlp/otlpJson.ts"

/** A gauge of one number. */
const metrics = (asDouble: number): MetricsData => ({
  resourceMetrics: [
    {
      resource: { attributes: [], droppedAttributesCount: 0 },
      scopeMetrics: [
        {
          scope: { name: "null" },
          metrics: [
            { name: "level", unit: "1", gauge: { dataPoints: [{ attributes: [], timeUnixNano: "1", asDouble }] } }
          ]
        }
      ]
    }
  ]
})

const texts = (asDouble: number): string => new TextDecoder().decode(encodeMetrics(metrics(asDouble)))

describe("OTLP in JSON", () => {
  it("is the data as it is", () => {
    for (const value of [0, -0.25, 1e300]) assert.deepStrictEqual(JSON.parse(texts(value)), metrics(value))
  })

  it("has a text for a number that JSON does not know, as protobuf's JSON form says, and leaves the others alone", () => {
    for (const [value, text] of [
      [Number.NaN, "NaN"],
      [Number.POSITIVE_INFINITY, "Infinity"],
      [Number.NEGATIVE_INFINITY, "-Infinity"]
    ] as const) {
      const expected = JSON.stringify(metrics(7)).replace('"asDouble":7', `"asDouble":"${text}"`)
      assert.strictEqual(texts(value), expected)
    }
  })
})

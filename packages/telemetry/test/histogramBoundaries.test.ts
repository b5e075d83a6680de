import { assert, describe, it } from "@effect/vitest"
import * as Metrics from "../src/Metrics.ts"

const boundaries = (name: keyof typeof Metrics.catalogue): ReadonlyArray<number> | undefined => {
  const definition: Metrics.Definition = Metrics.catalogue[name]
  return definition.boundaries
}

describe("the buckets of a histogram", () => {
  // https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
  it("of requests are those that OpenTelemetry's conventions ask for, so that dashboards fit", () => {
    const asked = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
    assert.deepStrictEqual(boundaries("http.client.request.duration"), asked)
    assert.deepStrictEqual(
      boundaries("http.client.connection.duration"),
      [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]
    )
    assert.deepStrictEqual(boundaries("holdfast.call.duration"), [...asked, 30, 60])
  })

  it("of bodies are the powers of four from 64 bytes to 64 MiB", () => {
    const powers = Array.from({ length: 11 }, (_, power) => 64 * 4 ** power)
    assert.deepStrictEqual(boundaries("http.client.request.body.size"), powers)
    assert.deepStrictEqual(boundaries("http.client.response.body.size"), powers)
    assert.strictEqual(powers.at(-1), 64 * 1024 * 1024)
  })

  it("go up, and there are some wherever something is distributed and nowhere else", () => {
    for (const [name, definition] of Object.entries<Metrics.Definition>(Metrics.catalogue)) {
      assert.strictEqual(definition.boundaries !== undefined, definition.kind === "histogram", name)
      const sorted = definition.boundaries?.toSorted((one, other) => one - other)
      assert.deepStrictEqual(definition.boundaries, sorted && [...new Set(sorted)], name)
    }
  })
})

import { assert, describe, it } from "@effect/vitest"
import { formatFor, takesGzip } from "../src/internal/prometheus/prometheusAccept.ts"

describe("the format of the page", () => {
  it.each([
    ["", "text"],
    ["APPLICATION/OpenMetrics-Text", "openMetrics"],
    ['application/openmetrics-text; version="1.0.0"', "openMetrics"],
    ["application/openmetrics-text;version=1.0.7", "openMetrics"],
    ["application/openmetrics-text;version=1.0", "text"],
    ["application/openmetrics-text;version=11.0.0", "text"],
    ["application/openmetrics-text;version=1.0.00x", "text"],
    // as much as for the text format: the one that says more
    ["text/plain,application/openmetrics-text", "openMetrics"],
    ["text/plain;q=0.5,application/openmetrics-text;q=0.5", "openMetrics"],
    ["text/plain;q=0.6,application/openmetrics-text;q=0.5", "text"],
    ["text/plain;q=0.2,text/plain;version=0.0.4;q=0.6,application/openmetrics-text;q=0.5", "text"],
    [
      "application/openmetrics-text;q=0.5,application/openmetrics-text;version=1.0.0;q=0.1,text/plain;q=0.4",
      "openMetrics"
    ],
    ["application/openmetrics-text;q=0.001", "openMetrics"],
    // a weight that is none counts as none
    ["application/openmetrics-text;q=2", "text"],
    ["application/openmetrics-text;q=-1", "text"],
    ["application/openmetrics-text;q=x", "text"],
    ["application/openmetrics-text;q=1", "openMetrics"],
    [" application/openmetrics-text ; q=0.3 , text/html", "openMetrics"]
  ] as const)("for Accept: %s is %s", (accept, format) => {
    assert.strictEqual(formatFor(accept), format)
  })
})

describe("gzip", () => {
  it.each([
    [undefined, false],
    ["", false],
    ["gzip", true],
    ["GZIP;q=0.1", true],
    ["x-gzip", true],
    ["deflate, br", false],
    ["gzip;q=0", false],
    ["gzip; q=0.000", false],
    // whatever is not named
    ["*", true],
    ["br;q=1, *;q=0.5", true],
    ["*;q=0", false],
    ["gzip;q=0, *", false],
    ["*;q=0, gzip", true],
    ["identity", false]
  ] as const)("is taken by whoever sends Accept-Encoding: %s — %s", (accepted, isTaken) => {
    assert.strictEqual(takesGzip(accepted), isTaken)
  })
})

// What the documentation says of an option that is left out.
import { Duration } from "effect"
import { assert, it } from "@effect/vitest"
import * as ErrorReport from "../src/ErrorReport.ts"
import * as Logging from "../src/Logging.ts"
import * as MemoryTracer from "../src/MemoryTracer.ts"
import * as Metrics from "../src/Metrics.ts"
import * as Otlp from "../src/Otlp.ts"
import * as Prometheus from "../src/Prometheus.ts"
import * as Windows from "../src/Windows.ts"

it("options that are left out are what the documentation says", () => {
  assert.deepStrictEqual(ErrorReport.defaults, { maxGroups: 500 })
  assert.deepStrictEqual(Logging.defaults, { format: "json", degraded: true, attempts: true, annotate: true })
  assert.deepStrictEqual(MemoryTracer.defaults, { maxSpans: 10_000 })
  assert.deepStrictEqual(Metrics.defaults, {
    maxSeries: 2000,
    maxOperations: 100,
    maxEndpoints: 100,
    bodySizes: false,
    keepFor: Duration.minutes(1)
  })
  assert.deepStrictEqual(Otlp.defaults, {
    protocol: "protobuf",
    signals: ["traces", "metrics", "logs"],
    compression: "none",
    exportIntervals: { traces: Duration.seconds(5), metrics: Duration.seconds(10), logs: Duration.seconds(1) },
    maxBatchItems: 512,
    maxQueueBytes: 4_194_304,
    maxQueueBatches: 256,
    timeout: Duration.seconds(10),
    giveUpAfter: Duration.minutes(1),
    shutdownTimeout: Duration.seconds(3)
  })
  assert.deepStrictEqual(Prometheus.defaults, { path: "/metrics" })
  assert.deepStrictEqual(Windows.defaults, { maxSeries: 256 })
})

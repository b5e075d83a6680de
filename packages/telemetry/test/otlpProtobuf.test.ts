import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Layer, Logger, Metric, Schema } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import type { HttpBody } from "effect/http"
import { Otlp, OtlpSerialization } from "effect/observability"
import type { LogsData } from "effect/observability/OtlpLogger"
import type { TraceData } from "effect/observability/OtlpTracer"
import { encodeLogs, encodeMetrics, encodeTraces } from "../src/internal/otlp/otlpProtobuf.ts"

const bytesOf = (body: HttpBody.HttpBody): Uint8Array => {
  if (body._tag !== "Uint8Array") throw new Error(`no bytes: ${body._tag}`)
  return body.body
}

/** Effect's own encoder is slow, and right: what it makes of the same data is what must come out. */
const comparing = (seen: Array<string>) =>
  Layer.effect(
    OtlpSerialization.OtlpSerialization,
    Effect.map(OtlpSerialization.OtlpSerialization, (effects) => {
      const same = <A>(
        name: string,
        theirs: (data: A) => HttpBody.HttpBody,
        ours: (data: A, items: number) => Uint8Array
      ) => {
        return (data: A): HttpBody.HttpBody => {
          const body = theirs(data)
          // too little room at first, so that the buffer has to grow in the middle of things
          assert.deepStrictEqual(Buffer.from(ours(data, 0)), Buffer.from(bytesOf(body)), name)
          seen.push(name)
          return body
        }
      }
      return {
        traces: same("traces", effects.traces, encodeTraces),
        metrics: same("metrics", effects.metrics, encodeMetrics),
        logs: same("logs", effects.logs, encodeLogs)
      }
    })
  ).pipe(Layer.provide(OtlpSerialization.layerProtobuf))

const silent = Layer.succeed(
  HttpClient.HttpClient,
  HttpClient.make((request) => Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(null))))
)

const everything = Effect.gen(function* () {
  yield* Effect.logWarning("a line", { nested: { deep: [1, 2n, null] } }).pipe(
    Effect.annotateLogs({ ünicode: "🙂", count: -3 }),
    Effect.withLogSpan("span"),
    Effect.withSpan("logging")
  )
  yield* Effect.logError("broken", Cause.fail(new Error("boom")))
  yield* Metric.update(Metric.counter("down"), -2.5)
  yield* Metric.update(Metric.counter("big", { bigint: true, incremental: true, description: "ö" }), 2n ** 60n)
  yield* Metric.update(Metric.gauge("level", { attributes: { unit: "By", zone: "b" } }), -0.25)
  yield* Metric.update(Metric.frequency("words"), "one")
  const histogram = Metric.histogram("times", { boundaries: [0.1, 1, 10] })
  for (const value of [0.05, 0.5, 5, 50]) yield* Metric.update(histogram, value)
  const summary = Metric.summary("sizes", { maxAge: "1 minute", maxSize: 10, quantiles: [0.5, 0.9] })
  for (const value of [1, 2, 3]) yield* Metric.update(summary, value)
  const long = "x".repeat(70_000)
  yield* Effect.die(new Error(`no ${long}`)).pipe(
    Effect.withSpan(`long ${long}`, { kind: "client", attributes: { long, short: "ü".repeat(40) } }),
    Effect.exit
  )
  yield* Effect.interrupt.pipe(Effect.withSpan("interrupted"), Effect.exit)
  yield* Effect.gen(function* () {
    const span = yield* Effect.currentSpan
    span.event("retry", 1_700_000_000_123_456_789n, { delay: 0.1, many: [1, "a", false], "": "" })
    span.addLinks([{ span, attributes: { why: "itself" } }])
  }).pipe(
    Effect.withSpan("", {
      kind: "producer",
      attributes: { safe: 2 ** 53 - 1, unsafe: 2 ** 60, negative: -1, min: -(2 ** 63), half: 0.5, nan: NaN, none: null }
    }),
    Effect.ignore
  )
})

describe("OTLP in protobuf", () => {
  it.effect("is byte for byte what Effect's encoder makes of the same spans, metrics and logs", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      yield* everything.pipe(
        Effect.provide(
          Otlp.layer({ baseUrl: "http://nowhere", resource: { serviceName: "shop", attributes: { a: 1 } } }).pipe(
            Layer.provide([comparing(seen), silent]),
            Layer.provide(Logger.layer([]))
          )
        ),
        Effect.provideService(Metric.MetricRegistry, new Map())
      )
      assert.deepStrictEqual(seen.toSorted(), ["logs", "metrics", "traces"])
    })
  )

  it.effect("says how much was dropped of whatever has a limit", () =>
    Effect.gen(function* () {
      const effects = yield* OtlpSerialization.OtlpSerialization
      const ids = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" }
      const attributes = [{ key: "a", value: { boolValue: true } }]
      for (const dropped of [0, 1, 300]) {
        const resource = { attributes, droppedAttributesCount: dropped }
        const scope = { name: "scope" }
        const spans: TraceData = {
          resourceSpans: [
            {
              resource,
              scopeSpans: [
                {
                  scope,
                  spans: [
                    {
                      ...ids,
                      parentSpanId: "c7ad6b7169203331",
                      name: "work",
                      kind: 3,
                      startTimeUnixNano: "1700000000000000000",
                      endTimeUnixNano: "1700000000000000001",
                      attributes,
                      droppedAttributesCount: dropped,
                      events: [
                        {
                          name: "event",
                          timeUnixNano: "1700000000000000000",
                          attributes,
                          droppedAttributesCount: dropped
                        }
                      ],
                      droppedEventsCount: dropped,
                      links: [{ ...ids, attributes, droppedAttributesCount: dropped }],
                      droppedLinksCount: dropped,
                      status: { code: 2, message: "broken" }
                    }
                  ]
                }
              ]
            }
          ]
        }
        const logs: LogsData = {
          resourceLogs: [
            {
              resource,
              scopeLogs: [
                {
                  scope,
                  logRecords: [
                    {
                      ...ids,
                      timeUnixNano: "1700000000000000000",
                      observedTimeUnixNano: "1700000000000000002",
                      severityNumber: 13,
                      severityText: "Warn",
                      body: { stringValue: "line" },
                      attributes,
                      droppedAttributesCount: dropped,
                      flags: 1
                    }
                  ]
                }
              ]
            }
          ]
        }
        assert.deepStrictEqual(Buffer.from(encodeTraces(spans, 1)), Buffer.from(bytesOf(effects.traces(spans))))
        assert.deepStrictEqual(Buffer.from(encodeLogs(logs, 1)), Buffer.from(bytesOf(effects.logs(logs))))
      }
    }).pipe(Effect.provide(OtlpSerialization.layerProtobuf))
  )

  it.effect.prop(
    "writes any text and any number of attributes as Effect's encoder does",
    [
      Schema.Array(
        Schema.Struct({ key: Schema.String, value: Schema.Union([Schema.String, Schema.Int, Schema.Finite]) })
      )
    ],
    ([pairs]) =>
      Effect.gen(function* () {
        const effects = yield* OtlpSerialization.OtlpSerialization
        const attributes = pairs.map(({ key, value }) => ({
          key,
          value:
            typeof value === "string"
              ? { stringValue: value }
              : Number.isSafeInteger(value)
                ? { intValue: value }
                : { doubleValue: value }
        }))
        const data: TraceData = {
          resourceSpans: [{ resource: { attributes, droppedAttributesCount: pairs.length }, scopeSpans: [] }]
        }
        assert.deepStrictEqual(Buffer.from(encodeTraces(data, 0)), Buffer.from(bytesOf(effects.traces(data))))
      }).pipe(Effect.provide(OtlpSerialization.layerProtobuf))
  )
})

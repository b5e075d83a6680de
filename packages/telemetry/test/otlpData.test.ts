import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Metric, Schema } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { Upstream } from "@holdfast/http"
import { Metrics, Otlp } from "@holdfast/telemetry"
import { ScriptedTransport } from "@holdfast/testing"
import { TestClock } from "effect/testing"
import type { LogsData } from "effect/observability/OtlpLogger"
import type { TraceData } from "effect/observability/OtlpTracer"
import type { MetricsData } from "effect/observability/OtlpMetrics"
import {
  countPoints,
  countRecords,
  countSpans,
  fineMetrics,
  fineRecords,
  fineSpans,
  metricsData,
  schemaUrl,
  version
} from "../src/internal/otlp/otlpData.ts"

const Attributes = Schema.Array(Schema.Struct({ key: Schema.String, value: Schema.Unknown }))

const Points = Schema.Struct({
  isMonotonic: Schema.optionalKey(Schema.Boolean),
  dataPoints: Schema.Array(
    Schema.Struct({
      attributes: Attributes,
      startTimeUnixNano: Schema.String,
      timeUnixNano: Schema.String,
      asDouble: Schema.optionalKey(Schema.Number),
      asInt: Schema.optionalKey(Schema.Union([Schema.Number, Schema.String])),
      count: Schema.optionalKey(Schema.Number)
    })
  )
})

const Scope = Schema.Struct({ name: Schema.String, version: Schema.String })

const Exported = Schema.fromJsonString(
  Schema.Struct({
    resourceSpans: Schema.optionalKey(
      Schema.Array(
        Schema.Struct({
          scopeSpans: Schema.Array(
            Schema.Struct({
              scope: Scope,
              schemaUrl: Schema.optionalKey(Schema.String),
              spans: Schema.Array(
                Schema.Struct({ name: Schema.String, status: Schema.Struct({ code: Schema.Number }) })
              )
            })
          )
        })
      )
    ),
    resourceMetrics: Schema.optionalKey(
      Schema.Array(
        Schema.Struct({
          scopeMetrics: Schema.Array(
            Schema.Struct({
              scope: Scope,
              schemaUrl: Schema.optionalKey(Schema.String),
              metrics: Schema.Array(
                Schema.Struct({
                  name: Schema.String,
                  unit: Schema.String,
                  sum: Schema.optionalKey(Points),
                  gauge: Schema.optionalKey(Points),
                  histogram: Schema.optionalKey(Points)
                })
              )
            })
          )
        })
      )
    )
  })
)

type Exported = typeof Exported.Type

/** An exporter whose exports are kept. */
const keeping = (signals: ReadonlyArray<Otlp.Signal>) => {
  const bodies: Array<string> = []
  const client = HttpClient.make((request) =>
    Effect.sync(() => {
      if (request.body._tag === "Uint8Array") bodies.push(new TextDecoder().decode(request.body.body))
      return HttpClientResponse.fromWeb(request, new Response(null, { status: 200 }))
    })
  )
  const layer = Otlp.layer({ url: "http://collector.internal", protocol: "json", signals }).pipe(
    Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
  )
  const exports = Effect.suspend(() => Effect.forEach(bodies, (body) => Schema.decodeEffect(Exported)(body)))
  return { exports, layer }
}

class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}

const transport = ScriptedTransport.layer({ "*": [ScriptedTransport.json({})] })

/** Calls of an upstream that lives for no longer than they take. */
const calls = (count: number) =>
  Effect.flatMap(Stock, (stock) => Effect.replicateEffect(stock.get("/x"), count)).pipe(
    Effect.provide(Layer.fresh(Stock.layer)),
    Effect.scoped
  )

const pointsOf = (exported: Exported | undefined, name: string) =>
  exported?.resourceMetrics?.flatMap(({ scopeMetrics }) =>
    scopeMetrics.flatMap(({ metrics }) =>
      metrics.flatMap((metric) =>
        metric.name === name ? ((metric.sum ?? metric.gauge ?? metric.histogram)?.dataPoints ?? []) : []
      )
    )
  ) ?? []

const own = { name: "holdfast", version }

describe("what is exported over OTLP", () => {
  it("says the version that the package has", () => {
    const file = readFileSync(new URL("../package.json", import.meta.url), "utf8")
    assert.deepInclude(JSON.parse(file), { version })
  })

  it.effect("a series of an upstream that came back begins after the last one that was exported", () => {
    const { exports, layer } = keeping(["metrics"])
    return Effect.gen(function* () {
      yield* calls(5)
      yield* Otlp.flush
      yield* TestClock.adjust("1 second")
      yield* Otlp.flush
      yield* TestClock.adjust("1 second")
      yield* Otlp.flush
      yield* calls(7)
      yield* TestClock.adjust("200 millis")
      yield* Otlp.flush
      const all = (yield* exports).filter((exported) => pointsOf(exported, "holdfast.calls").length > 0)
      for (const name of ["holdfast.calls", "holdfast.call.duration", "holdfast.stage.admitted"]) {
        const points = (yield* exports).flatMap((exported) => pointsOf(exported, name).slice(0, 1))
        for (const [index, point] of points.entries()) {
          const before = points[index - 1]
          if (before === undefined) continue
          const count = (of: typeof point) => of.count ?? of.asDouble ?? 0
          const isSame = before.startTimeUnixNano === point.startTimeUnixNano
          assert.isTrue(
            isSame ? count(point) >= count(before) : BigInt(point.startTimeUnixNano) >= BigInt(before.timeUnixNano),
            `${name}: ${JSON.stringify(points)}`
          )
        }
      }
      const first = pointsOf(all[0], "holdfast.calls")[0]
      const last = pointsOf(all.at(-1), "holdfast.calls")[0]
      assert.strictEqual(last?.asDouble, 7)
      assert.isAbove(Number(last?.startTimeUnixNano), Number(first?.startTimeUnixNano))
      assert.isBelow(Number(last?.startTimeUnixNano), Number(last?.timeUnixNano))
    }).pipe(
      Effect.provide(
        Layer.mergeAll(Metrics.layer({ keepFor: "500 millis" }), transport).pipe(Layer.provideMerge(layer))
      ),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  })

  it.effect("is said by the library that says it, with the conventions' schema", () => {
    const { exports, layer } = keeping(["metrics", "traces"])
    return Effect.gen(function* () {
      yield* Metric.update(Metric.counter("orders"), 1)
      yield* calls(1).pipe(Effect.withSpan("checkout"))
      yield* Otlp.flush
      const all = yield* exports
      const scopes = all.flatMap(({ resourceMetrics = [], resourceSpans = [] }) => [
        ...resourceMetrics.flatMap(({ scopeMetrics }) =>
          scopeMetrics.map(({ metrics, schemaUrl, scope }) => ({ scope, schemaUrl, names: metrics.map((m) => m.name) }))
        ),
        ...resourceSpans.flatMap(({ scopeSpans }) =>
          scopeSpans.map(({ schemaUrl, scope, spans }) => ({ scope, schemaUrl, names: spans.map((s) => s.name) }))
        )
      ])
      const scopeOf = (name: string) => scopes.find(({ names }) => names.includes(name))
      for (const name of ["holdfast.calls", "http.client.request.duration", "stock GET /x"]) {
        assert.deepInclude(scopeOf(name), { scope: own, schemaUrl }, name)
      }
      for (const name of ["orders", "checkout"]) {
        assert.deepInclude(scopeOf(name)?.scope, { name: "effect" }, name)
        assert.isUndefined(scopeOf(name)?.schemaUrl)
      }
    }).pipe(
      Effect.provide(Layer.mergeAll(Metrics.layer(), transport).pipe(Layer.provideMerge(layer))),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  })

  it.effect("a span that succeeded has no status, and one that failed has", () => {
    const { exports, layer } = keeping(["traces"])
    return Effect.gen(function* () {
      yield* Effect.withSpan(Effect.void, "fine", { kind: "client" })
      yield* Effect.ignore(Effect.withSpan(Effect.fail("no"), "failed"))
      yield* Otlp.flush
      const spans = (yield* exports).flatMap(({ resourceSpans = [] }) =>
        resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
      )
      assert.deepStrictEqual(
        spans.map(({ name, status }) => [name, status.code]),
        [
          ["fine", 0],
          ["failed", 2]
        ]
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("has a unit for each metric, and none among the attributes of its points", () => {
    const { exports, layer } = keeping(["metrics"])
    return Effect.gen(function* () {
      yield* Metric.update(Metric.gauge("level", { attributes: { unit: "By", zone: "b" } }), 1)
      yield* Metric.update(Metric.timer("took"), Duration.seconds(1))
      yield* calls(1)
      yield* Otlp.flush
      const metrics = (yield* exports).flatMap(({ resourceMetrics = [] }) =>
        resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
      )
      assert.isAbove(metrics.length, 5)
      assert.strictEqual(metrics.find(({ name }) => name === "level")?.unit, "By")
      for (const { gauge, histogram, name, sum } of metrics) {
        for (const { attributes } of (gauge ?? histogram ?? sum)?.dataPoints ?? []) {
          const keys = attributes.map(({ key }) => key)
          assert.notInclude(keys, "unit", name)
          assert.notInclude(keys, "time_unit", name)
          if (name === "level") assert.deepStrictEqual(keys, ["zone"])
        }
      }
    }).pipe(
      Effect.provide(Layer.mergeAll(Metrics.layer(), transport).pipe(Layer.provideMerge(layer))),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  })

  it.effect("a count that is no int64 is a double, and one that is stays exact", () => {
    const { exports, layer } = keeping(["metrics"])
    return Effect.gen(function* () {
      yield* Metric.update(Metric.counter("large", { bigint: true, incremental: true }), 2n ** 60n + 1n)
      yield* Metric.update(Metric.counter("huge", { bigint: true, incremental: true }), 2n ** 63n)
      yield* Metric.update(Metric.gauge("deep", { bigint: true }), -(2n ** 70n))
      yield* Otlp.flush
      const [exported] = yield* exports
      const [large, huge, deep] = ["large", "huge", "deep"].map((name) => pointsOf(exported, name)[0])
      assert.strictEqual(large?.asInt, String(2n ** 60n + 1n))
      assert.deepStrictEqual([huge?.asInt, huge?.asDouble], [undefined, 2 ** 63])
      assert.deepStrictEqual([deep?.asInt, deep?.asDouble], [undefined, -(2 ** 70)])
    }).pipe(Effect.provide(layer), Effect.provideService(Metric.MetricRegistry, new Map()))
  })

  it.effect("connections that are open are a sum that goes both ways", () => {
    const { exports, layer } = keeping(["metrics"])
    return Effect.gen(function* () {
      yield* Metric.update(Metric.gauge("http.client.open_connections"), 3)
      yield* Otlp.flush
      const [exported] = yield* exports
      const metric = exported?.resourceMetrics?.[0]?.scopeMetrics
        .flatMap(({ metrics }) => metrics)
        .find(({ name }) => name === "http.client.open_connections")
      assert.deepInclude(metric?.sum, { isMonotonic: false })
      assert.strictEqual(metric?.sum?.dataPoints[0]?.asDouble, 3)
    }).pipe(Effect.provide(layer), Effect.provideService(Metric.MetricRegistry, new Map()))
  })
})

describe("the time at which a series began", () => {
  type Metric = MetricsData["resourceMetrics"][number]["scopeMetrics"][number]["metrics"][number]

  const at = (timeUnixNano: string, key = "a") => ({
    attributes: [{ key, value: { stringValue: "b" } }],
    startTimeUnixNano: "0",
    timeUnixNano
  })

  const exported = (...metrics: ReadonlyArray<Metric>): MetricsData => ({
    resourceMetrics: [
      {
        resource: { attributes: [], droppedAttributesCount: 0 },
        scopeMetrics: [{ scope: { name: "" }, metrics: [...metrics] }]
      }
    ]
  })

  const starts = ({ resourceMetrics }: MetricsData) =>
    resourceMetrics.flatMap(({ scopeMetrics }) =>
      scopeMetrics.flatMap(({ metrics }) =>
        metrics.flatMap(({ gauge, histogram, sum, summary }) =>
          [gauge, histogram, sum, summary].flatMap((points) =>
            (points?.dataPoints ?? []).map(({ startTimeUnixNano }) => startTimeUnixNano)
          )
        )
      )
    )

  const sum = (name: string, point: object, isMonotonic = true): Metric => ({
    name,
    description: "",
    unit: "1",
    sum: {
      aggregationTemporality: 2,
      isMonotonic,
      dataPoints: [point as NonNullable<Metric["sum"]>["dataPoints"][number]]
    }
  })

  const histogram = (name: string, point: object): Metric => ({
    name,
    description: "",
    unit: "1",
    histogram: {
      aggregationTemporality: 2,
      dataPoints: [point as NonNullable<Metric["histogram"]>["dataPoints"][number]]
    }
  })

  const summary = (name: string, point: object): Metric => ({
    name,
    description: "",
    unit: "1",
    summary: { dataPoints: [point as NonNullable<Metric["summary"]>["dataPoints"][number]] }
  })

  it.each([
    ["a sum of numbers", (count: number, time: string) => sum("m", { ...at(time), asDouble: count })],
    ["a sum of big numbers", (count: number, time: string) => sum("m", { ...at(time), asInt: count })],
    ["a histogram", (count: number, time: string) => histogram("m", { ...at(time), count })],
    ["a summary", (count: number, time: string) => summary("m", { ...at(time), count })]
  ] as const)("of %s stays while it goes up or stays, and is the export before when it went down", (_, of) => {
    const made = metricsData()
    const seen = [3, 3, 5, 4, 4, 0].map((count, index) => starts(made(exported(of(count, String(index + 1)))))[0])
    assert.deepStrictEqual(seen, ["0", "0", "0", "3", "3", "5"])
  })

  it("of a sum that goes both ways stays, whatever it says", () => {
    const made = metricsData()
    const seen = [3, 1, 2].map(
      (count, index) => starts(made(exported(sum("m", { ...at(String(index + 1)), asDouble: count }, false))))[0]
    )
    assert.deepStrictEqual(seen, ["0", "0", "0"])
  })

  it("of a series that is new, or was gone, is the export before", () => {
    const made = metricsData()
    const of = (time: string, ...keys: ReadonlyArray<string>) =>
      starts(made(exported(...keys.map((key) => sum("m", { ...at(time, key), asDouble: 1 })))))
    assert.deepStrictEqual(of("1", "a"), ["0"])
    assert.deepStrictEqual(of("2", "a", "b"), ["0", "1"])
    assert.deepStrictEqual(of("3", "b"), ["1"])
    assert.deepStrictEqual(of("4", "a", "b"), ["3", "1"])
  })

  it("is of one series for each name, each attribute and each value", () => {
    const made = metricsData()
    const of = (name: string, key: string, value: string, time: string) =>
      starts(
        made(
          exported(
            sum(name, { ...at(time), attributes: [{ key, value: { stringValue: value } }], asDouble: 1 }),
            sum("always", { ...at(time), asDouble: 1 })
          )
        )
      )[0]
    assert.deepStrictEqual(
      [
        of("m", "a", "b", "1"),
        of("n", "a", "b", "2"),
        of("n", "b", "b", "3"),
        of("n", "b", "a", "4"),
        of("n", "b", "a", "5")
      ],
      ["0", "1", "2", "3", "3"]
    )
  })
})

describe("the items of an export", () => {
  const ids = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" }
  const resource = { attributes: [], droppedAttributesCount: 0 }
  const scope = { name: "scope" }

  const span = (name: string) => ({
    ...ids,
    parentSpanId: undefined,
    name,
    kind: 1,
    startTimeUnixNano: "1",
    endTimeUnixNano: "2",
    attributes: [],
    droppedAttributesCount: 0,
    events: [],
    droppedEventsCount: 0,
    links: [],
    droppedLinksCount: 0,
    status: { code: 0 as const }
  })

  const traces: TraceData = {
    resourceSpans: [
      {
        resource,
        scopeSpans: [
          { scope, spans: [span("a"), span("b")] },
          { scope, spans: [span("c")] }
        ]
      },
      { resource, scopeSpans: [{ scope, spans: [span("d")] }] }
    ]
  }

  const record = (text: string) => ({
    timeUnixNano: "1",
    observedTimeUnixNano: "1",
    severityNumber: 9,
    severityText: "Info",
    body: { stringValue: text },
    attributes: [],
    droppedAttributesCount: 0
  })

  const logs = {
    resourceLogs: [
      {
        resource,
        scopeLogs: [{ scope, logRecords: [record("a"), record("b")] }, { scope, logRecords: [record("c")] }, { scope }]
      },
      { resource, scopeLogs: [{ scope, logRecords: [record("d")] }] }
    ]
    // its type wants members that the exporter leaves out where they say nothing
  } as unknown as LogsData

  const points = (count: number) => ({ dataPoints: Array.from({ length: count }, () => ({ timeUnixNano: "1" })) })

  const metrics = {
    resourceMetrics: [
      {
        resource,
        scopeMetrics: [
          {
            scope,
            metrics: [
              { name: "a", gauge: points(1) },
              { name: "b", sum: points(2) }
            ]
          },
          { scope, metrics: [{ name: "c", histogram: points(4) }] }
        ]
      },
      { resource, scopeMetrics: [{ scope, metrics: [{ name: "d", summary: points(8) }, { name: "e" }] }] }
    ]
    // the same
  } as unknown as MetricsData

  it("are counted over all resources and scopes", () => {
    assert.strictEqual(countSpans(traces), 4)
    assert.strictEqual(countRecords(logs), 4)
    assert.strictEqual(countPoints(metrics), 15)
    assert.strictEqual(countSpans({ resourceSpans: [] }), 0)
    assert.strictEqual(countRecords({ resourceLogs: [] }), 0)
    assert.strictEqual(countPoints({ resourceMetrics: [] }), 0)
  })

  it("are asked one at a time whether they are fine, and those that are not are left out", () => {
    const asked: Array<number> = []
    const namesOf = ({ resourceSpans }: TraceData) =>
      resourceSpans.map(({ scopeSpans }) => scopeSpans.map(({ spans }) => spans.map(({ name }) => name)))
    const fine = fineSpans(traces, (one) => {
      asked.push(countSpans(one))
      return !JSON.stringify(one).includes('"b"')
    })
    assert.deepStrictEqual(namesOf(fine), [[["a"], ["c"]], [["d"]]])

    const textsOf = ({ resourceLogs }: LogsData) =>
      resourceLogs.map(({ scopeLogs }) =>
        scopeLogs.map(({ logRecords = [] }) => logRecords.map(({ body }) => body?.stringValue))
      )
    const fineLogs = fineRecords(logs, (one) => {
      asked.push(countRecords(one))
      return !JSON.stringify(one).includes('"c"')
    })
    assert.deepStrictEqual(textsOf(fineLogs), [[["a", "b"], [], []], [["d"]]])

    const metricsOf = ({ resourceMetrics }: MetricsData) =>
      resourceMetrics.map(({ scopeMetrics }) => scopeMetrics.map(({ metrics }) => metrics.map(({ name }) => name)))
    assert.deepStrictEqual(metricsOf(fineMetrics(metrics, (one) => countPoints(one) !== 2)), [
      [["a"], ["c"]],
      [["d", "e"]]
    ])
    assert.deepStrictEqual(asked, [1, 1, 1, 1, 1, 1, 1, 1])
  })
})

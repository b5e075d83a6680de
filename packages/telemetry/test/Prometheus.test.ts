import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Metric } from "effect"
import { HttpRouter } from "effect/http"
import * as Prometheus from "../src/Prometheus.ts"
import { prometheusName } from "../src/internal/prometheusNames.ts"
import { isolated } from "./support/observed.ts"

const pageAfter = (...updates: ReadonlyArray<Effect.Effect<void>>) =>
  isolated(Effect.andThen(Effect.all(updates), Prometheus.page))

describe("names", () => {
  it("say their unit and their kind, as OpenTelemetry's specification has it", () => {
    const names = [
      prometheusName("http.client.request.duration", "histogram", "s"),
      prometheusName("http.client.request.body.size", "histogram", "By"),
      prometheusName("http.client.active_requests", "upDownCounter", "{request}"),
      prometheusName("holdfast.calls", "counter", "{call}"),
      prometheusName("holdfast.circuit.share", "gauge", "1"),
      prometheusName("balance", "upDownCounter", "1"),
      prometheusName("cups_total", "counter", "1"),
      prometheusName("speed", "gauge", "m/s"),
      prometheusName("load", "gauge", "{request}/s"),
      prometheusName("wait_seconds", "histogram", "seconds"),
      prometheusName("latency", "histogram", "milliseconds"),
      prometheusName("2nd..try-out", "gauge", undefined)
    ]
    assert.deepStrictEqual(names, [
      "http_client_request_duration_seconds",
      "http_client_request_body_size_bytes",
      "http_client_active_requests",
      "holdfast_calls_total",
      "holdfast_circuit_share_ratio",
      "balance",
      "cups_total",
      "speed_meters_per_second",
      "load_per_second",
      "wait_seconds",
      "latency_milliseconds",
      "_2nd_try_out"
    ])
  })
})

describe("the page", () => {
  it.effect("shows every kind of metric as what it is", () =>
    Effect.gen(function* () {
      const page = yield* pageAfter(
        Metric.update(Metric.counter("cups", { incremental: true, description: "Cups of tea" }), 2),
        Metric.update(Metric.counter("guests"), -1),
        Metric.update(Metric.gauge("heat", { attributes: { unit: "Cel" } }), 71.5),
        Metric.update(Metric.frequency("tea"), "green"),
        Metric.update(Metric.histogram("steep", { boundaries: [1, 2.5], attributes: { unit: "s" } }), 2),
        Metric.update(Metric.summary("sip", { maxAge: "1 hour", maxSize: 10, quantiles: [0.5] }), 3)
      )
      assert.strictEqual(
        page,
        `# HELP cups_total Cups of tea
# TYPE cups_total counter
cups_total 2
# HELP guests guests
# TYPE guests gauge
guests -1
# HELP heat_celsius heat
# TYPE heat_celsius gauge
heat_celsius 71.5
# HELP sip sip
# TYPE sip summary
sip{quantile="0.5"} 3
sip_sum 3
sip_count 1
# HELP steep_seconds steep
# TYPE steep_seconds histogram
steep_seconds_bucket{le="1"} 0
steep_seconds_bucket{le="2.5"} 1
steep_seconds_bucket{le="+Inf"} 1
steep_seconds_sum 2
steep_seconds_count 1
# HELP tea_total tea
# TYPE tea_total counter
tea_total{key="green"} 1
`
      )
    })
  )

  it.effect("a line break, a quote or a backslash in a label or a description cannot forge a line", () =>
    Effect.gen(function* () {
      const attributes = { "who\n": 'a"b\\c\nforged 1', __name__: "x" }
      const page = yield* pageAfter(
        Metric.update(Metric.gauge("seen", { attributes, description: "one\ntwo \\ three" }), 1)
      )
      assert.strictEqual(
        page,
        '# HELP seen one\\ntwo \\\\ three\n# TYPE seen gauge\nseen{_name_="x",who_="a\\"b\\\\c\\nforged 1"} 1\n'
      )
    })
  )

  it.effect("what would make Prometheus refuse the whole page is left out of it", () =>
    Effect.gen(function* () {
      const page = yield* pageAfter(
        // two attributes of one name, once they are labels
        Metric.update(Metric.gauge("both", { attributes: { "a.b": "one", a_b: "two" } }), 1),
        // the same label set twice, because descriptions differ
        Metric.update(Metric.gauge("twice", { description: "first" }), 1),
        Metric.update(Metric.gauge("twice", { description: "second" }), 2),
        // one name for two kinds
        Metric.update(Metric.gauge("kind"), 1),
        Metric.update(Metric.histogram("kind", { boundaries: [1], attributes: { of: "another" } }), 2),
        Metric.update(Metric.histogram("sized", { boundaries: [1] }), 2),
        Metric.update(Metric.gauge("sized_count"), 2)
      )
      assert.deepStrictEqual(
        page.split("\n").filter((line) => line !== "" && !line.startsWith("#")),
        [
          'both{a_b="one;two"} 1',
          "kind 1",
          'sized_bucket{le="1"} 0',
          'sized_bucket{le="+Inf"} 1',
          "sized_sum 2",
          "sized_count 1",
          "twice 1"
        ]
      )
    })
  )

  it.effect("is empty when there is nothing to show", () =>
    Effect.map(isolated(Prometheus.page), (page) => assert.strictEqual(page, ""))
  )

  it.live("is served on a router, at the path that was asked for, from the registry of the program", () =>
    isolated(
      Effect.gen(function* () {
        yield* Metric.update(Metric.gauge("cups"), 3)
        const registry = yield* Metric.MetricRegistry
        const { dispose, handler } = HttpRouter.toWebHandler(
          Layer.provide(
            Prometheus.layer({ path: "/internal/metrics" }),
            Layer.succeed(Metric.MetricRegistry, registry)
          ),
          { disableLogger: true }
        )
        const [found, missing] = yield* Effect.promise(() =>
          Promise.all(["/internal/metrics", "/metrics"].map((path) => handler(new Request(`http://127.0.0.1${path}`))))
        )
        assert.strictEqual(found?.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8")
        assert.include(yield* Effect.promise(async () => found?.text()), "\ncups 3\n")
        assert.strictEqual(missing?.status, 404)
        yield* Effect.promise(dispose)
      })
    )
  )
})

import { gunzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Metric, Stream, Tracer } from "effect"
import { HttpRouter, HttpServerRequest } from "effect/http"
import * as Prometheus from "../src/Prometheus.ts"
import { formatFor } from "../src/internal/prometheus/prometheusAccept.ts"
import { prometheusName } from "../src/internal/prometheus/prometheusNames.ts"
import * as Metrics from "../src/Metrics.ts"
import { callEnd, isolated, observed, observer } from "./support/observed.ts"

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
      prometheusName("2nd..try-out", "gauge", undefined),
      // what a Prometheus that receives OTLP would make of them
      prometheusName("bytes.sent", "counter", "By"),
      prometheusName("total.cups", "counter", "1"),
      prometheusName("cups.total", "counter", "{cup}"),
      prometheusName("hit.ratio.of.all", "gauge", "1"),
      prometheusName("_started_", "gauge", "s"),
      prometheusName("...", "gauge", "s")
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
      "_2nd_try_out",
      "bytes_sent_total",
      "cups_total",
      "cups_total",
      "hit_of_all_ratio",
      "started_seconds",
      ""
    ])
  })
})

describe("the page", () => {
  it("names a metric as its name getter says", () => {
    assert.strictEqual(Prometheus.nameOf("holdfast.calls"), "holdfast_calls_total")
    assert.strictEqual(Prometheus.nameOf("http.client.request.duration"), "http_client_request_duration_seconds")
  })

  it.effect("has the labels of a series by name, in whatever order they were given", () =>
    Effect.gen(function* () {
      const page = yield* pageAfter(
        Metric.update(Metric.gauge("one", { attributes: { c: "3", a: "1", d: "4", b: "2" } }), 1),
        Metric.update(Metric.gauge("two", { attributes: { b: "2", a: "1" } }), 1)
      )
      assert.include(page, 'one{a="1",b="2",c="3",d="4"} 1\n')
      assert.include(page, 'two{a="1",b="2"} 1\n')
    })
  )

  it.effect("leaves out a metric whose name, or a name that its samples have, another one has already", () =>
    Effect.gen(function* () {
      const summary = Metric.summary("sip", { maxAge: "1 hour", maxSize: 10, quantiles: [0.5] })
      const page = yield* pageAfter(
        Metric.update(Metric.gauge("steep_bucket"), 1),
        Metric.update(Metric.histogram("steep", { boundaries: [1] }), 2),
        Metric.update(Metric.gauge("sip_sum"), 1),
        Metric.update(summary, 2),
        Metric.update(Metric.histogram("brew", { boundaries: [1] }), 2),
        Metric.update(Metric.gauge("brew_bucket"), 1),
        Metric.update(Metric.gauge("brew_sum"), 1),
        Metric.update(Metric.gauge("cups"), 1),
        Metric.update(Metric.counter("cups", { incremental: true }), 1)
      )
      assert.deepStrictEqual(
        page
          .split("\n")
          .filter((line) => line.startsWith("# TYPE"))
          .map((line) => line.slice("# TYPE ".length)),
        ["brew histogram", "cups gauge", "sip_sum gauge", "steep_bucket gauge"]
      )
    })
  )

  it.effect("reads each metric once, and all but the histograms in one turn", () =>
    isolated(
      Effect.gen(function* () {
        const context = yield* Effect.context<never>()
        const reads: Array<string> = []
        let turn = 0
        const register = <State>(metric: Metric.Metric<number, State>, state: State) =>
          Metric.registerUnsafe(metric, context, {
            get: () => {
              reads.push(`${metric.type} in turn ${metric.type === "Histogram" ? "any" : turn}`)
              return state
            },
            update: () => {},
            modify: () => {}
          })
        for (let at = 0; at < 300; at++) {
          const attributes = { at: String(at) }
          register(Metric.gauge("cups", { attributes }), { value: 1 })
          register(Metric.histogram("steep", { boundaries: [1], attributes }), {
            buckets: [[1, 0]],
            count: 0,
            min: 0,
            max: 0,
            sum: 0
          })
        }
        let next = setImmediate(function count() {
          turn++
          next = setImmediate(count)
        })
        yield* Prometheus.page
        clearImmediate(next)
        assert.strictEqual(reads.length, 600)
        assert.strictEqual(new Set(reads).size, 2)
      })
    )
  )

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
        Metric.update(Metric.gauge("sized_count"), 2),
        // nothing can be called by an empty name
        Metric.update(Metric.gauge("named", { attributes: { "": "x", a: "1" } }), 1),
        Metric.update(Metric.gauge(""), 1),
        Metric.update(Metric.gauge("..."), 1),
        // a counter's family, in OpenMetrics, has the name of a gauge
        Metric.update(Metric.counter("cups", { incremental: true }), 1),
        Metric.update(Metric.gauge("cups"), 1)
      )
      assert.deepStrictEqual(
        page.split("\n").filter((line) => line !== "" && !line.startsWith("#")),
        [
          'both{a_b="one;two"} 1',
          "cups_total 1",
          "kind 1",
          'named{a="1"} 1',
          'sized_bucket{le="1"} 0',
          'sized_bucket{le="+Inf"} 1',
          "sized_sum 2",
          "sized_count 1",
          "twice 1"
        ]
      )
    })
  )

  it.effect("an attribute that is called as a sample's own label keeps its value, and tells series apart", () =>
    Effect.gen(function* () {
      const page = yield* pageAfter(
        ...["a", "b"].flatMap((value) => [
          Metric.update(Metric.histogram("steep", { boundaries: [1], attributes: { le: value } }), 2),
          Metric.update(
            Metric.summary("sip", { maxAge: "1 hour", maxSize: 10, quantiles: [0.5], attributes: { quantile: value } }),
            3
          ),
          Metric.update(Metric.frequency("tea", { attributes: { key: value } }), "green")
        ])
      )
      const lines = page.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
      assert.strictEqual(new Set(lines).size, lines.length)
      assert.includeMembers(lines, [
        'steep_bucket{exported_le="b",le="1"} 0',
        'sip{exported_quantile="a",quantile="0.5"} 3',
        'tea_total{exported_key="b",key="green"} 1'
      ])
    })
  )

  it.effect.each([
    ["of many metrics", 2000, 1, 2000 / 200],
    // fewer than are read in one turn
    ["of long lines", 190, 1000, 10]
  ] as const)("is made in many turns, so that one %s does not hold up the process", ([, count, characters, atLeast]) =>
    isolated(
      Effect.gen(function* () {
        yield* Effect.forEach(
          Array.from({ length: count }, (_, at) =>
            Metric.histogram("steep", {
              boundaries: [1, 2, 3, 4, 5, 6, 7, 8],
              attributes: { at: String(at), long: "x".repeat(characters) }
            })
          ),
          (histogram) => Metric.update(histogram, 3)
        )
        let turns = 0
        let next = setImmediate(function count() {
          turns++
          next = setImmediate(count)
        })
        const page = yield* Prometheus.page
        clearImmediate(next)
        assert.lengthOf(page.match(/^steep_count/gm) ?? [], count)
        assert.isAtLeast(turns, atLeast)
        // a turn for each metric would be as bad
        assert.isAtMost(turns, 10 * atLeast)
      })
    )
  )

  it.effect("writes every number as Prometheus reads it", () =>
    Effect.gen(function* () {
      const values = [0, -1.5, Infinity, -Infinity, Number.NaN, 1e21, 5e-324] as const
      const page = yield* pageAfter(
        ...values.map((value, index) =>
          Metric.update(Metric.gauge("number", { attributes: { index: String(index) } }), value)
        )
      )
      assert.deepStrictEqual(
        page
          .split("\n")
          .filter((line) => line.startsWith("number{"))
          .map((line) => line.split(" ")[1])
          .toSorted(),
        ["+Inf", "-1.5", "-Inf", "0", "1e+21", "5e-324", "NaN"]
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

  it.live("is OpenMetrics for whoever asks for that, with units and an end", () =>
    isolated(
      Effect.gen(function* () {
        yield* Metric.update(Metric.counter("cups", { incremental: true, description: 'Cups of "tea"' }), 2)
        yield* Metric.update(Metric.histogram("steep", { boundaries: [1, 2.5], attributes: { unit: "s" } }), 2)
        const { body, contentType } = yield* fetched({
          // what Prometheus sends
          accept:
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        })
        assert.strictEqual(contentType, "application/openmetrics-text; version=1.0.0; charset=utf-8")
        assert.strictEqual(
          body,
          `# HELP cups Cups of \\"tea\\"
# TYPE cups counter
cups_total 2
# HELP steep_seconds steep
# TYPE steep_seconds histogram
# UNIT steep_seconds seconds
steep_seconds_bucket{le="1.0"} 0
steep_seconds_bucket{le="2.5"} 1
steep_seconds_bucket{le="+Inf"} 1
steep_seconds_sum 2
steep_seconds_count 1
# EOF
`
        )
      })
    )
  )

  it.live("in OpenMetrics, a bucket of a duration has the trace of the last call in it", () =>
    isolated(
      Effect.gen(function* () {
        const heard = yield* observer
        const [traceId, spanId] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"]
        const spanOf = (sampled: boolean) => Tracer.externalSpan({ traceId, spanId, sampled })
        heard.callEnded?.(observed({ span: spanOf(true) }), callEnd({ durationMillis: 40 }))
        heard.callEnded?.(observed({ span: spanOf(true) }), callEnd({ durationMillis: 600_000 }))
        heard.callEnded?.(observed({ span: spanOf(false) }), callEnd({ durationMillis: 4 }))
        heard.callEnded?.(observed(), callEnd({ durationMillis: 4 }))
        const lines = (body: string) => body.split("\n").filter((line) => line.startsWith("holdfast_call_duration"))
        const { body } = yield* fetched({ accept: "application/openmetrics-text" })
        const traced = lines(body).filter((line) => line.includes(" # "))
        assert.lengthOf(traced, 2)
        const trace = new RegExp(` # \\{trace_id="${traceId}",span_id="${spanId}"\\} (0.04|600) [0-9.]+$`)
        assert.match(traced[0] ?? "", /le="0.05"\} 3 /)
        assert.match(traced[1] ?? "", /le="\+Inf"\} 4 /)
        for (const line of traced) {
          assert.match(line, trace)
          // in seconds, as OpenMetrics has it
          assert.closeTo(Number(line.split(" ").at(-1)), Date.now() / 1000, 60)
        }
        assert.notInclude((yield* fetched({})).body, traceId)
      }).pipe(Effect.provide(Metrics.layer()))
    )
  )

  it.each([
    [undefined, "text"],
    ["*/*", "text"],
    ["text/plain", "text"],
    ["application/openmetrics-text", "openMetrics"],
    ["application/openmetrics-text; version=1.0.0; charset=utf-8", "openMetrics"],
    ["application/openmetrics-text;version=0.0.1", "text"],
    ["application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.9", "text"],
    ["application/openmetrics-text;version=1.0.0;q=0", "text"]
  ] as const)("for Accept: %s it is %s", (accept, format) => {
    assert.strictEqual(formatFor(accept), format)
  })

  it.live.each([
    ["gzip, deflate", "gzip"],
    [undefined, null],
    ["gzip;q=0", null]
  ] as const)("for Accept-Encoding: %s it is encoded as %s", ([accepted, encoding]) =>
    isolated(
      Effect.gen(function* () {
        yield* Metric.update(Metric.gauge("cups"), 3)
        const got = yield* fetched(accepted === undefined ? {} : { "accept-encoding": accepted })
        assert.strictEqual(got.encoding, encoding)
        assert.include(got.body, "cups 3")
      })
    )
  )
})

describe("a page that cannot be finished", () => {
  const broken = new Error("no state")

  it.effect.each([{}, { "accept-encoding": "gzip" }])("breaks off with what broke it: %j", (headers) =>
    isolated(
      Effect.gen(function* () {
        const fail = (): never => {
          throw broken
        }
        const hooks = { get: fail, update: () => {}, modify: () => {} }
        Metric.registerUnsafe(Metric.gauge("cups"), yield* Effect.context<never>(), hooks)
        const request = HttpServerRequest.fromWeb(new Request("http://127.0.0.1/metrics", { headers }))
        const { body } = yield* Effect.provideService(Prometheus.response, HttpServerRequest.HttpServerRequest, request)
        if (body._tag !== "Stream") return assert.fail(`no stream: ${body._tag}`)
        const exit = yield* Effect.exit(Stream.runDrain(body.stream))
        if (!Exit.isFailure(exit)) return assert.fail("the page was finished")
        assert.strictEqual(Cause.squash(exit.cause), broken)
      })
    )
  )
})

/** The page as a client of the router gets it. */
const fetched = (headers: Record<string, string>) =>
  Effect.gen(function* () {
    const registry = yield* Metric.MetricRegistry
    const { dispose, handler } = HttpRouter.toWebHandler(
      Layer.provide(Prometheus.layer(), Layer.succeed(Metric.MetricRegistry, registry)),
      { disableLogger: true }
    )
    const response = yield* Effect.promise(() => handler(new Request("http://127.0.0.1/metrics", { headers })))
    const encoding = response.headers.get("content-encoding")
    const bytes = yield* Effect.promise(async () => new Uint8Array(await response.arrayBuffer()))
    yield* Effect.promise(dispose)
    return {
      contentType: response.headers.get("content-type"),
      encoding,
      body: (encoding === "gzip" ? gunzipSync(bytes) : Buffer.from(bytes)).toString()
    }
  })

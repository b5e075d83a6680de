import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { createServer } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Metric, Schema } from "effect"
import type { Scope } from "effect"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"
import { OtlpExporter, OtlpMetrics, OtlpSerialization } from "effect/observability"
import { Backoff, Fallback, HttpPolicy, PolicyRegistry, Upstream } from "holdfast"
import { NodeTransport } from "holdfast/node"
import { Metrics, Prometheus } from "holdfast/telemetry"
import { isInstalled, promtool } from "./prometheus/promtool.ts"
import { bounded } from "./support/calling.ts"
import { type Handler, serve } from "./support/direct.ts"

const isMissing = !isInstalled()
const isRequired = (process.env["CI"] ?? "") !== "" || process.env["HOLDFAST_REQUIRE_PROMTOOL"] === "1"

if (isMissing && !isRequired) {
  console.warn("skipped: no promtool on this machine, so whether Prometheus takes the page and the rules is not tested")
}

it.skipIf(isMissing && !isRequired)("there is a promtool", () => {
  assert.isFalse(
    isMissing,
    "no promtool on the PATH: install it (Debian, Ubuntu: apt-get install prometheus). It is required where CI or " +
      "HOLDFAST_REQUIRE_PROMTOOL=1 is set, because without it nothing shows that Prometheus takes the page and the rules"
  )
})

const fileOf = (path: string): string => fileURLToPath(new URL(`../packages/telemetry/${path}`, import.meta.url))

const rulesFile = fileOf("rules/holdfast.rules.yml")

/** Answers by path; the first request of `/flaky` and of `/slow` is not answered like the next. */
const shop = (): Handler => {
  const seen = new Map<string, number>()
  return (request, response) => {
    const path = request.url ?? ""
    const before = seen.get(path) ?? 0
    seen.set(path, before + 1)
    request.resume()
    if (path === "/never" || (path === "/slow" && before === 0)) return
    response.statusCode = path === "/down" || (path === "/flaky" && before === 0) ? 503 : path === "/gone" ? 404 : 200
    const answer = () => response.end('{"ok":true}')
    if (path === "/held") setTimeout(answer, 80)
    else answer()
  }
}

const backoff = Backoff.exponential({ base: "1 millis", cap: "2 millis" })

/** Longer than a busy machine takes for anything here: what happens is to be counted, and not how fast. */
const patient = { deadline: "1 minute", attemptTimeout: { limit: "30 seconds" }, retry: { schedule: backoff } } as const

const policies = {
  payments: HttpPolicy.aggressive({
    ...patient,
    hedge: { delay: "20 seconds" },
    rateLimit: { limit: 1000, window: "1 second" },
    // it would shed the calls after the first that failed
    throttle: { mode: "observe" },
    bulkhead: {},
    adaptiveConcurrency: {}
  }),
  // only the hedge is ever answered
  prices: HttpPolicy.aggressive({ ...patient, hedge: { delay: "40 millis", maxHedges: 1 } }),
  stock: HttpPolicy.standard({
    retry: false,
    bulkhead: { maxConcurrent: 1, maxQueue: 1, maxWait: "5 seconds" }
  }),
  search: HttpPolicy.standard({ singleFlight: {} })
} as const

/** Calls that do everything that there is a metric for. */
const calls = (origin: string) =>
  Effect.gen(function* () {
    const make = (name: keyof typeof policies) => Upstream.make(name, { baseUrl: origin, policy: policies[name] })
    const payments = yield* make("payments")
    yield* payments.get("/flaky")
    yield* (yield* make("prices")).get("/slow")
    yield* payments.post("/charges/{id}", { params: { id: 7 }, json: { amount: 3 } })
    yield* Effect.flip(payments.get("/down"))
    yield* Effect.flip(payments.get("/gone"))
    yield* Effect.flip(HttpPolicy.override({ deadline: "60 millis" })(payments.post("/never")))

    const stock = yield* make("stock")
    yield* Effect.all(
      Array.from({ length: 3 }, () => Effect.exit(stock.get("/held"))),
      { concurrency: "unbounded" }
    )

    // a policy that stands by itself
    const { fallback } = yield* PolicyRegistry.register("prices", { fallback: Fallback.make({ value: "none" }) })
    yield* fallback.run(Effect.fail("no price"))

    const search = yield* make("search")
    yield* Effect.all([search.get("/held"), search.get("/held")], { concurrency: "unbounded" })
    const left = yield* Effect.forkChild(search.get("/never"))
    yield* Effect.sleep("20 millis")
    yield* Fiber.interrupt(left)
  })

/** A program that calls, with metrics recorded in a registry of its own. */
const calling = <A, E, S = never, E2 = never>(
  then: Effect.Effect<A, E, S | Scope.Scope>,
  exporter: Layer.Layer<S, E2> = Layer.empty as Layer.Layer<S>
) =>
  Effect.gen(function* () {
    const { origin } = yield* serve(shop())
    yield* calls(origin)
    return yield* then
  }).pipe(
    Effect.provide(
      Layer.mergeAll(Layer.provideMerge(NodeTransport.layer(), Metrics.layer({ bodySizes: true })), exporter)
    ),
    Effect.scoped,
    Effect.provideService(Metric.MetricRegistry, new Map()),
    bounded
  )

/** What figures became possible by calls show from the second page on. */
const page = Effect.andThen(Prometheus.page, Prometheus.page)

/** Names of the samples of a page. */
const samplesOf = (text: string): ReadonlySet<string> =>
  new Set(text.split("\n").flatMap((line) => /^[a-zA-Z_:][a-zA-Z0-9_:]*(?=[ {])/.exec(line) ?? []))

/** Names of metrics in queries of PromQL: no label, and nothing that a rule records. */
const namesIn = (queries: ReadonlyArray<string>): ReadonlyArray<string> => {
  const withoutLabels = queries.map((query) => query.replace(/\b(?:by|on|group_left) \([^)]*\)|\{[^}]*\}/g, " "))
  const words = withoutLabels.flatMap((query) => query.match(/[a-zA-Z_:][a-zA-Z0-9_:]*/g) ?? [])
  return [...new Set(words.filter((word) => /^(holdfast|http)_/.test(word)))]
}

const Queries = Schema.fromJsonString(
  Schema.Struct({
    schemaVersion: Schema.Int,
    panels: Schema.Array(
      Schema.Struct({
        id: Schema.Int,
        title: Schema.String,
        gridPos: Schema.Struct({ h: Schema.Int, w: Schema.Int, x: Schema.Int, y: Schema.Int }),
        targets: Schema.optionalKey(Schema.Array(Schema.Struct({ expr: Schema.String })))
      })
    )
  })
)

const dashboard = Effect.suspend(() =>
  Schema.decodeEffect(Queries)(readFileSync(fileOf("dashboards/holdfast.json"), "utf8"))
)

const dashboardQueries = Effect.map(dashboard, ({ panels }) =>
  panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
)

const ruleQueries = (): ReadonlyArray<string> =>
  [...readFileSync(rulesFile, "utf8").matchAll(/^ +expr: (".*")$/gm)].map(([, quoted = ""]) =>
    Schema.decodeSync(Schema.fromJsonString(Schema.String))(quoted)
  )

describe("metrics of a program that calls", () => {
  it.live("are those of the catalogue, all of them, with its attributes and no others", () =>
    calling(
      Effect.gen(function* () {
        yield* Metric.snapshot
        const snapshots = (yield* Metric.snapshot).filter(({ id }) => /^(holdfast|http)\./.test(id))
        assert.deepStrictEqual(
          [...new Set(snapshots.map(({ id }) => id))].sort(),
          Object.keys(Metrics.catalogue).sort()
        )
        const definitions: { readonly [name: string]: Metrics.Definition } = Metrics.catalogue
        for (const { attributes = {}, description, id } of snapshots) {
          const definition = definitions[id]
          const { unit, ...labels } = attributes
          assert.strictEqual(unit, definition?.unit, id)
          assert.strictEqual(description, definition?.description, id)
          assert.includeMembers([...(definition?.attributes ?? [])], Object.keys(labels), id)
        }
      })
    )
  )

  it.live("say what happened", () =>
    calling(
      Effect.gen(function* () {
        const lines = (yield* page).split("\n")
        const has = (...lineParts: ReadonlyArray<string>) =>
          assert.isTrue(
            lines.some((line) => lineParts.every((part) => line.includes(part))),
            `${lineParts.join(" … ")} in\n${lines.filter((line) => line.startsWith(lineParts[0] ?? "")).join("\n")}`
          )
        has("holdfast_calls_total{", 'holdfast_operation="GET /flaky",holdfast_outcome="success"', "} 1")
        has("holdfast_calls_total{", 'error_type="ERR_STATUS_NOT_FOUND",holdfast_nature="caller"', "GET /gone", "} 1")
        has("holdfast_calls_total{", 'holdfast_operation="GET /never",holdfast_outcome="interrupted"', "} 1")
        has("holdfast_retries_total{", 'error_type="503",holdfast_operation="GET /flaky"', "} 1")
        has("holdfast_attempts_total{", 'kind="hedge",holdfast_operation="GET /slow",holdfast_outcome="success"', "} 1")
        has("holdfast_hedge_wins_total{", "GET /slow", "} 1")
        has("holdfast_deadline_misses_total{", "POST /never", "} 1")
        has("holdfast_refusals_total{", "ERR_POLICY_BULKHEAD_FULL", 'holdfast_stage="bulkhead"', "} 1")
        has("holdfast_queue_duration_seconds_count{", 'holdfast_stage="bulkhead"', "} 1")
        has("holdfast_single_flight_joins_total{", "GET /held", "} 1")
        has("http_client_request_duration_seconds_count{", 'status_code="404"', 'url_template="/gone"', "} 1")
        has("http_client_request_duration_seconds_count{", 'network_protocol_version="1.1"')
        has("holdfast_connection_wait_seconds_count{", 'holdfast_upstream="stock"', "} 2")
        has(
          "holdfast_upstream_calls_total{",
          'nature="caller",holdfast_outcome="failure",holdfast_upstream="payments"',
          "} 1"
        )
        has("http_client_request_body_size_bytes_sum{", 'url_template="/charges/{id}"', "} 12")
        // nothing is under way any more
        for (const line of lines) {
          if (/^(holdfast_call_in_flight|http_client_active_requests)\{/.test(line)) assert.match(line, / 0$/)
        }
      })
    )
  )

  it.live("are on a page that promtool finds nothing wrong with, served on a router", () =>
    Effect.gen(function* () {
      const text = yield* calling(
        Effect.gen(function* () {
          yield* Prometheus.page
          const served = HttpRouter.serve(Prometheus.layer(), { disableLogger: true, disableListenLog: true }).pipe(
            Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
          )
          return yield* Effect.provide(
            Effect.flatMap(HttpServer.addressFormattedWith(Effect.succeed), (url) =>
              Effect.promise(async () => (await fetch(`${url}/metrics`)).text())
            ),
            served
          )
        })
      )
      assert.isAbove(samplesOf(text).size, 50)
      if (isMissing) return
      assert.deepStrictEqual(promtool(["check", "metrics"], text), { isContent: true, said: "" })
    })
  )

  it.live("have the names that the dashboard and the rules ask for", () =>
    Effect.gen(function* () {
      const names = samplesOf(yield* calling(page))
      const asked = namesIn([...(yield* dashboardQueries), ...ruleQueries()])
      assert.isAbove(asked.length, 40)
      assert.deepStrictEqual(
        asked.filter((name) => !names.has(name)),
        []
      )
    })
  )
})

const Point = Schema.Struct({
  attributes: Schema.Array(Schema.Struct({ key: Schema.String, value: Schema.Unknown })),
  explicitBounds: Schema.optionalKey(Schema.Array(Schema.Number)),
  bucketCounts: Schema.optionalKey(Schema.Array(Schema.Number)),
  count: Schema.optionalKey(Schema.Number),
  asDouble: Schema.optionalKey(Schema.Number)
})

const Points = Schema.Struct({
  dataPoints: Schema.Array(Point),
  aggregationTemporality: Schema.optionalKey(Schema.Int),
  isMonotonic: Schema.optionalKey(Schema.Boolean)
})

const Exported = Schema.fromJsonString(
  Schema.Struct({
    resourceMetrics: Schema.Array(
      Schema.Struct({
        scopeMetrics: Schema.Array(
          Schema.Struct({
            metrics: Schema.Array(
              Schema.Struct({
                name: Schema.String,
                unit: Schema.String,
                description: Schema.String,
                sum: Schema.optionalKey(Points),
                gauge: Schema.optionalKey(Points),
                histogram: Schema.optionalKey(Points)
              })
            )
          })
        )
      })
    )
  })
)

describe("through OTLP", () => {
  /** What a collector gets, export by export, of a program that closes at its end. */
  const exported = (temporality: OtlpMetrics.AggregationTemporality) =>
    Effect.gen(function* () {
      const bodies: Array<string> = []
      const collector = yield* serve((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => void chunks.push(chunk))
        request.on("end", () => {
          bodies.push(Buffer.concat(chunks).toString())
          response.setHeader("content-type", "application/json")
          response.end("{}")
        })
      })
      const otlp = OtlpMetrics.layer({
        url: `${collector.origin}/v1/metrics`,
        resource: { serviceName: "shop" },
        exportInterval: "1 hour",
        temporality
      }).pipe(Layer.provide([FetchHttpClient.layer, OtlpSerialization.layerJson]))
      const flush = Effect.flatMap(OtlpExporter.Flusher, (flusher) => flusher.flush)
      yield* calling(Effect.andThen(flush, flush), otlp)
      return yield* Effect.forEach(bodies, (body) =>
        Effect.map(Schema.decodeEffect(Exported)(body), ({ resourceMetrics }) =>
          resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
        )
      )
    }).pipe(Effect.scoped)

  it.live("they have the catalogue's units, buckets and kinds, and the last export has what the calls came to", () =>
    Effect.gen(function* () {
      const [, second = [], last = []] = yield* exported("cumulative")
      const own = second.filter(({ name }) => /^(holdfast|http)\./.test(name))
      assert.deepStrictEqual(own.map(({ name }) => name).sort(), Object.keys(Metrics.catalogue).sort())
      const definitions: { readonly [name: string]: Metrics.Definition } = Metrics.catalogue
      for (const { description, gauge, histogram, name, sum, unit } of own) {
        const definition = definitions[name]
        assert.strictEqual(unit, definition?.unit, name)
        assert.strictEqual(description, definition?.description, name)
        if (definition?.kind === "histogram") {
          assert.strictEqual(histogram?.aggregationTemporality, 2)
          for (const { bucketCounts = [], count, explicitBounds } of histogram?.dataPoints ?? []) {
            assert.deepStrictEqual(explicitBounds, definition.boundaries, name)
            assert.strictEqual(bucketCounts.length, (definition.boundaries?.length ?? 0) + 1)
            assert.strictEqual(
              bucketCounts.reduce((sum, count) => sum + count, 0),
              count
            )
          }
        } else if (definition?.kind === "gauge" || (definition?.source === "pools" && sum === undefined)) {
          // what pools have is a gauge to the registry; the toolkit's own exporter makes a sum of it where it is one
          assert.isAbove(gauge?.dataPoints.length ?? 0, 0, name)
        } else {
          assert.strictEqual(sum?.aggregationTemporality, 2)
          assert.strictEqual(sum?.isMonotonic ?? false, definition?.kind === "counter", name)
        }
      }
      const calls = last.find(({ name }) => name === "holdfast.calls")
      assert.strictEqual(
        calls?.sum?.dataPoints.reduce((total, { asDouble = 0 }) => total + asDouble, 0),
        12,
        "the upstreams have left, and their last figures have not"
      )
    })
  )

  it.live("as deltas, an export says what has come since the one before", () =>
    Effect.gen(function* () {
      const [first = [], second = []] = yield* exported("delta")
      const of = (metrics: typeof first) => {
        const duration = metrics.find(({ name }) => name === "holdfast.call.duration")?.histogram
        const counts = duration?.dataPoints.map(({ count = 0 }) => count) ?? []
        return [duration?.aggregationTemporality, counts.reduce((sum, count) => sum + count, 0)]
      }
      assert.deepStrictEqual(
        [of(first), of(second)],
        [
          // one of the twelve was refused
          [1, 11],
          [1, 0]
        ]
      )
    })
  )
})

describe("the dashboard", () => {
  it.effect("shows every metric of the toolkit", () =>
    Effect.gen(function* () {
      const asked = namesIn(yield* dashboardQueries).map((name) => name.replace(/_(bucket|sum|count)$/, ""))
      const definitions = Object.keys(Metrics.catalogue)
      assert.deepStrictEqual(
        definitions.filter((name) => !asked.includes(Prometheus.nameOf(name as Metrics.Name))),
        []
      )
    })
  )

  it.effect("has panels with an id each, none upon another", () =>
    Effect.gen(function* () {
      const { panels, schemaVersion } = yield* dashboard
      assert.strictEqual(schemaVersion, 42)
      assert.strictEqual(new Set(panels.map(({ id }) => id)).size, panels.length)
      const cells = panels.flatMap(({ gridPos: { h, w, x, y } }) =>
        Array.from({ length: h * w }, (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`)
      )
      assert.strictEqual(new Set(cells).size, cells.length)
    })
  )
})

describe.skipIf(isMissing)("the rules", () => {
  it("are such as Prometheus loads", () => {
    const { isContent, said } = promtool(["check", "rules", rulesFile])
    assert.isTrue(isContent, said)
  })

  it("alert when they should, and not before", () => {
    const { isContent, said } = promtool([
      "test",
      "rules",
      fileURLToPath(new URL("./prometheus/alerts.yml", import.meta.url))
    ])
    assert.isTrue(isContent, said)
  })

  it.effect("and the queries of the dashboard are in PromQL", () =>
    Effect.gen(function* () {
      const queries = (yield* dashboardQueries).map((query) => query.replaceAll("$__rate_interval", "5m"))
      const rules = queries.map((expr, index) => ({ record: `panel:query:${index}`, expr }))
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-rules-"))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
      )
      const file = join(folder, "dashboard.yml")
      // JSON is YAML too
      writeFileSync(file, JSON.stringify({ groups: [{ name: "dashboard", rules }] }))
      const { isContent, said } = promtool(["check", "rules", file])
      assert.isTrue(isContent, said)
    })
  )
})

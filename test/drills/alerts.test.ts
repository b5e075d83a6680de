/**
 * What the alerts say of an upstream that is well, ill and well again: real calls over real sockets, the page, and a real Prometheus
 * that scrapes it and runs the rules, with a second for each of their minutes. All cases run at once, each with an upstream of its own.
 */
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Metric } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { Backoff, CircuitBreaker, HttpPolicy, Upstream } from "holdfast"
import { NodeTransport } from "holdfast/node"
import { MemoryTracer, Metrics, Prometheus } from "holdfast/telemetry"
import { isInstalled, startPrometheus } from "../prometheus/server.ts"
import { type Handler, serve } from "../support/direct.ts"

const isMissing = !isInstalled()
const isRequired = (process.env["CI"] ?? "") !== "" || process.env["HOLDFAST_REQUIRE_PROMTOOL"] === "1"

if (isMissing && !isRequired) {
  console.warn("skipped: no prometheus on this machine, so what the alerts say of real faults is not tested")
}

const rulesFile = fileURLToPath(new URL("../../packages/telemetry/rules/holdfast.rules.yml", import.meta.url))

/** How long all of it goes on; the alert that takes longest holds for ten seconds, of a rate over five. */
const drillMillis = 32_000

/** When the upstream that recovers does. */
const healMillis = 12_000

interface Case {
  readonly name: string
  readonly answer: Handler
  /** After which the caller leaves. */
  readonly patience?: number
  readonly must: ReadonlyArray<string>
  /** What an outage may set off beside that. */
  readonly may: ReadonlyArray<string>
  readonly isWellAtEnd: boolean
}

const withOutage = [
  "HoldfastCircuitNotClosed",
  "HoldfastCircuitFlapping",
  "HoldfastRefusing",
  "HoldfastRetryBudgetSpent",
  "HoldfastDeadlinesMissed"
]

const answering =
  (status: number, delayMillis = 0): Handler =>
  (_, response) => {
    response.statusCode = status
    if (delayMillis === 0) response.end("{}")
    else setTimeout(() => response.end("{}"), delayMillis)
  }

const well = answering(200)

/** One of so many is answered otherwise. */
const everyOther = (count: number, other: Handler): Handler => {
  let seen = 0
  return (request, response) => (++seen % count === 0 ? other : well)(request, response)
}

const drill = { begunMillis: 0 }

const sinceBegunMillis = (): number => performance.now() - drill.begunMillis

const cases: ReadonlyArray<Case> = [
  { name: "healthy", answer: well, must: [], may: [], isWellAtEnd: true },
  { name: "five-percent", answer: everyOther(20, answering(503)), must: [], may: [], isWellAtEnd: true },
  // what is slow is the caller's to say: there is no alert for it, and a panel
  { name: "slow", answer: answering(200, 400), must: [], may: [], isWellAtEnd: true },
  {
    name: "resets",
    answer: (request) => request.socket.resetAndDestroy(),
    must: ["HoldfastUpstreamFailing", "HoldfastCircuitNotClosed"],
    may: withOutage,
    isWellAtEnd: false
  },
  {
    name: "outage",
    answer: answering(503),
    must: ["HoldfastUpstreamFailing", "HoldfastCircuitNotClosed", "HoldfastRefusing"],
    may: withOutage,
    isWellAtEnd: false
  },
  { name: "hang", answer: () => {}, patience: 1_300, must: ["HoldfastCallersGiveUp"], may: [], isWellAtEnd: false },
  { name: "rejections", answer: everyOther(2, answering(422)), must: [], may: [], isWellAtEnd: true },
  {
    name: "recovery",
    answer: (request, response) => (sinceBegunMillis() < healMillis ? answering(503) : well)(request, response),
    must: ["HoldfastUpstreamFailing"],
    may: withOutage,
    isWellAtEnd: true
  }
]

const policy = HttpPolicy.standard({
  deadline: "10 seconds",
  attemptTimeout: { limit: "5 seconds" },
  retry: { schedule: Backoff.exponential({ base: "10 millis", cap: "50 millis" }) },
  breaker: { trip: [CircuitBreaker.consecutiveFailures(10)], openTime: "1 second" }
})

/** Ten calls a second until the drill is over, whatever becomes of them. */
const load = ({ answer, name, patience }: Case) =>
  Effect.gen(function* () {
    const { origin } = yield* serve((request, response) => {
      request.resume()
      answer(request, response)
    })
    const upstream = yield* Upstream.make(name, { baseUrl: origin, policy })
    const ended = Effect.ignore(upstream.get("/x"))
    const call = patience === undefined ? ended : Effect.asVoid(Effect.timeoutOption(ended, patience))
    while (sinceBegunMillis() < drillMillis) {
      yield* Effect.forkScoped(call)
      yield* Effect.sleep("100 millis")
    }
  })

it.live.skipIf(isMissing && !isRequired)(
  "alerts fire for what is wrong with an upstream, for nothing else, and end with it",
  () =>
    Effect.gen(function* () {
      assert.isFalse(isMissing, "no prometheus on the PATH: install it (Debian, Ubuntu: apt-get install prometheus)")
      const page = yield* Layer.build(
        HttpRouter.serve(Prometheus.layer(), { disableLogger: true, disableListenLog: true }).pipe(
          Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
        )
      )
      const url = yield* Effect.provideContext(HttpServer.addressFormattedWith(Effect.succeed), page)
      const prometheus = yield* startPrometheus(new URL(url).host, rulesFile)
      drill.begunMillis = performance.now()
      yield* Effect.forEach(cases, load, { concurrency: "unbounded", discard: true })

      // a busy machine is late with some of them; a page that is not understood fails them all
      const [scraped] = yield* prometheus.query("avg_over_time(up[5m])")
      assert.isAbove(scraped?.value ?? 0, 0.5, yield* prometheus.scrapeError)
      const asked = { headers: { accept: "application/openmetrics-text" } }
      const shown = yield* Effect.promise(async () => (await fetch(`${url}/metrics`, asked)).text())
      assert.match(shown, / # \{trace_id="/, "what was scraped has exemplars")
      const firing = (expr: string) =>
        Effect.map(prometheus.query(expr), (found) => (upstream: string) => [
          ...new Set(
            found
              .filter(({ labels }) => labels["holdfast_upstream"] === upstream)
              .map(({ labels }) => labels["alertname"] ?? "")
          )
        ])
      const ever = yield* firing('count_over_time(ALERTS{alertstate="firing"}[5m])')
      const atEnd = yield* firing('ALERTS{alertstate="firing"}')
      const rows = cases.map((row) => ({ ...row, fired: ever(row.name).toSorted(), left: atEnd(row.name) }))
      console.log(
        rows
          .map(
            ({ fired, must, name }) =>
              `${name.padEnd(13)} must ${must.join(", ") || "none"}; fired ${fired.join(", ") || "none"}`
          )
          .join("\n")
      )
      for (const { fired, isWellAtEnd, left, may, must, name } of rows) {
        assert.includeMembers(fired, [...must], `${name}: what must fire`)
        const stray = fired.filter((alert) => !must.includes(alert) && !may.includes(alert))
        assert.deepStrictEqual(stray, [], `${name}: what must not fire`)
        if (isWellAtEnd) assert.deepStrictEqual(left, [], `${name}: what must have ended`)
      }
    }).pipe(
      // with spans, so that what Prometheus scrapes has exemplars
      Effect.provide(Layer.provideMerge(NodeTransport.layer(), Layer.merge(Metrics.layer(), MemoryTracer.layer()))),
      Effect.scoped,
      Effect.provideService(Metric.MetricRegistry, new Map())
    ),
  120_000
)

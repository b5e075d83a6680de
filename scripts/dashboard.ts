// The Grafana dashboard that the telemetry package ships, from the catalogue of metrics: a metric that is renamed or gone does
// not compile here. It is plain JSON of Grafana's schema 42, without its SDK.

import { type Metrics, Prometheus } from "holdfast/telemetry"
import { failed, interrupted } from "./alertRules.ts"

interface Panel {
  readonly title: string
  readonly description: string
  readonly type: "timeseries" | "state-timeline"
  readonly unit: string
  readonly targets: ReadonlyArray<{ readonly expr: string; readonly legend: string }>
  readonly isStacked?: boolean
}

interface Row {
  readonly title: string
  readonly panels: ReadonlyArray<Panel>
}

const ofUpstream = 'job=~"$job",holdfast_upstream=~"$upstream",holdfast_policy=""'
const ofPolicy = 'job=~"$job",holdfast_policy!=""'
const ofOperation = `${ofUpstream},holdfast_operation=~"$operation"`

const selector = (name: string, where: string, more = ""): string => `${name}{${where}${more === "" ? "" : `,${more}`}}`

/** Events a second of a counter. */
const rate = (metric: Metrics.Name, by: string, where = ofOperation, more = ""): string =>
  `sum by (${by}) (rate(${selector(Prometheus.nameOf(metric), where, more)}[$__rate_interval]))`

const quantile = (q: number, metric: Metrics.Name, by: string, where = ofOperation, more = ""): string => {
  const buckets = selector(`${Prometheus.nameOf(metric)}_bucket`, where, more)
  return `histogram_quantile(${q}, sum by (le, ${by}) (rate(${buckets}[$__rate_interval])))`
}

const gauge = (metric: Metrics.Name, by: string, how: "sum" | "min" | "max", where = ofUpstream): string =>
  `${how} by (${by}) (${selector(Prometheus.nameOf(metric), where)})`

const upstream = "holdfast_upstream"
const operation = "holdfast_upstream, holdfast_operation"
const endpoint = "holdfast_upstream, server_address, server_port"

const named = "{{holdfast_upstream}}"
const operationNamed = "{{holdfast_upstream}} {{holdfast_operation}}"
const endpointNamed = "{{holdfast_upstream}} {{server_address}}:{{server_port}}"

const one = (
  title: string,
  description: string,
  unit: string,
  expr: string,
  legend: string,
  more: { readonly isStacked?: boolean; readonly type?: Panel["type"] } = {}
): Panel => ({ title, description, type: "timeseries", unit, targets: [{ expr, legend }], ...more })

const several = (title: string, description: string, unit: string, targets: Panel["targets"]): Panel => ({
  title,
  description,
  type: "timeseries",
  unit,
  targets
})

const quantiles = (metric: Metrics.Name, by: string, legend: string, where?: string, more?: string): Panel["targets"] =>
  [0.5, 0.95, 0.99].map((q) => ({
    expr: quantile(q, metric, by, where, more),
    legend: `p${q * 100} ${legend}`
  }))

const judged = 'holdfast_outcome!="interrupted"'

const rows: ReadonlyArray<Row> = [
  {
    title: "Traffic, errors, latency",
    panels: [
      one(
        "Calls by outcome",
        "Calls that ended, a second. An interrupted one was left by who called it.",
        "reqps",
        rate("holdfast.upstream.calls", "holdfast_upstream, holdfast_outcome, holdfast_nature", ofUpstream),
        "{{holdfast_upstream}} {{holdfast_outcome}} {{holdfast_nature}}",
        { isStacked: true }
      ),
      one(
        "Failed calls",
        "Share of the calls that failed, of those that were not interrupted. What whoever calls has made wrong himself is none.",
        "percentunit",
        `${rate("holdfast.upstream.calls", upstream, ofUpstream, failed)} / ${rate("holdfast.upstream.calls", upstream, ofUpstream, judged)}`,
        named
      ),
      one(
        "Calls that were given up",
        "Share of all calls that whoever made them left. Many that are old: the upstream hangs.",
        "percentunit",
        `${rate("holdfast.upstream.calls", upstream, ofUpstream, interrupted)} / ${rate("holdfast.upstream.calls", upstream, ofUpstream)}`,
        named
      ),
      several(
        "Age of calls that were given up",
        "How long callers had waited.",
        "s",
        quantiles("holdfast.call.duration", upstream, named, ofOperation, interrupted)
      ),
      several(
        "Duration of calls",
        "With all attempts and waits; without what was refused before anything was sent.",
        "s",
        quantiles("holdfast.call.duration", upstream, named, ofOperation, judged)
      ),
      one(
        "Calls in flight",
        "Under way, those that wait among them.",
        "short",
        gauge("holdfast.call.in_flight", upstream, "sum"),
        named
      )
    ]
  },
  {
    title: "By operation",
    panels: [
      one("Calls", "Calls that ended, a second.", "reqps", rate("holdfast.calls", operation), operationNamed),
      one(
        "Failed calls by code",
        "Codes of the error catalogue.",
        "reqps",
        rate("holdfast.calls", `${operation}, error_type`, ofOperation, 'holdfast_outcome="failure"'),
        `${operationNamed} {{error_type}}`
      ),
      one(
        "Slowest 1 %",
        "99th percentile of the duration of calls.",
        "s",
        quantile(0.99, "holdfast.call.duration", operation, ofOperation, judged),
        operationNamed
      ),
      one(
        "Missed deadlines",
        "Calls that failed because their deadline had come, or left no time for another attempt.",
        "reqps",
        rate("holdfast.deadline.misses", operation),
        operationNamed
      )
    ]
  },
  {
    title: "Attempts on the wire",
    panels: [
      one(
        "Attempts by kind",
        "Retries and hedges are load that the upstream would not have otherwise.",
        "reqps",
        rate("holdfast.attempts", "holdfast_upstream, holdfast_attempt_kind"),
        "{{holdfast_upstream}} {{holdfast_attempt_kind}}",
        { isStacked: true }
      ),
      one(
        "Requests by status",
        "Without a status: the attempt never got one.",
        "reqps",
        `sum by (holdfast_upstream, http_response_status_code) (rate(${selector(`${Prometheus.nameOf("http.client.request.duration")}_count`, ofUpstream)}[$__rate_interval]))`,
        "{{holdfast_upstream}} {{http_response_status_code}}"
      ),
      several(
        "Duration of requests",
        "Each attempt for itself, from when it has its connection; without those that were cancelled.",
        "s",
        quantiles("http.client.request.duration", upstream, named, ofUpstream, judged)
      ),
      several(
        "Waits for a connection",
        "For one that is free, or until a new one is made.",
        "s",
        quantiles("holdfast.connection.wait", endpoint, endpointNamed, ofUpstream)
      ),
      one(
        "Requests in flight",
        "Attempts that are with the transport.",
        "short",
        gauge("http.client.active_requests", upstream, "sum"),
        named
      ),
      several(
        "Size of bodies",
        "Mean over the interval. Only where they are measured: the option bodySizes.",
        "bytes",
        [
          { expr: mean("http.client.request.body.size"), legend: `sent ${named}` },
          { expr: mean("http.client.response.body.size"), legend: `read ${named}` }
        ]
      ),
      one(
        "Joined calls",
        "Calls that joined an equal one under way, and cost the upstream nothing.",
        "reqps",
        rate("holdfast.single_flight.joins", operation),
        operationNamed
      )
    ]
  },
  {
    title: "Retries, hedges, refusals",
    panels: [
      one(
        "Retries by cause",
        "What made a further attempt necessary.",
        "reqps",
        rate("holdfast.retries", "holdfast_upstream, error_type"),
        "{{holdfast_upstream}} {{error_type}}",
        { isStacked: true }
      ),
      one(
        "Why calls gave up",
        "Failed calls by why no further attempt was made.",
        "reqps",
        rate("holdfast.retry.stops", "holdfast_upstream, holdfast_retry_stopped"),
        "{{holdfast_upstream}} {{holdfast_retry_stopped}}",
        { isStacked: true }
      ),
      several(
        "Wait before retries",
        "Back-off, or as long as the server asked.",
        "s",
        quantiles("holdfast.retry.delay", upstream, named)
      ),
      several("Retry budget", "At zero, no retry and no hedge is paid for.", "short", [
        { expr: gauge("holdfast.retry_budget.balance", upstream, "min"), legend: `least balance ${named}` },
        { expr: gauge("holdfast.retry_budget.in_flight", upstream, "sum"), legend: `in flight ${named}` }
      ]),
      several("Hedges", "A hedge that seldom wins is load without use.", "reqps", [
        { expr: rate("holdfast.hedges", upstream), legend: `sent ${named}` },
        { expr: rate("holdfast.hedge.wins", upstream), legend: `won ${named}` }
      ]),
      one(
        "Refusals by stage",
        "Nothing was sent.",
        "reqps",
        rate("holdfast.refusals", "holdfast_upstream, holdfast_stage"),
        "{{holdfast_upstream}} {{holdfast_stage}}",
        { isStacked: true }
      ),
      one(
        "Refused by stages, observing ones too",
        "What a stage refused, or in mode observe would have: the share of what came to it.",
        "percentunit",
        `${rate("holdfast.stage.refused", "holdfast_upstream, holdfast_stage", ofUpstream)} / (${rate("holdfast.stage.admitted", "holdfast_upstream, holdfast_stage", ofUpstream)} + ${rate("holdfast.stage.refused", "holdfast_upstream, holdfast_stage", ofUpstream)})`,
        "{{holdfast_upstream}} {{holdfast_stage}}"
      ),
      several(
        "Waits in queues",
        "Of those that waited for the rate limit or the bulkhead.",
        "s",
        quantiles(
          "holdfast.queue.duration",
          "holdfast_upstream, holdfast_stage",
          "{{holdfast_upstream}} {{holdfast_stage}}"
        )
      )
    ]
  },
  {
    title: "Circuits, limits, budgets",
    panels: [
      one(
        "Circuits",
        "Processes whose circuit is in the state.",
        "short",
        gauge("holdfast.circuit.state", `${endpoint}, holdfast_circuit_state`, "sum"),
        `${endpointNamed} {{holdfast_circuit_state}}`,
        { type: "state-timeline" }
      ),
      one(
        "Changes of circuits",
        "How often they went into a state, in 15 minutes.",
        "short",
        `sum by (${endpoint}, holdfast_circuit_state) (increase(${selector(Prometheus.nameOf("holdfast.circuit.transitions"), ofUpstream)}[15m]))`,
        `${endpointNamed} {{holdfast_circuit_state}}`
      ),
      one(
        "Let through by circuits",
        "The least of all processes: 1 closed, 0 open, between them while it recovers.",
        "percentunit",
        gauge("holdfast.circuit.share", endpoint, "min"),
        endpointNamed
      ),
      one(
        "Shed by the throttle",
        "How likely an attempt is shed, by how much it matters.",
        "percentunit",
        gauge("holdfast.throttle.probability", `${endpoint}, holdfast_criticality`, "max"),
        `${endpointNamed} {{holdfast_criticality}}`
      ),
      several("Bulkheads", "Summed over processes.", "short", [
        { expr: gauge("holdfast.bulkhead.in_flight", endpoint, "sum"), legend: `in flight ${endpointNamed}` },
        { expr: gauge("holdfast.bulkhead.waiting", endpoint, "sum"), legend: `waiting ${endpointNamed}` },
        { expr: gauge("holdfast.bulkhead.limit", endpoint, "sum"), legend: `limit ${endpointNamed}` }
      ]),
      several("Adaptive limits", "Summed over processes.", "short", [
        {
          expr: gauge("holdfast.adaptive_concurrency.in_flight", endpoint, "sum"),
          legend: `in flight ${endpointNamed}`
        },
        { expr: gauge("holdfast.adaptive_concurrency.limit", endpoint, "sum"), legend: `limit ${endpointNamed}` }
      ]),
      several("Rate limits", "Summed over processes.", "short", [
        { expr: gauge("holdfast.rate_limit.remaining", upstream, "sum"), legend: `remaining ${named}` },
        { expr: gauge("holdfast.rate_limit.waiting", upstream, "sum"), legend: `waiting ${named}` },
        { expr: gauge("holdfast.rate_limit.limit", upstream, "sum"), legend: `limit ${named}` }
      ]),
      several("Learned times", "The longest of all processes.", "s", [
        { expr: gauge("holdfast.attempt_timeout.limit", endpoint, "max"), legend: `attempt ${endpointNamed}` },
        { expr: gauge("holdfast.hedge.delay", endpoint, "max"), legend: `hedge ${endpointNamed}` }
      ]),
      several("Shared runs", "Runs that calls can join, and calls that wait for them.", "short", [
        { expr: gauge("holdfast.single_flight.in_flight", upstream, "sum"), legend: `runs ${named}` },
        { expr: gauge("holdfast.single_flight.waiting", upstream, "sum"), legend: `waiting ${named}` }
      ])
    ]
  },
  {
    title: "Policies that stand by themselves",
    panels: [
      one(
        "Circuits of policies",
        "Processes whose circuit is in the state.",
        "short",
        gauge("holdfast.circuit.state", "holdfast_policy, holdfast_circuit_state", "sum", ofPolicy),
        "{{holdfast_policy}} {{holdfast_circuit_state}}",
        { type: "state-timeline" }
      ),
      several("Bulkheads of policies", "Summed over processes.", "short", [
        {
          expr: gauge("holdfast.bulkhead.in_flight", "holdfast_policy", "sum", ofPolicy),
          legend: "in flight {{holdfast_policy}}"
        },
        {
          expr: gauge("holdfast.bulkhead.waiting", "holdfast_policy", "sum", ofPolicy),
          legend: "waiting {{holdfast_policy}}"
        },
        {
          expr: gauge("holdfast.bulkhead.limit", "holdfast_policy", "sum", ofPolicy),
          legend: "limit {{holdfast_policy}}"
        }
      ]),
      one(
        "Refused by policies",
        "What a policy refused, or in mode observe would have.",
        "reqps",
        rate("holdfast.stage.refused", "holdfast_policy, holdfast_stage", ofPolicy),
        "{{holdfast_policy}} {{holdfast_stage}}",
        { isStacked: true }
      ),
      several("Timeouts, retries and fallbacks of policies", "What they did about failures.", "reqps", [
        {
          expr: rate("holdfast.attempt_timeout.timeouts", "holdfast_policy", ofPolicy),
          legend: "timed out {{holdfast_policy}}"
        },
        { expr: rate("holdfast.retries", "holdfast_policy", ofPolicy), legend: "retried {{holdfast_policy}}" },
        {
          expr: rate("holdfast.fallbacks", "holdfast_policy, holdfast_fallback_result", ofPolicy),
          legend: "fallback {{holdfast_fallback_result}} {{holdfast_policy}}"
        }
      ])
    ]
  },
  {
    title: "Connections and bodies",
    panels: [
      several("Connections", "Summed over processes.", "short", [
        {
          expr: gauge("http.client.open_connections", `${endpoint}, http_connection_state`, "sum"),
          legend: `{{http_connection_state}} ${endpointNamed}`
        },
        { expr: gauge("holdfast.pool.limit", endpoint, "sum"), legend: `limit ${endpointNamed}` },
        { expr: gauge("holdfast.pool.opening", endpoint, "sum"), legend: `opening ${endpointNamed}` },
        { expr: gauge("holdfast.pool.retiring", endpoint, "sum"), legend: `retiring ${endpointNamed}` }
      ]),
      several("Exchanges", "Those that wait have no connection yet.", "short", [
        { expr: gauge("holdfast.pool.in_flight", endpoint, "sum"), legend: `in flight ${endpointNamed}` },
        { expr: gauge("holdfast.pool.waiting", endpoint, "sum"), legend: `waiting ${endpointNamed}` }
      ]),
      several("How long connections live", "Told when they are closed.", "s", [
        {
          expr: quantile(0.5, "http.client.connection.duration", endpoint, ofUpstream),
          legend: `p50 ${endpointNamed}`
        },
        {
          expr: quantile(0.99, "http.client.connection.duration", endpoint, ofUpstream),
          legend: `p99 ${endpointNamed}`
        }
      ]),
      several("Streamed bodies", "Each holds a connection until it is read or left.", "short", [
        { expr: gauge("holdfast.body.open", upstream, "sum"), legend: `open ${named}` },
        { expr: gauge("holdfast.body.unread", upstream, "sum"), legend: `unread ${named}` }
      ]),
      one(
        "Forgotten bodies",
        "Found unread after too long: a leak in the program that calls.",
        "short",
        `sum by (${upstream}) (increase(${selector(Prometheus.nameOf("holdfast.body.forgotten"), ofUpstream)}[$__rate_interval]))`,
        named
      )
    ]
  }
]

function mean(metric: Metrics.Name): string {
  const name = Prometheus.nameOf(metric)
  const of = (part: string) =>
    `sum by (${upstream}) (rate(${selector(`${name}_${part}`, ofUpstream)}[$__rate_interval]))`
  return `${of("sum")} / ${of("count")}`
}

const datasource = { type: "prometheus", uid: "${datasource}" }

const refId = (index: number): string => String.fromCharCode("A".charCodeAt(0) + index)

const panelJson = (panel: Panel, id: number, x: number, y: number): object => ({
  id,
  type: panel.type,
  title: panel.title,
  description: panel.description,
  datasource,
  gridPos: { h: 8, w: 12, x, y },
  fieldConfig: {
    defaults: {
      unit: panel.unit,
      min: 0,
      custom:
        panel.type === "timeseries" && panel.isStacked === true ? { fillOpacity: 30, stacking: { mode: "normal" } } : {}
    },
    overrides: []
  },
  options:
    panel.type === "timeseries"
      ? { legend: { displayMode: "list", placement: "bottom" }, tooltip: { mode: "multi", sort: "desc" } }
      : { legend: { displayMode: "list", placement: "bottom" }, mergeValues: true, showValue: "never" },
  targets: panel.targets.map(({ expr, legend }, index) => ({
    refId: refId(index),
    datasource,
    editorMode: "code",
    expr,
    legendFormat: legend,
    range: true
  }))
})

const panelHeight = 8

/** Rows of two panels beside each other. */
const layOut = (): ReadonlyArray<object> => {
  const laid: Array<object> = []
  let y = 0
  for (const row of rows) {
    laid.push({
      id: laid.length + 1,
      type: "row",
      title: row.title,
      collapsed: false,
      gridPos: { h: 1, w: 24, x: 0, y },
      panels: []
    })
    y++
    row.panels.forEach((panel, index) => {
      const line = Math.floor(index / 2)
      laid.push(panelJson(panel, laid.length + 1, (index % 2) * 12, y + line * panelHeight))
    })
    y += Math.ceil(row.panels.length / 2) * panelHeight
  }
  return laid
}

const variable = (name: string, label: string, query: string) => ({
  name,
  label,
  type: "query",
  datasource,
  query: { query, refId: name },
  definition: query,
  refresh: 2,
  sort: 1,
  multi: true,
  includeAll: true,
  allValue: ".*",
  current: { text: ["All"], value: ["$__all"] }
})

const calls = Prometheus.nameOf("holdfast.calls")
const upstreamCalls = Prometheus.nameOf("holdfast.upstream.calls")

export const dashboard = (): string =>
  `${JSON.stringify(
    {
      uid: "holdfast",
      title: "Holdfast: outgoing calls",
      description: "Calls to upstreams: traffic, errors, latency, and what the policies did.",
      tags: ["holdfast"],
      schemaVersion: 42,
      version: 1,
      editable: true,
      timezone: "browser",
      graphTooltip: 1,
      refresh: "30s",
      time: { from: "now-1h", to: "now" },
      templating: {
        list: [
          { name: "datasource", label: "Data source", type: "datasource", query: "prometheus", current: {} },
          variable("job", "Job", `label_values(${upstreamCalls}, job)`),
          variable("upstream", "Upstream", `label_values(${upstreamCalls}{job=~"$job"}, holdfast_upstream)`),
          variable("operation", "Operation", `label_values(${calls}{${ofUpstream}}, holdfast_operation)`)
        ]
      },
      annotations: { list: [] },
      links: [],
      panels: layOut()
    },
    undefined,
    2
  )}\n`

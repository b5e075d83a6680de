// The Prometheus rules that the telemetry package ships, from the catalogue of metrics.

import { type Metrics, Prometheus } from "holdfast/telemetry"

interface Recording {
  readonly record: string
  readonly expr: string
}

interface Alert {
  readonly alert: string
  readonly expr: string
  /** How long it has to hold. Left out: an instant is enough. */
  readonly for?: string
  readonly severity: "critical" | "warning"
  readonly summary: string
  readonly description: string
}

const name = Prometheus.nameOf

const byUpstream = "job, holdfast_upstream"
const byEndpoint = "job, holdfast_upstream, server_address, server_port"

const rate = (metric: Metrics.Name, by: string, where = ""): string =>
  `sum by (${by}) (rate(${name(metric)}${where === "" ? "" : `{${where}}`}[5m]))`

const p99 = (metric: Metrics.Name, by: string, where = ""): string =>
  `histogram_quantile(0.99, sum by (le, ${by}) (rate(${name(metric)}_bucket${where === "" ? "" : `{${where}}`}[5m])))`

const judged = 'holdfast_outcome!="interrupted"'

/**
 * What counts as a failure of an upstream, here and on the dashboard: whatever failed, but what whoever calls has made wrong himself,
 * which says nothing of the upstream.
 */
export const failed = 'holdfast_outcome="failure",holdfast_nature!="caller"'

export const interrupted = 'holdfast_outcome="interrupted"'

const calls = "job_holdfast_upstream:holdfast_calls:rate5m"
const abandoned = "job_holdfast_upstream:holdfast_calls_abandoned:ratio_rate5m"
const patience = "job_holdfast_upstream:holdfast_call_abandoned_seconds:mean_rate5m"
const failures = "job_holdfast_upstream:holdfast_call_failures:ratio_rate5m"
const slowest = "job_holdfast_upstream:holdfast_call_duration_seconds:p99_5m"
const slowestByOperation = "job_holdfast_upstream_holdfast_operation:holdfast_call_duration_seconds:p99_5m"
const retries = "job_holdfast_upstream:holdfast_retries:ratio_rate5m"
const refusals = "job_holdfast_upstream_holdfast_stage:holdfast_refusals:rate5m"
const deadlines = "job_holdfast_upstream:holdfast_deadline_misses:ratio_rate5m"
const requests = "job_holdfast_upstream:http_client_request_duration_seconds:p99_5m"
const bulkheads = "job_instance_holdfast_upstream_holdfast_policy:holdfast_bulkhead_use:ratio"

/** An upstream, or a policy that stands by itself: one of the two labels is always empty. */
const whose = "holdfast_upstream, holdfast_policy"
const named = "{{ $labels.holdfast_upstream }}{{ $labels.holdfast_policy }}"

/** A series for what has not happened yet, so that a share of it is 0 and not absent. */
const orZero = (expr: string): string => `(${expr} or ${calls} * 0)`

/** Calls that ended, however they did. */
const ended = rate("holdfast.upstream.calls", byUpstream)

const recordings: ReadonlyArray<Recording> = [
  { record: calls, expr: rate("holdfast.upstream.calls", byUpstream, judged) },
  { record: failures, expr: `${orZero(rate("holdfast.upstream.calls", byUpstream, failed))} / ${calls}` },
  { record: abandoned, expr: `${rate("holdfast.upstream.calls", byUpstream, interrupted)} / ${ended}` },
  {
    record: patience,
    expr: `sum by (${byUpstream}) (rate(${name("holdfast.call.duration")}_sum{${interrupted}}[5m])) / sum by (${byUpstream}) (rate(${name("holdfast.call.duration")}_count{${interrupted}}[5m]))`
  },
  { record: slowest, expr: p99("holdfast.call.duration", byUpstream, judged) },
  { record: slowestByOperation, expr: p99("holdfast.call.duration", `${byUpstream}, holdfast_operation`, judged) },
  { record: requests, expr: p99("http.client.request.duration", byUpstream, judged) },
  { record: retries, expr: `${orZero(rate("holdfast.retries", byUpstream))} / ${calls}` },
  { record: refusals, expr: rate("holdfast.refusals", `${byUpstream}, holdfast_stage`) },
  { record: deadlines, expr: `${orZero(rate("holdfast.deadline.misses", byUpstream))} / ${calls}` },
  {
    record: bulkheads,
    expr: `max by (job, instance, holdfast_upstream, holdfast_policy) (${name("holdfast.bulkhead.in_flight")} / ${name("holdfast.bulkhead.limit")})`
  }
]

/** A share of next to nothing is no share: one failed call a night wakes nobody. */
const withTraffic = `${calls} > 0.1`

const alerts: ReadonlyArray<Alert> = [
  {
    alert: "HoldfastUpstreamFailing",
    expr: `${failures} > 0.1 and ${withTraffic}`,
    // longer than a deployment of the upstream takes to get over, and than one circuit takes to open and probe
    for: "5m",
    severity: "critical",
    summary: "{{ $value | humanizePercentage }} of the calls to {{ $labels.holdfast_upstream }} fail",
    description:
      "More than 10 % of the calls failed for 5 minutes, the caller's own mistakes aside. holdfast_calls_total by error_type says why."
  },
  {
    alert: "HoldfastCallersGiveUp",
    // who types a search leaves a call at once; who leaves after a second or more was not answered
    expr: `${abandoned} > 0.25 and ${patience} > 1 and ${ended} > 0.1`,
    for: "5m",
    severity: "critical",
    summary: "Callers give up {{ $value | humanizePercentage }} of the calls to {{ $labels.holdfast_upstream }}",
    description:
      "More than a quarter of the calls were left by whoever made them, after a second or more. An upstream that hangs fails nothing while its callers have less patience than its policy."
  },
  {
    alert: "HoldfastCircuitNotClosed",
    // half-open counts: a circuit that goes from open to half-open and back has not recovered
    expr: `sum by (job, instance, ${whose}, server_address, server_port) (${name("holdfast.circuit.state")}{holdfast_circuit_state=~"Open|HalfOpen"}) > 0`,
    for: "5m",
    severity: "warning",
    summary: `The circuit to ${named} does not close`,
    description:
      "{{ $labels.instance }} has refused most calls{{ with $labels.server_address }} to {{ . }}:{{ $labels.server_port }}{{ end }} for 5 minutes, and its probes fail."
  },
  {
    alert: "HoldfastCircuitFlapping",
    // the changes and not the states that a scrape happens to see: a circuit may open and close between two of them
    expr: `sum by (job, instance, ${whose}, server_address, server_port) (increase(${name("holdfast.circuit.transitions")}{holdfast_circuit_state="Open"}[15m])) > 5`,
    for: "5m",
    severity: "warning",
    summary: `The circuit to ${named} opens again and again`,
    description:
      "{{ $labels.instance }} has opened it {{ $value | humanize }} times in 15 minutes. The upstream answers the probes and not the calls, or the circuit trips too easily."
  },
  {
    alert: "HoldfastCircuitForced",
    expr: `max by (${byEndpoint}, holdfast_policy, holdfast_circuit_state) (${name("holdfast.circuit.state")}{holdfast_circuit_state=~"Forced.*"}) > 0`,
    // longer than the work that it was forced for should take
    for: "1h",
    severity: "warning",
    summary: `The circuit to ${named} is {{ $labels.holdfast_circuit_state }}`,
    description:
      "Somebody forced it an hour ago or more. It protects nothing, or lets nothing through, until it is released."
  },
  {
    alert: "HoldfastRetryBudgetSpent",
    expr: `${rate("holdfast.retry.stops", `job, ${whose}`, 'holdfast_retry_stopped="budget"')} > 0`,
    // a burst may spend it for a while: that is what it is for
    for: "10m",
    severity: "warning",
    summary: `The retry budget of ${named} is spent`,
    description: "Calls have failed without another try for 10 minutes, because too many were being retried already."
  },
  {
    alert: "HoldfastRefusing",
    expr: `${refusals} > on (${byUpstream}) group_left () (0.05 * ${calls}) and on (${byUpstream}) (${withTraffic})`,
    for: "10m",
    severity: "warning",
    summary: "{{ $labels.holdfast_stage }} refuses calls to {{ $labels.holdfast_upstream }}",
    description: "For 10 minutes the stage has refused more than 5 for every 100 calls. Nothing was sent for them."
  },
  {
    alert: "HoldfastDeadlinesMissed",
    expr: `${deadlines} > 0.05 and ${withTraffic}`,
    for: "10m",
    severity: "warning",
    summary: "{{ $value | humanizePercentage }} of the calls to {{ $labels.holdfast_upstream }} run out of time",
    description: "The upstream is slow, or the deadline is too short for the attempts that the policy allows."
  },
  {
    alert: "HoldfastBulkheadFull",
    expr: `${bulkheads} > 0.9`,
    for: "10m",
    severity: "warning",
    summary: `The bulkhead of ${named} is nearly full`,
    description:
      "{{ $labels.instance }} has used more than 90 % of it for 10 minutes: slower answers, or more calls than it was made for."
  },
  {
    alert: "HoldfastPoolExhausted",
    expr: `min_over_time(${name("holdfast.pool.waiting")}[1m]) > 0`,
    // waiting for one connection that is being made is no news
    for: "4m",
    severity: "warning",
    summary: "Exchanges with {{ $labels.holdfast_upstream }} wait for a connection",
    description:
      "{{ $labels.instance }} has had more exchanges than connections to {{ $labels.server_address }} for 5 minutes."
  },
  {
    alert: "HoldfastBodiesForgotten",
    // it is a fault of a program as soon as it happens
    expr: `sum by (job, instance, holdfast_upstream) (increase(${name("holdfast.body.forgotten")}[15m])) > 0`,
    severity: "warning",
    summary: "Bodies of {{ $labels.holdfast_upstream }} are taken and not read",
    description: "{{ $labels.instance }} opens streams that nobody reads. Each holds a connection."
  }
]

/** A JSON string is a YAML one. */
const text = (value: string): string => JSON.stringify(value)

const recordingYaml = ({ expr, record }: Recording): string =>
  `      - record: ${record}\n        expr: ${text(expr)}\n`

const alertYaml = (rule: Alert): string =>
  [
    `      - alert: ${rule.alert}`,
    `        expr: ${text(rule.expr)}`,
    ...(rule.for === undefined ? [] : [`        for: ${rule.for}`]),
    "        labels:",
    `          severity: ${rule.severity}`,
    "        annotations:",
    `          summary: ${text(rule.summary)}`,
    `          description: ${text(rule.description)}`,
    ""
  ].join("\n")

export const alertRules = (): string =>
  `# Made from the catalogue of metrics; thresholds and times are a start, and yours to set.
groups:
  - name: holdfast.recording
    interval: 30s
    rules:
${recordings.map(recordingYaml).join("")}  - name: holdfast.alerts
    rules:
${alerts.map(alertYaml).join("")}`

/** The instrument of a metric. An up-down counter goes both ways, and is summed like a counter. */
export type Kind = "counter" | "upDownCounter" | "histogram" | "gauge"

/**
 * The recorder of a metric: `calls` hears what becomes of calls, `upstreams` reads what their stages remember when somebody exports,
 * `policies` are of policies that stand by themselves alone, `pools` are read from the connection pools of `@holdfast/node`.
 */
export type Source = "calls" | "upstreams" | "policies" | "pools"

/** The meaning of every attribute. */
export const attributes = {
  "holdfast.upstream": "Name of the upstream",
  "holdfast.upstream.version": "Which of its versions, where it has several",
  "holdfast.policy": "Name of a policy that stands by itself, as it was registered; then there is no upstream",
  "holdfast.operation": "Method and path template, never a path",
  "holdfast.outcome": "`success`, `failure` or `interrupted`: who called went away",
  "holdfast.nature":
    "Of a failure, what kind of trouble it is by the error catalogue: `transient`, `throttle`, `timeout`, `refusal`, `caller` or `permanent`; `unknown` for what is not in it",
  "holdfast.attempt.kind": "`first`, `retry` or `hedge`",
  "holdfast.retry_stopped": "Why no further attempt was made: see `Retry.RetryStopped`",
  "holdfast.fallback.result":
    "`answered`: a failure was; `failed`: the fallback failed too; `passed`: the failure was none of its business",
  "holdfast.stage": "Stage of the policy: `breaker`, `rateLimit`, `bulkhead`, `deadline`, …",
  "holdfast.circuit.state": "State that the series stands for",
  "holdfast.criticality": "How much a call matters: `critical-plus` to `sheddable`",
  "http.request.method": "Method; `_OTHER` when it is none that is known",
  "http.response.status_code": "Status that was answered",
  "http.connection.state": "`active` or `idle`",
  "server.address": "Host of the base URL",
  "server.port": "Port of the base URL",
  "url.scheme": "`http` or `https`",
  "url.template": "Path template, below the base URL",
  "network.protocol.version": "`1.1` or `2`, where the transport can tell",
  "error.type":
    "Status where that is the failure of an attempt, code of the error catalogue otherwise; none without a failure",
  "otel.metric.overflow": "`true` on the series that takes what is beyond a bound; it lacks what had no room"
} as const

export type Attribute = keyof typeof attributes

/** One metric, and everything that is said of it anywhere. */
export interface Definition {
  readonly kind: Kind
  /** By UCUM, as OpenTelemetry writes units: `s`, `By`, `{call}`. */
  readonly unit: string
  readonly description: string
  readonly attributes: ReadonlyArray<Attribute>
  /** Upper bounds of the buckets of a histogram. */
  readonly boundaries?: ReadonlyArray<number>
  readonly source: Source
}

/** The boundaries of OpenTelemetry's conventions for HTTP metrics. */
const requestSeconds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]

/** Those of the conventions for connections. */
const connectionSeconds = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]

/** A call has several attempts and the waits between them. */
const callSeconds = [...requestSeconds, 30, 60]

/** The conventions leave these open; powers of four from a small header-like body to 64 MiB. */
const bodyBytes = [64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864]

const perOperation = ["holdfast.upstream", "holdfast.operation"] as const

const perUpstream = ["holdfast.upstream", "holdfast.upstream.version"] as const

/** Of what an upstream has once, and a policy that stands by itself has too. */
const perUpstreamOrPolicy = [...perUpstream, "holdfast.policy"] as const

/** Of what an upstream has for each endpoint, and a policy that stands by itself has too. */
const perEndpoint = [...perUpstream, "server.address", "server.port", "holdfast.policy"] as const

/** Of what an upstream tells of each operation, and a policy that stands by itself tells, too. */
const perOperationOrPolicy = [...perOperation, "holdfast.policy"] as const

const perPool = ["holdfast.upstream", "server.address", "server.port"] as const

const perRequest = [
  "holdfast.upstream",
  "holdfast.outcome",
  "http.request.method",
  "http.response.status_code",
  "error.type",
  "network.protocol.version",
  "server.address",
  "server.port",
  "url.scheme",
  "url.template"
] as const

/** Every metric of the toolkit. They are made from it, and so are the documentation, the dashboard and the rules. */
export const catalogue = {
  "http.client.request.duration": {
    kind: "histogram",
    unit: "s",
    description: "Duration of HTTP client requests, each attempt for itself, from when it has its connection",
    attributes: perRequest,
    boundaries: requestSeconds,
    source: "calls"
  },
  "http.client.active_requests": {
    kind: "upDownCounter",
    unit: "{request}",
    description: "Number of active HTTP requests",
    attributes: ["holdfast.upstream", "http.request.method", "server.address", "server.port", "url.scheme"],
    source: "calls"
  },
  "http.client.request.body.size": {
    kind: "histogram",
    unit: "By",
    description: "Size of HTTP client request bodies, where it is known before they are sent",
    attributes: perRequest,
    boundaries: bodyBytes,
    source: "calls"
  },
  "http.client.response.body.size": {
    kind: "histogram",
    unit: "By",
    description: "Size of HTTP client response bodies, as far as they were read",
    attributes: perRequest,
    boundaries: bodyBytes,
    source: "calls"
  },
  "http.client.open_connections": {
    kind: "upDownCounter",
    unit: "{connection}",
    description: "Connections that are open",
    attributes: [...perPool, "http.connection.state"],
    source: "pools"
  },
  "http.client.connection.duration": {
    kind: "histogram",
    unit: "s",
    description: "How long connections lived, told when they are closed",
    attributes: [...perPool, "network.protocol.version"],
    boundaries: connectionSeconds,
    source: "pools"
  },
  "holdfast.upstream.calls": {
    kind: "counter",
    unit: "{call}",
    description: "Calls that ended, of the upstream as a whole: each series is there as soon as the upstream is, at 0",
    attributes: ["holdfast.upstream", "holdfast.outcome", "holdfast.nature"],
    source: "calls"
  },
  "holdfast.calls": {
    kind: "counter",
    unit: "{call}",
    description: "Calls that ended",
    attributes: [...perOperation, "holdfast.outcome", "holdfast.nature", "error.type"],
    source: "calls"
  },
  "holdfast.call.duration": {
    kind: "histogram",
    unit: "s",
    description:
      "Duration of calls, with all their attempts and waits, but of those that failed before anything was sent",
    attributes: [...perOperation, "holdfast.outcome"],
    boundaries: callSeconds,
    source: "calls"
  },
  "holdfast.call.in_flight": {
    kind: "upDownCounter",
    unit: "{call}",
    description: "Calls that are under way, those that wait among them",
    attributes: ["holdfast.upstream"],
    source: "calls"
  },
  "holdfast.attempts": {
    kind: "counter",
    unit: "{attempt}",
    description: "Attempts that ended",
    attributes: [...perOperation, "holdfast.attempt.kind", "holdfast.outcome", "holdfast.nature", "error.type"],
    source: "calls"
  },
  "holdfast.retries": {
    kind: "counter",
    unit: "{retry}",
    description: "Further attempts that were decided on, by what made them necessary",
    attributes: [...perOperationOrPolicy, "error.type"],
    source: "calls"
  },
  "holdfast.retry.delay": {
    kind: "histogram",
    unit: "s",
    description: "Waits before further attempts",
    attributes: perOperationOrPolicy,
    boundaries: callSeconds,
    source: "calls"
  },
  "holdfast.retry.stops": {
    kind: "counter",
    unit: "{call}",
    description: "Calls that failed, by why no further attempt was made",
    attributes: [...perOperationOrPolicy, "holdfast.retry_stopped"],
    source: "calls"
  },
  "holdfast.retry_budget.balance": {
    kind: "gauge",
    unit: "{retry}",
    description: "Retries that the budget would pay for now",
    attributes: perUpstreamOrPolicy,
    source: "upstreams"
  },
  "holdfast.retry_budget.in_flight": {
    kind: "gauge",
    unit: "{retry}",
    description: "Retries that are being made",
    attributes: perUpstreamOrPolicy,
    source: "upstreams"
  },
  "holdfast.hedges": {
    kind: "counter",
    unit: "{hedge}",
    description: "Hedges that were sent",
    attributes: perOperationOrPolicy,
    source: "calls"
  },
  "holdfast.hedge.wins": {
    kind: "counter",
    unit: "{call}",
    description: "Calls whose answer, good or bad, a hedge gave",
    attributes: perOperationOrPolicy,
    source: "calls"
  },
  "holdfast.hedge.delay": {
    kind: "gauge",
    unit: "s",
    description: "After how long a hedge is sent; none as long as too little is known",
    attributes: perUpstreamOrPolicy,
    source: "upstreams"
  },
  "holdfast.refusals": {
    kind: "counter",
    unit: "{refusal}",
    description: "Attempts and calls that were refused on this side: nothing was sent",
    attributes: [...perOperation, "holdfast.stage", "error.type"],
    source: "calls"
  },
  "holdfast.deadline.misses": {
    kind: "counter",
    unit: "{call}",
    description: "Calls that failed because their deadline had come, or left no time for another attempt",
    attributes: perOperation,
    source: "calls"
  },
  "holdfast.queue.duration": {
    kind: "histogram",
    unit: "s",
    description: "Waits for a turn in a queue of this side",
    attributes: [...perOperationOrPolicy, "holdfast.stage"],
    boundaries: requestSeconds,
    source: "calls"
  },
  "holdfast.connection.wait": {
    kind: "histogram",
    unit: "s",
    description: "Waits of attempts for a connection: for one that is free, or until a new one is made",
    attributes: perPool,
    boundaries: requestSeconds,
    source: "calls"
  },
  "holdfast.single_flight.joins": {
    kind: "counter",
    unit: "{call}",
    description: "Calls that joined an equal one under way",
    attributes: perOperationOrPolicy,
    source: "calls"
  },
  "holdfast.single_flight.in_flight": {
    kind: "gauge",
    unit: "{call}",
    description: "Runs under way that calls can join",
    attributes: perUpstreamOrPolicy,
    source: "upstreams"
  },
  "holdfast.single_flight.waiting": {
    kind: "gauge",
    unit: "{call}",
    description: "Calls that wait for a run",
    attributes: perUpstreamOrPolicy,
    source: "upstreams"
  },
  "holdfast.stage.admitted": {
    kind: "counter",
    unit: "{request}",
    description: "What a stage let through",
    attributes: [...perEndpoint, "holdfast.stage"],
    source: "upstreams"
  },
  "holdfast.stage.refused": {
    kind: "counter",
    unit: "{request}",
    description: "What a stage refused; in mode observe, what it would have refused",
    attributes: [...perEndpoint, "holdfast.stage"],
    source: "upstreams"
  },
  "holdfast.circuit.state": {
    kind: "gauge",
    unit: "{circuit}",
    description: "State of the circuit: 1 for the one it is in, 0 for the others",
    attributes: [...perEndpoint, "holdfast.circuit.state"],
    source: "upstreams"
  },
  "holdfast.circuit.transitions": {
    kind: "counter",
    unit: "{transition}",
    description: "How often the circuit has gone into the state",
    attributes: [...perEndpoint, "holdfast.circuit.state"],
    source: "upstreams"
  },
  "holdfast.circuit.share": {
    kind: "gauge",
    unit: "1",
    description: "Share of the attempts that the circuit lets through",
    attributes: perEndpoint,
    source: "upstreams"
  },
  "holdfast.throttle.probability": {
    kind: "gauge",
    unit: "1",
    description: "How likely an attempt is shed",
    attributes: [...perEndpoint, "holdfast.criticality"],
    source: "upstreams"
  },
  "holdfast.bulkhead.limit": {
    kind: "gauge",
    unit: "{request}",
    description: "Attempts that may run at once",
    attributes: perEndpoint,
    source: "upstreams"
  },
  "holdfast.bulkhead.in_flight": {
    kind: "gauge",
    unit: "{request}",
    description: "Attempts that hold a place in the bulkhead",
    attributes: perEndpoint,
    source: "upstreams"
  },
  "holdfast.bulkhead.waiting": {
    kind: "gauge",
    unit: "{request}",
    description: "Attempts that wait for a place in the bulkhead",
    attributes: perEndpoint,
    source: "upstreams"
  },
  "holdfast.adaptive_concurrency.limit": {
    kind: "gauge",
    unit: "{request}",
    description: "Attempts that may run at once, as it was learned",
    attributes: perEndpoint,
    source: "upstreams"
  },
  "holdfast.adaptive_concurrency.in_flight": {
    kind: "gauge",
    unit: "{request}",
    description: "Attempts that hold a place in the adaptive limit",
    attributes: perEndpoint,
    source: "upstreams"
  },
  "holdfast.rate_limit.limit": {
    kind: "gauge",
    unit: "{call}",
    description: "Calls that a window of the rate limit allows",
    attributes: perUpstreamOrPolicy,
    source: "upstreams"
  },
  "holdfast.rate_limit.remaining": {
    kind: "gauge",
    unit: "{call}",
    description: "Calls that could go now without waiting",
    attributes: perUpstreamOrPolicy,
    source: "upstreams"
  },
  "holdfast.rate_limit.waiting": {
    kind: "gauge",
    unit: "{call}",
    description: "Calls that wait for their time",
    attributes: perUpstreamOrPolicy,
    source: "upstreams"
  },
  "holdfast.attempt_timeout.limit": {
    kind: "gauge",
    unit: "s",
    description: "Time that an attempt gets, as it was learned",
    attributes: perEndpoint,
    source: "upstreams"
  },
  "holdfast.attempt_timeout.timeouts": {
    kind: "counter",
    unit: "{attempt}",
    description: "Attempts that took longer than their limit; in mode observe, than the one that is not in force",
    attributes: perEndpoint,
    source: "upstreams"
  },
  "holdfast.fallbacks": {
    kind: "counter",
    unit: "{failure}",
    description: "Failures that came to a fallback; in mode observe, one that would have been answered is",
    attributes: ["holdfast.policy", "holdfast.fallback.result"],
    source: "policies"
  },
  "holdfast.body.open": {
    kind: "gauge",
    unit: "{body}",
    description: "Streamed bodies that a caller holds; each holds a connection",
    attributes: perUpstream,
    source: "upstreams"
  },
  "holdfast.body.unread": {
    kind: "gauge",
    unit: "{body}",
    description: "Streamed bodies that nobody has begun to read",
    attributes: perUpstream,
    source: "upstreams"
  },
  "holdfast.body.forgotten": {
    kind: "counter",
    unit: "{body}",
    description: "Streamed bodies that were found unread after too long",
    attributes: perUpstream,
    source: "upstreams"
  },
  "holdfast.pool.limit": {
    kind: "gauge",
    unit: "{connection}",
    description: "Connections at most",
    attributes: perPool,
    source: "pools"
  },
  "holdfast.pool.opening": {
    kind: "gauge",
    unit: "{connection}",
    description: "Connections that are being made",
    attributes: perPool,
    source: "pools"
  },
  "holdfast.pool.retiring": {
    kind: "gauge",
    unit: "{connection}",
    description: "Connections that finish what they carry, and take nothing new",
    attributes: perPool,
    source: "pools"
  },
  "holdfast.pool.in_flight": {
    kind: "gauge",
    unit: "{request}",
    description: "Exchanges that have a connection",
    attributes: perPool,
    source: "pools"
  },
  "holdfast.pool.waiting": {
    kind: "gauge",
    unit: "{request}",
    description: "Exchanges that wait for a connection",
    attributes: perPool,
    source: "pools"
  }
} as const satisfies { readonly [name: string]: Definition }

export type MetricName = keyof typeof catalogue

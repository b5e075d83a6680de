import { assert, describe, it } from "@effect/vitest"
import { type Context, Duration, Effect, Exit, Layer, Logger, Metric, Scope } from "effect"
import { TestClock } from "effect/testing"
import { CallError } from "@holdfast/core/CallError"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Reason from "@holdfast/core/Reason"
import * as CallObserver from "@holdfast/http/CallObserver"
import * as HttpPolicy from "@holdfast/http/HttpPolicy"
import * as Upstream from "@holdfast/http/Upstream"
import * as UpstreamRegistry from "@holdfast/http/UpstreamRegistry"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as Metrics from "../src/Metrics.ts"
import {
  attemptEnd,
  callEnd,
  callError,
  isolated,
  observed,
  observer,
  seriesOf,
  serviceUnavailable,
  succeed
} from "./support/observed.ts"

const connectionRefused = new Reason.ConnectionRefused({ endpoint: "stock.internal:443", phase: "connect" })

const transport = ScriptedTransport.layer({ "*": [ScriptedTransport.json({})] })

const withMetrics = (options?: Metrics.Options) => (self: Effect.Effect<void, unknown, Scope.Scope>) =>
  isolated(self.pipe(Effect.provide(Metrics.layer(options)), Effect.scoped))

const upstream = (name: string, policy?: HttpPolicy.HttpPolicy) =>
  Effect.provide(Upstream.make(name, { baseUrl: `https://${name}.internal`, ...(policy && { policy }) }), transport)

const countOf = (state: unknown): number => {
  const found = typeof state === "object" && state !== null && "count" in state ? state.count : undefined
  return typeof found === "number" ? found : Number.NaN
}

const total = (id: string) =>
  Effect.map(seriesOf(id), (series) => series.reduce((sum, { state }) => sum + countOf(state), 0))

describe("calls", () => {
  it.effect("a request has the conventions' attributes, buckets and unit, in seconds", () =>
    withMetrics({ bodySizes: true })(
      Effect.gen(function* () {
        const heard = yield* observer
        const call = observed({ method: "POST", template: "/charges/{id}", origin: "http://[::1]:8080" })
        heard.callStarted?.(call)
        heard.attemptStarted?.(call, { origin: call.origin, resend: 0, isHedge: false })
        heard.attemptEnded?.(
          call,
          attemptEnd({
            origin: call.origin,
            durationMillis: 75,
            timings: { protocol: "http/2" },
            requestBytes: 300,
            responseBytes: 2000
          })
        )
        const snapshots = yield* Metric.snapshot
        const duration = snapshots.find(({ id }) => id === "http.client.request.duration")
        assert.deepStrictEqual(duration?.attributes, {
          "holdfast.upstream": "stock",
          "holdfast.outcome": "success",
          "server.address": "::1",
          "server.port": "8080",
          "url.scheme": "http",
          "http.request.method": "POST",
          "url.template": "/charges/{id}",
          "http.response.status_code": "200",
          "network.protocol.version": "2",
          unit: "s"
        })
        assert.deepStrictEqual(duration?.state, {
          buckets: [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10].map(
            (boundary): [number, number] => [boundary, boundary >= 0.075 ? 1 : 0]
          ),
          count: 1,
          sum: 0.075,
          min: 0.075,
          max: 0.075
        })
        for (const [name, bytes] of [
          ["http.client.request.body.size", 300],
          ["http.client.response.body.size", 2000]
        ] as const) {
          const size = snapshots.find(({ id }) => id === name)
          assert.strictEqual(size?.attributes?.["unit"], "By")
          assert.deepStrictEqual(size?.type === "Histogram" && size.state.sum, bytes)
        }
      })
    )
  )

  it.effect("sizes of bodies are measured only where that is asked for", () =>
    withMetrics()(
      Effect.gen(function* () {
        const heard = yield* observer
        heard.attemptEnded?.(observed(), attemptEnd({ requestBytes: 300, responseBytes: 2000 }))
        assert.deepStrictEqual(yield* seriesOf("http.client.request.body.size"), [])
        assert.deepStrictEqual(yield* seriesOf("http.client.response.body.size"), [])
      })
    )
  )

  it.effect("a wait for a connection is measured as one, and not as the upstream's time", () =>
    withMetrics()(
      Effect.gen(function* () {
        const heard = yield* observer
        const call = observed()
        const ends = [
          attemptEnd({ durationMillis: 1200, timings: { connection: "reused", queueMillis: 1000 } }),
          attemptEnd({ durationMillis: 200, timings: { connection: "reused", queueMillis: 0 } }),
          // the way to the upstream is why
          attemptEnd({
            outcome: "failure",
            status: undefined,
            durationMillis: 300,
            reason: connectionRefused,
            timings: { queueMillis: 300 }
          }),
          // never had a connection, and nobody knows of an upstream's fault
          attemptEnd({
            outcome: "interrupted",
            status: undefined,
            durationMillis: 5000,
            timings: { queueMillis: 5000 }
          }),
          attemptEnd({
            outcome: "failure",
            status: undefined,
            durationMillis: 2000,
            reason: new Reason.AttemptTimeout({ limit: Duration.seconds(2) }),
            timings: { queueMillis: 2000 }
          })
        ]
        for (const end of ends) {
          heard.attemptStarted?.(call, end)
          heard.attemptEnded?.(call, end)
        }
        const [wait] = yield* seriesOf("holdfast.connection.wait")
        assert.deepStrictEqual(wait?.labels, {
          "holdfast.upstream": "stock",
          "server.address": "stock.internal",
          "server.port": "443"
        })
        assert.deepInclude(wait?.state, { count: 5, sum: 8.3 })
        const durations = (yield* seriesOf("http.client.request.duration")).map(({ labels, state }) => [
          labels["holdfast.outcome"],
          state
        ])
        assert.lengthOf(durations, 2)
        assert.deepInclude(durations[0]?.[1], { count: 2, sum: 0.4 })
        assert.deepInclude(durations[1]?.[1], { count: 1, sum: 0.3 })
        assert.strictEqual(yield* total("holdfast.attempts"), 5)
      })
    )
  )

  it.effect("what was refused before anything was sent makes no upstream look fast", () =>
    withMetrics()(
      Effect.gen(function* () {
        const heard = yield* observer
        const call = observed()
        const refused = (reason: Reason.Reason) => {
          const { attempts: _, ...error } = callError(reason)
          return new CallError({ ...error, attempts: 0 })
        }
        heard.callEnded?.(call, callEnd({ durationMillis: 900 }))
        heard.callEnded?.(
          call,
          callEnd({ outcome: "failure", durationMillis: 800, error: callError(serviceUnavailable) })
        )
        for (let index = 0; index < 100; index++) {
          const error = refused(new Reason.CircuitOpen({}))
          heard.callEnded?.(call, callEnd({ outcome: "failure", durationMillis: 0.1, attempts: 0, error }))
        }
        heard.attemptEnded?.(
          call,
          attemptEnd({
            outcome: "failure",
            status: undefined,
            durationMillis: 0.1,
            reason: new Reason.PoolExhausted({ endpoint: "stock.internal:443", connections: 1, queued: 1 })
          })
        )
        const counts = (yield* seriesOf("holdfast.call.duration")).map(({ state }) => countOf(state))
        assert.deepStrictEqual(counts, [1, 1])
        assert.deepStrictEqual(yield* seriesOf("http.client.request.duration"), [])
        assert.strictEqual(yield* total("holdfast.calls"), 102)
        assert.strictEqual(yield* total("holdfast.attempts"), 1)
      })
    )
  )

  it.effect("an upstream has a series for each outcome, at 0, before it is called", () =>
    withMetrics()(
      Effect.gen(function* () {
        yield* upstream("stock")
        const outcomes = Effect.map(seriesOf("holdfast.upstream.calls"), (series) =>
          Object.fromEntries(
            series.map(({ labels, state }) => [
              [labels["holdfast.outcome"], labels["holdfast.nature"]].filter(Boolean).join(" "),
              countOf(state)
            ])
          )
        )
        const none = {
          success: 0,
          interrupted: 0,
          "failure transient": 0,
          "failure throttle": 0,
          "failure timeout": 0,
          "failure refusal": 0,
          "failure caller": 0,
          "failure permanent": 0
        }
        assert.deepStrictEqual(yield* outcomes, none)
        const heard = yield* observer
        for (const end of [
          callEnd(),
          callEnd({ outcome: "interrupted" }),
          callEnd({ outcome: "failure", error: callError(serviceUnavailable) }),
          callEnd({ outcome: "failure", error: callError(new Reason.CircuitOpen({})) }),
          callEnd({ outcome: "failure" })
        ]) {
          heard.callEnded?.(observed(), end)
        }
        assert.deepStrictEqual(yield* outcomes, {
          ...none,
          success: 1,
          interrupted: 1,
          "failure transient": 1,
          "failure refusal": 1,
          "failure unknown": 1
        })
        const natures = (yield* seriesOf("holdfast.calls")).map(({ labels }) => [
          labels["error.type"],
          labels["holdfast.nature"]
        ])
        assert.deepStrictEqual(natures, [
          [undefined, undefined],
          [undefined, undefined],
          ["ERR_STATUS_SERVICE_UNAVAILABLE", "transient"],
          ["ERR_POLICY_CIRCUIT_OPEN", "refusal"],
          ["_OTHER", "unknown"]
        ])
      })
    )
  )

  it.effect("a request that failed says its status or its code, and one that was cancelled neither", () =>
    withMetrics()(
      Effect.gen(function* () {
        const heard = yield* observer
        const call = observed()
        const endings = [
          attemptEnd({ outcome: "failure", status: 503, reason: serviceUnavailable }),
          attemptEnd({ outcome: "failure", status: undefined, reason: connectionRefused }),
          attemptEnd({ outcome: "failure", status: undefined }),
          attemptEnd({ outcome: "interrupted", status: undefined }),
          // declared as expected by the caller
          attemptEnd({ status: 404 })
        ]
        for (const end of endings) {
          heard.attemptStarted?.(call, end)
          heard.attemptEnded?.(call, end)
        }
        const said = (yield* seriesOf("http.client.request.duration")).map(({ labels }) => [
          labels["http.response.status_code"],
          labels["error.type"]
        ])
        assert.deepStrictEqual(said, [
          ["503", "503"],
          [undefined, "ERR_NETWORK_CONNECTION_REFUSED"],
          [undefined, "_OTHER"],
          [undefined, undefined],
          ["404", undefined]
        ])
      })
    )
  )

  it.effect("a method that nobody knows is _OTHER, and makes no series of its own", () =>
    withMetrics()(
      Effect.gen(function* () {
        const heard = yield* observer
        for (let index = 0; index < 50; index++) succeed(heard, observed({ method: `M${index}` }))
        const series = yield* seriesOf("http.client.active_requests")
        assert.deepStrictEqual(
          series.map(({ labels }) => labels["http.request.method"]),
          ["_OTHER"]
        )
      })
    )
  )

  it.effect("what is under way goes up and comes down again", () =>
    withMetrics()(
      Effect.gen(function* () {
        const heard = yield* observer
        const [one, other] = [observed(), observed({ template: "/orders" })]
        for (const call of [one, other]) {
          heard.callStarted?.(call)
          heard.attemptStarted?.(call, { origin: call.origin, resend: 0, isHedge: false })
        }
        const inFlight = Effect.all([total("holdfast.call.in_flight"), total("http.client.active_requests")])
        assert.deepStrictEqual(yield* inFlight, [2, 2])
        heard.attemptEnded?.(one, attemptEnd({ outcome: "interrupted" }))
        assert.deepStrictEqual(yield* inFlight, [2, 1])
        heard.callEnded?.(one, callEnd({ outcome: "interrupted" }))
        heard.attemptEnded?.(other, attemptEnd())
        heard.callEnded?.(other, callEnd())
        assert.deepStrictEqual(yield* inFlight, [0, 0])
      })
    )
  )

  it.effect("calls are counted by outcome and code, and failures by why no further attempt was made", () =>
    withMetrics()(
      Effect.gen(function* () {
        const heard = yield* observer
        const call = observed()
        const ends: ReadonlyArray<CallObserver.CallEnd> = [
          callEnd(),
          callEnd({ outcome: "interrupted" }),
          callEnd({ outcome: "failure" }),
          callEnd({ outcome: "failure", error: callError(serviceUnavailable, "budget") }),
          callEnd({ outcome: "failure", error: callError(serviceUnavailable, "deadline") }),
          callEnd({
            outcome: "failure",
            error: callError(new Reason.DeadlineExceeded({ budget: Duration.seconds(1) }), "not-retryable")
          })
        ]
        for (const end of ends) {
          heard.callStarted?.(call)
          heard.callEnded?.(call, end)
        }
        const calls = (yield* seriesOf("holdfast.calls")).map(({ labels, state }) => [
          labels["holdfast.outcome"],
          labels["error.type"],
          countOf(state)
        ])
        assert.deepStrictEqual(calls, [
          ["success", undefined, 1],
          ["interrupted", undefined, 1],
          ["failure", "_OTHER", 1],
          ["failure", "ERR_STATUS_SERVICE_UNAVAILABLE", 2],
          ["failure", "ERR_TIME_DEADLINE_EXCEEDED", 1]
        ])
        const stops = (yield* seriesOf("holdfast.retry.stops")).map(({ labels, state }) => [
          labels["holdfast.retry_stopped"],
          countOf(state)
        ])
        assert.deepStrictEqual(stops, [
          ["budget", 1],
          ["deadline", 1],
          ["not-retryable", 1]
        ])
        assert.strictEqual(yield* total("holdfast.deadline.misses"), 2)
        assert.strictEqual(yield* total("holdfast.call.duration"), 6)
      })
    )
  )

  it.effect("attempts, retries, hedges, refusals, waits and joins are counted by what they are", () =>
    withMetrics()(
      Effect.gen(function* () {
        const heard = yield* observer
        const call = observed()
        heard.callStarted?.(call)
        heard.attemptEnded?.(
          call,
          attemptEnd({ origin: call.origin, outcome: "failure", status: 503, reason: serviceUnavailable })
        )
        heard.retryScheduled?.(call, { reason: serviceUnavailable, delayMillis: 200, resend: 1 })
        heard.attemptEnded?.(
          call,
          attemptEnd({ origin: call.origin, resend: 1, outcome: "interrupted", status: undefined })
        )
        heard.hedgeStarted?.(call, { afterMillis: 90 })
        heard.attemptEnded?.(call, attemptEnd({ origin: call.origin, resend: 2, isHedge: true }))
        heard.hedgeSettled?.(call, { isHedge: true })
        heard.hedgeSettled?.(call, { isHedge: false })
        heard.refused?.(call, new Reason.BulkheadFull({}))
        heard.refused?.(call, new Reason.CircuitOpen({}))
        heard.waited?.(call, { stage: "rateLimit", millis: 20 })
        heard.joined?.(call)
        const kinds = (yield* seriesOf("holdfast.attempts")).map(({ labels }) => [
          labels["holdfast.attempt.kind"],
          labels["holdfast.outcome"],
          labels["error.type"]
        ])
        assert.deepStrictEqual(kinds, [
          ["first", "failure", "503"],
          ["retry", "interrupted", undefined],
          ["hedge", "success", undefined]
        ])
        const operation = { "holdfast.upstream": "stock", "holdfast.operation": "GET /items/{id}" }
        assert.deepStrictEqual(
          (yield* seriesOf("holdfast.retries")).map(({ labels }) => labels),
          [{ ...operation, "error.type": "503" }]
        )
        const [delay] = yield* seriesOf("holdfast.retry.delay")
        assert.deepInclude(delay?.state, { count: 1, sum: 0.2 })
        assert.deepStrictEqual([yield* total("holdfast.hedges"), yield* total("holdfast.hedge.wins")], [1, 1])
        assert.deepStrictEqual(
          (yield* seriesOf("holdfast.refusals")).map(({ labels }) => [labels["holdfast.stage"], labels["error.type"]]),
          [
            ["bulkhead", "ERR_POLICY_BULKHEAD_FULL"],
            ["breaker", "ERR_POLICY_CIRCUIT_OPEN"]
          ]
        )
        const [wait] = yield* seriesOf("holdfast.queue.duration")
        assert.deepStrictEqual(wait?.labels, { ...operation, "holdfast.stage": "rateLimit" })
        assert.deepInclude(wait?.state, { count: 1, sum: 0.02 })
        assert.strictEqual(yield* total("holdfast.single_flight.joins"), 1)
      })
    )
  )

  it.effect("a clock that steps back spoils no histogram", () =>
    withMetrics()(
      Effect.gen(function* () {
        const heard = yield* observer
        const call = observed()
        heard.callStarted?.(call)
        heard.callEnded?.(call, callEnd({ durationMillis: -5 }))
        heard.callStarted?.(call)
        heard.callEnded?.(call, callEnd({ durationMillis: Number.NaN }))
        heard.callStarted?.(call)
        heard.callEnded?.(call, callEnd({ durationMillis: 2_000_000 }))
        const [duration] = yield* seriesOf("holdfast.call.duration")
        assert.deepInclude(duration?.state, { count: 1, sum: 2000, min: 2000, max: 2000 })
      })
    )
  )
})

describe("bounds", () => {
  it.effect("a million paths of one upstream make no more series than the bound, and every call is counted", () =>
    withMetrics({ maxOperations: 100 })(
      Effect.gen(function* () {
        const heard = yield* observer
        const paths = 1_000_000
        for (let index = 0; index < paths; index++) succeed(heard, observed({ template: `/items/${index}` }))
        succeed(heard, observed({ upstream: "orders", template: "/orders", origin: "https://orders.internal" }))
        const snapshots = yield* Metric.snapshot
        const counts = Object.values(Object.groupBy(snapshots, ({ id }) => id)).map((series = []) => series.length)
        assert.isAtMost(Math.max(...counts), 102)

        const calls = yield* seriesOf("holdfast.calls")
        const rest = calls.filter(({ labels }) => labels["otel.metric.overflow"] === "true")
        assert.deepStrictEqual(
          rest.map(({ labels }) => labels),
          [{ "holdfast.upstream": "stock", "holdfast.outcome": "success", "otel.metric.overflow": "true" }]
        )
        assert.strictEqual(countOf(rest[0]?.state), paths - 100)
        assert.strictEqual(yield* total("holdfast.calls"), paths + 1)
        assert.strictEqual(yield* total("http.client.request.duration"), paths + 1)
        assert.strictEqual(yield* total("http.client.active_requests"), 0)
        // one upstream's paths take nothing from another
        assert.isTrue(calls.some(({ labels }) => labels["holdfast.operation"] === "GET /orders"))
      })
    )
  )

  it.effect("a metric has at most maxSeries label sets, whatever makes them many", () =>
    withMetrics({ maxSeries: 50, maxOperations: 1_000_000 })(
      Effect.gen(function* () {
        const heard = yield* observer
        for (let index = 0; index < 100_000; index++) succeed(heard, observed({ template: `/items/${index}` }))
        const calls = yield* seriesOf("holdfast.calls")
        assert.strictEqual(calls.length, 50)
        assert.deepStrictEqual(calls.at(-1)?.labels, { "otel.metric.overflow": "true" })
        assert.strictEqual(yield* total("holdfast.calls"), 100_000)
        assert.strictEqual((yield* seriesOf("http.client.request.duration")).length, 50)
      })
    )
  )

  it.effect("upstreams beyond the bound share one series, and leave nothing under way in it", () =>
    withMetrics({ maxSeries: 10 })(
      Effect.gen(function* () {
        const heard = yield* observer
        for (let index = 0; index < 1000; index++) succeed(heard, observed({ upstream: `tenant${index}` }))
        assert.strictEqual((yield* seriesOf("holdfast.call.in_flight")).length, 10)
        assert.strictEqual(yield* total("holdfast.calls"), 1000)
        for (const id of ["holdfast.call.in_flight", "http.client.active_requests"]) {
          for (const { state } of yield* seriesOf(id)) assert.strictEqual(countOf(state), 0)
        }
      })
    )
  )

  it.effect("a call that began beyond the bound ends there, though an upstream has left meanwhile", () =>
    withMetrics({ maxSeries: 2, keepFor: 0 })(
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        yield* Scope.provide(upstream("first"), scope)
        yield* Scope.provide(upstream("second"), scope)
        const heard = yield* observer
        const call = observed({ upstream: "third" })
        heard.callStarted?.(call)
        yield* Scope.close(scope, Exit.void)
        heard.callEnded?.(call, callEnd())
        assert.deepStrictEqual(
          (yield* seriesOf("holdfast.call.in_flight")).map(({ state }) => countOf(state)),
          [0]
        )
      })
    )
  )

  it("options that make no sense are refused in words", () => {
    assert.throws(
      () => Metrics.layer({ maxSeries: 1 }),
      RangeError,
      "Metrics: maxSeries must be a whole number of at least 2, got 1"
    )
    assert.throws(
      () => Metrics.layer({ maxOperations: -1 }),
      RangeError,
      "Metrics: maxOperations must be a whole number of at least 0, got -1"
    )
    assert.throws(
      () => Metrics.layer({ maxEndpoints: 0 }),
      RangeError,
      "Metrics: maxEndpoints must be a whole number of at least 1, got 0"
    )
    assert.throws(() => Metrics.layer({ keepFor: Infinity }), RangeError, "Metrics: keepFor must be finite")
  })
})

describe("upstreams", () => {
  it.effect("figures of a stage are read when somebody looks, and not before", () =>
    withMetrics()(
      Effect.gen(function* () {
        yield* upstream("stock", HttpPolicy.standard())
        const registry = yield* UpstreamRegistry.Current
        let looks = 0
        yield* registry.register({
          snapshot: Effect.sync(() => {
            looks++
            return { name: "counted", policy: "", bodies: { open: looks, unread: 2, found: 3 }, endpoints: [] }
          })
        })
        const before = looks
        const open = Effect.map(seriesOf("holdfast.body.open"), (series) =>
          series.find(({ labels }) => labels["holdfast.upstream"] === "counted")
        )
        assert.deepStrictEqual((yield* open)?.state, { value: before + 1 })
        // a second look in the same turn sees the figures anew
        assert.deepStrictEqual((yield* open)?.state, { value: before + 2 })
        yield* Effect.promise(() => Promise.resolve())
        assert.deepStrictEqual((yield* open)?.state, { value: before + 3 })
        assert.strictEqual(looks, before + 3, "one look for all the figures of an export")
      })
    )
  )

  it.effect("a policy that changes while the program runs changes which figures there are", () =>
    withMetrics()(
      Effect.gen(function* () {
        let hasBudget = false
        const budget = { balance: 7, callsInFlight: 0, retriesInFlight: 0, granted: 0, refused: 0 }
        yield* (yield* UpstreamRegistry.Current).register({
          snapshot: Effect.sync(() => ({
            name: "stock",
            policy: "",
            bodies: { open: 0, unread: 0, found: 0 },
            endpoints: [],
            ...(hasBudget && { budget })
          }))
        })
        const balance = seriesOf("holdfast.retry_budget.balance")
        assert.deepStrictEqual(yield* balance, [])
        hasBudget = true
        yield* balance
        assert.deepStrictEqual(yield* balance, [{ labels: { "holdfast.upstream": "stock" }, state: { value: 7 } }])
        hasBudget = false
        yield* balance
        assert.deepStrictEqual(yield* balance, [])
      })
    )
  )

  it.effect("of two upstreams of one name the first is shown, and the second when the first has left", () =>
    withMetrics()(
      Effect.gen(function* () {
        const registry = yield* UpstreamRegistry.Current
        const opened = (open: number) =>
          registry.register({
            snapshot: Effect.succeed({
              name: "stock",
              policy: "",
              bodies: { open, unread: 0, found: 0 },
              endpoints: []
            })
          })
        const scope = yield* Scope.make()
        yield* Scope.provide(opened(1), scope)
        yield* opened(2)
        const open = Effect.map(seriesOf("holdfast.body.open"), (series) => series.map(({ state }) => state))
        assert.deepStrictEqual(yield* open, [{ value: 1 }])
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* open, [{ value: 2 }])
      })
    )
  )

  it.effect("a circuit shows the state that it is in, and each change of it is counted", () =>
    withMetrics()(
      Effect.gen(function* () {
        const { status } = ScriptedTransport
        const script = ScriptedTransport.layer({
          "*": [status(503), status(503), status(200), status(200), status(503), status(200)]
        })
        const stock = yield* Upstream.make("stock", {
          baseUrl: "https://stock.internal",
          policy: HttpPolicy.standard({
            retry: false,
            breaker: {
              trip: [CircuitBreaker.consecutiveFailures(1)],
              openTime: "1 second",
              probes: 1,
              successThreshold: 2
            }
          })
        }).pipe(Effect.provide(script))
        const states = Effect.map(seriesOf("holdfast.circuit.state"), (series) =>
          series.flatMap(({ labels, state }) =>
            typeof state === "object" && "value" in state && state.value === 1 ? [labels["holdfast.circuit.state"]] : []
          )
        )
        const transitions = Effect.map(seriesOf("holdfast.circuit.transitions"), (series) =>
          Object.fromEntries(series.map(({ labels, state }) => [labels["holdfast.circuit.state"], countOf(state)]))
        )
        const none = { Closed: 0, Open: 0, HalfOpen: 0, ForcedOpen: 0, ForcedClosed: 0 }
        const call = Effect.exit(stock.get("/x"))
        assert.deepStrictEqual([yield* states, yield* transitions], [["Closed"], none])
        yield* call
        assert.deepStrictEqual([yield* states, yield* transitions], [["Open"], { ...none, Open: 1 }])
        yield* call
        assert.deepStrictEqual(yield* states, ["Open"])
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* states, ["HalfOpen"])
        // a probe that fails
        yield* call
        assert.deepStrictEqual([yield* states, yield* transitions], [["Open"], { ...none, Open: 2, HalfOpen: 1 }])
        yield* TestClock.adjust("1 second")
        yield* call
        assert.deepStrictEqual(yield* states, ["HalfOpen"])
        yield* call
        const closed = { ...none, Open: 2, HalfOpen: 2, Closed: 1 }
        assert.deepStrictEqual([yield* states, yield* transitions], [["Closed"], closed])
        yield* stock.stages.breaker?.forceOpen ?? Effect.void
        assert.deepStrictEqual(yield* states, ["ForcedOpen"])
        yield* stock.stages.breaker?.forceClosed ?? Effect.void
        assert.deepStrictEqual(yield* states, ["ForcedClosed"])
        yield* stock.stages.breaker?.reset ?? Effect.void
        assert.deepStrictEqual(
          [yield* states, yield* transitions],
          [["Closed"], { ...closed, ForcedOpen: 1, ForcedClosed: 1, Closed: 2 }]
        )
      })
    )
  )

  it.effect("what an upstream counts itself never goes down: not with its policy, and not with it", () =>
    withMetrics({ keepFor: "1 minute" })(
      Effect.gen(function* () {
        const registry = yield* UpstreamRegistry.Current
        const counting = (read: () => number) =>
          registry.register({
            snapshot: Effect.sync(() => ({
              name: "stock",
              policy: "",
              bodies: { open: 0, unread: 0, found: read() },
              endpoints: []
            }))
          })
        const found = Effect.map(seriesOf("holdfast.body.forgotten"), (series) =>
          series.map(({ state }) => countOf(state))
        )
        let first = 5
        const scope = yield* Scope.make()
        yield* Scope.provide(
          counting(() => first),
          scope
        )
        assert.deepStrictEqual(yield* found, [5])
        // as when a reload made its stages anew
        first = 2
        assert.deepStrictEqual(yield* found, [7])
        yield* counting(() => 10)
        assert.deepStrictEqual(yield* found, [17], "two of one name are counted together")
        first = 4
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* found, [19], "the last that it counted is in it")
      })
    )
  )

  it.effect("an upstream that cannot be read breaks no export", () =>
    withMetrics()(
      Effect.gen(function* () {
        const registry = yield* UpstreamRegistry.Current
        yield* registry.register({ snapshot: Effect.die("no figures") })
        yield* upstream("stock")
        assert.isAbove((yield* Metric.snapshot).length, 5)
      })
    )
  )

  it.effect(
    "an upstream that has left takes its gauges at once, and its metrics when the last export has had its time",
    () =>
      withMetrics({ keepFor: "1 minute" })(
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          yield* Scope.provide(upstream("stock"), scope)
          yield* upstream("orders")
          const heard = yield* observer
          succeed(heard, observed())
          succeed(heard, observed({ upstream: "orders" }))
          yield* Scope.close(scope, Exit.void)
          const of = (name: string) =>
            Effect.map(Metric.snapshot, (snapshots) =>
              snapshots.filter(({ attributes }) => attributes?.["holdfast.upstream"] === name).map(({ id }) => id)
            )
          const ids = yield* of("stock")
          assert.include(ids, "holdfast.calls")
          assert.notInclude(ids, "holdfast.body.open")
          yield* TestClock.adjust("1 minute")
          // the export that finds them due is the last that has them
          assert.include(yield* of("stock"), "holdfast.calls")
          assert.deepStrictEqual(yield* of("stock"), [])
          const others = yield* of("orders")
          assert.includeMembers(others, ["holdfast.calls", "holdfast.body.open"])
        })
      )
  )

  it.effect("an upstream that comes back before that goes on counting", () =>
    withMetrics({ keepFor: "1 minute" })(
      Effect.gen(function* () {
        const heard = yield* observer
        for (let index = 0; index < 3; index++) {
          yield* Effect.scoped(upstream("stock"))
          succeed(heard, observed())
          yield* TestClock.adjust("40 seconds")
        }
        yield* upstream("stock")
        yield* TestClock.adjust("2 minutes")
        yield* Metric.snapshot
        assert.strictEqual(yield* total("holdfast.calls"), 3)
      })
    )
  )

  it.effect("an upstream that comes back after that begins anew", () =>
    withMetrics({ keepFor: 0 })(
      Effect.gen(function* () {
        const heard = yield* observer
        for (let index = 0; index < 2; index++) {
          const scope = yield* Scope.make()
          yield* Scope.provide(upstream("stock"), scope)
          succeed(heard, observed())
          assert.strictEqual(yield* total("holdfast.calls"), 1)
          yield* Scope.close(scope, Exit.void)
          assert.deepStrictEqual(yield* seriesOf("holdfast.calls"), [])
        }
      })
    )
  )

  it.effect("a call or an attempt that outlives its upstream is counted to its end, and brings nothing back", () =>
    withMetrics({ keepFor: 0 })(
      Effect.gen(function* () {
        const heard = yield* observer
        const scope = yield* Scope.make()
        yield* Scope.provide(upstream("stock"), scope)
        const call = observed()
        heard.callStarted?.(call)
        heard.attemptStarted?.(call, { origin: call.origin, resend: 0, isHedge: false })
        yield* Scope.close(scope, Exit.void)
        heard.callEnded?.(call, callEnd({ outcome: "interrupted" }))
        yield* Metric.snapshot
        // others have joined the attempt
        assert.strictEqual(yield* total("http.client.active_requests"), 1)
        heard.attemptEnded?.(call, attemptEnd({ origin: call.origin }))
        assert.strictEqual(yield* total("holdfast.calls"), 1)
        assert.deepStrictEqual(yield* seriesOf("holdfast.calls"), [])
        assert.deepStrictEqual(yield* Metric.snapshot, [])
      })
    )
  )

  it.effect("upstreams that come and go without anybody exporting do not pile up", () =>
    withMetrics({ keepFor: "1 second" })(
      Effect.gen(function* () {
        const heard = yield* observer
        for (let index = 0; index < 200; index++) {
          yield* Effect.scoped(upstream(`tenant${index}`))
          succeed(heard, observed({ upstream: `tenant${index}` }))
          yield* TestClock.adjust("100 millis")
        }
        // some ten upstreams of twenty series or so, of the two hundred that there were
        assert.isBelow((yield* Metric.MetricRegistry).size, 400)
      })
    )
  )

  it.effect("the layer closes, and the last export still has everything, once", () =>
    isolated(
      Effect.gen(function* () {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const context = yield* Layer.build(Metrics.layer())
            const heard = yield* Effect.provide(observer, context)
            yield* Effect.provide(upstream("stock"), context)
            succeed(heard, observed())
          })
        )
        assert.strictEqual(yield* total("holdfast.calls"), 1)
        assert.deepStrictEqual(yield* Metric.snapshot, [])
      })
    )
  )
})

describe("a layer of metrics beside the upstream's", () => {
  class Stock extends Upstream.Service<Stock>()("stock", {
    baseUrl: "https://stock.internal",
    policy: HttpPolicy.make({ breaker: {} })
  }) {}

  const get = Effect.flatMap(Stock, (stock) => stock.get("/items"))
  const shares = Effect.map(seriesOf("holdfast.circuit.share"), (series) => series.length)

  it.effect("records its calls, and from the first of them on what its stages remember, until it leaves", () =>
    isolated(
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const stock = yield* Layer.buildWithScope(Layer.provide(Stock.layer, transport), scope)
        yield* Effect.gen(function* () {
          assert.strictEqual(yield* shares, 0)
          yield* Effect.provide(get, stock)
          assert.strictEqual(yield* shares, 1)
          assert.strictEqual(yield* total("holdfast.calls"), 1)
          yield* Scope.close(scope, Exit.void)
          assert.strictEqual(yield* shares, 0)
          yield* TestClock.adjust("1 minute")
          yield* total("holdfast.calls")
          assert.strictEqual(yield* total("holdfast.calls"), 0)
        }).pipe(Effect.provide(Metrics.layer()))
      })
    )
  )

  it.effect("an upstream that comes back by that name is met again", () =>
    isolated(
      Effect.gen(function* () {
        for (let round = 1; round <= 2; round++) {
          yield* Effect.gen(function* () {
            yield* get
            assert.strictEqual(yield* shares, 1)
          }).pipe(Effect.provide(Layer.provide(Stock.layer, transport)))
          assert.strictEqual(yield* shares, 0)
          assert.strictEqual(yield* total("holdfast.calls"), round)
        }
      }).pipe(Effect.provide(Metrics.layer()))
    )
  )

  it.effect(
    "of one in a registry that the layer did not find it records the calls alone: nobody would say when it leaves",
    () =>
      isolated(
        Effect.gen(function* () {
          yield* get
          assert.strictEqual(yield* total("holdfast.calls"), 1)
          assert.strictEqual(yield* shares, 0)
        }).pipe(
          Effect.provide(
            Layer.mergeAll(
              Stock.layer.pipe(
                Layer.provide([transport, Layer.sync(UpstreamRegistry.Current, () => UpstreamRegistry.make())])
              ),
              Metrics.layer()
            )
          )
        )
      )
  )

  for (const [how, below] of [
    ["two of them below the upstream", () => [Metrics.layer(), Metrics.layer()] as const],
    [
      "one that was built with another, and hides it from the upstream,",
      () => [Layer.provide(Metrics.layer(), Metrics.layer()), Layer.empty] as const
    ]
  ] as const) {
    it.effect(`${how} record each call once, in the series that were there from the start`, () =>
      isolated(
        Effect.suspend(() => {
          const [inner, outer] = below()
          return Effect.gen(function* () {
            const outcomes = (yield* seriesOf("holdfast.upstream.calls")).length
            assert.isAbove(outcomes, 1)
            yield* get
            assert.strictEqual(yield* total("holdfast.calls"), 1)
            assert.strictEqual(yield* total("holdfast.upstream.calls"), 1)
            assert.lengthOf(yield* seriesOf("holdfast.upstream.calls"), outcomes)
            assert.strictEqual(yield* shares, 1)
          }).pipe(
            Effect.provide(Stock.layer.pipe(Layer.provide(transport), Layer.provide(inner), Layer.provide(outer)))
          )
        })
      )
    )
  }

  it.effect("one more of them, below the upstream's, records each call once", () =>
    isolated(
      Effect.gen(function* () {
        yield* get
        assert.strictEqual(yield* total("holdfast.calls"), 1)
        assert.strictEqual(yield* total("holdfast.upstream.calls"), 1)
      }).pipe(
        Effect.provide(
          Layer.mergeAll(
            Stock.layer.pipe(Layer.provide([transport, Metrics.layer()])),
            Metrics.layer({ maxSeries: 100 })
          )
        )
      )
    )
  )
})

describe("a layer of metrics that no call passes through", () => {
  const warnings = () => {
    const lines: Array<unknown> = []
    const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
      if (logLevel === "Warn") lines.push(message)
    })
    return { lines, layer: Logger.layer([logger]) }
  }
  const text = (many: string) =>
    `Metrics.layer() has recorded no call, and ${many} made since, the last of them GET /b of stock; ` +
    "provide it to the program that makes the calls, or below the layers of its upstreams"

  it.effect("says so once, after a minute of calls that nobody observes", () =>
    isolated(
      Effect.gen(function* () {
        const { layer, lines } = warnings()
        const stock = yield* upstream("stock")
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* Layer.build(Metrics.layer())
            yield* stock.get("/a")
            yield* TestClock.adjust("59 seconds")
            yield* stock.get("/a")
            assert.deepStrictEqual(lines, [])
            yield* TestClock.adjust("1 second")
            yield* stock.get("/b")
            yield* stock.get("/b")
            yield* Effect.yieldNow
            assert.deepStrictEqual(lines, [[text("3 calls that nobody observes were")]])
          })
        ).pipe(Effect.provide(layer))
        yield* stock.get("/b")
        assert.lengthOf(lines, 1)
      }).pipe(Effect.scoped)
    )
  )

  it.effect("says so when it is released, if that comes before", () =>
    isolated(
      Effect.gen(function* () {
        const { layer, lines } = warnings()
        const stock = yield* upstream("stock")
        yield* Effect.scoped(Effect.andThen(Layer.build(Metrics.layer()), stock.get("/b"))).pipe(Effect.provide(layer))
        assert.deepStrictEqual(lines, [[text("1 call that nobody observes was")]])
      }).pipe(Effect.scoped)
    )
  )

  it.effect("says nothing where it heard of a call, where another observed them, and where there were none", () =>
    isolated(
      Effect.gen(function* () {
        const { layer, lines } = warnings()
        const stock = yield* upstream("stock")
        const within = (calls: (metrics: Context.Context<never>) => Effect.Effect<void, unknown>) =>
          Effect.scoped(Effect.flatMap(Layer.build(Metrics.layer()), calls)).pipe(Effect.provide(layer))
        yield* within((metrics) => Effect.andThen(Effect.provide(stock.get("/a"), metrics), stock.get("/b")))
        yield* within(() => Effect.asVoid(Effect.provide(stock.get("/b"), CallObserver.layer({}))))
        yield* within(() => Effect.void)
        assert.deepStrictEqual(lines, [])
      }).pipe(Effect.scoped)
    )
  )
})

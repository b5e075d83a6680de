import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Schedule, Schema } from "effect"
import { Backoff } from "holdfast"
import { HttpClientTransport } from "holdfast/client"
import type { HttpPolicy } from "holdfast"
import { bounded, calling, callingThrough, failure, seen } from "./support/calling.ts"
import { exporters } from "./support/exporters.ts"
import { Behaviour, TestUpstream } from "./support/upstream.ts"
import { OtlpReceiver } from "holdfast/testing"

const quick: HttpPolicy.RetryOptions = { schedule: Backoff.exponential({ base: "5 millis", cap: "20 millis" }) }

const named = (spans: ReadonlyArray<OtlpReceiver.SpanRecord>, name: string): ReadonlyArray<OtlpReceiver.SpanRecord> =>
  spans.filter((span) => span.name === name).toSorted((a, b) => (a.startTimeUnixNano < b.startTimeUnixNano ? -1 : 1))

const only = (spans: ReadonlyArray<OtlpReceiver.SpanRecord>, name: string): OtlpReceiver.SpanRecord => {
  const [span, ...others] = named(spans, name)
  if (span === undefined || others.length > 0) {
    throw new Error(`${others.length + (span === undefined ? 0 : 1)} spans ${name} among ${spans.map((s) => s.name)}`)
  }
  return span
}

/** What the upstream is told of a span. */
const traceparentOf = ({ spanId, traceId }: OtlpReceiver.SpanRecord): string => `00-${traceId}-${spanId}-01`

/** A wait that nobody takes for the machine's own slowness, in milliseconds. */
const long = 600

const byStart = (one: OtlpReceiver.SpanRecord, other: OtlpReceiver.SpanRecord): number =>
  one.startTimeUnixNano < other.startTimeUnixNano ? -1 : 1

const childrenOf = (
  { spanId }: OtlpReceiver.SpanRecord,
  spans: ReadonlyArray<OtlpReceiver.SpanRecord>
): ReadonlyArray<OtlpReceiver.SpanRecord> =>
  spans.filter(({ parentSpanId }) => parentSpanId === spanId).toSorted(byStart)

/** The longest time of a span that neither a span below it nor an event accounts for, in milliseconds. */
const longestGap = (
  span: OtlpReceiver.SpanRecord,
  spans: ReadonlyArray<OtlpReceiver.SpanRecord>
): { readonly at: number; readonly millis: number } => {
  const since = (nanos: bigint): number => Number(nanos - span.startTimeUnixNano) / 1e6
  const seconds = (value: OtlpReceiver.AttributeValue | undefined): number => (typeof value === "number" ? value : 0)
  const explained = [
    ...childrenOf(span, spans).map((child) => [since(child.startTimeUnixNano), since(child.endTimeUnixNano)] as const),
    ...span.events.map(({ attributes, timeUnixNano }) => {
      const at = since(timeUnixNano)
      const phases = ["queue", "send", "wait", "receive"].map((phase) => seconds(attributes[`holdfast.phase.${phase}`]))
      const before = phases.reduce((sum, phase) => sum + phase, seconds(attributes["holdfast.wait"]))
      return [at - before * 1000, at + seconds(attributes["holdfast.retry.delay"]) * 1000] as const
    })
  ].toSorted(([one], [other]) => one - other)
  let reached = 0
  let gap = { at: 0, millis: 0 }
  for (const [from, to] of [...explained, [since(span.endTimeUnixNano), 0] as const]) {
    if (from - reached > gap.millis) gap = { at: reached, millis: from - reached }
    reached = Math.max(reached, to)
  }
  return gap
}

/** What of a span does not depend on the run. */
interface Tree {
  readonly name: string
  readonly kind: OtlpReceiver.SpanKind
  readonly status: string
  readonly attributes: OtlpReceiver.Attributes
  readonly events: ReadonlyArray<string>
  readonly children: ReadonlyArray<Tree>
}

/** Attributes that differ from run to run, and those that exporters add on their own. */
const ofTheRun: ReadonlySet<string> = new Set(["holdfast.request_id", "effect.fiber.interrupted"])

const treeOf = (span: OtlpReceiver.SpanRecord, spans: ReadonlyArray<OtlpReceiver.SpanRecord>): Tree => ({
  name: span.name,
  kind: span.kind,
  status:
    span.attributes["holdfast.interrupted"] === true && span.status.code === "unset" ? "interrupted" : span.status.code,
  attributes: Object.fromEntries(
    Object.entries(span.attributes)
      .filter(([name]) => !ofTheRun.has(name))
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
  ),
  events: span.events
    .toSorted((one, other) => (one.timeUnixNano < other.timeUnixNano ? -1 : 1))
    .map(({ attributes, name }) =>
      name === "exception" ? `${name} ${String(attributes["exception.message"])}` : name
    ),
  children: childrenOf(span, spans).map((child) => treeOf(child, spans))
})

const expectedTrees = (url: string, port: number): ReadonlyArray<Tree> => {
  const span = (name: string, children: ReadonlyArray<Tree>): Tree => ({
    name,
    kind: "internal",
    status: "ok",
    attributes: {},
    events: [],
    children
  })
  const call = (operation: string, events: ReadonlyArray<string>, children: ReadonlyArray<Tree>): Tree => ({
    name: `payments ${operation}`,
    kind: "internal",
    status: "ok",
    attributes: { "holdfast.operation": operation, "holdfast.upstream": "payments" },
    events,
    children
  })
  const attempt = (
    template: string,
    path: string,
    status: string,
    attributes: OtlpReceiver.Attributes,
    events: ReadonlyArray<string> = ["holdfast.connection", "holdfast.headers", "holdfast.exchange"]
  ): Tree => ({
    name: `GET ${template}`,
    kind: "client",
    status,
    attributes: Object.fromEntries(
      Object.entries({
        "http.request.method": "GET",
        "network.peer.address": "127.0.0.1",
        "network.peer.port": port,
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": port,
        "url.full": `${url}${path}`,
        "url.scheme": "http",
        "url.template": template,
        ...attributes
      }).toSorted(([one], [other]) => (one < other ? -1 : 1))
    ),
    events,
    children: []
  })
  const charges = "/charges/{id}"
  const slow = attempt("/slow", "/slow", "ok", { "http.response.status_code": 200 })
  const refusal = call("GET /refused", ["holdfast.refused", "holdfast.give_up", refusedInWords], [])
  return [
    span("retried and hedged", [
      call(
        `GET ${charges}`,
        ["holdfast.retry", "holdfast.hedge", "holdfast.hedge_settled"],
        [
          attempt(charges, "/charges/1", "error", { "error.type": "503", "http.response.status_code": 503 }, [
            "holdfast.connection",
            "holdfast.headers",
            "holdfast.exchange",
            unavailableInWords(port)
          ]),
          attempt(
            charges,
            "/charges/1",
            "interrupted",
            { "holdfast.interrupted": true, "http.request.resend_count": 1 },
            ["holdfast.connection", "holdfast.exchange"]
          ),
          attempt(charges, "/charges/1", "ok", {
            "holdfast.hedge": true,
            "http.request.resend_count": 2,
            "http.response.status_code": 200
          })
        ]
      )
    ]),
    span("queued", [
      call("GET /slow", [], [slow]),
      call("GET /slow", [], [slow]),
      call("GET /slow", ["holdfast.waited"], [slow])
    ]),
    span("refused", [
      {
        ...refusal,
        status: "error",
        attributes: {
          "error.type": "ERR_POLICY_CIRCUIT_OPEN",
          "holdfast.applied": "no",
          "holdfast.attempts": 0,
          "holdfast.operation": "GET /refused",
          "holdfast.retry_stopped": "not-retryable",
          "holdfast.upstream": "payments"
        }
      }
    ])
  ]
}

const refusedInWords =
  "exception ERR_POLICY_CIRCUIT_OPEN: the circuit is open (forced open by hand, until it is forced closed or reset); nothing was sent"

const unavailableInWords = (port: number) => `exception 127.0.0.1:${port} answered 503: the upstream is not available`

layer(TestUpstream.layer, { excludeTestServices: true })("traces", (it) => {
  describe.each(exporters)("through $exporter", ({ exporter, install }) => {
    /** Runs the program with the exporter installed, and gives all spans when it has been closed. */
    const spansOf = <A, E, R>(program: Effect.Effect<A, E, R>) =>
      Effect.gen(function* () {
        const receiver = yield* OtlpReceiver.start
        const value = yield* Effect.scoped(Effect.provide(program, install(receiver.url)))
        const spans = yield* receiver.spans
        const rejected = (yield* receiver.exports).flatMap((received) => received.rejected ?? [])
        assert.deepStrictEqual(rejected, [])
        return { value, spans }
      })

    it.effect("a call is one INTERNAL span, and each of its attempts a CLIENT span below it", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(
          Behaviour.http([Behaviour.status(503), Behaviour.reset, Behaviour.json({ ok: true })])
        )
        const { spans } = yield* spansOf(
          Effect.gen(function* () {
            const payments = yield* calling(listener, {
              policy: { retry: quick },
              transport: { connections: 1 },
              upstream: { baseUrl: `${listener.url}/v1`, visibleQuery: ["page"] }
            })
            yield* payments.get("/charges/{id}", {
              params: { id: "ch/1" },
              query: { page: 2, token: "s3cret" },
              decode: Schema.Struct({ ok: Schema.Boolean })
            })
          }).pipe(Effect.withSpan("checkout"))
        )
        assert.strictEqual(spans.length, 5, spans.map(({ name }) => name).join())
        const caller = only(spans, "checkout")
        const call = only(spans, "payments GET /charges/{id}")
        assert.deepStrictEqual(
          [call.kind, call.parentSpanId, call.traceId],
          ["internal", caller.spanId, caller.traceId]
        )
        assert.deepInclude(call.attributes, {
          "holdfast.upstream": "payments",
          "holdfast.operation": "GET /charges/{id}"
        })
        assert.notStrictEqual(call.status.code, "error")
        assert.notProperty(call.attributes, "error.type")
        assert.deepStrictEqual(
          call.events.map(({ attributes, name }) => [name, attributes["error.type"]]),
          [
            ["holdfast.retry", "ERR_STATUS_SERVICE_UNAVAILABLE"],
            ["holdfast.retry", "ERR_NETWORK_CONNECTION_RESET"]
          ]
        )

        const attempts = named(spans, "GET /charges/{id}")
        assert.strictEqual(attempts.length, 3)
        for (const attempt of attempts) {
          assert.deepStrictEqual(
            [attempt.kind, attempt.parentSpanId, attempt.traceId],
            ["client", call.spanId, call.traceId]
          )
          assert.deepInclude(attempt.attributes, {
            "http.request.method": "GET",
            "server.address": "127.0.0.1",
            "server.port": listener.port,
            "url.full": `${listener.url}/v1/charges/ch%2F1?page=2&token=REDACTED`,
            "url.scheme": "http",
            "url.template": "/charges/{id}"
          })
          assert.isTrue(call.startTimeUnixNano <= attempt.startTimeUnixNano)
          assert.isTrue(attempt.endTimeUnixNano <= call.endTimeUnixNano)
        }
        const column = (name: string) => attempts.map(({ attributes }) => attributes[name])
        assert.deepStrictEqual(column("http.request.resend_count"), [undefined, 1, 2])
        assert.deepStrictEqual(column("http.response.status_code"), [503, undefined, 200])
        assert.deepStrictEqual(column("error.type"), ["503", "ERR_NETWORK_CONNECTION_RESET", undefined])
        assert.deepStrictEqual(
          attempts.map(({ status }) => status.code === "error"),
          [true, true, false]
        )

        const { requests } = yield* upstream.facts(listener)
        assert.deepStrictEqual(
          requests.map(({ headers }) => headers["traceparent"]),
          attempts.map(traceparentOf)
        )
        assert.strictEqual(new Set(attempts.map(({ spanId }) => spanId)).size, 3)
        assert.isTrue(requests.every(({ headers }) => headers["b3"] === undefined))
        assert.strictEqual(call.attributes["holdfast.request_id"], requests[0]?.headers["x-request-id"])
      })
    )

    it.effect("a retry, a hedge, a wait and a refusal: the same tree, and every moment of it explained", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const slow = Behaviour.json({ ok: true }, { delayMillis: long })
        const listener = yield* upstream.listen(
          Behaviour.http([Behaviour.status(503), Behaviour.hang, Behaviour.json({ ok: true })], {
            routes: [{ path: "/slow", steps: [slow] }]
          })
        )
        const { spans } = yield* spansOf(
          Effect.gen(function* () {
            const payments = yield* calling(listener, {
              policy: {
                retry: { schedule: Schedule.spaced(`${long} millis`) },
                hedge: { delay: `${long} millis` },
                bulkhead: { maxConcurrent: 2 },
                breaker: {},
                operations: { "GET /slow": { hedge: false } }
              }
            })
            yield* payments.get("/charges/{id}", { params: { id: 1 } }).pipe(Effect.withSpan("retried and hedged"))
            const queued = Effect.all([payments.get("/slow"), payments.get("/slow"), payments.get("/slow")], {
              concurrency: "unbounded"
            })
            yield* Effect.withSpan(queued, "queued")
            yield* payments.stages.breaker?.forceOpen ?? Effect.void
            yield* Effect.withSpan(failure(payments.get("/refused")), "refused")
          })
        )
        for (const span of spans) {
          if (span.name.startsWith("payments ") || span.kind === "client") {
            const { at, millis } = longestGap(span, spans)
            assert.isBelow(
              millis,
              long / 2,
              `${exporter}: ${span.name} says nothing for so long, ${at} ms after its start`
            )
          }
        }
        const trees = spans
          .filter(({ parentSpanId }) => parentSpanId === undefined)
          .toSorted(byStart)
          .map((root) => treeOf(root, spans))
        assert.deepStrictEqual(trees, expectedTrees(listener.url, listener.port))
      })
    )

    it.effect("a call that fails says why, how often it was tried, and why no more", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const target = yield* upstream.refusedPort
        const { spans } = yield* spansOf(
          Effect.gen(function* () {
            const payments = yield* calling(target, { policy: { retry: { ...quick, maxAttempts: 2 } } })
            yield* failure(payments.get("/"))
          })
        )
        const call = only(spans, "payments GET /")
        assert.strictEqual(call.status.code, "error")
        assert.deepInclude(call.attributes, {
          "error.type": "ERR_NETWORK_CONNECTION_REFUSED",
          "holdfast.attempts": 2,
          "holdfast.retry_stopped": "attempts"
        })
        const attempts = named(spans, "GET /")
        assert.deepStrictEqual(
          attempts.map(({ attributes, status }) => [attributes["error.type"], status.code]),
          [
            ["ERR_NETWORK_CONNECTION_REFUSED", "error"],
            ["ERR_NETWORK_CONNECTION_REFUSED", "error"]
          ]
        )
      })
    )

    it.effect("a request that cannot be made has a span of the call, and none of an attempt", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.healthy)
        const { spans } = yield* spansOf(
          Effect.gen(function* () {
            const payments = yield* calling(listener)
            yield* failure(payments.get("/charges/{id}", { params: { id: "" } }))
          })
        )
        assert.deepStrictEqual(
          spans.map(({ name }) => name),
          ["payments GET /charges/{id}"]
        )
        assert.deepInclude(spans[0]?.attributes, {
          "error.type": "ERR_CODEC_REQUEST_ENCODE_FAILED",
          "holdfast.attempts": 0
        })
        assert.strictEqual((yield* upstream.facts(listener)).connectionsOpened, 0)
      })
    )

    it.effect("a caller that leaves makes neither the call nor the attempt an error", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.hang]))
        const { spans } = yield* spansOf(
          Effect.gen(function* () {
            const payments = yield* calling(listener)
            const call = yield* Effect.forkChild(payments.get("/"))
            yield* upstream.awaitRequests(listener, 1)
            yield* Fiber.interrupt(call)
          })
        )
        for (const name of ["payments GET /", "GET /"]) {
          const span = only(spans, name)
          assert.strictEqual(span.status.code, "unset", name)
          assert.notProperty(span.attributes, "error.type")
        }
      })
    )

    it.effect("an upstream that is not to know the trace is not told, and the spans are there", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.healthy)
        const { spans } = yield* spansOf(
          Effect.gen(function* () {
            const payments = yield* calling(listener, { upstream: { propagateTrace: false } })
            yield* payments.get("/")
          })
        )
        assert.strictEqual(only(spans, "GET /").kind, "client")
        const { requests } = yield* upstream.facts(listener)
        assert.deepStrictEqual(traceHeaders(requests[0]?.headers), [])
      })
    )

    it.effect("a client that has spans of its own adds none, and the attempt's is what the upstream is told", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.status(503), Behaviour.json({ ok: true })]))
        const transport = HttpClientTransport.layer.pipe(Layer.provide(NodeHttpClient.layerUndici))
        const { spans } = yield* spansOf(
          Effect.gen(function* () {
            const payments = yield* callingThrough(transport, listener, { policy: { retry: quick } })
            yield* payments.get("/")
          })
        )
        assert.strictEqual(spans.length, 3, spans.map(({ name }) => name).join())
        const { requests } = yield* upstream.facts(listener)
        assert.deepStrictEqual(
          requests.map(({ headers }) => headers["traceparent"]),
          named(spans, "GET /").map(traceparentOf)
        )
        assert.isTrue(requests.every(({ headers }) => headers["b3"] === undefined))
      })
    )

    it.effect.each([{ collector: "refuses" }, { collector: "never answers" }])(
      "a collector that $collector slows no call",
      ({ collector }) =>
        Effect.gen(function* () {
          const upstream = yield* TestUpstream
          const listener = yield* upstream.listen(Behaviour.healthy)
          const silent = yield* upstream.listen(Behaviour.http([Behaviour.hang]))
          const { url } = collector === "refuses" ? yield* upstream.refusedPort : silent
          yield* Effect.scoped(
            Effect.gen(function* () {
              const payments = yield* calling(listener)
              // A call that waited for an export would take its timeout: 25 of them one after the other take longer than this waits.
              const outcomes = yield* bounded(
                Effect.all(
                  Array.from({ length: 200 }, () => seen(payments.get("/"))),
                  { concurrency: 8 }
                )
              )
              assert.isTrue(outcomes.every(({ tag }) => tag === "Success"))
            }).pipe(Effect.provide(install(url)))
          ).pipe(bounded)
        })
    )
  })

  it.effect("without a tracer the upstream is told of no trace", () =>
    Effect.gen(function* () {
      const upstream = yield* TestUpstream
      const listener = yield* upstream.listen(Behaviour.healthy)
      const payments = yield* calling(listener)
      yield* payments.get("/").pipe(Effect.withSpan("a span that goes nowhere"))
      const other = HttpClientTransport.layer.pipe(Layer.provide(NodeHttpClient.layerUndici))
      yield* (yield* callingThrough(other, listener)).get("/").pipe(Effect.withSpan("another"))
      const { requests } = yield* upstream.facts(listener)
      assert.deepStrictEqual(
        requests.map(({ headers }) => traceHeaders(headers)),
        [[], []]
      )
    })
  )
})

const traceHeaders = (headers: Readonly<Record<string, string>> = {}): ReadonlyArray<string> =>
  Object.keys(headers).filter((name) => /^(traceparent|tracestate|b3|x-b3-.*)$/.test(name))

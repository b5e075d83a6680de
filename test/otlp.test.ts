import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Layer, Logger, Metric, Redacted, Scope } from "effect"
import { HttpClient } from "effect/http"
import type { Otlp } from "holdfast/telemetry"
import { Otlp as Exporting, MemoryTracer } from "holdfast/telemetry"
import { LeakCheck, OtlpReceiver } from "holdfast/testing"
import { partialSuccess, refusal, startFront } from "./support/otlpFront.ts"
import type { Behaviour } from "./support/otlpFront.ts"
import { racingTimer } from "./support/calling.ts"

const spans = (count: number, name = "work") =>
  Effect.forEach(Array.from({ length: count }), () => Effect.withSpan(Effect.void, name), { discard: true })

const droppedOf = (stats: Otlp.SignalStats): number =>
  Object.values(stats.dropped).reduce((total, items) => total + items, 0)

/** Warnings and infos of the exporter, as an operator's logger has them. */
const keepingLines = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    lines.push(`${logLevel}: ${String(Array.isArray(message) ? message.join(" ") : message)}`)
  })
  return { lines, layer: Logger.layer([logger]) }
}

/** A receiver, what stands before it, an exporter with a scope of its own, and what is known of them. */
const setUp = (behaviours: ReadonlyArray<Behaviour>, options: Partial<Otlp.Options> = {}) =>
  Effect.gen(function* () {
    const receiver = yield* OtlpReceiver.start
    const front = yield* startFront(receiver, behaviours)
    const { layer, lines } = keepingLines()
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    const exporter = Exporting.layerFetch({
      url: front.url,
      resource: { serviceName: "shop" },
      signals: ["traces"],
      ...options
    })
    const context = yield* Layer.buildWithScope(Layer.provide(exporter, layer), scope)
    const within = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provideContext(effect, context)
    const stats = within(Exporting.stats)
    return {
      receiver,
      front,
      lines,
      within,
      traces: Effect.map(stats, ({ traces }) => traces),
      stats,
      flush: within(Exporting.flush),
      close: Scope.close(scope, Exit.void)
    }
  })

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.timed(effect), ([duration]) => Duration.toMillis(duration))

describe("the OTLP exporter", () => {
  describe.each(["protobuf", "json"] as const)("as %s", (protocol) => {
    it.live.each(["none", "gzip"] as const)(
      "brings spans, metrics and logs to a receiver, compression %s",
      (compression) =>
        Effect.gen(function* () {
          const { close, front, receiver, stats, within } = yield* setUp(["forward"], {
            protocol,
            compression,
            signals: ["traces", "metrics", "logs"],
            headers: { "x-api-key": Redacted.make("s3cret"), "X-Tenant": "shop" },
            resource: { serviceName: "shop", serviceVersion: "1.2.3", attributes: { zone: "b" } }
          })
          yield* within(
            Effect.gen(function* () {
              yield* Effect.logInfo("a line of log, with ünicode")
              yield* Metric.update(Metric.counter("orders", { attributes: { kind: "card" } }), 3)
              yield* Effect.fail("no stock").pipe(Effect.withSpan("reserve", { kind: "client" }), Effect.ignore)
              yield* spans(20, "ünicode 🙂".repeat(40))
            }).pipe(
              Effect.withSpan("checkout", { attributes: { amount: -5, price: 1.5, tags: ["a", 2, true], paid: true } }),
              Effect.provideService(Metric.MetricRegistry, new Map())
            )
          )
          yield* close
          const got = yield* receiver.spans
          assert.strictEqual(got.length, 22)
          const checkout = got.find(({ name }) => name === "checkout")
          assert.deepStrictEqual(checkout?.attributes, { amount: -5, price: 1.5, tags: ["a", 2, true], paid: true })
          assert.deepInclude(checkout?.resource, { "service.name": "shop", "service.version": "1.2.3", zone: "b" })
          const reserve = got.find(({ name }) => name === "reserve")
          assert.deepStrictEqual(
            [reserve?.kind, reserve?.parentSpanId, reserve?.traceId, reserve?.status.code, reserve?.events[0]?.name],
            ["client", checkout?.spanId, checkout?.traceId, "error", "exception"]
          )
          assert.strictEqual(got.filter(({ name }) => name === "ünicode 🙂".repeat(40)).length, 20)
          const exports = yield* receiver.exports
          assert.deepStrictEqual(exports.map(({ path }) => path).toSorted(), ["/v1/logs", "/v1/metrics", "/v1/traces"])
          assert.isTrue(exports.every(({ rejected }) => rejected === undefined))
          const requests = yield* front.seen
          for (const { headers } of requests) {
            assert.deepInclude(headers, { "x-api-key": "s3cret", "x-tenant": "shop" })
            assert.notProperty(headers, "traceparent")
            assert.notProperty(headers, "b3")
          }
          const encodings = new Map(requests.map(({ headers, path }) => [path, headers["content-encoding"]]))
          assert.strictEqual(encodings.get("/v1/traces"), compression === "gzip" ? "gzip" : undefined)
          const { logs, metrics, traces } = yield* stats
          assert.deepInclude(traces, { offered: 22, arrived: 22, pending: 0, pendingBytes: 0, requests: 1 })
          assert.deepInclude(logs, { offered: 1, arrived: 1, pending: 0 })
          assert.isAbove(metrics.arrived, 0)
          assert.strictEqual(metrics.offered, metrics.arrived)
        })
    )

    it.live("counts what a partial success did not take, and does not send it again", () =>
      Effect.gen(function* () {
        const { flush, front, lines, traces, within } = yield* setUp(
          [partialSuccess(3, "spans without a name", protocol), "forward"],
          { protocol }
        )
        yield* within(spans(10))
        yield* flush
        const stats = yield* traces
        assert.deepInclude(stats, { offered: 10, arrived: 7, requests: 1 })
        assert.deepInclude(stats.dropped, { partial: 3, refused: 0 })
        assert.strictEqual((yield* front.seen).length, 1)
        assert.match(lines.join("\n"), /^Warn: Otlp: spans .* \(partial\): partial success, spans without a name/)
      })
    )
  })

  it.live.each([400, 401, 404, 408, 500, 501])("a receiver that answers %i is not asked again", (status) =>
    Effect.gen(function* () {
      const { flush, front, lines, traces, within } = yield* setUp([refusal(status, "not\nlike \u001b[31mthis")])
      yield* within(spans(4))
      yield* flush
      yield* within(spans(5))
      yield* flush
      const stats = yield* traces
      assert.deepInclude(stats, { offered: 9, arrived: 0, pending: 0, requests: 2 })
      assert.strictEqual(stats.dropped.refused, 9)
      assert.strictEqual(stats.lastFailure, `status ${status}, not like [31mthis`)
      assert.strictEqual((yield* front.seen).length, 2)
      assert.deepStrictEqual(lines, [
        `Warn: Otlp: spans for ${front.url}/v1/traces are being dropped (refused): ` +
          `status ${status}, not like [31mthis. Further drops are counted, not logged`
      ])
    })
  )

  describe.each(["protobuf", "json"] as const)("of a receiver that takes so much at once, as %s", (protocol) => {
    it.live("gets everything in pieces, but for what alone is more, and learns not to ask for it twice", () =>
      Effect.gen(function* () {
        const { flush, front, lines, receiver, traces, within } = yield* setUp([{ largestBytes: 6_000 }], { protocol })
        const fat = Effect.withSpan(Effect.void, "fat", { attributes: { body: "x".repeat(10_000) } })
        yield* within(spans(30))
        yield* within(fat)
        yield* within(spans(30))
        yield* flush
        assert.deepStrictEqual(
          (yield* receiver.spans).map(({ name, resource }) => [name, resource["service.name"]]),
          Array.from({ length: 60 }, () => ["work", "shop"])
        )
        const first = yield* traces
        assert.deepInclude(first, { offered: 61, arrived: 60, pending: 0, pendingBytes: 0, lastFailure: "status 413" })
        assert.deepInclude(first.dropped, { refused: 1 })
        assert.lengthOf(lines, 1)
        yield* within(spans(60))
        yield* flush
        const second = yield* traces
        assert.deepInclude(second, { offered: 121, arrived: 120 })
        const statuses = (yield* front.seen).slice(first.requests).map(({ body }) => body.length > 6_000)
        assert.notInclude(statuses, true)
      })
    )
  })

  it.live("one span that is more than a queue holds is dropped alone, whatever waits and whatever is beside it", () =>
    Effect.gen(function* () {
      const { flush, front, lines, receiver, traces, within } = yield* setUp(["hang"], {
        timeout: "200 millis",
        maxQueueBytes: 100_000
      })
      const hand = within(Effect.timeoutOption(Exporting.flush, "50 millis"))
      yield* within(spans(300, "before"))
      yield* hand
      yield* within(spans(100, "beside"))
      yield* within(Effect.withSpan(Effect.void, "fat", { attributes: { body: "x".repeat(200_000) } }))
      yield* hand
      const stats = yield* traces
      assert.deepInclude(stats, { offered: 401, pending: 400 })
      assert.deepInclude(stats.dropped, { oversized: 1, overflow: 0 })
      assert.match(lines.join("\n"), /\(oversized\): one alone is more than the 100000 bytes that may wait/)
      yield* front.behave("forward")
      yield* flush
      assert.deepInclude(yield* traces, { arrived: 400, pending: 0, pendingBytes: 0 })
      assert.strictEqual((yield* receiver.spans).filter(({ name }) => name === "beside").length, 100)
    })
  )

  it.live("a redirect is not followed: what goes with an export goes to nobody else", () =>
    Effect.gen(function* () {
      const { flush, front, receiver, traces, within } = yield* setUp(["forward"], {
        headers: { "x-api-key": Redacted.make("s3cret") }
      })
      yield* front.behave({ status: 307, headers: { location: `${receiver.url}/v1/traces` } })
      yield* within(spans(2))
      yield* flush
      assert.deepStrictEqual(yield* receiver.exports, [])
      assert.deepInclude((yield* traces).dropped, { refused: 2 })
    })
  )

  it.live.each([502, 503, 504, "reset"] as const)(
    "a receiver that is well again after %s gets everything, once",
    (bad) =>
      Effect.gen(function* () {
        const { flush, front, lines, receiver, traces, within } = yield* setUp([
          bad === "reset" ? bad : { status: bad },
          "forward"
        ])
        yield* within(spans(6))
        yield* flush
        assert.strictEqual((yield* receiver.spans).length, 6)
        const stats = yield* traces
        assert.deepInclude(stats, { offered: 6, arrived: 6, requests: 2 })
        assert.strictEqual(droppedOf(stats), 0)
        const [first, second] = yield* front.seen
        assert.isAtLeast((second?.atMillis ?? 0) - (first?.atMillis ?? 0), 450, "it waits before it asks again")
        assert.deepStrictEqual(lines, [])
      })
  )

  it.live("a receiver that says how long to wait is not asked before, by no batch and by no flush", () =>
    Effect.gen(function* () {
      const { flush, front, receiver, traces, within } = yield* setUp([
        refusal(429, "slow down", { "retry-after": "2" }),
        "forward"
      ])
      yield* within(spans(6))
      yield* Effect.all([flush, Effect.andThen(Effect.sleep("300 millis"), Effect.andThen(within(spans(2)), flush))], {
        concurrency: "unbounded"
      })
      assert.strictEqual((yield* receiver.spans).length, 8)
      assert.deepInclude(yield* traces, { arrived: 8, requests: 3 })
      const [first, second] = yield* front.seen
      assert.isAtLeast((second?.atMillis ?? 0) - (first?.atMillis ?? 0), 1_990)
    })
  )

  it.live("a receiver that is not there is tried for as long as giveUpAfter, with one line of warning", () =>
    Effect.gen(function* () {
      const { close, front, lines, traces, within } = yield* setUp(["reset"], {
        giveUpAfter: "1200 millis",
        exportIntervals: { traces: "50 millis" }
      })
      yield* within(spans(3))
      yield* Effect.repeat(Effect.delay(traces, "5 millis"), { until: ({ requests }) => requests > 0 })
      yield* within(spans(4))
      assert.deepInclude(yield* traces, { arrived: 0, pending: 3 })
      const gone = yield* traces.pipe(
        Effect.delay("50 millis"),
        Effect.repeat({ until: ({ pending }) => pending === 0 }),
        Effect.timeout("30 seconds")
      )
      assert.deepInclude(gone, { offered: 7, arrived: 0 })
      assert.strictEqual(gone.dropped.exhausted, 7)
      assert.isAbove(gone.requests, 2)
      assert.strictEqual((yield* front.seen).length, gone.requests)
      assert.strictEqual(gone.lastFailure, "ERR_NETWORK_CONNECTION_RESET")
      yield* close
      assert.strictEqual(lines.length, 1, lines.join("\n"))
    })
  )

  it.live("a receiver that says nothing is given up after the timeout of each attempt", () =>
    Effect.gen(function* () {
      const { flush, front, receiver, traces, within } = yield* setUp(["hang", "forward"], { timeout: "200 millis" })
      yield* within(spans(3))
      yield* flush
      assert.strictEqual((yield* receiver.spans).length, 3)
      assert.deepInclude(yield* traces, { arrived: 3, requests: 2, lastFailure: "no answer within 200ms" })
      assert.strictEqual((yield* front.seen).length, 2)
    })
  )

  it.live("what is over the queue's bounds makes room for what is newer, and is counted", () =>
    Effect.gen(function* () {
      const { close, front, lines, receiver, traces, within } = yield* setUp(["hang"], {
        timeout: "1 second",
        maxBatchItems: 10,
        maxQueueBatches: 3
      })
      // batches are handed over by a fiber of their own
      const batch = (name: string) => Effect.andThen(within(spans(10, name)), Effect.sleep("20 millis"))
      for (const name of ["first", "second", "third", "fourth", "fifth"]) yield* batch(name)
      const stats = yield* traces
      assert.deepInclude(stats, { offered: 50, pending: 30, pendingBatches: 3 })
      assert.deepInclude(stats.dropped, { overflow: 20 })
      yield* front.behave("forward")
      yield* close
      // the first was on its way when the others came
      assert.deepStrictEqual(
        [...new Set((yield* receiver.spans).map(({ name }) => name))],
        ["first", "fourth", "fifth"]
      )
      assert.deepInclude(yield* traces, { offered: 50, arrived: 30, pending: 0, pendingBytes: 0 })
      assert.match(lines.join("\n"), /^Warn: Otlp: spans for .* \(overflow\): the queue is full with \d+ bytes/)
    })
  )

  it.live("a closing layer waits no longer than its shutdownTimeout for a receiver that says nothing", () =>
    Effect.gen(function* () {
      const { close, lines, stats, within } = yield* setUp(["hang"], {
        shutdownTimeout: "400 millis",
        signals: ["traces", "metrics", "logs"]
      })
      yield* within(
        Effect.gen(function* () {
          yield* spans(12)
          yield* Effect.logInfo("one")
          yield* Metric.update(Metric.counter("two"), 1)
        })
      )
      const { isFirst, value: millis } = yield* racingTimer(1_150)(timed(close))
      assert.isAtLeast(millis, 390)
      assert.isTrue(isFirst, "three signals wait together, not one after another")
      const { logs, metrics, traces } = yield* stats
      assert.deepInclude(traces, { offered: 12, arrived: 0, pending: 0, pendingBytes: 0 })
      assert.strictEqual(traces.dropped.shutdown, 12)
      assert.strictEqual(logs.dropped.shutdown, 1)
      assert.strictEqual(metrics.dropped.shutdown, metrics.offered)
      assert.strictEqual(lines.filter((line) => line.includes("dropped at shutdown")).length, 3)
    })
  )

  it.live("a closing layer ends a back-off, and sends what there is", () =>
    Effect.gen(function* () {
      const { close, front, receiver, within } = yield* setUp(["reset"], {
        exportIntervals: { traces: "20 millis" },
        shutdownTimeout: "2 seconds"
      })
      yield* within(spans(3))
      // after the third failure it waits for two seconds or more
      yield* Effect.repeat(Effect.delay(front.seen, "20 millis"), { until: (seen) => seen.length >= 3 })
      yield* front.behave("forward")
      yield* close
      assert.strictEqual((yield* receiver.spans).length, 3)
    })
  )

  it.live("its own requests make no spans and carry no trace, whatever client carries them and whoever traces", () =>
    Effect.gen(function* () {
      const receiver = yield* OtlpReceiver.start
      const front = yield* startFront(receiver, ["forward"])
      const carrier = Layer.effect(
        HttpClient.HttpClient,
        Effect.map(HttpClient.HttpClient, HttpClient.transformResponse(Effect.withSpan("carrier")))
      ).pipe(Layer.provide(NodeHttpClient.layerUndici))
      const exporter = Exporting.layer({ url: front.url, exportIntervals: { traces: "20 millis" } }).pipe(
        Layer.provide(carrier)
      )
      yield* Effect.gen(function* () {
        yield* Effect.gen(function* () {
          yield* spans(2)
          yield* Effect.sleep("200 millis")
          // handed over inside of a span, by whoever fills the batch
          yield* Effect.withSpan(Effect.andThen(spans(600), Exporting.flush), "outer")
        }).pipe(Effect.provide(exporter))
        assert.strictEqual(yield* MemoryTracer.text(), "builds the layer: still running")
      }).pipe(Effect.withSpan("builds the layer"), Effect.provide(MemoryTracer.layer()))
      const names = new Set((yield* receiver.spans).map(({ name }) => name))
      assert.deepStrictEqual([...names].toSorted(), ["outer", "work"])
      assert.strictEqual((yield* receiver.spans)[0]?.resource["service.name"], "unknown_service")
      for (const { headers } of yield* front.seen) {
        assert.notProperty(headers, "traceparent")
        assert.notProperty(headers, "b3")
      }
    })
  )

  it.live("counts for operators: what arrived, what was dropped and why, and what waits", () =>
    Effect.gen(function* () {
      const registry = new Map()
      yield* Effect.gen(function* () {
        const { close, flush, front, within } = yield* setUp(["forward"], { exportIntervals: { traces: "1 hour" } })
        const series = Effect.map(Metric.snapshot, (all) =>
          Object.fromEntries(
            all.map(({ attributes, id, state }) => [
              `${id} ${attributes?.["error.type"] ?? ""}`.trim(),
              "count" in state ? state.count : "value" in state ? state.value : undefined
            ])
          )
        )
        yield* within(spans(5))
        yield* flush
        assert.deepStrictEqual(yield* series, {
          "otel.sdk.exporter.span.inflight": 0,
          "otel.sdk.exporter.span.exported": 5
        })
        yield* front.behave({ status: 400 })
        yield* within(spans(2))
        yield* flush
        assert.deepInclude(yield* series, { "otel.sdk.exporter.span.exported refused": 2 })
        yield* close
        assert.deepStrictEqual(yield* series, {})
      }).pipe(Effect.provideService(Metric.MetricRegistry, registry))
    })
  )

  it.live.each(["hang", "forward"] as const)(
    "leaves nothing behind when receivers %s: no fiber, timer, socket",
    (behaviour) =>
      Effect.gen(function* () {
        const receiver = yield* OtlpReceiver.start
        const front = yield* startFront(receiver, [behaviour])
        const exporter = Exporting.layer({
          url: front.url,
          shutdownTimeout: behaviour === "hang" ? "100 millis" : "1 minute"
        }).pipe(Layer.provide(NodeHttpClient.layerUndici), Layer.provide(keepingLines().layer))
        yield* LeakCheck.around(Effect.provide(spans(700), exporter))
      })
  )
})

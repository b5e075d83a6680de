import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Metric, Redacted, References } from "effect"
import { HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { Otlp } from "@holdfast/telemetry"
import { backoffOf } from "../src/internal/otlp/deliveryPace.ts"

type Answer = number | "lost" | { readonly status: number; readonly retryAfter: string }

/** A receiver without a socket, and when it was asked, in seconds of the test's clock. */
const scripted = (first: ReadonlyArray<Answer>) => {
  const asked: Array<number> = []
  const state = { answers: [...first] }
  const client = HttpClient.make((request) =>
    Effect.clockWith((clock) =>
      Effect.suspend(() => {
        asked.push(clock.currentTimeMillisUnsafe() / 1000)
        const answer = (state.answers.length > 1 ? state.answers.shift() : state.answers[0]) ?? 200
        if (answer === "lost") {
          const reason = new HttpClientError.TransportError({ request, cause: new Error("gone") })
          return Effect.fail(new HttpClientError.HttpClientError({ reason }))
        }
        const [status, headers] =
          typeof answer === "number" ? [answer, {}] : [answer.status, { "retry-after": answer.retryAfter }]
        return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status, headers })))
      })
    )
  )
  return { asked, state, layer: Layer.succeed(HttpClient.HttpClient, client) }
}

const exporting = (receiver: ReturnType<typeof scripted>, lines: Array<string>, options: Partial<Otlp.Options> = {}) =>
  Otlp.layer({ url: "https://user:s3cret@collector.internal/base/?key=s3cret", signals: ["traces"], ...options }).pipe(
    Layer.provide(receiver.layer),
    Layer.provide(
      Logger.layer([
        Logger.make(({ fiber, logLevel, message }) => {
          assert.deepStrictEqual(fiber.getRef(References.CurrentLogAnnotations), {})
          lines.push(`${logLevel}: ${String(Array.isArray(message) ? message.join(" ") : message)}`)
        })
      ])
    )
  )

const span = Effect.withSpan(Effect.void, "work")

describe("the OTLP exporter", () => {
  it.effect("says once that it drops, and once that it is well again, with the number of what was lost", () => {
    const receiver = scripted([400])
    const lines: Array<string> = []
    return Effect.gen(function* () {
      for (let turn = 0; turn < 10; turn++) {
        yield* span
        yield* TestClock.adjust("5 seconds")
      }
      assert.lengthOf(lines, 1)
      receiver.state.answers = [200]
      for (let turn = 0; turn < 10; turn++) {
        yield* span
        yield* TestClock.adjust("5 seconds")
      }
      assert.deepStrictEqual(lines, [
        "Warn: Otlp: spans for https://collector.internal/base/v1/traces are being dropped (refused): status 400. " +
          "Further drops are counted, not logged",
        "Info: Otlp: spans arrive again at https://collector.internal/base/v1/traces; 10 were dropped in 45s (refused 10)"
      ])
      const { traces } = yield* Otlp.stats
      assert.deepInclude(traces, { offered: 20, arrived: 10 })
    }).pipe(Effect.provide(exporting(receiver, lines)))
  })

  it.effect("says that the queue is full as its own, not as the exporter that hands over to it", () => {
    const receiver = scripted(["lost"])
    const lines: Array<string> = []
    return Effect.gen(function* () {
      for (let turn = 0; turn < 4; turn++) {
        yield* span
        yield* TestClock.adjust("5 seconds")
      }
      assert.lengthOf(lines, 1)
      assert.match(
        lines[0] ?? "",
        /\(overflow\): the queue is full with \d+ bytes, last failure: ERR_NETWORK_TRANSPORT_FAILED/
      )
    }).pipe(Effect.provide(exporting(receiver, lines, { maxQueueBatches: 2, shutdownTimeout: 0 })))
  })

  it.effect("tries a batch with growing waits until giveUpAfter is over, then goes on with the next", () => {
    const receiver = scripted(["lost"])
    const lines: Array<string> = []
    return Effect.gen(function* () {
      yield* span
      yield* TestClock.adjust("5 seconds")
      for (let second = 0; second < 120; second++) yield* TestClock.adjust("1 second")
      const { traces } = yield* Otlp.stats
      assert.deepInclude(traces, { offered: 1, pending: 0, lastFailure: "ERR_NETWORK_TRANSPORT_FAILED" })
      assert.strictEqual(traces.dropped.exhausted, 1)
      const waits = receiver.asked.slice(1).map((at, index) => at - (receiver.asked[index] ?? 0))
      assert.isAtLeast(waits.length, 4)
      for (const [index, wait] of waits.entries()) {
        const full = Math.min(30, 2 ** index)
        // the clock is moved by whole seconds
        assert.isAtLeast(wait, full / 2)
        assert.isAtMost(wait, full + 1)
      }
      assert.isAtMost((receiver.asked.at(-1) ?? 0) - (receiver.asked[0] ?? 0), 60)
      // whoever failed for so long is not asked at once for the next batch either
      receiver.state.answers = [200]
      yield* span
      yield* Otlp.flush
      assert.strictEqual((yield* Otlp.stats).traces.arrived, 1)
    }).pipe(Effect.provide(exporting(receiver, lines)))
  })

  it.effect("waits as long as the receiver asks, but a minute at most", () => {
    const receiver = scripted([{ status: 429, retryAfter: "40" }, { status: 503, retryAfter: "86400" }, 200])
    return Effect.gen(function* () {
      yield* span
      for (let second = 0; second < 120; second++) yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(receiver.asked, [5, 45, 105])
      assert.strictEqual((yield* Otlp.stats).traces.arrived, 1)
    }).pipe(Effect.provide(exporting(receiver, [], { giveUpAfter: "5 minutes" })))
  })

  it.effect("what cannot be encoded is dropped alone, and counted", () => {
    const receiver = scripted([200])
    return Effect.gen(function* () {
      const span = yield* Effect.makeSpan("poisoned")
      // as untyped code might give it: no encoder can write an instant that is no whole number
      span.event("broken", NaN as unknown as bigint)
      yield* Effect.withSpan(Effect.void, "before")
      span.end(1n, yield* Effect.exit(Effect.void))
      yield* Effect.withSpan(Effect.void, "after")
      yield* Otlp.flush
      yield* Effect.withSpan(Effect.void, "work")
      yield* Otlp.flush
      const { traces } = yield* Otlp.stats
      assert.deepInclude(traces, { offered: 4, arrived: 3, pending: 0 })
      assert.strictEqual(traces.dropped.unencodable, 1)
    }).pipe(Effect.provide(exporting(receiver, [])))
  })

  it.effect("sends no metrics where there are none", () => {
    const receiver = scripted([200])
    return Effect.gen(function* () {
      yield* Otlp.flush
      assert.deepStrictEqual(receiver.asked, [])
    }).pipe(
      Effect.provide(exporting(receiver, [], { signals: ["logs"] })),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  })

  it("backs off from one second to half a minute, less up to half of it", () => {
    assert.deepStrictEqual(
      [1, 2, 3, 5, 6, 100].map((failures) => backoffOf(failures, 0)),
      [1000, 2000, 4000, 16_000, 30_000, 30_000]
    )
    assert.strictEqual(backoffOf(3, 1), 2000)
  })

  it.effect("sends the headers that it is given, those that are secret too", () => {
    const heads: Array<Readonly<Record<string, string>>> = []
    const client = HttpClient.make((request) =>
      Effect.sync(() => {
        heads.push(request.headers)
        return HttpClientResponse.fromWeb(request, new Response(null, { status: 200 }))
      })
    )
    return Effect.gen(function* () {
      yield* span
      yield* Otlp.flush
      assert.deepInclude(heads[0], { "x-api-key": "s3cret", "x-tenant": "shop" })
    }).pipe(
      Effect.provide(
        Layer.provide(
          Otlp.layer({
            url: "http://collector.internal",
            signals: ["traces"],
            headers: { "X-Api-Key": Redacted.make("s3cret"), "x-tenant": "shop" }
          }),
          Layer.succeed(HttpClient.HttpClient, client)
        )
      )
    )
  })

  it.live("an interval longer than any timer is not one that is over at once", () => {
    const receiver = scripted([200])
    return Effect.gen(function* () {
      yield* span
      yield* Effect.sleep("50 millis")
      assert.deepStrictEqual(receiver.asked, [])
    }).pipe(Effect.provide(exporting(receiver, [], { exportIntervals: { traces: "100 days" } })))
  })

  it.effect(
    "what it has not begun to send counts as nothing, and a signal that is left out as nothing for good",
    () => {
      const receiver = scripted([200])
      return Effect.gen(function* () {
        const { logs, metrics, traces } = yield* Otlp.stats
        const dropped = { overflow: 0, oversized: 0, refused: 0, exhausted: 0, partial: 0, unencodable: 0, shutdown: 0 }
        const pending = { pending: 0, pendingBatches: 0, pendingBytes: 0 }
        const none = { offered: 0, arrived: 0, dropped, ...pending, requests: 0, lastFailure: undefined }
        assert.deepStrictEqual([logs, metrics, traces], [none, none, none])
      }).pipe(Effect.provide(exporting(receiver, [])))
    }
  )

  it("takes the least of each bound", () => {
    const least = { maxBatchItems: 1, maxQueueBytes: 1, maxQueueBatches: 1, timeout: 1, giveUpAfter: 1 }
    assert.isDefined(Otlp.layerFetch({ url: "http://127.0.0.1:4318", ...least, shutdownTimeout: 0 }))
  })

  it.each([
    [{ url: "collector:4318" }, /url must be an http or https url/],
    [{ url: "" }, /url must be an http or https url, got none/],
    [{ maxBatchItems: 0 }, /maxBatchItems must be a whole number of at least 1, got 0/],
    [{ maxQueueBytes: 1.5 }, /maxQueueBytes must be a whole number of at least 1, got 1.5/],
    [{ maxQueueBatches: -1 }, /maxQueueBatches must be/],
    [{ timeout: 0 }, /timeout must be longer than zero, got 0ms/],
    [{ giveUpAfter: Duration.zero }, /giveUpAfter must be longer than zero/],
    [{ exportIntervals: { logs: 0 } }, /exportIntervals.logs must be longer than zero/],
    [{ shutdownTimeout: -1 }, /shutdownTimeout must not be negative, got -1ms/],
    // what no type lets through comes out of a file
    [{ signals: ["traces", "profiles" as "logs"] }, /signals must be of traces, metrics, logs, got profiles/]
  ] as const)("refuses %o", (options, message) => {
    assert.throws(() => Otlp.layerFetch({ url: "http://127.0.0.1:4318", ...options }), RangeError, message)
  })
})

import { assert, describe, it } from "@effect/vitest"
import * as PolicyRegistry from "@holdfast/core/PolicyRegistry"
import * as Reason from "@holdfast/core/Reason"
import * as HttpPolicy from "@holdfast/http/HttpPolicy"
import * as Upstream from "@holdfast/http/Upstream"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import { Effect, Layer, Metric } from "effect"
import * as Metrics from "../src/Metrics.ts"
import { prometheusName } from "../src/internal/prometheus/prometheusNames.ts"
import { attemptEnd, callEnd, callError, isolated, observed, observer, serviceUnavailable } from "./support/observed.ts"
import { cases } from "./support/policies.ts"

const definitions: ReadonlyArray<readonly [string, Metrics.Definition]> = Object.entries(Metrics.catalogue)

/** Everything that can be heard of calls, an upstream with every stage that has figures, and every policy by itself. */
const everything = Effect.gen(function* () {
  const heard = yield* observer
  const call = observed()
  heard.callStarted?.(call)
  heard.waited?.(call, { stage: "bulkhead", millis: 3 })
  heard.refused?.(call, new Reason.BulkheadFull({}))
  const sizes = { requestBytes: 10, responseBytes: 20, timings: { protocol: "http/1.1", queueMillis: 1 } } as const
  for (const end of [
    attemptEnd(sizes),
    attemptEnd({ ...sizes, outcome: "failure", status: 503, reason: serviceUnavailable })
  ]) {
    heard.attemptStarted?.(call, end)
    heard.attemptEnded?.(call, end)
  }
  heard.retryScheduled?.(call, { reason: serviceUnavailable, delayMillis: 1, resend: 1 })
  heard.hedgeStarted?.(call, { afterMillis: 1 })
  heard.hedgeSettled?.(call, { isHedge: true })
  heard.joined?.(call)
  heard.callEnded?.(call, callEnd({ outcome: "failure", error: callError(serviceUnavailable, "deadline") }))

  const upstream = yield* Upstream.make("orders", {
    baseUrl: "https://orders.internal",
    version: "2",
    policy: HttpPolicy.aggressive({
      rateLimit: { limit: 100, window: "1 second" },
      singleFlight: {},
      throttle: {},
      bulkhead: {},
      adaptiveConcurrency: {},
      hedge: { delay: "100 millis" }
    })
  })
  yield* upstream.get("/orders")
  for (const { kind, make } of cases) {
    const { policies, use } = make()
    yield* PolicyRegistry.register(kind, policies)
    yield* use
  }
  // figures that a call made possible show from the second export on
  yield* Metric.snapshot
  return yield* Metric.snapshot
}).pipe(
  Effect.provide(
    Layer.provideMerge(
      ScriptedTransport.layer({ "*": [ScriptedTransport.json({})] }),
      Metrics.layer({ bodySizes: true })
    )
  ),
  Effect.scoped,
  isolated
)

describe("the catalogue", () => {
  it.effect("has every metric that is recorded, and every metric that it has is recorded", () =>
    Effect.gen(function* () {
      const recorded = new Set((yield* everything).map(({ id }) => id))
      const expected = definitions.filter(([, { source }]) => source !== "pools").map(([name]) => name)
      assert.deepStrictEqual([...recorded].sort(), expected.sort())
    })
  )

  it.effect("says of each what is recorded: kind, unit, description, buckets", () =>
    Effect.gen(function* () {
      const kinds = { counter: "Counter", upDownCounter: "Counter", histogram: "Histogram", gauge: "Gauge" } as const
      for (const snapshot of yield* everything) {
        const definition = definitions.find(([name]) => name === snapshot.id)?.[1]
        if (definition === undefined) return assert.fail(`${snapshot.id} is not in the catalogue`)
        assert.strictEqual(snapshot.type, kinds[definition.kind], snapshot.id)
        assert.strictEqual(snapshot.description, definition.description)
        assert.strictEqual(snapshot.attributes?.["unit"], definition.unit)
        if (snapshot.type === "Counter") {
          assert.strictEqual(snapshot.state.incremental, definition.kind === "counter", snapshot.id)
        }
        if (snapshot.type === "Histogram") {
          assert.deepStrictEqual(
            snapshot.state.buckets.map(([boundary]) => boundary),
            [...(definition.boundaries ?? [])]
          )
        }
      }
    })
  )

  it.effect("names every attribute that a metric has, and none that it has not", () =>
    Effect.gen(function* () {
      const found = new Map<string, Set<string>>()
      for (const { attributes = {}, id } of yield* everything) {
        const names = found.get(id) ?? new Set()
        for (const name of Object.keys(attributes)) if (name !== "unit") names.add(name)
        found.set(id, names)
      }
      for (const [name, { attributes, source }] of definitions) {
        if (source === "pools") continue
        assert.deepStrictEqual([...(found.get(name) ?? [])].sort(), [...attributes].sort(), name)
      }
    })
  )

  it("describes every attribute, and none that no metric has", () => {
    const used = new Set<string>(definitions.flatMap(([, { attributes }]) => attributes))
    assert.deepStrictEqual(Object.keys(Metrics.attributes).sort(), [...used, "otel.metric.overflow"].sort())
  })

  it("gives no two metrics the same name in Prometheus, nor one that a histogram's series have", () => {
    const names = definitions.flatMap(([name, { kind, unit }]) => {
      const shown = prometheusName(name, kind, unit)
      return kind === "histogram" ? [shown, `${shown}_bucket`, `${shown}_sum`, `${shown}_count`] : [shown]
    })
    assert.strictEqual(new Set(names).size, names.length)
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Metric, Scope } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as HttpPolicy from "@holdfast/http/HttpPolicy"
import * as ResilientClient from "@holdfast/http/ResilientClient"
import * as Upstream from "@holdfast/http/Upstream"
import * as UpstreamRegistry from "@holdfast/http/UpstreamRegistry"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as Metrics from "../src/Metrics.ts"
import { isolated, seriesOf } from "./support/observed.ts"

const bodies = { open: 0, unread: 0, found: 0 }

describe("the figures of an upstream", () => {
  it.effect("of a stage that a policy takes away and gives back are there again, with what it says then", () =>
    Effect.gen(function* () {
      let balance: number | undefined = 7
      yield* (yield* UpstreamRegistry.Current).register({
        snapshot: Effect.sync(() => ({
          name: "stock",
          policy: "",
          bodies,
          endpoints: [],
          ...(balance !== undefined && {
            budget: { balance, callsInFlight: 0, retriesInFlight: 0, granted: 0, refused: 0 }
          })
        }))
      })
      // what a policy changes shows from the next export on
      const shown = Effect.andThen(
        seriesOf("holdfast.retry_budget.balance"),
        Effect.map(seriesOf("holdfast.retry_budget.balance"), (series) => series.map(({ state }) => state))
      )
      for (const now of [7, undefined, 3, undefined, undefined, 0]) {
        balance = now
        // the look of the export before it is over with its turn
        yield* Effect.promise(() => Promise.resolve())
        yield* seriesOf("holdfast.body.open")
        assert.deepStrictEqual(yield* shown, now === undefined ? [] : [{ value: now }], String(now))
      }
    }).pipe(Effect.provide(Metrics.layer()), Effect.scoped, isolated)
  )

  it.effect("are those of the first upstreams where there are more than maxSeries, and who leaves makes room", () =>
    Effect.gen(function* () {
      const registry = yield* UpstreamRegistry.Current
      const opened = (name: string, open: number) =>
        registry.register({
          snapshot: Effect.succeed({ name, policy: "", bodies: { ...bodies, open }, endpoints: [] })
        })
      const scope = yield* Scope.make()
      yield* Scope.provide(opened("a", 1), scope)
      for (const [index, name] of ["b", "c", "d", "e"].entries()) yield* opened(name, index + 2)
      const shown = Effect.map(seriesOf("holdfast.body.open"), (series) =>
        series.map(({ labels, state }) => [labels["holdfast.upstream"], state])
      )
      assert.deepStrictEqual(yield* shown, [
        ["a", { value: 1 }],
        ["b", { value: 2 }],
        ["c", { value: 3 }]
      ])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* shown, [
        ["b", { value: 2 }],
        ["c", { value: 3 }],
        ["d", { value: 4 }]
      ])
    }).pipe(Effect.provide(Metrics.layer({ maxSeries: 3 })), Effect.scoped, isolated)
  )
})

describe("the figures of a client with a policy", () => {
  const policy = HttpPolicy.make({
    breaker: { trip: [CircuitBreaker.consecutiveFailures(1)] },
    bulkhead: {}
  })

  const failing = Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request) =>
      Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 503 })))
    )
  )

  const client = (options: ResilientClient.Options) =>
    ResilientClient.layer(options).pipe(Layer.provide(failing), Layer.provideMerge(Metrics.layer()))

  const namesOfFigures = Object.entries(Metrics.catalogue).flatMap(([name, { source }]) =>
    source === "upstreams" ? [name] : []
  )

  /** Every figure that upstreams are asked for, the new ones too: those show from the next export on. */
  const figures = Effect.andThen(
    Metric.snapshot,
    Effect.map(Metric.snapshot, (snapshots) =>
      snapshots
        .filter(({ id }) => namesOfFigures.includes(id))
        .map(({ attributes, id, state }) => JSON.stringify([id, Object.entries(attributes ?? {}).toSorted(), state]))
        .toSorted()
    )
  )

  /** What a stage says at each endpoint: of which upstream, and how much. */
  const ofStage = (id: Metrics.Name, stage: string) =>
    Effect.map(seriesOf(id), (series) =>
      series
        .filter(({ labels }) => labels["holdfast.stage"] === stage)
        .map(({ labels, state }) => [
          labels["holdfast.upstream"],
          `${labels["server.address"]}:${labels["server.port"]}`,
          typeof state === "object" && "count" in state ? state.count : state
        ])
    )

  const statesOf = Effect.map(seriesOf("holdfast.circuit.state"), (series) =>
    series.flatMap(({ labels, state }) =>
      typeof state === "object" && "value" in state && state.value === 1
        ? [
            [
              labels["holdfast.upstream"],
              `${labels["server.address"]}:${labels["server.port"]}`,
              labels["holdfast.circuit.state"]
            ]
          ]
        : []
    )
  )

  /** One call that fails and opens the circuit, and one that is refused. */
  const failTwice = (url: string) =>
    Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      const call = Effect.exit(Effect.flatMap(client.get(url), ({ text }) => text))
      yield* call
      yield* call
    })

  it.effect("are those that an upstream of its name and its endpoint has after the same calls", () =>
    Effect.gen(function* () {
      const ofClient = yield* Effect.gen(function* () {
        yield* failTwice("https://stock.internal/items")
        return yield* figures
      }).pipe(Effect.provide(client({ name: "stock", policy })), isolated)
      const ofUpstream = yield* Effect.gen(function* () {
        const stock = yield* Upstream.make("stock", { baseUrl: "https://stock.internal", policy })
        yield* Effect.exit(stock.get("/items"))
        yield* Effect.exit(stock.get("/items"))
        return yield* figures
      }).pipe(
        Effect.scoped,
        Effect.provide(Layer.merge(ScriptedTransport.layer({ "*": [ScriptedTransport.status(503)] }), Metrics.layer())),
        isolated
      )
      assert.deepStrictEqual(ofClient, ofUpstream)
      assert.isAbove(ofClient.length, 15)
    })
  )

  it.effect("are of its name at each origin that was called", () =>
    Effect.gen(function* () {
      yield* failTwice("https://one.internal/a")
      yield* failTwice("http://two.internal:8080/b")
      yield* failTwice("http://two.internal:8080/c")
      yield* Metric.snapshot
      assert.deepStrictEqual(yield* statesOf, [
        ["stock", "one.internal:443", "Open"],
        ["stock", "two.internal:8080", "Open"]
      ])
      assert.deepStrictEqual(yield* ofStage("holdfast.stage.admitted", "breaker"), [
        ["stock", "one.internal:443", 1],
        ["stock", "two.internal:8080", 1]
      ])
      assert.deepStrictEqual(yield* ofStage("holdfast.stage.refused", "breaker"), [
        ["stock", "one.internal:443", 1],
        ["stock", "two.internal:8080", 3]
      ])
    }).pipe(Effect.provide(client({ name: "stock", policy })), isolated)
  )

  it.effect("are, where it has no name, of each origin by the origin's own, from its first call on", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* figures, [])
      yield* failTwice("https://one.internal/a")
      yield* (yield* HttpClient.HttpClient).get("http://two.internal:8080/b")
      yield* Metric.snapshot
      assert.deepStrictEqual(yield* statesOf, [
        ["one.internal:443", "one.internal:443", "Open"],
        ["two.internal:8080", "two.internal:8080", "Open"]
      ])
      assert.deepStrictEqual(yield* ofStage("holdfast.stage.admitted", "breaker"), [
        ["one.internal:443", "one.internal:443", 1],
        ["two.internal:8080", "two.internal:8080", 1]
      ])
      assert.deepStrictEqual(yield* ofStage("holdfast.stage.refused", "breaker"), [
        ["one.internal:443", "one.internal:443", 1],
        ["two.internal:8080", "two.internal:8080", 0]
      ])
    }).pipe(Effect.provide(client({ policy })), isolated)
  )
})

import { assert, describe, it } from "@effect/vitest"
import * as Bulkhead from "@holdfast/core/Bulkhead"
import * as PolicyRegistry from "@holdfast/core/PolicyRegistry"
import * as HttpPolicy from "@holdfast/http/HttpPolicy"
import * as Upstream from "@holdfast/http/Upstream"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import { Effect, Exit, Metric, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Metrics from "../src/Metrics.ts"
import { isolated } from "./support/observed.ts"
import { cases, slow, together } from "./support/policies.ts"

/** The figures of policies by themselves that are not 0, each by its metric and its attributes but the name. */
const figuresOf = (name: string) =>
  Effect.map(Metric.snapshot, (snapshots) => {
    const figures: Record<string, number> = {}
    for (const { attributes = {}, id, state } of snapshots) {
      const { unit: _, "holdfast.policy": policy, ...labels } = attributes
      if (policy !== name) continue
      const key = [id, ...Object.values(labels)].join(" ")
      const value = "value" in state ? state.value : "count" in state ? state.count : Number.NaN
      if (value !== 0) figures[key] = Number(value)
      if ("sum" in state && state.sum !== 0) figures[`${key}, sum`] = state.sum
    }
    return figures
  })

const policies = Effect.map(Metric.snapshot, (snapshots) => [
  ...new Set(snapshots.flatMap(({ attributes }) => attributes?.["holdfast.policy"] ?? []))
])

const withMetrics = <A, E>(self: Effect.Effect<A, E, Scope.Scope>) =>
  Effect.gen(function* () {
    // a registry of its own, so that no test sees another's policies
    const registry = PolicyRegistry.make()
    return yield* self.pipe(
      Effect.provide(Metrics.layer()),
      Effect.scoped,
      Effect.provideService(PolicyRegistry.Current, registry)
    )
  }).pipe(isolated)

describe("a policy that stands by itself", () => {
  for (const { figures, kind, make } of cases) {
    it.effect(`${kind}: is in the metrics by its name`, () =>
      withMetrics(
        Effect.gen(function* () {
          const { policies, use } = make()
          yield* PolicyRegistry.register("orders-db", policies)
          yield* use
          const found = yield* figuresOf("orders-db")
          if (kind === "throttle") {
            const sum =
              (found["holdfast.stage.admitted throttle"] ?? 0) + (found["holdfast.stage.refused throttle"] ?? 0)
            assert.deepStrictEqual({ "holdfast.stage throttle": sum }, figures)
            assert.isAbove(found["holdfast.throttle.probability critical"] ?? 0, 0)
          } else assert.deepStrictEqual(found, figures)
        })
      )
    )

    it.effect(`${kind}: without a name is in no metric`, () =>
      withMetrics(
        Effect.gen(function* () {
          yield* make().use
          const snapshots = yield* Metric.snapshot
          assert.deepStrictEqual(snapshots, [])
        })
      )
    )
  }

  it("every kind that can be registered has its row above", () => {
    const given: { readonly [K in keyof PolicyRegistry.Policies]-?: true } = {
      adaptiveConcurrency: true,
      attemptTimeout: true,
      breaker: true,
      budget: true,
      bulkhead: true,
      fallback: true,
      hedge: true,
      rateLimit: true,
      retry: true,
      singleFlight: true,
      throttle: true
    }
    assert.deepStrictEqual(cases.map(({ kind }) => kind).sort(), Object.keys(given).sort())
  })

  it.effect("is there whichever came first, it or the metrics, and leaves with its scope", () =>
    withMetrics(
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const bulkhead = Bulkhead.make({ maxConcurrent: 1 })
        yield* Scope.provide(PolicyRegistry.register("orders-db", { bulkhead }), scope)
        yield* together(bulkhead.run(slow), bulkhead.run(slow))
        const registry = yield* PolicyRegistry.Current
        const before = PolicyRegistry.make()
        yield* Effect.gen(function* () {
          yield* PolicyRegistry.register("earlier", { bulkhead })
          const names = yield* policies.pipe(Effect.provide(Metrics.layer()))
          assert.deepStrictEqual(names, ["earlier"])
        }).pipe(isolated, Effect.provideService(PolicyRegistry.Current, before))
        assert.lengthOf(yield* registry.list, 1)
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* registry.list, [])
        // gauges go at once, counts when the last export has had them
        assert.notProperty(yield* figuresOf("orders-db"), "holdfast.bulkhead.limit")
        assert.property(yield* figuresOf("orders-db"), "holdfast.queue.duration bulkhead")
        yield* TestClock.adjust("1 minute")
        yield* policies
        assert.deepStrictEqual(yield* policies, [])
      })
    )
  )

  it.effect("nobody listens to it any more once it or the metrics are gone", () =>
    Effect.gen(function* () {
      let listeners = 0
      const { events, snapshot } = Bulkhead.make()
      const bulkhead = {
        snapshot,
        events: {
          ...events,
          subscribe: (listener: (event: Bulkhead.Event) => void) => {
            listeners++
            const stop = events.subscribe(listener)
            return () => {
              listeners--
              stop()
            }
          }
        }
      }
      yield* withMetrics(
        Effect.gen(function* () {
          yield* Effect.scoped(
            Effect.andThen(
              PolicyRegistry.register("orders-db", { bulkhead }),
              Effect.sync(() => assert.strictEqual(listeners, 1))
            )
          )
          assert.strictEqual(listeners, 0)
          yield* PolicyRegistry.register("orders-db", { bulkhead })
        })
      )
      assert.strictEqual(listeners, 0)
    })
  )

  it.effect("two of one name are counted together, and the one that stays goes on", () =>
    withMetrics(
      Effect.gen(function* () {
        const [first, second] = [Bulkhead.make(), Bulkhead.make()]
        const scope = yield* Scope.make()
        yield* Scope.provide(PolicyRegistry.register("orders-db", { bulkhead: first }), scope)
        yield* PolicyRegistry.register("orders-db", { bulkhead: second })
        yield* Effect.all([first.run(Effect.void), first.run(Effect.void), second.run(Effect.void)])
        assert.strictEqual((yield* figuresOf("orders-db"))["holdfast.stage.admitted bulkhead"], 3)
        yield* Scope.close(scope, Exit.void)
        yield* second.run(Effect.void)
        // the next export
        yield* Effect.yieldNow
        assert.strictEqual((yield* figuresOf("orders-db"))["holdfast.stage.admitted bulkhead"], 4)
      })
    )
  )

  it.effect("registered twice by one name is counted once, until it has left twice", () =>
    withMetrics(
      Effect.gen(function* () {
        const bulkhead = Bulkhead.make({ maxConcurrent: 1 })
        const registering = PolicyRegistry.register("orders-db", { bulkhead })
        const [first, second] = [yield* Scope.make(), yield* Scope.make()]
        yield* Scope.provide(registering, first)
        yield* Scope.provide(registering, second)
        const queue = together(bulkhead.run(slow), bulkhead.run(slow))
        const counts = Effect.map(figuresOf("orders-db"), (figures) => [
          figures["holdfast.queue.duration bulkhead"],
          figures["holdfast.stage.admitted bulkhead"],
          figures["holdfast.bulkhead.limit"]
        ])
        yield* queue
        assert.deepStrictEqual(yield* counts, [1, 2, 1])
        yield* Scope.close(first, Exit.void)
        yield* queue
        assert.deepStrictEqual(yield* counts, [2, 4, 1])
        yield* Scope.close(second, Exit.void)
        yield* queue
        assert.deepStrictEqual(yield* counts, [2, 4, undefined])
      })
    )
  )

  it.effect("is read once when it comes and once when it leaves, whatever others there are", () =>
    withMetrics(
      Effect.gen(function* () {
        let looks = 0
        const { events, snapshot } = Bulkhead.make()
        const bulkhead = () => ({
          events,
          snapshot: Effect.andThen(
            Effect.sync(() => void looks++),
            snapshot
          )
        })
        yield* Effect.scoped(
          Effect.gen(function* () {
            for (let index = 0; index < 50; index++) {
              yield* PolicyRegistry.register(`tenant${index}`, { bulkhead: bulkhead() })
            }
            assert.strictEqual(looks, 50)
          })
        )
        assert.strictEqual(looks, 100)
      })
    )
  )

  it.effect("what two of one name waited stays as long as one of them does", () =>
    withMetrics(
      Effect.gen(function* () {
        const bulkhead = Bulkhead.make({ maxConcurrent: 1 })
        yield* PolicyRegistry.register("orders-db", { bulkhead })
        yield* together(bulkhead.run(slow), bulkhead.run(slow))
        yield* Effect.scoped(PolicyRegistry.register("orders-db", { bulkhead: Bulkhead.make() }))
        yield* TestClock.adjust("2 minutes")
        yield* policies
        assert.strictEqual((yield* figuresOf("orders-db"))["holdfast.queue.duration bulkhead"], 1)
      })
    )
  )

  it.effect("a stage of an upstream is not told as one", () =>
    withMetrics(
      Effect.gen(function* () {
        const policy = HttpPolicy.aggressive({ bulkhead: {}, rateLimit: { limit: 10 } })
        const api = yield* Upstream.make("api", { baseUrl: "https://api.internal", policy })
        yield* api.get("/a")
        assert.deepStrictEqual(yield* policies, [])
      }).pipe(Effect.provide(ScriptedTransport.layer({ "*": [ScriptedTransport.json({})] })))
    )
  )
})

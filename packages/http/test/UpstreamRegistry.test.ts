import { Effect, Exit, Fiber, Layer, Random, Scope } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as Upstream from "../src/Upstream.ts"
import * as UpstreamRegistry from "../src/UpstreamRegistry.ts"

const { after, status } = ScriptedTransport

const script = ScriptedTransport.layer({ "GET /bad": [status(503)], "*": [after("1 second", status(200))] })

const alone = Effect.provideService(UpstreamRegistry.Current, UpstreamRegistry.make())

const names = Effect.map(UpstreamRegistry.list, (all) => all.map(({ name }) => name))

const everything = HttpPolicy.make({
  singleFlight: {},
  rateLimit: { limit: 3, window: "1 minute", maxWait: "10 minutes" },
  deadline: "20 minutes",
  retry: {},
  hedge: { delay: "100 millis" },
  breaker: { trip: [CircuitBreaker.consecutiveFailures(2)], openTime: "10 seconds" },
  throttle: {},
  bulkhead: { maxConcurrent: 1, maxQueue: 4, maxWait: "10 seconds" },
  adaptiveConcurrency: {},
  attemptTimeout: { limit: "1 minute" }
})

describe("UpstreamRegistry", () => {
  it.effect("every upstream that lives is listed in the order in which they came, and none that is closed", () =>
    Effect.gen(function* () {
      const [first, second] = [yield* Scope.make(), yield* Scope.make()]
      const make = (name: string, scope: Scope.Scope) =>
        Effect.provideService(Upstream.make(name, { baseUrl: "https://a.internal" }), Scope.Scope, scope)
      yield* make("stock", first)
      yield* make("payments", second)
      yield* make("mail", first)
      assert.deepStrictEqual(yield* names, ["stock", "payments", "mail"])
      yield* Scope.close(first, Exit.void)
      assert.deepStrictEqual(yield* names, ["payments"])
      yield* make("stock", second)
      assert.deepStrictEqual(yield* names, ["payments", "stock"])
      yield* Scope.close(second, Exit.void)
      assert.deepStrictEqual(yield* names, [])
    }).pipe(alone, Effect.provide(script))
  )

  it.effect("two upstreams of one name are two, told apart by their versions", () =>
    Effect.gen(function* () {
      for (const version of ["1", "2"]) yield* Upstream.make("stock", { baseUrl: "https://a.internal", version })
      const all = yield* UpstreamRegistry.list
      assert.deepStrictEqual(
        all.map(({ name, version }) => [name, version]),
        [
          ["stock", "1"],
          ["stock", "2"]
        ]
      )
    }).pipe(Effect.scoped, alone, Effect.provide(script))
  )

  it.effect("a layer leaves the registry with its program", () =>
    Effect.gen(function* () {
      class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://a.internal" }) {}
      const during = yield* Effect.andThen(Stock, names).pipe(Effect.provide(Stock.layer))
      assert.deepStrictEqual([during, yield* names], [["stock"], []])
    }).pipe(Effect.provideService(UpstreamRegistry.Current, UpstreamRegistry.make()), Effect.provide(script))
  )

  it.effect("a registry of its own does not see the process's upstreams, nor is it seen", () =>
    Effect.gen(function* () {
      yield* Upstream.make("of-the-process", { baseUrl: "https://a.internal" })
      yield* Effect.gen(function* () {
        yield* Upstream.make("of-its-own", { baseUrl: "https://a.internal" })
        assert.deepStrictEqual(yield* names, ["of-its-own"])
      }).pipe(Effect.scoped, alone)
      assert.include(yield* names, "of-the-process")
      assert.notInclude(yield* names, "of-its-own")
    }).pipe(Effect.scoped, Effect.provide(script))
  )

  it.effect("listing changes nothing, whatever the stages are doing", () =>
    Effect.gen(function* () {
      const stock = yield* Upstream.make("stock", { baseUrl: "https://a.internal", policy: everything })
      const fork = <A, E>(self: Effect.Effect<A, E>) =>
        Effect.tap(Effect.forkChild(Effect.exit(self)), () => TestClock.adjust(0))
      // idle, busy with a queue, limited, open, and half-open
      const calls: Array<Fiber.Fiber<unknown, unknown>> = []
      for (const path of ["/a", "/b", "/c", "/bad", "/bad", "/bad", "/d"]) {
        calls.push(yield* fork(stock.get(path)))
        assert.deepStrictEqual(yield* UpstreamRegistry.list, yield* UpstreamRegistry.list)
        yield* TestClock.adjust("13 seconds")
        assert.deepStrictEqual(yield* UpstreamRegistry.list, yield* UpstreamRegistry.list)
      }
      yield* TestClock.adjust("30 minutes")
      assert.deepStrictEqual(yield* UpstreamRegistry.list, yield* UpstreamRegistry.list)
      yield* Fiber.interruptAll(calls)
    }).pipe(Effect.scoped, alone, Effect.provide(script))
  )

  it.effect("a program that is watched does what one that is not does", () => {
    const program = (watch: Effect.Effect<unknown>) =>
      Effect.gen(function* () {
        const stock = yield* Upstream.make("stock", { baseUrl: "https://a.internal", policy: everything })
        const ends: Array<string> = []
        for (const [index, path] of ["/a", "/bad", "/b", "/bad", "/c", "/d", "/e", "/a"].entries()) {
          yield* Effect.forkChild(
            Effect.matchEffect(stock.get(path), {
              onFailure: ({ attempts, reason }) =>
                Effect.sync(() => void ends.push(`${index} ${reason._tag} ${attempts}`)),
              onSuccess: () => Effect.sync(() => void ends.push(`${index} ok`))
            })
          )
          for (let step = 0; step < 7; step++) {
            yield* TestClock.adjust("700 millis")
            yield* watch
          }
        }
        yield* TestClock.adjust("1 hour")
        yield* watch
        return { ends, snapshot: yield* stock.snapshot }
      }).pipe(Effect.scoped, alone, Effect.provide(Layer.merge(script, TestClock.layer())), Random.withSeed("watched"))
    return Effect.gen(function* () {
      const [watched, alone] = [yield* program(UpstreamRegistry.list), yield* program(Effect.void)]
      assert.deepStrictEqual(watched, alone)
      assert.strictEqual(watched.ends.length, 8)
    })
  })

  it.effect("a snapshot has the stages that the policy has, and no others", () =>
    Effect.gen(function* () {
      yield* Upstream.make("all", { baseUrl: "https://a.internal:8443/v1", policy: everything })
      yield* Upstream.make("none", { baseUrl: "https://a.internal", policy: HttpPolicy.none })
      const [all, none] = yield* UpstreamRegistry.list
      assert.strictEqual(none?.policy, "no policy")
      const present = (snapshot: UpstreamRegistry.Snapshot | undefined) =>
        Object.entries({ ...snapshot, ...snapshot?.endpoints[0] })
          .flatMap(([name, value]) => (value === undefined ? [] : [name]))
          .toSorted()
      assert.deepStrictEqual(present(none), ["bodies", "endpoints", "name", "origin", "policy"])
      assert.deepStrictEqual(present(all), [
        "adaptiveConcurrency",
        "attemptTimeout",
        "bodies",
        "breaker",
        "budget",
        "bulkhead",
        "endpoints",
        "hedge",
        "name",
        "origin",
        "policy",
        "rateLimit",
        "singleFlight",
        "throttle"
      ])
      assert.strictEqual(all?.endpoints[0]?.origin, "https://a.internal:8443")
    }).pipe(Effect.scoped, alone, Effect.provide(script))
  )
})

import { Deferred, Duration, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as Transport from "../src/Transport.ts"
import * as UpstreamRegistry from "../src/UpstreamRegistry.ts"
import * as UpstreamVersions from "../src/UpstreamVersions.ts"

const { after, hang, json, status } = ScriptedTransport

const blue = { baseUrl: "https://blue.internal", policy: HttpPolicy.none }

const green = { baseUrl: "https://green.internal", policy: HttpPolicy.none }

/** Two versions of one upstream, of which blue is active, in a registry of their own. */
const versions = (script: ScriptedTransport.Script) => {
  const registry = UpstreamRegistry.make()
  return <A, E>(
    use: (
      stock: UpstreamVersions.UpstreamVersions
    ) => Effect.Effect<A, E, ScriptedTransport.ScriptedRequests | Scope.Scope>
  ) =>
    Effect.gen(function* () {
      const stock = yield* UpstreamVersions.make("stock", { version: "blue", ...blue })
      yield* stock.load("green", green)
      return yield* use(stock)
    }).pipe(
      Effect.scoped,
      Effect.provideService(UpstreamRegistry.Current, registry),
      Effect.provide(ScriptedTransport.layer(script))
    )
}

const origins = Effect.map(ScriptedTransport.seen, ({ requests }) => requests.map(({ origin }) => new URL(origin).host))

const inFlight = (stock: UpstreamVersions.UpstreamVersions) =>
  Effect.map(stock.list, (all) =>
    Object.fromEntries(all.map(({ inFlight, isActive, version }) => [version + (isActive ? "*" : ""), inFlight]))
  )

const names = Effect.map(UpstreamRegistry.list, (all) => all.map(({ name, version }) => `${name} ${version}`))

/** What became of a fiber so far. */
const state = <A, E>(fiber: Fiber.Fiber<A, E>) => {
  const exit = fiber.pollUnsafe()
  return exit === undefined ? "runs" : Exit.isSuccess(exit) ? "succeeded" : "failed"
}

/** A transport that says when it is opened and closed. */
const pool = (log: Array<string>, name: string) =>
  Layer.effect(
    Transport.Transport,
    Effect.acquireRelease(
      Effect.sync(() => {
        log.push(`${name} opened`)
        return Transport.fromSend(() =>
          Effect.sync(() => {
            log.push(`${name} sends`)
            return { status: 200, headers: {}, body: new Uint8Array(), bodyComplete: true }
          }).pipe(Effect.delay("1 second"))
        )
      }),
      () => Effect.sync(() => void log.push(`${name} closed`))
    )
  )

describe("UpstreamVersions", () => {
  it.effect("a call goes to the version that is active when it begins, not when it was made", () =>
    versions({ "*": [status(200)] })((stock) =>
      Effect.gen(function* () {
        const call = stock.current.get("/items")
        yield* call
        yield* stock.switch("green")
        yield* call
        yield* stock.switch("blue")
        yield* call
        assert.deepStrictEqual(yield* origins, ["blue.internal", "green.internal", "blue.internal"])
      })
    )
  )

  it.effect("every helper, policy, stages, snapshot and reload are the active version's", () =>
    versions({ "*": [status(200)] })((stock) =>
      Effect.gen(function* () {
        const { current } = stock
        yield* stock.switch("green")
        for (const method of ["get", "head", "post", "put", "patch", "delete"] as const) yield* current[method]("/a")
        const { requests } = yield* ScriptedTransport.seen
        assert.deepStrictEqual(
          requests.map(({ method, origin }) => `${method} ${origin}`),
          ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].map((method) => `${method} https://green.internal`)
        )
        assert.strictEqual((yield* current.snapshot).version, "green")
        yield* current.reload(HttpPolicy.make({ deadline: "1 second", bulkhead: { maxConcurrent: 2 } }))
        assert.include(HttpPolicy.describe(current.policy), "bulkhead 2")
        assert.isDefined(current.stages.bulkhead)
        yield* stock.switch("blue")
        assert.strictEqual(HttpPolicy.describe(current.policy), "no policy")
        assert.isUndefined(current.stages.bulkhead)
        assert.strictEqual(current.name, "stock")
      })
    )
  )

  it.effect("of 100 calls in flight over a switch none is lost and none is moved", () =>
    versions({ "*": (request) => after("1 second", json({ from: request.origin })) })((stock) =>
      Effect.gen(function* () {
        const call = Effect.map(stock.current.get("/items"), (answer) => answer.text)
        const early = yield* Effect.forEach(Array.from({ length: 100 }), () => Effect.forkChild(call))
        yield* TestClock.adjust("500 millis")
        assert.deepStrictEqual(yield* inFlight(stock), { "blue*": 100, green: 0 })
        yield* stock.switch("green")
        const late = yield* Effect.forEach(Array.from({ length: 100 }), () => Effect.forkChild(call))
        const unloading = yield* Effect.forkChild(stock.unload("blue"))
        yield* TestClock.adjust("499 millis")
        assert.deepStrictEqual(yield* inFlight(stock), { blue: 100, "green*": 100 })
        assert.strictEqual(state(unloading), "runs")
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(state(unloading), "succeeded")
        assert.deepStrictEqual(yield* inFlight(stock), { "green*": 100 })
        yield* TestClock.adjust("500 millis")
        const answers = yield* Effect.forEach([...early, ...late], Fiber.join)
        assert.deepStrictEqual(
          answers.map((text) => text.slice(0, 22)),
          [
            ...Array.from({ length: 100 }, () => `{"from":"https://blue.`),
            ...Array.from({ length: 100 }, () => `{"from":"https://green`)
          ]
        )
        const { interrupted, requests } = yield* ScriptedTransport.seen
        assert.deepStrictEqual([requests.length, interrupted.length], [200, 0])
        assert.deepStrictEqual(yield* inFlight(stock), { "green*": 0 })
      })
    )
  )

  it.effect("the retries of a call stay at the version where it began", () =>
    Effect.gen(function* () {
      const policy = HttpPolicy.make({ retry: { backoff: { shape: "constant", base: "1 second", jitter: "none" } } })
      const stock = yield* UpstreamVersions.make("stock", { version: "blue", ...blue, policy })
      yield* stock.load("green", green)
      const fiber = yield* Effect.forkChild(Effect.flip(stock.current.get("/items")))
      yield* TestClock.adjust("500 millis")
      yield* stock.switch("green")
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).attempts, 3)
      assert.deepStrictEqual(yield* origins, ["blue.internal", "blue.internal", "blue.internal"])
    }).pipe(Effect.scoped, Effect.provide(ScriptedTransport.layer({ "*": [status(503)] })))
  )

  it.effect("a call that fails, dies or is interrupted at any instant is counted back", () =>
    versions({ "GET /fails": [after("5 millis", status(404))], "GET /works": [after("5 millis", status(200))] })(
      (stock) =>
        Effect.gen(function* () {
          for (const path of ["/fails", "/works", "/dies"]) {
            for (let millis = 0; millis <= 6; millis++) {
              const fiber = yield* Effect.forkChild(Effect.exit(stock.current.get(path)))
              yield* TestClock.adjust(millis)
              yield* Fiber.interrupt(fiber)
              assert.deepStrictEqual(yield* inFlight(stock), { "blue*": 0, green: 0 }, `${path} at ${millis} ms`)
            }
            const never = yield* Effect.forkChild(stock.current.get(path))
            yield* Fiber.interrupt(never)
            assert.deepStrictEqual(yield* inFlight(stock), { "blue*": 0, green: 0 })
          }
        })
    )
  )

  describe("drain", () => {
    it.effect("waits for the last call in flight, however it ends", () =>
      versions({ "*": [hang] })((stock) =>
        Effect.gen(function* () {
          const calls = yield* Effect.forEach([1, 2], () => Effect.forkChild(stock.current.get("/items")))
          yield* TestClock.adjust(0)
          yield* stock.switch("green")
          const drains = yield* Effect.forEach([1, 2], () => Effect.forkChild(stock.drain("blue")))
          yield* TestClock.adjust("1 second")
          yield* Effect.forEach(calls.slice(0, 1), Fiber.interrupt)
          yield* TestClock.adjust("1 second")
          assert.deepStrictEqual(drains.map(state), ["runs", "runs"])
          yield* Effect.forEach(calls, Fiber.interrupt)
          yield* TestClock.adjust(0)
          assert.deepStrictEqual(drains.map(state), ["succeeded", "succeeded"])
          assert.deepStrictEqual(yield* inFlight(stock), { blue: 0, "green*": 0 })
        })
      )
    )

    it.effect("one that gives up does not lose the news for another", () =>
      versions({ "*": [after("3 seconds", status(200))] })((stock) =>
        Effect.gen(function* () {
          yield* Effect.forkChild(stock.current.get("/items"))
          yield* TestClock.adjust(0)
          yield* stock.switch("green")
          const short = yield* Effect.forkChild(stock.drain("blue", { within: "1 second" }))
          const gone = yield* Effect.forkChild(stock.drain("blue"))
          const long = yield* Effect.forkChild(stock.drain("blue"))
          yield* TestClock.adjust("2 seconds")
          yield* Fiber.interrupt(gone)
          assert.deepStrictEqual([state(short), state(long)], ["failed", "runs"])
          yield* TestClock.adjust("1 second")
          assert.strictEqual(state(long), "succeeded")
        })
      )
    )

    it.effect("beyond its time it fails with how many calls are left; 30 s unless another time is given", () =>
      versions({ "*": [hang] })((stock) =>
        Effect.gen(function* () {
          const calls = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(stock.current.get("/items")))
          yield* TestClock.adjust(0)
          yield* stock.switch("green")
          const drain = yield* Effect.forkChild(Effect.flip(stock.drain("blue")))
          yield* TestClock.adjust("29999 millis")
          assert.strictEqual(state(drain), "runs")
          yield* TestClock.adjust("1 millis")
          const error = yield* Fiber.join(drain)
          assert.deepInclude(error, { upstream: "stock", version: "blue", why: "busy", inFlight: 3 })
          assert.strictEqual(
            error.message,
            'Upstream stock: version "blue" still had calls in flight when the time to drain was over (3); loaded: "blue", "green"'
          )
          assert.deepStrictEqual(UpstreamVersions.defaults.within, Duration.seconds(30))
          assert.deepStrictEqual(calls.map(state), ["runs", "runs", "runs"])
        })
      )
    )

    it.effect("a version that becomes active again while it drains is said to be active, at once", () =>
      versions({ "*": [hang] })((stock) =>
        Effect.gen(function* () {
          yield* Effect.forkChild(stock.current.get("/items"))
          yield* TestClock.adjust(0)
          yield* stock.switch("green")
          const drain = yield* Effect.forkChild(Effect.flip(stock.drain("blue")))
          yield* TestClock.adjust("1 second")
          yield* stock.switch("blue")
          yield* TestClock.adjust(0)
          assert.strictEqual((yield* Fiber.join(drain)).why, "active")
        })
      )
    )
  })

  describe("unload", () => {
    it.effect("takes the version from the registry and closes its pool, after its last call and in this order", () =>
      Effect.gen(function* () {
        const log: Array<string> = []
        const stock = yield* UpstreamVersions.make("stock", { version: "1", ...blue, transport: pool(log, "1") })
        yield* stock.load("2", { ...blue, transport: pool(log, "2") })
        assert.deepStrictEqual(yield* names, ["stock 1", "stock 2"])
        const call = yield* Effect.forkChild(stock.current.get("/items"))
        yield* TestClock.adjust("500 millis")
        yield* stock.switch("2")
        const unload = yield* Effect.forkChild(stock.unload("1"))
        yield* TestClock.adjust("499 millis")
        assert.deepStrictEqual(log, ["1 opened", "2 opened"])
        assert.deepStrictEqual(yield* names, ["stock 1", "stock 2"])
        yield* TestClock.adjust("1 millis")
        yield* Fiber.join(call)
        yield* Fiber.join(unload)
        assert.deepStrictEqual(log, ["1 opened", "2 opened", "1 sends", "1 closed"])
        assert.deepStrictEqual(yield* names, ["stock 2"])
        const next = yield* Effect.forkChild(stock.current.get("/items"))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(next)
        assert.deepStrictEqual(log.at(-1), "2 sends")
      }).pipe(
        Effect.scoped,
        Effect.provide(ScriptedTransport.layer({})),
        Effect.provideService(UpstreamRegistry.Current, UpstreamRegistry.make())
      )
    )

    it.effect("of a version that does not run dry leaves it loaded, and can be tried again", () =>
      versions({ "*": [after("10 seconds", status(200))] })((stock) =>
        Effect.gen(function* () {
          const call = yield* Effect.forkChild(stock.current.get("/items"))
          yield* TestClock.adjust(0)
          yield* stock.switch("green")
          const first = yield* Effect.forkChild(Effect.flip(stock.unload("blue", { within: "1 second" })))
          yield* TestClock.adjust("1 second")
          assert.deepInclude(yield* Fiber.join(first), { why: "busy", inFlight: 1 })
          assert.deepStrictEqual(yield* names, ["stock blue", "stock green"])
          const interrupted = yield* Effect.forkChild(stock.unload("blue"))
          yield* TestClock.adjust("1 second")
          assert.strictEqual((yield* Effect.flip(stock.unload("blue"))).why, "unloading")
          yield* Fiber.interrupt(interrupted)
          assert.deepStrictEqual(yield* names, ["stock blue", "stock green"])
          // back to it: what was not unloaded works
          yield* stock.switch("blue")
          yield* stock.switch("green")
          const last = yield* Effect.forkChild(stock.unload("blue"))
          yield* TestClock.adjust("8 seconds")
          yield* Fiber.join(last)
          assert.strictEqual(state(call), "succeeded")
          assert.deepStrictEqual(yield* names, ["stock green"])
          yield* stock.load("blue", blue)
          assert.deepStrictEqual(yield* names, ["stock green", "stock blue"])
        })
      )
    )
  })

  describe("errors in words", () => {
    it.effect("a version that is not there, is there already, or is active", () =>
      versions({})((stock) =>
        Effect.gen(function* () {
          const message = (change: Effect.Effect<void, UpstreamVersions.VersionError>) =>
            Effect.map(Effect.flip(change), (error) => error.message)
          const known = 'loaded: "blue", "green"'
          for (const change of [stock.switch("red"), stock.drain("red"), stock.unload("red")]) {
            assert.strictEqual(yield* message(change), `Upstream stock: version "red" is not loaded; ${known}`)
          }
          assert.strictEqual(
            yield* message(stock.load("green", green)),
            `Upstream stock: version "green" is loaded already; ${known}`
          )
          for (const change of [stock.drain("blue"), stock.unload("blue")]) {
            assert.strictEqual(
              yield* message(change),
              `Upstream stock: version "blue" is the active one; switch to another first; ${known}`
            )
          }
          yield* stock.switch("blue")
          assert.deepStrictEqual(yield* inFlight(stock), { "blue*": 0, green: 0 })
        })
      )
    )

    it.effect("a version that is being loaded or unloaded", () =>
      versions({ "*": [hang] })((stock) =>
        Effect.gen(function* () {
          const ready = yield* Deferred.make<void>()
          const slow = Layer.effect(
            Transport.Transport,
            Effect.andThen(Deferred.await(ready), Effect.succeed(Transport.fromSend(() => Effect.never)))
          )
          const loading = yield* Effect.forkChild(stock.load("red", { ...green, transport: slow }))
          yield* TestClock.adjust(0)
          for (const change of [stock.switch("red"), stock.unload("red"), stock.load("red", green)]) {
            assert.include((yield* Effect.flip(change)).message, 'version "red" is still being loaded; loaded: "blue"')
          }
          assert.deepStrictEqual(yield* inFlight(stock), { "blue*": 0, green: 0 })
          yield* Deferred.succeed(ready, undefined)
          yield* Fiber.join(loading)
          yield* Effect.forkChild(stock.current.get("/items"))
          yield* TestClock.adjust(0)
          yield* stock.switch("red")
          yield* Effect.forkChild(stock.unload("blue"))
          yield* TestClock.adjust(0)
          for (const change of [stock.switch("blue"), stock.drain("blue"), stock.unload("blue")]) {
            assert.strictEqual((yield* Effect.flip(change)).why, "unloading")
          }
        })
      )
    )
  })

  describe("load", () => {
    it.effect("that fails, dies or is interrupted leaves no trace, and its name free", () =>
      versions({})((stock) =>
        Effect.gen(function* () {
          const log: Array<string> = []
          const opened = pool(log, "half")
          const broken = (end: Effect.Effect<never, string>) =>
            Layer.effect(Transport.Transport, Effect.andThen(Transport.Transport, end)).pipe(Layer.provide(opened))
          assert.strictEqual(
            yield* Effect.flip(stock.load("red", { ...green, transport: broken(Effect.fail("no certificate")) })),
            "no certificate"
          )
          const died = yield* Effect.exit(stock.load("red", { ...green, transport: broken(Effect.die("bug")) }))
          assert.isTrue(Exit.hasDies(died))
          const wrong = yield* Effect.exit(stock.load("red", { baseUrl: "nowhere", transport: opened }))
          assert.isTrue(Exit.hasDies(wrong))
          const waiting = yield* Effect.forkChild(stock.load("red", { ...green, transport: broken(Effect.never) }))
          yield* TestClock.adjust(0)
          yield* Fiber.interrupt(waiting)
          assert.deepStrictEqual(
            log,
            [1, 2, 3, 4].flatMap(() => ["half opened", "half closed"])
          )
          assert.deepStrictEqual(yield* names, ["stock blue", "stock green"])
          assert.deepStrictEqual(yield* inFlight(stock), { "blue*": 0, green: 0 })
          yield* stock.load("red", green)
          assert.deepStrictEqual(yield* names, ["stock blue", "stock green", "stock red"])
        })
      )
    )

    it.effect("of the same transport layer twice makes two pools: a rotated one is not the old one", () =>
      versions({})((stock) =>
        Effect.gen(function* () {
          const log: Array<string> = []
          const transport = pool(log, "pool")
          yield* stock.load("1", { ...green, transport })
          yield* stock.load("2", { ...green, transport })
          assert.deepStrictEqual(log, ["pool opened", "pool opened"])
          yield* stock.unload("1")
          assert.deepStrictEqual(log, ["pool opened", "pool opened", "pool closed"])
        })
      )
    )

    it.effect("the end of the scope closes every version", () =>
      Effect.gen(function* () {
        const log: Array<string> = []
        const scope = yield* Scope.make()
        const stock = yield* UpstreamVersions.make("stock", {
          version: "1",
          ...blue,
          transport: pool(log, "1")
        }).pipe(Effect.provideService(Scope.Scope, scope))
        yield* stock.load("2", { ...green, transport: pool(log, "2") })
        yield* stock.load("3", green)
        yield* stock.unload("3")
        assert.deepStrictEqual(yield* names, ["stock 1", "stock 2"])
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(log.toSorted(), ["1 closed", "1 opened", "2 closed", "2 opened"])
        assert.deepStrictEqual(yield* names, [])
      }).pipe(
        Effect.provide(ScriptedTransport.layer({})),
        Effect.provideService(UpstreamRegistry.Current, UpstreamRegistry.make())
      )
    )
  })

  it.effect("each version has stages of its own, and looking at them changes nothing", () =>
    Effect.gen(function* () {
      const policy = HttpPolicy.make({ deadline: "1 second", breaker: {}, bulkhead: {} })
      const stock = yield* UpstreamVersions.make("stock", { version: "blue", ...blue, policy })
      yield* stock.load("green", { ...green, policy })
      const { stages } = stock.current
      yield* stages.breaker?.forceOpen ?? Effect.die("no breaker")
      yield* stock.switch("green")
      yield* stock.current.get("/items")
      const before = yield* stock.list
      assert.deepStrictEqual(
        before.map(({ isActive, snapshot, version }) => [version, isActive, snapshot.endpoints[0]?.breaker?.state]),
        [
          ["blue", false, "ForcedOpen"],
          ["green", true, "Closed"]
        ]
      )
      assert.deepStrictEqual(yield* stock.list, before)
    }).pipe(Effect.scoped, Effect.provide(ScriptedTransport.layer({ "*": [status(200)] })))
  )
})

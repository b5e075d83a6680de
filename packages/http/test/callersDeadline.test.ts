import { Effect, Fiber } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Deadline from "@holdfast/core/Deadline"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import type * as Upstream from "../src/Upstream.ts"
import { fork, forkAll, sent, stage, upstream } from "./support/stock.ts"

const { after, hang, status } = ScriptedTransport

const ok = status(200)

/** Every stage that learns from how attempts end. */
const learning: HttpPolicy.Options = {
  deadline: "30 seconds",
  retry: { maxAttempts: 1 },
  breaker: {},
  throttle: { rejections: ["timeout"] },
  adaptiveConcurrency: { algorithm: "aimd" },
  attemptTimeout: "10 seconds"
}

/** Calls one after another, each of a caller who has so much time. */
const hurried = (api: Upstream.Upstream, calls: number, millis: number) =>
  Effect.gen(function* () {
    for (let call = 0; call < calls; call++) {
      const fiber = yield* fork(Effect.flip(api.get("/a").pipe(Deadline.within(`${millis} millis`))))
      yield* TestClock.adjust(millis)
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "DeadlineExceeded")
    }
  })

/** Calls that succeed, so that it is known how long that takes. */
const taught = (api: Upstream.Upstream, millis: number) =>
  Effect.gen(function* () {
    for (let call = 0; call < 10; call++) {
      const calls = yield* fork(api.get("/warm"))
      yield* TestClock.adjust(millis)
      yield* Fiber.join(calls)
    }
  })

const circuit = (api: Upstream.Upstream) => stage(api.stages.breaker).snapshot

describe("a caller whose time is up before the upstream had its fair share", () => {
  it.effect("says nothing of the upstream to any stage", () =>
    upstream(
      { "*": [after("50 millis", ok)] },
      learning
    )((api) =>
      Effect.gen(function* () {
        yield* hurried(api, 40, 30)
        assert.deepInclude(yield* circuit(api), { state: "Closed", failed: 0, ignored: 40 })
        assert.deepInclude(yield* stage(api.stages.throttle).snapshot, { requests: 0 })
        assert.deepInclude(yield* stage(api.stages.adaptiveConcurrency).snapshot, { limit: 20, dropped: 0 })
        const other = yield* fork(api.get("/a"))
        yield* TestClock.adjust("50 millis")
        assert.strictEqual((yield* Fiber.join(other)).status, 200)
      })
    )
  )

  it.effect("neither closes nor opens a circuit that asks whether it is well again, and gives the place back", () =>
    upstream(
      { "GET /bad": [status(503)], "*": [after("50 millis", ok)] },
      { ...learning, breaker: { trip: [CircuitBreaker.consecutiveFailures(1)], probes: 1 } }
    )((api) =>
      Effect.gen(function* () {
        yield* Effect.flip(api.get("/bad"))
        yield* TestClock.adjust("1 second")
        yield* hurried(api, 3, 30)
        assert.deepInclude(yield* circuit(api), { state: "HalfOpen", probesOut: 0, probeSuccesses: 0 })
      })
    )
  )

  it.effect("has less than an upstream that is slow by nature usually takes", () =>
    upstream(
      { "GET /warm": [after("4 seconds", ok)], "*": [hang] },
      learning
    )((api) =>
      Effect.gen(function* () {
        yield* taught(api, 4000)
        yield* hurried(api, 12, 5000)
        assert.deepInclude(yield* circuit(api), { state: "Closed", failed: 0 })
      })
    )
  )

  it.effect("teaches a hedge nothing of how long an attempt takes", () =>
    upstream(
      { "*": [after("50 millis", ok)] },
      { hedge: { minimumSamples: 20 } }
    )((api) =>
      Effect.gen(function* () {
        yield* hurried(api, 30, 10)
        assert.deepInclude(yield* stage(api.stages.hedge).snapshot, { samples: 0 })
      })
    )
  )

  it.effect("teaches a learned limit nothing, while one who waited as long as most take does", () =>
    upstream(
      { "GET /warm": [after("100 millis", ok)], "*": [hang] },
      { attemptTimeout: { limit: "10 seconds", minimumSamples: 10 } }
    )((api) =>
      Effect.gen(function* () {
        yield* taught(api, 100)
        yield* hurried(api, 5, 20)
        assert.deepInclude(yield* stage(api.stages.attemptTimeout).snapshot, { samples: 10, timedOut: 0 })
        yield* hurried(api, 1, 200)
        assert.deepInclude(yield* stage(api.stages.attemptTimeout).snapshot, { samples: 11 })
      })
    )
  )
})

describe("a caller whose time is up after the upstream had its fair share", () => {
  it.effect("has seen a timeout: an upstream that hangs is found out though no caller waits for its limit", () =>
    upstream(
      { "*": [hang] },
      HttpPolicy.standard().options
    )((api) =>
      Effect.gen(function* () {
        yield* hurried(api, 10, 5000)
        assert.deepInclude(yield* circuit(api), { state: "Open", failed: 10 })
      })
    )
  )

  it.effect("is told by what the upstream usually takes", () =>
    upstream(
      { "GET /warm": [after("20 millis", ok)], "*": [hang] },
      learning
    )((api) =>
      Effect.gen(function* () {
        yield* taught(api, 20)
        const { limit } = yield* stage(api.stages.adaptiveConcurrency).snapshot
        yield* hurried(api, 10, 300)
        assert.deepInclude(yield* circuit(api), { state: "Open", failed: 10 })
        assert.isBelow((yield* stage(api.stages.adaptiveConcurrency).snapshot).limit, limit)
        assert.deepInclude(yield* stage(api.stages.throttle).snapshot, { accepts: 10, requests: 20 })
      })
    )
  )

  it.effect("is told by the attempt's own limit, where that is less", () =>
    upstream(
      { "*": [hang] },
      { breaker: {}, attemptTimeout: "100 millis" }
    )((api) =>
      Effect.gen(function* () {
        yield* hurried(api, 10, 99)
        assert.deepInclude(yield* circuit(api), { state: "Closed", failed: 0 })
        yield* hurried(api, 10, 100)
        assert.deepInclude(yield* circuit(api), { state: "Open", failed: 10 })
      })
    )
  )

  it.effect("a caller who is interrupted says nothing, however long it took", () =>
    upstream(
      { "*": [hang] },
      learning
    )((api) =>
      Effect.gen(function* () {
        const calls = yield* forkAll(20, api.get("/a"))
        yield* TestClock.adjust("9 seconds")
        yield* Fiber.interruptAll(calls)
        assert.strictEqual(yield* sent, 20)
        assert.deepInclude(yield* circuit(api), { state: "Closed", failed: 0, ignored: 20 })
      })
    )
  )
})

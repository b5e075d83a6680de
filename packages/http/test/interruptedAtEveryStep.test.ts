import { Effect, Exit, Random } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import { atEveryStep, ended } from "../../../test/support/atEveryStep.ts"
import type * as Endpoints from "../src/Endpoints.ts"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as Upstream from "../src/Upstream.ts"
import { stage, upstream } from "./support/stock.ts"

const { after, status } = ScriptedTransport

const settle = TestClock.adjust(0)

/** The chance by which the throttle decides: high draws shed nothing. */
const drawing = (draw: number) =>
  Effect.provideService(Random.Random, { nextDoubleUnsafe: () => draw, nextIntUnsafe: () => 7 })

const policy = {
  retry: { maxAttempts: 3, backoff: { shape: "constant", base: "1 second", jitter: "none" } },
  breaker: { trip: [CircuitBreaker.consecutiveFailures(1)], openTime: "1 second", maxOpenTime: "1 second", probes: 2 },
  throttle: {},
  bulkhead: { maxConcurrent: 1, maxQueue: 1, maxWait: "1 minute" },
  adaptiveConcurrency: {},
  attemptTimeout: "2 seconds",
  deadline: "1 minute"
} satisfies HttpPolicy.Options

/** What the stages hold of the calls that are made now. */
const held = ({ stages }: Upstream.Upstream) =>
  Effect.gen(function* () {
    const { adaptiveConcurrency, breaker, budget, bulkhead } = stages
    const { callsInFlight, retriesInFlight } = yield* stage(budget).snapshot
    const { inFlight, queued } = yield* stage(bulkhead).snapshot
    const { probesOut } = yield* stage(breaker).snapshot
    return { callsInFlight, retriesInFlight, inFlight, queued, probesOut, ...(yield* limited(adaptiveConcurrency)) }
  })

const limited = (limit: Upstream.Upstream["stages"]["adaptiveConcurrency"]) =>
  Effect.map(stage(limit).snapshot, ({ inFlight }) => ({ limited: inFlight }))

const nothing = { callsInFlight: 0, retriesInFlight: 0, inFlight: 0, queued: 0, probesOut: 0, limited: 0 }

describe("a call that is interrupted, at whichever of its steps,", { timeout: 20_000 }, () => {
  it.effect(
    "gives back what it holds of breaker, bulkhead, adaptive limit and budget, retried and queued as it is",
    () =>
      Effect.gen(function* () {
        const sent: Array<number> = []
        const probes: Array<number> = []
        let interrupted = 0
        yield* atEveryStep(({ fork, name, running }) =>
          upstream(
            {
              "GET /bad": [status(503)],
              "GET /a": [status(503), status(200)],
              "GET /slow": [after("1500 millis", status(200))]
            },
            policy
          )((api) =>
            Effect.gen(function* () {
              yield* Effect.exit(api.get("/bad").pipe(HttpPolicy.override({ retry: false })))
              yield* TestClock.adjust("1 second")
              // two probes, of which one waits for the other in the queue
              const slow = yield* Effect.forkChild(api.get("/slow"))
              yield* settle
              const call = yield* fork(api.get("/a"))
              const exit = yield* ended(call, name, 1500, 1000, 1000, 1000)
              if (Exit.hasInterrupts(exit)) interrupted++
              assert.strictEqual(running(), 0, name)
              assert.isTrue(Exit.isSuccess(yield* ended(slow, name, 1500)), name)
              assert.deepStrictEqual(yield* held(api), nothing, name)
              probes.push((yield* stage(api.stages.breaker).snapshot).admitted)
              sent.push((yield* ScriptedTransport.seen).requests.length)
            })
          )
        )
        assert.isAbove(interrupted, 100)
        assert.includeMembers(probes, [2, 3, 4])
        assert.includeMembers(sent, [2, 3, 4])
      }).pipe(drawing(0.99))
  )

  it.effect("gives back its turn in the rate limit, its flight and its hedges", () =>
    Effect.gen(function* () {
      const sent: Array<number> = []
      let interrupted = 0
      yield* atEveryStep(({ fork, name, running }) =>
        upstream(
          { "*": [after("500 millis", status(200))] },
          {
            ...policy,
            bulkhead: { maxConcurrent: 5 },
            singleFlight: {},
            rateLimit: { limit: 2, window: "10 seconds", algorithm: "sliding-window", maxWait: "1 minute" },
            hedge: { delay: "100 millis", maximumExtraLoad: 1 }
          }
        )((api) =>
          Effect.gen(function* () {
            const { hedge, rateLimit, singleFlight } = api.stages
            // both are to be waited for, and one is the hedge's
            yield* stage(rateLimit).run(Effect.void, { cost: 2 })
            const call = yield* fork(api.get("/a"))
            const exit = yield* ended(call, name, 10_000, 100, 400)
            if (Exit.hasInterrupts(exit)) interrupted++
            assert.strictEqual(running(), 0, name)
            assert.deepStrictEqual(yield* held(api), nothing, name)
            assert.strictEqual((yield* stage(rateLimit).snapshot).waiting, 0, name)
            assert.strictEqual((yield* stage(hedge).snapshot).hedgesInFlight, 0, name)
            assert.deepInclude(yield* stage(singleFlight).snapshot, { inFlight: 0, waiting: 0 }, name)
            sent.push((yield* ScriptedTransport.seen).requests.length)
          })
        )
      )
      assert.isAbove(interrupted, 100)
      assert.includeMembers(sent, [0, 1, 2])
    })
  )

  it.effect("settles each choice of an endpoint once, retried, hedged and refused as it is", () =>
    Effect.gen(function* () {
      const chosen: Array<number> = []
      let interrupted = 0
      yield* atEveryStep(({ fork, name, running }) => {
        const origins = ["https://a.internal", "https://b.internal", "https://c.internal"]
        const endpoints = origins.map((origin) => ({ origin }))
        const open = new Set<number>()
        let choices = 0
        const counted: Endpoints.Endpoints = {
          name: "counted",
          basePath: "",
          list: () => endpoints,
          choose: ({ tried }) => {
            const endpoint = endpoints.find((one) => !tried.includes(one)) ?? endpoints[0]
            const choice = choices++
            open.add(choice)
            return {
              endpoint: endpoint ?? { origin: "" },
              settle: () => assert.isTrue(open.delete(choice), `${name}: settled twice`)
            }
          }
        }
        return Effect.gen(function* () {
          const api = yield* Upstream.make("stock", {
            endpoints: counted,
            policy: HttpPolicy.make({
              ...policy,
              attemptTimeout: "5 seconds",
              hedge: { delay: "300 millis", maximumExtraLoad: 1 }
            })
          })
          yield* Effect.exit(api.get("/bad").pipe(HttpPolicy.override({ retry: false })))
          const call = yield* fork(api.get("/a"))
          const exit = yield* ended(call, name, 4000, 300, 200, 1000, 500)
          if (Exit.hasInterrupts(exit)) interrupted++
          assert.strictEqual(running(), 0, name)
          assert.strictEqual(open.size, 0, name)
          for (const { origin } of endpoints) {
            const bulkhead = api.stagesAt(origin)?.bulkhead
            if (bulkhead !== undefined) assert.deepInclude(yield* bulkhead.snapshot, { inFlight: 0, queued: 0 }, name)
          }
          chosen.push(choices)
        }).pipe(
          Effect.scoped,
          Effect.provide(
            ScriptedTransport.layer({
              "GET /bad": [status(503)],
              "GET /a": [
                after("400 millis", status(503)),
                after("450 millis", status(503)),
                after("200 millis", status(200))
              ]
            })
          )
        )
      })
      assert.isAbove(interrupted, 100)
      assert.isAbove(Math.max(...chosen), 3)
    }).pipe(drawing(0.99))
  )
})

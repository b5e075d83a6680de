/** An upstream at several endpoints, on real sockets: servers that die, come back, hang, and are drained. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Stream } from "effect"
import { CircuitBreaker, Endpoints, HttpPolicy, Transport, Upstream } from "holdfast"
import { NodeTransport } from "holdfast/node"
import { bounded } from "./support/calling.ts"
import { eventually, serve } from "./support/direct.ts"

const at = (origins: ReadonlyArray<string>, policy: HttpPolicy.Options, more: Partial<Upstream.Options> = {}) =>
  Effect.gen(function* () {
    const { pools, transport } = yield* NodeTransport.make({ connections: 8 })
    const stock = yield* Effect.provideContext(
      Upstream.make("stock", { endpoints: Endpoints.list(origins), policy: HttpPolicy.make(policy), ...more }),
      Context.make(Transport.Transport, transport)
    )
    return { pools, stock }
  })

/** A server that says who it is, and does what it is told. */
const named = (name: string) =>
  Effect.gen(function* () {
    let asked = 0
    let mood: "well" | "failing" | "hanging" = "well"
    const server = yield* serve((_, response) => {
      asked++
      if (mood === "hanging") return
      response.statusCode = mood === "well" ? 200 : 503
      response.end(name)
    })
    return {
      ...server,
      asked: () => asked,
      becomes: (next: typeof mood) => {
        mood = next
      }
    }
  })

const quick = { shape: "constant", base: "1 millis", jitter: "none" } as const

describe("endpoints", () => {
  it.live("a call reaches the one that lives, whatever the other does: nobody listens, it fails, it hangs", () =>
    Effect.gen(function* () {
      const [a, b] = [yield* named("a"), yield* named("b")]
      const closed = yield* Effect.scoped(
        Effect.map(
          serve(() => undefined),
          ({ origin }) => origin
        )
      )
      for (const [origins, mood] of [
        [[closed, b.origin], "well"],
        [[a.origin, b.origin], "failing"],
        [[a.origin, b.origin], "hanging"]
      ] as const) {
        a.becomes(mood)
        const { stock } = yield* at(origins, {
          retry: { backoff: quick, budget: false },
          breaker: { trip: [CircuitBreaker.consecutiveFailures(2)], openTime: "1 minute" },
          attemptTimeout: "300 millis"
        })
        const told: Array<string> = []
        for (let call = 0; call < 6; call++) told.push((yield* bounded(stock.get("/items"))).text)
        assert.strictEqual(told.join(""), "bbbbbb", mood)
        // after two failures its circuit is open, and nobody waits for it any more
        assert.strictEqual(
          (yield* stock.snapshot).endpoints.find(({ origin }) => origin === origins[0])?.breaker?.state,
          "Open",
          mood
        )
      }
    }).pipe(Effect.scoped)
  )

  it.live("one that comes back is asked again", () =>
    Effect.gen(function* () {
      const [a, b] = [yield* named("a"), yield* named("b")]
      a.becomes("failing")
      const { stock } = yield* at([a.origin, b.origin], {
        retry: { backoff: quick, budget: false },
        breaker: {
          trip: [CircuitBreaker.consecutiveFailures(1)],
          openTime: "50 millis",
          rampTime: "1 millis",
          probes: 1
        }
      })
      yield* bounded(stock.get("/items"))
      a.becomes("well")
      const before = a.asked()
      yield* bounded(
        Effect.repeat(Effect.andThen(Effect.sleep("10 millis"), stock.get("/items")), {
          until: () => a.asked() > before + 2
        })
      )
      const state = stock.stagesAt(a.origin)?.breaker
      assert.include(["Closed", "HalfOpen"], state && (yield* state.snapshot).state)
    }).pipe(Effect.scoped)
  )

  it.live("a body that is being read holds its place at its own endpoint, and goes on when the other dies", () =>
    Effect.gen(function* () {
      const other = yield* named("other")
      let next: (() => void) | undefined
      const streaming = yield* serve((_, response) => {
        response.write("first ")
        next = () => response.end("last")
      })
      const { stock } = yield* at([streaming.origin, other.origin], { bulkhead: { maxConcurrent: 1, maxQueue: 0 } })
      const text = yield* bounded(
        Effect.scoped(
          Effect.gen(function* () {
            const { stream } = yield* stock.streaming.get("/export")
            const held = stock.stagesAt(streaming.origin)?.bulkhead
            assert.strictEqual(held && (yield* held.snapshot).inFlight, 1)
            for (let call = 0; call < 3; call++) assert.strictEqual((yield* stock.get("/items")).text, "other")
            next?.()
            return yield* Stream.mkString(Stream.decodeText(stream))
          })
        )
      )
      assert.strictEqual(text, "first last")
      const held = stock.stagesAt(streaming.origin)?.bulkhead
      assert.strictEqual(held && (yield* held.snapshot).inFlight, 0)
    }).pipe(Effect.scoped)
  )

  it.live("a hedge takes the other way, and the slow one gives everything back", () =>
    Effect.gen(function* () {
      const [a, b] = [yield* named("a"), yield* named("b")]
      a.becomes("hanging")
      const { pools, stock } = yield* at([a.origin, b.origin], {
        hedge: { delay: "30 millis", maximumExtraLoad: 1 },
        bulkhead: { maxConcurrent: 4 }
      })
      for (let call = 0; call < 4; call++) assert.strictEqual((yield* bounded(stock.get("/items"))).text, "b")
      for (const { bulkhead } of (yield* stock.snapshot).endpoints) assert.strictEqual(bulkhead?.inFlight, 0)
      const busy = Effect.map(pools.snapshot, (pools) => pools.filter(({ inFlight }) => inFlight > 0).length)
      yield* eventually(busy, (count) => count === 0)
    }).pipe(Effect.scoped)
  )
})

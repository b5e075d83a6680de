/**
 * A program that is busy for longer than a limit finds its timers due and its answers in the sockets, at the same time. An answer that
 * has come is an answer: nothing is cut, refused or hedged before it was looked at.
 */
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { Deadline, type HttpPolicy, type Upstream } from "holdfast"
import { bounded, calling } from "./support/calling.ts"
import { eventually } from "./support/direct.ts"
import { Behaviour, TestUpstream } from "./support/upstream.ts"

const answerMillis = 300
const limitMillis = 1000
const busyMillis = 1200

/** Keeps the event loop from turning. */
const busy = Effect.sync(() => {
  const until = performance.now() + busyMillis
  while (performance.now() < until);
})

const failed = ({ stages }: Upstream.Upstream): Effect.Effect<number> =>
  stages.breaker === undefined ? Effect.succeed(0) : Effect.map(stages.breaker.snapshot, ({ failed }) => failed)

const policies: { readonly [limit: string]: HttpPolicy.Options } = {
  "an attempt timeout": { attemptTimeout: `${limitMillis} millis` },
  "a deadline": { deadline: `${limitMillis} millis`, attemptTimeout: false },
  "a wait in the bulkhead": {
    attemptTimeout: "3 seconds",
    bulkhead: { maxConcurrent: 4, maxQueue: 100, maxWait: `${limitMillis} millis` }
  },
  "a hedge": {
    attemptTimeout: "3 seconds",
    hedge: { delay: `${limitMillis} millis`, maximumExtraLoad: 1, burst: 100 }
  },
  "a shared flight": { deadline: `${limitMillis} millis`, attemptTimeout: false, singleFlight: {} }
}

layer(TestUpstream.layer, { excludeTestServices: true })("a limit that is due while the program was busy", (it) => {
  const asked = (
    policy: HttpPolicy.Options,
    call: (upstream: Upstream.Upstream, index: number) => Effect.Effect<unknown, unknown>
  ) =>
    Effect.gen(function* () {
      const upstream = yield* TestUpstream
      const listener = yield* upstream.listen(
        Behaviour.http([Behaviour.answer({ delayMillis: answerMillis, body: "here" })])
      )
      const api = yield* calling(listener, { policy: { retry: false, ...policy }, transport: { connections: 16 } })
      const seen = Effect.map(upstream.facts(listener), ({ requests }) => requests.length)
      // connections are there, so that the calls are on their way at once
      yield* Effect.forEach(Array.from({ length: 8 }), () => Effect.exit(api.get("/warm")), { concurrency: 8 })
      const before = yield* seen
      const failedBefore = yield* failed(api)
      const fibers = yield* Effect.forEach(Array.from({ length: 8 }), (_, index) => Effect.forkChild(call(api, index)))
      yield* eventually(seen, (length) => length >= before + (policy.bulkhead === undefined ? 8 : 4))
      yield* busy
      const exits = yield* bounded(Effect.forEach(fibers, Fiber.await))
      const { hedges } = api.stages.hedge === undefined ? { hedges: 0 } : yield* api.stages.hedge.snapshot
      assert.strictEqual(hedges, 0)
      return { exits, requests: (yield* seen) - before, failed: (yield* failed(api)) - failedBefore }
    })

  for (const [limit, policy] of Object.entries(policies)) {
    it.effect(`leaves what has its answer alone: ${limit}`, () =>
      Effect.gen(function* () {
        const { exits, failed, requests } = yield* asked(policy, (api, index) => api.get(`/${index % 8}`))
        assert.deepStrictEqual(
          exits.map(({ _tag }) => _tag),
          exits.map(() => "Success")
        )
        assert.strictEqual(requests, 8, "each is sent once")
        assert.strictEqual(failed, 0)
      })
    )
  }

  it.effect("leaves a body alone that has come to its end", () =>
    Effect.gen(function* () {
      const { exits } = yield* asked({ attemptTimeout: false }, (api) =>
        Effect.scoped(Effect.flatMap(api.streaming.get("/a"), ({ stream }) => Stream.runDrain(stream))).pipe(
          Deadline.within(`${limitMillis} millis`)
        )
      )
      assert.deepStrictEqual(
        exits.map(({ _tag }) => _tag),
        exits.map(() => "Success")
      )
    })
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Fiber, Logger } from "effect"
import { Redis } from "effect/persistence"
import { SharedCircuitBreaker, SharedRateLimit } from "holdfast/shared"
import { key } from "./redis/member.ts"
import * as Member from "./redis/member.ts"
import { isInstalled, memberProcess, server } from "./redis/server.ts"
import { bounded } from "./support/calling.ts"

const isMissing = !isInstalled()
const isRequired = (process.env["CI"] ?? "") !== "" || process.env["HOLDFAST_REQUIRE_REDIS"] === "1"

if (isMissing && !isRequired) {
  console.warn("skipped: no redis-server on this machine, so what processes share through Redis is not tested")
}

it.skipIf(isMissing && !isRequired)("there is a redis-server", () => {
  assert.isFalse(
    isMissing,
    "no redis-server on the PATH: install it (Debian, Ubuntu: apt-get install redis-server). It is required where CI or " +
      "HOLDFAST_REQUIRE_REDIS=1 is set, because without it nothing shows that processes share a circuit and a limit"
  )
})

const circuitIsOpen = "the shared circuit payments is open"
const probeIsOut = "the shared circuit payments is half-open, and its probe is out"

describe.skipIf(isMissing)("Redis", () => {
  it.live("processes share one circuit: it opens for all, lets one probe through, and closes for all", () =>
    Effect.gen(function* () {
      const { port } = yield* server
      const [here, there] = yield* Effect.all([Member.make(port), memberProcess(port)], { concurrency: 2 })
      assert.deepStrictEqual([yield* here.call("up"), yield* there.call("up")], ["paid", "paid"])
      // three failures in a row open it, whoever sees them
      yield* here.call("down")
      yield* there.call("down")
      assert.strictEqual(yield* here.call("down"), "down")
      const openedBy = yield* Clock.currentTimeMillis
      assert.deepStrictEqual([yield* there.call("up"), yield* here.call("up")], [circuitIsOpen, circuitIsOpen])
      yield* Effect.sleep(openedBy + 1_000 - (yield* Clock.currentTimeMillis))

      const breaker = yield* Effect.provide(SharedCircuitBreaker.make(Member.circuit), yield* Member.connect(port))
      const [answer, refusals] = yield* Effect.all([there.call("up"), here.call("up")]).pipe(
        Effect.map((refusals) => ["paid", refusals] as const),
        SharedCircuitBreaker.run(breaker, { key })
      )
      assert.deepStrictEqual([answer, refusals], ["paid", [probeIsOut, probeIsOut]])
      assert.deepStrictEqual([yield* there.call("up"), yield* here.call("up")], ["paid", "paid"])
      assert.strictEqual((yield* breaker.snapshot(key)).state, "Closed")
    })
  )

  it.live("processes share one limit, whether calls beyond it wait or are refused", () =>
    Effect.gen(function* () {
      const { port } = yield* server
      const members = yield* Effect.all([Member.make(port), memberProcess(port)], { concurrency: 2 })
      const burst = (which: "limit" | "scarce", calls: number) =>
        Effect.map(
          Effect.forEach(members, (member) => member.burst(which, calls), { concurrency: 2 }),
          (instants) => instants.flat().sort((a, b) => a - b)
        )
      assert.strictEqual((yield* burst("scarce", 15)).length, 10)

      const start = yield* Clock.currentTimeMillis
      const instants = yield* burst("limit", 15)
      assert.strictEqual(instants.length, 30)
      // a full bucket of 10, then one each 50 ms; a timer may be a millisecond early
      const early = instants.flatMap((instant, index) => {
        const soonest = start + Math.max(0, index + 1 - 10) * 50
        return instant < soonest - 2 ? [{ index, early: soonest - instant }] : []
      })
      assert.deepStrictEqual(early, [])
      // a second, if the machine has the time: not the window of one after another of them
      assert.isBelow((instants.at(-1) ?? Infinity) - start, 30 * 500, "nobody waits longer than the limit asks")
    })
  )

  it.live("who is interrupted while it waits gives its token back, for all", () =>
    Effect.gen(function* () {
      const { port } = yield* server
      const options: SharedRateLimit.Options = {
        key,
        limit: 1,
        window: "1 minute",
        maxWait: "1 hour",
        storeTimeout: "5 seconds"
      }
      const context = yield* Member.connect(port)
      const here = yield* Effect.provide(SharedRateLimit.make(options), context)
      const there = yield* Effect.provide(SharedRateLimit.make(options), yield* Member.connect(port))
      const tokens = Effect.map(Context.get(context, Redis.Redis).send("GET", `ratelimiter:${key}`), Number)
      /** Waits for its token until it is interrupted; gives the wait it was told. */
      const waiter = Effect.fnUntraced(function* (limiter: SharedRateLimit.SharedRateLimit) {
        const told = Promise.withResolvers<number>()
        const stop = limiter.events.subscribe((event) => {
          if (event._tag === "SharedRateLimitDelayed") told.resolve(Duration.toSeconds(event.wait))
        })
        const fiber = yield* Effect.forkChild(limiter.run(Effect.void))
        const wait = yield* Effect.promise(() => told.promise)
        stop()
        return { fiber, wait }
      })
      yield* here.run(Effect.void)
      assert.strictEqual(yield* tokens, 0)
      const first = yield* waiter(there)
      const second = yield* waiter(there)
      assert.strictEqual(yield* tokens, -2)
      assert.isTrue(first.wait > 40 && first.wait <= 60 && second.wait > 100 && second.wait <= 120)
      yield* Fiber.interrupt(second.fiber)
      assert.strictEqual(yield* tokens, -1)
      yield* Fiber.interrupt(first.fiber)
      assert.strictEqual(yield* tokens, 0)
      const next = yield* waiter(here)
      assert.isTrue(
        next.wait > 40 && next.wait <= 60,
        `the next waits for the token that was given back: ${next.wait} s`
      )
      yield* Fiber.interrupt(next.fiber)
    })
  )

  it.live.each([
    // the second one's store timeout is so long that only an error at once ends the call in time
    { client: "that waits for it to come back", options: {}, timeouts: {} },
    {
      client: "that does not queue",
      options: { disableOfflineQueue: true },
      timeouts: { storeTimeout: "1 hour" } as const
    }
  ])("when it is gone, calls go through or are refused, soon: with a client $client", ({ options, timeouts }) =>
    Effect.gen(function* () {
      const redis = yield* server
      const context = yield* Member.connect(redis.port, options)
      const circuits = yield* Effect.provide(
        Effect.all({
          allow: SharedCircuitBreaker.make(timeouts),
          refuse: SharedCircuitBreaker.make({ ...timeouts, onStoreError: "refuse" })
        }),
        context
      )
      const limits = yield* Effect.provide(
        Effect.all({
          allow: SharedRateLimit.make({ ...timeouts, key, limit: 10 }),
          refuse: SharedRateLimit.make({ ...timeouts, key, limit: 10, onStoreError: "refuse" })
        }),
        context
      )
      const paid = Effect.succeed("paid")
      const calls = {
        circuit: SharedCircuitBreaker.run(circuits.allow, { key })(paid),
        strictCircuit: SharedCircuitBreaker.run(circuits.refuse, { key })(paid),
        limit: limits.allow.run(paid),
        strictLimit: limits.refuse.run(paid)
      }
      for (const call of Object.values(calls)) assert.strictEqual(yield* call, "paid")
      yield* redis.kill
      for (let call = 0; call < 2; call++) {
        assert.strictEqual(yield* bounded(calls.circuit), "paid")
        assert.strictEqual(yield* bounded(calls.limit), "paid")
        assert.match(
          (yield* bounded(Effect.flip(calls.strictCircuit))).message,
          /^the circuit is open \(the store of the shared circuit payments cannot be reached: .+\)/
        )
        assert.include((yield* bounded(Effect.flip(calls.strictLimit))).message, "its store cannot be asked")
      }
    }).pipe(Effect.provide(Logger.layer([])))
  )
})

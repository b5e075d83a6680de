/**
 * One process of a fleet whose circuit and limit are in Redis. The tests have one in their own process and one in another.
 */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { Clock, Context, Effect, Layer, Logger } from "effect"
import type { Scope } from "effect"
import { CircuitBreaker as CircuitStore, RateLimiter } from "effect/persistence"
import type { Redis } from "effect/persistence"
import { CircuitBreaker } from "holdfast"
import { SharedCircuitBreaker, SharedRateLimit } from "holdfast/shared"

export const key = "payments"

// a busy machine is not a store that is gone
const storeTimeout = "5 seconds"

export const circuit: SharedCircuitBreaker.Options = {
  storeTimeout,
  trip: [CircuitBreaker.consecutiveFailures(3)],
  openTime: "1 second"
}

/** A token each 50 ms. */
export const limit: SharedRateLimit.Options = { key, limit: 10, window: "500 millis", storeTimeout }

/** Whole tokens come too seldom for one to be seen. */
export const scarce: SharedRateLimit.Options = {
  key: "scarce",
  limit: 10,
  window: "10 minutes",
  onLimit: "refuse",
  storeTimeout
}

export interface Member {
  /** A call through the circuit: `paid`, `down`, or why it was refused. */
  readonly call: (upstream: "up" | "down") => Effect.Effect<string>
  /** So many calls at once through the limit: the instants at which those went that were not refused. */
  readonly burst: (which: "limit" | "scarce", calls: number) => Effect.Effect<ReadonlyArray<number>>
}

type Stores = CircuitStore.CircuitBreakerStore | RateLimiter.RateLimiterStore | NodeRedis.NodeRedis | Redis.Redis

/** A connection of its own, with Effect's stores on it. */
export const connect = (
  port: number,
  options: { readonly disableOfflineQueue?: boolean } = {}
): Effect.Effect<Context.Context<Stores>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const stores = Layer.mergeAll(CircuitStore.layerStoreRedis(), RateLimiter.layerStoreRedis())
    const context = yield* Layer.build(
      Layer.provideMerge(stores, NodeRedis.layer({ ...options, socket: { host: "127.0.0.1", port } }))
    )
    const { client } = Context.get(context, NodeRedis.NodeRedis)
    // closing would wait for what a store that is gone has not answered
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (client.isOpen) client.destroy()
      })
    )
    return context
  }).pipe(Effect.orDie, Effect.provide(Logger.layer([])))

export const make = Effect.fnUntraced(function* (port: number): Effect.fn.Return<Member, never, Scope.Scope> {
  const context = yield* connect(port)
  const breaker = yield* Effect.provide(SharedCircuitBreaker.make(circuit), context)
  const limiters = {
    limit: yield* Effect.provide(SharedRateLimit.make(limit), context),
    scarce: yield* Effect.provide(SharedRateLimit.make(scarce), context)
  }
  return {
    call: (upstream) =>
      (upstream === "up" ? Effect.succeed("paid") : Effect.fail("down")).pipe(
        SharedCircuitBreaker.run(breaker, { key }),
        Effect.catch((error) => Effect.succeed(typeof error === "string" ? error : String(error.detail)))
      ),
    burst: (which, calls) =>
      Effect.map(
        Effect.all(
          Array.from({ length: calls }, () =>
            Effect.catch(limiters[which].run(Clock.currentTimeMillis), () => Effect.succeed(undefined))
          ),
          { concurrency: "unbounded" }
        ),
        (instants) => instants.filter((instant) => instant !== undefined)
      )
  }
})

// Effect's own parts, composed by hand: semaphore, timeout and retry, with its circuit breaker or without.

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import type { EffectContender } from "./contender.ts"

/** Effect's breaker, opening at the fifth failure in a row. */
export const makeEffectBreaker = (): Promise<CircuitBreaker.CircuitBreaker> =>
  ManagedRuntime.make(
    CircuitBreaker.layer({ tripPolicy: CircuitBreaker.consecutive(5), openDuration: "30 seconds" }).pipe(
      Layer.provide(CircuitBreaker.layerStoreMemory())
    )
  ).runPromise(CircuitBreaker.CircuitBreaker)

const parts = <A, E>(semaphore: Semaphore.Semaphore, operation: Effect.Effect<A, E>) =>
  operation.pipe(
    semaphore.withPermits(1),
    Effect.timeout("10 seconds"),
    Effect.retry({ times: 2, schedule: Schedule.exponential("100 millis") })
  )

export const withoutBreaker: EffectContender = {
  kind: "effect",
  around: async (operation) => {
    const semaphore = Semaphore.makeUnsafe(100_000)
    return { call: () => parts(semaphore, operation) }
  }
}

export const withBreaker: EffectContender = {
  kind: "effect",
  around: async (operation) => {
    const semaphore = Semaphore.makeUnsafe(100_000)
    const breaker = await makeEffectBreaker()
    return { call: () => breaker.execute(parts(semaphore, operation), { key: "orders" }) }
  }
}

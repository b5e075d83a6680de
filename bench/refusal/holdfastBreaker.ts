// Holdfast's circuit, opened by failures.

import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Effect from "effect/Effect"
import type { EffectContender } from "../call/contender.ts"

export const contender: EffectContender = {
  kind: "effect",
  around: async (operation) => {
    const breaker = CircuitBreaker.make({ trip: [CircuitBreaker.consecutiveFailures(5)], openTime: "30 seconds" })
    const failure = Effect.ignore(CircuitBreaker.run(breaker)(Effect.fail("down")))
    for (let count = 0; count < 5; count++) await Effect.runPromise(failure)
    return { call: () => CircuitBreaker.run(breaker)(operation) }
  }
}

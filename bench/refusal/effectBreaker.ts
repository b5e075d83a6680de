// Effect's circuit, opened by failures.

import * as Effect from "effect/Effect"
import type { EffectContender } from "../call/contender.ts"
import { makeEffectBreaker } from "../call/effectParts.ts"

export const contender: EffectContender = {
  kind: "effect",
  around: async (operation) => {
    const breaker = await makeEffectBreaker()
    const failure = Effect.ignore(breaker.execute(Effect.fail("down"), { key: "orders" }))
    for (let count = 0; count < 5; count++) await Effect.runPromise(failure)
    return { call: () => breaker.execute(operation, { key: "orders" }) }
  }
}

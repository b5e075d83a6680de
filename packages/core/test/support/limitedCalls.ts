import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import type * as RateLimit from "../../src/RateLimit.ts"

/** Lets every fiber run as far as it can without time passing. */
export const settle = TestClock.adjust(0)

/** Calls that write down when they went. */
export const makeCalls = (limiter: Pick<RateLimit.RateLimit, "run">) => {
  const wentAt: Array<readonly [name: string, atMillis: number]> = []
  const call = (name: string, options?: RateLimit.RunOptions) =>
    Effect.gen(function* () {
      const self = Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sync(() => void wentAt.push([name, now])))
      const fiber = yield* Effect.forkChild(limiter.run(self, options))
      yield* settle
      return fiber
    })
  return { wentAt, call }
}

export const refusalOf = <A, E>(fiber: Fiber.Fiber<A, E>) => Effect.flip(Fiber.join(fiber))

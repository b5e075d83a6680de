/** When a rate limit lets an effect run. */

import * as Deadline from "@holdfast/core/Deadline"
import type * as RateLimit from "@holdfast/core/RateLimit"
import type { RateLimited } from "@holdfast/core/Reason"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Runs an effect when the rate limit says that it is its turn, or fails with the error made of the refusal. */
export const inTurn = <A, E, R, E2>(
  limit: RateLimit.RateLimit,
  clock: Clock.Clock,
  deadline: Deadline.Deadline | undefined,
  run: Effect.Effect<A, E, R>,
  refused: (reason: RateLimited) => E2,
  /** Hears how long it waited, whether or not its turn came. */
  onWaited: (stage: "rateLimit", millis: number) => void
): Effect.Effect<A, E | E2, R> =>
  Effect.suspend(() => {
    let permit: RateLimit.Permit | undefined
    return Effect.onExitPrimitive(
      Effect.suspend((): Effect.Effect<A, E | E2, R> => {
        const nowMillis = Deadline.nowMillisUnsafe(clock)
        const admitted = limit.admit(nowMillis, { deadline })
        if (admitted._tag === "RateLimited") return Effect.fail(refused(admitted))
        permit = admitted
        if (admitted.ready === undefined) return run
        const waited = Effect.onExitPrimitive(admitted.ready, () => {
          onWaited("rateLimit", Deadline.nowMillisUnsafe(clock) - nowMillis)
          return undefined
        })
        return Effect.andThen(Effect.mapError(waited, refused), run)
      }),
      () => {
        permit?.release(Deadline.nowMillisUnsafe(clock))
        return undefined
      }
    )
  })

import { Clock, Effect, Layer } from "effect"

/** How many sleep by {@link countingClock} now: timers that nobody has ended. */
export const sleepers = { now: 0 }

/** The clock in force, with a count of those who sleep by it. */
export const countingClock = Layer.effect(
  Clock.Clock,
  Effect.map(Clock.Clock, (clock): Clock.Clock => ({
    ...clock,
    sleep: (duration) =>
      Effect.acquireUseRelease(
        Effect.sync(() => ++sleepers.now),
        () => clock.sleep(duration),
        () => Effect.sync(() => --sleepers.now)
      )
  }))
)

/**
 * What a process holds: to be asked before and after, so that nothing stays behind.
 */
import { Effect, Metric } from "effect"
import { pause } from "./calling.ts"

/** Timers and sockets that keep this process alive, by kind. */
export const heldResources = (): ReadonlyMap<string, number> => {
  const kinds = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) {
    if (/Timeout|TCP|TLS|Connect|GetAddrInfo/.test(kind)) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  }
  return kinds
}

/** Ends in a turn of its own: while the callback of a timer runs, Node counts that timer among those that are there. */
const aPause: Effect.Effect<void> = Effect.andThen(
  pause(10),
  Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))
)

/** `2 TCPSocketWrap, 1 Timeout`: what is held beyond what was held before. */
const beyond = (before: ReadonlyMap<string, number>): string =>
  [...heldResources()]
    .map(([kind, count]) => ({ kind, more: count - (before.get(kind) ?? 0) }))
    .filter(({ more }) => more > 0)
    .map(({ kind, more }) => `${more} ${kind}`)
    .join(", ")

/**
 * Gives what the process still holds beyond what it held before; nothing is the empty string. Looks again for half a second,
 * since a handle is closed some turns after it was told to: as goleak does.
 */
export const leftBehind = (before: ReadonlyMap<string, number>, lookAgainMillis = 500): Effect.Effect<string> => {
  const look = (until: number): Effect.Effect<string> =>
    Effect.suspend(() => {
      const more = beyond(before)
      return more === "" || performance.now() > until ? Effect.succeed(more) : Effect.andThen(aPause, look(until))
    })
  return Effect.suspend(() => look(performance.now() + lookAgainMillis))
}

/** Runs the effect, and gives beside its result how many of the fibers that began in it have not ended. */
export const countingFibers = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<{ readonly value: A; readonly fibersLeft: Effect.Effect<number> }, E, R> =>
  Effect.suspend(() => {
    let living = 0
    const service: Metric.FiberRuntimeMetricsService = {
      recordFiberStart: () => void (living += 1),
      recordFiberEnd: () => void (living -= 1)
    }
    return self.pipe(
      Effect.provideService(Metric.FiberRuntimeMetrics, service),
      Effect.map((value) => ({ value, fibersLeft: Effect.sync(() => living) }))
    )
  })

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** The one platform function that is needed here; every runtime that Effect runs on has it. */
interface Timers {
  readonly setTimeout: (run: () => void, millis: number) => unknown
  readonly clearTimeout: (handle: unknown) => void
}

// the package is compiled without any platform's types, so that it stays free of them
const timers = globalThis as unknown as Timers

// the one that fibers get when nobody gave them another; `Clock.Clock.defaultValue()` makes a new one each time
const liveClock = Context.get(Context.empty(), Clock.Clock)

/** Longest wait of a platform timer; a longer one would fire at once. */
const longestMillis = 2 ** 31 - 1

/**
 * Calls `run` when `millis` have passed on the fiber's clock, and gives what cancels it.
 *
 * Under Effect's own clock it is a bare platform timer, which costs a fifth of a forked sleep; under any other clock, a
 * test's above all, that clock's sleep decides.
 */
export const startTimer = (fiber: Fiber.Fiber<unknown, unknown>, millis: number, run: () => void): (() => void) => {
  const clock = fiber.getRef(Clock.Clock)
  if (clock === liveClock && millis <= longestMillis) {
    const handle = timers.setTimeout(run, millis)
    return () => timers.clearTimeout(handle)
  }
  let cancelled = false
  const sleeper = Effect.runForkWith(fiber.context)(clock.sleep(Duration.millis(millis)))
  sleeper.addObserver((exit) => {
    if (!cancelled && exit._tag === "Success") run()
  })
  return () => {
    cancelled = true
    sleeper.interruptUnsafe()
  }
}

/**
 * What comes between two steps of a fiber. A fiber gives way to others after so many operations, or when its scheduler says so,
 * and what those do may come between any two of its operations: an interruption, a permit that is given back, a place that is
 * lost. Here a scheduler lets it come at every one of them in turn, so that nothing depends on how busy a machine is.
 */

import { Effect, type Fiber, Scheduler } from "effect"
import { TestClock } from "effect/testing"

/** One run of a scenario. */
export interface Run {
  /** Which step it is about, for the message of an assertion. */
  readonly name: string
  /**
   * Forks the call that the scenario is about, once. At its step, `act` is run with the fiber of the call, which it interrupts
   * when nothing else is given. The steps of the fibers that the call forks are steps too. A fiber that is `uninterruptible` can
   * be interrupted where the call itself says so.
   */
  readonly fork: <A, E, R>(
    call: Effect.Effect<A, E, R>,
    act?: (call: Fiber.Fiber<unknown, unknown>) => void,
    options?: { readonly uninterruptible: boolean }
  ) => Effect.Effect<Fiber.Fiber<A, E>, never, R>
  /** The fibers of the call, its own and those that it forked, that have not ended. */
  readonly running: () => number
}

const interrupt = (call: Fiber.Fiber<unknown, unknown>): void => call.interruptUnsafe()

const mostSteps = 2000

/**
 * Runs a scenario for every step of the call that it forks, and each time in two ways: what comes is done by the fiber's own code,
 * and the step is made after it; or the fiber gives way, another does it, and the step may never be made. Gives how many runs that
 * were.
 */
export const atEveryStep = <E, R>(scenario: (run: Run) => Effect.Effect<unknown, E, R>): Effect.Effect<number, E, R> =>
  Effect.gen(function* () {
    let runs = 0
    for (const givesWay of [false, true]) {
      for (let step = 1; ; step++) {
        if (step > mostSteps) return yield* Effect.die(new Error(`the call does not end within ${mostSteps} steps`))
        let hasCome = false
        const fibers = new Set<Fiber.Fiber<unknown, unknown>>()
        const running = () => [...fibers].filter((fiber) => fiber.pollUnsafe() === undefined).length
        const fork: Run["fork"] = (call, act = interrupt, options) =>
          Effect.gen(function* () {
            const ambient = yield* Scheduler.Scheduler
            let made = 0
            let own: Fiber.Fiber<unknown, unknown> | undefined
            const scheduler: Scheduler.Scheduler = {
              executionMode: ambient.executionMode,
              makeDispatcher: () => ambient.makeDispatcher(),
              shouldYield: (fiber) => {
                own ??= fiber
                fibers.add(fiber)
                if (++made !== step) return false
                hasCome = true
                const call = own
                // a task of the same dispatcher, so that it comes before the fiber goes on
                if (givesWay) fiber.currentDispatcher.scheduleTask(() => act(call), 0)
                else act(call)
                return givesWay
              }
            }
            return yield* Effect.forkChild(Effect.provideService(call, Scheduler.Scheduler, scheduler), options)
          })
        yield* scenario({ name: `before step ${step}${givesWay ? ", which gives way" : ""}`, fork, running })
        if (!hasCome) break
        runs++
      }
    }
    return runs
  })

/**
 * How a call ended, by the test clock. It gets all the turns that it may want, and of the time only what it takes, one wait after
 * the other, so that nothing ends by itself after it. Dies when it has not ended by then.
 */
export const ended = <A, E>(call: Fiber.Fiber<A, E>, name: string, ...waits: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    for (const millis of [...waits, 0]) {
      for (let turns = 0; turns < 20; turns++) {
        const exit = call.pollUnsafe()
        if (exit !== undefined) return exit
        yield* TestClock.adjust(0)
      }
      yield* TestClock.adjust(millis)
    }
    return yield* Effect.die(new Error(`${name}: it hangs`))
  })

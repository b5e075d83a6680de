/**
 * The fibers that run on a scheduler. A scheduler is asked before each step of a fiber whether it should yield, and a fiber
 * hands its scheduler on to its children: so one that only looks sees every fiber which began inside an effect.
 */

import type * as Fiber from "effect/Fiber"
import type * as Scheduler from "effect/Scheduler"
import { framesOf } from "./effectFrames.ts"
import type { Left } from "./leakReport.ts"

export interface FiberWatch {
  /** The scheduler for the fibers to watch; it decides as the one that it stands before. */
  readonly scheduler: Scheduler.Scheduler
  /** The fibers that have not ended. */
  readonly left: () => ReadonlyArray<Left>
  readonly stop: () => void
}

export const watchFibers = (scheduler: Scheduler.Scheduler): FiberWatch => {
  const alive = new Set<Fiber.Fiber<unknown, unknown>>()
  let isWatching = true
  const see = (fiber: Fiber.Fiber<unknown, unknown>): void => {
    if (!isWatching || alive.has(fiber)) return
    alive.add(fiber)
    fiber.addObserver(() => alive.delete(fiber))
  }
  return {
    scheduler: {
      executionMode: scheduler.executionMode,
      shouldYield: (fiber) => {
        see(fiber)
        return scheduler.shouldYield(fiber)
      },
      makeDispatcher: () => scheduler.makeDispatcher()
    },
    left: () =>
      [...alive].map(({ cache: { stackFrame } }) => ({
        kind: "fiber",
        what: stackFrame === undefined ? "fiber, in no span and no Effect.fn" : `fiber in ${stackFrame.name}`,
        where: framesOf(stackFrame)
      })),
    stop: () => {
      isWatching = false
      alive.clear()
    }
  }
}

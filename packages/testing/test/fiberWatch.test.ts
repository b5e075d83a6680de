import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Scheduler } from "effect"
import { watchFibers } from "../src/internal/fiberWatch.ts"

describe("fibers that are watched", () => {
  it.effect("are seen once and until they end, and none is held when the watch is over", () =>
    Effect.gen(function* () {
      const watch = watchFibers(yield* Scheduler.Scheduler)
      const step = (fiber: Fiber.Fiber<unknown, unknown>): boolean => watch.scheduler.shouldYield(fiber)
      const first = yield* Effect.forkChild(Effect.never)
      const second = yield* Effect.forkChild(Effect.never)
      for (const fiber of [first, second, first]) step(fiber)
      assert.lengthOf(watch.left(), 2)
      yield* Fiber.interrupt(first)
      assert.lengthOf(watch.left(), 1)
      watch.stop()
      assert.lengthOf(watch.left(), 0)
      step(second)
      assert.lengthOf(watch.left(), 0)
      yield* Fiber.interrupt(second)
    })
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import { afterEach, vi } from "vitest"
import { arm, disarm } from "../src/internal/timer.ts"

afterEach(() => void vi.unstubAllGlobals())

describe("a timer", () => {
  it.live("under the platform's clock it is a platform timer, up to the longest that there is", () =>
    Effect.withFiber((fiber) => {
      const handle = {}
      const set: Array<ReadonlyArray<unknown>> = []
      const cleared: Array<unknown> = []
      const run = (): void => {}
      vi.stubGlobal("setTimeout", (...given: ReadonlyArray<unknown>) => {
        set.push(given)
        return handle
      })
      vi.stubGlobal("clearTimeout", (given: unknown) => cleared.push(given))
      const longest = arm(fiber, 2 ** 31 - 1, run, "subject")
      const longer = arm(fiber, 2 ** 31, run, "subject")
      disarm(longest)
      vi.unstubAllGlobals()
      disarm(longer)
      const own = set.filter(([given]) => given === run)
      assert.deepStrictEqual(own, [[run, 2 ** 31 - 1, "subject"]])
      assert.deepStrictEqual(cleared, [handle])
      return Effect.void
    })
  )

  it.effect("under another clock it runs when that clock says so, with its subject, and not when it was disarmed", () =>
    Effect.gen(function* () {
      const ran: Array<string> = []
      yield* Effect.withFiber((fiber) => {
        const note = (subject: string) => void ran.push(subject)
        arm(fiber, 1000, note, "kept")
        disarm(arm(fiber, 1000, note, "disarmed"))
        return Effect.void
      })
      yield* TestClock.adjust("999 millis")
      assert.deepStrictEqual(ran, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(ran, ["kept"])
    })
  )

  it.effect("one that was disarmed does not run, even if the clock's sleep cannot be interrupted", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const stubborn: Clock.Clock = {
        ...clock,
        sleep: (duration) => Effect.uninterruptible(clock.sleep(duration))
      }
      let ran = 0
      yield* Effect.withFiber((fiber) => {
        const timers = [1, 2].map(() => arm(fiber, 1000, () => void ran++, undefined))
        for (const timer of timers.slice(1)) disarm(timer)
        return Effect.void
      }).pipe(Effect.provideService(Clock.Clock, stubborn))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(ran, 1)
    })
  )

  it.effect("one whose clock gives up does not run", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let ran = 0
      yield* Effect.withFiber((fiber) => {
        arm(fiber, 1000, () => void ran++, undefined)
        return Effect.void
      }).pipe(Effect.provideService(Clock.Clock, { ...clock, sleep: () => Effect.interrupt }))
      yield* Effect.yieldNow
      assert.strictEqual(ran, 0)
    })
  )
})

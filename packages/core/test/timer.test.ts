import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import { afterEach, vi } from "vitest"
import { arm, disarm } from "../src/internal/time/timer.ts"

afterEach(() => void vi.unstubAllGlobals())

describe("a timer", () => {
  it.live("under the platform's clock it is a platform timer, up to the longest that there is", () =>
    Effect.withFiber((fiber) => {
      const handle = {}
      const set: Array<number> = []
      const cleared: Array<unknown> = []
      vi.stubGlobal("setTimeout", (_: unknown, millis: number) => {
        set.push(millis)
        return handle
      })
      vi.stubGlobal("clearTimeout", (given: unknown) => cleared.push(given))
      const longest = arm(fiber, 2 ** 31 - 1, () => {}, undefined)
      const longer = arm(fiber, 2 ** 31, () => {}, undefined)
      disarm(longest)
      vi.unstubAllGlobals()
      disarm(longer)
      assert.deepStrictEqual(set.slice(0, 1), [2 ** 31 - 1])
      assert.isFalse(set.includes(2 ** 31))
      assert.deepStrictEqual(cleared.slice(0, 1), [handle])
      return Effect.void
    })
  )

  /** The platform's functions, which run when the test says so. */
  const played = (withTurns: boolean) => {
    const due: Array<() => void> = []
    const later = <S>(run: (subject: S) => void, ...rest: ReadonlyArray<unknown>) => {
      // the subject is what comes last
      due.push(() => run(rest.at(-1) as S))
      return {}
    }
    vi.stubGlobal("setTimeout", later)
    vi.stubGlobal("clearTimeout", () => {})
    vi.stubGlobal("setImmediate", withTurns ? later : undefined)
    return {
      /** Runs what is due, and nothing of what that asks for. */
      turn: () => {
        for (const run of due.splice(0)) run()
      }
    }
  }

  it.live("when it is due it waits for two turns of the event loop, in which what is there already may be heard", () =>
    Effect.withFiber((fiber) => {
      const { turn } = played(true)
      const ran: Array<string> = []
      arm(fiber, 5, (subject) => void ran.push(subject), "subject")
      turn()
      turn()
      assert.deepStrictEqual(ran, [])
      turn()
      assert.deepStrictEqual(ran, ["subject"])
      turn()
      assert.deepStrictEqual(ran, ["subject"], "once")
      return Effect.void
    })
  )

  it.live("one that is disarmed in those turns does not run", () =>
    Effect.withFiber((fiber) => {
      for (const turns of [0, 1, 2]) {
        const { turn } = played(true)
        let ran = 0
        const timer = arm(fiber, 5, () => void ran++, undefined)
        for (let index = 0; index < turns; index++) turn()
        disarm(timer)
        for (let index = 0; index < 4; index++) turn()
        assert.strictEqual(ran, 0, `disarmed after ${turns} turns`)
      }
      return Effect.void
    })
  )

  it.live("a platform without such turns has its timers run when they are due", () =>
    Effect.withFiber((fiber) => {
      const { turn } = played(false)
      let ran = 0
      arm(fiber, 5, () => void ran++, undefined)
      turn()
      assert.strictEqual(ran, 1)
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

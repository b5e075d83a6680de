/** The clock by which a timer waits, and its cost. */

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** The platform functions that are needed here; every runtime that Effect runs on has it. */
interface Timers {
  readonly setTimeout: <S>(run: (subject: S) => void, millis: number, subject: S) => unknown
  readonly clearTimeout: (handle: unknown) => void
  /** Of the platforms that have sockets; the others have no turns to wait for. */
  readonly setImmediate?: <S>(run: (subject: S) => void, subject: S) => unknown
}

// the package is compiled without any platform's types, so that it stays free of them
const timers = globalThis as unknown as Timers

// the one that fibers get when nobody gave them another; `Clock.Clock.defaultValue()` makes a new one each time
const liveClock = Context.get(Context.empty(), Clock.Clock)

/** Longest wait of a platform timer; a longer one would fire at once. */
const longestMillis = 2 ** 31 - 1

/** A timer that runs; its type depends on the clock. */
export interface Timer {
  readonly cancel: () => void
}

/**
 * A timer of the platform. When it is due it looks once more before it runs: a program that was busy finds its timers due and its
 * sockets unread at the same time, and a platform runs timers first, so that a limit would cut a call that has its answer already.
 * The first turn reads the sockets; their data may need one more to get from fiber to fiber.
 */
class PlatformTimer<S> {
  private readonly run: (subject: S) => void
  private readonly subject: S
  private readonly handle: unknown
  private isOver = false
  private turns = 2
  constructor(run: (subject: S) => void, millis: number, subject: S) {
    this.run = run
    this.subject = subject
    this.handle = timers.setTimeout(due, millis, this)
  }
  due(): void {
    if (this.isOver) return
    if (this.turns-- > 0 && timers.setImmediate !== undefined) timers.setImmediate(due, this)
    else {
      this.isOver = true
      this.run(this.subject)
    }
  }
  cancel(): void {
    this.isOver = true
    timers.clearTimeout(this.handle)
  }
}

const due = (timer: { readonly due: () => void }): void => timer.due()

/** A timer of a clock that is not Effect's own. Interrupted, its fiber does not succeed, however late it ends. */
class SleepingTimer {
  private readonly sleeper: Fiber.Fiber<void>
  constructor(sleeper: Fiber.Fiber<void>, run: () => void) {
    this.sleeper = sleeper
    sleeper.addObserver((exit) => {
      if (exit._tag === "Success") run()
    })
  }
  cancel(): void {
    this.sleeper.interruptUnsafe()
  }
}

/**
 * Calls `run` with `subject` when `millis` have passed on the fiber's clock; {@link disarm} prevents it.
 *
 * Under Effect's own clock it is a platform timer, which costs a fifth of a forked sleep; under any other clock, a
 * test's above all, that clock's sleep decides, and nothing is waited for beyond it. The subject spares the hot path a closure.
 */
export const arm = <S>(
  fiber: Fiber.Fiber<unknown, unknown>,
  millis: number,
  run: (subject: S) => void,
  subject: S
): Timer => {
  const clock = fiber.getRef(Clock.Clock)
  if (clock === liveClock && millis <= longestMillis) return new PlatformTimer(run, millis, subject)
  // a fraction is made a microsecond shorter: a sum of fractions may come out a hair behind the instant that it stands for,
  // and a test's clock that stops at that instant would leave the timer waiting
  const sleep = Duration.millis(Number.isInteger(millis) ? millis : Math.floor(millis * 1000 - 1) / 1000)
  return new SleepingTimer(Effect.runForkWith(fiber.context)(clock.sleep(sleep)), () => run(subject))
}

/** Prevents a timer from firing. One that has fired is left alone. */
export const disarm = (timer: Timer): void => timer.cancel()

const runIt = (run: () => void): void => run()

/** {@link arm} for code that has a closure anyway: calls `run`, and gives a function that cancels it. */
export const startTimer = (fiber: Fiber.Fiber<unknown, unknown>, millis: number, run: () => void): (() => void) => {
  const timer = arm(fiber, millis, runIt, run)
  return () => disarm(timer)
}

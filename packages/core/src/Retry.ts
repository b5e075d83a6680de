/**
 * One retry loop over one outcome. It counts every attempt once, however it failed, waits by any `Schedule`, never less
 * than the server asked and never past the deadline, and asks the budget before it sleeps.
 *
 * **When to use**: {@link retry} around an effect of your own; calls through an upstream have it built in.
 *
 * **What it is not**: `Effect.retry`, which asks neither whether an effect may be repeated nor how much load the retries add up to.
 *
 * An attempt whose outcome is `stale` (its connection had ended before) is no retry's business: if the request may be sent again, it is
 * sent again at once, once, over a connection that is made for it. That waits for nothing, takes nothing from the budget and does not
 * count as an attempt, so it happens even where nothing is retried.
 *
 * **Gotchas**: only typed failures are retried. A defect is a bug, and an interruption is the caller's will; both end the
 * loop at once. A classifier that gives no outcome is a bug, too: it ends the loop as a defect that says what was got.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as AttemptTimeout from "./AttemptTimeout.ts"
import * as Backoff from "./Backoff.ts"
import * as Deadline from "./Deadline.ts"
import { checkEffect, checkOptions, dataFirst } from "./internal/options/given.ts"
import { failureOutcome, reasonOf } from "./internal/outcome/failureOutcome.ts"
import { rangesOf } from "./internal/options/inRange.ts"
import { isSentAgainAtOnce, stopBeforeWait, waitOrStop } from "./internal/retry/retryDecision.ts"
import { checkedFailure, type Failure, onFreshConnection } from "./Outcome.ts"
import { DeadlineExceeded, type Reason } from "./Reason.ts"
import * as PolicyEvents from "./PolicyEvents.ts"
import type { RetryBudget } from "./RetryBudget.ts"
import type * as Time from "./Time.ts"

/**
 * How to retry.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Attempts in all, the first included; replacements of stale attempts do not count. A whole number of at least 1; default 3. */
  readonly maxAttempts?: number | undefined
  /**
   * How long to wait between attempts; it may also end the retrying. Its input is the outcome of the failed attempt.
   * Default `Backoff.exponential()`: full jitter from 100 ms, at most 10 s.
   */
  readonly schedule?: Schedule.Schedule<unknown, Failure> | undefined
  /** The longest wait that a server may ask for; a longer one ends the retrying at once. Default 60 s. */
  readonly maxServerWait?: Time.Input | undefined
  /** How much a server's wait is spread, upwards only. Between 0 and 1; default 0.1: up to a tenth more. */
  readonly serverWaitJitter?: number | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  maxAttempts: 3,
  schedule: Backoff.exponential(),
  maxServerWait: Duration.seconds(60),
  serverWaitJitter: 0.1
} as const satisfies Options

/**
 * Facts about one effect.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions<in E> {
  /** The budget that every retry is paid from. Default: none, so that retries are free, which is rarely right. */
  readonly budget?: RetryBudget | undefined
  /** When the caller no longer wants the answer. Default: the ambient `Deadline.Current`. */
  readonly deadline?: Deadline.Deadline | undefined
  /**
   * How a failure is judged. Default: the catalogue's judgement on a reason, or on the reason of a `CallError`; any other
   * is `transient`.
   */
  readonly classify?: ((error: E) => Failure) | undefined
  /** Whether the effect may be run once more, given its outcome and its error. Default: always. */
  readonly replayable?: ((outcome: Failure, error: E) => boolean) | undefined
  /** Runs before the sleep, and within the deadline as all else: to tell observers. */
  readonly onRetry?: ((error: E, scheduled: Scheduled) => Effect.Effect<unknown>) | undefined
  /** Runs when no further attempt is made, before the last failure is given. */
  readonly onGiveUp?: ((error: E, givenUp: GivenUp) => Effect.Effect<unknown>) | undefined
}

/**
 * The events of a retry.
 *
 * - `RetryScheduled`: an attempt failed, and another one follows
 * - `GaveUp`: an attempt failed, and none follows
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | {
      readonly _tag: "RetryScheduled"
      readonly error: unknown
      /** The reason that the error is, or that the error of a call has. */
      readonly reason: Reason | undefined
      readonly scheduled: Scheduled
    }
  | {
      readonly _tag: "GaveUp"
      readonly error: unknown
      readonly reason: Reason | undefined
      readonly givenUp: GivenUp
    }

/**
 * A checked way to retry. It holds no state and may be shared.
 *
 * @category models
 * @since 0.1.0
 */
export interface Retry {
  /** Runs an effect until it succeeds or no further attempt is made, and then fails with its last failure. */
  readonly run: <A, E, R>(self: Effect.Effect<A, E, R>, options?: RunOptions<E>) => Effect.Effect<A, E, R>
  /** The events of {@link Retry.run}. A {@link loop} tells whom it is told to tell. */
  readonly events: PolicyEvents.PolicyEvents<Event>
  readonly maxAttempts: number
  readonly schedule: Schedule.Schedule<unknown, Failure>
  readonly maxServerWait: Duration.Duration
  readonly serverWaitJitter: number
}

const { notNegative, whole, within } = rangesOf("Retry")

/**
 * Checks the options. Throws a `RangeError` that names the fault and the value that it got.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Retry => {
  checkOptions("Retry.make", options, "{ maxAttempts: 3 }")
  const maxAttempts = whole("maxAttempts", options.maxAttempts ?? defaults.maxAttempts, 1)
  const serverWaitJitter = within("serverWaitJitter", options.serverWaitJitter ?? defaults.serverWaitJitter, 0, 1)
  const { emit, events, isHeard } = PolicyEvents.make<Event>()
  const retry: Retry = {
    run: <A, E, R>(self: Effect.Effect<A, E, R>, given: RunOptions<E> = {}): Effect.Effect<A, E, R> => {
      checkEffect("Retry", self)
      const { budget, classify, deadline, onGiveUp, onRetry, replayable } = given
      return loop({
        retry,
        budget,
        deadline,
        attempt: () => self,
        classify: classify ?? failureOutcome,
        replayable,
        onRetry: (error, scheduled) => {
          if (isHeard()) emit({ _tag: "RetryScheduled", error, reason: reasonOf(error), scheduled })
          return onRetry === undefined ? Effect.void : onRetry(error, scheduled)
        },
        onGiveUp: (error, givenUp) => {
          if (isHeard()) emit({ _tag: "GaveUp", error, reason: reasonOf(error), givenUp })
          const failure = Effect.fail(error)
          return onGiveUp === undefined ? failure : Effect.andThen(onGiveUp(error, givenUp), failure)
        }
      })
    },
    maxAttempts,
    schedule: options.schedule ?? defaults.schedule,
    maxServerWait: Duration.millis(notNegative("maxServerWait", options.maxServerWait ?? defaults.maxServerWait)),
    serverWaitJitter,
    events
  }
  return retry
}

/**
 * A retry that is about to be waited for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Scheduled {
  /** Attempts made so far. */
  readonly attempts: number
  /** How long the loop will sleep. */
  readonly delay: Duration.Duration
  /** Why the last attempt failed. */
  readonly outcome: Failure
  /** Whether the next attempt is to replace one that was stale: at once, and outside of the budget. */
  readonly isFresh: boolean
}

/**
 * Why no further attempt was made.
 *
 * - `attempts`: the policy allows no more
 * - `deadline`: the next one would have begun, or ended its wait, after the caller's deadline
 * - `budget`: the upstream's retry budget was spent
 * - `not-replayable`: the request may not be sent twice: its method is not idempotent and it has no idempotency key, or
 *   its body is used up
 * - `not-retryable`: another try cannot help, or the policy does not try such a failure again, as it does not wait for a refusal by
 *   this side; whether a later call may succeed is another question, which the catalogue's `retryable` answers
 * - `server-wait`: the server asked for a longer wait than the policy or the deadline allows
 * - `rate-limit`: this side's own rate limit, which counts every request, left no room for one
 *
 * @category schemas
 * @since 0.1.0
 */
export const RetryStopped = Schema.Literals([
  "attempts",
  "deadline",
  "budget",
  "not-replayable",
  "not-retryable",
  "server-wait",
  "rate-limit"
])

/**
 * Why no further attempt was made.
 *
 * @category models
 * @since 0.1.0
 */
export type RetryStopped = typeof RetryStopped.Type

/**
 * How a loop that failed went.
 *
 * @category models
 * @since 0.1.0
 */
export interface GivenUp {
  /** Attempts made. */
  readonly attempts: number
  /** Why no further attempt was made. */
  readonly stopped: RetryStopped
  /** The outcome of the last attempt. */
  readonly outcome: Failure
}

/**
 * The attempts of a loop, and how it judges them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Loop<A, E, R, A2, E2, R2> {
  readonly retry: Retry
  /** The budget that every retry is paid from; left out, retries are free, which is rarely right. */
  readonly budget?: RetryBudget | undefined
  /** When the call began, in monotonic milliseconds, where that is known already. Default: now. */
  readonly startMillis?: number | undefined
  /** When the caller no longer wants the answer. Default: the ambient `Deadline.Current`. */
  readonly deadline?: Deadline.Deadline | undefined
  /**
   * Makes one attempt. `resend` is 0 for the first. `isFresh`: it replaces one that was stale, and must not go over a connection that
   * was used before; should it be called stale all the same, it counts as `transient`.
   */
  readonly attempt: (resend: number, isFresh: boolean) => Effect.Effect<A, E, R>
  /** How a failed attempt is judged. */
  readonly classify: (error: E) => Failure
  /** Whether the request may be sent once more, given its outcome and its error. Default: always. */
  readonly replayable?: ((outcome: Failure, error: E) => boolean) | undefined
  /** Runs before the sleep, and within the deadline as all else: to release resources of the failed attempt, and to tell observers. */
  readonly onRetry?: ((error: E, scheduled: Scheduled) => Effect.Effect<unknown>) | undefined
  /** The error that the last failure becomes. */
  readonly onGiveUp: (error: E, givenUp: GivenUp) => Effect.Effect<A2, E2, R2>
}

/**
 * Runs a loop whose attempts differ, or whose last failure becomes another; {@link run} is made of it. A call that succeeds at once
 * pays for nothing but the budget's bookkeeping.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Outcome, Retry } from "holdfast"
 *
 * const flaky = (resend: number) => resend < 2 ? Effect.fail("busy") : Effect.succeed(`done at resend ${resend}`)
 *
 * const program = Retry.loop({
 *   retry: Retry.make({ maxAttempts: 3 }),
 *   attempt: flaky,
 *   classify: () => Outcome.failure({ cause: "transient" }),
 *   onGiveUp: (error, { attempts, stopped }) => Effect.fail(`${error} after ${attempts}: ${stopped}`)
 * })
 *
 * console.log(await Effect.runPromise(program)) // => done at resend 2
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const loop = <A, E, R, A2, E2, R2>(loop: Loop<A, E, R, A2, E2, R2>): Effect.Effect<A | A2, E2, R | R2> =>
  Effect.withFiber((fiber) => {
    const call: Running = { started: false, retrying: false, step: undefined, replaced: 0 }
    return Effect.onExitPrimitive(
      Effect.suspend(() => {
        if (loop.budget !== undefined) {
          loop.budget.callStarted(loop.startMillis ?? Deadline.nowMillisUnsafe(fiber.getRef(Clock.Clock)))
          call.started = true
        }
        return attemptFrom(loop, call, fiber, 0, false)
      }),
      // one place gives everything back, so that an interruption between two steps cannot lose a place in the budget
      () => {
        if (call.retrying) loop.budget?.retryEnded()
        if (call.started) loop.budget?.callEnded()
        return undefined
      }
    )
  })

type Step = (now: number, input: Failure) => Pull.Pull<[unknown, Duration.Duration], never, unknown>

/** The state of a running loop. */
interface Running {
  /** Whether the budget counts this call as in flight. */
  started: boolean
  /** Whether the budget counts a retry of this call as in flight. */
  retrying: boolean
  /** The schedule, once it was needed. */
  step: Step | undefined
  /** Attempts that were stale, and were replaced by another. */
  replaced: number
}

const attemptFrom = <A, E, R, A2, E2, R2>(
  loop: Loop<A, E, R, A2, E2, R2>,
  call: Running,
  fiber: Fiber.Fiber<unknown, unknown>,
  resend: number,
  isFresh: boolean
): Effect.Effect<A | A2, E2, R | R2> =>
  Effect.matchCauseEffect(loop.attempt(resend, isFresh), {
    onSuccess: Effect.succeed,
    onFailure: (cause): Effect.Effect<A | A2, E2, R | R2> => {
      if (Cause.hasInterrupts(cause)) return Effect.failCause(onlyInterrupts(cause))
      // a defect beside a failure (a finalizer's, a sibling's) would be lost with the attempt that is thrown away
      if (Cause.hasDies(cause)) return Effect.failCause(onlyDefects(cause))
      const found = Cause.findError(cause)
      if (Result.isFailure(found)) return Effect.failCause(found.failure)
      return afterFailure(loop, call, fiber, resend + 1, found.success, isFresh)
    }
  })

/** A schedule cannot fail; it can die. */
const withoutFailures = (cause: Cause.Cause<unknown>): Cause.Cause<never> =>
  Cause.fromReasons(cause.reasons.filter((reason) => !Cause.isFailReason(reason)))

const isOutOfTime = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.some((reason) => Cause.isFailReason(reason) && reason.error instanceof DeadlineExceeded)

const onlyInterrupts = (cause: Cause.Cause<unknown>): Cause.Cause<never> =>
  Cause.fromReasons(cause.reasons.filter(Cause.isInterruptReason))

const onlyDefects = (cause: Cause.Cause<unknown>): Cause.Cause<never> =>
  Cause.fromReasons(cause.reasons.filter(Cause.isDieReason))

const afterFailure = <A, E, R, A2, E2, R2>(
  loop: Loop<A, E, R, A2, E2, R2>,
  call: Running,
  fiber: Fiber.Fiber<unknown, unknown>,
  attempts: number,
  error: E,
  isFresh: boolean
): Effect.Effect<A | A2, E2, R | R2> => {
  const judged = checkedFailure("Retry", loop.classify(error))
  const outcome = isFresh ? onFreshConnection(judged) : judged
  const replayable = loop.replayable === undefined || loop.replayable(outcome, error)
  if (isSentAgainAtOnce(outcome, replayable)) return replaced(loop, call, fiber, attempts, error, outcome)
  if (call.retrying) {
    call.retrying = false
    loop.budget?.retryEnded()
  }
  const { maxAttempts } = loop.retry
  const stopped = stopBeforeWait({ attempts: attempts - call.replaced, maxAttempts, outcome, replayable })
  if (stopped !== undefined) return loop.onGiveUp(error, { attempts, stopped, outcome })
  // a schedule that dies is a bug of its author, and surfaces as the defect that it is
  const stepped = call.step === undefined ? Schedule.toStep(loop.retry.schedule) : Effect.succeed(call.step)
  const deadline = loop.deadline ?? fiber.getRef(Deadline.Current)
  const outOfTime = () => loop.onGiveUp(error, { attempts, stopped: "deadline", outcome })
  return Effect.flatMap(stepped, (step) => {
    call.step = step
    const clock = fiber.getRef(Clock.Clock)
    const next = step(clock.currentTimeMillisUnsafe(), outcome)
    // a schedule may be any effect, and one that never ends must not hold the call beyond its deadline
    return Pull.matchEffect(AttemptTimeout.bounded(next, Infinity, deadline), {
      onSuccess: ([, scheduled]) => {
        const nowMillis = Deadline.nowMillisUnsafe(clock)
        const delay = waitOrStop({
          scheduledMillis: Duration.toMillis(scheduled),
          askedMillis: outcome.retryAfter === undefined ? undefined : Duration.toMillis(outcome.retryAfter),
          maxServerWaitMillis: Duration.toMillis(loop.retry.maxServerWait),
          serverWaitJitter: loop.retry.serverWaitJitter,
          remainingMillis: deadline === undefined ? Infinity : deadline.atMillis - nowMillis,
          random: fiber.getRef(Random.Random).nextDoubleUnsafe()
        })
        if (typeof delay === "string") return loop.onGiveUp(error, { attempts, stopped: delay, outcome })
        return payAndRetry(loop, call, fiber, attempts, error, outcome, nowMillis, delay, deadline)
      },
      onFailure: (cause) => (isOutOfTime(cause) ? outOfTime() : Effect.failCause(withoutFailures(cause))),
      onDone: () => loop.onGiveUp(error, { attempts, stopped: "attempts", outcome })
    })
  })
}

/** Makes the attempt that takes the place of a stale one; the place of a retry in the budget goes over to it. */
const replaced = <A, E, R, A2, E2, R2>(
  loop: Loop<A, E, R, A2, E2, R2>,
  call: Running,
  fiber: Fiber.Fiber<unknown, unknown>,
  attempts: number,
  error: E,
  outcome: Failure
): Effect.Effect<A | A2, E2, R | R2> => {
  const deadline = loop.deadline ?? fiber.getRef(Deadline.Current)
  const nowMillis = Deadline.nowMillisUnsafe(fiber.getRef(Clock.Clock))
  if (deadline !== undefined && deadline.atMillis <= nowMillis) {
    return loop.onGiveUp(error, { attempts, stopped: "deadline", outcome })
  }
  call.replaced++
  const again = Effect.suspend(() => attemptFrom(loop, call, fiber, attempts, true))
  if (loop.onRetry === undefined) return again
  const told = loop.onRetry(error, { attempts, delay: Duration.zero, outcome, isFresh: true })
  if (told === Effect.void) return again
  return Effect.matchEffect(AttemptTimeout.bounded(told, Infinity, deadline), {
    onSuccess: () => again,
    onFailure: () => loop.onGiveUp(error, { attempts, stopped: "deadline", outcome })
  })
}

/** Pays for the retry, sleeps, and goes on. */
const payAndRetry = <A, E, R, A2, E2, R2>(
  loop: Loop<A, E, R, A2, E2, R2>,
  call: Running,
  fiber: Fiber.Fiber<unknown, unknown>,
  attempts: number,
  error: E,
  outcome: Failure,
  nowMillis: number,
  delayMillis: number,
  deadline: Deadline.Deadline | undefined
): Effect.Effect<A | A2, E2, R | R2> => {
  if (loop.budget !== undefined && !loop.budget.tryRetry(nowMillis, outcome.cause)) {
    return loop.onGiveUp(error, { attempts, stopped: "budget", outcome })
  }
  const delay = Duration.millis(delayMillis)
  const told =
    loop.onRetry === undefined ? Effect.void : loop.onRetry(error, { attempts, delay, outcome, isFresh: false })
  const again = (): Effect.Effect<A | A2, E2, R | R2> => {
    if (loop.budget !== undefined) {
      loop.budget.retryStarted()
      call.retrying = true
    }
    return attemptFrom(loop, call, fiber, attempts, false)
  }
  // the sleep ends before the deadline; observers that are told before it may take their time
  if (told === Effect.void) return Effect.flatMap(Effect.sleep(delay), again)
  return Effect.matchEffect(AttemptTimeout.bounded(Effect.andThen(told, Effect.sleep(delay)), Infinity, deadline), {
    onSuccess: again,
    onFailure: () => loop.onGiveUp(error, { attempts, stopped: "deadline", outcome })
  })
}

/**
 * Runs an effect until it succeeds or no further attempt is made, and then fails with its last failure. {@link retry} makes the policy,
 * too.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Retry, RetryBudget } from "holdfast"
 *
 * const often = Retry.make({ maxAttempts: 5 })
 * const budget = RetryBudget.make()
 * const rows = Effect.succeed("rows").pipe(Retry.run(often, { budget }))
 *
 * console.log(await Effect.runPromise(rows)) // => rows
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: {
  <E = unknown>(
    retry: Retry,
    options?: RunOptions<E>
  ): <A, E1 extends E, R>(self: Effect.Effect<A, E1, R>) => Effect.Effect<A, E1, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, retry: Retry, options?: RunOptions<E>): Effect.Effect<A, E, R>
} = dual(
  dataFirst("Retry.run", Effect.isEffect, "; Retry.retry takes options"),
  <A, E, R>(self: Effect.Effect<A, E, R>, retry: Retry, options?: RunOptions<E>): Effect.Effect<A, E, R> =>
    retry.run(self, options)
)

/**
 * Runs an effect until it succeeds or no further attempt is made. Give only the options that differ from the {@link defaults}. Throws a
 * `RangeError` as {@link make} does.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Backoff, Retry } from "holdfast"
 *
 * let asked = 0
 * const flaky = Effect.suspend(() => (++asked < 3 ? Effect.fail("busy") : Effect.succeed("rows")))
 *
 * const rows = flaky.pipe(Retry.retry({ schedule: Backoff.exponential({ base: "1 millis" }) }))
 * console.log(await Effect.runPromise(rows), asked) // => rows 3
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const retry: {
  <E = unknown>(
    options?: Options & RunOptions<E>
  ): <A, E1 extends E, R>(self: Effect.Effect<A, E1, R>) => Effect.Effect<A, E1, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, options?: Options & RunOptions<E>): Effect.Effect<A, E, R>
} = dual(
  (given) => {
    const isFirst = Effect.isEffect(given[0])
    // options that are left out are the defaults
    checkOptions("Retry.retry", given[isFirst ? 1 : 0] ?? {}, "{ maxAttempts: 3 }")
    return isFirst
  },
  <A, E, R>(self: Effect.Effect<A, E, R>, options?: Options & RunOptions<E>): Effect.Effect<A, E, R> =>
    make(options).run(self, options)
)

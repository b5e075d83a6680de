/**
 * Bounds one attempt in time: by its own limit, or by the rest of the deadline when that is less.
 *
 * **When to use**: inside a retry, around one attempt from its first byte to its decoded answer.
 *
 * **What it is not**: a bound on the whole call with its retries and waits; that is `Deadline`.
 *
 * The limit is fixed ({@link make}), or learned from the upstream's own latency ({@link adaptive}): a fixed one that fits
 * the slowest operation on the worst day leaves every other attempt hanging for seconds after all hope is gone.
 *
 * **Gotchas**: an attempt that times out is interrupted, and its finalizers are waited for. A limit that falls due while the program was
 * busy looks once more for an answer that has come in the meantime, before it cuts.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Deadline from "./Deadline.ts"
import { stackless } from "./Stackless.ts"
import { checkEffect, checkOptions, dataFirst } from "./internal/options/given.ts"
import { exitOutcome, outcomeOf } from "./internal/outcome/exitOutcome.ts"
import * as Share from "./internal/time/fairShare.ts"
import { rangesOf } from "./internal/options/inRange.ts"
import { arm, disarm } from "./internal/time/timer.ts"
import * as LatencyTracker from "./LatencyTracker.ts"
import type { Mode } from "./Mode.ts"
import type * as Outcome from "./Outcome.ts"
import * as PolicyEvents from "./PolicyEvents.ts"
import * as Reason from "./Reason.ts"
import * as Time from "./Time.ts"

/**
 * How long an attempt may take.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The longest that an attempt may take. Longer than zero; default: only the deadline bounds it. */
  readonly limit?: Time.Input | undefined
  /**
   * `observe` counts and reports the attempts that it would have cut, and leaves them to the deadline, as `off` does. Default `enforce`.
   */
  readonly mode?: Mode | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  limit: Duration.infinity,
  mode: "enforce"
} as const satisfies Options

/**
 * {@link run} without a policy object, for a hot path: the limit is in milliseconds, `Infinity` for none. Pass `nowMillis` if you
 * have just read the monotonic time.
 *
 * `fairMillis` is the attempt's fair share of time: see {@link makeFairShare}. A `DeadlineExceeded` that comes sooner
 * says nothing of the upstream, and is marked `cutShort`. The fair share is never longer than the limit.
 *
 * @category combinators
 * @since 0.1.0
 */
export const bounded = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  limitMillis: number,
  given: Deadline.Deadline | undefined,
  nowMillis?: number,
  fairMillis: number = fairShareDefaults.unknownMillis
): Effect.Effect<A, E | Reason.AttemptTimeout | Reason.DeadlineExceeded, R> =>
  Effect.withFiber((parent) => {
    const deadline = given ?? parent.getRef(Deadline.Current)
    const remainingMillis =
      deadline === undefined
        ? Infinity
        : deadline.atMillis - (nowMillis ?? Deadline.nowMillisUnsafe(parent.getRef(Clock.Clock)))
    const failed = () => Effect.fail(exceeded(deadline, remainingMillis, limitMillis, fairMillis))
    if (remainingMillis <= 0) return failed()
    const millis = Math.min(limitMillis, remainingMillis)
    if (millis === Infinity) return self
    return Effect.callback<A, E | Reason.AttemptTimeout | Reason.DeadlineExceeded, R>((resume) => {
      // one fork and one timer; a race would fork both sides
      const child = Effect.runForkWith(
        // the parent holds the services that `self` requires, or `self` could not have been run in its place
        parent.context as Context.Context<R>
      )(self)
      const done = child.pollUnsafe()
      if (done !== undefined) {
        resume(done)
        return undefined
      }
      const running: Running = { child, parentId: parent.id, timedOut: false }
      const timer = arm(parent, millis, timeOut, running)
      child.addObserver((exit) => {
        disarm(timer)
        resume(running.timedOut && exit._tag === "Failure" ? failed() : exit)
      })
      return Effect.suspend(() => {
        disarm(timer)
        return Fiber.interrupt(child)
      })
    })
  })

/** The figures that the timer of an attempt needs. */
interface Running {
  readonly child: Fiber.Fiber<unknown, unknown>
  readonly parentId: number
  timedOut: boolean
}

const timeOut = (running: Running): void => {
  running.timedOut = true
  running.child.interruptUnsafe(running.parentId)
}

const exceeded = (
  deadline: Deadline.Deadline | undefined,
  remainingMillis: number,
  limitMillis: number,
  fairMillis: number
): Reason.AttemptTimeout | Reason.DeadlineExceeded =>
  stackless(() => {
    if (deadline === undefined || remainingMillis > limitMillis) {
      return new Reason.AttemptTimeout({ limit: Duration.millis(limitMillis) })
    }
    const budget = Duration.millis(deadline.budgetMillis)
    return remainingMillis < Math.min(limitMillis, fairMillis)
      ? new Reason.DeadlineExceeded({ budget, cutShort: true })
      : new Reason.DeadlineExceeded({ budget })
  })

/**
 * The fair share of time of an upstream: if its caller gives up later than that, it counts against the upstream.
 *
 * An attempt that its caller's deadline cuts after 30 ms is no failure of an upstream that usually answers in 50: it never had its
 * fair share of time. An attempt that was cut after ten times as long as usual is a failure, also if its caller cut it. Otherwise an
 * upstream that hangs would stay unseen as long as all its callers are in a hurry.
 *
 * @category models
 * @since 0.1.0
 */
export interface FairShare {
  /** The fair share now, in milliseconds; the attempt's own limit, where that is less, is the fair share instead. */
  readonly millis: () => number
  /** Tells how long a success took. */
  readonly succeeded: (durationMillis: number) => void
}

/**
 * The fair share in milliseconds, where latencies do not decide it. It is `unknownMillis` until the first success, and never less than
 * `floorMillis`, because a lost packet is sent again after 200 ms or more.
 *
 * @category defaults
 * @since 0.1.0
 */
export const fairShareDefaults = { unknownMillis: 3000, floorMillis: 250 } as const

/**
 * Learns the fair share of an upstream from its successes: twice the time within which nearly all of them come, by the estimate
 * that TCP makes of its round trips. It is two numbers, so that every endpoint can have one.
 *
 * ```ts
 * import { AttemptTimeout } from "holdfast"
 *
 * const share = AttemptTimeout.makeFairShare()
 * console.log(share.millis()) // => 3000
 * for (let call = 0; call < 100; call++) share.succeeded(400)
 * console.log(Math.round(share.millis())) // => 800
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeFairShare = (): FairShare => {
  const state = Share.makeFairShareState()
  return {
    millis: () => Share.millis(state, fairShareDefaults),
    succeeded: (durationMillis) => Share.succeeded(state, durationMillis)
  }
}

/**
 * How a limit is learned.
 *
 * @category models
 * @since 0.1.0
 */
export interface AdaptiveOptions {
  /** The limit in force until there are enough samples. Longer than zero and finite. */
  readonly limit: Time.Input
  /** Which quantile of the upstream's latency is multiplied. Between 0.5 and 1; default 0.99. */
  readonly quantile?: number | undefined
  /** How many times that quantile an attempt may take. Above 1, at most 100; default 2. */
  readonly factor?: number | undefined
  /**
   * The learned limit is never shorter. Default 250 ms, or `limit` if that is shorter: a lost packet is sent again after
   * 200 ms or more, and is no reason to give up.
   */
  readonly floor?: Time.Input | undefined
  /**
   * The learned limit is never longer. Not below `floor`; default `limit`, so that a policy whose times were added up with it still holds.
   */
  readonly ceiling?: Time.Input | undefined
  /** Samples in the tracker's window before the limit is learned. At least 10; default 100. */
  readonly minimumSamples?: number | undefined
  /** Where the latencies are kept. Default: a tracker of its own, over 60 s. */
  readonly tracker?: LatencyTracker.LatencyTracker | undefined
  /** `observe` and `off` keep to `limit`; `observe` learns, and reports the attempts that it would have cut. Default `enforce`. */
  readonly mode?: Mode | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const adaptiveDefaults = {
  quantile: 0.99,
  factor: 2,
  floor: Duration.millis(250),
  window: Duration.seconds(60),
  minimumSamples: 100,
  mode: "enforce"
} as const

/**
 * An event of an attempt timeout.
 *
 * - `TimedOut`: an attempt was cut by the limit; `observed` when it took longer than a limit that is not in force
 *
 * @category models
 * @since 0.1.0
 */
export interface Event {
  readonly _tag: "TimedOut"
  readonly limit: Duration.Duration
  readonly elapsed: Duration.Duration
  readonly observed: boolean
}

/**
 * The state of an attempt timeout at one instant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** The limit that an attempt gets now; infinity for none. */
  readonly limit: Duration.Duration
  /** The limit that was learned; in `observe` it is not in force. `undefined` with too few samples, and for a fixed limit. */
  readonly learned: Duration.Duration | undefined
  /** Samples in the tracker's window; 0 for a fixed limit. */
  readonly samples: number
  /** Attempts cut by the limit; in `observe`, attempts that took longer than the limit that is not in force. */
  readonly timedOut: number
}

/**
 * Facts about one attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions<in A, in E> {
  /**
   * How the attempt's own exits are judged; a learned limit learns from a success. Default: a success is a success. An interruption
   * is ignored and a limit of time is a timeout; `classify` is asked about neither.
   */
  readonly classify?: ((exit: Exit.Exit<A, E>) => Outcome.Outcome) | undefined
  /** When the caller no longer wants the answer. Default: the ambient `Deadline.Current`. */
  readonly deadline?: Deadline.Deadline | undefined
}

/**
 * A limit of time for attempts: a fixed one holds no state, a learned one belongs to an upstream.
 *
 * @category models
 * @since 0.1.0
 */
export interface AttemptTimeout {
  readonly mode: Mode
  /**
   * Interrupts an effect that takes too long: fails with `AttemptTimeout` when the limit passed, with `DeadlineExceeded` when the deadline
   * did; at once, without running the effect, when no time is left.
   */
  readonly run: <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options?: RunOptions<A, E>
  ) => Effect.Effect<A, E | Reason.AttemptTimeout | Reason.DeadlineExceeded, R>
  /** The limit for an attempt that begins now, in milliseconds; for {@link bounded}. */
  readonly limitMillis: (nowMillis: number) => number
  /**
   * Tells how an attempt that had `limitMillis` ended. `run` does this by itself: a success is a sample; an attempt that
   * was cut off, by a timeout or because the caller went away, is one if it had already taken as long as the quantile;
   * any other failure is none, for fast failures make no fast upstream.
   */
  readonly settle: (nowMillis: number, limitMillis: number, durationMillis: number, outcome: Outcome.Outcome) => void
  /** The present state. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
  readonly events: PolicyEvents.PolicyEvents<Event>
}

/** By the monotonic clock, a platform's timer may fire this much before its time. */
const earlyMillis = 1

/** The outcome of an attempt: a timeout is ours to judge, the rest the classifier's. */
const judge = <A, E>(
  exit: Exit.Exit<A, E | Reason.AttemptTimeout | Reason.DeadlineExceeded>,
  classify: ((exit: Exit.Exit<A, E>) => Outcome.Outcome) | undefined
): Outcome.Outcome =>
  exit._tag === "Failure" && exit.cause.reasons.some(isTimeoutReason)
    ? exitOutcome(exit)
    : // the failures that remain once the timeouts are out are the attempt's own
      outcomeOf("AttemptTimeout", exit as Exit.Exit<A, E>, classify)

const isTimeoutReason = (reason: Cause.Reason<unknown>): boolean =>
  Cause.isFailReason(reason) &&
  (reason.error instanceof Reason.AttemptTimeout || reason.error instanceof Reason.DeadlineExceeded)

const { longerThanZero, within } = rangesOf("AttemptTimeout")

/**
 * Makes a limit that is learned: a quantile of the upstream's own latency times a factor, between a floor and a ceiling.
 * Throws a `RangeError` that names the option which is out of range.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { AttemptTimeout, Outcome } from "holdfast"
 *
 * const timeout = AttemptTimeout.adaptive({ limit: "5 seconds" })
 * console.log(timeout.limitMillis(0)) // => 5000
 *
 * for (let attempt = 0; attempt < 100; attempt++) timeout.settle(0, 5000, 200, Outcome.success)
 * console.log(Math.round(timeout.limitMillis(0) / 10) * 10) // => 400
 *
 * console.log(await Effect.runPromise(timeout.run(Effect.succeed("in time")))) // => in time
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const adaptive = (options: AdaptiveOptions): AttemptTimeout => {
  checkOptions("AttemptTimeout.adaptive", options, '{ limit: "1 second" }')
  const fixedMillis = longerThanZero("limit", options.limit)
  const quantile = within("quantile", options.quantile ?? adaptiveDefaults.quantile, 0.5, 1)
  const factor = options.factor ?? adaptiveDefaults.factor
  // at 1 and below, attempts that were cut off would never teach it to be longer
  if (!(factor > 1 && factor <= 100)) {
    throw new RangeError(`AttemptTimeout: factor must be above 1 and at most 100, got ${factor}`)
  }
  const ceilingMillis = Time.millis("AttemptTimeout: ceiling", options.ceiling ?? fixedMillis)
  const floorMillis = Time.millis(
    "AttemptTimeout: floor",
    options.floor ?? Math.min(Duration.toMillis(adaptiveDefaults.floor), fixedMillis, ceilingMillis)
  )
  if (!(floorMillis > 0 && floorMillis <= ceilingMillis && Number.isFinite(ceilingMillis))) {
    throw new RangeError(
      `AttemptTimeout: floor must be longer than zero and at most a finite ceiling, got ${floorMillis}ms and ${ceilingMillis}ms`
    )
  }
  const minimumSamples = within(
    "minimumSamples",
    options.minimumSamples ?? adaptiveDefaults.minimumSamples,
    10,
    1_000_000
  )
  const tracker = options.tracker ?? LatencyTracker.make({ window: adaptiveDefaults.window })
  const learnedFrom = (samples: number, quantileMillis: number | undefined): number | undefined =>
    samples < minimumSamples || quantileMillis === undefined
      ? undefined
      : Math.min(ceilingMillis, Math.max(floorMillis, quantileMillis * factor))
  return limited(options.mode ?? adaptiveDefaults.mode, fixedMillis, {
    millis: (nowMillis) => learnedFrom(tracker.count(nowMillis), tracker.quantileMillis(nowMillis, quantile)),
    // an attempt that was cut off would have taken longer than it had. Left out, the slow ones would never be seen, and the
    // limit would cut them for ever; counted when it was still fast, it would make the upstream look fast
    settle: (nowMillis, durationMillis, outcome) => {
      const isSample =
        outcome._tag === "Success" ||
        (isCut(outcome) && durationMillis >= (tracker.quantileMillis(nowMillis, quantile) ?? Infinity))
      if (isSample) tracker.record(nowMillis, durationMillis)
    },
    at: (nowMillis) => {
      const view = tracker.at(nowMillis)
      return { learned: learnedFrom(view.count, view.quantileMillis(quantile)), samples: view.count }
    }
  })
}

/** The learned latency of an upstream. */
interface Learning {
  /** The limit by the samples of a moment, if they are enough. */
  readonly millis: (nowMillis: number) => number | undefined
  readonly settle: (nowMillis: number, durationMillis: number, outcome: Outcome.Outcome) => void
  /** For a snapshot. */
  readonly at: (nowMillis: number) => { readonly learned: number | undefined; readonly samples: number }
}

const isCut = (outcome: Outcome.Outcome): boolean =>
  outcome._tag === "Ignored" || (outcome._tag === "Failure" && outcome.cause === "timeout")

/** A limit in force, fixed or learned. */
const limited = (mode: Mode, fixedMillis: number, learning: Learning | undefined): AttemptTimeout => {
  const { emit, events, isHeard } = PolicyEvents.make<Event>()
  let timedOut = 0

  /** The limit that is only watched in `observe`: the learned one, or the fixed one where nothing is learned. */
  const watchedMillis = (nowMillis: number): number | undefined =>
    learning === undefined ? fixedMillis : learning.millis(nowMillis)

  // a learned limit bounds nothing unless it is in force, but the limit that it began with does
  const otherwiseMillis = learning === undefined ? Infinity : fixedMillis
  const limitMillis = (nowMillis: number): number =>
    mode === "enforce" ? (learning?.millis(nowMillis) ?? fixedMillis) : otherwiseMillis

  const countTimeout = (givenMillis: number, durationMillis: number): void => {
    timedOut++
    if (!isHeard()) return
    emit({
      _tag: "TimedOut",
      limit: Duration.millis(givenMillis),
      elapsed: Duration.millis(durationMillis),
      observed: mode === "observe"
    })
  }

  const settle: AttemptTimeout["settle"] = (nowMillis, givenMillis, durationMillis, outcome) => {
    if (mode === "off") return
    if (mode === "observe") {
      const watched = watchedMillis(nowMillis)
      const isStale = outcome._tag === "Failure" && outcome.cause === "stale"
      if (watched !== undefined && durationMillis > watched && !isStale) countTimeout(watched, durationMillis)
    } else if (outcome._tag === "Failure" && isCut(outcome) && durationMillis >= givenMillis - earlyMillis) {
      countTimeout(givenMillis, durationMillis)
    }
    learning?.settle(nowMillis, durationMillis, outcome)
  }

  const run: AttemptTimeout["run"] = (self, given = {}) => {
    checkEffect("AttemptTimeout", self)
    return Effect.withFiber((fiber) => {
      const clock = fiber.getRef(Clock.Clock)
      const startMillis = Deadline.nowMillisUnsafe(clock)
      const millis = limitMillis(startMillis)
      const attempt = bounded(self, millis, given.deadline, startMillis, learning?.millis(startMillis))
      if (mode === "off") return attempt
      return Effect.onExitPrimitive(attempt, (exit) => {
        const nowMillis = Deadline.nowMillisUnsafe(clock)
        settle(nowMillis, millis, nowMillis - startMillis, judge(exit, given.classify))
        return undefined
      })
    })
  }

  return {
    mode,
    run,
    limitMillis,
    settle,
    snapshot: Effect.map(Clock.Clock, (clock): Snapshot => {
      const { learned, samples } = learning?.at(Deadline.nowMillisUnsafe(clock)) ?? { learned: undefined, samples: 0 }
      return {
        limit: Duration.millis(mode === "enforce" ? (learned ?? fixedMillis) : otherwiseMillis),
        learned: learned === undefined ? undefined : Duration.millis(learned),
        samples,
        timedOut
      }
    }),
    events
  }
}

/**
 * Makes a fixed limit. Throws a `RangeError` for a limit that is not longer than zero.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { AttemptTimeout } from "holdfast"
 *
 * const timeout = AttemptTimeout.make({ limit: "10 millis" })
 * const program = Effect.never.pipe(AttemptTimeout.run(timeout), Effect.flip)
 * console.log((await Effect.runPromise(program)).message) // => the attempt was not finished within 10ms
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): AttemptTimeout => {
  checkOptions("AttemptTimeout.make", options, '{ limit: "1 second" }')
  const millis = Time.millis("AttemptTimeout: limit", options.limit ?? defaults.limit)
  if (!(millis > 0)) {
    throw new RangeError(`AttemptTimeout: limit must be longer than zero, got ${String(options.limit)}`)
  }
  return limited(options.mode ?? defaults.mode, millis, undefined)
}

/**
 * Interrupts an effect that takes too long: fails with `AttemptTimeout` when the limit passed, with `DeadlineExceeded` when the deadline
 * did; at once, without running the effect, when no time is left.
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: {
  <A = unknown, E = unknown>(
    timeout: AttemptTimeout,
    options?: RunOptions<A, E>
  ): <A1 extends A, E1 extends E, R>(
    self: Effect.Effect<A1, E1, R>
  ) => Effect.Effect<A1, E1 | Reason.AttemptTimeout | Reason.DeadlineExceeded, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    timeout: AttemptTimeout,
    options?: RunOptions<A, E>
  ): Effect.Effect<A, E | Reason.AttemptTimeout | Reason.DeadlineExceeded, R>
} = dual(
  dataFirst("AttemptTimeout.run"),
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    timeout: AttemptTimeout,
    options?: RunOptions<A, E>
  ): Effect.Effect<A, E | Reason.AttemptTimeout | Reason.DeadlineExceeded, R> => timeout.run(self, options)
)

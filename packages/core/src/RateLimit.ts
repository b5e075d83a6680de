/**
 * Bounds how many calls are made in a time. A call beyond the limit waits for its time, in the order of arrival, or is
 * refused. The server may slow it down further: `adjust` takes the figures of response headers.
 *
 * **When to use**: when the upstream has a limit that is known (a quota, a contract), or a cost for each call.
 *
 * **What it is not**: a bound on the calls that run at once; slow calls pass a rate limit and pile up, and `Bulkhead` is for that.
 * Nor is it shared between processes: two of them send twice as much. `SharedRateLimit` is.
 *
 * Two algorithms. A *token bucket* holds up to `burst` calls and gains `limit` of them a window: bursts pass, and
 * the average is held. A *sliding window* never lets more than `limit` pass in any interval as long as the window: for servers that
 * count so.
 *
 * **Gotchas**: a full token bucket lets `burst` pass at once and `limit` more in the window that follows. Where that is too
 * much, lower `burst`, or take the sliding window. A limiter belongs to the quota that it keeps: make it once.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Deadline from "./Deadline.ts"
import { checkEffect, checkOptions, dataFirst } from "./internal/options/given.ts"
import { elapsed } from "./internal/time/elapsed.ts"
import { rangesOf } from "./internal/options/inRange.ts"
import * as Pace from "./internal/limits/serverPace.ts"
import * as SlidingWindow from "./internal/limits/slidingWindow.ts"
import { startTimer } from "./internal/time/timer.ts"
import * as TokenBucket from "./internal/limits/tokenBucket.ts"
import type { Mode } from "./Mode.ts"
import * as PolicyEvents from "./PolicyEvents.ts"
import { RateLimited } from "./Reason.ts"
import { stackless } from "./Stackless.ts"
import * as Time from "./Time.ts"

/**
 * The figures of a rate limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Calls in a window; more exactly, their cost together. Above 0; 0.5 a second is one in two seconds. There is no default: only the
   * upstream knows.
   */
  readonly limit: number
  /** How long the window is. Default 1 s. */
  readonly window?: Time.Input | undefined
  /** How calls are counted. Default `token-bucket`. */
  readonly algorithm?: "token-bucket" | "sliding-window" | undefined
  /** Calls that a full token bucket lets pass at once. At least 1; default `limit`. */
  readonly burst?: number | undefined
  /** Whether a call beyond the limit waits for its time or is refused at once. Default `wait`. */
  readonly onLimit?: "wait" | "refuse" | undefined
  /** The longest that a call waits; a call that would have to wait longer is refused at once. Default 5 s. */
  readonly maxWait?: Time.Input | undefined
  /** The longest time for which the server's own figures are believed. Default 60 s. */
  readonly maxServerWait?: Time.Input | undefined
  /** Whether it delays and refuses, only counts the delays and refusals, or does nothing. Default `enforce`. */
  readonly mode?: Mode | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  window: Duration.seconds(1),
  algorithm: "token-bucket",
  onLimit: "wait",
  maxWait: Duration.seconds(5),
  maxServerWait: Duration.seconds(60),
  mode: "enforce"
} as const satisfies Partial<Options>

/**
 * Facts about one call.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions {
  /** How much of the limit the call uses. At least 0; default 1. */
  readonly cost?: number | undefined
  /** When the caller no longer wants the answer: nobody waits that long. Default: the ambient `Deadline.Current`. */
  readonly deadline?: Deadline.Deadline | undefined
}

/**
 * A server's word on its own limit: so many calls are left until a time from now. `RateLimitFields` of `@holdfast/http`
 * reads it from response headers; a `Retry-After` is one with nothing left.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hint {
  /** Calls that are left. */
  readonly remaining: number
  /** How long until there are more. */
  readonly resetAfter: Duration.Duration
  /** The time that each call is worth, when they are spread. Default `resetAfter / remaining`. */
  readonly pace?: Duration.Duration | undefined
}

/**
 * Why a call was refused: calls beyond the limit are not to wait, the wait would be longer than `maxWait`, it would reach the
 * deadline, or the call costs more than the limit ever allows.
 *
 * @category models
 * @since 0.1.0
 */
export type Denial = "limit" | "max-wait" | "deadline" | "cost"

/**
 * An event of a rate limit.
 *
 * - `RateLimitDelayed`: a call waits for its time; `observed` when it only would have
 * - `RateLimitGranted`: the time of a call that waited has come
 * - `RateLimitRefused`: a call was refused; `observed` when it only would have been
 * - `RateLimitAbandoned`: a call was interrupted while it waited
 * - `RateLimitAdjusted`: the server's figures were taken; `until` they are forgotten is a time from now
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | {
      readonly _tag: "RateLimitDelayed"
      readonly cost: number
      readonly wait: Duration.Duration
      readonly observed: boolean
    }
  | { readonly _tag: "RateLimitGranted"; readonly cost: number; readonly waited: Duration.Duration }
  | {
      readonly _tag: "RateLimitRefused"
      readonly why: Denial
      readonly cost: number
      readonly retryAfter: Duration.Duration | undefined
      readonly observed: boolean
    }
  | { readonly _tag: "RateLimitAbandoned"; readonly cost: number }
  | { readonly _tag: "RateLimitAdjusted"; readonly remaining: number; readonly until: Duration.Duration }

/**
 * The state of a rate limit at one instant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** The cost that the calls of a window may have together. */
  readonly limit: number
  readonly window: Duration.Duration
  /** The cost that could be spent now without waiting, the server's figures left aside. */
  readonly remaining: number
  /** Calls that wait for their time. */
  readonly waiting: number
  /** Calls that went, since the limit was made; in `observe` without calls that it would have refused. */
  readonly admitted: number
  /** Calls that were given a time to wait for, however they ended; in `observe`, that would have been. */
  readonly delayed: number
  /** Calls that were refused; in `observe`, that would have been. */
  readonly refused: number
  /** Calls that were interrupted while they waited. */
  readonly abandoned: number
  /** The server's last word, as long as it is believed. */
  readonly server: { readonly remaining: number; readonly until: Duration.Duration } | undefined
}

/**
 * The permit of an admitted call. Its holder must call `release`, once the call is over or given up.
 *
 * @category models
 * @since 0.1.0
 */
export interface Permit {
  readonly _tag: "Permit"
  /** The wait before the call may be made; `undefined` when it may be made at once. Run it at most once. */
  readonly ready: Effect.Effect<void, RateLimited> | undefined
  /** Gives the time back that the call still waits for; does nothing once it has come. At the monotonic time. */
  readonly release: (nowMillis: number) => void
}

/**
 * A rate limit that calls share.
 *
 * @category models
 * @since 0.1.0
 */
export interface RateLimit {
  readonly mode: Mode
  /** Runs an effect when its time has come. Refused, it is not run, and fails with `RateLimited`. */
  readonly run: <A, E, R>(self: Effect.Effect<A, E, R>, options?: RunOptions) => Effect.Effect<A, E | RateLimited, R>
  /**
   * The same in two steps, for code that composes policies itself: synchronous, at the monotonic time in milliseconds, and
   * with nothing ambient.
   */
  readonly admit: (nowMillis: number, options?: RunOptions) => Permit | RateLimited
  /** Whether a call of this cost need not wait at the monotonic time. Asking takes nothing, and in `observe` all calls go. */
  readonly hasRoom: (nowMillis: number, cost?: number) => boolean
  /**
   * Counts a call that is made in any case, such as a redirect that is followed: later calls wait the longer. At the monotonic
   * time.
   */
  readonly spend: (nowMillis: number, cost?: number) => void
  /**
   * Takes the server's figures into account, for as long as they hold and `maxServerWait` at most. They only ever slow down: the slower
   * of them and the limit counts. With nothing left, waiting calls wait longer too.
   */
  readonly adjust: (hint: Hint) => Effect.Effect<void>
  /** {@link RateLimit.adjust} at the monotonic time in milliseconds. */
  readonly adjustUnsafe: (nowMillis: number, hint: Hint) => void
  /** The present state of the limit. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
  readonly events: PolicyEvents.PolicyEvents<Event>
}

const { notNegative } = rangesOf("RateLimit")

const positive = (name: string, value: number): number => {
  if (!(value > 0 && Number.isFinite(value))) {
    throw new RangeError(`RateLimit: ${name} must be a finite number above 0, got ${value}`)
  }
  return value
}

const costOf = (given: RunOptions | undefined): number => {
  const cost = given?.cost ?? 1
  if (!(cost >= 0)) throw new RangeError(`RateLimit: cost must be at least 0, got ${cost}`)
  return cost
}

/** The cost of the calls at one time. */
interface Used {
  readonly atMillis: number
  readonly cost: number
}

/** Either algorithm. */
interface Machine<State, Slot> {
  readonly waitFor: (state: State, nowMillis: number, cost: number, notBeforeMillis: number) => number
  readonly take: (state: State, nowMillis: number, cost: number, waitMillis: number) => Slot | undefined
  readonly waitOf: (state: State, nowMillis: number, slot: Slot) => number
  readonly giveBack: (state: State, nowMillis: number, slot: Slot) => boolean
  readonly postpone: (state: State, nowMillis: number, untilMillis: number) => void
  readonly remaining: (state: State, nowMillis: number) => number
  readonly waiting: (state: State, nowMillis: number) => number
  readonly used: (state: State) => ReadonlyArray<Used>
  readonly follow: (state: State, used: ReadonlyArray<Used>) => void
}

/** A time that was given to a call. */
interface Slot {
  readonly waitOf: (nowMillis: number) => number
  readonly giveBack: (nowMillis: number) => boolean
}

/** An algorithm with its state. */
interface Algorithm {
  readonly waitFor: (nowMillis: number, cost: number, notBeforeMillis: number) => number
  readonly take: (nowMillis: number, cost: number, waitMillis: number) => Slot | undefined
  readonly postpone: (nowMillis: number, untilMillis: number) => void
  readonly remaining: (nowMillis: number) => number
  readonly waiting: (nowMillis: number) => number
  /** When calls went, or will go, and the cost of each, as far as it still counts; the latest last. */
  readonly used: () => ReadonlyArray<Used>
  /** Counts the calls that another limit has let through, and the calls that wait there for their time. */
  readonly follow: (before: Algorithm) => void
}

const withState = <State, Given>(machine: Machine<State, Given>, state: State): Algorithm => ({
  waitFor: (nowMillis, cost, notBeforeMillis) => machine.waitFor(state, nowMillis, cost, notBeforeMillis),
  take: (nowMillis, cost, waitMillis) => {
    const slot = machine.take(state, nowMillis, cost, waitMillis)
    return slot === undefined
      ? undefined
      : {
          waitOf: (nowMillis) => machine.waitOf(state, nowMillis, slot),
          giveBack: (nowMillis) => machine.giveBack(state, nowMillis, slot)
        }
  },
  postpone: (nowMillis, untilMillis) => machine.postpone(state, nowMillis, untilMillis),
  remaining: (nowMillis) => machine.remaining(state, nowMillis),
  waiting: (nowMillis) => machine.waiting(state, nowMillis),
  used: () => machine.used(state),
  follow: (before) => machine.follow(state, before.used())
})

const algorithmOf = (options: Options, limit: number, windowMillis: number): Algorithm => {
  if (options.algorithm === "sliding-window") {
    if (options.burst !== undefined) {
      throw new RangeError(
        `RateLimit: burst must be left out for a sliding window, got ${options.burst}; only a token bucket has one`
      )
    }
    // less than one call in a window is one call in a longer one; no window would ever have room for it
    const whole = Math.max(1, limit)
    return withState(
      SlidingWindow,
      SlidingWindow.makeWindowState({ limit: whole, windowMillis: (windowMillis * whole) / limit })
    )
  }
  const capacity = options.burst ?? Math.max(1, limit)
  if (!(capacity >= 1 && Number.isFinite(capacity))) {
    throw new RangeError(`RateLimit: burst must be a finite number of at least 1, got ${capacity}`)
  }
  return withState(TokenBucket, TokenBucket.makeBucketState({ capacity, intervalMillis: windowMillis / limit }))
}

/**
 * Makes a rate limit. Throws a `RangeError` that names the option which is out of range.
 * With a `living` one, the calls that it has let through, and the server's last word, count in the new one.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { RateLimit } from "holdfast"
 *
 * const limiter = RateLimit.make({ limit: 2, window: "1 minute", onLimit: "refuse" })
 * const call = limiter.run(Effect.sync(() => console.log("called")))
 *
 * await Effect.runPromise(call) // => called
 * await Effect.runPromise(call) // => called
 * console.log((await Effect.runPromise(Effect.flip(call)))._tag) // => RateLimited
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options, living?: RateLimit): RateLimit => {
  checkOptions("RateLimit.make", options, '{ limit: 100, window: "1 second" }')
  const limit = positive("limit", options.limit)
  const windowMillis = positive(
    "window (milliseconds)",
    Time.millis("RateLimit: window", options.window ?? defaults.window)
  )
  const maxWaitMillis = notNegative("maxWait", options.maxWait ?? defaults.maxWait)
  const mode = options.mode ?? defaults.mode
  const longestMillis = notNegative("maxServerWait", options.maxServerWait ?? defaults.maxServerWait)
  const before = living && held.get(living)
  const rules = {
    algorithm: algorithmOf(options, limit, windowMillis),
    maxWaitMillis: (options.onLimit ?? defaults.onLimit) === "wait" ? maxWaitMillis : undefined,
    isObserving: mode === "observe",
    figures: `limit of ${limit} in ${elapsed(Duration.millis(windowMillis))}`
  }
  if (before !== undefined) rules.algorithm.follow(before.algorithm)
  // one for both: calls that began under the other still retry
  const shared: Shared =
    before === undefined
      ? {
          ...rules,
          pace: Pace.makePaceState(longestMillis),
          emitter: PolicyEvents.make<Event>(),
          admitted: 0,
          delayed: 0,
          refused: 0,
          abandoned: 0
        }
      : Object.assign(before, rules)
  const { emitter, pace } = shared
  pace.longestMillis = longestMillis
  const adjustUnsafe = (nowMillis: number, hint: Hint): void => adjust(shared, nowMillis, hint)
  const rateLimit: RateLimit = {
    mode,
    run: <A, E, R>(
      self: Effect.Effect<A, E, R>,
      given: RunOptions | undefined
    ): Effect.Effect<A, E | RateLimited, R> => {
      checkEffect("RateLimit", self)
      if (mode === "off") return self
      return Effect.withFiber((fiber) => {
        const nowMillis = Deadline.nowMillisUnsafe(fiber.getRef(Clock.Clock))
        return goesAtOnce(shared, nowMillis, costOf(given)) ? self : waitAndRun(shared, self, given)
      })
    },
    admit: (nowMillis, given) => {
      const cost = costOf(given)
      if (mode === "off" || goesAtOnce(shared, nowMillis, cost)) return immediate
      return reserve(shared, nowMillis, cost, given?.deadline)
    },
    hasRoom: (nowMillis, cost) => mode !== "enforce" || isFree(shared, nowMillis, costOf({ cost })),
    spend: (nowMillis, cost) => {
      if (mode !== "off") take(shared, nowMillis, costOf({ cost }))
    },
    adjust: (hint) => Effect.map(Clock.Clock, (clock) => adjust(shared, Deadline.nowMillisUnsafe(clock), hint)),
    adjustUnsafe,
    snapshot: Effect.map(Clock.Clock, (clock) => {
      const nowMillis = Deadline.nowMillisUnsafe(clock)
      return {
        limit,
        window: Duration.millis(windowMillis),
        remaining: shared.algorithm.remaining(nowMillis),
        waiting: shared.algorithm.waiting(nowMillis),
        admitted: shared.admitted,
        delayed: shared.delayed,
        refused: shared.refused,
        abandoned: shared.abandoned,
        server: Pace.isInForce(pace, nowMillis)
          ? { remaining: pace.remaining, until: Duration.millis(pace.untilMillis - nowMillis) }
          : undefined
      }
    }),
    events: emitter.events
  }
  held.set(rateLimit, shared)
  return rateLimit
}

/** The state of rate limits, for one that follows another. */
const held = new WeakMap<RateLimit, Shared>()

/** The state that the calls of one rate limit share. */
interface Shared {
  algorithm: Algorithm
  readonly pace: Pace.PaceState
  /** `undefined` when calls beyond the limit are not to wait. */
  maxWaitMillis: number | undefined
  isObserving: boolean
  figures: string
  readonly emitter: PolicyEvents.Emitter<Event>
  admitted: number
  delayed: number
  refused: number
  abandoned: number
}

/** The permit of a call that need not wait: it has nothing to give back. */
const immediate: Permit = { _tag: "Permit", ready: undefined, release: () => {} }

const isFree = ({ algorithm, pace }: Shared, nowMillis: number, cost: number): boolean =>
  cost === 0 || algorithm.waitFor(nowMillis, cost, Pace.notBefore(pace, nowMillis, cost)) === 0

/** Counts a call that goes now. */
const take = (shared: Shared, nowMillis: number, cost: number): void => {
  if (cost > 0) {
    shared.algorithm.take(nowMillis, cost, 0)
    Pace.count(shared.pace, nowMillis, cost, 0)
  }
  shared.admitted++
}

/** Whether a call need not wait; it is counted if so. */
const goesAtOnce = (shared: Shared, nowMillis: number, cost: number): boolean => {
  if (!isFree(shared, nowMillis, cost)) return false
  take(shared, nowMillis, cost)
  return true
}

const waitAndRun = <A, E, R>(
  shared: Shared,
  self: Effect.Effect<A, E, R>,
  given: RunOptions | undefined
): Effect.Effect<A, E | RateLimited, R> =>
  Effect.suspend(() => {
    let release: (() => void) | undefined
    // the time is taken inside the protected region, so that no interruption can come between the two
    return Effect.onExitPrimitive(
      Effect.withFiber((fiber): Effect.Effect<A, E | RateLimited, R> => {
        const clock = fiber.getRef(Clock.Clock)
        const permit = reserve(
          shared,
          Deadline.nowMillisUnsafe(clock),
          costOf(given),
          given?.deadline ?? fiber.getRef(Deadline.Current)
        )
        if (permit._tag === "RateLimited") return Effect.fail(permit)
        if (permit.ready === undefined) return self
        release = () => permit.release(Deadline.nowMillisUnsafe(clock))
        return Effect.andThen(permit.ready, self)
      }),
      () => {
        release?.()
        return undefined
      }
    )
  })

/** The slow path: gives a call its time, if it may wait for it. */
const reserve = (
  shared: Shared,
  nowMillis: number,
  cost: number,
  deadline: Deadline.Deadline | undefined
): Permit | RateLimited => {
  const { algorithm, emitter, isObserving, pace } = shared
  const waitMillis = algorithm.waitFor(nowMillis, cost, Pace.notBefore(pace, nowMillis, cost))
  const why = denial(shared, waitMillis, waitMillis, nowMillis, deadline)
  if (why !== undefined) {
    const refused = refusal(shared, why, cost, waitMillis, nowMillis)
    return isObserving ? immediate : refused
  }
  const slot = algorithm.take(nowMillis, cost, waitMillis)
  Pace.count(pace, nowMillis, cost, waitMillis)
  if (slot === undefined) {
    shared.admitted++
    return immediate
  }
  shared.delayed++
  if (emitter.isHeard()) {
    emitter.emit({ _tag: "RateLimitDelayed", cost, wait: Duration.millis(waitMillis), observed: isObserving })
  }
  if (!isObserving) return new HeldSlot(shared, slot, cost, nowMillis, waitMillis, deadline)
  shared.admitted++
  return immediate
}

/** Why a call may not wait that long, of which `leftMillis` are still to come; `undefined` when it may. */
const denial = (
  { maxWaitMillis }: Shared,
  waitMillis: number,
  leftMillis: number,
  nowMillis: number,
  deadline: Deadline.Deadline | undefined
): Denial | undefined => {
  if (waitMillis === 0) return undefined
  if (waitMillis === Infinity) return "cost"
  if (maxWaitMillis === undefined) return "limit"
  if (waitMillis > maxWaitMillis) return "max-wait"
  // a call that would begin at its deadline has no time to do anything
  return deadline !== undefined && nowMillis + leftMillis >= deadline.atMillis ? "deadline" : undefined
}

/** Counts a refusal, tells of it, and gives it. */
const refusal = (shared: Shared, why: Denial, cost: number, waitMillis: number, nowMillis: number): RateLimited => {
  const { emitter, figures, isObserving, pace } = shared
  shared.refused++
  // a part of a millisecond less would be too early
  const retryAfter = why === "cost" ? undefined : Duration.millis(Math.ceil(waitMillis))
  if (emitter.isHeard()) emitter.emit({ _tag: "RateLimitRefused", why, cost, retryAfter, observed: isObserving })
  const wait = why === "max-wait" || why === "deadline" ? `; the wait would be too long (${why})` : ""
  const detail = why === "cost" ? `; a cost of ${cost} is more than it ever allows` : wait
  const server = Pace.isInForce(pace, nowMillis) ? `; the server leaves ${pace.remaining}` : ""
  const said = figures + detail + server
  return stackless(() => new RateLimited(retryAfter === undefined ? { detail: said } : { detail: said, retryAfter }))
}

const adjust = (shared: Shared, nowMillis: number, hint: Hint): void => {
  const { algorithm, emitter, pace } = shared
  const { remaining } = hint
  const resetAfterMillis = Duration.toMillis(hint.resetAfter)
  const paceMillis = hint.pace === undefined ? resetAfterMillis / Math.max(1, remaining) : Duration.toMillis(hint.pace)
  if (!Pace.hear(pace, nowMillis, { remaining, resetAfterMillis, paceMillis })) return
  if (remaining < 1) algorithm.postpone(nowMillis, pace.untilMillis)
  if (emitter.isHeard()) {
    const until = Duration.millis(pace.untilMillis - nowMillis)
    emitter.emit({ _tag: "RateLimitAdjusted", remaining, until })
  }
}

/** A wait shorter than this is over: no timer is that exact. */
const toleranceMillis = 1e-3

/** The time that a call waits for. */
class HeldSlot implements Permit {
  readonly _tag = "Permit"
  readonly ready: Effect.Effect<void, RateLimited>
  private readonly shared: Shared
  private readonly slot: Slot
  private readonly cost: number
  private isSettled = false

  constructor(
    shared: Shared,
    slot: Slot,
    cost: number,
    sinceMillis: number,
    plannedMillis: number,
    deadline: Deadline.Deadline | undefined
  ) {
    this.shared = shared
    this.slot = slot
    this.cost = cost
    this.ready = Effect.withFiber((fiber) => {
      const clock = fiber.getRef(Clock.Clock)
      const next = (): Effect.Effect<void, RateLimited> => {
        const nowMillis = Deadline.nowMillisUnsafe(clock)
        const leftMillis = slot.waitOf(nowMillis)
        if (leftMillis <= toleranceMillis) {
          this.isSettled = true
          shared.admitted++
          if (shared.emitter.isHeard()) {
            const waited = Duration.millis(Math.max(0, nowMillis - sinceMillis))
            shared.emitter.emit({ _tag: "RateLimitGranted", cost, waited })
          }
          return Effect.void
        }
        // the server may have asked for more time meanwhile
        const waitMillis = nowMillis - sinceMillis + leftMillis
        if (waitMillis > plannedMillis + toleranceMillis) {
          const why = denial(shared, waitMillis, leftMillis, nowMillis, deadline)
          if (why !== undefined) {
            this.isSettled = true
            slot.giveBack(nowMillis)
            return Effect.fail(refusal(shared, why, cost, leftMillis, nowMillis))
          }
        }
        const timer = Effect.callback<void>((resume) => {
          const cancel = startTimer(fiber, Math.ceil(leftMillis), () => resume(Effect.void))
          return Effect.sync(cancel)
        })
        return Effect.flatMap(timer, next)
      }
      return next()
    })
  }

  release(nowMillis: number): void {
    const { shared } = this
    if (this.isSettled) return
    this.isSettled = true
    if (!this.slot.giveBack(nowMillis)) return
    shared.abandoned++
    if (shared.emitter.isHeard()) shared.emitter.emit({ _tag: "RateLimitAbandoned", cost: this.cost })
  }
}

/**
 * Runs an effect when its time has come. Refused, it is not run, and fails with `RateLimited`.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { RateLimit } from "holdfast"
 *
 * const limiter = RateLimit.make({ limit: 100 })
 * const report = Effect.succeed("report").pipe(RateLimit.run(limiter, { cost: 10 }))
 *
 * console.log(await Effect.runPromise(report)) // => report
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: {
  (
    rateLimit: RateLimit,
    options?: RunOptions
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | RateLimited, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    rateLimit: RateLimit,
    options?: RunOptions
  ): Effect.Effect<A, E | RateLimited, R>
} = dual(
  dataFirst("RateLimit.run"),
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    rateLimit: RateLimit,
    options?: RunOptions
  ): Effect.Effect<A, E | RateLimited, R> => rateLimit.run(self, options)
)

/**
 * Finds out how many calls an upstream takes at once, and refuses any beyond that. You need not know the number. It moves with
 * the upstream: down when the upstream drops too large a share of the calls or slows, up when calls succeed and there are
 * enough of them to tell.
 *
 * **When to use**: for an upstream whose capacity you neither know nor set, or that many clients share.
 *
 * **What it is not**: a bulkhead. It has no queue, and must not have one: a queued call hides the very latency that the
 * limit is found by, and a limit that moves cannot say how long the wait will be. Calls that may wait belong in a bulkhead
 * in front of it. Nor is it a circuit breaker: it never stops all calls.
 *
 * Two algorithms. `gradient` (failsafe-go), the default, reads latency, before calls are lost: it compares the recent latency
 * with its own past, and asks whether more load still brings more throughput. `aimd` (Netflix concurrency-limits) reads losses: too
 * many drops take a tenth of the limit, a success adds one. Netflix advises it for a client, which sees the latency of the network and
 * of other clients' load too; give it `slowAfter`, or it learns only by answers that came too late.
 *
 * A failure that is `transient`, `throttle` or `timeout` counts as a drop. A failure that is `permanent` (an answer that the
 * caller does not like), `refused` (stopped on this side) or ignored (the caller went away) tells nothing about the limit,
 * and only gives its place back. A drop alone says nothing either, since every upstream fails now and then: the limit shrinks
 * when more than a tenth of the calls are drops, and so many more that chance does not explain it: 12 of 50, 129 of 1000.
 *
 * **Gotchas**: make one for each upstream or endpoint; calls of very different weight deserve one each. A limiter
 * around a retry sees no single attempt: put it inside.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { AdaptiveConcurrency } from "holdfast"
 *
 * const limiter = AdaptiveConcurrency.make({ algorithm: "aimd", initialLimit: 10 })
 * const drop = Effect.ignore(limiter.run(Effect.fail("503")))
 *
 * await Effect.runPromise(Effect.repeat(drop, { times: 9 }))
 * console.log((await Effect.runPromise(limiter.snapshot)).limit) // => 9
 * ```
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Deadline from "./Deadline.ts"
import * as Aimd from "./internal/limits/aimdLimit.ts"
import { checkEffect, checkOptions, dataFirst } from "./internal/options/given.ts"
import { outcomeOf } from "./internal/outcome/exitOutcome.ts"
import * as Gradient from "./internal/limits/gradientLimit.ts"
import { rangesOf } from "./internal/options/inRange.ts"
import type { Mode } from "./Mode.ts"
import * as Outcome from "./Outcome.ts"
import * as PolicyEvents from "./PolicyEvents.ts"
import { ConcurrencyLimited } from "./Reason.ts"
import { stackless } from "./Stackless.ts"
import * as Time from "./Time.ts"

/**
 * How the limit is found.
 *
 * @category models
 * @since 0.1.0
 */
export type Algorithm = "aimd" | "gradient"

/**
 * How to limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** `gradient` reads latency, `aimd` losses. Default `gradient`. */
  readonly algorithm?: Algorithm | undefined
  /** Calls at once, to begin with. Between `minimumLimit` and `maximumLimit`; default 20. */
  readonly initialLimit?: number | undefined
  /** The limit never goes below. At least 1; default 5, so that one slow call does not stop the others. */
  readonly minimumLimit?: number | undefined
  /** The limit never goes above. At most 100 000; default 200. */
  readonly maximumLimit?: number | undefined
  /**
   * The part of the limit that is left after too large a share of drops, once for all calls in flight together. At least 0.5, below 1;
   * default 0.9.
   */
  readonly backoffRatio?: number | undefined
  /**
   * `aimd` only: a success that took longer is a drop. Longer than zero. By default no success is a drop, since a call
   * that takes too long fails by its attempt timeout already.
   */
  readonly slowAfter?: Time.Input | undefined
  /** `gradient` only: which quantile stands for the latencies of a window. Between 0.5 and 1; default 0.9. */
  readonly quantile?: number | undefined
  /** `gradient` only: successes before a window may end. Between 10 and 100 000; default 50. */
  readonly minimumSamples?: number | undefined
  /**
   * `gradient` only: a window lasts twice its fastest call, but not less than this. Longer than zero, not above
   * `longestWindow`; default 1 s.
   */
  readonly shortestWindow?: Time.Input | undefined
  /** `gradient` only: nor longer than this, once there are enough samples. At most 10 min; default 30 s. */
  readonly longestWindow?: Time.Input | undefined
  /**
   * `gradient` only: a limit of more than this many times the calls in flight shrinks again, down to `initialLimit`. Between 2
   * and 1000; default 5.
   */
  readonly headroom?: number | undefined
  /** Whether to act, watch, or be off. Default `enforce`. */
  readonly mode?: Mode | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  algorithm: "gradient",
  initialLimit: 20,
  minimumLimit: 5,
  maximumLimit: 200,
  backoffRatio: 0.9,
  slowAfter: Duration.infinity,
  quantile: 0.9,
  minimumSamples: 50,
  shortestWindow: Duration.seconds(1),
  longestWindow: Duration.seconds(30),
  headroom: 5,
  mode: "enforce"
} as const satisfies Options

/**
 * Why a limit changed: a success with enough load (`growth`), too many failures (`drop`), a success that took too long (`slow`); by
 * the gradient: the estimated queue in the upstream (`queue`), more load without more throughput (`throughput`), too little
 * load for so high a limit (`idle`).
 *
 * @category models
 * @since 0.1.0
 */
export type ChangeCause = "growth" | "drop" | "slow" | "queue" | "throughput" | "idle"

/**
 * An event of a limiter.
 *
 * - `LimitChanged`: another number of calls is let through at once
 * - `CallRefused`: a call was beyond the limit; `observed` when it was let through nevertheless
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | { readonly _tag: "LimitChanged"; readonly from: number; readonly to: number; readonly cause: ChangeCause }
  | { readonly _tag: "CallRefused"; readonly limit: number; readonly inFlight: number; readonly observed: boolean }

/**
 * The state of a limiter at one instant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  readonly algorithm: Algorithm
  /** Calls that are let through at once. */
  readonly limit: number
  readonly inFlight: number
  /** Calls let through since the limiter was made. */
  readonly admitted: number
  /** Calls refused; in `observe`, calls that would have been. */
  readonly refused: number
  /** Calls that counted as drops. */
  readonly dropped: number
  /** `gradient` only: the latency of the last windows. */
  readonly recent: Duration.Duration | undefined
  /** `gradient` only: the latency that `recent` is compared with. */
  readonly baseline: Duration.Duration | undefined
}

/**
 * A place for one call. Settle it once, however the call ends; settling it again does nothing.
 *
 * @category models
 * @since 0.1.0
 */
export interface Permit {
  readonly _tag: "Permit"
  /** Gives the place back, and tells how the call ended. */
  readonly settle: (nowMillis: number, outcome: Outcome.Outcome) => void
}

/**
 * Facts about one call.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions<in A, in E> {
  /**
   * How the call's exit is judged. Default: a success is a success; a typed failure or a defect is a failure that is
   * `transient`, or `refused` if another policy refused, or `timeout` if a limit of time passed. An interruption is ignored,
   * without a question to `classify`.
   */
  readonly classify?: ((exit: Exit.Exit<A, E>) => Outcome.Outcome) | undefined
}

/**
 * A limit that the calls to one upstream share.
 *
 * @category models
 * @since 0.1.0
 */
export interface AdaptiveConcurrency {
  readonly mode: Mode
  /** Runs an effect if the limit has room, and fails with `ConcurrencyLimited` without running it if not. */
  readonly run: <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options?: RunOptions<A, E>
  ) => Effect.Effect<A, E | ConcurrencyLimited, R>
  /** {@link run} without the effect, for a hot path: takes the monotonic time in milliseconds. */
  readonly admit: (nowMillis: number) => Permit | ConcurrencyLimited
  /** Whether a call would be let through now. Asking changes nothing, and in `observe` all calls go. */
  readonly hasRoom: () => boolean
  /** The present state of the limiter. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
  readonly events: PolicyEvents.PolicyEvents<Event>
}

const { timeWithin, whole, within } = rangesOf("AdaptiveConcurrency")

/** Options that the two algorithms have in common. */
interface Limit {
  /** How many calls are let through at once: a whole number. */
  readonly current: () => number
  /** A mark of the moment, that a call keeps from when it is sent. */
  readonly mark: () => number
  readonly dropped: (nowMillis: number, inFlight: number, mark: number) => ChangeCause | undefined
  readonly succeeded: (nowMillis: number, inFlight: number, durationMillis: number) => ChangeCause | undefined
  readonly latencies: () => Pick<Snapshot, "recent" | "baseline">
}

const makeAimd = (shape: Aimd.AimdShape, first: number): Limit => {
  const state = { ...Aimd.makeAimdState(shape), limit: first }
  return {
    current: () => state.limit,
    mark: () => 0,
    dropped: () => {
      Aimd.dropped(state)
      return "drop"
    },
    succeeded: (_, inFlight, durationMillis) => Aimd.succeeded(state, inFlight, durationMillis),
    latencies: () => ({ recent: undefined, baseline: undefined })
  }
}

const makeGradient = (shape: Gradient.GradientShape, first: number): Limit => {
  const state = { ...Gradient.makeGradientState(shape), limit: first }
  return {
    current: () => Math.floor(state.limit),
    mark: () => state.cuts,
    dropped: (nowMillis, inFlight, mark) => Gradient.dropped(state, nowMillis, inFlight, mark),
    succeeded: (nowMillis, inFlight, durationMillis) => Gradient.succeeded(state, nowMillis, inFlight, durationMillis),
    latencies: () =>
      state.recent.count === 0
        ? { recent: undefined, baseline: undefined }
        : { recent: Duration.millis(state.recent.value), baseline: Duration.millis(state.baseline.value) }
  }
}

/** The limit, which begins where a living one is. */
const limitOf = (options: Options, found?: number): Limit => {
  const maximumLimit = whole("maximumLimit", options.maximumLimit ?? defaults.maximumLimit, 1, 100_000)
  const minimumLimit = whole(
    "minimumLimit",
    options.minimumLimit ?? Math.min(defaults.minimumLimit, maximumLimit),
    1,
    maximumLimit
  )
  const initialLimit = whole(
    "initialLimit",
    options.initialLimit ?? Math.min(Math.max(defaults.initialLimit, minimumLimit), maximumLimit),
    minimumLimit,
    maximumLimit
  )
  const backoffRatio = options.backoffRatio ?? defaults.backoffRatio
  if (!(backoffRatio >= 0.5 && backoffRatio < 1)) {
    throw new RangeError(`AdaptiveConcurrency: backoffRatio must be at least 0.5 and below 1, got ${backoffRatio}`)
  }
  const slowAfterMillis = Time.millis("AdaptiveConcurrency: slowAfter", options.slowAfter ?? defaults.slowAfter)
  if (!(slowAfterMillis > 0)) {
    throw new RangeError(`AdaptiveConcurrency: slowAfter must be longer than zero, got ${String(options.slowAfter)}`)
  }
  const longestWindowMillis = timeWithin("longestWindow", options.longestWindow ?? defaults.longestWindow, 1, 600_000)
  const gradient: Gradient.GradientShape = {
    initialLimit,
    minimumLimit,
    maximumLimit,
    backoffRatio,
    quantile: within("quantile", options.quantile ?? defaults.quantile, 0.5, 1),
    minimumSamples: whole("minimumSamples", options.minimumSamples ?? defaults.minimumSamples, 10, 100_000),
    shortestWindowMillis: timeWithin(
      "shortestWindow",
      options.shortestWindow ?? Math.min(Duration.toMillis(defaults.shortestWindow), longestWindowMillis),
      1,
      longestWindowMillis
    ),
    longestWindowMillis,
    headroom: within("headroom", options.headroom ?? defaults.headroom, 2, 1000)
  }
  const first = found === undefined ? initialLimit : Math.min(maximumLimit, Math.max(minimumLimit, found))
  return (options.algorithm ?? defaults.algorithm) === "aimd"
    ? makeAimd({ initialLimit, minimumLimit, maximumLimit, backoffRatio, slowAfterMillis }, first)
    : makeGradient(gradient, first)
}

const unlimited: Permit = { _tag: "Permit", settle: () => undefined }

/** Whether a failure says that there was too much. */
const isDrop = ({ cause }: Outcome.Failure): boolean =>
  cause !== "permanent" && cause !== "refused" && cause !== "stale"

/** The state of limiters, for one that follows another: its load is that of both. */
const held = new WeakMap<AdaptiveConcurrency, { readonly limit: Limit; readonly load: { inFlight: number } }>()

/**
 * Makes a limiter. Throws a `RangeError` that names the option which is out of range.
 * With a `living` one, the limit begins where that one is, and calls in flight are in flight in both.
 *
 * ```ts
 * import { AdaptiveConcurrency, Outcome } from "holdfast"
 *
 * const limiter = AdaptiveConcurrency.make({ initialLimit: 1, minimumLimit: 1 })
 * const first = limiter.admit(0)
 * const second = limiter.admit(0)
 * console.log(first._tag, second._tag) // => Permit ConcurrencyLimited
 * if (first._tag === "Permit") first.settle(12, Outcome.success)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}, living?: AdaptiveConcurrency): AdaptiveConcurrency => {
  checkOptions("AdaptiveConcurrency.make", options, "{ initialLimit: 20 }")
  const before = living && held.get(living)
  const limit = limitOf(options, before?.limit.current())
  const load = before?.load ?? { inFlight: 0 }
  const mode = options.mode ?? defaults.mode
  const { emit, events, isHeard } = PolicyEvents.make<Event>()
  let admitted = 0
  let refused = 0
  let dropped = 0

  const isFull = (): boolean => load.inFlight >= limit.current()

  const countRefusal = (): void => {
    refused++
    if (isHeard())
      emit({ _tag: "CallRefused", limit: limit.current(), inFlight: load.inFlight, observed: mode === "observe" })
  }

  const refuse = (): ConcurrencyLimited => {
    countRefusal()
    return stackless(() => new ConcurrencyLimited({ detail: `${load.inFlight} of ${limit.current()} in flight` }))
  }

  const settled = (
    nowMillis: number,
    durationMillis: number,
    inFlightWhenSent: number,
    mark: number,
    outcome: Outcome.Outcome
  ): void => {
    load.inFlight--
    if (outcome._tag === "Ignored") return
    const before = limit.current()
    let cause: ChangeCause | undefined
    if (outcome._tag === "Success") {
      cause = limit.succeeded(nowMillis, inFlightWhenSent, durationMillis)
      if (cause === "slow") dropped++
    } else if (isDrop(outcome)) {
      dropped++
      cause = limit.dropped(nowMillis, inFlightWhenSent, mark)
    }
    if (cause === undefined || !isHeard()) return
    const after = limit.current()
    if (after !== before) emit({ _tag: "LimitChanged", from: before, to: after, cause })
  }

  const admit = (nowMillis: number): Permit | ConcurrencyLimited => {
    if (mode === "off") return unlimited
    if (isFull()) {
      if (mode === "enforce") return refuse()
      countRefusal()
    }
    load.inFlight++
    admitted++
    const inFlightWhenSent = load.inFlight
    const mark = limit.mark()
    let isSettled = false
    return {
      _tag: "Permit",
      settle: (endMillis, outcome) => {
        if (isSettled) return
        isSettled = true
        settled(endMillis, endMillis - nowMillis, inFlightWhenSent, mark, outcome)
      }
    }
  }

  const run = <A, E, R>(
    self: Effect.Effect<A, E, R>,
    given: RunOptions<A, E> = {}
  ): Effect.Effect<A, E | ConcurrencyLimited, R> => {
    checkEffect("AdaptiveConcurrency", self)
    if (mode === "off") return self
    return Effect.withFiber((fiber): Effect.Effect<A, E | ConcurrencyLimited, R> => {
      const clock = fiber.getRef(Clock.Clock)
      // a refusal takes nothing, so it needs no protection: this spares it a third of its cost
      if (mode === "enforce" && isFull()) return Effect.fail(refuse())
      let permit: Permit | undefined
      return Effect.onExitPrimitive<A, E | ConcurrencyLimited, R>(
        // the place is taken inside, so that an interruption between two steps cannot lose it
        Effect.suspend((): Effect.Effect<A, E | ConcurrencyLimited, R> => {
          const decided = admit(Deadline.nowMillisUnsafe(clock))
          if (decided._tag === "ConcurrencyLimited") return Effect.fail(decided)
          permit = decided
          return self
        }),
        (exit) => {
          if (permit === undefined) return undefined
          let outcome: Outcome.Outcome = Outcome.ignored
          try {
            // only an admitted call has a permit, so its failure is one of its own
            outcome = outcomeOf("AdaptiveConcurrency", exit as Exit.Exit<A, E>, given.classify)
          } finally {
            permit.settle(Deadline.nowMillisUnsafe(clock), outcome)
          }
          return undefined
        }
      )
    })
  }

  const limiter: AdaptiveConcurrency = {
    mode,
    run,
    admit,
    hasRoom: () => mode !== "enforce" || !isFull(),
    snapshot: Effect.sync((): Snapshot => ({
      algorithm: options.algorithm ?? defaults.algorithm,
      limit: limit.current(),
      inFlight: load.inFlight,
      admitted,
      refused,
      dropped,
      ...limit.latencies()
    })),
    events
  }
  held.set(limiter, { limit, load })
  return limiter
}

/**
 * Runs an effect if the limit has room, and fails with `ConcurrencyLimited` without running it if not.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { AdaptiveConcurrency } from "holdfast"
 *
 * const limiter = AdaptiveConcurrency.make()
 * const rows = Effect.succeed("rows").pipe(AdaptiveConcurrency.run(limiter))
 *
 * console.log(await Effect.runPromise(rows)) // => rows
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: {
  <A = unknown, E = unknown>(
    limiter: AdaptiveConcurrency,
    options?: RunOptions<A, E>
  ): <A1 extends A, E1 extends E, R>(self: Effect.Effect<A1, E1, R>) => Effect.Effect<A1, E1 | ConcurrencyLimited, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    limiter: AdaptiveConcurrency,
    options?: RunOptions<A, E>
  ): Effect.Effect<A, E | ConcurrencyLimited, R>
} = dual(
  dataFirst("AdaptiveConcurrency.run"),
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    limiter: AdaptiveConcurrency,
    options?: RunOptions<A, E>
  ): Effect.Effect<A, E | ConcurrencyLimited, R> => limiter.run(self, options)
)

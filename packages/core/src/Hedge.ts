/**
 * Sends a call a second time when the first attempt is slower than most, and takes whichever succeeds first. A few slow
 * attempts decide how slow the slowest calls are; for a few per cent of extra load they stop doing so (Dean and Barroso, "The
 * Tail at Scale", CACM 2013).
 *
 * **When to use**: reads, and writes that carry an idempotency key, against an upstream whose slow answers come from one
 * bad replica, a lost packet or a pause, so that another attempt is likely to be fast.
 *
 * **What it is not**: a retry. It answers slowness, not failure: a first attempt that fails before it was hedged ends the
 * hedge with that failure, because the response to failures (back-off, the server's wait, the budget) is the retry's part,
 * around it. Nor is it a cure for an upstream that is slow because it is overloaded: more load makes that worse, so hedges are
 * limited three times, by `maximumExtraLoad`, by the shared retry budget, and by `mayStart`.
 *
 * **Gotchas**: {@link Hedge.run} means that the effect may be run twice at the same time; say `repeatable: false` for a call where it
 * may not. The loser is interrupted and its finalizers are waited for: a slow finalizer delays the answer. A hedge belongs to
 * an upstream, not to a call: make it once.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Hedge } from "holdfast"
 *
 * const hedge = Hedge.make({ delay: "10 millis" })
 *
 * // the first attempt hangs; the second is fast
 * const search = (ordinal: number) => ordinal === 0 ? Effect.never : Effect.succeed(`answered by attempt ${ordinal}`)
 *
 * console.log(await Effect.runPromise(hedge.run(search))) // => answered by attempt 1
 * ```
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Deadline from "./Deadline.ts"
import { checkOptions, dataFirst } from "./internal/options/given.ts"
import { outcomeOf } from "./internal/outcome/exitOutcome.ts"
import * as State from "./internal/retry/hedgeState.ts"
import { rangesOf } from "./internal/options/inRange.ts"
import { startTimer } from "./internal/time/timer.ts"
import * as LatencyTracker from "./LatencyTracker.ts"
import type { Mode } from "./Mode.ts"
import * as Outcome from "./Outcome.ts"
import * as PolicyEvents from "./PolicyEvents.ts"
import type { RetryBudget } from "./RetryBudget.ts"
import type * as Time from "./Time.ts"

/**
 * When to hedge, and how much.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * How long an attempt may take before the next one is started. Left out, it is learned: the quantile of the latency above
   * which `maximumExtraLoad` of the calls lie, so p95 for 0.05.
   */
  readonly delay?: Time.Input | undefined
  /**
   * Hedges for each call, at most. Between 0.001 and 1; default 0.05. It is a limit (every call pays for so much of a hedge),
   * and it sets the learned delay (Finagle's `BackupRequestFilter` does both).
   */
  readonly maximumExtraLoad?: number | undefined
  /** Hedges that quiet times may save up. At least 1; default 10. They are there from the start. */
  readonly burst?: number | undefined
  /** Hedges of one call, each `delay` after the attempt before it. At least 1; default 1. */
  readonly maxHedges?: number | undefined
  /** How long a call counts for the learned delay. Between 1 s and 1 h; default 1 min. */
  readonly window?: Time.Input | undefined
  /**
   * Calls that the window must hold for a delay to be learned; with fewer, nothing is hedged. Default 100, or, when that
   * is more, twice the number that tells the quantile from the maximum.
   */
  readonly minimumSamples?: number | undefined
  /** How often the learned delay is worked out anew. Longer than zero; default 3 s. */
  readonly refresh?: Time.Input | undefined
  /** The shortest delay that is learned. At least 1 ms, which is the default. */
  readonly minimumDelay?: Time.Input | undefined
  /**
   * The budget that hedges share with the retries of the same upstream. A hedge costs as much as a retry after a time-out. The budget's
   * calls are counted by `Retry` or `RetryBudget.run` around the hedge. Default: none, only `maximumExtraLoad` limits.
   */
  readonly budget?: RetryBudget | undefined
  /**
   * Asked when a hedge is due: whether the upstream can take more. Say `false` while its circuit is not closed or its
   * bulkhead has no room. Default: always.
   */
  readonly mayStart?: (() => boolean) | undefined
  /** `observe` counts and reports the hedges that it would have sent. Default `enforce`. */
  readonly mode?: Mode | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  maximumExtraLoad: 0.05,
  burst: 10,
  maxHedges: 1,
  window: Duration.minutes(1),
  minimumSamples: 100,
  refresh: Duration.seconds(3),
  minimumDelay: Duration.millis(1),
  mode: "enforce"
} as const satisfies Options

/**
 * Facts about one call.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions<in A, in E> {
  /**
   * Whether the call may be made twice at the same time. A function is asked when a hedge is due (a body may be used up by
   * then). Default `true`.
   */
  readonly repeatable?: boolean | (() => boolean) | undefined
  /**
   * Judges an attempt that succeeded or failed; defects and interruptions end the call without being asked about. Default: a success is
   * a success, a failure may pass with another try, and a refusal by this side says nothing.
   */
  readonly classify?: ((exit: Exit.Exit<A, E>) => Outcome.Outcome) | undefined
  /** Asked when a hedge of this call is due, as `mayStart` of the options is. Default: always. */
  readonly mayStart?: (() => boolean) | undefined
  /** When the caller no longer wants the answer: no hedge is planned beyond it. Default: the ambient `Deadline.Current`. */
  readonly deadline?: Deadline.Deadline | undefined
  /** Hears of the hedge's steps for this call, on the spot. An error that it throws is dropped: a listener cannot break the hedge. */
  readonly onEvent?: ((event: Event) => void) | undefined
}

/**
 * Why a hedge that was due was not started: the extra load is used up, the retry budget is spent, `mayStart` said no, or the
 * call can no longer be repeated.
 *
 * @category models
 * @since 0.1.0
 */
export type Denial = "extra-load" | "budget" | "upstream" | "not-repeatable"

/**
 * An event of a hedge.
 *
 * - `HedgeStarted`: an attempt was started beside the running ones; `observed` when it only would have been
 * - `HedgeDenied`: one was due, and was not started; the call gets no other
 * - `HedgeSettled`: a call that was hedged has its answer; `winner` is the ordinal of the attempt that gave it, left out when
 *   the caller went away
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | {
      readonly _tag: "HedgeStarted"
      readonly ordinal: number
      /** From the start of the call. */
      readonly after: Duration.Duration
      readonly observed: boolean
    }
  | { readonly _tag: "HedgeDenied"; readonly why: Denial; readonly after: Duration.Duration }
  | {
      readonly _tag: "HedgeSettled"
      readonly winner: number | undefined
      readonly hedges: number
      readonly elapsed: Duration.Duration
    }

/**
 * The state of a hedge at one instant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** Calls that could have been hedged, since the hedge was made. */
  readonly calls: number
  /** Hedges started; in `observe`, that would have been. */
  readonly hedges: number
  /** Calls that a hedge answered. */
  readonly won: number
  /** Hedges that were due and not started, by why. */
  readonly denied: { readonly [D in Denial]: number }
  /** Hedges that run now. */
  readonly hedgesInFlight: number
  /** The delay of the last call; `undefined` as long as too little is known to have one. */
  readonly delay: Duration.Duration | undefined
  /** Samples that the learned delay is made of. */
  readonly samples: number
  /** Hedges that are saved up. */
  readonly saved: number
}

/**
 * The call to hedge: an effect, which may be run twice at the same time, or a function that makes each attempt from its ordinal, 0 for
 * the first.
 *
 * @category models
 * @since 0.1.0
 */
export type Attempts<A, E, R> = Effect.Effect<A, E, R> | ((ordinal: number) => Effect.Effect<A, E, R>)

/**
 * A way to hedge that the calls to one upstream share.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hedge {
  readonly mode: Mode
  /**
   * Runs a call: an effect, or a function that makes each attempt of it from its ordinal, 0 for the first and 1 for its hedge.
   *
   * The first success wins. So does a failure that is final, for it would be final for every attempt; any other failure waits for
   * the attempts that still run, and when all have failed the first one's failure is the answer.
   */
  readonly run: <A, E, R>(self: Attempts<A, E, R>, options?: RunOptions<A, E>) => Effect.Effect<A, E, R>
  /** The present state of the hedge. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
  readonly events: PolicyEvents.PolicyEvents<Event>
}

const { longerThanZero, timeWithin, whole, within } = rangesOf("Hedge")

const shapeOf = (options: Options): State.HedgeShape => {
  const extraLoad = within("maximumExtraLoad", options.maximumExtraLoad ?? defaults.maximumExtraLoad, 0.001, 1)
  const needed = Math.ceil(1 / extraLoad)
  const minimumSamples = whole(
    "minimumSamples",
    options.minimumSamples ?? Math.max(defaults.minimumSamples, 2 * needed),
    1,
    1e6
  )
  if (options.delay === undefined && minimumSamples < needed) {
    throw new RangeError(
      `Hedge: ${minimumSamples} samples cannot tell the quantile ${1 - extraLoad} from the maximum; ` +
        `minimumSamples must be at least ${needed} for a maximumExtraLoad of ${extraLoad}`
    )
  }
  return {
    fixedMillis: options.delay === undefined ? undefined : longerThanZero("delay", options.delay),
    quantile: 1 - extraLoad,
    minimumSamples,
    refreshMillis: longerThanZero("refresh", options.refresh ?? defaults.refresh),
    minimumMillis: timeWithin("minimumDelay", options.minimumDelay ?? defaults.minimumDelay, 1, 60_000),
    deposit: Math.round(extraLoad * State.oneHedge),
    capacity: Math.round(within("burst", options.burst ?? defaults.burst, 1, 1e6) * State.oneHedge)
  }
}

/** The state of hedges, for one that follows another. */
const held = new WeakMap<
  Hedge,
  { readonly state: State.HedgeState; readonly latencies: LatencyTracker.LatencyTracker; readonly windowMillis: number }
>()

/**
 * Makes a hedge. Throws a `RangeError` that names the option which is out of range.
 * With a `living` one, its samples and the hedges it has saved up are taken over.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}, living?: Hedge): Hedge => {
  checkOptions("Hedge.make", options, '{ delay: "100 millis" }')
  const shape = shapeOf(options)
  const mode = options.mode ?? defaults.mode
  const window = timeWithin("window", options.window ?? defaults.window, 1000, 3_600_000)
  const { emit, events, isHeard } = PolicyEvents.make<Event>()
  const before = living && held.get(living)
  const latencies = before?.windowMillis === window ? before.latencies : LatencyTracker.make({ window })
  const state = State.makeHedgeState(shape, latencies)
  // the same calls have saved hedges up, or spent them
  if (before !== undefined) state.tokens = Math.min(shape.capacity, before.state.tokens)
  const shared: Shared = {
    state,
    maxHedges: whole("maxHedges", options.maxHedges ?? defaults.maxHedges, 1, 10),
    isObserving: mode === "observe",
    // a watched hedge must not take from the retries that are real
    budget: mode === "observe" ? undefined : options.budget,
    mayStart: options.mayStart,
    emit,
    isHeard,
    calls: 0,
    hedges: 0,
    won: 0,
    denied: { "extra-load": 0, budget: 0, upstream: 0, "not-repeatable": 0 },
    hedgesInFlight: 0
  }
  const hedge: Hedge = {
    mode,
    run: (self, given = {}) => {
      const attempt = Effect.isEffect(self) ? () => self : self
      return mode === "off" || given.repeatable === false
        ? Effect.suspend(() => attempt(0))
        : Effect.withFiber((fiber) => runHedged(shared, fiber, attempt, given))
    },
    snapshot: Effect.map(latencies.snapshot, ({ count }): Snapshot => {
      const { delayMillis, tokens } = shared.state
      return {
        calls: shared.calls,
        hedges: shared.hedges,
        won: shared.won,
        denied: { ...shared.denied },
        hedgesInFlight: shared.hedgesInFlight,
        delay: delayMillis === undefined ? undefined : Duration.millis(delayMillis),
        samples: count,
        saved: tokens / State.oneHedge
      }
    }),
    events
  }
  held.set(hedge, { state, latencies, windowMillis: window })
  return hedge
}

/** The state that the calls of one hedge share. */
interface Shared {
  readonly state: State.HedgeState
  readonly maxHedges: number
  readonly isObserving: boolean
  readonly budget: RetryBudget | undefined
  readonly mayStart: (() => boolean) | undefined
  readonly emit: (event: Event) => void
  readonly isHeard: () => boolean
  calls: number
  hedges: number
  won: number
  readonly denied: Record<Denial, number>
  hedgesInFlight: number
}

const runHedged = <A, E, R>(
  shared: Shared,
  fiber: Fiber.Fiber<unknown, unknown>,
  attempt: (ordinal: number) => Effect.Effect<A, E, R>,
  given: RunOptions<A, E>
): Effect.Effect<A, E, R> => {
  const clock = fiber.getRef(Clock.Clock)
  const startMillis = Deadline.nowMillisUnsafe(clock)
  shared.calls++
  const delayMillis = State.callStarted(shared.state, startMillis)
  const deadline = given.deadline ?? fiber.getRef(Deadline.Current)
  const isInTime = deadline === undefined || deadline.atMillis - startMillis > (delayMillis ?? 0)
  const race: Race<A, E, R> = {
    ...State.makeRaceState(),
    shared,
    fiber,
    // the fiber holds the services that the attempts require, or `run` could not have been run in their place
    context: fiber.context as Context.Context<R>,
    clock,
    attempt,
    given,
    startMillis,
    delayMillis,
    children: [],
    cancelTimer: undefined,
    resume: undefined,
    primaryMillis: undefined,
    primaryIsStale: false,
    failure: undefined,
    failureIsStale: false,
    outcome: Outcome.ignored,
    winner: undefined,
    hasEnded: false
  }
  // one place gives everything back, so that an interruption between two steps cannot lose a timer or an attempt
  return Effect.onExitPrimitive(
    delayMillis === undefined || !isInTime || shared.isObserving
      ? alone(race, isInTime ? delayMillis : undefined)
      : Effect.callback<A, E, R>((resume) => {
          race.resume = resume
          startAttempt(race)
          if (!race.hasEnded && race.running > 0) planHedge(race, delayMillis)
        }),
    (exit) => endRace(race, exit)
  )
}

/** One call with its attempts. */
interface Race<A, E, R> extends State.RaceState {
  readonly shared: Shared
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly context: Context.Context<R>
  readonly clock: Clock.Clock
  readonly attempt: (ordinal: number) => Effect.Effect<A, E, R>
  readonly given: RunOptions<A, E>
  readonly startMillis: number
  readonly delayMillis: number | undefined
  /** The fibers of the attempts by their ordinals; none when the first runs in the caller's own. */
  readonly children: Array<Fiber.Fiber<A, E>>
  cancelTimer: (() => void) | undefined
  resume: ((exit: Effect.Effect<A, E, R>) => void) | undefined
  /** How long the first attempt took, once it has ended. */
  primaryMillis: number | undefined
  /** Whether the first attempt ended because its connection was stale: then how long it took says nothing. */
  primaryIsStale: boolean
  /** The call's failure when all attempts fail: the first one's, or the first that was not stale. */
  failure: Exit.Exit<A, E> | undefined
  failureIsStale: boolean
  /** The outcome of the exit that the call ends with. */
  outcome: Outcome.Outcome
  winner: number | undefined
  hasEnded: boolean
}

const elapsedMillis = <A, E, R>(race: Race<A, E, R>): number => Deadline.nowMillisUnsafe(race.clock) - race.startMillis

/** The first attempt in the caller's own fiber: nothing has to be interrupted before it has ended. */
const alone = <A, E, R>(race: Race<A, E, R>, delayMillis: number | undefined): Effect.Effect<A, E, R> => {
  if (!race.shared.isObserving || delayMillis === undefined) return Effect.suspend(() => race.attempt(0))
  return Effect.suspend(() => {
    planHedge(race, delayMillis)
    return race.attempt(0)
  })
}

const isHeard = <A, E, R>({ given, shared }: Race<A, E, R>): boolean => given.onEvent !== undefined || shared.isHeard()

/** Tells the call, and the listeners of all calls. */
const tell = <A, E, R>({ given, shared }: Race<A, E, R>, event: Event): void => {
  try {
    given.onEvent?.(event)
  } catch {
    // a listener cannot break the hedge
  }
  shared.emit(event)
}

const startAttempt = <A, E, R>(race: Race<A, E, R>): void => {
  const ordinal = race.children.length
  race.running++
  const child = Effect.runForkWith(race.context)(Effect.suspend(() => race.attempt(ordinal)))
  race.children.push(child)
  child.addObserver((exit) => {
    if (ordinal > 0) {
      race.shared.hedgesInFlight--
      race.shared.budget?.retryEnded()
    }
    if (!race.hasEnded) orDie(race, () => attemptEnded(race, ordinal, exit))
  })
  // the attempt may have ended the call before it first waited
  if (race.hasEnded) child.interruptUnsafe(race.fiber.id)
}

const attemptEnded = <A, E, R>(race: Race<A, E, R>, ordinal: number, exit: Exit.Exit<A, E>): void => {
  if (ordinal === 0) race.primaryMillis = elapsedMillis(race)
  const outcome = judge(race.given, exit)
  const isStale = outcome._tag === "Failure" && outcome.cause === "stale"
  if (ordinal === 0) race.primaryIsStale = isStale
  // a stale connection is told of only as a last resort: the failure of another attempt says more
  if (race.failure === undefined || race.failureIsStale || (ordinal === 0 && !isStale)) {
    race.failure = exit
    race.failureIsStale = isStale
  }
  const next = State.attemptEnded(race, outcome)
  if (next === "goesOn") return
  race.winner = next === "thisExit" ? ordinal : 0
  race.outcome = outcome
  race.resume?.(next === "thisExit" ? exit : race.failure)
}

/** An interruption is nobody's success or failure, and a defect is a bug: neither is for a classifier to say. */
const judge = <A, E>(given: RunOptions<A, E>, exit: Exit.Exit<A, E>): Outcome.Outcome => {
  if (exit._tag === "Failure" && (Cause.hasInterrupts(exit.cause) || Cause.hasDies(exit.cause))) return Outcome.ignored
  return outcomeOf("Hedge", exit, given.classify)
}

/** Runs code that calls a user's function outside of any fiber: if it throws, that is the call's defect, and not the process's end. */
const orDie = <A, E, R>(race: Race<A, E, R>, run: () => void): void => {
  try {
    run()
  } catch (defect) {
    race.resume?.(Effect.die(defect))
  }
}

const planHedge = <A, E, R>(race: Race<A, E, R>, delayMillis: number): void => {
  race.cancelTimer = startTimer(race.fiber, delayMillis, () => {
    race.cancelTimer = undefined
    if (!race.hasEnded) orDie(race, () => hedgeDue(race, delayMillis))
  })
}

const hedgeDue = <A, E, R>(race: Race<A, E, R>, delayMillis: number): void => {
  if (!race.mayHedge) return
  const { shared } = race
  const nowMillis = Deadline.nowMillisUnsafe(race.clock)
  const after = () => Duration.millis(nowMillis - race.startMillis)
  const denial = deny(race, nowMillis)
  if (denial !== undefined) {
    shared.denied[denial]++
    if (isHeard(race)) tell(race, { _tag: "HedgeDenied", why: denial, after: after() })
    return
  }
  State.takeToken(shared.state)
  shared.hedges++
  if (isHeard(race)) {
    const ordinal = shared.isObserving ? 1 : race.children.length
    tell(race, { _tag: "HedgeStarted", ordinal, after: after(), observed: shared.isObserving })
  }
  if (shared.isObserving) return
  shared.budget?.retryStarted()
  shared.hedgesInFlight++
  startAttempt(race)
  if (!race.hasEnded && race.children.length <= shared.maxHedges) planHedge(race, delayMillis)
}

/** The budget comes last: it is the only one that takes something when it says yes. */
const deny = <A, E, R>(race: Race<A, E, R>, nowMillis: number): Denial | undefined => {
  const { budget, mayStart, state } = race.shared
  if (typeof race.given.repeatable === "function" && !race.given.repeatable()) return "not-repeatable"
  if (mayStart !== undefined && !mayStart()) return "upstream"
  if (race.given.mayStart !== undefined && !race.given.mayStart()) return "upstream"
  if (!State.hasToken(state)) return "extra-load"
  if (budget !== undefined && !budget.tryRetry(nowMillis, "timeout")) return "budget"
  return undefined
}

/** Learns from the call, and interrupts the attempts that still run. */
const endRace = <A, E, R>(race: Race<A, E, R>, exit: Exit.Exit<A, E>): Effect.Effect<void> | undefined => {
  race.hasEnded = true
  race.cancelTimer?.()
  const { children, shared } = race
  const nowMillis = Deadline.nowMillisUnsafe(race.clock)
  if (!race.primaryIsStale) {
    const primaryMillis = race.primaryMillis ?? nowMillis - race.startMillis
    // a classifier that throws dies as the bug that it is: where it is asked here, nothing else runs
    const outcome = children.length === 0 ? judge(race.given, exit) : race.outcome
    State.callResolved(shared.state, { primaryMillis, delayMillis: race.delayMillis, outcome }, nowMillis)
  }
  if (race.winner !== undefined && race.winner > 0) shared.won++
  if (children.length > 1 && isHeard(race)) {
    const elapsed = Duration.millis(nowMillis - race.startMillis)
    tell(race, { _tag: "HedgeSettled", winner: race.winner, hedges: children.length - 1, elapsed })
  }
  const running = children.filter((child) => child.pollUnsafe() === undefined)
  return running.length === 0 ? undefined : Fiber.interruptAll(running)
}

/**
 * Runs a call, and a second attempt of it when the first is slow: see {@link Hedge.run}.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Hedge } from "holdfast"
 *
 * const hedge = Hedge.make({ delay: "50 millis" })
 * const search = Effect.succeed("found").pipe(Hedge.run(hedge))
 *
 * console.log(await Effect.runPromise(search)) // => found
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: {
  <A = unknown, E = unknown>(
    hedge: Hedge,
    options?: RunOptions<A, E>
  ): <A1 extends A, E1 extends E, R>(self: Attempts<A1, E1, R>) => Effect.Effect<A1, E1, R>
  <A, E, R>(self: Attempts<A, E, R>, hedge: Hedge, options?: RunOptions<A, E>): Effect.Effect<A, E, R>
} = dual(
  // a service's class is an effect and a function; a hedge is neither
  dataFirst("Hedge.run", (value) => Effect.isEffect(value) || typeof value === "function"),
  <A, E, R>(self: Attempts<A, E, R>, hedge: Hedge, options?: RunOptions<A, E>): Effect.Effect<A, E, R> =>
    hedge.run(self, options)
)

/**
 * Stops calling an upstream that keeps failing, or keeps being slow, and finds out by a few probes when it is back.
 *
 * **When to use**: one for each upstream or endpoint, inside the retry, so that it sees every attempt. Its callers then fail
 * in a microsecond instead of waiting for a timeout, and the upstream gets the rest that it needs to recover.
 *
 * **What it is not**: a limit on how much is sent (that is a bulkhead or a rate limit), nor on retries (`RetryBudget`). A
 * circuit is all or nothing; against an upstream that fails in part, throttling does less harm.
 *
 * It is *closed* while calls go through. When any of its rules finds too many failures or too many slow calls, it *opens* and
 * refuses. When the open time is over it is *half-open*: a few calls go through as probes. Enough successes close it, one
 * failure opens it again. After a close it can let calls through by a share that grows (`rampTime`).
 *
 * **Gotchas**
 *
 * - Make it once and share it: the counts are in the object.
 * - A caller that goes away says nothing about the upstream, so an interrupted call is not counted, and a probe's place is
 *   free again. Put the timeout inside the circuit breaker, or it never sees a timed-out call fail.
 * - The cause of a failure decides how it counts: see `counts`. A `404`, a `429` and a refusal by a bulkhead open no circuit.
 * - Failures of calls that were in flight together are one piece of evidence: a row counts them as one, and a rate opens the circuit
 *   only if its bad calls came in three rounds, each begun after the one before had shown. So no single burst opens it.
 * - A deadline of the caller's that cut a call short says nothing of the upstream (`DeadlineExceeded.cutShort`); one that passed when the
 *   upstream had had its fair share of time is a timeout like any other.
 * - It has no timer. An open circuit turns half-open with the first call after the open time.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { CircuitBreaker } from "holdfast"
 *
 * const breaker = CircuitBreaker.make({ trip: [CircuitBreaker.consecutiveFailures(2)], openTime: "10 seconds" })
 * const call = Effect.fail("unavailable").pipe(CircuitBreaker.run(breaker), Effect.flip)
 *
 * console.log(await Effect.runPromise(call)) // => unavailable
 * console.log(await Effect.runPromise(call)) // => unavailable
 * const refused = await Effect.runPromise(call)
 * console.log(typeof refused === "string" ? refused : refused.detail) // => 2 attempts in a row failed
 * ```
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Random from "effect/Random"
import * as Deadline from "./Deadline.ts"
import * as Detail from "./internal/circuit/circuitDetail.ts"
import type { Permit, Phase, Verdict } from "./internal/circuit/circuitState.ts"
import * as State from "./internal/circuit/circuitState.ts"
import { defaultVerdicts, verdictOf } from "./internal/circuit/circuitVerdict.ts"
import { checkEffect, checkOptions, dataFirst } from "./internal/options/given.ts"
import { outcomeOf } from "./internal/outcome/exitOutcome.ts"
import { rangesOf } from "./internal/options/inRange.ts"
import { usualRates } from "./internal/circuit/usualRates.ts"
import * as Windows from "./internal/circuit/window.ts"
import type { Mode } from "./Mode.ts"
import { type FailureCause, ignored, type Outcome } from "./Outcome.ts"
import * as PolicyEvents from "./PolicyEvents.ts"
import { CircuitOpen } from "./Reason.ts"
import { stackless } from "./Stackless.ts"
import * as Time from "./Time.ts"

export type {
  /**
   * The right to make one call, to be settled exactly once, however the call ends.
   *
   * @category models
   * @since 0.1.0
   */
  Permit,
  /**
   * The state of a circuit: `Closed` lets calls through, `Open` refuses them, `HalfOpen` tries a few. The forced ones are an operator's.
   *
   * @category models
   * @since 0.1.0
   */
  Phase,
  /**
   * How a call counts.
   *
   * @category models
   * @since 0.1.0
   */
  Verdict
}

/**
 * The thresholds of the two rates of a window.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rates {
  /** The share of failed calls from which on the circuit opens. Above 0, at most 1; default 0.5. */
  readonly failureRate?: number | undefined
  /**
   * The share of slow calls from which on the circuit opens, however they ended. Above 0, at most 1; default: slow calls
   * are not watched. Needs `slowCallDuration`.
   */
  readonly slowCallRate?: number | undefined
  /** Calls in the window below which its rates say nothing. At least 1; default 20, or the size of a smaller count window. */
  readonly minimumCalls?: number | undefined
}

/**
 * A reason to open. Any of a circuit breaker's rules opens it.
 *
 * @category models
 * @since 0.1.0
 */
export type TripRule =
  | { readonly _tag: "ConsecutiveFailures"; readonly failures: number }
  | ({ readonly _tag: "CountWindow"; readonly size: number } & Rates)
  | ({ readonly _tag: "TimeWindow"; readonly duration: Time.Input } & Rates)

/**
 * Opens after so many failures in a row, in the order in which the calls finish. A success ends the row. It is the one rule
 * that sees an upstream with few calls go down. A failure makes the row longer only if its call began after the end of the failure
 * that was counted before: failures of calls in flight together are one. A row that has gone on for a second needs no more than three
 * such rounds, if as many calls have failed in it: where each takes long to fail, so many one after another would take for ever.
 *
 * @category trip rules
 * @since 0.1.0
 */
export const consecutiveFailures = (failures: number): TripRule => ({ _tag: "ConsecutiveFailures", failures })

/**
 * Opens by the rates among the last `size` calls, however old they are. Between 1 and 100 000 calls. Its bad calls must have come in
 * three rounds (see the *Gotchas* above), or in as many as it needs bad calls when that is less.
 *
 * @category trip rules
 * @since 0.1.0
 */
export const countWindow = (options: { readonly size: number } & Rates): TripRule => ({
  _tag: "CountWindow",
  ...options
})

/**
 * Opens by the rates among the calls that finished in the last `duration`, to a tenth of it. Between 100 ms and 24 h. Rounds are as
 * in {@link countWindow}.
 *
 * @category trip rules
 * @since 0.1.0
 */
export const timeWindow = (options: { readonly duration: Time.Input } & Rates): TripRule => ({
  _tag: "TimeWindow",
  ...options
})

/**
 * An open time that doubles with every opening in a row, beginning with the time given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Doubling {
  (consecutiveOpenings: number): Duration.Duration
  /** The first open time. */
  readonly doubling: Duration.Duration
}

/**
 * An open time that doubles with every opening in a row. `maxOpenTime` bounds it. As data it is `{ doubling: "5 seconds" }`, which
 * options take too.
 *
 * ```ts
 * import { Duration } from "effect"
 * import { CircuitBreaker } from "holdfast"
 *
 * const openTime = CircuitBreaker.doubling("5 seconds")
 * console.log([1, 2, 3].map((opening) => Duration.format(openTime(opening))).join(", ")) // => 5s, 10s, 20s
 * ```
 *
 * @category open times
 * @since 0.1.0
 */
export const doubling = (base: Time.Input): Doubling => {
  const first = Time.of("CircuitBreaker: openTime", base)
  const firstMillis = Duration.toMillis(first)
  const openTime = (consecutiveOpenings: number) => Duration.millis(firstMillis * 2 ** (consecutiveOpenings - 1))
  return Object.assign(openTime, { doubling: first })
}

/**
 * When a circuit breaker opens, for how long, and how it closes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Any of these opens the circuit. Default: 10 failures in a row, or half of 20 calls or more in 30 s. */
  readonly trip?: ReadonlyArray<TripRule> | undefined
  /** A call that takes longer is slow, however it ends. Longer than zero; default: no call is slow. */
  readonly slowCallDuration?: Time.Input | undefined
  /**
   * How long the circuit stays open: a time, a first time that doubles, or a function of how many times it has opened in a row
   * (1 for the first). The row ends when it has stayed closed for as long as it was last open, and no sooner than the end of the
   * ramp. Default: 1 s, however often: a probe a second costs an upstream that is down nothing, and one that is well again should not
   * be kept waiting.
   */
  readonly openTime?:
    | Time.Input
    | { readonly doubling: Time.Input }
    | ((consecutiveOpenings: number) => Time.Input)
    | undefined
  /**
   * The longest open time, also beyond `openTime` and a wait that the server asks for. Default 5 min. Within it, a circuit is never open
   * for less than the `retryAfter` of the failure that opened it.
   */
  readonly maxOpenTime?: Time.Input | undefined
  /** Probes that may be out at once while half-open. Between 1 and 1000; default 3. */
  readonly probes?: number | undefined
  /**
   * Successful probes that close the circuit. At least 1; default 2. One that fails opens it again, unless it was sent before one
   * that has succeeded.
   */
  readonly successThreshold?: number | undefined
  /**
   * How long a probe may hold its place. After that another call may have it, so that a probe that never comes back cannot keep
   * the circuit half-open. Longer than zero; default 1 s: probes that hang on a peer that is gone would otherwise keep a new one
   * from being asked. A probe that is slower still counts when it comes back.
   */
  readonly probeLease?: Time.Input | undefined
  /** How long after a close the share of calls that are let through grows, from a tenth to all. Default 0: all at once. */
  readonly rampTime?: Time.Input | undefined
  /**
   * How a failure counts, by its cause. By default `transient` and `timeout` count as failures; `throttle` (the upstream is
   * there and wants less), `refused` (this side never asked it) and `permanent` (the fault of the request, as a rule) are
   * ignored: they neither open a circuit nor close one. So is `stale`: every server closes connections that nobody uses.
   */
  readonly counts?: { readonly [C in FailureCause]?: Verdict } | undefined
  /** Default `enforce`. In `observe` it counts, opens and reports as it would, and lets every call through. */
  readonly mode?: Mode | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  trip: [consecutiveFailures(10), timeWindow({ duration: Duration.seconds(30), failureRate: 0.5, minimumCalls: 20 })],
  openTime: Duration.seconds(1),
  maxOpenTime: Duration.minutes(5),
  probes: 3,
  successThreshold: 2,
  probeLease: Duration.seconds(1),
  rampTime: Duration.zero,
  counts: defaultVerdicts,
  mode: "enforce"
} as const satisfies Options

/**
 * The counts of a window.
 *
 * @category models
 * @since 0.1.0
 */
export interface WindowSnapshot {
  /** The rule that the window belongs to: `30s`, or `the last 100 attempts`. */
  readonly window: string
  readonly calls: number
  /** Succeeded in time. */
  readonly ok: number
  /** Succeeded, and took too long. */
  readonly slowOk: number
  /** Failed in time. */
  readonly failed: number
  /** Failed, and took too long. */
  readonly slowFailed: number
  /** Between 0 and 1; `undefined` below the rule's `minimumCalls`. */
  readonly failureRate: number | undefined
  /** Between 0 and 1; `undefined` below the rule's `minimumCalls`. */
  readonly slowCallRate: number | undefined
}

/**
 * The state of a circuit breaker at one instant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** `HalfOpen` as soon as the open time is over, though nothing happens before the next call. */
  readonly state: Phase
  /** How often it has gone into each state since it was made. It goes `HalfOpen` with the first call after the open time. */
  readonly entered: { readonly [P in Phase]: number }
  /** The share of calls that are let through: 1 when closed, 0 when open, between them during the ramp. */
  readonly share: number
  /** The rest of the open time; zero when it is not open. */
  readonly openTimeLeft: Duration.Duration
  /** Openings in a row. */
  readonly consecutiveOpenings: number
  /** Failures in a row; those of calls that were in flight together are one. */
  readonly consecutiveFailures: number
  /** One for each rule that has a window. */
  readonly windows: ReadonlyArray<WindowSnapshot>
  /** Probes that hold a place. */
  readonly probesOut: number
  /** Probes that have succeeded since it is half-open. */
  readonly probeSuccesses: number
  /** Calls since it was made: let through, refused (in `observe`: would have been), and how the ended ones counted. */
  readonly admitted: number
  readonly refused: number
  readonly succeeded: number
  readonly failed: number
  readonly ignored: number
  /** Reports of calls that a change of state had overtaken. */
  readonly late: number
}

/**
 * An event of a circuit breaker.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | {
      readonly _tag: "Opened"
      readonly from: "Closed" | "HalfOpen"
      readonly openTime: Duration.Duration
      readonly consecutiveOpenings: number
      /** The figures, in words. */
      readonly detail: string
    }
  | { readonly _tag: "HalfOpened" }
  | { readonly _tag: "Closed" }
  | { readonly _tag: "ForcedOpen" }
  | { readonly _tag: "ForcedClosed" }
  | { readonly _tag: "Reset" }
  /** `enforced` is false in `observe`, where the call went through all the same. */
  | { readonly _tag: "Refused"; readonly reason: CircuitOpen; readonly enforced: boolean }

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
  readonly classify?: ((exit: Exit.Exit<A, E>) => Outcome) | undefined
}

/**
 * A circuit breaker. `admit` and `settle` are for hot paths: they are synchronous and take the monotonic time in milliseconds
 * (`Deadline.nowMillisUnsafe`). {@link CircuitBreaker.run} does the same around an effect.
 *
 * @category models
 * @since 0.1.0
 */
export interface CircuitBreaker {
  readonly mode: Mode
  /** Runs an effect, or fails with `CircuitOpen` without running it. */
  readonly run: <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options?: RunOptions<A, E>
  ) => Effect.Effect<A, E | CircuitOpen, R>
  /** Gives a permit, or the refusal. The fiber's `Random` decides during the ramp. */
  readonly admit: (nowMillis: number, fiber: Fiber.Fiber<unknown, unknown>) => Permit | CircuitOpen
  /**
   * Gives the permit back with the call's outcome, and how long it took. It must be called exactly once for each permit,
   * with `Outcome.ignored` for a call that was given up. Gives the state that the circuit went into by it, if it did.
   */
  readonly settle: (permit: Permit, outcome: Outcome, nowMillis: number, durationMillis: number) => Phase | undefined
  /**
   * Whether a call would be let through at the monotonic time. Asking changes nothing, in `observe` all calls go, and during the
   * ramp, where chance decides, the answer is yes.
   */
  readonly hasRoom: (nowMillis: number) => boolean
  /** Its present state. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
  readonly events: PolicyEvents.PolicyEvents<Event>
  /** Refuses every call, until it is forced closed or reset. In `observe`, where nothing is refused, it only counts and reports. */
  readonly forceOpen: Effect.Effect<void>
  /** Lets every call through and counts it, until it is forced open or reset. */
  readonly forceClosed: Effect.Effect<void>
  /** Closes it and forgets its counts. */
  readonly reset: Effect.Effect<void>
}

const { longerThanZero, whole } = rangesOf("CircuitBreaker")

const rate = (name: string, value: number): number => {
  if (!(value > 0 && value <= 1)) {
    throw new RangeError(`CircuitBreaker: ${name} must be above 0 and at most 1, got ${value}`)
  }
  return value
}

const ruleOf = (rule: TripRule, slowCallMillis: number): State.Rule => {
  if (rule._tag === "ConsecutiveFailures") {
    return { _tag: rule._tag, failures: whole("consecutiveFailures", rule.failures, 1, 1e6) }
  }
  if (rule.slowCallRate !== undefined && slowCallMillis === Infinity) {
    throw new RangeError("CircuitBreaker: slowCallRate needs slowCallDuration, which says what a slow call is")
  }
  const size = rule._tag === "CountWindow" ? whole("countWindow.size", rule.size, 1, 100_000) : Infinity
  const rates = {
    minimumCalls: whole(
      "minimumCalls",
      rule.minimumCalls ?? Math.min(usualRates.minimumCalls, size),
      1,
      Math.min(size, 1e6)
    ),
    failureRate: rate("failureRate", rule.failureRate ?? usualRates.failureRate),
    slowCallRate: rule.slowCallRate === undefined ? Infinity : rate("slowCallRate", rule.slowCallRate)
  }
  if (rule._tag === "CountWindow") return { _tag: rule._tag, size, ...rates }
  const millis = Time.millis("CircuitBreaker: timeWindow.duration", rule.duration)
  if (!(millis >= 100 && millis <= 86_400_000)) {
    throw new RangeError(
      `CircuitBreaker: timeWindow.duration must be between 100 milliseconds and 24 hours, got ${millis}ms`
    )
  }
  return { _tag: rule._tag, millis, ...rates }
}

const openTimeOf = (
  openTime: NonNullable<Options["openTime"]>
): Time.Input | ((consecutiveOpenings: number) => Time.Input) =>
  typeof openTime === "object" && "doubling" in openTime ? doubling(openTime.doubling) : openTime

const shapeOf = (options: Options): State.CircuitShape => {
  const slowCallMillis =
    options.slowCallDuration === undefined ? Infinity : longerThanZero("slowCallDuration", options.slowCallDuration)
  const trip = options.trip ?? defaults.trip
  if (trip.length === 0) throw new RangeError("CircuitBreaker: trip must have at least one rule, got none")
  const openTime = openTimeOf(options.openTime ?? defaults.openTime)
  const maxOpenMillis = longerThanZero("maxOpenTime", options.maxOpenTime ?? defaults.maxOpenTime)
  // asked once here, so that a function that gives nonsense is found out before the upstream is down
  const firstOpenMillis = longerThanZero("openTime", typeof openTime === "function" ? openTime(1) : openTime)
  if (firstOpenMillis > maxOpenMillis) {
    throw new RangeError(
      `CircuitBreaker: openTime must be at most maxOpenTime, ${maxOpenMillis}ms, got ${firstOpenMillis}ms`
    )
  }
  const rampMillis = Time.millis("CircuitBreaker: rampTime", options.rampTime ?? defaults.rampTime)
  if (!(rampMillis >= 0 && rampMillis < Infinity)) {
    throw new RangeError(`CircuitBreaker: rampTime must be at least zero and finite, got ${rampMillis}ms`)
  }
  return {
    rules: trip.map((rule) => ruleOf(rule, slowCallMillis)),
    slowCallMillis,
    openMillis:
      typeof openTime === "function"
        ? (opening) => Time.millis("CircuitBreaker: openTime", openTime(opening))
        : () => firstOpenMillis,
    maxOpenMillis,
    probes: whole("probes", options.probes ?? defaults.probes, 1, 1000),
    successThreshold: whole("successThreshold", options.successThreshold ?? defaults.successThreshold, 1, 1e6),
    probeLeaseMillis: longerThanZero("probeLease", options.probeLease ?? defaults.probeLease),
    rampMillis
  }
}

/** The state of circuit breakers, for one that follows another. */
const held = new WeakMap<CircuitBreaker, State.CircuitState>()

/**
 * Makes a circuit breaker. Throws a `RangeError` that names the wrong option and the value that it got.
 * With a `living` one, it begins as open as that one is, with the counts of the rules that both have.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}, living?: CircuitBreaker): CircuitBreaker => {
  checkOptions("CircuitBreaker.make", options, "{ trip: [CircuitBreaker.consecutiveFailures(5)] }")
  const mode = options.mode ?? defaults.mode
  const state = State.makeCircuitState(shapeOf(options))
  const before = living && held.get(living)
  if (before !== undefined) State.follow(state, before)
  const verdicts = { ...defaults.counts, ...options.counts }
  const { emit, events, isHeard } = PolicyEvents.make<Event>()
  let admitted = 0
  let refused = 0
  let succeeded = 0
  let failed = 0
  let uncounted = 0
  let late = 0
  /** The phase that listeners know of. */
  let known: Phase = state.phase
  const entered: Record<Phase, number> = { Closed: 0, Open: 0, HalfOpen: 0, ForcedOpen: 0, ForcedClosed: 0 }

  const notePhase = (): void => {
    if (state.phase !== known) entered[state.phase]++
    known = state.phase
  }

  const tellPhase = (): void => {
    const from = known
    notePhase()
    if (!isHeard() || from === known) return
    if (known !== "Open") emit({ _tag: known === "HalfOpen" ? "HalfOpened" : known })
    else {
      emit({
        _tag: "Opened",
        from: from === "HalfOpen" ? from : "Closed",
        openTime: Duration.millis(state.lastOpenMillis),
        consecutiveOpenings: state.openings,
        detail: Detail.openDetail(state)
      })
    }
  }

  // Making a refusal is nearly all that it costs (0.9 µs). Refusals of one millisecond are equal, so they are one object.
  let latest: CircuitOpen | undefined
  let latestGeneration = -1
  let latestSuccesses = -1
  let latestMillis: number | undefined

  const refusal = (nowMillis: number, random: number): CircuitOpen => {
    const millis = State.waitMillis(state, nowMillis, random)
    if (
      latest !== undefined &&
      latestGeneration === state.generation &&
      latestSuccesses === state.probeSuccesses &&
      latestMillis === millis &&
      state.phase !== "Closed"
    ) {
      return latest
    }
    const detail = detailNow(nowMillis)
    latestGeneration = state.generation
    latestSuccesses = state.probeSuccesses
    latestMillis = millis
    latest = stackless(
      () => new CircuitOpen(millis === undefined ? { detail } : { detail, retryAfter: Duration.millis(millis) })
    )
    return latest
  }

  const detailNow = (nowMillis: number): string => {
    if (state.phase === "Open") return Detail.openDetail(state)
    if (state.phase === "HalfOpen") return Detail.halfOpenDetail(state)
    return state.phase === "Closed" ? Detail.rampDetail(State.shareOf(state, nowMillis)) : Detail.forcedDetail
  }

  const admit = (nowMillis: number, fiber: Fiber.Fiber<unknown, unknown>): Permit | CircuitOpen => {
    if (mode === "off") return State.unwatched
    const random = state.ramping ? fiber.getRef(Random.Random).nextDoubleUnsafe() : 0
    const permit = State.admit(state, nowMillis, random)
    if (state.phase !== known) tellPhase()
    if (permit !== undefined) {
      admitted++
      return permit
    }
    refused++
    if (mode === "enforce") {
      const reason = refusal(nowMillis, random)
      if (isHeard()) emit({ _tag: "Refused", reason, enforced: true })
      return reason
    }
    if (isHeard()) emit({ _tag: "Refused", reason: refusal(nowMillis, random), enforced: false })
    // a call that would not have been sent must not be counted either, or the dark run would not show the figures of the real one
    return State.unwatched
  }

  const settle: CircuitBreaker["settle"] = (permit, outcome, nowMillis, durationMillis) => {
    if (permit === State.unwatched) return undefined
    const before = state.phase
    const verdict = verdictOf(verdicts, outcome)
    const asked =
      outcome._tag === "Failure" && outcome.retryAfter !== undefined ? Duration.toMillis(outcome.retryAfter) : 0
    const settled = State.settle(state, permit, verdict, asked, nowMillis, durationMillis)
    if (settled === "late") late++
    else if (settled === "ignored") uncounted++
    else if (verdict === "failure") failed++
    else succeeded++
    if (state.phase !== known) tellPhase()
    return state.phase === before ? undefined : state.phase
  }

  const byHand = (change: (state: State.CircuitState, nowMillis: number) => void): Effect.Effect<void> =>
    Effect.map(Clock.Clock, (clock) => {
      change(state, Deadline.nowMillisUnsafe(clock))
      tellPhase()
    })

  const breaker: CircuitBreaker = {
    mode,
    run: (self, given) => {
      checkEffect("CircuitBreaker", self)
      return mode === "off" ? self : guarded(breaker, self, given?.classify)
    },
    admit,
    settle,
    hasRoom: (nowMillis) => mode !== "enforce" || State.hasRoom(state, nowMillis),
    events,
    forceOpen: byHand(State.forceOpen),
    forceClosed: byHand(State.forceClosed),
    reset: byHand((state, nowMillis) => {
      State.reset(state, nowMillis)
      notePhase()
      if (isHeard()) emit({ _tag: "Reset" })
    }),
    snapshot: Effect.map(Clock.Clock, (clock) => {
      const look = State.look(state, Deadline.nowMillisUnsafe(clock))
      return {
        state: look.phase,
        entered: { ...entered },
        share: look.share,
        openTimeLeft: Duration.millis(look.openMillisLeft),
        consecutiveOpenings: look.openings,
        consecutiveFailures: look.streak,
        windows: look.windows.map(({ counts, rule }) => windowSnapshot(rule, counts)),
        probesOut: look.probesOut,
        probeSuccesses: look.probeSuccesses,
        admitted,
        refused,
        succeeded,
        failed,
        ignored: uncounted,
        late
      }
    })
  }
  held.set(breaker, state)
  return breaker
}

const windowSnapshot = (rule: State.Rule, counts: Windows.Counts): WindowSnapshot => {
  const calls = Windows.totalOf(counts)
  const hasRates = rule._tag !== "ConsecutiveFailures" && calls >= rule.minimumCalls
  return {
    window: Detail.windowName(rule),
    calls,
    ...counts,
    failureRate: hasRates ? Windows.failedOf(counts) / calls : undefined,
    slowCallRate: hasRates ? Windows.slowOf(counts) / calls : undefined
  }
}

/**
 * Runs an effect through a circuit breaker: fails with `CircuitOpen`, without running it, while the circuit refuses.
 *
 * `classify` says how the effect's exit is judged. By default a success is one, a typed failure and a defect are
 * transient failures, a limit of time (`Reason.TimeReason`) is a `timeout`, and a refusal by another policy
 * (`Reason.PolicyReason`) is `refused`. An interruption is always ignored, and `classify` is not asked.
 *
 * ```ts
 * import { Effect, Exit } from "effect"
 * import { CircuitBreaker, Outcome } from "holdfast"
 *
 * const breaker = CircuitBreaker.make({ trip: [CircuitBreaker.consecutiveFailures(1)] })
 * const lookup = Effect.fail("no such row").pipe(
 *   CircuitBreaker.run(breaker, {
 *     classify: (exit) => Exit.isSuccess(exit) ? Outcome.success : Outcome.failure({ cause: "permanent" })
 *   }),
 *   Effect.flip
 * )
 *
 * await Effect.runPromise(lookup)
 * console.log((await Effect.runPromise(breaker.snapshot)).state) // => Closed
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: {
  <A = unknown, E = unknown>(
    breaker: CircuitBreaker,
    options?: RunOptions<A, E>
  ): <A1 extends A, E1 extends E, R>(self: Effect.Effect<A1, E1, R>) => Effect.Effect<A1, E1 | CircuitOpen, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    breaker: CircuitBreaker,
    options?: RunOptions<A, E>
  ): Effect.Effect<A, E | CircuitOpen, R>
} = dual(
  dataFirst("CircuitBreaker.run"),
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    breaker: CircuitBreaker,
    options?: RunOptions<A, E>
  ): Effect.Effect<A, E | CircuitOpen, R> => breaker.run(self, options)
)

const guarded = <A, E, R>(
  breaker: CircuitBreaker,
  self: Effect.Effect<A, E, R>,
  classify: ((exit: Exit.Exit<A, E>) => Outcome) | undefined
): Effect.Effect<A, E | CircuitOpen, R> =>
  Effect.suspend(() => {
    let held: Permit | undefined
    let clock: Clock.Clock
    let startedAt = 0
    return Effect.onExitPrimitive(
      Effect.withFiber((fiber): Effect.Effect<A, E | CircuitOpen, R> => {
        clock = fiber.getRef(Clock.Clock)
        startedAt = Deadline.nowMillisUnsafe(clock)
        const admitted = breaker.admit(startedAt, fiber)
        if (admitted._tag === "CircuitOpen") return Effect.fail(admitted)
        held = admitted
        return self
      }),
      (exit) => {
        if (held === undefined) return undefined
        const nowMillis = Deadline.nowMillisUnsafe(clock)
        let outcome = ignored
        try {
          // a permit is held, so this is how `self` ended, and its failures are not the refusal's
          outcome = outcomeOf("CircuitBreaker", exit as Exit.Exit<A, E>, classify)
        } finally {
          // a `classify` that throws is a bug of its author, and dies as one, but keeps no probe's place
          breaker.settle(held, outcome, nowMillis, nowMillis - startedAt)
        }
        return undefined
      }
    )
  })

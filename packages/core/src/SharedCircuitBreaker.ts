/**
 * A circuit breaker whose state processes share, through the stores of Effect's own `CircuitBreaker`: one process finds out
 * that an upstream is down, and all of them stop calling it.
 *
 * **When to use**: many small processes that each make too few calls to judge an upstream by themselves: functions, jobs,
 * workers. The store is `CircuitBreaker.layerStoreRedis` of `effect/persistence`; `layerStoreMemory` is there for tests.
 *
 * **What it is not**: the default. It costs two round trips to the store a call, and one process with a broken network opens
 * the circuit of all. Where a process sees enough calls of its own, `CircuitBreaker` in memory is faster and fails alone.
 *
 * **Gotchas**
 *
 * - The store decides, so the circuit is as simple as the store: one rule, failures in a row or a count window, and one probe, which
 *   closes the circuit or opens it again. No time window, slow calls, success threshold or ramp.
 * - The store is told that a call failed, and not when it began: calls in flight together that fail together count each by itself. Where
 *   bursts are usual (a proxy that restarts), ask for more failures than there are calls in flight.
 * - Its probe's lease is the store's: 10 s in Redis unless `layerStoreRedis({ probeLease })` says otherwise.
 * - All that share a key must have the same options; nothing checks it.
 * - When the store cannot be reached, calls go through and are not counted (`onStoreError`).
 * - Give a Redis client `disableOfflineQueue: true`: without it commands wait for the store to come back, each call costs the
 *   whole `storeTimeout`, and late commands are still sent.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { CircuitBreaker as Store } from "effect/persistence"
 * import { CircuitBreaker } from "holdfast"
 * import { SharedCircuitBreaker } from "holdfast/shared"
 *
 * const program = Effect.gen(function* () {
 *   const breaker = yield* SharedCircuitBreaker.make({
 *     trip: [CircuitBreaker.consecutiveFailures(1)],
 *     openTime: "30 seconds"
 *   })
 *   const call = Effect.fail("unavailable").pipe(SharedCircuitBreaker.run(breaker, { key: "payments" }), Effect.flip)
 *   console.log(yield* call) // => unavailable
 *   const refused = yield* call
 *   console.log(typeof refused === "string" ? refused : refused._tag) // => CircuitOpen
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(Store.layerStoreMemory())))
 * ```
 *
 * @since 0.1.0
 */

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
// the one module that touches its circuit breaker: nothing of `effect/persistence` is stable yet
import * as Store from "effect/persistence/CircuitBreaker"
import * as CircuitBreaker from "./CircuitBreaker.ts"
import { type Verdicts, verdictOf } from "./internal/circuit/circuitVerdict.ts"
import { dataFirst } from "./internal/options/given.ts"
import { outcomeOf } from "./internal/outcome/exitOutcome.ts"
import { rangesOf } from "./internal/options/inRange.ts"
import { makeStoreAccess, StoreUnavailable } from "./internal/limits/storeAccess.ts"
import { usualRates } from "./internal/circuit/usualRates.ts"
import type { Mode } from "./Mode.ts"
import type { FailureCause, Outcome } from "./Outcome.ts"
import * as PolicyEvents from "./PolicyEvents.ts"
import { CircuitOpen } from "./Reason.ts"
import { stackless } from "./Stackless.ts"
import * as Time from "./Time.ts"

/**
 * When a shared circuit opens, and for how long.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The rule that opens a circuit, as a list like that of `CircuitBreaker`: `CircuitBreaker.consecutiveFailures` or
   * `CircuitBreaker.countWindow`. The list has one: a store counts the calls of a key by one rule. Default: 10 failures in a row.
   */
  readonly trip?: ReadonlyArray<CircuitBreaker.TripRule> | undefined
  /**
   * How long a circuit stays open: a time, or a function of how many times it has opened in a row (1 for the first). Default:
   * 1 s.
   */
  readonly openTime?: Time.Input | ((consecutiveOpenings: number) => Time.Input) | undefined
  /** The longest open time, also beyond `openTime` and a wait that the server asks for. Default 5 min. */
  readonly maxOpenTime?: Time.Input | undefined
  /** How a failure counts, by its cause. Defaults as in `CircuitBreaker`. */
  readonly counts?: { readonly [C in FailureCause]?: CircuitBreaker.Verdict } | undefined
  /**
   * The longest that the store may take to answer; beyond it, it cannot be reached. A caller waits no longer than its deadline allows,
   * and a store that failed is not asked for 5 s. Default 250 ms.
   */
  readonly storeTimeout?: Time.Input | undefined
  /**
   * How a call goes on when the store cannot say whether it may be made: `allow` (it is made, and not counted) or `refuse`.
   * Default `allow`: the circuit breaker must not take the service down.
   */
  readonly onStoreError?: "allow" | "refuse" | undefined
  /** Default `enforce`. In `observe` the store decides and counts as it would, and every call goes through. */
  readonly mode?: Mode | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  trip: [CircuitBreaker.consecutiveFailures(10)],
  openTime: CircuitBreaker.defaults.openTime,
  maxOpenTime: CircuitBreaker.defaults.maxOpenTime,
  counts: CircuitBreaker.defaults.counts,
  storeTimeout: Duration.millis(250),
  onStoreError: "allow",
  mode: "enforce"
} as const satisfies Options

/**
 * The state of a shared circuit at one instant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** `Open` until the first call after the open time makes it `HalfOpen`. */
  readonly state: "Closed" | "Open" | "HalfOpen"
  /** The rest of the open time; zero when it is not open. */
  readonly openTimeLeft: Duration.Duration
  /** Openings in a row; 0 when it is closed, where the store does not say. */
  readonly consecutiveOpenings: number
  /** Probes that are out: 0 or 1. */
  readonly probesOut: number
}

/**
 * The effects of this process's calls on a shared circuit. Those of other processes are seen by them only.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | {
      readonly _tag: "Opened"
      readonly key: string
      readonly from: "Closed" | "HalfOpen"
      readonly openTime: Duration.Duration
      readonly consecutiveOpenings: number
    }
  | { readonly _tag: "HalfOpened"; readonly key: string }
  | { readonly _tag: "Closed"; readonly key: string }
  /** `enforced` is false in `observe`, where the call went through all the same. */
  | { readonly _tag: "Refused"; readonly key: string; readonly reason: CircuitOpen; readonly enforced: boolean }
  /** The store could not be reached, to ask whether a call may be made or to report its outcome. */
  | {
      readonly _tag: "StoreFailed"
      readonly key: string
      readonly during: "admit" | "record"
      readonly message: string
    }

/**
 * Facts about one call.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions<in A, in E> extends CircuitBreaker.RunOptions<A, E> {
  /** The circuit of the call. */
  readonly key: string
}

/**
 * A circuit breaker whose state is in a store, one circuit a key.
 *
 * @category models
 * @since 0.1.0
 */
export interface SharedCircuitBreaker {
  readonly mode: Mode
  /** Runs an effect through the circuit of a key, or fails with `CircuitOpen` without running it. */
  readonly run: <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options: RunOptions<A, E>
  ) => Effect.Effect<A, E | CircuitOpen, R>
  /** The record of a key in the store. Reading it changes nothing. */
  readonly snapshot: (key: string) => Effect.Effect<Snapshot, Store.CircuitBreakerError>
  readonly events: PolicyEvents.PolicyEvents<Event>
}

/** The same rules, in the same words, as for a circuit in memory. */
const checked = (options: CircuitBreaker.Options): void => {
  try {
    CircuitBreaker.make(options)
  } catch (error) {
    throw error instanceof RangeError
      ? new RangeError(error.message.replace("CircuitBreaker", "SharedCircuitBreaker"))
      : error
  }
}

const tripPolicyOf = (rules: ReadonlyArray<CircuitBreaker.TripRule>): Store.TripPolicy => {
  const [rule] = rules
  if (rule === undefined || rules.length > 1) {
    throw new RangeError(
      `SharedCircuitBreaker: trip must have exactly one rule, since a store counts by one, got ${rules.length}`
    )
  }
  if (rule._tag === "TimeWindow") {
    throw new RangeError("SharedCircuitBreaker: trip must be consecutiveFailures or countWindow, got timeWindow")
  }
  if (rule._tag === "CountWindow" && rule.slowCallRate !== undefined) {
    throw new RangeError(
      `SharedCircuitBreaker: slowCallRate must be left out, since the store counts no slow calls, got ${rule.slowCallRate}`
    )
  }
  checked({ trip: [rule] })
  return rule._tag === "ConsecutiveFailures"
    ? Store.consecutive(rule.failures)
    : Store.rate({
        threshold: rule.failureRate ?? usualRates.failureRate,
        size: rule.size,
        minimumCalls: rule.minimumCalls ?? Math.min(usualRates.minimumCalls, rule.size)
      })
}

const { notNegative } = rangesOf("SharedCircuitBreaker")

/**
 * Makes a shared circuit breaker on the `CircuitBreakerStore` in the context. Dies with a `RangeError` that says which option
 * is wrong.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<SharedCircuitBreaker, never, Store.CircuitBreakerStore | Scope.Scope> {
  const trip = options.trip ?? defaults.trip
  const openTime = options.openTime ?? defaults.openTime
  const maxOpenTime = Time.of("SharedCircuitBreaker: maxOpenTime", options.maxOpenTime ?? defaults.maxOpenTime)
  const tripPolicy = tripPolicyOf(trip)
  checked({ openTime, maxOpenTime })
  const access = makeStoreAccess<Store.CircuitBreakerError>({
    name: "SharedCircuitBreaker",
    storeTimeoutMillis: notNegative("storeTimeout", options.storeTimeout ?? defaults.storeTimeout),
    // an open circuit is an answer too
    failure: ({ reason }) => (reason._tag === "CircuitBreakerStoreError" ? reason.message : undefined)
  })
  const store = yield* Store.CircuitBreakerStore
  const { emit, events, isHeard } = PolicyEvents.make<Event>()

  const told = (transition: Store.Transition | undefined): void => {
    if (transition === undefined || !isHeard()) return
    const { key } = transition
    if (transition.to === "HalfOpen") emit({ _tag: "HalfOpened", key })
    else if (transition.to === "Closed") emit({ _tag: "Closed", key })
    else {
      const { consecutiveOpenings, from, retryAfter } = transition
      emit({ _tag: "Opened", key, from, openTime: retryAfter, consecutiveOpenings })
    }
  }
  const onFailed = (key: string, during: "admit" | "record" | "read") => (message: string) => {
    if (isHeard() && during !== "read") emit({ _tag: "StoreFailed", key, during, message })
  }
  /** The place of a caller that left before it had it. */
  const freed = (key: string, { generation }: Store.Admission): Effect.Effect<unknown, Store.CircuitBreakerError> =>
    store.record({ key, generation, outcome: "Ignored", tripPolicy, openFor: Duration.zero })
  const admit = (key: string): Effect.Effect<Store.Admission, Store.CircuitBreakerError, Scope.Scope> =>
    Effect.flatMap(Effect.scope, (ofCall) => {
      // of its own, since it may be opened when the call's is closed
      const ofPlace = Scope.makeUnsafe()
      return access
        .ask<Store.Admission, Store.CircuitBreakerError, never>({
          effect: Effect.tap(Scope.provide(store.admit(key), ofPlace), ({ transition }) =>
            Effect.sync(() => told(transition))
          ),
          unwanted: (admission) => Effect.andThen(Scope.close(ofPlace, Exit.void), freed(key, admission)),
          onFailed: onFailed(key, "admit")
        })
        .pipe(
          Effect.tap(() => Scope.addFinalizerExit(ofCall, (exit) => Scope.close(ofPlace, exit))),
          Effect.mapError(storeError)
        )
    })
  // the wrapper around the store is told on the spot; `transitions` would come late, and through a fiber
  const observed = Store.CircuitBreakerStore.of({
    admit,
    record: (report) =>
      access
        .ask({
          effect: Effect.tap(store.record(report), (transition) => Effect.sync(() => told(transition))),
          unwanted: () => Effect.void,
          onFailed: onFailed(report.key, "record")
        })
        // the call has its answer, and Effect's breaker would log each time
        .pipe(Effect.orElseSucceed(() => undefined)),
    state: (key) =>
      Effect.mapError(
        access.ask({ effect: store.state(key), unwanted: () => Effect.void, onFailed: onFailed(key, "read") }),
        storeError
      )
  })
  const breaker = yield* Store.make({
    tripPolicy,
    openDuration:
      typeof openTime === "function"
        ? scheduleOf(openTime, maxOpenTime)
        : Time.of("SharedCircuitBreaker: openTime", openTime),
    maxOpenDuration: maxOpenTime,
    // the call's outcome is decided below, without a line in the log for each
    onStoreError: "fail"
  }).pipe(Effect.provideService(Store.CircuitBreakerStore, observed))
  const isAllowed = (options.onStoreError ?? defaults.onStoreError) === "allow"
  const mode = options.mode ?? defaults.mode
  const counts: Verdicts = { ...defaults.counts, ...options.counts }
  const guarded: SharedCircuitBreaker["run"] = (self, { classify, key }) =>
    Effect.suspend(() => {
      let started = false
      const call = Effect.suspend(() => {
        started = true
        return self
      })
      const refused = (reason: Store.CircuitBreakerErrorReason) => {
        if (isAllowed && reason._tag === "CircuitBreakerStoreError") return self
        const refusal = refusalOf(key, reason)
        if (isHeard()) emit({ _tag: "Refused", key, reason: refusal, enforced: mode === "enforce" })
        return mode === "enforce" ? Effect.fail(refusal) : self
      }
      return breaker
        .execute(call, { key, classify: (exit) => toStore(counts, outcomeOf("SharedCircuitBreaker", exit, classify)) })
        .pipe(refusedBefore(() => started, refused))
    })
  const run: SharedCircuitBreaker["run"] = mode === "off" ? (self) => self : guarded
  return { mode, run, snapshot: (key) => Effect.map(breaker.state(key), snapshotOf), events }
})

/**
 * Catches the breaker's own error. Once the call has started every failure is the call's, that of another breaker of Effect's
 * inside it included.
 */
const refusedBefore =
  <A, E, R>(
    hasStarted: () => boolean,
    refused: (reason: Store.CircuitBreakerErrorReason) => Effect.Effect<A, E | CircuitOpen, R>
  ) =>
  (self: Effect.Effect<A, E | Store.CircuitBreakerError, R>): Effect.Effect<A, E | CircuitOpen, R> =>
    Effect.catchIf(
      self,
      () => !hasStarted(),
      (error) => (error instanceof Store.CircuitBreakerError ? refused(error.reason) : Effect.fail(error))
      // the type cannot know that an error that is not caught is the call's
    ) as Effect.Effect<A, E | CircuitOpen, R>

const storeError = (error: Store.CircuitBreakerError | StoreUnavailable): Store.CircuitBreakerError =>
  error instanceof StoreUnavailable
    ? new Store.CircuitBreakerError({ reason: new Store.CircuitBreakerStoreError({ message: error.message }) })
    : error

/** The n-th delay of the schedule is the n-th open time; Effect's breaker steps it with the number of the opening. */
const scheduleOf = (
  openTime: (consecutiveOpenings: number) => Time.Input,
  maxOpenTime: Duration.Duration
): Schedule.Schedule<unknown, number> =>
  Schedule.forever.pipe(
    Schedule.setInputType<number>(),
    Schedule.modifyDelay(({ input }) =>
      Effect.sync(() => Duration.min(Time.of("SharedCircuitBreaker: openTime", openTime(input)), maxOpenTime))
    )
  )

const snapshotOf = (state: Store.State): Snapshot => ({
  state: state._tag,
  openTimeLeft: state._tag === "Open" ? state.retryAfter : Duration.zero,
  consecutiveOpenings: state._tag === "Closed" ? 0 : state.consecutiveOpenings,
  probesOut: state._tag === "HalfOpen" && state.probing ? 1 : 0
})

/** The store does not say when the probe comes back; it takes as long as a call does. */
const halfOpenWait = Duration.seconds(1)

const refusalOf = (key: string, reason: Store.CircuitBreakerErrorReason): CircuitOpen =>
  stackless(() => {
    switch (reason._tag) {
      case "CircuitOpen":
        return new CircuitOpen({
          // never zero: the store rounds to whole milliseconds, and a caller that comes back at once is refused again
          retryAfter: Duration.max(reason.retryAfter, Duration.millis(1)),
          detail: `the shared circuit ${key} is open`
        })
      case "CircuitHalfOpen":
        return new CircuitOpen({
          retryAfter: halfOpenWait,
          detail: `the shared circuit ${key} is half-open, and its probe is out`
        })
      case "CircuitBreakerStoreError":
        return new CircuitOpen({
          retryAfter: halfOpenWait,
          detail: `the store of the shared circuit ${key} cannot be reached: ${reason.message}`
        })
    }
  })

/**
 * Runs an effect through the circuit of a key: fails with `CircuitOpen`, without running it, while the circuit refuses.
 * `classify` is as in `CircuitBreaker.run`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: {
  <A = unknown, E = unknown>(
    breaker: SharedCircuitBreaker,
    options: RunOptions<A, E>
  ): <A1 extends A, E1 extends E, R>(self: Effect.Effect<A1, E1, R>) => Effect.Effect<A1, E1 | CircuitOpen, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    breaker: SharedCircuitBreaker,
    options: RunOptions<A, E>
  ): Effect.Effect<A, E | CircuitOpen, R>
} = dual(
  dataFirst("SharedCircuitBreaker.run"),
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    breaker: SharedCircuitBreaker,
    options: RunOptions<A, E>
  ): Effect.Effect<A, E | CircuitOpen, R> => breaker.run(self, options)
)

const toStore = (counts: Verdicts, outcome: Outcome): Store.Outcome => {
  switch (verdictOf(counts, outcome)) {
    case "success":
      return Store.success
    case "ignored":
      return Store.ignored
    case "failure":
      return Store.failure(outcome._tag === "Failure" ? { retryAfter: outcome.retryAfter } : {})
  }
}

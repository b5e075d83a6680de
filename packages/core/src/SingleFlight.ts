/**
 * Lets concurrent equal calls share one run: the first starts it, later ones wait for the same answer while it lasts, and
 * when it has ended nothing is kept.
 *
 * **When to use**: in front of a read that many ask for at the same moment: a cache's misses, a token's refresh, a
 * configuration at start.
 *
 * **What it is not**: a cache. A call after the end starts anew, after a failure too. Nor a limit on how many different
 * calls run; that is a bulkhead.
 *
 * **Gotchas**: equal keys must mean equal effects, with the same credentials, the same rights and the same criticality: a
 * policy inside of the run asks for the first caller's. The answer is one object for
 * all callers: do not change it. The run has the *first* caller's context (its span, its services, but not its deadline); an
 * effect that needs a `Scope` would get a scope that may close before the run ends, so close yours inside. Keys are compared
 * as a `Map` does: use a string.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { SingleFlight } from "holdfast"
 *
 * let runs = 0
 * const flights = SingleFlight.make<string, number>()
 * const answer = Effect.delay(Effect.sync(() => ++runs && 42), "5 millis").pipe(SingleFlight.run(flights, { key: "the answer" }))
 *
 * console.log(await Effect.runPromise(Effect.all([answer, answer, answer], { concurrency: "unbounded" }))) // => [ 42, 42, 42 ]
 * console.log(runs) // => 1
 * ```
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Result from "effect/Result"
import { CallError } from "./CallError.ts"
import * as Deadline from "./Deadline.ts"
import { checkEffect, checkOptions, dataFirst } from "./internal/options/given.ts"
import * as State from "./internal/limits/singleFlightState.ts"
import { startTimer } from "./internal/time/timer.ts"
import type { Mode } from "./Mode.ts"
import * as PolicyEvents from "./PolicyEvents.ts"
import { BulkheadFull, DeadlineExceeded, PolicyReason, PoolExhausted } from "./Reason.ts"
import { stackless } from "./Stackless.ts"

/**
 * How to share.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Callers that may wait for one run, the first included; one more is refused. At least 1; default: no bound. */
  readonly maxCallers?: number | undefined
  /** `observe` counts and reports the calls that would be shared, and runs every call by itself. Default `enforce`. */
  readonly mode?: Mode | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  maxCallers: Infinity,
  mode: "enforce"
} as const satisfies Options

/**
 * Facts about one call.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions<out K> {
  /** Calls with the same key share a run. */
  readonly key: K
  /**
   * Hears that the call waits for the run of another, and gets the services which that run has: its span, for one. It is called
   * on the spot, and must not throw.
   */
  readonly onJoined?: ((run: Context.Context<never>) => void) | undefined
  /**
   * When a call that waits for the run of another gives up. The tighter of it and the ambient `Deadline.Current` counts; a call that
   * starts the run has the ambient one alone, and its run bounds itself.
   */
  readonly joinedDeadline?: Deadline.Deadline | undefined
}

/**
 * How a shared run ended: `interrupted` when its last caller left before its end, or when it interrupted itself.
 *
 * @category models
 * @since 0.1.0
 */
export type End = "success" | "failure" | "interrupted"

/**
 * An event of a single flight.
 *
 * - `RunStarted`: a call had nobody to join
 * - `CallerJoined`: a call waits for a run that is under way; `callers` do now
 * - `CallerRefused`: `maxCallers` wait already
 * - `RunEnded`: with `callers` that got its answer
 *
 * @category models
 * @since 0.1.0
 */
export type Event<K> =
  | { readonly _tag: "RunStarted"; readonly key: K }
  | { readonly _tag: "CallerJoined"; readonly key: K; readonly callers: number }
  | { readonly _tag: "CallerRefused"; readonly key: K; readonly callers: number }
  | { readonly _tag: "RunEnded"; readonly key: K; readonly callers: number; readonly end: End }

/**
 * The state of a single flight at one instant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** Runs in flight. */
  readonly inFlight: number
  /** Callers that wait for them. */
  readonly waiting: number
  /** Runs started since it was made. */
  readonly runs: number
  /** Calls that joined a run of another; in `observe`, that would have. */
  readonly joined: number
  /** Runs that their last caller left. */
  readonly abandoned: number
  /** Calls refused. */
  readonly refused: number
}

/**
 * Runs in flight that calls may join.
 *
 * @category models
 * @since 0.1.0
 */
export interface SingleFlight<in out K, in out A, in out E> {
  readonly mode: Mode
  /**
   * Waits for the run with this key, and starts it when there is none.
   *
   * Every caller gets the run's exit, but for one: a run that this side refused (a full bulkhead, an open circuit), or whose own time was
   * over, says nothing of the callers that joined it. They have other rights and more time, so they start anew. A caller that is
   * interrupted leaves, and hurts nobody; the last one to leave interrupts the run and waits for its finalizers. The run has no deadline:
   * each caller waits within its own, and fails with `DeadlineExceeded` when that passes. Fails with `BulkheadFull` when `maxCallers` wait
   * already.
   *
   * A call from inside the run with the same key would wait for itself; it is run by itself instead.
   */
  readonly run: <R>(
    self: Effect.Effect<A, E, R>,
    options: RunOptions<K>
  ) => Effect.Effect<A, E | DeadlineExceeded | BulkheadFull, R>
  /** The runs in flight now. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
  readonly events: PolicyEvents.PolicyEvents<Event<K>>
}

/** A run, and the callers that wait for it. */
interface Flight<A, E> extends State.Flight {
  /** Whether the caller that came first was counted. */
  isStarted: boolean
  fiber: Fiber.Fiber<A, E> | undefined
  /** The context that the run was started with. */
  context: Context.Context<never>
  /** In the order in which they came. */
  readonly listeners: Set<(exit: Exit.Exit<A, E>) => void>
}

/** The runs that a fiber is part of, from the inside out. */
interface Inside {
  readonly flight: unknown
  readonly outer: Inside | undefined
}

const InsideRun = Context.Reference<Inside | undefined>("@holdfast/core/SingleFlight/InsideRun", {
  defaultValue: () => undefined
})

const isInside = (flight: unknown, inside: Inside | undefined): boolean => {
  for (let at = inside; at !== undefined; at = at.outer) if (at.flight === flight) return true
  return false
}

const tighter = (
  one: Deadline.Deadline | undefined,
  other: Deadline.Deadline | undefined
): Deadline.Deadline | undefined =>
  one === undefined || (other !== undefined && other.atMillis < one.atMillis) ? other : one

/** Whether a run ended because of its first caller alone: of its priority, its wait, its time. */
const isOfFirstAlone = (exit: Exit.Exit<unknown, unknown>): boolean => {
  if (exit._tag === "Success") return false
  const found = Cause.findError(exit.cause)
  if (Result.isFailure(found)) return false
  const reason = found.success instanceof CallError ? found.success.reason : found.success
  return ofFirstAlone.some((kind) => reason instanceof kind)
}

const ofFirstAlone: ReadonlyArray<new (...arguments_: never) => unknown> = [
  ...PolicyReason.members,
  PoolExhausted,
  DeadlineExceeded
]

const endOf = (exit: Exit.Exit<unknown, unknown>): End => {
  if (exit._tag === "Success") return "success"
  return Cause.hasInterrupts(exit.cause) ? "interrupted" : "failure"
}

/** The state of single flights, for one that follows another; the types are those of the one that it is asked with. */
const held = new WeakMap<object, unknown>()

/**
 * Makes a single flight for calls with keys `K` that give an `A` or fail with an `E`. Throws a `RangeError` that names the
 * option which is out of range.
 * With a `living` one of the same mode, the runs in flight are those of both.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <K, A, E = never>(options: Options = {}, living?: SingleFlight<K, A, E>): SingleFlight<K, A, E> => {
  checkOptions("SingleFlight.make", options, "{ maxCallers: 100 }")
  const maxCallers = options.maxCallers ?? defaults.maxCallers
  if (!(maxCallers >= 1 && (Number.isInteger(maxCallers) || maxCallers === Infinity))) {
    throw new RangeError(`SingleFlight: maxCallers must be a whole number of at least 1, got ${maxCallers}`)
  }
  const mode = options.mode ?? defaults.mode
  const { emit, events, isHeard } = PolicyEvents.make<Event<K>>()
  const bound = mode === "observe" ? Infinity : maxCallers
  // a flight that is only watched has no run that others could wait for
  const before =
    living?.mode === mode ? (held.get(living) as State.SingleFlightState<K, Flight<A, E>> | undefined) : undefined
  const state = before ?? State.makeSingleFlightState<K, Flight<A, E>>(bound)
  state.maxCallers = bound
  const counts = { runs: 0, joined: 0, abandoned: 0, refused: 0 }

  const makeFlight = (): Flight<A, E> => ({
    callers: 0,
    isOver: false,
    isStarted: false,
    fiber: undefined,
    context: Context.empty(),
    listeners: new Set()
  })

  const tellStarted = (key: K, flight: Flight<A, E>): void => {
    flight.isStarted = true
    counts.runs++
    if (isHeard()) emit({ _tag: "RunStarted", key })
  }

  const tellJoined = (key: K, flight: Flight<A, E>): void => {
    counts.joined++
    if (isHeard()) emit({ _tag: "CallerJoined", key, callers: flight.callers })
  }

  const refuse = (key: K): BulkheadFull => {
    counts.refused++
    if (isHeard()) emit({ _tag: "CallerRefused", key, callers: maxCallers })
    const detail = `${maxCallers} ${maxCallers === 1 ? "caller waits" : "callers wait"} for the same run already`
    return stackless(() => new BulkheadFull({ detail }))
  }

  const start = <R>(
    caller: Fiber.Fiber<unknown, unknown>,
    key: K,
    flight: Flight<A, E>,
    self: Effect.Effect<A, E, R>
  ) => {
    const inside: Inside = { flight, outer: caller.getRef(InsideRun) }
    // the caller holds the services that `self` requires, or `run` could not have been run in its place
    let context = Context.add(caller.context as Context.Context<R>, InsideRun, inside)
    if (caller.getRef(Deadline.Current) !== undefined) context = Context.add(context, Deadline.Current, undefined)
    flight.context = context
    tellStarted(key, flight)
    const fiber = Effect.runForkWith(context)(self)
    flight.fiber = fiber
    fiber.addObserver((exit) => {
      // one that was abandoned has told so already
      if (flight.isOver) return
      State.over(state, key, flight)
      if (isHeard()) emit({ _tag: "RunEnded", key, callers: flight.callers, end: endOf(exit) })
      for (const listener of flight.listeners) listener(exit)
    })
  }

  /** The caller leaves; the last one ends the run, and waits for that. */
  const leave = (key: K, flight: Flight<A, E>): Effect.Effect<void> | undefined => {
    if (!State.leave(state, key, flight)) return undefined
    counts.abandoned++
    if (isHeard()) emit({ _tag: "RunEnded", key, callers: 0, end: "interrupted" })
    return flight.fiber === undefined ? undefined : Fiber.interrupt(flight.fiber)
  }

  const shared = <R>(
    caller: Fiber.Fiber<unknown, unknown>,
    key: K,
    self: Effect.Effect<A, E, R>,
    options: RunOptions<K>
  ): Effect.Effect<A, E | DeadlineExceeded | BulkheadFull, R> => {
    const running = state.flights.get(key)
    if (running !== undefined && isInside(running, caller.getRef(InsideRun))) return self
    const nowMillis = Deadline.nowMillisUnsafe(caller.getRef(Clock.Clock))
    const ambient = caller.getRef(Deadline.Current)
    const deadline = running === undefined ? ambient : tighter(ambient, options.joinedDeadline)
    const remainingMillis = deadline === undefined ? Infinity : deadline.atMillis - nowMillis
    const exceeded = () =>
      stackless(() => new DeadlineExceeded({ budget: Duration.millis(deadline?.budgetMillis ?? 0) }))
    if (remainingMillis <= 0) return Effect.fail(exceeded())
    let joined: Flight<A, E> | undefined
    let listener: ((exit: Exit.Exit<A, E>) => void) | undefined
    let cancel: (() => void) | undefined
    // the place is taken inside of the effect that gives it back, so that an interruption between two steps cannot lose it
    return Effect.onExitPrimitive(
      Effect.callback<A, E | DeadlineExceeded | BulkheadFull, R>((resume) => {
        const flight = State.join(state, key, makeFlight)
        if (flight === "full") return resume(Effect.fail(refuse(key)))
        joined = flight
        const isFirst = !flight.isStarted
        listener = (exit) => {
          if (isFirst || !isOfFirstAlone(exit)) return resume(exit)
          // the next caller starts the next run; each time one caller less is left, so that this has an end
          cancel?.()
          joined = undefined
          resume(Effect.suspend(() => shared(caller, key, self, options)))
        }
        flight.listeners.add(listener)
        if (isFirst) start(caller, key, flight, self)
        else {
          tellJoined(key, flight)
          options.onJoined?.(flight.context)
        }
        if (remainingMillis !== Infinity && !flight.isOver) {
          cancel = startTimer(caller, remainingMillis, () => resume(Effect.fail(exceeded())))
        }
      }),
      () => {
        cancel?.()
        if (joined === undefined) return undefined
        if (listener !== undefined) joined.listeners.delete(listener)
        return leave(key, joined)
      }
    )
  }

  const observed = <R>(key: K, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    let joined: Flight<A, E> | undefined
    return Effect.onExitPrimitive(
      Effect.suspend(() => {
        const flight = State.join(state, key, makeFlight)
        if (flight === "full") return self
        joined = flight
        if (flight.isStarted) tellJoined(key, flight)
        else tellStarted(key, flight)
        return self
      }),
      (exit) => {
        if (joined === undefined || !State.leave(state, key, joined)) return undefined
        const end = endOf(exit)
        if (end === "interrupted") counts.abandoned++
        if (isHeard()) emit({ _tag: "RunEnded", key, callers: end === "interrupted" ? 0 : 1, end })
        return undefined
      }
    )
  }

  const flights: SingleFlight<K, A, E> = {
    mode,
    run: (self, given) => {
      checkEffect("SingleFlight", self)
      checkOptions("SingleFlight.run", given, '{ key: "7" }')
      if (mode === "off") return self
      return mode === "observe"
        ? Effect.suspend(() => observed(given.key, self))
        : Effect.withFiber((caller) => shared(caller, given.key, self, given))
    },
    snapshot: Effect.sync(() => ({ inFlight: state.flights.size, waiting: State.waiting(state), ...counts })),
    events
  }
  held.set(flights, state)
  return flights
}

/**
 * Waits for the run with this key, and starts it when there is none: see {@link SingleFlight.run}.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { SingleFlight } from "holdfast"
 *
 * const flights = SingleFlight.make<string, string>()
 * const user = (id: string) => Effect.succeed(`user ${id}`).pipe(SingleFlight.run(flights, { key: id }))
 *
 * console.log(await Effect.runPromise(user("1"))) // => user 1
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: {
  <K, A, E>(
    flights: SingleFlight<K, A, E>,
    options: RunOptions<K>
  ): <R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | DeadlineExceeded | BulkheadFull, R>
  <K, A, E, R>(
    self: Effect.Effect<A, E, R>,
    flights: SingleFlight<K, A, E>,
    options: RunOptions<K>
  ): Effect.Effect<A, E | DeadlineExceeded | BulkheadFull, R>
} = dual(
  dataFirst("SingleFlight.run"),
  <K, A, E, R>(
    self: Effect.Effect<A, E, R>,
    flights: SingleFlight<K, A, E>,
    options: RunOptions<K>
  ): Effect.Effect<A, E | DeadlineExceeded | BulkheadFull, R> => flights.run(self, options)
)

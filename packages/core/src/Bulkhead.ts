/**
 * Bounds how many calls run at once, and how many wait for their turn, and for how long. Any call beyond that is refused
 * at once, so that one slow upstream cannot take every fiber, socket and byte of memory of the process with it.
 *
 * **When to use**: around everything that shares a resource which can be exhausted: an upstream, a connection pool, a CPU.
 * One bulkhead for each, so that they fail apart from each other: that is where the name comes from.
 *
 * **What it is not**: a rate limit (fast calls pass a bulkhead at any rate), nor adaptive: it knows only the number that it
 * is given. A `Semaphore` has no bound on waiting calls, and no refusal.
 *
 * How many? By Little's law, calls in flight are the rate times the latency: 100 calls a second of 50 ms are 5 in flight. Take
 * the highest rate, the latency at its p99, and a little more. The queue is for bursts shorter than its wait, not for load:
 * a queue that is always full only makes every call slower.
 *
 * **Gotchas**: a bulkhead belongs to the resource that it protects: make it once. A call that holds a permit and asks the
 * same bulkhead for another may wait for itself, until `maxWait` is over.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Criticality from "./Criticality.ts"
import * as Deadline from "./Deadline.ts"
import * as State from "./internal/limits/bulkheadState.ts"
import { checkEffect, checkOptions, dataFirst } from "./internal/options/given.ts"
import { elapsed } from "./internal/time/elapsed.ts"
import { rangesOf } from "./internal/options/inRange.ts"
import { startTimer } from "./internal/time/timer.ts"
import type { Mode } from "./Mode.ts"
import * as PolicyEvents from "./PolicyEvents.ts"
import { BulkheadFull } from "./Reason.ts"
import { stackless } from "./Stackless.ts"
import type * as Time from "./Time.ts"

/**
 * The limits of a bulkhead.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Calls that run at once. A whole number of at least 1; default 25. */
  readonly maxConcurrent?: number | undefined
  /** Calls that wait for their turn. A whole number; 0 refuses instead of queueing. Default 10. */
  readonly maxQueue?: number | undefined
  /** The longest that a call waits; the ambient deadline may make it shorter. Zero refuses instead of queueing. Default 1 s. */
  readonly maxWait?: Time.Input | undefined
  /** Whether it refuses, only counts refusals that it would have made, or does nothing. Default `enforce`. */
  readonly mode?: Mode | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  maxConcurrent: 25,
  maxQueue: 10,
  maxWait: Duration.seconds(1),
  mode: "enforce"
} as const satisfies Options

/**
 * The rank of a call in the queue: a number, higher first, or a level of criticality, which is a number from 3
 * (`critical-plus`) to 0 (`sheddable`).
 *
 * @category models
 * @since 0.1.0
 */
export type Priority = number | Criticality.Criticality

/**
 * Facts about one call.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions {
  /** The rank of the call in the queue. Default: the ambient `Criticality.Current`. */
  readonly priority?: Priority | undefined
  /** When the caller no longer wants the answer: nobody waits longer. Default: the ambient `Deadline.Current`. */
  readonly deadline?: Deadline.Deadline | undefined
}

/**
 * Why a call was refused: the queue was full, a higher priority took its place in the queue, it waited as long as it
 * may, or its deadline came first.
 *
 * @category models
 * @since 0.1.0
 */
export type Denial = "full" | "displaced" | "max-wait" | "deadline"

/**
 * An event of a bulkhead.
 *
 * - `BulkheadQueued`: a call waits for its turn; `observed` when it only would have
 * - `BulkheadGranted`: a call that waited has its turn
 * - `BulkheadRefused`: a call was refused; `observed` when it only would have been
 * - `BulkheadAbandoned`: a call was interrupted while it waited
 * - `BulkheadResized`: the limits were changed
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | {
      readonly _tag: "BulkheadQueued"
      readonly priority: number
      /** Calls that wait, this one included. */
      readonly queued: number
      readonly observed: boolean
    }
  | { readonly _tag: "BulkheadGranted"; readonly priority: number; readonly waited: Duration.Duration }
  | {
      readonly _tag: "BulkheadRefused"
      readonly why: Denial
      readonly priority: number
      readonly waited: Duration.Duration
      readonly observed: boolean
    }
  | { readonly _tag: "BulkheadAbandoned"; readonly priority: number }
  | { readonly _tag: "BulkheadResized"; readonly maxConcurrent: number; readonly maxQueue: number }

/**
 * The state of a bulkhead at one instant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** Calls that may run at once. */
  readonly limit: number
  /** Running calls; above `limit` while calls that a smaller limit found running finish, and in `observe`. */
  readonly inFlight: number
  /** Calls that may wait. */
  readonly maxQueue: number
  /** Calls that wait. */
  readonly queued: number
  /** Calls that got their turn, since the bulkhead was made. */
  readonly admitted: number
  /** Calls that were put in the queue, however they ended; in `observe`, that would have been. */
  readonly delayed: number
  /** Calls that were refused; in `observe`, that would have been. */
  readonly refused: number
  /** Calls that were interrupted while they waited. */
  readonly abandoned: number
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
  readonly ready: Effect.Effect<void, BulkheadFull> | undefined
  /** Gives back the permit or the place in the queue, whichever it is. Calling it again does nothing. */
  readonly release: () => void
}

/**
 * A bulkhead that calls share.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bulkhead {
  readonly mode: Mode
  /** Runs an effect when it is its turn. Refused, it is not run, and fails with `BulkheadFull`. */
  readonly run: <A, E, R>(self: Effect.Effect<A, E, R>, options?: RunOptions) => Effect.Effect<A, E | BulkheadFull, R>
  /**
   * The same in two steps, for code that composes policies itself: synchronous, at the monotonic time in milliseconds, and
   * with nothing ambient. A priority left out is `critical`.
   */
  readonly admit: (nowMillis: number, options?: RunOptions) => Permit | BulkheadFull
  /** Whether a call would get a place at once. Asking changes nothing, and in `observe` all calls go. */
  readonly hasRoom: () => boolean
  /**
   * Changes the limits of a bulkhead in use; an option that is left out stays. A greater limit lets waiting calls in; a smaller one
   * lets running calls finish. Throws a `RangeError` as `make` does.
   */
  readonly resize: (limits: { readonly maxConcurrent?: number; readonly maxQueue?: number }) => void
  /** The present state of the bulkhead. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
  readonly events: PolicyEvents.PolicyEvents<Event>
}

const { notNegative, whole } = rangesOf("Bulkhead")

const priorityOf = (priority: Priority | undefined): number => {
  if (priority === undefined) return levels.critical
  if (typeof priority !== "number") return levels[priority]
  if (Number.isNaN(priority)) throw new RangeError("Bulkhead: priority must be a number, got NaN")
  return priority
}

const levels: { readonly [C in Criticality.Criticality]: number } = {
  "critical-plus": 3,
  critical: 2,
  "sheddable-plus": 1,
  sheddable: 0
}

/** The state of bulkheads, for one that follows another. */
const held = new WeakMap<Bulkhead, Shared>()

/**
 * Makes a bulkhead. Throws a `RangeError` that names the option which is out of range. With a `living` one, the two have one state: a
 * call that holds or awaits a place does so in both, and the limits are those of the new options.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Bulkhead } from "holdfast"
 *
 * const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 0 })
 *
 * const outer = bulkhead.run(bulkhead.run(Effect.void)).pipe(Effect.flip)
 * console.log((await Effect.runPromise(outer)).message)
 * // => the bulkhead and its queue are full (1 of 1 in flight, 0 of 0 waiting); nothing was sent
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}, living?: Bulkhead): Bulkhead => {
  checkOptions("Bulkhead.make", options, "{ maxConcurrent: 25 }")
  const maxWaitMillis = notNegative("maxWait", options.maxWait ?? defaults.maxWait)
  const mode = options.mode ?? defaults.mode
  const limit = whole("maxConcurrent", options.maxConcurrent ?? defaults.maxConcurrent, 1)
  const maxQueue = whole("maxQueue", options.maxQueue ?? defaults.maxQueue, 0)
  const before = living && held.get(living)
  const shared: Shared = before ?? {
    state: State.makeBulkheadState(limit, maxQueue),
    maxWaitMillis,
    emitter: PolicyEvents.make<Event>(),
    admitted: 0,
    delayed: 0,
    refused: 0,
    abandoned: 0
  }
  const { emitter, state } = shared
  shared.maxWaitMillis = maxWaitMillis
  const bulkhead: Bulkhead = {
    mode,
    run: (self, given) => {
      checkEffect("Bulkhead", self)
      if (mode === "off") return self
      return mode === "observe" ? runObserved(shared, self, given) : runEnforced(shared, self, given)
    },
    admit: (nowMillis, given) => {
      if (mode === "off") return unlimited
      const priority = priorityOf(given?.priority)
      if (mode === "observe") {
        observe(shared, priority)
        return new HeldPlace(shared, priority, nowMillis, given?.deadline, "granted")
      }
      if (State.tryEnter(state)) {
        shared.admitted++
        return new HeldPlace(shared, priority, nowMillis, undefined, "granted")
      }
      return queueUp(shared, priority, nowMillis, given?.deadline)
    },
    hasRoom: () => mode !== "enforce" || state.inFlight < state.limit,
    resize: (limits) => {
      const limit = whole("maxConcurrent", limits.maxConcurrent ?? state.limit, 1)
      const maxQueue = whole("maxQueue", limits.maxQueue ?? state.maxQueue, 0)
      for (const granted of State.resize(state, limit, maxQueue)) tellGranted(shared, granted)
      if (emitter.isHeard()) emitter.emit({ _tag: "BulkheadResized", maxConcurrent: limit, maxQueue })
    },
    snapshot: Effect.sync(() => ({
      limit: state.limit,
      inFlight: state.inFlight,
      maxQueue: state.maxQueue,
      queued: state.queued,
      admitted: shared.admitted,
      delayed: shared.delayed,
      refused: shared.refused,
      abandoned: shared.abandoned
    })),
    events: emitter.events
  }
  held.set(bulkhead, shared)
  if (before !== undefined) bulkhead.resize({ maxConcurrent: limit, maxQueue })
  return bulkhead
}

/** The state that the calls of one bulkhead share. */
interface Shared {
  readonly state: State.BulkheadState<HeldPlace>
  maxWaitMillis: number
  readonly emitter: PolicyEvents.Emitter<Event>
  admitted: number
  delayed: number
  refused: number
  abandoned: number
}

/** The permit of a bulkhead that is off. */
const unlimited: Permit = { _tag: "Permit", ready: undefined, release: () => {} }

const runEnforced = <A, E, R>(
  shared: Shared,
  self: Effect.Effect<A, E, R>,
  given: RunOptions | undefined
): Effect.Effect<A, E | BulkheadFull, R> =>
  Effect.suspend(() => {
    let isIn = false
    let place: HeldPlace | undefined
    // the permit is taken inside the protected region, so that no interruption can come between the two
    return Effect.onExitPrimitive(
      Effect.withFiber((fiber): Effect.Effect<A, E | BulkheadFull, R> => {
        if (State.tryEnter(shared.state)) {
          isIn = true
          shared.admitted++
          return self
        }
        const found = queueUp(
          shared,
          priorityOf(given?.priority ?? fiber.getRef(Criticality.Current)),
          Deadline.nowMillisUnsafe(fiber.getRef(Clock.Clock)),
          given?.deadline ?? fiber.getRef(Deadline.Current)
        )
        if (found._tag === "BulkheadFull") return Effect.fail(found)
        place = found
        return Effect.andThen(waiting(found), self)
      }),
      () => {
        if (isIn) giveBack(shared)
        else place?.release()
        return undefined
      }
    )
  })

const runObserved = <A, E, R>(
  shared: Shared,
  self: Effect.Effect<A, E, R>,
  given: RunOptions | undefined
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let isIn = false
    return Effect.onExitPrimitive(
      Effect.withFiber((fiber) => {
        observe(shared, priorityOf(given?.priority ?? fiber.getRef(Criticality.Current)))
        isIn = true
        return self
      }),
      () => {
        if (isIn) giveBack(shared)
        return undefined
      }
    )
  })

/**
 * Lets a call in, and counts how it would have fared: calls beyond the limit count for the queue, and calls beyond both for
 * refused. How waiting would have changed them and the calls behind them is not made up.
 */
const observe = (shared: Shared, priority: number): void => {
  const { emitter, state } = shared
  const beyond = state.inFlight - state.limit
  state.inFlight++
  if (beyond >= (shared.maxWaitMillis === 0 ? 0 : state.maxQueue)) {
    shared.refused++
    if (emitter.isHeard()) {
      emitter.emit({ _tag: "BulkheadRefused", why: "full", priority, waited: Duration.zero, observed: true })
    }
    return
  }
  shared.admitted++
  if (beyond < 0) return
  shared.delayed++
  if (emitter.isHeard()) emitter.emit({ _tag: "BulkheadQueued", priority, queued: beyond + 1, observed: true })
}

/** The slow path: no permit is free. */
const queueUp = (
  shared: Shared,
  priority: number,
  nowMillis: number,
  deadline: Deadline.Deadline | undefined
): HeldPlace | BulkheadFull => {
  const { emitter, state } = shared
  if (deadline !== undefined && deadline.atMillis <= nowMillis) return refusal(shared, "deadline", priority, 0)
  if (shared.maxWaitMillis === 0) return refusal(shared, "full", priority, 0)
  const place = new HeldPlace(shared, priority, nowMillis, deadline, "left")
  const found = State.enqueue(state, place)
  if (found === "full") return refusal(shared, "full", priority, 0)
  shared.delayed++
  if (emitter.isHeard()) emitter.emit({ _tag: "BulkheadQueued", priority, queued: state.queued, observed: false })
  if (found !== "queued") {
    found.refused = refusal(shared, "displaced", found.priority, Math.max(0, nowMillis - found.sinceMillis))
    found.wake?.()
  }
  return place
}

/** Gives a permit back, and wakes the caller that gets it. */
const giveBack = (shared: Shared): void => {
  const granted = State.exit(shared.state)
  if (granted !== undefined) tellGranted(shared, granted)
}

const tellGranted = (shared: Shared, place: HeldPlace): void => {
  shared.admitted++
  place.wake?.()
}

const figures = ({ inFlight, limit, maxQueue, queued }: Shared["state"]): string =>
  `${inFlight} of ${limit} in flight, ${queued} of ${maxQueue} waiting`

const reasons: { readonly [D in Exclude<Denial, "full">]: (waited: string) => string } = {
  displaced: (waited) => `; a call of higher priority took its place after ${waited}`,
  "max-wait": (waited) => `; it waited ${waited}`,
  deadline: (waited) => `; it waited ${waited}, until its deadline`
}

/** Counts a refusal, tells of it, and gives it. */
const refusal = (shared: Shared, why: Denial, priority: number, waitedMillis: number): BulkheadFull => {
  const { emitter, state } = shared
  shared.refused++
  if (emitter.isHeard()) {
    const waited = Duration.millis(waitedMillis)
    emitter.emit({ _tag: "BulkheadRefused", why, priority, waited, observed: false })
  }
  const reason = why === "full" ? "" : reasons[why](elapsed(Duration.millis(waitedMillis)))
  return stackless(() => new BulkheadFull({ detail: figures(state) + reason }))
}

/** A call's place in the queue, and later its permit. */
class HeldPlace implements State.Place<HeldPlace>, Permit {
  readonly _tag = "Permit"
  previous: HeldPlace | undefined = undefined
  next: HeldPlace | undefined = undefined
  /** Tells the fiber that waits, if it does yet, that the status has changed. */
  wake: (() => void) | undefined = undefined
  /** Set once the place is lost to a higher priority. */
  refused: BulkheadFull | undefined = undefined
  readonly shared: Shared
  readonly priority: number
  readonly sinceMillis: number
  readonly deadline: Deadline.Deadline | undefined
  status: State.PlaceStatus

  constructor(
    shared: Shared,
    priority: number,
    sinceMillis: number,
    deadline: Deadline.Deadline | undefined,
    status: State.PlaceStatus
  ) {
    this.shared = shared
    this.priority = priority
    this.sinceMillis = sinceMillis
    this.deadline = deadline
    this.status = status
  }

  get ready(): Effect.Effect<void, BulkheadFull> | undefined {
    return this.status === "granted" ? undefined : waiting(this)
  }

  release(): void {
    const { shared } = this
    if (this.status === "waiting") {
      shared.abandoned++
      if (shared.emitter.isHeard()) shared.emitter.emit({ _tag: "BulkheadAbandoned", priority: this.priority })
    }
    const granted = State.leave(shared.state, this)
    if (granted !== undefined) tellGranted(shared, granted)
  }
}

/** Waits until a place has become a permit, or is lost. */
const waiting = (place: HeldPlace): Effect.Effect<void, BulkheadFull> =>
  Effect.withFiber((fiber) => {
    const { shared } = place
    const clock = fiber.getRef(Clock.Clock)
    const waitedMillis = (): number => Math.max(0, Deadline.nowMillisUnsafe(clock) - place.sinceMillis)
    const settled = (): Effect.Effect<void, BulkheadFull> => {
      if (place.refused !== undefined) return Effect.fail(place.refused)
      if (shared.emitter.isHeard()) {
        const waited = Duration.millis(waitedMillis())
        shared.emitter.emit({ _tag: "BulkheadGranted", priority: place.priority, waited })
      }
      return Effect.void
    }
    if (place.status !== "waiting") return settled()
    return Effect.callback<void, BulkheadFull>((resume) => {
      const untilDeadlineMillis = place.deadline === undefined ? Infinity : place.deadline.atMillis - place.sinceMillis
      const longestMillis = Math.min(shared.maxWaitMillis, untilDeadlineMillis)
      const cancel =
        longestMillis === Infinity
          ? () => {}
          : startTimer(fiber, Math.max(0, longestMillis - waitedMillis()), () => {
              if (place.status !== "waiting") return
              place.wake = undefined
              const why = untilDeadlineMillis <= shared.maxWaitMillis ? "deadline" : "max-wait"
              State.leave(shared.state, place)
              resume(Effect.fail(refusal(shared, why, place.priority, waitedMillis())))
            })
      const wake = (): void => {
        cancel()
        // not on the stack of the caller that gives the permit back: a long queue of short calls would overflow it
        fiber.currentDispatcher.scheduleTask(() => resume(Effect.suspend(settled)), 0)
      }
      place.wake = wake
      // a fiber gives way to others after so many steps, and may have done so since it looked: they found nobody to wake
      if (place.status !== "waiting") wake()
      return Effect.sync(() => {
        place.wake = undefined
        cancel()
      })
    })
  })

/**
 * Runs an effect when it is its turn. Refused, it is not run, and fails with `BulkheadFull`.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Bulkhead } from "holdfast"
 *
 * const bulkhead = Bulkhead.make({ maxConcurrent: 5 })
 * const rows = Effect.succeed("rows").pipe(Bulkhead.run(bulkhead))
 *
 * console.log(await Effect.runPromise(rows)) // => rows
 * console.log((await Effect.runPromise(bulkhead.snapshot)).admitted) // => 1
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: {
  (
    bulkhead: Bulkhead,
    options?: RunOptions
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | BulkheadFull, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    bulkhead: Bulkhead,
    options?: RunOptions
  ): Effect.Effect<A, E | BulkheadFull, R>
} = dual(
  dataFirst("Bulkhead.run"),
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    bulkhead: Bulkhead,
    options?: RunOptions
  ): Effect.Effect<A, E | BulkheadFull, R> => bulkhead.run(self, options)
)

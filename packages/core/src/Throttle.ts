/**
 * Sheds calls to an upstream that refuses too many of its requests, before they are sent. A refusal costs an overloaded
 * upstream work too; a client that goes on at full rate keeps it down.
 *
 * **When to use**: for an upstream that can be overloaded by you and others together, and that has more than a few calls a
 * second from here.
 *
 * **What it is not**: a circuit breaker. It never stops all calls: it sends about twice as many as are accepted, so it
 * follows an upstream that is down to a fifth as well as one that is down. Nor a rate limit: as long as half is accepted,
 * it does nothing.
 *
 * The formula is Google's (SRE book, chapter "Handling Overload"): a call is shed with the probability
 * `max(0, (requests - K * accepts) / (requests + 1))` over the last two minutes, with K = 2. Calls that were shed here
 * count among the requests. The least critical calls are shed first, see `Criticality`.
 *
 * An answer by an upstream that is well counts as accepted: a success, and a failure that is `permanent` (a `404`).
 * A failure that is `throttle`, `transient` (a `503`, a refused connection) or `timeout` is a rejection. A call that was
 * refused on this side, or that its caller gave up, is not counted at all.
 *
 * **Gotchas**: make one for each upstream or endpoint. Put it inside a retry: each attempt is load. After an outage it opens
 * at the pace of its window: full load is back some six minutes after one of five minutes, or one and a half with a window of
 * 30 s.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Throttle } from "holdfast"
 *
 * const throttle = Throttle.make()
 * const failing = Effect.exit(throttle.run(Effect.fail("503")))
 *
 * await Effect.runPromise(Effect.replicateEffect(failing, 100))
 * const { probability } = await Effect.runPromise(throttle.snapshot)
 * console.log(probability.critical.toFixed(2)) // => 0.99
 * ```
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Random from "effect/Random"
import * as Criticality from "./Criticality.ts"
import * as Deadline from "./Deadline.ts"
import { checkEffect, checkOptions, dataFirst } from "./internal/options/given.ts"
import { outcomeOf } from "./internal/outcome/exitOutcome.ts"
import { rangesOf } from "./internal/options/inRange.ts"
import * as State from "./internal/limits/throttleState.ts"
import type { Mode } from "./Mode.ts"
import type * as Outcome from "./Outcome.ts"
import * as PolicyEvents from "./PolicyEvents.ts"
import { Throttled } from "./Reason.ts"
import { stackless } from "./Stackless.ts"
import type * as Time from "./Time.ts"

/**
 * A cause of failure that can mean that the upstream did not take the call.
 *
 * @category models
 * @since 0.1.0
 */
export type Rejection = "throttle" | "transient" | "timeout"

/**
 * How to throttle.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How long a call counts. Between 1 s and 1 h; default 2 min. A shorter window recovers sooner, and swings more. */
  readonly window?: Time.Input | undefined
  /**
   * K: how many times the accepted requests may be sent. Between 1 and 100; default 2. Nearer to 1 sheds sooner; more sends more
   * in vain, and notices a recovery sooner.
   */
  readonly multiplier?: number | undefined
  /**
   * Calls a second that are let through at the least, so that a recovery is noticed. Between 0 and 1000; default 1. A
   * client of fewer calls is never throttled; with 0, an upstream that accepts nothing may never be asked again.
   */
  readonly minimumPerSecond?: number | undefined
  /** Requests in the window before any is shed: fewer prove nothing. Between 1 and 10 000; default 10. */
  readonly minimumRequests?: number | undefined
  /** The failures that count as not accepted. Default `throttle`, `transient` and `timeout`. */
  readonly rejections?: ReadonlyArray<Rejection> | undefined
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
  window: Duration.minutes(2),
  multiplier: 2,
  minimumPerSecond: 1,
  minimumRequests: 10,
  rejections: ["throttle", "transient", "timeout"],
  mode: "enforce"
} as const satisfies Options

/**
 * An event of a throttle.
 *
 * - `CallShed`: a call was not sent; `observed` when it was nevertheless
 * - `CallProbed`: a call that would have been shed was sent, since none had been for a while
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | {
      readonly _tag: "CallShed"
      readonly criticality: Criticality.Criticality
      /** Calls of the window. */
      readonly requests: number
      /** Those of them that were accepted. */
      readonly accepts: number
      readonly observed: boolean
    }
  | { readonly _tag: "CallProbed"; readonly criticality: Criticality.Criticality }

/**
 * The state of a throttle at one instant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** Calls of the window that were answered or shed. */
  readonly requests: number
  /** Those of them that the upstream accepted. */
  readonly accepts: number
  /** How likely a call is shed, by its level. */
  readonly probability: { readonly [C in Criticality.Criticality]: number }
  /** Calls let through since the throttle was made. */
  readonly admitted: number
  /** Those of them that were let through only to see whether the upstream has recovered. */
  readonly probes: number
  /** Calls shed; in `observe`, calls that would have been. */
  readonly shed: number
}

/**
 * Leave to send one call. It holds nothing: one that is never settled is a call that does not count. Settle it once.
 *
 * @category models
 * @since 0.1.0
 */
export interface Permit {
  readonly _tag: "Permit"
  /** Tells how the call ended. */
  readonly settle: (nowMillis: number, outcome: Outcome.Outcome) => void
}

/**
 * Facts about one call.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions<in A, in E> {
  /** How much the call matters. Default: the ambient `Criticality.Current`. */
  readonly criticality?: Criticality.Criticality | undefined
  /**
   * How the call's exit is judged. Default: a success is a success; a typed failure or a defect is a failure that is
   * `transient`, or `refused` if another policy refused, or `timeout` if a limit of time passed. An interruption is ignored,
   * and nobody is asked.
   */
  readonly classify?: ((exit: Exit.Exit<A, E>) => Outcome.Outcome) | undefined
}

/**
 * A throttle that the calls to one upstream share.
 *
 * @category models
 * @since 0.1.0
 */
export interface Throttle {
  readonly mode: Mode
  /** Runs an effect, or fails with `Throttled` without running it. */
  readonly run: <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options?: RunOptions<A, E>
  ) => Effect.Effect<A, E | Throttled, R>
  /** {@link run} without the effect, for a hot path: takes the monotonic time in milliseconds, and chance. */
  readonly admit: (
    nowMillis: number,
    criticality: Criticality.Criticality,
    chance: { readonly nextDoubleUnsafe: () => number }
  ) => Permit | Throttled
  /** The present state of the throttle. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
  readonly events: PolicyEvents.PolicyEvents<Event>
}

const { timeWithin, within } = rangesOf("Throttle")

const levelOf = {
  "critical-plus": 0,
  critical: 1,
  "sheddable-plus": 2,
  sheddable: 3
} as const satisfies Record<Criticality.Criticality, number>

const unthrottled: Permit = { _tag: "Permit", settle: () => undefined }

/** The state of throttles, for one that follows another. */
const held = new WeakMap<Throttle, State.ThrottleState>()

/**
 * Makes a throttle. Throws a `RangeError` that names the option which is out of range.
 * With a `living` one, its counts count in the new one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}, living?: Throttle): Throttle => {
  checkOptions("Throttle.make", options, '{ window: "2 minutes" }')
  const windowMillis = timeWithin("window", options.window ?? defaults.window, 1000, 3_600_000)
  const shape: State.ThrottleShape = {
    windowMillis,
    multiplier: within("multiplier", options.multiplier ?? defaults.multiplier, 1, 100),
    leastRequests: within("minimumRequests", options.minimumRequests ?? defaults.minimumRequests, 1, 10_000),
    probeAfterMillis: 1000 / within("minimumPerSecond", options.minimumPerSecond ?? defaults.minimumPerSecond, 0, 1000)
  }
  const before = living && held.get(living)
  const state = before ?? State.makeThrottleState(shape)
  if (before !== undefined) State.reshape(before, shape)
  const rejections: ReadonlyArray<Outcome.FailureCause> = options.rejections ?? defaults.rejections
  const mode = options.mode ?? defaults.mode
  const { emit, events, isHeard } = PolicyEvents.make<Event>()
  const window = Duration.format(Duration.millis(windowMillis))
  let admitted = 0
  let probes = 0
  let shed = 0

  const makePermit = (level: number): Permit => ({
    _tag: "Permit",
    settle: (nowMillis, outcome) => {
      if (outcome._tag === "Ignored") return
      if (outcome._tag === "Failure" && (outcome.cause === "refused" || outcome.cause === "stale")) return
      State.answered(state, nowMillis, level, outcome._tag === "Success" || !rejections.includes(outcome.cause))
    }
  })
  // a permit holds nothing of its call but the level, so one for each level is enough
  const permits = {
    "critical-plus": makePermit(levelOf["critical-plus"]),
    critical: makePermit(levelOf.critical),
    "sheddable-plus": makePermit(levelOf["sheddable-plus"]),
    sheddable: makePermit(levelOf.sheddable)
  }

  const refusal = (criticality: Criticality.Criticality): Throttled =>
    stackless(
      () =>
        new Throttled({
          detail: `${state.acceptSum} of ${state.requestSum} calls accepted in the last ${window}, this one is ${criticality}`
        })
    )

  const admit: Throttle["admit"] = (nowMillis, criticality, chance) => {
    if (mode === "off") return unthrottled
    const level = levelOf[criticality]
    const decision = State.decide(state, nowMillis, level, chance)
    if (decision === "shed") {
      shed++
      if (isHeard()) {
        emit({
          _tag: "CallShed",
          criticality,
          requests: state.requestSum,
          accepts: state.acceptSum,
          observed: mode === "observe"
        })
      }
      if (mode === "enforce") {
        const refused = refusal(criticality)
        State.shed(state, nowMillis, level)
        return refused
      }
    } else if (decision === "probe") {
      probes++
      if (isHeard()) emit({ _tag: "CallProbed", criticality })
    }
    admitted++
    State.sent(state, nowMillis)
    return permits[criticality]
  }

  const run = <A, E, R>(
    self: Effect.Effect<A, E, R>,
    given: RunOptions<A, E> = {}
  ): Effect.Effect<A, E | Throttled, R> => {
    checkEffect("Throttle", self)
    if (mode === "off") return self
    return Effect.withFiber((fiber): Effect.Effect<A, E | Throttled, R> => {
      const clock = fiber.getRef(Clock.Clock)
      const decided = admit(
        Deadline.nowMillisUnsafe(clock),
        given.criticality ?? fiber.getRef(Criticality.Current),
        fiber.getRef(Random.Random)
      )
      if (decided._tag === "Throttled") return Effect.fail(decided)
      // a permit holds nothing: one that an interruption keeps from being settled is a call that does not count
      return Effect.onExitPrimitive(self, (exit) => {
        decided.settle(Deadline.nowMillisUnsafe(clock), outcomeOf("Throttle", exit, given.classify))
        return undefined
      })
    })
  }

  const throttle: Throttle = {
    mode,
    run,
    admit,
    snapshot: Effect.map(Clock.Clock, (clock): Snapshot => {
      const { accepts, probabilities, requests } = State.peek(state, Deadline.nowMillisUnsafe(clock))
      const of = (criticality: Criticality.Criticality): number => probabilities[levelOf[criticality]] ?? 0
      return {
        requests,
        accepts,
        probability: {
          "critical-plus": of("critical-plus"),
          critical: of("critical"),
          "sheddable-plus": of("sheddable-plus"),
          sheddable: of("sheddable")
        },
        admitted,
        probes,
        shed
      }
    }),
    events
  }
  held.set(throttle, state)
  return throttle
}

/**
 * Runs an effect, or fails with `Throttled` without running it.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Throttle } from "holdfast"
 *
 * const throttle = Throttle.make()
 * const prefetch = Effect.succeed("page 2").pipe(Throttle.run(throttle, { criticality: "sheddable" }))
 *
 * console.log(await Effect.runPromise(prefetch)) // => page 2
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: {
  <A = unknown, E = unknown>(
    throttle: Throttle,
    options?: RunOptions<A, E>
  ): <A1 extends A, E1 extends E, R>(self: Effect.Effect<A1, E1, R>) => Effect.Effect<A1, E1 | Throttled, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    throttle: Throttle,
    options?: RunOptions<A, E>
  ): Effect.Effect<A, E | Throttled, R>
} = dual(
  dataFirst("Throttle.run"),
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    throttle: Throttle,
    options?: RunOptions<A, E>
  ): Effect.Effect<A, E | Throttled, R> => throttle.run(self, options)
)

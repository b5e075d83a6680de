/**
 * Limits the load that retries may add to an upstream. All calls share one budget: while few fail, every failure may be
 * retried; when most fail, retries stop adding to the outage.
 *
 * **When to use**: always, beside every retry; a count of attempts alone turns one outage into three. One budget serves
 * everything that sends a request again: retries, hedges, failovers. `Retry` takes one; the retries of `Effect.retry` are paid by
 * {@link paidFrom}, and {@link run} counts the calls that pay for them.
 *
 * **What it is not**: a circuit breaker. First attempts are never refused.
 *
 * Two conditions must both hold. *Window* (Finagle's `RetryBudget`): in the last `ttl`, retries are at most `ratio` of the
 * calls, plus `minimumPerSecond`. *In flight* (Envoy's retry budget): no retry is granted while the retries in flight are `inFlightRatio`
 * of the calls in flight, or more; `minimumInFlight` are always allowed. The first bounds the rate, the second reacts at once when calls
 * get slow.
 *
 * **Gotchas**: a budget belongs to an upstream, not to a call: make it once.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import * as Deadline from "./Deadline.ts"
import { failureOutcome } from "./internal/outcome/failureOutcome.ts"
import { rangesOf } from "./internal/options/inRange.ts"
import * as State from "./internal/retry/retryBudgetState.ts"
import { checkEffect, checkOptions, dataFirst } from "./internal/options/given.ts"
import type { Mode } from "./Mode.ts"
import type { FailureCause } from "./Outcome.ts"
import * as PolicyEvents from "./PolicyEvents.ts"
import type * as Time from "./Time.ts"

/**
 * The limits of a budget.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How long a call counts. Between 1 s and 60 s; default 10 s. */
  readonly ttl?: Time.Input | undefined
  /** Retries that each call pays for. Between 0 and 10; default 0.2: one retry for five calls. */
  readonly ratio?: number | undefined
  /** Retries a second that are there without any call, so that a quiet upstream may retry. Default 2. */
  readonly minimumPerSecond?: number | undefined
  /** Retries in flight for each call in flight; from this ratio on none is granted. Between 0 and 1; default 0.2. */
  readonly inFlightRatio?: number | undefined
  /** Retries being made that are always allowed. At least 1; default 3. */
  readonly minimumInFlight?: number | undefined
  /** The price of a retry, by the cause of the failure before it. Default 1 each, and nothing for `stale`. */
  readonly costs?: { readonly [C in FailureCause]?: number } | undefined
  /** In `observe` it counts and reports its refusals, and grants the retries. In `off` it grants all, and counts
   * neither grants nor refusals. Default `enforce`. */
  readonly mode?: Mode | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  ttl: Duration.seconds(10),
  ratio: 0.2,
  minimumPerSecond: 2,
  inFlightRatio: 0.2,
  minimumInFlight: 3,
  costs: { transient: 1, throttle: 1, timeout: 1, refused: 1, permanent: 1, stale: 0 },
  mode: "enforce"
} as const satisfies Options

/**
 * The state of a budget at one instant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** Retries that the window would pay for now. */
  readonly balance: number
  /** Calls in flight. */
  readonly callsInFlight: number
  /** Retries in flight; retries that still wait for their back-off are not among them. */
  readonly retriesInFlight: number
  /** Retries granted since the budget was made. */
  readonly granted: number
  /** Retries refused since the budget was made. */
  readonly refused: number
}

/**
 * An event of a budget: a retry was granted or refused, with the cause of the failure before it, and how many retries the window
 * would pay for after that. `observed` is true for a refusal in `observe`, which is granted all the same.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | { readonly _tag: "RetryGranted"; readonly cause: FailureCause; readonly balance: number }
  | {
      readonly _tag: "RetryRefused"
      readonly cause: FailureCause
      readonly balance: number
      readonly observed: boolean
    }

/**
 * A budget that calls share. Its methods are synchronous and take the monotonic time in milliseconds: `Retry` calls them on
 * the hot path. Each `callStarted` must be followed by `callEnded`, and `retryStarted` by `retryEnded`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryBudget {
  readonly mode: Mode
  /**
   * Runs an effect as a call that pays into the budget, for the retries that {@link paidFrom} takes from it. `Retry` counts its calls
   * itself.
   */
  readonly run: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly callStarted: (nowMillis: number) => void
  readonly callEnded: () => void
  /** Whether one more retry may be made; takes it from the budget if so. Asked before the back-off. */
  readonly tryRetry: (nowMillis: number, cause: FailureCause) => boolean
  /** The back-off is over, and the retry is sent. */
  readonly retryStarted: () => void
  readonly retryEnded: () => void
  /** The present state of the budget. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
  readonly events: PolicyEvents.PolicyEvents<Event>
}

const { timeWithin, within } = rangesOf("RetryBudget")

/** A call that {@link run} has counted, and those around it. */
interface PayingCall {
  readonly budget: RetryBudget
  /** Retries of it that count as in flight. */
  retries: number
  readonly outer: PayingCall | undefined
  /** Effects that go on behind it pay for nothing any more. */
  isOver: boolean
}

const CurrentCall = Context.Reference<PayingCall | undefined>("@holdfast/core/RetryBudget/CurrentCall", {
  defaultValue: () => undefined
})

const callOf = (budget: RetryBudget, innermost: PayingCall | undefined): PayingCall | undefined => {
  let call = innermost
  while (call !== undefined && (call.budget !== budget || call.isOver)) call = call.outer
  return call
}

/** The state of budgets, for one that follows another. */
const held = new WeakMap<RetryBudget, State.BudgetState>()

/**
 * Makes a budget. Throws a `RangeError` that names the option which is out of range.
 * With a `living` one, its balance and the calls in flight are those of both.
 *
 * ```ts
 * import { RetryBudget } from "holdfast"
 *
 * // nothing but what calls pay for: one retry for two calls
 * const budget = RetryBudget.make({ ratio: 0.5, minimumPerSecond: 0 })
 * budget.callStarted(0)
 * console.log(budget.tryRetry(0, "transient")) // => false
 * budget.callStarted(0)
 * console.log(budget.tryRetry(0, "transient")) // => true
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}, living?: RetryBudget): RetryBudget => {
  checkOptions("RetryBudget.make", options, "{ ratio: 0.2 }")
  const ttlMillis = timeWithin("ttl", options.ttl ?? defaults.ttl, 1000, 60_000)
  const minimumPerSecond = within("minimumPerSecond", options.minimumPerSecond ?? defaults.minimumPerSecond, 0, 1e6)
  const costs: Record<FailureCause, number> = { ...defaults.costs }
  for (const [cause, cost] of Object.entries(options.costs ?? {})) {
    // the keys of `costs` are failure causes by its type
    costs[cause as FailureCause] = within(`costs.${cause}`, cost, 0, 1000)
  }
  const shape: State.BudgetShape = {
    ttlMillis,
    deposit: Math.round(within("ratio", options.ratio ?? defaults.ratio, 0, 10) * 1000),
    reserve: Math.round(((minimumPerSecond * ttlMillis) / 1000) * 1000),
    inFlightRatio: within("inFlightRatio", options.inFlightRatio ?? defaults.inFlightRatio, 0, 1),
    minimumInFlight: within("minimumInFlight", options.minimumInFlight ?? defaults.minimumInFlight, 1, 1e6)
  }
  const before = living && held.get(living)
  const state = before ?? State.makeBudgetState(shape)
  if (before !== undefined) State.reshape(before, shape)
  const mode = options.mode ?? defaults.mode
  const { emit, events, isHeard } = PolicyEvents.make<Event>()
  let granted = 0
  let refused = 0
  const budget: RetryBudget = {
    mode,
    run: (self) => {
      checkEffect("RetryBudget", self)
      return Effect.withFiber((fiber) => {
        let isStarted = false
        const call: PayingCall = { budget, retries: 0, outer: fiber.getRef(CurrentCall), isOver: false }
        return Effect.onExitPrimitive(
          Effect.suspend(() => {
            budget.callStarted(Deadline.nowMillisUnsafe(fiber.getRef(Clock.Clock)))
            isStarted = true
            return Effect.provideService(self, CurrentCall, call)
          }),
          () => {
            call.isOver = true
            for (; call.retries > 0; call.retries--) budget.retryEnded()
            if (isStarted) budget.callEnded()
            return undefined
          }
        )
      })
    },
    events,
    callStarted: (nowMillis) => State.callStarted(state, nowMillis),
    callEnded: () => State.callEnded(state),
    tryRetry: (nowMillis, cause) => {
      if (mode === "off") return true
      const cost: number | undefined = costs[cause]
      if (cost === undefined) {
        throw new TypeError(`RetryBudget: cause must be one of ${Object.keys(costs).join(", ")}, got ${String(cause)}`)
      }
      const allowed = State.tryWithdraw(state, nowMillis, Math.round(cost * 1000))
      if (allowed) granted++
      else refused++
      if (isHeard()) {
        const balance = State.balance(state, nowMillis) / 1000
        emit(
          allowed
            ? { _tag: "RetryGranted", cause, balance }
            : { _tag: "RetryRefused", cause, balance, observed: mode === "observe" }
        )
      }
      return allowed || mode === "observe"
    },
    retryStarted: () => State.retryStarted(state),
    retryEnded: () => State.retryEnded(state),
    snapshot: Effect.map(Clock.Clock, (clock) => ({
      balance: State.balance(state, Deadline.nowMillisUnsafe(clock)) / 1000,
      callsInFlight: state.callsInFlight,
      retriesInFlight: state.retriesInFlight,
      granted,
      refused
    }))
  }
  held.set(budget, state)
  return budget
}

/**
 * Runs an effect as a call that pays into a budget: see {@link paidFrom}.
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: {
  (budget: RetryBudget): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, budget: RetryBudget): Effect.Effect<A, E, R>
} = dual(
  dataFirst("RetryBudget.run"),
  <A, E, R>(self: Effect.Effect<A, E, R>, budget: RetryBudget): Effect.Effect<A, E, R> => budget.run(self)
)

/**
 * Facts about the retries of a schedule.
 *
 * @category models
 * @since 0.1.0
 */
export interface PaidFromOptions<in Input> {
  /**
   * The cause of the failure before a retry, which decides the price of the retry. Default: the catalogue's judgement on a reason, or on
   * the reason of a `CallError`; any other is `transient`.
   */
  readonly causeOf?: ((input: Input) => FailureCause) | undefined
}

/**
 * A schedule whose recurrences are paid from a budget, for `Effect.retry`: it ends when the budget grants no more, so that the retrying
 * effect fails with its last failure. Put {@link run} around the retrying effect: without it, only `minimumPerSecond` pays for its
 * retries.
 *
 * Effect does not tell a schedule when a back-off is over, nor how a retry went. So here a retry counts as in flight from its back-off
 * on, until the next failure or the end of the call.
 *
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { RetryBudget } from "holdfast"
 *
 * // three calls pay for one retry
 * const budget = RetryBudget.make({ ratio: 0.34, minimumPerSecond: 0 })
 * let requests = 0
 * const request = Effect.suspend(() => Effect.fail(`request ${++requests} failed`))
 * const call = request.pipe(
 *   Effect.retry(Schedule.exponential("1 millis").pipe(RetryBudget.paidFrom(budget))),
 *   RetryBudget.run(budget),
 *   Effect.flip
 * )
 *
 * console.log(await Effect.runPromise(Effect.all([call, call, call])))
 * // => [ 'request 1 failed', 'request 2 failed', 'request 4 failed' ]
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const paidFrom: {
  <In = unknown>(
    budget: RetryBudget,
    options?: PaidFromOptions<In>
  ): <Output, Input extends In, Error, Env>(
    schedule: Schedule.Schedule<Output, Input, Error, Env>
  ) => Schedule.Schedule<Output, Input, Error, Env>
  <Output, Input, Error, Env>(
    schedule: Schedule.Schedule<Output, Input, Error, Env>,
    budget: RetryBudget,
    options?: PaidFromOptions<Input>
  ): Schedule.Schedule<Output, Input, Error, Env>
} = dual(
  dataFirst("RetryBudget.paidFrom", Schedule.isSchedule),
  <Output, Input, Error, Env>(
    schedule: Schedule.Schedule<Output, Input, Error, Env>,
    budget: RetryBudget,
    options?: PaidFromOptions<Input>
  ): Schedule.Schedule<Output, Input, Error, Env> =>
    Schedule.fromStep(
      Effect.map(Schedule.toStep(schedule), (step) => {
        /** The call that the last retry belongs to, as long as that is in flight. */
        let paying: PayingCall | undefined
        const paid = (input: Input, recurrence: [Output, Duration.Duration]) =>
          Effect.withFiber((fiber): Pull.Pull<[Output, Duration.Duration], never, Output> => {
            const nowMillis = Deadline.nowMillisUnsafe(fiber.getRef(Clock.Clock))
            const cause = options?.causeOf === undefined ? failureOutcome(input).cause : options.causeOf(input)
            if (!budget.tryRetry(nowMillis, cause)) return Cause.done(recurrence[0])
            paying = callOf(budget, fiber.getRef(CurrentCall))
            if (paying !== undefined) {
              paying.retries++
              budget.retryStarted()
            }
            return Effect.succeed(recurrence)
          })
        return (now: number, input: Input) =>
          Effect.suspend(() => {
            // the call has given back its places, if it is over
            if (paying !== undefined && !paying.isOver) {
              paying.retries--
              budget.retryEnded()
            }
            paying = undefined
            return Effect.flatMap(step(now, input), (recurrence) => paid(input, recurrence))
          })
      })
    )
)

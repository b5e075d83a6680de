/**
 * A rate limit that processes share, through Effect's own `RateLimiterStore`: memory, Redis, or one of yours. It is a token
 * bucket that holds up to `limit` calls.
 *
 * **When to use**: when the upstream counts the calls of a whole fleet, and a share of the limit for each process would be
 * too little for some and too much for others.
 *
 * **What it is not**: as fast or as strict as `RateLimit`: every call asks the store, and those of several processes are
 * ordered only by when they reach it. It does not read the server's figures.
 *
 * **Gotchas**: the store may be down. Then calls pass, unless `onStoreError` says otherwise: a limiter that stops a
 * service is worse than the load that it limits. Give a Redis client `disableOfflineQueue: true`, or late commands are sent,
 * and take their tokens, when the store comes back. All processes that share a `key` must give the same `limit` and `window`.
 *
 * Effect marks `effect/persistence` as unstable; this is the only module of the package that touches its rate limiter.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Deadline from "./Deadline.ts"
import { dataFirst } from "./internal/options/given.ts"
import { elapsed } from "./internal/time/elapsed.ts"
import { rangesOf } from "./internal/options/inRange.ts"
import { makeStoreAccess, type StoreAccess } from "./internal/limits/storeAccess.ts"
import type { Mode } from "./Mode.ts"
import * as PolicyEvents from "./PolicyEvents.ts"
import type { Denial, RunOptions } from "./RateLimit.ts"
import { RateLimited } from "./Reason.ts"
import { stackless } from "./Stackless.ts"
import * as Time from "./Time.ts"

/**
 * The figures of a shared rate limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The name of the shared limit in the store. One for each upstream: keys made of user input fill the store. */
  readonly key: string
  /** Calls in a window, and calls that a full bucket lets pass at once. A whole number of at least 1. */
  readonly limit: number
  /** How long the window is. Default 1 s. */
  readonly window?: Time.Input | undefined
  /** Whether a call beyond the limit waits for its time or is refused at once. Default `wait`. */
  readonly onLimit?: "wait" | "refuse" | undefined
  /** The longest that a call waits; a call that would have to wait longer is refused at once. Default 5 s. */
  readonly maxWait?: Time.Input | undefined
  /**
   * The longest that the store may take to answer; beyond it, it has failed. A caller waits no longer than its deadline allows, and a
   * store that failed is not asked for 5 s. Default 250 ms.
   */
  readonly storeTimeout?: Time.Input | undefined
  /** How a call goes on when the store fails. Default `allow`. */
  readonly onStoreError?: "allow" | "refuse" | undefined
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
  onLimit: "wait",
  maxWait: Duration.seconds(5),
  storeTimeout: Duration.millis(250),
  onStoreError: "allow",
  mode: "enforce"
} as const satisfies Partial<Options>

/**
 * An event of a shared rate limit: a call waits for its time, was refused, or was interrupted while it waited; the store
 * failed. `observed` when it only would have been.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | {
      readonly _tag: "SharedRateLimitDelayed"
      readonly cost: number
      readonly wait: Duration.Duration
      readonly observed: boolean
    }
  | {
      readonly _tag: "SharedRateLimitRefused"
      readonly why: Denial | "store"
      readonly cost: number
      readonly retryAfter: Duration.Duration | undefined
      readonly observed: boolean
    }
  | { readonly _tag: "SharedRateLimitAbandoned"; readonly cost: number }
  | { readonly _tag: "SharedRateLimitStoreFailed"; readonly message: string }

/**
 * This process's view of a shared rate limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  readonly limit: number
  readonly window: Duration.Duration
  /** Calls of this process that wait for their time. */
  readonly waiting: number
  /** Calls that went; in `observe` without calls that it would have refused. */
  readonly admitted: number
  /** Calls that were given a time to wait for, however they ended; in `observe`, that would have been. */
  readonly delayed: number
  /** Calls that were refused; in `observe`, that would have been. */
  readonly refused: number
  /** Calls that were interrupted while they waited. */
  readonly abandoned: number
  /** How often the store failed or did not answer in time. */
  readonly storeFailures: number
}

/**
 * A rate limit that processes share.
 *
 * @category models
 * @since 0.1.0
 */
export interface SharedRateLimit {
  readonly mode: Mode
  /** Runs an effect when its time has come. Refused, it is not run, and fails with `RateLimited`. */
  readonly run: <A, E, R>(self: Effect.Effect<A, E, R>, options?: RunOptions) => Effect.Effect<A, E | RateLimited, R>
  /** This process's view so far. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
  readonly events: PolicyEvents.PolicyEvents<Event>
}

const { notNegative, whole } = rangesOf("SharedRateLimit")

/**
 * Makes a rate limit over the `RateLimiterStore` that is provided. Dies with a `RangeError` that names the option which is out
 * of range.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { RateLimiter } from "effect/persistence"
 * import { SharedRateLimit } from "holdfast/shared"
 *
 * const program = Effect.gen(function*() {
 *   const limiter = yield* SharedRateLimit.make({ key: "payments", limit: 100 })
 *   return yield* limiter.run(Effect.succeed("called"))
 * })
 *
 * // in production: RateLimiter.layerStoreRedis()
 * console.log(await Effect.runPromise(program.pipe(Effect.provide(RateLimiter.layerStoreMemory)))) // => called
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<SharedRateLimit, never, RateLimiter.RateLimiterStore> =>
  Effect.map(RateLimiter.RateLimiterStore, (store) => {
    const { key } = options
    const limit = whole("limit", options.limit, 1)
    if (key === "") throw new RangeError('SharedRateLimit: key must not be empty, got ""')
    const window = Time.of("SharedRateLimit: window", options.window ?? defaults.window)
    const intervalMillis = Duration.toMillis(window) / limit
    if (!(intervalMillis > 0 && Number.isFinite(intervalMillis))) {
      throw new RangeError(`SharedRateLimit: window must be longer than zero and finite, got ${String(options.window)}`)
    }
    const mode = options.mode ?? defaults.mode
    const { emit, events, isHeard } = PolicyEvents.make<Event>()
    const shared: Shared = {
      limit,
      intervalMillis,
      figures: `limit of ${limit} in ${elapsed(window)} for all processes together`,
      maxWaitMillis:
        (options.onLimit ?? defaults.onLimit) === "wait"
          ? notNegative("maxWait", options.maxWait ?? defaults.maxWait)
          : undefined,
      access: makeStoreAccess<RateLimiter.RateLimiterError>({
        name: `SharedRateLimit ${key}`,
        storeTimeoutMillis: notNegative("storeTimeout", options.storeTimeout ?? defaults.storeTimeout),
        failure: ({ message }) => message
      }),
      isRefusingOnStoreError: (options.onStoreError ?? defaults.onStoreError) === "refuse",
      isObserving: mode === "observe",
      ask: (tokens, allowOverflow) =>
        store.tokenBucket({ key, tokens, limit, refillRate: Duration.millis(intervalMillis), allowOverflow }),
      emit: (event) => {
        if (isHeard()) emit(event())
      },
      waiting: 0,
      admitted: 0,
      delayed: 0,
      refused: 0,
      abandoned: 0,
      storeFailures: 0
    }
    return {
      mode,
      run: mode === "off" ? (self) => self : (self, given) => runShared(shared, self, given),
      snapshot: Effect.sync(() => ({
        limit,
        window,
        waiting: shared.waiting,
        admitted: shared.admitted,
        delayed: shared.delayed,
        refused: shared.refused,
        abandoned: shared.abandoned,
        storeFailures: shared.storeFailures
      })),
      events
    }
  })

interface Shared {
  readonly limit: number
  readonly intervalMillis: number
  readonly figures: string
  /** `undefined` when calls beyond the limit are not to wait. */
  readonly maxWaitMillis: number | undefined
  readonly access: StoreAccess
  readonly isRefusingOnStoreError: boolean
  readonly isObserving: boolean
  readonly ask: (
    tokens: number,
    allowOverflow: boolean
  ) => Effect.Effect<readonly [remaining: number, elapsedMillis: number], RateLimiter.RateLimiterError>
  readonly emit: (event: () => Event) => void
  waiting: number
  admitted: number
  delayed: number
  refused: number
  abandoned: number
  storeFailures: number
}

/** The store's answer: how long to wait, or that it cannot be asked. */
type Answer = number | "failed"

/** Takes so many tokens, or only says how long that would take when they are not there and must not be owed. */
const asked = (
  shared: Shared,
  tokens: number,
  mayOwe: boolean,
  deadline: Deadline.Deadline | undefined
): Effect.Effect<Answer> =>
  shared.access
    .ask({
      effect: shared.ask(tokens, mayOwe),
      deadline,
      unwanted: ([remaining]) => (mayOwe || remaining >= 0 ? shared.ask(-tokens, true) : Effect.void),
      onFailed: (message) => {
        shared.storeFailures++
        shared.emit(() => ({ _tag: "SharedRateLimitStoreFailed", message }))
      }
    })
    .pipe(
      Effect.map(([remaining, elapsedMillis]): Answer =>
        // as `RateLimiter` of effect/persistence has it: whole tokens that are owed, less the part of the first that has passed
        remaining >= 0 ? 0 : Math.max(0, Math.ceil(-remaining) * shared.intervalMillis - elapsedMillis)
      ),
      Effect.orElseSucceed((): Answer => "failed")
    )

/**
 * Gives tokens back that were owed: the store has no word for it, and taking less than nothing is the same. A caller that
 * leaves does not wait for it.
 */
const giveBack = (shared: Shared, tokens: number): Effect.Effect<unknown> =>
  Effect.forkDetach(asked(shared, -tokens, true, undefined), { startImmediately: true })

const runShared = <A, E, R>(
  shared: Shared,
  self: Effect.Effect<A, E, R>,
  given: RunOptions | undefined
): Effect.Effect<A, E | RateLimited, R> =>
  // the store's grant must be known here before anything is interrupted, or nobody could give it back
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiber((fiber): Effect.Effect<A, E | RateLimited, R> => {
      const cost = given?.cost ?? 1
      if (!(cost >= 0)) throw new RangeError(`SharedRateLimit: cost must be at least 0, got ${cost}`)
      const clock = fiber.getRef(Clock.Clock)
      const deadline = given?.deadline ?? fiber.getRef(Deadline.Current)
      const deny = (waitMillis: number): Denial | undefined => {
        if (shared.maxWaitMillis === undefined) return "limit"
        if (waitMillis > shared.maxWaitMillis) return "max-wait"
        const atMillis = Deadline.nowMillisUnsafe(clock) + waitMillis
        return deadline !== undefined && atMillis >= deadline.atMillis ? "deadline" : undefined
      }
      const go = Effect.suspend(() => {
        shared.admitted++
        return restore(self)
      })
      if (cost === 0) return go
      const refuse = (why: Denial | "store", waitMillis: number): Effect.Effect<A, E | RateLimited, R> => {
        const refused = refusal(shared, why, cost, waitMillis)
        return shared.isObserving ? restore(self) : Effect.fail(refused)
      }
      if (cost > shared.limit) return refuse("cost", Infinity)
      const onFailure = () => (shared.isRefusingOnStoreError ? refuse("store", Infinity) : go)
      return Effect.flatMap(asked(shared, cost, false, deadline), (first) => {
        if (first === "failed") return onFailure()
        if (first === 0) return go
        const why = deny(first)
        if (why !== undefined) return refuse(why, first)
        return Effect.flatMap(asked(shared, cost, true, deadline), (wait) => {
          if (wait === "failed") return onFailure()
          // others may have come between the two questions
          const why = wait === 0 ? undefined : deny(wait)
          if (why !== undefined) return Effect.andThen(giveBack(shared, cost), refuse(why, wait))
          return waitAndGo(shared, restore, cost, wait, go)
        })
      })
    })
  )

const waitAndGo = <A, E, R>(
  shared: Shared,
  restore: <B, E2, R2>(effect: Effect.Effect<B, E2, R2>) => Effect.Effect<B, E2, R2>,
  cost: number,
  waitMillis: number,
  go: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  if (waitMillis === 0) return go
  shared.delayed++
  const observed = shared.isObserving
  shared.emit(() => ({ _tag: "SharedRateLimitDelayed", cost, wait: Duration.millis(waitMillis), observed }))
  if (observed) return go
  shared.waiting++
  // a part of a millisecond less would be too early
  const sleep = Effect.onInterrupt(restore(Effect.sleep(Duration.millis(Math.ceil(waitMillis)))), () => {
    shared.abandoned++
    shared.emit(() => ({ _tag: "SharedRateLimitAbandoned", cost }))
    return giveBack(shared, cost)
  })
  const awake = Effect.ensuring(
    sleep,
    Effect.sync(() => shared.waiting--)
  )
  return Effect.andThen(awake, go)
}

/** Counts a refusal, tells of it, and gives it. */
const refusal = (shared: Shared, why: Denial | "store", cost: number, waitMillis: number): RateLimited => {
  shared.refused++
  const retryAfter = waitMillis === Infinity ? undefined : Duration.millis(Math.ceil(waitMillis))
  const observed = shared.isObserving
  shared.emit(() => ({ _tag: "SharedRateLimitRefused", why, cost, retryAfter, observed }))
  const reasons = {
    limit: "",
    cost: `; a cost of ${cost} is more than it ever allows`,
    "max-wait": "; the wait would be too long (max-wait)",
    deadline: "; the wait would be too long (deadline)",
    store: "; its store cannot be asked"
  }
  const detail = shared.figures + reasons[why]
  return stackless(() => new RateLimited(retryAfter === undefined ? { detail } : { detail, retryAfter }))
}

/**
 * Runs an effect when its time has come. Refused, it is not run, and fails with `RateLimited`.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { RateLimiter } from "effect/persistence"
 * import { SharedRateLimit } from "holdfast/shared"
 *
 * const program = Effect.gen(function*() {
 *   const limiter = yield* SharedRateLimit.make({ key: "payments", limit: 100 })
 *   return yield* Effect.succeed("report").pipe(SharedRateLimit.run(limiter, { cost: 10 }))
 * })
 *
 * console.log(await Effect.runPromise(program.pipe(Effect.provide(RateLimiter.layerStoreMemory)))) // => report
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const run: {
  (
    rateLimit: SharedRateLimit,
    options?: RunOptions
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | RateLimited, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    rateLimit: SharedRateLimit,
    options?: RunOptions
  ): Effect.Effect<A, E | RateLimited, R>
} = dual(
  dataFirst("SharedRateLimit.run"),
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    rateLimit: SharedRateLimit,
    options?: RunOptions
  ): Effect.Effect<A, E | RateLimited, R> => rateLimit.run(self, options)
)

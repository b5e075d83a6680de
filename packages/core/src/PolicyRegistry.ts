/**
 * Policies that are used on effects of one's own, by name: a bulkhead around a query, a breaker around a queue. Readers of the registry
 * show them like the stages of an upstream; the metrics of `@holdfast/telemetry` do.
 *
 * **When to use**: once for each policy that somebody runs for others. One name may have several policies, of different kinds: those
 * around one database, say.
 *
 * **What it is not**: for the stages of an upstream, which are in the metrics by themselves.
 *
 * **Gotchas**: the registry is one for the process unless another is provided. A policy is listed until the scope closes in which it was
 * registered: do that where it is made, in the layer that gives it to others. A policy that is not registered is listed nowhere, and pays
 * for nothing.
 *
 * ```ts
 * import { Context, Effect, Layer } from "effect"
 * import { Bulkhead, PolicyRegistry } from "holdfast"
 *
 * class QueryLimit extends Context.Service<QueryLimit, Bulkhead.Bulkhead>()("QueryLimit") {
 *   static readonly layer = Layer.effect(
 *     QueryLimit,
 *     Effect.map(
 *       PolicyRegistry.register("orders-db", { bulkhead: Bulkhead.make({ maxConcurrent: 10 }) }),
 *       ({ bulkhead }) => bulkhead
 *     )
 *   )
 * }
 *
 * const program = Effect.gen(function*() {
 *   const limit = yield* QueryLimit
 *   yield* Effect.succeed("rows").pipe(Bulkhead.run(limit))
 *   for (const { bulkhead, name } of yield* PolicyRegistry.list) console.log(name, bulkhead?.admitted)
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(QueryLimit.layer))) // => orders-db 1
 * ```
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as AdaptiveConcurrency from "./AdaptiveConcurrency.ts"
import type * as AttemptTimeout from "./AttemptTimeout.ts"
import type * as Bulkhead from "./Bulkhead.ts"
import type * as CircuitBreaker from "./CircuitBreaker.ts"
import type * as Fallback from "./Fallback.ts"
import type * as Hedge from "./Hedge.ts"
import type * as PolicyEvents from "./PolicyEvents.ts"
import type * as RateLimit from "./RateLimit.ts"
import type * as Retry from "./Retry.ts"
import type * as RetryBudget from "./RetryBudget.ts"
import type * as SingleFlight from "./SingleFlight.ts"
import type * as Throttle from "./Throttle.ts"

interface Shown<out S> {
  readonly snapshot: Effect.Effect<S>
}

interface Told<out E> {
  readonly events: PolicyEvents.PolicyEvents<E>
}

/**
 * The policies of one name, as their modules make them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policies {
  readonly adaptiveConcurrency?: Shown<AdaptiveConcurrency.Snapshot> | undefined
  readonly attemptTimeout?: Shown<AttemptTimeout.Snapshot> | undefined
  readonly breaker?: Shown<CircuitBreaker.Snapshot> | undefined
  readonly budget?: Shown<RetryBudget.Snapshot> | undefined
  readonly bulkhead?: (Shown<Bulkhead.Snapshot> & Told<Bulkhead.Event>) | undefined
  readonly fallback?: Shown<Fallback.Snapshot> | undefined
  readonly hedge?: Shown<Hedge.Snapshot> | undefined
  readonly rateLimit?: (Shown<RateLimit.Snapshot> & Told<RateLimit.Event>) | undefined
  /** It remembers nothing, so that a snapshot has nothing of it. */
  readonly retry?: Told<Retry.Event> | undefined
  readonly singleFlight?: Shown<SingleFlight.Snapshot> | undefined
  readonly throttle?: Shown<Throttle.Snapshot> | undefined
}

/**
 * The state of the policies of one name at one instant; a kind that it does not have is `undefined`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  readonly name: string
  readonly adaptiveConcurrency?: AdaptiveConcurrency.Snapshot | undefined
  readonly attemptTimeout?: AttemptTimeout.Snapshot | undefined
  readonly breaker?: CircuitBreaker.Snapshot | undefined
  readonly budget?: RetryBudget.Snapshot | undefined
  readonly bulkhead?: Bulkhead.Snapshot | undefined
  readonly fallback?: Fallback.Snapshot | undefined
  readonly hedge?: Hedge.Snapshot | undefined
  readonly rateLimit?: RateLimit.Snapshot | undefined
  readonly singleFlight?: SingleFlight.Snapshot | undefined
  readonly throttle?: Throttle.Snapshot | undefined
}

/**
 * The policies registered together under a name. Two registrations may have the same name, and are two.
 *
 * @category models
 * @since 0.1.0
 */
export interface Registered {
  readonly name: string
  readonly policies: Policies
  /** Their state now. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
}

/**
 * A listener that hears of policies that come and go, on the spot. Its errors are dropped.
 *
 * @category models
 * @since 0.1.0
 */
export interface Watcher {
  readonly arrived: (registered: Registered) => void
  readonly left: (registered: Registered) => void
}

/**
 * A registry.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyRegistry {
  /** Adds policies until the scope closes. Each run is a registration of its own, told to watchers as an object of its own. */
  readonly register: (registered: Registered) => Effect.Effect<void, never, Scope.Scope>
  /** Tells of all that are there, as if they came now, and of each that comes or goes, until the scope closes. */
  readonly watch: (watcher: Watcher) => Effect.Effect<void, never, Scope.Scope>
  /** All that are there, in the order in which they came. */
  readonly list: Effect.Effect<ReadonlyArray<Snapshot>>
}

/**
 * Makes a registry of its own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): PolicyRegistry => {
  const living = new Set<Registered>()
  const watchers = new Set<Watcher>()
  const tell = (watcher: Watcher, what: keyof Watcher, registered: Registered): void => {
    try {
      watcher[what](registered)
    } catch {
      // a watcher cannot break what it watches
    }
  }
  return {
    register: ({ name, policies, snapshot }) =>
      Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => {
            // an object of its own each time: the same policies may be registered in two scopes, and the first to close ends its own
            const registered: Registered = { name, policies, snapshot }
            living.add(registered)
            for (const watcher of watchers) tell(watcher, "arrived", registered)
            return registered
          }),
          (registered) =>
            Effect.sync(() => {
              living.delete(registered)
              for (const watcher of watchers) tell(watcher, "left", registered)
            })
        )
      ),
    watch: ({ arrived, left }) =>
      Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => {
            const watcher: Watcher = { arrived, left }
            watchers.add(watcher)
            for (const registered of living) tell(watcher, "arrived", registered)
            return watcher
          }),
          (watcher) => Effect.sync(() => void watchers.delete(watcher))
        )
      ),
    list: Effect.suspend(() => Effect.forEach([...living], ({ snapshot }) => snapshot))
  }
}

const ofTheProcess = make()

/**
 * The registry in force: the process's, unless another is provided.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<PolicyRegistry> = Context.Reference<PolicyRegistry>(
  "@holdfast/core/PolicyRegistry/Current",
  { defaultValue: () => ofTheProcess }
)

/**
 * Every policy of the registry in force.
 *
 * @category getters
 * @since 0.1.0
 */
export const list: Effect.Effect<ReadonlyArray<Snapshot>> = Effect.flatMap(Current, (registry) => registry.list)

/** Kinds of policies, as `Policies` has them. */
const kinds: { readonly [K in keyof Policies]-?: true } = {
  adaptiveConcurrency: true,
  attemptTimeout: true,
  breaker: true,
  budget: true,
  bulkhead: true,
  fallback: true,
  hedge: true,
  rateLimit: true,
  retry: true,
  singleFlight: true,
  throttle: true
}

const checked = (name: string, policies: Policies): void => {
  if (typeof name !== "string" || name === "") {
    throw new RangeError(
      `PolicyRegistry: name must be a text that is not empty, since figures are found by it, got ${name === "" ? "an empty one" : String(name)}`
    )
  }
  const given = Object.entries(policies).flatMap(([kind, policy]) => (policy === undefined ? [] : [kind]))
  const unknown = given.find((kind) => !Object.hasOwn(kinds, kind))
  if (unknown !== undefined) {
    throw new RangeError(
      `PolicyRegistry: ${name}: ${unknown} is no kind of policy; it must be one of ${Object.keys(kinds).join(", ")}`
    )
  }
  if (given.length === 0) throw new RangeError(`PolicyRegistry: ${name}: at least one policy must be given, got none`)
}

/** The state of each policy, by its kind. */
const snapshotOf = (name: string, policies: Policies): Effect.Effect<Snapshot> => {
  const shown = Object.entries(policies).flatMap(([kind, policy]: [string, Partial<Shown<unknown>> | undefined]) =>
    policy?.snapshot === undefined ? [] : [Effect.map(policy.snapshot, (snapshot) => [kind, snapshot] as const)]
  )
  // each snapshot is of its policy's kind, which `Policies` says
  return Effect.map(Effect.all(shown), (snapshots) => ({ name, ...Object.fromEntries(snapshots) }) as Snapshot)
}

/**
 * Lists policies by a name until the scope closes, and gives them. Each run of the effect is a registration of its own. Throws a `RangeError` for an empty name, for no policy, and for a kind
 * that there is not.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { CircuitBreaker, PolicyRegistry, Retry } from "holdfast"
 *
 * const program = Effect.gen(function*() {
 *   const { breaker, retry } = yield* PolicyRegistry.register("search-index", {
 *     breaker: CircuitBreaker.make(),
 *     retry: Retry.make({ maxAttempts: 2 })
 *   })
 *   yield* Effect.succeed("hits").pipe(CircuitBreaker.run(breaker), retry.run)
 *   console.log((yield* PolicyRegistry.list).map(({ breaker, name }) => `${name}: ${breaker?.state}`))
 * })
 *
 * await Effect.runPromise(Effect.scoped(program)) // => [ 'search-index: Closed' ]
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const register = <const P extends Policies>(
  name: string,
  policies: P & { readonly [K in Exclude<keyof P, keyof Policies>]: never }
): Effect.Effect<P, never, Scope.Scope> => {
  checked(name, policies)
  const registered: Registered = { name, policies, snapshot: snapshotOf(name, policies) }
  return Effect.as(
    Effect.flatMap(Current, (registry) => registry.register(registered)),
    policies
  )
}

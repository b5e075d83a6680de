/**
 * Every upstream that lives in this process, with its policy and the state of its stages. Looking changes nothing.
 *
 * **When to use**: for a status page, a dashboard, a command that shows open circuits. Upstreams register by themselves and
 * leave with their scope.
 *
 * **Gotchas**: the registry is one for the process unless another is provided, as a test does that must not see the
 * upstreams of others.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Upstream, UpstreamRegistry } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}
 *
 * const program = Effect.gen(function*() {
 *   const stock = yield* Stock
 *   yield* stock.get("/items")
 *   for (const upstream of yield* UpstreamRegistry.list) {
 *     console.log(upstream.name, upstream.endpoints.map(({ breaker, origin }) => `${origin} ${breaker?.state}`))
 *   }
 * })
 *
 * const transport = ScriptedTransport.layer({ "*": [ScriptedTransport.json({})] })
 * await Effect.runPromise(program.pipe(Effect.provide(Stock.layer.pipe(Layer.provide(transport)))))
 * // => stock [ 'https://stock.internal Closed' ]
 * ```
 *
 * @since 0.1.0
 */

import * as PolicyEvents from "@holdfast/core/PolicyEvents"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { EndpointStageTypes, Snapshots, UpstreamStageTypes } from "./internal/policy/stageTypes.ts"

/**
 * The state of the stages of one endpoint; a stage that the policy does not have is `undefined`.
 *
 * @category models
 * @since 0.1.0
 */
export interface EndpointSnapshot extends Snapshots<EndpointStageTypes> {
  readonly origin: string
}

/**
 * The bodies that callers of an upstream have taken over as streams.
 *
 * @category models
 * @since 0.1.0
 */
export interface BodiesSnapshot {
  /** Given to a caller, and neither ended nor released. Each holds a connection. */
  readonly open: number
  /** Those of them that nobody has begun to read. */
  readonly unread: number
  /** How many were found unread after too long, since the upstream was made. */
  readonly found: number
}

/**
 * The state of an upstream at one instant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot extends Snapshots<UpstreamStageTypes> {
  readonly name: string
  /** Which of several versions it is, when it has them. */
  readonly version?: string | undefined
  /** Its policy in one line. */
  readonly policy: string
  readonly bodies: BodiesSnapshot
  /** The endpoint of its base URL, whether it was called or not; where there are several, the endpoints that were called of late. */
  readonly endpoints: ReadonlyArray<EndpointSnapshot>
}

/**
 * Something that can be listed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Registered {
  /** Its state; more than one where it stands for several, as a client that calls origins of many names. */
  readonly snapshot: Effect.Effect<Snapshot | ReadonlyArray<Snapshot>>
}

/**
 * Its snapshots at this instant.
 *
 * @category getters
 * @since 0.1.0
 */
export const snapshotsOf = ({ snapshot }: Registered): Effect.Effect<ReadonlyArray<Snapshot>> =>
  Effect.map(snapshot, (found) => (isOne(found) ? [found] : found))

const isOne = (found: Snapshot | ReadonlyArray<Snapshot>): found is Snapshot => "name" in found

/**
 * A registry.
 *
 * @category models
 * @since 0.1.0
 */
export interface UpstreamRegistry {
  /** Adds an upstream until the scope closes. */
  readonly register: (upstream: Registered) => Effect.Effect<void, never, Scope.Scope>
  /** Whether it is registered, and lives. */
  readonly has: (upstream: Registered) => boolean
  /** Calls the listener with every upstream that leaves; gives what ends that. */
  readonly onLeft: (listener: (upstream: Registered) => void) => () => void
  /** Every upstream that lives now, in the order in which they came. */
  readonly list: Effect.Effect<ReadonlyArray<Snapshot>>
}

/**
 * Makes a registry of its own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): UpstreamRegistry => {
  const living = new Set<Registered>()
  const leaving = PolicyEvents.make<Registered>()
  return {
    register: (upstream) =>
      Effect.acquireRelease(
        Effect.sync(() => void living.add(upstream)),
        () =>
          Effect.sync(() => {
            living.delete(upstream)
            leaving.emit(upstream)
          })
      ),
    has: (upstream) => living.has(upstream),
    onLeft: leaving.events.subscribe,
    list: Effect.suspend(() => Effect.map(Effect.forEach([...living], snapshotsOf), (found) => found.flat()))
  }
}

const ofTheProcess = make()

/**
 * The registry in force: the process's, unless another is provided.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<UpstreamRegistry> = Context.Reference<UpstreamRegistry>(
  "@holdfast/http/UpstreamRegistry/Current",
  { defaultValue: () => ofTheProcess }
)

/**
 * Every upstream of the registry in force.
 *
 * @category getters
 * @since 0.1.0
 */
export const list: Effect.Effect<ReadonlyArray<Snapshot>> = Effect.flatMap(Current, (registry) => registry.list)

/**
 * How much a call matters, as a value that travels with it: when load must be shed, the calls that matter least go first.
 *
 * **When to use**: at the edge of a service, around everything that one incoming request or job causes. Calls below it
 * carry the level; `Throttle` sheds by it, and a `Bulkhead` queues by it.
 *
 * **What it is not**: a priority queue. A level makes no call wait; it decides which calls are refused first, and, where
 * calls queue anyway for a `Bulkhead`, which of them go first.
 *
 * **Gotchas**: an unmarked call is `critical`, so marking only calls that may be shed is enough. An inner mark goes before an
 * outer one: a request that matters may start work that does not.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Criticality } from "holdfast"
 *
 * const call = Effect.map(Criticality.Current, (level) => console.log(level))
 *
 * await Effect.runPromise(call) // => critical
 * await Effect.runPromise(call.pipe(Criticality.withLevel("sheddable"))) // => sheddable
 * ```
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Schema from "effect/Schema"

/**
 * The four levels of Google's SRE book (chapter "Handling Overload"), the last to be shed first:
 *
 * - `critical-plus`: a failure is seen by users, and is serious
 * - `critical`: a failure is seen by users; the default
 * - `sheddable-plus`: a failure for minutes is expected and made up for later, as in batch work
 * - `sheddable`: a failure for hours is no harm, as in prefetching
 *
 * @category schemas
 * @since 0.1.0
 */
export const Criticality = Schema.Literals(["critical-plus", "critical", "sheddable-plus", "sheddable"])

/**
 * How much a call matters.
 *
 * @category models
 * @since 0.1.0
 */
export type Criticality = typeof Criticality.Type

/**
 * Every level, the last to be shed first.
 *
 * @category models
 * @since 0.1.0
 */
export const levels: ReadonlyArray<Criticality> = Criticality.literals

/**
 * The level in force; `critical` where nobody said otherwise.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<Criticality> = Context.Reference<Criticality>(
  "@holdfast/core/Criticality/Current",
  { defaultValue: () => "critical" }
)

/**
 * Marks everything that an effect calls.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withLevel: {
  (level: Criticality): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, level: Criticality): Effect.Effect<A, E, R>
} = dual(2, <A, E, R>(self: Effect.Effect<A, E, R>, level: Criticality): Effect.Effect<A, E, R> =>
  Effect.provideService(self, Current, level)
)

/**
 * The stages of a call, in the one order in which they stand, outermost first. It is the table by which Holdfast itself describes a policy,
 * makes what stages remember, lists it and names it in spans and metrics.
 *
 * **When to use**: to show stages in their order, on a page or a dashboard, or to name the stage that refused a call.
 *
 * **What it is not**: a way to change the order. Stages stand where they stand, whatever order a policy is written in.
 *
 * ```ts
 * import { StageOrder } from "holdfast"
 *
 * for (const { around, name } of StageOrder.all) if (around === "attempt") console.log(name)
 * // => breaker
 * // => throttle
 * // => bulkhead
 * // => adaptiveConcurrency
 * // => attemptTimeout
 * // => redirects
 * ```
 *
 * @since 0.1.0
 */

import * as Predicate from "effect/Predicate"
import type { DeadlineExceeded, PolicyReason } from "@holdfast/core/Reason"
import { type Decider, order, rowOf, type StageName, stageNames, stageOf as deciderOf } from "./internal/call/order.ts"

/**
 * A stage, and where it stands.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stage {
  /** As a policy names it. */
  readonly name: StageName
  /** As a sentence names it. */
  readonly title: string
  /** Whether it stands around all attempts of a call, or around each. */
  readonly around: "call" | "attempt"
  /** Why it stands there. */
  readonly why: string
  /** The tags of the reasons with which it refuses. */
  readonly refusals: ReadonlyArray<(PolicyReason | DeadlineExceeded)["_tag"]>
  /** Whether it remembers something, which a snapshot of the upstream or the endpoint shows under its name. */
  readonly isRemembering: boolean
  /** How many calls or attempts it has let through and refused, if it counts that, from its part of a snapshot. */
  readonly counted: (snapshot: unknown) => { readonly admitted: number; readonly refused: number } | undefined
}

/**
 * All stages, outermost first.
 *
 * @category getters
 * @since 0.1.0
 */
export const all: ReadonlyArray<Stage> = stageNames.map((name) => {
  const { around, refusals, why } = order[name]
  const row = rowOf(name)
  const counted = (snapshot: unknown) => (Predicate.isObject(snapshot) ? row?.counted?.(snapshot) : undefined)
  // the table is the engine's, and a caller's to read
  const own = Object.freeze([...refusals])
  return { name, title: row?.title ?? name, around, why, refusals: own, isRemembering: row !== undefined, counted }
})

/**
 * The stage that refuses with a reason; `endpoint` where the endpoints of an upstream said that there is none to go to.
 *
 * ```ts
 * import { Reason, StageOrder } from "holdfast"
 *
 * console.log(StageOrder.stageOf(new Reason.CircuitOpen({}))) // => breaker
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const stageOf = (reason: PolicyReason | DeadlineExceeded): Decider => deciderOf(reason)

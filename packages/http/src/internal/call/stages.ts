/** The state of an upstream and of its endpoints, made by the table of stages, and the part of it that a reload keeps. */

import * as AttemptTimeout from "@holdfast/core/AttemptTimeout"
import * as LatencyTracker from "@holdfast/core/LatencyTracker"
import type { RetryBudget } from "@holdfast/core/RetryBudget"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { HttpPolicy } from "../policy/policyModel.ts"
import { sameOptions } from "../policy/sameOptions.ts"
import {
  type AnyRow,
  type Beside,
  optionsOf,
  order,
  partOf,
  type Refusal,
  rowsOf,
  type Running,
  type StageName
} from "./order.ts"
import type { EndpointStageTypes, States, UpstreamStageTypes } from "../policy/stageTypes.ts"

/** Stages that run by themselves, and what they remember. */
export type Others = ReadonlyArray<{ readonly name: StageName; readonly row: AnyRow; readonly state: unknown }>

/** The stages around an upstream's calls, with their state. */
export interface UpstreamStages extends States<UpstreamStageTypes> {
  /** Stages that are not fused into the engine; `undefined` for none. */
  readonly others: Others | undefined
}

/** The stages around the attempts at one of an upstream's endpoints, with their state. */
export interface EndpointStages extends States<EndpointStageTypes> {
  /** Stages that are not fused into the guard; `undefined` for none. */
  readonly others: Others | undefined
  /** How long an attempt may take before a caller who gives up says something of the endpoint; it outlives every change of options. */
  readonly fairShare: AttemptTimeout.FairShare
  /**
   * The endpoint's latencies; they outlive a change of the options that are reckoned with them. None as long as nobody asked: 22 KB for
   * each endpoint would be most of an endpoint's memory.
   */
  readonly latencies: LatencyTracker.LatencyTracker | undefined
  /** Whether an attempt has to ask any stage before it is sent. */
  readonly isGuarded: boolean
  /** Those of the stages that know whether they would let an attempt through. */
  readonly asked: ReadonlyArray<Asked>
}

interface Asked {
  readonly hasRoom: (nowMillis: number) => boolean
}

/** An upstream, or an endpoint, as it was before a reload. */
interface Before {
  readonly policy: HttpPolicy
  readonly stages: object
  readonly beside: Beside
}

/** The options of a stage that is there, in whatever mode but off. */
const present = (policy: HttpPolicy, name: StageName) => {
  const options = optionsOf(policy, name)
  return options?.mode === "off" ? undefined : options
}

/** The stage that was, if its options are the same; otherwise one that takes over the state of that one. */
const kept = (
  name: StageName,
  row: AnyRow,
  policy: HttpPolicy,
  beside: Beside,
  before: Before | undefined
): unknown => {
  const options = present(policy, name)
  if (options === undefined) return undefined
  const had = before && optionsOf(before.policy, name)
  const living = before && partOf(before.stages, name)
  if (before === undefined || living === undefined) return row.make(options, undefined, beside)
  if (sameOptions(had, options) && (row.servesOn?.(before.beside, beside) ?? true)) return living
  const isSameMode = (had?.mode ?? "enforce") === (options.mode ?? "enforce")
  return row.make(options, isSameMode || row.keeps === "always" ? { options: had, state: living } : undefined, beside)
}

/** The stages of a level, outermost first, by their names. */
const statesOf = <T>(
  around: "call" | "attempt",
  policy: HttpPolicy,
  latencies: LatencyTracker.LatencyTracker | undefined,
  before: Before | undefined
) => {
  const states: { [name: string]: unknown } = {}
  let isGuarded = false
  const others: Array<Others[number]> = []
  for (const [name, row] of rowsOf(around)) {
    // the budget stands before what pays from it
    const state = kept(name, row, policy, { budget: states["budget"] as RetryBudget | undefined, latencies }, before)
    states[name] = state
    if (state === undefined) continue
    if (row.run !== undefined) others.push({ name, row, state })
    else if (row.refusals.length > 0) isGuarded = true
  }
  // the rows of a level are typed by the names of its states
  return { states: states as States<T>, isGuarded, others: others.length === 0 ? undefined : others }
}

/** The stages of an upstream; those of a living one whose options did not change stay as they are. */
export const upstreamStages = (
  policy: HttpPolicy,
  before?: { readonly policy: HttpPolicy; readonly stages: UpstreamStages }
): UpstreamStages => {
  const beside = before && { budget: before.stages.budget }
  const { others, states } = statesOf<UpstreamStageTypes>(
    "call",
    policy,
    undefined,
    before && beside && { ...before, beside }
  )
  return { ...states, others }
}

/** A hedge of its own for one of several origins whose calls pay from the same budget. */
export const ownHedge = (policy: HttpPolicy, stages: UpstreamStages): UpstreamStages => {
  const options = present(policy, "hedge")
  return options === undefined ? stages : { ...stages, hedge: order.hedge.make(options, undefined, stages) }
}

/** The stages of an endpoint; those of a living one whose options did not change stay as they are. */
export const endpointStages = (
  policy: HttpPolicy,
  before?: { readonly policy: HttpPolicy; readonly stages: EndpointStages }
): EndpointStages => {
  const latencies =
    before?.stages.latencies ?? (policy.attemptTimeout === undefined ? undefined : LatencyTracker.make())
  const was = before && { ...before, beside: {} }
  const { isGuarded, others, states } = statesOf<EndpointStageTypes>("attempt", policy, latencies, was)
  return {
    ...states,
    others,
    fairShare: before?.stages.fairShare ?? AttemptTimeout.makeFairShare(),
    latencies,
    isGuarded,
    asked: Object.values<unknown>(states).filter(isAsked)
  }
}

/** Runs through stages that run by themselves, the first outermost. */
export const through = <E>(
  others: Others,
  run: Effect.Effect<unknown, E, unknown>,
  running: Running<E>
): Effect.Effect<unknown, E | Refusal, unknown> =>
  others.reduceRight<Effect.Effect<unknown, E | Refusal, unknown>>(
    (inner, { row, state }) => row.run?.(state, inner, running as Running<E | Refusal>) ?? inner,
    run
  )

/** Whether an attempt would be let through now. Asking changes nothing. */
export const hasRoom = ({ asked }: EndpointStages, nowMillis: number): boolean =>
  asked.every((stage) => stage.hasRoom(nowMillis))

const isAsked = (state: unknown): state is Asked =>
  Predicate.hasProperty(state, "hasRoom") && Predicate.isFunction(state.hasRoom)

/** Whether an endpoint is well enough for a hedge, which is no probe of a circuit. Asked when one is due, which is seldom. */
export const hasRoomForHedge = (stages: EndpointStages, nowMillis: number): boolean =>
  hasRoom(stages, nowMillis) &&
  (stages.breaker === undefined || Effect.runSync(stages.breaker.snapshot).state.endsWith("Closed"))

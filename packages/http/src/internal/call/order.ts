/**
 * The one order of the stages: a row for each, outermost first, with its options and its state, why it stands where it does, what it
 * refuses with, what a reload keeps of it and how it is put in words. Code that describes, makes, lists or counts stages reads this table.
 */

import * as AdaptiveConcurrency from "@holdfast/core/AdaptiveConcurrency"
import * as AttemptTimeout from "@holdfast/core/AttemptTimeout"
import * as Bulkhead from "@holdfast/core/Bulkhead"
import type { CallError } from "@holdfast/core/CallError"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import type * as Deadline from "@holdfast/core/Deadline"
import * as Hedge from "@holdfast/core/Hedge"
import type * as LatencyTracker from "@holdfast/core/LatencyTracker"
import type { Mode } from "@holdfast/core/Mode"
import type { Outcome } from "@holdfast/core/Outcome"
import * as RateLimit from "@holdfast/core/RateLimit"
import type * as Reason from "@holdfast/core/Reason"
import * as RetryBudget from "@holdfast/core/RetryBudget"
import * as SingleFlight from "@holdfast/core/SingleFlight"
import * as Throttle from "@holdfast/core/Throttle"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { EndpointStageTypes, OptionsOf, SnapshotOf, Types, UpstreamStageTypes } from "../policy/stageTypes.ts"
import { sameOptions } from "../policy/sameOptions.ts"
import * as Words from "../policy/stageWords.ts"

export type UpstreamStageName = keyof UpstreamStageTypes
export type EndpointStageName = keyof EndpointStageTypes

/** Stages that remember nothing: what they do is in the policy of each call. */
export type PlainStageName = "deadline" | "retry" | "redirects"

export type StageName = UpstreamStageName | EndpointStageName | PlainStageName

/** The neighbours that a stage is made with, besides its options. */
export interface Beside {
  readonly budget?: RetryBudget.RetryBudget | undefined
  readonly latencies?: LatencyTracker.LatencyTracker | undefined
}

/** The terms that a call gives a stage that runs by itself. */
export interface Running<E> {
  readonly deadline: Deadline.Deadline | undefined
  /** Judges an end; around a call nothing is known of it, because its attempts were judged. */
  readonly classify: (exit: Exit.Exit<unknown, E>) => Outcome
}

/** A stage as it was before a reload. */
export interface Before<T extends Types> {
  readonly options: T["options"]
  readonly state: T["state"]
}

/** Where a stage stands, and why. */
export interface PlainRow {
  /** Whether it stands around all attempts of a call, or around each. */
  readonly around: "call" | "attempt"
  readonly why: string
  /** The reasons with which it refuses. */
  readonly refusals: ReadonlyArray<Refusal["_tag"]>
}

/** Why nothing was sent. */
export type Refusal = Reason.PolicyReason | Reason.DeadlineExceeded

/** A stage that remembers something. */
export interface Row<T extends Types> extends PlainRow {
  readonly make: (options: T["options"], before: Before<T> | undefined, beside: Beside) => T["state"]
  /**
   * When a reload keeps the state. `mode`: if the mode stays, because a stage that only watched has no past as one that acts. `always`:
   * because calls in flight, or the server's own words, count in any mode.
   */
  readonly keeps: "mode" | "always"
  /** Whether one whose options say the same serves on, with its present neighbours. Default: it does. */
  readonly servesOn?: ((before: Beside, now: Beside) => boolean) | undefined
  /** Its work, in words; left out where another stage's words say it. */
  readonly words?: ((options: T["options"]) => string) | undefined
  /** Its name in a sentence. */
  readonly title: string
  /**
   * Runs an attempt, or all of a call, through the stage. A stage without it is fused into the engine or the guard, which know it by name;
   * one with it stands inside of the fused ones.
   */
  readonly run?:
    | (<A, E, R>(
        state: T["state"],
        self: Effect.Effect<A, E, R>,
        running: Running<E>
      ) => Effect.Effect<A, E | Refusal, R>)
    | undefined
  /** How many it has let through, and how many it has refused, since it was made. */
  readonly counted?: ((snapshot: SnapshotOf<T["state"]>) => Counted) | undefined
}

export interface Counted {
  readonly admitted: number
  readonly refused: number
}

type Rows = { readonly [K in PlainStageName]: PlainRow } & {
  readonly [K in UpstreamStageName]: Row<UpstreamStageTypes[K]>
} & { readonly [K in EndpointStageName]: Row<EndpointStageTypes[K]> }

/** All stages, outermost first. */
export const order: Rows = {
  deadline: {
    around: "call",
    why: "it bounds all that a call does: its layers, its waits, its attempts",
    refusals: ["DeadlineExceeded"]
  },
  singleFlight: {
    around: "call",
    why: "a call that shares another's answer asks nothing of the stages within",
    refusals: [],
    keeps: "mode",
    make: (options, before) => SingleFlight.make<string, unknown, CallError>(options, before?.state),
    words: Words.singleFlight,
    title: "single flight"
  },
  rateLimit: {
    around: "call",
    why: "a call waits for its turn before it takes anything; a retry and a hedge wait for turns of their own",
    refusals: ["RateLimited"],
    keeps: "always",
    make: (options, before) => RateLimit.make(options, before?.state),
    words: Words.rateLimit,
    counted: (snapshot) => snapshot,
    title: "rate limit"
  },
  retry: {
    around: "call",
    why: "each of its attempts goes through the stages within, and finds the circuit as it is then",
    refusals: []
  },
  budget: {
    around: "call",
    why: "retries and hedges are paid from it, by the retry and the hedge",
    refusals: [],
    keeps: "mode",
    make: (options, before) => RetryBudget.make(options, before?.state),
    counted: ({ granted, refused }) => ({ admitted: granted, refused }),
    title: "retry budget"
  },
  hedge: {
    around: "call",
    why: "both attempts are one of the retry's, and each of them goes through the stages within",
    refusals: [],
    keeps: "mode",
    make: (options, before, { budget }) => Hedge.make({ ...options, budget }, before?.state),
    // it pays from the budget: with another budget it is another, which has learned the same
    servesOn: (before, now) => before.budget === now.budget,
    words: Words.hedge,
    title: "hedge"
  },
  breaker: {
    around: "attempt",
    why: "it counts each attempt, and an open circuit must not cost a place in what follows",
    refusals: ["CircuitOpen"],
    keeps: "mode",
    make: (options, before) => forcedLike(before?.state, CircuitBreaker.make(options, before?.state)),
    words: Words.breaker,
    counted: (snapshot) => snapshot,
    title: "circuit breaker"
  },
  throttle: {
    around: "attempt",
    why: "what is shed must not wait for a place",
    refusals: ["Throttled"],
    keeps: "mode",
    make: (options, before) => Throttle.make(options, before?.state),
    words: Words.throttle,
    counted: ({ admitted, shed }) => ({ admitted, refused: shed }),
    title: "throttle"
  },
  bulkhead: {
    around: "attempt",
    why: "a place is held while something is sent, and not during the waits between attempts",
    refusals: ["BulkheadFull"],
    keeps: "always",
    make: (options, before) => (before === undefined ? Bulkhead.make(options) : resized(options, before)),
    words: Words.bulkhead,
    counted: (snapshot) => snapshot,
    title: "bulkhead"
  },
  adaptiveConcurrency: {
    around: "attempt",
    why: "the wait for a place in the bulkhead is no latency of the upstream",
    refusals: ["ConcurrencyLimited"],
    keeps: "always",
    make: (options, before) => AdaptiveConcurrency.make(options, before?.state),
    words: Words.adaptiveConcurrency,
    counted: (snapshot) => snapshot,
    title: "adaptive concurrency"
  },
  attemptTimeout: {
    around: "attempt",
    why: "it begins when an attempt has passed every stage, and ends with the decoded answer",
    refusals: [],
    keeps: "mode",
    make: (options, _, { latencies }) => AttemptTimeout.adaptive({ ...options, tracker: latencies }),
    words: Words.attemptTimeout,
    title: "attempt timeout"
  },
  redirects: {
    around: "attempt",
    why: "all hops are one attempt, within its limit",
    refusals: []
  }
}

/** A circuit that an operator forced stays forced, until an operator ends it: a change of a file does not. */
const forcedLike = (
  living: CircuitBreaker.CircuitBreaker | undefined,
  next: CircuitBreaker.CircuitBreaker
): CircuitBreaker.CircuitBreaker => {
  const state = living === undefined ? undefined : Effect.runSync(living.snapshot).state
  if (state === "ForcedOpen") Effect.runSync(next.forceOpen)
  if (state === "ForcedClosed") Effect.runSync(next.forceClosed)
  return next
}

/** A bulkhead in use is made larger or smaller, so that nobody who holds or awaits a place is forgotten. */
const resized = (
  options: Bulkhead.Options,
  { options: had, state: living }: Before<EndpointStageTypes["bulkhead"]>
) => {
  if (had.mode !== options.mode || !sameOptions(had.maxWait, options.maxWait)) return Bulkhead.make(options, living)
  living.resize({
    maxConcurrent: options.maxConcurrent ?? Bulkhead.defaults.maxConcurrent,
    maxQueue: options.maxQueue ?? Bulkhead.defaults.maxQueue
  })
  return living
}

/** The names of all stages, outermost first. */
export const stageNames = Object.keys(order) as ReadonlyArray<StageName> // the keys of a literal are all that it has

/** The part of a stage in anything that is kept by stages; only the row knows its type. */
export const partOf = (kept: object, name: StageName): unknown => (kept as { readonly [name: string]: unknown })[name]

/** The options of a stage, in whatever mode it is; `undefined` for one that the policy does not have. */
export const optionsOf = (
  policy: OptionsOf<UpstreamStageTypes & EndpointStageTypes>,
  name: StageName
): { readonly mode?: Mode | undefined } | undefined =>
  // each row's options have a mode, or none
  partOf(policy, name) as { readonly mode?: Mode | undefined } | undefined

/** The stages that remember something, around a call or around each attempt, outermost first. */
export const rowsOf = (around: PlainRow["around"]): ReadonlyArray<readonly [name: StageName, row: AnyRow]> =>
  stageNames.flatMap((name) => {
    const row = rowOf(name)
    return row === undefined || row.around !== around ? [] : [[name, row] as const]
  })

/** The options of all stages that remember something, as they were declared: a stage that is `false` is not there. */
export const declared = (options: object): OptionsOf<UpstreamStageTypes & EndpointStageTypes> => {
  const named: { [name: string]: unknown } = {}
  for (const [name] of [...rowsOf("call"), ...rowsOf("attempt")]) {
    const given = partOf(options, name)
    named[name] = given === false ? undefined : given
  }
  // the rows are typed by the names of the options
  return named as OptionsOf<UpstreamStageTypes & EndpointStageTypes>
}

/** A row whose types are forgotten: its functions take what a policy and an upstream have under its name. */
export type AnyRow = Row<{ readonly options: unknown; readonly state: unknown }>

/** The row of a stage that remembers something. */
export const rowOf = (name: StageName): AnyRow | undefined => {
  const row: PlainRow = order[name]
  return "make" in row ? (row as unknown as AnyRow) : undefined
}

/** A stage that decides or waits, as a policy names it; `endpoint` where several endpoints are chosen from. */
export type Decider = StageName | "endpoint"

/** The stage that refuses with a reason. A reason that no stage of a policy gives came from the choice of an endpoint. */
export const stageOf = ({ _tag }: Refusal): Decider =>
  stageNames.find((name) => order[name].refusals.includes(_tag)) ?? "endpoint"

/**
 * The hedge's state machine: when a call is slow enough to be hedged, whether the extra load is paid for, which samples a
 * call gives, and how a race goes on when its attempts end one after another.
 */

import type { LatencyTracker } from "../../LatencyTracker.ts"
import type { Failure, Outcome } from "../../Outcome.ts"

/** The part of a `LatencyTracker` that is needed. */
export type Latencies = Pick<LatencyTracker, "record" | "quantileMillis" | "count">

export interface HedgeShape {
  /** The delay, when it is not learned. */
  readonly fixedMillis: number | undefined
  /** The quantile of the latency that is the delay, when it is learned. */
  readonly quantile: number
  readonly minimumSamples: number
  readonly refreshMillis: number
  /** The shortest delay that is learned. */
  readonly minimumMillis: number
  /** Millionths of a hedge that a call pays for. */
  readonly deposit: number
  /** Millionths of a hedge that can be saved up. */
  readonly capacity: number
}

/** One hedge, in the unit of the shape: whole millionths, so that sums do not drift. */
export const oneHedge = 1_000_000

export interface HedgeState {
  readonly shape: HedgeShape
  readonly latencies: Latencies
  /** Millionths of a hedge that may be spent. */
  tokens: number
  /** The delay in force; `undefined` as long as too little is known. */
  delayMillis: number | undefined
  /** When the delay was learned. */
  learnedAtMillis: number
}

export const makeHedgeState = (shape: HedgeShape, latencies: Latencies): HedgeState => ({
  shape,
  latencies,
  tokens: shape.capacity,
  delayMillis: shape.fixedMillis,
  learnedAtMillis: -Infinity
})

/** Counts a call, and gives how long its first attempt may take before it is hedged; `undefined`: it is not. */
export const callStarted = (state: HedgeState, nowMillis: number): number | undefined => {
  state.tokens = Math.min(state.shape.capacity, state.tokens + state.shape.deposit)
  if (state.shape.fixedMillis === undefined) learn(state, nowMillis)
  return state.delayMillis
}

const learn = (state: HedgeState, nowMillis: number): void => {
  const { minimumMillis, minimumSamples, quantile, refreshMillis } = state.shape
  // a clock that went back would otherwise keep an old delay for as long as it went back
  const isFresh = nowMillis >= state.learnedAtMillis && nowMillis - state.learnedAtMillis < refreshMillis
  if (isFresh) return
  if (state.latencies.count(nowMillis) < minimumSamples) {
    state.delayMillis = undefined
    return
  }
  const learned = state.latencies.quantileMillis(nowMillis, quantile)
  // upwards, past all values that the tracker cannot tell from the quantile (1/64 of it), and because a platform timer
  // drops the fraction: a hedge sent too early is load above the promise
  state.delayMillis = learned === undefined ? undefined : Math.max(minimumMillis, Math.ceil(learned * (1 + 1 / 64)))
  state.learnedAtMillis = nowMillis
}

/** Whether one more hedge is within the extra load that is allowed. */
export const hasToken = (state: HedgeState): boolean => state.tokens >= oneHedge

export const takeToken = (state: HedgeState): void => {
  state.tokens -= oneHedge
}

/**
 * Takes at most one sample from a call: how long its first attempt had been running when the call was resolved, by whichever
 * attempt. A first attempt that was overtaken must leave a sample no shorter than the delay that it had exceeded: recording
 * the winner's own duration instead, or dropping it, moves the quantile down and turns 5 % of extra load into 8 or 9 %.
 *
 * A call that did not succeed in less than the delay is no sample: it failed fast, or its caller left early, and says nothing
 * of how long an answer takes. A time-out says so from the first call on.
 */
export const callResolved = (
  state: HedgeState,
  call: {
    readonly primaryMillis: number
    /** The delay that was in force for this call. */
    readonly delayMillis: number | undefined
    readonly outcome: Outcome
  },
  nowMillis: number
): void => {
  if (state.shape.fixedMillis !== undefined) return
  const { delayMillis, outcome, primaryMillis } = call
  // a stale connection took as long as it took to find out
  if (outcome._tag === "Failure" && outcome.cause === "stale") return
  const isSample =
    outcome._tag === "Success" ||
    (outcome._tag === "Failure" && outcome.cause === "timeout") ||
    (delayMillis !== undefined && primaryMillis >= delayMillis)
  if (isSample) state.latencies.record(nowMillis, primaryMillis)
}

/** A call and its attempts that run at the same time. */
export interface RaceState {
  /** Attempts that run. */
  running: number
  /** Whether another hedge may be started for this call. */
  mayHedge: boolean
}

export const makeRaceState = (): RaceState => ({ running: 0, mayHedge: true })

/**
 * The state of the race when one of its attempts has ended: it goes on, it ends with this attempt's exit, or, when all
 * have failed, with the first one's.
 *
 * A final failure is as final from any attempt (gRPC's proposal A6: fatal codes cancel the rest). A refusal made on this side is
 * not final: the bulkhead that had no room for the hedge says nothing about the attempt that is under way.
 */
export const attemptEnded = (race: RaceState, outcome: Outcome): "goesOn" | "thisExit" | "firstExit" => {
  race.running--
  if (outcome._tag !== "Failure") return "thisExit"
  if (!outcome.retryable && outcome.cause !== "refused") return "thisExit"
  if (asksForLess(outcome)) race.mayHedge = false
  return race.running === 0 ? "firstExit" : "goesOn"
}

/** gRPC's proposal A6 calls it pushback: an upstream that asks to be left alone is not sent more. */
const asksForLess = (outcome: Failure): boolean => outcome.cause === "throttle" || outcome.retryAfter !== undefined

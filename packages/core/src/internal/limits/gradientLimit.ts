/**
 * A concurrency limit by latency (failsafe-go's adaptive limiter, from Netflix's Vegas and Gradient2): how much slower the
 * upstream is than it was says how many calls queue in it. The gradient alone drifts upwards under a modest overload, because
 * the baseline follows (Netflix concurrency-limits, pull request 134); so the correlation of load with throughput and latency
 * has its say too (failsafe-go, after Uber's Cinnamon). Drops have theirs by their share of a window, see `dropShare`; failsafe-go
 * does not look at them at all.
 */

import * as DropShare from "./dropShare.ts"
import * as Histogram from "../time/latencyHistogram.ts"

export interface GradientShape {
  readonly initialLimit: number
  readonly minimumLimit: number
  readonly maximumLimit: number
  /** The part of the limit that a drop leaves. */
  readonly backoffRatio: number
  /** Which quantile stands for the latencies of a window. */
  readonly quantile: number
  /** Samples before a window may end. */
  readonly minimumSamples: number
  readonly shortestWindowMillis: number
  readonly longestWindowMillis: number
  /** A limit of more than this many times the calls in flight shrinks again. */
  readonly headroom: number
}

export type Change = "increase" | "decrease" | "hold"

/** Why a window moved the limit, or did not. */
export type Cause = "drop" | "growth" | "queue" | "throughput" | "idle"

const smoothing = 5
const baselineAge = 10
const warmUp = 10
const correlationWindow = 50
const leastVariation = 0.01

/**
 * The factor by which a full limit grows at first, as long as no window was a reason to shrink it. A step a window would let an
 * upstream that takes ten times as much lose most of its calls for minutes (slow start, as TCP has it; half a step of its doubling,
 * since a window tells late).
 */
const firstGrowth = 1.5
/** How much slower than the fastest window one may be for the limit to grow so fast. */
const firstSlack = 1.25
/** How many times as many calls must end in the window after it; otherwise they only wait elsewhere, and it is taken back. */
const firstGain = 1.25

/** Calls that tell of too many drops before the window is over. */
const earlyCalls = 20

/** A mean that forgets: the plain mean of the first samples, then an exponential one with α = 2 / (age + 1). */
interface MovingMean {
  readonly age: number
  count: number
  value: number
}

const makeMovingMean = (age: number): MovingMean => ({ age, count: 0, value: 0 })

const addToMean = (mean: MovingMean, sample: number): number => {
  mean.count = Math.min(mean.count + 1, warmUp + 1)
  const weight = mean.count <= warmUp ? 1 / mean.count : 2 / (mean.age + 1)
  mean.value += (sample - mean.value) * weight
  return mean.value
}

const medianOf = (samples: ReadonlyArray<number>): number => {
  const sorted = samples.toSorted((left, right) => left - right)
  return sorted[sorted.length >> 1] ?? 0
}

/** One closed window, as the correlations see it. */
export interface Observation {
  readonly inFlight: number
  readonly recentMillis: number
  /** By Little's law: in flight over latency. */
  readonly throughput: number
}

export interface Correlations {
  /** Of in flight with throughput, -1 to 1; 0 while unknown. Below 0: past the knee. */
  readonly throughput: number
  /** Of in flight with latency, -1 to 1; 0 while unknown. */
  readonly latency: number
  /** Standard deviation of the throughput over its mean. */
  readonly throughputVariation: number
}

const meanOf = (values: ReadonlyArray<number>): number =>
  values.reduce((total, value) => total + value, 0) / values.length

const deviationOf = (values: ReadonlyArray<number>, mean: number): number =>
  Math.sqrt(meanOf(values.map((value) => (value - mean) ** 2)))

/**
 * Pearson's correlation; 0 where one of the series hardly varies (failsafe-go: less than 1 % of its mean), since noise
 * correlates with anything.
 */
export const correlationOf = (left: ReadonlyArray<number>, right: ReadonlyArray<number>): number => {
  const leftMean = meanOf(left)
  const rightMean = meanOf(right)
  const leftDeviation = deviationOf(left, leftMean)
  const rightDeviation = deviationOf(right, rightMean)
  if (!(leftDeviation >= leastVariation * leftMean && rightDeviation >= leastVariation * rightMean)) return 0
  if (leftDeviation === 0 || rightDeviation === 0) return 0
  const covariance = meanOf(left.map((value, index) => (value - leftMean) * ((right[index] ?? 0) - rightMean)))
  return covariance / (leftDeviation * rightDeviation)
}

const unknownCorrelations: Correlations = { throughput: 0, latency: 0, throughputVariation: 1 }

/** The sum of the last windows; nothing until there are ten of them. */
export const correlate = (observations: ReadonlyArray<Observation>): Correlations => {
  if (observations.length < warmUp) return unknownCorrelations
  const inFlight = observations.map((observation) => observation.inFlight)
  const throughput = observations.map((observation) => observation.throughput)
  const mean = meanOf(throughput)
  return {
    throughput: correlationOf(inFlight, throughput),
    latency: correlationOf(
      inFlight,
      observations.map((observation) => observation.recentMillis)
    ),
    throughputVariation: deviationOf(throughput, mean) / mean
  }
}

/** How many calls wait inside the upstream, by how much slower it is than its baseline (Vegas). */
export const queueOf = (limit: number, baselineMillis: number, recentMillis: number): number =>
  Math.ceil(limit * (1 - baselineMillis / recentMillis))

/** One step of the limit: log10, and never less than one call (Vegas). */
export const stepOf = (limit: number): number => Math.max(1, Math.log10(limit))

/** failsafe-go's rules, in their order: a queue of less than α = 3 steps is room, of more than β = 6 steps is overload. */
export const decide = (options: {
  readonly limit: number
  readonly queue: number
  /** Whether the limit was reached. */
  readonly full: boolean
  readonly correlations: Correlations
}): { readonly change: Change; readonly cause: Cause } => {
  const { correlations, full, limit, queue } = options
  const step = stepOf(limit)
  if (queue > 6 * step) return { change: "decrease", cause: "queue" }
  if (full && correlations.throughput < 0) return { change: "decrease", cause: "throughput" }
  if (full && correlations.throughput < 0.3 && correlations.latency > 0.5) {
    return { change: "decrease", cause: "throughput" }
  }
  if (full && correlations.throughputVariation < 0.2 && correlations.latency > 0.5) {
    return { change: "decrease", cause: "throughput" }
  }
  return { change: queue < 3 * step ? "increase" : "hold", cause: "queue" }
}

export interface GradientState {
  readonly shape: GradientShape
  /** Not always a whole number: a step is a logarithm. */
  limit: number
  /** Whether there never was a reason to shrink. */
  isFresh: boolean
  /** The limit before it grew by half in the last window, and how many calls ended in a millisecond then. */
  trial: { readonly limit: number; readonly perMilli: number } | undefined
  /** How often drops cut the limit. A call remembers it, see `dropped`. */
  cuts: number
  /** Calls of the open window that were dropped. */
  windowDrops: number
  /** The latency of the fastest window. */
  fastestWindowMillis: number
  /** The latencies of the window that is open. */
  readonly window: Histogram.Histogram
  windowFastestMillis: number
  windowMostInFlight: number
  windowBeganAtMillis: number
  /** When the open window may end; `undefined` before the first sample. */
  windowEndsAtMillis: number | undefined
  /** The last windows' latencies, before smoothing. */
  readonly latencies: Array<number>
  readonly recent: MovingMean
  readonly baseline: MovingMean
  readonly observations: Array<Observation>
}

export const makeGradientState = (shape: GradientShape): GradientState => ({
  shape,
  limit: shape.initialLimit,
  isFresh: true,
  trial: undefined,
  cuts: 0,
  windowDrops: 0,
  fastestWindowMillis: Infinity,
  window: Histogram.makeHistogram(),
  windowFastestMillis: Infinity,
  windowMostInFlight: 0,
  windowBeganAtMillis: 0,
  windowEndsAtMillis: undefined,
  latencies: [],
  recent: makeMovingMean(smoothing),
  baseline: makeMovingMean(baselineAge),
  observations: []
})

const push = <A>(ring: Array<A>, item: A, longest: number): void => {
  ring.push(item)
  if (ring.length > longest) ring.shift()
}

/**
 * The upstream refused, failed or did not answer. Gives why the limit was reconsidered, if this call ended the window. Where too many
 * of its calls are drops it ends at once: an upstream that answers nothing in time must not wait for the clock. But the limit is cut
 * once for all that were in flight together: a call sent before the last cut says nothing about the limit since.
 */
export const dropped = (
  state: GradientState,
  nowMillis: number,
  inFlight: number,
  cutsWhenSent: number
): Cause | undefined => {
  state.windowDrops++
  const calls = state.window.count + state.windowDrops
  const isEarly = cutsWhenSent === state.cuts && calls >= earlyCalls && DropShare.isTooMany(state.windowDrops, calls)
  return ended(state, nowMillis, inFlight, isEarly)
}

/** A call succeeded. Gives why the limit was reconsidered, if this call ended the window. */
export const succeeded = (
  state: GradientState,
  nowMillis: number,
  inFlight: number,
  durationMillis: number
): Cause | undefined => {
  // a clock that went back measures nothing
  if (!(durationMillis >= 0)) return undefined
  Histogram.add(state.window, durationMillis)
  state.windowFastestMillis = Math.min(state.windowFastestMillis, durationMillis)
  return ended(state, nowMillis, inFlight, false)
}

/** A call has ended, and with it perhaps the window. */
const ended = (state: GradientState, nowMillis: number, inFlight: number, isEarly: boolean): Cause | undefined => {
  const { shape, window } = state
  state.windowMostInFlight = Math.max(state.windowMostInFlight, inFlight)
  // the first window, or a clock that went back by more than a window can last
  if (state.windowEndsAtMillis === undefined || state.windowEndsAtMillis - nowMillis > shape.longestWindowMillis) {
    state.windowEndsAtMillis = nowMillis + shape.shortestWindowMillis
    state.windowBeganAtMillis = nowMillis
  }
  const isOver = nowMillis >= state.windowEndsAtMillis && window.count + state.windowDrops >= shape.minimumSamples
  if (!isOver && !isEarly) return undefined
  const cause = closeWindow(state, nowMillis)
  state.windowBeganAtMillis = nowMillis
  const fastestMillis = window.count === 0 ? 0 : state.windowFastestMillis
  state.windowEndsAtMillis =
    nowMillis + Math.min(shape.longestWindowMillis, Math.max(shape.shortestWindowMillis, 2 * fastestMillis))
  Histogram.clear(window)
  state.windowDrops = 0
  state.windowFastestMillis = Infinity
  state.windowMostInFlight = 0
  return cause
}

const closeWindow = (state: GradientState, nowMillis: number): Cause => {
  const { limit, shape, windowDrops: drops, windowMostInFlight: inFlight } = state
  const calls = state.window.count + drops
  // the answers that a failing upstream still gives in time say nothing of how fast it is
  if (DropShare.isTooMany(drops, calls)) {
    state.isFresh = false
    state.cuts++
    state.limit = Math.max(shape.minimumLimit, limit * shape.backoffRatio)
    return "drop"
  }
  // under a microsecond there is nothing to compare
  const windowMillis = Math.max(0.001, Histogram.quantileMillis(state.window, shape.quantile) ?? 0)
  state.fastestWindowMillis = Math.min(state.fastestWindowMillis, windowMillis)
  push(state.latencies, windowMillis, smoothing)
  const recentMillis = addToMean(state.recent, medianOf(state.latencies))
  const baselineMillis = addToMean(state.baseline, recentMillis)
  push(state.observations, { inFlight, recentMillis, throughput: inFlight / recentMillis }, correlationWindow)
  const step = stepOf(limit)
  // a limit far above the calls in flight proves nothing; the declared one stays
  const highest = Math.min(shape.maximumLimit, Math.max(shape.initialLimit, shape.headroom * inFlight))
  if (limit > highest) {
    state.limit = Math.max(highest, limit - step)
    return "idle"
  }
  const full = inFlight >= Math.floor(limit)
  const perMilli = calls / Math.max(1, nowMillis - state.windowBeganAtMillis)
  const { trial } = state
  state.trial = undefined
  if (trial !== undefined && full && perMilli < trial.perMilli * firstGain) {
    state.isFresh = false
    state.limit = trial.limit
    return "throughput"
  }
  const { cause, change } = decide({
    limit,
    queue: queueOf(limit, baselineMillis, recentMillis),
    full,
    correlations: correlate(state.observations)
  })
  if (change === "decrease") {
    state.isFresh = false
    state.limit = Math.max(shape.minimumLimit, limit - step)
    return cause
  }
  if (change === "hold" || !DropShare.isTolerated(drops, calls)) return cause
  if (state.isFresh && full && windowMillis <= firstSlack * state.fastestWindowMillis) {
    state.trial = { limit, perMilli }
    state.limit = Math.min(highest, limit * firstGrowth)
    return "growth"
  }
  state.limit = Math.min(highest, limit + step)
  return cause
}

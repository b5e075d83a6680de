/**
 * The circuit breaker's state machine: functions of the state, an event, the time and, while the circuit recovers, chance.
 *
 * Failures of attempts that were in flight together are one piece of evidence, not many: a proxy that restarts ends all of its
 * connections at once, and every attempt that was on them fails, though the next ones succeed. So a row counts rounds of failures, and
 * a rate needs a few rounds (see `internal/rounds.ts`).
 *
 * Each change of phase begins a new generation, and a permit bears the generation that it was given in: a report from an
 * older one changes nothing. Time is the circuit's own and only goes forward, so that a clock that jumps back makes a
 * wait longer by the jump at most, and never for ever.
 */

import * as Rounds from "./rounds.ts"
import type { Cell, Counts, Window } from "./window.ts"
import * as Windows from "./window.ts"

interface RateRule {
  /** Calls below which the rates say nothing. */
  readonly minimumCalls: number
  /** Above 0, at most 1. */
  readonly failureRate: number
  /** Above 0, at most 1; `Infinity` where slow calls are not watched. */
  readonly slowCallRate: number
}

export type Rule =
  | { readonly _tag: "ConsecutiveFailures"; readonly failures: number }
  | ({ readonly _tag: "CountWindow"; readonly size: number } & RateRule)
  | ({ readonly _tag: "TimeWindow"; readonly millis: number } & RateRule)

export interface CircuitShape {
  /** Any of them opens the circuit. */
  readonly rules: ReadonlyArray<Rule>
  /** A call that takes longer is slow; `Infinity` for none. */
  readonly slowCallMillis: number
  /** How long the n-th opening in a row lasts. */
  readonly openMillis: (consecutiveOpenings: number) => number
  /** Bounds the result of `openMillis` and a server's wait. */
  readonly maxOpenMillis: number
  /** Probes that may be out at once. */
  readonly probes: number
  /** Probes that must succeed before the circuit closes. */
  readonly successThreshold: number
  readonly probeLeaseMillis: number
  /** How long after a close calls are let through by a growing share; 0 for not at all. */
  readonly rampMillis: number
}

export type Phase = "Closed" | "Open" | "HalfOpen" | "ForcedOpen" | "ForcedClosed"

/** Why the circuit opened. */
export type Opening =
  | { readonly _tag: "ConsecutiveFailures"; readonly failures: number }
  | { readonly _tag: "Failures"; readonly rule: Rule; readonly part: number; readonly total: number }
  | { readonly _tag: "SlowCalls"; readonly rule: Rule; readonly part: number; readonly total: number }
  | { readonly _tag: "ProbeFailed" }
  | { readonly _tag: "ProbesSlow"; readonly part: number; readonly total: number }

/** The right to make one call; to be settled once. */
export interface Permit {
  readonly _tag: "Permit"
  /** Whether the call is a probe of a half-open circuit. */
  readonly isProbe: boolean
  /** The generation that it was given in; -1 for one that nothing is counted of. */
  readonly generation: number
}

/** A probe's permit. The place that it holds is free again at `until`, whether it came back or not. */
interface Probe extends Permit {
  readonly place: number
  readonly since: number
  readonly until: number
  settled: boolean
}

/** The permit of a call that the circuit does not watch. */
export const unwatched: Permit = { _tag: "Permit", isProbe: false, generation: -1 }

/** A rule, and the window that it looks at; without a window it is the row. */
interface Tracker {
  readonly rule: Rule
  readonly window: Window | undefined
  readonly failed: Rounds.Rounds | undefined
  readonly slow: Rounds.Rounds | undefined
}

export interface CircuitState {
  readonly shape: CircuitShape
  readonly trackers: ReadonlyArray<Tracker>
  phase: Phase
  generation: number
  /** The permit of every call while the circuit is closed: one object a generation. */
  permit: Permit
  /** The circuit's own time. It starts at 0 with the first event. */
  at: number
  /** The last time on the clock. */
  seen: number
  /** Failures in a row, by when they finished. */
  failures: number
  /** The same, with those of attempts that were in flight together as one. */
  streak: number
  /** When the first failure of the row ended. */
  streakSince: number
  /** When the last failure ended that made the row longer. */
  streakAt: number
  /** Calls that a window was told of. */
  recorded: number
  /** Until when the server asked to be left alone, by the failures since the last success. */
  askedUntil: number
  openUntil: number
  lastOpenMillis: number
  /** Openings since the circuit was last steady. */
  openings: number
  /** When the closed circuit counts as steady, and openings are counted anew. */
  steadyAt: number
  opening: Opening | undefined
  /** The places of probes. */
  readonly places: Array<Probe | undefined>
  probeSuccesses: number
  slowProbeSuccesses: number
  /** When the last of the probes began that have succeeded. */
  probeSucceededSince: number
  /** Whether the circuit lets calls through by a growing share. */
  ramping: boolean
  closedAt: number
}

const permitOf = (generation: number): Permit => ({ _tag: "Permit", isProbe: false, generation })

/**
 * Rounds of bad calls that a rate needs. Two might be one event and its echo: the retries of calls that a restart had cut, sent
 * before the restart was over. A rule that fewer bad calls are enough for needs no more rounds than bad calls.
 */
const usualRounds = 3

const roundsOf = (rule: RateRule, rate: number): Rounds.Rounds =>
  Rounds.makeRounds(Math.max(1, Math.min(usualRounds, Math.ceil(rule.minimumCalls * rate))))

const trackerOf = (rule: Rule): Tracker => {
  if (rule._tag === "ConsecutiveFailures") return { rule, window: undefined, failed: undefined, slow: undefined }
  return {
    rule,
    window: rule._tag === "CountWindow" ? Windows.makeCountWindow(rule.size) : Windows.makeTimeWindow(rule.millis),
    failed: roundsOf(rule, rule.failureRate),
    slow: rule.slowCallRate === Infinity ? undefined : roundsOf(rule, rule.slowCallRate)
  }
}

export const makeCircuitState = (shape: CircuitShape): CircuitState => ({
  shape,
  trackers: shape.rules.map(trackerOf),
  phase: "Closed",
  generation: 0,
  permit: permitOf(0),
  at: 0,
  seen: Number.NaN,
  failures: 0,
  streak: 0,
  streakSince: -Infinity,
  streakAt: -Infinity,
  recorded: 0,
  askedUntil: 0,
  openUntil: 0,
  lastOpenMillis: 0,
  openings: 0,
  steadyAt: 0,
  opening: undefined,
  places: Array.from({ length: shape.probes }, () => undefined),
  probeSuccesses: 0,
  slowProbeSuccesses: 0,
  probeSucceededSince: -Infinity,
  ramping: false,
  closedAt: 0
})

/**
 * Takes over the phase of another circuit: whether it is open and until when, how often it has opened, and the counts of the rules
 * that both have. Probes that are out are the other's; this one sends its own.
 */
export const follow = (state: CircuitState, before: CircuitState): void => {
  const {
    at,
    askedUntil,
    closedAt,
    failures,
    lastOpenMillis,
    opening,
    openings,
    openUntil,
    phase,
    ramping,
    recorded,
    seen,
    steadyAt,
    streak,
    streakAt,
    streakSince
  } = before
  const generation = before.generation + 1
  Object.assign(state, {
    at,
    askedUntil,
    closedAt,
    lastOpenMillis,
    opening,
    openings,
    openUntil,
    phase,
    seen,
    steadyAt
  })
  Object.assign(state, {
    failures,
    streak,
    streakAt,
    streakSince,
    recorded,
    generation,
    permit: permitOf(generation),
    ramping: ramping && state.shape.rampMillis > 0
  })
  // no circuit is open longer than its own options say
  if (phase === "Open") state.openUntil = Math.min(openUntil, at + state.shape.maxOpenMillis)
  for (const tracker of state.trackers) {
    const same = before.trackers.find(({ rule }) => JSON.stringify(rule) === JSON.stringify(tracker.rule))
    if (same?.window === undefined) continue
    Object.assign(tracker, { window: same.window, failed: same.failed, slow: same.slow })
  }
}

/** The circuit's time when the clock shows `nowMillis`. */
const timeAt = (state: CircuitState, nowMillis: number): number => {
  const passed = nowMillis - state.seen
  // `seen` is NaN before the first event, and then nothing has passed
  return passed > 0 ? state.at + passed : state.at
}

const tick = (state: CircuitState, nowMillis: number): number => {
  state.at = timeAt(state, nowMillis)
  state.seen = nowMillis
  return state.at
}

/** Begins a generation: earlier counts and open permits belong to the one before. */
const enter = (state: CircuitState, phase: Phase): void => {
  state.phase = phase
  state.generation++
  state.permit = permitOf(state.generation)
  state.failures = 0
  state.streak = 0
  state.streakSince = -Infinity
  state.streakAt = -Infinity
  state.recorded = 0
  state.askedUntil = 0
  state.probeSuccesses = 0
  state.slowProbeSuccesses = 0
  state.probeSucceededSince = -Infinity
  state.ramping = false
  state.places.fill(undefined)
  for (const { failed, slow, window } of state.trackers) {
    if (window !== undefined) Windows.clear(window)
    if (failed !== undefined) Rounds.clear(failed)
    if (slow !== undefined) Rounds.clear(slow)
  }
}

const open = (state: CircuitState, at: number, opening: Opening): void => {
  const { maxOpenMillis, openMillis } = state.shape
  const openings = state.phase === "Closed" && at >= state.steadyAt ? 1 : state.openings + 1
  const wanted = openMillis(openings)
  const asked = state.askedUntil - at
  // at least a millisecond, so that a refused caller is never told to come back at once
  const millis = Math.max(1, Math.min(maxOpenMillis, Number.isNaN(wanted) ? maxOpenMillis : Math.max(wanted, asked)))
  enter(state, "Open")
  state.openings = openings
  state.lastOpenMillis = millis
  state.openUntil = at + millis
  state.opening = opening
}

/** After as long closed as it was open (Effect's `CircuitBreaker`), and no sooner than the end of the ramp, it is steady. */
const close = (state: CircuitState, at: number): void => {
  enter(state, "Closed")
  state.closedAt = at
  state.steadyAt = at + Math.max(state.lastOpenMillis, state.shape.rampMillis)
  state.ramping = state.shape.rampMillis > 0
  state.opening = undefined
}

/**
 * The share of calls that a closed circuit lets through: 1, or after a close a tenth that grows evenly to the whole (Envoy's
 * slow start, with an aggression of 1).
 */
const shareAt = (state: CircuitState, at: number): number =>
  state.ramping ? Math.min(1, Math.max(0.1, (at - state.closedAt) / state.shape.rampMillis)) : 1

/** The share of calls that a closed circuit lets through now. */
export const shareOf = (state: CircuitState, nowMillis: number): number => shareAt(state, timeAt(state, nowMillis))

/** Gives a permit, or nothing: then `waitMillis` says when to come back. `random` in [0, 1) is only looked at while ramping. */
export const admit = (state: CircuitState, nowMillis: number, random: number): Permit | undefined => {
  const at = tick(state, nowMillis)
  switch (state.phase) {
    case "Closed": {
      if (state.ramping) {
        const share = shareAt(state, at)
        if (share === 1) state.ramping = false
        else if (random >= share) return undefined
      }
      return state.permit
    }
    case "ForcedClosed":
      return state.permit
    case "ForcedOpen":
      return undefined
    case "Open": {
      if (at < state.openUntil) return undefined
      enter(state, "HalfOpen")
      return lease(state, at)
    }
    case "HalfOpen":
      return lease(state, at)
  }
}

/** Whether a call would be let through now; what a ramp leaves to chance counts as let through. Changes nothing. */
export const hasRoom = (state: CircuitState, nowMillis: number): boolean => {
  const at = timeAt(state, nowMillis)
  switch (state.phase) {
    case "Closed":
    case "ForcedClosed":
      return true
    case "ForcedOpen":
      return false
    case "Open":
      return at >= state.openUntil
    case "HalfOpen":
      return state.places.some((holder) => holder === undefined || at >= holder.until)
  }
}

const lease = (state: CircuitState, at: number): Permit | undefined => {
  for (let place = 0; place < state.places.length; place++) {
    const holder = state.places[place]
    if (holder !== undefined && at < holder.until) continue
    const probe: Probe = {
      _tag: "Permit",
      isProbe: true,
      generation: state.generation,
      place,
      since: at,
      until: at + state.shape.probeLeaseMillis,
      settled: false
    }
    state.places[place] = probe
    return probe
  }
  return undefined
}

/** A refused half-open caller is told at most this, in milliseconds: a probe takes as long as a call does, not a lease. */
const halfOpenWaitMillis = 1000

/**
 * How long until a call that was refused just now may be let through; nothing when only a hand can change that. `random` is
 * the number that `admit` was given: while ramping it is the share at which this very call would have passed, so that
 * refused callers come back spread over the rest of the ramp, and not all at its end.
 */
export const waitMillis = (state: CircuitState, nowMillis: number, random: number): number | undefined => {
  const at = timeAt(state, nowMillis)
  switch (state.phase) {
    case "Open":
      return Math.max(1, Math.ceil(state.openUntil - at))
    case "HalfOpen": {
      let millis = halfOpenWaitMillis
      for (const probe of state.places) if (probe !== undefined) millis = Math.min(millis, probe.until - at)
      return Math.max(1, Math.ceil(millis))
    }
    case "Closed":
      return Math.max(1, Math.ceil(random * state.shape.rampMillis - (at - state.closedAt)))
    case "ForcedClosed":
      return 0
    case "ForcedOpen":
      return undefined
  }
}

/** The report of a call: whether it counts as a failure of the upstream, or says nothing about it. */
export type Verdict = "success" | "failure" | "ignored"

/** The effect of a report. */
export type Settled = "counted" | "ignored" | "late"

/**
 * Settles a permit. `askedMillis` is how long the server asked to be left alone, 0 for not at all. A probe gives its place
 * back with any report; when its lease ran out the place may be another's by now, and its report still counts, because it
 * was sent in this very half-open phase.
 */
export const settle = (
  state: CircuitState,
  permit: Permit,
  verdict: Verdict,
  askedMillis: number,
  nowMillis: number,
  durationMillis: number
): Settled => {
  const at = tick(state, nowMillis)
  if (permit.generation !== state.generation) return "late"
  const slow = durationMillis > state.shape.slowCallMillis
  if (state.phase === "HalfOpen") return settleProbe(state, permit, verdict, askedMillis, at, slow)
  if (verdict === "ignored") return "ignored"
  const failed = verdict === "failure"
  const began = at - durationMillis
  if (failed) {
    state.failures++
    if (Rounds.isAfter(began, state.streakAt)) {
      state.streak++
      state.streakAt = at
      if (state.streak === 1) state.streakSince = at
    }
    if (askedMillis > 0) state.askedUntil = Math.max(state.askedUntil, at + askedMillis)
  } else {
    state.failures = 0
    state.streak = 0
    state.askedUntil = 0
  }
  const opening = recordAll(state, failed, slow, began, at)
  if (opening !== undefined && state.phase === "Closed") open(state, at, opening)
  return "counted"
}

/** Tells every rule of a call; gives the first one that says that the circuit has to open. */
const recordAll = (
  state: CircuitState,
  failed: boolean,
  slow: boolean,
  began: number,
  at: number
): Opening | undefined => {
  const cell: Cell = Windows.cellOf(failed, slow)
  state.recorded++
  let opening: Opening | undefined
  for (const tracker of state.trackers) {
    if (tracker.window !== undefined) {
      Windows.record(tracker.window, cell, at)
      const place = placeOf(tracker.rule, state.recorded, at)
      if (failed && tracker.failed !== undefined) Rounds.record(tracker.failed, began, at, place)
      if (slow && tracker.slow !== undefined) Rounds.record(tracker.slow, began, at, place)
    }
    opening ??= tripped(state, tracker, at)
  }
  return opening
}

const isReached = (rounds: Rounds.Rounds | undefined, begin: number): boolean =>
  rounds !== undefined && Rounds.isReached(rounds, begin)

/** Where a call stands in its window: a count window goes by numbers, a time window by time. */
const placeOf = (rule: Rule, recorded: number, at: number): number => (rule._tag === "CountWindow" ? recorded : at)

/** Bad calls before it are no longer in the window. */
const beginOf = (rule: Rule, recorded: number, at: number): number =>
  rule._tag === "CountWindow" ? recorded - rule.size + 1 : rule._tag === "TimeWindow" ? at - rule.millis : at

/**
 * Whether a row is long enough. Where a failure takes long, ten one after another take ten times as long: an upstream that hangs would
 * be called for a minute. So a row that has gone on for a while is long enough with as many rounds as a rate needs, if there are as many
 * failures in it as were asked for.
 */
const isRow = ({ failures, streak, streakSince }: CircuitState, needed: number, at: number): boolean =>
  streak >= needed || (failures >= needed && streak >= usualRounds && at - streakSince >= longRowMillis)

/** A row of ten failures of 100 ms, one after another, takes so long. */
const longRowMillis = 1000

const tripped = (
  state: CircuitState,
  { failed: failedRounds, rule, slow: slowRounds, window }: Tracker,
  at: number
): Opening | undefined => {
  if (rule._tag === "ConsecutiveFailures") {
    return isRow(state, rule.failures, at) ? { _tag: "ConsecutiveFailures", failures: state.failures } : undefined
  }
  if (window === undefined) return undefined
  const total = Windows.totalOf(window.counts)
  if (total < rule.minimumCalls) return undefined
  const begin = beginOf(rule, state.recorded, at)
  const failed = Windows.failedOf(window.counts)
  if (failed / total >= rule.failureRate && isReached(failedRounds, begin)) {
    return { _tag: "Failures", rule, part: failed, total }
  }
  const slow = Windows.slowOf(window.counts)
  if (slow / total >= rule.slowCallRate && isReached(slowRounds, begin)) {
    return { _tag: "SlowCalls", rule, part: slow, total }
  }
  return undefined
}

/** The lowest share of slow calls that a rule opens the circuit for; `Infinity` when none watches them. */
const slowCallRateOf = (rules: ReadonlyArray<Rule>): number =>
  rules.reduce(
    (lowest, rule) => (rule._tag === "ConsecutiveFailures" ? lowest : Math.min(lowest, rule.slowCallRate)),
    Infinity
  )

const isProbe = (permit: Permit): permit is Probe => permit.isProbe

const settleProbe = (
  state: CircuitState,
  probe: Permit,
  verdict: Verdict,
  askedMillis: number,
  at: number,
  slow: boolean
): Settled => {
  if (!isProbe(probe) || probe.settled) return "late"
  probe.settled = true
  if (state.places[probe.place] === probe) state.places[probe.place] = undefined
  if (verdict === "ignored") return "ignored"
  if (verdict === "failure") {
    // sent before one that has succeeded since, it tells of the outage that is over
    if (probe.since < state.probeSucceededSince) return "late"
    state.askedUntil = at + askedMillis
    open(state, at, { _tag: "ProbeFailed" })
    return "counted"
  }
  state.probeSuccesses++
  state.probeSucceededSince = Math.max(state.probeSucceededSince, probe.since)
  if (slow) state.slowProbeSuccesses++
  const { rules, successThreshold } = state.shape
  if (state.probeSuccesses < successThreshold) return "counted"
  const part = state.slowProbeSuccesses
  const total = state.probeSuccesses
  // the probes are held to the same share of slow calls as every other call, or a slow upstream would close and open in turn
  if (part / total >= slowCallRateOf(rules)) open(state, at, { _tag: "ProbesSlow", part, total })
  else close(state, at)
  return "counted"
}

export const forceOpen = (state: CircuitState, nowMillis: number): void => {
  tick(state, nowMillis)
  enter(state, "ForcedOpen")
}

export const forceClosed = (state: CircuitState, nowMillis: number): void => {
  tick(state, nowMillis)
  enter(state, "ForcedClosed")
}

/** As if it had just been made, but for the generation: open permits report to nobody. */
export const reset = (state: CircuitState, nowMillis: number): void => {
  tick(state, nowMillis)
  enter(state, "Closed")
  state.openUntil = 0
  state.lastOpenMillis = 0
  state.openings = 0
  state.steadyAt = state.at
  state.closedAt = state.at
  state.opening = undefined
}

/** The state at one instant. */
export interface Look {
  readonly phase: Phase
  readonly share: number
  readonly openMillisLeft: number
  readonly openings: number
  readonly streak: number
  readonly probesOut: number
  readonly probeSuccesses: number
  readonly windows: ReadonlyArray<{ readonly rule: Rule; readonly counts: Counts }>
}

/** Reads the state; changes nothing. A circuit whose open time is over is half-open: the next call is a probe. */
export const look = (state: CircuitState, nowMillis: number): Look => {
  const at = timeAt(state, nowMillis)
  const phase = state.phase === "Open" && at >= state.openUntil ? "HalfOpen" : state.phase
  const isClosed = phase === "Closed"
  return {
    phase,
    share: isClosed || phase === "ForcedClosed" ? shareAt(state, at) : 0,
    openMillisLeft: phase === "Open" ? state.openUntil - at : 0,
    openings: isClosed && at >= state.steadyAt ? 0 : state.openings,
    streak: state.streak,
    probesOut: state.places.filter((probe) => probe !== undefined && at < probe.until).length,
    probeSuccesses: state.probeSuccesses,
    windows: state.trackers.flatMap(({ rule, window }) =>
      window === undefined ? [] : [{ rule, counts: Windows.read(window, at) }]
    )
  }
}

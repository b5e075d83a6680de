/** The figures behind a circuit's decision, in words. They speak of attempts: a call that is retried is several of them. */

import * as Duration from "effect/Duration"
import type { CircuitShape, CircuitState, Opening, Rule } from "./circuitState.ts"

const time = (millis: number): string => Duration.format(Duration.millis(millis))

/** `30s`, or `the last 100 attempts`. */
export const windowName = (rule: Rule): string =>
  rule._tag === "TimeWindow"
    ? time(rule.millis)
    : rule._tag === "CountWindow"
      ? `the last ${rule.size} attempts`
      : `${rule.failures} failures in a row`

const among = (rule: Rule, total: number): string =>
  rule._tag === "TimeWindow" ? `of ${total} attempts` : `of the last ${total} attempts`

const within = (rule: Rule): string => (rule._tag === "TimeWindow" ? ` in the last ${time(rule.millis)}` : "")

const cause = (opening: Opening, shape: CircuitShape): string => {
  switch (opening._tag) {
    case "ConsecutiveFailures":
      return opening.failures === 1 ? "an attempt failed" : `${opening.failures} attempts in a row failed`
    case "Failures":
      return `${opening.part} ${among(opening.rule, opening.total)} failed${within(opening.rule)}`
    case "SlowCalls":
      return `${opening.part} ${among(opening.rule, opening.total)} took longer than ${time(shape.slowCallMillis)}${within(opening.rule)}`
    case "ProbeFailed":
      return "a probe failed"
    case "ProbesSlow":
      return `${opening.part} of ${opening.total} probes took longer than ${time(shape.slowCallMillis)}`
  }
}

/** Why the circuit is open: `12 of 20 attempts failed in the last 30s`. */
export const openDetail = (state: CircuitState): string => {
  const why = state.opening === undefined ? "" : cause(state.opening, state.shape)
  return state.openings > 1 ? `${why}; opened ${state.openings} times in a row` : why
}

export const halfOpenDetail = (state: CircuitState): string =>
  `half-open: the ${state.shape.probes} probes that may be out are, ` +
  `and ${state.probeSuccesses} of the ${state.shape.successThreshold} successes that close it are in`

export const rampDetail = (share: number): string =>
  `recovering: ${Math.round(share * 100)}% of the attempts are let through`

export const forcedDetail = "forced open by hand, until it is forced closed or reset"

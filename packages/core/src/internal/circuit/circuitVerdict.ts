/** How a finished call counts for a circuit: the same for one in memory and one that processes share. */

import type * as Outcome from "../../Outcome.ts"
import type { Verdict } from "./circuitState.ts"

export type Verdicts = { readonly [C in Outcome.FailureCause]: Verdict }

/**
 * `throttle`: the upstream works, and asks for less, not for nothing; its wait is the retry's and the limiter's to keep.
 * `refused`: a full bulkhead on this side says nothing about the other side. `permanent`: mostly the caller's fault (a 404),
 * but also a certificate that has expired, so it is no success either. `stale`: an idle connection was closed, which every
 * server does.
 */
export const defaultVerdicts = {
  transient: "failure",
  timeout: "failure",
  throttle: "ignored",
  refused: "ignored",
  permanent: "ignored",
  stale: "ignored"
} as const satisfies Verdicts

export const verdictOf = (verdicts: Verdicts, outcome: Outcome.Outcome): Verdict =>
  outcome._tag === "Success" ? "success" : outcome._tag === "Ignored" ? "ignored" : verdicts[outcome.cause]

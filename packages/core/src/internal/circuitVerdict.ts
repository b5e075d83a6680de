/** What a finished call counts as for a circuit: the same for one in memory and one that processes share. */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Outcome from "../Outcome.ts"
import * as Reason from "../Reason.ts"
import type { Verdict } from "./circuitState.ts"

export type Verdicts = { readonly [C in Outcome.FailureCause]: Verdict }

/**
 * `throttle`: the upstream works, and what it asks for is less, not nothing; its wait is the retry's and the limiter's to keep.
 * `refused`: a full bulkhead on this side says nothing about the other side.
 * `permanent`: mostly the caller's fault (a 404), but also a certificate that has expired, so it is no success either.
 */
export const defaultVerdicts = {
  transient: "failure",
  timeout: "failure",
  throttle: "ignored",
  refused: "ignored",
  permanent: "ignored"
} as const satisfies Verdicts

export const verdictOf = (verdicts: Verdicts, outcome: Outcome.Outcome): Verdict =>
  outcome._tag === "Success" ? "success" : outcome._tag === "Ignored" ? "ignored" : verdicts[outcome.cause]

const transient = Outcome.failure({ cause: "transient" })

const refusals: ReadonlyArray<new (...arguments_: never) => unknown> = Reason.PolicyReason.members

/** What an exit says of what was called; an interruption says nothing, whatever `classify` would. */
export const outcomeOf = <A, E>(
  exit: Exit.Exit<A, E>,
  classify: ((exit: Exit.Exit<A, E>) => Outcome.Outcome) | undefined
): Outcome.Outcome => {
  if (Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause)) return Outcome.ignored
  if (classify !== undefined) return classify(exit)
  if (Exit.isSuccess(exit)) return Outcome.success
  const found = Cause.findError(exit.cause)
  // a bulkhead or a limiter inside the breaker that refuses is not the upstream failing
  return Result.isSuccess(found) && refusals.some((refusal) => found.success instanceof refusal)
    ? Outcome.failure({ cause: "refused" })
    : transient
}

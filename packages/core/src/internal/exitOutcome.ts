import * as Cause from "effect/Cause"
import type * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Outcome from "../Outcome.ts"
import * as Reason from "../Reason.ts"

const transient = Outcome.failure({ cause: "transient" })
const refused = Outcome.failure({ cause: "refused", applied: "no" })
const timeout = Outcome.failure({ cause: "timeout" })

const timeouts: ReadonlyArray<new (...arguments_: never) => unknown> = Reason.TimeReason.members
const refusals: ReadonlyArray<new (...arguments_: never) => unknown> = Reason.PolicyReason.members

/**
 * What an exit is where nobody says otherwise. A typed failure and a defect are failures, likely to pass; but what another
 * policy refused before anything was sent says nothing about the upstream, and a limit of time is a timeout. An interruption
 * is the caller's will, whatever else went wrong under it.
 */
export const exitOutcome = (exit: Exit.Exit<unknown, unknown>): Outcome.Outcome => {
  if (exit._tag === "Success") return Outcome.success
  if (Cause.hasInterrupts(exit.cause)) return Outcome.ignored
  const found = Cause.findError(exit.cause)
  if (Result.isFailure(found)) return transient
  if (refusals.some((reason) => found.success instanceof reason)) return refused
  return timeouts.some((reason) => found.success instanceof reason) ? timeout : transient
}

/** What `classify` says of an exit, or {@link exitOutcome}. An interruption says nothing of the upstream, so nobody is asked. */
export const outcomeOf = <A, E>(
  exit: Exit.Exit<A, E>,
  classify: ((exit: Exit.Exit<A, E>) => Outcome.Outcome) | undefined
): Outcome.Outcome =>
  classify === undefined || (exit._tag === "Failure" && Cause.hasInterrupts(exit.cause))
    ? exitOutcome(exit)
    : classify(exit)

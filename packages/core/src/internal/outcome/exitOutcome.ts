/** The outcome of an attempt for the upstream, from the exit alone or from a classifier. */

import * as Cause from "effect/Cause"
import type * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Outcome from "../../Outcome.ts"
import * as Reason from "../../Reason.ts"

const transient = Outcome.failure({ cause: "transient" })
const refused = Outcome.failure({ cause: "refused", applied: "no" })
const timeout = Outcome.failure({ cause: "timeout" })

const timeouts: ReadonlyArray<new (...arguments_: never) => unknown> = Reason.TimeReason.members
const refusals: ReadonlyArray<new (...arguments_: never) => unknown> = Reason.PolicyReason.members

/**
 * The usual outcome of an exit. A typed failure and a defect are failures, likely to pass; but a refusal by another
 * policy, before anything was sent, says nothing about the upstream, and a limit of time is a timeout. An interruption is
 * the caller's will, also with other failures under it.
 */
export const exitOutcome = (exit: Exit.Exit<unknown, unknown>): Outcome.Outcome => {
  if (exit._tag === "Success") return Outcome.success
  if (Cause.hasInterrupts(exit.cause)) return Outcome.ignored
  const found = Cause.findError(exit.cause)
  if (Result.isFailure(found)) return transient
  if (refusals.some((reason) => found.success instanceof reason)) return refused
  if (isCutShort(found.success)) return Outcome.ignored
  return timeouts.some((reason) => found.success instanceof reason) ? timeout : transient
}

/** Whether a failure says of an attempt that its caller had no more time, before the upstream had its fair share. */
const isCutShort = (error: unknown): boolean => error instanceof Reason.DeadlineExceeded && error.cutShort === true

/**
 * The outcome of an exit by `classify`, or {@link exitOutcome}. An interruption and a caller that had no more time say nothing of
 * the upstream, so nobody is asked. A value that is no outcome is a defect of the classifier: `who` names the policy that asked.
 */
export const outcomeOf = <A, E>(
  who: string,
  exit: Exit.Exit<A, E>,
  classify: ((exit: Exit.Exit<A, E>) => Outcome.Outcome) | undefined
): Outcome.Outcome => {
  if (classify === undefined) return exitOutcome(exit)
  if (exit._tag === "Failure") {
    if (Cause.hasInterrupts(exit.cause)) return Outcome.ignored
    const found = Cause.findError(exit.cause)
    if (Result.isSuccess(found) && isCutShort(found.success)) return Outcome.ignored
  }
  return Outcome.checked(who, classify(exit))
}

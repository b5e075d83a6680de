/** The outcome of a failure for the upstream where nobody says otherwise. */

import * as Predicate from "effect/Predicate"
import * as Outcome from "../../Outcome.ts"
import * as Reason from "../../Reason.ts"

const transient = Outcome.failure({ cause: "transient" })

const isReason = (error: unknown): error is Reason.Reason =>
  error instanceof Error && reasonClasses.has(error.constructor)

const reasonClasses: ReadonlySet<unknown> = new Set(Reason.Reason.members)

/** The reason that an error is, or that the error of a call has. */
export const reasonOf = (error: unknown): Reason.Reason | undefined => {
  if (isReason(error)) return error
  return Predicate.hasProperty(error, "reason") && isReason(error.reason) ? error.reason : undefined
}

/**
 * The usual outcome of a failure: the catalogue's judgement on its reason, or one that may pass with another try. An effect cannot be
 * told to take a fresh connection, so that none is replaced at once.
 */
export const failureOutcome = (error: unknown): Outcome.Failure => {
  const reason = reasonOf(error)
  return reason === undefined ? transient : Outcome.onFreshConnection(Outcome.fromReason(reason))
}

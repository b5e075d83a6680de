/** A call's memory of its attempts, and whether one of them may have been applied. */

import type { CallError } from "@holdfast/core/CallError"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import type { Outcome } from "@holdfast/core/Outcome"
import type { Reason } from "@holdfast/core/Reason"

type Applied = CallError["applied"]

/** The memory of the attempts of a call that were sent. There is none before the first of them has failed. */
export interface AttemptsMade {
  /** The reason of the last failed attempt; an attempt that was cut off because another had ended the call has no failure. */
  readonly failure: Reason | undefined
  /** Whether any of them may have been applied. */
  readonly applied: Applied
}

export const withAttempt = (
  before: AttemptsMade | undefined,
  failure: Reason | undefined,
  applied: Applied
): AttemptsMade => ({
  failure: failure ?? before?.failure,
  applied: before?.applied === "maybe" ? "maybe" : applied
})

/** Whether a request may have been applied, as an outcome says it; what says nothing of the upstream leaves it to the catalogue. */
export const appliedOf = (outcome: Outcome, reason: Reason): Applied =>
  outcome._tag === "Failure" ? outcome.applied : ErrorCatalog.of(reason).applied

/** Whether this side failed the attempt before anything of it was sent. `refused` is what a stage said last. */
export const isUnsent = (reason: Reason, refused: Reason | undefined): boolean =>
  reason === refused || ErrorCatalog.of(reason).nature === "refusal"

/** The facts of all attempts in the error of a call, beside the reason that ended it. */
export const toldOf = (
  made: AttemptsMade | undefined,
  reason: Reason,
  refused: Reason | undefined
): Pick<CallError, "previous" | "attemptsApplied"> => {
  const usual = ErrorCatalog.of(reason).applied
  if (!isUnsent(reason, refused)) {
    // the memory includes the judgement of the policy's own classifier on the reason
    const applied = made?.applied ?? usual
    return applied === usual ? nothing : { attemptsApplied: applied }
  }
  const applied = made?.applied ?? "no"
  const previous = made?.failure
  if (previous === undefined) return applied === usual ? nothing : { attemptsApplied: applied }
  const follows = usual === "maybe" ? usual : ErrorCatalog.of(previous).applied
  return applied === follows ? { previous } : { previous, attemptsApplied: applied }
}

const nothing = {}

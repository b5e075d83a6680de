/** Whether a request may be sent once more. */

import * as Outcome from "@holdfast/core/Outcome"
import type { Reason } from "@holdfast/core/Reason"
import type { NonIdempotent } from "../policy/policyModel.ts"

/** RFC 9110 §9.2.2. */
const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"])

export const isIdempotent = (method: string): boolean => idempotent.has(method)

/**
 * Whether a request may be sent once more, as far as its meaning goes; its body is another question.
 *
 * HTTP vouches for some failed requests: the server did nothing with it (RFC 9113 §8.7), or it never left a connection that was already
 * ended. Such a request has not been tried yet, so that it is sent whatever the policy says of trying again. A connection that could not
 * be made is none of these: a proxy in between may have gone on with it, and a transport that knows the way says `unsent`.
 */
export const mayRepeat = (
  repeatable: boolean,
  nonIdempotent: NonIdempotent,
  outcome: Outcome.Failure,
  reason: Reason
): boolean => {
  if (repeatable || nonIdempotent === "always") return true
  return outcome.applied === "no" && (nonIdempotent === "unsent" || outcome.cause === "stale" || isVouchedFor(reason))
}

const isVouchedFor = (reason: Reason): boolean => "unprocessed" in reason && reason.unprocessed === true

/** An attempt that this side refused is tried again only where the policy says so: a refusal that is waited for protects nobody. */
const withRefusals = (outcome: Outcome.Failure, refusals: "fail" | "wait" | undefined): Outcome.Failure =>
  outcome.cause === "refused" && outcome.retryable && refusals !== "wait" ? { ...outcome, retryable: false } : outcome

/** The judgement of a failed attempt, for the retry and every stage: the catalogue's, and the user's own of that. */
export const judged = (
  reason: Reason,
  by: {
    readonly upstream: string
    readonly refusals: "fail" | "wait" | undefined
    readonly classify: ((reason: Reason, usual: Outcome.Failure) => Outcome.Failure) | undefined
    /** Whether the attempt went over a connection that was made for it. */
    readonly isFresh: boolean
  }
): Outcome.Failure => {
  const usual = withRefusals(Outcome.fromReason(reason), by.refusals)
  const outcome = by.classify === undefined ? usual : Outcome.checkedFailure(by.upstream, by.classify(reason, usual))
  return by.isFresh ? Outcome.onFreshConnection(outcome) : outcome
}

/**
 * Whether an attempt says nothing of the upstream: its caller had no more time before the upstream had its fair share, or gave a body
 * that could not be sent.
 */
export const isCallersAffair = (reason: Reason): boolean =>
  (reason._tag === "DeadlineExceeded" && reason.cutShort === true) || reason._tag === "RequestEncodeFailed"

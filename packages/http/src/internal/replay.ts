import type { Failure } from "@holdfast/core/Outcome"
import type { NonIdempotent } from "./policyModel.ts"

/** RFC 9110 §9.2.2. */
const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"])

export const isIdempotent = (method: string): boolean => idempotent.has(method)

/** Whether a request may be sent once more, as far as its meaning goes; its body is another question. */
export const mayRepeat = (repeatable: boolean, nonIdempotent: NonIdempotent, outcome: Failure): boolean =>
  repeatable || nonIdempotent === "always" || (nonIdempotent === "unsent" && outcome.applied === "no")

/** What this side refused is tried again only where the policy says so: a refusal that is waited for protects nobody. */
export const withRefusals = (outcome: Failure, refusals: "fail" | "wait" | undefined): Failure =>
  outcome.cause === "refused" && outcome.retryable && refusals !== "wait" ? { ...outcome, retryable: false } : outcome

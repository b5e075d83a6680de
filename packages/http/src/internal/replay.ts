import type { Failure } from "@holdfast/core/Outcome"
import type { NonIdempotent } from "./policyModel.ts"

/** RFC 9110 §9.2.2. */
const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"])

export const isIdempotent = (method: string): boolean => idempotent.has(method)

/** Whether a request may be sent once more, as far as its meaning goes; its body is another question. */
export const mayRepeat = (repeatable: boolean, nonIdempotent: NonIdempotent, outcome: Failure): boolean =>
  repeatable || nonIdempotent === "always" || (nonIdempotent === "unsent" && outcome.applied === "no")

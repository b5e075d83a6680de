/** An error as spans show it, without the parts that may be secret. */

import { CallError } from "@holdfast/core/CallError"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import type * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as Exit from "effect/Exit"
import { failureOf, outcomeOf } from "./observing.ts"

/**
 * An exit as a span gets it, which every exporter repeats: its error's name and message, and nothing of the request or the response. The
 * value of a success would be kept for as long as the span is.
 */
export const shownExit = <E>(
  exit: Exit.Exit<unknown, E>,
  shown: (failure: E) => Error | undefined
): Exit.Exit<void, unknown> => {
  switch (outcomeOf(exit)) {
    case "success":
      return Exit.void
    case "interrupted":
      // alone: a failure of a finalizer beside it would make an error of the caller's wish
      return Exit.interrupt()
    case "failure": {
      const failure = failureOf(exit)
      const error = failure === undefined ? undefined : shown(failure)
      return error === undefined ? Exit.asVoid(exit) : Exit.fail(error)
    }
  }
}

/** The error of a call in words that are for a trace; one of a client's own is for itself to say. */
export const shownCallError = (error: unknown): Error | undefined =>
  error instanceof CallError ? errorOf("CallError", `${error.code}: ${shownCall(error)}`) : undefined

const shownCall = ({ previous, reason }: CallError): string =>
  previous === undefined
    ? shownReason(reason)
    : // true of the last attempt, and not of the call
      `${shownReason(previous)}; then the next attempt was not sent: ${shownReason(reason).replace(/; nothing was sent$/, "")}`

/** Why an attempt failed, in words that are for a trace. */
export const shownReasonError = (reason: Reason.Reason): Error => errorOf(reason._tag, shownReason(reason))

const errorOf = (name: string, message: string): Error =>
  stackless(() => Object.assign(new Error(message), { name, stack: `${name}: ${message}` }))

/** Domains whose reasons say only facts of our making: endpoints, phases, codes, figures. */
const ofOurMaking: ReadonlySet<string> = new Set(["network", "tls", "protocol", "time", "policy"])

/** A reason in words that quote neither a body nor a header, nor what the caller gave. */
const shownReason = (reason: Reason.Reason): string => {
  if (reason._tag === "BusinessRejected") return `${reason.entry.summary} (status ${reason.status})`
  const { domain, summary } = ErrorCatalog.of(reason)
  if (ofOurMaking.has(domain)) return reason.message
  return "endpoint" in reason && "status" in reason
    ? `${reason.endpoint} answered ${reason.status}: ${summary}`
    : summary
}

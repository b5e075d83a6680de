/** Which events the span of a call or an attempt has, and with which attributes. */

import type { RetryStopped } from "@holdfast/core/Retry"
import type * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import type * as Hedge from "@holdfast/core/Hedge"
import type { Failure } from "@holdfast/core/Outcome"
import type { Reason } from "@holdfast/core/Reason"
import * as Duration from "effect/Duration"
import type * as Tracer from "effect/Tracer"
import { type Decider, type Refusal, stageOf } from "../call/order.ts"

const seconds = Duration.toSeconds

/** An event, with the attributes that are known. */
const tell = (
  span: Tracer.Span | undefined,
  nowNanos: bigint,
  name: string,
  attributes: { readonly [name: string]: string | number | boolean | undefined }
): void => {
  // a shared run may go on after the call that began it
  if (span === undefined || span.status._tag === "Ended") return
  const known: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) known[key] = value
  span.event(name, nowNanos, known)
}

/** A layer sends once more within its attempt. */
export const triedAgain = (span: Tracer.Span | undefined, nowNanos: bigint): void =>
  tell(span, nowNanos, "holdfast.tried_again", {})

/** A further attempt is to follow. */
export const retry = (
  span: Tracer.Span | undefined,
  nowNanos: bigint,
  reason: Reason,
  given: {
    readonly resend: number
    readonly delay: Duration.Duration
    readonly outcome: Failure
    readonly isFresh: boolean
  }
): void =>
  tell(span, nowNanos, "holdfast.retry", {
    "holdfast.retry.attempt": given.resend,
    "holdfast.retry.delay": seconds(given.delay),
    // it replaces one whose connection was stale: not waited for, not paid for, and on a connection of its own
    "holdfast.retry.stale": given.isFresh ? true : undefined,
    // the server asked for this delay, which may be longer than the policy's
    "holdfast.retry.asked": given.outcome.retryAfter === undefined ? undefined : seconds(given.outcome.retryAfter),
    "error.type": ErrorCatalog.of(reason).code
  })

/** No further attempt is to follow the one that failed. */
export const giveUp = (span: Tracer.Span | undefined, nowNanos: bigint, reason: Reason, stopped: RetryStopped): void =>
  tell(span, nowNanos, "holdfast.give_up", {
    "holdfast.retry_stopped": stopped,
    "error.type": ErrorCatalog.of(reason).code
  })

/** Nothing was sent. `stage` is given where the reason does not say it. */
export const refused = (
  span: Tracer.Span | undefined,
  nowNanos: bigint,
  reason: Refusal,
  stage: Decider = stageOf(reason)
): void =>
  tell(span, nowNanos, "holdfast.refused", {
    "holdfast.stage": stage,
    "holdfast.retry_after":
      "retryAfter" in reason && reason.retryAfter !== undefined ? seconds(reason.retryAfter) : undefined,
    "holdfast.detail": "detail" in reason ? reason.detail : undefined,
    "error.type": ErrorCatalog.of(reason).code
  })

/** A wait is over, whatever ended it. */
export const waited = (span: Tracer.Span | undefined, nowNanos: bigint, stage: Decider, millis: number): void =>
  tell(span, nowNanos, "holdfast.waited", { "holdfast.stage": stage, "holdfast.wait": millis / 1000 })

/** The events of a hedge for the call. */
export const hedge = (span: Tracer.Span | undefined, nowNanos: bigint, event: Hedge.Event): void => {
  switch (event._tag) {
    case "HedgeStarted":
      return tell(span, nowNanos, "holdfast.hedge", {
        "holdfast.hedge.ordinal": event.ordinal,
        "holdfast.hedge.after": seconds(event.after),
        "holdfast.observed": event.observed ? true : undefined
      })
    case "HedgeDenied":
      return tell(span, nowNanos, "holdfast.hedge_denied", {
        "holdfast.hedge.denied": event.why,
        "holdfast.hedge.after": seconds(event.after)
      })
    case "HedgeSettled":
      return tell(span, nowNanos, "holdfast.hedge_settled", {
        "holdfast.hedge.ordinal": event.winner,
        "holdfast.hedge.won": event.winner === undefined ? undefined : event.winner > 0
      })
  }
}

/** An attempt changed the circuit, by how it ended. */
export const circuit = (span: Tracer.Span | undefined, nowNanos: bigint, state: CircuitBreaker.Phase): void =>
  tell(span, nowNanos, "holdfast.circuit", { "holdfast.circuit.state": state })

/** The call shares the answer of another one, which its span links to. */
export const joined = (span: Tracer.Span | undefined, nowNanos: bigint, other: Tracer.AnySpan | undefined): void => {
  tell(span, nowNanos, "holdfast.joined", {})
  if (other !== undefined) span?.addLinks([{ span: other, attributes: { "holdfast.link": "joined" } }])
}

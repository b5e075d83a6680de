/** What an observer is told, made up: calls that were never made. */
import type { Reason } from "@holdfast/core/Reason"
import { CallError } from "@holdfast/core/CallError"
import * as CallObserver from "@holdfast/http/CallObserver"
import { Context, Duration, Effect } from "effect"

export const call = (given: Partial<CallObserver.ObservedCall> = {}): CallObserver.ObservedCall => ({
  upstream: "stock",
  operation: `GET ${given.template ?? "/items"}`,
  method: "GET",
  template: "/items",
  requestId: "0d6f1c2ab3e94f75",
  origin: "https://stock.internal",
  startMillis: 0,
  span: undefined,
  context: Context.empty(),
  ...given
})

export const succeeded = (durationMillis: number, attempts = 1): CallObserver.CallEnd => ({
  outcome: "success",
  durationMillis,
  attempts,
  error: undefined
})

export const failed = (
  reason: Reason,
  of: CallObserver.ObservedCall = call(),
  given: { readonly durationMillis?: number; readonly attempts?: number } = {}
): CallObserver.CallEnd => {
  const { attempts = 1, durationMillis = 10 } = given
  return {
    outcome: "failure",
    durationMillis,
    attempts,
    error: new CallError({
      upstream: of.upstream,
      operation: of.operation,
      requestId: of.requestId,
      attempts,
      elapsed: Duration.millis(durationMillis),
      retryStopped: "attempts",
      reason
    })
  }
}

export const interrupted = (durationMillis: number): CallObserver.CallEnd => ({
  outcome: "interrupted",
  durationMillis,
  attempts: 1,
  error: undefined
})

export const attempt = (given: Partial<CallObserver.AttemptEnd> = {}): CallObserver.AttemptEnd => ({
  origin: "https://stock.internal",
  resend: 0,
  isHedge: false,
  outcome: given.reason === undefined ? "success" : "failure",
  durationMillis: 10,
  status: undefined,
  reason: undefined,
  timings: undefined,
  requestBytes: undefined,
  responseBytes: undefined,
  ...given
})

/** Every observer that there is, as one whose methods are all there. */
export const observers: Effect.Effect<Required<Omit<CallObserver.CallObserver, "sink">>> = Effect.map(
  CallObserver.all,
  (observers) => ({
    callStarted: (call) => observers.forEach((observer) => observer.callStarted?.(call)),
    callEnded: (call, end) => observers.forEach((observer) => observer.callEnded?.(call, end)),
    attemptStarted: (call, attempt) => observers.forEach((observer) => observer.attemptStarted?.(call, attempt)),
    attemptEnded: (call, end) => observers.forEach((observer) => observer.attemptEnded?.(call, end)),
    retryScheduled: (call, retry) => observers.forEach((observer) => observer.retryScheduled?.(call, retry)),
    refused: (call, reason) => observers.forEach((observer) => observer.refused?.(call, reason)),
    waited: (call, wait) => observers.forEach((observer) => observer.waited?.(call, wait)),
    hedgeStarted: (call, hedge) => observers.forEach((observer) => observer.hedgeStarted?.(call, hedge)),
    hedgeSettled: (call, settled) => observers.forEach((observer) => observer.hedgeSettled?.(call, settled)),
    joined: (call) => observers.forEach((observer) => observer.joined?.(call))
  })
)

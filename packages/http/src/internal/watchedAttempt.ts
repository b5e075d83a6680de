import type { Reason } from "@holdfast/core/Reason"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import type { AttemptEnd, ObservedCall } from "../CallObserver.ts"
import type * as Transport from "../Transport.ts"
import { failureOf, type Observer, outcomeOf } from "./observing.ts"

/** What is learned of an attempt on its way, for whoever traces or observes. There is none while nobody does. */
export class WatchedAttempt {
  readonly resend: number
  readonly isHedge: boolean
  readonly startMillis: number
  span: Tracer.Span | undefined = undefined
  status: number | undefined = undefined
  responseBytes: number | undefined = undefined
  /** Of its last exchange: a redirect is one of its own. */
  timings: Transport.PhaseTimings | undefined = undefined

  constructor(resend: number, isHedge: boolean, startMillis: number) {
    this.resend = resend
    this.isHedge = isHedge
    this.startMillis = startMillis
  }

  /** A response has come. */
  answered(status: number, bytes?: number): void {
    this.status = status
    this.responseBytes = bytes
    this.span?.attribute("http.response.status_code", status)
  }

  readonly onTimings = (timings: Transport.PhaseTimings): void => {
    this.timings = timings
  }
}

/** What is asked at the end of an attempt. */
export interface Hearing<in E> {
  readonly nowMillis: () => number
  readonly reasonOf: (error: E) => Reason | undefined
  readonly requestBytes: () => number | undefined
}

/** Tells of an attempt's begin and end. */
export const heardAttempt = <A, E, R>(
  observer: Observer,
  call: ObservedCall,
  attempt: WatchedAttempt,
  hearing: Hearing<E>,
  run: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const { attemptEnded, attemptStarted } = observer
  if (attemptStarted === undefined && attemptEnded === undefined) return run
  let isStarted = false
  // begun inside of what ends it, so that no interruption can come between the two
  return Effect.onExitPrimitive(
    Effect.suspend(() => {
      isStarted = true
      attemptStarted?.(call, { resend: attempt.resend, isHedge: attempt.isHedge })
      return run
    }),
    (exit) => {
      if (isStarted) attemptEnded?.(call, endOf(attempt, exit, hearing))
      return undefined
    }
  )
}

const endOf = <E>(
  { isHedge, resend, responseBytes, startMillis, status, timings }: WatchedAttempt,
  exit: Exit.Exit<unknown, E>,
  { nowMillis, reasonOf, requestBytes }: Hearing<E>
): AttemptEnd => {
  const failure = failureOf(exit)
  return {
    resend,
    isHedge,
    outcome: outcomeOf(exit),
    durationMillis: nowMillis() - startMillis,
    status,
    reason: failure === undefined ? undefined : reasonOf(failure),
    timings,
    requestBytes: requestBytes(),
    responseBytes
  }
}

const encoder = new TextEncoder()

/** How long a body is, where that is known. */
export const bytesOf = (body: Transport.Body | undefined): number | undefined => {
  if (body === undefined) return 0
  if (typeof body === "string") return encoder.encode(body).length
  return body instanceof Uint8Array ? body.length : undefined
}

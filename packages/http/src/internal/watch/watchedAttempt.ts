/** The facts of an attempt while it is traced or observed. */

import type { Reason } from "@holdfast/core/Reason"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import type { AttemptEnd, ObservedCall } from "../../CallObserver.ts"
import type * as Transport from "../../Transport.ts"
import { failureOf, type Observer, outcomeOf } from "./observing.ts"

/** The facts of an attempt on its way, for tracers and observers. There is none without either. */
export class WatchedAttempt {
  readonly origin: string
  readonly resend: number
  readonly isHedge: boolean
  readonly startMillis: number
  readonly #clock: Clock.Clock
  /** When its exchange began; a redirect begins another one. */
  #exchangeNanos: bigint
  #hasHeaders = false
  span: Tracer.Span | undefined = undefined
  status: number | undefined = undefined
  responseBytes: number | undefined = undefined
  /** Of its last exchange. */
  timings: Transport.PhaseTimings | undefined = undefined

  constructor(origin: string, resend: number, isHedge: boolean, startMillis: number, clock: Clock.Clock) {
    this.origin = origin
    this.resend = resend
    this.isHedge = isHedge
    this.startMillis = startMillis
    this.#clock = clock
    this.#exchangeNanos = clock.currentTimeNanosUnsafe()
  }

  /** A response has come. */
  answered(status: number, bytes?: number): void {
    this.status = status
    this.responseBytes = bytes
    this.span?.attribute("http.response.status_code", status)
  }

  /** The headers of an answer have come that is streamed from now on. */
  opened(): void {
    if (this.#hasHeaders) return
    this.#hasHeaders = true
    this.span?.event("holdfast.headers", this.#clock.currentTimeNanosUnsafe())
  }

  /** A redirect is followed. */
  redirected(shown: Record<string, unknown>): void {
    this.#exchangeNanos = this.#clock.currentTimeNanosUnsafe()
    this.#hasHeaders = false
    this.span?.event("holdfast.redirect", this.#exchangeNanos, shown)
  }

  /** An exchange has ended. Its phases are told at the instants at which they did. */
  readonly onTimings = (timings: Transport.PhaseTimings): void => {
    this.timings = timings
    const { span } = this
    if (span === undefined || span.status._tag === "Ended") return
    const { connection, connectMillis, dnsMillis, peer, protocol, queueMillis, tlsMillis } = timings
    const { receiveMillis, sendMillis, waitMillis } = timings
    if (peer !== undefined) notePeer(span, peer)
    if (protocol !== undefined) span.attribute("network.protocol.version", protocol === "http/2" ? "2" : "1.1")
    const connected = after(this.#exchangeNanos, queueMillis)
    if (connection !== undefined || queueMillis !== undefined) {
      span.event("holdfast.connection", connected, {
        "holdfast.connection.state": connection ?? "none",
        ...inSeconds({ queue: queueMillis, dns: dnsMillis, connect: connectMillis, tls: tlsMillis })
      })
    }
    if (waitMillis !== undefined && receiveMillis !== undefined && !this.#hasHeaders) {
      this.#hasHeaders = true
      span.event("holdfast.headers", after(connected, (sendMillis ?? 0) + waitMillis))
    }
    if (sendMillis === undefined && waitMillis === undefined && receiveMillis === undefined) return
    span.event(
      "holdfast.exchange",
      this.#clock.currentTimeNanosUnsafe(),
      inSeconds({ send: sendMillis, wait: waitMillis, receive: receiveMillis })
    )
  }
}

const after = (nanos: bigint, millis = 0): bigint => nanos + BigInt(Math.round(millis * 1e6))

/** Phases as attributes; phases that were not reached are left out. */
const inSeconds = (phases: { readonly [phase: string]: number | undefined }): Record<string, unknown> => {
  const shown: Record<string, unknown> = {}
  for (const [phase, millis] of Object.entries(phases)) {
    if (millis !== undefined) shown[`holdfast.phase.${phase}`] = millis / 1000
  }
  return shown
}

/** `10.0.0.7:443`, `[::1]:443`; or the path of a Unix socket, which has no port. */
const notePeer = (span: Tracer.Span, peer: string): void => {
  const [, six, four, port] = /^(?:\[(.+)\]|([^/]+)):(\d+)$/.exec(peer) ?? []
  span.attribute("network.peer.address", six ?? four ?? peer)
  if (port !== undefined) span.attribute("network.peer.port", Number(port))
}

/** The questions at the end of an attempt. */
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
  // begun inside the effect that ends it, so that no interruption can come between the two
  return Effect.onExitPrimitive(
    Effect.suspend(() => {
      isStarted = true
      attemptStarted?.(call, { origin: attempt.origin, resend: attempt.resend, isHedge: attempt.isHedge })
      return run
    }),
    (exit) => {
      if (isStarted) attemptEnded?.(call, endOf(attempt, exit, hearing))
      return undefined
    }
  )
}

const endOf = <E>(
  { isHedge, origin, resend, responseBytes, startMillis, status, timings }: WatchedAttempt,
  exit: Exit.Exit<unknown, E>,
  { nowMillis, reasonOf, requestBytes }: Hearing<E>
): AttemptEnd => {
  const failure = failureOf(exit)
  return {
    origin,
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

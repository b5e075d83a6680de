import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { CallError } from "@holdfast/core/CallError"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import type { Reason } from "@holdfast/core/Reason"
import * as Clock from "effect/Clock"

/**
 * Whether spans are made at all: only when somebody installed a tracer. Effect's built-in one exports nothing, and its ids
 * would still be sent to every host that is called.
 */
export const isTracing = (fiber: Fiber.Fiber<unknown, unknown>): boolean =>
  fiber.cache.tracerEnabled && fiber.cache.tracer !== undefined && !fiber.getRef(Tracer.DisablePropagation)

/** The instant of an event, on the clock that spans use. */
export const nowNanos = (fiber: Fiber.Fiber<unknown, unknown>): bigint =>
  fiber.getRef(Clock.Clock).currentTimeNanosUnsafe()

export interface CallSpan {
  readonly upstream: string
  readonly operation: string
  readonly requestId: string
}

const callOptions = (call: CallSpan): Tracer.SpanOptionsNoTrace => ({
  kind: "internal",
  attributes: {
    "holdfast.upstream": call.upstream,
    "holdfast.operation": call.operation,
    "holdfast.request_id": call.requestId
  }
})

const callNamed = (call: CallSpan): string => `${call.upstream} ${call.operation}`

const noteCall = (span: Tracer.Span, exit: Exit.Exit<unknown, unknown>): void => {
  const error = failureOf(exit)
  if (!(error instanceof CallError)) return
  span.attribute("error.type", error.code)
  span.attribute("holdfast.attempts", error.attempts)
  span.attribute("holdfast.retry_stopped", error.retryStopped)
}

/** The span of the call: INTERNAL, because OpenTelemetry wants one CLIENT span for each attempt and none around them. */
export const withCallSpan = <A, E, R>(
  call: CallSpan,
  run: (span: Tracer.Span) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.useSpan(callNamed(call), callOptions(call), (span) =>
    Effect.onExitPrimitive(Effect.withParentSpan(run(span), span, { captureStackTrace: false }), (exit) => {
      noteCall(span, exit)
      return undefined
    })
  )

/** The span of a call whose success goes on: {@link endCallSpan} ends it then. */
export const openCallSpan = <A, E, R>(
  call: CallSpan,
  run: (span: Tracer.Span) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => openSpan(callNamed(call), callOptions(call), noteCall, run)

/** Ends the span of a call, once. */
export const endCallSpan = (
  context: Context.Context<never>,
  span: Tracer.Span,
  exit: Exit.Exit<unknown, unknown>
): void => endSpan(context, span, exit, noteCall)

export interface AttemptSpan {
  readonly method: string
  readonly template: string
  readonly origin: string
  /** Path and query with the secrets hidden. */
  readonly shownPath: string
  readonly resend: number
}

const attemptNamed = (attempt: AttemptSpan): string => `${attempt.method} ${attempt.template}`

const attemptOptions = (attempt: AttemptSpan): Tracer.SpanOptionsNoTrace => {
  const url = new URL(attempt.origin)
  const secure = url.protocol === "https:"
  return {
    kind: "client",
    attributes: {
      "http.request.method": attempt.method,
      // a bare IPv6 address, as the conventions have it
      "server.address": url.hostname.replace(/^\[|\]$/g, ""),
      "server.port": url.port === "" ? (secure ? 443 : 80) : Number(url.port),
      "url.full": `${attempt.origin}${attempt.shownPath}`,
      "url.scheme": secure ? "https" : "http",
      "url.template": attempt.template,
      ...(attempt.resend === 0 ? {} : { "http.request.resend_count": attempt.resend })
    }
  }
}

const noteAttempt = (span: Tracer.Span, exit: Exit.Exit<unknown, Reason>): void => {
  const reason = failureOf(exit)
  if (reason === undefined) return
  if ("status" in reason) span.attribute("http.response.status_code", reason.status)
  const entry = ErrorCatalog.of(reason)
  span.attribute("error.type", entry.domain === "status" && "status" in reason ? String(reason.status) : entry.code)
}

/** The span of one attempt: CLIENT, with the attributes of OpenTelemetry's HTTP conventions, version 1.44. */
export const withAttemptSpan = <A, E extends Reason, R>(
  attempt: AttemptSpan,
  run: (span: Tracer.Span) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.useSpan(attemptNamed(attempt), attemptOptions(attempt), (span) =>
    Effect.onExitPrimitive(Effect.withParentSpan(run(span), span, { captureStackTrace: false }), (exit) => {
      noteAttempt(span, exit)
      return undefined
    })
  )

/** The span of an attempt whose success goes on: {@link endAttemptSpan} ends it then. */
export const openAttemptSpan = <A, E extends Reason, R>(
  attempt: AttemptSpan,
  run: (span: Tracer.Span) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => openSpan(attemptNamed(attempt), attemptOptions(attempt), noteAttempt, run)

/** Ends the span of an attempt, once. */
export const endAttemptSpan = (
  context: Context.Context<never>,
  span: Tracer.Span,
  exit: Exit.Exit<unknown, Reason>
): void => endSpan(context, span, exit, noteAttempt)

/** A span that a failure ends, and a success does not. */
const openSpan = <A, E, R>(
  name: string,
  options: Tracer.SpanOptionsNoTrace,
  note: (span: Tracer.Span, exit: Exit.Exit<unknown, E>) => void,
  run: (span: Tracer.Span) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber(({ context }) => {
    let span: Tracer.Span | undefined
    // made inside of what ends it, so that no interruption can come between the two
    return Effect.onExitPrimitive(
      Effect.flatMap(Effect.makeSpan(name, options), (made) => {
        span = made
        return Effect.withParentSpan(run(made), made, { captureStackTrace: false })
      }),
      (exit) => {
        if (span !== undefined && Exit.isFailure(exit)) endSpan(context, span, exit, note)
        return undefined
      }
    )
  })

const endSpan = <E>(
  context: Context.Context<never>,
  span: Tracer.Span,
  exit: Exit.Exit<unknown, E>,
  note: (span: Tracer.Span, exit: Exit.Exit<unknown, E>) => void
): void => {
  if (span.status._tag === "Ended") return
  note(span, exit)
  const isTimed = Context.get(context, References.TracerTimingEnabled)
  span.end(isTimed ? Context.get(context, Clock.Clock).currentTimeNanosUnsafe() : 0n, exit)
}

const failureOf = <A, E>(exit: Exit.Exit<A, E>): E | undefined => {
  if (Exit.isSuccess(exit) || Cause.hasInterrupts(exit.cause)) return undefined
  const failure = exit.cause.reasons.find(Cause.isFailReason)
  return failure?.error
}

/** W3C Trace Context, level 1: what names this attempt to the upstream. */
export const traceparent = (span: Tracer.Span): string =>
  `00-${span.traceId.padStart(32, "0")}-${span.spanId}-${span.sampled ? "01" : "00"}`

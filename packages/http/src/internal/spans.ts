import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
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

/** The span of the call: INTERNAL, because OpenTelemetry wants one CLIENT span for each attempt and none around them. */
export const withCallSpan = <A, E, R>(
  call: CallSpan,
  run: (span: Tracer.Span) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.useSpan(
    `${call.upstream} ${call.operation}`,
    {
      kind: "internal",
      attributes: {
        "holdfast.upstream": call.upstream,
        "holdfast.operation": call.operation,
        "holdfast.request_id": call.requestId
      }
    },
    (span) =>
      Effect.onExitPrimitive(Effect.withParentSpan(run(span), span, { captureStackTrace: false }), (exit) => {
        const error = failureOf(exit)
        if (error instanceof CallError) {
          span.attribute("error.type", error.code)
          span.attribute("holdfast.attempts", error.attempts)
          span.attribute("holdfast.retry_stopped", error.retryStopped)
        }
        return undefined
      })
  )

export interface AttemptSpan {
  readonly method: string
  readonly template: string
  readonly origin: string
  /** Path and query with the secrets hidden. */
  readonly shownPath: string
  readonly resend: number
}

/** The span of one attempt: CLIENT, with the attributes of OpenTelemetry's HTTP conventions, version 1.44. */
export const withAttemptSpan = <A, E extends Reason, R>(
  attempt: AttemptSpan,
  run: (span: Tracer.Span) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const url = new URL(attempt.origin)
  const secure = url.protocol === "https:"
  return Effect.useSpan(
    `${attempt.method} ${attempt.template}`,
    {
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
    },
    (span) =>
      Effect.onExitPrimitive(Effect.withParentSpan(run(span), span, { captureStackTrace: false }), (exit) => {
        const reason = failureOf(exit)
        if (reason !== undefined) {
          if ("status" in reason) span.attribute("http.response.status_code", reason.status)
          const entry = ErrorCatalog.of(reason)
          span.attribute(
            "error.type",
            entry.domain === "status" && "status" in reason ? String(reason.status) : entry.code
          )
        }
        return undefined
      })
  )
}

const failureOf = <A, E>(exit: Exit.Exit<A, E>): E | undefined => {
  if (Exit.isSuccess(exit) || Cause.hasInterrupts(exit.cause)) return undefined
  const failure = exit.cause.reasons.find(Cause.isFailReason)
  return failure?.error
}

/** W3C Trace Context, level 1: what names this attempt to the upstream. */
export const traceparent = (span: Tracer.Span): string =>
  `00-${span.traceId.padStart(32, "0")}-${span.spanId}-${span.sampled ? "01" : "00"}`

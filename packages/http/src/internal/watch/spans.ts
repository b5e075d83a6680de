/** Which spans a call has, and with which attributes. */

import { CallError } from "@holdfast/core/CallError"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import type { Reason } from "@holdfast/core/Reason"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import type * as Transport from "../../Transport.ts"
import { failureOf, outcomeOf } from "./observing.ts"
import { shownCallError, shownExit, shownReasonError } from "./shownError.ts"

/**
 * Whether spans are made at all: only when somebody installed a tracer. Effect's built-in one exports nothing, and its ids
 * would still be sent to every host that is called.
 */
export const isTracing = (fiber: Fiber.Fiber<unknown, unknown>): boolean =>
  fiber.cache.tracerEnabled && fiber.cache.tracer !== undefined && !fiber.getRef(Tracer.DisablePropagation)

/** The notes at the end of a span, and how its exit is shown. */
interface Ending<E> {
  readonly note: (span: Tracer.Span, exit: Exit.Exit<unknown, E>) => void
  readonly shown: (failure: E) => Error | undefined
}

// ---------------------------------------------------------------------------------------------------------------------
// calls
// ---------------------------------------------------------------------------------------------------------------------

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

const callEnding: Ending<unknown> = {
  note: (span, exit) => {
    if (outcomeOf(exit) === "interrupted") span.attribute(interrupted, true)
    const error = failureOf(exit)
    if (!(error instanceof CallError)) return
    span.attribute("error.type", error.code)
    span.attribute("holdfast.attempts", error.attempts)
    span.attribute("holdfast.retry_stopped", error.retryStopped)
    span.attribute("holdfast.applied", error.applied)
    if (error.previous !== undefined) span.attribute("holdfast.previous_error", ErrorCatalog.of(error.previous).code)
  },
  shown: shownCallError
}

/** Set where a caller left, or another attempt won: exporters have different words for that, and none calls it an error. */
const interrupted = "holdfast.interrupted"

/**
 * The span of the call: INTERNAL, because OpenTelemetry wants one CLIENT span for each attempt and none around them. `endedAs` says
 * what its exit stands for, where that is another.
 */
export const withCallSpan = <A, E, R>(
  call: CallSpan,
  run: (span: Tracer.Span) => Effect.Effect<A, E, R>,
  endedAs?: (exit: Exit.Exit<A, E>) => Exit.Exit<unknown, unknown>
): Effect.Effect<A, E, R> => spanned(callNamed(call), callOptions(call), callEnding, true, run, endedAs)

/** The span of a call whose success goes on: {@link endCallSpan} ends it then. */
export const openCallSpan = <A, E, R>(
  call: CallSpan,
  run: (span: Tracer.Span) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => spanned(callNamed(call), callOptions(call), callEnding, false, run)

/** Ends the span of a call, once. */
export const endCallSpan = (
  context: Context.Context<never>,
  span: Tracer.Span,
  exit: Exit.Exit<unknown, unknown>
): void => endSpan(context, span, exit, callEnding)

// ---------------------------------------------------------------------------------------------------------------------
// attempts
// ---------------------------------------------------------------------------------------------------------------------

export interface AttemptSpan {
  readonly method: string
  readonly template: string
  readonly origin: string
  readonly server: Transport.Server
  /** Path and query with the secrets hidden. */
  readonly shownPath: string
  readonly resend: number
  readonly isHedge: boolean
}

/** The methods of the conventions: RFC 9110, RFC 5789 and the QUERY draft. Names beyond these come from anybody, and are many. */
const knownMethods: ReadonlySet<string> = new Set([
  "CONNECT",
  "DELETE",
  "GET",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "POST",
  "PUT",
  "QUERY",
  "TRACE"
])

/** The name of a method in a span's name and in its attributes. */
export const methodShown = (
  method: string
): { readonly name: string; readonly attributes: { readonly [name: string]: string } } =>
  knownMethods.has(method)
    ? { name: method, attributes: { "http.request.method": method } }
    : { name: "HTTP", attributes: { "http.request.method": "_OTHER", "http.request.method_original": method } }

const attemptOptions = (
  { isHedge, origin, resend, server, shownPath, template }: AttemptSpan,
  method: { readonly [name: string]: string }
): Tracer.SpanOptionsNoTrace => ({
  kind: "client",
  attributes: {
    ...method,
    "server.address": server.host,
    "server.port": server.port,
    "url.full": `${origin}${shownPath}`,
    "url.scheme": server.scheme,
    ...(template === "" ? {} : { "url.template": template }),
    ...(resend === 0 ? {} : { "http.request.resend_count": resend }),
    ...(isHedge ? { "holdfast.hedge": true } : {})
  }
})

const attemptEnding: Ending<Reason> = {
  note: (span, exit) => {
    if (outcomeOf(exit) === "interrupted") span.attribute(interrupted, true)
    const reason = failureOf(exit)
    if (reason === undefined) return
    if ("status" in reason) span.attribute("http.response.status_code", reason.status)
    span.attribute("error.type", errorType(reason))
  },
  shown: shownReasonError
}

/** The cause of a failed attempt: the status where that is the failure, or the code of the catalogue. */
export const errorType = (reason: Reason): string => {
  const entry = ErrorCatalog.of(reason)
  return entry.domain === "status" && "status" in reason ? String(reason.status) : entry.code
}

const attemptSpan = <A, E extends Reason, R>(
  attempt: AttemptSpan,
  endsOnSuccess: boolean,
  run: (span: Tracer.Span) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const { attributes, name } = methodShown(attempt.method)
  return spanned(
    `${name} ${attempt.template}`.trimEnd(),
    attemptOptions(attempt, attributes),
    attemptEnding,
    endsOnSuccess,
    run
  )
}

/** The span of one attempt: CLIENT, with the attributes of OpenTelemetry's HTTP conventions, version 1.44. */
export const withAttemptSpan = <A, E extends Reason, R>(
  attempt: AttemptSpan,
  run: (span: Tracer.Span) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => attemptSpan(attempt, true, run)

/** The span of an attempt whose success goes on: {@link endAttemptSpan} ends it then. */
export const openAttemptSpan = <A, E extends Reason, R>(
  attempt: AttemptSpan,
  run: (span: Tracer.Span) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => attemptSpan(attempt, false, run)

/** Ends the span of an attempt, once. */
export const endAttemptSpan = (
  context: Context.Context<never>,
  span: Tracer.Span,
  exit: Exit.Exit<unknown, Reason>
): void => endSpan(context, span, exit, attemptEnding)

// ---------------------------------------------------------------------------------------------------------------------

/**
 * Runs within a span. It is ended here and not by Effect, which would tell every exporter the whole error: what a body said, and what
 * of it did not decode.
 */
const spanned = <A, E extends E2, R, E2>(
  name: string,
  options: Tracer.SpanOptionsNoTrace,
  ending: Ending<E2>,
  endsOnSuccess: boolean,
  run: (span: Tracer.Span) => Effect.Effect<A, E, R>,
  endedAs?: (exit: Exit.Exit<A, E>) => Exit.Exit<unknown, E2>
): Effect.Effect<A, E, R> =>
  Effect.withFiber(({ context }) => {
    let span: Tracer.Span | undefined
    // made inside the effect that ends it, so that no interruption can come between the two
    return Effect.onExitPrimitive(
      Effect.flatMap(Effect.makeSpan(name, options), (made) => {
        span = made
        return Effect.withParentSpan(run(made), made, { captureStackTrace: false })
      }),
      (exit) => {
        if (span !== undefined && (endsOnSuccess || Exit.isFailure(exit))) {
          endSpan(context, span, endedAs === undefined ? exit : endedAs(exit), ending)
        }
        return undefined
      }
    )
  })

const endSpan = <E>(
  context: Context.Context<never>,
  span: Tracer.Span,
  exit: Exit.Exit<unknown, E>,
  { note, shown }: Ending<E>
): void => {
  if (span.status._tag === "Ended") return
  note(span, exit)
  const isTimed = Context.get(context, References.TracerTimingEnabled)
  span.end(isTimed ? Context.get(context, Clock.Clock).currentTimeNanosUnsafe() : 0n, shownExit(exit, shown))
}

/** The headers that tell the upstream of a request's trace, and the baggage that goes along. */

import * as Context from "effect/Context"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import * as Baggage from "../../Baggage.ts"
import * as TraceContext from "../../TraceContext.ts"
import { isHeaderValue } from "./headerRules.ts"

/** The parts of the trace that an upstream is told. */
export interface Propagation {
  /** `traceparent` and `tracestate`. */
  readonly trace: boolean
  readonly b3: boolean
  readonly baggage: boolean
}

interface Headers {
  readonly [name: string]: string
}

/** The headers with the baggage of a call. A header that the caller gave stays. */
export const withBaggage = (headers: Headers, context: Context.Context<never>): Headers => {
  const baggage = Context.get(context, Baggage.Current)
  if (baggage.size === 0 || headers["baggage"] !== undefined) return headers
  const header = Baggage.toHeader(baggage)
  return header === "" ? headers : { ...headers, baggage: header }
}

/**
 * The headers with the names of an attempt's span. Ids that are none (a tracer that records nothing gives zeros) are not sent: the upstream
 * would take them for a trace.
 */
export const withTrace = (headers: Headers, { b3, trace }: Propagation, span: Tracer.Span): Headers => {
  if (!trace) return headers
  // one that came by B3 may have half the length
  const traceId = span.traceId.padStart(32, "0")
  if (!isId(traceId, 32) || !isId(span.spanId, 16)) return headers
  const traced: Record<string, string> = { ...headers }
  const flags = (span.sampled ? sampledFlag : 0) | (isRandom(span) ? randomFlag : 0)
  traced["traceparent"] = `00-${traceId}-${span.spanId}-0${flags}`
  const state = stateOf(span)
  // a state without its traceparent means nothing, and neither does one of another trace; one that is no header goes nowhere
  if (state === "" || !isHeaderValue(state)) delete traced["tracestate"]
  else traced["tracestate"] = state
  if (b3) {
    const parent = Option.getOrUndefined(span.parent)
    const parentId = parent !== undefined && isId(parent.spanId, 16) ? `-${parent.spanId}` : ""
    traced["b3"] = `${traceId}-${span.spanId}-${span.sampled ? "1" : "0"}${parentId}`
  }
  return traced
}

const isId = (id: string, length: number): boolean => id.length === length && /^[0-9a-f]+$/.test(id) && !/^0+$/.test(id)

/** OpenTelemetry's objects give a state in this way. */
interface Serializable {
  readonly serialize: () => string
}

/** Where Effect's bridge to OpenTelemetry keeps the state of a parent. It is not imported: few programs have it. */
const OtelTraceState = Context.Service<Serializable>("@effect/opentelemetry/Tracer/OtelTraceState")

/** Where the bridge keeps the flags of a parent. */
const OtelTraceFlags = Context.Service<number>("@effect/opentelemetry/Tracer/OtelTraceFlags")

const sampledFlag = 1
const randomFlag = 2

const noAnnotations = Context.empty()

/** The annotation found on a span of the trace, from the span itself upwards. */
const nearest = <A>(
  span: Tracer.Span,
  found: (annotations: Context.Context<never>) => A | undefined
): A | undefined => {
  let at: Tracer.AnySpan | undefined = span
  while (at !== undefined && at.traceId === span.traceId) {
    // most spans have none, and each look costs
    const it = at.annotations === noAnnotations ? undefined : found(at.annotations)
    if (it !== undefined) return it
    at = at._tag === "Span" ? Option.getOrUndefined(at.parent) : undefined
  }
  return undefined
}

/** The state that came with the trace. */
const stateOf = (span: Tracer.Span): string =>
  nearest(span, (annotations) => {
    const state =
      Context.get(annotations, TraceContext.TraceState) ||
      (Context.getOrUndefined(annotations, OtelTraceState)?.serialize() ?? "")
    return state === "" ? undefined : state
  }) ?? ""

/** Whether the id of the trace came as a random one. */
const isRandom = (span: Tracer.Span): boolean =>
  nearest(span, (annotations) => {
    const flags = Context.getOrUndefined(annotations, OtelTraceFlags) ?? 0
    return Context.get(annotations, TraceContext.IsRandom) || (flags & randomFlag) !== 0 ? true : undefined
  }) ?? false

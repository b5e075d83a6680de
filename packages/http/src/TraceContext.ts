/**
 * The trace that a request belongs to, as W3C Trace Context has it in the headers `traceparent` and `tracestate`. An upstream that
 * may know of the trace gets both from the span of the attempt; {@link fromHeaders} is the other end, where a request comes in.
 *
 * **When to use**: where a server of your own makes the parent of its spans from the headers of a request, and entries of
 * other systems in `tracestate` are to go on to the upstreams.
 *
 * **What it is not**: a sampler. The incoming flags say whether the trace is recorded and whether its id is random; they are
 * passed on as they are.
 *
 * **Gotchas**: Effect's own `HttpTraceContext.fromHeaders` reads no `tracestate`; a parent from there has none to pass on.
 *
 * ```ts
 * import { Effect, Option, Tracer } from "effect"
 * import { TraceContext } from "holdfast"
 *
 * const parent = TraceContext.fromHeaders({
 *   traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
 *   tracestate: "congo=t61rcWkgMzE"
 * })
 * const handler = Effect.map(Effect.currentSpan, ({ traceId }) => console.log(traceId)).pipe(
 *   Effect.withSpan("GET /orders", { kind: "server", parent: Option.getOrUndefined(parent) })
 * )
 * await Effect.runPromise(handler) // => 0af7651916cd43dd8448eb211c80319c
 * ```
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

/**
 * An annotation of a span: the entries of other systems with the trace, as the header has them. Empty for nothing.
 *
 * @category annotations
 * @since 0.1.0
 */
export const TraceState: Context.Reference<string> = Context.Reference<string>(
  "@holdfast/http/TraceContext/TraceState",
  {
    defaultValue: () => ""
  }
)

/**
 * An annotation of a span: whether the trace's id was made at random, so that samplers on the way may decide by it. It is passed
 * on as it came (Trace Context Level 2 §3.2.2.3.2).
 *
 * @category annotations
 * @since 0.1.0
 */
export const IsRandom: Context.Reference<boolean> = Context.Reference<boolean>("@holdfast/http/TraceContext/IsRandom", {
  defaultValue: () => false
})

/** Trace Context §3.2.2: a later version may have more after the flags, and this one may not. */
const traceparent = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

const isZero = (id: string): boolean => /^0*$/.test(id)

/**
 * The span that a request came from, with its `tracestate`; none when the header is missing or broken. Names are in lower case.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromHeaders = (headers: {
  readonly [name: string]: string | undefined
}): Option.Option<Tracer.ExternalSpan> => {
  const [whole, version, traceId = "", spanId = "", flags = "", more] =
    traceparent.exec(headers["traceparent"]?.trim() ?? "") ?? []
  if (whole === undefined || isZero(traceId) || isZero(spanId)) return Option.none()
  if (version === "00" && more !== undefined) return Option.none()
  const bits = Number.parseInt(flags, 16)
  const state = boundedState(headers["tracestate"] ?? "")
  let annotations: Context.Context<never> = Context.empty()
  if (state !== "") annotations = Context.add(annotations, TraceState, state)
  if ((bits & 2) === 2) annotations = Context.add(annotations, IsRandom, true)
  return Option.some(Tracer.externalSpan({ traceId, spanId, sampled: (bits & 1) === 1, annotations }))
}

/** Trace Context §3.3.1.3: a key with an optional system before it, and up to 256 characters that are neither `,` nor `=`. */
const stateMember = /^[a-z0-9][a-z0-9_\-*/]{0,255}(?:@[a-z][a-z0-9_\-*/]{0,13})?=[ -+\--<>-~]{0,255}[!-+\--<>-~]$/

const mostMembers = 32
const mostCharacters = 512
const longMember = 128
/** No header of so many members is longer, with any blanks between them: it is not even taken apart. */
const longestState = 32 * 1024

/**
 * A `tracestate` within the bounds that every system passes on: 32 members and 512 characters. Members are left out whole, long ones
 * first, then from the end, where the oldest are (Trace Context §3.3.1.5). One broken member makes the whole of it worthless.
 */
const boundedState = (header: string): string => {
  if (header.length > longestState) return ""
  const members = header
    .split(",")
    .map((member) => member.trim())
    .filter((member) => member !== "")
  if (members.length > mostMembers || !members.every((member) => stateMember.test(member))) return ""
  const length = () => members.join(",").length
  for (let at = members.length - 1; at >= 0 && length() > mostCharacters; at--) {
    if ((members[at]?.length ?? 0) > longMember) members.splice(at, 1)
  }
  while (length() > mostCharacters) members.pop()
  return members.join(",")
}

/** A trace as a tree of text, from spans as a collector has them. */
import type { OtlpReceiver } from "holdfast/testing"

/** The spans of calls. */
export const callSpans = (spans: ReadonlyArray<OtlpReceiver.SpanRecord>): ReadonlyArray<OtlpReceiver.SpanRecord> =>
  spans.filter((span) => span.attributes["holdfast.upstream"] !== undefined)

/** The attempts of a call, in the order in which they began. */
export const attemptsOf = (
  spans: ReadonlyArray<OtlpReceiver.SpanRecord>,
  call: OtlpReceiver.SpanRecord
): ReadonlyArray<OtlpReceiver.SpanRecord> =>
  spans
    .filter((span) => span.traceId === call.traceId && span.parentSpanId === call.spanId)
    .toSorted((a, b) => Number(a.startTimeUnixNano - b.startTimeUnixNano))

/** The call that was rescued from most kinds of trouble, and of those the one with most attempts. */
export const mostTelling = (spans: ReadonlyArray<OtlpReceiver.SpanRecord>): OtlpReceiver.SpanRecord | undefined => {
  const byParent = Map.groupBy(spans, (span) => span.parentSpanId)
  const score = (call: OtlpReceiver.SpanRecord): number => {
    const attempts = byParent.get(call.spanId) ?? []
    const kinds = new Set(attempts.map((attempt) => attempt.attributes["error.type"]))
    return (call.status.code === "error" ? 0 : 100) + kinds.size * 10 + attempts.length
  }
  return callSpans(spans).toSorted((a, b) => score(b) - score(a))[0]
}

const millis = (from: bigint, to: bigint): number => Number(to - from) / 1e6

const time = (value: number): string => (value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(2)} s`)

const outcome = (span: OtlpReceiver.SpanRecord): string => {
  const status = span.attributes["http.response.status_code"]
  const error = span.attributes["error.type"]
  if (error === undefined) return status === undefined ? "ok" : String(status)
  return status === undefined || String(status) === error ? String(error) : `${String(status)}, then ${String(error)}`
}

/** Width of the time line. */
const columns = 32

/**
 * The call and its attempts, each with its place on the call's time line, its duration and how it ended; the waits between
 * them are lines of their own.
 */
export const drawTrace = (
  spans: ReadonlyArray<OtlpReceiver.SpanRecord>,
  call: OtlpReceiver.SpanRecord
): ReadonlyArray<string> => {
  const attempts = attemptsOf(spans, call)
  const begin = call.startTimeUnixNano
  const total = Math.max(millis(begin, call.endTimeUnixNano), 0.001)
  const bar = (from: number, to: number, mark: string): string => {
    const first = Math.min(columns - 1, Math.floor((from / total) * columns))
    const last = Math.max(first + 1, Math.ceil((to / total) * columns))
    return `${" ".repeat(first)}${mark.repeat(last - first)}`.padEnd(columns)
  }
  const named = Math.max(call.name.length, ...attempts.map((span) => span.name.length + 14))
  const line = (text: string, from: number, to: number, mark: string, end: string): string =>
    `${text.padEnd(named)}  ${bar(from, to, mark)}  ${time(to - from).padStart(7)}  ${end}`.trimEnd()
  const lines = [line(call.name, 0, total, "━", outcome(call))]
  let previousEnd = 0
  for (const [index, attempt] of attempts.entries()) {
    const from = millis(begin, attempt.startTimeUnixNano)
    const to = millis(begin, attempt.endTimeUnixNano)
    const resend = attempt.attributes["http.request.resend_count"]
    if (index > 0) lines.push(line("│    waits", previousEnd, from, "·", ""))
    const branch = index === attempts.length - 1 ? "└─" : "├─"
    lines.push(
      line(
        `${branch} ${attempt.name}${resend === undefined ? "" : `, resend ${String(resend)}`}`,
        from,
        to,
        "━",
        outcome(attempt)
      )
    )
    previousEnd = to
  }
  return [`trace ${call.traceId}`, ...lines]
}

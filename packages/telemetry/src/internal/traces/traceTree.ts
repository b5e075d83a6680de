/** The spans to draw as a tree: lines with a begin and an end, in the order in which they began. */

import type * as Tracer from "effect/Tracer"
import type { RecordedSpan } from "./recordedSpan.ts"
import { endingOf, outcomeOf, shownValue } from "./recordedSpan.ts"
import { shownMillis } from "../shown/shownMillis.ts"
import { oneLine } from "../logs/textOfOthers.ts"

/** How a line ended, for its colour. */
export type Tone = "good" | "bad" | "cut" | "plain"

/** A span, or an event of one. */
export interface Line {
  readonly kind: "span" | "running" | "event"
  readonly label: string
  /** From the begin of the root. */
  readonly fromMillis: number
  /** The same as `fromMillis` for an event, and the latest instant known for a span that runs still. */
  readonly toMillis: number
  readonly outcome: string
  readonly tone: Tone
  readonly below: ReadonlyArray<Line>
}

const millisBetween = (from: bigint, to: bigint): number => Number(to - from) / 1e6

const tones = { ok: "good", error: "bad", interrupted: "cut", running: "cut" } as const

const labelOf = (span: Tracer.Span): string => {
  const resend = span.attributes.get("http.request.resend_count")
  return resend === undefined ? span.name : `${span.name}, resend ${shownValue(resend)}`
}

const count = (number: unknown, noun: string): string => `${shownValue(number)} ${noun}${number === 1 ? "" : "s"}`

/** The attributes of a call beside its outcome, then the chosen ones. */
const notesOf = (span: Tracer.Span, shown: ReadonlyArray<string>): ReadonlyArray<string> => {
  const attempts = span.attributes.get("holdfast.attempts")
  const stopped = span.attributes.get("holdfast.retry_stopped")
  return [
    ...(attempts === undefined ? [] : [count(attempts, "attempt")]),
    ...(stopped === undefined ? [] : [`stopped: ${shownValue(stopped)}`]),
    ...shown.flatMap((name) => {
      const value = span.attributes.get(name)
      return value === undefined ? [] : [`${name}=${shownValue(value)}`]
    })
  ]
}

/** The attributes of an event, the error first, without the part that their names have in common with the event's. */
const eventText = (name: string, attributes: Readonly<Record<string, unknown>>): string => {
  const { "error.type": error, ...others } = attributes
  const pairs = Object.entries(others).map(([key, value]) => {
    const short = key.startsWith(`${name}.`) ? key.slice(name.length + 1) : key.replace(/^holdfast\./, "")
    // durations in attributes are seconds
    const shown = short === "delay" && typeof value === "number" ? shownMillis(value * 1000) : shownValue(value)
    return `${short} ${shown}`
  })
  return [...(error === undefined ? [] : [shownValue(error)]), ...pairs].join(", ")
}

/** The line of a span, and the lines of the spans below it among `spans`, which are in the order in which they began. */
export const lineOf = (
  root: RecordedSpan,
  spans: ReadonlyArray<RecordedSpan>,
  shownAttributes: ReadonlyArray<string>
): Line => {
  const below = Map.groupBy(spans, ({ above }) => above)
  const origin = root.status.startTime
  let latest = origin
  for (const span of [root, ...spans]) {
    const known = [span.status.startTime, ...(span.status._tag === "Ended" ? [span.status.endTime] : [])]
    for (const instant of [...known, ...span.events.map(([, time]) => time)]) if (instant > latest) latest = instant
  }
  const draw = (span: RecordedSpan): Line => {
    const events = span.events.map(([name, time, attributes]): Line => {
      const at = millisBetween(origin, time)
      const label = oneLine(name.replace(/^holdfast\./, ""))
      const outcome = oneLine(eventText(name, attributes))
      return { kind: "event", label, fromMillis: at, toMillis: at, outcome, tone: "plain", below: [] }
    })
    return {
      kind: span.status._tag === "Ended" ? "span" : "running",
      label: oneLine(labelOf(span)),
      fromMillis: millisBetween(origin, span.status.startTime),
      toMillis: millisBetween(origin, span.status._tag === "Ended" ? span.status.endTime : latest),
      outcome: oneLine([outcomeOf(span), ...notesOf(span, shownAttributes)].join(", ")),
      tone: tones[endingOf(span).status],
      below: [...events, ...(below.get(span) ?? []).map(draw)].toSorted((a, b) => a.fromMillis - b.fromMillis)
    }
  }
  return draw(root)
}

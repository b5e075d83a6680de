/** How a log line looks in a terminal. */

import type { LogRecord } from "./logRecord.ts"
import { jsonLine, oneLine } from "./textOfOthers.ts"

const manyLines = (text: string): string => text.split(/\r?\n/).map(oneLine).join("\n    ")

const shownValue = (value: unknown): string => {
  const text = typeof value === "string" ? oneLine(value) : jsonLine(value)
  return typeof value === "string" && (text === "" || /[\s"=]/.test(text)) ? JSON.stringify(text) : text
}

const colours: { readonly [severity: string]: string } = {
  TRACE: "90",
  DEBUG: "34",
  INFO: "32",
  WARN: "33",
  ERROR: "31",
  FATAL: "97;41"
}

/** `12:50:20.123 WARN  body  name=value …`, and a stack trace on lines of its own. UTC. */
export const prettyLine = (record: LogRecord, isColoured: boolean): string => {
  const paint = (code: string, text: string): string => (isColoured ? `\u001b[${code}m${text}\u001b[0m` : text)
  const { "exception.stacktrace": stack, ...attributes } = record.attributes
  const trailing = [
    ...(record.event_name === undefined ? [] : [["event", record.event_name] as const]),
    ...Object.entries(attributes),
    ...(record.trace_id === undefined ? [] : [["trace_id", record.trace_id] as const]),
    ...(record.span_id === undefined ? [] : [["span_id", record.span_id] as const])
  ].map(([name, value]) => `${oneLine(name)}=${shownValue(value)}`)
  const body = typeof record.body === "string" ? oneLine(record.body) : jsonLine(record.body)
  return [
    paint("90", record.timestamp.slice(11, 23)),
    paint(colours[record.severity_text] ?? "0", record.severity_text.padEnd(5)),
    body,
    ...(trailing.length === 0 ? [] : [paint("90", ` ${trailing.join(" ")}`)])
  ]
    .join(" ")
    .concat(typeof stack === "string" ? `\n    ${manyLines(stack)}` : "")
}

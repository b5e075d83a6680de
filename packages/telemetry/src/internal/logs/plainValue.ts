/** A value as a log shows it: how deep, how long, and without which secrets. */

import * as Redaction from "@holdfast/http/Redaction"
import * as Duration from "effect/Duration"
import * as Redactable from "effect/Redactable"
import * as Redacted from "effect/Redacted"

/** The part of one value that a line of a log may hold, so that no value makes it endless. */
const maxDepth = 8
const maxEntries = 100
const maxCharacters = 16_384

const bounded = (text: string): string =>
  text.length <= maxCharacters
    ? text
    : `${text.slice(0, maxCharacters)}… ${text.length - maxCharacters} more characters`

/**
 * A value as JSON has it, without secrets: `Redacted` values, headers that carry secrets, and any value under the name of
 * one. Bounded in depth, in entries and in length; a circle ends, and a value that throws says so.
 */
export const plainValue = (value: unknown): unknown => plain(value, 0, new Set())

const plain = (value: unknown, depth: number, above: Set<object>): unknown => {
  switch (typeof value) {
    case "string":
      return bounded(value)
    case "number":
      return Number.isFinite(value) ? value : String(value)
    case "boolean":
    case "undefined":
      return value
    case "bigint":
      return value.toString()
    case "function":
    case "symbol":
      return `[${typeof value}]`
    case "object":
      if (value === null) return null
      if (Redacted.isRedacted(value)) return Redaction.redacted
      if (above.has(value)) return "[circular]"
      if (depth >= maxDepth) return "[too deep]"
      above.add(value)
      try {
        return plainObject(value, depth + 1, above)
      } catch {
        return "[threw while it was read]"
      } finally {
        above.delete(value)
      }
  }
}

const plainObject = (value: object, depth: number, above: Set<object>): unknown => {
  // an error's own toJSON may hold a whole response
  if (value instanceof Error) return { type: value.name, message: bounded(value.message) }
  if (Redactable.isRedactable(value)) {
    const shown = Redactable.getRedacted(value)
    return shown === value ? plainEntries(Object.entries(value), depth, above) : plain(shown, depth, above)
  }
  if (Duration.isDuration(value)) return Duration.format(value)
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`
  if (Array.isArray(value) || value instanceof Set) return plainList([...value], depth, above)
  if (value instanceof Map) {
    return plainEntries(
      [...value].map(([key, entry]) => [String(plain(key, depth, above)), entry] as const),
      depth,
      above
    )
  }
  if ("toJSON" in value && typeof value.toJSON === "function") {
    const json: unknown = value.toJSON()
    if (json !== value) return plain(json, depth, above)
  }
  return plainEntries(Object.entries(value), depth, above)
}

const plainList = (values: ReadonlyArray<unknown>, depth: number, above: Set<object>): ReadonlyArray<unknown> => {
  const shown = values.slice(0, maxEntries).map((entry) => plain(entry, depth, above))
  return values.length <= maxEntries ? shown : [...shown, `… ${values.length - maxEntries} more`]
}

const plainEntries = (
  entries: ReadonlyArray<readonly [string, unknown]>,
  depth: number,
  above: Set<object>
): Record<string, unknown> => {
  const shown: Array<readonly [string, unknown]> = []
  for (const [name, entry] of entries.slice(0, maxEntries)) {
    const value = plainNamed(name, entry, depth, above)
    if (value !== undefined) shown.push([name, value])
  }
  if (entries.length > maxEntries) shown.push(["…", `${entries.length - maxEntries} more`])
  // not by assignment, which a name like `__proto__` would turn into something else
  return Object.fromEntries(shown)
}

const plainNamed = (name: string, value: unknown, depth: number, above: Set<object>): unknown => {
  // as a header is written, and as a program writes it
  const header = name.toLowerCase().replaceAll("_", "-")
  if (value !== undefined && value !== null && Redaction.isSecretHeader(header)) return Redaction.redacted
  const shown = plain(value, depth, above)
  return typeof shown === "string" ? Redaction.headers({ [header]: shown })[header] : shown
}

/** An annotation, or another value under a name. */
export const plainUnder = (name: string, value: unknown): unknown => plainNamed(name, value, 0, new Set())

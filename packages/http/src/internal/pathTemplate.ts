import * as Redacted from "effect/Redacted"
import type { PathValue } from "../Request.ts"

/** What is wrong with a request, and where. */
export interface Issue {
  readonly path: string
  readonly issue: string
}

export const isIssue = (value: object | string): value is Issue => typeof value === "object" && "issue" in value

/** A lone surrogate has no UTF-8 form: `encodeURIComponent` throws at it. */
const notUnicode = "must be well-formed Unicode; it has half of a surrogate pair"

const text = (value: PathValue): string => (Redacted.isRedacted(value) ? Redacted.value(value) : String(value))

/** A template taken apart: texts, and between them the names of the places. */
interface Parts {
  readonly texts: ReadonlyArray<string>
  readonly names: ReadonlyArray<string>
}

const parse = (template: string): Parts => {
  const pieces = template.split(/\{([^{}]*)\}/)
  return { texts: pieces.filter((_, index) => index % 2 === 0), names: pieces.filter((_, index) => index % 2 === 1) }
}

// templates are written in code, so there are few; a program that makes them up does not fill the memory with them
const parsed = new Map<string, Parts>()
const mostParsed = 1000

const partsOf = (template: string): Parts => {
  const known = parsed.get(template)
  if (known !== undefined) return known
  const parts = parse(template)
  if (parsed.size >= mostParsed) parsed.clear()
  parsed.set(template, parts)
  return parts
}

/**
 * Fills `{name}` places. A value is percent-encoded whole, so that a slash in it cannot become another path; an empty one
 * is refused, because it would name another resource: `/users/{id}` is not `/users/`. So are `.` and `..`, which URLs
 * resolve away even when they are encoded.
 */
export const fillPath = (
  template: string,
  params: { readonly [name: string]: PathValue | undefined } | undefined,
  hideSecrets: boolean
): string | Issue => {
  if (!template.includes("{")) return template
  const { names, texts } = partsOf(template)
  let filled = texts[0] ?? ""
  for (let place = 0; place < names.length; place++) {
    const name = names[place] ?? ""
    const value = params !== undefined && Object.hasOwn(params, name) ? params[name] : undefined
    if (value === undefined) {
      return { path: `params.${name}`, issue: `the path ${template} needs it, and it was not given` }
    }
    const segment = segmentOf(name, value, hideSecrets)
    if (typeof segment === "object") return segment
    filled += segment + (texts[place + 1] ?? "")
  }
  return filled
}

const segmentOf = (name: string, value: PathValue, hideSecrets: boolean): string | Issue => {
  // a number has nothing to encode but the sign of an exponent
  if (typeof value === "number" && Number.isSafeInteger(value)) return String(value)
  if (hideSecrets && Redacted.isRedacted(value)) return "REDACTED"
  const given = text(value)
  if (given === "" || given === "." || given === "..") {
    return { path: `params.${name}`, issue: `must name one path segment, got ${JSON.stringify(given)}` }
  }
  return given.isWellFormed() ? encodeURIComponent(given) : { path: `params.${name}`, issue: notUnicode }
}

/** The query string with its `?`, or nothing; or what is wrong with it. Arrays repeat the name; `undefined` is left out. */
export const queryString = (
  query: { readonly [name: string]: PathValue | ReadonlyArray<PathValue> | undefined } | undefined,
  hideSecrets: boolean
): string | Issue => {
  if (query === undefined) return ""
  const pairs: Array<string> = []
  for (const [name, given] of Object.entries(query)) {
    if (given === undefined) continue
    const values: ReadonlyArray<PathValue> = Array.isArray(given) ? given : [given as PathValue]
    for (const value of values) {
      const sent = hideSecrets && Redacted.isRedacted(value) ? "REDACTED" : text(value)
      if (!name.isWellFormed() || !sent.isWellFormed()) {
        return { path: `query.${name.toWellFormed()}`, issue: notUnicode }
      }
      pairs.push(`${encodeURIComponent(name)}=${encodeURIComponent(sent)}`)
    }
  }
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`
}

/** Which targets a template gives, and which are wrong. */

import * as Redacted from "effect/Redacted"
import type { PathValue } from "../../Request.ts"

/** The fault of a request, and its place. */
export interface Issue {
  readonly path: string
  readonly issue: string
}

export const isIssue = (value: object | string): value is Issue => typeof value === "object" && "issue" in value

/** A lone surrogate has no UTF-8 form: `encodeURIComponent` throws at it, and encoders put another character in its place. */
export const notUnicode = "must be well-formed Unicode; it has half of a surrogate pair"

const text = (value: PathValue): string => (Redacted.isRedacted(value) ? Redacted.value(value) : String(value))

/** A template taken apart: texts, encoded, and between them the names of the places. */
interface Parts {
  readonly texts: ReadonlyArray<string>
  readonly names: ReadonlyArray<string>
  /** How many of the texts come before the query. */
  readonly inPath: number
}

/** Characters that nobody can mean, or that two readers would take for two things. */
const ambiguous = /[\0-\x20\p{Cc}#\\{}]|%(?![0-9A-Fa-f]{2})/u

const refused = (character: string): string => {
  switch (character) {
    case "#":
      return "has a fragment, which is never sent; write %23 where the sign itself is meant"
    case "\\":
      return "has a backslash, which some read as a slash; write %5C"
    case "{":
    case "}":
      return "has a brace without its partner; write %7B or %7D where the sign itself is meant"
    case "%":
      return "has a % that is not followed by two hexadecimal digits; write %25 where the sign itself is meant"
    case " ":
      return "has a blank, which no request can carry; write %20, or give the value as a param"
    default:
      return "has a control character, such as a line break, which no request can carry"
  }
}

/** The fault of a target, encoded, as it would go on the wire: it is not a template, and nothing of it is filled in any more. */
export const wrongTarget = (target: string): Issue | undefined => {
  if (!target.startsWith("/")) return { path: "path", issue: "must begin with a slash" }
  const [character] = ambiguous.exec(target) ?? []
  if (character !== undefined) return { path: "path", issue: refused(character.charAt(0)) }
  if (hasDotSegment(target))
    return { path: "path", issue: "has a segment . or .., with which it would leave its place" }
  return /^[\x21-\x7e]*$/.test(target)
    ? undefined
    : { path: "path", issue: "has text that is not percent-encoded; write it as encodeURIComponent does" }
}

/** RFC 3986 §3.3 and §3.4: what a path and a query hold as it is. All else is percent-encoded, as UTF-8. */
const encodedText = (text: string): string => text.replace(/[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]/gu, encodeURIComponent)

/** A segment that URLs resolve away, even when it is encoded. The value that fills a place makes none: it is never a dot alone. */
const dotSegment = /\/(?:\.|%2e){1,2}(?:[/?]|$)/i

/** Whether the path of a target has one. */
export const hasDotSegment = (target: string): boolean => dotSegment.test(target.split(/[?#]/, 1)[0] ?? "")

const parse = (template: string): Parts | Issue => {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(template)) {
    return {
      path: "path",
      issue:
        "must be a path below the baseUrl of the upstream, such as /charges/{id}, got a whole URL; " +
        "write what comes after the baseUrl, and declare another upstream for what is elsewhere"
    }
  }
  if (!template.startsWith("/")) {
    return { path: "path", issue: `a path begins with a slash, got ${JSON.stringify(shownRefused(template))}` }
  }
  if (!template.isWellFormed()) return { path: "path", issue: notUnicode }
  const pieces = template.split(/\{([^{}]*)\}/)
  const texts = pieces.filter((_, index) => index % 2 === 0)
  for (const text of texts) {
    const [wrong] = ambiguous.exec(text) ?? []
    if (wrong !== undefined) return { path: "path", issue: refused(wrong) }
  }
  if (hasDotSegment(texts.join("_"))) {
    return {
      path: "path",
      issue: "has a segment . or .., with which it would leave its place; write the path that is meant"
    }
  }
  const before = texts.findIndex((text) => text.includes("?"))
  return {
    texts: texts.map(encodedText),
    names: pieces.filter((_, index) => index % 2 === 1),
    inPath: before === -1 ? texts.length : before
  }
}

/** A segment that nobody can mistake for a secret: a word of letters, a version, a place, a dot segment. */
const plainSegment = /^(?:[A-Za-z_-]{0,40}|v\d{1,3}|\.{1,2}|\{\w{1,40}\})$/

const mostSegments = 10

/**
 * A refused path, as errors show it. It is no name of low cardinality, as a template is, but whatever the program made up: a value
 * that was put in without being encoded, a token, a whole URL.
 */
const shownRefused = (template: string): string => {
  const [path = ""] = template.split(/[?=]/, 1)
  const rest = template.slice(path.length, path.length + 1)
  const segments = path.split("/").map((segment) => (plainSegment.test(segment) ? segment : "…"))
  const shown = segments.length > mostSegments ? [...segments.slice(0, mostSegments), "…"] : segments
  return shown.join("/") + (rest === "" ? "" : `${rest}…`)
}

/** The fault of a template, and the text that is shown instead of it; `undefined` for one that a request can be made of. */
export const refusedTemplate = (template: string): { readonly issue: Issue; readonly shown: string } | undefined => {
  const parts = partsOf(template)
  return isIssue(parts) ? { issue: parts, shown: shownRefused(template) } : undefined
}

// templates are written in code, so there are few; a program that makes them up does not fill the memory with them
const parsed = new Map<string, Parts | Issue>()
const mostParsed = 1000

const partsOf = (template: string): Parts | Issue => {
  const known = parsed.get(template)
  if (known !== undefined) return known
  const parts = parse(template)
  if (parsed.size >= mostParsed) parsed.clear()
  parsed.set(template, parts)
  return parts
}

/**
 * A path of its template. The text is sent by RFC 3986: what a path or a query may hold goes as it is, anything else percent-encoded as
 * UTF-8; what cannot be meant (a blank, a fragment) is refused, and so are segments that URLs resolve away, with which a path would
 * leave its base. `{name}` places are filled: a value is percent-encoded whole, so that a slash in it cannot become another path, and
 * in the path none may be empty, because it would name another resource: `/users/{id}` is not `/users/`.
 */
export const fillPath = (
  template: string,
  params: { readonly [name: string]: PathValue | undefined } | undefined,
  hideSecrets: boolean
): string | Issue => {
  const parts = partsOf(template)
  if (isIssue(parts)) return parts
  const { inPath, names, texts } = parts
  let filled = texts[0] ?? ""
  for (let place = 0; place < names.length; place++) {
    const name = names[place] ?? ""
    const value = params !== undefined && Object.hasOwn(params, name) ? params[name] : undefined
    if (value === undefined) {
      return { path: `params.${name}`, issue: `the path ${template} needs it, and it was not given` }
    }
    const filling = place < inPath ? segmentOf(name, value, hideSecrets) : valueOf(name, value, hideSecrets)
    if (typeof filling === "object") return filling
    filled += filling + (texts[place + 1] ?? "")
  }
  return (params === undefined ? undefined : withoutPlace(template, names, params)) ?? filled
}

/** A value that would be sent nowhere says that the path was meant to be another: `/items/:sku`. */
const withoutPlace = (template: string, names: ReadonlyArray<string>, params: object): Issue | undefined => {
  for (const name in params) {
    if (!names.includes(name)) {
      return { path: `params.${name}`, issue: `the path ${template} has no place for it; a place is written {${name}}` }
    }
  }
  return undefined
}

const segmentOf = (name: string, value: PathValue, hideSecrets: boolean): string | Issue => {
  // a number has nothing to encode but the sign of an exponent
  if (typeof value === "number" && Number.isSafeInteger(value)) return String(value)
  if (hideSecrets && Redacted.isRedacted(value)) return "REDACTED"
  const given = text(value)
  if (given === "" || given === "." || given === "..") {
    return { path: `params.${name}`, issue: `must name one path segment, got ${JSON.stringify(given)}` }
  }
  return encodedValue(name, given)
}

const valueOf = (name: string, value: PathValue, hideSecrets: boolean): string | Issue =>
  hideSecrets && Redacted.isRedacted(value) ? "REDACTED" : encodedValue(name, text(value))

const encodedValue = (name: string, value: string): string | Issue =>
  value.isWellFormed() ? encodeURIComponent(value) : { path: `params.${name}`, issue: notUnicode }

/** A path, which may have a query of its own, with a further query. */
export const withQuery = (path: string, query: string): string => {
  if (query === "" || !path.includes("?")) return path + query
  return path + (/[?&]$/.test(path) ? "" : "&") + query.slice(1)
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

import * as Redacted from "effect/Redacted"

/** What may stand in a path or a query. */
export type Value = string | number | boolean | Redacted.Redacted<string>

/** What is wrong with a request, and where. */
export interface Issue {
  readonly path: string
  readonly issue: string
}

export const isIssue = (value: object | string): value is Issue => typeof value === "object" && "issue" in value

const text = (value: Value): string => (Redacted.isRedacted(value) ? Redacted.value(value) : String(value))

/**
 * Fills `{name}` places. A value is percent-encoded whole, so that a slash in it cannot become another path; an empty one
 * is refused, because it would name another resource: `/users/{id}` is not `/users/`. So are `.` and `..`, which URLs
 * resolve away even when they are encoded.
 */
export const fillPath = (
  template: string,
  params: { readonly [name: string]: Value | undefined } | undefined,
  hideSecrets: boolean
): string | Issue => {
  if (!template.includes("{")) return template
  let issue: Issue | undefined
  const filled = template.replace(/\{([^{}]*)\}/g, (_, name: string) => {
    const value = params !== undefined && Object.hasOwn(params, name) ? params[name] : undefined
    if (value === undefined) {
      issue ??= { path: `params.${name}`, issue: `the path ${template} needs it, and it was not given` }
      return ""
    }
    if (hideSecrets && Redacted.isRedacted(value)) return "REDACTED"
    const given = text(value)
    if (given === "" || given === "." || given === "..") {
      issue ??= { path: `params.${name}`, issue: `must name one path segment, got ${JSON.stringify(given)}` }
      return ""
    }
    return encodeURIComponent(given)
  })
  return issue ?? filled
}

/** The query string with its `?`, or nothing. Arrays repeat the name; `undefined` is left out. */
export const queryString = (
  query: { readonly [name: string]: Value | ReadonlyArray<Value> | undefined } | undefined
): string => {
  if (query === undefined) return ""
  const pairs: Array<string> = []
  for (const [name, given] of Object.entries(query)) {
    if (given === undefined) continue
    const values: ReadonlyArray<Value> = Array.isArray(given) ? given : [given as Value]
    for (const value of values) pairs.push(`${encodeURIComponent(name)}=${encodeURIComponent(text(value))}`)
  }
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`
}

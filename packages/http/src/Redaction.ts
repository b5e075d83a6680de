/**
 * Values that never leave the process: header values and URL parts that carry secrets. Errors, spans and logs show only
 * values that passed through here.
 *
 * **Gotchas**: a query value is hidden unless its name is known to be harmless. A list of names to hide always lacks the
 * one that matters.
 *
 * @since 0.1.0
 */

/** The text in place of a secret, as OpenTelemetry's conventions have it. */
export const redacted = "REDACTED"

const secretHeader =
  /^(?:(?:proxy-)?authorization|(?:set-)?cookie2?|(?:proxy-|www-)authenticate|authentication-info|.*(?:token|secret|password|api-?key|signature|credential|session).*|x-amz-security-.*)$/

/**
 * Whether a header's value is to be hidden. The name is in lower case.
 *
 * ```ts
 * import { Redaction } from "holdfast"
 *
 * console.log(Redaction.isSecretHeader("x-api-key"), Redaction.isSecretHeader("retry-after")) // => true false
 * ```
 *
 * @category guards
 * @since 0.1.0
 */
export const isSecretHeader = (name: string): boolean => secretHeader.test(name)

/** Headers whose values are URLs, or have URLs in them. */
const namesUrl: ReadonlySet<string> = new Set(["location", "content-location", "link", "refresh", "referer"])

const withoutQueries = (value: string): string => value.replace(/\?[^\s<>,;"]*/g, `?${redacted}`)

/**
 * The headers with the secret values hidden, and with the queries of URLs that stand in them.
 *
 * @category combinators
 * @since 0.1.0
 */
export const headers = (headers: { readonly [name: string]: string }): Record<string, string> => {
  const shown: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    shown[name] = isSecretHeader(name) ? redacted : namesUrl.has(name) ? withoutQueries(value) : value
  }
  return shown
}

/**
 * A path and its query with every query value hidden, except under the names in `visible`.
 *
 * ```ts
 * import { Redaction } from "holdfast"
 *
 * console.log(Redaction.path("/charges?page=2&token=s3cret", ["page"])) // => /charges?page=2&token=REDACTED
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const path = (path: string, visible: ReadonlyArray<string> = []): string => {
  const at = path.indexOf("?")
  if (at === -1) return path
  const shown = path
    .slice(at + 1)
    .split("&")
    .map((pair) => {
      const name = pair.split("=", 1)[0] ?? ""
      return visible.includes(decodeURIComponentSafe(name)) || !pair.includes("=") ? pair : `${name}=${redacted}`
    })
  return `${path.slice(0, at)}?${shown.join("&")}`
}

const decodeURIComponentSafe = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

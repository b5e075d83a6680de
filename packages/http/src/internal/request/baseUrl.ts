/** The rules of a base URL. */

/** Reads a base URL; `whose` names it in the error for a wrong one. */
export const parseBaseUrl = (whose: string, baseUrl: string | URL): URL => {
  const url = URL.parse(String(baseUrl))
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new RangeError(
      `${whose} must be an absolute http or https URL, such as https://payments.internal/v1, got ${flawOf(String(baseUrl))}`
    )
  }
  if (url.username !== "" || url.password !== "") {
    throw new RangeError(`${whose} holds credentials; send them as a header: { authorization: Redacted.make(…) }`)
  }
  if (url.search !== "" || url.hash !== "") {
    throw new RangeError(`${whose} has a query or a fragment; give query values with each request`)
  }
  return url
}

/** The flaw of a text that is no base URL, in words. It may hold a password where a scheme should be, so no part of it is repeated. */
const flawOf = (text: string): string => {
  if (/^\s*https?:/i.test(text)) return "one without a valid host and port"
  return text.includes("://") ? "another scheme" : "no scheme"
}

/** Its path, without a slash at its end. */
export const basePathOf = (url: URL): string => url.pathname.replace(/\/+$/, "")

/** Where a program's own `HttpClientRequest` goes, below the base URL of its upstream. */

import * as Option from "effect/Option"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import { listed } from "../call/chosen.ts"
import type { Runtime } from "../call/runtime.ts"
import { hasDotSegment, type Issue } from "../request/pathTemplate.ts"

/** The request with the whole of its URL, as its response shows it: code that resolves a redirect or keeps cookies needs that. */
export const absolute = (
  runtime: Runtime,
  request: HttpClientRequest.HttpClientRequest
): HttpClientRequest.HttpClientRequest => {
  const { body, hash, headers, method, url, urlParams } = request
  if (/^[a-z][a-z0-9+.-]*:/i.test(url)) return request
  const [origin = ""] = originsOf(runtime)
  const slash = /^(?:[/?#]|$)/.test(url) ? "" : "/"
  return HttpClientRequest.makeWith(method, origin + runtime.basePath + slash + url, urlParams, hash, headers, body)
}

/** The origins at which an upstream is. Where its endpoints list none, a path still has to be read: its attempt is refused later. */
const originsOf = ({ endpoints, live }: Runtime): ReadonlyArray<string> => {
  if (live.place !== undefined) return [live.place.origin]
  const found = endpoints === undefined ? [] : listed(endpoints).map(({ origin }) => origin)
  return found.length === 0 ? ["http://unlisted.invalid"] : found
}

/** Path and query of a request. The fault of a URL is told without the URL: it may hold a secret. */
export const pathOf = (runtime: Runtime, request: HttpClientRequest.HttpClientRequest): string | Issue => {
  const wrong = wrongUrl(request.url)
  if (wrong !== undefined) return { path: "url", issue: wrong }
  const url = Option.getOrUndefined(HttpClientRequest.toUrl(request))
  if (url === undefined) return { path: "url", issue: "must be a path, or an absolute http or https URL" }
  const origins = originsOf(runtime)
  if (!origins.includes(url.origin)) {
    const some = origins.slice(0, 3).join(", ")
    return { path: "url", issue: `must be a path, or a URL of ${some}; another origin is another upstream` }
  }
  if (url.username !== "" || url.password !== "") {
    return { path: "url", issue: "holds credentials; send them as a header, as HttpClientRequest.basicAuth does" }
  }
  return url.pathname + url.search
}

/** The parts of a URL that would lead to another place than the one that was written: an id that a program fills in may be any text. */
const wrongUrl = (absolute: string): string | undefined => {
  if (/[\\\p{Cc}]/u.test(absolute)) return "has a backslash or a control character, which URLs take for something else"
  return hasDotSegment(absolute.replace(/^[^:]*:\/*[^/?#]*/, ""))
    ? "has a segment . or .., with which it would leave its place; write the path that is meant"
    : undefined
}

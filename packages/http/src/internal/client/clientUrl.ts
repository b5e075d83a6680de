/** Where a program's own `HttpClientRequest` goes, below the base URL of its upstream. */

import * as Option from "effect/Option"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { Runtime } from "../call/runtime.ts"
import { hasDotSegment, type Issue } from "../request/pathTemplate.ts"

/** The request with the whole of its URL, as its response shows it: whoever resolves a redirect or keeps cookies needs that. */
export const absolute = (
  { basePath, origin }: Runtime,
  request: HttpClientRequest.HttpClientRequest
): HttpClientRequest.HttpClientRequest => {
  const { body, hash, headers, method, url, urlParams } = request
  if (/^[a-z][a-z0-9+.-]*:/i.test(url)) return request
  const slash = /^(?:[/?#]|$)/.test(url) ? "" : "/"
  return HttpClientRequest.makeWith(method, origin + basePath + slash + url, urlParams, hash, headers, body)
}

/** Path and query of a request. What is wrong with a URL is said without it: it may hold a secret. */
export const pathOf = (origin: string, request: HttpClientRequest.HttpClientRequest): string | Issue => {
  const wrong = wrongUrl(request.url)
  if (wrong !== undefined) return { path: "url", issue: wrong }
  const url = Option.getOrUndefined(HttpClientRequest.toUrl(request))
  if (url === undefined) return { path: "url", issue: "must be a path, or an absolute http or https URL" }
  if (url.origin !== origin) {
    return { path: "url", issue: `must be a path, or a URL of ${origin}; what is elsewhere is another upstream` }
  }
  if (url.username !== "" || url.password !== "") {
    return { path: "url", issue: "holds credentials; send them as a header, as HttpClientRequest.basicAuth does" }
  }
  return url.pathname + url.search
}

/** What of a URL is another place than the one that was written: an id that a program fills in may be any text. */
const wrongUrl = (absolute: string): string | undefined => {
  if (/[\\\p{Cc}]/u.test(absolute)) return "has a backslash or a control character, which URLs take for something else"
  return hasDotSegment(absolute.replace(/^[^:]*:\/*[^/?#]*/, ""))
    ? "has a segment . or .., with which it would leave its place; write the path that is meant"
    : undefined
}

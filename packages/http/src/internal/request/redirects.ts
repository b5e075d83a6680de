/** Where a redirect leads, and what goes along. */

import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as Redaction from "../../Redaction.ts"
import * as Transport from "../../Transport.ts"
import type { RedirectPolicy } from "../policy/policyModel.ts"

/** Where a redirect leads, and what is asked there. */
export interface Hop {
  readonly method: string
  readonly origin: string
  readonly path: string
  readonly headers: { readonly [name: string]: string }
  readonly body: Transport.Body | undefined
}

/** The facts of a request when its answer is a redirect. */
export interface Asked {
  readonly request: Transport.Request
  /** Redirects that were followed before. */
  readonly followed: number
  readonly policy: RedirectPolicy
  /** Whether the body can be sent once more. */
  readonly replayable: boolean
  /** Names of the headers that the caller declared as secrets. */
  readonly secretHeaders: ReadonlySet<string>
}

/** RFC 9110 §15.4: the statuses that say "ask there". 300 and 304 say something else, and 305 and 306 are gone. */
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/** Whether a response asks to be followed. One that does not say where to is a status like any other, as in Fetch. */
export const isRedirect = (status: number, headers: { readonly [name: string]: string }): boolean =>
  redirects.has(status) && headers["location"] !== undefined

/** Headers that describe a body, which go with it (Fetch, "request-body-header name"); and the one that frames it. */
const ofBody: ReadonlySet<string> = new Set([
  "content-encoding",
  "content-language",
  "content-length",
  "content-location",
  "content-type"
])

const isOfTrace = (name: string): boolean =>
  name === "traceparent" || name === "tracestate" || name === "baggage" || name === "b3" || name.startsWith("x-b3-")

/** Whether a header is for the first origin alone. `host` names it; the other names are secrets, and the key of a write that it knows. */
const isForOrigin = (name: string, asked: Asked): boolean =>
  name === "host" ||
  name === "idempotency-key" ||
  asked.secretHeaders.has(name) ||
  Redaction.isSecretHeader(name) ||
  (asked.policy.traceHeaders === "drop" && isOfTrace(name))

/**
 * A header holds its bytes as characters, so a character beyond ASCII is a byte of the server's text, in UTF-8 or not: percent-encoded it
 * stays the same byte. A URL would take it for a character, and encode that.
 */
const encodedBytes = (location: string): string =>
  location.replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`)

/** The request that a redirect asks for, or why it is not made. */
export const nextHop = (
  asked: Asked,
  status: number,
  location: string
): Hop | Reason.TooManyRedirects | Reason.MalformedResponse => {
  const { policy, request } = asked
  const target = URL.parse(encodedBytes(location), request.origin + request.path)
  const wrong =
    target === null
      ? "is not a URL"
      : target.protocol !== "https:" && target.protocol !== "http:"
        ? "is not http or https"
        : target.username !== "" || target.password !== ""
          ? "holds credentials"
          : undefined
  if (target === null || wrong !== undefined) return malformed(asked, status, wrong ?? "")
  const isInsecure = request.origin.startsWith("https:") && target.protocol === "http:"
  if (asked.followed >= policy.max || (isInsecure && policy.insecure === "refuse")) {
    return notFollowed(asked, status, target)
  }
  // Fetch, "HTTP-redirect fetch", step 12: a browser has always done so, and servers count on it
  const becomesGet =
    status === 303
      ? request.method !== "GET" && request.method !== "HEAD"
      : (status === 301 || status === 302) && request.method === "POST"
  if (!becomesGet && request.body !== undefined && !asked.replayable) return notFollowed(asked, status, target)
  const crosses = target.origin !== request.origin
  const kept = Object.entries(request.headers).filter(
    ([name]) => !(becomesGet && ofBody.has(name)) && !(crosses && isForOrigin(name, asked))
  )
  return {
    method: becomesGet ? "GET" : request.method,
    origin: target.origin,
    path: target.pathname + target.search,
    headers: Object.fromEntries(kept),
    body: becomesGet ? undefined : request.body
  }
}

const malformed = ({ request }: Asked, status: number, wrong: string): Reason.MalformedResponse =>
  stackless(
    () =>
      new Reason.MalformedResponse({
        endpoint: Transport.endpointOf(request.origin),
        phase: "receive",
        // the value is not repeated: it may hold secrets
        detail: `the Location of a ${status} ${wrong}`
      })
  )

const notFollowed = ({ followed, request }: Asked, status: number, target: URL): Reason.TooManyRedirects =>
  stackless(
    () =>
      new Reason.TooManyRedirects({
        endpoint: Transport.endpointOf(request.origin),
        status,
        followed,
        location: target.origin
      })
  )

export const isHop = (next: Hop | Reason.TooManyRedirects | Reason.MalformedResponse): next is Hop => "path" in next

/** Which baggage keys and headers can be tags. */

import * as Redaction from "../../Redaction.ts"
import { isHeaderName, isOfConnection } from "./headerRules.ts"

export const maxTags = 16

/** Headers that negotiate, or have a meaning of their own in a chain of services: a tag would overwrite them. */
const reserved =
  /^(?:host|from|via|range|vary|date|origin|referer|user-agent|accept.*|content-.*|if-.*|proxy-.*|sec-.*|x-forwarded-.*|forwarded|traceparent|tracestate|baggage|b3|x-b3-.*|x-request-id|idempotency-key)$/

/** Names of tags in lower case. Throws a `RangeError` that says which one cannot be a tag, and why. */
export const tagNames = (owner: string, option: string, names: ReadonlyArray<string>): ReadonlyArray<string> => {
  const lower = [...new Set(names.map((name) => name.toLowerCase()))]
  if (lower.length > maxTags) {
    throw new RangeError(`${owner}: ${option} may name ${maxTags} tags at most, got ${lower.length}`)
  }
  for (const name of lower) {
    const shown = JSON.stringify(name)
    if (!isHeaderName(name) || name.length > 64) {
      throw new RangeError(`${owner}: ${option} must be names of headers of up to 64 characters, got ${shown}`)
    }
    if (Redaction.isSecretHeader(name)) {
      throw new RangeError(`${owner}: ${option} must not name headers that carry secrets, got ${shown}`)
    }
    if (reserved.test(name) || isOfConnection(name)) {
      throw new RangeError(`${owner}: ${option} must not name headers that HTTP or tracing uses, got ${shown}`)
    }
  }
  return lower
}

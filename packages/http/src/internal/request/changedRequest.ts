/** The request as a layer has changed it: it may be none, and is checked like the caller's own before anything is touched. */

import type * as Transport from "../../Transport.ts"
import { putHeaders, wrongLength } from "./headerRules.ts"
import { isIssue, type Issue, wrongTarget } from "./pathTemplate.ts"
import { bytesOf } from "./requestBody.ts"

/** The part of a request that a layer may change. */
interface Changeable {
  readonly path: string
  readonly headers: Transport.Headers
  readonly body?: Transport.Body | undefined
}

/** The request with the names of its headers in lower case, or why it is none. */
export const changedRequest = <R extends Changeable>(given: R): R | Issue => {
  const headers: Record<string, string> = {}
  const wrong = putHeaders(headers, Object.entries(given.headers)) ?? wrongTarget(given.path)
  if (wrong !== undefined) return wrong
  const declared = headers["content-length"]
  const length = declared === undefined ? undefined : wrongLength(declared, bytesOf(given.body))
  return length ?? { ...given, headers }
}

/** Whether it is a request. */
export const isChanged = <R extends Changeable>(made: R | Issue): made is R => !isIssue(made)

/** A layer that gave no effect, as one that is written without types may. */
export const notAnEffect = (upstream: string, layer: string, got: unknown): TypeError =>
  new TypeError(`${upstream}: the layer ${layer} must give an effect, as \`next\` does, got ${typeof got}`)

/** How a request is made of the caller's values: its target, its headers, its body. */

import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type * as Reason from "@holdfast/core/Reason"
import * as Redaction from "../../Redaction.ts"
import * as RequestIdentity from "../../RequestIdentity.ts"
import type { ParamsOf, RequestOptions } from "../../Request.ts"
import type * as Transport from "../../Transport.ts"
import { putHeaders, wrongHeader, wrongLength } from "./headerRules.ts"
import { fillPath, isIssue, type Issue, queryString, withQuery } from "./pathTemplate.ts"
import { isIdempotent } from "./replay.ts"
import { bytesOf, makeBody, type RequestBody } from "./requestBody.ts"
import { isTracing } from "../watch/spans.ts"
import { randomHex } from "./requestId.ts"
import type { Runtime } from "../call/runtime.ts"
import { unknownOption } from "./givenOptions.ts"

/** A request as the helpers pass it on, its types forgotten. */
export type Given = RequestOptions &
  ParamsOf<string> & {
    readonly decode?: Schema.ConstraintDecoder<unknown, unknown> | undefined
    /** Makes what the caller gets of a response, where a schema and a list of statuses do not say it. */
    readonly read?: Read | undefined
  }

/** Makes of a response what the caller asked for, or gives the reason why it is a failure. */
export type Read = (
  runtime: Runtime,
  endpoint: string,
  fiber: Fiber.Fiber<unknown, unknown>,
  given: Given,
  response: Transport.Response,
  /** Redirects that led to it. */
  followed: number,
  /** Whether the request asked for a range. */
  asksForPart: boolean
) => Effect.Effect<unknown, Reason.Reason, unknown>

/** A request that is ready to be sent, as often as it may be. */
export interface Encoded {
  readonly path: string
  /** The path as spans show it. */
  readonly shownPath: string
  readonly headers: Record<string, string>
  readonly body: RequestBody
  /** Whether the server applies the request at most once, however often it comes. */
  readonly repeatable: boolean
}

/** Whose request it is. */
export interface Origin {
  readonly runtime: Runtime
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly method: string
  readonly template: string
  readonly requestId: string
}

/**
 * The identifier that the caller gave: its own header wins over that of the request that it works for, and that over a new
 * one, so that one id goes through a chain of services.
 */
export const requestIdOf = (
  runtime: Runtime,
  given: Given,
  fiber: Fiber.Fiber<unknown, unknown>
): string | undefined => {
  if (given.headers !== undefined) {
    for (const [name, value] of Object.entries(given.headers)) {
      if (typeof value === "string" && name.toLowerCase() === "x-request-id") return value
    }
  }
  return runtime.headers["x-request-id"] ?? fiber.getRef(RequestIdentity.Current)?.id
}

/**
 * Makes the request of a call, once for all its attempts. It gives an effect only when the body has a schema to be encoded
 * with: all others are made at once.
 */
export const encodeRequest = (origin: Origin, given: Given): Encoded | Issue | Effect.Effect<Encoded, Issue> => {
  const unknown = unknownOption(given)
  if (unknown !== undefined) return unknown
  const path = fillPath(origin.template, given.params, false)
  if (typeof path === "object") return path
  const query = queryString(given.query, false)
  if (typeof query === "object") return query
  const target = withQuery(path, query)
  const headers = headersOf(origin, given)
  if (isIssue(headers)) return headers
  const body = makeBody(given)
  const made = (body: RequestBody) =>
    encoded(
      origin,
      { path: origin.runtime.basePath + target, shown: () => shown(origin.runtime, origin.template, given) },
      headers,
      body
    )
  if (Effect.isEffect(body)) return Effect.flatMap(body, (body) => settled(made(body)))
  return isIssue(body) ? body : made(body)
}

/** A request that a client has made, with all that the upstream's own would have. */
export const encodeMade = (
  origin: Origin,
  path: string,
  body: RequestBody | Issue | Effect.Effect<RequestBody, Issue>,
  given: Given
): Encoded | Issue | Effect.Effect<Encoded, Issue> => {
  const headers = headersOf(origin, given)
  if (isIssue(headers)) return headers
  const target = { path, shown: () => Redaction.path(path, origin.runtime.visibleQuery) }
  if (Effect.isEffect(body)) return Effect.flatMap(body, (body) => settled(encoded(origin, target, headers, body)))
  return isIssue(body) ? body : encoded(origin, target, headers, body)
}

const settled = (made: Encoded | Issue): Effect.Effect<Encoded, Issue> =>
  isIssue(made) ? Effect.fail(made) : Effect.succeed(made)

const encoded = (
  { fiber, method }: Origin,
  target: { readonly path: string; readonly shown: () => string },
  headers: Record<string, string>,
  body: RequestBody
): Encoded | Issue => {
  if (body.contentType !== undefined) headers["content-type"] ??= body.contentType
  const declared = headers["content-length"]
  const wrong = declared === undefined ? undefined : wrongLength(declared, bytesOf(body.body))
  if (wrong !== undefined) return wrong
  if (declared !== undefined) body.callers?.holdTo(Number(declared))
  return {
    path: target.path,
    shownPath: isTracing(fiber) ? target.shown() : "",
    headers,
    body,
    repeatable: isIdempotent(method) || headers["idempotency-key"] !== undefined
  }
}

/** The target as spans show it: every secret and every query value hidden that is not known to be harmless. */
const shown = (runtime: Runtime, template: string, given: Given): string =>
  // one that was written into the path, too
  Redaction.path(
    runtime.basePath +
      withQuery(String(fillPath(template, given.params, true)), String(queryString(given.query, true))),
    runtime.visibleQuery
  )

/** The headers of a call. Those of the upstream were looked at when it was made, and what is made here needs no look. */
const headersOf = (origin: Origin, given: Given): Record<string, string> | Issue => {
  const headers = { ...origin.runtime.headers }
  if (origin.runtime.propagateRequestId) {
    // the identity that a program provides is its own to fill
    const wrong = wrongHeader("x-request-id", origin.requestId)
    if (wrong !== undefined) return wrong
    headers["x-request-id"] = origin.requestId
  }
  if (origin.runtime.propagateTags.length > 0) {
    const tags = origin.fiber.getRef(RequestIdentity.Current)?.tags ?? {}
    for (const name of origin.runtime.propagateTags) {
      const value = tags[name]
      if (value === undefined) continue
      const wrong = wrongHeader(name, value)
      if (wrong !== undefined) return { path: `tags.${name}`, issue: wrong.issue }
      headers[name] = value
    }
  }
  if (given.decode !== undefined) headers["accept"] ??= "application/json"
  if (given.contentType !== undefined) {
    const wrong = wrongHeader("content-type", given.contentType)
    if (wrong !== undefined) return { path: "contentType", issue: wrong.issue }
    headers["content-type"] = given.contentType
  }
  if (given.headers !== undefined) {
    const wrong = putHeaders(headers, plainHeaders(given.headers))
    if (wrong !== undefined) return wrong
  }
  if (given.idempotencyKey !== undefined) {
    const key = given.idempotencyKey === true ? randomHex(origin.fiber) + randomHex(origin.fiber) : given.idempotencyKey
    if (!/^[\x20-\x7e]+$/.test(key)) {
      return { path: "idempotencyKey", issue: "must be printable ASCII, and not empty" }
    }
    // a structured-field string (RFC 9651 §3.3.3), as draft-ietf-httpapi-idempotency-key-header asks for
    headers["idempotency-key"] = `"${key.replace(/["\\]/g, "\\$&")}"`
  }
  return headers
}

/** Headers as they were given, their secrets in the plain, without the ones that are left out. */
export const plainHeaders = (
  given: NonNullable<RequestOptions["headers"]>
): ReadonlyArray<readonly [name: string, value: string]> =>
  Object.entries(given).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, Redacted.isRedacted(value) ? Redacted.value(value) : value] as const]
  )

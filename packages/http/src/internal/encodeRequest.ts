import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import * as Redaction from "../Redaction.ts"
import * as RequestIdentity from "../RequestIdentity.ts"
import type { ParamsOf, RequestOptions } from "../Request.ts"
import { fillPath, isIssue, type Issue, queryString } from "./pathTemplate.ts"
import { isIdempotent } from "./replay.ts"
import { makeBody, type RequestBody } from "./requestBody.ts"
import { isTracing } from "./spans.ts"
import { randomHex } from "./requestId.ts"
import type { Runtime } from "./runtime.ts"

/** A request as the helpers pass it on, its types forgotten. */
export type Given = RequestOptions &
  ParamsOf<string> & { readonly decode?: Schema.ConstraintDecoder<unknown, unknown> | undefined }

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
  const { template } = origin
  if (!template.startsWith("/")) {
    return { path: "path", issue: `a path begins with a slash, got ${JSON.stringify(template)}` }
  }
  const path = fillPath(template, given.params, false)
  if (typeof path === "object") return path
  const query = queryString(given.query, false)
  if (typeof query === "object") return query
  const headers = headersOf(origin, given)
  if (isIssue(headers)) return headers
  const body = makeBody(given)
  if (Effect.isEffect(body)) return Effect.map(body, (body) => encoded(origin, given, path + query, headers, body))
  return isIssue(body) ? body : encoded(origin, given, path + query, headers, body)
}

const encoded = (
  { fiber, method, runtime, template }: Origin,
  given: Given,
  path: string,
  headers: Record<string, string>,
  body: RequestBody
): Encoded => {
  if (body.contentType !== undefined) headers["content-type"] ??= body.contentType
  return {
    path: runtime.basePath + path,
    shownPath: isTracing(fiber) ? shown(runtime, template, given) : "",
    headers,
    body,
    repeatable: isIdempotent(method) || headers["idempotency-key"] !== undefined
  }
}

/** What spans show: every secret and every query value hidden that is not known to be harmless. */
const shown = (runtime: Runtime, template: string, given: Given): string =>
  // one that was written into the path, too
  Redaction.path(
    runtime.basePath + String(fillPath(template, given.params, true)) + String(queryString(given.query, true)),
    runtime.visibleQuery
  )

const headersOf = (origin: Origin, given: Given): Record<string, string> | Issue => {
  const headers = { ...origin.runtime.headers }
  if (origin.runtime.propagateRequestId) headers["x-request-id"] = origin.requestId
  if (origin.runtime.propagateTags.length > 0) {
    const tags = origin.fiber.getRef(RequestIdentity.Current)?.tags ?? {}
    for (const name of origin.runtime.propagateTags) {
      const value = tags[name]
      if (value !== undefined) headers[name] = value
    }
  }
  if (given.decode !== undefined) headers["accept"] ??= "application/json"
  if (given.contentType !== undefined) headers["content-type"] = given.contentType
  if (given.headers !== undefined) {
    for (const [name, value] of Object.entries(given.headers)) {
      if (value !== undefined) headers[name.toLowerCase()] = Redacted.isRedacted(value) ? Redacted.value(value) : value
    }
  }
  if (given.idempotencyKey !== undefined) {
    const key = given.idempotencyKey === true ? randomHex(origin.fiber) + randomHex(origin.fiber) : given.idempotencyKey
    if (!/^[\x20-\x7e]+$/.test(key)) {
      return { path: "idempotencyKey", issue: "must be printable ASCII, and not empty" }
    }
    // a structured-field string (RFC 9651 §3.3.3), as draft-ietf-httpapi-idempotency-key-header asks for
    headers["idempotency-key"] = `"${key.replace(/["\\]/g, "\\$&")}"`
  }
  // those of the upstream were checked when it was made
  return given.headers === undefined && given.contentType === undefined ? headers : (wrongHeader(headers) ?? headers)
}

/** RFC 9110 §5.1 and §5.5. The value is not repeated: it may be the secret that holds the stray line break. */
export const wrongHeader = (headers: { readonly [name: string]: string }): Issue | undefined => {
  for (const name of Object.keys(headers)) {
    if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name)) {
      return { path: "headers", issue: `${JSON.stringify(name)} is not a header name` }
    }
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(headers[name] ?? "")) {
      return { path: `headers.${name}`, issue: "the value has a character that a header may not have" }
    }
  }
  return undefined
}

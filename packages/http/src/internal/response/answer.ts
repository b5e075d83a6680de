/** The meaning of a response: the answer that the caller asked for, or the reason of a failure. */

import * as Nesting from "@holdfast/core/Nesting"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Rejection } from "../../Rejection.ts"
import type { Answer } from "../../Request.ts"
import type * as Transport from "../../Transport.ts"
import type { Given, Read } from "../request/encodeRequest.ts"
import type { Issue } from "../request/pathTemplate.ts"
import type { Runtime } from "../call/runtime.ts"
import { noCookies, noHeaders } from "../request/noFields.ts"
import { bodyIssue, bounded } from "../request/schemaIssue.ts"
import { bodyText, statusReason } from "./statusReason.ts"

/** The caller's answer, made of a response; or the reason why it is a failure. */
export const answer: Read = (runtime, endpoint, fiber, given, response, followed, asksForPart) => {
  if (given.read !== undefined) return given.read(runtime, endpoint, fiber, given, response, followed, asksForPart)
  const rejected = rejectionOf(runtime, given, response)
  if (rejected !== undefined) return Effect.fail(rejected)
  if (!isAnswer(response.status, given.expectedStatus)) {
    const now = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
    return Effect.fail(statusReason(endpoint, response, now, followed))
  }
  const part = unwantedPart(endpoint, response.status, asksForPart, given.decode !== undefined)
  if (part !== undefined) return Effect.fail(part)
  if (given.decode === undefined) return Effect.succeed(new WholeAnswer(response))
  return decode(endpoint, given.decode, response)
}

/** Whether a response with this status is what was asked for. */
export const isAnswer = (status: number, expectedStatus: ReadonlyArray<number> | undefined): boolean =>
  (status >= 200 && status < 300) || status === 304 || expectedStatus?.includes(status) === true

/**
 * A part of a body where the whole of it was wanted. A server gives one only where a range was asked for (RFC 9110 §15.3.7), and a part
 * that happens to decode is still not what the schema describes.
 */
export const unwantedPart = (
  endpoint: string,
  status: number,
  asksForPart: boolean,
  decodes: boolean
): Reason.MalformedResponse | undefined => {
  if (status !== 206 || (asksForPart && !decodes)) return undefined
  const detail = asksForPart
    ? "a 206 holds a part of a body, which is asked for without decode"
    : "a 206, partial content, though the request has no range"
  return stackless(
    () => new Reason.MalformedResponse({ endpoint, phase: "receive", code: Reason.partialContent, detail })
  )
}

/** A class, because an object with a getter of its own costs more than the rest of the answer. */
class WholeAnswer implements Answer {
  readonly status: number
  readonly headers: Transport.Headers
  readonly setCookies: ReadonlyArray<string>
  readonly trailers: Transport.Headers
  readonly bytes: Uint8Array
  constructor(response: Transport.Response) {
    this.status = response.status
    this.headers = response.headers
    this.setCookies = response.setCookies ?? noCookies
    this.trailers = response.trailers ?? noHeaders
    this.bytes = response.body
  }
  get text(): string {
    return bodyText(this.bytes)
  }
}

/** The first declared business error that the body is, of the call's own, and then of the upstream's. */
export const rejectionOf = (
  runtime: Runtime,
  given: Given,
  response: Transport.Response
): Reason.BusinessRejected | undefined => {
  const rejections = given.rejections === undefined ? runtime.rejections : [...given.rejections, ...runtime.rejections]
  return rejections.length === 0 ? undefined : rejection(rejections, response)
}

/** A body that is not JSON is none. */
const rejection = (
  rejections: ReadonlyArray<Rejection<unknown>>,
  response: Transport.Response
): Reason.BusinessRejected | undefined => {
  const body = Nesting.parseJson(bodyText(response.body))
  if (Result.isFailure(body)) return undefined
  for (const { entry, schema } of rejections) {
    const error = Schema.decodeUnknownOption(schema)(body.success)
    if (Option.isNone(error)) continue
    return stackless(() => new Reason.BusinessRejected({ entry, status: response.status, error: error.value }))
  }
  return undefined
}

/** How much of a body that does not decode an error repeats. */
const excerptLength = 500

/** The beginning of a body. It is read anew of as many bytes as it may have, since a slice would keep the whole text in memory. */
const excerptOf = (body: Uint8Array): string => bodyText(body.subarray(0, 4 * excerptLength)).slice(0, excerptLength)

type Decode = (body: unknown) => Effect.Effect<unknown, Schema.SchemaError, unknown>

const decoders = new WeakMap<object, Decode>()

/** A schema's decoder, compiled once. */
const decoderOf = (schema: Schema.ConstraintDecoder<unknown, unknown>): Decode => {
  const known = decoders.get(schema)
  if (known !== undefined) return known
  const decode = Schema.decodeUnknownEffect(schema)
  decoders.set(schema, decode)
  return decode
}

const decode = (
  endpoint: string,
  schema: Schema.ConstraintDecoder<unknown, unknown>,
  response: Transport.Response
): Effect.Effect<unknown, Reason.ResponseDecodeFailed, unknown> => {
  const text = bodyText(response.body)
  // no body at all is `undefined`, so that `Schema.Void` decodes a 204
  const body = text === "" ? Result.succeed(undefined) : Nesting.parseJson(text)
  if (Result.isFailure(body)) {
    const issue = body.failure === "too-deep" ? Nesting.tooDeep : notJson(response)
    return Effect.fail(undecodable(endpoint, response, { path: "", issue }))
  }
  return Effect.mapError(decoderOf(schema)(body.success), (error) =>
    undecodable(endpoint, response, text === "" ? noBody(response) : bodyIssue("", error))
  )
}

/** A response that is not what its schema says. */
export const undecodable = (
  endpoint: string,
  { body, headers, status }: Pick<Transport.Response, "body" | "headers" | "status">,
  issue: Issue
): Reason.ResponseDecodeFailed => {
  const contentType = headers["content-type"]
  return stackless(
    () =>
      new Reason.ResponseDecodeFailed({
        endpoint,
        status,
        ...(contentType === undefined ? {} : { contentType: bounded(contentType) }),
        ...issue,
        excerpt: excerptOf(body)
      })
  )
}

/** A schema's own complaint about no body names `undefined`, which nobody has written. */
const noBody = ({ status }: Transport.Response): Issue => ({
  path: "",
  issue: `a ${status} without a body, where the schema wants one; decode it with Schema.Void, or ask without decode`
})

const notJson = ({ headers }: Transport.Response): string =>
  `not JSON (content type ${bounded(headers["content-type"] ?? "not given")})`

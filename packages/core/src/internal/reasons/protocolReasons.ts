/** How a response can be none that HTTP allows or the policy accepts. */

import * as Schema from "effect/Schema"
import { oneLine } from "../../OneLine.ts"
import { nothingSent } from "../outcome/nothingSent.ts"
import { transportFields, transportLine } from "./transportFields.ts"

/**
 * The `code` of a `MalformedResponse` that is a part of a body where the whole was wanted.
 *
 * @category constants
 * @since 0.1.0
 */
export const partialContent = "PARTIAL_CONTENT"

/**
 * The `code` of a `MalformedResponse` whose peer does not speak the version of HTTP that it was spoken to in.
 *
 * @category constants
 * @since 0.1.0
 */
export const otherVersion = "OTHER_HTTP_VERSION"

/** The faults of a response that is HTTP all the same. */
const malformedInWords: ReadonlyMap<string | undefined, string> = new Map([
  [partialContent, "the response is a part of a body, and the whole of it was wanted"],
  [otherVersion, "the peer does not speak the version of HTTP that it was spoken to in"]
])

/**
 * Protocol: the response is not HTTP, or is HTTP that the request cannot be answered with: another version, a part of a body.
 *
 * @category errors
 * @since 0.1.0
 */
export class MalformedResponse extends Schema.TaggedError<MalformedResponse>()("MalformedResponse", transportFields) {
  override get message() {
    return transportLine(this, malformedInWords.get(this.code) ?? "the response is not HTTP")
  }
}

/**
 * Protocol: the response was cut off before its end.
 *
 * @category errors
 * @since 0.1.0
 */
export class ResponseTruncated extends Schema.TaggedError<ResponseTruncated>()("ResponseTruncated", transportFields) {
  override get message() {
    return transportLine(this, "the response was cut off before its end")
  }
}

/**
 * Protocol: the response is larger than the policy accepts.
 *
 * @category errors
 * @since 0.1.0
 */
export class ResponseTooLarge extends Schema.TaggedError<ResponseTooLarge>()("ResponseTooLarge", {
  endpoint: Schema.String,
  /** The bound, in bytes. */
  limit: Schema.Int,
  /** The size that the response announced, or had delivered when it was cut, in bytes. */
  size: Schema.Int
}) {
  override get message() {
    return oneLine(`${this.endpoint}: the response of at least ${this.size} bytes is over the limit of ${this.limit}`)
  }
}

/**
 * Protocol: the headers of a request or of its response are larger than the transport allows. A request is refused before
 * anything of it is sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class HeadersTooLarge extends Schema.TaggedError<HeadersTooLarge>()("HeadersTooLarge", {
  endpoint: Schema.String,
  /** Whose headers they are. */
  of: Schema.Literals(["request", "response"]),
  /** The bound, in bytes, where that is known. */
  limit: Schema.optionalKey(Schema.Int),
  /** Bytes of the headers, where that is known. */
  size: Schema.optionalKey(Schema.Int)
}) {
  override get message() {
    const size = this.size === undefined ? "" : ` of ${this.size} bytes`
    const limit = this.limit === undefined ? "" : ` of ${this.limit}`
    const sent = this.of === "request" ? nothingSent : ""
    return oneLine(`${this.endpoint}: the headers of the ${this.of}${size} are over the limit${limit}${sent}`)
  }
}

/**
 * Protocol: the redirects led on past the bound, or were not to be followed.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManyRedirects extends Schema.TaggedError<TooManyRedirects>()("TooManyRedirects", {
  endpoint: Schema.String,
  /** Status of the redirect that was not followed. */
  status: Schema.Int,
  /** Redirects followed before it. */
  followed: Schema.Int,
  /** Origin that the redirect points to. Path and query are left out: they may carry secrets. */
  location: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const target = this.location === undefined ? "" : ` to ${this.location}`
    const before = this.followed === 0 ? "" : ` after ${this.followed} others`
    return oneLine(`${this.endpoint} redirects (${this.status})${target}, which was not followed${before}`)
  }
}

/**
 * Every reason of the protocol domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ProtocolReason = Schema.Union([
  MalformedResponse,
  ResponseTruncated,
  ResponseTooLarge,
  HeadersTooLarge,
  TooManyRedirects
])

/**
 * Every reason of the protocol domain.
 *
 * @category models
 * @since 0.1.0
 */
export type ProtocolReason = typeof ProtocolReason.Type

/** How a request cannot be built, and a response not decoded. */

import * as Schema from "effect/Schema"
import { oneLine } from "../../OneLine.ts"

/**
 * Codec: the request could not be built from the caller's values, and nothing was sent; or its body failed, or had another length
 * than it said, while it was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class RequestEncodeFailed extends Schema.TaggedError<RequestEncodeFailed>()("RequestEncodeFailed", {
  /** The fault, and the value that would be right. */
  issue: Schema.String,
  /** Where in the request: `params.id`, `json.amount`. */
  path: Schema.String,
  /** True when part of the request may have left before it was known. */
  sent: Schema.optionalKey(Schema.Boolean)
}) {
  override get message() {
    const what = this.sent === true ? "the request could not be sent whole" : "the request could not be built"
    return oneLine(`${what}: ${this.path}: ${this.issue}`)
  }
}

/**
 * Codec: the response arrived whole and does not decode.
 *
 * @category errors
 * @since 0.1.0
 */
export class ResponseDecodeFailed extends Schema.TaggedError<ResponseDecodeFailed>()("ResponseDecodeFailed", {
  /** Host and port that answered. */
  endpoint: Schema.String,
  status: Schema.Int,
  contentType: Schema.optionalKey(Schema.String),
  /** The value that was expected. */
  issue: Schema.String,
  /** Where in the body: `items[0].price`; empty for the whole of it. */
  path: Schema.String,
  /** The beginning of the body, bounded. */
  excerpt: Schema.String
}) {
  override get message() {
    const where = this.path === "" ? "" : ` at ${this.path}`
    return oneLine(`${this.endpoint}: the ${this.status} response does not decode${where}: ${this.issue}`)
  }
}

/**
 * Every reason of the codec domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const CodecReason = Schema.Union([RequestEncodeFailed, ResponseDecodeFailed])

/**
 * Every reason of the codec domain.
 *
 * @category models
 * @since 0.1.0
 */
export type CodecReason = typeof CodecReason.Type

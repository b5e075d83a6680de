/** How a call can fail for want of a token or a signature. */

import * as Schema from "effect/Schema"
import { oneLine } from "../../OneLine.ts"

/**
 * Auth: no token could be had.
 *
 * @category errors
 * @since 0.1.0
 */
export class TokenUnavailable extends Schema.TaggedError<TokenUnavailable>()("TokenUnavailable", {
  detail: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return oneLine(this.detail === undefined ? "no token could be had" : `no token could be had: ${this.detail}`)
  }
}

/**
 * Auth: the authorization server refused to refresh the token.
 *
 * @category errors
 * @since 0.1.0
 */
export class TokenRefreshRejected extends Schema.TaggedError<TokenRefreshRejected>()("TokenRefreshRejected", {
  detail: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return oneLine(
      this.detail === undefined
        ? "the authorization server refused to refresh the token"
        : `the authorization server refused to refresh the token: ${this.detail}`
    )
  }
}

/**
 * Auth: the request could not be signed.
 *
 * @category errors
 * @since 0.1.0
 */
export class SignatureFailed extends Schema.TaggedError<SignatureFailed>()("SignatureFailed", {
  detail: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return oneLine(
      this.detail === undefined ? "the request could not be signed" : `the request could not be signed: ${this.detail}`
    )
  }
}

/**
 * Every reason of the auth domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AuthReason = Schema.Union([TokenUnavailable, TokenRefreshRejected, SignatureFailed])

/**
 * Every reason of the auth domain.
 *
 * @category models
 * @since 0.1.0
 */
export type AuthReason = typeof AuthReason.Type

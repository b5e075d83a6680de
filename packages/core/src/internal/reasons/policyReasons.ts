/** How a policy refuses a call, before anything is sent. */

import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { oneLine } from "../../OneLine.ts"
import { nothingSent } from "../outcome/nothingSent.ts"

const refusalFields = {
  /** When another try may be let through, when that is known. */
  retryAfter: Schema.optionalKey(Schema.DurationFromMillis),
  /** The figures behind the refusal, in words: `24 of 25 calls failed in the last 10s`. */
  detail: Schema.optionalKey(Schema.String)
}

const refusalLine = (
  reason: { readonly retryAfter?: Duration.Duration; readonly detail?: string },
  what: string
): string => {
  const detail = reason.detail === undefined ? "" : ` (${reason.detail})`
  const next = reason.retryAfter === undefined ? "" : `; next try in ${Duration.format(reason.retryAfter)}`
  return oneLine(`${what}${detail}${next}${nothingSent}`)
}

/**
 * Policy: the circuit is open; nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitOpen extends Schema.TaggedError<CircuitOpen>()("CircuitOpen", refusalFields) {
  override get message() {
    return refusalLine(this, "the circuit is open")
  }
}

/**
 * Policy: the client's own rate limit has no permit left; nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", refusalFields) {
  override get message() {
    return refusalLine(this, "the client's own rate limit has no permit left")
  }
}

/**
 * Policy: the bulkhead and its queue are full; nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class BulkheadFull extends Schema.TaggedError<BulkheadFull>()("BulkheadFull", refusalFields) {
  override get message() {
    return refusalLine(this, "the bulkhead and its queue are full")
  }
}

/**
 * Policy: the adaptive concurrency limit is reached; nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConcurrencyLimited extends Schema.TaggedError<ConcurrencyLimited>()("ConcurrencyLimited", refusalFields) {
  override get message() {
    return refusalLine(this, "the adaptive concurrency limit is reached")
  }
}

/**
 * Policy: client-side throttling shed the call; nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class Throttled extends Schema.TaggedError<Throttled>()("Throttled", refusalFields) {
  override get message() {
    return refusalLine(this, "the call was shed: the upstream refuses too much of what it is sent")
  }
}

/**
 * Policy: no endpoint of the upstream can be used; nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoEndpointAvailable extends Schema.TaggedError<NoEndpointAvailable>()(
  "NoEndpointAvailable",
  refusalFields
) {
  override get message() {
    return refusalLine(this, "no endpoint can be used")
  }
}

/**
 * Every reason of the policy domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const PolicyReason = Schema.Union([
  CircuitOpen,
  RateLimited,
  BulkheadFull,
  ConcurrencyLimited,
  Throttled,
  NoEndpointAvailable
])

/**
 * Every reason of the policy domain.
 *
 * @category models
 * @since 0.1.0
 */
export type PolicyReason = typeof PolicyReason.Type

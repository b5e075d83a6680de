/** Which limits of time can end a call. */

import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { oneLine } from "../../OneLine.ts"

/**
 * Time: no connection within the phase's own limit (name resolution, TCP and TLS together).
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectTimeout extends Schema.TaggedError<ConnectTimeout>()("ConnectTimeout", {
  endpoint: Schema.String,
  /** The limit that passed. */
  limit: Schema.DurationFromMillis
}) {
  override get message() {
    return oneLine(`${this.endpoint}: no connection within ${Duration.format(this.limit)}`)
  }
}

/**
 * Time: the server took no further byte of the request within the phase's own limit.
 *
 * @category errors
 * @since 0.1.0
 */
export class SendTimeout extends Schema.TaggedError<SendTimeout>()("SendTimeout", {
  endpoint: Schema.String,
  /** The limit that passed. */
  limit: Schema.DurationFromMillis
}) {
  override get message() {
    return oneLine(`${this.endpoint}: no further byte of the request was taken within ${Duration.format(this.limit)}`)
  }
}

/**
 * Time: no response headers within the phase's own limit (from the request sent to the headers received).
 *
 * @category errors
 * @since 0.1.0
 */
export class HeadersTimeout extends Schema.TaggedError<HeadersTimeout>()("HeadersTimeout", {
  endpoint: Schema.String,
  /** The limit that passed. */
  limit: Schema.DurationFromMillis
}) {
  override get message() {
    return oneLine(`${this.endpoint}: no response headers within ${Duration.format(this.limit)}`)
  }
}

/**
 * Time: no further byte of the body within the phase's own limit (between two chunks of a body).
 *
 * @category errors
 * @since 0.1.0
 */
export class BodyTimeout extends Schema.TaggedError<BodyTimeout>()("BodyTimeout", {
  endpoint: Schema.String,
  /** The limit that passed. */
  limit: Schema.DurationFromMillis
}) {
  override get message() {
    return oneLine(`${this.endpoint}: no further byte of the body within ${Duration.format(this.limit)}`)
  }
}

/**
 * Time: the whole body did not arrive within the phase's own limit (from the headers to the body's end).
 *
 * @category errors
 * @since 0.1.0
 */
export class TransferTimeout extends Schema.TaggedError<TransferTimeout>()("TransferTimeout", {
  endpoint: Schema.String,
  /** The limit that passed. */
  limit: Schema.DurationFromMillis
}) {
  override get message() {
    return oneLine(`${this.endpoint}: the body was not whole within ${Duration.format(this.limit)}`)
  }
}

/**
 * Time: one attempt took longer than the policy's attempt timeout.
 *
 * @category errors
 * @since 0.1.0
 */
export class AttemptTimeout extends Schema.TaggedError<AttemptTimeout>()("AttemptTimeout", {
  /** The limit that passed. */
  limit: Schema.DurationFromMillis
}) {
  override get message() {
    return `the attempt was not finished within ${Duration.format(this.limit)}`
  }
}

/**
 * Time: the caller's deadline passed.
 *
 * @category errors
 * @since 0.1.0
 */
export class DeadlineExceeded extends Schema.TaggedError<DeadlineExceeded>()("DeadlineExceeded", {
  /** The time that the call had when it began. */
  budget: Schema.DurationFromMillis,
  /**
   * True when an attempt was cut, or not made, before the upstream had its fair share of time: then it says nothing of the upstream.
   */
  cutShort: Schema.optionalKey(Schema.Boolean)
}) {
  override get message() {
    return `the deadline of ${Duration.format(this.budget)} passed`
  }
}

/**
 * Every reason of the time domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TimeReason = Schema.Union([
  ConnectTimeout,
  SendTimeout,
  HeadersTimeout,
  BodyTimeout,
  TransferTimeout,
  AttemptTimeout,
  DeadlineExceeded
])

/**
 * Every reason of the time domain.
 *
 * @category models
 * @since 0.1.0
 */
export type TimeReason = typeof TimeReason.Type

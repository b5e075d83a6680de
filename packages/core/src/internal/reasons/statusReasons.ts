/** The meaning of statuses: the client errors and server errors that have a name, and the two for all others. */

import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { oneLine } from "../../OneLine.ts"
import type { Problem } from "../outcome/problemSchema.ts"
import { CarriedProblem } from "./carried.ts"

const statusFields = {
  /** Host and port that answered. */
  endpoint: Schema.String,
  /** Response headers, lower-case names; values that carry secrets are redacted. */
  headers: Schema.Record(Schema.String, Schema.String),
  /** The body, or its beginning: see `bodyComplete`. */
  body: Schema.String,
  /** Whether `body` is the whole of it. */
  bodyComplete: Schema.Boolean,
  /** The body as problem details (RFC 9457), when it is such. Encoded, no deeper than `Nesting.maxCarriedLevels`. */
  problem: Schema.optionalKey(CarriedProblem),
  /** How long the server asked to wait before the next try. */
  retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
}

/** The most characters of a text of others that a line repeats; the whole of it is in the field. */
const longestQuoted = 1000

const bounded = (text: string): string => (text.length <= longestQuoted ? text : `${text.slice(0, longestQuoted)}…`)

const statusLine = (reason: {
  readonly _tag: string
  readonly endpoint: string
  readonly status: number
  readonly problem?: Problem
  readonly retryAfter?: Duration.Duration
}): string => {
  const said = reason.problem?.detail ?? reason.problem?.title
  const quoted = said === undefined ? "" : `: "${bounded(said)}"`
  const wait = reason.retryAfter === undefined ? "" : ` (asked to wait ${Duration.format(reason.retryAfter)})`
  const name = reason._tag.endsWith("ErrorStatus") ? "" : ` ${reason._tag}`
  return oneLine(`${reason.endpoint} answered ${reason.status}${name}${quoted}${wait}`)
}

/**
 * Status: the upstream answered 400.
 *
 * @category errors
 * @since 0.1.0
 */
export class BadRequest extends Schema.TaggedError<BadRequest>()("BadRequest", {
  status: Schema.tag(400),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 401.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {
  status: Schema.tag(401),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 402.
 *
 * @category errors
 * @since 0.1.0
 */
export class PaymentRequired extends Schema.TaggedError<PaymentRequired>()("PaymentRequired", {
  status: Schema.tag(402),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 403.
 *
 * @category errors
 * @since 0.1.0
 */
export class Forbidden extends Schema.TaggedError<Forbidden>()("Forbidden", {
  status: Schema.tag(403),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 404.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {
  status: Schema.tag(404),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 405.
 *
 * @category errors
 * @since 0.1.0
 */
export class MethodNotAllowed extends Schema.TaggedError<MethodNotAllowed>()("MethodNotAllowed", {
  status: Schema.tag(405),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 406.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAcceptable extends Schema.TaggedError<NotAcceptable>()("NotAcceptable", {
  status: Schema.tag(406),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 408.
 *
 * @category errors
 * @since 0.1.0
 */
export class RequestTimeout extends Schema.TaggedError<RequestTimeout>()("RequestTimeout", {
  status: Schema.tag(408),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 409.
 *
 * @category errors
 * @since 0.1.0
 */
export class Conflict extends Schema.TaggedError<Conflict>()("Conflict", {
  status: Schema.tag(409),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 410.
 *
 * @category errors
 * @since 0.1.0
 */
export class Gone extends Schema.TaggedError<Gone>()("Gone", {
  status: Schema.tag(410),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 412.
 *
 * @category errors
 * @since 0.1.0
 */
export class PreconditionFailed extends Schema.TaggedError<PreconditionFailed>()("PreconditionFailed", {
  status: Schema.tag(412),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 413.
 *
 * @category errors
 * @since 0.1.0
 */
export class ContentTooLarge extends Schema.TaggedError<ContentTooLarge>()("ContentTooLarge", {
  status: Schema.tag(413),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 415.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedMediaType extends Schema.TaggedError<UnsupportedMediaType>()("UnsupportedMediaType", {
  status: Schema.tag(415),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 421.
 *
 * @category errors
 * @since 0.1.0
 */
export class MisdirectedRequest extends Schema.TaggedError<MisdirectedRequest>()("MisdirectedRequest", {
  status: Schema.tag(421),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 422.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnprocessableContent extends Schema.TaggedError<UnprocessableContent>()("UnprocessableContent", {
  status: Schema.tag(422),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 423.
 *
 * @category errors
 * @since 0.1.0
 */
export class Locked extends Schema.TaggedError<Locked>()("Locked", {
  status: Schema.tag(423),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 425.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooEarly extends Schema.TaggedError<TooEarly>()("TooEarly", {
  status: Schema.tag(425),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 426.
 *
 * @category errors
 * @since 0.1.0
 */
export class UpgradeRequired extends Schema.TaggedError<UpgradeRequired>()("UpgradeRequired", {
  status: Schema.tag(426),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 428.
 *
 * @category errors
 * @since 0.1.0
 */
export class PreconditionRequired extends Schema.TaggedError<PreconditionRequired>()("PreconditionRequired", {
  status: Schema.tag(428),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 429.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManyRequests extends Schema.TaggedError<TooManyRequests>()("TooManyRequests", {
  status: Schema.tag(429),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 451.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnavailableForLegalReasons extends Schema.TaggedError<UnavailableForLegalReasons>()(
  "UnavailableForLegalReasons",
  {
    status: Schema.tag(451),
    ...statusFields
  }
) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 500.
 *
 * @category errors
 * @since 0.1.0
 */
export class InternalServerError extends Schema.TaggedError<InternalServerError>()("InternalServerError", {
  status: Schema.tag(500),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 501.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotImplemented extends Schema.TaggedError<NotImplemented>()("NotImplemented", {
  status: Schema.tag(501),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 502.
 *
 * @category errors
 * @since 0.1.0
 */
export class BadGateway extends Schema.TaggedError<BadGateway>()("BadGateway", {
  status: Schema.tag(502),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 503.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServiceUnavailable extends Schema.TaggedError<ServiceUnavailable>()("ServiceUnavailable", {
  status: Schema.tag(503),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered 504.
 *
 * @category errors
 * @since 0.1.0
 */
export class GatewayTimeout extends Schema.TaggedError<GatewayTimeout>()("GatewayTimeout", {
  status: Schema.tag(504),
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered any other 4xx.
 *
 * @category errors
 * @since 0.1.0
 */
export class ClientErrorStatus extends Schema.TaggedError<ClientErrorStatus>()("ClientErrorStatus", {
  status: Schema.Int,
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Status: the upstream answered any other 5xx.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServerErrorStatus extends Schema.TaggedError<ServerErrorStatus>()("ServerErrorStatus", {
  status: Schema.Int,
  ...statusFields
}) {
  override get message() {
    return statusLine(this)
  }
}

/**
 * Every reason of the status domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const StatusReason = Schema.Union([
  BadRequest,
  Unauthorized,
  PaymentRequired,
  Forbidden,
  NotFound,
  MethodNotAllowed,
  NotAcceptable,
  RequestTimeout,
  Conflict,
  Gone,
  PreconditionFailed,
  ContentTooLarge,
  UnsupportedMediaType,
  MisdirectedRequest,
  UnprocessableContent,
  Locked,
  TooEarly,
  UpgradeRequired,
  PreconditionRequired,
  TooManyRequests,
  UnavailableForLegalReasons,
  InternalServerError,
  NotImplemented,
  BadGateway,
  ServiceUnavailable,
  GatewayTimeout,
  ClientErrorStatus,
  ServerErrorStatus
])

/**
 * Every reason of the status domain.
 *
 * @category models
 * @since 0.1.0
 */
export type StatusReason = typeof StatusReason.Type

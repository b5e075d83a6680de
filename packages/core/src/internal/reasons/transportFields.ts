/** How far an attempt had come, and what every failure below HTTP says: where, in which phase, with which code. */

import * as Schema from "effect/Schema"
import { oneLine } from "../../OneLine.ts"

/**
 * How far an attempt had come: `connect` covers name resolution, TCP and TLS, so nothing of the request was sent;
 * `send` that part of the request may have left; `wait` that all of it had; `receive` that the response had begun.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Phase = Schema.Literals(["connect", "send", "wait", "receive"])

/**
 * How far an attempt had come.
 *
 * @category models
 * @since 0.1.0
 */
export type Phase = typeof Phase.Type

/**
 * It has a name, because the declarations of other files lose the comments of a type that is only inferred. It is no interface, which
 * would not count as the fields of a schema.
 */
export type TransportFields = {
  /** Host and port that was called, without path or credentials: `payments.internal:443`. */
  readonly endpoint: Schema.String
  /** How far the attempt had come. */
  readonly phase: typeof Phase
  /** The code that the platform gave: `ECONNREFUSED`, `CERT_HAS_EXPIRED`. */
  readonly code: Schema.optionalKey<Schema.String>
  /** Anything else that the platform said, when it is known to hold no secret. */
  readonly detail: Schema.optionalKey<Schema.String>
  /**
   * True when the connection had answered others before and ended before a byte of this answer came: it was stale. That says
   * nothing of the upstream, which may end a connection that it does not use.
   */
  readonly stale: Schema.optionalKey<Schema.Boolean>
  /** True when it is certain that the server did nothing with the request, though part of it may have been sent. */
  readonly unprocessed: Schema.optionalKey<Schema.Boolean>
}

export const transportFields: TransportFields = {
  endpoint: Schema.String,
  phase: Phase,
  code: Schema.optionalKey(Schema.String),
  detail: Schema.optionalKey(Schema.String),
  stale: Schema.optionalKey(Schema.Boolean),
  unprocessed: Schema.optionalKey(Schema.Boolean)
}

export const transportLine = (
  reason: {
    readonly endpoint: string
    readonly phase: Phase
    readonly code?: string
    readonly detail?: string
    readonly stale?: boolean
    readonly unprocessed?: boolean
  },
  what: string
): string => {
  const code = reason.code === undefined ? "" : ` [${reason.code}]`
  const detail = reason.detail === undefined ? "" : ` (${reason.detail})`
  const stale = reason.stale === true ? ", on a connection that had been used before" : ""
  const unprocessed = reason.unprocessed === true ? "; the server did nothing with the request" : ""
  return oneLine(`${reason.endpoint}: ${what}${code}${detail}, in phase ${reason.phase}${stale}${unprocessed}`)
}

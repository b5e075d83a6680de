/**
 * How long a server asks to wait: `Retry-After` in its four forms (RFC 9110 §10.2.3): seconds, and a date as IMF-fixdate,
 * RFC 850 or asctime.
 *
 * **Gotchas**: a date is compared with the response's own `Date`, so that a clock which is wrong on either side does not
 * change the wait. What can't be read is no wait, never a failure.
 *
 * @since 0.1.0
 */

import type * as Duration from "effect/Duration"
import * as Headers from "effect/http/Headers"
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"

/**
 * The wait that the headers ask for; `undefined` when they ask for none, or in a form that no RFC knows.
 *
 * ```ts
 * import { Duration } from "effect"
 * import { RetryAfter } from "holdfast"
 *
 * const wait = RetryAfter.fromHeaders(
 *   { "retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", date: "Wed, 21 Oct 2026 07:28:00 GMT" },
 *   0
 * )
 * console.log(wait === undefined ? "none" : Duration.format(wait)) // => 30s
 * ```
 *
 * @category parsing
 * @since 0.1.0
 */
export const fromHeaders = (
  headers: { readonly [name: string]: string },
  nowEpochMillis: number
): Duration.Duration | undefined => {
  const value = headers["retry-after"]
  if (value === undefined) return undefined
  const parsed = Headers.parseRetryAfter(value)
  if (Result.isFailure(parsed)) return undefined
  const date = headers["date"] === undefined ? undefined : Headers.parseHttpDate(headers["date"])
  const now = date !== undefined && Result.isSuccess(date) ? DateTime.toEpochMillis(date.success) : nowEpochMillis
  return Headers.retryAfterDelay(parsed.success, now)
}

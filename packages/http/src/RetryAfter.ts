/**
 * How long a server asks to wait: `Retry-After` in its four forms (RFC 9110 §10.2.3: seconds, and a date as IMF-fixdate, RFC 850 or
 * asctime), and `retry-after-ms`, which says the same in milliseconds.
 *
 * **Gotchas**: a date is compared with the response's own `Date`, so that a clock which is wrong on either side does not
 * change the wait. The time that a cache kept the response for (`Age`) has passed already. Given more than once, the longest wait counts. A
 * number above 10⁹ is too large for a wait: it is taken for an instant. An unreadable value is no wait, never a failure.
 *
 * @since 0.1.0
 */

import * as Duration from "effect/Duration"
import {
  ageMillis,
  decimal,
  firstEpochSecond,
  instantMillis,
  partsOf,
  serverNow
} from "./internal/response/serverTime.ts"

/**
 * The wait that the headers ask for; `undefined` when they ask for none, or in a form that nobody knows. Header names are
 * lower-case.
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
  const whole = longest(headers["retry-after"], (part) => inSeconds(part, headers, nowEpochMillis))
  const exact = longest(headers["retry-after-ms"] ?? headers["x-ms-retry-after-ms"], (part) => {
    const millis = decimal(part)
    return millis === undefined ? undefined : Math.max(0, millis - ageMillis(headers))
  })
  const millis = exact === undefined || (whole !== undefined && !isRounded(exact, whole)) ? (whole ?? exact) : exact
  return millis === undefined ? undefined : Duration.millis(Math.min(longestMillis, millis))
}

/** As long as the longest time from now; an instant may be further away. */
const longestMillis = firstEpochSecond * 1000

const longest = (value: string | undefined, read: (part: string) => number | undefined): number | undefined => {
  if (value === undefined) return undefined
  const found = partsOf(value).flatMap((part) => read(part) ?? [])
  return found.length === 0 ? undefined : Math.max(...found)
}

const inSeconds = (
  part: string,
  headers: { readonly [name: string]: string },
  nowEpochMillis: number
): number | undefined => {
  const seconds = decimal(part)
  const isWait = seconds !== undefined && seconds <= firstEpochSecond
  if (isWait) return Math.max(0, seconds * 1000 - ageMillis(headers))
  const at = instantMillis(part)
  return at === undefined ? undefined : Math.max(0, at - serverNow(headers, nowEpochMillis))
}

/** Whether whole seconds are the milliseconds, rounded up; otherwise the two say different things, and the longer counts. */
const isRounded = (exactMillis: number, wholeMillis: number): boolean => exactMillis > wholeMillis - 1000

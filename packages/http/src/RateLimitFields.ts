/**
 * A server's word on its rate limit in response headers: `RateLimit` and `RateLimit-Policy`
 * (draft-ietf-httpapi-ratelimit-headers-10, structured fields by RFC 9651; and the form of its seventh version,
 * `limit=100, remaining=50, reset=30`), and where they are missing the older fields: `X-RateLimit-Remaining` with `-Reset` or
 * `-Reset-After`, `X-Rate-Limit-…`, `RateLimit-…`, and those with `-Requests`.
 *
 * **When to use**: give its result to `RateLimit.adjust`, so that a client slows down before it is told to.
 *
 * **What it is not**: a promise of the server, nor checked to be sensible; `RateLimit` bounds how long it is believed. A
 * `Retry-After` alone is not read here: `RetryAfter` does.
 *
 * **Gotchas**: a field that is malformed is ignored as a whole, never a failure. Of several rules the slowest counts. Limits
 * hold for a partition (a user, a key): where one client uses several, each needs a limiter of its own. The time that a cache
 * kept the response for (`Age`) has passed already. A number says nothing of its unit: see {@link Options.unit}.
 *
 * @since 0.1.0
 */

import * as Duration from "effect/Duration"
import type { RateLimit } from "@holdfast/core"
import { parseList } from "structured-headers"
import {
  ageMillis,
  decimal,
  firstEpochSecond,
  instantMillis,
  partsOf,
  serverNow,
  wordedMillis
} from "./internal/response/serverTime.ts"
import * as RetryAfter from "./RetryAfter.ts"

/**
 * How the older fields are read.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Whether they are read where there is no `RateLimit`. Default `true`. */
  readonly legacy?: boolean | undefined
  /**
   * The unit of a reset that is a number and a time from now. Default `seconds`, unless it is more than a day. An instant
   * tells its unit by its size, and a time with units or a date needs none.
   */
  readonly unit?: "seconds" | "milliseconds" | undefined
}

/**
 * The rule that slows down most; `undefined` when the headers hold none. Header names are lower-case.
 *
 * The older fields' reset is a time from now or an instant: a number above 10⁹ is epoch seconds, milliseconds, microseconds or
 * nanoseconds, by its size, and a date is one of HTTP or of RFC 3339. An instant is compared with the response's own `Date`.
 *
 * ```ts
 * import { Duration } from "effect"
 * import { RateLimitFields } from "holdfast"
 *
 * const hint = RateLimitFields.fromHeaders({ ratelimit: '"burst";r=50;t=30, "daily";r=100;t=3600' }, 0)
 * if (hint !== undefined) console.log(hint.remaining, Duration.format(hint.pace)) // => 100 36s
 * ```
 *
 * @category parsing
 * @since 0.1.0
 */
export const fromHeaders = (
  headers: { readonly [name: string]: string },
  nowEpochMillis: number,
  options: Options = {}
): (RateLimit.Hint & { readonly pace: Duration.Duration }) | undefined => {
  const rule =
    slowest(currentRules(headers)) ??
    (options.legacy === false ? undefined : slowest(legacyRules(headers, nowEpochMillis, options.unit)))
  if (rule === undefined) return undefined
  // "If a response contains both the RateLimit and Retry-After fields, the Retry-After field MUST take precedence" (§7)
  const asked = RetryAfter.fromHeaders(headers, nowEpochMillis)
  const isAsked = asked !== undefined && Duration.toMillis(asked) > 0
  const remaining = isAsked ? 0 : rule.remaining
  const seconds = isAsked ? Duration.toSeconds(asked) : rule.seconds
  const resetAfter = Duration.seconds(Math.min(seconds, longestSeconds))
  return { remaining, resetAfter, pace: Duration.divideUnsafe(resetAfter, Math.max(1, remaining)) }
}

/** So many calls are left for so many seconds. */
interface Rule {
  readonly remaining: number
  readonly seconds: number
}

/** Nobody's limit is worth remembering for longer. */
const longestSeconds = 86_400

/** Seconds that each call is worth; a rule with nothing left is slower than any other. */
const pace = ({ remaining, seconds }: Rule): number => (remaining === 0 ? Infinity : seconds / remaining)

const slowest = (rules: ReadonlyArray<Rule>): Rule | undefined => {
  let found: Rule | undefined
  for (const rule of rules) {
    if (rule.seconds <= 0) continue
    const isSlower =
      found === undefined || pace(rule) > pace(found) || (pace(rule) === pace(found) && rule.seconds > found.seconds)
    if (isSlower) found = rule
  }
  return found
}

const currentRules = (headers: { readonly [name: string]: string }): ReadonlyArray<Rule> => {
  const policies = new Map<string, Policy>()
  for (const policy of itemsOf(headers["ratelimit-policy"], policyOf)) {
    if (!policies.has(policy.name)) policies.set(policy.name, policy)
  }
  const age = ageMillis(headers) / 1000
  const early = earlyRule(headers["ratelimit"])
  if (early !== undefined) return [{ ...early, seconds: early.seconds - age }]
  return itemsOf(headers["ratelimit"], limitOf).flatMap(({ name, remaining, seconds }) => {
    const policy = policies.get(name)
    // the rest of a limit on bytes or on concurrent requests says nothing about how many calls may be made
    if (policy !== undefined && policy.unit !== "requests") return []
    // without `t` the window is the longest that it can be; without both there is nothing to go by
    const until = seconds ?? policy?.windowSeconds
    return until === undefined ? [] : [{ remaining, seconds: until - age }]
  })
}

/** The form of the draft's seventh version: `limit=100, remaining=50, reset=30`. */
const earlyRule = (value: string | undefined): Rule | undefined => {
  const pairs = new Map(
    (value ?? "").split(/[,;]/).map((pair) => [pair.split("=")[0]?.trim(), pair.split("=")[1]?.trim()])
  )
  const [remaining, seconds] = [decimal(pairs.get("remaining") ?? ""), decimal(pairs.get("reset") ?? "")]
  return remaining === undefined || seconds === undefined ? undefined : { remaining: Math.floor(remaining), seconds }
}

interface Policy {
  readonly name: string
  readonly unit: string
  readonly windowSeconds: number | undefined
}

interface Limit {
  readonly name: string
  readonly remaining: number
  readonly seconds: number | undefined
}

type Parameters = ReadonlyMap<string, unknown>

/** The items of a field; none when any part of it breaks the draft's rules. */
const itemsOf = <A>(
  value: string | undefined,
  read: (name: string, parameters: Parameters) => A | undefined
): ReadonlyArray<A> => {
  if (value === undefined) return []
  const items: Array<A> = []
  try {
    for (const [name, parameters] of parseList(value)) {
      const item = typeof name === "string" && isWellFormed(parameters) ? read(name, parameters) : undefined
      if (item === undefined) return []
      items.push(item)
    }
  } catch {
    return []
  }
  return items
}

/** A partition key must be a byte sequence. */
const isWellFormed = (parameters: Parameters): boolean =>
  !parameters.has("pk") || parameters.get("pk") instanceof ArrayBuffer

const isCount = (value: unknown): value is number => Number.isInteger(value) && Number(value) >= 0

const policyOf = (name: string, parameters: Parameters): Policy | undefined => {
  const windowSeconds = parameters.get("w")
  const unit = parameters.get("qu") ?? "requests"
  if (!isCount(parameters.get("q")) || typeof unit !== "string") return undefined
  if (windowSeconds !== undefined && !(isCount(windowSeconds) && windowSeconds > 0)) return undefined
  return { name, unit, windowSeconds }
}

const limitOf = (name: string, parameters: Parameters): Limit | undefined => {
  const remaining = parameters.get("r")
  const seconds = parameters.get("t")
  if (!isCount(remaining) || (seconds !== undefined && !isCount(seconds))) return undefined
  return { name, remaining, seconds }
}

/** Names of the remaining calls, with those of the resets that go with them, the more telling first. */
const olderFields: ReadonlyArray<readonly [remaining: string, ...resets: ReadonlyArray<string>]> = [
  ...["x-ratelimit-", "x-rate-limit-", "ratelimit-"].map(
    (prefix) => [`${prefix}remaining`, `${prefix}reset-after`, `${prefix}reset`] as const
  ),
  ["x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
  ["x-ratelimit-requests-remaining", "x-ratelimit-requests-reset"],
  ["anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"]
]

const legacyRules = (
  headers: { readonly [name: string]: string },
  nowEpochMillis: number,
  unit: Options["unit"]
): ReadonlyArray<Rule> =>
  olderFields.flatMap(([name, ...resets]) => {
    const reset = resets.find((reset) => headers[reset] !== undefined)
    const left = numbersOf(headers[name])
    if (reset === undefined || left.length === 0) return []
    const remaining = Math.floor(Math.min(...left))
    const untils = partsOf(headers[reset] ?? "").map((part) => secondsUntil(part, headers, nowEpochMillis, unit))
    if (untils.some((seconds) => seconds === undefined)) return []
    const seconds = Math.max(...untils.map((seconds) => seconds ?? 0))
    // no limit is so long that the rest could be spread over it; but nothing left is nothing left
    return seconds > longestBelieved && remaining > 0 ? [] : [{ remaining, seconds }]
  })

/** A limit for a month is the longest that anybody has. */
const longestBelieved = 31 * longestSeconds

/** The numbers of a field, or none when any of its items is no number. */
const numbersOf = (value: string | undefined): ReadonlyArray<number> => {
  if (value === undefined) return []
  const numbers = partsOf(value).map(decimal)
  return numbers.every((number) => number !== undefined) ? numbers : []
}

const secondsUntil = (
  text: string,
  headers: { readonly [name: string]: string },
  nowEpochMillis: number,
  unit: Options["unit"]
): number | undefined => {
  const number = decimal(text)
  if (number !== undefined && number <= firstEpochSecond) {
    const isMillis = unit === "milliseconds" || (unit === undefined && number > longestSeconds)
    return (isMillis ? number / 1000 : number) - ageMillis(headers) / 1000
  }
  const worded = wordedMillis(text)
  if (worded !== undefined) return (worded - ageMillis(headers)) / 1000
  const at = instantMillis(text)
  if (at !== undefined) return (at - serverNow(headers, nowEpochMillis)) / 1000
  // a number that is no time: too large for a wait, and no instant in any unit
  return number === undefined ? undefined : Infinity
}

/**
 * What a server says of its rate limit in response headers: `RateLimit` and `RateLimit-Policy`
 * (draft-ietf-httpapi-ratelimit-headers-10, structured fields by RFC 9651), and where they are missing the older
 * `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
 *
 * **When to use**: give what it finds to `RateLimit.adjust`, so that a client slows down before it is told to.
 *
 * **What it is not**: a promise of the server, nor checked to be sensible; `RateLimit` bounds how long it is believed. A
 * `Retry-After` alone is not read here: `RetryAfter` does.
 *
 * **Gotchas**: a field that is malformed is ignored as a whole, never a failure. Of several rules the slowest counts. Limits
 * hold for a partition (a user, a key): where one client uses several, each needs a limiter of its own.
 *
 * @since 0.1.0
 */

import * as Duration from "effect/Duration"
import type { RateLimit } from "@holdfast/core"
import { parseList } from "structured-headers"
import * as RetryAfter from "./RetryAfter.ts"

/**
 * The rule that slows down most; `undefined` when the headers hold none. Header names are lower-case.
 *
 * - `legacy`: whether the `X-RateLimit-…` fields (and those of the draft's early versions, `RateLimit-…`) are read where
 *   there is no `RateLimit`. Default `true`. Their reset is a number of seconds or a date: above 10⁹ it is taken for a date, which is
 *   compared with the response's own `Date`.
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
  options: { readonly legacy?: boolean | undefined } = {}
): (RateLimit.Hint & { readonly pace: Duration.Duration }) | undefined => {
  const rule =
    slowest(currentRules(headers)) ?? (options.legacy === false ? undefined : legacyRule(headers, nowEpochMillis))
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

/** Epoch seconds passed this in 2001, and no window is so long. */
const firstEpochSecond = 1e9

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
  return itemsOf(headers["ratelimit"], limitOf).flatMap(({ name, remaining, seconds }) => {
    const policy = policies.get(name)
    // what is left of bytes or of concurrent requests says nothing about how many calls may be made
    if (policy !== undefined && policy.unit !== "requests") return []
    // without `t` the window is the longest that it can be; without both there is nothing to go by
    const until = seconds ?? policy?.windowSeconds
    return until === undefined ? [] : [{ remaining, seconds: until }]
  })
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

/** The items of a field; none when anything in it is not as the draft has it. */
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

const decimal = (value: string | undefined): number | undefined =>
  value !== undefined && /^\s*\d{1,15}(\.\d{1,9})?\s*$/.test(value) ? Number(value) : undefined

const legacyRule = (headers: { readonly [name: string]: string }, nowEpochMillis: number): Rule | undefined =>
  slowest(
    ["x-ratelimit-", "ratelimit-"].flatMap((prefix) => {
      const remaining = decimal(headers[`${prefix}remaining`])
      const reset = decimal(headers[`${prefix}reset`])
      if (remaining === undefined || reset === undefined) return []
      const seconds = reset > firstEpochSecond ? reset - epochSeconds(headers, nowEpochMillis) : reset
      return [{ remaining: Math.floor(remaining), seconds }]
    })
  )

/** The time by the server's clock where it says so, so that a clock which is wrong on either side does not matter. */
const epochSeconds = (headers: { readonly [name: string]: string }, nowEpochMillis: number): number => {
  const date = headers["date"] === undefined ? Number.NaN : Date.parse(headers["date"])
  return (Number.isNaN(date) ? nowEpochMillis : date) / 1000
}

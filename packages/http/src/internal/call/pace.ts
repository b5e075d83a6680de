/** How a server's own limit slows calls down. */

import * as Deadline from "@holdfast/core/Deadline"
import type * as RateLimit from "@holdfast/core/RateLimit"
import type * as Clock from "effect/Clock"
import * as RateLimitFields from "../../RateLimitFields.ts"
import * as RetryAfter from "../../RetryAfter.ts"
import { learnUnit, makeResetUnit, type ResetUnit } from "../response/resetUnit.ts"

/** The unit of the reset field, learned from the server that a limit belongs to. */
const units = new WeakMap<RateLimit.RateLimit, ResetUnit>()

const unitOf = (limit: RateLimit.RateLimit): ResetUnit => {
  const known = units.get(limit)
  if (known !== undefined) return known
  const unit = makeResetUnit()
  units.set(limit, unit)
  return unit
}

/** The server's word on its own limit slows this side down before it is told to. */
export const pace = (
  limit: RateLimit.RateLimit | undefined,
  clock: Clock.Clock,
  status: number,
  headers: { readonly [name: string]: string }
): void => {
  if (limit === undefined) return
  const epochMillis = clock.currentTimeMillisUnsafe()
  const nowMillis = Deadline.nowMillisUnsafe(clock)
  const unit = headers["x-ratelimit-reset"] === undefined ? undefined : learnUnit(unitOf(limit), nowMillis, headers)
  const asked = status === 429 ? RetryAfter.fromHeaders(headers, epochMillis) : undefined
  const hint =
    RateLimitFields.fromHeaders(headers, epochMillis, { unit }) ??
    (asked === undefined ? undefined : { remaining: 0, resetAfter: asked })
  if (hint !== undefined) limit.adjustUnsafe(nowMillis, hint)
}

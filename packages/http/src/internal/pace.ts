import * as Deadline from "@holdfast/core/Deadline"
import type * as RateLimit from "@holdfast/core/RateLimit"
import type * as Clock from "effect/Clock"
import * as RateLimitFields from "../RateLimitFields.ts"
import * as RetryAfter from "../RetryAfter.ts"

/** What the server says of its own limit slows this side down before it is told to. */
export const pace = (
  limit: RateLimit.RateLimit | undefined,
  clock: Clock.Clock,
  status: number,
  headers: { readonly [name: string]: string }
): void => {
  if (limit === undefined) return
  const epochMillis = clock.currentTimeMillisUnsafe()
  const asked = status === 429 ? RetryAfter.fromHeaders(headers, epochMillis) : undefined
  const hint =
    RateLimitFields.fromHeaders(headers, epochMillis) ??
    (asked === undefined ? undefined : { remaining: 0, resetAfter: asked })
  if (hint !== undefined) limit.adjustUnsafe(Deadline.nowMillisUnsafe(clock), hint)
}

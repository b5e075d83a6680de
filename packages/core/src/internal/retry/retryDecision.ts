/** Whether a failed attempt is followed by another, and how long is waited before it. */

import type { Failure } from "../../Outcome.ts"

/**
 * Whether a failed attempt says nothing but that its connection was stale, so that the next one is its replacement and no retry. That
 * one goes over a connection that was made for it, which cannot be stale: one attempt is replaced once.
 */
export const isSentAgainAtOnce = (outcome: Failure, replayable: boolean): boolean =>
  outcome.cause === "stale" && outcome.retryable && replayable

/** The facts about a failed attempt, before any wait is worked out. */
export interface AfterAttempt {
  /** Attempts made so far, those not that were replaced. */
  readonly attempts: number
  readonly maxAttempts: number
  readonly outcome: Failure
  /** Whether this request may be sent again at all, given its outcome. */
  readonly replayable: boolean
}

/** Why another attempt is out of the question, with any wait; `undefined` when it is not. */
export const stopBeforeWait = (after: AfterAttempt): "not-retryable" | "not-replayable" | "attempts" | undefined => {
  if (!after.outcome.retryable) return "not-retryable"
  if (!after.replayable) return "not-replayable"
  if (after.attempts >= after.maxAttempts) return "attempts"
  return undefined
}

export interface Wait {
  /** The schedule's decision. */
  readonly scheduledMillis: number
  /** The server's wait. */
  readonly askedMillis: number | undefined
  /** The longest wait that a server is granted. */
  readonly maxServerWaitMillis: number
  /** How much a server's wait is spread, upwards only: `0.1` is up to a tenth more. */
  readonly serverWaitJitter: number
  /** Time left to the deadline; `Infinity` without one. */
  readonly remainingMillis: number
  /** In [0, 1). */
  readonly random: number
}

/**
 * How long to wait before the next attempt, or why there is none. Never sooner than the server asked: its wait is spread
 * upwards only, as Envoy does, so that the clients it sent away do not all come back at once.
 */
export const waitOrStop = (wait: Wait): number | "server-wait" | "deadline" => {
  const asked = wait.askedMillis ?? 0
  // a server that asked for nothing is not to blame for a deadline that has passed
  if (asked > 0 && (asked > wait.maxServerWaitMillis || asked >= wait.remainingMillis)) return "server-wait"
  if (wait.scheduledMillis >= wait.remainingMillis) return "deadline"
  const spread = asked * (1 + wait.serverWaitJitter * wait.random)
  const delay = Math.max(spread, wait.scheduledMillis)
  return delay < wait.remainingMillis ? delay : Math.max(asked, wait.scheduledMillis)
}

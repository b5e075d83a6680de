/**
 * How calls to an upstream behave: how long they may take, how often they are tried, what may be sent twice.
 *
 * **When to use**: one policy an upstream, made once: `HttpPolicy.standard()`, with what differs.
 *
 * **What it is not**: an order. A policy names the stages that it has, and the pipeline puts them in the one right order;
 * {@link describe} prints it.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Retry from "@holdfast/core/Retry"
import * as RetryBudget from "@holdfast/core/RetryBudget"
import type * as Transport from "./Transport.ts"

/**
 * What of a request that is not idempotent (`POST`, `PATCH`) may be sent again.
 *
 * - `never`: nothing, unless it has an idempotency key
 * - `unsent`: what certainly did not reach the upstream: no connection was made, or a policy on this side refused it
 * - `always`: everything. Say so only of an upstream whose operations are all idempotent
 *
 * @category models
 * @since 0.1.0
 */
export type NonIdempotent = "never" | "unsent" | "always"

/**
 * How calls are retried.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryOptions extends Retry.Options {
  /** The budget that retries are paid from, shared by all calls of the upstream; `false` for none. */
  readonly budget?: RetryBudget.Options | false | undefined
  /** What of requests that are not idempotent may be sent again. Default `never`. */
  readonly nonIdempotent?: NonIdempotent | undefined
}

/**
 * What a policy is made of. A stage that is `false` is off.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The whole call, with its attempts and waits. Default 30 s. A tighter ambient deadline wins. */
  readonly deadline?: Duration.Input | false | undefined
  /** Default: 3 attempts, full jitter from 100 ms, a budget of 20 %. */
  readonly retry?: RetryOptions | false | undefined
  /** One attempt, from the wait for a connection to the decoded answer. Default 10 s. */
  readonly attemptTimeout?: Duration.Input | false | undefined
  /** How much of a response is read. */
  readonly limits?:
    | {
        /** Largest body of a successful response, in bytes. Default 16 MiB. */
        readonly responseBytes?: number | undefined
        /** How much of an error's body is kept, in bytes. Default 16 KiB. */
        readonly errorBytes?: number | undefined
        /** Longest error body that is read to its end so that its connection can be used again, in bytes. Default 256 KiB. */
        readonly drainBytes?: number | undefined
        /** How long reading an error body may take. Default 1 s. */
        readonly drainTime?: Duration.Input | undefined
      }
    | undefined
}

/**
 * What an option left out means.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  deadline: Duration.seconds(30),
  attemptTimeout: Duration.seconds(10),
  nonIdempotent: "never",
  limits: {
    responseBytes: 16 * 1024 * 1024,
    errorBytes: 16 * 1024,
    drainBytes: 256 * 1024,
    drainTime: Duration.seconds(1)
  }
} as const

/**
 * A checked policy. It holds no state: the budget's is made for each upstream.
 *
 * @category models
 * @since 0.1.0
 */
export interface HttpPolicy {
  readonly deadline: Duration.Duration | undefined
  readonly retry:
    | {
        readonly loop: Retry.Retry
        readonly budget: RetryBudget.Options | undefined
        readonly nonIdempotent: NonIdempotent
        readonly customSchedule: boolean
      }
    | undefined
  readonly attemptTimeout: Duration.Duration | undefined
  readonly limits: Transport.Limits
}

const time = (name: string, given: Duration.Input | false | undefined, fallback: Duration.Duration) => {
  if (given === false) return undefined
  const duration = Duration.fromInputUnsafe(given ?? fallback)
  if (!(Duration.toMillis(duration) > 0)) {
    throw new RangeError(`HttpPolicy: ${name} must be longer than zero, got ${Duration.format(duration)}`)
  }
  return Duration.isFinite(duration) ? duration : undefined
}

const bytes = (name: string, given: number | undefined, fallback: number): number => {
  const value = given ?? fallback
  if (!(Number.isInteger(value) && value >= 0)) {
    throw new RangeError(`HttpPolicy: limits.${name} must be a whole number of bytes of at least 0, got ${value}`)
  }
  return value
}

/**
 * A policy for calls that somebody waits for: 30 s in all, 10 s an attempt, up to 3 attempts with full jitter, retries
 * paid from a budget of 20 %, nothing sent twice that must not be.
 *
 * Throws a `RangeError` for an option out of range, and for times that contradict each other.
 *
 * ```ts
 * import { HttpPolicy } from "holdfast"
 *
 * const policy = HttpPolicy.standard({ deadline: "10 seconds", attemptTimeout: "2 seconds" })
 * console.log(HttpPolicy.describe(policy))
 * // => deadline 10s → retry 3 attempts, full jitter from 100ms to 10s, budget 20% + 2/s → attempt timeout 2s
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const standard = (options: Options = {}): HttpPolicy => {
  const deadline = time("deadline", options.deadline, defaults.deadline)
  // a deadline below the default attempt timeout is its bound too, and no contradiction
  const fallback = deadline === undefined ? defaults.attemptTimeout : Duration.min(defaults.attemptTimeout, deadline)
  const attemptTimeout = time("attemptTimeout", options.attemptTimeout, fallback)
  if (deadline !== undefined && attemptTimeout !== undefined && Duration.isGreaterThan(attemptTimeout, deadline)) {
    throw new RangeError(
      `HttpPolicy: an attemptTimeout of ${Duration.format(attemptTimeout)} can never be reached within a deadline of ` +
        `${Duration.format(deadline)}; make it shorter, or the deadline longer`
    )
  }
  const limits = options.limits ?? {}
  return {
    deadline,
    attemptTimeout,
    retry: options.retry === false ? undefined : retryOf(options.retry ?? {}),
    limits: {
      responseBytes: bytes("responseBytes", limits.responseBytes, defaults.limits.responseBytes),
      errorBytes: bytes("errorBytes", limits.errorBytes, defaults.limits.errorBytes),
      drainBytes: bytes("drainBytes", limits.drainBytes, defaults.limits.drainBytes),
      drainTime: time("limits.drainTime", limits.drainTime, defaults.limits.drainTime) ?? defaults.limits.drainTime
    }
  }
}

const retryOf = (options: RetryOptions): NonNullable<HttpPolicy["retry"]> => {
  const budget = options.budget === false ? undefined : (options.budget ?? {})
  // made once here so that a wrong option is found where it was written, and again for each upstream
  if (budget !== undefined) RetryBudget.make(budget)
  return {
    loop: Retry.make(options),
    budget,
    nonIdempotent: options.nonIdempotent ?? defaults.nonIdempotent,
    customSchedule: options.schedule !== undefined
  }
}

/**
 * One attempt and no bound but the caller's own deadline: for tests, and to see what an upstream is like without a policy.
 *
 * @category constructors
 * @since 0.1.0
 */
export const none: HttpPolicy = standard({ deadline: false, retry: false, attemptTimeout: false })

/**
 * The stages of a policy in the order in which they run, in one line.
 *
 * @category getters
 * @since 0.1.0
 */
export const describe = (policy: HttpPolicy): string => {
  const stages: Array<string> = []
  if (policy.deadline !== undefined) stages.push(`deadline ${Duration.format(policy.deadline)}`)
  if (policy.retry !== undefined && policy.retry.loop.maxAttempts > 1) {
    const { budget, customSchedule, loop, nonIdempotent } = policy.retry
    const wait = customSchedule ? "own schedule" : "full jitter from 100ms to 10s"
    const paid =
      budget === undefined
        ? "no budget"
        : `budget ${Math.round((budget.ratio ?? RetryBudget.defaults.ratio) * 100)}% + ` +
          `${budget.minimumPerSecond ?? RetryBudget.defaults.minimumPerSecond}/s`
    const unsafe = nonIdempotent === "never" ? "" : `, not idempotent: ${nonIdempotent}`
    stages.push(`retry ${loop.maxAttempts} attempts, ${wait}, ${paid}${unsafe}`)
  }
  if (policy.attemptTimeout !== undefined) stages.push(`attempt timeout ${Duration.format(policy.attemptTimeout)}`)
  return stages.length === 0 ? "no policy" : stages.join(" → ")
}

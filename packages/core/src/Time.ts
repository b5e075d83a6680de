/**
 * Times as options take them: a `Duration.Input`, checked.
 *
 * **When to use**: where a program of yours takes a time as an option, as every policy here does.
 *
 * **Gotchas**: Effect takes NaN for no time at all, and a number that is too large for infinity; both are refused here. Whether a time
 * may be zero, negative or infinite is for the option to say.
 *
 * @since 0.1.0
 */

import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/** Nobody waits for a hundred years; a greater number means something else, or no bound. */
const longestMillis = 100 * 365 * 86_400_000

const holdsNaN = (given: unknown): boolean =>
  Number.isNaN(given) || (typeof given === "object" && given !== null && Object.values(given).some(Number.isNaN))

/** Infinity by its name, and not a number that became it. */
const saysInfinity = (given: Duration.Input, duration: Duration.Duration): boolean =>
  !Duration.isFinite(duration) && !(typeof given === "string" && /\d/.test(given))

const shown = (given: unknown): string => {
  if (typeof given === "string") return JSON.stringify(given.length > 60 ? `${given.slice(0, 60)}…` : given)
  if (Duration.isDuration(given) || typeof given !== "object" || given === null) return String(given)
  return Object.entries(given).join(" ")
}

/**
 * The time that was given. Throws a `RangeError` that begins with `what` for a value that is no time, for NaN, and for more than a
 * hundred years that is not `Infinity`.
 *
 * ```ts
 * import { Duration } from "effect"
 * import { Time } from "holdfast"
 *
 * console.log(Duration.format(Time.of("Poller: every", "90 seconds"))) // => 1m 30s
 * try {
 *   Time.of("Poller: every", NaN)
 * } catch (error) {
 *   console.log(String(error)) // => RangeError: Poller: every must be a time, such as "2 seconds", got NaN
 * }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const of = (what: string, given: Duration.Input): Duration.Duration => {
  const found = holdsNaN(given) ? Option.none<Duration.Duration>() : Duration.fromInput(given)
  if (Option.isNone(found)) throw new RangeError(`${what} must be a time, such as "2 seconds", got ${shown(given)}`)
  const duration = found.value
  if (Math.abs(Duration.toMillis(duration)) > longestMillis && !saysInfinity(given, duration)) {
    throw new RangeError(`${what} must be 100 years at most, or Infinity, got ${shown(given)}`)
  }
  return duration
}

/**
 * {@link of} in milliseconds.
 *
 * @category constructors
 * @since 0.1.0
 */
export const millis = (what: string, given: Duration.Input): number => Duration.toMillis(of(what, given))

/**
 * Times as options take them: all that Effect takes for a duration, and the ways in which people, tools and standards write one:
 * `"5s"`, `"250ms"`, `"2m 30s"`, `"PT5S"`.
 *
 * **When to use**: where a program of yours takes a time as an option, as every policy here does.
 *
 * **Gotchas**: Effect takes NaN for no time at all, and a number that is too large for infinity; both are refused here. Whether a time
 * may be zero, negative or infinite is for the option to say. `m` is a minute, and `ms` a millisecond. Months and years are no
 * times: they differ.
 *
 * @since 0.1.0
 */

import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

type Unit = "d" | "h" | "m" | "s" | "ms" | "us" | "ns"

/**
 * A time as Go, Kubernetes, ISO 8601 and `Duration.format` write it. A type can describe only some of the right texts; the rest are read
 * by {@link fromInput} all the same.
 *
 * @category models
 * @since 0.1.0
 */
export type Text =
  | "0"
  | `${number}${Unit}`
  | `${number}${Unit} ${number}${Unit}`
  | `${number}h ${number}m ${number}s`
  | `PT${string}`
  | `P${number}${"D" | "W"}`

/**
 * A time as an option takes it: milliseconds, a `Duration`, or words such as `"5 seconds"`, `"5s"`, `"2m 30s"` and `"PT5S"`.
 *
 * @category models
 * @since 0.1.0
 */
export type Input = Duration.Input | Text

/** In nanoseconds, the largest first, as they are written. */
const units: ReadonlyArray<readonly [nanos: bigint, names: ReadonlyArray<string>]> = [
  [604_800_000_000_000n, ["weeks", "week", "w"]],
  [86_400_000_000_000n, ["days", "day", "d"]],
  [3_600_000_000_000n, ["hours", "hour", "h"]],
  [60_000_000_000n, ["minutes", "minute", "m"]],
  [1_000_000_000n, ["seconds", "second", "s"]],
  [1_000_000n, ["millis", "milli", "ms"]],
  [1000n, ["micros", "micro", "us", "µs"]],
  [1n, ["nanos", "nano", "ns"]]
]

const nanosOf = new Map(units.flatMap(([nanos, names]) => names.map((name) => [name, nanos] as const)))

const part = String.raw`\d+(?:\.\d+)?\s*(?:${[...nanosOf.keys()].join("|")})`
const isoTime = String.raw`T(?:\d+(?:[.,]\d+)?[HMS])+`

/**
 * The pattern of a time in words, for a schema. A few texts that match are still none, because their parts are not in order: `"5s 2m"`.
 *
 * @category patterns
 * @since 0.1.0
 */
export const pattern: RegExp = new RegExp(
  String.raw`^(?:0|Infinity|-?${part}(?:\s*${part})*|-?P(?:(?:\d+[WD])+(?:${isoTime})?|${isoTime}))$`,
  "u"
)

/** A text that is longer is no time, whatever it says. */
const longestText = 100

/** The parts of a time in words, each of a unit of its own, the largest first. */
const fromParts = (text: string): Option.Option<Duration.Duration> => {
  let [sum, last] = [0n, Infinity as number | bigint]
  for (const [, whole = "", fraction = "", name = ""] of text.matchAll(/(\d+)(?:\.(\d+))?\s*([a-zµ]+)/gu)) {
    const unit = nanosOf.get(name)
    if (unit === undefined || unit >= last) return Option.none()
    sum += BigInt(whole) * unit + (BigInt(`0${fraction}`) * unit) / 10n ** BigInt(fraction.length)
    last = unit
  }
  const nanos = text.startsWith("-") ? -sum : sum
  return Option.some(nanos % 1_000_000n === 0n ? Duration.millis(Number(nanos / 1_000_000n)) : Duration.nanos(nanos))
}

const fromText = (text: string): Option.Option<Duration.Duration> =>
  text.length > longestText || !pattern.test(text)
    ? Option.none()
    : text.includes("P")
      ? Duration.fromIso(text)
      : fromParts(text)

/** The texts that Effect itself may read. It throws for others, and a stack costs more than all the rest. */
const isEffects = /^-?[\d.]+\s+[a-z]+$|Infinity$/

/**
 * The time that was given, if it is one.
 *
 * ```ts
 * import { Option } from "effect"
 * import { Time } from "holdfast"
 *
 * for (const text of ["250ms", "2m 30s", "PT1H30M", "5 seconds"] as const) {
 *   console.log(String(Option.getOrThrow(Time.fromInput(text))))
 * }
 * // => 250 millis
 * // => 150000 millis
 * // => 5400000 millis
 * // => 5000 millis
 * console.log(Option.isNone(Time.fromInput("PT5")))
 * // => true
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromInput = (given: Input): Option.Option<Duration.Duration> => {
  if (holdsNaN(given)) return Option.none()
  if (typeof given === "string" && !isEffects.test(given)) return fromText(given)
  // Effect gives none for a value that is no input of its own
  const found = Duration.fromInput(given as Duration.Input)
  return Option.isNone(found) && typeof given === "string" ? fromText(given) : found
}

/** Nobody waits for a hundred years; a longer time means something else, or no bound. */
const longestMillis = 100 * 365 * 86_400_000

const holdsNaN = (given: unknown): boolean =>
  Number.isNaN(given) || (typeof given === "object" && given !== null && Object.values(given).some(Number.isNaN))

/** Infinity by its name, and not a number that became it. */
const saysInfinity = (given: Input, duration: Duration.Duration): boolean =>
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
export const of = (what: string, given: Input): Duration.Duration => {
  const found = fromInput(given)
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
export const millis = (what: string, given: Input): number => Duration.toMillis(of(what, given))

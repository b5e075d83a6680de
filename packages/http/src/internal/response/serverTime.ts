/** The time by the server's clock, and how dates and numbers of its fields are read. */

import * as Headers from "effect/http/Headers"
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"

// Times as servers write them into headers, whatever an RFC has to say of it: a time from now or an instant, in several units.

interface Fields {
  readonly [name: string]: string
}

/** The parts of a field that came more than once, joined with commas; a date has a comma of its own. */
export const partsOf = (value: string): ReadonlyArray<string> =>
  value.split(/,(?!\s*\d{1,2}[\s-][A-Za-z]{3})/).map((part) => part.trim())

/** A number without sign and exponent. */
export const decimal = (text: string): number | undefined =>
  /^\d{1,20}(\.\d{1,9})?$/.test(text) ? Number(text) : undefined

/** How long the response was kept by caches (RFC 9111 §5.1), in milliseconds: a time from when it was made has run since. */
export const ageMillis = (headers: Fields): number => {
  const [age = ""] = partsOf(headers["age"] ?? "")
  return /^\d{1,9}$/.test(age) ? Number(age) * 1000 : 0
}

const httpDate = (text: string): number | undefined => {
  const date = Headers.parseHttpDate(text)
  return Result.isSuccess(date) ? DateTime.toEpochMillis(date.success) : undefined
}

/**
 * Now by the clock of the server, where the response says when it was made: a clock that is wrong on either side does not matter
 * then, nor how long a cache kept it.
 */
export const serverNow = (headers: Fields, nowEpochMillis: number): number => {
  const made = httpDate(headers["date"] ?? "")
  return made === undefined ? nowEpochMillis : made + ageMillis(headers)
}

/** As RFC 3339 has it; the seconds and the zone may be missing, which is UTC then. */
const isoDate = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:?\d\d)?$/i

const isoInstant = (text: string): number | undefined => {
  const [, day, time, zone = "Z"] = isoDate.exec(text) ?? []
  if (day === undefined) return undefined
  const millis = Date.parse(`${day}T${time}${zone.toUpperCase()}`)
  return Number.isNaN(millis) ? undefined : millis
}

/** Epoch seconds passed this in 2001, and no time from now is so long. */
export const firstEpochSecond = 1e9

/**
 * The units of an instant that is a number, each by the numbers that it has between 2001 and 5138, and what makes milliseconds of it. They
 * do not overlap.
 */
const instantUnits = [
  [1e9, 1e11, 1000],
  [1e12, 1e14, 1],
  [1e15, 1e17, 1e-3],
  [1e18, 1e20, 1e-6]
] as const

const numberedInstant = (number: number): number | undefined => {
  const unit = instantUnits.find(([first, end]) => number > first && number < end)
  return unit && number * unit[2]
}

/** An instant in epoch milliseconds: a number in whatever unit, a date of HTTP or of RFC 3339. */
export const instantMillis = (text: string): number | undefined => {
  const number = decimal(text)
  return number === undefined ? (httpDate(text) ?? isoInstant(text)) : numberedInstant(number)
}

const wordUnits: { readonly [unit: string]: number } = {
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  ns: 1e-6
}

/** A time with units, as Go prints it: `6m0s`, `120ms`. In milliseconds. */
export const wordedMillis = (text: string): number | undefined => {
  if (!/^(\d{1,15}(\.\d{1,9})?(d|h|ms|m|s|us|µs|ns))+$/.test(text)) return undefined
  let millis = 0
  for (const [, amount, unit = ""] of text.matchAll(/(\d+(?:\.\d+)?)(d|h|ms|m|s|us|µs|ns)/g)) {
    millis += Number(amount) * (wordUnits[unit] ?? 0)
  }
  return millis
}

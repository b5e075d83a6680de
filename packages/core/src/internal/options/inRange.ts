/** The values that the options of policies may have, and the words for one that is out of range. */

import * as Time from "../../Time.ts"
import { shown } from "./given.ts"

/** The checks of one policy's options: each gives the value that was given, or throws a `RangeError` that names the option. */
export interface Ranges {
  readonly within: (name: string, value: number, minimum: number, maximum: number) => number
  readonly whole: (name: string, value: number, minimum: number, maximum?: number) => number
  /** In milliseconds. */
  readonly timeWithin: (name: string, input: Time.Input, minimumMillis: number, maximumMillis: number) => number
  /** In milliseconds. */
  readonly longerThanZero: (name: string, input: Time.Input) => number
  /** In milliseconds, of which there may be infinitely many. */
  readonly notNegative: (name: string, input: Time.Input) => number
}

export const rangesOf = (policy: string): Ranges => {
  const within = (name: string, value: number, minimum: number, maximum: number): number => {
    if (!(value >= minimum && value <= maximum)) {
      throw new RangeError(`${policy}: ${name} must be between ${minimum} and ${maximum}, got ${shown(value)}`)
    }
    return value
  }
  return {
    within,
    whole: (name, value, minimum, maximum = Infinity) => {
      if (!(Number.isInteger(value) && value >= minimum && value <= maximum)) {
        const range = maximum === Infinity ? `of at least ${minimum}` : `between ${minimum} and ${maximum}`
        throw new RangeError(`${policy}: ${name} must be a whole number ${range}, got ${shown(value)}`)
      }
      return value
    },
    timeWithin: (name, input, minimumMillis, maximumMillis) =>
      within(`${name} (milliseconds)`, Time.millis(`${policy}: ${name}`, input), minimumMillis, maximumMillis),
    longerThanZero: (name, input) => {
      const millis = Time.millis(`${policy}: ${name}`, input)
      if (!(millis > 0 && Number.isFinite(millis))) {
        throw new RangeError(`${policy}: ${name} must be longer than zero and finite, got ${String(input)}`)
      }
      return millis
    },
    notNegative: (name, input) => {
      const millis = Time.millis(`${policy}: ${name}`, input)
      if (!(millis >= 0)) throw new RangeError(`${policy}: ${name} must not be negative, got ${String(input)}`)
      return millis
    }
  }
}

/** Times as the words of a policy show them. */

import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

const units = [
  ["week", 604_800_000_000_000n],
  ["day", 86_400_000_000_000n],
  ["hour", 3_600_000_000_000n],
  ["minute", 60_000_000_000n],
  ["second", 1_000_000_000n],
  ["milli", 1_000_000n],
  ["micro", 1000n],
  ["nano", 1n]
] as const

/** A time exactly, in the largest unit that it is a whole number of: how data say it. */
export const timeInWords = (duration: Duration.Duration): string => {
  const nanos = Duration.toNanos(duration)
  if (Option.isNone(nanos)) return "Infinity"
  const [unit, size] = units.find(([, size]) => nanos.value !== 0n && nanos.value % size === 0n) ?? ["milli", 1n]
  const amount = nanos.value / size
  return `${amount} ${unit}${amount === 1n ? "" : "s"}`
}

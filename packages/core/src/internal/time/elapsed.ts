/** How a measured time is written. */

import * as Duration from "effect/Duration"

/** A measured time as a person reads it: `0.4ms`, `12ms`, `1.24s`. `Duration.format` would show every nanosecond. */
export const elapsed = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  if (millis < 10) return `${Number(millis.toFixed(1))}ms`
  return millis < 1000 ? `${Math.round(millis)}ms` : `${(millis / 1000).toFixed(2)}s`
}

/**
 * Of which unit a server's reset is, where it is a bare number and a time from now: it does not say, and taken for seconds, ten thousand
 * milliseconds stop a client for hours. But it counts down, and how fast it does tells its unit.
 */
export interface ResetUnit {
  lastReset: number
  lastMillis: number
  /** How often in a row it went down as milliseconds do. */
  seen: number
}

/** One pair of answers proves nothing: they may come late, or speak of two limits. */
const enough = 2

/** Seconds do not go down by this much within a few milliseconds. */
const leastStep = 5

export const makeResetUnit = (): ResetUnit => ({ lastReset: 0, lastMillis: 0, seen: 0 })

/** Adds the facts of an answer to the known ones, and gives the unit if they are enough to tell. */
export const learnUnit = (
  unit: ResetUnit,
  nowMillis: number,
  headers: { readonly [name: string]: string }
): "milliseconds" | undefined => {
  const reset = Number(headers["x-ratelimit-reset"])
  const [step, passed] = [unit.lastReset - reset, nowMillis - unit.lastMillis]
  if (unit.seen < enough && step >= leastStep) unit.seen = step >= passed / 2 && step <= passed * 2 ? unit.seen + 1 : 0
  // answers that come together count as one
  if (step >= leastStep || step < 0) {
    unit.lastReset = reset
    unit.lastMillis = nowMillis
  }
  return unit.seen >= enough ? "milliseconds" : undefined
}

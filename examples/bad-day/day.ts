/** The upstream's bad day, as data: what happens, and for how long. The upstream acts it out; the report is told by it. */

/** What the upstream does to a request. */
export type Trouble = "none" | "unavailable" | "reset" | "hang" | "truncate" | "slow" | "stopped"

export interface Patch {
  readonly name: string
  readonly trouble: Trouble
  /** How much of the requests the trouble befalls. */
  readonly share: number
  readonly millis: number
}

export const day: ReadonlyArray<Patch> = [
  { name: "a calm morning", trouble: "none", share: 0, millis: 2_000 },
  { name: "a slow patch", trouble: "slow", share: 0.7, millis: 1_200 },
  { name: "503, Retry-After: 1", trouble: "unavailable", share: 0.35, millis: 1_300 },
  { name: "resets", trouble: "reset", share: 0.3, millis: 1_300 },
  { name: "hangs", trouble: "hang", share: 0.2, millis: 1_300 },
  { name: "truncated bodies", trouble: "truncate", share: 0.3, millis: 1_300 },
  { name: "a full stop", trouble: "stopped", share: 1, millis: 800 },
  { name: "recovery", trouble: "none", share: 0, millis: 2_500 }
]

export const dayMillis = day.reduce((sum, patch) => sum + patch.millis, 0)

/** Index of the patch that an instant of the day falls into; the last one goes on for ever. */
export const patchAt = (elapsedMillis: number): number => {
  let end = 0
  for (const [index, patch] of day.entries()) {
    end += patch.millis
    if (elapsedMillis < end) return index
  }
  return day.length - 1
}

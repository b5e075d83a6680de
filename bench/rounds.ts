// Rounds of samples: every contender once a round, each round beginning with another one, so that what drifts on the
// machine (its heat, its neighbours) falls on all of them alike.

import type { Entry } from "./contenders.ts"

/** The samples of one contender, one a round. */
export interface Samples<Figures> {
  readonly id: string
  readonly title: string
  readonly floor: string | undefined
  readonly rounds: ReadonlyArray<Figures>
}

/**
 * Above this part of the machine used by others, a sample is taken once more, and the quieter one of the two kept. A section
 * may repeat one sample for each contender: on a machine that is never quiet it would not end otherwise.
 */
export const noiseLimit = 0.2

export const takeRounds = async <Figures extends { readonly noise: number }>(
  entries: ReadonlyArray<Entry<unknown>>,
  options: {
    readonly rounds: number
    /** Samples at a time. More than one is for figures that nobody reads. */
    readonly width: number
    readonly take: (contender: string) => Promise<Figures>
    readonly onSample: (round: number, entry: Entry<unknown>) => void
  }
): Promise<ReadonlyArray<Samples<Figures>>> => {
  const taken = new Map<string, Array<Figures>>(entries.map(({ id }) => [id, []]))
  let repeats = entries.length
  for (let round = 0; round < options.rounds; round++) {
    const start = round % Math.max(1, entries.length)
    const queue = [...entries.slice(start), ...entries.slice(0, start)].values()
    const worker = async (): Promise<void> => {
      for (const entry of queue) {
        options.onSample(round, entry)
        let figures = await options.take(entry.id)
        if (figures.noise > noiseLimit && options.width === 1 && repeats > 0) {
          repeats--
          const again = await options.take(entry.id)
          if (again.noise < figures.noise) figures = again
        }
        taken.get(entry.id)?.push(figures)
      }
    }
    await Promise.all(Array.from({ length: options.width }, worker))
  }
  return entries.map(({ floor, id, title }) => ({ id, title, floor, rounds: taken.get(id) ?? [] }))
}

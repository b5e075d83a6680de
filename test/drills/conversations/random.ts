/** Chance that can be had again: the same seed gives the same values. */

export interface Random {
  /** At least 0 and below 1. */
  readonly next: () => number
  /** A whole number of at least 0, and below the limit. */
  readonly below: (limit: number) => number
  readonly chance: (probability: number) => boolean
  readonly pick: <A>(of: readonly [A, ...ReadonlyArray<A>]) => A
  readonly bytes: (length: number) => Buffer
}

/** mulberry32, seeded by two numbers. */
export const random = (seed: number, index: number): Random => {
  let state = (Math.imul(seed, 0x9e37_79b1) ^ Math.imul(index + 1, 0x85eb_ca6b)) | 0
  const next = (): number => {
    state = (state + 0x6d2b_79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    next,
    below,
    chance: (probability) => next() < probability,
    pick: (of) => of[below(of.length)] ?? of[0],
    bytes: (length) => Buffer.from(Array.from({ length }, () => below(256)))
  }
}

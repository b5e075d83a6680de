// Chance that can be had again.

/** mulberry32: seeds that lie close together give numbers that have nothing to do with each other. */
const numbersFrom = (seed: number): (() => number) => {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** So many of them, the same for the same seed, in their order (Knuth's selection sampling). */
export const chosenOf = <A>(all: ReadonlyArray<A>, count: number, seed: number): ReadonlyArray<A> => {
  const chance = numbersFrom(seed)
  let wanted = Math.min(count, all.length)
  return all.filter((_, index) => {
    const isChosen = chance() * (all.length - index) < wanted
    if (isChosen) wanted--
    return isChosen
  })
}

/** A seed for each of many, so that what is chosen of one says nothing of what is chosen of another. */
export const seedOf = (seed: number, name: string): number =>
  [...name].reduce((mixed, letter) => Math.imul(mixed ^ (letter.codePointAt(0) ?? 0), 0x01000193), seed)

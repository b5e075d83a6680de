/** Bytes of an answer, and what chance makes of them: the same seed makes the same bytes. */

/** Numbers in [0, 1) by a seed (mulberry32, Tommy Ettinger). */
export const chance = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const below = (random: () => number, bound: number): number => Math.floor(random() * bound)

/** A few changes: a byte flipped, a piece cut out, doubled, or put in, or the end cut off. */
export const mutated = (bytes: Buffer, random: () => number): Buffer => {
  let result = bytes
  for (let change = below(random, 4); change > 0; change--) {
    const at = below(random, result.length + 1)
    const length = 1 + below(random, 8)
    const [before, after] = [result.subarray(0, at), result.subarray(at)]
    switch (below(random, 5)) {
      case 0: {
        result = Buffer.from(result)
        if (at < result.length) result[at] = (result[at] ?? 0) ^ (1 << below(random, 8))
        break
      }
      case 1:
        result = Buffer.concat([before, after.subarray(length)])
        break
      case 2:
        result = Buffer.concat([before, after.subarray(0, length), after])
        break
      case 3:
        result = Buffer.concat([before, Buffer.from(Array.from({ length }, () => below(random, 256))), after])
        break
      default:
        result = before
    }
  }
  return result
}

/** The bytes in one to a few pieces. */
export const split = (bytes: Buffer, random: () => number): ReadonlyArray<Buffer> => {
  const cuts = Array.from({ length: below(random, 4) }, () => below(random, bytes.length + 1)).toSorted((a, b) => a - b)
  return [...cuts, bytes.length].map((cut, index) => bytes.subarray(index === 0 ? 0 : cuts[index - 1], cut))
}

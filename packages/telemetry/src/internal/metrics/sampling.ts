/**
 * A number between 0 and 1 that is the same for the same text in every process: 32 bits of FNV-1a, mixed by the finaliser of
 * MurmurHash3, because the last characters of a text hardly reach FNV's high bits. A text kept at one ratio is kept at every higher one.
 */
export const fractionOf = (text: string): number => {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}

/** Whether to keep what is known under this name; what has no name is kept. */
export const isKept = (ratio: number, name: string | undefined): boolean =>
  ratio >= 1 || (ratio > 0 && name === undefined) || (name !== undefined && fractionOf(name) < ratio)

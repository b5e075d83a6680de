/**
 * Buckets of durations, log-linear as those of HdrHistogram: each power of two of microseconds from 2 ** 4 to 2 ** 28 is cut
 * into ten equal ones. A bucket [a, b) is shown as the harmonic mean 2ab / (a + b), which is off by at most (b − a) / (b +
 * a) of anything in it: 1/21, or 4.8 %, in the first bucket of an octave, and less in the others.
 */
const inOctave = 10
const firstOctave = 4
const lastOctave = 28
const shortestMicros = 2 ** firstOctave
const longestMicros = 2 ** lastOctave

/** One for values below 16 µs, those of the octaves, and one for values above 268 s. */
export const bucketCount = 1 + (lastOctave - firstOctave) * inOctave + 1

export const bucketOf = (durationMillis: number): number => {
  const micros = durationMillis * 1000
  // of no number and of a negative one too
  if (!(micros >= shortestMicros)) return 0
  if (micros >= longestMicros) return bucketCount - 1
  const octave = 31 - Math.clz32(micros)
  const base = 2 ** octave
  // the quotient of a number just below the next power of two may be rounded up to it
  const linear = Math.min(inOctave - 1, Math.floor(((micros - base) * inOctave) / base))
  return 1 + (octave - firstOctave) * inOctave + linear
}

/** The duration that a bucket is shown as, in milliseconds. */
export const shownMillis = (bucket: number): number => {
  if (bucket === 0) return shortestMicros / 2 / 1000
  if (bucket === bucketCount - 1) return longestMicros / 1000
  const base = 2 ** (firstOctave + Math.floor((bucket - 1) / inOctave))
  const from = base * (1 + ((bucket - 1) % inOctave) / inOctave)
  const to = from + base / inOctave
  return (2 * from * to) / (from + to) / 1000
}

/**
 * The smallest duration that at least this share of the samples does not exceed (nearest rank), in milliseconds; `undefined`
 * without any. The buckets are those of `counters` from `offset` on.
 */
export const quantileMillis = (counters: Uint32Array, offset: number, quantile: number): number | undefined => {
  let count = 0
  for (let bucket = 0; bucket < bucketCount; bucket++) count += counters[offset + bucket] ?? 0
  if (count === 0) return undefined
  let rank = Math.min(count, Math.max(1, Math.ceil(quantile * count)))
  let bucket = 0
  for (; bucket < bucketCount - 1; bucket++) {
    rank -= counters[offset + bucket] ?? 0
    if (rank <= 0) break
  }
  return shownMillis(bucket)
}

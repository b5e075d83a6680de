/**
 * A log-linear histogram of durations: each power of two of microseconds is cut into 32 equal buckets, so that a bucket's
 * middle is within 1/64 (1.6 %) of everything in it. The layout is HdrHistogram's with 5 bits of mantissa. It covers 0 µs to
 * 71 minutes in 896 counters, and a second row of one counter for each power of two makes a quantile some 60 steps.
 */
const mantissaBits = 5
const bucketsInOctave = 1 << mantissaBits
/** Octave 0 holds 0 to 31 µs; each further one starts at a power of two, up to the limit of 32 bits. */
const octaveCount = 32 - mantissaBits + 1
export const bucketCount = octaveCount * bucketsInOctave
const longestMicros = 2 ** 32 - 1

/** The bucket of a whole number of microseconds below 2 ** 32. */
export const bucketOf = (micros: number): number => {
  if (micros < bucketsInOctave) return micros
  const shift = 31 - Math.clz32(micros) - mantissaBits
  return ((shift + 1) << mantissaBits) + ((micros >>> shift) & (bucketsInOctave - 1))
}

/** The middle of a bucket, in microseconds. */
export const middleOf = (bucket: number): number => {
  const octave = bucket >>> mantissaBits
  if (octave === 0) return bucket
  const width = 2 ** (octave - 1)
  return (bucketsInOctave + (bucket & (bucketsInOctave - 1))) * width + (width - 1) / 2
}

export interface Histogram {
  readonly buckets: Uint32Array
  /** Sums of the buckets of each octave. */
  readonly octaves: Uint32Array
  count: number
}

export const makeHistogram = (): Histogram => ({
  buckets: new Uint32Array(bucketCount),
  octaves: new Uint32Array(octaveCount),
  count: 0
})

const addBucket = (histogram: Histogram, bucket: number): void => {
  const octave = bucket >>> mantissaBits
  histogram.buckets[bucket] = (histogram.buckets[bucket] ?? 0) + 1
  histogram.octaves[octave] = (histogram.octaves[octave] ?? 0) + 1
  histogram.count++
}

const bucketOfMillis = (durationMillis: number): number =>
  bucketOf(Math.min(Math.round(durationMillis * 1000), longestMicros))

/** Whether it is a duration at all: a clock that went back makes negative ones, which measure nothing. */
const isDuration = (durationMillis: number): boolean => durationMillis >= 0

export const add = (histogram: Histogram, durationMillis: number): void => {
  if (isDuration(durationMillis)) addBucket(histogram, bucketOfMillis(durationMillis))
}

export const clear = (histogram: Histogram): void => {
  if (histogram.count === 0) return
  histogram.buckets.fill(0)
  histogram.octaves.fill(0)
  histogram.count = 0
}

/** Takes from `total` the counts that `part` had put into it. */
const subtract = (total: Histogram, part: Histogram): void => {
  if (part.count === 0) return
  for (let bucket = 0; bucket < bucketCount; bucket++) {
    total.buckets[bucket] = (total.buckets[bucket] ?? 0) - (part.buckets[bucket] ?? 0)
  }
  for (let octave = 0; octave < octaveCount; octave++) {
    total.octaves[octave] = (total.octaves[octave] ?? 0) - (part.octaves[octave] ?? 0)
  }
  total.count -= part.count
}

/** The smallest duration that at least `quantile` of the samples do not exceed (nearest rank); `undefined` without any. */
export const quantileMillis = (histogram: Histogram, quantile: number): number | undefined => {
  if (histogram.count === 0) return undefined
  let rank = Math.min(histogram.count, Math.max(1, Math.ceil(quantile * histogram.count)))
  let octave = 0
  for (; octave < octaveCount - 1; octave++) {
    const inOctave = histogram.octaves[octave] ?? 0
    if (rank <= inOctave) break
    rank -= inOctave
  }
  let bucket = octave << mantissaBits
  for (; bucket < bucketCount - 1; bucket++) {
    rank -= histogram.buckets[bucket] ?? 0
    if (rank <= 0) break
  }
  return middleOf(bucket) / 1000
}

export const sliceCount = 5

/** Histograms of the last slices of time, and their sum: old samples leave slice by slice. */
export interface WindowState {
  readonly sliceMillis: number
  /** A ring. */
  readonly slices: ReadonlyArray<Histogram>
  readonly total: Histogram
  /** Number of the slice that time is in, counted from the clock's zero. */
  slice: number
}

export const makeWindowState = (windowMillis: number): WindowState => ({
  sliceMillis: windowMillis / sliceCount,
  slices: Array.from({ length: sliceCount }, makeHistogram),
  total: makeHistogram(),
  slice: 0
})

/** Lets the slices fall out that are older than the window. A clock that went back changes nothing. */
export const advance = (state: WindowState, nowMillis: number): void => {
  const slice = Math.floor(nowMillis / state.sliceMillis)
  if (slice <= state.slice) return
  const passed = Math.min(slice - state.slice, sliceCount)
  for (let step = 1; step <= passed; step++) {
    const old = state.slices[(slice - passed + step) % sliceCount]
    if (old === undefined) continue
    subtract(state.total, old)
    clear(old)
  }
  state.slice = slice
}

export const record = (state: WindowState, nowMillis: number, durationMillis: number): void => {
  if (!isDuration(durationMillis)) return
  advance(state, nowMillis)
  const current = state.slices[state.slice % sliceCount]
  if (current === undefined) return
  const bucket = bucketOfMillis(durationMillis)
  addBucket(current, bucket)
  addBucket(state.total, bucket)
}

/** The total that `advance` would leave, without doing it. */
export const totalAt = (state: WindowState, nowMillis: number): Histogram => {
  const total = {
    buckets: state.total.buckets.slice(),
    octaves: state.total.octaves.slice(),
    count: state.total.count
  }
  const passed = Math.min(Math.floor(nowMillis / state.sliceMillis) - state.slice, sliceCount)
  for (let step = 1; step <= passed; step++) {
    const old = state.slices[(state.slice + step) % sliceCount]
    if (old !== undefined) subtract(total, old)
  }
  return total
}

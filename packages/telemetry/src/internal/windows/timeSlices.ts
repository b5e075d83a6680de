/**
 * Counters over the last five minutes, in slices that grow with age: five of 2 s, then six of 10 s, then five of 60 s. A count
 * goes into the youngest slice only. When the place of a slice in its ring is wanted for a later one, its counters are added
 * to the slice of the next ring that covers its time, so that every count is in exactly one slice at a time, and one increment
 * serves all three windows. Nothing has to be moved when time passes: a reader tells by a slice's number whether it still
 * counts, which is why reading changes nothing.
 */
const rings = [
  { sliceMillis: 2000, places: 5 },
  { sliceMillis: 10_000, places: 6 },
  { sliceMillis: 60_000, places: 5 }
] as const

export const sliceCount = rings.reduce((total, { places }) => total + places, 0)

/** A window is as many slices of one size as its ring has places, the one that time is in included. */
export type WindowName = "last10Seconds" | "lastMinute" | "last5Minutes"

const ringOf = { last10Seconds: 0, lastMinute: 1, last5Minutes: 2 } as const satisfies Record<WindowName, number>

interface Slice {
  /** Which slice of all time it is, counted from the clock's zero; -1 before it is first used. */
  number: number
  /** Made when the slice is first used, and kept from then on. */
  counters: Uint32Array | undefined
}

export interface TimeSlices {
  /** How many counters a slice has. */
  readonly width: number
  readonly rings: ReadonlyArray<ReadonlyArray<Slice>>
  /** Number of the youngest slice. */
  youngest: number
}

export const makeTimeSlices = (width: number): TimeSlices => ({
  width,
  rings: rings.map(({ places }) => Array.from({ length: places }, () => ({ number: -1, counters: undefined }))),
  youngest: 0
})

/** How many slices of a ring are one of the next. */
const slicesPer = (ring: number): number => {
  const next = rings[ring + 1]?.sliceMillis ?? 0
  return next / (rings[ring]?.sliceMillis ?? 1)
}

const addAll = (into: Uint32Array, from: Uint32Array): void => {
  for (let index = 0; index < from.length; index++) into[index] = (into[index] ?? 0) + (from[index] ?? 0)
}

/** Adds counters to the slice of their time in a ring, or in the next one when they are too old for it. */
const settleInto = (slices: TimeSlices, ring: number, number: number, counters: Uint32Array): void => {
  const places = slices.rings[ring]
  // older than the longest window
  if (places === undefined) return
  const place = places[number % places.length]
  if (place === undefined) return
  if (place.number > number) return settleInto(slices, ring + 1, Math.floor(number / slicesPer(ring)), counters)
  addAll(takePlace(slices, ring, place, number), counters)
}

/** The counters of a place, which belong to the slice of this number from now on. */
const takePlace = (slices: TimeSlices, ring: number, place: Slice, number: number): Uint32Array => {
  place.counters ??= new Uint32Array(slices.width)
  if (place.number !== number) {
    if (place.number >= 0) {
      settleInto(slices, ring + 1, Math.floor(place.number / slicesPer(ring)), place.counters)
      place.counters.fill(0)
    }
    place.number = number
  }
  return place.counters
}

/** The counters to count in now. A clock that went back counts in the youngest slice. */
export const countersAt = (slices: TimeSlices, nowMillis: number): Uint32Array => {
  const number = Math.max(slices.youngest, Math.floor(nowMillis / rings[0].sliceMillis))
  slices.youngest = number
  const places = slices.rings[0]
  const place = places?.[number % places.length]
  if (place === undefined) throw new Error("a ring has a place for every number")
  return place.number === number && place.counters !== undefined ? place.counters : takePlace(slices, 0, place, number)
}

/** The figures of a window. */
export interface Total {
  readonly counters: Uint32Array
  /** How long the window is: between its length and that less one slice. */
  readonly coveredMillis: number
}

/** The sums of a window. Changes nothing. */
export const totalAt = (slices: TimeSlices, window: WindowName, nowMillis: number): Total => {
  const ring = ringOf[window]
  const { places, sliceMillis } = rings[ring]
  const instant = Math.max(nowMillis, slices.youngest * rings[0].sliceMillis)
  const first = Math.floor(instant / sliceMillis) - places + 1
  const counters = new Uint32Array(slices.width)
  // older slices are in the further rings, but young ones are in the nearer ones only
  for (let index = 0; index <= ring; index++) {
    const perSlice = sliceMillis / (rings[index]?.sliceMillis ?? sliceMillis)
    for (const slice of slices.rings[index] ?? []) {
      if (slice.counters !== undefined && Math.floor(slice.number / perSlice) >= first) addAll(counters, slice.counters)
    }
  }
  return { counters, coveredMillis: instant - first * sliceMillis }
}

/**
 * Windows over finished calls: the last so many of them, or those of the last while. Recording and reading are O(1).
 *
 * A call falls into one of four cells, because a slow call is slow however it ends (resilience4j's `Metrics`): the
 * failure rate and the slow-call rate are two readings of the same four numbers.
 */

/** Bit 0: the call was slow. Bit 1: it failed. */
export type Cell = 0 | 1 | 2 | 3

export const cellOf = (failed: boolean, slow: boolean): Cell => (failed ? (slow ? 3 : 2) : slow ? 1 : 0)

export interface Counts {
  ok: number
  slowOk: number
  failed: number
  slowFailed: number
}

export const noCounts = (): Counts => ({ ok: 0, slowOk: 0, failed: 0, slowFailed: 0 })

export const totalOf = (counts: Counts): number => counts.ok + counts.slowOk + counts.failed + counts.slowFailed

export const failedOf = (counts: Counts): number => counts.failed + counts.slowFailed

export const slowOf = (counts: Counts): number => counts.slowOk + counts.slowFailed

/** The last `size` calls. */
export interface CountWindow {
  readonly _tag: "Count"
  /** One more than the cell of each call; 0 where there has been none yet. */
  readonly ring: Uint8Array
  readonly counts: Counts
  /** Where the next call goes; the oldest is there. */
  next: number
}

/** The calls of the last `millis`, in buckets of a tenth: between nine tenths of that time and the whole of it. */
export interface TimeWindow {
  readonly _tag: "Time"
  readonly millis: number
  readonly ring: ReadonlyArray<Counts>
  readonly counts: Counts
  /** Number of the bucket that time is in, counted from the clock's zero. */
  bucket: number
}

export type Window = CountWindow | TimeWindow

export const bucketCount = 10

export const makeCountWindow = (size: number): CountWindow => ({
  _tag: "Count",
  ring: new Uint8Array(size),
  counts: noCounts(),
  next: 0
})

export const makeTimeWindow = (millis: number): TimeWindow => ({
  _tag: "Time",
  millis,
  ring: Array.from({ length: bucketCount }, noCounts),
  counts: noCounts(),
  bucket: 0
})

const add = (counts: Counts, cell: Cell, amount: 1 | -1): void => {
  if (cell === 0) counts.ok += amount
  else if (cell === 1) counts.slowOk += amount
  else if (cell === 2) counts.failed += amount
  else counts.slowFailed += amount
}

const empty = (counts: Counts): void => {
  counts.ok = 0
  counts.slowOk = 0
  counts.failed = 0
  counts.slowFailed = 0
}

const subtract = (from: Counts, what: Counts): void => {
  from.ok -= what.ok
  from.slowOk -= what.slowOk
  from.failed -= what.failed
  from.slowFailed -= what.slowFailed
}

const bucketAt = (window: TimeWindow, atMillis: number): number => Math.floor((atMillis * bucketCount) / window.millis)

/** Lets the buckets go that are older than the window. */
const advance = (window: TimeWindow, atMillis: number): void => {
  const bucket = bucketAt(window, atMillis)
  if (bucket <= window.bucket) return
  for (let number = Math.max(window.bucket + 1, bucket - bucketCount + 1); number <= bucket; number++) {
    const gone = window.ring[number % bucketCount]
    if (gone === undefined) continue
    subtract(window.counts, gone)
    empty(gone)
  }
  window.bucket = bucket
}

/** Adds a call. Time must not go back: the circuit's own time does not. */
export const record = (window: Window, cell: Cell, atMillis: number): void => {
  if (window._tag === "Count") {
    const oldest = window.ring[window.next] ?? 0
    // the stored number is a cell and one
    if (oldest > 0) add(window.counts, (oldest - 1) as Cell, -1)
    window.ring[window.next] = cell + 1
    window.next = window.next + 1 === window.ring.length ? 0 : window.next + 1
    add(window.counts, cell, 1)
    return
  }
  advance(window, atMillis)
  const bucket = window.ring[window.bucket % bucketCount]
  if (bucket !== undefined) add(bucket, cell, 1)
  add(window.counts, cell, 1)
}

/** The counts of the window at a time; reading it changes nothing. */
export const read = (window: Window, atMillis: number): Counts => {
  const counts = { ...window.counts }
  if (window._tag === "Count") return counts
  const bucket = bucketAt(window, atMillis)
  for (
    let number = window.bucket - bucketCount + 1;
    number <= Math.min(window.bucket, bucket - bucketCount);
    number++
  ) {
    const gone = number < 0 ? undefined : window.ring[number % bucketCount]
    if (gone !== undefined) subtract(counts, gone)
  }
  return counts
}

export const clear = (window: Window): void => {
  empty(window.counts)
  if (window._tag === "Count") {
    window.ring.fill(0)
    window.next = 0
    return
  }
  for (const bucket of window.ring) empty(bucket)
}

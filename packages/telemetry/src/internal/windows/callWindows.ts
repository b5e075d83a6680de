/** How calls are counted in windows of time, and which upstreams and operations are forgotten when there are too many. */

import { bucketCount, bucketOf } from "../metrics/durationBuckets.ts"
import { makeTimeSlices, countersAt, type TimeSlices } from "./timeSlices.ts"

/** How something ended, as a window counts it; its place among the counters of a slice. */
export const Ending = { succeeded: 0, failed: 1, rejected: 2, refused: 3, interrupted: 4 } as const

export type Ending = keyof typeof Ending

/** Where the buckets of the durations begin. */
export const firstBucket = 5

export const width = firstBucket + bucketCount

export interface Series {
  readonly calls: TimeSlices
  readonly attempts: TimeSlices
  /** Since when everything of it was counted. */
  readonly sinceMillis: number
  /** Greater than that of every series that was used before. */
  used: number
}

interface UpstreamSeries {
  readonly total: Series
  readonly operations: Map<string, Series>
}

export interface CallWindows {
  readonly maxSeries: number
  readonly startMillis: number
  readonly upstreams: Map<string, UpstreamSeries>
  /** Series that there are: one for each upstream, and one for each of its operations. */
  size: number
  /** Series that were forgotten because there were too many. */
  forgotten: number
  uses: number
}

export const makeCallWindows = (maxSeries: number, startMillis: number): CallWindows => ({
  maxSeries,
  startMillis,
  upstreams: new Map(),
  size: 0,
  forgotten: 0,
  uses: 0
})

const makeSeries = (windows: CallWindows, nowMillis: number): Series => {
  if (windows.size < windows.maxSeries) windows.size++
  else forgetOne(windows)
  return {
    calls: makeTimeSlices(width),
    attempts: makeTimeSlices(width),
    // a new series had no calls before, unless it had some and they were forgotten
    sinceMillis: windows.forgotten === 0 ? windows.startMillis : nowMillis,
    used: ++windows.uses
  }
}

/** Forgets the series that was not used for longest, whose place another one takes. An upstream is used with each of its operations, so it goes after all of them. */
const forgetOne = (windows: CallWindows): void => {
  let oldest: { readonly upstream: string; readonly operation: string | undefined; readonly used: number } | undefined
  for (const [upstream, { operations, total }] of windows.upstreams) {
    if (operations.size === 0 && (oldest === undefined || total.used < oldest.used)) {
      oldest = { upstream, operation: undefined, used: total.used }
    }
    for (const [operation, { used }] of operations) {
      if (oldest === undefined || used < oldest.used) oldest = { upstream, operation, used }
    }
  }
  if (oldest === undefined) return
  if (oldest.operation === undefined) windows.upstreams.delete(oldest.upstream)
  else windows.upstreams.get(oldest.upstream)?.operations.delete(oldest.operation)
  windows.forgotten++
}

const count = (slices: TimeSlices, nowMillis: number, ending: Ending, bucket: number): void => {
  const counters = countersAt(slices, nowMillis)
  const place = Ending[ending]
  counters[place] = (counters[place] ?? 0) + 1
  if (bucket >= 0) counters[firstBucket + bucket] = (counters[firstBucket + bucket] ?? 0) + 1
}

/** Counts the end of a call or an attempt for its upstream and for its operation. */
export const record = (
  windows: CallWindows,
  of: "calls" | "attempts",
  upstream: string,
  operation: string,
  ending: Ending,
  durationMillis: number,
  nowMillis: number
): void => {
  let series = windows.upstreams.get(upstream)
  if (series === undefined) {
    series = { total: makeSeries(windows, nowMillis), operations: new Map() }
    windows.upstreams.set(upstream, series)
  }
  // used before a place is made for the operation, or that place might be its own
  const use = ++windows.uses
  series.total.used = use
  let ofOperation = series.operations.get(operation)
  if (ofOperation === undefined) {
    ofOperation = makeSeries(windows, nowMillis)
    series.operations.set(operation, ofOperation)
  }
  ofOperation.used = use
  // how long a caller stayed, and how fast this side refused, say nothing of the upstream
  const bucket = ending === "interrupted" || ending === "refused" ? -1 : bucketOf(durationMillis)
  count(series.total[of], nowMillis, ending, bucket)
  count(ofOperation[of], nowMillis, ending, bucket)
}

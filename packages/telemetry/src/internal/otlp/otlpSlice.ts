/**
 * Cuts an encoded export between its items: spans, log records or metric points. The fields around them, such as the resource,
 * are in every piece. The three requests of OTLP have the same shape, down to the numbers of their fields.
 */

import { joined } from "./joinedBytes.ts"

/** An encoded export, of whose items a piece can be had. */
export interface Sliceable {
  /** Bytes of each item. */
  readonly sizes: ReadonlyArray<number>
  /** The export with the items from `from` up to, and without, `to`. */
  readonly slice: (from: number, to: number) => Uint8Array<ArrayBuffer>
}

export type Signal = "traces" | "metrics" | "logs"

export const sliceable = (signal: Signal, contentType: string, bytes: Uint8Array): Sliceable =>
  contentType.startsWith("application/json") ? ofJson(bytes) : ofProtobuf(signal, bytes)

/** Which items are to be in the piece, how many have been seen so far, and how large each was. */
class Range {
  seen = 0
  readonly sizes: Array<number> = []
  readonly from: number
  readonly to: number

  constructor(from: number, to: number) {
    this.from = from
    this.to = to
  }

  takes(bytes: number): boolean {
    this.sizes.push(bytes)
    const at = this.seen++
    return at >= this.from && at < this.to
  }
}

/** Numbers of the fields that lead to the items: groups by resource, then by scope, then spans, records or metrics. */
const toSpans: ReadonlyArray<ReadonlySet<number>> = [new Set([1]), new Set([2]), new Set([2])]

/** And on to the points of a gauge, a sum, a histogram, an exponential one or a summary. */
const toPoints: ReadonlyArray<ReadonlySet<number>> = [...toSpans, new Set([5, 7, 9, 10, 11]), new Set([1])]

const ofProtobuf = (signal: Signal, bytes: Uint8Array): Sliceable => {
  const path = signal === "metrics" ? toPoints : toSpans
  const all = new Range(0, 0)
  messageSlice(bytes, path, all)
  return {
    sizes: all.sizes,
    slice: (from, to) => messageSlice(bytes, path, new Range(from, to)) ?? new Uint8Array(0)
  }
}

/** The message with a range of its items; nothing when that is empty. */
const messageSlice = (
  message: Uint8Array,
  [wanted, ...rest]: ReadonlyArray<ReadonlySet<number>>,
  range: Range
): Uint8Array<ArrayBuffer> | undefined => {
  const pieces: Array<Uint8Array> = []
  let hasItems = false
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++] ?? 0
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const start = at
    const tag = varint()
    const wireType = tag % 8
    if (wireType === 0) varint()
    else if (wireType === 1) at += 8
    else if (wireType === 5) at += 4
    else if (wireType === 2) {
      const length = varint()
      const content = message.subarray(at, at + length)
      at += length
      if (wanted?.has(Math.floor(tag / 8)) === true) {
        if (rest.length === 0) {
          if (!range.takes(length)) continue
          hasItems = true
        } else {
          const inner = messageSlice(content, rest, range)
          if (inner === undefined) continue
          hasItems = true
          pieces.push(varintBytes(tag), varintBytes(inner.length), inner)
          continue
        }
      }
    } else break
    pieces.push(message.subarray(start, at))
  }
  return hasItems ? joined(pieces) : undefined
}

const varintBytes = (value: number): Uint8Array => {
  const bytes: Array<number> = []
  let rest = value
  while (rest > 127) {
    bytes.push((rest % 128) | 128)
    rest = Math.floor(rest / 128)
  }
  bytes.push(rest)
  return Uint8Array.from(bytes)
}

/** Names of the lists that lead to the items, level by level. */
const lists: ReadonlyArray<ReadonlySet<string>> = [
  new Set(["resourceSpans", "resourceMetrics", "resourceLogs"]),
  new Set(["scopeSpans", "scopeMetrics", "scopeLogs"]),
  new Set(["spans", "metrics", "logRecords"]),
  new Set(["dataPoints"])
]

const kinds = new Set(["gauge", "sum", "histogram", "exponentialHistogram", "summary"])

const ofJson = (bytes: Uint8Array): Sliceable => {
  const whole: unknown = JSON.parse(new TextDecoder().decode(bytes))
  const all = new Range(0, 0)
  objectSlice(whole, 0, all)
  return {
    sizes: all.sizes,
    slice: (from, to) => new TextEncoder().encode(JSON.stringify(objectSlice(whole, 0, new Range(from, to)) ?? {}))
  }
}

const objectSlice = (value: unknown, level: number, range: Range): object | undefined => {
  if (typeof value !== "object" || value === null) return undefined
  const sliced: Record<string, unknown> = {}
  let hasItems = false
  for (const [key, inner] of Object.entries(value)) {
    sliced[key] = inner
    if (lists[level]?.has(key) === true && Array.isArray(inner)) {
      const kept = inner.flatMap((entry: unknown) => {
        if (isItem(key)) return range.takes(JSON.stringify(entry).length) ? [entry] : []
        return objectSlice(entry, level + 1, range) ?? []
      })
      sliced[key] = kept
      hasItems ||= kept.length > 0
    } else if (level === pointsLevel && kinds.has(key)) {
      const points = objectSlice(inner, level, range)
      if (points === undefined) return undefined
      sliced[key] = points
      hasItems = true
    }
  }
  return hasItems ? sliced : undefined
}

/** Of a metric and of its kind, which is between it and its points. */
const pointsLevel = 3

const isItem = (list: string): boolean => list === "spans" || list === "logRecords" || list === "dataPoints"

/**
 * Where to cut so that no piece is larger than `limitBytes`, except where one item alone makes it larger: the beginnings of the
 * pieces, in order. `aroundBytes` is the size of the fields that every piece has beside its items.
 */
export const cuts = (sizes: ReadonlyArray<number>, aroundBytes: number, limitBytes: number): ReadonlyArray<number> => {
  const beginnings: Array<number> = []
  let held = Infinity
  sizes.forEach((size, index) => {
    // the item's own tag and length
    const bytes = size + 8
    if (held + bytes > limitBytes) {
      beginnings.push(index)
      held = aroundBytes
    }
    held += bytes
  })
  return beginnings
}

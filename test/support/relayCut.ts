/**
 * Where in an exchange a relay breaks off: how many of the bytes that came in one direction are still passed on.
 *
 * HTTP/1.1 is read as its text, HTTP/2 as its frames (RFC 9113 §4.1), each from the first byte of its connection. Bytes
 * that were passed on cannot be taken back, so each place is found with, or before, the first byte beyond it.
 */
import type { RelayStep } from "./behaviour.ts"

export type Protocol = "http/1.1" | "http/2"

/** `up`: from the client to the server. */
export interface Cut {
  readonly direction: "up" | "down"
  /** How many of all bytes so far are passed on, or nothing while the place is not there yet. */
  readonly at: (bytes: Buffer) => number | undefined
}

const after =
  (mark: string) =>
  (bytes: Buffer): number | undefined => {
    const at = bytes.indexOf(mark)
    return at < 0 ? undefined : at + mark.length
  }

const beyond =
  (place: (bytes: Buffer) => number | undefined, more: number) =>
  (bytes: Buffer): number | undefined => {
    const at = place(bytes)
    return at === undefined || bytes.length < at + more ? undefined : at + more
  }

const headEnd = "\r\n\r\n"

/** The end of the first chunk of a chunked body, and of the last one, which is empty. */
const chunks = (bytes: Buffer): { readonly first: number | undefined; readonly last: number | undefined } => {
  let at = after(headEnd)(bytes)
  let first: number | undefined
  while (at !== undefined) {
    const sizeEnd = bytes.indexOf("\r\n", at)
    if (sizeEnd < 0) break
    const size = Number.parseInt(bytes.toString("latin1", at, sizeEnd), 16)
    const end: number = sizeEnd + 2 + size + 2
    // a body that is not chunked has no size there
    if (!(bytes.length >= end)) break
    if (size === 0) return { first, last: end }
    first ??= end
    at = end
  }
  return { first, last: undefined }
}

const lessOne = (at: number | undefined): number | undefined => (at === undefined ? undefined : at - 1)

const inText: Readonly<Record<RelayStep, Cut>> = {
  afterRequestLine: { direction: "up", at: after("\r\n") },
  afterRequestHead: { direction: "up", at: after(headEnd) },
  withinRequestBody: { direction: "up", at: beyond(after(headEnd), 10) },
  withinResponseHead: { direction: "down", at: beyond(after("\r\n"), 10) },
  afterResponseHead: { direction: "down", at: after(headEnd) },
  betweenChunks: { direction: "down", at: (bytes) => chunks(bytes).first },
  beforeLastByte: { direction: "down", at: (bytes) => lessOne(chunks(bytes).last) },
  afterLastByte: { direction: "down", at: (bytes) => chunks(bytes).last }
}

interface Frame {
  readonly type: number
  readonly flags: number
  readonly start: number
  /** Of what has come of it. */
  readonly payload: number
  readonly end: number
}

const frameHead = 9
const data = 0
const headers = 1
const endStream = 1

/** The first frame of which the whole head has come, and that is meant. */
const frame = (bytes: Buffer, start: number, isMeant: (frame: Frame) => boolean): Frame | undefined => {
  for (let at = start; at + frameHead <= bytes.length;) {
    const length = bytes.readUIntBE(at, 3)
    const found: Frame = {
      type: bytes.readUInt8(at + 3),
      flags: bytes.readUInt8(at + 4),
      start: at,
      payload: Math.min(length, bytes.length - at - frameHead),
      end: at + frameHead + length
    }
    if (isMeant(found)) return found
    at = found.end
  }
  return undefined
}

const isHeaders = ({ type }: Frame): boolean => type === headers
const isData = ({ payload, type }: Frame): boolean => type === data && payload > 0
const isLast = ({ flags, type }: Frame): boolean => (type === data || type === headers) && (flags & endStream) !== 0

/** `PRI * HTTP/2.0` and so on (RFC 9113 §3.4), before the client's first frame. */
const preface = 24

const inFrames = (
  direction: Cut["direction"],
  isMeant: (frame: Frame) => boolean,
  place: (frame: Frame) => number
): Cut => ({
  direction,
  at: (bytes) => {
    const found = frame(bytes, direction === "up" ? preface : 0, isMeant)
    const at = found === undefined ? undefined : place(found)
    return at === undefined || at > bytes.length ? undefined : at
  }
})

const ofFrames: Readonly<Record<RelayStep, Cut>> = {
  // There is no request line: what comes first of a request is the head of its HEADERS frame.
  afterRequestLine: inFrames("up", isHeaders, ({ start }) => start + frameHead),
  afterRequestHead: inFrames("up", isHeaders, ({ end }) => end),
  withinRequestBody: inFrames("up", isData, ({ start }) => start + frameHead + 1),
  withinResponseHead: inFrames("down", isHeaders, ({ start }) => start + frameHead + 1),
  afterResponseHead: inFrames("down", isHeaders, ({ end }) => end),
  betweenChunks: inFrames("down", isData, ({ end }) => end),
  beforeLastByte: inFrames("down", isLast, ({ end }) => end - 1),
  afterLastByte: inFrames("down", isLast, ({ end }) => end)
}

export const cutOf = (step: RelayStep, protocol: Protocol): Cut =>
  protocol === "http/2" ? ofFrames[step] : inText[step]

/** The end of the first TLS record (RFC 8446 §5.1): of a ClientHello, or of a ServerHello. */
export const firstRecordEnd = (bytes: Buffer): number | undefined => {
  if (bytes.length < 5) return undefined
  const end = 5 + bytes.readUInt16BE(3)
  return bytes.length < end ? undefined : end
}

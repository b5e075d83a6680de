/** What a peer says: a good answer, altered a little, in pieces that come when chance has it. */
import * as zlib from "node:zlib"
import {
  errorCode,
  fieldBlock,
  frame,
  frameFlag,
  frameType,
  goaway,
  resetStream,
  windowUpdate
} from "../endings/http2Frames.ts"
import { random, type Random } from "./random.ts"

export type Protocol = "HTTP/1.1" | "HTTP/2"

export interface Piece {
  readonly afterMillis: number
  readonly bytes: Buffer
}

export interface Conversation {
  readonly seed: number
  readonly index: number
  readonly protocol: Protocol
  readonly method: "GET" | "POST"
  /** Whether its body is read as it comes. */
  readonly isStreamed: boolean
  /** Whether whoever reads it so is behind. */
  readonly isSlow: boolean
  readonly pieces: ReadonlyArray<Piece>
  readonly end: "FIN" | "RST" | "stays"
  /** Whether nothing is wrong with it, so that it has to be answered. */
  readonly isGood: boolean
}

const codings = [
  undefined,
  undefined,
  { name: "gzip", code: (text: Buffer) => zlib.gzipSync(text) },
  { name: "br", code: (text: Buffer) => zlib.brotliCompressSync(text) },
  { name: "zstd", code: (text: Buffer) => zlib.zstdCompressSync(text) }
] as const

const statuses = [200, 200, 200, 201, 204, 206, 304, 302, 404, 500, 503] as const

const textOf = (chance: Random): Buffer => {
  const length = chance.pick([0, 1, 40, 700, 5000, 40_000, 200_000])
  if (chance.chance(0.4)) return chance.bytes(length)
  // what looks like the head of an answer may stand in a body as well
  const sentence = chance.pick(["what was asked for, ", "HTTP/1.1 100 Continue\r\n\r\n"])
  return Buffer.from(sentence.repeat(length / sentence.length + 1).slice(0, length))
}

/** What some servers write behind a body that is coded. */
export const behind = Buffer.from("\n\n")

interface Coded {
  readonly contentEncoding: string | undefined
  readonly body: Buffer
}

const bodyOf = (chance: Random): Coded => {
  const coding = chance.pick(codings)
  if (coding === undefined) return { contentEncoding: undefined, body: textOf(chance) }
  const members = Array.from({ length: chance.pick([1, 1, 1, 2, 3]) }, () => coding.code(textOf(chance)))
  if (coding.name === "br") members.length = 1
  if (chance.chance(0.1)) members.push(behind)
  return { contentEncoding: coding.name, body: Buffer.concat(members) }
}

const splitAt = (chance: Random, bytes: Buffer, most: number): ReadonlyArray<Buffer> => {
  const places = Array.from({ length: chance.below(most) }, () => chance.below(bytes.length + 1))
  const all = [0, ...places.sort((a, b) => a - b), bytes.length]
  return all.slice(1).map((place, index) => bytes.subarray(all[index], place))
}

interface Said {
  readonly bytes: Buffer
  readonly isGood: boolean
  /** Whether it ends with the connection. */
  readonly isOpenEnded: boolean
}

const http1Answer = (chance: Random): Said => {
  const { body, contentEncoding } = bodyOf(chance)
  const status = chance.pick(statuses)
  const framing = chance.pick(["length", "length", "chunked", "chunked", "until close"])
  const interims = chance.pick([
    "",
    "",
    "",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
  ])
  const trailers = framing === "chunked" && chance.chance(0.3) ? "x-sum: 1\r\n" : ""
  const isBodiless = status === 204 || status === 304
  const fields = [
    `HTTP/1.${chance.chance(0.9) ? 1 : 0} ${status} Said So`,
    ...(contentEncoding === undefined ? [] : [`content-encoding: ${contentEncoding}`]),
    ...(framing === "length" ? [`content-length: ${isBodiless ? 0 : body.length}`] : []),
    ...(framing === "chunked" && !isBodiless ? ["transfer-encoding: chunked"] : []),
    ...(chance.chance(0.2) ? ["connection: close"] : []),
    ...(chance.chance(0.2) ? ["set-cookie: a=b", "set-cookie: c=d"] : [])
  ]
  const head = Buffer.from(`${interims}${fields.join("\r\n")}\r\n\r\n`)
  if (isBodiless) return { bytes: head, isGood: true, isOpenEnded: false }
  if (framing !== "chunked") {
    return { bytes: Buffer.concat([head, body]), isGood: true, isOpenEnded: framing === "until close" }
  }
  const chunks = splitAt(chance, body, 6)
    .filter(({ length }) => length > 0)
    .map((chunk) => Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n")]))
  const bytes = Buffer.concat([head, ...chunks, Buffer.from(`0\r\n${trailers}\r\n`)])
  return { bytes, isGood: true, isOpenEnded: false }
}

const mostFrameBytes = 16_384

/** The answer to the first request of a connection. */
const http2Answer = (chance: Random): Said => {
  const stream = 1
  const { body, contentEncoding } = bodyOf(chance)
  const frames = [frame(frameType.settings, 0, 0), frame(frameType.settings, frameFlag.ack, 0)]
  if (chance.chance(0.2))
    frames.push(frame(frameType.headers, frameFlag.endHeaders, stream, fieldBlock(103, [["link", "</a>"]])))
  if (chance.chance(0.2)) frames.push(frame(frameType.ping, 0, 0, chance.bytes(8)))
  if (chance.chance(0.2)) frames.push(windowUpdate(0, 1000))
  const fields: Array<readonly [string, string]> = []
  if (contentEncoding !== undefined) fields.push(["content-encoding", contentEncoding])
  if (chance.chance(0.5)) fields.push(["content-length", String(body.length)])
  if (chance.chance(0.2)) fields.push(["set-cookie", "a=b"], ["set-cookie", "c=d"])
  const status = chance.pick(statuses)
  frames.push(frame(frameType.headers, frameFlag.endHeaders, stream, fieldBlock(status, fields)))
  // no more than a client takes before it has said that it takes more
  const sent = body.subarray(0, 60_000)
  const hasTrailers = chance.chance(0.2)
  const pieces = splitAt(chance, sent, 4).flatMap((piece) => {
    const parts: Array<Buffer> = []
    for (let start = 0; start < piece.length; start += mostFrameBytes)
      parts.push(piece.subarray(start, start + mostFrameBytes))
    return parts
  })
  for (const piece of pieces) frames.push(frame(frameType.data, 0, stream, piece))
  if (hasTrailers) {
    const flags = frameFlag.endHeaders | frameFlag.endStream
    frames.push(frame(frameType.headers, flags, stream, fieldBlock(undefined, [["x-sum", "1"]])))
  } else frames.push(frame(frameType.data, frameFlag.endStream, stream))
  const leaving = chance.pick([undefined, undefined, undefined, "goaway", "reset"])
  const code = chance.pick([errorCode.NO_ERROR, errorCode.CANCEL, errorCode.INTERNAL_ERROR, errorCode.REFUSED_STREAM])
  const last =
    leaving === "goaway"
      ? goaway(chance.pick([0, 1, 1]), code)
      : leaving === "reset"
        ? resetStream(stream, code)
        : undefined
  if (last !== undefined)
    frames.splice(chance.chance(0.5) ? frames.length : 2 + chance.below(frames.length - 1), 0, last)
  const isGood = last === undefined && sent.length === body.length && status !== 204 && status !== 304
  return { bytes: Buffer.concat(frames), isGood, isOpenEnded: false }
}

const altered = (chance: Random, given: Buffer, changes: number): Buffer => {
  let bytes = Buffer.from(given)
  // heads and frames are where it hurts, and most of them are at the beginning
  const place = (): number =>
    chance.chance(0.6) ? Math.min(bytes.length, chance.below(300)) : chance.below(bytes.length + 1)
  for (let count = changes; count > 0; count--) {
    const at = place()
    const length = Math.min(bytes.length - at, chance.pick([1, 1, 2, 9, 100]))
    switch (chance.pick(["flip", "flip", "cut", "leave out", "double", "insert"] as const)) {
      case "flip":
        if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << chance.below(8))
        break
      case "cut":
        bytes = bytes.subarray(0, at)
        break
      case "leave out":
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
        break
      case "double":
        bytes = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)])
        break
      case "insert":
        bytes = Buffer.concat([bytes.subarray(0, at), chance.bytes(length), bytes.subarray(at)])
    }
  }
  return bytes
}

/** The conversation of a seed with this number. */
export const conversation = (seed: number, index: number): Conversation => {
  const chance = random(seed, index)
  const protocol = chance.pick(["HTTP/1.1", "HTTP/2"] as const)
  const said = protocol === "HTTP/2" ? http2Answer(chance) : http1Answer(chance)
  const changes = chance.pick([0, 0, 1, 1, 1, 2, 3])
  const bytes = altered(chance, said.bytes, changes)
  const end = chance.pick(["FIN", "FIN", "RST", "stays"] as const)
  const most = chance.pick([1, 2, 4, 12])
  return {
    seed,
    index,
    protocol,
    method: chance.pick(["GET", "GET", "POST"]),
    isStreamed: chance.chance(0.4),
    isSlow: chance.chance(0.3),
    pieces: splitAt(chance, bytes, most).map((piece) => ({ bytes: piece, afterMillis: chance.pick([0, 0, 0, 1, 3]) })),
    end,
    isGood: said.isGood && changes === 0 && end !== "RST" && !(said.isOpenEnded && end === "stays")
  }
}

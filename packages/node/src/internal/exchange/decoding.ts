/** Which codings of a body are asked for and undone, and how a body that is coded in one of them is decoded. */

import type { Transform } from "node:stream"
import * as zlib from "node:zlib"
import { gzipHeaderLength, gzipTrailerLength, isGzip, isGzipTrailer } from "./gzip.ts"

/** How a body may be coded on the way (RFC 9110 §8.4.1, RFC 7932, RFC 8878). */
export type Coding = "gzip" | "br" | "zstd"

/** The codings that a request says it takes. */
export const acceptedCodings = "gzip, br, zstd"

/** The coding of a response's body, if it is one of these. A body that is coded twice, or in another way, is left as it is. */
export const codingOf = (contentEncoding: string | undefined): Coding | undefined => {
  if (contentEncoding === undefined) return undefined
  const name = contentEncoding.trim().toLowerCase()
  if (name === "gzip" || name === "x-gzip") return "gzip"
  return name === "br" || name === "zstd" ? name : undefined
}

/** The callbacks of a decoder. After `onEnd` and `onBroken` it tells nothing more. */
export interface DecoderListener {
  readonly onDecoded: (chunk: Buffer) => void
  /** There is room for more after `write` said that there was none. */
  readonly onRoom: () => void
  /** The body has ended: all of it was decoded. */
  readonly onDecodeEnd: () => void
  /** The body is not coded as it should be, or was cut short. */
  readonly onDecodeBroken: (broken: Broken) => void
}

export interface Broken {
  readonly isCut: boolean
  readonly code: string | undefined
}

/** `head` before a member has begun, `data` within it, `tail` behind it, `over` when nothing that comes is of interest. */
type Stage = "head" | "data" | "tail" | "over"

/** Nothing that stands before a member's data is longer: a file name in it, say. */
const longestHead = 16_384

/** From so many members on, they must have so many bytes each: a stream of zlib for every few bytes is an attack. */
const manyMembers = 1000
const leastMemberBytes = 64

const nothing = Buffer.alloc(0)

/**
 * Decodes a body as it comes. A body may be of several members, one behind the other (RFC 1952 §2.2, RFC 8878 §3.1), which zlib's
 * streams see to in part only: so each member has a stream of its own. Bytes behind the last member that are no member are left
 * alone, as `gzip` and browsers do. A body of no bytes is an empty one, however it says that it is coded: a 302 or a 204 may say so.
 *
 * The listener counts decoded bytes, since a few bytes may stand for any number, and says `stop` when it has enough.
 */
export class Decoder {
  readonly #coding: Coding
  readonly #listener: DecoderListener
  #stage: Stage = "head"
  #members = 0
  #written = 0
  #transform: MemberDecoder | undefined
  /** Bytes that came and were not taken yet, before a member or behind it. */
  #held: Buffer = nothing
  /** Bytes that the member's stream was given, and may not have taken: the last chunks, and how much came before them. */
  #given: Array<Buffer> = []
  #givenBefore = 0
  #checksum = 0
  #size = 0
  #inputEnded = false
  #isPaused = false
  #hasRoom = true

  constructor(coding: Coding, listener: DecoderListener) {
    this.#coding = coding
    this.#listener = listener
  }

  /** Whether more may come. */
  get hasRoom(): boolean {
    return this.#hasRoom
  }

  /** Takes the next bytes. False says that no more should come until `onRoom`. */
  write(chunk: Buffer): boolean {
    if (this.#stage === "over") return true
    this.#written += chunk.length
    if (this.#stage === "data") return this.#give(chunk)
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    return this.#advance()
  }

  /** There are no more bytes. */
  end(): void {
    if (this.#inputEnded || this.#stage === "over") return
    this.#inputEnded = true
    if (this.#stage === "data") this.#transform?.end()
    else this.#advance()
  }

  pause(): void {
    this.#isPaused = true
    this.#transform?.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#transform?.resume()
  }

  /** Decodes no more, and tells no more. */
  stop(): void {
    this.#stage = "over"
    this.#held = nothing
    this.#given = []
    this.#transform?.destroy()
    this.#transform = undefined
  }

  /** Goes as far as the held bytes allow. */
  #advance(): boolean {
    if (this.#stage === "tail" && !this.#checked()) return true
    if (this.#stage !== "head") return true
    const head = this.#headLength()
    if (head === undefined) {
      if (this.#held.length > longestHead) this.#break({ isCut: false, code: "ERR_CODING_HEAD_TOO_LONG" })
      else if (this.#inputEnded) this.#endInHead()
      return true
    }
    if (head < 0) {
      if (this.#members === 0) this.#break({ isCut: false, code: "ERR_CODING_UNKNOWN_PREFIX" })
      // behind the last member, and no member
      else this.#finish()
      return true
    }
    const data = this.#held.subarray(head)
    this.#held = nothing
    this.#begin()
    return this.#give(data)
  }

  /** Bytes before the member's data: 0 where zlib reads them itself, less than 0 where no member begins, undefined for more bytes. */
  #headLength(): number | undefined {
    const { length } = this.#held
    if (length === 0) return undefined
    if (this.#coding === "br") return this.#members === 0 ? 0 : -1
    if (this.#coding === "gzip") return gzipHeaderLength(this.#held)
    return isZstd(this.#held) ? (length < 4 ? undefined : 0) : -1
  }

  /** The input has ended before a member, or within the header before its data. */
  #endInHead(): void {
    const { length } = this.#held
    const isBegun = this.#coding === "gzip" ? isGzip(this.#held) : isZstd(this.#held)
    if (length === 0 || (this.#members > 0 && !isBegun)) this.#finish()
    else this.#break({ isCut: true, code: "Z_BUF_ERROR" })
  }

  #begin(): void {
    this.#stage = "data"
    this.#checksum = 0
    this.#size = 0
    this.#givenBefore = 0
    const transform = memberDecoder(this.#coding)
    transform.on("data", (chunk: Buffer) => {
      if (this.#transform !== transform) return
      if (this.#coding === "gzip") {
        this.#checksum = zlib.crc32(chunk, this.#checksum)
        this.#size = (this.#size + chunk.length) % 2 ** 32
      }
      this.#listener.onDecoded(chunk)
    })
    transform.on("drain", () => {
      if (this.#transform === transform) this.#gainRoom()
    })
    transform.once("end", () => {
      if (this.#transform === transform) this.#memberEnded(transform)
    })
    transform.once("error", (error: NodeJS.ErrnoException) => {
      if (this.#transform === transform) this.#memberBroken(error, transform)
    })
    if (this.#isPaused) transform.pause()
    this.#transform = transform
  }

  #give(chunk: Buffer): boolean {
    const bytesWritten = this.#transform?.bytesWritten ?? 0
    for (let first = this.#given[0]; first !== undefined; first = this.#given[0]) {
      if (this.#givenBefore + first.length > bytesWritten) break
      this.#givenBefore += first.length
      this.#given.shift()
    }
    this.#given.push(chunk)
    this.#hasRoom = this.#transform?.write(chunk) !== false
    if (this.#inputEnded) this.#transform?.end()
    return this.#hasRoom
  }

  #memberEnded(transform: MemberDecoder): void {
    this.#members++
    const given = this.#given.length === 1 ? this.#given[0] : Buffer.concat(this.#given)
    this.#held = (given ?? nothing).subarray(transform.bytesWritten - this.#givenBefore)
    this.#given = []
    this.#transform = undefined
    transform.destroy()
    this.#stage = this.#coding === "gzip" ? "tail" : "head"
    if (this.#members > manyMembers && this.#written < this.#members * leastMemberBytes) {
      this.#break({ isCut: false, code: "ERR_CODING_TOO_MANY_MEMBERS" })
      return
    }
    this.#advance()
    // those bytes were counted as given to a stream that has ended and no drain of its own will tell that the next one
    // has room
    if (this.#transform === undefined || this.#hasRoom) this.#gainRoom()
  }

  #gainRoom(): void {
    this.#hasRoom = true
    this.#listener.onRoom()
  }

  #memberBroken(error: NodeJS.ErrnoException, transform: MemberDecoder): void {
    // a frame of zstd ends without a word, so that bytes behind it are only seen to be none
    const isBehind = error.code === "ZSTD_error_prefix_unknown" && transform.bytesWritten > 0
    if (isBehind) this.#finish()
    else this.#break({ isCut: error.code === "Z_BUF_ERROR", code: error.code })
  }

  /** Whether gzip's trailer is there and true. */
  #checked(): boolean {
    if (this.#held.length < gzipTrailerLength) {
      if (this.#inputEnded) this.#break({ isCut: true, code: "Z_BUF_ERROR" })
      return false
    }
    if (!isGzipTrailer(this.#held, this.#checksum, this.#size)) {
      this.#break({ isCut: false, code: "Z_DATA_ERROR" })
      return false
    }
    this.#held = this.#held.subarray(gzipTrailerLength)
    this.#stage = "head"
    return true
  }

  #finish(): void {
    this.stop()
    this.#listener.onDecodeEnd()
  }

  #break(broken: Broken): void {
    this.stop()
    this.#listener.onDecodeBroken(broken)
  }
}

/** A stream of zlib, which counts what it has taken. */
type MemberDecoder = Transform & zlib.Zlib

const memberDecoder = (coding: Coding): MemberDecoder => {
  switch (coding) {
    case "gzip":
      return zlib.createInflateRaw()
    case "br":
      return zlib.createBrotliDecompress()
    case "zstd":
      return zlib.createZstdDecompress()
  }
}

/** Whether a frame of zstd, or one to be skipped, begins here, as far as its first bytes show (RFC 8878 §3.1). */
const isZstd = (bytes: Uint8Array): boolean => {
  const [first = 0] = bytes
  const rest = first === 0x28 ? [0xb5, 0x2f, 0xfd] : first >= 0x50 && first <= 0x5f ? [0x2a, 0x4d, 0x18] : undefined
  if (bytes.length === 0 || rest === undefined) return false
  return rest.every((byte, index) => index + 1 >= bytes.length || bytes[index + 1] === byte)
}

/** The bodies of the drill, as they are sent and as they are to be read. */
import * as zlib from "node:zlib"
import type { Case, Coder } from "./cases.ts"
import { coderOf } from "./cases.ts"

export interface Body {
  /** What is sent, in parts with a while between them. */
  readonly parts: ReadonlyArray<Buffer>
  /** What it stands for, as far as it is coded well. */
  readonly text: string
  readonly contentEncoding: string | undefined
}

/** Text that no coding makes much shorter. */
const textOf = (length: number): string => {
  let state = 1
  const characters = Buffer.alloc(length)
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    characters[index] = 33 + ((state >>> 16) % 90)
  }
  return characters.toString("latin1")
}

const tiny = textOf(48)
const small = textOf(720)
const large = textOf(300_000)

const coders = {
  gzip: zlib.gzipSync,
  br: zlib.brotliCompressSync,
  zstd: zlib.zstdCompressSync
} satisfies Record<Coder, (text: string) => Buffer>

const made = new Map<string, Buffer>()

const coded = (coder: Coder, text: string): Buffer => {
  const key = `${coder} ${text.length} ${text.slice(0, 8)}`
  const known = made.get(key) ?? coders[coder](text)
  made.set(key, known)
  return known
}

const middle = (text: string): number => Math.floor(text.length / 2)

/** Alters the coding where its check, or its own structure, must show it. */
const broken = (coder: Coder, bytes: Buffer): Buffer => {
  const copy = Buffer.from(bytes)
  if (coder === "gzip") copy[copy.length - 8] = (copy[copy.length - 8] ?? 0) ^ 0xff
  else if (coder === "br") copy.fill(0xff, 0, Math.min(24, copy.length))
  // the magic number
  else copy[0] = 0
  return copy
}

export const bodyOf = ({ bytewise, coding, reader }: Case): Body => {
  const text = reader === "slow" || reader === "leaves early" ? large : bytewise ? tiny : small
  const coder = coderOf(coding)
  if (coder === undefined) return { parts: [Buffer.from(text)], text, contentEncoding: undefined }
  const contentEncoding = coder
  const whole = coded(coder, text)
  const more = Buffer.from("\n\n\n")
  if (coding.endsWith("of nothing")) return { parts: [], text: "", contentEncoding }
  if (coding.endsWith("twice")) {
    const [first, second] = [text.slice(0, middle(text)), text.slice(middle(text))]
    return { parts: [Buffer.concat([coded(coder, first), coded(coder, second)])], text, contentEncoding }
  }
  if (coding.endsWith(", more")) return { parts: [Buffer.concat([whole, more])], text, contentEncoding }
  if (coding.endsWith(", more later")) return { parts: [whole, more], text, contentEncoding }
  if (coding.endsWith(" cut")) return { parts: [whole.subarray(0, -20)], text, contentEncoding }
  if (coding.endsWith(" broken")) return { parts: [broken(coder, whole)], text, contentEncoding }
  if (coding.endsWith("in 206")) return { parts: [whole], text: whole.toString("latin1"), contentEncoding }
  return { parts: [whole], text, contentEncoding }
}

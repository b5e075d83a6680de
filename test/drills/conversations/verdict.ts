/** Whether what the transport makes of a conversation is what it may make of it. */
import * as zlib from "node:zlib"
import { Cause, Exit } from "effect"
import type { Reason } from "holdfast"
import { behind, type Conversation } from "./conversation.ts"
import type { Accepted } from "./oracle.ts"

export interface Answered {
  readonly status: number
  readonly body: Buffer
  readonly isComplete: boolean
}

export type Told = Exit.Exit<Answered, Reason.TransportReason>

/** What it is called in the summary. */
export const nameOf = (told: Told): string =>
  Exit.isSuccess(told) ? "answer" : (told.cause.reasons.find(Cause.isFailReason)?.error._tag ?? "died")

const decoders = {
  gzip: zlib.gunzipSync,
  "x-gzip": zlib.gunzipSync,
  br: zlib.brotliDecompressSync,
  zstd: zlib.zstdDecompressSync
} satisfies Record<string, (bytes: Buffer) => Buffer>

const isCoding = (name: string): name is keyof typeof decoders => name in decoders

/** What zlib makes of bytes: nothing where they are broken. It may not be sure. */
type Decoded = Buffer | "unsure" | undefined

const inOneGo = (coding: keyof typeof decoders, bytes: Buffer): Decoded => {
  try {
    return decoders[coding](bytes)
  } catch (error) {
    // behind a member of gzip there may stand what is none, which the transport leaves alone
    const isBehind = bytes[0] === 0x1f && error instanceof Error && error.message === "incorrect header check"
    return isBehind ? "unsure" : undefined
  }
}

const decoded = ({ body, contentEncoding, status }: Accepted): Decoded => {
  const name = contentEncoding?.trim().toLowerCase()
  if (name === undefined || !isCoding(name) || status === 206 || body.length === 0) return body
  // in one go, zlib does not leave alone what stands behind a member
  const isLonger = body.subarray(-behind.length).equals(behind)
  return inOneGo(name, body) ?? (isLonger ? inOneGo(name, body.subarray(0, -behind.length)) : undefined)
}

/** Whether a limit ended it, which a machine that is busy may bring about. */
const isLate = (name: string): boolean => name.endsWith("Timeout")

/** What is wrong with it, in words. */
export const wrongOf = (
  { isGood }: Pick<Conversation, "isGood">,
  told: Told,
  accepted: Accepted | undefined
): ReadonlyArray<string> => {
  if (Exit.isFailure(told)) {
    if (!told.cause.reasons.every(Cause.isFailReason)) return [`it died: ${Cause.pretty(told.cause)}`]
    const name = nameOf(told)
    if (isGood && !isLate(name)) return [`a good answer is told as ${name}: ${Cause.pretty(told.cause)}`]
    return name === "TransportFailed" ? [`no reason is known for it: ${Cause.pretty(told.cause)}`] : []
  }
  const { body, isComplete, status } = told.value
  if (accepted === undefined) return []
  if (accepted.status !== status) return [`a status of ${status}, where Node has ${accepted.status}`]
  const wanted = decoded(accepted)
  if (wanted === "unsure") return []
  if (wanted === undefined) return isComplete ? ["a whole body, where zlib finds its coding broken"] : []
  if (isSame(body, wanted, isComplete, accepted.contentEncoding?.trim().toLowerCase() === "zstd")) return []
  return [`a body of ${body.length} bytes, where Node has another one of ${wanted.length}`]
}

/** Of an error some is kept; and of several frames of zstd, Node's zlib gives the first alone in one go. */
const isSame = (body: Buffer, wanted: Buffer, isComplete: boolean, isZstd: boolean): boolean => {
  if (isComplete && body.length < wanted.length) return false
  if (!isZstd && body.length > wanted.length) return false
  const length = Math.min(body.length, wanted.length)
  return body.subarray(0, length).equals(wanted.subarray(0, length))
}

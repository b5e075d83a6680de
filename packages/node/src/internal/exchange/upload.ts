/** A body on its way out: whether it goes whole, in pieces or as it comes, and whether it can be sent once more. */

import { BodyError } from "./wire.ts"

/** A body that can be sent: a stream has got the context that it runs in. */
export type ReadyBody = string | Uint8Array | AsyncIterable<Uint8Array> | undefined

/** A body on its way out. */
export interface Upload {
  readonly body: string | Uint8Array | AsyncIterable<Uint8Array>
  /** Whether some of a stream was taken, so that it cannot be sent from its beginning any more. */
  readonly isBegun: () => boolean
  /** Interrupts a stream and runs its finalizers, if it was begun and has not ended. */
  readonly end: () => void
}

/**
 * The bytes handed to the socket at once; a longer body goes in pieces of this size, so that a server which stops taking them
 * is noticed: the end of a single long write says nothing of how far it came.
 */
const pieceBytes = 65_536

/** Any system takes this much at once. */
const oneWriteBytes = 8192

/** Whether a body goes to the system in one write with its head. */
export const isOneWrite = (body: Upload["body"] | undefined): boolean =>
  body === undefined || (typeof body === "string" && body.length <= oneWriteBytes)

const nothing = (): void => {}

const never = (): boolean => false

/** The code of its error is not the connection's, even if it looks so. */
const failed = (): never => {
  throw new BodyError()
}

/** Prepares a body, and says its length where it goes in pieces. */
export const uploadOf = (body: Exclude<ReadyBody, undefined>, headers: Array<string>): Upload => {
  if (typeof body === "string" && body.length <= pieceBytes) return { body, isBegun: never, end: nothing }
  if (typeof body === "string") return inPieces(Buffer.from(body), headers)
  if (!(body instanceof Uint8Array)) return endable(body)
  return body.length <= pieceBytes ? { body, isBegun: never, end: nothing } : inPieces(body, headers)
}

const inPieces = (bytes: Uint8Array, headers: Array<string>): Upload => {
  if (!headers.includes("content-length")) headers.push("content-length", String(bytes.length))
  return { body: pieces(bytes), isBegun: never, end: nothing }
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += pieceBytes) yield bytes.subarray(start, start + pieceBytes)
}

const endable = (source: AsyncIterable<Uint8Array>): Upload => {
  let iterator: AsyncIterator<Uint8Array> | undefined
  const body: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => {
      const begun = source[Symbol.asyncIterator]()
      iterator = begun
      return {
        next: () => begun.next().catch(failed),
        return: () => begun.return?.() ?? Promise.resolve({ done: true, value: undefined })
      }
    }
  }
  return {
    body,
    isBegun: () => iterator !== undefined,
    // the exchange has ended, so that nobody is left to hear of a finalizer that fails
    end: () => void iterator?.return?.().catch(nothing)
  }
}

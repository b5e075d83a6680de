/** One connection of a server of the drill: what is written to it, and how it is ended. */
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import type { Case } from "./cases.ts"

/** A connection as a conversation is held on it. */
export interface Line {
  readonly given: Case
  /** What is read and written, within TLS where there is any. */
  readonly stream: Duplex
  readonly write: (bytes: Uint8Array) => Promise<void>
  /** Ends it in order, with some last bytes. */
  readonly end: (bytes?: Uint8Array) => void
  readonly reset: () => void
  readonly isOver: () => boolean
  /** A request has come: true for the first of all, whose ending is the case's. */
  readonly isFirst: () => boolean
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

export const pauseMillis = (millis: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, millis)
  })

export const lineOf = (given: Case, socket: Socket, stream: Duplex, isFirst: () => boolean): Line => {
  let ended = false
  const isOver = (): boolean => ended || stream.destroyed || socket.destroyed
  const writeOnce = (bytes: Uint8Array): Promise<void> =>
    new Promise((resolve) => {
      if (isOver() || bytes.length === 0) resolve()
      else stream.write(bytes, () => resolve())
    })
  // one after the other, so that what is written byte by byte stays in one piece
  let written = Promise.resolve()
  const writeBytes = async (bytes: Uint8Array): Promise<void> => {
    for (let index = 0; index < bytes.length; index++) {
      await writeOnce(bytes.subarray(index, index + 1))
      await turn()
    }
  }
  return {
    given,
    stream,
    isOver,
    isFirst,
    write: (bytes) => (given.bytewise ? (written = written.then(() => writeBytes(bytes))) : writeOnce(bytes)),
    end: (bytes) => {
      if (isOver()) return
      ended = true
      stream.end(bytes)
    },
    reset: () => {
      ended = true
      socket.resetAndDestroy()
    }
  }
}

/**
 * Takes interim responses out of a socket's data. A server may send `100 Continue` unasked (RFC 9110 §15.2: a client must be
 * able to parse it); undici, which never asks for it, takes it for the end of a conversation.
 */

import type { Socket } from "node:net"

const shape = "HTTP/1.x 1"
const headEnd = Buffer.from("\r\n\r\n")

/** A longer one is not taken out. */
const longestHead = 16_384

/** How many in a row are taken out. */
const mostHeads = 32

/**
 * The length of the interim response with which the bytes begin: 0 where they begin with none, undefined where more of them would
 * tell. `101` is none of these: it ends HTTP on this connection.
 */
export const interimLength = (bytes: Buffer): number | undefined => {
  const text = bytes.toString("latin1", 0, shape.length + 2)
  if (!isShaped(text)) return 0
  if (text.length < shape.length + 2) return undefined
  if (text.endsWith("01")) return 0
  const end = bytes.indexOf(headEnd)
  if (end >= 0) return end + headEnd.length
  return bytes.length > longestHead ? 0 : undefined
}

const isShaped = (text: string): boolean => {
  for (let index = 0; index < text.length; index++) {
    const wanted = shape[index] ?? "9"
    const character = text[index] ?? ""
    const isThere = wanted === "x" || wanted === "9" ? character >= "0" && character <= "9" : character === wanted
    if (!isThere) return false
  }
  return true
}

/** A socket's data, without interim responses. */
export interface Filter {
  /** A request is about to be sent: the head of a response comes next. */
  readonly expectHead: () => void
  /** Whether anything of that head has come. */
  readonly hasBegun: () => boolean
}

/** Puts the filter into a socket that is read by `read()` alone. */
export const withoutInterimResponses = (socket: Socket): Filter => {
  const read = socket.read.bind(socket)
  let isExpecting = false
  let heads = 0
  let held: Buffer | undefined
  const filtered = (): Buffer | null => {
    for (;;) {
      const chunk: Buffer | null = read()
      if (chunk === null) return null
      let bytes = held === undefined ? chunk : Buffer.concat([held, chunk])
      held = undefined
      let length = interimLength(bytes)
      while (length !== undefined && length > 0 && heads < mostHeads) {
        heads++
        bytes = bytes.subarray(length)
        length = bytes.length === 0 ? undefined : interimLength(bytes)
      }
      if (length !== undefined) {
        isExpecting = false
        return bytes
      }
      if (bytes.length > 0) held = bytes
    }
  }
  // With a size it is Node's own stream that asks, to see whether there is more: the bytes that it is given then, nobody gets.
  socket.read = (size?: number) => (size === undefined && isExpecting ? filtered() : read(size))
  return {
    expectHead: () => {
      isExpecting = true
      heads = 0
      held = undefined
    },
    hasBegun: () => !isExpecting || held !== undefined
  }
}

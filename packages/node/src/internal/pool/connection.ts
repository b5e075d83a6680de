/** One connection of a pool: a socket, and the HTTP that is spoken on it. */

import type { Socket } from "node:net"
import { claim } from "../connect/dial.ts"
import { Http1Wire } from "../exchange/http1Wire.ts"
import { Http2Wire } from "../exchange/http2Wire.ts"
import { nowMillis } from "../exchange/monotonic.ts"
import type { Member } from "./poolState.ts"
import {
  isOfStream,
  NotBegunError,
  type Wire,
  type WireListener,
  type WireOwner,
  type WireRequest
} from "../exchange/wire.ts"

/** The protocol on a connection. */
export type Protocol = "http/1.1" | "http/2"

/** A socket on which HTTP can begin, and how long making it took. */
export interface Connected {
  readonly socket: Socket
  readonly protocol: Protocol
  /** Address and port of the peer. */
  readonly peer: string
  readonly dnsMillis: number | undefined
  readonly connectMillis: number
  readonly tlsMillis: number | undefined
}

export interface ConnectionOptions {
  readonly ageFactor: number
  /** Requests at once on a connection that carries many. */
  readonly streams: number
  /** The most bytes of a response's head. */
  readonly headerBytes: number
  /** It can carry more, or less, than before. */
  readonly onCapacity: (self: Connection) => void
  /** Its peer takes nothing more on it. */
  readonly onLeaving: (self: Connection) => void
  readonly onClosed: (self: Connection) => void
}

/**
 * A connection is used until it breaks, is spent or retires, and never connects again: the pool makes another one. So its phases,
 * age and error belong to exactly one socket.
 */
export class Connection implements Member, WireOwner {
  readonly connected: Connected
  readonly isMultiplexed: boolean
  readonly openedAtMillis: number
  readonly ageFactor: number
  /** One, until the peer has said how many it takes: a stream that it did not want is refused. */
  capacity = 1
  isSettled: boolean
  isAvailable = false
  inFlight = 0
  carried = 0
  idleSinceMillis: number
  unusedMillis = 0
  /** Whether anything of a response has ever come. */
  hasAnswered = false
  /** The error that broke it. */
  error: Error | undefined = undefined
  readonly #wire: Wire
  readonly #options: ConnectionOptions
  /** Exchanges in a row that were left before anything of their response had come. */
  #unanswered = 0
  #isReusable = true
  #isClosed = false

  constructor(origin: string, connected: Connected, options: ConnectionOptions) {
    const { protocol, socket } = connected
    this.connected = connected
    this.isMultiplexed = protocol === "http/2"
    this.isSettled = !this.isMultiplexed
    this.ageFactor = options.ageFactor
    this.#options = options
    this.openedAtMillis = nowMillis()
    this.idleSinceMillis = this.openedAtMillis
    // before the listeners of the protocol on it: when that tells of an end, the error is known
    claim(socket).on("error", (error) => this.onError(error))
    socket.once("close", () => {
      this.#isReusable = false
      this.#isClosed = true
      options.onClosed(this)
    })
    this.#wire = this.isMultiplexed
      ? new Http2Wire(origin, socket, this, options)
      : new Http1Wire(origin, socket, this, options)
  }

  send(request: WireRequest, listener: WireListener): void {
    this.#wire.send(request, listener)
  }

  /** A socket has ended, and is destroyed, some time before it says that it is closed. */
  get reusable(): boolean {
    const { socket } = this.connected
    return this.#isReusable && !socket.destroyed && !socket.readableEnded && socket.writable
  }

  get hasBegunHead(): boolean {
    return this.#wire.hasBegunHead
  }

  /** Bytes that have come over it. */
  get bytesRead(): number {
    return this.connected.socket.bytesRead
  }

  /** Whether bytes have come, since there were so many, that may be of an answer. */
  hasReadSince(bytes: number): boolean {
    // of many on a connection nobody knows whose the bytes are, but a head that has begun is not cut off
    return !this.isMultiplexed && this.bytesRead > bytes + closingBytes(this.connected.tlsMillis !== undefined)
  }

  /** Whether its peer reset it, or it broke in another way, while it carried the one exchange that it can carry. */
  get isCutOff(): boolean {
    return !this.isMultiplexed && this.error !== undefined && !isNoLongerNeeded(this.error)
  }

  /** It carries nothing new from now on. */
  retire(): void {
    this.#isReusable = false
  }

  /** The head of a response has come; it may say that the connection closes behind it. */
  onHead(closes: boolean): void {
    this.#unanswered = 0
    this.hasAnswered = true
    if (closes) this.retire()
  }

  /** It failed an exchange. The end of a stream is that exchange's alone; whatever else happens to a connection, happens to all on it. */
  onCut(error: Error): void {
    if (isOfStream(error)) return
    this.retire()
    if (!(error instanceof NotBegunError)) this.onError(error)
  }

  /**
   * An exchange was left before it had ended. A connection of HTTP/1.1 is of no use after that. One that carries many goes on, unless it
   * has fallen silent, which nothing else would tell for a while: nobody has got an answer for some time.
   */
  onLeft(isAnswered: boolean): void {
    if (!this.isMultiplexed) this.retire()
    else if (!isAnswered && ++this.#unanswered >= silentAfter) this.retire()
  }

  /** A limit has passed on it. */
  onLate(): void {
    this.retire()
    // nothing has ever come over it, and others may wait for their turn on it
    if (this.isMultiplexed && !this.hasAnswered) void this.close()
  }

  onLeaving(): void {
    if (!this.#isReusable) return
    this.#isReusable = false
    this.#options.onLeaving(this)
  }

  onError(error: Error): void {
    this.error ??= error
  }

  onCapacity(streams: number): void {
    this.isSettled = true
    this.capacity = streams
    this.#options.onCapacity(this)
  }

  /** Closes it, and is done when it is closed. Its exchanges fail. */
  close(): Promise<void> {
    const { socket } = this.connected
    this.#isReusable = false
    this.#wire.destroy()
    socket.destroy()
    return this.#isClosed ? Promise.resolve() : new Promise((resolve) => socket.once("close", () => resolve()))
  }
}

/** After so many exchanges without an answer a connection that carries many counts as silent. */
const silentAfter = 3

/** The closing message of TLS is no byte of an answer. */
const closingBytes = (isTls: boolean): number => (isTls ? 64 : 0)

/** undici ends a connection with this when it has no use for it any more. */
const isNoLongerNeeded = (error: NodeJS.ErrnoException): boolean => error.code === "UND_ERR_INFO"

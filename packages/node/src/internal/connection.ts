import type { Socket } from "node:net"
import { Client } from "undici"
import type * as Reason from "@holdfast/core/Reason"
import { claim } from "./dial.ts"
import { nowMillis } from "./monotonic.ts"
import type { Member } from "./poolState.ts"

/** What is spoken on a connection. */
export type Protocol = "http/1.1" | "http/2"

/** A socket on which HTTP can begin, and what making it took. */
export interface Connected {
  readonly socket: Socket
  readonly protocol: Protocol
  /** Address and port of the peer. */
  readonly peer: string
  readonly dnsMillis: number | undefined
  readonly connectMillis: number
  readonly tlsMillis: number | undefined
}

/**
 * The connection was closed before the request was begun on it: nothing was sent, and it may go to another one. It must not have
 * the code of a socket's error: undici would ask for another connection at once, and again, without end.
 */
export class NotBegunError extends Error {}

/** A connection that ended, and of which nothing more is known. */
export class ConnectionEndedError extends Error {
  readonly code = "UND_ERR_SOCKET"
  constructor() {
    super("the connection was closed before anything was sent on it")
  }
}

/**
 * One connection: a socket, and undici's HTTP on it. It is used until it breaks, is spent or retires, and never connects again:
 * the pool makes another one. So a connection's phases, age and error belong to exactly one socket.
 */
export class Connection implements Member {
  readonly client: Client
  readonly connected: Connected
  readonly capacity: number
  readonly openedAtMillis: number
  readonly ageFactor: number
  inFlight = 0
  served = 0
  idleSinceMillis: number
  /** Exchanges in a row that were left before anything of their response had come. */
  unanswered = 0
  /** Whether anything of a response has ever come. */
  answered = false
  /** Why it was closed here, for those whose turn on it had not come. */
  closedFor: (() => Reason.TransportReason) | undefined = undefined
  /** What broke it. */
  error: Error | undefined = undefined
  #adopted = false
  #reusable = true

  constructor(
    origin: string,
    connected: Connected,
    options: { readonly ageFactor: number; readonly streams: number; readonly onClosed: (self: Connection) => void }
  ) {
    const { protocol, socket } = connected
    this.connected = connected
    this.capacity = protocol === "http/2" ? options.streams : 1
    this.ageFactor = options.ageFactor
    this.openedAtMillis = nowMillis()
    this.idleSinceMillis = this.openedAtMillis
    // before undici's own listeners: when it asks for another connection, the error of this one is known
    claim(socket).on("error", (error) => {
      this.error ??= error
    })
    socket.once("close", () => {
      this.reusable = false
      options.onClosed(this)
    })
    this.client = new Client(origin, {
      connect: (_, callback) => {
        if (this.#adopted) {
          queueMicrotask(() => callback(new NotBegunError("the connection was closed", { cause: this.error }), null))
          return
        }
        this.#adopted = true
        socket.off("readable", this.#lookForEnd)
        socket.ref()
        // later, because undici begins nothing on a connection that it is given while it asks for it
        queueMicrotask(() => {
          if (this.reusable) callback(null, socket)
          else callback(new NotBegunError("the connection was closed"), null)
        })
      },
      pipelining: 1,
      ...(protocol === "http/2" ? { allowH2: true, maxConcurrentStreams: options.streams } : { allowH2: false }),
      // the pool closes what is not used, and the phases have timers of their own: undici's are up to a second late
      keepAliveTimeout: longestMillis,
      keepAliveMaxTimeout: longestMillis,
      headersTimeout: 0,
      bodyTimeout: 0
    })
    // until undici has it, nobody reads it, and a socket that nobody reads does not tell that its peer has left
    socket.unref()
    if (protocol === "http/1.1") socket.on("readable", this.#lookForEnd)
  }

  /**
   * A socket has ended, and is destroyed, some time before it says that it is closed; and it says that it has ended once, perhaps
   * before undici listens.
   */
  get reusable(): boolean {
    const { socket } = this.connected
    return this.#reusable && !socket.destroyed && !socket.readableEnded && socket.writable
  }

  set reusable(reusable: boolean) {
    this.#reusable = reusable
  }

  readonly #lookForEnd = (): void => {
    const { socket } = this.connected
    if (socket.readableLength === 0) socket.read()
  }

  /** Closes it, and is done when it is closed. What it carries fails. */
  close(): Promise<void> {
    const { socket } = this.connected
    this.reusable = false
    this.client.destroy().catch(() => undefined)
    socket.destroy()
    return socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once("close", () => resolve()))
  }
}

/** The longest wait of a platform timer; a longer one would fire at once. */
export const longestMillis = 2 ** 31 - 1

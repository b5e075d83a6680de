import type { Socket } from "node:net"
import { Client } from "undici"
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

/** The connection was closed before the request was begun on it, or taken by the peer: it may go to another one. */
export class NotBegunError extends Error {
  readonly connection: Connection
  /**
   * It must not have the code of a socket's error, for which undici leaves a request in its queue: it would ask for another
   * connection at once, and again, without end.
   */
  constructor(connection: Connection) {
    super("the connection does nothing of it")
    this.connection = connection
  }
}

/** A connection that ended, and of which nothing more is known. */
export class ConnectionEndedError extends Error {
  readonly code = "UND_ERR_SOCKET"
  constructor() {
    super("the connection was closed before anything was sent on it")
  }
}

/** What was given to a connection that has not begun it. */
export interface NotBegun {
  readonly notBegun: () => void
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
  /** What broke it. */
  error: Error | undefined = undefined
  /** Of a connection that carries many: the exchanges that undici has not begun yet. */
  readonly waiting = new Set<NotBegun>()
  #adopted = false
  #reusable = true
  /** undici has no socket any more, and begins nothing. What it still holds may have gone to another connection. */
  #isLeft = false
  /** undici wants another socket, and does not get one. */
  #refuse: ((error: NotBegunError) => void) | undefined

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
      // streams that were left have ended with it, of which nobody else tells
      setImmediate(() => this.settle())
    })
    this.client = new Client(origin, {
      connect: (_, callback) => {
        const isFirst = !this.#adopted
        this.#adopted = true
        if (isFirst) {
          socket.off("readable", this.#lookForEnd)
          socket.ref()
        }
        // later, because undici begins nothing on a connection that it is given while it asks for it
        queueMicrotask(() => {
          if (isFirst && this.reusable) callback(null, socket)
          else this.#refuseAnother((error) => callback(error, null))
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
    // a peer that takes its leave (GOAWAY) answers what it has taken, and takes no more
    this.client.on("disconnect", () => {
      this.#isLeft = true
      this.reusable = false
      queueMicrotask(() => this.#moveOn())
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

  #moveOn(): void {
    for (const exchange of [...this.waiting]) exchange.notBegun()
  }

  #refuseAnother(refuse: (error: NotBegunError) => void): void {
    this.#isLeft = true
    this.reusable = false
    this.#refuse = refuse
    this.#moveOn()
    this.settle()
  }

  /**
   * To be called when an exchange has ended. While others still run, undici does not fail what it will not begin, and would only
   * ask for a socket again.
   */
  settle(): void {
    const refuse = this.#refuse
    if (refuse === undefined || this.client.stats.running > 0) return
    this.#refuse = undefined
    refuse(new NotBegunError(this))
  }

  /** Closes it, and is done when it is closed. What it carries fails. */
  close(): Promise<void> {
    const { socket } = this.connected
    this.reusable = false
    const destroyed = this.#isLeft ? this.client.destroy(new NotBegunError(this)) : this.client.destroy()
    this.#refuse = undefined
    destroyed.catch(() => undefined)
    socket.destroy()
    return socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once("close", () => resolve()))
  }
}

/** The longest wait of a platform timer; a longer one would fire at once. */
export const longestMillis = 2 ** 31 - 1

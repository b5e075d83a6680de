/** HTTP/1.1 on one socket: undici's client, which is given this socket and never gets another. */

import type { Socket } from "node:net"
import { Client, type Dispatcher } from "undici"
import { type Filter, withoutInterimResponses } from "./interimResponses.ts"
import { NotBegunError, type Wire, type WireListener, type WireOwner, type WireRequest } from "./wire.ts"

export interface Http1Options {
  /** The most bytes of a response's head. */
  readonly headerBytes: number
}

export class Http1Wire implements Wire {
  readonly #client: Client
  readonly #socket: Socket
  readonly #owner: WireOwner
  readonly #filter: Filter
  #isAdopted = false

  constructor(origin: string, socket: Socket, owner: WireOwner, options: Http1Options) {
    this.#socket = socket
    this.#owner = owner
    this.#client = new Client(origin, {
      connect: (_, callback) => {
        const isFirst = !this.#isAdopted
        this.#isAdopted = true
        if (isFirst) {
          socket.off("readable", this.#lookForEnd)
          socket.ref()
        } else owner.onLeaving()
        // later, because undici begins nothing on a connection that it is given while it asks for it
        queueMicrotask(() => {
          if (isFirst && !socket.destroyed && !socket.readableEnded) callback(null, socket)
          else callback(new NotBegunError(), null)
        })
      },
      allowH2: false,
      pipelining: 1,
      maxHeaderSize: options.headerBytes,
      // the pool closes unused connections, and the phases have timers of their own: undici's are up to a second late
      keepAliveTimeout: longestMillis,
      keepAliveMaxTimeout: longestMillis,
      // where a server says how long it keeps a connection, this one goes so much earlier
      keepAliveTimeoutThreshold: keepAliveMarginMillis,
      headersTimeout: 0,
      bodyTimeout: 0
    })
    this.#client.on("disconnect", () => owner.onLeaving())
    this.#filter = withoutInterimResponses(socket)
    // until undici has it, nobody reads it, and a socket that nobody reads does not tell that its peer has left
    socket.unref()
    socket.on("readable", this.#lookForEnd)
  }

  send({ body, headers, method, origin, path }: WireRequest, listener: WireListener): void {
    this.#filter.expectHead()
    const dispatcher: Dispatching = this.#client
    // one connection has one peer: whatever the host header says, undici need not connect anew
    dispatcher.dispatch({ origin, path, method, headers, body: body ?? null, servername: "peer" }, listener)
  }

  get hasBegunHead(): boolean {
    return this.#filter.hasBegun()
  }

  destroy(): void {
    this.#client.destroy(new NotBegunError()).catch(() => undefined)
  }

  /** Of a connection that has carried nothing. Bytes that nobody asked for are no answer to the request that comes next. */
  readonly #lookForEnd = (): void => {
    const socket = this.#socket
    if (socket.readableLength === 0) socket.read()
    if (socket.readableLength === 0) return
    this.#owner.onLeaving()
    socket.destroy()
  }
}

/** The longest wait of a platform timer; a longer one would fire at once. */
export const longestMillis = 2 ** 31 - 1

const keepAliveMarginMillis = 500

/** undici's dispatcher by the bodies that it takes, which may be any async iterable: its own type names only some of them. */
interface Dispatching {
  dispatch(
    options: Omit<Dispatcher.DispatchOptions, "body"> & {
      body?: Exclude<Dispatcher.DispatchOptions["body"], undefined> | AsyncIterable<Uint8Array>
      servername?: string
    },
    handler: WireListener
  ): boolean
}

import * as net from "node:net"
import { Effect, type Scope } from "effect"
import type { WireControl, WireListener, WireOwner, WireRequest } from "../../src/internal/exchange/wire.ts"

/** What was told of a request, in order; data is told as text, and all that comes in a row as one. */
export type Told =
  | readonly ["start"]
  | readonly ["sent"]
  | readonly ["head", number, Record<string, string | ReadonlyArray<string> | undefined>]
  | readonly ["data", string]
  | readonly ["end", Record<string, string | ReadonlyArray<string> | undefined>]
  | readonly ["error", Error]

/** A listener that remembers what it is told. */
export interface Hearing extends WireListener {
  readonly told: ReadonlyArray<Told>
  /** How often the peer has taken a piece of the body. */
  readonly pieces: () => number
  readonly control: () => WireControl
  /** Waits until something of this kind was told, and gives it. */
  readonly until: <K extends Told[0]>(kind: K) => Promise<Extract<Told, readonly [K, ...ReadonlyArray<unknown>]>>
}

export const hearing = (options: { readonly refuses?: boolean; readonly pausesAtHead?: boolean } = {}): Hearing => {
  const told: Array<Told> = []
  const waiting = new Set<() => void>()
  let pieces = 0
  let control: WireControl | undefined
  const tell = (one: Told): void => {
    told.push(one)
    for (const look of waiting) look()
  }
  return {
    told,
    pieces: () => pieces,
    control: () => {
      if (control === undefined) throw new Error("nothing was started")
      return control
    },
    until: (kind) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = told.find(([one]) => one === kind)
          if (found === undefined) return
          waiting.delete(look)
          // its first part is what was asked for
          resolve(found as never)
        }
        waiting.add(look)
        look()
      }),
    onRequestStart: (given) => {
      if (options.refuses === true) throw new Error("it is to be left")
      control = given
      tell(["start"])
    },
    onBodySent: () => void pieces++,
    onRequestSent: () => tell(["sent"]),
    onResponseStart: (given, status, fields) => {
      if (options.pausesAtHead === true && status >= 200) given.pause()
      tell(["head", status, { ...fields }])
    },
    onResponseData: (_, chunk) => {
      const last = told.at(-1)
      if (last?.[0] === "data") told.splice(-1, 1, ["data", last[1] + chunk.toString("latin1")])
      else tell(["data", chunk.toString("latin1")])
    },
    onResponseEnd: (_, trailers) => tell(["end", { ...trailers }]),
    onResponseError: (_, error) => tell(["error", error])
  }
}

/** An owner of a wire, and what it was told, in order. */
export const owning = () => {
  const told: Array<string> = []
  const waiting = new Set<() => void>()
  const tell = (one: string): void => {
    told.push(one)
    for (const look of waiting) look()
  }
  const owner: WireOwner = {
    onLeaving: () => tell("leaving"),
    onCapacity: (streams) => tell(`capacity ${streams}`),
    onError: (error) => tell(`error ${"code" in error ? String(error.code) : error.message}`)
  }
  return {
    owner,
    told,
    until: (one: string): Promise<void> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!told.includes(one)) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      })
  }
}

export const requestTo = (origin: string, given: Partial<WireRequest> = {}): WireRequest => ({
  origin,
  path: "/",
  method: "GET",
  headers: [],
  body: undefined,
  ...given
})

/** A socket to a server that listens on loopback, connected; both are gone with the scope. */
export const connectedTo = (
  server: net.Server
): Effect.Effect<{ readonly socket: net.Socket; readonly origin: string }, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly socket: net.Socket; readonly origin: string; readonly open: Set<net.Socket> }>(
      (resume) => {
        const open = new Set<net.Socket>()
        server.on("connection", (peer: net.Socket) => {
          open.add(peer)
          // whatever a test of its client does to it
          peer.on("error", () => {})
          peer.unref()
        })
        server.unref()
        server.listen(0, "127.0.0.1", () => {
          // a server that listens on TCP has such an address
          const { port } = server.address() as net.AddressInfo
          const socket = net.connect({ host: "127.0.0.1", port, noDelay: true })
          socket.on("error", () => {})
          socket.once("connect", () => resume(Effect.succeed({ socket, origin: `http://127.0.0.1:${port}`, open })))
        })
      }
    ),
    ({ open, socket }) =>
      Effect.sync(() => {
        socket.destroy()
        for (const peer of open) peer.destroy()
        server.close()
      })
  )

/** How many sockets keep this process alive. */
export const holdingSockets = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length

/**
 * The sockets, servers and timers that are made while it watches. Node tells of each when it is made and when it is gone
 * (`node:async_hooks`), and in whose asynchronous context it was made, which Effect's fibers carry along: so the
 * resources of a test running beside this one are told apart.
 */

import { AsyncLocalStorage, createHook } from "node:async_hooks"
import * as diagnostics from "node:diagnostics_channel"
import * as net from "node:net"
import { fileURLToPath } from "node:url"
import * as Duration from "effect/Duration"
import * as Fiber from "effect/Fiber"
import type { Frame } from "./effectFrames.ts"
import { framesOf } from "./effectFrames.ts"
import type { Kind } from "./leak.ts"
import type { Left } from "./leakReport.ts"
import { placesOf } from "./leakReport.ts"

/** Node's names for the watched resources. TLS is a layer on a socket; it is kept to say so, and is nothing of its own. */
const kinds: ReadonlyMap<string, Kind | "tls"> = new Map([
  ["TCPWRAP", "socket"],
  ["PIPEWRAP", "socket"],
  ["UDPWRAP", "socket"],
  ["GETADDRINFOREQWRAP", "socket"],
  ["TLSWRAP", "tls"],
  ["TCPSERVERWRAP", "server"],
  ["PIPESERVERWRAP", "server"],
  ["Timeout", "timer"]
] as const)

/** Node tells of a call of `listen`; the server itself it makes later, when the address is looked up. */
const listenCalled = "tracing:net.server.listen:asyncStart"

/** Where something was made. */
interface Origin {
  readonly stack: { readonly stack?: string } | undefined
  readonly frame: Frame | undefined
}

interface Made extends Origin {
  readonly kind: Kind | "tls"
  readonly type: string
  /** The maker, for Node: of an accepted socket, that is the server. */
  readonly triggerId: number
  /** Weak, or a resource that is only gone once it is collected would never be. */
  readonly resource: WeakRef<object>
}

export interface ResourceWatch {
  /** Runs the watched code. */
  readonly run: <A>(body: () => A) => A
  /** The resources that were made and are not gone. */
  readonly left: () => ReadonlyArray<Left>
  readonly stop: () => void
}

const nowhere: Origin = { stack: undefined, frame: undefined }

const thisFile = fileURLToPath(import.meta.url)

/** Node's frames, Effect's run loop and a client's pool are deep: the ten frames of the default end before the program. */
const framesKept = 60

const stackHere = (above: (...given: never) => unknown): { readonly stack?: string } => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = framesKept
  // Written out when it is read, which is when it is reported.
  const holder: { readonly stack?: string } = {}
  Error.captureStackTrace(holder, above)
  Error.stackTraceLimit = limit
  return holder
}

/** Node makes them for the first writer, and keeps them: they are of the process, so they are there before. */
export const openStandardStreams = (): void => {
  // reading one makes it
  void [process.stdout, process.stderr]
}

export const watchResources = (options: { readonly ofEveryone: boolean; readonly stacks: boolean }): ResourceWatch => {
  openStandardStreams()
  const storage = new AsyncLocalStorage<true>()
  const alive = new Map<number, Made>()
  const listened = new WeakMap<object, Origin>()

  const originHere = (above: (...given: never) => unknown): Origin => ({
    stack: options.stacks ? stackHere(above) : undefined,
    frame: options.stacks ? Fiber.getCurrent()?.cache.stackFrame : undefined
  })
  // A throw in here ends the process, so it does no more than it must.
  const init = (id: number, type: string, triggerId: number, resource: object): void => {
    const kind = kinds.get(type)
    if (kind === undefined) return
    // Node makes an accepted connection in no context, but says which server it is of.
    if (!options.ofEveryone && storage.getStore() === undefined && !alive.has(triggerId)) return
    alive.set(id, {
      kind,
      type,
      triggerId,
      resource: new WeakRef(resource),
      ...(kind === "tls" ? nowhere : originHere(init))
    })
  }
  const onListen = (message: unknown): void => {
    const server: unknown = typeof message === "object" && message !== null ? Reflect.get(message, "server") : undefined
    if (typeof server === "object" && server !== null) listened.set(server, originHere(onListen))
  }
  diagnostics.subscribe(listenCalled, onListen)
  const hook = createHook({ init, destroy: (id) => void alive.delete(id), trackPromises: false }).enable()

  return {
    run: (body) => storage.run(true, body),
    left: () => {
      const secured = new Set<unknown>()
      for (const { kind, resource } of alive.values()) {
        const layer = kind === "tls" ? resource.deref() : undefined
        if (layer !== undefined) secured.add(Reflect.get(layer, "_parent"))
      }
      return [...alive.values()].flatMap((made): Left | [] => {
        const resource = made.resource.deref()
        if (resource === undefined || made.kind === "tls" || (made.kind === "timer" && !keepsAlive(resource))) return []
        const isAccepted = alive.get(made.triggerId)?.kind === "server"
        const owner = made.kind === "timer" ? undefined : ownerOf(resource)
        const { frame, stack } = (owner instanceof net.Server ? listened.get(owner) : undefined) ?? made
        return {
          kind: made.kind,
          what: words(made.type, resource, owner, { isAccepted, isSecured: secured.has(resource) }),
          where: [...placesOf(stack?.stack, thisFile), ...framesOf(frame)]
        }
      })
    },
    stop: () => {
      hook.disable()
      diagnostics.unsubscribe(listenCalled, onListen)
      storage.disable()
      alive.clear()
    }
  }
}

/** Whether a timer keeps the process from ending: one that was `unref`ed does not. */
const keepsAlive = (timer: object): boolean =>
  !("hasRef" in timer && isFunction(timer.hasRef)) || timer.hasRef() !== false

const isFunction = (value: unknown): value is (this: unknown) => unknown => typeof value === "function"

/**
 * A resource, in words. That it is left is known without this; its address and its length are only in fields that Node
 * does not document: the socket of a handle, and the fields of a timer. Where they are missing, less is said.
 */
const words = (
  type: string,
  resource: object,
  owner: unknown,
  { isAccepted, isSecured }: { readonly isAccepted: boolean; readonly isSecured: boolean }
): string => {
  switch (type) {
    case "Timeout":
      return timerWords(resource)
    case "TCPSERVERWRAP":
    case "PIPESERVERWRAP":
      return `server${onAddress(owner)}`
    case "GETADDRINFOREQWRAP":
      return "name resolution"
    case "UDPWRAP":
      return "UDP socket"
    case "PIPEWRAP":
      return "pipe"
    default:
      return `${isSecured ? "TLS" : "TCP"} socket${toAddress(owner, isAccepted)}`
  }
}

const timerWords = (timer: object): string => {
  const millis: unknown = Reflect.get(timer, "_idleTimeout")
  const repeats: unknown = Reflect.get(timer, "_repeat")
  const name = typeof repeats === "number" ? "interval" : "timer"
  return typeof millis === "number" && millis > 0 ? `${name} of ${Duration.format(Duration.millis(millis))}` : name
}

/** The socket or server that owns the handle. */
const ownerOf = (handle: object): unknown => {
  const symbol = Object.getOwnPropertySymbols(handle).find(({ description }) => description === "owner_symbol")
  return symbol === undefined ? undefined : Reflect.get(handle, symbol)
}

const onAddress = (server: unknown): string => {
  const address = server instanceof net.Server ? server.address() : null
  if (address === null) return ""
  return typeof address === "string" ? ` on ${address}` : ` on ${hostPort(address.address, address.port)}`
}

const toAddress = (socket: unknown, isAccepted: boolean): string => {
  if (!(socket instanceof net.Socket)) return ""
  const { localAddress, localPort, remoteAddress, remotePort } = socket
  // The port of a client is another each time: accepted sockets are told apart by the server's address.
  if (isAccepted) return ` accepted on ${hostPort(localAddress, localPort)}`
  return remotePort === undefined ? " without a connection" : ` to ${hostPort(remoteAddress, remotePort)}`
}

const hostPort = (host: string | undefined, port: number | undefined): string =>
  host === undefined || port === undefined ? "an unknown address" : `${host.includes(":") ? `[${host}]` : host}:${port}`

/**
 * A proxy for a test: it makes tunnels and passes requests in absolute form on, until it is told to fail at one step.
 */
import { createServer as createHttpServer, request as httpRequest } from "node:http"
import type { IncomingHttpHeaders } from "node:http"
import { connect, createServer } from "node:net"
import type { Server, Socket } from "node:net"
import { createServer as createTlsServer } from "node:tls"
import type { Duplex } from "node:stream"
import { Effect } from "effect"
import type { Scope } from "effect"
import type { KeyAndChain } from "../support/certificates.ts"

/** When a connection was taken, when its request was read, in the middle of the answer's head, and at the tunnel's first bytes. */
export const steps = ["accepted", "asked", "answering", "tunnelled"] as const
export type Step = (typeof steps)[number]

export const deeds = ["silence", "close", "reset", "garbage"] as const
export type Deed = (typeof deeds)[number]

export interface ProxyOptions {
  /** Speaks TLS with its clients. */
  readonly tls?: KeyAndChain
  /** Answers 407 to who does not send these. */
  readonly credentials?: { readonly username: string; readonly password: string }
  /** What a CONNECT is answered instead of a tunnel, as it goes over the wire; `undefined` for a tunnel after all. */
  readonly answer?: (headers: IncomingHttpHeaders) => string | undefined
  readonly fault?: { readonly at: Step; readonly deed: Deed }
  /** Ports of this machine that stand for hosts which are none: `{ "payments.test:443": 41234 }`. */
  readonly hosts?: { readonly [host: string]: number }
}

/** A request as the proxy read it. */
export interface Asked {
  readonly method: string
  readonly target: string
  readonly headers: IncomingHttpHeaders
}

export interface TestProxy {
  readonly port: number
  readonly asked: ReadonlyArray<Asked>
  /** Connections of clients that are not closed. */
  readonly open: () => number
  /** Waits, within a bound, until no client's connection is open. */
  readonly idle: Effect.Effect<void>
}

const garbage = "\r\n\0\u0001 this is not HTTP \0\r\n\r\n"

const listening = (server: Server): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      if (address === null || typeof address === "string") reject(new Error("a port was expected"))
      else resolve(address.port)
    })
  })

const start = async (options: ProxyOptions) => {
  const sockets = new Set<Socket>()
  const asked: Array<Asked> = []
  // a reset goes over the wire only from the TCP socket below
  const wire = new Map<number | undefined, Socket>()
  const held = (socket: Socket): Socket => {
    sockets.add(socket)
    // whatever a client does to its connection is no failure of this server
    socket.on("error", () => undefined)
    socket.once("close", () => sockets.delete(socket))
    return socket
  }
  const perform = (deed: Deed, socket: Socket | Duplex): void => {
    // what the client does is to be noticed: its end is behind what it has written
    socket.resume()
    switch (deed) {
      case "silence":
        return
      case "close":
        socket.end()
        return
      case "reset":
        if ("remotePort" in socket) wire.get(socket.remotePort)?.resetAndDestroy()
        return
      case "garbage":
        socket.write(garbage)
    }
  }
  const { credentials, fault, hosts = {} } = options
  const expected =
    credentials === undefined
      ? undefined
      : `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`
  const isKnown = (headers: IncomingHttpHeaders): boolean =>
    expected === undefined || headers["proxy-authorization"] === expected
  const reach = (host: string, port: number): { readonly host: string; readonly port: number } => {
    const mapped = hosts[`${host}:${port}`]
    return mapped === undefined ? { host, port } : { host: "127.0.0.1", port: mapped }
  }

  const http = createHttpServer((request, response) => {
    const { headers, method = "", url = "" } = request
    asked.push({ method, target: url, headers })
    if (!isKnown(headers)) {
      response.writeHead(407, { "proxy-authenticate": "Basic" }).end("who are you?")
      return
    }
    const { hostname, pathname, port, search } = new URL(url)
    const { "proxy-authorization": _, ...passed } = headers
    const upstream = httpRequest(
      { ...reach(hostname, Number(port) || 80), method, path: pathname + search, headers: passed, agent: false },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      }
    )
    upstream.once("error", () => response.writeHead(502).end())
    request.pipe(upstream)
  })
  http.on("connect", (request, client, first: Buffer) => {
    const { headers, method = "", url = "" } = request
    asked.push({ method, target: url, headers })
    if (!isKnown(headers)) {
      client.end(
        "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 12\r\n\r\nwho are you?"
      )
      return
    }
    const answer = options.answer?.(headers)
    if (answer !== undefined) {
      client.write(answer, "latin1")
      return
    }
    if (fault?.at === "asked") {
      perform(fault.deed, client)
      return
    }
    if (fault?.at === "answering") {
      client.write("HTTP/1.1 200 Connection estab", () => perform(fault.deed, client))
      return
    }
    const { hostname, port } = new URL(`tunnel://${url}`)
    const upstream = held(connect(reach(hostname, Number(port))))
    upstream.once("connect", () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n")
      if (fault?.at === "tunnelled") {
        // a reset takes back what is still on its way; who writes into the tunnel has read that there is one
        client.once("data", () => perform(fault.deed, client))
        return
      }
      upstream.write(first)
      upstream.pipe(client).pipe(upstream)
    })
    upstream.once("error", () => client.end("HTTP/1.1 502 Bad Gateway\r\n\r\n"))
    client.once("close", () => upstream.destroy())
  })

  const clients = new Set<Socket>()
  const taken = (socket: Socket): void => {
    if (fault?.at === "accepted") perform(fault.deed, held(socket))
    else http.emit("connection", held(socket))
  }
  const front = options.tls === undefined ? createServer() : createTlsServer(options.tls)
  front.on("connection", (socket: Socket) => {
    const port = socket.remotePort
    wire.set(port, held(socket))
    clients.add(socket)
    socket.once("close", () => {
      clients.delete(socket)
      wire.delete(port)
    })
  })
  front.on(options.tls === undefined ? "connection" : "secureConnection", taken)
  const port = await listening(front)
  return {
    port,
    asked,
    open: () => clients.size,
    idle: Effect.promise(async () => {
      const late = Date.now() + 20_000
      while (clients.size > 0) {
        if (Date.now() > late) throw new Error(`${clients.size} connections to the proxy are still open`)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }),
    close: () =>
      new Promise<void>((resolve) => {
        front.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      })
  }
}

/** On a free port of the loopback, until the scope ends. */
export const testProxy = (options: ProxyOptions = {}): Effect.Effect<TestProxy, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => start(options)),
    (proxy) => Effect.promise(proxy.close)
  )

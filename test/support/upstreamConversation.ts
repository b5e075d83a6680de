/**
 * What the test upstream does on one connection: the bytes of a raw script, or the steps of an HTTP one.
 */
import * as http from "node:http"
import * as http2 from "node:http2"
import type * as net from "node:net"
import type { Action, Answer, Capacity, Echoed, Emission, End, Http, Step } from "./behaviour.ts"
import type { Connection, Listener, RecordedRequest } from "./upstreamRecord.ts"
import { changed, nowMillis, recordRequest } from "./upstreamRecord.ts"
import { relay } from "./upstreamRelay.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Doing things on a connection
// ---------------------------------------------------------------------------------------------------------------------

const whenClosed = (stream: net.Socket, done: () => void): (() => void) => {
  stream.once("close", done)
  return () => stream.off("close", done)
}

const sleepWhileOpen = (stream: net.Socket, millis: number): Promise<void> =>
  new Promise((resolve) => {
    if (millis <= 0 || stream.destroyed) return resolve()
    const wake = (): void => {
      clearTimeout(timer)
      forget()
      resolve()
    }
    const timer = setTimeout(wake, millis)
    const forget = whenClosed(stream, wake)
  })

/** Ends when the bytes are taken; a writer that never waits would hold a whole oversized body in memory. */
const writeWhileOpen = (writer: NodeJS.WritableStream, stream: net.Socket, chunk: Buffer): Promise<void> =>
  new Promise((resolve) => {
    if (stream.destroyed || writer.write(chunk)) return resolve()
    const wake = (): void => {
      writer.off("drain", wake)
      forget()
      resolve()
    }
    writer.once("drain", wake)
    const forget = whenClosed(stream, wake)
  })

const writeFiller = async (
  writer: NodeJS.WritableStream,
  stream: net.Socket,
  bytes: number,
  options: { readonly chunkBytes: number; readonly chunkDelayMillis: number }
): Promise<void> => {
  const chunk = Buffer.alloc(Math.min(bytes, options.chunkBytes), "x")
  for (let left = bytes; left > 0 && !stream.destroyed; left -= chunk.length) {
    await sleepWhileOpen(stream, options.chunkDelayMillis)
    await writeWhileOpen(writer, stream, left < chunk.length ? chunk.subarray(0, left) : chunk)
  }
}

export const endConnection = (connection: Connection, how: End): void => {
  if (how === "silence") return
  connection.left ??= "server"
  if (how === "close") {
    connection.stream.end()
    return
  }
  connection.reset = true
  connection.socket.resetAndDestroy()
  connection.stream.destroy()
}

const emit = async (connection: Connection, emission: Emission): Promise<void> => {
  const { stream } = connection
  switch (emission._tag) {
    case "Write":
      return writeWhileOpen(stream, stream, Buffer.from(emission.text, "latin1"))
    case "WriteBase64":
      return writeWhileOpen(stream, stream, Buffer.from(emission.base64, "base64"))
    case "WriteFiller":
      return writeFiller(stream, stream, emission.bytes, { chunkBytes: 65_536, chunkDelayMillis: 0 })
    case "Sleep":
      return sleepWhileOpen(stream, emission.millis)
    case "StopReading":
      stream.pause()
      return
    case "End":
      return endConnection(connection, emission.end)
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Raw connections
// ---------------------------------------------------------------------------------------------------------------------

/** Reads all that comes, always: a socket that is not read never tells that its client left. */
const makeInbox = (stream: net.Socket) => {
  let received: Buffer = Buffer.alloc(0)
  let ended = false
  let wake = (): void => {}
  stream.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    wake()
  })
  const end = (): void => {
    ended = true
    wake()
  }
  stream.once("end", end)
  stream.once("close", end)

  /** Bytes up to where `find` says, or nothing when the client left before. */
  const waitFor = async (find: (bytes: Buffer) => number): Promise<Buffer | undefined> => {
    for (;;) {
      const length = find(received)
      if (length >= 0) return received.subarray(0, length)
      if (ended) return undefined
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }

  const take = (bytes: number): void => {
    received = received.subarray(bytes)
  }

  return { waitFor, take, available: () => received.length }
}

const after =
  (mark: string) =>
  (bytes: Buffer): number => {
    const at = bytes.indexOf(mark)
    return at < 0 ? -1 : at + mark.length
  }

const atLeast =
  (count: number) =>
  (bytes: Buffer): number =>
    bytes.length < count ? -1 : count

const parseHead = (text: string): Pick<RecordedRequest, "method" | "url" | "headers"> => {
  const [line = "", ...rest] = text.split("\r\n")
  const [method = "", url = ""] = line.split(" ")
  const headers: Record<string, string> = {}
  for (const header of rest) {
    const colon = header.indexOf(":")
    if (colon <= 0) continue
    const name = header.slice(0, colon).toLowerCase()
    const value = header.slice(colon + 1).trim()
    const before = headers[name]
    headers[name] = before === undefined ? value : `${before}, ${value}`
  }
  return { method, url, headers }
}

const runRaw = async (listener: Listener, connection: Connection, actions: ReadonlyArray<Action>): Promise<void> => {
  const [first] = actions
  if (first?._tag === "ServeHttp") return serveHttp(listener, connection, first.http)

  const inbox = makeInbox(connection.stream)
  let request: RecordedRequest | undefined
  for (const action of actions) {
    if (connection.stream.destroyed) return
    switch (action._tag) {
      case "WaitForBytes": {
        if ((await inbox.waitFor(atLeast(action.bytes))) === undefined) return
        break
      }
      case "WaitForRequestLine": {
        const line = await inbox.waitFor(after("\r\n"))
        if (line === undefined) return
        request = recordRequest(listener, connection, parseHead(line.toString("latin1")))
        inbox.take(line.length)
        break
      }
      case "WaitForRequestHead": {
        const head = await inbox.waitFor(after("\r\n\r\n"))
        if (head === undefined) return
        request = recordRequest(listener, connection, parseHead(head.toString("latin1")))
        inbox.take(head.length)
        if (request.headers["content-length"] === undefined && request.headers["transfer-encoding"] === undefined) {
          request.body.end()
        }
        break
      }
      case "WaitForRequestBody": {
        const body = await inbox.waitFor(atLeast(action.bytes))
        if (body === undefined) return
        request?.body.add(body)
        inbox.take(body.length)
        if (request?.body.fact().bytes === Number(request?.headers["content-length"])) request?.body.end()
        break
      }
      case "ServeHttp":
        throw new Error("ServeHttp must be the first action of its connection")
      default:
        await emit(connection, action)
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// HTTP connections
// ---------------------------------------------------------------------------------------------------------------------

type Response = http.ServerResponse | http2.Http2ServerResponse

const connectionOf = new WeakMap<net.Socket, Connection>()

const serveHttp = (listener: Listener, connection: Connection, script: Http): void => {
  if (connection.protocol === "http/2") {
    // One server a connection: those of HTTP/2 hide which socket a request came by.
    http2
      .createServer((request, response) => receive(listener, connection, script, request, response))
      .emit("connection", connection.stream)
    return
  }
  connectionOf.set(connection.stream, connection)
  const { httpServers } = listener.script
  const server = httpServers.get(script) ?? makeHttpServer(listener, script)
  httpServers.set(script, server)
  // Documented: a connection may be given to an HTTP server by emitting this event. So one listener serves both raw
  // bytes and HTTP, and TLS and plain TCP alike.
  server.emit("connection", connection.stream)
}

/** How many requests each list of steps has served. */
const served = new WeakMap<ReadonlyArray<Step>, number>()

const nextStep = (script: Http, request: Pick<http.IncomingMessage, "method" | "url">): Step => {
  const path = (request.url ?? "").split("?")[0]
  const route = script.routes?.find(
    (candidate) => candidate.path === path && (candidate.method ?? request.method) === request.method
  )
  const steps = route?.steps ?? script.steps
  const ordinal = served.get(steps) ?? 0
  served.set(steps, ordinal + 1)
  return steps[Math.min(ordinal, steps.length - 1)] ?? { _tag: "Answer", status: 404 }
}

/** Gives each request a worker in the order of arrival, and says when its work is done. */
const makeWorkers = ({ workers, workMillis }: Capacity): ((done: () => void) => void) => {
  const queue: Array<() => void> = []
  let idle = workers
  const work = (done: () => void): void => {
    setTimeout(() => {
      done()
      const next = queue.shift()
      if (next === undefined) idle += 1
      else work(next)
    }, workMillis)
  }
  return (done) => {
    if (idle === 0) return void queue.push(done)
    idle -= 1
    work(done)
  }
}

const workersOf = new WeakMap<Capacity, ReturnType<typeof makeWorkers>>()

/** When the server has the capacity for it: at once, unless its script says that it has little. */
const whenWorkedOn = (capacity: Capacity | undefined, done: () => void): void => {
  if (capacity === undefined) return done()
  const workers = workersOf.get(capacity) ?? makeWorkers(capacity)
  workersOf.set(capacity, workers)
  workers(done)
}

const headersOf = (request: http.IncomingMessage | http2.Http2ServerRequest): Readonly<Record<string, string>> => {
  const values = request instanceof http.IncomingMessage ? request.headersDistinct : request.headers
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : (value ?? "")])
  )
}

const receive = (
  listener: Listener,
  connection: Connection,
  script: Http,
  request: http.IncomingMessage | http2.Http2ServerRequest,
  response: Response
): void => {
  // Chosen when the head is there, so that two requests get their steps in the order in which they arrived.
  // A connection outlives the script it was accepted under: its next request belongs to the present one.
  const { behaviour } = listener.script
  const present = behaviour._tag === "Http" ? behaviour : script
  const step = nextStep(present, request)
  const recorded = recordRequest(listener, connection, {
    method: request.method ?? "",
    url: request.url ?? "",
    headers: headersOf(request)
  })
  response.once("finish", () => {
    recorded.answeredAtMillis = nowMillis()
    listener.counts.responses += 1
    changed(listener)
  })
  response.on("error", () => {})
  request.on("data", (chunk: Buffer) => recorded.body.add(chunk))
  request.on("error", () => {})
  request.once("end", () => {
    recorded.body.end()
    whenWorkedOn(present.capacity, () => void takeStep(connection, recorded, response, step))
  })
}

const makeHttpServer = (listener: Listener, script: Http): http.Server => {
  const server = http.createServer((request, response) => {
    const connection = connectionOf.get(request.socket)
    if (connection !== undefined) receive(listener, connection, script, request, response)
  })
  // The limits under test are the client's: none of the server's own may come first.
  server.keepAliveTimeout = script.keepAliveMillis ?? 60_000
  server.keepAliveTimeoutBuffer = 0
  server.requestTimeout = 0
  server.headersTimeout = 0
  return server
}

const takeStep = async (
  connection: Connection,
  request: RecordedRequest,
  response: Response,
  step: Step
): Promise<void> => {
  switch (step._tag) {
    case "Answer":
      return sendAnswer(connection, response, step)
    case "Echo": {
      const { bytes, sha256 } = request.body.fact()
      const echoed: Echoed = {
        method: request.method,
        path: request.url,
        headers: request.headers,
        bodyBytes: bytes,
        bodySha256: sha256,
        connection: request.connection,
        request: request.ordinal
      }
      return sendAnswer(connection, response, {
        _tag: "Answer",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(echoed)
      })
    }
    case "Hang":
      return
    case "Reset":
      return endConnection(connection, "reset")
    case "Close":
      return endConnection(connection, "close")
    case "Bytes": {
      for (const emission of step.actions) await emit(connection, emission)
    }
  }
}

const bodilessStatus = (status: number): boolean => status < 200 || status === 204 || status === 304

/** A generator of its own (Numerical Recipes), so that a run deals as the run before did. */
const makeDealer = (delaysMillis: ReadonlyArray<number>): (() => number) => {
  const deck = [...delaysMillis]
  let state = 7
  let left = 0
  return () => {
    if (left === 0) left = deck.length
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    const drawn = Math.floor((state / 2 ** 32) * left)
    left -= 1
    const millis = deck[drawn] ?? 0
    deck[drawn] = deck[left] ?? 0
    deck[left] = millis
    return millis
  }
}

const dealers = new WeakMap<ReadonlyArray<number>, () => number>()

const delayOf = ({ delayMillis, delaysMillis }: Answer): number => {
  if (delaysMillis === undefined) return delayMillis ?? 0
  const deal = dealers.get(delaysMillis) ?? makeDealer(delaysMillis)
  dealers.set(delaysMillis, deal)
  return deal()
}

const sendAnswer = async (connection: Connection, response: Response, answer: Answer): Promise<void> => {
  const { stream } = connection
  await sleepWhileOpen(stream, delayOf(answer))
  if (stream.destroyed) return

  const status = answer.status ?? 200
  const text = answer.body === undefined ? undefined : Buffer.from(answer.body, "utf8")
  const length = text?.length ?? answer.bodyBytes ?? 0
  response.statusCode = status
  if (!answer.chunked && !bodilessStatus(status)) response.setHeader("content-length", length)
  for (const [name, value] of Object.entries(answer.headers ?? {})) {
    response.setHeader(name, typeof value === "string" ? value : [...value])
  }
  if (response instanceof http.ServerResponse) response.flushHeaders()
  else response.writeHead(status)

  const chunkBytes = answer.chunkBytes ?? 16_384
  const chunkDelayMillis = answer.chunkDelayMillis ?? 0
  if (text === undefined) {
    await writeFiller(response, stream, length, { chunkBytes, chunkDelayMillis })
  } else {
    for (let at = 0; at < text.length && !stream.destroyed; at += chunkBytes) {
      await sleepWhileOpen(stream, chunkDelayMillis)
      await writeWhileOpen(response, stream, text.subarray(at, at + chunkBytes))
    }
  }
  response.end()
}

// ---------------------------------------------------------------------------------------------------------------------
// Both
// ---------------------------------------------------------------------------------------------------------------------

/** Follows the listener's present script on a connection that is ready for bytes. */
export const converse = (listener: Listener, connection: Connection): void => {
  const { script } = listener
  const { behaviour } = script
  const { stream } = connection
  if (behaviour._tag === "Http") return serveHttp(listener, connection, behaviour)

  // Half-open connections are allowed for the HTTP server's sake; here, a client that leaves is let go.
  stream.once("end", () => stream.end())
  if (behaviour._tag === "Relay") return relay(connection, behaviour)
  const actions = behaviour.connections[Math.min(script.connections, behaviour.connections.length - 1)] ?? []
  script.connections += 1
  void runRaw(listener, connection, actions)
}

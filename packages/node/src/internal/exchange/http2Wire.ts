/**
 * HTTP/2 on one socket: Node's own client, whose streams say how they ended. A stream that ends without END_STREAM is cut,
 * whichever way it was ended; one that the server says it did nothing with may go to another connection, with any method.
 */

import * as http2 from "node:http2"
import type { Socket } from "node:net"
import { Readable } from "node:stream"
import {
  BodyError,
  ConnectionEndedError,
  NotBegunError,
  NotHttp2Error,
  StreamEndedError,
  UnprocessedError,
  type Wire,
  type WireControl,
  type WireListener,
  type WireOwner,
  type WireRequest
} from "./wire.ts"

export interface Http2Options {
  /** Requests at once at most, even if the peer allows more. */
  readonly streams: number
  /** The most bytes of a response's head. */
  readonly headerBytes: number
}

const streamWindowBytes = 262_144
const connectionWindowBytes = 1_048_576

export class Http2Wire implements Wire {
  readonly #session: http2.ClientHttp2Session
  readonly #socket: Socket
  readonly #running = new Set<Stream>()
  readonly #streams: number
  readonly hasBegunHead = false
  error: Error | undefined = undefined
  /** Whether its peer, which takes its leave, has taken anything before. */
  hasTaken = false
  /** Whether its peer has said its settings, with which all HTTP/2 begins (RFC 9113 §3.4). */
  hasSettings = false
  /** Whether its peer took its leave with an error, whose code Node then gives every stream as its own. */
  isBroken = false

  constructor(origin: string, socket: Socket, owner: WireOwner, options: Http2Options) {
    this.#socket = socket
    this.#streams = options.streams
    const session = http2.connect(origin, {
      createConnection: () => socket,
      settings: {
        enablePush: false,
        initialWindowSize: streamWindowBytes,
        // Node holds a head to the bound that is given here, and ends a longer one in a way that is not told from a server's own. So
        // the bound is given with room to spare, and a longer head is recognised.
        maxHeaderListSize: headerBytesSaid(options.headerBytes)
      },
      maxHeaderListPairs: Math.ceil(headerBytesSaid(options.headerBytes) / leastFieldBytes),
      maxSendHeaderBlockLength: 1_048_576,
      peerMaxConcurrentStreams: options.streams,
      maxReservedRemoteStreams: 0,
      maxSessionMemory: 64
    })
    this.#session = session
    session.once("connect", () => {
      if (!session.destroyed) session.setLocalWindowSize(connectionWindowBytes)
    })
    session.on("error", (error: Error) => {
      const known = this.named(error)
      this.error ??= known
      owner.onError(known)
    })
    session.on("remoteSettings", ({ maxConcurrentStreams }) => {
      this.hasSettings = true
      owner.onCapacity(Math.min(this.#streams, maxConcurrentStreams ?? Infinity))
    })
    session.on("goaway", (code, lastStreamId) => {
      this.isBroken ||= code !== http2.constants.NGHTTP2_NO_ERROR
      this.hasTaken = lastStreamId > 0
      for (const stream of this.#running) stream.excludeAbove(lastStreamId)
      owner.onLeaving()
    })
    session.once("close", () => owner.onLeaving())
    session.unref()
  }

  send(request: WireRequest, listener: WireListener): void {
    if (this.#session.closed || this.#session.destroyed) {
      queueMicrotask(() => listener.onResponseError(undefined, new NotBegunError()))
      return
    }
    if (this.#running.size === 0) this.#session.ref()
    const stream = new Stream(this, listener)
    this.#running.add(stream)
    stream.begin(this.#session, request)
  }

  destroy(): void {
    this.#session.destroy()
  }

  /** The end of the connection, if it is gone. */
  get end(): Error | undefined {
    if (!this.#session.destroyed && !this.#socket.destroyed && !this.#session.closed) return undefined
    return this.error ?? this.#socket.errored ?? new ConnectionEndedError()
  }

  /** The reason of an error of the session, or of one of its streams, before anything of HTTP/2 has come. */
  named(error: Error): Error {
    return !this.hasSettings && codeOf(error) === "ERR_HTTP2_ERROR" ? new NotHttp2Error() : error
  }

  forget(stream: Stream): void {
    this.#running.delete(stream)
    if (this.#running.size === 0 && !this.#session.destroyed) this.#session.unref()
  }
}

/** A field of a head weighs its name, its value and 32 (RFC 9113 §6.5.2). */
const leastFieldBytes = 32

const headerBytesSaid = (headerBytes: number): number => Math.max(262_144, headerBytes * 4)

/** One request on a connection. */
class Stream implements WireControl {
  readonly #wire: Http2Wire
  readonly #listener: WireListener
  #stream: http2.ClientHttp2Stream | undefined
  /** Whether all of the response has come: END_STREAM, and nothing else, says so. */
  #isComplete = false
  #isExcluded = false
  #hasHead = false
  #isOver = false
  #error: Error | undefined
  #trailers: NodeJS.Dict<string | Array<string>> = {}
  /** The end of a body, kept here: a connection that ends takes along the bytes that it still holds. */
  #rest: Buffer | undefined
  #isKeeping = false
  paused = false

  constructor(wire: Http2Wire, listener: WireListener) {
    this.#wire = wire
    this.#listener = listener
  }

  begin(session: http2.ClientHttp2Session, { body, headers, method, origin, path }: WireRequest): void {
    const listener = this.#listener
    try {
      listener.onRequestStart(this)
    } catch {
      this.#over()
      return
    }
    const declared = declaredLength(headers)
    let stream: http2.ClientHttp2Stream
    try {
      const head = pseudo(origin, method, path, headers)
      const known = declared === undefined ? lengthOf(method, body) : undefined
      if (known !== undefined) head.push("content-length", String(known))
      stream = session.request(head, { endStream: body === undefined })
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
      return
    }
    this.#stream = stream
    // of all the ways in which a stream is told that nothing more comes, only the peer's own comes while it is open
    stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
      const isEnd = chunk === null && !stream.closed && !stream.destroyed
      const hasRoom = Readable.prototype.push.call(stream, chunk, encoding)
      if (isEnd) this.#ended(stream)
      // Node keeps a stream that its peer has reset until all of the request is written, which may be never
      else if (chunk === null && !this.#isComplete) queueMicrotask(() => this.#streamClosed(stream))
      return hasRoom
    }
    stream.on("response", (head, _, raw) => this.#head(stream, Number(head[":status"]), fieldsOf(raw)))
    stream.on("trailers", (_, __, raw) => (this.#trailers = fieldsOf(raw)))
    stream.on("error", (error: Error) => (this.#error ??= error))
    stream.once("close", () => this.#streamClosed(stream))
    if (body === undefined) listener.onRequestSent()
    else {
      stream.once("finish", () => {
        if (!this.#isOver) listener.onRequestSent()
      })
      if (typeof body === "string" || body instanceof Uint8Array) stream.end(body)
      else void this.#upload(stream, body, declared)
    }
  }

  /** The server processes nothing above this stream (RFC 9113 §6.8). */
  excludeAbove(lastStreamId: number): void {
    const id = this.#stream?.id
    if (id === undefined || id > lastStreamId) this.#isExcluded = true
  }

  pause(): void {
    if (this.paused) return
    this.paused = true
    this.#stream?.pause()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    if (this.#isComplete) this.#finish()
    else this.#stream?.resume()
  }

  abort(): void {
    this.#over()
    this.#stream?.close(http2.constants.NGHTTP2_CANCEL)
  }

  // -------------------------------------------------------------------------------------------------------------------

  #head(stream: http2.ClientHttp2Stream, status: number, fields: NodeJS.Dict<string | Array<string>>): void {
    if (this.#isOver) return
    this.#hasHead = true
    this.#listener.onResponseStart(this, status, fields)
    stream.on("data", (chunk: Buffer) => {
      // bytes that are read here to be kept are told like all others, and nothing is told of a body that was left
      if (!this.#isOver && !this.#isKeeping) this.#listener.onResponseData(this, chunk)
    })
    if (this.paused) stream.pause()
  }

  /** All of the response has come, though the head may not be told yet, and the reader may be behind. */
  #ended(stream: http2.ClientHttp2Stream): void {
    this.#isComplete = true
    this.#isKeeping = true
    const rest: Array<Buffer> = []
    // one buffer at a time, where it flows
    for (let next: unknown = stream.read(); next instanceof Buffer; next = stream.read()) rest.push(next)
    if (rest.length > 0) this.#rest = rest.length === 1 ? rest[0] : Buffer.concat(rest)
    // after the head and the trailers, which Node tells in the same way
    process.nextTick(() => this.#finish())
  }

  #finish(): void {
    if (this.#isOver || this.paused) return
    const rest = this.#rest
    this.#rest = undefined
    if (rest !== undefined) this.#listener.onResponseData(this, rest)
    // the reader may be behind again, and then all that is left is the end
    if (!this.#isOver && (!this.paused || rest !== undefined)) this.#end()
  }

  #end(): void {
    this.#over()
    this.#listener.onResponseEnd(this, this.#trailers)
    // the rest of the request is of no interest any more
    if (this.#stream?.writableFinished === false) this.#stream.close(http2.constants.NGHTTP2_CANCEL)
  }

  #streamClosed(stream: http2.ClientHttp2Stream): void {
    if (this.#isOver || this.#isComplete) return
    this.#fail(this.#reasonOf(stream.rstCode))
  }

  #reasonOf(code: number): Error {
    const name = `NGHTTP2_${names.get(code) ?? String(code)}`
    const isLost = lostCodes.has(codeOf(this.#error))
    const isRefusal = code === http2.constants.NGHTTP2_REFUSED_STREAM && !this.#wire.isBroken
    const isRefused = isLost || this.#isExcluded || isRefusal
    // a server that has begun to answer has done something, even if it says otherwise afterwards
    if (isRefused && !this.#hasHead) {
      return new UnprocessedError(name, this.#wire.hasTaken)
    }
    const end = this.#wire.end
    if (end !== undefined && (code === 0 || code === http2.constants.NGHTTP2_CANCEL)) return end
    if (this.#error !== undefined && codeOf(this.#error) !== "ERR_HTTP2_STREAM_ERROR") {
      return this.#wire.named(this.#error)
    }
    return new StreamEndedError(name)
  }

  #fail(error: Error): void {
    if (this.#isOver) return
    this.#over()
    this.#listener.onResponseError(this, error)
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#wire.forget(this)
  }

  /** A body of another length than was said would be the connection's fault to a server, and so that of all that are on it. */
  async #upload(
    stream: http2.ClientHttp2Stream,
    body: AsyncIterable<Uint8Array>,
    declared: number | undefined
  ): Promise<void> {
    let length = 0
    try {
      for await (const chunk of body) {
        if (this.#isOver || stream.destroyed) return
        length += chunk.length
        if (declared !== undefined && length > declared) throw new BodyLengthError()
        const isTaken = stream.write(chunk, (error) => {
          if ((error === undefined || error === null) && !this.#isOver) this.#listener.onBodySent()
        })
        if (!isTaken) await drained(stream)
      }
      if (declared !== undefined && length < declared) throw new BodyLengthError()
      stream.end()
    } catch (error) {
      stream.close(http2.constants.NGHTTP2_CANCEL)
      this.#fail(error instanceof Error ? error : new Error(String(error)))
    }
  }
}

/** A body is longer, or shorter, than its request says. The code is undici's, which says so over HTTP/1.1. */
class BodyLengthError extends BodyError {
  constructor() {
    super("the body is not as long as content-length says", "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH")
  }
}

/** How long a request says that its body is. */
const declaredLength = (headers: ReadonlyArray<string>): number | undefined => {
  for (let index = 0; index + 1 < headers.length; index += 2) {
    if (headers[index] === "content-length") return Number(headers[index + 1])
  }
  return undefined
}

/** Methods of which a server expects a body, so that a request without one says that it has none (RFC 9110 §8.6). */
const bodied: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"])

/** How long a body is, where that is known before it is sent. */
const lengthOf = (method: string, body: WireRequest["body"]): number | undefined => {
  if (body === undefined) return bodied.has(method) ? 0 : undefined
  if (typeof body === "string") return Buffer.byteLength(body)
  return body instanceof Uint8Array ? body.length : undefined
}

/** Streams that were never begun, because their connection had ended or was about to. */
const lostCodes: ReadonlySet<string | undefined> = new Set([
  "ERR_HTTP2_STREAM_CANCEL",
  "ERR_HTTP2_GOAWAY_SESSION",
  "ERR_HTTP2_INVALID_SESSION",
  "ERR_HTTP2_OUT_OF_STREAMS"
])

const codeOf = (error: Error | undefined): string | undefined =>
  error !== undefined && "code" in error && typeof error.code === "string" ? error.code : undefined

const drained = (stream: http2.ClientHttp2Stream): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done)
      stream.off("close", done)
      resolve()
    }
    stream.on("drain", done)
    stream.on("close", done)
    if (stream.destroyed) done()
  })

/** RFC 9113 §7. */
const names = new Map<number, string>([
  [0, "NO_ERROR"],
  [1, "PROTOCOL_ERROR"],
  [2, "INTERNAL_ERROR"],
  [3, "FLOW_CONTROL_ERROR"],
  [4, "SETTINGS_TIMEOUT"],
  [5, "STREAM_CLOSED"],
  [6, "FRAME_SIZE_ERROR"],
  [7, "REFUSED_STREAM"],
  [8, "CANCEL"],
  [9, "COMPRESSION_ERROR"],
  [10, "CONNECT_ERROR"],
  [11, "ENHANCE_YOUR_CALM"],
  [12, "INADEQUATE_SECURITY"],
  [13, "HTTP_1_1_REQUIRED"]
])

/** The head of a request: the request line of HTTP/1.1 is fields here (RFC 9113 §8.3.1). */
const pseudo = (origin: string, method: string, path: string, headers: ReadonlyArray<string>): Array<string> => {
  const end = origin.indexOf("://")
  const scheme = origin.slice(0, end)
  let authority = origin.slice(end + 3)
  const fields: Array<string> = []
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const name = headers[index] ?? ""
    const value = headers[index + 1] ?? ""
    if (name === "host") authority = value
    else fields.push(name, value)
  }
  return [":method", method, ":path", path, ":scheme", scheme, ":authority", authority, ...fields]
}

/** The fields of a head by name; several of one name as a list. */
const fieldsOf = (raw: ReadonlyArray<string>): NodeJS.Dict<string | Array<string>> => {
  // without a prototype: a field may be called `constructor`
  const fields: NodeJS.Dict<string | Array<string>> = Object.create(null)
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? ""
    const value = raw[index + 1] ?? ""
    if (name.startsWith(":")) continue
    const known = fields[name]
    if (known === undefined) fields[name] = value
    else if (typeof known === "string") fields[name] = [known, value]
    else known.push(value)
  }
  return fields
}

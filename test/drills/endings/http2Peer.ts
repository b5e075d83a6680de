/** A server of HTTP/2 that writes its frames one by one. */
import { bodyOf } from "./bodies.ts"
import type { Case } from "./cases.ts"
import {
  errorCode,
  fieldBlock,
  frame,
  frameFlag,
  frameReader,
  frameType,
  goaway,
  resetStream,
  windowUpdate
} from "./http2Frames.ts"
import { type Line, pauseMillis } from "./line.ts"

const prefaceBytes = 24
const mostFrameBytes = 16_384
const nothing = Buffer.alloc(0)

/** How much may be sent: on the connection, and on each stream. */
class Windows {
  #connection = 65_535
  #initial = 65_535
  readonly #streams = new Map<number, number>()
  #waiting: Array<() => void> = []

  read(stream: number): number {
    return Math.min(this.#connection, this.#streams.get(stream) ?? this.#initial)
  }

  spend(stream: number, bytes: number): void {
    this.#streams.set(stream, (this.#streams.get(stream) ?? this.#initial) - bytes)
    this.#connection -= bytes
  }

  widen(stream: number, bytes: number): void {
    if (stream === 0) this.#connection += bytes
    else this.#streams.set(stream, (this.#streams.get(stream) ?? this.#initial) + bytes)
    this.wake()
  }

  begin(initial: number): void {
    for (const [stream, window] of this.#streams) this.#streams.set(stream, window + initial - this.#initial)
    this.#initial = initial
    this.wake()
  }

  wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const go of waiting) go()
  }

  wider(): Promise<void> {
    return new Promise((resolve) => void this.#waiting.push(resolve))
  }
}

export const speakHttp2 = (line: Line): void => {
  const windows = new Windows()
  const begun = new Set<number>()
  const request = (stream: number): void => {
    if (begun.has(stream) || line.isOver()) return
    begun.add(stream)
    if (line.isFirst()) void answer(line, windows, stream)
    else {
      void line.write(
        Buffer.concat([
          frame(frameType.headers, frameFlag.endHeaders, stream, fieldBlock(200, [])),
          frame(frameType.data, frameFlag.endStream, stream, Buffer.from("good"))
        ])
      )
    }
  }
  void line.write(frame(frameType.settings, 0, 0))
  line.stream.once("close", () => windows.wake())
  line.stream.on(
    "data",
    frameReader(prefaceBytes, ({ flags, payload, stream, type }) => {
      if (line.isOver()) return
      switch (type) {
        case frameType.settings:
          if ((flags & frameFlag.ack) !== 0) return
          for (let index = 0; index + 5 < payload.length; index += 6) {
            if (payload.readUInt16BE(index) === 4) windows.begin(payload.readUInt32BE(index + 2))
          }
          void line.write(frame(frameType.settings, frameFlag.ack, 0))
          return
        case frameType.ping:
          if ((flags & frameFlag.ack) === 0) void line.write(frame(frameType.ping, frameFlag.ack, 0, payload))
          return
        case frameType.windowUpdate:
          windows.widen(stream, payload.readUInt32BE(0))
          return
        case frameType.headers:
          if ((flags & frameFlag.endStream) !== 0 || line.given.early) request(stream)
          return
        case frameType.data:
          if (payload.length > 0) {
            void line.write(Buffer.concat([windowUpdate(0, payload.length), windowUpdate(stream, payload.length)]))
          }
          if ((flags & frameFlag.endStream) !== 0) request(stream)
      }
    })
  )
}

const interims = {
  none: [],
  "100": [100],
  "103": [103],
  "100 and 103": [100, 103]
} as const

const answer = async (line: Line, windows: Windows, stream: number): Promise<void> => {
  const { given } = line
  const { at, coding, framing, how, interim, status, trailers } = given
  const { contentEncoding, parts } = bodyOf(given)
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const before = Buffer.concat(
    interims[interim].map((code) => frame(frameType.headers, frameFlag.endHeaders, stream, fieldBlock(code, [])))
  )
  const fields: Array<readonly [string, string]> = []
  if (contentEncoding !== undefined) fields.push(["content-encoding", contentEncoding])
  if (status === 302) fields.push(["location", "/moved"])
  if (framing === "END_STREAM, length") fields.push(["content-length", String(length)])
  const endsWithHead = at === "complete" && parts.length === 0 && !trailers
  const head = frame(
    frameType.headers,
    frameFlag.endHeaders | (endsWithHead ? frameFlag.endStream : 0),
    stream,
    fieldBlock(coding === "gzip in 206" ? 206 : status, fields)
  )
  /** Writes all but the last of the frames, which is given back, as its windows allow. */
  const data = async (bytes: Buffer, isEnd: boolean): Promise<Buffer> => {
    let start = 0
    for (;;) {
      const room = windows.read(stream)
      const size = Math.min(mostFrameBytes, bytes.length - start, room)
      if (size <= 0 && start < bytes.length) {
        if (line.isOver()) return nothing
        await windows.wider()
        continue
      }
      windows.spend(stream, size)
      const isLast = start + size === bytes.length
      const piece = frame(
        frameType.data,
        isLast && isEnd ? frameFlag.endStream : 0,
        stream,
        bytes.subarray(start, start + size)
      )
      start += size
      if (isLast) return piece
      await line.write(piece)
    }
  }
  const [first = nothing, ...rest] = parts
  const half = first.subarray(0, Math.ceil(first.length / 2))
  switch (at) {
    case "before the head":
      return end(line, stream, before)
    case "within the head":
      return end(line, stream, Buffer.concat([before, head.subarray(0, head.length - 3)]))
    case "behind the head":
      return end(line, stream, Buffer.concat([before, head]))
    case "within the body": {
      await line.write(Buffer.concat([before, head]))
      return end(line, stream, await data(half, how === "END_STREAM"))
    }
    default: {
      if (endsWithHead) return end(line, stream, Buffer.concat([before, head]))
      if (first.length > mostFrameBytes || rest.length > 0) await line.write(Buffer.concat([before, head]))
      const isWritten = first.length > mostFrameBytes || rest.length > 0
      let last = await data(first, rest.length === 0 && !trailers)
      for (const [index, part] of rest.entries()) {
        await line.write(last)
        await pauseMillis(15)
        last = await data(part, index === rest.length - 1 && !trailers)
      }
      const tail = trailers
        ? frame(
            frameType.headers,
            frameFlag.endHeaders | frameFlag.endStream,
            stream,
            fieldBlock(undefined, [["x-sum", "1"]])
          )
        : nothing
      return end(line, stream, Buffer.concat([...(isWritten ? [] : [before, head]), last, tail]))
    }
  }
}

const lastWords = (given: Case, stream: number): Buffer => {
  switch (given.how) {
    case "GOAWAY":
    case "GOAWAY, FIN":
      return goaway(stream, errorCode.NO_ERROR)
    case "GOAWAY with an error":
    case "GOAWAY with an error, FIN":
      return goaway(stream, errorCode.INTERNAL_ERROR)
    case "GOAWAY that refuses":
      return goaway(stream, errorCode.REFUSED_STREAM)
    case "GOAWAY of nothing, FIN":
      return goaway(0, errorCode.NO_ERROR)
    case "NO_ERROR":
    case "CANCEL":
    case "INTERNAL_ERROR":
    case "REFUSED_STREAM":
    case "ENHANCE_YOUR_CALM":
      return resetStream(stream, errorCode[given.how])
    case "END_STREAM":
      return given.at === "behind the head" ? frame(frameType.data, frameFlag.endStream, stream) : nothing
    default:
      return nothing
  }
}

/** Writes what is left, and ends it as the case says. */
const end = async (line: Line, stream: number, bytes: Buffer): Promise<void> => {
  const { given } = line
  const words = Buffer.concat([bytes, lastWords(given, stream)])
  const { how } = given
  if (how.endsWith("FIN") && !given.bytewise) {
    line.end(words)
    return
  }
  await line.write(words)
  if (how.endsWith("FIN")) line.end()
  else if (how === "FIN later") {
    await pauseMillis(20)
    line.end()
  } else if (how === "RST") line.reset()
  else if (how === "trickle") {
    while (!line.isOver()) {
      await line.write(frame(frameType.data, 0, stream, Buffer.from("x")))
      await pauseMillis(15)
    }
  }
}

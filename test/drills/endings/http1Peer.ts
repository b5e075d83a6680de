/** A server of HTTP/1.1 that writes its answers byte for byte. */
import { bodyOf } from "./bodies.ts"
import type { Case } from "./cases.ts"
import { type Line, pauseMillis } from "./line.ts"

const good = Buffer.from("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")

const interims = {
  none: "",
  "100": "HTTP/1.1 100 Continue\r\n\r\n",
  "103": "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n",
  "100 and 103": "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
} as const

/** Where a request that came ends; nothing while it has not. */
const requestEnd = (bytes: Buffer): number | undefined => {
  const headEnd = bytes.indexOf("\r\n\r\n")
  if (headEnd < 0) return undefined
  const head = bytes.toString("latin1", 0, headEnd).toLowerCase()
  const body = headEnd + 4
  if (/\r\ntransfer-encoding: *chunked/.test(head)) {
    const end = bytes.indexOf("\r\n0\r\n\r\n", headEnd + 2)
    return end < 0 ? undefined : end + 7
  }
  const length = Number(/\r\ncontent-length: *(\d+)/.exec(head)?.[1] ?? 0)
  return bytes.length < body + length ? undefined : body + length
}

export const speakHttp1 = (line: Line): void => {
  let came = Buffer.alloc(0)
  let answersEarly = false
  line.stream.on("data", (chunk: Buffer) => {
    if (line.isOver()) return
    came = Buffer.concat([came, chunk])
    if (line.given.early && !answersEarly && came.includes("\r\n\r\n")) {
      const isFirst = line.isFirst()
      if (isFirst) {
        answersEarly = true
        void answer(line)
        return
      }
      came = Buffer.alloc(0)
      void line.write(good)
      return
    }
    const end = answersEarly ? undefined : requestEnd(came)
    if (end === undefined) return
    came = came.subarray(end)
    if (line.isFirst()) void answer(line)
    else void line.write(good)
  })
}

const headOf = (given: Case, contentEncoding: string | undefined, length: number): string => {
  const { closes, coding, framing, protocol, status, trailers } = given
  const fields = [
    contentEncoding === undefined ? undefined : `content-encoding: ${contentEncoding}`,
    status === 302 ? "location: /moved" : undefined,
    framing === "length" ? `content-length: ${length}` : undefined,
    framing === "chunked" ? "transfer-encoding: chunked" : undefined,
    trailers ? "trailer: x-sum" : undefined,
    closes ? "connection: close" : undefined
  ].filter((field) => field !== undefined)
  const version = protocol === "HTTP/1.0" ? "HTTP/1.0" : "HTTP/1.1"
  return [`${version} ${coding === "gzip in 206" ? 206 : status} said so`, ...fields, "", ""].join("\r\n")
}

const chunkOf = (bytes: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")])

const halves = (bytes: Buffer): readonly [Buffer, Buffer] => {
  const middle = Math.ceil(bytes.length / 2)
  return [bytes.subarray(0, middle), bytes.subarray(middle)]
}

const answer = async (line: Line): Promise<void> => {
  const { given } = line
  const { at, framing, interim, trailers } = given
  const { contentEncoding, parts } = bodyOf(given)
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const before = interims[interim]
  const head = Buffer.from(headOf(given, contentEncoding, length))
  const framed = (bytes: Buffer): Buffer => (bytes.length > 0 && framing === "chunked" ? chunkOf(bytes) : bytes)
  const last = Buffer.from(framing === "chunked" ? `0\r\n${trailers ? "x-sum: 1\r\n" : ""}\r\n` : "")
  const [first = Buffer.alloc(0), ...rest] = parts
  switch (at) {
    case "before the head":
      await line.write(Buffer.from(before))
      return end(line)
    case "within the head":
      await line.write(Buffer.concat([Buffer.from(before), head.subarray(0, head.length - 3)]))
      return end(line)
    case "behind the head":
      await line.write(Buffer.concat([Buffer.from(before), head]))
      return end(line)
    case "within the body": {
      const [half] = halves(first)
      await line.write(Buffer.concat([Buffer.from(before), head, framed(half)]))
      return end(line)
    }
    case "within a chunk's head": {
      const [half] = halves(first)
      await line.write(Buffer.concat([Buffer.from(before), head, framed(half), Buffer.from("1")]))
      return end(line)
    }
    case "before the last chunk":
      await line.write(Buffer.concat([Buffer.from(before), head, framed(first)]))
      return end(line)
    case "complete": {
      const [one, two] = halves(first)
      const whole = [Buffer.from(before), head, framed(one), framed(two)]
      if (rest.length === 0) return end(line, Buffer.concat([...whole, last]))
      await line.write(Buffer.concat(whole))
      await pauseMillis(15)
      return end(line, Buffer.concat([...rest.map(framed), last]))
    }
  }
}

/** Writes what is left, and ends it as the case says. */
const end = async (line: Line, bytes: Buffer = Buffer.alloc(0)): Promise<void> => {
  const { bytewise, how } = line.given
  switch (how) {
    case "FIN":
      if (bytewise) {
        await line.write(bytes)
        line.end()
      } else line.end(bytes)
      return
    case "FIN later":
      await line.write(bytes)
      await pauseMillis(20)
      line.end()
      return
    case "RST":
      await line.write(bytes)
      line.reset()
      return
    case "trickle":
      while (!line.isOver()) {
        await line.write(line.given.framing === "chunked" ? chunkOf(Buffer.from("x")) : Buffer.from("x"))
        await pauseMillis(15)
      }
      return
    default:
      await line.write(bytes)
  }
}

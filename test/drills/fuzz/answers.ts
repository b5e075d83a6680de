/** Answers that are as they should be, to be spoiled: as bytes of HTTP/1.1, and as frames of HTTP/2. */
import * as zlib from "node:zlib"

const crlf = (...lines: ReadonlyArray<string>): string => lines.join("\r\n")

const http1 = (head: ReadonlyArray<string>, body: string | Buffer = ""): Buffer =>
  Buffer.concat([Buffer.from(`${crlf(...head, "", "")}`), Buffer.from(body)])

const gzipped = zlib.gzipSync("a body that is coded ".repeat(20))
const twice = Buffer.concat([zlib.zstdCompressSync("one "), zlib.zstdCompressSync("two")])

export const http1Answers: ReadonlyArray<Buffer> = [
  http1(["HTTP/1.1 200 OK", "content-length: 5"], "hello"),
  http1(["HTTP/1.1 200 OK", "transfer-encoding: chunked"], "5\r\nhello\r\n3;x=y\r\nyou\r\n0\r\n\r\n"),
  http1(["HTTP/1.1 200 OK", "transfer-encoding: chunked", "trailer: x-sum"], "2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n"),
  http1(["HTTP/1.1 200 OK", "connection: close"], "to the end"),
  http1(["HTTP/1.0 200 OK"], "of old"),
  http1(["HTTP/1.1 200 OK", "content-encoding: gzip", `content-length: ${gzipped.length}`], gzipped),
  http1(["HTTP/1.1 503 Busy", "content-encoding: zstd", `content-length: ${twice.length}`, "retry-after: 1"], twice),
  http1(["HTTP/1.1 204 No Content", "set-cookie: a=1", "set-cookie: b=2"]),
  http1(["HTTP/1.1 302 Found", "location: /next", "content-length: 2"], "go"),
  Buffer.concat([
    http1(["HTTP/1.1 100 Continue"]),
    http1(["HTTP/1.1 103 Early Hints", "link: </a>"]),
    http1(["HTTP/1.1 200 OK", "content-length: 2"], "ok")
  ])
]

const frame = (type: number, flags: number, payload: string | Buffer): Buffer => {
  const body = Buffer.from(payload)
  const head = Buffer.alloc(9)
  head.writeUIntBE(body.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(1, 5)
  return Buffer.concat([head, body])
}

const [dataFrame, headersFrame, resetFrame] = [0, 1, 3]
const [endStream, endHeaders] = [1, 4]
/** `:status` by its place in the static table (RFC 7541, appendix A). */
const status200 = Buffer.from([0x88])
const status503 = Buffer.from([0x8e, 0x00, 0x01, 0x78, 0x01, 0x79])

/** What comes on stream 1, behind the settings. */
export const http2Answers: ReadonlyArray<Buffer> = [
  Buffer.concat([frame(headersFrame, endHeaders, status200), frame(dataFrame, endStream, "hello")]),
  Buffer.concat([
    frame(headersFrame, endHeaders, status200),
    frame(dataFrame, 0, "hel"),
    frame(dataFrame, 0, "lo"),
    frame(dataFrame, endStream, "")
  ]),
  frame(headersFrame, endHeaders | endStream, status200),
  Buffer.concat([frame(headersFrame, endHeaders, status503), frame(dataFrame, endStream, "busy")]),
  Buffer.concat([
    frame(headersFrame, endHeaders, status200),
    frame(dataFrame, 0, "half"),
    frame(resetFrame, 0, Buffer.from([0, 0, 0, 8]))
  ])
]

/** SETTINGS, and the acknowledgement of the client's. */
export const http2Settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0])

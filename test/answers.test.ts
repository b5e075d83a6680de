import { assert, describe, it } from "@effect/vitest"
import * as http2 from "node:http2"
import * as zlib from "node:zlib"
import { Duration, Effect, Stream } from "effect"
import { Outcome } from "holdfast"
import { bounded } from "./support/calling.ts"
import { direct, eventually, serve, serveBytes, serveStreams, type StreamHandler } from "./support/direct.ts"

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const pieces = (...parts: ReadonlyArray<string | Buffer>): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part)))

const packed = {
  gzip: (body: string) => zlib.gzipSync(body),
  br: (body: string) => zlib.brotliCompressSync(body),
  zstd: (body: string) => zlib.zstdCompressSync(body)
}
const codings = ["gzip", "br", "zstd"] as const

/** What a call is told of an answer: its status and body, or its reason. */
const told = (answer: Buffer, end: "keep" | "fin" | "rst", request: Parameters<Direct["send"]>[1] = {}) =>
  Effect.gen(function* () {
    const { origin } = yield* serveBytes((socket) => {
      socket.write(answer, () => {
        if (end === "fin") socket.end()
        // a reset overtakes what is still on its way
        else if (end === "rst") setTimeout(() => socket.resetAndDestroy(), 20)
      })
    })
    const { send } = yield* direct()
    return yield* bounded(
      Effect.match(send(origin, request), {
        onFailure: (reason) => [reason._tag, Outcome.fromReason(reason).retryable],
        onSuccess: ({ body, status }) => [status, text(body)]
      })
    )
  })

type Direct = Effect.Success<ReturnType<typeof direct>>

describe("answers", () => {
  describe("that are cut", () => {
    const chunked = "transfer-encoding: chunked\r\n\r\n4\r\npart\r\n"
    it.live.each([
      { how: "a chunked body under Connection: close", answer: `HTTP/1.1 200 OK\r\nconnection: close\r\n${chunked}` },
      { how: "a chunked body of HTTP/1.0", answer: `HTTP/1.0 200 OK\r\n${chunked}` },
      { how: "a chunked body that would be kept alive", answer: `HTTP/1.1 200 OK\r\n${chunked}` },
      {
        how: "within the size of a chunk",
        answer: "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n4"
      }
    ])("$how, by the end of the connection: truncated, and worth another try", ({ answer }) =>
      Effect.map(told(Buffer.from(answer), "fin"), (said) => assert.deepStrictEqual(said, ["ResponseTruncated", true]))
    )

    it.live("a body without a length ends with its connection, and not with a reset of it", () =>
      Effect.gen(function* () {
        const answer = Buffer.from("HTTP/1.1 200 OK\r\n\r\npart")
        assert.deepStrictEqual(yield* told(answer, "fin"), [200, "part"])
        assert.deepStrictEqual(yield* told(answer, "rst"), ["ResponseTruncated", true])
      })
    )
  })

  it.live.each(["HTTP/1.1 000 OK", "HTTP/1.1 101 Switching Protocols"])(
    "the status of %s is none that an answer can have",
    (line) =>
      Effect.map(told(Buffer.from(`${line}\r\ncontent-length: 2\r\n\r\nok`), "fin"), (said) =>
        assert.deepStrictEqual(said, ["MalformedResponse", false])
      )
  )

  it.live("an interim response before the answer is passed over, however it comes, and one in the body is not", () =>
    Effect.gen(function* () {
      const answer = [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n, no"
      ].join("")
      const { connections, origin } = yield* serveBytes((socket, bytes) => {
        const isSlow = bytes.includes("GET /slow")
        const step = isSlow ? 1 : answer.length
        const write = (start: number): void => {
          if (start < answer.length)
            socket.write(answer.slice(start, start + step), () => setImmediate(write, start + step))
        }
        socket.setNoDelay(true)
        write(0)
      })
      const { send } = yield* direct({ connections: 1 })
      for (const path of ["/", "/slow", "/"]) {
        const response = yield* bounded(send(origin, { path }))
        assert.deepStrictEqual([response.status, text(response.body)], [200, "HTTP/1.1 100 Continue\r\n\r\n, no"])
      }
      assert.strictEqual(connections(), 1)
    })
  )

  describe("that are coded", () => {
    it.live.each(codings)("an empty %s body is an empty body", (coding) =>
      Effect.map(
        told(Buffer.from(`HTTP/1.1 200 OK\r\ncontent-encoding: ${coding}\r\ncontent-length: 0\r\n\r\n`), "keep"),
        (said) => assert.deepStrictEqual(said, [200, ""])
      )
    )

    it.live("a range of a coded body is left as it is, and a request for one asks for no coding", () =>
      Effect.gen(function* () {
        const whole = packed.gzip("0123456789".repeat(100))
        const seen: Array<string | undefined> = []
        const { origin } = yield* serve((request, response) => {
          seen.push(request.headers["accept-encoding"])
          response.writeHead(206, { "content-encoding": "gzip", "content-range": `bytes 5-14/${whole.length}` })
          response.end(whole.subarray(5, 15))
        })
        const { send } = yield* direct()
        const { body, headers } = yield* bounded(send(origin, { headers: { range: "bytes=5-14" } }))
        assert.deepStrictEqual([...body], [...whole.subarray(5, 15)])
        assert.strictEqual(headers["content-encoding"], "gzip")
        yield* bounded(send(origin))
        assert.deepStrictEqual(seen, [undefined, "gzip, br, zstd"])
      })
    )

    it.live.each(["gzip", "zstd"] as const)("every member of a %s body is read", (coding) =>
      Effect.gen(function* () {
        const body = Buffer.concat(Array.from({ length: 10 }, (_, member) => packed[coding](`member ${member}\n`)))
        const { origin } = yield* serve((_, response) => {
          response.writeHead(200, { "content-encoding": coding })
          response.end(body)
        })
        const { send } = yield* direct()
        const response = yield* bounded(send(origin))
        assert.strictEqual(
          text(response.body),
          Array.from({ length: 10 }, (_, member) => `member ${member}\n`).join("")
        )
      })
    )

    for (const status of [200, 503]) {
      it.live.each(codings)(
        `bytes behind a %s body of a ${status} cost neither the answer nor the connection`,
        (coding) =>
          Effect.gen(function* () {
            const { connections, origin } = yield* serve((_, response) => {
              response.writeHead(status, { "content-encoding": coding })
              response.write(pieces(packed[coding]("hello"), "\n"))
              setTimeout(() => response.end("\n"), 20)
            })
            const { open, pools, send } = yield* direct({ connections: 1 })
            for (let call = 0; call < 3; call++) {
              const response = yield* bounded(send(origin))
              assert.deepStrictEqual([response.status, text(response.body)], [status, "hello"])
            }
            const streamed = yield* bounded(
              Effect.scoped(
                Effect.flatMap(open(origin), (response) =>
                  "stream" in response
                    ? Stream.mkString(Stream.decodeText(response.stream))
                    : Effect.succeed(text(response.body))
                )
              )
            )
            assert.strictEqual(streamed, "hello")
            yield* bounded(eventually(pools, ([pool]) => pool?.inFlight === 0))
            assert.strictEqual(connections(), 1)
          })
      )
    }

    it.live.each(codings)(
      "a %s error that is cut has its status, what came of its body, and says that it is cut",
      (coding) =>
        Effect.gen(function* () {
          const body = Array.from({ length: 5000 }, (_, index) => `line ${index}`).join("\n")
          const whole = packed[coding](body)
          const { origin } = yield* serveBytes((socket) => {
            socket.write(`HTTP/1.1 503 Busy\r\ncontent-encoding: ${coding}\r\ncontent-length: ${whole.length}\r\n\r\n`)
            socket.end(whole.subarray(0, whole.length - 20))
          })
          const { send } = yield* direct()
          const response = yield* bounded(send(origin))
          assert.deepStrictEqual([response.status, response.bodyComplete], [503, false])
          assert.isTrue(body.startsWith(text(response.body)))
        })
    )

    it.live("of a bomb in an error's body no more is unpacked than is kept", () =>
      Effect.gen(function* () {
        const mebibyte = Buffer.alloc(1_048_576)
        const bomb = zlib.brotliCompressSync(Buffer.concat(Array.from({ length: 256 }, () => mebibyte)), {
          params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 5, [zlib.constants.BROTLI_PARAM_LGWIN]: 24 }
        })
        const { origin } = yield* serve((request, response) => {
          const isBomb = request.url === "/bomb"
          response.writeHead(503, { "content-encoding": "br" })
          response.end(isBomb ? bomb : zlib.brotliCompressSync(mebibyte))
        })
        const { send } = yield* direct()
        const cpu = Effect.fnUntraced(function* (path: string) {
          const before = process.cpuUsage()
          const response = yield* bounded(send(origin, { path }))
          assert.deepStrictEqual([response.status, response.body.length, response.bodyComplete], [503, 16_384, false])
          const { system, user } = process.cpuUsage(before)
          return user + system
        })
        yield* cpu("/")
        const ordinary = Math.max(yield* cpu("/"), 2000)
        // 256 times as much is in it, and none of that is looked at
        assert.isBelow((yield* cpu("/bomb")) / ordinary, 64)
      })
    )
  })

  it.live("a body in chunks of one byte weighs about what it says, and not what its chunks would", () =>
    Effect.gen(function* () {
      const block = Buffer.from("1\r\nx\r\n".repeat(100_000))
      const { origin } = yield* serveBytes((socket) => {
        socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for (let count = 0; count < 10; count++) socket.write(block)
        socket.write("0\r\n\r\n")
      })
      const { open } = yield* direct()
      const weight = yield* bounded(
        Effect.scoped(
          Effect.gen(function* () {
            const response = yield* open(origin, { limits: { ...generous, responseBytes: 2_000_000 } })
            if (!("stream" in response)) return assert.fail("no stream")
            return yield* Stream.runFold(
              response.stream,
              () => ({ bytes: 0, pieces: 0 }),
              (sum, piece) => ({ bytes: sum.bytes + piece.length, pieces: sum.pieces + 1 })
            )
          })
        )
      )
      assert.strictEqual(weight.bytes, 1_000_000)
      assert.isBelow(weight.pieces, 10_000)
    })
  )

  it.live("cookies that are set are told apart, and trailers are kept", () =>
    Effect.gen(function* () {
      const { origin } = yield* serve((_, response) => {
        response.setHeader("set-cookie", ["a=1; expires=Thu, 01 Jan 2026 00:00:00 GMT", "b=2"])
        response.setHeader("trailer", "x-sum")
        response.write("body")
        response.addTrailers({ "x-sum": "42" })
        response.end()
      })
      const { open, send } = yield* direct()
      const response = yield* bounded(send(origin))
      const cookies = ["a=1; expires=Thu, 01 Jan 2026 00:00:00 GMT", "b=2"]
      assert.deepStrictEqual(response.setCookies, cookies)
      assert.notProperty(response.headers, "set-cookie")
      assert.deepStrictEqual(response.trailers, { "x-sum": "42" })
      const opened = yield* Effect.scoped(
        Effect.gen(function* () {
          const streamed = yield* open(origin)
          if (!("stream" in streamed)) return assert.fail("no stream")
          yield* Stream.runDrain(streamed.stream)
          return { cookies: streamed.setCookies, trailers: streamed.trailers?.() }
        })
      )
      assert.deepStrictEqual(opened, { cookies, trailers: { "x-sum": "42" } })
    })
  )

  describe("over HTTP/2", () => {
    const { constants } = http2
    const over = (handler: StreamHandler, options: http2.ServerOptions = {}) =>
      Effect.gen(function* () {
        const { origin } = yield* serveStreams(handler, options)
        const { send } = yield* direct({ http2: { priorKnowledge: true } })
        return yield* bounded(Effect.result(send(origin)))
      })
    const half = (stream: http2.ServerHttp2Stream): void => {
      stream.respond({ ":status": 200 })
      stream.write("half")
    }

    it.live.each([
      { how: "by the server's own end of it", end: (stream: http2.ServerHttp2Stream) => stream.destroy() },
      {
        how: "with an error",
        end: (stream: http2.ServerHttp2Stream) => stream.destroy(new Error("a handler has failed"))
      },
      { how: "with its session", end: (stream: http2.ServerHttp2Stream) => stream.session?.destroy() },
      { how: "with its socket", end: (stream: http2.ServerHttp2Stream) => stream.session?.socket.destroy() }
    ])("a body that is cut $how is truncated", ({ end }) =>
      Effect.gen(function* () {
        const result = yield* over((stream) => {
          half(stream)
          // no END_STREAM goes out with a stream that is destroyed as it stands
          setTimeout(() => end(stream), 20)
        })
        if (result._tag === "Success") return assert.fail("a cut body was told as whole")
        assert.strictEqual(result.failure._tag, "ResponseTruncated")
      })
    )

    it.live("an answer that is whole is whole, though its session ends with it", () =>
      Effect.gen(function* () {
        for (let round = 0; round < 20; round++) {
          const result = yield* over((stream) => {
            stream.respond({ ":status": 200 })
            stream.end("whole", () => stream.session?.destroy())
            stream.session?.goaway(constants.NGHTTP2_NO_ERROR)
          })
          if (result._tag === "Failure") return assert.fail(result.failure.message)
          assert.strictEqual(text(result.success.body), "whole")
        }
      })
    )

    it.live("a reset before the head is a reset, and one that refuses the stream says that nothing was done", () =>
      Effect.gen(function* () {
        const reset = yield* over((stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR))
        if (reset._tag === "Success") return assert.fail("answered")
        assert.deepInclude(reset.failure, { _tag: "ConnectionReset", phase: "wait", code: "NGHTTP2_INTERNAL_ERROR" })
        assert.strictEqual(Outcome.fromReason(reset.failure).applied, "maybe")
        const refused = yield* over((stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM))
        if (refused._tag === "Success") return assert.fail("answered")
        assert.deepInclude(refused.failure, { _tag: "ConnectionReset", unprocessed: true })
        assert.strictEqual(Outcome.fromReason(refused.failure).applied, "no")
      })
    )

    it.live("a head of many fields is no reset", () =>
      Effect.gen(function* () {
        const fields = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`x-${index}`, "v"]))
        const result = yield* over((stream) => {
          stream.respond({ ":status": 200, ...fields, constructor: "a field like any other" })
          stream.end()
        })
        if (result._tag === "Failure") return assert.fail(result.failure.message)
        assert.deepInclude(result.success.headers, { "x-0": "v", "x-299": "v", constructor: "a field like any other" })
      })
    )

    it.live("trailers are kept", () =>
      Effect.gen(function* () {
        const result = yield* over((stream) => {
          stream.respond({ ":status": 200 }, { waitForTrailers: true })
          stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }))
          stream.end("body")
        })
        if (result._tag === "Failure") return assert.fail(result.failure.message)
        assert.deepStrictEqual(result.success.trailers, { "grpc-status": "0" })
      })
    )

    it.live("an answer that comes before all of the request is sent is the answer", () =>
      Effect.gen(function* () {
        const { origin } = yield* serveStreams((stream) => {
          stream.respond({ ":status": 413 })
          stream.end("too much")
        })
        const { pools, send } = yield* direct({ http2: { priorKnowledge: true } })
        const body = new Uint8Array(3_000_000)
        const response = yield* bounded(send(origin, { method: "POST", body }))
        assert.deepStrictEqual([response.status, text(response.body)], [413, "too much"])
        yield* bounded(eventually(pools, ([pool]) => pool?.inFlight === 0))
      })
    )

    it.live("a slow reader gets all of a body whose session has ended meanwhile", () =>
      Effect.gen(function* () {
        const size = 200_000
        const { origin } = yield* serveStreams((stream) => {
          stream.respond({ ":status": 200 })
          stream.end(Buffer.alloc(size), () => stream.session?.close())
        })
        const { open } = yield* direct({ http2: { priorKnowledge: true } })
        const bytes = yield* bounded(
          Effect.scoped(
            Effect.gen(function* () {
              const response = yield* open(origin)
              if (!("stream" in response)) return assert.fail("no stream")
              // all of it has come by then, and so has the end of the connection
              yield* Effect.sleep("100 millis")
              return yield* Stream.runFold(
                response.stream,
                () => 0,
                (sum, piece) => sum + piece.length
              )
            })
          )
        )
        assert.strictEqual(bytes, size)
      })
    )
  })
})

const generous = { responseBytes: 16_777_216, errorBytes: 16_384, drainBytes: 262_144, drainTime: Duration.seconds(1) }

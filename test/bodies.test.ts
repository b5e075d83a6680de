import { promisify } from "node:util"
import * as zlib from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Deferred, Duration, Effect, Fiber, Stream } from "effect"
import type { Transport } from "holdfast"
import { bounded } from "./support/calling.ts"
import { direct, eventually, type Handler, serve, serveHttp2 } from "./support/direct.ts"

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const limits = (responseBytes: number): Transport.Limits => ({
  responseBytes,
  errorBytes: 1024,
  drainBytes: 65_536,
  drainTime: Duration.seconds(1)
})

const codings = {
  gzip: promisify(zlib.gzip),
  br: promisify(zlib.brotliCompress),
  zstd: promisify(zlib.zstdCompress)
} satisfies Record<string, (bytes: Buffer) => Promise<Buffer>>

type Coding = keyof typeof codings

const coded = (coding: Coding, status = 200, alter = (bytes: Buffer) => bytes): ((body: Buffer) => Handler) => {
  return (body) => (_, response) => {
    void codings[coding](body).then((bytes) => {
      response.writeHead(status, { "content-encoding": coding, "content-type": "text/plain" })
      response.end(alter(bytes))
    })
  }
}

/** A body that is the transport's to hand on. */
const streamOf = (opened: Transport.Response | Transport.OpenResponse) => {
  if (!("stream" in opened)) throw new Error(`the body came whole, with status ${opened.status}`)
  return opened.stream
}

describe("bodies", () => {
  describe("coded", () => {
    it.live("a request says which codings are taken, unless it says so itself or none are to be undone", () =>
      Effect.gen(function* () {
        const { origin } = yield* serve((request, response) => response.end(String(request.headers["accept-encoding"])))
        const usual = yield* direct()
        assert.strictEqual(text((yield* usual.send(origin)).body), "gzip, br, zstd")
        const own = yield* usual.send(origin, { headers: { "accept-encoding": "identity" } })
        assert.strictEqual(text(own.body), "identity")
        const plain = yield* direct({ decompress: false })
        assert.strictEqual(text((yield* plain.send(origin)).body), "undefined")
      })
    )

    for (const coding of Object.keys(codings) as Array<Coding>) {
      it.live(`${coding} is undone, and the headers that speak of it are gone`, () =>
        Effect.gen(function* () {
          const body = Buffer.from("one and the same, ".repeat(10_000))
          const { origin } = yield* serve(coded(coding)(body))
          const { send } = yield* direct()
          const response = yield* send(origin)
          assert.strictEqual(text(response.body), body.toString())
          assert.isTrue(response.bodyComplete)
          assert.deepStrictEqual(
            [response.headers["content-encoding"], response.headers["content-length"]],
            [undefined, undefined]
          )
        })
      )

      it.live(`a ${coding} bomb is cut at the limit of what it stands for`, () =>
        Effect.gen(function* () {
          const bomb = Buffer.alloc(64 * 1024 * 1024)
          const { origin } = yield* serve(coded(coding)(bomb))
          const { send } = yield* direct()
          const error = yield* bounded(Effect.flip(send(origin, { limits: limits(100_000) })))
          if (error._tag !== "ResponseTooLarge") throw new Error(error.message)
          assert.strictEqual(error.limit, 100_000)
          assert.isBelow(error.size, 1_000_000)
        })
      )

      it.live(`${coding} that ends too early is ResponseTruncated, and one that is none is MalformedResponse`, () =>
        Effect.gen(function* () {
          const body = Buffer.from(Array.from({ length: 20_000 }, (_, index) => index * 7919).join())
          const { send } = yield* direct()
          const failures = [
            {
              alter: (bytes: Buffer) => bytes.subarray(0, bytes.length / 2),
              reason: "ResponseTruncated" as const,
              detail: `its ${coding} coding is cut short`
            },
            {
              alter: () => Buffer.from("no such thing"),
              reason: "MalformedResponse" as const,
              detail: `its ${coding} coding is broken`
            }
          ]
          for (const { alter, detail, reason } of failures) {
            const { origin } = yield* serve(coded(coding, 200, alter)(body))
            const error = yield* bounded(Effect.flip(send(origin)))
            assert.deepInclude(error, { _tag: reason, detail })
          }
        })
      )

      it.live(`the beginning of a long ${coding} error is kept as text`, () =>
        Effect.gen(function* () {
          const body = Buffer.from(Array.from({ length: 400_000 }, (_, index) => (index * 7919) % 10_007).join())
          const { origin } = yield* serve(coded(coding, 503)(body))
          const { send } = yield* direct()
          const response = yield* bounded(send(origin, { limits: limits(1000) }))
          assert.deepStrictEqual([response.status, response.bodyComplete], [503, false])
          assert.strictEqual(text(response.body), body.toString("utf8", 0, 1024))
        })
      )
    }

    it.live("one that nobody asked for is left as it is", () =>
      Effect.gen(function* () {
        const { origin } = yield* serve((_, response) => {
          response.setHeader("content-encoding", "aes128gcm")
          response.end("secret")
        })
        const { send } = yield* direct()
        const { body, headers } = yield* send(origin)
        assert.deepStrictEqual([text(body), headers["content-encoding"]], ["secret", "aes128gcm"])
      })
    )

    it.live("a HEAD that speaks of a coded body has none to undo", () =>
      Effect.gen(function* () {
        const { origin } = yield* serve((_, response) => {
          response.writeHead(200, { "content-encoding": "gzip", "content-length": "100" })
          response.end()
        })
        const { send } = yield* direct()
        const { body, headers } = yield* send(origin, { method: "HEAD" })
        assert.deepStrictEqual([body.length, headers["content-length"]], [0, "100"])
      })
    )
  })

  describe("taken over", () => {
    const chunk = Buffer.alloc(16_384, "x")

    it.live.each([
      { protocol: "HTTP/1.1", http2: false },
      { protocol: "HTTP/2", http2: true }
    ])("come no faster than they are read, over $protocol", ({ http2 }) =>
      Effect.gen(function* () {
        let written = 0
        const endless: Handler = (_, response) => {
          const more = (): void => {
            while (!response.destroyed) {
              written += chunk.length
              if (!response.write(chunk)) {
                response.once("drain", more)
                return
              }
            }
          }
          more()
        }
        const { origin } = yield* http2 ? serveHttp2(endless) : serve(endless)
        const { open } = yield* direct({ http2 })
        const read = yield* Effect.scoped(
          Effect.gen(function* () {
            const stream = streamOf(yield* open(origin, { limits: limits(Infinity) }))
            // nobody reads: what fills the buffers between them is all that is written, and then there is silence
            let unread: number
            do {
              unread = written
              assert.isBelow(unread, 16 * 1024 * 1024)
              yield* Effect.sleep("150 millis")
            } while (written > unread)
            const read = yield* stream.pipe(
              Stream.take(64),
              Stream.runFold(
                () => 0,
                (sum, bytes) => sum + bytes.length
              )
            )
            return read
          })
        )
        assert.isAbove(read, 100_000)
      })
    )

    it.live("give what was written, byte by byte, and their connection back at the end", () =>
      Effect.gen(function* () {
        const parts = Array.from({ length: 300 }, (_, index) => `${index},`.repeat(index))
        const { connections, origin } = yield* serve((_, response) => {
          for (const part of parts) if (part !== "") response.write(part)
          response.end()
        })
        const { open, pools } = yield* direct()
        for (let call = 0; call < 3; call++) {
          const whole = yield* Effect.scoped(
            Effect.flatMap(open(origin), (opened) => Stream.mkString(Stream.decodeText(streamOf(opened))))
          )
          assert.strictEqual(whole, parts.join(""))
        }
        assert.strictEqual(connections(), 1)
        assert.deepInclude((yield* pools)[0], { idle: 1, inFlight: 0 })
      })
    )

    it.live("are decoded as they come", () =>
      Effect.gen(function* () {
        const body = Buffer.from("one and the same, ".repeat(200_000))
        const { origin } = yield* serve(coded("gzip")(body))
        const { open } = yield* direct()
        const whole = yield* Effect.scoped(
          Effect.flatMap(open(origin), (opened) => Stream.mkString(Stream.decodeText(streamOf(opened))))
        )
        assert.strictEqual(whole, body.toString())
      })
    )

    const dripping =
      (closed: Deferred.Deferred<void>): Handler =>
      (request, response) => {
        response.once("close", () => Deferred.doneUnsafe(closed, Effect.void))
        response.write(request.url)
      }

    it.live("are aborted when their scope closes, read or not", () =>
      Effect.gen(function* () {
        const closed = yield* Deferred.make<void>()
        const { origin } = yield* serve(dripping(closed))
        const { open, pools } = yield* direct()
        yield* Effect.scoped(open(origin))
        yield* bounded(Deferred.await(closed))
        yield* bounded(eventually(pools, ([pool]) => pool?.open === 0 && pool.inFlight === 0))
      })
    )

    it.live("are aborted when their reader leaves early, while the scope is still open", () =>
      Effect.gen(function* () {
        const closed = yield* Deferred.make<void>()
        const { origin } = yield* serve(dripping(closed))
        const { open } = yield* direct()
        const stream = streamOf(yield* open(origin))
        yield* Stream.runDrain(Stream.take(stream, 1))
        yield* bounded(Deferred.await(closed))
      })
    )

    it.live("are aborted when whoever asked is interrupted before the headers", () =>
      Effect.gen(function* () {
        const closed = yield* Deferred.make<void>()
        const arrived = yield* Deferred.make<void>()
        const { origin } = yield* serve((request) => {
          Deferred.doneUnsafe(arrived, Effect.void)
          request.socket.once("close", () => Deferred.doneUnsafe(closed, Effect.void))
        })
        const { open } = yield* direct()
        const fiber = yield* Effect.forkChild(open(origin))
        yield* bounded(Deferred.await(arrived))
        yield* Fiber.interrupt(fiber)
        yield* bounded(Deferred.await(closed))
      })
    )

    it.live("keep their idle timeout while somebody reads, and not while nobody does", () =>
      Effect.gen(function* () {
        const { origin } = yield* serve((_, response) => {
          // more than is kept for a reader who is behind
          response.write(Buffer.alloc(300_000, "x"))
        })
        const { open } = yield* direct({ bodyTimeout: "100 millis" })
        const stream = streamOf(yield* open(origin))
        yield* Effect.sleep("250 millis")
        const exit = yield* bounded(Effect.flip(Stream.runForEach(stream, () => Effect.void)))
        assert.strictEqual(exit._tag, "BodyTimeout")
      })
    )

    it.live("fail with what cut them, after all that came before it", () =>
      Effect.gen(function* () {
        const { origin } = yield* serve((_, response) => {
          response.writeHead(200, { "content-length": "100" })
          response.write("the beginning", () => setTimeout(() => response.destroy(), 20))
        })
        const { open } = yield* direct()
        const stream = streamOf(yield* open(origin))
        const read: Array<string> = []
        const error = yield* bounded(
          Effect.flip(Stream.runForEach(Stream.decodeText(stream), (part) => Effect.sync(() => read.push(part))))
        )
        assert.deepStrictEqual([read.join(""), error._tag], ["the beginning", "ResponseTruncated"])
      })
    )

    it.live("end at their size bound, announced or not", () =>
      Effect.gen(function* () {
        const { origin } = yield* serve((request, response) => {
          if (request.url === "/announced") response.setHeader("content-length", "5000")
          response.write("x".repeat(900))
          response.end("x".repeat(4100))
        })
        const { open } = yield* direct()
        const announced = yield* Effect.flip(open(origin, { path: "/announced", limits: limits(1000) }))
        assert.strictEqual(announced._tag, "ResponseTooLarge")
        const stream = streamOf(yield* open(origin, { limits: limits(1000) }))
        assert.strictEqual((yield* Effect.flip(Stream.runDrain(stream)))._tag, "ResponseTooLarge")
      })
    )

    it.live("of an error status come whole, within the bounds of errors", () =>
      Effect.gen(function* () {
        const { origin } = yield* serve((_, response) => {
          response.statusCode = 404
          response.end("nothing here")
        })
        const { open } = yield* direct()
        const opened = yield* open(origin)
        if ("stream" in opened) throw new Error("it was left to be read")
        assert.deepStrictEqual([opened.status, text(opened.body)], [404, "nothing here"])
      })
    )

    it.live("can be read once: the second time is a mistake in the program, and says so", () =>
      Effect.gen(function* () {
        const { origin } = yield* serve((_, response) => response.end("once"))
        const { open } = yield* direct()
        const stream = streamOf(yield* open(origin))
        assert.strictEqual(Chunk.fromIterable(yield* Stream.runCollect(stream)).length, 1)
        const exit = yield* Effect.exit(Stream.runDrain(stream))
        assert.include(String(exit), "can be read once")
      })
    )
  })

  describe("going up", () => {
    it.live("are SendTimeout when the server takes no further byte, in pieces or as a stream", () =>
      Effect.gen(function* () {
        const { origin } = yield* serve((request) => {
          request.pause()
        })
        const { send } = yield* direct({ sendTimeout: "100 millis", headersTimeout: "10 seconds" })
        const bytes = Buffer.alloc(32 * 1024 * 1024)
        const whole = yield* bounded(Effect.flip(send(origin, { method: "PUT", body: bytes })))
        assert.strictEqual(whole._tag, "SendTimeout")
        const stream = Stream.forever(Stream.succeed(bytes.subarray(0, 65_536)))
        const streamed = yield* bounded(Effect.flip(send(origin, { method: "PUT", body: stream })))
        assert.strictEqual(streamed._tag, "SendTimeout")
      })
    )

    it.live("arrive whole and with their length, however long they are", () =>
      Effect.gen(function* () {
        const { origin } = yield* serve((request, response) => {
          let length = 0
          request.on("data", (chunk: Buffer) => (length += chunk.length))
          request.once("end", () => response.end(`${length} of ${request.headers["content-length"]}`))
        })
        const { send } = yield* direct()
        for (const length of [1, 65_536, 65_537, 10_000_000]) {
          const { body } = yield* send(origin, { method: "PUT", body: Buffer.alloc(length) })
          assert.strictEqual(text(body), `${length} of ${length}`)
          const { body: ofText } = yield* send(origin, { method: "PUT", body: "é".repeat(length) })
          assert.strictEqual(text(ofText), `${2 * length} of ${2 * length}`)
        }
      })
    )
  })

  it.live("one that drips on is ended by transferTimeout, and not by bodyTimeout", () =>
    Effect.gen(function* () {
      const { origin } = yield* serve((_, response) => {
        const drip = setInterval(() => response.write("."), 10)
        response.once("close", () => clearInterval(drip))
      })
      const { open, send } = yield* direct({ bodyTimeout: "100 millis", transferTimeout: "250 millis" })
      assert.strictEqual((yield* bounded(Effect.flip(send(origin))))._tag, "TransferTimeout")
      const stream = streamOf(yield* open(origin))
      assert.strictEqual((yield* bounded(Effect.flip(Stream.runDrain(stream))))._tag, "TransferTimeout")
    })
  )

  describe("phase timings", () => {
    it.live("say what a new connection took, and that the next exchange had it already", () =>
      Effect.gen(function* () {
        const { origin } = yield* serveHttp2((_, response) => {
          setTimeout(() => {
            response.write("the beginning")
            setTimeout(() => response.end(), 40)
          }, 60)
        })
        const { send } = yield* direct()
        const heard: Array<Transport.PhaseTimings> = []
        const onTimings = (timings: Transport.PhaseTimings): void => void heard.push(timings)
        yield* send(origin, { onTimings })
        yield* send(origin, { onTimings })
        const [first, second] = heard
        assert.deepInclude(first, {
          connection: "new",
          protocol: "http/1.1",
          peer: new URL(origin).host.replace("localhost", "127.0.0.1")
        })
        assert.deepInclude(second, {
          connection: "reused",
          dnsMillis: undefined,
          connectMillis: undefined,
          tlsMillis: undefined
        })
        for (const timings of heard) {
          assert.isAtLeast(timings.waitMillis ?? 0, 55)
          assert.isAtLeast(timings.receiveMillis ?? 0, 35)
        }
        const made = (first?.dnsMillis ?? 0) + (first?.connectMillis ?? 0) + (first?.tlsMillis ?? 0)
        assert.isAbove(first?.tlsMillis ?? 0, 0)
        assert.isAtLeast((first?.queueMillis ?? 0) + 1, made)
      })
    )

    it.live("come once, also of an exchange that failed or was left, as far as it came", () =>
      Effect.gen(function* () {
        const { origin } = yield* serve(() => {})
        const { send } = yield* direct({ headersTimeout: "50 millis" })
        const heard: Array<Transport.PhaseTimings> = []
        const onTimings = (timings: Transport.PhaseTimings): void => void heard.push(timings)
        yield* Effect.flip(send(origin, { onTimings }))
        yield* Effect.timeoutOption(send(origin, { onTimings }), "20 millis")
        const refused = yield* Effect.flip(send("http://127.0.0.1:1", { onTimings }))
        assert.strictEqual(refused._tag, "ConnectionRefused")
        assert.deepStrictEqual(
          heard.map(({ receiveMillis, sendMillis, waitMillis }) => [
            sendMillis !== undefined,
            waitMillis !== undefined,
            receiveMillis !== undefined
          ]),
          [
            [true, true, false],
            [true, true, false],
            [false, false, false]
          ]
        )
      })
    )
  })
})

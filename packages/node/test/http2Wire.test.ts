import * as http2 from "node:http2"
import * as net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { Http2Wire } from "../src/internal/exchange/http2Wire.ts"
import {
  ConnectionEndedError,
  isOfStream,
  NotBegunError,
  StreamEndedError,
  UnprocessedError,
  type WireRequest
} from "../src/internal/exchange/wire.ts"
import { connectedTo, type Hearing, hearing, holdingSockets, owning, requestTo } from "./support/wires.ts"

type Handler = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders, raw: ReadonlyArray<string>) => void

const aMoment = (millis = 30): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** A wire to a server of the test's, and what is needed to use it. */
const wired = (
  handler: Handler,
  options: { readonly settings?: http2.Settings; readonly streams?: number; readonly headerBytes?: number } = {}
) =>
  Effect.gen(function* () {
    const server = http2.createServer({ ...(options.settings === undefined ? {} : { settings: options.settings }) })
    let session: http2.ServerHttp2Session | undefined
    server.on("session", (one) => {
      session = one
      one.on("error", () => {})
    })
    server.on("stream", (stream: http2.ServerHttp2Stream, headers, _, raw) => {
      stream.on("error", () => {})
      // typed as headers by name, which it is not
      handler(stream, headers, raw as unknown as ReadonlyArray<string>)
    })
    const { origin, socket } = yield* connectedTo(server)
    const { owner, told, until } = owning()
    const wire = new Http2Wire(origin, socket, owner, {
      streams: options.streams ?? 100,
      headerBytes: options.headerBytes ?? 65_536
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => wire.destroy()))
    const send = (given: Partial<WireRequest> = {}, listener: Hearing = hearing()): Hearing => {
      wire.send(requestTo(origin, given), listener)
      return listener
    }
    return {
      wire,
      origin,
      socket,
      told,
      until,
      send,
      session: () => {
        if (session === undefined) throw new Error("there is no session yet")
        return session
      }
    }
  })

/** A frame of HTTP/2 (RFC 9113 §4.1). */
const frame = (type: number, flags: number, stream: number, payload: ReadonlyArray<number>): Buffer => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, Buffer.from(payload)])
}

/** The head of an answer to the first request: `:status: 200` (RFC 7541, appendix A). */
const ok = frame(1, 4, 1, [0x88])

/** A request to a peer that writes these frames, as no server of Node's would, once it has the request. */
const written = (frames: () => ReadonlyArray<Buffer>) =>
  Effect.gen(function* () {
    const server = net.createServer((peer) => {
      peer.write(Buffer.concat([frame(4, 0, 0, []), frame(4, 1, 0, [])]))
      let received = Buffer.alloc(0)
      let isAsked = false
      peer.on("data", (chunk) => {
        received = Buffer.concat([received, chunk])
        // the preface is 24 bytes long
        for (let at = 24; !isAsked && at + 9 <= received.length; at += 9 + received.readUIntBE(at, 3)) {
          if (received[at + 3] !== 1) continue
          isAsked = true
          peer.write(Buffer.concat(frames()))
        }
      })
    })
    const { origin, socket } = yield* connectedTo(server)
    const { owner } = owning()
    const wire = new Http2Wire(origin, socket, owner, { streams: 100, headerBytes: 65_536 })
    yield* Effect.addFinalizer(() => Effect.sync(() => wire.destroy()))
    const heard = hearing()
    wire.send(requestTo(origin), heard)
    return heard
  })

const answering: Handler = (stream) => {
  stream.respond({ ":status": 200 })
  stream.end("ok")
}

const live = (name: string, test: () => Effect.Effect<void, never, Scope.Scope>) =>
  it.live(name, () => Effect.scoped(test()), 20_000)

const promised = <A>(run: () => Promise<A>): Effect.Effect<A> => Effect.promise(run)

describe("HTTP/2 on one socket", () => {
  describe("a request", () => {
    live("has its target and its fields in order; a host of the caller's is who is asked for", () =>
      Effect.gen(function* () {
        const seen: Array<ReadonlyArray<string>> = []
        const { origin, send } = yield* wired((stream, headers, raw) => {
          seen.push(raw)
          answering(stream, headers, raw)
        })
        yield* promised(() => send({ path: "/a?b", method: "OPTIONS", headers: ["x-a", "1", "x-b", ""] }).until("end"))
        yield* promised(() => send({ headers: ["host", "shop.example:80"] }).until("end"))
        const authority = origin.slice("http://".length)
        assert.deepStrictEqual(seen, [
          [":method", "OPTIONS", ":path", "/a?b", ":scheme", "http", ":authority", authority, "x-a", "1", "x-b", ""],
          [":method", "GET", ":path", "/", ":scheme", "http", ":authority", "shop.example:80"]
        ])
      })
    )

    live("says how long its body is, where that is known, and says it once", () =>
      Effect.gen(function* () {
        const seen: Array<ReadonlyArray<string>> = []
        const { send } = yield* wired((stream, headers, raw) => {
          seen.push(raw.filter((_, index) => raw[index - 1] === "content-length"))
          stream.resume()
          stream.on("end", () => answering(stream, headers, raw))
        })
        async function* pieces() {
          yield Buffer.from("four")
        }
        const requests: ReadonlyArray<Partial<WireRequest>> = [
          { method: "GET" },
          { method: "DELETE" },
          { method: "POST" },
          { method: "PUT" },
          { method: "PATCH" },
          { method: "POST", body: "naïve" },
          { method: "GET", body: new Uint8Array(3) },
          { method: "POST", body: pieces() },
          { method: "POST", body: pieces(), headers: ["x-a", "b", "content-length", "4"] },
          { method: "POST", body: "four", headers: ["content-length", "4"] }
        ]
        for (const request of requests) yield* promised(() => send(request).until("end"))
        assert.deepStrictEqual(seen, [[], [], ["0"], ["0"], ["0"], ["6"], ["3"], [], ["4"], ["4"]])
      })
    )

    live("is told as started, as sent when all of it is out, and each piece of a stream as it is taken", () =>
      Effect.gen(function* () {
        let received = ""
        const { send } = yield* wired((stream, headers, raw) => {
          stream.on("data", (chunk) => (received += String(chunk)))
          stream.on("end", () => answering(stream, headers, raw))
        })
        const bare = send()
        assert.deepStrictEqual(bare.told, [["start"], ["sent"]])
        yield* promised(() => bare.until("end"))
        let next = (): void => {}
        const gate = new Promise<void>((resolve) => (next = resolve))
        async function* pieces() {
          yield Buffer.from("one ")
          await gate
          yield Buffer.from("two")
        }
        const streamed = send({ method: "POST", body: pieces() })
        yield* promised(() => aMoment())
        assert.deepStrictEqual(streamed.told, [["start"]])
        assert.strictEqual(streamed.pieces(), 1)
        next()
        yield* promised(() => streamed.until("end"))
        assert.deepStrictEqual(
          streamed.told.map(([kind]) => kind),
          ["start", "sent", "head", "data", "end"]
        )
        assert.deepStrictEqual([received, streamed.pieces()], ["one two", 2])
      })
    )

    live("that must not begin is not sent, and what comes next is", () =>
      Effect.gen(function* () {
        let requests = 0
        const { send } = yield* wired((...given) => {
          requests++
          answering(...given)
        })
        const before = holdingSockets()
        const refused = send({}, hearing({ refuses: true }))
        assert.strictEqual(holdingSockets(), before)
        yield* promised(() => send().until("end"))
        assert.strictEqual(requests, 1)
        assert.deepStrictEqual(refused.told, [])
      })
    )

    live("that no stream can carry fails alone, and says why", () =>
      Effect.gen(function* () {
        const { send } = yield* wired(answering)
        const [, error] = yield* promised(() => send({ headers: ["transfer-encoding", "chunked"] }).until("error"))
        assert.propertyVal(error, "code", "ERR_HTTP2_INVALID_CONNECTION_HEADERS")
        yield* promised(() => send().until("end"))
      })
    )

    live("whose body is not as long as it says is ended, and nothing else on the connection is", () =>
      Effect.gen(function* () {
        const codes: Array<number> = []
        const { send, told } = yield* wired((stream, headers, raw) => {
          stream.resume()
          stream.on("close", () => codes.push(stream.rstCode ?? -1))
          if (headers[":method"] === "GET") answering(stream, headers, raw)
        })
        for (const length of [3, 5]) {
          async function* pieces() {
            yield new Uint8Array(2)
            yield new Uint8Array(length - 2)
          }
          const headers = ["content-length", "4"]
          const [, error] = yield* promised(() => send({ method: "POST", body: pieces(), headers }).until("error"))
          assert.propertyVal(error, "code", "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH")
        }
        yield* promised(() => send().until("end"))
        assert.deepStrictEqual(codes.slice(0, 2), [8, 8], "CANCEL")
        assert.notInclude(told, "leaving")
      })
    )

    live("whose body fails is ended with what failed it", () =>
      Effect.gen(function* () {
        const { send } = yield* wired((stream) => stream.resume())
        const failure = new Error("the disk is gone")
        async function* failing(): AsyncGenerator<Uint8Array> {
          throw failure
        }
        const [, error] = yield* promised(() => send({ method: "POST", body: failing() }).until("error"))
        assert.strictEqual(error, failure)
        async function* odd(): AsyncGenerator<Uint8Array> {
          yield new Uint8Array(1)
          throw "a text"
        }
        const [, other] = yield* promised(() => send({ method: "POST", body: odd() }).until("error"))
        assert.strictEqual(other.message, "a text")
      })
    )

    live("is asked for no more of its body than its peer takes", () =>
      Effect.gen(function* () {
        let pulled = 0
        async function* endless() {
          for (;;) {
            pulled++
            yield new Uint8Array(16_384)
          }
        }
        // nobody reads it there
        const { send } = yield* wired(() => {})
        const heard = send({ method: "POST", body: endless() })
        yield* promised(() => aMoment(100))
        const before = pulled
        yield* promised(() => aMoment(100))
        assert.strictEqual(pulled, before)
        assert.isBelow(pulled, 100)
        heard.control().abort(new Error("left"))
      })
    )
  })

  describe("a response", () => {
    live("has its status and its fields, those of one name as a list, and its trailers at the end", () =>
      Effect.gen(function* () {
        const { send } = yield* wired((stream) => {
          stream.additionalHeaders({ ":status": 103, link: "</a>" })
          stream.respond({ ":status": 201, "set-cookie": ["a=1", "b=2", "c=3"], constructor: "x", "x-a": "1" }, {
            waitForTrailers: true,
            sendDate: false
          } as http2.ServerStreamResponseOptions)
          stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }))
          stream.end("body")
        })
        const heard = send()
        yield* promised(() => heard.until("end"))
        // what comes before it is passed over
        const [, , head, data, end] = heard.told
        const fields = head?.[0] === "head" ? head[2] : {}
        assert.deepStrictEqual([head?.[0], head?.[1]], ["head", 201])
        assert.deepInclude(fields, { "set-cookie": ["a=1", "b=2", "c=3"], constructor: "x", "x-a": "1" })
        assert.notProperty(fields, ":status")
        assert.deepStrictEqual(
          [data, end],
          [
            ["data", "body"],
            ["end", { "grpc-status": "0" }]
          ]
        )
      })
    )

    live("is held up and goes on as its reader says, and does not end before it has come whole", () =>
      Effect.gen(function* () {
        const body = "x".repeat(300_000)
        const { send } = yield* wired((stream) => {
          stream.respond({ ":status": 200 })
          stream.end(body)
        })
        const heard = send({}, hearing({ pausesAtHead: true }))
        yield* promised(() => heard.until("head"))
        yield* promised(() => aMoment(60))
        assert.lengthOf(heard.told, 3)
        assert.isTrue(heard.control().paused)
        heard.control().resume()
        assert.isFalse(heard.control().paused)
        yield* promised(() => heard.until("end"))
        assert.deepStrictEqual(heard.told.slice(3), [
          ["data", body],
          ["end", {}]
        ])
      })
    )

    live("of which all has come while it was held up is told when it goes on, and again held up ends later", () =>
      Effect.gen(function* () {
        const { send } = yield* wired(answering)
        const heard = send({}, hearing({ pausesAtHead: true }))
        yield* promised(() => heard.until("head"))
        yield* promised(() => aMoment())
        assert.lengthOf(heard.told, 3)
        heard.control().pause()
        heard.control().resume()
        heard.control().resume()
        yield* promised(() => heard.until("end"))
        assert.deepStrictEqual(heard.told.slice(3), [
          ["data", "ok"],
          ["end", {}]
        ])
      })
    )

    live("that is left is cancelled at the peer, and nothing more is told of it", () =>
      Effect.gen(function* () {
        let closed = (_: number | undefined): void => {}
        const code = new Promise<number | undefined>((resolve) => (closed = resolve))
        const { send } = yield* wired((stream) => {
          stream.on("close", () => closed(stream.rstCode))
          stream.respond({ ":status": 200 })
          stream.write("half")
        })
        const heard = send()
        yield* promised(() => heard.until("data"))
        heard.control().abort(new Error("left"))
        assert.strictEqual(yield* promised(() => code), http2.constants.NGHTTP2_CANCEL)
        yield* promised(() => aMoment())
        assert.deepStrictEqual(
          heard.told.map(([kind]) => kind),
          ["start", "sent", "head", "data"]
        )
      })
    )

    live("that comes before all of the request is out ends the request", () =>
      Effect.gen(function* () {
        let closed = (_: number | undefined): void => {}
        const code = new Promise<number | undefined>((resolve) => (closed = resolve))
        const { send } = yield* wired((stream) => {
          stream.on("close", () => closed(stream.rstCode))
          stream.respond({ ":status": 413 })
          stream.end("too much")
        })
        const heard = send({ method: "POST", body: new Uint8Array(2_000_000) })
        yield* promised(() => heard.until("end"))
        yield* promised(() => code)
        assert.deepStrictEqual(
          heard.told.map(([kind]) => kind),
          ["start", "head", "data", "end"]
        )
      })
    )

    it.live.each([
      [0, "NGHTTP2_NO_ERROR"],
      [1, "NGHTTP2_PROTOCOL_ERROR"],
      [2, "NGHTTP2_INTERNAL_ERROR"],
      [3, "NGHTTP2_FLOW_CONTROL_ERROR"],
      [4, "NGHTTP2_SETTINGS_TIMEOUT"],
      [5, "NGHTTP2_STREAM_CLOSED"],
      [6, "NGHTTP2_FRAME_SIZE_ERROR"],
      [8, "NGHTTP2_CANCEL"],
      [9, "NGHTTP2_COMPRESSION_ERROR"],
      [10, "NGHTTP2_CONNECT_ERROR"],
      [11, "NGHTTP2_ENHANCE_YOUR_CALM"],
      [12, "NGHTTP2_INADEQUATE_SECURITY"],
      [13, "NGHTTP2_HTTP_1_1_REQUIRED"],
      [99, "NGHTTP2_99"]
    ] as const)("that is reset with code %i is ended by the stream, as %s", ([code, name]) =>
      Effect.scoped(
        Effect.gen(function* () {
          const { send, told } = yield* wired((stream) => stream.close(code))
          const heard = send()
          const [, error] = yield* promised(() => heard.until("error"))
          assert.instanceOf(error, StreamEndedError)
          assert.propertyVal(error, "code", name)
          assert.isTrue(isOfStream(error))
          assert.notInclude(told, "leaving")
          // without a word of an end, in any other way
          yield* promised(() => aMoment(5))
          assert.deepStrictEqual(
            heard.told.map(([kind]) => kind),
            ["start", "sent", "error"]
          )
        })
      )
    )

    live("that was refused was not processed, unless it had begun, or the connection is broken", () =>
      Effect.gen(function* () {
        const refusal = frame(3, 0, 1, [0, 0, 0, 7])
        const before = yield* written(() => [refusal])
        const [, refused] = yield* promised(() => before.until("error"))
        assert.instanceOf(refused, UnprocessedError)
        assert.deepInclude(refused, { code: "NGHTTP2_REFUSED_STREAM", isLeaving: false })
        const after = yield* written(() => [ok, refusal])
        const [, begun] = yield* promised(() => after.until("error"))
        assert.instanceOf(begun, StreamEndedError)
        assert.propertyVal(begun, "code", "NGHTTP2_REFUSED_STREAM")
      })
    )
  })

  describe("a connection", () => {
    live("says how many requests its peer takes at once, and never more than it may carry", () =>
      Effect.gen(function* () {
        const few = yield* wired(answering, { settings: { maxConcurrentStreams: 7 }, streams: 100 })
        yield* promised(() => few.until("capacity 7"))
        const many = yield* wired(answering, { settings: { maxConcurrentStreams: 700 }, streams: 100 })
        yield* promised(() => many.until("capacity 100"))
        few.session().settings({ maxConcurrentStreams: 3 })
        yield* promised(() => few.until("capacity 3"))
        assert.notInclude(few.told, "capacity 100")
      })
    )

    live("takes no push, 256 KB of a body that nobody reads, 1 MB of all of them, and heads with room to spare", () =>
      Effect.gen(function* () {
        const bare: Handler = (stream) => stream.respond({ ":status": 204 }, { endStream: true })
        const { send, session } = yield* wired(bare, { headerBytes: 100_000 })
        yield* promised(() => send().until("end"))
        yield* promised(() => aMoment())
        const { enablePush, initialWindowSize, maxHeaderListSize } = session().remoteSettings
        assert.deepStrictEqual([enablePush, initialWindowSize, maxHeaderListSize], [false, 262_144, 400_000])
        assert.strictEqual(session().state.remoteWindowSize, 1_048_576)
        const small = yield* wired(answering, { headerBytes: 1000 })
        yield* promised(() => small.send().until("end"))
        assert.strictEqual(small.session().remoteSettings.maxHeaderListSize, 262_144)
      })
    )

    live("keeps the process alive while it carries something, and not while it carries nothing", () =>
      Effect.gen(function* () {
        const before = holdingSockets()
        const { send } = yield* wired((...given) => void setTimeout(() => answering(...given), 30))
        yield* promised(() => aMoment())
        assert.strictEqual(holdingSockets(), before)
        const [one, other] = [send(), send()]
        assert.strictEqual(holdingSockets(), before + 1)
        yield* promised(() => one.until("end"))
        yield* promised(() => other.until("end"))
        assert.strictEqual(holdingSockets(), before)
        const left = send()
        assert.strictEqual(holdingSockets(), before + 1)
        left.control().abort(new Error("left"))
        assert.strictEqual(holdingSockets(), before)
      })
    )

    live("whose peer takes its leave begins nothing more, and says which requests it did nothing with", () =>
      Effect.gen(function* () {
        const { send, session, told, until } = yield* wired((stream, headers, raw) => {
          if (headers[":path"] === "/taken") setTimeout(() => answering(stream, headers, raw), 60)
        })
        const taken = send({ path: "/taken" })
        yield* promised(() => aMoment())
        const ignored = [send({ path: "/ignored" }), send({ path: "/ignored" })]
        yield* promised(() => aMoment())
        session().goaway(http2.constants.NGHTTP2_NO_ERROR, 1)
        yield* promised(() => until("leaving"))
        for (const one of ignored) {
          const [, error] = yield* promised(() => one.until("error"))
          assert.instanceOf(error, UnprocessedError)
          assert.isTrue(error instanceof UnprocessedError && error.isLeaving)
        }
        const late = send()
        const [, error] = yield* promised(() => late.until("error"))
        assert.instanceOf(error, NotBegunError)
        assert.deepStrictEqual(late.told.length, 1)
        yield* promised(() => taken.until("end"))
        assert.include(told, "leaving")
      })
    )

    live("whose peer has taken nothing at all is not told as one that leaves", () =>
      Effect.gen(function* () {
        const heard = yield* written(() => [frame(7, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0])])
        const [, error] = yield* promised(() => heard.until("error"))
        assert.instanceOf(error, UnprocessedError)
        assert.isFalse(error instanceof UnprocessedError && error.isLeaving)
      })
    )

    live("whose peer leaves with an error may have done something with what it took, and nothing with the rest", () =>
      Effect.gen(function* () {
        // PROTOCOL_ERROR, and the first stream was the last that it took
        const heard = yield* written(() => [frame(7, 0, 0, [0, 0, 0, 1, 0, 0, 0, 1])])
        const [, error] = yield* promised(() => heard.until("error"))
        assert.notInstanceOf(error, UnprocessedError)
        // it is the session that ended, and not this stream alone
        assert.propertyVal(error, "code", "ERR_HTTP2_SESSION_ERROR")
        assert.isFalse(isOfStream(error))
        const none = yield* written(() => [frame(7, 0, 0, [0, 0, 0, 0, 0, 0, 0, 1])])
        const [, ignored] = yield* promised(() => none.until("error"))
        assert.instanceOf(ignored, UnprocessedError)
      })
    )

    live("that ends fails what it carries, and that is not the end of a stream", () =>
      Effect.gen(function* () {
        const { send, session, told, wire } = yield* wired((stream) => {
          stream.respond({ ":status": 200 })
          stream.write("half")
        })
        const heard = send()
        yield* promised(() => heard.until("data"))
        assert.isUndefined(wire.end)
        session().socket.destroy()
        const [, error] = yield* promised(() => heard.until("error"))
        assert.isFalse(isOfStream(error))
        assert.isDefined(wire.end)
        yield* promised(() => aMoment(5))
        assert.include(told, "leaving")
        const [, late] = yield* promised(() => send().until("error"))
        assert.instanceOf(late, NotBegunError)
      })
    )

    live("that is destroyed fails what it carries, and that is not the end of a stream", () =>
      Effect.gen(function* () {
        for (const begin of [false, true]) {
          const { send, wire } = yield* wired((stream) => {
            if (begin) stream.respond({ ":status": 200 })
          })
          const heard = send()
          yield* promised(() => heard.until(begin ? "head" : "sent"))
          yield* promised(() => aMoment())
          wire.destroy()
          const [, error] = yield* promised(() => heard.until("error"))
          assert.instanceOf(error, ConnectionEndedError)
          assert.isFalse(isOfStream(error))
        }
      })
    )

    live("that is destroyed ends its socket", () =>
      Effect.gen(function* () {
        const { send, socket, wire } = yield* wired(answering)
        yield* promised(() => send().until("end"))
        const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()))
        wire.destroy()
        yield* promised(() => closed)
        assert.isTrue(socket.destroyed)
      })
    )
  })
})

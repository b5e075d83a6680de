import * as http2 from "node:http2"
import * as net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { Connection, type Protocol } from "../src/internal/pool/connection.ts"
import { NotBegunError, StreamEndedError, UnprocessedError } from "../src/internal/exchange/wire.ts"
import { connectedTo, hearing, requestTo } from "./support/wires.ts"

const live = (name: string, test: () => Effect.Effect<void, never, Scope.Scope>) =>
  it.live(name, () => Effect.scoped(test()), 20_000)

const until = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (holds() ? Effect.void : Effect.andThen(Effect.sleep("2 millis"), until(holds))))

/** A connection, and what its owner is told of it. */
const connected = (server: net.Server, protocol: Protocol) =>
  Effect.gen(function* () {
    const { origin, socket } = yield* connectedTo(server)
    const told: Array<string> = []
    const connection = new Connection(
      origin,
      { socket, protocol, peer: "", dnsMillis: undefined, connectMillis: 0, tlsMillis: undefined },
      {
        ageFactor: 1,
        streams: 100,
        headerBytes: 16_384,
        onCapacity: () => told.push("capacity"),
        onLeaving: () => told.push("leaving"),
        onClosed: () => told.push("closed")
      }
    )
    yield* Effect.addFinalizer(() => Effect.promise(() => connection.close()))
    return { connection, socket, told, origin }
  })

const silent = (onConnection: (peer: net.Socket) => void = () => {}) =>
  net.createServer({ allowHalfOpen: true }, (peer) => {
    peer.resume()
    onConnection(peer)
  })

describe("a connection", () => {
  live("of HTTP/1.1 carries one request, and of HTTP/2 one until its peer has said how many", () =>
    Effect.gen(function* () {
      const one = yield* connected(silent(), "http/1.1")
      assert.deepInclude(one.connection, { isMultiplexed: false, isSettled: true, capacity: 1 })
      const many = yield* connected(http2.createServer({ settings: { maxConcurrentStreams: 9 } }), "http/2")
      assert.deepInclude(many.connection, { isMultiplexed: true, isSettled: false, capacity: 1 })
      yield* until(() => many.told.length > 0)
      assert.deepInclude(many.connection, { isSettled: true, capacity: 9 })
      assert.deepStrictEqual(many.told, ["capacity"])
    })
  )

  live("is of use until it retires, and then nobody hears that its peer leaves", () =>
    Effect.gen(function* () {
      const { connection, told } = yield* connected(silent(), "http/1.1")
      assert.isTrue(connection.reusable)
      connection.retire()
      assert.isFalse(connection.reusable)
      connection.onLeaving()
      assert.deepStrictEqual(told, [])
    })
  )

  live("whose peer leaves says so once, and is of no use from then on", () =>
    Effect.gen(function* () {
      const { connection, told } = yield* connected(silent(), "http/1.1")
      connection.onLeaving()
      connection.onLeaving()
      assert.isFalse(connection.reusable)
      assert.deepStrictEqual(told, ["leaving"])
    })
  )

  live("is of no use once its peer has ended it or it has ended itself, said or not", () =>
    Effect.gen(function* () {
      const destroyed = yield* connected(silent(), "http/1.1")
      destroyed.socket.destroy()
      assert.isFalse(destroyed.connection.reusable)
      assert.deepStrictEqual(destroyed.told, [])
      const ended = yield* connected(silent(), "http/1.1")
      ended.socket.end()
      assert.isFalse(ended.connection.reusable)
      assert.deepStrictEqual(ended.told, [])
    })
  )

  live("remembers what broke it first", () =>
    Effect.gen(function* () {
      const { connection, socket } = yield* connected(silent(), "http/1.1")
      const first = new Error("first")
      socket.destroy(first)
      yield* until(() => connection.error !== undefined)
      connection.onError(new Error("second"))
      assert.strictEqual(connection.error, first)
    })
  )

  live("that is closed fails what it carries, and is closed when that is done, however often it is asked", () =>
    Effect.gen(function* () {
      const { connection, origin, socket, told } = yield* connected(silent(), "http/1.1")
      const heard = hearing()
      connection.send(requestTo(origin), heard)
      yield* Effect.promise(() => heard.until("sent"))
      const closing = connection.close()
      assert.isFalse(connection.reusable)
      assert.notInclude(told, "closed")
      yield* Effect.promise(() => closing)
      assert.isTrue(socket.closed)
      yield* Effect.promise(() => heard.until("error"))
      yield* Effect.promise(() => connection.close())
      assert.deepStrictEqual(
        told.filter((one) => one === "closed"),
        ["closed"]
      )
    })
  )

  live("has answered from the first head on, which may say that it closes behind it", () =>
    Effect.gen(function* () {
      const { connection } = yield* connected(silent(), "http/1.1")
      assert.isFalse(connection.hasAnswered)
      connection.onHead(false)
      assert.deepStrictEqual([connection.hasAnswered, connection.reusable], [true, true])
      connection.onHead(true)
      assert.isFalse(connection.reusable)
    })
  )

  live("is of no use after a failure that is not one stream's, and remembers what it was", () =>
    Effect.gen(function* () {
      const { connection } = yield* connected(silent(), "http/1.1")
      connection.onCut(new StreamEndedError("NGHTTP2_CANCEL"))
      connection.onCut(new UnprocessedError("NGHTTP2_REFUSED_STREAM", false))
      assert.deepStrictEqual([connection.reusable, connection.error], [true, undefined])
      connection.onCut(new NotBegunError())
      assert.deepStrictEqual([connection.reusable, connection.error], [false, undefined])
      const reset = Object.assign(new Error("reset"), { code: "ECONNRESET" })
      connection.onCut(reset)
      assert.strictEqual(connection.error, reset)
    })
  )

  live(
    "of one request is of no use when that is left, and of many when three in a row were left without an answer",
    () =>
      Effect.gen(function* () {
        for (const isAnswered of [true, false]) {
          const { connection } = yield* connected(silent(), "http/1.1")
          connection.onLeft(isAnswered)
          assert.isFalse(connection.reusable)
        }
        const { connection } = yield* connected(http2.createServer(), "http/2")
        for (const answered of [true, true, true, false, false]) connection.onLeft(answered)
        assert.isTrue(connection.reusable)
        connection.onHead(false)
        connection.onLeft(false)
        connection.onLeft(false)
        assert.isTrue(connection.reusable)
        connection.onLeft(false)
        assert.isFalse(connection.reusable)
      })
  )

  live("on which a limit passed is of no use, and is closed at once where many wait for a first answer", () =>
    Effect.gen(function* () {
      const one = yield* connected(silent(), "http/1.1")
      one.connection.onLate()
      assert.deepStrictEqual([one.connection.reusable, one.socket.destroyed], [false, false])
      const answered = yield* connected(http2.createServer(), "http/2")
      answered.connection.onHead(false)
      answered.connection.onLate()
      assert.deepStrictEqual([answered.connection.reusable, answered.socket.destroyed], [false, false])
      const never = yield* connected(http2.createServer(), "http/2")
      never.connection.onLate()
      assert.isTrue(never.socket.destroyed)
    })
  )

  live("has read of an answer what is more than what was read before", () =>
    Effect.gen(function* () {
      const { connection, socket } = yield* connected(
        silent((peer) => peer.write("12345")),
        "http/1.1"
      )
      yield* until(() => socket.bytesRead === 5)
      assert.deepStrictEqual(
        [3, 4, 5].map((before) => connection.hasReadSince(before)),
        [true, true, false]
      )
      const many = yield* connected(http2.createServer(), "http/2")
      yield* until(() => many.socket.bytesRead > 0)
      assert.isFalse(many.connection.hasReadSince(0))
    })
  )

  live("was cut off by whatever broke it, but not by having become needless", () =>
    Effect.gen(function* () {
      const broken = (code: string, protocol: Protocol) =>
        Effect.map(connected(protocol === "http/2" ? http2.createServer() : silent(), protocol), ({ connection }) => {
          const before = connection.isCutOff
          connection.onError(Object.assign(new Error("broken"), { code }))
          return [before, connection.isCutOff]
        })
      assert.deepStrictEqual(yield* broken("ECONNRESET", "http/1.1"), [false, true])
      assert.deepStrictEqual(yield* broken("UND_ERR_INFO", "http/1.1"), [false, false])
      assert.deepStrictEqual(yield* broken("ECONNRESET", "http/2"), [false, false])
    })
  )
})

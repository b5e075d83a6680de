import * as http2 from "node:http2"
import * as net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { Connection, type Protocol } from "../src/internal/pool/connection.ts"
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
})

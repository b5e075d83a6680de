import * as net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { Http1Wire, longestMillis } from "../src/internal/exchange/http1Wire.ts"
import { NotBegunError, type WireRequest } from "../src/internal/exchange/wire.ts"
import { connectedTo, type Hearing, hearing, holdingSockets, owning, requestTo } from "./support/wires.ts"

const aMoment = (millis = 30): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** A wire to a peer that does as the test says when it is connected, and for each piece that it gets. */
const wired = (
  onBytes: (peer: net.Socket, bytes: Buffer) => void,
  onConnection: (peer: net.Socket) => void = () => {},
  headerBytes = 16_384
) =>
  Effect.gen(function* () {
    let connections = 0
    const server = net.createServer((peer) => {
      connections++
      peer.on("data", (bytes) => onBytes(peer, bytes))
      onConnection(peer)
    })
    const { origin, socket } = yield* connectedTo(server)
    const { owner, told, until } = owning()
    const wire = new Http1Wire(origin, socket, owner, { headerBytes })
    yield* Effect.addFinalizer(() => Effect.sync(() => wire.destroy()))
    const send = (given: Partial<WireRequest> = {}, listener: Hearing = hearing()): Hearing => {
      wire.send(requestTo(origin, given), listener)
      return listener
    }
    return { wire, socket, told, until, send, connections: () => connections }
  })

const answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
const answering = (peer: net.Socket): void => void peer.write(answer)

const live = (name: string, test: () => Effect.Effect<void, never, Scope.Scope>) =>
  it.live(name, () => Effect.scoped(test()), 20_000)

const promised = <A>(run: () => Promise<A>): Effect.Effect<A> => Effect.promise(run)

const gone = (socket: net.Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.destroyed) resolve()
    else socket.once("close", () => resolve())
  })

describe("HTTP/1.1 on one socket", () => {
  live("a request is what was given, and the host is that of the origin unless the caller has one", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const { send, socket } = yield* wired((peer, bytes) => {
        seen.push(bytes.toString("latin1"))
        answering(peer)
      })
      const host = `127.0.0.1:${socket.remotePort}`
      yield* promised(() => send({ path: "/a?b", headers: ["x-a", "1"] }).until("end"))
      yield* promised(() => send({ headers: ["host", "shop.example"] }).until("end"))
      yield* promised(() => send({ method: "POST", body: "four" }).until("end"))
      const [first = [], second = [], third = []] = seen.map((text) => text.split("\r\n"))
      assert.deepStrictEqual(first.slice(0, 2), ["GET /a?b HTTP/1.1", `host: ${host}`])
      assert.include(first, "x-a: 1")
      assert.include(second, "host: shop.example")
      assert.include(third, "content-length: 4")
      assert.strictEqual(third.at(-1), "four")
    })
  )

  live("interim responses before each answer are passed over, in whatever pieces they come", () =>
    Effect.gen(function* () {
      const interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
      const { connections, send } = yield* wired((peer) => {
        peer.write(`HTTP/1.1 100 Continue\r\n\r\n${interim}${interim.slice(0, 20)}`)
        setTimeout(() => peer.write(interim.slice(20) + answer), 10)
      })
      for (let round = 0; round < 3; round++) {
        const heard = send()
        yield* promised(() => heard.until("end"))
        assert.deepStrictEqual(
          heard.told.filter(([kind]) => kind === "head").map(([, status]) => status),
          [200]
        )
        assert.deepStrictEqual(heard.told.at(-2), ["data", "ok"])
      }
      assert.strictEqual(connections(), 1)
    })
  )

  live("a peer that leaves a connection which has carried nothing is noticed at once", () =>
    Effect.gen(function* () {
      const { send, socket } = yield* wired(answering, (peer) => void setTimeout(() => peer.end(), 20))
      yield* promised(() => gone(socket))
      const [, error] = yield* promised(() => send().until("error"))
      assert.instanceOf(error, NotBegunError)
    })
  )

  live("bytes that nobody asked for are the answer to nothing: the connection is left", () =>
    Effect.gen(function* () {
      const early = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"
      const { send, socket, until } = yield* wired(answering, (peer) => void peer.write(early))
      yield* promised(() => until("leaving"))
      yield* promised(() => gone(socket))
      const heard = send()
      yield* promised(() => heard.until("error"))
      assert.deepStrictEqual(
        heard.told.map(([kind]) => kind),
        ["error"]
      )
    })
  )

  live("never gets another connection: when it is gone, so is all that was not begun", () =>
    Effect.gen(function* () {
      const { connections, send, told, until } = yield* wired((peer) => void peer.end(`${answer}`))
      yield* promised(() => send().until("end"))
      yield* promised(() => until("leaving"))
      const heard = send()
      const [, error] = yield* promised(() => heard.until("error"))
      assert.instanceOf(error, NotBegunError)
      assert.strictEqual(connections(), 1)
      assert.notInclude(told, "capacity 1")
    })
  )

  live("keeps the process alive while it carries something, and not before", () =>
    Effect.gen(function* () {
      const before = holdingSockets()
      const { send } = yield* wired((peer) => void setTimeout(() => answering(peer), 30))
      assert.strictEqual(holdingSockets(), before)
      const heard = send()
      yield* promised(() => aMoment(5))
      assert.strictEqual(holdingSockets(), before + 1)
      yield* promised(() => heard.until("end"))
      // what undici does after an answer comes a turn later
      yield* promised(() => aMoment())
      assert.strictEqual(holdingSockets(), before)
    })
  )

  live("a head longer than the bound fails, and a shorter one does not", () =>
    Effect.gen(function* () {
      const headOf = (bytes: number) => `HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-long: ${"x".repeat(bytes)}\r\n\r\n`
      const short = yield* wired((peer) => void peer.write(headOf(1500)), undefined, 2000)
      yield* promised(() => short.send().until("end"))
      const long = yield* wired((peer) => void peer.write(headOf(2100)), undefined, 2000)
      const [, error] = yield* promised(() => long.send().until("error"))
      assert.propertyVal(error, "code", "UND_ERR_HEADERS_OVERFLOW")
    })
  )

  live("a peer that says how long it keeps a connection is left before that time is over", () =>
    Effect.gen(function* () {
      let hasPeerLeft = false
      const { send, socket, until } = yield* wired((peer) => {
        peer.write("HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 0\r\n\r\n")
        setTimeout(() => {
          hasPeerLeft = !peer.readableEnded
          peer.end()
        }, 900)
      })
      yield* promised(() => send().until("end"))
      yield* promised(() => until("leaving"))
      yield* promised(() => gone(socket))
      assert.isFalse(hasPeerLeft)
    })
  )

  live("has no limits of its own: an unused connection stays, and a slow peer is waited for", () =>
    Effect.gen(function* () {
      // longer than a second, in which undici's timers look
      const slowly = 1600
      const head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no"
      const late = yield* wired((peer) => void setTimeout(() => answering(peer), slowly))
      const dripping = yield* wired((peer) => {
        peer.write(head)
        setTimeout(() => peer.write("k"), slowly)
      })
      const unused = yield* wired(answering)
      yield* promised(() => unused.send().until("end"))
      const heard = [late.send(), dripping.send()]
      for (const one of heard) {
        yield* promised(() => Promise.race([one.until("end"), one.until("error")]))
        assert.strictEqual(one.told.at(-1)?.[0], "end")
      }
      assert.deepStrictEqual(unused.told, [])
      // a platform's timer takes no more
      assert.strictEqual(longestMillis, 2_147_483_647)
    })
  )

  live("that is destroyed fails what it carries and what comes later", () =>
    Effect.gen(function* () {
      const { send, socket, wire } = yield* wired((peer) => void peer.write("HTTP/1.1 200 OK\r\n\r\nhalf"))
      const heard = send()
      yield* promised(() => heard.until("data"))
      wire.destroy()
      yield* promised(() => heard.until("error"))
      yield* promised(() => gone(socket))
      assert.isTrue(socket.destroyed)
    })
  )
})

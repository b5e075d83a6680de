import { fork } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { assert, describe, it, vi } from "@effect/vitest"
import * as FailureClassifier from "@holdfast/http/FailureClassifier"
import type { Address } from "../src/internal/connect/addressOrder.ts"
import { claim, type Connect, dial, type DialError, type DialOptions, dialUnix } from "../src/internal/connect/dial.ts"

const four = (address: string): Address => ({ address, family: 4 })
const six = (address: string): Address => ({ address, family: 6 })

/** A server at one loopback address, which greets. */
const listening = (host: string, port = 0) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<net.Server>((resume) => {
        const server = net.createServer((socket) => {
          socket.on("error", () => {})
          socket.end(host)
        })
        server.listen(port, host, () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.sync(() => server.close())
    ),
    (server) => {
      const address = server.address()
      return typeof address === "object" && address !== null ? address.port : 0
    }
  )

/** A port at which nothing listens. */
const freePort = Effect.scoped(listening("127.0.0.1"))

/** Opens sockets by a script for each address, and remembers them. */
const scripted = (script: {
  readonly [address: string]: "black hole" | number | { readonly code: string; readonly afterMillis: number }
}) => {
  const opened: Array<{ readonly address: string; readonly atMillis: number; readonly socket: net.Socket }> = []
  const connect: Connect = (options) => {
    const address = "host" in options ? (options.host ?? "") : ""
    const how = script[address]
    const socket = new net.Socket()
    opened.push({ address, atMillis: performance.now(), socket })
    if (typeof how === "number") {
      const timer = setTimeout(() => socket.connect({ ...options, host: "127.0.0.1", family: 4 }), how)
      socket.on("close", () => clearTimeout(timer))
    } else if (typeof how === "object") {
      const error = Object.assign(new Error(`connect ${how.code} ${address}`), { code: how.code })
      const timer = setTimeout(() => socket.destroy(error), how.afterMillis)
      socket.on("close", () => clearTimeout(timer))
    }
    return socket
  }
  return { opened, connect, addresses: () => opened.map(({ address }) => address) }
}

const greeting = (socket: net.Socket) =>
  Effect.callback<string>((resume) => {
    socket.once("data", (data) => resume(Effect.succeed(data.toString())))
  })

const dialled = (addresses: ReadonlyArray<Address>, port: number, options: DialOptions = {}) =>
  Effect.acquireRelease(dial(addresses, port, options), (socket) => Effect.sync(() => socket.destroy()))

const listenersOf = (socket: net.Socket) =>
  socket.eventNames().map((name) => `${String(name)} ${socket.listenerCount(name)}`)

const reasonOf = (error: DialError) =>
  FailureClassifier.classify(error, { endpoint: "a.test:80", phase: "connect" })._tag

describe("dial", () => {
  it.live("gives a connected socket without anything of ours on it but the guard that claim takes off", () =>
    Effect.gen(function* () {
      const port = yield* listening("127.0.0.1")
      const untouched = listenersOf(new net.Socket())
      const socket = yield* dialled([four("127.0.0.1")], port, { keepAliveProbeMillis: 30_000 })
      assert.isFalse(socket.connecting)
      assert.strictEqual(socket.remotePort, port)
      assert.sameMembers(listenersOf(socket), [...untouched, "error 1"])
      // whatever comes before somebody is there to hear it must not end the process
      assert.isTrue(socket.emit("error", new Error("early")))
      assert.strictEqual(claim(socket), socket)
      assert.sameMembers(listenersOf(socket), untouched)
      assert.strictEqual(yield* greeting(socket), "127.0.0.1")
    })
  )

  it.live("sockets have no delay, and probe an idle peer when told to", () =>
    Effect.gen(function* () {
      const port = yield* listening("127.0.0.1")
      const asked: Array<net.NetConnectOpts> = []
      const connect: Connect = (options) => {
        asked.push(options)
        return net.connect(options)
      }
      yield* dialled([four("127.0.0.1")], port, { connect })
      yield* dialled([four("127.0.0.1")], port, { connect, keepAliveProbeMillis: 5000 })
      assert.deepInclude(asked[0], { noDelay: true, autoSelectFamily: false })
      assert.notProperty(asked[0], "keepAlive")
      assert.deepInclude(asked[1], { noDelay: true, keepAlive: true, keepAliveInitialDelay: 5000 })
    })
  )

  it.live("an address that follows one that failed has as long for itself as any other", () =>
    Effect.gen(function* () {
      const started = vi.spyOn(globalThis, "setTimeout")
      const cleared = vi.spyOn(globalThis, "clearTimeout")
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.restoreAllMocks()))
      const { connect, opened } = scripted({
        "10.0.0.1": { code: "ECONNREFUSED", afterMillis: 5 },
        "10.0.0.2": "black hole",
        "10.0.0.3": "black hole"
      })
      const given = [four("10.0.0.1"), four("10.0.0.2"), four("10.0.0.3")]
      const dialling = yield* Effect.forkChild(dial(given, 1, { connect, attemptDelayMillis: 61_009 }))
      while (opened.length < 2) yield* Effect.sleep("2 millis")
      const waits = started.mock.results.filter((_, index) => started.mock.calls[index]?.[1] === 61_009)
      const running = waits.filter(({ value }) => !cleared.mock.calls.some(([handle]) => handle === value))
      assert.deepStrictEqual([waits.length, running.length], [2, 1])
      yield* Fiber.interrupt(dialling)
    })
  )

  it.live("dials no further address once it is connected, or has been left", () =>
    Effect.gen(function* () {
      const port = yield* listening("127.0.0.1")
      const won = scripted({ "10.0.0.1": 5, "10.0.0.2": "black hole" })
      const given = [four("10.0.0.1"), four("10.0.0.2")]
      yield* dialled(given, port, { connect: won.connect, attemptDelayMillis: 500 })
      const left = scripted({ "10.0.0.1": "black hole", "10.0.0.2": "black hole" })
      const dialling = dial(given, port, { connect: left.connect, attemptDelayMillis: 500 })
      yield* Fiber.interrupt(yield* Effect.forkChild(dialling, { startImmediately: true }))
      // a busy machine connects within the delay too
      yield* Effect.sleep("600 millis")
      assert.deepStrictEqual([won.addresses(), left.addresses()], [["10.0.0.1"], ["10.0.0.1"]])
    })
  )

  it.live("a slow first address wins over a black hole that was tried after it", () =>
    Effect.gen(function* () {
      const port = yield* listening("127.0.0.1")
      const { addresses, connect, opened } = scripted({ "10.0.0.1": 400, "10.0.0.2": "black hole" })
      const socket = yield* dialled([four("10.0.0.1"), four("10.0.0.2")], port, { connect })
      assert.strictEqual(socket, opened[0]?.socket)
      assert.deepStrictEqual(addresses(), ["10.0.0.1", "10.0.0.2"])
      assert.isTrue(opened[1]?.socket.destroyed)
      // Node fires a timer up to a millisecond early
      assert.isAtLeast((opened[1]?.atMillis ?? 0) - (opened[0]?.atMillis ?? 0), 249)
    })
  )

  it.live("an address that does not answer holds nobody up: the next is tried while it is", () =>
    Effect.gen(function* () {
      const port = yield* listening("127.0.0.1")
      const { connect, opened } = scripted({ "10.0.0.1": "black hole", "10.0.0.2": "black hole", "10.0.0.3": 0 })
      const all = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"].map(four)
      const socket = yield* dialled(all, port, { connect, attemptDelayMillis: 20 })
      assert.strictEqual(socket, opened[2]?.socket)
      assert.deepStrictEqual(
        opened.slice(0, 3).map(({ socket }) => socket.destroyed),
        [true, true, false]
      )
    })
  )

  it.live("an attempt that fails begins the next at once", () =>
    Effect.gen(function* () {
      const port = yield* listening("127.0.0.1")
      const { connect, opened } = scripted({ "10.0.0.1": { code: "ENETUNREACH", afterMillis: 1 }, "10.0.0.2": 0 })
      const socket = yield* dialled([four("10.0.0.1"), four("10.0.0.2")], port, { connect, attemptDelayMillis: 60_000 })
      assert.strictEqual(socket, opened[1]?.socket)
    })
  )

  it.live("families take turns, beginning with that of the first address", () =>
    Effect.gen(function* () {
      const refused = { code: "ECONNREFUSED", afterMillis: 0 }
      const all = [six("fd00::1"), six("fd00::2"), four("10.0.0.1"), four("10.0.0.2")]
      const { addresses, connect } = scripted(Object.fromEntries(all.map(({ address }) => [address, refused])))
      yield* Effect.flip(dial(all, 80, { connect }))
      assert.deepStrictEqual(addresses(), ["fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2"])
    })
  )

  it.live("when all fail the error has every code, and the most telling is the one it is classified by", () =>
    Effect.gen(function* () {
      const { connect } = scripted({
        "fd00::1": { code: "ENETUNREACH", afterMillis: 0 },
        "10.0.0.1": { code: "ETIMEDOUT", afterMillis: 40 },
        "10.0.0.2": { code: "ECONNREFUSED", afterMillis: 0 }
      })
      const all = [six("fd00::1"), four("10.0.0.1"), four("10.0.0.2")]
      const error = yield* Effect.flip(dial(all, 80, { connect, attemptDelayMillis: 5 }))
      assert.strictEqual(error.message, "[fd00::1]:80 ENETUNREACH, 10.0.0.2:80 ECONNREFUSED, 10.0.0.1:80 ETIMEDOUT")
      assert.strictEqual(error.code, "ECONNREFUSED")
      assert.strictEqual(error.attempts.length, 3)
      assert.deepInclude(error.attempts[2], { target: "10.0.0.1:80", code: "ETIMEDOUT" })
      assert.strictEqual(error.attempts[2]?.error.message, "connect ETIMEDOUT 10.0.0.1")
      assert.strictEqual(reasonOf(error), "ConnectionRefused")
      for (const [code, reason] of [
        ["ETIMEDOUT", "ConnectionTimedOut"],
        ["ENETUNREACH", "NetworkUnreachable"],
        ["ECONNRESET", "ConnectionReset"]
      ] as const) {
        const { connect } = scripted({
          "10.0.0.1": { code: "EADDRNOTAVAIL", afterMillis: 0 },
          "10.0.0.2": { code, afterMillis: 0 }
        })
        const error = yield* Effect.flip(dial([four("10.0.0.1"), four("10.0.0.2")], 80, { connect }))
        assert.strictEqual(reasonOf(error), reason)
      }
    })
  )

  it.live("where nothing listens it is refused, by the system's own word", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const error = yield* Effect.flip(dial([four("127.0.0.1")], port))
      assert.strictEqual(error.message, `127.0.0.1:${port} ECONNREFUSED`)
      assert.strictEqual(reasonOf(error), "ConnectionRefused")
    })
  )

  it.live("without addresses, with what is none, and with a port that is none, it fails and looks nothing up", () =>
    Effect.gen(function* () {
      assert.strictEqual(reasonOf(yield* Effect.flip(dial([], 80))), "NameResolutionFailed")
      const { connect, opened } = scripted({})
      assert.strictEqual(
        (yield* Effect.flip(dial([four("localhost")], 80, { connect }))).code,
        "ERR_INVALID_IP_ADDRESS"
      )
      assert.deepStrictEqual(opened, [])
      assert.strictEqual((yield* Effect.flip(dial([four("127.0.0.1")], 70_000))).code, "ERR_SOCKET_BAD_PORT")
    })
  )

  it.live.each<[string, (tell: () => void) => void]>([
    ["later", queueMicrotask],
    ["while it opens a socket", (tell) => tell()]
  ])("interrupted %s, it destroys every socket at once and begins no other attempt", ([, when]) =>
    Effect.gen(function* () {
      const all = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(four)
      const { connect, opened } = scripted(Object.fromEntries(all.map(({ address }) => [address, "black hole"])))
      const begun = yield* Deferred.make<void>()
      const second: Connect = (options) => {
        const socket = connect(options)
        if (opened.length === 2) when(() => Deferred.doneUnsafe(begun, Exit.void))
        return socket
      }
      const dialling = yield* Effect.forkChild(dial(all, 80, { connect: second, attemptDelayMillis: 50 }))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(dialling)
      yield* Effect.yieldNow
      assert.deepStrictEqual(
        opened.map(({ socket }) => socket.destroyed),
        [true, true]
      )
      yield* Effect.sleep("80 millis")
      assert.strictEqual(opened.length, 2)
    })
  )

  it.live("on success no timer and no other socket is left", () =>
    Effect.gen(function* () {
      const port = yield* listening("127.0.0.1")
      const started = vi.spyOn(globalThis, "setTimeout")
      const cleared = vi.spyOn(globalThis, "clearTimeout")
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.restoreAllMocks()))
      const { connect, opened } = scripted({ "10.0.0.1": 0, "10.0.0.2": "black hole" })
      yield* dialled([four("10.0.0.1"), four("10.0.0.2")], port, { connect, attemptDelayMillis: 61_007 })
      assert.strictEqual(opened.length, 1)
      const timers = started.mock.results.filter((_, index) => started.mock.calls[index]?.[1] === 61_007)
      assert.strictEqual(timers.length, 1)
      assert.isTrue(cleared.mock.calls.some(([handle]) => handle === timers[0]?.value))
    })
  )

  it.live("a loser that fails when it is destroyed harms nobody", () =>
    Effect.gen(function* () {
      const port = yield* listening("127.0.0.1")
      const { connect, opened } = scripted({ "10.0.0.1": "black hole", "10.0.0.2": 0 })
      yield* dialled([four("10.0.0.1"), four("10.0.0.2")], port, { connect, attemptDelayMillis: 5 })
      assert.isTrue(opened[0]?.socket.emit("error", new Error("late")))
    })
  )

  it.live("a connection that the system makes to itself is a refused one", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      let itself: net.Socket | undefined
      // the system picks the port called as the one called from once in some ten thousand times; here it has no choice
      const connect: Connect = (options) =>
        (itself = net.connect({ ...options, localPort: port } as net.NetConnectOpts))
      const error = yield* Effect.flip(dial([four("127.0.0.1")], port, { connect }))
      assert.strictEqual(error.code, "ECONNREFUSED")
      assert.match(String(error.attempts[0]?.error), /to itself/)
      assert.isTrue(itself?.destroyed)
    })
  )

  // elsewhere the loopback network has one address only, and a full queue refuses
  it.live.skipIf(process.platform !== "linux")(
    "a listener whose queue is full is a black hole of the real kind, and the next address is reached",
    () =>
      Effect.gen(function* () {
        const folder = yield* Effect.acquireRelease(
          Effect.promise(() => mkdtemp(join(tmpdir(), "dial-"))),
          (folder) => Effect.promise(() => rm(folder, { recursive: true }))
        )
        const program = join(folder, "listener.mjs")
        // accepts nothing any more once it has said where it listens
        const source = `import { createServer } from "node:net"
        createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, function () {
          process.send(this.address().port, () => process.kill(process.pid, "SIGSTOP"))
        })`
        yield* Effect.promise(() => writeFile(program, source))
        const child = yield* Effect.acquireRelease(
          Effect.sync(() => fork(program)),
          (child) => Effect.sync(() => child.kill("SIGKILL"))
        )
        const port = yield* Effect.callback<number>((resume) => {
          child.once("message", (message) => resume(Effect.succeed(Number(message))))
        })
        // what fills the queue connects; then nobody does any more
        let isFull = false
        for (let filler = 0; filler < 10 && !isFull; filler++) {
          const filling = yield* Effect.timeoutOption(dial([four("127.0.0.1")], port), "1 second")
          isFull = filling._tag === "None"
          if (filling._tag === "Some") yield* Effect.addFinalizer(() => Effect.sync(() => filling.value.destroy()))
        }
        assert.isTrue(isFull)
        yield* listening("127.0.0.2", port)
        const socket = yield* dialled([four("127.0.0.1"), four("127.0.0.2")], port)
        assert.strictEqual(socket.remoteAddress, "127.0.0.2")
      })
  )
})

describe("dialUnix", () => {
  it.live("connects to a socket of the file system, and is refused where there is none", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "dial-"))),
        (folder) => Effect.promise(() => rm(folder, { recursive: true }))
      )
      const path = join(folder, "socket")
      const error = yield* Effect.flip(dialUnix(path))
      assert.strictEqual(error.message, `${path} ENOENT`)
      assert.strictEqual(reasonOf(error), "ConnectionRefused")
      yield* Effect.acquireRelease(
        Effect.callback<net.Server>((resume) => {
          const server = net.createServer((socket) => socket.end("unix"))
          server.listen(path, () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const socket = yield* Effect.acquireRelease(dialUnix(path), (socket) => Effect.sync(() => socket.destroy()))
      assert.strictEqual(yield* greeting(claim(socket)), "unix")
    })
  )
})

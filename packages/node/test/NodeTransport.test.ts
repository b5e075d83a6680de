import * as http from "node:http"
import * as http2 from "node:http2"
import { type AddressInfo, createServer, type Server, type Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Metric, Scope } from "effect"
import type * as Reason from "@holdfast/core/Reason"
import type * as Transport from "@holdfast/http/Transport"
import { bounded } from "../../../test/support/calling.ts"
import * as NodeTransport from "../src/NodeTransport.ts"

/** A server on a free port of this process. */
const listening = (server: Server) =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      const open = new Set<Socket>()
      server.on("connection", (socket: Socket) => {
        open.add(socket)
        socket.on("error", () => {})
        socket.once("close", () => open.delete(socket))
      })
      server.once("closing", () => open.forEach((socket) => socket.destroy()))
      // a server that listens on TCP has such an address
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as AddressInfo).port)))
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.emit("closing")
      })
  )

const request = (origin: string, given: Partial<Transport.Request> = {}): Transport.Request => ({
  upstream: "stock",
  operation: "GET /",
  resend: 0,
  method: "GET",
  origin,
  path: "/",
  headers: {},
  body: undefined,
  expectedStatus: [],
  limits: { responseBytes: 1_000_000, errorBytes: 1000, drainBytes: 1000, drainTime: Duration.seconds(1) },
  ...given
})

/** What a request fails with over a transport of its own. */
const failing = (options: NodeTransport.Options, sent: Transport.Request) =>
  Effect.gen(function* () {
    const { transport } = yield* NodeTransport.make({ drainTimeout: "1 millis", ...options })
    return yield* bounded(Effect.flip(transport.send(sent)))
  })

const limitOf = (reason: Reason.TransportReason) => [
  reason._tag,
  "limit" in reason && Duration.isDuration(reason.limit) ? Duration.toMillis(reason.limit) : undefined
]

/** Takes connections and says nothing. */
const silent = () => listening(createServer((socket) => void socket.resume()))

/** Says the beginning of a response and no more. */
const beginning = (begin: string) =>
  listening(createServer((socket) => void socket.once("data", () => socket.write(begin))))

describe("a connection that is closed", () => {
  /** How long connections lived, by their protocol, once there is one. */
  const lived = Effect.gen(function* () {
    for (;;) {
      const found = (yield* Metric.snapshot).flatMap((snapshot) =>
        snapshot.id === "http.client.connection.duration" && snapshot.type === "Histogram"
          ? [{ version: snapshot.attributes?.["network.protocol.version"], ...snapshot.state }]
          : []
      )
      if (found.length > 0) return found
      yield* Effect.sleep("5 millis")
    }
  })

  it.live("is in the metric registry with how long it lived, in seconds", () =>
    Effect.gen(function* () {
      const server = http.createServer((_, response) => {
        response.setHeader("connection", "close")
        setTimeout(() => response.end("hello"), 20)
      })
      const port = yield* listening(server)
      const begin = performance.now()
      const { transport } = yield* NodeTransport.make()
      yield* bounded(transport.send(request(`http://127.0.0.1:${port}`)))
      const [connection, ...others] = yield* bounded(lived)
      const elapsed = (performance.now() - begin) / 1000
      assert.deepStrictEqual(others, [])
      assert.deepInclude(connection, { version: "1.1", count: 1 })
      assert.isAbove(connection?.sum ?? 0, 0)
      assert.isAtMost(connection?.sum ?? Infinity, elapsed)
    }).pipe(Effect.scoped, Effect.provideService(Metric.MetricRegistry, new Map()))
  )
})

describe("a peer that closes connections just after its answers", () => {
  const answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

  /** A call over a transport, and how many connections are ready for the next one right after its answer. */
  const calling = (port: number) =>
    Effect.gen(function* () {
      const { pools, transport } = yield* NodeTransport.make()
      const ready = Effect.gen(function* () {
        yield* bounded(transport.send(request(`http://127.0.0.1:${port}`)))
        const [pool] = yield* pools.snapshot
        assert.strictEqual(pool?.open, 1)
        return pool?.idle
      })
      const closed = Effect.gen(function* () {
        for (let open: number | undefined; open !== 0; [{ open } = { open }] = yield* pools.snapshot) {
          yield* Effect.sleep("5 millis")
        }
        // closes within a moment count as one
        yield* Effect.sleep("25 millis")
      })
      return { ready, closed: bounded(closed), renew: pools.renew }
    })

  it.live("is known by three of them, and its connections rest before they are used again", () =>
    Effect.gen(function* () {
      const port = yield* listening(
        createServer((socket) =>
          socket.once("data", () => {
            socket.write(answer)
            setTimeout(() => socket.end(), 5)
          })
        )
      )
      const { closed, ready } = yield* calling(port)
      for (let count = 0; count < 3; count++) {
        assert.strictEqual(yield* ready, 1)
        yield* closed
      }
      assert.strictEqual(yield* ready, 0)
    })
  )

  it.live("is not the one whose connections this side closed", () =>
    Effect.gen(function* () {
      const port = yield* listening(createServer((socket) => socket.on("data", () => socket.write(answer))))
      const { closed, ready, renew } = yield* calling(port)
      for (let count = 0; count < 4; count++) {
        assert.strictEqual(yield* ready, 1)
        yield* renew
        yield* closed
      }
    })
  )

  it.live("does not keep a caller waiting that had no other connection", () =>
    Effect.gen(function* () {
      let connections = 0
      const port = yield* listening(
        createServer((socket) => {
          const isFirst = connections++ === 0
          socket.once("data", () => (isFirst ? setTimeout(() => socket.destroy(), 20) : socket.write(answer)))
        })
      )
      const { transport } = yield* NodeTransport.make({ connections: 1 })
      const send = transport.send(request(`http://127.0.0.1:${port}`))
      const exits = yield* bounded(Effect.all([Effect.exit(send), Effect.exit(send)], { concurrency: 2 }))
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [false, true])
    })
  )
})

describe("the transport's options", () => {
  it("has the defaults that the documentation says", () => {
    assert.deepStrictEqual(NodeTransport.defaults, {
      connections: 64,
      maxQueue: 1024,
      maxWait: Duration.seconds(5),
      keepAlive: Duration.seconds(4),
      maxAge: Duration.minutes(10),
      maxRequests: Infinity,
      connectTimeout: Duration.seconds(5),
      sendTimeout: Duration.seconds(30),
      headersTimeout: Duration.seconds(30),
      bodyTimeout: Duration.seconds(30),
      transferTimeout: Duration.infinity,
      drainTimeout: Duration.seconds(5),
      decompress: true,
      headerBytes: 65_536,
      http2: false
    })
  })

  it.live("may all be left out", () =>
    Effect.gen(function* () {
      const port = yield* listening(http.createServer((_, response) => void response.end("hello")))
      const { pools, transport } = yield* NodeTransport.make()
      const { body } = yield* bounded(transport.send(request(`http://127.0.0.1:${port}`)))
      assert.strictEqual(Buffer.from(body).toString(), "hello")
      const [pool] = yield* pools.snapshot
      assert.deepInclude(pool, { connections: 64, open: 1 })
    })
  )

  it.live("do not keep a caller that asks for it from hearing once how long the phases took", () =>
    Effect.gen(function* () {
      const port = yield* listening(http.createServer((_, response) => void response.end("hello")))
      const { transport } = yield* NodeTransport.make()
      const heard: Array<Transport.PhaseTimings> = []
      const sent = request(`http://127.0.0.1:${port}`, { onTimings: (timings) => heard.push(timings) })
      for (let count = 0; count < 2; count++) yield* bounded(transport.send(sent))
      assert.deepStrictEqual(
        heard.map(({ connection, peer, protocol }) => [connection, protocol, peer]),
        [
          ["new", "http/1.1", `127.0.0.1:${port}`],
          ["reused", "http/1.1", `127.0.0.1:${port}`]
        ]
      )
      for (const { queueMillis, receiveMillis, sendMillis, waitMillis } of heard) {
        for (const millis of [queueMillis, sendMillis, waitMillis, receiveMillis]) assert.isAtLeast(millis ?? -1, 0)
      }
    })
  )

  it.live("bound each phase by itself, and the reason says which limit passed", () =>
    Effect.gen(function* () {
      const port = yield* silent()
      const origin = `http://127.0.0.1:${port}`
      assert.deepStrictEqual(
        limitOf(yield* failing({ connectTimeout: "31 millis" }, request(`https://127.0.0.1:${port}`))),
        ["ConnectTimeout", 31]
      )
      assert.deepStrictEqual(limitOf(yield* failing({ headersTimeout: "32 millis" }, request(origin))), [
        "HeadersTimeout",
        32
      ])
      const begun = yield* beginning("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
      const sent = request(`http://127.0.0.1:${begun}`)
      assert.deepStrictEqual(limitOf(yield* failing({ bodyTimeout: "33 millis" }, sent)), ["BodyTimeout", 33])
      assert.deepStrictEqual(limitOf(yield* failing({ transferTimeout: "34 millis" }, sent)), ["TransferTimeout", 34])
      const taking = yield* listening(createServer({ pauseOnConnect: true }))
      const large = request(`http://127.0.0.1:${taking}`, { method: "POST", body: new Uint8Array(50_000_000) })
      assert.deepStrictEqual(limitOf(yield* failing({ sendTimeout: "35 millis" }, large)), ["SendTimeout", 35])
    })
  )

  it.live("bound connections, the queue before them, and the wait in it", () =>
    Effect.gen(function* () {
      const port = yield* silent()
      const { pools, transport } = yield* NodeTransport.make({
        connections: 2,
        maxQueue: 1,
        maxWait: "36 millis",
        drainTimeout: "1 millis"
      })
      const sent = request(`http://127.0.0.1:${port}`)
      const running = yield* Effect.forEach([1, 2], () => Effect.forkChild(Effect.exit(transport.send(sent))))
      yield* Effect.gen(function* () {
        while ((yield* pools.snapshot)[0]?.inFlight !== 2) yield* Effect.sleep("1 millis")
      }).pipe(bounded)
      const waiting = yield* Effect.forkChild(Effect.flip(transport.send(sent)))
      yield* Effect.yieldNow
      const refused = yield* bounded(Effect.flip(transport.send(sent)))
      assert.deepInclude(refused, { _tag: "PoolExhausted", connections: 2, queued: 1 })
      assert.isFalse("waited" in refused)
      assert.deepInclude(yield* bounded(Fiber.join(waiting)), { _tag: "PoolExhausted", waited: Duration.millis(36) })
      yield* Fiber.interruptAll(running)
    })
  )

  it.live("bound the heads of requests and of responses", () =>
    Effect.gen(function* () {
      const port = yield* beginning(`HTTP/1.1 200 OK\r\nx-long: ${"x".repeat(1100)}\r\ncontent-length: 0\r\n\r\n`)
      const origin = `http://127.0.0.1:${port}`
      const response = yield* failing({ headerBytes: 1024 }, request(origin))
      assert.deepInclude(response, { _tag: "HeadersTooLarge", of: "response", limit: 1024 })
      const long = request(origin, { headers: { "x-long": "x".repeat(1100) } })
      assert.deepInclude(yield* failing({ headerBytes: 1024 }, long), {
        _tag: "HeadersTooLarge",
        of: "request",
        limit: 1024,
        size: 1 + 6 + 1100 + 32
      })
    })
  )

  it.live("let exchanges finish within drainTimeout when the transport closes, and cut them then", () =>
    Effect.gen(function* () {
      for (const [drainTimeout, ends] of [
        ["20 seconds", "Success"],
        ["1 millis", "Failure"]
      ] as const) {
        const answers: Array<() => void> = []
        const port = yield* listening(http.createServer((_, response) => void answers.push(() => response.end("late"))))
        const scope = yield* Scope.make()
        const { transport } = yield* Scope.provide(NodeTransport.make({ drainTimeout }), scope)
        const call = yield* Effect.forkChild(Effect.exit(transport.send(request(`http://127.0.0.1:${port}`))))
        yield* Effect.gen(function* () {
          while (answers.length === 0) yield* Effect.sleep("1 millis")
        }).pipe(bounded)
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
        if (ends === "Success") {
          yield* Effect.sleep("20 millis")
          assert.isUndefined(closing.pollUnsafe())
          assert.deepInclude(yield* bounded(Effect.flip(transport.send(request(`http://127.0.0.1:${port}`)))), {
            _tag: "ConnectionClosed",
            phase: "connect"
          })
          answers[0]?.()
        }
        assert.strictEqual((yield* bounded(Fiber.join(call)))._tag, ends)
        yield* bounded(Fiber.join(closing))
      }
    })
  )

  it.live("when the transport closes, what waits for a connection is told so", () =>
    Effect.gen(function* () {
      const port = yield* silent()
      const scope = yield* Scope.make()
      const { pools, transport } = yield* Scope.provide(
        NodeTransport.make({ connections: 1, drainTimeout: "1 millis" }),
        scope
      )
      const sent = request(`http://127.0.0.1:${port}`)
      const first = yield* Effect.forkChild(Effect.exit(transport.send(sent)))
      const second = yield* Effect.forkChild(Effect.flip(transport.send(sent)))
      yield* Effect.gen(function* () {
        while ((yield* pools.snapshot)[0]?.inFlight !== 1) yield* Effect.sleep("1 millis")
      }).pipe(bounded)
      yield* bounded(Scope.close(scope, Exit.void))
      assert.deepInclude(yield* bounded(Fiber.join(second)), {
        _tag: "ConnectionClosed",
        phase: "connect",
        code: "UND_ERR_CLOSED"
      })
      assert.strictEqual((yield* bounded(Fiber.join(first)))._tag, "Failure")
    })
  )

  it.live("a connection that takes nothing for a while is given up for another one", () =>
    Effect.gen(function* () {
      let sessions = 0
      const server = http2.createServer({ settings: { maxConcurrentStreams: 0 } })
      server.on("session", (session) => {
        if (++sessions > 1) session.settings({ maxConcurrentStreams: 10 })
      })
      server.on("stream", (stream) => {
        stream.respond({ ":status": 200 })
        stream.end("hello")
      })
      const port = yield* listening(server)
      const { transport } = yield* NodeTransport.make({ http2: { priorKnowledge: true }, connections: 1 })
      const { status } = yield* bounded(transport.send(request(`http://127.0.0.1:${port}`)))
      assert.deepStrictEqual([status, sessions], [200, 2])
    })
  )

  it.live("may take one connection for one request alone, and one that is old for none", () =>
    Effect.gen(function* () {
      for (const options of [{ maxRequests: 1 }, { maxAge: "1 millis" }, {}] as const) {
        let connections = 0
        const server = http.createServer((_, response) => void response.end("hello"))
        server.on("connection", () => connections++)
        const port = yield* listening(server)
        const { transport } = yield* NodeTransport.make(options)
        yield* bounded(transport.send(request(`http://127.0.0.1:${port}`)))
        yield* Effect.sleep("5 millis")
        yield* bounded(transport.send(request(`http://127.0.0.1:${port}`)))
        assert.strictEqual(connections, "maxRequests" in options || "maxAge" in options ? 2 : 1)
      }
    })
  )

  it("that are out of range are refused in words", () => {
    const refused = (options: NodeTransport.Options) => {
      try {
        void NodeTransport.make(options)
        return "taken"
      } catch (error) {
        return error instanceof RangeError ? error.message.replace(/^NodeTransport: /, "") : "another error"
      }
    }
    const whole = ["connections", "maxRequests"] as const
    for (const name of whole) {
      for (const value of [0, -1, 1.5, Number.NaN]) {
        assert.strictEqual(refused({ [name]: value }), `${name} must be a whole number of at least 1, got ${value}`)
      }
      assert.strictEqual(refused({ [name]: 1 }), "taken")
    }
    assert.strictEqual(
      refused({ connections: "5" as never }),
      'connections must be a whole number of at least 1, got "5"'
    )
    assert.strictEqual(refused({ maxQueue: -1 }), "maxQueue must be a whole number of at least 0, got -1")
    assert.strictEqual(refused({ maxQueue: 0 }), "taken")
    assert.strictEqual(refused({ maxRequests: Infinity }), "taken")
    assert.strictEqual(refused({ headerBytes: 1023 }), "headerBytes must be a whole number of at least 1024, got 1023")
    assert.strictEqual(refused({ headerBytes: 1024 }), "taken")
    assert.strictEqual(refused({ http2: { streams: 0 } }), "http2.streams must be a whole number of at least 1, got 0")
    assert.strictEqual(refused({ http2: { streams: 1 } }), "taken")
    for (const name of [
      "maxWait",
      "keepAlive",
      "maxAge",
      "connectTimeout",
      "sendTimeout",
      "headersTimeout",
      "bodyTimeout",
      "transferTimeout",
      "drainTimeout"
    ] as const) {
      assert.strictEqual(refused({ [name]: 0 }), `${name} must be longer than zero, got 0ms`)
      assert.strictEqual(refused({ [name]: "1 millis" }), "taken")
      assert.strictEqual(refused({ [name]: Duration.infinity }), "taken")
    }
    assert.strictEqual(refused({ socketPath: "" }), "socketPath must be a path, got an empty one")
  })
})

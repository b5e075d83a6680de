import { assert, describe, it } from "@effect/vitest"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { constants } from "node:http2"
import type { Socket } from "node:net"
import { Worker } from "node:worker_threads"
import { Effect, Exit, Fiber, type Scope, Stream } from "effect"
import { Outcome, type Transport } from "holdfast"
import { bounded } from "./support/calling.ts"
import { direct, eventually, serve, serveBytes, serveStreams } from "./support/direct.ts"

const answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

const post: Partial<Transport.Request> = { method: "POST", body: "{}" }

const failure = <A, E>(effect: Effect.Effect<A, E>) => bounded(Effect.flip(effect))

describe("connections", () => {
  describe("that have been used before", () => {
    it.live.each([
      { how: "closed", tag: "ConnectionClosed" as const, isReset: false },
      { how: "reset", tag: "ConnectionReset" as const, isReset: true }
    ])(
      "$how before a byte of the answer, they were stale; a fresh one is not, and neither is the first",
      ({ isReset, tag }) =>
        Effect.gen(function* () {
          let requests = 0
          const { origin } = yield* serveBytes((socket) => {
            if (++requests % 2 === 1) socket.write(answer)
            else if (isReset) socket.resetAndDestroy()
            else socket.end()
          })
          const { send } = yield* direct({ connections: 1 })
          yield* bounded(send(origin))
          const reused = yield* failure(send(origin, post))
          assert.deepInclude(reused, { _tag: tag, phase: "wait", stale: true })
          const { applied, cause } = Outcome.fromReason(reused)
          assert.deepStrictEqual([cause, applied], ["stale", "maybe"])
          requests = 1
          const first = yield* failure(send(origin, post))
          assert.strictEqual(first._tag, tag)
          assert.notProperty(first, "stale")
        })
    )

    it.live("closed within the head of an answer, they were not stale", () =>
      Effect.gen(function* () {
        let requests = 0
        const { origin } = yield* serveBytes((socket) => {
          if (++requests === 1) socket.write(answer)
          else socket.end("HTTP/1.1 200 OK\r\n")
        })
        const { send } = yield* direct({ connections: 1 })
        yield* bounded(send(origin))
        const reason = yield* failure(send(origin))
        assert.strictEqual(reason._tag, "ConnectionClosed")
        assert.notProperty(reason, "stale")
        assert.include(reason.message, "connection closed within the head of the response")
      })
    )

    it.live.each([
      { what: "nothing", bytes: "", said: "connection closed before the response began" },
      {
        what: "an interim response",
        bytes: "HTTP/1.1 100 Continue\r\n\r\n",
        said: "connection closed before the response began"
      },
      { what: "a letter", bytes: "H", said: "connection closed within the head of the response" },
      {
        what: "part of a head",
        bytes: "HTTP/1.1 200 OK\r\nx: y",
        said: "connection closed within the head of the response"
      }
    ])("one that is closed after $what says where", ({ bytes, said }) =>
      Effect.gen(function* () {
        const { origin } = yield* serveBytes((socket) => socket.end(bytes))
        const { send } = yield* direct()
        const reason = yield* failure(send(origin))
        assert.include(reason.message, said)
        assert.include(["wait", "send"], "phase" in reason ? reason.phase : undefined)
      })
    )

    it.live(
      "over HTTP/2: a session that ends is stale for all that were on it, and one that resets a stream is not",
      () =>
        Effect.gen(function* () {
          const { origin } = yield* serveStreams((stream, headers) => {
            if (headers[":path"] === "/end") stream.session?.socket.destroy()
            else if (headers[":path"] === "/reset") stream.destroy(new Error("a handler has failed"))
            else if (headers[":path"] !== "/hang") {
              stream.respond({ ":status": 200 })
              stream.end("ok")
            }
          })
          const { send } = yield* direct({ http2: { priorKnowledge: true } })
          yield* bounded(send(origin))
          const reset = yield* failure(send(origin, { path: "/reset" }))
          assert.strictEqual(reset._tag, "ConnectionReset")
          assert.notProperty(reset, "stale")
          const hanging = yield* Effect.forkChild(Effect.flip(send(origin, { path: "/hang" })))
          yield* Effect.sleep("20 millis")
          const ended = [yield* failure(send(origin, { path: "/end" })), yield* bounded(Fiber.join(hanging))]
          for (const reason of ended) assert.deepInclude(reason, { stale: true })
        })
    )
  })

  it.live("one that is to be fresh has carried nothing; where all are taken, an unused one makes room for it", () =>
    Effect.gen(function* () {
      const used: Array<number> = []
      const { connections, origin } = yield* serveBytes((socket, _, connection) => {
        used.push(connection)
        socket.write(answer)
      })
      const { send } = yield* direct({ connections: 1 })
      yield* bounded(send(origin))
      yield* bounded(send(origin))
      yield* bounded(send(origin, { freshConnection: true }))
      yield* bounded(send(origin))
      assert.deepStrictEqual(used, [1, 1, 2, 2])
      assert.strictEqual(connections(), 2)
    })
  )

  it.live("over HTTP/2 all that were on one that ended share a fresh one", () =>
    Effect.gen(function* () {
      const { connections, origin } = yield* serveStreams((stream) => {
        stream.respond({ ":status": 200 })
        setTimeout(() => stream.end("ok"), 10)
      })
      const { send } = yield* direct({ http2: { priorKnowledge: true } })
      yield* bounded(send(origin))
      const fresh = Array.from({ length: 20 }, () => send(origin, { freshConnection: true }))
      yield* bounded(Effect.all(fresh, { concurrency: "unbounded" }))
      assert.strictEqual(connections(), 2)
    })
  )

  it.live("to a server that closes them after each answer without a word, a second call waits until that shows", () =>
    Effect.gen(function* () {
      const { origin } = yield* serveBytes((socket) => {
        socket.write(answer)
        setImmediate(() => socket.end())
      })
      const { send } = yield* direct({ connections: 4 })
      // a peer has shown itself when it has closed connections at three times, 20 ms apart: how many calls that takes is the machine's
      // affair, and how many such times is not
      const apartMillis = 20
      const times = 30
      const began = performance.now()
      let seen = 0
      let seenMillis = -Infinity
      while (performance.now() - began < times * apartMillis) {
        const isAnswered = yield* bounded(
          Effect.match(send(origin, post), { onFailure: () => false, onSuccess: () => true })
        )
        const nowMillis = performance.now()
        if (isAnswered || nowMillis - seenMillis < apartMillis) continue
        seen++
        seenMillis = nowMillis
      }
      assert.isAtLeast(seen, 1)
      assert.isAtMost(seen, 4)
    })
  )

  it.live("a 408 that comes over an unused one before anything is sent does not answer the next call", () =>
    Effect.gen(function* () {
      const { origin } = yield* serveBytes(
        (socket) => {
          setTimeout(() => socket.write(answer), 20)
        },
        (socket, connection) => {
          if (connection === 1) return
          setTimeout(() => socket.end("HTTP/1.0 408 Request Time-out\r\nconnection: close\r\n\r\n"), 5)
        }
      )
      const { pools, send } = yield* direct({ connections: 2 })
      // two connections are begun at once, and the first that is made answers one call after the other
      const calls = Array.from({ length: 2 }, () => Effect.exit(send(origin)))
      const exits = yield* bounded(Effect.all(calls, { concurrency: 2 }))
      assert.isTrue(exits.some(Exit.isSuccess))
      yield* bounded(eventually(pools, ([pool]) => pool?.inFlight === 0 && pool.open <= 1))
      for (let call = 0; call < 3; call++) {
        assert.strictEqual((yield* bounded(send(origin, post))).status, 200)
      }
    })
  )

  it.live(
    "what waits keeps its place and the bound of its wait, though connection after connection is taken from it",
    () =>
      Effect.gen(function* () {
        // each connection answers its first stream, and does nothing with the others
        const { origin } = yield* serveStreams((stream) => {
          const { id = 0, session } = stream
          if (id > 1) return
          session?.goaway(0, 1)
          stream.respond({ ":status": 200 })
          stream.end("ok", () => session?.close())
        })
        const { send } = yield* direct({ http2: { priorKnowledge: true }, connections: 4, maxWait: "5 seconds" })
        const ended: Array<number> = []
        yield* bounded(
          Effect.forEach(
            Array.from({ length: 16 }, (_, caller) => caller),
            (caller) =>
              Effect.andThen(
                send(origin, post),
                Effect.sync(() => ended.push(caller))
              ),
            { concurrency: "unbounded" }
          )
        )
        assert.deepStrictEqual(
          ended.toSorted((a, b) => a - b),
          Array.from({ length: 16 }, (_, caller) => caller)
        )
      })
  )

  it.live("one that takes nothing at all is given up for another one, and those that wait fail in time", () =>
    Effect.gen(function* () {
      let sessions = 0
      const { origin } = yield* serveStreams(
        (stream) => {
          stream.respond({ ":status": 200 })
          stream.end("ok")
        },
        { settings: { maxConcurrentStreams: 0 } }
      )
      const { pools, send } = yield* direct({
        http2: { priorKnowledge: true },
        connectTimeout: "200 millis",
        maxWait: "200 millis"
      })
      const reason = yield* failure(send(origin))
      assert.strictEqual(reason._tag, "PoolExhausted")
      yield* bounded(eventually(pools, ([pool]) => pool?.open === 0))
      sessions = (yield* pools)[0]?.opened ?? 0
      assert.isAtMost(sessions, 2)
    })
  )

  it.live("a stream that is refused goes to another connection whatever its method, unless its body was begun", () =>
    Effect.gen(function* () {
      const seen: Array<string | undefined> = []
      const { origin } = yield* serveStreams((stream, headers) => {
        seen.push(headers[":method"])
        if (seen.length === 1) stream.close(7)
        else {
          stream.respond({ ":status": 200 })
          stream.end("ok")
        }
      })
      const { send } = yield* direct({ http2: { priorKnowledge: true } })
      const response = yield* bounded(send(origin, { method: "POST", body: new Uint8Array(200_000) }))
      assert.deepStrictEqual([response.status, seen], [200, ["POST", "POST"]])
    })
  )

  it.live.each([1, 10, 50])(
    "a burst on a new one keeps to the %d streams that the server allows, and loses no call",
    (most) =>
      Effect.gen(function* () {
        const { origin } = yield* serveStreams(
          (stream) => {
            setTimeout(() => {
              if (stream.destroyed) return
              stream.respond({ ":status": 200 })
              stream.end("ok")
            }, 3)
          },
          { settings: { maxConcurrentStreams: most } }
        )
        const { send } = yield* direct({ http2: { priorKnowledge: true } })
        for (let burst = 0; burst < 2; burst++) {
          const calls = Array.from({ length: 60 }, () => send(origin, post))
          const answers = yield* bounded(Effect.all(calls, { concurrency: "unbounded" }))
          assert.deepStrictEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
        }
      })
  )

  it.live("a server that says farewell to each stream it is sent is not asked without end", () =>
    Effect.gen(function* () {
      let streams = 0
      const { origin } = yield* serveStreams((stream) => {
        streams++
        // as one that has taken others does: it did nothing with this one
        stream.session?.goaway(constants.NGHTTP2_NO_ERROR, 1)
        stream.close(constants.NGHTTP2_REFUSED_STREAM)
      })
      const { send } = yield* direct({ http2: { priorKnowledge: true } })
      const reason = yield* failure(send(origin, post))
      assert.deepInclude(reason, { _tag: "ConnectionReset", unprocessed: true })
      assert.strictEqual(Outcome.fromReason(reason).retryable, true)
      assert.strictEqual(streams, 257)
    })
  )

  it.live.each([
    { how: "longer", bytes: 14 },
    { how: "shorter", bytes: 4 }
  ])("a body that is $how than its request says fails that request, and nothing else on the connection", ({ bytes }) =>
    Effect.gen(function* () {
      const { connections, origin } = yield* serveStreams((stream, headers) => {
        stream.resume()
        if (headers[":path"] === "/wrong") return
        setTimeout(() => {
          stream.respond({ ":status": 200 })
          stream.end("ok")
        }, 60)
      })
      const { send } = yield* direct({ http2: { priorKnowledge: true } })
      yield* bounded(send(origin))
      const other = yield* Effect.forkChild(send(origin, post))
      yield* Effect.sleep("10 millis")
      const wrong = send(origin, {
        method: "POST",
        path: "/wrong",
        headers: { "content-length": "10" },
        body: Stream.make(new Uint8Array(bytes))
      })
      assert.deepInclude(yield* failure(wrong), { code: "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH" })
      assert.strictEqual((yield* bounded(Fiber.join(other))).status, 200)
      assert.strictEqual(connections(), 1)
    })
  )

  it.live.each([{ http2: false as const }, { http2: { priorKnowledge: true } }])(
    "a request says how long its body is, on both protocols: $http2",
    ({ http2 }) =>
      Effect.gen(function* () {
        const seen: Array<string | undefined> = []
        const { origin } = yield* http2 === false
          ? serve((request, response) => {
              seen.push(request.headers["content-length"])
              request.resume()
              response.end("ok")
            })
          : serveStreams((stream, headers) => {
              seen.push(headers["content-length"])
              stream.resume()
              stream.respond({ ":status": 200 })
              stream.end("ok")
            })
        const { send } = yield* direct({ http2 })
        const requests: ReadonlyArray<Partial<Transport.Request>> = [
          { method: "GET" },
          { method: "POST" },
          { method: "POST", body: "naïve" },
          { method: "PUT", body: new Uint8Array(3) },
          { method: "POST", body: new Uint8Array(100_000) }
        ]
        for (const request of requests) yield* bounded(send(origin, request))
        assert.deepStrictEqual(seen, [undefined, "0", "6", "3", "100000"])
      })
  )

  it.live(
    "a small request whose very write fails was not sent, and goes over another connection, whatever its method",
    () =>
      Effect.gen(function* () {
        const sockets: Array<Socket> = []
        const remember = (message: unknown): void => {
          // the channel's own message, whose type it does not name
          sockets.push((message as { readonly socket: Socket }).socket)
        }
        yield* Effect.acquireRelease(
          Effect.sync(() => subscribe("net.client.socket", remember)),
          () => Effect.sync(() => unsubscribe("net.client.socket", remember))
        )
        let requests = 0
        const { connections, origin } = yield* serveBytes((socket) => {
          requests++
          socket.write(answer)
        })
        const { send } = yield* direct({ connections: 1 })
        yield* bounded(send(origin))
        // as the system says it of a connection whose peer has reset it a moment ago
        const [socket] = sockets
        if (socket === undefined) return assert.fail("no socket was opened")
        socket.write = () => {
          socket.destroy(Object.assign(new Error("write EPIPE"), { code: "EPIPE", syscall: "write" }))
          return false
        }
        assert.strictEqual((yield* bounded(send(origin, post))).status, 200)
        assert.deepStrictEqual([requests, connections()], [2, 2])
      })
  )

  it.live("each of two calls at once on a new one is told that it was new for the first of them alone", () =>
    Effect.gen(function* () {
      const { origin } = yield* serveStreams((stream) => {
        stream.respond({ ":status": 200 })
        setTimeout(() => stream.end("ok"), 10)
      })
      const { send } = yield* direct({ http2: { priorKnowledge: true } })
      const told: Array<string | undefined> = []
      const calls = Array.from({ length: 2 }, () =>
        send(origin, { onTimings: ({ connection }) => void told.push(connection) })
      )
      yield* bounded(Effect.all(calls, { concurrency: 2 }))
      assert.deepStrictEqual(told.toSorted(), ["new", "reused"])
    })
  )

  it.live("an answer that is there beats a limit that is due: a loop that was held up fails no call", () =>
    Effect.gen(function* () {
      const { answered, arrived, origin } = yield* elsewhere
      const limitMillis = 500
      const { send } = yield* direct({ headersTimeout: limitMillis, bodyTimeout: limitMillis })
      const calls = Effect.all(
        Array.from({ length: 8 }, () => send(origin)),
        { concurrency: 8 }
      )
      yield* bounded(calls)
      const held = yield* Effect.forkChild(calls)
      // and are answered while nothing here can look
      yield* bounded(eventually(Effect.sync(arrived), (count) => count === 16))
      const from = performance.now()
      const isOver = (): boolean => performance.now() - from > limitMillis + 100 && answered() === 16
      while (!isOver() && performance.now() - from < 20_000);
      const responses = yield* bounded(Fiber.join(held))
      assert.deepStrictEqual(new Set(responses.map(({ status }) => status)), new Set([200]))
    })
  )

  describe("heads", () => {
    it.live.each([{ http2: false }, { http2: { priorKnowledge: true } }])(
      "up to the bound are taken, and a larger one is HeadersTooLarge: $http2",
      ({ http2 }) =>
        Effect.gen(function* () {
          const filler = (path: string | undefined) => "x".repeat(Number(path?.slice(1)))
          const { origin } = yield* http2 === false
            ? serve((request, response) => {
                response.setHeader("x-filler", filler(request.url))
                response.end()
              })
            : serveStreams((stream, headers) => {
                stream.respond({ ":status": 200, "x-filler": filler(headers[":path"]) })
                stream.end()
              })
          const { send } = yield* direct({ http2, headerBytes: 40_000 })
          const response = yield* bounded(send(origin, { path: "/30000" }))
          assert.strictEqual(response.headers["x-filler"]?.length, 30_000)
          const reason = yield* failure(send(origin, { path: "/50000" }))
          assert.deepInclude(reason, { _tag: "HeadersTooLarge", of: "response", limit: 40_000 })
          assert.isFalse(Outcome.fromReason(reason).retryable)
          assert.strictEqual((yield* bounded(send(origin, { path: "/1" }))).status, 200)
        })
    )

    it.live("of a request that are larger than the bound are refused before anything is sent", () =>
      Effect.gen(function* () {
        const { connections, origin } = yield* serve((_, response) => response.end("ok"))
        const { send } = yield* direct()
        const reason = yield* failure(send(origin, { headers: { "x-filler": "x".repeat(100_000) } }))
        assert.deepInclude(reason, { _tag: "HeadersTooLarge", of: "request", limit: 65_536 })
        assert.strictEqual(Outcome.fromReason(reason).applied, "no")
        assert.strictEqual(connections(), 0)
      })
    )
  })
})

/** A server in a thread of its own, which answers after 50 ms whatever this thread does meanwhile. */
const elsewhere: Effect.Effect<
  { readonly origin: string; readonly arrived: () => number; readonly answered: () => number },
  never,
  Scope.Scope
> = Effect.suspend(() => {
  // shared, so that a loop that is held up can read it
  const counts = new Int32Array(new SharedArrayBuffer(8))
  return Effect.map(
    Effect.acquireRelease(
      Effect.callback<{ readonly worker: Worker; readonly port: number }>((resume) => {
        const worker = new Worker(
          `const { parentPort, workerData } = require("node:worker_threads")
          const answer = (_, response) => {
            Atomics.add(workerData, 0, 1)
            setTimeout(() => response.end("ok", () => Atomics.add(workerData, 1, 1)), 50)
          }
          const server = require("node:http").createServer(answer)
          server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port))`,
          { eval: true, workerData: counts }
        )
        worker.once("message", (port: number) => resume(Effect.succeed({ worker, port })))
      }),
      ({ worker }) => Effect.promise(() => worker.terminate())
    ),
    ({ port }) => ({
      origin: `http://127.0.0.1:${port}`,
      arrived: () => Atomics.load(counts, 0),
      answered: () => Atomics.load(counts, 1)
    })
  )
})

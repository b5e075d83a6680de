import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Metric, Scope } from "effect"
import { Outcome } from "holdfast"
import { bounded } from "./support/calling.ts"
import { busy, direct, eventually, type Handler, serve, serveHttp2 } from "./support/direct.ts"

/** Answers what it is told to, when it is told to. */
const onCue = () => {
  const waiting: Array<() => void> = []
  const seen: Array<string> = []
  const handler: Handler = (request, response) => {
    seen.push(request.url ?? "")
    waiting.push(() => response.end("done"))
  }
  return {
    handler,
    seen,
    /** Answers the one that has waited longest. */
    answer: Effect.sync(() => waiting.shift()?.()),
    arrived: (count: number) =>
      bounded(
        eventually(
          Effect.sync(() => seen.length),
          (length) => length >= count
        )
      )
  }
}

const immediately: Handler = (_, response) => response.end("done")

/** Node's compatibility layer gives it to a handler, whose type is that of HTTP/1.1. */
const sessionOf = (stream: unknown): Session | undefined => (stream as { readonly session?: Session }).session

interface Session {
  readonly close: () => void
  readonly destroy: () => void
}

describe("pool", () => {
  it.live("who waits too long for a connection fails with the pool's figures, and the others are answered", () =>
    Effect.gen(function* () {
      const server = onCue()
      const { origin } = yield* serve(server.handler)
      const { pools, send } = yield* direct({ connections: 1, maxWait: "60 millis" })
      const first = yield* Effect.forkChild(send(origin))
      yield* server.arrived(1)
      const error = yield* bounded(Effect.flip(send(origin)))
      assert.strictEqual(error._tag, "PoolExhausted")
      assert.match(
        error.message,
        /^127\.0\.0\.1:\d+: no connection came free within 60ms: all 1 connections are in use and \d calls wait for one$/
      )
      yield* server.answer
      assert.strictEqual((yield* Fiber.join(first)).status, 200)
      assert.deepInclude((yield* pools)[0], { refused: 1, waiting: 0, opened: 1, failed: 0 })
    })
  )

  it.live("who leaves the queue takes no place in it, and nothing of his is sent", () =>
    Effect.gen(function* () {
      const server = onCue()
      const { origin } = yield* serve(server.handler)
      const { pools, send } = yield* direct({ connections: 1, maxQueue: 1 })
      const first = yield* Effect.forkChild(send(origin, { path: "/first" }))
      yield* server.arrived(1)
      const leaving = yield* Effect.forkChild(send(origin, { path: "/left" }))
      yield* eventually(pools, ([pool]) => pool?.waiting === 1)
      assert.strictEqual((yield* Effect.flip(send(origin)))._tag, "PoolExhausted")
      yield* Fiber.interrupt(leaving)
      const last = yield* Effect.forkChild(send(origin, { path: "/last" }))
      yield* eventually(pools, ([pool]) => pool?.waiting === 1)
      yield* server.answer
      yield* server.arrived(2)
      yield* server.answer
      yield* Fiber.join(first)
      yield* Fiber.join(last)
      assert.deepStrictEqual(server.seen, ["/first", "/last"])
    })
  )

  it.live("who leaves the queue makes room in the same turn, and no connection is made for him", () =>
    Effect.gen(function* () {
      const server = onCue()
      const { connections, origin } = yield* serve(server.handler)
      const { pools, send } = yield* direct({ connections: 2, maxQueue: 1 })
      /** Without a turn in between. */
      const begin = (path: string) => Effect.forkChild(send(origin, { path }), { startImmediately: true })
      // the connection that was begun for the one who leaves is for the one who comes
      yield* Fiber.interrupt(yield* begin("/left"))
      const calls = [yield* begin("/first")]
      yield* server.arrived(1)
      assert.strictEqual(connections(), 1)
      calls.push(yield* begin("/second"))
      yield* server.arrived(2)
      yield* Fiber.interrupt(yield* begin("/left"))
      calls.push(yield* begin("/third"))
      assert.strictEqual((yield* pools)[0]?.refused, 0)
      for (let count = 1; count <= 3; count++) {
        yield* server.arrived(count)
        yield* server.answer
      }
      for (const call of calls) yield* bounded(Fiber.join(call))
      assert.deepStrictEqual(server.seen, ["/first", "/second", "/third"])
    })
  )

  it.live("whoever waits gets the connection that comes free first, made or given back", () =>
    Effect.gen(function* () {
      const server = onCue()
      const { connections, origin } = yield* serve(server.handler)
      const { send } = yield* direct({ connections: 2 })
      const calls = yield* Effect.forEach([1, 2, 3, 4, 5], (name) =>
        Effect.forkChild(send(origin, { path: `/${name}` }))
      )
      for (let count = 1; count <= 5; count++) {
        yield* server.arrived(count)
        yield* server.answer
      }
      yield* Effect.forEach(calls, Fiber.join)
      assert.deepStrictEqual(server.seen.slice(2), ["/3", "/4", "/5"])
      assert.strictEqual(connections(), 2)
    })
  )

  it.live("each upstream has a pool of its own at one endpoint, so that one cannot take the other's connections", () =>
    Effect.gen(function* () {
      const server = onCue()
      const { origin } = yield* serve(server.handler)
      const { pools, send } = yield* direct({ connections: 1, maxQueue: 0 })
      const mine = yield* Effect.forkChild(send(origin, { upstream: "payments" }))
      yield* server.arrived(1)
      const theirs = yield* Effect.forkChild(send(origin, { upstream: "reports" }))
      yield* server.arrived(2)
      yield* server.answer
      yield* server.answer
      yield* Fiber.join(mine)
      yield* Fiber.join(theirs)
      assert.deepStrictEqual(
        (yield* pools).map(({ upstream }) => upstream),
        ["payments", "reports"]
      )
    })
  )

  it.live("a connection carries as many exchanges as maxRequests says, and another one the next", () =>
    Effect.gen(function* () {
      const { connections, origin } = yield* serve(immediately)
      const { send } = yield* direct({ maxRequests: 3 })
      for (let call = 0; call < 7; call++) yield* send(origin)
      assert.strictEqual(connections(), 3)
    })
  )

  it.live("a connection that has reached its age takes nothing new", () =>
    Effect.gen(function* () {
      const { connections, origin } = yield* serve(immediately)
      const { send } = yield* direct({ maxAge: "100 millis" })
      yield* send(origin)
      yield* Effect.sleep("110 millis")
      yield* send(origin)
      assert.strictEqual(connections(), 2)
    })
  )

  it.live("after a renewal new calls are on a new connection, and the one in flight finishes on the old", () =>
    Effect.gen(function* () {
      const server = onCue()
      const { connections, origin } = yield* serve(server.handler)
      const { pools, renew, send } = yield* direct({ connections: 1 })
      const old = yield* Effect.forkChild(send(origin))
      yield* server.arrived(1)
      yield* renew
      const next = yield* Effect.forkChild(send(origin))
      yield* server.arrived(2)
      assert.deepInclude((yield* pools)[0], { open: 1, retiring: 1, inFlight: 2 })
      yield* server.answer
      yield* server.answer
      assert.strictEqual((yield* Fiber.join(old)).status, 200)
      assert.strictEqual((yield* Fiber.join(next)).status, 200)
      assert.strictEqual(connections(), 2)
      const [after] = yield* bounded(eventually(pools, ([pool]) => pool?.retiring === 0))
      assert.deepInclude(after, { open: 1, idle: 1, inFlight: 0 })
    })
  )

  it.live("a connection that is being made at a renewal is not used", () =>
    Effect.gen(function* () {
      const { connections, origin } = yield* serve(immediately)
      const { renew, send } = yield* direct()
      const call = yield* Effect.forkChild(send(origin), { startImmediately: true })
      yield* renew
      assert.strictEqual((yield* bounded(Fiber.join(call))).status, 200)
      assert.strictEqual(connections(), 2)
    })
  )

  it.live("a server that closes after each answer costs connections, and nothing else", () =>
    Effect.gen(function* () {
      const { connections, origin } = yield* serve((_, response) => {
        response.setHeader("connection", "close")
        response.end("done")
      })
      const { send } = yield* direct({ connections: 4 })
      yield* bounded(
        Effect.all(
          Array.from({ length: 40 }, () => send(origin, { method: "POST" })),
          { concurrency: 8 }
        )
      )
      assert.strictEqual(connections(), 40)
    })
  )

  it.live("its gauges are in the metric registry while the transport is open, and read when asked", () =>
    Effect.gen(function* () {
      const registry = new Map()
      const server = onCue()
      const { origin } = yield* serve(server.handler)
      const scope = yield* Scope.make()
      const { send } = yield* direct({ connections: 1 }).pipe(
        Scope.provide(scope),
        Effect.provideService(Metric.MetricRegistry, registry)
      )
      const call = yield* Effect.forkChild(send(origin))
      yield* server.arrived(1)
      const read = () =>
        Metric.snapshotUnsafe(Context.make(Metric.MetricRegistry, registry)).map(({ attributes, id, state }) => ({
          id,
          upstream: attributes?.["holdfast.upstream"],
          connection: attributes?.["http.connection.state"],
          state
        }))
      assert.deepInclude(read(), {
        id: "http.client.open_connections",
        upstream: "payments",
        connection: "active",
        state: { value: 1 }
      })
      assert.deepInclude(read(), {
        id: "holdfast.pool.limit",
        upstream: "payments",
        connection: undefined,
        state: { value: 1 }
      })
      yield* server.answer
      yield* Fiber.join(call)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(read(), [])
    })
  )

  describe("HTTP/2", () => {
    it.live("carries many exchanges on one connection, where it is chosen and the server can", () =>
      Effect.gen(function* () {
        const { connections, origin } = yield* serveHttp2((request, response) => {
          response.end(`HTTP/${request.httpVersion}`)
        })
        const { send } = yield* direct({ http2: true })
        const answers = yield* bounded(
          Effect.all(
            Array.from({ length: 100 }, () => send(origin)),
            { concurrency: "unbounded" }
          )
        )
        assert.deepStrictEqual([...new Set(answers.map(({ body }) => new TextDecoder().decode(body)))], ["HTTP/2.0"])
        assert.strictEqual(connections(), 1)
      })
    )

    it.live("is not spoken where it was not chosen", () =>
      Effect.gen(function* () {
        const { origin } = yield* serveHttp2((request, response) => {
          response.end(`HTTP/${request.httpVersion}`)
        })
        const { send } = yield* direct()
        assert.strictEqual(new TextDecoder().decode((yield* send(origin)).body), "HTTP/1.1")
      })
    )

    it.live("opens another connection when the streams of the first are taken", () =>
      Effect.gen(function* () {
        const server = onCue()
        const { connections, origin } = yield* serveHttp2(server.handler)
        const { send } = yield* direct({ http2: { streams: 4 } })
        const calls = yield* Effect.forkChild(
          Effect.all(
            Array.from({ length: 10 }, () => send(origin)),
            { concurrency: "unbounded" }
          )
        )
        yield* server.arrived(10)
        for (let call = 0; call < 10; call++) yield* server.answer
        yield* bounded(Fiber.join(calls))
        assert.strictEqual(connections(), 3)
      })
    )

    it.live("one caller who leaves ends his stream, and not the connection of the others", () =>
      Effect.gen(function* () {
        const server = onCue()
        const closed = yield* Deferred.make<void>()
        const { connections, origin } = yield* serveHttp2((request, response) => {
          if (request.url === "/leaving") response.once("close", () => Deferred.doneUnsafe(closed, Effect.void))
          server.handler(request, response)
        })
        const { pools, send } = yield* direct({ http2: true })
        const leaving = yield* Effect.forkChild(send(origin, { path: "/leaving" }))
        yield* server.arrived(1)
        const staying = yield* Effect.forkChild(send(origin))
        yield* server.arrived(2)
        yield* Fiber.interrupt(leaving)
        yield* bounded(Deferred.await(closed))
        yield* server.answer
        yield* server.answer
        assert.strictEqual((yield* bounded(Fiber.join(staying))).status, 200)
        const later = yield* Effect.forkChild(send(origin))
        yield* server.arrived(3)
        yield* server.answer
        yield* bounded(Fiber.join(later))
        assert.strictEqual(connections(), 1)
        const [pool] = yield* pools
        assert.deepStrictEqual(pool === undefined ? undefined : busy(pool), {
          open: 1,
          idle: 1,
          opening: 0,
          retiring: 0,
          inFlight: 0,
          waiting: 0
        })
      })
    )

    it.live("a server that takes its leave all the time costs connections, and no call", () =>
      Effect.gen(function* () {
        let served = 0
        const { connections, origin } = yield* serveHttp2((request, response) => {
          // the streams that it has taken are answered, and those which were on their way go elsewhere (RFC 9113 §6.8)
          if (++served % 10 === 0 && "stream" in request) sessionOf(request.stream)?.close()
          setTimeout(() => response.end("done"), 5)
        })
        const { pools, send } = yield* direct({ http2: true })
        const answers = yield* bounded(
          Effect.all(
            Array.from({ length: 600 }, (_, call) => send(origin, { method: call % 2 === 0 ? "GET" : "POST" })),
            { concurrency: 32 }
          )
        )
        assert.isTrue(answers.every(({ status }) => status === 200))
        assert.isAtLeast(connections(), 10)
        yield* bounded(eventually(pools, ([pool]) => pool?.retiring === 0 && pool.inFlight === 0))
      })
    )

    it.live("a stream that runs on while its server takes its leave is in nobody's way, and ends well", () =>
      Effect.gen(function* () {
        const server = onCue()
        const { connections, origin } = yield* serveHttp2((request, response) => {
          if (request.url === "/next") return void response.end("done")
          server.handler(request, response)
          if (request.url === "/leaving" && "stream" in request) sessionOf(request.stream)?.close()
        })
        const { pools, send } = yield* direct({ http2: true })
        yield* send(origin, { path: "/next" })
        const long = yield* Effect.forkChild(send(origin, { path: "/long" }))
        yield* server.arrived(1)
        const leaving = yield* Effect.forkChild(send(origin, { path: "/leaving" }))
        yield* server.arrived(2)
        for (let call = 0; call < 3; call++) {
          assert.strictEqual((yield* bounded(send(origin, { path: "/next" }))).status, 200)
        }
        assert.strictEqual(connections(), 2)
        yield* server.answer
        yield* server.answer
        yield* bounded(Fiber.join(long))
        yield* bounded(Fiber.join(leaving))
        yield* bounded(eventually(pools, ([pool]) => pool?.open === 1 && pool.retiring === 0 && pool.inFlight === 0))
      })
    )

    it.live("what waits for its turn on a connection that is left goes to another one, while a stream runs on", () =>
      Effect.gen(function* () {
        const server = onCue()
        const sessions: Array<{ readonly close: () => void }> = []
        const { connections, origin } = yield* serveHttp2(
          server.handler,
          { settings: { maxConcurrentStreams: 1 } },
          (session) => sessions.push(session)
        )
        const { send } = yield* direct({ http2: true, connections: 1 })
        const long = yield* Effect.forkChild(send(origin, { path: "/long" }))
        yield* server.arrived(1)
        const waiting = yield* Effect.forkChild(
          send(origin, { path: "/waiting", method: "POST", body: new TextEncoder().encode("x") })
        )
        yield* Effect.sleep("50 millis")
        assert.deepStrictEqual([connections(), server.seen.length], [1, 1])
        sessions[0]?.close()
        yield* server.arrived(2)
        yield* server.answer
        yield* server.answer
        assert.strictEqual((yield* bounded(Fiber.join(waiting))).status, 200)
        assert.strictEqual((yield* bounded(Fiber.join(long))).status, 200)
        assert.strictEqual(connections(), 2)
      })
    )

    it.live("what never had its turn at a server that answers nothing was not sent, and says so", () =>
      Effect.gen(function* () {
        const seen = new Set<string | undefined>()
        const { origin } = yield* serveHttp2((request) => seen.add(request.url), {
          settings: { maxConcurrentStreams: 1 }
        })
        const { send } = yield* direct({
          http2: true,
          connections: 1,
          headersTimeout: "100 millis",
          maxWait: "250 millis"
        })
        const outcomes = yield* bounded(
          Effect.forEach(
            Array.from({ length: 6 }, (_, index) => `/${index}`),
            (path) =>
              Effect.map(Effect.flip(send(origin, { path, method: "POST" })), (reason) => ({
                isSeen: seen.has(path),
                reason: reason._tag,
                applied: Outcome.fromReason(reason).applied
              })),
            { concurrency: "unbounded" }
          )
        )
        assert.includeDeepMembers(outcomes, [
          { isSeen: true, reason: "HeadersTimeout", applied: "maybe" },
          { isSeen: false, reason: "PoolExhausted", applied: "no" }
        ])
        for (const { applied, isSeen } of outcomes) assert.strictEqual(applied, isSeen ? "maybe" : "no")
      })
    )

    it.live.each([
      { when: "at once", atOnce: true },
      { when: "at its first request", atOnce: false }
    ])("a server that leaves every connection $when fails its calls, and is not called for ever", ({ atOnce }) =>
      Effect.gen(function* () {
        const { connections, origin } = yield* serveHttp2(
          (request) => {
            if ("stream" in request) sessionOf(request.stream)?.destroy()
          },
          {},
          (session) => {
            if (atOnce) session.goaway(0, 0)
          }
        )
        const { send } = yield* direct({ http2: true })
        const outcomes = yield* bounded(
          Effect.all(
            Array.from({ length: 8 }, () => Effect.result(send(origin))),
            { concurrency: "unbounded" }
          )
        )
        assert.isTrue(outcomes.every(({ _tag }) => _tag === "Failure"))
        assert.isAtMost(connections(), 16)
      })
    )

    it.live("a server that speaks only HTTP/1.1 gets as many connections as it needs", () =>
      Effect.gen(function* () {
        const server = onCue()
        const { connections, origin } = yield* serve(server.handler)
        const { send } = yield* direct({ http2: true, connections: 8 })
        const calls = yield* Effect.forkChild(
          Effect.all(
            Array.from({ length: 8 }, () => send(origin)),
            { concurrency: "unbounded" }
          )
        )
        yield* server.arrived(8)
        for (let call = 0; call < 8; call++) yield* server.answer
        yield* bounded(Fiber.join(calls))
        assert.strictEqual(connections(), 8)
      })
    )
  })
})

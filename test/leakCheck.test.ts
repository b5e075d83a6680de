import * as http from "node:http"
import * as tls from "node:tls"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import type { HttpPolicy } from "holdfast"
import { LeakCheck } from "holdfast/testing"
import { calling, callingThrough, nodeTransport } from "./support/calling.ts"
import { Behaviour, TestUpstream } from "./support/upstream.ts"

const once: HttpPolicy.Options = { retry: false, attemptTimeout: false, deadline: false, breaker: false }

const soon = { within: "100 millis" } as const

const told = (leaks: ReadonlyArray<LeakCheck.Leak>): ReadonlyArray<string> =>
  leaks.map(({ count, kind, what }) => `${count} ${kind}: ${what}`)

/** A server in this process, which answers with `ok` and keeps its connections. */
const answering = Effect.callback<http.Server>((resume) => {
  const server = http.createServer((_, response) => response.end("ok"))
  server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
})

const urlOf = (server: http.Server): string => {
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no TCP address")
  return `http://127.0.0.1:${address.port}`
}

const closed = (server: http.Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    server.close(() => resume(Effect.void))
    server.closeAllConnections()
  })

layer(TestUpstream.layer, { excludeTestServices: true })("LeakCheck", (it) => {
  describe("finds", () => {
    it.effect("a TLS socket, and says that it is one", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.healthy, { tls: {} })
        const [socket, leaks] = yield* LeakCheck.find(
          Effect.callback<tls.TLSSocket>((resume) => {
            const options = {
              port: listener.port,
              host: "127.0.0.1",
              servername: "localhost",
              ca: listener.trustedRoot
            }
            const socket = tls.connect(options, () => resume(Effect.succeed(socket)))
          }),
          soon
        )
        socket.destroy()
        assert.deepStrictEqual(told(leaks), [`1 socket: TLS socket to 127.0.0.1:${listener.port}`])
        assert.include(leaks[0]?.where[0], "leakCheck.test.ts")
      })
    )

    it.effect("an HTTP server that nobody closed, and nothing else of it", () =>
      Effect.gen(function* () {
        const [server, leaks] = yield* LeakCheck.find(answering, soon)
        const url = new URL(urlOf(server))
        yield* closed(server)
        assert.deepStrictEqual(told(leaks), [`1 server: server on ${url.host}`])
        assert.include(leaks[0]?.where[0], "leakCheck.test.ts")
      })
    )

    it.effect.each([
      { security: "plain TCP", options: {}, socket: "TCP" },
      { security: "TLS", options: { tls: {} }, socket: "TLS" }
    ])(
      "the idle connection of a transport that outlives the effect, over $security, and its call",
      ({ options, socket }) =>
        Effect.gen(function* () {
          const upstream = yield* TestUpstream
          const listener = yield* upstream.listen(Behaviour.healthy, options)
          const payments = yield* calling(listener, { policy: once })
          const [, leaks] = yield* LeakCheck.find(payments.get("/charges").pipe(Effect.withSpan("reconcile")), soon)
          assert.deepStrictEqual(told(leaks), [`1 socket: ${socket} socket to 127.0.0.1:${listener.port}`])
          assert.match(leaks[0]?.where.join("\n") ?? "", /in reconcile at .*leakCheck\.test\.ts/)
          yield* LeakCheck.around(payments.get("/charges"), { within: 0 })
        })
    )

    it.effect("the connection and the permit of a call that goes on", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.hang]))
        const scope = yield* Scope.make()
        const transport = yield* Layer.build(nodeTransport(listener, { drainTimeout: "50 millis" })).pipe(
          Scope.provide(scope)
        )
        const [, leaks] = yield* LeakCheck.find(
          Effect.scoped(
            Effect.gen(function* () {
              const payments = yield* callingThrough(Layer.succeedContext(transport), listener, {
                policy: { ...once, bulkhead: { maxConcurrent: 4 } }
              })
              yield* Effect.forkIn(payments.get("/"), scope)
              yield* upstream.awaitRequests(listener, 1)
            })
          ),
          soon
        )
        yield* Scope.close(scope, Exit.void)
        assert.includeMembers(
          leaks.map(({ kind }) => kind),
          ["socket", "fiber", "permit"]
        )
        assert.include(told(leaks), `1 permit: bulkhead of payments at http://127.0.0.1:${listener.port}, in flight`)
      })
    )
  })

  describe("is silent about", () => {
    it.effect.each([
      { security: "plain TCP", options: {} },
      { security: "TLS", options: { tls: {} } }
    ])("calls over $security whose transport is closed inside, idle connections and all", ({ options }) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.healthy, options)
        yield* LeakCheck.around(
          Effect.scoped(
            Effect.gen(function* () {
              const payments = yield* calling(listener)
              yield* Effect.all(
                Array.from({ length: 5 }, () => payments.get("/")),
                { concurrency: "unbounded" }
              )
            })
          ),
          // whoever made it: the transport has no timer or socket that the effect is not found to have made
          { madeBy: "anyone" }
        )
      })
    )

    it.effect("what a server of this process keeps for the effect, when the server was there before", () =>
      Effect.gen(function* () {
        const server = yield* Effect.acquireRelease(answering, closed)
        yield* LeakCheck.around(
          Effect.scoped(Effect.flatMap(calling({ url: urlOf(server) }, { policy: once }), (own) => own.get("/")))
        )
      })
    )

    it.effect("a server and its clients that end inside", () =>
      LeakCheck.around(
        Effect.scoped(
          Effect.gen(function* () {
            const server = yield* Effect.acquireRelease(answering, closed)
            const own = yield* calling({ url: urlOf(server) }, { policy: once })
            yield* own.get("/")
          })
        ),
        { madeBy: "anyone" }
      )
    )

    it.effect("a connection that takes its time to close, as long as that is within the bound", () =>
      Effect.gen(function* () {
        const closesLate = Effect.gen(function* () {
          const server = yield* answering
          const { hostname, port } = new URL(urlOf(server))
          const agent = new http.Agent({ keepAlive: true })
          yield* Effect.callback<void>((resume) => {
            http.get({ hostname, port, agent }, (response) => response.resume().once("end", () => resume(Effect.void)))
          })
          setTimeout(() => {
            agent.destroy()
            server.close()
          }, 150)
        })
        const [, early] = yield* LeakCheck.find(closesLate, { within: "20 millis" })
        assert.sameMembers([...new Set(early.map(({ kind }) => kind))], ["server", "socket", "timer"])
        yield* LeakCheck.around(closesLate, { within: "5 seconds" })
      })
    )
  })
})

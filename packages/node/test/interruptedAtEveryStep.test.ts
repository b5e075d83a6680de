import { createServer as createHttpServer, type RequestListener } from "node:http"
import { createServer as createHttpsServer } from "node:https"
import type { AddressInfo, Server, Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Scope, Stream } from "effect"
import type * as Transport from "@holdfast/http/Transport"
import { testProxy } from "../../../test/proxy/testProxy.ts"
import { atEveryStep } from "../../../test/support/atEveryStep.ts"
import { certificates } from "../../../test/support/certificates.ts"
import { bounded } from "../../../test/support/calling.ts"
import { eventually } from "../../../test/support/direct.ts"
import * as NameResolver from "../src/NameResolver.ts"
import * as NodeTransport from "../src/NodeTransport.ts"
import * as Proxy from "../src/Proxy.ts"
import { connect, type Means, routeOf } from "../src/internal/connect/connect.ts"
import { makeTlsClient } from "../src/internal/tls/tlsClient.ts"

/** A server on a free port, and how many connections to it are open. */
const serving = (make: () => Server) =>
  Effect.gen(function* () {
    const sockets = new Set<Socket>()
    const server = make()
    server.on("connection", (socket: Socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
      socket.once("close", () => sockets.delete(socket))
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    // a server that listens on TCP has such an address
    const { port } = server.address() as AddressInfo
    return { port, open: () => sockets.size }
  })

const isSo = (holds: () => boolean, otherwise: string) =>
  eventually(Effect.sync(holds), (value) => value).pipe(
    Effect.timeoutOrElse({ duration: "30 seconds", orElse: () => Effect.sync(() => assert.fail(otherwise)) })
  )

const routes = [
  { origin: "http", proxy: undefined },
  { origin: "https", proxy: undefined },
  { origin: "http", proxy: "http" },
  { origin: "http", proxy: "https" },
  { origin: "https", proxy: "http" },
  { origin: "https", proxy: "https" }
] as const

const answering: RequestListener = (_, response) => void response.end("done")

describe("interrupted, at whichever of its steps,", { timeout: 60_000 }, () => {
  for (const { origin, proxy } of routes) {
    const through = proxy === undefined ? "" : ` through a proxy that is spoken to by ${proxy}`
    it.live(`the making of a connection leaves no socket (${origin}${through})`, () =>
      Effect.gen(function* () {
        const { servers, trustedRoot } = yield* certificates
        const server = yield* serving(() =>
          origin === "https" ? createHttpsServer(servers.good, answering) : createHttpServer(answering)
        )
        const between =
          proxy === undefined ? undefined : yield* testProxy(proxy === "https" ? { tls: servers.good } : {})
        const tls = yield* makeTlsClient({ ca: trustedRoot })
        const means: Means = {
          resolver: yield* NameResolver.make({
            source: () => Effect.succeed({ addresses: [{ address: "127.0.0.1", family: 4 }] })
          }),
          addresses: undefined,
          tls,
          proxyTls: tls,
          socketPath: undefined,
          applicationProtocols: ["http/1.1"],
          priorKnowledge: false
        }
        const endpoint = `localhost:${server.port}`
        const proxies =
          between === undefined ? undefined : Proxy.fixed({ url: `${proxy}://localhost:${between.port}`, noProxy: [] })
        const route = routeOf(`${origin}://${endpoint}`, endpoint, proxies)
        const open = () => (between === undefined ? server.open() : between.open())
        let interrupted = 0
        yield* atEveryStep(({ fork, name, running }) =>
          Effect.gen(function* () {
            const making = yield* fork(connect(means, route), undefined, { uninterruptible: true })
            const exit = yield* bounded(Fiber.await(making))
            if (Exit.hasInterrupts(exit)) interrupted++
            else assert.isTrue(Exit.isSuccess(exit), name)
            if (Exit.isSuccess(exit)) exit.value.socket.destroy()
            yield* isSo(() => open() === 0 && server.open() === 0, `${name}: a socket is left`)
            assert.strictEqual(running(), 0, name)
          })
        )
        assert.isAbove(interrupted, 20)
      })
    )
  }

  const request = (port: number, given: Partial<Transport.Request> = {}): Transport.Request => ({
    upstream: "payments",
    operation: "GET /",
    resend: 0,
    method: "GET",
    origin: `http://127.0.0.1:${port}`,
    path: "/",
    headers: {},
    body: undefined,
    expectedStatus: [],
    limits: { responseBytes: 16_777_216, errorBytes: 16_384, drainBytes: 262_144, drainTime: Duration.seconds(1) },
    ...given
  })

  const exchanges = {
    sent: { use: (transport: Transport.Transport["Service"], sent: Transport.Request) => transport.send(sent) },
    opened: {
      use: (transport: Transport.Transport["Service"], sent: Transport.Request) => transport.open(sent)
    },
    "opened and read": {
      use: (transport: Transport.Transport["Service"], sent: Transport.Request) =>
        Effect.flatMap(transport.open(sent), (answer) =>
          "stream" in answer ? Stream.runDrain(answer.stream) : Effect.die("unread")
        )
    }
  }

  for (const [how, { use }] of Object.entries(exchanges)) {
    for (const body of ["without a body", "with a stream"]) {
      it.live(`an exchange that is ${how}, ${body}, gives its connection back`, () =>
        Effect.gen(function* () {
          const server = yield* serving(() =>
            createHttpServer((incoming, response) => {
              incoming.resume().once("end", () => {
                response.write("x".repeat(200_000))
                response.end("done")
              })
            })
          )
          const { pools, transport } = yield* NodeTransport.make({ connections: 1, drainTimeout: "50 millis" })
          const given =
            body === "with a stream"
              ? { method: "POST", body: Stream.make(new Uint8Array(10), new Uint8Array(10)) }
              : {}
          let interrupted = 0
          yield* atEveryStep(({ fork, name, running }) =>
            Effect.gen(function* () {
              const scope = yield* Scope.make()
              const call = yield* fork(Scope.provide(scope)(use(transport, request(server.port, given))))
              const exit = yield* bounded(Fiber.await(call))
              if (Exit.hasInterrupts(exit)) interrupted++
              else assert.isTrue(Exit.isSuccess(exit), name)
              yield* Scope.close(scope, Exit.void)
              // at once, and not when the server has answered
              yield* Effect.yieldNow
              for (const { inFlight, waiting } of yield* pools.snapshot) {
                assert.deepStrictEqual({ inFlight, waiting }, { inFlight: 0, waiting: 0 }, name)
              }
              assert.strictEqual(running(), 0, name)
              assert.isAtMost(server.open(), 2, name)
            })
          )
          assert.isAtLeast(interrupted, 6)
        })
      )
    }
  }
})

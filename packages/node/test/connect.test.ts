import { mkdtemp, rm } from "node:fs/promises"
import { createServer as createHttpServer } from "node:http"
import { type AddressInfo, createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { testProxy } from "../../../test/proxy/testProxy.ts"
import { certificates } from "../../../test/support/certificates.ts"
import { bounded } from "../../../test/support/calling.ts"
import * as AddressPolicy from "../src/AddressPolicy.ts"
import * as NameResolver from "../src/NameResolver.ts"
import * as Proxy from "../src/Proxy.ts"
import { connect, type Means, routeOf } from "../src/internal/connect/connect.ts"
import { makeTlsClient } from "../src/internal/tls/tlsClient.ts"
import { tlsServer } from "./support/tlsServer.ts"

/** What connections are made with, where every name is this machine. */
const meansOf = (given: Partial<Means> = {}) =>
  Effect.gen(function* () {
    const { trustedRoot } = yield* certificates
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
      priorKnowledge: false,
      ...given
    }
    return means
  })

const listening = (at: { readonly path: string } | { readonly port: 0; readonly host: string }) =>
  Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = createServer((socket) => void socket.on("error", () => {}).resume())
      server.listen(at, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  ).pipe(Effect.map((server) => portOf(server.address())))

const portOf = (address: AddressInfo | string | null): number =>
  typeof address === "object" ? (address?.port ?? 0) : 0

/** A connection that is destroyed with the scope. */
const connected = (means: Means, origin: string) =>
  Effect.acquireRelease(
    Effect.uninterruptible(bounded(connect(means, routeOf(origin, new URL(origin).host, undefined)))),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

const failed = (means: Means, origin: string) =>
  Effect.flip(bounded(connect(means, routeOf(origin, new URL(origin).host, undefined))))

const live = (name: string, test: () => Effect.Effect<void, unknown, Scope.Scope>) =>
  it.live(name, () => Effect.scoped(test()))

describe("a connection", () => {
  live("says who its peer is, what is spoken, and how long its steps took", () =>
    Effect.gen(function* () {
      const port = yield* listening({ port: 0, host: "127.0.0.1" })
      const { connectMillis, dnsMillis, peer, protocol, tlsMillis } = yield* connected(
        yield* meansOf(),
        `http://stock.test:${port}`
      )
      assert.deepStrictEqual([peer, protocol, tlsMillis], [`127.0.0.1:${port}`, "http/1.1", undefined])
      assert.isAtLeast(dnsMillis ?? -1, 0)
      assert.isAtLeast(connectMillis, 0)
    })
  )

  live("with TLS speaks what the handshake agreed on, and says how long that took", () =>
    Effect.gen(function* () {
      const { servers } = yield* certificates
      for (const [offered, spoken] of [
        [["h2", "http/1.1"], "http/2"],
        [["http/1.1"], "http/1.1"]
      ] as const) {
        const { port } = yield* tlsServer({ ...servers.good, ALPNProtocols: [...offered] })
        const means = yield* meansOf({ applicationProtocols: ["h2", "http/1.1"] })
        const begun = performance.now()
        const {
          connectMillis,
          dnsMillis = 0,
          protocol,
          tlsMillis = -1
        } = yield* connected(means, `https://localhost:${port}`)
        // the steps come after each other, and are no longer than all of it
        assert.isAtMost(dnsMillis + connectMillis + tlsMillis, performance.now() - begun)
        assert.strictEqual(protocol, spoken)
        assert.isAbove(tlsMillis, 0)
      }
    })
  )

  live("without TLS speaks HTTP/2 where it is known that the server does", () =>
    Effect.gen(function* () {
      const port = yield* listening({ port: 0, host: "127.0.0.1" })
      const { protocol } = yield* connected(yield* meansOf({ priorKnowledge: true }), `http://stock.test:${port}`)
      assert.strictEqual(protocol, "http/2")
    })
  )

  live("to a Unix socket has that for its peer, and is not preceded by a look-up", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "holdfast-socket-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true }))
      )
      const path = join(folder, "http")
      yield* listening({ path })
      const { dnsMillis, peer } = yield* connected(yield* meansOf({ socketPath: path }), "http://stock.test")
      assert.deepStrictEqual([dnsMillis, peer], [undefined, path])
      const missing = yield* failed(yield* meansOf({ socketPath: `${path}-not` }), "http://stock.test")
      assert.deepInclude(missing, {
        _tag: "ConnectionRefused",
        phase: "connect",
        code: "ENOENT",
        detail: `at the socket ${path}-not`
      })
    })
  )

  live("is not made to a name without an address, and the reason has the code of the resolver", () =>
    Effect.gen(function* () {
      const resolver = yield* NameResolver.make({
        source: (host) => Effect.fail(new NameResolver.NameResolutionError({ host, code: "ECONNREFUSED" }))
      })
      assert.deepInclude(yield* failed(yield* meansOf({ resolver }), "http://stock.test"), {
        _tag: "NameResolutionFailed",
        endpoint: "stock.test",
        phase: "connect",
        code: "ECONNREFUSED"
      })
    })
  )

  live("is not made where nobody listens, nor to an address or a host that is denied", () =>
    Effect.gen(function* () {
      const port = yield* Effect.scoped(listening({ port: 0, host: "127.0.0.1" }))
      assert.deepInclude(yield* failed(yield* meansOf(), `http://stock.test:${port}`), {
        _tag: "ConnectionRefused",
        code: "ECONNREFUSED"
      })
      const denied = yield* failed(yield* meansOf({ addresses: AddressPolicy.publicOnly }), `http://stock.test:${port}`)
      assert.deepInclude(denied, { _tag: "AddressDenied", address: "127.0.0.1" })
      const addresses = AddressPolicy.make({ deny: [{ host: "stock.test" }] })
      assert.strictEqual((yield* failed(yield* meansOf({ addresses }), "http://stock.test"))._tag, "AddressDenied")
    })
  )

  live("fails with what the handshake failed with", () =>
    Effect.gen(function* () {
      const { servers } = yield* certificates
      const { port } = yield* tlsServer(servers.untrustedRoot)
      const reason = yield* failed(yield* meansOf(), `https://localhost:${port}`)
      assert.deepInclude(reason, { _tag: "CertificateUntrusted", endpoint: `localhost:${port}` })
    })
  )

  live("was connected after its name was resolved, and both took no longer than all of it", () =>
    Effect.gen(function* () {
      const port = yield* listening({ port: 0, host: "127.0.0.1" })
      const resolver = yield* NameResolver.make({
        source: () => Effect.as(Effect.sleep("100 millis"), { addresses: [{ address: "127.0.0.1", family: 4 }] })
      })
      const means = yield* meansOf({ resolver })
      const begun = performance.now()
      const { connectMillis, dnsMillis = 0 } = yield* connected(means, `http://stock.test:${port}`)
      const all = performance.now() - begun
      assert.isAtLeast(dnsMillis, 95)
      assert.isAtLeast(connectMillis, 0)
      assert.isAtMost(dnsMillis + connectMillis, all)
    })
  )

  const through = (proxy: string) => Proxy.fixed({ url: proxy, noProxy: [] })

  live("through a proxy is one to the proxy without TLS, and one through its tunnel with TLS", () =>
    Effect.gen(function* () {
      const proxy = yield* testProxy()
      const means = yield* meansOf({ priorKnowledge: true })
      const proxies = through(`http://proxy.test:${proxy.port}`)
      const made = (origin: string) =>
        Effect.acquireRelease(
          Effect.uninterruptible(bounded(connect(means, routeOf(origin, new URL(origin).host, proxies)))),
          ({ socket }) => Effect.sync(() => socket.destroy())
        )
      const plain = yield* made("http://stock.test")
      assert.deepInclude(plain, { peer: `127.0.0.1:${proxy.port}`, protocol: "http/1.1", tlsMillis: undefined })
      assert.isNumber(plain.dnsMillis)
      const { servers } = yield* certificates
      const { connections, port } = yield* tlsServer(servers.good)
      const secured = yield* made(`https://localhost:${port}`)
      assert.strictEqual(secured.peer, `127.0.0.1:${proxy.port}`)
      assert.isAbove(secured.tlsMillis ?? -1, 0)
      assert.strictEqual(connections(), 1)
    })
  )

  live("through a proxy that does not let it through is not made, and the reason is the proxy's", () =>
    Effect.gen(function* () {
      const means = yield* meansOf()
      const reason = (origin: string, proxy: string) =>
        Effect.flip(bounded(connect(means, routeOf(origin, new URL(origin).host, through(proxy)))))
      const gone = yield* Effect.scoped(listening({ port: 0, host: "127.0.0.1" }))
      for (const origin of ["http://stock.test", "https://stock.test"]) {
        assert.deepInclude(yield* reason(origin, `http://proxy.test:${gone}`), {
          _tag: "ProxyFailed",
          endpoint: "stock.test",
          code: "ECONNREFUSED",
          detail: `proxy.test:${gone} refused the connection`
        })
      }
      const refusing = createHttpServer()
      refusing.on("connect", (_, socket) => void socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"))
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void refusing.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => refusing.close())
      )
      const port = portOf(refusing.address())
      assert.deepInclude(yield* reason("https://stock.test", `http://proxy.test:${port}`), {
        _tag: "ProxyFailed",
        code: "403",
        detail: `proxy.test:${port} answered 403 Forbidden`
      })
    })
  )
})

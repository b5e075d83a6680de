import type { Socket } from "node:net"
import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted } from "effect"
import { Client } from "undici"
import { connectTo, get, plainUpstream, secured, tlsUpstream } from "../../../test/proxy/connecting.ts"
import { deeds, steps, testProxy } from "../../../test/proxy/testProxy.ts"
import type { ProxyOptions, TestProxy } from "../../../test/proxy/testProxy.ts"
import type { Certificates } from "../../../test/support/certificates.ts"
import { certificates } from "../../../test/support/certificates.ts"
import * as Proxy from "../src/Proxy.ts"
import { absoluteForm, ProxyError, proxyHeaders, proxyReason, tunnel } from "../src/internal/proxy/tunnel.ts"

const credentials = { username: "shop", password: "open sesame" }
const basic = Buffer.from("shop:open sesame").toString("base64")

/** How the client is told of a proxy of the test, with credentials that nothing may show. */
const targetOf = (port: number, scheme: "http" | "https" = "http"): Proxy.ProxyTarget => {
  const url = `${scheme}://127.0.0.1:${port}`
  const { https } = Proxy.fixed({
    url,
    credentials: { username: credentials.username, password: Redacted.make(credentials.password) }
  })
  if (https === undefined) throw new Error("a proxy was expected")
  return https
}

/** Everything that might listen to a socket. */
const listeners = (socket: Socket): Record<string, number> =>
  Object.fromEntries(socket.eventNames().map((name) => [String(name), socket.listenerCount(name)]))

const open = (proxy: TestProxy, target: string, trusted?: Certificates) =>
  Effect.flatMap(connectTo(proxy.port, trusted), (socket) =>
    Effect.map(
      tunnel(socket, { proxy: targetOf(proxy.port, trusted === undefined ? "http" : "https"), target }),
      (tunnelled) => ({ socket, tunnelled })
    )
  )

/** The failure of a tunnel, after which nothing of it is left and nothing of it shows a secret. */
const failureOf = Effect.fnUntraced(function* (options: ProxyOptions, target = "payments.test:443") {
  const proxy = yield* testProxy(options)
  const trusted = options.tls === undefined ? undefined : yield* certificates
  const error = yield* Effect.flip(open(proxy, target, trusted)).pipe(Effect.timeout("30 seconds"))
  if (!(error instanceof ProxyError)) throw error
  yield* proxy.idle
  const reason = proxyReason(error, target)
  const shown = inspect(error, { depth: 9, showHidden: true }) + inspect(reason, { depth: 9 }) + JSON.stringify(reason)
  for (const secret of [credentials.password, basic]) assert.notInclude(shown, secret)
  assert.deepInclude({ ...reason }, { endpoint: target, phase: "connect" })
  return { error, reason, said: reason.detail?.replace(String(proxy.port), "PORT"), code: reason.code }
})

describe.each([{ security: "plain" }, { security: "TLS" }])("a tunnel through a $security proxy", ({ security }) => {
  const prepared = Effect.map(certificates, (made) => ({
    made,
    trusted: security === "TLS" ? made : undefined,
    tls: security === "TLS" ? { tls: made.servers.good } : {}
  }))

  it.live("is the same socket, without a listener, and leads to the target", () =>
    Effect.gen(function* () {
      const { made, tls, trusted } = yield* prepared
      const upstream = yield* tlsUpstream(made.servers.good)
      const proxy = yield* testProxy({ ...tls, credentials, hosts: { "payments.test:443": upstream } })
      const socket = yield* connectTo(proxy.port, trusted)
      // a TLS socket has listeners of its own that go when it has told everybody that it is secure
      yield* Effect.promise(() => new Promise(setImmediate))
      const before = listeners(socket)
      const scheme = security === "TLS" ? "https" : "http"
      const target = "payments.test:443"
      const tunnelled = yield* tunnel(socket, { proxy: targetOf(proxy.port, scheme), target })
      assert.strictEqual(tunnelled, socket)
      assert.deepStrictEqual(listeners(socket), before)
      const { body, status } = yield* get(yield* secured(tunnelled, made), "/charges?page=2", { host: "payments.test" })
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(JSON.parse(body), {
        url: "/charges?page=2",
        headers: { host: "payments.test", connection: "close" }
      })
      assert.deepStrictEqual(proxy.asked, [
        { method: "CONNECT", target, headers: { host: target, "proxy-authorization": `Basic ${basic}` } }
      ])
    })
  )

  it.live("loses no byte that comes with the answer, or before anybody reads", () =>
    Effect.gen(function* () {
      const { tls, trusted } = yield* prepared
      const proxy = yield* testProxy({ ...tls, answer: () => "HTTP/1.1 200 OK\r\nvia: x\r\n\r\nfirst, " })
      const { tunnelled } = yield* open(proxy, "payments.test:443", trusted)
      yield* Effect.sleep("20 millis")
      const read = yield* Effect.callback<string>((resume) => {
        let text = ""
        tunnelled.on("data", (chunk: Buffer) => {
          text += String(chunk)
          if (text.length >= 7) resume(Effect.succeed(text))
        })
      }).pipe(Effect.timeout("30 seconds"))
      assert.strictEqual(read, "first, ")
    })
  )

  for (const at of steps.filter((step) => step !== "tunnelled")) {
    for (const deed of deeds.filter((deed) => deed !== "silence")) {
      // it overtakes the connection itself: then there is no socket to make a tunnel over
      if (at === "accepted" && deed === "reset") continue
      it.live(`a proxy's ${deed} (${at}) is a failure that says so`, () =>
        Effect.gen(function* () {
          const { tls } = yield* prepared
          const { code, said } = yield* failureOf({ ...tls, fault: { at, deed } })
          if (deed === "close") {
            assert.deepStrictEqual([code, said], [undefined, "127.0.0.1:PORT closed the connection before it answered"])
          } else if (deed === "reset") {
            assert.deepStrictEqual([code, said], ["ECONNRESET", "127.0.0.1:PORT reset the connection"])
          } else {
            assert.strictEqual(said, "127.0.0.1:PORT answered in something that is not HTTP")
            assert.match(code ?? "", /^HPE_/)
          }
        })
      )
    }

    it.live(`an interruption while the proxy is silent (${at}) destroys the socket`, () =>
      Effect.gen(function* () {
        const { tls, trusted } = yield* prepared
        const proxy = yield* testProxy({ ...tls, fault: { at, deed: "silence" } })
        const socket = yield* connectTo(proxy.port, trusted)
        const scheme = security === "TLS" ? "https" : "http"
        const fiber = yield* Effect.forkChild(
          tunnel(socket, { proxy: targetOf(proxy.port, scheme), target: "payments.test:443" })
        )
        yield* Effect.sleep("30 millis")
        assert.isUndefined(fiber.pollUnsafe(), "it waits as long as it is let")
        yield* Fiber.interrupt(fiber)
        assert.isTrue(socket.destroyed)
        yield* proxy.idle
      })
    )
  }

  it.live("an interruption in the turn in which it began destroys the socket", () =>
    Effect.gen(function* () {
      const { tls, trusted } = yield* prepared
      const proxy = yield* testProxy(tls)
      const socket = yield* connectTo(proxy.port, trusted)
      const fiber = yield* tunnel(socket, { proxy: targetOf(proxy.port), target: "payments.test:443" }).pipe(
        Effect.forkChild({ startImmediately: true })
      )
      yield* Fiber.interrupt(fiber)
      assert.isTrue(socket.destroyed)
      yield* proxy.idle
      assert.deepStrictEqual(proxy.asked, [])
    })
  )

  it.live.each(deeds.filter((deed) => deed !== "silence").map((deed) => ({ deed })))(
    "a proxy's $deed behind the tunnel is heard by who got the socket",
    ({ deed }) =>
      Effect.gen(function* () {
        const { made, tls, trusted } = yield* prepared
        const upstream = yield* tlsUpstream(made.servers.good)
        const fault = { at: "tunnelled", deed } as const
        const proxy = yield* testProxy({ ...tls, fault, hosts: { "payments.test:443": upstream } })
        const error = yield* open(proxy, "payments.test:443", trusted).pipe(
          Effect.flatMap(({ tunnelled }) => secured(tunnelled, made)),
          Effect.flip,
          Effect.timeout("30 seconds")
        )
        assert.notInstanceOf(error, ProxyError)
        assert.include(
          deed === "garbage" ? ["ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_PACKET_LENGTH_TOO_LONG"] : ["ECONNRESET"],
          "code" in error ? error.code : String(error)
        )
        yield* proxy.idle
      })
  )
})

describe("an answer that is no tunnel", () => {
  const statuses: ReadonlyArray<readonly [status: number, said: string]> = [
    [301, "301 Moved Permanently"],
    [400, "400 Bad Request"],
    [401, "401 Unauthorized"],
    [403, "403 Forbidden"],
    [407, "407 Proxy Authentication Required"],
    [500, "500 Internal Server Error"],
    [502, "502 Bad Gateway"],
    [503, "503 Service Unavailable"],
    [504, "504 Gateway Timeout"],
    [599, "599"]
  ]
  for (const [status, words] of statuses) {
    it.live(`is ProxyFailed with its status: ${words}`, () =>
      Effect.gen(function* () {
        // what a proxy says in its own words may hold anything, here what it was sent
        const echo = (headers: object) => JSON.stringify(headers)
        const { error, reason, code, said } = yield* failureOf({
          answer: (headers) => `HTTP/1.1 ${status} ${echo(headers)}\r\nx-echo: ${echo(headers)}\r\n\r\n${echo(headers)}`
        })
        assert.strictEqual(error.status, status)
        assert.deepStrictEqual([code, said], [String(status), `127.0.0.1:PORT answered ${words}`])
        assert.strictEqual(reason._tag, "ProxyFailed")
      })
    )
  }

  it.live("407 is what wrong credentials get", () =>
    Effect.gen(function* () {
      const wrong = yield* failureOf({ credentials: { username: "shop", password: "else" } })
      assert.strictEqual(wrong.code, "407")
    })
  )

  it.live("502 is what a proxy says of a target where nothing listens", () =>
    Effect.gen(function* () {
      const { error } = yield* failureOf({}, "127.0.0.1:1")
      assert.strictEqual(error.status, 502)
    })
  )

  it.live("any success is a tunnel, whatever it calls itself", () =>
    Effect.gen(function* () {
      for (const head of ["HTTP/1.0 200 Connection established", "HTTP/1.1 204 No Content", "HTTP/1.1 200"]) {
        // RFC 9110 §9.3.6: a length in the head of a success means nothing
        const proxy = yield* testProxy({ answer: () => `${head}\r\ncontent-length: 3\r\n\r\nfirst` })
        const { tunnelled } = yield* open(proxy, "payments.test:443")
        assert.strictEqual(String(tunnelled.read()), "first")
      }
    })
  )

  it.live("what cannot be read is not shown, since a proxy may repeat what it was sent", () =>
    Effect.gen(function* () {
      const { code, error } = yield* failureOf({ answer: (headers) => `\0${headers["proxy-authorization"]}\r\n\r\n` })
      assert.notProperty(error.cause, "rawPacket")
      assert.strictEqual(code, "HPE_INVALID_CONSTANT")
    })
  )

  it.live("a head has an end", () =>
    Effect.gen(function* () {
      const { said } = yield* failureOf({ answer: () => `HTTP/1.1 200 OK\r\nx-long: ${"x".repeat(100_000)}` })
      assert.strictEqual(said, "127.0.0.1:PORT answered with a head that is too long")
    })
  )
})

describe("a socket that has ended", () => {
  it.live("makes no tunnel, and nobody waits for one", () =>
    Effect.gen(function* () {
      const proxy = yield* testProxy()
      const ends: ReadonlyArray<(socket: Socket) => unknown> = [
        (socket) => socket.destroy(),
        (socket) => socket.end(),
        (socket) => new Promise((resolve) => socket.once("close", resolve).destroy())
      ]
      for (const end of ends) {
        const socket = yield* connectTo(proxy.port)
        yield* Effect.promise(async () => end(socket))
        const error = yield* tunnel(socket, { proxy: targetOf(proxy.port), target: "payments.test:443" }).pipe(
          Effect.flip,
          Effect.timeout("30 seconds")
        )
        assert.strictEqual(error.message, `127.0.0.1:${proxy.port} closed the connection before it answered`)
      }
      yield* proxy.idle
      assert.strictEqual(proxy.asked.length, 0)
    })
  )
})

describe("proxyReason", () => {
  const coded = (code: string) => Object.assign(new Error("words that are not shown"), { code })
  for (const [code, words] of [
    ["ENOTFOUND", "could not be resolved"],
    ["ECONNREFUSED", "refused the connection"],
    ["ETIMEDOUT", "did not take the connection"],
    ["EPIPE", "reset the connection"],
    ["EHOSTUNREACH", "cannot be reached"],
    ["CERT_HAS_EXPIRED", "failed with CertificateExpired"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "failed with TlsHandshakeFailed"],
    ["EWHATEVER", "failed with TransportFailed"]
  ] as const) {
    it(`${code}: the proxy ${words}`, () => {
      const error = new ProxyError({ proxy: "proxy.internal:3128", cause: coded(code) })
      const reason = proxyReason(error, "payments.internal:443")
      assert.deepInclude({ ...reason }, { code, detail: `proxy.internal:3128 ${words}` })
      assert.notInclude(reason.message, "not shown")
    })
  }

  it("one line says who failed on the way to whom", () => {
    const error = new ProxyError({ proxy: "proxy.internal:3128", status: 407 })
    assert.strictEqual(
      proxyReason(error, "payments.internal:443").message,
      "payments.internal:443: the proxy refused or failed to open the connection [407] " +
        "(proxy.internal:3128 answered 407 Proxy Authentication Required), in phase connect"
    )
  })
})

describe("the absolute form", () => {
  it("is the whole URL; of `OPTIONS *`, the one without a path", () => {
    assert.strictEqual(absoluteForm("http://x.test:8080", "/a?b=c"), "http://x.test:8080/a?b=c")
    assert.strictEqual(absoluteForm("http://[fd00::1]", "?b=c"), "http://[fd00::1]/?b=c")
    assert.strictEqual(absoluteForm("http://x.test", "*"), "http://x.test")
  })

  it.live("goes through a proxy by undici, with what the proxy is sent", () =>
    Effect.gen(function* () {
      const upstream = yield* plainUpstream
      const proxy = yield* testProxy({ credentials, hosts: { "payments.test:80": upstream } })
      const client = yield* Effect.acquireRelease(
        Effect.sync(() => new Client(`http://127.0.0.1:${proxy.port}`)),
        (client) => Effect.promise(() => client.destroy())
      )
      const path = absoluteForm("http://payments.test", "/charges?page=2")
      const host = "payments.test"
      const ask = (headers: Record<string, string>) =>
        Effect.promise(async () => {
          const response = await client.request({ method: "GET", path, headers: { host, ...headers } })
          return [response.statusCode, await response.body.text()] as const
        })
      const [status, body] = yield* ask(proxyHeaders(targetOf(proxy.port)))
      assert.strictEqual(status, 200)
      assert.deepInclude(JSON.parse(body), { url: "/charges?page=2" })
      assert.deepInclude(JSON.parse(body).headers, { host })
      assert.notInclude(body, basic)
      assert.strictEqual((yield* ask({}))[0], 407)
      assert.deepStrictEqual(
        proxy.asked.map(({ method, target }) => [method, target]),
        [
          ["GET", "http://payments.test/charges?page=2"],
          ["GET", "http://payments.test/charges?page=2"]
        ]
      )
    })
  )
})

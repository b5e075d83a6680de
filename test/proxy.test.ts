import { createServer as createSecureServer } from "node:https"
import { createServer } from "node:net"
import { inspect } from "node:util"
import { assert, describe, it, vi } from "@effect/vitest"
import { Cause, type Duration, Effect, Exit, Fiber, Layer, Logger, Redacted, Schema, Tracer } from "effect"
import { Backoff, CallError, ProblemDetails, type HttpPolicy } from "holdfast"
import { NameResolver, NodeTransport, Proxy } from "holdfast/node"
import { listen, plainUpstream, tlsUpstream } from "./proxy/connecting.ts"
import { type Deed, deeds, type ProxyOptions, type Step, steps, testProxy, type TestProxy } from "./proxy/testProxy.ts"
import { isInstalled, tinyproxy } from "./proxy/tinyproxy.ts"
import {
  bounded,
  calling,
  type CallingOptions,
  callingThrough,
  failure,
  nodeTransport,
  racingTimer,
  seen,
  timed
} from "./support/calling.ts"
import { certificates } from "./support/certificates.ts"
import { direct, eventually, serveHttp2 } from "./support/direct.ts"

const isMissing = !isInstalled()
const isRequired = (process.env["CI"] ?? "") !== "" || process.env["HOLDFAST_REQUIRE_TINYPROXY"] === "1"

if (isMissing && !isRequired) {
  console.warn("skipped: no tinyproxy on this machine, so no proxy of other hands than ours is tested")
}

it.skipIf(isMissing && !isRequired)("there is a tinyproxy", () => {
  assert.isFalse(
    isMissing,
    "no tinyproxy on the PATH: install it (Debian, Ubuntu: apt-get install tinyproxy-bin, which starts no service). It is " +
      "required where CI or HOLDFAST_REQUIRE_TINYPROXY=1 is set, because without it nothing shows that a proxy of other " +
      "hands than ours understands us"
  )
})

const credentials = { username: "shop", password: "open-sesame" }
const basic = Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")

/** The proxy on a port of this machine, with these credentials or none. */
const through = (port: number, password?: string, more: Partial<Proxy.Options> = {}): Proxy.Settings =>
  Proxy.fixed({
    url: `http://127.0.0.1:${port}`,
    credentials:
      password === undefined ? undefined : { username: credentials.username, password: Redacted.make(password) },
    ...more
  })

const once: HttpPolicy.Options = { retry: false, attemptTimeout: false, deadline: false, breaker: false }

const Described = Schema.Struct({ url: Schema.String, headers: Schema.Record(Schema.String, Schema.String) })

/** Servers that say what they were asked, and how they are called. */
const upstreamOf = Effect.fnUntraced(function* (scheme: "http" | "https") {
  const { servers, trustedRoot } = yield* certificates
  const port = yield* scheme === "http" ? plainUpstream : tlsUpstream(servers.good)
  return { port, host: `localhost:${port}`, target: { url: `${scheme}://localhost:${port}`, trustedRoot } }
})

const schemes = [{ scheme: "http" }, { scheme: "https" }] as const

/** An upstream whose name only the proxy knows: whoever looks it up here finds nothing. */
const callingUnknown = Effect.fnUntraced(function* (
  scheme: "http" | "https",
  transport: NodeTransport.Options,
  options: Omit<CallingOptions, "transport"> = {}
) {
  const { trustedRoot } = yield* certificates
  const target = { url: `${scheme}://payments.test`, trustedRoot }
  const layer = nodeTransport(target, { ...transport, tls: { servername: "localhost", ...transport.tls } })
  return yield* callingThrough(Layer.provide(layer, NameResolver.layerStatic({})), target, options)
})

/** The port that the proxy of a test takes for the host that only it knows. */
const known = (scheme: "http" | "https", port: number): Pick<ProxyOptions, "hosts"> => ({
  hosts: { [`payments.test:${scheme === "http" ? 80 : 443}`]: port }
})

/** What a failed call says of the proxy: code, and what happened. */
const said = (reason: CallError.CallError["reason"], proxyPort: number) => {
  if (reason._tag !== "ProxyFailed") throw new Error(reason.message)
  assert.strictEqual(reason.phase, "connect")
  return [reason.code, reason.detail?.replace(`127.0.0.1:${proxyPort} `, "")]
}

describe.skipIf(isMissing)("through tinyproxy", () => {
  it.live.each(schemes)(
    "a call to $scheme: reaches the upstream, and what was meant for the proxy does not",
    ({ scheme }) =>
      Effect.gen(function* () {
        const { host, port, target } = yield* upstreamOf(scheme)
        const proxy = yield* tinyproxy({ connectPorts: [port], credentials })
        const payments = yield* calling(target, {
          policy: once,
          transport: { proxy: through(proxy.port, credentials.password) }
        })
        const answer = yield* payments.get("/charges", { query: { page: 2 }, decode: Described })
        assert.strictEqual(answer.url, "/charges?page=2")
        assert.strictEqual(answer.headers["host"], host)
        assert.notProperty(answer.headers, "proxy-authorization")
        // only a request that was passed on bears the mark of who did so
        assert.strictEqual("via" in answer.headers, scheme === "http")
      })
  )

  it.live(
    "ProxyFailed says why there is no tunnel: no credentials, wrong ones, a port that is not allowed, an upstream that is down",
    () =>
      Effect.gen(function* () {
        const { port, target } = yield* upstreamOf("https")
        const down = yield* Effect.scoped(plainUpstream)
        const proxy = yield* tinyproxy({ connectPorts: [port, down], credentials })
        const outcome = Effect.fnUntraced(function* (password: string | undefined, url: string) {
          const payments = yield* calling(
            { ...target, url },
            { policy: once, transport: { proxy: through(proxy.port, password) } }
          )
          return said((yield* failure(payments.get("/"))).reason, proxy.port)
        })
        const { password } = credentials
        assert.deepStrictEqual(yield* outcome(undefined, target.url), [
          "407",
          "answered 407 Proxy Authentication Required"
        ])
        // not the 407 of RFC 9110 §15.5.8
        assert.deepStrictEqual(yield* outcome("else", target.url), ["401", "answered 401 Unauthorized"])
        assert.deepStrictEqual(yield* outcome(password, "https://localhost:9"), ["403", "answered 403 Forbidden"])
        assert.deepStrictEqual(yield* outcome(password, `https://localhost:${down}`), [
          "500",
          "answered 500 Internal Server Error"
        ])
      })
  )

  it.live("a call to http: without credentials is ProxyFailed too, and not the upstream's status", () =>
    Effect.gen(function* () {
      const { target } = yield* upstreamOf("http")
      const proxy = yield* tinyproxy({ connectPorts: [], credentials })
      const payments = yield* calling(target, { policy: once, transport: { proxy: through(proxy.port) } })
      const { reason } = yield* failure(payments.get("/"))
      assert.deepStrictEqual(said(reason, proxy.port), ["407", "answered 407 Proxy Authentication Required"])
    })
  )

  it.live("a tinyproxy that dies ends the calls in its tunnels, and those after them are refused", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      let asked = 0
      const { origin } = yield* serveHttp2(() => void asked++, servers.good)
      const proxy = yield* tinyproxy({ connectPorts: [Number(new URL(origin).port)] })
      const payments = yield* calling(
        { url: origin, trustedRoot },
        { policy: once, transport: { proxy: through(proxy.port) } }
      )
      const call = yield* Effect.forkChild(seen(payments.get("/")))
      yield* bounded(
        eventually(
          Effect.sync(() => asked),
          (count) => count === 1
        )
      )
      yield* proxy.kill
      // in order or by a reset: that is the kernel's to say
      assert.include(["ConnectionClosed", "ConnectionReset"], (yield* Fiber.join(call)).tag)
      const { reason } = yield* failure(payments.get("/"))
      assert.deepStrictEqual(said(reason, proxy.port), ["ECONNREFUSED", "refused the connection"])
    })
  )
})

describe("what goes through a proxy", () => {
  it.live("a call to https: through a tunnel, which the next one uses again; the proxy resolves the name", () =>
    Effect.gen(function* () {
      const { port } = yield* upstreamOf("https")
      const proxy = yield* testProxy({ ...known("https", port), credentials })
      const payments = yield* callingUnknown("https", { proxy: through(proxy.port, credentials.password) })
      for (const url of ["/first", "/second", "/third"]) {
        const { headers, url: asked } = yield* payments.get(url, { decode: Described })
        assert.deepStrictEqual([asked, headers["host"]], [url, "payments.test"])
        assert.notProperty(headers, "proxy-authorization")
      }
      const target = "payments.test:443"
      assert.deepStrictEqual(proxy.asked, [
        { method: "CONNECT", target, headers: { host: target, "proxy-authorization": `Basic ${basic}` } }
      ])
      assert.strictEqual(proxy.open(), 1)
    })
  )

  it.live("a call to http: in absolute form, over a connection that is used again", () =>
    Effect.gen(function* () {
      const { port } = yield* upstreamOf("http")
      const proxy = yield* testProxy({ ...known("http", port), credentials })
      const payments = yield* callingUnknown("http", { proxy: through(proxy.port, credentials.password) })
      for (const url of ["/charges?page=2", "/charges?page=3"]) {
        const { headers, url: asked } = yield* payments.get(url, { decode: Described })
        assert.deepStrictEqual([asked, headers["host"]], [url, "payments.test"])
      }
      assert.deepStrictEqual(
        proxy.asked.map(({ headers, method, target }) => [method, target, headers["proxy-authorization"]]),
        [
          ["GET", "http://payments.test/charges?page=2", `Basic ${basic}`],
          ["GET", "http://payments.test/charges?page=3", `Basic ${basic}`]
        ]
      )
      assert.strictEqual(proxy.open(), 1)
    })
  )

  it.live("many calls at once share one tunnel over HTTP/2", () =>
    Effect.gen(function* () {
      const { connections, origin } = yield* serveHttp2((request, response) => response.end(request.httpVersion))
      const proxy = yield* testProxy()
      const { send } = yield* direct({ http2: true, proxy: through(proxy.port) })
      const answers = yield* bounded(
        Effect.all(
          Array.from({ length: 40 }, () => send(origin)),
          { concurrency: "unbounded" }
        )
      )
      assert.deepStrictEqual([...new Set(answers.map(({ body }) => new TextDecoder().decode(body)))], ["2.0"])
      assert.deepStrictEqual([connections(), proxy.asked.length], [1, 1])
    })
  )

  it.live.each(schemes)("a call to $scheme: through a proxy that is spoken to with TLS", ({ scheme }) =>
    Effect.gen(function* () {
      const { servers } = yield* certificates
      const { port } = yield* upstreamOf(scheme)
      const proxy = yield* testProxy({ ...known(scheme, port), tls: servers.good, credentials })
      const payments = yield* callingUnknown(scheme, {
        proxy: through(proxy.port, credentials.password, { url: `https://127.0.0.1:${proxy.port}` })
      })
      for (const url of ["/first", "/second"]) {
        assert.strictEqual((yield* payments.get(url, { decode: Described })).url, url)
      }
      assert.strictEqual(proxy.asked.length, scheme === "http" ? 2 : 1)
      assert.strictEqual(proxy.open(), 1)
    })
  )

  it.live("a proxy's own certificate is judged as any other, and it is sent nothing when that is wrong", () =>
    Effect.gen(function* () {
      const { servers } = yield* certificates
      for (const [certificate, code, words] of [
        ["untrustedRoot", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "failed with CertificateUntrusted"],
        ["wrongHost", "ERR_TLS_CERT_ALTNAME_INVALID", "failed with CertificateHostMismatch"],
        ["expired", "CERT_HAS_EXPIRED", "failed with CertificateExpired"]
      ] as const) {
        for (const { scheme } of schemes) {
          const proxy = yield* testProxy({ tls: servers[certificate], credentials })
          const url = `https://127.0.0.1:${proxy.port}`
          const payments = yield* callingUnknown(
            scheme,
            { proxy: through(proxy.port, credentials.password, { url }) },
            { policy: once }
          )
          assert.deepStrictEqual(said((yield* failure(payments.get("/"))).reason, proxy.port), [code, words])
          assert.deepStrictEqual(proxy.asked, [])
          yield* proxy.idle
        }
      }
    })
  )

  it.live("what noProxy names is called straight, and the rest is not", () =>
    Effect.gen(function* () {
      for (const { scheme } of schemes) {
        const { port, target } = yield* upstreamOf(scheme)
        const proxy = yield* testProxy(known(scheme, port))
        const straight = yield* calling(target, {
          policy: once,
          transport: { proxy: through(proxy.port, undefined, { noProxy: [".internal", `localhost:${port}`] }) }
        })
        assert.strictEqual((yield* straight.get("/", { decode: Described })).url, "/")
        assert.deepStrictEqual(proxy.asked, [])
        const proxied = yield* callingUnknown(scheme, {
          proxy: through(proxy.port, undefined, { noProxy: [".internal", `localhost:${port}`] })
        })
        assert.strictEqual((yield* proxied.get("/", { decode: Described })).url, "/")
        assert.strictEqual(proxy.asked.length, 1)
      }
    })
  )

  it.live.each(schemes)(
    "the environment's proxy for $scheme: is used where it is asked for, and never else",
    ({ scheme }) =>
      Effect.gen(function* () {
        const { port } = yield* upstreamOf(scheme)
        const proxy = yield* testProxy({ credentials, ...known(scheme, port) })
        const other = yield* testProxy()
        const url = `http://${credentials.username}:${credentials.password}@127.0.0.1:${proxy.port}`
        yield* stubbedEnvironment({
          [`${scheme}_proxy`]: url,
          [`${scheme === "http" ? "https" : "http"}_proxy`]: `http://127.0.0.1:${other.port}`,
          no_proxy: "reports.test"
        })
        const proxied = yield* callingUnknown(scheme, { proxy: Proxy.fromEnvironment() })
        assert.strictEqual((yield* proxied.get("/", { decode: Described })).url, "/")
        assert.deepStrictEqual([proxy.asked.length, other.asked.length], [1, 0])
        // the same name without a proxy is one that nobody knows here
        const straight = yield* callingUnknown(scheme, {}, { policy: once })
        assert.strictEqual((yield* failure(straight.get("/"))).reason._tag, "NameResolutionFailed")
        // loopback is never the proxy's, whatever it is called with
        const { target } = yield* upstreamOf(scheme)
        const local = yield* calling(target, { policy: once, transport: { proxy: Proxy.fromEnvironment() } })
        assert.strictEqual((yield* local.get("/", { decode: Described })).url, "/")
        assert.deepStrictEqual([proxy.asked.length, other.asked.length], [1, 0])
      })
  )

  it("a proxy and a socket that stands for every host contradict each other", () => {
    assert.throws(
      () => NodeTransport.make({ proxy: through(3128), socketPath: "/run/payments.sock" }),
      RangeError,
      "NodeTransport: socketPath and proxy must not both be given, got both"
    )
  })
})

/** Variables of this process, until the scope ends. */
const stubbedEnvironment = (variables: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      for (const name of ["http_proxy", "https_proxy", "all_proxy", "no_proxy"]) {
        vi.stubEnv(name, "")
        vi.stubEnv(name.toUpperCase(), "")
      }
      for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value)
    }),
    () => Effect.sync(() => void vi.unstubAllEnvs())
  )

describe("a proxy that fails", () => {
  it.live("that asks for credentials, or refuses them, is asked once: the call is not tried again", () =>
    Effect.gen(function* () {
      for (const { scheme } of schemes) {
        for (const password of [undefined, "else"]) {
          const proxy = yield* testProxy({ credentials })
          const payments = yield* callingUnknown(scheme, { proxy: through(proxy.port, password) })
          const error = yield* failure(payments.get("/"))
          assert.deepStrictEqual(said(error.reason, proxy.port), ["407", "answered 407 Proxy Authentication Required"])
          assert.deepStrictEqual([error.attempts, error.retryStopped], [1, "not-retryable"])
          assert.deepStrictEqual([proxy.asked.length, error.entry.nature], [1, "permanent"])
          yield* proxy.idle
        }
      }
    })
  )

  it.live("that is in trouble is asked again", () =>
    Effect.gen(function* () {
      const { port } = yield* upstreamOf("https")
      let left = 2
      const proxy = yield* testProxy({
        ...known("https", port),
        answer: () => (left-- > 0 ? "HTTP/1.1 503 Service Unavailable\r\n\r\n" : undefined)
      })
      const payments = yield* callingUnknown(
        "https",
        { proxy: through(proxy.port) },
        { policy: { retry: { schedule: Backoff.exponential({ base: "5 millis" }) } } }
      )
      assert.strictEqual((yield* payments.get("/", { decode: Described })).url, "/")
      assert.strictEqual(proxy.asked.length, 3)
    })
  )

  it.live("that is down, or that nobody knows, is ProxyFailed and says so", () =>
    Effect.gen(function* () {
      const { port } = yield* Effect.scoped(testProxy())
      for (const { scheme } of schemes) {
        const down = yield* callingUnknown(scheme, { proxy: through(port) }, { policy: once })
        const { reason } = yield* failure(down.get("/"))
        assert.deepStrictEqual(said(reason, port), ["ECONNREFUSED", "refused the connection"])
        const unknown = yield* callingUnknown(
          scheme,
          { proxy: Proxy.fixed({ url: "http://proxy.test:3128" }) },
          { policy: once }
        )
        assert.deepInclude(
          { ...(yield* failure(unknown.get("/"))).reason },
          { _tag: "ProxyFailed", code: "ENOTFOUND", detail: "proxy.test:3128 could not be resolved" }
        )
      }
    })
  )

  const limitMillis = 250

  /** How a fault may be told, by how far the connection may have come. */
  const heard = (deed: Deed, at: Step): ReadonlyArray<string> => {
    const closed = "closed the connection before it answered"
    if (deed === "garbage") return ["answered in something that is not HTTP"]
    if (deed === "close") return [closed]
    // it may overtake the connection itself
    return at === "accepted" ? ["reset the connection", closed] : ["reset the connection"]
  }

  /** Waits until the proxy has done its deed. */
  const hasCome = (proxy: TestProxy, at: Step) =>
    bounded(
      eventually(
        Effect.sync(() => proxy.open() === 1 && proxy.asked.length === (at === "accepted" ? 0 : 1)),
        (has) => has
      )
    )

  describe.each([{ security: "plain" }, { security: "TLS" }])("at a step of a $security tunnel", ({ security }) => {
    const isSecure = security === "TLS"

    const faulty = Effect.fnUntraced(function* (fault: NonNullable<ProxyOptions["fault"]>) {
      const { servers } = yield* certificates
      const { port } = yield* upstreamOf("https")
      return yield* testProxy({ ...known("https", port), fault, ...(isSecure ? { tls: servers.good } : {}) })
    })

    const callingThroughIt = (proxy: TestProxy, connectTimeout: Duration.Input) => {
      const url = `${isSecure ? "https" : "http"}://127.0.0.1:${proxy.port}`
      const settings = through(proxy.port, credentials.password, { url })
      return callingUnknown("https", { connectTimeout, proxy: settings }, { policy: once })
    }

    it.live.each(steps.map((at) => ({ at })))("silence ($at) ends by the connectTimeout, for the proxy too", ({ at }) =>
      Effect.gen(function* () {
        const proxy = yield* faulty({ at, deed: "silence" })
        const payments = yield* callingThroughIt(proxy, limitMillis)
        const { millis, value } = yield* timed(failure(payments.get("/")))
        assert.strictEqual(value.reason._tag, "ConnectTimeout")
        assert.isAtLeast(millis, limitMillis - 2)
        yield* proxy.idle
      })
    )

    it.live.each(steps.flatMap((at) => deeds.filter((deed) => deed !== "silence").map((deed) => ({ at, deed }))))(
      "a $deed ($at) is a failure that says so, and leaves no connection",
      ({ at, deed }) =>
        Effect.gen(function* () {
          const proxy = yield* faulty({ at, deed })
          const payments = yield* callingThroughIt(proxy, "1 minute")
          const { reason } = yield* failure(payments.get("/"))
          if (at === "tunnelled") {
            // who speaks in the tunnel is the upstream, as far as anybody can tell
            assert.include(
              deed === "garbage"
                ? ["TlsHandshakeFailed", "TlsVersionMismatch"]
                : ["ConnectionClosed", "ConnectionReset"],
              reason._tag
            )
          } else {
            const [code, words] = said(reason, proxy.port)
            assert.include(heard(deed, at), words)
            assert.match(code ?? "", deed === "garbage" ? /^HPE_/ : /^$|^ECONNRESET$|^EPIPE$/)
          }
          yield* proxy.idle
        })
    )

    it.live.each(steps.map((at) => ({ at })))(
      "a caller who leaves while the proxy is silent ($at) leaves at once, and the transport takes the connection with it",
      ({ at }) =>
        Effect.gen(function* () {
          const proxy = yield* faulty({ at, deed: "silence" })
          yield* Effect.scoped(
            Effect.gen(function* () {
              const payments = yield* callingThroughIt(proxy, "1 minute")
              const call = yield* Effect.forkChild(payments.get("/"))
              yield* hasCome(proxy, at)
              assert.isTrue((yield* racingTimer(100)(Fiber.interrupt(call))).isFirst)
              const exit = yield* Fiber.await(call)
              assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
              // the next caller may use what comes of it
              assert.strictEqual(proxy.open(), 1)
            })
          )
          yield* proxy.idle
        })
    )
  })

  it.live("a tunnel whose caller has left ends by the connectTimeout", () =>
    Effect.gen(function* () {
      const proxy = yield* testProxy({ fault: { at: "asked", deed: "silence" } })
      const payments = yield* callingUnknown("https", { connectTimeout: limitMillis, proxy: through(proxy.port) })
      const call = yield* Effect.forkChild(payments.get("/"))
      yield* hasCome(proxy, "asked")
      yield* Fiber.interrupt(call)
      yield* proxy.idle
    })
  )

  it.live("a tunnel whose caller has left serves the next one", () =>
    Effect.gen(function* () {
      const { servers } = yield* certificates
      const gate = Promise.withResolvers<void>()
      const opened = createSecureServer(servers.good, (_, response) => response.end("ok"))
      const port = yield* listen(() =>
        createServer((socket) => void gate.promise.then(() => opened.emit("connection", socket)))
      )
      const proxy = yield* testProxy(known("https", port))
      const payments = yield* callingUnknown("https", { proxy: through(proxy.port) }, { policy: once })
      const call = yield* Effect.forkChild(payments.get("/"))
      yield* hasCome(proxy, "asked")
      yield* Fiber.interrupt(call)
      gate.resolve()
      assert.strictEqual((yield* payments.get("/")).text, "ok")
      assert.strictEqual(proxy.asked.length, 1)
    })
  )

  it.live.each([
    { deed: "silence", tag: "HeadersTimeout" },
    { deed: "close", tag: "ConnectionClosed" },
    { deed: "reset", tag: "ConnectionReset" },
    { deed: "garbage", tag: "MalformedResponse" }
  ] as const)("a $deed in place of an answer to a call to http: is $tag, as without a proxy", ({ deed, tag }) =>
    Effect.gen(function* () {
      const proxy = yield* testProxy({ fault: { at: "accepted", deed } })
      const payments = yield* callingUnknown(
        "http",
        { headersTimeout: limitMillis, proxy: through(proxy.port) },
        { policy: once }
      )
      const outcome = yield* seen(payments.get("/"))
      // a reset may overtake the connection itself, or meet the request on its way
      if (deed === "reset") assert.include([tag, "ConnectionClosed", "ProxyFailed"], outcome.tag)
      else assert.strictEqual(outcome.tag, tag)
      yield* proxy.idle
    })
  )
})

describe("the credentials of a proxy", () => {
  const { password } = credentials

  /** Everything that a program may make of an error without knowing better. */
  const spellings = (error: CallError.CallError): Readonly<Record<string, string>> => ({
    message: error.message,
    stack: error.stack ?? "",
    json: JSON.stringify(error),
    schema: JSON.stringify(Schema.encodeSync(CallError.CallError)(error)),
    inspect: inspect(error, { depth: Infinity, showHidden: true, getters: true }),
    cause: Cause.pretty(Cause.fail(error)),
    problem: JSON.stringify(ProblemDetails.fromCallError(error, { audience: "internal" }))
  })

  const ways: ReadonlyArray<{
    readonly way: string
    readonly options: ProxyOptions
    readonly scheme: "http" | "https"
  }> = [
    { way: "a call that succeeds", options: { credentials }, scheme: "https" },
    { way: "a call to http: that succeeds", options: { credentials }, scheme: "http" },
    { way: "a refusal", options: { credentials: { username: "shop", password: "else" } }, scheme: "https" },
    { way: "a refusal to http:", options: { credentials: { username: "shop", password: "else" } }, scheme: "http" },
    {
      way: "an answer that repeats what the proxy was sent",
      options: { answer: (headers) => `HTTP/1.1 502 ${JSON.stringify(headers)}\r\n\r\n${JSON.stringify(headers)}` },
      scheme: "https"
    },
    {
      way: "an answer that cannot be read and repeats it",
      options: { answer: (headers) => `\0${String(headers["proxy-authorization"])}\r\n\r\n` },
      scheme: "https"
    },
    ...steps.flatMap((at) =>
      deeds.map((deed) => ({ way: `a ${deed} (${at})`, options: { fault: { at, deed } }, scheme: "https" }) as const)
    )
  ]

  it.live.each(ways)("are in no error, span, log or snapshot after $way", ({ options, scheme, way }) =>
    Effect.gen(function* () {
      const spans: Array<Tracer.NativeSpan> = []
      const lines: Array<unknown> = []
      const tracer = Tracer.make({
        span: (given) => {
          const span = new Tracer.NativeSpan(given)
          spans.push(span)
          return span
        }
      })
      const shown = yield* Effect.gen(function* () {
        const { port } = yield* upstreamOf(scheme)
        const proxy = yield* testProxy({ ...known(scheme, port), ...options })
        const payments = yield* callingUnknown(
          scheme,
          { connectTimeout: "100 millis", proxy: through(proxy.port, password) },
          { policy: { ...once, retry: { maxAttempts: 2, schedule: Backoff.exponential({ base: "5 millis" }) } } }
        )
        const outcome = yield* Effect.result(bounded(payments.get("/charges")))
        assert.strictEqual(outcome._tag === "Success", way.endsWith("succeeds"))
        // without this a proxy that is never asked would keep every secret
        if (options.fault?.at !== "accepted") {
          const sent = proxy.asked.map(({ headers }) => headers["proxy-authorization"])
          assert.deepStrictEqual([...new Set(sent)], [`Basic ${basic}`])
        }
        if (outcome._tag === "Success") return { answer: JSON.stringify(outcome.success) }
        yield* Effect.logError("the call failed", outcome.failure)
        return spellings(outcome.failure)
      }).pipe(
        Effect.scoped,
        Effect.provideService(Tracer.Tracer, tracer),
        Effect.provide(Logger.layer([Logger.make((entry) => void lines.push(entry.message))]))
      )
      assert.isAtLeast(spans.length, 2)
      const all = { ...shown, spans: inspect(spans, { depth: 8 }), log: inspect(lines, { depth: 8 }) }
      for (const [place, text] of Object.entries(all)) {
        for (const secret of [password, basic]) assert.notInclude(text, secret, place)
      }
    })
  )
})

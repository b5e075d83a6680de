import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { Proxy } from "holdfast/node"
import { absoluteForm, ProxyError, proxyHeaders, proxyReason, tunnel } from "../packages/node/src/internal/tunnel.ts"
import { connectTo, get, plainUpstream, secured, tlsUpstream } from "./proxy/connecting.ts"
import { isInstalled, tinyproxy } from "./proxy/tinyproxy.ts"
import { certificates } from "./support/certificates.ts"

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

/** The proxy, with credentials or without, as its client is told of it. */
const targetOf = (port: number, password?: string): Proxy.ProxyTarget => {
  const settings = Proxy.fixed({
    url: `http://127.0.0.1:${port}`,
    credentials:
      password === undefined ? undefined : { username: credentials.username, password: Redacted.make(password) }
  })
  const proxy = Proxy.proxyFor(settings, { scheme: "https", host: "127.0.0.1", port: 443 })
  if (proxy === undefined) throw new Error("a proxy was expected")
  return proxy
}

const tunnelled = (proxy: Proxy.ProxyTarget, port: number) =>
  Effect.flatMap(connectTo(proxy.port), (socket) => tunnel(socket, { proxy, target: `127.0.0.1:${port}` }))

const said = (proxy: Proxy.ProxyTarget, port: number) =>
  tunnelled(proxy, port).pipe(
    Effect.flip,
    Effect.map((error) => {
      if (!(error instanceof ProxyError)) throw error
      const { code, detail } = proxyReason(error, `127.0.0.1:${port}`)
      return [code, detail?.replace(`127.0.0.1:${proxy.port} `, "")]
    })
  )

describe.skipIf(isMissing)("tinyproxy", () => {
  it.live("makes a tunnel to a TLS upstream, and knows who asks", () =>
    Effect.gen(function* () {
      const made = yield* certificates
      const port = yield* tlsUpstream(made.servers.good)
      const proxy = yield* tinyproxy({ connectPorts: [port], credentials })
      const socket = yield* tunnelled(targetOf(proxy.port, credentials.password), port)
      const { body, status } = yield* get(yield* secured(socket, made), "/charges", { host: "payments.test" })
      assert.deepStrictEqual([status, JSON.parse(body).url], [200, "/charges"])
      assert.notInclude(body, "proxy-authorization")
    })
  )

  it.live(
    "says why it makes none: no credentials, wrong ones, a port that it does not allow, an upstream that is down",
    () =>
      Effect.gen(function* () {
        const { servers } = yield* certificates
        const up = yield* tlsUpstream(servers.good)
        const down = yield* Effect.scoped(plainUpstream)
        const { port } = yield* tinyproxy({ connectPorts: [up, down], credentials })
        const known = targetOf(port, credentials.password)
        assert.deepStrictEqual(yield* said(targetOf(port), up), ["407", "answered 407 Proxy Authentication Required"])
        // not the 407 of RFC 9110 §15.5.8
        assert.deepStrictEqual(yield* said(targetOf(port, "else"), up), ["401", "answered 401 Unauthorized"])
        assert.deepStrictEqual(yield* said(known, 9), ["403", "answered 403 Forbidden"])
        assert.deepStrictEqual(yield* said(known, down), ["500", "answered 500 Internal Server Error"])
      })
  )

  it.live("passes a request in absolute form on, without what was meant for the proxy", () =>
    Effect.gen(function* () {
      const port = yield* plainUpstream
      const proxy = yield* tinyproxy({ connectPorts: [], credentials })
      const target = targetOf(proxy.port, credentials.password)
      const origin = `http://127.0.0.1:${port}`
      const host = `127.0.0.1:${port}`
      const ask = (headers: Record<string, string>) =>
        Effect.flatMap(connectTo(proxy.port), (socket) =>
          get(socket, absoluteForm(origin, "/charges?page=2"), { host, ...headers })
        )
      const { body, status } = yield* ask(proxyHeaders(target))
      assert.strictEqual(status, 200)
      assert.deepInclude(JSON.parse(body), { url: "/charges?page=2" })
      assert.deepInclude(JSON.parse(body).headers, { host })
      assert.notProperty(JSON.parse(body).headers, "proxy-authorization")
      assert.strictEqual((yield* ask({})).status, 407)
    })
  )

  it.live("that dies ends the tunnels that it made", () =>
    Effect.gen(function* () {
      const made = yield* certificates
      const port = yield* tlsUpstream(made.servers.good)
      const proxy = yield* tinyproxy({ connectPorts: [port] })
      const socket = yield* tunnelled(targetOf(proxy.port), port)
      const over = yield* secured(socket, made)
      // in order or by a reset: that is the kernel's to say
      const closed = Effect.callback<void>((resume) => void over.resume().once("close", () => resume(Effect.void)))
      yield* Effect.all([Effect.timeout(closed, "5 seconds"), proxy.kill], { concurrency: 2 })
      assert.isTrue(socket.destroyed)
    })
  )
})

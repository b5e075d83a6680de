import { createServer } from "node:http"
import { createServer as createSecureServer } from "node:https"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { Transport } from "holdfast"
import { NameResolver, NodeTransport } from "holdfast/node"
import { nameServer } from "../packages/node/test/support/nameServer.ts"
import { callingWith, noNames, once, serversAt } from "./support/addressed.ts"
import { bounded, calling, failure, racingTimer, seen, timed } from "./support/calling.ts"
import { certificates } from "./support/certificates.ts"
import { direct, eventually } from "./support/direct.ts"
import { TestUpstream } from "./support/upstream.ts"

const addressesOf = (...addresses: ReadonlyArray<string>) =>
  addresses.map((address) => ({ address, family: address.includes(":") ? (6 as const) : (4 as const) }))

describe("a name with several addresses", () => {
  it.live("has its connections spread over them", () =>
    Effect.gen(function* () {
      const waiting: Array<() => void> = []
      const all = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
      const server = yield* serversAt(all, (_, response) => void waiting.push(() => response.end()))
      let asked = 0
      const names = NameResolver.layer({
        source: () =>
          Effect.sync(() => {
            asked++
            return { addresses: addressesOf(...all) }
          })
      })
      const payments = yield* callingWith(names, `http://payments.test:${server.port}`)
      const calls = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 12 }, () => payments.get("/")),
          { concurrency: "unbounded" }
        )
      )
      yield* bounded(
        eventually(
          Effect.sync(() => waiting.length),
          (length) => length === 12
        )
      )
      assert.deepStrictEqual(
        all.map((address) => server.requests.filter((request) => request === address).length),
        [4, 4, 4]
      )
      assert.strictEqual(asked, 1)
      for (const answer of waiting) answer()
      yield* Fiber.join(calls)
    })
  )

  it.live("is called though most of them refuse, and a call notices nothing", () =>
    Effect.gen(function* () {
      const all = Array.from({ length: 60 }, (_, index) => `127.0.0.${index + 1}`)
      const server = yield* serversAt(["127.0.0.60"])
      const names = NameResolver.layerStatic({ "payments.test": all })
      const payments = yield* callingWith(names, `http://payments.test:${server.port}`)
      // each refusal begins the next attempt: the 250 ms that an address is given to answer would make 15 s of 59 addresses
      const { isFirst, value } = yield* racingTimer(10_000)(payments.get("/"))
      assert.strictEqual(value.text, "127.0.0.60")
      assert.isTrue(isFirst)
    })
  )

  it.live("that all refuse is ConnectionRefused", () =>
    Effect.gen(function* () {
      const { port } = yield* Effect.scoped(serversAt(["127.0.0.1", "127.0.0.2"]))
      const names = NameResolver.layerStatic({ "payments.test": ["127.0.0.1", "127.0.0.2"] })
      const { reason } = yield* failure((yield* callingWith(names, `http://payments.test:${port}`)).get("/"))
      assert.deepInclude(
        { ...reason },
        { _tag: "ConnectionRefused", endpoint: `payments.test:${port}`, code: "ECONNREFUSED", phase: "connect" }
      )
    })
  )
})

layer(TestUpstream.layer, { excludeTestServices: true })("an address that never answers", (it) => {
  it.effect("costs the delay of one attempt, and not the connectTimeout", () =>
    Effect.gen(function* () {
      const upstream = yield* TestUpstream
      const { port } = yield* upstream.unansweredPort
      const server = yield* serversAt(["127.0.0.2"], undefined, port)
      const names = NameResolver.layerStatic({ "payments.test": ["127.0.0.1", "127.0.0.2"] })
      // beyond what the test waits for at all
      const payments = yield* callingWith(names, `http://payments.test:${port}`, { connectTimeout: "2 minutes" })
      const { millis, value } = yield* timed(bounded(payments.get("/")))
      assert.strictEqual(value.text, "127.0.0.2")
      assert.isAtLeast(millis, 240)
      assert.strictEqual(server.connections.length, 1)
      // a host with nothing else is what the limit is for
      const dead = NameResolver.layerStatic({ "payments.test": ["127.0.0.1"] })
      const unanswered = yield* callingWith(dead, `http://payments.test:${port}`, { connectTimeout: "100 millis" })
      assert.strictEqual((yield* seen(unanswered.get("/"))).tag, "ConnectTimeout")
    })
  )
})

describe("a name server", () => {
  /** Each call needs a connection of its own, and each connection the name anew. */
  const closing = (addresses: ReadonlyArray<string>) =>
    serversAt(addresses, (request, response) =>
      response.writeHead(200, { connection: "close" }).end(request.socket.localAddress)
    )

  it.live("that is down keeps nobody from being called whom it knew, and is asked again when it is back", () =>
    Effect.gen(function* () {
      const server = yield* closing(["127.0.0.1", "127.0.0.2"])
      const dns = yield* nameServer((type) => (type === "A" ? { ttl: 0, addresses: ["127.0.0.1"] } : "NODATA"))
      const names = NameResolver.layer({
        source: { servers: [dns.address] },
        minTimeToLive: 0,
        timeout: "400 millis",
        staleWait: "50 millis",
        recheckInterval: "100 millis"
      })
      const payments = yield* callingWith(names, `http://payments.test:${server.port}`)
      const text = Effect.map(payments.get("/"), (answer) => answer.text)
      assert.strictEqual(yield* text, "127.0.0.1")
      for (const reply of ["silence", "SERVFAIL"] as const) {
        dns.reply = () => reply
        for (let call = 0; call < 5; call++) assert.strictEqual(yield* bounded(text), "127.0.0.1")
      }
      const unknown = yield* callingWith(names, `http://reports.test:${server.port}`)
      const { reason } = yield* failure(unknown.get("/"))
      assert.deepInclude({ ...reason }, { _tag: "NameResolutionFailed", phase: "connect", code: "ESERVFAIL" })
      dns.reply = (type) => (type === "A" ? { ttl: 0, addresses: ["127.0.0.2"] } : "NODATA")
      yield* bounded(eventually(text, (address) => address === "127.0.0.2"))
    })
  )

  it.live.each([
    { reply: "NXDOMAIN", code: "ENOTFOUND" },
    { reply: "NODATA", code: "ENODATA" },
    { reply: "SERVFAIL", code: "ESERVFAIL" },
    { reply: "silence", code: "ETIMEOUT" }
  ] as const)("that says $reply is NameResolutionFailed with $code, before anything is sent", ({ code, reply }) =>
    Effect.gen(function* () {
      const dns = yield* nameServer(() => reply)
      const names = NameResolver.layer({ source: { servers: [dns.address] }, timeout: "200 millis" })
      const payments = yield* callingWith(names, "http://payments.test")
      const { reason } = yield* failure(payments.get("/"))
      assert.deepInclude({ ...reason }, { _tag: "NameResolutionFailed", phase: "connect", code })
      assert.strictEqual(reason.message, `payments.test:80: the name could not be resolved [${code}], in phase connect`)
    })
  )

  it.live("that is silent for longer than the connectTimeout is ConnectTimeout: it counts for the name too", () =>
    Effect.gen(function* () {
      const dns = yield* nameServer(() => "silence")
      const names = NameResolver.layer({ source: { servers: [dns.address] } })
      const payments = yield* callingWith(names, "http://payments.test", { connectTimeout: "100 millis" })
      assert.strictEqual((yield* seen(payments.get("/"))).tag, "ConnectTimeout")
    })
  )

  it.live("given to the transport is asked, unless a resolver is provided", () =>
    Effect.gen(function* () {
      const server = yield* serversAt(["127.0.0.1"])
      const url = `http://payments.test:${server.port}`
      const dns = yield* nameServer((type) => (type === "A" ? { ttl: 60, addresses: ["127.0.0.1"] } : "NODATA"))
      const names = { source: { servers: [dns.address] } }
      const own = yield* calling({ url }, { policy: once, transport: { names } })
      assert.strictEqual((yield* own.get("/")).text, "127.0.0.1")
      assert.deepStrictEqual(dns.questions.toSorted(), ["A payments.test", "AAAA payments.test"])
      const provided = yield* callingWith(noNames, url, { names })
      assert.deepInclude({ ...(yield* failure(provided.get("/"))).reason }, { code: "ENOTFOUND" })
      assert.strictEqual(dns.questions.length, 2)
    })
  )
})

describe("a Unix socket", () => {
  const folder = Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "holdfast-socket-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true }))
  )

  const listening = (server: ReturnType<typeof createServer>, path: string) =>
    Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(path, () => resume(Effect.void))),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )

  it.live("stands for every host: no name is looked up, and the request is for the host of the URL", () =>
    Effect.gen(function* () {
      const socketPath = join(yield* folder, "payments.sock")
      let connections = 0
      const server = createServer((request, response) => response.end(`${request.headers.host} ${request.url}`))
      server.on("connection", () => void connections++)
      yield* listening(server, socketPath)
      for (const url of ["http://payments.test", "http://127.0.0.1:9/v1"]) {
        const payments = yield* callingWith(noNames, url, { socketPath })
        const { host, pathname } = new URL(url)
        const expected = `${host} ${pathname === "/" ? "" : pathname}/charges`
        for (let call = 0; call < 3; call++) assert.strictEqual((yield* payments.get("/charges")).text, expected)
      }
      // one for each transport
      assert.strictEqual(connections, 2)
    })
  )

  it.live("is the peer that the phases of a call name", () =>
    Effect.gen(function* () {
      const socketPath = join(yield* folder, "payments.sock")
      yield* listening(
        createServer((_, response) => response.end()),
        socketPath
      )
      const { send } = yield* direct({ socketPath })
      let timings: Transport.PhaseTimings | undefined
      yield* send("http://payments.test", { onTimings: (given) => (timings = given) })
      assert.deepInclude(timings, { connection: "new", peer: socketPath })
      assert.isUndefined(timings?.dnsMillis)
    })
  )

  it.live("carries TLS for the host of the URL", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const socketPath = join(yield* folder, "payments.sock")
      yield* listening(
        createSecureServer(servers.good, (_, response) => response.end("ok")),
        socketPath
      )
      const tagFor = (url: string) =>
        Effect.flatMap(calling({ url, trustedRoot }, { policy: once, transport: { socketPath } }), (payments) =>
          Effect.map(seen(payments.get("/")), ({ tag }) => tag)
        )
      assert.strictEqual(yield* tagFor("https://localhost"), "Success")
      assert.strictEqual(yield* tagFor("https://payments.test"), "CertificateHostMismatch")
    })
  )

  it.live("that is not there, is no socket, or has nobody behind it is ConnectionRefused, and says which socket", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const [missing, file, left] = [join(path, "no.sock"), join(path, "file"), join(path, "left.sock")]
      yield* Effect.promise(() => writeFile(file, ""))
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* listening(
            createServer((_, response) => response.end("ok")),
            left
          )
          const payments = yield* callingWith(noNames, "http://payments.test", { socketPath: left })
          assert.strictEqual((yield* payments.get("/")).text, "ok")
        })
      )
      for (const [socketPath, codes] of [
        [missing, ["ENOENT"]],
        [join(file, "below.sock"), ["ENOTDIR"]],
        [file, ["ECONNREFUSED"]],
        // a server takes its socket away when it closes, and one that crashes leaves it
        [left, ["ENOENT", "ECONNREFUSED"]]
      ] as const) {
        const payments = yield* callingWith(noNames, "http://payments.test", { socketPath })
        const { reason } = yield* failure(payments.get("/"))
        if (reason._tag !== "ConnectionRefused") throw new Error(reason.message)
        assert.include(codes, reason.code)
        assert.strictEqual(
          reason.message,
          `payments.test:80: connection refused [${reason.code}] (at the socket ${socketPath}), in phase connect`
        )
      }
    })
  )

  it.live("whose path is longer than the system takes is told as it is", () =>
    Effect.gen(function* () {
      const socketPath = `/tmp/${"x".repeat(200)}`
      const payments = yield* callingWith(noNames, "http://payments.test", { socketPath })
      const { reason } = yield* failure(payments.get("/"))
      assert.deepInclude({ ...reason }, { _tag: "TransportFailed", phase: "connect", code: "EINVAL" })
      assert.include(reason.message, `at the socket ${socketPath}`)
    })
  )

  it("must have a path", () => {
    assert.throws(
      () => NodeTransport.make({ socketPath: "" }),
      RangeError,
      "NodeTransport: socketPath must be a path, got an empty one"
    )
  })
})

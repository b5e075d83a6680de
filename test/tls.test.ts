import { mkdtemp, rename, rm, writeFile } from "node:fs/promises"
import * as http2 from "node:http2"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { TLSSocket } from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Logger } from "effect"
import type { Layer, Scope } from "effect"
import { CertificatePin, type NodeTransport, Tls } from "holdfast/node"
import { tlsServer } from "../packages/node/test/support/tlsServer.ts"
import { bounded, calling, failure, pause, seen } from "./support/calling.ts"
import { certificates, type KeyAndChain } from "./support/certificates.ts"
import { eventually, type Handler } from "./support/direct.ts"
import { once } from "./support/addressed.ts"

const protocols = [
  { protocol: "HTTP/1.1", http2: false },
  { protocol: "HTTP/2", http2: true }
] as const

interface Accepted {
  /** Serial number of the client's certificate, if it showed one. */
  readonly client: string | undefined
  readonly isResumed: boolean
}

interface SecureServer {
  readonly url: string
  /** Each connection, in the order in which their handshakes were done. */
  readonly accepted: ReadonlyArray<Accepted>
  /** The client certificates on connections that are open. */
  readonly open: () => ReadonlyArray<string | undefined>
}

/** A server over TLS that answers in HTTP/2 or HTTP/1.1, and keeps account of its connections. */
const secureServer = (
  handler: Handler,
  options: http2.SecureServerOptions = {}
): Effect.Effect<SecureServer, never, Scope.Scope> =>
  Effect.flatMap(certificates, ({ servers, trustedRoot }) => {
    const server = http2.createSecureServer({ ...servers.good, ca: trustedRoot, allowHTTP1: true, ...options })
    const accepted: Array<Accepted> = []
    const open = new Map<TLSSocket, string | undefined>()
    server.on("secureConnection", (socket: TLSSocket) => {
      const client = socket.getPeerX509Certificate()?.serialNumber
      accepted.push({ client, isResumed: socket.isSessionReused() })
      open.set(socket, client)
      socket.on("error", () => {})
      socket.once("close", () => open.delete(socket))
    })
    server.on("sessionError", () => {})
    server.on("tlsClientError", () => {})
    // Node's compatibility layer gives what an HTTP/1.1 handler takes, though its types differ
    server.on("request", handler as never)
    return Effect.acquireRelease(
      Effect.callback<SecureServer>((resume) => {
        server.listen(0, "127.0.0.1", () => {
          // a server that listens on TCP has such an address
          const { port } = server.address() as AddressInfo
          resume(Effect.succeed({ url: `https://localhost:${port}`, accepted, open: () => [...open.values()] }))
        })
      }),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of open.keys()) socket.destroy()
        })
    )
  })

const answering: Handler = (_, response) => void response.end("ok")

const own = ({ cert, key }: KeyAndChain): Tls.OwnCertificate => ({ certificate: cert, key })

/** What the program logs, a line each. */
const logging = (lines: Array<string>): Layer.Layer<never> =>
  Logger.layer([Logger.make(({ logLevel, message }) => void lines.push(`${logLevel}: ${String(message)}`))])

const callingSecurely = Effect.fnUntraced(function* (
  url: string,
  transport: NodeTransport.Options<Tls.TlsMaterialError> = {}
) {
  const { trustedRoot } = yield* certificates
  return yield* calling({ url, trustedRoot }, { policy: once, transport })
})

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "holdfast-tls-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true }))
)

// ---------------------------------------------------------------------------------------------------------------------
// Pins
// ---------------------------------------------------------------------------------------------------------------------

const someKey = `sha256/${Buffer.alloc(32, 1).toString("base64")}`
const otherKey = `sha256/${Buffer.alloc(32, 2).toString("base64")}`

describe.each(protocols)("pins over $protocol", ({ http2, protocol }) => {
  it.live("a key that is not pinned gets no byte of a request, and the call is not tried again", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const ALPNProtocols = protocol === "HTTP/2" ? ["h2"] : ["http/1.1"]
      const server = yield* tlsServer({ ...servers.good, ALPNProtocols })
      const url = `https://localhost:${server.port}`
      const pinned = (pins: ReadonlyArray<string>) =>
        ({ http2, headersTimeout: "100 millis", tls: { pins: { pins } } }) as const
      const payments = yield* calling({ url, trustedRoot }, { transport: pinned([someKey, otherKey]) })
      const error = yield* failure(payments.post("/", { text: "for the right one only", idempotencyKey: "1" }))
      assert.deepInclude(
        { ...error.reason },
        { _tag: "CertificatePinMismatch", phase: "connect", code: "ERR_CERTIFICATE_PIN_MISMATCH" }
      )
      assert.include(error.reason.message, CertificatePin.ofCertificate(servers.good.cert))
      assert.deepStrictEqual([error.attempts, error.retryStopped], [1, "not-retryable"])
      yield* bounded(eventually(Effect.sync(server.openConnections), (open) => open === 0))
      assert.deepStrictEqual([server.connections(), server.receivedBytes()], [1, 0])
      // the same call with the right pin is sent, to a server that never answers
      const right = yield* callingSecurely(url, pinned([CertificatePin.ofCertificate(servers.good.cert), otherKey]))
      assert.strictEqual((yield* seen(right.get("/"))).tag, "HeadersTimeout")
      assert.isAbove(server.receivedBytes(), 0)
    })
  )

  it.live("in observe the request is sent, and the log says once what enforce would refuse", () =>
    Effect.gen(function* () {
      const { servers } = yield* certificates
      const lines: Array<string> = []
      const server = yield* secureServer((_, response) => void setTimeout(() => response.end("ok"), 10))
      const tls = { pins: { mode: "observe", pins: [someKey, otherKey] } } as const
      const payments = yield* Effect.provide(
        callingSecurely(server.url, { http2: http2 && { streams: 1 }, maxRequests: 2, tls }),
        logging(lines)
      )
      const answers = yield* Effect.all(
        Array.from({ length: 12 }, () => payments.get("/")),
        { concurrency: 4 }
      )
      assert.isTrue(answers.every(({ text }) => text === "ok"))
      assert.isAtLeast(server.accepted.length, 6)
      const { host } = new URL(server.url)
      assert.strictEqual(lines.length, 1, lines.join("\n"))
      assert.include(
        lines[0],
        `Warn: ${host}: none of the server's keys is pinned, and the pins would refuse it: ${CertificatePin.ofCertificate(servers.good.cert)}`
      )
    })
  )
})

// ---------------------------------------------------------------------------------------------------------------------
// What the options say, on the wire
// ---------------------------------------------------------------------------------------------------------------------

describe.each(protocols)("options over $protocol", ({ http2 }) => {
  it.live("versions, ciphers and the name that is asked for reach the handshake", () =>
    Effect.gen(function* () {
      const { servers } = yield* certificates
      const old = yield* secureServer(answering, { maxVersion: "TLSv1.2" })
      const elsewhere = yield* secureServer(answering, servers.wrongHost)
      for (const [server, tls, tag] of [
        [old, {}, "Success"],
        [old, { minVersion: "TLSv1.3" }, "TlsVersionMismatch"],
        [old, { ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" }, "Success"],
        // a cipher of RSA, which the server's key is not
        [old, { ciphers: "ECDHE-RSA-AES128-GCM-SHA256" }, "TlsHandshakeFailed"],
        [elsewhere, {}, "CertificateHostMismatch"],
        [elsewhere, { servername: "other.test" }, "Success"],
        [old, { servername: "other.test" }, "CertificateHostMismatch"]
      ] as const) {
        const payments = yield* callingSecurely(server.url, { http2, tls })
        assert.strictEqual((yield* seen(payments.get("/"))).tag, tag, JSON.stringify(tls))
      }
    })
  )

  it.live(
    "a connection goes on with the session of an earlier one, unless that is switched off or pins are to be seen",
    () =>
      Effect.gen(function* () {
        const { servers, trustedRoot } = yield* certificates
        for (const [tls, isResumed] of [
          [{}, [false, true, true]],
          [{ sessionReuse: false }, [false, false, false]],
          [{ pins: { pins: [CertificatePin.ofCertificate(servers.good.cert), otherKey] } }, [false, false, false]]
        ] as const) {
          const server = yield* secureServer(answering)
          const payments = yield* callingSecurely(server.url, {
            http2,
            maxRequests: 1,
            tls: { ca: trustedRoot, ...tls }
          })
          for (let call = 0; call < 3; call++) {
            yield* payments.get("/")
            // a ticket comes after the handshake, in its own time
            yield* pause(20)
          }
          assert.deepStrictEqual(
            server.accepted.map((accepted) => accepted.isResumed),
            Array.from(isResumed)
          )
        }
      })
  )

  it.live.each([{ version: "TLSv1.2" }, { version: "TLSv1.3" }] as const)(
    "no certificate where one is wanted is ClientCertificateRequired over $version, every time",
    ({ version }) =>
      Effect.gen(function* () {
        let requests = 0
        const server = yield* secureServer(() => void requests++, {
          requestCert: true,
          rejectUnauthorized: true,
          minVersion: version,
          maxVersion: version
        })
        const payments = yield* callingSecurely(server.url, { http2 })
        for (let attempt = 0; attempt < 10; attempt++) {
          const { phase, tag } = yield* seen(payments.get("/"))
          assert.deepStrictEqual([tag, phase], ["ClientCertificateRequired", "connect"])
        }
        assert.strictEqual(requests, 0)
      })
  )
})

// ---------------------------------------------------------------------------------------------------------------------
// Rotation
// ---------------------------------------------------------------------------------------------------------------------

/** A certificate and its key in files, as an agent keeps them. */
const identityFiles = Effect.fnUntraced(function* (first: KeyAndChain) {
  const path = yield* folder
  const [certificate, key] = [join(path, "tls.crt"), join(path, "tls.key")]
  const replace = (file: string, text: string) =>
    Effect.promise(async () => {
      await writeFile(`${file}.new`, text)
      await rename(`${file}.new`, file)
    })
  yield* replace(certificate, first.cert)
  yield* replace(key, first.key)
  return { certificate, key, replace }
})

/** A reading that takes longer is given up, and a busy machine takes its time. */
const everyMillis = 200

describe.each(protocols)("a rotation over $protocol", ({ http2 }) => {
  // where connections come and go all the time, a rotation meets them at every step of their lives; where they stay, it is the
  // rotation that ends them
  it.live.each([
    { lives: "stay", maxRequests: undefined },
    { lives: "come and go", maxRequests: 25 }
  ])(
    "loses no call of 32 callers whose connections $lives, and leaves none of the old certificate",
    ({ maxRequests }) =>
      Effect.gen(function* () {
        const { issue } = yield* certificates
        let newest = yield* issue({ purpose: "client" })
        const files = yield* identityFiles(newest)
        const lines: Array<string> = []
        /** What ends each slow call that has arrived. */
        const slowCalls: Array<() => void> = []
        const server = yield* secureServer(
          (request, response) => {
            if (request.url === "/slow") slowCalls.push(() => void response.end("slow"))
            else setTimeout(() => response.end("ok"), Math.random() * 5)
          },
          { requestCert: true, rejectUnauthorized: true }
        )
        const identity = Tls.files({ certificate: files.certificate, key: files.key, every: everyMillis })
        const payments = yield* Effect.provide(
          callingSecurely(server.url, {
            connections: 16,
            maxRequests,
            http2: http2 && { streams: 4 },
            tls: { identity }
          }),
          logging(lines)
        )
        const over = yield* Deferred.make<void>()
        const outcomes = new Map<string, number>()
        const caller = Effect.gen(function* () {
          while (!(yield* Deferred.isDone(over))) {
            const { tag } = yield* seen(payments.get("/"))
            outcomes.set(tag, (outcomes.get(tag) ?? 0) + 1)
          }
        })
        const calls = yield* Effect.forkChild(
          Effect.all(
            Array.from({ length: 32 }, () => caller),
            { concurrency: "unbounded" }
          )
        )
        const until = (holds: () => boolean) => bounded(eventually(Effect.sync(holds), (isSo) => isSo))
        const ofOthers = () => server.open().filter((serial) => serial !== newest.serial)
        yield* until(() => server.open().length > 0)
        for (let rotation = 0; rotation < 2; rotation++) {
          const slow = yield* Effect.forkChild(payments.get("/slow"))
          yield* until(() => slowCalls.length === 1)
          const old = newest
          newest = yield* issue({ purpose: "client" })
          yield* files.replace(files.certificate, newest.cert)
          // between the two writes the key is of another certificate, and stays so for some readings
          yield* pause(1.5 * everyMillis)
          assert.isTrue(server.open().every((serial) => serial === old.serial))
          yield* files.replace(files.key, newest.key)
          // the call that was under way keeps its connection, the only one that is left of the old certificate
          yield* until(() => ofOthers().length === 1)
          assert.deepStrictEqual(ofOthers(), [old.serial])
          slowCalls.pop()?.()
          assert.strictEqual((yield* bounded(Fiber.join(slow))).text, "slow")
          yield* until(() => ofOthers().length === 0)
          const before = server.accepted.length
          yield* pause(50)
          assert.isTrue(server.accepted.slice(before).every(({ client }) => client === newest.serial))
        }
        yield* Deferred.succeed(over, undefined)
        yield* bounded(Fiber.join(calls))
        assert.deepStrictEqual([...outcomes.keys()], ["Success"])
        assert.isAbove(outcomes.get("Success") ?? 0, 200)
        assert.strictEqual(lines.filter((line) => line.startsWith("Info: new connections are made with")).length, 2)
      })
  )

  it.live("to files that cannot be used changes nothing, and is said once", () =>
    Effect.gen(function* () {
      const { issue } = yield* certificates
      const [first, second] = [yield* issue({ purpose: "client" }), yield* issue({ purpose: "client" })]
      const files = yield* identityFiles(first)
      const lines: Array<string> = []
      const server = yield* secureServer(answering, { requestCert: true, rejectUnauthorized: true })
      const identity = Tls.files({ certificate: files.certificate, key: files.key, every: everyMillis })
      const payments = yield* Effect.provide(callingSecurely(server.url, { http2, tls: { identity } }), logging(lines))
      const call = Effect.map(payments.get("/"), ({ text }) => assert.strictEqual(text, "ok"))
      yield* call
      yield* files.replace(files.certificate, "-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n")
      yield* bounded(
        eventually(
          Effect.sync(() => lines.length),
          (length) => length > 0
        )
      )
      for (let reading = 0; reading < 3; reading++) {
        yield* pause(everyMillis)
        yield* call
      }
      assert.strictEqual(lines.length, 1, lines.join("\n"))
      assert.match(
        lines[0] ?? "",
        /^Warn: the TLS certificate stays as it was, because the new one cannot be used: Tls: the certificate in .*tls\.crt /
      )
      // not one connection was given up for it
      assert.deepStrictEqual(
        server.accepted.map(({ client }) => client),
        [first.serial]
      )
      yield* files.replace(files.certificate, second.cert)
      yield* files.replace(files.key, second.key)
      yield* bounded(
        eventually(
          Effect.map(call, () => server.accepted.length),
          (length) => length === 2
        )
      )
      // a session of the old certificate would have gone on with it
      assert.deepStrictEqual(server.accepted[1], { client: second.serial, isResumed: false })
    })
  )
})

// ---------------------------------------------------------------------------------------------------------------------
// Expiry
// ---------------------------------------------------------------------------------------------------------------------

describe("a certificate that ends soon", () => {
  /** As a warning names a day. */
  const dateIn = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)

  it.live("is said once in the log of the program: the server's, and its own", () =>
    Effect.gen(function* () {
      const { issue } = yield* certificates
      const served = yield* issue({ purpose: "server", days: [-25, 5.5] })
      const shown = yield* issue({ purpose: "client", name: "CN=shop", days: [-25, 3.5] })
      const lines: Array<string> = []
      const server = yield* secureServer(answering, { ...served, requestCert: true, rejectUnauthorized: true })
      const identity = Tls.fixed(own(shown))
      const payments = yield* Effect.provide(
        callingSecurely(server.url, { maxRequests: 1, tls: { identity } }),
        logging(lines)
      )
      // before any call: nobody has to ask for it
      assert.deepStrictEqual(lines, [
        `Warn: the program's own certificate CN=shop expires in 3 days, on ${dateIn(3.5)}`
      ])
      for (let call = 0; call < 4; call++) yield* payments.get("/")
      assert.strictEqual(server.accepted.length, 4)
      const { host } = new URL(server.url)
      assert.deepStrictEqual(lines.slice(1), [
        `Warn: ${host}: the certificate CN=localhost expires in 5 days, on ${dateIn(5.5)}`
      ])
    })
  )

  it.live("is not said of one that has time, unless it is asked for earlier", () =>
    Effect.gen(function* () {
      const { issue } = yield* certificates
      const served = yield* issue({ purpose: "server", days: [-60, 20.5] })
      const server = yield* secureServer(answering, served)
      for (const [expiryWarning, count] of [
        [undefined, 0],
        ["21 days", 1],
        ["20 days", 0]
      ] as const) {
        const lines: Array<string> = []
        const payments = yield* Effect.provide(callingSecurely(server.url, { tls: { expiryWarning } }), logging(lines))
        yield* payments.get("/")
        assert.strictEqual(lines.length, count, lines.join("\n"))
      }
    })
  )

  it.live("that is the program's own and has ended is said, and what the server makes of it is told", () =>
    Effect.gen(function* () {
      const { issue } = yield* certificates
      const shown = yield* issue({ purpose: "client", name: "CN=shop", days: [-25, -1] })
      for (const { http2 } of protocols) {
        const lines: Array<string> = []
        const server = yield* secureServer(answering, { requestCert: true, rejectUnauthorized: true })
        const identity = Tls.fixed(own(shown))
        const payments = yield* Effect.provide(
          callingSecurely(server.url, { http2, tls: { identity } }),
          logging(lines)
        )
        assert.deepStrictEqual(lines, [`Warn: the program's own certificate CN=shop has expired, on ${dateIn(-1)}`])
        const { reason } = yield* failure(payments.get("/"))
        // Node's server leaves without an alert here
        assert.include(["ConnectionReset", "ConnectionClosed"], reason._tag)
      }
    })
  )
})

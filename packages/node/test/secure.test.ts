import "reflect-metadata"
import { Duplex } from "node:stream"
import type { Socket } from "node:net"
import { createSecureContext, type SecureContextOptions, type TLSSocket } from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import * as x509 from "@peculiar/x509"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { type CertificateCase, certificateCases, certificates } from "../../../test/support/certificates.ts"
import type { CertificateFacts } from "../src/internal/tls/certificateFacts.ts"
import { reasonOfHandshake, secure, type Settings } from "../src/internal/tls/secure.ts"
import { makeSessionCache, type SessionCache } from "../src/internal/tls/sessionCache.ts"
import { aMoment, eventually, plainServer, tcpTo, type TestServer, tlsServer } from "./support/tlsServer.ts"

const versions = ["TLSv1.2", "TLSv1.3"] as const

const settings = (server: TestServer, given: SecureContextOptions, more: Partial<Settings> = {}): Settings => ({
  context: createSecureContext(given),
  generation: 1,
  host: "localhost",
  port: server.port,
  applicationProtocols: ["http/1.1"],
  ...more
})

/** The name of the reason of a handshake that fails. */
const reasonFor = (socket: Duplex, given: Settings) =>
  Effect.map(Effect.flip(secure(socket, given)), (error) => reasonOfHandshake(error, "localhost:443"))

const closed = (socket: TLSSocket): Effect.Effect<void> => eventually("the socket is closed", () => socket.closed)

describe("a handshake that fails is named", () => {
  const expected: Readonly<Record<CertificateCase, string>> = {
    good: "accepted",
    expired: "CertificateExpired",
    notYetValid: "CertificateNotYetValid",
    wrongHost: "CertificateHostMismatch",
    selfSigned: "CertificateUntrusted",
    untrustedRoot: "CertificateUntrusted",
    missingIntermediate: "CertificateUntrusted",
    expiredIntermediate: "CertificateExpired",
    wrongPurpose: "CertificateUntrusted"
  }

  it.effect.each(
    certificateCases.flatMap((name) => versions.map((version) => ({ name, version, outcome: expected[name] })))
  )("a server that shows $name over $version is $outcome, and gets no byte", ({ name, outcome, version }) =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer({ ...servers[name], minVersion: version, maxVersion: version })
      const socket = yield* tcpTo(server.port)
      const seen = yield* secure(socket, settings(server, { ca: trustedRoot })).pipe(
        Effect.match({
          onSuccess: () => "accepted",
          onFailure: (error) => {
            const reason = reasonOfHandshake(error, "localhost:443")
            return "phase" in reason && reason.phase === "connect" ? reason._tag : "in another phase"
          }
        })
      )
      assert.strictEqual(seen, outcome)
      if (outcome === "accepted") return
      assert.isTrue(socket.destroyed)
      yield* eventually("the server is left", () => server.openConnections() === 0)
      assert.strictEqual(server.receivedBytes(), 0)
    })
  )

  it.effect("a server that wants a certificate says so over TLS 1.2 within the handshake", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer({
        ...servers.good,
        ca: trustedRoot,
        requestCert: true,
        rejectUnauthorized: true,
        maxVersion: "TLSv1.2"
      })
      const reason = yield* reasonFor(yield* tcpTo(server.port), settings(server, { ca: trustedRoot }))
      assert.strictEqual(reason._tag, "ClientCertificateRequired")
    })
  )

  it.effect("over TLS 1.3 it says so after the handshake, and the socket ends with its alert, listened to or not", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer({
        ...servers.good,
        ca: trustedRoot,
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: "TLSv1.3"
      })
      const tls = yield* secure(yield* tcpTo(server.port), settings(server, { ca: trustedRoot }))
      yield* closed(tls)
      assert.strictEqual(reasonOfHandshake(tls.errored, "localhost:443")._tag, "ClientCertificateRequired")
    })
  )

  it.effect("no common cipher is TlsHandshakeFailed, though the alert is that of a missing client certificate", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer({
        ...servers.good,
        maxVersion: "TLSv1.2",
        ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384"
      })
      const given = settings(server, { ca: trustedRoot, ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" })
      const reason = yield* reasonFor(yield* tcpTo(server.port), given)
      assert.strictEqual(reason._tag, "TlsHandshakeFailed")
    })
  )

  it.effect.each([
    { name: "leaves", tag: "ConnectionClosed", serve: (socket: Socket) => socket.once("data", () => socket.end()) },
    {
      name: "resets",
      tag: "ConnectionReset",
      serve: (socket: Socket) => socket.once("data", () => socket.resetAndDestroy())
    },
    {
      name: "speaks plain HTTP",
      tag: "TlsHandshakeFailed",
      serve: (socket: Socket) => socket.once("data", () => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"))
    }
  ])("a server that $name in the handshake is $tag", ({ serve, tag }) =>
    Effect.gen(function* () {
      const server = yield* plainServer(serve)
      const reason = yield* reasonFor(yield* tcpTo(server.port), settings(server, {}))
      assert.strictEqual(reason._tag, tag)
    })
  )

  it.effect("over a socket that is gone already it fails at once, and does not wait for ever", () =>
    Effect.gen(function* () {
      const server = yield* plainServer(() => {})
      const socket = yield* tcpTo(server.port)
      socket.destroy()
      const given = settings(server, {})
      assert.strictEqual((yield* reasonFor(socket, given))._tag, "ConnectionClosed")
      yield* eventually("it is closed", () => socket.closed)
      assert.strictEqual((yield* reasonFor(socket, given))._tag, "ConnectionClosed")
    })
  )

  it.effect("a socket that somebody else destroys in the middle of it fails, too", () =>
    Effect.gen(function* () {
      const server = yield* plainServer(() => {})
      const socket = yield* tcpTo(server.port)
      const fiber = yield* Effect.forkChild(reasonFor(socket, settings(server, {})), { startImmediately: true })
      yield* eventually("the server has the client's greeting", () => server.receivedBytes() > 0)
      socket.destroy()
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "ConnectionClosed")
    })
  )

  it.effect("interrupted, it leaves no connection behind", () =>
    Effect.gen(function* () {
      const server = yield* plainServer(() => {})
      const socket = yield* tcpTo(server.port)
      const fiber = yield* Effect.forkChild(secure(socket, settings(server, {})), { startImmediately: true })
      yield* eventually("the server has the client's greeting", () => server.receivedBytes() > 0)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(socket.destroyed)
      yield* eventually("the server is left", () => server.openConnections() === 0)
    })
  )
})

const selfSignedFor = async (address: string) => {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" }
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=address",
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "ip", value: address }])]
  })
  const key = x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY")
  return { cert: certificate.toString("pem"), key }
}

describe("what is asked for", () => {
  it.effect(
    "the server's name is the URL's host without a last dot, or the one that was set; an address has none",
    () =>
      Effect.gen(function* () {
        const { servers, trustedRoot } = yield* certificates
        const server = yield* tlsServer(servers.good)
        for (const more of [
          {},
          { host: "localhost." },
          { host: "payments.internal", servername: "localhost" },
          { host: "127.0.0.1" }
        ]) {
          yield* secure(yield* tcpTo(server.port), settings(server, { ca: trustedRoot }, more))
        }
        yield* eventually("all are there", () => server.handshakes.length === 4)
        assert.deepStrictEqual(
          server.handshakes.map(({ servername }) => servername),
          ["localhost", "localhost", "localhost", false]
        )
      })
  )

  it.effect("the certificate must be for the host of the URL, also when that is an address", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer(servers.good)
      for (const host of ["127.0.0.2", "[::1]", "payments.internal"]) {
        const reason = yield* reasonFor(yield* tcpTo(server.port), settings(server, { ca: trustedRoot }, { host }))
        assert.strictEqual(reason._tag, "CertificateHostMismatch", host)
      }
    })
  )

  it.effect.each([
    { offered: ["h2", "http/1.1"], spoken: ["h2", "http/1.1"], chosen: "h2" },
    { offered: ["h2", "http/1.1"], spoken: ["http/1.1"], chosen: "http/1.1" },
    { offered: ["http/1.1"], spoken: ["h2", "http/1.1"], chosen: "http/1.1" },
    { offered: ["http/1.1"], spoken: undefined, chosen: false }
  ] as const)("of $offered a server that speaks $spoken gets $chosen", ({ chosen, offered, spoken }) =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer({
        ...servers.good,
        ...(spoken === undefined ? {} : { ALPNProtocols: [...spoken] })
      })
      const given = settings(server, { ca: trustedRoot }, { applicationProtocols: offered })
      const tls = yield* secure(yield* tcpTo(server.port), given)
      assert.strictEqual(tls.alpnProtocol, chosen)
    })
  )

  it.effect("a self-signed certificate is accepted when it is the root, and a root that is sent does no harm", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const alone = yield* tlsServer(servers.selfSigned)
      const whole = yield* tlsServer({ key: servers.good.key, cert: `${servers.good.cert}\n${trustedRoot}` })
      const sessions = makeSessionCache(4)
      yield* secure(yield* tcpTo(alone.port), settings(alone, { ca: servers.selfSigned.cert }, { sessions }))
      yield* secure(yield* tcpTo(whole.port), settings(whole, { ca: trustedRoot }, { sessions }))
    })
  )

  it.effect("the address of a URL in brackets is held against the addresses of the certificate", () =>
    Effect.gen(function* () {
      const { cert, key } = yield* Effect.promise(() => selfSignedFor("::1"))
      const server = yield* tlsServer({ cert, key })
      const given = settings(server, { ca: cert }, { host: "[::1]" })
      assert.isTrue((yield* secure(yield* tcpTo(server.port), given)).authorized)
      const other = yield* reasonFor(yield* tcpTo(server.port), { ...given, host: "[::2]" })
      assert.strictEqual(other._tag, "CertificateHostMismatch")
    })
  )

  it.effect("the socket still has its certificate for who takes it", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer(servers.good)
      const tls = yield* secure(yield* tcpTo(server.port), settings(server, { ca: trustedRoot }))
      assert.strictEqual(tls.getPeerX509Certificate()?.subject, "CN=localhost")
    })
  )

  it.effect("verification stays on when the environment switches it off", () =>
    Effect.gen(function* () {
      const { servers } = yield* certificates
      const server = yield* tlsServer(servers.selfSigned)
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0"
        }),
        () => Effect.sync(() => delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"])
      )
      const reason = yield* reasonFor(yield* tcpTo(server.port), settings(server, {}))
      assert.strictEqual(reason._tag, "CertificateUntrusted")
    })
  )

  it.effect("through a tunnel that is no socket it works alike, and the tunnel ends with the handshake", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const tunnelTo = Effect.fnUntraced(function* (port: number) {
        const socket = yield* tcpTo(port)
        const tunnel = new Duplex({
          read: () => void socket.resume(),
          write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, done),
          final: (done) => void socket.end(done),
          destroy: (error, done) => {
            socket.destroy()
            done(error)
          }
        })
        socket.on("data", (chunk) => void tunnel.push(chunk))
        socket.once("end", () => void tunnel.push(null))
        return tunnel
      })
      const good = yield* tlsServer(servers.good)
      const tls = yield* secure(yield* tunnelTo(good.port), settings(good, { ca: trustedRoot }))
      tls.write("hello")
      yield* eventually("it has arrived", () => good.receivedBytes() === 5)
      const expired = yield* tlsServer(servers.expired)
      const tunnel = yield* tunnelTo(expired.port)
      const reason = yield* reasonFor(tunnel, settings(expired, { ca: trustedRoot }))
      assert.strictEqual(reason._tag, "CertificateExpired")
      assert.isTrue(tunnel.destroyed)
    })
  )
})

describe("sessions", () => {
  /** One connection after another; gives whether each went on with an earlier session, and what was told of the server. */
  const connections = Effect.fnUntraced(function* (server: TestServer, all: ReadonlyArray<Settings>) {
    const told: Array<CertificateFacts> = []
    const before = server.handshakes.length
    for (const [index, given] of all.entries()) {
      const tls = yield* secure(yield* tcpTo(server.port), { ...given, onPeer: (facts) => told.push(facts) })
      // tickets come behind the handshake; a client that reads has them
      tls.resume()
      yield* eventually("the server has it", () => server.handshakes.length === before + index + 1)
      yield* aMoment
      tls.destroy()
    }
    return { told, isResumed: server.handshakes.slice(before).map(({ isResumed }) => isResumed) }
  })

  it.effect.each(versions.map((version) => ({ version })))(
    "the second connection over $version goes on with the session of the first, and shows no certificate",
    ({ version }) =>
      Effect.gen(function* () {
        const { servers, trustedRoot } = yield* certificates
        const server = yield* tlsServer({ ...servers.good, minVersion: version, maxVersion: version })
        const given = settings(server, { ca: trustedRoot }, { sessions: makeSessionCache(4) })
        const { isResumed, told } = yield* connections(server, [given, given, given])
        assert.deepStrictEqual(isResumed, [false, true, true])
        assert.deepStrictEqual(
          told.map(({ subject }) => subject),
          ["CN=localhost"]
        )
      })
  )

  it.effect("another host, another material and no cache each begin anew", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer(servers.good)
      const sessions = makeSessionCache(4)
      const given = settings(server, { ca: trustedRoot }, { sessions })
      const { isResumed } = yield* connections(server, [
        given,
        { ...given, generation: 2 },
        { ...given, host: "127.0.0.1" },
        { ...given, sessions: undefined }
      ])
      assert.deepStrictEqual(isResumed, [false, false, false, false])
      const other = yield* reasonFor(yield* tcpTo(server.port), { ...given, host: "payments.internal" })
      assert.strictEqual(other._tag, "CertificateHostMismatch")
    })
  )

  it.effect.each(versions.map((version) => ({ version })))(
    "a refused certificate leaves no session over $version that would let the next one pass",
    ({ version }) =>
      Effect.gen(function* () {
        const { servers, trustedRoot } = yield* certificates
        const server = yield* tlsServer({ ...servers.wrongHost, minVersion: version, maxVersion: version })
        const sessions = makeSessionCache(4)
        const given = settings(server, { ca: trustedRoot }, { sessions })
        for (let call = 0; call < 3; call++) {
          const reason = yield* reasonFor(yield* tcpTo(server.port), given)
          assert.strictEqual(reason._tag, "CertificateHostMismatch")
        }
        assert.strictEqual(sessions.size(), 0)
      })
  )

  it.effect("a handshake that fails with a session is begun anew the next time", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer(servers.good)
      const broken = yield* plainServer((socket) => socket.once("data", () => socket.end()))
      const sessions = makeSessionCache(4)
      const given = settings(server, { ca: trustedRoot }, { sessions })
      yield* connections(server, [given])
      assert.strictEqual(sessions.size(), 1)
      yield* reasonFor(yield* tcpTo(broken.port), given)
      assert.strictEqual(sessions.size(), 0)
    })
  )

  it.effect("a session is believed for a day after its full handshake, however often it was used", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer(servers.good)
      const given = settings(server, { ca: trustedRoot }, { sessions: makeSessionCache(4) })
      yield* TestClock.setTime(Date.now())
      assert.deepStrictEqual((yield* connections(server, [given, given])).isResumed, [false, true])
      yield* TestClock.adjust("23 hours")
      assert.deepStrictEqual((yield* connections(server, [given])).isResumed, [true])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual((yield* connections(server, [given])).isResumed, [false])
    })
  )

  it.effect("a ticket of a resumed handshake prolongs nothing", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer(servers.good)
      const kept = makeSessionCache(4)
      const untilMillis: Array<number> = []
      const sessions: SessionCache = {
        ...kept,
        set: (key, session) => {
          untilMillis.push(session.untilMillis)
          kept.set(key, session)
        }
      }
      const given = settings(server, { ca: trustedRoot }, { sessions })
      yield* connections(server, [given])
      yield* TestClock.adjust("1 hour")
      const tls = yield* secure(yield* tcpTo(server.port), given)
      assert.isTrue(tls.isSessionReused())
      const before = untilMillis.length
      // Node's server sends none after a resumed handshake, others do
      tls.emit("session", Buffer.from("another"))
      assert.strictEqual(untilMillis.length, before + 1)
      assert.deepStrictEqual(new Set(untilMillis), new Set([86_400_000]))
    })
  )

  it.effect("no session outlives the certificate that it was accepted for", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer(servers.good)
      const sessions = makeSessionCache(4)
      const given = settings(server, { ca: trustedRoot }, { sessions })
      // by this clock the certificate has half a day left; OpenSSL has a clock of its own
      yield* TestClock.setTime(Date.now() + 29.5 * 86_400_000)
      assert.deepStrictEqual((yield* connections(server, [given, given])).isResumed, [false, true])
      yield* TestClock.adjust("13 hours")
      assert.deepStrictEqual((yield* connections(server, [given])).isResumed, [false])
    })
  )
})

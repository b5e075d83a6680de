import { createPrivateKey, X509Certificate } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { getCACertificates, setDefaultCACertificates } from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Redacted, Scope } from "effect"
import { TestClock } from "effect/testing"
import { certificates, type KeyAndChain, makeCertificates } from "../../../test/support/certificates.ts"
import * as CertificatePin from "../src/CertificatePin.ts"
import { reasonOfHandshake } from "../src/internal/tls/secure.ts"
import { makeTlsClient } from "../src/internal/tls/tlsClient.ts"
import * as Tls from "../src/Tls.ts"
import { aMoment, eventually, logged, tcpTo, type TestServer, tlsServer } from "./support/tlsServer.ts"

const target = (server: TestServer) => ({
  host: "localhost",
  port: server.port,
  applicationProtocols: ["http/1.1"] as const
})

/** What becomes of a connection with these options. */
const outcome = <E>(server: TestServer, options: Tls.Options<E>) =>
  Effect.gen(function* () {
    const client = yield* makeTlsClient(options)
    return yield* client.secure(yield* tcpTo(server.port), target(server)).pipe(
      Effect.match({
        onSuccess: (tls) => tls.getProtocol() ?? "none",
        onFailure: (error) => reasonOfHandshake(error, "localhost:443")._tag
      })
    )
  })

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "holdfast-tls-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true }))
)

const write = (path: string, text: string) => Effect.promise(() => writeFile(path, text))

const materialOf = ({ cert, key }: KeyAndChain): Tls.OwnCertificate => ({ certificate: cert, key })

const endOf = (certificate: string): number => new X509Certificate(certificate).validToDate.getTime()

/** A second client certificate of an authority of its own. */
const otherCertificates = Effect.promise(makeCertificates)

const encrypted = (key: string): string =>
  createPrivateKey(key)
    .export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "open sesame" })
    .toString()

describe("which servers are trusted", () => {
  it.effect("those of the roots in ca, one or several or all in one text, and no others", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot, untrustedRoot } = yield* certificates
      const good = yield* tlsServer(servers.good)
      const other = yield* tlsServer(servers.untrustedRoot)
      for (const [ca, ofGood, ofOther] of [
        [trustedRoot, "TLSv1.3", "CertificateUntrusted"],
        [untrustedRoot, "CertificateUntrusted", "TLSv1.3"],
        [[untrustedRoot, trustedRoot], "TLSv1.3", "TLSv1.3"],
        [`${untrustedRoot}\n${trustedRoot}\n`, "TLSv1.3", "TLSv1.3"],
        [undefined, "CertificateUntrusted", "CertificateUntrusted"]
      ] as const) {
        assert.deepStrictEqual([yield* outcome(good, { ca }), yield* outcome(other, { ca })], [ofGood, ofOther])
      }
    })
  )

  it.effect("roots of the source count beside those of ca, and without a certificate too", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot, untrustedRoot } = yield* certificates
      const good = yield* tlsServer(servers.good)
      const other = yield* tlsServer(servers.untrustedRoot)
      const path = join(yield* folder, "ca.crt")
      yield* write(path, trustedRoot)
      const identity = Tls.files({ ca: path })
      assert.strictEqual(yield* outcome(good, { identity }), "TLSv1.3")
      assert.strictEqual(yield* outcome(other, { identity }), "CertificateUntrusted")
      assert.strictEqual(yield* outcome(good, { identity, ca: untrustedRoot }), "TLSv1.3")
      assert.strictEqual(yield* outcome(other, { identity, ca: untrustedRoot }), "TLSv1.3")
    })
  )

  it.effect(
    "those that Node trusts by default where there is no ca, with systemCa too, and no longer where there is one",
    () =>
      Effect.gen(function* () {
        const { servers, trustedRoot, untrustedRoot } = yield* certificates
        const server = yield* tlsServer(servers.good)
        yield* Effect.acquireRelease(
          Effect.sync(() => getCACertificates("default")),
          (roots) => Effect.sync(() => setDefaultCACertificates(roots))
        )
        setDefaultCACertificates([trustedRoot])
        assert.strictEqual(yield* outcome(server, {}), "TLSv1.3")
        assert.strictEqual(yield* outcome(server, { systemCa: true }), "TLSv1.3")
        assert.notStrictEqual(yield* outcome(server, { ca: untrustedRoot }), "TLSv1.3")
      })
  )

  it.effect("none below minVersion or above maxVersion", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const old = yield* tlsServer({ ...servers.good, maxVersion: "TLSv1.2" })
      const both = yield* tlsServer(servers.good)
      const young = yield* tlsServer({ ...servers.good, minVersion: "TLSv1.3" })
      assert.deepStrictEqual(
        [
          yield* outcome(old, { ca: trustedRoot }),
          yield* outcome(old, { ca: trustedRoot, minVersion: "TLSv1.3" }),
          yield* outcome(both, { ca: trustedRoot, maxVersion: "TLSv1.2" }),
          yield* outcome(young, { ca: trustedRoot, maxVersion: "TLSv1.2" })
        ],
        ["TLSv1.2", "TlsVersionMismatch", "TLSv1.2", "TlsVersionMismatch"]
      )
    })
  )

  it.effect("with the ciphers that are named", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer({ ...servers.good, maxVersion: "TLSv1.2" })
      const ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"
      const client = yield* makeTlsClient({ ca: trustedRoot, ciphers })
      const tls = yield* client.secure(yield* tcpTo(server.port), target(server))
      assert.strictEqual(tls.getCipher().name, ciphers)
    })
  )

  it.effect("by the servername that is set, instead of the host of the URL", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer(servers.wrongHost)
      assert.strictEqual(yield* outcome(server, { ca: trustedRoot }), "CertificateHostMismatch")
      assert.strictEqual(yield* outcome(server, { ca: trustedRoot, servername: "other.test" }), "TLSv1.3")
      yield* eventually("the server is content", () => server.handshakes.length === 1)
      assert.strictEqual(server.handshakes[0]?.servername, "other.test")
    })
  )

  it.effect("sessions are gone on with, unless that is switched off", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      for (const sessionReuse of [undefined, false]) {
        const server = yield* tlsServer(servers.good)
        const client = yield* makeTlsClient({ ca: trustedRoot, sessionReuse })
        for (let connection = 0; connection < 2; connection++) {
          const tls = yield* client.secure(yield* tcpTo(server.port), target(server))
          tls.resume()
          yield* eventually("the server has it", () => server.handshakes.length === connection + 1)
          yield* aMoment
        }
        assert.strictEqual(server.handshakes[1]?.isResumed, sessionReuse === undefined)
      }
    })
  )

  it("an option that cannot be is refused, by its name", () => {
    const refusals: ReadonlyArray<readonly [unknown, RegExp]> = [
      [
        { verify: false },
        /^Tls: verify is no option, because verification cannot be switched off; trust the authority with ca/
      ],
      [{ minVersion: "TLSv1.1" }, /^Tls: minVersion must be "TLSv1.2" or "TLSv1.3", got "TLSv1.1"$/],
      [{ maxVersion: "TLSv1" }, /^Tls: maxVersion must be/],
      [{ minVersion: "TLSv1.3", maxVersion: "TLSv1.2" }, /^Tls: minVersion must not be above maxVersion/],
      [{ ca: [] }, /^Tls: ca must hold at least one root, got none/],
      [{ ca: "/etc/ca.crt" }, /^Tls: ca must be certificates in PEM; number 1 has no certificate in PEM$/],
      [{ servername: "10.0.0.1" }, /^Tls: servername must be the name of a host and no address, got "10.0.0.1"$/],
      [{ servername: "" }, /^Tls: servername must be/],
      [{ ciphers: "NONE-OF-THESE" }, /^Tls: ciphers must be a list of OpenSSL, got "NONE-OF-THESE"/],
      [{ expiryWarning: -1 }, /^Tls: expiryWarning must not be negative, got -1$/],
      [{ pins: { pins: [] } }, /^CertificatePin: pins must be at least two/]
    ]
    for (const [options, message] of refusals) {
      // what no TypeScript would let through, but a configuration may hold
      assert.throws(() => makeTlsClient(options as Tls.Options), RangeError, message)
    }
    assert.throws(
      () => Tls.files({ ca: "a", every: 0 }),
      RangeError,
      /every must be longer than zero and finite, got 0/
    )
  })
})

describe("a material that cannot be used", () => {
  const failure = (source: Tls.Source<Tls.TlsMaterialError>) =>
    Effect.map(Effect.flip(Effect.scoped(Tls.makeCredentials({ identity: source }))), ({ message }) => message)

  it.effect("fails with what is wrong, and with nothing of what is in it", () =>
    Effect.gen(function* () {
      const { clients, servers, trustedRoot } = yield* certificates
      const { cert, key } = clients.good
      const [leaf = "", intermediate = ""] = cert.split(/\n(?=-----BEGIN)/)
      const garbled = `${leaf}\n${intermediate.replace(/\n[A-Za-z0-9+/]{20}/, "\nAAAAAAAAAAAAAAAAAAAA")}`
      const refusals: ReadonlyArray<readonly [Tls.Material, string]> = [
        [{ certificate: "", key }, "the certificate has no certificate in PEM"],
        [{ certificate: key, key }, "the certificate has no certificate in PEM"],
        [{ certificate: cert.slice(0, -60), key }, "the certificate ends in the middle of a certificate"],
        [{ certificate: garbled, key }, "the certificate has 2 certificates, and number 2 cannot be read"],
        [
          { certificate: `${intermediate}\n${leaf}`, key },
          "the certificate does not come first: the key fits a later one"
        ],
        [{ certificate: cert, key: servers.good.key }, "the key does not fit the certificate"],
        [{ certificate: cert, key: "" }, "the key is no whole private key in PEM [ERR_OSSL_UNSUPPORTED]"],
        [
          { certificate: cert, key: key.slice(0, 100) },
          "the key is no whole private key in PEM [ERR_OSSL_UNSUPPORTED]"
        ],
        [
          { certificate: cert, key: encrypted(key) },
          "the key is encrypted, and no passphrase was given [ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED]"
        ],
        [
          { certificate: cert, key: encrypted(key), passphrase: Redacted.make("open barley") },
          "the key is not encrypted with this passphrase [ERR_OSSL_BAD_DECRYPT]"
        ],
        [{ certificate: cert, key, ca: trustedRoot.slice(0, 80) }, "the ca ends in the middle of a certificate"],
        [{ ca: [] }, "the ca is empty, and there is no certificate either"]
      ]
      for (const [material, message] of refusals) {
        assert.strictEqual(yield* failure(Tls.fixed(material)), `Tls: ${message}`)
      }
    })
  )

  it.effect("fails where OpenSSL refuses it, such as a key too short for the level of security", () =>
    Effect.gen(function* () {
      const { cert: certificate, key } = (yield* certificates).clients.good
      const options = { ciphers: "DEFAULT@SECLEVEL=5", identity: Tls.fixed({ certificate, key }) }
      const { message } = yield* Effect.flip(Effect.scoped(Tls.makeCredentials(options)))
      assert.strictEqual(message, "Tls: the certificate is refused by OpenSSL [ERR_SSL_EE_KEY_TOO_SMALL]")
    })
  )

  it.effect("from files fails with their names", () =>
    Effect.gen(function* () {
      const { clients, servers } = yield* certificates
      const at = yield* folder
      const [certificate, key, ca] = [join(at, "tls.crt"), join(at, "tls.key"), join(at, "ca.crt")]
      yield* write(certificate, clients.good.cert)
      yield* write(key, servers.good.key)
      assert.strictEqual(
        yield* failure(Tls.files({ certificate, key })),
        `Tls: the key in ${key} does not fit the certificate in ${certificate}`
      )
      assert.strictEqual(yield* failure(Tls.files({ ca })), `Tls: the ca in ${ca} cannot be read [ENOENT]`)
      assert.strictEqual(
        yield* failure(Tls.files({ certificate: at, key })),
        `Tls: the certificate in ${at} cannot be read [EISDIR]`
      )
    })
  )

  it.effect("an encrypted key is read with its passphrase, and hidden ones are revealed to OpenSSL only", () =>
    Effect.gen(function* () {
      const { clients, servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer({ ...servers.good, ca: trustedRoot, requestCert: true, rejectUnauthorized: true })
      const identity = Tls.fixed({
        certificate: clients.good.cert,
        key: Redacted.make(encrypted(clients.good.key)),
        passphrase: Redacted.make("open sesame")
      })
      assert.strictEqual(yield* outcome(server, { ca: trustedRoot, identity }), "TLSv1.3")
      yield* eventually("the server is content", () => server.handshakes.length === 1)
    })
  )

  it.effect("a source of one's own keeps its own failure", () =>
    Effect.gen(function* () {
      const identity = Tls.fromEffect(Effect.fail({ _tag: "Sealed" } as const))
      const error = yield* Effect.flip(Effect.scoped(Tls.makeCredentials({ identity })))
      assert.strictEqual(error._tag, "Sealed")
    })
  )
})

describe("a certificate that rotates", () => {
  const rotating = Effect.gen(function* () {
    const at = yield* folder
    const first = (yield* certificates).clients.good
    const second = (yield* otherCertificates).clients.good
    const [certificate, key] = [join(at, "tls.crt"), join(at, "tls.key")]
    yield* write(certificate, first.cert)
    yield* write(key, first.key)
    return { certificate, key, first, second }
  })

  it.effect("is taken when it has changed, told to who listens, and made into a context once", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const { certificate, key, second } = yield* rotating
      const credentials = yield* Tls.makeCredentials({ identity: Tls.files({ certificate, key }) })
      const told: Array<number> = []
      const stop = credentials.onChange(({ generation }) => told.push(generation))
      const before = credentials.current()
      assert.strictEqual(before.generation, 1)
      // a minute in which nothing changes
      yield* TestClock.adjust("1 minute")
      yield* aMoment
      assert.strictEqual(credentials.current(), before)
      yield* write(certificate, second.cert)
      yield* write(key, second.key)
      yield* TestClock.adjust("59 seconds")
      yield* aMoment
      assert.strictEqual(credentials.current(), before)
      yield* TestClock.adjust("1 second")
      yield* eventually("it is taken", () => credentials.current().generation === 2)
      const after = credentials.current()
      assert.notStrictEqual(after.context, before.context)
      assert.notStrictEqual(after.own?.fingerprint256, before.own?.fingerprint256)
      yield* eventually("it is told", () => told.length === 1)
      stop()
      assert.deepStrictEqual(told, [2])
      assert.deepStrictEqual(lines, [
        `Info: new connections are made with another TLS certificate: CN=Holdfast Test Client, ${after.own?.fingerprint256}`
      ])
    }).pipe(Effect.provide(logged(lines)))
  })

  it.effect("is not taken between its two writes, nor broken nor gone; the log has each problem once", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const { certificate, key, first, second } = yield* rotating
      const credentials = yield* Tls.makeCredentials({
        identity: Tls.files({ certificate, key, every: "10 seconds" })
      })
      const before = credentials.current()
      const readings = Effect.fnUntraced(function* (count: number) {
        for (let reading = 0; reading < count; reading++) {
          yield* TestClock.adjust("10 seconds")
          yield* aMoment
        }
      })
      const kept = "Warn: the TLS certificate stays as it was, because the new one cannot be used: Tls: "
      yield* write(certificate, second.cert)
      yield* readings(3)
      assert.deepStrictEqual(lines, [`${kept}the key in ${key} does not fit the certificate in ${certificate}`])
      yield* Effect.promise(() => rm(key))
      yield* readings(3)
      assert.deepStrictEqual(lines.slice(1), [`${kept}the key in ${key} cannot be read [ENOENT]`])
      assert.strictEqual(credentials.current(), before)
      // as it was: nothing to take, and the next problem is news again
      yield* write(certificate, first.cert)
      yield* write(key, first.key)
      yield* readings(2)
      assert.strictEqual(credentials.current(), before)
      yield* Effect.promise(() => rm(key))
      yield* readings(2)
      assert.deepStrictEqual(lines.slice(2), [`${kept}the key in ${key} cannot be read [ENOENT]`])
      yield* write(key, second.key)
      yield* readings(2)
      assert.deepStrictEqual(lines.slice(3), [
        `${kept}the key in ${key} does not fit the certificate in ${certificate}`
      ])
      yield* write(certificate, second.cert)
      yield* readings(1)
      yield* eventually("it is taken", () => credentials.current().generation === 2)
    }).pipe(Effect.provide(logged(lines)))
  })

  it.effect("a reading that never ends is given up, and the next one is made", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const { clients } = yield* certificates
      const second = (yield* otherCertificates).clients.good
      let readings = 0
      const read = Effect.suspend(() => {
        readings++
        if (readings === 2) return Effect.never
        return Effect.succeed(materialOf(readings === 1 ? clients.good : second))
      })
      const credentials = yield* Tls.makeCredentials({ identity: Tls.fromEffect(read, { every: "1 minute" }) })
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(lines, [
        "Warn: the TLS certificate stays as it was, because the new one cannot be used: no answer within 1m"
      ])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([readings, credentials.current().generation], [3, 2])
    }).pipe(Effect.provide(logged(lines)))
  })

  it.effect("a defect of the source does not end the readings", () =>
    Effect.gen(function* () {
      const { clients } = yield* certificates
      const second = (yield* otherCertificates).clients.good
      let readings = 0
      const read = Effect.sync(() => {
        readings++
        if (readings === 2) throw new Error("a bug")
        return materialOf(readings === 1 ? clients.good : second)
      })
      const credentials = yield* Tls.makeCredentials({ identity: Tls.fromEffect(read, { every: "1 minute" }) })
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(credentials.current().generation, 2)
    }).pipe(Effect.provide(logged([])))
  )

  it.effect("is read once without an interval, and no more once the scope is closed", () =>
    Effect.gen(function* () {
      const { clients } = yield* certificates
      let readings = 0
      const read = Effect.sync(() => {
        readings++
        return materialOf(clients.good)
      })
      yield* Tls.makeCredentials({ identity: Tls.fromEffect(read) })
      yield* TestClock.adjust("1 day")
      assert.strictEqual(readings, 1)
      const scope = yield* Scope.make()
      const rereading = Tls.makeCredentials({ identity: Tls.fromEffect(read, { every: "1 minute" }) })
      yield* Scope.provide(rereading, scope)
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(readings, 4)
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(readings, 4)
    })
  )

  it.effect("is what new connections show, and no earlier session is gone on with", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const other = yield* otherCertificates
      const { certificate, key } = yield* rotating
      const server = yield* tlsServer({
        ...servers.good,
        ca: [trustedRoot, other.trustedRoot],
        requestCert: true,
        rejectUnauthorized: true
      })
      const client = yield* makeTlsClient({ ca: trustedRoot, identity: Tls.files({ certificate, key }) })
      const connection = Effect.fnUntraced(function* (count: number) {
        const tls = yield* client.secure(yield* tcpTo(server.port), target(server))
        tls.resume()
        yield* eventually("the server is content", () => server.handshakes.length === count)
        yield* aMoment
      })
      const own = () => client.credentials.current().own?.fingerprint256
      const first = own()
      yield* connection(1)
      yield* connection(2)
      yield* write(certificate, other.clients.good.cert)
      yield* write(key, other.clients.good.key)
      yield* TestClock.adjust("1 minute")
      yield* eventually("it is taken", () => client.credentials.current().generation === 2)
      yield* connection(3)
      assert.notStrictEqual(own(), first)
      assert.deepStrictEqual(
        server.handshakes.map(({ client, isResumed }) => [client, isResumed]),
        [
          [first, false],
          [first, true],
          [own(), false]
        ]
      )
    }).pipe(Effect.provide(logged([])))
  )
})

describe("a certificate that ends soon", () => {
  it.effect("of a server is warned of once a day, at the handshake, with its endpoint, name and days", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer(servers.good)
      const client = yield* makeTlsClient({ ca: trustedRoot, sessionReuse: false })
      const connection = Effect.flatMap(tcpTo(server.port), (socket) => client.secure(socket, target(server)))
      const validToMillis = endOf(servers.good.cert)
      // it lasts for 31 days, so that the warning begins at a third of them
      yield* TestClock.setTime(validToMillis - 11 * 86_400_000)
      yield* connection
      assert.deepStrictEqual(lines, [])
      yield* TestClock.setTime(validToMillis - 5 * 86_400_000)
      yield* connection
      yield* connection
      const date = new Date(validToMillis).toISOString().slice(0, 10)
      const line = (days: number) =>
        `Warn: localhost:${server.port}: the certificate CN=localhost expires in ${days} days, on ${date}`
      assert.deepStrictEqual(lines, [line(5)])
      yield* TestClock.adjust("1 day")
      yield* connection
      assert.deepStrictEqual(lines, [line(5), line(4)])
    }).pipe(Effect.provide(logged(lines)))
  })

  it.effect("of the program is warned of each day, whether or not it connects", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const { clients } = yield* certificates
      const validToMillis = endOf(clients.good.cert)
      yield* TestClock.setTime(validToMillis - 2 * 86_400_000)
      yield* makeTlsClient({ identity: Tls.fixed(materialOf(clients.good)) })
      for (let hour = 0; hour < 72; hour++) yield* TestClock.adjust("1 hour")
      const whose = "Warn: the program's own certificate CN=Holdfast Test Client"
      assert.isTrue(lines.every((line) => line.startsWith(whose)))
      assert.include(lines.at(0), "expires in 2 days")
      assert.include(lines.at(-1), "has expired")
      // three days lie in four days of the calendar, unless they begin with one
      assert.include([3, 4], lines.length)
    }).pipe(Effect.provide(logged(lines)))
  })

  it.effect("of a pinned server is warned of as well", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer(servers.good)
      const pins = [trustedRoot, servers.good.cert].map(CertificatePin.ofCertificate)
      const client = yield* makeTlsClient({ ca: trustedRoot, pins: { pins } })
      yield* TestClock.setTime(endOf(servers.good.cert) - 86_400_000)
      yield* client.secure(yield* tcpTo(server.port), target(server))
      assert.include(lines.join(), "expires in 1 day")
    }).pipe(Effect.provide(logged(lines)))
  })

  it.effect("is not warned of before it has expired when expiryWarning is zero", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const { clients } = yield* certificates
      const validToMillis = endOf(clients.good.cert)
      yield* TestClock.setTime(validToMillis - 3_600_000)
      yield* makeTlsClient({ identity: Tls.fixed(materialOf(clients.good)), expiryWarning: 0 })
      assert.deepStrictEqual(lines, [])
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(lines.length, 1)
    }).pipe(Effect.provide(logged(lines)))
  })
})

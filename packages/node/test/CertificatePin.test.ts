import "reflect-metadata"
import { X509Certificate } from "node:crypto"
import { rootCertificates } from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import * as x509 from "@peculiar/x509"
import { Effect, Fiber, Option, Result } from "effect"
import { certificates } from "../../../test/support/certificates.ts"
import * as CertificatePin from "../src/CertificatePin.ts"
import { signedChain } from "../src/internal/tls/certificateFacts.ts"
import { reasonOfHandshake } from "../src/internal/tls/secure.ts"
import { makeTlsClient } from "../src/internal/tls/tlsClient.ts"
import { aMoment, eventually, logged, plainServer, tcpTo, type TestServer, tlsServer } from "./support/tlsServer.ts"

/** Two keys that nobody has. */
const nobody = [1, 2].map((byte) => `sha256/${Buffer.alloc(32, byte).toString("base64")}`)
const [nobodys = "", another = ""] = nobody

const blocksOf = (chain: string): ReadonlyArray<string> =>
  chain
    .split(/(?=-----BEGIN)/)
    .map((block) => block.trim())
    .filter((block) => block !== "")

/** The same certificate with a public key that is no point of its curve. */
const withUnreadableKey = (certificate: X509Certificate): X509Certificate => {
  const bytes = Buffer.from(certificate.raw)
  const point = certificate.publicKey.export({ type: "spki", format: "der" }).subarray(-64)
  bytes.fill(0xff, bytes.indexOf(point), bytes.indexOf(point) + 64)
  return new X509Certificate(bytes)
}

const target = (server: TestServer) => ({
  host: "localhost",
  port: server.port,
  applicationProtocols: ["http/1.1"] as const
})

describe("a pin", () => {
  it("has the defaults that the documentation says", () => {
    assert.deepStrictEqual(CertificatePin.defaults, { mode: "enforce" })
  })

  it("is what is published for a root that everybody has, RSA or elliptic curve", () => {
    // from the pins that operators are told to use, e.g. of Let's Encrypt's roots
    const published: Readonly<Record<string, string>> = {
      "CN=ISRG Root X1": "sha256/C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8M=",
      "CN=ISRG Root X2": "sha256/diGVwiVYbubAI3RW4hB9xU8e/CH2GnkuvVFZE8zmgzI="
    }
    for (const [name, pin] of Object.entries(published)) {
      const pem = rootCertificates.find((root) => new X509Certificate(root).subject.endsWith(name)) ?? name
      assert.strictEqual(CertificatePin.ofCertificate(pem), pin)
      assert.strictEqual(CertificatePin.ofCertificate(new X509Certificate(pem).raw), pin)
    }
  })

  it("of what is no certificate is refused without showing it", () => {
    assert.throws(() => CertificatePin.ofCertificate("a secret"), RangeError, /PEM or DER/)
    assert.throws(() => CertificatePin.ofCertificate("a secret"), /^(?!.*secret)/)
  })

  it("is taken in both spellings, and equal ones are one", () => {
    const base64 = nobodys.slice("sha256/".length)
    const { pins } = CertificatePin.make({ pins: [nobodys, `pin-sha256="${base64}"`, another] })
    assert.deepStrictEqual(pins, [nobodys, another])
    // the two last bits of the last letter mean nothing: AQE= and AQF= are the same byte sequence
    const unusual = nobodys.replace(/E=$/, "F=")
    assert.notStrictEqual(unusual, nobodys)
    assert.throws(() => CertificatePin.make({ pins: [nobodys, unusual] }), /at least two different ones, got 1/)
  })

  it("alone is refused, and so is one that is none", () => {
    for (const pins of [[], [nobodys], [nobodys, nobodys]]) {
      assert.throws(() => CertificatePin.make({ pins }), RangeError, /pins must be at least two different ones/)
    }
    for (const wrong of ["", "sha256/AAAA", `sha1/${nobodys.slice(7)}`, nobodys.slice(7), `${nobodys}=`]) {
      assert.throws(() => CertificatePin.make({ pins: [wrong, another] }), RangeError, `got ${JSON.stringify(wrong)}`)
    }
  })
})

describe("pins that are off", () => {
  it("are not looked at", () => {
    const { check, snapshot } = CertificatePin.make({ pins: nobody, mode: "off", onMismatch: () => assert.fail() })
    const [root = ""] = rootCertificates
    assert.isUndefined(check("payments.internal:443", [new X509Certificate(root)]))
    assert.deepStrictEqual(Effect.runSync(snapshot), { matched: 0, mismatched: 0 })
  })
})

describe("the chain that pins are held against", () => {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" }
  const keys = () => crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])
  const certificate = async (subject: string, of: CryptoKeyPair, issuer: string, by: CryptoKeyPair) =>
    new X509Certificate(
      (
        await x509.X509CertificateGenerator.create({
          subject,
          issuer,
          publicKey: of.publicKey,
          signingKey: by.privateKey,
          signingAlgorithm: algorithm,
          serialNumber: Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString("hex")
        })
      ).toString("pem")
    )

  it.effect("has no certificate in it that is only of the right name, because its key signed nothing there", () =>
    Effect.promise(async () => {
      const [pinnedKeys, forgedKeys, leafKeys] = [await keys(), await keys(), await keys()]
      const pinned = await certificate("CN=Authority", pinnedKeys, "CN=Root", pinnedKeys)
      const forged = await certificate("CN=Authority", forgedKeys, "CN=Root", forgedKeys)
      const leaf = await certificate("CN=payments", leafKeys, "CN=Authority", forgedKeys)
      // Node takes the first of the right name for the issuer
      assert.isTrue(leaf.checkIssued(pinned))
      const subjects = signedChain(leaf, [pinned, forged]).map(({ fingerprint256 }) => fingerprint256)
      assert.deepStrictEqual(subjects, [leaf.fingerprint256, forged.fingerprint256])
    })
  )

  it.effect("is not broken by a certificate beside it whose key cannot be read", () =>
    Effect.promise(async () => {
      const [authorityKeys, leafKeys] = [await keys(), await keys()]
      const authority = await certificate("CN=Authority", authorityKeys, "CN=Root", authorityKeys)
      const leaf = await certificate("CN=payments", leafKeys, "CN=Authority", authorityKeys)
      const unreadable = withUnreadableKey(authority)
      assert.throws(() => unreadable.publicKey)
      const found = signedChain(leaf, [unreadable, authority]).map(({ fingerprint256 }) => fingerprint256)
      assert.deepStrictEqual(found, [leaf.fingerprint256, authority.fingerprint256])
    })
  )

  it.effect("is found in whatever order its certificates come, with all that signed, and ends", () =>
    Effect.promise(async () => {
      const [rootKeys, authorityKeys, leafKeys] = [await keys(), await keys(), await keys()]
      const root = await certificate("CN=Root", rootKeys, "CN=Root", rootKeys)
      const authority = await certificate("CN=Authority", authorityKeys, "CN=Root", rootKeys)
      const crossSigned = await certificate("CN=Authority", authorityKeys, "CN=Authority", authorityKeys)
      const leaf = await certificate("CN=payments", leafKeys, "CN=Authority", authorityKeys)
      const found = signedChain(leaf, [root, crossSigned, leaf, authority]).map(({ fingerprint256 }) => fingerprint256)
      assert.deepStrictEqual(
        new Set(found),
        new Set([leaf, crossSigned, authority, root].map(({ fingerprint256 }) => fingerprint256))
      )
      assert.strictEqual(found.length, 4)
    })
  )
})

describe("a pinned connection", () => {
  it.effect.each([{ version: "TLSv1.2" }, { version: "TLSv1.3" }] as const)(
    "to a server of another key is refused over $version before a byte is sent, and the error shows the keys seen",
    ({ version }) =>
      Effect.gen(function* () {
        const { servers, trustedRoot } = yield* certificates
        const server = yield* tlsServer({ ...servers.good, minVersion: version, maxVersion: version })
        const client = yield* makeTlsClient({ ca: trustedRoot, pins: { pins: nobody } })
        const socket = yield* tcpTo(server.port)
        const error = yield* Effect.flip(client.secure(socket, target(server)))
        const reason = reasonOfHandshake(error, `localhost:${server.port}`)
        if (reason._tag !== "CertificatePinMismatch") throw new Error(reason.message)
        const seen = [...blocksOf(servers.good.cert), trustedRoot].map(CertificatePin.ofCertificate)
        const names = ["CN=localhost", "CN=Holdfast Test Intermediate", "CN=Holdfast Test Root"]
        assert.strictEqual(reason.detail, `seen ${seen.map((pin, index) => `${pin} (${names[index]})`).join(", ")}`)
        assert.deepStrictEqual([reason.phase, reason.code], ["connect", "ERR_CERTIFICATE_PIN_MISMATCH"])
        assert.isTrue(socket.destroyed)
        yield* eventually("the server is left", () => server.openConnections() === 0)
        assert.strictEqual(server.receivedBytes(), 0)
      })
  )

  it.effect.each([
    { whose: "the server's own", index: 0 },
    { whose: "the intermediate's", index: 1 },
    { whose: "the root's, which is not sent", index: 2 }
  ])("is made when the pinned key is $whose", ({ index }) =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer(servers.good)
      const pem = [...blocksOf(servers.good.cert), trustedRoot][index] ?? ""
      const pins = [nobodys, CertificatePin.ofCertificate(pem)]
      const client = yield* makeTlsClient({ ca: trustedRoot, pins: { pins } })
      yield* client.secure(yield* tcpTo(server.port), target(server))
      assert.deepStrictEqual(client.pins === undefined ? undefined : yield* client.pins.snapshot, {
        matched: 1,
        mismatched: 0
      })
    })
  )

  it.effect("is not made by the right key alone: trust and host are asked for as ever", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      for (const [name, tag] of [
        ["selfSigned", "CertificateUntrusted"],
        ["expired", "CertificateExpired"],
        ["wrongHost", "CertificateHostMismatch"]
      ] as const) {
        const server = yield* tlsServer(servers[name])
        const pins = [nobodys, CertificatePin.ofCertificate(servers[name].cert)]
        const client = yield* makeTlsClient({ ca: trustedRoot, pins: { pins } })
        const error = yield* Effect.flip(client.secure(yield* tcpTo(server.port), target(server)))
        assert.strictEqual(reasonOfHandshake(error, "localhost:443")._tag, tag)
      }
    })
  )

  it.effect("never goes on with an earlier session, and one whose pins are off does", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const pinned = [nobodys, CertificatePin.ofCertificate(servers.good.cert)]
      for (const [mode, pins, isResumed] of [
        ["enforce", pinned, false],
        ["observe", nobody, false],
        ["off", nobody, true]
      ] as const) {
        const server = yield* tlsServer(servers.good)
        const client = yield* makeTlsClient({ ca: trustedRoot, pins: { pins, mode } })
        for (let connection = 0; connection < 2; connection++) {
          const tls = yield* client.secure(yield* tcpTo(server.port), target(server))
          tls.resume()
          yield* eventually("the server has it", () => server.handshakes.length === connection + 1)
          yield* aMoment
        }
        assert.strictEqual(server.handshakes[1]?.isResumed, isResumed, mode)
      }
    })
  )

  it.effect("in observe is made all the same; every mismatch is counted and told, and logged once for each key", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      const server = yield* tlsServer(servers.good)
      const told: Array<CertificatePin.Mismatch> = []
      const client = yield* makeTlsClient({
        ca: trustedRoot,
        pins: {
          pins: nobody,
          mode: "observe",
          onMismatch: (mismatch) => {
            told.push(mismatch)
            throw new Error("a listener that fails")
          }
        }
      })
      for (let connection = 0; connection < 3; connection++) {
        const tls = yield* client.secure(yield* tcpTo(server.port), target(server))
        tls.write("hello")
      }
      yield* eventually("the requests arrive", () => server.receivedBytes() === 15)
      assert.deepStrictEqual(client.pins === undefined ? undefined : yield* client.pins.snapshot, {
        matched: 0,
        mismatched: 3
      })
      assert.strictEqual(told.length, 3)
      assert.isTrue(told.every(({ observed }) => observed))
      const [line = ""] = lines
      assert.strictEqual(lines.length, 1)
      assert.match(
        line,
        /^Warn: localhost:\d+: none of the server's keys is pinned, and the pins would refuse it: sha256/
      )
      assert.include(line, CertificatePin.ofCertificate(servers.good.cert))
    }).pipe(Effect.provide(logged(lines)))
  })
})

describe("what an endpoint shows", () => {
  it.effect("is the chain that it sends, though nobody trusts it", () =>
    Effect.gen(function* () {
      const { servers } = yield* certificates
      const server = yield* tlsServer(servers.untrustedRoot)
      const shown = yield* CertificatePin.ofEndpoint(`127.0.0.1:${server.port}`)
      assert.deepStrictEqual(
        shown,
        blocksOf(servers.untrustedRoot.cert).map((pem, index) => ({
          pin: CertificatePin.ofCertificate(pem),
          subject: ["CN=localhost", "CN=Holdfast Untrusted Intermediate"][index] ?? "",
          issuer: ["CN=Holdfast Untrusted Intermediate", "CN=Holdfast Untrusted Root"][index] ?? "",
          validTo: new X509Certificate(pem).validToDate
        }))
      )
      yield* eventually("the server is left", () => server.openConnections() === 0)
      assert.strictEqual(server.receivedBytes(), 0)
    })
  )

  it.effect("is shown without a certificate whose key cannot be read", () =>
    Effect.gen(function* () {
      const { servers, untrustedRoot } = yield* certificates
      const stray = withUnreadableKey(new X509Certificate(untrustedRoot)).toString()
      // above that level OpenSSL does not serve such a chain
      const ciphers = "DEFAULT@SECLEVEL=0"
      const server = yield* tlsServer({ key: servers.good.key, cert: `${servers.good.cert}\n${stray}`, ciphers })
      const shown = yield* CertificatePin.ofEndpoint(`127.0.0.1:${server.port}`)
      assert.deepStrictEqual(
        shown.map(({ subject }) => subject),
        ["CN=localhost", "CN=Holdfast Test Intermediate"]
      )
    })
  )

  it.effect("is seen at a server that wants a client certificate, whichever version it speaks", () =>
    Effect.gen(function* () {
      const { servers, trustedRoot } = yield* certificates
      for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
        const server = yield* tlsServer({
          ...servers.good,
          ca: trustedRoot,
          requestCert: true,
          rejectUnauthorized: true,
          minVersion: version,
          maxVersion: version
        })
        const [leaf] = yield* CertificatePin.ofEndpoint(`localhost:${server.port}`)
        assert.strictEqual(leaf?.pin, CertificatePin.ofCertificate(servers.good.cert), version)
      }
    })
  )

  it.effect("is a failure like any other where there is nothing to see", () =>
    Effect.gen(function* () {
      const closing = yield* plainServer((socket) => socket.once("data", () => socket.end()))
      const silent = yield* plainServer(() => {})
      const failure = (port: number) =>
        Effect.flip(CertificatePin.ofEndpoint(`127.0.0.1:${port}`, { timeout: "300 millis" }))
      assert.strictEqual((yield* failure(closing.port))._tag, "ConnectionClosed")
      assert.strictEqual((yield* failure(silent.port))._tag, "ConnectTimeout")
      yield* eventually("the server is left", () => silent.openConnections() === 0)
      const gone = yield* Effect.scoped(
        Effect.map(
          plainServer(() => {}),
          ({ port }) => port
        )
      )
      assert.strictEqual((yield* failure(gone))._tag, "ConnectionRefused")
    })
  )

  it.effect("is no longer waited for once its asker has left", () =>
    Effect.gen(function* () {
      const silent = yield* plainServer(() => {})
      const asking = CertificatePin.ofEndpoint(`127.0.0.1:${silent.port}`)
      const fiber = yield* Effect.forkChild(asking, { startImmediately: true })
      yield* eventually("the server is asked", () => silent.receivedBytes() > 0)
      yield* Fiber.interrupt(fiber)
      yield* eventually("the server is left", () => silent.openConnections() === 0)
    })
  )

  it.effect("is what it shows to who asks for a name: the host, another that is given, and none for an address", () =>
    Effect.gen(function* () {
      const { servers } = yield* certificates
      const names: Array<string> = []
      const server = yield* tlsServer({
        ...servers.good,
        SNICallback: (name, use) => {
          names.push(name)
          use(null)
        }
      })
      const asked = (endpoint: string, options?: CertificatePin.EndpointOptions) =>
        Effect.map(CertificatePin.ofEndpoint(`${endpoint}:${server.port}`, options), ([leaf]) => {
          assert.strictEqual(leaf?.subject, "CN=localhost")
          return names.splice(0)
        })
      assert.deepStrictEqual(yield* asked("localhost"), ["localhost"])
      assert.deepStrictEqual(yield* asked("localhost", { servername: "payments.internal" }), ["payments.internal"])
      assert.deepStrictEqual(yield* asked("127.0.0.1"), [])
      assert.deepStrictEqual(yield* asked("127.0.0.1", { servername: "payments.internal" }), ["payments.internal"])
    })
  )

  it.effect("is asked at the port that is given, and at 443 where none is", () =>
    Effect.gen(function* () {
      // nobody who runs the tests has a server at that port, and who has is shown as it is
      const asked = Effect.result(CertificatePin.ofEndpoint("127.0.0.1", { timeout: "5 seconds" }))
      const failure = Result.getFailure(yield* asked)
      if (Option.isSome(failure)) assert.deepInclude(failure.value, { endpoint: "127.0.0.1:443" })
      const gone = yield* Effect.scoped(
        Effect.map(
          plainServer(() => {}),
          ({ port }) => port
        )
      )
      const refused = yield* Effect.flip(CertificatePin.ofEndpoint(`127.0.0.1:${gone}`))
      assert.deepInclude(refused, { _tag: "ConnectionRefused", endpoint: `127.0.0.1:${gone}` })
    })
  )

  it("asks for a host and a port, and says so", () => {
    for (const endpoint of [
      "",
      "https://payments.internal",
      "a:0",
      "a:65536",
      "a:70000",
      "a b",
      "user@a:1",
      "::1",
      "a:"
    ]) {
      assert.throws(() => CertificatePin.ofEndpoint(endpoint), RangeError, `got ${JSON.stringify(endpoint)}`)
    }
    for (const endpoint of ["[::1]:8443", "[::1]", "a:1", "a:65535", "a"]) {
      assert.doesNotThrow(() => CertificatePin.ofEndpoint(endpoint), endpoint)
    }
    for (const timeout of [0, -1]) {
      assert.throws(() => CertificatePin.ofEndpoint("a:1", { timeout }), RangeError, /timeout must be longer than zero/)
    }
    assert.doesNotThrow(() => CertificatePin.ofEndpoint("a:1", { timeout: Infinity }))
    for (const servername of ["127.0.0.1", "::1"]) {
      assert.throws(
        () => CertificatePin.ofEndpoint("a:1", { servername }),
        RangeError,
        `servername must be a name and no address, got "${servername}"`
      )
    }
  })
})

import "reflect-metadata"
import { X509Certificate } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as x509 from "@peculiar/x509"
import { factsOf } from "../src/internal/tls/certificateFacts.ts"

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" }

const made = async (name: string) =>
  factsOf(
    new X509Certificate(
      (
        await x509.X509CertificateGenerator.createSelfSigned({
          name,
          keys: await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]),
          signingAlgorithm: algorithm,
          notBefore: new Date("2026-01-01T00:00:00Z"),
          notAfter: new Date("2027-01-01T00:00:00Z"),
          extensions: [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: "payments.internal" }])]
        })
      ).toString("pem")
    )
  )

describe("the facts of a certificate", () => {
  it("are its names in one line, its time and its key", async () => {
    const facts = await made("CN=payments.internal, O=Example, C=NO")
    assert.strictEqual(facts.subject, "CN=payments.internal, O=Example, C=NO")
    assert.strictEqual(facts.issuer, facts.subject)
    assert.deepStrictEqual([facts.validFromMillis, facts.validToMillis], [Date.UTC(2026, 0, 1), Date.UTC(2027, 0, 1)])
    assert.match(facts.fingerprint256, /^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/)
    assert.match(facts.pin, /^sha256\/[A-Za-z0-9+/]{43}=$/)
  })

  it("are the hosts that it is for when it has no subject, as the short-lived ones of today", async () => {
    assert.strictEqual((await made("")).subject, "DNS:payments.internal")
  })

  it("hold no line break that could forge a line of a log, and no more than a line's worth", async () => {
    const { subject } = await made(
      `CN="a\nERROR forged ${"b".repeat(50)}", O=${"c".repeat(60)}, OU=${"d".repeat(60)}, L=${"e".repeat(60)}, ST=${"f".repeat(60)}`
    )
    assert.notMatch(subject, /[\n\r]/)
    assert.isAtMost(subject.length, 256)
  })
})

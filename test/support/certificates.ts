/**
 * A small public key infrastructure, made in memory: two roots of which a client is to trust one, and a server chain
 * for every way in which a certificate can be wrong. ECDSA P-256, because its keys are made in a millisecond.
 */
import "reflect-metadata"
import { X509Certificate } from "node:crypto"
import * as x509 from "@peculiar/x509"
import { Effect } from "effect"

/** What a server presents: the name says what is wrong with it. */
export type CertificateCase =
  | "good"
  | "expired"
  | "notYetValid"
  | "wrongHost"
  | "selfSigned"
  | "untrustedRoot"
  | "missingIntermediate"
  | "expiredIntermediate"
  | "wrongPurpose"

/** PEM: a PKCS#8 key, and the certificates as they go over the wire, leaf first. */
export interface KeyAndChain {
  readonly key: string
  readonly cert: string
}

export interface Certificates {
  /** PEM of the root a client is to trust (`ca`). */
  readonly trustedRoot: string
  /** PEM of the root nobody trusts. */
  readonly untrustedRoot: string
  readonly servers: Readonly<Record<CertificateCase, KeyAndChain>>
  readonly clients: {
    readonly good: KeyAndChain
    readonly untrusted: KeyAndChain
  }
  /** Another certificate that leads to the trusted root, with a key of its own. */
  readonly issue: (options: IssueOptions) => Effect.Effect<Issued>
}

export interface IssueOptions {
  readonly purpose: "server" | "client"
  /** Default `CN=localhost`. */
  readonly name?: string
  /** From when to when it is valid, in days from now. Default from yesterday, for 30 days. */
  readonly days?: readonly [from: number, to: number]
}

export interface Issued extends KeyAndChain {
  /** As Node gives it of a peer's certificate. */
  readonly serial: string
}

/** The code that Node's `tls.connect` gives a client that trusts `trustedRoot` and asks for `localhost`. */
export const expectedCode: Readonly<Record<CertificateCase, string | undefined>> = {
  good: undefined,
  expired: "CERT_HAS_EXPIRED",
  notYetValid: "CERT_NOT_YET_VALID",
  wrongHost: "ERR_TLS_CERT_ALTNAME_INVALID",
  selfSigned: "DEPTH_ZERO_SELF_SIGNED_CERT",
  untrustedRoot: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  missingIntermediate: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  expiredIntermediate: "CERT_HAS_EXPIRED",
  wrongPurpose: "INVALID_PURPOSE"
}

export const certificateCases: ReadonlyArray<CertificateCase> = [
  "good",
  "expired",
  "notYetValid",
  "wrongHost",
  "selfSigned",
  "untrustedRoot",
  "missingIntermediate",
  "expiredIntermediate",
  "wrongPurpose"
]

interface Identity {
  readonly certificate: x509.X509Certificate
  readonly keys: CryptoKeyPair
}

interface Validity {
  readonly notBefore: Date
  readonly notAfter: Date
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" }

const dayMillis = 86_400_000

// A TLS stack reads the machine's clock, so these are days from the machine's now.
const validFrom = (fromDays: number, toDays: number): Validity => ({
  notBefore: new Date(Date.now() + fromDays * dayMillis),
  notAfter: new Date(Date.now() + toDays * dayMillis)
})

const validNow = (): Validity => validFrom(-1, 30)

let serial = 0

const issue = async (options: {
  readonly name: string
  /** Absent: the certificate signs itself. */
  readonly issuer?: Identity
  readonly validity: Validity
  readonly extensions: ReadonlyArray<x509.Extension>
}): Promise<Identity> => {
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])
  const issuerKeys = options.issuer?.keys ?? keys
  serial += 1
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial.toString(16).padStart(8, "0"),
    subject: options.name,
    issuer: options.issuer?.certificate.subject ?? options.name,
    ...options.validity,
    publicKey: keys.publicKey,
    signingKey: issuerKeys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      ...options.extensions,
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuerKeys.publicKey)
    ]
  })
  return { certificate, keys }
}

const authority = (name: string, validity: Validity, issuer?: Identity): Promise<Identity> =>
  issue({
    name,
    validity,
    ...(issuer === undefined ? {} : { issuer }),
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true)
    ]
  })

const serverPurpose = x509.ExtendedKeyUsage.serverAuth
const clientPurpose = x509.ExtendedKeyUsage.clientAuth

const loopback: ReadonlyArray<x509.JsonGeneralName> = [
  { type: "dns", value: "localhost" },
  { type: "ip", value: "127.0.0.1" }
]

const leaf = (options: {
  readonly name: string
  readonly issuer?: Identity
  readonly validity?: Validity
  readonly hosts?: ReadonlyArray<x509.JsonGeneralName>
  readonly purpose?: string
}): Promise<Identity> =>
  issue({
    name: options.name,
    validity: options.validity ?? validNow(),
    ...(options.issuer === undefined ? {} : { issuer: options.issuer }),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([options.purpose ?? serverPurpose]),
      new x509.SubjectAlternativeNameExtension([...(options.hosts ?? loopback)])
    ]
  })

const chain = async (...identities: readonly [Identity, ...Array<Identity>]): Promise<KeyAndChain> => ({
  key: x509.PemConverter.encode(
    await crypto.subtle.exportKey("pkcs8", identities[0].keys.privateKey),
    x509.PemConverter.PrivateKeyTag
  ),
  cert: identities.map(({ certificate }) => certificate.toString("pem")).join("\n")
})

/** Makes a new infrastructure; `certificates` gives the one that this process shares. */
export const makeCertificates = async (): Promise<Certificates> => {
  // An authority must outlive what it signed, also what it signed long ago, or the chain fails for the wrong reason.
  const root = await authority("CN=Holdfast Test Root", validFrom(-100, 100))
  const intermediate = await authority("CN=Holdfast Test Intermediate", validFrom(-100, 100), root)
  const expiredIntermediate = await authority("CN=Holdfast Test Expired Intermediate", validFrom(-50, -1), root)
  const otherRoot = await authority("CN=Holdfast Untrusted Root", validFrom(-100, 100))
  const otherIntermediate = await authority("CN=Holdfast Untrusted Intermediate", validFrom(-100, 100), otherRoot)

  const name = "CN=localhost"
  const good = await leaf({ name, issuer: intermediate })

  return {
    trustedRoot: root.certificate.toString("pem"),
    untrustedRoot: otherRoot.certificate.toString("pem"),
    servers: {
      good: await chain(good, intermediate),
      expired: await chain(await leaf({ name, issuer: intermediate, validity: validFrom(-10, -1) }), intermediate),
      notYetValid: await chain(await leaf({ name, issuer: intermediate, validity: validFrom(1, 10) }), intermediate),
      wrongHost: await chain(
        await leaf({ name: "CN=other.test", issuer: intermediate, hosts: [{ type: "dns", value: "other.test" }] }),
        intermediate
      ),
      selfSigned: await chain(await leaf({ name })),
      untrustedRoot: await chain(await leaf({ name, issuer: otherIntermediate }), otherIntermediate),
      missingIntermediate: await chain(good),
      expiredIntermediate: await chain(await leaf({ name, issuer: expiredIntermediate }), expiredIntermediate),
      wrongPurpose: await chain(await leaf({ name, issuer: intermediate, purpose: clientPurpose }), intermediate)
    },
    clients: {
      good: await chain(
        await leaf({ name: "CN=Holdfast Test Client", issuer: intermediate, purpose: clientPurpose }),
        intermediate
      ),
      untrusted: await chain(
        await leaf({ name: "CN=Holdfast Untrusted Client", issuer: otherIntermediate, purpose: clientPurpose }),
        otherIntermediate
      )
    },
    issue: ({ days, name = "CN=localhost", purpose }) =>
      Effect.promise(async () => {
        const issued = await leaf({
          name,
          issuer: intermediate,
          purpose: purpose === "server" ? serverPurpose : clientPurpose,
          ...(days === undefined ? {} : { validity: validFrom(...days) })
        })
        const made = await chain(issued, intermediate)
        return { ...made, serial: new X509Certificate(made.cert).serialNumber }
      })
  }
}

let shared: Promise<Certificates> | undefined

/** The infrastructure of this process, made at first use. */
export const certificates: Effect.Effect<Certificates> = Effect.promise(() => (shared ??= makeCertificates()))

/** Which certificates, keys and roots TLS may be given, and how they are read and renewed. */

import { createHash, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { type CertificateFacts, factsOf } from "./certificateFacts.ts"

/**
 * A certificate of one's own, its key, and its chain. All in PEM.
 *
 * @category models
 * @since 0.1.0
 */
export interface OwnCertificate {
  /** The certificate, followed by the intermediate ones that lead to its root. */
  readonly certificate: string
  /** The private key of the first certificate. */
  readonly key: string | Redacted.Redacted<string>
  /** The passphrase of the key. */
  readonly passphrase?: Redacted.Redacted<string> | undefined
  /** Roots that came with it. They are trusted beside those of `ca`, and both instead of the default ones. */
  readonly ca?: string | ReadonlyArray<string> | undefined
}

/**
 * Only roots: for a client that trusts an authority that rotates, and shows no certificate.
 *
 * @category models
 * @since 0.1.0
 */
export interface OnlyRoots {
  readonly certificate?: undefined
  readonly key?: undefined
  readonly passphrase?: undefined
  /** They are trusted beside those of `ca`, and both instead of the default ones. */
  readonly ca: string | ReadonlyArray<string>
}

/**
 * The material that a source gives.
 *
 * @category models
 * @since 0.1.0
 */
export type Material = OwnCertificate | OnlyRoots

/** The file that each part of a material is read from; a part that was not read from a file has no name. */
export interface FileNames {
  readonly certificate?: string | undefined
  readonly key?: string | undefined
  readonly ca?: string | undefined
}

/**
 * A certificate, key or root that cannot be used, and why. It names the file, and never shows its contents.
 *
 * @category errors
 * @since 0.1.0
 */
export class TlsMaterialError extends Schema.TaggedError<TlsMaterialError>()("TlsMaterialError", {
  /** Which part is wrong. */
  part: Schema.Literals(["certificate", "key", "ca"]),
  /** The file that it came from, if it came from one. */
  file: Schema.optionalKey(Schema.String),
  /** The fault. */
  problem: Schema.String,
  /** The platform's code: `ENOENT`, `ERR_OSSL_BAD_DECRYPT`. */
  code: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const where = this.file === undefined ? "" : ` in ${this.file}`
    const code = this.code === undefined ? "" : ` [${this.code}]`
    return `Tls: the ${this.part}${where} ${this.problem}${code}`
  }
}

/** A material that is whole: every certificate can be read, and the key fits. */
export interface CheckedMaterial {
  readonly own:
    | {
        readonly certificate: string
        readonly key: string
        readonly passphrase: string | undefined
        readonly facts: CertificateFacts
      }
    | undefined
  readonly ca: ReadonlyArray<string>
}

/** The platform's code of an error, if it has one. */
export const codeOf = (error: unknown): string | undefined =>
  Predicate.isObject(error) && "code" in error && Predicate.isString(error.code) ? error.code : undefined

const certificateBlock =
  /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[\s\S]*?-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g
const certificateBeginning = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/g

/**
 * The certificates of a PEM text, or its fault. OpenSSL takes a text without any as an empty list, and one that ends
 * in the middle of a certificate as one that ends before it.
 */
export const readCertificates = (text: string): readonly [X509Certificate, ...Array<X509Certificate>] | string => {
  const blocks = text.match(certificateBlock) ?? []
  const begun = text.match(certificateBeginning)?.length ?? 0
  if (begun > blocks.length) return "ends in the middle of a certificate"
  const certificates: Array<X509Certificate> = []
  for (const [index, block] of blocks.entries()) {
    try {
      certificates.push(new X509Certificate(block))
    } catch {
      return blocks.length === 1
        ? "cannot be read"
        : `has ${blocks.length} certificates, and number ${index + 1} cannot be read`
    }
  }
  const [first, ...others] = certificates
  return first === undefined ? "has no certificate in PEM" : [first, ...others]
}

/** The texts of an option that may be one or several. */
export const several = (texts: string | ReadonlyArray<string> | undefined): ReadonlyArray<string> =>
  texts === undefined ? [] : Predicate.isString(texts) ? [texts] : texts

const revealed = (secret: string | Redacted.Redacted<string> | undefined): string | undefined =>
  Redacted.isRedacted(secret) ? Redacted.value(secret) : secret

/** Says whether two materials are the same, and nothing about them. */
export const digestOf = (material: Material): string => {
  const parts = [material.certificate, revealed(material.key), revealed(material.passphrase), several(material.ca)]
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64")
}

const materialError = (
  part: TlsMaterialError["part"],
  file: string | undefined,
  problem: string,
  code?: string | undefined
): TlsMaterialError =>
  new TlsMaterialError({
    part,
    problem,
    ...(file === undefined ? {} : { file }),
    ...(code === undefined ? {} : { code })
  })

/** An error for a part that the platform does not take, with its code. */
export const refusedBy = (
  part: TlsMaterialError["part"],
  file: string | undefined,
  problem: string,
  error: unknown
): TlsMaterialError => materialError(part, file, problem, codeOf(error))

const keyProblem = (passphrase: string | undefined, code: string | undefined): string => {
  if (code === "ERR_OSSL_BAD_DECRYPT") return "is not encrypted with this passphrase"
  if (passphrase === undefined && code === "ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED") {
    return "is encrypted, and no passphrase was given"
  }
  return "is no whole private key in PEM"
}

const readKey = (
  key: string,
  passphrase: string | undefined,
  file: string | undefined
): KeyObject | TlsMaterialError => {
  try {
    return createPrivateKey(passphrase === undefined ? { key } : { key, passphrase })
  } catch (error) {
    return refusedBy("key", file, keyProblem(passphrase, codeOf(error)), error)
  }
}

/** Checks a material. The fault is told without any of the contents. */
export const checkMaterial = (material: Material, files: FileNames): CheckedMaterial | TlsMaterialError => {
  const ca = several(material.ca)
  for (const text of ca) {
    const roots = readCertificates(text)
    if (Predicate.isString(roots)) return materialError("ca", files.ca, roots)
  }
  if (material.certificate === undefined) {
    return ca.length === 0
      ? materialError("ca", files.ca, "is empty, and there is no certificate either")
      : { own: undefined, ca }
  }
  const certificates = readCertificates(material.certificate)
  if (Predicate.isString(certificates)) return materialError("certificate", files.certificate, certificates)
  const key = revealed(material.key) ?? ""
  const passphrase = revealed(material.passphrase)
  const privateKey = readKey(key, passphrase, files.key)
  if (privateKey instanceof TlsMaterialError) return privateKey
  const [leaf, ...others] = certificates
  if (!leaf.checkPrivateKey(privateKey)) {
    const where = files.certificate === undefined ? "" : ` in ${files.certificate}`
    return others.some((other) => other.checkPrivateKey(privateKey))
      ? materialError("certificate", files.certificate, "does not come first: the key fits a later one")
      : materialError("key", files.key, `does not fit the certificate${where}`)
  }
  return { own: { certificate: material.certificate, key, passphrase, facts: factsOf(leaf) }, ca }
}

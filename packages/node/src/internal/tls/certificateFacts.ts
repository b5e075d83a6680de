/** The facts of a certificate in logs and errors. */

import { createHash, type X509Certificate } from "node:crypto"

/** The facts about a certificate in logs and errors: nothing of it is secret. */
export interface CertificateFacts {
  /** `CN=payments.internal, O=Example`; the names that it is for, when it has no subject. */
  readonly subject: string
  readonly issuer: string
  readonly validFromMillis: number
  readonly validToMillis: number
  /** SHA-256 of the certificate, as Node writes it: `AB:CD:…`. */
  readonly fingerprint256: string
  /** SHA-256 of its public key: `sha256/…`. */
  readonly pin: string
}

/** The SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469 §2.4): a new certificate for the same key has the same. */
export const spkiPin = (certificate: X509Certificate): string => {
  const publicKeyInfo = certificate.publicKey.export({ type: "spki", format: "der" })
  return `sha256/${createHash("sha256").update(publicKeyInfo).digest("base64")}`
}

const longestName = 256

/** Node writes a part a line, and escapes characters that are no letters; a certificate of today may have no subject at all. */
const inOneLine = (name: string | undefined, otherwise: string | undefined): string =>
  (name || otherwise || "no name").replaceAll("\n", ", ").slice(0, longestName)

/** Reads the facts of a certificate. */
export const factsOf = (certificate: X509Certificate): CertificateFacts => ({
  subject: inOneLine(certificate.subject, certificate.subjectAltName),
  issuer: inOneLine(certificate.issuer, undefined),
  validFromMillis: certificate.validFromDate.getTime(),
  validToMillis: certificate.validToDate.getTime(),
  fingerprint256: certificate.fingerprint256,
  pin: spkiPin(certificate)
})

/**
 * The certificates that a peer sent, as they came over the wire, out of the result of `getPeerX509Certificate`. That can be asked only
 * once of a socket: on Node 24 the first call takes the certificate out of it.
 */
export const sentChain = (leaf: X509Certificate | undefined): Array<X509Certificate> => {
  const chain: Array<X509Certificate> = []
  for (let next = leaf; next !== undefined; next = next.issuerCertificate) chain.push(next)
  return chain
}

/**
 * The leaf, and every candidate whose key signed what is in the chain already. Neither the order on the wire nor the names in the
 * certificates are believed: the holder of a certificate of another authority could send a pinned one beside it, under the name of
 * his own issuer. Only a signature shows that a key had a part in this chain. A candidate whose key cannot be read has issued
 * nothing, says `checkIssued`, so that nothing here throws.
 */
export const signedChain = (
  leaf: X509Certificate,
  candidates: ReadonlyArray<X509Certificate>
): readonly [X509Certificate, ...Array<X509Certificate>] => {
  const chain: [X509Certificate, ...Array<X509Certificate>] = [leaf]
  const seen = new Set([leaf.fingerprint256])
  // a certificate that is found is looked at in its turn
  for (const child of chain) {
    for (const candidate of candidates) {
      if (seen.has(candidate.fingerprint256)) continue
      if (child.checkIssued(candidate) && child.verify(candidate.publicKey)) {
        seen.add(candidate.fingerprint256)
        chain.push(candidate)
      }
    }
  }
  return chain
}

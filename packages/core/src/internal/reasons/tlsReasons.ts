/** How TLS can fail a call: certificates, pins, versions, the handshake. */

import * as Schema from "effect/Schema"
import { transportFields, transportLine } from "./transportFields.ts"

/**
 * TLS: a certificate of the server's chain has expired.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificateExpired extends Schema.TaggedError<CertificateExpired>()(
  "CertificateExpired",
  transportFields
) {
  override get message() {
    return transportLine(this, "a certificate of the server's chain has expired")
  }
}

/**
 * TLS: a certificate of the server's chain is not valid yet.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificateNotYetValid extends Schema.TaggedError<CertificateNotYetValid>()(
  "CertificateNotYetValid",
  transportFields
) {
  override get message() {
    return transportLine(this, "a certificate of the server's chain is not valid yet")
  }
}

/**
 * TLS: the server's certificate is for another host.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificateHostMismatch extends Schema.TaggedError<CertificateHostMismatch>()(
  "CertificateHostMismatch",
  transportFields
) {
  override get message() {
    return transportLine(this, "the server's certificate is for another host")
  }
}

/**
 * TLS: the server's certificate does not lead to a trusted root.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificateUntrusted extends Schema.TaggedError<CertificateUntrusted>()(
  "CertificateUntrusted",
  transportFields
) {
  override get message() {
    return transportLine(this, "the server's certificate does not lead to a trusted root")
  }
}

/**
 * TLS: a certificate of the server's chain is revoked.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificateRevoked extends Schema.TaggedError<CertificateRevoked>()(
  "CertificateRevoked",
  transportFields
) {
  override get message() {
    return transportLine(this, "a certificate of the server's chain is revoked")
  }
}

/**
 * TLS: the server's public key is none of the pinned ones.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificatePinMismatch extends Schema.TaggedError<CertificatePinMismatch>()(
  "CertificatePinMismatch",
  transportFields
) {
  override get message() {
    return transportLine(this, "the server's public key is none of the pinned ones")
  }
}

/**
 * TLS: the server wants a client certificate, or refuses the one it got.
 *
 * @category errors
 * @since 0.1.0
 */
export class ClientCertificateRequired extends Schema.TaggedError<ClientCertificateRequired>()(
  "ClientCertificateRequired",
  transportFields
) {
  override get message() {
    return transportLine(this, "the server wants a client certificate, or refuses the one it got")
  }
}

/**
 * TLS: client and server share no TLS version.
 *
 * @category errors
 * @since 0.1.0
 */
export class TlsVersionMismatch extends Schema.TaggedError<TlsVersionMismatch>()(
  "TlsVersionMismatch",
  transportFields
) {
  override get message() {
    return transportLine(this, "client and server share no TLS version")
  }
}

/**
 * TLS: the TLS handshake failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class TlsHandshakeFailed extends Schema.TaggedError<TlsHandshakeFailed>()(
  "TlsHandshakeFailed",
  transportFields
) {
  override get message() {
    return transportLine(this, "the TLS handshake failed")
  }
}

/**
 * Every reason of the tls domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TlsReason = Schema.Union([
  CertificateExpired,
  CertificateNotYetValid,
  CertificateHostMismatch,
  CertificateUntrusted,
  CertificateRevoked,
  CertificatePinMismatch,
  ClientCertificateRequired,
  TlsVersionMismatch,
  TlsHandshakeFailed
])

/**
 * Every reason of the tls domain.
 *
 * @category models
 * @since 0.1.0
 */
export type TlsReason = typeof TlsReason.Type

/** How a TLS handshake goes, and which certificates are accepted. */

import { X509Certificate } from "node:crypto"
import { isIP } from "node:net"
import type { Duplex } from "node:stream"
import {
  checkServerIdentity,
  connect,
  type DetailedPeerCertificate,
  type SecureContext,
  type TLSSocket
} from "node:tls"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as FailureClassifier from "@holdfast/http/FailureClassifier"
import * as CertificatePin from "../../CertificatePin.ts"
import { type CertificateFacts, factsOf, signedChain } from "./certificateFacts.ts"
import type { SessionCache } from "./sessionCache.ts"

/** The server ended the handshake when it had seen the client's certificate, or none. */
export class ClientRefusedError extends Error {
  readonly code: string
  constructor(cause: NodeJS.ErrnoException) {
    super("the server ended the handshake after its own part of it", { cause })
    this.code = cause.code ?? "ERR_SSL_HANDSHAKE_FAILURE"
  }
}

/** The certificate is trusted and for this host, but none of the keys behind it is pinned. */
export class PinMismatchError extends Error {
  readonly code = "ERR_CERTIFICATE_PIN_MISMATCH"
  readonly mismatch: CertificatePin.Mismatch
  constructor(mismatch: CertificatePin.Mismatch) {
    super(`none of the keys of ${mismatch.endpoint} is pinned: ${CertificatePin.describe(mismatch)}`)
    this.mismatch = mismatch
  }
}

/** The connection was left in the handshake. The phrase is Node's own, by which the classifier knows it. */
class LeftInHandshakeError extends Error {
  readonly code = "ECONNRESET"
  constructor() {
    super("the connection was closed before secure TLS connection was established")
  }
}

/** Node would not begin TLS with these settings. */
class TlsNotBegunError extends Error {
  readonly code = "ERR_TLS_NOT_BEGUN"
  constructor(cause: unknown) {
    super("TLS could not be begun", { cause })
  }
}

/** The settings of the handshake. */
export interface Settings {
  /** Roots, own certificate, versions and ciphers. */
  readonly context: SecureContext
  /** Which material the context was made of: no session outlives it. */
  readonly generation: number
  /** The host of the URL; an IPv6 address with or without brackets. */
  readonly host: string
  readonly port: number
  /** The name that is asked for, and that the certificate must be for. Default: the host, and no name for an IP address. */
  readonly servername?: string | undefined
  /** ALPN, best first. */
  readonly applicationProtocols: ReadonlyArray<"h2" | "http/1.1">
  /** Left out, every handshake is a full one. */
  readonly sessions?: SessionCache | undefined
  readonly pins?: CertificatePin.CertificatePin | undefined
  /** Hears of the server's certificate after a full handshake that was accepted, before the socket is handed out. */
  readonly onPeer?: ((facts: CertificateFacts) => void) | undefined
  /** Hears of a chain without a pinned key that was let through. */
  readonly onObservedMismatch?: ((mismatch: CertificatePin.Mismatch) => void) | undefined
}

/**
 * TLS over a connected socket. The socket is the handshake's from now on: it is destroyed when the handshake fails or is
 * interrupted.
 *
 * The TLS socket that comes out has a listener for errors already, so that an alert which comes before anybody listens ends
 * nothing but the socket: its receiver looks at `destroyed` and `errored` first.
 */
export const secure = (socket: Duplex, settings: Settings): Effect.Effect<TLSSocket, Error> =>
  // the outer handler covers the moment between the end of the handshake and the receiver's own
  Effect.onInterrupt(
    Effect.flatMap(Clock.currentTimeMillis, (nowMillis) => handshake(socket, settings, nowMillis)),
    () => Effect.sync(() => socket.destroy())
  )

const handshake = (socket: Duplex, settings: Settings, nowMillis: number): Effect.Effect<TLSSocket, Error> =>
  Effect.callback((resume) => {
    // over such a socket a TLS socket never says anything
    if (socket.destroyed || socket.readableEnded) {
      socket.destroy()
      resume(Effect.fail(new LeftInHandshakeError()))
      return undefined
    }
    const { applicationProtocols, context, onObservedMismatch, onPeer } = settings
    const host = settings.host.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "")
    const checkedName = settings.servername ?? host
    // an IP address is no server name (RFC 6066 §3)
    const servername = isIP(checkedName) === 0 ? checkedName : undefined
    const pins = settings.pins === undefined || settings.pins.mode === "off" ? undefined : settings.pins
    // a resumed handshake shows no certificate that could be held against a pin
    const sessions = pins === undefined ? settings.sessions : undefined
    // the host too: a resumed handshake does not ask again whether the certificate is for it
    const sessionKey = `${settings.generation} ${checkedName} ${host}:${settings.port} ${applicationProtocols.join()}`
    const session = sessions?.get(sessionKey, nowMillis)
    let observedMismatch: CertificatePin.Mismatch | undefined
    /** The server's certificate and those behind it, once it was accepted in a full handshake. */
    let accepted: Chain | undefined
    let believedUntilMillis: number | undefined

    /** Not called for a resumed handshake: then there is no certificate to judge. */
    const judge = (certificate: DetailedPeerCertificate): Error | undefined => {
      const refused = checkServerIdentity(checkedName, certificate)
      if (refused !== undefined) return refused
      const chain = chainOf(certificate)
      const mismatch = pins?.check(`${settings.host}:${settings.port}`, chain)
      if (mismatch !== undefined && !mismatch.observed) return new PinMismatchError(mismatch)
      observedMismatch = mismatch
      accepted = chain
      return undefined
    }

    let tls: TLSSocket
    try {
      tls = connect({
        socket,
        secureContext: context,
        // also against NODE_TLS_REJECT_UNAUTHORIZED, which is for the whole process
        rejectUnauthorized: true,
        ALPNProtocols: [...applicationProtocols],
        // Node calls it with the whole chain of a leaf, though its type names the leaf only
        checkServerIdentity: (_, certificate) => judge(certificate as DetailedPeerCertificate),
        ...(servername === undefined ? {} : { servername }),
        ...(session === undefined ? {} : { session: session.ticket })
      })
    } catch (error) {
      socket.destroy()
      resume(Effect.fail(new TlsNotBegunError(error)))
      return undefined
    }

    const forget = (): void => {
      tls.removeListener("error", onError)
      tls.removeListener("close", onClose)
      tls.removeListener("secureConnect", onSecure)
    }
    const fail = (error: Error): void => {
      forget()
      tls.destroy()
      socket.destroy()
      if (session !== undefined) sessions?.delete(sessionKey)
      resume(Effect.fail(error))
    }
    const onError = (error: Error): void => fail(refusesClient(error, tls) ? new ClientRefusedError(error) : error)
    const onClose = (): void => fail(new LeftInHandshakeError())
    const onSecure = (): void => {
      forget()
      endWithAlert(tls)
      believedUntilMillis = accepted === undefined ? session?.untilMillis : believedUntil(accepted, nowMillis)
      if (accepted !== undefined) onPeer?.(factsOf(accepted[0]))
      if (observedMismatch !== undefined) onObservedMismatch?.(observedMismatch)
      resume(Effect.succeed(tls))
    }
    if (sessions !== undefined) {
      // Listened to from the beginning, or Node does not ask OpenSSL for those of TLS 1.2. It tells of none before the certificate is
      // accepted, and neither would one be kept here.
      tls.on("session", (ticket) => {
        if (believedUntilMillis !== undefined) sessions.set(sessionKey, { ticket, untilMillis: believedUntilMillis })
      })
    }
    // without one, an error that comes when nobody listens any more would end the process
    tls.on("error", () => {})
    tls.once("error", onError)
    tls.once("close", onClose)
    tls.once("secureConnect", onSecure)
    return Effect.sync(forget)
  })

const dayMillis = 86_400_000

type Chain = readonly [X509Certificate, ...ReadonlyArray<X509Certificate>]

/** A verdict is believed for a day, and not beyond the end of any certificate that it was made on. */
const believedUntil = (chain: Chain, nowMillis: number): number =>
  Math.min(nowMillis + dayMillis, ...chain.map(({ validToDate }) => validToDate.getTime()))

/**
 * The server's certificate and the certificates whose keys stand behind it: the sent ones, completed from the trusted roots.
 *
 * Not from `getPeerX509Certificate`: on Node 24 the first call takes the certificate out of the socket, and every later one, of
 * `getPeerCertificate` too, finds none.
 */
const chainOf = (certificate: DetailedPeerCertificate): Chain => {
  const completed: Array<X509Certificate> = []
  const seen = new Set<string>()
  // a root is its own issuer
  for (
    let next: DetailedPeerCertificate | undefined = certificate;
    next !== undefined && !seen.has(next.fingerprint256);
    next = next.issuerCertificate
  ) {
    seen.add(next.fingerprint256)
    completed.push(new X509Certificate(next.raw))
  }
  return signedChain(new X509Certificate(certificate.raw), completed)
}

/**
 * Up to TLS 1.2 a server that misses the client's certificate says `handshake_failure` (RFC 5246 §7.4.6), and it says the
 * same when there is no common cipher. Once it has shown its own certificate, version and cipher were agreed upon.
 */
const refusesClient = (error: Error, tls: TLSSocket): boolean =>
  /\bSSL alert number 40\b/.test(error.message) && tls.getPeerX509Certificate() !== undefined

/**
 * In TLS 1.3 a server judges the client's certificate after the client's handshake is done. Its alert then comes as an
 * `error` of a socket that stays open, and a client reports the end of the connection a moment later. A socket that is
 * destroyed with the alert has no later error, so that the alert is reported.
 */
const endWithAlert = (tls: TLSSocket): void => {
  tls.once("error", (alert) => tls.destroy(alert))
}

/** The reason that a failed handshake stands for. */
export const reasonOfHandshake = (error: unknown, endpoint: string): Reason.TransportReason =>
  stackless(() => {
    if (error instanceof ClientRefusedError) {
      return new Reason.ClientCertificateRequired({ endpoint, phase: "connect", code: error.code })
    }
    if (error instanceof PinMismatchError) {
      const detail = `seen ${CertificatePin.describe(error.mismatch)}`
      return new Reason.CertificatePinMismatch({ endpoint, phase: "connect", code: error.code, detail })
    }
    return FailureClassifier.classify(error, { endpoint, phase: "connect" })
  })

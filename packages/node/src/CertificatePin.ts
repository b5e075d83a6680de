/**
 * Pins an upstream to the public keys that it is known to have: a certificate of any other key is refused, whichever authority
 * signed it. A pin is the SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469 §2.4), written `sha256/…`, so that a
 * certificate that is renewed for the same key keeps its pin.
 *
 * **When to use**: for an upstream of great worth, whose operator publishes its keys, and does so before they change. Begin with
 * `mode: "observe"`, and with the pin of an intermediate or a root beside the server's own.
 *
 * **What it is not**: a replacement for trust. The certificate must lead to a trusted root, be in time and be for the host as
 * without pins; then one key of its chain must be pinned, too. As in OkHttp, that may be any of them: the server's own, an
 * intermediate's or the root's, and each must have signed the one below it.
 *
 * **Gotchas**: a key that changes without a pin for the next one cuts the upstream off, which is why at least two pins are
 * demanded: let the second be of a key that is kept in a safe. Pins hold for every endpoint of the transport that has them, so give
 * a pinned upstream a transport of its own. A connection with pins never goes on with an earlier TLS session, because such a
 * handshake shows no certificate: each one costs a full handshake.
 *
 * To see the certificates that an endpoint shows today, as a command:
 *
 * ```sh
 * node --input-type=module -e '
 *   import { Effect } from "effect"
 *   import { CertificatePin } from "holdfast/node"
 *   console.table(await Effect.runPromise(CertificatePin.ofEndpoint("payments.internal:443")))'
 * ```
 *
 * @since 0.1.0
 */

import { X509Certificate } from "node:crypto"
import { connect as connectTcp, isIP } from "node:net"
import { connect as connectTls, type TLSSocket } from "node:tls"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Mode } from "@holdfast/core/Mode"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as FailureClassifier from "@holdfast/http/FailureClassifier"
import { factsOf, sentChain, spkiPin } from "./internal/tls/certificateFacts.ts"
import * as Time from "@holdfast/core/Time"

/**
 * Which keys are expected.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * At least two different pins: `sha256/…` with the 32 bytes in Base64, or as in the header of RFC 7469, `pin-sha256="…"`. One
   * is enough to match; the others are for the day when the key changes.
   */
  readonly pins: ReadonlyArray<string>
  /** Whether a connection without a pinned key is refused, only reported, or not looked at. Default `enforce`. */
  readonly mode?: Mode | undefined
  /**
   * Hears of every connection without a pinned key, in `observe` too. It runs while the connection is made: it must be quick, and
   * an error that it throws is dropped.
   */
  readonly onMismatch?: ((mismatch: Mismatch) => void) | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = { mode: "enforce" } as const satisfies Partial<Options>

/**
 * A connection whose chain holds no pinned key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Mismatch {
  /** Host and port that was called. */
  readonly endpoint: string
  /** Pin and subject of each certificate of the chain, the server's own first. */
  readonly seen: ReadonlyArray<{ readonly pin: string; readonly subject: string }>
  /** Whether the connection was left in place, because the mode is `observe`. */
  readonly observed: boolean
}

/**
 * The counts since the pins were made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** Connections with a pinned key. */
  readonly matched: number
  /** Connections without one: refused, or in `observe` let through. */
  readonly mismatched: number
}

/**
 * Pins that connections are held to.
 *
 * @category models
 * @since 0.1.0
 */
export interface CertificatePin {
  readonly mode: Mode
  /** The pins, each once, as `sha256/…`. */
  readonly pins: ReadonlyArray<string>
  /**
   * Holds a chain against the pins, and counts and tells the result. The chain is that of an accepted certificate, the server's own
   * first, and each certificate in it must have signed one before it.
   */
  readonly check: (endpoint: string, chain: ReadonlyArray<X509Certificate>) => Mismatch | undefined
  /** The counts. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
}

const pinForm = /^(?:sha256\/([A-Za-z0-9+/]{43}=)|pin-sha256="([A-Za-z0-9+/]{43}=)")$/

const normalised = (text: string): string => {
  const [, plain, ofHeader] = pinForm.exec(text.trim()) ?? []
  const encoded = plain ?? ofHeader
  if (encoded === undefined) {
    throw new RangeError(
      `CertificatePin: pins must be "sha256/" and 32 bytes in Base64, or pin-sha256="…", got ${JSON.stringify(text)}`
    )
  }
  // the last letter has two bits that mean nothing: decoded and encoded again, equal pins are written alike
  return `sha256/${Buffer.from(encoded, "base64").toString("base64")}`
}

/**
 * Makes the pins. Throws a `RangeError` for a pin that is none, and for fewer than two different ones.
 *
 * ```ts
 * import { CertificatePin } from "holdfast/node"
 *
 * try {
 *   CertificatePin.make({ pins: ["sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="] })
 * } catch (error) {
 *   console.log(String(error))
 * }
 * // => RangeError: CertificatePin: pins must be at least two different ones, got 1; let one be of a key that is not in use yet, or a lost key cuts the upstream off
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): CertificatePin => {
  const pins = new Set(options.pins.map(normalised))
  if (pins.size < 2) {
    throw new RangeError(
      `CertificatePin: pins must be at least two different ones, got ${pins.size}; ` +
        "let one be of a key that is not in use yet, or a lost key cuts the upstream off"
    )
  }
  const mode = options.mode ?? defaults.mode
  let matched = 0
  let mismatched = 0
  return {
    mode,
    pins: [...pins],
    check: (endpoint, chain) => {
      if (mode === "off") return undefined
      const seen = chain.map((certificate) => {
        const { pin, subject } = factsOf(certificate)
        return { pin, subject }
      })
      if (seen.some(({ pin }) => pins.has(pin))) {
        matched++
        return undefined
      }
      mismatched++
      const mismatch: Mismatch = { endpoint, seen, observed: mode === "observe" }
      try {
        options.onMismatch?.(mismatch)
      } catch {
        // an observer cannot break a connection
      }
      return mismatch
    },
    snapshot: Effect.sync(() => ({ matched, mismatched }))
  }
}

/**
 * A mismatch in one line: `sha256/… (CN=payments.internal), sha256/… (CN=Example Authority)`.
 *
 * @category getters
 * @since 0.1.0
 */
export const describe = (mismatch: Pick<Mismatch, "seen">): string =>
  mismatch.seen.map(({ pin, subject }) => `${pin} (${subject})`).join(", ")

const certificateOf = (certificate: string | Uint8Array): X509Certificate => {
  try {
    return new X509Certificate(certificate)
  } catch {
    throw new RangeError("CertificatePin: a certificate must be in PEM or DER, and this cannot be read as either")
  }
}

/**
 * The pin of a certificate in PEM or DER; of several in one text, that of the first. The same as
 * `openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64`.
 *
 * Throws a `RangeError` for a text that is no certificate.
 *
 * ```ts
 * import { CertificatePin } from "holdfast/node"
 *
 * const pem = `-----BEGIN CERTIFICATE-----
 * MIIBgDCCASegAwIBAgIUFGDG7PaTO+1gxihwciRO+4ygunQwCgYIKoZIzj0EAwIw
 * FjEUMBIGA1UEAwwLZXhhbXBsZS5vcmcwHhcNMjYxMTIwMTE1ODA4WhcNMjYxMTIx
 * MTE1ODA4WjAWMRQwEgYDVQQDDAtleGFtcGxlLm9yZzBZMBMGByqGSM49AgEGCCqG
 * SM49AwEHA0IABEnhaqdANpZF7dHASuxtlLi1CLN7stjq/6tmQSYFcmB2tNHRwIDl
 * JIGvLZ9lHUs8+bnUumF56aEqfU913/1zXvCjUzBRMB0GA1UdDgQWBBT45EXXXkFI
 * OYh0ynn3yGdE/f5UDTAfBgNVHSMEGDAWgBT45EXXXkFIOYh0ynn3yGdE/f5UDTAP
 * BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIG8CKjRdbt2Xc3ImSH1h
 * Kvhejl0LW91M/ag62mfsKhK0AiBasL6mXa60sSqZZ41LVpuUqNIM3bKpjSeosExz
 * GEG3IA==
 * -----END CERTIFICATE-----`
 * console.log(CertificatePin.ofCertificate(pem)) // => sha256/99dpC/N2lcdJquP2cpjbMtoWUCTrEj7cNyKKbIfF8B8=
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofCertificate = (certificate: string | Uint8Array): string => spkiPin(certificateOf(certificate))

/**
 * One certificate that an endpoint sends.
 *
 * @category models
 * @since 0.1.0
 */
export interface Presented {
  readonly pin: string
  readonly subject: string
  readonly issuer: string
  readonly validTo: Date
}

/**
 * How an endpoint is asked.
 *
 * @category models
 * @since 0.1.0
 */
export interface EndpointOptions {
  /** The name that is asked for (SNI). Default: the host; none for an IP address. */
  readonly servername?: string | undefined
  /** Name resolution, TCP and TLS together. Longer than zero; default 10 s. */
  readonly timeout?: Time.Input | undefined
}

const endpointForm = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?$/

const hostAndPort = (endpoint: string): { readonly host: string; readonly port: number } => {
  const [, bracketed, plain, digits] = endpointForm.exec(endpoint) ?? []
  const host = bracketed ?? plain
  const port = digits === undefined ? 443 : Number(digits)
  if (host === undefined || port < 1 || port > 65_535) {
    throw new RangeError(
      `CertificatePin: an endpoint must be a host and a port, such as "payments.internal:443", got ${JSON.stringify(endpoint)}`
    )
  }
  return { host, port }
}

const longestMillis = 2 ** 31 - 1

/**
 * The certificates that an endpoint shows, each in the order in which it is sent, the server's own first. A root is seldom
 * sent, and a certificate whose key cannot be read is left out. Nothing is asked of the server but its certificates, and the port is 443 when it is left out.
 *
 * **It trusts any server**: an expired, foreign or self-made certificate is shown as any other, since a pin says which key it is
 * and not whether it is right. A machine in between can show its own. Before you put the pins to use, compare them with the
 * ones that the operator publishes in another way.
 *
 * Fails as a connection fails: `NameResolutionFailed`, `ConnectionRefused`, `ConnectTimeout`, `TlsHandshakeFailed`.
 *
 * ```ts no-run
 * import { Effect } from "effect"
 * import { CertificatePin } from "holdfast/node"
 *
 * for (const { pin, subject, validTo } of await Effect.runPromise(CertificatePin.ofEndpoint("payments.internal:443"))) {
 *   console.log(pin, subject, validTo.toISOString())
 * }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofEndpoint = (
  endpoint: string,
  options: EndpointOptions = {}
): Effect.Effect<ReadonlyArray<Presented>, Reason.TransportReason> => {
  const { host, port } = hostAndPort(endpoint)
  const timeout = Time.of("CertificatePin: timeout", options.timeout ?? Duration.seconds(10))
  const limitMillis = Math.min(Duration.toMillis(timeout), longestMillis)
  if (!(limitMillis > 0)) {
    throw new RangeError(`CertificatePin: timeout must be longer than zero, got ${String(options.timeout)}`)
  }
  const { servername } = options
  if (servername !== undefined && isIP(servername) !== 0) {
    throw new RangeError(`CertificatePin: servername must be a name and no address, got ${JSON.stringify(servername)}`)
  }
  const name = servername ?? (isIP(host) === 0 ? host : undefined)
  const called = `${host}:${port}`
  return Effect.callback<ReadonlyArray<Presented>, Reason.TransportReason>((resume) => {
    let tls: TLSSocket | undefined
    const tcp = connectTcp({ host, port })
    const leave = (): void => {
      clearTimeout(timer)
      tls?.destroy()
      tcp.destroy()
    }
    const settle = (result: Effect.Effect<ReadonlyArray<Presented>, Reason.TransportReason>): void => {
      leave()
      resume(result)
    }
    const settleWithChain = (): boolean => {
      const shown = sentChain(tls?.getPeerX509Certificate()).flatMap(presented)
      if (shown.length === 0) return false
      settle(Effect.succeed(shown))
      return true
    }
    const fail = (error: Error): void => {
      // a server that wants a client certificate has shown its own before it says so
      if (settleWithChain()) return
      settle(Effect.fail(stackless(() => FailureClassifier.classify(error, { endpoint: called, phase: "connect" }))))
    }
    const timer = setTimeout(() => {
      const limit = Duration.millis(limitMillis)
      settle(Effect.fail(stackless(() => new Reason.ConnectTimeout({ endpoint: called, limit }))))
    }, limitMillis)
    tcp.on("error", fail)
    // not before: TLS over a socket that does not connect only says that it was closed
    tcp.once("connect", () => {
      tls = connectTls({
        socket: tcp,
        // to look at a certificate is not to trust it: nothing is sent, and the connection is closed at once
        rejectUnauthorized: false,
        ...(name === undefined ? {} : { servername: name })
      })
      tls.on("error", fail)
      tls.once("secureConnect", settleWithChain)
      tls.once("close", () => fail(Object.assign(new Error("the connection was closed"), { code: "UND_ERR_SOCKET" })))
    })
    return Effect.sync(leave)
  })
}

/** Nobody has checked these certificates: one whose key cannot be read has no pin, and is left out. */
const presented = (certificate: X509Certificate): ReadonlyArray<Presented> => {
  try {
    const { issuer, pin, subject } = factsOf(certificate)
    return [{ pin, subject, issuer, validTo: certificate.validToDate }]
  } catch {
    return []
  }
}

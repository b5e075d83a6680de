/**
 * The TLS of a transport: which servers are trusted, with which certificate the program shows itself, and the warnings before
 * a certificate ends.
 *
 * **When to use**: for an upstream behind an authority of one's own (`ca`, `systemCa`), for mutual TLS (`identity`), and to have
 * certificates that rotate taken up without a restart (`Tls.files`).
 *
 * **What it is not**: a switch for verification. There is none, on purpose: code that was written to get past one bad certificate in
 * a test is copied to production, and then any machine in between reads and changes everything. Every purpose of such a switch has a
 * right way: `ca` for an authority of one's own or a self-signed certificate, `servername` for a certificate that is for another
 * name than the URL has.
 *
 * **Gotchas**: connections that are open stay as they are when a certificate rotates; new ones are made with the new one. Files are
 * read again and again, and not watched: a cluster exchanges mounted files below the name, which watchers miss.
 *
 * ```ts no-run
 * import { Tls } from "holdfast/node"
 *
 * const tls: Tls.Options<Tls.TlsMaterialError> = {
 *   minVersion: "TLSv1.3",
 *   identity: Tls.files({ certificate: "/etc/tls/tls.crt", key: "/etc/tls/tls.key", ca: "/etc/tls/ca.crt" })
 * }
 * ```
 *
 * @since 0.1.0
 */

import { readFile } from "node:fs/promises"
import { isIP } from "node:net"
import { createSecureContext, getCACertificates, type SecureContext, type SecureContextOptions } from "node:tls"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as PolicyEvents from "@holdfast/core/PolicyEvents"
import type * as CertificatePin from "./CertificatePin.ts"
import type { CertificateFacts } from "./internal/tls/certificateFacts.ts"
import {
  type CheckedMaterial,
  checkMaterial,
  codeOf,
  digestOf,
  type FileNames,
  type Material,
  type OwnCertificate,
  readCertificates,
  refusedBy,
  several,
  TlsMaterialError
} from "./internal/tls/tlsMaterial.ts"
import * as Time from "@holdfast/core/Time"

export type { CertificateFacts } from "./internal/tls/certificateFacts.ts"
export { TlsMaterialError } from "./internal/tls/tlsMaterial.ts"
export type { Material, OnlyRoots, OwnCertificate } from "./internal/tls/tlsMaterial.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Where a certificate comes from
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Where one's own certificate and key come from, and how often they are looked at again. {@link fixed}, {@link files} and
 * {@link fromEffect} make one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source<out E = never> {
  readonly read: Effect.Effect<Material, E>
  /** How long after a reading the next one is made; `undefined` when there is only one. */
  readonly every: Duration.Duration | undefined
  /** How errors name the parts, when they are read from files. */
  readonly names: { readonly certificate?: string; readonly key?: string; readonly ca?: string }
  /** The failure of this source for a material that cannot be used. */
  readonly refuse: (error: TlsMaterialError) => E
}

const keep = (error: TlsMaterialError): TlsMaterialError => error

const interval = (given: Time.Input): Duration.Duration => {
  const every = Time.of("Tls: every", given)
  const millis = Duration.toMillis(every)
  if (!(millis > 0 && Number.isFinite(millis))) {
    throw new RangeError(`Tls: every must be longer than zero and finite, got ${String(given)}`)
  }
  return every
}

/**
 * A certificate and key that never change while the program runs.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fixed = (material: Material): Source<TlsMaterialError> => ({
  read: Effect.succeed(material),
  every: undefined,
  names: {},
  refuse: keep
})

/**
 * Which files are read, all of them PEM.
 *
 * @category models
 * @since 0.1.0
 */
export type FilesOptions = (
  | {
      /** The certificate, followed by the intermediate ones. */
      readonly certificate: string
      /** Its private key. */
      readonly key: string
      /** The passphrase of the key. */
      readonly passphrase?: Redacted.Redacted<string> | undefined
      /** Roots, which are trusted beside those of `ca` of the options, and both instead of the default ones. */
      readonly ca?: string | undefined
    }
  | {
      readonly certificate?: undefined
      readonly key?: undefined
      readonly passphrase?: undefined
      /** Roots, for a client that shows no certificate. */
      readonly ca: string
    }
) & {
  /** How often the files are read. Longer than zero; default 1 minute. */
  readonly every?: Time.Input | undefined
}

/**
 * A certificate and key in files, which may change. A new certificate is taken once its key is there too: the state between the
 * two writes of a rotation is left alone.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Tls } from "holdfast/node"
 *
 * const credentials = Tls.makeCredentials({ identity: Tls.files({ certificate: "/no/tls.crt", key: "/no/tls.key" }) })
 * const error = await Effect.runPromise(Effect.flip(Effect.scoped(credentials)))
 * console.log(error.message) // => Tls: the certificate in /no/tls.crt cannot be read [ENOENT]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const files = (options: FilesOptions): Source<TlsMaterialError> => {
  const { ca, certificate, key, passphrase } = options
  const roots = ca === undefined ? Effect.succeed(undefined) : readText("ca", ca)
  const own: Effect.Effect<Material, TlsMaterialError> =
    certificate === undefined
      ? Effect.map(readText("ca", options.ca), (text) => ({ ca: text }))
      : Effect.map(
          Effect.all([readText("certificate", certificate), readText("key", options.key), roots]),
          ([certificateText, keyText, rootsText]): OwnCertificate => ({
            certificate: certificateText,
            key: keyText,
            passphrase,
            ca: rootsText
          })
        )
  return {
    read: own,
    every: interval(options.every ?? Duration.minutes(1)),
    names: {
      ...(certificate === undefined ? {} : { certificate }),
      ...(key === undefined ? {} : { key }),
      ...(ca === undefined ? {} : { ca })
    },
    refuse: keep
  }
}

const readText = (part: TlsMaterialError["part"], file: string): Effect.Effect<string, TlsMaterialError> =>
  Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (error) => refusedBy(part, file, "cannot be read", error)
  })

/**
 * How often an effect is asked.
 *
 * @category models
 * @since 0.1.0
 */
export interface FromEffectOptions {
  /** How long after an answer the next one is asked for. Longer than zero; left out, it is asked once. */
  readonly every?: Time.Input | undefined
}

/**
 * A certificate and key from any effect: a secret store, an agent on this host.
 *
 * ```ts no-run
 * import { Effect, Redacted } from "effect"
 * import { Tls } from "holdfast/node"
 *
 * declare const secret: (name: string) => Effect.Effect<string, Error>
 *
 * const identity = Tls.fromEffect(
 *   Effect.map(Effect.all([secret("tls-certificate"), secret("tls-key")]), ([certificate, key]) => ({
 *     certificate,
 *     key: Redacted.make(key)
 *   })),
 *   { every: "10 minutes" }
 * )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromEffect = <E>(
  effect: Effect.Effect<Material, E>,
  options: FromEffectOptions = {}
): Source<E | TlsMaterialError> => ({
  read: effect,
  every: options.every === undefined ? undefined : interval(options.every),
  names: {},
  refuse: keep
})

// ---------------------------------------------------------------------------------------------------------------------
// Options
// ---------------------------------------------------------------------------------------------------------------------

/**
 * A version of TLS. Older ones are broken, and not spoken.
 *
 * @category models
 * @since 0.1.0
 */
export type Version = "TLSv1.2" | "TLSv1.3"

/**
 * How connections are secured.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<out E = never> {
  /** The lowest version that is spoken. Default `TLSv1.2`. */
  readonly minVersion?: Version | undefined
  /** The highest version that is spoken. Default `TLSv1.3`. */
  readonly maxVersion?: Version | undefined
  /** Roots in PEM that are trusted instead of the default ones. Default: the roots that Node trusts. */
  readonly ca?: string | ReadonlyArray<string> | undefined
  /** Whether the roots of the operating system are trusted beside the others. They are read once. Default false. */
  readonly systemCa?: boolean | undefined
  /**
   * The name that is asked for (SNI), and that the certificate must be for, at every endpoint. Default: the host of the URL, which is
   * not asked for when it is an IP address.
   */
  readonly servername?: string | undefined
  /** OpenSSL's list of ciphers. Default: Node's. */
  readonly ciphers?: string | undefined
  /** The certificate and key that the program shows, and roots that come with them. Default: none. */
  readonly identity?: Source<E> | undefined
  /** The keys that servers must have. Default: any key that a trusted authority signed. */
  readonly pins?: CertificatePin.Options | undefined
  /**
   * How long before its end a certificate is warned of in the log, once a day: a server's own, and the program's. A third of the
   * certificate's lifetime where that is shorter. Zero warns of expired ones only. Default 14 days.
   */
  readonly expiryWarning?: Time.Input | undefined
  /** Whether a connection may go on with the TLS session of an earlier one, which saves a full handshake. Default true. */
  readonly sessionReuse?: boolean | undefined
  /** Is not there: verification cannot be switched off. The module's comment says why, and which options to use instead. */
  readonly verify?: never
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.3",
  systemCa: false,
  expiryWarning: Duration.days(14),
  sessionReuse: true
} as const satisfies Options

// ---------------------------------------------------------------------------------------------------------------------
// The material of connections
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The material of new connections at one instant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Current {
  /** Roots, own certificate, versions and ciphers. Made once for each material. */
  readonly context: SecureContext
  /** 1 for the first material, and one more for each that took its place. */
  readonly generation: number
  /** The program's own certificate, if it has one. */
  readonly own: CertificateFacts | undefined
}

/**
 * The material of connections, kept up to date.
 *
 * @category models
 * @since 0.1.0
 */
export interface Credentials {
  readonly current: () => Current
  /** Calls the listener when another material has taken the place of the current one; gives a function that ends that. */
  readonly onChange: (listener: (current: Current) => void) => () => void
}

/** Everything that the options say about a context, but for the material. */
interface Frame {
  readonly options: SecureContextOptions
  readonly roots: (ofMaterial: ReadonlyArray<string>) => ReadonlyArray<string> | undefined
}

const versions: ReadonlyArray<unknown> = ["TLSv1.2", "TLSv1.3"]

const version = (name: string, given: Version): Version => {
  if (!versions.includes(given)) {
    throw new RangeError(`Tls: ${name} must be "TLSv1.2" or "TLSv1.3", got ${JSON.stringify(given)}`)
  }
  return given
}

const frameOf = <E>(options: Options<E>): Frame => {
  if (options.verify !== undefined) {
    throw new RangeError(
      "Tls: verify is no option, because verification cannot be switched off; " +
        "trust the authority with ca, or name the host of the certificate with servername"
    )
  }
  const { servername } = options
  if (servername !== undefined && (servername === "" || isIP(servername) !== 0)) {
    throw new RangeError(`Tls: servername must be the name of a host and no address, got ${JSON.stringify(servername)}`)
  }
  const minVersion = version("minVersion", options.minVersion ?? defaults.minVersion)
  const maxVersion = version("maxVersion", options.maxVersion ?? defaults.maxVersion)
  if (minVersion > maxVersion) {
    throw new RangeError(`Tls: minVersion must not be above maxVersion, got ${minVersion} and ${maxVersion}`)
  }
  const ca = several(options.ca)
  if (options.ca !== undefined && ca.length === 0) {
    throw new RangeError("Tls: ca must hold at least one root, got none; leave it out to trust the default ones")
  }
  for (const [index, text] of ca.entries()) {
    const found = readCertificates(text)
    if (Predicate.isString(found))
      throw new RangeError(`Tls: ca must be certificates in PEM; number ${index + 1} ${found}`)
  }
  const context: SecureContextOptions = {
    minVersion,
    maxVersion,
    ...(options.ciphers === undefined ? {} : { ciphers: options.ciphers })
  }
  try {
    createSecureContext(context)
  } catch (error) {
    throw new RangeError(
      `Tls: ciphers must be a list of OpenSSL, got ${JSON.stringify(options.ciphers)} [${codeOf(error)}]`
    )
  }
  const system = (options.systemCa ?? defaults.systemCa) ? getCACertificates("system") : []
  return {
    options: context,
    roots: (ofMaterial) => {
      const own = [...ca, ...ofMaterial]
      if (own.length > 0) return [...own, ...system]
      return system.length === 0 ? undefined : [...getCACertificates("default"), ...system]
    }
  }
}

const contextOf = (frame: Frame, { ca, own }: CheckedMaterial): SecureContext => {
  const roots = frame.roots(ca)
  return createSecureContext({
    ...frame.options,
    ...(roots === undefined ? {} : { ca: [...roots] }),
    ...(own === undefined ? {} : { cert: own.certificate, key: own.key }),
    ...(own?.passphrase === undefined ? {} : { passphrase: own.passphrase })
  })
}

interface Taken {
  readonly digest: string
  readonly context: SecureContext
  readonly own: CertificateFacts | undefined
}

const take = (frame: Frame, material: Material, names: FileNames, digest: string): Taken | TlsMaterialError => {
  const checked = checkMaterial(material, names)
  if (checked instanceof TlsMaterialError) return checked
  try {
    return { digest, context: contextOf(frame, checked), own: checked.own?.facts }
  } catch (error) {
    // a key that is too short for the ciphers' level of security, above all
    return refusedBy("certificate", names.certificate, "is refused by OpenSSL", error)
  }
}

/**
 * Makes the material of connections, and keeps it up to date for as long as the scope is open. The first reading must succeed.
 * Later ones replace the material when it has changed and is whole; one that is not is logged as a warning, once, and the
 * material before it stays. A later reading that takes longer than the interval is given up.
 *
 * Throws a `RangeError` that names the option which is out of range.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeCredentials = <E = never>(options: Options<E> = {}): Effect.Effect<Credentials, E, Scope.Scope> => {
  const frame = frameOf(options)
  const { identity } = options
  if (identity === undefined) {
    return Effect.sync(() => {
      const current = { context: contextOf(frame, { own: undefined, ca: [] }), generation: 1, own: undefined }
      return { current: () => current, onChange: () => () => {} }
    })
  }
  const taking = (material: Material, digest: string): Effect.Effect<Taken, E> =>
    Effect.suspend(() => {
      const taken = take(frame, material, identity.names, digest)
      return taken instanceof TlsMaterialError ? Effect.fail(identity.refuse(taken)) : Effect.succeed(taken)
    })
  return Effect.gen(function* () {
    const first = yield* identity.read
    const taken = yield* taking(first, digestOf(first))
    let digest = taken.digest
    let current: Current = { context: taken.context, generation: 1, own: taken.own }
    const changes = PolicyEvents.make<Current>()
    const { every } = identity
    if (every !== undefined) {
      /** The problem that the log has, so that it is not said at every reading. */
      let said: string | undefined
      const reread = Effect.gen(function* () {
        /** The source's new material; nothing when it is the one that is there already. */
        const reading = Effect.flatMap(identity.read, (material) => {
          const found = digestOf(material)
          return found === digest ? Effect.succeed(undefined) : taking(material, found)
        })
        const exit = yield* Effect.exit(Effect.timeoutOption(reading, every))
        if (Exit.isFailure(exit) || Option.isNone(exit.value)) {
          const problem = Exit.isFailure(exit) ? inWords(exit.cause) : `no answer within ${Duration.format(every)}`
          if (problem === said) return
          said = problem
          yield* Effect.logWarning(
            `the TLS certificate stays as it was, because the new one cannot be used: ${problem}`
          )
          return
        }
        said = undefined
        const next = exit.value.value
        if (next === undefined) return
        digest = next.digest
        current = { context: next.context, generation: current.generation + 1, own: next.own }
        const which = next.own === undefined ? "new roots" : `${next.own.subject}, ${next.own.fingerprint256}`
        yield* Effect.logInfo(`new connections are made with another TLS certificate: ${which}`)
        changes.emit(current)
      })
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(every), reread)), { startImmediately: true })
    }
    return { current: () => current, onChange: changes.events.subscribe }
  })
}

/** The failure of a source, in one line and without a stack: a log is no place for a secret store's internals. */
const inWords = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return Predicate.isError(error) ? error.message : String(error)
}

/** The result of one transport's TLS options: the trusted authorities, the certificate that is shown, the warnings. */

import type { Duplex } from "node:stream"
import type { TLSSocket } from "node:tls"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as CertificatePin from "../../CertificatePin.ts"
import * as Tls from "../../Tls.ts"
import { dueWarning, makeExpiryState, warningText } from "./certificateExpiry.ts"
import type { CertificateFacts } from "./certificateFacts.ts"
import { secure, type Settings } from "./secure.ts"
import { makeSessionCache } from "./sessionCache.ts"
import * as Time from "@holdfast/core/Time"

/** The purpose of a handshake. */
export type Target = Pick<Settings, "host" | "port" | "applicationProtocols">

/** Everything that the TLS options of one transport ask for, behind one function. */
export interface TlsClient {
  /** TLS over a connected socket, which is destroyed when that fails or is interrupted. */
  readonly secure: (socket: Duplex, target: Target) => Effect.Effect<TLSSocket, Error>
  readonly credentials: Tls.Credentials
  readonly pins: CertificatePin.CertificatePin | undefined
}

const maximumSessions = 256
const maximumSaid = 1024
/** How often the program's own certificate is looked at: a day could be missed with anything longer than half of one. */
const ownCertificateEvery = Duration.hours(1)

/**
 * Makes the function that secures the connections of one transport. Throws a `RangeError` that names the option which is out of range.
 */
export const makeTlsClient = <E = never>(options: Tls.Options<E> = {}): Effect.Effect<TlsClient, E, Scope.Scope> => {
  const expiryMillis = Time.millis("Tls: expiryWarning", options.expiryWarning ?? Tls.defaults.expiryWarning)
  if (!(expiryMillis >= 0)) {
    throw new RangeError(`Tls: expiryWarning must not be negative, got ${String(options.expiryWarning)}`)
  }
  const pins = options.pins === undefined ? undefined : CertificatePin.make(options.pins)
  const { servername } = options
  const making = Tls.makeCredentials(options)
  return Effect.gen(function* () {
    const credentials = yield* making
    const sessions = (options.sessionReuse ?? Tls.defaults.sessionReuse) ? makeSessionCache(maximumSessions) : undefined
    const expiry = makeExpiryState()
    const observed = new Set<string>()

    const warnOfExpiry = (whose: string, facts: CertificateFacts): Effect.Effect<void> =>
      Effect.flatMap(Clock.currentTimeMillis, (nowMillis) => {
        const warning = dueWarning(expiry, facts, nowMillis, expiryMillis)
        return warning === undefined ? Effect.void : Effect.logWarning(warningText(whose, facts, warning))
      })

    const warnOfObserved = (mismatch: CertificatePin.Mismatch): Effect.Effect<void> => {
      const key = `${mismatch.endpoint} ${mismatch.seen[0]?.pin}`
      if (observed.has(key)) return Effect.void
      observed.add(key)
      for (const oldest of observed) {
        if (observed.size <= maximumSaid) break
        observed.delete(oldest)
      }
      return Effect.logWarning(
        `${mismatch.endpoint}: none of the server's keys is pinned, and the pins would refuse it: ${CertificatePin.describe(mismatch)}`
      )
    }

    if (options.identity !== undefined) {
      const lookAtOwn = Effect.suspend(() => {
        const { own } = credentials.current()
        return own === undefined ? Effect.void : warnOfExpiry("the program's own certificate", own)
      })
      const looking = Effect.forever(Effect.andThen(lookAtOwn, Effect.sleep(ownCertificateEvery)))
      yield* Effect.forkScoped(looking, { startImmediately: true })
    }

    const secured = (socket: Duplex, target: Target): Effect.Effect<TLSSocket, Error> =>
      Effect.suspend(() => {
        const { context, generation } = credentials.current()
        let peer: CertificateFacts | undefined
        let mismatch: CertificatePin.Mismatch | undefined
        const handshake = secure(socket, {
          ...target,
          context,
          generation,
          servername,
          sessions,
          pins,
          onPeer: (facts) => (peer = facts),
          onObservedMismatch: (found) => (mismatch = found)
        })
        return Effect.onInterrupt(
          Effect.tap(handshake, () => {
            if (peer === undefined && mismatch === undefined) return Effect.void
            const endpoint = `${target.host}:${target.port}`
            const expiring = peer === undefined ? Effect.void : warnOfExpiry(`${endpoint}: the certificate`, peer)
            return mismatch === undefined ? expiring : Effect.andThen(expiring, warnOfObserved(mismatch))
          }),
          () => Effect.sync(() => socket.destroy())
        )
      })
    return { secure: secured, credentials, pins }
  })
}

/** When a certificate that ends soon is warned of. */

import type { CertificateFacts } from "./certificateFacts.ts"

/** The warning about a certificate that ends soon, or has ended. */
export interface ExpiryWarning {
  /** Whole days that are left; negative once it has expired. */
  readonly daysLeft: number
  readonly isExpired: boolean
}

type Term = Pick<CertificateFacts, "fingerprint256" | "validFromMillis" | "validToMillis">

/** Which certificates were warned of, and on which day. */
export interface ExpiryState {
  /** The day of the last warning, by fingerprint; in the order of the warnings. */
  readonly warnedOn: Map<string, number>
}

const dayMillis = 86_400_000
const maximumRemembered = 1024

export const makeExpiryState = (): ExpiryState => ({ warnedOn: new Map() })

/**
 * How long before its end a certificate is warned of. A third of its lifetime at most, which is when it is commonly renewed: a
 * fixed number of days would warn of a certificate of a week for all of its life.
 */
export const thresholdMillis = (term: Term, warningMillis: number): number =>
  Math.min(warningMillis, (term.validToMillis - term.validFromMillis) / 3)

/** The warning that is due for a certificate, once on each day (UTC) that it is due. */
export const dueWarning = (
  state: ExpiryState,
  term: Term,
  nowMillis: number,
  warningMillis: number
): ExpiryWarning | undefined => {
  const leftMillis = term.validToMillis - nowMillis
  if (leftMillis > 0 && leftMillis >= thresholdMillis(term, warningMillis)) return undefined
  const today = Math.floor(nowMillis / dayMillis)
  const { warnedOn } = state
  if (warnedOn.get(term.fingerprint256) === today) return undefined
  warnedOn.delete(term.fingerprint256)
  warnedOn.set(term.fingerprint256, today)
  for (const oldest of warnedOn.keys()) {
    if (warnedOn.size <= maximumRemembered) break
    warnedOn.delete(oldest)
  }
  return { daysLeft: Math.floor(leftMillis / dayMillis), isExpired: leftMillis <= 0 }
}

const days = (count: number): string => (count === 1 ? "1 day" : `${count} days`)

/** The warning in words: `payments.internal:443: the certificate CN=payments.internal expires in 6 days, on 2026-11-26`. */
export const warningText = (
  whose: string,
  facts: Pick<CertificateFacts, "subject" | "validToMillis">,
  warning: ExpiryWarning
): string => {
  const date = new Date(facts.validToMillis).toISOString().slice(0, 10)
  if (warning.isExpired) return `${whose} ${facts.subject} has expired, on ${date}`
  const when = warning.daysLeft === 0 ? "in less than a day" : `in ${days(warning.daysLeft)}`
  return `${whose} ${facts.subject} expires ${when}, on ${date}`
}

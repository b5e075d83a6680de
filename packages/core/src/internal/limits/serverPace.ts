/**
 * The server's last word about its own limit, bounded and for a time: so many calls until then. Half of the remaining
 * calls may go at once, the rest is spread over the time (the pace `t / r` of draft-ietf-httpapi-ratelimit-headers-10),
 * and nothing beyond it goes before the time is over.
 *
 * It is information, not a promise, and may be wrong or hostile: no call waits for it longer than the longest time that is
 * believed, and it is forgotten when it is over.
 */
export interface PaceState {
  /** The longest that is believed. */
  longestMillis: number
  latestMillis: number
  /** When the server's word is over; in the past when there is none. */
  untilMillis: number
  /** Calls that are left until then. */
  remaining: number
  /** Milliseconds that each call is worth. */
  paceMillis: number
  /** Calls that may go at once. */
  burst: number
  /** The token bucket's virtual clock. */
  emptyAtMillis: number
}

/** The server's word. */
export interface Word {
  readonly remaining: number
  readonly resetAfterMillis: number
  readonly paceMillis: number
}

export const makePaceState = (longestMillis: number): PaceState => ({
  longestMillis,
  latestMillis: -Infinity,
  untilMillis: -Infinity,
  remaining: 0,
  paceMillis: 0,
  burst: 0,
  emptyAtMillis: -Infinity
})

/** Whether the server's word is in force. */
export const isInForce = (state: PaceState, nowMillis: number): boolean =>
  state.untilMillis > Math.max(nowMillis, state.latestMillis)

/**
 * Takes the server at its word; whether it did. Nonsense is not taken. While nothing is left, a word that allows
 * more is not either: it was said before, by an answer that took longer.
 */
export const hear = (state: PaceState, nowMillis: number, word: Word): boolean => {
  const { paceMillis, remaining, resetAfterMillis } = word
  if (!(remaining >= 0 && resetAfterMillis > 0 && paceMillis >= 0)) return false
  const now = Math.max(nowMillis, state.latestMillis)
  state.latestMillis = now
  const wasInForce = state.untilMillis > now
  const isHeld = wasInForce && state.remaining < 1
  if (isHeld && remaining >= 1) return false
  const untilMillis = now + Math.min(resetAfterMillis, state.longestMillis)
  state.untilMillis = isHeld ? Math.max(state.untilMillis, untilMillis) : untilMillis
  state.remaining = remaining
  state.paceMillis = Math.min(paceMillis, state.longestMillis)
  state.burst = Math.max(1, remaining / 2)
  // a word that follows another changes the pace, and does not fill the bucket again
  if (!wasInForce) state.emptyAtMillis = -Infinity
  return true
}

const emptyAfter = (state: PaceState, now: number, cost: number): number =>
  Math.max(state.emptyAtMillis, now - state.burst * state.paceMillis) + cost * state.paceMillis

/** The instant before which a call should not go; never after the word is over. Asking changes nothing. */
export const notBefore = (state: PaceState, nowMillis: number, cost: number): number => {
  const now = Math.max(nowMillis, state.latestMillis)
  if (state.untilMillis <= now) return -Infinity
  if (state.remaining < cost) return state.untilMillis
  const emptyAt = emptyAfter(state, now, cost)
  return emptyAt <= now ? -Infinity : Math.min(emptyAt, state.untilMillis)
}

/** Counts a call that goes in `waitMillis`, unless the word is over by then. */
export const count = (state: PaceState, nowMillis: number, cost: number, waitMillis: number): void => {
  const now = Math.max(nowMillis, state.latestMillis)
  if (state.untilMillis <= now + waitMillis || state.remaining < cost) return
  state.latestMillis = now
  state.remaining -= cost
  state.emptyAtMillis = emptyAfter(state, now, cost)
}

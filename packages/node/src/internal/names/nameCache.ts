/** How long the addresses of a host are kept, and when they are looked up anew. */

import { type Address, turned } from "../connect/addressOrder.ts"

/** For how long things are kept, in milliseconds, and how many of them. */
export interface Limits {
  /** Hosts that are kept; one more puts out the one that was not asked for the longest. */
  readonly maxEntries: number
  readonly minTimeToLiveMillis: number
  readonly maxTimeToLiveMillis: number
  /** Of an answer without a time to live of its own; floor and ceiling do not apply to it. */
  readonly timeToLiveMillis: number
  readonly negativeTimeToLiveMillis: number
  /** For how long after its end an answer may be given while the resolver is down. */
  readonly staleForMillis: number
  /** How long after a failed look-up the next is made, while there is an answer to give without one. */
  readonly recheckMillis: number
  /** How long before its end an answer is looked up anew; at most half of its time to live. */
  readonly refreshAheadMillis: number
}

/** The record of a host: its addresses, or the code that says that it has none. */
export interface Entry {
  readonly host: string
  readonly known: { readonly addresses: ReadonlyArray<Address> } | { readonly code: string }
  readonly bornMillis: number
  /** From here on it is to be looked up anew, in the background. */
  readonly refreshAtMillis: number
  readonly expiresAtMillis: number
  /** From here on it is of no use at all. */
  readonly goneAtMillis: number
  /** When the resolver was last found to be down; `undefined` since it last answered. */
  downAtMillis: number | undefined
  /** How many answers have been given, which says where the next begins. */
  turn: number
  hits: number
  misses: number
}

export interface NameCacheState {
  readonly limits: Limits
  /** From the one not asked for the longest to the one asked for last. */
  readonly entries: Map<string, Entry>
  /** The hosts that are being looked up, and how many asked and had to wait since that began. */
  readonly lookingUp: Map<string, number>
  hits: number
  misses: number
  evictions: number
}

/**
 * The next step for a caller.
 *
 * - `Known`: give this, and start a look-up in the background if `lookUp` says so
 * - `Unknown`: wait for the look-up, which is to be started if `lookUp` says so
 */
export type Decision =
  | { readonly _tag: "Known"; readonly entry: Entry; readonly lookUp: boolean }
  | { readonly _tag: "Unknown"; readonly lookUp: boolean }

export const makeNameCacheState = (limits: Limits): NameCacheState => ({
  limits,
  entries: new Map(),
  lookingUp: new Map(),
  hits: 0,
  misses: 0,
  evictions: 0
})

/** Somebody asks for a host. A caller that is told to look it up must say how that ended. */
export const ask = (state: NameCacheState, host: string, nowMillis: number): Decision => {
  const entry = found(state, host, nowMillis)
  if (entry !== undefined) {
    // used last, so put out last
    state.entries.delete(host)
    state.entries.set(host, entry)
    const isFresh = nowMillis < entry.expiresAtMillis
    if (isFresh || entry.downAtMillis !== undefined) {
      state.hits++
      entry.hits++
      const isDue = nowMillis >= entry.refreshAtMillis && !isResting(state.limits, entry, nowMillis)
      return { _tag: "Known", entry, lookUp: isDue && beginLookUp(state, host) }
    }
  }
  state.misses++
  const lookUp = beginLookUp(state, host)
  state.lookingUp.set(host, (state.lookingUp.get(host) ?? 0) + 1)
  return { _tag: "Unknown", lookUp }
}

/** The answer that may be given once the resolver is known to be down: the last one, unless that is too old. */
export const fallback = (state: NameCacheState, host: string, nowMillis: number): Entry | undefined => {
  const entry = found(state, host, nowMillis)
  return entry !== undefined && "addresses" in entry.known ? entry : undefined
}

/** The look-up gave addresses. */
export const answered = (
  state: NameCacheState,
  host: string,
  addresses: ReadonlyArray<Address>,
  timeToLiveMillis: number | undefined,
  nowMillis: number
): Entry => {
  const { limits } = state
  const lifeMillis =
    timeToLiveMillis === undefined
      ? limits.timeToLiveMillis
      : Math.min(Math.max(timeToLiveMillis, limits.minTimeToLiveMillis), limits.maxTimeToLiveMillis)
  const aheadMillis = Math.min(limits.refreshAheadMillis, lifeMillis / 2)
  return put(state, host, { addresses }, nowMillis, lifeMillis, aheadMillis, limits.staleForMillis)
}

/** The look-up said that the host has no address. That is an answer: the record before it is no longer given. */
export const missing = (state: NameCacheState, host: string, code: string, nowMillis: number): Entry =>
  put(state, host, { code }, nowMillis, state.limits.negativeTimeToLiveMillis, 0, 0)

/** The look-up ended, and nothing is known that was not known before. */
export const failed = (state: NameCacheState, host: string, nowMillis: number): void => {
  const waited = state.lookingUp.get(host) ?? 0
  state.lookingUp.delete(host)
  const entry = state.entries.get(host)
  if (entry !== undefined) entry.misses += waited
  overdue(state, host, nowMillis)
}

/** The look-up has not ended in time. It goes on, and callers meanwhile are given the record that there is. */
export const overdue = (state: NameCacheState, host: string, nowMillis: number): void => {
  const entry = state.entries.get(host)
  if (entry !== undefined) entry.downAtMillis = nowMillis
}

/** The addresses of an entry, which begin with another one each time. */
export const take = (entry: Entry): ReadonlyArray<Address> =>
  "addresses" in entry.known ? turned(entry.known.addresses, entry.turn++) : []

/** The record of a host. Records of no more use are dropped. */
const found = (state: NameCacheState, host: string, nowMillis: number): Entry | undefined => {
  const entry = state.entries.get(host)
  if (entry === undefined || nowMillis < entry.goneAtMillis) return entry
  state.entries.delete(host)
  return undefined
}

/** Whether the resolver was found to be down a moment ago, so that it is not asked again yet. */
const isResting = (limits: Limits, entry: Entry, nowMillis: number): boolean =>
  entry.downAtMillis !== undefined && nowMillis < entry.downAtMillis + limits.recheckMillis

const beginLookUp = (state: NameCacheState, host: string): boolean => {
  if (state.lookingUp.has(host)) return false
  state.lookingUp.set(host, 0)
  return true
}

const put = (
  state: NameCacheState,
  host: string,
  known: Entry["known"],
  nowMillis: number,
  lifeMillis: number,
  aheadMillis: number,
  staleForMillis: number
): Entry => {
  const before = state.entries.get(host)
  const entry: Entry = {
    host,
    known,
    bornMillis: nowMillis,
    refreshAtMillis: nowMillis + lifeMillis - aheadMillis,
    expiresAtMillis: nowMillis + lifeMillis,
    goneAtMillis: nowMillis + lifeMillis + staleForMillis,
    downAtMillis: undefined,
    turn: before?.turn ?? 0,
    hits: before?.hits ?? 0,
    misses: (before?.misses ?? 0) + (state.lookingUp.get(host) ?? 0)
  }
  state.lookingUp.delete(host)
  state.entries.delete(host)
  state.entries.set(host, entry)
  for (const oldest of state.entries.keys()) {
    if (state.entries.size <= state.limits.maxEntries) break
    state.entries.delete(oldest)
    state.evictions++
  }
  return entry
}

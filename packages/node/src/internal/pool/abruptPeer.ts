/**
 * The record of a peer that closes connections just after an answer, without having said so. A connection to such a peer rests
 * before it is used again, for a little longer than its peer took to close others.
 *
 * One such close says nothing: a server that reloads closes unused connections, and some of them were used a moment ago. So several have
 * to come at different times, and no connection may have been used again in between.
 */
export interface AbruptPeer {
  /** How often in a row connections were closed so. */
  closes: number
  /** When that was last. */
  closedAtMillis: number
  /** The longest time in which a connection was closed. */
  closedAfterMillis: number
  /** Connections in a row that were used again. */
  survived: number
}

/** A connection that was unused for longer than this was closed for being unused, as every server does. */
const abruptMillis = 50

/** Closes within this time have one reason. */
const togetherMillis = 20

/** So many closes in a row show such a peer. */
const showing = 3

/** So many connections that were used again clear a peer that has shown itself, and so many one that is suspected. */
const clearing = 16
const clearingSuspicion = 4

const shortestRestMillis = 2
const longestRestMillis = 50

export const makeAbruptPeer = (): AbruptPeer => ({
  closes: 0,
  closedAtMillis: -Infinity,
  closedAfterMillis: 0,
  survived: 0
})

/**
 * A connection was closed that had been unused for so long, or was used again after so long and closed before an answer. The second is
 * the lesser part of the time that its peer took, so that the next ones rest for longer.
 */
export const closedUnused = (peer: AbruptPeer, unusedMillis: number, nowMillis: number): void => {
  if (unusedMillis > abruptMillis) return
  if (nowMillis - peer.closedAtMillis >= togetherMillis) {
    peer.closes++
    peer.closedAtMillis = nowMillis
  }
  peer.closedAfterMillis = Math.max(peer.closedAfterMillis, unusedMillis)
  peer.survived = 0
}

/** A connection was used again, and answered. */
export const usedAgain = (peer: AbruptPeer): void => {
  if (peer.closes === 0 || ++peer.survived < (peer.closes < showing ? clearingSuspicion : clearing)) return
  peer.closes = 0
  peer.closedAfterMillis = 0
  peer.survived = 0
}

/** How long a connection rests before it is used again; 0 for not at all. */
export const restMillis = ({ closedAfterMillis, closes }: AbruptPeer): number =>
  closes < showing ? 0 : Math.min(longestRestMillis, shortestRestMillis + Math.ceil(closedAfterMillis * 2))

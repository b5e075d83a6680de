/**
 * Rounds of bad calls. A round begins with a bad call whose attempt began when the one that opened the round before it had ended, or
 * later; so all failures among the calls in flight at one instant are in one round, or, for calls that had begun before a round was
 * opened, in that round. A window has rounds besides its counts: ten failures of one event are one round, and ten failures one after
 * another are ten.
 *
 * It takes one place for each round that is asked for, however much is recorded.
 */
export interface Rounds {
  /** Where the last bad call of each of the latest rounds stands; the round that is under way is the last of them. */
  readonly places: Array<number>
  /** When the call ended that opened the round which is under way. */
  openedAt: number
}

export const makeRounds = (needed: number): Rounds => ({
  places: Array.from({ length: needed }, () => -Infinity),
  openedAt: -Infinity
})

/** A sum and a difference of the same times may differ in the last digit: a microsecond is none. */
const toleranceMillis = 1e-3

/** Whether an attempt began when another had ended, or later. */
export const isAfter = (beganMillis: number, endedMillis: number): boolean =>
  beganMillis >= endedMillis - toleranceMillis

/** Adds a bad call. `place` grows from call to call. */
export const record = (rounds: Rounds, beganMillis: number, atMillis: number, place: number): void => {
  const { places } = rounds
  if (isAfter(beganMillis, rounds.openedAt)) {
    rounds.openedAt = atMillis
    places.copyWithin(0, 1)
  }
  places[places.length - 1] = place
}

/** Whether so many rounds as are asked for have a bad call at `begin` or behind it. */
export const isReached = ({ places }: Rounds, begin: number): boolean => (places[0] ?? -Infinity) >= begin

export const clear = (rounds: Rounds): void => {
  rounds.places.fill(-Infinity)
  rounds.openedAt = -Infinity
}

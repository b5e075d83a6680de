/**
 * When drops say that there is too much: not one by one, since every upstream fails now and then, but by their share of the
 * calls, and only when that share is beyond the play of chance with a harmless one. Few calls prove little, so the fewer
 * there are, the more of them must have failed.
 */

/** The share of drops that is no reason to send less. */
export const tolerated = 0.1

/** Fewer calls than this prove nothing. */
export const leastCalls = 10

/** How many standard deviations of a binomial a share must lie above the tolerated one: 4 of 10, 12 of 50, 129 of 1000. */
const deviations = 3

/** Whether so many drops are more than an upstream has that is tolerated. */
export const isTooMany = (drops: number, calls: number): boolean =>
  calls >= leastCalls && drops > tolerated * calls + deviations * Math.sqrt(tolerated * (1 - tolerated) * calls)

/** Whether so few drops leave room to try for more. */
export const isTolerated = (drops: number, calls: number): boolean => drops <= tolerated * calls

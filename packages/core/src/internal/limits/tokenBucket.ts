/**
 * A token bucket as a virtual clock (the generic cell rate algorithm, ITU-T I.371, with a bucket's words): the whole state is
 * the instant at which the bucket is empty. It holds `(now - emptyAt) / interval` tokens, at most `capacity`, and taking one
 * moves that instant on by one interval. When it lies in the future, it is the time at which the last call to take may go.
 *
 * So each call is given its time at once, and later calls never get an earlier one.
 */
export interface BucketShape {
  /** Tokens that the bucket holds when it is full. */
  readonly capacity: number
  /** Milliseconds in which one token comes. */
  readonly intervalMillis: number
}

export interface BucketState {
  readonly shape: BucketShape
  emptyAtMillis: number
  /** The latest time that was seen. A clock that goes back is taken to stand still: nothing is refilled twice. */
  latestMillis: number
  /** The slots that are still to come, by time. */
  first: BucketSlot | undefined
  last: BucketSlot | undefined
}

/** The time that was given to a call which has to wait. */
export interface BucketSlot {
  readonly tokens: number
  atMillis: number
  /** `emptyAtMillis` before the tokens were taken. */
  emptyBeforeMillis: number
  isGivenBack: boolean
  previous: BucketSlot | undefined
  next: BucketSlot | undefined
}

/** A wait shorter than this is none: it comes from the rounding of sums, and no timer is that exact. */
const toleranceMillis = 1e-3

export const makeBucketState = (shape: BucketShape): BucketState => ({
  shape,
  emptyAtMillis: -Infinity,
  latestMillis: -Infinity,
  first: undefined,
  last: undefined
})

/** When the bucket is empty after `tokens` were taken from it at `atMillis`. */
const emptyAfter = ({ capacity, intervalMillis }: BucketShape, emptyAt: number, atMillis: number, tokens: number) =>
  Math.max(emptyAt, atMillis - capacity * intervalMillis) + tokens * intervalMillis

/**
 * How long a call that takes `tokens` now would have to wait, not to go before `notBeforeMillis`; `Infinity` when the bucket
 * never holds that many. Asking changes nothing.
 */
export const waitFor = (state: BucketState, nowMillis: number, tokens: number, notBeforeMillis: number): number => {
  if (tokens > state.shape.capacity) return Infinity
  const now = Math.max(nowMillis, state.latestMillis)
  const start = Math.max(now, notBeforeMillis, state.last === undefined ? -Infinity : state.last.atMillis)
  const emptyAt = emptyAfter(state.shape, state.emptyAtMillis, start, tokens)
  const wait = Math.max(start, emptyAt) - now
  return wait <= toleranceMillis ? 0 : wait
}

/** Takes the tokens, to be used in `waitMillis`, which `waitFor` said. Gives the slot, if there is a wait. */
export const take = (
  state: BucketState,
  nowMillis: number,
  tokens: number,
  waitMillis: number
): BucketSlot | undefined => {
  const now = advance(state, nowMillis)
  const emptyBeforeMillis = state.emptyAtMillis
  const atMillis = now + waitMillis
  state.emptyAtMillis = emptyAfter(state.shape, emptyBeforeMillis, atMillis, tokens)
  if (waitMillis === 0) return undefined
  const slot: BucketSlot = {
    tokens,
    atMillis,
    emptyBeforeMillis,
    isGivenBack: false,
    previous: state.last,
    next: undefined
  }
  if (state.last === undefined) state.first = slot
  else state.last.next = slot
  state.last = slot
  return slot
}

/** Forgets the slots whose time has come, and gives the time. */
const advance = (state: BucketState, nowMillis: number): number => {
  const now = Math.max(nowMillis, state.latestMillis)
  state.latestMillis = now
  while (state.first !== undefined && state.first.atMillis <= now) {
    state.first = state.first.next
    if (state.first === undefined) state.last = undefined
    else state.first.previous = undefined
  }
  return now
}

/**
 * Gives a slot back, unless its time has come: whether it did. Its tokens can be used again as soon as no later slot is
 * waited for; before that, a call that got them would go at the same time as one that waits already.
 */
export const giveBack = (state: BucketState, nowMillis: number, slot: BucketSlot): boolean => {
  const now = advance(state, nowMillis)
  if (slot.isGivenBack || slot.atMillis <= now) return false
  slot.isGivenBack = true
  while (state.last !== undefined && state.last.isGivenBack) {
    state.emptyAtMillis = state.last.emptyBeforeMillis
    state.last = state.last.previous
    if (state.last === undefined) state.first = undefined
    else state.last.next = undefined
  }
  return true
}

/** Moves every waiting call, so that the first goes no sooner than `untilMillis`, and the others keep their distance. */
export const postpone = (state: BucketState, nowMillis: number, untilMillis: number): void => {
  advance(state, nowMillis)
  const { first } = state
  if (first === undefined || first.atMillis >= untilMillis) return
  const delay = untilMillis - first.atMillis
  let emptyAt = first.emptyBeforeMillis
  for (let slot: BucketSlot | undefined = first; slot !== undefined; slot = slot.next) {
    slot.atMillis += delay
    slot.emptyBeforeMillis = emptyAt
    emptyAt = emptyAfter(state.shape, emptyAt, slot.atMillis, slot.tokens)
  }
  state.emptyAtMillis = emptyAt
}

/** How long the slot is still to wait. */
export const waitOf = (state: BucketState, nowMillis: number, slot: BucketSlot): number =>
  Math.max(0, slot.atMillis - Math.max(nowMillis, state.latestMillis))

/** Tokens that the bucket holds; reading it changes nothing. */
export const remaining = (state: BucketState, nowMillis: number): number => {
  const { capacity, intervalMillis } = state.shape
  const now = Math.max(nowMillis, state.latestMillis)
  return Math.min(capacity, Math.max(0, (now - state.emptyAtMillis) / intervalMillis))
}

/** How many are waited for; reading it changes nothing. */
export const waiting = (state: BucketState, nowMillis: number): number => {
  const now = Math.max(nowMillis, state.latestMillis)
  let count = 0
  for (let slot = state.first; slot !== undefined; slot = slot.next) {
    if (!slot.isGivenBack && slot.atMillis > now) count++
  }
  return count
}

/** The tokens that were taken and have not come back, as taken last, and the slots that are waited for. */
export const used = (state: BucketState): ReadonlyArray<{ readonly atMillis: number; readonly cost: number }> => {
  const { capacity, intervalMillis } = state.shape
  // never used
  if (state.emptyAtMillis === -Infinity) return []
  const emptyAtMillis = state.first?.emptyBeforeMillis ?? state.emptyAtMillis
  const missing = Math.min(capacity, capacity - (state.latestMillis - emptyAtMillis) / intervalMillis)
  const found = missing > 0 ? [{ atMillis: state.latestMillis, cost: missing }] : []
  for (let slot = state.first; slot !== undefined; slot = slot.next) {
    if (!slot.isGivenBack) found.push({ atMillis: slot.atMillis, cost: slot.tokens })
  }
  return found
}

/** Takes the calls that another limit has let through, and will. */
export const follow = (
  state: BucketState,
  before: ReadonlyArray<{ readonly atMillis: number; readonly cost: number }>
): void => {
  for (const { atMillis, cost } of before) {
    // the tokens missing from a larger bucket empty a smaller one, and no more
    const tokens = Math.min(cost, state.shape.capacity)
    state.emptyAtMillis = emptyAfter(state.shape, state.emptyAtMillis, atMillis, tokens)
  }
}

/**
 * A sliding window as a log: every call is written down with its time and cost, and in no interval as long as the window,
 * wherever it begins, do the costs sum up to more than the limit. A call that has to wait is written down with the time at
 * which it will go, so that later calls see it.
 *
 * Calls that need not wait and come within a thousandth of the window are one entry, at the time of the last of them: so the
 * log of a high limit stays short, and errs only to the safe side.
 */
export interface WindowShape {
  readonly limit: number
  readonly windowMillis: number
}

export interface WindowState {
  readonly shape: WindowShape
  /** The latest time that was seen. A clock that goes back is taken to stand still: nothing falls out of the window twice. */
  latestMillis: number
  first: WindowSlot | undefined
  last: WindowSlot | undefined
  /** Sum of the costs in the log, in thousandths: whole numbers do not drift. */
  total: number
}

/** An entry of the log. */
export interface WindowSlot {
  atMillis: number
  /** In thousandths. */
  cost: number
  /** When the first call of the entry came. `undefined` for a call that has to wait: it has an entry of its own. */
  readonly openedAtMillis: number | undefined
  isInLog: boolean
  previous: WindowSlot | undefined
  next: WindowSlot | undefined
}

const entriesPerWindow = 1000

/** The error that sums of fractions may have. */
const toleranceMillis = 1e-6

const thousandths = (cost: number): number => Math.round(cost * 1000)

export const makeWindowState = (shape: WindowShape): WindowState => ({
  shape,
  latestMillis: -Infinity,
  first: undefined,
  last: undefined,
  total: 0
})

/**
 * How long a call of this cost would have to wait, not to go before `notBeforeMillis`; `Infinity` when it costs more than
 * the limit. Asking changes nothing.
 */
export const waitFor = (state: WindowState, nowMillis: number, cost: number, notBeforeMillis: number): number => {
  const { limit, windowMillis } = state.shape
  if (cost > limit) return Infinity
  const now = Math.max(nowMillis, state.latestMillis)
  const room = thousandths(limit) - thousandths(cost)
  let at = Math.max(now, notBeforeMillis, state.last === undefined ? -Infinity : state.last.atMillis)
  let used = state.total
  for (let slot = state.first; slot !== undefined; slot = slot.next) {
    const leavesAt = slot.atMillis + windowMillis
    if (leavesAt > at) {
      if (used <= room) break
      at = leavesAt
    }
    used -= slot.cost
  }
  // in whole milliseconds, as timers are: a call that goes a part of one after the time that it was given would still be in the window
  // when the log has let it go
  return at - now <= toleranceMillis ? 0 : Math.ceil(at - now - toleranceMillis)
}

/** Writes a call down that goes in `waitMillis`, which `waitFor` said. Gives its slot, if there is a wait. */
export const take = (
  state: WindowState,
  nowMillis: number,
  cost: number,
  waitMillis: number
): WindowSlot | undefined => {
  const now = advance(state, nowMillis)
  const { last } = state
  const units = thousandths(cost)
  state.total += units
  if (
    waitMillis === 0 &&
    last?.openedAtMillis !== undefined &&
    now - last.openedAtMillis <= state.shape.windowMillis / entriesPerWindow
  ) {
    last.atMillis = now
    last.cost += units
    return undefined
  }
  const slot: WindowSlot = {
    atMillis: now + waitMillis,
    cost: units,
    openedAtMillis: waitMillis === 0 ? now : undefined,
    isInLog: true,
    previous: last,
    next: undefined
  }
  if (last === undefined) state.first = slot
  else last.next = slot
  state.last = slot
  return waitMillis === 0 ? undefined : slot
}

/** Forgets calls that have left the window, and gives the time. */
const advance = (state: WindowState, nowMillis: number): number => {
  const now = Math.max(nowMillis, state.latestMillis)
  state.latestMillis = now
  while (state.first !== undefined && state.first.atMillis + state.shape.windowMillis <= now) remove(state, state.first)
  return now
}

const remove = (state: WindowState, slot: WindowSlot): void => {
  if (slot.previous === undefined) state.first = slot.next
  else slot.previous.next = slot.next
  if (slot.next === undefined) state.last = slot.previous
  else slot.next.previous = slot.previous
  slot.isInLog = false
  state.total -= slot.cost
}

/**
 * Gives a slot back, unless its time has come: whether it did. Calls behind it keep their times, and its cost is free again
 * at once: the next call goes no sooner than the last waiting one, and the log says whether there is room.
 */
export const giveBack = (state: WindowState, nowMillis: number, slot: WindowSlot): boolean => {
  const now = advance(state, nowMillis)
  if (!slot.isInLog || slot.atMillis <= now) return false
  remove(state, slot)
  return true
}

/** Moves every waiting call, so that the first goes no sooner than `untilMillis`, and the others keep their distance. */
export const postpone = (state: WindowState, nowMillis: number, untilMillis: number): void => {
  const now = advance(state, nowMillis)
  let first = state.last
  while (first?.previous !== undefined && first.previous.atMillis > now) first = first.previous
  if (first === undefined || first.atMillis <= now || first.atMillis >= untilMillis) return
  const delay = untilMillis - first.atMillis
  for (let slot: WindowSlot | undefined = first; slot !== undefined; slot = slot.next) slot.atMillis += delay
}

/** How long the slot is still to wait. */
export const waitOf = (state: WindowState, nowMillis: number, slot: WindowSlot): number =>
  Math.max(0, slot.atMillis - Math.max(nowMillis, state.latestMillis))

/** The room in the window; reading it changes nothing. */
export const remaining = (state: WindowState, nowMillis: number): number => {
  const now = Math.max(nowMillis, state.latestMillis)
  let used = 0
  for (let slot = state.first; slot !== undefined; slot = slot.next) {
    if (slot.atMillis + state.shape.windowMillis > now) used += slot.cost
  }
  return Math.max(0, thousandths(state.shape.limit) - used) / 1000
}

/** How many are waited for; reading it changes nothing. */
export const waiting = (state: WindowState, nowMillis: number): number => {
  const now = Math.max(nowMillis, state.latestMillis)
  let count = 0
  for (let slot = state.last; slot !== undefined && slot.atMillis > now; slot = slot.previous) count++
  return count
}

/** The log, in its order. */
export const used = (state: WindowState): ReadonlyArray<{ readonly atMillis: number; readonly cost: number }> => {
  const found: Array<{ readonly atMillis: number; readonly cost: number }> = []
  for (let slot = state.first; slot !== undefined; slot = slot.next) {
    found.push({ atMillis: slot.atMillis, cost: slot.cost / 1000 })
  }
  return found
}

/** Writes down the calls that another limit has let through, at the times at which it did or will. */
export const follow = (
  state: WindowState,
  before: ReadonlyArray<{ readonly atMillis: number; readonly cost: number }>
): void => {
  for (const { atMillis, cost } of before) {
    const units = thousandths(cost)
    const slot: WindowSlot = {
      atMillis,
      cost: units,
      openedAtMillis: undefined,
      isInLog: true,
      previous: state.last,
      next: undefined
    }
    if (state.last === undefined) state.first = slot
    else state.last.next = slot
    state.last = slot
    state.total += units
  }
}

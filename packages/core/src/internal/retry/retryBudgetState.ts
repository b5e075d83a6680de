/**
 * The retry budget's state machine. Two conditions must both hold: a window of deposits (Finagle's `RetryBudget`), which
 * limits the rate of retries, and a ratio of the calls in flight (Envoy's retry budget), which reacts at once when calls
 * get slow. Amounts are whole thousandths of a retry, so that sums do not drift.
 */
export interface BudgetShape {
  readonly ttlMillis: number
  /** Thousandths of a retry that a call deposits. */
  readonly deposit: number
  /** Thousandths of a retry that are always there. */
  readonly reserve: number
  readonly inFlightRatio: number
  readonly minimumInFlight: number
}

export const sliceCount = 10

export interface BudgetState {
  shape: BudgetShape
  /** Deposits less withdrawals of each slice of the window; a ring. */
  readonly slices: Array<number>
  /** Sum of the slices. */
  sum: number
  /** Number of the slice that time is in, counted from the clock's zero. */
  slice: number
  callsInFlight: number
  retriesInFlight: number
}

export const makeBudgetState = (shape: BudgetShape): BudgetState => ({
  shape,
  slices: Array.from({ length: sliceCount }, () => 0),
  sum: 0,
  slice: 0,
  callsInFlight: 0,
  retriesInFlight: 0
})

/** Lets the slices fall out that are older than the window. A clock that went back changes nothing. */
const advance = (state: BudgetState, nowMillis: number): void => {
  const slice = Math.floor((nowMillis * sliceCount) / state.shape.ttlMillis)
  if (slice <= state.slice) return
  const passed = Math.min(slice - state.slice, sliceCount)
  for (let step = 1; step <= passed; step++) {
    const index = (slice - passed + step) % sliceCount
    state.sum -= state.slices[index] ?? 0
    state.slices[index] = 0
  }
  state.slice = slice
}

/** Gives the budget other rules; its balance stays, and so do the calls in flight. */
export const reshape = (state: BudgetState, shape: BudgetShape): void => {
  if (shape.ttlMillis !== state.shape.ttlMillis) {
    // all of it counts for the end of the slice that time is in, in slices of another length
    const nowMillis = ((state.slice + 1) * state.shape.ttlMillis) / sliceCount
    state.slice = Math.floor((nowMillis * sliceCount) / shape.ttlMillis)
    state.slices.fill(0)
    state.slices[state.slice % sliceCount] = state.sum
  }
  state.shape = shape
}

const add = (state: BudgetState, amount: number): void => {
  const index = state.slice % sliceCount
  state.slices[index] = (state.slices[index] ?? 0) + amount
  state.sum += amount
}

/** Thousandths of a retry that may be spent now. It can be below zero when deposits left the window before the withdrawals. */
const available = (state: BudgetState): number => state.sum + state.shape.reserve

/** How many retries may be in flight before no further one is granted. */
const room = (state: BudgetState): number =>
  Math.max(state.shape.minimumInFlight, Math.floor(state.callsInFlight * state.shape.inFlightRatio))

export const callStarted = (state: BudgetState, nowMillis: number): void => {
  advance(state, nowMillis)
  state.callsInFlight++
  add(state, state.shape.deposit)
}

export const callEnded = (state: BudgetState): void => {
  state.callsInFlight--
}

/**
 * Takes `cost` (thousandths of a retry), or changes nothing and says no. The retry is in flight only from `retryStarted` on:
 * one that still waits for its back-off is no load, and counting it would let a single `Retry-After` fill the few places
 * that fast calls leave (Envoy's issue 43022 is about the same).
 */
export const tryWithdraw = (state: BudgetState, nowMillis: number, cost: number): boolean => {
  advance(state, nowMillis)
  if (available(state) < cost || state.retriesInFlight >= room(state)) return false
  add(state, -cost)
  return true
}

export const retryStarted = (state: BudgetState): void => {
  state.retriesInFlight++
}

export const retryEnded = (state: BudgetState): void => {
  state.retriesInFlight--
}

/** Thousandths of a retry that could be spent at `nowMillis`; reading it changes nothing. */
export const balance = (state: BudgetState, nowMillis: number): number => {
  const copy = { ...state, slices: state.slices.slice() }
  advance(copy, nowMillis)
  return Math.max(0, available(copy))
}

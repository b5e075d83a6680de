/**
 * The throttle's state machine: client-side throttling of Google's SRE book (chapter "Handling Overload", "Client-Side
 * Throttling"). A call is shed with the probability
 *
 *     max(0, (requests - K * accepts) / (requests + 1))
 *
 * over a window. Requests that were shed here count among the requests: so the client sends K times the accepted ones, and
 * not several times that.
 *
 * With levels of criticality, `requests - K * accepts` is how many of the window's calls are too many. They are taken from
 * the least critical calls, and the next level only makes up for the rest. All levels together still shed by the formula;
 * with one level in use it is the formula.
 */
export interface ThrottleShape {
  readonly windowMillis: number
  /** K. */
  readonly multiplier: number
  /** Fewer requests prove nothing: by the formula, the first call that fails has the next one shed in one of two cases. */
  readonly leastRequests: number
  /** A call is let through when none was for so long. `Infinity` for never. */
  readonly probeAfterMillis: number
}

export const sliceCount = 24
const levelCount = 4

export interface ThrottleState {
  shape: ThrottleShape
  /** Requests of each level in each slice; a ring of slices of `levelCount` numbers. Level 0 is the most critical. */
  readonly requests: Float64Array
  /** Accepted requests of each slice; a ring. */
  readonly accepts: Float64Array
  /** Sums of the requests by level. */
  readonly requestsOfLevel: Float64Array
  requestSum: number
  acceptSum: number
  /** Number of the slice that time is in, counted from the clock's zero. */
  slice: number
  /** When a call was last let through. */
  sentAtMillis: number
}

export const makeThrottleState = (shape: ThrottleShape): ThrottleState => ({
  shape,
  requests: new Float64Array(sliceCount * levelCount),
  accepts: new Float64Array(sliceCount),
  requestsOfLevel: new Float64Array(levelCount),
  requestSum: 0,
  acceptSum: 0,
  slice: 0,
  sentAtMillis: 0
})

/** Lets the slices fall out that are older than the window. A clock that went back changes nothing. */
const advance = (state: ThrottleState, nowMillis: number): void => {
  const slice = Math.floor((nowMillis * sliceCount) / state.shape.windowMillis)
  if (slice <= state.slice) return
  const passed = Math.min(slice - state.slice, sliceCount)
  for (let step = 1; step <= passed; step++) {
    const index = (slice - passed + step) % sliceCount
    for (let level = 0; level < levelCount; level++) {
      const old = state.requests[index * levelCount + level] ?? 0
      state.requests[index * levelCount + level] = 0
      state.requestsOfLevel[level] = (state.requestsOfLevel[level] ?? 0) - old
      state.requestSum -= old
    }
    state.acceptSum -= state.accepts[index] ?? 0
    state.accepts[index] = 0
  }
  state.slice = slice
}

/** Gives the throttle other rules; its counts stay. */
export const reshape = (state: ThrottleState, shape: ThrottleShape): void => {
  if (shape.windowMillis !== state.shape.windowMillis) {
    // all of them count for the end of the slice that time is in, in slices of another length
    const nowMillis = ((state.slice + 1) * state.shape.windowMillis) / sliceCount
    state.slice = Math.floor((nowMillis * sliceCount) / shape.windowMillis)
    const index = state.slice % sliceCount
    state.accepts.fill(0)
    state.accepts[index] = state.acceptSum
    state.requests.fill(0)
    state.requests.set(state.requestsOfLevel, index * levelCount)
  }
  state.shape = shape
}

const countRequest = (state: ThrottleState, level: number): void => {
  const index = (state.slice % sliceCount) * levelCount + level
  state.requests[index] = (state.requests[index] ?? 0) + 1
  state.requestsOfLevel[level] = (state.requestsOfLevel[level] ?? 0) + 1
  state.requestSum++
}

/** How likely a call of a level is shed, by the counts of the window. */
const probabilityOf = (state: ThrottleState, level: number): number => {
  let excess = state.requestSum - state.shape.multiplier * state.acceptSum
  for (let lower = level + 1; lower < levelCount; lower++) excess -= state.requestsOfLevel[lower] ?? 0
  return excess <= 0 ? 0 : Math.min(1, excess / ((state.requestsOfLevel[level] ?? 0) + 1))
}

/** {@link probabilityOf}, at a time; reading it changes nothing. */
export const peek = (
  state: ThrottleState,
  nowMillis: number
): { readonly requests: number; readonly accepts: number; readonly probabilities: ReadonlyArray<number> } => {
  const copy = {
    ...state,
    requests: state.requests.slice(),
    accepts: state.accepts.slice(),
    requestsOfLevel: state.requestsOfLevel.slice()
  }
  advance(copy, nowMillis)
  return {
    requests: copy.requestSum,
    accepts: copy.acceptSum,
    probabilities: Array.from({ length: levelCount }, (_, level) => probabilityOf(copy, level))
  }
}

export type Decision = "send" | "probe" | "shed"

/** Decides on a call. `chance` is asked for a number in [0, 1) only where the answer depends on it. */
export const decide = (
  state: ThrottleState,
  nowMillis: number,
  level: number,
  chance: { readonly nextDoubleUnsafe: () => number }
): Decision => {
  advance(state, nowMillis)
  // a clock that went back must not hold the next probe off until it has caught up
  if (nowMillis < state.sentAtMillis) state.sentAtMillis = nowMillis
  const probability = state.requestSum < state.shape.leastRequests ? 0 : probabilityOf(state, level)
  if (probability <= 0 || chance.nextDoubleUnsafe() >= probability) return "send"
  return nowMillis - state.sentAtMillis >= state.shape.probeAfterMillis ? "probe" : "shed"
}

/** The call was let through. */
export const sent = (state: ThrottleState, nowMillis: number): void => {
  state.sentAtMillis = nowMillis
}

/** The call was shed. */
export const shed = (state: ThrottleState, nowMillis: number, level: number): void => {
  advance(state, nowMillis)
  countRequest(state, level)
}

/**
 * A call that was let through is over. It is counted only now, with its outcome: counted when sent, a burst of first calls
 * would look like so many rejections until the first answer comes.
 */
export const answered = (state: ThrottleState, nowMillis: number, level: number, accepted: boolean): void => {
  advance(state, nowMillis)
  countRequest(state, level)
  if (!accepted) return
  const index = state.slice % sliceCount
  state.accepts[index] = (state.accepts[index] ?? 0) + 1
  state.acceptSum++
}

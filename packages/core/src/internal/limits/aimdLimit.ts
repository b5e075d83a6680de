/** How a concurrency limit by loss moves: when it grows, and when it is cut. */

import * as DropShare from "./dropShare.ts"

/**
 * A concurrency limit by loss (Netflix concurrency-limits, `AIMDLimit`): it is cut by a ratio, and grows by one for each success
 * of a call that was sent while at least half of the limit was in use.
 *
 * Netflix cuts it for each drop. A limit that few calls use is cut by the few failures that every upstream has, then, and never
 * grows; so here it is cut when the share of drops since the last cut is too high, see `dropShare`.
 */
export interface AimdShape {
  readonly initialLimit: number
  readonly minimumLimit: number
  readonly maximumLimit: number
  readonly backoffRatio: number
  /** A success that took longer counts as a drop. `Infinity` for never. */
  readonly slowAfterMillis: number
}

export interface AimdState {
  readonly shape: AimdShape
  /** A whole number. */
  limit: number
  /** Calls since the last cut; older ones fade, so that a good past does not hide a bad present. */
  calls: number
  /** Those of them that were dropped. */
  drops: number
}

/** So many calls are remembered at most; then all of them count half. */
const memory = 100

export const makeAimdState = (shape: AimdShape): AimdState => ({
  shape,
  limit: shape.initialLimit,
  // a limit that is new may grow at once; one that was cut first waits for the outcome of the next calls
  calls: DropShare.leastCalls,
  drops: 0
})

const count = (state: AimdState, drops: 0 | 1): void => {
  state.calls++
  state.drops += drops
  if (state.calls < memory) return
  state.calls /= 2
  state.drops /= 2
}

/** The upstream refused, failed or did not answer. */
export const dropped = (state: AimdState): void => {
  count(state, 1)
  if (!DropShare.isTooMany(state.drops, state.calls)) return
  state.limit = Math.max(state.shape.minimumLimit, Math.floor(state.limit * state.shape.backoffRatio))
  state.calls = 0
  state.drops = 0
}

/** A call succeeded; `inFlight` is how many there were when it was sent, itself included. */
export const succeeded = (state: AimdState, inFlight: number, durationMillis: number): "slow" | "growth" => {
  const { initialLimit, maximumLimit, slowAfterMillis } = state.shape
  if (durationMillis > slowAfterMillis) {
    dropped(state)
    return "slow"
  }
  count(state, 0)
  if (state.calls < DropShare.leastCalls || !DropShare.isTolerated(state.drops, state.calls)) return "growth"
  // a limit that is not used proves nothing about one that is higher than the declared one
  if (inFlight * 2 >= state.limit || state.limit < initialLimit) state.limit = Math.min(maximumLimit, state.limit + 1)
  return "growth"
}

/**
 * A concurrency limit by loss (Netflix concurrency-limits, `AIMDLimit`): it is cut by a ratio for each drop, and grows by
 * one for each success of a call that was sent while at least half of the limit was in use.
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
}

export const makeAimdState = (shape: AimdShape): AimdState => ({ shape, limit: shape.initialLimit })

/** The upstream refused, failed or did not answer. */
export const dropped = (state: AimdState): void => {
  state.limit = Math.max(state.shape.minimumLimit, Math.floor(state.limit * state.shape.backoffRatio))
}

/** A call succeeded; `inFlight` is how many there were when it was sent, itself included. */
export const succeeded = (state: AimdState, inFlight: number, durationMillis: number): "slow" | "growth" => {
  if (durationMillis > state.shape.slowAfterMillis) {
    dropped(state)
    return "slow"
  }
  if (inFlight * 2 >= state.limit) state.limit = Math.min(state.shape.maximumLimit, state.limit + 1)
  return "growth"
}

/** How a delay is spread, so that clients that failed together do not come back together. */
export type Jitter = "none" | "full" | "equal" | "decorrelated"

/** What the next delay depends on. */
export interface BackoffState {
  /** Retries that were scheduled before this one. */
  readonly retry: number
  /** The delay before this one, in milliseconds; the base at first. */
  readonly previousMillis: number
}

export interface BackoffShape {
  readonly baseMillis: number
  readonly factor: number
  readonly capMillis: number
  readonly jitter: Jitter
}

export const initialBackoff = (shape: BackoffShape): BackoffState => ({ retry: 0, previousMillis: shape.baseMillis })

/**
 * The delay before the next retry, for a `random` in [0, 1).
 *
 * Full and equal: `d = min(cap, base · factorⁱ)`, then `U(0, d)` and `d/2 + U(0, d/2)`. Decorrelated: `U(base, 3 · previous)`.
 * Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. There the cap cuts a decorrelated
 * draw off, so that most capped clients wait exactly the cap; here it bounds the range that is drawn from, which keeps
 * the spread.
 */
export const backoffDelayMillis = (shape: BackoffShape, state: BackoffState, random: number): number => {
  if (shape.jitter === "decorrelated") {
    const upper = Math.max(shape.baseMillis, Math.min(shape.capMillis, state.previousMillis * 3))
    return shape.baseMillis + random * (upper - shape.baseMillis)
  }
  // factor ** retry overflows to Infinity for long outages, which min() turns into the cap
  const delay = Math.min(shape.capMillis, shape.baseMillis * shape.factor ** state.retry)
  switch (shape.jitter) {
    case "none":
      return delay
    case "full":
      return random * delay
    case "equal":
      return delay / 2 + random * (delay / 2)
  }
}

export const nextBackoff = (state: BackoffState, delayMillis: number): BackoffState => ({
  retry: state.retry + 1,
  previousMillis: delayMillis
})

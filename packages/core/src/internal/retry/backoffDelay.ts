/** How a delay is spread, so that clients that failed together do not come back together. */
export type Jitter = "none" | "full" | "equal" | "decorrelated"

/** The inputs of the next delay. */
export interface BackoffState {
  /** Retries that were scheduled before this one. */
  readonly retry: number
  /** The delay before this one, in milliseconds; the base at first. */
  readonly previousMillis: number
}

/** How the delay before jitter grows from one retry to the next. */
export type Growth = "exponential" | "linear" | "fibonacci" | "constant"

export interface BackoffShape {
  readonly growth: Growth
  readonly baseMillis: number
  /** The factor of an exponential delay, or the number of bases by which a linear one grows. */
  readonly factor: number
  readonly capMillis: number
  readonly jitter: Jitter
}

export const initialBackoff = (shape: BackoffShape): BackoffState => ({ retry: 0, previousMillis: shape.baseMillis })

/** The delay before retry `i`, without cap and jitter; `Infinity` when it is too long for a number. */
const grown = (shape: BackoffShape, retry: number): number => {
  switch (shape.growth) {
    case "exponential":
      return shape.baseMillis * shape.factor ** retry
    case "linear":
      return shape.baseMillis * (1 + shape.factor * retry)
    case "fibonacci":
      return fibonacci(shape, retry)
    case "constant":
      return shape.baseMillis
  }
}

/** `base · F(i + 1)`: 1, 1, 2, 3, 5 times the base; not counted beyond the cap. */
const fibonacci = (shape: BackoffShape, retry: number): number => {
  let current = shape.baseMillis
  let next = shape.baseMillis
  for (let step = 0; step < retry && current < shape.capMillis; step++) {
    const sum = current + next
    current = next
    next = sum
  }
  return current
}

/**
 * The delay before the next retry, for a `random` in [0, 1).
 *
 * Full and equal: `d = min(cap, grownᵢ)`, then `U(0, d)` and `d/2 + U(0, d/2)`. Decorrelated: `U(base, 3 · previous)`.
 * Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. There the cap cuts a decorrelated
 * draw off, so that most capped clients wait exactly the cap; here it bounds the range that is drawn from, which keeps
 * the spread.
 */
export const backoffDelayMillis = (shape: BackoffShape, state: BackoffState, random: number): number => {
  if (shape.jitter === "decorrelated") {
    const upper = Math.max(shape.baseMillis, Math.min(shape.capMillis, state.previousMillis * 3))
    return shape.baseMillis + random * (upper - shape.baseMillis)
  }
  // an exponential overflows to Infinity for long outages, which min() turns into the cap
  const delay = Math.min(shape.capMillis, grown(shape, state.retry))
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

/** Calls that nobody observes, and the listeners that want to know of them: an observer that wonders why it hears nothing. */

/** The facts of such a call. */
export interface Unobserved {
  readonly upstream: string
  readonly operation: string
}

export const listeners = new Set<(call: Unobserved) => void>()

/** A call has begun that nobody observes. */
export const tellUnobserved = (call: Unobserved): void => {
  if (listeners.size === 0) return
  for (const listener of listeners) {
    try {
      listener(call)
    } catch {
      // a listener of unobserved calls cannot break them
    }
  }
}

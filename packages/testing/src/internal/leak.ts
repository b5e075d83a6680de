/**
 * The kind of a leak.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = "socket" | "server" | "timer" | "permit" | "fiber"

/**
 * A leak; leaks that are alike, from one place, are one of these.
 *
 * @category models
 * @since 0.1.0
 */
export interface Leak {
  readonly kind: Kind
  /** In words: `TLS socket to 127.0.0.1:8443`, `interval of 1s`, `bulkhead of payments at https://…, in flight`. */
  readonly what: string
  readonly count: number
  /** Where it came from, innermost first, as far as that is known: frames of the program, spans, `Effect.fn`. */
  readonly where: ReadonlyArray<string>
}

/**
 * The permits of a policy, in the words of its snapshot: `Bulkhead`, `AdaptiveConcurrency`, `RateLimit`, `SingleFlight`,
 * `Hedge`, `RetryBudget` and `CircuitBreaker` have snapshots that are this.
 *
 * @category models
 * @since 0.1.0
 */
export interface Held {
  readonly inFlight?: number | undefined
  readonly queued?: number | undefined
  readonly waiting?: number | undefined
  readonly callsInFlight?: number | undefined
  readonly retriesInFlight?: number | undefined
  readonly hedgesInFlight?: number | undefined
  readonly probesOut?: number | undefined
}

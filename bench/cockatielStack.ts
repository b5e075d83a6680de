// cockatiel's four policies in the order that its own documentation wraps them.

import * as Cockatiel from "cockatiel"

/** A breaker of five failures in a row, alone. */
export const cockatielBreaker = () =>
  Cockatiel.circuitBreaker(Cockatiel.handleAll, {
    halfOpenAfter: 30_000,
    breaker: new Cockatiel.ConsecutiveBreaker(5)
  })

export const cockatielStack = () => {
  const breaker = cockatielBreaker()
  const stack = Cockatiel.wrap(
    Cockatiel.retry(
      // what an open circuit refuses is not tried again
      Cockatiel.handleWhen((error) => !(error instanceof Cockatiel.BrokenCircuitError)),
      { maxAttempts: 2, backoff: new Cockatiel.ExponentialBackoff() }
    ),
    breaker,
    Cockatiel.timeout(10_000, Cockatiel.TimeoutStrategy.Cooperative),
    Cockatiel.bulkhead(100_000, 0)
  )
  return { breaker, stack }
}

/** Calls through a circuit breaker in virtual time: a queue of what happens next, so that ten minutes take a moment. */
import { Effect, type Fiber } from "effect"
import type * as CircuitBreaker from "../../src/CircuitBreaker.ts"
import type * as Outcome from "../../src/Outcome.ts"

/** What a call meets that is sent at an instant. */
export type Meets = (atMillis: number, call: number) => { readonly millis: number; readonly outcome: Outcome.Outcome }

export interface Course {
  /** When the breaker changed, and to what. */
  readonly changes: ReadonlyArray<readonly [atMillis: number, to: CircuitBreaker.Phase]>
  /** Calls that were sent, and when each came back. */
  readonly ends: ReadonlyArray<{ readonly atMillis: number; readonly outcome: Outcome.Outcome["_tag"] }>
  readonly refused: number
}

/** Things that happen, the next one first: a binary heap. */
const makeQueue = () => {
  const heap: Array<{ readonly atMillis: number; readonly order: number; readonly run: (atMillis: number) => void }> =
    []
  let order = 0
  const isBefore = (one: number, other: number): boolean => {
    const [a, b] = [heap[one], heap[other]]
    if (a === undefined || b === undefined) return false
    return a.atMillis === b.atMillis ? a.order < b.order : a.atMillis < b.atMillis
  }
  const swap = (one: number, other: number): void => {
    const [a, b] = [heap[one], heap[other]]
    if (a === undefined || b === undefined) return
    heap[one] = b
    heap[other] = a
  }
  return {
    add: (atMillis: number, run: (atMillis: number) => void): void => {
      heap.push({ atMillis, order: order++, run })
      for (let at = heap.length - 1; at > 0;) {
        const parent = (at - 1) >> 1
        if (!isBefore(at, parent)) return
        swap(at, parent)
        at = parent
      }
    },
    next: () => {
      swap(0, heap.length - 1)
      const first = heap.pop()
      for (let at = 0; ;) {
        const [left, right] = [2 * at + 1, 2 * at + 2]
        const least = isBefore(right, left) ? right : left
        if (!isBefore(least, at)) return first
        swap(at, least)
        at = least
      }
    }
  }
}

/**
 * Calls until an instant. `callers` in number call one after another, or calls come `perSecond`, evenly. A caller who is refused comes
 * back after 10 ms.
 */
export const course = (
  breaker: CircuitBreaker.CircuitBreaker,
  meets: Meets,
  load: { readonly callers: number } | { readonly perSecond: number },
  untilMillis: number,
  isEnough: (atMillis: number, changed: CircuitBreaker.Phase | undefined) => boolean = () => false
): Course => {
  const fiber = Effect.runSync(Effect.withFiber((fiber: Fiber.Fiber<unknown, unknown>) => Effect.succeed(fiber)))
  const queue = makeQueue()
  const changes: Array<readonly [number, CircuitBreaker.Phase]> = []
  const ends: Array<{ readonly atMillis: number; readonly outcome: Outcome.Outcome["_tag"] }> = []
  let refused = 0
  let calls = 0
  let isOver = false
  const call = (atMillis: number, then: (atMillis: number) => void): void => {
    const admitted = breaker.admit(atMillis, fiber)
    if (admitted._tag === "CircuitOpen") {
      refused++
      return then(atMillis + 10)
    }
    const { millis, outcome } = meets(atMillis, calls++)
    queue.add(atMillis + millis, (endMillis) => {
      ends.push({ atMillis: endMillis, outcome: outcome._tag })
      const changed = breaker.settle(admitted, outcome, endMillis, millis)
      if (changed !== undefined) changes.push([endMillis, changed])
      isOver = isEnough(endMillis, changed)
      then(endMillis)
    })
  }
  if ("callers" in load) {
    const again = (atMillis: number): void => queue.add(atMillis, (now) => call(now, again))
    for (let caller = 0; caller < load.callers; caller++) again(0)
  } else {
    const everyMillis = 1000 / load.perSecond
    const tick = (index: number): void =>
      queue.add(index * everyMillis, (now) => {
        call(now, () => {})
        tick(index + 1)
      })
    tick(0)
  }
  for (let next = queue.next(); next !== undefined && next.atMillis <= untilMillis; next = queue.next()) {
    next.run(next.atMillis)
    if (isOver) break
  }
  return { changes, ends, refused }
}

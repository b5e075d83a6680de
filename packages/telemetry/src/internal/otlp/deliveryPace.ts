/** When a delivery may send: how long it waits after a failure, and what ends that wait. */

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"

const backoffMillis = 1_000
const longestBackoffMillis = 30_000
const longestRetryAfterMillis = 60_000

/** Doubles from a second to half a minute, less up to half of it, so that the processes of a service do not return together. */
export const backoffOf = (failures: number, random: number): number =>
  Math.min(longestBackoffMillis, backoffMillis * 2 ** Math.min(failures - 1, 10)) * (1 - random / 2)

export class DeliveryPace {
  /** Nothing is sent before that instant. */
  heldUntilMillis = -Infinity
  /** Attempts that failed, one after another. */
  #failures = 0
  /** Whether the receiver itself asked for that wait. */
  #isAsked = false
  #isClosing = false
  readonly #hurry = Latch.makeUnsafe(false)

  /** The receiver has answered, and not that it should be asked again. */
  answered(): void {
    this.#failures = 0
  }

  /** Nothing is sent for a while after a failure. */
  failed(nowMillis: number, askedMillis: number | undefined, random: number): void {
    this.#failures++
    // a closing layer has little time: it waits no longer than after a first failure
    const own = backoffOf(this.#isClosing ? 1 : this.#failures, random)
    this.#isAsked = askedMillis !== undefined && askedMillis > own
    this.heldUntilMillis = nowMillis + Math.max(own, Math.min(askedMillis ?? 0, longestRetryAfterMillis))
  }

  /** A wait that a flush ends, unless the receiver asked for it. */
  wait(millis: number): Effect.Effect<void> {
    const sleep = Effect.sleep(Duration.millis(Math.ceil(millis)))
    if (this.#isAsked) return sleep
    const hurried = Effect.map(this.#hurry.await, () => {
      this.heldUntilMillis = -Infinity
    })
    return Effect.raceFirst(sleep, hurried)
  }

  /** Ends the wait that there is, and none that is to come. */
  hurry(): void {
    this.#hurry.openUnsafe()
    this.#hurry.closeUnsafe()
  }

  /** Little time is left. */
  close(): void {
    this.#isClosing = true
  }
}

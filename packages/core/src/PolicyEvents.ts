/**
 * The events of a policy, for telemetry, a dashboard, a test. Nothing is made, queued or copied while nobody listens.
 *
 * **When to use**: `breaker.events.subscribe(…)` for a callback on the spot, `breaker.events.stream` for a stream.
 *
 * **Gotchas**: a listener runs inside the call that caused the event. It must be quick, and an error that it throws is
 * dropped: an observer cannot break the policy.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"

/**
 * The events of one policy object.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyEvents<out Event> {
  /** Calls the listener with every event from now on; gives a function that ends that. */
  readonly subscribe: (listener: (event: Event) => void) => () => void
  /** The events from the moment it is run. One that is not read fast enough loses its oldest events past 256. */
  readonly stream: Stream.Stream<Event>
}

/**
 * Both ends of a policy's events. `emit` is for the policy; it gives the event to every listener, now. Ask `isHeard` before
 * building an event on a hot path.
 *
 * @category models
 * @since 0.1.0
 */
export interface Emitter<in out Event> {
  readonly isHeard: () => boolean
  readonly emit: (event: Event) => void
  readonly events: PolicyEvents<Event>
}

/**
 * Makes both ends.
 *
 * ```ts
 * import { PolicyEvents } from "holdfast"
 *
 * const { emit, events, isHeard } = PolicyEvents.make<string>()
 * console.log(isHeard()) // => false
 * const stop = events.subscribe((event) => console.log(event))
 * emit("opened") // => opened
 * stop()
 * emit("closed")
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Event>(): Emitter<Event> => {
  const listeners = new Set<(event: Event) => void>()
  const subscribe = (listener: (event: Event) => void): (() => void) => {
    // a function of its own each time, so that one listener may be subscribed twice
    const own = (event: Event): void => listener(event)
    listeners.add(own)
    return () => void listeners.delete(own)
  }
  return {
    isHeard: () => listeners.size > 0,
    emit: (event) => {
      for (const listener of listeners) {
        try {
          listener(event)
        } catch {
          // an observer cannot break the policy
        }
      }
    },
    events: {
      subscribe,
      stream: Stream.callback<Event>(
        (queue) =>
          Effect.acquireRelease(
            Effect.sync(() => subscribe((event) => void Queue.offerUnsafe(queue, event))),
            (stop) => Effect.sync(stop)
          ),
        { bufferSize: 256, strategy: "sliding" }
      )
    }
  }
}

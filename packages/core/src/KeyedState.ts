/**
 * State for each key, made when the key is first met and forgotten when it has not been used for a while: a breaker for each
 * endpoint, a limiter for each tenant.
 *
 * **When to use**: wherever a policy's state is kept by something that traffic chooses.
 *
 * **What it is not**: a cache. A key that is in use is never forgotten, however many there are.
 *
 * **Gotchas**: a state that was idle for the time to live is gone after that, or at twice the time at the latest, when the
 * map is next used. Choose a time longer than the state must remember: longer than a circuit's longest open time.
 *
 * ```ts
 * import { KeyedState } from "holdfast"
 *
 * const visits = KeyedState.make({ idleTimeToLive: "1 minute", create: () => ({ count: 0 }) })
 * visits.get("a", 0).count++
 * console.log(visits.get("a", 30_000).count) // => 1
 * console.log(visits.get("a", 300_000).count) // => 0
 * ```
 *
 * @since 0.1.0
 */

import * as Duration from "effect/Duration"
import * as Time from "./Time.ts"

/**
 * How state is made and kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in out K, out A> {
  /** Makes the state of a key that is not there. */
  readonly create: (key: K) => A
  /** How long a key may be unused. Longer than zero and finite; default 10 minutes. */
  readonly idleTimeToLive?: Time.Input | undefined
  /**
   * Keys that are kept although they are unused. Asked when some are due to be forgotten; where it throws, all are kept. Default: none.
   */
  readonly kept?: (() => Iterable<K>) | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = { idleTimeToLive: Duration.minutes(10) } as const

/**
 * State by key. Times are monotonic milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyedState<in out K, in out A> {
  /** The state of a key, which counts as a use of it. */
  readonly get: (key: K, nowMillis: number) => A
  /** The state of a key if it is there, which is no use of it. */
  readonly peek: (key: K) => A | undefined
  /** Every state that is there; reading them is no use of them. */
  readonly entries: () => ReadonlyArray<readonly [K, A]>
  /** Puts another state in the place of each, in one step. */
  readonly replaceAll: (replace: (state: A, key: K) => A) => void
  /**
   * A map of its own that begins with another state in the place of each, as old as it was here. Its time to live is this map's; the other
   * options are its own.
   */
  readonly copied: (
    options: Omit<Options<K, A>, "idleTimeToLive">,
    replace: (state: A, key: K) => A
  ) => KeyedState<K, A>
}

/**
 * Makes the map. Two generations do the forgetting: a key that is used moves to the young one, and the old one is dropped whole
 * when the time to live has passed, so that no call pays for a sweep.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <K, A>(options: Options<K, A>): KeyedState<K, A> => {
  const idleMillis = Time.millis("KeyedState: idleTimeToLive", options.idleTimeToLive ?? defaults.idleTimeToLive)
  if (!(idleMillis > 0 && Number.isFinite(idleMillis))) {
    throw new RangeError(`KeyedState: idleTimeToLive must be longer than zero and finite, got ${idleMillis}ms`)
  }
  return keyed(options, idleMillis, { young: new Map(), old: new Map(), bornMillis: Number.NEGATIVE_INFINITY })
}

/** The two generations of a map. */
interface Generations<K, A> {
  young: Map<K, A>
  old: Map<K, A>
  bornMillis: number
}

const keyed = <K, A>(options: Options<K, A>, idleMillis: number, states: Generations<K, A>): KeyedState<K, A> => {
  /** The states that are kept although they are idle. Where that cannot be said, all are. */
  const keptOf = (idle: ReadonlyMap<K, A>): ReadonlyMap<K, A> => {
    const kept = new Map<K, A>()
    if (options.kept === undefined || idle.size === 0) return kept
    try {
      for (const key of options.kept()) {
        const state = idle.get(key)
        if (state !== undefined) kept.set(key, state)
      }
      return kept
    } catch {
      return idle
    }
  }
  return {
    get: (key, nowMillis) => {
      const age = nowMillis - states.bornMillis
      if (age >= idleMillis) {
        // after twice the time the young ones are idle for too long as well. Otherwise a generation is born when it was due and
        // not when the map was next used, or an idle state would live up to three times the time
        const isAllIdle = age >= 2 * idleMillis
        const idle = isAllIdle ? new Map([...states.old, ...states.young]) : states.old
        const kept = keptOf(idle)
        states.old = isAllIdle ? new Map() : states.young
        states.young = new Map(kept)
        states.bornMillis = isAllIdle ? nowMillis : states.bornMillis + idleMillis
      }
      const { old, young } = states
      const found = young.get(key)
      if (found !== undefined) return found
      const state = old.get(key) ?? options.create(key)
      old.delete(key)
      young.set(key, state)
      return state
    },
    peek: (key) => states.young.get(key) ?? states.old.get(key),
    entries: () => [...states.old, ...states.young],
    replaceAll: (replace) => {
      for (const generation of [states.old, states.young]) {
        for (const [key, state] of generation) generation.set(key, replace(state, key))
      }
    },
    copied: (other, replace) => {
      const copyOf = (generation: ReadonlyMap<K, A>) =>
        new Map([...generation].map(([key, state]) => [key, replace(state, key)] as const))
      const { bornMillis, old, young } = states
      return keyed(other, idleMillis, { young: copyOf(young), old: copyOf(old), bornMillis })
    }
  }
}

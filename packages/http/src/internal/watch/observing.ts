/** Which observers hear of a call, and how its end is told. */

import { CallError } from "@holdfast/core/CallError"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import type * as Context from "effect/Context"
import { type CallEnd, type CallObserver, type ObservedCall, observersOf } from "../../CallObserver.ts"

type Listeners = Omit<CallObserver, "sink">

/** All who observe, as one. An event that none of them wants to hear is `undefined`: asking for it is its whole cost. */
export type Observer = { readonly [Event in keyof Listeners]-?: Listeners[Event] | undefined }

/** The observers of the calls of an upstream: its layer's own, and those of the fiber that calls, each once. */
export class Observers {
  readonly #own: ReadonlyArray<CallObserver>
  readonly #ofOwn: Observer | undefined
  /** Of the last call that brought others along; mostly the next one brings the same. */
  #found: ReadonlyArray<CallObserver> = []
  #together: Observer | undefined

  constructor(own: ReadonlyArray<CallObserver>) {
    this.#own = joined([], own)
    this.#ofOwn = combined(this.#own)
    this.#together = this.#ofOwn
  }

  /** Those of a call that is made in this context. */
  of(context: Context.Context<never>): Observer | undefined {
    const found = observersOf(context)
    if (found.length === 0) return this.#ofOwn
    if (!isSame(found, this.#found)) {
      const all = joined(this.#own, found)
      if (all.length === this.#own.length) return this.#ofOwn
      this.#found = found
      this.#together = combined(all)
    }
    return this.#together
  }
}

const isSame = (some: ReadonlyArray<CallObserver>, others: ReadonlyArray<CallObserver>): boolean => {
  if (some.length !== others.length) return false
  for (let index = 0; index < some.length; index++) if (some[index] !== others[index]) return false
  return true
}

/** The first ones, and those of the others that keep what they hear somewhere else. */
const joined = (
  first: ReadonlyArray<CallObserver>,
  others: ReadonlyArray<CallObserver>
): ReadonlyArray<CallObserver> => {
  const all = [...first]
  for (const other of others) {
    const isThere = all.some((one) => one === other || (one.sink !== undefined && one.sink === other.sink))
    if (!isThere) all.push(other)
  }
  return all
}

/** One observer of several; `undefined` when there are none. */
export const combined = (observers: ReadonlyArray<CallObserver>): Observer | undefined => {
  if (observers.length === 0) return undefined
  return {
    callStarted: all(observers.map((observer) => observer.callStarted?.bind(observer))),
    callEnded: all(observers.map((observer) => observer.callEnded?.bind(observer))),
    attemptStarted: all(observers.map((observer) => observer.attemptStarted?.bind(observer))),
    attemptEnded: all(observers.map((observer) => observer.attemptEnded?.bind(observer))),
    retryScheduled: all(observers.map((observer) => observer.retryScheduled?.bind(observer))),
    refused: all(observers.map((observer) => observer.refused?.bind(observer))),
    waited: all(observers.map((observer) => observer.waited?.bind(observer))),
    hedgeStarted: all(observers.map((observer) => observer.hedgeStarted?.bind(observer))),
    hedgeSettled: all(observers.map((observer) => observer.hedgeSettled?.bind(observer))),
    joined: all(observers.map((observer) => observer.joined?.bind(observer)))
  }
}

/** Tells every listener. An error that one of them throws is dropped: it can neither break the call nor keep the others from hearing. */
const all = <What extends ReadonlyArray<unknown>>(
  listeners: ReadonlyArray<((call: ObservedCall, ...what: What) => void) | undefined>
): ((call: ObservedCall, ...what: What) => void) | undefined => {
  const heard = listeners.filter((listener) => listener !== undefined)
  if (heard.length === 0) return undefined
  return (call, ...what) => {
    for (const listener of heard) {
      try {
        listener(call, ...what)
      } catch {
        // an observer cannot break what it observes
      }
    }
  }
}

/** How something ended. An interruption is the caller's will, whatever else went wrong under it. */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): CallEnd["outcome"] =>
  Exit.isSuccess(exit) ? "success" : Cause.hasInterrupts(exit.cause) ? "interrupted" : "failure"

/** The error of an exit; `undefined` for a success, a defect and an interruption. */
export const failureOf = <E>(exit: Exit.Exit<unknown, E>): E | undefined => {
  if (Exit.isSuccess(exit) || Cause.hasInterrupts(exit.cause)) return undefined
  return exit.cause.reasons.find(Cause.isFailReason)?.error
}

/** How a call ended. */
export const callEnd = (exit: Exit.Exit<unknown, unknown>, durationMillis: number, attempts: number): CallEnd => {
  const failure = failureOf(exit)
  // a client may fail with errors of its own
  const error = failure instanceof CallError ? failure : undefined
  return { outcome: outcomeOf(exit), durationMillis, attempts, error }
}

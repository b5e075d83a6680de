/** How long a store that processes share is waited for, and when one that failed is asked again. */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as References from "effect/References"
import * as Deadline from "../../Deadline.ts"
import { elapsed } from "../time/elapsed.ts"
import { startTimer } from "../time/timer.ts"

/**
 * Asks a store that processes share, so that a slow or lost store costs its callers little: an answer is waited for as long as the store
 * may take and the caller has time, an interrupted caller leaves at once, and a store that failed is left alone for a while, after which
 * one caller tries it again.
 */
export interface StoreAccess {
  readonly ask: <A, E, R>(question: Question<A, E, R>) => Effect.Effect<A, E | StoreUnavailable, R>
}

/** A question to the store. */
export interface Question<in out A, out E, out R> {
  readonly effect: Effect.Effect<A, E, R>
  /** When the caller no longer wants the answer. Default: the ambient `Deadline.Current`. */
  readonly deadline?: Deadline.Deadline | undefined
  /** Gives back the tokens of an answer that came when nobody waited for it any more. */
  readonly unwanted: (answer: A) => Effect.Effect<unknown, unknown, R>
  /** Hears that the store failed at this. */
  readonly onFailed: (message: string) => void
}

/** The store has not answered, or was not asked. */
export class StoreUnavailable {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

/** How long a store that failed is left alone. */
export const pauseMillis = 5000

export interface AccessOptions<in E> {
  /** The caller's name, for the log. */
  readonly name: string
  readonly storeTimeoutMillis: number
  /** The fault of the store that an error tells of; `undefined` when it is an answer like another. */
  readonly failure: (error: E) => string | undefined
}

/** The record of a store that failed. */
interface Outage {
  readonly message: string
  readonly untilMillis: number
}

export const makeStoreAccess = <E0>({ failure, name, storeTimeoutMillis }: AccessOptions<E0>): StoreAccess => {
  let outage: Outage | undefined
  /** Whether a caller is trying a store that has failed before. */
  let isTrying = false

  const ask = <A, E, R>(question: Question<A, E, R>): Effect.Effect<A, E | StoreUnavailable, R> =>
    Effect.withFiber((caller) => {
      const clock = caller.getRef(Clock.Clock)
      const nowMillis = Deadline.nowMillisUnsafe(clock)
      if (outage !== undefined && (isTrying || nowMillis < outage.untilMillis)) {
        return Effect.fail(new StoreUnavailable(outage.message))
      }
      const deadline = question.deadline ?? caller.getRef(Deadline.Current)
      const leftMillis = deadline === undefined ? Infinity : deadline.atMillis - nowMillis
      if (leftMillis <= 0) return Effect.fail(new StoreUnavailable("the caller's time is over"))
      const isTrial = outage !== undefined
      if (isTrial) isTrying = true
      let isKnown = false
      /** Learns from this question how the store is. It does so once: an answer that comes too late changes nothing. */
      const learn = (message: string | undefined): void => {
        if (isKnown) return
        isKnown = true
        if (isTrial) isTrying = false
        const isNew = outage === undefined
        outage =
          message === undefined ? undefined : { message, untilMillis: Deadline.nowMillisUnsafe(clock) + pauseMillis }
        if (message === undefined) return
        question.onFailed(message)
        const level = caller.getRef(References.UnhandledLogLevel)
        if (!isNew || level === undefined) return
        const text = `${name}: its store has failed and is left alone, to be tried every ${pauseMillis / 1000} s: ${message}`
        Effect.runForkWith(caller.context)(Effect.logWithLevel(level)(text))
      }
      // a fiber of its own, since its caller may leave; the caller holds the services that it requires
      const run = Effect.runForkWith(caller.context as Parameters<typeof Effect.runForkWith<R>>[0])
      const child = run(question.effect)
      const learnFrom = (exit: Exit.Exit<A, E>): void => {
        const found = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason) : undefined
        // the store's failures are the ones that its access was made for
        learn(found === undefined ? undefined : failure(found.error as E & E0))
      }
      const done = child.pollUnsafe()
      if (done !== undefined) {
        learnFrom(done)
        return done
      }
      let late: (() => void) | undefined
      const stopTimer = startTimer(caller, storeTimeoutMillis, () => {
        learn(`no answer in ${elapsed(Duration.millis(storeTimeoutMillis))}`)
        late?.()
        child.interruptUnsafe(caller.id)
      })
      child.addObserver((exit) => {
        stopTimer()
        learnFrom(exit)
      })
      const waiting = Effect.callback<A, E | StoreUnavailable>((resume) => {
        let isOver = false
        const answer = (exit: Exit.Exit<A, E | StoreUnavailable>): void => {
          if (isOver) return
          isOver = true
          resume(exit)
        }
        late = () => answer(Exit.fail(new StoreUnavailable(outage?.message ?? "no answer")))
        child.addObserver(answer)
        const stop =
          leftMillis < storeTimeoutMillis
            ? startTimer(caller, leftMillis, () => answer(Exit.fail(new StoreUnavailable("the caller's time is over"))))
            : undefined
        return Effect.sync(() => {
          isOver = true
          stop?.()
        })
      })
      // interruptible while it waits, and not where the answer is taken over: nothing that was given is lost between the two
      return Effect.uninterruptible(
        Effect.flatMap(Effect.exit(Effect.interruptible(waiting)), (exit) => {
          const settled = child.pollUnsafe()
          if (settled === exit) return exit
          const returned = (late: Exit.Exit<A, E>): void => {
            if (Exit.isSuccess(late)) run(Effect.ignore(question.unwanted(late.value)))
          }
          if (settled === undefined) child.addObserver(returned)
          else returned(settled)
          return exit
        })
      )
    })

  return { ask }
}

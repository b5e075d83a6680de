/** Which stages guard an attempt, in which order, and what they are told of its end. */

import type * as AdaptiveConcurrency from "@holdfast/core/AdaptiveConcurrency"
import type * as Bulkhead from "@holdfast/core/Bulkhead"
import type * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Criticality from "@holdfast/core/Criticality"
import * as Deadline from "@holdfast/core/Deadline"
import { ignored, type Outcome, success } from "@holdfast/core/Outcome"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import type * as Throttle from "@holdfast/core/Throttle"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import type { Refusal } from "./order.ts"
import type { EndpointStages } from "./stages.ts"

/** The permits of an attempt, from the stages that let it through. */
interface Held {
  breaker: CircuitBreaker.Permit | undefined
  throttle: Throttle.Permit | undefined
  bulkhead: Bulkhead.Permit | undefined
  adaptiveConcurrency: AdaptiveConcurrency.Permit | undefined
  /** When the attempt itself began; its wait in the bulkhead's queue is not the upstream's time. */
  sentMillis: number
  isSent: boolean
}

/** An attempt, as the stages that guard it see it. */
export interface Guarded<A, E, R> {
  readonly stages: EndpointStages
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly deadline: Deadline.Deadline | undefined
  /**
   * Makes the attempt; `nowMillis` is the monotonic time at which the stages let it through, and `ordinal` what it was guarded as:
   * others may have been sent while it waited.
   */
  readonly send: (nowMillis: number, ordinal: number) => Effect.Effect<A, E, R>
  /** Judges its end, or a refusal. */
  readonly outcomeOf: (exit: Exit.Exit<A, E | Refusal>) => Outcome
  /** Hears how long it waited in the bulkhead's queue, whether or not its turn came. */
  readonly onWaited: (stage: "bulkhead", millis: number) => void
  /** Hears why it was not sent. */
  readonly onRefused: (reason: Refusal) => void
  /** Hears that it changed the circuit. */
  readonly onCircuit: (state: CircuitBreaker.Phase) => void
  /**
   * Set where a success goes on using the upstream, as an open body does: gets a function that gives its places back, which are kept until
   * then. Only the success itself tells of the attempt.
   */
  readonly keepPlaces?: ((value: A, release: () => void) => void) | undefined
}

/**
 * Asks breaker, throttle, bulkhead and adaptive limit, in this order, and tells them afterwards what became of the attempt. One
 * protected region for all of them: whatever was taken is given back, however the attempt ends.
 */
export const guarded = <A, E, R>(subject: Guarded<A, E, R>, ordinal: number): Effect.Effect<A, E | Refusal, R> => {
  const clock = subject.fiber.getRef(Clock.Clock)
  if (!subject.stages.isGuarded) {
    return Effect.suspend((): Effect.Effect<A, E | Refusal, R> => {
      const nowMillis = Deadline.nowMillisUnsafe(clock)
      if (!isTooLate(subject.deadline, nowMillis)) return subject.send(nowMillis, ordinal)
      const reason = deadlineExceeded(subject.deadline)
      subject.onRefused(reason)
      return Effect.fail(reason)
    })
  }
  // made anew for every run: what is run twice holds twice
  return Effect.suspend(() => {
    const held: Held = {
      breaker: undefined,
      throttle: undefined,
      bulkhead: undefined,
      adaptiveConcurrency: undefined,
      sentMillis: 0,
      isSent: false
    }
    return Effect.onExitPrimitive(
      Effect.suspend((): Effect.Effect<A, E | Refusal, R> => {
        const nowMillis = Deadline.nowMillisUnsafe(clock)
        if (isTooLate(subject.deadline, nowMillis)) return Effect.fail(deadlineExceeded(subject.deadline))
        const refusal = admit(subject.stages, held, nowMillis, subject.fiber, subject.deadline)
        if (refusal !== undefined) return Effect.fail(refusal)
        const ready = held.bulkhead?.ready
        if (ready === undefined) return throughLimit(subject, ordinal, held, nowMillis)
        const waited = Effect.onExitPrimitive(ready, () => {
          subject.onWaited("bulkhead", Deadline.nowMillisUnsafe(clock) - nowMillis)
          return undefined
        })
        return Effect.flatMap(waited, () => throughLimit(subject, ordinal, held, Deadline.nowMillisUnsafe(clock)))
      }),
      (exit) => {
        let outcome = ignored
        try {
          // an attempt that was never sent says nothing of the upstream, whatever refused it
          if (held.isSent) outcome = subject.outcomeOf(exit)
          else tellRefusal(subject, exit)
          if (outcome._tag === "Success") {
            subject.stages.fairShare.succeeded(Deadline.nowMillisUnsafe(clock) - held.sentMillis)
          }
          if (subject.keepPlaces !== undefined && Exit.isSuccess(exit)) {
            subject.keepPlaces(exit.value, placesOf(held, Deadline.nowMillisUnsafe(clock)))
          }
        } finally {
          // a classifier that throws is a bug of its author, and dies as one, but keeps no permit
          const changed = settle(subject.stages, held, Deadline.nowMillisUnsafe(clock), outcome)
          if (changed !== undefined) subject.onCircuit(changed)
        }
        return undefined
      }
    )
  })
}

/** Whether there is no time left to do anything in. */
const isTooLate = (deadline: Deadline.Deadline | undefined, nowMillis: number): boolean =>
  deadline !== undefined && deadline.atMillis <= nowMillis

/** Says that nothing was sent because the deadline was spent. */
export const deadlineExceeded = (deadline: Deadline.Deadline | undefined): Reason.DeadlineExceeded =>
  stackless(() => new Reason.DeadlineExceeded({ budget: Duration.millis(deadline?.budgetMillis ?? 0), cutShort: true }))

const tellRefusal = <A, E, R>(subject: Guarded<A, E, R>, exit: Exit.Exit<A, E | Refusal>): void => {
  if (Exit.isSuccess(exit) || Cause.hasInterrupts(exit.cause)) return
  const failure = exit.cause.reasons.find(Cause.isFailReason)
  // nothing but a stage can have failed what was not sent
  if (failure !== undefined) subject.onRefused(failure.error as Refusal)
}

/** Asks the adaptive limit, once the attempt has its turn: one that waits in a queue is no load, and its wait no latency. */
const throughLimit = <A, E, R>(
  subject: Guarded<A, E, R>,
  ordinal: number,
  held: Held,
  nowMillis: number
): Effect.Effect<A, E | Reason.PolicyReason, R> => {
  const limit = subject.stages.adaptiveConcurrency
  if (limit !== undefined) {
    const admitted = limit.admit(nowMillis)
    if (admitted._tag === "ConcurrencyLimited") return Effect.fail(admitted)
    held.adaptiveConcurrency = admitted
  }
  held.sentMillis = nowMillis
  held.isSent = true
  return subject.send(nowMillis, ordinal)
}

const admit = (
  stages: EndpointStages,
  held: Held,
  nowMillis: number,
  fiber: Fiber.Fiber<unknown, unknown>,
  deadline: Deadline.Deadline | undefined
): Reason.PolicyReason | undefined => {
  if (stages.breaker !== undefined) {
    const admitted = stages.breaker.admit(nowMillis, fiber)
    if (admitted._tag === "CircuitOpen") return admitted
    held.breaker = admitted
  }
  if (stages.throttle !== undefined) {
    const criticality = fiber.getRef(Criticality.Current)
    const admitted = stages.throttle.admit(nowMillis, criticality, fiber.getRef(Random.Random))
    if (admitted._tag === "Throttled") return admitted
    held.throttle = admitted
  }
  if (stages.bulkhead !== undefined) {
    const admitted = stages.bulkhead.admit(nowMillis, { priority: fiber.getRef(Criticality.Current), deadline })
    if (admitted._tag === "BulkheadFull") return admitted
    held.bulkhead = admitted
  }
  return undefined
}

/** Takes the places of an attempt from its permits, and gives a function that gives them back, once. */
const placesOf = (held: Held, nowMillis: number): (() => void) => {
  const { adaptiveConcurrency, bulkhead } = held
  held.adaptiveConcurrency = undefined
  held.bulkhead = undefined
  return () => {
    // settled late, with the time that the answer took: how long it is read says nothing of the upstream
    adaptiveConcurrency?.settle(nowMillis, success)
    bulkhead?.release()
  }
}

/** Gives everything back; and the state that the circuit went into by it, if it did. */
const settle = (
  stages: EndpointStages,
  held: Held,
  nowMillis: number,
  outcome: Outcome
): CircuitBreaker.Phase | undefined => {
  held.bulkhead?.release()
  held.adaptiveConcurrency?.settle(nowMillis, outcome)
  held.throttle?.settle(nowMillis, outcome)
  if (held.breaker === undefined) return undefined
  return stages.breaker?.settle(held.breaker, outcome, nowMillis, nowMillis - held.sentMillis)
}

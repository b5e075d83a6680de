/** Policies that stand by themselves, what is done with each, and what the metrics say then. */
import * as AdaptiveConcurrency from "@holdfast/core/AdaptiveConcurrency"
import * as AttemptTimeout from "@holdfast/core/AttemptTimeout"
import * as Bulkhead from "@holdfast/core/Bulkhead"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Fallback from "@holdfast/core/Fallback"
import * as Hedge from "@holdfast/core/Hedge"
import type * as PolicyRegistry from "@holdfast/core/PolicyRegistry"
import * as RateLimit from "@holdfast/core/RateLimit"
import * as Retry from "@holdfast/core/Retry"
import * as RetryBudget from "@holdfast/core/RetryBudget"
import * as SingleFlight from "@holdfast/core/SingleFlight"
import * as Throttle from "@holdfast/core/Throttle"
import { Effect, Fiber, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { assert } from "@effect/vitest"
import { serviceUnavailable } from "./observed.ts"

const failing = Effect.fail("down")

const times = (count: number, self: Effect.Effect<unknown, unknown>) =>
  Effect.forEach(Array.from({ length: count }), () => Effect.exit(self), { discard: true })

/** Runs effects at once, and lets a second pass for them. */
export const together = (...effects: ReadonlyArray<Effect.Effect<unknown, unknown>>) =>
  Effect.gen(function* () {
    const fibers = yield* Effect.forEach(effects, (effect) => Effect.forkChild(Effect.exit(effect)))
    yield* TestClock.adjust("1 second")
    yield* Effect.forEach(fibers, Fiber.join, { discard: true })
  })

export const slow = Effect.sleep("200 millis")

export interface Case {
  readonly kind: keyof PolicyRegistry.Policies
  readonly make: () => { readonly policies: PolicyRegistry.Policies; readonly use: Effect.Effect<unknown, unknown> }
  /** The figures that are not 0: the metric, its attributes but the name, the value. */
  readonly figures: { readonly [metric: string]: number }
}

export const cases: ReadonlyArray<Case> = [
  {
    kind: "bulkhead",
    make: () => {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 1 })
      const query = bulkhead.run(slow)
      return { policies: { bulkhead }, use: together(query, query, query) }
    },
    figures: {
      "holdfast.bulkhead.limit": 1,
      "holdfast.stage.admitted bulkhead": 2,
      "holdfast.stage.refused bulkhead": 1,
      "holdfast.queue.duration bulkhead": 1,
      "holdfast.queue.duration bulkhead, sum": 0.2
    }
  },
  {
    kind: "breaker",
    make: () => {
      const breaker = CircuitBreaker.make({ trip: [CircuitBreaker.consecutiveFailures(2)] })
      return { policies: { breaker }, use: times(3, breaker.run(failing)) }
    },
    figures: {
      "holdfast.circuit.state Open": 1,
      "holdfast.circuit.transitions Open": 1,
      "holdfast.stage.admitted breaker": 2,
      "holdfast.stage.refused breaker": 1
    }
  },
  {
    kind: "rateLimit",
    make: () => {
      const rateLimit = RateLimit.make({ limit: 2, window: "1 second", maxWait: "500 millis" })
      const call = rateLimit.run(Effect.void)
      return { policies: { rateLimit }, use: together(call, call, call, call) }
    },
    figures: {
      "holdfast.rate_limit.limit": 2,
      "holdfast.rate_limit.remaining": 1,
      "holdfast.stage.admitted rateLimit": 3,
      "holdfast.stage.refused rateLimit": 1,
      "holdfast.queue.duration rateLimit": 1,
      "holdfast.queue.duration rateLimit, sum": 0.5
    }
  },
  {
    kind: "throttle",
    make: () => {
      const throttle = Throttle.make({ minimumRequests: 1, minimumPerSecond: 0 })
      return {
        policies: { throttle },
        use: Effect.gen(function* () {
          yield* times(40, throttle.run(failing))
          const { admitted, shed } = yield* throttle.snapshot
          assert.isAbove(shed, 0)
          assert.strictEqual(admitted + shed, 40)
        })
      }
    },
    // chance decides how many are shed: that they add up, the test says
    figures: { "holdfast.stage throttle": 40 }
  },
  {
    kind: "adaptiveConcurrency",
    make: () => {
      const adaptiveConcurrency = AdaptiveConcurrency.make({ initialLimit: 1, minimumLimit: 1 })
      const call = adaptiveConcurrency.run(slow)
      return { policies: { adaptiveConcurrency }, use: together(call, call) }
    },
    figures: {
      "holdfast.adaptive_concurrency.limit": 1,
      "holdfast.stage.admitted adaptiveConcurrency": 1,
      "holdfast.stage.refused adaptiveConcurrency": 1
    }
  },
  {
    kind: "attemptTimeout",
    make: () => {
      const attemptTimeout = AttemptTimeout.make({ limit: "100 millis" })
      return { policies: { attemptTimeout }, use: together(attemptTimeout.run(slow), attemptTimeout.run(Effect.void)) }
    },
    figures: { "holdfast.attempt_timeout.limit": 0.1, "holdfast.attempt_timeout.timeouts": 1 }
  },
  {
    kind: "hedge",
    make: () => {
      const hedge = Hedge.make({ delay: "100 millis" })
      const call = hedge.run((ordinal) => (ordinal === 0 ? Effect.never : Effect.void))
      return { policies: { hedge }, use: together(call) }
    },
    figures: { "holdfast.hedge.delay": 0.1, "holdfast.hedges": 1, "holdfast.hedge.wins": 1 }
  },
  {
    kind: "retry",
    make: () => {
      const retry = Retry.make({ maxAttempts: 3, schedule: Schedule.spaced("100 millis") })
      const refused = Effect.fail(serviceUnavailable)
      return { policies: { retry }, use: together(retry.run(failing), retry.run(refused)) }
    },
    figures: {
      "holdfast.retries _OTHER": 2,
      "holdfast.retries 503": 2,
      "holdfast.retry.delay": 4,
      "holdfast.retry.delay, sum": 0.4,
      "holdfast.retry.stops attempts": 2
    }
  },
  {
    kind: "budget",
    make: () => {
      const budget = RetryBudget.make({ ratio: 1, minimumPerSecond: 0 })
      const often = Effect.retry(failing, RetryBudget.paidFrom(Schedule.spaced("100 millis"), budget))
      return { policies: { budget }, use: together(budget.run(often)) }
    },
    figures: { "holdfast.stage.admitted budget": 1, "holdfast.stage.refused budget": 1 }
  },
  {
    kind: "singleFlight",
    make: () => {
      const singleFlight = SingleFlight.make<string, void>({ maxCallers: 2 })
      const call = singleFlight.run(slow, { key: "7" })
      return { policies: { singleFlight }, use: together(call, call, call) }
    },
    figures: {
      "holdfast.single_flight.joins": 1,
      "holdfast.stage.admitted singleFlight": 2,
      "holdfast.stage.refused singleFlight": 1
    }
  },
  {
    kind: "fallback",
    make: () => {
      const fallback = Fallback.make({
        when: (error: string) => error !== "mine",
        orElse: (error) => (error === "down" ? Effect.void : Effect.fail("down too"))
      })
      const use = Effect.all([
        times(3, fallback.run(failing)),
        times(2, fallback.run(Effect.fail("mine"))),
        times(1, fallback.run(Effect.fail("worse")))
      ])
      return { policies: { fallback }, use }
    },
    figures: {
      "holdfast.fallbacks answered": 3,
      "holdfast.fallbacks passed": 2,
      "holdfast.fallbacks failed": 1
    }
  }
]

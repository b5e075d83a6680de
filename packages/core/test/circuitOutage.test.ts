import { assert, describe, it } from "@effect/vitest"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import * as Outcome from "../src/Outcome.ts"
import { course } from "./support/virtualCalls.ts"

const bad = Outcome.failure({ cause: "transient" })

const timeout = Outcome.failure({ cause: "timeout" })

/** A share of calls, by a chance that is the same in every run (the constants of Numerical Recipes). */
const chance = (share: number): (() => boolean) => {
  let state = 1
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32 < share
  }
}

const healthyMillis = 20

/** Calls from the beginning of an outage to the opening, and the time that it took; undefined when it stays closed. */
const opening = (callers: number, failMillis: number, share: number, warmMillis: number) => {
  const fails = chance(share)
  const breaker = CircuitBreaker.make()
  let sinceOutage = 0
  const { changes } = course(
    breaker,
    (atMillis) => {
      if (atMillis < warmMillis) return { millis: healthyMillis, outcome: Outcome.success }
      sinceOutage++
      return fails()
        ? { millis: failMillis, outcome: failMillis >= 2000 ? timeout : bad }
        : { millis: healthyMillis, outcome: Outcome.success }
    },
    { callers },
    warmMillis + 120_000,
    (_, changed) => changed !== undefined
  )
  const [first] = changes
  return first === undefined ? undefined : { millis: first[0] - warmMillis, calls: sinceOutage }
}

describe("an outage opens a circuit with the usual options", () => {
  const all: ReadonlyArray<readonly [callers: number, failMillis: number, atMostMillis: number]> = [
    [1, 1, 10],
    [8, 1, 10],
    [64, 1, 10],
    [512, 1, 10],
    [1, 100, 1000],
    [8, 100, 1000],
    [64, 100, 1000],
    [512, 100, 1000],
    [1, 2000, 20_000],
    [8, 2000, 6000],
    [64, 2000, 6000],
    [512, 2000, 6000]
  ]
  for (const warmMillis of [0, 2000]) {
    it.each(all)(
      `of which every call fails, ${warmMillis === 0 ? "from the start" : "after it was well"}: %d at once, %d ms each, in at most %d ms`,
      (callers, failMillis, atMostMillis) => {
        const found = opening(callers, failMillis, 1, warmMillis) ?? assert.fail("it stays closed")
        // what was in flight when the outage began succeeds yet
        assert.isAtMost(found.millis, atMostMillis + healthyMillis)
      }
    )
  }

  it.each([1, 8, 64, 512])(
    "of which six calls in ten fail, %d at once, as soon as twenty are known, in three rounds",
    (callers) => {
      for (const [failMillis, atMostMillis] of [
        [1, 400],
        [100, callers === 1 ? 2000 : 500],
        [2000, callers === 1 ? 30_000 : 10_000]
      ] as const) {
        const found = opening(callers, failMillis, 0.6, 0) ?? assert.fail("it stays closed")
        assert.isAtMost(found.millis, atMostMillis, `${failMillis} ms each`)
      }
    }
  )
})

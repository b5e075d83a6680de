import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { RetryBudget } from "holdfast"
import type { HttpPolicy } from "holdfast"
import { ScriptedTransport } from "holdfast/testing"
import { callingThrough } from "../support/calling.ts"
import { openLoop, print } from "./figures.ts"

const healthySeconds = 10
const outageSeconds = 60
/** Longer than the deadline of a call: all have ended after it. */
const afterSeconds = 31

/** What an upstream that is down for a minute is sent, under a steady load, for each call that is made of it meanwhile. */
const attemptsPerCall = Effect.fn(function* (perSecond: number, policy: HttpPolicy.Options) {
  const seconds = healthySeconds + outageSeconds
  let isDown = false
  let sent = 0
  const transport = ScriptedTransport.layer({
    "*": () => {
      if (!isDown) return ScriptedTransport.json({ ok: true })
      sent += 1
      return ScriptedTransport.refused
    }
  })
  const payments = yield* callingThrough(transport, { url: "https://payments.internal" }, { policy })
  yield* Effect.forkChild(openLoop({ perSecond, seconds }, () => Effect.ignore(payments.get("/"))))
  // half a call's distance early, so that the first call of the outage is in it
  yield* TestClock.adjust(Duration.millis(healthySeconds * 1000 - 500 / perSecond))
  isDown = true
  yield* TestClock.adjust(Duration.seconds(outageSeconds + afterSeconds))
  const budget = payments.stages.budget === undefined ? undefined : yield* payments.stages.budget.snapshot
  if (budget !== undefined) assert.deepInclude(budget, { callsInFlight: 0, retriesInFlight: 0 })
  return { sent, calls: perSecond * outageSeconds, each: sent / (perSecond * outageSeconds) }
})

/** What the window can pay for: its share of the calls, and the reserve (`ratio + minimumPerSecond / rate`). */
const paidFor = (perSecond: number): number =>
  1 + RetryBudget.defaults.ratio + RetryBudget.defaults.minimumPerSecond / perSecond

describe("an outage of a minute", () => {
  it.effect("gets a quarter more than the calls at most with the default budget, all four attempts without", () =>
    Effect.gen(function* () {
      // The reserve of 2 retries a second is there so that a quiet upstream may retry. It is 10 % of 20 calls a second, and
      // 5 % of 40: from there on the budget keeps to a quarter.
      const busy = 60
      const quiet = 20
      const retry = { maxAttempts: 4 }
      const budget = yield* attemptsPerCall(busy, { retry, breaker: false })
      const budgetWhenQuiet = yield* attemptsPerCall(quiet, { retry, breaker: false })
      const noBudget = yield* attemptsPerCall(busy, { retry: { ...retry, budget: false }, breaker: false })
      const breaker = yield* attemptsPerCall(busy, { retry })

      const row = (name: string, { calls, each, sent }: typeof budget) => [name, calls, sent, each.toFixed(3)]
      print("a full outage of 60 s, up to 4 attempts a call", [
        ["", "calls", "sent", "attempts a call"],
        row(`no budget, no breaker, ${busy}/s`, noBudget),
        row(`default budget, ${busy}/s`, budget),
        row(`default budget, ${quiet}/s`, budgetWhenQuiet),
        row(`default budget and breaker, ${busy}/s`, breaker)
      ])

      assert.strictEqual(noBudget.each, 4)
      assert.isAtMost(budget.each, 1.25)
      assert.isAtMost(budget.each, paidFor(busy) + 0.005)
      // The budget is there to be spent: one that refuses everything is none.
      assert.isAbove(budget.each, 1.15)
      assert.isAtMost(budgetWhenQuiet.each, paidFor(quiet) + 0.005)
      // Ten failures in a row open the circuit, which those in flight with them add to; then there are probes, one or two a second.
      assert.isAtMost(breaker.sent, 160)
      assert.isAtMost(breaker.each, noBudget.each / 20)
      assert.isAtLeast(breaker.sent, 10)
    })
  )
})

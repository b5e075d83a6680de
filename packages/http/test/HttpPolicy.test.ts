import { Duration, Schedule } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as HttpPolicy from "../src/HttpPolicy.ts"

const refused = (options: HttpPolicy.Options, message: string) =>
  assert.throws(
    () => HttpPolicy.standard(options),
    RangeError,
    new RegExp(`^${message.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`)
  )

describe("HttpPolicy", () => {
  it("what is left out is 30 s in all, 3 attempts of 10 s, a budget, and nothing sent twice that must not be", () => {
    const policy = HttpPolicy.standard()
    assert.strictEqual(
      HttpPolicy.describe(policy),
      "deadline 30s → retry 3 attempts, full jitter from 100ms to 10s, budget 20% + 2/s → attempt timeout 10s"
    )
    assert.strictEqual(policy.retry?.nonIdempotent, "never")
    assert.deepStrictEqual(policy.limits, HttpPolicy.defaults.limits)
  })

  it("the stages are described in the order in which they run, whatever order they were written in", () => {
    const policy = HttpPolicy.standard({
      attemptTimeout: "2 seconds",
      retry: {
        nonIdempotent: "unsent",
        budget: { ratio: 0.1, minimumPerSecond: 5 },
        maxAttempts: 5,
        schedule: Schedule.spaced("1 second")
      },
      deadline: "1 minute"
    })
    assert.strictEqual(
      HttpPolicy.describe(policy),
      "deadline 1m → retry 5 attempts, own schedule, budget 10% + 5/s, not idempotent: unsent → attempt timeout 2s"
    )
  })

  it("a stage that is off is not described", () => {
    const describe = (options: HttpPolicy.Options) => HttpPolicy.describe(HttpPolicy.standard(options))
    assert.strictEqual(describe({ retry: false }), "deadline 30s → attempt timeout 10s")
    assert.strictEqual(
      describe({ deadline: false, attemptTimeout: false, retry: { budget: false } }),
      "retry 3 attempts, full jitter from 100ms to 10s, no budget"
    )
    assert.strictEqual(HttpPolicy.describe(HttpPolicy.none), "no policy")
    assert.strictEqual(describe({ retry: { maxAttempts: 1 } }), "deadline 30s → attempt timeout 10s")
  })

  it("no policy has no stage", () => {
    assert.deepInclude(HttpPolicy.none, { deadline: undefined, retry: undefined, attemptTimeout: undefined })
  })

  it("a deadline below the attempt timeout that was not asked for shortens it", () => {
    const policy = HttpPolicy.standard({ deadline: "3 seconds" })
    assert.deepStrictEqual(policy.attemptTimeout, Duration.seconds(3))
  })

  it("an endless time is none", () => {
    const policy = HttpPolicy.standard({ deadline: Infinity, attemptTimeout: Infinity })
    assert.deepInclude(policy, { deadline: undefined, attemptTimeout: undefined })
  })

  it("an attempt timeout that the deadline makes pointless is refused in words", () => {
    refused(
      { deadline: "5 seconds", attemptTimeout: "10 seconds" },
      "HttpPolicy: an attemptTimeout of 10s can never be reached within a deadline of 5s; make it shorter, or the deadline longer"
    )
    assert.doesNotThrow(() => HttpPolicy.standard({ deadline: "5 seconds", attemptTimeout: "5 seconds" }))
  })

  it("a time that is not longer than zero is refused by its name", () => {
    refused({ limits: { drainTime: 0 } }, "HttpPolicy: limits.drainTime must be longer than zero, got 0")
    refused({ deadline: 0 }, "HttpPolicy: deadline must be longer than zero, got 0")
    refused({ attemptTimeout: -5 }, "HttpPolicy: attemptTimeout must be longer than zero, got -5ms")
  })

  it("a limit that is no number of bytes is refused by its name", () => {
    for (const name of ["responseBytes", "errorBytes", "drainBytes"] as const) {
      for (const value of [-1, 1.5, Number.NaN, Infinity]) {
        refused(
          { limits: { [name]: value } },
          `HttpPolicy: limits.${name} must be a whole number of bytes of at least 0, got ${value}`
        )
      }
    }
    const policy = HttpPolicy.standard({ limits: { errorBytes: 0, drainTime: "2 seconds" } })
    assert.deepInclude(policy.limits, { errorBytes: 0, drainTime: Duration.seconds(2) })
  })

  it("a wrong option of the retry or its budget is found where the policy is made", () => {
    refused({ retry: { maxAttempts: 0 } }, "Retry: maxAttempts must be a whole number of at least 1, got 0")
    refused({ retry: { budget: { ratio: 11 } } }, "RetryBudget: ratio must be between 0 and 10, got 11")
  })
})

import { Context, Duration, Effect, Schedule, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import { optionsOf, SomeFigures } from "./support/somePolicy.ts"

const refused = (options: HttpPolicy.Options, message: string) =>
  assert.throws(
    () => HttpPolicy.standard(options),
    RangeError,
    new RegExp(`^${message.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`)
  )

const errorsOf = (policy: HttpPolicy.HttpPolicy) =>
  HttpPolicy.validate(policy).filter(({ severity }) => severity === "error")

describe("HttpPolicy", () => {
  describe("the presets", () => {
    it("standard: 30 s in all, 3 attempts of 10 s, a budget, a breaker, and nothing sent twice that must not be", () => {
      const policy = HttpPolicy.standard()
      assert.strictEqual(
        HttpPolicy.describe(policy),
        "deadline 30s → retry 3 attempts, exponential from 100ms to 10s, full jitter, budget 20% + 2/s → " +
          "breaker 10 in a row or 50% of 20 in 30s, open 1s → attempt timeout 10s"
      )
      assert.strictEqual(policy.call.retry?.nonIdempotent, "never")
      assert.deepStrictEqual(policy.call.limits, HttpPolicy.defaults.limits)
    })

    it("aggressive: 3 s in all, a learned attempt timeout, short waits and a hedge", () => {
      assert.strictEqual(
        HttpPolicy.describe(HttpPolicy.aggressive()),
        "deadline 3s → retry 3 attempts, exponential from 20ms to 500ms, full jitter, budget 20% + 2/s → " +
          "hedge after p95, at most 5% more → breaker 10 in a row or 50% of 20 in 30s, open 1s → " +
          "attempt timeout 2 × p99, 1s at first"
      )
    })

    it("gentle: 10 min in all, long waits, little at once, and it gives way", () => {
      assert.strictEqual(
        HttpPolicy.describe(HttpPolicy.gentle()),
        "deadline 10m → retry 6 attempts, exponential from 1s to 1m, full jitter, budget 10% + 1/s → " +
          "breaker 10 in a row or 50% of 20 in 30s, open 1s → throttle above 2 × accepted → " +
          "bulkhead 4 + 1000 waiting → attempt timeout 1m"
      )
    })

    it("none has no stage", () => {
      assert.strictEqual(HttpPolicy.describe(HttpPolicy.none), "no policy")
      assert.deepInclude(HttpPolicy.none.call, { deadline: undefined, retry: undefined, attemptTimeout: undefined })
    })

    it("no preset contradicts itself, and their only warning is that the deadline may come before the last attempt ends", () => {
      const warnings = (policy: HttpPolicy.HttpPolicy) => HttpPolicy.validate(policy).map(({ text }) => text)
      for (const preset of [HttpPolicy.standard(), HttpPolicy.aggressive(), HttpPolicy.gentle()]) {
        assert.deepStrictEqual(errorsOf(preset), [])
        assert.deepStrictEqual(warnings(preset), [])
      }
      assert.deepStrictEqual(warnings(HttpPolicy.none), ["nothing bounds a call but its caller's own deadline"])
    })

    it("each can be changed stage by stage: what is given takes a stage's place, and undefined changes nothing", () => {
      for (const preset of [HttpPolicy.standard, HttpPolicy.aggressive, HttpPolicy.gentle]) {
        assert.strictEqual(
          HttpPolicy.describe(preset({ breaker: undefined, retry: undefined })),
          HttpPolicy.describe(preset())
        )
        assert.notInclude(HttpPolicy.describe(preset({ breaker: false })), "breaker")
        assert.include(HttpPolicy.describe(preset({ bulkhead: { maxConcurrent: 3 } })), "bulkhead 3 + 10 waiting")
      }
      assert.include(
        HttpPolicy.describe(HttpPolicy.gentle({ retry: { maxAttempts: 2 } })),
        "retry 2 attempts, exponential from 100ms to 10s"
      )
    })

    it("a deadline that leaves the usual attempt timeout no room shares itself among the attempts, in whole milliseconds", () => {
      assert.deepStrictEqual(HttpPolicy.standard({ deadline: "5 seconds" }).call.attemptTimeout, Duration.millis(1666))
      assert.deepStrictEqual(
        HttpPolicy.standard({ deadline: "5 seconds", retry: false }).call.attemptTimeout,
        Duration.seconds(5)
      )
      assert.deepStrictEqual(HttpPolicy.standard({ deadline: false }).call.attemptTimeout, Duration.seconds(10))
    })
  })

  describe("the order", () => {
    it.prop(
      "stages run in one order, whatever order they were written in",
      [SomeFigures, Schema.Array(Schema.Int)],
      ([figures, order]) => {
        const options = optionsOf(figures)
        const shuffled = Object.entries(options)
          .map(([name, value], index) => ({ name, value, place: order[index % Math.max(1, order.length)] ?? 0 }))
          .sort((one, other) => one.place - other.place || (one.name < other.name ? 1 : -1))
        const again = Object.fromEntries(shuffled.map(({ name, value }) => [name, value]))
        assert.strictEqual(HttpPolicy.describe(HttpPolicy.make(again)), HttpPolicy.describe(HttpPolicy.make(options)))
      }
    )

    it.prop("a policy that was made has no contradiction left in it", [SomeFigures], ([figures]) => {
      assert.deepStrictEqual(errorsOf(HttpPolicy.make(optionsOf(figures))), [])
    })
  })

  describe("what is refused", () => {
    it("an endless time is none", () => {
      const policy = HttpPolicy.standard({ deadline: Infinity, attemptTimeout: Infinity })
      assert.deepInclude(policy.call, { deadline: undefined, attemptTimeout: undefined })
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
      assert.deepInclude(policy.call.limits, { errorBytes: 0, drainTime: Duration.seconds(2) })
    })

    it("a header name that is none is refused, and one that is is sent in small letters", () => {
      refused({ deadlineHeader: "x time" }, 'HttpPolicy: deadlineHeader must be the name of a header, got "x time"')
      assert.strictEqual(HttpPolicy.make({ deadlineHeader: "X-Time" }).deadlineHeader, "x-time")
    })

    it("a back-off that contradicts itself is refused", () => {
      const schedule = Schedule.spaced("1 second")
      refused({ retry: { backoff: {}, schedule } }, "HttpPolicy: retry has a backoff and a schedule; give one of them")
      refused(
        { retry: { backoff: { shape: "linear", factor: 2 } } },
        'HttpPolicy: retry.backoff.factor belongs to the shape "exponential", got it with "linear"'
      )
      refused(
        { retry: { backoff: { shape: "constant", jitter: "decorrelated" } } },
        'HttpPolicy: retry.backoff.jitter "decorrelated" belongs to the shape "exponential", got "constant"'
      )
    })

    it("a wrong option of any stage is found where the policy is made", () => {
      const wrong: ReadonlyArray<readonly [HttpPolicy.Options, RegExp]> = [
        [{ retry: { maxAttempts: 0 } }, /^Retry: maxAttempts/],
        [{ retry: { budget: { ratio: 11 } } }, /^RetryBudget: ratio/],
        [{ retry: { backoff: { base: "1 minute" } } }, /^Backoff: cap/],
        [{ singleFlight: { maxCallers: 0 } }, /^SingleFlight: maxCallers/],
        [{ rateLimit: { limit: 0 } }, /^RateLimit: limit/],
        [{ hedge: { maxHedges: 0 } }, /^Hedge: maxHedges/],
        [{ breaker: { probes: 0 } }, /^CircuitBreaker: probes/],
        [{ breaker: { openTime: { doubling: 0 } } }, /^CircuitBreaker: openTime/],
        [{ throttle: { multiplier: 0 } }, /^Throttle: multiplier/],
        [{ bulkhead: { maxConcurrent: 0 } }, /^Bulkhead: maxConcurrent/],
        [{ adaptiveConcurrency: { headroom: 1 } }, /^AdaptiveConcurrency: headroom/],
        [{ attemptTimeout: { limit: "1 second", factor: 1 } }, /^AttemptTimeout: factor/],
        [{ operations: { "GET /a": { retry: { maxAttempts: 0 } } } }, /^Retry: maxAttempts/]
      ]
      for (const [options, message] of wrong) assert.throws(() => HttpPolicy.standard(options), RangeError, message)
    })

    it("stages that contradict each other are refused in words, all of them", () => {
      refused(
        { deadline: "5 seconds", attemptTimeout: "10 seconds", hedge: { delay: "11 seconds" } },
        "HttpPolicy: an attemptTimeout of 10s can never be reached within a deadline of 5s; make it shorter, or the deadline longer\n" +
          "HttpPolicy: a hedge after 11s can never be sent: an attempt is over after 10s"
      )
      assert.doesNotThrow(() => HttpPolicy.standard({ deadline: "5 seconds", attemptTimeout: "5 seconds" }))
    })
  })

  describe("operations and overrides", () => {
    const policy = HttpPolicy.standard({
      deadline: "20 seconds",
      attemptTimeout: "4 seconds",
      retry: { maxAttempts: 4, nonIdempotent: "unsent", backoff: { base: "1 second" } },
      hedge: {},
      singleFlight: {},
      operations: {
        "GET /slow": { attemptTimeout: "15 seconds", retry: { maxAttempts: 2 }, hedge: false },
        "POST /pay": { retry: false, deadline: false, singleFlight: false, limits: { errorBytes: 1 } }
      }
    })

    it("an operation has what it says, and what it does not say is the policy's", () => {
      const slow = HttpPolicy.callPolicy(policy, "GET /slow", undefined)
      assert.deepInclude(slow, {
        deadline: Duration.seconds(20),
        attemptTimeout: Duration.seconds(15),
        hedge: false,
        singleFlight: true
      })
      assert.deepInclude(slow.retry, { nonIdempotent: "unsent", backoff: { base: "1 second" } })
      assert.strictEqual(slow.retry?.loop.maxAttempts, 2)
      assert.strictEqual(slow.retry?.loop.schedule, policy.call.retry?.loop.schedule)
      const pay = HttpPolicy.callPolicy(policy, "POST /pay", undefined)
      assert.deepInclude(pay, { retry: undefined, deadline: undefined, singleFlight: false, hedge: true })
      assert.deepStrictEqual(pay.limits, { ...HttpPolicy.defaults.limits, errorBytes: 1 })
      assert.strictEqual(HttpPolicy.callPolicy(policy, "GET /other", undefined), policy.call)
    })

    it("what a fiber has otherwise wins over the operation, and the operation over the policy", () => {
      const both = HttpPolicy.callPolicy(policy, "GET /slow", { retry: { maxAttempts: 7 }, deadline: "1 hour" })
      assert.strictEqual(both.retry?.loop.maxAttempts, 7)
      assert.deepInclude(both, {
        deadline: Duration.hours(1),
        attemptTimeout: Duration.seconds(15),
        hedge: false
      })
      const again = HttpPolicy.callPolicy(policy, "POST /pay", { retry: { maxAttempts: 2 } })
      assert.strictEqual(again.retry?.loop.maxAttempts, 2)
    })

    it("a fixed time takes the place of a learned one, for the operation alone", () => {
      const learning = HttpPolicy.aggressive({
        operations: { "GET /a": { attemptTimeout: "2 seconds" }, "GET /b": {} }
      })
      const learns = (operation: string) => HttpPolicy.callPolicy(learning, operation, undefined).learnsTimeout
      assert.deepStrictEqual([learns("GET /a"), learns("GET /b"), learns("GET /c")], [false, true, true])
    })

    it.effect("overrides within overrides add up, and the inner one wins", () =>
      Effect.gen(function* () {
        const seen = yield* HttpPolicy.CurrentOverrides.pipe(
          HttpPolicy.override({ retry: false }),
          HttpPolicy.override({ retry: { maxAttempts: 9 }, deadline: "1 second" })
        )
        assert.deepStrictEqual(seen, { retry: false, deadline: "1 second" })
        assert.isUndefined(yield* HttpPolicy.CurrentOverrides)
        assert.isUndefined(Context.get(yield* Effect.context(), HttpPolicy.CurrentOverrides))
      })
    )
  })
})

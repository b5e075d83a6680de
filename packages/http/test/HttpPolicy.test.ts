import { Context, Duration, Effect, Schedule, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as Upstream from "../src/Upstream.ts"
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

  describe("from those without types", () => {
    /** What plain JavaScript may give. */
    const untyped = (options: unknown, message: string) => refused(options as HttpPolicy.Options, message)

    it("an option that there is not is refused as in JSON, with the one that was meant", () => {
      untyped({ deadlin: "5s" }, "HttpPolicy: deadlin is not an option; did you mean deadline?")
      untyped({ circuitBreaker: {} }, "HttpPolicy: circuitBreaker is not an option; did you mean breaker?")
      untyped(
        { retry: { maxAtempts: 3, budget: { tll: "1s" } }, bulkhed: {} },
        "HttpPolicy: retry.maxAtempts is not an option; did you mean maxAttempts?\n" +
          "HttpPolicy: retry.budget.tll is not an option; did you mean ttl?\n" +
          "HttpPolicy: bulkhed is not an option; did you mean bulkhead?"
      )
      untyped(
        { breaker: { trip: [{ _tag: "TimeWindow", duration: "1s", failureRte: 0.5 }] } },
        "HttpPolicy: breaker.trip[0].timeWindow.failureRte is not an option; did you mean failureRate?"
      )
    })

    it("a value of another kind is refused, and quoted", () => {
      untyped({ retry: { maxAttempts: "3" } }, 'HttpPolicy: retry.maxAttempts must be a number, got "3"')
      untyped(
        { breaker: { trip: 5 } },
        "HttpPolicy: breaker.trip must be a list such as [CircuitBreaker.consecutiveFailures(5)], got 5"
      )
      untyped(
        { throttle: { rejections: "throttle" } },
        'HttpPolicy: throttle.rejections must be a list such as ["throttle"], got "throttle"'
      )
      untyped(
        { breaker: { trip: new Array(2) } },
        [0, 1]
          .map(
            (hole) =>
              `HttpPolicy: breaker.trip[${hole}] must be an object of its options ({} for the defaults), got nothing`
          )
          .join("\n")
      )
      untyped(
        { breaker: { trip: [{ consecutiveFailures: 5 }] } },
        'HttpPolicy: breaker.trip[0] must be made by a constructor, such as CircuitBreaker.consecutiveFailures(5), got {"consecutiveFailures":5}'
      )
      untyped({ retry: { schedule: "1 second" } }, 'HttpPolicy: retry.schedule must be a schedule, got "1 second"')
      untyped(
        { retry: { nonIdempotent: "allways" } },
        'HttpPolicy: retry.nonIdempotent must be one of "never", "unsent", "always", got "allways"; did you mean "always"?'
      )
      untyped(
        { deadline: "10 sec" },
        'HttpPolicy: deadline must be a time, such as "2 seconds", got "10 sec"; write "10 seconds"'
      )
      untyped({ deadline: null }, 'HttpPolicy: deadline must be a time, such as "2 seconds", got null')
      untyped({ attemptTimeout: {} }, "HttpPolicy: attemptTimeout.limit is missing")
      untyped(
        { bulkhead: true },
        "HttpPolicy: bulkhead must be an object of its options ({} for the defaults), or false, got true"
      )
      untyped(null, "HttpPolicy: a policy must be an object of its options ({} for the defaults), got null")
      untyped(
        { breaker: (left: number) => left },
        "HttpPolicy: breaker must be an object of its options ({} for the defaults), or false, got a function"
      )
      const circular: { itself?: unknown } = {}
      circular.itself = circular
      assert.throws(
        () => HttpPolicy.make({ retry: [circular] } as HttpPolicy.Options),
        RangeError,
        "HttpPolicy: retry must be"
      )
      assert.throws(
        () => HttpPolicy.make({ bulkhead: { maxQueue: 3n } } as never),
        RangeError,
        "must be a number, got 3"
      )
    })

    it("an operation is a method and a path, in code as in JSON", () => {
      for (const [operation, meant] of [
        ["post /x", "POST /x"],
        ["GET x", "GET /x"]
      ] as const) {
        untyped(
          { operations: { [operation]: {} } },
          `HttpPolicy: operations["${operation}"] is no operation, which is a method and a path: "POST /charges/{id}"; did you mean "${meant}"?`
        )
      }
      untyped(
        { operations: { "/x": {} } },
        'HttpPolicy: operations["/x"] is no operation, which is a method and a path: "POST /charges/{id}"'
      )
    })

    it("every way to say a time is one, wherever a time may stand", () => {
      const times = [5000, "5 seconds", "5s", "5000ms", "PT5S", Duration.seconds(5), { seconds: 5 }, [5, 0]] as const
      for (const time of times) {
        const policy = HttpPolicy.make({
          deadline: "1h",
          attemptTimeout: time,
          retry: { backoff: { base: time, cap: time }, maxServerWait: time, budget: { ttl: time } },
          breaker: { openTime: time, probeLease: time, trip: [{ _tag: "TimeWindow", duration: time }] },
          bulkhead: { maxWait: time },
          throttle: { window: time },
          limits: { drainTime: time },
          operations: { "GET /a": { attemptTimeout: time } }
        })
        assert.include(HttpPolicy.describe(policy), "from 5s to 5s")
        assert.include(HttpPolicy.describe(policy), "in 5s, open 5s")
        assert.include(HttpPolicy.describe(policy), "attempt timeout 5s")
      }
      assert.include(
        HttpPolicy.describe(HttpPolicy.standard({ breaker: { openTime: { doubling: "1m 30s" } } })),
        "open 1m 30s doubling"
      )
      assert.include(HttpPolicy.describe(HttpPolicy.make({ breaker: { openTime: () => "3s" } })), "open 3s at first")
    })

    it("an override is refused where it is made", () => {
      assert.throws(
        () => HttpPolicy.override({ retri: false } as HttpPolicy.Overrides),
        RangeError,
        "HttpPolicy: retri is not an option; did you mean retry?"
      )
    })

    it("a policy that no constructor made is refused by what it is given to", () => {
      const plain = { deadline: "5s" } as unknown as HttpPolicy.HttpPolicy
      assert.throws(
        () => Upstream.make("payments", { baseUrl: "https://payments.internal", policy: plain }),
        RangeError,
        'Upstream payments: policy must be made by HttpPolicy, such as HttpPolicy.standard({ deadline: "10 seconds" }), got {"deadline":"5s"}'
      )
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

import { Schedule } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as HttpPolicy from "../src/HttpPolicy.ts"

const { make } = HttpPolicy
const said = (options: HttpPolicy.Options) => HttpPolicy.describe(make(options))

const warned = (options: HttpPolicy.Options) =>
  HttpPolicy.validate(make(options)).map(({ severity, text }) => {
    assert.strictEqual(severity, "warning")
    return text
  })

const refusal = (options: HttpPolicy.Options): string => {
  try {
    return HttpPolicy.describe(make(options))
  } catch (error) {
    return error instanceof RangeError ? error.message : String(error)
  }
}

describe("a policy in words", () => {
  it("every stage has its sentence", () => {
    const sentences: ReadonlyArray<readonly [HttpPolicy.Options, string]> = [
      [{}, "no policy"],
      [{ singleFlight: {} }, "equal reads share one"],
      [{ rateLimit: { limit: 5 } }, "rate limit 5 in 1s"],
      [{ rateLimit: { limit: 5, window: "1 minute" } }, "rate limit 5 in 1m"],
      [{ deadline: "90 seconds" }, "deadline 1m 30s"],
      [{ retry: {} }, "retry 3 attempts, exponential from 100ms to 10s, full jitter, budget 20% + 2/s"],
      [{ retry: { maxAttempts: 1 } }, "no policy"],
      [{ retry: { budget: false } }, "retry 3 attempts, exponential from 100ms to 10s, full jitter, no budget"],
      [
        {
          retry: {
            backoff: { shape: "linear", jitter: "none", base: "1 second", cap: "5 seconds" },
            budget: { ratio: 0.125, minimumPerSecond: 5 }
          }
        },
        "retry 3 attempts, linear from 1s to 5s, no jitter, budget 12.5% + 5/s"
      ],
      [
        { retry: { backoff: { shape: "constant", base: "1 second", jitter: "equal" }, budget: false } },
        "retry 3 attempts, constant 1s, equal jitter, no budget"
      ],
      [
        { retry: { schedule: Schedule.spaced("1 second"), budget: false, nonIdempotent: "unsent" } },
        "retry 3 attempts, own schedule, no budget, not idempotent: unsent"
      ],
      [{ hedge: {} }, "hedge after p95, at most 5% more"],
      [{ hedge: { maximumExtraLoad: 0.02 } }, "hedge after p98, at most 2% more"],
      [{ hedge: { delay: "50 millis", maxHedges: 2 } }, "hedge 2 times after 50ms, at most 5% more"],
      [{ breaker: {} }, "breaker 10 in a row or 50% of 20 in 30s, open 1s"],
      [
        { breaker: { openTime: "2 seconds", trip: [CircuitBreaker.consecutiveFailures(3)] } },
        "breaker 3 in a row, open 2s"
      ],
      [
        {
          breaker: {
            openTime: { doubling: "2 seconds" },
            trip: [CircuitBreaker.countWindow({ size: 10 })],
            rampTime: "1 minute"
          }
        },
        "breaker 50% of 10 in the last 10, open 2s doubling, back within 1m"
      ],
      [
        {
          breaker: {
            openTime: CircuitBreaker.doubling("2 seconds"),
            slowCallDuration: "1 second",
            trip: [CircuitBreaker.timeWindow({ duration: "1 minute", slowCallRate: 0.8, minimumCalls: 5 })]
          }
        },
        "breaker 80% slow of 5 in 1m, open 2s doubling"
      ],
      [
        {
          breaker: {
            openTime: (opening) => opening * 1000,
            slowCallDuration: "1 second",
            trip: [CircuitBreaker.timeWindow({ duration: "1 minute", slowCallRate: 0.8, failureRate: 0.1 })]
          }
        },
        "breaker 10% or 80% slow of 20 in 1m, open 1s at first"
      ],
      [{ throttle: {} }, "throttle above 2 × accepted"],
      [{ bulkhead: {} }, "bulkhead 25 + 10 waiting"],
      [{ adaptiveConcurrency: {} }, "adaptive concurrency gradient, 5 to 200"],
      [{ adaptiveConcurrency: { algorithm: "gradient", minimumLimit: 2 } }, "adaptive concurrency gradient, 2 to 200"],
      [{ attemptTimeout: "2 seconds" }, "attempt timeout 2s"],
      [{ attemptTimeout: { limit: "2 seconds", factor: 3, quantile: 0.5 } }, "attempt timeout 3 × p50, 2s at first"],
      [{ operations: { "GET /a": {} } }, "1 operation with settings of their own"],
      [{ operations: { "GET /a": {}, "GET /b": {} } }, "2 operations with settings of their own"]
    ]
    for (const [options, sentence] of sentences) assert.strictEqual(said(options), sentence)
  })

  it("a stage that only watches says so, and one that is off says nothing", () => {
    const options = {
      rateLimit: { limit: 5 },
      hedge: {},
      breaker: {},
      throttle: {},
      bulkhead: {},
      adaptiveConcurrency: {},
      singleFlight: {}
    }
    for (const [name, given] of Object.entries(options)) {
      assert.match(said({ [name]: { ...given, mode: "observe" } }), / \(observed\)$/, name)
      assert.strictEqual(said({ [name]: { ...given, mode: "off" } }), "no policy", name)
      assert.strictEqual(said({ [name]: false }), "no policy", name)
    }
    assert.match(said({ attemptTimeout: { limit: "1 second", mode: "observe" } }), / \(observed\)$/)
  })

  it("the order is the one in which the stages run", () => {
    const all = said({
      attemptTimeout: "1 second",
      adaptiveConcurrency: {},
      bulkhead: {},
      throttle: {},
      breaker: {},
      hedge: {},
      retry: {},
      deadline: "1 minute",
      rateLimit: { limit: 5000 },
      singleFlight: {},
      operations: { "GET /a": {} }
    })
    const words = [
      "deadline",
      "equal",
      "rate",
      "retry",
      "hedge",
      "breaker",
      "throttle",
      "bulkhead",
      "adaptive",
      "attempt",
      "1"
    ]
    assert.deepStrictEqual(
      all.split(" → ").map((text) => text.split(" ")[0]),
      words
    )
  })
})

describe("what the numbers say together", () => {
  const bounded = { deadline: "10 seconds", attemptTimeout: "2 seconds" } as const

  it("nothing, when they agree", () => {
    assert.deepStrictEqual(warned(bounded), [])
    assert.deepStrictEqual(
      warned({
        ...bounded,
        retry: {},
        bulkhead: {},
        rateLimit: { limit: 5000 },
        breaker: {},
        hedge: { delay: "1 second" }
      }),
      []
    )
  })

  it("the worst case of attempts and waits is held against the deadline", () => {
    assert.deepStrictEqual(warned({ deadline: "10 seconds", attemptTimeout: "5 seconds", retry: { maxAttempts: 4 } }), [
      "4 attempts of 5s with waits of up to 700ms between them take up to 20.7s, and the deadline ends the call after 10s"
    ])
    const waits = (backoff: HttpPolicy.BackoffOptions) =>
      /waits of up to (\S+) /.exec(
        warned({ deadline: "3 seconds", attemptTimeout: "3 seconds", retry: { maxAttempts: 5, backoff } })[0] ?? ""
      )?.[1]
    assert.strictEqual(waits({ base: "1 second", shape: "constant" }), "4s")
    assert.strictEqual(waits({ base: "250 millis", shape: "constant" }), "1s")
    assert.strictEqual(waits({ base: "1 second", shape: "linear" }), "10s")
    assert.strictEqual(waits({ base: "1 second", shape: "fibonacci" }), "7s")
    assert.strictEqual(waits({ base: "2 millis", shape: "fibonacci" }), "14ms")
    assert.strictEqual(waits({ base: "1 second", factor: 3 }), "23s")
    assert.strictEqual(waits({ base: "1 second", jitter: "decorrelated" }), "32s")
    assert.deepStrictEqual(
      warned({ deadline: "3 seconds", attemptTimeout: "3 seconds", retry: { schedule: Schedule.spaced("1 hour") } }),
      []
    )
  })

  it("a call that nothing bounds, and requests that are sent twice whatever became of them", () => {
    assert.deepStrictEqual(warned({}), ["nothing bounds a call but its caller's own deadline"])
    assert.deepStrictEqual(warned({ ...bounded, retry: { nonIdempotent: "always" } }), [
      "requests that are not idempotent are sent again, whatever became of them; an idempotency key is safer"
    ])
  })

  it("a wait that outlasts the deadline", () => {
    assert.deepStrictEqual(
      warned({ ...bounded, bulkhead: { maxWait: "1 minute" }, rateLimit: { limit: 5000, maxWait: "11 seconds" } }),
      [
        "a bulkhead maxWait of 1m outlasts the deadline of 10s, which ends the wait first",
        "a rateLimit maxWait of 11s outlasts the deadline of 10s, which ends the wait first"
      ]
    )
  })

  it("nothing, where an operation's own attempt timeout stands for the one that is learned", () => {
    const attemptTimeout = { limit: "1 second", ceiling: "8 seconds" } as const
    const operations = { "GET /a": { deadline: "1 second", attemptTimeout: "500 millis" } } as const
    assert.deepStrictEqual(warned({ deadline: "10 seconds", attemptTimeout, operations }), [])
  })

  it("an operation is named", () => {
    assert.deepStrictEqual(warned({ ...bounded, operations: { "POST /a": { retry: { nonIdempotent: "always" } } } }), [
      "POST /a: requests that are not idempotent are sent again, whatever became of them; an idempotency key is safer"
    ])
  })

  it("contradictions are refused: an attempt beyond the deadline, a hedge beyond the attempt, a breaker that waits in vain", () => {
    assert.strictEqual(
      refusal({ deadline: "1 second", attemptTimeout: { limit: "1 second", ceiling: "2 seconds" } }),
      "HttpPolicy: an attemptTimeout of 2s can never be reached within a deadline of 1s; make it shorter, or the deadline longer"
    )
    assert.strictEqual(
      refusal({ ...bounded, operations: { "GET /a": { deadline: "1 second" } } }),
      "HttpPolicy: GET /a: an attemptTimeout of 2s can never be reached within a deadline of 1s; make it shorter, or the deadline longer"
    )
    assert.strictEqual(
      refusal({ ...bounded, hedge: { delay: "2 seconds" } }),
      "HttpPolicy: a hedge after 2s can never be sent: an attempt is over after 2s"
    )
    assert.strictEqual(
      refusal({ deadline: "1 second", hedge: { delay: "2 seconds" } }),
      "HttpPolicy: a hedge after 2s can never be sent: an attempt is over after 1s"
    )
    const trip = [CircuitBreaker.timeWindow({ duration: "10 seconds", minimumCalls: 100 })]
    assert.strictEqual(
      refusal({ ...bounded, breaker: { trip }, rateLimit: { limit: 90, window: "10 seconds" } }),
      "HttpPolicy: the breaker waits for 100 calls in 10s, and the rate limit lets only 90 through"
    )
    assert.notInclude(
      refusal({ ...bounded, breaker: { trip }, rateLimit: { limit: 90, window: "10 seconds", mode: "observe" } }),
      "HttpPolicy"
    )
  })

  it("the usual rules of a breaker are not held against a slow rate limit: one of them counts failures in a row", () => {
    assert.include(
      refusal({ ...bounded, breaker: {}, rateLimit: { limit: 1, window: "10 seconds" } }),
      "breaker 10 in a row"
    )
  })
})

import { Effect, Exit, Result, Schedule, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as HttpPolicyJson from "../src/HttpPolicyJson.ts"
import { sameOptions } from "../src/internal/policy/sameOptions.ts"
import { optionsOf, SomeFigures } from "./support/somePolicy.ts"

const decode = Schema.decodeUnknownSync(HttpPolicyJson.schema)
const encode = Schema.encodeSync(HttpPolicyJson.schema)

/** What is said of a policy that is refused, a line each. */
const problems = (json: unknown): ReadonlyArray<string> => {
  const exit = Effect.runSyncExit(Effect.flip(HttpPolicyJson.fromJson(json)))
  if (Exit.isFailure(exit)) return ["it is right"]
  return exit.value.message.split("\n").map((line) => {
    assert.match(line, /^HttpPolicy: /)
    return line.slice("HttpPolicy: ".length)
  })
}

const same = (json: unknown, policy: HttpPolicy.HttpPolicy) => {
  const decoded = decode(json)
  assert.strictEqual(HttpPolicy.describe(decoded), HttpPolicy.describe(policy))
  assert.isTrue(sameOptions(decoded.options, policy.options))
}

describe("HttpPolicyJson", () => {
  describe("there and back", () => {
    it.prop("what is encoded is JSON, and decodes to a policy that is the same", [SomeFigures], ([figures]) => {
      const policy = HttpPolicy.make(optionsOf(figures))
      const json = encode(policy)
      const wire: unknown = JSON.parse(JSON.stringify(json))
      assert.deepStrictEqual(wire, json)
      same(wire, policy)
      assert.deepStrictEqual(encode(decode(wire)), json)
    })

    it("a preset means what it means in code, and what is written beside it takes a stage's place", () => {
      same({}, HttpPolicy.standard())
      same({ preset: "aggressive" }, HttpPolicy.aggressive())
      same(
        { preset: "gentle", retry: { maxAttempts: 2 }, throttle: false },
        HttpPolicy.gentle({ retry: { maxAttempts: 2 }, throttle: false })
      )
      same({ preset: "none", deadline: "1 second" }, HttpPolicy.make({ deadline: "1 second" }))
      same({ deadline: "3 seconds" }, HttpPolicy.standard({ deadline: "3 seconds" }))
      for (const policy of [HttpPolicy.standard(), HttpPolicy.aggressive(), HttpPolicy.gentle(), HttpPolicy.none]) {
        same(encode(policy), policy)
      }
    })

    it("a time keeps every nanosecond, in words that a person reads", () => {
      const written = (deadline: HttpPolicy.Options["deadline"]) => {
        const json = encode(HttpPolicy.make({ deadline }))
        return (json as { readonly deadline: string }).deadline
      }
      assert.deepStrictEqual([90_000, 1000, 500, 0.5, 3_600_000, 1n, { weeks: 2 }, [1, 1] as const].map(written), [
        "90 seconds",
        "1 second",
        "500 millis",
        "500 micros",
        "1 hour",
        "1 nano",
        "2 weeks",
        "1000000001 nanos"
      ])
      assert.strictEqual(written(Infinity), "Infinity")
    })

    it("a time is written as people, Kubernetes and ISO 8601 write it", () => {
      for (const deadline of ["90 seconds", "90s", "1m 30s", "1m30s", "1.5m", "90000ms", "PT1M30S", "PT90S"]) {
        same({ preset: "none", deadline }, HttpPolicy.make({ deadline: "90 seconds" }))
      }
    })

    it.prop("what describe prints as a time can be read back", [SomeFigures], ([figures]) => {
      const printed = HttpPolicy.describe(HttpPolicy.make(optionsOf(figures)))
      const [, deadline] = /^(?:.* → )?deadline ([^→]*?)(?: → |$)/.exec(printed) ?? []
      const [, fixed] = / → attempt timeout ([\d.hms ]+?)(?: → |$)/.exec(printed) ?? []
      const [, base, cap] = / from (\S+(?: \d\S*)*) to (\S+(?: \d\S*)*), \w+ jitter/.exec(printed) ?? []
      for (const time of [deadline, fixed, base, cap].filter((text) => text !== undefined)) {
        assert.strictEqual(HttpPolicy.describe(decode({ preset: "none", deadline: time })), `deadline ${time}`)
      }
    })

    it("an editor's `$schema` is taken, and forgotten", () => {
      same({ $schema: "./holdfast-policy.schema.json", deadline: "3s" }, HttpPolicy.standard({ deadline: "3s" }))
    })

    it("the rules of a breaker are written like their constructors", () => {
      const trip = [
        CircuitBreaker.consecutiveFailures(3),
        CircuitBreaker.countWindow({ size: 10, failureRate: 0.3 }),
        CircuitBreaker.timeWindow({ duration: "1 minute", minimumCalls: 5 })
      ]
      const json = {
        preset: "none",
        breaker: {
          trip: [
            { consecutiveFailures: 3 },
            { countWindow: { size: 10, failureRate: 0.3 } },
            { timeWindow: { duration: "1 minute", minimumCalls: 5 } }
          ],
          openTime: { doubling: "2 seconds" }
        }
      }
      const policy = HttpPolicy.make({ breaker: { trip, openTime: CircuitBreaker.doubling("2 seconds") } })
      assert.deepStrictEqual(encode(policy), json)
      same(json, policy)
    })

    it("a limit without bound is one that is left out", () => {
      assert.deepStrictEqual(encode(HttpPolicy.make({ singleFlight: { maxCallers: Infinity } })), {
        preset: "none",
        singleFlight: {}
      })
    })

    it("functions are no data, and all of them are named", () => {
      const schedule = Schedule.spaced("1 second")
      const policy = HttpPolicy.make({
        retry: { schedule },
        breaker: { openTime: (opening) => opening },
        operations: { "GET /a": { retry: { schedule } } }
      })
      const error = Effect.runSync(Effect.flip(HttpPolicyJson.toText(policy)))
      assert.strictEqual(
        error.message,
        "HttpPolicy: retry.schedule: a schedule is code; say how to wait with backoff\n" +
          'HttpPolicy: breaker.openTime is a function, which data cannot hold; it must be a time in words, such as "2 seconds", or an object with doubling\n' +
          'HttpPolicy: operations["GET /a"].retry.schedule: a schedule is code; say how to wait with backoff'
      )
      assert.deepStrictEqual(problems({ retry: { schedule: "1 second" } }), [
        "retry.schedule: a schedule is code; say how to wait with backoff"
      ])
    })

    it.effect("text is read and written too, and what is no JSON says so", () =>
      Effect.gen(function* () {
        const policy = HttpPolicy.gentle()
        const again = yield* HttpPolicyJson.fromText(yield* HttpPolicyJson.toText(policy))
        assert.strictEqual(HttpPolicy.describe(again), HttpPolicy.describe(policy))
        const error = yield* Effect.flip(HttpPolicyJson.fromText("{ deadline: 1 }"))
        assert.match(error.message, /^HttpPolicy: not JSON: /)
      })
    )
  })

  describe("what is refused", () => {
    it("an option that there is not, at any depth, with the one that was meant", () => {
      assert.deepStrictEqual(problems({ retry: { maxAtempts: 3 } }), [
        "retry.maxAtempts is not an option; did you mean maxAttempts?"
      ])
      assert.deepStrictEqual(
        problems({
          Deadline: "1 second",
          timeout: "1 second",
          circuitBreaker: {},
          maxAttempts: 3,
          retry: { budget: { tll: "1 second" }, backoff: { bsae: "1 second" } },
          operations: { "GET /a": { retry: { bugdet: {} }, bulkhead: {} } },
          breaker: { trip: [{ consecutiveFailure: 3 }] }
        }),
        [
          "Deadline is not an option; did you mean deadline?",
          "timeout is not an option; did you mean attemptTimeout?",
          "circuitBreaker is not an option; did you mean breaker?",
          "maxAttempts is not an option; did you mean retry.maxAttempts?",
          "retry.budget.tll is not an option; did you mean ttl?",
          "retry.backoff.bsae is not an option; did you mean base?",
          'operations["GET /a"].retry.bugdet is not an option; there are: maxAttempts, schedule, backoff, maxServerWait, serverWaitJitter, nonIdempotent, refusals',
          'operations["GET /a"].bulkhead is not an option; there are: deadline, attemptTimeout, retry, hedge, singleFlight, limits, redirects',
          "breaker.trip[0].consecutiveFailure is not an option; did you mean consecutiveFailures?",
          "breaker.trip[0] must have one of consecutiveFailures, countWindow, timeWindow, got none"
        ]
      )
    })

    it("a name that others have for an option leads to it", () => {
      assert.deepStrictEqual(
        problems({
          maxRetries: 3,
          callTimeout: "1s",
          retry: { retries: 3, backoff: { maxDelay: "1s" } },
          breaker: { resetTimeout: "1s" },
          bulkhead: { queueSize: 3 }
        }),
        [
          "maxRetries is not an option; did you mean retry.maxAttempts?",
          "callTimeout is not an option; did you mean deadline?",
          "retry.retries is not an option; did you mean maxAttempts?",
          "retry.backoff.maxDelay is not an option; did you mean cap?",
          "breaker.resetTimeout is not an option; did you mean openTime?",
          "bulkhead.queueSize is not an option; did you mean maxQueue?"
        ]
      )
    })

    it("of many things the first fifty are told, and the rest are counted", () => {
      const many = problems(Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`x${index}`, 1])))
      assert.lengthOf(many, 51)
      assert.strictEqual(many.at(-1), "and 950 more")
    })

    it("names that every object has are no options", () => {
      const hostile: unknown = JSON.parse(
        '{ "__proto__": { "deadline": 1 }, "constructor": {}, "operations": { "__proto__": {} } }'
      )
      const found = problems(hostile)
      assert.lengthOf(found, 3)
      assert.match(found[0] ?? "", /^__proto__ is not an option/)
      assert.match(found[1] ?? "", /^constructor is not an option/)
      assert.match(found[2] ?? "", /^operations\.__proto__ is no operation/)
    })

    it("a value of another kind, with its place, what was got, and what would be right", () => {
      const wrong: ReadonlyArray<readonly [unknown, string]> = [
        [3, "a policy must be an object of its options ({} for the defaults), got 3"],
        [[], "a policy must be an object of its options ({} for the defaults), got []"],
        [null, "a policy must be an object of its options ({} for the defaults), got null"],
        [
          { preset: "agressive" },
          'preset must be one of "standard", "aggressive", "gentle", "none", got "agressive"; did you mean "aggressive"?'
        ],
        [
          { deadline: 2000 },
          'deadline must be a time in words, such as "2 seconds", or false, got 2000; if these are milliseconds, write "2 seconds"'
        ],
        [
          { deadline: "2 sec" },
          'deadline must be a time in words, such as "2 seconds", or false, got "2 sec"; write "2 seconds"'
        ],
        [
          { deadline: "250MS" },
          'deadline must be a time in words, such as "2 seconds", or false, got "250MS"; write "250 millis"'
        ],
        [{ deadline: "5s 2m" }, 'deadline must be a time in words, such as "2 seconds", or false, got "5s 2m"'],
        [
          { deadline: "2 Second" },
          'deadline must be a time in words, such as "2 seconds", or false, got "2 Second"; write "2 seconds"'
        ],
        [{ deadline: "soon" }, 'deadline must be a time in words, such as "2 seconds", or false, got "soon"'],
        [
          { deadline: { seconds: 2 } },
          'deadline must be a time in words, such as "2 seconds", or false, got {"seconds":2}'
        ],
        [{ limits: { drainTime: false } }, 'limits.drainTime must be a time in words, such as "2 seconds", got false'],
        [{ retry: { maxAttempts: "3" } }, 'retry.maxAttempts must be a number, got "3"'],
        [{ retry: true }, "retry must be an object of its options ({} for the defaults), or false, got true"],
        [{ rateLimit: {} }, "rateLimit.limit is missing"],
        [{ attemptTimeout: {} }, "attemptTimeout.limit is missing"],
        [
          { attemptTimeout: 5 },
          'attemptTimeout must be a time in words, such as "2 seconds", or an object with limit, or false, got 5; if these are milliseconds, write "5 millis"'
        ],
        [
          { breaker: { mode: "observed" } },
          'breaker.mode must be one of "enforce", "observe", "off", got "observed"; did you mean "observe"?'
        ],
        [
          { breaker: { trip: { consecutiveFailures: 5 } } },
          'breaker.trip must be a list such as [{ "consecutiveFailures": 5 }], got {"consecutiveFailures":5}'
        ],
        [
          { breaker: { trip: [{ consecutiveFailures: 1, countWindow: { size: 1 } }] } },
          "breaker.trip[0] must have one of consecutiveFailures, countWindow, timeWindow, got consecutiveFailures and countWindow"
        ],
        [
          { throttle: { rejections: ["refused"] } },
          'throttle.rejections[0] must be one of "throttle", "transient", "timeout", got "refused"'
        ],
        [{ deadlineHeader: 5 }, "deadlineHeader must be the name of a header, or false, got 5"],
        [{ operations: { "GET /a": { hedge: {} } } }, 'operations["GET /a"].hedge must be false, got {}'],
        [
          { operations: { charges: {} } },
          'operations.charges is no operation, which is a method and a path: "POST /charges/{id}"'
        ],
        [
          { operations: { "post /charges": {} } },
          'operations["post /charges"] is no operation, which is a method and a path: "POST /charges/{id}"; did you mean "POST /charges"?'
        ],
        [
          { operations: { "GET items": {} } },
          'operations["GET items"] is no operation, which is a method and a path: "POST /charges/{id}"; did you mean "GET /items"?'
        ],
        [
          { preset: "x".repeat(200) },
          `preset must be one of "standard", "aggressive", "gentle", "none", got "${"x".repeat(59)}…`
        ]
      ]
      for (const [json, message] of wrong) assert.deepStrictEqual(problems(json), [message])
    })

    it("what a stage finds out of range, with its place; one stage does not hide another", () => {
      assert.deepStrictEqual(
        problems({
          retry: { maxAttempts: 0, budget: { ratio: 20 }, backoff: { base: "1 minute" } },
          breaker: { probes: 0 },
          throttle: { window: "1 milli" },
          deadlineHeader: "a b",
          attemptTimeout: { limit: "2 seconds", factor: 0 },
          operations: { "GET /a": { retry: { maxAttempts: 0 } }, "GET /b": { deadline: "0 seconds" } }
        }),
        [
          "retry.maxAttempts must be a whole number of at least 1, got 0",
          "retry.backoff.cap must be finite and at least the base of 60000ms, got 10000ms",
          "retry.budget.ratio must be between 0 and 10, got 20",
          "breaker.probes must be a whole number between 1 and 1000, got 0",
          "throttle.window (milliseconds) must be between 1000 and 3600000, got 1",
          'deadlineHeader must be the name of a header, got "a b"',
          "attemptTimeout.factor must be above 1 and at most 100, got 0",
          'operations["GET /a"].retry.maxAttempts must be a whole number of at least 1, got 0',
          'operations["GET /b"]: deadline must be longer than zero, got 0'
        ]
      )
      assert.deepStrictEqual(problems({ breaker: { trip: [{ timeWindow: { duration: "1 milli" } }] } }), [
        "breaker: timeWindow.duration must be between 100 milliseconds and 24 hours, got 1ms"
      ])
    })

    it("stages that contradict each other, all of them", () => {
      assert.deepStrictEqual(
        problems({ deadline: "1 second", attemptTimeout: "5 seconds", hedge: { delay: "6 seconds" } }),
        [
          "an attemptTimeout of 5s can never be reached within a deadline of 1s; make it shorter, or the deadline longer",
          "a hedge after 6s can never be sent: an attempt is over after 5s"
        ]
      )
    })

    it("in a schema of one's own, the failure says where the policy is", () => {
      const Settings = Schema.Struct({ payments: HttpPolicyJson.schema })
      const exit = Schema.decodeUnknownExit(Settings)({ payments: { deadlin: "1 second" } })
      assert.include(String(exit), "HttpPolicy: deadlin is not an option; did you mean deadline?")
      assert.include(String(exit), 'at ["payments"]')
    })

    /** A policy that is right, or told what is wrong with it; a defect is thrown. */
    const read = (json: unknown): "right" | "wrong" => {
      const result = Effect.runSync(Effect.result(HttpPolicyJson.fromJson(json)))
      if (Result.isSuccess(result)) {
        same(encode(result.success), result.success)
        return "right"
      }
      assert.instanceOf(result.failure, Schema.SchemaError)
      for (const line of result.failure.message.split("\n")) assert.match(line, /^HttpPolicy: /)
      return "wrong"
    }

    it.prop(
      "nothing that JSON can say is a defect",
      [Schema.fromJsonString(Schema.Json), Schema.String],
      ([value, name]) => {
        for (const json of [
          value,
          { [name]: value },
          { retry: value, breaker: value },
          { operations: { [name]: value } }
        ]) {
          read(json)
        }
      },
      { arbitrary: { size: 20 } }
    )

    /** The same JSON with another value at one of its places, chosen by a number. */
    const replaced = (json: Schema.Json, place: number, value: Schema.Json): Schema.Json => {
      const names = typeof json === "object" && json !== null && !Array.isArray(json) ? Object.keys(json) : []
      const name = names[place % (names.length + 1)]
      if (name === undefined) return value
      const inside = Object.entries(json as Schema.JsonObject)
      const further = Math.floor(place / (names.length + 1))
      return Object.fromEntries(
        inside.map(([key, item]) => [key, key === name ? replaced(item, further, value) : item])
      )
    }

    it.prop(
      "nor is a policy that is right in all but one place",
      [SomeFigures, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100_000 })), Schema.Json],
      ([figures, place, value]) => {
        // what is encoded is JSON
        const json = encode(HttpPolicy.make(optionsOf(figures))) as Schema.JsonObject
        assert.strictEqual(read(json), "right")
        read(JSON.parse(JSON.stringify(replaced(json, place, value))))
      },
      { arbitrary: { runs: 200, size: 20 } }
    )
  })
})

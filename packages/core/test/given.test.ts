import { Effect, Schedule } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as AdaptiveConcurrency from "../src/AdaptiveConcurrency.ts"
import * as AttemptTimeout from "../src/AttemptTimeout.ts"
import * as Bulkhead from "../src/Bulkhead.ts"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import * as Fallback from "../src/Fallback.ts"
import * as Hedge from "../src/Hedge.ts"
import * as RateLimit from "../src/RateLimit.ts"
import * as Retry from "../src/Retry.ts"
import * as RetryBudget from "../src/RetryBudget.ts"
import * as SharedCircuitBreaker from "../src/SharedCircuitBreaker.ts"
import * as SharedRateLimit from "../src/SharedRateLimit.ts"
import * as SingleFlight from "../src/SingleFlight.ts"
import * as Throttle from "../src/Throttle.ts"
import { shown } from "../src/internal/options/given.ts"

/** Calls a function as code without types may. */
const untyped = (call: unknown, ...given: ReadonlyArray<unknown>): unknown =>
  typeof call === "function" ? call(...given) : assert.fail("no function")

const refusal = (call: unknown, ...given: ReadonlyArray<unknown>): string => {
  try {
    untyped(call, ...given)
  } catch (error) {
    return error instanceof TypeError ? error.message : assert.fail(`no TypeError, but ${String(error)}`)
  }
  return assert.fail("nothing was thrown")
}

const modules = {
  AdaptiveConcurrency,
  AttemptTimeout,
  Bulkhead,
  CircuitBreaker,
  Fallback,
  Hedge,
  RateLimit,
  Retry,
  RetryBudget,
  SingleFlight,
  Throttle
}

const names = Object.keys(modules) as ReadonlyArray<keyof typeof modules>

describe("what is no policy, no effect and no options", () => {
  for (const name of [...names, "SharedCircuitBreaker", "SharedRateLimit"] as const) {
    it(`${name}.run says so of options in the place of a policy, and of nothing beside an effect`, () => {
      const { run } = { ...modules, SharedCircuitBreaker, SharedRateLimit }[name]
      const takes = `${name}.run: it takes what ${name}.make has made, first in a pipe and second otherwise, got`
      const hint = name === "Retry" ? "; Retry.retry takes options" : ""
      assert.strictEqual(refusal(run, { mode: "enforce" }), `${takes} an object with mode${hint}`)
      assert.strictEqual(refusal(run, Effect.void), `${takes} nothing${hint}`)
      assert.strictEqual(refusal(run, Effect.void, 3), `${takes} 3${hint}`)
    })
  }

  for (const name of names) {
    it(`${name}.make says what options are`, () => {
      const { make } = modules[name]
      const must = new RegExp(`^${name}\\.make: options must be an object like \\{ \\w+: .*, got `)
      for (const [given, words] of [
        ["1 second", /got "1 second"$/],
        [3, /got 3$/],
        [Effect.void, /got an effect$/],
        [["a"], /got an array$/]
      ] as const) {
        assert.match(refusal(make, given), must)
        assert.match(refusal(make, given), words)
      }
    })
  }

  it("the other functions of the modules say so, too", () => {
    assert.strictEqual(
      refusal(AttemptTimeout.adaptive, "1 second"),
      'AttemptTimeout.adaptive: options must be an object like { limit: "1 second" }, got "1 second"'
    )
    assert.strictEqual(refusal(Retry.retry, 3), "Retry.retry: options must be an object like { maxAttempts: 3 }, got 3")
    assert.strictEqual(
      refusal(Retry.retry, Effect.void, "often"),
      'Retry.retry: options must be an object like { maxAttempts: 3 }, got "often"'
    )
    assert.match(
      refusal(Fallback.runResult, { value: 1 }),
      /^Fallback\.runResult: it takes what Fallback\.make has made/
    )
    assert.match(
      refusal(RetryBudget.paidFrom, Schedule.forever),
      /^RetryBudget\.paidFrom: it takes what RetryBudget\.make/
    )
    assert.strictEqual(
      refusal(SingleFlight.run(SingleFlight.make(), { key: 1 }), 7),
      "SingleFlight: a policy's run takes the effect first, got 7; in a pipe, options go through SingleFlight.run(policy, options)"
    )
    assert.strictEqual(
      refusal(SingleFlight.make().run, Effect.void),
      'SingleFlight.run: options must be an object like { key: "7" }, got nothing'
    )
  })

  it("a policy's own run says how options get into a pipe", () => {
    const policies = {
      AdaptiveConcurrency: AdaptiveConcurrency.make(),
      AttemptTimeout: AttemptTimeout.make(),
      Bulkhead: Bulkhead.make(),
      CircuitBreaker: CircuitBreaker.make(),
      Fallback: Fallback.make({ value: 1 }),
      RateLimit: RateLimit.make({ limit: 1 }),
      Retry: Retry.make(),
      RetryBudget: RetryBudget.make(),
      SingleFlight: SingleFlight.make<string, number>(),
      Throttle: Throttle.make()
    }
    for (const [name, policy] of Object.entries(policies)) {
      assert.strictEqual(
        refusal(() => Effect.void.pipe(untyped(policy.run, { priority: 1 }) as never)),
        `${name}: a policy's run takes the effect first, got an object with priority; in a pipe, options go through ${name}.run(policy, options)`
      )
    }
  })

  it("the defaults need no options", () => {
    assert.strictEqual(Effect.runSync(Effect.succeed(1).pipe(Retry.retry())), 1)
    assert.strictEqual(Effect.runSync(Retry.retry(Effect.succeed(1))), 1)
  })

  it("is shown in a few words, and no value of an object is", () => {
    assert.deepStrictEqual(
      [
        undefined,
        null,
        true,
        "x".repeat(50),
        () => 1,
        Promise.resolve(),
        {},
        { a: "secret", b: 1, c: 1, d: 1, e: 1 }
      ].map(shown),
      [
        "nothing",
        "null",
        "true",
        `"${"x".repeat(40)}…"`,
        "a function",
        "a promise",
        "an object with nothing in it",
        "an object with a, b, c, d, …"
      ]
    )
  })
})

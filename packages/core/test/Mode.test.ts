import { Effect, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as AdaptiveConcurrency from "../src/AdaptiveConcurrency.ts"
import * as Bulkhead from "../src/Bulkhead.ts"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import * as Hedge from "../src/Hedge.ts"
import { Mode } from "../src/Mode.ts"
import * as RateLimit from "../src/RateLimit.ts"
import * as SingleFlight from "../src/SingleFlight.ts"
import * as Throttle from "../src/Throttle.ts"

describe("Mode", () => {
  it("there are three, and nothing else decodes as one", () => {
    assert.deepStrictEqual(Mode.literals, ["enforce", "observe", "off"])
    for (const mode of Mode.literals) assert.strictEqual(Schema.decodeUnknownSync(Mode)(mode), mode)
    for (const other of ["Enforce", "on", "", true, null, undefined]) {
      assert.throws(() => Schema.decodeUnknownSync(Mode)(other))
    }
  })

  /** Every policy that has a mode, as strict as it can be made, around an effect. */
  const policies: {
    readonly [name: string]: (mode: Mode | undefined) => {
      readonly mode: Mode
      readonly run: (self: Effect.Effect<string, string>) => Effect.Effect<string, unknown>
      readonly snapshot: Effect.Effect<object>
    }
  } = {
    AdaptiveConcurrency: (mode) =>
      AdaptiveConcurrency.make({ mode, initialLimit: 1, minimumLimit: 1, maximumLimit: 1 }),
    Bulkhead: (mode) => Bulkhead.make({ mode, maxConcurrent: 1, maxQueue: 0 }),
    CircuitBreaker: (mode) => {
      const breaker = CircuitBreaker.make({ mode, trip: [CircuitBreaker.consecutiveFailures(1)] })
      return { mode: breaker.mode, run: CircuitBreaker.run(breaker), snapshot: breaker.snapshot }
    },
    Hedge: (mode) => {
      const hedge = Hedge.make({ mode, delay: "1 millis" })
      return { mode: hedge.mode, run: (self) => hedge.run(() => self), snapshot: hedge.snapshot }
    },
    RateLimit: (mode) => RateLimit.make({ mode, limit: 1, window: "1 hour", onLimit: "refuse" }),
    SingleFlight: (mode) => {
      const flights = SingleFlight.make<string, string, string>({ mode, maxCallers: 1 })
      return { mode: flights.mode, run: (self) => flights.run(self, { key: "key" }), snapshot: flights.snapshot }
    },
    Throttle: (mode) => Throttle.make({ mode, multiplier: 1, minimumPerSecond: 0, minimumRequests: 1 })
  }

  /** Calls that a strict policy would not all let through: failures, then many at once. */
  const drill = (run: (self: Effect.Effect<string, string>) => Effect.Effect<string, unknown>) =>
    Effect.gen(function* () {
      for (let call = 0; call < 5; call++) yield* Effect.exit(run(Effect.fail("no")))
      return yield* Effect.forEach(
        Array.from({ length: 5 }),
        () => Effect.flip(run(Effect.andThen(Effect.yieldNow, Effect.fail("own")))),
        { concurrency: "unbounded" }
      )
    })

  for (const [name, make] of Object.entries(policies)) {
    it.effect(`${name} acts unless it is told otherwise, and in observe or off lets every call through`, () =>
      Effect.gen(function* () {
        assert.strictEqual(make(undefined).mode, "enforce")
        for (const mode of ["observe", "off"] as const) {
          const policy = make(mode)
          assert.strictEqual(policy.mode, mode)
          assert.deepStrictEqual(yield* drill(policy.run), ["own", "own", "own", "own", "own"])
        }
      })
    )

    it.effect(`${name} that is off counts nothing`, () =>
      Effect.gen(function* () {
        const policy = make("off")
        const before = yield* policy.snapshot
        yield* drill(policy.run)
        assert.deepStrictEqual(yield* policy.snapshot, before)
      })
    )
  }
})

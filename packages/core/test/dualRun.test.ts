import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { RateLimiter } from "effect/persistence"
import * as Store from "effect/persistence/CircuitBreaker"
import type * as Exit from "effect/Exit"
import { pipe } from "effect/Function"
import * as AdaptiveConcurrency from "../src/AdaptiveConcurrency.ts"
import * as AttemptTimeout from "../src/AttemptTimeout.ts"
import * as Bulkhead from "../src/Bulkhead.ts"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import * as Criticality from "../src/Criticality.ts"
import * as Deadline from "../src/Deadline.ts"
import * as Fallback from "../src/Fallback.ts"
import * as Hedge from "../src/Hedge.ts"
import * as Outcome from "../src/Outcome.ts"
import * as RateLimit from "../src/RateLimit.ts"
import type * as Reason from "../src/Reason.ts"
import * as SharedCircuitBreaker from "../src/SharedCircuitBreaker.ts"
import * as SharedRateLimit from "../src/SharedRateLimit.ts"
import * as SingleFlight from "../src/SingleFlight.ts"
import * as Throttle from "../src/Throttle.ts"

class Greeting extends Context.Service<Greeting, string>()("test/Greeting") {}

// it fails in the end, so that each form is seen to leave the failure alone
const call = Effect.flatMap(Greeting, (greeting) => Effect.fail(greeting))

/** A policy's `run` as a function of the module, both ways, and as a method. */
type Forms = readonly [
  name: string,
  ...forms: ReadonlyArray<(self: Effect.Effect<never, string, Greeting>) => Effect.Effect<unknown, unknown, Greeting>>
]

describe("run", () => {
  const key = "key"
  const bulkhead = Bulkhead.make()
  const rateLimit = RateLimit.make({ limit: 100 })
  const throttle = Throttle.make()
  const limiter = AdaptiveConcurrency.make()
  const breaker = CircuitBreaker.make()
  const timeout = AttemptTimeout.make({ limit: "1 minute" })
  const learned = AttemptTimeout.adaptive({ limit: "1 minute" })
  const hedge = Hedge.make({ delay: "1 minute" })
  const fallback = Fallback.make({ when: () => false, value: "other" })
  const flights = SingleFlight.make<string, never, string>()
  const inMemory: ReadonlyArray<Forms> = [
    ["Bulkhead", Bulkhead.run(bulkhead), (self) => Bulkhead.run(self, bulkhead), bulkhead.run],
    ["RateLimit", RateLimit.run(rateLimit), (self) => RateLimit.run(self, rateLimit), rateLimit.run],
    ["Throttle", Throttle.run(throttle), (self) => Throttle.run(self, throttle), throttle.run],
    [
      "AdaptiveConcurrency",
      AdaptiveConcurrency.run(limiter),
      (self) => AdaptiveConcurrency.run(self, limiter),
      limiter.run
    ],
    ["CircuitBreaker", CircuitBreaker.run(breaker), (self) => CircuitBreaker.run(self, breaker), breaker.run],
    ["AttemptTimeout, fixed", AttemptTimeout.run(timeout), (self) => AttemptTimeout.run(self, timeout), timeout.run],
    ["AttemptTimeout, learned", AttemptTimeout.run(learned), (self) => AttemptTimeout.run(self, learned), learned.run],
    ["Hedge", Hedge.run(hedge), (self) => Hedge.run(self, hedge), hedge.run],
    ["Fallback", Fallback.run(fallback), (self) => Fallback.run(self, fallback), fallback.run],
    ["Fallback's result", Fallback.runResult(fallback), (self) => Fallback.runResult(self, fallback)],
    [
      "SingleFlight",
      SingleFlight.run(flights, { key }),
      (self) => SingleFlight.run(self, flights, { key }),
      (self) => flights.run(self, { key })
    ],
    ["Deadline", Deadline.within("1 minute"), (self) => Deadline.within(self, "1 minute")],
    ["Criticality", Criticality.withLevel("sheddable"), (self) => Criticality.withLevel(self, "sheddable")]
  ]

  const alike = ([name, ...forms]: Forms) =>
    Effect.gen(function* () {
      assert.isAtLeast(forms.length, 2)
      for (const form of forms) {
        assert.strictEqual(yield* Effect.flip(form(call)), "hello", name)
        // the class of a service is a function, and an effect all the same
        const succeeding = form(Effect.flip(Effect.flip(call)))
        assert.strictEqual(yield* Effect.flip(succeeding), "hello", name)
      }
    }).pipe(Effect.provideService(Greeting, "hello"))

  for (const forms of inMemory) {
    it.live(`${forms[0]} takes the effect first, or in a pipe, or as a method`, () => alike(forms))
  }

  it.live("a shared circuit breaker and a shared rate limit do so too", () =>
    Effect.gen(function* () {
      const circuit = yield* SharedCircuitBreaker.make()
      const limit = yield* SharedRateLimit.make({ key, limit: 100 })
      yield* alike([
        "SharedCircuitBreaker",
        SharedCircuitBreaker.run(circuit, { key }),
        (self) => SharedCircuitBreaker.run(self, circuit, { key }),
        (self) => circuit.run(self, { key })
      ])
      yield* alike([
        "SharedRateLimit",
        SharedRateLimit.run(limit),
        (self) => SharedRateLimit.run(self, limit),
        limit.run
      ])
      assert.strictEqual((yield* limit.snapshot).admitted, 6)
    }).pipe(Effect.provide([Store.layerStoreMemory(), RateLimiter.layerStoreMemory]))
  )

  it.effect("every form is the policy's: each is counted, and each hears the options", () =>
    Effect.gen(function* () {
      const judged = CircuitBreaker.make()
      const permanent = { classify: () => Outcome.failure({ cause: "permanent" }) }
      yield* Effect.exit(CircuitBreaker.run(Effect.fail("no"), judged, permanent))
      yield* Effect.exit(Effect.fail("no").pipe(CircuitBreaker.run(judged, permanent)))
      yield* Effect.exit(judged.run(Effect.fail("no"), permanent))
      assert.strictEqual((yield* judged.snapshot).ignored, 3)
    })
  )

  it.effect("a hedge runs a service's class as the effect that it is, and any other function by its ordinal", () =>
    Effect.gen(function* () {
      const either = Hedge.make({ delay: "1 minute" })
      assert.strictEqual(yield* Hedge.run(Greeting, either), "hello")
      assert.strictEqual(yield* pipe(Greeting, Hedge.run(either)), "hello")
      assert.strictEqual(yield* Hedge.run((ordinal) => Effect.succeed(ordinal), either), 0)
      assert.strictEqual(yield* pipe((ordinal: number) => Effect.succeed(ordinal), Hedge.run(either)), 0)
      assert.strictEqual((yield* either.snapshot).calls, 4)
    }).pipe(Effect.provideService(Greeting, "hello"))
  )

  it("its types say what a policy adds to the failures, and `classify` knows those of the effect in front of it", () => {
    const refusable = Effect.succeed(1).pipe(Bulkhead.run(bulkhead))
    expectTypeOf(refusable).toEqualTypeOf<Effect.Effect<number, Reason.BulkheadFull>>()
    expectTypeOf(Bulkhead.run(call, bulkhead)).toEqualTypeOf<
      Effect.Effect<never, string | Reason.BulkheadFull, Greeting>
    >()
    const judged = Throttle.run(Effect.succeed(1), throttle, {
      classify: (exit) => {
        expectTypeOf(exit).toEqualTypeOf<Exit.Exit<number, never>>()
        return Outcome.success
      }
    })
    expectTypeOf(judged).toEqualTypeOf<Effect.Effect<number, Reason.Throttled>>()
    const piped = Effect.succeed(1).pipe(
      Throttle.run(throttle, {
        classify: (exit: Exit.Exit<number>) => (exit._tag === "Success" ? Outcome.success : Outcome.ignored)
      })
    )
    expectTypeOf(piped).toEqualTypeOf<Effect.Effect<number, Reason.Throttled>>()
    // @ts-expect-error a shared run has a key
    SingleFlight.run(flights)
  })
})

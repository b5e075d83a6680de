import { Arbitrary, Duration, Effect, Fiber, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as Deadline from "../src/Deadline.ts"

const millis = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 }))

const left = Effect.map(Deadline.remaining, (remaining) =>
  remaining === undefined ? undefined : Duration.toMillis(remaining)
)

describe("Deadline", () => {
  it.effect("there is none unless somebody set one", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* Deadline.remaining)
      assert.isUndefined(yield* Deadline.Current)
    })
  )

  it.effect.prop(
    "however deadlines are nested, the tightest is in force",
    [Arbitrary.array(Arbitrary.schema(millis), { minLength: 1, maxLength: 6 })],
    ([budgets]) =>
      Effect.gen(function* () {
        const nested = budgets.reduce<Effect.Effect<number | undefined>>(
          (inner, budget) => Deadline.within(budget)(inner),
          left
        )
        assert.strictEqual(yield* nested, Math.min(...budgets))
      })
  )

  it.effect("the time that is left goes down with the clock, and not below zero", () =>
    Effect.gen(function* () {
      const seen = Effect.forEach([0, 1, 2, 3], (index) =>
        Effect.tap(left, () => (index < 3 ? Effect.sleep("1 second") : Effect.void))
      )
      const fiber = yield* Effect.forkChild(Deadline.within("2500 millis")(seen))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* Fiber.join(fiber), [2500, 1500, 500, 0])
    })
  )

  it.effect("an inner deadline that asks for more than is left changes nothing, its budget included", () =>
    Effect.gen(function* () {
      const inner = Deadline.within("10 seconds")(Deadline.Current)
      const deadline = yield* Deadline.within("2 seconds")(inner)
      assert.deepStrictEqual(deadline, { atMillis: 2000, budgetMillis: 2000 })
    })
  )

  it.effect("an inner deadline ends with what it is around", () =>
    Effect.gen(function* () {
      const both = Effect.all([Deadline.within("1 second")(left), left])
      assert.deepStrictEqual(yield* Deadline.within("2 seconds")(both), [1000, 2000])
    })
  )

  it("tightening by nothing, or by an endless time, gives the deadline that there was", () => {
    const current: Deadline.Deadline = { atMillis: 500, budgetMillis: 100 }
    for (const budget of [undefined, Infinity, Number.NaN]) {
      assert.strictEqual(Deadline.tighten(current, 0, budget), current)
      assert.isUndefined(Deadline.tighten(undefined, 0, budget))
    }
    assert.strictEqual(Deadline.tighten(current, 400, 100), current)
    assert.deepStrictEqual(Deadline.tighten(current, 400, 99), { atMillis: 499, budgetMillis: 99 })
    assert.deepStrictEqual(Deadline.tighten(undefined, 400, 0), { atMillis: 400, budgetMillis: 0 })
  })

  it("a budget that is not longer than zero is refused", () => {
    for (const budget of [0, -1]) {
      const message = `Deadline.within: the budget must be longer than zero, got ${budget}`
      assert.throws(() => Deadline.within(Effect.void, budget), RangeError, message)
      assert.throws(() => Effect.void.pipe(Deadline.within(budget)), RangeError, message)
    }
  })

  it.effect("what outlives its request may leave its deadline behind, and have one of its own", () =>
    Effect.gen(function* () {
      const left = Effect.map(Deadline.remaining, (left) => left && Duration.toMillis(left))
      const outlives = Effect.all([Deadline.none(left), Deadline.none(left.pipe(Deadline.within("5 seconds"))), left])
      assert.deepStrictEqual(yield* outlives.pipe(Deadline.within("1 second")), [undefined, 5000, 1000])
    })
  )
})

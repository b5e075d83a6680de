import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { backoffOf, DeliveryPace } from "../src/internal/otlp/deliveryPace.ts"

describe("the pace of a delivery", () => {
  it("waits twice as long after each failure, up to half a minute, less up to half of it", () => {
    assert.deepStrictEqual(
      [1, 2, 3, 4, 5, 6, 7, 100].map((failures) => backoffOf(failures, 0)),
      [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]
    )
    assert.strictEqual(backoffOf(2, 0.5), 1500)
    assert.strictEqual(backoffOf(2, 1), 1000)
    assert.strictEqual(backoffOf(1e6, 0), 30_000)
  })

  it("is not held before anything has failed, and forgets failures with an answer", () => {
    const pace = new DeliveryPace()
    assert.strictEqual(pace.heldUntilMillis, -Infinity)
    pace.failed(100, undefined, 0)
    assert.strictEqual(pace.heldUntilMillis, 1100)
    pace.failed(2000, undefined, 0)
    assert.strictEqual(pace.heldUntilMillis, 4000)
    pace.answered()
    pace.failed(5000, undefined, 0)
    assert.strictEqual(pace.heldUntilMillis, 6000)
  })

  it("waits for as long as the receiver asks, up to a minute, and no less than by itself", () => {
    const held = (askedMillis: number | undefined) => {
      const pace = new DeliveryPace()
      pace.failed(0, askedMillis, 0)
      return pace.heldUntilMillis
    }
    assert.deepStrictEqual(
      [undefined, 0, 999, 1000, 1001, 59_999, 60_000, 60_001].map(held),
      [1000, 1000, 1000, 1000, 1001, 59_999, 60_000, 60_000]
    )
  })

  it("waits no longer than after a first failure once it closes", () => {
    const pace = new DeliveryPace()
    for (let failures = 0; failures < 5; failures++) pace.failed(0, undefined, 0)
    assert.strictEqual(pace.heldUntilMillis, 16_000)
    pace.close()
    pace.failed(0, undefined, 0)
    assert.strictEqual(pace.heldUntilMillis, 1000)
  })

  it.effect("lets a flush end a wait of its own, and none that the receiver asked for", () =>
    Effect.gen(function* () {
      for (const [askedMillis, ends] of [
        [undefined, true],
        [1000, true],
        [1001, false]
      ] as const) {
        const pace = new DeliveryPace()
        pace.failed(0, askedMillis, 0)
        const waiting = yield* Effect.forkChild(pace.wait(1000.5))
        yield* TestClock.adjust("1 millis")
        pace.hurry()
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(waiting.pollUnsafe() !== undefined, ends, String(askedMillis))
        assert.strictEqual(pace.heldUntilMillis === -Infinity, ends, String(askedMillis))
        yield* TestClock.adjust("998 millis")
        assert.strictEqual(waiting.pollUnsafe() !== undefined, ends, String(askedMillis))
        yield* TestClock.adjust("1 millis")
        yield* Fiber.join(waiting)
      }
    })
  )

  it.effect("ends no wait that is to come", () =>
    Effect.gen(function* () {
      const pace = new DeliveryPace()
      pace.hurry()
      pace.failed(0, undefined, 0)
      const waiting = yield* Effect.forkChild(pace.wait(1000))
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(waiting.pollUnsafe())
      assert.strictEqual(pace.heldUntilMillis, 1000)
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(waiting)
    })
  )
})

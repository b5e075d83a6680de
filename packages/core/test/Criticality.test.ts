import { Effect, Fiber } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as Criticality from "../src/Criticality.ts"

describe("Criticality", () => {
  it("the levels go from what is shed last to what is shed first", () => {
    assert.deepStrictEqual(Criticality.levels, ["critical-plus", "critical", "sheddable-plus", "sheddable"])
  })

  it.effect("what is not marked is critical", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Criticality.Current, "critical")
    })
  )

  it.effect("a mark travels into forked fibers, and an inner one goes before an outer one", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Effect.all([Criticality.Current])).pipe(
        Criticality.withLevel("sheddable-plus")
      )
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["sheddable-plus"])
      const inner = Effect.all([Criticality.Current]).pipe(Criticality.withLevel("sheddable"))
      assert.deepStrictEqual(yield* inner.pipe(Criticality.withLevel("critical-plus")), ["sheddable"])
      assert.strictEqual(yield* Criticality.Current, "critical")
    })
  )
})

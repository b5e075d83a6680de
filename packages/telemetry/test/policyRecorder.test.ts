import { assert, describe, it } from "@effect/vitest"
import * as Bulkhead from "@holdfast/core/Bulkhead"
import type * as PolicyRegistry from "@holdfast/core/PolicyRegistry"
import { Context, Effect, Metric } from "effect"
import { makePolicyRecorder } from "../src/internal/metrics/policyRecorder.ts"
import { makeTable } from "../src/internal/metrics/series.ts"

const registered = (name: string): PolicyRegistry.Registered => ({
  name,
  policies: { bulkhead: Bulkhead.make() },
  snapshot: Effect.succeed({ name })
})

describe("the recorder of policies", () => {
  it("asks the clock as often for one that comes and goes, whether few or many have left before", () => {
    let looks = 0
    const table = makeTable(Context.make(Metric.MetricRegistry, new Map()), 100)
    const recorder = makePolicyRecorder(table, {
      keepMillis: 1000,
      nowMillis: () => {
        looks++
        return 0
      }
    })
    const looksOf = (name: string): number => {
      looks = 0
      const passing = registered(name)
      recorder.arrived(passing)
      recorder.left(passing)
      return looks
    }
    looksOf("first")
    const few = looksOf("second")
    for (let index = 0; index < 50; index++) looksOf(`tenant${index}`)
    assert.strictEqual(looksOf("last"), few)
  })
})

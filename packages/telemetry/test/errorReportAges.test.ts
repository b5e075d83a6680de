import { Effect } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as Reason from "@holdfast/core/Reason"
import * as ErrorReport from "../src/ErrorReport.ts"
import { call, failed, observers } from "./support/synthetic.ts"

const notFound = new Reason.NotFound({
  endpoint: "stock.internal:443",
  headers: {},
  body: "",
  bodyComplete: true,
  status: 404
})

describe("how long ago a group was seen", () => {
  it.effect("is told in the largest unit of which there are two, rounded down", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      callEnded(call(), failed(notFound))
      let passed = 0
      for (const [seconds, text] of [
        [0, "0s ago"],
        [119, "119s ago"],
        [120, "2m ago"],
        [179, "2m ago"],
        [7199, "119m ago"],
        [7200, "2h ago"],
        [10_799, "2h ago"],
        [172_799, "47h ago"],
        [172_800, "2d ago"],
        [259_199, "2d ago"],
        [864_000, "10d ago"]
      ] as const) {
        yield* TestClock.adjust((seconds - passed) * 1000)
        passed = seconds
        const [row = ""] = ErrorReport.markdown(yield* ErrorReport.read(), { examples: false })
          .split("\n")
          .slice(2)
        assert.include(row, `| ${text} | ${text} |`)
      }
    }).pipe(Effect.provide(ErrorReport.layer()))
  )
})

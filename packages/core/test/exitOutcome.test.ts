import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Exit } from "effect"
import { exitOutcome, outcomeOf } from "../src/internal/outcome/exitOutcome.ts"
import * as Outcome from "../src/Outcome.ts"
import * as Reason from "../src/Reason.ts"

describe("what an exit is where nobody says otherwise", () => {
  it("a success is one, a failure or a defect is transient, a limit of time is a timeout, a refusal was never sent", () => {
    const transient = Outcome.failure({ cause: "transient" })
    for (const [exit, outcome] of [
      [Exit.succeed(1), Outcome.success],
      [Exit.fail("x"), transient],
      [Exit.die("x"), transient],
      [Exit.fail(new Reason.AttemptTimeout({ limit: Duration.seconds(1) })), Outcome.failure({ cause: "timeout" })],
      [Exit.fail(new Reason.BulkheadFull({})), Outcome.failure({ cause: "refused", applied: "no" })],
      [Exit.interrupt(), Outcome.ignored]
    ] as const) {
      assert.deepStrictEqual(exitOutcome(exit), outcome)
    }
  })

  it("an interruption is the caller's will, whatever failed under it, and no classifier is asked", () => {
    const both = Exit.failCause(Cause.combine(Cause.fail("x"), Cause.interrupt()))
    const classify = (): Outcome.Outcome => Outcome.failure({ cause: "permanent" })
    assert.deepStrictEqual(outcomeOf("Some", both, classify), Outcome.ignored)
    assert.deepStrictEqual(outcomeOf("Some", Exit.fail("x"), classify), classify())
    assert.deepStrictEqual(outcomeOf("Some", Exit.succeed(1), classify), classify())
    assert.deepStrictEqual(outcomeOf("Some", Exit.succeed(1), undefined), Outcome.success)
  })
})

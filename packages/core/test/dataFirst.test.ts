import { Effect } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { isDataFirst } from "../src/internal/options/dataFirst.ts"

const given = (...args: ReadonlyArray<unknown>): IArguments =>
  (function () {
    return arguments
  })(...(args as []))

describe("dataFirst", () => {
  it("is said of a call whose first argument is the effect, whatever follows", () => {
    assert.isTrue(isDataFirst(given(Effect.void)))
    assert.isTrue(isDataFirst(given(Effect.void, "policy")))
  })

  it("is not said of one whose effect comes later, or not at all", () => {
    assert.isFalse(isDataFirst(given("policy")))
    assert.isFalse(isDataFirst(given("policy", Effect.void)))
    assert.isFalse(isDataFirst(given()))
  })
})

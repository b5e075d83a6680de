import { Arbitrary, Duration, Effect, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { sameOptions } from "../src/internal/policy/sameOptions.ts"

describe("sameOptions", () => {
  it("what says the same is the same, however deep", () => {
    assert.isTrue(sameOptions({ a: 1, b: { c: ["x", { d: true }] } }, { b: { c: ["x", { d: true }] }, a: 1 }))
    assert.isTrue(sameOptions(Number.NaN, Number.NaN))
    assert.isTrue(sameOptions({}, {}))
    assert.isTrue(sameOptions(undefined, undefined))
  })

  it("what says something else is not, however deep", () => {
    assert.isFalse(sameOptions({ a: 1 }, { a: 2 }))
    assert.isFalse(sameOptions({ a: { b: ["x"] } }, { a: { b: ["y"] } }))
    assert.isFalse(sameOptions(["x"], ["x", "y"]))
    assert.isFalse(sameOptions(["x", "y"], ["x"]))
    assert.isFalse(sameOptions({ a: 1 }, undefined))
    assert.isFalse(sameOptions(null, {}))
    assert.isFalse(sameOptions([], {}))
    assert.isFalse(sameOptions({ 0: "x" }, ["x"]))
    assert.isFalse(sameOptions(Duration.seconds(1), {}))
  })

  it("an option that is left out and one that is undefined are the same, on either side", () => {
    assert.isTrue(sameOptions({ a: 1 }, { a: 1, b: undefined }))
    assert.isTrue(sameOptions({ a: 1, b: undefined }, { a: 1 }))
    assert.isFalse(sameOptions({ a: 1 }, { a: 1, b: false }))
  })

  it("a time is the same however it is written, and another time is not", () => {
    for (const [one, other] of [
      ["1 minute", "60 seconds"],
      ["1 minute", Duration.minutes(1)],
      [Duration.millis(1500), "1500 millis"],
      [60_000, "1 minute"]
    ]) {
      assert.isTrue(sameOptions({ window: one }, { window: other }), `${String(one)} ${String(other)}`)
    }
    assert.isFalse(sameOptions({ window: "1 minute" }, { window: "61 seconds" }))
    assert.isFalse(sameOptions({ window: "1 minute" }, { window: undefined }))
    assert.isFalse(sameOptions({ window: "1 minute" }, { window: ["1 minute"] }))
  })

  it("a word is the same as itself only", () => {
    assert.isTrue(sameOptions({ mode: "observe" }, { mode: "observe" }))
    assert.isFalse(sameOptions({ mode: "observe" }, { mode: "enforce" }))
    assert.isFalse(sameOptions({ mode: "observe" }, { mode: undefined }))
  })

  it("a function is the same as itself only: what it does cannot be compared", () => {
    const openTime = () => 5
    assert.isTrue(sameOptions({ openTime }, { openTime }))
    assert.isFalse(sameOptions({ openTime }, { openTime: () => 5 }))
  })

  it.effect.prop(
    "it is reflexive and symmetric, and one number that differs is seen",
    [
      Arbitrary.array(
        Arbitrary.schema(
          Schema.Struct({
            name: Schema.Literals(["a", "b", "c", "d"]),
            number: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
            nested: Schema.Boolean
          })
        ),
        { maxLength: 6 }
      ),
      Arbitrary.array(
        Arbitrary.schema(
          Schema.Struct({
            name: Schema.Literals(["a", "b", "c", "d"]),
            number: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
            nested: Schema.Boolean
          })
        ),
        { maxLength: 6 }
      )
    ],
    ([left, right]) =>
      Effect.sync(() => {
        const build = (parts: typeof left) =>
          Object.fromEntries(parts.map(({ name, nested, number }) => [name, nested ? { list: [number] } : number]))
        const [one, other] = [build(left), build(right)]
        assert.isTrue(sameOptions(one, build(left)))
        assert.strictEqual(sameOptions(one, other), sameOptions(other, one))
        const text = (options: object) => JSON.stringify(Object.entries(options).toSorted())
        assert.strictEqual(sameOptions(one, other), text(one) === text(other))
      })
  )
})

import { Duration, Effect, Exit, Logger, Option, Result, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { CallError } from "../src/CallError.ts"
import * as ErrorCatalog from "../src/ErrorCatalog.ts"
import * as Nesting from "../src/Nesting.ts"
import * as ProblemDetails from "../src/ProblemDetails.ts"
import * as Reason from "../src/Reason.ts"

const lists = (levels: number) => "[".repeat(levels) + "]".repeat(levels)

const objects = (levels: number) => '{"a":'.repeat(levels) + "1" + "}".repeat(levels)

const texts: Schema.Codec<unknown> = Schema.Union([
  Schema.String,
  Schema.Number,
  Schema.Array(Schema.suspend((): Schema.Codec<unknown> => texts)),
  Schema.Record(
    Schema.String,
    Schema.suspend((): Schema.Codec<unknown> => texts)
  )
])

/** How deep a value is, by its definition. */
const levelsOf = (value: unknown): number =>
  typeof value === "object" && value !== null ? 1 + Math.max(0, ...Object.values(value).map(levelsOf)) : 0

describe("the levels of a value", () => {
  it.prop("are told of the value and of its text alike, whatever strings and names hold", [texts], ([value]) => {
    const levels = levelsOf(value)
    const text = JSON.stringify(value)
    assert.deepStrictEqual(
      [Nesting.isDeeper(value, levels), Nesting.isTextDeeper(text, levels)],
      [false, false],
      `${text} has ${levels} levels`
    )
    if (levels === 0) return
    assert.deepStrictEqual([Nesting.isDeeper(value, levels - 1), Nesting.isTextDeeper(text, levels - 1)], [true, true])
  })

  it("are not counted where brackets are text: behind escaped quotes, and in a string without an end", () => {
    for (const text of ['"[[["', '"\\"[[["', '"\\\\\\"[[["', '{"[[[":0}', '"[[[']) {
      assert.isFalse(Nesting.isTextDeeper(text, 1), text)
    }
    assert.isTrue(Nesting.isTextDeeper('["\\\\",[0]]', 1), "a string that ends with a backslash")
  })
})

describe("parseJson", () => {
  it("reads what has as many levels as there may be, and nothing that has one more", () => {
    for (const nested of [lists, objects]) {
      assert.isTrue(Result.isSuccess(Nesting.parseJson(nested(Nesting.maxLevels))))
      assert.deepStrictEqual(Nesting.parseJson(nested(Nesting.maxLevels + 1)), Result.fail("too-deep"))
    }
  })

  it("holds to the bound wherever in a text the levels are, and however long it is", () => {
    for (const padding of [0, 100, 20_000, 1_000_000]) {
      const before = JSON.stringify("x".repeat(padding))
      assert.deepStrictEqual(Nesting.parseJson(`[${before},${lists(Nesting.maxLevels)},0]`), Result.fail("too-deep"))
      assert.isTrue(Result.isSuccess(Nesting.parseJson(`[${before},${lists(Nesting.maxLevels - 1)},0]`)))
    }
    assert.deepStrictEqual(Nesting.parseJson(lists(4_000_000)), Result.fail("too-deep"))
  })

  it("says of what is no JSON that it is none", () => {
    assert.deepStrictEqual(Nesting.parseJson("{nope"), Result.fail("not-json"))
    assert.deepStrictEqual(Nesting.parseJson(""), Result.fail("not-json"))
  })
})

describe("cut", () => {
  it.prop("leaves nothing deeper than it was asked for, and what is not deeper as it was", [texts], ([value]) => {
    for (const levels of [1, 2, 3]) {
      const kept = Nesting.cut(value, levels)
      assert.isAtMost(levelsOf(kept), levels)
      if (levelsOf(value) <= levels) assert.isTrue(Object.is(kept, value))
    }
  })

  it("says where something is missing, and cuts what claims to have a form of its own, too", () => {
    assert.deepStrictEqual(Nesting.cut({ a: [1, [2]], b: 3 }, 2), { a: [1, "… (nested too deep)"], b: 3 })
    assert.deepStrictEqual(Nesting.cut(JSON.parse('{"toJSON":1,"a":[[2]]}'), 2), {
      toJSON: 1,
      a: ["… (nested too deep)"]
    })
  })
})

const failed = (reason: Reason.Reason) =>
  new CallError({
    upstream: "stock",
    operation: "GET /items",
    requestId: "r1",
    attempts: 1,
    elapsed: Duration.millis(1),
    retryStopped: "attempts",
    reason
  })

const deepest = 100_000

describe("an error that carries data of others", () => {
  const { NO_FUNDS } = ErrorCatalog.make("bank", { NO_FUNDS: { summary: "no funds" } })
  const errors = {
    "problem details": () =>
      failed(
        new Reason.NotFound({
          endpoint: "stock.internal:443",
          headers: {},
          body: "",
          bodyComplete: true,
          problem: { type: "about:blank", title: "gone", deep: JSON.parse(lists(deepest)) }
        })
      ),
    "a business error": () =>
      failed(new Reason.BusinessRejected({ entry: NO_FUNDS, status: 200, error: JSON.parse(objects(deepest)) }))
  }

  it.effect.each(["problem details", "a business error"] as const)(
    "is encoded, printed and logged however deep that is: %s",
    (which) =>
      Effect.gen(function* () {
        const error = errors[which]()
        const json = JSON.stringify(error)
        assert.include(json, "nested too deep")
        assert.isFalse(Nesting.isTextDeeper(json))
        const logged: Array<string> = []
        const logger = Logger.map(Logger.formatJson, (line) => void logged.push(line))
        yield* Effect.logError("failed", error).pipe(Effect.provide(Logger.layer([logger])))
        assert.lengthOf(logged, 1)
      })
  )

  it("is cut where it comes from a wire, which may have more levels than any stack", () => {
    for (const make of Object.values(errors)) {
      const wire = Schema.encodeSync(CallError)(make())
      const deeper = { ...wire, reason: { ...wire.reason, problem: { deep: JSON.parse(lists(deepest)) } } }
      const read = ProblemDetails.toCallError({ type: "about:blank", callError: deeper })
      assert.isTrue(Option.isSome(read))
      JSON.stringify(read)
    }
  })

  it("still fits into what is read when it went through several services", () => {
    let error = errors["problem details"]()
    for (let service = 0; service < 20; service++) {
      const text = JSON.stringify(ProblemDetails.fromCallError(error, { audience: "internal" }))
      const body = Result.getOrThrow(Nesting.parseJson(text))
      const problem = Option.getOrThrow(ProblemDetails.decode(body))
      error = failed(
        new Reason.BadGateway({ endpoint: "next.internal:443", headers: {}, body: "", bodyComplete: true, problem })
      )
    }
  })
})

describe("problem details", () => {
  it("are read however deep an extension is, without what is too deep in it", () => {
    const problem = ProblemDetails.decode({ title: "gone", deep: JSON.parse(lists(deepest)) })
    assert.strictEqual(Option.getOrThrow(problem).title, "gone")
    JSON.stringify(problem)
    assert.isTrue(Exit.isSuccess(Effect.runSyncExit(Effect.sync(() => JSON.stringify(problem)))))
  })
})

import { Effect, Exit, Logger, Result, Schema, Stream } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import * as Nesting from "@holdfast/core/Nesting"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as HttpPolicyJson from "../src/HttpPolicyJson.ts"
import * as PolicySource from "../src/PolicySource.ts"
import * as Rejection from "../src/Rejection.ts"
import { upstream } from "./support/stock.ts"

const { status } = ScriptedTransport

const deepest = 100_000

const lists = (levels: number) => "[".repeat(levels) + "]".repeat(levels)

const objects = (levels: number) => '{"child":'.repeat(levels) + "{}" + "}".repeat(levels)

interface Node {
  readonly child?: Node
}

const Node = Schema.Struct({ child: Schema.optionalKey(Schema.suspend((): Schema.Codec<Node> => Node)) })

type List = ReadonlyArray<List>

const List: Schema.Codec<List> = Schema.Array(Schema.suspend((): Schema.Codec<List> => List))

const answered = (body: string, code = 200, contentType = "application/json") => ({
  "*": [status(code, { headers: { "content-type": contentType }, body })]
})

describe("a deep body", () => {
  it.effect.each([
    ["lists", lists(deepest), List],
    ["objects", objects(deepest), Node],
    ["what has no schema of its own", objects(deepest), Schema.Unknown],
    ["lists that never end", "[".repeat(deepest), Schema.Unknown],
    ["a text with deep lists in it", `[${JSON.stringify("x".repeat(100_000))},${lists(deepest)}]`, Schema.Unknown]
  ] as const)("is a failure that says how deep one may be, and not the end of the fiber: %s", ([, body, schema]) =>
    upstream(
      answered(body),
      {}
    )((api) =>
      Effect.gen(function* () {
        const { reason } = yield* Effect.flip(api.get("/items", { decode: schema }))
        if (reason._tag !== "ResponseDecodeFailed") return assert.fail(reason._tag)
        assert.strictEqual(reason.issue, "nested more than 128 levels deep, which is more than is read")
        assert.isAtMost(reason.excerpt.length, 500)
      })
    )
  )

  it.effect("is read up to the bound, by a schema as deep as itself", () =>
    upstream(
      { "GET /lists": answered(lists(128))["*"], "GET /objects": answered(objects(127))["*"] },
      {}
    )((api) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* api.get("/lists", { decode: List }), JSON.parse(lists(128)))
        assert.deepStrictEqual(yield* api.get("/objects", { decode: Node }), JSON.parse(objects(127)))
      })
    )
  )

  it.effect("is no business error, and is given as it came to whoever asks without a schema", () =>
    Effect.gen(function* () {
      const { NO_FUNDS } = ErrorCatalog.make("bank", { NO_FUNDS: { summary: "no funds" } })
      const rejections = [Rejection.make(NO_FUNDS, List)]
      const text = lists(deepest)
      const answer = upstream(answered(text), {})((api) => api.get("/items", { rejections }))
      assert.strictEqual((yield* answer).text, text)
    })
  )

  it.effect.each([
    ["problem details", `{"title":"gone","deep":${lists(deepest)}}`],
    ["problem details as deep as a body may be", `{"title":"gone","deep":${lists(127)}}`],
    ["an error in JSON", lists(deepest)]
  ] as const)("of an error is printed, logged and encoded: %s", ([, body]) =>
    upstream(
      answered(body, 404, "application/problem+json"),
      {}
    )((api) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(api.get("/items"))
        assert.strictEqual(error.reason._tag, "NotFound")
        // the body is a text in it, whose brackets are no levels
        assert.isTrue(Result.isSuccess(Nesting.parseJson(JSON.stringify(error))))
        const logged: Array<string> = []
        const logger = Logger.map(Logger.formatJson, (line) => void logged.push(line))
        yield* Effect.logError("failed", error).pipe(Effect.provide(Logger.layer([logger])))
        assert.lengthOf(logged, 1)
      })
    )
  )
})

describe("a long body", () => {
  it.effect("that does not decode has its beginning in the error, and nothing at length", () =>
    Effect.gen(function* () {
      const body = JSON.stringify({ ["k".repeat(100_000)]: "v".repeat(100_000) })
      const keyed = Schema.Record(Schema.String, Schema.Number)
      for (const [schema, contentType] of [
        [keyed, "application/json"],
        [Schema.String, `text/${"x".repeat(100_000)}`]
      ] as const) {
        const error = yield* Effect.flip(
          upstream(answered(body, 200, contentType), {})((api) => api.get("/items", { decode: schema }))
        )
        assert.strictEqual(error.reason._tag, "ResponseDecodeFailed")
        assert.isBelow(JSON.stringify(error).length, 5000)
      }
    })
  )
})

const told = (problem: { readonly message: string }) => problem.message.split("\n")

describe("a policy that others wrote", () => {
  it.effect.each([
    ["lists", lists(deepest)],
    ["a stage", `{"retry":${objects(deepest)}}`],
    ["a time", `{"deadline":${lists(deepest)}}`]
  ] as const)("is refused when it is too deep, and the error says how deep it may be: %s", ([, text]) =>
    Effect.gen(function* () {
      const fromText = yield* Effect.flip(HttpPolicyJson.fromText(text))
      assert.deepStrictEqual(told(fromText), [
        "HttpPolicy: nested more than 128 levels deep, which is more than is read"
      ])
      // and what it was parsed to is no better
      const fromJson = yield* Effect.flip(HttpPolicyJson.fromJson(JSON.parse(text)))
      assert.isBelow(fromJson.message.length, 2000)
      JSON.stringify(fromJson)
    })
  )

  it.effect("is refused when it is too long, and the error says how long it may be", () =>
    Effect.gen(function* () {
      const text = JSON.stringify({ x: "x".repeat(2 ** 20) })
      assert.deepStrictEqual(told(yield* Effect.flip(HttpPolicyJson.fromText(text))), [
        `HttpPolicy: ${text.length} characters long; a policy has 1048576 at most`
      ])
    })
  )

  it.effect("is told of its first problems, and how many more there are", () =>
    Effect.gen(function* () {
      const unknown = Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`retry${at}`, at]))
      const lines = told(yield* Effect.flip(HttpPolicyJson.fromJson(unknown)))
      assert.strictEqual(lines.length, 51)
      assert.strictEqual(lines[0], "HttpPolicy: retry0 is not an option; did you mean retry?")
      assert.strictEqual(lines[50], "HttpPolicy: and 9950 more")
      const operations = Object.fromEntries(
        Array.from({ length: 200 }, (_, at) => [`GET /${at}`, { deadline: "0 millis" }])
      )
      assert.strictEqual(told(yield* Effect.flip(HttpPolicyJson.fromJson({ operations }))).length, 51)
    })
  )

  it.effect("is quoted in one line, however its names and values are written", () =>
    Effect.gen(function* () {
      const hostile = "a\u2028b\u202ec\u009bd"
      const lines = told(yield* Effect.flip(HttpPolicyJson.fromJson({ [hostile]: 1, deadline: hostile })))
      assert.strictEqual(lines.length, 2)
      for (const line of lines) assert.notMatch(line, /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u)
    })
  )

  it.effect("does not end whoever follows it", () =>
    upstream(
      {},
      {}
    )((api) =>
      Effect.gen(function* () {
        const texts = [lists(deepest), `{"deadline":${lists(deepest)}}`, '{"deadline":"1 second"}']
        const source = Stream.fromIterable([...texts, ...texts.map((text): unknown => JSON.parse(text))])
        const changes = yield* Stream.runCollect(PolicySource.follow(api, source))
        assert.deepStrictEqual(
          changes.map(({ _tag }) => _tag),
          ["Rejected", "Rejected", "Applied", "Rejected", "Rejected", "Applied"]
        )
        assert.isTrue(Exit.isSuccess(yield* Effect.exit(Effect.logWarning(changes))))
        assert.include(HttpPolicy.describe(api.policy), "deadline 1s")
      })
    )
  )
})

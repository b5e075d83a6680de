import { readFileSync } from "node:fs"
import { Ajv2020 } from "ajv/dist/2020.js"
import { Effect, Exit, Predicate, Result, Schema, SchemaAST } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as HttpPolicyJson from "../src/HttpPolicyJson.ts"
import * as PolicySource from "../src/PolicySource.ts"
import { readUpstreams } from "../src/internal/policy/policyFile.ts"
import { notesOf, policySchema } from "../src/internal/policy/policySchema.ts"
import { optionsOf, SomeFigures } from "./support/somePolicy.ts"

const ajv = new Ajv2020({ strict: true, allErrors: true, strictTypes: false })
ajv.addVocabulary(["enumDescriptions", "patternErrorMessage"])

const ofPolicy = ajv.compile(HttpPolicyJson.jsonSchema())
const ofUpstreams = ajv.compile(PolicySource.jsonSchema())

const isRead = (json: unknown): boolean => Exit.isSuccess(Effect.runSyncExit(HttpPolicyJson.fromJson(json)))

const encode = Schema.encodeSync(HttpPolicyJson.schema)

describe("the JSON Schema of policies", () => {
  it("is what the package ships", () => {
    for (const [name, schema] of [
      ["holdfast-policy.schema.json", HttpPolicyJson.jsonSchema()],
      ["holdfast-upstreams.schema.json", PolicySource.jsonSchema()]
    ] as const) {
      assert.deepStrictEqual(JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), "utf8")), schema)
      assert.strictEqual(schema["$schema"], "https://json-schema.org/draft/2020-12/schema")
    }
  })

  it.prop("a policy that is written passes, by itself and in a file of several", [SomeFigures], ([figures]) => {
    const json = encode(HttpPolicy.make(optionsOf(figures)))
    assert.isTrue(ofPolicy(json), JSON.stringify(ofPolicy.errors))
    assert.isTrue(ofUpstreams({ upstreams: { payments: json } }), JSON.stringify(ofUpstreams.errors))
  })

  /** The same JSON with another value at one of its places, chosen by a number. */
  const replaced = (json: unknown, place: number, value: unknown): unknown => {
    if (!Predicate.isObject(json)) return value
    const names = Object.keys(json)
    const name = names[place % (names.length + 1)]
    if (name === undefined) return value
    const further = Math.floor(place / (names.length + 1))
    return Object.fromEntries(
      Object.entries(json).map(([key, item]) => [key, key === name ? replaced(item, further, value) : item])
    )
  }

  it.prop(
    "whatever is read, passes",
    [
      SomeFigures,
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100_000 })),
      Schema.Union([
        Schema.Json,
        Schema.Number,
        Schema.Literals([
          false,
          0,
          1,
          0.5,
          -1,
          1e9,
          "5s",
          "2m 30s",
          "PT5S",
          "Infinity",
          "0",
          "-5s",
          "enforce",
          "observe",
          "x-left"
        ])
      ])
    ],
    ([figures, place, value]) => {
      const json: unknown = JSON.parse(
        JSON.stringify(replaced(encode(HttpPolicy.make(optionsOf(figures))), place, value) ?? null)
      )
      if (isRead(json)) assert.isTrue(ofPolicy(json), `${JSON.stringify(json)}: ${JSON.stringify(ofPolicy.errors)}`)
    },
    { arbitrary: { runs: 500, size: 20 } }
  )

  const right: ReadonlyArray<unknown> = [
    {},
    { $schema: "./node_modules/holdfast/holdfast-policy.schema.json", preset: "gentle", deadline: "2m 30s" },
    { deadline: "PT5S", attemptTimeout: { limit: "1s" }, hedge: {}, deadlineHeader: "x-left" },
    { operations: { "POST /charges": { retry: false, deadline: false } }, redirects: { max: 2 } },
    {
      breaker: {
        trip: [{ consecutiveFailures: 4 }, { countWindow: { size: 40 } }, { timeWindow: { duration: "1m" } }],
        openTime: { doubling: "2s" },
        counts: { permanent: "success" }
      }
    },
    {
      rateLimit: { limit: 0.5, onLimit: "refuse" },
      throttle: { rejections: ["throttle"] },
      limits: { drainTime: "1s" }
    }
  ]

  const wrong: ReadonlyArray<unknown> = [
    3,
    [],
    null,
    { preset: "agressive" },
    { deadlin: "5s" },
    { deadline: 5000 },
    { deadline: "soon" },
    { deadline: "2 Second" },
    { retry: true },
    { retry: { maxAttempts: "3" } },
    { retry: { maxAttempts: 0 } },
    { retry: { maxAttempts: 1.5 } },
    { retry: { maxAtempts: 3 } },
    { retry: { schedule: "1 second" } },
    { retry: { budget: { ratio: 11 } } },
    { rateLimit: {} },
    { attemptTimeout: {} },
    { breaker: { mode: "observed" } },
    { breaker: { trip: {} } },
    { breaker: { trip: [] } },
    { breaker: { trip: [{}] } },
    { breaker: { trip: [{ consecutiveFailures: 1, countWindow: { size: 1 } }] } },
    { throttle: { rejections: ["refused"] } },
    { deadlineHeader: 5 },
    { limits: { drainTime: false } },
    { operations: { "GET /a": { hedge: {} } } },
    { operations: { "GET /a": { bulkhead: {} } } },
    { operations: { charges: {} } },
    { operations: { "post /x": {} } }
  ]

  it("passes what is read, and fails what is refused", () => {
    for (const json of right) {
      assert.isTrue(isRead(json), JSON.stringify(json))
      assert.isTrue(ofPolicy(json), `${JSON.stringify(json)}: ${JSON.stringify(ofPolicy.errors)}`)
    }
    for (const json of wrong) {
      assert.isFalse(isRead(json), JSON.stringify(json))
      assert.isFalse(ofPolicy(json), JSON.stringify(json))
    }
  })

  it("so does the one of several upstreams", () => {
    const isFile = (json: unknown): boolean => {
      const read = readUpstreams(JSON.stringify(json))
      return Result.isSuccess(read) && [...read.success.values()].every(Result.isSuccess)
    }
    for (const json of [
      { upstreams: {} },
      {
        $schema: "./holdfast-upstreams.schema.json",
        upstreams: Object.fromEntries(right.toSpliced(1, 1).map((one, at) => [`u${at}`, one]))
      }
    ]) {
      assert.isTrue(isFile(json))
      assert.isTrue(ofUpstreams(json), JSON.stringify(ofUpstreams.errors))
    }
    for (const json of [
      {},
      [],
      { upstreams: [] },
      { upstream: { payments: {} } },
      { upstreams: {}, deadline: "5s" },
      ...wrong.map((one) => ({ upstreams: { payments: one } }))
    ]) {
      assert.isFalse(isFile(json), JSON.stringify(json))
      assert.isFalse(ofUpstreams(json), JSON.stringify(json))
    }
  })

  it("leaves the words of a time to its option, and says what a wrong one must be", () => {
    const { $defs } = HttpPolicyJson.jsonSchema()
    const time: unknown = Predicate.hasProperty($defs, "Time") ? $defs.Time : undefined
    assert.notProperty(time, "description")
    assert.nestedPropertyVal(time, "patternErrorMessage", 'Must be a time in words, such as "250ms", "5s" or "2m 30s".')
  })

  it("has a description for everything that may be written", () => {
    const without: Array<string> = []
    const look = (schema: unknown, path: string): void => {
      if (!Predicate.isObject(schema)) return
      for (const [name, inside] of Object.entries(schema)) {
        if (name === "properties" && Predicate.isObject(inside)) {
          for (const [option, one] of Object.entries(inside)) {
            if (!Predicate.hasProperty(one, "description") && !Predicate.hasProperty(one, "$ref"))
              without.push(`${path}.${option}`)
          }
        }
        look(inside, `${path}.${name}`)
      }
    }
    look(HttpPolicyJson.jsonSchema(), "")
    assert.deepStrictEqual(without, [])
  })
})

/** Every option that has a range, with its path. */
const ranged = (
  ast: SchemaAST.AST,
  path: ReadonlyArray<string>
): ReadonlyArray<readonly [path: ReadonlyArray<string>, range: string, isTime: boolean]> => {
  if (SchemaAST.isUnion(ast)) return ast.types.flatMap((one) => ranged(one, path))
  if (SchemaAST.isObjects(ast)) {
    return ast.propertySignatures.flatMap(({ name, type }) => ranged(type, [...path, String(name)]))
  }
  const { takes = "", text } = notesOf(ast)
  return SchemaAST.isNumber(ast) || text === "time" ? [[path, takes, text === "time"]] : []
}

describe("the bounds that the schema tells", () => {
  /** What else a policy must say for one of its options to stand alone. */
  const besides: { readonly [stage: string]: object } = {
    rateLimit: { limit: 1e6 },
    hedge: { maximumExtraLoad: 1 },
    adaptiveConcurrency: {
      minimumLimit: 1,
      initialLimit: 1,
      maximumLimit: 100_000,
      shortestWindow: "1 milli",
      longestWindow: "10m"
    },
    breaker: { slowCallDuration: "1s", openTime: "1 milli", maxOpenTime: "1000 days" },
    attemptTimeout: { limit: "50 days", floor: "1 nano", ceiling: "90 days" },
    "retry.backoff": { base: "1 nano", cap: "90 days" }
  }

  const policyWith = (path: ReadonlyArray<string>, value: unknown): object => {
    const built = path.reduceRight<unknown>((inside, name, at) => {
      const stage = path.slice(0, at).join(".")
      return { ...besides[stage], [name]: inside }
    }, value)
    return { preset: "none", ...(built as object) }
  }

  const rows = ranged(policySchema.ast, []).filter(([path]) => path[0] !== "operations")

  it("are many", () => assert.isAbove(rows.length, 60))

  for (const [path, takes, isTime] of rows) {
    it(`${path.join(".")}: ${takes}`, () => {
      const bound = (pattern: RegExp): string | undefined => pattern.exec(takes)?.[1]
      const asValue = (given: string): unknown => (isTime ? given : Number(given))
      const least = bound(/(?:from|at least) ([\d.]+\w*)/)
      const most = bound(/(?:to|at most) ([\d.]+\w*)/)
      const above = bound(/above ([\d.]+)/)
      const below = bound(/below ([\d.]+)/)
      assert.isTrue(
        [least, most, above, below].some((one) => one !== undefined),
        "has a bound"
      )
      for (const one of [least, most].filter((text) => text !== undefined)) {
        const json = policyWith(path, asValue(one))
        const read = Effect.runSyncExit(HttpPolicyJson.fromJson(json))
        assert.isTrue(Exit.isSuccess(read), `${one} is within: ${String(read)}`)
      }
      const outside = isTime
        ? [
            least === undefined ? "0" : `-${least === "0" ? "1ms" : least}`,
            ...(most === undefined ? [] : [`${most} 1ms`])
          ]
        : [
            ...(least === undefined ? [] : [Number(least) - 0.0001]),
            ...(most === undefined ? [] : [Number(most) + 0.0001]),
            ...(above === undefined ? [] : [Number(above)]),
            ...(below === undefined ? [] : [Number(below)])
          ]
      for (const value of outside) {
        assert.isFalse(isRead(policyWith(path, value)), `${String(value)} is without`)
      }
    })
  }
})

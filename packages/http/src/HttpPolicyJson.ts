/**
 * A policy as JSON and back: for a file that an operator edits, a table of upstreams, a control plane.
 *
 * **When to use**: when who runs the service must be able to change how it calls, without a build. `PolicySource` reads the
 * environment and files with it, and puts what it reads in force.
 *
 * **What it is not**: another language. The names are those of `HttpPolicy.Options`, at every depth; a stage is its options,
 * or `false`. `"preset"` names the values of options that are left out: `"standard"` unless given, `"aggressive"`, `"gentle"`, or
 * `"none"`, which is exactly the stages that are written, like `HttpPolicy.make`.
 *
 * **Gotchas**
 *
 * - Times are words: `"2 seconds"`, `"500 millis"`. A bare number is refused, because nobody knows its unit.
 * - A stage that is written takes the place of the preset's, as in code: `"retry": { "maxAttempts": 2 }` has the usual
 *   back-off, not the preset's.
 * - A trip rule is written like its constructor: `"trip": [{ "consecutiveFailures": 5 }]`; an open time that doubles is
 *   `"openTime": { "doubling": "5 seconds" }`.
 * - Functions cannot be data: a policy with a `schedule` of its own does not encode, and says so.
 * - `"$schema"` is for editors, and forgotten: the package ships `holdfast-policy.schema.json`, by which they complete and check.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { HttpPolicy, HttpPolicyJson } from "holdfast"
 *
 * const policy = HttpPolicyJson.fromText(`{
 *   "preset": "gentle",
 *   "deadline": "2 minutes",
 *   "attemptTimeout": "10 seconds",
 *   "throttle": false,
 *   "bulkhead": { "maxConcurrent": 2, "maxWait": "30 seconds" },
 *   "operations": { "POST /reports": { "retry": false } }
 * }`)
 * console.log(HttpPolicy.describe(await Effect.runPromise(policy)))
 * // => deadline 2m → retry 6 attempts, exponential from 1s to 1m, full jitter, budget 10% + 1/s → breaker 10 in a row or 50% of 20 in 30s, open 1s → bulkhead 2 + 10 waiting → attempt timeout 10s → 1 operation with settings of their own
 *
 * const typing = HttpPolicyJson.fromText('{ "retry": { "maxAtempts": 5 }, "deadline": 10000 }')
 * console.log((await Effect.runPromise(Effect.flip(typing))).message)
 * // => HttpPolicy: retry.maxAtempts is not an option; did you mean maxAttempts?
 * // => HttpPolicy: deadline must be a time in words, such as "2 seconds", or false, got 10000; if these are milliseconds, write "10 seconds"
 * ```
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import type * as JsonSchema from "effect/JsonSchema"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import type { HttpPolicy } from "./HttpPolicy.ts"
import { inLines, type Problems } from "./internal/policy/found.ts"
import { readPolicy, writePolicy } from "./internal/policy/policyData.ts"
import { policyJsonSchema } from "./internal/policy/policyJsonSchema.ts"
import { isHttpPolicy } from "./internal/policy/policyOrigin.ts"
import { parseText } from "./internal/policy/policyReader.ts"

/** Without the value that is wrong: it may be too deep to be printed. */
const invalid = (problems: Problems): SchemaIssue.Issue => new SchemaIssue.InvalidValue({ message: inLines(problems) })

const orIssue = <A>(result: Result.Result<A, Problems>): Effect.Effect<A, SchemaIssue.Issue> =>
  Effect.fromResult(Result.mapError(result, invalid))

/**
 * The codec between a checked policy and its JSON. All faults are told at once, a line each: options that do not exist (with
 * the one that was probably meant), values of another kind (with where, what was got, and what would be right), values out of
 * range, stages that contradict each other.
 *
 * ```ts
 * import { Schema } from "effect"
 * import { HttpPolicy, HttpPolicyJson } from "holdfast"
 *
 * const policy = HttpPolicy.make({ deadline: 5000, bulkhead: { maxConcurrent: 8 } })
 * const json = Schema.encodeSync(HttpPolicyJson.schema)(policy)
 * console.log(JSON.stringify(json)) // => {"preset":"none","deadline":"5 seconds","bulkhead":{"maxConcurrent":8}}
 *
 * // in a schema of your own: where an upstream is, and how it is called
 * const Settings = Schema.Struct({ baseUrl: Schema.String, policy: HttpPolicyJson.schema })
 * const stock = Schema.decodeUnknownSync(Settings)({
 *   baseUrl: "https://stock.internal",
 *   policy: { deadline: "1 second", breaker: false, retry: false }
 * })
 * console.log(HttpPolicy.describe(stock.policy)) // => deadline 1s → attempt timeout 1s
 * ```
 *
 * @category schemas
 * @since 0.1.0
 */
export const schema: Schema.Codec<HttpPolicy, unknown> = Schema.Unknown.pipe(
  Schema.decodeTo(
    Schema.declare(isHttpPolicy, { expected: "an HttpPolicy" }),
    SchemaTransformation.transformEffect({
      decode: (value: unknown) => orIssue(readPolicy(value)),
      encode: (policy: HttpPolicy): Effect.Effect<unknown, SchemaIssue.Issue> => orIssue(writePolicy(policy))
    })
  )
)

const parsed = (text: string): Result.Result<unknown, Problems> =>
  Result.mapError(parseText(text), (problem) => [problem])

/**
 * A policy from parsed JSON.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromJson = (value: unknown): Effect.Effect<HttpPolicy, Schema.SchemaError> =>
  Effect.mapError(orIssue(readPolicy(value)), (issue) => new Schema.SchemaError(issue))

/**
 * A policy from JSON text, of 1 MiB and `Nesting.maxLevels` levels at most. Of what is wrong with it the first 50 are told.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromText = (text: string): Effect.Effect<HttpPolicy, Schema.SchemaError> =>
  Effect.mapError(orIssue(Result.flatMap(parsed(text), readPolicy)), (issue) => new Schema.SchemaError(issue))

/**
 * A policy as JSON text, two spaces deep: all its stages, and `"preset": "none"`, so that it means the same whatever a preset
 * comes to be. Fails for a policy with a function in it.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toText = (policy: HttpPolicy): Effect.Effect<string, Schema.SchemaError> =>
  Effect.mapBoth(orIssue(writePolicy(policy)), {
    onFailure: (issue) => new Schema.SchemaError(issue),
    onSuccess: (json) => JSON.stringify(json, undefined, 2)
  })

/**
 * The JSON Schema (draft 2020-12) of a policy's file, by which editors complete and check it. It is what
 * `holdfast-policy.schema.json` holds, which the package ships: name it in the file, as `"$schema"`.
 *
 * ```ts
 * import { HttpPolicyJson } from "holdfast"
 *
 * const { properties } = HttpPolicyJson.jsonSchema()
 * console.log(JSON.stringify(properties).includes("maxAttempts")) // => true
 * ```
 *
 * @category schemas
 * @since 0.1.0
 */
export const jsonSchema = (): JsonSchema.JsonSchema => policyJsonSchema()

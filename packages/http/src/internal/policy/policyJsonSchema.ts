/** The schemas of policies as JSON Schema, for editors and for programs that check a file before it is put in place. */

import type * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Time from "@holdfast/core/Time"
import { policySchema, upstreamsSchema } from "./policySchema.ts"

/** Without the options that only code has, which a file must not have; and what a time is, said once. */
const ofData = (schema: unknown): unknown => {
  if (Array.isArray(schema)) return schema.map(ofData)
  if (!Predicate.isObject(schema)) return schema
  const isTime = "pattern" in schema && schema.pattern === Time.pattern.source
  const own = isTime ? { ...schema, type: undefined, pattern: undefined, $ref: "#/$defs/Time" } : schema
  // a whole number that is too large to be exact is one all the same
  const isSaid = (value: unknown): boolean =>
    value !== undefined && value !== Number.MAX_SAFE_INTEGER && !(Predicate.isObject(value) && "not" in value)
  return Object.fromEntries(
    Object.entries(own).flatMap(([key, value]) => (isSaid(value) ? [[key, ofData(value)]] : []))
  )
}

/** It has no description: editors would show that and not the one of the option. */
const time = {
  type: "string",
  pattern: Time.pattern.source,
  patternErrorMessage: 'Must be a time in words, such as "250ms", "5s" or "2m 30s".',
  examples: ["250ms", "5s", "2m 30s", "1h", "2 seconds", "PT5S"]
}

const documentOf = (title: string, described: Schema.Top): JsonSchema.JsonSchema => {
  const { definitions, schema } = Schema.toJsonSchemaDocument(described, {
    onExcessProperty: "error",
    includeAnnotationKey: (key) => key === "enumDescriptions"
  })
  // both are made of objects
  const [root, parts] = [ofData(schema), ofData(definitions)] as [JsonSchema.JsonSchema, JsonSchema.Definitions]
  return { $schema: "https://json-schema.org/draft/2020-12/schema", title, ...root, $defs: { ...parts, Time: time } }
}

export const policyJsonSchema = (): JsonSchema.JsonSchema => documentOf("The policy of an upstream", policySchema)

export const upstreamsJsonSchema = (): JsonSchema.JsonSchema =>
  documentOf("The policies of several upstreams", upstreamsSchema)

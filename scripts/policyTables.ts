// The tables of the options of policies, from the schema that policies are read by.

import type { Schema } from "effect"
import { SchemaAST } from "effect"
import {
  notesOf,
  optionsSchema,
  retrySchema,
  stages,
  upstreamsSchema
} from "../packages/http/src/internal/policy/policySchema.ts"
import { table } from "./markdownTable.ts"

const takes = (ast: SchemaAST.AST): string => {
  const said = notesOf(ast).takes
  if (said !== undefined) return said.replaceAll('"', "`")
  switch (ast._tag) {
    case "Union":
      return ast.types.map(takes).join(", or ")
    case "Literal":
      return `\`${String(ast.literal)}\``
    case "Arrays":
      return "a list"
    default:
      return SchemaAST.isObjects(ast) && ast.indexSignatures.length > 0 ? "an object by name" : "its options"
  }
}

const shown = (value: unknown): string =>
  typeof value === "string"
    ? `\`${value}\``
    : Array.isArray(value)
      ? value.map(shown).join(", ")
      : typeof value === "object"
        ? Object.entries(value ?? {})
            .map(([name, item]) => `${name}: ${shown(item)}`)
            .join(", ")
        : String(value)

/** The options of a schema, a row each. */
const optionTable = (schema: Schema.Top): string => {
  if (!SchemaAST.isObjects(schema.ast)) throw new Error("the schema is not one of options")
  const needs = notesOf(schema.ast).needs ?? []
  const rows = schema.ast.propertySignatures.map(({ name, type }) => {
    const { leftOut, words } = notesOf(type)
    const { default: value, description } = SchemaAST.resolve(type) ?? {}
    const meaning =
      leftOut ?? (value === undefined ? (needs.includes(String(name)) ? "it must be said" : "–") : shown(value))
    return [`\`${String(name)}\``, takes(type), meaning, String(words ?? description ?? "")]
  })
  return table(["option", "takes", "default", "what it is"], rows)
}

const dashed = (name: string): string => name.replace(/(?<=[a-z])[A-Z]/g, (letter) => `-${letter}`).toLowerCase()

/** By the name of their part: `options-of-retry-budget`. */
export const optionTables: { readonly [name: string]: () => string } = Object.fromEntries(
  Object.entries({ ...stages, Retry: retrySchema, Policy: optionsSchema, UpstreamsFile: upstreamsSchema }).map(
    ([name, schema]) => [`options-of-${dashed(name)}`, () => optionTable(schema)] as const
  )
)

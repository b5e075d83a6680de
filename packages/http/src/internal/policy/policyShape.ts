/**
 * A schema of policies as its readers see it: which of the few kinds of values it takes. Effect's own parser tells where a value does not
 * fit; these kinds tell which value was probably meant, and read the texts of an environment, whose types the schema says.
 */

import type * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import { type Notes, notesOf } from "./policySchema.ts"

/** A value without parts. */
export type Scalar =
  | { readonly _tag: "Time" }
  | { readonly _tag: "Number" }
  | { readonly _tag: "Text"; readonly what: string }
  | { readonly _tag: "Word"; readonly words: ReadonlyArray<string> }

/** An option, and what else may lead to it. */
export interface Field {
  readonly shape: Shape
  readonly meant: ReadonlyArray<string>
}

/** Options under fixed names. */
export interface Fields {
  readonly _tag: "Fields"
  readonly fields: { readonly [name: string]: Field }
  readonly needs: ReadonlyArray<string>
  readonly choice: Notes["choice"]
  /** Names that are taken and forgotten. */
  readonly forgotten: ReadonlyArray<string>
}

/** Values under any name, or under those of operations. */
export interface Names {
  readonly _tag: "Names"
  readonly of: Shape
  readonly areOperations: boolean
}

export interface List {
  readonly _tag: "List"
  readonly of: Shape
}

/** The values that an option takes: any of the members that are set. */
export interface Shape {
  /** Whether `false` switches it off. */
  readonly off?: boolean
  readonly scalar?: Scalar
  readonly inside?: Fields | Names | List
  readonly code?: Notes["code"]
}

const known = new WeakMap<SchemaAST.AST, Shape>()

export const shapeOf = (ast: SchemaAST.AST): Shape => {
  const shape = known.get(ast) ?? seen(ast)
  known.set(ast, shape)
  return shape
}

const seen = (ast: SchemaAST.AST): Shape => {
  const { code, needs = [], choice, takes = "a text", text } = notesOf(ast)
  switch (ast._tag) {
    case "Union": {
      const parts = ast.types.map(shapeOf)
      const words = parts.flatMap(({ scalar }) => (scalar?._tag === "Word" ? scalar.words : []))
      return Object.assign({}, ...parts, words.length > 0 && { scalar: { _tag: "Word", words } }, code && { code })
    }
    case "Literal":
      return ast.literal === false ? { off: true } : { scalar: { _tag: "Word", words: [String(ast.literal)] } }
    case "String":
      return { scalar: text === "time" ? { _tag: "Time" } : { _tag: "Text", what: takes } }
    case "Number":
      return { scalar: { _tag: "Number" } }
    case "Arrays":
      return { inside: { _tag: "List", of: ast.rest[0] === undefined ? {} : shapeOf(ast.rest[0]) } }
    case "Objects": {
      const [names] = ast.indexSignatures
      if (names !== undefined) {
        const areOperations = names.parameter.checks !== undefined
        return { inside: { _tag: "Names", of: shapeOf(names.type), areOperations } }
      }
      const [forgotten = [], fields = []] = [true, false].map((isForgotten) =>
        ast.propertySignatures.filter(({ type }) => (notesOf(type).forgotten === true) === isForgotten)
      )
      const entries = fields.map(({ name, type }) => {
        return [String(name), { shape: shapeOf(type), meant: notesOf(type).meant ?? [] }] as const
      })
      return {
        inside: {
          _tag: "Fields",
          fields: Object.fromEntries(entries),
          needs,
          choice,
          forgotten: forgotten.map(({ name }) => String(name))
        }
      }
    }
    default:
      return code === undefined ? {} : { code }
  }
}

/** The fields of a schema of options, by their names. */
export const fieldsOf = (schema: Schema.Top): Fields => {
  const { inside } = shapeOf(schema.ast)
  if (inside?._tag !== "Fields") throw new Error("the schema is not one of options")
  return inside
}

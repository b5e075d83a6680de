/** The words of an error for a value that a schema refused, and the value's place. */

import type * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type { Issue } from "./pathTemplate.ts"

const format = SchemaIssue.makeFormatterStandardSchemaV1()

/** Longest issue and place that an error repeats: they quote what was got, which may be anything. */
const longest = 200

/** The beginning of a text of others. */
export const bounded = (text: string): string => (text.length <= longest ? text : `${text.slice(0, longest)}…`)

const segment = (key: PropertyKey | { readonly key: PropertyKey }): string => {
  const name = typeof key === "object" ? key.key : key
  return typeof name === "number" ? `[${name}]` : `.${String(name)}`
}

/** The first thing that a schema found wrong, and where: `json.items[0].price`. */
export const bodyIssue = (root: string, error: Schema.SchemaError): Issue => {
  const first = format(error.issue).issues[0]
  const path = (first?.path ?? []).map(segment).join("")
  return {
    path: bounded(root === "" ? path.replace(/^\./, "") : `${root}${path}`),
    issue: bounded((first?.message ?? error.message).replace(/\s+/g, " "))
  }
}

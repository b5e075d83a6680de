/** The options that a request may be given, and the words for one that there is not: without types a slip would send less than was meant. */

import type { RequestOptions } from "../../Request.ts"
import { nearestName } from "../policy/nearestName.ts"
import type { Issue } from "./pathTemplate.ts"

/** Typed by the options, so that one without a place here does not compile. */
const options: { readonly [K in keyof Required<RequestOptions> | "decode" | "maxBytes" | "params"]: true } = {
  params: true,
  query: true,
  headers: true,
  json: true,
  encode: true,
  form: true,
  text: true,
  bytes: true,
  stream: true,
  streamReplayable: true,
  contentType: true,
  idempotencyKey: true,
  expectedStatus: true,
  rejections: true,
  decode: true,
  maxBytes: true
}

const names = Object.keys(options)

/** Asked for every request: a set is quicker than the object. */
const known: ReadonlySet<string> = new Set(names)

/** Names that other clients have for the same. */
const elsewhere: { readonly [name: string]: string } = {
  body: "json",
  data: "json",
  searchParams: "query",
  schema: "decode"
}

/** The first option that there is not. */
export const unknownOption = (given: object): Issue | undefined => {
  for (const name in given) if (!known.has(name)) return notAnOption(name)
  return undefined
}

const notAnOption = (name: string): Issue => {
  const meant = (Object.hasOwn(elsewhere, name) ? elsewhere[name] : undefined) ?? nearestName(name, names)
  const hint = meant === undefined ? `there are ${names.join(", ")}` : `did you mean ${meant}?`
  return { path: name, issue: `is not an option of a request; ${hint}` }
}

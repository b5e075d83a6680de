/**
 * How deep the data of others may be nested. A few thousand brackets are a short text, and code that walks their value, such as a
 * schema or `JSON.stringify`, runs out of stack: a defect, from data. So data from elsewhere has a bound, and deeper data is not
 * read.
 *
 * **When to use**: for JSON that another program wrote, before anything walks it.
 *
 * **What it is not**: a bound on size. The reader of the bytes has that one.
 *
 * @since 0.1.0
 */

import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"

/**
 * The most arrays and objects inside of each other that are read: of a body, of a policy, of anything that others wrote. As deep as
 * any document that people make, and a tenth of the depth that a schema has stack for.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxLevels = 128

/**
 * The most of them that an error carries on: an error that crosses a few services, each of which puts it in its own, still fits into
 * {@link maxLevels}.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxCarriedLevels = 32

/**
 * The fault of a deeper text, in words.
 *
 * @category constants
 * @since 0.1.0
 */
export const tooDeep = `nested more than ${maxLevels} levels deep, which is more than is read`

const isParent = (value: unknown): value is object => typeof value === "object" && value !== null

/**
 * Whether a value has more arrays and objects inside of each other than `levels`; default {@link maxLevels}.
 *
 * ```ts
 * import { Nesting } from "holdfast"
 *
 * console.log(Nesting.isDeeper({ a: [1] }, 2), Nesting.isDeeper({ a: [[1]] }, 2)) // => false true
 * ```
 *
 * @category guards
 * @since 0.1.0
 */
export const isDeeper = (value: unknown, levels: number = maxLevels): boolean => {
  if (!isParent(value)) return false
  if (levels === 0) return true
  if (Array.isArray(value)) {
    for (const item of value) if (isDeeper(item, levels - 1)) return true
    return false
  }
  // without a list of the values: most bodies are small, and this is asked of each; an object is read by its names
  const record = value as { readonly [name: string]: unknown }
  for (const name in record) if (isDeeper(record[name], levels - 1)) return true
  return false
}

/**
 * The same for JSON text, in one pass and without parsing: V8 takes seconds to parse brackets as deep as a body may be long.
 *
 * @category guards
 * @since 0.1.0
 */
export const isTextDeeper = (text: string, levels: number = maxLevels): boolean => {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) {
      at = endOfString(text, at)
      if (at === -1) return false
    } else if ((code | lowerCase) === openBrace) {
      depth++
      if (depth > levels) return true
    } else if ((code | lowerCase) === closeBrace) {
      depth--
    }
  }
  return false
}

const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
/** The bit that tells `{` from `[`, and `}` from `]`. */
const lowerCase = 0x20

/** Where the string ends that begins here; -1 when it does not. */
const endOfString = (text: string, start: number): number => {
  let at = start
  do at = text.indexOf('"', at + 1)
  while (at !== -1 && isEscaped(text, at))
  return at
}

const isEscaped = (text: string, at: number): boolean => {
  let first = at
  while (text.charCodeAt(first - 1) === backslash) first--
  return (at - first) % 2 === 1
}

/** A shorter text has no room for more levels. */
const shortestDeep = 2 * maxLevels + 1

/** To parse a text of this length costs little at any depth, and to walk the result less than to read the text twice. */
const longestParsedFirst = 16 * 1024

/**
 * JSON within {@link maxLevels}, or which of the two it is not.
 *
 * ```ts
 * import { Nesting } from "holdfast"
 * import { Result } from "effect"
 *
 * console.log(Result.getOrThrow(Nesting.parseJson('{"a":1}'))) // => { a: 1 }
 * console.log(Result.getFailure(Nesting.parseJson("[".repeat(200) + "]".repeat(200)))) // => { _id: 'Option', _tag: 'Some', value: 'too-deep' }
 * ```
 *
 * @category parsing
 * @since 0.1.0
 */
export const parseJson = (text: string): Result.Result<unknown, "not-json" | "too-deep"> => {
  const isLong = text.length > longestParsedFirst
  if (isLong && isTextDeeper(text)) return tooDeepJson
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return notJson
  }
  return !isLong && text.length >= shortestDeep && isDeeper(value) ? tooDeepJson : Result.succeed(value)
}

const notJson = Result.fail("not-json" as const)
const tooDeepJson = Result.fail("too-deep" as const)

/** The mark in place of a part that was cut off. */
const cutOff = "… (nested too deep)"

/**
 * The value with everything deeper than `levels` cut off and a word in its place; the value itself when nothing is. Default
 * {@link maxCarriedLevels}.
 *
 * ```ts
 * import { Nesting } from "holdfast"
 *
 * console.log(Nesting.cut({ id: 7, tags: ["a"] }, 1)) // => { id: 7, tags: '… (nested too deep)' }
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const cut = (value: unknown, levels: number = maxCarriedLevels): unknown =>
  isDeeper(value, levels) ? shallow(value, levels) : value

/** A copy, since other holders of the value are to keep it whole. */
const shallow = (value: unknown, levels: number): unknown => {
  if (!isParent(value)) return value
  if (levels === 0) return cutOff
  if (Array.isArray(value)) return value.map((item) => shallow(item, levels - 1))
  // a date, and any other value with a form of its own; a parsed value has no functions
  if (Predicate.hasProperty(value, "toJSON") && Predicate.isFunction(value.toJSON)) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, shallow(item, levels - 1)]))
}

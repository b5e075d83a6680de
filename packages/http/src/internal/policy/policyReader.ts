/** Reads the policies of code, data and the environment by their schema, and names the value that was probably meant for each problem. */

import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Nesting from "@holdfast/core/Nesting"
import * as Time from "@holdfast/core/Time"
import { Found } from "./found.ts"
import { nearestName } from "./nearestName.ts"
import { type Fields, type Scalar, type Shape, shapeOf } from "./policyShape.ts"
import { operationPattern } from "./policySchema.ts"
import { timeInWords } from "./timeInWords.ts"

/** A value as an environment holds it: text, whatever it stands for, and where it was found. */
export class Written {
  readonly text: string
  readonly name: string
  constructor(text: string, name: string) {
    this.text = text
    this.name = name
  }
}

const longestShown = 60

const clipped = (text: string): string => (text.length <= longestShown ? text : `${text.slice(0, longestShown)}…`)

/** A value in a message: what it is, and not more of it than a line holds. */
export const shown = (value: unknown): string => {
  if (value === undefined) return "nothing"
  if (Predicate.isFunction(value)) return "a function"
  if (Predicate.isString(value)) return clipped(JSON.stringify(value.slice(0, longestShown + 1)))
  if (!Predicate.isObjectOrArray(value)) return clipped(String(value))
  try {
    // a few levels are more than there is room for, and all of them may be more than there is stack for
    return clipped(JSON.stringify(Nesting.cut(value, 4)))
  } catch {
    return "an object that JSON cannot show"
  }
}

/** The longest text of a policy that is read, in characters. */
export const longestText = 1024 * 1024

/** The value of a JSON text, or words for another text. */
export const parseText = (text: string): Result.Result<unknown, string> => {
  if (text.length > longestText) {
    return Result.fail(`${text.length} characters long; a policy has ${longestText} at most`)
  }
  if (Nesting.isTextDeeper(text)) return Result.fail(Nesting.tooDeep)
  try {
    return Result.succeed(JSON.parse(text))
  } catch (error) {
    return Result.fail(`not JSON: ${error instanceof SyntaxError ? error.message : String(error)}`)
  }
}

/** The place of a name below another: `retry.maxAttempts`, `operations["POST /charges"]`. */
export const below = (path: string, name: string): string => {
  if (name.length > longestShown || !/^[A-Za-z_$][\w$]*$/.test(name)) {
    return `${path}[${JSON.stringify(clipped(name))}]`
  }
  return path === "" ? name : `${path}.${name}`
}

// ---------------------------------------------------------------------------------------------------------------------
// hints at the right value
// ---------------------------------------------------------------------------------------------------------------------

const scalarInWords = (scalar: Scalar): string => {
  switch (scalar._tag) {
    case "Time":
      return 'a time in words, such as "2 seconds"'
    case "Number":
      return "a number"
    case "Text":
      return scalar.what
    case "Word":
      return `one of ${scalar.words.map((word) => `"${word}"`).join(", ")}`
  }
}

/** A list with one of the items that it may have. */
const listInWords = ({ inside, scalar }: Shape, isCode: boolean): string => {
  const choice = inside?._tag === "Fields" ? inside.choice : undefined
  if (choice !== undefined) return `a list such as [${isCode ? choice.example : choice.exampleOfData}]`
  return scalar?._tag === "Word" ? `a list such as ["${scalar.words[0]}"]` : "a list"
}

const insideInWords = (inside: NonNullable<Shape["inside"]>, isCode: boolean): string => {
  if (inside._tag === "List") return listInWords(inside.of, isCode)
  if (inside._tag === "Names") return `an object whose names are ${inside.areOperations ? "operations" : "upstreams"}`
  const [needed] = inside.needs
  return needed === undefined ? "an object of its options ({} for the defaults)" : `an object with ${needed}`
}

/** The values that a shape takes, in words. */
export const wanted = (shape: Shape, isCode = false): string =>
  [
    shape.scalar && scalarInWords(shape.scalar),
    shape.inside && insideInWords(shape.inside, isCode),
    shape.off === true ? "false" : undefined
  ]
    .filter((text) => text !== undefined)
    .join(", or ")

/** The right form of a time that was written in another way. */
const timeHint = (value: unknown): string => {
  // lists in lists have no text, at some depth
  if (!Predicate.isString(value) && !Predicate.isNumber(value)) return ""
  const text = String(value).trim().toLowerCase()
  const asMillis = /^\d+(\.\d+)?$/.test(text) ? Time.fromInput(Number(text)) : Option.none()
  if (Option.isSome(asMillis)) return `; if these are milliseconds, write "${timeInWords(asMillis.value)}"`
  const [, amount = "", unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/.exec(text) ?? []
  const full = otherUnits[unit] ?? (unit.endsWith("s") ? unit : `${unit}s`)
  // a text that fits the pattern may still be no time
  const meant = Time.fromInput(`${amount} ${full}` as Time.Input)
  return Option.isSome(meant) ? `; write "${timeInWords(meant.value)}"` : ""
}

const otherUnits: { readonly [unit: string]: string } = {
  msec: "millis",
  msecs: "millis",
  millisecond: "millis",
  milliseconds: "millis",
  sec: "seconds",
  secs: "seconds",
  min: "minutes",
  mins: "minutes",
  hr: "hours",
  hrs: "hours"
}

const plain = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "")

/** The option that others call so. */
export const calledElsewhere = (inside: Fields, name: string): string | undefined =>
  Object.entries(inside.fields).find(([, { meant }]) => meant.some((other) => plain(other) === plain(name)))?.[0]

/** Where an option of this name is, if it is one of a stage below. */
export const deeper = (inside: Fields, name: string): string | undefined => {
  for (const [stage, { shape }] of Object.entries(inside.fields)) {
    if (shape.inside?._tag !== "Fields") continue
    const own = Object.keys(shape.inside.fields).find((option) => plain(option) === plain(name))
    const meant = own ?? calledElsewhere(shape.inside, name)
    if (meant !== undefined) return `${stage}.${meant}`
  }
  return undefined
}

/** Says that there is no such option, and which one was meant. */
export const unknownName = (inside: Fields, name: string, place: string): string => {
  const names = Object.keys(inside.fields)
  const meant = calledElsewhere(inside, name) ?? nearestName(name, names) ?? deeper(inside, name)
  return meant === undefined
    ? `${place} is not an option; there are: ${names.join(", ")}`
    : `${place} is not an option; did you mean ${meant}?`
}

// ---------------------------------------------------------------------------------------------------------------------
// reading
// ---------------------------------------------------------------------------------------------------------------------

/** Where a value comes from decides what it may be: code has functions, and times in more ways than words. */
interface Reading {
  readonly isCode: boolean
  readonly found: Found
}

const refuse = (shape: Shape, value: unknown, path: string, reading: Reading, hint = () => ""): undefined => {
  const { found, isCode } = reading
  found.add(() => `${path === "" ? "a policy" : path} must be ${wanted(shape, isCode)}, got ${shown(value)}${hint()}`)
}

/** The same value with its type, as far as a text tells it. */
const fromText = (shape: Shape, { name, text }: Written, path: string, reading: Reading): unknown => {
  reading.found.isWritten(path, name)
  const trimmed = text.trim()
  if (shape.off === true && trimmed.toLowerCase() === "false") return false
  if (shape.inside !== undefined && /^[{[]/.test(trimmed)) {
    const json = parseText(trimmed)
    if (Result.isSuccess(json)) return readValue(shape, json.success, path, reading)
    reading.found.add(() => `${path === "" ? "the policy" : path} is ${json.failure}`)
    return undefined
  }
  const isNumber = shape.scalar?._tag === "Number" && trimmed !== "" && Number.isFinite(Number(trimmed))
  return readValue(shape, isNumber ? Number(trimmed) : trimmed, path, reading)
}

const unitsOfObjects = new Set("weeks,days,hours,minutes,seconds,milliseconds,microseconds,nanoseconds".split(","))

/** Whether a value of code is a time that is an object: a `Duration`, `[seconds, nanos]`, `{ seconds: 2 }`. */
const isTimeObject = (value: object): boolean =>
  Duration.isDuration(value) ||
  Array.isArray(value) ||
  (Object.keys(value).length > 0 && Object.keys(value).every((name) => unitsOfObjects.has(name)))

const readValue = (shape: Shape, value: unknown, path: string, reading: Reading): unknown => {
  if (value instanceof Written) return fromText(shape, value, path, reading)
  const { code, inside, scalar } = shape
  if (code !== undefined && reading.isCode && code.accepts(value)) return value
  if (code?.instead !== undefined) {
    const { instead } = code
    reading.found.add(() =>
      reading.isCode ? `${path} must be a schedule, got ${shown(value)}` : `${path}: ${instead}`
    )
    return undefined
  }
  if (value === false && shape.off === true) return false
  const isInside =
    Predicate.isObjectOrArray(value) && !(reading.isCode && scalar?._tag === "Time" && isTimeObject(value))
  if (inside !== undefined && isInside) return readInside(shape, inside, value, path, reading)
  return scalar === undefined ? refuse(shape, value, path, reading) : readScalar(shape, scalar, value, path, reading)
}

const readScalar = (shape: Shape, scalar: Scalar, value: unknown, path: string, reading: Reading): unknown => {
  switch (scalar._tag) {
    case "Number":
      return Predicate.isNumber(value) ? value : refuse(shape, value, path, reading)
    case "Text":
      return Predicate.isString(value) ? value : refuse(shape, value, path, reading)
    case "Word": {
      if (Predicate.isString(value) && scalar.words.includes(value)) return value
      return refuse(shape, value, path, reading, () => {
        const meant = Predicate.isString(value) ? nearestName(value, scalar.words) : undefined
        return meant === undefined ? "" : `; did you mean "${meant}"?`
      })
    }
    case "Time": {
      // the types say what a time is; whether this is one is asked here
      const isTime = (reading.isCode || Predicate.isString(value)) && Option.isSome(Time.fromInput(value as Time.Input))
      if (isTime) return value
      if (!reading.isCode) return refuse(shape, value, path, reading, () => timeHint(value))
      const hint = () => (Predicate.isString(value) ? timeHint(value) : "")
      reading.found.add(() => `${path} must be a time, such as "2 seconds", got ${shown(value)}${hint()}`)
    }
  }
  return undefined
}

const readInside = (
  shape: Shape,
  inside: NonNullable<Shape["inside"]>,
  value: object,
  path: string,
  reading: Reading
): unknown => {
  if (inside._tag === "List") {
    if (!Array.isArray(value)) return refuse(shape, value, path, reading)
    // `map` would leave out the holes of a list
    return Array.from(value, (item: unknown, index) => readValue(inside.of, item, `${path}[${index}]`, reading))
  }
  if (Array.isArray(value)) return refuse(shape, value, path, reading)
  if (inside._tag === "Fields") return readFields(inside, value, path, reading)
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => {
      const place = below(path, name)
      if (inside.areOperations && !operationPattern.test(name)) {
        reading.found.add(
          () => `${place} is no operation, which is a method and a path: "POST /charges/{id}"${operationHint(name)}`
        )
      }
      return [name, readValue(inside.of, item, place, reading)]
    })
  )
}

/** The right form of an operation that was written in another way. */
const operationHint = (name: string): string => {
  const [, method = "", path = ""] = /^\s*([a-z]+)\s+\/?(\S*)\s*$/i.exec(name.slice(0, longestShown)) ?? []
  return method === "" ? "" : `; did you mean "${method.toUpperCase()} /${path}"?`
}

const readFields = (inside: Fields, value: object, path: string, reading: Reading): unknown => {
  const { found, isCode } = reading
  const { choice, fields, forgotten, needs } = inside
  const given = isCode && choice !== undefined ? choice.outOf(value) : value
  if (given === undefined) {
    found.add(() => `${path} must be made by a constructor, such as ${choice?.example}, got ${shown(value)}`)
    return undefined
  }
  const entries = Object.entries(given).filter(([name, item]) => item !== undefined && !forgotten.includes(name))
  const read: Array<readonly [string, unknown]> = []
  for (const [name, item] of entries) {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined
    if (field === undefined) found.add(() => unknownName(inside, name, below(path, name)))
    else read.push([name, readValue(field.shape, item, below(path, name), reading)])
  }
  for (const name of needs) {
    if (!entries.some(([present]) => present === name)) found.add(() => `${below(path, name)} is missing`)
  }
  if (choice === undefined) return Object.fromEntries(read)
  const [first, ...others] = read
  if (first === undefined || others.length > 0) {
    const names = Object.keys(fields).join(", ")
    found.add(() => `${path} must have one of ${names}, got ${read.map(([name]) => name).join(" and ") || "none"}`)
    return undefined
  }
  return choice.into(...first)
}

/** The options of data, by a schema. Faults are found; the value means nothing then. */
export const readData = <A>(schema: Schema.Schema<A>, value: unknown, found: Found, path = ""): A =>
  // the shape that it was read by is the schema's
  readValue(shapeOf(schema.ast), value, path, { isCode: false, found }) as A

/** Checks the options of code, which may have no types. */
export const readCode = (schema: Schema.Top, value: unknown): Found => {
  const found = new Found()
  readValue(shapeOf(schema.ast), value, "", { isCode: true, found })
  return found
}

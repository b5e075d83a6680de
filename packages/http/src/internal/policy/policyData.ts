/** How a policy is read from data and written as data, and what is said of data that is wrong. */

import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as HttpPolicy from "../../HttpPolicy.ts"
import * as Nesting from "@holdfast/core/Nesting"
import { oneLine } from "@holdfast/core/OneLine"
import { nearestName } from "./nearestName.ts"
import type { Options } from "./policyModel.ts"
import { type Declared, type Fields, policyShape, type Preset, type Scalar, type Shape } from "./policyShape.ts"

// a policy from data and back, by the one table of what there is

/** Everything that is wrong, a sentence each. */
export type Problems = ReadonlyArray<string>

/** What a message says of them: a line each, whatever names and values they quote. */
export const inLines = (problems: Problems): string =>
  problems.map((problem) => oneLine(`HttpPolicy: ${problem}`)).join("\n")

/** A value as an environment holds it: text, whatever it stands for, and where it was found. */
export class Written {
  readonly text: string
  readonly name: string
  constructor(text: string, name: string) {
    this.text = text
    this.name = name
  }
}

/**
 * What is found wrong, as it is found. A file may be wrong in as many places as it has, and to say of each what was probably meant would
 * take longer than to read it; so the first are told, and the rest are counted.
 */
export class Found {
  readonly #lines: Array<string> = []
  #more = 0

  /** Adds a sentence, which is made only when it is told. */
  add(line: () => string): void {
    if (this.#lines.length < mostTold) this.#lines.push(line())
    else this.#more++
  }

  get isEmpty(): boolean {
    return this.#lines.length === 0
  }

  get problems(): Problems {
    return this.#more === 0 ? this.#lines : [...this.#lines, `and ${this.#more} more`]
  }
}

const mostTold = 50

const longestShown = 60

const clipped = (text: string): string => (text.length <= longestShown ? text : `${text.slice(0, longestShown)}…`)

const shown = (value: unknown): string => {
  if (value === undefined) return "nothing"
  if (Predicate.isString(value)) return clipped(JSON.stringify(value.slice(0, longestShown + 1)))
  // a few levels are more than there is room for, and all of them may be more than there is stack for;
  // what JSON cannot show is no JSON, which its type says
  return clipped(Predicate.isObjectOrArray(value) ? JSON.stringify(Nesting.cut(value, 4)) : String(value))
}

/** The longest text of a policy that is read, in characters. */
export const longestText = 1024 * 1024

/** What is written in JSON, or what the text is instead. */
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
const below = (path: string, name: string): string => {
  if (name.length > longestShown || !/^[A-Za-z_$][\w$]*$/.test(name)) {
    return `${path}[${JSON.stringify(clipped(name))}]`
  }
  return path === "" ? name : `${path}.${name}`
}

// ---------------------------------------------------------------------------------------------------------------------
// what would have been right
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

const insideInWords = (inside: NonNullable<Shape["inside"]>): string => {
  if (inside._tag === "List") return "a list"
  if (inside._tag === "Operations") return "an object whose names are operations"
  const [needed] = inside.needs
  return needed === undefined ? "an object of its options ({} for the defaults)" : `an object with ${needed}`
}

const wanted = (shape: Shape): string =>
  [
    shape.scalar && scalarInWords(shape.scalar),
    shape.inside && insideInWords(shape.inside),
    shape.off === true ? "false" : undefined
  ]
    .filter((text) => text !== undefined)
    .join(", or ")

const shortUnits: { readonly [unit: string]: string } = {
  ms: "millis",
  msec: "millis",
  milliseconds: "millis",
  s: "seconds",
  sec: "seconds",
  secs: "seconds",
  m: "minutes",
  min: "minutes",
  mins: "minutes",
  h: "hours",
  hr: "hours",
  d: "days"
}

/** What a time that was written in another way should have been. */
const timeHint = (value: unknown): string => {
  // lists in lists have no text, at some depth
  if (!Predicate.isString(value) && !Predicate.isNumber(value)) return ""
  const text = String(value).trim()
  if (/^\d+(\.\d+)?$/.test(text)) {
    return `; if these are milliseconds, write "${inWords(Duration.millis(Number(text)))}"`
  }
  const [, amount = "", unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text) ?? []
  const full = shortUnits[unit.toLowerCase()] ?? (/s$/i.test(unit) ? unit : `${unit}s`).toLowerCase()
  // what the pattern takes apart may still be no time
  const hint = Duration.fromInput(`${amount} ${full}` as Duration.Input)
  return amount !== "" && Option.isSome(hint) ? `; write "${inWords(hint.value)}"` : ""
}

// ---------------------------------------------------------------------------------------------------------------------
// from data
// ---------------------------------------------------------------------------------------------------------------------

const refuse = (shape: Shape, value: unknown, path: string, found: Found, hint = () => ""): undefined => {
  found.add(() => `${path === "" ? "a policy" : path} must be ${wanted(shape)}, got ${shown(value)}${hint()}`)
}

/** The same value with its type, as far as a text tells it. */
const fromText = (shape: Shape, { name, text }: Written, found: Found): unknown => {
  const trimmed = text.trim()
  if (shape.off === true && trimmed.toLowerCase() === "false") return false
  if (shape.inside !== undefined && /^[{[]/.test(trimmed)) {
    const json = parseText(trimmed)
    if (Result.isSuccess(json)) return readValue(shape, json.success, name, found)
    found.add(() => `${name} is ${json.failure}`)
    return undefined
  }
  const isNumber = shape.scalar?._tag === "Number" && trimmed !== "" && Number.isFinite(Number(trimmed))
  return readValue(shape, isNumber ? Number(trimmed) : trimmed, name, found)
}

const readValue = (shape: Shape, value: unknown, path: string, found: Found): unknown => {
  if (value instanceof Written) return fromText(shape, value, found)
  if (shape.code !== undefined) {
    found.add(() => `${path}: ${shape.code}`)
    return undefined
  }
  if (value === false && shape.off === true) return false
  if (shape.inside !== undefined && Predicate.isObjectOrArray(value)) {
    return readInside(shape, shape.inside, value, path, found)
  }
  return shape.scalar === undefined
    ? refuse(shape, value, path, found)
    : readScalar(shape, shape.scalar, value, path, found)
}

const readScalar = (shape: Shape, scalar: Scalar, value: unknown, path: string, found: Found): unknown => {
  switch (scalar._tag) {
    case "Number":
      return Predicate.isNumber(value) ? value : refuse(shape, value, path, found)
    case "Text":
      return Predicate.isString(value) ? value : refuse(shape, value, path, found)
    case "Word": {
      if (Predicate.isString(value) && scalar.words.includes(value)) return value
      return refuse(shape, value, path, found, () => {
        const meant = Predicate.isString(value) ? nearestName(value, scalar.words) : undefined
        return meant === undefined ? "" : `; did you mean "${meant}"?`
      })
    }
    case "Time":
      // the types say what a time in words is; whether this is one is asked here
      return Predicate.isString(value) && Option.isSome(Duration.fromInput(value as Duration.Input))
        ? value
        : refuse(shape, value, path, found, () => timeHint(value))
  }
}

const readInside = (
  shape: Shape,
  inside: NonNullable<Shape["inside"]>,
  value: object,
  path: string,
  found: Found
): unknown => {
  if (inside._tag === "List") {
    if (!Array.isArray(value)) return refuse(shape, value, path, found)
    return value.map((item, index) => readValue(inside.of, item, `${path}[${index}]`, found))
  }
  if (Array.isArray(value)) return refuse(shape, value, path, found)
  if (inside._tag === "Fields") return readFields(inside, value, path, found)
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => {
      const place = below(path, name)
      if (!/^[A-Z]+ \//.test(name)) {
        found.add(() => `${place} is no operation, which is a method and a path: "POST /charges/{id}"`)
      }
      return [name, readValue(inside.of, item, place, found)]
    })
  )
}

const readFields = (inside: Fields, value: object, path: string, found: Found): unknown => {
  const given = Object.entries(value).filter(([, item]) => item !== undefined)
  const read: Array<readonly [string, unknown]> = []
  for (const [name, item] of given) {
    const shape = Object.hasOwn(inside.fields, name) ? inside.fields[name] : undefined
    if (shape === undefined) found.add(() => unknownName(inside, name, below(path, name)))
    else read.push([name, readValue(shape, item, below(path, name), found)])
  }
  for (const name of inside.needs) {
    if (!given.some(([present]) => present === name)) found.add(() => `${below(path, name)} is missing`)
  }
  if (inside.choice === undefined) return Object.fromEntries(read)
  const [first, ...others] = read
  if (first === undefined || others.length > 0) {
    const names = Object.keys(inside.fields).join(", ")
    found.add(() => `${path} must have one of ${names}, got ${read.map(([name]) => name).join(" and ") || "none"}`)
    return undefined
  }
  return inside.choice.into(...first)
}

/** Where an option of this name is, if it is one of a stage below. */
const deeper = (inside: Fields, name: string): string | undefined => {
  const [stage] =
    Object.entries(inside.fields).find(
      ([, shape]) => shape.inside?._tag === "Fields" && Object.hasOwn(shape.inside.fields, name)
    ) ?? []
  return stage && `${stage}.${name}`
}

/** Says that there is no such option, and which one was meant. */
export const unknownName = (inside: Fields, name: string, place: string): string => {
  const names = Object.keys(inside.fields)
  const meant = nearestName(name, names) ?? deeper(inside, name)
  return meant === undefined
    ? `${place} is not an option; there are: ${names.join(", ")}`
    : `${place} is not an option; did you mean ${meant}?`
}

// ---------------------------------------------------------------------------------------------------------------------
// what the stages say of it
// ---------------------------------------------------------------------------------------------------------------------

const stageOf: { readonly [module: string]: string } = {
  SingleFlight: "singleFlight",
  RateLimit: "rateLimit",
  Retry: "retry",
  Backoff: "retry.backoff",
  RetryBudget: "retry.budget",
  Hedge: "hedge",
  CircuitBreaker: "breaker",
  Throttle: "throttle",
  Bulkhead: "bulkhead",
  AdaptiveConcurrency: "adaptiveConcurrency",
  AttemptTimeout: "attemptTimeout"
}

const isField = (path: string, name: string): boolean => {
  let inside: Shape["inside"] = policyShape.inside
  for (const part of path.split(".")) inside = inside?._tag === "Fields" ? inside.fields[part]?.inside : undefined
  return inside?._tag === "Fields" && Object.hasOwn(inside.fields, name)
}

/** `Retry: maxAttempts must be …` as `retry.maxAttempts must be …`. */
const placed = (line: string, prefix: string): string => {
  const [, module = "", rest = line] = /^(\w+): (.*)$/s.exec(line) ?? []
  const stage = stageOf[module]
  if (stage === undefined) return prefix === "" ? rest : `${prefix}: ${rest}`
  const place = prefix === "" ? stage : `${prefix}.${stage}`
  return isField(stage, /^\w*/.exec(rest)?.[0] ?? "") ? `${place}.${rest}` : `${place}: ${rest}`
}

const attempted = (
  make: () => HttpPolicy.HttpPolicy,
  prefix: string
): Result.Result<HttpPolicy.HttpPolicy, Problems> => {
  try {
    return Result.succeed(make())
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return Result.fail(error.message.split("\n").map((line) => placed(line, prefix)))
  }
}

/** Every stage by itself, so that the first that is wrong does not hide the others. */
const alone = (options: Options): ReadonlyArray<readonly [prefix: string, options: Options]> =>
  Object.entries(options).flatMap(([name, value]): ReadonlyArray<readonly [string, Options]> => {
    if (name === "operations") {
      return Object.entries(options.operations ?? {}).map(([operation, given]) => [
        below(name, operation),
        { operations: { [operation]: given } }
      ])
    }
    if (name !== "retry" || !Predicate.isObject(options.retry)) return [["", { [name]: value }]]
    const { backoff, budget, schedule: _, ...loop } = options.retry
    return [
      ["", { retry: loop }],
      ["", { retry: { backoff } }],
      ["", { retry: { budget } }]
    ]
  })

const makers: { readonly [P in Preset]: (options: Options) => HttpPolicy.HttpPolicy } = {
  standard: HttpPolicy.standard,
  aggressive: HttpPolicy.aggressive,
  gentle: HttpPolicy.gentle,
  none: HttpPolicy.make
}

const make = (preset: Preset | undefined, options: Options): Result.Result<HttpPolicy.HttpPolicy, Problems> => {
  const found = new Found()
  for (const [prefix, part] of alone(options)) {
    const made = attempted(() => HttpPolicy.make(part), prefix)
    if (Result.isFailure(made)) for (const problem of made.failure) found.add(() => problem)
  }
  return found.isEmpty ? attempted(() => makers[preset ?? "standard"](options), "") : Result.fail(found.problems)
}

/** A policy from data, or everything that is wrong with it. What was declared in code holds where the data say nothing. */
export const readPolicy = (value: unknown, declared: Declared = {}): Result.Result<HttpPolicy.HttpPolicy, Problems> => {
  const found = new Found()
  const read = readValue(policyShape, value, "", found)
  if (!found.isEmpty) return Result.fail(found.problems)
  // the table that it was read by is typed by the options
  const { preset, ...options } = { ...declared, ...(read as Declared) }
  return make(preset, options)
}

// ---------------------------------------------------------------------------------------------------------------------
// to data
// ---------------------------------------------------------------------------------------------------------------------

const units = [
  ["week", 604_800_000_000_000n],
  ["day", 86_400_000_000_000n],
  ["hour", 3_600_000_000_000n],
  ["minute", 60_000_000_000n],
  ["second", 1_000_000_000n],
  ["milli", 1_000_000n],
  ["micro", 1000n],
  ["nano", 1n]
] as const

/** A time exactly, in the largest unit that it is a whole number of. */
const inWords = (duration: Duration.Duration): string => {
  const nanos = Duration.toNanos(duration)
  if (Option.isNone(nanos)) return "Infinity"
  const [unit, size] = units.find(([, size]) => nanos.value !== 0n && nanos.value % size === 0n) ?? ["milli", 1n]
  const amount = nanos.value / size
  return `${amount} ${unit}${amount === 1n ? "" : "s"}`
}

const writeValue = (shape: Shape, value: unknown, path: string, found: Found): unknown => {
  if (shape.code !== undefined) {
    found.add(() => `${path}: ${shape.code}`)
    return undefined
  }
  if (value === false) return false
  if (shape.inside !== undefined && isInside(shape.inside, value)) {
    return writeInside(shape.inside, value, path, found)
  }
  if (Predicate.isFunction(value)) {
    found.add(() => `${path} is a function, which data cannot hold; it must be ${wanted(shape)}`)
    return undefined
  }
  // no bound is what leaving the option out means, wherever a number may be infinite
  if (value === Infinity && shape.scalar?._tag === "Number") return undefined
  // a checked policy has a time here
  return shape.scalar?._tag === "Time" ? inWords(Duration.fromInputUnsafe(value as Duration.Input)) : value
}

/** Whether a value is what is inside, and not a time that is written as an object. */
const isInside = (inside: NonNullable<Shape["inside"]>, value: unknown): value is object =>
  (Predicate.isObjectOrArray(value) || Predicate.isFunction(value)) &&
  (inside._tag !== "Fields" || inside.needs.every((name) => Predicate.hasProperty(value, name))) &&
  (Predicate.isObjectOrArray(value) || Predicate.hasProperty(value, "doubling"))

const writeInside = (inside: NonNullable<Shape["inside"]>, value: object, path: string, found: Found): unknown => {
  if (inside._tag === "List") {
    return Array.isArray(value)
      ? value.map((item, index) => writeValue(inside.of, item, `${path}[${index}]`, found))
      : []
  }
  const entries = Object.entries(inside._tag === "Fields" && inside.choice ? inside.choice.outOf(value) : value)
  return Object.fromEntries(
    entries.flatMap(([name, item]) => {
      const shape = inside._tag === "Operations" ? inside.of : inside.fields[name]
      const written = shape && item !== undefined ? writeValue(shape, item, below(path, name), found) : undefined
      return written === undefined ? [] : [[name, written]]
    })
  )
}

/** A policy as data: all of its stages and no preset, so that it means the same whatever a preset comes to be. */
export const writePolicy = (policy: HttpPolicy.HttpPolicy): Result.Result<object, Problems> => {
  const found = new Found()
  const written = writeInside(policyShape.inside, policy.options, "", found)
  return !found.isEmpty || !Predicate.isObject(written)
    ? Result.fail(found.problems)
    : Result.succeed({ preset: "none", ...written })
}

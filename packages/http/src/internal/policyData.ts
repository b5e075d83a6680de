import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as HttpPolicy from "../HttpPolicy.ts"
import { nearestName } from "./nearestName.ts"
import type { Options } from "./policyModel.ts"
import { type Declared, type Fields, policyShape, type Preset, type Scalar, type Shape } from "./policyShape.ts"

// a policy from data and back, by the one table of what there is

/** Everything that is wrong, a sentence each. */
export type Problems = ReadonlyArray<string>

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

const shown = (value: unknown): string => {
  if (value === undefined) return "nothing"
  // what JSON cannot show is no JSON, which its type says
  const text = Predicate.isString(value) || Predicate.isObjectOrArray(value) ? JSON.stringify(value) : String(value)
  return text.length <= longestShown ? text : `${text.slice(0, longestShown)}…`
}

/** The place of a name below another: `retry.maxAttempts`, `operations["POST /charges"]`. */
const below = (path: string, name: string): string => {
  if (!/^[A-Za-z_$][\w$]*$/.test(name)) return `${path}[${JSON.stringify(name)}]`
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

const refuse = (shape: Shape, value: unknown, path: string, problems: Array<string>, hint = ""): undefined => {
  problems.push(`${path === "" ? "a policy" : path} must be ${wanted(shape)}, got ${shown(value)}${hint}`)
}

/** The same value with its type, as far as a text tells it. */
const fromText = (shape: Shape, { name, text }: Written, problems: Array<string>): unknown => {
  const trimmed = text.trim()
  if (shape.off === true && trimmed.toLowerCase() === "false") return false
  if (shape.inside !== undefined && /^[{[]/.test(trimmed)) {
    try {
      return readValue(shape, JSON.parse(trimmed), name, problems)
    } catch (error) {
      problems.push(`${name} is not JSON: ${error instanceof SyntaxError ? error.message : String(error)}`)
      return undefined
    }
  }
  const isNumber = shape.scalar?._tag === "Number" && trimmed !== "" && Number.isFinite(Number(trimmed))
  return readValue(shape, isNumber ? Number(trimmed) : trimmed, name, problems)
}

const readValue = (shape: Shape, value: unknown, path: string, problems: Array<string>): unknown => {
  if (value instanceof Written) return fromText(shape, value, problems)
  if (shape.code !== undefined) {
    problems.push(`${path}: ${shape.code}`)
    return undefined
  }
  if (value === false && shape.off === true) return false
  if (shape.inside !== undefined && Predicate.isObjectOrArray(value)) {
    return readInside(shape, shape.inside, value, path, problems)
  }
  return shape.scalar === undefined
    ? refuse(shape, value, path, problems)
    : readScalar(shape, shape.scalar, value, path, problems)
}

const readScalar = (shape: Shape, scalar: Scalar, value: unknown, path: string, problems: Array<string>): unknown => {
  switch (scalar._tag) {
    case "Number":
      return Predicate.isNumber(value) ? value : refuse(shape, value, path, problems)
    case "Text":
      return Predicate.isString(value) ? value : refuse(shape, value, path, problems)
    case "Word": {
      if (Predicate.isString(value) && scalar.words.includes(value)) return value
      const meant = Predicate.isString(value) ? nearestName(value, scalar.words) : undefined
      return refuse(shape, value, path, problems, meant === undefined ? "" : `; did you mean "${meant}"?`)
    }
    case "Time":
      // the types say what a time in words is; whether this is one is asked here
      return Predicate.isString(value) && Option.isSome(Duration.fromInput(value as Duration.Input))
        ? value
        : refuse(shape, value, path, problems, timeHint(value))
  }
}

const readInside = (
  shape: Shape,
  inside: NonNullable<Shape["inside"]>,
  value: object,
  path: string,
  problems: Array<string>
): unknown => {
  if (inside._tag === "List") {
    if (!Array.isArray(value)) return refuse(shape, value, path, problems)
    return value.map((item, index) => readValue(inside.of, item, `${path}[${index}]`, problems))
  }
  if (Array.isArray(value)) return refuse(shape, value, path, problems)
  if (inside._tag === "Fields") return readFields(inside, value, path, problems)
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => {
      const place = below(path, name)
      if (!/^[A-Z]+ \//.test(name)) {
        problems.push(`${place} is no operation, which is a method and a path: "POST /charges/{id}"`)
      }
      return [name, readValue(inside.of, item, place, problems)]
    })
  )
}

const readFields = (inside: Fields, value: object, path: string, problems: Array<string>): unknown => {
  const found = Object.entries(value).filter(([, item]) => item !== undefined)
  const read: Array<readonly [string, unknown]> = []
  for (const [name, item] of found) {
    const shape = Object.hasOwn(inside.fields, name) ? inside.fields[name] : undefined
    if (shape === undefined) problems.push(unknownName(inside, name, below(path, name)))
    else read.push([name, readValue(shape, item, below(path, name), problems)])
  }
  for (const name of inside.needs) {
    if (!found.some(([present]) => present === name)) problems.push(`${below(path, name)} is missing`)
  }
  if (inside.choice === undefined) return Object.fromEntries(read)
  const [first, ...others] = read
  if (first === undefined || others.length > 0) {
    const names = Object.keys(inside.fields).join(", ")
    problems.push(`${path} must have one of ${names}, got ${read.map(([name]) => name).join(" and ") || "none"}`)
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
  const problems = alone(options).flatMap(([prefix, part]) =>
    Result.match(
      attempted(() => HttpPolicy.make(part), prefix),
      { onFailure: (found) => found, onSuccess: () => [] }
    )
  )
  return problems.length > 0 ? Result.fail(problems) : attempted(() => makers[preset ?? "standard"](options), "")
}

/** A policy from data, or everything that is wrong with it. What was declared in code holds where the data say nothing. */
export const readPolicy = (value: unknown, declared: Declared = {}): Result.Result<HttpPolicy.HttpPolicy, Problems> => {
  const problems: Array<string> = []
  const read = readValue(policyShape, value, "", problems)
  if (problems.length > 0) return Result.fail(problems)
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

const writeValue = (shape: Shape, value: unknown, path: string, problems: Array<string>): unknown => {
  if (shape.code !== undefined) {
    problems.push(`${path}: ${shape.code}`)
    return undefined
  }
  if (value === false) return false
  if (shape.inside !== undefined && isInside(shape.inside, value)) {
    return writeInside(shape.inside, value, path, problems)
  }
  if (Predicate.isFunction(value)) {
    problems.push(`${path} is a function, which data cannot hold; it must be ${wanted(shape)}`)
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

const writeInside = (
  inside: NonNullable<Shape["inside"]>,
  value: object,
  path: string,
  problems: Array<string>
): unknown => {
  if (inside._tag === "List") {
    return Array.isArray(value)
      ? value.map((item, index) => writeValue(inside.of, item, `${path}[${index}]`, problems))
      : []
  }
  const entries = Object.entries(inside._tag === "Fields" && inside.choice ? inside.choice.outOf(value) : value)
  return Object.fromEntries(
    entries.flatMap(([name, item]) => {
      const shape = inside._tag === "Operations" ? inside.of : inside.fields[name]
      const written = shape && item !== undefined ? writeValue(shape, item, below(path, name), problems) : undefined
      return written === undefined ? [] : [[name, written]]
    })
  )
}

/** A policy as data: all of its stages and no preset, so that it means the same whatever a preset comes to be. */
export const writePolicy = (policy: HttpPolicy.HttpPolicy): Result.Result<object, Problems> => {
  const problems: Array<string> = []
  const written = writeInside(policyShape.inside, policy.options, "", problems)
  return problems.length > 0 || !Predicate.isObject(written)
    ? Result.fail(problems)
    : Result.succeed({ preset: "none", ...written })
}

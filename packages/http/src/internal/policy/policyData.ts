/** How a policy is read from data and written as data, and what is said of data that is wrong. */

import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as HttpPolicy from "../../HttpPolicy.ts"
import * as Time from "@holdfast/core/Time"
import { Found, type Problems } from "./found.ts"
import { below, readData, wanted } from "./policyReader.ts"
import type { Options } from "./policyModel.ts"
import { type Declared, policySchema, type Preset } from "./policySchema.ts"
import { fieldsOf, type Shape } from "./policyShape.ts"
import { timeInWords } from "./timeInWords.ts"

// a policy from data and back, by the one schema of all options

// ---------------------------------------------------------------------------------------------------------------------
// the stages' own checks
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

const policyFields = fieldsOf(policySchema)

const isField = (path: string, name: string): boolean => {
  let inside: Shape["inside"] = policyFields
  for (const part of path.split(".")) inside = inside?._tag === "Fields" ? inside.fields[part]?.shape.inside : undefined
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

/** The policy of a maker; its refusal is found as a fault. */
const attempted = (
  make: () => HttpPolicy.HttpPolicy,
  prefix: string,
  found: Found
): HttpPolicy.HttpPolicy | undefined => {
  try {
    return make()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    for (const line of error.message.split("\n")) found.add(() => placed(line, prefix))
    return undefined
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

/** Looks at each stage by itself; what is wrong is found. */
const tryStages = ({ preset: _, ...options }: Declared, found: Found): void => {
  for (const [prefix, part] of alone(options)) attempted(() => HttpPolicy.make(part), prefix, found)
}

/**
 * Looks at each stage by itself, and at all of them together: what contradicts itself is wrong whatever is declared elsewhere. The
 * preset is left out, because a stage of it may be declared in another way elsewhere.
 */
export const tryTogether = (declared: Declared, found: Found): void => {
  tryStages(declared, found)
  const { preset: _, ...options } = declared
  if (found.isEmpty) attempted(() => HttpPolicy.make(options), "", found)
}

/** The policy of all that was declared; what is wrong is found. */
export const makePolicy = (declared: Declared, found: Found): Result.Result<HttpPolicy.HttpPolicy, Problems> => {
  tryStages(declared, found)
  const { preset = "standard", ...options } = declared
  const policy = found.isEmpty ? attempted(() => makers[preset](options), "", found) : undefined
  return policy === undefined ? Result.fail(found.problems) : Result.succeed(policy)
}

/** A policy from data, or everything that is wrong with it. */
export const readPolicy = (value: unknown): Result.Result<HttpPolicy.HttpPolicy, Problems> => {
  const found = new Found()
  const declared = readData(policySchema, value, found)
  return found.isEmpty ? makePolicy(declared, found) : Result.fail(found.problems)
}

// ---------------------------------------------------------------------------------------------------------------------
// to data
// ---------------------------------------------------------------------------------------------------------------------

const writeValue = (shape: Shape, value: unknown, path: string, found: Found): unknown => {
  const { code, inside, scalar } = shape
  if (code?.instead !== undefined) {
    found.add(() => `${path}: ${code.instead}`)
    return undefined
  }
  if (value === false) return false
  if (inside !== undefined && isInside(inside, value)) return writeInside(inside, value, path, found)
  if (Predicate.isFunction(value)) {
    found.add(() => `${path} is a function, which data cannot hold; it must be ${wanted(shape)}`)
    return undefined
  }
  // no bound is what leaving the option out means, wherever a number may be infinite
  if (value === Infinity && scalar?._tag === "Number") return undefined
  // a checked policy has a time here
  return scalar?._tag === "Time"
    ? timeInWords(Option.getOrElse(Time.fromInput(value as Time.Input), () => Duration.zero))
    : value
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
  const given = inside._tag === "Fields" && inside.choice !== undefined ? inside.choice.outOf(value) : value
  return Object.fromEntries(
    Object.entries(given ?? {}).flatMap(([name, item]) => {
      const shape = inside._tag === "Names" ? inside.of : inside.fields[name]?.shape
      const written = shape && item !== undefined ? writeValue(shape, item, below(path, name), found) : undefined
      return written === undefined ? [] : [[name, written]]
    })
  )
}

/** A policy as data: all of its stages and no preset, so that it means the same whatever a preset comes to be. */
export const writePolicy = (policy: HttpPolicy.HttpPolicy): Result.Result<object, Problems> => {
  const found = new Found()
  const written = writeInside(policyFields, policy.options, "", found)
  return !found.isEmpty || !Predicate.isObject(written)
    ? Result.fail(found.problems)
    : Result.succeed({ preset: "none", ...written })
}

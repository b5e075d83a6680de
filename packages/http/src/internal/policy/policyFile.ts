/** The contents of one file for several upstreams, and the policy of each upstream with it. */

import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { Found, type Problems } from "./found.ts"
import { makePolicy, tryTogether } from "./policyData.ts"
import type { HttpPolicy } from "./policyModel.ts"
import { madeOf, type Origin } from "./policyOrigin.ts"
import { parseText, readData, shown } from "./policyReader.ts"
import { type Declared, declaredSchema, upstreamsSchema } from "./policySchema.ts"

/** The declaration of each upstream: one that is wrong does not take the others with it. */
export type Said = ReadonlyMap<string, Result.Result<Declared, Problems>>

const readOne = (value: unknown): Result.Result<Declared, Problems> => {
  const found = new Found()
  const declared = readData(declaredSchema, value, found)
  if (found.isEmpty) tryTogether(declared, found)
  return found.isEmpty ? Result.succeed(declared) : Result.fail(found.problems)
}

/** The declarations of a file of several upstreams, or the fault of the file as a whole. */
export const readUpstreams = (text: string): Result.Result<Said, Problems> => {
  const parsed = parseText(text)
  if (Result.isFailure(parsed)) return Result.fail([parsed.failure])
  const file = parsed.success
  if (!Predicate.isObject(file))
    return Result.fail([`a file of policies must be { "upstreams": {…} }, got ${shown(file)}`])
  const { upstreams }: { readonly upstreams?: unknown } = file
  const found = new Found()
  // each upstream is read by itself
  const outside = Predicate.isObject(upstreams) ? { ...file, upstreams: {} } : file
  readData(upstreamsSchema, outside, found)
  if (!found.isEmpty || !Predicate.isObject(upstreams)) return Result.fail(found.problems)
  return Result.succeed(new Map(Object.entries(upstreams).map(([name, value]) => [name, readOne(value)])))
}

/** The policy of an upstream with a file's declaration: the environment wins over the file, the file over the code. */
export const withFile = ({ code, environment }: Origin, file: Declared): Result.Result<HttpPolicy, Problems> =>
  Result.map(makePolicy({ ...code, ...file, ...environment }, new Found()), (policy) =>
    madeOf(policy, { code, environment })
  )

/** The stages that a file declares in vain, because the environment declares them. */
export const overruled = ({ environment }: Origin, file: Declared): ReadonlyArray<string> =>
  Object.keys(file).filter((name) => Object.hasOwn(environment, name))

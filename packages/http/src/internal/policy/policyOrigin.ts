/** Where a policy comes from: the declarations of code and environment, before presets filled them in. A file stands between the two. */

import * as Predicate from "effect/Predicate"
import type { HttpPolicy } from "./policyModel.ts"
import type { Declared } from "./policySchema.ts"
import { shown } from "./policyReader.ts"

/** The options that a policy was made of, by their source. */
export interface Origin {
  readonly code: Declared
  /** It wins over a file, which wins over code. */
  readonly environment: Declared
}

const origins = new WeakMap<HttpPolicy, Origin>()

/** Notes what a policy was made of. */
export const madeOf = (policy: HttpPolicy, origin: Origin): HttpPolicy => {
  origins.set(policy, origin)
  return policy
}

/** The origin of a policy; all of it is code's where none was noted. */
export const originOf = (policy: HttpPolicy): Origin =>
  origins.get(policy) ?? { code: { preset: "none", ...policy.options }, environment: {} }

export const isHttpPolicy = (value: unknown): value is HttpPolicy =>
  Predicate.hasProperty(value, "options") && Predicate.hasProperty(value, "call") && "operations" in value

/** The policy that was given, which may come from code without types. Throws a `RangeError` for a value that is none. */
export const givenPolicy = (where: string, given: HttpPolicy): HttpPolicy => {
  if (isHttpPolicy(given)) return given
  throw new RangeError(
    `${where}: policy must be made by HttpPolicy, such as HttpPolicy.standard({ deadline: "10 seconds" }), got ${shown(given)}`
  )
}

/** The error for code without types that gave something else than a policy, an effect or options. */

import * as Effect from "effect/Effect"

/** A given value in a few words, without any part that may be a secret. */
export const shown = (value: unknown): string => {
  if (value === undefined) return "nothing"
  if (value === null) return "null"
  if (Effect.isEffect(value)) return "an effect"
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  if (typeof value === "function") return "a function"
  if (Array.isArray(value)) return "an array"
  if (value instanceof Promise) return "a promise"
  if (typeof value !== "object") return String(value)
  const names = Object.keys(value)
  if (names.length === 0) return "an object with nothing in it"
  return `an object with ${names.slice(0, 4).join(", ")}${names.length > 4 ? ", …" : ""}`
}

const hasRun = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "run" in value && typeof value.run === "function"

/** The arguments of a call of a dual function. */
interface Arguments {
  readonly [index: number]: unknown
}

/**
 * Whether a dual function got the effect itself, and not only the policy to run one with. Throws a `TypeError` where the policy's place
 * has none: `Bulkhead.run({ maxConcurrent: 5 })`.
 */
export const dataFirst =
  (where: string, isSelf: (value: unknown) => boolean = Effect.isEffect, hint = "") =>
  (given: Arguments): boolean => {
    const isFirst = isSelf(given[0])
    const policy = given[isFirst ? 1 : 0]
    if (hasRun(policy)) return isFirst
    throw new TypeError(
      `${where}: it takes what ${where.split(".")[0]}.make has made, first in a pipe and second otherwise, got ${shown(policy)}${hint}`
    )
  }

/** Throws a `TypeError` where a policy's own `run` got no effect: `effect.pipe(bulkhead.run({ priority: 1 }))`. */
export const checkEffect = (module: string, self: unknown): void => {
  if (Effect.isEffect(self)) return
  throw new TypeError(
    `${module}: a policy's run takes the effect first, got ${shown(self)}; in a pipe, options go through ${module}.run(policy, options)`
  )
}

/** Throws a `TypeError` where options are no object: `AttemptTimeout.make("1 second")`. */
export const checkOptions = (where: string, options: unknown, example: string): void => {
  if (typeof options === "object" && options !== null && !Array.isArray(options) && !Effect.isEffect(options)) return
  throw new TypeError(`${where}: options must be an object like ${example}, got ${shown(options)}`)
}

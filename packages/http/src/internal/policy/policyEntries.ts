/** Which entries of an environment are about a policy, and what they are called in it. */

import * as Text from "effect/String"
import { nearestSlip } from "./nearestName.ts"
import type { Found } from "./found.ts"
import { calledElsewhere, deeper, unknownName, Written } from "./policyReader.ts"
import { policySchema } from "./policySchema.ts"
import { type Fields, fieldsOf, type Shape, shapeOf } from "./policyShape.ts"

// A configuration knows texts under paths, and not where one name ends and the next begins: what is `retry.maxAttempts` in
// JSON is RETRY_MAX_ATTEMPTS in an environment, which Effect takes apart at every underscore. So a name is matched with as many
// parts of a path as it takes.

/** A text, and where it was found. */
export interface Entry {
  readonly path: ReadonlyArray<string>
  readonly text: string
}

/** A text whose first parts are taken up by the names that it was found under. */
interface Rest extends Entry {
  readonly rest: ReadonlyArray<string>
}

/** The whole name, as it is written where it was found. */
const nameOf = ({ path }: Entry): string => path.join(path.every((part) => /^[A-Z0-9_]*$/.test(part)) ? "_" : ".")

const upper = (parts: ReadonlyArray<string>): string => parts.map(Text.configCase).join("_")

/** No option has a name of more parts. */
const mostParts = 8

/** How many parts of a path a name takes up: none when it is another name. */
const partsOf = (name: string, { rest }: Rest): number => {
  const wanted = Text.configCase(name)
  return rest.slice(0, mostParts).findIndex((_, index) => upper(rest.slice(0, index + 1)) === wanted) + 1
}

/** The option that a path leads to: the one with the longest name, since `deadline` is the beginning of `deadlineHeader`. */
const optionOf = (inside: Fields, entry: Rest): readonly [name: string, below: Rest] | undefined => {
  const [best] = Object.keys(inside.fields)
    .map((name) => [name, partsOf(name, entry)] as const)
    .filter(([, parts]) => parts > 0)
    .sort(([, one], [, other]) => other - one)
  return best && [best[0], { ...entry, rest: entry.rest.slice(best[1]) }]
}

const gather = (shape: Shape, entries: ReadonlyArray<Rest>, found: Found): unknown => {
  const own = entries.find(({ rest }) => rest.length === 0)
  const deeper = entries.filter(({ rest }) => rest.length > 0)
  const [first] = deeper
  if (first === undefined) return own && new Written(own.text, nameOf(own))
  if (own !== undefined || shape.inside === undefined) {
    found.add(() =>
      own === undefined
        ? `${nameOf(first)} is not an option`
        : `${nameOf(own)} and ${nameOf(first)} are both given; one says all of it, the other a part`
    )
    return undefined
  }
  const { inside } = shape
  if (inside._tag === "Fields") return gatherFields(inside, deeper, found)
  const byName = Map.groupBy(deeper, ({ rest }) => rest[0] ?? "")
  const parts = [...byName].map(([name, below]) => {
    const item = below.map((entry) => ({ ...entry, rest: entry.rest.slice(1) }))
    return [name, gather(inside.of, item, found)] as const
  })
  if (inside._tag === "Names") return Object.fromEntries(parts)
  return parts.sort(([one], [other]) => Number(one) - Number(other)).map(([, item]) => item)
}

/** The first parts of a path that are a slip of the pen, if any are; the parts after them belong to the option that was meant. */
const slipOf = (inside: Fields, { rest }: Rest): string => {
  const names = Object.keys(inside.fields)
  const beginnings = rest.slice(0, mostParts).map((_, index) => upper(rest.slice(0, index + 1)))
  const isNear = (beginning: string): boolean =>
    nearestSlip(beginning, names) !== undefined || calledElsewhere(inside, beginning) !== undefined
  return beginnings.findLast(isNear) ?? upper(rest)
}

const gatherFields = (inside: Fields, entries: ReadonlyArray<Rest>, found: Found): unknown => {
  const byName = new Map<string, Array<Rest>>()
  for (const entry of entries) {
    const option = optionOf(inside, entry)
    if (option === undefined) {
      found.add(() => unknownName(inside, slipOf(inside, entry), nameOf(entry)))
      continue
    }
    const below = byName.get(option[0])
    if (below === undefined) byName.set(option[0], [option[1]])
    else below.push(option[1])
  }
  return Object.fromEntries(
    [...byName].map(([name, below]) => [name, gather(inside.fields[name]?.shape ?? {}, below, found)])
  )
}

/** Whether a path leads to an option, to its end. */
const isWhole = (shape: Shape | undefined, entry: Rest): boolean => {
  if (shape === undefined) return false
  if (entry.rest.length === 0) return true
  const { inside } = shape
  if (inside === undefined) return false
  if (inside._tag !== "Fields") return isWhole(inside.of, { ...entry, rest: entry.rest.slice(1) })
  const option = optionOf(inside, entry)
  return option !== undefined && isWhole(inside.fields[option[0]]?.shape, option[1])
}

/** The paths that are left when the name of another upstream is taken away, of which this one's is the beginning: PAY_EU_DEADLINE. */
const behindOthers = (entry: Rest): ReadonlyArray<Rest> =>
  entry.rest.slice(1).map((_, index) => ({ ...entry, rest: entry.rest.slice(index + 1) }))

/** Whether parts of a path are a slip of the pen; one that is none without its first parts has them from another name. */
const isSlip = (parts: ReadonlyArray<string>, names: ReadonlyArray<string>): boolean => {
  const meant = nearestSlip(upper(parts), names)
  return (
    meant !== undefined &&
    !parts.slice(1).some((_, index) => nearestSlip(upper(parts.slice(index + 1)), [meant]) !== undefined)
  )
}

const policyFields = fieldsOf(policySchema)
const policyShape = shapeOf(policySchema.ast)
const names = Object.keys(policyFields.fields)
const stages = names.filter((name) => policyFields.fields[name]?.shape.inside !== undefined)

/** Whether parts of a path are the name of another stage or option, or what others call one; a single word may be anybody's. */
const isMeant = (parts: ReadonlyArray<string>, isLast: boolean): boolean =>
  parts.length > 1 &&
  (calledElsewhere(policyFields, upper(parts)) !== undefined ||
    (isLast && deeper(policyFields, upper(parts)) !== undefined))

/** Whether an upstream's setting may be meant for its policy: others share its name, such as PAYMENTS_BASE_URL. */
const isOurs = (entry: Rest): boolean => {
  const { rest, text } = entry
  if (rest.length === 0) return /^\s*\{/.test(text)
  if (isWhole(policyShape, entry)) return true
  if (behindOthers(entry).some((behind) => isWhole(policyShape, behind))) return false
  if (optionOf(policyFields, entry) !== undefined) return true
  return rest.slice(0, mostParts).some((_, index) => {
    const [parts, isLast] = [rest.slice(0, index + 1), index === rest.length - 1]
    return isMeant(parts, isLast) || isSlip(parts, isLast ? names : stages)
  })
}

/** The policy in the texts under an upstream's name; texts that are not about it are left alone. */
export const gatherPolicy = (entries: ReadonlyArray<Entry>, depth: number, found: Found): unknown => {
  const ours = entries.map((entry) => ({ ...entry, rest: entry.path.slice(depth) })).filter(isOurs)
  return ours.length === 0 ? {} : gather(policyShape, ours, found)
}

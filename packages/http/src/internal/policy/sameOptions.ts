/** Whether two options say the same. */

import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Time from "@holdfast/core/Time"

/** Times are written in several ways, and the same time must not cost a stage its memory: `"1 minute"`, `"60 seconds"`. */
const sameTime = (one: unknown, other: unknown): boolean =>
  // a value that is not a time at all gives none
  Option.makeEquivalence(Duration.Equivalence)(timeOf(one), timeOf(other)) && Option.isSome(timeOf(one))

const timeOf = (value: unknown) => Time.fromInput(value as Time.Input)

/** An open time that doubles is a function with its data, or the data alone. */
const asData = (value: unknown): unknown =>
  Predicate.isFunction(value) && Predicate.hasProperty(value, "doubling") ? { doubling: value.doubling } : value

/** Whether two options say the same. Functions are the same only when they are one, or say what they are made of. */
export const sameOptions = (left: unknown, right: unknown): boolean => {
  const [one, other] = [asData(left), asData(right)]
  if (Object.is(one, other)) return true
  if ([one, other].some((value) => Duration.isDuration(value) || Predicate.isString(value))) return sameTime(one, other)
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((item, index) => sameOptions(item, other[index]))
  }
  if (!Predicate.isObject(one) || !Predicate.isObject(other)) return false
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  const [before, after] = [one, other] as ReadonlyArray<Record<string, unknown>>
  return [...names].every((name) => sameOptions(before?.[name], after?.[name]))
}

import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"

/** Whether two options say the same. Functions are the same only when they are one. */
export const sameOptions = (one: unknown, other: unknown): boolean => {
  if (Object.is(one, other)) return true
  if (Duration.isDuration(one) && Duration.isDuration(other)) return Duration.equals(one, other)
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((item, index) => sameOptions(item, other[index]))
  }
  if (!Predicate.isObject(one) || !Predicate.isObject(other)) return false
  if (Duration.isDuration(one) || Duration.isDuration(other) || Array.isArray(one) || Array.isArray(other)) return false
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  const [left, right] = [one, other] as ReadonlyArray<Record<string, unknown>>
  return [...names].every((name) => sameOptions(left?.[name], right?.[name]))
}

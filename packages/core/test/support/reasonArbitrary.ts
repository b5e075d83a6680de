import { Arbitrary, Duration, Option } from "effect"
import { CallError } from "../../src/CallError.ts"
import * as ProblemDetails from "../../src/ProblemDetails.ts"
import * as Reason from "../../src/Reason.ts"

/**
 * Options of a property over reasons. Their headers and problem details are maps of whatever there is: at the size that state machines are
 * tried with, one of them alone has thousands of values, which find nothing that ten do not.
 */
export const reasonSized = { arbitrary: { size: 10 } } as const

/** Every class of the union, as the union lists them. */
export const reasonClasses = Reason.Reason.members

/**
 * What a wire carries: durations in whole milliseconds up to a day, and problem details that came as JSON (which has no
 * infinite numbers).
 */
const carried = (name: string, value: unknown): unknown => {
  if (Duration.isDuration(value)) {
    const millis = Math.abs(Math.trunc(Duration.toMillis(value)))
    return Duration.millis(Number.isFinite(millis) ? millis % 86_400_000 : 0)
  }
  const plain = withPlainKeys(value)
  if (name === "problem" && plain !== undefined) {
    return Option.getOrThrow(ProblemDetails.decode(JSON.parse(JSON.stringify(plain))))
  }
  return plain
}

/**
 * The value without keys that JSON has to escape. V8 misreads those (Node 24.21): once the text `{"\\":1}` was parsed, the
 * key of `{"\n":1}` is taken for the same.
 */
const withPlainKeys = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withPlainKeys)
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.toWellFormed().replace(/[\p{Cc}"\\]/gu, "_"),
      withPlainKeys(inner)
    ])
  )
}

/** The same reason with every field passed through `change`. */
export const rebuilt = (reason: Reason.Reason, change: (name: string, value: unknown) => unknown): Reason.Reason => {
  const fields = Object.fromEntries(Object.entries(reason).map(([name, value]) => [name, change(name, value)]))
  // an instance's own class takes the fields that the instance has
  return new (reason.constructor as new (fields: unknown) => Reason.Reason)(fields)
}

/** Anything that a reason of this class can be. */
export const arbitraryOf = (reasonClass: (typeof reasonClasses)[number]): Arbitrary.Arbitrary<Reason.Reason> =>
  Arbitrary.map(Arbitrary.schema(reasonClass), (reason) => rebuilt(reason, carried))

/** Anything that a call can fail with. */
export const arbitraryCallError: Arbitrary.Arbitrary<CallError> = Arbitrary.map(
  Arbitrary.schema(CallError),
  (error) =>
    new CallError({
      upstream: error.upstream,
      operation: error.operation,
      requestId: error.requestId,
      attempts: error.attempts,
      elapsed: Duration.millis(error.attempts ** 2),
      retryStopped: error.retryStopped,
      reason: rebuilt(error.reason, carried),
      ...(error.previous === undefined ? {} : { previous: rebuilt(error.previous, carried) }),
      ...(error.attemptsApplied === undefined ? {} : { attemptsApplied: error.attemptsApplied })
    })
)

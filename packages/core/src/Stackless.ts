/**
 * Errors without a stack, for refusals and classified failures on a hot path. Most of the cost of such an error is its
 * stack (about 2.5 of 3 µs), and its frames would be this library's, not the caller's.
 *
 * **When to use**: where a policy of your own makes a refusal. **Gotchas**: only for errors that end up inside another one
 * which has a stack, or whose message says everything.
 *
 * @since 0.1.0
 */

// V8 and JavaScriptCore have it, the standard library's types do not; elsewhere setting it does nothing
const stacks = Error as ErrorConstructor & { stackTraceLimit: number }

/**
 * Runs `build` with stack capture off.
 *
 * ```ts
 * import { Stackless } from "holdfast"
 *
 * const error = Stackless.stackless(() => new Error("no room"))
 * console.log(error.stack) // => Error: no room
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const stackless = <A>(build: () => A): A => {
  const limit = stacks.stackTraceLimit
  stacks.stackTraceLimit = 0
  try {
    return build()
  } finally {
    stacks.stackTraceLimit = limit
  }
}

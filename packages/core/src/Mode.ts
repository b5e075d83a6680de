/**
 * Whether a stage acts, watches, or is off. Every policy that may refuse or add anything has it, so that a new one can run
 * dark in production first.
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"

/**
 * - `enforce`: decides, and acts on it
 * - `observe`: decides, counts and reports as it would, and never refuses or delays (but a shared policy asks its store)
 * - `off`: is not there
 *
 * @category schemas
 * @since 0.1.0
 */
export const Mode = Schema.Literals(["enforce", "observe", "off"])

/**
 * Whether a stage acts, watches, or is off.
 *
 * @category models
 * @since 0.1.0
 */
export type Mode = typeof Mode.Type

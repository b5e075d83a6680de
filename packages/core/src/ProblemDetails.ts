/**
 * Problem details (RFC 9457), both ways: the answer of a server in the middle when a call of its own failed, and the
 * error that a client makes of such an answer.
 *
 * **When to use**: at the edge of a service, to turn a `CallError` into the body of a response.
 *
 * **Gotchas**: {@link fromCallError} tells a stranger the code, the status, the request id and whether the request may have been applied,
 * and nothing of hosts or bodies. Only `audience: "internal"` adds the whole error, so that {@link toCallError} on the other side gets it back.
 *
 * @since 0.1.0
 */

import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { CallError } from "./CallError.ts"
import * as ErrorCatalog from "./ErrorCatalog.ts"
import {
  contentType as mediaType,
  type Problem,
  type ProblemEncoded,
  problemSchema
} from "./internal/outcome/problemSchema.ts"
import * as Nesting from "./Nesting.ts"

/**
 * The media type of problem details.
 *
 * @category constants
 * @since 0.1.0
 */
export const contentType = mediaType

/**
 * A problem details object: the five standard members, and extensions.
 *
 * @category models
 * @since 0.1.0
 */
export type ProblemDetails = Problem

/**
 * The lenient codec that RFC 9457 asks for: a member of the wrong type is ignored, an unknown one is kept.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ProblemDetailsSchema: Schema.Codec<ProblemDetails, ProblemEncoded> = problemSchema

/** The extension member under which an internal problem carries the whole error. */
const member = "callError"

const encodeCallError = Schema.encodeSync(CallError)
const decodeCallError = Schema.decodeUnknownExit(CallError)
const decodeProblem = Schema.decodeUnknownExit(problemSchema)

/**
 * Describes a failed call to the caller of the service in the middle. The status is the one of the catalogue: an upstream's
 * `401` is this service's fault, so it answers `502`.
 *
 * - `audience`: `public` (default) says no more than a stranger may know; `internal` adds the whole error as an extension member.
 *
 * ```ts
 * import { CallError, ProblemDetails, Reason } from "holdfast"
 * import { Duration } from "effect"
 *
 * const problem = ProblemDetails.fromCallError(
 *   new CallError.CallError({
 *     upstream: "payments",
 *     operation: "GET /charges/{id}",
 *     requestId: "0d6f1c2ab3e94f75",
 *     attempts: 1,
 *     elapsed: Duration.millis(12),
 *     retryStopped: "not-retryable",
 *     reason: new Reason.CircuitOpen({ retryAfter: Duration.seconds(5) })
 *   })
 * )
 *
 * console.log(problem.status, problem.type, problem["retryAfterSeconds"]) // => 503 urn:holdfast:error:ERR_POLICY_CIRCUIT_OPEN 5
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromCallError = (
  error: CallError,
  options?: { readonly audience?: "public" | "internal" | undefined }
): ProblemDetails => {
  const entry = error.entry
  const retryAfter = "retryAfter" in error.reason ? error.reason.retryAfter : undefined
  return {
    type: `urn:holdfast:error:${entry.code}`,
    title: entry.summary,
    status: entry.answerStatus,
    code: entry.code,
    upstream: error.upstream,
    requestId: error.requestId,
    retryable: entry.retryable,
    applied: error.applied,
    ...(error.previous === undefined ? {} : { previousCode: ErrorCatalog.of(error.previous).code }),
    ...(retryAfter === undefined ? {} : { retryAfterSeconds: Math.ceil(Duration.toSeconds(retryAfter)) }),
    ...(options?.audience === "internal" ? { detail: error.message, [member]: encodeCallError(error) } : {})
  }
}

/**
 * Reads a body as problem details; `None` when it is not an object. Anything deeper in it than `Nesting.maxCarriedLevels` is cut off.
 *
 * ```ts
 * import { Option } from "effect"
 * import { ProblemDetails } from "holdfast"
 *
 * const problem = ProblemDetails.decode({ title: "Out of stock", status: "not a number", sku: "A-7" })
 * console.log(Option.getOrThrow(problem).title, Option.getOrThrow(problem)["sku"]) // => Out of stock A-7
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const decode = (body: unknown): Option.Option<ProblemDetails> =>
  Exit.getSuccess(decodeProblem(Nesting.cut(body)))

/**
 * The call error that an internal problem carries; `None` when it carries none, or one that does not decode.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toCallError = (problem: ProblemDetails): Option.Option<CallError> =>
  Exit.getSuccess(decodeCallError(problem[member]))

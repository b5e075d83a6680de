/**
 * The one error of a call. It says which call of which upstream failed, how hard it was tried, why no further attempt was made, and,
 * in `reason`, what went wrong last. `previous` names the failure of a sent attempt after which this side refused the next one, and
 * `applied` whether any attempt may have been applied.
 *
 * **When to use**: it is the error channel of every call. Recover from one kind of failure with
 * `Effect.catchReason("CallError", "NotFound", …)`, from several with `Effect.catchReasons`, from a whole group through
 * `ErrorCatalog.of(error.reason)`.
 *
 * **What it is not**: an interruption. A caller that goes away interrupts the call; no error is made of that.
 *
 * ```ts
 * import { CallError, Reason } from "holdfast"
 * import { Duration, Schema } from "effect"
 *
 * const error = new CallError.CallError({
 *   upstream: "payments",
 *   operation: "POST /charges/{id}",
 *   requestId: "0d6f1c2ab3e94f75",
 *   attempts: 3,
 *   elapsed: Duration.millis(1240),
 *   retryStopped: "budget",
 *   reason: new Reason.ConnectionRefused({ endpoint: "payments.internal:443", phase: "connect", code: "ECONNREFUSED" })
 * })
 *
 * console.log(error.message)
 * // => payments: POST /charges/{id} failed after 3 attempts in 1.24s: payments.internal:443: connection refused [ECONNREFUSED], in phase connect; no further attempt: the retry budget is spent (ERR_NETWORK_CONNECTION_REFUSED, request 0d6f1c2ab3e94f75)
 *
 * const wire = Schema.encodeSync(CallError.CallError)(error)
 * console.log(Schema.decodeSync(CallError.CallError)(wire).reason instanceof Reason.ConnectionRefused) // => true
 * ```
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"
import * as ErrorCatalog from "./ErrorCatalog.ts"
import { elapsed } from "./internal/time/elapsed.ts"
import { nothingSent } from "./internal/outcome/nothingSent.ts"
import { oneLine } from "./OneLine.ts"
import { Reason } from "./Reason.ts"
import { RetryStopped } from "./Retry.ts"

/** In the words of the catalogue: a call that is not tried again now may succeed later all the same. */
const notRetryableInWords = (reason: Reason): string => {
  const { nature, retryable } = ErrorCatalog.of(reason)
  if (!retryable) return "this is not tried again"
  return nature === "refusal"
    ? "this call does not wait for that, and a later one may succeed"
    : "the policy does not try this again, and a later call may succeed"
}

const stoppedInWords: { readonly [K in Exclude<RetryStopped, "not-retryable">]: string } = {
  attempts: "the policy allows no more",
  deadline: "the deadline leaves no time for one",
  budget: "the retry budget is spent",
  "not-replayable": "the request may not be sent twice",
  "server-wait": "the server asked for too long a wait",
  "rate-limit": "the rate limit leaves no room for one"
}

/**
 * A call failed. See the module's comment for how to recover from it.
 *
 * @category errors
 * @since 0.1.0
 */
export class CallError extends Schema.TaggedError<CallError>()("CallError", {
  /** Name of the upstream that was called: `payments`. */
  upstream: Schema.String,
  /** Method and path template: `POST /charges/{id}`. */
  operation: Schema.String,
  /** Identifier of the call, the same on all its attempts, sent as `x-request-id`. */
  requestId: Schema.String,
  /** Attempts that were made; `0` when nothing was sent. */
  attempts: Schema.Int,
  /** From the beginning of the call to its failure, waits included. */
  elapsed: Schema.DurationFromMillis,
  /** Why no further attempt was made. */
  retryStopped: RetryStopped,
  /** The failure of the last attempt. */
  reason: Reason,
  /** The failure of the last attempt that was sent, where `reason` is why the next one was not sent. */
  previous: Schema.optionalKey(Reason),
  /** The value of `applied`, where it does not follow from `reason` and `previous`. */
  attemptsApplied: Schema.optionalKey(Schema.Literals(["no", "maybe"]))
}) {
  /** One line that says what happened, how hard it was tried, and how to find it again. */
  override get message(): string {
    const { reason, retryStopped } = this
    const why = retryStopped === "not-retryable" ? notRetryableInWords(reason) : stoppedInWords[retryStopped]
    const tries = `${this.attempts} ${this.attempts === 1 ? "attempt" : "attempts"}`
    return oneLine(
      `${this.upstream}: ${this.operation} failed after ${tries} in ${elapsed(this.elapsed)}: ` +
        `${whatHappened(this)}; no further attempt: ${why} ` +
        `(${this.code}, request ${this.requestId})`
    )
  }

  /**
   * Whether the request may have been applied, by any of the attempts. The catalogue's entry of `reason` says that of one attempt only,
   * and of a refusal it says `no`, however the attempts before it ended.
   */
  get applied(): "no" | "maybe" {
    if (this.attemptsApplied !== undefined) return this.attemptsApplied
    const isMaybe = (reason: Reason | undefined) => reason !== undefined && ErrorCatalog.of(reason).applied === "maybe"
    return isMaybe(this.reason) || isMaybe(this.previous) ? "maybe" : "no"
  }

  /** The catalogue's entry for the reason: its nature, severity, and whether another try can help. */
  get entry(): ErrorCatalog.Entry {
    return ErrorCatalog.of(this.reason)
  }

  /** Semantic code of the reason: `ERR_NETWORK_CONNECTION_REFUSED`. */
  get code(): string {
    return this.entry.code
  }

  /** The encoded error with its code, its line and the value of `applied`, for a log in JSON. */
  override toJSON(): unknown {
    return { code: this.code, message: this.message, applied: this.applied, ...encode(this) }
  }
}

/** The failures, in the order in which they happened. That nothing was sent is left out where an attempt before had been. */
const whatHappened = ({ applied, previous, reason }: CallError): string => {
  const isTold = ErrorCatalog.of(reason).applied === applied && previous === undefined
  const maybe = isTold || applied === "no" ? "" : "; an attempt may have been applied"
  const { message } = reason
  if (previous === undefined && maybe === "") return message
  const last = message.endsWith(nothingSent) ? message.slice(0, -nothingSent.length) : message
  return previous === undefined
    ? `${last}${maybe}`
    : `${previous.message}; then the next attempt was not sent: ${last}${maybe}`
}

const encode = Schema.encodeSync(CallError)

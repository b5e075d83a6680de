/**
 * Business errors with their types: an entry of your own catalogue, and a schema for the body of such an answer.
 *
 * **When to use**: when an upstream says "no" in its own words, at any status, a `200` with an error inside included. Name
 * the rejections that a call knows; it then fails with `BusinessRejected`, and {@link catchRejection} recovers with the
 * decoded error in its own type.
 *
 * **What it is not**: a failure of the upstream. A rejection is not retried unless its entry says so.
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { ErrorCatalog, Rejection, Upstream } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * const { NO_FUNDS } = ErrorCatalog.make("payments", { NO_FUNDS: { summary: "the account has too little money" } })
 * const noFunds = Rejection.make(NO_FUNDS, Schema.Struct({ error: Schema.Literal("no_funds"), missing: Schema.Int }))
 *
 * class Payments extends Upstream.Service<Payments>()("payments", {
 *   baseUrl: "https://payments.internal",
 *   rejections: [noFunds]
 * }) {}
 *
 * const program = Payments.use((payments) => payments.post("/charges", { json: { amount: 1200 } })).pipe(
 *   Effect.map(() => "charged"),
 *   Rejection.catchRejection(noFunds, ({ missing }) => Effect.succeed(`${missing} missing`))
 * )
 *
 * const bank = ScriptedTransport.layer({ "POST /charges": [ScriptedTransport.json({ error: "no_funds", missing: 300 })] })
 * console.log(await Effect.runPromise(program.pipe(Effect.provide(Payments.layer.pipe(Layer.provide(bank))))))
 * // => 300 missing
 * ```
 *
 * @since 0.1.0
 */

import { CallError } from "@holdfast/core/CallError"
import type { Entry } from "@holdfast/core/ErrorCatalog"
import type { BusinessRejected, Reason } from "@holdfast/core/Reason"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"

/**
 * A business error that a call knows.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rejection<out A> {
  /** Its entry in the catalogue. */
  readonly entry: Entry
  /** The schema of such an answer's body. The first rejection whose schema fits is taken. */
  readonly schema: Schema.ConstraintDecoder<A>
}

/**
 * Joins an entry of a catalogue with the schema of its body.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A>(entry: Entry, schema: Schema.ConstraintDecoder<A>): Rejection<A> => ({ entry, schema })

/**
 * Whether a reason is this rejection; its `error` then has the schema's type.
 *
 * @category guards
 * @since 0.1.0
 */
export const is =
  <A>(rejection: Rejection<A>) =>
  (reason: Reason): reason is BusinessRejected & { readonly error: A } =>
    reason._tag === "BusinessRejected" && reason.entry.code === rejection.entry.code

/**
 * Recovers from one rejection, with the decoded error. Every other failure stays as it is.
 *
 * @category combinators
 * @since 0.1.0
 */
export const catchRejection =
  <A, B, E2, R2>(
    rejection: Rejection<A>,
    recover: (error: A, reason: BusinessRejected) => Effect.Effect<B, E2, R2>
  ): (<C, E, R>(self: Effect.Effect<C, E, R>) => Effect.Effect<B | C, E | E2, R | R2>) =>
  <C, E, R>(self: Effect.Effect<C, E, R>) =>
    Effect.catch(self, (error): Effect.Effect<B, E | E2, R2> => {
      const reason = error instanceof CallError ? error.reason : undefined
      return reason !== undefined && is(rejection)(reason) ? recover(reason.error, reason) : Effect.fail(error)
    })

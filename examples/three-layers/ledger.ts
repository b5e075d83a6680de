import { Schema } from "effect"
import { ErrorCatalog, HttpPolicy, Rejection, Upstream } from "holdfast"

export class Receipt extends Schema.Class<Receipt>("Receipt")({
  order: Schema.String,
  cents: Schema.Int,
  currency: Schema.String
}) {}

const errors = ErrorCatalog.make("ledger", {
  OVER_LIMIT: { summary: "the amount is over the customer's limit", answerStatus: 402 }
})

export const overLimit = Rejection.make(
  errors.OVER_LIMIT,
  Schema.Struct({ error: Schema.Literal("over limit"), limit: Schema.Int })
)

/** Where money is booked. It may take its time, and it books an entry once, however often it is asked to. */
export class Ledger extends Upstream.Service<Ledger>()("ledger", {
  baseUrl: "https://ledger.internal",
  policy: HttpPolicy.standard({ deadline: "10 seconds", attemptTimeout: "2 seconds" }),
  rejections: [overLimit]
}) {}

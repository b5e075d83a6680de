import { Context, Effect, Layer, Schema } from "effect"
import { type CallError, ErrorCatalog, Rejection } from "holdfast"
import { Ledger, overLimit, Receipt } from "./ledger.ts"
import { Rate, Rates } from "./rates.ts"

export interface Order {
  readonly id: string
  readonly euroCents: number
  readonly currency: string
}

export class Declined extends Schema.TaggedError<Declined>()("Declined", { order: Schema.String, limit: Schema.Int }) {}

/** Takes the customer's money: in the customer's currency, or in euros while nobody knows the rate. */
export class Checkout extends Context.Service<
  Checkout,
  { readonly pay: (order: Order) => Effect.Effect<Receipt, Declined | CallError.CallError> }
>()("shop/Checkout") {
  static readonly layer = Layer.effect(
    Checkout,
    Effect.gen(function* () {
      const rates = yield* Rates
      const ledger = yield* Ledger

      const priceOf = Effect.fn("Checkout.priceOf")(
        function* ({ currency, euroCents }: Order) {
          const { perEuro } = yield* rates.get("/rates/{currency}", { params: { currency }, decode: Rate })
          return { cents: Math.round(euroCents * perEuro), currency }
        },
        (price, { euroCents }) =>
          Effect.catchIf(
            price,
            ({ reason }) => ErrorCatalog.isOutage(reason),
            () => Effect.succeed({ cents: euroCents, currency: "EUR" })
          )
      )

      const pay = Effect.fn("Checkout.pay")(
        function* (order: Order) {
          const price = yield* priceOf(order)
          return yield* ledger.post("/entries", {
            json: { order: order.id, ...price },
            idempotencyKey: order.id,
            decode: Receipt
          })
        },
        (receipt, { id }) =>
          receipt.pipe(
            Rejection.catchRejection(overLimit, ({ limit }) => Effect.fail(new Declined({ order: id, limit })))
          )
      )

      return Checkout.of({ pay })
    })
  )
}

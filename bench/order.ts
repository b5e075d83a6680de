// What the server answers and the clients decode: 1 KB of JSON, of the kind that services send each other.

import * as Schema from "effect/Schema"

export class Order extends Schema.Class<Order>("Order")({
  id: Schema.String,
  status: Schema.Literals(["open", "paid", "shipped"]),
  currency: Schema.String,
  total: Schema.Int,
  customer: Schema.Struct({ id: Schema.String, email: Schema.String, country: Schema.String }),
  lines: Schema.Array(
    Schema.Struct({ sku: Schema.String, title: Schema.String, quantity: Schema.Int, price: Schema.Int })
  ),
  note: Schema.String
}) {}

const order = {
  id: "ord_01J9Z3N6Q8W4T7",
  status: "paid",
  currency: "EUR",
  total: 128_450,
  customer: { id: "cus_7431", email: "someone@example.com", country: "DE" },
  lines: Array.from({ length: 6 }, (_, index) => ({
    sku: `SKU-${1000 + index}`,
    title: `A thing of some kind, number ${index}`,
    quantity: index + 1,
    price: 1995 + index
  })),
  note: ""
}

const size = 1024

/** The order as text, padded to exactly 1 KB. */
export const orderJson = JSON.stringify({ ...order, note: "x".repeat(size - JSON.stringify(order).length) })

import { Schema } from "effect"
import { HttpPolicy, Upstream } from "holdfast"

export class Rate extends Schema.Class<Rate>("Rate")({ currency: Schema.String, perEuro: Schema.Finite }) {}

/** What a euro is worth. A price that comes late is of no use, so there is little time for it. */
export class Rates extends Upstream.Service<Rates>()("rates", {
  baseUrl: "https://rates.internal",
  policy: HttpPolicy.standard({ deadline: "1 second", attemptTimeout: "300 millis" })
}) {}

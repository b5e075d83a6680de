// A service in three layers: two upstreams, and a domain service which knows nothing of addresses, retries or sockets.
// Here it runs over real sockets against upstreams in trouble; `checkout.test.ts` runs the same service without a socket.
//
// prints:
// o-1: paid 10000 USD
// o-2: no rate, so paid 8000 EUR
// o-3: declined, the limit is 100000
// booked: o-1, o-2

import { Console, Effect, Layer, Schema } from "effect"
import { HttpServer } from "effect/http"
import { NodeTransport } from "holdfast/node"
import { Checkout } from "./checkout.ts"
import { Ledger, Receipt } from "./ledger.ts"
import { Rates } from "./rates.ts"
import { server } from "./server.ts"

const program = Effect.gen(function* () {
  const checkout = yield* Checkout
  const ledger = yield* Ledger

  const dollars = yield* checkout.pay({ id: "o-1", euroCents: 8000, currency: "USD" })
  console.log(`o-1: paid ${dollars.cents} ${dollars.currency}`)

  const yen = yield* checkout.pay({ id: "o-2", euroCents: 8000, currency: "JPY" })
  console.log(`o-2: no rate, so paid ${yen.cents} ${yen.currency}`)

  yield* checkout
    .pay({ id: "o-3", euroCents: 90_000, currency: "USD" })
    .pipe(Effect.catchTag("Declined", ({ limit }) => Console.log(`o-3: declined, the limit is ${limit}`)))

  const booked = yield* ledger.get("/entries", { decode: Schema.Array(Receipt) })
  console.log(`booked: ${booked.map(({ order }) => order).join(", ")}`)
})

/** An upstream's base URL, where the server happens to listen. */
const at = (path: string) =>
  Effect.map(HttpServer.HttpServer, ({ address }) => ({ baseUrl: `${HttpServer.formatAddress(address)}${path}` }))

const upstreams = Layer.mergeAll(Rates.layerEffect(at("/")), Ledger.layerEffect(at("/ledger"))).pipe(
  Layer.provide(NodeTransport.layer({ connections: 8 })),
  Layer.provide(server)
)

await Effect.runPromise(program.pipe(Effect.provide(Checkout.layer.pipe(Layer.provideMerge(upstreams)))))

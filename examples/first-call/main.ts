// Declares an upstream and calls it over a real socket. The server answers 503 to the first request and 200 to the second:
// the policy tries again, and the program sees nothing but the decoded value.
//
// prints:
// 3 of A-7 left
// the server saw 2 requests

import { Effect, Layer, Schema } from "effect"
import { HttpPolicy, Upstream } from "holdfast"
import { NodeTransport } from "holdfast/node"
import { stockServer } from "./server.ts"

class Item extends Schema.Class<Item>("Item")({ sku: Schema.String, left: Schema.Int }) {}

class Stock extends Upstream.Service<Stock>()("stock", {
  baseUrl: "https://stock.internal",
  policy: HttpPolicy.standard({ deadline: "10 seconds", attemptTimeout: "2 seconds" })
}) {}

const itemOf = Effect.fn("itemOf")(function* (sku: string) {
  const stock = yield* Stock
  return yield* stock.get("/items/{sku}", { params: { sku }, decode: Item })
})

const main = Effect.gen(function* () {
  const server = yield* stockServer
  const stock = Stock.layerWith({ baseUrl: server.url }).pipe(Layer.provide(NodeTransport.layer()))

  const item = yield* itemOf("A-7").pipe(Effect.provide(stock))

  console.log(`${item.left} of ${item.sku} left`)
  console.log(`the server saw ${yield* server.requests} requests`)
})

await Effect.runPromise(Effect.scoped(main))

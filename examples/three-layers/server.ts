import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Receipt } from "./ledger.ts"

const busy = HttpServerResponse.empty({ status: 503 })

/** Knows what a dollar is worth, and cannot say just now what anything else is. */
const rates = Layer.merge(
  HttpRouter.add("GET", "/rates/USD", HttpServerResponse.jsonUnsafe({ currency: "USD", perEuro: 1.25 })),
  HttpRouter.add("GET", "/rates/:currency", busy)
)

/** Books each order once, and is too busy to say so the first time. */
const ledger = HttpRouter.use(
  Effect.fn("ledger")(function* (router) {
    const booked = new Map<string, Receipt>()
    yield* router.add("GET", "/ledger/entries", () =>
      Effect.succeed(HttpServerResponse.jsonUnsafe([...booked.values()]))
    )
    yield* router.add(
      "POST",
      "/ledger/entries",
      Effect.fn("book")(function* ({ headers }) {
        const entry = yield* Effect.orDie(HttpServerRequest.schemaBodyJson(Receipt))
        if (entry.cents > 100_000) {
          return HttpServerResponse.jsonUnsafe({ error: "over limit", limit: 100_000 }, { status: 402 })
        }
        const key = headers["idempotency-key"] ?? ""
        const receipt = booked.get(key)
        booked.set(key, entry)
        return receipt === undefined ? busy : HttpServerResponse.jsonUnsafe(receipt)
      })
    )
  })
)

/** Both upstreams, on one port of their own. */
export const server = HttpRouter.serve(Layer.merge(rates, ledger), {
  disableLogger: true,
  disableListenLog: true
}).pipe(Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })))

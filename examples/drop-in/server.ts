import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { Api, Item, NoSuchItem } from "./api.ts"

const items = HttpApiBuilder.group(
  Api,
  "items",
  Effect.fn(function* (handlers) {
    return handlers.handle("find", ({ params: { sku } }) => {
      if (sku === "slow") return Effect.never
      return sku === "A-7" ? Effect.succeed(new Item({ sku, left: 3 })) : Effect.fail(new NoSuchItem({ sku }))
    })
  })
)

/** Whoever comes first or second is turned away. */
const flaky = HttpRouter.middleware(
  Effect.sync(() => {
    let requests = 0
    return (answer) =>
      Effect.suspend(() => (++requests < 3 ? Effect.succeed(HttpServerResponse.empty({ status: 503 })) : answer))
  }),
  { global: true }
)

/** The API on a port of its own, a new server for everyone who provides it. */
export const server = HttpRouter.serve(HttpApiBuilder.layer(Api).pipe(Layer.provide([items, flaky])), {
  disableLogger: true,
  disableListenLog: true
}).pipe(Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })))

// An `HttpApi` with its client, and a program that uses it, as one may have them already. A policy goes under the client
// with one line; the API, the program and the errors that they declare stay as they are.
//
// prints:
// client, before: failed with 503
// client, after: 3 of A-7, no B-8
// client, typed: the attempt was not finished within 500ms
// plain, before: 503
// plain, after: 200 {"sku":"A-7","left":3}

import { Context, Effect, Layer } from "effect"
import { FetchHttpClient, HttpClient, HttpServer } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import { HttpPolicy } from "holdfast"
import { ResilientClient } from "holdfast/client"
import { Api } from "./api.ts"
import { server } from "./server.ts"

// -- what was there before ---------------------------------------------------------------------------------------------

class Stock extends Context.Service<Stock, HttpApiClient.ForApi<typeof Api>>()("shop/Stock") {}

const baseUrl = Effect.map(HttpServer.HttpServer, ({ address }) => HttpServer.formatAddress(address))

/** Says what is left of two items; there is no B-8. */
const inventory = Effect.gen(function* () {
  const stock = yield* Stock
  const { left } = yield* stock.find({ params: { sku: "A-7" } })
  const missing = yield* stock.find({ params: { sku: "B-8" } }).pipe(
    Effect.as("some"),
    Effect.catchTag("NoSuchItem", ({ sku }) => Effect.succeed(`no ${sku}`))
  )
  return `${left} of A-7, ${missing}`
}).pipe(Effect.catchTag("HttpClientError", ({ response }) => Effect.succeed(`failed with ${response?.status}`)))

/** Says what the server answers to a client that knows no API. */
const status = Effect.gen(function* () {
  const response = yield* HttpClient.get(`${yield* baseUrl}/items/A-7`)
  return `${response.status} ${yield* response.text}`.trim()
})

const before = Layer.effect(
  Stock,
  Effect.flatMap(baseUrl, (baseUrl) => HttpApiClient.make(Api, { baseUrl }))
)

// -- what is added -----------------------------------------------------------------------------------------------------

const after = Layer.effect(
  Stock,
  Effect.flatMap(baseUrl, (baseUrl) =>
    HttpApiClient.make(Api, { baseUrl, transformClient: ResilientClient.transformClient({ name: "stock" }) })
  )
)

/** For who wants the call error itself in the client's type: here an attempt that took too long. */
const typed = Effect.gen(function* () {
  const policy = HttpPolicy.standard({ attemptTimeout: "500 millis" })
  const httpClient = (yield* HttpClient.HttpClient).pipe(ResilientClient.withPolicy({ name: "stock", policy }))
  const stock = yield* HttpApiClient.makeWith(Api, { baseUrl: yield* baseUrl, httpClient })
  return yield* stock.find({ params: { sku: "slow" } }).pipe(
    Effect.as("in time"),
    Effect.catchReason("CallError", "AttemptTimeout", (reason) => Effect.succeed(reason.message))
  )
})

/** Under everything that uses the `HttpClient` in the context. */
const resilient = ResilientClient.layer({ name: "stock" }).pipe(Layer.provide(FetchHttpClient.layer))

const on = <A, E, R>(client: Layer.Layer<A, E, R>) => Effect.provide(client.pipe(Layer.provideMerge(server)))

const main = Effect.gen(function* () {
  console.log("client, before:", yield* inventory.pipe(on(before)))
  console.log("client, after:", yield* inventory.pipe(on(after)))
  console.log("client, typed:", yield* typed.pipe(on(Layer.empty)))
  console.log("plain, before:", yield* status.pipe(on(Layer.empty)))
  console.log("plain, after:", yield* status.pipe(on(resilient)))
})

await Effect.runPromise(main.pipe(Effect.provide(FetchHttpClient.layer)))

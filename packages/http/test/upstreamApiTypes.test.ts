import { describe, expectTypeOf, it } from "@effect/vitest"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiMiddleware, HttpApiSchema } from "effect/http-api"
import type { CallError } from "@holdfast/core/CallError"
import type * as Upstream from "../src/Upstream.ts"
import * as UpstreamApi from "../src/UpstreamApi.ts"

class NoSuchItem extends Schema.TaggedError<NoSuchItem>()(
  "NoSuchItem",
  { sku: Schema.String },
  { httpApiStatus: 404 }
) {}

class Denied extends Schema.TaggedError<Denied>()("Denied", {}, { httpApiStatus: 401 }) {}

class NoToken extends Schema.TaggedError<NoToken>()("NoToken", {}) {}

class Auth extends HttpApiMiddleware.Service<Auth, { clientError: NoToken }>()("Auth", {
  error: Denied,
  requiredForClient: true
}) {}

class Item extends Schema.Class<Item>("Item")({ sku: Schema.String, left: Schema.FiniteFromString }) {}

class Rates extends Context.Service<Rates, { readonly euro: number }>()("Rates") {}

interface Price extends Schema.Codec<number, string, Rates, Rates> {}

declare const Price: Price

const params = { sku: Schema.String }

const declare = () =>
  HttpApi.make("stock")
    .add(
      HttpApiGroup.make("items").add(
        HttpApiEndpoint.get("find", "/items/:sku", { params, success: Item, error: NoSuchItem }),
        HttpApiEndpoint.post("add", "/items", { payload: Item, success: HttpApiSchema.NoContent }),
        HttpApiEndpoint.get("list", "/items", {
          success: HttpApiSchema.StreamNdjson({ schema: Item }),
          error: NoSuchItem
        }),
        HttpApiEndpoint.get("price", "/price", { success: Price })
      )
    )
    .add(
      HttpApiGroup.make("orders")
        .add(HttpApiEndpoint.get("last", "/last", { success: Item }))
        .middleware(Auth)
    )
    .add(
      HttpApiGroup.make("health", { topLevel: true }).add(
        HttpApiEndpoint.get("ping", "/ping", { success: Schema.String })
      )
    )

type Api = ReturnType<typeof declare>

type StockClient = UpstreamApi.ForApi<Api>

const calls = ({ items, orders, ping }: StockClient) => ({
  find: items.find({ params: { sku: "A-7" } }),
  both: items.find({ params: { sku: "A-7" }, responseMode: "decoded-and-response" }),
  add: items.add({ payload: new Item({ sku: "A-7", left: 3 }) }, { idempotencyKey: true }),
  list: items.list(),
  price: items.price(),
  last: orders.last(),
  ping: ping(),
  pinged: ping(undefined, { headers: { "x-shop": "north" } })
})

type Calls = ReturnType<typeof calls>

describe("what a user of an API sees in the types", () => {
  it("an endpoint gives its value, its declared errors, and one error for everything else", () => {
    expectTypeOf<Calls["find"]>().toEqualTypeOf<Effect.Effect<Item, NoSuchItem | CallError>>()
    expectTypeOf<Calls["add"]>().toEqualTypeOf<Effect.Effect<void, CallError>>()
    expectTypeOf<Calls["ping"]>().toEqualTypeOf<Effect.Effect<string, CallError>>()
    expectTypeOf<Calls["pinged"]>().toEqualTypeOf<Effect.Effect<string, CallError>>()
  })

  it("the response stands beside the value where it is asked for", () => {
    expectTypeOf<Calls["both"]>().toEqualTypeOf<
      Effect.Effect<[value: Item, response: HttpClientResponse], NoSuchItem | CallError>
    >()
  })

  it("a stream fails with call errors, and belongs to a scope", () => {
    expectTypeOf<Calls["list"]>().toEqualTypeOf<
      Effect.Effect<Stream.Stream<Item, CallError>, NoSuchItem | CallError, Scope.Scope>
    >()
  })

  it("errors of a middleware are declared errors, on the server's side and on the client's", () => {
    expectTypeOf<Calls["last"]>().toEqualTypeOf<Effect.Effect<Item, Denied | NoToken | CallError>>()
  })

  it("what a schema needs is what the call needs", () => {
    expectTypeOf<Calls["price"]>().toEqualTypeOf<Effect.Effect<number, CallError, Rates>>()
  })

  it("a client needs the middleware that is required for it, and a group its own alone", () => {
    const made = (stock: Upstream.Upstream, api: Api) => ({
      all: UpstreamApi.make(stock, api),
      items: UpstreamApi.group(stock, api, { group: "items" }),
      find: UpstreamApi.endpoint(stock, api, { group: "items", endpoint: "find" }),
      last: UpstreamApi.endpoint(stock, api, { group: "orders", endpoint: "last" })
    })
    type Made = ReturnType<typeof made>
    expectTypeOf<Made["all"]>().toEqualTypeOf<Effect.Effect<StockClient, never, HttpApiMiddleware.ForClient<Auth>>>()
    expectTypeOf<Made["items"]>().toEqualTypeOf<Effect.Effect<StockClient["items"]>>()
    expectTypeOf<Made["find"]>().toEqualTypeOf<Effect.Effect<StockClient["items"]["find"]>>()
    expectTypeOf<Made["last"]>().toEqualTypeOf<
      Effect.Effect<StockClient["orders"]["last"], never, HttpApiMiddleware.ForClient<Auth>>
    >()
  })

  it("requests want what is declared, and nothing else", () => {
    const wrong = (client: StockClient, stock: Upstream.Upstream, api: Api) => [
      // @ts-expect-error params are missing
      client.items.find(),
      // @ts-expect-error a place of another type
      client.items.find({ params: { sku: 7 } }),
      // @ts-expect-error a part that is not declared
      client.items.find({ params: { sku: "A-7" }, query: {} }),
      // @ts-expect-error an option that does not exist
      client.items.find({ params: { sku: "A-7" } }, { idempotencyKy: "k" }),
      // @ts-expect-error a response that is not decoded is a client's
      client.items.find({ params: { sku: "A-7" }, responseMode: "response-only" }),
      // @ts-expect-error a group that does not exist
      UpstreamApi.group(stock, api, { group: "itms" })
    ]
    expectTypeOf(wrong).toBeFunction()
  })
})

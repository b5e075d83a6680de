import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"

export class Item extends Schema.Class<Item>("Item")({ sku: Schema.String, left: Schema.Int }) {}

export class NoSuchItem extends Schema.TaggedError<NoSuchItem>()(
  "NoSuchItem",
  { sku: Schema.String },
  { httpApiStatus: 404 }
) {}

/** An API as one may have it already. */
export class Api extends HttpApi.make("stock").add(
  HttpApiGroup.make("items", { topLevel: true }).add(
    HttpApiEndpoint.get("find", "/items/:sku", {
      params: { sku: Schema.String },
      success: Item,
      error: NoSuchItem
    })
  )
) {}

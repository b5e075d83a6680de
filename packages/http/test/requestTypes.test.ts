import { describe, expectTypeOf, it } from "@effect/vitest"
import type { CallError } from "@holdfast/core/CallError"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Answer, StreamedAnswer } from "../src/Request.ts"
import type { Transport } from "../src/Transport.ts"
import * as Upstream from "../src/Upstream.ts"

class Charge extends Schema.Class<Charge>("Charge")({ id: Schema.String, amount: Schema.Int }) {}

class Payments extends Upstream.Service<Payments>()("payments", { baseUrl: "https://payments.internal/v1" }) {}

describe("what a user sees in the types", () => {
  it("a call with a schema gives its type, one error, and the upstream as its need", () => {
    const call = Payments.use((payments) => payments.get("/charges/{id}", { params: { id: "1" }, decode: Charge }))
    expectTypeOf(call).toEqualTypeOf<Effect.Effect<Charge, CallError, Payments>>()
  })

  it("a call without a schema gives the whole answer", () => {
    expectTypeOf(Payments.use((payments) => payments.get("/charges"))).toEqualTypeOf<
      Effect.Effect<Answer, CallError, Payments>
    >()
  })

  it("a streamed answer needs a scope, takes no schema, and wants the places of its path", () => {
    const call = Payments.use((payments) => payments.streaming.get("/charges", { maxBytes: 1 }))
    expectTypeOf(call).toEqualTypeOf<Effect.Effect<StreamedAnswer, CallError, Payments | Scope.Scope>>()
    expectTypeOf<StreamedAnswer["stream"]>().toEqualTypeOf<Stream.Stream<Uint8Array, CallError>>()
    const calls = ({ streaming }: Upstream.Upstream) => [
      // @ts-expect-error params are missing
      streaming.get("/charges/{id}"),
      // @ts-expect-error what is streamed is not decoded
      streaming.get("/charges", { decode: Charge }),
      streaming.post("/charges/{id}", { params: { id: 1 }, json: {} })
    ]
    expectTypeOf(calls).toBeFunction()
  })

  it("an upstream needs a transport and nothing else", () => {
    expectTypeOf(Payments.layer).toEqualTypeOf<Layer.Layer<Payments, never, Transport>>()
  })

  it("a handled reason adds what its handler gives, and the error stays for the others", () => {
    const handled = Payments.use((payments) =>
      payments.get("/charges/{id}", { params: { id: 1 }, decode: Charge })
    ).pipe(Effect.catchReason("CallError", "NotFound", (reason) => Effect.succeed(reason.status)))
    expectTypeOf(handled).toEqualTypeOf<Effect.Effect<Charge | 404, CallError, Payments>>()
  })

  it("a path with places wants all of them, and no others", () => {
    const calls = (payments: Upstream.Upstream) => [
      // @ts-expect-error params are missing
      payments.get("/charges/{id}"),
      // @ts-expect-error params are missing beside a schema
      payments.get("/charges/{id}", { decode: Charge }),
      // @ts-expect-error a place that the path does not have
      payments.get("/charges/{id}", { params: { id: 1, other: 2 }, decode: Charge }),
      // @ts-expect-error a path without places takes no params
      payments.get("/charges", { params: { id: 1 } }),
      // @ts-expect-error an option that does not exist
      payments.get("/charges", { jsn: 1 }),
      payments.get("/charges/{id}/lines/{line}", { params: { id: 1, line: "a" } })
    ]
    expectTypeOf(calls).toBeFunction()
  })

  it("a misspelt option of a declaration is refused, and a layer without a base URL is none", () => {
    // @ts-expect-error `polcy` is no option
    class Misspelt extends Upstream.Service<Misspelt>()("a", { baseUrl: "https://a", polcy: 1 }) {}
    class Nowhere extends Upstream.Service<Nowhere>()("b", {}) {}
    expectTypeOf(Misspelt.layer).toEqualTypeOf<Layer.Layer<Misspelt, never, Transport>>()
    expectTypeOf(Nowhere.layer).toBeString()
    // a base URL that may be undefined is none until the layer says one
    const environment: { readonly PAYMENTS?: string | undefined } = {}
    class Perhaps extends Upstream.Service<Perhaps>()("c", { baseUrl: environment.PAYMENTS }) {}
    expectTypeOf(Perhaps.layer).toBeString()
    expectTypeOf(Nowhere.layerWith({ baseUrl: "https://b" })).toEqualTypeOf<Layer.Layer<Nowhere, never, Transport>>()
  })
})

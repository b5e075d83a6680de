import { Effect, Layer } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as Upstream from "../src/Upstream.ts"

describe("two upstreams of one name", () => {
  it.effect("are two services", () =>
    Effect.gen(function* () {
      class Live extends Upstream.Service<Live>()("payments", { baseUrl: "https://live.internal" }) {}
      class Sandbox extends Upstream.Service<Sandbox>()("payments", { baseUrl: "https://sandbox.internal" }) {}
      const origins = Effect.gen(function* () {
        yield* (yield* Live).get("/a")
        yield* (yield* Sandbox).get("/a")
        return (yield* ScriptedTransport.seen).requests.map(({ origin }) => origin)
      })
      const both = Layer.mergeAll(Live.layer, Sandbox.layer).pipe(
        Layer.provideMerge(ScriptedTransport.layer({ "*": [ScriptedTransport.status(200)] }))
      )
      assert.deepStrictEqual(yield* Effect.provide(origins, both), [
        "https://live.internal",
        "https://sandbox.internal"
      ])
    })
  )
})

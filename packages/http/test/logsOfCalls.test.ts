import { Effect, Logger, References, Schema, SchemaGetter } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as RequestIdentity from "../src/RequestIdentity.ts"
import { upstream } from "./support/stock.ts"

/** Decodes anything, and says that it does. */
const Telling = Schema.Unknown.pipe(
  Schema.decodeTo(Schema.Unknown, {
    decode: SchemaGetter.transformEffect((value) => Effect.as(Effect.log("decoding"), value)),
    encode: SchemaGetter.passthrough()
  })
)

/** The annotations of what is logged inside of a call, and after it. */
const logged = (annotates: boolean) =>
  Effect.suspend(() => {
    const lines: Array<Readonly<Record<string, unknown>>> = []
    const keeping = Logger.make(({ fiber }) => void lines.push(fiber.getRef(References.CurrentLogAnnotations)))
    return upstream(
      { "*": [ScriptedTransport.json({})] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const headers = { "x-request-id": "order-4711" }
        yield* api.get("/items/{id}", { params: { id: 7 }, decode: Telling, headers })
        yield* Effect.log("after")
        return lines
      })
    ).pipe(
      Effect.annotateLogs("job", "nightly"),
      Effect.provideService(RequestIdentity.AnnotateCalls, annotates),
      Effect.provide(Logger.layer([keeping]))
    )
  })

describe("what is logged inside of a call", () => {
  it.effect("says whose it is where that is asked for, beside what is said around it", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* logged(true), [
        {
          job: "nightly",
          "holdfast.upstream": "stock",
          "holdfast.operation": "GET /items/{id}",
          "holdfast.request_id": "order-4711"
        },
        { job: "nightly" }
      ])
      assert.deepStrictEqual(yield* logged(false), [{ job: "nightly" }, { job: "nightly" }])
    })
  )
})

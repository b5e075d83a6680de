import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import type { Encoding } from "../src/internal/otlp/exportPieces.ts"
import { Delivery } from "../src/internal/otlp/otlpDelivery.ts"
import { isolated } from "./support/observed.ts"

const url = new URL("http://collector.test/v1/traces")

/** Spans of these names as JSON. */
const encoding: Encoding<ReadonlyArray<string>> = {
  contentType: "application/json",
  count: (names) => names.length,
  encode: (names) =>
    new TextEncoder().encode(
      JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: names.map((name) => ({ name })) }] }] })
    ),
  fine: (names) => names
}

/** How many items each batch of a queue has after this was handed over. */
const queued = (names: ReadonlyArray<string>, maxBytes: number) =>
  Effect.gen(function* () {
    const carrier = HttpClient.make((request) =>
      Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 200 })))
    )
    const delivery = new Delivery(
      {
        url,
        headers: {},
        gzip: false,
        timeoutMillis: 1000,
        signal: "traces",
        giveUpMillis: 1000,
        maxBytes,
        maxBatches: 100
      },
      carrier,
      yield* Effect.context<never>(),
      yield* Clock.Clock
    )
    const body = delivery.encode(names, encoding)
    yield* delivery.client.execute(HttpClientRequest.setBody(HttpClientRequest.post(url), body))
    return delivery.queue.waiting.map(({ items }) => items)
  }).pipe(isolated)

describe("the delivery of an export", () => {
  const names = ["a", "b", "c", "d"]
  const bytes = encoding.encode(names, names.length).length

  it.effect("takes a batch whole that is a quarter of its queue, and cuts what is larger", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* queued(names, bytes * 4), [4])
      const pieces = yield* queued(names, bytes * 4 - 1)
      assert.lengthOf(pieces, 2)
      assert.strictEqual(
        pieces.reduce((sum, items) => sum + items, 0),
        4
      )
    })
  )
})

import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, layer } from "@effect/vitest"
import { Console, Effect, Layer, Schema } from "effect"
import { FetchHttpClient, HttpMiddleware, HttpServer, HttpServerResponse } from "effect/http"
import { Otlp } from "effect/observability"
import { Backoff, RequestIdentity } from "holdfast"
import { RequestEdge } from "holdfast/server"
import { Logging } from "holdfast/telemetry"
import { OtlpReceiver } from "holdfast/testing"
import { bounded, calling } from "./support/calling.ts"
import { Behaviour, TestUpstream } from "./support/upstream.ts"

const Charge = Schema.Struct({ ok: Schema.Boolean })

interface Line {
  readonly body: unknown
  readonly event_name?: string
  readonly trace_id?: string
  readonly span_id?: string
  readonly attributes: { readonly [name: string]: unknown }
}

layer(TestUpstream.layer, { excludeTestServices: true })("the identity of a request", (it) => {
  it.effect("is in the upstream's request, on every line, in the spans and in the answer", () =>
    Effect.gen(function* () {
      const upstream = yield* TestUpstream
      const listener = yield* upstream.listen(Behaviour.http([Behaviour.status(503), Behaviour.json({ ok: true })]))
      const receiver = yield* OtlpReceiver.start
      const written: Array<string> = []
      const edge = RequestIdentity.edge({ tags: ["x-gray-tag"] })

      const answer = yield* Effect.gen(function* () {
        const payments = yield* calling(listener, {
          policy: { retry: { schedule: Backoff.exponential({ base: "5 millis", cap: "20 millis" }) } },
          transport: { connections: 1 },
          upstream: { propagateTags: ["x-gray-tag"] }
        })
        const checkout = Effect.gen(function* () {
          yield* Effect.log("checking out")
          const charge = yield* payments.get("/charges/{id}", { params: { id: "ch_1" }, decode: Charge })
          return HttpServerResponse.jsonUnsafe(charge)
        })
        const server = yield* NodeHttpServer.make(() => createServer(), { host: "127.0.0.1", port: 0 })
        yield* server.serve(checkout, (handler) => RequestEdge.middleware(edge)(HttpMiddleware.logger(handler)))
        return yield* Effect.promise(async () => {
          const response = await fetch(HttpServer.formatAddress(server.address), {
            headers: { "x-request-id": "order-4711", "x-gray-tag": "canary", "x-other": "1" }
          })
          return { id: response.headers.get("x-request-id"), body: await response.json() }
        })
      }).pipe(
        Effect.scoped,
        bounded,
        Effect.provide(
          Logging.layer({ level: "Debug" }).pipe(
            Layer.provideMerge(
              Otlp.layerJson({
                baseUrl: receiver.url,
                resource: { serviceName: "checkout" },
                tracerExportInterval: "50 millis",
                shutdownTimeout: "1 second"
              }).pipe(Layer.provide(FetchHttpClient.layer))
            ),
            Layer.provideMerge(
              Layer.succeed(Console.Console, { ...console, log: (line: string) => void written.push(line) })
            )
          )
        )
      )
      assert.deepStrictEqual(answer, { id: "order-4711", body: { ok: true } })

      const { requests } = yield* upstream.facts(listener)
      assert.deepStrictEqual(
        requests.map(({ headers }) => [headers["x-request-id"], headers["x-gray-tag"], headers["x-other"]]),
        [
          ["order-4711", "canary", undefined],
          ["order-4711", "canary", undefined]
        ]
      )

      const spans = yield* receiver.spans
      const call = spans.find(({ name }) => name === "payments GET /charges/{id}")
      const incoming = spans.find(({ kind }) => kind === "server")
      assert.isDefined(call)
      assert.strictEqual(call.attributes["holdfast.request_id"], "order-4711")
      assert.deepInclude(incoming?.attributes, {
        "holdfast.request_id": "order-4711",
        "holdfast.tag.x-gray-tag": "canary"
      })

      // every line is JSON, or this throws
      const lines = written.map((line) => JSON.parse(line) as Line)
      assert.deepStrictEqual(
        lines.map(({ body, event_name }) => event_name ?? body),
        ["checking out", "holdfast.attempt", "holdfast.attempt", "holdfast.call.degraded", "Sent HTTP response"]
      )
      for (const { attributes, trace_id } of lines) {
        assert.deepStrictEqual(
          [attributes["holdfast.request_id"], attributes["holdfast.tag.x-gray-tag"], trace_id],
          ["order-4711", "canary", call.traceId]
        )
      }
      assert.strictEqual(lines[3]?.span_id, call.spanId)
      assert.strictEqual(lines[0]?.span_id, incoming?.spanId)
    })
  )
})

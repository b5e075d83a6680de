// A program that has an OpenTelemetry SDK already: its own instrumentation makes a span for the request that it serves, and what it
// calls shows up below that span, through the same SDK, its processors and its exporter. The SDK is flushed before the program ends.
//
// prints:
// before shutdown: 0 spans exported
// after shutdown:
// GET /checkout (server)
//   stock GET /items/{sku} (internal)
//     GET /items/{sku} (client) 503
//     GET /items/{sku} (client), resend 1

// by module: the package's own entry loads its browser half too, which needs an SDK that a server has not
import * as OtelTracer from "@effect/opentelemetry/OtelTracer"
import * as Resource from "@effect/opentelemetry/Resource"
import { SpanKind, trace } from "@opentelemetry/api"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import { resourceFromAttributes } from "@opentelemetry/resources"
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node"
import { Effect, Layer } from "effect"
import { Upstream } from "holdfast"
import { OtlpReceiver, ScriptedTransport } from "holdfast/testing"

class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}

// what the program has already: an SDK, registered for all its instrumentation
const startSdk = (collectorUrl: string) => {
  const exporter = new OTLPTraceExporter({ url: `${collectorUrl}/v1/traces` })
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ "service.name": "shop" }),
    spanProcessors: [new BatchSpanProcessor(exporter)]
  })
  provider.register()
  return provider
}

// what the program adds: Effect's spans are spans of that SDK
const tracing = OtelTracer.layerGlobal.pipe(Layer.provide(Resource.layer({ serviceName: "shop" })))

const transport = ScriptedTransport.layer({
  "GET /items/{sku}": [ScriptedTransport.status(503), ScriptedTransport.json({ left: 3 })]
})
const services = Stock.layer.pipe(Layer.provide(transport), Layer.provideMerge(tracing))

const checkout = Effect.flatMap(Stock, (stock) => stock.get("/items/{sku}", { params: { sku: "A-7" } }))

/** What an instrumented server does around a handler; the handler runs the Effect below the span that it is in. */
const serve = () =>
  trace.getTracer("http").startActiveSpan("GET /checkout", { kind: SpanKind.SERVER }, async (span) => {
    try {
      await Effect.runPromise(checkout.pipe(OtelTracer.withSpanContext(span.spanContext()), Effect.provide(services)))
    } finally {
      span.end()
    }
  })

const show = (spans: ReadonlyArray<OtlpReceiver.SpanRecord>, parent?: string, indent = ""): void => {
  const below = spans.filter((span) => span.parentSpanId === parent)
  for (const span of below.toSorted((a, b) => Number(a.startTimeUnixNano - b.startTimeUnixNano))) {
    const resend = span.attributes["http.request.resend_count"]
    const failed = span.attributes["error.type"]
    console.log(
      `${indent}${span.name} (${span.kind})${failed === undefined ? "" : ` ${String(failed)}`}` +
        (resend === undefined ? "" : `, resend ${String(resend)}`)
    )
    show(spans, span.spanId, `${indent}  `)
  }
}

const main = Effect.gen(function* () {
  const receiver = yield* OtlpReceiver.start
  const sdk = startSdk(receiver.url)
  yield* Effect.promise(serve)
  console.log(`before shutdown: ${(yield* receiver.spans).length} spans exported`)
  // an SDK that Effect did not make is not Effect's to close: where the program ends, it must flush
  yield* Effect.promise(() => sdk.shutdown())
  console.log("after shutdown:")
  show(yield* receiver.spans)
})

await Effect.runPromise(Effect.scoped(main))

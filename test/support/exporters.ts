/**
 * The ways in which a program's spans leave it, all to the receiver of a test.
 */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Layer } from "effect"
import { FetchHttpClient } from "effect/http"
import { Otlp } from "effect/observability"

/** Exports to a collector at this base url. What it holds back is sent when the layer is closed. */
export type Exporter = (collectorUrl: string) => Layer.Layer<never>

const serviceName = "checkout"

const effectExporter =
  (make: typeof Otlp.layerJson): Exporter =>
  (collectorUrl) =>
    make({
      baseUrl: collectorUrl,
      resource: { serviceName },
      tracerExportInterval: "50 millis",
      shutdownTimeout: "1 second"
    }).pipe(Layer.provide(FetchHttpClient.layer))

const sdkExporter: Exporter = (collectorUrl) =>
  NodeSdk.layer(() => ({
    resource: { serviceName },
    spanProcessor: new BatchSpanProcessor(new OTLPTraceExporter({ url: `${collectorUrl}/v1/traces` })),
    shutdownTimeout: "1 second"
  }))

export const exporters: ReadonlyArray<{
  readonly exporter: string
  readonly install: Exporter
}> = [
  { exporter: "Effect, JSON", install: effectExporter(Otlp.layerJson) },
  { exporter: "Effect, protobuf", install: effectExporter(Otlp.layerProtobuf) },
  { exporter: "the OpenTelemetry SDK", install: sdkExporter }
]

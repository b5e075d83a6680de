/** The measurements of a delivery, under the names that OpenTelemetry has for exporters. */

import type * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import * as Transport from "@holdfast/http/Transport"
import type { DropReason } from "./deliveryQueue.ts"
import type { Signal } from "./otlpSlice.ts"

const names: { readonly [S in Signal]: { readonly metric: string; readonly unit: string } } = {
  traces: { metric: "otel.sdk.exporter.span", unit: "{span}" },
  metrics: { metric: "otel.sdk.exporter.metric_data_point", unit: "{data_point}" },
  logs: { metric: "otel.sdk.exporter.log", unit: "{log_record}" }
}

export class DeliveryMetrics {
  readonly #context: Context.Context<never>
  readonly #metric: string
  readonly #attributes: Readonly<Record<string, string>>
  readonly #registered = new Map<string, Metric.Registration>()

  constructor(signal: Signal, url: URL, context: Context.Context<never>) {
    const { metric, unit } = names[signal]
    const { host, port } = Transport.serverOf(url.origin)
    this.#context = context
    this.#metric = metric
    this.#attributes = {
      unit,
      "otel.component.type": "holdfast_otlp_http_exporter",
      "server.address": host,
      "server.port": String(port)
    }
  }

  /** The items that wait or are being sent; the figure is read when somebody exports it. */
  inFlight(read: () => number): void {
    this.#register(
      "inflight",
      Metric.gauge(`${this.#metric}.inflight`, {
        description: "Handed to the exporter, and neither exported nor dropped yet",
        attributes: this.#attributes
      }),
      () => ({ value: read() })
    )
  }

  /** One series for items that arrived, and one for each reason of drops that there were. */
  exported(reason: DropReason | undefined, read: () => number): void {
    this.#register(
      reason ?? "arrived",
      Metric.counter(`${this.#metric}.exported`, {
        description: "Exported, or dropped for the reason in error.type",
        attributes: reason === undefined ? this.#attributes : { ...this.#attributes, "error.type": reason }
      }),
      () => ({ count: read(), incremental: true })
    )
  }

  remove(): void {
    for (const registration of this.#registered.values()) registration.remove()
  }

  #register<State>(key: string, metric: Metric.Metric<number, State>, get: () => State): void {
    if (this.#registered.has(key)) return
    const update = (): void => {}
    this.#registered.set(key, Metric.registerUnsafe(metric, this.#context, { get, update, modify: update }))
  }
}

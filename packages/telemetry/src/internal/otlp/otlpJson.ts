/** OTLP's messages in JSON. Effect's data has that form already, but for numbers that JSON does not know. */

import type { LogsData } from "effect/observability/OtlpLogger"
import type { MetricsData } from "effect/observability/OtlpMetrics"
import type { TraceData } from "effect/observability/OtlpTracer"

// protobuf's JSON form has NaN and Infinity as strings, where JSON.stringify writes null
const withoutNull = (_key: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isFinite(value) ? String(value) : value

const encode = (data: unknown): Uint8Array<ArrayBuffer> => {
  const text = JSON.stringify(data)
  return new TextEncoder().encode(text.includes("null") ? JSON.stringify(data, withoutNull) : text)
}

/** An `ExportTraceServiceRequest`. */
export const encodeTraces: (data: TraceData) => Uint8Array<ArrayBuffer> = encode

/** An `ExportMetricsServiceRequest`. */
export const encodeMetrics: (data: MetricsData) => Uint8Array<ArrayBuffer> = encode

/** An `ExportLogsServiceRequest`. */
export const encodeLogs: (data: LogsData) => Uint8Array<ArrayBuffer> = encode

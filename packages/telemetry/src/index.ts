export * as ErrorReport from "./ErrorReport.ts"
export * as Metrics from "./Metrics.ts"
export * as Prometheus from "./Prometheus.ts"
export * as Windows from "./Windows.ts"

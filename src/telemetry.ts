/**
 * Spans, metrics, logs, windows and reports.
 *
 * @since 0.1.0
 */

export * from "@holdfast/telemetry"

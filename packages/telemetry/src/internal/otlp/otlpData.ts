/**
 * Turns the data of Effect's exporters into data that fits OTLP and its conventions: each item names the library that made it, and
 * a series that begins again says so.
 */

import type { LogsData } from "effect/observability/OtlpLogger"
import type { MetricsData } from "effect/observability/OtlpMetrics"
import type { KeyValue } from "effect/observability/OtlpResource"
import type { TraceData } from "effect/observability/OtlpTracer"
import * as Version from "effect/Version"
import { catalogue } from "../metrics/catalogue.ts"

type Span = TraceData["resourceSpans"][number]["scopeSpans"][number]["spans"][number]
type Metric = MetricsData["resourceMetrics"][number]["scopeMetrics"][number]["metrics"][number]
type LogRecord = NonNullable<LogsData["resourceLogs"][number]["scopeLogs"][number]["logRecords"]>[number]
type NumberPoint = NonNullable<Metric["sum"]>["dataPoints"][number]

/** Version of this library. */
export const version = "0.1.0"

/** The conventions that the names of attributes and metrics are from. */
export const schemaUrl = "https://opentelemetry.io/schemas/1.37.0"

interface Scope {
  readonly name: string
  readonly version: string
}

const own: Scope = { name: "holdfast", version }

/** Of signals that a program records with Effect itself. */
const effects: Scope = { name: "effect", version: Version.getCurrentVersion() }

/** Items by whether they are this library's, each group with its scope; a group without any is left out. */
const byScope = <A>(items: ReadonlyArray<A>, isOwn: (item: A) => boolean) => {
  const mine: Array<A> = []
  const others: Array<A> = []
  for (const item of items) (isOwn(item) ? mine : others).push(item)
  return [
    ...(mine.length === 0 ? [] : [{ scope: own, items: mine, schemaUrl }]),
    ...(others.length === 0 ? [] : [{ scope: effects, items: others, schemaUrl: undefined }])
  ]
}

const hasOwnAttribute = ({ attributes }: { readonly attributes: ReadonlyArray<KeyValue> }): boolean =>
  attributes.some(({ key }) => key.startsWith("holdfast."))

const unset = 0
const ok = 1

/** A span that succeeded has no status: `Ok` is an operator's word, and not a library's (OpenTelemetry, "Set Status"). */
const withoutOk = (span: Span): Span => (span.status.code === ok ? { ...span, status: { code: unset } } : span)

export const tracesOf = (data: TraceData): TraceData => ({
  resourceSpans: data.resourceSpans.map(({ resource, scopeSpans }) => ({
    resource,
    scopeSpans: scopeSpans.flatMap(({ spans }) =>
      byScope(spans, hasOwnAttribute).map(({ items, schemaUrl, scope }) => ({
        scope,
        spans: items.map(withoutOk),
        schemaUrl
      }))
    )
  }))
})

export const logsOf = (data: LogsData): LogsData => ({
  resourceLogs: data.resourceLogs.map((group) => ({
    ...group,
    scopeLogs: group.scopeLogs.flatMap(({ logRecords = [] }) =>
      byScope<LogRecord>(logRecords, hasOwnAttribute).map(({ items, schemaUrl, scope }) => ({
        scope,
        logRecords: items,
        ...(schemaUrl === undefined ? {} : { schemaUrl })
      }))
    )
  }))
})

const isOwnMetric = ({ name }: Metric): boolean => Object.hasOwn(catalogue, name) || name.startsWith("otel.sdk.")

/** The registry has the unit among the attributes; here it has a field of its own. */
const withoutUnit = (attributes: Array<KeyValue>): Array<KeyValue> =>
  attributes.filter(({ key }) => key !== "unit" && key !== "time_unit")

/** A whole number that is no int64 is a double: nothing else could read it. */
const withinInt64 = (point: NumberPoint): NumberPoint => {
  const { asInt, ...rest } = point
  // a value that is no whole number at all is the encoder's to refuse
  if (asInt === undefined || (typeof asInt === "number" && (Number.isSafeInteger(asInt) || !Number.isInteger(asInt)))) {
    return point
  }
  const exact = BigInt(asInt)
  return BigInt.asIntN(64, exact) === exact ? point : { ...rest, asDouble: Number(exact) }
}

const cumulative = 2

/** A value that goes up and down and may be summed is a sum to OTLP; the registry has some of these as gauges. */
const withKind = (metric: Metric): Metric => {
  const definition: { readonly [name: string]: { readonly kind: string } } = catalogue
  const { gauge, ...rest } = metric
  if (gauge === undefined || definition[metric.name]?.kind !== "upDownCounter") return metric
  return {
    ...rest,
    sum: { dataPoints: gauge.dataPoints, aggregationTemporality: cumulative, isMonotonic: false }
  }
}

/** Makes data of one exporter's exports, one after the other. */
export const metricsData = (): ((data: MetricsData) => MetricsData) => {
  const starts = new SeriesStarts()
  return (data) => {
    const made: MetricsData = {
      resourceMetrics: data.resourceMetrics.map((group) => ({
        ...group,
        scopeMetrics: group.scopeMetrics.flatMap(({ metrics }) =>
          byScope(metrics, isOwnMetric).map(({ items, schemaUrl, scope }) => ({
            scope,
            metrics: items.map((metric) => starts.stamped(withKind(metric))),
            ...(schemaUrl === undefined ? {} : { schemaUrl })
          }))
        )
      }))
    }
    starts.next()
    return made
  }
}

interface Known {
  readonly start: Start
  /** Its count so far: no less may follow. */
  readonly count: number
}

type Start = NumberPoint["startTimeUnixNano"]

interface AnyPoint {
  attributes?: Array<KeyValue>
  startTimeUnixNano?: Start
  timeUnixNano?: Start
}

/**
 * When each series began. All that the first export has began with the exporter. A series that comes later, or that has less than
 * the last time, was made anew since the last export, and its time begins there: with its old beginning its count would have gone
 * down (OpenTelemetry, "Resets and gaps").
 */
class SeriesStarts {
  private known = new Map<string, Known>()
  private upcoming = new Map<string, Known>()
  private isFirst = true
  private lastTime: Start
  private time: Start

  stamped(metric: Metric): Metric {
    const { histogram, sum, summary, gauge } = metric
    return {
      ...metric,
      ...(gauge === undefined
        ? {}
        : { gauge: { dataPoints: gauge.dataPoints.map((point) => withinInt64(plain(point))) } }),
      ...(sum === undefined
        ? {}
        : {
            sum: {
              ...sum,
              dataPoints: sum.dataPoints.map((point) => {
                const count = sum.isMonotonic ? Number(point.asDouble ?? point.asInt ?? 0) : 0
                return this.point(metric.name, withinInt64(point), count)
              })
            }
          }),
      ...(histogram === undefined
        ? {}
        : {
            histogram: {
              ...histogram,
              dataPoints: histogram.dataPoints.map((point) => this.point(metric.name, point, point.count ?? 0))
            }
          }),
      ...(summary === undefined
        ? {}
        : {
            summary: {
              dataPoints: summary.dataPoints.map((point) => this.point(metric.name, point, point.count ?? 0))
            }
          })
    }
  }

  /** The export is made; series that were not in it have left. */
  next(): void {
    this.known = this.upcoming
    this.upcoming = new Map()
    this.isFirst = false
    this.lastTime = this.time
  }

  private point<P extends AnyPoint>(name: string, given: P, count: number): P {
    const point = plain(given)
    this.time = point.timeUnixNano
    const key = keyOf(name, point.attributes ?? [])
    const known = this.known.get(key)
    const isGoingOn = known !== undefined && count >= known.count
    const start = isGoingOn ? known.start : this.isFirst ? point.startTimeUnixNano : this.lastTime
    this.upcoming.set(key, { start, count })
    return { ...point, startTimeUnixNano: start }
  }
}

const plain = <P extends AnyPoint>(point: P): P => ({ ...point, attributes: withoutUnit(point.attributes ?? []) })

const keyOf = (name: string, attributes: ReadonlyArray<KeyValue>): string => {
  let key = name
  for (const { key: attribute, value } of attributes) key += `\u0000${attribute}\u0001${value.stringValue}`
  return key
}

/** How many spans an export has. */
export const countSpans = (data: TraceData): number => {
  let count = 0
  for (const { scopeSpans } of data.resourceSpans) for (const { spans } of scopeSpans) count += spans.length
  return count
}

/** How many data points an export has. */
export const countPoints = (data: MetricsData): number => {
  let count = 0
  for (const { scopeMetrics } of data.resourceMetrics) {
    for (const { metrics } of scopeMetrics) {
      for (const { gauge, histogram, sum, summary } of metrics) {
        count +=
          (gauge?.dataPoints.length ?? 0) +
          (sum?.dataPoints.length ?? 0) +
          (histogram?.dataPoints.length ?? 0) +
          (summary?.dataPoints.length ?? 0)
      }
    }
  }
  return count
}

/** How many log records an export has. */
export const countRecords = (data: LogsData): number => {
  let count = 0
  for (const { scopeLogs } of data.resourceLogs)
    for (const { logRecords } of scopeLogs) count += logRecords?.length ?? 0
  return count
}

/** The export without the spans of which an export is not fine. */
export const fineSpans = (data: TraceData, isFine: (one: TraceData) => boolean): TraceData => ({
  resourceSpans: data.resourceSpans.map((group) => ({
    ...group,
    scopeSpans: group.scopeSpans.map((scoped) => ({
      ...scoped,
      spans: scoped.spans.filter((span) =>
        isFine({ resourceSpans: [{ ...group, scopeSpans: [{ ...scoped, spans: [span] }] }] })
      )
    }))
  }))
})

/** The same of metrics, with all points of each. */
export const fineMetrics = (data: MetricsData, isFine: (one: MetricsData) => boolean): MetricsData => ({
  resourceMetrics: data.resourceMetrics.map((group) => ({
    ...group,
    scopeMetrics: group.scopeMetrics.map((scoped) => ({
      ...scoped,
      metrics: scoped.metrics.filter((metric) =>
        isFine({ resourceMetrics: [{ ...group, scopeMetrics: [{ ...scoped, metrics: [metric] }] }] })
      )
    }))
  }))
})

/** The same of log records. */
export const fineRecords = (data: LogsData, isFine: (one: LogsData) => boolean): LogsData => ({
  resourceLogs: data.resourceLogs.map((group) => ({
    ...group,
    scopeLogs: group.scopeLogs.map((scoped) => ({
      ...scoped,
      logRecords: (scoped.logRecords ?? []).filter((record) =>
        isFine({ resourceLogs: [{ ...group, scopeLogs: [{ ...scoped, logRecords: [record] }] }] })
      )
    }))
  }))
})

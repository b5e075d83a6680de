/** How metrics are written on a page, and which of them cannot stand together. */

import type * as Metric from "effect/Metric"
import { labelName, prometheusName, unitIn } from "./prometheusNames.ts"
import type { Exemplar, ExemplifiedState } from "../metrics/series.ts"

/** A metric as it was read. */
export type Snapshot = Metric.Metric.Snapshot

/** Prometheus' own text format, version 0.0.4, or OpenMetrics 1.0, which knows units and has an end. */
export type Format = "text" | "openMetrics"

type Type = "counter" | "gauge" | "histogram" | "summary"

interface Family {
  readonly name: string
  readonly type: Type
  readonly help: string
  readonly unit: string | undefined
  readonly series: Array<readonly [labels: string, metric: Snapshot]>
  /** Label sets that it has: a page with one twice is refused as a whole. */
  readonly seen: Set<string>
}

const typeOf = (metric: Snapshot): Type => {
  switch (metric.type) {
    case "Counter":
      // one that also goes down is a gauge to Prometheus
      return metric.state.incremental ? "counter" : "gauge"
    case "Frequency":
      return "counter"
    case "Gauge":
      return "gauge"
    case "Histogram":
      return "histogram"
    case "Summary":
      return "summary"
  }
}

const unitOf = ({ attributes }: Snapshot): string | undefined => attributes?.["unit"] ?? attributes?.["time_unit"]

const nameOf = (metric: Snapshot, type: Type): string =>
  // an up-down counter of `1` is no ratio
  prometheusName(metric.id, metric.type === "Counter" && type === "gauge" ? "upDownCounter" : type, unitOf(metric))

/** The name of a counter's family in OpenMetrics. */
const withoutTotal = (name: string): string => name.replace(/_total$/, "")

/** Names that a family takes beside its own, in either format. */
const reserved = (name: string, type: Type): ReadonlyArray<string> => {
  if (type === "counter") return [name, withoutTotal(name)]
  if (type === "histogram") return [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]
  if (type === "summary") return [name, `${name}_sum`, `${name}_count`]
  return [name]
}

/** Labels that samples of a kind have of their own; an attribute of that name is called otherwise. */
const taken: { readonly [T in Snapshot["type"]]?: string } = { Histogram: "le", Summary: "quantile", Frequency: "key" }

const labelsOf = (metric: Snapshot): string => {
  const labels = new Map<string, string>()
  for (const [key, value] of Object.entries(metric.attributes ?? {}).sort(byName)) {
    if (key === "unit" || key === "time_unit") continue
    const plain = labelName(key)
    // nothing can be called by an empty name
    if (plain === "") continue
    const name = plain === taken[metric.type] ? `exported_${plain}` : plain
    const known = labels.get(name)
    // two attributes that are called the same here share one label, as the specification has it
    labels.set(name, known === undefined ? value : `${known};${value}`)
  }
  return [...labels].map(([name, value]) => `${name}="${escapedValue(value)}"`).join(",")
}

const byName = ([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number =>
  one < other ? -1 : one > other ? 1 : 0

const escapedValue = (value: string): string =>
  String(value).replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")

const escapedHelp = (text: string, format: Format): string => {
  const escaped = text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n")
  return format === "openMetrics" ? escaped.replace(/"/g, '\\"') : escaped
}

const number = (value: number | bigint): string => {
  if (value === Infinity) return "+Inf"
  if (value === -Infinity) return "-Inf"
  return String(value)
}

/** A boundary, which OpenMetrics has as a number with a fraction. */
const boundaryText = (value: number, format: Format): string => {
  const text = number(value)
  return format === "openMetrics" && /^-?\d+$/.test(text) ? `${text}.0` : text
}

const sample = (name: string, labels: string, value: number | bigint, more = "", exemplar = ""): string => {
  const inside = more === "" ? labels : labels === "" ? more : `${labels},${more}`
  return `${name}${inside === "" ? "" : `{${inside}}`} ${number(value)}${exemplar}\n`
}

/** The exemplar that OpenMetrics has behind a sample: a trace that tells more of it. */
const exemplarText = (exemplar: Exemplar | undefined): string =>
  exemplar === undefined
    ? ""
    : ` # {trace_id="${escapedValue(exemplar.traceId)}",span_id="${escapedValue(exemplar.spanId)}"} ` +
      `${number(exemplar.value)} ${exemplar.epochMillis / 1000}`

const samples = (name: string, labels: string, metric: Snapshot, format: Format): string => {
  switch (metric.type) {
    case "Counter":
      return sample(name, labels, metric.state.count)
    case "Gauge":
      return sample(name, labels, metric.state.value)
    case "Frequency": {
      let text = ""
      for (const [key, count] of metric.state.occurrences) {
        text += sample(name, labels, count, `key="${escapedValue(key)}"`)
      }
      return text
    }
    case "Histogram": {
      const { buckets, count, exemplars, sum }: ExemplifiedState = metric.state
      const exemplar = (bucket: number) => (format === "openMetrics" ? exemplarText(exemplars?.[bucket]) : "")
      let text = ""
      for (const [index, [boundary, count]] of buckets.entries()) {
        if (boundary === Infinity) continue
        const le = `le="${boundaryText(boundary, format)}"`
        text += sample(`${name}_bucket`, labels, count, le, exemplar(index))
      }
      return (
        text +
        sample(`${name}_bucket`, labels, count, 'le="+Inf"', exemplar(buckets.length)) +
        sample(`${name}_sum`, labels, sum) +
        sample(`${name}_count`, labels, count)
      )
    }
    case "Summary": {
      const { count, quantiles, sum } = metric.state
      let text = ""
      for (const [quantile, value] of quantiles) {
        if (value !== undefined) text += sample(name, labels, value, `quantile="${boundaryText(quantile, format)}"`)
      }
      return text + sample(`${name}_sum`, labels, sum) + sample(`${name}_count`, labels, count)
    }
  }
}

const headOf = ({ help, name, type, unit }: Family, format: Format): string => {
  const family = format === "openMetrics" && type === "counter" ? withoutTotal(name) : name
  return (
    `# HELP ${family} ${escapedHelp(help, format)}\n# TYPE ${family} ${type}\n` +
    (format === "openMetrics" && unit !== undefined ? `# UNIT ${family} ${unit}\n` : "")
  )
}

/** Metrics by families: series of one name stand together on the page. */
export class Families {
  private readonly families = new Map<string, Family>()
  private readonly names = new Set<string>()

  /**
   * Adds a metric, unless it would make the page one that Prometheus refuses, and with it everything on it: without a name, with a label
   * set that is there already, or with a name that another kind of metric has.
   */
  add(metric: Snapshot): void {
    const type = typeOf(metric)
    const name = nameOf(metric, type)
    if (name === "") return
    let family = this.families.get(name)
    if (family === undefined) {
      const names = reserved(name, type)
      if (names.some((name) => this.names.has(name))) return
      const unit = unitIn(type === "counter" ? withoutTotal(name) : name, unitOf(metric))
      family = { name, type, help: metric.description ?? metric.id, unit, series: [], seen: new Set() }
      this.families.set(name, family)
      for (const name of names) this.names.add(name)
    }
    if (family.type !== type) return
    const labels = labelsOf(metric)
    if (family.seen.has(labels)) return
    family.seen.add(labels)
    family.series.push([labels, metric])
  }

  /** The page, in pieces of not much more than so many characters; families by name. */
  *pieces(format: Format, characters: number): Generator<string> {
    let piece = ""
    const sorted = [...this.families.values()].sort((one, other) => (one.name < other.name ? -1 : 1))
    for (const family of sorted) {
      piece += headOf(family, format)
      for (const [labels, metric] of family.series) {
        piece += samples(family.name, labels, metric, format)
        if (piece.length < characters) continue
        yield piece
        piece = ""
      }
    }
    if (format === "openMetrics") piece += "# EOF\n"
    if (piece !== "") yield piece
  }
}

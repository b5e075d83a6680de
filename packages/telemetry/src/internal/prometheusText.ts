import type * as Metric from "effect/Metric"
import { labelName, prometheusName } from "./prometheusNames.ts"

type Snapshot = Metric.Metric.Snapshot

type Type = "counter" | "gauge" | "histogram" | "summary"

type Labels = ReadonlyMap<string, string>

interface Family {
  readonly name: string
  readonly type: Type
  readonly help: string
  readonly lines: Array<string>
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

const nameOf = (metric: Snapshot, type: Type): string => {
  const unit = metric.attributes?.["unit"] ?? metric.attributes?.["time_unit"]
  // an up-down counter of `1` is no ratio
  return prometheusName(metric.id, metric.type === "Counter" && type === "gauge" ? "upDownCounter" : type, unit)
}

/** Names that a family takes beside its own. */
const reserved = (name: string, type: Type): ReadonlyArray<string> => {
  if (type === "histogram") return [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]
  if (type === "summary") return [name, `${name}_sum`, `${name}_count`]
  return [name]
}

const labelsOf = (metric: Snapshot): Labels => {
  const labels = new Map<string, string>()
  for (const [key, value] of Object.entries(metric.attributes ?? {}).sort(byName)) {
    if (key === "unit" || key === "time_unit") continue
    const name = labelName(key)
    const known = labels.get(name)
    // two attributes that are called the same here share one label, as the specification has it
    labels.set(name, known === undefined ? value : `${known};${value}`)
  }
  return labels
}

const byName = ([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number =>
  one < other ? -1 : one > other ? 1 : 0

const escapedValue = (value: string): string => value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")

const escapedHelp = (text: string): string => text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n")

const number = (value: number | bigint): string => {
  if (value === Infinity) return "+Inf"
  if (value === -Infinity) return "-Inf"
  return String(value)
}

const sample = (name: string, labels: Labels, value: number | bigint, more?: readonly [string, string]): string => {
  const all = more === undefined ? labels : new Map([...labels, more])
  const inside = [...all].map(([name, value]) => `${name}="${escapedValue(value)}"`).join(",")
  return `${name}${inside === "" ? "" : `{${inside}}`} ${number(value)}`
}

const samples = (name: string, metric: Snapshot, labels: Labels): ReadonlyArray<string> => {
  switch (metric.type) {
    case "Counter":
      return [sample(name, labels, metric.state.count)]
    case "Gauge":
      return [sample(name, labels, metric.state.value)]
    case "Frequency":
      return [...metric.state.occurrences].map(([key, count]) => sample(name, labels, count, ["key", key]))
    case "Histogram": {
      const { buckets, count, sum } = metric.state
      return [
        ...buckets
          .filter(([boundary]) => boundary !== Infinity)
          .map(([boundary, count]) => sample(`${name}_bucket`, labels, count, ["le", number(boundary)])),
        sample(`${name}_bucket`, labels, count, ["le", "+Inf"]),
        sample(`${name}_sum`, labels, sum),
        sample(`${name}_count`, labels, count)
      ]
    }
    case "Summary": {
      const { count, quantiles, sum } = metric.state
      return [
        ...quantiles.flatMap(([quantile, value]) =>
          value === undefined ? [] : [sample(name, labels, value, ["quantile", number(quantile)])]
        ),
        sample(`${name}_sum`, labels, sum),
        sample(`${name}_count`, labels, count)
      ]
    }
  }
}

/**
 * Metrics in Prometheus' text format, version 0.0.4, families by name. What would make the page one that Prometheus refuses, and
 * with it everything on it, is left out: a label set that is there already, and a name that another kind of metric has.
 */
export const prometheusText = (metrics: ReadonlyArray<Snapshot>): string => {
  const families = new Map<string, Family>()
  const taken = new Map<string, Family>()
  for (const metric of metrics) {
    const type = typeOf(metric)
    const name = nameOf(metric, type)
    let family = families.get(name)
    if (family === undefined) {
      const names = reserved(name, type)
      if (names.some((name) => taken.has(name))) continue
      family = { name, type, help: metric.description ?? metric.id, lines: [], seen: new Set() }
      families.set(name, family)
      for (const name of names) taken.set(name, family)
    }
    if (family.type !== type) continue
    const labels = labelsOf(metric)
    const key = JSON.stringify([...labels])
    if (family.seen.has(key)) continue
    family.seen.add(key)
    family.lines.push(...samples(name, metric, labels))
  }
  return [...families.values()]
    .sort((one, other) => (one.name < other.name ? -1 : 1))
    .map(({ help, lines, name, type }) =>
      [`# HELP ${name} ${escapedHelp(help)}`, `# TYPE ${name} ${type}`, ...lines, ""].join("\n")
    )
    .join("")
}

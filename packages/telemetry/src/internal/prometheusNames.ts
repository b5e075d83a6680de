import type { Definition } from "./catalogue.ts"

// How OpenTelemetry's metrics are called in Prometheus: the specification's "Prometheus and OpenMetrics Compatibility".

/** Units as names have them; the words are those that Effect's own metrics use. */
const unitWords: { readonly [unit: string]: string } = {
  d: "days",
  h: "hours",
  min: "minutes",
  s: "seconds",
  ms: "milliseconds",
  us: "microseconds",
  ns: "nanoseconds",
  By: "bytes",
  KiBy: "kibibytes",
  MiBy: "mebibytes",
  GiBy: "gibibytes",
  KBy: "kilobytes",
  MBy: "megabytes",
  GBy: "gigabytes",
  m: "meters",
  V: "volts",
  A: "amperes",
  J: "joules",
  W: "watts",
  g: "grams",
  Cel: "celsius",
  Hz: "hertz",
  "%": "percent"
}

const perWords: { readonly [unit: string]: string } = {
  s: "second",
  m: "minute",
  min: "minute",
  h: "hour",
  d: "day"
}

/** What is in braces only says what is counted. */
const bare = (unit: string): string => unit.replace(/\{[^}]*\}/g, "").trim()

const wordsOf = (unit: string): string => {
  const [of = "", per] = unit.split("/").map(bare)
  const first = of === "1" ? "" : (unitWords[of] ?? of)
  if (per === undefined || per === "") return first
  return `${first === "" ? "" : `${first}_`}per_${perWords[per] ?? per}`
}

/** Letters, digits and `_`; a digit does not come first, and no two `_` stand together. */
const plain = (name: string): string => {
  const clean = name.replace(/[^a-zA-Z0-9_:]+/g, "_").replace(/_{2,}/g, "_")
  return /^[0-9]/.test(clean) ? `_${clean}` : clean
}

/** A name that says its unit and its kind: `http_client_request_duration_seconds`, `holdfast_calls_total`. */
export const prometheusName = (
  name: string,
  kind: Definition["kind"] | "summary",
  unit: string | undefined
): string => {
  let result = plain(name)
  const words = unit === undefined ? "" : plain(wordsOf(unit)).replace(/^_|_$/g, "")
  const isTotal = kind === "counter" && result.endsWith("_total")
  if (isTotal) result = result.slice(0, -"_total".length)
  if (words !== "" && result !== words && !result.endsWith(`_${words}`)) result = `${result}_${words}`
  if (unit === "1" && kind === "gauge" && !result.endsWith("_ratio")) result = `${result}_ratio`
  return kind === "counter" ? `${result}_total` : result
}

/** A label's name: two `_` at the beginning are Prometheus' own. */
export const labelName = (name: string): string =>
  plain(name)
    .replace(/:/g, "_")
    .replace(/^_{2,}/, "_")

/** The names of metrics and labels on a page. */

import type { Definition } from "../metrics/catalogue.ts"

// How OpenTelemetry's metrics are called in Prometheus: the specification's "Prometheus and OpenMetrics Compatibility".

/** Units as names have them; the words are the ones that Effect's own metrics use. */
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
  TiBy: "tebibytes",
  TBy: "terabytes",
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
  d: "day",
  w: "week",
  mo: "month",
  y: "year"
}

/** A unit in braces only names the counted things. */
const wordOf = (unit: string, words: { readonly [unit: string]: string }): string => {
  const bare = unit.trim()
  return /[{}]/.test(bare) ? "" : tokens(words[bare] ?? bare).join("_")
}

const wordsOf = (unit: string): { readonly main: string; readonly per: string } => {
  const [main = "", per = ""] = unit.split("/", 2)
  return { main: main.trim() === "1" ? "" : wordOf(main, unitWords), per: wordOf(per, perWords) }
}

/** Letters, digits and `:`, by the characters between them. */
const tokens = (name: string): Array<string> => name.split(/[^a-zA-Z0-9:]+/).filter((token) => token !== "")

/**
 * A name that says its unit and its kind: `http_client_request_duration_seconds`, `holdfast_calls_total`. Words that the name has
 * already, in any place, are not said again: so does Prometheus where it receives OTLP, and a query is to find both. Empty for a name
 * that has neither a letter nor a digit.
 */
export const prometheusName = (
  name: string,
  kind: Definition["kind"] | "summary",
  unit: string | undefined
): string => {
  let said = tokens(name)
  if (said.length === 0) return ""
  const { main, per } = wordsOf(unit ?? "")
  const more: Array<string> = []
  if (main !== "" && !said.includes(main)) more.push(main)
  if (per !== "" && !said.includes(per)) more.push("per", per)
  said.push(...more)
  const atEnd = (word: string) => {
    said = [...said.filter((token) => token !== word), word]
  }
  if (kind === "counter") atEnd("total")
  if (kind === "gauge" && unit === "1") atEnd("ratio")
  const result = said.join("_")
  return /^[0-9]/.test(result) ? `_${result}` : result
}

/** The unit that a name ends in, which OpenMetrics wants to be told of; none where it has none. */
export const unitIn = (family: string, unit: string | undefined): string | undefined => {
  const { main, per } = wordsOf(unit ?? "")
  const words = [main, ...(per === "" ? [] : ["per", per])].filter((word) => word !== "").join("_")
  return words !== "" && family.endsWith(`_${words}`) ? words : undefined
}

/** A label's name: two `_` at the beginning are Prometheus' own. Empty for a name that is. */
export const labelName = (name: string): string => {
  const clean = name.replace(/[^a-zA-Z0-9_]+/g, "_").replace(/_{2,}/g, "_")
  return /^[0-9]/.test(clean) ? `_${clean}` : clean
}

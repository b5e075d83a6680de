/** Which format and which coding a page is given in. */

import type { Format } from "./prometheusText.ts"

/** The media type of each format. */
export const contentTypes: { readonly [F in Format]: string } = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
}

/** How much a client wants a media range; none where it does not name it. */
const weightOf = (parameters: ReadonlyArray<string>): number => {
  const weight = parameters.find((parameter) => parameter.startsWith("q="))
  const value = weight === undefined ? 1 : Number(weight.slice(2))
  return value >= 0 && value <= 1 ? value : 0
}

/** OpenMetrics 1.0 where a client asks for that, and for the text format no more than for it; the text format otherwise. */
export const formatFor = (accept: string | undefined): Format => {
  let openMetrics = 0
  let text = 0
  for (const range of (accept ?? "").toLowerCase().split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim())
    const version = parameters.find((parameter) => parameter.startsWith("version="))?.slice("version=".length)
    const weight = weightOf(parameters)
    if (type === "application/openmetrics-text" && (version === undefined || /^"?1\.0\.\d+"?$/.test(version))) {
      openMetrics = Math.max(openMetrics, weight)
    }
    if (type === "text/plain") text = Math.max(text, weight)
  }
  return openMetrics > 0 && openMetrics >= text ? "openMetrics" : "text"
}

/** Whether a client takes gzip (RFC 9110 §12.5.3). */
export const takesGzip = (acceptEncoding: string | undefined): boolean => {
  let wanted: number | undefined
  let others = 0
  for (const coding of (acceptEncoding ?? "").toLowerCase().split(",")) {
    const [name = "", ...parameters] = coding.split(";").map((part) => part.trim())
    if (name === "gzip" || name === "x-gzip") wanted = weightOf(parameters)
    if (name === "*") others = weightOf(parameters)
  }
  return (wanted ?? others) > 0
}

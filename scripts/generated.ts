// The parts of the documents that are made from the code, so that they cannot lie. A document marks such a part with
// `<!-- generated: name -->` and `<!-- /generated -->`; what stands between is this module's.

import { globSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ErrorCatalog, HttpPolicy, Retry, RetryBudget } from "holdfast"
import { NodeTransport } from "holdfast/node"
import { Duration } from "effect"

type Rows = ReadonlyArray<ReadonlyArray<string>>

/** A table as the formatter lays it out: every column as wide as its widest cell. */
const table = (head: ReadonlyArray<string>, rows: Rows): string => {
  const widths = head.map((name, column) => Math.max(3, name.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: ReadonlyArray<string>): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n")
}

const errorRow = ([tag, entry]: readonly [string, ErrorCatalog.Entry]): ReadonlyArray<string> => [
  tag,
  `\`${entry.code}\``,
  entry.nature,
  entry.severity,
  entry.retryable ? "yes" : "no",
  entry.applied,
  String(entry.answerStatus),
  entry.summary,
  entry.advice
]

const errorHead = [
  "reason",
  "code",
  "nature",
  "severity",
  "retryable",
  "applied",
  "answer",
  "what happened",
  "what to do"
]

const errors = (): string => {
  const byDomain = Map.groupBy(Object.entries(ErrorCatalog.table), ([, entry]) => entry.domain)
  return [...byDomain]
    .map(([domain, entries]) => `### ${domain}\n\n${table(errorHead, entries.map(errorRow))}`)
    .join("\n\n")
}

/** One row of each domain that a newcomer meets on the first bad day. */
const errorSample = (): string => {
  const tags = [
    "ConnectionRefused",
    "ConnectionReset",
    "CertificateExpired",
    "ResponseTruncated",
    "AttemptTimeout",
    "CircuitOpen",
    "TooManyRequests",
    "ServiceUnavailable",
    "ResponseDecodeFailed"
  ] as const
  const rows = tags.map((tag) => {
    const entry = ErrorCatalog.table[tag]
    return [tag, `\`${entry.code}\``, entry.nature, entry.retryable ? "yes" : "no", entry.applied, entry.summary]
  })
  return table(["reason", "code", "nature", "retryable", "applied", "what happened"], rows)
}

const inWords = (value: unknown): string =>
  Duration.isDuration(value)
    ? Duration.format(value)
    : typeof value === "object"
      ? JSON.stringify(value)
      : String(value)

const defaults = (groups: ReadonlyArray<readonly [string, object]>): string =>
  table(
    ["option", "default"],
    groups.flatMap(([prefix, group]) =>
      Object.entries(group)
        .filter(([, value]) => typeof value !== "object" || Duration.isDuration(value))
        .map(([name, value]) => [`\`${prefix}${name}\``, inWords(value)])
    )
  )

const { deadline, attemptTimeout, limits, nonIdempotent } = HttpPolicy.defaults

const parts: { readonly [name: string]: () => string } = {
  errors,
  "error-sample": errorSample,
  "policy-defaults": () =>
    defaults([
      ["", { deadline, attemptTimeout }],
      ["retry.", { maxAttempts: Retry.defaults.maxAttempts, nonIdempotent }],
      ["retry.", { maxServerWait: Retry.defaults.maxServerWait, serverWaitJitter: Retry.defaults.serverWaitJitter }],
      ["retry.budget.", RetryBudget.defaults],
      ["limits.", limits]
    ]),
  "transport-defaults": () => defaults([["", NodeTransport.defaults]])
}

const part = /(<!-- generated: ([a-z-]+) -->\n)[\s\S]*?(<!-- \/generated -->)/g

/** What a document should say, and the parts that it has. */
export const regenerate = (text: string): { readonly text: string; readonly parts: number } => {
  let count = 0
  const fresh = text.replace(part, (_, open: string, name: string, close: string) => {
    const make = parts[name]
    if (make === undefined)
      throw new Error(`no generated part is named "${name}"; there are: ${Object.keys(parts).join(", ")}`)
    count++
    return `${open}\n${make()}\n\n${close}`
  })
  return { text: fresh, parts: count }
}

/** The documents whose generated parts are not what the code says; they are mended when `fix` is set. */
export const staleDocuments = (
  root: string,
  fix: boolean
): { readonly stale: ReadonlyArray<string>; readonly parts: number } => {
  const files = ["README.md", ...globSync("docs/**/*.md", { cwd: root })]
  const stale: Array<string> = []
  let count = 0
  for (const file of files) {
    const path = join(root, file)
    const text = readFileSync(path, "utf8")
    const fresh = regenerate(text)
    count += fresh.parts
    if (fresh.text === text) continue
    stale.push(file)
    if (fix) writeFileSync(path, fresh.text)
  }
  return { stale, parts: count }
}

/**
 * What the programs of this folder measure and print with: load that comes whatever becomes of it, and a table that a person
 * reads. `npm run drill -- worth` shows it.
 */
import { Effect } from "effect"

/** Starts calls at a steady rate, whatever becomes of them: real callers do not wait for each other. */
export const openLoop = (
  load: { readonly perSecond: number; readonly seconds: number },
  call: (ordinal: number) => Effect.Effect<void>
): Effect.Effect<void> =>
  Effect.forEach(
    Array.from({ length: Math.floor(load.perSecond * load.seconds) }, (_, ordinal) => ordinal),
    (ordinal) => Effect.delay(call(ordinal), (ordinal * 1000) / load.perSecond),
    { concurrency: "unbounded", discard: true }
  )

/** The figure that `quantile` of the figures do not exceed (nearest rank). */
export const quantileOf = (figures: ReadonlyArray<number>, quantile: number): number => {
  const sorted = figures.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)] ?? Number.NaN
}

export const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

/** Prints a table: the first column to the left, figures to the right. */
export const print = (title: string, rows: ReadonlyArray<ReadonlyArray<string | number>>): void => {
  const cells = rows.map((row) => row.map(String))
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  const lines = cells.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
  )
  console.log([title, ...lines.map((line) => `  ${line}`)].join("\n"))
}

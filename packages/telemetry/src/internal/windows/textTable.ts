/** How a table is laid out in text and in Markdown. */

import { oneLine } from "../logs/textOfOthers.ts"

/** A column of a table: its heading, and where its cells are aligned. */
export interface Column {
  readonly title: string
  readonly align: "left" | "right"
}

/** Columns as wide as their widest cell, two spaces between them, none at the end of a line. */
export const textTable = (
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): ReadonlyArray<string> => {
  const lines = [columns.map(({ title }) => title.toUpperCase()), ...rows.map((row) => row.map(oneLine))]
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => line[index]?.length ?? 0)))
  return lines.map((line) =>
    columns
      .map(({ align }, index) => {
        const cell = line[index] ?? ""
        return align === "left" ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0)
      })
      .join("  ")
      .trimEnd()
  )
}

/** The same as a table of GitHub's Markdown. */
export const markdownTable = (
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): ReadonlyArray<string> => {
  const line = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`
  const escaped = (cell: string): string => oneLine(cell).replace(/[\\|`*_<>[\]]/g, "\\$&")
  return [
    line(columns.map(({ title }) => title)),
    line(columns.map(({ align }) => (align === "left" ? ":--" : "--:"))),
    ...rows.map((row) => line(row.map(escaped)))
  ]
}

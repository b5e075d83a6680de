type Rows = ReadonlyArray<ReadonlyArray<string>>

/** A table as the formatter lays it out: every column as wide as its widest cell. */
export const table = (head: ReadonlyArray<string>, rows: Rows): string => {
  const widths = head.map((name, column) => Math.max(3, name.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: ReadonlyArray<string>): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n")
}

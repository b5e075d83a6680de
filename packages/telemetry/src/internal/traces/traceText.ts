/** A trace as text: a tree, with the place of each span on the time of the root, how long it took, and how it ended. */

import { shownMillis } from "../shown/shownMillis.ts"
import type { Line, Tone } from "./traceTree.ts"

export interface Look {
  /** Columns of the terminal; undefined where lines may be as long as they are. */
  readonly width: number | undefined
  readonly colours: boolean
}

const paints: { readonly [T in Tone]: string } = { good: "32", bad: "31", cut: "33", plain: "2" }
const bold = "1"
const dim = "2"

const usualWidth = 120
const narrowestLabel = 16
const narrowestOutcome = 10
const widestBar = 32
const narrowestBar = 8
const timeColumns = 9

interface Row {
  /** The marks that show where it stands in the tree. */
  readonly branch: string
  readonly line: Line
}

const rowsOf = (root: Line): ReadonlyArray<Row> => {
  const rows: Array<Row> = []
  const visit = (line: Line, branch: string, indent: string): void => {
    rows.push({ branch, line })
    for (const [index, below] of line.below.entries()) {
      const isLast = index === line.below.length - 1
      // an event hangs on the line of its span, and has nothing below it
      const own = below.kind === "event" ? (isLast ? "└ " : "│ ") : isLast ? "└─ " : "├─ "
      visit(below, `${indent}${own}`, `${indent}${isLast ? "   " : "│  "}`)
    }
  }
  visit(root, "", "")
  return rows
}

const cut = (text: string, columns: number): string =>
  text.length <= columns ? text : `${text.slice(0, Math.max(0, columns - 1))}…`

/** Where on a bar of so many columns something lies. */
const place = (line: Line, totalMillis: number, columns: number): { readonly first: number; readonly last: number } => {
  const column = (millis: number): number => (totalMillis <= 0 ? 0 : (millis / totalMillis) * columns)
  const first = Math.max(0, Math.min(columns - 1, Math.floor(column(line.fromMillis))))
  return {
    first,
    last: line.kind === "event" ? first + 1 : Math.min(columns, Math.max(first + 1, Math.round(column(line.toMillis))))
  }
}

/** The lines of a trace, with a heading above them. */
export const drawTrace = (heading: string, root: Line, look: Look): string => {
  const paint = (code: string, text: string): string =>
    look.colours && text !== "" ? `\u001b[${code}m${text}\u001b[0m` : text
  const rows = rowsOf(root)
  const width = look.width ?? usualWidth
  const labelColumns = Math.max(
    narrowestLabel,
    Math.min(
      Math.floor(width * 0.45),
      Math.max(...rows.map(({ branch, line }) => branch.length + labelOf(line).length))
    )
  )
  const barColumns = Math.max(
    narrowestBar,
    Math.min(widestBar, width - labelColumns - timeColumns - narrowestOutcome - 6)
  )
  const outcomeColumns =
    look.width === undefined
      ? Infinity
      : Math.max(narrowestOutcome, width - labelColumns - barColumns - timeColumns - 6)
  const total = Math.max(...rows.map(({ line }) => line.toMillis))
  const lines = rows.map(({ branch, line }, index) => {
    const label = cut(labelOf(line), labelColumns - branch.length).padEnd(labelColumns - branch.length)
    const { first, last } = place(line, total, barColumns)
    const bar = (line.kind === "event" ? "◆" : "━").repeat(last - first)
    const time = timeOf(line)
    const shownLabel = line.kind === "event" ? paint(dim, label) : index === 0 ? paint(bold, label) : label
    // the root's outcome is the answer, and is never cut
    const outcome = index === 0 ? line.outcome : cut(line.outcome, outcomeColumns)
    return [
      `${paint(dim, branch)}${shownLabel}`,
      `${" ".repeat(first)}${paint(paints[line.tone], bar)}${" ".repeat(barColumns - last)}`,
      line.kind === "event" ? paint(dim, time.padStart(timeColumns)) : time.padStart(timeColumns),
      paint(paints[line.tone], outcome)
    ]
      .join("  ")
      .trimEnd()
  })
  return [paint(dim, heading), ...lines].join("\n")
}

const labelOf = (line: Line): string => (line.kind === "event" ? `◆ ${line.label}` : line.label)

/** When an event was, and how long a span took. */
const timeOf = (line: Line): string => {
  if (line.kind === "event") return `+${shownMillis(line.fromMillis)}`
  return line.kind === "running" ? "…" : shownMillis(line.toMillis - line.fromMillis)
}

// The tables, as a terminal and a Markdown page show them.

import { type Goal, verdict } from "./goals.ts"
import { noiseLimit } from "./rounds.ts"
import type { CallRow, HeapRow, RequestRow, Summary } from "./summary.ts"

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: ReadonlyArray<string>) =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join(" | ")} |`
  const rule = `| ${widths.map((width, column) => (column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`
  return [line(head), rule, ...rows.map(line)].join("\n")
}

const whole = (value: number): string => Math.round(value).toLocaleString("en-US")
const percent = (value: number): string => `${Math.round(value * 100)} %`
const noise = (value: number): string => `${percent(value)}${value > noiseLimit ? " !" : "  "}`

const requestTable = (rows: ReadonlyArray<RequestRow>): string =>
  table(
    ["1 KB of JSON, 64 in flight", "CPU µs", "×", "req/s", "p50 ms", "p99 ms", "spread", "noise"],
    rows.map((row) => [
      row.title,
      row.cpuMicros.toFixed(1),
      row.ratio.toFixed(2),
      whole(row.perSecond),
      row.p50Millis.toFixed(1),
      row.p99Millis.toFixed(1),
      percent(row.spread),
      noise(row.noise)
    ])
  )

const callTable = (title: string, rows: ReadonlyArray<CallRow>): string =>
  table(
    [title, "ns per call", "minus floor", "spread", "noise"],
    rows.map((row) => [
      row.title,
      whole(row.nanos),
      row.added === undefined ? "–" : whole(row.added),
      percent(row.spread),
      noise(row.noise)
    ])
  )

const heapTable = (calls: number, rows: ReadonlyArray<HeapRow>): string =>
  table(
    [`${whole(calls)} calls in flight`, "bytes per call", "minus no-op", "spread"],
    rows.map((row) => [row.title, whole(row.bytes), whole(row.added), percent(row.spread)])
  )

const goalTable = (goals: ReadonlyArray<Goal>): string => {
  const figure = (value: number, unit: string) => `${unit.startsWith("×") ? value.toFixed(2) : whole(value)} ${unit}`
  return table(
    ["goal", "at most", "got", "", "best peer in this run"],
    goals.map((goal) => [
      goal.figure,
      figure(goal.goal, goal.unit),
      goal.got === undefined ? "–" : figure(goal.got, goal.unit),
      verdict(goal),
      goal.bestPeer === undefined ? "–" : `${figure(goal.bestPeer.got, goal.unit)}, ${goal.bestPeer.title}`
    ])
  )
}

export const report = (summary: Summary, goals: ReadonlyArray<Goal>, heapCalls: number): string => {
  const tables = [
    ...(summary.request.length > 0 ? [requestTable(summary.request)] : []),
    ...(summary.call.length > 0 ? [callTable("around an operation in memory", summary.call)] : []),
    ...(summary.refusal.length > 0 ? [callTable("refused before anything is sent", summary.refusal)] : []),
    ...(summary.heap.length > 0 ? [heapTable(heapCalls, summary.heap)] : []),
    goalTable(goals)
  ]
  return `${tables.join("\n\n")}\n`
}

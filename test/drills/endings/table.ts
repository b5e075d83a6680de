/** The drill's results, a row for each way to end. */
import type { Case } from "./cases.ts"
import type { Outcome } from "./rehearsal.ts"

const columns = ["HTTP/1.1", "HTTP/1.0", "HTTP/1.1 over TLS", "HTTP/2", "HTTP/2 over TLS"] as const

const most = (words: ReadonlyMap<string, number>): string =>
  [...words]
    .sort(([, a], [, b]) => b - a)
    .map(([word, count]) => `${count} ${word}`)
    .join(", ")

export const tableOf = (rows: ReadonlyArray<readonly [Case, Outcome]>): string => {
  const groups = new Map<
    string,
    { of: number; wrong: number; told: Map<string, number>; protocols: Map<string, number> }
  >()
  for (const [{ at, how, protocol }, { first, wrong }] of rows) {
    const key = `${at}: ${how}`
    const group = groups.get(key) ?? { of: 0, wrong: 0, told: new Map(), protocols: new Map() }
    groups.set(key, group)
    group.of++
    if (wrong.length > 0) group.wrong++
    group.told.set(first, (group.told.get(first) ?? 0) + 1)
    group.protocols.set(protocol, (group.protocols.get(protocol) ?? 0) + 1)
  }
  const lines = [...groups].map(([key, { of, protocols, told, wrong }]) => [
    key,
    ...columns.map((column) => String(protocols.get(column) ?? "")),
    String(of),
    String(wrong),
    most(told)
  ])
  const head = ["how it ends", ...columns, "cases", "wrong", "what the first attempt is told"]
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0)))
  return [head, ...lines]
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

// Where the time of a sample went: the functions with the most time of their own, from a profile of its measured phase.

import { readFileSync } from "node:fs"
import { relative } from "node:path"

interface CpuProfile {
  readonly nodes: ReadonlyArray<{
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }>
  readonly samples: ReadonlyArray<number>
  readonly timeDeltas: ReadonlyArray<number>
}

const placeOf = (url: string, line: number, root: string): string => {
  if (url === "") return ""
  if (!url.startsWith("file:")) return `${url}:${line}`
  const path = relative(root, new URL(url).pathname)
  // of an installed package, its name and what is in it
  return `${path.split("node_modules/").at(-1)}:${line}`
}

/** The functions with the most time of their own, and what part of the busy time each had. */
export const topFunctions = (file: string, root: string, count: number): ReadonlyArray<string> => {
  const profile: CpuProfile = JSON.parse(readFileSync(file, "utf8"))
  const nodes = new Map(profile.nodes.map((node) => [node.id, node.callFrame]))
  const own = new Map<string, number>()
  let busy = 0
  for (const [index, id] of profile.samples.entries()) {
    const frame = nodes.get(id)
    // the profiler's own time is nobody's
    if (frame === undefined || frame.functionName === "(idle)" || frame.url === "node:inspector") continue
    const micros = profile.timeDeltas[index] ?? 0
    busy += micros
    const name = `${frame.functionName || "(anonymous)"}  ${placeOf(frame.url, frame.lineNumber + 1, root)}`.trim()
    own.set(name, (own.get(name) ?? 0) + micros)
  }
  return [...own]
    .toSorted((a, b) => b[1] - a[1])
    .slice(0, count)
    .map(([name, micros]) => `${((micros / busy) * 100).toFixed(1).padStart(5)} %  ${name}`)
}

import { compare, findClauses } from "../prose.ts"
import { root } from "./command.ts"
import type { Check } from "./report.ts"
import { count, nothingYet, verdict } from "./report.ts"

export const prose: Check = {
  name: "prose",
  promise: "in documents and comments no more relative clauses stand for nouns than did before",
  alone: false,
  run: async () => {
    const { files, clauses } = findClauses(root)
    if (files === 0) return nothingYet("documents")
    const { fallen, risen } = compare(clauses)
    const lower = fallen.length === 0 ? "" : `; lower the figures in scripts/prose.ts: ${fallen.join(", ")}`
    return verdict(
      risen.length === 0,
      `${count(clauses.length, "clause")} in ${count(files, "file")}${lower}`,
      risen.join("\n\n")
    )
  }
}

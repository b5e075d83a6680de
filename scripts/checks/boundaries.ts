import { findViolations } from "../boundaries.ts"
import { root } from "./command.ts"
import type { Check } from "./report.ts"
import { count, nothingYet, verdict } from "./report.ts"

export const boundaries: Check = {
  name: "boundaries",
  promise: "imports follow the arrows between packages, without circles",
  alone: false,
  run: async () => {
    const { files, imports, violations } = findViolations(root)
    if (files === 0) return nothingYet("sources")
    const summary = `${count(imports, "import")} in ${count(files, "file")}`
    const lines = violations.map(({ file, line, found, instead }) => `${file}:${line} ${found}\n  → ${instead}`)
    return verdict(violations.length === 0, summary, lines.join("\n"))
  }
}

import { findViolations } from "../boundaries.ts"
import { unstableForAll } from "../unstable.ts"
import { root } from "./command.ts"
import type { Check } from "./report.ts"
import { count, nothingYet, verdict } from "./report.ts"

export const boundaries: Check = {
  name: "boundaries",
  promise: "imports follow the arrows, without circles; only subpaths load what is unstable",
  alone: false,
  run: async () => {
    const { files, imports, violations } = findViolations(root)
    if (files === 0) return nothingYet("sources")
    const summary = `${count(imports, "import")} in ${count(files, "file")}`
    const unstable = unstableForAll(root).map(({ entries, file, line, specifier }) => ({
      file,
      line,
      found: `imports "${specifier}", which Effect does not call stable, and ${entries.join(", ")} load it`,
      instead: "move what needs it to a subpath: an entry of its own in src/, as client.ts is one"
    }))
    const lines = [...violations, ...unstable].map(
      ({ file, line, found, instead }) => `${file}:${line} ${found}\n  → ${instead}`
    )
    return verdict(lines.length === 0, summary, lines.join("\n"))
  }
}

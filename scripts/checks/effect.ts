import { join } from "node:path"
import { root, run } from "./command.ts"
import type { Check } from "./report.ts"
import { count, verdict } from "./report.ts"
import { projects } from "./workspace.ts"

interface Diagnostic {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly severity: "error" | "warning" | "message"
  readonly name: string
  readonly message: string
}

interface Findings {
  readonly diagnostics: ReadonlyArray<Diagnostic>
  readonly summary: { readonly totalFiles: number }
}

/** The severities are each project's own: the `@effect/language-service` plugin of its tsconfig. */
export const effect: Check = {
  name: "effect",
  promise: "no effect is left floating, no error or requirement is lost",
  alone: false,
  run: async () => {
    // Projects overlap, because each checks the sources that it imports: the same finding is said once.
    const found = new Map<string, string>()
    const broken: Array<string> = []
    let checked = 0
    for (const project of projects(root)) {
      const result = await run("effect-tsgo", [
        "diagnostics",
        "--project",
        join(root, project),
        "--format",
        "json",
        "--severity",
        "error,warning"
      ])
      const findings = parse(result.stdout)
      if (findings === undefined) {
        broken.push(`${project}: effect-tsgo gave no findings (exit code ${result.code})\n${result.output}`)
        continue
      }
      checked += 1
      for (const { file, line, column, severity, name, message } of findings.diagnostics) {
        const place = `${file.slice(root.length + 1)}:${line}:${column}`
        found.set(`${place} ${name}`, `${place} ${severity} ${name}: ${message}`)
      }
    }
    const lines = [...found.values()].toSorted()
    const summary = count(checked, "project") + (lines.length > 0 ? `, ${count(lines.length, "finding")}` : "")
    return verdict(lines.length === 0 && broken.length === 0, summary, [...lines, ...broken].join("\n"))
  }
}

const parse = (text: string): Findings | undefined => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { forEachWide, root, run } from "./command.ts"
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

const configOf = (project: string): string => readFileSync(join(root, project), "utf8")

/** What a project lists, as the compiler understands it. */
const filesOf = async (project: string): Promise<ReadonlyArray<string>> => {
  const { stdout } = await run("tsc", ["--project", join(root, project), "--showConfig"])
  // what the compiler prints
  const { files } = JSON.parse(stdout) as { readonly files: ReadonlyArray<string> }
  return files.map((file) => join(root, dirname(project), file))
}

const together = join(root, ".cache", "effect", "tsconfig.json")

/**
 * What there is to check: each project that has rules of its own, and one of all the others. Every project checks the sources that it
 * imports as well, which are most of all sources: one after the other they would be checked five times.
 */
const checkedProjects = async (): Promise<ReadonlyArray<string>> => {
  const isOwn = (project: string): boolean => configOf(project).includes('"diagnosticSeverity"')
  const [own, others] = [projects(root).filter(isOwn), projects(root).filter((project) => !isOwn(project))]
  const files = await forEachWide(others, 2, filesOf)
  mkdirSync(dirname(together), { recursive: true })
  const project = { extends: "../../tsconfig.test.json", files: files.flat(), include: [], references: [] }
  writeFileSync(together, JSON.stringify(project, null, 2))
  // the longest first: two are checked at a time
  return [together, ...own.map((project) => join(root, project))]
}

/** The severities are each project's own: the `@effect/language-service` plugin of its tsconfig. */
export const effect: Check = {
  name: "effect",
  promise: "no effect is left floating, no error or requirement is lost",
  alone: false,
  run: async () => {
    // Projects overlap all the same: the same finding is said once.
    const found = new Map<string, string>()
    const broken: Array<string> = []
    await forEachWide(await checkedProjects(), 2, async (project) => {
      const result = await run("effect-tsgo", [
        "diagnostics",
        "--project",
        project,
        "--format",
        "json",
        "--severity",
        "error,warning"
      ])
      const findings = parse(result.stdout)
      if (findings === undefined) {
        broken.push(`${project}: effect-tsgo gave no findings (exit code ${result.code})\n${result.output}`)
        return
      }
      for (const { file, line, column, severity, name, message } of findings.diagnostics) {
        const place = `${file.slice(root.length + 1)}:${line}:${column}`
        found.set(`${place} ${name}`, `${place} ${severity} ${name}: ${message}`)
      }
    })
    const lines = [...found.values()].toSorted()
    const summary =
      count(projects(root).length, "project") + (lines.length > 0 ? `, ${count(lines.length, "finding")}` : "")
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

import { rmSync } from "node:fs"
import { join } from "node:path"
import type { Result } from "./command.ts"
import { root, run } from "./command.ts"
import type { Check } from "./report.ts"
import { count, verdict } from "./report.ts"
import { packages, projects } from "./workspace.ts"

let built: Promise<Result> | undefined

/**
 * Type-checks every project and writes each package's dist/, once in a run.
 *
 * It starts from nothing every time. What an earlier checkout left in dist/ would be packed again, the compiler does not
 * look whether an installed dependency has changed, and the whole build takes about a second.
 */
export const build = (): Promise<Result> => {
  built ??= (async () => {
    for (const { folder } of packages(root)) rmSync(join(root, folder, "dist"), { recursive: true, force: true })
    return run("tsc", ["--build", "--force"])
  })()
  return built
}

export const types: Check = {
  name: "types",
  promise: "everything type-checks strictly, and builds",
  alone: false,
  run: async () => {
    const result = await build()
    const errors = result.output.match(/error TS\d+/g)?.length ?? 0
    const summary = count(projects(root).length, "project") + (errors > 0 ? `, ${count(errors, "error")}` : "")
    return verdict(result.code === 0, summary, result.output)
  }
}

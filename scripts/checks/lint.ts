import { run } from "./command.ts"
import type { Check } from "./report.ts"
import { verdict } from "./report.ts"

export const lint: Check = {
  name: "lint",
  promise: "no known mistake, no `any`, no `!`, no forgotten console",
  alone: false,
  run: async (args) => {
    const result = await run("oxlint", ["--deny-warnings", ...args])
    const [, files = "no", rules = "no"] = /on (\d+) files? with (\d+) rules?/.exec(result.output) ?? []
    return verdict(result.code === 0, `${files} files, ${rules} rules`, result.output)
  }
}

import { run } from "./command.ts"
import type { Check } from "./report.ts"
import { verdict } from "./report.ts"

/** `npm run format` looks, `npm run format:fix` mends. */
export const format: Check = {
  name: "format",
  promise: "every file is laid out the same way",
  alone: false,
  run: async (args) => {
    const fix = args.includes("--fix")
    const paths = args.filter((arg) => arg !== "--fix")
    const result = await run("oxfmt", [fix ? "--write" : "--check", ...paths])
    const amount = /on (\d+) files?/.exec(result.output)?.[1] ?? "no"
    return verdict(result.code === 0, `${amount} files`, `${result.output}\nMend it with: npm run format:fix`)
  }
}

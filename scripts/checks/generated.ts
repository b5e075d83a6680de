import { root } from "./command.ts"
import type { Check } from "./report.ts"
import { count, verdict } from "./report.ts"

/** `npm run generated` looks, `npm run generated:fix` mends. */
export const generated: Check = {
  name: "generated",
  promise: "tables in the documents, dashboards and rules say what the code says",
  alone: false,
  run: async (args) => {
    // loaded when it is needed: it loads the whole toolkit
    const { staleDocuments } = await import("../generated.ts")
    const fix = args.includes("--fix")
    const { parts, stale } = staleDocuments(root, fix)
    const mend = "Mend it with: npm run generated:fix"
    return verdict(fix || stale.length === 0, count(parts, "part"), `stale: ${stale.join(", ")}\n${mend}`)
  }
}

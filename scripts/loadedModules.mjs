// Prints each module of Effect that an import of the arguments loads, and the file that asked for it first. In a process of its own,
// because what is loaded already is not loaded again.

import { realpathSync } from "node:fs"
import { registerHooks } from "node:module"
import { dirname, join } from "node:path"
import { pathToFileURL } from "node:url"

const prefix = pathToFileURL(join(dirname(realpathSync("node_modules/effect/package.json")), "dist")).href
const from = pathToFileURL(join(process.cwd(), "package.json")).href
const loaded = new Map()

registerHooks({
  resolve: (specifier, context, next) => {
    const result = next(specifier, context)
    if (result.url.startsWith(`${prefix}/`) && !loaded.has(result.url)) loaded.set(result.url, context.parentURL ?? "")
    return result
  }
})

for (const specifier of process.argv.slice(2)) await import(import.meta.resolve(specifier, from))
for (const [module, by] of loaded) console.log(module, by)

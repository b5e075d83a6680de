// Which tests exercise a module: those that import it, or a public module that is made of it. A test that comes upon it only
// through two public modules is about something else, and would be asked too late to tell much.

import { existsSync, readFileSync } from "node:fs"
import { basename, dirname, join, normalize } from "node:path"
import { parseSync } from "vite"
import { files } from "../checks/workspace.ts"

export interface Importers {
  /** Test files that exercise a module, the nearest first. */
  readonly testsOf: (module: string) => ReadonlyArray<string>
}

/** Reads who imports whom; paths are from the root. */
export const importers = (root: string): Importers => {
  const modules = files(root, "packages/*/{src,test}/**/*.ts")
  const imports = new Map(modules.map((file) => [file, importsOf(root, file)]))
  const tests = modules.filter((file) => file.endsWith(".test.ts"))
  const reached = new Map(tests.map((test) => [test, reachedFrom(test, imports)]))
  return {
    testsOf: (module) =>
      tests
        .flatMap((test) => {
          const steps = reached.get(test)?.get(module)
          return steps === undefined ? [] : [{ test, rank: steps * 2 + (sharesName(test, module) ? 0 : 1) }]
        })
        .toSorted((one, other) => one.rank - other.rank)
        .map(({ test }) => test)
  }
}

const sharesName = (test: string, module: string): boolean =>
  basename(test, ".test.ts").toLowerCase() === basename(module, ".ts").toLowerCase()

const isPublic = (file: string): boolean => basename(dirname(file)) === "src"

/** How many imports away each module is, of those that no more than one public module hides. */
const reachedFrom = (
  test: string,
  imports: ReadonlyMap<string, ReadonlyArray<string>>
): ReadonlyMap<string, number> => {
  const steps = new Map<string, number>()
  let frontier: ReadonlyArray<{ readonly file: string; readonly publicSeen: boolean }> = [
    { file: test, publicSeen: false }
  ]
  const seen = new Set<string>()
  for (let step = 1; frontier.length > 0; step++) {
    frontier = frontier.flatMap(({ file, publicSeen }) =>
      (imports.get(file) ?? []).flatMap((imported) => {
        if (isPublic(imported) && publicSeen) return []
        const next = { file: imported, publicSeen: publicSeen || isPublic(imported) }
        const key = `${next.file} ${next.publicSeen}`
        if (seen.has(key)) return []
        seen.add(key)
        if (!steps.has(imported)) steps.set(imported, step)
        return [next]
      })
    )
  }
  return steps
}

/** The modules of the workspace that a file imports when it runs; types are not there any more. */
const importsOf = (root: string, file: string): ReadonlyArray<string> => {
  const { module } = parseSync(file, readFileSync(join(root, file), "utf8"))
  const statements = [
    ...module.staticImports.map(({ entries, moduleRequest }) => ({ entries, request: moduleRequest.value })),
    ...module.staticExports.flatMap(({ entries }) =>
      entries.flatMap((entry) =>
        entry.moduleRequest === null ? [] : [{ entries: [entry], request: entry.moduleRequest.value }]
      )
    )
  ]
  return statements.flatMap(({ entries, request }) => {
    const isTypeOnly = entries.length > 0 && entries.every((entry) => entry.isType)
    const target = isTypeOnly ? undefined : resolved(root, file, request)
    return target === undefined ? [] : [target]
  })
}

const resolved = (root: string, file: string, specifier: string): string | undefined => {
  const [, name, path] = /^@holdfast\/([^/]+)(?:\/(.+))?$/.exec(specifier) ?? []
  const target = specifier.startsWith(".")
    ? normalize(join(dirname(file), specifier))
    : name === undefined
      ? undefined
      : join("packages", name, "src", `${path ?? "index"}.ts`)
  return target !== undefined && existsSync(join(root, target)) ? target : undefined
}

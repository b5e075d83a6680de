// Which tests exercise a module: those that import it, or a public module that is made of it. A test that comes upon it only
// through two public modules is about something else, and would be asked too late to tell much.

import { existsSync, readFileSync } from "node:fs"
import { basename, dirname, join, normalize } from "node:path"
import { parseSync } from "vite"
import { files, packages } from "../checks/workspace.ts"
import { heldBy, ofOwnProcess } from "./heldBy.ts"

export interface Importers {
  /** Test files that exercise a module, the nearest first. */
  readonly testsOf: (module: string) => ReadonlyArray<string>
}

/** Reads who imports whom; paths are from the root. */
export const importers = (root: string): Importers => {
  const modules = files(root, "{.,packages/*}/{src,test}/**/*.ts")
  const find = resolver(root)
  const written = new Map(modules.map((file) => [file, read(root, file, find)]))
  const imports = new Map(modules.map((file) => [file, importsOf(file, written)]))
  const tests = modules.filter((file) => file.endsWith(".test.ts") && !ofOwnProcess.includes(file))
  const reached = new Map(tests.map((test) => [test, reachedFrom(test, imports)]))
  return {
    testsOf: (module) => {
      const all = tests
        .flatMap((test) => {
          const of = reached.get(test)
          const steps = of?.get(module)
          if (of === undefined || steps === undefined) return []
          // of those that are as near, the one that is about the fewest modules is the most about this one
          return [{ test, rank: [sharesName(test, module) ? 0 : steps, of.size] as const }]
        })
        .toSorted(({ rank: [steps, size] }, { rank: [others, otherSize] }) => steps - others || size - otherSize)
        .map(({ test }) => test)
      const own = all.filter((test) => test.startsWith("packages/"))
      const named = own.filter((test) => sharesName(test, module))
      const held = heldBy(module)
      // those that hold it from outside come after its own, and before what only comes upon it
      if (held.length > 0) return [...new Set([...named, ...held, ...own])]
      return own.length > 0 ? own : all
    }
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

/** What a file takes from another: by name, or all of it. */
interface Taking {
  readonly from: string
  readonly names: ReadonlyArray<string> | undefined
  /** The name under which it is passed on; absent when it keeps its own, or is not passed on. */
  readonly as: string | undefined
}

interface Written {
  readonly takings: ReadonlyArray<Taking>
  /** It only passes on what others hold, as an `index.ts` does: who imports a name from it imports the module behind that name. */
  readonly isBarrel: boolean
}

/** What a file takes when it runs; types are not there any more. */
const read = (root: string, file: string, find: Resolver): Written => {
  const { module, program } = parseSync(file, readFileSync(join(root, file), "utf8"))
  const taking = (request: string, names: Taking["names"], as?: string): ReadonlyArray<Taking> => {
    const from = find(file, request)
    return from === undefined ? [] : [{ from, names, as }]
  }
  const imported = module.staticImports.flatMap(({ entries, moduleRequest }) => {
    const taken = entries.filter((entry) => !entry.isType)
    if (entries.length > 0 && taken.length === 0) return []
    const names = taken.map(({ importName }) => importName.name ?? undefined).filter((name) => name !== undefined)
    return taking(moduleRequest.value, names.length < taken.length || names.length === 0 ? undefined : names)
  })
  const passedOn = module.staticExports.flatMap(({ entries }) =>
    entries.flatMap(({ exportName, importName, isType, moduleRequest }) =>
      moduleRequest === null || isType
        ? []
        : taking(
            moduleRequest.value,
            importName.name === null ? undefined : [importName.name],
            exportName.name ?? undefined
          )
    )
  )
  const isBarrel = program.body.every(
    (statement) =>
      statement.type === "ExportAllDeclaration" ||
      (statement.type === "ExportNamedDeclaration" && statement.source !== null)
  )
  return { takings: [...imported, ...passedOn], isBarrel }
}

/** The modules that a file imports, barrels looked through. */
const importsOf = (file: string, written: ReadonlyMap<string, Written>): ReadonlyArray<string> => {
  const behind = ({ from, names }: Taking): ReadonlyArray<string> => {
    const source = written.get(from)
    if (source === undefined || !source.isBarrel) return [from]
    return source.takings.flatMap((taking) => {
      if (names === undefined) return behind(taking)
      // `export *` may hold any name
      if (taking.as === undefined) return behind({ ...taking, names })
      return names.includes(taking.as) ? behind(taking) : []
    })
  }
  return [...new Set((written.get(file)?.takings ?? []).flatMap(behind))]
}

type Resolver = (file: string, specifier: string) => string | undefined

/** Where the file is that is imported, if it is one of the workspace: packages are asked by their own `exports`. */
const resolver = (root: string): Resolver => {
  const exported = packages(root).flatMap(({ folder, manifest }) =>
    Object.entries(manifest.exports ?? {}).flatMap(([path, target]) =>
      typeof target === "string" ? [{ specifier: join(manifest.name, path), target: join(folder, target) }] : []
    )
  )
  const ofPackage = (specifier: string): string | undefined => {
    const exact = exported.find((entry) => entry.specifier === specifier)
    if (exact !== undefined) return exact.target
    for (const { specifier: pattern, target } of exported) {
      const [start = "", end] = pattern.split("*")
      if (end === undefined || !specifier.startsWith(start) || !specifier.endsWith(end)) continue
      return target.replace("*", specifier.slice(start.length, specifier.length - end.length))
    }
    return undefined
  }
  return (file, specifier) => {
    const target = specifier.startsWith(".") ? normalize(join(dirname(file), specifier)) : ofPackage(specifier)
    return target !== undefined && existsSync(join(root, target)) ? target : undefined
  }
}

// Which of Effect's modules that are not marked stable are imported, and which are loaded. A module says of itself how stable it is, in
// its first comment: `@stability stable`. What it does not say is not promised.

import { spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import type { Source } from "./boundaries.ts"
import { readSources, resolveRelative } from "./boundaries.ts"
import type { Package } from "./checks/workspace.ts"

/** Modules that are not stable and that the main entries import all the same, and why. */
const tolerated: Readonly<Record<string, string>> = {
  "effect/FileSystem": "reads policy files; `effect/ConfigProvider` loads it in any case",
  "effect/http/Headers": "reads HTTP dates; `effect/Schema` loads it in any case"
}

/** What everyone imports: these load no module that is not stable, but what Effect's stable ones load and what is tolerated. */
export const mainEntries: ReadonlyArray<string> = ["holdfast", "@holdfast/core", "@holdfast/http"]

const known = new Map<string, boolean>()

/** `effect/http/Headers` → whether it is promised; what is not there, nobody can say. */
export const isStable = (root: string, specifier: string): boolean => {
  const file = join(root, "node_modules", `${specifier.replace(/^effect\//, "effect/src/")}.ts`)
  const found = known.get(file) ?? (!existsSync(file) || stabilityOf(readFileSync(file, "utf8")) === "stable")
  known.set(file, found)
  return found
}

/** The mark in the module's own comment, which is the first one; the comment of an export below it says nothing of the module. */
export const stabilityOf = (text: string): string | undefined => {
  const [comment = ""] = /\/\*\*[\s\S]*?\*\//.exec(text.replace(/^\/\/.*$/gm, "")) ?? []
  return /@stability (\w+)/.exec(comment)?.[1]
}

export interface UnstableImport {
  /** From the root of the repository. */
  readonly file: string
  readonly line: number
  readonly specifier: string
  /** It is gone when the program runs. */
  readonly isType: boolean
  /** The entries that load the file, by what a program imports. */
  readonly entries: ReadonlyArray<string>
}

/** Every import of a module of Effect that is not stable, in the order of the files. */
export const unstableImports = (root: string): ReadonlyArray<UnstableImport> => {
  const { owners, sources } = readSources(root)
  const reached = entriesOf(owners, sources)
  return sources.flatMap((source) =>
    source.imports
      .filter(({ specifier }) => specifier.startsWith("effect/") && !isStable(root, specifier))
      .map(({ isType, line, specifier }) => ({
        file: source.file,
        line,
        specifier,
        isType,
        entries: reached.get(source.file) ?? []
      }))
  )
}

/** The imports that make everyone load a module which is not stable. */
export const unstableForAll = (root: string): ReadonlyArray<UnstableImport> =>
  unstableImports(root).filter(
    ({ entries, isType, specifier }) =>
      !isType && !(specifier in tolerated) && entries.some((entry) => mainEntries.includes(entry))
  )

/** For each file, the entries that load it: the lower-case files of a package's src, by what a program imports. */
const entriesOf = (
  owners: ReadonlyArray<Package>,
  sources: ReadonlyArray<Source>
): ReadonlyMap<string, ReadonlyArray<string>> => {
  const byFile = new Map(sources.map((source) => [source.file, source]))
  const fileOf = (from: string, specifier: string): string | undefined => {
    if (specifier.startsWith(".")) return resolveRelative(from, specifier)
    const owner = owners.find(({ manifest: { name } }) => specifier === name || specifier.startsWith(`${name}/`))
    if (owner === undefined) return undefined
    const path = specifier.slice(owner.manifest.name.length + 1)
    return join(owner.folder, "src", `${path === "" ? "index" : path}.ts`)
  }
  const reached = new Map<string, Array<string>>()
  for (const { file, owner } of sources) {
    const name = basename(file, ".ts")
    if (dirname(file) !== join(owner.folder, "src") || !/^[a-z]+$/.test(name)) continue
    const entry = name === "index" ? owner.manifest.name : `${owner.manifest.name}/${name}`
    const queue = [file]
    const seen = new Set(queue)
    for (const each of queue) {
      reached.set(each, [...(reached.get(each) ?? []), entry])
      for (const { isType, specifier } of byFile.get(each)?.imports ?? []) {
        const target = isType ? undefined : fileOf(each, specifier)
        if (target === undefined || seen.has(target) || !byFile.has(target)) continue
        seen.add(target)
        queue.push(target)
      }
    }
  }
  return reached
}

export interface Loaded {
  /** As a program imports it. */
  readonly module: string
  /** The module of Effect that loads it, or a file from the root. */
  readonly by: string
}

/** The modules of Effect, not stable, that a process loads when it imports `specifiers`; found by loading them. */
export const unstableLoaded = (root: string, ...specifiers: ReadonlyArray<string>): ReadonlyArray<Loaded> => {
  const { status, stderr, stdout } = spawnSync(
    process.execPath,
    [join(import.meta.dirname, "loadedModules.mjs"), ...specifiers],
    { cwd: root, encoding: "utf8" }
  )
  if (status !== 0) throw new Error(`importing ${specifiers.join(", ")} failed\n${stderr}`)
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line): Loaded => {
      const [module = "", by = ""] = line.split(" ")
      return { module: asImported(module), by: asImported(by) }
    })
    .filter(({ module }) => !module.includes("/internal/") && !isStable(root, module))
    .toSorted((one, other) => (one.module < other.module ? -1 : 1))
}

/** A file as a program would import it, when it is Effect's. */
const asImported = (file: string): string =>
  file.replace(/^.*\/node_modules\/effect\/dist\/(.*)\.js$/, "effect/$1").replace(/^.*?\/(?=(packages|src)\/)/, "")

/** For the documents: each tolerated module and why. */
export const toleratedModules = (): ReadonlyArray<readonly [module: string, why: string]> => Object.entries(tolerated)

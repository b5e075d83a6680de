// Which module may import which. The layout is the architecture: an arrow says what a package may import, and nothing
// points back. A type-only import is an import like any other, since it ties two modules together just the same.

import { readFileSync } from "node:fs"
import { isBuiltin } from "node:module"
import { basename, dirname, extname, join, normalize, sep } from "node:path"
import { parseSync } from "vite"
import type { Package } from "./checks/workspace.ts"
import { files, packages } from "./checks/workspace.ts"

/** The packages that each package may import, by folder name. The root is not here: it may import them all. */
const arrows: Readonly<Record<string, ReadonlyArray<string>>> = {
  core: [],
  http: ["core"],
  node: ["core", "http"],
  telemetry: ["core", "http"],
  testing: ["core", "http", "node"]
}

/** The packages that may import Node's own modules, and the one that may import the transport's client. */
const mayImportNode = new Set(["node", "testing"])
const mayImportUndici = new Set(["node"])

/** Words that say nothing about what is in a file: anywhere in its name, or as the whole of it. */
const vagueWords = new Set(["util", "utils", "utility", "utilities", "helper", "helpers", "misc"])
const vagueNames = new Set(["common", "shared"])

export interface Violation {
  /** From the root of the repository. */
  readonly file: string
  readonly line: number
  readonly found: string
  readonly instead: string
}

export interface Findings {
  readonly files: number
  readonly imports: number
  readonly violations: ReadonlyArray<Violation>
}

export interface Import {
  readonly specifier: string
  readonly line: number
  /** The compiler leaves it out. */
  readonly isType: boolean
}

export interface Source {
  readonly file: string
  readonly owner: Package
  readonly imports: ReadonlyArray<Import>
}

/** The sources of a repository and what each of them imports, with what cannot be read. */
export const readSources = (
  root: string
): {
  readonly owners: ReadonlyArray<Package>
  readonly sources: ReadonlyArray<Source>
  readonly unreadable: ReadonlyArray<Violation>
} => {
  const owners = packages(root)
  const unreadable: Array<Violation> = []
  const sources = owners.flatMap((owner) =>
    files(root, join(owner.folder, "src/**/*.ts"))
      .filter((file) => !file.endsWith(".test.ts"))
      .map((file): Source => {
        const { imports, errors } = importsOf(file, readFileSync(join(root, file), "utf8"))
        unreadable.push(...errors)
        return { file, owner, imports }
      })
  )
  return { owners, sources, unreadable }
}

/** Reads the sources of a repository and gives everything in them that the rules do not allow. */
export const findViolations = (root: string): Findings => {
  const { owners, sources, unreadable } = readSources(root)
  const violations = [
    ...unreadable,
    ...owners.flatMap(undeclaredArrows),
    ...sources.flatMap((source) =>
      source.imports.flatMap((found) =>
        forbidden(source, found, owners).map((rule) => ({ file: source.file, line: found.line, ...rule }))
      )
    ),
    ...circles(sources),
    ...vague(root),
    ...publicModules(root, sources),
    ...lostModuleComments(root, sources),
    ...untoldPurposes(root, sources)
  ]
  return {
    files: sources.length,
    imports: sources.reduce((total, source) => total + source.imports.length, 0),
    violations: violations.toSorted((a, b) => a.file.localeCompare(b.file) || a.line - b.line)
  }
}

/** Every module that a file names: imports, re-exports, `import()` and `import("…")` in a type. */
const importsOf = (
  file: string,
  text: string
): { readonly imports: ReadonlyArray<Import>; readonly errors: ReadonlyArray<Violation> } => {
  const parsed = parseSync(file, text)
  const lineAt = (offset: number): number => text.slice(0, offset).split("\n").length
  const imports = new Map<number, Import>()
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) {
      for (const child of node) visit(child)
    } else if (isRecord(node)) {
      const source = node["type"] === "TSImportType" ? (node["source"] ?? node["argument"]) : node["source"]
      const literal = isRecord(source) && isRecord(source["literal"]) ? source["literal"] : source
      if (isRecord(literal) && typeof literal["value"] === "string" && typeof literal["start"] === "number") {
        const isType = [node["importKind"], node["exportKind"]].includes("type") || node["type"] === "TSImportType"
        imports.set(literal["start"], { specifier: literal["value"], line: lineAt(literal["start"]), isType })
      }
      for (const child of Object.values(node)) if (typeof child === "object") visit(child)
    }
  }
  visit(parsed.program.body)
  return {
    imports: [...imports.values()],
    errors: parsed.errors.map((error) => ({
      file,
      line: lineAt(error.labels[0]?.start ?? 0),
      found: `does not parse: ${error.message}`,
      instead: "mend the syntax; its imports could not be read"
    }))
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

type Rule = Pick<Violation, "found" | "instead">

const shortName = (owner: Package): string => (owner.folder === "." ? "the root" : basename(owner.folder))

/** `@scope/name/a/b` → [`@scope/name`, `a/b`]. */
const splitSpecifier = (specifier: string): readonly [name: string, path: string] => {
  const parts = specifier.split("/")
  const length = specifier.startsWith("@") ? 2 : 1
  return [parts.slice(0, length).join("/"), parts.slice(length).join("/")]
}

/** Says why a file may not import a module; nothing when it may. */
const forbidden = (source: Source, { specifier }: Import, owners: ReadonlyArray<Package>): ReadonlyArray<Rule> => {
  const { owner } = source
  const own = shortName(owner)

  if (specifier.startsWith(".")) {
    const target = resolveRelative(source.file, specifier)
    if (!target.startsWith(join(owner.folder, "src") + sep)) {
      return [
        {
          found: `imports "${specifier}", which is outside ${own}'s src`,
          instead: "import another package by its name, and only what it exports"
        }
      ]
    }
    const isBarrel = owner.folder !== "." && dirname(target) === join(owner.folder, "src") && isSubpath(target)
    return isBarrel
      ? [{ found: `imports its own barrel "${specifier}"`, instead: "import the module that you need: ./Module.ts" }]
      : []
  }

  if (isBuiltin(specifier)) {
    if (!specifier.startsWith("node:")) {
      return [{ found: `imports "${specifier}" without a prefix`, instead: `import "node:${specifier}"` }]
    }
    return mayImportNode.has(own)
      ? []
      : [
          {
            found: `imports "${specifier}", and ${own} knows no Node`,
            instead: "put it behind a service that packages/node provides"
          }
        ]
  }

  const [name, path] = splitSpecifier(specifier)
  const imported = owners.find((candidate) => candidate.manifest.name === name)
  if (imported !== undefined) {
    if (imported === owner) {
      return [{ found: `imports its own package as "${specifier}"`, instead: "import the file: ./Module.ts" }]
    }
    const rules: Array<Rule> = []
    const other = shortName(imported)
    const allowed = owner.folder === "." ? owners.map(shortName) : (arrows[own] ?? [])
    if (!allowed.includes(other)) {
      rules.push({
        found: `imports "${specifier}" against the arrows`,
        instead: `${own} may import ${allowed.length === 0 ? "effect only" : allowed.join(", ")}; move what both need to the package below`
      })
    }
    if (path === "internal" || path.startsWith("internal/") || path.includes("/internal/") || path.startsWith("src/")) {
      rules.push({
        found: `imports "${specifier}", which is private to ${other}`,
        instead: `import a public module of ${name}, or make this one public by moving it to ${imported.folder}/src/`
      })
    }
    return rules
  }

  if (name === "undici" && !mayImportUndici.has(own)) {
    return [
      {
        found: `imports "${specifier}", and only packages/node may`,
        instead: "use the transport service; packages/node implements it with undici"
      }
    ]
  }
  if (name === "effect" || name.startsWith("@effect/")) {
    const last = specifier.split("/").at(-1) ?? ""
    const isBarrel = path === "" || (name === "effect" && /^[a-z][a-z0-9-]*$/.test(last))
    if (isBarrel) {
      return [
        {
          found: `imports the barrel "${specifier}"`,
          instead: `import the module itself: import * as ${name === "effect" && path !== "" ? "HttpClient" : "Effect"} from "${specifier}/${name === "effect" && path !== "" ? "HttpClient" : "Effect"}"`
        }
      ]
    }
  }
  const { dependencies = {}, peerDependencies = {} } = owner.manifest
  return name in dependencies || name in peerDependencies
    ? []
    : [
        {
          found: `imports "${specifier}", which is not among ${own}'s dependencies`,
          instead: `declare ${name} in ${join(owner.folder, "package.json")}, or do without it`
        }
      ]
}

const undeclaredArrows = (owner: Package): ReadonlyArray<Violation> =>
  owner.folder === "." || basename(owner.folder) in arrows
    ? []
    : [
        {
          file: join(owner.folder, "package.json"),
          line: 1,
          found: `the package "${basename(owner.folder)}" has no arrows`,
          instead: "say what it may import in scripts/boundaries.ts"
        }
      ]

/** Entries of a package are lower-case files of its src: `index.ts` is the main one, `client.ts` that of the subpath `…/client`. */
const isSubpath = (file: string): boolean => /^[a-z]+$/.test(basename(file, ".ts"))

export const resolveRelative = (file: string, specifier: string): string => {
  const target = normalize(join(dirname(file), specifier))
  return extname(target) === "" ? `${target}.ts` : target
}

/** Import circles within a package. Between packages the arrows already rule them out. */
const circles = (sources: ReadonlyArray<Source>): ReadonlyArray<Violation> => {
  const byFile = new Map(sources.map((source) => [source.file, source]))
  const finished = new Set<string>()
  const found = new Map<string, Violation>()

  const visit = (source: Source, path: ReadonlyArray<{ readonly source: Source; readonly line: number }>): void => {
    for (const { specifier, line } of source.imports) {
      if (!specifier.startsWith(".")) continue
      const target = byFile.get(resolveRelative(source.file, specifier))
      if (target === undefined || finished.has(target.file)) continue
      const here = [...path, { source, line }]
      const start = here.findIndex((step) => step.source === target)
      if (start === -1) {
        visit(target, here)
        continue
      }
      const circle = here.slice(start)
      const names = circle.map((step) => step.source.file)
      found.set(names.toSorted().join(" "), {
        file: target.file,
        line: circle[0]?.line ?? 1,
        found: `is in an import circle: ${[...names, target.file].map((name) => basename(name)).join(" → ")}`,
        instead: "move what both need into a module of its own, below the two"
      })
    }
    finished.add(source.file)
  }
  for (const source of sources) if (!finished.has(source.file)) visit(source, [])
  return [...found.values()]
}

const vague = (root: string): ReadonlyArray<Violation> =>
  files(root, "packages/*/{src,test}/**/*.ts", "{src,test,examples,scripts,bench}/**/*.{ts,mjs}").flatMap((file) => {
    // an entry of a package is named by what its importers say: `@holdfast/core/shared`
    const isEntry = /^packages\/[^/]+\/src\/[^/]+$|^src\/[^/]+$/.test(file) && isSubpath(file)
    const bad = (isEntry ? dirname(file) : file)
      .split(sep)
      .map((part) => part.replace(/\..*$/, ""))
      .find(
        (part) =>
          vagueNames.has(part.toLowerCase()) ||
          part.split(/[-_]|(?<=[a-z0-9])(?=[A-Z])/).some((word) => vagueWords.has(word.toLowerCase()))
      )
    return bad === undefined
      ? []
      : [
          {
            file,
            line: 1,
            found: `the name "${bad}" does not say what is inside`,
            instead: "name it by the one thing that it does, and split it if there are several"
          }
        ]
  })

/**
 * The files directly in a package's src/ are its public modules: named by concept, and each of them in one entry. What is in an entry
 * beside `index.ts` is there because it should not be loaded by everyone.
 */
const publicModules = (root: string, sources: ReadonlyArray<Source>): ReadonlyArray<Violation> =>
  sources
    .filter(({ file, owner }) => owner.folder !== "." && dirname(file) === join(owner.folder, "src"))
    .flatMap(({ file, owner }): ReadonlyArray<Violation> => {
      const name = basename(file, ".ts")
      if (isSubpath(file)) return foreignLines(root, file)
      if (!/^[A-Z][A-Za-z0-9]*$/.test(name)) {
        return [
          {
            file,
            line: 1,
            found: `a public module is named "${name}"`,
            instead: `name it by its concept in PascalCase, or move it to ${join(owner.folder, "src/internal")}/`
          }
        ]
      }
      const barrel = join(owner.folder, "src", "index.ts")
      const line = `export * as ${name} from "./${name}.ts"`
      const holding = files(root, join(owner.folder, "src/*.ts")).filter(
        (entry) => isSubpath(entry) && readFileSync(join(root, entry), "utf8").includes(line)
      )
      if (holding.length === 0) {
        return [{ file: barrel, line: 1, found: `the public module ${name} is missing`, instead: `add: ${line}` }]
      }
      return holding.slice(1).map((entry) => ({
        file: entry,
        line: 1,
        found: `the public module ${name} is in ${holding.map((one) => basename(one)).join(" and ")}`,
        instead: "leave it in one of them"
      }))
    })

/** An entry says what is in it, and nothing else: what it did on its own, no test would find. */
const foreignLines = (root: string, file: string): ReadonlyArray<Violation> =>
  readFileSync(join(root, file), "utf8")
    .split("\n")
    .flatMap((line, index) =>
      line === "" || /^export \* as [A-Z]\w* from "\.\/[A-Z]\w*\.ts"$/.test(line)
        ? []
        : [
            {
              file,
              line: index + 1,
              found: "an entry holds more than exports of public modules",
              instead: "one line a module: export * as Module from"
            }
          ]
    )

/** No page tells of what is internal: the first lines of each file say what it decides. */
const untoldPurposes = (root: string, sources: ReadonlyArray<Source>): ReadonlyArray<Violation> =>
  sources
    .filter(({ file }) => file.includes(`${sep}src${sep}internal${sep}`))
    .filter(({ file }) => !/^(?:\/\*\*|\/\/) ?\S|^\/\*\*\n/.test(readFileSync(join(root, file), "utf8")))
    .map(({ file }) => ({
      file,
      line: 1,
      found: "the file does not say what it decides",
      instead: "begin it with a comment of a sentence or two, before the imports"
    }))

/**
 * A module comment that stands right above the first import goes with it when the compiler leaves that import out of the
 * declarations, and who reads the package's types never sees it. An empty line sets it apart.
 */
const lostModuleComments = (root: string, sources: ReadonlyArray<Source>): ReadonlyArray<Violation> =>
  sources.flatMap(({ file }) => {
    const [comment] = /^\/\*\*[\s\S]*?\*\/\n(?=import )/.exec(readFileSync(join(root, file), "utf8")) ?? []
    if (comment === undefined) return []
    return [
      {
        file,
        line: comment.split("\n").length - 1,
        found: "the module comment touches the first import",
        instead: "put an empty line between them, or the declarations may lose the comment"
      }
    ]
  })

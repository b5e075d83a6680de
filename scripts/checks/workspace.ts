// What is in the repository: its packages, its TypeScript projects, its files.

import { existsSync, globSync, readFileSync, readdirSync } from "node:fs"
import { join } from "node:path"

export interface Manifest {
  readonly name: string
  readonly version: string
  readonly files?: ReadonlyArray<string>
  readonly exports?: Readonly<Record<string, unknown>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

export interface Package {
  /** From the root of the repository; the root's own is `.`. */
  readonly folder: string
  readonly manifest: Manifest
}

const readManifest = (file: string): Manifest => JSON.parse(readFileSync(file, "utf8"))

/** The packages that are published: those in packages/, then the root, which depends on them. */
export const packages = (root: string): ReadonlyArray<Package> => {
  const folders = existsSync(join(root, "packages"))
    ? readdirSync(join(root, "packages"))
        .toSorted()
        .map((name) => join("packages", name))
    : []
  return [...folders, "."]
    .filter((folder) => existsSync(join(root, folder, "package.json")))
    .map((folder) => ({ folder, manifest: readManifest(join(root, folder, "package.json")) }))
}

/** Every TypeScript project that holds files of its own; `tsconfig.json` only refers to them. */
export const projects = (root: string): ReadonlyArray<string> => [
  ...globSync("packages/*/tsconfig.json", { cwd: root }).toSorted(),
  "tsconfig.src.json",
  "tsconfig.test.json"
]

/** Files by glob from the root of the repository, sorted, without what is installed or generated. */
export const files = (root: string, ...patterns: ReadonlyArray<string>): ReadonlyArray<string> =>
  globSync(patterns, {
    cwd: root,
    exclude: (path) => /(^|\/)(node_modules|dist|\.cache|\.git)$/.test(typeof path === "string" ? path : "")
  }).toSorted()

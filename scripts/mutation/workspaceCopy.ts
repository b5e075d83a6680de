// A copy of the workspace to break things in: its own sources and tests, everything that is installed by a link.

import {
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"

export interface WorkspaceCopy {
  readonly root: string
  readonly remove: () => void
}

/** What is installed, made or remembered; of all else nobody can say that no test needs it. */
const left = new Set(["node_modules", ".git", "dist", ".cache"])

export const setupFile = "seededRandom.setup.ts"

/**
 * Chance is the same in every run: a property looks at the same values whatever mutant is in, and a verdict can be had
 * again. (Effect's `Random`, which picks a property's seed, draws from `Math.random`.) The generator is mulberry32.
 */
const seededRandom = (seed: number): string => `let state = ${seed} | 0
Math.random = () => {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
}
`

export const copyWorkspace = (root: string, seed: number): WorkspaceCopy => {
  // the real path: vite compares the paths of modules by what they resolve to
  const copy = realpathSync(mkdtempSync(join(tmpdir(), "holdfast-mutation-")))
  // what a package links to is copied: those links are relative, and so lead into the copy
  const isCopied = (path: string): boolean =>
    !left.has(basename(path)) || (basename(path) === "node_modules" && path !== join(root, "node_modules"))
  cpSync(root, copy, { recursive: true, verbatimSymlinks: true, filter: isCopied })
  linkInstalled(join(root, "node_modules"), join(copy, "node_modules"))
  writeFileSync(join(copy, setupFile), seededRandom(seed))
  return { root: copy, remove: () => rmSync(copy, { recursive: true, force: true }) }
}

/** Links every package that is installed, so that there is one of each; but those of the workspace lead into the copy. */
const linkInstalled = (from: string, to: string): void => {
  mkdirSync(to)
  for (const name of readdirSync(from)) {
    if (name === "@holdfast") cpSync(join(from, name), join(to, name), { recursive: true, verbatimSymlinks: true })
    // tools keep what they remember in folders with a dot; the links of the packages lead through `.pnpm`
    else if (!name.startsWith(".") || name === ".pnpm") symlinkSync(realpathSync(join(from, name)), join(to, name))
  }
  for (const name of readdirSync(join(to, "@holdfast"))) {
    const link = join(to, "@holdfast", name)
    const target = realpathSync(link)
    if (!lstatSync(link).isSymbolicLink() || !target.startsWith(join(to, "..", "packages"))) {
      throw new Error(`mutation: ${link} leads to ${target}, which is not in the copy`)
    }
  }
}

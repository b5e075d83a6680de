import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { findViolations } from "../../scripts/boundaries.ts"

const temporary: Array<string> = []

afterEach(() => {
  for (const folder of temporary.splice(0)) rmSync(folder, { recursive: true })
})

const manifest = (name: string, dependencies: ReadonlyArray<string> = []) =>
  JSON.stringify({
    name,
    dependencies: Object.fromEntries(dependencies.map((dependency) => [dependency, "workspace:^"])),
    peerDependencies: { effect: "^4.1.0" }
  })

/** A small repository that keeps every rule, with some files replaced or added. */
const repository = (changes: Readonly<Record<string, string>> = {}, purpose = "/** What it decides. */ "): string => {
  const root = mkdtempSync(join(tmpdir(), "holdfast-boundaries-"))
  temporary.push(root)
  const contents: Readonly<Record<string, string>> = {
    "package.json": manifest("holdfast", ["@holdfast/core", "@holdfast/http", "@holdfast/node"]),
    "src/index.ts": `export * from "@holdfast/core"\nexport * from "@holdfast/http"\n`,
    "packages/core/package.json": manifest("@holdfast/core"),
    "packages/core/src/index.ts": `export * as Gate from "./Gate.ts"\n`,
    "packages/core/src/Gate.ts": `import * as Effect from "effect/Effect"\nimport { step } from "./internal/step.ts"\nexport const open = Effect.sync(step)\n`,
    "packages/core/src/internal/step.ts": `export const step = () => 1\n`,
    "packages/http/package.json": manifest("@holdfast/http", ["@holdfast/core"]),
    "packages/http/src/index.ts": `export * as Call from "./Call.ts"\n`,
    "packages/http/src/Call.ts": `import * as Gate from "@holdfast/core/Gate"\nexport const call = Gate.open\n`,
    "packages/node/package.json": manifest("@holdfast/node", ["@holdfast/core", "@holdfast/http", "undici"]),
    "packages/node/src/index.ts": `export * as Transport from "./Transport.ts"\n`,
    "packages/node/src/Transport.ts": `import type { Socket } from "node:net"\nimport { Agent } from "undici"\nexport const make = (_: Socket) => new Agent()\n`,
    "packages/testing/package.json": manifest("@holdfast/testing", ["@holdfast/core", "@holdfast/node"]),
    "packages/testing/src/index.ts": `export * as Faults from "./Faults.ts"\n`,
    "packages/testing/src/Faults.ts": `import * as net from "node:net"\nexport const faults = net.connect\n`,
    ...changes
  }
  for (const [file, text] of Object.entries(contents)) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), `${/^packages\/\w+\/src\/internal\//.test(file) ? purpose : ""}${text}`)
  }
  return root
}

const found = (changes: Readonly<Record<string, string>>, purpose?: string): ReadonlyArray<string> =>
  findViolations(repository(changes, purpose)).violations.map(({ file, line, found }) => `${file}:${line} ${found}`)

describe("boundaries", () => {
  it("finds nothing in a repository that keeps the rules", () => {
    const { files, imports, violations } = findViolations(repository())
    expect(violations).toEqual([])
    expect(files).toBe(10)
    expect(imports).toBe(12)
  })

  it("refuses an import against the arrows, with the line and what would be right", () => {
    const root = repository({
      "packages/core/src/Gate.ts": `export const open = 1\n\nexport { call } from "@holdfast/http/Call"\n`
    })
    expect(findViolations(root).violations).toEqual([
      {
        file: "packages/core/src/Gate.ts",
        line: 3,
        found: `imports "@holdfast/http/Call" against the arrows`,
        instead: "core may import effect only; move what both need to the package below"
      }
    ])
  })

  it.each([
    ["a type-only import", `import type { call } from "@holdfast/http/Call"\nexport type Call = typeof call\n`],
    ["an import inside a type", `export type Call = typeof import("@holdfast/http/Call").call\n`],
    ["a dynamic import", `export const call = () => import("@holdfast/http/Call")\n`],
    ["an import for its side effects", `import "@holdfast/http/Call"\n`]
  ])("counts %s as an import", (_, text) => {
    expect(found({ "packages/core/src/Gate.ts": text })).toEqual([
      `packages/core/src/Gate.ts:1 imports "@holdfast/http/Call" against the arrows`
    ])
  })

  it("does not mistake a comment or a string for an import", () => {
    expect(
      found({
        "packages/core/src/Gate.ts": `// import "undici"\n/* import "node:fs" */\nexport const open = 'import "@holdfast/http"'\n`
      })
    ).toEqual([])
  })

  it.each(["core", "http"])("refuses Node and undici in %s", (name) => {
    const file = name === "core" ? "packages/core/src/Gate.ts" : "packages/http/src/Call.ts"
    expect(found({ [file]: `import "node:fs"\nimport "undici"\nimport "fs"\n` })).toEqual([
      `${file}:1 imports "node:fs", and ${name} knows no Node`,
      `${file}:2 imports "undici", and only packages/node may`,
      `${file}:3 imports "fs" without a prefix`
    ])
  })

  it("lets testing import Node but not undici", () => {
    expect(found({ "packages/testing/src/Faults.ts": `import "node:fs"\nimport "undici"\n` })).toEqual([
      `packages/testing/src/Faults.ts:2 imports "undici", and only packages/node may`
    ])
  })

  it("refuses another package's internal module, even along an arrow", () => {
    expect(found({ "packages/http/src/Call.ts": `import "@holdfast/core/internal/step"\n` })).toEqual([
      `packages/http/src/Call.ts:1 imports "@holdfast/core/internal/step", which is private to core`
    ])
  })

  it("refuses a relative import that leaves the package", () => {
    expect(found({ "packages/http/src/Call.ts": `import "../../core/src/Gate.ts"\n` })).toEqual([
      `packages/http/src/Call.ts:1 imports "../../core/src/Gate.ts", which is outside http's src`
    ])
  })

  it.each(["effect", "effect/http"])("refuses the barrel %s", (barrel) => {
    expect(found({ "packages/core/src/Gate.ts": `import type * as All from "${barrel}"\n` })).toEqual([
      `packages/core/src/Gate.ts:1 imports the barrel "${barrel}"`
    ])
  })

  it("refuses a package's own name and its own barrel", () => {
    expect(
      found({
        "packages/core/src/Gate.ts": `import "@holdfast/core"\n`,
        "packages/http/src/internal/send.ts": `import "../index.ts"\n`
      })
    ).toEqual([
      `packages/core/src/Gate.ts:1 imports its own package as "@holdfast/core"`,
      `packages/http/src/internal/send.ts:1 imports its own barrel "../index.ts"`
    ])
  })

  it("refuses a package that is not declared", () => {
    expect(found({ "packages/http/src/Call.ts": `import "left-pad"\n` })).toEqual([
      `packages/http/src/Call.ts:1 imports "left-pad", which is not among http's dependencies`
    ])
  })

  it("finds an import circle once, type-only imports included", () => {
    expect(
      found({
        "packages/core/src/Gate.ts": `import "./internal/step.ts"\n`,
        "packages/core/src/internal/step.ts": `import "./window.ts"\n`,
        "packages/core/src/internal/window.ts": `\nimport type { Gate } from "../Gate.ts"\n`
      })
    ).toEqual(["packages/core/src/Gate.ts:1 is in an import circle: Gate.ts → step.ts → window.ts → Gate.ts"])
  })

  it.each(["utils.ts", "httpHelpers.ts", "common.ts", "misc/window.ts", "shared.ts"])(
    "refuses the vague name %s",
    (name) => {
      expect(found({ [`packages/core/src/internal/${name}`]: "export const window = 1\n" })).toEqual([
        `packages/core/src/internal/${name}:1 the name "${name.replace(/[./].*/, "")}" does not say what is inside`
      ])
    }
  )

  it("lets a precise name contain an ordinary word", () => {
    expect(found({ "packages/core/src/internal/sharedTimer.ts": "export const timer = 1\n" })).toEqual([])
  })

  it("asks that a public module is named by its concept and is in the barrel", () => {
    expect(
      found({
        "packages/core/src/gateState.ts": "export const state = 1\n",
        "packages/core/src/Window.ts": "export const window = 1\n"
      })
    ).toEqual([
      `packages/core/src/gateState.ts:1 a public module is named "gateState"`,
      "packages/core/src/index.ts:1 the public module Window is missing"
    ])
  })

  it("takes an entry beside the main one, and asks that a module is in one of them, and nothing else in an entry", () => {
    const line = `export * as Window from "./Window.ts"\n`
    const changes = { "packages/core/src/Window.ts": "export const window = 1\n", "packages/core/src/shared.ts": line }
    expect(found(changes)).toEqual([])
    expect(
      found({ ...changes, "packages/core/src/index.ts": `export * as Gate from "./Gate.ts"\n${line}` }).map((each) =>
        each.replace(/^.*src\//, "")
      )
    ).toEqual(["shared.ts:1 the public module Window is in index.ts and shared.ts"])
    expect(found({ ...changes, "packages/core/src/shared.ts": `${line}import "./Gate.ts"\n` })).toEqual([
      "packages/core/src/shared.ts:2 an entry holds more than exports of public modules"
    ])
    expect(found({ ...changes, "packages/core/src/internal/send.ts": `import "../shared.ts"\n` })).toEqual([
      `packages/core/src/internal/send.ts:1 imports its own barrel "../shared.ts"`
    ])
  })

  it("asks that an internal file begins with what it decides", () => {
    const told = (purpose: string) => found({}, `${purpose}\n`)
    const untold = ["packages/core/src/internal/step.ts:1 the file does not say what it decides"]
    expect(told("/** What a step is. */")).toEqual([])
    expect(told("/**\n * What a step is.\n */")).toEqual([])
    expect(told("// What a step is.")).toEqual([])
    expect(told("//")).toEqual(untold)
    expect(told("const one = 1")).toEqual(untold)
    expect(told('import * as Effect from "effect/Effect"\n\n/** What a step is. */')).toEqual(untold)
  })

  it("asks that a module comment is set apart from the first import", () => {
    const module = (between: string) =>
      `/**\n * A gate.\n */\n${between}import * as Effect from "effect/Effect"\nexport const open = Effect.void\n`
    expect(found({ "packages/core/src/Gate.ts": module("") })).toEqual([
      "packages/core/src/Gate.ts:3 the module comment touches the first import"
    ])
    expect(found({ "packages/core/src/Gate.ts": module("\n") })).toEqual([])
  })

  it("asks for the arrows of a new package", () => {
    expect(found({ "packages/cache/package.json": manifest("@holdfast/cache") })).toEqual([
      `packages/cache/package.json:1 the package "cache" has no arrows`
    ])
  })

  it("says so when a file cannot be read as TypeScript", () => {
    expect(found({ "packages/core/src/Gate.ts": "export const = 1\n" })[0]).toMatch(
      /^packages\/core\/src\/Gate\.ts:1 does not parse: /
    )
  })
})

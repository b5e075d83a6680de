import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { describe, expect, it, onTestFinished } from "vitest"
import { root } from "../../scripts/checks/command.ts"
import {
  isStable,
  mainEntries,
  stabilityOf,
  toleratedModules,
  unstableForAll,
  unstableImports,
  unstableLoaded
} from "../../scripts/unstable.ts"

const module = (mark: string) => `/**\n * What it is.\n *\n${mark} * @since 4.0.0\n */\nexport const one = 1\n`

const repository = (contents: Readonly<Record<string, string>>): string => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-unstable-"))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const all = {
    "package.json": `{ "name": "holdfast" }`,
    "packages/http/package.json": `{ "name": "@holdfast/http" }`,
    "packages/http/src/index.ts": `export * as Call from "./Call.ts"\n`,
    "packages/http/src/client.ts": `export * as Door from "./Door.ts"\n`,
    "node_modules/effect/src/Effect.ts": module(" * @stability stable\n"),
    "node_modules/effect/src/http/HttpClient.ts": module(" * @stability unstable\n"),
    "node_modules/effect/src/http/HttpBody.ts": module(""),
    ...contents
  }
  for (const [file, text] of Object.entries(all)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), text)
  }
  return folder
}

describe("what Effect does not call stable", () => {
  it("is what a module's own comment does not call so, whatever its exports say", () => {
    expect(stabilityOf(`/// <reference lib="x" />\n\n${module(" * @stability stable\n")}`)).toBe("stable")
    expect(stabilityOf(`${module("")}\n/** @stability stable */\nexport const two = 2\n`)).toBeUndefined()
  })

  it("is listed file by file, with the entries that load it, and refused where everyone loads it", () => {
    const folder = repository({
      "packages/http/src/Call.ts": `import * as Effect from "effect/Effect"\nimport type * as Types from "effect/http/HttpClient"\nimport "./internal/send.ts"\nimport type {} from "./internal/typed.ts"\n`,
      "packages/http/src/Door.ts": `import * as HttpClient from "effect/http/HttpClient"\n`,
      "packages/http/src/internal/send.ts": `import { type HttpBody } from "effect/http/HttpBody"\n`,
      "packages/http/src/internal/typed.ts": `import * as HttpClient from "effect/http/HttpClient"\n`
    })
    const shown = unstableImports(folder).map(({ entries, file, isType, specifier }) => [
      file.replace("packages/http/src/", ""),
      specifier,
      isType,
      entries
    ])
    expect(shown).toEqual([
      ["Call.ts", "effect/http/HttpClient", true, ["@holdfast/http"]],
      ["Door.ts", "effect/http/HttpClient", false, ["@holdfast/http/client"]],
      ["internal/send.ts", "effect/http/HttpBody", false, ["@holdfast/http"]],
      ["internal/typed.ts", "effect/http/HttpClient", false, []]
    ])
    expect(unstableForAll(folder).map(({ file, line }) => `${file}:${line}`)).toEqual([
      "packages/http/src/internal/send.ts:1"
    ])
  })

  it("is not loaded by who imports holdfast, but for what Effect's stable modules load and what the list names", () => {
    // what a stable module loads, and what that loads in turn, is Effect's own
    const ofStable = new Set(
      unstableLoaded(root, "effect/Schema", "effect/ConfigProvider", "effect/Effect").map(({ module }) => module)
    )
    const named = toleratedModules().map(([module]) => module)
    const beyond = (...specifiers: ReadonlyArray<string>) =>
      unstableLoaded(root, ...specifiers)
        .map(({ module }) => module)
        .filter((module) => !ofStable.has(module) && !named.includes(module))
    expect(["effect/Schema", "effect/ConfigProvider", "effect/Effect"].every((one) => isStable(root, one))).toBe(true)
    expect(beyond(...mainEntries)).toEqual([])
    // the same eyes see what a subpath loads
    expect(beyond("holdfast/client")).toContain("effect/http/HttpClient")
    expect(beyond("holdfast/server")).toContain("effect/http/HttpRouter")
    expect(beyond("holdfast/shared")).toContain("effect/persistence/CircuitBreaker")
  })
})

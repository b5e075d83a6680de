import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, matchesGlob } from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, describe, expect, it } from "vitest"
import { files } from "../../scripts/checks/workspace.ts"
import { explains, explanations } from "../../scripts/mutation/explained.ts"
import { heldBy, holdings } from "../../scripts/mutation/heldBy.ts"
import { importers } from "../../scripts/mutation/importers.ts"
import { decisions, judgedModules } from "../../scripts/mutation/judged.ts"
import { mutantsOf } from "../../scripts/mutation/mutants.ts"
import { verdictOf } from "../../scripts/mutation/report.ts"
import { type Report, run } from "../../scripts/mutation/run.ts"
import { chosenOf, seedOf } from "../../scripts/mutation/sample.ts"

const workspace = fileURLToPath(new URL("../..", import.meta.url))

const temporary: Array<string> = []

afterEach(() => {
  for (const folder of temporary.splice(0)) rmSync(folder, { recursive: true })
})

const changes = (text: string): ReadonlyArray<string> =>
  mutantsOf("module.ts", text).map(({ after, before }) => `${before} → ${after}`)

/** A package with one module and its test. */
const repository = (contents: Readonly<Record<string, string>>): string => {
  const root = mkdtempSync(join(tmpdir(), "holdfast-mutated-"))
  temporary.push(root)
  const all = { "package.json": "{}", "tsconfig.base.json": "{}", "node_modules/@holdfast/.keep": "", ...contents }
  for (const [file, text] of Object.entries(all)) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), text)
  }
  rmSync(join(root, "node_modules/@holdfast/.keep"))
  for (const name of ["vitest", "vite"]) {
    symlinkSync(join(workspace, "node_modules", name), join(root, "node_modules", name))
  }
  symlinkSync("../../packages/core", join(root, "node_modules/@holdfast/core"))
  return root
}

const module = "packages/core/src/internal/larger.ts"

const larger = [
  "export const larger = (one: number, other: number): number => (one > other ? one : other)",
  "export const count = (to: number): number => {",
  "  let at = 0",
  "  while (at < to) at++",
  "  return at",
  "}",
  ""
].join("\n")

const test = [
  `import { expect, it } from "vitest"`,
  `import { count, larger } from "../src/internal/larger.ts"`,
  `it("gives the larger", () => expect([larger(1, 2), larger(2, 1), larger(2, 2)]).toEqual([2, 2, 2]))`,
  `it("counts", () => expect([count(0), count(3)]).toEqual([0, 3]))`,
  ""
].join("\n")

/** Made of the first, and after it in the run. */
const twice = "packages/core/src/internal/twice.ts"

const options = { modules: [module], sample: undefined, nearest: undefined, seed: 1, lanes: 2, graceMillis: 500 }

describe("mutants", () => {
  it("turns operators, numbers, branches, defaults and statements into what they are not", () => {
    expect(changes("a(b < 2)")).toEqual([
      "a(b < 2) → ;",
      "b < 2 → (b <= 2)",
      "b < 2 → (b >= 2)",
      "2 → 0",
      "2 → 1",
      "2 → 3"
    ])
    expect(changes("const a = !b && c ? d ** e : Math.min(f ?? g, -h)")).toEqual([
      "!b → (b)",
      "!b && c → (!b || c)",
      "!b && c ? d ** e : Math.min(f ?? g, -h) → (!b && c ? Math.min(f ?? g, -h) : d ** e)",
      "d ** e → (d * e)",
      "Math.min → Math.max",
      "f ?? g → (f)",
      "f ?? g → (g)",
      "-h → (h)"
    ])
    expect(changes("const a = (b: number) => { if (b) return\n c += b }")).toEqual([
      "b → !(b)",
      "return → ;",
      "c += b → ;",
      "c += b → c -= b"
    ])
  })

  it("takes no method for one that it swaps, whatever its name", () => {
    for (const name of ["toString", "constructor", "valueOf", "hasOwnProperty"]) {
      expect(changes(`const a = b.${name}()`)).toEqual([])
      expect(changes(`const a = ${name}()`)).toEqual([])
    }
    expect(changes("const a = b.some()")).toEqual(["some → every"])
  })

  it("leaves types, texts, names of fields and the words of errors alone", () => {
    expect(changes(`import { a } from "b"\ntype C = 1 | 2\ninterface D<E extends 3 = 3> { f: 4 }`)).toEqual([])
    expect(changes(`const a: 1 = b as 2 // 3 < 4\nconst c = { 5: d, e: "f" + g }`)).toEqual([])
    expect(changes("throw new RangeError(`${a + 1}`)")).toEqual([])
  })

  it("does not touch the default of an indexed read, which is never taken", () => {
    expect(changes("const a = list[b] ?? 0")).toEqual(["list[b] ?? 0 → (0)"])
  })
})

describe("who is asked about a module", () => {
  const tests = (contents: Readonly<Record<string, string>>, file: string) =>
    importers(repository(contents)).testsOf(file)
  const manifest = `{ "name": "@holdfast/core", "exports": { ".": "./src/index.ts", "./*": "./src/*.ts" } }`
  const packaged = {
    "packages/core/package.json": manifest,
    "packages/core/src/index.ts": `export * as One from "./One.ts"\nexport * as Two from "./Two.ts"\n`,
    "packages/core/src/One.ts": `export { one } from "./internal/one.ts"\nexport const own = 1\n`,
    "packages/core/src/Two.ts": "export const two = 2\n",
    "packages/core/src/internal/one.ts": "export const one = 1\n"
  }

  it("is each test that imports it by its path, its package's name or one of the package's names, and no other", () => {
    const contents = {
      ...packaged,
      "packages/core/test/byPath.test.ts": `import { one } from "../src/internal/one.ts"`,
      "packages/core/test/bySubpath.test.ts": `import * as One from "@holdfast/core/One"`,
      "packages/core/test/byName.test.ts": `import { One } from "@holdfast/core"`,
      "packages/core/test/byAll.test.ts": `import * as core from "@holdfast/core"`,
      "packages/core/test/other.test.ts": `import { Two } from "@holdfast/core"`,
      "packages/core/test/typesOnly.test.ts": `import type { One } from "@holdfast/core"`
    }
    expect(tests(contents, "packages/core/src/internal/one.ts").toSorted()).toEqual(
      ["byAll", "byName", "byPath", "bySubpath"].map((name) => `packages/core/test/${name}.test.ts`)
    )
    expect(tests(contents, "packages/core/src/internal/one.ts")[0]).toBe("packages/core/test/byPath.test.ts")
  })

  it("is first the test of its name, and one that crosses packages only where there is no other", () => {
    const contents = {
      ...packaged,
      "packages/core/test/direct.test.ts": `import { one } from "../src/internal/one.ts"`,
      "packages/core/test/one.test.ts": `import { One } from "@holdfast/core"`,
      "test/crossing.test.ts": `import { One, Two } from "@holdfast/core"`
    }
    expect(tests(contents, "packages/core/src/internal/one.ts")).toEqual([
      "packages/core/test/one.test.ts",
      "packages/core/test/direct.test.ts"
    ])
    expect(tests(contents, "packages/core/src/Two.ts")).toEqual(["test/crossing.test.ts"])
  })
})

describe("a sample", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index)

  it("is the same for the same seed, of the size that is asked for, and in order", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const chosen = chosenOf(hundred, 10, seed)
      expect(chosen).toEqual(chosenOf(hundred, 10, seed))
      expect(chosen).toHaveLength(10)
      expect(chosen).toEqual(chosen.toSorted((one, other) => one - other))
    }
    expect(chosenOf(hundred, 200, 1)).toEqual(hundred)
  })

  it("leaves nothing out for good: seeds that follow each other come upon everything, the first too", () => {
    const seen = new Set(Array.from({ length: 200 }, (_, seed) => chosenOf(hundred, 10, seed + 1)).flat())
    expect(seen.size).toBe(100)
  })

  it("of one module says nothing of that of another", () => {
    const ofModules = ["packages/a.ts", "packages/b.ts", "packages/c.ts"].map((name) =>
      chosenOf(hundred, 10, seedOf(1, name)).join()
    )
    expect(new Set(ofModules).size).toBe(3)
  })
})

describe("the verdict", () => {
  const report = (given: Partial<Report>): Report => ({ modules: [], failures: [], idle: [], ...given })
  const judged = (tried: number, survivors: number) => ({
    module,
    tests: [],
    mutants: tried,
    tried,
    caught: tried - survivors,
    caughtByTime: 0,
    survivors: mutantsOf(module, larger)
      .slice(0, survivors)
      .map((mutant) => ({ mutant, explanation: undefined })),
    millis: 0
  })

  it("is a failure for each module with a survivor, or once for a share that is not reached", () => {
    const modules = [judged(4, 0), judged(4, 1)]
    expect(verdictOf(report({ modules }), undefined)).toEqual({ passed: 1, failed: 1 })
    expect(verdictOf(report({ modules }), 87)).toEqual({ passed: 2, failed: 0 })
    expect(verdictOf(report({ modules }), 88)).toEqual({ passed: 2, failed: 1 })
  })

  it("is a failure for a module that was not judged, whatever share is asked for", () => {
    const failures = [{ module, why: "no test imports it" }]
    expect(verdictOf(report({ failures }), undefined)).toEqual({ passed: 0, failed: 1 })
    expect(verdictOf(report({ failures, modules: [judged(4, 0)] }), 1)).toEqual({ passed: 1, failed: 1 })
  })
})

// a mutant that never ends is waited for, and each run begins with processes of its own: longer than a busy machine needs
describe("a mutation run", { timeout: 120_000 }, () => {
  it("catches what a test sees, a module that never ends too, and finds the mutants that are no change", async () => {
    const root = repository({ [module]: larger, "packages/core/test/larger.test.ts": test })
    const { failures, modules } = await run(root, options, () => undefined)
    expect(failures).toEqual([])
    expect(modules).toHaveLength(1)
    const [report] = modules
    const survivors = report?.survivors.map(({ mutant }) => `${mutant.before} → ${mutant.after}`)
    expect(survivors).toEqual(["one > other → (one >= other)", "0 → (-1)"])
    expect(report?.caught).toBe((report?.mutants ?? 0) - 2)
    expect(report?.caughtByTime).toBeGreaterThan(0)
    expect(readFileSync(join(root, module), "utf8")).toBe(larger)
  })

  it("leaves nothing of one module's mutants to the next", async () => {
    const root = repository({
      [module]: "export const one = (): number => 1\n",
      [twice]: `import { one } from "./larger.ts"\nexport const two = (): number => one() + one()\n`,
      "packages/core/test/larger.test.ts": `import { expect, it } from "vitest"
        import { one } from "../src/internal/larger.ts"
        it("is one", () => expect(one()).toBe(1))`,
      "packages/core/test/twice.test.ts": `import { expect, it } from "vitest"
        import { two } from "../src/internal/twice.ts"
        it("is two", () => expect(two()).toBe(2))`
    })
    const { failures, modules } = await run(root, { ...options, modules: [module, twice] }, () => undefined)
    expect(failures).toEqual([])
    expect(modules.map(({ caught, mutants }) => [caught, mutants])).toEqual([
      [3, 3],
      [2, 2]
    ])
  })

  it("judges no module whose tests fail already, or that no test loads", async () => {
    const red = repository({
      [module]: larger,
      "packages/core/test/larger.test.ts": test.replace("[0, 3]", "[0, 4]")
    })
    const [failing] = (await run(red, options, () => undefined)).failures
    expect(failing?.why).toContain("fail before anything is broken: packages/core/test/larger.test.ts: counts")
    const alone = repository({ [module]: larger })
    const [untested] = (await run(alone, options, () => undefined)).failures
    expect(untested?.why).toBe("no test imports it")
  })

  it("takes a test as it stands in its workspace, with what it imports there and what the workspace sets it up with", async () => {
    const root = repository({
      "package.json": `{ "name": "whole", "exports": { ".": "./src/index.ts" } }`,
      "src/index.ts": `export * from "@holdfast/core"\n`,
      "packages/core/package.json": `{ "name": "@holdfast/core", "exports": { ".": "./src/index.ts" } }`,
      "packages/core/src/index.ts": `export * as Larger from "./Larger.ts"\n`,
      "packages/core/src/Larger.ts": `export { larger } from "./internal/larger.ts"\n`,
      [module]: "export const larger = (one: number, other: number): number => (one > other ? one : other)\n",
      "test/support/numbers.ts": `import { Larger } from "whole"
        export const largest = (numbers: ReadonlyArray<number>): number => numbers.reduce(Larger.larger)`,
      "test/support/setup.ts": `Object.assign(globalThis, { isSetUp: true })\n`,
      "vitest.config.ts": `export default { test: { projects: [
        { test: { name: "unit", include: ["packages/*/test/**/*.test.ts"], setupFiles: ["./test/support/setup.ts"] } }
      ] } }`,
      "packages/core/test/numbers.test.ts": `import { expect, it } from "vitest"
        import { largest } from "../../../test/support/numbers.ts"
        it("is set up", () => expect(globalThis).toHaveProperty("isSetUp"))
        it("finds the largest", () => expect(largest([1, 3, 2])).toBe(3))`
    })
    const { failures, modules } = await run(root, options, () => undefined)
    expect(failures).toEqual([])
    expect(modules[0]?.tests).toEqual(["packages/core/test/numbers.test.ts"])
    expect(modules[0]?.caught).toBe((modules[0]?.mutants ?? 0) - 1)
  })

  it("asks no more test files than it is told to, the nearest first", async () => {
    const root = repository({
      [module]: larger,
      "packages/core/test/larger.test.ts": test,
      "packages/core/test/another.test.ts": test
    })
    const { modules } = await run(root, { ...options, nearest: 1, sample: 1 }, () => undefined)
    expect(modules.map(({ tests, tried }) => [tests, tried])).toEqual([[["packages/core/test/larger.test.ts"], 1]])
  })

  it("judges every module that it is for: each has a test in its package that reaches it", () => {
    const { testsOf } = importers(workspace)
    const unreached = judgedModules(workspace).filter(
      (file) => !testsOf(file).some((test) => test.startsWith("packages/"))
    )
    expect(unreached).toEqual([])
  })

  it("names no module and no test that is not there", () => {
    const modules = files(workspace, "packages/*/src/**/*.ts")
    const nothing = [...decisions, ...holdings.map((holding) => holding.modules)].filter(
      (pattern) => !modules.some((file) => matchesGlob(file, pattern))
    )
    expect(nothing).toEqual([])
    const held = modules.flatMap((file) => heldBy(file)).filter((test) => !existsSync(join(workspace, test)))
    expect(held).toEqual([])
  })

  it("explains no mutant that is not there", () => {
    for (const explanation of explanations) {
      const mutants = mutantsOf(explanation.file, readFileSync(join(workspace, explanation.file), "utf8"))
      const explained = mutants.filter((mutant) => explains(explanation, explanation.file, mutant))
      expect(explained.length, `${explanation.file}: ${explanation.line}`).toBeGreaterThanOrEqual(
        explanation.mutants.length
      )
    }
  })
})

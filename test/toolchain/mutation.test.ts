import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, describe, expect, it } from "vitest"
import { explains, explanations } from "../../scripts/mutation/explained.ts"
import { mutantsOf } from "../../scripts/mutation/mutants.ts"
import { run } from "../../scripts/mutation/run.ts"

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

  it("leaves types, texts, names of fields and the words of errors alone", () => {
    expect(changes(`import { a } from "b"\ntype C = 1 | 2\ninterface D<E extends 3 = 3> { f: 4 }`)).toEqual([])
    expect(changes(`const a: 1 = b as 2 // 3 < 4\nconst c = { 5: d, e: "f" + g }`)).toEqual([])
    expect(changes("throw new RangeError(`${a + 1}`)")).toEqual([])
  })

  it("does not touch the default of an indexed read, which is never taken", () => {
    expect(changes("const a = list[b] ?? 0")).toEqual(["list[b] ?? 0 → (0)"])
  })
})

describe("a mutation run", () => {
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

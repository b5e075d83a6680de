import { mkdirSync, readFileSync, rmSync } from "node:fs"
import { dirname, join } from "node:path"
import { root, run } from "./command.ts"
import type { Check, Report } from "./report.ts"
import { count, nothingYet } from "./report.ts"
import { files } from "./workspace.ts"

/** The part of vitest's JSON report that is read here. */
interface Results {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: ReadonlyArray<{
    readonly status: string
    readonly assertionResults: ReadonlyArray<unknown>
  }>
}

const vitest = (project: string, promise: string, patterns: ReadonlyArray<string>): Check => ({
  name: project,
  promise,
  alone: true,
  run: async (args): Promise<Report> => {
    if (files(root, ...patterns).length === 0) return nothingYet(`tests (${patterns[0]})`)
    const file = join(root, ".cache", "vitest", `${project}.json`)
    mkdirSync(dirname(file), { recursive: true })
    rmSync(file, { force: true })
    const result = await run("vitest", [
      "run",
      `--project=${project}`,
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${file}`,
      ...args
    ])
    const results = read(file)
    if (results === undefined) {
      return { passed: 0, failed: 1, skipped: 0, summary: "vitest gave no results", output: result.output }
    }
    // A file that does not load has no tests to fail, and an error after the last test belongs to none of them.
    const broken = results.testResults.filter((test) => test.status === "failed" && test.assertionResults.length === 0)
    const failures = results.numFailedTests + broken.length
    const failed = failures === 0 && result.code !== 0 ? 1 : failures
    return {
      passed: results.numPassedTests,
      failed,
      skipped: results.numPendingTests + results.numTodoTests,
      summary:
        `${count(results.numPassedTests, "test")} in ${count(results.testResults.length, "file")}` +
        (failed > 0 ? `, ${failed} failed` : "") +
        skippedFor(result.output),
      output: result.output
    }
  }
})

/** What a test file says it leaves out, and why: `skipped: no redis-server on this machine`. */
const skippedFor = (output: string): string =>
  [...output.matchAll(/\bskipped: .+/g)].map(([reason]) => `; ${reason.trimEnd()}`).join("")

const read = (file: string): Results | undefined => {
  try {
    return JSON.parse(readFileSync(file, "utf8"))
  } catch {
    return undefined
  }
}

export const unit: Check = vitest("unit", "each policy and module keeps its promises, without a socket", [
  "packages/*/test/**/*.test.ts",
  "packages/*/src/**/*.test.ts",
  "src/**/*.test.ts"
])

export const integration: Check = vitest("integration", "the whole works against real sockets and servers", [
  "test/**/*.test.ts"
])

/** By the names of its files: `npm run drill -- servers`. */
export const drill: Check = {
  ...vitest(
    "drills",
    "what needs a quiet machine or many minutes holds: real servers, faults by the dozen, exactness, worth",
    ["test/drills/**/*.test.ts"]
  ),
  name: "drill",
  isLong: true
}

export const examples: Check = vitest("examples", "every example program does what it says", ["examples/**/*.test.ts"])

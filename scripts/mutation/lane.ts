// One process that runs tests again and again, in its own copy of the workspace: vitest stays, its worker does not. Every test
// file gets a fresh thread, so nothing of one mutant is left for the next. A process of its own, so that a mutant which
// never ends can be ended from outside.

import { existsSync } from "node:fs"
import { join } from "node:path"
import type { TestProjectInlineConfiguration, ViteUserConfig } from "vitest/config"
import { createVitest, type TestCase, type TestModule } from "vitest/node"
import { setupFile } from "./workspaceCopy.ts"

/** What the lane is asked to do: run these tests, now that the module is what it is on the disk. */
export interface Question {
  readonly module: string
  readonly tests: ReadonlyArray<string>
}

export type Answer =
  | { readonly _tag: "Ready" }
  /** Which test failed, in words. */
  | { readonly _tag: "Caught"; readonly by: string }
  | { readonly _tag: "Survived"; readonly tests: number }
  /** Neither: the tests did not run. */
  | { readonly _tag: "Broken"; readonly why: string }

const root = process.argv[2] ?? "."

let failed: string | undefined

const isolated = { pool: "threads", isolate: true, maxWorkers: 1, fsModuleCache: false } as const

/** A test that is slow on a busy machine has noticed nothing; one that never ends meets the lane's own limit. */
const testTimeout = 60_000

/** The workspace's own ways of running tests, in threads and with the same chance in each. */
const projects = async (): Promise<ReadonlyArray<TestProjectInlineConfiguration>> => {
  const file = join(root, "vitest.config.ts")
  const config: ViteUserConfig = existsSync(file) ? (await import(file)).default : {}
  const own = (config.test?.projects ?? []).flatMap((project) =>
    typeof project === "object" && "test" in project && project.test !== undefined ? [project.test] : []
  )
  return (own.length > 0 ? own : [{}]).map((test) => ({
    root,
    test: { ...test, ...isolated, testTimeout, setupFiles: [...[test.setupFiles ?? []].flat(), join(root, setupFile)] }
  }))
}

const vitest = await createVitest(
  "test",
  {
    root,
    config: false,
    watch: false,
    ...isolated,
    projects: [...(await projects())],
    reporters: [
      {
        onTestCaseResult: (test: TestCase) => {
          if (test.result().state !== "failed" || failed !== undefined) return
          failed = test.fullName
          // the first failure is enough; vitest's own `bail` would also count the failures of the mutants before
          void vitest.cancelCurrentRun("test-failure")
        }
      }
    ]
  },
  { cacheDir: join(root, ".vite"), logLevel: "silent" }
)

let previous: string | undefined

const answer = async ({ module, tests }: Question): Promise<Answer> => {
  // the one before is itself again on the disk, and must not stay broken in vite's memory
  for (const changed of new Set([module, previous ?? module])) vitest.invalidateFile(join(root, changed))
  previous = module
  let passed = 0
  for (const test of tests) {
    failed = undefined
    const file = join(root, test)
    const project = vitest.projects.find((one) => one.matchesTestGlob(file))
    if (project === undefined) return { _tag: "Broken", why: `${test} is in no project of vitest.config.ts` }
    const { testModules, unhandledErrors } = await vitest.runTestSpecifications([project.createSpecification(file)])
    if (failed !== undefined) return { _tag: "Caught", by: `${test}: ${failed}` }
    const ran = testModules.find(({ moduleId }) => moduleId === file)
    if (unhandledErrors.length > 0) return { _tag: "Caught", by: `${test}: an error that belongs to no test` }
    if (ran === undefined) return { _tag: "Broken", why: `${test} did not run` }
    if (ran.state() === "failed") return { _tag: "Caught", by: `${test}: ${errorOf(ran)}` }
    const cases = [...ran.children.allTests()]
    const unfinished = cases.filter((one) => one.result().state === "pending")
    if (ran.state() !== "passed" || cases.length === 0 || unfinished.length > 0) {
      return { _tag: "Broken", why: `${test} ended as ${ran.state()}, with ${unfinished.length} tests not run` }
    }
    passed += cases.length
  }
  return { _tag: "Survived", tests: passed }
}

const errorOf = (module: TestModule): string => module.errors()[0]?.message.split("\n")[0] ?? "the file failed"

const send = (message: Answer): void => void process.send?.(message)

process.on("message", (question: Question) => {
  void answer(question).then(send, (error: unknown) => send({ _tag: "Broken", why: String(error) }))
})
process.on("disconnect", () => process.exit(0))
send({ _tag: "Ready" })

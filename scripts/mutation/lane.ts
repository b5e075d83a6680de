// One process that runs tests again and again, in its own copy of the workspace: vitest stays, its worker does not. Every test
// file gets a fresh thread, so nothing of one mutant is left for the next. A process of its own, so that a mutant which
// never ends can be ended from outside.

import { join } from "node:path"
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

const vitest = await createVitest(
  "test",
  {
    root,
    config: false,
    watch: false,
    include: ["packages/*/test/**/*.test.ts"],
    pool: "threads",
    isolate: true,
    maxWorkers: 1,
    fsModuleCache: false,
    setupFiles: [join(root, setupFile)],
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
  const project = vitest.getRootProject()
  let passed = 0
  for (const test of tests) {
    failed = undefined
    const file = join(root, test)
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

// Which modules are broken: those whose promises are decisions, made of what they are given.

import { readFileSync } from "node:fs"
import { join } from "node:path"
import { files } from "../checks/workspace.ts"
import { mutantsOf } from "./mutants.ts"

/** The state machines, and what decides in the pipeline. */
export const decisions = [
  "packages/core/src/internal/**/*.ts",
  ...["guard", "stages", "sameOptions", "pathTemplate", "replay", "statusReason", "policyWords"].map(
    (name) => `packages/http/src/internal/**/${name}.ts`
  )
]

/** Modules that can be broken at all: the decisions of all packages, or everything in those that are named. */
export const judgedModules = (root: string, names?: ReadonlyArray<string>): ReadonlyArray<string> =>
  files(root, ...(names?.map((name) => `packages/${name}/src/**/*.ts`) ?? decisions)).filter(
    (file) => !file.endsWith(".test.ts") && mutantsOf(file, readFileSync(join(root, file), "utf8")).length > 0
  )

// Breaks the state machines, one place at a time, and says which breaks no test sees. docs/mutation.md says what for.

import { readFileSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { files } from "./checks/workspace.ts"
import { mutantsOf } from "./mutation/mutants.ts"
import { asJson, closingLines, moduleLines, recorded, totalOf } from "./mutation/report.ts"
import { run } from "./mutation/run.ts"

const root = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "")

/** The state machines, and what decides in the pipeline. */
const judged = [
  "packages/core/src/internal/*.ts",
  "packages/http/src/internal/{guard,stages,sameOptions,pathTemplate,replay,statusReason,policyWords}.ts"
]

const usage = [
  "npm run mutation                    every state machine",
  "npm run mutation -- window circuit  those whose path has one of these in it",
  "",
  "  --sample <n>  at most so many mutants of each module, chosen by the seed (40)",
  "  --all         every mutant; with all modules that is half an hour on two cores",
  "  --seed <n>    for the choice, and for the chance that properties draw on (1)",
  "  --lanes <n>   processes that run tests at the same time (one for each core)",
  "  --list        the mutants, without running anything",
  "  --json        the report as JSON, and nothing else",
  "  --record      writes the scores and the survivors to docs/mutation.md"
].join("\n")

const options = {
  sample: { type: "string", default: "40" },
  all: { type: "boolean", default: false },
  seed: { type: "string", default: "1" },
  lanes: { type: "string", default: String(availableParallelism()) },
  list: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  record: { type: "boolean", default: false },
  help: { type: "boolean", default: false }
} as const

const wholeNumber = (name: string, text: string): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new TypeError(`--${name} must be a whole number from 1, got ${text}`)
  return value
}

const recordFile = join(root, "docs", "mutation.md")
const recordedPart = /(<!-- recorded -->\n)[\s\S]*(<!-- \/recorded -->)/

const main = async (): Promise<number> => {
  const { positionals, values } = parseArgs({ options, allowPositionals: true })
  if (values.help) {
    console.log(usage)
    return 0
  }
  const modules = files(root, ...judged).filter(
    (file) => positionals.length === 0 || positionals.some((part) => file.toLowerCase().includes(part.toLowerCase()))
  )
  if (modules.length === 0) throw new TypeError(`no module that is judged has ${positionals.join(" or ")} in its path`)
  const sample = values.all ? undefined : wholeNumber("sample", values.sample)
  if (values.record && positionals.length > 0) throw new TypeError("--record is for all modules: leave out the names")
  if (values.list) {
    for (const module of modules) {
      for (const { after, before, kind, line } of mutantsOf(module, readFileSync(join(root, module), "utf8"))) {
        console.log(`${module}:${line} ${kind}: ${before} → ${after}`)
      }
    }
    return 0
  }

  const say = (text: string): void => void (values.json || console.log(text))
  const seed = wholeNumber("seed", values.seed)
  const started = performance.now()
  say(
    `${modules.length} modules, ${sample === undefined ? "every mutant" : `at most ${sample} mutants of each`}, seed ${seed}\n`
  )
  const lanes = wholeNumber("lanes", values.lanes)
  const report = await run(root, { modules, sample, seed, lanes, graceMillis: 6000 }, (result) =>
    say(moduleLines(result))
  )
  say(closingLines(report))
  say(`${((performance.now() - started) / 60_000).toFixed(1)} minutes`)
  if (values.json) console.log(asJson(report))
  if (values.record) {
    const text = readFileSync(recordFile, "utf8")
    writeFileSync(
      recordFile,
      text.replace(recordedPart, (_, open, close) => `${open}\n${recorded(report, seed)}\n\n${close}`)
    )
  }
  return report.failures.length + report.idle.length + totalOf(report).unexplained > 0 ? 1 : 0
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  // leaving by the front door removes the copies
  process.once(signal, () => process.exit(1))
}

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof TypeError)) throw error
  console.error(`${error.message}\n\n${usage}`)
  process.exitCode = 2
}

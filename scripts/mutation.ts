// Breaks the state machines, one place at a time, and says which breaks no test sees. docs/mutation.md says what for.

import { readFileSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { judgedModules } from "./mutation/judged.ts"
import { mutantsOf } from "./mutation/mutants.ts"
import { asJson, closingLines, moduleLines, recorded, verdictOf } from "./mutation/report.ts"
import { run } from "./mutation/run.ts"
import { chosenOf } from "./mutation/sample.ts"

const root = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "")

/** A run that a build server has time for: it breaks when the tool does, or when the tests have become much worse. */
const short = { modules: "5", sample: "5", nearest: "6", least: "75" }

const usage = [
  "npm run mutation                    every state machine",
  "npm run mutation -- window circuit  those whose path has one of these in it",
  "npm run mutation -- --package node --modules 10 --sample 4 --seed 7   a fresh sample of a package",
  "",
  "  --package <name>  every module of this package, and not only state machines; may be given again",
  "  --modules <n>     so many modules, chosen by the seed (all)",
  "  --sample <n>      at most so many mutants of each module, chosen by the seed (40)",
  "  --all             every mutant; with all state machines that is half an hour on two cores",
  "  --nearest <n>     asks no more than so many test files, the nearest (all)",
  "  --seed <n>        for the choice, and for the chance that properties draw on (1)",
  "  --least <n>       survivors are no failure while this share of the others is caught, in percent",
  `  --short           the run of a build server: ${Object.entries(short)
    .map(([name, value]) => `--${name} ${value}`)
    .join(" ")}, seeded by the day`,
  "  --lanes <n>       processes that run tests at the same time (one for each core)",
  "  --list            the mutants, without running anything",
  "  --json            the report as JSON, and nothing else",
  "  --record          writes the scores and the survivors to docs/mutation.md"
].join("\n")

const options = {
  package: { type: "string", multiple: true },
  modules: { type: "string" },
  sample: { type: "string" },
  all: { type: "boolean", default: false },
  nearest: { type: "string" },
  seed: { type: "string" },
  least: { type: "string" },
  short: { type: "boolean", default: false },
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

const today = (): string => new Date().toISOString().slice(0, 10).replaceAll("-", "")

const main = async (): Promise<number> => {
  const { positionals, values } = parseArgs({ options, allowPositionals: true })
  if (values.help) {
    console.log(usage)
    return 0
  }
  const given = { ...(values.short ? { ...short, seed: today() } : {}), ...values }
  const number = (name: "modules" | "nearest" | "least"): number | undefined => {
    const text = given[name]
    return text === undefined ? undefined : wholeNumber(name, text)
  }
  const seed = wholeNumber("seed", given.seed ?? "1")
  const sample = values.all ? undefined : wholeNumber("sample", given.sample ?? "40")
  const [howMany, nearest, least] = [number("modules"), number("nearest"), number("least")]
  const lanes = wholeNumber("lanes", values.lanes)
  if (
    values.record &&
    (positionals.length > 0 || howMany !== undefined || nearest !== undefined || least !== undefined)
  ) {
    throw new TypeError("--record is for all modules and tests: leave out what makes them fewer")
  }

  const all = judgedModules(root, values.package).filter(
    (file) => positionals.length === 0 || positionals.some((part) => file.toLowerCase().includes(part.toLowerCase()))
  )
  if (all.length === 0) throw new TypeError("no module that is judged is one of these")
  const modules = chosenOf(all, howMany ?? all.length, seed)
  if (values.list) {
    for (const module of modules) {
      for (const { after, before, kind, line } of mutantsOf(module, readFileSync(join(root, module), "utf8"))) {
        console.log(`${module}:${line} ${kind}: ${before} → ${after}`)
      }
    }
    return 0
  }

  const say = (text: string): void => void (values.json || console.log(text))
  const started = performance.now()
  const ofAll = modules.length === all.length ? `${all.length} modules` : `${modules.length} of ${all.length} modules`
  const ofEach = sample === undefined ? "every mutant" : `at most ${sample} mutants of each`
  const asked = nearest === undefined ? "" : `, the nearest ${nearest} test files`
  say(`${ofAll}, ${ofEach}${asked}, seed ${seed}\n`)
  const report = await run(root, { modules, sample, nearest, seed, lanes, graceMillis: 6000 }, (result) =>
    say(moduleLines(result))
  )
  const { failed, passed } = verdictOf(report, least)
  say(closingLines(report, least))
  say(`${((performance.now() - started) / 60_000).toFixed(1)} minutes`)
  say(`${passed} passed, ${failed} failed`)
  if (values.json) console.log(asJson(report))
  if (values.record) {
    const text = readFileSync(recordFile, "utf8")
    writeFileSync(
      recordFile,
      text.replace(recordedPart, (_, open, close) => `${open}\n${recorded(report, seed)}\n\n${close}`)
    )
  }
  return failed > 0 ? 1 : 0
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

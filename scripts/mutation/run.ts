// Judges modules: controls first, then every mutant, on all lanes at once.

import { readFileSync } from "node:fs"
import { join } from "node:path"
import { type Explanation, explains, explanations } from "./explained.ts"
import { importers } from "./importers.ts"
import { type Lane, openLane, timeLimit, type Verdict } from "./lanes.ts"
import { type Mutant, mutantsOf, mutated } from "./mutants.ts"
import { chosenOf, seedOf } from "./sample.ts"
import { copyWorkspace } from "./workspaceCopy.ts"

export interface Options {
  /** Modules, from the root. */
  readonly modules: ReadonlyArray<string>
  /** The most mutants of a module that are tried; all when left out. */
  readonly sample: number | undefined
  /** The most test files that are asked, the nearest of them; all when left out. */
  readonly nearest: number | undefined
  readonly seed: number
  readonly lanes: number
  /** How long a mutant may take beyond four times what the module itself does: more means that it never ends. */
  readonly graceMillis: number
}

export interface Survivor {
  readonly mutant: Mutant
  readonly explanation: Explanation | undefined
}

export interface ModuleReport {
  readonly module: string
  /** In the order in which they are asked. */
  readonly tests: ReadonlyArray<string>
  /** Mutants that there are. */
  readonly mutants: number
  /** Mutants that were tried. */
  readonly tried: number
  readonly caught: number
  /** Of those caught, how many never ended. */
  readonly caughtByTime: number
  readonly survivors: ReadonlyArray<Survivor>
  readonly millis: number
}

export interface Failure {
  readonly module: string
  readonly why: string
}

export interface Report {
  readonly modules: ReadonlyArray<ModuleReport>
  /** Modules that could not be judged. */
  readonly failures: ReadonlyArray<Failure>
  /** Explanations of the modules that were judged in full, which explain no mutant that survived. */
  readonly idle: ReadonlyArray<Explanation>
}

export const run = async (
  root: string,
  options: Options,
  finished: (report: ModuleReport | Failure) => void
): Promise<Report> => {
  // others may write in the workspace meanwhile: everything is judged as it is now
  const snapshot = copyWorkspace(root, options.seed)
  const lanes: Array<Lane> = []
  const close = (): void => {
    for (const lane of lanes) lane.close()
    snapshot.remove()
  }
  process.once("exit", close)
  try {
    for (let count = 0; count < options.lanes; count++) lanes.push(openLane(snapshot.root, options.seed))
    await Promise.all(lanes.map((lane) => lane.start()))
    const { testsOf } = importers(snapshot.root)
    const modules: Array<ModuleReport> = []
    const failures: Array<Failure> = []
    for (const module of options.modules) {
      const text = readFileSync(join(snapshot.root, module), "utf8")
      const result = await judge(lanes, module, text, testsOf(module).slice(0, options.nearest), options)
      if ("why" in result) failures.push(result)
      else modules.push(result)
      finished(result)
    }
    return { modules, failures, idle: idleOf(modules) }
  } finally {
    close()
    process.off("exit", close)
  }
}

const judge = async (
  lanes: ReadonlyArray<Lane>,
  module: string,
  text: string,
  tests: ReadonlyArray<string>,
  { graceMillis, sample, seed }: Options
): Promise<ModuleReport | Failure> => {
  const started = performance.now()
  const all = mutantsOf(module, text)
  const chosen = sample === undefined ? all : chosenOf(all, sample, seedOf(seed, module))
  const report = { module, tests, mutants: all.length, tried: chosen.length }
  if (chosen.length === 0) {
    return { ...report, caught: 0, caughtByTime: 0, survivors: [], millis: 0 }
  }
  if (tests.length === 0) return { module, why: "no test imports it" }

  // two controls: a module that says the same must pass, and one that does not load must fail, or the tests do not see it
  let baseMillis = 0
  const control = async (lane: Lane): Promise<string | undefined> => {
    const unbroken = (): Promise<Verdict> => lane.ask(module, `${text}\n// the same module\n`, tests, longestMillis)
    let asked = performance.now()
    let same = await unbroken()
    if (same._tag !== "Survived") {
      // a test that looks at time may fail on a busy machine: what fails twice is red
      asked = performance.now()
      same = await unbroken()
    }
    if (same._tag !== "Survived") return `its tests fail before anything is broken: ${said(same)}`
    baseMillis = Math.max(baseMillis, performance.now() - asked)
    const dead = await lane.ask(module, `throw new Error("a control")\n${text}`, tests, longestMillis)
    return dead._tag === "Caught" ? undefined : `its tests do not notice that it is gone: ${said(dead)}`
  }
  const why = (await Promise.all(lanes.map(control))).find((wrong) => wrong !== undefined)
  if (why !== undefined) return { module, why }
  const limitMillis = graceMillis + 4 * baseMillis
  const survivors: Array<Mutant> = []
  const broken: Array<string> = []
  let caughtByTime = 0
  const queue = chosen.values()
  const work = async (lane: Lane): Promise<void> => {
    for (const mutant of queue) {
      const verdict = await lane.ask(module, mutated(module, text, mutant), tests, limitMillis)
      if (verdict._tag === "Survived") survivors.push(mutant)
      else if (verdict._tag === "Broken") broken.push(verdict.why)
      else if (verdict.by === timeLimit) caughtByTime++
    }
  }
  await Promise.all(lanes.map(work))
  if (broken.length > 0) return { module, why: `${broken.length} mutants have no verdict: ${broken[0]}` }
  return {
    ...report,
    caught: chosen.length - survivors.length,
    caughtByTime,
    survivors: survivors
      .toSorted((one, other) => one.start - other.start)
      .map((mutant) => ({
        mutant,
        explanation: explanations.find((explanation) => explains(explanation, module, mutant))
      })),
    millis: performance.now() - started
  }
}

/** No test file takes as long as that. */
const longestMillis = 120_000

const said = (verdict: Verdict): string =>
  verdict._tag === "Caught" ? verdict.by : verdict._tag === "Broken" ? verdict.why : "they pass"

const idleOf = (modules: ReadonlyArray<ModuleReport>): ReadonlyArray<Explanation> =>
  modules
    .filter(({ mutants, tried }) => mutants === tried)
    .flatMap(({ module, survivors }) =>
      explanations.filter(
        (explanation) =>
          explanation.file === module &&
          explanation.mutants.length > survivors.filter((survivor) => survivor.explanation === explanation).length
      )
    )

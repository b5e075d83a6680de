// What a mutation run found, in lines for a terminal and in tables for docs/mutation.md.

import { basename } from "node:path"
import { table } from "../markdownTable.ts"
import { inOneLine } from "./explained.ts"
import type { Failure, ModuleReport, Report, Survivor } from "./run.ts"

interface Figures {
  readonly tried: number
  readonly caught: number
  readonly explained: number
  readonly unexplained: number
}

const figuresOf = (modules: ReadonlyArray<ModuleReport>): Figures => {
  const survivors = modules.flatMap((module) => module.survivors)
  const explained = survivors.filter(({ explanation }) => explanation !== undefined).length
  return {
    tried: modules.reduce((sum, { tried }) => sum + tried, 0),
    caught: modules.reduce((sum, { caught }) => sum + caught, 0),
    explained,
    unexplained: survivors.length - explained
  }
}

/** Rounded down, so that nothing looks whole that is not. */
const percent = (part: number, whole: number): string =>
  whole === 0 ? "-" : `${(Math.floor((part / whole) * 1000) / 10).toFixed(1)} %`

/** The share of those that can be caught, in percent; of none it is all. */
const shareOf = ({ caught, explained, tried }: Figures): number =>
  tried === explained ? 100 : (caught / (tried - explained)) * 100

/**
 * How many modules are right, and how many things are wrong: a module that could not be judged, an explanation that explains nothing,
 * and a module with a survivor; or, where a share is asked for, all modules together that do not reach it.
 */
export const verdictOf = (
  report: Report,
  leastPercent: number | undefined
): { readonly passed: number; readonly failed: number } => {
  const wrong = report.modules.filter((module) => figuresOf([module]).unexplained > 0).length
  const failures = report.failures.length + report.idle.length
  if (leastPercent === undefined) return { passed: report.modules.length - wrong, failed: failures + wrong }
  const isBelow = shareOf(figuresOf(report.modules)) < leastPercent
  return { passed: report.modules.length, failed: failures + (isBelow ? 1 : 0) }
}

const changeOf = ({ mutant }: Survivor): string => `${inOneLine(mutant.before)}  →  ${inOneLine(mutant.after)}`

export const moduleLines = (report: ModuleReport | Failure): string => {
  if ("why" in report) return `✗ ${report.module}\n    not judged: ${report.why}`
  const { caught, explained, tried, unexplained } = figuresOf([report])
  const of = report.tried === report.mutants ? `${tried}` : `${tried} (a sample of ${report.mutants})`
  const byTime = report.caughtByTime === 0 ? "" : `, ${report.caughtByTime} of them by the time limit`
  const rest = explained === 0 ? "" : `, ${explained} cannot be told apart`
  return [
    `${unexplained === 0 ? "✓" : "✗"} ${report.module}`,
    `    ${percent(caught, tried)}: ${caught} of ${of} caught${byTime}${rest} (${(report.millis / 1000).toFixed(0)} s)`,
    ...report.survivors
      .filter(({ explanation }) => explanation === undefined)
      .map((survivor) => `    survives, line ${survivor.mutant.line}, ${survivor.mutant.kind}: ${changeOf(survivor)}`)
  ].join("\n")
}

export const closingLines = (report: Report, leastPercent: number | undefined): string => {
  const { caught, explained, tried, unexplained } = figuresOf(report.modules)
  return [
    ...report.idle.map(({ file, line }) => `✗ explains a mutant that does not survive: ${file}: ${line}`),
    "",
    `${percent(caught, tried)} of ${tried} mutants caught, ${explained} cannot be told apart, ${unexplained} survive; ` +
      `${percent(caught, tried - explained)} of those that can be caught` +
      (leastPercent === undefined ? "" : `, of which at least ${leastPercent} % have to be`)
  ].join("\n")
}

export const asJson = (report: Report): string =>
  JSON.stringify(
    {
      ...figuresOf(report.modules),
      modules: report.modules.map((module) => ({
        ...module,
        survivors: module.survivors.map(({ explanation, mutant }) => ({ ...mutant, why: explanation?.why }))
      })),
      failures: report.failures,
      idle: report.idle
    },
    null,
    2
  )

const row = (name: string, modules: ReadonlyArray<ModuleReport>): ReadonlyArray<string> => {
  const { caught, explained, tried, unexplained } = figuresOf(modules)
  const all = modules.reduce((sum, { mutants }) => sum + mutants, 0)
  return [
    name,
    String(all),
    String(tried),
    String(caught),
    percent(caught, tried),
    String(explained),
    String(unexplained)
  ]
}

const code = (text: string): string => (text.includes("`") ? `\`\` ${text} \`\`` : `\`${text}\``)

/** The recorded part of docs/mutation.md. */
export const recorded = (report: Report, seed: number): string => {
  const modules = report.modules.filter(({ tried }) => tried > 0)
  const scores = table(
    ["module", "mutants", "tried", "caught", "score", "cannot be told apart", "survive"],
    [...modules.map((module) => row(`\`${nameOf(module)}\``, [module])), row("all", modules)]
  )
  const survivors = modules
    .filter((module) => module.survivors.length > 0)
    .map((module) => `### ${nameOf(module)}\n\n${survivorLines(module)}`)
  return [chosenLine(modules, seed), scores, "## The survivors", ...survivors].join("\n\n")
}

const chosenLine = (modules: ReadonlyArray<ModuleReport>, seed: number): string => {
  const tried = modules.reduce((sum, module) => sum + module.tried, 0)
  const all = modules.reduce((sum, module) => sum + module.mutants, 0)
  if (tried === all) return `All ${all} mutants.`
  const most = Math.max(...modules.map((module) => module.tried))
  return `A sample of ${tried} of the ${all} mutants: at most ${most} of each module, chosen by seed ${seed}.`
}

const nameOf = ({ module }: ModuleReport): string => {
  const [, owner] = module.split("/")
  return `${owner}/${basename(module, ".ts")}`
}

const survivorLines = ({ survivors }: ModuleReport): string => {
  const groups = Map.groupBy(survivors, ({ explanation, mutant }) => explanation ?? mutant)
  return [...groups.values()]
    .flatMap((group) => {
      const [first] = group
      if (first === undefined) return []
      const changes = group.map(({ mutant }) => `${code(inOneLine(mutant.before))} → ${code(inOneLine(mutant.after))}`)
      return [`- ${code(first.mutant.lineText)}: ${changes.join(", ")}. ${first.explanation?.why ?? "Not caught yet."}`]
    })
    .join("\n")
}

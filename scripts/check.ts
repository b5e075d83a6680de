// Runs the checks and says how each went: one line for each, the whole story of those that failed, and a last line
// `N passed, N failed` that a build server can read.

import { checks } from "./checks/all.ts"
import { stopAll } from "./checks/command.ts"
import type { Check, Report } from "./checks/report.ts"
import { count } from "./checks/report.ts"

const cores = 2
const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`

const crashed = (error: unknown): Report => ({
  passed: 0,
  failed: 1,
  skipped: 0,
  summary: "the check itself broke",
  output: error instanceof Error ? (error.stack ?? error.message) : String(error)
})

const usage = [
  "npm test                     every check but the long ones",
  "npm test -- --all            the long ones too",
  "npm test -- lint types       some of them",
  "npm run unit -- -t bulkhead  one of them, with arguments for the tool behind it",
  "",
  ...checks.map((check) => `  ${check.name.padEnd(12)} ${check.promise}${check.isLong === true ? " (long)" : ""}`)
].join("\n")

const main = async (): Promise<number> => {
  const started = performance.now()
  const isAll = process.argv[2] === "--all"
  const args = process.argv.slice(isAll ? 3 : 2)
  if (args.includes("--help")) {
    console.log(usage)
    return 0
  }
  const rest = args.findIndex((arg) => !checks.some((check) => check.name === arg))
  const names = new Set(rest === -1 ? args : args.slice(0, rest))
  const passedOn = rest === -1 ? [] : args.slice(rest)
  if (passedOn.length > 0 && names.size !== 1) {
    console.error(`There is no check "${passedOn[0]}".\n\n${usage}`)
    return 2
  }

  const chosen = checks.filter((check) => (names.size === 0 ? isAll || check.isLong !== true : names.has(check.name)))
  const status = statusLine()
  const width = Math.max(...chosen.map((check) => check.name.length))
  const reports: Array<Report> = []
  const active = new Set<string>()

  const perform = async (check: Check): Promise<void> => {
    const start = performance.now()
    active.add(check.name)
    status.show(`… ${[...active].join(", ")}`)
    const report = await check.run(passedOn).catch(crashed)
    active.delete(check.name)
    status.clear()
    reports.push(report)
    const mark = report.failed > 0 ? "✗" : report.passed === 0 ? "-" : "✓"
    const took = seconds(performance.now() - start).padStart(8)
    console.log(`${mark} ${check.name.padEnd(width)} ${took}  ${report.summary}`)
    if (report.failed > 0 || (check.isLong === true && report.passed > 0)) console.log(indent(report.output))
    if (active.size > 0) status.show(`… ${[...active].join(", ")}`)
  }

  const together = chosen.filter((check) => !check.alone).values()
  const lane = async () => {
    for (const check of together) await perform(check)
  }
  await Promise.all(Array.from({ length: cores }, lane))
  for (const check of chosen.filter((check) => check.alone)) await perform(check)

  const sum = (of: (report: Report) => number): number => reports.reduce((total, report) => total + of(report), 0)
  const failed = sum((report) => report.failed)
  const skipped = sum((report) => report.skipped)
  console.log(`\n${count(chosen.length, "check")} in ${seconds(performance.now() - started)}`)
  console.log(`${sum((report) => report.passed)} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`)
  return failed > 0 ? 1 : 0
}

const indent = (text: string): string =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => (line === "" ? "" : `    ${line}`))
    .join("\n")

/** What is running just now, on a terminal only: a log has no use for it. */
const statusLine = () => {
  const terminal = process.stdout.isTTY
  return {
    show: (text: string): void => void (terminal && process.stdout.write(`\r\u001B[2K${text}`)),
    clear: (): void => void (terminal && process.stdout.write("\r\u001B[2K"))
  }
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    stopAll()
    process.kill(process.pid, signal)
  })
}

process.exitCode = await main()

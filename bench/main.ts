/**
 * What a call costs, beside the peers: around a real request, around an operation in memory, refused, and waiting. Every
 * sample is taken in a fresh process; `README.md` says how, and how to read it.
 *
 * Run it with `npm run bench`.
 */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { availableParallelism, cpus } from "node:os"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { type Options, parseOptions, type Section, usage } from "./commandLine.ts"
import { calls, type Entry, refusals, requests } from "./contenders.ts"
import { goals, verdict } from "./goals.ts"
import { startServer, stopAll, takeSample } from "./processes.ts"
import { topFunctions } from "./profile.ts"
import { report } from "./report.ts"
import { type Samples, takeRounds } from "./rounds.ts"
import { callRows, heapRows, requestRows, type Summary } from "./summary.ts"
import type { Figures, Task } from "./task.ts"

const root = fileURLToPath(new URL("..", import.meta.url))

const connections = 64
const path = "/orders/ord_01J9Z3N6Q8W4T7"

const phase = (cpuMillis: number, atMostMillis: number) => ({ cpuMillis, atMostMillis })

const lengths = (quick: boolean) =>
  quick
    ? {
        request: { warm: phase(40, 300), measured: phase(60, 300) },
        call: { warm: phase(20, 200), measured: phase(40, 200) },
        heapCalls: 2000,
        // figures of a quick run mean nothing, so two samples may disturb each other
        width: 2
      }
    : {
        request: { warm: phase(2500, 15_000), measured: phase(2000, 12_000) },
        call: { warm: phase(1000, 6000), measured: phase(800, 5000) },
        heapCalls: 20_000,
        width: 1
      }

const measure = async (options: Options): Promise<Summary> => {
  const { call, heapCalls, request, width } = lengths(options.quick)
  const server = await startServer()
  const target = { origin: server.origin, path, connections }

  const profile = (section: Section, contender: string): string | undefined =>
    options.profile === undefined ? undefined : join(options.profile, `${section}-${contender}.cpuprofile`)
  if (options.profile !== undefined) mkdirSync(options.profile, { recursive: true })

  const rounds = async <F extends Figures>(
    section: Section,
    entries: ReadonlyArray<Entry<unknown>>,
    task: (contender: string) => Task
  ): Promise<ReadonlyArray<Samples<F>>> => {
    if (!options.sections.includes(section)) return []
    const floors = new Set(entries.flatMap(({ floor }) => floor ?? []))
    return takeRounds(
      entries.filter(({ id }) => options.only === undefined || floors.has(id) || id.includes(options.only)),
      {
        rounds: options.rounds,
        width,
        // the section decides which figures a sample answers with
        take: async (contender) => (await takeSample(task(contender))) as F,
        onSample: (round, { id }) => progress(`${section} ${round + 1}/${options.rounds}  ${id}`)
      }
    )
  }

  const summary: Summary = {
    request: requestRows(
      await rounds("request", requests, (contender) => ({
        section: "request",
        contender,
        target,
        profile: profile("request", contender),
        ...request
      }))
    ),
    call: callRows(
      await rounds("call", calls, (contender) => ({
        section: "call",
        contender,
        profile: profile("call", contender),
        ...call
      }))
    ),
    refusal: callRows(
      await rounds("refusal", refusals, (contender) => ({
        section: "refusal",
        contender,
        profile: profile("refusal", contender),
        ...call
      }))
    ),
    heap: heapRows(await rounds("heap", calls, (contender) => ({ section: "heap", contender, calls: heapCalls })))
  }
  progress("")
  server.stop()
  return summary
}

const progress = (text: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${text}`)
  else if (text !== "") process.stderr.write(`${text}\n`)
}

const main = async (): Promise<number> => {
  const options = parseOptions(process.argv.slice(2))
  if (typeof options === "string") {
    console.error(options)
    return options === usage ? 0 : 2
  }
  const started = performance.now()
  const machine = `Node ${process.version}, ${availableParallelism()} × ${cpus()[0]?.model ?? "?"}`
  const summary = await measure(options)
  const judged = goals(summary)
  const seconds = Math.round((performance.now() - started) / 1000)
  console.log(`${machine}, ${options.rounds} ${options.rounds === 1 ? "round" : "rounds"}, ${seconds} s`)
  if (options.quick) console.log("A quick run only shows that everything runs: its figures mean nothing.")
  console.log(`\n${report(summary, judged, lengths(options.quick).heapCalls)}`)
  if (options.json !== undefined) {
    const results = {
      machine,
      rounds: options.rounds,
      quick: options.quick,
      seconds,
      ...summary,
      goals: judged.map((goal) => ({ ...goal, verdict: verdict(goal) }))
    }
    writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`)
  }
  if (options.profile !== undefined) {
    const folder = resolve(options.profile)
    for (const file of readdirSync(folder).filter((name) => name.endsWith(".cpuprofile"))) {
      console.log(`${file}\n${topFunctions(join(folder, file), root, 25).join("\n")}\n`)
    }
  }
  return 0
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    stopAll()
    process.kill(process.pid, signal)
  })
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error)
  process.exitCode = 1
} finally {
  stopAll()
}

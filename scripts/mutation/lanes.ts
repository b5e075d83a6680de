// Puts a mutant into a copy of the workspace and asks the tests about it.

import { type ChildProcess, fork } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Answer, Question } from "./lane.ts"
import { copyWorkspace } from "./workspaceCopy.ts"

export type Verdict = Exclude<Answer, { readonly _tag: "Ready" }>

export interface Lane {
  readonly start: () => Promise<unknown>
  /** What the tests say of a module that reads so. */
  readonly ask: (module: string, text: string, tests: ReadonlyArray<string>, limitMillis: number) => Promise<Verdict>
  readonly close: () => void
}

const program = fileURLToPath(new URL("lane.ts", import.meta.url))

/** A mutant that fills the memory is caught before the machine notices. */
const heapMegabytes = 1024

const startMillis = 60_000

export const openLane = (root: string, seed: number): Lane => {
  const copy = copyWorkspace(root, seed)
  let running: ChildProcess | undefined

  const start = async (): Promise<ChildProcess> => {
    const child = fork(program, [copy.root], {
      cwd: copy.root,
      execArgv: [`--max-old-space-size=${heapMegabytes}`],
      stdio: ["ignore", "ignore", "pipe", "ipc"]
    })
    running = child
    let said = ""
    child.stderr?.on("data", (chunk) => (said = `${said}${chunk}`.slice(-4000)))
    const ready = await answerOf(child, startMillis)
    if (ready === "late" || ready === "gone") throw new Error(`mutation: the tests' process did not start\n${said}`)
    return child
  }

  const stop = (): void => {
    running?.kill("SIGKILL")
    running = undefined
  }

  const put = async (question: Question, limitMillis: number): Promise<Verdict> => {
    const child = running ?? (await start())
    const answer = answerOf(child, limitMillis)
    child.send(question)
    const said = await answer
    if (said === "late" || said === "gone") {
      stop()
      return { _tag: "Caught", by: said === "late" ? timeLimit : "the process died of it" }
    }
    return said._tag === "Ready" ? { _tag: "Broken", why: "the process answered out of turn" } : said
  }

  return {
    start,
    ask: async (module, text, tests, limitMillis) => {
      const file = join(copy.root, module)
      const original = readFileSync(file, "utf8")
      writeFileSync(file, text)
      try {
        return await put({ module, tests }, limitMillis)
      } finally {
        writeFileSync(file, original)
      }
    },
    close: () => {
      stop()
      copy.remove()
    }
  }
}

export const timeLimit = "the time limit"

const answerOf = (child: ChildProcess, limitMillis: number): Promise<Answer | "late" | "gone"> =>
  new Promise((resolve) => {
    const end = (result: Answer | "late" | "gone"): void => {
      clearTimeout(timer)
      child.off("message", told)
      child.off("exit", gone)
      resolve(result)
    }
    // what lane.ts sends, and nothing else speaks on this channel
    const told = (message: unknown): void => end(message as Answer)
    const gone = (): void => end("gone")
    const timer = setTimeout(() => end("late"), limitMillis)
    child.on("message", told)
    child.on("exit", gone)
  })

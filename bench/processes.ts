// The processes of a run: the server, and one for each sample. Whatever is still running when the run ends is stopped.

import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Figures, Task } from "./task.ts"

const running = new Set<ChildProcess>()

export const stopAll = (): void => {
  for (const child of running) child.kill("SIGKILL")
}

const start = (file: string, args: ReadonlyArray<string>, execArgv: ReadonlyArray<string>): ChildProcess => {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    execArgv: [...execArgv],
    stdio: ["ignore", "inherit", "inherit", "ipc"]
  })
  running.add(child)
  child.once("exit", () => running.delete(child))
  return child
}

export interface Server {
  readonly origin: string
  readonly stop: () => void
}

export const startServer = async (): Promise<Server> => {
  const child = start("server.ts", [], [])
  const [message]: Array<{ readonly port: number }> = await once(child, "message")
  return { origin: `http://127.0.0.1:${message?.port}`, stop: () => child.disconnect() }
}

const limitMillis = 60_000

/**
 * V8 learns while a program loads where objects live long, and from then on makes those objects old at birth; what an old object
 * refers to stays until the next full collection. Which places it learns differs from run to run, and some are on the way of
 * every call, so that a run is in one of two states from its beginning. Without it there is one.
 */
const oneState = "--no-allocation-site-pretenuring"

/** Takes one sample in a fresh process. A sample that fails or hangs fails the run. */
export const takeSample = (task: Task): Promise<Figures> =>
  new Promise((resolve, reject) => {
    const child = start(
      "sample.ts",
      [JSON.stringify(task)],
      [oneState, ...(task.section === "heap" ? ["--expose-gc"] : [])]
    )
    let figures: Figures | undefined
    const timer = setTimeout(() => child.kill("SIGKILL"), limitMillis)
    child.once("message", (message: Figures) => (figures = message))
    child.once("exit", (code, signal) => {
      clearTimeout(timer)
      if (figures === undefined) reject(new Error(`${task.section} ${task.contender}: no figures (${signal ?? code})`))
      else resolve(figures)
    })
  })

// Runs a command and gives what it said: the one way in which the checks start anything.

import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "")

export interface Result {
  /** `null` when a signal ended it, the time limit's own included. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** Both streams in the order of arrival, for people. */
  readonly output: string
  readonly timedOut: boolean
}

export interface Options {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMillis?: number
}

const running = new Set<number>()

/** Ends what is still running, with its children. Called when this process is told to stop. */
export const stopAll = (): void => {
  for (const id of running) stop(id)
}

const stop = (id: number): void => {
  try {
    // Negative: the whole process group, because vitest and npx start processes of their own.
    process.kill(-id, "SIGKILL")
  } catch {
    // It ended by itself in the meantime.
  }
}

export const run = (command: string, args: ReadonlyArray<string>, options: Options = {}): Promise<Result> =>
  new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true
    })
    const id = child.pid
    if (id !== undefined) running.add(id)
    let stdout = ""
    let stderr = ""
    let output = ""
    let timedOut = false
    const timer =
      options.timeoutMillis === undefined || id === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true
            stop(id)
          }, options.timeoutMillis)
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      stdout += chunk
      output += chunk
    })
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      stderr += chunk
      output += chunk
    })
    const finish = (code: number | null) => {
      clearTimeout(timer)
      if (id !== undefined) running.delete(id)
      resolve({ code, stdout, stderr, output, timedOut })
    }
    child.on("error", (error) => {
      output += `${command} does not start: ${error.message}\n`
      finish(1)
    })
    child.on("close", finish)
  })

/** Runs `task` over `items`, at most `width` at a time, and gives the results in the order of the items. */
export const forEachWide = async <A, B>(
  items: ReadonlyArray<A>,
  width: number,
  task: (item: A) => Promise<B>
): Promise<Array<B>> => {
  const results: Array<B> = []
  const queue = items.entries()
  const worker = async () => {
    for (const [index, item] of queue) results[index] = await task(item)
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker))
  return results
}

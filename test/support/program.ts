/**
 * A real program for a test, on a free port of the loopback, which ends with it.
 */
import type { ChildProcess } from "node:child_process"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import type { Scope } from "effect"

const startMillis = 5_000

export const isInstalled = (command: string, option: string): boolean => spawnSync(command, [option]).status === 0

export interface Program {
  readonly command: string
  /** Its arguments, for the port that it is to listen on and a folder that is gone after it. */
  readonly arguments: (port: number, folder: string) => ReadonlyArray<string>
  /** What it writes to its output when it can be called. */
  readonly ready: string
}

export interface Running {
  readonly port: number
  /** Ends it as a crash does. */
  readonly kill: Effect.Effect<void>
}

export const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, "exit")
  child.kill("SIGKILL")
  await exit
}

/** A test run that is told to stop takes what it started with it. */
export const endsWithTheRun = (child: ChildProcess): void => {
  const kill = (): void => void child.kill("SIGKILL")
  process.once("exit", kill)
  child.once("exit", () => process.off("exit", kill))
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  if (address === null || typeof address === "string") throw new Error("a port was expected")
  return address.port
}

const start = async (program: Program, folder: string) => {
  const port = await freePort()
  const child = spawn(program.command, program.arguments(port, folder), { stdio: ["ignore", "pipe", "ignore"] })
  endsWithTheRun(child)
  // its output ends with it
  const late = setTimeout(() => child.kill("SIGKILL"), startMillis)
  let output = ""
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    output += String(chunk)
    if (output.includes(program.ready)) break
  }
  clearTimeout(late)
  if (child.stdout.readableEnded) {
    await end(child)
    throw new Error(`${program.command} did not start on port ${port} in ${startMillis} ms\n${output}`)
  }
  child.stdout.resume()
  return { child, port }
}

/** On a free port of the loopback, until the scope ends. */
export const running = (program: Program): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), `holdfast-${program.command}-`))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    )
    const started = Effect.promise(() => start(program, folder))
    // another process may take the port before the program does
    const startedAnyway = Effect.catchDefect(started, () => started)
    const { child, port } = yield* Effect.acquireRelease(startedAnyway, ({ child }) => Effect.promise(() => end(child)))
    return { port, kill: Effect.promise(() => end(child)) }
  })

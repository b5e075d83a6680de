/**
 * A real program for a test, on a free port of the loopback, which ends with it.
 */
import type { ChildProcess } from "node:child_process"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { Effect } from "effect"
import type { Scope } from "effect"

const startMillis = 30_000
const endMillis = 5_000
/** Of what a program says, as much as an error repeats. */
const saidCharacters = 4_000

export const isInstalled = (command: string, option: string): boolean => spawnSync(command, [option]).status === 0

export interface Program {
  readonly command: string
  /** Its arguments, for the port that it is to listen on and a folder that is gone after it. */
  readonly arguments: (port: number, folder: string) => ReadonlyArray<string>
  /** What it writes to its output when it can be called. Left out: it can be called when its port takes a connection. */
  readonly ready?: string
  /** What ends it, with the processes it started. Default `SIGKILL`, which is for a program that starts none. */
  readonly endsBy?: NodeJS.Signals
}

export interface Running {
  readonly port: number
  /** Ends it as a crash does. */
  readonly kill: Effect.Effect<void>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
}

/** What has not heeded a milder signal in some seconds is killed. */
export const end = async (child: ChildProcess, signal: NodeJS.Signals = "SIGKILL"): Promise<void> => {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, "exit")
  child.kill(signal)
  const late = setTimeout(() => child.kill("SIGKILL"), endMillis)
  await exit
  clearTimeout(late)
}

/** A test run that is told to stop takes what it started with it. */
export const endsWithTheRun = (child: ChildProcess, signal: NodeJS.Signals = "SIGKILL"): void => {
  const kill = (): void => void child.kill(signal)
  process.once("exit", kill)
  child.once("exit", () => process.off("exit", kill))
}

/**
 * A port that is free, below those that the operating system gives to clients: while the server is away, none of its own
 * clients can be given its port.
 */
export const freePort = async (): Promise<number> => {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false))
      server.listen({ host: "127.0.0.1", port }, () => server.close(() => resolve(true)))
    })
    if (isFree) return port
  }
  throw new Error("no port is free")
}

const takesConnections = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port })
    socket.once("connect", () => {
      socket.destroy()
      resolve(true)
    })
    socket.once("error", () => resolve(false))
  })

const start = async (program: Program, folder: string) => {
  const port = await freePort()
  const child = spawn(program.command, program.arguments(port, folder), { stdio: ["ignore", "pipe", "pipe"] })
  endsWithTheRun(child, program.endsBy)
  let said = ""
  let hasEnded = false
  child.once("close", () => (hasEnded = true))
  child.once("error", (error) => (said += error.message))
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      if (said.length < saidCharacters) said += String(chunk)
    })
  }
  const isReady = async (): Promise<boolean> =>
    program.ready === undefined ? takesConnections(port) : said.includes(program.ready)
  const late = performance.now() + startMillis
  while (!(await isReady())) {
    if (hasEnded || performance.now() > late) {
      await end(child, program.endsBy)
      throw new Error(`${program.command} did not start on port ${port} in ${startMillis} ms\n${said}`)
    }
    await delay(10)
  }
  return { child, port }
}

/** On a free port of the loopback, until the scope ends. */
export const running = (program: Program): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), `holdfast-${basename(program.command)}-`))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    )
    const started = Effect.promise(() => start(program, folder))
    // another process may take the port before the program does
    const startedAnyway = Effect.catchDefect(started, () => started)
    const { child, port } = yield* Effect.acquireRelease(startedAnyway, ({ child }) =>
      Effect.promise(() => end(child, program.endsBy))
    )
    return {
      port,
      kill: Effect.promise(() => end(child)),
      signal: (signal) => Effect.sync(() => void child.kill(signal))
    }
  })

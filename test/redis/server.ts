/**
 * A real `redis-server` for a test, which keeps nothing and ends with it, and a process that shares it.
 */
import type { ChildProcess } from "node:child_process"
import { fork, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import type { Scope } from "effect"
import type { Member } from "./member.ts"

export type Command =
  | { readonly _tag: "Call"; readonly upstream: "up" | "down" }
  | { readonly _tag: "Burst"; readonly which: "limit" | "scarce"; readonly calls: number }

export interface Reply {
  readonly id: number
  readonly value: unknown
}

const startMillis = 5_000
const replyMillis = 10_000

export const isInstalled = (): boolean => spawnSync("redis-server", ["--version"]).status === 0

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, "exit")
  child.kill("SIGKILL")
  await exit
}

/** A test run that is told to stop takes what it started with it. */
const endsWithTheRun = (child: ChildProcess): void => {
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

const start = async (folder: string): Promise<{ readonly child: ChildProcess; readonly port: number }> => {
  const port = await freePort()
  const options = { port, bind: "127.0.0.1", save: "", appendonly: "no", dir: folder }
  const child = spawn(
    "redis-server",
    Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]),
    { stdio: ["ignore", "pipe", "ignore"] }
  )
  endsWithTheRun(child)
  // its output ends with it
  const late = setTimeout(() => child.kill("SIGKILL"), startMillis)
  let output = ""
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    output += String(chunk)
    if (output.includes("Ready to accept connections")) break
  }
  clearTimeout(late)
  if (child.stdout.readableEnded) {
    await end(child)
    throw new Error(`redis-server did not start on port ${port} in ${startMillis} ms\n${output}`)
  }
  child.stdout.resume()
  return { child, port }
}

export interface Server {
  readonly port: number
  /** Ends it as a crash does. */
  readonly kill: Effect.Effect<void>
}

/** On a free port of the loopback, until the scope ends. */
export const server: Effect.Effect<Server, never, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-redis-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  const started = Effect.promise(() => start(folder))
  // another process may take the port before the server does
  const startedAnyway = Effect.catchDefect(started, () => started)
  const { child, port } = yield* Effect.acquireRelease(startedAnyway, ({ child }) => Effect.promise(() => end(child)))
  return { port, kill: Effect.promise(() => end(child)) }
})

/** A member in a process of its own, until the scope ends. */
export const memberProcess = Effect.fnUntraced(function* (port: number): Effect.fn.Return<Member, never, Scope.Scope> {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      fork(fileURLToPath(new URL("./memberProcess.ts", import.meta.url)), [String(port)], {
        // options of the test runner's process are not meant for this one
        execArgv: [],
        env: { ...process.env, NODE_OPTIONS: "--disable-warning=ExperimentalWarning" },
        stdio: ["ignore", "ignore", "inherit", "ipc"]
      })
    ),
    (child) => Effect.promise(() => end(child))
  )
  endsWithTheRun(child)
  child.setMaxListeners(0)
  // in real time, whatever clock the test has
  const replied = (id: number): Effect.Effect<unknown> =>
    Effect.promise(async () => {
      const signal = AbortSignal.timeout(replyMillis)
      for (;;) {
        const [reply]: Array<Reply> = await once(child, "message", { signal })
        if (reply?.id === id) return reply.value
      }
    })
  let last = 0
  const tell = (command: Command): Effect.Effect<unknown> =>
    Effect.suspend(() => {
      const id = ++last
      child.send({ id, command })
      return replied(id)
    })
  yield* replied(0)
  return {
    call: (upstream) => Effect.map(tell({ _tag: "Call", upstream }), String),
    burst: (which, calls) =>
      Effect.map(tell({ _tag: "Burst", which, calls }), (instants) =>
        Array.isArray(instants) ? instants.map(Number) : []
      )
  }
})

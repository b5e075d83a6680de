/**
 * A real tinyproxy for a test, on a free port of the loopback, which ends with it.
 */
import type { ChildProcess } from "node:child_process"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import type { Scope } from "effect"

const startMillis = 5_000

export const isInstalled = (): boolean => spawnSync("tinyproxy", ["-v"]).status === 0

export interface TinyproxyOptions {
  /** Ports that a CONNECT may lead to. */
  readonly connectPorts: ReadonlyArray<number>
  readonly credentials?: { readonly username: string; readonly password: string }
}

export interface Tinyproxy {
  readonly port: number
  /** Ends it as a crash does. */
  readonly kill: Effect.Effect<void>
}

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

const start = async (folder: string, { connectPorts, credentials }: TinyproxyOptions) => {
  const port = await freePort()
  const file = join(folder, "tinyproxy.conf")
  const lines = [
    `Port ${port}`,
    "Listen 127.0.0.1",
    "Allow 127.0.0.1",
    "Timeout 30",
    "LogLevel Info",
    ...connectPorts.map((port) => `ConnectPort ${port}`),
    ...(credentials === undefined ? [] : [`BasicAuth ${credentials.username} ${credentials.password}`])
  ]
  writeFileSync(file, `${lines.join("\n")}\n`)
  const child = spawn("tinyproxy", ["-d", "-c", file], { stdio: ["ignore", "pipe", "ignore"] })
  endsWithTheRun(child)
  // its output ends with it
  const late = setTimeout(() => child.kill("SIGKILL"), startMillis)
  let output = ""
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    output += String(chunk)
    if (output.includes("Accepting connections")) break
  }
  clearTimeout(late)
  if (child.stdout.readableEnded) {
    await end(child)
    throw new Error(`tinyproxy did not start on port ${port} in ${startMillis} ms\n${output}`)
  }
  child.stdout.resume()
  return { child, port }
}

/** On a free port of the loopback, until the scope ends. */
export const tinyproxy = (options: TinyproxyOptions): Effect.Effect<Tinyproxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-tinyproxy-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    )
    const started = Effect.promise(() => start(folder, options))
    // another process may take the port before the proxy does
    const startedAnyway = Effect.catchDefect(started, () => started)
    const { child, port } = yield* Effect.acquireRelease(startedAnyway, ({ child }) => Effect.promise(() => end(child)))
    return { port, kill: Effect.promise(() => end(child)) }
  })

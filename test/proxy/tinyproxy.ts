/**
 * A real tinyproxy for a test, on a free port of the loopback, which ends with it.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Effect, Scope } from "effect"
import * as Program from "../support/program.ts"

export const isInstalled = (): boolean => Program.isInstalled("tinyproxy", "-v")

export interface TinyproxyOptions {
  /** Ports that a CONNECT may lead to. */
  readonly connectPorts: ReadonlyArray<number>
  readonly credentials?: { readonly username: string; readonly password: string }
}

export const tinyproxy = ({
  connectPorts,
  credentials
}: TinyproxyOptions): Effect.Effect<Program.Running, never, Scope.Scope> =>
  Program.running({
    command: "tinyproxy",
    arguments: (port, folder) => {
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
      return ["-d", "-c", file]
    },
    ready: "Accepting connections"
  })

/** nginx, HAProxy and Apache on a free port of the loopback, in front of the drill's backend, until the scope ends. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import type { Scope } from "effect"
import { certificates } from "../../support/certificates.ts"
import * as Program from "../../support/program.ts"
import { apache } from "./apache.ts"
import { haproxy } from "./haproxy.ts"
import { nginx } from "./nginx.ts"
import type { Protocol, ServerProgram } from "./setting.ts"

export type ServerName = "nginx" | "haproxy" | "apache"

export const programs: Readonly<Record<ServerName, ServerProgram>> = { nginx, haproxy, apache }

/** Debian keeps servers where only root looks for programs. */
const pathOf = ({ command, versionOption }: ServerProgram): string | undefined =>
  [command, join("/usr/sbin", command)].find((path) => Program.isInstalled(path, versionOption))

export const isInstalled = (name: ServerName): boolean => pathOf(programs[name]) !== undefined

export interface ServerOptions {
  readonly name: ServerName
  readonly backendPort: number
  readonly protocol: Protocol
  readonly directives: ReadonlyArray<string>
}

export interface RealServer {
  readonly url: string
  readonly reload: Effect.Effect<void>
}

export const realServer = Effect.fnUntraced(function* ({
  name,
  ...options
}: ServerOptions): Effect.fn.Return<RealServer, never, Scope.Scope> {
  const program = programs[name]
  const { servers } = yield* certificates
  const { port, signal } = yield* Program.running({
    command: pathOf(program) ?? program.command,
    arguments: (port, folder) => {
      const write = (file: string, text: string): string => {
        writeFileSync(join(folder, file), text)
        return join(folder, file)
      }
      const { cert, key } = servers.good
      const certificate = {
        keyFile: write("key.pem", key),
        chainFile: write("chain.pem", cert),
        bothFile: write("both.pem", `${cert}\n${key}`)
      }
      const text = program.configuration({ ...options, port, folder, certificate })
      return program.arguments(write(`${name}.conf`, text), folder)
    },
    endsBy: "SIGTERM"
  })
  return {
    url: options.protocol === "1.1" ? `http://127.0.0.1:${port}` : `https://127.0.0.1:${port}`,
    reload: signal(program.reloadsBy)
  }
})

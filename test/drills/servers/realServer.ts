/** nginx, HAProxy and Apache on a free port of the loopback, in front of the drill's backend, until the scope ends. */
import { writeFileSync } from "node:fs"
import * as http from "node:http"
import * as https from "node:https"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
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

const firstAnswerMillis = 10_000

/**
 * Waits for any answer. A port that takes connections is not enough: the processes that serve it come later, and a signal that comes
 * before them ends a server instead of reloading it.
 */
const answering = async (url: string, trustedRoot: string): Promise<void> => {
  const signal = AbortSignal.timeout(firstAnswerMillis)
  const options = { agent: false, ca: trustedRoot, signal } as const
  const answers = (): Promise<boolean> =>
    new Promise((resolve) => {
      const request = url.startsWith("https") ? https.get(url, options) : http.get(url, options)
      request.once("error", () => resolve(false))
      request.once("response", (response) => {
        response.resume()
        response.once("close", () => resolve(true))
      })
    })
  while (!(await answers())) await delay(20, undefined, { signal })
}

export const realServer = Effect.fnUntraced(function* ({
  name,
  ...options
}: ServerOptions): Effect.fn.Return<RealServer, never, Scope.Scope> {
  const program = programs[name]
  const { servers, trustedRoot } = yield* certificates
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
  const url = options.protocol === "1.1" ? `http://127.0.0.1:${port}` : `https://127.0.0.1:${port}`
  yield* Effect.promise(() => answering(url, trustedRoot))
  return { url, reload: signal(program.reloadsBy) }
})

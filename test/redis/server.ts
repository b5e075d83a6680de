/**
 * A real `redis-server` for a test, which keeps nothing and ends with it, and a process that shares it.
 */
import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import type { Scope } from "effect"
import { end, endsWithTheRun, isInstalled as isProgramInstalled, type Running, running } from "../support/program.ts"
import type { Member } from "./member.ts"

export type Command =
  | { readonly _tag: "Call"; readonly upstream: "up" | "down" }
  | { readonly _tag: "Burst"; readonly which: "limit" | "scarce"; readonly calls: number }

export interface Reply {
  readonly id: number
  readonly value: unknown
}

const replyMillis = 40_000

export const isInstalled = (): boolean => isProgramInstalled("redis-server", "--version")

export const server: Effect.Effect<Running, never, Scope.Scope> = running({
  command: "redis-server",
  arguments: (port, folder) =>
    Object.entries({ port, bind: "127.0.0.1", save: "", appendonly: "no", dir: folder }).flatMap(([name, value]) => [
      `--${name}`,
      String(value)
    ]),
  ready: "Ready to accept connections"
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

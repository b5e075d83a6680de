/** The processes of the drill that are ours: the backend behind the servers, and the clients in front of them. */
import type { ChildProcess } from "node:child_process"
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import type { Scope } from "effect"
import { certificates } from "../../support/certificates.ts"
import { end, endsWithTheRun } from "../../support/program.ts"
import type { ClientName, Job, Told } from "./load.ts"
import { clientNames } from "./load.ts"

/** Ids, and how often each was written down. */
export type Recorded = ReadonlyArray<readonly [id: string, times: number]>

export interface BackendPorts {
  readonly backend: number
  readonly hangsUp: ReadonlyArray<{ readonly port: number; readonly afterMillis: number }>
  readonly endsHttp2: ReadonlyArray<{ readonly port: number; readonly answers: number }>
}

export type BackendCommand =
  | { readonly id: number; readonly listen: { readonly key: string; readonly cert: string } }
  | { readonly id: number; readonly recordedOf: string }

export interface BackendReply {
  readonly id: number
  readonly ports?: BackendPorts
  readonly recorded?: Recorded
}

export interface JobCommand {
  readonly id: number
  /** A name alone: be ready for jobs of this client, so that none of them has to wait while the others are at work. */
  readonly task: Job | ClientName
}

export interface JobReply {
  readonly id: number
  readonly told?: Told | undefined
  readonly broke?: string
}

/** A busy machine may take seconds to start a process. */
const replyMillis = 30_000

type WithoutId<Command> = Command extends unknown ? Omit<Command, "id"> : never

type Tell<Command, Reply> = (command: WithoutId<Command>, workMillis?: number) => Effect.Effect<Reply>

/** Tells a process commands and gives its replies, until the scope ends. Where it has died, the next command starts it anew. */
const conversation = <Command extends { readonly id: number }, Reply extends { readonly id: number }>(
  file: string
): Effect.Effect<Tell<Command, Reply>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const pending = new Map<
      number,
      { readonly resolve: (reply: Reply) => void; readonly reject: (error: Error) => void }
    >()
    let last = 0
    const start = (): ChildProcess => {
      const child = fork(fileURLToPath(new URL(file, import.meta.url)), {
        // options of the test runner's process are not meant for this one
        execArgv: [],
        env: { ...process.env, NODE_OPTIONS: "--disable-warning=ExperimentalWarning" },
        stdio: ["ignore", "ignore", "inherit", "ipc"]
      })
      endsWithTheRun(child)
      child.on("message", (reply: Reply) => pending.get(reply.id)?.resolve(reply))
      child.once("exit", () => {
        for (const { reject } of pending.values()) reject(new Error(`${file} ended without a word`))
      })
      return child
    }
    let child = start()
    yield* Effect.addFinalizer(() => Effect.promise(() => end(child)))
    return (command, workMillis = 0) =>
      Effect.promise(async () => {
        if (child.exitCode !== null || child.signalCode !== null) child = start()
        const id = ++last
        const { promise, reject, resolve } = Promise.withResolvers<Reply>()
        const late = setTimeout(() => reject(new Error(`${file} said nothing in time`)), workMillis + replyMillis)
        pending.set(id, { resolve, reject })
        child.send({ ...command, id })
        try {
          return await promise
        } finally {
          clearTimeout(late)
          pending.delete(id)
        }
      })
  })

export interface Processes {
  readonly ports: BackendPorts
  /** What the backend wrote down of the ids that begin so; it is then forgotten. */
  readonly recorded: (prefix: string) => Effect.Effect<Recorded>
  readonly run: (job: Job) => Effect.Effect<Told>
}

export const startProcesses = Effect.gen(function* (): Effect.fn.Return<Processes, never, Scope.Scope> {
  const { servers } = yield* certificates
  const tellBackend = yield* conversation<BackendCommand, BackendReply>("./backendProcess.ts")
  const tellClient = new Map<ClientName, Tell<JobCommand, JobReply>>()
  for (const name of clientNames) {
    const tell = yield* conversation<JobCommand, JobReply>("./loadProcess.ts")
    yield* tell({ task: name })
    tellClient.set(name, tell)
  }
  const { ports } = yield* tellBackend({ listen: servers.good })
  if (ports === undefined) return yield* Effect.die(new Error("the backend gave no ports"))
  return {
    ports,
    recorded: (prefix) => Effect.map(tellBackend({ recordedOf: prefix }), ({ recorded }) => recorded ?? []),
    run: (job) =>
      Effect.gen(function* () {
        const tell = tellClient.get(job.client)
        if (tell === undefined) return yield* Effect.die(new Error(`there is no client ${job.client}`))
        const { broke, told } = yield* tell({ task: job }, job.load.bound.millis)
        return told ?? (yield* Effect.die(new Error(broke ?? `${job.client} told nothing`)))
      })
  }
})

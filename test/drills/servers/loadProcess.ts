/** One client under load in a process of its own: does the jobs it is told, also several at once, and says what came of each. */
import type { ClientName, Job, MakeClient, Told } from "./load.ts"
import { run } from "./load.ts"
import { codeOf } from "./peerFailure.ts"
import type { JobCommand, JobReply } from "./processes.ts"

/** Each is loaded where it is needed only. */
const makers: Readonly<Record<ClientName, () => Promise<MakeClient>>> = {
  holdfast: async () => (await import("./holdfastClient.ts")).makeHoldfast,
  undici: async () => (await import("./undiciClient.ts")).makeUndici,
  node: async () => (await import("./nodeClient.ts")).makeNode
}

const uncaught: Array<string> = []
process.on("uncaughtException", (error) => void uncaught.push(codeOf(error)))
// the one tie to the drill: when it is cut, nothing may stay behind
process.on("disconnect", () => process.exit(0))

const reply = (message: JobReply): void => void process.send?.(message)

const work = async ({ client, ...job }: Job): Promise<Told> => {
  const before = uncaught.length
  const make = await makers[client]()
  const { close, told } = await run(job, make)
  await close()
  return { ...told, uncaught: uncaught.slice(before) }
}

const prepare = async (client: ClientName): Promise<undefined> => void (await makers[client]())

process.on("message", ({ id, task }: JobCommand) => {
  const done: Promise<Told | undefined> = typeof task === "string" ? prepare(task) : work(task)
  done.then(
    (told) => reply({ id, told }),
    (error) => reply({ id, broke: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  )
})

/**
 * What stands behind the servers of the drill, in a process of its own: it writes down the id of each request that it has whole, and
 * answers after as many milliseconds as the path says. Beside it listen servers that end connections without good manners.
 */
import { once } from "node:events"
import { createServer } from "node:http"
import type { Server } from "node:net"
import type { BackendCommand, BackendPorts, BackendReply, Recorded } from "./processes.ts"
import { endingHttp2, hangingUp, workMillisOf } from "./rudeServers.ts"

const records = new Map<string, number>()
const record = (id: string | undefined): void => {
  if (id !== undefined) records.set(id, (records.get(id) ?? 0) + 1)
}

const backend = createServer((request, response) => {
  request.on("error", () => {})
  request.resume()
  request.once("end", () => {
    record(request.headers["x-call"]?.toString())
    const answer = (): void => void response.end("ok")
    const workMillis = workMillisOf(request.url)
    if (workMillis > 0) setTimeout(answer, workMillis)
    else answer()
  })
})
// the servers in front of it are never to meet its own closes
backend.keepAliveTimeout = 120_000

const listen = async (server: Server): Promise<number> => {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("a port was expected")
  return address.port
}

/** The records of one load, which are then forgotten. */
const recordedOf = (prefix: string): Recorded => {
  const recorded = [...records].filter(([id]) => id.startsWith(prefix))
  for (const [id] of recorded) records.delete(id)
  return recorded
}

const listenAll = async (certificate: { readonly key: string; readonly cert: string }): Promise<BackendPorts> => ({
  backend: await listen(backend),
  hangsUp: await Promise.all(
    [0, 1, 5].map(async (afterMillis) => ({ afterMillis, port: await listen(hangingUp(afterMillis, record)) }))
  ),
  endsHttp2: await Promise.all(
    [1, 20].map(async (answers) => ({ answers, port: await listen(endingHttp2(certificate, answers, record)) }))
  )
})

const reply = (message: BackendReply): void => void process.send?.(message)

process.on("message", async (command: BackendCommand) => {
  const { id } = command
  if ("listen" in command) reply({ id, ports: await listenAll(command.listen) })
  else reply({ id, recorded: recordedOf(command.recordedOf) })
})
process.on("disconnect", () => process.exit(0))

/**
 * A server that can die at any instant without forgetting what it did: it writes the id of a POST to a file before it
 * answers. What the operating system has of a file outlives the process. Run with a port and the file; says when it listens.
 */
import { appendFileSync } from "node:fs"
import { createServer } from "node:http"

/** Long enough for every death to meet calls in flight, at each of their steps. */
const workMillis = 60

const [port, ledger] = process.argv.slice(2)
if (port === undefined || ledger === undefined) throw new Error("run it with a port and a file")

const server = createServer((request, response) => {
  const id = (request.url ?? "").slice(1)
  request.on("error", () => {})
  request.resume()
  request.once("end", () => {
    if (request.method === "POST") appendFileSync(ledger, `${id}\n`)
    setTimeout(() => {
      response.setHeader("content-type", "application/json")
      response.end(JSON.stringify({ id: Number(id) }))
    }, workMillis)
  })
})

server.listen({ host: "127.0.0.1", port: Number(port) }, () => process.send?.("listening"))

// The one tie to the parent: when it is cut, by whatever end the parent came to, nothing may stay behind.
process.on("disconnect", () => process.exit(0))

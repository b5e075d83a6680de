// The upstream of the request section, in a process of its own: keep-alive, 1 KB of JSON, and `/cpu` to ask what it used
// itself, so that its share is not taken for noise.

import { createServer } from "node:http"
import { orderJson } from "./order.ts"

const body = Buffer.from(orderJson)
const headers = { "content-type": "application/json", "content-length": String(body.length) }

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  if (request.url === "/cpu") {
    response.end(JSON.stringify(process.cpuUsage()))
    return
  }
  response.writeHead(200, headers)
  response.end(body)
})

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  process.send?.({ port: typeof address === "object" && address !== null ? address.port : 0 })
})

// whoever started it has gone
process.on("disconnect", () => process.exit(0))

import { once } from "node:events"
import { createServer } from "node:http"
import { Effect } from "effect"

/** A stock service on a port of its own, which is too busy for the first request that it gets. */
export const stockServer = Effect.acquireRelease(
  Effect.promise(async () => {
    let requests = 0
    const server = createServer((request, response) => {
      requests += 1
      if (requests === 1) return response.writeHead(503).end()
      const sku = request.url?.split("/").at(-1)
      return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ sku, left: 3 }))
    })
    await once(server.listen(0, "127.0.0.1"), "listening")
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    return { server, url: `http://127.0.0.1:${port}`, requests: Effect.sync(() => requests) }
  }),
  ({ server }) => Effect.promise(() => once(server.close(), "close"))
)

import { once } from "node:events"
import { createServer } from "node:http"
import { text } from "node:stream/consumers"
import { Effect } from "effect"

const problem = { "content-type": "application/problem+json" }
const json = { "content-type": "application/json" }

/** What a bank answers: by status, by problem details, and by business errors of two shapes. */
const answers: Record<string, readonly [status: number, headers: Record<string, string>, body: object]> = {
  "GET /accounts/ada": [200, json, { owner: "ada", balance: 50 }],
  "GET /accounts/bob": [404, problem, { title: "No such account" }],
  "DELETE /accounts/ada": [409, problem, { title: "The account is not empty", balance: 50 }],
  "DELETE /accounts/bob": [410, problem, { title: "Closed long ago" }],
  'POST /transfers {"amount":90}': [200, json, { ok: false, error: { code: "NO_FUNDS", missing: 40 } }],
  'POST /transfers {"amount":5000}': [422, json, { code: "OVER_LIMIT", limit: 1000 }],
  "GET /statements/2026": [503, problem, { title: "Closing the year" }],
  "GET /statements/none": [400, problem, { title: "Not a year" }]
}

/** The bank, on a port of its own. */
export const bankServer = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = createServer(async (request, response) => {
      const asked = `${request.method} ${request.url} ${await text(request)}`.trim()
      const [status, headers, body] = answers[asked] ?? [500, json, {}]
      response.writeHead(status, headers).end(JSON.stringify(body))
    })
    await once(server.listen(0, "127.0.0.1"), "listening")
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    return { server, url: `http://127.0.0.1:${port}` }
  }),
  ({ server }) => Effect.promise(() => once(server.close(), "close"))
)

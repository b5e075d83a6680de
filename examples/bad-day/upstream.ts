/**
 * The upstream of the demo, in its own process: a real HTTP server that has a bad day on schedule. It tells its parent the
 * port, begins the day on the message `begin`, and ends with its parent.
 */
import * as http from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import { day, patchAt, type Trouble } from "./day.ts"

let beganAt = Number.POSITIVE_INFINITY

// a linear congruential generator (Numerical Recipes): the same day every time
let state = 7
const random = (): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return state / 2 ** 32
}

const order = (id: string): string => JSON.stringify({ id, total: 100 + (Number(id) % 900), note: "x".repeat(800) })

const answers: { readonly [T in Trouble]: (response: http.ServerResponse, body: string) => void } = {
  none: (response, body) => response.end(body),
  stopped: (response) => response.destroy(),
  unavailable: (response) => response.writeHead(503, { "retry-after": "1" }).end("busy"),
  reset: (response) => response.socket?.resetAndDestroy(),
  hang: () => {},
  truncate: (response, body) => {
    response.writeHead(200, { "content-length": String(body.length) })
    response.write(body.slice(0, 300), () => response.destroy())
  },
  slow: (response, body) => void sleep(150 + 200 * random()).then(() => response.end(body))
}

const server = http.createServer((request, response) => {
  const patch = day[patchAt(performance.now() - beganAt)]
  const befalls = patch !== undefined && random() < patch.share
  const id = request.url?.split("/").at(-1) ?? "0"
  request.resume()
  request.on("end", () => {
    response.setHeader("content-type", "application/json")
    void sleep(2 + 6 * random()).then(() => answers[befalls ? patch.trouble : "none"](response, order(id)))
  })
})

const listen = (port: number): Promise<number> =>
  new Promise((resolve) => {
    server.listen(port, "127.0.0.1", () => {
      const address = server.address()
      resolve(typeof address === "object" && address !== null ? address.port : 0)
    })
  })

/** Nothing listens and every connection is cut, for as long as each `stopped` patch lasts. */
const stopOnSchedule = async (port: number): Promise<void> => {
  for (const patch of day) {
    if (patch.trouble === "stopped") {
      server.close()
      server.closeAllConnections()
      await sleep(patch.millis)
      await listen(port)
    } else await sleep(patch.millis)
  }
}

const port = await listen(0)
process.on("message", () => {
  beganAt = performance.now()
  void stopOnSchedule(port)
})
process.on("disconnect", () => process.exit(0))
process.send?.({ port })

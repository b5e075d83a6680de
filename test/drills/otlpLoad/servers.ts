/**
 * The other side of the load, in a process of its own: an upstream that answers at once, and a receiver that says nothing until it is
 * told to. Prints where they listen; then each line that comes is a command: `well` makes the receiver well, `count` prints how many
 * spans have arrived.
 */
import { once } from "node:events"
import * as http from "node:http"
import { createInterface } from "node:readline"
import { Effect } from "effect"
import { OtlpReceiver } from "holdfast/testing"
import { startFront } from "../../support/otlpFront.ts"

const upstream = http.createServer((request, response) => {
  request.resume()
  response.writeHead(200, { "content-type": "application/json" }).end('{"ok":true}')
})

const main = Effect.gen(function* () {
  upstream.listen(0, "127.0.0.1")
  yield* Effect.promise(() => once(upstream, "listening"))
  const address = upstream.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const receiver = yield* OtlpReceiver.start
  const front = yield* startFront(receiver, ["hang"])
  console.log(JSON.stringify({ upstream: `http://127.0.0.1:${port}`, receiver: front.url }))
  yield* Effect.promise(async () => {
    for await (const line of createInterface({ input: process.stdin })) {
      if (line === "well") await Effect.runPromise(front.behave("forward"))
      if (line === "count") console.log((await Effect.runPromise(receiver.spans)).length)
    }
  })
  process.exit(0)
})

await Effect.runPromise(Effect.scoped(main))

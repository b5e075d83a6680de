/** Layers on real sockets: what they send again, and what becomes of the answer before. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Stream } from "effect"
import { type AttemptLayer, HttpPolicy, Transport, Upstream } from "holdfast"
import { UpstreamClient } from "holdfast/client"
import { NodeTransport } from "holdfast/node"
import { bounded } from "./support/calling.ts"
import { eventually, serve } from "./support/direct.ts"

/** Sends the token that it has; on 401 it gets another one, and sends once more. */
const bearer = Effect.sync((): AttemptLayer.AttemptLayer => {
  let token = "t-0"
  let refreshed = 0
  return {
    name: "bearer",
    around: ({ isReplayable, request }, next) => {
      const sent = () => next({ ...request, headers: { ...request.headers, authorization: token } })
      return Effect.flatMap(Effect.suspend(sent), (head) => {
        if (head.status !== 401 || !isReplayable()) return Effect.succeed(head)
        token = `t-${++refreshed}`
        return sent()
      })
    }
  }
})

const calls = {
  whole: (stock: Upstream.Upstream) => Effect.map(stock.get("/items"), ({ text }) => text),
  streamed: (stock: Upstream.Upstream) =>
    Effect.scoped(
      Effect.flatMap(stock.streaming.get("/items"), ({ stream }) => Stream.mkString(Stream.decodeText(stream)))
    ),
  client: (stock: Upstream.Upstream) => Effect.flatMap(UpstreamClient.make(stock).get("/items"), ({ text }) => text)
}

describe("layers around attempts", () => {
  it.live.each([
    { kind: "whole", bytes: 15, made: 1 },
    { kind: "streamed", bytes: 15, made: 1 },
    { kind: "client", bytes: 15, made: 1 },
    // too long to be read by anybody: it holds its connection until somebody lets it go, and takes it along
    { kind: "client", bytes: 4 * 1024 * 1024, made: 2 }
  ] as const)(
    "the answer that asked for another token is let go, with its connection: $kind, $bytes bytes",
    ({ bytes, kind, made }) =>
      Effect.gen(function* () {
        const seen: Array<string | undefined> = []
        const { connections, origin } = yield* serve((request, response) => {
          seen.push(request.headers.authorization)
          const isOld = request.headers.authorization === "t-0"
          response.statusCode = isOld ? 401 : 200
          response.end(isOld ? Buffer.alloc(bytes) : "3 left")
        })
        const { pools, transport } = yield* NodeTransport.make({ connections: 1 })
        const stock = yield* Effect.provideContext(
          Upstream.make("stock", { baseUrl: origin, policy: HttpPolicy.make({ retry: false }), attempt: [bearer] }),
          Context.make(Transport.Transport, transport)
        )
        for (let call = 0; call < 3; call++) assert.strictEqual(yield* bounded(calls[kind](stock)), "3 left")
        assert.deepStrictEqual(seen, ["t-0", "t-1", "t-1", "t-1"])
        assert.strictEqual(connections(), made)
        yield* bounded(eventually(pools.snapshot, ([pool]) => pool?.inFlight === 0))
      })
  )

  it.live("a body that can be sent once is not sent again", () =>
    Effect.gen(function* () {
      let requests = 0
      const { origin } = yield* serve((request, response) => {
        requests++
        request.resume()
        request.on("end", () => {
          response.statusCode = 401
          response.end()
        })
      })
      const context = yield* Layer.build(NodeTransport.layer())
      const stock = yield* Effect.provideContext(
        Upstream.make("stock", { baseUrl: origin, policy: HttpPolicy.make({ retry: false }), attempt: [bearer] }),
        context
      )
      const error = yield* Effect.flip(bounded(stock.put("/items", { stream: Stream.make(new Uint8Array(3)) })))
      assert.include(String(error), "Unauthorized")
      assert.strictEqual(requests, 1)
    })
  )
})

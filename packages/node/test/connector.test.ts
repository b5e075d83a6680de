import { createServer, type Socket } from "node:net"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeConnector } from "../src/internal/connector.ts"

const freePort: Effect.Effect<number> = Effect.callback((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

it.live("a connection that the kernel makes to itself is a refused one", () =>
  Effect.gen(function* () {
    const port = yield* freePort
    // The kernel picks the port called as the one called from once in some ten thousand times; here it has no choice.
    const { connect } = makeConnector({ localPort: port } as Parameters<typeof makeConnector>[0], 2_000)
    const error = yield* Effect.callback<unknown>((resume) => {
      connect(
        { hostname: "127.0.0.1", host: `127.0.0.1:${port}`, protocol: "http:", port: String(port) },
        (failed: Error | null, socket: Socket | null) => {
          socket?.destroy()
          resume(Effect.succeed(failed))
        }
      )
    })
    assert.propertyVal(error, "code", "ECONNREFUSED")
    assert.match(String(error), /to itself/)
  })
)

import { type AddressInfo, createServer, type Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { bounded, calling } from "./support/calling.ts"
import { certificates } from "./support/certificates.ts"
import { type Handler, serve, serveHttp2 } from "./support/direct.ts"

/** A server that writes the same bytes to whoever asks, and keeps what it was asked. */
const writing = (answers: ReadonlyArray<string>) => {
  const heads: Array<string> = []
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on("error", () => {})
    socket.on("data", (bytes) => {
      heads.push(bytes.toString("latin1"))
      socket.write(answers[Math.min(heads.length, answers.length) - 1] ?? "", "latin1")
    })
  })
  return Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly lines: () => ReadonlyArray<string> }>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        // a server that listens on TCP has such an address
        const { port } = server.address() as AddressInfo
        const lines = () => heads.map((head) => head.split("\r\n", 1)[0] ?? "")
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, lines }))
      })
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of open) socket.destroy()
      })
  )
}

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

const forbidden = [
  { headers: { expect: "100-continue" } },
  { headers: { connection: "close" } },
  { headers: { "transfer-encoding": "chunked" } },
  { headers: { upgrade: "h2c" } },
  { headers: { "x-a": "a\r\nb: c" } },
  { text: "four", headers: { "content-length": "5" } }
]

describe("on the wire", () => {
  it.live("a target is what RFC 3986 says, one query and no fragment, every byte of it ASCII", () =>
    Effect.gen(function* () {
      const server = yield* writing([ok])
      const api = yield* calling(server)
      yield* api.get("/na\u00efve/{name}", { params: { name: "a/b?c" } })
      yield* api.get("/items?limit=10", { query: { q: "\u00e9 &" } })
      assert.deepStrictEqual(server.lines(), [
        "GET /na%C3%AFve/a%2Fb%3Fc HTTP/1.1",
        "GET /items?limit=10&q=%C3%A9%20%26 HTTP/1.1"
      ])
    }).pipe(Effect.scoped, bounded)
  )

  it.live("a redirect is followed to the bytes that the server wrote", () =>
    Effect.gen(function* () {
      const moved = (location: string) =>
        `HTTP/1.1 302 Found\r\nlocation: ${Buffer.from(location).toString("latin1")}\r\ncontent-length: 0\r\n\r\n`
      const server = yield* writing([moved("/caf\u00e9?q=\u{1f600}"), ok])
      const api = yield* calling(server, { policy: { redirects: {} } })
      yield* api.get("/items")
      assert.strictEqual(server.lines()[1], "GET /caf%C3%A9?q=%F0%9F%98%80 HTTP/1.1")
    }).pipe(Effect.scoped, bounded)
  )

  describe.each(["HTTP/1.1", "HTTP/2"] as const)("over %s", (protocol) => {
    const serving = (handler: Handler) =>
      Effect.gen(function* () {
        const { trustedRoot } = yield* certificates
        const server = yield* (protocol === "HTTP/2" ? serveHttp2 : serve)((request, response) => {
          assert.strictEqual(`HTTP/${request.httpVersionMajor}`, protocol.slice(0, 6))
          handler(request, response)
        })
        const target = protocol === "HTTP/2" ? { url: server.origin, trustedRoot } : { url: server.origin }
        // a breaker that one failure would open
        const policy = { breaker: { trip: [{ _tag: "ConsecutiveFailures", failures: 1 }] } } as const
        return { server, api: yield* calling(target, { policy, transport: { http2: protocol === "HTTP/2" } }) }
      })

    it.live("what no request can carry closes no connection, and nobody hears of it", () =>
      Effect.gen(function* () {
        let asked = 0
        const { api, server } = yield* serving((_, response) => {
          asked++
          response.end("ok")
        })
        yield* api.get("/warm")
        const connections = server.connections()
        for (const given of forbidden) {
          const { attempts, reason } = yield* Effect.flip(api.post("/items", { ...given, idempotencyKey: true }))
          assert.deepStrictEqual([attempts, reason._tag], [0, "RequestEncodeFailed"])
        }
        const streamed = yield* Effect.flip(api.streaming.get<string>("/annual 2026"))
        assert.strictEqual(streamed.reason._tag, "RequestEncodeFailed")
        assert.strictEqual((yield* api.get("/fine")).text, "ok")
        assert.deepStrictEqual([asked, server.connections()], [2, connections])
      }).pipe(Effect.scoped, bounded)
    )

    it.live("a host of the caller's is the one that is asked for", () =>
      Effect.gen(function* () {
        const { api } = yield* serving(({ headers }, response) => {
          response.end(String(headers[":authority"] ?? headers.host))
        })
        const answer = yield* api.get("/items", { headers: { Host: "shop.example:8080" } })
        assert.strictEqual(answer.text, "shop.example:8080")
      }).pipe(Effect.scoped, bounded)
    )

    it.live("a stream's length that is declared is the one that is sent", () =>
      Effect.gen(function* () {
        const { api } = yield* serving((request, response) => {
          request.resume()
          request.on("end", () => response.end(String(request.headers["content-length"])))
        })
        const stream = Stream.make(Uint8Array.of(1, 2), Uint8Array.of(3, 4))
        const answer = yield* api.post("/items", { stream, headers: { "content-length": "4" } })
        assert.strictEqual(answer.text, "4")
      }).pipe(Effect.scoped, bounded)
    )
  })
})

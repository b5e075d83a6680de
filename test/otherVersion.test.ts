import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Reason } from "holdfast"
import { calling, failure } from "./support/calling.ts"
import { serve, serveBytes, serveStreams } from "./support/direct.ts"

const detailOf = ({ reason }: { readonly reason: Reason.Reason }) => {
  if (reason._tag !== "MalformedResponse") return assert.fail(reason.message)
  assert.include(reason.message, "the peer does not speak the version of HTTP that it was spoken to in")
  assert.notInclude(reason.message, "the response is not HTTP")
  assert.strictEqual(reason.code, Reason.otherVersion)
  return reason.detail ?? ""
}

/** SETTINGS of HTTP/2 that say one thing. */
const settings = Buffer.from([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100])

describe("two sides that speak different versions of HTTP", () => {
  it.live("a server of HTTP/2 that is spoken to in HTTP/1.1 is told as such, with what to set", () =>
    Effect.gen(function* () {
      const real = yield* serveStreams((stream) => stream.respond({ ":status": 200 }, { endStream: true }))
      const bytes = yield* serveBytes((socket) => socket.write(settings))
      for (const { origin } of [real, bytes]) {
        const api = yield* calling({ url: origin })
        assert.include(
          detailOf(yield* failure(api.post("/"))),
          "it speaks HTTP/2 and was spoken to in HTTP/1.1; set http2: "
        )
      }
    })
  )

  it.live("a server of HTTP/1.1 that is spoken to in HTTP/2 is told as such, with what to set", () =>
    Effect.gen(function* () {
      const real = yield* serve((_, response) => response.end("ok"))
      const bytes = yield* serveBytes((socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
      for (const { origin } of [real, bytes]) {
        const api = yield* calling({ url: origin }, { transport: { http2: { priorKnowledge: true } } })
        assert.include(
          detailOf(yield* failure(api.post("/"))),
          "its first bytes are not HTTP/2; for HTTP/1.1 set http2: false"
        )
      }
    })
  )

  it.live(
    "HTTP/2 that breaks after its settings is no other version, nor is what is no HTTP to who speaks HTTP/1.1",
    () =>
      Effect.gen(function* () {
        const broken = yield* serveBytes((socket) =>
          socket.write(Buffer.concat([settings, Buffer.from("HTTP/1.1 200 OK\r\n\r\n")]))
        )
        const api = yield* calling({ url: broken.origin }, { transport: { http2: { priorKnowledge: true } } })
        assert.notInclude((yield* failure(api.post("/"))).message, "version of HTTP")
        const garbage = yield* serveBytes((socket) => socket.end("hello\r\n\r\n"))
        const plain = yield* calling({ url: garbage.origin })
        assert.include((yield* failure(plain.post("/"))).message, "the response is not HTTP")
      })
  )
})

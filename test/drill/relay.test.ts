import * as http2 from "node:http2"
import * as net from "node:net"
import { once } from "node:events"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Behaviour, TestUpstream } from "../support/upstream.ts"
import type { RelayStep } from "../support/behaviour.ts"
import { certificates } from "../support/certificates.ts"
import type { Protocol } from "../support/relayCut.ts"
import { cutOf, firstRecordEnd } from "../support/relayCut.ts"

const request = "PUT /a HTTP/1.1\r\nhost: b\r\ncontent-length: 20\r\n\r\n01234567890123456789"
const response = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"

const frame = (type: number, flags: number, payload: string): Buffer => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(type === 4 ? 0 : 1, 5)
  return Buffer.concat([head, Buffer.from(payload)])
}

const settings = frame(4, 0, "")
const requestFrames = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  settings,
  frame(1, 4, "head"),
  frame(0, 0, "body"),
  frame(0, 1, "")
])
const responseFrames = Buffer.concat([
  settings,
  frame(1, 4, "head"),
  frame(0, 0, "one"),
  frame(0, 0, "two"),
  frame(0, 1, "")
])

/** The bytes that are passed on, byte by byte, until the cut is there: whatever comes at once, nothing beyond it may have been. */
const passed = (protocol: Protocol, step: RelayStep): number => {
  const { at, direction } = cutOf(step, protocol)
  const text = direction === "up" ? request : response
  const frames = direction === "up" ? requestFrames : responseFrames
  const bytes = protocol === "http/2" ? frames : Buffer.from(text)
  for (let length = 0; length <= bytes.length; length++) {
    const cut = at(bytes.subarray(0, length))
    if (cut === undefined) continue
    assert.isAtLeast(cut, length - 1, "what was passed on before cannot be taken back")
    assert.strictEqual(at(bytes), cut, "it does not matter how much comes at once")
    return cut
  }
  throw new Error(`${step} never comes`)
}

describe("where a relay breaks off", () => {
  it.each([
    ["afterRequestLine", "PUT /a HTTP/1.1\r\n"],
    ["afterRequestHead", "PUT /a HTTP/1.1\r\nhost: b\r\ncontent-length: 20\r\n\r\n"],
    ["withinRequestBody", "PUT /a HTTP/1.1\r\nhost: b\r\ncontent-length: 20\r\n\r\n0123456789"],
    ["withinResponseHead", "HTTP/1.1 200 OK\r\ntransfer-e"],
    ["afterResponseHead", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"],
    ["betweenChunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"],
    ["beforeLastByte", response.slice(0, -1)],
    ["afterLastByte", response]
  ] as const)("%s of HTTP/1.1", (step, kept) => {
    assert.strictEqual(passed("http/1.1", step), kept.length)
  })

  it.each([
    ["afterRequestLine", 24 + 9 + 9],
    ["afterRequestHead", 24 + 9 + 13],
    ["withinRequestBody", 24 + 9 + 13 + 9 + 1],
    ["withinResponseHead", 9 + 9 + 1],
    ["afterResponseHead", 9 + 13],
    ["betweenChunks", 9 + 13 + 12],
    ["beforeLastByte", responseFrames.length - 1],
    ["afterLastByte", responseFrames.length]
  ] as const)("%s of HTTP/2", (step, kept) => {
    assert.strictEqual(passed("http/2", step), kept)
  })

  it("the first record of TLS ends where it says", () => {
    const record = Buffer.from([22, 3, 1, 0, 3, 1, 2, 3, 99])
    assert.isUndefined(firstRecordEnd(record.subarray(0, 7)))
    assert.strictEqual(firstRecordEnd(record), 8)
  })
})

/** What a client gets until the connection ends, and how it ends. */
const received = (port: number, sent: string, forMillis: number) =>
  Effect.promise(async () => {
    const socket = net.connect({ host: "127.0.0.1", port })
    let text = ""
    let ended = "silence"
    socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")))
    socket.once("end", () => (ended = "close"))
    socket.once("error", (error: NodeJS.ErrnoException) => (ended = error.code === "ECONNRESET" ? "reset" : "other"))
    socket.write(sent)
    await Promise.race([
      once(socket, "close").catch(() => {}),
      new Promise((resolve) => setTimeout(resolve, forMillis))
    ])
    socket.destroy()
    return { text, ended }
  })

layer(TestUpstream.layer, { excludeTestServices: true })("a relay", (it) => {
  const get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n"

  it.effect.each(Behaviour.ends.map((end) => ({ end })))(
    "passes on what comes before the step, and ends by $end",
    ({ end }) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const server = yield* upstream.listen(Behaviour.http([Behaviour.answer({ body: "whole", chunked: true })]))
        const relay = yield* upstream.listen(Behaviour.relay(server.port, { step: "afterResponseHead", end }))
        const { ended, text } = yield* received(relay.port, get, end === "silence" ? 300 : 5_000)
        assert.match(text, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n$/)
        assert.strictEqual(ended, end)
        yield* upstream.awaitNoOpenConnections(relay)
        yield* upstream.awaitNoOpenConnections(server)
      })
  )

  it.effect("passes on all of it when it has no fault, and what comes after it was mended", () =>
    Effect.gen(function* () {
      const upstream = yield* TestUpstream
      const server = yield* upstream.listen(Behaviour.http([Behaviour.answer({ body: "whole" })]))
      const relay = yield* upstream.listen(Behaviour.relay(server.port, { step: "onAccept", end: "close" }))
      assert.deepStrictEqual(yield* received(relay.port, get, 5_000), { text: "", ended: "close" })
      yield* upstream.become(relay, Behaviour.relay(server.port))
      const closing = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
      const { ended, text } = yield* received(relay.port, closing, 5_000)
      assert.match(text, /whole$/)
      assert.strictEqual(ended, "close")
    })
  )

  it.effect.each([
    { security: "without TLS", options: { http2: true } },
    { security: "over TLS", options: { http2: true, tls: {} } }
  ])("stands before a server that speaks HTTP/2 $security, which records what it is asked", ({ options }) =>
    Effect.gen(function* () {
      const upstream = yield* TestUpstream
      const { trustedRoot } = yield* certificates
      const server = yield* upstream.listen(Behaviour.http([Behaviour.echo]), { http2: true })
      const relay = yield* upstream.listen(Behaviour.relay(server.port), options)
      const text = yield* Effect.promise(async () => {
        const session = http2.connect(relay.url, { ca: trustedRoot })
        const stream = session.request({ ":method": "POST", ":path": "/a", "x-name": "value" })
        stream.end("hello")
        let body = ""
        for await (const chunk of stream) body += String(chunk)
        session.close()
        return body
      })
      assert.deepInclude(JSON.parse(text), { method: "POST", path: "/a", bodyBytes: 5, connection: 1, request: 1 })
      const { requests } = yield* upstream.awaitNoOpenConnections(server)
      assert.deepInclude(requests[0]?.headers, { "x-name": "value", ":method": "POST" })
      yield* upstream.awaitNoOpenConnections(relay)
    })
  )
})

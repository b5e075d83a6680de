import { assert, describe, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { HttpClientTransport } from "holdfast/client"
import type { HttpPolicy, Upstream } from "holdfast"
import { bounded, calling, callingThrough, pause, seen } from "./support/calling.ts"
import type { Listener } from "./support/upstream.ts"
import { Behaviour, TestUpstream } from "./support/upstream.ts"

const once: HttpPolicy.Options = { retry: false, attemptTimeout: false, deadline: false, breaker: false }

const fetching = HttpClientTransport.layer.pipe(Layer.provide(FetchHttpClient.layer))

const through = {
  undici: (listener: Listener, policy: HttpPolicy.Options) => calling(listener, { policy }),
  fetch: (listener: Listener, policy: HttpPolicy.Options) => callingThrough(fetching, listener, { policy })
}

/** Ten chunks, more than a second long. */
const slow = Behaviour.http([
  Behaviour.answer({ bodyBytes: 10_000, chunked: true, chunkBytes: 1_000, chunkDelayMillis: 150 })
])

const size = (api: Upstream.Upstream) =>
  Effect.scoped(
    Effect.flatMap(api.streaming.get("/"), ({ stream }) =>
      Stream.runFold(
        stream,
        () => 0,
        (sum, bytes) => sum + bytes.length
      )
    )
  )

/** Waits until the server has seen so many clients leave. */
const left = (listener: Listener, count: number) =>
  Effect.gen(function* () {
    const upstream = yield* TestUpstream
    for (;;) {
      const { connections } = yield* upstream.facts(listener)
      if (connections.filter(({ closed }) => closed !== undefined).length >= count) return
      yield* pause(20)
    }
  }).pipe(bounded)

layer(TestUpstream.layer, { excludeTestServices: true })("a streamed answer", (it) => {
  describe.each(["undici", "fetch"] as const)("through %s", (transport) => {
    const api = through[transport]

    it.effect("is read to its end, and its connection is used again", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.answer({ bodyBytes: 300_000 })]))
        const payments = yield* api(listener, once)
        for (let call = 0; call < 5; call++) assert.strictEqual(yield* bounded(size(payments)), 300_000)
        assert.isAtMost((yield* upstream.facts(listener)).connectionsOpened, 2)
      })
    )

    it.effect("that is cut off fails while it is read", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.truncatedBody({ end: "close" }))
        const { tag } = yield* seen(size(yield* api(listener, once)))
        assert.include(["ResponseTruncated", "ConnectionReset", "ConnectionClosed"], tag)
      })
    )

    it.effect("comes after redirects, whose own bodies leave nothing open", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const files = yield* upstream.listen(Behaviour.http([Behaviour.echo]))
        const listener = yield* upstream.listen(
          Behaviour.http([
            Behaviour.answer({ status: 302, headers: { location: `${files.url}/file?a=1` }, body: "moved" })
          ])
        )
        const payments = yield* api(listener, { ...once, redirects: {} })
        const headers = { authorization: "s3cret", accept: "text/csv" }
        const echoed = yield* Effect.scoped(
          Effect.flatMap(payments.streaming.get("/", { headers }), ({ stream }) =>
            Stream.mkString(Stream.decodeText(stream))
          )
        )
        const { headers: seen, path }: Behaviour.Echoed = JSON.parse(echoed)
        assert.deepStrictEqual([path, seen["accept"], seen["authorization"]], ["/file?a=1", "text/csv", undefined])
        assert.include(JSON.stringify(yield* payments.get("/", { headers })), "200")
      })
    )
  })

  it.effect(
    "through fetch that nobody reads any more is aborted on the wire: left, interrupted, released, past its deadline",
    () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(slow)
        const payments = yield* through.fetch(listener, once)
        yield* Effect.scoped(
          Effect.flatMap(payments.streaming.get("/"), ({ stream }) => Stream.runDrain(Stream.take(stream, 1)))
        )
        yield* left(listener, 1)
        const reading = yield* Effect.forkChild(size(payments))
        yield* upstream.awaitRequests(listener, 2)
        yield* pause(50)
        yield* Fiber.interrupt(reading)
        yield* left(listener, 2)
        const scope = yield* Scope.make()
        yield* Scope.provide(payments.streaming.get("/"), scope)
        yield* Scope.close(scope, Exit.void)
        yield* left(listener, 3)
        const hurried = yield* through.fetch(listener, { ...once, deadline: "300 millis" })
        assert.strictEqual((yield* seen(size(hurried))).tag, "DeadlineExceeded")
        yield* left(listener, 4)
        const unread = yield* hurried.streaming.get("/")
        yield* left(listener, 5)
        assert.strictEqual((yield* seen(Stream.runDrain(unread.stream))).tag, "DeadlineExceeded")
      }).pipe(Effect.scoped)
  )
})

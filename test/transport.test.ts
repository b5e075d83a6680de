import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Redacted, Schema, Scope, Stream } from "effect"
import type { HttpPolicy, Request } from "holdfast"
import { LeakCheck } from "holdfast/testing"
import {
  bounded,
  calling,
  callingThrough,
  failure,
  nodeTransport,
  pause,
  racingTimer,
  seen,
  timed
} from "./support/calling.ts"
import type { CallingOptions, Target } from "./support/calling.ts"
import type { ConnectionFact } from "./support/upstream.ts"
import { Behaviour, TestUpstream } from "./support/upstream.ts"

const once: HttpPolicy.Options = { retry: false, attemptTimeout: false, deadline: false, breaker: false }

/** An upstream whose transport is closed by hand. */
const callingUntilClosed = Effect.fnUntraced(function* (target: Target, options: CallingOptions) {
  const scope = yield* Scope.make()
  const payments = yield* callingThrough(nodeTransport(target, options.transport), target, options).pipe(
    Scope.provide(scope)
  )
  return { payments, close: Scope.close(scope, Exit.void) }
})

/** The most connections that were open at once. */
const mostOpen = (connections: ReadonlyArray<ConnectionFact>): number => {
  const changes = connections
    .flatMap(({ closed, openedAtMillis }) => [
      { at: openedAtMillis, by: 1 },
      ...(closed === undefined ? [] : [{ at: closed.atMillis, by: -1 }])
    ])
    .sort((a, b) => a.at - b.at || a.by - b.by)
  let open = 0
  return changes.reduce((most, { by }) => Math.max(most, (open += by)), 0)
}

const allAtOnce = <A, E>(count: number, call: Effect.Effect<A, E>): Effect.Effect<ReadonlyArray<A>, E> =>
  Effect.all(
    Array.from({ length: count }, () => call),
    { concurrency: "unbounded" }
  )

layer(TestUpstream.layer, { excludeTestServices: true })("transport", (it) => {
  describe("connections", () => {
    it.effect("no more are open at once than the pool may have, however many calls there are", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.answer({ delayMillis: 10, body: "ok" })]))
        const payments = yield* calling(listener, { policy: once, transport: { connections: 3 } })
        yield* bounded(allAtOnce(60, payments.get("/")))
        const { connections, connectionsOpened, requestsArrived } = yield* upstream.facts(listener)
        assert.strictEqual(requestsArrived, 60)
        assert.isAtMost(mostOpen(connections), 3)
        assert.strictEqual(connectionsOpened, 3)
      })
    )

    it.effect.each([
      { security: "plain TCP", options: {} },
      { security: "TLS", options: { tls: {} } }
    ])("calls one after another share their connections over $security", ({ options }) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.json({ ok: true })]), options)
        const payments = yield* calling(listener, { policy: once })
        for (let call = 0; call < 30; call++) yield* payments.get("/")
        for (let call = 0; call < 30; call++) yield* payments.post("/", { json: { call } })
        const { connectionsOpened, requestsArrived } = yield* upstream.facts(listener)
        assert.strictEqual(requestsArrived, 60)
        // undici has a connection free one turn after its response: a call made in that turn opens a second one.
        assert.isAtMost(connectionsOpened, 2)
      })
    )

    it.effect("an error status with a short body gives its connection back", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.answer({ status: 500, bodyBytes: 100_000 })]))
        const payments = yield* calling(listener, { policy: once, transport: { connections: 1 } })
        for (let call = 0; call < 10; call++) {
          const { reason } = yield* failure(payments.get("/"))
          if (reason._tag !== "InternalServerError") throw new Error(reason.message)
          assert.deepStrictEqual([reason.body.length, reason.bodyComplete], [16_384, false])
        }
        const { connectionsOpened } = yield* upstream.facts(listener)
        assert.strictEqual(connectionsOpened, 1)
      })
    )

    it.effect.each(Behaviour.ends.filter((end) => end !== "silence").map((end) => ({ end })))(
      "one that the server leaves on reuse ($end) costs a GET one attempt more, and nothing else",
      ({ end }) =>
        Effect.gen(function* () {
          const upstream = yield* TestUpstream
          const listener = yield* upstream.listen(
            Behaviour.faultThen(Behaviour.onReuse({ end }), Behaviour.http([Behaviour.json({ ok: true })]))
          )
          const payments = yield* calling(listener, { transport: { connections: 1 } })
          yield* bounded(payments.get("/first"))
          yield* bounded(payments.get("/second"))
          const { connectionsOpened, requests } = yield* upstream.facts(listener)
          assert.deepStrictEqual(
            requests.map(({ connection, url }) => [url, connection]),
            [
              ["/first", 1],
              ["/second", 1],
              ["/second", 2]
            ]
          )
          assert.strictEqual(connectionsOpened, 2)
        })
    )

    it.effect.each(Behaviour.ends.filter((end) => end !== "silence").map((end) => ({ end })))(
      "one that the server left while it was idle ($end) is not used again, not even by a POST",
      ({ end }) =>
        Effect.gen(function* () {
          const upstream = yield* TestUpstream
          const listener = yield* upstream.listen(
            Behaviour.faultThen(Behaviour.whileIdle({ end }), Behaviour.http([Behaviour.json({ ok: true })]))
          )
          const payments = yield* calling(listener, { policy: once, transport: { connections: 1 } })
          yield* bounded(payments.get("/first"))
          yield* upstream.awaitConnectionsClosed(listener, 1)
          yield* bounded(payments.post("/second", { json: {} }))
          const { requests } = yield* upstream.facts(listener)
          assert.deepStrictEqual(
            requests.map(({ connection, url }) => [url, connection]),
            [
              ["/first", 1],
              ["/second", 2]
            ]
          )
        })
    )

    it.effect("one that nobody uses is closed when keepAlive is over", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.healthy)
        const payments = yield* calling(listener, { policy: once, transport: { keepAlive: "300 millis" } })
        yield* payments.get("/")
        const { connections } = yield* upstream.awaitNoOpenConnections(listener)
        assert.strictEqual(connections[0]?.closed?.closedBy, "client")
      })
    )
  })

  describe("closing the layer", () => {
    it.effect("lets a call in flight finish, and leaves no connection open", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.answer({ delayMillis: 200, body: "late" })]))
        const { close, payments } = yield* callingUntilClosed(listener, { policy: once })
        const call = yield* Effect.forkChild(payments.get("/"))
        yield* upstream.awaitRequests(listener, 1)
        yield* bounded(close)
        assert.strictEqual((yield* Fiber.join(call)).text, "late")
        yield* upstream.awaitNoOpenConnections(listener)
      })
    )

    it.effect("cuts what is not done within drainTimeout, and leaves no connection open", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.hang]))
        const { close, payments } = yield* callingUntilClosed(listener, {
          policy: once,
          transport: { drainTimeout: "150 millis" }
        })
        const call = yield* Effect.forkChild(seen(payments.get("/")))
        yield* upstream.awaitRequests(listener, 1)
        const { isFirst, value: closing } = yield* racingTimer(750)(timed(close))
        assert.isAtLeast(closing.millis, 148)
        assert.isTrue(isFirst)
        assert.strictEqual((yield* Fiber.join(call)).tag, "ConnectionClosed")
        yield* upstream.awaitNoOpenConnections(listener)
      })
    )

    it.effect("does not wait for calls whose callers are gone", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const busy = yield* upstream.listen(Behaviour.http([Behaviour.hang]))
        for (const target of [busy, yield* upstream.unansweredPort]) {
          const { close, payments } = yield* callingUntilClosed(target, { policy: once, transport: { connections: 1 } })
          // One on the wire or on its way to it, two that wait for its place.
          const calls = yield* Effect.forkChild(allAtOnce(3, payments.get("/")))
          yield* pause(50)
          yield* Fiber.interrupt(calls)
          yield* bounded(close)
        }
        yield* upstream.awaitNoOpenConnections(busy)
      })
    )

    it.effect("fails every later call at once, before anything is sent", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.healthy)
        const { close, payments } = yield* callingUntilClosed(listener, { policy: once })
        yield* payments.get("/")
        yield* close
        const { phase, tag } = yield* seen(payments.get("/"))
        assert.deepStrictEqual([tag, phase], ["ConnectionClosed", "connect"])
        const { requestsArrived } = yield* upstream.awaitNoOpenConnections(listener)
        assert.strictEqual(requestsArrived, 1)
      })
    )

    it.effect("gives every timer, socket and fiber of the process back", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const good = yield* upstream.listen(Behaviour.healthy)
        const secure = yield* upstream.listen(Behaviour.healthy, { tls: {} })
        const silent = yield* upstream.listen(Behaviour.http([Behaviour.hang]))
        const slow = yield* upstream.listen(Behaviour.http([Behaviour.answer({ status: 503, delayMillis: 5 })]))
        const half = yield* upstream.listen(Behaviour.truncatedBody({ end: "silence" }))
        const unanswered = yield* upstream.unansweredPort
        yield* Effect.scoped(
          Effect.gen(function* () {
            const options: CallingOptions = {
              policy: { deadline: "500 millis", attemptTimeout: "100 millis" },
              transport: { connections: 2, drainTimeout: "100 millis" }
            }
            const targets: ReadonlyArray<Target> = [good, secure, silent, slow, half, unanswered]
            const upstreams = yield* Effect.forEach(targets, (target) => calling(target, options))
            yield* Effect.forEach(upstreams, (payments) => allAtOnce(8, seen(payments.get("/"))), {
              concurrency: "unbounded"
            })
            const abandoned = yield* Effect.forkChild(
              Effect.forEach(upstreams, (payments) => allAtOnce(4, payments.get("/")), { concurrency: "unbounded" })
            )
            yield* pause(20)
            yield* Fiber.interrupt(abandoned)
          })
        ).pipe(LeakCheck.around({ within: "2 seconds", madeBy: "anyone" }))
        for (const listener of [good, secure, silent, slow, half]) yield* upstream.awaitNoOpenConnections(listener)
      })
    )
  })

  describe("what is sent", () => {
    it.effect("headers arrive as they were given, and those of the request win", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.healthy)
        const payments = yield* calling(listener, {
          policy: once,
          upstream: { headers: { "X-Team": "billing", Authorization: Redacted.make("Bearer upstream") } }
        })
        yield* payments.get("/", {
          headers: { authorization: Redacted.make("Bearer request"), "x-latin": "caf\u00e9", "x-left-out": undefined },
          decode: Schema.Struct({ ok: Schema.Boolean })
        })
        const { requests } = yield* upstream.facts(listener)
        const headers = requests[0]?.headers ?? {}
        assert.deepInclude(headers, {
          "x-team": "billing",
          authorization: "Bearer request",
          "x-latin": "caf\u00e9",
          accept: "application/json",
          host: `127.0.0.1:${listener.port}`
        })
        assert.match(headers["x-request-id"] ?? "", /^[0-9a-f]{16}$/)
        assert.notProperty(headers, "x-left-out")
        assert.notProperty(headers, "content-length")
      })
    )

    const bytes = Uint8Array.from({ length: 300 }, (_, index) => index % 256)
    const latin = (value: Uint8Array): string => Buffer.from(value).toString("latin1")

    const bodies: ReadonlyArray<{
      readonly kind: string
      readonly options: Request.RequestOptions
      readonly contentType: string
      readonly sent: Uint8Array
      readonly announced: boolean
    }> = [
      {
        kind: "json",
        options: { json: { name: "Zo\u00eb", amount: 12 } },
        contentType: "application/json",
        sent: Buffer.from(`{"name":"Zo\u00eb","amount":12}`, "utf8"),
        announced: true
      },
      {
        kind: "form",
        options: { form: { a: "1 & 2", b: true, c: undefined, d: "\u20ac" } },
        contentType: "application/x-www-form-urlencoded",
        sent: Buffer.from("a=1+%26+2&b=true&d=%E2%82%AC", "utf8"),
        announced: true
      },
      {
        kind: "text",
        options: { text: "gr\u00fc\u00dfe" },
        contentType: "text/plain;charset=utf-8",
        sent: Buffer.from("gr\u00fc\u00dfe", "utf8"),
        announced: true
      },
      { kind: "bytes", options: { bytes }, contentType: "application/octet-stream", sent: bytes, announced: true },
      {
        kind: "stream",
        options: {
          stream: Stream.fromIterable([bytes.subarray(0, 100), bytes.subarray(100)]),
          contentType: "image/png"
        },
        contentType: "image/png",
        sent: bytes,
        announced: false
      },
      {
        kind: "part of a larger buffer",
        options: { bytes: new Uint8Array(bytes.buffer, 10, 20) },
        contentType: "application/octet-stream",
        sent: bytes.slice(10, 30),
        announced: true
      }
    ]

    it.effect.each(bodies)("a body of $kind arrives byte by byte", ({ announced, contentType, options, sent }) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.echo]))
        const payments = yield* calling(listener, { policy: once })
        const Echoed = Schema.Struct({ bodyBytes: Schema.Int, bodySha256: Schema.String })
        const echoed = yield* payments.post("/", { ...options, decode: Echoed })
        const digest = new Uint8Array(
          yield* Effect.promise(() => crypto.subtle.digest("SHA-256", Uint8Array.from(sent)))
        )
        assert.deepStrictEqual(echoed, { bodyBytes: sent.length, bodySha256: Buffer.from(digest).toString("hex") })
        const { requests } = yield* upstream.facts(listener)
        const headers = requests[0]?.headers ?? {}
        assert.strictEqual(headers["content-type"], contentType)
        assert.strictEqual(headers["content-length"], announced ? String(sent.length) : undefined)
        assert.strictEqual(headers["transfer-encoding"], announced ? undefined : "chunked")
        assert.strictEqual(latin(sent).length, sent.length)
      })
    )

    it.effect("paths and queries arrive as they were encoded, and a value cannot leave its place", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.healthy)
        const payments = yield* calling(listener, {
          policy: once,
          upstream: { baseUrl: `${listener.url}/v1%2Fx/` }
        })
        yield* payments.get("/a/{id}/b", { params: { id: "../../etc/passwd?x=1#y" } })
        yield* payments.get("/{name}", { params: { name: "\u00fc %\u{1f600}" } })
        yield* payments.get("/", { query: { q: "a b&c=d", list: [1, "zwei"], none: undefined, "k[]": true } })
        yield* payments.get("/already%20encoded//twice")
        const { requests } = yield* upstream.facts(listener)
        assert.deepStrictEqual(
          requests.map(({ url }) => url),
          [
            "/v1%2Fx/a/..%2F..%2Fetc%2Fpasswd%3Fx%3D1%23y/b",
            "/v1%2Fx/%C3%BC%20%25%F0%9F%98%80",
            "/v1%2Fx/?q=a%20b%26c%3Dd&list=1&list=zwei&k%5B%5D=true",
            "/v1%2Fx/already%20encoded//twice"
          ]
        )
      })
    )

    it.effect("a stream that its caller leaves is ended, and its finalizers run", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.hang]))
        const payments = yield* calling(listener, { policy: once, transport: { connections: 1 } })
        const released = yield* Deferred.make<void>()
        const stream = Stream.make(new Uint8Array(10)).pipe(
          Stream.concat(Stream.never),
          Stream.ensuring(Deferred.succeed(released, undefined))
        )
        const call = yield* Effect.forkChild(payments.put("/", { stream }))
        yield* upstream.awaitRequests(listener, 1)
        yield* Fiber.interrupt(call)
        yield* bounded(Deferred.await(released))
        yield* upstream.awaitNoOpenConnections(listener)
      })
    )

    it.effect.each([
      { how: "breaks the connection", step: Behaviour.afterRequestHead({ end: "reset" }), tag: "ConnectionReset" },
      {
        how: "answers before it has read the body",
        step: Behaviour.raw([
          Behaviour.waitForRequestHead,
          Behaviour.write("HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
          Behaviour.sleep(20),
          Behaviour.end("close")
        ]),
        tag: "ContentTooLarge"
      }
    ])("a stream is ended when the server $how", ({ step, tag }) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(step)
        const payments = yield* calling(listener, { policy: once, transport: { connections: 1 } })
        const released = yield* Deferred.make<void>()
        const stream = Stream.make(new Uint8Array(10)).pipe(
          Stream.concat(Stream.never),
          Stream.ensuring(Deferred.succeed(released, undefined))
        )
        assert.strictEqual((yield* seen(payments.put("/", { stream }))).tag, tag)
        yield* bounded(Deferred.await(released))
        yield* upstream.awaitNoOpenConnections(listener)
      })
    )

    it.effect("an upload that goes on may take longer than headersTimeout, which counts from its end", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.json({ ok: true }), Behaviour.hang]))
        const payments = yield* calling(listener, { policy: once, transport: { headersTimeout: "250 millis" } })
        const stream = Stream.range(1, 8).pipe(
          Stream.mapEffect(() => Effect.as(pause(70), new Uint8Array(100))),
          Stream.rechunk(1)
        )
        const { millis, value } = yield* timed(seen(payments.put("/", { stream })))
        assert.strictEqual(value.tag, "Success")
        assert.isAbove(millis, 500)
        const late = yield* seen(payments.put("/", { stream }))
        assert.strictEqual(late.tag, "HeadersTimeout")
        assert.isAtLeast(late.millis, 8 * 70 + 248)
      })
    )

    it.effect("a stream that fails ends the call, and the request on the wire", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.hang]))
        const payments = yield* calling(listener, { transport: { connections: 1 } })
        const stream = Stream.make(new Uint8Array(10)).pipe(Stream.concat(Stream.fail("the file is gone")))
        const error = yield* failure(payments.put("/", { stream }))
        assert.deepStrictEqual([error.attempts, error.reason._tag], [1, "RequestEncodeFailed"])
        const { requests } = yield* upstream.awaitNoOpenConnections(listener)
        assert.isTrue(requests.every(({ body }) => !body.complete))
      })
    )
  })

  describe("what is received", () => {
    it.effect("names of headers are in lower case, and values of a repeated one are joined", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(
          Behaviour.http([Behaviour.answer({ headers: { "X-List": ["a", "b"], "X-One": "1" }, body: "ok" })])
        )
        const payments = yield* calling(listener, { policy: once })
        const { headers } = yield* payments.get("/")
        assert.deepInclude(headers, { "x-list": "a, b", "x-one": "1", "content-length": "2" })
      })
    )

    it.effect("HEAD, 204 and 304 have no body, whatever length they announce, and the next call is well", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(
          Behaviour.http([
            Behaviour.answer({ bodyBytes: 100_000_000 }),
            Behaviour.answer({ status: 204 }),
            Behaviour.answer({ status: 304, headers: { etag: `"v1"` } }),
            Behaviour.answer({ body: "well" })
          ])
        )
        const payments = yield* calling(listener, { policy: once })
        const head = yield* bounded(payments.head("/"))
        assert.deepStrictEqual([head.status, head.headers["content-length"], head.text], [200, "100000000", ""])
        const noContent = yield* bounded(payments.delete("/", { decode: Schema.Void }))
        assert.isUndefined(noContent)
        const notModified = yield* bounded(payments.get("/", { headers: { "if-none-match": `"v1"` } }))
        assert.deepStrictEqual([notModified.status, notModified.headers["etag"], notModified.text], [304, `"v1"`, ""])
        assert.strictEqual((yield* bounded(payments.get("/"))).text, "well")
      })
    )

    it.effect("responses before the response are passed over", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(
          Behaviour.raw([
            Behaviour.waitForRequestHead,
            Behaviour.write("HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"),
            Behaviour.sleep(20),
            Behaviour.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell")
          ])
        )
        const payments = yield* calling(listener, { policy: once })
        const answer = yield* bounded(payments.get("/"))
        assert.deepStrictEqual([answer.status, answer.text, answer.headers["link"]], [200, "well", undefined])
      })
    )

    it.effect("a body up to the limit is whole, and one byte more is ResponseTooLarge", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        for (const chunked of [false, true]) {
          const listener = yield* upstream.listen(
            Behaviour.http([
              Behaviour.answer({ bodyBytes: 50_000, chunked }),
              Behaviour.answer({ bodyBytes: 50_001, chunked }),
              Behaviour.answer({ body: "well" })
            ])
          )
          const payments = yield* calling(listener, { policy: { ...once, limits: { responseBytes: 50_000 } } })
          assert.strictEqual((yield* payments.get("/")).bytes.length, 50_000)
          const { reason } = yield* failure(payments.get("/"))
          if (reason._tag !== "ResponseTooLarge") throw new Error(reason.message)
          assert.strictEqual(reason.limit, 50_000)
          assert.isAbove(reason.size, 50_000)
          assert.strictEqual((yield* payments.get("/")).text, "well")
        }
      })
    )
  })

  it.effect.each([50, 200, 500].map((limit) => ({ limit })))(
    "a headersTimeout of $limit ms is never early, and sooner than a plain timer that is half a second longer",
    ({ limit }) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.hang]))
        const payments = yield* calling(listener, { policy: once, transport: { headersTimeout: limit } })
        yield* seen(payments.get("/"))
        const { isFirst, value: outcomes } = yield* racingTimer(limit + 500)(allAtOnce(5, seen(payments.get("/"))))
        assert.deepStrictEqual(
          outcomes.map(({ tag }) => tag),
          outcomes.map(() => "HeadersTimeout")
        )
        assert.isAtLeast(Math.min(...outcomes.map(({ millis }) => millis)), limit - 2)
        assert.isTrue(isFirst)
        yield* upstream.awaitNoOpenConnections(listener)
      })
  )
})

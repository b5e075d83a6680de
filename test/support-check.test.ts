import { spawn } from "node:child_process"
import { once } from "node:events"
import * as http from "node:http"
import * as https from "node:https"
import * as net from "node:net"
import * as tls from "node:tls"
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { assert, describe, it, layer } from "@effect/vitest"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import { SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Cause, Effect, Exit, Layer, Predicate } from "effect"
import { FetchHttpClient } from "effect/http"
import { Otlp } from "effect/observability"
import type { CertificateCase, KeyAndChain } from "./support/certificates.ts"
import { certificateCases, certificates, expectedCode } from "./support/certificates.ts"
import type { Fault } from "./support/faults.ts"
import { connectionFaults, handshakeFaults, malformedResponses, oversizedResponses, overTls } from "./support/faults.ts"
import type { Listener } from "./support/upstream.ts"
import { Behaviour, startUpstream, TestUpstream } from "./support/upstream.ts"
import { OtlpReceiver } from "holdfast/testing"

// ---------------------------------------------------------------------------------------------------------------------
// A client that is Node's own
// ---------------------------------------------------------------------------------------------------------------------

interface Seen {
  readonly status: number | undefined
  readonly headers: http.IncomingHttpHeaders
  readonly bodyBytes: number
  readonly body: string
  /** Codes of every error on the request and on its response. */
  readonly codes: ReadonlyArray<string>
  /** Those errors in words. */
  readonly message: string
  readonly timedOut: boolean
}

interface Ask {
  readonly path?: string
  readonly method?: string
  readonly body?: string
  readonly agent?: http.Agent
  readonly client?: KeyAndChain
  readonly timeoutMillis?: number
}

const codeOf = (error: unknown): string =>
  Predicate.hasProperty(error, "code") && Predicate.isString(error.code) ? error.code : String(error)

const ask = (listener: Pick<Listener, "url"> & Partial<Listener>, options: Ask = {}): Effect.Effect<Seen> =>
  Effect.callback<Seen>((resume) => {
    let response: http.IncomingMessage | undefined
    const chunks: Array<Buffer> = []
    const codes: Array<string> = []
    let message = ""
    let timedOut = false
    // The error of a response may come after its request is closed.
    let open = 1
    const note = (error: unknown): void => {
      codes.push(codeOf(error))
      message += `${codeOf(error)} ${String(error)}\n`
    }
    const request = (listener.url.startsWith("https") ? https : http).request(
      `${listener.url}${options.path ?? "/"}`,
      {
        agent: options.agent ?? false,
        method: options.method ?? "GET",
        ...(listener.trustedRoot === undefined ? {} : { ca: listener.trustedRoot }),
        ...options.client
      },
      (incoming) => {
        response = incoming
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk))
        incoming.on("error", note)
        open += 1
        incoming.once("close", closed)
      }
    )
    const timer = setTimeout(() => {
      timedOut = true
      request.destroy()
    }, options.timeoutMillis ?? 30_000)
    request.on("error", note)
    const closed = (): void => {
      open -= 1
      if (open > 0) return
      clearTimeout(timer)
      const body = Buffer.concat(chunks)
      resume(
        Effect.succeed({
          status: response?.statusCode,
          headers: response?.headers ?? {},
          bodyBytes: body.length,
          body: body.length > 4_096 ? "" : body.toString("utf8"),
          codes,
          message,
          timedOut
        })
      )
    }
    request.once("close", closed)
    request.end(options.body)
    return Effect.sync(() => request.destroy())
  })

const withAgent = <A>(listener: Listener, use: (agent: http.Agent) => Effect.Effect<A>): Effect.Effect<A> =>
  Effect.acquireUseRelease(
    Effect.sync(() =>
      listener.url.startsWith("https")
        ? new https.Agent({ keepAlive: true, maxSockets: 1 })
        : new http.Agent({ keepAlive: true, maxSockets: 1 })
    ),
    use,
    (agent) => Effect.sync(() => agent.destroy())
  )

const pause = (millis: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = setTimeout(() => resume(Effect.void), millis)
    return Effect.sync(() => clearTimeout(timer))
  })

// ---------------------------------------------------------------------------------------------------------------------
// Certificates
// ---------------------------------------------------------------------------------------------------------------------

const handshakeCode = (port: number, ca: string): Effect.Effect<string | undefined> =>
  Effect.callback((resume) => {
    const socket = tls.connect({ port, host: "127.0.0.1", servername: "localhost", ca }, () => {
      socket.destroy()
      resume(Effect.undefined)
    })
    socket.once("error", (error) => resume(Effect.succeed(codeOf(error))))
    return Effect.sync(() => socket.destroy())
  })

const expectedHandshake: Readonly<Record<string, RegExp>> = {
  "beforeClientHello/reset": /ECONNRESET/,
  "beforeClientHello/close": /ECONNRESET/,
  "afterClientHello/reset": /ECONNRESET/,
  "afterClientHello/close": /ECONNRESET/,
  plainHttpOnTlsPort: /wrong version number/,
  tls11Only: /SSL alert number 70/,
  "clientCertificateRequired/TLSv1.2": /SSL alert number 40/,
  "clientCertificateRequired/TLSv1.3": /SSL alert number 116/
}

/** Node's codes of what it cannot parse; nothing: it waits, or answers what could be read. */
const expectedMalformed: Readonly<Record<string, string | undefined>> = {
  garbage: "HPE_INVALID_CONSTANT",
  emptyAnswer: "ECONNRESET",
  badStatusLine: "HPE_INVALID_STATUS",
  unknownProtocol: "HPE_INVALID_CONSTANT",
  badHeader: "HPE_INVALID_HEADER_TOKEN",
  badContentLength: "HPE_INVALID_CONTENT_LENGTH",
  negativeContentLength: "HPE_INVALID_CONTENT_LENGTH",
  twoContentLengths: "HPE_UNEXPECTED_CONTENT_LENGTH",
  lengthAndChunked: "HPE_INVALID_TRANSFER_ENCODING",
  badChunkSize: "HPE_INVALID_CHUNK_SIZE",
  unaskedUpgrade: undefined,
  bodyBeyondLength: "HPE_INVALID_CONSTANT",
  oversizedHeader: "HPE_HEADER_OVERFLOW"
}

const requestOf = (fault: Fault): Ask => ({
  ...(fault.needsRequestBody ? { method: "POST", body: "0123456789" } : {}),
  ...(fault.needsTimeout ? { timeoutMillis: 100 } : {})
})

const headIsSeen = (fault: Fault): boolean => fault.step === "responseBody"

layer(TestUpstream.layer)("upstream", (it) => {
  describe("certificates", () => {
    it.effect.each(certificateCases.map((certificate) => ({ certificate })))(
      "$certificate gives its code",
      ({ certificate }: { readonly certificate: CertificateCase }) =>
        Effect.gen(function* () {
          const upstream = yield* TestUpstream
          const { trustedRoot } = yield* certificates
          const listener = yield* upstream.listen(Behaviour.healthy, { tls: { certificate } })
          assert.strictEqual(yield* handshakeCode(listener.port, trustedRoot), expectedCode[certificate])
          const { connections } = yield* upstream.awaitConnectionsClosed(listener, 1)
          assert.strictEqual(connections[0]?.closed?.closedBy, "client")
        })
    )

    it.effect("a good client certificate is accepted, one of the untrusted root is not", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const { clients } = yield* certificates
        for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
          const listener = yield* upstream.listen(Behaviour.healthy, {
            tls: { clientCertificate: "required", maxVersion }
          })
          assert.strictEqual((yield* ask(listener, { client: clients.good })).status, 200)
          const refused = yield* ask(listener, { client: clients.untrusted })
          assert.deepStrictEqual([refused.status, refused.codes.includes("ECONNRESET")], [undefined, true])
          const { connections } = yield* upstream.awaitConnectionsClosed(listener, 2)
          assert.deepStrictEqual(connections[0]?.tls, { version: maxVersion, clientSubject: "CN=Holdfast Test Client" })
          assert.isUndefined(connections[1]?.tls)
        }
      })
    )
  })

  describe("HTTP", () => {
    it.effect("steps go by ordinal of the request, and the last repeats", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(
          Behaviour.http([Behaviour.status(503, { "retry-after": "2" }), Behaviour.json({ ok: true })])
        )
        const first = yield* ask(listener)
        assert.deepStrictEqual([first.status, first.headers["retry-after"]], [503, "2"])
        assert.strictEqual((yield* ask(listener)).body, `{"ok":true}`)
        assert.strictEqual((yield* ask(listener)).status, 200)
      })
    )

    it.effect("routes have steps of their own, by path and method", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(
          Behaviour.http([Behaviour.status(404)], {
            routes: [
              { path: "/a", method: "POST", steps: [Behaviour.status(201), Behaviour.status(409)] },
              { path: "/a", steps: [Behaviour.status(204)] }
            ]
          })
        )
        const statuses = yield* Effect.forEach(
          [{ path: "/a?x=1" }, { path: "/a", method: "POST" }, { path: "/a", method: "POST" }, { path: "/b" }],
          (request) => Effect.map(ask(listener, request), (seen) => seen.status)
        )
        assert.deepStrictEqual(statuses, [204, 201, 409, 404])
      })
    )

    it.effect("one connection serves many requests, and the facts say what came when", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.echo]))
        const before = performance.timeOrigin + performance.now()
        const echoed = yield* withAgent(listener, (agent) =>
          Effect.gen(function* () {
            yield* ask(listener, { agent, path: "/first" })
            return yield* ask(listener, { agent, path: "/second?x=1", method: "PUT", body: "hello" })
          })
        )
        const facts = yield* upstream.awaitConnectionsClosed(listener, 1)
        const hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        const parsed: unknown = JSON.parse(echoed.body)
        assert.deepInclude(parsed, {
          method: "PUT",
          path: "/second?x=1",
          bodyBytes: 5,
          bodySha256: hello,
          connection: 1,
          request: 2
        })
        assert.deepInclude(facts, {
          connectionsOpened: 1,
          connectionsOpen: 0,
          requestsArrived: 2,
          requestBodiesComplete: 2,
          responsesSent: 2
        })
        const [first, second] = facts.requests
        assert.deepStrictEqual(second?.body, { bytes: 5, sha256: hello, complete: true, text: "hello" })
        assert.strictEqual(second?.headers["host"], `127.0.0.1:${listener.port}`)
        const closedAt = facts.connections[0]?.closed?.atMillis ?? 0
        assert.deepStrictEqual(facts.connections[0]?.closed, { atMillis: closedAt, closedBy: "client", reset: false })
        const after = performance.timeOrigin + performance.now()
        const instants = [before, first?.arrivedAtMillis ?? 0, second?.arrivedAtMillis ?? 0, closedAt, after]
        assert.deepStrictEqual(
          [...instants].sort((a, b) => a - b),
          instants
        )
      })
    )

    it.effect("bodies come in their size, late and in pieces when asked for", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(
          Behaviour.http([
            Behaviour.answer({ bodyBytes: 1_000_000 }),
            Behaviour.answer({ delayMillis: 60, body: "abcd", chunkBytes: 1, chunkDelayMillis: 20, chunked: true }),
            Behaviour.answer({ status: 204 })
          ])
        )
        const large = yield* ask(listener)
        assert.deepStrictEqual([large.bodyBytes, large.headers["content-length"]], [1_000_000, "1000000"])
        const before = performance.now()
        const slow = yield* ask(listener)
        assert.deepStrictEqual([slow.body, slow.headers["transfer-encoding"]], ["abcd", "chunked"])
        assert.isAtLeast(performance.now() - before, 130)
        assert.deepStrictEqual((yield* ask(listener)).status, 204)
      })
    )

    it.effect("hang, reset, close and bytes answer a request that was read", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        for (const tls of [undefined, { certificate: "good" }] as const) {
          const listener = yield* upstream.listen(
            Behaviour.http([
              Behaviour.hang,
              Behaviour.reset,
              Behaviour.close,
              Behaviour.bytes(
                Behaviour.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
                Behaviour.end("close")
              ),
              Behaviour.json("well")
            ]),
            tls === undefined ? {} : { tls }
          )
          const seen = [
            yield* ask(listener, { timeoutMillis: 100 }),
            yield* ask(listener),
            yield* ask(listener),
            yield* ask(listener),
            yield* ask(listener)
          ]
          assert.deepStrictEqual(
            seen.map(({ timedOut }) => timedOut),
            [true, false, false, false, false]
          )
          assert.deepStrictEqual(
            seen.map(({ status }) => status),
            [undefined, undefined, undefined, 200, 200]
          )
          assert.deepStrictEqual(
            seen.map(({ bodyBytes }) => bodyBytes),
            [0, 0, 0, 4, 6]
          )
          assert.match(seen[1]?.message ?? "", /read ECONNRESET/)
          assert.match(seen[2]?.message ?? "", /socket hang up/)
          const facts = yield* upstream.awaitConnectionsClosed(listener, 5)
          assert.deepStrictEqual(
            // Not the last: after an answer to `connection: close`, either side may be the first to leave.
            facts.connections.slice(0, 4).map(({ closed }) => [closed?.closedBy, closed?.reset]),
            [
              ["client", false],
              ["server", true],
              ["server", false],
              ["server", false]
            ]
          )
        }
      })
    )

    it.effect("a client's RST is told from its FIN", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        for (const tls of [undefined, { certificate: "good" }] as const) {
          const listener = yield* upstream.listen(Behaviour.healthy, tls === undefined ? {} : { tls })
          yield* Effect.callback<void>((resume) => {
            const socket = net.connect({ port: listener.port, host: "127.0.0.1" }, () => {
              socket.resetAndDestroy()
            })
            socket.once("close", () => resume(Effect.void))
            socket.on("error", () => {})
          })
          const { connections } = yield* upstream.awaitConnectionsClosed(listener, 1)
          assert.deepInclude(connections[0]?.closed, { closedBy: "client", reset: true })
        }
      })
    )

    it.effect("a listener can change, drop its connections, stop and come back on its port", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.status(500)]))
        yield* withAgent(listener, (agent) =>
          Effect.gen(function* () {
            assert.strictEqual((yield* ask(listener, { agent })).status, 500)
            yield* upstream.become(listener, Behaviour.healthy)
            assert.strictEqual((yield* ask(listener, { agent })).status, 200)
            yield* upstream.endConnections(listener, "close")
            const facts = yield* upstream.awaitNoOpenConnections(listener)
            assert.deepStrictEqual([facts.connectionsOpened, facts.connections[0]?.closed?.closedBy], [1, "server"])
          })
        )
        yield* upstream.stop(listener)
        assert.include((yield* ask(listener)).codes, "ECONNREFUSED")
        const again = yield* upstream.listen(Behaviour.healthy, { port: listener.port })
        assert.strictEqual((yield* ask(again)).status, 200)
      })
    )
  })

  describe("faults", () => {
    it.effect.each([...connectionFaults, ...connectionFaults.map(overTls)])("$name", (fault: Fault) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(fault.behaviour, fault.options)
        const seen = yield* withAgent(listener, (agent) =>
          Effect.gen(function* () {
            if (!fault.firstCallSucceeds) return yield* ask(listener, { ...requestOf(fault), agent })
            assert.strictEqual((yield* ask(listener, { agent })).body, `{"ok":true}`)
            if (fault.name.startsWith("whileIdle")) yield* upstream.awaitConnectionsClosed(listener, 1)
            // The client's side of the close may be a turn behind the server's.
            yield* pause(20)
            return yield* ask(listener, { ...requestOf(fault), agent })
          })
        )
        const facts = yield* upstream.awaitNoOpenConnections(listener)

        // An idle connection that was closed in time costs nothing: Node opens another.
        const recovered = fault.name.startsWith("whileIdle")
        if (!recovered) {
          assert.strictEqual(seen.timedOut, fault.needsTimeout)
          assert.strictEqual(seen.status, headIsSeen(fault) ? 200 : undefined)
          // Node has one code for both ends; only an RST is an error of a system call.
          const systemCall = fault.name.startsWith("duringConnect") ? /(connect|read) ECONNRESET/ : /read ECONNRESET/
          if (fault.end === "reset") assert.match(seen.message, systemCall)
          if (fault.end === "close") assert.match(seen.message, /ECONNRESET .*(socket hang up|aborted)/)
        } else assert.strictEqual(seen.status, 200)

        assert.strictEqual(facts.requestsArrived, fault.step === "accept" ? 0 : fault.firstCallSucceeds ? 2 : 1)
        assert.strictEqual(facts.connections[0]?.closed?.closedBy, fault.end === "silence" ? "client" : "server")
        assert.strictEqual(facts.connections[0]?.closed?.reset, fault.end === "reset")
      })
    )

    it.effect("bytes before the end arrive: 40 of a body of 100", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        for (const end of Behaviour.ends) {
          const listener = yield* upstream.listen(Behaviour.truncatedBody({ end }))
          assert.strictEqual((yield* ask(listener, { timeoutMillis: 500 })).bodyBytes, 40)
        }
      })
    )

    it.effect.each([...malformedResponses])("$name", (fault: Fault) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(fault.behaviour)
        const expected = expectedMalformed[fault.name]
        const seen = yield* ask(listener, expected === undefined ? { timeoutMillis: 200 } : {})
        if (expected === undefined) assert.isUndefined(seen.status)
        else assert.include(seen.codes, expected)
        assert.isFalse(seen.timedOut && expected !== undefined)
      })
    )

    it.effect.each([...oversizedResponses])("$name", (fault: Fault) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(fault.behaviour)
        assert.strictEqual((yield* ask(listener)).bodyBytes, 33_554_432)
      })
    )

    it.effect.each([...handshakeFaults])("$name", (fault: Fault) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(fault.behaviour, fault.options)
        assert.match(listener.url, /^https:/)
        const seen = yield* ask(listener, requestOf(fault))
        assert.strictEqual(seen.timedOut, fault.needsTimeout)
        assert.isUndefined(seen.status)
        const expected = expectedHandshake[fault.name]
        if (expected !== undefined) assert.match(seen.message, expected)
        const certificate = fault.options.tls?.certificate
        if (certificate !== undefined) assert.strictEqual(seen.codes[0], expectedCode[certificate])
        const facts = yield* upstream.awaitNoOpenConnections(listener)
        assert.strictEqual(facts.requestsArrived, 0)
        assert.strictEqual(facts.connections.length, 1)
      })
    )

    it.effect("faultThen heals on the next connection", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(
          Behaviour.faultThen(Behaviour.truncatedBody({ end: "reset" }), Behaviour.http([Behaviour.echo]), 2)
        )
        const outcomes = yield* Effect.forEach([1, 2, 3, 4], () =>
          Effect.map(ask(listener), (seen) => seen.codes.length === 0)
        )
        assert.deepStrictEqual(outcomes, [false, false, true, true])
      })
    )

    it.effect("a port can refuse, and another can leave a connection unanswered", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        assert.deepStrictEqual((yield* ask(yield* upstream.refusedPort)).codes, ["ECONNREFUSED"])
        const unanswered = yield* upstream.unansweredPort
        const connected = yield* Effect.callback<boolean>((resume) => {
          const socket = net.connect({ host: "127.0.0.1", port: unanswered.port }, () => resume(Effect.succeed(true)))
          const timer = setTimeout(() => {
            socket.destroy()
            resume(Effect.succeed(false))
          }, 200)
          socket.on("error", () => {})
          return Effect.sync(() => clearTimeout(timer))
        })
        assert.isFalse(connected)
      })
    )
  })

  it.effect("a wait for facts ends, and says what it waited for", () =>
    Effect.gen(function* () {
      const upstream = yield* TestUpstream
      const listener = yield* upstream.listen(Behaviour.healthy)
      yield* ask(listener)
      const exit = yield* Effect.exit(upstream.awaitFacts(listener, { requestsArrived: 2 }, { withinMillis: 100 }))
      assert.isTrue(Exit.isFailure(exit))
      const message = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
      assert.match(message, /waited 100 ms for \{"requestsArrived":2\}.*"requestsArrived":1/)
    })
  )
})

describe("upstream process", () => {
  it.live("is gone when its scope is closed, and its ports with it", () =>
    Effect.gen(function* () {
      const listener = yield* Effect.scoped(
        Effect.flatMap(startUpstream, (upstream) => upstream.listen(Behaviour.healthy))
      )
      assert.deepStrictEqual((yield* ask(listener)).codes, ["ECONNREFUSED"])
    })
  )

  it.live("does not outlive a parent that is killed", () =>
    Effect.gen(function* () {
      const parent = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(
            process.execPath,
            [
              "--input-type=module",
              "--eval",
              `import { Effect } from "effect"
               import { Behaviour, startUpstream } from ${JSON.stringify(import.meta.resolve("./support/upstream.ts"))}
               await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
                 const upstream = yield* startUpstream
                 const { port } = yield* upstream.listen(Behaviour.raw([]))
                 process.stdout.write(String(port))
                 yield* Effect.sleep("20 seconds")
               })))`
            ],
            { stdio: ["ignore", "pipe", "inherit"], cwd: import.meta.dirname }
          )
        ),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      const port = yield* Effect.promise<number>((signal) =>
        once(parent.stdout, "data", { signal }).then(([chunk]) => Number(chunk))
      )
      // The connection is held by the upstream alone: it closes when that process ends, and not before. Whether the port
      // is gone as well in the same instant, the kernel does not say.
      const closed = yield* Effect.callback<boolean>((resume) => {
        const timer = setTimeout(() => resume(Effect.succeed(false)), 15_000)
        const socket = net.connect({ host: "127.0.0.1", port }, () => parent.kill("SIGKILL"))
        socket.on("error", () => {})
        socket.once("close", () => resume(Effect.succeed(true)))
        return Effect.sync(() => {
          clearTimeout(timer)
          socket.destroy()
        })
      })
      assert.isTrue(closed)
    })
  )
})

// ---------------------------------------------------------------------------------------------------------------------
// OTLP
// ---------------------------------------------------------------------------------------------------------------------

const program = Effect.gen(function* () {
  yield* Effect.annotateCurrentSpan({
    text: "words",
    whole: 42,
    negative: -7,
    broken: 0.5,
    yes: true,
    list: ["a", "b"]
  })
  const inner = yield* Effect.currentSpan.pipe(
    Effect.tap((span) => Effect.sync(() => span.event("half-way", 1_700_000_000_000_000_001n, { step: 2 }))),
    Effect.withSpan("inner", { kind: "client" }),
    Effect.orDie
  )
  yield* Effect.fail("broken on purpose").pipe(
    Effect.withSpan("failing", { links: [{ span: inner, attributes: { why: "because" } }] }),
    Effect.ignore
  )
}).pipe(Effect.withSpan("outer", { kind: "server" }))

type Exporter = (receiver: OtlpReceiver.OtlpReceiver) => Layer.Layer<never>

const effectExporter =
  (make: typeof Otlp.layerJson): Exporter =>
  (receiver) =>
    make({
      baseUrl: receiver.url,
      resource: { serviceName: "checkout", serviceVersion: "1.2.3" },
      tracerExportInterval: "50 millis",
      compression: "gzip"
    }).pipe(Layer.provide(FetchHttpClient.layer))

const sdkExporter: Exporter = (receiver) =>
  NodeSdk.layer(() => ({
    resource: { serviceName: "checkout", serviceVersion: "1.2.3" },
    spanProcessor: new SimpleSpanProcessor(new OTLPTraceExporter({ url: receiver.tracesUrl }))
  }))

const named = (spans: ReadonlyArray<OtlpReceiver.SpanRecord>, name: string): OtlpReceiver.SpanRecord => {
  const found = spans.find((span) => span.name === name)
  if (found === undefined) throw new Error(`no span ${name}`)
  return found
}

describe("OTLP receiver", () => {
  it.live.each([
    {
      exporter: "Effect, JSON",
      contentType: "application/json",
      make: effectExporter(Otlp.layerJson)
    },
    {
      exporter: "Effect, protobuf",
      contentType: "application/x-protobuf",
      make: effectExporter(Otlp.layerProtobuf)
    },
    {
      exporter: "the OpenTelemetry SDK",
      contentType: "application/json",
      make: sdkExporter
    }
  ])("decodes spans of $exporter", ({ contentType, make }) =>
    Effect.gen(function* () {
      const receiver = yield* OtlpReceiver.start
      yield* Effect.provide(program, make(receiver))
      const spans = yield* receiver.awaitSpans(3)
      const outer = named(spans, "outer")
      const inner = named(spans, "inner")
      const failing = named(spans, "failing")

      assert.match(outer.traceId, /^[0-9a-f]{32}$/)
      assert.match(outer.spanId, /^[0-9a-f]{16}$/)
      assert.isUndefined(outer.parentSpanId)
      assert.deepStrictEqual([inner.parentSpanId, inner.traceId], [outer.spanId, outer.traceId])
      assert.deepStrictEqual([outer.kind, inner.kind, failing.kind], ["server", "client", "internal"])
      assert.deepInclude(outer.attributes, {
        text: "words",
        whole: 42,
        negative: -7,
        broken: 0.5,
        yes: true,
        list: ["a", "b"]
      })
      assert.isTrue(outer.startTimeUnixNano <= inner.startTimeUnixNano)
      assert.isTrue(inner.endTimeUnixNano <= outer.endTimeUnixNano)
      assert.isTrue(outer.startTimeUnixNano > 1_700_000_000_000_000_000n)
      assert.strictEqual(inner.events[0]?.name, "half-way")
      assert.strictEqual(inner.events[0]?.timeUnixNano, 1_700_000_000_000_000_001n)
      assert.deepStrictEqual(inner.events[0]?.attributes, { step: 2 })
      assert.deepStrictEqual(failing.links, [
        { traceId: inner.traceId, spanId: inner.spanId, attributes: { why: "because" } }
      ])
      assert.strictEqual(failing.status.code, "error")
      assert.strictEqual(outer.status.code, "ok")
      assert.deepInclude(outer.resource, { "service.name": "checkout", "service.version": "1.2.3" })

      const exports = yield* receiver.exports
      assert.isTrue(exports.every((received) => received.rejected === undefined))
      assert.include(exports.find(({ path }) => path === "/v1/traces")?.contentType, contentType)
    })
  )

  it.live("answers 400 to what is no export, and a wait for spans ends and says so", () =>
    Effect.gen(function* () {
      const receiver = yield* OtlpReceiver.start
      const post = (contentType: string, body: string) =>
        Effect.promise(async () => {
          const response = await fetch(receiver.tracesUrl, {
            method: "POST",
            headers: { "content-type": contentType },
            body
          })
          await response.body?.cancel()
          return response.status
        })
      assert.strictEqual(yield* post("application/json", `{"resourceSpans":[{"scopeSpans":[{"spans":[{}]}]}]}`), 400)
      assert.strictEqual(yield* post("application/x-protobuf", "\u000a\u00ff"), 400)
      assert.strictEqual(yield* post("application/json", "{}"), 200)
      const exit = yield* Effect.exit(
        receiver.awaitSpans((spans) => spans.some(({ name }) => name === "never"), { withinMillis: 100 })
      )
      const message = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
      assert.match(message, /waited 100 ms for spans that satisfy the predicate, got 0 .* in 3 exports, rejected: /)
    })
  )
})

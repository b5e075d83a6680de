/**
 * The ways to call through one policy, held to the same promises: an upstream as an `HttpClient`, an `HttpApi` as a client of one, and a
 * policy on a client that is there already, over each of Effect's clients, those that refuse an error status among them.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { afterAll, assert, describe, it } from "@effect/vitest"
import type { IncomingMessage } from "node:http"
import * as zlib from "node:zlib"
import { Cause, Effect, Exit, Fiber, Layer, Option, Schema, type Scope, Stream, Tracer } from "effect"
import {
  FetchHttpClient,
  Cookies,
  Headers,
  HttpClient,
  HttpClientError,
  HttpClientRequest,
  type HttpClientResponse
} from "effect/http"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { CallError, CircuitBreaker, HttpPolicy, type Reason, Upstream, UpstreamRegistry } from "holdfast"
import { ResilientClient, UpstreamApi, UpstreamClient } from "holdfast/client"
import { NodeTransport } from "holdfast/node"
import { bounded } from "./support/calling.ts"
import { eventually, type Handler, serve } from "./support/direct.ts"

/** What any door answers with. */
interface Answer {
  readonly status: number
  readonly cookies: ReadonlyArray<string>
  readonly body: Effect.Effect<string, unknown>
  readonly stream: Stream.Stream<Uint8Array, unknown>
}

interface Ask {
  readonly method?: "GET" | "PUT" | "POST" | undefined
  readonly path?: string | undefined
  readonly stream?: Stream.Stream<Uint8Array, unknown> | undefined
  readonly headers?: { readonly [name: string]: string } | undefined
}

type Send = (ask?: Ask) => Effect.Effect<Answer, unknown>

interface Door {
  readonly name: string
  /** Whether an error status is an error, and no response. */
  readonly isFiltered?: boolean
  /** Whether a body is read before it is given, and may be read again. */
  readonly isWhole?: boolean
  /** How its calls are named. Default: by their method. */
  readonly operation?: string
  readonly open: (origin: string, policy: HttpPolicy.HttpPolicy) => Effect.Effect<Send, never, Scope.Scope>
}

const sendOf =
  <E>(client: HttpClient.HttpClient.With<E>, base: string): Send =>
  ({ headers = {}, method = "GET", path = "/a", stream } = {}) => {
    const request = HttpClientRequest.make(method)(base + path, { headers })
    return Effect.map(
      client.execute(stream === undefined ? request : HttpClientRequest.bodyStream(request, stream)),
      answerOf
    )
  }

const answerOf = ({ cookies, status, stream, text }: HttpClientResponse.HttpClientResponse): Answer => ({
  status,
  cookies: Cookies.toSetCookieHeaders(cookies),
  body: text,
  stream
})

const clients = {
  fetch: FetchHttpClient.layer,
  undici: NodeHttpClient.layerUndici,
  "node:http": NodeHttpClient.layerNodeHttp
}

const dropIn = (name: keyof typeof clients, isFiltered: boolean): Door => ({
  name: `a policy on ${name}${isFiltered ? " that refuses an error status" : ""}`,
  isFiltered,
  open: (origin, policy) => {
    const below = Layer.effect(
      HttpClient.HttpClient,
      Effect.map(HttpClient.HttpClient, (client) => (isFiltered ? HttpClient.filterStatusOk(client) : client))
    ).pipe(Layer.provide(clients[name]))
    const layer = ResilientClient.layer({ name: "stock", policy }).pipe(Layer.provide(below))
    return Effect.map(Layer.build(layer), (context) => {
      const client = HttpClient.HttpClient.pipe(Effect.provideContext(context), Effect.runSync)
      return sendOf(client, origin)
    })
  }
})

const upstream = (origin: string, policy: HttpPolicy.HttpPolicy) =>
  Effect.gen(function* () {
    const transport = yield* Layer.build(NodeTransport.layer({ connections: 8 }))
    return yield* Effect.provideContext(Upstream.make("stock", { baseUrl: origin, policy }), transport)
  })

const answers = [Schema.String.pipe(HttpApiSchema.asText()), HttpApiSchema.NoContent, HttpApiSchema.Empty(205)] as const

const streamed = { payload: HttpApiSchema.StreamUint8Array(), success: answers }

const Api = HttpApi.make("stock").add(
  HttpApiGroup.make("calls", { topLevel: true }).add(
    HttpApiEndpoint.get("get", "/a", { success: answers }),
    HttpApiEndpoint.put("put", "/a", { success: answers }),
    HttpApiEndpoint.post("post", "/a", { success: answers }),
    HttpApiEndpoint.put("putStream", "/a", streamed),
    HttpApiEndpoint.post("postStream", "/a", streamed)
  )
)

const responseMode = "decoded-and-response"

const sendThrough =
  (client: UpstreamApi.ForApi<typeof Api>): Send =>
  ({ headers, method = "GET", stream } = {}) => {
    const options = { headers }
    const request = { responseMode } as const
    const whole = { GET: client.get, PUT: client.put, POST: client.post }
    const streaming = method === "PUT" ? client.putStream : client.postStream
    const answered =
      stream === undefined ? whole[method](request, options) : streaming({ ...request, payload: stream }, options)
    return Effect.map(answered, ([, response]) => answerOf(response))
  }

const doors: ReadonlyArray<Door> = [
  {
    name: "an API as a client of an upstream",
    isFiltered: true,
    isWhole: true,
    operation: "GET /a",
    open: (origin, policy) =>
      Effect.map(
        Effect.flatMap(upstream(origin, policy), (stock) => UpstreamApi.make(stock, Api)),
        sendThrough
      )
  },
  {
    name: "an upstream as a client",
    open: (origin, policy) => Effect.map(upstream(origin, policy), (stock) => sendOf(UpstreamClient.make(stock), ""))
  },
  {
    name: "an upstream as a plain client",
    open: (origin, policy) =>
      Effect.map(upstream(origin, policy), (stock) => sendOf(UpstreamClient.makePlain(stock), origin))
  },
  ...(["fetch", "undici", "node:http"] as const).flatMap((name) => [dropIn(name, false), dropIn(name, true)])
]

const retry: HttpPolicy.RetryOptions = { backoff: { shape: "constant", base: "5 millis", jitter: "none" } }

/** A server that writes down what comes, and answers by its number. */
const answering = (answers: ReadonlyArray<Handler>) =>
  Effect.gen(function* () {
    const seen: Array<IncomingMessage & { text?: string }> = []
    const serving = yield* serve((request, response) => {
      const one = answers[Math.min(seen.length, answers.length - 1)]
      seen.push(request)
      const parts: Array<Buffer> = []
      request.on("data", (part: Buffer) => parts.push(part))
      request.on("end", () => {
        Object.assign(request, { text: Buffer.concat(parts).toString() })
        one?.(request, response)
      })
    })
    return { ...serving, seen }
  })

const status =
  (code: number, body = "", headers: { readonly [name: string]: string | ReadonlyArray<string> } = {}): Handler =>
  (_, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value as string | Array<string>)
    response.statusCode = code
    response.end(body)
  }

const never: Handler = () => {}

/** A tracer, and the spans that it has made, in their order. */
const recording = () => {
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { spans, tracer }
}

/** What failed a call, wherever the door put it. */
const callError = (exit: Exit.Exit<unknown, unknown>): CallError.CallError | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  const failure = exit.cause.reasons.find(Cause.isFailReason)?.error
  if (failure instanceof CallError.CallError) return failure
  return HttpClientError.isHttpClientError(failure)
    ? Option.getOrUndefined(ResilientClient.callError(failure))
    : undefined
}

const reasonOf = (exit: Exit.Exit<unknown, unknown>): Reason.Reason["_tag"] | undefined => callError(exit)?.reason._tag

/** The status of an exit: of the response, or of the error that was made of it. */
const statusOf = (exit: Exit.Exit<Answer, unknown>): number | undefined => {
  if (Exit.isSuccess(exit)) return exit.value.status
  const failure = exit.cause.reasons.find(Cause.isFailReason)?.error
  if (failure instanceof CallError.CallError) return "status" in failure.reason ? failure.reason.status : undefined
  return HttpClientError.isHttpClientError(failure) && failure.reason._tag === "StatusCodeError"
    ? failure.response?.status
    : undefined
}

/** A promise that every door keeps. */
interface Kept {
  readonly promise: string
  readonly holds: (door: Door) => Effect.Effect<void, unknown, Scope.Scope>
}

const within = bounded

const promises: ReadonlyArray<Kept> = [
  {
    promise: "a failure that may pass is tried again",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin, seen } = yield* answering([status(503), status(503), status(200, "ok")])
        const send = yield* door.open(origin, HttpPolicy.make({ retry }))
        const answer = yield* within(send())
        assert.deepStrictEqual([answer.status, yield* answer.body, seen.length], [200, "ok", 3])
      })
  },
  {
    promise: "a status that is for good is sent once, and given",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin, seen } = yield* answering([status(404, "no such item")])
        const send = yield* door.open(origin, HttpPolicy.make({ retry }))
        const exit = yield* Effect.exit(within(send()))
        assert.deepStrictEqual([statusOf(exit), Exit.isFailure(exit), seen.length], [404, door.isFiltered === true, 1])
        if (Exit.isSuccess(exit)) assert.strictEqual(yield* within(exit.value.body), "no such item")
      })
  },
  {
    promise: "error statuses open the circuit, and it refuses",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin, seen } = yield* answering([status(503)])
        const policy = HttpPolicy.make({ breaker: { trip: [CircuitBreaker.consecutiveFailures(3)] } })
        const send = yield* door.open(origin, policy)
        const tags: Array<string | undefined> = []
        for (let call = 0; call < 5; call++) tags.push(reasonOf(yield* Effect.exit(within(send()))))
        assert.deepStrictEqual(tags.slice(3), ["CircuitOpen", "CircuitOpen"])
        assert.strictEqual(seen.length, 3)
      })
  },
  {
    promise: "what one build has learned, another does not know",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin } = yield* answering([status(503), status(503), status(200)])
        const policy = HttpPolicy.make({ breaker: { trip: [CircuitBreaker.consecutiveFailures(2)] } })
        const first = yield* door.open(origin, policy)
        for (let call = 0; call < 2; call++) yield* Effect.exit(within(first()))
        assert.strictEqual(reasonOf(yield* Effect.exit(within(first()))), "CircuitOpen")
        const second = yield* door.open(origin, policy)
        assert.strictEqual((yield* within(second())).status, 200)
      })
  },
  {
    promise: "a stream that was begun is not sent again",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin, seen } = yield* answering([status(503), status(200)])
        const send = yield* door.open(origin, HttpPolicy.make({ retry }))
        const once = (async function* () {
          yield new TextEncoder().encode("payload")
        })()
        const stream = Stream.fromAsyncIterable(once, (error) => error)
        const exit = yield* Effect.exit(within(send({ method: "PUT", stream })))
        assert.strictEqual(statusOf(exit), 503)
        assert.deepStrictEqual(
          seen.map(({ text }) => text),
          ["payload"]
        )
      })
  },
  {
    promise: "every cookie comes through",
    holds: (door) =>
      Effect.gen(function* () {
        const cookies = ["sid=1; Path=/; HttpOnly", "theme=dark; Expires=Wed, 21 Oct 2026 07:28:00 GMT"]
        const { origin } = yield* answering([status(200, "four", { "set-cookie": cookies })])
        const send = yield* door.open(origin, HttpPolicy.make({}))
        assert.deepStrictEqual((yield* within(send())).cookies, cookies)
      })
  },
  {
    promise: "a status without a body is given, whatever its length says",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin } = yield* answering([status(205, "", { "content-length": "0" }), status(204)])
        const send = yield* door.open(origin, HttpPolicy.make({}))
        for (const code of [205, 204]) assert.strictEqual((yield* within(send())).status, code)
      })
  },
  {
    promise: "a body that is longer than the limit, once unpacked, ends there",
    holds: (door) =>
      Effect.gen(function* () {
        const bomb = zlib.gzipSync(Buffer.alloc(8 * 1024 * 1024))
        const { origin } = yield* answering([
          (request, response) => {
            // a client that unpacks nothing asks for nothing packed
            if (request.headers["accept-encoding"]?.includes("gzip") !== true) {
              response.end(Buffer.alloc(8 * 1024 * 1024))
              return
            }
            response.setHeader("content-encoding", "gzip")
            response.setHeader("content-length", bomb.length)
            response.end(bomb)
          }
        ])
        const send = yield* door.open(origin, HttpPolicy.make({ limits: { responseBytes: 100_000 } }))
        const exit = yield* Effect.exit(within(Effect.flatMap(send(), ({ body }) => body)))
        assert.strictEqual(reasonOf(exit), "ResponseTooLarge")
      })
  },
  {
    promise: "a body without a length that stalls ends with the deadline",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin } = yield* answering([
          (_, response) => {
            response.write("beginning")
          }
        ])
        const send = yield* door.open(origin, HttpPolicy.make({ deadline: "400 millis" }))
        const exit = yield* Effect.exit(within(Effect.flatMap(send(), ({ body }) => body)))
        assert.strictEqual(reasonOf(exit), "DeadlineExceeded")
      })
  },
  {
    promise: "a body that is cut off within the attempt is asked for again",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin, seen } = yield* answering([
          (_, response) => {
            response.setHeader("content-length", 8)
            response.write("half")
            setTimeout(() => response.destroy(), 20)
          },
          status(200, "complete", { "content-length": "8" })
        ])
        const send = yield* door.open(origin, HttpPolicy.make({ retry }))
        assert.deepStrictEqual(
          [yield* within(Effect.flatMap(send(), ({ body }) => body)), seen.length],
          ["complete", 2]
        )
      })
  },
  {
    promise: "the upstream is told how much time it has",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin, seen } = yield* answering([status(503), status(200)])
        const send = yield* door.open(
          origin,
          HttpPolicy.make({ retry, deadline: "20 seconds", deadlineHeader: "x-left" })
        )
        yield* within(send())
        const left = seen.map(({ headers }) => Number(headers["x-left"]))
        assert.strictEqual(left.length, 2)
        // each attempt its own time
        for (const millis of left) assert.isTrue(millis > 0 && millis <= 20_000)
        assert.isAtMost(left[1] ?? 0, left[0] ?? 0)
      })
  },
  {
    promise: "redirects are followed where the policy says so",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin, seen } = yield* answering([status(302, "", { location: "/b" }), status(200, "there")])
        const send = yield* door.open(origin, HttpPolicy.make({ redirects: {} }))
        assert.strictEqual(yield* within(Effect.flatMap(send(), ({ body }) => body)), "there")
        assert.deepStrictEqual(
          seen.map(({ url }) => url),
          ["/a", "/b"]
        )
      })
  },
  {
    promise: "a hedge answers where the first attempt hangs, which is aborted",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin, seen } = yield* answering([never, status(200, "hedged")])
        const hedge = { delay: "50 millis", maximumExtraLoad: 1 } as const
        const send = yield* door.open(origin, HttpPolicy.make({ deadline: "15 seconds", hedge }))
        assert.strictEqual(yield* within(Effect.flatMap(send(), ({ body }) => body)), "hedged")
        yield* within(
          eventually(
            Effect.sync(() => seen[0]?.socket.destroyed),
            (isGone) => isGone === true
          )
        )
      })
  },
  {
    promise: "a caller who leaves takes the exchange with him",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin, seen } = yield* answering([never])
        const send = yield* door.open(origin, HttpPolicy.make({}))
        const call = yield* Effect.forkChild(send())
        yield* within(
          eventually(
            Effect.sync(() => seen.length),
            (length) => length === 1
          )
        )
        yield* Fiber.interrupt(call)
        yield* within(
          eventually(
            Effect.sync(() => seen[0]?.socket.destroyed),
            (isGone) => isGone === true
          )
        )
      })
  },
  {
    promise: "a redirect to another origin goes there, though the path is the same, and takes no secrets along",
    holds: (door) =>
      Effect.gen(function* () {
        const there = yield* answering([status(200, "there")])
        const { origin, seen } = yield* answering([status(302, "", { location: `${there.origin}/a` })])
        const send = yield* door.open(origin, HttpPolicy.make({ redirects: {} }))
        const headers = { authorization: "secret", cookie: "sid=1", "x-hidden": "secret", "x-plain": "shown" }
        const sent = Effect.provideService(send({ headers }), Headers.CurrentRedactedNames, ["x-hidden"])
        assert.strictEqual(yield* within(Effect.flatMap(sent, ({ body }) => body)), "there")
        assert.strictEqual(seen[0]?.headers["x-hidden"], "secret")
        const got = there.seen.map((request) => Object.keys(headers).filter((name) => name in request.headers))
        assert.deepStrictEqual([seen.length, got], [1, [["x-plain"]]])
      })
  },
  {
    promise: "a stream that was begun is not sent on to where a redirect leads, a body that is whole is",
    holds: (door) =>
      Effect.gen(function* () {
        const moved = status(307, "", { location: "/b" })
        const { origin, seen } = yield* answering([moved, moved, status(200, "there")])
        const send = yield* door.open(origin, HttpPolicy.make({ redirects: {} }))
        const stream = Stream.succeed(new TextEncoder().encode("payload"))
        assert.strictEqual(reasonOf(yield* Effect.exit(within(send({ method: "POST", stream })))), "TooManyRedirects")
        assert.strictEqual(seen.length, 1)
        assert.strictEqual((yield* within(send({ method: "POST" }))).status, 200)
      })
  },
  {
    promise: "a 303 of a POST is asked for with a GET, and its body stays behind",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin, seen } = yield* answering([status(303, "", { location: "/a" }), status(200, "there")])
        const send = yield* door.open(origin, HttpPolicy.make({ redirects: {} }))
        const stream = Stream.succeed(new TextEncoder().encode("payload"))
        assert.strictEqual((yield* within(send({ method: "POST", stream }))).status, 200)
        assert.deepStrictEqual(
          seen.map(({ headers, method, text }) => [method, text, headers["content-type"] === undefined]),
          [
            ["POST", "payload", false],
            ["GET", "", true]
          ]
        )
      })
  },
  {
    promise: "an error response that is longer than the limit is judged by its status",
    holds: (door) =>
      Effect.gen(function* () {
        const long = status(503, "x".repeat(50_000), { "content-length": "50000" })
        const { origin, seen } = yield* answering([long, status(200, "ok"), long])
        const policy = HttpPolicy.make({ retry: { ...retry, maxAttempts: 2 }, limits: { responseBytes: 1000 } })
        const send = yield* door.open(origin, policy)
        assert.strictEqual((yield* within(send())).status, 200)
        const exit = yield* Effect.exit(within(send()))
        assert.deepStrictEqual([statusOf(exit), seen.length], [503, 4])
        if (Exit.isFailure(exit)) return
        assert.strictEqual(reasonOf(yield* Effect.exit(within(exit.value.body))), "ResponseTooLarge")
      })
  },
  {
    promise: "where a call and its hedge both fail, a response is given",
    holds: (door) =>
      Effect.gen(function* () {
        let first: (() => void) | undefined
        const { origin, seen } = yield* answering([
          (_, response) => {
            first = () => void response.writeHead(500).end("first")
          },
          (_, response) => {
            first?.()
            setTimeout(() => response.writeHead(502).end("second"), 50)
          }
        ])
        const hedge = { delay: "20 millis", maximumExtraLoad: 1 } as const
        const send = yield* door.open(origin, HttpPolicy.make({ deadline: "15 seconds", hedge }))
        const exit = yield* Effect.exit(within(send()))
        const given = statusOf(exit)
        assert.isTrue(given === 500 || given === 502, `${given}`)
        assert.strictEqual(seen.length, 2)
        if (Exit.isFailure(exit)) return
        assert.strictEqual(yield* within(exit.value.body), given === 500 ? "first" : "second")
      })
  },
  {
    promise: "a body that was read is there once more, or an error, and no defect",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin } = yield* answering([
          (_, response) => {
            response.write("of no ")
            response.end("announced length")
          }
        ])
        const send = yield* door.open(origin, HttpPolicy.make({}))
        const { body, stream } = yield* within(send())
        assert.strictEqual(
          (yield* within(Stream.runCollect(Stream.decodeText(stream)))).join(""),
          "of no announced length"
        )
        if (door.isWhole === true) {
          assert.strictEqual(yield* within(body), "of no announced length")
          return
        }
        for (const read of [Stream.runDrain(stream), body]) {
          const error = yield* Effect.flip(within(read))
          assert.isTrue(HttpClientError.isHttpClientError(error) && error.reason._tag === "DecodeError")
        }
      })
  },
  {
    promise: "a call has a span, and each attempt one of its own, which is the only one that the upstream is told",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin, seen } = yield* answering([status(503), status(200)])
        const send = yield* door.open(origin, HttpPolicy.make({ retry }))
        const { spans, tracer } = recording()
        yield* within(Effect.provideService(send(), Tracer.Tracer, tracer))
        assert.deepStrictEqual(
          spans.map(({ kind, name }) => [kind, name]),
          [
            ["internal", `stock ${door.operation ?? "GET"}`],
            ["client", door.operation ?? "GET"],
            ["client", door.operation ?? "GET"]
          ]
        )
        assert.deepStrictEqual(
          seen.map(({ headersDistinct }) => headersDistinct["traceparent"]),
          spans.slice(1).map(({ spanId, traceId }) => [`00-${traceId}-${spanId}-01`])
        )
        assert.isTrue(spans.every(({ status }) => status._tag === "Ended"))
      })
  },
  {
    promise: "a request that its program wants no spans of has none, nor trace headers where it wants those not sent",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin, seen } = yield* answering([status(200)])
        const send = yield* door.open(origin, HttpPolicy.make({}))
        const { spans, tracer } = recording()
        const told = <A>(sent: Effect.Effect<A, unknown>) => within(Effect.provideService(sent, Tracer.Tracer, tracer))
        yield* told(Effect.provideService(send(), HttpClient.TracerDisabledWhen, () => true))
        assert.deepStrictEqual(spans, [])
        yield* told(Effect.provideService(send(), HttpClient.TracerPropagationEnabled, false))
        assert.strictEqual(spans.length, 2)
        // without a tracer there is nothing to tell
        yield* within(send())
        for (const { headers } of seen)
          assert.deepStrictEqual([headers["traceparent"], headers["b3"]], [undefined, undefined])
      })
  },
  {
    promise: "its circuit is in the registry",
    holds: (door) =>
      Effect.gen(function* () {
        const { origin } = yield* answering([status(200)])
        const registry = UpstreamRegistry.make()
        const opened = door.open(origin, HttpPolicy.make({ breaker: {} }))
        const send = yield* Effect.provideService(opened, UpstreamRegistry.Current, registry)
        yield* within(send())
        const [stock] = yield* registry.list
        assert.strictEqual(stock?.name, "stock")
        assert.deepStrictEqual(
          stock?.endpoints.map(({ breaker, origin }) => [origin, breaker?.state]),
          [[origin, "Closed"]]
        )
      })
  }
]

describe("doors", () => {
  const held = new Map<string, Map<string, string>>()
  for (const { holds, promise } of promises) {
    describe(promise, () => {
      for (const door of doors) {
        it.live(door.name, () =>
          Effect.scoped(holds(door)).pipe(
            Effect.onExit((exit) =>
              Effect.sync(() => {
                const row = held.get(door.name) ?? new Map<string, string>()
                held.set(door.name, row.set(promise, Exit.isSuccess(exit) ? "yes" : "NO"))
              })
            )
          )
        )
      }
    })
  }

  it.live("the program's own RequestInit is kept beside the policy's", () =>
    Effect.gen(function* () {
      const { origin, seen } = yield* answering([status(200)])
      const policy = HttpPolicy.make({ redirects: {} })
      const client = yield* Effect.map(
        Layer.build(ResilientClient.layer({ policy }).pipe(Layer.provide(FetchHttpClient.layer))),
        (context) => Effect.runSync(Effect.provideContext(HttpClient.HttpClient, context))
      )
      const init: RequestInit = { headers: { "x-program": "its own" } }
      yield* within(Effect.provideService(client.get(`${origin}/a`), FetchHttpClient.RequestInit, init))
      assert.strictEqual(seen[0]?.headers["x-program"], "its own")
    })
  )

  afterAll(() => {
    const width = Math.max(...promises.map(({ promise }) => promise.length))
    const lines = promises.map(
      ({ promise }) =>
        `${promise.padEnd(width)}  ${doors.map(({ name }) => (held.get(name)?.get(promise) ?? "-").padEnd(4)).join(" ")}`
    )
    console.log(
      ["the doors, from left to right:", ...doors.map(({ name }, index) => `${index + 1}. ${name}`), "", ...lines].join(
        "\n"
      )
    )
  })
})

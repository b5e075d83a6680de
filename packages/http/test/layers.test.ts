import { Cause, Context, Effect, Exit, Fiber, Layer, Schema, SchemaGetter, Stream } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Reason from "@holdfast/core/Reason"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as AttemptLayer from "../src/AttemptLayer.ts"
import type * as CallLayer from "../src/CallLayer.ts"
import type * as Transport from "../src/Transport.ts"
import * as Upstream from "../src/Upstream.ts"
import * as UpstreamClient from "../src/UpstreamClient.ts"
import { fork, upstream } from "./support/stock.ts"
import { traced } from "./support/tracing.ts"

const { json, status } = ScriptedTransport

const ok = status(200, { body: "ok" })

/** The three ways to ask, and the text of what comes. */
const kinds = {
  whole: (api: Upstream.Upstream) => Effect.map(api.get("/items"), ({ text }) => text),
  streamed: (api: Upstream.Upstream) =>
    Effect.scoped(
      Effect.flatMap(api.streaming.get("/items"), ({ stream }) => Stream.mkString(Stream.decodeText(stream)))
    ),
  client: (api: Upstream.Upstream) => Effect.flatMap(UpstreamClient.make(api).get("/items"), ({ text }) => text)
}

const sentHeaders = (name: string) =>
  Effect.map(ScriptedTransport.seen, ({ requests }) => requests.map(({ headers }) => headers[name]))

const numbered = () => {
  let made = 0
  return AttemptLayer.headers("numbered", () => Effect.sync(() => ({ "x-number": String(++made) })))
}

const everySecond = { backoff: { shape: "constant", base: "1 second", jitter: "none" } } as const

describe.each(["whole", "streamed", "client"] as const)("a layer around the attempts of a %s call", (kind) => {
  const ask = kinds[kind]

  it.effect("has a new header for every attempt", () =>
    upstream(
      { "*": [status(503), status(503), ok] },
      { retry: everySecond },
      { attempt: [numbered()] }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(ask(api))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* Fiber.join(call), "ok")
        assert.deepStrictEqual(yield* sentHeaders("x-number"), ["1", "2", "3"])
      })
    )
  )

  it.effect("sees what the layers before it have made of the request, in the order in which they are written", () => {
    const adding = (name: string) =>
      AttemptLayer.headers(name, ({ request }) =>
        Effect.succeed({ "x-way": `${request.headers["x-way"] ?? ""}${name}` })
      )
    return upstream(
      { "*": [ok] },
      {},
      { attempt: [adding("a"), Effect.succeed(adding("b")), adding("c")] }
    )((api) =>
      Effect.gen(function* () {
        yield* ask(api)
        assert.deepStrictEqual(yield* sentHeaders("x-way"), ["abc"])
      })
    )
  })

  it.effect("tries once more within the attempt, with what it has learned of the answer", () => {
    let token = "old"
    const bearer: AttemptLayer.AttemptLayer = {
      name: "bearer",
      around: ({ request }, next) => {
        const send = Effect.suspend(() => next({ ...request, headers: { ...request.headers, authorization: token } }))
        return Effect.flatMap(send, (head) => {
          if (head.status !== 401) return Effect.succeed(head)
          token = "new"
          return send
        })
      }
    }
    return upstream(
      { "*": [status(401), ok] },
      { retry: false },
      { attempt: [bearer] }
    )((api) =>
      Effect.gen(function* () {
        assert.strictEqual(yield* ask(api), "ok")
        assert.deepStrictEqual(yield* sentHeaders("authorization"), ["old", "new"])
      })
    )
  })

  it.effect("fails with a reason of the catalogue, which is judged like any other", () => {
    let asked = 0
    const unlucky = AttemptLayer.mapRequest("token", ({ request }) =>
      Effect.suspend(() =>
        ++asked < 3
          ? Effect.fail(new Reason.TokenUnavailable({ detail: "the issuer is away" }))
          : Effect.succeed(request)
      )
    )
    return upstream(
      { "*": [ok] },
      { retry: everySecond },
      { attempt: [unlucky] }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(ask(api))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* Fiber.join(call), "ok")
        assert.strictEqual((yield* ScriptedTransport.seen).requests.length, 1)
      })
    )
  })

  it.effect("cannot send what no request may hold", () => {
    const wrong = AttemptLayer.headers("wrong", () => Effect.succeed({ "x-a": "b\r\nx-c: d" }))
    return upstream(
      { "*": [ok] },
      {},
      { attempt: [wrong] }
    )((api) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(ask(api))
        assert.deepInclude(error, { retryStopped: "not-retryable" })
        assert.include(String(error), "headers.x-a")
        assert.strictEqual((yield* ScriptedTransport.seen).requests.length, 0)
      })
    )
  })

  it.effect("is within the time of its attempt, and interrupted with it", () => {
    let interrupted = 0
    const hanging = AttemptLayer.mapRequest("hanging", () =>
      Effect.onInterrupt(Effect.never, () => Effect.sync(() => void interrupted++))
    )
    return upstream(
      { "*": [ok] },
      { attemptTimeout: "1 second", retry: false },
      { attempt: [hanging] }
    )((api) =>
      Effect.gen(function* () {
        const late = yield* fork(Effect.flip(ask(api)))
        yield* TestClock.adjust("1 second")
        assert.include(String(yield* Fiber.join(late)), "1s")
        const left = yield* fork(ask(api))
        yield* Fiber.interrupt(left)
        assert.strictEqual(interrupted, 2)
      })
    )
  })

  it.effect("is not asked by an attempt that a stage refuses", () => {
    let asked = 0
    const counting = AttemptLayer.mapRequest("counting", ({ request }) => Effect.sync(() => (asked++, request)))
    const policy = { breaker: { trip: [CircuitBreaker.consecutiveFailures(1)] } }
    return upstream({ "*": [status(503)] }, policy, { attempt: [counting] })((api) =>
      Effect.gen(function* () {
        yield* Effect.exit(ask(api))
        yield* Effect.exit(ask(api))
        assert.strictEqual(asked, 1)
      })
    )
  })

  it.effect("is not asked where a redirect leads to another origin, which has no right to its credentials", () => {
    const script = { "*": [status(302, { headers: { location: "https://elsewhere.internal/items" } }), ok] }
    return upstream(
      script,
      { redirects: {} },
      { attempt: [numbered()] }
    )((api) =>
      Effect.gen(function* () {
        assert.strictEqual(yield* ask(api), "ok")
        assert.deepStrictEqual(
          (yield* ScriptedTransport.seen).requests.map(({ headers, origin }) => [origin, headers["x-number"]]),
          [
            ["https://stock.internal", "1"],
            ["https://elsewhere.internal", undefined]
          ]
        )
      })
    )
  })
})

describe("a layer around attempts", () => {
  it.effect("is on the span of the call, and tells when it sends again", () => {
    const twice: AttemptLayer.AttemptLayer = {
      name: "twice",
      around: ({ request }, next) => Effect.andThen(next(request), next(request))
    }
    return upstream(
      { "*": [ok] },
      {},
      { attempt: [numbered(), twice] }
    )((api) =>
      Effect.gen(function* () {
        const spans = yield* traced(api.get("/items"))
        const [call] = spans
        assert.strictEqual(call?.attributes["holdfast.attempt_layers"], "numbered, twice")
        assert.include(
          (call?.events ?? []).map(([name]) => name),
          "holdfast.tried_again"
        )
      })
    )
  })

  class Vault extends Context.Service<Vault, { readonly token: string }>()("test/Vault") {}
  class Clerk extends Context.Service<Clerk, object>()("test/Clerk") {}
  class Sealed extends Schema.TaggedError<Sealed>()("Sealed", {}) {}

  it.effect("says in the type of the upstream's layer what it needs, and how it may fail to be made", () =>
    Effect.gen(function* () {
      const bearer = Effect.gen(function* () {
        const { token } = yield* Vault
        if (token === "") return yield* new Sealed()
        return AttemptLayer.headers("bearer", () => Effect.succeed({ authorization: token }))
      })
      class Stock extends Upstream.Service<Stock>()("stock", {
        baseUrl: "https://stock.internal",
        // written in place, with types that the declaration gives
        attempt: [numbered(), bearer, { name: "inline", around: ({ request }, next) => next(request) }],
        call: [Effect.map(Clerk, () => ({ name: "made", around: ({ request }, next) => next(request) }))]
      }) {}
      class Plain extends Upstream.Service<Plain>()("plain", { baseUrl: "https://plain.internal" }) {}
      const plain: Layer.Layer<Plain, never, Transport.Transport> = Plain.layer
      assert.isDefined(plain)
      const layer: Layer.Layer<Stock, Sealed, Transport.Transport | Vault | Clerk> = Stock.layer
      const program = Effect.andThen(
        Stock.use((stock) => stock.get("/items")),
        sentHeaders("authorization")
      )
      const run = (token: string) =>
        program.pipe(
          Effect.provide(
            layer.pipe(
              Layer.provide([Layer.succeed(Vault, { token }), Layer.succeed(Clerk, {})]),
              Layer.provideMerge(ScriptedTransport.layer({ "*": [ok] }))
            )
          )
        )
      assert.deepStrictEqual(yield* run("t-1"), ["t-1"])
      assert.instanceOf(yield* Effect.flip(run("")), Sealed)
    })
  )
})

const changing = (change: Partial<Transport.Request>): Partial<Upstream.Options> => ({
  attempt: [AttemptLayer.mapRequest("changing", ({ request }) => Effect.succeed({ ...request, ...change }))]
})

const elsewhere = (path: string): Partial<Upstream.Options> => ({
  call: [{ name: "elsewhere", around: ({ request }, next) => next({ ...request, path }) }]
})

describe("what a layer makes of a request", () => {
  it.effect.each([
    ["path", changing({ path: "/a b" })],
    ["path", changing({ path: "/a\r\nx: y" })],
    ["path", changing({ path: "/na\u00efve" })],
    ["path", changing({ path: "items" })],
    ["path", changing({ path: "/v1/../admin" })],
    ["path", elsewhere("/a b")],
    ["path", elsewhere("items#1")],
    ["origin", changing({ origin: "https://elsewhere.internal" })],
    ["method", changing({ method: "POST" })],
    ["headers.content-length", changing({ body: "four", headers: { "content-length": "5" } })]
  ] as const)("is refused before anything is touched where it is no request of the upstream: %s", ([place, options]) =>
    upstream(
      { "*": [ok] },
      { retry: {}, breaker: { trip: [CircuitBreaker.consecutiveFailures(1)] } },
      options
    )((api) =>
      Effect.gen(function* () {
        for (let call = 0; call < 2; call++) {
          const error = yield* Effect.flip(api.get("/items"))
          assert.deepInclude(error.reason, { _tag: "RequestEncodeFailed", path: place })
        }
        assert.strictEqual((yield* ScriptedTransport.seen).requests.length, 0)
      })
    )
  )
})

const caching = (): CallLayer.CallLayer => {
  const known = new Map<string, CallLayer.Response>()
  return {
    name: "caching",
    around: ({ operation, request }, next) => {
      const found = known.get(operation)
      if (found !== undefined) return Effect.succeed(found)
      return Effect.tap(next(request), (response) =>
        Effect.sync(() => {
          if (response.body !== undefined) known.set(operation, response)
        })
      )
    }
  }
}

describe("a layer around a call", () => {
  class Item extends Schema.Class<Item>("Item")({ sku: Schema.String }) {}

  it.effect("answers without an attempt, and its answer is decoded like any other", () =>
    upstream(
      { "*": [json({ sku: "A-7" }), status(503)] },
      { retry: false, breaker: { trip: [CircuitBreaker.consecutiveFailures(1)] } },
      { call: [caching()] }
    )((api) =>
      Effect.gen(function* () {
        const get = api.get("/items/{id}", { params: { id: "A-7" }, decode: Item })
        assert.deepStrictEqual([yield* get, yield* get], [new Item({ sku: "A-7" }), new Item({ sku: "A-7" })])
        assert.strictEqual((yield* ScriptedTransport.seen).requests.length, 1)
      })
    )
  )

  it.effect("gives an answer that does not decode as the failure that it is", () => {
    const wrong: CallLayer.CallLayer = {
      name: "wrong",
      around: () => Effect.succeed({ status: 200, headers: {}, body: new TextEncoder().encode("{}") })
    }
    return upstream(
      { "*": [ok] },
      {},
      { call: [wrong] }
    )((api) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(api.get("/items", { decode: Item }))
        assert.deepInclude(error, { attempts: 0 })
        assert.strictEqual(error.reason._tag, "ResponseDecodeFailed")
      })
    )
  })

  it.effect.each(["whole", "streamed", "client"] as const)(
    "changes the request of a %s call for all its attempts",
    (kind) => {
      const tenant: CallLayer.CallLayer = {
        name: "tenant",
        around: ({ request }, next) => next({ ...request, headers: { ...request.headers, "x-tenant": "t1" } })
      }
      return upstream(
        { "*": [status(503), ok] },
        { retry: everySecond },
        { call: [tenant] }
      )((api) =>
        Effect.gen(function* () {
          const call = yield* fork(kinds[kind](api))
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* Fiber.join(call), "ok")
          assert.deepStrictEqual(yield* sentHeaders("x-tenant"), ["t1", "t1"])
        })
      )
    }
  )

  it.effect.each(["whole", "streamed", "client"] as const)(
    "answers a %s call with a body of its own, and what came instead is released",
    (kind) => {
      const replacing: CallLayer.CallLayer = {
        name: "replacing",
        around: ({ request }, next) =>
          Effect.as(next(request), { status: 200, headers: {}, body: new TextEncoder().encode("another") })
      }
      return upstream(
        { "*": [ok] },
        { bulkhead: { maxConcurrent: 1, maxQueue: 0 } },
        { call: [replacing] }
      )((api) =>
        Effect.gen(function* () {
          // a place that was kept would refuse the second
          for (let call = 0; call < 2; call++) assert.strictEqual(yield* kinds[kind](api), "another")
        })
      )
    }
  )

  it.effect.each(["whole", "streamed", "client"] as const)(
    "may ask twice, and give either answer to a %s call",
    (kind) =>
      Effect.gen(function* () {
        const answers = { "*": [status(200, { body: "first" }), status(200, { body: "second" })] }
        for (const [given, text] of ["first", "second"].entries()) {
          const twice: CallLayer.CallLayer = {
            name: "twice",
            around: ({ request }, next) =>
              Effect.flatMap(next(request), (first) =>
                Effect.map(next(request), (second) => (given === 0 ? first : second))
              )
          }
          const asked = upstream(answers, { bulkhead: { maxConcurrent: 2, maxQueue: 0 } }, { call: [twice] })
          yield* asked((api) => Effect.map(kinds[kind](api), (got) => assert.strictEqual(got, text)))
        }
      })
  )

  it.effect("cannot give a copy of a streamed answer, which would be without its body", () => {
    const tagging: CallLayer.CallLayer = {
      name: "tagging",
      around: ({ request }, next) =>
        Effect.map(next(request), (response) => ({ ...response, headers: { ...response.headers, "x-tag": "1" } }))
    }
    return upstream(
      { "*": [ok] },
      {},
      { call: [tagging] }
    )((api) =>
      Effect.gen(function* () {
        // what is in memory can be copied
        assert.strictEqual((yield* api.get("/items")).headers["x-tag"], "1")
        const exit = yield* Effect.exit(kinds.streamed(api))
        assert.include(
          Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "",
          "a layer around GET /items gave a response"
        )
      })
    )
  })

  it.effect("is within the deadline with the decoding of its own answer, too", () => {
    const own: CallLayer.CallLayer = {
      name: "own",
      around: () => Effect.succeed({ status: 200, headers: {}, body: new TextEncoder().encode("{}") })
    }
    const Endless = Schema.Unknown.pipe(
      Schema.decodeTo(Schema.Unknown, {
        decode: SchemaGetter.transformEffect(() => Effect.never),
        encode: SchemaGetter.passthrough()
      })
    )
    return upstream(
      { "*": [ok] },
      { deadline: "2 seconds" },
      { call: [own] }
    )((api) =>
      Effect.gen(function* () {
        const late = yield* fork(Effect.flip(api.get("/items", { decode: Endless })))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* Fiber.join(late)).reason._tag, "DeadlineExceeded")
      })
    )
  })

  it.effect("refuses with a reason of its own, before anything is touched", () => {
    const gate: CallLayer.CallLayer = {
      name: "gate",
      around: () => Effect.fail(new Reason.Throttled({ detail: "the error budget is gone" }))
    }
    return upstream(
      { "*": [ok] },
      {},
      { call: [gate] }
    )((api) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(api.get("/items"))
        assert.deepInclude(error, { attempts: 0, retryStopped: "not-retryable" })
        assert.strictEqual(error.reason._tag, "Throttled")
        assert.strictEqual((yield* ScriptedTransport.seen).requests.length, 0)
      })
    )
  })

  it.effect("ends with the call's deadline, and is interrupted with its caller", () => {
    let interrupted = 0
    const hanging: CallLayer.CallLayer = {
      name: "hanging",
      around: () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => void interrupted++))
    }
    return upstream(
      { "*": [ok] },
      { deadline: "2 seconds" },
      { call: [hanging] }
    )((api) =>
      Effect.gen(function* () {
        const late = yield* fork(Effect.flip(api.get("/items")))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* Fiber.join(late)).reason._tag, "DeadlineExceeded")
        const left = yield* fork(api.get("/items"))
        yield* Fiber.interrupt(left)
        assert.strictEqual(interrupted, 2)
      })
    )
  })

  it.effect("gives on what the call failed with, and sees no body of what is streamed", () => {
    const seen: Array<number | undefined> = []
    const watching: CallLayer.CallLayer = {
      name: "watching",
      around: ({ request }, next) =>
        Effect.tap(next(request), ({ body }) => Effect.sync(() => void seen.push(body?.length)))
    }
    return upstream(
      { "*": [ok, ok, status(404)] },
      {},
      { call: [watching] }
    )((api) =>
      Effect.gen(function* () {
        yield* kinds.whole(api)
        yield* kinds.streamed(api)
        assert.strictEqual((yield* Effect.flip(api.get("/items"))).reason._tag, "NotFound")
        assert.deepStrictEqual(seen, [2, undefined])
      })
    )
  })
})

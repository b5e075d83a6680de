import { Cause, Context, Data, Duration, Effect, Exit, Fiber, Layer, Stream } from "effect"
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import type * as Outcome from "@holdfast/core/Outcome"
import * as Reason from "@holdfast/core/Reason"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as AttemptLayer from "../src/AttemptLayer.ts"
import * as CallObserver from "../src/CallObserver.ts"
import * as Endpoints from "../src/Endpoints.ts"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import type * as Transport from "../src/Transport.ts"
import * as Upstream from "../src/Upstream.ts"
import * as UpstreamClient from "../src/UpstreamClient.ts"
import { fork, stage } from "./support/stock.ts"
import { traced } from "./support/tracing.ts"

const { after, reset, status } = ScriptedTransport

const a = "https://a.stock.internal"
const b = "https://b.stock.internal"
const c = "https://c.stock.internal"
const ok = status(200, { body: "ok" })

const everySecond = { backoff: { shape: "constant", base: "1 second", jitter: "none" }, budget: false } as const
const fragile = { trip: [{ _tag: "ConsecutiveFailures", failures: 1 }], openTime: "10 seconds" } as const

/** What each origin answers; one that is left out is well. */
type Answers = { readonly [origin: string]: ScriptedTransport.Step }

const answering = (answers: Answers): ScriptedTransport.Script => ({ "*": ({ origin }) => answers[origin] ?? ok })

/** An upstream at several places, under a policy. */
const at =
  (
    script: ScriptedTransport.Script,
    policy: HttpPolicy.Options,
    endpoints: Endpoints.Declared<never, never> = Endpoints.list([a, b]),
    more: Partial<Upstream.Options> = {}
  ) =>
  <A, E>(
    use: (api: Upstream.Upstream) => Effect.Effect<A, E, ScriptedTransport.ScriptedRequests>
  ): Effect.Effect<A, E> =>
    Effect.flatMap(Upstream.make("stock", { endpoints, policy: HttpPolicy.make(policy), ...more }), use).pipe(
      Effect.scoped,
      Effect.provide(ScriptedTransport.layer(script))
    )

const origins = Effect.map(ScriptedTransport.seen, ({ requests }) =>
  requests.map(({ origin }) => new URL(origin).hostname[0]).join("")
)

const kinds = {
  whole: (api: Upstream.Upstream) => Effect.map(api.get("/items"), ({ text }) => text),
  streamed: (api: Upstream.Upstream) =>
    Effect.scoped(
      Effect.flatMap(api.streaming.get("/items"), ({ stream }) => Stream.mkString(Stream.decodeText(stream)))
    ),
  client: (api: Upstream.Upstream) =>
    Effect.flatMap(UpstreamClient.make(api, { failOnStatus: true }).get("/items"), ({ text }) => Effect.orDie(text))
}

describe.each(["whole", "streamed", "client"] as const)("a %s call at several endpoints", (kind) => {
  const ask = kinds[kind]

  it.effect("goes to them in turn", () =>
    at(
      answering({}),
      {},
      Endpoints.list([a, b, c])
    )((api) =>
      Effect.gen(function* () {
        for (let call = 0; call < 7; call++) assert.strictEqual(yield* ask(api), "ok")
        assert.strictEqual(yield* origins, "abcabca")
      })
    )
  )

  it.effect("is retried where it has not been yet, and then where it has", () =>
    at(
      answering({ [a]: status(503), [b]: reset, [c]: status(503) }),
      { retry: { ...everySecond, maxAttempts: 5 } },
      Endpoints.list([a, b, c])
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(Effect.exit(ask(api)))
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(call)
        assert.strictEqual(yield* origins, "abcab")
      })
    )
  )

  it.effect("passes an endpoint whose circuit is open, at no cost, until it is worth a try again", () =>
    at(answering({ [a]: status(500) }), { breaker: fragile, retry: { budget: { ratio: 0, minimumPerSecond: 0.001 } } })(
      (api) =>
        Effect.gen(function* () {
          yield* Effect.exit(ask(api).pipe(HttpPolicy.override({ retry: false })))
          for (let call = 0; call < 4; call++) assert.strictEqual(yield* ask(api), "ok")
          assert.strictEqual(yield* origins, "abbbb")
          assert.deepStrictEqual(
            (yield* api.snapshot).endpoints.map(({ breaker, origin }) => [origin, breaker?.state]),
            [
              [a, "Open"],
              [b, "Closed"]
            ]
          )
          yield* TestClock.adjust("10 seconds")
          for (let call = 0; call < 4; call++) yield* Effect.exit(ask(api).pipe(HttpPolicy.override({ retry: false })))
          // one probe, which fails
          assert.strictEqual((yield* origins).slice(5).replaceAll("b", ""), "a")
        })
    )
  )

  it.effect("that all endpoints refuse fails with the refusal that is over first, and is sent nowhere", () =>
    at(answering({ [a]: status(500), [b]: status(500) }), { breaker: fragile })((api) =>
      Effect.gen(function* () {
        yield* Effect.exit(ask(api))
        yield* TestClock.adjust("4 seconds")
        yield* Effect.exit(ask(api))
        const error = yield* Effect.flip(ask(api))
        assert.deepInclude(error, { attempts: 0, applied: "no" })
        assert.deepInclude(error.reason, { _tag: "CircuitOpen", retryAfter: Duration.seconds(6) })
        assert.strictEqual(yield* origins, "ab")
      })
    )
  )

  it.effect("that was refused waits, where the policy says so, for the first endpoint that takes it again", () =>
    at(answering({ [a]: status(500), [b]: status(500) }), {
      breaker: fragile,
      retry: { ...everySecond, refusals: "wait" }
    })((api) =>
      Effect.gen(function* () {
        const single = HttpPolicy.override({ retry: false })
        yield* Effect.exit(single(ask(api)))
        yield* TestClock.adjust("4 seconds")
        yield* Effect.exit(single(ask(api)))
        const call = yield* fork(Effect.exit(ask(api)))
        yield* TestClock.adjust("5900 millis")
        assert.strictEqual(yield* origins, "ab")
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* origins, "aba")
        yield* Fiber.interrupt(call)
      })
    )
  )

  it.effect("waits for no endpoint as long as it can go to another one", () =>
    at(
      answering({
        [a]: status(503, { headers: { "retry-after": "20" } }),
        [b]: status(503, { headers: { "retry-after": "20" } })
      }),
      { retry: everySecond }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(Effect.exit(ask(api)))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* origins, "ab")
        yield* TestClock.adjust("19 seconds")
        assert.strictEqual(yield* origins, "ab")
        yield* TestClock.adjust("6 seconds")
        assert.strictEqual(yield* origins, "aba")
        yield* Fiber.interrupt(call)
      })
    )
  )

  it.effect("passes an endpoint that is full", () =>
    at(answering({ [a]: after("1 minute", ok) }), { bulkhead: { maxConcurrent: 1, maxQueue: 10 } })((api) =>
      Effect.gen(function* () {
        const slow = yield* fork(ask(api))
        for (let call = 0; call < 4; call++) assert.strictEqual(yield* ask(api), "ok")
        assert.strictEqual(yield* origins, "abbbb")
        yield* Fiber.interrupt(slow)
      })
    )
  )

  it.effect("has its attempt layers wherever it goes", () =>
    at(answering({ [a]: status(503) }), { retry: everySecond }, Endpoints.list([a, b]), {
      attempt: [AttemptLayer.headers("where", ({ request }) => Effect.succeed({ "x-where": request.origin }))]
    })((api) =>
      Effect.gen(function* () {
        const call = yield* fork(ask(api))
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(call)
        const { requests } = yield* ScriptedTransport.seen
        assert.deepStrictEqual(
          requests.map(({ headers, origin }) => [origin, headers["x-where"]]),
          [
            [a, a],
            [b, b]
          ]
        )
      })
    )
  )

  it.effect("tells its attempts apart by where they went, in the trace and to observers", () =>
    Effect.gen(function* () {
      const heard: Array<string> = []
      const observer = CallObserver.layer({
        attemptStarted: (_, { origin }) => heard.push(`started ${origin}`),
        attemptEnded: (_, { origin, outcome }) => heard.push(`${outcome} ${origin}`)
      })
      const spans = yield* traced(
        at(answering({ [a]: status(503) }), { retry: everySecond })((api) =>
          Effect.gen(function* () {
            const call = yield* fork(ask(api))
            yield* TestClock.adjust("2 seconds")
            yield* Fiber.join(call)
          })
        ).pipe(Effect.provide(observer))
      )
      assert.deepStrictEqual(
        spans.map(({ attributes }) => attributes["server.address"] ?? attributes["holdfast.endpoints"]),
        ["list", "a.stock.internal", "b.stock.internal"]
      )
      assert.deepStrictEqual(heard, [`started ${a}`, `failure ${a}`, `started ${b}`, `success ${b}`])
    })
  )
})

describe("a hedge", () => {
  const hedged = { hedge: { delay: "1 second", maximumExtraLoad: 1 } } as const

  it.effect("goes elsewhere", () =>
    at(
      answering({ [a]: ScriptedTransport.hang }),
      hedged
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(kinds.whole(api))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(call), "ok")
        assert.strictEqual(yield* origins, "ab")
      })
    )
  )

  it.effect("is not sent where there is nowhere else to go that is well", () =>
    Effect.gen(function* () {
      const denied = at(answering({ [a]: ScriptedTransport.hang, [b]: status(500) }), { ...hedged, breaker: fragile })(
        (api) =>
          Effect.gen(function* () {
            const first = yield* fork(api.get("/items"))
            yield* Effect.exit(api.get("/items"))
            yield* TestClock.adjust("2 seconds")
            const { denied } = yield* stage(api.stages.hedge).snapshot
            yield* Fiber.interrupt(first)
            return [yield* origins, denied.upstream]
          })
      )
      assert.deepStrictEqual(yield* denied, ["ab", 1])
      const alone = at(
        answering({ [a]: ScriptedTransport.hang }),
        hedged,
        Endpoints.list([a])
      )((api) =>
        Effect.gen(function* () {
          const call = yield* fork(api.get("/items"))
          yield* TestClock.adjust("2 seconds")
          yield* Fiber.interrupt(call)
          return yield* origins
        })
      )
      assert.strictEqual(yield* alone, "a")
    })
  )
})

/** Endpoints that choose by a list of turns, and write down what they hear. */
const recording = (turns: ReadonlyArray<string>) => {
  const heard: Array<string> = []
  const asked: Array<Endpoints.Attempt> = []
  const known = new Map([a, b].map((origin) => [origin, { origin }]))
  let turn = 0
  const endpoints: Endpoints.Endpoints = {
    name: "recording",
    basePath: "",
    list: () => [...known.values()],
    choose: (attempt) => {
      asked.push({ ...attempt, tried: [...attempt.tried] })
      const origin = turns[turn++ % turns.length] ?? a
      const endpoint = known.get(origin)
      if (endpoint === undefined) return new Reason.NoEndpointAvailable({ detail: "none is left" })
      return {
        endpoint,
        settle: (nowMillis: number, outcome: Outcome.Outcome) =>
          heard.push(`${new URL(origin).hostname[0]} ${nowMillis - attempt.nowMillis} ${outcome._tag}`)
      }
    }
  }
  return { asked, endpoints, heard }
}

describe("what chooses", () => {
  it.effect("knows what is asked for, and what the call has tried", () => {
    const { asked, endpoints } = recording([a, b])
    class Tenant extends Context.Service<Tenant, string>()("test/Tenant") {}
    return at(
      answering({ [a]: status(503) }),
      { retry: everySecond, breaker: fragile },
      endpoints
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(
          Effect.provideService(
            api.put("/items/{id}", { params: { id: "1" }, headers: { "X-Key": "k" } }),
            Tenant,
            "t-1"
          )
        )
        yield* TestClock.adjust("2 seconds")
        const { headers } = yield* Fiber.join(call)
        assert.deepStrictEqual(headers, {})
        const [first, second] = asked
        assert.deepInclude(first, { operation: "PUT /items/{id}", method: "PUT", isHedge: false, tried: [] })
        assert.strictEqual(first?.headers["x-key"], "k")
        assert.deepStrictEqual(second?.tried, [{ origin: a }])
        assert.strictEqual(second?.requestId, first?.requestId)
        assert.deepStrictEqual(
          [a, b].map((origin) => second?.hasRoom({ origin })),
          [false, true]
        )
        assert.strictEqual(Context.getOrUndefined(second?.context ?? Context.empty(), Tenant), "t-1")
        assert.isTrue((second?.random() ?? 1) < 1)
      })
    )
  })

  it.effect("hears of each attempt once, when it is over, and what it says of the endpoint", () => {
    const { endpoints, heard } = recording([a])
    const answers: Array<ScriptedTransport.Step> = [
      after("20 millis", ok),
      after("30 millis", status(503)),
      status(404),
      ScriptedTransport.hang
    ]
    return at(
      { "*": answers },
      { breaker: { trip: [{ _tag: "ConsecutiveFailures", failures: 1 }] } },
      endpoints
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(Effect.exit(api.get("/items")))
        yield* TestClock.adjust("20 millis")
        yield* Fiber.join(call)
        assert.deepStrictEqual(heard, ["a 20 Success"])
        const failed = yield* fork(Effect.exit(api.get("/items")))
        yield* TestClock.adjust("30 millis")
        yield* Fiber.join(failed)
        assert.deepStrictEqual(heard.slice(1), ["a 30 Failure"])
        // the circuit is open now: what was not sent says nothing
        yield* Effect.exit(api.get("/items"))
        assert.deepStrictEqual(heard.slice(2), ["a 0 Ignored", "a 0 Ignored"])
      })
    )
  })

  it.effect("hears of an attempt that was interrupted, and of one that nobody guards", () => {
    const { endpoints, heard } = recording([a])
    return at(
      { "*": [ScriptedTransport.hang, status(503), ok] },
      {},
      endpoints
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/items"))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(call)
        yield* Effect.exit(api.get("/items"))
        yield* api.get("/items")
        assert.deepStrictEqual(heard, ["a 1000 Ignored", "a 0 Failure", "a 0 Success"])
      })
    )
  })

  for (const policy of [{}, { bulkhead: { maxConcurrent: 2 } }] satisfies ReadonlyArray<HttpPolicy.Options>) {
    it.effect(
      `hears of a streamed answer when it has been read, and of its headers' time (${Object.keys(policy)})`,
      () => {
        const { endpoints, heard } = recording([a])
        return at(
          { "*": [after("1 second", ScriptedTransport.stream(["1", ScriptedTransport.pause("1 minute"), "2"]))] },
          policy,
          endpoints
        )((api) =>
          Effect.gen(function* () {
            const call = yield* fork(kinds.streamed(api))
            yield* TestClock.adjust("50 seconds")
            assert.deepStrictEqual(heard, [])
            if (api.stagesAt(a)?.bulkhead !== undefined) {
              assert.strictEqual((yield* stage(api.stagesAt(a)?.bulkhead).snapshot).inFlight, 1)
            }
            yield* TestClock.adjust("20 seconds")
            assert.strictEqual(yield* Fiber.join(call), "12")
            assert.deepStrictEqual(heard, ["a 1000 Success"])
            if (api.stagesAt(a)?.bulkhead !== undefined) {
              assert.strictEqual((yield* stage(api.stagesAt(a)?.bulkhead).snapshot).inFlight, 0)
            }
          })
        )
      }
    )
  }

  it.effect("may say that there is nowhere to go: nothing is sent, and it is refused", () => {
    const { endpoints } = recording(["nowhere"])
    const refused: Array<string> = []
    const observer = CallObserver.layer({ refused: (_, reason) => refused.push(reason._tag) })
    return at(
      answering({}),
      {},
      endpoints
    )((api) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(api.get("/items"))
        assert.deepInclude(error, { attempts: 0, applied: "no", code: "ERR_POLICY_NO_ENDPOINT_AVAILABLE" })
        assert.include(error.message, "none is left")
        assert.deepStrictEqual(refused, ["NoEndpointAvailable"])
        assert.strictEqual(yield* origins, "")
      })
    ).pipe(Effect.provide(observer))
  })

  it.effect.each([
    ["undefined", undefined],
    ["null", null],
    ["string", a],
    ["object", { origin: a }],
    ["object", { endpoint: { origin: 3 } }]
  ] as const)("that gives %s is a bug, named, and holds nothing", ([shown, given]) =>
    at(
      answering({}),
      { bulkhead: { maxConcurrent: 1, maxQueue: 0 } },
      {
        ...recording([a]).endpoints,
        name: "mine",
        choose: () => given as never
      }
    )((api) =>
      Effect.gen(function* () {
        for (let call = 0; call < 2; call++) {
          const exit = yield* Effect.exit(api.get("/items"))
          const [defect] = Exit.isFailure(exit) ? exit.cause.reasons.filter(Cause.isDieReason) : []
          assert.strictEqual(
            String(defect?.defect),
            "TypeError: stock: the endpoints `mine` must choose an endpoint with an origin, or give a reason why there is none, " +
              `got ${shown}`
          )
        }
        assert.strictEqual(yield* origins, "")
      })
    )
  )

  it.effect("that throws is a bug of its own, and leaves nothing behind", () =>
    at(
      answering({}),
      { retry: {} },
      {
        ...recording([a]).endpoints,
        choose: () => {
          throw new Error("no map of the world")
        }
      }
    )((api) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(api.get("/items"))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        assert.deepInclude(yield* stage(api.stages.budget).snapshot, { callsInFlight: 0 })
      })
    )
  )
})

describe("the stages of an endpoint", () => {
  it.effect("are kept as long as it is listed, and forgotten a while after", () => {
    const { endpoints } = recording([a, b, b, b])
    let isListed = true
    return at(
      answering({ [a]: status(500) }),
      { breaker: fragile },
      { ...endpoints, list: () => endpoints.list().filter(({ origin }) => isListed || origin !== a) }
    )((api) =>
      Effect.gen(function* () {
        const listed = Effect.map(api.snapshot, ({ endpoints }) => endpoints.map(({ origin }) => origin).toSorted())
        assert.isUndefined(api.stagesAt(b))
        assert.isUndefined(api.stages.breaker)
        yield* Effect.exit(api.get("/items"))
        yield* stage(api.stagesAt(a)?.breaker).forceOpen
        for (let minute = 0; minute < 45; minute++) {
          yield* TestClock.adjust("1 minute")
          yield* Effect.exit(api.get("/items"))
        }
        assert.strictEqual((yield* stage(api.stagesAt(a)?.breaker).snapshot).state, "ForcedOpen")
        yield* TestClock.adjust("2 hours")
        yield* Effect.exit(api.get("/items"))
        assert.deepStrictEqual(yield* listed, [a, b])
        isListed = false
        yield* TestClock.adjust("2 hours")
        yield* Effect.exit(api.get("/items"))
        yield* Effect.exit(api.get("/items"))
        assert.notInclude(yield* listed, a)
      })
    )
  })

  it.effect("keep what they remember over a reload", () =>
    at(answering({ [a]: status(500) }), { breaker: fragile })((api) =>
      Effect.gen(function* () {
        yield* Effect.exit(api.get("/items"))
        const before = api.stagesAt(a)
        yield* api.reload(
          HttpPolicy.make({ breaker: { ...fragile, openTime: "1 minute" }, bulkhead: { maxConcurrent: 3 } })
        )
        assert.notStrictEqual(api.stagesAt(a)?.breaker, before?.breaker)
        assert.strictEqual((yield* stage(api.stagesAt(a)?.breaker).snapshot).state, "Open")
        assert.strictEqual((yield* stage(api.stagesAt(a)?.bulkhead).snapshot).limit, 3)
        // and those of places that come later are the new policy's
        yield* api.get("/items")
        assert.strictEqual((yield* stage(api.stagesAt(b)?.bulkhead).snapshot).limit, 3)
      })
    )
  )

  it.effect("can be forced, each for itself", () =>
    at(answering({}), { breaker: fragile })((api) =>
      Effect.gen(function* () {
        yield* api.get("/items")
        yield* stage(api.stagesAt(a)?.breaker).forceOpen
        for (let call = 0; call < 3; call++) yield* api.get("/items")
        assert.strictEqual(yield* origins, "abbb")
      })
    )
  )
})

describe("a declaration", () => {
  class Stock extends Upstream.Service<Stock>()("stock of several places", {
    endpoints: Endpoints.list([`${a}/v1`, `${b}/v1/`])
  }) {}

  it.effect("has a layer, turns of its own for each that is built, and the path of its base URLs", () =>
    Effect.gen(function* () {
      const asked = Stock.use((stock) => stock.get("/items"))
      for (let built = 0; built < 2; built++) yield* Effect.provide(asked, Layer.fresh(Stock.layer))
      const { requests } = yield* ScriptedTransport.seen
      assert.deepStrictEqual(
        requests.map(({ origin, path }) => origin + path),
        [`${a}/v1/items`, `${a}/v1/items`]
      )
    }).pipe(Effect.provide(ScriptedTransport.layer(answering({}))))
  )

  it.effect("may be put at one place by a test", () =>
    Effect.gen(function* () {
      const asked = Stock.use((stock) => stock.get("/items"))
      yield* Effect.provide(asked, Stock.layerWith({ baseUrl: c }))
      assert.strictEqual(yield* origins, "c")
    }).pipe(Effect.provide(ScriptedTransport.layer(answering({}))))
  )

  it("says in its type what its endpoints need, and how they fail to be made", () => {
    class Registry extends Context.Service<Registry, { readonly origins: ReadonlyArray<string> }>()("test/Registry") {}
    class NoRegistry extends Data.TaggedError("NoRegistry") {}
    const found = Effect.flatMap(Registry, ({ origins }) =>
      origins.length === 0 ? Effect.fail(new NoRegistry()) : Endpoints.list(origins)
    )
    class Found extends Upstream.Service<Found>()("found", { endpoints: found }) {}
    expectTypeOf(Found.layer).toEqualTypeOf<Layer.Layer<Found, NoRegistry, Transport.Transport | Registry>>()
    expectTypeOf(Stock.layer).toEqualTypeOf<Layer.Layer<Stock, never, Transport.Transport>>()
    class Nowhere extends Upstream.Service<Nowhere>()("nowhere", {}) {}
    expectTypeOf(Nowhere.layer).toEqualTypeOf<"declare a baseUrl or endpoints, or use layerWith or layerEffect">()
    const placed = Nowhere.layerWith({ endpoints: found })
    expectTypeOf<Layer.Error<typeof placed>>().toEqualTypeOf<NoRegistry>()
    expectTypeOf<Layer.Services<typeof placed>>().toEqualTypeOf<Transport.Transport | Registry>()
    const layered = Nowhere.layerWith({
      baseUrl: a,
      attempt: [Effect.flatMap(Registry, () => Effect.fail(new NoRegistry()))]
    })
    expectTypeOf<Layer.Error<typeof layered>>().toEqualTypeOf<NoRegistry>()
    expectTypeOf<Layer.Services<typeof layered>>().toEqualTypeOf<Transport.Transport | Registry>()
  })

  it.each([
    [
      () => Endpoints.list([]),
      'Endpoints: list needs at least one base URL: Endpoints.list(["https://a.payments.internal"])'
    ],
    [
      () => Endpoints.list([a, "b.stock.internal"]),
      "Endpoints: list[1] must be an absolute http or https URL, such as https://payments.internal/v1, got no scheme"
    ],
    [() => Endpoints.list([a, `${a}/`]), `Endpoints: ${a} is in the list twice`],
    [
      () => Endpoints.list([a, `${b}/v1`]),
      "Endpoints: all base URLs of a list must have the same path, got none and /v1"
    ],
    [
      () => Upstream.make("stock", { baseUrl: a, endpoints: Endpoints.list([a]) }),
      "Upstream stock has a baseUrl and endpoints; give one of them"
    ],
    [
      () => Upstream.make("stock", { endpoints: [a, b] as never }),
      "Upstream stock: endpoints must be made with Endpoints.list(…), or be an object with name, basePath, list and choose, got an array"
    ],
    [
      () => Upstream.make("stock", {} as never),
      "Upstream stock has no baseUrl and no endpoints; give one of them in the declaration, in layerWith or in layerEffect"
    ]
  ] as const)("that cannot be right is refused: %#", (make, message) => {
    assert.throws(make, RangeError, message)
  })

  it.effect.each([
    [
      Effect.succeed({ choose: 3 }),
      "Upstream stock: the effect of endpoints must make an object with name, basePath, list and choose"
    ],
    [
      { ...recording([a]).endpoints, basePath: "v1/" },
      'Upstream stock: the basePath of its endpoints must be empty, or a path without a slash at its end such as /v1, got "v1/"'
    ]
  ] as const)("whose endpoints turn out not to be any is refused when it is built: %#", ([endpoints, message]) =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(
        Upstream.make("stock", { endpoints: endpoints as Endpoints.Declared<never, never> })
      )
      assert.isTrue(Exit.isFailure(exit))
      const [defect] = Exit.isFailure(exit) ? exit.cause.reasons.filter(Cause.isDieReason) : []
      assert.strictEqual(String(defect?.defect), `RangeError: ${message}`)
    }).pipe(Effect.scoped, Effect.provide(ScriptedTransport.layer({})))
  )
})

describe("a client of an upstream at several endpoints", () => {
  it.effect("takes a URL of any of them, and still goes where it is sent", () =>
    at(
      answering({}),
      {},
      Endpoints.list([a, b])
    )((api) =>
      Effect.gen(function* () {
        const client = UpstreamClient.make(api)
        for (const url of ["/items", `${a}/items`, `${b}/items`]) yield* client.get(url)
        assert.strictEqual(yield* origins, "aba")
        const error = yield* Effect.flip(client.get(`${c}/items`))
        assert.include(error.message, `must be a path, or a URL of ${a}, ${b}; another origin is another upstream`)
      })
    )
  )
})

/** Endpoints that are made anew for every question, as a discovery would. */
const anew = (...origins: ReadonlyArray<string>): Endpoints.Endpoints => {
  let turn = 0
  return {
    name: "anew",
    basePath: "",
    list: () => origins.map((origin) => ({ origin })),
    choose: ({ hasRoom, tried }) => {
      const found =
        origins.find((origin) => hasRoom({ origin }) && !tried.some((one) => one.origin === origin)) ??
        origins[turn++ % origins.length]
      return { endpoint: { origin: found ?? a } }
    }
  }
}

describe("endpoints that are made anew for every question", () => {
  it.effect("are told apart by their origin: a call that all refuse ends, and a hedge goes nowhere twice", () =>
    Effect.gen(function* () {
      const refused: Array<string> = []
      const observer = CallObserver.layer({ refused: (_, reason) => refused.push(reason._tag) })
      yield* at(
        answering({ [a]: status(503), [b]: status(503) }),
        { breaker: fragile },
        anew(a, b)
      )((api) =>
        Effect.gen(function* () {
          for (let call = 0; call < 2; call++) yield* Effect.exit(api.get("/items"))
          refused.length = 0
          assert.strictEqual((yield* Effect.flip(api.get("/items"))).reason._tag, "CircuitOpen")
          assert.isAtMost(refused.length, 3)
          assert.strictEqual(yield* origins, "ab")
        })
      ).pipe(Effect.provide(observer))
      yield* at(
        answering({ [a]: ScriptedTransport.hang }),
        { hedge: { delay: "1 second", maximumExtraLoad: 1 } },
        { ...anew(a), list: () => [{ origin: a }, { origin: b }] }
      )((api) =>
        Effect.gen(function* () {
          const call = yield* fork(api.get("/items"))
          yield* TestClock.adjust("5 seconds")
          assert.strictEqual(yield* origins, "a")
          yield* Fiber.interrupt(call)
        })
      )
    })
  )

  it.effect("cost a call that all of them refuse eight questions at most", () => {
    let asked = 0
    const many = Array.from({ length: 12 }, (_, index) => `https://h${index}.stock.internal`)
    return Effect.gen(function* () {
      const listed = yield* Endpoints.list(many)
      yield* at(
        { "*": [status(503)] },
        { breaker: fragile },
        {
          ...listed,
          choose: (attempt) => {
            asked++
            return listed.choose(attempt)
          }
        }
      )((api) =>
        Effect.gen(function* () {
          for (let call = 0; call < 12; call++) yield* Effect.exit(api.get("/items"))
          asked = 0
          assert.strictEqual((yield* Effect.flip(api.get("/items"))).reason._tag, "CircuitOpen")
          assert.strictEqual(asked, 8)
        })
      )
    })
  })
})

describe("an endpoint that is chosen", () => {
  it.effect.each([
    "https://user:c4n4ry@a.stock.internal",
    "HTTPS://A.stock.internal",
    "https://a.stock.internal:443",
    "https://a.stock.internal/v1",
    "https://a.stock.internal/",
    "ftp://a.stock.internal",
    "https://::1",
    "nonsense",
    ""
  ])("must be an origin as URLs write it, and is not repeated where it is none: %s", (origin) =>
    at(
      answering({}),
      {},
      { ...anew(a), choose: () => ({ endpoint: { origin } }) }
    )((api) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(api.get("/items"))
        const [defect] = Exit.isFailure(exit) ? exit.cause.reasons.filter(Cause.isDieReason) : []
        assert.match(
          String(defect?.defect),
          /^TypeError: stock: the endpoints `anew` chose an origin that is none; it must be scheme, host/
        )
        assert.notInclude(String(defect?.defect), "c4n4ry")
        assert.strictEqual(yield* origins, "")
      })
    )
  )

  it.effect("is waited for once: a second queue would make the limit of the wait twice as long", () =>
    at(
      answering({ [a]: ScriptedTransport.hang, [b]: ScriptedTransport.hang, [c]: ScriptedTransport.hang }),
      { bulkhead: { maxConcurrent: 1, maxQueue: 10, maxWait: "100 millis" } },
      Endpoints.list([a, b, c])
    )((api) =>
      Effect.gen(function* () {
        const held = yield* Effect.forEach([1, 2, 3], () => fork(api.get("/items")))
        const call = yield* fork(Effect.flip(api.get("/items")))
        yield* TestClock.adjust("100 millis")
        assert.strictEqual((yield* Fiber.join(call)).reason._tag, "BulkheadFull")
        yield* Effect.forEach(held, Fiber.interrupt)
      })
    )
  )

  it.effect("is, for a hedge, one that is well: it is no probe of a circuit", () =>
    at(
      {
        "GET /slow": [after("150 millis", ok)],
        "GET /fail": [status(503)],
        "*": [ok]
      },
      {
        hedge: { delay: "50 millis", maximumExtraLoad: 1 },
        breaker: { trip: [{ _tag: "ConsecutiveFailures", failures: 1 }], openTime: "200 millis" }
      },
      Endpoints.list([a, b, c])
    )((api) =>
      Effect.gen(function* () {
        yield* api.get("/items")
        yield* Effect.exit(api.get("/fail"))
        yield* api.get("/items")
        yield* TestClock.adjust("400 millis")
        const call = yield* fork(api.get("/slow"))
        yield* TestClock.adjust("200 millis")
        yield* Fiber.join(call)
        assert.strictEqual(yield* origins, "abcac")
      })
    )
  )

  it.effect("is another than the one that failed last, as long as there is one", () =>
    Effect.gen(function* () {
      for (let others = 0; others < 4; others++) {
        yield* at(
          { "GET /bad": [status(503)], "*": [ok] },
          { retry: { ...everySecond, maxAttempts: 6 } }
        )((api) =>
          Effect.gen(function* () {
            const call = yield* fork(Effect.exit(api.get("/bad")))
            for (let second = 0; second < 5; second++) {
              for (let other = 0; other < (others * (second + 1)) % 3; other++) yield* api.get("/items")
              yield* TestClock.adjust("1 second")
            }
            yield* Fiber.join(call)
            const { requests } = yield* ScriptedTransport.seen
            const tried = requests.filter(({ path }) => path === "/bad").map(({ origin }) => origin)
            assert.isFalse(
              tried.some((origin, index) => origin === tried[index - 1]),
              String(tried)
            )
          })
        )
      }
    })
  )
})

describe("a list of endpoints that cannot be had", () => {
  const broken = () => {
    let isBroken = false
    const { endpoints } = recording([a, b])
    return {
      breaks: (next: boolean) => void (isBroken = next),
      endpoints: {
        ...endpoints,
        list: () => {
          if (isBroken) throw new Error("the registry is down")
          return endpoints.list()
        }
      }
    }
  }

  it.effect("ends no call, and forgets no circuit that an operator forced", () => {
    const { breaks, endpoints } = broken()
    return at(
      answering({}),
      { breaker: fragile, hedge: { delay: "1 second", maximumExtraLoad: 1 } },
      endpoints
    )((api) =>
      Effect.gen(function* () {
        for (let call = 0; call < 2; call++) yield* api.get("/items")
        yield* stage(api.stagesAt(b)?.breaker).forceOpen
        breaks(true)
        for (let round = 0; round < 4; round++) {
          yield* TestClock.adjust("11 minutes")
          yield* Effect.exit(api.get("/items"))
          yield* Effect.exit(UpstreamClient.make(api).get("/items"))
        }
        breaks(false)
        assert.strictEqual((yield* stage(api.stagesAt(b)?.breaker).snapshot).state, "ForcedOpen")
      })
    )
  })

  it.effect("takes down no attempt that was sent", () => {
    const { breaks, endpoints } = broken()
    return at(
      answering({ [a]: after("5 seconds", ok) }),
      { hedge: { delay: "1 second", maximumExtraLoad: 1 } },
      endpoints
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(kinds.whole(api))
        breaks(true)
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(yield* Fiber.join(call), "ok")
      })
    )
  })
})

describe("a reload", () => {
  it.effect("leaves the calls under way the limit in time that they began with", () =>
    at(
      { "*": [status(503), ScriptedTransport.hang] },
      { deadline: "1 minute", attemptTimeout: { limit: "200 millis" }, retry: { ...everySecond, maxAttempts: 2 } }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(Effect.flip(api.get("/items")))
        yield* api.reload(HttpPolicy.make({ deadline: "1 minute" }))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* Fiber.join(call)).reason._tag, "AttemptTimeout")
      })
    )
  )

  it.effect("puts no stage in their way that they did not have", () =>
    at(
      { "GET /slow": [ScriptedTransport.hang], "*": [status(503), ok] },
      { retry: everySecond },
      Endpoints.list([a])
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(kinds.whole(api))
        yield* api.reload(HttpPolicy.make({ bulkhead: { maxConcurrent: 1, maxQueue: 0 } }))
        const slow = yield* fork(api.get("/slow"))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* Fiber.join(call), "ok")
        yield* Fiber.interrupt(slow)
      })
    )
  )
})

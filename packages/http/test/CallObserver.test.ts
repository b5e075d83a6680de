import { Clock, Context, Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import type { CallError } from "@holdfast/core/CallError"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Deadline from "@holdfast/core/Deadline"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as CallObserver from "../src/CallObserver.ts"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as ResilientClient from "../src/ResilientClient.ts"
import * as Transport from "../src/Transport.ts"
import * as Upstream from "../src/Upstream.ts"
import { combined } from "../src/internal/watch/observing.ts"
import { fork, forkAll, sent, stage } from "./support/stock.ts"

const { after, hang, json, pause, status, stream } = ScriptedTransport

const ok = status(200)

const everySecond: HttpPolicy.RetryOptions = { backoff: { shape: "constant", base: "1 second", jitter: "none" } }

type Line = readonly [event: string, what?: unknown]

/** Writes down all that it hears, in a few words. */
const recorder = () => {
  const heard: Array<Line> = []
  const calls = new Set<CallObserver.ObservedCall>()
  const note = (call: CallObserver.ObservedCall, ...line: Line) => {
    calls.add(call)
    heard.push(line)
  }
  const observer: CallObserver.CallObserver = {
    callStarted: (call) => note(call, "callStarted", call.operation),
    callEnded: (call, { attempts, durationMillis, error, outcome }) =>
      note(call, "callEnded", [outcome, durationMillis, attempts, error?.reason._tag]),
    attemptStarted: (call, { isHedge, resend }) => note(call, "attemptStarted", [resend, isHedge]),
    attemptEnded: (call, { durationMillis, isHedge, outcome, reason, resend, status }) =>
      note(call, "attemptEnded", [resend, isHedge, outcome, durationMillis, reason?._tag ?? status]),
    retryScheduled: (call, { delayMillis, reason, resend }) =>
      note(call, "retryScheduled", [reason._tag, delayMillis, resend]),
    refused: (call, reason) => note(call, "refused", reason._tag),
    waited: (call, { millis, stage }) => note(call, "waited", [stage, millis]),
    hedgeStarted: (call, { afterMillis }) => note(call, "hedgeStarted", afterMillis),
    hedgeSettled: (call, { isHedge }) => note(call, "hedgeSettled", isHedge),
    joined: (call) => note(call, "joined")
  }
  return { heard, calls, observer }
}

/** Calls against a script, under a policy, and what an observer hears of them. */
const observed =
  (script: ScriptedTransport.Script, policy: HttpPolicy.Options) =>
  <A, E>(
    use: (
      api: Upstream.Upstream,
      record: ReturnType<typeof recorder>
    ) => Effect.Effect<A, E, ScriptedTransport.ScriptedRequests>
  ): Effect.Effect<A, E> =>
    Effect.gen(function* () {
      const record = recorder()
      const api = yield* Upstream.make("stock", {
        baseUrl: "https://stock.internal/v1",
        policy: HttpPolicy.make(policy)
      }).pipe(Effect.provide(CallObserver.layer(record.observer)))
      return yield* use(api, record)
    }).pipe(Effect.scoped, Effect.provide(ScriptedTransport.layer(script)))

const refusalOf = <A>(call: Effect.Effect<A, CallError>) => Effect.map(Effect.flip(call), ({ reason }) => reason._tag)

describe("observers", () => {
  it.effect.each([
    { how: "side by side", join: (a: Layer.Layer<never>, b: Layer.Layer<never>) => Layer.mergeAll(a, b) },
    { how: "one above the other", join: (a: Layer.Layer<never>, b: Layer.Layer<never>) => Layer.provideMerge(a, b) }
  ])("of several layers $how all hear a call, once each", ({ join }) =>
    Effect.gen(function* () {
      const [one, two] = [recorder(), recorder()]
      yield* Effect.gen(function* () {
        const api = yield* Upstream.make("api", { baseUrl: "https://api.internal" })
        yield* api.get("/a")
      }).pipe(
        Effect.scoped,
        Effect.provide([
          ScriptedTransport.layer({ "*": [ok] }),
          join(CallObserver.layer(one.observer), CallObserver.layer(two.observer))
        ])
      )
      const ended = ({ heard }: ReturnType<typeof recorder>) => heard.filter(([event]) => event === "callEnded").length
      assert.deepStrictEqual([ended(one), ended(two)], [1, 1])
    })
  )
})

describe("who observes a call", () => {
  const transport = ScriptedTransport.layer({ "*": [ok] })
  const ends = ({ heard }: ReturnType<typeof recorder>) => heard.filter(([event]) => event === "callEnded").length

  class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}

  const calling = Effect.gen(function* () {
    const api = yield* Stock
    yield* api.get("/a")
    yield* Effect.scoped(Effect.flatMap(api.streaming.get("/a"), ({ stream }) => Stream.runDrain(stream)))
  })

  it.effect.each([
    { where: "beside the upstream's layer", join: (o: Layer.Layer<never>) => Layer.mergeAll(Stock.layer, o) },
    { where: "above it", join: (o: Layer.Layer<never>) => Layer.provideMerge(o, Stock.layer) },
    { where: "below it", join: (o: Layer.Layer<never>) => Layer.provide(Stock.layer, o) },
    { where: "below it and with the program", join: (o: Layer.Layer<never>) => Layer.provideMerge(Stock.layer, o) }
  ])("an observer whose layer stands $where hears it once", ({ join }) =>
    Effect.gen(function* () {
      const record = recorder()
      const layer = join(CallObserver.layer(record.observer)).pipe(Layer.provide(transport))
      yield* calling.pipe(Effect.provide(layer))
      assert.strictEqual(ends(record), 2)
    })
  )

  it.effect("each fiber brings its own, beside those that the upstream was built with", () =>
    Effect.gen(function* () {
      const [own, first, second] = [recorder(), recorder(), recorder()]
      const layer = Stock.layer.pipe(Layer.provide([transport, CallObserver.layer(own.observer)]))
      yield* Effect.gen(function* () {
        for (const brought of [first, second, first]) {
          yield* calling.pipe(Effect.provide(CallObserver.layer(brought.observer)))
        }
        yield* calling
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual([ends(own), ends(first), ends(second)], [8, 4, 2])
    })
  )

  it.effect("of two that keep what they hear in one place, the upstream's hears, and the fiber's does not", () =>
    Effect.gen(function* () {
      const sink = {}
      const [built, brought, other] = [recorder(), recorder(), recorder()]
      yield* calling.pipe(
        Effect.provide([
          CallObserver.layer({ ...brought.observer, sink }),
          CallObserver.layer({ ...other.observer, sink: {} }),
          Stock.layer.pipe(Layer.provide([transport, CallObserver.layer({ ...built.observer, sink })]))
        ])
      )
      assert.deepStrictEqual([ends(built), ends(brought), ends(other)], [2, 0, 2])
    })
  )

  it.effect("one whose layer is closed hears nothing, though a context that still holds it is used", () =>
    Effect.gen(function* () {
      const record = recorder()
      const held = yield* Effect.provide(Effect.context<never>(), CallObserver.layer(record.observer))
      yield* Effect.provide(calling, held)
      assert.deepStrictEqual(record.heard, [])
      assert.deepStrictEqual(CallObserver.observersOf(held), [])
    }).pipe(Effect.provide(Stock.layer.pipe(Layer.provide(transport))))
  )
})

describe("a call", () => {
  it.effect("is told of from its beginning to its end, with the attempt between", () =>
    observed(
      { "*": [after("20 millis", json({ id: 7 }))] },
      {}
    )((api, { calls, heard }) =>
      Effect.gen(function* () {
        const call = yield* fork(
          api.get("/items/{id}", { params: { id: 7 }, decode: Schema.Struct({ id: Schema.Int }) })
        )
        yield* TestClock.adjust("20 millis")
        yield* Fiber.join(call)
        assert.deepStrictEqual(heard, [
          ["callStarted", "GET /items/{id}"],
          ["attemptStarted", [0, false]],
          ["attemptEnded", [0, false, "success", 20, 200]],
          ["callEnded", ["success", 20, 1, undefined]]
        ])
        assert.strictEqual(calls.size, 1)
        const [told] = calls
        if (told === undefined) return assert.fail("no call")
        const { requests } = yield* ScriptedTransport.seen
        assert.deepStrictEqual(
          [told.upstream, told.method, told.template, told.origin, told.requestId, told.span],
          ["stock", "GET", "/items/{id}", "https://stock.internal", requests[0]?.headers["x-request-id"], undefined]
        )
      })
    )
  )

  it.effect("has the services of the fiber that called, and its instants on that fiber's clock", () =>
    Effect.gen(function* () {
      const Tenant = Context.Reference("Tenant", { defaultValue: () => "nobody" })
      const told: Array<unknown> = []
      yield* TestClock.adjust("5 seconds")
      const api = yield* Upstream.make("stock", { baseUrl: "https://stock.internal" }).pipe(
        Effect.provide(
          CallObserver.layer({
            callStarted: ({ context, startMillis }) => void told.push([Context.get(context, Tenant), startMillis])
          })
        )
      )
      const startMillis = Deadline.nowMillisUnsafe(yield* Clock.Clock)
      yield* api.get("/").pipe(Effect.provideService(Tenant, "acme"))
      assert.deepStrictEqual(told, [["acme", startMillis]])
    }).pipe(Effect.scoped, Effect.provide(ScriptedTransport.layer({ "*": [ok] })))
  )

  it.effect("that cannot be made is heard of as a failure without an attempt", () =>
    observed(
      { "*": [ok] },
      {}
    )((api, { heard }) =>
      Effect.gen(function* () {
        yield* Effect.flip(api.get("/items/{id}", { params: { id: "" } }))
        assert.deepStrictEqual(heard, [
          ["callStarted", "GET /items/{id}"],
          ["callEnded", ["failure", 0, 0, "RequestEncodeFailed"]]
        ])
      })
    )
  )

  it.effect("whose caller leaves is no failure, and neither is its attempt", () =>
    observed(
      { "*": [hang] },
      {}
    )((api, { heard }) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a"))
        yield* TestClock.adjust("3 seconds")
        yield* Fiber.interrupt(call)
        assert.deepStrictEqual(heard.slice(2), [
          ["attemptEnded", [0, false, "interrupted", 3000, undefined]],
          ["callEnded", ["interrupted", 3000, 1, undefined]]
        ])
      })
    )
  )

  it.effect("that dies is a failure without an error", () =>
    observed(
      { "*": () => assert.fail("a bug of the transport") },
      {}
    )((api, { heard }) =>
      Effect.gen(function* () {
        assert.isTrue(Exit.hasDies(yield* Effect.exit(api.get("/a"))))
        assert.deepStrictEqual(heard.slice(2), [
          ["attemptEnded", [0, false, "failure", 0, undefined]],
          ["callEnded", ["failure", 0, 1, undefined]]
        ])
      })
    )
  )
})

describe("attempts", () => {
  it.effect("a retry is announced with its reason and its wait, before it is sent", () =>
    observed(
      { "*": [status(503), ok] },
      { retry: everySecond }
    )((api, { calls, heard }) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a"))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(call)
        assert.deepStrictEqual(heard, [
          ["callStarted", "GET /a"],
          ["attemptStarted", [0, false]],
          ["attemptEnded", [0, false, "failure", 0, "ServiceUnavailable"]],
          ["retryScheduled", ["ServiceUnavailable", 1000, 1]],
          ["attemptStarted", [1, false]],
          ["attemptEnded", [1, false, "success", 0, 200]],
          ["callEnded", ["success", 1000, 2, undefined]]
        ])
        assert.strictEqual(calls.size, 1)
      })
    )
  )

  it.effect("a timeout is the attempt's failure", () =>
    observed(
      { "*": [hang] },
      { attemptTimeout: "2 seconds" }
    )((api, { heard }) =>
      Effect.gen(function* () {
        const call = yield* fork(Effect.flip(api.get("/a")))
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(call)
        assert.deepStrictEqual(heard.slice(2), [
          ["attemptEnded", [0, false, "failure", 2000, "AttemptTimeout"]],
          ["callEnded", ["failure", 2000, 1, "AttemptTimeout"]]
        ])
      })
    )
  )

  it.effect("a hedge is known as one, and its loser is no failure", () =>
    observed(
      { "*": [hang, after("50 millis", ok)] },
      { hedge: { delay: "100 millis" } }
    )((api, { heard }) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a"))
        yield* TestClock.adjust("150 millis")
        yield* Fiber.join(call)
        assert.deepStrictEqual(heard, [
          ["callStarted", "GET /a"],
          ["attemptStarted", [0, false]],
          ["hedgeStarted", 100],
          ["attemptStarted", [1, true]],
          ["attemptEnded", [1, true, "success", 50, 200]],
          ["hedgeSettled", true],
          ["attemptEnded", [0, false, "interrupted", 150, undefined]],
          ["callEnded", ["success", 150, 2, undefined]]
        ])
      })
    )
  )

  it.effect("a hedge that had to wait for its turn is known as one when it is sent", () =>
    observed(
      { "*": [hang, ok] },
      { hedge: { delay: "100 millis" }, bulkhead: { maxConcurrent: 2, maxQueue: 4, maxWait: "1 minute" } }
    )((api, { heard }) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a"))
        yield* TestClock.adjust("99 millis")
        const bulkhead = stage(api.stages.bulkhead)
        const admit = bulkhead.admit
        const held: Array<() => void> = []
        // the bulkhead has room when the hedge asks for it, and none when the hedge comes to it
        Object.assign(bulkhead, {
          admit: (...given: Parameters<typeof admit>) => {
            const other = admit(...given)
            if (other._tag === "Permit") held.push(() => other.release())
            return admit(...given)
          }
        })
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(heard.at(-1), ["hedgeStarted", 100])
        yield* TestClock.adjust("400 millis")
        for (const release of held) release()
        yield* Fiber.join(call)
        assert.deepStrictEqual(heard.slice(2, 7), [
          ["hedgeStarted", 100],
          ["waited", ["bulkhead", 400]],
          ["attemptStarted", [1, true]],
          ["attemptEnded", [1, true, "success", 0, 200]],
          ["hedgeSettled", true]
        ])
      })
    )
  )

  it.effect("a hedge that the first attempt overtakes is settled for the first", () =>
    observed(
      { "*": [after("150 millis", ok), hang] },
      { hedge: { delay: "100 millis" } }
    )((api, { heard }) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a"))
        yield* TestClock.adjust("150 millis")
        yield* Fiber.join(call)
        assert.deepStrictEqual(heard.slice(2), [
          ["hedgeStarted", 100],
          ["attemptStarted", [1, true]],
          ["attemptEnded", [0, false, "success", 150, 200]],
          ["hedgeSettled", false],
          ["attemptEnded", [1, true, "interrupted", 50, undefined]],
          ["callEnded", ["success", 150, 2, undefined]]
        ])
      })
    )
  )

  it.effect("a hedge that is only watched is none, and one whose caller leaves is not settled", () =>
    Effect.gen(function* () {
      yield* observed(
        { "*": [after("150 millis", ok)] },
        { hedge: { delay: "100 millis", mode: "observe" } }
      )((api, { heard }) =>
        Effect.gen(function* () {
          const call = yield* fork(api.get("/a"))
          yield* TestClock.adjust("150 millis")
          yield* Fiber.join(call)
          assert.deepStrictEqual(
            heard.map(([event]) => event),
            ["callStarted", "attemptStarted", "attemptEnded", "callEnded"]
          )
        })
      )
      yield* observed(
        { "*": [hang] },
        { hedge: { delay: "100 millis" } }
      )((api, { heard }) =>
        Effect.gen(function* () {
          const call = yield* fork(api.get("/a"))
          yield* TestClock.adjust("150 millis")
          yield* Fiber.interrupt(call)
          assert.notInclude(
            heard.map(([event]) => event),
            "hedgeSettled"
          )
          assert.deepStrictEqual(heard.at(-1), ["callEnded", ["interrupted", 150, 2, undefined]])
        })
      )
    })
  )

  it.effect("their sizes and the transport's figures are told, and the transport measures for nobody else", () =>
    Effect.gen(function* () {
      const ends: Array<CallObserver.AttemptEnd> = []
      const asked: Array<boolean> = []
      const timings: Transport.PhaseTimings = { connection: "new", dnsMillis: 1.5, waitMillis: 20 }
      const measuring = Layer.succeed(
        Transport.Transport,
        Transport.fromSend(({ onTimings }) =>
          Effect.sync(() => {
            asked.push(onTimings !== undefined)
            onTimings?.(timings)
            return { status: 200, headers: {}, body: new Uint8Array(11), bodyComplete: true }
          })
        )
      )
      const make = (observer: CallObserver.CallObserver) =>
        Upstream.make("stock", { baseUrl: "https://stock.internal" }).pipe(
          Effect.provide([measuring, CallObserver.layer(observer)])
        )
      const api = yield* make({ attemptEnded: (_, end) => void ends.push(end) })
      yield* api.get("/a")
      yield* api.post("/a", { text: "fünf" })
      yield* api.post("/a", { stream: Stream.make(new Uint8Array(3)) })
      assert.deepStrictEqual(
        ends.map(({ requestBytes, responseBytes, timings }) => [requestBytes, responseBytes, timings]),
        [
          [0, 11, timings],
          [5, 11, timings],
          [undefined, 11, timings]
        ]
      )
      yield* (yield* make({ callEnded: () => {} })).get("/a")
      assert.deepStrictEqual(asked, [true, true, true, false])
    }).pipe(Effect.scoped)
  )
})

describe("what is not sent", () => {
  it.effect("an open circuit's refusal is told, and no attempt", () =>
    observed(
      { "*": [status(503)] },
      { breaker: { trip: [CircuitBreaker.consecutiveFailures(1)] } }
    )((api, { heard }) =>
      Effect.gen(function* () {
        yield* refusalOf(api.get("/a"))
        heard.length = 0
        yield* refusalOf(api.get("/a"))
        assert.deepStrictEqual(heard, [
          ["callStarted", "GET /a"],
          ["refused", "CircuitOpen"],
          ["callEnded", ["failure", 0, 0, "CircuitOpen"]]
        ])
      })
    )
  )

  it.effect("the other stages' refusals are told", () =>
    Effect.gen(function* () {
      const policies: ReadonlyArray<readonly [string, HttpPolicy.Options]> = [
        ["RateLimited", { rateLimit: { limit: 1, window: "1 hour", onLimit: "refuse" } }],
        ["BulkheadFull", { bulkhead: { maxConcurrent: 1, maxQueue: 0 } }],
        ["ConcurrencyLimited", { adaptiveConcurrency: { initialLimit: 1, minimumLimit: 1 } }]
      ]
      for (const [tag, policy] of policies) {
        yield* observed(
          { "*": [hang] },
          policy
        )((api, { heard }) =>
          Effect.gen(function* () {
            yield* fork(api.get("/a"))
            yield* refusalOf(api.get("/b"))
            assert.deepStrictEqual(heard.slice(2), [
              ["callStarted", "GET /b"],
              ["refused", tag],
              ["callEnded", ["failure", 0, 0, tag]]
            ])
          })
        )
      }
    })
  )

  it.effect("a deadline that is spent before anything is sent is a refusal, with and without stages", () =>
    Effect.gen(function* () {
      for (const policy of [{}, { breaker: {} }]) {
        yield* observed(
          { "*": [ok] },
          policy
        )((api, { heard }) =>
          Effect.gen(function* () {
            const atMillis = Deadline.nowMillisUnsafe(yield* Clock.Clock)
            const inTime = Effect.provideService(Deadline.Current, { atMillis, budgetMillis: 1000 })
            const error = yield* Effect.flip(inTime(api.get("/a")))
            assert.deepStrictEqual([error.attempts, error.retryStopped], [0, "deadline"])
            assert.deepStrictEqual(heard, [
              ["callStarted", "GET /a"],
              ["refused", "DeadlineExceeded"],
              ["callEnded", ["failure", 0, 0, "DeadlineExceeded"]]
            ])
            assert.strictEqual(yield* sent, 0)
          })
        )
      }
    })
  )

  it.effect(
    "a wait in the bulkhead's queue is told when it is over, whether it ends in a turn, a refusal or a caller who leaves",
    () =>
      observed(
        { "*": [after("300 millis", ok)] },
        { bulkhead: { maxConcurrent: 1, maxQueue: 3, maxWait: "400 millis" } }
      )((api, { heard }) =>
        Effect.gen(function* () {
          yield* fork(api.get("/a"))
          heard.length = 0
          const [first, second, third] = yield* forkAll(3, Effect.exit(api.get("/b")))
          yield* TestClock.adjust("100 millis")
          if (second === undefined || first === undefined || third === undefined) return assert.fail("not forked")
          yield* Fiber.interrupt(second)
          yield* TestClock.adjust("600 millis")
          assert.deepStrictEqual(
            heard.filter(([event]) => event === "waited" || event === "refused"),
            [
              ["waited", ["bulkhead", 100]],
              ["waited", ["bulkhead", 300]],
              ["waited", ["bulkhead", 400]],
              ["refused", "BulkheadFull"]
            ]
          )
          assert.isTrue(Exit.isSuccess(yield* Fiber.join(first)))
          assert.isTrue(Exit.isFailure(yield* Fiber.join(third)))
        })
      )
  )

  it.effect("a wait for the rate limit is told when it is over", () =>
    observed(
      { "*": [ok] },
      { rateLimit: { limit: 1, window: "1 second" } }
    )((api, { heard }) =>
      Effect.gen(function* () {
        yield* api.get("/a")
        heard.length = 0
        const call = yield* fork(api.get("/b"))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(call)
        assert.deepStrictEqual(heard, [
          ["callStarted", "GET /b"],
          ["waited", ["rateLimit", 1000]],
          ["attemptStarted", [0, false]],
          ["attemptEnded", [0, false, "success", 0, 200]],
          ["callEnded", ["success", 1000, 1, undefined]]
        ])
      })
    )
  )
})

describe("a wait for the rate limit", () => {
  it.effect("is told when its caller leaves, as long as it was, and none is told that was none", () =>
    observed(
      { "*": [ok] },
      { rateLimit: { limit: 1, window: "1 second" } }
    )((api, { heard }) =>
      Effect.gen(function* () {
        const waits = () => heard.filter(([event]) => event === "waited")
        yield* TestClock.adjust("10 seconds")
        yield* api.get("/a")
        assert.deepStrictEqual(waits(), [])
        const call = yield* fork(api.get("/b"))
        yield* TestClock.adjust("400 millis")
        yield* Fiber.interrupt(call)
        assert.deepStrictEqual(waits(), [["waited", ["rateLimit", 400]]])
        // its time is the next caller's
        const next = yield* fork(api.get("/c"))
        yield* TestClock.adjust("600 millis")
        yield* Fiber.join(next)
        assert.deepStrictEqual(waits().at(-1), ["waited", ["rateLimit", 600]])
      })
    )
  )
})

describe("shared reads", () => {
  it.effect("a call that joins another is told so, and makes no attempt", () =>
    observed(
      { "*": [after("50 millis", ok)] },
      { singleFlight: {} }
    )((api, { calls, heard }) =>
      Effect.gen(function* () {
        const both = yield* forkAll(2, api.get("/a"))
        assert.deepStrictEqual(heard, [
          ["callStarted", "GET /a"],
          ["attemptStarted", [0, false]],
          ["callStarted", "GET /a"],
          ["joined"]
        ])
        yield* TestClock.adjust("50 millis")
        yield* Effect.forEach(both, Fiber.join)
        assert.deepStrictEqual(heard.slice(5), [
          ["callEnded", ["success", 50, 1, undefined]],
          ["callEnded", ["success", 50, 0, undefined]]
        ])
        assert.strictEqual(calls.size, 2)
      })
    )
  )

  it.effect("too many callers are refused", () =>
    observed(
      { "*": [hang] },
      { singleFlight: { maxCallers: 1 } }
    )((api, { heard }) =>
      Effect.gen(function* () {
        yield* fork(api.get("/a"))
        heard.length = 0
        yield* refusalOf(api.get("/a"))
        assert.deepStrictEqual(
          heard.map(([event]) => event),
          ["callStarted", "refused", "callEnded"]
        )
      })
    )
  )
})

describe("a streamed answer", () => {
  const streaming = observed({ "*": [after("1 second", stream(["one", pause("5 seconds"), "two"]))] }, {})

  it.effect("its attempt ends at the headers, and its call when its body has ended", () =>
    streaming((api, { heard }) =>
      Effect.gen(function* () {
        const call = yield* fork(
          Effect.scoped(Effect.flatMap(api.streaming.get("/a"), (answer) => Stream.runDrain(answer.stream)))
        )
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(heard, [
          ["callStarted", "GET /a"],
          ["attemptStarted", [0, false]],
          ["attemptEnded", [0, false, "success", 1000, 200]]
        ])
        yield* TestClock.adjust("5 seconds")
        yield* Fiber.join(call)
        assert.deepStrictEqual(heard.slice(3), [["callEnded", ["success", 6000, 1, undefined]]])
      })
    )
  )

  it.effect("a body that fails is the call's failure, and a reader who is interrupted is none", () =>
    Effect.gen(function* () {
      yield* observed(
        { "*": [stream(["one"], { end: "truncated" })] },
        {}
      )((api, { heard }) =>
        Effect.gen(function* () {
          yield* Effect.flip(
            Effect.scoped(Effect.flatMap(api.streaming.get("/a"), (answer) => Stream.runDrain(answer.stream)))
          )
          assert.deepStrictEqual(heard.slice(2), [
            ["attemptEnded", [0, false, "success", 0, 200]],
            ["callEnded", ["failure", 0, 1, "ResponseTruncated"]]
          ])
        })
      )
      yield* streaming((api, { heard }) =>
        Effect.gen(function* () {
          const call = yield* fork(
            Effect.scoped(Effect.flatMap(api.streaming.get("/a"), (answer) => Stream.runDrain(answer.stream)))
          )
          yield* TestClock.adjust("3 seconds")
          yield* Fiber.interrupt(call)
          assert.deepStrictEqual(heard.slice(3), [["callEnded", ["interrupted", 3000, 1, undefined]]])
        })
      )
      yield* streaming((api, { heard }) =>
        Effect.gen(function* () {
          const call = yield* fork(
            Effect.scoped(
              Effect.flatMap(api.streaming.get("/a"), (answer) => Stream.runDrain(Stream.take(answer.stream, 1)))
            )
          )
          yield* TestClock.adjust("1 second")
          yield* Fiber.join(call)
          assert.deepStrictEqual(heard.slice(3), [["callEnded", ["success", 1000, 1, undefined]]])
        })
      )
    })
  )

  it.effect("one that fails before its headers ends once", () =>
    observed(
      { "*": [status(503, { body: "busy" })] },
      {}
    )((api, { heard }) =>
      Effect.gen(function* () {
        yield* Effect.flip(Effect.scoped(api.streaming.get("/a")))
        assert.deepStrictEqual(heard.slice(2), [
          ["attemptEnded", [0, false, "failure", 0, "ServiceUnavailable"]],
          ["callEnded", ["failure", 0, 1, "ServiceUnavailable"]]
        ])
      })
    )
  )
})

describe("observers", () => {
  it.effect("all of them hear, and one that throws breaks neither the call nor the others", () =>
    Effect.gen(function* () {
      const one = recorder()
      const other = recorder()
      const broken: CallObserver.CallObserver = {
        callStarted: () => assert.fail("callStarted"),
        attemptStarted: () => assert.fail("attemptStarted"),
        attemptEnded: () => assert.fail("attemptEnded"),
        callEnded: () => assert.fail("callEnded")
      }
      const api = yield* Upstream.make("stock", { baseUrl: "https://stock.internal" }).pipe(
        Effect.provide(
          CallObserver.layer(other.observer).pipe(
            Layer.provideMerge(CallObserver.layer(broken)),
            Layer.provideMerge(CallObserver.layer(one.observer))
          )
        )
      )
      yield* api.get("/a")
      assert.strictEqual(one.heard.length, 4)
      assert.deepStrictEqual(other.heard, one.heard)
    }).pipe(Effect.scoped, Effect.provide(ScriptedTransport.layer({ "*": [ok] })))
  )

  it("together they have what one of them has, and nobody is nothing", () => {
    assert.isUndefined(combined([]))
    const together = combined([{ joined: () => {} }, { callStarted: () => {} }, {}])
    assert.deepStrictEqual(
      Object.entries(together ?? {}).flatMap(([event, listener]) => (listener === undefined ? [] : [event])),
      ["callStarted", "joined"]
    )
  })

  it("one that is an object with methods hears as itself", () => {
    class Counter implements CallObserver.CallObserver {
      count = 0
      callStarted(): void {
        this.count++
      }
    }
    const counter = new Counter()
    const call = { upstream: "stock" } as CallObserver.ObservedCall
    combined([counter])?.callStarted?.(call)
    assert.strictEqual(counter.count, 1)
  })
})

describe("a client with a policy", () => {
  const answers = (statuses: ReadonlyArray<number>) => {
    let requests = 0
    return HttpClient.make((request) =>
      Effect.sync(() =>
        HttpClientResponse.fromWeb(
          request,
          new Response("busy", {
            status: statuses[Math.min(requests++, statuses.length - 1)] ?? 200,
            headers: { "content-length": "4" }
          })
        )
      )
    )
  }

  const options: ResilientClient.Options = {
    name: "stock",
    policy: HttpPolicy.make({ retry: everySecond, breaker: { trip: [CircuitBreaker.consecutiveFailures(3)] } })
  }

  it.effect("tells the same of its calls to who observes where they are made", () =>
    Effect.gen(function* () {
      const { calls, heard, observer } = recorder()
      const client = answers([503, 200]).pipe(ResilientClient.withPolicy(options))
      const call = yield* fork(
        client.get("https://stock.internal/items/7").pipe(Effect.provide(CallObserver.layer(observer)))
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(call)
      assert.deepStrictEqual(heard, [
        ["callStarted", "GET"],
        ["attemptStarted", [0, false]],
        ["attemptEnded", [0, false, "failure", 0, "ServiceUnavailable"]],
        ["retryScheduled", ["ServiceUnavailable", 1000, 1]],
        ["attemptStarted", [1, false]],
        ["attemptEnded", [1, false, "success", 0, 200]],
        ["callEnded", ["success", 1000, 2, undefined]]
      ])
      const [told] = calls
      assert.deepStrictEqual([told?.upstream, told?.origin, told?.template], ["stock", "https://stock.internal", ""])
      yield* client.get("https://stock.internal/items/7")
      assert.strictEqual(heard.length, 7, "nobody observes where this call was made")
    })
  )

  it.effect("an error response that it gives as it is is a failure of the call", () =>
    Effect.gen(function* () {
      const { heard, observer } = recorder()
      const client = answers([404]).pipe(ResilientClient.withPolicy(options))
      const response = yield* client.get("https://stock.internal/").pipe(Effect.provide(CallObserver.layer(observer)))
      assert.strictEqual(response.status, 404)
      assert.deepStrictEqual(heard.at(-1), ["callEnded", ["failure", 0, 1, "NotFound"]])
    })
  )

  it.effect("those that its layer was built with hear of calls that are made elsewhere", () =>
    Effect.gen(function* () {
      const { heard, observer } = recorder()
      const layer = ResilientClient.layer(options).pipe(
        Layer.provide([Layer.succeed(HttpClient.HttpClient, answers([500])), CallObserver.layer(observer)])
      )
      const client = yield* Effect.provide(HttpClient.HttpClient, layer)
      yield* Effect.forEach([1, 2, 3, 4], () => Effect.exit(client.post("https://stock.internal/")))
      assert.deepStrictEqual(heard.slice(-3), [
        ["callStarted", "POST"],
        ["refused", "CircuitOpen"],
        ["callEnded", ["failure", 0, 0, "CircuitOpen"]]
      ])
    })
  )
})

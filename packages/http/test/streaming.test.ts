import {
  Cause,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Schedule,
  Scheduler,
  Schema,
  Scope,
  Stream,
  Tracer
} from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import { CallError } from "@holdfast/core/CallError"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import * as Reason from "@holdfast/core/Reason"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as Rejection from "../src/Rejection.ts"
import type { StreamedAnswer } from "../src/Request.ts"
import * as Transport from "../src/Transport.ts"
import * as Upstream from "../src/Upstream.ts"
import * as UpstreamVersions from "../src/UpstreamVersions.ts"
import { fork, sent, stage, upstream } from "./support/stock.ts"

const { after, fail, hang, pause, refused, status, stream } = ScriptedTransport

const everySecond = { schedule: Schedule.spaced("1 second") }

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

/** Reads a body, and keeps what has come of it so far. */
const reading = Effect.fnUntraced(function* (answer: StreamedAnswer) {
  const read: Array<string> = []
  const fiber = yield* fork(Stream.runForEach(answer.stream, (bytes) => Effect.sync(() => void read.push(text(bytes)))))
  return { read, fiber }
})

const whole = (answer: StreamedAnswer) => Effect.map(Stream.runCollect(answer.stream), (chunks) => chunks.map(text))

const aborted = Effect.map(ScriptedTransport.seen, ({ aborted }) => aborted.map(({ resend }) => resend))

const failedWith = <A, E>(exit: Exit.Exit<A, E>): CallError => {
  const error = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason)?.error : undefined
  return error instanceof CallError ? error : assert.fail(`no call error: ${String(exit)}`)
}

const diedWith = <A, E>(exit: Exit.Exit<A, E>): string => {
  const defect = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isDieReason)?.defect : undefined
  return defect instanceof Error ? defect.message : assert.fail(`no defect: ${String(exit)}`)
}

describe("a streamed answer", () => {
  it.effect("is given with its headers, and its body comes as the upstream sends it", () =>
    upstream(
      { "*": [after("1 second", stream(["one", pause("5 seconds"), "two"], { headers: { etag: "7" } }))] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(api.streaming.get("/exports"))
        yield* TestClock.adjust("1 second")
        const answer = yield* Fiber.join(call)
        assert.deepStrictEqual([answer.status, answer.headers], [200, { etag: "7" }])
        const { fiber, read } = yield* reading(answer)
        assert.deepStrictEqual(read, ["one"])
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(read, ["one", "two"])
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(yield* aborted, [])
      })
    )
  )

  it.effect("is asked for with path, query, headers and body like any other", () =>
    upstream(
      { "*": [stream(["ok"])] },
      {}
    )((api) =>
      Effect.gen(function* () {
        yield* api.streaming.post("/exports/{id}", {
          params: { id: "a/b" },
          query: { page: 2 },
          headers: { "x-tenant": "one" },
          stream: Stream.make(new Uint8Array([1]))
        })
        for (const verb of ["get", "put", "patch", "delete"] as const) yield* api.streaming[verb]("/")
        const { requests } = yield* ScriptedTransport.seen
        assert.deepStrictEqual(
          requests.map(({ method, path }) => `${method} ${path}`),
          ["POST /exports/a%2Fb?page=2", "GET /", "PUT /", "PATCH /", "DELETE /"]
        )
        assert.strictEqual(requests[0]?.headers["x-tenant"], "one")
        assert.isTrue(Stream.isStream(requests[0]?.body))
      })
    )
  )

  describe("under the policy, up to its headers", () => {
    it.effect("is retried", () =>
      upstream(
        { "*": [status(503), refused, stream(["ok"])] },
        { retry: everySecond }
      )((api) =>
        Effect.gen(function* () {
          const call = yield* fork(api.streaming.get("/exports"))
          yield* TestClock.adjust("5 seconds")
          assert.deepStrictEqual(yield* whole(yield* Fiber.join(call)), ["ok"])
          assert.strictEqual(yield* sent, 3)
        })
      )
    )

    it.effect("is bounded by the attempt timeout, which leaves the body alone", () =>
      upstream(
        { "*": [hang, stream([pause("1 minute"), "late"])] },
        { attemptTimeout: "1 second", retry: everySecond }
      )((api) =>
        Effect.gen(function* () {
          const call = yield* fork(api.streaming.get("/exports"))
          yield* TestClock.adjust("5 seconds")
          const { fiber, read } = yield* reading(yield* Fiber.join(call))
          yield* TestClock.adjust("1 minute")
          yield* Fiber.join(fiber)
          assert.deepStrictEqual(read, ["late"])
        })
      )
    )

    it.effect("waits for its turn in the rate limit, and is refused by an open circuit and a full bulkhead", () =>
      Effect.gen(function* () {
        const limited = upstream({ "*": [stream(["ok"])] }, { rateLimit: { limit: 1, window: "2 seconds" } })
        yield* limited((api) =>
          Effect.gen(function* () {
            yield* api.streaming.get("/exports")
            const second = yield* fork(Effect.exit(api.streaming.get("/exports")))
            assert.isUndefined(second.pollUnsafe())
            assert.strictEqual(yield* sent, 1)
            yield* Fiber.interrupt(second)
          })
        )
        const guarded = upstream(
          { "*": [stream(["ok"])] },
          { breaker: {}, bulkhead: { maxConcurrent: 1, maxQueue: 0 } }
        )
        yield* guarded((api) =>
          Effect.gen(function* () {
            yield* api.streaming.get("/exports")
            assert.strictEqual((yield* Effect.flip(api.streaming.get("/exports"))).reason._tag, "BulkheadFull")
            yield* stage(api.stages.breaker).forceOpen
            const open = yield* Effect.flip(api.streaming.get("/exports"))
            assert.deepStrictEqual([open.reason._tag, open.attempts], ["CircuitOpen", 0])
          })
        )
      })
    )

    it.effect("an error status comes whole, and is classified as ever", () => {
      const problem = { type: "https://errors/none", title: "No such export" }
      const headers = { "content-type": "application/problem+json" }
      return upstream(
        { "*": [status(404, { headers, body: JSON.stringify(problem) })] },
        { retry: everySecond }
      )((api) =>
        Effect.gen(function* () {
          const { attempts, reason } = yield* Effect.flip(api.streaming.get("/exports"))
          assert.strictEqual(attempts, 1)
          if (reason._tag !== "NotFound") return assert.fail(reason._tag)
          assert.strictEqual(reason.problem?.title, "No such export")
        })
      )
    })

    it.effect(
      "a declared business error is recognised in a whole response, and an expected status is an answer",
      () => {
        const { BUSY } = ErrorCatalog.make("stock", { BUSY: { summary: "stocktaking" } })
        const rejections = [Rejection.make(BUSY, Schema.Struct({ error: Schema.Literal("busy") }))]
        return upstream(
          { "*": [ScriptedTransport.json({ error: "busy" }, { status: 409 }), status(404, { body: "none" })] },
          {},
          { rejections }
        )((api) =>
          Effect.gen(function* () {
            assert.strictEqual((yield* Effect.flip(api.streaming.get("/exports"))).reason._tag, "BusinessRejected")
            const answer = yield* api.streaming.get("/exports", { expectedStatus: [404] })
            assert.deepStrictEqual([answer.status, yield* whole(answer)], [404, ["none"]])
          })
        )
      }
    )

    it.effect("a redirect that is not followed is a failure, and its body is not left open", () =>
      upstream(
        {
          "*": [
            stream(["moved"], { status: 302, headers: { location: "/b" }, end: "hang" }),
            stream(["moved"], { status: 302, headers: { location: "/b" } })
          ]
        },
        {}
      )((api) =>
        Effect.gen(function* () {
          const call = yield* fork(Effect.exit(api.streaming.get("/exports")))
          // longer than draining may take
          yield* TestClock.adjust("2 seconds")
          assert.strictEqual(failedWith(yield* Fiber.join(call)).reason._tag, "TooManyRedirects")
          assert.deepStrictEqual(yield* aborted, [0])
          // a short one is read, so that its connection lives
          assert.strictEqual((yield* Effect.flip(api.streaming.get("/exports"))).reason._tag, "TooManyRedirects")
          assert.deepStrictEqual(yield* aborted, [0])
        })
      )
    )

    it.effect("two equal ones share no run", () =>
      upstream(
        { "*": [after("1 second", stream(["ok"]))] },
        { singleFlight: {} }
      )((api) =>
        Effect.gen(function* () {
          const calls = yield* fork(
            Effect.all([api.streaming.get("/exports"), api.streaming.get("/exports")], { concurrency: 2 })
          )
          yield* TestClock.adjust("1 second")
          for (const answer of yield* Fiber.join(calls)) assert.deepStrictEqual(yield* whole(answer), ["ok"])
          assert.strictEqual(yield* sent, 2)
        })
      )
    )

    it.effect("a wrong maxBytes is a request that could not be built", () =>
      upstream(
        {},
        {}
      )((api) =>
        Effect.gen(function* () {
          for (const maxBytes of [-1, 0.5, NaN]) {
            const { attempts, reason } = yield* Effect.flip(api.streaming.get("/exports", { maxBytes }))
            if (reason._tag !== "RequestEncodeFailed") return assert.fail(reason._tag)
            assert.deepStrictEqual([attempts, reason.path], [0, "maxBytes"])
            assert.include(reason.issue, String(maxBytes))
          }
        })
      )
    )
  })

  describe("hedged", () => {
    const hedged: HttpPolicy.Options = { hedge: { delay: "1 second", maximumExtraLoad: 1 }, bulkhead: {} }

    it.effect("keeps the winner's body and interrupts the loser", () =>
      upstream(
        { "*": [hang, stream(["hedge"])] },
        hedged
      )((api) =>
        Effect.gen(function* () {
          const call = yield* fork(api.streaming.get("/exports"))
          yield* TestClock.adjust("1 second")
          const answer = yield* Fiber.join(call)
          const { interrupted } = yield* ScriptedTransport.seen
          assert.deepStrictEqual(
            interrupted.map(({ resend }) => resend),
            [0]
          )
          assert.deepStrictEqual(yield* whole(answer), ["hedge"])
          assert.deepStrictEqual(yield* aborted, [])
        })
      )
    )

    it.effect("whatever the loser had done when the other won, nothing of it stays open and no place taken", () =>
      Effect.gen(function* () {
        let twoWereOpen = 0
        // a fiber gives way after 2048 steps: the loser is stopped at each step around the opening of its body
        for (let steps = 980; steps < 1060; steps++) {
          const gate = yield* Deferred.make<void>()
          const open = { now: 0, most: 0 }
          const opened = Effect.acquireRelease(
            Effect.sync((): Transport.OpenResponse => {
              open.most = Math.max(open.most, ++open.now)
              return { status: 200, headers: {}, stream: Stream.never }
            }),
            () => Effect.sync(() => void open.now--)
          )
          const slowly = Array.from({ length: steps }).reduce<Effect.Effect<void>>(
            (before) => Effect.andThen(before, Effect.void),
            Effect.void
          )
          const transport: Transport.Transport["Service"] = {
            send: () => Effect.die("not asked for"),
            open: ({ resend }) =>
              Effect.andThen(Deferred.await(gate), resend === 0 ? Effect.andThen(slowly, opened) : opened)
          }
          yield* Effect.gen(function* () {
            const api = yield* Upstream.make("stock", {
              baseUrl: "https://stock.internal",
              policy: HttpPolicy.make(hedged)
            })
            const scope = yield* Scope.make()
            const call = yield* fork(Scope.provide(api.streaming.get("/exports"), scope))
            yield* TestClock.adjust("1 second")
            yield* Deferred.succeed(gate, undefined)
            yield* Fiber.join(call)
            if (open.most === 2) twoWereOpen++
            const { bulkhead } = api.stages
            assert.strictEqual(open.now, 1, `after ${steps} steps`)
            assert.strictEqual((yield* stage(bulkhead).snapshot).inFlight, 1)
            yield* Scope.close(scope, Exit.void)
            assert.strictEqual(open.now, 0)
            assert.strictEqual((yield* stage(bulkhead).snapshot).inFlight, 0)
          }).pipe(Effect.scoped, Effect.provide(Layer.succeed(Transport.Transport, transport)))
        }
        assert.isAbove(twoWereOpen, 0)
      })
    )
  })

  it.effect("what a failed attempt opened is released before the next one waits for its turn", () =>
    Effect.gen(function* () {
      let open = 0
      const transport: Transport.Transport["Service"] = {
        send: () => Effect.die("not asked for"),
        open: () =>
          Effect.acquireRelease(
            Effect.sync((): Transport.Response => {
              open++
              return { status: 503, headers: {}, body: new Uint8Array(0), bodyComplete: true }
            }),
            () => Effect.sync(() => void open--)
          )
      }
      yield* Effect.gen(function* () {
        const api = yield* Upstream.make("stock", {
          baseUrl: "https://stock.internal",
          policy: HttpPolicy.make({ retry: everySecond })
        })
        const call = yield* fork(Effect.exit(api.streaming.get("/exports")))
        assert.isUndefined(call.pollUnsafe())
        assert.strictEqual(open, 0)
        yield* Fiber.interrupt(call)
      }).pipe(Effect.scoped, Effect.provide(Layer.succeed(Transport.Transport, transport)))
    })
  )

  it.live("leaves no timer behind when it ends", () =>
    upstream(
      { "*": [stream(["one"])] },
      { deadline: "1 hour" }
    )((api) =>
      Effect.gen(function* () {
        const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length
        const before = timers()
        for (let call = 0; call < 50; call++) yield* whole(yield* api.streaming.get("/exports"))
        yield* Effect.yieldNow
        assert.isBelow(timers() - before, 25)
      })
    )
  )

  describe("fails while it is read", () => {
    it.effect("with what the wire did, as the one error of a call", () =>
      upstream(
        { "*": [status(503), stream(["half", pause("4 seconds")], { end: "truncated" })] },
        { retry: everySecond }
      )((api) =>
        Effect.gen(function* () {
          const call = yield* fork(api.streaming.get("/exports", { headers: { "x-request-id": "r-1" } }))
          yield* TestClock.adjust("1 second")
          const { fiber, read } = yield* reading(yield* Fiber.join(call))
          yield* TestClock.adjust("4 seconds")
          const error = failedWith(yield* Fiber.await(fiber))
          assert.deepStrictEqual(read, ["half"])
          assert.deepInclude(error, {
            upstream: "stock",
            operation: "GET /exports",
            requestId: "r-1",
            attempts: 2,
            retryStopped: "not-retryable"
          })
          assert.strictEqual(error.reason._tag, "ResponseTruncated")
          assert.strictEqual(Duration.toMillis(error.elapsed), 5000)
        })
      )
    )

    it.effect("when it stalls, with the transport's reason", () => {
      const stalled = new Reason.BodyTimeout({ endpoint: "stock.internal:443", limit: Duration.seconds(30) })
      return upstream(
        { "*": [stream(["half"], { end: stalled })] },
        {}
      )((api) =>
        Effect.gen(function* () {
          const { fiber } = yield* reading(yield* api.streaming.get("/exports"))
          assert.strictEqual(failedWith(yield* Fiber.await(fiber)).reason, stalled)
        })
      )
    })

    it.effect("when it is longer than maxBytes, and is aborted then", () =>
      upstream(
        { "*": [stream(["12345", "67890", "more"])] },
        {}
      )((api) =>
        Effect.gen(function* () {
          const { fiber, read } = yield* reading(yield* api.streaming.get("/exports", { maxBytes: 9 }))
          const { reason } = failedWith(yield* Fiber.await(fiber))
          if (reason._tag !== "ResponseTooLarge") return assert.fail(reason._tag)
          assert.deepStrictEqual([reason.limit, reason.size, reason.endpoint], [9, 10, "stock.internal:443"])
          assert.deepStrictEqual(read, ["12345"])
          assert.deepStrictEqual(yield* aborted, [0])
          assert.deepStrictEqual(yield* whole(yield* api.streaming.get("/exports", { maxBytes: 14 })), [
            "12345",
            "67890",
            "more"
          ])
        })
      )
    )

    it.effect("by a transport that knows maxBytes, and no other bound", () =>
      upstream(
        { "*": [stream(["1"])] },
        { limits: { responseBytes: 5 } }
      )((api) =>
        Effect.gen(function* () {
          yield* api.streaming.get("/exports", { maxBytes: 9 })
          yield* api.streaming.get("/exports")
          const { requests } = yield* ScriptedTransport.seen
          assert.deepStrictEqual(
            requests.map(({ limits }) => limits.responseBytes),
            [9, Infinity]
          )
        })
      )
    )

    it.effect("not for being longer than a whole response may be", () =>
      upstream(
        { "*": [stream(["123456"])] },
        { limits: { responseBytes: 5 } }
      )((api) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* whole(yield* api.streaming.get("/exports")), ["123456"])
        })
      )
    )

    it.effect("when the deadline passes, whoever waits for the next bytes", () =>
      upstream(
        { "*": [after("1 second", stream(["half"], { end: "hang" }))] },
        { deadline: "10 seconds", bulkhead: {} }
      )((api) =>
        Effect.gen(function* () {
          const call = yield* fork(api.streaming.get("/exports"))
          yield* TestClock.adjust("1 second")
          const { fiber, read } = yield* reading(yield* Fiber.join(call))
          yield* TestClock.adjust("8999 millis")
          assert.isUndefined(fiber.pollUnsafe())
          yield* TestClock.adjust("1 millis")
          const { elapsed, reason, retryStopped } = failedWith(yield* Fiber.await(fiber))
          if (reason._tag !== "DeadlineExceeded") return assert.fail(reason._tag)
          assert.deepStrictEqual(
            [Duration.toMillis(reason.budget), Duration.toMillis(elapsed), retryStopped],
            [10_000, 10_000, "deadline"]
          )
          assert.deepStrictEqual(read, ["half"])
          assert.deepStrictEqual(yield* aborted, [0])
          assert.strictEqual((yield* stage(api.stages.bulkhead).snapshot).inFlight, 0)
        })
      )
    )

    it.effect(
      "when the deadline passes while nobody reads: the exchange is aborted then, and who comes later is told",
      () =>
        upstream(
          { "*": [stream(["half"], { end: "hang" })] },
          { deadline: "10 seconds" }
        )((api) =>
          Effect.gen(function* () {
            const answer = yield* api.streaming.get("/exports")
            yield* TestClock.adjust("9999 millis")
            assert.deepStrictEqual(yield* aborted, [])
            yield* TestClock.adjust("1 millis")
            assert.deepStrictEqual(yield* aborted, [0])
            yield* TestClock.adjust("1 minute")
            const error = yield* Effect.flip(whole(answer))
            assert.deepStrictEqual([error.reason._tag, Duration.toMillis(error.elapsed)], ["DeadlineExceeded", 10_000])
          })
        )
    )
  })

  describe("is given up", () => {
    it.effect("by a reader who leaves early, at once and not when the scope closes", () =>
      upstream(
        { "*": [stream(["one", "two"], { end: "hang" })] },
        { bulkhead: {} }
      )((api) =>
        Effect.gen(function* () {
          const answer = yield* api.streaming.get("/exports")
          assert.deepStrictEqual((yield* Stream.runCollect(Stream.take(answer.stream, 1))).map(text), ["one"])
          assert.deepStrictEqual(yield* aborted, [0])
          assert.strictEqual((yield* stage(api.stages.bulkhead).snapshot).inFlight, 0)
        })
      )
    )

    it.effect("by a reader who is interrupted while it waits", () =>
      upstream(
        { "*": [stream(["one"], { end: "hang" })] },
        {}
      )((api) =>
        Effect.gen(function* () {
          const { fiber } = yield* reading(yield* api.streaming.get("/exports"))
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(yield* aborted, [0])
        })
      )
    )

    it.effect("with its scope, read or not; and who reads it then is told why it cannot be", () =>
      upstream(
        { "*": [stream(["one"], { end: "hang" })] },
        { bulkhead: {} }
      )((api) =>
        Effect.gen(function* () {
          const unread = yield* Effect.scoped(api.streaming.get("/exports"))
          assert.deepStrictEqual(yield* aborted, [0])
          assert.include(diedWith(yield* Effect.exit(whole(unread))), "only while the scope of the call is open")

          const scope = yield* Scope.make()
          const { fiber, read } = yield* reading(yield* Scope.provide(api.streaming.get("/exports"), scope))
          assert.deepStrictEqual(read, ["one"])
          yield* Scope.close(scope, Exit.void)
          assert.include(diedWith(yield* Fiber.await(fiber)), "only while the scope of the call is open")
          assert.deepStrictEqual(yield* aborted, [0, 0])
          assert.strictEqual((yield* stage(api.stages.bulkhead).snapshot).inFlight, 0)
        })
      )
    )

    it.effect("not by a second reader, who is told that it can be read once", () =>
      upstream(
        { "*": [stream(["one", pause("1 second"), "two"])] },
        {}
      )((api) =>
        Effect.gen(function* () {
          const answer = yield* api.streaming.get("/exports")
          const { fiber, read } = yield* reading(answer)
          const message = diedWith(yield* Effect.exit(whole(answer)))
          assert.match(message, /^stock: the body of GET \/exports \(request [0-9a-f]+\): it can be read once/)
          yield* TestClock.adjust("1 second")
          yield* Fiber.join(fiber)
          assert.deepStrictEqual(read, ["one", "two"])
          assert.include(diedWith(yield* Effect.exit(whole(answer))), "it can be read once")
        })
      )
    )

    it.effect("by the scope that is closed while the call still runs", () =>
      upstream(
        { "*": [after("1 second", stream(["one"]))] },
        { retry: everySecond, bulkhead: {} }
      )((api) =>
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const call = yield* fork(Scope.provide(api.streaming.get("/exports"), scope))
          yield* Scope.close(scope, Exit.void)
          yield* TestClock.adjust("1 second")
          const exit = yield* Fiber.await(call)
          if (Exit.isSuccess(exit)) diedWith(yield* Effect.exit(whole(exit.value)))
          assert.deepStrictEqual(yield* aborted, [0])
          assert.strictEqual((yield* stage(api.stages.bulkhead).snapshot).inFlight, 0)
        })
      )
    )

    it.effect("leaving nothing behind in a scope that lives long", () =>
      upstream(
        { "*": [stream(["one"]), stream(["one"]), status(500), stream(["one"])] },
        {}
      )((api) =>
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const get = Scope.provide(api.streaming.get("/exports"), scope)
          yield* whole(yield* get)
          yield* Stream.runDrain(Stream.take((yield* get).stream, 1))
          yield* Effect.exit(get)
          yield* whole(yield* get)
          assert.strictEqual(scope.state._tag === "Open" ? (scope.state.finalizers?.size ?? 1) : 0, 0)
          yield* Scope.close(scope, Exit.void)
        })
      )
    )
  })

  describe("an interruption of its caller", () => {
    /** Opens slowly, in many steps, and counts what it has open. */
    const slow = () => {
      const open = { now: 0, ever: 0 }
      const steps = Effect.forEach(Array.from({ length: 5 }), () => Effect.yieldNow, { discard: true })
      const transport: Transport.Transport["Service"] = {
        send: () => Effect.die("not asked for"),
        open: () =>
          Effect.andThen(
            steps,
            Effect.acquireRelease(
              Effect.sync(() => {
                open.now++
                open.ever++
                return {
                  status: 200,
                  headers: {},
                  stream: Stream.concat(Stream.drain(Stream.fromEffect(steps)), Stream.never)
                }
              }),
              () =>
                Effect.andThen(
                  steps,
                  Effect.sync(() => void open.now--)
                )
            )
          )
      }
      return { open, layer: Layer.succeed(Transport.Transport, transport) }
    }

    it.effect.each([
      { policy: "no policy", options: {} },
      {
        policy: "every stage",
        options: {
          deadline: "10 seconds",
          retry: {},
          rateLimit: { limit: 1000 },
          hedge: { delay: "1 millis", maximumExtraLoad: 1 },
          breaker: {},
          bulkhead: {},
          adaptiveConcurrency: {},
          attemptTimeout: { limit: "5 seconds" }
        }
      }
    ] satisfies ReadonlyArray<{ policy: string; options: HttpPolicy.Options }>)(
      "at whatever step leaves nothing open and no place taken, under $policy",
      ({ options }) =>
        Effect.gen(function* () {
          const { layer, open } = slow()
          let given = 0
          yield* Effect.gen(function* () {
            const api = yield* Upstream.make("stock", {
              baseUrl: "https://stock.internal",
              policy: HttpPolicy.make(options)
            })
            for (let step = 0; step < 150; step++) {
              const scope = yield* Scope.make()
              const call = yield* Effect.forkChild(
                Effect.flatMap(Scope.provide(api.streaming.get("/exports"), scope), (answer) => {
                  given++
                  return Stream.runDrain(answer.stream)
                }).pipe(
                  // gives way after every few steps of its own, so that the interruption comes between any two of them
                  Effect.provideService(Scheduler.MaxOpsBeforeYield, 3)
                )
              )
              for (let turn = 0; turn < step; turn++) yield* Effect.yieldNow
              yield* Fiber.interrupt(call)
              yield* Scope.close(scope, Exit.void)
              assert.strictEqual(open.now, 0, `interrupted after ${step} turns`)
              const { bulkhead } = api.stages
              if (bulkhead !== undefined) assert.strictEqual((yield* bulkhead.snapshot).inFlight, 0)
              const { adaptiveConcurrency } = api.stages
              if (adaptiveConcurrency !== undefined) {
                assert.strictEqual((yield* adaptiveConcurrency.snapshot).inFlight, 0)
              }
              assert.deepInclude((yield* api.snapshot).bodies, { open: 0, unread: 0 })
            }
          }).pipe(Effect.scoped, Effect.provide(layer))
          // the steps reached from before the first byte into the body
          assert.isAbove(open.ever, 10)
          assert.isAbove(given, 5)
          assert.isBelow(given, 150)
        })
    )

    it.effect("after the upstream answered closes what it was not given, though the scope stays open", () =>
      Effect.gen(function* () {
        const { layer, open } = slow()
        yield* Effect.gen(function* () {
          const api = yield* Upstream.make("stock", {
            baseUrl: "https://stock.internal",
            policy: HttpPolicy.make({ attemptTimeout: "5 seconds" })
          })
          for (let step = 0; step < 40; step++) {
            const delivered = yield* Deferred.make<void>()
            const call = yield* Effect.forkChild(
              Effect.andThen(api.streaming.get("/exports"), Deferred.succeed(delivered, undefined))
            )
            for (let turn = 0; turn < step; turn++) yield* Effect.yieldNow
            yield* Fiber.interrupt(call)
            if (yield* Deferred.isDone(delivered)) return
            assert.strictEqual(open.now, 0, `interrupted after ${step} turns`)
          }
          assert.fail("no call was answered")
        }).pipe(Effect.scoped, Effect.provide(layer))
        assert.strictEqual(open.now, 0)
      })
    )
  })

  describe("holds", () => {
    it.effect("its place in the bulkhead and in the adaptive limit until the body has ended", () =>
      upstream(
        { "*": [stream(["one", pause("1 minute"), "two"])] },
        { bulkhead: {}, adaptiveConcurrency: { algorithm: "aimd", slowAfter: "1 second", initialLimit: 20 } }
      )((api) =>
        Effect.gen(function* () {
          const held = Effect.map(api.snapshot, ({ endpoints: [endpoint] }) => [
            endpoint?.bulkhead?.inFlight,
            endpoint?.adaptiveConcurrency?.inFlight
          ])
          const { fiber } = yield* reading(yield* api.streaming.get("/exports"))
          yield* TestClock.adjust("30 seconds")
          assert.deepStrictEqual(yield* held, [1, 1])
          yield* TestClock.adjust("30 seconds")
          yield* Fiber.join(fiber)
          assert.deepStrictEqual(yield* held, [0, 0])
          // a download is not slow for being long: the limit learns of the headers alone
          assert.strictEqual((yield* stage(api.stages.adaptiveConcurrency).snapshot).dropped, 0)
        })
      )
    )

    it.effect("the circuit no longer than its headers: what they said is counted, what the body did is not", () =>
      upstream(
        { "*": [stream(["half"], { end: "truncated" })] },
        { breaker: {} }
      )((api) =>
        Effect.gen(function* () {
          for (let call = 0; call < 30; call++) yield* Effect.flip(whole(yield* api.streaming.get("/exports")))
          assert.strictEqual((yield* stage(api.stages.breaker).snapshot).state, "Closed")
        })
      )
    )

    it.effect("the circuit's failures count when the headers do not come", () =>
      upstream(
        { "*": [status(503)] },
        { breaker: {} }
      )((api) =>
        Effect.gen(function* () {
          for (let call = 0; call < 10; call++) yield* Effect.flip(api.streaming.get("/exports"))
          assert.strictEqual((yield* Effect.flip(api.streaming.get("/exports"))).reason._tag, "CircuitOpen")
        })
      )
    )

    it.effect("its version of the upstream, which is not unloaded before the body has ended", () =>
      Effect.gen(function* () {
        const stock = yield* UpstreamVersions.make("stock", { version: "blue", baseUrl: "https://blue.internal" })
        yield* stock.load("green", { baseUrl: "https://green.internal" })
        const read = yield* stock.current.streaming.get("/exports")
        const released = yield* Scope.make()
        yield* Scope.provide(stock.current.streaming.get("/exports"), released)
        yield* stock.switch("green")
        const inFlight = Effect.map(stock.list, ([blue]) => blue?.inFlight)
        assert.strictEqual(yield* inFlight, 2)
        yield* whole(read)
        assert.strictEqual(yield* inFlight, 1)
        const unloading = yield* fork(stock.unload("blue"))
        assert.isUndefined(unloading.pollUnsafe())
        yield* Scope.close(released, Exit.void)
        yield* Fiber.join(unloading)
        assert.strictEqual((yield* stock.list).length, 1)
        assert.strictEqual((yield* Effect.flip(stock.current.streaming.get("/fails"))).reason._tag, "BadRequest")
        assert.deepStrictEqual(
          (yield* stock.list).map(({ inFlight }) => inFlight),
          [0]
        )
      }).pipe(
        Effect.scoped,
        Effect.provide(ScriptedTransport.layer({ "GET /fails": [status(400)], "*": [stream(["one"])] }))
      )
    )
  })

  describe("in a trace", () => {
    const traced = <A, E, R>(self: Effect.Effect<A, E, R>) => {
      const spans: Array<Tracer.NativeSpan> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const shown = () =>
        spans.map((span) => ({
          name: span.name,
          kind: span.kind,
          millis: span.status._tag === "Ended" ? Number(span.status.endTime - span.status.startTime) / 1e6 : undefined,
          ended: span.status._tag === "Ended" ? span.status.exit._tag : undefined,
          attributes: Object.fromEntries(span.attributes),
          events: span.events.map(([name, at]) => `${name} ${Number(at - span.status.startTime) / 1e6}`)
        }))
      return Effect.map(Effect.provideService(self, Tracer.Tracer, tracer), () => shown())
    }

    it.effect("both spans last as long as the body is read, and say when the headers came", () =>
      upstream(
        { "*": [after("1 second", stream(["12", pause("4 seconds"), "345"]))] },
        {}
      )((api) =>
        Effect.gen(function* () {
          const run = yield* fork(traced(Effect.flatMap(api.streaming.get("/exports"), whole)))
          yield* TestClock.adjust("1 second")
          yield* TestClock.adjust("4 seconds")
          const [call, attempt, ...others] = yield* Fiber.join(run)
          assert.deepStrictEqual(others, [])
          assert.deepInclude(call, { name: "stock GET /exports", kind: "internal", millis: 5000, ended: "Success" })
          assert.deepInclude(attempt, { kind: "client", millis: 5000, ended: "Success" })
          assert.deepStrictEqual(attempt?.events, ["holdfast.headers 1000"])
          assert.deepInclude(attempt?.attributes, {
            "http.response.status_code": 200,
            "http.response.body.size": 5
          })
        })
      )
    )

    it.effect("a body that fails is an error of both, one that is left of neither", () =>
      upstream(
        { "GET /cut": [stream(["12"], { end: "truncated" })], "*": [stream(["12"], { end: "hang" })] },
        {}
      )((api) =>
        Effect.gen(function* () {
          const cut = yield* traced(Effect.exit(Effect.flatMap(api.streaming.get("/cut"), whole)))
          assert.deepStrictEqual(
            cut.map(({ attributes, ended }) => [ended, attributes["error.type"]]),
            [
              ["Failure", "ERR_PROTOCOL_RESPONSE_TRUNCATED"],
              ["Failure", "ERR_PROTOCOL_RESPONSE_TRUNCATED"]
            ]
          )
          assert.strictEqual(cut[0]?.attributes["holdfast.attempts"], 1)
          const left = yield* traced(
            Effect.flatMap(api.streaming.get("/left"), ({ stream }) => Stream.runDrain(Stream.take(stream, 1)))
          )
          const released = yield* traced(Effect.scoped(api.streaming.get("/released")))
          assert.deepStrictEqual(
            [...left, ...released].map(({ attributes, ended }) => [
              ended,
              attributes["error.type"],
              attributes["holdfast.body"]
            ]),
            [
              ["Success", undefined, undefined],
              ["Success", undefined, "left"],
              ["Success", undefined, undefined],
              ["Success", undefined, "released"]
            ]
          )
        })
      )
    )

    it.effect("an attempt that fails has ended before the next one, and a call that fails ends its span", () =>
      upstream(
        { "*": [status(503), fail(new Reason.ConnectionReset({ endpoint: "a:1", phase: "wait" }))] },
        { retry: { ...everySecond, maxAttempts: 2 } }
      )((api) =>
        Effect.gen(function* () {
          const run = yield* fork(traced(Effect.exit(api.streaming.get("/exports"))))
          yield* TestClock.adjust("1 second")
          const spans = yield* Fiber.join(run)
          assert.deepStrictEqual(
            spans.map(({ attributes, millis }) => [millis, attributes["error.type"]]),
            [
              [1000, "ERR_NETWORK_CONNECTION_RESET"],
              [0, "503"],
              [0, "ERR_NETWORK_CONNECTION_RESET"]
            ]
          )
        })
      )
    )

    it.effect("an attempt that is cut by its timeout says so, and a loser is no error", () =>
      upstream(
        { "POST /late": [hang], "*": [hang, stream(["ok"])] },
        { attemptTimeout: "5 seconds", hedge: { delay: "1 second", maximumExtraLoad: 1 } }
      )((api) =>
        Effect.gen(function* () {
          const late = yield* fork(traced(Effect.exit(api.streaming.post("/late"))))
          const run = yield* fork(traced(Effect.flatMap(api.streaming.get("/exports"), whole)))
          yield* TestClock.adjust("1 second")
          const [, loser, winner] = yield* Fiber.join(run)
          assert.deepStrictEqual([loser?.ended, loser?.attributes["error.type"]], ["Failure", undefined])
          assert.strictEqual(winner?.ended, "Success")
          yield* TestClock.adjust("5 seconds")
          const [, attempt] = yield* Fiber.join(late)
          assert.strictEqual(attempt?.attributes["error.type"], "ERR_TIME_ATTEMPT_TIMEOUT")
        })
      )
    )
  })
})

/** What layers do that nobody meant them to do: nothing of it becomes a wrong answer, a request too many or a place that is kept. */
import { Cause, Context, Deferred, Effect, Exit, Fiber } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import type { CallError } from "@holdfast/core/CallError"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Deadline from "@holdfast/core/Deadline"
import * as Reason from "@holdfast/core/Reason"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import type * as AttemptLayer from "../src/AttemptLayer.ts"
import type * as CallLayer from "../src/CallLayer.ts"
import * as CallObserver from "../src/CallObserver.ts"
import type * as HttpPolicy from "../src/HttpPolicy.ts"
import type * as Upstream from "../src/Upstream.ts"
import * as UpstreamClient from "../src/UpstreamClient.ts"
import { fork, upstream } from "./support/stock.ts"

const { after, fail, hang, status } = ScriptedTransport

const ok = status(200, { body: "ok" })

const call = (around: CallLayer.CallLayer["around"]): Partial<Upstream.Options> => ({ call: [{ name: "odd", around }] })

const attempt = (
  around: AttemptLayer.AttemptLayer["around"],
  given: Partial<AttemptLayer.AttemptLayer> = {}
): Partial<Upstream.Options> => ({ attempt: [{ name: "odd", around, ...given }] })

const everySecond: HttpPolicy.RetryOptions = { backoff: { shape: "constant", base: "1 second", jitter: "none" } }

const paths = Effect.map(ScriptedTransport.seen, ({ requests }) => requests.map(({ path }) => path))

const defect = (exit: Exit.Exit<unknown, unknown>): string => (Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "")

const text = (body: string) => ({ status: 200, headers: {}, body: new TextEncoder().encode(body) })

describe("a layer around calls", () => {
  it.effect("that asks for two things at once is given each of them, with the retries of each", () =>
    upstream(
      { "*": [status(503), ok] },
      { retry: everySecond },
      call(({ request }, next) =>
        Effect.map(
          Effect.all([next({ ...request, path: "/a" }), next({ ...request, path: "/b" })], { concurrency: 2 }),
          ([first]) => first
        )
      )
    )((api) =>
      Effect.gen(function* () {
        const asked = yield* fork(api.get("/items"))
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(asked)
        assert.deepStrictEqual(yield* paths, ["/a", "/a", "/b"])
      })
    )
  )

  it.effect("that fails behind a request that was sent says that it may have been applied", () =>
    upstream(
      { "*": [ok] },
      {},
      call(({ request }, next) => Effect.andThen(next(request), Effect.fail(new Reason.TokenUnavailable({}))))
    )((api) =>
      Effect.gen(function* () {
        assert.deepInclude(yield* Effect.flip(api.post("/items", { text: "x" })), { applied: "maybe" })
      })
    )
  )

  it.effect("makes a request repeatable by a key that it adds", () =>
    upstream(
      { "*": [status(503), ok] },
      { retry: everySecond },
      call(({ request }, next) => next({ ...request, headers: { ...request.headers, "Idempotency-Key": '"k"' } }))
    )((api) =>
      Effect.gen(function* () {
        const asked = yield* fork(api.post("/items", { text: "x" }))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* Fiber.join(asked)).status, 200)
      })
    )
  )

  it.effect("may leave less time than its call has", () =>
    upstream(
      { "*": [hang] },
      { deadline: "10 seconds" },
      call(({ request }, next) =>
        Effect.catch(next(request).pipe(Deadline.within("1 second")), (error) =>
          Effect.succeed(text(error.reason._tag))
        )
      )
    )((api) =>
      Effect.gen(function* () {
        const asked = yield* fork(api.get("/items"))
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* Fiber.join(asked)).text, "DeadlineExceeded")
      })
    )
  )

  it.effect("that goes on in the background keeps nothing behind the end of its call", () =>
    Effect.gen(function* () {
      const later = yield* Deferred.make<void>()
      const outcomes: Array<string> = []
      const detached = call(({ request }, next) => {
        const told = (what: string) => (exit: Exit.Exit<unknown, unknown>) =>
          Effect.sync(() => void outcomes.push(`${what}: ${defect(exit).split("\n")[0]}`))
        return Effect.gen(function* () {
          yield* Effect.forkDetach(Effect.onExit(next(request), told("begun")), { startImmediately: true })
          const late = Effect.andThen(Deferred.await(later), Effect.onExit(next(request), told("late")))
          yield* Effect.forkDetach(Effect.exit(late), { startImmediately: true })
          return text("own")
        })
      })
      const asked = upstream({ "*": [hang] }, { bulkhead: { maxConcurrent: 1 } }, detached)
      yield* asked((api) =>
        Effect.gen(function* () {
          const client = UpstreamClient.make(api)
          assert.strictEqual(yield* Effect.flatMap(client.get("/items"), (response) => response.text), "own")
          yield* TestClock.adjust(0)
          yield* Deferred.succeed(later, undefined)
          yield* TestClock.adjust(0)
          assert.strictEqual((yield* ScriptedTransport.seen).interrupted.length, 1)
          assert.strictEqual((yield* api.snapshot).endpoints[0]?.bulkhead?.inFlight, 0)
          assert.include(
            outcomes.join("\n"),
            "late: Error: stock: a layer around GET called `next` after the call had ended"
          )
        })
      )
    })
  )

  it.effect("whose own error a client is to fail with fails it, and no other end is told than the caller's", () => {
    const ends: Array<string> = []
    const busy = { ...text("busy"), status: 503 }
    return Effect.gen(function* () {
      yield* upstream(
        { "*": [ok] },
        {},
        call(() => Effect.succeed(busy))
      )((api) =>
        Effect.gen(function* () {
          const strict = UpstreamClient.make(api, { failOnStatus: true })
          const error = yield* Effect.flip(strict.get("/items"))
          assert.deepInclude(error, { attempts: 0 })
          assert.include(error.message, "a layer of stock answered 503")
          assert.strictEqual((yield* UpstreamClient.make(api).get("/items")).status, 503)
        })
      )
      yield* upstream(
        { "*": [status(503), ok] },
        { retry: false },
        call(({ request }, next) => Effect.andThen(next(request), next(request)))
      )((api) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* UpstreamClient.make(api).get("/items")).status, 200)
        })
      ).pipe(Effect.provide(CallObserver.layer({ callEnded: (_, { outcome }) => void ends.push(outcome) })))
      assert.deepStrictEqual(ends, ["success"])
    })
  })

  it.effect.each([
    ["no response", undefined],
    ["whose status must be between 200 and 599, got 99", { ...text(""), status: 99 }],
    ["whose body must be bytes, got string", { status: 200, headers: {}, body: "text" }],
    ["without a body", { status: 200, headers: {}, body: undefined }]
  ] as const)("gives %s, and is told so", ([words, response]) =>
    upstream(
      { "*": [ok] },
      {},
      // what a layer that is written without types may give
      call(() => Effect.succeed(response as never))
    )((api) =>
      Effect.gen(function* () {
        assert.include(defect(yield* Effect.exit(api.get("/items"))), words)
      })
    )
  )
})

describe("a layer around attempts", () => {
  it.effect("that fails behind an answer has not its POST sent again", () =>
    upstream(
      { "*": [ok] },
      { retry: { ...everySecond, nonIdempotent: "unsent" } },
      attempt(({ request }, next) => Effect.andThen(next(request), Effect.fail(new Reason.TokenUnavailable({}))))
    )((api) =>
      Effect.gen(function* () {
        const asked = yield* fork(Effect.flip(api.post("/items", { text: "x" })))
        yield* TestClock.adjust("10 seconds")
        assert.deepInclude(yield* Fiber.join(asked), { attempts: 1, applied: "maybe" })
      })
    )
  )

  it.effect("that tries again behind a failure in doubt has not its POST sent again", () => {
    const reset = fail(new Reason.ConnectionReset({ endpoint: "stock.internal:443", phase: "wait" }))
    const refused = fail(new Reason.ConnectionRefused({ endpoint: "stock.internal:443", phase: "connect" }))
    return upstream(
      { "*": [reset, refused, ok] },
      { retry: { ...everySecond, nonIdempotent: "unsent" } },
      attempt(({ request }, next) => Effect.catch(next(request), () => next(request)))
    )((api) =>
      Effect.gen(function* () {
        const asked = yield* fork(Effect.flip(api.post("/items", { text: "x" })))
        yield* TestClock.adjust("10 seconds")
        const error = yield* Fiber.join(asked)
        assert.strictEqual(error.reason._tag, "ConnectionRefused")
        assert.deepInclude(error, { attempts: 1, applied: "maybe" })
        assert.strictEqual((yield* ScriptedTransport.seen).requests.length, 2)
      })
    )
  })

  const Who = Context.Reference("test/Who", { defaultValue: () => "nobody" })

  it.effect("shares the answer of one caller with no other, unless it says that it does the same for all", () =>
    Effect.gen(function* () {
      const asks = (perCaller: boolean | undefined) =>
        upstream(
          { "*": [after("1 second", ok)] },
          { singleFlight: {} },
          attempt(
            ({ request }, next) =>
              Effect.withFiber((fiber) =>
                next({ ...request, headers: { ...request.headers, authorization: fiber.getRef(Who) } })
              ),
            { perCaller }
          )
        )((api) =>
          Effect.gen(function* () {
            const calls = yield* Effect.forEach(["alice", "bob"], (who) =>
              fork(Effect.provideService(api.get("/items"), Who, who))
            )
            yield* TestClock.adjust("1 second")
            yield* Effect.forEach(calls, Fiber.join)
            return (yield* ScriptedTransport.seen).requests.map(({ headers }) => headers["authorization"])
          })
        )
      assert.deepStrictEqual(yield* asks(undefined), ["alice", "bob"])
      assert.deepStrictEqual(yield* asks(false), ["alice"])
    })
  )

  it.effect.each(["streamed", "client"] as const)(
    "cannot give a response that it has let go by asking again: of a %s call",
    (kind) =>
      upstream(
        { "*": [ok] },
        { retry: false },
        attempt(({ request }, next) => Effect.flatMap(next(request), (first) => Effect.as(next(request), first)))
      )((api) =>
        Effect.gen(function* () {
          const asked: Effect.Effect<unknown, CallError> =
            kind === "client" ? UpstreamClient.make(api).get("/items") : Effect.scoped(api.streaming.get("/items"))
          assert.include(defect(yield* Effect.exit(asked)), "gave a response that `next` did not give last")
        })
      )
  )

  it.effect("that sent two requests at once keeps no answer open but the one that it gave", () =>
    upstream(
      { "*": [after("1 second", ScriptedTransport.stream(["a", ScriptedTransport.pause("1 hour"), "b"]))] },
      {},
      attempt(({ request }, next) =>
        Effect.map(Effect.all([next(request), next(request)], { concurrency: 2 }), ([first]) => first)
      )
    )((api) =>
      Effect.gen(function* () {
        const asked = yield* fork(api.streaming.get("/items"))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(asked)
        const { aborted, requests } = yield* ScriptedTransport.seen
        assert.deepStrictEqual([requests.length, aborted.length], [2, 1])
      })
    )
  )

  it.effect.each(["streamed", "client"] as const)(
    "may race two requests of a %s call, and gives the first answer",
    (kind) =>
      upstream(
        { "*": [hang, ok] },
        { retry: false },
        attempt(({ request }, next) => Effect.raceFirst(next(request), Effect.delay(next(request), "1 second")))
      )((api) =>
        Effect.gen(function* () {
          const asked: Effect.Effect<{ readonly status: number }, CallError> =
            kind === "client" ? UpstreamClient.make(api).get("/items") : Effect.scoped(api.streaming.get("/items"))
          const running = yield* fork(asked)
          yield* TestClock.adjust("1 second")
          assert.strictEqual((yield* Fiber.join(running)).status, 200)
          assert.strictEqual((yield* ScriptedTransport.seen).interrupted.length, 1)
        })
      )
  )

  it.effect("that fails before it has sent anything opens no circuit: the upstream was not asked", () =>
    upstream(
      { "*": [ok] },
      { retry: false, breaker: { trip: [CircuitBreaker.consecutiveFailures(1)] } },
      attempt(() => Effect.fail(new Reason.TokenUnavailable({ detail: "the vault is sealed" })))
    )((api) =>
      Effect.gen(function* () {
        for (let call = 0; call < 3; call++) {
          assert.strictEqual((yield* Effect.flip(api.get("/items"))).reason._tag, "TokenUnavailable")
        }
      })
    )
  )

  it.effect("has the names of its headers in lower case, as those of callers have", () =>
    upstream(
      { "*": [ok] },
      {},
      attempt(({ request }, next) => next({ ...request, headers: { ...request.headers, Authorization: "t" } }))
    )((api) =>
      Effect.gen(function* () {
        yield* api.get("/items")
        assert.strictEqual((yield* ScriptedTransport.seen).requests[0]?.headers["authorization"], "t")
      })
    )
  )

  it.effect("that gives no effect is told so by its name", () =>
    upstream(
      { "*": [ok] },
      {},
      attempt(() => Promise.resolve() as never)
    )((api) =>
      Effect.gen(function* () {
        assert.include(defect(yield* Effect.exit(api.get("/items"))), "stock: the layer odd must give an effect")
      })
    )
  )
})

describe("what is no layer", () => {
  it.effect.each([
    ["attempt[0] must be a layer", { attempt: [undefined] }],
    [
      "attempt[1] must be a layer",
      { attempt: [Effect.succeed({ name: "a", around: () => Effect.never }), { name: "b" }] }
    ],
    ["call[0] must be a layer", { call: [Effect.succeed(undefined)] }],
    ["call must be a list of layers", { call: { name: "a", around: () => Effect.never } }]
  ] as const)("is refused where the upstream is made: %s", ([words, options]) =>
    Effect.gen(function* () {
      // what somebody may declare who has no types
      const made = Effect.suspend(() => upstream({ "*": [ok] }, {}, options as never)((api) => api.get("/items")))
      assert.include(defect(yield* Effect.exit(made)), `RangeError: Upstream stock: ${words}`)
    })
  )
})

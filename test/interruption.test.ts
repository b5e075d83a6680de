import { assert, describe, layer } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Stream } from "effect"
import { Backoff } from "holdfast"
import type { HttpPolicy, Upstream } from "holdfast"
import { bounded, calling, pause, racingTimer, seen } from "./support/calling.ts"
import type { Facts, Listener } from "./support/upstream.ts"
import { Behaviour, TestUpstream } from "./support/upstream.ts"

const unbounded: HttpPolicy.Options = { retry: false, attemptTimeout: false, deadline: false }

/** Longer than a turn of the event loop takes on a busy machine: what is shown not to happen would have happened. */
const momentMillis = 30

/** An interruption is neither a success nor a failure: no error is made of it, and the budget holds nothing of it. */
const assertInterrupted = Effect.fnUntraced(function* (
  call: Fiber.Fiber<unknown, unknown>,
  payments: Upstream.Upstream
) {
  const exit = yield* bounded(Fiber.await(call))
  assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
  if (payments.stages.budget === undefined) return
  assert.deepInclude(yield* payments.stages.budget.snapshot, {
    callsInFlight: 0,
    retriesInFlight: 0,
    granted: 0,
    refused: 0
  })
})

/** What has to be over sooner than a timer of this length is done at once: none of these waits has an end of its own. */
const atOnceMillis = 100

/**
 * What the server has seen a little later. It is asked more than once, so that its event loop has turned since: a machine that is busy is
 * late with all of this, and keeps the order.
 */
const factsSoonAfter = Effect.fnUntraced(function* (listener: Listener) {
  const upstream = yield* TestUpstream
  yield* pause(atOnceMillis)
  for (let turn = 0; turn < 5; turn++) yield* upstream.facts(listener)
  return yield* upstream.facts(listener)
})

const closingOf = ({ connections }: Facts, ordinal: number) =>
  connections.find((connection) => connection.ordinal === ordinal)?.closed

layer(TestUpstream.layer, { excludeTestServices: true })("interruption", (it) => {
  describe.each([
    { security: "plain TCP", options: {} },
    { security: "TLS", options: { tls: {} } }
  ])("over $security", ({ options }) => {
    it.effect.each([
      { state: "waits for the headers", behaviour: Behaviour.http([Behaviour.hang]), body: false },
      { state: "reads the body", behaviour: Behaviour.truncatedBody({ end: "silence" }), body: false },
      {
        state: "reads a body that does not stop",
        behaviour: Behaviour.http([
          Behaviour.answer({ bodyBytes: 10_000_000, chunked: true, chunkBytes: 1_000, chunkDelayMillis: 1 })
        ]),
        body: false
      },
      { state: "sends a body", behaviour: Behaviour.raw([Behaviour.waitForRequestHead]), body: true }
    ])("the server sees at once that a caller which $state has gone", ({ behaviour, body }) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(behaviour, options)
        const payments = yield* calling(listener, { policy: { ...unbounded, retry: {} } })
        const stream = Stream.concat(Stream.make(new Uint8Array(1_000)), Stream.never)
        for (let ordinal = 1; ordinal <= 5; ordinal++) {
          const call = yield* Effect.forkChild(body ? payments.put("/", { stream }) : payments.get("/"))
          yield* upstream.awaitRequests(listener, ordinal)
          yield* pause(5)
          yield* Fiber.interrupt(call)
          yield* assertInterrupted(call, payments)
          assert.deepInclude(closingOf(yield* factsSoonAfter(listener), ordinal), { closedBy: "client" })
        }
      })
    )
  })

  it.effect("no request follows one whose caller left during the back-off", () =>
    Effect.gen(function* () {
      const upstream = yield* TestUpstream
      const listener = yield* upstream.listen(Behaviour.http([Behaviour.status(503)]))
      const payments = yield* calling(listener, {
        policy: { retry: { schedule: Backoff.exponential({ base: "500 millis", jitter: "none" }) } }
      })
      const call = yield* Effect.forkChild(payments.get("/"))
      yield* upstream.awaitFacts(listener, { responsesSent: 1 })
      yield* pause(momentMillis)
      assert.isTrue((yield* racingTimer(atOnceMillis)(Fiber.interrupt(call))).isFirst)
      const exit = yield* Fiber.await(call)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      yield* pause(500 + 2 * momentMillis)
      const { requestsArrived } = yield* upstream.facts(listener)
      assert.strictEqual(requestsArrived, 1)
      const budget = payments.stages.budget === undefined ? undefined : yield* payments.stages.budget.snapshot
      assert.deepInclude(budget, { callsInFlight: 0, retriesInFlight: 0 })
    })
  )

  it.effect("a call that waits for a connection leaves at once, is never sent, and takes nobody's place", () =>
    Effect.gen(function* () {
      const upstream = yield* TestUpstream
      const listener = yield* upstream.listen(
        Behaviour.http([Behaviour.answer({ delayMillis: 1_000, body: "first" }), Behaviour.answer({ body: "later" })])
      )
      const payments = yield* calling(listener, {
        policy: { ...unbounded, retry: {} },
        transport: { connections: 1, maxQueue: 1 }
      })
      const first = yield* Effect.forkChild(payments.get("/first"))
      yield* upstream.awaitRequests(listener, 1)
      for (let waiting = 0; waiting < 5; waiting++) {
        const call = yield* Effect.forkChild(payments.get("/never"))
        yield* pause(1)
        assert.isTrue((yield* racingTimer(atOnceMillis)(Fiber.interrupt(call))).isFirst)
        const exit = yield* Fiber.await(call)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      }
      const last = yield* Effect.forkChild(payments.get("/last"))
      assert.strictEqual((yield* bounded(Fiber.join(first))).text, "first")
      assert.strictEqual((yield* bounded(Fiber.join(last))).text, "later")
      const { connectionsOpened, requests } = yield* upstream.facts(listener)
      assert.deepStrictEqual(
        requests.map(({ url }) => url),
        ["/first", "/last"]
      )
      assert.strictEqual(connectionsOpened, 1)
    })
  )

  it.effect("a call that is still connecting leaves at once", () =>
    Effect.gen(function* () {
      const upstream = yield* TestUpstream
      const silent = yield* upstream.listen(Behaviour.beforeClientHello({ end: "silence" }))
      for (const target of [silent, yield* upstream.unansweredPort]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const payments = yield* calling(target, { policy: { ...unbounded, retry: {} } })
            const call = yield* Effect.forkChild(payments.get("/"))
            yield* pause(momentMillis)
            assert.isTrue((yield* racingTimer(atOnceMillis)(Fiber.interrupt(call))).isFirst)
            yield* assertInterrupted(call, payments)
          })
        )
      }
      yield* upstream.awaitNoOpenConnections(silent)
    })
  )

  it.effect("one caller that leaves takes no other call with it", () =>
    Effect.gen(function* () {
      const upstream = yield* TestUpstream
      const listener = yield* upstream.listen(
        Behaviour.http([Behaviour.answer({ delayMillis: 100, body: "ok" })], {
          routes: [{ path: "/hang", steps: [Behaviour.hang] }]
        })
      )
      const payments = yield* calling(listener, { policy: unbounded, transport: { connections: 4 } })
      const abandoned = yield* Effect.forkChild(payments.get("/hang"))
      yield* upstream.awaitRequests(listener, 1)
      const others = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 12 }, () => seen(payments.get("/"))),
          { concurrency: "unbounded" }
        )
      )
      yield* upstream.awaitRequests(listener, 2)
      yield* Fiber.interrupt(abandoned)
      const tags = (yield* bounded(Fiber.join(others))).map(({ tag }) => tag)
      assert.isTrue(
        tags.every((tag) => tag === "Success"),
        tags.join()
      )
    })
  )

  it.effect("a caller's own timeout closes the connection, and none of its cleanups is lost", () =>
    Effect.gen(function* () {
      const upstream = yield* TestUpstream
      const listener = yield* upstream.listen(Behaviour.http([Behaviour.hang]))
      const payments = yield* calling(listener, { policy: unbounded })
      const cleaned = yield* Deferred.make<boolean>()
      const outcome = yield* payments.get("/").pipe(
        Effect.onInterrupt(() => Deferred.succeed(cleaned, true)),
        Effect.timeoutOption("50 millis")
      )
      assert.strictEqual(outcome._tag, "None")
      assert.isTrue(yield* bounded(Deferred.await(cleaned)))
      yield* upstream.awaitNoOpenConnections(listener)
    })
  )

  it.effect.each([
    { bound: "attemptTimeout", policy: { ...unbounded, attemptTimeout: "80 millis" }, tag: "AttemptTimeout" },
    { bound: "deadline", policy: { ...unbounded, deadline: "80 millis" }, tag: "DeadlineExceeded" }
  ] as const)("the $bound closes the connection as a caller that leaves does", ({ policy, tag }) =>
    Effect.gen(function* () {
      const upstream = yield* TestUpstream
      for (const behaviour of [Behaviour.http([Behaviour.hang]), Behaviour.truncatedBody({ end: "silence" })]) {
        const listener = yield* upstream.listen(behaviour)
        const payments = yield* calling(listener, { policy })
        for (let ordinal = 1; ordinal <= 5; ordinal++) {
          assert.strictEqual((yield* seen(payments.get("/"))).tag, tag)
          assert.deepInclude(closingOf(yield* factsSoonAfter(listener), ordinal), { closedBy: "client" })
        }
      }
    })
  )
})

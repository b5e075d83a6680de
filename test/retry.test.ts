import { assert, describe, layer } from "@effect/vitest"
import { Duration, Effect, Schema, Stream } from "effect"
import { Backoff, RetryBudget } from "holdfast"
import type { HttpPolicy } from "holdfast"
import { bounded, calling, failure, nowMillis, racingTimer, seen, timed } from "./support/calling.ts"
import { Behaviour, TestUpstream } from "./support/upstream.ts"

/** Retries that do not make a test wait. */
const quick: HttpPolicy.RetryOptions = { schedule: Backoff.exponential({ base: "5 millis", cap: "20 millis" }) }

const Ok = Schema.Struct({ ok: Schema.Boolean })

const inSize = (bytes: number): string => (bytes >= 1_000_000 ? `${bytes / 1_000_000} MB` : `${bytes / 1_000} KB`)

layer(TestUpstream.layer, { excludeTestServices: true })("retry", (it) => {
  describe("what is thrown away", () => {
    it.effect.each(
      [1_000_000, 100_000, 60_000, 1_000].flatMap((bytes) =>
        [false, true].map((chunked) => ({
          bytes,
          chunked,
          size: inSize(bytes),
          kind: chunked ? "chunked" : "announced"
        }))
      )
    )("two $kind error bodies of $size leave the one connection of the pool free for the third attempt", (body) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const { bytes: bodyBytes, chunked } = body
        const busy = Behaviour.answer({ status: 503, bodyBytes, chunked })
        const listener = yield* upstream.listen(Behaviour.http([busy, busy, Behaviour.json({ ok: true })]))
        // a wait for what is left of a body would be as long as a wait for its end
        const payments = yield* calling(listener, {
          policy: { retry: quick, deadline: false, limits: { drainTime: "1 hour" } },
          transport: { connections: 1 }
        })
        assert.isTrue((yield* bounded(payments.get("/", { decode: Ok }))).ok)
        const { connectionsOpened, requestsArrived } = yield* upstream.facts(listener)
        assert.strictEqual(requestsArrived, 3)
        // Up to 256 KiB are read to their end, which keeps the connection; what is longer costs it.
        assert.strictEqual(connectionsOpened, bodyBytes > 256 * 1024 ? 3 : 1)
      })
    )

    it.effect("an error body that never ends does not hold the next attempt back for longer than drainTime", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const trickle = Behaviour.answer({
          status: 503,
          body: "x".repeat(60),
          chunked: true,
          chunkBytes: 1,
          chunkDelayMillis: 1_000
        })
        const answeredAfter = Effect.fnUntraced(function* (drainTime: Duration.Input) {
          const listener = yield* upstream.listen(Behaviour.http([trickle, Behaviour.json({ ok: true })]))
          const payments = yield* calling(listener, {
            policy: { deadline: false, attemptTimeout: false, retry: quick, limits: { drainTime } },
            transport: { connections: 1 }
          })
          const { millis, value } = yield* timed(bounded(payments.get("/", { decode: Ok })))
          assert.isTrue(value.ok)
          return millis
        })
        // both at once: what the machine does meanwhile, it does to both
        const [short, long] = yield* Effect.all([answeredAfter("100 millis"), answeredAfter("2 seconds")], {
          concurrency: 2
        })
        assert.isAtLeast(short, 98)
        assert.isBelow(short, long)
        assert.isAtLeast(long, 1_998)
      })
    )
  })

  describe("what may be sent again", () => {
    const failures = [
      { failure: "503", step: Behaviour.status(503), tag: "ServiceUnavailable" },
      { failure: "a reset", step: Behaviour.reset, tag: "ConnectionReset" },
      { failure: "a close", step: Behaviour.close, tag: "ConnectionClosed" },
      { failure: "silence", step: Behaviour.hang, tag: "AttemptTimeout" }
    ] as const

    it.effect.each(failures)("a POST that met $failure is sent once", ({ step, tag }) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([step, Behaviour.json({ ok: true })]))
        const payments = yield* calling(listener, { policy: { retry: quick, attemptTimeout: "150 millis" } })
        const error = yield* failure(payments.post("/", { json: { amount: 1 } }))
        assert.deepStrictEqual([error.reason._tag, error.attempts, error.retryStopped], [tag, 1, "not-replayable"])
        const { requestsArrived } = yield* upstream.facts(listener)
        assert.strictEqual(requestsArrived, 1)
      })
    )

    it.effect.each(failures)("a GET that met $failure twice is sent a third time, and answered", ({ step }) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([step, step, Behaviour.json({ ok: true })]))
        const payments = yield* calling(listener, {
          policy: { retry: quick, attemptTimeout: "150 millis" },
          transport: { connections: 1 }
        })
        assert.isTrue((yield* bounded(payments.get("/", { decode: Ok }))).ok)
        const { requests } = yield* upstream.facts(listener)
        assert.strictEqual(requests.length, 3)
        assert.strictEqual(new Set(requests.map(({ headers }) => headers["x-request-id"])).size, 1)
      })
    )

    it.effect.each(failures)(
      "a POST with an idempotency key that met $failure twice is sent thrice under one key",
      (given) =>
        Effect.gen(function* () {
          const upstream = yield* TestUpstream
          const listener = yield* upstream.listen(
            Behaviour.http([given.step, given.step, Behaviour.json({ ok: true })])
          )
          const payments = yield* calling(listener, { policy: { retry: quick, attemptTimeout: "150 millis" } })
          const charge = payments.post("/", { json: { amount: 1 }, idempotencyKey: true, decode: Ok })
          assert.isTrue((yield* bounded(charge)).ok)
          assert.isTrue((yield* bounded(charge)).ok)
          const { requests } = yield* upstream.facts(listener)
          const keys = requests.map(({ headers }) => headers["idempotency-key"])
          assert.match(keys[0] ?? "", /^"[0-9a-f]{32}"$/)
          assert.deepStrictEqual(keys.slice(0, 3), [keys[0], keys[0], keys[0]])
          // Another call is another key.
          assert.strictEqual(requests.length, 4)
          assert.notStrictEqual(keys[3], keys[0])
          assert.isTrue(requests.every(({ body }) => body.text === `{"amount":1}`))
        })
    )

    it.effect("a POST to a port that refuses is sent again only if the policy says that what is unsent may be", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const target = yield* upstream.refusedPort
        const never = yield* calling(target, { policy: { retry: quick } })
        const unsent = yield* calling(target, { policy: { retry: { ...quick, nonIdempotent: "unsent" } } })
        assert.strictEqual((yield* failure(never.post("/", { json: {} }))).attempts, 1)
        assert.strictEqual((yield* failure(unsent.post("/", { json: {} }))).attempts, 3)
      })
    )

    it.effect(
      "a stream that was begun is not sent again, one that says it can be is, and one that was not begun is",
      () =>
        Effect.gen(function* () {
          const upstream = yield* TestUpstream
          const listener = yield* upstream.listen(Behaviour.http([Behaviour.status(503), Behaviour.json({ ok: true })]))
          let runs = 0
          const stream = Stream.suspend(() => {
            runs += 1
            return Stream.make(new TextEncoder().encode("file"))
          })
          const payments = yield* calling(listener, { policy: { retry: quick } })
          const error = yield* failure(payments.put("/", { stream }))
          assert.deepStrictEqual([error.attempts, error.retryStopped, runs], [1, "not-replayable", 1])

          yield* upstream.become(listener, Behaviour.http([Behaviour.status(503), Behaviour.json({ ok: true })]))
          yield* bounded(payments.put("/", { stream, streamReplayable: true }))
          assert.strictEqual(runs, 3)
          const { requests } = yield* upstream.facts(listener)
          assert.deepStrictEqual(
            requests.map(({ body }) => body.text),
            ["file", "file", "file"]
          )

          const refused = yield* calling(yield* upstream.refusedPort, { policy: { retry: quick } })
          assert.strictEqual((yield* failure(refused.put("/", { stream }))).attempts, 3)
          assert.strictEqual(runs, 3)
        })
    )

    it.effect.each(["reset", "close"] as const)("a body that is cut (%s) is read anew, and then decoded", (end) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(
          Behaviour.faultThen(Behaviour.truncatedBody({ end }), Behaviour.http([Behaviour.json({ ok: true })]), 2)
        )
        const payments = yield* calling(listener, { policy: { retry: quick }, transport: { connections: 1 } })
        assert.isTrue((yield* bounded(payments.get("/", { decode: Ok }))).ok)
        const { requestsArrived } = yield* upstream.facts(listener)
        assert.strictEqual(requestsArrived, 3)
      })
    )
  })

  describe("what the server asks for", () => {
    const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
    // `Sun, 06 Nov 1994 08:49:37 GMT`
    const parts = (at: Date): ReadonlyArray<string> => at.toUTCString().split(" ")

    /** RFC 9110 §5.6.7 and §10.2.3. */
    const forms: ReadonlyArray<{ readonly form: string; readonly write: (at: Date) => string }> = [
      { form: "IMF-fixdate", write: (at) => at.toUTCString() },
      {
        form: "RFC 850",
        write: (at) => {
          const [, day, month, year = "", time] = parts(at)
          return `${days[at.getUTCDay()]}, ${day}-${month}-${year.slice(2)} ${time} GMT`
        }
      },
      {
        form: "asctime",
        write: (at) => {
          const [weekday = "", , month, year, time] = parts(at)
          return `${weekday.slice(0, 3)} ${month} ${String(at.getUTCDate()).padStart(2)} ${time} ${year}`
        }
      }
    ]

    it.effect(
      "a wait in seconds is kept to the millisecond, and spread upwards only, by less than the next second",
      () =>
        Effect.gen(function* () {
          const upstream = yield* TestUpstream
          const waitAfter = Effect.fnUntraced(function* (seconds: string) {
            const listener = yield* upstream.listen(
              Behaviour.http([Behaviour.status(503, { "retry-after": seconds }), Behaviour.json({ ok: true })])
            )
            const payments = yield* calling(listener, { policy: { retry: quick } })
            yield* bounded(payments.get("/"))
            const { requests } = yield* upstream.facts(listener)
            const [first, second] = requests
            return (second?.arrivedAtMillis ?? 0) - (first?.answeredAtMillis ?? 0)
          })
          const [other, ...waits] = yield* Effect.all(
            [waitAfter("2"), ...Array.from({ length: 8 }, () => waitAfter("1"))],
            {
              concurrency: "unbounded"
            }
          )
          assert.isAtLeast(Math.min(...waits), 1_000)
          assert.isBelow(Math.max(...waits), other)
          assert.isAtLeast(other, 2_000)
        })
    )

    it.effect.each(forms)("no request comes before a date written as $form", ({ write }) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        // A wall clock, because the header is one: whole seconds, of which the present one is not over.
        const at = new Date((Math.floor(Date.now() / 1_000) + 2) * 1_000)
        const listener = yield* upstream.listen(
          Behaviour.http([Behaviour.status(503, { "retry-after": write(at) }), Behaviour.json({ ok: true })])
        )
        const payments = yield* calling(listener, { policy: { retry: quick } })
        yield* bounded(payments.get("/"))
        assert.isAtLeast(Date.now(), at.getTime())
        const { requests } = yield* upstream.facts(listener)
        const [, second] = requests
        assert.strictEqual(requests.length, 2)
        // The facts are on a monotonic clock; `Date.now()` cuts off up to a millisecond.
        const wallAhead = Date.now() - nowMillis()
        assert.isAtLeast((second?.arrivedAtMillis ?? 0) + wallAhead, at.getTime() - 1)
      })
    )

    it.effect.each([
      // beyond what the test waits for at all
      { limit: "deadline", policy: { deadline: "1 hour", retry: { ...quick, maxServerWait: "3 hours" } } },
      { limit: "maxServerWait", policy: { deadline: false, retry: { ...quick, maxServerWait: "1 hour" } } }
    ] as const)("a wait beyond the $limit ends the call at once, with what the server said", ({ policy }) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(
          Behaviour.http([Behaviour.status(503, { "retry-after": "7200" }), Behaviour.json({ ok: true })])
        )
        const payments = yield* calling(listener, { policy })
        const error = yield* failure(payments.get("/"))
        assert.deepStrictEqual([error.retryStopped, error.attempts], ["server-wait", 1])
        if (error.reason._tag !== "ServiceUnavailable") throw new Error(error.message)
        assert.strictEqual(Duration.toSeconds(error.reason.retryAfter ?? Duration.zero), 7200)
        const { requestsArrived } = yield* upstream.facts(listener)
        assert.strictEqual(requestsArrived, 1)
      })
    )
  })

  describe("what bounds it", () => {
    const calls = 400

    /** All that the budget can have granted: a share of the calls, and the reserve of every window that was touched. */
    const mostAttempts = (elapsedMillis: number): number => {
      const { minimumPerSecond, ratio, ttl } = RetryBudget.defaults
      const windows = 1 + Math.ceil(elapsedMillis / Duration.toMillis(ttl))
      return calls * (1 + ratio) + windows * minimumPerSecond * Duration.toSeconds(ttl)
    }

    it.effect.each([
      { outage: "an upstream that was stopped", stop: true },
      { outage: "an upstream that answers 503", stop: false }
    ])("the budget keeps the attempts at $outage within a fifth of the calls and the reserve", ({ stop }) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.status(503)]))
        const payments = yield* calling(listener, { policy: { retry: { ...quick, maxAttempts: 4 }, breaker: false } })
        if (stop) yield* upstream.stop(listener)
        const { millis, value: errors } = yield* timed(
          bounded(
            Effect.all(
              Array.from({ length: calls }, () => failure(payments.get("/"))),
              { concurrency: 32 }
            )
          )
        )
        const attempts = errors.reduce((sum, error) => sum + error.attempts, 0)
        assert.isAtMost(attempts, mostAttempts(millis))
        // It did retry, and without a budget it would be four attempts each.
        assert.isAbove(attempts, calls)
        assert.isAbove(errors.filter(({ retryStopped }) => retryStopped === "budget").length, calls / 2)
        if (!stop) assert.strictEqual((yield* upstream.facts(listener)).requestsArrived, attempts)
        const budget = payments.stages.budget === undefined ? undefined : yield* payments.stages.budget.snapshot
        assert.deepInclude(budget, { callsInFlight: 0, retriesInFlight: 0 })
      })
    )

    it.effect("the deadline holds over attempts and waits together, and says why the last attempt failed", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.hang]))
        const payments = yield* calling(listener, {
          policy: { deadline: "400 millis", attemptTimeout: "150 millis", retry: { ...quick, maxAttempts: 10 } }
        })
        // half a second more than the deadline, and less than the attempts would have had
        const { isFirst, value: error } = yield* racingTimer(900)(failure(payments.get("/")))
        assert.isTrue(isFirst)
        assert.isAtLeast(Duration.toMillis(error.elapsed), 300)
        assert.isAtLeast(error.attempts, 2)
        assert.include(["AttemptTimeout", "DeadlineExceeded"], error.reason._tag)
        const { requestsArrived } = yield* upstream.awaitNoOpenConnections(listener)
        assert.strictEqual(requestsArrived, error.attempts)
      })
    )

    it.effect("a back-off that would end after the deadline is not begun", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.status(503)]))
        const payments = yield* calling(listener, {
          policy: {
            deadline: "1 hour",
            retry: { schedule: Backoff.exponential({ base: "2 hours", cap: "2 hours", jitter: "none" }) }
          }
        })
        const error = yield* failure(payments.get("/"))
        assert.deepStrictEqual([error.retryStopped, error.reason._tag], ["deadline", "ServiceUnavailable"])
      })
    )

    it.effect("a call that nothing can help is made once", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.status(404)]))
        const payments = yield* calling(listener, { policy: { retry: quick } })
        const error = yield* failure(payments.get("/"))
        assert.deepStrictEqual([error.retryStopped, error.attempts], ["not-retryable", 1])
        assert.strictEqual((yield* seen(payments.get("/", { expectedStatus: [404] }))).tag, "Success")
      })
    )
  })
})

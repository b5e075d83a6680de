import { Arbitrary, Clock, Duration, Effect, Exit, Fiber, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as Deadline from "../src/Deadline.ts"
import * as RateLimit from "../src/RateLimit.ts"
import { makeCalls, refusalOf } from "./support/limitedCalls.ts"

const exactly = (message: string) => new RegExp(`^${message.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`)

const hint = (remaining: number, resetAfter: Duration.Input): RateLimit.Hint => ({
  remaining,
  resetAfter: Duration.fromInputUnsafe(resetAfter)
})

for (const algorithm of ["token-bucket", "sliding-window"] as const) {
  describe(`RateLimit with a ${algorithm}`, () => {
    const make = (options: Partial<RateLimit.Options> = {}) => RateLimit.make({ limit: 2, algorithm, ...options })

    it.effect("calls beyond the limit go in the order in which they came, each at its time", () =>
      Effect.gen(function* () {
        const limiter = make()
        const { call, wentAt } = makeCalls(limiter)
        for (const name of ["a", "b", "c", "d", "e"]) yield* call(name)
        assert.deepInclude(yield* limiter.snapshot, { remaining: 0, waiting: 3, admitted: 2, delayed: 3 })
        yield* TestClock.adjust("5 seconds")
        const times = algorithm === "token-bucket" ? [0, 0, 500, 1000, 1500] : [0, 0, 1000, 1000, 2000]
        assert.deepStrictEqual(
          wentAt,
          ["a", "b", "c", "d", "e"].map((name, index) => [name, times[index] ?? Number.NaN])
        )
        assert.deepInclude(yield* limiter.snapshot, { remaining: 2, waiting: 0, admitted: 5, refused: 0 })
      })
    )

    for (const [limit, everyMillis] of [
      [0.5, 2000],
      [0.001, 1_000_000],
      [1 / 3, 3000]
    ] as const) {
      it.effect(`a limit of ${limit} a second is one call in ${everyMillis} ms`, () =>
        Effect.gen(function* () {
          const { call, wentAt } = makeCalls(make({ limit, maxWait: "1 day" }))
          for (const name of ["a", "b", "c"]) yield* call(name)
          yield* TestClock.adjust(2 * everyMillis)
          assert.deepStrictEqual(
            wentAt.map(([, at]) => Math.round(at)),
            [0, everyMillis, 2 * everyMillis]
          )
        })
      )
    }

    it.effect("asking for room takes nothing; what is spent in any case makes the next wait", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 1, window: "10 seconds", maxWait: "1 minute" })
        for (let asked = 0; asked < 3; asked++) assert.isTrue(limiter.hasRoom(0))
        limiter.spend(0)
        assert.isFalse(limiter.hasRoom(0))
        limiter.spend(0)
        assert.isFalse(limiter.hasRoom(9999))
        assert.isTrue(limiter.hasRoom(20_000))
        assert.isTrue(RateLimit.make({ limit: 1, algorithm, mode: "observe" }).hasRoom(0, 2))
      })
    )

    it.effect("who would wait longer than maxWait is refused at once, and told when to come", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 1, window: "3 seconds", maxWait: "4 seconds" })
        const { call, wentAt } = makeCalls(limiter)
        yield* call("a")
        yield* call("b")
        const error = yield* refusalOf(yield* call("c"))
        assert.strictEqual(error._tag, "RateLimited")
        assert.deepStrictEqual(error.retryAfter, Duration.seconds(6))
        assert.strictEqual(
          error.message,
          "the client's own rate limit has no permit left (limit of 1 in 3.00s; the wait would be too long (max-wait)); " +
            "next try in 6s; nothing was sent"
        )
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(
          wentAt.map(([name]) => name),
          ["a", "b"]
        )
        assert.deepInclude(yield* limiter.snapshot, { refused: 1, admitted: 2 })
      })
    )

    it.effect("who would wait until the deadline or longer is refused at once, ambient or given", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 1 })
        const { call, wentAt } = makeCalls(limiter)
        yield* call("a")
        const late = yield* call("late").pipe(Deadline.within("1 second"))
        assert.include((yield* refusalOf(late)).message, "(deadline)")
        const given = yield* call("given", { deadline: { atMillis: 900, budgetMillis: 900 } })
        assert.include((yield* refusalOf(given)).message, "(deadline)")
        yield* call("b").pipe(Deadline.within("1001 millis"))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(wentAt, [
          ["a", 0],
          ["b", 1000]
        ])
      })
    )

    it.effect("told to refuse, nobody waits", () =>
      Effect.gen(function* () {
        const limiter = make({ onLimit: "refuse" })
        const { call, wentAt } = makeCalls(limiter)
        yield* call("a")
        yield* TestClock.adjust("200 millis")
        yield* call("b")
        const error = yield* refusalOf(yield* call("c"))
        const first = algorithm === "token-bucket" ? 300 : 800
        assert.deepStrictEqual(error.retryAfter, Duration.millis(first))
        assert.strictEqual(error.detail, "limit of 2 in 1.00s")
        yield* TestClock.adjust(first - 1)
        yield* refusalOf(yield* call("d"))
        yield* TestClock.adjust(1)
        yield* call("e")
        assert.deepStrictEqual(
          wentAt.map(([name]) => name),
          ["a", "b", "e"]
        )
        assert.deepInclude(yield* limiter.snapshot, { delayed: 0, refused: 2 })
      })
    )

    it.effect("a retryAfter is never a part of a millisecond too early", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 3, window: "100 millis", onLimit: "refuse" })
        for (let call = 0; call < 3; call++) yield* limiter.run(Effect.void)
        const error = yield* Effect.flip(limiter.run(Effect.void))
        yield* TestClock.adjust(error.retryAfter ?? Duration.infinity)
        yield* limiter.run(Effect.void)
      })
    )

    it.effect("a call uses as much of the limit as it costs, and nothing if that is nothing", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 10 })
        const { call, wentAt } = makeCalls(limiter)
        yield* call("seven", { cost: 7 })
        assert.deepInclude(yield* limiter.snapshot, { remaining: 3 })
        yield* call("four", { cost: 4 })
        yield* call("none", { cost: 0 })
        const error = yield* refusalOf(yield* call("eleven", { cost: 11 }))
        assert.isUndefined(error.retryAfter)
        assert.strictEqual(error.detail, "limit of 10 in 1.00s; a cost of 11 is more than it ever allows")
        yield* TestClock.adjust("1 second")
        const at = algorithm === "token-bucket" ? 100 : 1000
        assert.deepStrictEqual(wentAt, [
          ["seven", 0],
          ["none", 0],
          ["four", at]
        ])
        assert.isTrue(Exit.hasDies(yield* Effect.exit(limiter.run(Effect.void, { cost: -1 }))))
        assert.throws(() => limiter.admit(0, { cost: Number.NaN }), RangeError, "cost must be at least 0, got NaN")
      })
    )

    it.effect("a waiter that is interrupted gives its time back, and nobody behind it is hurt", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 1 })
        const { call, wentAt } = makeCalls(limiter)
        yield* call("a")
        const b = yield* call("b")
        yield* call("c")
        const d = yield* call("d")
        yield* Fiber.interrupt(d)
        yield* Fiber.interrupt(b)
        assert.deepInclude(yield* limiter.snapshot, { waiting: 1, abandoned: 2 })
        yield* call("e")
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(wentAt, [
          ["a", 0],
          ["c", 2000],
          ["e", 3000]
        ])
      })
    )

    it.effect("when all who wait are interrupted, everything is back", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 1 })
        const { call } = makeCalls(limiter)
        yield* call("a")
        const fibers = yield* Effect.forEach(["b", "c", "d", "e"], (name) => call(name))
        yield* TestClock.adjust("500 millis")
        yield* Fiber.interruptAll(fibers)
        assert.deepInclude(yield* limiter.snapshot, { waiting: 0, abandoned: 4, admitted: 1 })
        const next = limiter.admit(500)
        if (next._tag !== "Permit") return assert.fail()
        assert.isDefined(next.ready)
        const going = yield* Effect.forkChild(next.ready ?? Effect.void)
        yield* TestClock.adjust("499 millis")
        assert.isUndefined(going.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.isDefined(going.pollUnsafe())
      })
    )

    it.effect("a call that has gone gives nothing back, whatever becomes of it", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 1 })
        yield* Effect.ignore(limiter.run(Effect.fail("no")))
        const running = yield* Effect.forkChild(limiter.run(Effect.never))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(running)
        assert.deepInclude(yield* limiter.snapshot, { remaining: 0, admitted: 2, abandoned: 0 })
      })
    )

    it.effect("observe delays and refuses nobody, and counts and tells what it would have done", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 1, maxWait: "1 second", mode: "observe" })
        const events: Array<RateLimit.Event> = []
        limiter.events.subscribe((event) => events.push(event))
        const { call, wentAt } = makeCalls(limiter)
        for (const name of ["a", "b", "c"]) yield* call(name)
        assert.deepStrictEqual(
          wentAt.map(([, at]) => at),
          [0, 0, 0]
        )
        assert.deepInclude(yield* limiter.snapshot, { admitted: 2, delayed: 1, refused: 1, waiting: 1 })
        assert.deepStrictEqual(events, [
          { _tag: "RateLimitDelayed", cost: 1, wait: Duration.seconds(1), observed: true },
          { _tag: "RateLimitRefused", why: "max-wait", cost: 1, retryAfter: Duration.seconds(2), observed: true }
        ])
        assert.isTrue(limiter.admit(0)._tag === "Permit")
      })
    )

    it.effect("off is not there", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 1, mode: "off", onLimit: "refuse" })
        const { call, wentAt } = makeCalls(limiter)
        for (const name of ["a", "b", "c"]) yield* call(name)
        assert.strictEqual(wentAt.length, 3)
        assert.isTrue(limiter.admit(0)._tag === "Permit")
        assert.deepInclude(yield* limiter.snapshot, { admitted: 0, refused: 0 })
      })
    )

    it.effect("listeners hear of delays, refusals, giving up and the server's word", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 1, maxWait: "1 second" })
        const events: Array<RateLimit.Event> = []
        limiter.events.subscribe((event) => events.push(event))
        const { call } = makeCalls(limiter)
        yield* call("a")
        assert.deepStrictEqual(events, [], "a call that goes at once is no event")
        const b = yield* call("b")
        yield* Fiber.await(yield* call("c"))
        yield* Fiber.interrupt(b)
        yield* limiter.adjust(hint(5, "2 minutes"))
        assert.deepStrictEqual(events, [
          { _tag: "RateLimitDelayed", cost: 1, wait: Duration.seconds(1), observed: false },
          { _tag: "RateLimitRefused", why: "max-wait", cost: 1, retryAfter: Duration.seconds(2), observed: false },
          { _tag: "RateLimitAbandoned", cost: 1 },
          { _tag: "RateLimitAdjusted", remaining: 5, until: Duration.minutes(1) }
        ])
      })
    )

    it.effect("with nothing left at the server, who comes and who waits already waits until there is more", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 1, maxWait: "1 minute" })
        const { call, wentAt } = makeCalls(limiter)
        yield* call("a")
        yield* call("b")
        yield* call("c")
        yield* TestClock.adjust("500 millis")
        yield* limiter.adjust(hint(0, "10 seconds"))
        yield* call("d")
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(wentAt, [
          ["a", 0],
          ["b", 10_500],
          ["c", 11_500],
          ["d", 12_500]
        ])
      })
    )

    it.effect("who may not wait so long as the server asked meanwhile is refused when its time comes", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 1 })
        const { call, wentAt } = makeCalls(limiter)
        yield* call("a")
        const b = yield* call("b")
        const c = yield* call("c").pipe(Deadline.within("4 seconds"))
        yield* limiter.adjust(hint(0, "3500 millis"))
        yield* TestClock.adjust("3 seconds")
        assert.include((yield* refusalOf(c)).message, "(deadline); the server leaves 0)")
        yield* TestClock.adjust("1 second")
        assert.isDefined(b.pollUnsafe())
        assert.deepStrictEqual(wentAt, [
          ["a", 0],
          ["b", 3500]
        ])
        assert.deepInclude(yield* limiter.snapshot, { waiting: 0, refused: 1, admitted: 2, abandoned: 0 })
      })
    )

    it.effect("a hostile reset stops nobody longer than maxServerWait, and is forgotten then", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 10, maxWait: "1 hour", maxServerWait: "30 seconds" })
        const { call, wentAt } = makeCalls(limiter)
        yield* limiter.adjust(hint(0, "36400 seconds"))
        assert.deepStrictEqual((yield* limiter.snapshot).server, { remaining: 0, until: Duration.seconds(30) })
        yield* call("a")
        yield* TestClock.adjust("29999 millis")
        assert.deepStrictEqual(wentAt, [])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(wentAt, [["a", 30_000]])
        assert.isUndefined((yield* limiter.snapshot).server)
        yield* call("b")
        assert.strictEqual(wentAt.length, 2)
      })
    )

    it.effect("the server's pace spreads what it leaves, and a slower limit of our own still holds", () =>
      Effect.gen(function* () {
        const fast = make({ limit: 100 })
        const { call, wentAt } = makeCalls(fast)
        yield* fast.adjust(hint(4, "4 seconds"))
        for (const name of ["a", "b", "c", "d", "e"]) yield* call(name)
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(
          wentAt.map(([, at]) => at),
          [0, 0, 1000, 2000, 4000]
        )
        const slow = make({ limit: 1, maxWait: "1 minute" })
        const slowly = makeCalls(slow)
        yield* slow.adjust(hint(1000, "1 second"))
        for (const name of ["a", "b", "c"]) yield* slowly.call(name)
        yield* TestClock.adjust("1 minute")
        const start = slowly.wentAt[0]?.[1] ?? Number.NaN
        assert.deepStrictEqual(
          slowly.wentAt.map(([, at]) => at - start),
          [0, 1000, 2000]
        )
      })
    )

    it.effect("who waited for the server does not go all at once afterwards", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 2, maxWait: "1 minute" })
        const { call, wentAt } = makeCalls(limiter)
        yield* limiter.adjust(hint(0, "10 seconds"))
        for (const name of ["a", "b", "c", "d"]) yield* call(name)
        yield* TestClock.adjust("1 minute")
        const times = algorithm === "token-bucket" ? [10_000, 10_000, 10_500, 11_000] : [10_000, 10_000, 11_000, 11_000]
        assert.deepStrictEqual(
          wentAt.map(([, at]) => at),
          times
        )
      })
    )

    it.effect("a word of the server that makes no sense changes nothing", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 1 })
        yield* limiter.adjust(hint(-1, "1 second"))
        yield* limiter.adjust(hint(Number.NaN, "1 second"))
        yield* limiter.adjust(hint(0, 0))
        assert.isUndefined((yield* limiter.snapshot).server)
        yield* limiter.run(Effect.void)
      })
    )

    it.effect("reading the snapshot changes nothing", () =>
      Effect.gen(function* () {
        const limiter = make({ limit: 1 })
        const { call } = makeCalls(limiter)
        yield* call("a")
        yield* call("b")
        yield* limiter.adjust(hint(3, "5 seconds"))
        const before = yield* limiter.snapshot
        assert.deepStrictEqual(yield* limiter.snapshot, before)
      })
    )

    it.effect.prop(
      "calls that come and are interrupted at any time never exceed the limit, and leave nothing behind",
      [
        Arbitrary.array(
          Arbitrary.schema(
            Schema.Struct({
              event: Schema.Literals(["call", "call", "interrupt", "tick", "server"]),
              who: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1500 })),
              cost: Schema.Literals([1, 1, 2, 3])
            })
          ),
          { maxLength: 50 }
        )
      ],
      ([events]) =>
        Effect.gen(function* () {
          const limit = 3
          const limiter = make({ limit })
          const went: Array<{ readonly at: number; readonly cost: number }> = []
          const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
          for (const { cost, event, who } of events) {
            const fiber = fibers[who % Math.max(1, fibers.length)]
            if (event === "call") {
              const self = Effect.map(Clock.currentTimeMillis, (at) => void went.push({ at, cost }))
              fibers.push(yield* Effect.forkChild(limiter.run(self, { cost })))
            } else if (event === "interrupt" && fiber !== undefined) yield* Fiber.interrupt(fiber)
            else if (event === "tick") yield* TestClock.adjust(who)
            else if (event === "server") yield* limiter.adjust(hint(who % 4, who))
          }
          yield* TestClock.adjust("1 minute")
          for (const fiber of fibers) assert.isDefined(fiber.pollUnsafe())
          const snapshot = yield* limiter.snapshot
          assert.deepInclude(snapshot, { waiting: 0, remaining: limit, admitted: went.length })
          assert.isTrue(went.length + snapshot.refused + snapshot.abandoned <= fibers.length)
          for (const from of went) {
            for (const length of [1, 300, 999]) {
              const inside = went.filter(({ at }) => at >= from.at && at < from.at + length)
              const sum = inside.reduce((total, { cost }) => total + cost, 0)
              const most = algorithm === "token-bucket" ? limit + (limit * length) / 1000 : limit
              assert.isTrue(sum <= most + 0.01, `${sum} in ${length} ms`)
            }
          }
        }),
      { arbitrary: { runs: 100 } }
    )
  })
}

describe("RateLimit", () => {
  it.effect("burst says what a full bucket lets pass at once", () =>
    Effect.gen(function* () {
      const limiter = RateLimit.make({ limit: 10, burst: 1 })
      const { call, wentAt } = makeCalls(limiter)
      for (const name of ["a", "b", "c"]) yield* call(name)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        wentAt.map(([, at]) => at),
        [0, 100, 200]
      )
    })
  )

  it.effect("a limit below one a window still lets whole calls pass", () =>
    Effect.gen(function* () {
      const limiter = RateLimit.make({ limit: 0.5 })
      yield* limiter.run(Effect.void)
      assert.deepStrictEqual((yield* limiter.snapshot).remaining, 0)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual((yield* limiter.snapshot).remaining, 1)
    })
  )

  it.effect("left out: a window of a second, a token bucket, a wait of 5 s at most", () =>
    Effect.gen(function* () {
      const limiter = RateLimit.make({ limit: 1 })
      const { call } = makeCalls(limiter)
      for (const name of ["a", "b", "c", "d", "e", "f"]) yield* call(name)
      assert.deepInclude(yield* limiter.snapshot, { waiting: 5, refused: 0, window: Duration.seconds(1) })
      assert.deepStrictEqual((yield* refusalOf(yield* call("g"))).retryAfter, Duration.seconds(6))
      yield* limiter.adjust(hint(0, "1 hour"))
      assert.deepStrictEqual((yield* limiter.snapshot).server?.until, Duration.seconds(60))
    })
  )

  it.effect("in two steps: what is admitted waits by its own effect, and what is released is free again", () =>
    Effect.gen(function* () {
      const limiter = RateLimit.make({ limit: 1 })
      const first = limiter.admit(0)
      const second = limiter.admit(0)
      const refused = limiter.admit(0, { deadline: { atMillis: 1500, budgetMillis: 1500 } })
      if (first._tag !== "Permit" || second._tag !== "Permit") return assert.fail()
      assert.isUndefined(first.ready)
      assert.isTrue(refused._tag === "RateLimited")
      first.release(0)
      assert.deepInclude(yield* limiter.snapshot, { remaining: 0, waiting: 1 })
      second.release(0)
      second.release(0)
      assert.deepInclude(yield* limiter.snapshot, { waiting: 0, abandoned: 1 })
      const third = limiter.admit(0)
      if (third._tag !== "Permit" || third.ready === undefined) return assert.fail()
      const waiting = yield* Effect.forkChild(third.ready)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(waiting)
      third.release(1000)
      assert.deepInclude(yield* limiter.snapshot, { remaining: 0, abandoned: 1, admitted: 2 })
    })
  )

  it("an option out of range is refused, by its name and with what was got", () => {
    const refused = (options: RateLimit.Options, message: string) =>
      assert.throws(() => RateLimit.make(options), RangeError, exactly(`RateLimit: ${message}`))
    refused({ limit: 0 }, "limit must be a finite number above 0, got 0")
    refused({ limit: Infinity }, "limit must be a finite number above 0, got Infinity")
    refused({ limit: Number.NaN }, "limit must be a finite number above 0, got NaN")
    refused({ limit: 1, window: 0 }, "window (milliseconds) must be a finite number above 0, got 0")
    refused({ limit: 1, burst: 0.5 }, "burst must be a finite number of at least 1, got 0.5")
    refused({ limit: 1, maxWait: -1 }, "maxWait must not be negative, got -1")
    refused({ limit: 1, maxServerWait: -1 }, "maxServerWait must not be negative, got -1")
    refused(
      { limit: 1, burst: 2, algorithm: "sliding-window" },
      "burst must be left out for a sliding window, got 2; only a token bucket has one"
    )
  })
})

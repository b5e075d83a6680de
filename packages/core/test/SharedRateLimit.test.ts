import { Duration, Effect, Exit, Fiber, Layer, Logger, References } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"
import * as Deadline from "../src/Deadline.ts"
import * as SharedRateLimit from "../src/SharedRateLimit.ts"
import { makeCalls, refusalOf, settle } from "./support/limitedCalls.ts"

/** A store with one bucket operation. */
const storeOf = (tokenBucket: RateLimiter.RateLimiterStore["Service"]["tokenBucket"]) =>
  Layer.effect(
    RateLimiter.RateLimiterStore,
    Effect.map(RateLimiter.RateLimiterStore, (memory) => RateLimiter.RateLimiterStore.of({ ...memory, tokenBucket }))
  ).pipe(Layer.provide(RateLimiter.layerStoreMemory))

const down = storeOf(() =>
  Effect.fail(
    new RateLimiter.RateLimiterError({ reason: new RateLimiter.RateLimitStoreError({ message: "connection refused" }) })
  )
)

const stuck = storeOf(() => Effect.never)

const inMemory = Effect.provide(RateLimiter.layerStoreMemory)

describe("SharedRateLimit", () => {
  it.effect("two limiters of one key share its limit, and wait for it together", () =>
    Effect.gen(function* () {
      const one = makeCalls(yield* SharedRateLimit.make({ key: "payments", limit: 2 }))
      const other = makeCalls(yield* SharedRateLimit.make({ key: "payments", limit: 2 }))
      const apart = makeCalls(yield* SharedRateLimit.make({ key: "else", limit: 2 }))
      yield* one.call("a")
      yield* other.call("b")
      yield* one.call("c")
      yield* other.call("d")
      yield* apart.call("e")
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(one.wentAt, [
        ["a", 0],
        ["c", 500]
      ])
      assert.deepStrictEqual(other.wentAt, [
        ["b", 0],
        ["d", 1000]
      ])
      assert.deepStrictEqual(apart.wentAt, [["e", 0]])
    }).pipe(inMemory)
  )

  it.effect("who would wait too long, or until the deadline, is refused at once and owes nothing", () =>
    Effect.gen(function* () {
      const limiter = yield* SharedRateLimit.make({ key: "k", limit: 1, maxWait: "1500 millis" })
      const { call, wentAt } = makeCalls(limiter)
      yield* call("a")
      const hurried = yield* refusalOf(yield* call("hurried").pipe(Deadline.within("1 second")))
      assert.include(hurried.message, "(deadline)")
      yield* call("b")
      const error = yield* refusalOf(yield* call("c"))
      assert.deepStrictEqual(error.retryAfter, Duration.seconds(2))
      assert.strictEqual(
        error.detail,
        "limit of 1 in 1.00s for all processes together; the wait would be too long (max-wait)"
      )
      yield* TestClock.adjust("1 second")
      yield* call("d")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(wentAt, [
        ["a", 0],
        ["b", 1000],
        ["d", 2000]
      ])
      assert.deepInclude(yield* limiter.snapshot, { admitted: 3, delayed: 2, refused: 2, waiting: 0 })
    }).pipe(inMemory)
  )

  it.effect("told to refuse, nobody waits, and a refusal takes nothing", () =>
    Effect.gen(function* () {
      const limiter = yield* SharedRateLimit.make({ key: "k", limit: 4, window: "2 seconds", onLimit: "refuse" })
      for (let call = 0; call < 4; call++) yield* limiter.run(Effect.void)
      for (let call = 0; call < 3; call++) {
        assert.deepStrictEqual((yield* Effect.flip(limiter.run(Effect.void))).retryAfter, Duration.millis(500))
      }
      yield* TestClock.adjust("500 millis")
      yield* limiter.run(Effect.void)
      assert.deepInclude(yield* limiter.snapshot, { admitted: 5, refused: 3, delayed: 0 })
    }).pipe(inMemory)
  )

  it.effect("a waiter that is interrupted gives its time back to all who share", () =>
    Effect.gen(function* () {
      const limiter = yield* SharedRateLimit.make({ key: "k", limit: 1 })
      const { call, wentAt } = makeCalls(limiter)
      yield* call("a")
      const gone = yield* call("b")
      assert.deepInclude(yield* limiter.snapshot, { waiting: 1 })
      yield* Fiber.interrupt(gone)
      assert.deepInclude(yield* limiter.snapshot, { waiting: 0, abandoned: 1 })
      yield* call("c")
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(wentAt, [
        ["a", 0],
        ["c", 1000]
      ])
      yield* TestClock.adjust("5 seconds")
      yield* call("d")
      assert.strictEqual(wentAt.length, 3)
    }).pipe(inMemory)
  )

  it.effect("an interruption while the store is asked loses no token", () =>
    Effect.gen(function* () {
      const memory = yield* RateLimiter.RateLimiterStore
      let taken = 0
      // the answer is on its way for 50 ms
      const slow = RateLimiter.RateLimiterStore.of({
        ...memory,
        tokenBucket: (options) =>
          Effect.tap(memory.tokenBucket(options), ([remaining]) => {
            if (remaining >= 0 || options.allowOverflow) taken += options.tokens
            return Effect.sleep("50 millis")
          })
      })
      const limiter = yield* Effect.provideService(
        SharedRateLimit.make({ key: "k", limit: 1 }),
        RateLimiter.RateLimiterStore,
        slow
      )
      const { call, wentAt } = makeCalls(limiter)
      yield* call("a")
      yield* TestClock.adjust("50 millis")
      const gone = yield* call("b")
      yield* TestClock.adjust("75 millis")
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(gone))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(interrupting)
      assert.strictEqual(taken, 1, "what b owed was given back")
      assert.strictEqual(wentAt.length, 1)
    }).pipe(inMemory)
  )

  it.effect(
    "when others come between the two questions, who would then wait too long is refused and owes nothing",
    () =>
      Effect.gen(function* () {
        const memory = yield* RateLimiter.RateLimiterStore
        const crowded = RateLimiter.RateLimiterStore.of({
          ...memory,
          tokenBucket: (options) =>
            options.allowOverflow && options.tokens > 0
              ? Effect.andThen(memory.tokenBucket({ ...options, tokens: 3 }), memory.tokenBucket(options))
              : memory.tokenBucket(options)
        })
        const limiter = yield* Effect.provideService(
          SharedRateLimit.make({ key: "k", limit: 1, maxWait: "2 seconds" }),
          RateLimiter.RateLimiterStore,
          crowded
        )
        yield* limiter.run(Effect.void)
        const error = yield* Effect.flip(limiter.run(Effect.void))
        assert.deepStrictEqual(error.retryAfter, Duration.seconds(4))
        const [remaining] = yield* memory.tokenBucket({
          key: "k",
          tokens: 0,
          limit: 1,
          refillRate: Duration.seconds(1),
          allowOverflow: false
        })
        assert.strictEqual(remaining, -3, "what the others owe")
      }).pipe(inMemory)
  )

  it.effect("interrupted while it runs, a call stops at once", () =>
    Effect.gen(function* () {
      const limiter = yield* SharedRateLimit.make({ key: "k", limit: 1 })
      const fiber = yield* Effect.forkChild(limiter.run(Effect.never))
      yield* settle
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.deepInclude(yield* limiter.snapshot, { admitted: 1, abandoned: 0 })
    }).pipe(inMemory)
  )

  it.effect("when the store is down calls pass, and it is told", () =>
    Effect.gen(function* () {
      const limiter = yield* SharedRateLimit.make({ key: "k", limit: 1 })
      const events: Array<SharedRateLimit.Event> = []
      limiter.events.subscribe((event) => events.push(event))
      assert.strictEqual(yield* limiter.run(Effect.succeed(1)), 1)
      assert.deepStrictEqual(events, [{ _tag: "SharedRateLimitStoreFailed", message: "connection refused" }])
      assert.deepInclude(yield* limiter.snapshot, { admitted: 1, storeFailures: 1 })
    }).pipe(Effect.provide(down))
  )

  it.effect("when the store is down and that is asked for, calls are refused", () =>
    Effect.gen(function* () {
      const limiter = yield* SharedRateLimit.make({ key: "k", limit: 1, onStoreError: "refuse" })
      const error = yield* Effect.flip(limiter.run(Effect.void))
      assert.strictEqual(error.detail, "limit of 1 in 1.00s for all processes together; its store cannot be asked")
      assert.isUndefined(error.retryAfter)
    }).pipe(Effect.provide(down))
  )

  it.effect("a store that does not answer is down after its time", () =>
    Effect.gen(function* () {
      const limiter = yield* SharedRateLimit.make({ key: "k", limit: 1 })
      const { call, wentAt } = makeCalls(limiter)
      yield* call("a")
      yield* TestClock.adjust("249 millis")
      assert.deepStrictEqual(wentAt, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(wentAt, [["a", 250]])
      assert.deepInclude(yield* limiter.snapshot, { storeFailures: 1 })
    }).pipe(Effect.provide(stuck))
  )

  it.effect(
    "a store that does not answer costs a caller no more than its deadline, and who is interrupted nothing",
    () =>
      Effect.gen(function* () {
        for (const leave of ["deadline", "interruption"] as const) {
          const limiter = yield* SharedRateLimit.make({ key: "k", limit: 1 })
          const call = yield* Effect.forkChild(limiter.run(Effect.succeed("went")).pipe(Deadline.within("10 millis")))
          yield* settle
          if (leave === "interruption") yield* Fiber.interrupt(call)
          else {
            yield* TestClock.adjust("10 millis")
            assert.strictEqual(yield* Fiber.join(call), "went")
          }
          assert.deepInclude(yield* limiter.snapshot, { storeFailures: 0 })
          yield* TestClock.adjust("250 millis")
          assert.deepInclude(yield* limiter.snapshot, { storeFailures: 1 }, "the store had its time, and is known now")
        }
      }).pipe(Effect.provide(stuck), Effect.provideService(References.UnhandledLogLevel, undefined))
  )

  it.effect("a store that failed is left alone for 5 s, tried by one caller then, logged once, and used again", () =>
    Effect.gen(function* () {
      const memory = yield* RateLimiter.RateLimiterStore
      const lines: Array<unknown> = []
      let [asked, isDown] = [0, true]
      const store = RateLimiter.RateLimiterStore.of({
        ...memory,
        tokenBucket: (options) =>
          Effect.suspend(() => {
            asked++
            return isDown ? Effect.never : memory.tokenBucket(options)
          })
      })
      const limiter = yield* Effect.provideService(
        SharedRateLimit.make({ key: "k", limit: 1, onLimit: "refuse" }),
        RateLimiter.RateLimiterStore,
        store
      )
      const calls = (count: number) =>
        Effect.gen(function* () {
          const fibers = yield* Effect.forEach(Array.from({ length: count }), () =>
            Effect.forkChild(Effect.exit(limiter.run(Effect.void)))
          )
          yield* TestClock.adjust("250 millis")
          return (yield* Fiber.joinAll(fibers)).map(({ _tag }) => _tag)
        }).pipe(Effect.provide(Logger.layer([Logger.make(({ message }) => void lines.push(message))])))
      const all = ["Success", "Success", "Success"]
      assert.deepStrictEqual(yield* calls(3), all)
      assert.strictEqual(asked, 3, "nobody knew yet")
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(yield* calls(3), all)
      assert.strictEqual(asked, 3)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* calls(3), all)
      assert.strictEqual(asked, 4, "one of them tried")
      assert.strictEqual(lines.length, 1)
      isDown = false
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* calls(3), ["Success", "Failure", "Failure"])
      assert.strictEqual(asked, 7)
    }).pipe(inMemory)
  )

  it.effect("what a store gives when nobody waits any more is given back", () =>
    Effect.gen(function* () {
      const memory = yield* RateLimiter.RateLimiterStore
      const slow = RateLimiter.RateLimiterStore.of({
        ...memory,
        tokenBucket: (options) => Effect.delay(memory.tokenBucket(options), options.tokens > 0 ? "50 millis" : 0)
      })
      const limiter = yield* Effect.provideService(
        SharedRateLimit.make({ key: "k", limit: 1 }),
        RateLimiter.RateLimiterStore,
        slow
      )
      const gone = yield* Effect.forkChild(limiter.run(Effect.void))
      yield* settle
      yield* Fiber.interrupt(gone)
      yield* TestClock.adjust("50 millis")
      const [remaining] = yield* memory.tokenBucket({
        key: "k",
        tokens: 0,
        limit: 1,
        refillRate: Duration.seconds(1),
        allowOverflow: false
      })
      assert.strictEqual(remaining, 1)
    }).pipe(inMemory)
  )

  it.effect("observe delays and refuses nobody, and counts and tells what it would have done; off does nothing", () =>
    Effect.gen(function* () {
      const limiter = yield* SharedRateLimit.make({ key: "k", limit: 1, maxWait: "1 second", mode: "observe" })
      const events: Array<SharedRateLimit.Event> = []
      limiter.events.subscribe((event) => events.push(event))
      const { call, wentAt } = makeCalls(limiter)
      for (const name of ["a", "b", "c"]) yield* call(name)
      assert.strictEqual(wentAt.length, 3)
      assert.deepInclude(yield* limiter.snapshot, { admitted: 2, delayed: 1, refused: 1, waiting: 0 })
      assert.deepStrictEqual(
        events.map(({ _tag }) => _tag),
        ["SharedRateLimitDelayed", "SharedRateLimitRefused"]
      )
      const off = yield* SharedRateLimit.make({ key: "k", limit: 1, mode: "off", onLimit: "refuse" })
      yield* off.run(Effect.void)
      assert.deepInclude(yield* off.snapshot, { admitted: 0 })
    }).pipe(inMemory)
  )

  it.effect("a cost beyond the limit is refused, and one of nothing asks nobody", () =>
    Effect.gen(function* () {
      const limiter = yield* SharedRateLimit.make({ key: "k", limit: 3 })
      const error = yield* Effect.flip(limiter.run(Effect.void, { cost: 4 }))
      assert.include(error.message, "a cost of 4 is more than it ever allows")
      yield* limiter.run(Effect.void, { cost: 3 })
      yield* limiter.run(Effect.void, { cost: 0 })
      assert.isTrue(Exit.hasDies(yield* Effect.exit(limiter.run(Effect.void, { cost: -1 }))))
    }).pipe(inMemory)
  )

  it.effect("an option out of range is refused, by its name and with what was got", () =>
    Effect.gen(function* () {
      const refused = (options: SharedRateLimit.Options, message: string) =>
        Effect.map(Effect.exit(SharedRateLimit.make(options)), (exit) => assert.include(String(exit), message))
      yield* refused({ key: "k", limit: 0 }, "SharedRateLimit: limit must be a whole number of at least 1, got 0")
      yield* refused({ key: "", limit: 1 }, 'SharedRateLimit: key must not be empty, got ""')
      yield* refused(
        { key: "k", limit: 1, window: 0 },
        "SharedRateLimit: window must be longer than zero and finite, got 0"
      )
      yield* refused({ key: "k", limit: 1, maxWait: -1 }, "SharedRateLimit: maxWait must not be negative, got -1")
      yield* refused(
        { key: "k", limit: 1, storeTimeout: -1 },
        "SharedRateLimit: storeTimeout must not be negative, got -1"
      )
    }).pipe(inMemory)
  )
})

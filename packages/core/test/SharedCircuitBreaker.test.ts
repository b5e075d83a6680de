import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Layer, Logger, References, type Scope } from "effect"
import { CircuitBreaker as Store } from "effect/persistence"
import { TestClock } from "effect/testing"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import * as Deadline from "../src/Deadline.ts"
import * as Outcome from "../src/Outcome.ts"
import * as Reason from "../src/Reason.ts"
import * as SharedCircuitBreaker from "../src/SharedCircuitBreaker.ts"

const key = "payments"

const eager = (options: SharedCircuitBreaker.Options = {}) =>
  SharedCircuitBreaker.make({ trip: [CircuitBreaker.consecutiveFailures(1)], openTime: "10 seconds", ...options })

const withStore = <A, E>(effect: Effect.Effect<A, E, Store.CircuitBreakerStore | Scope.Scope>): Effect.Effect<A, E> =>
  effect.pipe(Effect.scoped, Effect.provide(Store.layerStoreMemory()))

const fail = (breaker: SharedCircuitBreaker.SharedCircuitBreaker) =>
  Effect.exit(SharedCircuitBreaker.run(breaker, { key })(Effect.fail("down")))

const errorOf = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<E> =>
  Effect.flatMap(Effect.exit(effect), (exit) => {
    const reason = Exit.isFailure(exit) ? exit.cause.reasons.find(({ _tag }) => _tag === "Fail") : undefined
    return reason?._tag === "Fail" ? Effect.succeed(reason.error) : Effect.die("it did not fail")
  })

const refusalOf = (breaker: SharedCircuitBreaker.SharedCircuitBreaker) =>
  Effect.map(errorOf(SharedCircuitBreaker.run(breaker, { key })(Effect.void)), (error) =>
    error instanceof Reason.CircuitOpen ? error : assert.fail("it is not a CircuitOpen")
  )

/** A store that cannot be reached. */
const brokenStore = Layer.succeed(
  Store.CircuitBreakerStore,
  Store.CircuitBreakerStore.of(
    (() => {
      const broken = Effect.fail(
        new Store.CircuitBreakerError({ reason: new Store.CircuitBreakerStoreError({ message: "no route to redis" }) })
      )
      return { admit: () => broken, record: () => broken, state: () => broken }
    })()
  )
)

const withBrokenStore = <A, E>(
  effect: Effect.Effect<A, E, Store.CircuitBreakerStore | Scope.Scope>
): Effect.Effect<A, E> =>
  effect.pipe(
    Effect.scoped,
    Effect.provide(brokenStore),
    // what Effect's breaker swallows it logs; not here
    Effect.provideService(References.UnhandledLogLevel, undefined)
  )

describe("SharedCircuitBreaker", () => {
  it.effect("what one breaker finds out, all that share the store and the key know", () =>
    withStore(
      Effect.gen(function* () {
        const one = yield* eager()
        const other = yield* eager()
        yield* fail(one)
        yield* TestClock.adjust("4 seconds")
        const refusal = yield* refusalOf(other)
        assert.strictEqual(
          refusal.message,
          "the circuit is open (the shared circuit payments is open); next try in 6s; nothing was sent"
        )
        const elsewhere = SharedCircuitBreaker.run(other, { key: "search" })
        assert.strictEqual(yield* elsewhere(Effect.succeed(1)), 1)
        yield* TestClock.adjust("6 seconds")
        assert.strictEqual(yield* SharedCircuitBreaker.run(other, { key })(Effect.succeed(2)), 2)
        assert.deepStrictEqual(yield* one.snapshot(key), {
          state: "Closed",
          openTimeLeft: Duration.zero,
          consecutiveOpenings: 0,
          probesOut: 0
        })
      })
    )
  )

  it.effect("while the one probe is out, the others are refused as by an open circuit", () =>
    withStore(
      Effect.gen(function* () {
        const breaker = yield* eager()
        yield* fail(breaker)
        yield* TestClock.adjust("10 seconds")
        const gate = yield* Deferred.make<void>()
        const probe = yield* Effect.forkChild(SharedCircuitBreaker.run(breaker, { key })(Deferred.await(gate)), {
          startImmediately: true
        })
        assert.deepInclude(yield* breaker.snapshot(key), { state: "HalfOpen", probesOut: 1 })
        const refusal = yield* refusalOf(breaker)
        assert.strictEqual(refusal.detail, "the shared circuit payments is half-open, and its probe is out")
        assert.strictEqual(Duration.toMillis(refusal.retryAfter ?? Duration.zero), 1000)
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(probe)
        assert.deepInclude(yield* breaker.snapshot(key), { state: "Closed" })
      })
    )
  )

  it.effect("an interrupted probe neither closes nor reopens the circuit, and its place is free", () =>
    withStore(
      Effect.gen(function* () {
        const breaker = yield* eager()
        yield* fail(breaker)
        yield* TestClock.adjust("10 seconds")
        const probe = yield* Effect.forkChild(SharedCircuitBreaker.run(breaker, { key })(Effect.never), {
          startImmediately: true
        })
        yield* Fiber.interrupt(probe)
        assert.deepInclude(yield* breaker.snapshot(key), { state: "HalfOpen", probesOut: 0 })
      })
    )
  )

  it.effect("a failure counts by its cause, as in memory", () =>
    withStore(
      Effect.gen(function* () {
        const of = (options: SharedCircuitBreaker.Options, cause: Outcome.FailureCause) =>
          Effect.gen(function* () {
            const breaker = yield* eager(options)
            const own = `${cause} ${JSON.stringify(options)}`
            const guard = SharedCircuitBreaker.run(breaker, {
              key: own,
              classify: () => Outcome.failure({ cause })
            })
            yield* Effect.exit(guard(Effect.fail("x")))
            return (yield* breaker.snapshot(own)).state
          })
        assert.strictEqual(yield* of({}, "transient"), "Open")
        assert.strictEqual(yield* of({}, "timeout"), "Open")
        assert.strictEqual(yield* of({}, "permanent"), "Closed")
        assert.strictEqual(yield* of({}, "throttle"), "Closed")
        assert.strictEqual(yield* of({ counts: { throttle: "failure" } }, "throttle"), "Open")
      })
    )
  )

  it.effect("a count window trips by its rate", () =>
    withStore(
      Effect.gen(function* () {
        const breaker = yield* eager({ trip: [CircuitBreaker.countWindow({ size: 10, minimumCalls: 4 })] })
        const call = SharedCircuitBreaker.run(breaker, { key })
        for (let index = 0; index < 2; index++) yield* call(Effect.void)
        yield* fail(breaker)
        assert.strictEqual((yield* breaker.snapshot(key)).state, "Closed")
        yield* fail(breaker)
        assert.strictEqual((yield* breaker.snapshot(key)).state, "Open")
      })
    )
  )

  it.effect("the open time goes by the openings in a row, up to maxOpenTime, and by what the server asked", () =>
    withStore(
      Effect.gen(function* () {
        const breaker = yield* eager({ openTime: CircuitBreaker.doubling("10 seconds"), maxOpenTime: "35 seconds" })
        const times: Array<number> = []
        for (let opening = 0; opening < 4; opening++) {
          yield* fail(breaker)
          const { openTimeLeft } = yield* breaker.snapshot(key)
          times.push(Duration.toSeconds(openTimeLeft))
          yield* TestClock.adjust(openTimeLeft)
        }
        assert.deepStrictEqual(times, [10, 20, 35, 35])
        const asks = SharedCircuitBreaker.run(breaker, {
          key: "asks",
          classify: () => Outcome.failure({ cause: "transient", retryAfter: Duration.seconds(25) })
        })
        yield* asks(Effect.void)
        assert.strictEqual(Duration.toSeconds((yield* breaker.snapshot("asks")).openTimeLeft), 25)
      })
    )
  )

  it.effect("a failure of the call passes as it is, even if it is the error of another breaker of Effect's", () =>
    withStore(
      Effect.gen(function* () {
        const breaker = yield* eager()
        const inner = new Store.CircuitBreakerError({ reason: new Store.CircuitHalfOpen({ key: "inner" }) })
        assert.strictEqual(yield* errorOf(SharedCircuitBreaker.run(breaker, { key })(Effect.fail(inner))), inner)
        const guard = SharedCircuitBreaker.run(yield* eager(), { key: "other" })
        assert.deepStrictEqual(yield* Effect.exit(guard(Effect.die("bug"))), Exit.die("bug"))
      })
    )
  )

  it.effect("when the store cannot be reached calls go through, and whoever listens hears of it", () =>
    withBrokenStore(
      Effect.gen(function* () {
        const breaker = yield* eager()
        const heard: Array<SharedCircuitBreaker.Event> = []
        breaker.events.subscribe((event) => heard.push(event))
        assert.strictEqual(yield* SharedCircuitBreaker.run(breaker, { key })(Effect.succeed(7)), 7)
        assert.deepStrictEqual(heard, [{ _tag: "StoreFailed", key, during: "admit", message: "no route to redis" }])
      })
    )
  )

  it.effect("when the store cannot be reached calls are refused, if that was asked for", () =>
    withBrokenStore(
      Effect.gen(function* () {
        const breaker = yield* eager({ onStoreError: "refuse" })
        const refusal = yield* refusalOf(breaker)
        assert.strictEqual(
          refusal.detail,
          "the store of the shared circuit payments cannot be reached: no route to redis"
        )
      })
    )
  )

  it.effect("a store that does not answer cannot be reached after its time, before the call and after it", () =>
    Effect.gen(function* () {
      const memory = yield* Store.CircuitBreakerStore
      const makeWith = (stuck: Partial<Store.CircuitBreakerStore["Service"]>, options?: SharedCircuitBreaker.Options) =>
        Effect.provideService(eager(options), Store.CircuitBreakerStore, { ...memory, ...stuck })
      const after = Effect.fnUntraced(function* (breaker: SharedCircuitBreaker.SharedCircuitBreaker, millis: number) {
        const call = yield* Effect.forkChild(SharedCircuitBreaker.run(breaker, { key })(Effect.succeed(7)))
        yield* TestClock.adjust(millis - 1)
        assert.isUndefined(call.pollUnsafe())
        yield* TestClock.adjust(1)
        return yield* Fiber.join(call)
      })
      const heard: Array<SharedCircuitBreaker.Event> = []
      const unasked = yield* makeWith({ admit: () => Effect.never })
      unasked.events.subscribe((event) => heard.push(event))
      assert.strictEqual(yield* after(unasked, 250), 7)
      const untold = yield* makeWith({ record: () => Effect.never }, { storeTimeout: "2 seconds" })
      untold.events.subscribe((event) => heard.push(event))
      assert.strictEqual(yield* after(untold, 2000), 7)
      assert.deepStrictEqual(heard, [
        { _tag: "StoreFailed", key, during: "admit", message: "no answer in 250ms" },
        { _tag: "StoreFailed", key, during: "record", message: "no answer in 2.00s" }
      ])
      const strict = yield* makeWith({ admit: () => Effect.never }, { onStoreError: "refuse" })
      const refusal = yield* Effect.flip(after(strict, 250))
      assert.strictEqual(
        refusal.detail,
        "the store of the shared circuit payments cannot be reached: no answer in 250ms"
      )
      const unread = yield* makeWith({ state: () => Effect.never })
      const reading = yield* Effect.forkChild(Effect.flip(unread.snapshot(key)))
      yield* TestClock.adjust("250 millis")
      assert.strictEqual((yield* Fiber.join(reading)).message, "no answer in 250ms")
    }).pipe(withStore, Effect.provideService(References.UnhandledLogLevel, undefined))
  )

  it.effect(
    "a store that does not answer costs a caller no more than its deadline, and who is interrupted nothing",
    () =>
      Effect.gen(function* () {
        const memory = yield* Store.CircuitBreakerStore
        for (const during of ["admit", "record"] as const) {
          for (const leave of ["deadline", "interruption"] as const) {
            const stuck = { ...memory, [during]: () => Effect.never }
            const breaker = yield* Effect.provideService(eager(), Store.CircuitBreakerStore, stuck)
            const call = yield* Effect.forkChild(
              SharedCircuitBreaker.run(breaker, { key })(Effect.succeed("answer")).pipe(Deadline.within("10 millis"))
            )
            yield* TestClock.adjust(0)
            assert.isUndefined(call.pollUnsafe())
            if (leave === "interruption") yield* Fiber.interrupt(call)
            else {
              yield* TestClock.adjust("10 millis")
              assert.strictEqual(yield* Fiber.join(call), "answer")
            }
            yield* TestClock.adjust("250 millis")
          }
        }
      }).pipe(withStore, Effect.provideService(References.UnhandledLogLevel, undefined))
  )

  it.effect("a store that failed is left alone for 5 s, logged once, and used again when it is back", () =>
    Effect.gen(function* () {
      const memory = yield* Store.CircuitBreakerStore
      const lines: Array<unknown> = []
      let [asked, isDown] = [0, true]
      const store = {
        ...memory,
        admit: (key: string) =>
          Effect.suspend(() => {
            asked++
            return isDown ? Effect.never : memory.admit(key)
          })
      }
      const breaker = yield* Effect.provideService(eager(), Store.CircuitBreakerStore, store)
      const failing = Effect.gen(function* () {
        const call = yield* Effect.forkChild(fail(breaker))
        yield* TestClock.adjust("250 millis")
        yield* Fiber.join(call)
      }).pipe(Effect.provide(Logger.layer([Logger.make(({ message }) => void lines.push(message))])))
      yield* failing
      yield* failing
      assert.strictEqual(asked, 1)
      yield* TestClock.adjust("5 seconds")
      yield* failing
      assert.deepStrictEqual([asked, lines.length], [2, 1])
      isDown = false
      yield* TestClock.adjust("5 seconds")
      yield* failing
      assert.strictEqual((yield* breaker.snapshot(key)).state, "Open")
      assert.strictEqual(asked, 3)
    }).pipe(withStore)
  )

  it.effect("a probe's place that comes when nobody waits any more is free again", () =>
    Effect.gen(function* () {
      const memory = yield* Store.CircuitBreakerStore
      let delay = 0
      const slow = { ...memory, admit: (key: string) => Effect.delay(memory.admit(key), delay) }
      const breaker = yield* Effect.provideService(eager(), Store.CircuitBreakerStore, slow)
      yield* fail(breaker)
      yield* TestClock.adjust("10 seconds")
      delay = 50
      const gone = yield* Effect.forkChild(SharedCircuitBreaker.run(breaker, { key })(Effect.void))
      yield* TestClock.adjust("10 millis")
      yield* Fiber.interrupt(gone)
      yield* TestClock.adjust("100 millis")
      assert.deepInclude(yield* breaker.snapshot(key), { state: "HalfOpen", probesOut: 0 })
    }).pipe(withStore)
  )

  it.effect("observe asks the store and tells it, and refuses nothing; off asks nobody", () =>
    withStore(
      Effect.gen(function* () {
        const watching = yield* eager({ mode: "observe" })
        const heard: Array<SharedCircuitBreaker.Event> = []
        watching.events.subscribe((event) => heard.push(event))
        yield* fail(watching)
        assert.strictEqual(yield* SharedCircuitBreaker.run(watching, { key })(Effect.succeed(1)), 1)
        assert.deepStrictEqual(
          heard.map((event) => (event._tag === "Refused" ? [event._tag, event.enforced] : [event._tag])),
          [["Opened"], ["Refused", false]]
        )
        const off = yield* eager({ mode: "off" })
        const call = Effect.succeed(1)
        assert.strictEqual(SharedCircuitBreaker.run(off, { key })(call), call)
      })
    )
  )

  it.effect("changes of state and refusals are told on the spot", () =>
    withStore(
      Effect.gen(function* () {
        const breaker = yield* eager()
        const heard: Array<SharedCircuitBreaker.Event> = []
        const stop = breaker.events.subscribe((event) => heard.push(event))
        yield* fail(breaker)
        const refusal = yield* refusalOf(breaker)
        yield* TestClock.adjust("10 seconds")
        yield* SharedCircuitBreaker.run(breaker, { key })(Effect.void)
        assert.deepStrictEqual(heard, [
          { _tag: "Opened", key, from: "Closed", openTime: Duration.seconds(10), consecutiveOpenings: 1 },
          { _tag: "Refused", key, reason: refusal, enforced: true },
          { _tag: "HalfOpened", key },
          { _tag: "Closed", key }
        ])
        stop()
      })
    )
  )

  it.effect("a rule that the store does not know is refused, and so is an option out of range", () =>
    withStore(
      Effect.gen(function* () {
        const refused = (options: SharedCircuitBreaker.Options, message: string) =>
          Effect.map(Effect.exit(SharedCircuitBreaker.make(options)), (exit) => {
            const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
            const defect = reason?._tag === "Die" ? reason.defect : undefined
            assert.strictEqual(defect instanceof RangeError ? defect.message : undefined, message)
          })
        yield* refused(
          { trip: [CircuitBreaker.timeWindow({ duration: "1 minute" })] },
          "SharedCircuitBreaker: trip must be consecutiveFailures or countWindow, got timeWindow"
        )
        yield* refused(
          { trip: [CircuitBreaker.consecutiveFailures(3), CircuitBreaker.countWindow({ size: 10 })] },
          "SharedCircuitBreaker: trip must have exactly one rule, since a store counts by one, got 2"
        )
        yield* refused(
          { trip: [] },
          "SharedCircuitBreaker: trip must have exactly one rule, since a store counts by one, got 0"
        )
        yield* refused(
          { trip: [CircuitBreaker.countWindow({ size: 10, slowCallRate: 0.5 })] },
          "SharedCircuitBreaker: slowCallRate must be left out, since the store counts no slow calls, got 0.5"
        )
        yield* refused(
          { trip: [CircuitBreaker.consecutiveFailures(0)] },
          "SharedCircuitBreaker: consecutiveFailures must be a whole number between 1 and 1000000, got 0"
        )
        yield* refused(
          { openTime: "1 hour" },
          "SharedCircuitBreaker: openTime must be at most maxOpenTime, 300000ms, got 3600000ms"
        )
        yield* refused({ storeTimeout: -1 }, "SharedCircuitBreaker: storeTimeout must not be negative, got -1")
      })
    )
  )
})

import { Duration, Effect, Exit, Fiber } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as AttemptTimeout from "../src/AttemptTimeout.ts"
import * as Deadline from "../src/Deadline.ts"
import * as LatencyTracker from "../src/LatencyTracker.ts"
import * as Outcome from "../src/Outcome.ts"
import * as Reason from "../src/Reason.ts"

const exactly = (message: string) => new RegExp(`^${message.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`)

/** Successes that took so long. */
const teach = (timeout: AttemptTimeout.AttemptTimeout, count: number, durationMillis: number): void => {
  for (let attempt = 0; attempt < count; attempt++) timeout.settle(0, 5000, durationMillis, Outcome.success)
}

const isAbout = (got: number, expected: number): void => assert.closeTo(got, expected, expected / 64)

const timedOut = Outcome.failure({ cause: "timeout" })

describe("AttemptTimeout.adaptive", () => {
  it("the fixed limit is in force until there are enough samples", () => {
    const timeout = AttemptTimeout.adaptive({ limit: "5 seconds" })
    teach(timeout, 99, 200)
    assert.strictEqual(timeout.limitMillis(0), 5000)
    teach(timeout, 1, 200)
    isAbout(timeout.limitMillis(0), 400)
  })

  it("the limit is a quantile times a factor", () => {
    const timeout = AttemptTimeout.adaptive({ limit: "5 seconds", quantile: 0.9, factor: 3 })
    teach(timeout, 90, 300)
    teach(timeout, 10, 1000)
    isAbout(timeout.limitMillis(0), 900)
    teach(timeout, 1, 1000)
    isAbout(timeout.limitMillis(0), 3000)
  })

  it("the limit stays between its floor and its ceiling, which is the fixed limit where nobody says otherwise", () => {
    const fast = AttemptTimeout.adaptive({ limit: "5 seconds" })
    teach(fast, 100, 3)
    assert.strictEqual(fast.limitMillis(0), 250)
    const slow = AttemptTimeout.adaptive({ limit: "5 seconds" })
    teach(slow, 100, 4000)
    assert.strictEqual(slow.limitMillis(0), 5000)
    const told = AttemptTimeout.adaptive({ limit: "5 seconds", floor: "1 second", ceiling: "7 seconds" })
    teach(told, 100, 3)
    assert.strictEqual(told.limitMillis(0), 1000)
    teach(told, 100, 4000)
    assert.strictEqual(told.limitMillis(0), 7000)
    assert.strictEqual(AttemptTimeout.adaptive({ limit: "100 millis" }).limitMillis(0), 100)
  })

  it("old samples fade, and the fixed limit comes back", () => {
    const timeout = AttemptTimeout.adaptive({ limit: "5 seconds" })
    teach(timeout, 100, 200)
    isAbout(timeout.limitMillis(59_999), 400)
    assert.strictEqual(timeout.limitMillis(60_000), 5000)
  })

  it("fast failures do not make the upstream look fast", () => {
    const timeout = AttemptTimeout.adaptive({ limit: "5 seconds" })
    teach(timeout, 100, 1000)
    for (const cause of ["transient", "throttle", "permanent", "refused"] as const) {
      for (let attempt = 0; attempt < 1000; attempt++) timeout.settle(0, 5000, 1, Outcome.failure({ cause }))
    }
    isAbout(timeout.limitMillis(0), 2000)
  })

  it("an attempt that was cut off counts with the time it had, unless it was still fast", () => {
    const timeout = AttemptTimeout.adaptive({ limit: "5 seconds" })
    teach(timeout, 100, 200)
    for (let attempt = 0; attempt < 50; attempt++) timeout.settle(0, 400, 5, Outcome.ignored)
    for (let attempt = 0; attempt < 50; attempt++) timeout.settle(0, 400, 5, timedOut)
    isAbout(timeout.limitMillis(0), 400)
    timeout.settle(0, 400, 400, timedOut)
    timeout.settle(0, 400, 400, Outcome.ignored)
    isAbout(timeout.limitMillis(0), 800)
  })

  it("what never succeeded teaches nothing: the fixed limit stays", () => {
    const timeout = AttemptTimeout.adaptive({ limit: "5 seconds" })
    for (let attempt = 0; attempt < 1000; attempt++) timeout.settle(0, 5000, 5000, timedOut)
    assert.strictEqual(timeout.limitMillis(0), 5000)
  })

  it.effect("when the upstream becomes slower than the limit, the limit follows and lets it through again", () =>
    Effect.gen(function* () {
      const timeout = AttemptTimeout.adaptive({ limit: "5 seconds" })
      const attempts = (count: number, millis: number) =>
        Effect.gen(function* () {
          const exits: Array<boolean> = []
          for (let attempt = 0; attempt < count; attempt++) {
            const fiber = yield* Effect.forkChild(Effect.exit(timeout.run(Effect.sleep(millis))))
            yield* TestClock.adjust(millis)
            exits.push(Exit.isSuccess(yield* Fiber.join(fiber)))
          }
          return exits.filter((isSuccess) => !isSuccess).length
        })
      assert.strictEqual(yield* attempts(200, 100), 0)
      assert.strictEqual(Duration.toMillis((yield* timeout.snapshot).limit), 250)
      const lost = yield* attempts(100, 1500)
      assert.isTrue(lost > 0 && lost < 15, `${lost} of 100 were cut off`)
      assert.isTrue(Duration.toMillis((yield* timeout.snapshot).limit) > 1500)
    })
  )

  it.effect("an attempt that is cut off fails with the limit that was in force", () =>
    Effect.gen(function* () {
      const timeout = AttemptTimeout.adaptive({ limit: "2 seconds" })
      const events: Array<AttemptTimeout.Event> = []
      timeout.events.subscribe((event) => events.push(event))
      teach(timeout, 100, 3)
      const fiber = yield* Effect.forkChild(Effect.flip(timeout.run(Effect.never)))
      yield* TestClock.adjust("249 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const limit = Duration.millis(250)
      assert.deepStrictEqual(yield* Fiber.join(fiber), new Reason.AttemptTimeout({ limit }))
      assert.deepStrictEqual(events, [{ _tag: "TimedOut", limit, elapsed: limit, observed: false }])
      assert.deepInclude(yield* timeout.snapshot, { timedOut: 1, samples: 101 })
    })
  )

  it.effect("what the deadline cut off is the deadline's, and no timeout of the limit", () =>
    Effect.gen(function* () {
      const timeout = AttemptTimeout.adaptive({ limit: "2 seconds" })
      const fiber = yield* timeout.run(Effect.never).pipe(Deadline.within("1 second"), Effect.flip, Effect.forkChild)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "DeadlineExceeded")
      assert.deepInclude(yield* timeout.snapshot, { timedOut: 0, samples: 0 })
      const late = timeout.run(Effect.void, { deadline: { atMillis: 500, budgetMillis: 500 } })
      assert.strictEqual((yield* Effect.flip(late))._tag, "DeadlineExceeded")
    })
  )

  it.effect("the classifier is asked about the attempt's own exits, and not about timeouts", () =>
    Effect.gen(function* () {
      const timeout = AttemptTimeout.adaptive({ limit: "2 seconds" })
      const seen: Array<string> = []
      const classify = (exit: Exit.Exit<void, string>): Outcome.Outcome => {
        seen.push(exit._tag)
        return Outcome.success
      }
      yield* Effect.flip(timeout.run(Effect.fail("404"), { classify }))
      assert.strictEqual((yield* timeout.snapshot).samples, 1)
      const fiber = yield* Effect.forkChild(Effect.flip(timeout.run(Effect.never, { classify })))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, ["Failure"])
    })
  )

  it.effect("observe keeps to the fixed limit, and reports what the learned one would have cut", () =>
    Effect.gen(function* () {
      const timeout = AttemptTimeout.adaptive({ limit: "2 seconds", mode: "observe" })
      const events: Array<AttemptTimeout.Event> = []
      timeout.events.subscribe((event) => events.push(event))
      teach(timeout, 100, 3)
      const fiber = yield* Effect.forkChild(timeout.run(Effect.sleep("251 millis")))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.void)
      assert.deepStrictEqual(events, [
        { _tag: "TimedOut", limit: Duration.millis(250), elapsed: Duration.millis(251), observed: true }
      ])
      assert.deepStrictEqual(yield* timeout.snapshot, {
        limit: Duration.seconds(2),
        learned: Duration.millis(250),
        samples: 101,
        timedOut: 1
      })
    })
  )

  it.effect("off is the fixed limit, and learns nothing", () =>
    Effect.gen(function* () {
      const timeout = AttemptTimeout.adaptive({ limit: "2 seconds", mode: "off" })
      teach(timeout, 1000, 3)
      yield* timeout.run(Effect.void)
      assert.deepStrictEqual(yield* timeout.snapshot, {
        limit: Duration.seconds(2),
        learned: undefined,
        samples: 0,
        timedOut: 0
      })
      const fiber = yield* Effect.forkChild(Effect.flip(timeout.run(Effect.never)))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "AttemptTimeout")
    })
  )

  it("a tracker can be shared", () => {
    const tracker = LatencyTracker.make({ window: "10 seconds" })
    const timeout = AttemptTimeout.adaptive({ limit: "5 seconds", tracker })
    for (let sample = 0; sample < 100; sample++) tracker.record(0, 500)
    isAbout(timeout.limitMillis(0), 1000)
    assert.strictEqual(timeout.limitMillis(10_000), 5000)
  })

  it.effect("reading the snapshot, however late, changes nothing", () =>
    Effect.gen(function* () {
      const timeout = AttemptTimeout.adaptive({ limit: "5 seconds" })
      teach(timeout, 100, 200)
      yield* TestClock.adjust("1 hour")
      assert.deepInclude(yield* timeout.snapshot, { limit: Duration.seconds(5), samples: 0 })
      isAbout(timeout.limitMillis(0), 400)
    })
  )

  it("an option out of range is refused, by its name and with what was got", () => {
    const refused = (options: Partial<AttemptTimeout.AdaptiveOptions>, message: string) =>
      assert.throws(
        () => AttemptTimeout.adaptive({ limit: "5 seconds", ...options }),
        RangeError,
        exactly(`AttemptTimeout: ${message}`)
      )
    refused({ limit: 0 }, "limit must be longer than zero and finite, got 0")
    refused({ limit: Duration.infinity }, "limit must be longer than zero and finite, got Infinity")
    refused({ quantile: 0.4 }, "quantile must be between 0.5 and 1, got 0.4")
    refused({ factor: 1 }, "factor must be above 1 and at most 100, got 1")
    refused({ factor: 101 }, "factor must be above 1 and at most 100, got 101")
    refused({ minimumSamples: 9 }, "minimumSamples must be between 10 and 1000000, got 9")
    refused(
      { floor: "6 seconds" },
      "floor must be longer than zero and at most a finite ceiling, got 6000ms and 5000ms"
    )
    refused({ floor: 0 }, "floor must be longer than zero and at most a finite ceiling, got 0ms and 5000ms")
  })
})

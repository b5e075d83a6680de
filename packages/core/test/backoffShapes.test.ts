import { Arbitrary, Clock, Duration, Effect, Fiber, Random, Schedule, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as Backoff from "../src/Backoff.ts"
import { backoffDelayMillis, type BackoffShape, type Growth } from "../src/internal/retry/backoffDelay.ts"

const delays = (schedule: Schedule.Schedule<Duration.Duration>, count: number) =>
  Effect.gen(function* () {
    const step = yield* Schedule.toStep(schedule)
    const taken: Array<number> = []
    for (let retry = 0; retry < count; retry++) taken.push(Duration.toMillis((yield* step(0, undefined))[1]))
    return taken
  }).pipe(Effect.orDie)

const number = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Number.check(Schema.isBetween({ minimum, maximum })))

const retries = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 })))

const growths: ReadonlyArray<Growth> = ["exponential", "linear", "fibonacci", "constant"]

const half = Effect.provideService(Random.Random, { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => 0.5 })

describe("Backoff's shapes", () => {
  it.effect("linear adds the increment each time, the base when none is said, up to the cap", () =>
    Effect.gen(function* () {
      const none = { jitter: "none" } as const
      assert.deepStrictEqual(
        yield* delays(Backoff.linear({ base: 100, cap: 350, ...none }), 5),
        [100, 200, 300, 350, 350]
      )
      assert.deepStrictEqual(
        yield* delays(Backoff.linear({ base: "1 second", increment: "250 millis", ...none }), 4),
        [1000, 1250, 1500, 1750]
      )
    })
  )

  it.effect("fibonacci is Effect's own, with a cap", () =>
    Effect.gen(function* () {
      const ours = Backoff.fibonacci({ base: 100, cap: "1 minute", jitter: "none" })
      assert.deepStrictEqual(yield* delays(ours, 12), yield* delays(Schedule.fibonacci(100), 12))
      assert.deepStrictEqual(
        yield* delays(Backoff.fibonacci({ base: 100, cap: 700, jitter: "none" }), 7),
        [100, 100, 200, 300, 500, 700, 700]
      )
    })
  )

  it.effect("constant is always the same, and may be longer than the cap of the others", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* delays(Backoff.constant({ delay: "1 minute", jitter: "none" }), 3),
        [60_000, 60_000, 60_000]
      )
    })
  )

  it.effect("what is left out is full jitter from 100 ms to 10 s", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* delays(Backoff.linear(), 3), [50, 100, 150])
      assert.deepStrictEqual((yield* delays(Backoff.linear(), 200)).at(-1), 5000)
      assert.deepStrictEqual(yield* delays(Backoff.fibonacci(), 5), [50, 50, 100, 150, 250])
      assert.deepStrictEqual(yield* delays(Backoff.constant(), 2), [50, 50])
    }).pipe(half)
  )

  for (const growth of growths) {
    it.prop(
      `${growth}: at any retry the delay is within its jitter's bounds of min(cap, grown), and finite`,
      [number(0.001, 60_000), number(1, 1000), number(1, 10), retries, number(0, 1 - Number.EPSILON)],
      ([baseMillis, times, factor, retry, random]) => {
        const of = (jitter: Backoff.Jitter): BackoffShape => ({
          growth,
          baseMillis,
          factor,
          capMillis: baseMillis * times,
          jitter
        })
        const at = (jitter: Backoff.Jitter, step = retry) =>
          backoffDelayMillis(of(jitter), { retry: step, previousMillis: baseMillis }, random)
        const plain = at("none")
        assert.isTrue(Number.isFinite(plain) && plain > 0 && plain <= baseMillis * times)
        assert.isTrue(at("none", retry + 1) >= plain, "it never gets shorter")
        assert.strictEqual(at("full"), random * plain)
        assert.isTrue(at("equal") >= plain / 2 && at("equal") <= plain)
      }
    )
  }

  it.effect("the cap keeps its jitter: clients that are capped do not come back at one instant", () =>
    Effect.gen(function* () {
      for (const shape of [Backoff.linear, Backoff.fibonacci]) {
        for (const jitter of ["full", "equal"] as const) {
          const capped = (yield* delays(shape({ base: 100, cap: 1000, jitter }), 1100)).slice(100)
          assert.isTrue(new Set(capped).size > 950)
          assert.isTrue(Math.max(...capped) <= 1000 && Math.max(...capped) > 950)
        }
      }
    }).pipe(Random.withSeed("capped"))
  )

  it.effect("they compose with Effect's schedules, and are slept by Effect.retry", () =>
    Effect.gen(function* () {
      const madeAt: Array<number> = []
      const attempt = Effect.flatMap(Clock.currentTimeMillis, (now) => {
        madeAt.push(now)
        return Effect.fail("down")
      })
      const schedule = Schedule.concat(
        Backoff.constant({ delay: 10, jitter: "none" }).pipe(Schedule.upTo({ times: 2 })),
        Backoff.linear({ base: 100, jitter: "none" }).pipe(Schedule.upTo({ times: 3 }))
      )
      const fiber = yield* Effect.forkChild(Effect.exit(Effect.retry(attempt, schedule)))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(madeAt, [0, 10, 20, 120, 320, 620])
    })
  )

  it("an option out of range is refused, by its name and with what was got", () => {
    const refused = (make: () => unknown, message: string) => assert.throws(make, RangeError, message)
    refused(() => Backoff.linear({ increment: 0 }), "Backoff: increment must be longer than zero and finite, got 0")
    refused(
      () => Backoff.linear({ increment: Infinity }),
      "Backoff: increment must be longer than zero and finite, got Infinity"
    )
    refused(() => Backoff.fibonacci({ base: 0 }), "Backoff: base must be longer than zero and finite, got 0")
    refused(
      () => Backoff.fibonacci({ base: 100, cap: 99 }),
      "Backoff: cap must be finite and at least the base of 100ms, got 99ms"
    )
    refused(() => Backoff.constant({ delay: 0 }), "Backoff: delay must be longer than zero and finite, got 0")
    // from a configuration, which the types do not see
    const jitter = "decorrelated" as "full"
    for (const [name, make] of [
      ["linear", Backoff.linear],
      ["fibonacci", Backoff.fibonacci],
      ["constant", Backoff.constant]
    ] as const) {
      refused(
        () => make({ jitter }),
        `Backoff: jitter must be none, full or equal for a ${name} back-off, got decorrelated, which has a growth of its own`
      )
    }
  })
})

import { Arbitrary, Duration, Effect, Random, Schedule, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as Backoff from "../src/Backoff.ts"
import {
  backoffDelayMillis,
  type BackoffShape,
  initialBackoff,
  nextBackoff
} from "../src/internal/retry/backoffDelay.ts"

const number = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Number.check(Schema.isBetween({ minimum, maximum })))

const random = number(0, 1 - Number.EPSILON)

const shape = (jitter: Backoff.Jitter): Arbitrary.Arbitrary<BackoffShape> =>
  Arbitrary.map(
    Arbitrary.all({ base: number(0.001, 60_000), times: number(1, 1000), factor: number(1, 10) }),
    ({ base, factor, times }) => ({ growth: "exponential", baseMillis: base, capMillis: base * times, factor, jitter })
  )

const randoms = Arbitrary.array(random, { minLength: 1, maxLength: 50 })

interface Drawn {
  readonly delay: number
  /** The delay before it; the base at first. */
  readonly previous: number
  /** `min(cap, base · factorⁱ)`. */
  readonly spread: number
}

const draws = (of: BackoffShape, given: ReadonlyArray<number>): ReadonlyArray<Drawn> => {
  let state = initialBackoff(of)
  return given.map((random, retry) => {
    const delay = backoffDelayMillis(of, state, random)
    const drawn = {
      delay,
      previous: state.previousMillis,
      spread: Math.min(of.capMillis, of.baseMillis * of.factor ** retry)
    }
    state = nextBackoff(state, delay)
    return drawn
  })
}

/** Delays of a schedule, as whoever sleeps them sees them. */
const delays = (schedule: Schedule.Schedule<Duration.Duration>, count: number) =>
  Effect.gen(function* () {
    const step = yield* Schedule.toStep(schedule)
    const taken: Array<number> = []
    for (let retry = 0; retry < count; retry++) {
      const [output, delay] = yield* step(0, undefined)
      assert.isTrue(Duration.equals(output, delay))
      taken.push(Duration.toMillis(delay))
    }
    return taken
  }).pipe(Effect.orDie)

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length

const near = (actual: number, expected: number, tolerance: number): void => {
  assert.isTrue(Math.abs(actual - expected) <= tolerance * expected, `${actual} is not near ${expected}`)
}

describe("Backoff", () => {
  it.prop(
    "without jitter a delay is base · factorⁱ, and the cap from there on",
    [shape("none"), randoms],
    ([of, given]) => {
      for (const { delay, spread } of draws(of, given)) assert.strictEqual(delay, spread)
    }
  )

  it.prop("full jitter draws from zero to d", [shape("full"), randoms], ([of, given]) => {
    for (const [index, { delay, spread }] of draws(of, given).entries()) {
      assert.isTrue(delay >= 0 && delay <= spread)
      assert.strictEqual(delay, spread * (given[index] ?? Number.NaN))
    }
  })

  it.prop("equal jitter draws from d/2 to d", [shape("equal"), randoms], ([of, given]) => {
    for (const { delay, spread } of draws(of, given)) assert.isTrue(delay >= spread / 2 && delay <= spread)
  })

  it.prop(
    "decorrelated jitter draws from the base to three times the delay before, and at most the cap",
    [shape("decorrelated"), randoms],
    ([of, given]) => {
      for (const { delay, previous } of draws(of, given)) {
        const upper = Math.max(of.baseMillis, Math.min(of.capMillis, 3 * previous))
        // a draw at the very end of the range may round to a neighbour of its end
        assert.isTrue(delay >= of.baseMillis && delay <= upper * (1 + 1e-12), `${delay} of ${upper}`)
      }
    }
  )

  it("the bounds of a draw are reached, so that nothing narrower would pass for it", () => {
    const of = (jitter: Backoff.Jitter): BackoffShape => ({
      growth: "exponential",
      baseMillis: 100,
      factor: 2,
      capMillis: 1000,
      jitter
    })
    const state = { retry: 2, previousMillis: 150 }
    const range = (jitter: Backoff.Jitter) => [
      backoffDelayMillis(of(jitter), state, 0),
      backoffDelayMillis(of(jitter), state, 0.5)
    ]
    assert.deepStrictEqual(range("none"), [400, 400])
    assert.deepStrictEqual(range("full"), [0, 200])
    assert.deepStrictEqual(range("equal"), [200, 300])
    assert.deepStrictEqual(range("decorrelated"), [100, 275])
  })

  it("no number of retries overflows: at the ten-thousandth the delay is the cap", () => {
    for (const jitter of ["none", "full", "equal", "decorrelated"] as const) {
      const of: BackoffShape = { growth: "exponential", baseMillis: 100, factor: 2, capMillis: 10_000, jitter }
      const delay = backoffDelayMillis(of, { retry: 10_000, previousMillis: 10_000 }, 0.5)
      assert.isTrue(Number.isFinite(delay), jitter)
      assert.strictEqual(delay, { none: 10_000, full: 5000, equal: 7500, decorrelated: 5050 }[jitter])
    }
  })

  it.effect("the mean of full jitter is half the delay", () =>
    Effect.gen(function* () {
      const taken = yield* delays(Backoff.exponential({ base: "1 second", factor: 1, cap: "1 second" }), 20_000)
      near(mean(taken), 500, 0.02)
    }).pipe(Random.withSeed("mean of full jitter"))
  )

  it.effect("the mean of equal jitter is three quarters of the delay", () =>
    Effect.gen(function* () {
      const schedule = Backoff.exponential({ base: "1 second", factor: 1, cap: "1 second", jitter: "equal" })
      near(mean(yield* delays(schedule, 20_000)), 750, 0.02)
    }).pipe(Random.withSeed("mean of equal jitter"))
  )

  for (const jitter of ["full", "equal", "decorrelated"] as const) {
    it.effect(`${jitter} jitter keeps its spread at the cap: clients do not come back at one instant`, () =>
      Effect.gen(function* () {
        const taken = yield* delays(Backoff.exponential({ base: "100 millis", cap: "1 second", jitter }), 2000)
        const capped = taken.slice(100)
        assert.isTrue(new Set(capped).size > 1890)
        assert.isTrue(capped.filter((delay) => delay >= 999).length < 10)
        assert.isTrue(Math.max(...capped) > 950)
        assert.isTrue(Math.max(...capped) <= 1000)
      }).pipe(Random.withSeed(`spread of ${jitter}`))
    )
  }

  it.effect("what is left out is full jitter from 100 ms, doubled, to 10 s", () =>
    Effect.gen(function* () {
      const half = { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => 0.5 }
      const taken = yield* delays(Backoff.exponential(), 9).pipe(Effect.provideService(Random.Random, half))
      assert.deepStrictEqual(taken, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000])
    })
  )

  it.effect("every use of a schedule starts anew", () =>
    Effect.gen(function* () {
      const schedule = Backoff.exponential({ base: "1 second", cap: "1 minute", jitter: "none" })
      assert.deepStrictEqual(yield* delays(schedule, 3), [1000, 2000, 4000])
      assert.deepStrictEqual(yield* delays(schedule, 3), [1000, 2000, 4000])
    })
  )

  it("an option out of range is refused, by its name and with what was got", () => {
    const refused = (options: Backoff.Options, message: string) =>
      assert.throws(
        () => Backoff.exponential(options),
        RangeError,
        new RegExp(`^${message.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`)
      )
    refused({ base: 0 }, "Backoff: base must be longer than zero and finite, got 0")
    refused({ base: "0 millis" }, "Backoff: base must be longer than zero and finite, got 0 millis")
    refused({ base: Number.NaN }, 'Backoff: base must be a time, such as "2 seconds", got NaN')
    refused({ base: Infinity }, "Backoff: base must be longer than zero and finite, got Infinity")
    refused({ base: -5 }, "Backoff: base must be longer than zero and finite, got -5")
    refused(
      { base: "1 second", cap: "999 millis" },
      "Backoff: cap must be finite and at least the base of 1000ms, got 999ms"
    )
    refused({ cap: Infinity }, "Backoff: cap must be finite and at least the base of 100ms, got Infinityms")
    refused({ factor: 0.99 }, "Backoff: factor must be at least 1, got 0.99")
    refused({ factor: Number.NaN }, "Backoff: factor must be at least 1, got NaN")
    assert.doesNotThrow(() => Backoff.exponential({ base: 1, cap: 1, factor: 1 }))
  })
})

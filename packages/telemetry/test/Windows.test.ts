import { Duration, Effect } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as Reason from "@holdfast/core/Reason"
import * as Windows from "../src/Windows.ts"
import { attempt, call, failed, interrupted, observers, succeeded } from "./support/synthetic.ts"

const status = { endpoint: "stock.internal:443", headers: {}, body: "", bodyComplete: true }
const unavailable = new Reason.ServiceUnavailable({ ...status, status: 503 })
const notFound = new Reason.NotFound({ ...status, status: 404 })
const circuitOpen = new Reason.CircuitOpen({})

/** The windows of something that is to be there. */
const windows = (upstream: string, operation?: string) =>
  Effect.map(Windows.read(upstream, operation), (series) => {
    if (series === undefined) throw new Error(`nothing of ${upstream} ${operation}`)
    return series
  })

describe("Windows", () => {
  it.effect("a call counts for its operation and for its upstream, by how it ended", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      for (let index = 0; index < 6; index++) callEnded(call(), succeeded(20))
      callEnded(call(), failed(unavailable))
      callEnded(call(), failed(notFound))
      callEnded(call(), failed(circuitOpen))
      callEnded(call({ template: "/items/{sku}" }), interrupted(5))
      yield* TestClock.adjust("5 seconds")
      const { calls, operation, upstream } = yield* windows("stock", "GET /items")
      assert.deepStrictEqual([upstream, operation], ["stock", "GET /items"])
      for (const window of [calls.last10Seconds, calls.lastMinute, calls.last5Minutes]) {
        assert.deepInclude(window, {
          covered: Duration.seconds(5),
          count: 9,
          succeeded: 6,
          failed: 3,
          rejected: 1,
          refused: 1,
          interrupted: 0,
          ratePerSecond: 9 / 5,
          errorRatio: 2 / 9
        })
      }
      const other = yield* windows("stock", "GET /items/{sku}")
      assert.deepInclude(other.calls.lastMinute, {
        count: 1,
        interrupted: 1,
        errorRatio: undefined,
        latency: undefined
      })
      const total = yield* windows("stock")
      assert.deepInclude(total.calls.lastMinute, { count: 10, succeeded: 6, failed: 3, interrupted: 1 })
      assert.strictEqual(total.attempts.lastMinute.count, 0)
      assert.isUndefined(yield* Windows.read("stock", "POST /items"))
      assert.isUndefined(yield* Windows.read("payments"))
    }).pipe(Effect.provide(Windows.layer()))
  )

  it.effect("a call that died failed, and is the upstream's fault", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      callEnded(call(), { outcome: "failure", durationMillis: 5, attempts: 1, error: undefined })
      const { calls } = yield* windows("stock", "GET /items")
      assert.deepInclude(calls.lastMinute, { count: 1, failed: 1, rejected: 0, refused: 0, errorRatio: 1 })
    }).pipe(Effect.provide(Windows.layer()))
  )

  it.effect("one slow call of two hundred is in no quantile, and five of a hundred are in the last", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      const quantiles = Effect.map(windows("stock", "GET /items"), ({ calls: { lastMinute } }) => {
        const { p50, p95, p99 } = lastMinute.latency ?? { p50: undefined, p95: undefined, p99: undefined }
        return [p50, p95, p99].map((time) => time !== undefined && Duration.toMillis(time) > 1000)
      })
      for (let count = 0; count < 200; count++) callEnded(call(), succeeded(10))
      callEnded(call(), succeeded(10_000))
      assert.deepStrictEqual(yield* quantiles, [false, false, false])
      for (let count = 0; count < 4; count++) callEnded(call(), succeeded(10_000))
      assert.deepStrictEqual(yield* quantiles, [false, false, true])
      for (let count = 0; count < 10; count++) callEnded(call(), succeeded(10_000))
      assert.deepStrictEqual(yield* quantiles, [false, true, true])
      for (let count = 0; count < 200; count++) callEnded(call(), succeeded(10_000))
      assert.deepStrictEqual(yield* quantiles, [true, true, true])
    }).pipe(Effect.provide(Windows.layer()))
  )

  it.effect("attempts are counted apart from calls", () =>
    Effect.gen(function* () {
      const { attemptEnded, callEnded } = yield* observers
      attemptEnded(call(), attempt({ reason: unavailable, durationMillis: 400 }))
      attemptEnded(call(), attempt({ outcome: "interrupted", durationMillis: 300 }))
      attemptEnded(call(), attempt({ durationMillis: 100 }))
      callEnded(call(), succeeded(600, 3))
      const { attempts, calls } = yield* windows("stock")
      assert.deepInclude(attempts.last10Seconds, {
        count: 3,
        succeeded: 1,
        failed: 1,
        interrupted: 1,
        errorRatio: 0.5
      })
      assert.deepInclude(calls.last10Seconds, { count: 1, succeeded: 1, failed: 0, errorRatio: 0 })
      const p50 = Duration.toMillis(calls.last10Seconds.latency?.p50 ?? Duration.zero)
      assert.isTrue(p50 > 570 && p50 < 630, `${p50}`)
    }).pipe(Effect.provide(Windows.layer()))
  )

  it.effect("percentiles are of what the upstream took: a refusal and a caller who left take no part", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      for (let millis = 1; millis <= 100; millis++) callEnded(call(), succeeded(millis * 10))
      for (let index = 0; index < 200; index++) {
        callEnded(call(), failed(circuitOpen, call(), { durationMillis: 0.02 }))
        callEnded(call(), interrupted(90_000))
      }
      const { latency } = (yield* windows("stock")).calls.lastMinute
      const near = (got: Duration.Duration | undefined, millis: number) => {
        const gotMillis = Duration.toMillis(got ?? Duration.zero)
        assert.isTrue(Math.abs(gotMillis - millis) <= 0.05 * millis, `${gotMillis} for ${millis}`)
      }
      near(latency?.p50, 500)
      near(latency?.p95, 950)
      near(latency?.p99, 990)
    }).pipe(Effect.provide(Windows.layer()))
  )

  it.effect("each window forgets after its own time, and reading is no reason to", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      callEnded(call(), succeeded(20))
      const counts = Effect.map(windows("stock"), ({ calls }) => [
        calls.last10Seconds.count,
        calls.lastMinute.count,
        calls.last5Minutes.count
      ])
      for (const [adjust, expected] of [
        ["8 seconds", [1, 1, 1]],
        ["2 seconds", [0, 1, 1]],
        ["40 seconds", [0, 1, 1]],
        ["10 seconds", [0, 0, 1]],
        ["3 minutes", [0, 0, 1]],
        ["1 minute", [0, 0, 0]]
      ] as const) {
        yield* TestClock.adjust(adjust)
        assert.deepStrictEqual(yield* counts, [...expected])
        assert.deepStrictEqual(yield* counts, [...expected])
      }
    }).pipe(Effect.provide(Windows.layer()))
  )

  it.effect("a steady rate is read as it is, at any instant and in any window", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      for (let tick = 0; tick < 4000; tick++) {
        yield* TestClock.adjust("100 millis")
        callEnded(call(), succeeded(20))
        if (tick < 100 || tick % 37 !== 0) continue
        const { calls } = yield* windows("stock")
        for (const window of [calls.last10Seconds, calls.lastMinute, calls.last5Minutes]) {
          // one call may be at the edge of what is covered
          assert.isTrue(Math.abs(window.ratePerSecond - 10) < 0.2, `${window.ratePerSecond} at ${tick}`)
        }
      }
    }).pipe(Effect.provide(Windows.layer()))
  )

  it.effect("beyond the bound, what was not used for longest is forgotten, and an upstream after its operations", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      const used = (upstream: string, template: string) => callEnded(call({ upstream, template }), succeeded(1))
      const names = Effect.map(Windows.all, (all) =>
        all.map(({ operation, upstream }) => `${upstream} ${operation ?? "*"}`)
      )
      used("a", "/1")
      used("a", "/2")
      used("a", "/1")
      assert.deepStrictEqual(yield* names, ["a *", "a GET /1", "a GET /2"])
      used("b", "/1")
      assert.deepStrictEqual(yield* names, ["a *", "a GET /1", "b *", "b GET /1"])
      used("b", "/2")
      assert.deepStrictEqual(yield* names, ["a *", "b *", "b GET /1", "b GET /2"])
      used("a", "/3")
      assert.deepStrictEqual(yield* names, ["a *", "a GET /3", "b *", "b GET /2"])
      used("b", "/1")
      used("b", "/2")
      used("b", "/3")
      assert.deepStrictEqual(yield* names, ["b *", "b GET /1", "b GET /2", "b GET /3"])
      for (let index = 0; index < 1000; index++) {
        used(`u${index % 7}`, `/${index}`)
        assert.isTrue((yield* names).length <= 4)
      }
    }).pipe(Effect.provide(Windows.layer({ maxSeries: 4 })))
  )

  it.effect("what comes back after it was forgotten is not taken for calls that were few", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      callEnded(call({ upstream: "a" }), succeeded(1))
      yield* TestClock.adjust("8 seconds")
      callEnded(call({ upstream: "b" }), succeeded(1))
      callEnded(call({ upstream: "c" }), succeeded(1))
      yield* TestClock.adjust("1 second")
      const before = yield* windows("b")
      assert.deepStrictEqual(before.calls.lastMinute.covered, Duration.seconds(9), "nothing was forgotten until then")
      const { calls } = yield* windows("c")
      assert.deepInclude(calls.lastMinute, { covered: Duration.seconds(1), ratePerSecond: 1 })
    }).pipe(Effect.provide(Windows.layer({ maxSeries: 4 })))
  )

  it("a bound that holds nothing is refused in words", () => {
    for (const maxSeries of [1, 0, -1, 2.5, Number.NaN]) {
      assert.throws(
        () => Windows.layer({ maxSeries }),
        `Windows: maxSeries must be a whole number of at least 2, got ${maxSeries}`
      )
    }
  })

  it.effect("within its first second a window says how many there were, and not how many there would be", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      callEnded(call(), succeeded(1))
      callEnded(call(), succeeded(1))
      yield* TestClock.adjust("100 millis")
      assert.strictEqual((yield* windows("stock")).calls.last10Seconds.ratePerSecond, 2)
    }).pipe(Effect.provide(Windows.layer()))
  )
})

import { assert, describe, it } from "@effect/vitest"
import { MemoryTracer } from "@holdfast/telemetry"
import { Effect, Tracer } from "effect"
import { TestClock } from "effect/testing"

const work = Effect.gen(function* () {
  yield* TestClock.adjust("10 millis").pipe(
    Effect.andThen(
      Effect.gen(function* () {
        const span = yield* Effect.currentSpan
        span.event("holdfast.retry", 10_000_000n, { "error.type": "ERR_X", "holdfast.retry.delay": 0.12345 })
      })
    ),
    Effect.andThen(Effect.die(new Error("no\nstock"))),
    Effect.withSpan("reserve", { kind: "client", attributes: { sku: "A-7", "http.request.resend_count": 1 } }),
    Effect.exit
  )
  yield* Effect.interrupt.pipe(Effect.withSpan("notify"), Effect.exit)
}).pipe(Effect.withSpan("checkout"))

describe("the memory tracer", () => {
  it.effect("keeps spans as records, in the order in which they began", () =>
    Effect.gen(function* () {
      yield* work
      const spans = yield* MemoryTracer.spans
      assert.deepStrictEqual(
        spans.map(({ kind, message, name, status }) => [name, kind, status, message]),
        [
          ["checkout", "internal", "ok", undefined],
          ["reserve", "client", "error", "no"],
          ["notify", "internal", "interrupted", undefined]
        ]
      )
      const [checkout, reserve] = spans
      assert.strictEqual(reserve?.parentSpanId, checkout?.spanId)
      assert.strictEqual(reserve?.traceId, checkout?.traceId)
      assert.isUndefined(checkout?.parentSpanId)
      assert.strictEqual(reserve?.endTimeUnixNano, 10_000_000n)
      assert.strictEqual(reserve?.attributes["sku"], "A-7")
      assert.deepStrictEqual(
        reserve?.events.map(({ name, timeUnixNano }) => [name, timeUnixNano]),
        [["holdfast.retry", 10_000_000n]]
      )
    }).pipe(Effect.provide(MemoryTracer.layer()))
  )

  it.effect("gives trees, and text that is the same for each run", () =>
    Effect.gen(function* () {
      yield* work
      const [tree, ...others] = yield* MemoryTracer.trees
      assert.lengthOf(others, 0)
      assert.deepStrictEqual(
        tree?.children.map(({ span }) => span.name),
        ["reserve", "notify"]
      )
      assert.strictEqual(
        yield* MemoryTracer.text({ attributes: ["sku", "nothing"] }),
        [
          "checkout: ok",
          "  reserve (client), resend 1: no sku=A-7",
          "    * holdfast.retry error.type=ERR_X holdfast.retry.delay=0.123",
          "  notify: interrupted"
        ].join("\n")
      )
      assert.notInclude(yield* MemoryTracer.text({ events: false }), "*")
      yield* MemoryTracer.clear
      assert.strictEqual(yield* MemoryTracer.text(), "")
      yield* work
      assert.lengthOf(yield* MemoryTracer.spans, 3)
    }).pipe(Effect.provide(MemoryTracer.layer()))
  )

  it.effect("shows spans that run still, and roots below a span of somebody else", () =>
    Effect.gen(function* () {
      const parent = Tracer.externalSpan({ spanId: "00f067aa0ba902b7", traceId: "4bf92f3577b34da6a3ce929d0e0e4736" })
      yield* Effect.makeSpan("server", { parent })
      assert.strictEqual(yield* MemoryTracer.text(), "server: still running")
      const [span] = yield* MemoryTracer.spans
      assert.deepInclude(span, {
        status: "running",
        endTimeUnixNano: undefined,
        parentSpanId: "00f067aa0ba902b7",
        traceId: "4bf92f3577b34da6a3ce929d0e0e4736"
      })
    }).pipe(Effect.provide(MemoryTracer.layer()))
  )

  it.effect("keeps no more than it may, and counts what it missed; what is not sampled counts nowhere", () =>
    Effect.gen(function* () {
      const memory = yield* MemoryTracer.MemoryTracer
      yield* Effect.forEach(Array.from({ length: 8 }), () => Effect.withSpan(Effect.void, "work"))
      const unsampled = Tracer.externalSpan({ spanId: "a", traceId: "b", sampled: false })
      yield* Effect.withSpan(Effect.void, "quiet", { parent: unsampled })
      assert.lengthOf(yield* memory.spans, 5)
      assert.strictEqual(yield* memory.missed, 3)
      yield* memory.clear
      assert.strictEqual(yield* memory.missed, 0)
    }).pipe(Effect.provide(MemoryTracer.layer({ maxSpans: 5 })))
  )

  it.effect("what a span holds of others forges no line", () =>
    Effect.gen(function* () {
      yield* Effect.ignore(
        Effect.andThen(Effect.annotateCurrentSpan("said", "x\u009b2J\ny"), Effect.fail("no\n\u202estock")).pipe(
          Effect.withSpan("a\nforged\u001b[2K")
        )
      )
      const text = yield* MemoryTracer.text({ attributes: ["said"] })
      assert.lengthOf(text.split("\n"), 1)
      assert.notMatch(text, /[\p{Cc}\u202e]/u)
    }).pipe(Effect.provide(MemoryTracer.layer()))
  )

  it("keeps one span, and refuses to keep nothing", () => {
    assert.isDefined(MemoryTracer.layer({ maxSpans: 1 }))
    assert.throws(
      () => MemoryTracer.layer({ maxSpans: 0 }),
      RangeError,
      "MemoryTracer: maxSpans must be a whole number of at least 1, got 0"
    )
  })
})

import { assert, describe, it } from "@effect/vitest"
import { ConsoleTracer } from "@holdfast/telemetry"
import { Effect, Fiber, Tracer } from "effect"
import { TestClock, TestConsole } from "effect/testing"

/** What is written, without the identifiers of traces. */
const collecting = () => {
  const blocks: Array<string> = []
  const write = (text: string): void => void blocks.push(text.replaceAll(/^trace [0-9a-f]{32}/gm, "trace …"))
  return { blocks, write }
}

const after = (millis: number) => TestClock.adjust(`${millis} millis`)

const event = (name: string, attributes: Record<string, unknown> = {}) =>
  Effect.gen(function* () {
    const span = yield* Effect.currentSpan
    span.event(name, yield* Effect.clockWith((clock) => clock.currentTimeNanos), attributes)
  })

/** A call as the pipeline shows it, that was answered by its third attempt. */
const call = Effect.gen(function* () {
  const attempt = (resend: number, millis: number, attributes: Record<string, unknown>) =>
    after(millis).pipe(
      Effect.andThen(Effect.annotateCurrentSpan(attributes)),
      Effect.andThen(attributes["error.type"] === undefined ? Effect.void : Effect.fail("no")),
      Effect.withSpan("GET /charges/{id}", {
        kind: "client",
        attributes: resend === 0 ? {} : { "http.request.resend_count": resend }
      }),
      Effect.ignore
    )
  const retry = (attempt: number, type: string, delay: number) =>
    event("holdfast.retry", { "holdfast.retry.attempt": attempt, "holdfast.retry.delay": delay, "error.type": type })
  yield* attempt(0, 100, { "http.response.status_code": 503, "error.type": "503" })
  yield* retry(1, "ERR_STATUS_SERVICE_UNAVAILABLE", 0.05)
  yield* after(50)
  yield* attempt(1, 1, { "error.type": "ERR_NETWORK_CONNECTION_RESET" })
  yield* retry(2, "ERR_NETWORK_CONNECTION_RESET", 0.1)
  yield* after(100)
  yield* attempt(2, 149, { "http.response.status_code": 200 })
}).pipe(Effect.withSpan("payments GET /charges/{id}"))

describe("the console tracer", () => {
  it.effect("shows a call as a tree: attempts and events in the order of time, where they lie, how they ended", () =>
    Effect.gen(function* () {
      const { blocks, write } = collecting()
      yield* Effect.provide(call, ConsoleTracer.layer({ write }))
      assert.deepStrictEqual(blocks, [
        [
          "trace …",
          "payments GET /charges/{id}      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━     400 ms  ok",
          "├─ GET /charges/{id}            ━━━━━━━━                             100 ms  503",
          "│ ◆ retry                               ◆                           +100 ms  ERR_STATUS_SERVICE_UNAVAILABLE, attempt 1, delay 50 ms",
          "├─ GET /charges/{id}, resend 1              ━                        1.0 ms  ERR_NETWORK_CONNECTION_RESET",
          "│ ◆ retry                                   ◆                       +151 ms  ERR_NETWORK_CONNECTION_RESET, attempt 2, delay 100 ms",
          "└─ GET /charges/{id}, resend 2                      ━━━━━━━━━━━━     149 ms  200",
          ""
        ].join("\n")
      ])
    })
  )

  it.effect("shows why a span failed, that it was interrupted, and the attributes that were asked for", () =>
    Effect.gen(function* () {
      const { blocks, write } = collecting()
      yield* Effect.gen(function* () {
        yield* Effect.die(new Error("no stock\nof anything")).pipe(
          Effect.withSpan("reserve", { attributes: { sku: "A-7", secret: "s3cret" } }),
          Effect.exit
        )
        yield* Effect.interrupt.pipe(Effect.withSpan("notify"), Effect.exit)
        const failed = {
          "error.type": "ERR_TIME_DEADLINE_EXCEEDED",
          "holdfast.attempts": 1,
          "holdfast.retry_stopped": "deadline"
        }
        yield* Effect.fail("late").pipe(Effect.withSpan("stock GET /items", { attributes: failed }), Effect.ignore)
      }).pipe(Effect.withSpan("checkout"), Effect.provide(ConsoleTracer.layer({ write, attributes: ["sku"] })))
      const [block] = blocks
      assert.match(block ?? "", /^├─ reserve .* no stock, sku=A-7$/m)
      assert.match(block ?? "", /^├─ notify .* interrupted$/m)
      assert.match(block ?? "", /^└─ stock GET \/items .* ERR_TIME_DEADLINE_EXCEEDED, 1 attempt, stopped: deadline$/m)
      assert.notInclude(block, "s3cret")
    })
  )

  it.effect("keeps within the width that it is given, but for the outcome of the root", () =>
    Effect.gen(function* () {
      const { blocks, write } = collecting()
      const name = "a span with a name that is far too long for sixty columns of a terminal"
      yield* Effect.die(new Error("x".repeat(200))).pipe(
        Effect.withSpan(name),
        Effect.exit,
        Effect.withSpan("root"),
        Effect.provide(ConsoleTracer.layer({ write, width: 60 }))
      )
      const [, root, child] = blocks[0]?.split("\n") ?? []
      assert.isAtMost(root?.length ?? 0, 60)
      assert.strictEqual(child?.length, 60)
      assert.match(child ?? "", /^└─ a span with a name .*…  .*x…$/)
    })
  )

  it.effect("what a span holds of others forges no line", () =>
    Effect.gen(function* () {
      const blocks: Array<string> = []
      const layer = ConsoleTracer.layer({
        write: (text) => void blocks.push(text),
        colours: false,
        attributes: ["said"]
      })
      yield* Effect.ignore(
        Effect.andThen(Effect.annotateCurrentSpan("said", "x\u009b2J\ny"), Effect.fail("no\n\u202estock")).pipe(
          Effect.withSpan("a\nforged\u001b[2K")
        )
      ).pipe(Effect.provide(layer))
      const lines = (blocks[0] ?? "").trimEnd().split("\n")
      assert.lengthOf(lines, 2, "a heading and a span")
      for (const line of lines) assert.notMatch(line, /[\p{Cc}\u202e]/u)
    })
  )

  it.effect("has colours when it is told to, and none that would stay on", () =>
    Effect.gen(function* () {
      const { blocks, write } = collecting()
      yield* Effect.provide(call, ConsoleTracer.layer({ write, colours: true }))
      const text = blocks[0] ?? ""
      assert.include(text, "\u001b[31m503\u001b[0m")
      assert.strictEqual(text.split("\u001b[").length, text.split("\u001b[0m").length * 2 - 1)
      for (const code of [1, 2, 31, 32, 33])
        assert.notInclude(text, `\u001b[${code}m\u001b[0m`, "no paint without text")
    })
  )

  it.effect("waits for spans that outlive their root, and shows each trace once", () =>
    Effect.gen(function* () {
      const { blocks, write } = collecting()
      yield* Effect.gen(function* () {
        const child = yield* Effect.forkDetach(Effect.withSpan(Effect.sleep("5 seconds"), "child"), {
          startImmediately: true
        }).pipe(Effect.withSpan("root"))
        assert.lengthOf(blocks, 0)
        yield* after(5000)
        yield* Fiber.join(child)
        assert.lengthOf(blocks, 1)
        assert.match(blocks[0] ?? "", /└─ child .* 5\.00 s/)
      }).pipe(Effect.provide(ConsoleTracer.layer({ write })))
      assert.lengthOf(blocks, 1)
    })
  )

  it.effect("shows a trace that never ends once it is too long, and what comes after it apart", () =>
    Effect.gen(function* () {
      const { blocks, write } = collecting()
      yield* Effect.forEach(Array.from({ length: 10 }), (_, index) =>
        Effect.withSpan(Effect.void, `turn ${index}`)
      ).pipe(Effect.withSpan("forever"), Effect.provide(ConsoleTracer.layer({ write, maxSpans: 5 })))
      assert.lengthOf(blocks, 7)
      assert.match(blocks[0] ?? "", /because it has so many spans[^]*forever .* … +still running[^]*turn 2/)
      assert.match(blocks[1] ?? "", /^trace …\nturn 4 /)
    })
  )

  it.effect("lets go of the oldest trace when too many are under way, with a note", () =>
    Effect.gen(function* () {
      const { blocks, write } = collecting()
      yield* Effect.gen(function* () {
        for (let index = 0; index < 6; index++) yield* Effect.makeSpan(`leaked ${index}`, { root: true })
        assert.deepStrictEqual(
          blocks.map((block) => /^leaked \d/m.exec(block)?.[0]),
          ["leaked 0", "leaked 1", "leaked 2"]
        )
        assert.match(blocks[0] ?? "", /because so many others are under way/)
      }).pipe(Effect.provide(ConsoleTracer.layer({ write, maxTraces: 3 })))
      assert.lengthOf(blocks, 6)
      assert.match(blocks[5] ?? "", /because the tracer was closed/)
    })
  )

  it.effect("shows no span that is not sampled, and breaks nothing when writing fails", () =>
    Effect.gen(function* () {
      const { blocks, write } = collecting()
      const unsampled = Tracer.externalSpan({ spanId: "a", traceId: "b", sampled: false })
      yield* Effect.void.pipe(
        Effect.withSpan("quiet", { parent: unsampled }),
        Effect.provide(ConsoleTracer.layer({ write }))
      )
      assert.lengthOf(blocks, 0)
      const broken = ConsoleTracer.layer({
        write: () => {
          throw new Error("no paper")
        }
      })
      assert.strictEqual(yield* Effect.succeed(1).pipe(Effect.withSpan("loud"), Effect.provide(broken)), 1)
    })
  )

  it.effect("writes through Effect's console unless told otherwise", () =>
    Effect.gen(function* () {
      yield* Effect.provide(Effect.withSpan(Effect.void, "work"), ConsoleTracer.layer())
      assert.include(String((yield* TestConsole.logLines)[0]), "\nwork ")
    })
  )

  it.each([
    [{ width: 59 }, /width must be a whole number of at least 60, got 59/],
    [{ maxTraces: 0 }, /maxTraces must be a whole number of at least 1, got 0/],
    [{ maxSpans: 1 }, /maxSpans must be a whole number of at least 2, got 1/]
  ] as const)("refuses %o", (options, message) => {
    assert.throws(() => ConsoleTracer.layer(options), RangeError, message)
  })

  it.effect("shows times from the beginning of a trace, whenever that was", () =>
    Effect.gen(function* () {
      const { blocks, write } = collecting()
      yield* after(3_600_000)
      yield* Effect.provide(
        Effect.withSpan(Effect.andThen(after(10), Effect.withSpan(after(30), "child")), "root"),
        ConsoleTracer.layer({ write })
      )
      const [, root = "", child = ""] = blocks[0]?.split("\n") ?? []
      assert.match(root, /40 ms {2}ok$/)
      assert.match(child, /30 ms {2}ok$/)
    })
  )
})

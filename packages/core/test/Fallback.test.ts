import { Cause, Context, Deferred, Duration, Effect, Exit, Fiber, Tracer } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { CallError } from "../src/CallError.ts"
import * as Fallback from "../src/Fallback.ts"
import * as Reason from "../src/Reason.ts"

const callError = (reason: Reason.Reason) =>
  new CallError({
    upstream: "payments",
    operation: "GET /charges",
    requestId: "0d6f1c2ab3e94f75",
    attempts: 1,
    elapsed: Duration.millis(5),
    retryStopped: "attempts",
    reason
  })

const circuitOpen = new Reason.CircuitOpen({})
const encodeFailed = new Reason.RequestEncodeFailed({ path: "json", issue: "not a number" })
const expired = new Reason.CertificateExpired({ endpoint: "payments.internal:443", phase: "connect" })

const reasonsOf = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit)
    ? exit.cause.reasons.map((reason) => {
        if (Cause.isFailReason(reason)) return ["fail", reason.error]
        return Cause.isDieReason(reason) ? ["die", reason.defect] : ["interrupt"]
      })
    : []

describe("Fallback", () => {
  it.effect("a success is not touched", () =>
    Effect.gen(function* () {
      const fallback = Fallback.make({ orElse: () => Effect.die("asked") })
      assert.strictEqual(yield* fallback.run(Effect.succeed(1)), 1)
      assert.deepStrictEqual(yield* fallback.runResult(Effect.succeed(1)), { degraded: false, value: 1 })
      assert.deepStrictEqual(yield* fallback.snapshot, { fellBack: 0, failed: 0, passed: 0 })
    })
  )

  it.effect("a failure is answered with the value, and the answer says so and why", () =>
    Effect.gen(function* () {
      const fallback = Fallback.make({ value: "old" })
      assert.strictEqual(yield* fallback.run(Effect.fail("down")), "old")
      assert.deepStrictEqual(yield* fallback.runResult(Effect.fail("down")), {
        degraded: true,
        value: "old",
        error: "down"
      })
      assert.deepStrictEqual(yield* fallback.snapshot, { fellBack: 2, failed: 0, passed: 0 })
    })
  )

  it.effect("a value that is undefined is a value", () =>
    Effect.gen(function* () {
      const fallback = Fallback.make({ value: undefined })
      assert.deepStrictEqual(yield* fallback.runResult(Effect.fail("down")), {
        degraded: true,
        value: undefined,
        error: "down"
      })
    })
  )

  it.effect("an effect is told the failure that it stands in for", () =>
    Effect.gen(function* () {
      const fallback = Fallback.make({ orElse: (error: string) => Effect.succeed(`instead of ${error}`) })
      assert.strictEqual(yield* fallback.run(Effect.fail("down")), "instead of down")
    })
  )

  it.effect("by default the caller's own mistakes pass through, and all else is answered", () =>
    Effect.gen(function* () {
      const fallback = Fallback.make({ value: "old" })
      for (const error of [circuitOpen, expired, callError(circuitOpen), callError(expired), "anything"]) {
        assert.strictEqual(yield* fallback.run(Effect.fail(error)), "old")
      }
      for (const error of [encodeFailed, callError(encodeFailed)]) {
        assert.strictEqual(yield* Effect.flip(fallback.run(Effect.fail(error))), error)
      }
      assert.deepStrictEqual(yield* fallback.snapshot, { fellBack: 5, failed: 0, passed: 2 })
    })
  )

  it.effect("named reasons are answered, on their own and in a CallError; nothing else is", () =>
    Effect.gen(function* () {
      const fallback = Fallback.make({ when: ["CircuitOpen", "RequestEncodeFailed"], value: "old" })
      for (const error of [circuitOpen, encodeFailed, callError(circuitOpen)]) {
        assert.isTrue(fallback.handles(error))
        assert.strictEqual(yield* fallback.run(Effect.fail(error)), "old")
      }
      for (const error of [expired, callError(expired), "CircuitOpen", { _tag: "CircuitOpen" }]) {
        assert.isFalse(fallback.handles(error))
        assert.strictEqual(yield* Effect.flip(fallback.run(Effect.fail(error))), error)
      }
    })
  )

  it.effect("a predicate decides, whatever the catalogue says", () =>
    Effect.gen(function* () {
      const fallback = Fallback.make({ when: (error: Reason.Reason) => error._tag !== "CircuitOpen", value: "old" })
      assert.strictEqual(yield* fallback.run(Effect.fail(encodeFailed)), "old")
      assert.strictEqual(yield* Effect.flip(fallback.run(Effect.fail(circuitOpen))), circuitOpen)
    })
  )

  it.effect("a failure that passes keeps its whole cause", () =>
    Effect.gen(function* () {
      const cause = Cause.fromReasons([...Cause.fail("one").reasons, ...Cause.fail("two").reasons])
      const fallback = Fallback.make({ when: () => false, value: "old" })
      const exit = yield* Effect.exit(fallback.run(Effect.failCause(cause)))
      assert.deepStrictEqual(reasonsOf(exit), [
        ["fail", "one"],
        ["fail", "two"]
      ])
    })
  )

  it.effect("defects and interruptions are not fallen back from, also beside a failure", () =>
    Effect.gen(function* () {
      const fallback = Fallback.make({ value: "old" })
      assert.deepStrictEqual(yield* Effect.exit(fallback.run(Effect.die("bug"))), Exit.die("bug"))
      const beside = (other: Cause.Cause<never>) =>
        Effect.failCause(Cause.fromReasons([...Cause.fail("down").reasons, ...other.reasons]))
      const died = yield* Effect.exit(fallback.run(beside(Cause.die("bug"))))
      assert.deepStrictEqual(reasonsOf(died), [
        ["fail", "down"],
        ["die", "bug"]
      ])
      const gone = yield* Effect.exit(fallback.run(beside(Cause.interrupt(1))))
      assert.deepStrictEqual(reasonsOf(gone), [["fail", "down"], ["interrupt"]])
      assert.deepStrictEqual(yield* fallback.snapshot, { fellBack: 0, failed: 0, passed: 0 })
    })
  )

  it.effect("an outer interruption stays one, before and during the fallback", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const fallback = Fallback.make({
        orElse: () => Effect.andThen(Deferred.succeed(started, undefined), Effect.never)
      })
      for (const self of [Effect.never, Effect.fail("down")]) {
        const fiber = yield* Effect.forkChild(fallback.run(self))
        if (self !== Effect.never) yield* Deferred.await(started)
        else yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        const exit = yield* Fiber.await(fiber)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      }
      assert.deepStrictEqual(yield* fallback.snapshot, { fellBack: 0, failed: 0, passed: 0 })
    })
  )

  it.effect("a fallback that interrupts itself is an interruption, and nobody recovers from it by the failure", () =>
    Effect.gen(function* () {
      const fallback = Fallback.make({ orElse: () => Effect.interrupt })
      const recovered = Effect.catch(fallback.run(Effect.fail("down")), () => Effect.succeed("hidden"))
      const exit = yield* Effect.exit(recovered)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.deepStrictEqual(yield* fallback.snapshot, { fellBack: 0, failed: 0, passed: 0 })
    })
  )

  it.effect("when the fallback fails too the caller gets the original failure, with the other beside it", () =>
    Effect.gen(function* () {
      const fallback = Fallback.make({ orElse: () => Effect.fail("cache is empty") })
      const exit = yield* Effect.exit(fallback.run(Effect.fail("down")))
      assert.deepStrictEqual(reasonsOf(exit), [
        ["fail", "down"],
        ["fail", "cache is empty"]
      ])
      assert.strictEqual(yield* Effect.flip(fallback.run(Effect.fail("down"))), "down")
      assert.deepStrictEqual(yield* fallback.snapshot, { fellBack: 0, failed: 2, passed: 0 })
    })
  )

  it.effect("a defect of the fallback is not lost on who recovers from the failure, and keeps it as context", () =>
    Effect.gen(function* () {
      const thrown = Fallback.make({
        orElse: (): Effect.Effect<string> => {
          throw new Error("bug")
        }
      })
      for (const fallback of [Fallback.make({ orElse: () => Effect.die(new Error("bug")) }), thrown]) {
        const exit = yield* Effect.exit(Effect.catch(fallback.run(Effect.fail("down")), () => Effect.succeed("hidden")))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        if (Exit.isSuccess(exit)) continue
        assert.strictEqual(Context.getOrUndefined(Cause.annotations(exit.cause), Fallback.Original), "down")
      }
    })
  )

  it.effect("observe lets the failure pass, counts it and tells of it", () =>
    Effect.gen(function* () {
      const fallback = Fallback.make({ orElse: () => Effect.die("asked"), mode: "observe" })
      const events: Array<unknown> = []
      fallback.events.subscribe((event) => events.push(event))
      assert.strictEqual(yield* Effect.flip(fallback.run(Effect.fail("down"))), "down")
      assert.strictEqual(yield* Effect.flip(fallback.runResult(Effect.fail("down"))), "down")
      assert.deepStrictEqual(yield* fallback.snapshot, { fellBack: 2, failed: 0, passed: 0 })
      assert.deepStrictEqual(events[0], { _tag: "FellBack", error: "down", observed: true })
    })
  )

  it.effect("off is not there", () =>
    Effect.gen(function* () {
      const fallback = Fallback.make({ value: "old", mode: "off" })
      assert.strictEqual(yield* Effect.flip(fallback.run(Effect.fail("down"))), "down")
      assert.deepStrictEqual(yield* fallback.runResult(Effect.succeed(1)), { degraded: false, value: 1 })
      assert.deepStrictEqual(yield* fallback.snapshot, { fellBack: 0, failed: 0, passed: 0 })
    })
  )

  it.effect("events tell of an answer and of a fallback that failed", () =>
    Effect.gen(function* () {
      const fallback = Fallback.make({
        orElse: (error: string) => (error === "down" ? Effect.succeed("old") : Effect.fail("empty"))
      })
      const events: Array<unknown> = []
      fallback.events.subscribe((event) => events.push(event))
      yield* fallback.run(Effect.fail("down"))
      yield* Effect.exit(fallback.run(Effect.fail("broken")))
      assert.deepStrictEqual(events, [
        { _tag: "FellBack", error: "down", observed: false },
        { _tag: "FallbackFailed", error: "broken", cause: Cause.fail("empty") }
      ])
    })
  )

  it.effect("the current span says that the answer is degraded, and only then", () =>
    Effect.gen(function* () {
      const degraded = (effect: Effect.Effect<unknown, unknown>) =>
        Effect.gen(function* () {
          yield* effect
          const span = yield* Effect.currentSpan
          return span.attributes.get("holdfast.degraded")
        }).pipe(Effect.withSpan("call"), Effect.provideService(Tracer.Tracer, tracer))
      const fallback = Fallback.make({ value: "old" })
      assert.strictEqual(yield* degraded(fallback.run(Effect.fail("down"))), true)
      assert.strictEqual(yield* degraded(fallback.run(Effect.succeed("new"))), undefined)
    })
  )

  it("an empty list of reasons is refused", () => {
    assert.throws(
      () => Fallback.make({ when: [], value: 1 }),
      RangeError,
      "Fallback: when must name at least one reason, got none"
    )
  })
})

const tracer = Tracer.make({ span: (options) => new Tracer.NativeSpan(options) })

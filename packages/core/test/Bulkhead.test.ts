import { Arbitrary, Cause, Clock, Deferred, Duration, Effect, Exit, Fiber, Scheduler, Schema, Stream } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as Bulkhead from "../src/Bulkhead.ts"
import * as Criticality from "../src/Criticality.ts"
import * as Deadline from "../src/Deadline.ts"
import type { BulkheadFull } from "../src/Reason.ts"
import { countingClock, sleepers } from "./support/countingClock.ts"
import { atEveryStep, ended } from "../../../test/support/atEveryStep.ts"

const exactly = (message: string) => new RegExp(`^${message.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`)

/** Lets every fiber go on as far as it can. */
const settle = TestClock.adjust(0)

/** Calls that say when they run, and end when they are told. */
const makeCalls = (bulkhead: Bulkhead.Bulkhead) => {
  const started: Array<string> = []
  const ends = new Map<string, Deferred.Deferred<void>>()
  const call = (name: string, options?: Bulkhead.RunOptions) =>
    Effect.gen(function* () {
      const end = yield* Deferred.make<void>()
      ends.set(name, end)
      const self = Effect.suspend(() => {
        started.push(name)
        return Effect.as(Deferred.await(end), name)
      })
      const fiber = yield* Effect.forkChild(bulkhead.run(self, options))
      yield* settle
      return fiber
    })
  const end = (name: string) =>
    Effect.suspend(() => {
      const deferred = ends.get(name)
      return deferred === undefined ? Effect.die(`no ${name}`) : Deferred.succeed(deferred, undefined)
    }).pipe(Effect.andThen(settle))
  return { started, call, end }
}

const isIdle = (bulkhead: Bulkhead.Bulkhead) =>
  Effect.map(bulkhead.snapshot, (snapshot) => assert.deepInclude(snapshot, { inFlight: 0, queued: 0 }))

const messageOf = <A, E extends Error>(fiber: Fiber.Fiber<A, E>) =>
  Effect.map(Effect.flip(Fiber.join(fiber)), (error) => error.message)

describe("Bulkhead", () => {
  it.effect("calls beyond the limit wait for their turn in the order in which they came", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 2, maxQueue: 2 })
      const { call, end, started } = makeCalls(bulkhead)
      for (const name of ["a", "b", "c", "d"]) yield* call(name)
      assert.deepStrictEqual(started, ["a", "b"])
      assert.deepInclude(yield* bulkhead.snapshot, { inFlight: 2, queued: 2, admitted: 2, delayed: 2, refused: 0 })
      yield* end("b")
      assert.deepStrictEqual(started, ["a", "b", "c"])
      yield* end("a")
      assert.deepStrictEqual(started, ["a", "b", "c", "d"])
      yield* end("c")
      yield* end("d")
      yield* isIdle(bulkhead)
      assert.deepInclude(yield* bulkhead.snapshot, { admitted: 4, delayed: 2, refused: 0, abandoned: 0 })
    })
  )

  it.effect("a full queue refuses at once, with the figures, and does not run the call", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 1 })
      const { call, started } = makeCalls(bulkhead)
      yield* call("a")
      yield* call("b")
      const refused = yield* call("c")
      assert.strictEqual(
        yield* messageOf(refused),
        "the bulkhead and its queue are full (1 of 1 in flight, 1 of 1 waiting); nothing was sent"
      )
      assert.deepStrictEqual(started, ["a"])
      assert.deepInclude(yield* bulkhead.snapshot, { refused: 1, inFlight: 1, queued: 1 })
    })
  )

  it.effect("left out, 25 run, 10 wait, for a second", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make()
      const fibers = yield* Effect.forEach(Array.from({ length: 36 }), () =>
        Effect.forkChild(Effect.flip(bulkhead.run(Effect.never)))
      )
      yield* settle
      assert.deepInclude(yield* bulkhead.snapshot, { inFlight: 25, queued: 10, refused: 1, limit: 25, maxQueue: 10 })
      yield* TestClock.adjust("999 millis")
      assert.deepInclude(yield* bulkhead.snapshot, { queued: 10, refused: 1 })
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(yield* bulkhead.snapshot, { inFlight: 25, queued: 0, refused: 11 })
      yield* Fiber.interruptAll(fibers)
      yield* isIdle(bulkhead)
    })
  )

  it.effect("nobody waits longer than maxWait, and nobody behind is hurt by who gave up", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxWait: "100 millis" })
      const { call, end, started } = makeCalls(bulkhead)
      yield* call("a")
      const early = yield* call("b")
      yield* TestClock.adjust("50 millis")
      yield* call("c")
      yield* TestClock.adjust("50 millis")
      assert.strictEqual(
        yield* messageOf(early),
        "the bulkhead and its queue are full (1 of 1 in flight, 1 of 10 waiting; it waited 100ms); nothing was sent"
      )
      yield* end("a")
      assert.deepStrictEqual(started, ["a", "c"])
      yield* TestClock.adjust("1 second")
      yield* end("c")
      yield* isIdle(bulkhead)
    })
  )

  it.effect("without a queue, or without time for it, a call is refused at once", () =>
    Effect.gen(function* () {
      for (const options of [{ maxQueue: 0 }, { maxWait: 0 }]) {
        const bulkhead = Bulkhead.make({ maxConcurrent: 1, ...options })
        const { call, started } = makeCalls(bulkhead)
        yield* call("a")
        const refused = yield* call("b")
        assert.include(yield* messageOf(refused), "1 of 1 in flight, 0 of")
        assert.deepStrictEqual(started, ["a"])
      }
    })
  )

  it.effect("nobody waits past the deadline, ambient or given", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1 })
      const { call, started } = makeCalls(bulkhead)
      yield* call("a")
      const ambient = yield* call("b").pipe(Deadline.within("30 millis"))
      const given = yield* call("c", { deadline: { atMillis: 60, budgetMillis: 60 } })
      yield* TestClock.adjust("29 millis")
      assert.isUndefined(ambient.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.include(yield* messageOf(ambient), "; it waited 30ms, until its deadline)")
      assert.isUndefined(given.pollUnsafe())
      yield* TestClock.adjust("30 millis")
      assert.include(yield* messageOf(given), "; it waited 60ms, until its deadline)")
      assert.deepStrictEqual(started, ["a"])
    })
  )

  it.effect("a call whose deadline has passed is refused instead of queued, and runs when a permit is free", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1 })
      const { call, end, started } = makeCalls(bulkhead)
      const past = { deadline: { atMillis: 0, budgetMillis: 10 } }
      yield* call("a", past)
      const refused = yield* call("b", past)
      assert.include(yield* messageOf(refused), "until its deadline")
      assert.deepStrictEqual(started, ["a"])
      assert.deepInclude(yield* bulkhead.snapshot, { delayed: 0 })
      yield* end("a")
    })
  )

  it.effect("who matters more goes first, by number or by level, and by arrival among equals", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1 })
      const { call, end, started } = makeCalls(bulkhead)
      yield* call("first")
      yield* call("sheddable", { priority: "sheddable" })
      yield* call("sheddable-plus").pipe(Criticality.withLevel("sheddable-plus"))
      yield* call("critical")
      yield* call("two", { priority: 2 })
      yield* call("critical-plus", { priority: "critical-plus" })
      yield* call("ten", { priority: 10 })
      yield* call("negative", { priority: -1 })
      const order = ["first", "ten", "critical-plus", "critical", "two", "sheddable-plus", "sheddable", "negative"]
      for (const name of order) yield* end(name)
      assert.deepStrictEqual(started, order)
      yield* isIdle(bulkhead)
    })
  )

  it.effect("in a full queue a higher priority takes the last place of the lowest, which is refused", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 2 })
      const { call, end, started } = makeCalls(bulkhead)
      yield* call("running")
      yield* call("old", { priority: "sheddable" })
      const young = yield* call("young", { priority: "sheddable" })
      yield* TestClock.adjust("20 millis")
      yield* call("important", { priority: "critical" })
      assert.strictEqual(
        yield* messageOf(young),
        "the bulkhead and its queue are full (1 of 1 in flight, 2 of 2 waiting; " +
          "a call of higher priority took its place after 20ms); nothing was sent"
      )
      for (const name of ["running", "important", "old"]) yield* end(name)
      assert.deepStrictEqual(started, ["running", "important", "old"])
      yield* isIdle(bulkhead)
      assert.deepInclude(yield* bulkhead.snapshot, { admitted: 3, delayed: 3, refused: 1 })
    })
  )

  it.effect("a waiter that is interrupted gives its place back, and the next one gets the permit", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 2 })
      const { call, end, started } = makeCalls(bulkhead)
      yield* call("a")
      const gone = yield* call("b")
      yield* call("c")
      yield* Fiber.interrupt(gone)
      assert.deepInclude(yield* bulkhead.snapshot, { queued: 1, abandoned: 1 })
      yield* call("d")
      for (const name of ["a", "c", "d"]) yield* end(name)
      assert.deepStrictEqual(started, ["a", "c", "d"])
      yield* isIdle(bulkhead)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(gone)))
    })
  )

  it.effect("a waiter that is interrupted in the moment in which it is granted a permit passes it on", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1 })
      const { call, started } = makeCalls(bulkhead)
      const held = bulkhead.admit(0)
      const granted = yield* call("b")
      yield* call("c")
      // nothing else runs between the two: b holds the permit and has not woken up
      if (held._tag === "Permit") held.release()
      granted.interruptUnsafe()
      yield* settle
      assert.deepStrictEqual(started, ["c"])
      assert.deepInclude(yield* bulkhead.snapshot, { inFlight: 1, queued: 0, abandoned: 0 })
    })
  )

  it.effect("a permit comes back whatever becomes of the call", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 0 })
      assert.strictEqual(yield* bulkhead.run(Effect.succeed(1)), 1)
      assert.strictEqual(yield* Effect.flip(bulkhead.run(Effect.fail("no"))), "no")
      assert.isTrue(Exit.hasDies(yield* Effect.exit(bulkhead.run(Effect.die("bug")))))
      const bug = bulkhead.run(
        Effect.suspend((): Effect.Effect<void> => {
          throw new Error("bug")
        })
      )
      assert.isTrue(Exit.hasDies(yield* Effect.exit(bug)))
      const running = yield* Effect.forkChild(bulkhead.run(Effect.never))
      yield* settle
      assert.deepInclude(yield* bulkhead.snapshot, { inFlight: 1 })
      yield* Fiber.interrupt(running)
      yield* isIdle(bulkhead)
      const held = bulkhead.admit(0)
      assert.isTrue(held._tag === "Permit")
      assert.isTrue(bulkhead.admit(0)._tag === "BulkheadFull")
    })
  )

  it.effect("an effect that was wrapped once may run many times", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 3, maxQueue: 100 })
      let running = 0
      let most = 0
      const once = bulkhead.run(
        Effect.gen(function* () {
          most = Math.max(most, ++running)
          yield* Effect.sleep("10 millis")
          running--
        })
      )
      const all = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 30 }, () => once),
          { concurrency: "unbounded" }
        )
      )
      yield* TestClock.adjust("100 millis")
      yield* Fiber.join(all)
      assert.strictEqual(most, 3)
      yield* isIdle(bulkhead)
    })
  )

  it.effect.prop(
    "calls that come, end and are interrupted at any time never exceed the limit, and leave nothing behind",
    [
      Arbitrary.array(
        Arbitrary.schema(
          Schema.Struct({
            event: Schema.Literals(["call", "call", "tick", "instant", "end", "interrupt", "tick", "interruptNow"]),
            who: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 })),
            priority: Schema.Literals([0, 1, 2]),
            // after so many operations the call gives way to others, in the middle of whatever it does
            operations: Schema.Literals([2048, 4, 5, 6, 7])
          })
        ),
        { maxLength: 60 }
      )
    ],
    ([events]) =>
      Effect.gen(function* () {
        const bulkhead = Bulkhead.make({ maxConcurrent: 2, maxQueue: 3, maxWait: "100 millis" })
        let running = 0
        let most = 0
        const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
        const ends: Array<Deferred.Deferred<void>> = []
        for (const { event, operations, priority, who } of events) {
          const fiber = fibers[who % Math.max(1, fibers.length)]
          const end = ends[who % Math.max(1, ends.length)]
          if (event === "call" || event === "instant") {
            const end = yield* Deferred.make<void>()
            if (event === "instant") yield* Deferred.succeed(end, undefined)
            ends.push(end)
            const self = Effect.suspend(() => {
              let runs = false
              // counted inside of what counts it back, as no interruption may come between the two
              return Effect.ensuring(
                Effect.suspend(() => {
                  runs = true
                  most = Math.max(most, ++running)
                  return Deferred.await(end)
                }),
                Effect.sync(() => void (runs && running--))
              )
            })
            const call = Effect.provideService(
              bulkhead.run(self, { priority }),
              Scheduler.MaxOpsBeforeYield,
              operations
            )
            fibers.push(yield* Effect.forkChild(call))
          } else if (event === "end" && end !== undefined) yield* Deferred.succeed(end, undefined)
          else if (event === "interrupt" && fiber !== undefined) yield* Fiber.interrupt(fiber)
          else if (event === "interruptNow" && fiber !== undefined) fiber.interruptUnsafe()
          else if (event === "tick") yield* TestClock.adjust(who % 120)
          const { inFlight, queued } = yield* bulkhead.snapshot
          assert.isTrue(inFlight <= 2 && queued <= 3 && (queued === 0 || inFlight === 2))
        }
        for (const end of ends) yield* Deferred.succeed(end, undefined)
        // no time has to pass, but turns: a permit that goes from one call to the next takes some each time
        const haveEnded = () => fibers.every((fiber) => fiber.pollUnsafe() !== undefined)
        for (let turns = 0; !haveEnded() && turns < 20 * fibers.length; turns++) yield* settle
        assert.isTrue(haveEnded())
        const snapshot = yield* bulkhead.snapshot
        assert.deepInclude(snapshot, { inFlight: 0, queued: 0 })
        assert.isTrue(snapshot.admitted + snapshot.refused + snapshot.abandoned <= fibers.length)
        assert.strictEqual(running, 0)
        assert.isTrue(most <= 2)
      }),
    { arbitrary: { runs: 300, size: 60 } }
  )

  /** Work of a few steps, with a turn of others among them. */
  const work = Effect.andThen(Effect.void, Effect.andThen(Effect.yieldNow, Effect.void))

  const release = (held: Bulkhead.Permit | BulkheadFull) => (held._tag === "Permit" ? held.release() : assert.fail())

  it.effect(
    "wherever a call is interrupted, its permit or its place in the queue comes back, and it leaves no timer",
    () =>
      Effect.gen(function* () {
        for (const options of [{ maxConcurrent: 1 }, { maxConcurrent: 1, mode: "observe" }] as const) {
          for (const isFree of [true, false]) {
            let interrupted = 0
            const runs = yield* atEveryStep(({ fork, name }) =>
              Effect.gen(function* () {
                const bulkhead = Bulkhead.make(options)
                const held = bulkhead.admit(0)
                if (isFree) release(held)
                const call = yield* fork(bulkhead.run(work))
                // the others' calls come and go between its steps
                const other = yield* Effect.forkChild(bulkhead.run(work))
                yield* settle
                release(held)
                if (Exit.isFailure(yield* ended(call, name))) interrupted++
                assert.isTrue(Exit.isSuccess(yield* ended(other, name)), name)
                assert.deepInclude(yield* bulkhead.snapshot, { inFlight: 0, queued: 0, refused: 0 }, name)
                assert.strictEqual(sleepers.now, 0, name)
              })
            )
            assert.isTrue(interrupted >= 8 && interrupted <= runs, `${interrupted} of ${runs}`)
          }
        }
      }).pipe(Effect.provide(countingClock))
  )

  it.effect("a permit that comes free between any two steps of a call that wants it is not lost, nor is the call", () =>
    Effect.gen(function* () {
      const waited: Array<number> = []
      yield* atEveryStep(({ fork, name }) =>
        Effect.gen(function* () {
          const bulkhead = Bulkhead.make({ maxConcurrent: 1 })
          const held = bulkhead.admit(0)
          const call = yield* fork(bulkhead.run(work), () => release(held))
          yield* settle
          release(held)
          assert.isTrue(Exit.isSuccess(yield* ended(call, name)), name)
          const { delayed, ...snapshot } = yield* bulkhead.snapshot
          assert.deepInclude(snapshot, { inFlight: 0, queued: 0, admitted: 2, refused: 0 }, name)
          assert.strictEqual(sleepers.now, 0, name)
          waited.push(delayed)
        })
      )
      assert.includeMembers(waited, [0, 1])
    }).pipe(Effect.provide(countingClock))
  )

  it.effect("a call that loses its place in the queue between any two of its steps is refused at once", () =>
    Effect.gen(function* () {
      let displaced = 0
      yield* atEveryStep(({ fork, name }) =>
        Effect.gen(function* () {
          const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 1 })
          const held = bulkhead.admit(0)
          let other: Bulkhead.Permit | BulkheadFull | undefined
          const call = yield* fork(bulkhead.run(work, { priority: 0 }), () => {
            other = bulkhead.admit(0, { priority: 1 })
          })
          yield* settle
          if (other === undefined) release(held)
          const exit = yield* ended(call, name)
          if (Exit.isFailure(exit)) displaced++
          release(held)
          if (other !== undefined) release(other)
          assert.deepInclude(yield* bulkhead.snapshot, { inFlight: 0, queued: 0, abandoned: 0 }, name)
          assert.strictEqual(sleepers.now, 0, name)
        })
      )
      assert.isAbove(displaced, 8)
    }).pipe(Effect.provide(countingClock))
  )

  it.effect("in two steps: a permit that comes free between any two steps of who waits for it wakes him", () =>
    Effect.gen(function* () {
      yield* atEveryStep(({ fork, name }) =>
        Effect.gen(function* () {
          const bulkhead = Bulkhead.make({ maxConcurrent: 1 })
          const held = bulkhead.admit(0)
          const waiting = bulkhead.admit(0)
          if (waiting._tag !== "Permit" || waiting.ready === undefined) return assert.fail()
          const ready = yield* fork(waiting.ready, () => release(held))
          yield* settle
          release(held)
          assert.isTrue(Exit.isSuccess(yield* ended(ready, name)), name)
          release(waiting)
          yield* isIdle(bulkhead)
        })
      )
    })
  )

  it.effect(
    "a queue of thousands of calls that end at once does not overflow the stack",
    () =>
      Effect.gen(function* () {
        const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 5000 })
        const held = bulkhead.admit(0)
        const all = yield* Effect.forkChild(
          Effect.all(
            Array.from({ length: 5000 }, () => bulkhead.run(Effect.void)),
            { concurrency: "unbounded", discard: true }
          )
        )
        yield* settle
        assert.deepInclude(yield* bulkhead.snapshot, { queued: 5000 })
        if (held._tag === "Permit") held.release()
        yield* Fiber.join(all)
        yield* isIdle(bulkhead)
      }),
    20_000
  )

  it.effect("a greater limit lets in who waits; a smaller one lets finish who runs", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1 })
      const { call, end, started } = makeCalls(bulkhead)
      for (const name of ["a", "b", "c", "d"]) yield* call(name)
      bulkhead.resize({ maxConcurrent: 3 })
      yield* settle
      assert.deepStrictEqual(started, ["a", "b", "c"])
      bulkhead.resize({ maxConcurrent: 1 })
      assert.deepInclude(yield* bulkhead.snapshot, { limit: 1, inFlight: 3, queued: 1, maxQueue: 10 })
      yield* end("a")
      yield* end("b")
      assert.deepStrictEqual(started, ["a", "b", "c"])
      yield* end("c")
      assert.deepStrictEqual(started, ["a", "b", "c", "d"])
      bulkhead.resize({ maxQueue: 0 })
      assert.include(yield* messageOf(yield* call("e")), "1 of 1 in flight, 0 of 0 waiting")
      assert.throws(() => bulkhead.resize({ maxConcurrent: 0 }), RangeError, "maxConcurrent must be a whole number")
      yield* end("d")
      yield* isIdle(bulkhead)
    })
  )

  it.effect("who is in the queue stays when the queue is made shorter", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1 })
      const { call, end, started } = makeCalls(bulkhead)
      for (const name of ["a", "b", "c"]) yield* call(name)
      bulkhead.resize({ maxQueue: 1 })
      for (const name of ["a", "b", "c"]) yield* end(name)
      assert.deepStrictEqual(started, ["a", "b", "c"])
    })
  )

  it.effect("observe refuses and delays nobody, and counts and tells what it would have done", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 1, mode: "observe" })
      const events: Array<unknown> = []
      bulkhead.events.subscribe((event) => events.push(event))
      const { call, end, started } = makeCalls(bulkhead)
      for (const name of ["a", "b", "c"]) yield* call(name, { priority: 1 })
      assert.deepStrictEqual(started, ["a", "b", "c"])
      assert.deepStrictEqual(yield* bulkhead.snapshot, {
        limit: 1,
        inFlight: 3,
        maxQueue: 1,
        queued: 0,
        admitted: 2,
        delayed: 1,
        refused: 1,
        abandoned: 0
      })
      assert.deepStrictEqual(events, [
        { _tag: "BulkheadQueued", priority: 1, queued: 1, observed: true },
        { _tag: "BulkheadRefused", why: "full", priority: 1, waited: Duration.zero, observed: true }
      ])
      for (const name of ["a", "b", "c"]) yield* end(name)
      yield* isIdle(bulkhead)
      const held = bulkhead.admit(0)
      assert.deepInclude(yield* bulkhead.snapshot, { inFlight: 1 })
      if (held._tag === "Permit") held.release()
      yield* isIdle(bulkhead)
    })
  )

  it.effect("off is not there: nothing is counted, nobody is refused", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 0, mode: "off" })
      const { call, started } = makeCalls(bulkhead)
      for (const name of ["a", "b"]) yield* call(name)
      const held = bulkhead.admit(0)
      assert.isTrue(held._tag === "Permit" && held.ready === undefined)
      assert.deepStrictEqual(started, ["a", "b"])
      assert.deepInclude(yield* bulkhead.snapshot, { inFlight: 0, admitted: 0, refused: 0 })
    })
  )

  it.effect("listeners hear of queueing, granting, refusing, giving up and resizing", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 1, maxWait: "1 minute" })
      const events: Array<Bulkhead.Event> = []
      bulkhead.events.subscribe((event) => events.push(event))
      const streamed = yield* Effect.forkChild(Stream.runCollect(Stream.take(bulkhead.events.stream, 1)))
      const { call, end } = makeCalls(bulkhead)
      yield* call("a", { priority: 1 })
      assert.deepStrictEqual(events, [], "a call that does not wait is no event")
      yield* call("b", { priority: 1 })
      yield* TestClock.adjust("5 millis")
      yield* Effect.ignore(Effect.asVoid(Fiber.join(yield* call("c", { priority: 0 }))))
      yield* end("a")
      const gone = yield* call("d", { priority: 4 })
      yield* Fiber.interrupt(gone)
      const displaced = yield* call("e", { priority: 1 })
      yield* TestClock.adjust("5 millis")
      const timedOut = yield* call("f", { priority: 2 })
      yield* Fiber.await(displaced)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.await(timedOut)
      bulkhead.resize({ maxConcurrent: 2 })
      const zero = Duration.zero
      assert.deepStrictEqual(events, [
        { _tag: "BulkheadQueued", priority: 1, queued: 1, observed: false },
        { _tag: "BulkheadRefused", why: "full", priority: 0, waited: zero, observed: false },
        { _tag: "BulkheadGranted", priority: 1, waited: Duration.millis(5) },
        { _tag: "BulkheadQueued", priority: 4, queued: 1, observed: false },
        { _tag: "BulkheadAbandoned", priority: 4 },
        { _tag: "BulkheadQueued", priority: 1, queued: 1, observed: false },
        { _tag: "BulkheadQueued", priority: 2, queued: 1, observed: false },
        { _tag: "BulkheadRefused", why: "displaced", priority: 1, waited: Duration.millis(5), observed: false },
        { _tag: "BulkheadRefused", why: "max-wait", priority: 2, waited: Duration.minutes(1), observed: false },
        { _tag: "BulkheadResized", maxConcurrent: 2, maxQueue: 1 }
      ])
      assert.strictEqual((yield* Fiber.join(streamed))[0]?._tag, "BulkheadQueued")
    })
  )

  it.effect("in two steps: what is admitted waits by its own effect, and releases once", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 2, maxWait: "100 millis" })
      const first = bulkhead.admit(0)
      const second = bulkhead.admit(0)
      const third = bulkhead.admit(0, { priority: "critical-plus" })
      assert.isTrue(bulkhead.admit(0, { priority: 0 })._tag === "BulkheadFull")
      if (first._tag !== "Permit" || second._tag !== "Permit" || third._tag !== "Permit") return assert.fail()
      assert.isUndefined(first.ready)
      assert.isDefined(second.ready)
      first.release()
      first.release()
      assert.deepInclude(yield* bulkhead.snapshot, { inFlight: 1, queued: 1 })
      assert.isUndefined(third.ready, "granted before anybody waited for it")
      const refused = yield* Effect.forkChild(Effect.flip(second.ready ?? Effect.die("granted")))
      yield* TestClock.adjust("100 millis")
      assert.strictEqual((yield* Fiber.join(refused))._tag, "BulkheadFull")
      second.release()
      third.release()
      yield* isIdle(bulkhead)
      assert.deepInclude(yield* bulkhead.snapshot, { abandoned: 0, refused: 2, admitted: 2 })
    })
  )

  it.effect("a place that was lost before anybody waited for it is a refusal", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 1 })
      bulkhead.admit(0)
      const lost = bulkhead.admit(0, { priority: 0 })
      bulkhead.admit(0, { priority: 1 })
      if (lost._tag !== "Permit") return assert.fail()
      assert.include((yield* Effect.flip(lost.ready ?? Effect.die("granted"))).message, "higher priority")
    })
  )

  it.effect("reading the snapshot changes nothing", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1 })
      const { call } = makeCalls(bulkhead)
      yield* call("a")
      yield* call("b")
      const before = yield* bulkhead.snapshot
      assert.deepStrictEqual(yield* bulkhead.snapshot, before)
    })
  )

  it.effect("two bulkheads share nothing", () =>
    Effect.gen(function* () {
      const one = Bulkhead.make({ maxConcurrent: 1, maxQueue: 0 })
      const other = Bulkhead.make({ maxConcurrent: 1, maxQueue: 0 })
      assert.strictEqual(yield* one.run(other.run(Effect.succeed("in both"))), "in both")
    })
  )

  it("an option out of range is refused, by its name and with what was got", () => {
    const refused = (options: Bulkhead.Options, message: string) =>
      assert.throws(() => Bulkhead.make(options), RangeError, exactly(`Bulkhead: ${message}`))
    refused({ maxConcurrent: 0 }, "maxConcurrent must be a whole number of at least 1, got 0")
    refused({ maxConcurrent: 1.5 }, "maxConcurrent must be a whole number of at least 1, got 1.5")
    refused({ maxConcurrent: Number.NaN }, "maxConcurrent must be a whole number of at least 1, got NaN")
    refused({ maxConcurrent: "5" as never }, 'maxConcurrent must be a whole number of at least 1, got "5"')
    refused({ maxQueue: -1 }, "maxQueue must be a whole number of at least 0, got -1")
    refused({ maxQueue: Infinity }, "maxQueue must be a whole number of at least 0, got Infinity")
    refused({ maxWait: -5 }, "maxWait must not be negative, got -5")
    assert.throws(() => Bulkhead.make().admit(0, { priority: Number.NaN }), RangeError, "priority must be a number")
    assert.doesNotThrow(() => Bulkhead.make({ maxConcurrent: 1, maxQueue: 0, maxWait: "1 minute" }))
  })

  it.effect("no timer is left behind, whether a waiter is granted a permit, displaced, refused or interrupted", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let timers = 0
      const counting: Clock.Clock = {
        ...clock,
        sleep: (duration) =>
          Effect.suspend(() => {
            timers++
            return Effect.ensuring(
              clock.sleep(duration),
              Effect.sync(() => timers--)
            )
          })
      }
      const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 2 })
      const { call, end } = makeCalls(bulkhead)
      const on = Effect.provideService(Clock.Clock, counting)
      yield* on(call("running"))
      yield* on(call("granted", { priority: 2 }))
      yield* on(call("displaced", { priority: 0 }))
      assert.strictEqual(timers, 2)
      const interrupted = yield* on(call("interrupted", { priority: 1 }))
      assert.strictEqual(timers, 2)
      yield* end("running")
      assert.strictEqual(timers, 1)
      yield* Fiber.interrupt(interrupted)
      yield* settle
      assert.strictEqual(timers, 0)
      yield* on(call("refused"))
      assert.strictEqual(timers, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(timers, 0)
    })
  )

  it.effect("a call that is interrupted by a listener in the moment it is queued leaves nothing behind", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1 })
      const held = bulkhead.admit(0)
      const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
      bulkhead.events.subscribe(() => fibers[0]?.interruptUnsafe())
      const fiber = yield* Effect.forkChild(bulkhead.run(Effect.never))
      fibers.push(fiber)
      yield* settle
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      if (held._tag === "Permit") held.release()
      yield* isIdle(bulkhead)
    })
  )
})

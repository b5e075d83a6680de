import { Effect, Fiber, Stream } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as PolicyEvents from "../src/PolicyEvents.ts"

describe("PolicyEvents", () => {
  it("every listener hears every event from when it subscribed until it stops, in order and on the spot", () => {
    const { emit, events } = PolicyEvents.make<number>()
    const [first, second]: [Array<number>, Array<number>] = [[], []]
    emit(0)
    const stopFirst = events.subscribe((event) => first.push(event))
    emit(1)
    assert.deepStrictEqual(first, [1])
    const stopSecond = events.subscribe((event) => second.push(event))
    emit(2)
    stopFirst()
    emit(3)
    stopSecond()
    emit(4)
    assert.deepStrictEqual(
      [first, second],
      [
        [1, 2],
        [2, 3]
      ]
    )
  })

  it("it is heard only while somebody listens", () => {
    const { events, isHeard } = PolicyEvents.make<number>()
    assert.isFalse(isHeard())
    const stops = [events.subscribe(() => {}), events.subscribe(() => {})]
    assert.isTrue(isHeard())
    stops[0]?.()
    assert.isTrue(isHeard())
    stops[1]?.()
    assert.isFalse(isHeard())
  })

  it("one listener may be subscribed twice, and each is ended by itself; to end it twice is to end it once", () => {
    const { emit, events, isHeard } = PolicyEvents.make<number>()
    const heard: Array<number> = []
    const listener = (event: number) => void heard.push(event)
    const [one, other] = [events.subscribe(listener), events.subscribe(listener)]
    emit(1)
    one()
    one()
    emit(2)
    assert.deepStrictEqual(heard, [1, 1, 2])
    assert.isTrue(isHeard())
    other()
    assert.isFalse(isHeard())
  })

  it("what a listener throws reaches neither the policy nor the other listeners", () => {
    const { emit, events } = PolicyEvents.make<number>()
    const heard: Array<number> = []
    events.subscribe(() => {
      throw new Error("a bug of the observer")
    })
    events.subscribe((event) => void heard.push(event))
    assert.doesNotThrow(() => emit(1))
    assert.deepStrictEqual(heard, [1])
  })

  it("a listener may stop itself, or another, while it is told", () => {
    const { emit, events, isHeard } = PolicyEvents.make<number>()
    const heard: Array<string> = []
    const stopFirst = events.subscribe((event) => {
      heard.push(`first ${event}`)
      stopFirst()
      stopSecond()
    })
    const stopSecond = events.subscribe((event) => void heard.push(`second ${event}`))
    emit(1)
    emit(2)
    assert.deepStrictEqual(heard, ["first 1"])
    assert.isFalse(isHeard())
  })

  it.effect("the stream gives the events from when it is run, and listens no longer than that", () =>
    Effect.gen(function* () {
      const { emit, events, isHeard } = PolicyEvents.make<number>()
      emit(0)
      assert.isFalse(isHeard())
      const fiber = yield* Effect.forkChild(Stream.runCollect(Stream.take(events.stream, 3)))
      while (!isHeard()) yield* Effect.yieldNow
      for (const event of [1, 2, 3, 4]) emit(event)
      assert.deepStrictEqual([...(yield* Fiber.join(fiber))], [1, 2, 3])
      assert.isFalse(isHeard())
      const left = yield* Effect.forkChild(Stream.runDrain(events.stream))
      while (!isHeard()) yield* Effect.yieldNow
      yield* Fiber.interrupt(left)
      assert.isFalse(isHeard())
    })
  )

  it.effect("a stream that is not read fast enough loses its oldest events, and never holds the policy up", () =>
    Effect.gen(function* () {
      const { emit, events, isHeard } = PolicyEvents.make<number>()
      const read: Array<number> = []
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(events.stream, (event) => Effect.sync(() => read.push(event)))
      )
      while (!isHeard()) yield* Effect.yieldNow
      for (let event = 0; event < 10_000; event++) emit(event)
      while (read.at(-1) !== 9999) yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      assert.isAtMost(read.length, 300)
      assert.deepStrictEqual(
        read.slice(-256),
        Array.from({ length: 256 }, (_, index) => 9744 + index)
      )
    })
  )
})

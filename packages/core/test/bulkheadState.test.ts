import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as State from "../src/internal/limits/bulkheadState.ts"

class Call implements State.Place<Call> {
  status: State.PlaceStatus = "left"
  previous: Call | undefined = undefined
  next: Call | undefined = undefined
  readonly name: number
  readonly priority: number

  constructor(name: number, priority: number) {
    this.name = name
    this.priority = priority
  }
}

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const happening = Schema.Struct({
  event: Schema.Literals(["enter", "enter", "enter", "leave", "resize"]),
  priority: int(0, 3),
  /** Which of those that are there leaves. */
  who: int(0, 1000),
  limit: int(1, 4),
  maxQueue: int(0, 4)
})

const happenings = Arbitrary.array(Arbitrary.schema(happening), { maxLength: 120 })

const shape = Arbitrary.all({ limit: Arbitrary.schema(int(1, 4)), maxQueue: Arbitrary.schema(int(0, 4)) })

/** The queue as the links say, forwards; fails when they say something else backwards. */
const queue = (state: State.BulkheadState<Call>): Array<Call> => {
  const forwards: Array<Call> = []
  for (let call = state.first; call !== undefined; call = call.next) forwards.push(call)
  const backwards: Array<Call> = []
  for (let call = state.last; call !== undefined; call = call.previous) backwards.push(call)
  assert.deepStrictEqual(
    backwards.map(({ name }) => name),
    forwards.map(({ name }) => name).toReversed()
  )
  return forwards
}

const names = (calls: ReadonlyArray<Call>) => calls.map(({ name }) => name)

/** The same rules, told as one would on a napkin: who runs, and who waits in which order. */
const makeModel = (limit: number, maxQueue: number) => {
  const model = {
    limit,
    maxQueue,
    running: [] as Array<Call>,
    waiting: [] as Array<Call>,
    displaced: [] as Array<Call>
  }
  const grant = () => {
    while (model.running.length < model.limit) {
      const next = model.waiting.shift()
      if (next === undefined) return
      model.running.push(next)
    }
  }
  return {
    model,
    enter: (call: Call) => {
      if (model.running.length < model.limit) return void model.running.push(call)
      if (model.waiting.length >= model.maxQueue) {
        const last = model.waiting.at(-1)
        if (model.maxQueue === 0 || last === undefined || last.priority >= call.priority) return
        model.waiting.pop()
        model.displaced.push(last)
      }
      model.waiting.push(call)
      // the sort is stable: within a priority, arrival decides
      model.waiting.sort((one, other) => other.priority - one.priority)
    },
    leave: (call: Call) => {
      model.running = model.running.filter((other) => other !== call)
      model.waiting = model.waiting.filter((other) => other !== call)
      grant()
    },
    resize: (limit: number, maxQueue: number) => {
      model.limit = limit
      model.maxQueue = maxQueue
      grant()
    }
  }
}

/** What the shell does with one call. */
const enter = (state: State.BulkheadState<Call>, call: Call): void => {
  if (State.tryEnter(state)) call.status = "granted"
  else State.enqueue(state, call)
}

describe("the bulkhead's state machine", () => {
  it.prop(
    "whatever happens, who runs and who waits in which order is what the plain rules say",
    [shape, happenings],
    ([{ limit, maxQueue }, events]) => {
      const state = State.makeBulkheadState<Call>(limit, maxQueue)
      const { model, ...rules } = makeModel(limit, maxQueue)
      const all: Array<Call> = []
      for (const { event, limit, maxQueue, priority, who } of events) {
        const running = [...model.running]
        const there = all.filter(({ status }) => status === "granted" || status === "waiting")
        if (event === "enter") {
          const call = new Call(all.length, priority)
          all.push(call)
          enter(state, call)
          rules.enter(call)
        } else if (event === "leave") {
          const call = there[who % Math.max(1, there.length)]
          if (call === undefined) continue
          const granted = State.leave(state, call)
          rules.leave(call)
          assert.deepStrictEqual(
            granted === undefined ? [] : [granted.name],
            names(model.running.filter((other) => !running.includes(other)))
          )
          assert.isUndefined(State.leave(state, call), "leaving twice is leaving once")
        } else {
          const granted = State.resize(state, limit, maxQueue)
          rules.resize(limit, maxQueue)
          assert.deepStrictEqual(names(granted), names(model.running.filter((other) => !running.includes(other))))
        }
        assert.strictEqual(state.inFlight, model.running.length)
        assert.strictEqual(state.queued, model.waiting.length)
        assert.deepStrictEqual(names(queue(state)), names(model.waiting))
        assert.deepStrictEqual(
          names(all.filter(({ status }) => status === "granted")),
          names(model.running).toSorted((a, b) => a - b)
        )
        assert.deepStrictEqual(
          names(all.filter(({ status }) => status === "displaced")),
          names(model.displaced).toSorted((a, b) => a - b)
        )
        assert.isTrue(state.queued === 0 || state.inFlight >= state.limit, "nobody waits while a permit is free")
        const links = all.filter(({ status }) => status !== "waiting").flatMap(({ next, previous }) => [next, previous])
        assert.isTrue(
          links.every((link) => link === undefined),
          "who is not in the queue keeps nobody of it alive"
        )
      }
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "when everyone has left, in any order, everything is back",
    [shape, happenings],
    ([{ limit, maxQueue }, events]) => {
      const state = State.makeBulkheadState<Call>(limit, maxQueue)
      const all = events.map(({ priority }, name) => new Call(name, priority))
      for (const call of all) enter(state, call)
      const order = all
        .map((call, index) => ({ call, key: events[index]?.who ?? 0 }))
        .toSorted((a, b) => a.key - b.key)
        .map(({ call }) => call)
      // who was granted a permit meanwhile leaves too
      for (const call of order) State.leave(state, call)
      assert.deepStrictEqual(state, State.makeBulkheadState<Call>(limit, maxQueue))
    }
  )

  it("in a full queue a higher priority takes the place of the last of the lowest, and an equal one does not", () => {
    const state = State.makeBulkheadState<Call>(1, 3)
    const [running, low, lower, lowerToo, equal, high] = [9, 1, 0, 0, 0, 2].map(
      (priority, name) => new Call(name, priority)
    )
    if (!running || !low || !lower || !lowerToo || !equal || !high) return assert.fail()
    assert.isTrue(State.tryEnter(state))
    assert.isFalse(State.tryEnter(state))
    for (const call of [lower, lowerToo, low]) assert.strictEqual(State.enqueue(state, call), "queued")
    assert.strictEqual(State.enqueue(state, equal), "full")
    assert.strictEqual(State.enqueue(state, high), lowerToo)
    assert.strictEqual(lowerToo.status, "displaced")
    assert.deepStrictEqual(queue(state), [high, low, lower])
  })
})

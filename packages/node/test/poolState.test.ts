import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import * as State from "../src/internal/pool/poolState.ts"

interface Place extends State.Waiting<Place> {
  readonly name: number
}

const place = (name: number): Place => ({
  name,
  queued: false,
  arrival: 0,
  previous: undefined,
  next: undefined,
  freshSinceMillis: undefined
})

interface Mutable extends State.Member {
  isSettled: boolean
  reusable: boolean
  capacity: number
}

const member = (given: Partial<Mutable> = {}): Mutable => ({
  isMultiplexed: false,
  isSettled: true,
  isAvailable: false,
  capacity: 1,
  openedAtMillis: 0,
  ageFactor: 1,
  inFlight: 0,
  carried: 0,
  idleSinceMillis: 0,
  unusedMillis: 0,
  reusable: true,
  ...given
})

const shape: State.PoolShape = {
  connections: 2,
  maxQueue: 3,
  keepAliveMillis: 100,
  maxAgeMillis: 1000,
  maxRequests: Infinity,
  mayMultiplex: false
}

const pool = (given: Partial<State.PoolShape> = {}) => State.makePoolState<State.Member, Place>({ ...shape, ...given })

/** Comes to the pool, and to its queue. */
const queue = (state: ReturnType<typeof pool>, comes: Place): void => {
  State.arrive(state, comes)
  State.enqueue(state, comes)
}

/** Adds a connection that was asked for. */
const opened = (state: ReturnType<typeof pool>, given: Partial<Mutable> = {}): Mutable => {
  const made = member(given)
  state.opening++
  State.add(state, made)
  return made
}

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const nobody = (): void => {
  throw new Error("a connection was closed that should not be")
}

describe("poolState", () => {
  it("the connection that was used last is taken first, so that those which are not needed grow old", () => {
    const state = pool()
    const first = opened(state)
    const second = opened(state)
    assert.strictEqual(State.take(state, 1, nobody), second)
    assert.strictEqual(State.take(state, 1, nobody), first)
    assert.strictEqual(State.take(state, 1, nobody), undefined)
    State.giveBack(state, first, 2)
    State.giveBack(state, second, 3)
    assert.strictEqual(State.take(state, 4, nobody), second)
  })

  it.each([
    ["unused for as long as keepAlive", { idleSinceMillis: 0 }, 100, {}],
    ["as old as maxAge", { idleSinceMillis: 999 }, 1000, {}],
    ["as old as its share of maxAge", { idleSinceMillis: 899, ageFactor: 0.9 }, 900, {}],
    ["spent by the number of its exchanges", { carried: 5 }, 1, { maxRequests: 5 }],
    ["left by its peer", { reusable: false }, 1, {}]
  ] as const)("one that is %s is not taken, and is to be closed", (_, given, nowMillis, limits) => {
    const state = pool(limits)
    const spent = opened(state, given)
    const closed: Array<State.Member> = []
    assert.strictEqual(
      State.take(state, nowMillis, (member) => closed.push(member)),
      undefined
    )
    assert.deepStrictEqual(closed, [spent])
    assert.strictEqual(state.members.size, 0)
  })

  it("one that is a moment younger than any limit is taken", () => {
    const state = pool({ maxRequests: 5 })
    const young = opened(state, { idleSinceMillis: 900, carried: 4 })
    assert.strictEqual(State.take(state, 999, nobody), young)
  })

  it("one that carries many is taken until it is full, and again when there is room", () => {
    const state = pool({ mayMultiplex: true })
    const wide = opened(state, { capacity: 2, isMultiplexed: true })
    assert.strictEqual(State.take(state, 1, nobody), wide)
    assert.strictEqual(State.take(state, 1, nobody), wide)
    assert.strictEqual(State.take(state, 1, nobody), undefined)
    assert.strictEqual(State.giveBack(state, wide, 2), "kept")
    assert.strictEqual(State.take(state, 3, nobody), wide)
  })

  it("one that retires finishes what it carries, takes nothing new, and is closed after the last", () => {
    const state = pool({ mayMultiplex: true })
    const old = opened(state, { capacity: 2, isMultiplexed: true })
    State.take(state, 1, nobody)
    State.take(state, 1, nobody)
    State.retire(state, old)
    assert.strictEqual(State.take(state, 2, nobody), undefined)
    assert.strictEqual(State.giveBack(state, old, 3), "kept")
    assert.strictEqual(State.take(state, 3, nobody), undefined)
    assert.strictEqual(State.giveBack(state, old, 4), "close")
    State.remove(state, old)
    assert.isTrue(State.isEmpty(state))
  })

  it("a connection is begun for each who waits, up to the limit, which those that retire are not part of", () => {
    const state = pool({ connections: 2 })
    const old = opened(state)
    State.take(state, 1, nobody)
    for (const name of [1, 2, 3]) queue(state, place(name))
    assert.strictEqual(State.wanted(state), 1)
    State.retire(state, old)
    assert.strictEqual(State.wanted(state), 2)
    state.opening = 2
    assert.strictEqual(State.wanted(state), 0)
  })

  it("of an endpoint that may carry many on one connection, one is begun at a time until it turns out not to", () => {
    const state = pool({ connections: 8, mayMultiplex: true })
    for (const name of [1, 2, 3]) queue(state, place(name))
    assert.strictEqual(State.wanted(state), 1)
    opened(state, { capacity: 1 })
    State.take(state, 1, nobody)
    assert.strictEqual(State.wanted(state), 3)
    const wide = pool({ connections: 8, mayMultiplex: true })
    for (const name of [1, 2, 3]) queue(wide, place(name))
    opened(wide, { capacity: 1_000, isMultiplexed: true })
    assert.strictEqual(State.wanted(wide), 1)
  })

  it("no connection is begun beside one that carries many and takes nothing for the moment", () => {
    const state = pool({ connections: 8, mayMultiplex: true })
    const stalled = opened(state, { capacity: 1, isMultiplexed: true })
    stalled.capacity = 0
    State.resized(state, stalled)
    queue(state, place(1))
    assert.strictEqual(State.take(state, 1, nobody), undefined)
    assert.strictEqual(State.wanted(state), 0)
    State.retire(state, stalled)
    assert.strictEqual(State.wanted(state), 1)
  })

  it("no connection is begun beside one of which it is not known yet how many it takes", () => {
    const state = pool({ connections: 8, mayMultiplex: true })
    const young = opened(state, { capacity: 1, isMultiplexed: true, isSettled: false })
    State.take(state, 1, nobody)
    queue(state, place(1))
    assert.strictEqual(State.wanted(state), 0)
    young.isSettled = true
    assert.strictEqual(State.wanted(state), 1)
  })

  it("a connection that may carry less is full sooner, and has room again when it may carry more", () => {
    const state = pool({ mayMultiplex: true })
    const wide = opened(state, { capacity: 3, isMultiplexed: true })
    State.take(state, 1, nobody)
    wide.capacity = 1
    State.resized(state, wide)
    assert.strictEqual(State.take(state, 1, nobody), undefined)
    wide.capacity = 2
    State.resized(state, wide)
    assert.strictEqual(State.take(state, 1, nobody), wide)
    assert.strictEqual(State.take(state, 1, nobody), undefined)
    State.giveBack(state, wide, 2)
    assert.strictEqual(State.take(state, 2, nobody), wide)
  })

  it("a fresh connection is one that has carried nothing, or one for many that was made since", () => {
    const state = pool({ connections: 3 })
    const used = opened(state, { carried: 1 })
    const unused = opened(state)
    const used2 = opened(state, { carried: 4, openedAtMillis: 60 })
    assert.strictEqual(State.take(state, 70, nobody, 50), unused)
    assert.strictEqual(State.take(state, 70, nobody, 50), undefined)
    assert.deepStrictEqual(state.available, [used, used2])
    const shared = pool({ mayMultiplex: true })
    const old = opened(shared, { carried: 1, capacity: 9, isMultiplexed: true, openedAtMillis: 49 })
    const young = opened(shared, { carried: 1, capacity: 9, isMultiplexed: true, openedAtMillis: 50 })
    State.giveBack(shared, young, 60)
    assert.strictEqual(State.take(shared, 70, nobody, 50), young)
    State.retire(shared, young)
    assert.strictEqual(State.take(shared, 70, nobody, 50), undefined)
    assert.strictEqual(State.take(shared, 70, nobody), old)
  })

  it("where there is no room for a fresh connection, an unused one makes room, and a used one does not", () => {
    const state = pool({ connections: 2 })
    const unused = opened(state, { carried: 1 })
    assert.strictEqual(State.displaced(state), undefined)
    opened(state, { carried: 1 })
    assert.isDefined(State.take(state, 1, nobody))
    assert.strictEqual(State.displaced(state), unused)
    assert.strictEqual(State.displaced(state), undefined)
    opened(state, { carried: 1 })
    assert.isDefined(State.take(state, 1, nobody))
    assert.strictEqual(State.displaced(state), undefined)
  })

  it("a connection that rests has no room before it has rested", () => {
    const state = pool()
    const resting = opened(state)
    State.take(state, 1, nobody)
    State.giveBack(state, resting, 2, true)
    assert.strictEqual(State.take(state, 3, nobody), undefined)
    State.resized(state, resting)
    assert.strictEqual(State.take(state, 3, nobody), resting)
  })

  it("a connection that cannot be made is told to the first in the queue; where one is for all, to all that waited for it", () => {
    const one = pool()
    const many = pool({ mayMultiplex: true })
    // it has had a connection, which was dead
    const early = place(0)
    State.arrive(many, early)
    for (const state of [one, many]) for (const name of [1, 2]) queue(state, place(name))
    const begunAt = many.arrivals
    for (const state of [one, many]) queue(state, place(3))
    State.enqueue(many, early)
    const names = (state: ReturnType<typeof pool>) => State.failedWith(state, begunAt).map(({ name }) => name)
    assert.deepStrictEqual(names(one), [1])
    assert.deepStrictEqual(names(many), [0, 1, 2])
  })

  it("the queue takes those for whom a connection can be made, and maxQueue more", () => {
    const state = pool({ connections: 2, maxQueue: 1 })
    const asked: Array<boolean> = []
    for (const name of [1, 2, 3, 4]) {
      asked.push(State.isFull(state))
      if (!State.isFull(state)) queue(state, place(name))
    }
    assert.deepStrictEqual(asked, [false, false, false, true])
  })

  it.prop(
    "the queue keeps the order of arrival, whatever comes back to it and whatever leaves it",
    [Arbitrary.array(int(0, 9), { minLength: 1, maxLength: 60 })],
    ([steps]) => {
      const state = pool()
      const expected: Array<Place> = []
      steps.forEach((step, name) => {
        const leaving = expected[step]
        if (step < 5 || leaving === undefined) {
          const comes = place(name)
          State.arrive(state, comes)
          // one that comes back has the place of its first arrival
          if (step === 4) comes.arrival = comes.arrival % 3
          State.enqueue(state, comes)
          const before = expected.findLastIndex(({ arrival }) => arrival <= comes.arrival)
          expected.splice(before + 1, 0, comes)
        } else {
          State.dequeue(state, leaving)
          State.dequeue(state, leaving)
          expected.splice(step, 1)
        }
        const forward: Array<number> = []
        for (let next = state.first; next !== undefined; next = next.next) forward.push(next.name)
        const backward: Array<number> = []
        for (let next = state.last; next !== undefined; next = next.previous) backward.unshift(next.name)
        const names = expected.map(({ name }) => name)
        assert.deepStrictEqual(forward, names)
        assert.deepStrictEqual(backward, names)
        assert.strictEqual(state.queued, names.length)
      })
    }
  )

  it.prop(
    "whatever is taken and given back: no connection carries more than it can, and one with room is found",
    [int(1, 3), Arbitrary.array(int(0, 5), { minLength: 1, maxLength: 80 })],
    ([capacity, steps]) => {
      const state = pool({ connections: 3, mayMultiplex: true, keepAliveMillis: 1e9, maxAgeMillis: 1e9 })
      const all: Array<Mutable> = []
      const held: Array<State.Member> = []
      steps.forEach((step, nowMillis) => {
        if (step === 0 && state.members.size < 3) all.push(opened(state, { capacity, isMultiplexed: capacity > 1 }))
        else if (step === 1 && all[0] !== undefined) {
          all[0].reusable = false
          State.remove(state, all[0])
          all.shift()
        } else if (step < 4) {
          const hasRoom = [...state.members].some((member) => member.inFlight < member.capacity)
          const taken = State.take(state, nowMillis, nobody)
          assert.strictEqual(taken !== undefined, hasRoom)
          if (taken !== undefined) held.push(taken)
        } else {
          const given = held.shift()
          if (given !== undefined) State.giveBack(state, given, nowMillis)
        }
        for (const member of all) assert.isTrue(member.inFlight >= 0 && member.inFlight <= capacity)
        assert.strictEqual(new Set(state.available).size, state.available.length)
        for (const member of state.available) assert.isTrue(state.members.has(member))
      })
    }
  )
})

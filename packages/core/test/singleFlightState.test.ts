import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as State from "../src/internal/limits/singleFlightState.ts"

const happening = Schema.Struct({
  event: Schema.Literals(["join", "leave", "over"]),
  key: Schema.Literals(["a", "b"]),
  index: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 }))
})

interface Run extends State.Flight {
  readonly key: string
}

describe("singleFlightState", () => {
  it.prop(
    "in any order of comings, goings and ends: one run a key at most, given up by its last caller only, and nothing is left",
    [
      Arbitrary.array(Arbitrary.schema(happening), { maxLength: 150 }),
      Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 })))
    ],
    ([events, maxCallers]) => {
      const state = State.makeSingleFlightState<string, Run>(maxCallers)
      const callers: Array<Run> = []
      const waitingFor = (flight: Run) => callers.filter((caller) => caller === flight).length
      for (const { event, index, key } of events) {
        const current = state.flights.get(key)
        if (event === "join") {
          const joined = State.join(state, key, () => ({ callers: 0, isOver: false, key }))
          if (joined === "full") {
            assert.isDefined(current)
            assert.strictEqual(current?.callers, maxCallers)
            continue
          }
          if (current !== undefined) assert.strictEqual(joined, current)
          callers.push(joined)
        } else if (event === "leave") {
          const flight = callers[index % Math.max(1, callers.length)]
          if (flight === undefined) continue
          callers.splice(callers.indexOf(flight), 1)
          const wasOver = flight.isOver
          const isLast = State.leave(state, flight.key, flight)
          assert.strictEqual(isLast, !wasOver && waitingFor(flight) === 0)
        } else if (current !== undefined) {
          State.over(state, key, current)
          assert.isFalse(state.flights.has(key))
        }
        for (const [at, flight] of state.flights) {
          assert.isFalse(flight.isOver)
          assert.strictEqual(flight.key, at)
          assert.strictEqual(flight.callers, waitingFor(flight))
          assert.isTrue(flight.callers >= 1 && flight.callers <= maxCallers)
        }
        assert.strictEqual(State.waiting(state), callers.filter((flight) => !flight.isOver).length)
      }
      for (const flight of callers) State.leave(state, flight.key, flight)
      assert.strictEqual(state.flights.size, 0)
    }
  )

  it("the end of an old run does not take away the run that replaced it", () => {
    const state = State.makeSingleFlightState<string, State.Flight>(Infinity)
    const make = () => ({ callers: 0, isOver: false })
    const old = State.join(state, "key", make)
    if (old === "full") return assert.fail("full")
    assert.isTrue(State.leave(state, "key", old))
    const next = State.join(state, "key", make)
    State.over(state, "key", old)
    assert.strictEqual(state.flights.get("key"), next)
  })
})

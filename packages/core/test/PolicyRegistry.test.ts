import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Effect, Exit, Schedule, Scope } from "effect"
import * as Bulkhead from "../src/Bulkhead.ts"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import * as PolicyRegistry from "../src/PolicyRegistry.ts"
import * as Retry from "../src/Retry.ts"

const own = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(self, PolicyRegistry.Current, PolicyRegistry.make()))

describe("the registry of policies", () => {
  it.effect("lists what is registered until its scope closes, in the order in which it came", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const bulkhead = Bulkhead.make({ maxConcurrent: 3 })
      yield* Scope.provide(PolicyRegistry.register("queue", { bulkhead: Bulkhead.make() }), scope)
      const given = yield* PolicyRegistry.register("orders-db", { bulkhead, retry: Retry.make() })
      assert.strictEqual(given.bulkhead, bulkhead)
      yield* bulkhead.run(Effect.void)
      const shown = Effect.map(PolicyRegistry.list, (found) =>
        found.map(({ bulkhead, name }) => [name, bulkhead?.limit, bulkhead?.admitted])
      )
      assert.deepStrictEqual(yield* shown, [
        ["queue", 25, 0],
        ["orders-db", 3, 1]
      ])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* shown, [["orders-db", 3, 1]])
    }).pipe(Effect.scoped, own)
  )

  it.effect("tells a watcher of those that are there and of those that come and go, until it leaves", () =>
    Effect.gen(function* () {
      const registry = yield* PolicyRegistry.Current
      const heard: Array<string> = []
      const watcher: PolicyRegistry.Watcher = {
        arrived: ({ name }) => void heard.push(`+${name}`),
        left: ({ name }) => void heard.push(`-${name}`)
      }
      const breaking: PolicyRegistry.Watcher = {
        arrived: () => assert.fail("arrived"),
        left: () => assert.fail("left")
      }
      const register = (name: string) => PolicyRegistry.register(name, { breaker: CircuitBreaker.make() })
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* registry.watch(breaking)
          yield* register("a")
          yield* Effect.scoped(
            Effect.gen(function* () {
              yield* registry.watch(watcher)
              yield* Effect.scoped(register("b"))
            })
          )
        })
      )
      assert.deepStrictEqual(heard, ["+a", "+b", "-b"])
    }).pipe(own)
  )

  it.effect("keeps what one effect registered in two scopes until the second closes too", () =>
    Effect.gen(function* () {
      const registry = yield* PolicyRegistry.Current
      const arrived: Array<PolicyRegistry.Registered> = []
      const left: Array<PolicyRegistry.Registered> = []
      yield* registry.watch({
        arrived: (registered) => void arrived.push(registered),
        left: (registered) => void left.push(registered)
      })
      const registering = PolicyRegistry.register("orders-db", { bulkhead: Bulkhead.make() })
      const names = Effect.map(PolicyRegistry.list, (found) => found.map(({ name }) => name))
      const [first, second] = [yield* Scope.make(), yield* Scope.make()]
      yield* Scope.provide(registering, first)
      yield* Scope.provide(registering, second)
      assert.deepStrictEqual(yield* names, ["orders-db", "orders-db"])
      yield* Scope.close(first, Exit.void)
      assert.deepStrictEqual(yield* names, ["orders-db"])
      yield* Scope.close(second, Exit.void)
      assert.deepStrictEqual(yield* names, [])
      assert.lengthOf(new Set(arrived), 2)
      assert.deepStrictEqual(
        left.map((registered) => arrived.indexOf(registered)),
        [0, 1]
      )
    }).pipe(Effect.scoped, own)
  )

  it.effect("tells a watcher that throws of all that are there, and lets go of it with its scope", () =>
    Effect.gen(function* () {
      const registry = yield* PolicyRegistry.Current
      const heard: Array<string> = []
      const throwing: PolicyRegistry.Watcher = {
        arrived: ({ name }) => {
          heard.push(name)
          throw new Error("no watcher today")
        },
        left: () => {}
      }
      const register = (name: string) => PolicyRegistry.register(name, { breaker: CircuitBreaker.make() })
      yield* register("a")
      yield* register("b")
      const exit = yield* Effect.exit(Effect.scoped(registry.watch(throwing)))
      assert.isTrue(Exit.isSuccess(exit))
      yield* register("c")
      assert.deepStrictEqual(heard, ["a", "b"])
    }).pipe(Effect.scoped, own)
  )

  it("refuses a name that is empty, no policy, and a kind that there is not", () => {
    const bulkhead = Bulkhead.make()
    assert.throws(
      () => PolicyRegistry.register("", { bulkhead }),
      RangeError,
      "PolicyRegistry: name must be a text that is not empty, since figures are found by it, got an empty one"
    )
    assert.throws(
      () => PolicyRegistry.register("db", {}),
      RangeError,
      "PolicyRegistry: db: at least one policy must be given, got none"
    )
    assert.throws(
      // @ts-expect-error there is no such kind
      () => PolicyRegistry.register("db", { bulkhed: bulkhead }),
      /PolicyRegistry: db: bulkhed is no kind of policy; it must be one of adaptiveConcurrency, /
    )
  })

  it("its type gives what it was given", () => {
    const bulkhead = Bulkhead.make()
    expectTypeOf(PolicyRegistry.register("db", { bulkhead })).toEqualTypeOf<
      Effect.Effect<{ readonly bulkhead: Bulkhead.Bulkhead }, never, Scope.Scope>
    >()
  })
})

describe("a retry's events", () => {
  it.live("tell of each further attempt and of the end, to who listens", () =>
    Effect.gen(function* () {
      const retry = Retry.make({ maxAttempts: 2, schedule: Schedule.spaced(0) })
      const heard: Array<unknown> = []
      const fails = Effect.exit(retry.run(Effect.fail("down")))
      yield* fails
      const stop = retry.events.subscribe((event) =>
        heard.push(
          event._tag === "GaveUp"
            ? [event.error, event.givenUp.attempts, event.givenUp.stopped]
            : [event.error, event.scheduled.attempts]
        )
      )
      yield* fails
      yield* retry.run(Effect.succeed("well"))
      stop()
      yield* fails
      assert.deepStrictEqual(heard, [
        ["down", 1],
        ["down", 2, "attempts"]
      ])
    })
  )
})

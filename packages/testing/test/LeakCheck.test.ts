import * as dgram from "node:dgram"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { AdaptiveConcurrency, Bulkhead, SingleFlight } from "@holdfast/core"
import { HttpPolicy, Upstream, UpstreamRegistry } from "@holdfast/http"
import { LeakCheck, ScriptedTransport } from "@holdfast/testing"
import { Cause, Clock, Deferred, Duration, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"

/** Long enough for what goes away, short enough for what does not. */
const soon = { within: "60 millis" } as const

/** What is closed when the test is over, and not before. */
const kept = <A>(make: () => A, close: (made: A) => void): Effect.Effect<A, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(make), (made) => Effect.sync(() => close(made)))

const listening = (server: net.Server, address: net.ListenOptions = { port: 0, host: "127.0.0.1" }) =>
  Effect.callback<net.Server>((resume) => void server.listen(address, () => resume(Effect.succeed(server))))

const portOf = (server: net.Server): number => {
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no TCP address")
  return address.port
}

const connected = (port: number) =>
  Effect.callback<net.Socket>((resume) => {
    const socket = net.connect(port, "127.0.0.1", () => resume(Effect.succeed(socket)))
  })

const outerServer = Effect.flatMap(
  kept(
    () => net.createServer((socket) => socket.resume()),
    (server) => void server.close()
  ),
  (server) => listening(server)
)

/** Runs what is to leave something, gives what was found, and lets the test close it. */
const leaksOf = <A, E, R>(self: Effect.Effect<A, E, R>, options: LeakCheck.Options = soon) =>
  Effect.map(LeakCheck.find(self, options), ([, leaks]) => leaks)

const told = (leaks: ReadonlyArray<LeakCheck.Leak>): ReadonlyArray<string> =>
  leaks.map(({ count, kind, what }) => `${count} ${kind}: ${what}`)

const isHere = (leak: LeakCheck.Leak | undefined): boolean =>
  leak?.where
    .find((frame) => !frame.includes("loopbackOnly.ts"))
    ?.includes("packages/testing/test/LeakCheck.test.ts") === true

describe("LeakCheck finds", () => {
  it.live("a timer, with its length and the line that made it", () =>
    Effect.gen(function* () {
      let timer: NodeJS.Timeout | undefined
      const leaks = yield* leaksOf(
        Effect.gen(function* () {
          yield* Effect.sleep("2 millis")
          timer = setTimeout(() => {}, 5_000)
        })
      )
      clearTimeout(timer)
      assert.deepStrictEqual(told(leaks), ["1 timer: timer of 5s"])
      assert.isTrue(isHere(leaks[0]), leaks[0]?.where.join("\n"))
    })
  )

  it.live("an interval that was made in the callback of another timer", () =>
    Effect.gen(function* () {
      let interval: NodeJS.Timeout | undefined
      const leaks = yield* leaksOf(
        Effect.sync(() => void setTimeout(() => void (interval = setInterval(() => {}, 250)), 5))
      )
      clearInterval(interval)
      assert.deepStrictEqual(told(leaks), ["1 timer: interval of 250ms"])
    })
  )

  it.live("timers that follow each other, though each of them goes away", () =>
    Effect.gen(function* () {
      let timer: NodeJS.Timeout | undefined
      const again = (): void => void (timer = setTimeout(again, 3))
      const leaks = yield* leaksOf(Effect.sync(again))
      clearTimeout(timer)
      assert.deepStrictEqual(told(leaks), ["1 timer: timer of 3ms"])
    })
  )

  it.live("a socket, with its address", () =>
    Effect.gen(function* () {
      const port = portOf(yield* outerServer)
      const [socket, leaks] = yield* LeakCheck.find(connected(port), soon)
      socket.destroy()
      assert.deepStrictEqual(told(leaks), [`1 socket: TCP socket to 127.0.0.1:${port}`])
      assert.isTrue(isHere(leaks[0]), leaks[0]?.where.join("\n"))
    })
  )

  it.live("sockets that do not keep the process alive", () =>
    Effect.gen(function* () {
      const port = portOf(yield* outerServer)
      const [sockets, leaks] = yield* LeakCheck.find(
        Effect.tap(Effect.replicateEffect(connected(port), 2), (sockets) =>
          Effect.sync(() => sockets.forEach((socket) => socket.unref()))
        ),
        soon
      )
      for (const socket of sockets) socket.destroy()
      assert.deepStrictEqual(told(leaks), [`2 socket: TCP socket to 127.0.0.1:${port}`])
    })
  )

  it.live("a server, and the connection that it accepted", () =>
    Effect.gen(function* () {
      const accepted: Array<net.Socket> = []
      const [server, leaks] = yield* LeakCheck.find(
        Effect.gen(function* () {
          const server = yield* listening(net.createServer((socket) => void accepted.push(socket)))
          yield* Effect.tap(connected(portOf(server)), (client) => Effect.sync(() => client.unref()))
          return server
        }),
        soon
      )
      const port = portOf(server)
      server.close()
      for (const socket of accepted) socket.destroy()
      assert.sameMembers(
        [...told(leaks)],
        [
          `1 server: server on 127.0.0.1:${port}`,
          `1 socket: TCP socket to 127.0.0.1:${port}`,
          `1 socket: TCP socket accepted on 127.0.0.1:${port}`
        ]
      )
    })
  )

  it.live("a server on a path, its pipe, and a UDP socket", () =>
    Effect.gen(function* () {
      const path = join(tmpdir(), `holdfast-leak-${process.pid}.sock`)
      const [close, leaks] = yield* LeakCheck.find(
        Effect.gen(function* () {
          const server = yield* listening(net.createServer(), { path })
          const client = yield* Effect.callback<net.Socket>((resume) => {
            const socket = net.connect(path, () => resume(Effect.succeed(socket)))
          })
          const datagrams = dgram.createSocket("udp4")
          yield* Effect.callback<void>((resume) => void datagrams.bind(0, "127.0.0.1", () => resume(Effect.void)))
          return () => {
            client.destroy()
            datagrams.close()
            server.close()
          }
        }),
        soon
      )
      close()
      assert.includeMembers([...told(leaks)], [`1 server: server on ${path}`, "1 socket: UDP socket"])
      assert.include(told(leaks).join("\n"), "socket: pipe")
    })
  )

  it.effect("a detached fiber, with the names around it, under a test clock", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<Fiber.Fiber<void>>()
      const poll = Effect.fn("poll")(function* () {
        yield* Effect.sleep("1 hour")
      })
      const begun = performance.now()
      const leaks = yield* leaksOf(
        Effect.flatMap(Effect.forkDetach(poll()), (fiber) => Deferred.succeed(started, fiber)).pipe(
          Effect.withSpan("checkout")
        )
      )
      assert.isAtLeast(performance.now() - begun, 59)
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
      yield* Fiber.interrupt(yield* Deferred.await(started))
      assert.deepStrictEqual(told(leaks), ["1 fiber: fiber in poll"])
      const where = leaks[0]?.where ?? []
      assert.match(where.join("\n"), /in poll at .*LeakCheck\.test\.ts/)
      assert.match(where.join("\n"), /in checkout at .*LeakCheck\.test\.ts/)
    })
  )

  it.effect("fibers in a scope that outlives the effect, and says so where no name is known", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const leaks = yield* leaksOf(
        Effect.all([Effect.forkIn(Effect.never, scope), Effect.forkIn(Effect.never, scope)]).pipe(Effect.asVoid)
      )
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(told(leaks), ["2 fiber: fiber, in no span and no Effect.fn"])
    })
  )

  it.effect("a permit that a policy used alone still holds, and callers that wait for it", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make({ maxConcurrent: 1, maxQueue: 5 })
      const adaptive = AdaptiveConcurrency.make({})
      const flights = SingleFlight.make<string, void, never>()
      const scope = yield* Scope.make()
      const held = yield* leaksOf(
        Effect.gen(function* () {
          yield* Effect.forkIn(bulkhead.run(Effect.never), scope)
          yield* Effect.forkIn(bulkhead.run(Effect.never), scope)
          yield* Effect.forkIn(adaptive.run(Effect.never), scope)
          yield* Effect.forkIn(flights.run(Effect.never, { key: "key" }), scope)
          yield* Effect.yieldNow
        }),
        {
          ...soon,
          ignore: ["fiber"],
          permits: { ledger: bulkhead.snapshot, stock: adaptive.snapshot, flights: flights.snapshot }
        }
      )
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(told(held), [
        "1 permit: ledger, in flight",
        "1 permit: ledger, queued",
        "1 permit: stock, in flight",
        "1 permit: flights, in flight",
        "1 permit: flights, waiting"
      ])
    })
  )

  it.effect("calls in flight of upstreams, of those made outside, and of those that are closed by now", () =>
    Effect.gen(function* () {
      const policy = HttpPolicy.standard({
        retry: false,
        deadline: false,
        attemptTimeout: false,
        breaker: false,
        bulkhead: { maxConcurrent: 2 }
      })
      const transport = yield* Layer.build(ScriptedTransport.layer({ "*": [ScriptedTransport.hang] }))
      const make = (name: string) =>
        Upstream.make(name, { baseUrl: `https://${name}.internal`, policy }).pipe(Effect.provide(transport))
      const scope = yield* Scope.make()
      const outside = yield* make("outside")
      // In flight before, and after: that is no leak of the effect.
      yield* Effect.forkIn(outside.get("/"), scope)
      yield* Effect.yieldNow
      const leaks = yield* leaksOf(
        Effect.scoped(
          Effect.gen(function* () {
            const inside = yield* make("inside")
            yield* Effect.forkIn(inside.get("/"), scope)
            yield* Effect.forkIn(outside.get("/"), scope)
            yield* Effect.yieldNow
          })
        ),
        { ...soon, ignore: ["fiber"] }
      )
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(told(leaks), [
        "1 permit: bulkhead of outside at https://outside.internal, in flight",
        "1 permit: bulkhead of inside at https://inside.internal, in flight"
      ])
    }).pipe(Effect.provideService(UpstreamRegistry.Current, UpstreamRegistry.make()))
  )
})

describe("LeakCheck is silent about", () => {
  it.live("an effect that gives everything back", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make()
      const value = yield* LeakCheck.around(
        Effect.scoped(
          Effect.gen(function* () {
            const server = yield* outerServer
            yield* Effect.acquireRelease(connected(portOf(server)), (socket) => Effect.sync(() => socket.destroy()))
            yield* Effect.all([Effect.sleep("3 millis"), bulkhead.run(Effect.sleep("2 millis"))], { concurrency: 2 })
            yield* Effect.forkScoped(Effect.never)
            yield* Effect.forkChild(Effect.never)
            return "given"
          })
        ),
        { permits: { bulkhead: bulkhead.snapshot } }
      )
      assert.strictEqual(value, "given")
    })
  )

  it.live("what is gone within the time it has", () =>
    Effect.gen(function* () {
      yield* LeakCheck.around(Effect.forkDetach(Effect.sleep("80 millis")), { within: "4 seconds" })
      const leaks = yield* leaksOf(Effect.forkDetach(Effect.sleep("3 seconds")), { within: "30 millis" })
      assert.sameMembers(
        leaks.map(({ kind }) => kind),
        ["fiber", "timer"]
      )
    })
  )

  it.live("a detached fiber that has ended, even when there is no time at all", () =>
    LeakCheck.around(Effect.forkDetach(Effect.void), { within: 0 })
  )

  it.live("timers that do not keep the process alive", () =>
    LeakCheck.around(Effect.sync(() => setTimeout(() => {}, 5_000).unref()))
  )

  it.live("what was there before", () =>
    Effect.gen(function* () {
      const interval = yield* kept(
        () => setInterval(() => {}, 5),
        (timer) => clearInterval(timer)
      )
      const fiber = yield* Effect.forkChild(Effect.never)
      yield* LeakCheck.around(Effect.sleep("10 millis"), { madeBy: "anyone", within: 0 })
      assert.isTrue(interval.hasRef())
      yield* Fiber.interrupt(fiber)
    })
  )

  it.live("what somebody else makes meanwhile, unless everyone counts", () =>
    Effect.gen(function* () {
      const meanwhile = (madeBy: "effect" | "anyone") =>
        Effect.gen(function* () {
          const isRunning = yield* Deferred.make<void>()
          const isMade = yield* Deferred.make<void>()
          const check = yield* Effect.forkChild(
            leaksOf(Effect.andThen(Deferred.succeed(isRunning, undefined), Deferred.await(isMade)), { ...soon, madeBy })
          )
          yield* Deferred.await(isRunning)
          const timer = setTimeout(() => {}, 7_000)
          yield* Deferred.succeed(isMade, undefined)
          const leaks = yield* Fiber.join(check)
          clearTimeout(timer)
          return told(leaks)
        })
      assert.deepStrictEqual(yield* meanwhile("effect"), [])
      assert.deepStrictEqual(
        (yield* meanwhile("anyone")).filter((leak) => leak.includes("7s")),
        ["1 timer: timer of 7s"]
      )
    })
  )

  it.live("the other of two checks that run at once", () =>
    Effect.gen(function* () {
      const timers: Array<NodeJS.Timeout> = []
      const leaving = (millis: number) =>
        leaksOf(
          Effect.andThen(
            Effect.sleep("5 millis"),
            Effect.sync(() => void timers.push(setTimeout(() => {}, millis)))
          )
        )
      const found = yield* Effect.all([leaving(6_000), leaving(8_000)], { concurrency: "unbounded" })
      for (const timer of timers) clearTimeout(timer)
      assert.deepStrictEqual(found.map(told), [["1 timer: timer of 6s"], ["1 timer: timer of 8s"]])
    })
  )

  it.live("what it is told to ignore", () =>
    Effect.gen(function* () {
      const timers: Array<NodeJS.Timeout> = []
      const leaving = Effect.sync(() => {
        timers.push(
          setTimeout(() => {}, 6_000),
          setTimeout(() => {}, 8_000)
        )
      })
      yield* LeakCheck.around(leaving, { ignore: ["timer"], within: 0 })
      const leaks = yield* leaksOf(leaving, { ignore: ({ what }) => what.includes("8s"), within: 0 })
      for (const timer of timers) clearTimeout(timer)
      assert.deepStrictEqual(told(leaks), ["1 timer: timer of 6s"])
    })
  )
})

describe("LeakCheck.around", () => {
  it.live("dies with a report that names what is left, how many, and where it came from", () =>
    Effect.gen(function* () {
      const timers: Array<NodeJS.Timeout> = []
      const three = Effect.sync(() => {
        for (let count = 0; count < 3; count++) timers.push(setTimeout(() => {}, 9_000))
      })
      const exit = yield* Effect.exit(LeakCheck.around(three, soon))
      for (const timer of timers) clearTimeout(timer)
      if (Exit.isSuccess(exit)) throw new Error("nothing was found")
      const defect = Cause.squash(exit.cause)
      if (!(defect instanceof LeakCheck.LeaksFound)) throw defect
      assert.match(
        defect.message,
        /^LeakCheck: 3 things are left 60ms after the effect ended\n {2}timer: 3 × timer of 9s\n {6}at .*LeakCheck\.test\.ts/
      )
      assert.strictEqual(defect.name, "LeaksFound")
      assert.notInclude(defect.stack, "LeakCheck.ts")
      assert.deepStrictEqual(told(defect.leaks), ["3 timer: timer of 9s"])
    })
  )

  it.live("keeps the failure of an effect, and adds what it left", () =>
    Effect.gen(function* () {
      let timer: NodeJS.Timeout | undefined
      const failing = Effect.andThen(
        Effect.sync(() => void (timer = setTimeout(() => {}, 9_000))),
        Effect.fail("declined" as const)
      )
      const exit = yield* Effect.exit(LeakCheck.around(failing, soon))
      clearTimeout(timer)
      if (Exit.isSuccess(exit)) throw new Error("it did not fail")
      assert.deepStrictEqual(
        exit.cause.reasons.map((reason) => (Cause.isFailReason(reason) ? reason.error : reason._tag)),
        ["declined", "Die"]
      )
      assert.strictEqual(yield* Effect.flip(LeakCheck.around(Effect.fail("declined" as const))), "declined")
    })
  )

  it.live("interrupts the effect when it is interrupted, waits for it, and looks at nothing", () =>
    Effect.gen(function* () {
      const steps: Array<string> = []
      const running = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        LeakCheck.around(
          Deferred.succeed(running, undefined).pipe(
            Effect.andThen(Effect.never),
            Effect.onInterrupt(() =>
              Effect.andThen(
                Effect.sleep("20 millis"),
                Effect.sync(() => steps.push("released"))
              )
            )
          ),
          { permits: { look: Effect.sync(() => (steps.push("looked"), {})) } }
        )
      )
      yield* Deferred.await(running)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(steps, ["looked", "released"])
    })
  )

  it.live("looks at nothing when the effect interrupts itself", () =>
    Effect.gen(function* () {
      let timer: NodeJS.Timeout | undefined
      const exit = yield* Effect.exit(
        LeakCheck.around(
          Effect.andThen(
            Effect.sync(() => void (timer = setTimeout(() => {}, 9_000))),
            Effect.interrupt
          ),
          soon
        )
      )
      clearTimeout(timer)
      if (Exit.isSuccess(exit)) throw new Error("it was not interrupted")
      assert.isTrue(Cause.hasInterruptsOnly(exit.cause))
    })
  )

  it.effect("runs the effect on the clock and with the services that are there", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(LeakCheck.around(Effect.as(Effect.sleep("1 hour"), "slept")))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* Fiber.join(fiber), "slept")
    })
  )

  it.live("finds the same without stacks, and then does not say where", () =>
    Effect.gen(function* () {
      let timer: NodeJS.Timeout | undefined
      const leaks = yield* leaksOf(
        Effect.sync(() => void (timer = setTimeout(() => {}, 9_000))),
        { ...soon, stacks: false }
      )
      clearTimeout(timer)
      assert.deepStrictEqual(leaks, [{ kind: "timer", what: "timer of 9s", count: 1, where: [] }])
    })
  )

  it.live("is over with the check: what is made later is nobody's, and a fiber that is left goes on", () =>
    Effect.gen(function* () {
      const goOn = yield* Deferred.make<void>()
      const [fiber, leaks] = yield* LeakCheck.find(Effect.forkDetach(Effect.as(Deferred.await(goOn), "done")), soon)
      assert.deepStrictEqual(told(leaks), ["1 fiber: fiber, in no span and no Effect.fn"])
      yield* Deferred.succeed(goOn, undefined)
      assert.strictEqual(yield* Fiber.join(fiber), "done")
    })
  )

  it("refuses options that are out of range, in words", () => {
    assert.throws(
      () => LeakCheck.around(Effect.void, { within: -1 }),
      RangeError,
      "LeakCheck: within must be finite and not negative, got -1"
    )
    assert.throws(() => LeakCheck.find(Effect.void, { within: Duration.infinity }), RangeError)
  })
})

describe("LeakCheck.snapshot", () => {
  it.live("counts what keeps the process alive, and what upstreams hold", () =>
    Effect.gen(function* () {
      const before = yield* LeakCheck.snapshot
      const server = yield* outerServer
      const during = yield* LeakCheck.snapshot
      assert.strictEqual(LeakCheck.difference(before, during)["TCPServerWrap"], 1)
      server.close()
      yield* Effect.sleep("5 millis")
      assert.notProperty(LeakCheck.difference(before, yield* LeakCheck.snapshot), "TCPServerWrap")
    })
  )

  it("a difference has what there is more of, and nothing else", () => {
    assert.deepStrictEqual(LeakCheck.difference({ a: 1, b: 2, c: 3 }, { a: 1, b: 4, d: 1 }), { b: 2, d: 1 })
  })
})

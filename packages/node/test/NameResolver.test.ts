import dns from "node:dns"
import { syncBuiltinESMExports } from "node:module"
import { Deferred, Duration, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import { assert, describe, it } from "@effect/vitest"
import { NameResolver } from "@holdfast/node"
import { bounded } from "../../../test/support/calling.ts"
import { nameServer } from "./support/nameServer.ts"

const four = (address: string): NameResolver.Address => ({ address, family: 4 })

const fail = (host: string, code: string) => Effect.fail(new NameResolver.NameResolutionError({ host, code }))

/** A look-up that says what it is told to, and counts. */
const scripted = () => {
  const script = {
    lookUps: 0,
    next: (_: string): Effect.Effect<NameResolver.Answer, NameResolver.NameResolutionError> =>
      Effect.succeed({ addresses: [four("10.0.0.1")] })
  }
  const source = (host: string) =>
    Effect.suspend(() => {
      script.lookUps++
      return script.next(host)
    })
  return { script, source }
}

const first = (resolver: NameResolver.NameResolver, host = "a.test") =>
  Effect.map(resolver.resolve(host), (addresses) => addresses[0]?.address)

const codeOf = (resolver: NameResolver.NameResolver, host = "a.test") =>
  Effect.map(Effect.flip(resolver.resolve(host)), (error) => error.code)

/** Lets what was started in the background come to its end. */
const settle = TestClock.adjust(0)

describe("NameResolver", () => {
  it("has the defaults that the documentation says", () => {
    assert.deepStrictEqual(NameResolver.defaults, {
      source: "system",
      timeToLive: Duration.seconds(10),
      minTimeToLive: Duration.seconds(1),
      maxTimeToLive: Duration.minutes(5),
      negativeTimeToLive: Duration.seconds(1),
      staleFor: Duration.hours(1),
      staleWait: Duration.millis(1800),
      recheckInterval: Duration.seconds(5),
      refreshAhead: Duration.zero,
      maxEntries: 1000,
      timeout: Duration.seconds(5)
    })
  })

  it.effect("an answer is given until its time to live is over, and not longer", () =>
    Effect.gen(function* () {
      const { script, source } = scripted()
      const resolver = yield* NameResolver.make({ source })
      script.next = () => Effect.succeed({ addresses: [four("10.0.0.1")], timeToLive: "30 seconds" })
      assert.strictEqual(yield* first(resolver), "10.0.0.1")
      script.next = () => Effect.succeed({ addresses: [four("10.0.0.2")] })
      yield* TestClock.adjust("29999 millis")
      assert.strictEqual(yield* first(resolver, "A.TEST"), "10.0.0.1")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* first(resolver), "10.0.0.2")
      // and this one has no time of its own
      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(yield* first(resolver), "10.0.0.2")
      assert.strictEqual(script.lookUps, 2)
      yield* TestClock.adjust("1 millis")
      yield* first(resolver)
      assert.strictEqual(script.lookUps, 3)
    })
  )

  it.effect("callers at the same time share one look-up, and each begins with the next address", () =>
    Effect.gen(function* () {
      const { script, source } = scripted()
      script.next = () =>
        Effect.delay(Effect.succeed({ addresses: ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(four) }), "1 second")
      const resolver = yield* NameResolver.make({ source })
      const fibers = yield* Effect.forEach([1, 2, 3, 4], () => Effect.forkChild(first(resolver)))
      yield* TestClock.adjust("1 second")
      const firsts = yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(firsts.toSorted(), ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3"])
      assert.strictEqual(script.lookUps, 1)
      assert.notStrictEqual(yield* first(resolver), yield* first(resolver))
    })
  )

  it.effect("a caller that leaves, even the last, does not end the look-up, whose answer is kept", () =>
    Effect.gen(function* () {
      const { script, source } = scripted()
      const gate = yield* Deferred.make<NameResolver.Answer>()
      script.next = () => Deferred.await(gate)
      const resolver = yield* NameResolver.make({ source })
      const [one, other] = [yield* Effect.forkChild(first(resolver)), yield* Effect.forkChild(first(resolver))]
      yield* settle
      yield* Fiber.interrupt(one)
      assert.strictEqual((yield* resolver.snapshot).lookUps, 1)
      yield* Fiber.interrupt(other)
      yield* Deferred.succeed(gate, { addresses: [four("10.0.0.9")] })
      yield* settle
      assert.strictEqual(yield* first(resolver), "10.0.0.9")
      assert.strictEqual(script.lookUps, 1)
    })
  )

  it.effect("that a name has no address is remembered for a moment, that nobody could tell is not", () =>
    Effect.gen(function* () {
      const { script, source } = scripted()
      const resolver = yield* NameResolver.make({ source })
      for (const code of ["ENOTFOUND", "ENODATA"]) {
        script.next = (host) => fail(host, code)
        script.lookUps = 0
        assert.strictEqual(yield* codeOf(resolver), code)
        yield* TestClock.adjust("999 millis")
        assert.strictEqual(yield* codeOf(resolver), code)
        assert.strictEqual(script.lookUps, 1)
        assert.propertyVal((yield* resolver.snapshot).entries[0], "state", "negative")
        yield* TestClock.adjust("1 millis")
      }
      for (const code of ["EAI_AGAIN", "ETIMEOUT", "ESERVFAIL", "ECONNREFUSED"]) {
        script.next = (host) => fail(host, code)
        script.lookUps = 0
        assert.strictEqual(yield* codeOf(resolver), code)
        assert.strictEqual(yield* codeOf(resolver), code)
        assert.strictEqual(script.lookUps, 2)
        assert.deepStrictEqual((yield* resolver.snapshot).entries, [])
      }
    })
  )

  it.effect(
    "while the resolver is down the last answer is given on, until it is too old, and a name that is gone ends that",
    () =>
      Effect.gen(function* () {
        const { script, source } = scripted()
        const resolver = yield* NameResolver.make({ source, staleFor: "1 minute", recheckInterval: "5 seconds" })
        yield* first(resolver)
        script.next = (host) => fail(host, "EAI_AGAIN")
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* first(resolver), "10.0.0.1")
        assert.strictEqual(yield* first(resolver), "10.0.0.1")
        assert.strictEqual(script.lookUps, 2)
        assert.propertyVal((yield* resolver.snapshot).entries[0], "state", "stale")

        // in the background
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(yield* first(resolver), "10.0.0.1")
        assert.strictEqual(script.lookUps, 3)

        yield* TestClock.adjust("55 seconds")
        assert.strictEqual(yield* codeOf(resolver), "EAI_AGAIN")

        script.next = () => Effect.succeed({ addresses: [four("10.0.0.2")] })
        assert.strictEqual(yield* first(resolver), "10.0.0.2")
        script.next = (host) => fail(host, "ENOTFOUND")
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* codeOf(resolver), "ENOTFOUND")
      })
  )

  it.effect(
    "a look-up has a time limit, after which the next caller joins what still runs, and a late answer is kept",
    () =>
      Effect.gen(function* () {
        const { script, source } = scripted()
        script.next = () => Effect.never
        const resolver = yield* NameResolver.make({ source, timeout: "2 seconds" })
        const waiting = yield* Effect.forkChild(codeOf(resolver))
        yield* TestClock.adjust("1999 millis")
        assert.isUndefined(waiting.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* Fiber.join(waiting), "ETIMEOUT")
        assert.strictEqual((yield* resolver.snapshot).lookUps, 0)
      })
  )

  it.effect("where there is an old answer nobody waits long for a new one", () =>
    Effect.gen(function* () {
      const { script, source } = scripted()
      const resolver = yield* NameResolver.make({ source, staleWait: "1 second", recheckInterval: "10 minutes" })
      yield* first(resolver)
      yield* TestClock.adjust("10 seconds")
      script.next = () => Effect.delay(Effect.succeed({ addresses: [four("10.0.0.2")] }), "3 seconds")
      const waiting = yield* Effect.forkChild(first(resolver))
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(waiting), "10.0.0.1")
      // at once now, since it is known to be slow; and the look-up still goes on
      assert.strictEqual(yield* first(resolver), "10.0.0.1")
      assert.strictEqual((yield* resolver.snapshot).lookUps, 1)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* first(resolver), "10.0.0.2")
      assert.strictEqual(script.lookUps, 2)
    })
  )

  it.effect("shortly before its end an answer is renewed behind the callers' backs", () =>
    Effect.gen(function* () {
      const { script, source } = scripted()
      const resolver = yield* NameResolver.make({ source, refreshAhead: "2 seconds" })
      yield* first(resolver)
      script.next = () => Effect.succeed({ addresses: [four("10.0.0.2")] })
      yield* TestClock.adjust("8 seconds")
      assert.strictEqual(yield* first(resolver), "10.0.0.1")
      assert.strictEqual(yield* first(resolver), "10.0.0.2")
      assert.strictEqual(script.lookUps, 2)
    })
  )

  it.effect("at the bound new hosts are still remembered, in the place of the one asked for least recently", () =>
    Effect.gen(function* () {
      const { script, source } = scripted()
      const resolver = yield* NameResolver.make({ source, maxEntries: 1 })
      yield* first(resolver, "a.test")
      yield* first(resolver, "b.test")
      yield* first(resolver, "b.test")
      assert.strictEqual(script.lookUps, 2)
      const { entries, evictions } = yield* resolver.snapshot
      assert.deepStrictEqual(
        entries.map(({ host }) => host),
        ["b.test"]
      )
      assert.strictEqual(evictions, 1)
    })
  )

  it.effect("the snapshot says what is remembered, and changes nothing", () =>
    Effect.gen(function* () {
      const { source } = scripted()
      const resolver = yield* NameResolver.make({ source })
      yield* first(resolver, "a.test")
      yield* first(resolver, "b.test")
      yield* TestClock.adjust("4 seconds")
      yield* first(resolver, "a.test")
      const snapshot = yield* resolver.snapshot
      assert.deepStrictEqual(yield* resolver.snapshot, snapshot)
      assert.deepStrictEqual(
        snapshot.entries.map(({ host }) => host),
        ["b.test", "a.test"]
      )
      assert.deepStrictEqual(snapshot.entries[1], {
        host: "a.test",
        addresses: [four("10.0.0.1")],
        state: "fresh",
        code: undefined,
        age: Duration.seconds(4),
        expiresIn: Duration.seconds(6),
        hits: 1,
        misses: 1
      })
      assert.deepInclude(snapshot, { lookUps: 0, hits: 1, misses: 2, evictions: 0 })
    })
  )

  it.effect("an address is never asked for, with brackets or without", () =>
    Effect.gen(function* () {
      const { script, source } = scripted()
      const resolver = yield* NameResolver.make({ source })
      assert.deepStrictEqual(yield* resolver.resolve("127.0.0.1"), [four("127.0.0.1")])
      assert.deepStrictEqual(yield* resolver.resolve("[::1]"), [{ address: "::1", family: 6 }])
      assert.deepStrictEqual(yield* resolver.resolve("fe80::1%eth0"), [{ address: "fe80::1%eth0", family: 6 }])
      assert.strictEqual(script.lookUps, 0)
      assert.strictEqual((yield* resolver.snapshot).misses, 0)
    })
  )

  it.effect("an answer without addresses is a name that has none", () =>
    Effect.gen(function* () {
      const resolver = yield* NameResolver.make({ source: () => Effect.succeed({ addresses: [] }) })
      assert.strictEqual(yield* codeOf(resolver), "ENODATA")
    })
  )

  it.effect("a defect of a look-up is one of its callers, and the next caller looks up anew", () =>
    Effect.gen(function* () {
      const { script, source } = scripted()
      const resolver = yield* NameResolver.make({ source })
      script.next = () => Effect.die("broken")
      const exit = yield* Effect.exit(resolver.resolve("a.test"))
      assert.deepStrictEqual(exit, Exit.die("broken"))
      script.next = () => Effect.succeed({ addresses: [four("10.0.0.1")] })
      assert.strictEqual(yield* first(resolver), "10.0.0.1")
    })
  )

  it.effect("with its scope a resolver ends its look-ups, and who waits is told", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      let isInterrupted = false
      const resolver = yield* NameResolver.make({
        source: () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => (isInterrupted = true)))
      }).pipe(Scope.provide(scope))
      const waiting = yield* Effect.forkChild(codeOf(resolver))
      yield* settle
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Fiber.join(waiting), "ECANCELLED")
      assert.isTrue(isInterrupted)
      assert.strictEqual(yield* codeOf(resolver), "ECANCELLED")
    })
  )

  it("options out of range are refused in words", () => {
    const refuses = (options: NameResolver.Options, words: RegExp) =>
      assert.throws(() => NameResolver.make(options), RangeError, words)
    refuses({ maxEntries: 0 }, /maxEntries must be a whole number of at least 1, got 0/)
    refuses({ timeout: 0 }, /timeout must be longer than zero and finite, got 0ms/)
    refuses({ staleFor: "-1 second" }, /staleFor must be zero or longer and finite, got -1000ms/)
    refuses({ timeToLive: Duration.infinity }, /timeToLive must be zero or longer and finite, got Infinityms/)
    refuses(
      { minTimeToLive: "2 seconds", maxTimeToLive: "1 second" },
      /minTimeToLive must not be longer than maxTimeToLive/
    )
    refuses({ source: { servers: [] } }, /servers must hold at least one, got none/)
    refuses({ source: { servers: ["127.0.0.1", "dns.example"] } }, /servers must be addresses .*, got dns\.example/)
  })
})

describe("NameResolver.Current", () => {
  it.effect("nobody is in force until a layer says so, and a layer below a service is what it sees", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* NameResolver.Current)
      const names = NameResolver.layerStatic({ "Payments.internal.": ["127.0.0.2", "[::1]"] })
      const resolved = yield* Effect.flatMap(
        NameResolver.Current,
        (resolver) => resolver?.resolve("payments.internal") ?? Effect.succeed([])
      ).pipe(Effect.provide(names))
      assert.deepStrictEqual(resolved, [four("127.0.0.2"), { address: "::1", family: 6 }])
    })
  )

  it.effect("static names: others are not found, and the snapshot shows them with their hits", () =>
    Effect.gen(function* () {
      const resolver = yield* NameResolver.Current
      if (resolver === undefined) return assert.fail("no resolver")
      assert.strictEqual(yield* codeOf(resolver, "b.test"), "ENOTFOUND")
      assert.strictEqual(yield* first(resolver, "A.test."), "10.0.0.1")
      assert.deepStrictEqual(yield* resolver.resolve("10.0.0.7"), [four("10.0.0.7")])
      const snapshot = yield* resolver.snapshot
      assert.deepInclude(snapshot, { hits: 1, misses: 1 })
      assert.deepInclude(snapshot.entries[0], { host: "a.test", hits: 1, expiresIn: Duration.infinity })
    }).pipe(Effect.provide(NameResolver.layerStatic({ "a.test": ["10.0.0.1"] })))
  )

  it("static names without addresses, or with what is none, are refused in words", () => {
    assert.throws(() => NameResolver.layerStatic({ a: [] }), RangeError, /a must have at least one address, got none/)
    assert.throws(
      () => NameResolver.layerStatic({ a: ["localhost"] }),
      RangeError,
      /the addresses of a must be IP addresses, got localhost/
    )
  })

  it.effect("one layer is one cache for everything below it", () =>
    Effect.gen(function* () {
      const { script, source } = scripted()
      const layer = NameResolver.layer({ source })
      const ask = Effect.flatMap(NameResolver.Current, (resolver) => resolver?.resolve("a.test") ?? Effect.void)
      yield* Effect.andThen(ask, ask).pipe(Effect.provide(Layer.fresh(layer)))
      assert.strictEqual(script.lookUps, 1)
    })
  )
})

describe("the system's resolver", () => {
  it.effect(
    "cannot be called off: who comes after the time limit joins what still runs, and a late answer is kept",
    () =>
      Effect.gen(function* () {
        const original = dns.lookup
        const pending: Array<(error: null, addresses: ReadonlyArray<NameResolver.Address>) => void> = []
        yield* Effect.acquireRelease(
          Effect.sync(() => {
            Object.assign(dns, {
              lookup: (_: string, __: object, done: (typeof pending)[number]) => pending.push(done)
            })
            syncBuiltinESMExports()
          }),
          () =>
            Effect.sync(() => {
              Object.assign(dns, { lookup: original })
              syncBuiltinESMExports()
            })
        )
        const resolver = yield* NameResolver.make({ timeout: "2 seconds" })
        for (const _ of [1, 2]) {
          const waiting = yield* Effect.forkChild(codeOf(resolver))
          yield* TestClock.adjust("2 seconds")
          assert.strictEqual(yield* Fiber.join(waiting), "ETIMEOUT")
        }
        assert.strictEqual(pending.length, 1)
        assert.strictEqual((yield* resolver.snapshot).lookUps, 1)
        pending[0]?.(null, [four("10.0.0.3")])
        assert.strictEqual(yield* first(resolver), "10.0.0.3")
        assert.strictEqual(pending.length, 1)
      })
  )

  it.live("knows localhost, and refuses a name that cannot be one", () =>
    Effect.gen(function* () {
      const resolver = yield* NameResolver.make()
      const addresses = yield* resolver.resolve("localhost")
      assert.isTrue(addresses.some(({ address }) => address === "127.0.0.1" || address === "::1"))
      assert.strictEqual(yield* codeOf(resolver, ""), "ENOTFOUND")
      assert.strictEqual(yield* codeOf(resolver, "a\0b"), "ERR_INVALID_ARG_VALUE")
    })
  )
})

describe("name servers", () => {
  it.live("A and AAAA are asked at once, IPv6 comes first, and the shortest time to live counts", () =>
    Effect.gen(function* () {
      const server = yield* nameServer((type) =>
        type === "A" ? { ttl: 60, addresses: ["10.0.0.1", "10.0.0.2"] } : { ttl: 40, addresses: ["fd00:0:0:0:0:0:0:1"] }
      )
      const resolver = yield* NameResolver.make({ source: { servers: [server.address] } })
      const addresses = yield* resolver.resolve("payments.test")
      assert.deepStrictEqual(
        addresses.map(({ address }) => address),
        ["fd00::1", "10.0.0.1", "10.0.0.2"]
      )
      assert.sameMembers(server.questions, ["A payments.test", "AAAA payments.test"])
      const [entry] = (yield* resolver.snapshot).entries
      const expires = Duration.toMillis(entry?.expiresIn ?? 0)
      assert.isTrue(expires > 10_000 && expires <= 40_000, `${expires} ms`)
    })
  )

  it.effect("a time to live of the server drives when it is asked again", () =>
    Effect.gen(function* () {
      const server = yield* nameServer((type) => (type === "A" ? { ttl: 60, addresses: ["10.0.0.1"] } : "NODATA"))
      const resolver = yield* NameResolver.make({ source: { servers: [server.address] } })
      yield* resolver.resolve("a.test")
      yield* TestClock.adjust("59 seconds")
      yield* resolver.resolve("a.test")
      assert.strictEqual(server.questions.length, 2)
      yield* TestClock.adjust("1 second")
      yield* resolver.resolve("a.test")
      assert.strictEqual(server.questions.length, 4, "and Node keeps no answers of its own")
    })
  )

  it.live("one family may fail, and nobody waits long for it", () =>
    Effect.gen(function* () {
      const server = yield* nameServer((type) => (type === "A" ? { ttl: 60, addresses: ["10.0.0.1"] } : "SERVFAIL"))
      const resolver = yield* NameResolver.make({ source: { servers: [server.address] }, timeout: "2 minutes" })
      assert.deepStrictEqual(yield* resolver.resolve("a.test"), [four("10.0.0.1")])

      server.reply = (type) => (type === "A" ? { ttl: 60, addresses: ["10.0.0.1"] } : "silence")
      // a silence would take a third of the timeout
      assert.deepStrictEqual(yield* bounded(resolver.resolve("b.test")), [four("10.0.0.1")])
      // half of the answer is not to last
      const entry = (yield* resolver.snapshot).entries.find(({ host }) => host === "b.test")
      assert.isAtMost(Duration.toMillis(entry?.expiresIn ?? Duration.infinity), 1000)
    })
  )

  it.live("a name without addresses is negative, a server that is broken is not", () =>
    Effect.gen(function* () {
      const server = yield* nameServer(() => "NXDOMAIN")
      const resolver = yield* NameResolver.make({
        source: { servers: [server.address] },
        negativeTimeToLive: "1 minute",
        timeout: "2 seconds"
      })
      assert.strictEqual(yield* codeOf(resolver, "gone.test"), "ENOTFOUND")
      server.reply = () => "NODATA"
      assert.strictEqual(yield* codeOf(resolver, "empty.test"), "ENODATA")
      server.reply = (type) => (type === "A" ? "NXDOMAIN" : "SERVFAIL")
      assert.strictEqual(yield* codeOf(resolver, "half.test"), "ESERVFAIL")
      server.reply = () => "SERVFAIL"
      assert.strictEqual(yield* codeOf(resolver, "broken.test"), "ESERVFAIL")
      const { entries } = yield* resolver.snapshot
      assert.deepStrictEqual(
        entries.map(({ code, host }) => [host, code]),
        [
          ["gone.test", "ENOTFOUND"],
          ["empty.test", "ENODATA"]
        ]
      )
    })
  )

  it.effect("when the servers break, the last answer is given on", () =>
    Effect.gen(function* () {
      const server = yield* nameServer((type) => (type === "A" ? { ttl: 5, addresses: ["10.0.0.1"] } : "NODATA"))
      const resolver = yield* NameResolver.make({ source: { servers: [server.address] } })
      yield* resolver.resolve("a.test")
      server.reply = () => "SERVFAIL"
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* first(resolver), "10.0.0.1")
      assert.propertyVal((yield* resolver.snapshot).entries[0], "state", "stale")
    })
  )

  it.live("a server that is silent is given up in time", () =>
    Effect.gen(function* () {
      const server = yield* nameServer(() => "silence")
      const resolver = yield* NameResolver.make({ source: { servers: [server.address] }, timeout: "300 millis" })
      assert.strictEqual(yield* codeOf(resolver), "ETIMEOUT")
      assert.include(server.questions, "A a.test")
    })
  )

  it.live("localhost is this machine, and is no server's business", () =>
    Effect.gen(function* () {
      const server = yield* nameServer(() => ({ ttl: 60, addresses: ["10.6.6.6"] }))
      const resolver = yield* NameResolver.make({ source: { servers: [server.address] } })
      for (const name of ["localhost", "api.localhost", "LOCALHOST."]) {
        const addresses = yield* resolver.resolve(name)
        assert.deepStrictEqual(
          addresses.map(({ address }) => address),
          ["127.0.0.1", "::1"]
        )
      }
      assert.deepStrictEqual(server.questions, [])
    })
  )
})

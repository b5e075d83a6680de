import {
  Config,
  ConfigProvider,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  FileSystem,
  Layer,
  Logger,
  PlatformError,
  Queue,
  Scope,
  Stream
} from "effect"
import { TestClock } from "effect/testing"
import { assert, describe, it } from "@effect/vitest"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as PolicySource from "../src/PolicySource.ts"
import type * as Transport from "../src/Transport.ts"
import * as Upstream from "../src/Upstream.ts"

const fromEnv = (env: Readonly<Record<string, string>>) => ConfigProvider.fromEnv({ env })

const found = (provider: ConfigProvider.ConfigProvider, name = "payments", declared?: PolicySource.Declared) =>
  Effect.map(PolicySource.config(name, declared).parse(provider), HttpPolicy.describe)

const refusal = (provider: ConfigProvider.ConfigProvider) =>
  Effect.map(Effect.flip(found(provider)), ({ message }) => message)

const asCode = (options: HttpPolicy.Options) => HttpPolicy.describe(HttpPolicy.standard(options))

describe("a policy from a configuration", () => {
  it.effect("every option of the environment has its name in capitals, below the upstream's", () =>
    Effect.gen(function* () {
      const policy = yield* found(
        fromEnv({
          PAYMENTS_DEADLINE: "8 seconds",
          PAYMENTS_DEADLINE_HEADER: "x-time-left",
          PAYMENTS_RETRY_MAX_ATTEMPTS: "5",
          PAYMENTS_RETRY_BUDGET_MINIMUM_PER_SECOND: "7",
          PAYMENTS_RETRY_BACKOFF_BASE: "20 millis",
          PAYMENTS_BREAKER_TRIP_0_CONSECUTIVE_FAILURES: "4",
          PAYMENTS_BREAKER_TRIP_1_TIME_WINDOW_DURATION: "1 minute",
          PAYMENTS_BREAKER_OPEN_TIME_DOUBLING: "2 seconds",
          PAYMENTS_ATTEMPT_TIMEOUT_LIMIT: "1 second",
          PAYMENTS_BULKHEAD: "{}",
          PAYMENTS_HEDGE: "false"
        })
      )
      assert.strictEqual(
        policy,
        asCode({
          deadline: "8 seconds",
          retry: { maxAttempts: 5, budget: { minimumPerSecond: 7 }, backoff: { base: "20 millis" } },
          breaker: {
            trip: [
              { _tag: "ConsecutiveFailures", failures: 4 },
              { _tag: "TimeWindow", duration: "1 minute" }
            ],
            openTime: { doubling: "2 seconds" }
          },
          attemptTimeout: { limit: "1 second" },
          bulkhead: {}
        })
      )
    })
  )

  it.effect("an object has the names as they are in code", () =>
    Effect.gen(function* () {
      const payments = {
        preset: "aggressive",
        deadline: "2 seconds",
        retry: { maxAttempts: 2 },
        hedge: false,
        breaker: { trip: [{ consecutiveFailures: 4 }] },
        operations: { "POST /charges": { retry: false } }
      }
      const { preset: _, ...options } = payments
      const declared: HttpPolicy.Options = {
        ...options,
        deadline: "2 seconds",
        hedge: false,
        breaker: { trip: [{ _tag: "ConsecutiveFailures", failures: 4 }] },
        operations: { "POST /charges": { retry: false } }
      }
      assert.strictEqual(
        yield* found(ConfigProvider.fromUnknown({ payments })),
        HttpPolicy.describe(HttpPolicy.aggressive(declared))
      )
    })
  )

  it.effect("a stage or a whole policy may be JSON in one variable", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* found(
          fromEnv({ PAYMENTS: '{ "preset": "gentle", "throttle": false }', PAYMENTS_BASE_URL: "https://a" })
        ),
        HttpPolicy.describe(HttpPolicy.gentle({ throttle: false }))
      )
      assert.include(
        yield* found(fromEnv({ PAYMENTS_OPERATIONS: '{ "POST /charges": { "retry": false } }' })),
        "1 operation with settings of their own"
      )
      assert.include(yield* refusal(fromEnv({ PAYMENTS_BULKHEAD: "{ maxQueue" })), "PAYMENTS_BULKHEAD is not JSON: ")
      assert.include(
        yield* refusal(fromEnv({ PAYMENTS: "{}", PAYMENTS_DEADLINE: "1 second" })),
        "PAYMENTS and PAYMENTS_DEADLINE are both given; one says all of it, the other a part"
      )
    })
  )

  it.effect("what the code declares holds where the configuration says nothing, stage by stage", () =>
    Effect.gen(function* () {
      const declared = { preset: "gentle", deadline: "1 minute", attemptTimeout: "5 seconds", bulkhead: false } as const
      const { preset: _, ...options } = declared
      assert.strictEqual(
        yield* found(fromEnv({}), "payments", declared),
        HttpPolicy.describe(HttpPolicy.gentle(options))
      )
      assert.strictEqual(
        yield* found(fromEnv({ PAYMENTS_DEADLINE: "30 seconds" }), "payments", declared),
        HttpPolicy.describe(HttpPolicy.gentle({ ...options, deadline: "30 seconds" }))
      )
      assert.strictEqual(yield* found(fromEnv({})), asCode({}))
    })
  )

  it.effect("names of several words, prefixes and constantCase are those of any other Config", () =>
    Effect.gen(function* () {
      const env = fromEnv({ BILLING_API_DEADLINE: "5 seconds", SHOP_BILLING_API_DEADLINE: "6 seconds" })
      const shop = env.pipe(ConfigProvider.nested("SHOP"))
      for (const name of ["billing-api", "billingApi"]) {
        assert.strictEqual(yield* found(env, name), asCode({ deadline: "5 seconds" }))
        assert.strictEqual(yield* found(ConfigProvider.constantCase(env), name), asCode({ deadline: "5 seconds" }))
        assert.strictEqual(yield* found(shop, name), asCode({ deadline: "6 seconds" }))
      }
      const both = yield* Config.all({ payments: PolicySource.config("payments"), host: Config.String("HOST") }).parse(
        fromEnv({ HOST: "a", PAYMENTS_DEADLINE: "5 seconds" })
      )
      assert.strictEqual(HttpPolicy.describe(both.payments), asCode({ deadline: "5 seconds" }))
    })
  )

  it.effect("an error names the variable, what was got and what would be right, and tells all of them", () =>
    Effect.gen(function* () {
      const message = yield* refusal(
        fromEnv({
          PAYMENTS_RETRY_MAX_ATEMPTS: "5",
          PAYMENTS_HEGDE: "{}",
          PAYMENTS_DEADLINE: "5000",
          PAYMENTS_BREAKER_PROBES: "three"
        })
      )
      assert.strictEqual(
        message,
        "SchemaError(" +
          [
            "HttpPolicy: PAYMENTS_HEGDE is not an option; did you mean hedge?",
            "HttpPolicy: PAYMENTS_RETRY_MAX_ATEMPTS is not an option; did you mean maxAttempts?",
            'HttpPolicy: PAYMENTS_DEADLINE must be a time in words, such as "2 seconds", or false, got "5000"; if these are milliseconds, write "5 seconds"',
            'HttpPolicy: PAYMENTS_BREAKER_PROBES must be a number, got "three"'
          ].join("\n") +
          ")"
      )
      for (const [env, told] of [
        [
          { PAYMENTS_RETRY_MAX_ATTEMPTS: "0" },
          "PAYMENTS_RETRY_MAX_ATTEMPTS must be a whole number of at least 1, got 0"
        ],
        [{ PAYMENTS_BULKHEAD: '{ "maxQueue": "3" }' }, 'PAYMENTS_BULKHEAD.maxQueue must be a number, got "3"'],
        [
          { PAYMENTS_BULKHEAD: '{ "maxQueue": -1 }' },
          "PAYMENTS_BULKHEAD.maxQueue must be a whole number of at least 0, got -1"
        ],
        [{ PAYMENTS: '{ "deadlin": "5s" }' }, "PAYMENTS: deadlin is not an option; did you mean deadline?"],
        [
          { PAYMENTS_DEADLINE: "1s", PAYMENTS_ATTEMPT_TIMEOUT: "5s", PAYMENTS_BREAKER: "false" },
          "an attemptTimeout of 5s can never be reached within a deadline of 1s; make it shorter, or the deadline longer (PAYMENTS_DEADLINE, PAYMENTS_ATTEMPT_TIMEOUT)"
        ]
      ] as const) {
        assert.strictEqual(yield* refusal(fromEnv(env)), `SchemaError(HttpPolicy: ${told})`)
      }
    })
  )

  it.effect("other settings of the upstream are left alone, and their values are shown to nobody", () =>
    Effect.gen(function* () {
      const others = {
        PAYMENTS_BASE_URL: "https://a",
        PAYMENTS_API_KEY: "s3cret",
        PAYMENTS_RESET_TOKEN: "s3cret",
        PAYMENTS_PORT: "80",
        PAYMENTS_TIMEOUT: "30",
        PAYMENTS_MODE: "live",
        PAYMENTS_TOKEN: "s3cret"
      }
      assert.strictEqual(
        yield* found(fromEnv({ ...others, PAYMENTS_DEADLINE: "5 seconds" })),
        asCode({ deadline: "5 seconds" })
      )
      assert.notInclude(yield* refusal(fromEnv({ ...others, PAYMENTS_DEADLINE: "5" })), "s3cret")
    })
  )

  it.effect("what another upstream is told, of whose name this one's is the beginning, is none of its business", () =>
    Effect.gen(function* () {
      for (const other of ["EU", "US", "V2", "A", "SANDBOX", "INTERNAL", "EU_WEST", "RETRY", "DEADLINE"]) {
        for (const [option, value] of [
          ["DEADLINE", "5 seconds"],
          ["HEDGE", "false"],
          ["PRESET", "gentle"],
          ["RETRY_MAX_ATTEMPTS", "3"],
          ["BREAKER_OPEN_TIME", "5 seconds"],
          ["BULKHEAD_MODE", "observe"],
          ["BREAKER_TRIP_0_CONSECUTIVE_FAILURES", "4"],
          ["OPERATIONS", '{ "GET /a": { "hedge": false } }']
        ] as const) {
          const name = `PAYMENTS_${other}_${option}`
          assert.strictEqual(yield* found(fromEnv({ [name]: value })), asCode({}), name)
        }
      }
      assert.strictEqual(yield* found(fromEnv({ PAYMENTS_EU_RETRY_MAX_ATEMPTS: "3" })), asCode({}), "nor its slips")
    })
  )

  it.effect("a slip that can only be meant for this one is still told", () =>
    Effect.gen(function* () {
      for (const [name, meant] of [
        ["DEADLIN", "deadline"],
        ["DEAD_LINE", "deadline"],
        ["RATE_LIMITS_LIMIT", "rateLimit"],
        ["ATEMPT_TIMEOUT", "attemptTimeout"],
        ["BULKHED_MODE", "bulkhead"],
        ["RETRY_MAX_ATEMPTS", "maxAttempts"],
        ["BREAKER_OPENTIME", "openTime"],
        ["CALL_TIMEOUT", "deadline"],
        ["MAX_ATTEMPTS", "retry.maxAttempts"],
        ["MAX_RETRIES", "retry.maxAttempts"],
        ["RETRY_MAX_RETRIES", "maxAttempts"]
      ] as const) {
        const message = yield* refusal(fromEnv({ [`PAYMENTS_${name}`]: "5 seconds" }))
        assert.include(message, `PAYMENTS_${name} is not an option; did you mean ${meant}`)
      }
    })
  )

  it.effect("a source that fails, fails as itself", () =>
    Effect.gen(function* () {
      const broken = ConfigProvider.make(() =>
        Effect.fail(new ConfigProvider.SourceError({ message: "vault is sealed" }))
      )
      assert.include(yield* refusal(broken), "vault is sealed")
    })
  )
})

/** A file system of one file, whose text is what the variable says. */
const oneFile = (content: { text: string | undefined; reads: number }) =>
  FileSystem.layerNoop({
    readFileString: (path) =>
      Effect.suspend(() => {
        content.reads++
        return content.text === undefined
          ? Effect.fail(
              PlatformError.systemError({
                _tag: "NotFound",
                module: "FileSystem",
                method: "readFileString",
                pathOrDescriptor: path
              })
            )
          : Effect.succeed(content.text)
      })
  })

const logged = (lines: Array<string>) =>
  Logger.layer([Logger.make(({ logLevel, message }) => void lines.push(`${logLevel}: ${String(message)}`))])

const { hang, json, status } = ScriptedTransport

const following = Effect.fn(function* (upstream: Upstream.Upstream) {
  const policies = yield* Queue.unbounded<unknown>()
  const changes = yield* Queue.unbounded<PolicySource.Change>()
  yield* PolicySource.follow(upstream, Stream.fromQueue(policies)).pipe(
    Stream.runForEach((change) => Queue.offer(changes, change)),
    Effect.forkScoped
  )
  return (policy: unknown) => Effect.andThen(Queue.offer(policies, policy), Queue.take(changes))
})

const breaking = { trip: [{ consecutiveFailures: 1 }], openTime: "1 minute" }

describe("a policy that changes while the program runs", () => {
  const quiet = Logger.layer([])

  it.effect("a good one is put in force, a bad one changes nothing and is told with all that is wrong", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const stock = yield* Upstream.make("stock", { baseUrl: "https://stock.internal" })
      const give = yield* following(stock)
      const first = yield* give('{ "deadline": "2 seconds", "retry": false, "breaker": false }')
      assert.strictEqual(first._tag, "Applied")
      assert.strictEqual(HttpPolicy.describe(stock.policy), "deadline 2s → attempt timeout 2s")
      for (const bad of ['{ "deadlin": "1 second" }', { retry: { maxAttempts: 0 } }, "no JSON", undefined, 5]) {
        const change = yield* give(bad)
        assert.strictEqual(change._tag, "Rejected")
        assert.strictEqual(HttpPolicy.describe(stock.policy), "deadline 2s → attempt timeout 2s")
      }
      const last = yield* give({ preset: "none", bulkhead: {} })
      assert.deepInclude(last, {
        _tag: "Applied",
        upstream: "stock",
        warnings: ["nothing bounds a call but its caller's own deadline"]
      })
      assert.deepStrictEqual(lines.slice(0, 2), [
        "Info: stock has a new policy: deadline 2s → attempt timeout 2s",
        "Warn: stock keeps its policy; the new one is not right\nHttpPolicy: deadlin is not an option; did you mean deadline?"
      ])
      assert.strictEqual(
        lines.at(-1),
        "Warn: the new policy of stock: nothing bounds a call but its caller's own deadline"
      )
    }).pipe(Effect.provide([ScriptedTransport.layer({}), logged(lines)]), Effect.scoped)
  })

  it.effect("calls in flight end with the policy that they began with, and the next ones have the new one", () =>
    Effect.gen(function* () {
      const stock = yield* Upstream.make("stock", {
        baseUrl: "https://stock.internal",
        policy: HttpPolicy.make({ attemptTimeout: "10 seconds" })
      })
      const give = yield* following(stock)
      const before = yield* Effect.forkChild(
        Effect.flip(Effect.timed(stock.get("/a")).pipe(Effect.mapError((error) => error.elapsed)))
      )
      yield* TestClock.adjust("1 second")
      yield* give({ preset: "none", attemptTimeout: "2 seconds" })
      const after = yield* Effect.forkChild(Effect.flip(stock.get("/a")))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual((yield* Fiber.join(after)).elapsed, Duration.seconds(2))
      assert.isUndefined(before.pollUnsafe())
      yield* TestClock.adjust("7 seconds")
      assert.deepStrictEqual(yield* Fiber.join(before), Duration.seconds(10))
    }).pipe(Effect.provide([ScriptedTransport.layer({ "*": [hang] }), quiet]), Effect.scoped)
  )

  it.effect(
    "an open circuit, what the budget has spent and learned latencies stay, whatever options change and however these are written",
    () =>
      Effect.gen(function* () {
        const policy = {
          preset: "none",
          deadline: "1 minute",
          retry: { budget: { ttl: "1 minute" } },
          breaker: breaking,
          attemptTimeout: { limit: "2 seconds" }
        }
        const stock = yield* Upstream.make("stock", {
          baseUrl: "https://stock.internal",
          policy: HttpPolicy.make({
            deadline: "1 minute",
            retry: { budget: { ttl: 60_000 } },
            breaker: { trip: [{ _tag: "ConsecutiveFailures", failures: 1 }], openTime: Duration.minutes(1) },
            attemptTimeout: { limit: "2000 millis" }
          })
        })
        const give = yield* following(stock)
        yield* stock.get("/good")
        const bad = yield* Effect.forkChild(Effect.flip(stock.get("/bad")))
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(bad)
        const state = Effect.map(stock.snapshot, ({ budget, endpoints: [endpoint] }) => ({
          granted: budget?.granted,
          circuit: endpoint?.breaker?.state,
          samples: endpoint?.attemptTimeout?.samples
        }))
        const learned = yield* state
        const { budget } = stock.stages
        assert.deepInclude(learned, { circuit: "Open" })
        assert.isAbove(learned.samples ?? 0, 0)

        yield* give({ ...policy, deadline: "50 seconds", bulkhead: {} })
        assert.deepStrictEqual(yield* state, learned)
        assert.isDefined(budget)
        assert.strictEqual(stock.stages.budget, budget)
        assert.strictEqual((yield* Effect.flip(stock.get("/good"))).reason._tag, "CircuitOpen")

        yield* give({ ...policy, breaker: { ...breaking, openTime: { doubling: "1 minute" } } })
        assert.deepStrictEqual(yield* state, learned)
        yield* give({ ...policy, attemptTimeout: { limit: "2 seconds", factor: 3 } })
        assert.deepInclude(yield* state, { samples: learned.samples })
      }).pipe(
        Effect.provide([ScriptedTransport.layer({ "GET /good": [json({})], "GET /bad": [status(503)] }), quiet]),
        Effect.scoped
      )
  )

  it.effect("the same preset again leaves an open circuit open", () =>
    Effect.gen(function* () {
      for (const preset of ["standard", "aggressive", "gentle"] as const) {
        const stock = yield* Upstream.make("stock", { baseUrl: "https://stock.internal", policy: HttpPolicy[preset]() })
        const give = yield* following(stock)
        yield* stock.stages.breaker?.forceOpen ?? Effect.void
        const breaker = stock.stages.breaker
        yield* give({ preset })
        assert.strictEqual(stock.stages.breaker, breaker, preset)
        assert.isDefined(breaker)
      }
    }).pipe(Effect.provide([ScriptedTransport.layer({}), quiet]), Effect.scoped)
  )

  it.effect("a logger that throws ends nothing", () => {
    const throwing = Logger.layer([
      Logger.make(() => {
        throw new Error("the logger is broken")
      })
    ])
    return Effect.gen(function* () {
      const stock = yield* Upstream.make("stock", { baseUrl: "https://stock.internal" })
      const changes = yield* Stream.runCollect(
        PolicySource.follow(stock, Stream.make({ deadline: "2 seconds" }, { deadline: 5 }, { preset: "none" }))
      )
      assert.deepStrictEqual(
        changes.map(({ _tag }) => _tag),
        ["Applied", "Rejected", "Applied"]
      )
    }).pipe(Effect.provide([ScriptedTransport.layer({}), throwing]), Effect.scoped)
  })

  it.effect("a source that fails fails the following, and the policy stays", () =>
    Effect.gen(function* () {
      const stock = yield* Upstream.make("stock", { baseUrl: "https://stock.internal" })
      const source = Stream.concat(
        Stream.make<ReadonlyArray<unknown>>({ deadline: "1 second" }),
        Stream.fail("the watch ended" as const)
      )
      const exit = yield* Effect.exit(Stream.runDrain(PolicySource.follow(stock, source)))
      assert.deepStrictEqual(exit, Exit.fail("the watch ended"))
      assert.strictEqual(stock.policy.call.deadline && Duration.format(stock.policy.call.deadline), "1s")
    }).pipe(Effect.provide([ScriptedTransport.layer({}), quiet]), Effect.scoped)
  )
})

describe("a file", () => {
  it.effect("gives its text at once, and again when it has changed, as often as it is asked to look", () => {
    const content = { text: "one" as string | undefined, reads: 0 }
    const lines: Array<string> = []
    const seen: Array<string> = []
    return Effect.gen(function* () {
      const read = PolicySource.file("/etc/shop/stock.json", { every: "5 seconds" })
      const fiber = yield* Effect.forkChild(Stream.runForEach(read, (text) => Effect.sync(() => seen.push(text))))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual([seen, content.reads], [["one"], 1])
      content.text = "two"
      yield* TestClock.adjust("4999 millis")
      assert.deepStrictEqual([seen, content.reads], [["one"], 1])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(seen, ["one", "two"])
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual([seen, content.reads], [["one", "two"], 6])

      content.text = undefined
      yield* TestClock.adjust("20 seconds")
      assert.lengthOf(lines, 1)
      assert.match(lines[0] ?? "", /^Warn: \/etc\/shop\/stock\.json cannot be read: NotFound/)
      content.text = "two"
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(seen, ["one", "two"])
      content.text = undefined
      yield* TestClock.adjust("5 seconds")
      content.text = "three"
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual([seen, lines.length], [["one", "two", "three"], 2])
      yield* Fiber.interrupt(fiber)
      const { reads } = content
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(content.reads, reads)
    }).pipe(Effect.provide([oneFile(content), logged(lines)]))
  })

  it.effect("is read on, whatever a read dies of, and whatever a logger does when it is told", () => {
    const seen: Array<string> = []
    let reads = 0
    const files = FileSystem.layerNoop({
      readFileString: () =>
        Effect.suspend(() => (++reads < 3 ? Effect.die(new Error("no disk")) : Effect.succeed("two")))
    })
    const lines: Array<string> = []
    const throwing = Logger.layer([
      Logger.make(({ message }) => {
        lines.push(String(message))
        throw new Error("the logger is broken")
      })
    ])
    return Effect.gen(function* () {
      yield* Effect.forkChild(
        Stream.runForEach(PolicySource.file("/stock.json"), (text) => Effect.sync(() => seen.push(text)))
      )
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(seen, ["two"])
      assert.deepStrictEqual(lines, ["/stock.json cannot be read: Error: no disk"])
    }).pipe(Effect.provide([files, throwing]))
  })

  it.effect("whose reading is interrupted is not said to be unreadable", () => {
    const lines: Array<string> = []
    const files = FileSystem.layerNoop({ readFileString: () => Effect.never })
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Stream.runDrain(PolicySource.file("/stock.json")))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(lines, [])
    }).pipe(Effect.provide([files, logged(lines)]))
  })

  it.effect("that cannot be read is told by its path once, with the directory that it is relative to", () => {
    const lines: Array<string> = []
    const files = FileSystem.layerNoop({ realPath: (path) => Effect.succeed(path === "." ? "/srv/shop" : path) })
    return Effect.gen(function* () {
      for (const path of ["/etc/stock.json", "C:\\stock.json", "stock.json"]) {
        yield* Effect.forkChild(Stream.runDrain(PolicySource.file(path)))
        yield* TestClock.adjust("1 second")
      }
      assert.deepStrictEqual(lines, [
        "Warn: /etc/stock.json cannot be read: NotFound: No such file or directory",
        "Warn: C:\\stock.json cannot be read: NotFound: No such file or directory",
        "Warn: stock.json cannot be read: NotFound: No such file or directory; the working directory is /srv/shop"
      ])
      const error = yield* Effect.flip(Effect.scoped(Layer.build(PolicySource.layer("policies.json"))))
      assert.strictEqual(
        error.message,
        "policies.json: cannot be read: NotFound: No such file or directory; the working directory is /srv/shop"
      )
    }).pipe(Effect.provide([files, logged(lines)]))
  })

  it.effect("that is followed changes how a living upstream is called", () => {
    const content = { text: "{}" as string | undefined, reads: 0 }
    return Effect.gen(function* () {
      const stock = yield* Upstream.make("stock", { baseUrl: "https://stock.internal" })
      const applied = yield* Deferred.make<PolicySource.Change>()
      yield* PolicySource.follow(stock, PolicySource.file("/stock.json")).pipe(
        Stream.drop(1),
        Stream.runForEach((change) => Deferred.succeed(applied, change)),
        Effect.forkScoped
      )
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(HttpPolicy.describe(stock.policy), asCode({}))
      content.text = '{ "retry": false }'
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Deferred.await(applied))._tag, "Applied")
      assert.strictEqual(HttpPolicy.describe(stock.policy), asCode({ retry: false }))
    }).pipe(
      Effect.provide(Layer.mergeAll(oneFile(content), ScriptedTransport.layer({}), Logger.layer([]))),
      Effect.scoped
    )
  })

  it("an interval that is not longer than zero is refused", () => {
    assert.throws(
      () => PolicySource.file("/a", { every: 0 }),
      RangeError,
      "PolicySource: every must be longer than zero, got 0"
    )
  })
})

describe("a file of several upstreams", () => {
  const path = "/etc/shop/policies.json"

  class Payments extends Upstream.Service<Payments>()("payments", {
    baseUrl: "https://payments.internal",
    policy: HttpPolicy.standard({ deadline: "10 seconds", retry: { maxAttempts: 4 }, bulkhead: { maxConcurrent: 3 } })
  }) {}
  class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}

  const both = Layer.mergeAll(Payments.layer, Stock.layer)

  const file = (upstreams: { readonly [name: string]: unknown }) => JSON.stringify({ upstreams })

  /** Runs with a file that can be written anew, and the lines that are logged. */
  const withFile = <A, E>(
    first: string,
    run: (given: {
      readonly write: (text: string | undefined) => Effect.Effect<void>
      readonly lines: Array<string>
    }) => Effect.Effect<A, E, Payments | Stock>,
    upstreams: Layer.Layer<Payments | Stock, never, Transport.Transport> = both
  ) => {
    const content: { text: string | undefined; reads: number } = { text: first, reads: 0 }
    const lines: Array<string> = []
    const write = (text: string | undefined) =>
      Effect.andThen(
        Effect.sync(() => (content.text = text)),
        TestClock.adjust("10 seconds")
      )
    const policies = PolicySource.layer(path).pipe(Layer.provide(oneFile(content)))
    return run({ write, lines }).pipe(
      Effect.provide(
        upstreams.pipe(Layer.provide([policies, ScriptedTransport.layer({})]), Layer.provideMerge(logged(lines)))
      )
    )
  }

  const standard = (options: HttpPolicy.Options) => HttpPolicy.describe(HttpPolicy.standard(options))
  const code: HttpPolicy.Options = { deadline: "10 seconds", retry: { maxAttempts: 4 }, bulkhead: { maxConcurrent: 3 } }

  it.effect("is in force before the first call, stage by stage over the code, and the preset is the file's", () =>
    withFile(
      file({ payments: { deadline: "2s", bulkhead: false }, stock: { preset: "gentle", retry: false } }),
      ({ lines }) =>
        Effect.gen(function* () {
          const [payments, stock] = [yield* Payments, yield* Stock]
          // the deadline that is new leaves each attempt another share of it, as in code
          assert.strictEqual(
            HttpPolicy.describe(payments.policy),
            standard({ ...code, deadline: "2s", bulkhead: false })
          )
          assert.strictEqual(
            HttpPolicy.describe(stock.policy),
            HttpPolicy.describe(HttpPolicy.gentle({ retry: false }))
          )
          assert.lengthOf(
            lines.filter((line) => / has a new policy: /.test(line)),
            2
          )
        })
    )
  )

  it.effect("the environment wins over the file, the file over the code, and what is said in vain is told", () => {
    const environment = ConfigProvider.fromEnv({ env: { PAYMENTS_DEADLINE: "7s", PAYMENTS_HEDGE: "{}" } })
    const fromEnvironment = Payments.layerEffect(
      Effect.map(PolicySource.config("payments", code).parse(environment), (policy) => ({ policy }))
    ).pipe(Layer.orDie)
    return withFile(
      file({ payments: { deadline: "2s", retry: { maxAttempts: 2 } } }),
      ({ lines, write }) =>
        Effect.gen(function* () {
          const { policy } = yield* Payments
          assert.strictEqual(
            HttpPolicy.describe(policy),
            standard({ ...code, deadline: "7s", hedge: {}, retry: { maxAttempts: 2 } })
          )
          const told = "Warn: the new policy of payments: the environment says deadline as well, and wins over the file"
          assert.include(lines, told)
          yield* write(file({}))
          assert.strictEqual(
            HttpPolicy.describe((yield* Payments).policy),
            standard({ ...code, deadline: "7s", hedge: {} })
          )
        }),
      Layer.mergeAll(fromEnvironment, Stock.layer)
    )
  })

  it.effect("only what has changed is put in force, and told", () =>
    withFile(file({ payments: { deadline: "50s" }, stock: { deadline: "50s" } }), ({ lines, write }) =>
      Effect.gen(function* () {
        const [payments, stock] = [yield* Payments, yield* Stock]
        const before = payments.policy
        lines.length = 0
        // the same in other words, with a blank more
        yield* write(` ${file({ stock: { deadline: "40s" }, payments: { deadline: "50000 millis" } })}`)
        assert.strictEqual(payments.policy, before)
        assert.strictEqual(HttpPolicy.describe(stock.policy), standard({ deadline: "40s" }))
        assert.deepStrictEqual(lines, [`Info: stock has a new policy: ${standard({ deadline: "40s" })}`])
        yield* write(file({ payments: { deadline: "50s" } }))
        assert.strictEqual(HttpPolicy.describe(stock.policy), standard({}))
        assert.lengthOf(lines, 2)
      })
    )
  )

  it.effect("one that is half written, gone or of another shape leaves everything as it is, and is told once", () =>
    withFile(file({ payments: { deadline: "5s" } }), ({ lines, write }) =>
      Effect.gen(function* () {
        const payments = yield* Payments
        const before = HttpPolicy.describe(payments.policy)
        lines.length = 0
        for (const text of ['{ "upstreams": { "payments": { "dead', "", undefined, '{ "upstream": {} }', "[]"]) {
          yield* write(text)
          yield* write(text)
          assert.strictEqual(HttpPolicy.describe(payments.policy), before)
        }
        assert.lengthOf(lines, 5)
        assert.match(
          lines[0] ?? "",
          /^Warn: \/etc\/shop\/policies\.json is not right, and all keep their policies\nHttpPolicy: not JSON/
        )
        assert.match(lines[2] ?? "", /^Warn: \/etc\/shop\/policies\.json cannot be read: NotFound/)
        assert.include(lines[3] ?? "", "HttpPolicy: upstream is not an option; did you mean upstreams?")
        assert.include(lines[4] ?? "", 'HttpPolicy: a file of policies must be { "upstreams": {…} }, got []')
        yield* write(file({ payments: { deadline: "6s" } }))
        assert.strictEqual(HttpPolicy.describe(payments.policy), standard({ ...code, deadline: "6s" }))
      })
    )
  )

  it.effect("an upstream whose policy is wrong keeps its last good one, and the others have theirs", () =>
    withFile(file({ payments: { deadline: "5s" } }), ({ lines, write }) =>
      Effect.gen(function* () {
        const [payments, stock] = [yield* Payments, yield* Stock]
        const good = standard({ ...code, deadline: "5s" })
        lines.length = 0
        const wrong = { deadlin: "4s" }
        yield* write(file({ payments: wrong, stock: { deadline: "4s" } }))
        yield* write(file({ payments: wrong, stock: { deadline: "3s" } }))
        assert.strictEqual(HttpPolicy.describe(payments.policy), good)
        assert.strictEqual(HttpPolicy.describe(stock.policy), standard({ deadline: "3s" }))
        const told =
          "Warn: payments keeps its policy; the new one is not right\nHttpPolicy: deadlin is not an option; did you mean deadline?"
        assert.strictEqual(lines.filter((line) => line === told).length, 1)

        // one that only contradicts what the code says is found out with the code
        yield* write(file({ payments: { attemptTimeout: "11s" } }))
        assert.strictEqual(HttpPolicy.describe(payments.policy), good)
        const contradiction = "an attemptTimeout of 11s can never be reached within a deadline of 10s"
        assert.lengthOf(
          lines.filter((line) => line.startsWith("Warn: payments keeps its policy") && line.includes(contradiction)),
          1
        )
      })
    )
  )

  it.effect("an upstream that is built while its policy is wrong has the last good one", () => {
    const content = { text: file({ late: { deadline: "5s" } }) as string | undefined, reads: 0 }
    return Effect.gen(function* () {
      content.text = file({ late: { deadline: 5 } })
      yield* TestClock.adjust("10 seconds")
      const late = yield* Upstream.make("late", { baseUrl: "https://late.internal" })
      assert.strictEqual(HttpPolicy.describe(late.policy), standard({ deadline: "5s" }))
    }).pipe(
      Effect.scoped,
      Effect.provide([PolicySource.layer(path).pipe(Layer.provide(oneFile(content))), ScriptedTransport.layer({})]),
      Effect.provide(Logger.layer([]))
    )
  })

  it.effect("an upstream that is built while the file contradicts its code has what was last in force", () => {
    const content = { text: file({ payments: { deadline: "5s" } }) as string | undefined, reads: 0 }
    const payments = Upstream.make("payments", {
      baseUrl: "https://payments.internal",
      policy: HttpPolicy.standard(code)
    })
    const built = Effect.scoped(Effect.map(payments, ({ policy }) => HttpPolicy.describe(policy)))
    const good = standard({ ...code, deadline: "5s" })
    const lines: Array<string> = []
    return Effect.gen(function* () {
      assert.strictEqual(yield* built, good)
      content.text = file({ payments: { attemptTimeout: "11s" } })
      yield* TestClock.adjust("10 seconds")
      lines.length = 0
      for (let again = 0; again < 2; again++) assert.strictEqual(yield* built, good)
      assert.lengthOf(
        lines.filter((line) => line.startsWith("Warn: payments keeps its policy")),
        2
      )
      // one that was read and never tried is as good, if it can be put in force
      content.text = file({ payments: { deadline: "4s" } })
      yield* TestClock.adjust("10 seconds")
      content.text = file({ payments: { deadlin: "3s" } })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* built, standard({ ...code, deadline: "4s" }))
      content.text = file({})
      yield* TestClock.adjust("10 seconds")
      content.text = file({ payments: { attemptTimeout: "11s" } })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* built, standard(code), "what the file has taken back is no more")
    }).pipe(
      Effect.scoped,
      Effect.provide([PolicySource.layer(path).pipe(Layer.provide(oneFile(content))), ScriptedTransport.layer({})]),
      Effect.provide(logged(lines))
    )
  })

  it.effect("is followed on, whatever a round dies of: a logger, a read, a reload", () => {
    const content = { text: file({}) as string | undefined, reads: 0 }
    let [isReadBroken, isLoggerBroken, isReloadBroken] = [false, false, false]
    const lines: Array<string> = []
    const logger = Logger.layer([
      Logger.make(({ logLevel, message }) => {
        if (isLoggerBroken) throw new Error("the logger is broken")
        lines.push(`${logLevel}: ${String(message)}`)
      })
    ])
    const files = FileSystem.layerNoop({
      readFileString: () =>
        Effect.sync(() => {
          if (isReadBroken) throw new Error("no disk")
          return content.text ?? ""
        })
    })
    const deadlines: { [name: string]: string | undefined } = {}
    const reloadable = (name: string, isBroken: () => boolean): PolicySource.Reloadable => ({
      name,
      policy: HttpPolicy.standard(),
      reload: ({ call: { deadline } }) =>
        Effect.sync(() => {
          if (isBroken()) throw new Error("no reload")
          deadlines[name] = deadline && Duration.format(deadline)
        })
    })
    const say = (deadline: string) =>
      Effect.suspend(() => {
        content.text = file({ first: { deadline }, second: { deadline } })
        return TestClock.adjust("10 seconds")
      })
    return Effect.gen(function* () {
      const { adopt } = yield* PolicySource.Current
      yield* adopt(reloadable("first", () => isReloadBroken))
      yield* adopt(reloadable("second", () => false))
      isLoggerBroken = true
      yield* say("1s")
      assert.deepStrictEqual(deadlines, { first: "1s", second: "1s" })
      content.text = "not JSON"
      yield* TestClock.adjust("10 seconds")
      isLoggerBroken = false
      isReadBroken = true
      yield* say("2s")
      isReadBroken = false
      assert.deepStrictEqual(lines, [`Warn: ${path} cannot be read: Error: no disk`])
      isReloadBroken = true
      yield* say("3s")
      assert.deepStrictEqual(deadlines, { first: "1s", second: "3s" })
      assert.include(lines, `Error: ${path}: the policy of first failed, and is tried again at the next reading`)
      isReloadBroken = false
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(deadlines, { first: "3s", second: "3s" })
    }).pipe(
      Effect.scoped,
      Effect.provide(PolicySource.layer(path).pipe(Layer.provide(files), Layer.provideMerge(logger)))
    )
  })

  it.effect("that no upstream was built with is told once: at the second reading, or when the layer is released", () =>
    Effect.gen(function* () {
      const told =
        `Warn: ${path} says something of payments, stock, and no upstream has been built with it; ` +
        "PolicySource.layer stands below the upstreams: upstreams.pipe(Layer.provide(PolicySource.layer(path)))"
      for (const wait of ["0 seconds", "10 seconds", "1 minute"] as const) {
        const lines: Array<string> = []
        const policies = PolicySource.layer(path).pipe(
          Layer.provide(oneFile({ text: file({ payments: { deadline: "5s" }, stock: {} }), reads: 0 }))
        )
        yield* TestClock.adjust(wait).pipe(
          Effect.andThen(Effect.sync(() => assert.lengthOf(lines, wait === "0 seconds" ? 0 : 1))),
          // beside the upstreams
          Effect.provide(
            Layer.mergeAll(both, policies).pipe(
              Layer.provide(ScriptedTransport.layer({})),
              Layer.provideMerge(logged(lines))
            )
          )
        )
        assert.deepStrictEqual(lines, [told], wait)
      }
      const many = Object.fromEntries(Array.from({ length: 7 }, (_, index) => [`u${index}`, {}]))
      for (const [upstreams, names] of [
        [{}, undefined],
        [many, "u0, u1, u2, u3, u4 and 2 more"]
      ] as const) {
        const lines: Array<string> = []
        const content = { text: file(upstreams), reads: 0 }
        yield* Layer.build(PolicySource.layer(path)).pipe(
          Effect.scoped,
          Effect.provide([oneFile(content), logged(lines)])
        )
        assert.lengthOf(lines, names === undefined ? 0 : 1)
        if (names !== undefined) assert.include(lines[0], `says something of ${names}, and no upstream`)
      }
    })
  )

  it.effect("what it says of an upstream that nobody has is told once, with the one that was meant", () =>
    withFile(file({ payment: { deadline: "5s" }, stock: {}, warehouse: {} }), ({ lines, write }) =>
      Effect.gen(function* () {
        yield* Payments
        assert.deepStrictEqual(lines, [])
        yield* TestClock.adjust("1 minute")
        yield* write(file({ payment: { deadline: "6s" } }))
        assert.deepStrictEqual(lines, [
          `Warn: ${path} says something of payment, and no upstream of this name has been built; did you mean payments?`,
          `Warn: ${path} says something of warehouse, and no upstream of this name has been built`
        ])
      })
    )
  )

  it.effect("an upstream that is no more is left alone, and so is the file when the layer is gone", () => {
    const content = { text: file({ stock: { deadline: "5s" } }) as string | undefined, reads: 0 }
    return Effect.gen(function* () {
      const scope = yield* Scope.make()
      const stock = yield* Upstream.make("stock", { baseUrl: "https://stock.internal" }).pipe(
        Effect.provideService(Scope.Scope, scope)
      )
      yield* Scope.close(scope, Exit.void)
      content.text = file({ stock: { deadline: "4s" } })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(HttpPolicy.describe(stock.policy), standard({ deadline: "5s" }))
    }).pipe(
      Effect.provide([PolicySource.layer(path).pipe(Layer.provide(oneFile(content))), ScriptedTransport.layer({})]),
      Effect.provide(Logger.layer([])),
      Effect.andThen(
        Effect.gen(function* () {
          const { reads } = content
          yield* TestClock.adjust("1 minute")
          assert.strictEqual(content.reads, reads)
        })
      )
    )
  })

  it.effect("one that agrees with the code alone, and not with its preset, is right", () =>
    withFile(
      file({ payments: { preset: "standard", attemptTimeout: "40s" } }),
      () =>
        Effect.gen(function* () {
          const { policy } = yield* Payments
          const options: HttpPolicy.Options = { deadline: "1 minute", attemptTimeout: "40s" }
          assert.strictEqual(HttpPolicy.describe(policy), standard(options))
        }),
      Layer.mergeAll(
        Payments.layerEffect(Effect.succeed({ policy: HttpPolicy.standard({ deadline: "1 minute" }) })),
        Stock.layer
      )
    )
  )

  it.effect("one that is not right when the program starts is an error, with all that is wrong", () =>
    Effect.gen(function* () {
      const failure = (text: string | undefined) =>
        Layer.build(PolicySource.layer(path).pipe(Layer.provide(oneFile({ text, reads: 0 })))).pipe(
          Effect.scoped,
          Effect.flip
        )
      const error = yield* failure(
        file({
          payments: { deadlin: "5s" },
          stock: { retry: { maxAttempts: 0 }, bulkhead: { maxQueue: "3" } },
          good: {}
        })
      )
      assert.instanceOf(error, PolicySource.PolicyFileError)
      assert.strictEqual(error.path, path)
      assert.deepStrictEqual(error.problems, [
        "payments: deadlin is not an option; did you mean deadline?",
        'stock: bulkhead.maxQueue must be a number, got "3"'
      ])
      assert.strictEqual(
        (yield* failure(file({ stock: { retry: { maxAttempts: 0 } } }))).message,
        `${path}: stock: retry.maxAttempts must be a whole number of at least 1, got 0`
      )
      assert.deepStrictEqual(
        (yield* failure(file({ a: { hedge: { delay: "20s" }, attemptTimeout: "1s" } }))).problems,
        ["a: a hedge after 20s can never be sent: an attempt is over after 1s"]
      )
      assert.match((yield* failure(undefined)).message, /^\/etc\/shop\/policies\.json: cannot be read: NotFound/)
      assert.match((yield* failure("{")).message, /^\/etc\/shop\/policies\.json: not JSON/)
    })
  )
})

import { Arbitrary, Clock, Effect, Exit, Fiber, Random, Schema, Tracer } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Deadline from "@holdfast/core/Deadline"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import type * as Upstream from "../src/Upstream.ts"
import { fork, forkAll, sent, stage, upstream } from "./support/stock.ts"

const { after, hang, json, refused, reset, status, truncated } = ScriptedTransport

const ok = status(200)

const inOneSecond = after("1 second", ok)

const reasonOf = (api: Upstream.Upstream, path = "/a") =>
  Effect.map(Effect.flip(api.get(path)), ({ reason }) => reason._tag)

const chance = (value: number) =>
  Effect.provideService(Random.Random, { nextDoubleUnsafe: () => value, nextIntUnsafe: () => 7 })

/** Opens on the first failure, for as long as a test lasts. */
const opensAtOnce: CircuitBreaker.Options = {
  trip: [CircuitBreaker.consecutiveFailures(1)],
  openTime: "1 hour",
  maxOpenTime: "1 hour"
}

describe("the order of the stages", () => {
  it.effect("an open circuit refuses before the throttle, the bulkhead's queue and the adaptive limit are asked", () =>
    upstream(
      { "GET /bad": [status(503)], "*": [hang] },
      {
        breaker: opensAtOnce,
        throttle: { multiplier: 1, minimumPerSecond: 0, minimumRequests: 1 },
        bulkhead: { maxConcurrent: 1, maxQueue: 1 },
        adaptiveConcurrency: { initialLimit: 1, minimumLimit: 1 }
      }
    )((api) =>
      Effect.gen(function* () {
        yield* fork(api.get("/a"))
        yield* stage(api.stages.breaker).forceOpen
        const { adaptiveConcurrency, bulkhead, throttle } = api.stages
        const others = Effect.all([
          stage(throttle).snapshot,
          stage(bulkhead).snapshot,
          stage(adaptiveConcurrency).snapshot
        ])
        const before = yield* others
        assert.strictEqual(yield* reasonOf(api), "CircuitOpen")
        assert.deepStrictEqual(yield* others, before)
      })
    )
  )

  it.effect("the throttle sheds before a call takes a place in the bulkhead's queue", () =>
    upstream(
      { "GET /bad": [status(503)], "*": [hang] },
      {
        throttle: { multiplier: 1, minimumPerSecond: 0, minimumRequests: 1 },
        bulkhead: { maxConcurrent: 1, maxQueue: 1 }
      }
    )((api) =>
      Effect.gen(function* () {
        yield* chance(1)(reasonOf(api, "/bad"))
        yield* chance(1)(fork(api.get("/a")))
        assert.strictEqual(yield* chance(0)(reasonOf(api)), "Throttled")
        assert.deepInclude(yield* stage(api.stages.bulkhead).snapshot, { queued: 0, delayed: 0 })
      })
    )
  )

  it.effect("a full bulkhead refuses before the adaptive limit is asked, and gives a probe's place back", () =>
    upstream(
      { "GET /bad": [status(503)], "*": [hang] },
      {
        breaker: { trip: [CircuitBreaker.consecutiveFailures(1)], openTime: "1 second", probes: 2 },
        bulkhead: { maxConcurrent: 1, maxQueue: 0 },
        adaptiveConcurrency: { initialLimit: 1, minimumLimit: 1 }
      }
    )((api) =>
      Effect.gen(function* () {
        yield* reasonOf(api, "/bad")
        yield* TestClock.adjust("1 second")
        yield* fork(api.get("/a"))
        assert.strictEqual(yield* reasonOf(api), "BulkheadFull")
        assert.deepInclude(yield* stage(api.stages.adaptiveConcurrency).snapshot, { refused: 0, inFlight: 1 })
        assert.deepInclude(yield* stage(api.stages.breaker).snapshot, { state: "HalfOpen", probesOut: 1, failed: 1 })
      })
    )
  )

  it.effect("the rate limit is asked before anything of the attempt, and once a call", () =>
    upstream(
      { "*": [status(503)] },
      { rateLimit: { limit: 1, window: "1 hour", onLimit: "refuse" }, breaker: {} }
    )((api) =>
      Effect.gen(function* () {
        assert.strictEqual(yield* reasonOf(api), "ServiceUnavailable")
        assert.strictEqual(yield* reasonOf(api), "RateLimited")
        assert.deepInclude(yield* stage(api.stages.breaker).snapshot, { admitted: 1, refused: 0 })
      })
    )
  )

  it.effect("an attempt's timeout begins when it is sent: its wait in the queue is not its time", () =>
    upstream(
      { "*": [after("900 millis", ok)] },
      { attemptTimeout: "1 second", bulkhead: { maxConcurrent: 1, maxQueue: 2, maxWait: "1 minute" } }
    )((api) =>
      Effect.gen(function* () {
        const calls = yield* forkAll(3, api.get("/a"))
        yield* TestClock.adjust("2700 millis")
        assert.strictEqual((yield* Effect.forEach(calls, Fiber.join)).length, 3)
      })
    )
  )

  it.effect("an attempt's wait in the queue makes it no slow call of the breaker", () =>
    upstream(
      { "*": [after("900 millis", ok)] },
      {
        breaker: {
          slowCallDuration: "1 second",
          trip: [CircuitBreaker.countWindow({ size: 3, minimumCalls: 3, slowCallRate: 0.3 })]
        },
        bulkhead: { maxConcurrent: 1, maxQueue: 2, maxWait: "1 minute" }
      }
    )((api) =>
      Effect.gen(function* () {
        yield* forkAll(3, api.get("/a"))
        yield* TestClock.adjust("2700 millis")
        const { state, windows } = yield* stage(api.stages.breaker).snapshot
        assert.deepInclude(windows[0], { calls: 3, ok: 3, slowOk: 0 })
        assert.strictEqual(state, "Closed")
      })
    )
  )

  it.effect("a retry asks every stage of the attempt anew, and holds no place while it waits for its turn", () =>
    upstream(
      { "*": [status(503), ok] },
      {
        bulkhead: { maxConcurrent: 1, maxQueue: 0 },
        retry: { backoff: { shape: "constant", base: "1 second", jitter: "none" } }
      }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a"))
        assert.deepInclude(yield* stage(api.stages.bulkhead).snapshot, { inFlight: 0 })
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(call)
        assert.deepInclude(yield* stage(api.stages.bulkhead).snapshot, { inFlight: 0, admitted: 2 })
      })
    )
  )

  it.effect("a hedge takes a place of its own", () =>
    upstream(
      { "*": [hang] },
      { bulkhead: { maxConcurrent: 2 }, hedge: { delay: "100 millis", maximumExtraLoad: 1 } }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(api.get("/a"))
        yield* TestClock.adjust("100 millis")
        assert.deepInclude(yield* stage(api.stages.bulkhead).snapshot, { inFlight: 2 })
        yield* Fiber.interrupt(call)
        assert.deepInclude(yield* stage(api.stages.bulkhead).snapshot, { inFlight: 0 })
      })
    )
  )
})

describe("spans", () => {
  const spans = <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const made: Array<Tracer.NativeSpan> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          made.push(span)
          return span
        }
      })
      yield* Effect.exit(self).pipe(Effect.provideService(Tracer.Tracer, tracer))
      return made.map(({ attributes, kind, name }) => [kind, name, attributes.get("error.type")])
    })

  it.effect("a refusal has the call's span, and none of an attempt below it", () =>
    upstream(
      { "*": [status(503)] },
      { breaker: opensAtOnce }
    )((api) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* spans(api.get("/a")), [
          ["internal", "stock GET /a", "ERR_STATUS_SERVICE_UNAVAILABLE"],
          ["client", "GET /a", "503"]
        ])
        assert.deepStrictEqual(yield* spans(api.get("/a")), [["internal", "stock GET /a", "ERR_POLICY_CIRCUIT_OPEN"]])
      })
    )
  )

  it.effect("an attempt's span begins when it leaves the queue", () =>
    upstream(
      { "*": [inOneSecond] },
      { bulkhead: { maxConcurrent: 1 } }
    )((api) =>
      Effect.gen(function* () {
        const starts: Array<number> = []
        const clock = yield* Clock.Clock
        const tracer = Tracer.make({
          span: (options) => {
            if (options.kind === "client") starts.push(clock.currentTimeMillisUnsafe())
            return new Tracer.NativeSpan(options)
          }
        })
        yield* forkAll(2, api.get("/a")).pipe(Effect.provideService(Tracer.Tracer, tracer))
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual(starts, [0, 1000])
      })
    )
  )
})

describe("modes", () => {
  /** What each stage says that it would have refused or delayed. */
  const stagesThatRefuse: ReadonlyArray<{
    readonly name: string
    readonly policy: (mode: "observe" | "off") => HttpPolicy.Options
    readonly counted: (api: Upstream.Upstream) => Effect.Effect<number> | undefined
  }> = [
    {
      name: "breaker",
      policy: (mode) => ({ breaker: { ...opensAtOnce, mode } }),
      counted: ({ stages }) => stages.breaker && Effect.map(stages.breaker.snapshot, ({ refused }) => refused)
    },
    {
      name: "throttle",
      policy: (mode) => ({ throttle: { multiplier: 1, minimumPerSecond: 0, minimumRequests: 1, mode } }),
      counted: ({ stages }) => stages.throttle && Effect.map(stages.throttle.snapshot, ({ shed }) => shed)
    },
    {
      name: "bulkhead",
      policy: (mode) => ({ bulkhead: { maxConcurrent: 1, maxQueue: 1, mode } }),
      counted: ({ stages }) =>
        stages.bulkhead && Effect.map(stages.bulkhead.snapshot, ({ delayed, refused }) => delayed + refused)
    },
    {
      name: "adaptiveConcurrency",
      policy: (mode) => ({ adaptiveConcurrency: { initialLimit: 1, minimumLimit: 1, mode } }),
      counted: ({ stages }) =>
        stages.adaptiveConcurrency && Effect.map(stages.adaptiveConcurrency.snapshot, ({ refused }) => refused)
    },
    {
      name: "rateLimit",
      policy: (mode) => ({ rateLimit: { limit: 1, window: "1 minute", mode } }),
      counted: ({ stages }) =>
        stages.rateLimit && Effect.map(stages.rateLimit.snapshot, ({ delayed, refused }) => delayed + refused)
    },
    {
      name: "singleFlight",
      policy: (mode) => ({ singleFlight: { mode } }),
      counted: ({ stages }) => stages.singleFlight && Effect.map(stages.singleFlight.snapshot, ({ joined }) => joined)
    },
    {
      name: "hedge",
      policy: (mode) => ({ hedge: { delay: "100 millis", maximumExtraLoad: 1, mode } }),
      counted: ({ stages }) => stages.hedge && Effect.map(stages.hedge.snapshot, ({ hedges }) => hedges)
    }
  ]

  /** Ten calls at once to an upstream that fails after a second, one second after one that failed. */
  const drill = (api: Upstream.Upstream) =>
    Effect.gen(function* () {
      const first = yield* fork(Effect.exit(api.get("/a")))
      yield* TestClock.adjust("1 second")
      const calls = yield* chance(0)(forkAll(10, Effect.flip(api.get("/a"))))
      assert.strictEqual(yield* sent, 11, "all are sent, each once and at once")
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isSuccess(first.pollUnsafe() ?? assert.fail("runs")))
      for (const call of calls) {
        assert.deepInclude(yield* Fiber.join(call), { attempts: 1, retryStopped: "attempts" })
      }
      assert.strictEqual(yield* sent, 11)
    })

  const failing: ScriptedTransport.Script = { "*": [after("1 second", status(503))] }

  for (const { counted, name, policy } of stagesThatRefuse) {
    it.effect(`${name} in observe refuses and delays nothing, and counts what it would have`, () =>
      upstream(
        failing,
        policy("observe")
      )((api) =>
        Effect.gen(function* () {
          yield* drill(api)
          assert.isAbove(yield* counted(api) ?? assert.fail("the stage is not there"), 0)
        })
      )
    )

    it.effect(`${name} that is off is not there`, () =>
      upstream(
        failing,
        policy("off")
      )((api) =>
        Effect.gen(function* () {
          yield* drill(api)
          assert.isUndefined(counted(api))
          assert.strictEqual(HttpPolicy.describe(api.policy), "no policy")
        })
      )
    )
  }

  it.effect("a learned attempt timeout in observe keeps to the limit that is given, and counts", () =>
    upstream(
      { "GET /slow": [inOneSecond], "*": [after("100 millis", ok)] },
      { attemptTimeout: { limit: "5 seconds", minimumSamples: 10, mode: "observe" } }
    )((api) =>
      Effect.gen(function* () {
        yield* forkAll(100, api.get("/a"))
        yield* TestClock.adjust("100 millis")
        const slow = yield* fork(api.get("/slow"))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(slow)
        assert.strictEqual((yield* stage(api.stages.attemptTimeout).snapshot).timedOut, 1)
      })
    )
  )
})

describe("what breaks", () => {
  const everything: HttpPolicy.Options = {
    breaker: { trip: [CircuitBreaker.consecutiveFailures(1)], openTime: "1 second", probes: 1 },
    throttle: {},
    bulkhead: { maxConcurrent: 1 },
    adaptiveConcurrency: { initialLimit: 1, minimumLimit: 1 },
    retry: {}
  }

  const isBack = (api: Upstream.Upstream) =>
    Effect.gen(function* () {
      assert.deepInclude(yield* stage(api.stages.bulkhead).snapshot, { inFlight: 0, queued: 0 })
      assert.deepInclude(yield* stage(api.stages.adaptiveConcurrency).snapshot, { inFlight: 0 })
      assert.deepInclude(yield* stage(api.stages.budget).snapshot, { callsInFlight: 0, retriesInFlight: 0 })
      assert.deepInclude(yield* stage(api.stages.breaker).snapshot, { probesOut: 0 })
    })

  it.effect("a classifier that throws dies as the bug that it is, and keeps no permit", () =>
    upstream({ "*": [status(503)] }, everything, {
      classify: () => {
        throw new Error("a bug of the classifier")
      }
    })((api) =>
      Effect.gen(function* () {
        for (let call = 0; call < 3; call++) assert.isTrue(Exit.hasDies(yield* Effect.exit(api.get("/a"))))
        yield* isBack(api)
      })
    )
  )

  it.effect("an attempt that dies is neither success nor failure of the upstream, and keeps no permit", () =>
    upstream(
      {},
      everything
    )((api) =>
      Effect.gen(function* () {
        assert.isTrue(Exit.hasDies(yield* Effect.exit(api.get("/a"))))
        yield* isBack(api)
        assert.deepInclude(yield* stage(api.stages.breaker).snapshot, { failed: 0, succeeded: 0, ignored: 1 })
      })
    )
  )

  it.effect("what was refused here says nothing of the upstream, whatever its classifier thinks of refusals", () =>
    upstream(
      { "*": [inOneSecond] },
      { breaker: opensAtOnce, throttle: {}, bulkhead: { maxConcurrent: 1, maxQueue: 0 } },
      { classify: (_, usual) => ({ ...usual, cause: "transient" }) }
    )((api) =>
      Effect.gen(function* () {
        yield* fork(api.get("/a"))
        for (let call = 0; call < 5; call++) assert.strictEqual(yield* reasonOf(api), "BulkheadFull")
        assert.deepInclude(yield* stage(api.stages.breaker).snapshot, { state: "Closed", failed: 0, ignored: 5 })
        assert.deepInclude(yield* stage(api.stages.throttle).snapshot, { requests: 0 })
      })
    )
  )

  it.effect("a call that is run twice holds twice", () =>
    upstream(
      { "*": [inOneSecond] },
      { bulkhead: { maxConcurrent: 2 } }
    )((api) =>
      Effect.gen(function* () {
        const call = api.get("/a")
        const both = yield* fork(Effect.all([call, call], { concurrency: 2 }))
        assert.deepInclude(yield* stage(api.stages.bulkhead).snapshot, { inFlight: 2 })
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(both)
        assert.deepInclude(yield* stage(api.stages.bulkhead).snapshot, { inFlight: 0 })
      })
    )
  )
})

// ---------------------------------------------------------------------------------------------------------------------
// the books
// ---------------------------------------------------------------------------------------------------------------------

/** Every stage that there is, tight enough that each acts. */
const stages = {
  singleFlight: {},
  rateLimit: { limit: 5, window: "100 millis", maxWait: "60 millis" },
  deadline: "300 millis",
  retry: { backoff: { shape: "constant", base: "20 millis" }, refusals: "wait", budget: { minimumPerSecond: 5 } },
  hedge: { delay: "10 millis", maximumExtraLoad: 1 },
  breaker: {
    trip: [CircuitBreaker.consecutiveFailures(3)],
    openTime: "30 millis",
    probes: 1,
    probeLease: "1 second",
    successThreshold: 1
  },
  throttle: { multiplier: 1.1 },
  bulkhead: { maxConcurrent: 2, maxQueue: 2, maxWait: "40 millis" },
  adaptiveConcurrency: { initialLimit: 2, minimumLimit: 1, maximumLimit: 3 },
  attemptTimeout: { limit: "50 millis", minimumSamples: 10 }
} as const satisfies HttpPolicy.Options

const steps = {
  ok,
  soon: after("5 millis", ok),
  late: after("25 millis", ok),
  busy: after("3 millis", status(503)),
  wait: status(429, { headers: { "retry-after": "1" } }),
  paced: status(200, { headers: { ratelimit: '"default";r=1;t=1' } }),
  none: status(404),
  refused,
  reset: after("7 millis", reset),
  truncated: after("12 millis", truncated),
  garbage: json({ nonsense: true }),
  hang
}

const happenings = Arbitrary.array(
  Arbitrary.schema(
    Schema.Struct({
      event: Schema.Literals(["get", "get", "post", "hurried", "tick", "interrupt", "interruptNow", "reload"]),
      step: Schema.Literals([
        "ok",
        "soon",
        "late",
        "busy",
        "wait",
        "paced",
        "none",
        "refused",
        "reset",
        "truncated",
        "garbage",
        "hang"
      ]),
      number: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 }))
    })
  ),
  { maxLength: 40 }
)

type Happening = typeof happenings extends Arbitrary.Arbitrary<infer A> ? A : never

/** Plays what happens, waits until all of it must be over, and asks every stage what it still holds. */
const keepsTheBooks = (policy: HttpPolicy.Options, events: Happening) => {
  let next: keyof typeof steps = "ok"
  return upstream(
    { "*": () => steps[next] },
    policy
  )((api) =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let timers = 0
      // counts the sleeps that nobody has ended
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
      const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
      const call = (self: Effect.Effect<unknown, unknown>) =>
        Effect.map(Effect.forkChild(Effect.provideService(self, Clock.Clock, counting)), (fiber) => {
          fibers.push(fiber)
        })
      const live = [api.stages]
      for (const { event, number, step } of events) {
        next = step
        const fiber = fibers[number % Math.max(1, fibers.length)]
        if (event === "get") yield* call(api.get("/{id}", { params: { id: number % 3 } }))
        else if (event === "post") yield* call(api.post("/a", { json: number }))
        else if (event === "hurried") yield* call(api.get("/a").pipe(Deadline.within(number + 1)))
        else if (event === "tick") yield* TestClock.adjust(number)
        else if (event === "reload") {
          const { maxConcurrent = 2 } = policy.bulkhead === false ? {} : (policy.bulkhead ?? {})
          const bulkhead = { ...policy.bulkhead, maxConcurrent: maxConcurrent + (number % 2) }
          yield* api.reload(HttpPolicy.make(policy.bulkhead === undefined ? policy : { ...policy, bulkhead }))
          live.push(api.stages)
        } else if (event === "interrupt" && fiber !== undefined) yield* Fiber.interrupt(fiber)
        else if (event === "interruptNow" && fiber !== undefined) fiber.interruptUnsafe()
      }
      yield* TestClock.adjust("2 minutes")
      // what no stage bounds may hang
      yield* Fiber.interruptAll(fibers)
      for (const { adaptiveConcurrency, breaker, budget, bulkhead, hedge, rateLimit, singleFlight } of live) {
        if (bulkhead) assert.deepInclude(yield* bulkhead.snapshot, { inFlight: 0, queued: 0 })
        if (adaptiveConcurrency) assert.deepInclude(yield* adaptiveConcurrency.snapshot, { inFlight: 0 })
        if (budget) assert.deepInclude(yield* budget.snapshot, { callsInFlight: 0, retriesInFlight: 0 })
        if (breaker) assert.deepInclude(yield* breaker.snapshot, { probesOut: 0 })
        if (rateLimit) assert.deepInclude(yield* rateLimit.snapshot, { waiting: 0 })
        if (hedge) assert.deepInclude(yield* hedge.snapshot, { hedgesInFlight: 0 })
        if (singleFlight) assert.deepInclude(yield* singleFlight.snapshot, { inFlight: 0, waiting: 0 })
        if (breaker) {
          const { admitted, failed, ignored, late, succeeded } = yield* breaker.snapshot
          assert.strictEqual(succeeded + failed + ignored + late, admitted, "every permit is settled once")
        }
      }
      assert.strictEqual(timers, 0, "no timer is left")
    })
  )
}

describe("the books", () => {
  const names = [
    "singleFlight",
    "rateLimit",
    "hedge",
    "breaker",
    "throttle",
    "bulkhead",
    "adaptiveConcurrency"
  ] as const

  it.effect.prop(
    "with every stage on, whatever happens and whenever callers go away, everything that was taken is given back",
    [happenings],
    ([events]) => keepsTheBooks(stages, events),
    { arbitrary: { runs: 300 } }
  )

  for (const [index, one] of names.entries()) {
    for (const other of names.slice(index + 1)) {
      it.effect.prop(
        `${one} and ${other} give everything back`,
        [happenings],
        ([events]) => keepsTheBooks({ [one]: stages[one], [other]: stages[other], retry: stages.retry }, events),
        { arbitrary: { runs: 15 } }
      )
    }
  }

  it.effect("an interruption at each millisecond of a call that passes all stages leaves nothing behind", () =>
    Effect.gen(function* () {
      for (let millis = 0; millis <= 120; millis++) {
        yield* keepsTheBooks(stages, [
          { event: "get", step: "late", number: 0 },
          { event: "get", step: "late", number: 1 },
          { event: "get", step: "busy", number: 2 },
          { event: "post", step: "reset", number: 3 },
          { event: "tick", step: "late", number: Math.min(60, millis) },
          { event: "tick", step: "busy", number: Math.max(0, millis - 60) },
          { event: "interrupt", step: "ok", number: 0 },
          { event: "interruptNow", step: "ok", number: 2 },
          { event: "interrupt", step: "ok", number: 3 }
        ])
      }
    })
  )
})

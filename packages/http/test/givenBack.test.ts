import { Cause, Effect, Exit, Layer, Random, Schedule, Schema, SchemaGetter, Stream, Tracer } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Deadline from "@holdfast/core/Deadline"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import type { Failure } from "@holdfast/core/Outcome"
import * as Reason from "@holdfast/core/Reason"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as CallObserver from "../src/CallObserver.ts"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as Rejection from "../src/Rejection.ts"
import * as ResilientClient from "../src/ResilientClient.ts"
import * as Upstream from "../src/Upstream.ts"
import { fork, stage } from "./support/stock.ts"

const { after, fail, hang, json, status, stream } = ScriptedTransport

const bug = (): never => {
  throw new Error("a bug of the user's")
}

/** Every stage that holds something, one place each, so that what is lost is missed at once. */
const everything = (retry: HttpPolicy.RetryOptions = {}): HttpPolicy.Options => ({
  deadline: "30 seconds",
  retry: { maxAttempts: 2, ...retry },
  rateLimit: { limit: 1000 },
  hedge: { delay: "1 second", maximumExtraLoad: 1 },
  breaker: { trip: [CircuitBreaker.consecutiveFailures(1000)] },
  throttle: {},
  bulkhead: { maxConcurrent: 2, maxQueue: 2 },
  adaptiveConcurrency: { initialLimit: 2, minimumLimit: 2, maximumLimit: 2 },
  attemptTimeout: { limit: "5 seconds" },
  singleFlight: {}
})

interface Hook {
  readonly name: string
  readonly script?: ScriptedTransport.Script
  readonly retry?: HttpPolicy.RetryOptions
  readonly upstream?: Partial<Upstream.Options>
  readonly request?: object
  readonly around?: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly observer?: CallObserver.CallObserver
  /** What the defect says; a hook that is not asked about what its call came to has none. */
  readonly says?: string
}

/** What a program without types may give for the judgement of a failure. */
const nonsense = (given: unknown): Partial<Upstream.Options> => ({ classify: () => given as Failure })

const business = ErrorCatalog.make("stock", { GONE: { summary: "gone" } })

const throwing = Schema.Unknown.pipe(
  Schema.decodeTo(Schema.Unknown, { decode: SchemaGetter.transform(bug), encode: SchemaGetter.transform(bug) })
)

const hanging = Schema.Unknown.pipe(
  Schema.decodeTo(Schema.Unknown, {
    decode: SchemaGetter.transformEffect(() => Effect.never),
    encode: SchemaGetter.transformEffect(() => Effect.never)
  })
)

const tracerThat = (broken: "span" | "event" | "end" | "attribute") =>
  Tracer.make({
    span: (options) => {
      if (broken === "span") return bug()
      const span = new Tracer.NativeSpan(options)
      span[broken] = bug
      return span
    }
  })

const withTracer =
  (broken: "span" | "event" | "end" | "attribute") =>
  <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.provideService(self, Tracer.Tracer, tracerThat(broken))

const withRandom =
  (next: () => number) =>
  <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.provideService(self, Random.Random, { nextDoubleUnsafe: next, nextIntUnsafe: () => 1 })

const busy = { "*": [status(503)] }

const hooks: ReadonlyArray<Hook> = [
  { name: "a classifier that throws", script: busy, upstream: { classify: bug }, says: "a bug of the user's" },
  {
    name: "one that gives nothing",
    script: busy,
    upstream: nonsense(undefined),
    says: "must give an Outcome, got undefined"
  },
  { name: "one that gives a promise", script: busy, upstream: nonsense(Promise.resolve()), says: "got a promise" },
  { name: "one that gives text", script: busy, upstream: nonsense("retry"), says: "got a string" },
  {
    name: "one that gives half an outcome",
    script: busy,
    upstream: nonsense({ _tag: "Failure" }),
    says: "with the cause undefined"
  },
  { name: "one that gives a success", script: busy, upstream: nonsense({ _tag: "Success" }), says: "got Success" },
  {
    name: "one whose retryAfter is no duration",
    script: busy,
    upstream: { classify: (_, usual) => ({ ...usual, retryAfter: "soon" }) as unknown as Failure },
    says: 'retryAfter "soon"'
  },
  {
    name: "a schedule that dies",
    script: busy,
    retry: { schedule: Schedule.fromStep(Effect.sync(bug)) },
    says: "a bug of the user's"
  },
  {
    name: "one that dies in its step",
    script: busy,
    retry: { schedule: Schedule.fromStep(Effect.succeed(() => Effect.die("no step"))) },
    says: "no step"
  },
  { name: "a jitter that is no number", script: busy, around: withRandom(() => NaN) },
  { name: "a random that throws", script: busy, around: withRandom(bug), says: "a bug of the user's" },
  {
    name: "a decoder that throws",
    script: { "*": [json({})] },
    request: { decode: throwing },
    says: "a bug of the user's"
  },
  { name: "one that hangs", script: { "*": [json({})] }, request: { decode: hanging } },
  {
    name: "a schema of rejections that throws",
    script: { "*": [json({})] },
    upstream: { rejections: [Rejection.make(business.GONE, throwing)] },
    says: "a bug of the user's"
  },
  {
    name: "observers that throw",
    script: { "*": [after("2 seconds", status(503))] },
    observer: {
      callStarted: bug,
      callEnded: bug,
      attemptStarted: bug,
      attemptEnded: bug,
      retryScheduled: bug,
      refused: bug,
      waited: bug,
      hedgeStarted: bug,
      hedgeSettled: bug
    }
  },
  { name: "a tracer that makes no span", script: busy, around: withTracer("span"), says: "a bug of the user's" },
  { name: "a span that takes no event", script: busy, around: withTracer("event"), says: "a bug of the user's" },
  {
    name: "a span that takes no attribute",
    script: busy,
    around: withTracer("attribute"),
    says: "a bug of the user's"
  },
  { name: "a span that does not end", script: busy, around: withTracer("end"), says: "a bug of the user's" },
  { name: "a transport that dies", script: { "*": () => bug() }, says: "a bug of the user's" },
  {
    name: "a body that dies",
    script: { "*": [stream(["a"], { end: new Reason.ResponseTruncated({ endpoint: "a:1", phase: "receive" }) })] }
  },
  {
    name: "a caller who leaves",
    script: { "*": [hang] },
    around: (self) => Effect.timeoutOption(self, "3 seconds") as typeof self
  },
  { name: "a deadline", script: { "*": [hang] }, around: Deadline.within("3 seconds") }
]

const program = (hook: Hook, use: (api: Upstream.Upstream) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function* () {
    const api = yield* Upstream.make("stock", {
      baseUrl: "https://stock.internal",
      policy: HttpPolicy.make(everything(hook.retry)),
      ...hook.upstream
    })
    const around = hook.around ?? ((self) => self)
    for (let call = 0; call < 3; call++) {
      const fiber = yield* fork(Effect.exit(around(use(api))))
      yield* TestClock.adjust("1 minute")
      const exit = fiber.pollUnsafe()
      if (exit === undefined) return assert.fail("the call runs after a minute")
      const ended = yield* exit
      const said = Exit.isFailure(ended) && Cause.hasDies(ended.cause) ? Cause.pretty(ended.cause) : undefined
      if (hook.says === undefined) assert.isUndefined(said)
      else assert.include(said, hook.says)
      assert.deepInclude(yield* stage(api.stages.bulkhead).snapshot, { inFlight: 0, queued: 0 })
      assert.deepInclude(yield* stage(api.stages.adaptiveConcurrency).snapshot, { inFlight: 0 })
      assert.deepInclude(yield* stage(api.stages.breaker).snapshot, { probesOut: 0 })
      assert.deepInclude(yield* stage(api.stages.budget).snapshot, { callsInFlight: 0, retriesInFlight: 0 })
      assert.deepInclude(yield* stage(api.stages.hedge).snapshot, { hedgesInFlight: 0 })
      assert.deepInclude(yield* stage(api.stages.singleFlight).snapshot, { inFlight: 0, waiting: 0 })
      assert.deepInclude(yield* stage(api.stages.rateLimit).snapshot, { waiting: 0 })
    }
  }).pipe(
    Effect.scoped,
    Effect.provide(
      Layer.mergeAll(
        ScriptedTransport.layer(hook.script ?? busy),
        hook.observer === undefined ? Layer.empty : CallObserver.layer(hook.observer)
      )
    )
  )

describe("whatever a user's part does, all that was taken is given back, and a bug is told as one:", () => {
  for (const hook of hooks) {
    it.effect(`${hook.name}, of a whole answer`, () =>
      program(hook, (api) => api.get("/a", hook.request as { readonly decode?: typeof throwing }))
    )
    // what is streamed has no schemas
    if (hook.request !== undefined || hook.upstream?.rejections !== undefined) continue
    it.effect(`${hook.name}, of a streamed answer`, () =>
      program(hook, (api) =>
        Effect.scoped(Effect.flatMap(api.streaming.get("/a"), ({ stream }) => Stream.runDrain(stream)))
      )
    )
  }

  it.effect("a classifier of a client that was made resilient", () =>
    Effect.gen(function* () {
      const client = HttpClient.make((request) =>
        Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 503 })))
      ).pipe(
        ResilientClient.withPolicy({
          policy: HttpPolicy.make({ bulkhead: { maxConcurrent: 1, maxQueue: 0 } }),
          classify: () => undefined as unknown as Failure
        })
      )
      for (let call = 0; call < 3; call++) {
        const exit = yield* Effect.exit(client.get("https://stock.internal/a"))
        // a place that was kept would have the next call refused
        assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", "must give an Outcome, got undefined")
      }
    })
  )
})

describe("a hedge whose attempts end in nonsense", () => {
  it.effect("ends the call, and the attempt that still runs", () =>
    Effect.gen(function* () {
      const script = { "*": [hang, fail(new Reason.ConnectionReset({ endpoint: "a:1", phase: "wait" }))] }
      yield* program({ name: "", script, upstream: nonsense(undefined), says: "got undefined" }, (api) => api.get("/a"))
    })
  )
})

/**
 * The bad day: a real upstream in its own process is busy, resets, hangs, cuts bodies off, slows down, stops and comes back. Two
 * clients call it side by side, 120 times a second each: one through a policy, one without. At the end: what the
 * policy was worth, what failed and why, what each stage did, and one trace, drawn from what the exporter really sent.
 *
 * Run it with `npm start`.
 */
import { fork } from "node:child_process"
import { once } from "node:events"
import { Console, Effect, Layer, Schema } from "effect"
import { FetchHttpClient } from "effect/http"
import { Otlp } from "effect/observability"
import { CircuitBreaker, HttpPolicy, Upstream } from "holdfast"
import { NodeTransport } from "holdfast/node"
import { day, dayMillis } from "./day.ts"
import { type Finished, meteredTransport, Meter } from "./meter.ts"
import { progress } from "./progress.ts"
import { report } from "./report.ts"
import { OtlpReceiver } from "holdfast/testing"

class Order extends Schema.Class<Order>("Order")({ id: Schema.String, total: Schema.Int }) {}

const policy = HttpPolicy.standard({
  deadline: "3 seconds",
  attemptTimeout: "500 millis",
  retry: { maxAttempts: 4 },
  // a third of the calls fails for much of the day, and what is down is down for less than a second: leave alone who answers
  // nobody, and ask again soon
  breaker: { trip: [CircuitBreaker.consecutiveFailures(8)], openTime: "100 millis" }
})

/** The same bounds in time, one attempt: what a team has before it has a policy. */
const noPolicy = HttpPolicy.make({ deadline: "3 seconds", attemptTimeout: "500 millis" })

class Held extends Upstream.Service<Held>()("orders", { baseUrl: "http://127.0.0.1", policy }) {}
class Bare extends Upstream.Service<Bare>()("orders-bare", { baseUrl: "http://127.0.0.1", policy: noPolicy }) {}

const startUpstream = Effect.acquireRelease(
  Effect.promise(async () => {
    const child = fork(new URL("upstream.ts", import.meta.url), { stdio: ["ignore", "inherit", "inherit", "ipc"] })
    const [message] = await once(child, "message")
    return {
      child,
      url: `http://127.0.0.1:${Schema.decodeUnknownSync(Schema.Struct({ port: Schema.Int }))(message).port}`
    }
  }),
  ({ child }) => Effect.sync(() => child.disconnect())
)

const callsPerSecond = 120

/** One call in ten creates an order, with an idempotency key, so that it may be tried again; the others read one. */
const callOnce = (upstream: Upstream.Upstream, ordinal: number) =>
  ordinal % 10 === 0
    ? upstream.post("/orders/{id}", {
        params: { id: ordinal },
        json: { total: 100 },
        idempotencyKey: true,
        decode: Order
      })
    : upstream.get("/orders/{id}", { params: { id: ordinal }, decode: Order })

/** Calls at a steady rate, whatever becomes of them: real callers do not wait for each other. */
const callAllDay = Effect.fn(function* (upstream: Upstream.Upstream) {
  const meter = yield* Meter
  const calls = Math.floor((dayMillis / 1000) * callsPerSecond)
  yield* Effect.forEach(
    Array.from({ length: calls }, (_, ordinal) => ordinal),
    (ordinal) =>
      Effect.delay(meter.measured(upstream.name, callOnce(upstream, ordinal)), (ordinal * 1000) / callsPerSecond),
    { concurrency: "unbounded", discard: true }
  )
})

const liveDay = Effect.gen(function* () {
  const held = yield* Held
  const bare = yield* Bare
  const meter = yield* Meter
  const { breaker, budget } = held.stages
  let openings = 0
  breaker?.events.subscribe((event) => {
    if (event._tag === "Opened") openings++
  })
  yield* meter.begin
  const fiber = yield* Effect.forkChild(progress)
  yield* Effect.all([callAllDay(held), Effect.withTracerEnabled(callAllDay(bare), false)], { concurrency: 2 })
  const finished: Finished = yield* meter.finished
  yield* Effect.sync(() => fiber.interruptUnsafe())
  return {
    finished,
    openings,
    breaker: breaker === undefined ? undefined : yield* breaker.snapshot,
    budget: budget === undefined ? undefined : yield* budget.snapshot
  }
})

const main = Effect.gen(function* () {
  const collector = yield* OtlpReceiver.start
  const { child, url } = yield* startUpstream
  yield* Console.log(
    `An upstream has a bad day; ${callsPerSecond} calls a second with the policy, and as many without.`
  )
  yield* Console.log(`policy: ${HttpPolicy.describe(policy)}\n`)
  child.send("begin")

  const tracing = Otlp.layerJson({ baseUrl: collector.url, resource: { serviceName: "bad-day" } }).pipe(
    Layer.provide(FetchHttpClient.layer)
  )
  const upstreams = Layer.mergeAll(Held.layerWith({ baseUrl: url }), Bare.layerWith({ baseUrl: url })).pipe(
    Layer.provide(meteredTransport),
    Layer.provide(NodeTransport.layer({ connections: 128 })),
    Layer.provideMerge(Meter.layer)
  )
  // the exporter sends what it still holds when its layer closes, so the spans are read after it
  const lived = yield* liveDay.pipe(Effect.provide(Layer.merge(upstreams, tracing)))
  yield* Console.log(report({ day, ...lived, spans: yield* collector.spans, held: "orders", bare: "orders-bare" }))
})

await Effect.runPromise(Effect.scoped(main))

import { Context, Effect, Fiber, Option, Tracer } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as Baggage from "../src/Baggage.ts"
import * as TraceContext from "../src/TraceContext.ts"
import type * as Upstream from "../src/Upstream.ts"
import { fork, upstream } from "./support/stock.ts"
import { keeping } from "./support/tracing.ts"

const { status } = ScriptedTransport

const ok = status(200)

const traceId = "0af7651916cd43dd8448eb211c80319c"
const parentId = "b7ad6b7169203331"

/** What every request was told of the trace. */
const told = Effect.map(ScriptedTransport.seen, ({ requests }) =>
  requests.map(({ headers }) =>
    Object.fromEntries(
      Object.entries(headers).filter(([name]) => ["traceparent", "tracestate", "baggage", "b3"].includes(name))
    )
  )
)

const options = (propagateTrace: Upstream.Options["propagateTrace"]): Partial<Upstream.Options> => ({ propagateTrace })

const parentWith = (tracestate: string): Tracer.ExternalSpan =>
  Option.getOrElse(TraceContext.fromHeaders({ traceparent: `00-${traceId}-${parentId}-01`, tracestate }), (): never =>
    assert.fail("no parent")
  )

describe("what an upstream is told of a trace", () => {
  it.effect("every attempt's own span, and the state that came with the trace", () =>
    upstream(
      { "*": [status(503), ok] },
      { retry: { backoff: { shape: "constant", base: "1 second", jitter: "none" } } }
    )((api) =>
      Effect.gen(function* () {
        const { spans, tracer } = keeping()
        const run = yield* fork(
          api
            .get("/a")
            .pipe(
              Effect.withSpan("in between"),
              Effect.withParentSpan(parentWith("congo=t61rcWkgMzE")),
              Effect.provideService(Tracer.Tracer, tracer)
            )
        )
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(run)
        const [, , ...attempts] = spans
        assert.deepStrictEqual(
          yield* told,
          attempts.map(({ spanId }) => ({
            traceparent: `00-${traceId}-${spanId}-01`,
            tracestate: "congo=t61rcWkgMzE"
          }))
        )
        assert.strictEqual(attempts.length, 2)
      })
    )
  )

  it.effect("the state that a parent of the OpenTelemetry bridge has", () =>
    upstream(
      { "*": [ok] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const OtelTraceState = Context.Service<{ readonly serialize: () => string }>(
          "@effect/opentelemetry/Tracer/OtelTraceState"
        )
        const parent = Tracer.externalSpan({
          traceId,
          spanId: parentId,
          annotations: Context.make(OtelTraceState, { serialize: () => "rojo=1" }) as Context.Context<never>
        })
        yield* api.get("/a").pipe(Effect.withParentSpan(parent), Effect.provideService(Tracer.Tracer, keeping().tracer))
        assert.strictEqual((yield* told)[0]?.["tracestate"], "rojo=1")
      })
    )
  )

  it.effect("no state of another trace, and none that the caller gave without its trace", () =>
    upstream(
      { "*": [ok] },
      {}
    )((api) =>
      Effect.gen(function* () {
        // one that begins a trace of its own below a parent, as samplers may
        const tracer = Tracer.make({
          span: (given) => Object.assign(new Tracer.NativeSpan(given), { _traceId: "1".repeat(32) })
        })
        yield* api
          .get("/a", { headers: { tracestate: "stray=1" } })
          .pipe(Effect.withParentSpan(parentWith("congo=1")), Effect.provideService(Tracer.Tracer, tracer))
        assert.deepStrictEqual(Object.keys((yield* told)[0] ?? {}), ["traceparent"])
      })
    )
  )

  it.effect.each(["00", "01", "02", "03"])("whether its id is random, as it came with the flags %s", (flags) =>
    upstream(
      { "*": [ok] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const { spans, tracer } = keeping()
        const parent = TraceContext.fromHeaders({ traceparent: `00-${traceId}-${parentId}-${flags}` })
        yield* api
          .get("/a")
          .pipe(
            Effect.withSpan("in between", { parent: Option.getOrUndefined(parent) }),
            Effect.provideService(Tracer.Tracer, tracer)
          )
        assert.deepStrictEqual(yield* told, [{ traceparent: `00-${traceId}-${spans.at(-1)?.spanId}-${flags}` }])
      })
    )
  )

  it.effect("the random flag that a parent of the OpenTelemetry bridge has", () =>
    upstream(
      { "*": [ok] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const OtelTraceFlags = Context.Service<number>("@effect/opentelemetry/Tracer/OtelTraceFlags")
        const annotations = Context.make(OtelTraceFlags, 3) as Context.Context<never>
        const parent = Tracer.externalSpan({ traceId, spanId: parentId, annotations })
        yield* api.get("/a").pipe(Effect.withParentSpan(parent), Effect.provideService(Tracer.Tracer, keeping().tracer))
        assert.match((yield* told)[0]?.["traceparent"] ?? "", /-03$/)
      })
    )
  )

  it.effect("that it is not recorded, where it is not", () =>
    upstream(
      { "*": [ok] },
      {},
      options({ b3: true })
    )((api) =>
      Effect.gen(function* () {
        const { spans, tracer } = keeping()
        const parent = Tracer.externalSpan({ traceId, spanId: parentId, sampled: false })
        yield* api.get("/a").pipe(Effect.withParentSpan(parent), Effect.provideService(Tracer.Tracer, tracer))
        const [call, attempt] = spans
        assert.deepStrictEqual(yield* told, [
          {
            traceparent: `00-${traceId}-${attempt?.spanId}-00`,
            b3: `${traceId}-${attempt?.spanId}-0-${call?.spanId}`
          }
        ])
      })
    )
  )

  it.effect("b3 and baggage where they are asked for, and nothing where nothing is", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [Upstream.Options["propagateTrace"], ReadonlyArray<string>]> = [
        [undefined, ["traceparent"]],
        [true, ["traceparent"]],
        [{}, ["traceparent"]],
        [{ b3: true }, ["b3", "traceparent"]],
        [{ baggage: true }, ["baggage", "traceparent"]],
        [{ baggage: true, b3: true }, ["b3", "baggage", "traceparent"]],
        [false, []]
      ]
      for (const [given, names] of cases) {
        yield* upstream(
          { "*": [ok] },
          {},
          options(given)
        )((api) =>
          Effect.gen(function* () {
            yield* api
              .get("/a")
              .pipe(Baggage.withMember("tenant", "acme"), Effect.provideService(Tracer.Tracer, keeping().tracer))
            assert.deepStrictEqual(Object.keys((yield* told)[0] ?? {}).toSorted(), names)
          })
        )
      }
    })
  )

  it.effect("without a tracer nothing of a trace, and the baggage that it is to have", () =>
    upstream(
      { "*": [ok] },
      {},
      options({ baggage: true, b3: true })
    )((api) =>
      Effect.gen(function* () {
        const call = api.get("/a").pipe(Baggage.withMember("tenant", "a c"), Effect.withSpan("goes nowhere"))
        yield* call
        yield* api.get("/a")
        yield* api.get("/a", { headers: { baggage: "own=1" } }).pipe(Baggage.withMember("tenant", "acme"))
        assert.deepStrictEqual(yield* told, [{ baggage: "tenant=a%20c" }, {}, { baggage: "own=1" }])
      })
    )
  )

  it.effect("nothing while tracing is switched off, or while the tracer gives ids that name nothing", () =>
    upstream(
      { "*": [ok] },
      {},
      options({ b3: true })
    )((api) =>
      Effect.gen(function* () {
        const { tracer } = keeping()
        yield* api.get("/a").pipe(Effect.withTracerEnabled(false), Effect.provideService(Tracer.Tracer, tracer))
        for (const [trace, span] of [
          ["0".repeat(32), "0".repeat(16)],
          ["noop", "noop"],
          [traceId.toUpperCase(), parentId]
        ] as const) {
          const odd = Tracer.make({
            span: (given) => Object.assign(new Tracer.NativeSpan(given), { _traceId: trace, _spanId: span })
          })
          yield* api.get("/a").pipe(Effect.provideService(Tracer.Tracer, odd))
        }
        assert.deepStrictEqual(yield* told, [{}, {}, {}, {}])
      })
    )
  )

  it.effect("a trace whose id came in half its length, in full length", () =>
    upstream(
      { "*": [ok] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const parent = Tracer.externalSpan({ traceId: traceId.slice(16), spanId: parentId })
        yield* api.get("/a").pipe(Effect.withParentSpan(parent), Effect.provideService(Tracer.Tracer, keeping().tracer))
        assert.match((yield* told)[0]?.["traceparent"] ?? "", /^00-0{16}8448eb211c80319c-[0-9a-f]{16}-01$/)
      })
    )
  )

  it.effect("nothing of it where a redirect leads elsewhere, unless the policy says so", () =>
    Effect.gen(function* () {
      const elsewhere = status(307, { headers: { location: "https://files.internal/b" } })
      const all = ["b3", "baggage", "traceparent", "tracestate"]
      for (const [traceHeaders, names] of [
        [undefined, []],
        ["keep", all]
      ] as const) {
        yield* upstream(
          { "*": [elsewhere, ok] },
          { redirects: { traceHeaders } },
          options({ baggage: true, b3: true })
        )((api) =>
          Effect.gen(function* () {
            yield* api
              .get("/a")
              .pipe(
                Baggage.withMember("tenant", "acme"),
                Effect.withParentSpan(parentWith("congo=1")),
                Effect.provideService(Tracer.Tracer, keeping().tracer)
              )
            assert.deepStrictEqual(
              (yield* told).map((headers) => Object.keys(headers).toSorted()),
              [all, names]
            )
          })
        )
      }
    })
  )

  for (const isSent of [true, false]) {
    it.effect(`reads that differ in their baggage ${isSent ? "are not shared" : "are shared where none is sent"}`, () =>
      upstream(
        { "*": [ScriptedTransport.after("10 millis", ok)] },
        { singleFlight: {} },
        options({ baggage: isSent })
      )((api) =>
        Effect.gen(function* () {
          const read = (tenant: string) => fork(api.get("/a").pipe(Baggage.withMember("tenant", tenant)))
          const reads = [yield* read("one"), yield* read("two"), yield* read("one")]
          yield* TestClock.adjust("10 millis")
          yield* Effect.forEach(reads, Fiber.join)
          assert.deepStrictEqual(yield* told, isSent ? [{ baggage: "tenant=one" }, { baggage: "tenant=two" }] : [{}])
        })
      )
    )
  }
})

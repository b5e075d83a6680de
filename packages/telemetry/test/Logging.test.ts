import { Cause, Console, Context, Duration, Effect, Fiber, Layer, Logger, References, Schema, Tracer } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import { CallError } from "@holdfast/core/CallError"
import * as Backoff from "@holdfast/core/Backoff"
import * as Fallback from "@holdfast/core/Fallback"
import * as Reason from "@holdfast/core/Reason"
import type * as CallObserver from "@holdfast/http/CallObserver"
import * as HttpPolicy from "@holdfast/http/HttpPolicy"
import * as RequestIdentity from "@holdfast/http/RequestIdentity"
import * as Transport from "@holdfast/http/Transport"
import * as Upstream from "@holdfast/http/Upstream"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as Logging from "../src/Logging.ts"
import { fractionOf } from "../src/internal/metrics/sampling.ts"
import { attempt, call, failed, interrupted, observers, succeeded } from "./support/synthetic.ts"

const traceId = "0af7651916cd43dd8448eb211c80319c"
const spanId = "b7ad6b7169203331"
const span = Tracer.externalSpan({ traceId, spanId, sampled: true })

interface Line {
  readonly severity_text: string
  readonly body: unknown
  readonly event_name?: string
  readonly trace_id?: string
  readonly span_id?: string
  readonly attributes: { readonly [name: string]: unknown }
}

/** What a console is told, instead of the one that there is. */
const listening = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const heard: Console.Console = { ...console, log: (line: string) => lines.push(line) }
    return Effect.map(Effect.provideService(program, Console.Console, heard), () => lines)
  })

/** The lines of a program under a layer, as they were written. */
const written = <A, E, R>(program: Effect.Effect<A, E, R>, options: Logging.Options = {}) =>
  listening(Effect.provide(program, Logging.layer(options)))

const read = <A, E, R>(program: Effect.Effect<A, E, R>, options: Logging.Options = {}) =>
  // every line is a record, or the test fails where it reads one
  Effect.map(written(program, options), (lines) => lines.map((line) => JSON.parse(line) as Line))

const status = { endpoint: "stock.internal:443", headers: {}, body: "", bodyComplete: true }
const unavailable = new Reason.ServiceUnavailable({ ...status, status: 503 })
const notFound = new Reason.NotFound({ ...status, status: 404 })
const slow = new Reason.AttemptTimeout({ limit: Duration.seconds(1) })
const expired = new Reason.CertificateExpired({ endpoint: "stock.internal:443", phase: "connect" })

/** Tells the observers of the layer, with a call whose context is that of the program. */
const told = (
  tell: (
    observer: Required<Omit<CallObserver.CallObserver, "sink">>,
    make: (given?: Partial<CallObserver.ObservedCall>) => CallObserver.ObservedCall
  ) => void
) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<never>()
    tell(yield* observers, (given) => call({ context, ...given }))
  })

describe("Logging", () => {
  describe("a line of JSON", () => {
    it.effect("has the keys of OpenTelemetry's log data model, and only those that apply", () =>
      Effect.gen(function* () {
        const program = Effect.gen(function* () {
          yield* TestClock.adjust(1500)
          yield* Effect.logWarning("charged").pipe(
            Effect.annotateLogs({ "event.name": "shop.charged", charge: "ch_1", card_token: "tok" }),
            Effect.withLogSpan("checkout"),
            Effect.withParentSpan(span)
          )
          yield* Effect.log("plain")
        })
        const lines = yield* written(program, { resource: { "service.name": "shop" } })
        assert.deepStrictEqual(
          lines.map((line) => JSON.parse(line)),
          [
            {
              timestamp: "1970-01-01T00:00:01.500Z",
              severity_text: "WARN",
              severity_number: 13,
              body: "charged",
              event_name: "shop.charged",
              trace_id: traceId,
              span_id: spanId,
              trace_flags: "01",
              attributes: { charge: "ch_1", card_token: "REDACTED", "log.span.checkout": 0 },
              resource: { "service.name": "shop" }
            },
            {
              timestamp: "1970-01-01T00:00:01.500Z",
              severity_text: "INFO",
              severity_number: 9,
              body: "plain",
              attributes: {},
              resource: { "service.name": "shop" }
            }
          ]
        )
      })
    )

    it.effect("a trace identifier of 64 bits is written as one of 128, the span's as it is", () =>
      Effect.gen(function* () {
        const short = Tracer.externalSpan({ traceId: "a3ce929d0e0e4736", spanId, sampled: false })
        const [line = ""] = yield* written(Effect.log("charged").pipe(Effect.withParentSpan(short)), {})
        assert.deepInclude(JSON.parse(line), {
          trace_id: "0000000000000000a3ce929d0e0e4736",
          span_id: spanId,
          trace_flags: "00"
        })
      })
    )

    it.effect("what is logged alone is the body as it is, and beside other things or a text one of a list", () =>
      Effect.gen(function* () {
        const program = Effect.gen(function* () {
          yield* Effect.log([1, 2])
          yield* Effect.log([1, 2], [3])
          yield* Effect.log("sizes", [1, 2])
          yield* Effect.log("sizes", null)
        })
        const lines = yield* written(program, {})
        assert.deepStrictEqual(
          lines.map((line) => JSON.parse(line).body),
          [
            [1, 2],
            [[1, 2], [3]],
            ["sizes", [1, 2]],
            ["sizes", null]
          ]
        )
      })
    )

    it.effect("every level has its number", () =>
      Effect.gen(function* () {
        const levels = ["Trace", "Debug", "Info", "Warn", "Error", "Fatal"] as const
        const lines = yield* written(
          Effect.forEach(levels, (level) => Effect.logWithLevel(level)("text")),
          { level: "All" }
        )
        assert.deepStrictEqual(
          lines.map((line) => {
            const { severity_number, severity_text } = JSON.parse(line)
            return [severity_text, severity_number]
          }),
          [
            ["TRACE", 1],
            ["DEBUG", 5],
            ["INFO", 9],
            ["WARN", 13],
            ["ERROR", 17],
            ["FATAL", 21]
          ]
        )
      })
    )

    it.effect(
      "text beside text is one body, an object beside text is attributes, and what stands alone is the body",
      () =>
        Effect.gen(function* () {
          const lines = yield* read(
            Effect.gen(function* () {
              yield* Effect.log("charged", 12, "times", { charge: "ch_1", password: "canary" })
              yield* Effect.log({ charge: "ch_1" })
              yield* Effect.log(["a", "b"], "list")
              yield* Effect.log(new TypeError("wrong"))
            })
          )
          assert.deepStrictEqual(
            lines.map(({ attributes, body }) => [body, attributes]),
            [
              ["charged 12 times", { charge: "ch_1", password: "REDACTED" }],
              [{ charge: "ch_1" }, {}],
              [["list", ["a", "b"]], {}],
              ["wrong", { "exception.type": "TypeError", "exception.message": "wrong" }]
            ]
          )
        })
    )

    it.effect("a cause is an exception, and that of a call has its code", () =>
      Effect.gen(function* () {
        const { error } = failed(unavailable)
        const [ofCall, ofDefect] = yield* read(
          Effect.gen(function* () {
            yield* Effect.logError("no stock", Cause.fail(error))
            yield* Effect.logError("bug", Cause.die("text"))
          })
        )
        assert.deepInclude(ofCall?.attributes, {
          "exception.type": "CallError",
          "exception.message": error?.message,
          "error.type": "ERR_STATUS_SERVICE_UNAVAILABLE"
        })
        assert.include(String(ofCall?.attributes["exception.stacktrace"]), "CallError")
        assert.strictEqual(ofDefect?.attributes["exception.message"], "text")
      })
    )
  })

  describe("a pretty line", () => {
    it.effect("is the time, the level, the text and what else is known", () =>
      Effect.gen(function* () {
        const lines = yield* written(
          Effect.gen(function* () {
            yield* TestClock.adjust(1500)
            yield* Effect.logInfo("charged").pipe(
              Effect.annotateLogs({ charge: "ch_1", note: "a b", amount: 12 }),
              Effect.withParentSpan(span)
            )
            yield* Effect.logError({ amount: 12 })
          }),
          { format: "pretty", colors: false }
        )
        assert.deepStrictEqual(lines, [
          `00:00:01.500 INFO  charged  charge=ch_1 note="a b" amount=12 trace_id=${traceId} span_id=${spanId}`,
          `00:00:01.500 ERROR {"amount":12}`
        ])
      })
    )

    it.effect("has colours when asked for, and a stack trace on lines of its own", () =>
      Effect.gen(function* () {
        const [line = ""] = yield* written(Effect.logError("no stock", Cause.die(new Error("bug"))), {
          format: "pretty",
          colors: true
        })
        assert.include(line, "\u001b[31mERROR\u001b[0m no stock")
        assert.match(line, /\n {4}Error: bug\n {4} +at /)
      })
    )

    it.effect.each(["pretty", "json"] as const)("no text forges a line, hides one or turns it about, as %s", (format) =>
      Effect.gen(function* () {
        // C0, C1, separators, and what turns the direction of text
        const hostile = "a\n12:00:00.000 INFO  forged\u2028\u001b[2K\u009b2J\u007f\u202egnp.exe\u2066\u200f\u061cz"
        const lines = yield* written(
          Effect.log(hostile, { [hostile]: [hostile, { [hostile]: hostile }] }).pipe(
            Effect.andThen(Effect.log({ only: hostile })),
            Effect.annotateLogs({ [hostile]: hostile })
          ),
          { format, colors: false }
        )
        assert.strictEqual(lines.length, 2)
        for (const line of lines) {
          assert.notMatch(line, /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u)
          assert.include(line, "exe")
        }
        if (format === "json") assert.strictEqual(JSON.parse(lines[0] ?? "").body, hostile)
      })
    )
  })

  describe("sampling", () => {
    const many = Effect.gen(function* () {
      for (let index = 0; index < 2000; index++) {
        const identity = yield* RequestIdentity.make({ id: `order-${index}` })
        yield* Effect.all([Effect.logInfo("first"), Effect.logWarning("second"), Effect.logError("third")]).pipe(
          RequestIdentity.provide(identity)
        )
      }
    })
    const idsOf = (lines: ReadonlyArray<Line>, body: string): ReadonlyArray<string> =>
      lines.filter((line) => line.body === body).map((line) => String(line.attributes["holdfast.request_id"]))

    it.effect("keeps the given share, all lines of a request or none, and every error", () =>
      Effect.gen(function* () {
        const lines = yield* read(many, { sampling: { levels: { Info: 0.25, Warn: 0.25 } } })
        const info = idsOf(lines, "first")
        assert.isTrue(info.length > 400 && info.length < 600, `${info.length}`)
        assert.deepStrictEqual(idsOf(lines, "second"), info)
        assert.strictEqual(idsOf(lines, "third").length, 2000)
        const fewer = idsOf(yield* read(many, { sampling: { levels: { Info: 0.1 } } }), "first")
        assert.isTrue(fewer.length > 0 && fewer.every((id) => info.includes(id)))
      })
    )

    it.effect("the trace decides where there is one, and the request does not", () =>
      Effect.gen(function* () {
        const spans = Array.from({ length: 200 }, (_, index) =>
          Tracer.externalSpan({ traceId: index.toString(16).padStart(32, "0"), spanId })
        )
        const program = Effect.forEach(
          spans,
          (span) =>
            Effect.flatMap(RequestIdentity.make(), (identity) =>
              Effect.log("in").pipe(RequestIdentity.provide(identity), Effect.withParentSpan(span))
            ),
          { discard: true }
        )
        const kept = (yield* read(program, { sampling: { levels: { Info: 0.5 } } })).map(({ trace_id }) => trace_id)
        assert.deepStrictEqual(
          kept,
          spans.filter(({ traceId }) => fractionOf(traceId) < 0.5).map(({ traceId }) => traceId)
        )
        assert.isTrue(kept.length > 60 && kept.length < 140, `${kept.length}`)
      })
    )

    it.effect("an event's ratio wins over its level's, but not over an error", () =>
      Effect.gen(function* () {
        const program = Effect.gen(function* () {
          yield* Effect.logInfo("a").pipe(Effect.annotateLogs("event.name", "dropped"))
          yield* Effect.logInfo("b").pipe(Effect.annotateLogs("event.name", "kept"))
          yield* Effect.logInfo("c")
          yield* Effect.logError("d").pipe(Effect.annotateLogs("event.name", "dropped"))
          yield* Effect.logFatal("e").pipe(Effect.annotateLogs("event.name", "dropped"))
        })
        const lines = yield* read(program, { sampling: { levels: { Info: 0 }, events: { dropped: 0, kept: 1 } } })
        assert.deepStrictEqual(
          lines.map(({ body }) => body),
          ["b", "d", "e"]
        )
      })
    )

    it.effect("what belongs to no trace and no request is kept, but at 0", () =>
      Effect.gen(function* () {
        const program = Effect.andThen(Effect.logInfo("a"), Effect.logWarning("b"))
        const lines = yield* read(program, { sampling: { levels: { Info: 0.000_001, Warn: 0 } } })
        assert.deepStrictEqual(
          lines.map(({ body }) => body),
          ["a"]
        )
      })
    )

    it("a ratio that is none is refused in words", () => {
      for (const wrong of [-0.1, 1.1, Number.NaN]) {
        assert.throws(
          () => Logging.layer({ sampling: { levels: { Info: wrong } } }),
          `Logging: the ratio of Info must be between 0 and 1, got ${wrong}`
        )
        assert.throws(() => Logging.layer({ sampling: { events: { odd: wrong } } }), "the ratio of odd")
      }
    })
  })

  describe("the line of a call", () => {
    it.effect("a failure has one, at the level of its severity, with all that finds it again", () =>
      Effect.gen(function* () {
        const lines = yield* read(
          told(({ callEnded }, call) => {
            for (const reason of [notFound, slow, unavailable, expired]) {
              const of = call({ span, requestId: "order-4711" })
              callEnded(of, failed(reason, of, { attempts: 3, durationMillis: 1240 }))
            }
          })
        )
        assert.deepStrictEqual(
          lines.map(({ attributes, severity_text }) => [severity_text, attributes["holdfast.severity"]]),
          [
            ["INFO", "info"],
            ["WARN", "warning"],
            ["ERROR", "error"],
            ["ERROR", "critical"]
          ]
        )
        const line = lines[2]
        assert.strictEqual(
          line?.body,
          "stock: GET /items failed after 3 attempts in 1.24s: stock.internal:443 answered 503 ServiceUnavailable; no further attempt: the policy allows no more (ERR_STATUS_SERVICE_UNAVAILABLE, request order-4711)"
        )
        assert.deepStrictEqual(
          [line?.event_name, line?.trace_id, line?.span_id],
          ["holdfast.call.failed", traceId, spanId]
        )
        assert.deepStrictEqual(line?.attributes, {
          "holdfast.upstream": "stock",
          "holdfast.operation": "GET /items",
          "holdfast.request_id": "order-4711",
          "error.type": "ERR_STATUS_SERVICE_UNAVAILABLE",
          "holdfast.severity": "error",
          "holdfast.retry_stopped": "attempts",
          "holdfast.applied": "maybe",
          "holdfast.attempts": 3,
          "holdfast.duration": 1.24
        })
      })
    )

    it.effect("a success at once, a caller who left and a hedge that was not needed have none", () =>
      Effect.gen(function* () {
        const lines = yield* read(
          told(({ callEnded, hedgeSettled, hedgeStarted, retryScheduled }, call) => {
            callEnded(call(), succeeded(10))
            callEnded(call(), interrupted(10))
            const hedged = call()
            hedgeStarted(hedged, { afterMillis: 10 })
            hedgeSettled(hedged, { isHedge: false })
            callEnded(hedged, succeeded(10, 2))
            const left = call()
            retryScheduled(left, { reason: unavailable, delayMillis: 1, resend: 1 })
            callEnded(left, interrupted(10))
          })
        )
        assert.deepStrictEqual(lines, [])
      })
    )

    it.effect("a success after a retry or by a hedge has one, at Info, that says by what", () =>
      Effect.gen(function* () {
        const lines = yield* read(
          told(({ callEnded, hedgeSettled, retryScheduled }, call) => {
            const retried = call({ requestId: "a", span })
            retryScheduled(retried, { reason: unavailable, delayMillis: 1, resend: 1 })
            callEnded(retried, succeeded(1240, 2))
            const hedged = call({ requestId: "b" })
            hedgeSettled(hedged, { isHedge: true })
            callEnded(hedged, succeeded(12, 2))
          })
        )
        assert.deepStrictEqual(
          lines.map(({ body, event_name, severity_text }) => [severity_text, event_name, body]),
          [
            [
              "INFO",
              "holdfast.call.degraded",
              "stock: GET /items succeeded after 2 attempts in 1.24s, by a retry of ERR_STATUS_SERVICE_UNAVAILABLE (request a)"
            ],
            [
              "INFO",
              "holdfast.call.degraded",
              "stock: GET /items succeeded after 2 attempts in 12ms, by a hedge (request b)"
            ]
          ]
        )
        assert.deepInclude(lines[0]?.attributes, {
          "holdfast.degraded": "retry",
          "error.type": "ERR_STATUS_SERVICE_UNAVAILABLE",
          "holdfast.attempts": 2,
          "holdfast.duration": 1.24
        })
        assert.strictEqual(lines[0]?.span_id, spanId)
        assert.strictEqual(lines[1]?.attributes["holdfast.degraded"], "hedge")
      })
    )

    it.effect("a defect has one that does not repeat what it says", () =>
      Effect.gen(function* () {
        const lines = yield* read(
          told(({ callEnded }, call) =>
            callEnded(call(), { outcome: "failure", durationMillis: 3, attempts: 1, error: undefined })
          )
        )
        assert.deepStrictEqual(
          lines.map(({ body, severity_text }) => [severity_text, body]),
          [["ERROR", "stock: GET /items died of a defect after 1 attempt in 3ms (request 0d6f1c2ab3e94f75)"]]
        )
      })
    )

    it.effect("attempts have lines at Debug only", () =>
      Effect.gen(function* () {
        const program = told(({ attemptEnded }, call) => {
          attemptEnded(call(), attempt({ reason: unavailable, status: 503, durationMillis: 12 }))
          attemptEnded(call(), attempt({ resend: 1, isHedge: true, status: 200, durationMillis: 0.44 }))
          attemptEnded(call(), attempt({ resend: 2, outcome: "interrupted" }))
        })
        assert.deepStrictEqual(yield* read(program), [])
        const lines = yield* read(program, { level: "Debug" })
        assert.deepStrictEqual(
          lines.map(({ body }) => body),
          [
            "stock: GET /items attempt 1 failed in 12ms: stock.internal:443 answered 503 ServiceUnavailable",
            "stock: GET /items hedge 2 succeeded in 0.4ms",
            "stock: GET /items attempt 3 was interrupted in 10ms"
          ]
        )
        assert.isTrue(
          lines.every(({ event_name, severity_text }) => event_name === "holdfast.attempt" && severity_text === "DEBUG")
        )
        assert.deepInclude(lines[0]?.attributes, {
          "error.type": "ERR_STATUS_SERVICE_UNAVAILABLE",
          "http.response.status_code": 503,
          "http.request.resend_count": 0,
          "holdfast.hedge": false,
          "holdfast.duration": 0.012
        })
      })
    )

    it.effect("each kind can be left out, and a level can be said for each error", () =>
      Effect.gen(function* () {
        const program = told(({ attemptEnded, callEnded, retryScheduled }, call) => {
          attemptEnded(call(), attempt())
          const retried = call()
          retryScheduled(retried, { reason: unavailable, delayMillis: 1, resend: 1 })
          callEnded(retried, succeeded(1, 2))
          callEnded(call(), failed(notFound))
          callEnded(call(), failed(unavailable))
        })
        const kinds = (calls: Logging.CallsOptions | false) =>
          Effect.map(read(program, { level: "Debug", calls }), (lines) =>
            lines.map(({ event_name, severity_text }) => `${severity_text} ${event_name}`)
          )
        const all = ["DEBUG holdfast.attempt", "INFO holdfast.call.degraded", "INFO holdfast.call.failed"]
        assert.deepStrictEqual(yield* kinds({}), [...all, "ERROR holdfast.call.failed"])
        assert.deepStrictEqual(yield* kinds({ attempts: false, degraded: false }), [
          "INFO holdfast.call.failed",
          "ERROR holdfast.call.failed"
        ])
        const level: Logging.CallsOptions["level"] = (error) => (error.reason._tag === "NotFound" ? undefined : "Fatal")
        assert.deepStrictEqual(yield* kinds({ level, attempts: false, degraded: false }), [
          "FATAL holdfast.call.failed"
        ])
        assert.deepStrictEqual(yield* kinds(false), [])
      })
    )
  })

  describe("what is logged inside of a call", () => {
    const Charge = Schema.Struct({ id: Schema.String })

    /** A transport whose own code logs, and fails at first. */
    const chatty = (): Layer.Layer<Transport.Transport> =>
      Layer.effect(
        Transport.Transport,
        Effect.map(Transport.Transport, (inner) => ({
          ...inner,
          send: (request) => Effect.andThen(Effect.log("transport"), inner.send(request))
        }))
      ).pipe(
        Layer.provide(
          ScriptedTransport.layer({
            "*": [ScriptedTransport.status(503), ScriptedTransport.json({ id: "ch_1" })]
          })
        )
      )

    const calling = (transport: Layer.Layer<Transport.Transport>) =>
      Effect.gen(function* () {
        const context = yield* Layer.build(transport)
        const stock = yield* Upstream.make("stock", {
          baseUrl: "https://stock.internal",
          policy: HttpPolicy.make({
            deadline: "5 seconds",
            retry: { schedule: Backoff.constant({ delay: "10 millis" }) }
          })
        }).pipe(Effect.provide(context))
        const identity = yield* RequestIdentity.make({ id: "order-4711", tags: { "x-cell": "b" } })
        const fiber = yield* Effect.forkChild(
          Effect.gen(function* () {
            yield* Effect.log("before")
            yield* stock.get("/charges", { decode: Charge })
            yield* Effect.log("after")
          }).pipe(RequestIdentity.provide(identity))
        )
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(fiber)
      })

    it.effect("bears the upstream, the operation and the request, and what is logged beside it the request", () =>
      Effect.gen(function* () {
        const lines = yield* read(calling(chatty()))
        const request = { "holdfast.request_id": "order-4711", "holdfast.tag.x-cell": "b" }
        const inCall = { ...request, "holdfast.upstream": "stock", "holdfast.operation": "GET /charges" }
        assert.deepStrictEqual(
          lines.map(({ attributes, body, event_name }) =>
            event_name === undefined ? [body, attributes] : [event_name]
          ),
          [
            ["before", request],
            ["transport", inCall],
            ["transport", inCall],
            ["holdfast.call.degraded"],
            ["after", request]
          ]
        )
        assert.deepInclude(lines[3]?.attributes, inCall)
      })
    )

    it.effect("bears nothing of the call when that is switched off", () =>
      Effect.gen(function* () {
        const lines = yield* read(calling(chatty()), { calls: { annotate: false } })
        const ofTransport = lines.filter(({ body }) => body === "transport")
        assert.strictEqual(ofTransport.length, 2)
        for (const { attributes } of ofTransport) assert.notProperty(attributes, "holdfast.upstream")
      })
    )
  })

  describe("a fallback's answers", () => {
    it.effect("have a line each, in the request of who got them, until the scope closes", () =>
      Effect.gen(function* () {
        const error = new CallError({
          upstream: "stock",
          operation: "GET /items",
          requestId: "order-4711",
          attempts: 1,
          elapsed: Duration.millis(1),
          retryStopped: "attempts",
          reason: unavailable
        })
        const observed = Fallback.make<never, never, never, CallError>({ orElse: () => Effect.never, mode: "observe" })
        const items = Fallback.make({ value: ["bestseller"] })
        const identity = yield* RequestIdentity.make({ id: "order-4711", tags: { "x-cell": "b" } })
        const lines = yield* read(
          Effect.gen(function* () {
            yield* Effect.scoped(
              Effect.gen(function* () {
                yield* Logging.fallback("items", items)
                yield* Logging.fallback("dry", observed)
                yield* items
                  .run(Effect.fail(error))
                  .pipe(Effect.withParentSpan(span), RequestIdentity.provide(identity))
                yield* items.run(Effect.succeed(["fresh"]))
                yield* Effect.ignore(observed.run(Effect.fail(error)))
              })
            )
            yield* items.run(Effect.fail("after"))
          })
        )
        assert.deepStrictEqual(
          lines.map(({ body, event_name, trace_id }) => [body, event_name, trace_id]),
          [
            ["items: a fallback answered for stock: GET /items (request order-4711)", "holdfast.fallback", traceId],
            [
              "dry: a fallback would have answered for stock: GET /items (request order-4711)",
              "holdfast.fallback",
              undefined
            ]
          ]
        )
        assert.deepInclude(lines[0]?.attributes, {
          "holdfast.fallback": "items",
          "holdfast.degraded": "fallback",
          "holdfast.upstream": "stock",
          "holdfast.request_id": "order-4711",
          "holdfast.tag.x-cell": "b",
          "error.type": "ERR_STATUS_SERVICE_UNAVAILABLE"
        })
      })
    )
  })

  describe("the layer", () => {
    it.effect("takes the place of the default logger, and leaves the others", () =>
      Effect.gen(function* () {
        const others: Array<unknown> = []
        const other = Logger.make(({ message }) => {
          others.push(message)
        })
        const before = Logger.layer([Logger.defaultLogger, other])
        const lines = yield* listening(Effect.log("text").pipe(Effect.provide(Layer.provide(Logging.layer(), before))))
        assert.strictEqual(lines.length, 1)
        assert.deepStrictEqual(others, [["text"]])
      })
    )

    it.effect("is read once for each call, though the upstream was built with one and the program has another", () =>
      Effect.gen(function* () {
        const program = Effect.gen(function* () {
          const stock = yield* Upstream.make("stock", { baseUrl: "https://stock.internal" }).pipe(
            Effect.provide(Logging.layer())
          )
          yield* Effect.exit(stock.post("/items"))
        }).pipe(Effect.scoped, Effect.provide(ScriptedTransport.layer({ "*": [ScriptedTransport.status(503)] })))
        assert.deepStrictEqual(
          (yield* read(program)).map(({ event_name }) => event_name),
          ["holdfast.call.failed"]
        )
      })
    )

    it.effect("says the least level, when it is given one", () =>
      Effect.gen(function* () {
        const bodies = (options: Logging.Options) =>
          Effect.map(read(Effect.andThen(Effect.logDebug("a"), Effect.logWarning("b")), options), (lines) =>
            lines.map(({ body }) => body)
          )
        assert.deepStrictEqual(yield* bodies({}), ["b"])
        assert.deepStrictEqual(yield* bodies({ level: "Debug" }), ["a", "b"])
        assert.deepStrictEqual(yield* bodies({ level: "Error" }), [])
        const inForce = yield* Effect.provideService(bodies({}), References.MinimumLogLevel, "Debug")
        assert.deepStrictEqual(inForce, ["a", "b"])
      })
    )

    it.effect("an identity that came without annotations is on the line too", () =>
      Effect.gen(function* () {
        const [line] = yield* read(
          Effect.provideContext(Effect.log("text"), Context.make(RequestIdentity.Current, { id: "job-17", tags: {} }))
        )
        assert.strictEqual(line?.attributes["holdfast.request_id"], "job-17")
      })
    )
  })
})

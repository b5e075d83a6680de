import { inspect } from "node:util"
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { assert, layer, vi } from "@effect/vitest"
import { ConsoleSpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Cause, Effect, Layer, Logger, Redacted, Schema } from "effect"
import { Backoff, CallError, ProblemDetails, Upstream } from "holdfast"
import { HttpClientTransport } from "holdfast/client"
import { FetchHttpClient } from "effect/http"
import type { Target } from "./support/calling.ts"
import { callingThrough, failure, nodeTransport } from "./support/calling.ts"
import { exporters } from "./support/exporters.ts"
import { Behaviour, TestUpstream } from "./support/upstream.ts"
import { OtlpReceiver } from "holdfast/testing"

/** One secret for each place that may hold one: a leak says where from. */
const canaries = {
  query: "canary-in-the-query",
  repeatedQuery: "canary-in-a-repeated-query",
  path: "canary-in-the-path",
  authorization: "canary-in-authorization",
  apiKey: "canary-in-x-api-key",
  header: "canary-in-a-redacted-header",
  cookie: "canary-in-cookie",
  idempotencyKey: "canary-in-the-idempotency-key",
  setCookie: "canary-in-set-cookie",
  responseAuthorization: "canary-in-the-responses-authorization",
  responseToken: "canary-in-a-responses-token"
}

const leaks = (text: string): ReadonlyArray<string> =>
  Object.entries(canaries).flatMap(([place, canary]) => (text.includes(canary) ? [place] : []))

const secretHeaders = {
  "set-cookie": [`session=${canaries.setCookie}; HttpOnly`, "theme=dark"],
  authorization: canaries.responseAuthorization,
  "x-auth-token": canaries.responseToken,
  "www-authenticate": `Bearer error="${canaries.responseToken}"`
}

const charge = (payments: Upstream.Upstream) =>
  payments.put("/charges/{id}", {
    params: { id: Redacted.make(canaries.path) },
    query: { token: canaries.query, tags: [Redacted.make(canaries.repeatedQuery), "x"] },
    headers: {
      authorization: Redacted.make(`Bearer ${canaries.authorization}`),
      "x-api-key": canaries.apiKey,
      "x-anything": Redacted.make(canaries.header),
      cookie: `session=${canaries.cookie}`
    },
    idempotencyKey: canaries.idempotencyKey,
    json: { amount: 1 },
    decode: Schema.Struct({ ok: Schema.Boolean })
  })

const cases: ReadonlyArray<{
  readonly outcome: string
  readonly tag: string
  readonly behaviour: Behaviour.Behaviour | "refused"
}> = [
  {
    outcome: "a success",
    tag: "Success",
    behaviour: Behaviour.http([Behaviour.json({ ok: true }, { headers: secretHeaders })])
  },
  {
    outcome: "a 500",
    tag: "InternalServerError",
    behaviour: Behaviour.http([Behaviour.answer({ status: 500, headers: secretHeaders, body: "out of order" })])
  },
  {
    outcome: "a 401 with problem details",
    tag: "Unauthorized",
    behaviour: Behaviour.http([
      Behaviour.answer({
        status: 401,
        headers: { ...secretHeaders, "content-type": "application/problem+json" },
        body: JSON.stringify({ title: "Who are you?" })
      })
    ])
  },
  {
    outcome: "a body that does not decode",
    tag: "ResponseDecodeFailed",
    behaviour: Behaviour.http([Behaviour.json({ ok: "perhaps" }, { headers: secretHeaders })])
  },
  {
    outcome: "a redirect",
    tag: "TooManyRedirects",
    behaviour: Behaviour.http([
      Behaviour.answer({
        status: 302,
        headers: { ...secretHeaders, location: `https://elsewhere.test/${canaries.path}?token=${canaries.query}` }
      })
    ])
  },
  { outcome: "a refused connection", tag: "ConnectionRefused", behaviour: "refused" },
  { outcome: "a truncated body", tag: "ResponseTruncated", behaviour: Behaviour.truncatedBody({ end: "close" }) },
  { outcome: "a reset", tag: "ConnectionReset", behaviour: Behaviour.afterRequestHead({ end: "reset" }) },
  { outcome: "a silence", tag: "AttemptTimeout", behaviour: Behaviour.http([Behaviour.hang]) }
]

/** Short only where the silence is the point: a busy machine is no reason to time out. */
const policyFor = (tag: string) => ({
  attemptTimeout: tag === "AttemptTimeout" ? ("100 millis" as const) : ("5 seconds" as const),
  retry: { maxAttempts: 2, schedule: Backoff.exponential({ base: "5 millis" }) }
})

const transports = [
  { transport: "undici", over: nodeTransport },
  { transport: "fetch", over: () => HttpClientTransport.layer.pipe(Layer.provide(FetchHttpClient.layer)) }
]

/** Everything that a program may make of an error without knowing better. */
const spellings = (error: CallError.CallError): Readonly<Record<string, string>> => ({
  message: error.message,
  text: String(error),
  stack: error.stack ?? "",
  json: JSON.stringify(error),
  jsonOfReason: JSON.stringify(error.reason),
  schema: JSON.stringify(Schema.encodeSync(CallError.CallError)(error)),
  inspect: inspect(error, { depth: Infinity, showHidden: true, getters: true }),
  cause: Cause.pretty(Cause.fail(error)),
  publicProblem: JSON.stringify(ProblemDetails.fromCallError(error)),
  internalProblem: JSON.stringify(ProblemDetails.fromCallError(error, { audience: "internal" }))
})

const thrownBy = (make: () => unknown): unknown => {
  try {
    make()
    return undefined
  } catch (error) {
    return error
  }
}

layer(TestUpstream.layer, { excludeTestServices: true })("secrets", (it) => {
  const prepare = Effect.fnUntraced(function* (behaviour: Behaviour.Behaviour | "refused") {
    const upstream = yield* TestUpstream
    const listener = behaviour === "refused" ? undefined : yield* upstream.listen(behaviour)
    const target: Target = listener ?? (yield* upstream.refusedPort)
    return { upstream, listener, target }
  })

  it.effect.each(
    cases.flatMap((given) => transports.map(({ over, transport }) => Object.assign({ over, transport }, given)))
  )("$outcome through $transport shows none in its error, its log line or its spans", ({ behaviour, over, tag }) =>
    Effect.gen(function* () {
      const { listener, target, upstream } = yield* prepare(behaviour)
      const receiver = yield* OtlpReceiver.start
      const lines: Array<string> = []
      const log = Logger.layer([
        Logger.map(Logger.formatStructured, (line) => {
          lines.push(inspect(line, { depth: Infinity }))
        }),
        Logger.map(Logger.formatLogFmt, (line) => {
          lines.push(line)
        })
      ])
      const program = Effect.gen(function* () {
        const payments = yield* callingThrough(over(target), target, { policy: policyFor(tag) })
        const call = charge(payments).pipe(
          Effect.tapError((error) => Effect.logError("the call failed", error)),
          Effect.tapCause((cause) => Effect.logWarning(cause))
        )
        if (tag === "Success") {
          yield* call
          return
        }
        const error = yield* failure(call)
        assert.strictEqual(error.reason._tag, tag)
        for (const [spelling, text] of Object.entries(spellings(error))) {
          assert.isAbove(text.length, 10, spelling)
          assert.deepStrictEqual(leaks(text), [], spelling)
        }
      }).pipe(Effect.provide(log))
      const [json] = exporters
      if (json === undefined) throw new Error("no exporter")
      yield* Effect.scoped(Effect.provide(program, json.install(receiver.url)))

      assert.deepStrictEqual(leaks(lines.join("\n")), [])
      assert.strictEqual(lines.length > 0, tag !== "Success")
      const spans = yield* receiver.spans
      assert.isAtLeast(spans.length, 2)
      assert.deepStrictEqual(leaks(inspect(spans, { depth: Infinity })), [])
      // The secrets were sent, or there was nothing to leak.
      if (listener !== undefined) {
        const { requests } = yield* upstream.facts(listener)
        const sent = leaks(JSON.stringify(requests[0]))
        assert.includeMembers(
          [...sent],
          ["query", "repeatedQuery", "path", "authorization", "apiKey", "header", "cookie", "idempotencyKey"]
        )
      }
    })
  )

  it.effect("the SDK's console exporter prints none, however the call ends", () =>
    Effect.gen(function* () {
      const printed: Array<string> = []
      const spy = vi.spyOn(console, "dir").mockImplementation((span: unknown) => {
        printed.push(inspect(span, { depth: Infinity }))
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => spy.mockRestore()))
      const sdk = NodeSdk.layer(() => ({
        resource: { serviceName: "checkout" },
        spanProcessor: new SimpleSpanProcessor(new ConsoleSpanExporter())
      }))
      yield* Effect.scoped(
        Effect.gen(function* () {
          for (const { behaviour, tag } of cases) {
            const { target } = yield* prepare(behaviour)
            const payments = yield* callingThrough(nodeTransport(target), target, { policy: policyFor(tag) })
            yield* Effect.ignore(charge(payments))
          }
        }).pipe(Effect.provide(sdk))
      )
      assert.isAtLeast(printed.length, 2 * cases.length)
      assert.deepStrictEqual(leaks(printed.join("\n")), [])
    })
  )

  it.effect("a header that cannot be sent is named, and its value is not repeated", () =>
    Effect.gen(function* () {
      const { target } = yield* prepare(Behaviour.healthy)
      const payments = yield* callingThrough(nodeTransport(target), target, { policy: policyFor("any") })
      const error = yield* failure(
        payments.get("/", { headers: { authorization: Redacted.make(`Bearer ${canaries.authorization}\n`) } })
      )
      assert.strictEqual(error.reason._tag, "RequestEncodeFailed")
      assert.include(error.message, "headers.authorization")
      for (const [spelling, text] of Object.entries(spellings(error))) assert.deepStrictEqual(leaks(text), [], spelling)
    })
  )

  it.effect("a base URL with credentials is rejected without repeating them", () =>
    Effect.gen(function* () {
      for (const baseUrl of [
        `http://user:${canaries.authorization}@127.0.0.1/`,
        `http://${canaries.authorization}@127.0.0.1/`,
        `ftp://user:${canaries.authorization}@127.0.0.1/`,
        `http://user:${canaries.authorization}@`,
        `https://127.0.0.1/?token=${canaries.query}`
      ]) {
        for (const given of [baseUrl, ...(URL.canParse(baseUrl) ? [new URL(baseUrl)] : [])]) {
          const error = thrownBy(() => Upstream.make("payments", { baseUrl: given }))
          assert.instanceOf(error, RangeError)
          assert.include(String(error), "baseUrl")
          assert.deepStrictEqual(leaks(inspect(error, { depth: Infinity })), [])
        }
      }
    })
  )
})

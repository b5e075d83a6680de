import { Effect, Fiber, Option, Schema, Stream } from "effect"
import { HttpClient, HttpClientError } from "effect/http"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import { CallError } from "@holdfast/core/CallError"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Deadline from "@holdfast/core/Deadline"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import * as ProblemDetails from "@holdfast/core/ProblemDetails"
import * as Reason from "@holdfast/core/Reason"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as ResilientClient from "../src/ResilientClient.ts"
import { fork, upstream } from "./support/stock.ts"
import { traced } from "./support/tracing.ts"

const { after, fail, hang, refused, reset, status, stream } = ScriptedTransport

const everySecond: HttpPolicy.RetryOptions = {
  backoff: { shape: "constant", base: "1 second", jitter: "none" },
  serverWaitJitter: 0
}

/** A circuit that the first failure opens, so that the retry of it is refused. */
const breaker: CircuitBreaker.Options = {
  trip: [CircuitBreaker.consecutiveFailures(1)],
  openTime: "1 minute"
}

const poolExhausted = fail(new Reason.PoolExhausted({ endpoint: "stock.internal:443", connections: 1, queued: 0 }))

const aMinuteLater = <A, E, R>(call: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const run = yield* fork(call)
    yield* TestClock.adjust("1 minute")
    return yield* Fiber.join(run)
  })

const errorOf = (
  steps: ReadonlyArray<ScriptedTransport.Step>,
  policy: HttpPolicy.Options,
  method: "get" | "put" = "get"
) => upstream({ "*": steps }, policy)((api) => aMinuteLater(Effect.flip(api[method]("/a"))))

const tagsOf = ({ applied, attempts, previous, reason }: CallError) => ({
  reason: reason._tag,
  previous: previous?._tag,
  applied,
  attempts
})

describe("a call whose retry was refused", () => {
  it.effect("keeps the failure of the attempt that was sent, and that it may have been applied", () =>
    Effect.gen(function* () {
      const error = yield* errorOf([reset], { retry: everySecond, breaker }, "put")
      assert.deepStrictEqual(tagsOf(error), {
        reason: "CircuitOpen",
        previous: "ConnectionReset",
        applied: "maybe",
        attempts: 1
      })
    })
  )

  it.effect("says so in its line, its JSON, its problem details and its wire form", () =>
    Effect.gen(function* () {
      const error = yield* errorOf([reset], { retry: everySecond, breaker }, "put")
      assert.match(
        error.message,
        /^stock: PUT \/a failed after 1 attempt in 1\.00s: stock\.internal:443: connection reset.*; then the next attempt was not sent: the circuit is open .*; an attempt may have been applied; no further attempt: /
      )
      assert.notInclude(error.message, "nothing was sent")
      const told = JSON.parse(JSON.stringify(error))
      assert.strictEqual(told.applied, "maybe")
      assert.strictEqual(told.previous._tag, "ConnectionReset")
      assert.deepInclude(ProblemDetails.fromCallError(error), {
        code: "ERR_POLICY_CIRCUIT_OPEN",
        applied: "maybe",
        previousCode: "ERR_NETWORK_CONNECTION_RESET"
      })
      const internal = ProblemDetails.fromCallError(error, { audience: "internal" })
      const arrived = Option.getOrThrow(ProblemDetails.toCallError(JSON.parse(JSON.stringify(internal))))
      assert.deepStrictEqual(tagsOf(arrived), tagsOf(error))
      assert.instanceOf(arrived.previous, Reason.ConnectionReset)
      assert.strictEqual(arrived.message, error.message)
      assert.strictEqual(Schema.decodeSync(CallError)(Schema.encodeSync(CallError)(error)).applied, "maybe")
    })
  )

  it.effect("says so in its span", () =>
    upstream(
      { "*": [reset] },
      { retry: everySecond, breaker }
    )((api) =>
      Effect.gen(function* () {
        const [call = assert.fail("no span")] = yield* aMinuteLater(traced(api.get("/a")))
        assert.deepInclude(call.attributes, {
          "error.type": "ERR_POLICY_CIRCUIT_OPEN",
          "holdfast.applied": "maybe",
          "holdfast.previous_error": "ERR_NETWORK_CONNECTION_RESET"
        })
        assert.match(call.exit, /connection reset.*; then the next attempt was not sent: the circuit is open/)
        assert.notInclude(call.exit, "nothing was sent")
      })
    )
  )

  it.effect.each<readonly [string, HttpPolicy.Options, ReadonlyArray<ScriptedTransport.Step>, Reason.Tag]>([
    ["an open circuit", { breaker }, [reset], "CircuitOpen"],
    ["a full pool", {}, [reset, poolExhausted], "PoolExhausted"],
    ["a spent deadline", { deadline: "1001 millis" }, [reset, hang], "DeadlineExceeded"]
  ])("whatever refused it: %s", ([, policy, steps, tag]) =>
    Effect.gen(function* () {
      const error = yield* errorOf(steps, { ...policy, retry: { ...everySecond, maxAttempts: 2 } })
      assert.strictEqual(error.reason._tag, tag)
      assert.strictEqual(error.applied, "maybe")
      if (tag !== "DeadlineExceeded") assert.strictEqual(error.previous?._tag, "ConnectionReset")
    })
  )

  it.effect("a full bulkhead, whose other call came in while this one waited", () =>
    upstream(
      { "GET /a": [reset], "GET /b": [hang] },
      { retry: everySecond, bulkhead: { maxConcurrent: 1, maxQueue: 0 } }
    )((api) =>
      Effect.gen(function* () {
        const call = yield* fork(Effect.flip(api.get("/a")))
        const other = yield* fork(api.get("/b"))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(other)
        assert.deepStrictEqual(tagsOf(yield* Fiber.join(call)), {
          reason: "BulkheadFull",
          previous: "ConnectionReset",
          applied: "maybe",
          attempts: 1
        })
      })
    )
  )

  it.effect("the failure is still told when several refusals were waited for", () =>
    Effect.gen(function* () {
      const error = yield* errorOf([reset, poolExhausted], { retry: { ...everySecond, refusals: "wait" } })
      assert.deepStrictEqual(tagsOf(error), {
        reason: "PoolExhausted",
        previous: "ConnectionReset",
        applied: "maybe",
        attempts: 3
      })
    })
  )

  it.effect("was not applied when no attempt can have been", () =>
    Effect.gen(function* () {
      const error = yield* errorOf([refused], { retry: everySecond, breaker })
      assert.deepStrictEqual(tagsOf(error), {
        reason: "CircuitOpen",
        previous: "ConnectionRefused",
        applied: "no",
        attempts: 1
      })
      assert.notInclude(error.message, "applied")
    })
  )
})

describe("whether a call may have been applied", () => {
  it.effect("is judged over all its attempts, and not by the last", () =>
    Effect.gen(function* () {
      const error = yield* errorOf([reset, refused], { retry: { ...everySecond, maxAttempts: 2 } }, "put")
      assert.strictEqual(ErrorCatalog.of(error.reason).applied, "no")
      assert.deepStrictEqual(tagsOf(error), {
        reason: "ConnectionRefused",
        previous: undefined,
        applied: "maybe",
        attempts: 2
      })
      assert.include(error.message, "; an attempt may have been applied; no further attempt")
    })
  )

  it.effect("is what the policy's own classifier says", () =>
    upstream(
      { "*": [status(503)] },
      {},
      { classify: (_, usual) => ({ ...usual, applied: "no" }) }
    )((api) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* Effect.flip(api.get("/a"))).applied, "no")
      })
    )
  )

  it.effect("is no when its deadline had passed before anything was sent", () =>
    upstream(
      { "*": [hang] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const late = Effect.provideService(api.get("/a"), Deadline.Current, { atMillis: -1, budgetMillis: 1000 })
        const error = yield* Effect.flip(late)
        assert.deepInclude(tagsOf(error), { reason: "DeadlineExceeded", applied: "no", attempts: 0 })
      })
    )
  )

  it.effect("is maybe when a hedge that was cut off may have been, whatever the other says", () =>
    upstream(
      { "*": [after("2 seconds", status(404)), hang] },
      { hedge: { delay: "1 second" } }
    )((api) =>
      Effect.gen(function* () {
        const error = yield* aMinuteLater(Effect.flip(api.put("/a", { headers: { "idempotency-key": "k" } })))
        assert.deepInclude(tagsOf(error), { reason: "NotFound", applied: "maybe", attempts: 2 })
      })
    )
  )

  it.effect("a streamed answer that breaks says it, and no failure of an attempt that had been replaced", () =>
    upstream(
      { "*": [reset, stream(["a"], { end: "truncated" })] },
      { retry: everySecond }
    )((api) =>
      Effect.gen(function* () {
        const error = yield* aMinuteLater(
          Effect.flip(Effect.scoped(Effect.flatMap(api.streaming.get("/a"), ({ stream }) => Stream.runDrain(stream))))
        )
        assert.deepInclude(tagsOf(error), { reason: "ResponseTruncated", previous: undefined, applied: "maybe" })
      })
    )
  )

  it.effect("a streamed call whose retry was refused keeps the failure before", () =>
    upstream(
      { "*": [reset] },
      { retry: everySecond, breaker }
    )((api) =>
      Effect.gen(function* () {
        const error = yield* aMinuteLater(Effect.flip(Effect.scoped(api.streaming.get("/a"))))
        assert.deepInclude(tagsOf(error), { reason: "CircuitOpen", previous: "ConnectionReset", applied: "maybe" })
      })
    )
  )
})

describe("a client with a policy", () => {
  const broken = HttpClient.make((request) =>
    Effect.fail(
      new HttpClientError.HttpClientError({
        reason: new HttpClientError.TransportError({
          request,
          cause: Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" })
        })
      })
    )
  )

  it.effect("keeps the failure of the attempt that was sent before a refusal", () =>
    Effect.gen(function* () {
      const client = ResilientClient.withPolicy({
        name: "stock",
        policy: HttpPolicy.make({ retry: everySecond, breaker })
      })(broken)
      const error = yield* aMinuteLater(Effect.flip(client.get("https://stock.internal/")))
      if (!(error instanceof CallError)) return assert.fail(String(error))
      assert.deepInclude(tagsOf(error), { reason: "CircuitOpen", previous: "ConnectionReset", applied: "maybe" })
    })
  )

  it.effect("does not send again what the client below may have sent, though that one ended with a refusal", () =>
    Effect.gen(function* () {
      let asked = 0
      const inner = ResilientClient.transformClient({
        policy: HttpPolicy.make({ retry: { ...everySecond, nonIdempotent: "always" }, breaker })
      })(broken)
      const counted = HttpClient.transform(inner, (send) =>
        Effect.suspend(() => {
          asked++
          return send
        })
      )
      const outer = ResilientClient.withPolicy({
        policy: HttpPolicy.make({ retry: { ...everySecond, nonIdempotent: "unsent", refusals: "wait" } })
      })(counted)
      const error = yield* aMinuteLater(Effect.flip(outer.post("https://stock.internal/")))
      if (!(error instanceof CallError)) return assert.fail(String(error))
      assert.deepInclude(tagsOf(error), { reason: "CircuitOpen", previous: "ConnectionReset", applied: "maybe" })
      assert.deepStrictEqual([error.retryStopped, asked], ["not-replayable", 1])
    })
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Equal, Schema } from "effect"
import { CallError } from "../src/CallError.ts"
import * as ErrorCatalog from "../src/ErrorCatalog.ts"
import * as Reason from "../src/Reason.ts"
import { RetryStopped } from "../src/Retry.ts"
import { arbitraryCallError } from "./support/reasonArbitrary.ts"

const refused = new Reason.ConnectionRefused({
  endpoint: "payments.internal:443",
  phase: "connect",
  code: "ECONNREFUSED"
})

const callError = (changes: Partial<ConstructorParameters<typeof CallError>[0]> = {}) =>
  new CallError({
    upstream: "payments",
    operation: "POST /charges/{id}",
    requestId: "0d6f1c2ab3e94f75",
    attempts: 3,
    elapsed: Duration.millis(1240),
    retryStopped: "budget",
    reason: refused,
    ...changes
  })

describe("CallError", () => {
  it.prop(
    "crosses a wire as an equal error, its reason an equal instance of its own class",
    [arbitraryCallError],
    ([error]) => {
      const arrived = Schema.decodeUnknownSync(CallError)(
        JSON.parse(JSON.stringify(Schema.encodeSync(CallError)(error)))
      )
      assert.instanceOf(arrived, CallError)
      assert.strictEqual(arrived.reason.constructor, error.reason.constructor)
      assert.isTrue(Equal.equals(arrived, error), JSON.stringify(arrived))
      assert.strictEqual(arrived.message, error.message)
    }
  )

  it.prop("prints in one line that holds its code, whatever it holds", [arbitraryCallError], ([error]) => {
    assert.notMatch(error.message, /[\n\v\f\r\u0085\u2028\u2029]/)
    // a business error brings a code of the user's own
    if (error.reason._tag !== "BusinessRejected") assert.include(error.message, error.code)
  })

  it("says which call failed, how hard it was tried, what went wrong last, why it stopped, and how to find it", () => {
    assert.strictEqual(
      callError().message,
      "payments: POST /charges/{id} failed after 3 attempts in 1.24s: payments.internal:443: connection refused " +
        "[ECONNREFUSED], in phase connect; no further attempt: the retry budget is spent " +
        "(ERR_NETWORK_CONNECTION_REFUSED, request 0d6f1c2ab3e94f75)"
    )
  })

  it("says what was sent before a refusal ended it, and that it may have been applied", () => {
    const previous = new Reason.ConnectionReset({ endpoint: "payments.internal:443", phase: "receive" })
    const reason = new Reason.CircuitOpen({ retryAfter: Duration.seconds(5) })
    const refusedAfter = callError({ attempts: 1, retryStopped: "not-retryable", reason, previous })
    assert.strictEqual(refusedAfter.applied, "maybe")
    assert.include(
      refusedAfter.message,
      "failed after 1 attempt in 1.24s: payments.internal:443: connection reset, in phase receive; then the next " +
        "attempt was not sent: the circuit is open; next try in 5s; an attempt may have been applied; no further attempt: "
    )
    assert.strictEqual(callError({ reason }).applied, "no")
    assert.include(callError({ reason }).message, "; nothing was sent; no further attempt")
    assert.strictEqual(callError({ reason, previous, attemptsApplied: "no" }).applied, "no")
    assert.notInclude(callError({ reason, previous, attemptsApplied: "no" }).message, "applied")
  })

  it("says that an attempt may have been applied where its reason says that the last one was not", () => {
    assert.strictEqual(callError().applied, "no")
    const error = callError({ attemptsApplied: "maybe" })
    assert.strictEqual(error.applied, "maybe")
    assert.include(error.message, ", in phase connect; an attempt may have been applied; no further attempt")
  })

  it("counts one attempt in the singular", () => {
    assert.include(callError({ attempts: 1 }).message, "failed after 1 attempt in ")
    assert.include(callError({ attempts: 0 }).message, "failed after 0 attempts in ")
  })

  it("says every way in which a retry can stop in words of its own", () => {
    const messages = RetryStopped.literals.map((retryStopped) => callError({ retryStopped }).message)
    assert.strictEqual(new Set(messages).size, 7)
    for (const message of messages) assert.notInclude(message, "undefined")
  })

  it("agrees with the catalogue on whether a later call may succeed, whatever was not tried again", () => {
    const said = (reason: Reason.Reason) =>
      /no further attempt: (.*) \(ERR_/.exec(callError({ retryStopped: "not-retryable", reason }).message)?.[1]
    assert.strictEqual(
      said(new Reason.CircuitOpen({})),
      "this call does not wait for that, and a later one may succeed"
    )
    assert.strictEqual(said(refused), "the policy does not try this again, and a later call may succeed")
    const denied = new Reason.AddressDenied({
      endpoint: "payments.internal:443",
      address: "10.0.0.1",
      rule: "private is denied"
    })
    for (const reason of [denied, new Reason.RequestEncodeFailed({ path: "json", issue: "not a number" })]) {
      assert.isFalse(ErrorCatalog.of(reason).retryable)
      assert.strictEqual(said(reason), "this is not tried again")
    }
  })

  it("has the code of its reason, and what the catalogue says of it", () => {
    assert.strictEqual(callError().code, "ERR_NETWORK_CONNECTION_REFUSED")
    assert.strictEqual(callError().entry, ErrorCatalog.table.ConnectionRefused)
  })

  it.prop("as JSON it is its encoding, with its code and its line", [arbitraryCallError], ([error]) => {
    assert.deepStrictEqual(JSON.parse(JSON.stringify(error)), {
      code: error.code,
      message: error.message,
      applied: error.applied,
      ...JSON.parse(JSON.stringify(Schema.encodeSync(CallError)(error)))
    })
  })

  it("a time is said as a person reads it", () => {
    const took = (millis: number) => /in (\S+):/.exec(callError({ elapsed: Duration.millis(millis) }).message)?.[1]
    assert.deepStrictEqual([0, 0.44, 9.96, 12.4, 999, 1000, 61_005].map(took), [
      "0ms",
      "0.4ms",
      "10ms",
      "12ms",
      "999ms",
      "1.00s",
      "61.01s"
    ])
  })

  it.effect("one kind of failure is picked out by its reason, and the others stay", () =>
    Effect.gen(function* () {
      const picked = (error: CallError) =>
        Effect.fail(error).pipe(
          Effect.catchReason("CallError", "ConnectionRefused", (reason) => Effect.succeed(reason.code))
        )
      assert.strictEqual(yield* picked(callError()), "ECONNREFUSED")
      const other = callError({ reason: new Reason.CircuitOpen({}) })
      assert.strictEqual(yield* Effect.flip(picked(other)), other)
    })
  )

  it.effect("several kinds of failure are picked out at once", () =>
    Effect.gen(function* () {
      const answer = yield* Effect.fail(callError({ reason: new Reason.CircuitOpen({}) })).pipe(
        Effect.catchReasons("CallError", {
          ConnectionRefused: () => Effect.succeed("refused"),
          CircuitOpen: () => Effect.succeed("open")
        })
      )
      assert.strictEqual(answer, "open")
    })
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Duration, Equal, Exit, Option, Schema } from "effect"
import { ProblemDetails as EffectProblemDetails } from "effect/http"
import { CallError } from "../src/CallError.ts"
import * as ErrorCatalog from "../src/ErrorCatalog.ts"
import * as ProblemDetails from "../src/ProblemDetails.ts"
import * as Reason from "../src/Reason.ts"
import { arbitraryCallError, rebuilt } from "./support/reasonArbitrary.ts"

const canary = "c4n4ry"

/** What a reason is made of, and the catalogue's row, which is public; everything else may be a secret. */
const open = new Set(["_tag", "phase", "entry", "of"])

const poisoned = (value: unknown): unknown => {
  if (typeof value === "string") return `${canary}${value}`
  if (Array.isArray(value)) return [canary, ...value]
  if (typeof value === "object" && value !== null && !Duration.isDuration(value)) {
    return { ...value, [canary]: canary, type: canary }
  }
  return value
}

const over = (reason: Reason.Reason): CallError =>
  new CallError({
    upstream: "payments",
    operation: "GET /charges/{id}",
    requestId: "0d6f1c2ab3e94f75",
    attempts: 2,
    elapsed: Duration.millis(12),
    retryStopped: "attempts",
    reason
  })

const received = (problem: ProblemDetails.ProblemDetails) =>
  Option.getOrThrow(ProblemDetails.decode(JSON.parse(JSON.stringify(problem))))

describe("ProblemDetails", () => {
  it.prop(
    "a stranger learns nothing that a reason holds: no host, no header, no body, no detail",
    [arbitraryCallError],
    ([error]) => {
      const secretive = over(rebuilt(error.reason, (name, value) => (open.has(name) ? value : poisoned(value))))
      const published = JSON.stringify(ProblemDetails.fromCallError(secretive))
      assert.notInclude(published, canary)
      assert.strictEqual(JSON.stringify(ProblemDetails.fromCallError(secretive, { audience: "public" })), published)
    }
  )

  it("a stranger learns nothing of endpoint, headers, body and problem of the upstream's answer", () => {
    const problem = ProblemDetails.fromCallError(
      over(
        new Reason.Unauthorized({
          endpoint: `${canary}.internal:443`,
          headers: { "x-debug": canary, [canary]: "1" },
          body: canary,
          bodyComplete: true,
          problem: { type: canary, title: canary, detail: canary, [canary]: canary }
        })
      )
    )
    assert.deepStrictEqual(problem, {
      type: "urn:holdfast:error:ERR_STATUS_UNAUTHORIZED",
      title: "the credentials are missing or not accepted",
      status: 502,
      code: "ERR_STATUS_UNAUTHORIZED",
      upstream: "payments",
      requestId: "0d6f1c2ab3e94f75",
      retryable: false,
      applied: "no"
    })
  })

  it.prop("an internal audience gets the whole error back", [arbitraryCallError], ([error]) => {
    const problem = received(ProblemDetails.fromCallError(error, { audience: "internal" }))
    assert.strictEqual(problem.detail, error.message)
    const arrived = Option.getOrThrow(ProblemDetails.toCallError(problem))
    assert.instanceOf(arrived, CallError)
    assert.isTrue(Equal.equals(arrived, error), JSON.stringify(arrived))
  })

  it.prop("a public problem carries no error to get back", [arbitraryCallError], ([error]) => {
    const problem = received(ProblemDetails.fromCallError(error))
    assert.isTrue(Option.isNone(ProblemDetails.toCallError(problem)))
    assert.strictEqual(problem.status, ErrorCatalog.of(error.reason).answerStatus)
    assert.isUndefined(problem.detail)
  })

  it("a wait is told in whole seconds, rounded up so that nobody comes too soon", () => {
    const asked = (millis: number) =>
      ProblemDetails.fromCallError(over(new Reason.RateLimited({ retryAfter: Duration.millis(millis) })))[
        "retryAfterSeconds"
      ]
    assert.strictEqual(asked(1), 1)
    assert.strictEqual(asked(2000), 2)
    assert.strictEqual(asked(2001), 3)
    assert.notProperty(ProblemDetails.fromCallError(over(new Reason.RateLimited({}))), "retryAfterSeconds")
  })

  it("a member of the wrong type is ignored, an unknown one is kept, and what is not an object is no problem", () => {
    const problem = Option.getOrThrow(ProblemDetails.decode({ title: "Out", status: "no", type: 7, sku: "A-7" }))
    assert.deepStrictEqual({ ...problem }, { title: "Out", type: "about:blank", sku: "A-7" })
    for (const body of ["text", 7, null, undefined]) assert.isTrue(Option.isNone(ProblemDetails.decode(body)))
  })

  const value = Schema.Union([Schema.String, Schema.Finite, Schema.Null, Schema.Array(Schema.Boolean)])
  const member = Schema.optionalKey(value)
  const bodies = Schema.Union([
    Schema.Struct({ type: member, status: member, title: member, detail: member, instance: member, sku: member }),
    value
  ])

  it.prop("Effect's own codec reads and writes every body alike", [Arbitrary.schema(bodies)], ([body]) => {
    const ours = Schema.decodeUnknownExit(ProblemDetails.ProblemDetailsSchema)(body)
    const theirs = Schema.decodeUnknownExit(EffectProblemDetails.Schema)(body)
    assert.deepStrictEqual(Exit.getSuccess(ours), Exit.getSuccess(theirs))
    if (Exit.isFailure(ours)) return
    assert.deepStrictEqual(
      Schema.encodeSync(ProblemDetails.ProblemDetailsSchema)(ours.value),
      Schema.encodeSync(EffectProblemDetails.Schema)(ours.value)
    )
  })

  it("an error that does not decode is none", () => {
    assert.isTrue(Option.isNone(ProblemDetails.toCallError({ type: "about:blank", callError: { _tag: "CallError" } })))
  })
})

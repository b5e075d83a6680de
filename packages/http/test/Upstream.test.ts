import { inspect } from "node:util"
import {
  Cause,
  Context,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Random,
  Redacted,
  Schedule,
  Schema,
  Stream
} from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import { CallError } from "@holdfast/core/CallError"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Deadline from "@holdfast/core/Deadline"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import * as Outcome from "@holdfast/core/Outcome"
import * as Reason from "@holdfast/core/Reason"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as Rejection from "../src/Rejection.ts"
import * as Transport from "../src/Transport.ts"
import * as Upstream from "../src/Upstream.ts"

const Charge = Schema.Struct({ id: Schema.String, amount: Schema.Int })

const { fail, hang, json, status } = ScriptedTransport

const everySecond = Schedule.spaced("1 second")

const patient = HttpPolicy.standard({ retry: { schedule: everySecond } })

const retrying = (retry: HttpPolicy.RetryOptions): HttpPolicy.HttpPolicy =>
  HttpPolicy.standard({ retry: { schedule: everySecond, ...retry } })

const reset = (phase: Reason.Phase) => new Reason.ConnectionReset({ endpoint: "payments.internal:443", phase })

const payments = ErrorCatalog.make("payments", {
  INSUFFICIENT_BALANCE: { summary: "the account has too little money", answerStatus: 402 },
  LEDGER_BUSY: { summary: "the ledger is being closed", retryable: true }
})

const insufficient = Rejection.make(
  payments.INSUFFICIENT_BALANCE,
  Schema.Struct({ error: Schema.Literal("insufficient_balance"), missing: Schema.Int })
)

const busy = Rejection.make(payments.LEDGER_BUSY, Schema.Struct({ error: Schema.Literal("busy") }))

interface Seen<A> {
  readonly exit: Exit.Exit<A, unknown>
  readonly requests: ReadonlyArray<Transport.Request>
  readonly interrupted: ReadonlyArray<Transport.Request>
  /** The call's failure; fails the test if it has none. */
  readonly error: CallError
}

/** Makes a call against a script, with all the time that it wants. */
const calling = <A, E>(
  script: ScriptedTransport.Script,
  use: (api: Upstream.Upstream) => Effect.Effect<A, E>,
  options: Partial<Upstream.Options> = {}
): Effect.Effect<Seen<A>> =>
  Effect.gen(function* () {
    const api = yield* Upstream.make("payments", {
      baseUrl: "https://payments.internal/v1",
      policy: patient,
      ...options
    })
    const fiber = yield* Effect.forkChild(Effect.exit(use(api)))
    yield* TestClock.adjust("1 hour")
    const exit = yield* Fiber.join(fiber)
    const { interrupted, requests } = yield* yield* ScriptedTransport.ScriptedRequests
    return {
      exit,
      requests,
      interrupted,
      get error() {
        const failure = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason)?.error : undefined
        return failure instanceof CallError ? failure : assert.fail(`the call did not fail: ${inspect(exit)}`)
      }
    }
  }).pipe(Effect.scoped, Effect.provide(ScriptedTransport.layer(script)))

const succeeded = <A>(seen: Seen<A>): A => {
  if (Exit.isSuccess(seen.exit)) return seen.exit.value
  return assert.fail(inspect(seen.exit.cause))
}

/** Everything that somebody could read of an error. */
const readable = (error: CallError): string =>
  [
    error.message,
    error.stack,
    String(error),
    JSON.stringify(error),
    JSON.stringify(Schema.encodeSync(CallError)(error)),
    inspect(error, { depth: 20, showHidden: true }),
    Cause.pretty(Cause.fail(error))
  ].join("\n")

describe("Upstream", () => {
  describe("retries", () => {
    it.effect("a GET that meets a busy server is made again, and gives the decoded answer", () =>
      Effect.gen(function* () {
        const seen = yield* calling(
          { "GET /charges/{id}": [status(503), fail(reset("receive")), json({ id: "ch_1", amount: 1200 })] },
          (api) => api.get("/charges/{id}", { params: { id: "ch_1" }, decode: Charge })
        )
        assert.deepStrictEqual(succeeded(seen), { id: "ch_1", amount: 1200 })
        assert.deepStrictEqual(
          seen.requests.map(({ method, operation, origin, path, resend }) => [resend, method, origin, path, operation]),
          [0, 1, 2].map((resend) => [
            resend,
            "GET",
            "https://payments.internal",
            "/v1/charges/ch_1",
            "GET /charges/{id}"
          ])
        )
      })
    )

    it.effect("what remains after all attempts is one error, with the last reason and the count", () =>
      Effect.gen(function* () {
        const { error, requests } = yield* calling({ "*": [fail(reset("wait")), status(502), status(503)] }, (api) =>
          api.get("/charges")
        )
        assert.strictEqual(requests.length, 3)
        assert.strictEqual(error.reason._tag, "ServiceUnavailable")
        assert.deepInclude(error, {
          upstream: "payments",
          operation: "GET /charges",
          attempts: 3,
          retryStopped: "attempts"
        })
        assert.strictEqual(Duration.toMillis(error.elapsed), 2000)
      })
    )

    for (const method of ["get", "head", "put", "delete"] as const) {
      it.effect(`${method.toUpperCase()} is idempotent, and made again`, () =>
        Effect.gen(function* () {
          const seen = yield* calling({ "*": [status(503), status(204)] }, (api) => api[method]("/a"))
          assert.strictEqual(succeeded(seen).status, 204)
          assert.deepStrictEqual(
            seen.requests.map((request) => request.method),
            [method.toUpperCase(), method.toUpperCase()]
          )
        })
      )
    }

    for (const method of ["post", "patch"] as const) {
      it.effect(`${method.toUpperCase()} is sent once, even when nothing of it can have been sent`, () =>
        Effect.gen(function* () {
          for (const step of [status(503), fail(reset("wait")), fail(reset("connect"))]) {
            const { error, requests } = yield* calling({ "*": [step] }, (api) => api[method]("/a", { json: {} }))
            assert.strictEqual(requests.length, 1)
            assert.deepInclude(error, { attempts: 1, retryStopped: "not-replayable" })
          }
        })
      )
    }

    it.effect("a POST with an idempotency key is made again, with the same key on every attempt", () =>
      Effect.gen(function* () {
        const seen = yield* calling({ "*": [status(503), status(503), status(201)] }, (api) =>
          api.post("/charges", { json: { amount: 1 }, idempotencyKey: 'order "7"\\' })
        )
        assert.strictEqual(succeeded(seen).status, 201)
        assert.deepStrictEqual(
          seen.requests.map(({ body, headers }) => [headers["idempotency-key"], body]),
          [1, 2, 3].map(() => ['"order \\"7\\"\\\\"', '{"amount":1}'])
        )
      })
    )

    it.effect("an idempotency key of its own making is the same on every attempt, and another for another call", () =>
      Effect.gen(function* () {
        const { requests } = yield* calling({ "*": [status(503), status(201)] }, (api) =>
          Effect.repeat(api.post("/charges", { idempotencyKey: true }), { times: 1 })
        )
        const keys = requests.map(({ headers }) => headers["idempotency-key"])
        assert.strictEqual(keys.length, 3)
        assert.match(keys[0] ?? "", /^"[0-9a-f]{32}"$/)
        assert.strictEqual(keys[1], keys[0])
        assert.notStrictEqual(keys[2], keys[0])
      }).pipe(Random.withSeed("keys"))
    )

    it.effect("'unsent' makes a POST again that did not reach the upstream, and no other", () =>
      Effect.gen(function* () {
        const policy = retrying({ nonIdempotent: "unsent" })
        const post = (api: Upstream.Upstream) => api.post("/charges", { json: {} })
        const unsent = yield* calling({ "*": [fail(reset("connect")), status(201)] }, post, { policy })
        assert.strictEqual(succeeded(unsent).status, 201)
        for (const step of [fail(reset("send")), fail(reset("wait")), status(503)]) {
          const sent = yield* calling({ "*": [step, status(201)] }, post, { policy })
          assert.deepInclude(sent.error, { attempts: 1, retryStopped: "not-replayable" })
        }
      })
    )

    it.effect("'always' makes every POST again", () =>
      Effect.gen(function* () {
        const policy = retrying({ nonIdempotent: "always" })
        const seen = yield* calling({ "*": [status(503), status(201)] }, (api) => api.post("/a", { json: {} }), {
          policy
        })
        assert.strictEqual(succeeded(seen).status, 201)
      })
    )

    it.effect("what another try cannot help is not tried again", () =>
      Effect.gen(function* () {
        const { error, requests } = yield* calling({ "*": [status(404), status(200)] }, (api) => api.get("/a"))
        assert.strictEqual(requests.length, 1)
        assert.strictEqual(error.reason._tag, "NotFound")
        assert.strictEqual(error.retryStopped, "not-retryable")
      })
    )

    it.effect("a policy without retry makes one attempt", () =>
      Effect.gen(function* () {
        const { error, requests } = yield* calling({ "*": [status(503)] }, (api) => api.get("/a"), {
          policy: HttpPolicy.none
        })
        assert.strictEqual(requests.length, 1)
        assert.deepInclude(error, { attempts: 1, retryStopped: "attempts" })
      })
    )

    it.effect("the server's wait is kept, and one that is too long ends the call with the server's answer", () =>
      Effect.gen(function* () {
        const waiting = (seconds: string) => status(429, { headers: { "retry-after": seconds } })
        const kept = yield* calling(
          { "*": [waiting("5"), status(200)] },
          (api) =>
            Effect.andThen(
              api.get("/a"),
              Effect.clockWith((clock) => clock.currentTimeMillis)
            ),
          { policy: retrying({ serverWaitJitter: 0 }) }
        )
        assert.strictEqual(succeeded(kept), 5000)
        const { error, requests } = yield* calling({ "*": [waiting("61")] }, (api) => api.get("/a"))
        assert.strictEqual(requests.length, 1)
        assert.strictEqual(error.retryStopped, "server-wait")
        assert.strictEqual(error.reason._tag, "TooManyRequests")
      })
    )

    it.effect("the budget is the upstream's: what one call spends, another lacks", () =>
      Effect.gen(function* () {
        const policy = retrying({ budget: { ratio: 0, minimumPerSecond: 0.1 } })
        const seen = yield* calling(
          { "*": [status(503)] },
          (api) => Effect.andThen(Effect.flip(api.get("/a")), Effect.flip(api.get("/b"))),
          { policy }
        )
        const second = succeeded(seen)
        assert.deepInclude(second, { attempts: 1, retryStopped: "budget" })
        assert.strictEqual(second.reason._tag, "ServiceUnavailable")
        assert.deepStrictEqual(
          seen.requests.map(({ path }) => path),
          ["/v1/a", "/v1/a", "/v1/b"]
        )
      })
    )

    it.effect("what this side refused ends the call at once, unless the policy says to wait for it", () =>
      Effect.gen(function* () {
        const opened = (refusals: "fail" | "wait" | undefined) =>
          calling(
            { "*": [status(500), json({ id: "ch_1", amount: 1200 })] },
            (api) => api.get("/a", { decode: Charge }),
            {
              policy: HttpPolicy.standard({
                retry: { maxAttempts: 3, refusals },
                breaker: { trip: [CircuitBreaker.consecutiveFailures(1)], openTime: "2 seconds" }
              })
            }
          )
        for (const refusals of [undefined, "fail"] as const) {
          const { error } = yield* opened(refusals)
          assert.deepInclude(error, { attempts: 1, retryStopped: "not-retryable" })
          assert.strictEqual(error.reason._tag, "CircuitOpen")
        }
        const waited = yield* opened("wait")
        assert.deepStrictEqual(succeeded(waited), { id: "ch_1", amount: 1200 })
        assert.strictEqual(waited.requests.length, 2)
      })
    )

    it.effect("a classifier of the upstream's own decides what is worth another try", () =>
      Effect.gen(function* () {
        const heard: Array<string> = []
        const seen = yield* calling({ "*": [status(404), status(200)] }, (api) => api.get("/a"), {
          classify: (reason, usual) => {
            heard.push(`${reason._tag} ${usual.retryable}`)
            return reason._tag === "NotFound" ? Outcome.failure({ cause: "transient" }) : usual
          }
        })
        assert.strictEqual(succeeded(seen).status, 200)
        assert.deepStrictEqual(heard, ["NotFound false"])
        const never = yield* calling({ "*": [status(503)] }, (api) => api.get("/a"), {
          classify: () => Outcome.failure({ cause: "permanent" })
        })
        assert.strictEqual(never.error.retryStopped, "not-retryable")
      })
    )
  })

  describe("time", () => {
    const quick = HttpPolicy.standard({
      deadline: "10 seconds",
      attemptTimeout: "2 seconds",
      retry: { schedule: everySecond }
    })

    it.effect("an attempt that hangs is given up at its timeout, aborted, and made again", () =>
      Effect.gen(function* () {
        const seen = yield* calling(
          { "*": [hang, json({ id: "ch_1", amount: 1 })] },
          (api) =>
            Effect.zip(
              api.get("/a", { decode: Charge }),
              Effect.clockWith((clock) => clock.currentTimeMillis)
            ),
          { policy: quick }
        )
        assert.deepStrictEqual(succeeded(seen), [{ id: "ch_1", amount: 1 }, 3000])
        assert.deepStrictEqual(
          seen.interrupted.map(({ resend }) => resend),
          [0]
        )
      })
    )

    it.effect("a server that hangs for good is an attempt's timeout each time", () =>
      Effect.gen(function* () {
        const { error, interrupted } = yield* calling({ "*": [hang] }, (api) => api.get("/a"), { policy: quick })
        assert.deepStrictEqual(error.reason, new Reason.AttemptTimeout({ limit: Duration.seconds(2) }))
        assert.deepInclude(error, { attempts: 3, retryStopped: "attempts" })
        assert.strictEqual(interrupted.length, 3)
      })
    )

    it.effect("the policy's deadline ends the call, in the middle of an attempt if need be", () =>
      Effect.gen(function* () {
        const policy = HttpPolicy.standard({
          deadline: "4 seconds",
          retry: { schedule: everySecond },
          attemptTimeout: "2 seconds"
        })
        const { error, interrupted } = yield* calling({ "*": [hang] }, (api) => api.get("/a"), { policy })
        assert.deepStrictEqual(error.reason, new Reason.DeadlineExceeded({ budget: Duration.seconds(4) }))
        assert.deepInclude(error, { attempts: 2, retryStopped: "not-retryable" })
        assert.strictEqual(Duration.toMillis(error.elapsed), 4000)
        assert.strictEqual(interrupted.length, 2)
      })
    )

    it.effect("a tighter deadline of the caller goes before the policy's, and a wider one does not", () =>
      Effect.gen(function* () {
        const budget = (within: Duration.Input) =>
          calling({ "*": [hang] }, (api) => Deadline.within(within)(api.get("/a")), {
            policy: HttpPolicy.standard({ deadline: "3 seconds" })
          })
        const tight = (yield* budget("1 second")).error
        assert.deepStrictEqual(tight.reason, new Reason.DeadlineExceeded({ budget: Duration.seconds(1) }))
        const wide = (yield* budget("1 minute")).error
        assert.deepStrictEqual(wide.reason, new Reason.DeadlineExceeded({ budget: Duration.seconds(3) }))
      })
    )

    it.effect("a deadline that is already spent sends nothing", () =>
      Effect.gen(function* () {
        const late = (api: Upstream.Upstream) =>
          Deadline.within("1 second")(Effect.andThen(Effect.sleep("2 seconds"), api.get("/a")))
        const { error, requests } = yield* calling({ "*": [status(200)] }, late)
        assert.strictEqual(error.reason._tag, "DeadlineExceeded")
        assert.strictEqual(requests.length, 0)
      })
    )

    it.effect("a caller that goes away interrupts the attempt, and no error is made of it", () =>
      Effect.gen(function* () {
        const api = yield* Upstream.make("payments", { baseUrl: "https://payments.internal", policy: patient })
        const fiber = yield* Effect.forkChild(api.get("/a"))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(fiber)
        const exit = yield* Fiber.await(fiber)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
        const { interrupted, requests } = yield* yield* ScriptedTransport.ScriptedRequests
        assert.deepStrictEqual([requests.length, interrupted.length], [1, 1])
        assert.deepInclude(yield* api.stages.budget?.snapshot ?? Effect.die("no budget"), {
          callsInFlight: 0,
          retriesInFlight: 0
        })
      }).pipe(Effect.provide(ScriptedTransport.layer({ "*": [hang] })))
    )
  })

  describe("a request that cannot be built is sent to nobody", () => {
    const refused = (
      use: (api: Upstream.Upstream) => Effect.Effect<unknown, CallError>,
      options?: Partial<Upstream.Options>
    ) =>
      Effect.map(calling({ "*": [status(200)] }, use, options), ({ error, requests }) => {
        assert.strictEqual(requests.length, 0)
        assert.deepInclude(error, { attempts: 0, retryStopped: "not-retryable" })
        const { reason } = error
        if (reason._tag !== "RequestEncodeFailed") return assert.fail(reason._tag)
        return { path: reason.path, issue: reason.issue, error }
      })

    /** As code without types calls it. */
    const untyped = (api: Upstream.Upstream, path: string, options: object) =>
      (api.post as (path: string, options: object) => Effect.Effect<unknown, CallError>)(path, options)

    it.effect("a place in the path without a value", () =>
      Effect.gen(function* () {
        const { issue, path } = yield* refused((api) => untyped(api, "/charges/{id}", {}))
        assert.deepStrictEqual([path, issue], ["params.id", "the path /charges/{id} needs it, and it was not given"])
      })
    )

    it.effect("a value that names another path, or that is not Unicode", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* refused((api) => api.get("/a/{id}", { params: { id: ".." } }))).path, "params.id")
        assert.strictEqual(
          (yield* refused((api) => api.get("/a/{id}", { params: { id: "\ud800" } }))).path,
          "params.id"
        )
        assert.strictEqual((yield* refused((api) => api.get("/a", { query: { q: "\ud800" } }))).path, "query.q")
      })
    )

    it.effect("a whole URL, with what to write instead, and without what it may hold", () =>
      Effect.gen(function* () {
        const { issue, path } = yield* refused((api) => api.get("https://user:password@stock.internal/items"))
        assert.strictEqual(path, "path")
        assert.include(issue, "got a whole URL; write what comes after the baseUrl")
        assert.notInclude(issue, "password")
      })
    )

    it.effect("a path that does not begin with a slash", () =>
      Effect.gen(function* () {
        const { issue, path } = yield* refused((api) => api.get("charges"))
        assert.deepStrictEqual([path, issue], ["path", 'a path begins with a slash, got "charges"'])
      })
    )

    it.effect("a header value with a line break, which is not repeated: it may be the secret that holds it", () =>
      Effect.gen(function* () {
        for (const value of ["c4n4ry\n", "c4n4ry\r\nx-evil: 1", "c4n4ry\u0000", "c4n4ry\u0100"]) {
          for (const given of [value, Redacted.make(value)]) {
            const { error, issue, path } = yield* refused((api) => api.get("/a", { headers: { Authorization: given } }))
            assert.strictEqual(path, "headers.authorization")
            assert.strictEqual(issue, "the value has a character that a header may not have")
            assert.notInclude(readable(error), "c4n4ry")
          }
        }
      })
    )

    it("a header of the upstream itself that cannot be sent is found where the upstream is made, and not repeated", () => {
      assert.throws(
        () => Upstream.make("a", { baseUrl: "https://a", headers: { "x-key": Redacted.make("c4n4ry\n") } }),
        RangeError,
        /^Upstream a: headers\.x-key: the value has a character that a header may not have$/
      )
    })

    it.effect("a header name that is none", () =>
      Effect.gen(function* () {
        const { issue, path } = yield* refused((api) => api.get("/a", { headers: { "x key": "1" } }))
        assert.strictEqual(path, "headers")
        assert.match(issue, /not a header name/)
        assert.notInclude(issue, "x key", "it may be a value in the wrong place")
      })
    )

    it.effect("an idempotency key that a header cannot carry, or that is empty", () =>
      Effect.gen(function* () {
        for (const idempotencyKey of ["", "é", "a\nb"]) {
          const { issue, path } = yield* refused((api) => api.post("/a", { idempotencyKey }))
          assert.deepStrictEqual([path, issue], ["idempotencyKey", "must be printable ASCII, and not empty"])
        }
      })
    )

    it.effect("two bodies", () =>
      Effect.gen(function* () {
        const { issue, path } = yield* refused((api) => api.post("/a", { json: {}, text: "" }))
        assert.deepStrictEqual([path, issue], ["body", "one body is given at most, got json and text"])
      })
    )

    it.effect("a value that JSON cannot hold: a BigInt, a ring, a function", () =>
      Effect.gen(function* () {
        assert.include((yield* refused((api) => api.post("/a", { json: { amount: 1n } }))).issue, "BigInt")
        const ring: { self?: unknown } = {}
        ring.self = ring
        const { issue } = yield* refused((api) => api.post("/a", { json: ring }))
        assert.match(issue, /^[^\n]*circular[^\n]*$/i)
        assert.strictEqual((yield* refused((api) => api.post("/a", { json: () => 1 }))).issue, "function is not JSON")
      })
    )

    it.effect("a value that its schema does not encode, with the place in it", () =>
      Effect.gen(function* () {
        const { path } = yield* refused((api) => api.post("/a", { json: { id: "ch_1", amount: 1.5 }, encode: Charge }))
        assert.strictEqual(path, "json.amount")
      })
    )
  })

  describe("answers", () => {
    it.effect("without a schema the whole answer is given", () =>
      Effect.gen(function* () {
        const seen = yield* calling({ "*": [status(200, { headers: { etag: "7" }, body: "héllo" })] }, (api) =>
          api.get("/a")
        )
        const answer = succeeded(seen)
        assert.deepStrictEqual(
          [answer.status, answer.headers, answer.text, answer.bytes.length],
          [200, { etag: "7" }, "héllo", 6]
        )
      })
    )

    it.effect("an answer that does not decode names the place, what was expected, and the beginning of the body", () =>
      Effect.gen(function* () {
        const body = { id: "ch_1", items: [{ price: 1 }, { price: `dear\n${"x".repeat(2000)}` }] }
        const Priced = Schema.Struct({ items: Schema.Array(Schema.Struct({ price: Schema.Number })) })
        const { error, requests } = yield* calling({ "*": [json(body)] }, (api) => api.get("/a", { decode: Priced }))
        const { reason } = error
        if (reason._tag !== "ResponseDecodeFailed") return assert.fail(reason._tag)
        assert.deepInclude(reason, {
          status: 200,
          contentType: "application/json",
          path: "items[1].price",
          excerpt: JSON.stringify(body).slice(0, 500)
        })
        assert.isAtMost(reason.issue.length, 201)
        assert.notMatch(reason.message, /\n/)
        assert.strictEqual(requests.length, 1, "the same answer would come again")
        assert.strictEqual(error.retryStopped, "not-retryable")
      })
    )

    it.effect("an answer that is not JSON says so, with its media type", () =>
      Effect.gen(function* () {
        const page = status(200, { headers: { "content-type": "text/html" }, body: "<html>" })
        const { reason } = (yield* calling({ "*": [page] }, (api) => api.get("/a", { decode: Charge }))).error
        assert.deepInclude(reason, {
          _tag: "ResponseDecodeFailed",
          path: "",
          issue: "not JSON (content type text/html)",
          excerpt: "<html>"
        })
      })
    )

    it.effect("no content decodes as nothing", () =>
      Effect.gen(function* () {
        const seen = yield* calling({ "*": [status(204)] }, (api) => api.delete("/a", { decode: Schema.Void }))
        assert.isUndefined(succeeded(seen))
        const wanted = yield* calling({ "*": [status(204)] }, (api) => api.get("/a", { decode: Charge }))
        assert.deepInclude(wanted.error.reason, {
          _tag: "ResponseDecodeFailed",
          issue: "a 204 without a body, where the schema wants one; decode it with Schema.Void, or ask without decode"
        })
      })
    )

    it.effect("a status that is expected is an answer, and the transport is told to read it whole", () =>
      Effect.gen(function* () {
        const seen = yield* calling({ "*": [status(404, { body: "none" })] }, (api) =>
          api.get("/a", { expectedStatus: [404] })
        )
        assert.deepInclude(succeeded(seen), { status: 404, text: "none" })
        assert.deepStrictEqual(seen.requests[0]?.expectedStatus, [404])
        const other = yield* calling({ "*": [status(410)] }, (api) => api.get("/a", { expectedStatus: [404] }))
        assert.strictEqual(other.error.reason._tag, "Gone")
      })
    )

    it.effect("304 is an answer; a redirect is not followed, and a status below 200 is no success", () =>
      Effect.gen(function* () {
        assert.strictEqual(succeeded(yield* calling({ "*": [status(304)] }, (api) => api.get("/a"))).status, 304)
        const moved = status(302, { headers: { location: "https://b.example/?t=c4n4ry" } })
        const { error } = yield* calling({ "*": [moved] }, (api) => api.get("/a"))
        assert.strictEqual(error.reason._tag, "TooManyRedirects")
        assert.include(error.message, "https://b.example")
        assert.notInclude(readable(error), "c4n4ry")
      })
    )

    it.effect("a declared business error in an envelope of 200 is the call's failure, with the decoded error", () =>
      Effect.gen(function* () {
        const { error, requests } = yield* calling(
          { "*": [json({ error: "insufficient_balance", missing: 30 })] },
          (api) => api.get("/a", { decode: Charge, rejections: [insufficient] })
        )
        assert.deepStrictEqual(
          error.reason,
          new Reason.BusinessRejected({
            entry: payments.INSUFFICIENT_BALANCE,
            status: 200,
            error: { error: "insufficient_balance", missing: 30 }
          })
        )
        assert.strictEqual(error.code, "ERR_PAYMENTS_INSUFFICIENT_BALANCE")
        assert.strictEqual(requests.length, 1)
      })
    )

    it.effect("a declared business error at 422 goes before the status; what is not declared is the status", () =>
      Effect.gen(function* () {
        const use = (api: Upstream.Upstream) => api.get("/a")
        const options = { rejections: [busy, insufficient] }
        const declared = json({ error: "insufficient_balance", missing: 1 }, { status: 422 })
        const rejected = yield* calling({ "*": [declared] }, use, options)
        assert.deepInclude(rejected.error.reason, { _tag: "BusinessRejected", status: 422 })
        for (const step of [json({ error: "other" }, { status: 422 }), status(422, { body: "{ cut off" })]) {
          assert.strictEqual((yield* calling({ "*": [step] }, use, options)).error.reason._tag, "UnprocessableContent")
        }
      })
    )

    it.effect("a rejection is recovered from with its decoded error, and any other failure stays", () =>
      Effect.gen(function* () {
        const rejections = [busy, insufficient]
        const recovered = (body: unknown) =>
          calling({ "*": [json(body, { status: 422 })] }, (api) =>
            api.post("/a", { rejections }).pipe(
              Effect.as("charged"),
              Rejection.catchRejection(insufficient, ({ missing }) => Effect.succeed(`${missing} missing`))
            )
          )
        assert.strictEqual(succeeded(yield* recovered({ error: "insufficient_balance", missing: 3 })), "3 missing")
        assert.strictEqual((yield* recovered({ error: "busy" })).error.code, "ERR_PAYMENTS_LEDGER_BUSY")
        assert.strictEqual((yield* recovered({ error: "other" })).error.code, "ERR_STATUS_UNPROCESSABLE_CONTENT")
      })
    )

    it.effect("a business error that may pass is tried again", () =>
      Effect.gen(function* () {
        const seen = yield* calling(
          { "*": [json({ error: "busy" }, { status: 409 }), json({ id: "ch_1", amount: 1 })] },
          (api) => api.get("/a", { decode: Charge, rejections: [busy] })
        )
        assert.strictEqual(succeeded(seen).id, "ch_1")
      })
    )
  })

  describe("bodies", () => {
    const sent = (use: (api: Upstream.Upstream) => Effect.Effect<unknown, CallError>) =>
      Effect.map(calling({ "*": [status(200)] }, use), ({ requests }) => ({
        body: requests[0]?.body,
        type: requests[0]?.headers["content-type"]
      }))

    it.effect("each kind is sent as what it is", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* sent((api) => api.post("/a", { json: { a: [1, null] } })), {
          body: '{"a":[1,null]}',
          type: "application/json"
        })
        assert.deepStrictEqual(yield* sent((api) => api.post("/a", { json: null })), {
          body: "null",
          type: "application/json"
        })
        const Dated = Schema.Struct({ at: Schema.DurationFromMillis })
        assert.deepStrictEqual(
          yield* sent((api) => api.post("/a", { json: { at: Duration.seconds(1) }, encode: Dated })),
          { body: '{"at":1000}', type: "application/json" }
        )
        assert.deepStrictEqual(yield* sent((api) => api.post("/a", { form: { a: "1 & 2", b: undefined, c: true } })), {
          body: "a=1+%26+2&c=true",
          type: "application/x-www-form-urlencoded"
        })
        assert.deepStrictEqual(yield* sent((api) => api.post("/a", { text: "" })), {
          body: "",
          type: "text/plain;charset=utf-8"
        })
        const bytes = Uint8Array.of(1, 2)
        assert.deepStrictEqual(yield* sent((api) => api.post("/a", { bytes })), {
          body: bytes,
          type: "application/octet-stream"
        })
        assert.deepStrictEqual(yield* sent((api) => api.post("/a")), { body: undefined, type: undefined })
      })
    )

    it.effect("a media type that is given goes before the kind's own, and a header's before both", () =>
      Effect.gen(function* () {
        const given = yield* sent((api) => api.post("/a", { json: {}, contentType: "application/vnd.a+json" }))
        assert.strictEqual(given.type, "application/vnd.a+json")
        const header = yield* sent((api) => api.post("/a", { json: {}, headers: { "Content-Type": "text/x" } }))
        assert.strictEqual(header.type, "text/x")
      })
    )

    /** A transport that reads the request's body, or fails before it does. */
    const reading = (reads: ReadonlyArray<"reads" | "refuses">) => {
      const bodies: Array<string> = []
      let attempt = 0
      const transport = Layer.succeed(
        Transport.Transport,
        Transport.fromSend(({ body }) =>
          Effect.gen(function* () {
            const now = reads[attempt++]
            if (now === "refuses") return yield* Effect.fail(reset("connect"))
            if (Stream.isStream(body)) {
              const text = yield* Stream.mkString(Stream.decodeText(body)).pipe(Effect.orDie)
              bodies.push(text)
            }
            if (attempt < reads.length) return yield* Effect.fail(reset("wait"))
            return { status: 200, headers: {}, body: new Uint8Array(), bodyComplete: true }
          })
        )
      )
      const run = (streamReplayable?: boolean) =>
        Effect.gen(function* () {
          const api = yield* Upstream.make("files", { baseUrl: "https://files.internal", policy: patient })
          const stream = Stream.make(new TextEncoder().encode("bytes"))
          const fiber = yield* Effect.forkChild(Effect.exit(api.put("/a", { stream, streamReplayable })))
          yield* TestClock.adjust("1 hour")
          return { exit: yield* Fiber.join(fiber), bodies }
        }).pipe(Effect.provide(transport))
      return run
    }

    it.effect("a stream that was begun is not sent again", () =>
      Effect.gen(function* () {
        const { bodies, exit } = yield* reading(["reads", "reads"])()
        assert.deepStrictEqual(bodies, ["bytes"])
        const error = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason)?.error : undefined
        assert.deepInclude(error, { attempts: 1, retryStopped: "not-replayable" })
      })
    )

    it.effect("a stream that was not begun is sent again", () =>
      Effect.gen(function* () {
        const { bodies, exit } = yield* reading(["refuses", "reads"])()
        assert.isTrue(Exit.isSuccess(exit))
        assert.deepStrictEqual(bodies, ["bytes"])
      })
    )

    it.effect("a stream whose owner says that it can be run again is", () =>
      Effect.gen(function* () {
        const { bodies, exit } = yield* reading(["reads", "reads"])(true)
        assert.isTrue(Exit.isSuccess(exit))
        assert.deepStrictEqual(bodies, ["bytes", "bytes"])
      })
    )
  })

  describe("headers", () => {
    it.effect(
      "the request id is the call's: the same on every attempt and in the error, another for another call",
      () =>
        Effect.gen(function* () {
          const seen = yield* calling({ "*": [status(503)] }, (api) =>
            Effect.all([Effect.flip(api.get("/a")), Effect.flip(api.get("/b"))])
          )
          const errors = succeeded(seen)
          const ids = seen.requests.map(({ headers }) => headers["x-request-id"])
          assert.strictEqual(ids.length, 6)
          assert.deepStrictEqual(new Set(ids.slice(0, 3)), new Set([errors[0].requestId]))
          assert.deepStrictEqual(new Set(ids.slice(3)), new Set([errors[1].requestId]))
          assert.match(errors[0].requestId, /^[0-9a-f]{16}$/)
          assert.notStrictEqual(errors[0].requestId, errors[1].requestId)
        })
    )

    it.effect("an id that the caller or the upstream brings goes before a new one, in the error too", () =>
      Effect.gen(function* () {
        const use = (headers: Record<string, string>) => (api: Upstream.Upstream) => api.get("/a", { headers })
        const both = (seen: Seen<unknown>) => [seen.error.requestId, seen.requests[0]?.headers["x-request-id"]]
        const ofCall = yield* calling({ "*": [status(404)] }, use({ "X-Request-Id": "mine" }))
        assert.deepStrictEqual(both(ofCall), ["mine", "mine"])
        const headers = { "x-request-id": "fixed" }
        assert.deepStrictEqual(both(yield* calling({ "*": [status(404)] }, use({}), { headers })), ["fixed", "fixed"])
      })
    )

    it.effect("a request id is foretold by the seed", () =>
      Effect.gen(function* () {
        const id = Effect.map(
          calling({ "*": [status(404)] }, (api) => api.get("/a")).pipe(Random.withSeed("one")),
          ({ error }) => error.requestId
        )
        assert.strictEqual(yield* id, yield* id)
      })
    )

    it.effect("those of the request go before those of the upstream, whatever their case", () =>
      Effect.gen(function* () {
        const { requests } = yield* calling(
          { "*": [status(200)] },
          (api) => api.get("/a", { headers: { "X-Tenant": "b", "x-none": undefined } }),
          { headers: { "x-tenant": "a", "X-Region": "eu" } }
        )
        const { "x-request-id": _, ...headers } = requests[0]?.headers ?? {}
        assert.deepStrictEqual(headers, { "x-tenant": "b", "x-region": "eu" })
      })
    )

    it.effect("an answer to be decoded is asked for as JSON, unless the caller asks for another form", () =>
      Effect.gen(function* () {
        const accept = (headers: Record<string, string>) =>
          Effect.map(
            calling({ "*": [json({ id: "a", amount: 1 })] }, (api) => api.get("/a", { decode: Charge, headers })),
            ({ requests }) => requests[0]?.headers["accept"]
          )
        assert.strictEqual(yield* accept({}), "application/json")
        assert.strictEqual(yield* accept({ Accept: "application/hal+json" }), "application/hal+json")
      })
    )

    it.effect("what nobody traces names no trace", () =>
      Effect.gen(function* () {
        const { requests } = yield* calling({ "*": [status(200)] }, (api) => api.get("/a"))
        assert.notProperty(requests[0]?.headers, "traceparent")
      })
    )

    it.effect("a redacted value is sent, and never to be read in an error, however the call fails", () =>
      Effect.gen(function* () {
        const secret = () => Redacted.make("c4n4ry")
        const steps = [
          status(401, { headers: { "www-authenticate": "Bearer", "set-cookie": "sid=c4n4ry" }, body: "no" }),
          status(503),
          fail(reset("wait")),
          hang,
          json({ id: 1 }),
          status(302, { headers: { location: "https://b.example/c4n4ry" } })
        ]
        for (const step of steps) {
          const { error, requests } = yield* calling(
            { "*": [step] },
            (api) =>
              api.get("/keys/{key}", {
                params: { key: secret() },
                query: { token: secret(), tokens: [secret()] },
                headers: { "x-signature": secret() },
                decode: Charge
              }),
            { headers: { authorization: secret() } }
          )
          assert.deepInclude(requests[0]?.headers, { authorization: "c4n4ry", "x-signature": "c4n4ry" })
          assert.strictEqual(requests[0]?.path, "/v1/keys/c4n4ry?token=c4n4ry&tokens=c4n4ry")
          assert.notInclude(readable(error), "c4n4ry")
        }
      })
    )
  })

  describe("make", () => {
    it.each([
      [{ baseURL: "https://a" }, "baseURL is not an option; did you mean baseUrl?"],
      [{ header: {} }, "header is not an option; did you mean headers?"],
      [{ retry: {} }, "retry is not an option; it is of the policy: { policy: HttpPolicy.standard({ retry: … }) }"],
      [
        { deadline: "5s" },
        "deadline is not an option; it is of the policy: { policy: HttpPolicy.standard({ deadline: … }) }"
      ],
      [
        { timeout: 5 },
        "timeout is not an option; it is of the policy: { policy: HttpPolicy.standard({ attemptTimeout: … }) }"
      ],
      [{ preset: "gentle" }, "preset is not an option; there are baseUrl"],
      [{ operations: {} }, "operations is not an option; it is of the policy: "],
      [{ wibble: 1 }, "wibble is not an option; there are baseUrl, endpoints, policy,"]
    ] as const)("an option that there is not is refused, with what was meant: %#", (more, message) => {
      assert.throws(
        () => Upstream.make("payments", { baseUrl: "https://a", ...more }),
        RangeError,
        `Upstream payments: ${message}`
      )
    })

    const refused = (name: string, baseUrl: string, message: string) =>
      assert.throws(
        () => Upstream.make(name, { baseUrl }),
        RangeError,
        new RegExp(`^${message.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`)
      )

    it("a base URL that says too little or too much is refused, and its secrets are not repeated", () => {
      for (const [baseUrl, got] of [
        ["payments.internal", "no scheme"],
        ["localhost:8080", "no scheme"],
        ["/v1", "no scheme"],
        ["user:c4n4ry@a", "no scheme"],
        ["ftp://a/c4n4ry", "another scheme"],
        ["c4n4ry://a", "another scheme"],
        ["https://", "one without a valid host and port"],
        ["https://a:c4n4ry", "one without a valid host and port"]
      ] as const) {
        refused(
          "payments",
          baseUrl,
          `Upstream payments: baseUrl must be an absolute http or https URL, such as https://payments.internal/v1, got ${got}`
        )
      }
      refused(
        "payments",
        "https://user:c4n4ry@a",
        "Upstream payments: baseUrl holds credentials; send them as a header: { authorization: Redacted.make(…) }"
      )
      for (const baseUrl of ["https://a?key=c4n4ry", "https://a/#c4n4ry"]) {
        refused(
          "payments",
          baseUrl,
          "Upstream payments: baseUrl has a query or a fragment; give query values with each request"
        )
      }
    })

    it("an upstream without a name is refused", () => {
      refused("", "https://a", "Upstream: the name must not be empty; it stands in errors, spans and metrics")
    })

    it.effect("slashes at the end of a base URL change nothing, and its port is kept", () =>
      Effect.gen(function* () {
        for (const [baseUrl, origin, path] of [
          ["https://a.internal", "https://a.internal", "/x"],
          ["https://a.internal/", "https://a.internal", "/x"],
          ["http://a.internal:8080/v1//", "http://a.internal:8080", "/v1/x"],
          ["https://a.internal:443/v1", "https://a.internal", "/v1/x"]
        ] as const) {
          const { requests } = yield* calling({ "*": [status(200)] }, (api) => api.get("/x"), { baseUrl })
          assert.deepInclude(requests[0], { origin, path }, baseUrl)
        }
      })
    )

    it("an endpoint is a host and a port, whether the port is written or not", () => {
      assert.strictEqual(Transport.endpointOf("https://a.internal"), "a.internal:443")
      assert.strictEqual(Transport.endpointOf("http://a.internal"), "a.internal:80")
      assert.strictEqual(Transport.endpointOf("http://a.internal:8080"), "a.internal:8080")
      assert.strictEqual(Transport.endpointOf("http://[::1]:8080"), "[::1]:8080")
      assert.strictEqual(Transport.endpointOf("http://[::1]"), "[::1]:80")
    })

    it("a server is an origin taken apart, an IPv6 address without its brackets", () => {
      const at = Transport.serverOf
      assert.deepStrictEqual(at("https://[2001:db8::1]"), { scheme: "https", host: "2001:db8::1", port: 443 })
      assert.deepStrictEqual(at("http://a.internal"), { scheme: "http", host: "a.internal", port: 80 })
      assert.deepStrictEqual(at("http://127.0.0.1:8080"), { scheme: "http", host: "127.0.0.1", port: 8080 })
    })

    it.effect("a budget is the upstream's if the policy has one", () =>
      Effect.gen(function* () {
        const budgetOf = (policy: HttpPolicy.HttpPolicy) =>
          Effect.map(Upstream.make("a", { baseUrl: "https://a", policy }), ({ stages }) => stages.budget)
        assert.isDefined(yield* budgetOf(HttpPolicy.standard()))
        assert.isUndefined(yield* budgetOf(HttpPolicy.standard({ retry: { budget: false } })))
        assert.isUndefined(yield* budgetOf(HttpPolicy.none))
      }).pipe(Effect.provide(ScriptedTransport.layer({})))
    )
  })

  describe("Service", () => {
    class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal", policy: patient }) {}

    class Place extends Context.Service<Place, string>()("test/Place") {}

    const script = ScriptedTransport.layer({ "*": [status(200)] })

    const asked = Effect.gen(function* () {
      const stock = yield* Stock
      yield* stock.get("/a")
      const { requests } = yield* yield* ScriptedTransport.ScriptedRequests
      return [stock.name, requests[0]?.origin, HttpPolicy.describe(stock.policy)]
    })

    it.effect("the layer is the upstream as it was declared", () =>
      Effect.gen(function* () {
        const found = yield* asked.pipe(Effect.provide(Stock.layer.pipe(Layer.provideMerge(script))))
        assert.deepStrictEqual(found, ["stock", "https://stock.internal", HttpPolicy.describe(patient)])
      })
    )

    it.effect("some options can be replaced, and the others stay", () =>
      Effect.gen(function* () {
        const layer = Stock.layerWith({ baseUrl: "http://127.0.0.1:1" })
        const found = yield* asked.pipe(Effect.provide(layer.pipe(Layer.provideMerge(script))))
        assert.deepStrictEqual(found, ["stock", "http://127.0.0.1:1", HttpPolicy.describe(patient)])
      })
    )

    it.effect("options can be found out by an effect, with what it needs and the way it fails", () =>
      Effect.gen(function* () {
        const layer = Stock.layerEffect(Effect.map(Place, (baseUrl) => ({ baseUrl })))
        const found = yield* asked.pipe(
          Effect.provide(layer.pipe(Layer.provideMerge(script))),
          Effect.provideService(Place, "http://found.internal")
        )
        assert.strictEqual(found[1], "http://found.internal")
        const failing = Stock.layerEffect(Effect.fail("no config")).pipe(Layer.provideMerge(script))
        assert.strictEqual(yield* Effect.flip(Effect.provide(asked, failing)), "no config")
      })
    )
  })
})

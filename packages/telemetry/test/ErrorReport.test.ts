import { DateTime, Duration, Effect, Tracer } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as Reason from "@holdfast/core/Reason"
import * as ErrorReport from "../src/ErrorReport.ts"
import { attempt, call, failed, interrupted, observers, succeeded } from "./support/synthetic.ts"

const status = { endpoint: "stock.internal:443", headers: {}, body: "", bodyComplete: true }
const unavailable = new Reason.ServiceUnavailable({ ...status, status: 503 })
const notFound = new Reason.NotFound({ ...status, status: 404 })
const refused = new Reason.ConnectionRefused({
  endpoint: "stock.internal:443",
  phase: "connect",
  code: "ECONNREFUSED"
})

const groups = Effect.map(ErrorReport.read(), (report) => report.groups)
const names = Effect.map(groups, (groups) => groups.map(({ code, operation }) => `${operation} ${code}`))

const only = Effect.map(groups, ([group, ...others]) => {
  if (group === undefined || others.length > 0) throw new Error("one group was expected")
  return group
})

describe("ErrorReport", () => {
  it.effect("failures are grouped by upstream, operation and code, and what succeeds or leaves is not there", () =>
    Effect.gen(function* () {
      const { attemptEnded, callEnded } = yield* observers
      callEnded(call(), failed(unavailable))
      callEnded(call(), failed(unavailable))
      callEnded(call(), failed(notFound))
      callEnded(call({ template: "/items/{sku}" }), failed(unavailable))
      callEnded(call({ upstream: "payments" }), failed(unavailable))
      callEnded(call(), succeeded(10))
      callEnded(call(), interrupted(10))
      attemptEnded(call(), attempt())
      attemptEnded(call(), attempt({ outcome: "interrupted" }))
      assert.deepStrictEqual(
        (yield* groups).map(({ calls, code, operation, upstream }) => [upstream, operation, code, calls]),
        [
          ["stock", "GET /items", "ERR_STATUS_SERVICE_UNAVAILABLE", 2],
          ["payments", "GET /items", "ERR_STATUS_SERVICE_UNAVAILABLE", 1],
          ["stock", "GET /items", "ERR_STATUS_NOT_FOUND", 1],
          ["stock", "GET /items/{sku}", "ERR_STATUS_SERVICE_UNAVAILABLE", 1]
        ]
      )
      // of those that are as bad, in whatever order they came, by name
      callEnded(call({ upstream: "accounts" }), failed(unavailable))
      callEnded(call({ upstream: "zones" }), failed(unavailable))
      callEnded(call({ upstream: "mail" }), failed(unavailable))
      const alone = (yield* groups).filter(({ calls }) => calls === 1).map(({ upstream }) => upstream)
      assert.deepStrictEqual(alone, ["accounts", "mail", "payments", "stock", "stock", "zones"])
      assert.strictEqual((yield* ErrorReport.read("payments")).groups.length, 1)
      assert.strictEqual((yield* ErrorReport.read("nobody")).groups.length, 0)
    }).pipe(Effect.provide(ErrorReport.layer()))
  )

  it.effect("an attempt that failed counts though its call succeeded, and is the example until a call fails so", () =>
    Effect.gen(function* () {
      const { attemptEnded, callEnded } = yield* observers
      attemptEnded(call({ requestId: "first" }), attempt({ reason: refused }))
      callEnded(call({ requestId: "first" }), succeeded(20, 2))
      const before = yield* only
      assert.deepStrictEqual([before.calls, before.attempts, before.example.requestId], [0, 1, "first"])
      assert.strictEqual(before.example.message, refused.message)
      const second = call({ requestId: "second" })
      callEnded(second, failed(refused, second))
      attemptEnded(call({ requestId: "third" }), attempt({ reason: refused }))
      yield* TestClock.adjust("1 hour")
      attemptEnded(call({ requestId: "fourth" }), attempt({ reason: refused }))
      const after = yield* only
      assert.deepStrictEqual([after.calls, after.attempts, after.example.requestId], [1, 3, "second"])
      assert.match(after.example.message, /^stock: GET \/items failed after 1 attempt .*request second\)$/)
    }).pipe(Effect.provide(ErrorReport.layer()))
  )

  it.effect("a group says when it was first and last seen, and how often it comes now", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      yield* TestClock.adjust("10 minutes")
      callEnded(call(), failed(unavailable))
      yield* TestClock.adjust("4 minutes")
      for (let index = 0; index < 5; index++) callEnded(call(), failed(unavailable))
      yield* TestClock.adjust("9 seconds")
      const group = yield* only
      assert.deepStrictEqual(DateTime.toEpochMillis(group.firstSeen), 600_000)
      assert.deepStrictEqual(DateTime.toEpochMillis(group.lastSeen), 840_000)
      assert.deepStrictEqual(
        [group.last10Seconds.calls, group.lastMinute.calls, group.last5Minutes.calls, group.calls],
        [5, 5, 6, 6]
      )
      const { calls, callsPerSecond, covered } = group.last10Seconds
      assert.isTrue(Duration.isLessThanOrEqualTo(covered, Duration.seconds(10)))
      assert.strictEqual(callsPerSecond, calls / Duration.toSeconds(covered))
    }).pipe(Effect.provide(ErrorReport.layer()))
  )

  it.effect("an example is shown for a second at least, and names the trace", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      const span = Tracer.externalSpan({ traceId: "a".repeat(32), spanId: "b".repeat(16) })
      const seen = (requestId: string) => {
        const of = call({ requestId, span })
        callEnded(of, failed(unavailable, of))
      }
      seen("first")
      yield* TestClock.adjust(999)
      seen("second")
      assert.strictEqual((yield* only).example.requestId, "first")
      yield* TestClock.adjust(1)
      seen("third")
      const { example } = yield* only
      assert.deepInclude(example, { requestId: "third", traceId: "a".repeat(32), spanId: "b".repeat(16) })
      assert.strictEqual(DateTime.toEpochMillis(example.at), 1000)
    }).pipe(Effect.provide(ErrorReport.layer()))
  )

  it.effect("a defect is a group of its own, and what it says is not repeated", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      callEnded(call(), { outcome: "failure", durationMillis: 1, attempts: 0, error: undefined })
      const group = yield* only
      assert.deepStrictEqual([group.code, group.severity], [ErrorReport.defectCode, "critical"])
    }).pipe(Effect.provide(ErrorReport.layer()))
  )

  it.effect("beyond the bound, the group that was not met for longest is forgotten, and the report says so", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      const seen = (template: string) => callEnded(call({ template }), failed(unavailable, call({ template })))
      seen("/1")
      seen("/2")
      seen("/1")
      seen("/3")
      const report = yield* ErrorReport.read()
      assert.deepStrictEqual(report.groups.map(({ operation }) => operation).toSorted(), ["GET /1", "GET /3"])
      assert.strictEqual(report.forgotten, 1)
      assert.include(ErrorReport.table(report), "1 group was forgotten")
      for (let index = 0; index < 100; index++) seen(`/${index}`)
      assert.strictEqual((yield* groups).length, 2)
    }).pipe(Effect.provide(ErrorReport.layer({ maxGroups: 2 })))
  )

  it.effect("a message is bounded, and no header, body or query of a call stands in it", () =>
    Effect.gen(function* () {
      const { callEnded } = yield* observers
      const secret = "canary"
      const leaky = new Reason.Unauthorized({
        endpoint: "stock.internal:443",
        status: 401,
        headers: { "www-authenticate": secret },
        body: JSON.stringify({ secret }),
        bodyComplete: true,
        problem: { type: "about:blank", status: 401, title: "x".repeat(2000) }
      })
      callEnded(call(), failed(leaky))
      const { example } = yield* only
      assert.notInclude(JSON.stringify(yield* groups), secret)
      assert.strictEqual(example.message.length, 500)
      assert.isTrue(example.message.endsWith("…"))
    }).pipe(Effect.provide(ErrorReport.layer()))
  )

  it("a bound that holds nothing is refused in words", () => {
    for (const maxGroups of [0, -1, 1.5, Number.NaN]) {
      assert.throws(
        () => ErrorReport.layer({ maxGroups }),
        `ErrorReport: maxGroups must be a whole number of at least 1, got ${maxGroups}`
      )
    }
  })

  describe("as a table", () => {
    const report = Effect.gen(function* () {
      const { attemptEnded, callEnded } = yield* observers
      const charge = call({ upstream: "payments", operation: "POST /charges", requestId: "order-4711" })
      for (let index = 0; index < 12; index++) {
        for (let resend = 0; resend < 3; resend++) attemptEnded(charge, attempt({ resend, reason: refused }))
        callEnded(charge, failed(refused, charge, { attempts: 3, durationMillis: 1240 }))
      }
      yield* TestClock.adjust("150 seconds")
      callEnded(call({ requestId: "a" }), failed(notFound, call({ requestId: "a" })))
      yield* TestClock.adjust("3 seconds")
      return yield* ErrorReport.read()
    })

    it.effect("columns stand below each other, the worst group is first, and its example below it", () =>
      Effect.gen(function* () {
        assert.strictEqual(
          ErrorReport.table(yield* report),
          [
            "UPSTREAM  OPERATION      CODE                            CALLS  ATTEMPTS  CALLS/MIN  ATTEMPTS/MIN  FIRST SEEN  LAST SEEN  REQUEST",
            "payments  POST /charges  ERR_NETWORK_CONNECTION_REFUSED     12        36          0             0      2m ago     2m ago  order-4711",
            "  └ payments: POST /charges failed after 3 attempts in 1.24s: stock.internal:443: connection refused [ECONNREFUSED], in phase connect; no further attempt: the policy allows no more (ERR_NETWORK_CONNECTION_REFUSED, request order-4711)",
            "stock     GET /items     ERR_STATUS_NOT_FOUND                1         0        1.1             0      3s ago     3s ago  a",
            "  └ stock: GET /items failed after 1 attempt in 10ms: stock.internal:443 answered 404 NotFound; no further attempt: the policy allows no more (ERR_STATUS_NOT_FOUND, request a)"
          ].join("\n")
        )
      }).pipe(Effect.provide(ErrorReport.layer()))
    )

    it.effect("in Markdown, what has a meaning there has none", () =>
      Effect.gen(function* () {
        const { callEnded } = yield* observers
        const odd = call({ operation: "GET /a|b", requestId: "x_y" })
        callEnded(odd, failed(notFound, odd))
        const lines = ErrorReport.markdown(yield* ErrorReport.read(), { examples: false }).split("\n")
        assert.deepStrictEqual(lines, [
          "| Upstream | Operation | Code | Calls | Attempts | Calls/min | Attempts/min | First seen | Last seen | Request |",
          "| :-- | :-- | :-- | --: | --: | --: | --: | --: | --: | :-- |",
          "| stock | GET /a\\|b | ERR\\_STATUS\\_NOT\\_FOUND | 1 | 0 | 60 | 0 | 0s ago | 0s ago | x\\_y |"
        ])
        assert.include(ErrorReport.markdown(yield* ErrorReport.read()), "| Example |")
      }).pipe(Effect.provide(ErrorReport.layer()))
    )

    it.effect("what a name holds forges no row", () =>
      Effect.gen(function* () {
        const { callEnded } = yield* observers
        const odd = call({ upstream: "stock\nforged", operation: "GET /\u001b[31m\u009b\u202e", requestId: "a\u2028b" })
        callEnded(odd, failed(notFound, odd))
        const text = ErrorReport.table(yield* ErrorReport.read())
        assert.strictEqual(text.split(/[\n\u2028]/).length, 3)
        assert.notMatch(text.replaceAll("\n", ""), /[\p{Cc}\u202e]/u)
        assert.strictEqual(ErrorReport.markdown(yield* ErrorReport.read()).split("\n").length, 3)
      }).pipe(Effect.provide(ErrorReport.layer()))
    )

    it.effect("the examples are left out where they are not wanted, and where there is none", () =>
      Effect.gen(function* () {
        const whole = yield* report
        const lines = ErrorReport.table(whole).split("\n")
        assert.deepStrictEqual(
          ErrorReport.table(whole, { examples: false }).split("\n"),
          lines.filter((line) => !line.startsWith("  └"))
        )
        assert.strictEqual(ErrorReport.table(whole, { examples: true }), lines.join("\n"))
      }).pipe(Effect.provide(ErrorReport.layer()))
    )

    it.effect("what a clock that was set back says of the future was seen now", () =>
      Effect.gen(function* () {
        const { at, ...whole } = yield* report
        const earlier = ErrorReport.markdown({ ...whole, at: DateTime.subtract(at, { hours: 1 }) }, { examples: false })
        for (const row of earlier.split("\n").slice(2)) assert.include(row, "| 0s ago | 0s ago |")
      }).pipe(Effect.provide(ErrorReport.layer()))
    )

    it.effect("nothing failed is said in words", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* names, [])
        assert.strictEqual(ErrorReport.table(yield* ErrorReport.read()), "no failures")
        assert.strictEqual(ErrorReport.markdown(yield* ErrorReport.read()), "no failures")
      }).pipe(Effect.provide(ErrorReport.layer()))
    )
  })
})

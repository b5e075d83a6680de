import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import * as ErrorCatalog from "../src/ErrorCatalog.ts"
import * as Outcome from "../src/Outcome.ts"
import * as Reason from "../src/Reason.ts"
import { arbitraryOf, reasonClasses, reasonSized } from "./support/reasonArbitrary.ts"

const entries = Object.entries(ErrorCatalog.table)

const domains = {
  network: Reason.NetworkReason.members,
  tls: Reason.TlsReason.members,
  protocol: Reason.ProtocolReason.members,
  time: Reason.TimeReason.members,
  policy: Reason.PolicyReason.members,
  status: Reason.StatusReason.members,
  business: [Reason.BusinessRejected],
  codec: Reason.CodecReason.members,
  auth: Reason.AuthReason.members
}

describe("ErrorCatalog", () => {
  it("every reason has exactly one row, and every row a reason", () => {
    assert.deepStrictEqual(
      entries.map(([tag]) => tag).toSorted(),
      reasonClasses.map((reasonClass) => reasonClass.identifier).toSorted()
    )
  })

  it("every row is in the domain of its reason's union, and its code says so", () => {
    for (const [domain, members] of Object.entries(domains)) {
      for (const member of members) {
        const entry = entries.find(([tag]) => tag === member.identifier)?.[1]
        assert.strictEqual(entry?.domain, domain, member.identifier)
        assert.isTrue(entry?.code.startsWith(`ERR_${domain.toUpperCase()}_`), entry?.code)
      }
    }
  })

  it("codes are unique, and read as codes do", () => {
    assert.strictEqual(new Set(entries.map(([, entry]) => entry.code)).size, entries.length)
    for (const [, { code }] of entries) assert.match(code, /^ERR_[A-Z]+_[A-Z0-9_]+$/)
    assert.strictEqual(ErrorCatalog.table.TlsVersionMismatch.code, "ERR_TLS_TLS_VERSION_MISMATCH")
  })

  it("a server in the middle answers with an error status", () => {
    for (const [tag, { answerStatus }] of entries) {
      assert.isTrue(Number.isInteger(answerStatus) && answerStatus >= 400 && answerStatus <= 599, tag)
    }
  })

  it("every row says what happened and what to do about it, in one line", () => {
    for (const [tag, { advice, summary }] of entries) {
      assert.match(summary, /^[^\n]+$/, tag)
      assert.match(advice, /^[^\n]+$/, tag)
    }
  })

  it("what the caller or the set-up got wrong is never worth another try, and a refusal was never applied", () => {
    for (const [tag, entry] of entries) {
      if (entry.nature === "caller" || entry.nature === "permanent") assert.isFalse(entry.retryable, tag)
      if (entry.nature === "refusal") assert.strictEqual(entry.applied, "no", tag)
    }
  })

  for (const reasonClass of reasonClasses.filter((reasonClass) => reasonClass !== Reason.BusinessRejected)) {
    it.prop(
      `${reasonClass.identifier} is what its row says, and was not applied if it came while connecting, or if the server did nothing with it`,
      [arbitraryOf(reasonClass)],
      ([reason]) => {
        const row = ErrorCatalog.table[reason._tag]
        const early =
          ("phase" in reason && (reason.phase === "connect" || reason.unprocessed === true)) ||
          (reason._tag === "HeadersTooLarge" && reason.of === "request")
        // a body that failed on its way is the one that is applied more than its row says
        if (reason._tag === "RequestEncodeFailed" && reason.sent === true) {
          assert.deepStrictEqual(ErrorCatalog.of(reason), { ...row, applied: "maybe" })
          return
        }
        assert.deepStrictEqual(ErrorCatalog.of(reason), early ? { ...row, applied: "no" } : row)
      },
      reasonSized
    )
  }

  it.prop("BusinessRejected is what its own entry says", [arbitraryOf(Reason.BusinessRejected)], ([reason]) => {
    assert.strictEqual(ErrorCatalog.of(reason), reason._tag === "BusinessRejected" ? reason.entry : undefined)
  })

  it("a reset may have been applied once something was sent, and can't have been before", () => {
    const reset = (phase: Reason.Phase) => ErrorCatalog.of(new Reason.ConnectionReset({ endpoint: "a:80", phase }))
    assert.strictEqual(reset("connect").applied, "no")
    for (const phase of ["send", "wait", "receive"] as const) assert.strictEqual(reset(phase).applied, "maybe")
    // the row itself stays as it is
    assert.strictEqual(ErrorCatalog.table.ConnectionReset.applied, "maybe")
  })

  it("a proxy that refuses who asks, or what for, is not asked again; one in trouble is", () => {
    const proxy = (code?: string) =>
      new Reason.ProxyFailed({ endpoint: "a:443", phase: "connect", ...(code === undefined ? {} : { code }) })
    for (const code of ["401", "403", "407"]) {
      const { nature, retryable } = ErrorCatalog.of(proxy(code))
      assert.deepStrictEqual([nature, retryable], ["permanent", false], code)
      assert.isFalse(ErrorCatalog.isOutage(proxy(code)))
      assert.deepInclude(Outcome.fromReason(proxy(code)), { cause: "permanent", retryable: false, applied: "no" })
    }
    for (const code of [undefined, "ECONNREFUSED", "404", "500", "502", "504"]) {
      assert.deepStrictEqual(ErrorCatalog.of(proxy(code)), ErrorCatalog.table.ProxyFailed)
    }
  })

  it("an outage is what passes or is mended elsewhere; what the caller or the set-up got wrong is none", () => {
    const status = { endpoint: "a:80", headers: {}, body: "", bodyComplete: true }
    assert.isTrue(ErrorCatalog.isOutage(new Reason.ServiceUnavailable(status)))
    assert.isTrue(ErrorCatalog.isOutage(new Reason.TooManyRequests(status)))
    assert.isTrue(ErrorCatalog.isOutage(new Reason.CircuitOpen({})))
    assert.isTrue(ErrorCatalog.isOutage(new Reason.AttemptTimeout({ limit: Duration.seconds(1) })))
    assert.isFalse(ErrorCatalog.isOutage(new Reason.NotFound(status)))
    assert.isFalse(ErrorCatalog.isOutage(new Reason.CertificateExpired({ endpoint: "a:443", phase: "connect" })))
  })

  describe("make", () => {
    it("an entry left bare is the caller's, final, and answered with 422", () => {
      assert.deepStrictEqual(ErrorCatalog.make("payments", { DECLINED: { summary: "declined" } }), {
        DECLINED: {
          code: "ERR_PAYMENTS_DECLINED",
          domain: "payments",
          layer: "application",
          nature: "caller",
          severity: "info",
          retryable: false,
          applied: "no",
          answerStatus: 422,
          summary: "declined",
          advice: ""
        }
      })
    })

    it("an entry is what was said of it", () => {
      const { LEDGER_BUSY_2 } = ErrorCatalog.make("payments", {
        LEDGER_BUSY_2: {
          summary: "the ledger is being closed",
          advice: "wait",
          nature: "transient",
          severity: "warning",
          retryable: true,
          answerStatus: 503
        }
      })
      assert.deepInclude(LEDGER_BUSY_2, {
        code: "ERR_PAYMENTS_LEDGER_BUSY_2",
        advice: "wait",
        nature: "transient",
        severity: "warning",
        retryable: true,
        answerStatus: 503
      })
    })

    it("a domain of the toolkit is refused", () => {
      for (const domain of Object.keys(domains)) {
        assert.throws(
          () => ErrorCatalog.make(domain, {}),
          RangeError,
          `ErrorCatalog.make: the domain "${domain}" belongs to the toolkit; choose another`
        )
      }
    })

    it("a domain that would not read well in a code is refused, and quoted", () => {
      for (const domain of ["", "Payments", "pay-ments", "1st", "a\nb"]) {
        assert.throws(
          () => ErrorCatalog.make(domain, {}),
          RangeError,
          `ErrorCatalog.make: a domain must be lower-case letters and digits, got ${JSON.stringify(domain)}`
        )
      }
    })

    it("a name that is not UPPER_SNAKE_CASE is refused, and quoted", () => {
      for (const name of ["", "declined", "_DECLINED", "DECLINED_", "A__B", "1A", "A B"]) {
        assert.throws(
          () => ErrorCatalog.make("payments", { [name]: { summary: "" } } as Record<never, never>),
          RangeError,
          `ErrorCatalog.make: a name must be UPPER_SNAKE_CASE, got ${JSON.stringify(name)} in the domain payments`
        )
      }
    })
  })
})

describe("Outcome", () => {
  it("a reason's outcome is what the catalogue says of it", () => {
    const outcome = (reason: Reason.Reason) => Outcome.fromReason(reason)
    const status = { endpoint: "a:80", headers: {}, body: "", bodyComplete: true }
    assert.deepStrictEqual(
      outcome(new Reason.TooManyRequests({ ...status, retryAfter: Duration.seconds(3) })),
      Outcome.failure({ cause: "throttle", applied: "no", retryAfter: Duration.seconds(3) })
    )
    assert.deepStrictEqual(outcome(new Reason.GatewayTimeout(status)), Outcome.failure({ cause: "timeout" }))
    assert.deepStrictEqual(outcome(new Reason.NotFound(status)), Outcome.failure({ cause: "permanent", applied: "no" }))
    assert.deepStrictEqual(
      outcome(new Reason.CircuitOpen({ retryAfter: Duration.seconds(1) })),
      Outcome.failure({ cause: "refused", applied: "no", retryAfter: Duration.seconds(1) })
    )
  })

  it("a failure may have been applied, and is worth another try unless it is permanent", () => {
    assert.deepStrictEqual(Outcome.failure({ cause: "transient" }), {
      _tag: "Failure",
      cause: "transient",
      retryable: true,
      applied: "maybe",
      retryAfter: undefined
    })
    assert.isFalse(Outcome.failure({ cause: "permanent" }).retryable)
    assert.isTrue(Outcome.failure({ cause: "permanent", retryable: true }).retryable)
  })
})

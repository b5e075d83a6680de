import { assert, describe, it } from "@effect/vitest"
import { Duration, Equal, Schema } from "effect"
import * as Reason from "../src/Reason.ts"
import { arbitraryOf, reasonClasses, reasonSized } from "./support/reasonArbitrary.ts"

const encode = Schema.encodeSync(Reason.Reason)
const decode = Schema.decodeUnknownSync(Reason.Reason)

/** All that ends a line somewhere: in a terminal, in a log file, in a JavaScript string. */
const lineBreak = /[\n\v\f\r\u0085\u2028\u2029]/

describe("Reason", () => {
  for (const reasonClass of reasonClasses) {
    it.prop(
      `${reasonClass.identifier} crosses a wire as an equal instance of its own class`,
      [arbitraryOf(reasonClass)],
      ([reason]) => {
        const arrived = decode(JSON.parse(JSON.stringify(encode(reason))))
        assert.strictEqual(arrived.constructor, reasonClass)
        assert.isTrue(Equal.equals(arrived, reason), JSON.stringify(arrived))
        assert.strictEqual(arrived.message, reason.message)
      },
      reasonSized
    )

    it.prop(
      `${reasonClass.identifier} prints in one line, whatever it holds`,
      [arbitraryOf(reasonClass)],
      ([reason]) => {
        assert.notMatch(reason.message, lineBreak)
        assert.isNotEmpty(reason.message)
      },
      reasonSized
    )
  }

  it("a line break that a server puts into its problem details cannot forge a line of the log", () => {
    const reason = new Reason.ServiceUnavailable({
      endpoint: "payments.internal:443",
      headers: {},
      body: "",
      bodyComplete: true,
      problem: { type: "about:blank", title: "down\n2026-11-20 INFO all is well\r\n\u2028\u001b[2Jnothing to see" }
    })
    assert.strictEqual(
      reason.message,
      'payments.internal:443 answered 503 ServiceUnavailable: "down 2026-11-20 INFO all is well [2Jnothing to see"'
    )
  })

  it("a transport's reason says where, what, the platform's code, what else it said, and how far it came", () => {
    const reason = new Reason.ConnectionReset({
      endpoint: "payments.internal:443",
      phase: "wait",
      code: "ECONNRESET",
      detail: "read"
    })
    assert.strictEqual(reason.message, "payments.internal:443: connection reset [ECONNRESET] (read), in phase wait")
  })

  it("a refusal says the figures, when to try again, and that nothing was sent", () => {
    const reason = new Reason.CircuitOpen({ retryAfter: Duration.seconds(5), detail: "24 of 25 attempts failed" })
    assert.strictEqual(
      reason.message,
      "the circuit is open (24 of 25 attempts failed); next try in 5s; nothing was sent"
    )
  })

  it("a status says what the server's problem details say, the detail before the title, and the wait it asked for", () => {
    const fields = { endpoint: "payments.internal:443", headers: {}, body: "", bodyComplete: true }
    const busy = new Reason.TooManyRequests({
      ...fields,
      problem: { type: "about:blank", title: "Too many", detail: "10 a second" },
      retryAfter: Duration.seconds(2)
    })
    assert.strictEqual(
      busy.message,
      'payments.internal:443 answered 429 TooManyRequests: "10 a second" (asked to wait 2s)'
    )
    assert.strictEqual(new Reason.NotFound(fields).message, "payments.internal:443 answered 404 NotFound")
  })

  it("a status without a class of its own is said by its number", () => {
    const reason = new Reason.ClientErrorStatus({ status: 418, ...answered })
    assert.strictEqual(reason.message, "a.internal:80 answered 418")
  })

  it("a named status is in the type, so a reason cannot be built with another", () => {
    assert.throws(() => Schema.decodeUnknownSync(Reason.NotFound)({ ...encode(notFound), status: 410 }))
    assert.strictEqual(notFound.status, 404)
  })
})

const answered = { endpoint: "a.internal:80", headers: {}, body: "", bodyComplete: true }

const notFound = new Reason.NotFound(answered)

// The service of `main.ts` under a scripted transport and a test clock: outages, timeouts and waits without a socket, and
// in no time.

import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { ScriptedTransport } from "holdfast/testing"
import { Checkout, Declined } from "./checkout.ts"
import { Ledger } from "./ledger.ts"
import { Rates } from "./rates.ts"

const { after, hang, json, layer, refused, seen, status } = ScriptedTransport

const order = { id: "o-1", euroCents: 8000, currency: "USD" }
const rate = json({ currency: "USD", perEuro: 1.25 })
const inDollars = { order: "o-1", cents: 10_000, currency: "USD" }
const inEuros = { order: "o-1", cents: 8000, currency: "EUR" }

/** The service with what its upstreams answer. */
const checkout = (script: { readonly rates: ScriptedTransport.Step[]; readonly ledger: ScriptedTransport.Step[] }) =>
  Checkout.layer.pipe(
    Layer.provide([Rates.layer, Ledger.layer]),
    Layer.provideMerge(layer({ "GET /rates/{currency}": script.rates, "POST /entries": script.ledger }))
  )

const pay = Effect.flatMap(Checkout, ({ pay }) => pay(order))

/** What the ledger was sent, in order. */
const sentToLedger = Effect.gen(function* () {
  const { requests } = yield* seen
  return requests.filter(({ upstream }) => upstream === "ledger")
})

describe("checkout", { timeout: 60_000 }, () => {
  it.effect("takes the customer's currency", () =>
    Effect.gen(function* () {
      assert.deepInclude(yield* pay, inDollars)
      const [entry] = yield* sentToLedger
      assert.deepEqual(JSON.parse(String(entry?.body)), inDollars)
    }).pipe(Effect.provide(checkout({ rates: [rate], ledger: [json(inDollars)] })))
  )

  it.effect("takes euros while the rates are out, and still books once", () =>
    Effect.gen(function* () {
      const paying = yield* Effect.forkChild(pay)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* Fiber.join(paying), inEuros)
      assert.strictEqual((yield* sentToLedger).length, 1)
    }).pipe(
      Effect.provide(
        checkout({
          rates: [refused],
          ledger: [json(inEuros)]
        })
      )
    )
  )

  it.effect("waits a second for a rate, and no longer", () =>
    Effect.gen(function* () {
      const paying = yield* Effect.forkChild(pay)
      yield* TestClock.adjust("299 millis")
      assert.lengthOf((yield* seen).interrupted, 0)
      yield* TestClock.adjust("701 millis")
      assert.deepInclude(yield* Fiber.join(paying), inEuros)
    }).pipe(Effect.provide(checkout({ rates: [hang], ledger: [json(inEuros)] })))
  )

  it.effect("asks a busy ledger again, when it says and with the same idempotency key", () =>
    Effect.gen(function* () {
      const paying = yield* Effect.forkChild(pay)
      yield* TestClock.adjust("2900 millis")
      assert.lengthOf(yield* sentToLedger, 1)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* Fiber.join(paying), inDollars)
      const keys = (yield* sentToLedger).map(({ headers }) => headers["idempotency-key"])
      assert.deepEqual(keys, [`"o-1"`, `"o-1"`])
    }).pipe(
      Effect.provide(
        checkout({ rates: [rate], ledger: [status(503, { headers: { "retry-after": "3" } }), json(inDollars)] })
      )
    )
  )

  it.effect("fails while the ledger is out: money that is not booked is not taken", () =>
    Effect.gen(function* () {
      const paying = yield* Effect.forkChild(Effect.flip(pay))
      yield* TestClock.adjust("10 seconds")
      const error = yield* Fiber.join(paying)
      assert.strictEqual(error._tag, "CallError")
      assert.include(error.message, "ledger: POST /entries failed after 3 attempts")
    }).pipe(Effect.provide(checkout({ rates: [rate], ledger: [after("2 seconds", status(500))] })))
  )

  it.effect("does not take a rate that it cannot read for an outage", () =>
    Effect.gen(function* () {
      const reason = yield* pay.pipe(
        Effect.as("paid"),
        Effect.catchReason("CallError", "ResponseDecodeFailed", ({ path }) => Effect.succeed(path))
      )
      assert.strictEqual(reason, "perEuro")
      assert.lengthOf(yield* sentToLedger, 0)
    }).pipe(
      Effect.provide(checkout({ rates: [json({ currency: "USD", perEuro: "1.25" })], ledger: [json(inDollars)] }))
    )
  )

  it.effect("tells an order over the limit from an outage, and does not ask again", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(pay)
      assert.deepEqual(error, new Declined({ order: "o-1", limit: 5000 }))
      assert.lengthOf(yield* sentToLedger, 1)
    }).pipe(
      Effect.provide(checkout({ rates: [rate], ledger: [json({ error: "over limit", limit: 5000 }, { status: 402 })] }))
    )
  )
})

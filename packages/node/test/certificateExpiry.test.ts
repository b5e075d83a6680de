import { assert, describe, it } from "@effect/vitest"
import { dueWarning, makeExpiryState, thresholdMillis, warningText } from "../src/internal/tls/certificateExpiry.ts"

const day = 86_400_000
const fortnight = 14 * day

const lasting = (days: number, fingerprint256 = "AA") => ({
  fingerprint256,
  validFromMillis: 0,
  validToMillis: days * day
})

describe("the warning before a certificate ends", () => {
  it("begins when less than the given time is left", () => {
    const term = lasting(365)
    assert.isUndefined(dueWarning(makeExpiryState(), term, 351 * day, fortnight))
    assert.deepStrictEqual(dueWarning(makeExpiryState(), term, 351 * day + 1, fortnight), {
      daysLeft: 13,
      isExpired: false
    })
  })

  it("begins no earlier than in the last third of the lifetime", () => {
    assert.strictEqual(thresholdMillis(lasting(47), fortnight), fortnight)
    assert.strictEqual(thresholdMillis(lasting(6), fortnight), 2 * day)
    assert.isUndefined(dueWarning(makeExpiryState(), lasting(6), 4 * day, fortnight))
    assert.strictEqual(dueWarning(makeExpiryState(), lasting(6), 4 * day + 1, fortnight)?.daysLeft, 1)
  })

  it("takes the lifetime from where it begins, whenever that was", () => {
    const later = { fingerprint256: "AA", validFromMillis: 1000 * day, validToMillis: 1006 * day }
    assert.strictEqual(thresholdMillis(later, fortnight), 2 * day)
    assert.isUndefined(dueWarning(makeExpiryState(), later, 1004 * day, fortnight))
    assert.strictEqual(dueWarning(makeExpiryState(), later, 1004 * day + 1, fortnight)?.daysLeft, 1)
  })

  it("is given once a day, for each certificate", () => {
    const state = makeExpiryState()
    const given = [360, 360.5, 360.99, 361, 361.2].map(
      (now) => dueWarning(state, lasting(365), now * day, fortnight)?.daysLeft
    )
    assert.deepStrictEqual(given, [5, undefined, undefined, 4, undefined])
    assert.strictEqual(dueWarning(state, lasting(365, "BB"), 361.2 * day, fortnight)?.daysLeft, 3)
  })

  it("is given for one that has expired, however short the warning is", () => {
    assert.isUndefined(dueWarning(makeExpiryState(), lasting(365), 365 * day - 1, 0))
    assert.deepStrictEqual(dueWarning(makeExpiryState(), lasting(365), 365 * day, 0), { daysLeft: 0, isExpired: true })
    assert.deepStrictEqual(dueWarning(makeExpiryState(), lasting(365), 366.5 * day, 0), {
      daysLeft: -2,
      isExpired: true
    })
  })

  it("remembers a bounded number of certificates, and forgets the one that it warned of first", () => {
    const state = makeExpiryState()
    for (let index = 0; index < 3000; index++) {
      assert.isDefined(dueWarning(state, lasting(365, String(index)), 364 * day, fortnight))
    }
    assert.strictEqual(state.warnedOn.size, 1024)
    assert.isUndefined(dueWarning(state, lasting(365, "2999"), 364 * day, fortnight))
    assert.isDefined(dueWarning(state, lasting(365, "0"), 364 * day, fortnight))
  })

  it("says whose it is, how long it has left and the date of its end", () => {
    const facts = { subject: "CN=payments.internal", validToMillis: Date.UTC(2027, 0, 31, 12) }
    const text = (daysLeft: number, isExpired = false) =>
      warningText("payments.internal:443: the certificate", facts, { daysLeft, isExpired })
    assert.deepStrictEqual(
      [text(6), text(1), text(0), text(-1, true)],
      [
        "payments.internal:443: the certificate CN=payments.internal expires in 6 days, on 2027-01-31",
        "payments.internal:443: the certificate CN=payments.internal expires in 1 day, on 2027-01-31",
        "payments.internal:443: the certificate CN=payments.internal expires in less than a day, on 2027-01-31",
        "payments.internal:443: the certificate CN=payments.internal has expired, on 2027-01-31"
      ]
    )
  })
})

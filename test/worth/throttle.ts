import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import type { HttpPolicy } from "holdfast"
import { ScriptedTransport } from "holdfast/testing"
import { callingThrough } from "../support/calling.ts"
import { openLoop, print } from "./figures.ts"

const perSecond = 50
const capacityPerSecond = 10
/** The window of the throttle: what is sent before it is full is not yet what it settles at. */
const settleSeconds = 120
const measuredSeconds = 60

/** What is sent to an upstream that takes 20 calls a second and refuses the others, when 100 a second are made. */
const sentAndAccepted = Effect.fn(function* (policy: HttpPolicy.Options) {
  let isMeasured = false
  let left = 0
  let sent = 0
  let accepted = 0
  const transport = ScriptedTransport.layer({
    "*": () => {
      left -= 1
      if (isMeasured) sent += 1
      if (left < 0) return ScriptedTransport.status(429)
      if (isMeasured) accepted += 1
      return ScriptedTransport.json({ ok: true })
    }
  })
  const payments = yield* callingThrough(transport, { url: "https://payments.internal" }, { policy })
  const seconds = settleSeconds + measuredSeconds
  yield* Effect.forkChild(openLoop({ perSecond, seconds }, () => Effect.ignore(payments.get("/"))))
  for (let second = 0; second < seconds; second++) {
    left = capacityPerSecond
    isMeasured = second >= settleSeconds
    yield* TestClock.adjust(Duration.seconds(1))
  }
  return { sent: sent / measuredSeconds, accepted: accepted / measuredSeconds }
})

describe("an upstream that takes a fifth of what it is asked", () => {
  it.effect("is sent twice what it takes with the throttle, five times as much without", () =>
    Effect.gen(function* () {
      const bare: HttpPolicy.Options = { retry: false, breaker: false }
      const without = yield* sentAndAccepted(bare)
      const throttled = yield* sentAndAccepted({ ...bare, throttle: {} })

      const row = (name: string, { accepted, sent }: typeof without) => [
        name,
        sent.toFixed(1),
        accepted.toFixed(1),
        (sent / accepted).toFixed(2)
      ]
      print(`${perSecond} calls a second at an upstream that takes ${capacityPerSecond}`, [
        ["", "sent/s", "accepted/s", "sent for each accepted"],
        row("without", without),
        row("throttle", throttled)
      ])

      assert.approximately(without.sent / without.accepted, 5, 0.05)
      assert.approximately(throttled.sent / throttled.accepted, 2, 0.2)
      // What it sheds is what would have been refused: nobody goes without an answer because of it.
      assert.isAtLeast(throttled.accepted, 0.95 * without.accepted)
    })
  )
})

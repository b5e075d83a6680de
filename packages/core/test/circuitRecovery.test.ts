import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import * as Outcome from "../src/Outcome.ts"
import { course } from "./support/virtualCalls.ts"

const latencyMillis = 20

/** How an upstream is down. What hangs does so until the attempt's limit, also when it is well again before. */
const downs = {
  refusing: { millis: 1, outcome: Outcome.failure({ cause: "transient", applied: "no" }) },
  hanging: { millis: 10_000, outcome: Outcome.failure({ cause: "timeout" }) },
  "answering 503": { millis: 5, outcome: Outcome.failure({ cause: "transient" }) }
} as const

type Down = (typeof downs)[keyof typeof downs]

/** An upstream that was well, was down for a while, and is well again; gives the time from its first answer to the closed circuit. */
const recovery = (down: Down, downMillis: number, perSecond: number) => {
  const breaker = CircuitBreaker.make()
  const wentDown = 5000
  const wellAgain = wentDown + downMillis
  let hasOpened = false
  const { changes, ends } = course(
    breaker,
    (atMillis) =>
      atMillis >= wentDown && atMillis < wellAgain ? down : { millis: latencyMillis, outcome: Outcome.success },
    { perSecond },
    wellAgain + 60_000,
    (atMillis, changed) => {
      hasOpened ||= changed === "Open"
      return atMillis > wellAgain + latencyMillis && hasOpened && changed === "Closed"
    }
  )
  const lastOpened = changes.findLast(([, to]) => to === "Open")?.[0]
  const closed = changes.findLast(([, to]) => to === "Closed")?.[0]
  const answered = ends.find(({ atMillis, outcome }) => atMillis >= wellAgain && outcome === "Success")?.atMillis
  return { hasOpened, lastOpened, closed, answered, wellAgain }
}

const lengths = [
  ["3 s", 3000],
  ["a minute", 60_000],
  ["10 min", 600_000]
] as const

describe("a circuit with the usual options", () => {
  for (const [how, down] of Object.entries(downs)) {
    for (const [length, downMillis] of lengths) {
      it.each([1, 20, 200])(
        `of an upstream that was ${how} for ${length} is closed within two seconds of its first answer, %d calls a second`,
        (perSecond) => {
          const { answered, closed, hasOpened, wellAgain } = recovery(down, downMillis, perSecond)
          // with too few failures in it, an outage opens nothing, and nothing is to be closed
          if (!hasOpened) return assert.isTrue(downMillis === 3000 || down === downs.hanging)
          if (answered === undefined || closed === undefined) return assert.fail("it is not closed")
          assert.isAtMost(closed - answered, 2000)
          // and its callers are let through to find out: an open time, and the next call
          assert.isAtMost(answered - wellAgain, 1000 + 1000 / perSecond + latencyMillis)
        }
      )
    }
  }

  it("of an upstream that asked for more time is closed when that is over", () => {
    const asks = Outcome.failure({ cause: "transient", retryAfter: Duration.seconds(20) })
    const breaker = CircuitBreaker.make({ trip: [CircuitBreaker.consecutiveFailures(1)] })
    const { changes, ends } = course(
      breaker,
      (atMillis) => ({ millis: 1, outcome: atMillis < 1 ? asks : Outcome.success }),
      { perSecond: 100 },
      30_000
    )
    assert.deepStrictEqual(
      changes.map(([, to]) => to),
      ["Open", "Closed"]
    )
    assert.isAtLeast(ends.find(({ outcome }) => outcome === "Success")?.atMillis ?? 0, 20_000)
  })
})

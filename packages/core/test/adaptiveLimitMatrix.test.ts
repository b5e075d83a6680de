import { Effect } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as AdaptiveConcurrency from "../src/AdaptiveConcurrency.ts"
import * as Outcome from "../src/Outcome.ts"
import { Agenda, latencies, seeded } from "./support/traffic.ts"

interface Run {
  readonly calls: number
  /** Percent of the calls after the limit had time to grow: the first tenth of the time is left out. */
  readonly refusedPercent: number
  readonly limit: number
  readonly inFlight: number
}

/** Calls that come at random, and what the limit with its defaults makes of them. */
const offered = (options: {
  readonly algorithm: AdaptiveConcurrency.Algorithm
  readonly perSecond: number
  readonly errorShare: number
  readonly latencyMillis: (random: () => number, passed: number, inFlight: number) => number
  readonly cause?: Outcome.FailureCause
}): Run => {
  const { algorithm, cause = "transient", errorShare, latencyMillis, perSecond } = options
  const random = seeded(perSecond * 31 + errorShare * 1000)
  const limiter = AdaptiveConcurrency.make({ algorithm })
  const ends = new Agenda<readonly [AdaptiveConcurrency.Permit, boolean]>()
  const endMillis = Math.max(150_000, 600_000 / perSecond)
  let [nowMillis, calls, refused, inFlight] = [0, 0, 0, 0]
  while (nowMillis < endMillis) {
    nowMillis += (-Math.log(1 - random()) * 1000) / perSecond
    for (let end = ends.due(nowMillis); end !== undefined; end = ends.due(nowMillis)) {
      const [permit, isError] = end.value
      inFlight--
      permit.settle(end.atMillis, isError ? Outcome.failure({ cause }) : Outcome.success)
    }
    const isCounted = nowMillis > endMillis / 10
    if (isCounted) calls++
    const permit = limiter.admit(nowMillis)
    if (permit._tag !== "Permit") {
      if (isCounted) refused++
      continue
    }
    inFlight++
    const millis = latencyMillis(random, nowMillis / endMillis, inFlight)
    ends.add(nowMillis + millis, [permit, random() < errorShare])
  }
  const { limit } = Effect.runSync(limiter.snapshot)
  return { calls, refusedPercent: (100 * refused) / calls, limit, inFlight }
}

const rates = [1, 20, 200, 2000]
const shares = [0, 0.002, 0.01, 0.05, 0.5]

/** A row a rate and kind of latency, a column a share of errors: what is refused, and the limit in the end. */
const matrix = (algorithm: AdaptiveConcurrency.Algorithm) => {
  const cells = rates.flatMap((perSecond) =>
    Object.entries(latencies).flatMap(([latency, latencyMillis]) =>
      // what fails half of the time shows at the lower rates as well, and a limit that refuses most calls is slow to reckon
      shares
        .filter((share) => share < 0.5 || perSecond < 2000)
        .map((errorShare) => ({
          perSecond,
          latency,
          errorShare,
          ...offered({ algorithm, perSecond, errorShare, latencyMillis })
        }))
    )
  )
  const rows = Object.values(Object.groupBy(cells, ({ latency, perSecond }) => `${perSecond} ${latency}`)).map(
    (row = []) =>
      `${String(row[0]?.perSecond).padStart(5)}/s ${(row[0]?.latency ?? "").padEnd(10)}` +
      row.map(({ limit, refusedPercent }) => `${refusedPercent.toFixed(1)} % (${limit})`.padStart(14)).join("")
  )
  const head = `${algorithm.padEnd(18)}${shares.map((share) => `${share * 100} % errors`.padStart(14)).join("")}`
  return { cells, table: [head, ...rows].join("\n") }
}

describe("the adaptive limit with its defaults", () => {
  for (const algorithm of ["gradient", "aimd"] as const) {
    it(`refuses nothing of an upstream that is healthy but for a few errors (${algorithm})`, () => {
      const { cells, table } = matrix(algorithm)
      console.log(table)
      for (const { errorShare, latency, limit, perSecond, refusedPercent } of cells) {
        const where = `${perSecond}/s, ${latency}, ${errorShare * 100} % errors\n${table}`
        if (errorShare === 0.5) assert.isAtMost(limit, 7, where)
        else {
          assert.isBelow(refusedPercent, 0.01, where)
          assert.isAtLeast(limit, latency === "step" ? 15 : 20, where)
        }
      }
    }, 60_000)

    it(`shrinks for timeouts and for what the upstream refuses, once their share is high (${algorithm})`, () => {
      for (const cause of ["timeout", "throttle"] as const) {
        const { limit } = offered({ algorithm, cause, perSecond: 200, errorShare: 0.4, latencyMillis: () => 20 })
        assert.isAtMost(limit, 7, cause)
      }
    })
  }

  it("the gradient bounds what waits in an upstream that is offered twice what it can take", () => {
    // it takes 20 at once in 20 ms, a thousand a second; beyond, calls queue
    const { inFlight, limit } = offered({
      algorithm: "gradient",
      perSecond: 2000,
      errorShare: 0.01,
      latencyMillis: (random, _, inFlight) => (18 + 4 * random()) * Math.max(1, inFlight / 20)
    })
    assert.isTrue(limit >= 10 && limit <= 60 && inFlight <= 60, `a limit of ${limit}, ${inFlight} in flight`)
  })
})

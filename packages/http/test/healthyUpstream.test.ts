import { Effect, Exit } from "effect"
import { TestClock } from "effect/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Deadline from "@holdfast/core/Deadline"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import { latencies, seeded } from "../../core/test/support/traffic.ts"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import * as Upstream from "../src/Upstream.ts"

const { after, status } = ScriptedTransport

/** Reasons that a stage of this side gives. */
const refusals = new Set(["CircuitOpen", "RateLimited", "BulkheadFull", "ConcurrencyLimited", "Throttled"])

interface Traffic {
  readonly perSecond: number
  readonly errorShare: number
  readonly latency: string
  /** What callers have at most, in milliseconds; `undefined` for the policy's own. */
  readonly deadlineMillis: number | undefined
}

/** Offers the traffic to a healthy upstream, and gives what stages of this side refused, by reason. */
const refusedOf = (policy: HttpPolicy.HttpPolicy, { deadlineMillis, errorShare, latency, perSecond }: Traffic) => {
  const calls = Math.min(400, Math.max(60, perSecond * 2))
  const random = seeded(perSecond + errorShare * 1000)
  const gaps = Array.from({ length: calls }, () => (-Math.log(1 - random()) * 1000) / perSecond)
  let answered = 0
  const answer = () => {
    const millis = latencies[latency]?.(random, answered++ / calls) ?? 20
    return after(millis, status(random() < errorShare ? 500 : 200))
  }
  return Effect.gen(function* () {
    const api = yield* Upstream.make("stock", { baseUrl: "https://stock.internal", policy })
    const refused = new Map<string, number>()
    const bounded = deadlineMillis === undefined ? api.get("/a") : api.get("/a").pipe(Deadline.within(deadlineMillis))
    const call = Effect.map(Effect.exit(bounded), (exit) => {
      const failure = Exit.isFailure(exit) ? exit.cause.reasons.find(({ _tag }) => _tag === "Fail") : undefined
      const tag = failure?._tag === "Fail" ? failure.error.reason._tag : undefined
      if (tag !== undefined && refusals.has(tag)) refused.set(tag, (refused.get(tag) ?? 0) + 1)
    })
    let at = 0
    for (const gap of gaps) {
      at += gap
      yield* Effect.forkChild(Effect.delay(call, Math.ceil(at)))
    }
    yield* TestClock.adjust(at + 60_000)
    const words = [...refused].map(([tag, count]) => `${tag} ${((100 * count) / calls).toFixed(1)} %`)
    return words.join(", ")
  }).pipe(Effect.scoped, Effect.provide(ScriptedTransport.layer({ "*": answer })))
}

const rates = [1, 20, 100]
const shares = [0, 0.002, 0.01, 0.05]
const callers = [undefined, 100]

const cells: ReadonlyArray<Traffic> = rates.flatMap((perSecond) =>
  Object.keys(latencies).flatMap((latency) =>
    callers.flatMap((deadlineMillis) =>
      shares.map((errorShare) => ({ perSecond, latency, errorShare, deadlineMillis }))
    )
  )
)

const alone = (options: HttpPolicy.Options): HttpPolicy.HttpPolicy =>
  HttpPolicy.make({ deadline: "30 seconds", attemptTimeout: "10 seconds", ...options })

const policies: ReadonlyArray<readonly [name: string, policy: HttpPolicy.HttpPolicy]> = [
  ["standard", HttpPolicy.standard()],
  ["breaker", alone({ breaker: {} })],
  ["throttle", alone({ throttle: {} })],
  ["bulkhead", alone({ bulkhead: {} })],
  ["adaptive", alone({ adaptiveConcurrency: {} })],
  ["all", alone({ retry: {}, hedge: {}, breaker: {}, throttle: {}, bulkhead: {}, adaptiveConcurrency: {} })]
]

describe("an upstream that is healthy but for a few errors", () => {
  for (const [name, policy] of policies) {
    it.effect(
      `loses no call to a stage with its defaults (${name})`,
      () =>
        Effect.gen(function* () {
          const rows: Array<string> = []
          const found: Array<string> = []
          for (const traffic of cells) {
            const refused = yield* refusedOf(policy, traffic).pipe(Effect.provide(TestClock.layer()))
            if (traffic.errorShare === 0) {
              const callers = traffic.deadlineMillis === undefined ? "patient" : `${traffic.deadlineMillis} ms`
              rows.push(`${String(traffic.perSecond).padStart(5)}/s ${traffic.latency.padEnd(11)}${callers.padEnd(8)}`)
            }
            rows.push(`${rows.pop() ?? ""}  ${(refused === "" ? "–" : refused).padStart(12)}`)
            if (refused !== "") found.push(JSON.stringify(traffic) + refused)
          }
          const head = `${name.padEnd(27)}${shares.map((share) => `${share * 100} % errors`.padStart(14)).join("")}`
          console.log([head, ...rows].join("\n"))
          assert.deepStrictEqual(found, [])
        }),
      60_000
    )
  }
})

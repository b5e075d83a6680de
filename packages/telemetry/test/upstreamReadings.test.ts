import { Duration } from "effect"
import { assert, describe, it } from "@effect/vitest"
import type { Snapshot } from "@holdfast/http/UpstreamRegistry"
import { upstreamReadings } from "../src/internal/metrics/upstreamReadings.ts"

const rows = (snapshot: Snapshot) =>
  upstreamReadings(snapshot).map(({ labels: { "holdfast.upstream": upstream, ...labels }, name, value }) => {
    assert.strictEqual(upstream, "stock")
    return [name.slice("holdfast.".length), ...Object.values(labels), value]
  })

const bodies = { open: 1, unread: 2, found: 3 }

describe("the figures of an upstream at an instant", () => {
  it("are of its bodies alone where its policy has no stage", () => {
    assert.deepStrictEqual(rows({ name: "stock", policy: "", bodies, endpoints: [{ origin: "http://a.test" }] }), [
      ["body.open", 1],
      ["body.unread", 2],
      ["body.forgotten", 3]
    ])
  })

  it("say which version it is of, where it has several", () => {
    const readings = upstreamReadings({ name: "stock", version: "2", policy: "", bodies, endpoints: [] })
    for (const { labels } of readings) {
      assert.deepStrictEqual(labels, { "holdfast.upstream": "stock", "holdfast.upstream.version": "2" })
    }
  })

  it("are of every stage that it has, what was admitted and what was refused", () => {
    const snapshot: Snapshot = {
      name: "stock",
      policy: "",
      bodies,
      budget: { balance: 4, callsInFlight: 99, retriesInFlight: 5, granted: 6, refused: 7 },
      rateLimit: {
        limit: 8,
        window: Duration.seconds(99),
        remaining: 9,
        waiting: 10,
        admitted: 11,
        delayed: 99,
        refused: 12,
        abandoned: 99,
        server: undefined
      },
      singleFlight: { inFlight: 13, waiting: 14, runs: 99, joined: 99, abandoned: 99, refused: 99 },
      hedge: {
        calls: 99,
        hedges: 99,
        won: 99,
        denied: { "extra-load": 99, budget: 99, upstream: 99, "not-repeatable": 99 },
        hedgesInFlight: 99,
        delay: Duration.millis(250),
        samples: 99,
        saved: 99
      },
      endpoints: []
    }
    assert.sameDeepMembers(rows(snapshot), [
      ["retry_budget.balance", 4],
      ["retry_budget.in_flight", 5],
      ["stage.admitted", "budget", 6],
      ["stage.refused", "budget", 7],
      ["rate_limit.limit", 8],
      ["rate_limit.remaining", 9],
      ["rate_limit.waiting", 10],
      ["stage.admitted", "rateLimit", 11],
      ["stage.refused", "rateLimit", 12],
      ["single_flight.in_flight", 13],
      ["single_flight.waiting", 14],
      ["hedge.delay", 0.25],
      ["body.open", 1],
      ["body.unread", 2],
      ["body.forgotten", 3]
    ])
  })

  it("are of every stage of each endpoint", () => {
    const snapshot: Snapshot = {
      name: "stock",
      policy: "",
      bodies,
      endpoints: [
        {
          origin: "https://a.test",
          breaker: {
            state: "HalfOpen",
            entered: { Closed: 1, Open: 2, HalfOpen: 3, ForcedOpen: 4, ForcedClosed: 5 },
            share: 0.5,
            openTimeLeft: Duration.zero,
            consecutiveOpenings: 99,
            consecutiveFailures: 99,
            windows: [],
            probesOut: 99,
            probeSuccesses: 99,
            admitted: 6,
            refused: 7,
            succeeded: 99,
            failed: 99,
            ignored: 99,
            late: 99
          },
          throttle: {
            requests: 99,
            accepts: 99,
            probability: { "critical-plus": 0.1, critical: 0.2, "sheddable-plus": 0.3, sheddable: 0.4 },
            admitted: 8,
            probes: 99,
            shed: 9
          },
          bulkhead: {
            limit: 10,
            inFlight: 11,
            maxQueue: 99,
            queued: 12,
            admitted: 13,
            delayed: 99,
            refused: 14,
            abandoned: 99
          }
        },
        {
          origin: "http://b.test:8080",
          adaptiveConcurrency: {
            algorithm: "gradient",
            limit: 15,
            inFlight: 16,
            admitted: 17,
            refused: 18,
            dropped: 99,
            recent: undefined,
            baseline: undefined
          },
          attemptTimeout: { limit: Duration.millis(1500), learned: undefined, samples: 99, timedOut: 19 }
        }
      ]
    }
    const [first, second] = [
      ["a.test", "443"],
      ["b.test", "8080"]
    ] as const
    assert.sameDeepMembers(rows(snapshot).slice(3), [
      ["circuit.state", ...first, "Closed", 0],
      ["circuit.transitions", ...first, "Closed", 1],
      ["circuit.state", ...first, "Open", 0],
      ["circuit.transitions", ...first, "Open", 2],
      ["circuit.state", ...first, "HalfOpen", 1],
      ["circuit.transitions", ...first, "HalfOpen", 3],
      ["circuit.state", ...first, "ForcedOpen", 0],
      ["circuit.transitions", ...first, "ForcedOpen", 4],
      ["circuit.state", ...first, "ForcedClosed", 0],
      ["circuit.transitions", ...first, "ForcedClosed", 5],
      ["circuit.share", ...first, 0.5],
      ["stage.admitted", ...first, "breaker", 6],
      ["stage.refused", ...first, "breaker", 7],
      ["throttle.probability", ...first, "critical-plus", 0.1],
      ["throttle.probability", ...first, "critical", 0.2],
      ["throttle.probability", ...first, "sheddable-plus", 0.3],
      ["throttle.probability", ...first, "sheddable", 0.4],
      ["stage.admitted", ...first, "throttle", 8],
      ["stage.refused", ...first, "throttle", 9],
      ["bulkhead.limit", ...first, 10],
      ["bulkhead.in_flight", ...first, 11],
      ["bulkhead.waiting", ...first, 12],
      ["stage.admitted", ...first, "bulkhead", 13],
      ["stage.refused", ...first, "bulkhead", 14],
      ["adaptive_concurrency.limit", ...second, 15],
      ["adaptive_concurrency.in_flight", ...second, 16],
      ["stage.admitted", ...second, "adaptiveConcurrency", 17],
      ["stage.refused", ...second, "adaptiveConcurrency", 18],
      ["attempt_timeout.limit", ...second, 1.5],
      ["attempt_timeout.timeouts", ...second, 19]
    ])
  })

  it("have no delay of a hedge that has none yet", () => {
    const hedge = {
      calls: 1,
      hedges: 0,
      won: 0,
      denied: { "extra-load": 0, budget: 0, upstream: 0, "not-repeatable": 0 },
      hedgesInFlight: 0,
      delay: undefined,
      samples: 1,
      saved: 1
    }
    assert.lengthOf(rows({ name: "stock", policy: "", bodies, hedge, endpoints: [{ origin: "http://a.test" }] }), 3)
  })
})

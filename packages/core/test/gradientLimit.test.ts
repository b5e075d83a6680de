import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as State from "../src/internal/limits/gradientLimit.ts"

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const shape: State.GradientShape = {
  initialLimit: 20,
  minimumLimit: 5,
  maximumLimit: 1000,
  backoffRatio: 0.9,
  quantile: 0.9,
  minimumSamples: 50,
  shortestWindowMillis: 1000,
  longestWindowMillis: 30_000,
  headroom: 5
}

const make = (options: Partial<State.GradientShape> = {}): State.GradientState =>
  State.makeGradientState({ ...shape, ...options })

/** One window's worth of successes. Gives the time after it. */
const window = (state: State.GradientState, from: number, inFlight: number, millis: number): number => {
  const samples = 60
  // a window may last twice its fastest call
  const step = Math.max(1000, 2 * millis) / (samples - 5)
  for (let sample = 1; sample <= samples; sample++) State.succeeded(state, from + sample * step, inFlight, millis)
  return from + samples * step
}

/** A window of so many calls, one in flight, of which the last were dropped. */
const failing = (state: State.GradientState, calls: number, drops: number): void => {
  const now = (state.windowEndsAtMillis ?? 0) + 1000
  for (let call = 0; call < calls - drops; call++) State.succeeded(state, now - 1001, 1, 10)
  for (let drop = 0; drop < drops - 1; drop++) State.dropped(state, now - 1001, 1, state.cuts - 1)
  State.dropped(state, now, 1, state.cuts - 1)
}

/** Windows under a load that is as high as the limit lets it be, up to `demand`. Gives the limits seen. */
const drive = (
  state: State.GradientState,
  windows: number,
  latencyMillis: (inFlight: number) => number,
  demand = Infinity
): ReadonlyArray<number> => {
  let now = 0
  return Array.from({ length: windows }, () => {
    const inFlight = Math.min(demand, Math.floor(state.limit))
    now = window(state, now, inFlight, latencyMillis(inFlight))
    return state.limit
  })
}

/** Serves 50 at once in 10 ms; beyond, calls queue and latency grows with them. */
const knee = (inFlight: number): number => 10 * Math.max(1, inFlight / 50)

const uncorrelated: State.Correlations = { throughput: 0, latency: 0, throughputVariation: 1 }

describe("the gradient limit", () => {
  // Vegas: limit 100, baseline 10 ms
  for (const [recentMillis, queue] of [
    [10, 0],
    [10.5, 5],
    [11, 10],
    [12, 17]
  ] as const) {
    it(`Vegas's queue: a limit of 100, 10 ms become ${recentMillis} ms: ${queue} calls wait`, () => {
      assert.strictEqual(State.queueOf(100, 10, recentMillis), queue)
    })
  }

  it("Vegas's thresholds at a limit of 100: below 6 there is room, above 12 is overload, between it holds", () => {
    const change = (queue: number) =>
      State.decide({ limit: 100, queue, full: false, correlations: uncorrelated }).change
    assert.deepStrictEqual([5, 6, 12, 13].map(change), ["increase", "hold", "hold", "decrease"])
  })

  describe("failsafe-go's rules, for a queue that alone says increase", () => {
    const change = (full: boolean, throughput: number, latency: number, throughputVariation: number) =>
      State.decide({ limit: 100, queue: 0, full, correlations: { throughput, latency, throughputVariation } })

    it("past the knee: more load brought less throughput", () => {
      assert.deepStrictEqual(change(true, -0.1, 0, 1), { change: "decrease", cause: "throughput" })
    })
    it("more load brought latency, and hardly any throughput", () => {
      assert.strictEqual(change(true, 0.29, 0.51, 1).change, "decrease")
      assert.strictEqual(change(true, 0.3, 0.51, 1).change, "increase")
      assert.strictEqual(change(true, 0.29, 0.5, 1).change, "increase")
    })
    it("throughput is flat while latency rises with the load", () => {
      assert.strictEqual(change(true, 0.9, 0.51, 0.19).change, "decrease")
      assert.strictEqual(change(true, 0.9, 0.51, 0.2).change, "increase")
    })
    it("none of them where the limit was not reached", () => {
      for (const [throughput, latency, variation] of [
        [-1, 0, 1],
        [0, 1, 1],
        [0.9, 1, 0]
      ] as const) {
        assert.strictEqual(change(false, throughput, latency, variation).change, "increase")
      }
    })
  })

  it("Pearson's correlation: of what rises together, of what parts, and of what hardly varies", () => {
    assert.closeTo(State.correlationOf([1, 2, 3, 4], [2, 4, 6, 8]), 1, 1e-9)
    assert.closeTo(State.correlationOf([1, 2, 3, 4], [8, 6, 4, 2]), -1, 1e-9)
    assert.closeTo(State.correlationOf([1, 2, 3, 4], [1, 3, 2, 4]), 0.8, 1e-9)
    assert.strictEqual(State.correlationOf([1, 2, 3, 4], [100, 100.1, 100.2, 100.3]), 0)
    assert.strictEqual(State.correlationOf([5, 5, 5, 5], [1, 2, 3, 4]), 0)
    assert.strictEqual(State.correlationOf([0, 0], [0, 0]), 0)
    // a deviation of a hundredth of the mean is one that counts
    assert.closeTo(State.correlationOf([99, 101], [1, 2]), 1, 1e-9)
    assert.closeTo(State.correlationOf([1, 2], [99, 101]), 1, 1e-9)
  })

  it("recent is a mean of age 5 over medians of 5 windows, the baseline one of age 10 over that; plain for the first 10", () => {
    const state = make({ minimumSamples: 1, shortestWindowMillis: 1 })
    const meanOf = (samples: ReadonlyArray<number>, age: number) =>
      samples.reduce(
        (mean, sample, index) => mean + (sample - mean) * (index < 10 ? 1 / (index + 1) : 2 / (age + 1)),
        0
      )
    const seen: Array<number> = []
    const medians: Array<number> = []
    const recent: Array<number> = []
    let now = 0
    for (const millis of [10, 80, 30, 70, 20, 60, 40, 50, 10, 90, 30, 80, 20, 70, 60]) {
      // each sample ends a window, but for the first of all
      while (State.succeeded(state, now, 20, millis) === undefined) now += 1000
      now += 1000
      seen.push(state.latencies.at(-1) ?? Number.NaN)
      const last = seen.slice(-5).toSorted((one, other) => one - other)
      medians.push(last[last.length >> 1] ?? Number.NaN)
      recent.push(meanOf(medians, 5))
      assert.deepStrictEqual(state.latencies, seen.slice(-5))
      assert.closeTo(state.recent.value, recent.at(-1) ?? 0, 1e-9)
      assert.closeTo(state.baseline.value, meanOf(recent, 10), 1e-9)
    }
  })

  it("a latency is at least a microsecond, so that it can be compared", () => {
    for (const [millis, least] of [
      [0, 0.001],
      [0.5, 0.49]
    ] as const) {
      const state = make()
      window(state, 0, 20, millis)
      assert.closeTo(state.latencies[0] ?? 0, Math.max(least, millis), millis / 64)
    }
  })

  it("nothing is concluded from fewer than ten windows", () => {
    const rising = Array.from({ length: 10 }, (_, index) => ({
      inFlight: index + 1,
      recentMillis: index + 1,
      throughput: 1 + index / 5
    }))
    assert.strictEqual(State.correlate(rising.slice(1)).latency, 0)
    assert.closeTo(State.correlate(rising).latency, 1, 1e-9)
  })

  it("a window ends after its shortest time, and not before it has enough samples", () => {
    const state = make({ minimumSamples: 10 })
    for (let sample = 0; sample < 100; sample++) State.succeeded(state, sample, 20, 5)
    assert.strictEqual(state.limit, 20)
    State.succeeded(state, 999, 20, 5)
    assert.strictEqual(state.limit, 20)
    assert.strictEqual(State.succeeded(state, 1000, 10, 5), "growth")
    assert.strictEqual(state.limit, 30)
    for (let sample = 0; sample < 9; sample++) State.succeeded(state, 60_000, 10, 5)
    assert.strictEqual(state.limit, 30)
    assert.strictEqual(State.succeeded(state, 60_000, 10, 5), "queue")
    assert.strictEqual(state.limit, 30 + Math.log10(30))
  })

  it("a window lasts twice its fastest call, but never longer than the longest", () => {
    const state = make({ minimumSamples: 10, longestWindowMillis: 10_000 })
    for (let sample = 0; sample <= 10; sample++) State.succeeded(state, sample * 100, 20, 3000)
    assert.strictEqual(state.windowEndsAtMillis, 1000 + 6000)
    for (let sample = 0; sample <= 10; sample++) State.succeeded(state, 7000, 20, 8000)
    assert.strictEqual(state.windowEndsAtMillis, 7000 + 10_000)
  })

  it("a limit grows to its headroom over what is in flight, and no higher", () => {
    assert.deepStrictEqual([...new Set(drive(make(), 50, () => 10, 4))], [20])
    const used = drive(make(), 200, () => 10, 6)
    assert.strictEqual(Math.max(...used), 30)
  })

  /** Windows of a second under a load that fills the limit, of which so many calls end. Gives the limits seen. */
  const filled = (ends: ReadonlyArray<number>, millis: (window: number) => number) => {
    const state = make()
    let now = 0
    return ends.map((calls, index) => {
      const inFlight = Math.floor(state.limit)
      for (let call = 1; call <= calls + 1; call++) {
        State.succeeded(state, now + (call * 1001) / (calls + 1), inFlight, millis(index))
      }
      now += 1001
      return Math.floor(state.limit)
    })
  }

  it("a full limit grows by half a window at first, until a window is slower or there was a reason to shrink", () => {
    assert.deepStrictEqual(
      filled([100, 150, 225, 340, 500], () => 10),
      [20, 30, 45, 67, 101]
    )
    assert.deepStrictEqual(
      filled([100, 150, 225], (window) => (window < 1 ? 10 : 13)),
      [20, 30, 31]
    )
    const shrunk = make()
    failing(shrunk, 50, 50)
    for (let call = 0; call < 50; call++) State.succeeded(shrunk, 60_000, 18, 10)
    assert.closeTo(shrunk.limit, 18 + Math.log10(18), 1e-9)
  })

  it("growth by half that brings no more calls to their end is taken back, and not tried again", () => {
    assert.deepStrictEqual(
      filled([100, 110, 110, 110], () => 10),
      [20, 30, 20, 21]
    )
  })

  it("where nothing is answered in time it is cut at once, but once for all that were in flight together", () => {
    const state = make()
    for (let call = 0; call < 100; call++) State.dropped(state, 1, 20, 0)
    assert.strictEqual(state.limit, 18)
    for (let call = 0; call < 100; call++) State.dropped(state, 2, 18, 1)
    assert.closeTo(state.limit, 16.2, 1e-9)
  })

  it("a limit far above what is in flight shrinks again, down to the initial one", () => {
    const state = make()
    assert.isTrue((drive(state, 200, () => 10, 100).at(-1) ?? 0) > 190)
    assert.strictEqual(drive(state, 500, () => 10, 1).at(-1), 20)
  })

  it("under a load that knows no end the limit stays about the knee, and never runs away", () => {
    const seen = drive(make(), 2000, knee).slice(200)
    const mean = seen.reduce((sum, limit) => sum + limit, 0) / seen.length
    assert.isTrue(Math.max(...seen) < 100, `up to ${Math.max(...seen)}`)
    assert.isTrue(mean > 35 && mean < 75, `${mean} on the average`)
  })

  it("Netflix's pull request 134: a latency that follows the load at a gradient of 0.8 does not carry the limit off", () => {
    // each call in flight costs the others the same: twice the load is twice the latency, throughput is flat
    const seen = drive(make({ maximumLimit: 100_000 }), 3000, (inFlight) => inFlight)
    assert.isTrue(Math.max(...seen) < 60, `up to ${Math.max(...seen)}`)
  })

  it("when the upstream slows down the limit falls", () => {
    const state = make()
    const before = drive(state, 40, () => 10, 80).at(-1) ?? 0
    const after = drive(state, 8, () => 100, 80)
    assert.isTrue(Math.min(...after) < before, `${before}, then ${after.join(" ")}`)
  })

  it("too large a share of drops takes a tenth, once a window", () => {
    const state = make()
    failing(state, 50, 50)
    assert.strictEqual(state.limit, 18)
    failing(state, 50, 12)
    assert.closeTo(state.limit, 16.2, 1e-9)
    failing(state, 1000, 129)
    assert.closeTo(state.limit, 14.58, 1e-9)
  })

  it("a share that chance explains takes nothing, and below what it began with a limit grows again without load", () => {
    const state = make()
    for (let round = 0; round < 20; round++) failing(state, 50, 50)
    assert.strictEqual(state.limit, 5)
    failing(state, 50, 11)
    assert.strictEqual(state.limit, 5, "a tenth and more is no reason to grow either")
    for (let round = 0; round < 100; round++) failing(state, 50, 3)
    assert.strictEqual(state.limit, 20)
  })

  it("a clock that went back holds no window open beyond the longest", () => {
    const state = make({ minimumSamples: 10 })
    State.succeeded(state, 3_600_000, 20, 5)
    for (let sample = 0; sample < 20; sample++) State.succeeded(state, 1000 + sample * 100, 20, 5)
    assert.isTrue(state.limit > 20)
  })

  const samples = Arbitrary.array(
    Arbitrary.all({
      event: Arbitrary.schema(Schema.Literals(["success", "success", "success", "drop"])),
      inFlight: int(1, 2000),
      millis: int(-50, 3000),
      jump: int(-2000, 3000)
    }),
    { maxLength: 300 }
  )

  it.prop(
    "under any samples and any clock the limit stays between its bounds, and takes one step at a time",
    [samples],
    ([events]) => {
      const state = make({ minimumSamples: 10, shortestWindowMillis: 1, maximumLimit: 60 })
      let now = 1e6
      for (const { event, inFlight, jump, millis } of events) {
        now += jump
        const before = state.limit
        const { isFresh: wasFresh, trial } = state
        const cause =
          event === "drop"
            ? State.dropped(state, now, inFlight, state.cuts - (now % 2))
            : State.succeeded(state, now, inFlight, millis)
        assert.isTrue(state.limit >= 5 && state.limit <= 60, `${state.limit}`)
        if (cause === undefined) assert.strictEqual(state.limit, before)
        else if (cause === "drop") assert.isTrue(state.limit >= before * 0.9 - 1e-9 && state.limit <= before)
        else if (cause === "growth") assert.isTrue(wasFresh && state.limit >= before && state.limit <= before * 1.5)
        else if (trial !== undefined && state.limit === trial.limit) assert.strictEqual(cause, "throughput")
        else assert.isTrue(Math.abs(state.limit - before) <= State.stepOf(before) + 1e-9)
        assert.isTrue(state.observations.length <= 50 && state.latencies.length <= 5)
      }
    },
    { arbitrary: { runs: 200 } }
  )
})

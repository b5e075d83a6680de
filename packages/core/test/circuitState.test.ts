import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import * as Detail from "../src/internal/circuit/circuitDetail.ts"
import * as State from "../src/internal/circuit/circuitState.ts"

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const consecutive = (failures: number): State.Rule => ({ _tag: "ConsecutiveFailures", failures })

const countRule = (size: number, rates: Partial<Omit<State.Rule & { _tag: "CountWindow" }, "_tag" | "size">>) =>
  ({ _tag: "CountWindow", size, minimumCalls: size, failureRate: 0.5, slowCallRate: Infinity, ...rates }) as const

const timeRule = (millis: number, rates: Partial<Omit<State.Rule & { _tag: "TimeWindow" }, "_tag" | "millis">>) =>
  ({ _tag: "TimeWindow", millis, minimumCalls: 1, failureRate: 0.5, slowCallRate: Infinity, ...rates }) as const

const usual: State.CircuitShape = {
  rules: [consecutive(3)],
  slowCallMillis: 1000,
  openMillis: () => 5000,
  maxOpenMillis: 300_000,
  probes: 2,
  successThreshold: 2,
  probeLeaseMillis: 10_000,
  rampMillis: 0
}

const circuit = (shape: Partial<State.CircuitShape> = {}) => State.makeCircuitState({ ...usual, ...shape })

/** A permit that the circuit must give. */
const permitted = (state: State.CircuitState, now: number, random = 0): State.Permit => {
  const permit = State.admit(state, now, random)
  if (permit === undefined) return assert.fail(`refused at ${now}, in ${state.phase}`)
  return permit
}

const refuses = (state: State.CircuitState, now: number, random = 0): boolean =>
  State.admit(state, now, random) === undefined

/** One whole call at one instant. */
const call = (
  state: State.CircuitState,
  verdict: State.Verdict,
  now: number,
  { askedMillis = 0, durationMillis = 0 } = {}
): State.Settled => State.settle(state, permitted(state, now), verdict, askedMillis, now, durationMillis)

const calls = (state: State.CircuitState, count: number, verdict: State.Verdict, now: number, durationMillis = 0) => {
  for (let index = 0; index < count; index++) call(state, verdict, now, { durationMillis })
}

const opened = (shape: Partial<State.CircuitShape> = {}, now = 0): State.CircuitState => {
  const state = circuit({ rules: [consecutive(1)], ...shape })
  call(state, "failure", now)
  assert.strictEqual(state.phase, "Open")
  return state
}

/** What cannot be told apart from outside: everything but the clock. */
const visible = ({ at: _at, seen: _seen, ...rest }: State.CircuitState) =>
  structuredClone({ ...rest, shape: undefined })

const shape = Arbitrary.map(
  Arbitrary.all({
    failures: int(1, 5),
    size: int(1, 12),
    windowMillis: int(100, 5000),
    minimumCalls: int(1, 12),
    tenths: int(1, 10),
    slowTenths: int(1, 15),
    openMillis: int(1, 4000),
    maxOpenMillis: int(1, 8000),
    probes: int(1, 4),
    successThreshold: int(1, 5),
    probeLeaseMillis: int(1, 3000),
    rampMillis: int(-3000, 3000),
    rules: Arbitrary.array(int(0, 2), { minLength: 1, maxLength: 3 })
  }),
  ({ failures, minimumCalls, openMillis, rampMillis, rules, size, slowTenths, tenths, windowMillis, ...rest }) => {
    const rates = { failureRate: tenths / 10, slowCallRate: slowTenths > 10 ? Infinity : slowTenths / 10 }
    const all = [
      consecutive(failures),
      countRule(size, { ...rates, minimumCalls: Math.min(size, minimumCalls) }),
      timeRule(windowMillis, { ...rates, minimumCalls })
    ]
    return {
      ...rest,
      slowCallMillis: 500,
      openMillis: (opening: number) => openMillis * 2 ** (opening - 1),
      rampMillis: Math.max(0, rampMillis),
      rules: rules.flatMap((index) => all[index] ?? [])
    }
  }
)

/** What may happen to a circuit: the clock jumps (also back), then one of its events comes. */
const happening = Schema.Struct({
  event: Schema.Literals([
    "admit",
    "admit",
    "admit",
    "settle",
    "settle",
    "settle",
    "forceOpen",
    "forceClosed",
    "reset"
  ]),
  jumpMillis: Schema.Int.check(Schema.isBetween({ minimum: -2000, maximum: 3000 })),
  hundredths: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 99 })),
  /** Which of the permits that are out is settled. */
  which: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 })),
  verdict: Schema.Literals(["success", "failure", "failure", "ignored"]),
  askedMillis: Schema.Literals([0, 0, 0, 700, 20_000]),
  durationMillis: Schema.Literals([0, 400, 600])
})

type Happening = typeof happening.Type

const happenings = Arbitrary.array(Arbitrary.schema(happening), { maxLength: 150 })

interface Moment {
  readonly now: number
  readonly event: Happening["event"]
  readonly permit: State.Permit | undefined
  readonly settled: State.Settled | undefined
  readonly out: ReadonlyArray<State.Permit>
  readonly happened: Happening
}

const play = (
  state: State.CircuitState,
  events: ReadonlyArray<Happening>,
  after: (moment: Moment) => void = () => {}
): { readonly now: number; readonly out: ReadonlyArray<State.Permit> } => {
  let now = 1e6
  const out: Array<State.Permit> = []
  for (const happened of events) {
    now += happened.jumpMillis
    let permit: State.Permit | undefined
    let settled: State.Settled | undefined
    switch (happened.event) {
      case "admit": {
        permit = State.admit(state, now, happened.hundredths / 100)
        if (permit !== undefined) out.push(permit)
        break
      }
      case "settle": {
        const [one] = out.splice(happened.which % Math.max(1, out.length), 1)
        if (one === undefined) continue
        settled = State.settle(state, one, happened.verdict, happened.askedMillis, now, happened.durationMillis)
        break
      }
      default:
        State[happened.event](state, now)
    }
    after({ now, event: happened.event, permit, settled, out, happened })
  }
  return { now, out }
}

describe("the circuit breaker's state machine", () => {
  it.prop(
    "no circuit is stuck: from any state, with time and calls that succeed, it is closed and lets everything through",
    [shape, happenings, int(0, 99)],
    ([of, events, hundredths]) => {
      const state = State.makeCircuitState(of)
      // what is out never comes back: lost probes must not keep it half-open
      let { now } = play(state, events)
      if (state.phase === "ForcedOpen" || state.phase === "ForcedClosed") State.reset(state, now)
      for (let step = 0; step < 200; step++) {
        const permit = State.admit(state, now, hundredths / 100)
        const wait = permit === undefined ? State.waitMillis(state, now, hundredths / 100) : 100
        if (permit !== undefined) State.settle(state, permit, "success", 0, now, 0)
        now += wait ?? assert.fail("no way back")
        const seen = State.look(state, now)
        if (seen.phase === "Closed" && seen.share === 1 && !refuses(state, now, 0.999)) return
      }
      assert.fail(`after 200 steps: ${JSON.stringify(State.look(state, now))}`)
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "no more probes hold a place than may, and half-open lets no other call through",
    [shape, happenings],
    ([of, events]) => {
      const state = State.makeCircuitState(of)
      const until = new Map<State.Permit, number>()
      play(state, events, ({ now, out, permit }) => {
        if (permit?.isProbe === true) until.set(permit, state.at + of.probeLeaseMillis)
        const live = out.filter(
          (one) => one.isProbe && one.generation === state.generation && (until.get(one) ?? 0) > state.at
        )
        assert.isAtMost(live.length, of.probes)
        assert.strictEqual(State.look(state, now).probesOut, live.length)
        if (permit !== undefined) assert.strictEqual(permit.isProbe, state.phase === "HalfOpen")
      })
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop(
    "every refusal says when to come back, and then there is a way in",
    [shape, happenings],
    ([of, events]) => {
      const state = State.makeCircuitState(of)
      play(state, events, ({ event, happened, now, permit }) => {
        if (event !== "admit" || permit !== undefined) return
        const random = happened.hundredths / 100
        const wait = State.waitMillis(state, now, random)
        if (state.phase === "ForcedOpen") return assert.isUndefined(wait)
        if (wait === undefined) return assert.fail("no way back")
        assert.isAtLeast(wait, 1)
        const bound = { Open: of.maxOpenMillis, HalfOpen: of.probeLeaseMillis, Closed: of.rampMillis }
        assert.isAtMost(wait, 1 + (state.phase === "ForcedClosed" ? 0 : bound[state.phase]))
        const later = State.look(state, now + wait)
        if (state.phase === "Open") assert.strictEqual(later.phase, "HalfOpen")
        if (state.phase === "Closed") assert.isAtLeast(later.share, random)
      })
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop(
    "what a call of an older generation reports changes nothing",
    [shape, happenings, int(0, 50_000)],
    ([of, events, duration]) => {
      const state = State.makeCircuitState(of)
      const { now, out } = play(state, events)
      for (const permit of out) {
        if (permit.generation === state.generation) continue
        const before = visible(state)
        for (const verdict of ["success", "failure", "ignored"] as const) {
          assert.strictEqual(State.settle(state, permit, verdict, 60_000, now, duration), "late")
        }
        assert.deepStrictEqual(visible(state), before)
      }
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop(
    "a call that is interrupted leaves no trace: neither counted, nor holding a place",
    [shape, happenings, int(0, 50_000)],
    ([of, events, later]) => {
      const state = State.makeCircuitState(of)
      const { now } = play(state, events)
      // the first call after the open time makes it half-open, whatever becomes of it; that is not the trace that is meant
      State.admit(state, now + later, 0)
      const before = visible(state)
      const permit = State.admit(state, now + later, 0)
      if (permit === undefined) return
      assert.strictEqual(State.settle(state, permit, "ignored", 60_000, now + later, 9000), "ignored")
      const after = visible(state)
      // a place whose lease ran out may be cleared
      if (state.phase === "HalfOpen") after.places.fill(undefined)
      if (state.phase === "HalfOpen") before.places.fill(undefined)
      assert.deepStrictEqual(after, before)
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop("reading changes nothing, at any time", [shape, happenings, int(-20_000, 40_000)], ([of, events, later]) => {
    const read = State.makeCircuitState(of)
    const unread = State.makeCircuitState(of)
    const answers: Array<boolean> = []
    play(read, events, ({ now, permit }) => {
      State.look(read, now + later)
      State.waitMillis(read, now + later, 0.5)
      State.shareOf(read, now + later)
      answers.push(permit !== undefined)
    })
    const unreadAnswers: Array<boolean> = []
    play(unread, events, ({ permit }) => unreadAnswers.push(permit !== undefined))
    assert.deepStrictEqual(answers, unreadAnswers)
    assert.deepStrictEqual({ ...read, shape: undefined }, { ...unread, shape: undefined })
  })

  it.prop(
    "a circuit is open for what was asked or set, whichever is longer, and never longer than the longest",
    [int(1, 10_000), int(0, 100_000), int(1, 50_000)],
    ([openMillis, askedMillis, maxOpenMillis]) => {
      const state = circuit({ rules: [consecutive(1)], openMillis: () => openMillis, maxOpenMillis })
      call(state, "failure", 0, { askedMillis })
      const lasts = Math.min(maxOpenMillis, Math.max(openMillis, askedMillis))
      assert.strictEqual(State.waitMillis(state, 0, 0), lasts)
      assert.isTrue(refuses(state, lasts - 1))
      assert.isTrue(permitted(state, lasts).isProbe)
    }
  )

  it.prop(
    "a clock that goes back makes the wait longer by no more than the jump",
    [int(0, 4999), int(0, 1_000_000)],
    ([waited, back]) => {
      const state = opened({}, 1e6)
      assert.isTrue(refuses(state, 1e6 + waited))
      assert.isTrue(refuses(state, 1e6 + waited - back))
      const left = 5000 - waited
      assert.strictEqual(State.waitMillis(state, 1e6 + waited - back, 0), left)
      assert.isTrue(permitted(state, 1e6 + waited - back + left).isProbe)
    }
  )

  describe("the rules", () => {
    it("so many failures in a row open it, and a success ends the row", () => {
      const state = circuit()
      calls(state, 2, "failure", 0)
      call(state, "success", 0)
      calls(state, 2, "failure", 0)
      assert.strictEqual(state.phase, "Closed")
      call(state, "failure", 0)
      assert.strictEqual(state.phase, "Open")
    })

    it("what is ignored neither ends a row nor adds to it, and is in no window", () => {
      const state = circuit({ rules: [consecutive(3), countRule(4, { failureRate: 1 })] })
      calls(state, 2, "failure", 0)
      calls(state, 10, "ignored", 0)
      assert.strictEqual(State.look(state, 0).windows[0]?.counts.failed, 2)
      call(state, "failure", 0)
      assert.strictEqual(state.phase, "Open")
    })

    it("a rate is reached at its threshold, not above it", () => {
      for (const [failures, phase] of [
        [6, "Closed"],
        [7, "Open"]
      ] as const) {
        const state = circuit({ rules: [countRule(10, { failureRate: 0.7 })] })
        calls(state, 10 - failures, "success", 0)
        calls(state, failures, "failure", 0)
        assert.strictEqual(state.phase, phase)
      }
    })

    it("below the minimum of calls the rates say nothing", () => {
      const state = circuit({ rules: [timeRule(10_000, { minimumCalls: 5 })] })
      calls(state, 4, "failure", 0)
      assert.strictEqual(state.phase, "Closed")
      call(state, "success", 0)
      assert.strictEqual(state.phase, "Open", "a success can complete the minimum")
    })

    it("a time window forgets: calls older than it do not count", () => {
      const state = circuit({ rules: [timeRule(10_000, { minimumCalls: 5 })] })
      calls(state, 4, "failure", 0)
      calls(state, 4, "failure", 10_000)
      assert.strictEqual(state.phase, "Closed")
      call(state, "failure", 10_999)
      assert.strictEqual(state.phase, "Open")
    })

    it("a call is slow if it took longer than the limit, not as long, and whatever became of it", () => {
      const state = circuit({ rules: [countRule(4, { failureRate: 1, slowCallRate: 0.75 })] })
      call(state, "success", 1000, { durationMillis: 1000 })
      call(state, "success", 3000, { durationMillis: 1000.1 })
      call(state, "failure", 5000, { durationMillis: 2000 })
      assert.deepStrictEqual(State.look(state, 5000).windows[0]?.counts, { ok: 1, slowOk: 1, failed: 0, slowFailed: 1 })
      call(state, "failure", 7000, { durationMillis: 2000 })
      assert.strictEqual(state.phase, "Open")
      assert.strictEqual(Detail.openDetail(state), "3 of the last 4 attempts took longer than 1s")
    })

    it("slow calls that no rule watches open nothing", () => {
      const state = circuit({ rules: [countRule(4, {})] })
      calls(state, 20, "success", 0, 60_000)
      assert.strictEqual(state.phase, "Closed")
    })

    it("any of several rules opens it", () => {
      const rules = [consecutive(4), countRule(10, { failureRate: 0.5 }), timeRule(1000, { minimumCalls: 50 })]
      const inARow = circuit({ rules })
      calls(inARow, 4, "failure", 0)
      assert.strictEqual(Detail.openDetail(inARow), "4 attempts in a row failed")
      const byRate = circuit({ rules })
      for (let index = 0; index < 5; index++) {
        call(byRate, "success", 0)
        call(byRate, "failure", 0)
      }
      assert.strictEqual(Detail.openDetail(byRate), "5 of the last 10 attempts failed")
      const inTime = circuit({ rules: [timeRule(90_000, { minimumCalls: 3, failureRate: 0.6 })] })
      call(inTime, "success", 0)
      calls(inTime, 2, "failure", 0)
      assert.strictEqual(Detail.openDetail(inTime), "2 of 3 attempts failed in the last 1m 30s")
    })
  })

  describe("calls that were in flight together", () => {
    const bothRates = { failureRate: 0.5, slowCallRate: 0.5 }

    /** Calls that were in flight together, and end at the same instant. */
    const burst = (
      state: State.CircuitState,
      count: number,
      verdict: State.Verdict,
      at: number,
      durationMillis = 100
    ): void => {
      const permits = Array.from({ length: count }, () => permitted(state, at))
      for (const permit of permits) State.settle(state, permit, verdict, 0, at, durationMillis)
    }

    it.prop(
      "one burst of any size, of calls as slow and as spread as may be, opens a circuit by no rule that asks for more than one",
      [
        Arbitrary.array(Arbitrary.all([int(0, 5000), int(1, 5000)]), { minLength: 1, maxLength: 200 }),
        int(2, 5),
        int(4, 20)
      ],
      ([spans, failures, minimumCalls]) => {
        const state = circuit({
          slowCallMillis: 0,
          rules: [
            consecutive(failures),
            countRule(minimumCalls, bothRates),
            timeRule(30_000, { minimumCalls, ...bothRates })
          ]
        })
        // all of them are in flight at 5000
        const ends = spans.map(([before, after]) => ({ at: 5000 + after, durationMillis: before + after }))
        const permit = permitted(state, 0)
        for (const { at, durationMillis } of ends.toSorted((one, other) => one.at - other.at)) {
          State.settle(state, permit, "failure", 0, at, durationMillis)
        }
        assert.strictEqual(state.phase, "Closed")
        assert.isAtMost(State.look(state, 10_000).streak, 1)
      }
    )

    it.prop(
      "an outage opens a circuit after three rounds of what is in flight, however much that is",
      [int(1, 512), int(1, 2000)],
      ([inFlight, durationMillis]) => {
        const state = circuit({ rules: [consecutive(10), timeRule(30_000, { minimumCalls: 20 })] })
        let rounds = 0
        while (state.phase === "Closed") burst(state, inFlight, "failure", ++rounds * durationMillis, durationMillis)
        assert.isAtMost(rounds, inFlight >= 7 ? 3 : 10)
      }
    )

    it("a failure makes the row longer if its call began when the one counted before it had ended", () => {
      const state = circuit({ rules: [consecutive(10)] })
      const streak = () => State.look(state, 0).streak
      burst(state, 8, "failure", 1000)
      assert.strictEqual(streak(), 1)
      call(state, "failure", 1099, { durationMillis: 100 })
      assert.strictEqual(streak(), 1, "it began before the others had failed")
      call(state, "failure", 1100.1, { durationMillis: 100.1 })
      assert.strictEqual(streak(), 2, "it began at the instant at which the first had failed")
      burst(state, 8, "failure", 1200, 100)
      assert.strictEqual(streak(), 2)
    })

    it("a row that has gone on for a second is long enough with three rounds, if as many calls have failed as were asked for", () => {
      for (const [inFlight, third, phase] of [
        [4, 2000, "Open"],
        [4, 1999, "Closed"],
        [3, 2000, "Closed"]
      ] as const) {
        const state = circuit({ rules: [consecutive(10)] })
        burst(state, inFlight, "failure", 1000)
        burst(state, inFlight, "failure", 1500)
        assert.strictEqual(state.phase, "Closed")
        burst(state, 2, "failure", third)
        assert.strictEqual(state.phase, phase)
        if (phase === "Open") assert.strictEqual(Detail.openDetail(state), "10 attempts in a row failed")
      }
    })

    it("what is left of a burst begins no new row when one of its calls has succeeded", () => {
      const state = circuit({ rules: [consecutive(2)] })
      const permit = permitted(state, 0)
      for (const verdict of ["failure", "success", "failure", "failure"] as const) {
        State.settle(state, permit, verdict, 0, 100, 100)
      }
      assert.strictEqual(State.look(state, 100).streak, 0)
    })

    it("two bursts are not enough for a rate, a third is", () => {
      for (const rule of [countRule(100, { minimumCalls: 20 }), timeRule(30_000, { minimumCalls: 20 })]) {
        const state = circuit({ rules: [rule] })
        burst(state, 64, "failure", 1000)
        burst(state, 64, "failure", 1100)
        assert.strictEqual(state.phase, "Closed")
        burst(state, 1, "failure", 1200)
        assert.strictEqual(state.phase, "Open")
      }
    })

    it("slow calls are told by rounds of their own: fast failures are none of them", () => {
      const state = circuit({
        slowCallMillis: 50,
        rules: [countRule(100, { minimumCalls: 20, failureRate: 1, slowCallRate: 0.5 })]
      })
      burst(state, 64, "success", 1000)
      calls(state, 5, "failure", 1100)
      burst(state, 64, "success", 1200)
      assert.strictEqual(state.phase, "Closed")
      burst(state, 1, "success", 1300)
      assert.strictEqual(state.phase, "Open")
    })

    it("a round counts as long as one of its bad calls is in the window", () => {
      for (const [lastAt, phase] of [
        [9999, "Open"],
        [10_001, "Closed"]
      ] as const) {
        const state = circuit({ rules: [timeRule(10_000, { minimumCalls: 6 })] })
        burst(state, 5, "failure", 0)
        burst(state, 5, "failure", 5000)
        burst(state, 5, "failure", lastAt)
        assert.strictEqual(state.phase, phase, "by time")
      }
      for (const [between, phase] of [
        [5, "Open"],
        [6, "Closed"]
      ] as const) {
        const state = circuit({ rules: [countRule(10, { failureRate: 0.3 })] })
        burst(state, 4, "failure", 0)
        burst(state, 3, "failure", 1000)
        calls(state, between, "success", 1500)
        assert.strictEqual(state.phase, "Closed")
        call(state, "failure", 2000, { durationMillis: 100 })
        assert.strictEqual(state.phase, phase, "by number")
      }
    })

    it("a rule that fewer than three bad calls are enough for needs no three rounds", () => {
      const state = circuit({ rules: [countRule(4, { failureRate: 0.25 })] })
      calls(state, 3, "success", 0)
      call(state, "failure", 100, { durationMillis: 100 })
      assert.strictEqual(state.phase, "Open")
    })

    it("the rounds of an outage are forgotten when the circuit has opened", () => {
      const state = circuit({ rules: [timeRule(60_000, { minimumCalls: 6 })], successThreshold: 1 })
      for (const at of [1000, 1100, 1200]) burst(state, 3, "failure", at)
      assert.strictEqual(state.phase, "Open")
      call(state, "success", 6200)
      assert.strictEqual(state.phase, "Closed")
      burst(state, 64, "failure", 7000)
      assert.strictEqual(state.phase, "Closed")
    })
  })

  describe("what is kept, and for how long", () => {
    const fresh: ReturnType<typeof visible> = {
      shape: undefined,
      trackers: [{ rule: consecutive(2), window: undefined, failed: undefined, slow: undefined }],
      phase: "Closed",
      generation: 0,
      permit: { _tag: "Permit", isProbe: false, generation: 0 },
      failures: 0,
      streak: 0,
      streakSince: -Infinity,
      streakAt: -Infinity,
      recorded: 0,
      askedUntil: 0,
      openUntil: 0,
      lastOpenMillis: 0,
      openings: 0,
      steadyAt: 0,
      opening: undefined,
      places: [undefined, undefined],
      probeSuccesses: 0,
      slowProbeSuccesses: 0,
      probeSucceededSince: -Infinity,
      ramping: false,
      closedAt: 0
    }

    it("a reset circuit is as if it had just been made, but for the generation and the time", () => {
      const state = circuit({ rules: [consecutive(2)], successThreshold: 3 })
      assert.deepStrictEqual(visible(state), fresh)
      calls(state, 2, "failure", 100)
      call(state, "success", 5100, { durationMillis: 2000 })
      permitted(state, 5100)
      State.reset(state, 7100)
      assert.strictEqual(state.at, 7000)
      const { generation } = state
      const permit = { ...fresh.permit, generation }
      assert.deepStrictEqual(visible(state), { ...fresh, generation, permit, steadyAt: 7000, closedAt: 7000 })
    })

    it("a success forgets the failures before it, and what the server asked for with them", () => {
      const state = circuit({ rules: [consecutive(2)] })
      assert.strictEqual(call(state, "failure", 0), "counted")
      assert.deepStrictEqual(visible(state), {
        ...fresh,
        failures: 1,
        streak: 1,
        streakSince: 0,
        streakAt: 0,
        recorded: 1
      })
      State.reset(state, 0)
      call(state, "failure", 0, { askedMillis: 9000 })
      assert.strictEqual(state.askedUntil, 9000)
      assert.strictEqual(call(state, "success", 0), "counted")
      assert.deepInclude(visible(state), { askedUntil: 0, streak: 0 })
    })

    it("what the server asked for before the circuit opened is not waited for again after it closed", () => {
      const state = circuit({ rules: [consecutive(1)], maxOpenMillis: 6000, probes: 1, successThreshold: 1 })
      call(state, "failure", 0, { askedMillis: 60_000 })
      assert.strictEqual(State.waitMillis(state, 0, 0), 6000)
      call(state, "success", 6000)
      assert.strictEqual(state.phase, "Closed")
      assert.isUndefined(state.opening)
      call(state, "failure", 20_000)
      assert.strictEqual(State.waitMillis(state, 20_000, 0), 5000)
    })

    it("what the probes of a half-open phase reported does not count in the next", () => {
      const rules = [consecutive(1), countRule(10, { slowCallRate: 0.5 })]
      const state = opened({ rules, probes: 2, successThreshold: 2 })
      assert.strictEqual(call(state, "success", 5000, { durationMillis: 2000 }), "counted")
      assert.strictEqual(call(state, "failure", 5000), "counted")
      call(state, "success", 10_000)
      assert.strictEqual(state.phase, "HalfOpen")
      assert.strictEqual(call(state, "success", 10_000), "counted")
      assert.strictEqual(state.phase, "Closed")
    })

    it("the permit of a call that is not watched is late in every generation, and no probe", () => {
      const state = circuit()
      assert.isFalse(State.unwatched.isProbe)
      for (let generation = 0; generation < 4; generation++) {
        assert.strictEqual(State.settle(state, State.unwatched, "failure", 0, 0, 0), "late")
        State.forceClosed(state, 0)
      }
    })

    it("its time starts at 0, follows the clock whoever asks, and never goes back, not by a fraction", () => {
      const state = circuit()
      call(state, "success", 12_345)
      assert.strictEqual(state.at, 0)
      State.forceOpen(state, 12_350)
      assert.strictEqual(state.at, 5)
      State.forceClosed(state, 12_351)
      assert.strictEqual(state.at, 6)
      call(state, "success", 12_350.5)
      assert.strictEqual(state.at, 6)
    })
  })

  describe("how long to wait", () => {
    it("an open circuit: until it is half-open, in whole milliseconds upwards, and one at least", () => {
      const state = opened()
      assert.strictEqual(State.waitMillis(state, 0.5, 0), 5000)
      assert.strictEqual(State.waitMillis(state, 5000, 0), 1)
    })

    it("a half-open one: until a lease ends, in whole milliseconds upwards, and one at least", () => {
      const state = opened({ probes: 1, probeLeaseMillis: 100 })
      permitted(state, 5000)
      assert.strictEqual(State.waitMillis(state, 5098.5, 0), 2)
      assert.strictEqual(State.look(state, 5099).probesOut, 1)
      assert.strictEqual(State.waitMillis(state, 5100, 0), 1)
      assert.strictEqual(State.look(state, 5100).probesOut, 0)
    })

    it("a ramp: until this very call would have passed, in whole milliseconds upwards, and one at least", () => {
      const state = opened({ rampMillis: 1000, probes: 1, successThreshold: 1 })
      call(state, "success", 5000)
      assert.strictEqual(State.waitMillis(state, 5100.5, 0.5), 400)
      assert.strictEqual(State.waitMillis(state, 5600, 0.5), 1)
    })

    it("one that is forced closed: not at all", () => {
      const state = circuit()
      State.forceClosed(state, 0)
      assert.strictEqual(State.waitMillis(state, 0, 0), 0)
    })

    it("a circuit is open for a millisecond at least, and a ramp of one is a ramp", () => {
      const state = opened({ openMillis: () => 0, rampMillis: 1, probes: 1, successThreshold: 1 })
      assert.isTrue(refuses(state, 0))
      call(state, "success", 1)
      assert.strictEqual(state.phase, "Closed")
      assert.isTrue(refuses(state, 1, 0.5))
    })
  })

  it("fewer slow calls than the rate open nothing", () => {
    const state = circuit({ rules: [countRule(4, { slowCallRate: 0.5 })] })
    call(state, "success", 0, { durationMillis: 2000 })
    calls(state, 3, "success", 0)
    assert.strictEqual(state.phase, "Closed")
  })

  it("says of a ramp what share is let through, in whole hundredths", () => {
    assert.strictEqual(Detail.rampDetail(0.957), "recovering: 96% of the attempts are let through")
  })

  describe("half-open", () => {
    it("as many probes as may are out at once, and the others are refused until one comes back", () => {
      const state = opened()
      const first = permitted(state, 5000)
      const second = permitted(state, 5000)
      assert.isTrue(refuses(state, 5000))
      assert.strictEqual(State.waitMillis(state, 5000, 0), 1000)
      assert.strictEqual(
        Detail.halfOpenDetail(state),
        "half-open: the 2 probes that may be out are, and 0 of the 2 successes that close it are in"
      )
      State.settle(state, first, "success", 0, 5001, 0)
      assert.strictEqual(state.phase, "HalfOpen")
      assert.isFalse(refuses(state, 5001))
      State.settle(state, second, "success", 0, 5002, 0)
      assert.strictEqual(state.phase, "Closed")
    })

    it("one failed probe opens it again, and what the others report is too late", () => {
      const state = opened()
      const first = permitted(state, 5000)
      const second = permitted(state, 5000)
      State.settle(state, first, "failure", 0, 5100, 0)
      assert.strictEqual(state.phase, "Open")
      assert.strictEqual(State.waitMillis(state, 5100, 0), 5000)
      assert.strictEqual(State.settle(state, second, "success", 0, 5200, 0), "late")
      assert.strictEqual(state.phase, "Open")
      assert.strictEqual(Detail.openDetail(state), "a probe failed; opened 2 times in a row")
    })

    it("a probe that hung in the outage opens nothing again once a later one has succeeded", () => {
      const state = opened({ probeLeaseMillis: 1000, probes: 1, successThreshold: 2 })
      const hung = permitted(state, 5000)
      assert.strictEqual(call(state, "success", 6000), "counted")
      assert.strictEqual(State.settle(state, hung, "failure", 60_000, 6500, 1500), "late")
      assert.strictEqual(state.phase, "HalfOpen")
      assert.strictEqual(call(state, "success", 7000), "counted")
      assert.strictEqual(state.phase, "Closed")
    })

    it("a probe that was sent with or after one that succeeded opens it again when it fails", () => {
      for (const sentAt of [5000, 5001]) {
        const state = opened()
        const first = permitted(state, 5000)
        const second = permitted(state, sentAt)
        State.settle(state, first, "success", 0, 5100, 100)
        assert.strictEqual(State.settle(state, second, "failure", 0, 5200, 200), "counted")
        assert.strictEqual(state.phase, "Open")
      }
    })

    it("a call from before the circuit opened neither closes it nor opens it again", () => {
      const state = circuit({ rules: [consecutive(1)], successThreshold: 1 })
      const old = [permitted(state, 0), permitted(state, 0)]
      call(state, "failure", 0)
      permitted(state, 5000)
      assert.strictEqual(state.phase, "HalfOpen")
      const before = visible(state)
      for (const [index, verdict] of (["success", "failure"] as const).entries()) {
        assert.strictEqual(State.settle(state, old[index] ?? assert.fail(), verdict, 0, 5001, 5001), "late")
      }
      assert.deepStrictEqual(visible(state), before)
    })

    it("a probe that never comes back frees its place when its lease is over", () => {
      const state = opened()
      permitted(state, 5000)
      permitted(state, 6000)
      assert.isTrue(refuses(state, 14_500))
      assert.strictEqual(State.waitMillis(state, 14_500, 0), 500)
      assert.isTrue(refuses(state, 14_999))
      assert.isTrue(permitted(state, 15_000).isProbe)
      assert.isTrue(refuses(state, 15_999))
      assert.isTrue(permitted(state, 16_000).isProbe)
    })

    it("a probe that outlived its lease still counts, once, and does not free the place that is another's by then", () => {
      const state = opened({ probes: 1, successThreshold: 3 })
      const slow = permitted(state, 5000)
      permitted(state, 15_000)
      assert.strictEqual(State.settle(state, slow, "success", 0, 15_001, 0), "counted")
      assert.strictEqual(state.probeSuccesses, 1)
      assert.isTrue(refuses(state, 15_002))
      assert.strictEqual(State.settle(state, slow, "success", 0, 15_003, 0), "late")
      assert.strictEqual(state.probeSuccesses, 1)
    })

    it("an ignored probe gives its place back, and neither closes nor opens the circuit", () => {
      const state = opened({ probes: 1 })
      for (let index = 0; index < 10; index++) {
        State.settle(state, permitted(state, 5000 + index), "ignored", 0, 5000 + index, 0)
      }
      assert.strictEqual(state.phase, "HalfOpen")
      assert.strictEqual(State.look(state, 5010).probesOut, 0)
    })

    it("probes are held to the share of slow calls that opens the circuit", () => {
      for (const [slow, phase] of [
        [1, "Closed"],
        [2, "Open"]
      ] as const) {
        const state = circuit({ rules: [consecutive(1), countRule(10, { slowCallRate: 0.5 })], successThreshold: 4 })
        call(state, "failure", 0)
        for (let index = 0; index < 4; index++) {
          call(state, "success", 5000, { durationMillis: index < slow ? 1500 : 500 })
        }
        assert.strictEqual(state.phase, phase)
        if (phase === "Open") {
          assert.strictEqual(Detail.openDetail(state), "2 of 4 probes took longer than 1s; opened 2 times in a row")
        }
      }
    })

    it("slow probes close a circuit whose rules do not watch slow calls", () => {
      const state = opened()
      calls(state, 2, "success", 5000, 60_000)
      assert.strictEqual(state.phase, "Closed")
    })

    it("closing forgets what was counted before", () => {
      const state = circuit({ rules: [countRule(4, { minimumCalls: 2 })], successThreshold: 1 })
      calls(state, 2, "failure", 0)
      call(state, "success", 5000)
      assert.deepStrictEqual(State.look(state, 5000).windows[0]?.counts, { ok: 0, slowOk: 0, failed: 0, slowFailed: 0 })
      call(state, "failure", 5000)
      assert.strictEqual(state.phase, "Closed")
    })
  })

  describe("the open time", () => {
    const doubling = (opening: number) => 5000 * 2 ** (opening - 1)

    // Finagle's FailureAccrual marks dead for 5 s at first, twice that each time, up to 300 s (there with equal jitter)
    it("Finagle's dead times: 5 s, doubled with every failed probe, up to 300 s", () => {
      const state = circuit({ rules: [consecutive(5)], openMillis: doubling, probes: 1, successThreshold: 1 })
      calls(state, 5, "failure", 0)
      const times: Array<number> = []
      let now = 0
      for (let opening = 0; opening < 9; opening++) {
        const wait = State.waitMillis(state, now, 0) ?? assert.fail()
        times.push(wait / 1000)
        now += wait
        call(state, "failure", now)
      }
      assert.deepStrictEqual(times, [5, 10, 20, 40, 80, 160, 300, 300, 300])
    })

    it("the row of openings goes on when it fails again soon after a close, and is over when it stayed closed as long", () => {
      for (const [after, openings] of [
        [4999, 2],
        [5000, 1]
      ] as const) {
        const state = opened({ openMillis: doubling, successThreshold: 1 })
        call(state, "success", 5000)
        assert.strictEqual(State.look(state, 5000 + after).openings, openings - 1)
        call(state, "failure", 5000 + after)
        assert.strictEqual(state.openings, openings)
        assert.strictEqual(State.waitMillis(state, 5000 + after, 0), doubling(openings))
      }
    })

    it("what the server asked counts from when it asked, and a success since then takes it back", () => {
      const asked = circuit()
      call(asked, "failure", 0, { askedMillis: 60_000 })
      calls(asked, 2, "failure", 10_000)
      assert.strictEqual(State.waitMillis(asked, 10_000, 0), 50_000)
      const since = circuit()
      call(since, "failure", 0, { askedMillis: 60_000 })
      call(since, "success", 5000)
      calls(since, 3, "failure", 10_000)
      assert.strictEqual(State.waitMillis(since, 10_000, 0), 5000)
    })

    it("a failed probe's wait is kept too", () => {
      const state = opened()
      call(state, "failure", 5000, { askedMillis: 42_000 })
      assert.strictEqual(State.waitMillis(state, 5000, 0), 42_000)
    })

    it("a function that gives nonsense gives the longest time, one that gives too little a millisecond", () => {
      const nonsense = opened({ openMillis: () => Number.NaN, maxOpenMillis: 7000 })
      assert.strictEqual(State.waitMillis(nonsense, 0, 0), 7000)
      const nothing = opened({ openMillis: () => -5 })
      assert.strictEqual(State.waitMillis(nothing, 0, 0), 1)
    })
  })

  describe("the ramp", () => {
    const ramping = () => {
      const state = opened({ rampMillis: 10_000, successThreshold: 1 })
      call(state, "success", 5000)
      assert.strictEqual(state.phase, "Closed")
      return state
    }

    // Envoy's slow start: weight · max(10 %, (time since it came back / window)^(1 / aggression)), aggression 1
    it("Envoy's slow start: a tenth at first, then the share of the ramp that is over, then all", () => {
      const state = ramping()
      const shares = [0, 500, 1000, 2500, 5000, 9999, 10_000].map((after) => State.shareOf(state, 5000 + after))
      assert.deepStrictEqual(shares, [0.1, 0.1, 0.1, 0.25, 0.5, 0.9999, 1])
    })

    it("a call passes if its random number is below the share", () => {
      const state = ramping()
      assert.isFalse(refuses(state, 10_000, 0.4999))
      assert.isTrue(refuses(state, 10_000, 0.5))
      assert.isFalse(refuses(state, 15_000, 0.9999))
      assert.isFalse(state.ramping)
    })

    it("those who are refused come back spread over the rest of the ramp", () => {
      const state = ramping()
      const waits = [0.5, 0.6, 0.75, 0.99].map((random) => {
        assert.isTrue(refuses(state, 9000, random))
        return State.waitMillis(state, 9000, random)
      })
      assert.deepStrictEqual(waits, [1000, 2000, 3500, 5900])
    })

    it("a circuit that fails in its ramp opens in the same row", () => {
      const state = ramping()
      call(state, "failure", 14_000)
      assert.strictEqual(state.openings, 2)
      assert.isFalse(state.ramping)
    })
  })

  describe("by hand", () => {
    it("forced open it refuses for ever, and says that nothing but a hand ends it", () => {
      const state = circuit()
      State.forceOpen(state, 0)
      assert.isTrue(refuses(state, 1e12))
      assert.isUndefined(State.waitMillis(state, 1e12, 0))
    })

    it("forced closed it lets everything through, counts, and never opens", () => {
      const state = opened({ rules: [consecutive(1), countRule(100, {})] })
      State.forceClosed(state, 1)
      calls(state, 50, "failure", 1)
      assert.strictEqual(state.phase, "ForcedClosed")
      assert.strictEqual(State.look(state, 1).windows[0]?.counts.failed, 50)
    })

    it("reset, it is as it was made", () => {
      const state = opened({ openMillis: (opening) => opening * 1000 })
      State.reset(state, 10)
      assert.deepInclude(State.look(state, 10), { phase: "Closed", openings: 0, streak: 0, share: 1 })
      call(state, "failure", 10)
      assert.strictEqual(State.waitMillis(state, 10, 0), 1000)
    })
  })

  // resilience4j, CircuitBreakerStateMachine: 50 % of 100 calls, compared with ≥, -1 below the minimum
  it("resilience4j's defaults: 49 of 100 failed calls leave it closed, 50 open it, 99 calls never do", () => {
    for (const [failures, total, phase] of [
      [49, 100, "Closed"],
      [50, 100, "Open"],
      [99, 99, "Closed"]
    ] as const) {
      const state = circuit({ rules: [countRule(100, { minimumCalls: 100, failureRate: 0.5 })] })
      calls(state, total - failures, "success", 0)
      calls(state, failures, "failure", 0)
      assert.strictEqual(state.phase, phase)
    }
  })

  // Polly 8, CircuitBreakerStrategyOptions: a tenth of at least 100 calls within 30 s
  it("Polly's defaults: a tenth of 100 calls in 30 s open it", () => {
    for (const [failures, phase] of [
      [9, "Closed"],
      [10, "Open"]
    ] as const) {
      const state = circuit({ rules: [timeRule(30_000, { minimumCalls: 100, failureRate: 0.1 })] })
      calls(state, 100 - failures, "success", 0)
      calls(state, failures, "failure", 26_999)
      assert.strictEqual(state.phase, phase)
    }
  })

  // Finagle, FailureAccrualPolicy: successRateWithinDuration(0.8, 30 s, at least 5) orElse consecutiveFailures(5)
  it("Finagle's defaults: five failures in a row, or less than 80 % success of five calls in 30 s", () => {
    const rules = [consecutive(5), timeRule(30_000, { minimumCalls: 5, failureRate: 0.2 })]
    const busy = circuit({ rules })
    calls(busy, 4, "success", 0)
    call(busy, "failure", 0)
    assert.strictEqual(busy.phase, "Open")
    const quiet = circuit({ rules })
    for (let index = 0; index < 5; index++) call(quiet, "failure", index * 20_000)
    assert.strictEqual(Detail.openDetail(quiet), "5 attempts in a row failed")
  })
})

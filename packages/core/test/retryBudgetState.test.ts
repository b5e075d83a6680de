import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as State from "../src/internal/retry/retryBudgetState.ts"

const ttlMillis = 10_000

const unlimitedInFlight = { inFlightRatio: 1, minimumInFlight: 1e6 }

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const shape = Arbitrary.map(
  Arbitrary.all({
    deposit: int(0, 2000),
    reserve: int(0, 5000),
    inFlightTenths: int(0, 10),
    minimumInFlight: int(1, 5)
  }),
  ({ inFlightTenths, ...rest }): State.BudgetShape => ({ ttlMillis, inFlightRatio: inFlightTenths / 10, ...rest })
)

/** What may happen to a budget: the clock jumps (also back), then one of its five events comes. */
const happening = Schema.Struct({
  event: Schema.Literals(["callStarted", "callEnded", "tryWithdraw", "retryStarted", "retryEnded"]),
  jumpMillis: Schema.Int.check(Schema.isBetween({ minimum: -3000, maximum: 6000 })),
  cost: Schema.Literals([0, 250, 1000, 5000])
})

const happenings = Arbitrary.array(Arbitrary.schema(happening), { maxLength: 200 })

interface Entry {
  readonly at: number
  readonly amount: number
}

/** Plays the events that make sense (nothing ends that has not begun), and asks after each. */
const play = (
  state: State.BudgetState,
  events: ReadonlyArray<typeof happening.Type>,
  after: (moment: {
    readonly now: number
    readonly latest: number
    readonly granted: boolean | undefined
    readonly deposits: ReadonlyArray<Entry>
    readonly grants: ReadonlyArray<Entry>
    readonly cost: number
    /** What the event found: by the books, not by the state. */
    readonly available: number
    readonly before: { readonly calls: number; readonly retries: number }
  }) => void
): void => {
  let now = 1e9
  let latest = 0
  let calls = 0
  /** Granted, and in their back-off. */
  let waiting = 0
  let retries = 0
  const deposits: Array<Entry> = []
  const grants: Array<Entry> = []
  for (const { cost, event, jumpMillis } of events) {
    now = Math.max(0, now + jumpMillis)
    // the state learns the time from these two
    if (event === "callStarted" || event === "tryWithdraw") latest = Math.max(latest, now)
    const available = state.shape.reserve + inRing(deposits, latest) - inRing(grants, latest)
    const before = { calls, retries }
    let granted: boolean | undefined
    if (event === "callStarted") {
      State.callStarted(state, now)
      deposits.push({ at: latest, amount: state.shape.deposit })
      calls++
    } else if (event === "callEnded" && calls > 0) {
      State.callEnded(state)
      calls--
    } else if (event === "retryStarted" && waiting > 0) {
      State.retryStarted(state)
      waiting--
      retries++
    } else if (event === "retryEnded" && retries > 0) {
      State.retryEnded(state)
      retries--
    } else if (event === "tryWithdraw") {
      granted = State.tryWithdraw(state, now, cost)
      if (granted) {
        grants.push({ at: latest, amount: cost })
        waiting++
      }
    }
    assert.strictEqual(state.callsInFlight, calls)
    assert.strictEqual(state.retriesInFlight, retries)
    after({ now, latest, granted, deposits, grants, cost, available, before })
  }
}

const sliceOf = (at: number): number => Math.floor(at / (ttlMillis / State.sliceCount))

const inRing = (entries: ReadonlyArray<Entry>, latest: number): number =>
  entries
    .filter(({ at }) => sliceOf(at) > sliceOf(latest) - State.sliceCount)
    .reduce((total, { amount }) => total + amount, 0)

const sum = (entries: ReadonlyArray<Entry>, from: number): number =>
  entries.filter(({ at }) => at > from).reduce((total, { amount }) => total + amount, 0)

/** A budget that limits the window only. */
const windowed = (options: { readonly ratio: number; readonly minimumPerSecond: number }): State.BudgetState =>
  State.makeBudgetState({
    ttlMillis,
    deposit: Math.round(options.ratio * 1000),
    reserve: options.minimumPerSecond * ttlMillis,
    ...unlimitedInFlight
  })

/** How many retries of the usual cost are granted at one instant. */
const spend = (state: State.BudgetState, now: number): number => {
  let granted = 0
  while (granted < 100_000 && State.tryWithdraw(state, now, 1000)) granted++
  return granted
}

const calls = (state: State.BudgetState, count: number, now: number): void => {
  for (let call = 0; call < count; call++) State.callStarted(state, now)
}

describe("the retry budget's state machine", () => {
  it.prop(
    "retries granted in a window are never more than its deposits and the reserve pay for",
    [shape, happenings],
    ([of, events]) => {
      play(State.makeBudgetState(of), events, ({ deposits, granted, grants, latest }) => {
        if (granted !== true) return
        // the ring holds nine whole slices and the one that time is in
        const spent = sum(grants, latest - ttlMillis * 0.9)
        const paid = sum(deposits, latest - ttlMillis)
        assert.isTrue(spent <= paid + of.reserve, `${spent} of ${paid} + ${of.reserve}`)
      })
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop(
    "a retry is granted exactly if the window pays for it and fewer are being made than there is room for",
    [shape, happenings],
    ([of, events]) => {
      const state = State.makeBudgetState(of)
      play(state, events, ({ available, before, cost, granted, now }) => {
        const room = Math.max(of.minimumInFlight, Math.floor(before.calls * of.inFlightRatio))
        if (granted === undefined) return
        assert.strictEqual(granted, available >= cost && before.retries < room)
        // a refusal takes nothing
        assert.strictEqual(State.balance(state, now), Math.max(0, available - (granted ? cost : 0)))
      })
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop(
    "reading the balance changes nothing, at any time",
    [shape, happenings, int(-20_000, 40_000)],
    ([of, events, later]) => {
      const read = State.makeBudgetState(of)
      const unread = State.makeBudgetState(of)
      const answers: Array<boolean | undefined> = []
      play(read, events, ({ granted, now }) => {
        State.balance(read, now + later)
        answers.push(granted)
      })
      const unreadAnswers: Array<boolean | undefined> = []
      play(unread, events, ({ granted }) => unreadAnswers.push(granted))
      assert.deepStrictEqual(answers, unreadAnswers)
      assert.deepStrictEqual(read, unread)
    }
  )

  it.prop(
    "after a whole window without calls the balance is the reserve again",
    [shape, happenings],
    ([of, events]) => {
      const state = State.makeBudgetState(of)
      let last = 1e9
      play(state, events, ({ latest }) => {
        last = latest
      })
      assert.strictEqual(State.balance(state, last + ttlMillis), of.reserve)
      State.callStarted(state, last + ttlMillis)
      assert.strictEqual(State.balance(state, last + ttlMillis), of.reserve + of.deposit)
    }
  )

  it.prop(
    "a clock that goes back neither adds to the balance nor takes from it",
    [shape, int(0, 50_000)],
    ([of, back]) => {
      const state = State.makeBudgetState(of)
      calls(state, 7, 100_000)
      const balance = State.balance(state, 100_000)
      assert.strictEqual(State.balance(state, 100_000 - back), balance)
      State.callStarted(state, 100_000 - back)
      assert.strictEqual(State.balance(state, 100_000), balance + of.deposit)
    }
  )

  it("a deposit counts for the ttl, less at most the slice it came in, and no longer", () => {
    const state = windowed({ ratio: 1, minimumPerSecond: 0 })
    State.callStarted(state, 100_000)
    assert.strictEqual(State.balance(state, 109_999), 1000)
    assert.strictEqual(State.balance(state, 110_000), 0)
    const late = windowed({ ratio: 1, minimumPerSecond: 0 })
    State.callStarted(late, 100_999)
    assert.strictEqual(State.balance(late, 109_999), 1000)
    assert.strictEqual(State.balance(late, 110_000), 0)
  })

  it("a withdrawal is forgotten with its window too", () => {
    const state = windowed({ ratio: 0, minimumPerSecond: 1 })
    assert.strictEqual(spend(state, 100_000), 10)
    assert.isFalse(State.tryWithdraw(state, 109_999, 1000))
    assert.strictEqual(spend(state, 110_000), 10)
  })

  it("the slices of the ring are told apart: each second's deposits leave by themselves", () => {
    const state = windowed({ ratio: 1, minimumPerSecond: 0 })
    for (let second = 0; second < 10; second++) calls(state, second + 1, 100_000 + second * 1000)
    for (let second = 0; second <= 10; second++) {
      // 55 in all, less 1, less 1 + 2, …
      const left = 55 - (second * (second + 1)) / 2
      assert.strictEqual(State.balance(state, 109_999 + second * 1000), left * 1000, `second ${second}`)
    }
  })

  describe("Finagle's vectors (RetryBudget: ttl 10 s, 20 %, at least 10 a second)", () => {
    it("the balance begins at 100 retries", () => {
      const state = windowed({ ratio: 0.2, minimumPerSecond: 10 })
      assert.strictEqual(State.balance(state, 0), 100_000)
      assert.strictEqual(spend(state, 0), 100)
    })

    it("five calls pay for one retry", () => {
      const state = windowed({ ratio: 0.2, minimumPerSecond: 0 })
      calls(state, 4, 0)
      assert.strictEqual(spend(state, 0), 0)
      calls(state, 1, 0)
      assert.strictEqual(spend(state, 0), 1)
    })

    it("a thousand calls pay for 200 retries, over the reserve of 100", () => {
      const state = windowed({ ratio: 0.2, minimumPerSecond: 10 })
      calls(state, 1000, 0)
      assert.strictEqual(spend(state, 0), 300)
    })

    it("the reserve comes back when the window is over, and the deposits do not", () => {
      const state = windowed({ ratio: 0.2, minimumPerSecond: 10 })
      calls(state, 1000, 0)
      assert.strictEqual(spend(state, 0), 300)
      assert.strictEqual(spend(state, 9999), 0)
      assert.strictEqual(spend(state, 10_000), 100)
    })

    it("without a ratio and a minimum there are no retries; with a ratio alone a quiet upstream has none", () => {
      const nothing = windowed({ ratio: 0, minimumPerSecond: 0 })
      calls(nothing, 1000, 0)
      assert.strictEqual(spend(nothing, 0), 0)
      assert.strictEqual(spend(windowed({ ratio: 0.5, minimumPerSecond: 0 }), 0), 0)
    })

    it("more than a whole retry a call can be paid for", () => {
      const state = windowed({ ratio: 2, minimumPerSecond: 0 })
      calls(state, 10, 0)
      assert.strictEqual(spend(state, 0), 20)
    })
  })

  describe("that gets another time to live", () => {
    const startMillis = 1_000_500
    const made = (): State.BudgetState => {
      const state = State.makeBudgetState({ ttlMillis, deposit: 1000, reserve: 0, ...unlimitedInFlight })
      for (let call = 0; call < 3; call++) State.callStarted(state, startMillis)
      return state
    }

    it.each([2500, 20_000, 33_333])("of %i ms keeps what is left of it for that long, and no longer", (other) => {
      const state = made()
      State.reshape(state, { ...state.shape, ttlMillis: other })
      assert.strictEqual(State.balance(state, startMillis), 3000)
      assert.strictEqual(State.balance(state, startMillis + 0.85 * other), 3000)
      // what was saved counts for the end of the slice in which the time was
      assert.strictEqual(State.balance(state, startMillis + ttlMillis / 10 + other), 0)
    })

    it("goes on with what comes then, and with who is in flight", () => {
      const state = made()
      State.reshape(state, { ...state.shape, ttlMillis: 20_000, minimumInFlight: 1, inFlightRatio: 0 })
      State.callStarted(state, startMillis + 15_000)
      assert.strictEqual(State.balance(state, startMillis + 15_000), 4000)
      assert.strictEqual(State.balance(state, startMillis + 30_000), 1000)
      State.retryStarted(state)
      assert.isFalse(State.tryWithdraw(state, startMillis + 30_000, 1000), "one retry is in flight")
      State.retryEnded(state)
      assert.isTrue(State.tryWithdraw(state, startMillis + 30_000, 1000))
      assert.strictEqual(state.callsInFlight, 4)
    })

    it("or only other shares, forgets nothing of when it was saved", () => {
      const state = made()
      State.reshape(state, { ...state.shape, reserve: 500 })
      assert.strictEqual(State.balance(state, startMillis), 3500)
      assert.strictEqual(State.balance(state, startMillis + ttlMillis), 500)
    })
  })
})

import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { type AfterAttempt, stopBeforeWait, type Wait, waitOrStop } from "../src/internal/retry/retryDecision.ts"
import * as Outcome from "../src/Outcome.ts"

const number = (minimum: number, maximum: number) => Schema.Number.check(Schema.isBetween({ minimum, maximum }))

const arbitraryWait: Arbitrary.Arbitrary<Wait> = Arbitrary.map(
  Arbitrary.schema(
    Schema.Struct({
      scheduledMillis: number(0, 20_000),
      askedMillis: Schema.UndefinedOr(number(0, 20_000)),
      maxServerWaitMillis: number(0, 20_000),
      serverWaitJitter: number(0, 1),
      remainingMillis: Schema.UndefinedOr(number(-1000, 25_000)),
      random: number(0, 1 - Number.EPSILON)
    })
  ),
  ({ remainingMillis, ...rest }) => ({ ...rest, remainingMillis: remainingMillis ?? Infinity })
)

const wait = (changes: Partial<Wait> = {}): Wait => ({
  scheduledMillis: 100,
  askedMillis: undefined,
  maxServerWaitMillis: 60_000,
  serverWaitJitter: 0.1,
  remainingMillis: Infinity,
  random: 0.5,
  ...changes
})

describe("waitOrStop", () => {
  it.prop(
    "is never sooner than the server asked, nor sooner than scheduled",
    [arbitraryWait],
    ([given]) => {
      const decided = waitOrStop(given)
      if (typeof decided === "string") return
      assert.isAtLeast(decided, given.askedMillis ?? 0)
      assert.isAtLeast(decided, given.scheduledMillis)
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "is never as long as the time that is left",
    [arbitraryWait],
    ([given]) => {
      const decided = waitOrStop(given)
      if (typeof decided !== "string") assert.isBelow(decided, given.remainingMillis)
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop("spreads a server's wait upwards only, and by the jitter at most", [arbitraryWait], ([given]) => {
    const decided = waitOrStop({ ...given, scheduledMillis: 0 })
    if (typeof decided === "string") return
    const asked = given.askedMillis ?? 0
    assert.isTrue(decided >= asked && decided <= asked * (1 + given.serverWaitJitter))
  })

  it.prop(
    "stops for the server only if the server asked for too much",
    [arbitraryWait],
    ([given]) => {
      const decided = waitOrStop(given)
      const asked = given.askedMillis ?? 0
      const tooLong = asked > 0 && (asked > given.maxServerWaitMillis || asked >= given.remainingMillis)
      assert.strictEqual(decided === "server-wait", tooLong)
      if (!tooLong) assert.strictEqual(decided === "deadline", given.scheduledMillis >= given.remainingMillis)
    },
    { arbitrary: { runs: 500 } }
  )

  it("a table of waits", () => {
    assert.strictEqual(waitOrStop(wait()), 100)
    assert.strictEqual(waitOrStop(wait({ askedMillis: 1000 })), 1050)
    assert.strictEqual(waitOrStop(wait({ askedMillis: 1000, serverWaitJitter: 0 })), 1000)
    assert.strictEqual(waitOrStop(wait({ askedMillis: 1000, scheduledMillis: 4000 })), 4000)
    assert.strictEqual(waitOrStop(wait({ askedMillis: 60_000 })), 63_000)
    assert.strictEqual(waitOrStop(wait({ askedMillis: 60_001 })), "server-wait")
    assert.strictEqual(waitOrStop(wait({ askedMillis: 1000, remainingMillis: 1000 })), "server-wait")
    assert.strictEqual(waitOrStop(wait({ remainingMillis: 100 })), "deadline")
    assert.strictEqual(waitOrStop(wait({ remainingMillis: 101 })), 100)
  })

  it("the spread gives way to the deadline, the server's wait does not", () => {
    assert.strictEqual(waitOrStop(wait({ askedMillis: 1000, remainingMillis: 1020 })), 1000)
    assert.strictEqual(waitOrStop(wait({ askedMillis: 1000, remainingMillis: 1050 })), 1000)
    assert.strictEqual(waitOrStop(wait({ askedMillis: 1000, remainingMillis: 1051 })), 1050)
  })

  it("a deadline that passed during the attempt is the deadline's doing, when no server asked for anything", () => {
    assert.strictEqual(waitOrStop(wait({ remainingMillis: 0 })), "deadline")
    assert.strictEqual(waitOrStop(wait({ remainingMillis: -5, scheduledMillis: 0 })), "deadline")
    assert.strictEqual(waitOrStop(wait({ remainingMillis: 0, askedMillis: 0 })), "deadline")
  })
})

describe("stopBeforeWait", () => {
  const after = (changes: Partial<AfterAttempt>): AfterAttempt => ({
    attempts: 1,
    maxAttempts: 3,
    outcome: Outcome.failure({ cause: "transient" }),
    replayable: true,
    ...changes
  })
  const final = Outcome.failure({ cause: "permanent" })

  it("goes on while attempts are left", () => {
    assert.isUndefined(stopBeforeWait(after({ attempts: 2 })))
    assert.strictEqual(stopBeforeWait(after({ attempts: 3 })), "attempts")
  })

  it("says the reason that no setting could have changed first", () => {
    const every = { outcome: final, replayable: false, attempts: 3 }
    assert.strictEqual(stopBeforeWait(after(every)), "not-retryable")
    assert.strictEqual(stopBeforeWait(after({ replayable: false, attempts: 3 })), "not-replayable")
    assert.strictEqual(stopBeforeWait(after({ outcome: final })), "not-retryable")
    assert.strictEqual(stopBeforeWait(after({ replayable: false })), "not-replayable")
  })
})
